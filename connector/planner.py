"""The plan against the live platforms: what everybody should have, what they have now, and what may be done about it."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from adapters.base import Adapter
from connector import (
    agreed,
    audit,
    choices,
    clock,
    consent,
    consequences,
    coverage,
    desired,
    extras,
    field_values,
    forgotten,
    guards,
    hands,
    journal,
    ledger,
    left_behind,
    parts,
    push,
    restore,
    segment,
    staleness,
    undo,
)
from connector import plan as planning
from connector.agreed import purpose_there, rule_digest
from connector.config import pushed_name
from connector.session import Problem, Session, known_account
from connector.store import Store
from models.changes import FieldPlan, Observed, Plan, Target, TargetPlan
from models.errors import ApiError, ConnectorError, UsageError
from models.segments import Segment

log = logging.getLogger(__name__)

MOST_CONFLICTS = 20
PAUSED = "paused ("


def plan_derived(
    s: Session,
    segments: Sequence[Segment],
    *,
    with_go_ahead: bool = False,
    only: Sequence[str] = (),
    named: Sequence[str] = (),
    allowed: frozenset[str] = frozenset(),
) -> Plan:
    """The plan for segments whose members are worked out already (tables members and profile, and `s.counts`).

    only: these platforms; named: these segments; none means all.
    """
    excluded = s.config.exclude
    desired.set_global_exclusions(s.store, segment.matching(s.store, s.config, s.as_of, excluded.where) if excluded else [])
    matching = {g.name: segment.matching(s.store, s.config, s.as_of, g.stays_while) for g in segments if g.stays_while}
    desired.set_staying(s.store, matching)
    stop = run_stop(s, allowed)
    ledger.rename_as_configured(s.store, s.config.platforms, segment.resolve(s.config))
    targets: list[TargetPlan] = []
    fields: list[FieldPlan] = []
    problems: list[str] = []
    notes: list[str] = []
    accounts: dict[str, str] = {}
    for platform in s.config.platforms:
        pushed = [g for g in segments if _is_pushed(s.store, g, platform) and (not named or g.name in named)]
        columns = [f for f in s.config.field if platform in f.push and not named]
        left = [] if named else left_behind.on(s, platform, segments)
        is_open = bool(journal.open_intents(s.store, platform))  # also of a segment that is no longer in the configuration
        if not (pushed or columns or left or is_open) or (only and platform not in only):
            continue
        try:
            adapter = s.adapter(platform)
            accounts[platform] = s.accounts.setdefault(platform, known_account(s, adapter)).id
            push.recover(s.store, adapter, run_id=s.run_id, now=s.now, tell=partial(_tell, s, platform))
            ledger.follow_merges(s.store, platform)
            left = left_behind.on(s, platform, segments) if is_open and not named else left
            planned = _plan_platform(s, adapter, pushed, left, with_go_ahead, stop, allowed) if pushed or left else []
            values = extras.plan_fields(s, adapter, columns, stop, with_go_ahead=with_go_ahead, allowed=allowed)
            planned, values, told = consequences.foretell(s.store, adapter, planned, values)
            targets, fields, notes = targets + planned, fields + values, notes + told
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
        notes=(
            *restore.said(s.store),
            *notes,
            *still_paused(s, targets, fields),
            *conflicts(s),
            *left_behind.said(s, segments),
            *extras.fields_left_behind(s),
        ),
        triggers=extras.plan_triggers(s, segments, stop, accounts, only, named),
        fields=tuple(fields),
    )


def _tell(s: Session, platform: str, text: str) -> None:
    s.problems.append(Problem(text, 3, platform))


def _is_pushed(store: Store, g: Segment, platform: str) -> bool:
    """A retired segment is planned as long as there is a tag of ours to take off."""
    if platform in g.retire:
        return bool(ledger.object_of(store, platform, g.name)[0])
    return platform in g.push


def conflicts(s: Session) -> list[str]:
    """Everybody who said no in one place and yes at a later date on a destination, with both dates; addresses masked."""
    wins = "the later yes wins (privacy.later_yes_wins)" if s.config.privacy.later_yes_wins else "the no wins"
    lines = [
        f"{segment.masked(c.email)} said no on {c.said_no_on} on {c.no_at:%Y-%m-%d} and yes on {s.adapter(platform).title} on "
        f"{c.yes_at:%Y-%m-%d}: {wins}"
        for (platform, _), c in sorted(s.conflicts.items())
    ]
    more = len(lines) - MOST_CONFLICTS
    return lines[:MOST_CONFLICTS] + ([f"{more:,} more said no in one place and yes in another: {wins}"] if more > 0 else [])


def still_paused(s: Session, targets: Sequence[TargetPlan], fields: Sequence[FieldPlan]) -> list[str]:
    """What is paused, in words, where no change that waits for it says so already."""
    said = {t.target.segment.casefold() for t in targets if t.parked.startswith(PAUSED)}
    waiting = {(f.platform, f.name) for f in fields if f.parked.startswith(PAUSED)}
    for section in s.config.field:
        label = field_values.label_of(section)
        if any((p, s.adapter(p).field_name(label)) in waiting for p in section.push if waiting):
            said.add(field_values.key_of(section).casefold())
    return [
        f'{name} is paused ({because}): `rollcall segment resume "{name}"` goes on'
        for name, because in choices.all_paused(s.store)
        if name.casefold() not in said
    ]


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
    left: Sequence[Segment],
    with_go_ahead: bool,
    stop: str,
    allowed: frozenset[str],
) -> list[TargetPlan]:
    wanted = _wanted(s, adapter, segments, stop, allowed, with_go_ahead)
    wanted += [left_behind.wanted(s, adapter, g) for g in left]
    maybe = {w.target.segment: frozenset(w.desired) | w.ours | w.given for w in wanted}
    s.looked_at[adapter.name] = s.now()
    observed = adapter.observe([w.target for w in wanted], maybe)
    to_make = [w.target for w, seen in zip(wanted, observed, strict=True) if w.desired and not seen.exists]
    no_room = adapter.without_room(to_make) if to_make else {}
    starts = max(0, s.config.push.max_starts_per_day - _started_today(s, adapter.name))
    begun: Counter[str] = Counter()  # contact -> how many journeys this very plan begins
    plans = []
    for want, seen in zip(wanted, observed, strict=True):
        target = parts.settled(s.store, want.target, maybe[want.target.segment], seen)
        if not target.part and adapter.values_outlive_objects:
            target = replace(target, part="off")  # whatever the platform says a moment later
        want = replace(
            want, target=target, notes=(*want.notes, *_beside(want, target, seen)), no_room=no_room.get(target.segment, "")
        )
        want = _not_taken(s, want, seen)
        want, seen = _with_forgotten(s, adapter, want, seen)
        want = _owned(s, adapter, want, seen)
        if want.target.starts == "journey":
            seen = replace(seen, closed_to={**seen.closed_to, **_in_journeys(s, want, begun)})
            want = want if want.is_first_fill else replace(want, allowance=starts)
        want = hands.taken_off(s, adapter, want, seen)
        made = planning.plan_target(
            want, seen, _limits(s, adapter.name, want.target.segment, allowed), with_go_ahead=with_go_ahead
        )
        if want.allowance is not None:
            starts -= sum(c.kind == "add" for c in made.writable)
            begun.update(c.contact_id for c in made.writable if c.kind == "add")
        plans.append(made)
    return left_behind.only_refusals(plans, {g.name for g in left})


def _beside(want: planning.Wanted, target: Target, seen: Observed) -> list[str]:
    """What is to be said of the option beside a list."""
    left = len(want.given - want.desired.keys()) if target.part == "closed" else 0
    kept = len(target.kept) if seen.part else 0
    return [text.format(n) for text, n in ((parts.KEPT, kept), (parts.LEFT, left)) if n]


def _with_forgotten(s: Session, adapter: Adapter, want: planning.Wanted, seen: Observed) -> tuple[planning.Wanted, Observed]:
    """Forgotten contacts who are off the list and have its option still: nobody can ask for them by their ids."""
    target = want.target
    if not seen.part or not forgotten.were_given(s.store, target.platform, target.segment):
        return want, seen
    try:
        holders = adapter.holders(target)
    except ApiError as e:
        note = (
            f"whether somebody who was forgotten still has the segment's option could not be looked up ({e.code or e.status})"
        )
        return replace(want, notes=(*want.notes, note)), seen
    found = forgotten.still_given(s.store, target.platform, target.segment, holders) - seen.members
    forgotten.only_given(s.store, target.platform, target.segment, holders | seen.members)
    closed = {**want.closed, **dict.fromkeys(found, forgotten.REASON)}
    return replace(want, given=want.given | found, closed=closed), replace(seen, carriers=seen.carriers | found)


def _in_journeys(s: Session, want: planning.Wanted, begun: Counter[str]) -> dict[str, str]:
    """Who may enter no further journey now, and why. Whoever is in the segment already stays."""
    limit, days = s.config.push.max_journeys_per_person, s.config.push.journeys_days
    since = s.now() - timedelta(days=days)
    filled = want.target.segment if want.is_first_fill else ""  # a fill that the owner agreed to puts back whom it had before
    before = journal.in_journeys(s.store, want.target.platform, filled, since)
    also = Counter[str]() if want.is_first_fill else begun
    reason = f"entered {limit} journeys within {days} days"
    return {c: reason for c in want.desired if before.get(c, 0) + also[c] >= limit}


def _started_today(s: Session, platform: str) -> int:
    today = clock.local_day(s.now(), s.config.shop.timezone)
    return journal.started_since(s.store, platform, clock.midnight_utc(today, s.config.shop.timezone), s.now())


def _not_taken(s: Session, want: planning.Wanted, seen: Observed) -> planning.Wanted:
    """Two segments never fill one tag or list: each would take off whom the other put on. Where another adopted it since, it is
    that one's."""
    target = want.target
    keeper = ledger.adopted_by(s.store, target) if want.is_our_object else ledger.keeper_of(s.store, target, seen.object_id)
    platform = want.target.platform
    is_kept = any(g.name == keeper and platform in (*g.push, *g.retire) for g in segment.resolve(s.config))
    return replace(want, taken_by=keeper, is_adopted=False) if is_kept else want


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
        shared = (planning.SHARED,) if seen.made_by == "another" else ()
        if want.has_go_ahead:  # it was given for another one, or for none: somebody's automation may wait for this
            ledger.withdraw_go_ahead(s.store, adapter.name, want.target.segment, s.now(), s.run_id, because="adopted")
        want = replace(want, is_our_object=True, ours=frozenset(), notes=(*want.notes, *shared))
        want = replace(want, has_go_ahead=False, is_first_fill=True)
    if not want.is_our_object:
        return want
    if late := push.came_late(s.store, adapter, seen.object_id, seen.members - want.ours, s.now()):
        ledger.count_as_ours(s.store, want.target, seen.object_id, late, s.now(), s.run_id)
        told = f"{len(late)} of an unfinished run counted as ours"
        audit.note(s.store, "late", s.now(), s.run_id, platform=adapter.name, object_id=seen.object_id, detail=told)
        want = replace(want, ours=want.ours | late)
    if want.is_unproven:  # who is not there was taken off since then, by us or by hand
        want = replace(want, ours=want.ours & seen.members)
    ledger.mark_seen(s.store, adapter.name, seen.object_id, seen.members)
    erased = forgotten.still_ours(s.store, adapter.name, seen.object_id, seen.members)
    want = replace(want, ours=want.ours | erased, closed={**want.closed, **dict.fromkeys(erased, forgotten.REASON)})
    return replace(want, lagging=ledger.lagging(s.store, adapter.name, seen.object_id, s.now()) - seen.members)


