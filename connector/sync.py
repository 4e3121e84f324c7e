"""The story, in order: pull -> normalize -> store -> identity -> profile -> score -> segment -> plan -> push -> report.

This file introduces the stages to each other and decides nothing else: every stage is one file, and no stage knows
another. Only `connector/cli/` prints what comes back.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

from connector import (
    clock,
    consent_again,
    erased_there,
    field_values,
    former_addresses,
    full_reads,
    identity,
    identity_apart,
    merges,
    no_profiling,
    product_history,
    profile,
    pruning,
    pull,
    runs,
    saved,
    scopes,
    segment,
    trial,
    triggers,
)
from connector.config import Config
from connector.planner import plan_derived, undo_plan_derived
from connector.raw import RawPages
from connector.session import Problem, Session, known_account, noted, translator
from models.changes import Plan
from models.errors import ConnectorError, StalePlan
from models.people import StreamCount
from models.segments import Segment, SegmentCount

log = logging.getLogger(__name__)


def pull_all(
    s: Session,
    sources: Sequence[str] = (),
    *,
    streams: Sequence[str] | None = None,
    since: datetime | None = None,
    full: bool = False,
) -> list[StreamCount]:
    """Fetch what is new from every platform (or `sources`), side by side. One's refusal does not stop the others."""
    ready: list[pull.Source] = []
    for platform in sources or s.config.platforms:
        with noted(s, platform):
            s.accounts[platform] = known_account(s, s.adapter(platform))
            ready.append(pull.Source(s.adapter(platform), translator(s, platform)))
    keep_raw_days = s.config.privacy.keep_raw_days
    found = pull.pull_together(
        s.store, ready, s.run_id, streams=streams, since=since, full=full, keep_raw=keep_raw_days > 0, progress=s.progress,
        commit_records=s.config.store.commit_records,
    )  # fmt: skip
    for platform, pulled in found.items():
        s.streams += pulled.counts
        for count in pulled.counts:
            if count.is_complete:
                scopes.granted(s.store, count)
            elif count.code != "scope" or scopes.is_news(s.store, s.adapter(platform), count):
                text = f"{s.adapter(platform).title} {count.stream}: {count.note or 'not complete'}"
                s.problems.append(Problem(text, 6 if count.code == "scope" else 1, platform))
        with noted(s, platform):
            if pulled.error is not None:
                raise pulled.error
    for platform, contacts in merges.left_alone(s.store).items():  # our tag is another's already, who may have said no
        if platform in found and found[platform].error is None:
            consent_again.look_up(s, platform, contacts)
    if all(_is_heard(s, platform, found.get(platform)) for platform in s.config.platforms):
        former_addresses.settle(s.store)
    RawPages(s.store).expire(s.store, keep_raw_days, s.now())
    pruning.prune(s.store, s.config.privacy.keep_runs_days, s.now(), journeys_days=s.config.push.journeys_days)
    if forgotten := pruning.prune_events(s.store, s.config.privacy.keep_events_months, s.as_of.day):
        s.summary["events_forgotten"] = forgotten
    s.new_set_aside += sum(c.new_set_aside for c in s.streams)
    s.summary["streams"] = [vars(c) for c in s.streams]
    return s.streams


def _is_heard(s: Session, platform: str, pulled: pull.Pulled | None) -> bool:
    """Whatever its contacts say by now is stored: nobody can tell what was said before, while one platform gave no answer."""
    return pulled is not None and any(c.is_complete and c.stream == s.adapter(platform).contacts_stream for c in pulled.counts)


def read_in_full(s: Session) -> list[full_reads.FullRead]:
    """Tonight's part of the full reads that are due; nothing where a platform's pull failed in this run."""
    days = s.config.pull.full_read_days
    failed = {p.platform for p in s.problems}
    found: list[full_reads.FullRead] = []
    for platform in (p for p in s.config.platforms if p not in failed):
        adapter, translate = s.adapter(platform), translator(s, platform)
        for stream in full_reads.due(s.store, adapter, translate, days, s.now()):
            keep_raw = s.config.privacy.keep_raw_days > 0
            found.append(full_reads.read_on(s.store, adapter, translate, s.run_id, stream, days, keep_raw=keep_raw))
    s.summary["full_reads"] = [vars(f) for f in found]
    for platform in (p for p in erased_there.PLATFORMS if p in s.config.platforms and p not in failed):
        _erase_what_was_deleted(s, platform)
    return found


def _erase_what_was_deleted(s: Session, platform: str) -> None:
    """A platform that gives no answer about it is asked again by the next run, and holds nothing else back."""
    try:
        erased = erased_there.settle(s, platform)
    except ConnectorError as e:
        if e.exit_code in (2, 5):
            raise
        s.problem(e, platform)
        return
    if erased:
        s.notices.append(erased.text)
        s.summary["erased_there"] = vars(erased)


