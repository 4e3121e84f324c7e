"""The cost bucket: what is waited for before a query, alone, with threads, and beside another process."""

from __future__ import annotations

from typing import Any

import pytest
import responses

from adapters.shopify_pace import CostPace
from connector.sandbox.base import Limits
from connector.sandbox.shopify import ShopifySimulator
from tests.platforms.shopify.simulated_shop import START, Clock, connect, small_shop
from tests.simulated import simulated


class Seconds:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_query_waits_for_what_the_bucket_lacks() -> None:
    clock = Seconds()
    pace = CostPace(share=1.0, clock=clock)
    assert pace.begin(1900) == 0
    pace.end(1900)
    pace.report(50, size=2000, per_s=100)
    assert pace.begin(250) == 2.0
    clock.now_s = 2.0
    pace.end(250)
    pace.report(40)
    clock.now_s = 3.0
    assert pace.begin(140) == 0


def test_an_answer_does_not_forget_the_queries_still_under_way() -> None:
    clock = Seconds()
    pace = CostPace(share=1.0, clock=clock)
    pace.begin(500)
    pace.begin(400)
    pace.end(500)
    pace.report(450, size=2000, per_s=100)
    assert pace.begin(100) >= 0.5


def test_a_query_without_an_answer_gives_its_place_back() -> None:
    pace = CostPace(share=1.0, clock=Seconds())
    for _ in range(10):
        pace.begin(100)
        pace.end(100)
    pace.report(1000, size=2000, per_s=100)
    assert pace.begin(1000) == 0


def test_two_processes_on_one_app_leave_each_other_room() -> None:
    clock = Clock()
    simulator = ShopifySimulator(clock, limits=Limits(on=True))
    simulator.load(small_shop())
    simulator._level = 100.0
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        url = simulated("shopify", simulator, mock)
        adapters = [connect(url, clock, token="shpat_sandbox") for _ in range(2)]
        for adapter in adapters:
            adapter.api._pace._clock = lambda: clock.now.timestamp()  # the pace's clock must be the one that waits move
        for _ in range(4):
            walks = [adapter.pages("orders", None) for adapter in adapters]
            while walks:
                walks = [walk for walk in walks if next(walk, None) is not None]
        calls: list[Any] = list(mock.calls)
    refused = [c for c in calls if b"THROTTLED" in c.response.content]
    assert len(calls) > 40 and len(refused) <= 1
    assert clock.now > START


@pytest.mark.parametrize("share", [0.95, 0.4])
@pytest.mark.parametrize("per_s", [100.0, 1000.0])
def test_the_owners_share_of_the_budget_is_kept_however_much_is_there(share: float, per_s: float) -> None:
    """Against a bucket as Shopify's: what others leave unused does not become ours, and our share is really used."""
    clock, size = Seconds(), 20 * per_s
    pace = CostPace(share=share, clock=clock)
    level, used, at_s = size, 0.0, 0.0
    for n in range(3000):
        asked = 90.0 + n % 40
        clock.now_s += pace.begin(asked)
        level = min(size, level + (clock.now_s - at_s) * per_s)
        at_s = clock.now_s
        assert level >= asked, "no query is refused"
        actual = asked * 0.6
        level, used = level - actual, used + actual
        pace.end(asked, actual)
        pace.report(level, size=size, per_s=per_s)
    permitted = share * (size + per_s * clock.now_s)
    assert clock.now_s > 60 and 0.95 * permitted < used <= permitted


def test_the_configured_share_reaches_the_pace(base_url: str) -> None:
    assert connect(base_url, Clock(), budget_pct=50).api._pace._share == 0.5
    assert connect(base_url, Clock()).api._pace._share == 0.95
