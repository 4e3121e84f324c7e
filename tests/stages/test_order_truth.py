"""Every kind of order counts as the hand-worked ledger says (`order_ledger.toml`), from the platform's own words to the profile."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector.normalize import Normalizer, load_mapping
from connector.segment import evaluate, resolve
from tests.stages.hand_shop import contact, derive, line, new_store, order, person_of, shop_config

LEDGER: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("order_ledger.toml").read_text(encoding="utf-8"))
DOCS = Path(__file__).resolve().parents[2] / "docs/orders.md"
MONEY = ("totalPrice", "currentTotalPrice", "originalTotalPrice", "totalTax", "totalShippingPrice", "totalRefunded",
         "totalDiscounts", "netPayment")  # fmt: skip


def money(amount: str, currency: str) -> dict[str, Any]:
    return {"shopMoney": {"amount": amount, "currencyCode": currency}}


def as_shopify_says(number: int, name: str, says: dict[str, Any]) -> dict[str, Any]:
    currency = says.get("currency", "EUR")

    def bought(kind: str, product: int, quantity: int, amount: str) -> dict[str, Any]:
        return {"id": f"gid://shopify/LineItem/{number}{product}", "name": kind, "quantity": quantity, "currentQuantity": quantity,
                "isGiftCard": kind == "Card", "product": {"id": f"gid://shopify/Product/{product}"},
                "discountedTotalSet": money(amount, currency), "originalTotalSet": money(amount, currency)}  # fmt: skip

    lines = [bought("Beans", 1, says["goods"], "10")] if "goods" in says else []
    lines += [bought("Card", 2, 1, says["card"])] if "card" in says else []
    back, at = says.get("back", (None, None))
    refunds = (
        [{"id": f"gid://shopify/Refund/{number}", "processedAt": at, "totalRefundedSet": money(back, currency)}] if at else []
    )
    return {
        "id": f"gid://shopify/Order/{number}", "name": f"#{number}", "createdAt": "2026-06-01T12:00:00Z",
        "processedAt": "2026-06-01T12:00:00Z", "updatedAt": "2026-07-20T00:00:00Z", "currencyCode": currency,
        "cancelledAt": None, "test": False, "edited": False, "displayFinancialStatus": "PAID", "email": f"{name}@x.example",
        "customer": {"id": f"gid://shopify/Customer/{number}"} if says.get("customer", True) else None,
        **{k: v for k, v in says.items() if k in ("cancelledAt", "test", "edited", "displayFinancialStatus")},
        **{f"{k}Set": money(says[k], currency) for k in MONEY if k in says},
        "lineItems": {"nodes": lines}, "refunds": refunds, "discountApplications": {"nodes": []}, "discountCodes": [],
    }  # fmt: skip


def product(number: int, category: str, **more: Any) -> dict[str, Any]:
    return {"source": "shopify", "stream": "products", "record_id": str(number), "product_id": str(number), "category": category,
            **more}  # fmt: skip


@pytest.fixture(scope="module")
def people() -> dict[str, dict[str, Any]]:
    """The profile of each buyer, by the ledger's name."""
    store, shopify = new_store(), Normalizer(load_mapping("shopify"), {}, date(2026, 8, 1))
    bundles = [
        shopify.normalize("orders", as_shopify_says(n, name, x["says"])) for n, (name, x) in enumerate(LEDGER.items(), 1)
    ]
    store.upsert("shopify", "orders", {str(n): b for n, b in enumerate(bundles)}, replaced=())
    store.insert("products", [product(1, "Coffee"), product(2, "Gift cards")])
    derive(store, shop_config(timezone="UTC"), date(2026, 8, 1))
    rows = store.rows("SELECT e.email, p.* FROM profile AS p JOIN people AS e USING (person_id)")
    return {r["email"].partition("@")[0]: r for r in rows}


@pytest.mark.parametrize("name", LEDGER)
def test_an_order_counts_as_the_ledger_says(people: dict[str, dict[str, Any]], name: str) -> None:
    counts = {"refunded": "0", "pieces": 0, "categories": [], **LEDGER[name]["counts"]}
    found = people[name]

    assert found["orders_total"] == counts["orders"]
    assert found["revenue_total"] == Decimal(counts["revenue"])
    assert (found["refunded_total"] or 0) == Decimal(counts["refunded"])
    assert found["items_total"] == counts["pieces"]
    assert (found["bought_categories"] or []) == counts["categories"]
    assert found["products_count"] == len(counts["categories"]) == found["categories_count"]
    assert (found["top_category"] or "") == "".join(counts["categories"])


def test_the_shop_as_a_whole_earned_what_the_ledger_adds_up_to(people: dict[str, dict[str, Any]]) -> None:
    assert len(people) == len(LEDGER)
    assert (
        sum(p["revenue_total"] for p in people.values()) == sum(Decimal(x["counts"]["revenue"]) for x in LEDGER.values()) == 685
    )


def test_a_rule_finds_who_bought_a_gift_card_by_its_name() -> None:
    store = new_store()
    store.insert("orders", [order("shopify", "a", "1", "2026-06-01", "50"), order("shopify", "b", "2", "2026-06-01", "9")])
    store.insert("contacts", [contact("shopify", n, email=f"{n}@x.example") for n in ("1", "2")])
    store.insert("order_lines", [line("shopify", "a", "Gift card", "Cards", "50", is_gift_card=True),
                                 line("shopify", "b", "Beans", "Coffee", "9")])  # fmt: skip
    config = shop_config({"name": "Givers", "where": "bought(product => 'gift card') and bought(category => 'Cards')"})
    moment = derive(store, config)
    evaluate(store, config, resolve(config), moment, "r1")

    assert store.sql("SELECT person_id FROM members") == [(person_of(store, "shopify", "1"),)]


def test_the_table_in_the_docs_has_a_line_for_every_order_of_the_ledger() -> None:
    told = {
        n for row in re.findall(r"^\|.*\| ([a-z_, ]+) \|$", DOCS.read_text(encoding="utf-8"), re.M) for n in row.split(", ")
    }
    assert told == set(LEDGER)
