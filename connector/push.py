"""Stage 8 of 10: carry out a plan, batch by batch, each written down before and after.

Several tags or lists are written side by side; the batches of one of them go one after another, as Mailchimp and HubSpot
ask for. Threads talk to the platform, the calling thread alone writes down.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from adapters.base import Adapter
from connector import forgotten, journal, ledger, parts
from connector.errands import Errands
from connector.progress import Progress, Silent
from connector.store import Store
from models.changes import Batch, Change, Member, Outcome, OutcomeKind, TargetPlan, TargetResult
from models.errors import AmbiguousWriteError, ApiError, AuthError, NotSentError, PermanentApiError, QuotaExhausted

log = logging.getLogger(__name__)

READ_BACKS = 3
UNDER_WAY = timedelta(hours=2)
"""A write may take effect so long after it was sent, and no longer."""
CLOCKS_DIFFER = timedelta(minutes=5)
SHOWN_LATE = timedelta(days=7)
"""A platform shows what it did hours later, perhaps; and so long after that somebody looks."""
ASKED_AGAIN = timedelta(hours=1)
"""What was asked about consent before a write holds so long."""
DOUBTFUL = "nobody can tell who put them there"
ENDS_PLATFORM = (AuthError, QuotaExhausted)

Asking = Callable[[Sequence[TargetPlan]], Sequence[TargetPlan]]


def carry_out(
    store: Store,
    adapter: Adapter,
    plans: Iterable[TargetPlan],
    *,
    run_id: str,
    now: Callable[[], datetime],
    progress: Progress | None = None,
    still_allowed: Asking | None = None,
) -> list[TargetResult]:
    """Write what the plans of one platform say, nothing else. A target that fails does not stop the others; a refused key
    or a used-up quota stops all of them.

    still_allowed: asks for the consent of whoever has yet to enter, and gives the plans without those who may not; called
    every `ASKED_AGAIN`, for a long push is not over when it has been asked before its first write.
    """
    lanes = [_Lane(adapter, _keeping(store, plan), now) for plan in plans if plan.writable]
    _Push(store, adapter, run_id, now, progress or Silent(), still_allowed).run(lanes)
    return [lane.result for lane in lanes]


def _keeping(store: Store, plan: TargetPlan) -> TargetPlan:
    """Whoever leaves and did not get the second thing from us keeps it."""
    if not plan.target.part:
        return plan
    leaving = {c.contact_id for c in plan.writable if c.kind == "remove"}
    target = plan.target
    ours = parts.given(store, target) | forgotten.still_given(store, target.platform, target.segment, leaving)
    kept = {*target.kept, *(leaving - ours)}
    return replace(plan, target=replace(target, kept=tuple(sorted(kept))))


@dataclass(frozen=True)
class _Delivered:
    """What became of a batch. made: the id of the object, where the batch was its creation. error: why no other follows."""

    outcomes: tuple[Outcome, ...] = ()
    state: str = "done"
    made: str = ""
    error: ApiError | None = None


class _Lane:
    """One tag or list: what is to be sent, in its order, and what came of it."""

    def __init__(self, adapter: Adapter, plan: TargetPlan, now: Callable[[], datetime]) -> None:
        self.plan, self._now = plan, now
        self.object_id = plan.object_id
        if plan.target.object_id and not any(c.kind == "add" for c in plan.writable):
            self.object_id = plan.target.object_id  # somebody else's may bear its name by now
        self.name = f"{adapter.noun} {plan.object_name}"
        self.result = TargetResult(plan.target.platform, plan.target.segment, plan.object_name, len(plan.writable))
        self.is_open = False
        self._adds = [c for c in plan.writable if c.kind == "add"]
        self._begun = 0
        self._adapter = adapter
        self._batches = self._all_batches(
            min(adapter.batch_size, int(adapter.settings.get("batch_size") or adapter.batch_size))
        )

    @property
    def is_to_be_made(self) -> bool:
        """What is sent next is the creation of the object."""
        return self.plan.makes_object and not self.object_id

    def next(self) -> Batch | None:
        return None if self.result.error else next(self._batches, None)

    @property
    def to_come(self) -> TargetPlan:
        """The plan of those who have yet to enter."""
        left = tuple(self._adds[self._begun :])
        return replace(self.plan, changes=left, entered=len(left), left=0)

    def keep(self, allowed: TargetPlan) -> None:
        """Nobody enters from now on who is not in this plan."""
        self._adds, self._begun = [c for c in allowed.changes if c.kind == "add"], 0

    def deliver(self, batch: Batch) -> _Delivered:
        """Runs in a thread of its own. Quietly: a first fill of an object that was there before, for which somebody's
        automation may be waiting. An automation that waits for one made in this very run cannot be there yet."""
        if is_creation(batch):
            return _Delivered(made=self._adapter.ensure(batch.target))
        quietly = self.plan.first_fill and not self.plan.makes_object and batch.adds
        return _delivered(self._adapter, batch, self._adapter.apply_quietly if quietly else self._adapter.apply, self._now)

    def _all_batches(self, size: int) -> Iterator[Batch]:
        """First the creation of the object, where there is none; its id is known when the next batch is asked for."""
        plan = self.plan
        if plan.makes_object:
            yield Batch(plan.target, "", plan.object_name, batch_id=_batch_id())
        removes = [_member(c) for c in plan.writable if c.kind == "remove"]
        start = 0
        while self._begun < len(self._adds) or start < len(removes):
            adds = tuple(_member(c) for c in self._adds[self._begun : self._begun + size])
            off = tuple(removes[start : start + size])
            self._begun, start = self._begun + len(adds), start + size
            yield Batch(plan.target, self.object_id, plan.object_name, adds, off, _batch_id())


class _Push:
    """One platform's push in one run."""

    def __init__(
        self, store: Store, adapter: Adapter, run_id: str, now: Callable[[], datetime], told: Progress, ask: Asking | None
    ) -> None:
        self.store, self.adapter, self.run_id, self.now, self.told, self.ask = store, adapter, run_id, now, told, ask
        self._asked_at = now()
        self._errands: Errands[tuple[_Lane, Batch], _Delivered] = Errands()
        self._is_over = False
        self._is_making = False
        """One object is made after the other, in the order of the plan, so that equal runs end equal."""

    def run(self, lanes: list[_Lane]) -> None:
        """What has come back and what is sent next are written down in one commit; then the next is sent."""
        waiting = deque(lanes)
        ended: list[tuple[_Lane, journal.Ended]] = []
        with self._errands:
            while True:
                if (
                    self.ask is not None and not timedelta(0) <= self.now() - self._asked_at < ASKED_AGAIN
                ):  # a clock may be set back
                    with self.store.transaction():
                        self._write_down(ended)
                    ended = []
                    self._ask_again(lanes, self.ask)
                with self.store.transaction():
                    self._write_down(ended)
                    begun = self._next(waiting)
                    journal.intend_all(self.store, [batch for _, batch in begun], self.now(), self.run_id)
                for lane, batch in begun:
                    self._errands.start((lane, batch), partial(lane.deliver, batch))
                if not self._errands.count:
                    break
                ended = [e for (lane, batch), found in self._errands.next() if (e := self._take(lane, batch, found, waiting))]
        for lane in lanes:
            lane.result.not_sent = lane.result.planned - sum(lane.result.counts.values())
            self._close(lane)

    def _ask_again(self, lanes: list[_Lane], ask: Asking) -> None:
        entering = [lane for lane in lanes if lane.to_come.changes and not lane.result.error]
        for lane, allowed in zip(entering, ask([lane.to_come for lane in entering]), strict=True):
            lane.keep(allowed)
        self._asked_at = self.now()

    def _next(self, waiting: deque[_Lane]) -> list[tuple[_Lane, Batch]]:
        """The next batch of as many lanes as may be under way."""
        begun: list[tuple[_Lane, Batch]] = []
        while waiting and not self._is_over and self._errands.count + len(begun) < max(1, self.adapter.concurrent_targets):
            if waiting[0].is_to_be_made and self._is_making:
                break
            lane = waiting.popleft()
            batch = lane.next()
            if batch is None:
                self._close(lane)
                continue
            self._is_making = self._is_making or is_creation(batch)
            self._open(lane)
            begun.append((lane, batch))
        return begun

    def _take(
        self, lane: _Lane, batch: Batch, found: _Delivered | BaseException, waiting: deque[_Lane]
    ) -> tuple[_Lane, journal.Ended] | None:
        """What is to be written down; None where nobody knows what became of the batch: the next run will read it back."""
        waiting.appendleft(lane)
        self._is_making = self._is_making and not is_creation(batch)
        if isinstance(found, BaseException):
            if not isinstance(found, ApiError | AuthError):
                raise found
            self._stop(lane, found)
            return None
        if found.error:
            self._stop(lane, found.error)
        if found.made:
            self._made(lane, batch, found.made)
            return None
        return lane, journal.Ended(batch, found.outcomes, found.state)

    def _made(self, lane: _Lane, batch: Batch, object_id: str) -> None:
        """Before anybody is put into it, so that a later run never takes it for somebody else's."""
        with self.store.transaction():
            ledger.remember_object(self.store, batch.target, object_id, "created", self.now(), self.run_id)
            journal.conclude(self.store, batch, [], self.now(), self.run_id)
        lane.object_id = object_id

    def _stop(self, lane: _Lane, error: ApiError | AuthError) -> None:
        lane.result.error, lane.result.problem = error, str(error)
        self._is_over = self._is_over or isinstance(error, ENDS_PLATFORM)
        log.warning(
            "%s: stopped after %s of %s changes", self.adapter.title, sum(lane.result.counts.values()), lane.result.planned
        )

    def _write_down(self, ended: list[tuple[_Lane, journal.Ended]]) -> None:
        journal.conclude_all(self.store, [e for _, e in ended], self.now(), self.run_id)
        for lane, one in ended:
            lane.result.count(one.outcomes)
            self.told.advance(lane.name, len(one.outcomes))

    def _open(self, lane: _Lane) -> None:
        if not lane.is_open:
            lane.is_open = True
            self.told.start(lane.name, lane.result.planned)

    def _close(self, lane: _Lane) -> None:
        if lane.is_open:
            lane.is_open = False
            self.told.finish(lane.name)


