from __future__ import annotations

from datetime import date
from decimal import Decimal

from connector.identity import identify
from tests.stages.hand_shop import contact, new_store, order, shop_config


def purchases(store):
    return {r["purchase_id"]: r for r in store.rows("SELECT * FROM purchases")}


def ann():
    store = new_store()
    store.insert("contacts", [contact(s, "1", email="ann@x.de") for s in ("shopify", "mailchimp", "hubspot", "import")])
    return store


def test_a_copy_that_names_the_shop_order_is_no_second_purchase():
    store = ann()
    store.insert(
        "orders",
        [
            order("shopify", "9001", "1", "2026-01-05", "20", name="#1001"),
            order("hubspot", "77", "1", "2026-03-01", "99", external_id="gid://shopify/Order/9001"),
            order("mailchimp", "9001", "1", "2026-01-06", "20"),
            order("import", "1001", "1", "2026-01-07", "20"),
        ],
    )

    identify(store, shop_config())

    assert list(purchases(store)) == ["shopify:9001"]
    assert dict(store.sql("SELECT source, evidence FROM purchase_copies")) == {
        "shopify": "own record", "hubspot": "same shop order id",
        "mailchimp": "same order number", "import": "same order number",
    }  # fmt: skip
    assert purchases(store)["shopify:9001"]["copies"] == 4
    assert purchases(store)["shopify:9001"]["total"] == 20


def test_the_same_number_of_somebody_else_is_another_purchase():
    store = ann()
    store.insert("contacts", [contact("import", "2", email="bob@x.de")])
    store.insert(
        "orders",
        [order("shopify", "9001", "1", "2026-01-05", "20", name="#1001"), order("import", "1001", "2", "2026-01-07", "8")],
    )

    identify(store, shop_config())

    assert set(purchases(store)) == {"shopify:9001", "import:1001"}


def test_same_person_day_amount_and_currency_is_one_purchase_paired_one_to_one():
    store = ann()
    store.insert(
        "orders",
        [
            order("shopify", "a", "1", "2026-01-05 09:00:00", "20"),
            order("shopify", "b", "1", "2026-01-05 10:00:00", "20"),
            order("mailchimp", "x", "1", "2026-01-05 11:00:00", "20"),
            order("mailchimp", "y", "1", "2026-01-05 11:30:00", "20"),
            order("mailchimp", "z", "1", "2026-01-05 11:45:00", "20"),
            order("hubspot", "u", "1", "2026-01-05 08:00:00", "20", currency="USD"),
        ],
    )

    identify(store, shop_config())

    assert set(purchases(store)) == {"shopify:a", "shopify:b", "mailchimp:z", "hubspot:u"}
    assert store.value("SELECT purchase_id FROM purchase_copies WHERE order_id = 'x'") == "shopify:a"
    assert store.value("SELECT evidence FROM purchase_copies WHERE order_id = 'y'") == "same person, day and amount"


def test_two_equal_orders_of_one_source_stay_two():
    store = ann()
    store.insert("orders", [order("import", "a", "1", "2026-01-05", "20"), order("import", "b", "1", "2026-01-05", "20")])

    assert identify(store, shop_config())["purchases"] == 2


def test_the_owner_says_whose_word_counts():
    store = ann()
    store.insert("orders", [order("shopify", "a", "1", "2026-01-05", "20"), order("import", "b", "1", "2026-01-05", "20")])

    identify(store, shop_config(orders_from=("import", "shopify")))
    assert set(purchases(store)) == {"import:b"}

    identify(store, shop_config(orders_from=("shopify",)))
    assert set(purchases(store)) == {"shopify:a"}
    assert store.value("SELECT count(*) FROM purchase_copies") == 1


def test_what_does_not_count_says_why():
    store = ann()
    store.insert(
        "orders",
        [
            order("shopify", "t", "1", "2026-01-01", "1", is_test=True),
            order("shopify", "c", "1", "2026-01-02", "1", is_cancelled=True),
            order("shopify", "v", "1", "2026-01-03", "1", status="voided"),
            order("shopify", "n", "1", "2026-01-04", "-5"),
            order("shopify", "r", "1", "2026-01-05", "9", status="refunded", refunded="9"),
            order("shopify", "z", "1", "2026-01-06", "0"),
            order("hubspot", "d", "1", "2026-01-07", "9", kind="deal", stream="deals", status="pending"),
            order("hubspot", "w", "1", "2026-01-08", "9", kind="deal", stream="deals", status="paid"),
        ],
    )

    counts = identify(store, shop_config())

    found = {k: r["why_not"] for k, r in purchases(store).items()}
    assert found == {
        "shopify:t": "test", "shopify:c": "cancelled", "shopify:v": "voided", "shopify:n": "refund", "shopify:r": None,
        "shopify:z": None, "hubspot:deal:d": "deal not won", "hubspot:deal:w": None,
    }  # fmt: skip
    assert counts["counted"] == 3
    assert purchases(store)["shopify:r"]["net"] == Decimal(0)


def test_a_day_is_the_shops_day():
    store = ann()
    store.insert(
        "orders",
        [order("shopify", "a", "1", "2026-06-30 22:30:00", "20"), order("shopify", "b", "1", "2026-01-31 22:30:00", "20")],
    )

    identify(store, shop_config(timezone="Europe/Berlin"))

    assert purchases(store)["shopify:a"]["ordered_on"] == date(2026, 7, 1)
    assert purchases(store)["shopify:b"]["ordered_on"] == date(2026, 1, 31)


def test_an_order_and_a_deal_with_the_same_id_are_two_records():
    store = ann()
    store.insert(
        "orders",
        [
            order("hubspot", "5", "1", "2026-01-05", "20"),
            order("hubspot", "5", "1", "2026-01-09", "30", kind="deal", stream="deals", name="Deal"),
        ],
    )

    identify(store, shop_config())

    assert set(purchases(store)) == {"hubspot:5", "hubspot:deal:5"}
