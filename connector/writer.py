"""A plan is carried out: consent read once more, go-aheads recorded, what was written looked at."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial

import adapters
from adapters.base import Adapter
from connector import (
    agreed,
    backup,
    choices,
    consent,
    consent_again,
    coverage,
    extras,
    ledger,
    parts,
    push,
    segment,
    trial,
)
from connector.agreed import rule_digest
from connector.config import Config, is_loopback
from connector.session import Problem, Session, known_account
from models.changes import Observed, Plan, TargetPlan, TargetResult
from models.errors import ConnectorError, StalePlan, UsageError
from models.segments import Segment

log = logging.getLogger(__name__)

LOOK_HOLDS = timedelta(minutes=2)
"""After a plan's look at a tag: the owner may have been asked in between, and may have tagged somebody meanwhile."""


def allow_writing(config: Config, *, as_of: date | None, platforms: Iterable[str], tells: bool = True) -> None:
    """Raises UsageError unless writing is allowed at all: off this machine never a look at another day, and nothing before
    `trial.LIVE`. tells: triggers are set off too."""
    outside = [p for p in platforms if not config.is_loopback(p)]
    outside += [f"trigger '{t.name}'" for t in config.trigger if tells and t.url and not is_loopback(t.url)]
    if outside and as_of is not None:
        raise UsageError(
            f"--as-of looks at another day and must not write to live accounts ({', '.join(outside)}). Leave it out, or use `plan`."
        )
    if outside and not trial.LIVE:
        raise UsageError(
            f"Writing to live accounts is not switched on in this version ({', '.join(outside)}). "
            "`plan` shows what would change; writing works against the sandbox (a loopback base_url)."
        )


def carry_out(s: Session, plan: Plan, *, first: bool = False, canary: bool = False) -> list[TargetResult]:
    """Write the plan: platforms with `push = true` only, after consent of everybody who enters was read once more.

    first: the owner's go-ahead, recorded for the segments of this plan; a canary tries some people and records none.
    """
    if plan.config_digest != s.config.digest():
        raise StalePlan("The configuration changed after this plan was made. Make a new plan.")
    segments = {g.name: g for g in segment.resolve(s.config)}
    for platform in dict.fromkeys([*(t.target.platform for t in plan.targets), *(f.platform for f in plan.fields)]):
        values = [f for f in plan.fields if f.platform == platform]
        if not s.config.platform(platform).push:
            waiting = sum(len(t.writable) for t in plan.targets if t.target.platform == platform)
            waiting += sum(len(f.writable) for f in values)
            if waiting:
                _tell_unwritten(s, platform, waiting)
            continue
        s.store.sql("DELETE FROM meta WHERE name = ?", [_UNWRITTEN.format(platform)])
        adapter = s.adapter(platform)
        try:
            account = known_account(s, adapter)
        except ConnectorError as e:  # the others go on
            if e.exit_code in (2, 5):
                raise
            s.problem(e, platform)
            continue
        if plan.accounts.get(platform) != account.id:
            raise StalePlan(f"The plan was made for another {adapter.title} account. Make a new plan.")
        own = [t for t in plan.targets if t.target.platform == platform]
        if canary:
            own = [replace(t, waits_for_go_ahead=False) if first else t for t in own]
            for t in own:
                if t.makes_object:  # its other people are to be asked for as ever
                    ledger.withdraw_go_ahead(s.store, platform, t.target.segment, s.now(), s.run_id)
        if first and not canary:
            _record_go_aheads(s, platform, own, segments)
        if plan.undone:
            _reopen_fills(s, adapter, own)
        asked = still_allowed(s, adapter, own)
        looked_at = min(plan.made_at, s.looked_at.get(platform, plan.made_at))
        asked = _not_in_it_yet(s, adapter, asked, None if plan.undone else looked_at)
        unheard = {t.target.segment for t, before in zip(asked, own, strict=True) if t.held > before.held}
        own = asked
        if not canary and not plan.undone:
            _note_coverage(s, platform, own, segments)
        results = push.carry_out(
            s.store, adapter, own, run_id=s.run_id, now=s.now, progress=s.progress,
            still_allowed=partial(still_allowed, s, adapter),
        )  # fmt: skip
        s.results += results
        if not canary:
            if not plan.undone:
                filled = [t for t in own if t.target.segment not in unheard and _is_filled(segments, platform, t)]
                _end_fills(s, platform, filled, results)
            _let_go(s, platform, [g for g in segments.values() if platform in g.retire], own)
        for t in own:
            if not (canary or t.first_fill or t.waits_for_go_ahead or t.parked):
                choices.note_night(s.store, s.run_id, platform, t.target.segment, len(t.changes))
        _verify(s, adapter, own)
        extras.write_fields(s, adapter, values, first=first, canary=canary)
        trial.note(s, plan)
    extras.tell(s, plan.triggers, segments, first=first and not canary)
    trial.note(s, plan)
    for result in s.results:
        if isinstance(result.error, ConnectorError):
            s.problem(result.error, result.platform)
        lost = result.counts.get("refused", 0) + result.counts.get("missing", 0) + result.counts.get("unknown", 0)
        if lost and not result.error:
            s.problems.append(
                Problem(f"{result.platform} '{result.object_name}': {lost} changes could not be made", 3, result.platform)
            )
    s.summary["push"] = [{k: v for k, v in vars(r).items() if k != "error"} for r in s.results]
    if s.results or s.field_results:
        backup.after_push(s.store, s.config, s.now())
    return s.results


