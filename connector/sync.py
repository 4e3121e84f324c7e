"""The story, in order: pull -> normalize -> store -> identity -> profile -> score -> segment -> plan -> push -> report.

This file introduces the stages to each other and decides nothing else: every stage is one file, and no stage knows
another. Only `connector/cli.py` prints what comes back.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path

from adapters import load
from adapters.base import Account, Adapter
from connector import (
    backup,
    choices,
    clock,
    consent,
    desired,
    forgotten,
    full_reads,
    guards,
    identity,
    ledger,
    lock,
    merges,
    no_profiling,
    normalize,
    privacy,
    profile,
    pull,
    push,
    runs,
    saved,
    segment,
    undo,
)
from connector import plan as planning
from connector.config import Config, pushed_name
from connector.progress import Progress, Silent
from connector.raw import RawPages
from connector.store import Store
from models.changes import Observed, Plan, Target, TargetPlan, TargetResult
from models.errors import AuthError, ConnectorError, StalePlan, UsageError
from models.people import StreamCount
from models.segments import AsOf, Segment, SegmentCount

log = logging.getLogger(__name__)

EXIT_ORDER = (5, 2, 6, 4, 1, 3)


@dataclass
class Problem:
    """Something went wrong with one platform or one step, and the exit code it stands for."""

    text: str
    exit_code: int
    platform: str = ""


@dataclass
class Session:
    """One run: what it works with and what it found."""

    config: Config
    store: Store
    run_id: str
    as_of: AsOf
    progress: Progress
    now: Callable[[], datetime] = clock.now_utc
    sleep: Callable[[float], None] = clock.sleep
    problems: list[Problem] = field(default_factory=list)
    streams: list[StreamCount] = field(default_factory=list)
    counts: list[SegmentCount] = field(default_factory=list)
    accounts: dict[str, Account] = field(default_factory=dict)
    results: list[TargetResult] = field(default_factory=list)
    stops: list[guards.Stop] = field(default_factory=list)
    new_set_aside: int = 0
    summary: dict[str, object] = field(default_factory=dict)
    _adapters: dict[str, Adapter] = field(default_factory=dict)

    def adapter(self, platform: str) -> Adapter:
        if platform not in self._adapters:
            self._adapters[platform] = make_adapter(self.config, platform, now=self.now, sleep=self.sleep)
        return self._adapters[platform]

    def problem(self, error: ConnectorError, platform: str = "") -> None:
        self.problems.append(Problem(str(error), error.exit_code, platform))
        log.info("%s: %s", platform or "run", type(error).__name__)

    @property
    def exit_code(self) -> int:
        found = {p.exit_code for p in self.problems}
        if self.new_set_aside:
            found.add(3)
        return next((code for code in EXIT_ORDER if code in found), 0)


def make_adapter(
    config: Config,
    platform: str,
    *,
    now: Callable[[], datetime] = clock.now_utc,
    sleep: Callable[[float], None] = clock.sleep,
) -> Adapter:
    """The platform's adapter with its secrets; Mailchimp's copy of the shop is read only where no shop is connected."""
    settings = {**config.settings(platform), "prefix": config.push.prefix}
    if platform == "mailchimp" and settings["ecommerce"] == "auto":
        settings["ecommerce"] = "never" if config.shopify else "always"
    return load(platform)(settings, now_utc=now, sleep=sleep)


def translator(s: Session, platform: str) -> normalize.Normalizer:
    """The platform's mapping, compiled; tags we write ourselves are no facts about a contact and are left out."""
    return normalize.Normalizer(
        normalize.load_mapping(platform),
        s.config.platform(platform).attributes,
        s.as_of.day,
        own_prefix=s.config.push.prefix,
    )


