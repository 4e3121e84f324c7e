"""Saved plans: read back, checked against the world of now, and carried out only as far as they still hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import orjson

import adapters
from models.changes import PLAN_VERSION, FieldPlan, Plan, TargetPlan
from models.errors import StalePlan, UsageError

LIFE_HOURS = 24
MAX_DROPPED_PCT = 5
MOVES = {"add": "enter", "remove": "leave"}


def read(path: Path) -> Plan:
    """The plan in a file made by `plan --out`; raises UsageError where it is none, StalePlan where it was altered."""
    try:
        data = orjson.loads(path.read_bytes())
    except OSError as e:
        raise UsageError(f"{path} cannot be read ({e.strerror}). Make a plan with `rollcall plan --out FILE`.") from e
    except orjson.JSONDecodeError as e:
        raise UsageError(f"{path} is not a saved plan. Make one with `rollcall plan --out FILE`.") from e
    if not isinstance(data, dict) or data.get("version") != PLAN_VERSION:
        raise UsageError(f"{path} is not a plan this version can carry out. Make a new one with `rollcall plan --out FILE`.")
    try:
        plan = Plan.from_json(data)
    except (KeyError, TypeError, ValueError) as e:
        raise UsageError(f"{path} is damaged. Make a new plan with `rollcall plan --out FILE`.") from e
    if plan.digest != data.get("digest"):
        raise StalePlan(f"{path} was changed after it was made. Make a new plan.")
    return plan


def require_fresh(plan: Plan, now: datetime) -> None:
    if plan.made_at - now > timedelta(hours=1):
        raise StalePlan("The plan is from a time that is yet to come: the clock was wrong then, or is now. Make a new one.")
    if now - plan.made_at > timedelta(hours=LIFE_HOURS):
        raise StalePlan(f"The plan is older than {LIFE_HOURS} hours. Make a new one.")


def part(plan: Plan, platforms: Sequence[str], segments: Sequence[str]) -> Plan:
    """The part for these platforms and segments; none named means all. Raises UsageError when nothing is left.

    Fields belong to no segment; webhooks to no platform.
    """
    targets = tuple(
        t
        for t in plan.targets
        if (not platforms or t.target.platform in platforms) and (not segments or t.target.segment in segments)
    )
    told = tuple(t for t in plan.triggers if not platforms and (not segments or t.segment in segments))
    fields = tuple(f for f in plan.fields if not segments and (not platforms or f.platform in platforms))
    if not (targets or told or fields) and (platforms or segments):
        raise UsageError("The saved plan holds nothing for what you named. `rollcall plan` shows what there is.")
    used = {t.target.platform for t in targets} | {f.platform for f in fields}
    accounts = {p: a for p, a in plan.accounts.items() if p in used or told}
    return replace(plan, targets=targets, triggers=told, fields=fields, accounts=accounts)


def what_still_holds(saved: Plan, fresh: Plan) -> tuple[Plan, int]:
    """The saved plan without the changes a plan of now would not make, and how many those are.

    Raises StalePlan when configuration or accounts are others, or when more than 5 % would be dropped.
    """
    if saved.config_digest != fresh.config_digest:
        raise StalePlan("The configuration changed after this plan was made. Make a new plan.")
    silent = sorted(saved.accounts.keys() - fresh.accounts.keys())
    if silent:
        raise StalePlan(
            f"{' and '.join(adapters.title(p) for p in silent)} could not be looked at just now. Nothing was written; the plan "
            "can be carried out once that works again."
        )
    if {p: a for p, a in fresh.accounts.items() if p in saved.accounts} != saved.accounts:
        raise StalePlan("The plan was made for other accounts. Make a new plan.")
    now = {_key(t): t for t in fresh.targets}
    kept = [_restricted(t, now.get(_key(t))) for t in saved.targets]
    fields = tuple(_restricted_field(f, fresh) for f in saved.fields)
    planned = len(saved.changes) + sum(len(f.changes) for f in saved.fields)
    dropped = planned - sum(len(t.changes) for t in kept) - sum(len(f.changes) for f in fields)
    if dropped * 100 > MAX_DROPPED_PCT * planned:
        raise StalePlan(
            f"{dropped} of the plan's {planned} changes would no longer be made, more than {MAX_DROPPED_PCT} %. "
            "Make a new plan."
        )
    written = {(*_key(t), MOVES[c.kind]) for t in kept for c in t.changes} | {
        (f.platform, f.name, "value") for f in fields if f.changes
    }
    unseen = sorted(s for s in _starts(fresh) - _starts(saved) if (s[0], s[1], s[3]) in written)
    if unseen:
        raise StalePlan(
            f"The plan does not show that it would start '{unseen[0][2]}': that was switched on or changed since. Make a new plan."
        )
    going = {m.message_id for t in fresh.triggers for m in t.changes}
    waiting = {t.name for t in fresh.triggers if t.waits_for_go_ahead}  # one that has begun since does not begin again
    told = tuple(
        replace(
            t,
            changes=tuple(m for m in t.changes if m.message_id in going),
            waits_for_go_ahead=t.waits_for_go_ahead and t.name in waiting,
        )
        for t in saved.triggers
    )
    return replace(saved, targets=tuple(kept), triggers=told, fields=fields), dropped


def with_refusals(plan: Plan, fresh: Plan) -> tuple[Plan, int]:
    """The saved plan, and what a plan of now makes besides because somebody said no, or objected to being profiled, since it was
    saved, also in tags it does not speak of; and how many changes those are. A no waits for nobody's approval."""
    now = {_key(t): t for t in fresh.targets}
    values = {(f.platform, f.name): f for f in fresh.fields}
    targets = [_also_refused(t, now.pop(_key(t), None)) for t in plan.targets]
    fields = [_also_cleared(f, values.pop((f.platform, f.name), None)) for f in plan.fields]
    more = (_also_refused(replace(t, changes=(), entered=0, left=0), t) for t in now.values())
    targets += [t for t in more if t.changes]
    fields += [f for f in (_also_cleared(f.with_changes(()), f) for f in values.values()) if f.changes]
    found = replace(plan, targets=tuple(sorted(targets, key=_key)), fields=tuple(fields))
    return found, _size(found) - _size(plan)