_UNWRITTEN = "unwritten:{}"


def _tell_unwritten(s: Session, platform: str, changes: int) -> None:
    """A problem of the first run that meets it: an owner who leaves the line out means it."""
    text = f"{platform}: {changes} changes are not written because [{platform}] has no push = true."
    name = _UNWRITTEN.format(platform)
    if s.store.sql("SELECT 1 FROM meta WHERE name = ?", [name]):
        s.notices.append(text)
        return
    s.store.insert("meta", [{"name": name, "value": "said"}])
    s.problems.append(Problem(text, 3, platform))


def _record_go_aheads(s: Session, platform: str, plans: Sequence[TargetPlan], segments: dict[str, Segment]) -> None:
    plans = [t for t in plans if _is_filled(segments, platform, t)]
    held = coverage.of_segments(s.store, s.config, [segments[t.target.segment] for t in plans])
    if ledger.go_ahead(s.store, platform, "") is None:
        ledger.give_go_ahead(s.store, platform, "", "", sum(t.entered for t in plans), s.now(), s.run_id)
    for t in plans:
        digest = rule_digest(segments[t.target.segment], platform)
        if t.parked and not t.waits_for_go_ahead:
            continue
        with s.store.transaction():
            if t.first_fill or t.creates_object:
                ledger.begin_fill(s.store, platform, t.target.segment, t.entered)
            coverage.remember(s.store, platform, t.target.segment, held[t.target.segment])
            agreed.note(s.store, platform, segments[t.target.segment])
            if ledger.go_ahead(s.store, platform, t.target.segment) != digest:
                ledger.give_go_ahead(s.store, platform, t.target.segment, digest, t.entered, s.now(), s.run_id)


def _is_filled(segments: dict[str, Segment], platform: str, plan: TargetPlan) -> bool:
    """Whether a segment of the configuration is behind it: what is left behind is given no go-ahead."""
    g = segments.get(plan.target.segment)
    return g is not None and platform in (*g.push, *g.retire)


def _note_coverage(s: Session, platform: str, plans: Sequence[TargetPlan], segments: dict[str, Segment]) -> None:
    plans = [t for t in plans if _is_filled(segments, platform, t)]
    with_yes = [segments[t.target.segment] for t in plans if ledger.go_ahead(s.store, platform, t.target.segment) is not None]
    held = coverage.of_segments(s.store, s.config, with_yes) if with_yes else {}
    for g in with_yes:
        coverage.keep_up(s.store, platform, g.name, held[g.name])
        if ledger.go_ahead(s.store, platform, g.name) == rule_digest(g, platform):  # agreed to as it stands, also long ago
            agreed.note(s.store, platform, g)