@contextmanager
def session(
    config: Config, command: str, *, as_of: date | None = None, progress: Progress | None = None, records: bool = True
) -> Iterator[Session]:
    """Lock, store and run record around one command. `records` False: nothing is written to the run list."""
    when = clock.as_of(as_of, config.shop.timezone)
    with lock.writer_lock(config.store_path, command):
        store = Store(config.store_path, memory_limit=config.store.memory_limit, threads=config.store.threads)
        try:
            privacy.resume(store, config)
            run_id = runs.begin(store, command, when.day) if records else "preview"
            s = Session(config, store, run_id, when, progress or Silent())
            try:
                yield s
            except BaseException as e:
                if records:
                    code = e.exit_code if isinstance(e, ConnectorError) else 1
                    runs.finish(store, run_id, code, {**s.summary, "error": type(e).__name__})
                raise
            if records:
                runs.finish(store, run_id, s.exit_code, s.summary)
        finally:
            store.close()


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
        with _noted(s, platform):
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
            if not count.is_complete:
                code = 6 if "scope" in count.note.lower() else 1
                text = f"{s.adapter(platform).title} {count.stream}: {count.note or 'not complete'}"
                s.problems.append(Problem(text, code, platform))
        with _noted(s, platform):
            if pulled.error is not None:
                raise pulled.error
    RawPages(s.store).expire(s.store, keep_raw_days, s.now())
    s.new_set_aside += sum(c.new_set_aside for c in s.streams)
    s.summary["streams"] = [vars(c) for c in s.streams]
    return s.streams


@contextmanager
def _noted(s: Session, platform: str) -> Iterator[None]:
    """What ends one platform's pull is kept as a problem of the run; only a mistake in the configuration ends the run."""
    try:
        yield
    except ConnectorError as e:
        if e.exit_code in (2, 5):
            raise
        s.problem(e, platform)
        s.stops.append(guards.Stop("incomplete_pull", f"{platform} could not be pulled to its end in this run."))


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
    return found


def known_account(s: Session, adapter: Adapter) -> Account:
    """Who the credentials belong to; refuses when that is another account than the one this store was filled from."""
    account = adapter.account()
    name = f"account:{adapter.name}"
    before = s.store.value("SELECT value FROM meta WHERE name = ?", [name])
    if before is None:
        s.store.insert("meta", [{"name": name, "value": account.id}])
    elif before != account.id:
        raise AuthError(
            f"The {adapter.title} credentials belong to another account ({account.name}) than the data in this store. "
            "Use the right key, or another store file for the other account.",
            platform=adapter.name,
        )
    return account


def identify(s: Session) -> None:
    """Who is who: contacts that live on under another id first, then people and purchases."""
    merges.settle(s.store)
    identity.identify(s.store, s.config)


def derive(s: Session, segments: Sequence[Segment]) -> list[SegmentCount]:
    """identity -> profile -> segment, for the session's date."""
    identify(s)
    no_profiling.enforce(s.store, s.config)
    profile.build(s.store, s.config, s.as_of)
    s.counts = segment.evaluate(s.store, s.config, list(segments), s.as_of, s.run_id)
    s.summary["segments"] = [vars(c) for c in s.counts]
    return s.counts


def rescore(s: Session) -> None:
    """Fresh scores for the session's date; a score that cannot be had is said on its card and never stops a run."""
    from connector import score

    identify(s)
    profile.build(s.store, s.config, s.as_of)
    score.train_and_score(s.store, s.config, s.as_of, s.run_id)
    no_profiling.enforce(s.store, s.config)


def fresh_report(s: Session) -> Path | None:
    """The page made anew after somebody was forgotten; None where that cannot be done, which must not undo the forgetting."""
    from connector import report

    try:
        derive(s, resolved(s.config))
        return report.write(s.store, s.config, s.as_of, plan=None)
    except ConnectorError as e:
        log.warning("The report could not be made anew (%s).", type(e).__name__)
        return None


def resolved(config: Config) -> list[Segment]:
    """The configured segments, library ones filled in."""
    return segment.resolve(config)


