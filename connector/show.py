"""What an owner reads: results as text and tables. Nothing here prints; `connector/cli/` does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich.table import Table
from rich.text import Text

import adapters
from connector import consequences
from connector.plain import visible
from models.changes import Change, FieldPlan, Plan, TargetPlan, TargetResult, TriggerPlan
from models.people import StreamCount
from models.segments import SegmentCount

SAMPLE = 5
NO_WORDS: Mapping[str, str] = MappingProxyType({})
DRIFT = {
    "tagged_by_hand": "carry it by somebody else's hand and keep it",
    "untagged_by_hand": "had it taken off by somebody else",
}


def title(source: str) -> str:
    """What the owner calls the place a record came from."""
    return "Import" if source == "import" else adapters.title(source)


def masked(email: str) -> str:
    """An address that can be recognised by its owner and by nobody else: a***@s***.example."""
    local, _, domain = email.partition("@")
    host, dot, end = domain.rpartition(".")
    return f"{local[:1]}***@{host[:1]}***{dot}{end}" if domain else f"{email[:1]}***"


class Sheet(Table):
    """A table whose cells are text and nothing else: no markup, no line break, no control character."""

    def add_row(self, *cells: Any, **more: Any) -> None:
        super().add_row(*(Text(visible(c if isinstance(c, str) else c.plain)) for c in cells), **more)


def table(*headers: str, numbers: Iterable[int] = ()) -> Table:
    right = set(numbers)
    made = Sheet(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for n, header in enumerate(headers):
        made.add_column(header, justify="right" if n in right else "left", overflow="fold")
    return made


def streams(counts: Sequence[StreamCount]) -> Table:
    made = table(
        "Platform", "Stream", "Fetched", "= Stored", "+ Unchanged", "+ Set aside", "Platform says", numbers=range(2, 7)
    )
    for c in counts:
        made.add_row(
            title(c.source),
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


SCORES = {
    "churn": "Churn", "clv": "Customer value", "clv_365d": "Customer value, a year", "purchase_30d": "Purchase in 30 days",
    "next_order": "Next order", "recommendations": "Recommendations", "engagement": "Engagement", "uplift": "Uplift",
    "p_alive": "Still a customer", "next_category": "Next category", "next_topic": "Next topic", "cluster": "Groups",
    "anomaly": "Unusual customers",
}  # fmt: skip
THERE_IS = {
    "customers": "customers", "repeat_buyers": "came back", "contacts": "contacts with mail", "answered": "answered",
    "history_days": "days of history",
}  # fmt: skip


def readiness(found: Sequence[dict[str, Any]]) -> Table:
    """What `score ready` says: what there is, what is lacking and until when, and how a score of this size is made."""
    made = table("Score", "Ready", "There is", "Still lacking", "Made by")
    for item in found:
        there = ", ".join(f"{item[k]:,} {words}" for k, words in THERE_IS.items() if k in item)
        made.add_row(
            SCORES[item["score"]], "yes" if item["is_ready"] else "not yet", there, "; ".join(item["lacks"]), item["method"]
        )
    return made


def segments(counts: Sequence[SegmentCount]) -> Table:
    made = table("Segment", "Before", "+ Entered", "- Left", "= After", "", numbers=range(1, 5))
    for c in counts:
        note = "" if c.is_ready else f"not ready: {c.not_ready}"
        made.add_row(c.segment, f"{c.before:,}", f"{c.entered:,}", f"{c.left:,}", f"{c.after:,}", note)
    return made


def plan_table(plan: Plan) -> Table:
    made = table("Written as", "Segment", "Before", "+ Enter", "- Leave", "= After", "Held", "Excluded", numbers=range(2, 8))
    for t in plan.targets:
        name = Text(f"{noun(t.target.platform)} {t.object_name}")
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


def plan_notes(plan: Plan, *, addresses: bool = False, sample: int = SAMPLE, says: Mapping[str, str] = NO_WORDS) -> list[str]:
    """What stands under the table: why something waits, who is left out, what was changed by hand, who would move.

    says: segment -> its rule as a sentence, shown with each tag or list; none of a segment that is left out."""
    lines: list[str] = []
    for t in plan.targets:
        found = _with_rule(t, addresses, sample, says.get(t.target.segment, ""))
        if found:
            lines += ["", f"{noun(t.target.platform)} {t.object_name}", *(f"  {line}" for line in found)]
    for one in plan.fields:
        if found := field_notes(one):
            lines += ["", field_name(one.platform, one.name), *(f"  {line}" for line in found)]
    for told in plan.triggers:
        lines += ["", trigger_line(told), *(f"  {line}" for line in trigger_notes(told))]
    return [*lines, *(["", *plan.notes] if plan.notes else []), *(f"Not planned: {p}" for p in plan.problems)]


def _with_rule(t: TargetPlan, addresses: bool, sample: int, rule: str) -> list[str]:
    """The rule in words, then what there is to say of the target; the rule is not said again of who enters by it."""
    moving = [line.replace(f" enter ({rule}): ", " enter: ") for line in sampled(t, addresses=addresses, sample=sample)]
    return [*([rule] if rule else []), *target_notes(t), *moving]


FIELD_HEAD = ("Written as", "Column", "Set", "Clear", "Unchanged", "Held")


def field_table(plan: Plan) -> Table:
    made = table(*FIELD_HEAD, numbers=range(2, 6))
    for f in plan.fields:
        made.add_row(*field_row(f))
    return made


def field_row(f: FieldPlan) -> tuple[str, ...]:
    numbers = (len(f.changes) - f.cleared, f.cleared, f.unchanged)
    return field_name(f.platform, f.name), f.column, *(f"{n:,}" for n in numbers), f"{f.held:,}" if f.held else ""


def field_name(platform: str, name: str) -> str:
    """'HubSpot property rollcall_city'."""
    return f"{adapters.load(platform).field_noun} {name}"


def field_notes(f: FieldPlan) -> list[str]:
    waiting = f.held or len(f.changes) - len(f.writable)
    lines = [f"{waiting:,} wait: {f.parked}" if waiting else f.parked] if f.parked else []
    return lines + [consequences.in_words(s, s.people) for s in f.starts] + list(f.notes)


def field_json(f: FieldPlan) -> dict[str, Any]:
    return {
        "platform": f.platform, "column": f.column, "field": f.name, "set": len(f.changes) - f.cleared, "cleared": f.cleared,
        "unchanged": f.unchanged, "held": f.held, "parked": f.parked, "waits_for_go_ahead": f.waits_for_go_ahead,
        "stuck": f.stuck, "notes": list(f.notes), "starts": [vars(s) for s in f.starts],
    }  # fmt: skip


def field_results(rows: Sequence[dict[str, Any]]) -> Table:
    head = ("Written", "Planned", "= Done", "+ Already", "+ Missing", "+ Refused", "+ Unknown", "+ Not sent")
    made = table(*head, numbers=range(1, 8))
    for row in rows:
        counts = (row.get(k, 0) for k in ("done", "already", "missing", "refused", "unknown", "not_sent"))
        made.add_row(Text(field_name(row["platform"], row["field"])), f"{row['planned']:,}", *(f"{n:,}" for n in counts))
    return made


def trigger_line(t: TriggerPlan) -> str:
    word = "enter" if t.on == "enter" else "leave"
    return f"Trigger {t.name} ({t.how}): {len(t.changes):,} who {word} '{t.segment}' would be told of."


def trigger_notes(t: TriggerPlan) -> list[str]:
    lines = [f"{t.held:,} wait: {t.parked}" if t.held else t.parked] if t.parked else []
    lines += [f"{n:,} left out: {reason}" for reason, n in t.excluded.items()]
    return lines + list(t.notes)


def trigger_json(t: TriggerPlan) -> dict[str, Any]:
    return {
        "trigger": t.name, "segment": t.segment, "on": t.on, "how": t.how, "people": len(t.changes), "held": t.held,
        "parked": t.parked, "waits_for_go_ahead": t.waits_for_go_ahead, "excluded": dict(t.excluded), "notes": list(t.notes),
    }  # fmt: skip


def plan_markdown(plan: Plan, *, addresses: bool = False, sample: int = SAMPLE, says: Mapping[str, str] = NO_WORDS) -> str:
    """The plan as a Markdown table with its notes; names are escaped, so that nothing in them is taken for markup."""
    head = ("Written as", "Segment", "Before", "+ Enter", "- Leave", "= After", "Held", "Excluded")
    lines = [f"# Plan of {plan.as_of}", "", f"Digest `{plan.digest}`, made {plan.made_at:%Y-%m-%d %H:%M} UTC.", ""]
    lines += [f"| {' | '.join(head)} |", "|" + "---|" * 2 + "---:|" * 6]
    for t in plan.targets:
        numbers = (t.before, t.entered, t.left, t.after, t.held, sum(t.excluded.values()))
        name = f"{noun(t.target.platform)} {t.object_name}"
        lines.append(f"| {in_markdown(name)} | {in_markdown(t.target.segment)} | {' | '.join(f'{n:,}' for n in numbers)} |")
    for t in plan.targets:
        found = _with_rule(t, addresses, sample, says.get(t.target.segment, ""))
        if found:
            lines += ["", f"## {in_markdown(t.object_name)} ({noun(t.target.platform)})", ""]
            lines += [f"- {in_markdown(line)}" for line in found]
    lines += field_markdown(plan.fields)
    for told in plan.triggers:
        lines += [
            "",
            f"## {in_markdown(told.name)}",
            "",
            *(f"- {in_markdown(x)}" for x in [trigger_line(told), *trigger_notes(told)]),
        ]
    lines += ["", *(f"- {in_markdown(n)}" for n in plan.notes)] if plan.notes else []
    return "\n".join(lines + [f"- Not planned: {in_markdown(p)}" for p in plan.problems])


def field_markdown(fields: Sequence[FieldPlan]) -> list[str]:
    if not fields:
        return []
    lines = ["", f"| {' | '.join(FIELD_HEAD)} |", "|" + "---|" * 2 + "---:|" * 4]
    lines += [f"| {' | '.join(in_markdown(cell) for cell in field_row(f))} |" for f in fields]
    for f in fields:
        if found := field_notes(f):
            lines += ["", f"## {in_markdown(field_name(f.platform, f.name))}", "", *(f"- {in_markdown(x)}" for x in found)]
    return lines


MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")


def in_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return MARKUP.sub(r"\\\1", " ".join(text.split()))


def noun(platform: str) -> str:
    """What we write there, in the owner's words."""
    return adapters.noun(platform)