def _reopen_fills(s: Session, adapter: Adapter, plans: Sequence[TargetPlan]) -> None:
    """Whom an undo takes off may come back once the segment goes on, and starts nothing then: it is a fill again. Not where
    coming back starts a journey and nothing can be added quietly: there the limit of starts a day holds as on any night.

    Before anything is written, so that it holds for an undo that is cut short too.
    """
    for t in plans:
        off = sum(c.kind == "remove" for c in t.writable)
        is_loud = t.target.starts == "journey" and not adapter.can_be_quiet
        if not is_loud and off > ledger.filling(s.store, adapter.name, t.target.segment):
            ledger.begin_fill(s.store, adapter.name, t.target.segment, off)


def _end_fills(s: Session, platform: str, plans: Sequence[TargetPlan], results: Sequence[TargetResult]) -> None:
    """A fill has ended once everything planned for it was sent; one that was cut short goes on with the next run."""
    cut = {r.segment for r in results if r.error or r.not_sent}
    for t in plans:
        if t.target.segment not in cut and not t.parked:
            ledger.end_fill(s.store, platform, t.target.segment)


def _let_go(s: Session, platform: str, retired: Sequence[Segment], plans: Sequence[TargetPlan]) -> None:
    """A retired segment's object is ours no more once nobody we added is in it, or has what is beside it and can be reached; the
    object itself is never deleted.

    Not in the run that emptied it, which can still be undone.
    """
    looked_at = {t.target.segment for t in plans}
    beside = s.adapter(platform).values_outlive_objects
    written = {r.segment for r in s.results if r.platform == platform}
    for g in retired:
        if (
            g.name in looked_at
            and g.name not in written
            and ledger.object_of(s.store, platform, g.name)[0]
            and not ledger.holds(s.store, platform, g.name)
            and not (beside and parts.holds(s.store, platform, g.name))
        ):
            ledger.let_go(s.store, platform, g.name, s.now(), s.run_id)


def still_allowed(s: Session, adapter: Adapter, plans: Sequence[TargetPlan]) -> list[TargetPlan]:
    """The plans without the entries whose consent, asked for again on every platform at this moment, no longer permits them.

    Whom a platform knows that does not answer waits for the next run: what it said until its last pull stays in force, and what
    it would say now nobody can tell. Those are in `held` of the plans. entered = still entering + dropped + held.
    """
    entering = {c.contact_id for t in plans for c in t.writable if c.kind == "add"}
    if not entering:
        return list(plans)
    unheard = consent_again.of_contacts(s, adapter.name, entering)
    segments = {g.name: g for g in segment.resolve(s.config)}
    allowed: dict[tuple[str, str], frozenset[str]] = {}
    kept = []
    for t in plans:
        if t.target.segment not in segments:  # of a segment that is gone nobody enters
            kept.append(t)
            continue
        g = segments[t.target.segment]
        rule = g.channel, agreed.purpose_there(s.store, adapter.name, g)
        if rule not in allowed:
            consent.judge(s.store, s.config, adapter.name, g.channel)
            allowed[rule] = consent.allowed(s.store, rule[1])
        may = allowed[rule] - agreed.closed(s.store, s.config, adapter.name, g).keys()
        kept.append(_still_entering(s, adapter, t, may, unheard))
    return kept


def _not_in_it_yet(s: Session, adapter: Adapter, plans: Sequence[TargetPlan], looked_at: datetime | None) -> list[TargetPlan]:
    """The plans without whoever was put there by somebody else since, where the answer to a write does not tell that: such a tag
    would count as ours, and be taken off one day. Where the platform does not say who is in it, they wait for the next run, and so
    they do where somebody else has made meanwhile what is to be made. looked_at: None where who comes back was
    worked out from the books alone."""
    entering = [t for t in plans if any(c.kind == "add" for c in t.writable)]
    if adapter.tells_who_was_in or not entering:
        return list(plans)
    if looked_at is not None and timedelta(0) <= s.now() - looked_at <= LOOK_HOLDS:  # a clock may be set back
        return list(plans)
    maybe = {t.target.segment: frozenset(c.contact_id for c in t.writable if c.kind == "add") for t in entering}
    try:
        seen = adapter.observe([replace(t.target, object_id=t.object_id) for t in entering], maybe)
    except ConnectorError as e:
        s.problem(e, adapter.name)
        why = f"{adapter.title} could not be asked who was put there by hand since the plan was made. The next run asks again."
        return [_waiting(s, adapter, t, why) if t in entering else t for t in plans]
    there = {one.target.segment: one for one in seen}
    return [_as_seen(s, adapter, t, there[t.target.segment]) if t in entering else t for t in plans]