def check_rules(config: Config) -> None:
    """Raises ConfigError for a rule with a mistake, before anything is fetched."""
    segment.check_all(None, config, resolved(config))


def make_plan(
    s: Session, *, with_go_ahead: bool = False, only: Sequence[str] = (), allowed: frozenset[str] = frozenset()
) -> Plan:
    """Read the live state of every platform and say what would change there. Writes nothing to any platform.

    allowed: guards the owner overrides in this run.
    """
    segments = resolved(s.config)
    derive(s, segments)
    return plan_derived(s, segments, with_go_ahead=with_go_ahead, only=only, allowed=allowed)


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
    stop = _run_stop(s, allowed)
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


def _run_stop(s: Session, allowed: frozenset[str]) -> str:
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


def allow_writing(config: Config, *, as_of: date | None, platforms: Iterable[str]) -> None:
    """Raises UsageError unless writing is allowed at all: loopback only, until the safety tests of that issue are in."""
    outside = [p for p in platforms if not config.is_loopback(p)]
    if outside and as_of is not None:
        raise UsageError("--as-of looks at another day and must not write to live accounts. Leave it out, or use `plan`.")
    if outside:
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
    segments = {g.name: g for g in resolved(s.config)}
    for platform in dict.fromkeys(t.target.platform for t in plan.targets):
        if not s.config.platform(platform).push:
            waiting = sum(len(t.writable) for t in plan.targets if t.target.platform == platform)
            if waiting:
                s.problems.append(
                    Problem(
                        f"{platform}: {waiting} changes are not written because [{platform}] has no push = true.", 3, platform
                    )
                )
            continue
        adapter = s.adapter(platform)
        if plan.accounts.get(platform) != known_account(s, adapter).id:
            raise StalePlan(f"The plan was made for another {adapter.title} account. Make a new plan.")
        own = [t for t in plan.targets if t.target.platform == platform]
        if canary:
            own = [replace(t, waits_for_go_ahead=False) if first else t for t in own]
        if first and not canary:
            _record_go_aheads(s, platform, own, segments)
        own = still_allowed(s, adapter, own)
        results = push.carry_out(s.store, adapter, own, run_id=s.run_id, now=s.now, progress=s.progress)
        s.results += results
        if not canary:
            _end_fills(s, platform, own, results)
        for t in own:
            if not t.first_fill and not t.waits_for_go_ahead and not t.parked:
                choices.note_night(s.store, s.run_id, platform, t.target.segment, len(t.changes))
        _verify(s, adapter, own)
    for result in s.results:
        if isinstance(result.error, ConnectorError):
            s.problem(result.error, result.platform)
        lost = result.counts.get("refused", 0) + result.counts.get("missing", 0) + result.counts.get("unknown", 0)
        if lost and not result.error:
            s.problems.append(
                Problem(f"{result.platform} '{result.object_name}': {lost} changes could not be made", 3, result.platform)
            )
    s.summary["push"] = [{k: v for k, v in vars(r).items() if k != "error"} for r in s.results]
    if s.results:
        backup.after_push(s.store, s.config, s.now())
    return s.results


def _record_go_aheads(s: Session, platform: str, plans: Sequence[TargetPlan], segments: dict[str, Segment]) -> None:
    if ledger.go_ahead(s.store, platform, "") is None:
        ledger.give_go_ahead(s.store, platform, "", "", sum(t.entered for t in plans), s.now(), s.run_id)
    for t in plans:
        digest = rule_digest(segments[t.target.segment])
        if t.parked and not t.waits_for_go_ahead:
            continue
        with s.store.transaction():
            ledger.begin_fill(s.store, platform, t.target.segment, t.entered)
            if ledger.go_ahead(s.store, platform, t.target.segment) != digest:
                ledger.give_go_ahead(s.store, platform, t.target.segment, digest, t.entered, s.now(), s.run_id)


