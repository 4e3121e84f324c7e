"""Stage 8: a plan is carried out, several tags side by side, and everything is written down before and after."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from adapters.base import Account, Adapter, Cursor, Finding, Page, Stream
from connector import ask, audit, journal, ledger, push, runs, schema
from connector.store import Store
from models.changes import Batch, Change, Member, Observed, Outcome, Target, TargetPlan
from models.errors import AmbiguousWriteError, AuthError, ConnectorError, PermanentApiError, QuotaExhausted

NOW = datetime(2026, 11, 21, 12)
MEET_S = 10.0

Answer = Callable[[Batch], list[Outcome]]


class Platform(Adapter):
    """A platform of tags, in memory. `answer` may say or do something else about a batch than what was asked for."""

    name, title, noun, batch_size, contacts_stream = "mailchimp", "Mailchimp", "Mailchimp tag", 5, "members"

    def __init__(self, *, at_once: int = 1) -> None:
        super().__init__({}, now_utc=lambda: NOW, sleep=lambda _: None)
        self.concurrent_targets = at_once
        self.tags: dict[str, set[str]] = {}
        self.shown: dict[str, set[str]] | None = None
        """What it shows, where that is not yet what it holds."""
        self.answer: Answer = self.take
        self.made: list[str] = []
        self.quiet: list[str] = []
        self._lock = threading.Lock()
        self.busy: set[str] = set()

    def account(self) -> Account:
        return Account("a", "A")

    def check(self) -> list[Finding]:
        return []

    def streams(self) -> tuple[Stream, ...]:
        return ()

    def pages(self, stream: str, cursor: Cursor | None, *, full: bool = False, since: datetime | None = None) -> Iterator[Page]:
        yield Page([], {}, done=True)

    def reread(self, contact_ids: Sequence[str]) -> Iterator[Page]:
        yield Page([], {}, done=True)

    def observe(self, targets: Sequence[Target], maybe: dict[str, frozenset[str]]) -> list[Observed]:
        shown = self.tags if self.shown is None else self.shown
        return [Observed(t, t.name in shown, t.name, t.name, frozenset(shown.get(t.name, ()))) for t in targets]

    def ensure(self, target: Target) -> str:
        self.made.append(target.name)
        self.tags.setdefault(target.name, set())
        return target.name

    def apply(self, batch: Batch) -> list[Outcome]:
        with self._lock:
            assert batch.object_id not in self.busy, "two batches of one tag at once"
            self.busy.add(batch.object_id)
        try:
            return self.answer(batch)
        finally:
            with self._lock:
                self.busy.discard(batch.object_id)

    def apply_quietly(self, batch: Batch) -> list[Outcome]:
        self.quiet.append(batch.object_id)
        return self.apply(batch)

    def take(self, batch: Batch) -> list[Outcome]:
        """Do as asked and say so."""
        held = self.tags[batch.object_id]
        adds = [Outcome(m.contact_id, "add", "already" if m.contact_id in held else "done") for m in batch.adds]
        held |= {m.contact_id for m in batch.adds}
        removes = [Outcome(m.contact_id, "remove", "done" if m.contact_id in held else "already") for m in batch.removes]
        held -= {m.contact_id for m in batch.removes}
        return adds + removes


@pytest.fixture
def store() -> Store:
    store = Store(":memory:", threads=1)
    for step in schema.MIGRATIONS:
        for statement in step:
            store.sql(statement)
    return store


def plan(name: str, adds: int, removes: int = 0, *, is_there: bool = True, first_fill: bool = False) -> TargetPlan:
    """So many enter and leave; contacts are named after the tag."""
    target = Target("mailchimp", name, name, name if is_there else "")
    entering = [Change("mailchimp", name, "add", f"{name}{n:03d}", f"{name}{n}@x.example", f"p{n}") for n in range(adds)]
    leaving = [Change("mailchimp", name, "remove", f"{name}{n:03d}") for n in range(500, 500 + removes)]
    return TargetPlan(
        target, name, target.object_id, not is_there, removes, adds, removes, adds, changes=(*entering, *leaving),
        first_fill=first_fill,
    )  # fmt: skip


def carried_out(
    store: Store, platform: Platform, *plans: TargetPlan, run: str = "r1", now: datetime = NOW
) -> list[dict[str, int]]:
    for p in plans:
        if p.object_id:
            platform.tags.setdefault(p.object_name, {c.contact_id for c in p.changes if c.kind == "remove"})
    results = push.carry_out(store, platform, plans, run_id=run, now=lambda: now)
    for r in results:
        assert r.planned == sum(r.counts.values()) + r.not_sent
    return [{**r.counts, "not_sent": r.not_sent} for r in results]


def held(store: Store, name: str) -> set[str]:
    return {c for (c,) in store.sql("SELECT contact_id FROM ledger WHERE object_id = ?", [name])}


def states(store: Store) -> list[str]:
    return sorted(state for (state,) in store.sql("SELECT state FROM journal"))


# ---- side by side


def test_two_tags_are_written_at_the_same_time_and_batches_of_one_never(store: Store) -> None:
    platform = Platform(at_once=2)
    both = threading.Barrier(2)

    def meeting(batch: Batch) -> list[Outcome]:
        both.wait(MEET_S)
        return platform.take(batch)

    platform.answer = meeting
    assert carried_out(store, platform, plan("a", 20), plan("b", 20)) == [{"done": 20, "not_sent": 0}] * 2
    assert len(held(store, "a")) == len(held(store, "b")) == 20
    assert states(store) == ["done"] * 8


class Watched(Store):
    """Tells other threads what had been committed."""

    def __init__(self) -> None:
        self.batches: set[str] = set()
        self.objects: set[str] = set()
        self.most_open = 0
        super().__init__(":memory:", threads=1)

    def sql(self, text: str, params: Any = None) -> list[tuple[Any, ...]]:
        found = super().sql(text, params)
        if text == "COMMIT":
            self.batches = {str(i) for (i,) in super().sql("SELECT batch_id FROM journal")}
            (is_open,) = super().sql("SELECT count(*) FROM journal WHERE state = 'intended'")[0]
            self.most_open = max(self.most_open, is_open)
            self.objects = {str(i) for (i,) in super().sql("SELECT name FROM ledger_objects")}
        return found


def test_no_more_tags_are_written_at_once_than_the_platform_takes() -> None:
    platform, store = Platform(at_once=3), Watched()
    carried_out(store, platform, *(plan(name, 10) for name in "abcdefgh"))
    assert store.most_open == 3
    assert platform.tags == {name: held(store, name) for name in "abcdefgh"}


def test_a_batch_is_written_down_before_the_platform_hears_of_it() -> None:
    platform, store = Platform(at_once=2), Watched()

    def knowing(batch: Batch) -> list[Outcome]:
        assert batch.batch_id in store.batches
        return platform.take(batch)

    platform.answer = knowing
    assert carried_out(store, platform, plan("a", 12, 7), plan("b", 12)) == [
        {"done": 19, "not_sent": 0},
        {"done": 12, "not_sent": 0},
    ]


def test_objects_are_made_one_after_the_other_in_the_order_of_the_plan() -> None:
    platform, store = Platform(at_once=4), Watched()

    def remembered(target: Target) -> str:
        assert store.objects == set(platform.tags), "each is remembered before the next is made"
        return Platform.ensure(platform, target)

    platform.ensure = remembered  # type: ignore[method-assign]  # this platform looks before it makes
    carried_out(store, platform, *(plan(name, 3, is_there=False) for name in "dabc"))
    assert platform.made == list("dabc")
    assert store.objects == set("abcd")
    assert platform.tags == {name: held(store, name) for name in "abcd"}


# ---- what goes wrong


@pytest.mark.parametrize("error", [AuthError("the key was revoked"), QuotaExhausted("the day's quota is used up")])
def test_a_refused_key_or_a_used_up_quota_stops_every_tag_and_loses_nothing(store: Store, error: ConnectorError) -> None:
    platform = Platform(at_once=2)
    sent: list[str] = []

    def refusing(batch: Batch) -> list[Outcome]:
        sent.append(batch.object_id)
        if len(sent) > 3:
            raise error
        return platform.take(batch)

    platform.answer = refusing
    found = carried_out(store, platform, plan("a", 20), plan("b", 20), plan("c", 20))
    assert len(sent) <= 5, "what was under way, and nothing after it"
    assert sum(f.get("done", 0) for f in found) == 15
    assert found[2] == {"not_sent": 20}
    push.recover(store, platform, run_id="r2", now=lambda: NOW)
    assert platform.tags == {name: held(store, name) for name in "abc"}
    assert set(states(store)) == {"done", "recovered"}


def test_a_tag_that_is_refused_stops_alone(store: Store) -> None:
    platform = Platform(at_once=2)

    def refusing(batch: Batch) -> list[Outcome]:
        if batch.object_id == "a":
            raise PermanentApiError("it was deleted")
        return platform.take(batch)

    platform.answer = refusing
    assert carried_out(store, platform, plan("a", 20), plan("b", 20)) == [{"not_sent": 20}, {"done": 20, "not_sent": 0}]
    assert states(store) == ["done"] * 4 + ["failed"]


def unclear(platform: Platform, *, takes: int, times: int = 1) -> Answer:
    """Takes only some of a batch and loses the answer, so many times."""
    left = [times]

    def answer(batch: Batch) -> list[Outcome]:
        if not left[0]:
            return platform.take(batch)
        left[0] -= 1
        platform.tags[batch.object_id] |= {m.contact_id for m in batch.adds[:takes]}
        raise AmbiguousWriteError("no answer")

    return answer


def test_after_a_lost_answer_only_what_did_not_happen_is_repeated(store: Store) -> None:
    platform = Platform()
    again: list[int] = []
    once = unclear(platform, takes=2)

    def answer(batch: Batch) -> list[Outcome]:
        again.append(len(batch.adds))
        return once(batch)

    platform.answer = answer
    assert carried_out(store, platform, plan("a", 5)) == [{"done": 5, "not_sent": 0}]
    assert again == [5, 3]
    assert held(store, "a") == platform.tags["a"]


def test_an_effect_that_shows_only_after_the_read_back_is_ours(store: Store) -> None:
    platform = Platform()
    platform.shown, platform.answer = {"a": set()}, unclear(platform, takes=2)
    assert carried_out(store, platform, plan("a", 5)) == [{"done": 5, "not_sent": 0}]
    assert held(store, "a") == platform.tags["a"]


def test_what_never_became_clear_is_settled_by_the_next_run_and_told_once(store: Store) -> None:
    """Two are seen to be in it, three are not: these are unknown, and are in it all the same when the next run looks."""
    platform = Platform()
    platform.tags["a"], platform.shown = set(), {"a": {"a000", "a001"}}
    platform.answer = unclear(platform, takes=5, times=9)
    assert carried_out(store, platform, plan("a", 5)) == [{"done": 2, "unknown": 3, "not_sent": 0}]
    assert states(store) == ["unknown"] and held(store, "a") == {"a000", "a001"}

    platform.shown = None
    assert push.recover(store, platform, run_id="r2", now=lambda: NOW) == 1

    assert held(store, "a") == platform.tags["a"]
    assert store.sql("SELECT action, count(*), count(DISTINCT person_hash) FROM audit GROUP BY ALL") == [("add", 5, 5)]
    (outcome,) = (orjson.loads(o) for (o,) in store.sql("SELECT outcome FROM journal"))
    assert sorted(o[:3] for o in outcome) == [[f"a{n:03d}", "add", "done"] for n in range(5)]
    assert audit.verify(store).is_sound


@pytest.mark.parametrize(("hours", "is_ours"), [(1, True), (3, False)])
def test_whom_a_run_that_died_added_is_ours_although_the_platform_shows_it_late(
    store: Store, hours: int, is_ours: bool
) -> None:
    """Nobody is seen in it when the next run looks; when that adds them once more, they are in it already."""
    platform = Platform()
    platform.tags["a"], platform.shown = {"a000", "a001"}, {"a": set()}
    target = Target("mailchimp", "a", "a", "a")
    ledger.remember_object(store, target, "a", "created", NOW, "r1")
    journal.intend(store, Batch(target, "a", "a", (Member("a000"), Member("a001")), batch_id="died"), NOW, "r1")
    later = NOW + timedelta(hours=hours)
    push.recover(store, platform, run_id="r2", now=lambda: later)
    assert held(store, "a") == set()

    carried_out(store, platform, plan("a", 3), run="r2", now=later)

    assert held(store, "a") == ({"a000", "a001", "a002"} if is_ours else {"a002"})


def test_whom_somebody_else_added_meanwhile_is_not_ours(store: Store) -> None:
    platform = Platform()
    platform.tags["a"] = {"a001"}
    assert carried_out(store, platform, plan("a", 3)) == [{"done": 2, "already": 1, "not_sent": 0}]
    assert held(store, "a") == {"a000", "a002"}


# ---- quietly


def test_a_first_fill_of_what_was_there_before_is_quiet_and_nothing_else_is(store: Store) -> None:
    platform = Platform()
    carried_out(
        store, platform, plan("first", 3, first_fill=True), plan("usual", 3), plan("new", 3, is_there=False, first_fill=True)
    )
    carried_out(store, platform, plan("leaving", 0, 3, first_fill=True))
    assert platform.quiet == ["first"]


# ---- whom a platform refuses


def refusing(platform: Platform, *contacts: str) -> Answer:
    def answer(batch: Batch) -> list[Outcome]:
        return [
            Outcome(o.contact_id, o.kind, "refused", "the customer has 245 tags") if o.contact_id in contacts else o
            for o in platform.take(batch)
        ]

    return answer


def test_a_refusal_is_kept_with_its_reason_until_it_succeeds_and_is_known_since_the_first_run(store: Store) -> None:
    platform = Platform()
    platform.answer = refusing(platform, "a001", "a002")
    for run in ("r1", "r2"):
        carried_out(store, platform, plan("a", 3), run=run)
    assert store.sql("SELECT contact_id, kind, reason, first_run, last_run FROM parked ORDER BY ALL") == [
        (c, "add", "the customer has 245 tags", "r1", "r2") for c in ("a001", "a002")
    ]
    assert set(journal.stuck(store, "mailchimp", "a", "add")) == {"a001", "a002"}

    platform.tags["a"].discard("a001")
    platform.answer = refusing(platform, "a002")
    carried_out(store, platform, plan("a", 3), run="r3")
    assert set(journal.stuck(store, "mailchimp", "a", "add")) == {"a002"}
    assert held(store, "a") == {"a000", "a001"}


def test_who_is_stuck_is_tried_again_once_the_record_changed(store: Store) -> None:
    platform = Platform()
    platform.answer = refusing(platform, "a001")
    store.insert("contacts", [{"source": "mailchimp", "stream": "members", "record_id": "a001", "contact_id": "a001"}])
    store.insert("source_records", [{"source": "mailchimp", "stream": "members", "record_id": "a001", "changed_run": "r0"}])
    carried_out(store, platform, plan("a", 3))
    assert set(journal.stuck(store, "mailchimp", "a", "add")) == {"a001"}
    store.sql("UPDATE source_records SET changed_run = 'r2'")
    assert journal.stuck(store, "mailchimp", "a", "add") == {}


def test_who_is_wanted_no_more_is_parked_no_more(store: Store) -> None:
    platform = Platform()
    platform.answer = refusing(platform, "a001", "a002", "a500")
    carried_out(store, platform, plan("a", 3, 1))
    journal.unpark(store, "mailchimp", "a", {"a001"})
    assert store.sql("SELECT contact_id, kind FROM parked ORDER BY ALL") == [("a001", "add"), ("a500", "remove")]
    journal.unpark(store, "mailchimp", "a", {"a500"})
    assert store.sql("SELECT * FROM parked") == []


def test_a_run_shows_what_it_could_not_do_since_when_and_what_helps(store: Store) -> None:
    platform = Platform()
    platform.answer = refusing(platform, "a001", "a002")
    first, second = runs.begin(store, "push"), runs.begin(store, "push")
    carried_out(store, platform, plan("a", 3), run=first)
    platform.answer = refusing(platform, "b000")
    carried_out(store, platform, plan("b", 3), run=second)

    shown = ask.one_run(store, second)

    (parked,) = shown["parked"]
    assert (parked["segment"], parked["kind"], parked["people"], parked["contacts"]) == ("b", "add", 1, ["b000"])
    assert "245 tags" in parked["reason"] and "next run" in parked["what_to_do"]
    assert [(p["segment"], p["people"], p["since"]) for p in shown["stuck"]] == [("a", 2, first), ("b", 1, second)]
    assert "@" not in str(shown)


def test_a_batch_whose_answer_is_lost_while_the_machine_sleeps_is_not_sent_again_before_consent_is_asked(store: Store) -> None:
    platform, now = Platform(), [NOW]
    sent: list[int] = []

    def asleep(batch: Batch) -> list[Outcome]:
        sent.append(len(batch.adds))
        now[0] += timedelta(hours=9)
        raise AmbiguousWriteError("no answer")

    platform.answer, platform.tags["a"] = asleep, set()
    (result,) = push.carry_out(store, platform, [plan("a", 3)], run_id="r1", now=lambda: now[0])
    assert sent == [3] and result.counts == {"unknown": 3} and states(store) == ["unknown"]
