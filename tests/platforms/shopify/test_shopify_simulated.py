"""The adapter against the simulated Shopify: written by other hands from the same documentation, met over HTTP only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import responses

from adapters import load
from connector.sandbox.base import Limits
from connector.sandbox.shop import Cart, Customer, Line, Product, Purchase, Shop
from connector.sandbox.shopify import ShopifySimulator
from models.changes import Batch, Member, Target
from models.errors import AuthError, PermanentApiError, ScopeError
from tests.simulated import simulated

START = datetime(2026, 11, 21, 12, 0, 0)
TARGET = Target("shopify", "VIP", "Rollcall: VIP")


class Clock:
    """Moves only when somebody waits."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, wait_s: float) -> None:
        self.now += timedelta(seconds=wait_s)


def small_shop() -> Shop:
    people = [
        Customer(
            f"{n:05d}", f"{n:05d}@shop.example", START - timedelta(days=300 - n), START - timedelta(days=100, minutes=n // 4),
            consent={"shopify": "SUBSCRIBED" if n % 3 else "UNSUBSCRIBED"},
        )
        for n in range(120)
    ]  # fmt: skip
    beans = Product("beans", "Dark roast", "Coffee", "Roaster", Decimal("9.90"))

    def lines(count: int) -> list[Line]:
        return [Line("beans", "Dark roast", "Coffee", 1, Decimal("9.90")) for _ in range(count)]

    orders = [
        Purchase(
            f"o{n}", f"{n % 120:05d}", START - timedelta(days=90, hours=n), Decimal("9.90") * (130 if n == 3 else 2),
            lines(130 if n == 3 else 2), discount=Decimal("1") if n % 5 == 0 else Decimal(0),
            code="HELLO" if n % 5 == 0 else "",
            refunds=[(START - timedelta(days=80), Decimal("0.10"))] * (60 if n == 4 else 0),
            refunded=Decimal("6.00") if n == 4 else Decimal(0), cancelled=n == 5, test=n == 6,
        )
        for n in range(150)
    ]  # fmt: skip
    carts = [Cart(f"c{n}", f"{n:05d}", START - timedelta(days=n * 5), Decimal("9.90"), lines(1)) for n in range(10)]
    return Shop("Morning Roast", "EUR", "Europe/Berlin", people, [beans], orders, [], carts=carts)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def simulator(clock: Clock) -> ShopifySimulator:
    made = ShopifySimulator(clock)
    made.load(small_shop())
    return made


@pytest.fixture
def base_url(simulator: ShopifySimulator) -> Iterator[str]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield simulated("shopify", simulator, mock)


def connect(base_url: str, clock: Clock, **settings: Any) -> Any:
    client = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    base = {"store": "sandbox-shop.myshopify.com", "base_url": base_url, "bulk": "never", **client}
    return load("shopify")({**base, **settings}, now_utc=clock, sleep=clock.sleep)


def records(adapter: Any, stream: str, cursor: Any = None, **options: Any) -> dict[str, Any]:
    return {r["id"]: r for p in adapter.pages(stream, cursor, **options) for r in p.records}


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
