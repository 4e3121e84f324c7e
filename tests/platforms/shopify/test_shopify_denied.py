"""What a plan, a scope or an approval withholds: one field is left out and named, and the rest of the records is read."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.shopify_documents import kinds
from adapters.shopify_selections import drop, without_fields
from connector.normalize import Normalizer, load_mapping
from connector.sandbox.shopify import SCOPES, ShopifySimulator
from models.errors import ScopeError
from tests.platforms.shopify.simulated_shop import START, Clock, connect, records

EVERY = (
    "Customer.firstName", "Customer.lastName", "Customer.defaultEmailAddress", "Customer.defaultPhoneNumber",
    "Customer.defaultAddress", "Order.email", "Order.shippingAddress",
)  # fmt: skip
"""What level 2 of Shopify's protected customer data holds."""


def read(adapter: Any, stream: str, cursor: Any = None) -> tuple[dict[str, Any], str]:
    """The records, and what was said at the end."""
    pages: list[Any] = []
    said = ""
    try:
        for page in adapter.pages(stream, cursor):
            pages.append(page)
    except ScopeError as e:
        said = str(e)
    return {r["id"]: r for p in pages for r in p.records}, f"{pages[-1].note} {said}".strip()


@pytest.mark.parametrize("bulk", ["never", "always"])
def test_orders_flow_on_where_the_plan_refuses_personal_data(
    base_url: str, clock: Clock, simulator: ShopifySimulator, bulk: str
) -> None:
    simulator.switches.denied_fields = list(EVERY)
    adapter = connect(base_url, clock, bulk=bulk)
    orders, note = read(adapter, "orders")
    assert len(orders) == 150 and all("email" not in o and o["customer"]["id"] for o in orders.values())
    assert "denies this app email" in note and "of orders" in note and "the rest is read" in note
    people, note = read(adapter, "customers")
    assert len(people) == 120 and "nobody's e-mail address" in note and "nothing is pushed" in note
    rows = Normalizer(load_mapping("shopify"), {}, START.date()).normalize("customers", next(iter(people.values())))
    assert (rows["contacts"][0]["email"], rows["contacts"][0]["state"], rows.get("consents")) == (None, "live", None)
    finding = next(f for f in adapter.check() if f.name == "personal data")
    assert (finding.level, finding.code) == ("error", "scope") and "nobody can be matched" in finding.text


@pytest.mark.parametrize("denied", [["Customer.firstName"], ["Customer.firstName", "Customer.lastName"]])
def test_names_that_are_denied_are_no_addresses_that_are_denied(
    base_url: str, clock: Clock, simulator: ShopifySimulator, denied: list[str]
) -> None:
    simulator.switches.denied_fields = denied
    adapter = connect(base_url, clock)
    people, note = read(adapter, "customers")
    assert len(people) == 120 and "firstName" in note and "nobody" not in note
    assert next(f for f in adapter.check() if f.name == "personal data").level == "ok"


@pytest.mark.parametrize("how", ["blank", "denied"])
def test_a_plan_that_begins_to_withhold_personal_data_stops_what_depends_on_it_until_it_ends(
    base_url: str, clock: Clock, simulator: ShopifySimulator, how: str
) -> None:
    """Blank records must not look like people who have no consent and no orders any more."""
    before = list(connect(base_url, clock).pages("customers", None))[-1].cursor
    clock.sleep(3600)
    simulator.switches.blank_personal_data = how == "blank"
    simulator.switches.denied_fields = list(EVERY) if how == "denied" else []
    simulator.change("00003", {"note": "called"})
    adapter = connect(base_url, clock)
    pages: list[Any] = []
    for cursor in (before, None):
        with pytest.raises(ScopeError, match="nothing is pushed until addresses are shown"):
            for page in adapter.pages("customers", pages[-1].cursor if pages and cursor is None else cursor):
                pages.append(page)
        assert pages[-1].cursor["withheld"] and not any(p.done for p in pages)
    simulator.switches.blank_personal_data, simulator.switches.denied_fields = False, []
    whole = list(connect(base_url, clock).pages("customers", pages[-1].cursor))
    assert sum(len(p.records) for p in whole) == 120 and whole[-1].done and "withheld" not in whole[-1].cursor