def identify(s: Session) -> None:
    """Who is who: contacts that live on under another id first, then people and purchases."""
    if unheard := merges.settle(s.store):
        s.notices.append(merges.UNHEARD.format(unheard))
    if s.records:
        product_history.note(s.store, s.now())
    identity.identify(s.store, s.config, s.as_of.day)
    s.notices += [told for told in identity_apart.unheeded(s.store, s.config) if told not in s.notices]


def derive(s: Session, segments: Sequence[Segment]) -> list[SegmentCount]:
    """identity -> profile -> segment, for the session's date."""
    identify(s)
    no_profiling.enforce(s.store, s.config)
    profile.build(s.store, s.config, s.as_of)
    s.counts = segment.evaluate(s.store, s.config, list(segments), s.as_of, s.run_id, keeps=s.records, today=last_day_kept(s))
    if s.records:
        triggers.end_others(s.store, s.config, resolved(s.config))
    s.summary["segments"] = [vars(c) for c in s.counts]
    return s.counts


def last_day_kept(s: Session) -> date | None:
    """Today: looking ahead leaves no history. None for a sandbox, whose days are whatever the owner tries."""
    platforms = s.config.platforms
    if platforms and all(s.config.is_loopback(p) for p in platforms):
        return None
    return clock.local_day(s.now(), s.config.shop.timezone)


def rescore(s: Session) -> None:
    """Fresh scores for the session's date; a score that cannot be had is said on its card and never stops a run."""
    from connector import score

    identify(s)
    profile.build(s.store, s.config, s.as_of)
    cards = score.train_and_score(s.store, s.config, s.as_of, s.run_id)
    s.problems += [Problem(text, 3) for text in score.problems(cards)]
    no_profiling.enforce(s.store, s.config)


def fresh_report(s: Session) -> Path | None:
    """The page made anew after somebody was forgotten; None where that cannot be done, which must not undo the forgetting."""
    from connector import report

    try:
        derive(s, resolved(s.config))
        return report.write(s.store, s.config, s.as_of, plan=None, counts=s.counts)
    except ConnectorError as e:
        log.warning("The report could not be made anew (%s).", type(e).__name__)
        return None


def resolved(config: Config) -> list[Segment]:
    """The configured segments, library ones filled in."""
    return segment.resolve(config)


def check_rules(config: Config) -> None:
    """Raises ConfigError for a rule with a mistake, before anything is fetched."""
    segment.check_all(None, config, resolved(config))
    triggers.check(config)
    field_values.check(config)


def make_plan(
    s: Session,
    *,
    with_go_ahead: bool = False,
    only: Sequence[str] = (),
    named: Sequence[str] = (),
    allowed: frozenset[str] = frozenset(),
) -> Plan:
    """Read the live state of every platform and say what would change there. Writes nothing to any platform.

    only: these platforms; named: these segments; allowed: guards the owner overrides in this run.
    """
    segments = resolved(s.config)
    named = [segment.named(segments, name).name for name in named]
    derive(s, segments)
    plan = plan_derived(s, segments, with_go_ahead=with_go_ahead, only=only, named=named, allowed=allowed)
    return trial.announced(s, plan)


def still_valid(
    s: Session, saved_plan: Plan, *, with_go_ahead: bool = False, only: Sequence[str] = (), named: Sequence[str] = ()
) -> Plan:
    """The saved plan (or the part of it the owner approves) as far as a plan of this moment would make the same changes, and
    whoever said no since it was saved is taken off.

    Refuses when the world moved too far.
    """
    saved.require_fresh(saved_plan, s.now())
    if with_go_ahead and runs.reached_further_since(s.store, saved_plan.made_at):
        raise StalePlan(
            "A backfill or an import brought more since this plan was made, and a go-ahead is for what the plan shows. Make a new one."
        )
    approved = saved.part(saved_plan, only, [segment.named(resolved(s.config), name).name for name in named])
    fresh = make_plan(s, with_go_ahead=with_go_ahead, only=tuple(approved.accounts), named=named)
    plan, dropped = saved.what_still_holds(approved, fresh)
    if dropped:
        s.summary["dropped_since_saved"] = dropped
    plan, refused = saved.with_refusals(plan, fresh)
    if refused:
        s.summary["refused_since_saved"] = refused
    return plan


def undo_plan(s: Session, run_id: str, allowed: frozenset[str] = frozenset()) -> tuple[Plan, list[str]]:
    """The plan that takes a run back (guarded like any other), and what cannot be taken back."""
    derive(s, resolved(s.config))
    return undo_plan_derived(s, run_id, allowed)