def _limits(s: Session, platform: str, name: str, allowed: frozenset[str]) -> planning.Limits:
    g = s.config.guards
    usual = choices.usual_night(s.store, platform, name)
    return planning.Limits(g.max_leave_pct, g.max_enter_pct, g.max_change_count, g.min_members, usual, allowed)


def _wanted(
    s: Session, adapter: Adapter, segments: Sequence[Segment], stop: str, allowed: frozenset[str], with_go_ahead: bool
) -> list[planning.Wanted]:
    words = segment.sentences(s.store, s.config, list(segments))
    old = staleness.of_segments(s, segments, allowed)
    held = coverage.of_segments(s.store, s.config, segments)
    found = []
    for channel in sorted({g.channel for g in segments}):
        consent.judge(s.store, s.config, adapter.name, channel)
        s.conflicts.update({(adapter.name, c.contact_id): c for c in consent.conflicts(s.store, adapter.name)})
        for g in (g for g in segments if g.channel == channel):
            want = _wanted_one(s, adapter, g, stop, old[g.name], words[g.name], held[g.name])
            found.append(want if with_go_ahead else _as_agreed(s, adapter, g, want))
    return sorted(found, key=lambda w: w.target.segment)


def _as_agreed(s: Session, adapter: Adapter, g: Segment, want: planning.Wanted) -> planning.Wanted:
    """Until the owner agrees to another channel or purpose, whoever said no to the one it was for may not carry the tag either."""
    closed = agreed.closed(s.store, s.config, adapter.name, g)
    if not closed:
        return want
    return replace(want, closed={**closed, **want.closed}, desired={c: m for c, m in want.desired.items() if c not in closed})


