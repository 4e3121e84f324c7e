"""What an order means: exact money in the shop's currency, gift cards, tests, cancellations, guests, visits."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from adapters.shopify_shape import FLAT_SMS, attach, is_blank
from connector.normalize import Normalizer, load_mapping


@pytest.fixture(scope="module")
def normalizer() -> Normalizer:
    return Normalizer(load_mapping("shopify"), {}, date(2026, 11, 21))


def money(amount: str, currency: str = "EUR") -> dict[str, Any]:
    return {"shopMoney": {"amount": amount, "currencyCode": currency}}


def line(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"gid://shopify/LineItem/{number}", "name": "Beans", "quantity": 2, "currentQuantity": 1, "isGiftCard": False,
        "product": None, "variant": None, "sku": "b-1", "vendor": "Roaster", "discountedTotalSet": money("19.8"),
        "originalTotalSet": money("21.0"), **more,
    }  # fmt: skip


def order(**more: Any) -> dict[str, Any]:
    return {
        "id": "gid://shopify/Order/1", "name": "#1001", "createdAt": "2026-10-02T00:00:00Z",
        "processedAt": "2019-05-01T08:00:00Z",
        "updatedAt": "2026-10-03T00:00:00Z", "cancelledAt": None, "test": False, "edited": False, "email": "A@B.example",
        "customer": {"id": "gid://shopify/Customer/7"}, "currencyCode": "EUR", "displayFinancialStatus": "PAID",
        "totalPriceSet": money("11884.9"), "currentTotalPriceSet": money("0.1"), "totalRefundedSet": money("11884.8"),
        "discountCodes": [], "customerJourneySummary": None, "refunds": [],
        "lineItems": {"nodes": []}, "discountApplications": {"nodes": []}, **more,
    }  # fmt: skip


def row(normalizer: Normalizer, **more: Any) -> dict[str, Any]:
    return normalizer.normalize("orders", order(**more))["orders"][0]


def test_money_stays_exact_text_and_revenue_is_what_is_left(normalizer: Normalizer) -> None:
    found = row(normalizer, currentTotalPriceSet=money("11884.9"), totalTaxSet=money("0.0001"))
    assert (found["total"], found["net"], found["tax"], found["refunded"]) == ("11884.9", "11884.9", "0.0001", "11884.8")


def test_an_imported_order_counts_from_when_it_was_placed(normalizer: Normalizer) -> None:
    assert row(normalizer)["ordered_at"].startswith("2019-05-01 08:00:00")
    assert row(normalizer, processedAt=None)["ordered_at"].startswith("2026-10-02")


@pytest.mark.parametrize(
    ("more", "status", "is_test", "is_cancelled"),
    [
        ({}, "paid", False, False),
        ({"test": True}, "paid", True, False),
        ({"cancelledAt": "2026-10-03T00:00:00Z", "displayFinancialStatus": "VOIDED"}, "cancelled", False, True),
        ({"displayFinancialStatus": "EXPIRED"}, "voided", False, False),
        ({"displayFinancialStatus": None}, "unknown", False, False),
        ({"displayFinancialStatus": "SOMETHING_NEW"}, "unknown", False, False),
    ],
)
def test_tests_and_cancellations_are_marked(
    normalizer: Normalizer, more: dict[str, Any], status: str, is_test: bool, is_cancelled: bool
) -> None:
    found = row(normalizer, **more)
    assert (found["status"], found["is_test"], found["is_cancelled"]) == (status, is_test, is_cancelled)
    assert found["cancelled_at"] == ("2026-10-03 00:00:00.000000" if is_cancelled else None)


def test_a_guests_order_is_known_by_its_address_only(normalizer: Normalizer) -> None:
    assert (row(normalizer, customer=None)["contact_id"], row(normalizer, customer=None)["email"]) == (None, "a@b.example")
    assert row(normalizer, customer=None, email=None)["email"] is None


def test_lines_tell_gift_cards_what_was_kept_and_products_that_are_gone(normalizer: Normalizer) -> None:
    lines = {"nodes": [line(1), line(2, isGiftCard=True, product={"id": "gid://shopify/Product/9?x=1"})]}
    first, second = normalizer.normalize("orders", order(lineItems=lines))["order_lines"]
    assert (first["product_id"], first["title"], first["sku"], first["vendor"]) == (None, "Beans", "b-1", "Roaster")
    assert (first["quantity"], first["quantity_kept"], first["amount"], first["list_amount"]) == ("2", "1", "19.8", "21.0")
    assert (first["is_gift_card"], second["is_gift_card"], second["product_id"]) == (False, True, "9")


def test_every_refund_and_discount_has_its_row(normalizer: Normalizer) -> None:
    refunds = [
        {"id": f"gid://shopify/Refund/{n}", "createdAt": "2026-10-05T00:00:00Z", "totalRefundedSet": money("1.5")}
        for n in range(3)
    ]
    discounts = {"nodes": [{"code": "HELLO", "value": {"amount": "5.0"}}, {"title": "Auto", "value": {"percentage": 10.0}}]}
    rows = normalizer.normalize("orders", order(refunds=refunds, discountApplications=discounts, discountCodes=["HELLO"]))
    assert [r["amount"] for r in rows["refunds"]] == ["1.5"] * 3
    assert [(d["code"], d["title"], d["amount"]) for d in rows["discounts"]] == [("HELLO", None, "5.0"), (None, "Auto", None)]


@pytest.mark.parametrize("journey", [None, {"ready": False, "firstVisit": None, "lastVisit": None}])
def test_a_fresh_order_has_no_visit_yet(normalizer: Normalizer, journey: Any) -> None:
    found = row(normalizer, customerJourneySummary=journey)
    assert (found["landing_page"], found["utm_source"], found["traffic_source"]) == (None, None, None)


def test_the_last_visit_counts_before_the_first(normalizer: Normalizer) -> None:
    visits = {
        "firstVisit": {"source": "google", "landingPage": "/a", "utmParameters": {"source": "ads", "medium": "cpc"}},
        "lastVisit": {"source": "newsletter", "landingPage": None, "utmParameters": None},
    }
    found = row(normalizer, customerJourneySummary=visits)
    assert (found["traffic_source"], found["landing_page"], found["utm_source"]) == ("newsletter", "/a", "ads")


def test_customers_without_an_address_are_kept(normalizer: Normalizer) -> None:
    record: dict[str, Any] = {"id": "gid://shopify/Customer/5", "defaultEmailAddress": None, "numberOfOrders": "13", "tags": []}
    rows = normalizer.normalize(
        "customers", {**record, "defaultPhoneNumber": {"phoneNumber": "+49301", "smsMarketingConsent": None}}
    )
    assert rows["contacts"][0]["email"] is None and rows["contacts"][0]["orders_claimed"] == 13
    assert [i["kind"] for i in rows["identifiers"]] == ["phone"]
    assert [(c["channel"], c["status"]) for c in rows["consents"]] == [("sms", "never_asked")]


@pytest.mark.parametrize(
    ("word", "status", "state"),
    [
        ("SUBSCRIBED", "subscribed", "live"),
        ("PENDING", "pending", "live"),
        ("UNSUBSCRIBED", "unsubscribed", "live"),
        ("NEVER_SUBSCRIBED", "never_asked", "live"),
        ("NOT_SUBSCRIBED", "never_asked", "live"),
        ("REDACTED", "erased", "erased"),
        ("SOMETHING_NEW", "never_asked", "live"),
        (None, "never_asked", "live"),
    ],
)
@pytest.mark.parametrize("is_flat", [False, True])
def test_sms_consent_has_words_of_its_own_in_either_shape(
    normalizer: Normalizer, word: str | None, status: str, state: str, is_flat: bool
) -> None:
    consent = {"state": word, "optInLevel": None, "updatedAt": "2026-10-02T00:00:00Z", "collectedFrom": "OTHER"}
    flat = {old: consent[new] for new, old in FLAT_SMS.items()}
    phone = {"phoneNumber": "+49301", **(flat if is_flat else {"smsMarketingConsent": consent})}
    email = {"emailAddress": "a@b.example", "marketingState": "SUBSCRIBED"}
    record = {"id": "gid://shopify/Customer/5", "tags": [], "defaultEmailAddress": email, "defaultPhoneNumber": phone}
    attach("customers", record)
    rows = normalizer.normalize("customers", record)
    (found,) = [c for c in rows["consents"] if c["channel"] == "sms"]
    assert (found["status"], found["platform_status"], found["changed_at"][:10]) == (status, word, "2026-10-02")
    assert rows["contacts"][0]["state"] == state


def test_a_mail_consent_of_an_older_shape_erases_too(normalizer: Normalizer) -> None:
    email = {"emailAddress": "a@b.example", "marketingState": "REDACTED"}
    rows = normalizer.normalize("customers", {"id": "gid://shopify/Customer/5", "tags": [], "defaultEmailAddress": email})
    assert (rows["contacts"][0]["state"], rows["consents"][0]["status"]) == ("erased", "erased")


def test_only_a_buyer_of_whom_nothing_is_left_looks_erased() -> None:
    blank: dict[str, Any] = dict.fromkeys(
        ("firstName", "lastName", "defaultEmailAddress", "defaultPhoneNumber", "defaultAddress")
    )
    assert is_blank({**blank, "numberOfOrders": "3"})
    assert not is_blank({**blank, "numberOfOrders": "0"}), "somebody made by hand and never filled in"
    assert not is_blank({**blank, "numberOfOrders": "3", "lastName": "Doe"}), "known at the till only"
    assert not is_blank({"numberOfOrders": "3"}), "these fields were denied, not empty"


def goods(stock: int | None, *variants: dict[str, Any], counted: bool = True) -> dict[str, Any]:
    base = {"id": "gid://shopify/Product/7", "title": "Beans", "status": "ACTIVE", "tags": [], "tracksInventory": counted}
    known = {} if stock is None else {"totalInventory": stock}
    return base | known | {"variants": {"nodes": list(variants)}}


def variant(price: str, usual: str | None = None, *, is_sold: bool = False, policy: str = "DENY") -> dict[str, Any]:
    return {"price": price, "compareAtPrice": usual, "availableForSale": is_sold, "inventoryPolicy": policy}


@pytest.mark.parametrize(
    ("record", "stock"),
    [
        (goods(3, variant("9", is_sold=True)), 3),
        (goods(0, variant("9")), 0),
        (goods(-2, variant("9"), variant("8")), -2),
        (goods(0, variant("9", is_sold=True, policy="CONTINUE")), None),
        (goods(0, variant("9", policy="CONTINUE")), None),
        (goods(0, variant("9"), variant("8", is_sold=True)), None),
        (goods(0, variant("9"), counted=False), None),
        (goods(None, variant("9")), None),
    ],
)
def test_stock_is_what_can_be_sold_and_unknown_where_nobody_counts_or_a_variant_sells_on(
    normalizer: Normalizer, record: dict[str, Any], stock: int | None
) -> None:
    attach("products", record)
    (found,) = normalizer.normalize("products", record)["products"]
    assert (None if found["stock"] is None else int(found["stock"])) == stock


def test_the_usual_price_is_that_of_the_cheapest_variant(normalizer: Normalizer) -> None:
    cheap, dear = variant("9.50", "12.00"), variant("10", "30")
    for variants, usual in (((dear, cheap), "12.00"), ((variant("9"), dear), None), ((), None)):
        record = goods(1, *variants)
        attach("products", record)
        (found,) = normalizer.normalize("products", record)["products"]
        assert found["list_price"] == usual