def is_creation(batch: Batch) -> bool:
    return not batch.adds and not batch.removes


def _member(change: Change) -> Member:
    return Member(change.contact_id, change.email, change.person_id)


def _batch_id() -> str:
    return secrets.token_hex(8)


def _delivered(
    adapter: Adapter, batch: Batch, apply: Callable[[Batch], list[Outcome]], now: Callable[[], datetime]
) -> _Delivered:
    """Send one batch. When the answer is lost, read back first and repeat only what did not happen; but not where the machine
    slept in between: what was asked about consent does not hold any more, and who is in it by now may be there by somebody
    else's hand. The next run asks again, and tells by the platform's dates whom we added. Whom nothing was sent about is there by
    somebody else's hand in any case."""
    left, began = batch, now()
    settled: list[Outcome] = []
    reached = set[str]()
    last: ApiError | None = None
    for _ in range(READ_BACKS):
        try:
            outcomes = apply(left)
        except AmbiguousWriteError as e:
            log.info("%s: the outcome of a batch is unknown (%s); reading back", adapter.title, e.status or "no answer")
            last, settled = e, [*settled, *_ours_of(e.told, reached)]
            reached |= _ids(left) - e.unreached
        except NotSentError as e:
            log.info("%s: a write was put off and not sent (%s); looking again", adapter.title, e.status or "no answer")
            last, settled = e, [*settled, *_ours_of(e.told, reached)]
        except PermanentApiError as e:
            return _Delivered(tuple(settled), "failed", error=e)
        else:
            told = (*settled, *_ours_of(outcomes, reached))
            is_open = any((o.kind, o.result) == ("add", "unknown") for o in told)  # the next run reads back whom we put there
            return _Delivered(told, "unknown" if is_open else "done")
        left = _without(batch, {o.contact_id for o in settled})
        has_slept = not timedelta(0) <= now() - began < ASKED_AGAIN
        try:
            found = _happened(left, dict(adapter.written(left)))
            theirs = _in_before(adapter, batch.object_id, found, began)
        except ApiError:
            if reached & _ids(left):
                raise
            break  # nothing of it was sent, so there is nothing that the next run would have to read back
        found = [o if o.contact_id in reached - theirs else replace(o, result="already") for o in found]
        settled += [o for o in found if o.kind == "remove"] if has_slept else found
        left = _without(batch, {o.contact_id for o in settled})
        if is_creation(left):
            return _Delivered(tuple(settled))
        if has_slept and left.adds:
            break
    unknown = reached & _ids(left)
    settled += [Outcome(m.contact_id, "add", "unknown") for m in left.adds if m.contact_id in unknown]
    settled += [Outcome(m.contact_id, "remove", "unknown") for m in left.removes if m.contact_id in unknown]
    is_open = any(o.result == "unknown" for o in settled)
    is_refused = isinstance(last, NotSentError) or unknown != _ids(left)  # no more is sent in this run, and it is said why
    return _Delivered(tuple(settled), "unknown" if is_open else "failed", error=last if is_refused else None)