def _wanted_one(
    s: Session, adapter: Adapter, g: Segment, stop: str, stale: str, words: str, held: coverage.Coverage
) -> planning.Wanted:
    object_id, known_name = ledger.object_of(s.store, adapter.name, g.name)
    turned = ""
    if purpose_there(s.store, adapter.name, g) != g.purpose:
        g = replace(g, purpose="marketing")
        turned = (
            f"'{known_name}' was made for mailing and does not carry the word service: it is kept for whom it may be used to "
            "mail. Give the service segment another name, and retire this one"
        )
    want = desired.who(s.store, s.config, adapter.name, adapter.title, g, day=s.as_of.day)
    if adapter.name in g.retire:
        want = replace(
            want, members={}, excluded={}, notes=(f"retired: once it is off everybody, the {adapter.noun} is left alone",)
        )
    name = known_name or pushed_name(s.config, g.name, g.tag, g.purpose)
    go_ahead = ledger.go_ahead(s.store, adapter.name, g.name)
    filling = ledger.filling(s.store, adapter.name, g.name)
    more_data = coverage.more(s.store, adapter.name, g.name, held) if adapter.name in g.push else ""
    count = next(c for c in s.counts if c.segment == g.name)
    pause = choices.paused(s.store, g.name)
    ours = ledger.ours(s.store, adapter.name, object_id) if object_id else frozenset()
    target = parts.known(s.store, Target(adapter.name, g.name, name, object_id, g.purpose, g.starts), is_adopted=g.adopt)
    return planning.Wanted(
        target=target,
        given=parts.given(s.store, target),
        object_name=name,
        desired=want.members,
        closed=want.closed,
        excluded=want.excluded,
        reasons=want.reasons,
        because=want.because,
        ours=ours,
        stuck=want.stuck,
        is_our_object=bool(object_id),
        is_adopted=g.adopt,
        has_go_ahead=go_ahead is not None and ledger.go_ahead(s.store, adapter.name, "") is not None,
        is_first_fill=go_ahead != rule_digest(g, adapter.name) or filling > 0 or bool(more_data),
        agreed=filling,
        rule_changed=go_ahead is not None and go_ahead != rule_digest(g, adapter.name),
        more_data=more_data,
        not_ready="" if adapter.name in g.retire else (count.not_ready if not count.is_ready else stale),
        stopped=stop or turned or (f'paused ({pause}): `rollcall segment resume "{g.name}"` goes on' if pause else ""),
        reason=words,
        leave_off=s.config.push.untagged_by_hand != "restore",
        is_unproven=bool(restore.doubt(s.store)),
        notes=(*want.notes, *([turned] if turned else [])),
    )