def _end_fills(s: Session, platform: str, plans: Sequence[TargetPlan], results: Sequence[TargetResult]) -> None:
    """A fill has ended once everything planned for it was sent; one that was cut short goes on with the next run."""
    cut = {r.segment for r in results if r.error or r.not_sent}
    for t in plans:
        if t.target.segment not in cut and not t.parked:
            ledger.end_fill(s.store, platform, t.target.segment)


def still_allowed(s: Session, adapter: Adapter, plans: Sequence[TargetPlan]) -> list[TargetPlan]:
    """The plans without the entries whose consent, read again at this moment, no longer permits them."""
    entering = sorted({c.contact_id for t in plans for c in t.writable if c.kind == "add"})
    if not entering:
        return list(plans)
    keep_raw = s.config.privacy.keep_raw_days > 0
    pull.reread(s.store, adapter, translator(s, adapter.name), s.run_id, entering, keep_raw=keep_raw)
    segments = {g.name: g for g in resolved(s.config)}
    kept = []
    for t in plans:
        g = segments[t.target.segment]
        consent.judge(s.store, s.config, adapter.name, g.channel)
        allowed = consent.allowed(s.store, g.purpose)
        changes = tuple(c for c in t.changes if c.kind == "remove" or c.contact_id in allowed)
        dropped = len(t.changes) - len(changes)
        if dropped:
            s.summary["dropped_at_the_last_moment"] = int(str(s.summary.get("dropped_at_the_last_moment", 0))) + dropped
        kept.append(replace(t, changes=changes, entered=t.entered - dropped, after=t.after - dropped) if dropped else t)
    return kept


def still_valid(s: Session, saved_plan: Plan) -> Plan:
    """The saved plan as far as a plan of this moment would make the same changes; refuses when the world moved too far."""
    saved.require_fresh(saved_plan, s.now())
    plan, dropped = saved.what_still_holds(saved_plan, make_plan(s, only=tuple(saved_plan.accounts)))
    if dropped:
        s.summary["dropped_since_saved"] = dropped
    return plan


def undo_plan(s: Session, run_id: str, allowed: frozenset[str] = frozenset()) -> tuple[Plan, list[str]]:
    """The plan that takes a run back (guarded like any other), and what cannot be taken back."""
    derive(s, resolved(s.config))
    return undo_plan_derived(s, run_id, allowed)


def undo_plan_derived(s: Session, run_id: str, allowed: frozenset[str] = frozenset()) -> tuple[Plan, list[str]]:
    """The same for segments whose members are worked out already."""
    image = undo.before_image(s.store, run_id)
    fresh = plan_derived(s, resolved(s.config), only=sorted({p for p, _ in image}), allowed=allowed)
    segments = {g.name: g for g in resolved(s.config)}
    may: dict[tuple[str, str], frozenset[str]] = {}
    for platform, name in image:
        if name in segments:
            consent.judge(s.store, s.config, platform, segments[name].channel)
            may[platform, name] = consent.allowed(s.store, segments[name].purpose)
    plan, left = undo.reversed_plan(s.store, fresh, image, may, run_id)
    stop = _run_stop(s, allowed)
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


def _verify(s: Session, adapter: Adapter, plans: Sequence[TargetPlan]) -> None:
    """Look once after writing, so that somebody's later change by hand can be told from a platform that lags."""
    written = [t for t in plans if any(r.segment == t.target.segment and r.counts.get("done") for r in s.results)]
    if not written:
        return
    targets = [replace(t.target, object_id=ledger.object_of(s.store, adapter.name, t.target.segment)[0]) for t in written]
    maybe = {t.target.segment: frozenset(c.contact_id for c in t.changes) for t in written}
    try:
        for seen in adapter.observe(targets, maybe):
            if seen.exists:
                ledger.mark_seen(s.store, adapter.name, seen.object_id, seen.members)
    except ConnectorError as e:
        log.warning("%s: could not look at what was written (%s); the next plan will", adapter.title, type(e).__name__)