@pytest.mark.parametrize(
    ("field", "stream", "missing"),
    [
        ("LineItem.product", "orders", ("lineItems", "product")),
        ("Order.customerJourneySummary", "orders", ("customerJourneySummary",)),
        ("Order.refunds", "orders", ("refunds",)),
        ("Product.collections", "products", ("collections",)),
        ("Product.totalInventory", "products", ("totalInventory",)),
        ("ProductVariant.inventoryPolicy", "products", ("variants", "inventoryPolicy")),
    ],
)
@pytest.mark.parametrize("bulk", ["never", "always"])
def test_a_denied_field_is_left_out_wherever_it_stands(
    base_url: str, clock: Clock, simulator: ShopifySimulator, field: str, stream: str, missing: tuple[str, ...], bulk: str
) -> None:
    simulator.switches.denied_fields = [field]
    found, note = read(connect(base_url, clock, bulk=bulk), stream)
    assert len(found) == {"orders": 150, "products": 1}[stream] and ".".join(missing) in note
    record = next(iter(found.values()))
    part = record if len(missing) == 1 else record[missing[0]]["nodes"][0]
    assert missing[-1] not in part


def test_a_field_denied_in_the_middle_of_a_walk_loses_no_page(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    adapter = connect(base_url, clock, page_size=40)
    pages = adapter.pages("orders", None)
    found = [next(pages)]
    simulator.switches.denied_fields = ["Order.email"]
    found += list(pages)
    assert len({r["id"] for p in found for r in p.records}) == 150


def test_refunds_are_read_where_what_came_back_may_not_be_seen(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    simulator.switches.denied_fields = ["Refund.refundLineItems"]
    orders, _ = read(connect(base_url, clock), "orders")
    assert len(orders) == 150 and sum(len(o["refunds"]) for o in orders.values()) == 60


def test_consent_is_read_again_before_a_write_without_what_is_denied(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    contact = next(iter(records(connect(base_url, clock), "customers"))).rsplit("/", 1)[1]
    simulator.switches.denied_fields = ["Customer.defaultAddress"]
    (page, *more) = connect(base_url, clock).reread([contact, "77"])
    assert more == [] and "defaultAddress" not in page.records[0] and page.gone == {"77": "gone"}


def test_without_the_customers_scope_orders_are_read_without_their_customers(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    simulator.switches.scopes = SCOPES - {"read_customers", "write_customers"}
    adapter = connect(base_url, clock)
    for stream, count in (("orders", 150), ("checkouts", 10)):
        found, note = read(adapter, stream)
        assert len(found) == count and note == "", "the selection followed the scopes, nothing had to be refused first"
        assert not any("customer" in r for r in found.values())


def test_a_list_that_is_denied_as_a_whole_closes_its_stream(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.switches.scopes = SCOPES - {"read_products"}
    adapter = connect(base_url, clock)
    with pytest.raises(ScopeError, match="read_products"):
        records(adapter, "products")
    assert len(records(adapter, "orders")) == 150


def test_what_a_record_cannot_do_without_is_never_left_out() -> None:
    orders = kinds(metafields={"_m0": 'odd"name.key(s)'})["orders"]
    assert [without_fields(orders, (t,)) for t in (("id",), ("updatedAt",), ("nothing", "like"), ())] == [None] * 4


@pytest.mark.parametrize(
    ("selection", "trail", "left"),
    [
        ("a b{c d} e", ("b", "c"), "a b{d} e"),
        ("a b{c} e", ("b", "c"), "a e"),
        ('x: m(k:"}{)"){v} y', ("x",), "y"),
        ("a ... on Q{z y} b", ("z",), "a ... on Q{y} b"),
        ("a b", ("c",), "a b"),
    ],
)
def test_a_field_is_taken_out_of_a_selection_with_what_hangs_on_it(selection: str, trail: tuple[str, ...], left: str) -> None:
    assert drop(selection, trail) == left