def undo_plan_derived(s: Session, run_id: str, allowed: frozenset[str] = frozenset()) -> tuple[Plan, list[str]]:
    """The same for segments whose members are worked out already."""
    if restore.doubt(s.store):
        raise UsageError("The ledger came from a backup. Run `rollcall ledger rebuild` before a run is undone.")
    run_id = undo.full_id(s.store, run_id)
    ledger.rename_as_configured(s.store, s.config.platforms, segment.resolve(s.config))  # the run is told of under these names
    image = undo.before_image(s.store, run_id)
    places = sorted({p for p, _ in image} | set(extras.field_platforms(s, run_id)))
    fresh = plan_derived(s, segment.resolve(s.config), only=places, allowed=allowed)
    segments = {g.name: g for g in segment.resolve(s.config)}
    may: dict[tuple[str, str], frozenset[str]] = {}
    for platform, name in image:
        if name in segments:
            permitted = agreed.permitted(s.store, s.config, platform, segments[name])
            may[platform, name] = permitted - desired.kept_out(s.store, platform, segments[name])
    plan, left = undo.reversed_plan(s.store, fresh, image, may, run_id)
    stop = run_stop(s, allowed)
    guarded = []
    for t in plan.targets:
        limits = _limits(s, t.target.platform, t.target.segment, allowed)
        reason = stop or planning.guard(t.before, t.entered, t.left, limits)
        guarded.append(
            planning.held_back(t, f'{reason}; to undo it all the same: --allow GUARD --because "..."') if reason else t
        )
    fields, kept = extras.undo_fields(s, run_id, stop, allowed)
    foretold = [_foretold(s, platform, guarded, fields) for platform in places if platform in s.config.platforms]
    plan = replace(
        plan, triggers=(), targets=tuple(t for targets, _, _ in foretold for t in targets),
        fields=tuple(f for _, of_platform, _ in foretold for f in of_platform),
    )  # fmt: skip
    left = [*(note for _, _, notes in foretold for note in notes), *kept, *left]
    choices.pause(s.store, [n for _, n in image], f"undone run {run_id}", s.now(), s.run_id)
    return plan, left


