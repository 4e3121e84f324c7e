"""Saved plans: read back, checked against the world of now, and carried out only as far as they still hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import orjson

from models.changes import PLAN_VERSION, Plan, TargetPlan
from models.errors import StalePlan, UsageError

LIFE_HOURS = 24
MAX_DROPPED_PCT = 5


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
    if now - plan.made_at > timedelta(hours=LIFE_HOURS):
        raise StalePlan(f"The plan is older than {LIFE_HOURS} hours. Make a new one.")


def what_still_holds(saved: Plan, fresh: Plan) -> tuple[Plan, int]:
    """The saved plan without the changes a plan of now would not make, and how many those are.

    Raises StalePlan when configuration or accounts are others, or when more than 5 % would be dropped.
    """
    if saved.config_digest != fresh.config_digest:
        raise StalePlan("The configuration changed after this plan was made. Make a new plan.")
    if {p: a for p, a in fresh.accounts.items() if p in saved.accounts} != saved.accounts:
        raise StalePlan("The plan was made for other accounts. Make a new plan.")
    now = {_key(t): t for t in fresh.targets}
    kept = [_restricted(t, now.get(_key(t))) for t in saved.targets]
    planned = len(saved.changes)
    dropped = planned - sum(len(t.changes) for t in kept)
    if dropped * 100 > MAX_DROPPED_PCT * planned:
        raise StalePlan(
            f"{dropped} of the plan's {planned} changes would no longer be made, more than {MAX_DROPPED_PCT} %. "
            "Make a new plan."
        )
    return replace(saved, targets=tuple(kept)), dropped


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
