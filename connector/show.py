"""What an owner reads: results as text and tables. Nothing here prints; `connector/cli/` does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from models.changes import Change, Plan, TargetPlan, TargetResult
from models.people import StreamCount
from models.segments import SegmentCount

TITLES = {"shopify": "Shopify", "mailchimp": "Mailchimp", "hubspot": "HubSpot", "import": "Import"}
NOUNS = {"shopify": "Shopify tag", "mailchimp": "Mailchimp tag", "hubspot": "HubSpot list"}
SAMPLE = 5
DRIFT = {
    "tagged_by_hand": "carry it by somebody else's hand and keep it",
    "untagged_by_hand": "had it taken off by somebody else",
}


def masked(email: str) -> str:
    """An address that can be recognised by its owner and by nobody else: a***@s***.example."""
    local, _, domain = email.partition("@")
    host, dot, end = domain.rpartition(".")
    return f"{local[:1]}***@{host[:1]}***{dot}{end}" if domain else f"{email[:1]}***"


def table(*headers: str, numbers: Iterable[int] = ()) -> Table:
    right = set(numbers)
    made = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for n, header in enumerate(headers):
        made.add_column(header, justify="right" if n in right else "left", overflow="fold")
    return made


def streams(counts: Sequence[StreamCount]) -> Table:
    made = table(
        "Platform", "Stream", "Fetched", "= Stored", "+ Unchanged", "+ Set aside", "Platform says", numbers=range(2, 7)
    )
    for c in counts:
        made.add_row(
            TITLES.get(c.source, c.source),
            c.stream,
            f"{c.fetched:,}",
            f"{c.stored:,}",
            f"{c.unchanged:,}",
            f"{c.set_aside:,}",
            "" if c.platform_total is None else f"{c.platform_total:,}",
        )
    return made


def stream_json(counts: Sequence[StreamCount]) -> list[dict[str, Any]]:
    return [vars(c) for c in counts]


def segments(counts: Sequence[SegmentCount]) -> Table:
    made = table("Segment", "Before", "+ Entered", "- Left", "= After", "", numbers=range(1, 5))
    for c in counts:
        note = "" if c.is_ready else f"not ready: {c.not_ready}"
        made.add_row(c.segment, f"{c.before:,}", f"{c.entered:,}", f"{c.left:,}", f"{c.after:,}", note)
    return made


def plan_table(plan: Plan) -> Table:
    made = table("Written as", "Segment", "Before", "+ Enter", "- Leave", "= After", "Held", "Excluded", numbers=range(2, 8))
    for t in plan.targets:
        name = Text(f"{NOUNS[t.target.platform]} {t.object_name}")
        made.add_row(
            name,
            Text(t.target.segment),
            f"{t.before:,}",
            f"{t.entered:,}",
            f"{t.left:,}",
            f"{t.after:,}",
            f"{t.held:,}" if t.held else "",
            f"{sum(t.excluded.values()):,}" if t.excluded else "",
        )
    return made


def plan_notes(plan: Plan, *, addresses: bool = False, sample: int = SAMPLE) -> list[str]:
    """What stands under the table: why something waits, who is left out, what was changed by hand, who would move."""
    lines: list[str] = []
    for t in plan.targets:
        found = target_notes(t) + sampled(t, addresses=addresses, sample=sample)
        if found:
            lines += ["", f"{NOUNS[t.target.platform]} {t.object_name}", *(f"  {line}" for line in found)]
    return lines + [f"Not planned: {p}" for p in plan.problems]


def target_notes(t: TargetPlan) -> list[str]:
    lines = []
    if t.parked:
        lines.append(f"{t.held or len(t.changes) - len(t.writable):,} changes wait: {t.parked}")
    if t.excluded:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(t.excluded.items(), key=lambda e: (-e[1], e[0])))
        lines.append(f"{sum(t.excluded.values()):,} left out: {reasons}")
    lines += [f"{people:,} {DRIFT[kind]}" for kind, people in t.drift.items()]
    return lines + list(t.notes)


def sampled(t: TargetPlan, *, addresses: bool, sample: int) -> list[str]:
    """Some of those who enter and leave, one line a reason."""
    lines = []
    for kind, word in (("add", "enter"), ("remove", "leave")):
        reasons: dict[str, list[Change]] = {}
        for change in t.changes:
            if change.kind == kind:
                reasons.setdefault(change.reason, []).append(change)
        for reason, some in sorted(reasons.items()):
            names = ", ".join(who(c, addresses) for c in some[:sample])
            more = f" and {len(some) - sample:,} more" if len(some) > sample else ""
            lines.append(f"{len(some):,} {word} ({reason}): {names}{more}")
    return lines


def who(change: Change, addresses: bool) -> str:
    if not change.email:
        return f"contact {change.contact_id[:6]}***" if not addresses else f"contact {change.contact_id}"
    return change.email if addresses else masked(change.email)


def plan_json(plan: Plan, *, addresses: bool = False) -> dict[str, Any]:
    return {
        "schema": 1,
        "as_of": plan.as_of,
        "has_changes": plan.has_changes,
        "is_complete": plan.is_complete,
        "digest": plan.digest,
        "problems": list(plan.problems),
        "segments": [
            {
                "platform": t.target.platform,
                "segment": t.target.segment,
                "object": t.object_name,
                "before": t.before,
                "entered": t.entered,
                "left": t.left,
                "after": t.after,
                "excluded": dict(t.excluded),
                "held": t.held,
                "parked": t.parked,
                "waits_for_go_ahead": t.waits_for_go_ahead,
                "first_fill": t.first_fill,
                "drift": dict(t.drift),
                "notes": list(t.notes),
                "sample": [
                    {"who": who(c, addresses), "kind": c.kind, "reason": c.reason}
                    for c in t.changes[: len(t.changes) if addresses else 10]
                ],
            }
            for t in plan.targets
        ],
    }


def results(found: Sequence[TargetResult]) -> Table:
    made = table(
        "Written", "Planned", "= Done", "+ Already", "+ Missing", "+ Refused", "+ Unknown", "+ Not sent", numbers=range(1, 8)
    )
    for r in found:
        c = r.counts
        made.add_row(
            Text(f"{NOUNS[r.platform]} {r.object_name}"),
            f"{r.planned:,}",
            *(f"{c.get(k, 0):,}" for k in ("done", "already", "missing", "refused", "unknown")),
            f"{r.not_sent:,}",
        )
    return made


def results_json(found: Sequence[TargetResult]) -> list[dict[str, Any]]:
    return [
        {
            "platform": r.platform,
            "segment": r.segment,
            "object": r.object_name,
            "planned": r.planned,
            **{k: r.counts.get(k, 0) for k in ("done", "already", "missing", "refused", "unknown")},
            "not_sent": r.not_sent,
            "problem": r.problem,
        }
        for r in found
    ]