def _in_before(adapter: Adapter, object_id: str, found: Sequence[Outcome], sent_at: datetime) -> frozenset[str]:
    """Of those found in it after a lost answer: who was in it before we wrote, by the platform's own dates. Asked only where a
    write may come long after the plan looked, because its answer would have told."""
    adds = [o.contact_id for o in found if o.kind == "add"]
    if not (adds and adapter.tells_who_was_in and adapter.dates_members):
        return frozenset()
    since = adapter.joined(object_id, adds, sent_at - CLOCKS_DIFFER)
    return frozenset(c for c, at in since.items() if at < sent_at - CLOCKS_DIFFER)


def _ids(batch: Batch) -> set[str]:
    return {m.contact_id for m in (*batch.adds, *batch.removes)}


def _without(batch: Batch, settled: set[str]) -> Batch:
    adds = tuple(m for m in batch.adds if m.contact_id not in settled)
    return replace(batch, adds=adds, removes=tuple(m for m in batch.removes if m.contact_id not in settled))


def _ours_of(outcomes: Iterable[Outcome], reached: Collection[str]) -> Iterator[Outcome]:
    """Whoever is in it already after an unclear answer was put there by us: the effect came later than the read-back."""
    for o in outcomes:
        yield Outcome(o.contact_id, o.kind, "done") if o.result == "already" and o.contact_id in reached else o