def target_notes(t: TargetPlan) -> list[str]:
    lines = []
    if t.parked:
        lines.append(f"{t.held + len(t.changes) - len(t.writable):,} changes wait: {t.parked}")
    if t.excluded:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(t.excluded.items(), key=lambda e: (-e[1], e[0])))
        lines.append(f"{sum(t.excluded.values()):,} left out: {reasons}")
    lines += [f"{people:,} {DRIFT[kind]}" for kind, people in t.drift.items()]
    return lines + consequences_of(t) + list(t.notes)


def consequences_of(t: TargetPlan) -> list[str]:
    """What entering and leaving sets off, as far as anybody can tell."""
    people = {"enter": t.entered, "leave": t.left}
    lines = [consequences.in_words(s, min(s.people, people[s.on])) for s in t.starts if s.on != "value" and people[s.on]]
    is_quiet = t.creates_object or t.first_fill
    if t.target.starts == "journey" and t.entered and not t.starts and not is_quiet:
        lines.append(f'{t.entered:,} start what you meant to start by entering (starts = "journey")')
    if t.enters_as and t.entered:
        lines.append(f"of those who enter, {', '.join(f'{n:,} {kind}' for kind, n in t.enters_as.items())} contacts")
    return lines


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


def plan_json(plan: Plan, *, addresses: bool = False, says: Mapping[str, str] = NO_WORDS) -> dict[str, Any]:
    return {
        "schema": 1,
        "as_of": plan.as_of,
        "has_changes": plan.has_changes,
        "is_complete": plan.is_complete,
        "digest": plan.digest,
        "problems": list(plan.problems),
        "notes": list(plan.notes),
        "triggers": [trigger_json(t) for t in plan.triggers],
        "fields": [field_json(f) for f in plan.fields],
        "segments": [
            {
                "platform": t.target.platform,
                "segment": t.target.segment,
                "says": says.get(t.target.segment, ""),
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
                "starts": [vars(s) for s in t.starts],
                "enters_as": dict(t.enters_as),
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
            Text(f"{noun(r.platform)} {r.object_name}"),
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
