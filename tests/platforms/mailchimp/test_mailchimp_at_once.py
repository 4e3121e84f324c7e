"""Several requests at once: the budget is used while there is work, kept by all walks together, and given back on a 429."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.mailchimp_gate import CALM, Gate
from connector.sandbox.base import Limits
from connector.sandbox.shop import Mailing

SENT = datetime(2026, 11, 10, 9, 0, 0)
PATIENCE_S = 10
HURRY = 400
"""How much faster than in life waits pass where two programs must really meet; an answer takes 2 ms then."""


class Together:
    """Answers chosen requests only when `number` of them are there at once; `groups` counts how often they were."""

    def __init__(self, number: int) -> None:
        self.barrier = threading.Barrier(number)
        self.groups = 0
        self.is_over = False

    def wait(self) -> None:
        if self.is_over:
            return
        try:
            is_first = self.barrier.wait(PATIENCE_S) == 0
        except threading.BrokenBarrierError:
            self.is_over = True
            return
        if is_first:
            self.groups += 1


@pytest.mark.parametrize("workers", [1, 4, 10])
def test_the_pages_of_one_status_are_read_side_by_side(world: Any, workers: int) -> None:
    world.load(4 * 40 + 1)
    together = Together(workers)

    def hold(call: Any) -> None:
        if call.query.get("status") == "subscribed" and call.query["count"] == "5" and "since_last_changed" not in call.query:
            together.wait()

    world.before = hold
    records = [r for p in world.adapter(workers=workers).pages("members", None) for r in p.records]
    assert len(records) == len({r["id"] for r in records}) == 161
    assert together.groups == 40 // workers and not together.is_over, "no page ever found a slot empty"


def test_the_pages_of_reports_are_read_side_by_side(world: Any) -> None:
    people = [f"{n:05d}" for n in range(40)]
    world.load(40, mailings=[Mailing(f"c{n}", "News", "Hello", SENT + timedelta(days=n), people) for n in range(5)])
    together = Together(4)
    world.before = lambda call: together.wait() if call.path.endswith("email-activity") else None
    assert len([r for p in world.adapter().pages("activity", None) for r in p.records]) == 200
    assert together.groups == 10 and not together.is_over


def test_single_reads_of_reread_go_side_by_side(world: Any) -> None:
    world.load(300)
    together = Together(4)
    world.before = lambda call: together.wait() if "/members/" in call.path else None
    pages = list(world.adapter().reread([world.member_id(n) for n in range(12)]))
    assert len(pages[0].records) == 12 and together.groups == 3 and not together.is_over


def test_walks_in_several_threads_keep_the_limit_together(world: Any) -> None:
    world.load(60, mailings=[Mailing(f"c{n}", "News", "Hello", SENT, [f"{k:05d}" for k in range(20)]) for n in range(3)])
    adapter = world.adapter(workers=3)
    found: dict[str, int] = {}
    together = Together(3)
    world.before = lambda call: together.wait() if call.path.endswith("email-activity") else None

    def walk(stream: str) -> None:
        found[stream] = sum(len(p.records) for p in adapter.pages(stream, None))

    threads = [threading.Thread(target=walk, args=(s.name,)) for s in adapter.streams()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found["members"], found["activity"], found["campaigns"]) == (60, 60, 3)
    assert world.simulator.most_at_once <= 3 and together.groups == 4


def test_with_the_limit_of_ten_on_there_is_no_refusal(world: Any) -> None:
    world.load(300)
    world.simulator.limits = Limits(on=True)
    assert sum(len(p.records) for p in world.adapter(workers=10).pages("members", None)) == 300
    assert world.waits == []


def test_one_request_fewer_after_each_refusal_and_one_more_after_many_good_answers() -> None:
    gate = Gate(4)
    for _ in range(6):
        gate.refused()
    assert gate.workers == 1
    for _ in range(2 * CALM):
        gate.answered()
    assert gate.workers == 3


@pytest.mark.parametrize(("rows", "begun"), [(1000, 6), (500, 12), (100, 16), (1, 16)])
def test_more_small_pages_than_large_ones_are_begun_ahead_of_the_store(rows: int, begun: int) -> None:
    taken: list[int] = []

    def jobs() -> Iterator[Callable[[], int]]:
        for n in range(60):
            taken.append(n)
            yield lambda n=n: n

    results = Gate(4).ahead(jobs(), rows)
    assert next(results) == 0
    assert len(taken) == begun + 1
    assert list(results) == list(range(1, 60))


def test_two_programs_on_one_account_make_room_for_each_other(world: Any) -> None:
    """Each takes ten; the 429 is the only sign of the other."""
    world.load(600)
    world.simulator.limits = Limits(on=True)
    world.simulator.switches.latency_s = 0.002
    world.sleep = lambda wait_s: (world.waits.append(wait_s), time.sleep(wait_s / HURRY))
    adapters = [world.adapter(workers=10) for _ in range(2)]
    found: list[int] = []

    def walk(adapter: Any) -> None:
        found.append(sum(len(p.records) for p in adapter.pages("members", None)))

    threads = [threading.Thread(target=walk, args=(a,)) for a in adapters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [600, 600]
    assert world.simulator.most_at_once > 10, "they did meet"
    assert sum(a.api.workers for a in adapters) < 20
    refused = len(world.waits)
    assert 0 < refused < 100 and all(0 <= w <= 120 for w in world.waits)


def test_the_number_of_workers_stays_between_one_and_ten(world: Any) -> None:
    assert [world.adapter(workers=n).api.workers for n in (-3, 1, 7, 99)] == [1, 1, 7, 10]


def test_a_429_at_once_lowers_what_runs_and_the_walk_goes_on(world: Any) -> None:
    world.load(100)
    world.simulator.switches.break_next = ["429"] * 3
    adapter = world.adapter()
    assert sum(len(p.records) for p in adapter.pages("members", None)) == 100
    assert adapter.api.workers == 1
    assert len(world.waits) == 3