def _happened(batch: Batch, is_member: dict[str, bool]) -> list[Outcome]:
    done: OutcomeKind = "done"
    adds = [Outcome(m.contact_id, "add", done) for m in batch.adds if is_member.get(m.contact_id) is True]
    is_half = bool(batch.target.part)  # whether they lost its second thing too, the next look tells
    off = [m.contact_id for m in batch.removes if is_member.get(m.contact_id) is False]
    return adds + [Outcome(i, "remove", done, is_half=is_half) for i in off]


def recover(
    store: Store, adapter: Adapter, *, run_id: str, now: Callable[[], datetime], tell: Callable[[str], None] = log.warning
) -> int:
    """Settle what an earlier run intended and never concluded, by what the platform shows; gives how many batches.

    Whoever is a member now and was about to be added is ours, unless they may have entered long after we wrote, or before: then
    nobody can tell whose hand it was, and they are left as they are, for good (`tell` is told how many). Whoever is none now and
    was about to be removed is ours no longer.
    """
    journal.follow_merges(store, adapter.name)
    intents = journal.open_intents(store, adapter.name)
    for intent in intents:
        batch = intent.batch
        if intent.is_creation:
            seen = adapter.observe([batch.target], {})[0]
            with store.transaction():
                # what we make is empty and, where there is room for it, marked; with people in it, somebody else made it
                is_ours = seen.exists and seen.made_by != "another" and (seen.made_by == "us" or not seen.members)
                if is_ours and ledger.object_of(store, adapter.name, batch.target.segment)[0] != seen.object_id:
                    ledger.remember_object(store, batch.target, seen.object_id, "created", now(), run_id)
                journal.conclude(store, batch, [], now(), run_id, state="recovered")
            continue
        unknown = _without(batch, {o.contact_id for o in intent.told})
        is_member = dict(adapter.written(unknown))
        outcomes = _ours_or_doubtful(adapter, intent, _happened(unknown, is_member), now())
        still = [m.contact_id for m in unknown.removes if is_member.get(m.contact_id)]
        again = put_in_again(store, adapter, batch.object_id, still, intent.intended_at)
        outcomes += _happened(unknown, dict.fromkeys(again, False))
        pending = len(unknown.adds) + len(unknown.removes)
        log.info("%s: %s of %s changes of an unfinished batch had happened", adapter.title, len(outcomes), pending)
        journal.conclude_all(store, [journal.Ended(batch, outcomes, "recovered", intent.told)], now(), run_id)
        doubtful = sum(o.reason == DOUBTFUL for o in outcomes)
        if doubtful:
            tell(
                f"{adapter.title} '{batch.object_name}': {doubtful:,} are in it, and whether an unfinished run put them there or "
                "somebody else did cannot be told. They stay in it, and Rollcall will never take them off."
            )
    return len(intents)


