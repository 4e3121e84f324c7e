"""The adapter against the simulated Shopify: written by other hands from the same documentation, met over HTTP only."""

from __future__ import annotations

import pytest
import responses

from connector.sandbox.base import Limits
from connector.sandbox.shopify import ShopifySimulator
from models.changes import Batch, Member
from models.errors import AuthError, PermanentApiError, ScopeError
from tests.platforms.shopify.simulated_shop import TARGET, Clock, connect, records, small_shop
from tests.simulated import simulated


@pytest.mark.parametrize("stream", ["customers", "orders", "products", "checkouts"])
def test_pages_and_exports_give_the_same_records(base_url: str, clock: Clock, stream: str) -> None:
    paged = records(connect(base_url, clock), stream)
    exported = records(connect(base_url, clock, bulk="always"), stream)
    assert paged and paged == exported


def test_orders_are_whole(base_url: str, clock: Clock) -> None:
    found = list(records(connect(base_url, clock), "orders").values())
    assert len(found) == 150
    assert max(len(o["lineItems"]["nodes"]) for o in found) == 130
    assert max(len(o["refunds"]) for o in found) == 60
    assert sum(o["test"] for o in found) == 1 and sum(bool(o["cancelledAt"]) for o in found) == 1
    assert {d["code"] for o in found for d in o["discountApplications"]["nodes"]} == {"HELLO"}


def test_only_what_changed_comes_in_the_second_round(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    adapter = connect(base_url, clock)
    done = list(adapter.pages("customers", None))[-1]
    clock.sleep(3600)
    for customer in ("00003", "00050", "00077"):
        assert simulator.change(customer, {"first_name": "Jo"})
    emails = {r["defaultEmailAddress"]["emailAddress"] for r in records(adapter, "customers", done.cursor).values()}
    assert emails == {"00003@shop.example", "00050@shop.example", "00077@shop.example"}


def test_tags_go_out_once_and_come_off_again(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    adapter = connect(base_url, clock)
    ids = [gid.rsplit("/", 1)[1] for gid in records(adapter, "customers")][:70]
    batch = Batch(TARGET, TARGET.name, TARGET.name, adds=tuple(Member(i) for i in ids))
    assert {o.result for o in adapter.apply(batch)} == {"done"}
    assert {o.result for o in adapter.apply(batch)} == {"already"}
    assert len(simulator.effects) == 70
    assert adapter.observe([TARGET], {})[0].members == frozenset(ids)
    left = Batch(TARGET, TARGET.name, TARGET.name, removes=tuple(Member(i) for i in ids))
    assert {o.result for o in adapter.apply(left)} == {"done"}
    assert adapter.observe([TARGET], {"VIP": frozenset(ids)})[0].members == frozenset()


def test_tags_that_the_index_does_not_know_yet_are_seen_on_the_customers(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    simulator.switches.index_lag_s = 60
    adapter = connect(base_url, clock)
    ids = frozenset(gid.rsplit("/", 1)[1] for gid in list(records(adapter, "customers"))[:70])
    adapter.apply(Batch(TARGET, TARGET.name, TARGET.name, adds=tuple(Member(i) for i in sorted(ids))))
    assert adapter.observe([TARGET], {})[0].members == frozenset()
    assert adapter.observe([TARGET], {"VIP": ids})[0].members == ids


def test_a_merged_customer_is_gone(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    adapter = connect(base_url, clock)
    by_email = {r["defaultEmailAddress"]["emailAddress"]: g.rsplit("/", 1)[1] for g, r in records(adapter, "customers").items()}
    simulator.merge("00001", "00002")
    lost = by_email["00002@shop.example"]
    assert next(adapter.reread([lost])).gone == {lost: "gone"}
    batch = Batch(TARGET, TARGET.name, TARGET.name, adds=(Member(lost),))
    assert [o.result for o in adapter.apply(batch)] == ["missing"]


def test_a_walk_outlives_its_token(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.switches.lifetime_s = 1200
    adapter = connect(base_url, clock, page_size=30)
    found: set[str] = set()
    for page in adapter.pages("customers", None):
        found |= {r["id"] for r in page.records}
        clock.sleep(1500)
    assert len(found) == 120 and len(simulator.tokens) > 4


def test_a_tight_cost_bucket_is_kept(clock: Clock) -> None:
    simulator = ShopifySimulator(clock, limits=Limits(on=True))
    simulator.load(small_shop())
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        adapter = connect(simulated("shopify", simulator, mock), clock)
        for _ in range(4):
            assert len(records(adapter, "orders")) == 150


def test_a_failed_export_is_made_up_for(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.switches.fail_bulk = 2
    assert len(records(connect(base_url, clock, bulk="always"), "orders")) == 150


def test_an_export_that_always_fails_ends_in_pages(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.switches.fail_bulk = 10_000
    assert len(records(connect(base_url, clock, bulk="always"), "customers")) == 120


def test_a_missing_scope_closes_one_stream(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.switches.scopes = ["read_customers", "write_customers", "read_orders"]
    adapter = connect(base_url, clock)
    with pytest.raises(ScopeError):
        records(adapter, "products")
    assert records(adapter, "customers")
    assert {f.name: f.level for f in adapter.check()}["read_products"] == "error"


def test_only_sixty_days_of_orders_are_noticed(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.switches.scopes = ["read_customers", "write_customers", "read_orders", "read_products"]
    found = {f.name: f for f in connect(base_url, clock).check()}
    assert (found["order history"].level, found["order history"].code) == ("warning", "history_wall")


def test_refusals_say_what_to_do(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    with pytest.raises(AuthError, match="do not belong together"):
        connect(base_url, clock, client_secret="wrong").account()
    simulator.switches.grant = "shop_not_permitted"
    with pytest.raises(AuthError, match="organisation"):
        connect(base_url, clock).account()
    simulator.switches.grant, simulator.switches.is_frozen = "", True
    with pytest.raises(PermanentApiError, match="frozen"):
        connect(base_url, clock, token="shpat_sandbox").account()
    simulator.switches.is_frozen, simulator.switches.renamed_to = False, "other.example"
    with pytest.raises(PermanentApiError, match=r"other\.example"):
        connect(base_url, clock, token="shpat_sandbox").account()