def _also_refused(own: TargetPlan, fresh: TargetPlan | None) -> TargetPlan:
    also = {c for c in fresh.changes if c.must} - set(own.changes) if fresh else set()
    left = own.left + len(also)
    return (
        replace(own, changes=tuple(sorted({*own.changes, *also})), left=left, after=own.before + own.entered - left)
        if also
        else own
    )


def _also_cleared(own: FieldPlan, fresh: FieldPlan | None) -> FieldPlan:
    also = {c for c in fresh.changes if c.must} - set(own.changes) if fresh else set()
    return replace(own, changes=tuple(sorted({*own.changes, *also}))) if also else own


def _size(plan: Plan) -> int:
    return len(plan.changes) + sum(len(f.changes) for f in plan.fields)


def _starts(plan: Plan) -> set[tuple[str, str, str, str, int, str]]:
    """What the plan sets off: where, which automation, on what, how many mails, what it does to the bill."""
    found = {(*_key(t), s.name, s.on, s.mails, s.billing) for t in plan.targets for s in t.starts}
    return found | {(f.platform, f.name, s.name, s.on, s.mails, s.billing) for f in plan.fields for s in f.starts}


def _restricted_field(saved: FieldPlan, fresh: Plan) -> FieldPlan:
    """The values that would be set now too, waiting where they wait now."""
    now = next((f for f in fresh.fields if (f.platform, f.name) == (saved.platform, saved.name)), None)
    if now is None:
        return saved.with_changes(())
    still = set(now.changes)
    return now.with_changes(
        tuple(c for c in saved.changes if c in still), parked=now.parked, waits_for_go_ahead=now.waits_for_go_ahead
    )


def _key(t: TargetPlan) -> tuple[str, str]:
    return t.target.platform, t.target.segment


def _restricted(saved: TargetPlan, fresh: TargetPlan | None) -> TargetPlan:
    if fresh is None:
        return replace(saved, changes=(), entered=0, left=0, after=saved.before, creates_object=False)
    now = {(c.kind, c.contact_id): c for c in fresh.changes}
    changes = tuple(sorted(now[k] for k in {(c.kind, c.contact_id) for c in saved.changes} if k in now))
    entered = sum(c.kind == "add" for c in changes)
    left = len(changes) - entered
    return replace(fresh, changes=changes, entered=entered, left=left, before=fresh.before, after=fresh.before + entered - left)
