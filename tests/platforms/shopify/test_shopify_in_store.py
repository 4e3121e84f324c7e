"""Shopify's history in the store: what hides behind the wall is not gone, and the day from which orders are whole is true."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import responses

from connector import full_reads, pull, runs
from connector.normalize import Normalizer, load_mapping
from connector.sandbox.shopify import SCOPES, ShopifySimulator
from connector.store import Store
from tests.platforms.shopify.simulated_shop import START, Clock, connect, small_shop
from tests.simulated import simulated

NUMBERS = itertools.count(1)
WALLED = SCOPES - {"read_all_orders"}


class Nights:
    """A store that is kept up to date against one simulated shop."""

    def __init__(self, store: Store, base_url: str, clock: Clock) -> None:
        self.store, self.base_url, self.clock = store, base_url, clock
        self.normalizer = Normalizer(load_mapping("shopify"), {}, date(2026, 11, 21), "Rollcall: ")

    def run(self, *, days: int = 1, full: bool = False, **settings: Any) -> dict[str, full_reads.FullRead]:
        """One night: a pull (full: a backfill), then what is due of the full reads."""
        self.clock.sleep(days * 86_400)
        adapter = connect(self.base_url, self.clock, **settings)
        run_id = runs.begin(self.store, "sync", now_utc=self.clock, suffix=lambda: f"{next(NUMBERS):04d}")
        pull.pull(self.store, adapter, self.normalizer, run_id, full=full)
        due = full_reads.due(self.store, adapter, self.normalizer, 7, self.clock())
        return {s: full_reads.read_on(self.store, adapter, self.normalizer, run_id, s, 7) for s in due}

    def states(self) -> dict[str, int]:
        found = self.store.sql("SELECT state, count(*) FROM source_records WHERE stream = 'orders' GROUP BY ALL")
        return dict(found)

    def whole_from(self) -> date | None:
        found: date | None = self.store.value("SELECT complete_from FROM cursors WHERE stream = 'orders'")
        return found


@pytest.fixture
def simulator(clock: Clock) -> ShopifySimulator:
    """Ten orders three months old, five of the last days."""
    shop = small_shop()
    shop.purchases = shop.purchases[:15]
    for n, purchase in enumerate(shop.purchases[10:]):
        purchase.at = START - timedelta(days=n)
    made = ShopifySimulator(clock)
    made.load(shop)
    return made


@pytest.fixture
def nights(tmp_path: Path, simulator: ShopifySimulator, clock: Clock) -> Iterator[Nights]:
    store = Store(tmp_path / "rollcall.duckdb")
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Nights(store, simulated("shopify", simulator, mock), clock)
    store.close()


def test_orders_that_hide_behind_the_wall_are_never_taken_to_be_gone(nights: Nights, simulator: ShopifySimulator) -> None:
    nights.run()
    assert nights.states() == {"live": 15} and nights.whole_from() == date(1970, 1, 1)
    simulator.switches.scopes = WALLED
    nights.run(days=1)
    simulator.delete_order("o14")
    reads = [nights.run(days=8)["orders"] for _ in range(2)]
    assert [(r.read, r.is_ended, r.gone) for r in reads] == [(4, True, 0), (4, True, 1)], "only the one that was deleted"
    assert nights.states() == {"live": 14, "gone": 1}


def test_the_day_from_which_orders_are_whole_falls_with_the_scope_and_moves_on_with_a_gap(
    nights: Nights, simulator: ShopifySimulator
) -> None:
    simulator.switches.scopes = WALLED
    nights.run()
    assert nights.whole_from() == date(2026, 9, 24)
    nights.run(days=30)
    assert nights.whole_from() == date(2026, 9, 24), "what was read is kept although it is hidden by now"
    nights.run(days=70)
    assert nights.whole_from() == date(2027, 1, 2), "nobody looked in between"
    nights.run(full=True)
    assert nights.whole_from() == date(2027, 1, 2)
    simulator.switches.scopes = SCOPES
    nights.run()
    assert nights.whole_from() == date(1970, 1, 1) and nights.states() == {"live": 15}


def test_an_export_taken_up_a_night_later_does_not_bring_back_what_was_changed_since(
    nights: Nights, simulator: ShopifySimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full read of many nights holds an export of the first; who unsubscribed on the second stays unsubscribed."""
    nights.run()
    monkeypatch.setattr(full_reads, "LEAST_A_NIGHT", 1)  # a setting: so little a night that the read takes several
    monkeypatch.setattr("adapters.shopify_bulk.PAGE_ROWS", 50)  # a setting: small pages of an export
    first = nights.run(days=8, bulk="always")["customers"]
    assert not first.is_ended and first.read < 120
    simulator.change("00001", {"consent": "unsubscribed"})
    simulator.change("00118", {"consent": "unsubscribed"})
    for _ in range(8):
        nights.run(bulk="always")
    statuses = nights.store.sql(
        "SELECT c.email, s.status FROM consents s JOIN contacts c USING (source, contact_id) "
        "WHERE c.email IN ('00001@shop.example', '00118@shop.example') AND s.channel = 'email' ORDER BY 1"
    )
    assert statuses == [("00001@shop.example", "unsubscribed"), ("00118@shop.example", "unsubscribed")]
    assert nights.store.value("SELECT cursor IS NULL FROM full_reads WHERE stream = 'customers'"), "the read came to its end"