def _ours_or_doubtful(
    adapter: Adapter, intent: journal.OpenIntent, outcomes: Sequence[Outcome], now: datetime
) -> list[Outcome]:
    """Of those whom the platform shows: ours are those who entered when our write was under way, by the platform's own dates;
    where it has none, only those whom we find soon after it."""
    found = {o.contact_id: intent.intended_at for o in outcomes if o.kind == "add"}
    if not found:
        return list(outcomes)
    ours = _entered_by_us(adapter, intent.batch.object_id, found, now)
    return [
        o if o.kind == "remove" or o.contact_id in ours else Outcome(o.contact_id, "add", "already", DOUBTFUL) for o in outcomes
    ]


def put_in_again(
    store: Store, adapter: Adapter, object_id: str, contacts: Sequence[str], taken_off_at: datetime | None = None
) -> list[str]:
    """Of contacts of ours that are in it: who came in later than we put them in, by the platform's own dates. They had left, and
    somebody else put them in again. A merge dates anew too, so of whoever another was merged into this does not tell.

    taken_off_at: when we were about to take them off; without it only what is later than any write of ours may take effect counts.
    """
    added_at = ledger.added_at(store, adapter.name, object_id, contacts) if contacts and adapter.dates_members else {}
    if not added_at:
        return []
    if taken_off_at is None:
        earliest = {c: at + UNDER_WAY for c, at in added_at.items()}
    else:
        earliest = {c: max(at + CLOCKS_DIFFER, taken_off_at - CLOCKS_DIFFER) for c, at in added_at.items()}
    since = adapter.joined(object_id, sorted(earliest), min(earliest.values()))
    return [c for c, at in earliest.items() if c in since and since[c] > at]


def _entered_by_us(adapter: Adapter, object_id: str, sent_at: Mapping[str, datetime], now: datetime) -> frozenset[str]:
    since = adapter.joined(object_id, list(sent_at), min(sent_at.values()) - CLOCKS_DIFFER)
    return frozenset(i for i, at in sent_at.items() if at - CLOCKS_DIFFER <= since.get(i, now) <= at + UNDER_WAY)


def came_late(store: Store, adapter: Adapter, object_id: str, members: frozenset[str], now: datetime) -> frozenset[str]:
    """Those of the members whom an unfinished run of ours put there, and whom the platform did not show yet when that run was
    settled."""
    sent_at = journal.never_seen(store, adapter.name, object_id, now - SHOWN_LATE)
    found = {i: at for i, at in sent_at.items() if i in members}
    return _entered_by_us(adapter, object_id, found, now) if found else frozenset()
