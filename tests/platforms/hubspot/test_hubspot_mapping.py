"""What HubSpot's fields become: the answers people gave, who is who, and which orders count."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from adapters.base import Page
from adapters.hubspot_read import _open_contact
from connector.intake import Intake
from connector.normalize import Normalizer, load_mapping
from connector.store import Store


@pytest.fixture(scope="module")
def normalizer() -> Normalizer:
    return Normalizer(load_mapping("hubspot"), {"loyalty": "loyalty_level"}, date(2026, 11, 21))


def contact(normalizer: Normalizer, **properties: Any) -> dict[str, list[dict[str, Any]]]:
    return normalizer.normalize("contacts", {"id": "101", "properties": properties})


def answers(rows: dict[str, list[dict[str, Any]]]) -> list[tuple[str, str]]:
    return [(r["topic"], r["status"]) for r in rows["consents"]]


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, [("", "not_specified")]),
        ({"hs_email_optout": "false"}, [("", "not_specified")]),
        ({"hs_email_optout": ""}, [("", "not_specified")]),
        ({"hs_email_optout": "true"}, [("", "unsubscribed")]),
        ({"hs_email_quarantined": "true"}, [("", "not_specified"), ("", "dead")]),
        ({"hs_email_hard_bounce_reason_enum": "UNKNOWN_USER"}, [("", "not_specified"), ("", "dead")]),
        ({"hs_email_bad_address": "true"}, [("", "not_specified"), ("", "dead")]),
    ],
)
def test_an_opt_out_is_a_no_and_silence_is_neither(normalizer: Normalizer, properties: Any, expected: Any) -> None:
    assert answers(contact(normalizer, **properties)) == expected


def test_an_opt_out_of_one_subscription_type_is_about_that_type_only(normalizer: Normalizer) -> None:
    rows = normalizer.normalize("contacts", {"id": "1", "properties": {}, "_optouts": ["55"]})
    assert answers(rows) == [("", "not_specified"), ("55", "unsubscribed")]


@pytest.mark.parametrize(("word", "expected"), [("true", True), ("false", False), ("TBD", False), (None, None), ("", None)])
def test_a_non_marketing_contact_is_known_as_one(normalizer: Normalizer, word: str | None, expected: bool | None) -> None:
    assert contact(normalizer, hs_marketable_status=word)["contacts"][0]["is_marketable"] is expected


def test_every_address_and_merged_id_is_an_identifier(normalizer: Normalizer) -> None:
    raw = {"id": "90", "properties": {"email": " A@x.test"}, "_emails": ["B@x.test"], "_merged": ["11"]}
    found = [(r["kind"], r["value"], r["is_main"]) for r in normalizer.normalize("contacts", raw)["identifiers"]]
    assert found == [("email", "a@x.test", True), ("email", "b@x.test", False), ("hubspot", "11", False)]


def test_aggregates_are_dated_and_the_owners_field_is_kept(normalizer: Normalizer) -> None:
    rows = contact(normalizer, hs_email_click="3", lifecyclestage="customer", loyalty_level="gold")
    kept = {r["name"]: (r["value"], r["taken_on"]) for r in rows["snapshots"]}
    assert kept == {"lifecyclestage": ("customer", "2026-11-21"), "hs_email_click": ("3", "2026-11-21")}
    assert rows["contacts"][0]["attributes"] == '{"loyalty":"gold"}'


def test_an_order_is_dated_by_the_shop_and_names_the_shops_number(normalizer: Normalizer) -> None:
    properties = {
        "hs_external_order_id": "5001", "hs_source_store": "a.myshopify.com", "hs_total_price": "12.50",
        "hs_external_created_date": "2026-01-02T03:04:05Z", "hs_createdate": "2026-02-02T00:00:00Z",
        "hs_external_order_status": "Cancelled",
    }  # fmt: skip
    raw = {"id": "9", "properties": properties, "_contact_id": "101", "_currency": "EUR"}
    order = normalizer.normalize("orders", raw)["orders"][0]
    assert order["ordered_at"].startswith("2026-01-02 03:04:05")
    found = {k: order[k] for k in ("external_id", "store", "total", "currency", "status", "is_cancelled", "contact_id")}
    assert found == {
        "external_id": "5001", "store": "a.myshopify.com", "total": "12.50", "currency": "EUR", "status": "cancelled",
        "is_cancelled": True, "contact_id": "101",
    }  # fmt: skip


def test_only_won_deals_are_purchases(normalizer: Normalizer) -> None:
    raw = {"id": "9", "properties": {"amount": "80"}, "_contact_id": "1", "line_items": [{"id": "3", "properties": {}}]}
    assert normalizer.normalize("deals", {**raw, "_is_won": False}) == {}
    won = normalizer.normalize("deals", {**raw, "_is_won": True})
    assert [(o["order_id"], o["kind"], o["status"]) for o in won["orders"]] == [("deal-9", "deal", "paid")]
    assert [line["order_id"] for line in won["order_lines"]] == ["deal-9"]


def test_a_ticket_is_an_event_of_each_of_its_contacts(normalizer: Normalizer) -> None:
    raw = {"id": "7", "properties": {"subject": "Late", "createdate": "2026-05-01T00:00:00Z"}, "contact_ids": ["1", "2"]}
    assert [(e["contact_id"], e["kind"], e["text"]) for e in normalizer.normalize("tickets", raw)["events"]] == [
        ("1", "ticket", "Late"), ("2", "ticket", "Late"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, None),
        ({"hs_external_order_status": "paid"}, None),
        ({"hs_external_order_status": "Refunded"}, "0"),
        ({"hs_external_order_status": "voided"}, "0"),
        ({"hs_external_order_status": "partially_refunded", "hs_refund_amount": "4"}, None),
        ({"hs_payment_status": "REFUNDED"}, "0"),
    ],
)
def test_an_order_given_back_as_a_whole_leaves_nothing(normalizer: Normalizer, properties: Any, expected: Any) -> None:
    order = normalizer.normalize("orders", {"id": "9", "properties": {"hs_total_price": "10", **properties}})["orders"][0]
    assert order["net"] == expected
    assert order["refunded"] == properties.get("hs_refund_amount")


def test_a_cart_is_dated_by_the_shop_and_lists_its_items(normalizer: Normalizer) -> None:
    properties = {"hs_external_created_date": "2026-11-01T08:00:00Z", "hs_total_price": "12.50", "hs_currency_code": "eur"}
    items = [{"product_id": "B1", "title": "Beans", "quantity": "2"}]
    cart = normalizer.normalize("carts", {"id": "7", "properties": properties, "_contact_id": "1", "_items": items})["carts"][0]
    assert cart["started_at"].startswith("2026-11-01 08:00:00")
    assert (cart["contact_id"], cart["total"], cart["currency"], cart["completed_at"]) == ("1", "12.50", "EUR", None)
    assert '"Beans"' in cart["items"]


@pytest.mark.parametrize(
    ("properties", "stage", "expected"),
    [
        ({}, "Cancelled", ("cancelled", True)),
        ({}, "Refunded", ("refunded", False)),
        ({}, "Open", ("unknown", False)),
        ({}, None, ("unknown", False)),
        ({"hs_external_order_status": "paid"}, "Cancelled", ("paid", False)),
    ],
)
def test_an_order_no_shop_gave_a_status_is_judged_by_its_stage(
    normalizer: Normalizer, properties: Any, stage: str | None, expected: Any
) -> None:
    raw = {"id": "9", "properties": {"hs_total_price": "10", **properties}, "_stage": stage}
    order = normalizer.normalize("orders", raw)["orders"][0]
    assert (order["status"], order["is_cancelled"]) == expected


def test_a_product_is_found_by_the_number_its_lines_name(normalizer: Normalizer) -> None:
    product = normalizer.normalize("products", {"id": "31", "properties": {"name": "Beans", "price": "4.50", "hs_sku": "B1"}})
    found = {k: product["products"][0][k] for k in ("product_id", "title", "sku", "price")}
    assert found == {"product_id": "31", "title": "Beans", "sku": "B1", "price": "4.50"}
    line = {"id": "5", "properties": {"hs_product_id": "31", "hs_sku": "B1"}}
    rows = normalizer.normalize("orders", {"id": "9", "properties": {}, "line_items": [line]})["order_lines"]
    assert rows[0]["product_id"] == "31"


def test_a_draft_names_no_day_on_which_it_was_sent(normalizer: Normalizer) -> None:
    sent = normalizer.normalize("emails", {"id": "1", "name": "News", "_sent_at": "2026-05-01T00:00:00Z"})["campaigns"]
    draft = normalizer.normalize("emails", {"id": "2", "name": "Soon", "publishDate": "2027-05-01T00:00:00Z"})["campaigns"]
    assert (sent[0]["sent_at"][:10], draft[0]["sent_at"]) == ("2026-05-01", None)


def form(at: str, name: str, **others: str) -> dict[str, Any]:
    """A contact as the adapter hands it over, whose latest form is this one."""
    found = {"id": "101", "properties": {"recent_conversion_date": at, "recent_conversion_event_name": name, **others}}
    _open_contact(found, [])
    return found


def test_a_form_stays_when_the_contact_names_a_later_one_and_each_stands_once(normalizer: Normalizer) -> None:
    store = Store(":memory:")
    newsletter, contact_us = ("2026-05-01T09:00:00.5Z", "Newsletter"), ("2026-06-10T09:00:00Z", "Contact")
    seen = [
        form(*newsletter), form(*newsletter, city="Bonn"), form(*contact_us), form(*contact_us, city="Ulm"),
        form(*newsletter, city="Ulm"), form(*contact_us), form("2026-07-01T09:00:00Z", "Contact", city="Ulm"),
    ]  # fmt: skip
    counts = []
    for n, record in enumerate(seen):
        intake = Intake(store, "hubspot", "contacts", f"r{n}", normalizer, lambda: datetime(2026, 7, 2))
        intake.take(Page([record], {}))
        intake.commit()
        counts.append(store.value("SELECT count(*) FROM events WHERE kind = 'form'"))

    assert counts == [1, 1, 2, 2, 2, 2, 3]
    told = store.sql("SELECT contact_id, CAST(occurred_at AS DATE)::VARCHAR, text FROM events ORDER BY 2")
    assert told == [("101", "2026-05-01", "Newsletter"), ("101", "2026-06-10", "Contact"), ("101", "2026-07-01", "Contact")]
    assert len(store.sql("SELECT DISTINCT record_id FROM events")) == 3


def test_the_first_form_is_told_beside_the_latest_unless_it_is_the_same(normalizer: Normalizer) -> None:
    first = {"first_conversion_date": "2026-05-01T09:00:00Z", "first_conversion_event_name": "Newsletter"}
    both = normalizer.normalize("contacts", form("2026-06-10T09:00:00Z", "Contact", **first))
    alone = normalizer.normalize("contacts", form("2026-05-01T09:00:00Z", "Newsletter", **first))

    assert [(e["kind"], e["text"]) for e in both["events"]] == [("form", "Newsletter"), ("form", "Contact")]
    assert [e["text"] for e in alone["events"]] == ["Newsletter"]