def _foretold(s: Session, platform: str, targets: Sequence[TargetPlan], fields: Sequence[FieldPlan]) -> consequences.Planned:
    own = [t for t in targets if t.target.platform == platform]
    return consequences.foretell(s.store, s.adapter(platform), own, [f for f in fields if f.platform == platform])


def note_parked(s: Session, plan: Plan, *, begun: bool = False) -> None:
    """Exit code 3 for what is parked or waits for a go-ahead for the first time; what was known before is only counted.

    begun: triggers that waited for a go-ahead got it in this run.
    """
    name = "parked_before"
    before = s.store.value("SELECT value FROM meta WHERE name = ?", [name]) or "[]"
    waiting = [(t.target.platform, f"{t.target.platform}:{t.target.segment}:", t.object_name, t.parked) for t in plan.targets]
    waiting += [(f.platform, f"{f.platform}:field:{f.name}:", f"field {f.name}", f.parked) for f in plan.fields]
    told = [(t, "" if begun and t.waits_for_go_ahead else t.parked) for t in plan.triggers]
    waiting += [("", f"trigger:{t.name}:", f"Trigger {t.name}", parked) for t, parked in told]
    others = [kept for kept in json.loads(before) if not kept.startswith(tuple(key for _, key, _, _ in waiting))]
    now = sorted([*others, *(key + _kind(parked) for _, key, _, parked in waiting if parked)])
    with s.store.transaction():
        s.store.sql("DELETE FROM meta WHERE name = ?", [name])
        s.store.insert("meta", [{"name": name, "value": json.dumps(now)}])
    for platform, key, name, parked in waiting:
        if parked and key + _kind(parked) not in json.loads(before):
            s.problems.append(Problem(f"{platform} '{name}' waits: {parked}" if platform else f"{name}: {parked}", 3, platform))


def _kind(parked: str) -> str:
    """Why something waits, without the numbers of this night."""
    return re.sub(r"\d[\d,.]*", "", parked.split(":")[0])