def _as_seen(s: Session, adapter: Adapter, t: TargetPlan, seen: Observed) -> TargetPlan:
    if t.makes_object and seen.exists:
        return _waiting(s, adapter, t, "somebody else has made it since the plan was made. `rollcall plan` says what to do.")
    return _without_members(t, seen.members)


def _without_members(t: TargetPlan, members: frozenset[str]) -> TargetPlan:
    changes = tuple(c for c in t.changes if c.kind == "remove" or c.contact_id not in members)
    over = len(t.changes) - len(changes)
    return replace(t, changes=changes, before=t.before + over, entered=t.entered - over)


def _waiting(s: Session, adapter: Adapter, t: TargetPlan, why: str) -> TargetPlan:
    """The plan without its entries; removals go on."""
    changes = tuple(c for c in t.changes if c.kind == "remove")
    waiting = len(t.changes) - len(changes)
    text = f"{adapter.title} '{t.object_name}': {waiting:,} who would enter wait, because {why}"
    s.problems.append(Problem(text, 3, adapter.name))
    return replace(t, changes=changes, entered=t.entered - waiting, after=t.after - waiting, held=t.held + waiting)


def _still_entering(
    s: Session, adapter: Adapter, t: TargetPlan, allowed: frozenset[str], unheard: Mapping[str, frozenset[str]]
) -> TargetPlan:
    adds = {c.contact_id for c in t.writable if c.kind == "add"}
    known = {p: contacts & adds & allowed for p, contacts in unheard.items()}
    silent = frozenset[str]().union(*known.values())
    going = (adds & allowed) - silent
    off, waiting = len(adds) - len(going), len(silent)
    if not off:
        return t
    _count(s, "dropped_at_the_last_moment", off - waiting)
    if waiting:
        _count(s, "consent_not_heard", waiting)
        who = " and ".join(adapters.title(p) for p in known if known[p])
        text = (
            f"{adapter.title} '{t.object_name}': {waiting:,} of {len(adds):,} who would enter wait, because {who} gave no answer "
            "that can be used on whether they still permit it. The next run asks again."
        )
        s.problems.append(Problem(text, 3, adapter.name))
    changes = tuple(c for c in t.changes if c.kind == "remove" or c.contact_id in going)
    return replace(t, changes=changes, entered=t.entered - off, after=t.after - off, held=t.held + waiting)


def _count(s: Session, name: str, more: int) -> None:
    if more:
        s.summary[name] = int(str(s.summary.get(name, 0))) + more


def _verify(s: Session, adapter: Adapter, plans: Sequence[TargetPlan]) -> None:
    """Look once after writing, so that somebody's later change by hand can be told from a platform that lags."""
    written = [t for t in plans if any(r.segment == t.target.segment and r.counts.get("done") for r in s.results)]
    if not written:
        return
    targets = [replace(t.target, object_id=ledger.object_of(s.store, adapter.name, t.target.segment)[0]) for t in written]
    maybe = {t.target.segment: frozenset(c.contact_id for c in t.changes) for t in written}
    try:
        for seen in adapter.observe(targets, maybe):
            parts.learn(s.store, seen)
            if seen.exists:
                ledger.mark_seen(s.store, adapter.name, seen.object_id, seen.members)
    except ConnectorError as e:
        log.warning("%s: could not look at what was written (%s); the next plan will", adapter.title, type(e).__name__)
