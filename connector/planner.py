"""The plan against the live platforms: what everybody should have, what they have now, and what may be done about it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace

from adapters.base import Adapter
from connector import (
    choices,
    clock,
    consent,
    desired,
    forgotten,
    guards,
    ledger,
    push,
    segment,
    undo,
)
from connector import plan as planning
from connector.config import pushed_name
from connector.session import Problem, Session, known_account
from models.changes import Observed, Plan, Target, TargetPlan
from models.errors import ConnectorError
from models.segments import Segment

log = logging.getLogger(__name__)


def plan_derived(
    s: Session,
    segments: Sequence[Segment],
    *,
    with_go_ahead: bool = False,
    only: Sequence[str] = (),
    allowed: frozenset[str] = frozenset(),
) -> Plan:
    """The same for segments whose members are worked out already (tables members and profile, and `s.counts`)."""
    excluded = s.config.exclude
    desired.set_global_exclusions(s.store, segment.matching(s.store, s.config, s.as_of, excluded.where) if excluded else [])
    stop = run_stop(s, allowed)
    targets: list[TargetPlan] = []
    problems: list[str] = []
    accounts: dict[str, str] = {}
    for platform in s.config.platforms:
        pushed = [g for g in segments if platform in g.push and (not only or platform in only)]
        if not pushed:
            continue
        try:
            adapter = s.adapter(platform)
            accounts[platform] = s.accounts.setdefault(platform, known_account(s, adapter)).id
            push.recover(s.store, adapter, run_id=s.run_id, now=s.now)
            ledger.follow_merges(s.store, platform)
            targets += _plan_platform(s, adapter, pushed, with_go_ahead, stop, allowed)
        except ConnectorError as e:
            if e.exit_code in (2, 4, 5):
                raise
            s.problem(e, platform)
            problems.append(f"{platform}: {e}")
    return Plan(
        made_at=s.now(),
        as_of=str(s.as_of.day),
        config_digest=s.config.digest(),
        accounts=accounts,
        targets=tuple(sorted(targets, key=lambda t: (t.target.platform, t.target.segment))),
        is_complete=not problems,
        problems=tuple(problems),
    )


def run_stop(s: Session, allowed: frozenset[str]) -> str:
    """Why nothing but removals of people who said no may be written in this run, '' when nothing stops it."""
    found = [*guards.stops(s.store, s.config), *s.stops]
    stopping = [stop for stop in found if stop.guard not in allowed]
    for stop in stopping:
        if all(p.text != stop.text for p in s.problems):
            s.problems.append(Problem(stop.text, 4))
    return f"guard {stopping[0].guard}: {stopping[0].text}" if stopping else ""


def _plan_platform(
    s: Session,
    adapter: Adapter,
    segments: Sequence[Segment],
    with_go_ahead: bool,
    stop: str,
    allowed: frozenset[str],
) -> list[TargetPlan]:
    wanted = _wanted(s, adapter, segments, stop, allowed)
    maybe = {w.target.segment: frozenset(w.desired) | w.ours for w in wanted}
    observed = adapter.observe([w.target for w in wanted], maybe)
    starts = max(0, s.config.push.max_starts_per_day - _started_today(s, adapter.name))
    plans = []
    for want, seen in zip(wanted, observed, strict=True):
        want = _owned(s, adapter, want, seen)
        if want.target.starts == "journey" and not want.is_first_fill:
            want = replace(want, allowance=starts)
        made = planning.plan_target(
            want, seen, _limits(s, adapter.name, want.target.segment, allowed), with_go_ahead=with_go_ahead
        )
        if want.allowance is not None:
            starts -= sum(c.kind == "add" for c in made.writable)
        plans.append(made)
    return plans


def _started_today(s: Session, platform: str) -> int:
    today = clock.local_day(s.now(), s.config.shop.timezone)
    return ledger.started_since(s.store, platform, clock.midnight_utc(today, s.config.shop.timezone))


def _owned(s: Session, adapter: Adapter, want: planning.Wanted, seen: Observed) -> planning.Wanted:
    """What is ours in the object that was found.

    An object of our name that is not the one we remember is a stranger's, and so is everybody in it: nothing of it is ours
    until the owner adopts it.
    """
    if not seen.exists:
        return want
    if want.is_our_object and seen.object_id != want.target.object_id:
        want = replace(want, is_our_object=False, ours=frozenset())
    if not want.is_our_object and want.is_adopted and seen.is_ours_kind:
        ledger.remember_object(s.store, want.target, seen.object_id, "adopted", s.now(), s.run_id)
        want = replace(want, is_our_object=True, ours=frozenset())
    if not want.is_our_object:
        return want
    ledger.mark_seen(s.store, adapter.name, seen.object_id, seen.members)
    erased = forgotten.still_ours(s.store, adapter.name, seen.object_id, seen.members)
    want = replace(want, ours=want.ours | erased, closed={**want.closed, **dict.fromkeys(erased, forgotten.REASON)})
    return replace(want, lagging=ledger.lagging(s.store, adapter.name, seen.object_id, s.now()) - seen.members)


def _limits(s: Session, platform: str, name: str, allowed: frozenset[str]) -> planning.Limits:
    g = s.config.guards
    usual = choices.usual_night(s.store, platform, name)
    return planning.Limits(g.max_leave_pct, g.max_enter_pct, g.max_change_count, g.min_members, usual, allowed)


def _wanted(
    s: Session, adapter: Adapter, segments: Sequence[Segment], stop: str, allowed: frozenset[str]
) -> list[planning.Wanted]:
    words = segment.sentences(s.store, s.config, list(segments))
    old = guards.stale(s.store, s.config, s.now())
    stale = old.text if old and old.guard not in allowed else ""
    found = []
    for channel in sorted({g.channel for g in segments}):
        consent.judge(s.store, s.config, adapter.name, channel)
        for g in (g for g in segments if g.channel == channel):
            found.append(_wanted_one(s, adapter, g, stop, stale, words[g.name]))
    return sorted(found, key=lambda w: w.target.segment)


def _wanted_one(s: Session, adapter: Adapter, g: Segment, stop: str, stale: str, words: str) -> planning.Wanted:
    if g.was:
        ledger.rename_segment(s.store, adapter.name, g.was, g.name)
    want = desired.who(s.store, s.config, adapter.name, adapter.title, g, day=s.as_of.day, now=s.now())
    object_id, known_name = ledger.object_of(s.store, adapter.name, g.name)
    name = known_name or pushed_name(s.config, g.name, g.tag, g.purpose)
    go_ahead = ledger.go_ahead(s.store, adapter.name, g.name)
    count = next(c for c in s.counts if c.segment == g.name)
    pause = choices.paused(s.store, g.name)
    ours = ledger.ours(s.store, adapter.name, object_id) if object_id else frozenset()
    return planning.Wanted(
        target=Target(adapter.name, g.name, name, object_id, g.purpose, g.starts),
        object_name=name,
        desired=want.members,
        closed=want.closed,
        excluded=want.excluded,
        ours=ours,
        is_our_object=bool(object_id),
        is_adopted=g.adopt,
        has_go_ahead=go_ahead is not None and ledger.go_ahead(s.store, adapter.name, "") is not None,
        is_first_fill=go_ahead is None or 0 < len(want.members.keys() - ours) <= ledger.filling(s.store, adapter.name, g.name),
        rule_changed=go_ahead is not None and go_ahead != rule_digest(g),
        not_ready=count.not_ready if not count.is_ready else stale,
        stopped=stop or (f'paused ({pause}): `rollcall segment resume "{g.name}"` goes on' if pause else ""),
        reason=words,
        leave_off=s.config.push.untagged_by_hand != "restore",
        notes=want.notes,
    )


def rule_digest(g: Segment) -> str:
    """Changes when the owner must be asked again: rule, purpose, channel or whether entering starts something."""
    return hashlib.sha256("\x1f".join((g.where, g.purpose, g.channel, g.starts)).encode()).hexdigest()[:16]


def undo_plan_derived(s: Session, run_id: str, allowed: frozenset[str] = frozenset()) -> tuple[Plan, list[str]]:
    """The same for segments whose members are worked out already."""
    image = undo.before_image(s.store, run_id)
    fresh = plan_derived(s, segment.resolve(s.config), only=sorted({p for p, _ in image}), allowed=allowed)
    segments = {g.name: g for g in segment.resolve(s.config)}
    may: dict[tuple[str, str], frozenset[str]] = {}
    for platform, name in image:
        if name in segments:
            consent.judge(s.store, s.config, platform, segments[name].channel)
            may[platform, name] = consent.allowed(s.store, segments[name].purpose)
    plan, left = undo.reversed_plan(s.store, fresh, image, may, run_id)
    stop = run_stop(s, allowed)
    guarded = []
    for t in plan.targets:
        limits = _limits(s, t.target.platform, t.target.segment, allowed)
        reason = stop or planning.guard(t.before, t.entered, t.left, limits)
        guarded.append(
            planning.held_back(t, f'{reason}; to undo it all the same: --allow GUARD --because "..."') if reason else t
        )
    plan = replace(plan, targets=tuple(guarded))
    choices.pause(s.store, [n for _, n in image], f"undone run {run_id}", s.now(), s.run_id)
    return plan, left


def note_parked(s: Session, plan: Plan) -> None:
    """Exit code 3 for what is parked or waits for a go-ahead for the first time; what was known before is only counted."""
    name = "parked_before"
    before = s.store.value("SELECT value FROM meta WHERE name = ?", [name]) or "[]"
    now = sorted(f"{t.target.platform}:{t.target.segment}:{t.parked.split(':')[0]}" for t in plan.targets if t.parked)
    with s.store.transaction():
        s.store.sql("DELETE FROM meta WHERE name = ?", [name])
        s.store.insert("meta", [{"name": name, "value": json.dumps(now)}])
    for t in plan.targets:
        if t.parked and f"{t.target.platform}:{t.target.segment}:{t.parked.split(':')[0]}" not in json.loads(before):
            s.problems.append(Problem(f"{t.target.platform} '{t.object_name}' waits: {t.parked}", 3, t.target.platform))
