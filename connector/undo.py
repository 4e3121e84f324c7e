"""`undo RUN`: what a run added is taken off again, what it removed comes back, as far as that is possible, through a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import orjson

from connector import ledger
from connector.store import Store
from models.changes import Change, FieldPlan, Plan, TargetPlan, TriggerPlan
from models.errors import UsageError

REASON = "undoes run {}"
Part = TypeVar("Part", TargetPlan, FieldPlan, TriggerPlan)


@dataclass
class Before:
    """What one run really did to one object: contact id -> (e-mail, person id)."""

    object_id: str
    object_name: str
    added: dict[str, tuple[str, str]] = field(default_factory=dict)
    removed: dict[str, tuple[str, str]] = field(default_factory=dict)


def full_id(store: Store, run_id: str) -> str:
    """The run whose id begins so. Raises UsageError when none, or more than one, wrote anything."""
    written = "SELECT run_id FROM journal UNION SELECT run_id FROM field_writes"
    found = [r for (r,) in store.sql(f"SELECT DISTINCT run_id FROM ({written}) WHERE starts_with(run_id, ?)", [run_id])]
    if len(found) != 1:
        several = "Several runs begin" if found else "No run that wrote anything begins"
        raise UsageError(f"{several} with '{run_id}'. `rollcall runs` lists them.")
    return str(found[0])


def before_image(store: Store, run_id: str) -> dict[tuple[str, str], Before]:
    """(platform, segment) -> what the run changed, from the journal's outcomes. Raises UsageError when it changed nothing."""
    run_id = full_id(store, run_id)
    image: dict[tuple[str, str], Before] = {}
    for row in store.rows("SELECT * FROM journal WHERE run_id = ? ORDER BY intended_at, batch_id", [run_id]):
        key = (row["platform"], row["segment"])
        what = image.setdefault(key, Before(row["object_id"], row["object_name"]))
        what.object_id = row["object_id"] or what.object_id
        intent = orjson.loads(row["intent"])
        known = {m[0]: (m[1], m[2]) for m in (*intent["add"], *intent["remove"])}
        for contact, kind, result, _, *half in orjson.loads(row["outcome"] or "[]"):
            if (result == "done" or half) and contact in known:
                (what.added if kind == "add" else what.removed)[contact] = known[contact]
    if not any(b.added or b.removed for b in image.values()) and not store.sql(
        "SELECT 1 FROM field_writes WHERE run_id = ? AND state IN ('done', 'intended', 'unknown') LIMIT 1", [run_id]
    ):
        raise UsageError(f"The run '{run_id}' changed nothing on any platform, so there is nothing to undo.")
    return image


def reversed_plan(
    store: Store, fresh: Plan, image: dict[tuple[str, str], Before], allowed: dict[tuple[str, str], frozenset[str]], run_id: str
) -> tuple[Plan, list[str]]:
    """The plan that takes the run back, and what cannot be taken back, in words.

    fresh: a plan of this moment, for what is on the platforms now. allowed: who may carry the tag by consent now.
    Only what our ledger says is ours is removed; nobody is put back whose consent no longer permits it. As in a first fill,
    whoever comes back starts no automation where that can be prevented.
    """
    targets: list[TargetPlan] = []
    left: list[str] = []
    for t in fresh.targets:
        what = image.get((t.target.platform, t.target.segment))
        if what is None:
            continue
        ours = ledger.ours(store, t.target.platform, what.object_id)
        out = [
            _change(t, "remove", c, what.added[c], run_id)
            for c in sorted(what.added)
            if c in ours and what.object_id == t.object_id
        ]
        is_same = bool(t.object_id) and what.object_id == t.object_id
        if what.removed and not is_same:
            left.append(f"{t.object_name}: it is gone or another one now, so {len(what.removed)} are not put back")
        back = [_change(t, "add", c, what.removed[c], run_id) for c in sorted(what.removed) if is_same and c not in ours]
        may = allowed.get((t.target.platform, t.target.segment), frozenset())
        refused = [c for c in back if c.contact_id not in may]
        back = [c for c in back if c.contact_id in may]
        if refused:
            left.append(f"{t.object_name}: {len(refused)} cannot be put back; their consent, a pin or [exclude] forbids it now")
        if len(out) < len(what.added):
            left.append(
                f"{t.object_name}: {len(what.added) - len(out)} of {len(what.added)} were changed since and are left alone"
            )
        changes = tuple(sorted(out + back))
        targets.append(
            replace(
                t, changes=changes, entered=len(back), left=len(out), after=t.before + len(back) - len(out), held=0, parked="",
                waits_for_go_ahead=False, creates_object=False, first_fill=True, excluded={}, drift={}, notes=(),
            )
        )  # fmt: skip
    missing = sorted(f"{p} '{s}'" for p, s in image if (p, s) not in {(t.target.platform, t.target.segment) for t in targets})
    left += [f"{name}: no longer in the configuration, so its tag is left as it is" for name in missing]
    left.append("Mails and automations that the run started cannot be taken back.")
    return replace(fresh, targets=tuple(targets), undone=run_id), left


def _change(t: TargetPlan, kind: str, contact: str, who: tuple[str, str], run_id: str) -> Change:
    return Change(
        t.target.platform,
        t.target.segment,
        "add" if kind == "add" else "remove",
        contact,
        who[0],
        who[1],
        REASON.format(run_id),
    )


def restricted(plan: Plan, emails: Sequence[str], limit: int | None) -> Plan:
    """A canary: only these people's changes, or at most `limit` changes a tag, list, field or trigger; and whatever waits for nothing:
    who said no is taken off, too."""
    wanted = {e.strip().lower() for e in emails}
    parts: list[Any] = [*plan.targets, *plan.fields, *plan.triggers]
    known = {c.email.lower() for p in parts for c in p.changes if c.email}
    unknown = len(wanted - known)
    if unknown:
        raise UsageError(
            f"{unknown} of the {len(wanted)} addresses given with --only enter nothing in this plan. Check the spelling."
        )

    def some(part: Part) -> Part:
        changes: Sequence[Any] = part.changes
        must = [c for c in changes if getattr(c, "must", False)]
        waiting = [c for c in changes if not getattr(c, "must", False)]
        return narrowed(part, [c for c in waiting if not wanted or c.email.lower() in wanted][:limit] + must)

    return replace(
        plan,
        targets=tuple(some(t) for t in plan.targets),
        fields=tuple(some(f) for f in plan.fields),
        triggers=tuple(some(t) for t in plan.triggers if not t.waits_for_go_ahead),  # that it begins tries nothing
    )


def narrowed(part: Part, kept: Sequence[Any]) -> Part:
    """A part of a plan with some of its changes only, and what that does to its numbers."""
    changes, cut = tuple(kept), len(part.changes) - len(kept)
    if not cut:
        return part
    notes = (*part.notes, f"{cut:,} more changes are left out of this trial")
    if not isinstance(part, TargetPlan):
        return replace(part, changes=changes, held=part.held + cut, notes=notes)
    entered = sum(c.kind == "add" for c in changes)
    left = len(changes) - entered
    return replace(
        part, changes=changes, entered=entered, left=left, after=part.before + entered - left, held=part.held + cut,
        enters_as={}, notes=notes,  # of whom, nobody has counted
    )  # fmt: skip
