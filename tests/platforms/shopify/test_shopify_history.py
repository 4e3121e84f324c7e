"""How far back a stream is whole, and what has left it: the wall of 60 days, the purge, deletions, merges, the index's lag."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
import responses

from adapters.base import Page
from connector.normalize import Normalizer, load_mapping
from connector.sandbox.shop import Product, Purchase
from connector.sandbox.shopify import SCOPES, ShopifySimulator
from connector.sandbox.shopify_search import Searchable
from tests.platforms.shopify.simulated_shop import START, Clock, connect, records, small_shop
from tests.simulated import simulated

WITHOUT_HISTORY = SCOPES - {"read_all_orders"}


def last(adapter: Any, stream: str, cursor: Any = None, **options: Any) -> Page:
    pages: list[Page] = list(adapter.pages(stream, cursor, **options))
    assert pages[-1].done and not any(p.complete_from or p.gone for p in pages[:-1])
    return pages[-1]


def numbers(found: dict[str, Any]) -> set[str]:
    return {gid.rsplit("/", 1)[1] for gid in found}


def with_fresh_orders(simulator: ShopifySimulator) -> None:
    """Forty orders more, one a day: some before the wall, some behind it."""
    world = simulator.world
    for node in world.orders[:40]:
        node.purchase.at = START - timedelta(days=int(node.purchase.order_id[1:]) + 35)


@pytest.mark.parametrize("bulk", ["never", "always"])
def test_orders_behind_the_wall_are_said_to_be_missing(
    base_url: str, clock: Clock, simulator: ShopifySimulator, bulk: str
) -> None:
    with_fresh_orders(simulator)
    simulator.switches.scopes = WITHOUT_HISTORY
    adapter = connect(base_url, clock, bulk=bulk)
    found = records(adapter, "orders")
    end = last(adapter, "orders")
    assert len(found) == 26
    assert end.complete_from == date(2026, 9, 23)
    assert end.cursor["walled"]
    assert last(adapter, "customers").complete_from is None


def test_with_the_scope_orders_are_whole_from_their_beginning(base_url: str, clock: Clock) -> None:
    end = last(connect(base_url, clock), "orders")
    assert end.complete_from is None and "walled" not in end.cursor


def test_the_wall_is_said_at_once_and_rounds_keep_what_was_read_before_it(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    simulator.switches.scopes = WITHOUT_HISTORY
    adapter = connect(base_url, clock)
    first = last(adapter, "orders")
    assert "last 60 days (from 2026-09-23 on)" in first.note and "read_all_orders" in first.note
    clock.sleep(30 * 86_400)
    second = last(adapter, "orders", first.cursor)
    assert (second.note, second.complete_from) == ("", date(2026, 9, 23)), "older orders are held, so nothing moves on"
    again = last(adapter, "orders", second.cursor, full=True)
    assert again.complete_from == date(2026, 9, 23) and "from 2026-10-23 on" in again.note


def test_a_pause_longer_than_the_wall_is_said_and_moves_the_day_on(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    simulator.switches.scopes = WITHOUT_HISTORY
    adapter = connect(base_url, clock)
    first = last(adapter, "orders")
    clock.sleep(70 * 86_400)
    after = last(adapter, "orders", first.cursor)
    assert after.note.startswith("Orders placed after 2026-11-21 and before 2026-12-01 cannot be read any more")
    assert after.complete_from == date(2026, 12, 2)
    assert last(adapter, "orders", after.cursor).complete_from == date(2026, 12, 2)
    assert last(adapter, "orders", first.cursor, full=True).complete_from == date(2026, 12, 2)


@pytest.mark.parametrize(("since", "whole_from"), [(START - timedelta(days=20), date(2026, 11, 1)), (None, date(2026, 9, 23))])
def test_a_first_pull_from_a_day_on_reaches_no_further_than_that_day(
    base_url: str, clock: Clock, simulator: ShopifySimulator, since: Any, whole_from: date
) -> None:
    simulator.switches.scopes = WITHOUT_HISTORY
    adapter = connect(base_url, clock)
    first = last(adapter, "orders", since=since)
    assert first.complete_from == whole_from and bool(first.note) == (since is None)
    clock.sleep(86_400)
    second = last(adapter, "orders", first.cursor)
    assert second.complete_from == whole_from
    whole = last(adapter, "orders", second.cursor, full=True)
    assert whole.complete_from == min(whole_from, date(2026, 9, 24))


def test_an_imported_order_is_hidden_by_the_day_it_was_made_not_by_the_day_it_was_placed(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    simulator.world.orders[0].purchase.source["imported_at"] = (START - timedelta(days=3)).isoformat()
    simulator.switches.scopes = WITHOUT_HISTORY
    found = list(records(connect(base_url, clock), "orders").values())
    assert [(o["createdAt"][:10], o["processedAt"][:10]) for o in found] == [("2026-11-18", "2026-08-23")]


@pytest.mark.parametrize("bulk", ["never", "always"])
def test_when_the_scope_comes_later_all_that_lay_behind_the_wall_is_read(
    base_url: str, clock: Clock, simulator: ShopifySimulator, bulk: str
) -> None:
    with_fresh_orders(simulator)
    simulator.switches.scopes = WITHOUT_HISTORY
    walled = last(connect(base_url, clock, bulk=bulk), "orders").cursor
    clock.sleep(3600)
    assert len(records(connect(base_url, clock, bulk=bulk), "orders", walled)) == 0
    simulator.switches.scopes = SCOPES
    adapter = connect(base_url, clock, bulk=bulk)
    end = last(adapter, "orders", walled)
    assert end.complete_from == date(1970, 1, 1) and "walled" not in end.cursor
    assert len(records(connect(base_url, clock, bulk=bulk), "orders", walled)) == 150
    assert len(records(adapter, "orders", end.cursor)) == 0


def test_purged_checkouts_leave_the_list_and_how_far_it_reaches_is_said(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    adapter = connect(base_url, clock)
    first = last(adapter, "checkouts")
    assert len(records(adapter, "checkouts")) == 10 and first.complete_from == date(2026, 8, 31)
    clock.sleep(70 * 86_400)
    later = last(adapter, "checkouts", first.cursor, full=True)
    assert 0 < len(records(adapter, "checkouts", first.cursor, full=True)) < 10
    assert later.gone == {} and later.complete_from == date(2026, 8, 31), "our copy of what was purged is the history"
    clock.sleep(90 * 86_400)
    assert last(adapter, "checkouts", later.cursor).complete_from == date(2027, 2, 7), "what came and went in between is lost"


def test_checkouts_begun_before_a_long_pause_are_read_after_it(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    adapter = connect(base_url, clock)
    before = last(adapter, "checkouts")
    clock.sleep(50 * 86_400)
    for checkout in simulator.world.checkouts:
        checkout.cart.completed_at = clock() - timedelta(days=45)
    found = records(adapter, "checkouts", before.cursor)
    assert len(found) == 7, "those that were open and not older than thirty days at the last round"
    assert all(c["completedAt"] for c in found.values())


@pytest.mark.parametrize("hides_closed", [True, False])
@pytest.mark.parametrize("bulk", ["never", "always"])
def test_recovered_checkouts_are_read_whether_or_not_shopify_lists_them_by_itself(
    base_url: str, clock: Clock, simulator: ShopifySimulator, bulk: str, hides_closed: bool
) -> None:
    for checkout in simulator.world.checkouts[:4]:
        checkout.cart.completed_at = START - timedelta(hours=1)
    simulator.switches.hides_closed = hides_closed
    adapter = connect(base_url, clock, bulk=bulk, page_size=3)
    pages = list(adapter.pages("checkouts", None))
    ids = [r["id"] for p in pages for r in p.records]
    assert len(ids) == len(set(ids)) == 10
    for page in pages[:-1]:
        rest = records(connect(base_url, clock, bulk=bulk, page_size=3), "checkouts", page.cursor)
        until = pages[: pages.index(page) + 1]
        assert len(rest.keys() | {r["id"] for p in until for r in p.records}) == 10
    clock.sleep(3600)
    assert len(records(adapter, "checkouts", pages[-1].cursor)) == 7
    assert ("one after another" in " ".join(f.text for f in adapter.check())) == hides_closed


def test_a_deleted_product_is_named_as_gone_and_its_lines_stay(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    adapter = connect(base_url, clock)
    first = last(adapter, "products")
    assert first.gone == {}
    gid = next(iter(records(adapter, "products")))
    clock.sleep(7200)
    simulator.delete_product("beans")
    after = last(adapter, "products", first.cursor)
    assert after.gone == {gid.rsplit("/", 1)[1]: "gone"}
    line = next(iter(records(adapter, "orders").values()))["lineItems"]["nodes"][0]
    assert (line["product"], line["name"]) == (None, "Dark roast")
    clock.sleep(7200)
    again = last(adapter, "products", after.cursor)  # the overlap names it once more, which changes nothing
    clock.sleep(7200)
    assert last(adapter, "products", again.cursor).gone == {}


def test_an_event_that_is_no_deletion_takes_nothing_away(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    """Were the search over events ignored, every product that ever had one would seem to be gone."""
    made = {"__typename": "BasicEvent", "number": 1, "id": "gid://shopify/BasicEvent/1", "action": "create", "at": clock(),
            "createdAt": "2026-11-21T12:00:00Z", "subjectId": simulator.world.products[0].id, "subjectType": "PRODUCT",
            "message": "A product was made."}  # fmt: skip
    simulator.world.events.append(made)
    anything = Searchable("tags", lambda event: Everything())
    simulator.lists["events"].fields = dict.fromkeys(("action", "subject_type"), anything) | {"created_at": anything}
    adapter = connect(base_url, clock)
    assert last(adapter, "products").gone == {}


class Everything:
    def __contains__(self, value: object) -> bool:
        return True


def test_where_events_cannot_be_read_the_products_are_read_all_the_same(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    simulator.switches.denied = ["events"]
    assert last(connect(base_url, clock), "products").gone == {}


def test_a_deleted_customer_and_a_deleted_order_are_absent_from_a_full_read(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    adapter = connect(base_url, clock)
    people, orders = records(adapter, "customers"), records(adapter, "orders")
    cursors = {s: last(adapter, s).cursor for s in ("customers", "orders")}
    simulator.change("00007", {"deleted": True})
    simulator.delete_order("o9")
    assert records(adapter, "orders", cursors["orders"]).keys() <= orders.keys()
    left = numbers(people) - numbers(records(adapter, "customers", cursors["customers"], full=True))
    assert len(left) == 1
    assert len(orders.keys() - records(adapter, "orders", cursors["orders"], full=True).keys()) == 1
    assert next(adapter.reread(sorted(left))).gone == dict.fromkeys(left, "gone")


def test_a_merge_brings_the_orders_to_the_survivor(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    adapter = connect(base_url, clock)
    cursor = last(adapter, "orders").cursor
    clock.sleep(3600)
    simulator.merge("00001", "00002")
    moved = records(adapter, "orders", cursor).values()
    survivor = simulator.customer("00001")
    assert survivor is not None and moved
    assert {o["customer"]["id"] for o in moved} == {survivor.id}


def test_an_edit_the_index_does_not_know_yet_is_met_in_the_next_round(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    adapter = connect(base_url, clock)
    cursor = last(adapter, "customers").cursor
    clock.sleep(3600)
    simulator.switches.index_lag_s = 120
    simulator.change("00003", {"first_name": "Jo"})
    missed = last(adapter, "customers", cursor)
    assert missed.records == []
    clock.sleep(300)
    found = records(adapter, "customers", missed.cursor).values()
    assert [c["firstName"] for c in found] == ["Jo"]


def test_a_refund_an_edit_and_a_cancellation_come_with_the_next_round(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    adapter = connect(base_url, clock)
    cursor = last(adapter, "orders").cursor
    clock.sleep(3600)
    simulator.refund("o20", Decimal("9.90"))
    simulator.edit_order("o21", 1)
    found = {o["name"]: o for o in records(adapter, "orders", cursor).values()}
    refunded, edited = found["#1021"], found["#1022"]
    assert refunded["currentTotalPriceSet"]["shopMoney"]["amount"] == "9.9"
    assert [r["totalRefundedSet"]["shopMoney"]["amount"] for r in refunded["refunds"]] == ["9.9"]
    assert edited["edited"] and edited["currentTotalPriceSet"]["shopMoney"]["amount"] == "9.9"
    assert [n["currentQuantity"] for n in edited["lineItems"]["nodes"]] == [1, 0]


def test_a_product_without_type_takes_its_first_collection(clock: Clock, base_url: str, simulator: ShopifySimulator) -> None:
    found = next(iter(records(connect(base_url, clock), "products").values()))
    assert (found["_collection"], found["_sku"]) == ("Coffee", "beans")


def test_orders_of_other_currencies_keep_their_own_and_the_shops(clock: Clock) -> None:
    shop = small_shop()
    sources = [{"presentment": "USD 1.1"}, {"currency": "CHF"}]
    lines = shop.purchases[0].lines
    shop.products.append(Product("card", "Gift card", "Gift cards", "Roaster", Decimal("25")))
    shop.purchases = [
        Purchase(f"x{n}", "00001", START - timedelta(days=2), Decimal("19.8"), lines, source=s) for n, s in enumerate(sources)
    ]
    simulator = ShopifySimulator(clock)
    simulator.load(shop)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        found = list(records(connect(simulated("shopify", simulator, mock), clock), "orders").values())
    assert found[0]["presentmentCurrencyCode"] == "USD"
    assert found[0]["totalPriceSet"]["presentmentMoney"] == {"amount": "21.78", "currencyCode": "USD"}
    normalizer = Normalizer(load_mapping("shopify"), {}, date(2026, 11, 21))
    rows = [normalizer.normalize("orders", o)["orders"][0] for o in found]
    assert [(r["currency"], r["net"]) for r in rows] == [("EUR", "19.8"), ("CHF", "19.8")]
