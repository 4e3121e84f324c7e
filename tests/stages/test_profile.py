from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from connector import rhythm
from connector.clock import as_of
from connector.columns import BY_NAME, COLUMNS, RFM_GRID
from connector.identity import identify
from connector.profile import build, fields, profile_sql
from tests.stages.hand_shop import DAY, contact, derive, event, line, new_store, order, row, shop_config

CDNOW = Path(__file__).resolve().parents[3] / "shared" / "data" / "cdnow" / "transactions.csv.gz"


def one_buyer():
    store = new_store()
    store.insert(
        "contacts",
        [
            contact("shopify", "1", email="ann@x.de", created_at="2025-01-01 00:00:00"),
            contact("shopify", "2", email="new@x.de"),
        ],
    )
    return store


def test_money_and_orders_equal_a_hand_worked_ledger():
    store = one_buyer()
    store.insert(
        "orders",
        [
            order(
                "shopify", "a", "1", "2026-06-20", "100", net="80", refunded="20", discount="10", status="partially_refunded"
            ),
            order("shopify", "b", "1", "2026-06-20", "50"),
            order("shopify", "c", "1", "2025-01-10", "40", discount="10"),
            order("shopify", "usd", "1", "2026-06-25", "1000", currency="USD"),
            order("shopify", "test", "1", "2026-06-25", "500", is_test=True),
            order("shopify", "gone", "1", "2026-06-25", "500", is_cancelled=True),
            order("shopify", "back", "1", "2026-06-26", "-5"),
            order("shopify", "later", "1", "2026-07-01 00:00:00", "500"),
        ],
    )
    store.insert(
        "refunds",
        [{"source": "shopify", "order_id": "a", "refund_id": "r", "refunded_at": "2026-06-21 10:00:00", "amount": "20"}],
    )

    derive(store, shop_config(timezone="UTC"))
    found = row(store, "shopify", "1")

    expected = {
        "orders_total": 4, "orders_30d": 3, "orders_365d": 3, "revenue_total": Decimal(165), "revenue_30d": Decimal(125),
        "first_order_on": date(2025, 1, 10), "last_order_on": date(2026, 6, 25), "days_since_order": 6, "order_days": 3,
        "aov": 165 / 3, "largest_order": Decimal(80), "discounted_orders": 2, "discounted_orders_share": 0.5,
        "discount_share": 20 / 210, "refunded_orders": 1, "refunded_total": Decimal(20), "refund_share": 20 / 190,
        "orders_other_currency": 1, "avg_days_between_orders": 531 / 3, "days_since_refund": 10,
        "days_since_first_order": 537, "spend_rank_pct": 100.0, "rfm_group": None,
    }  # fmt: skip
    assert {k: found[k] for k in expected} == expected


def test_people_without_orders_have_zero_counts_and_missing_dates():
    store = one_buyer()

    derive(store, shop_config())
    found = row(store, "shopify", "2")

    assert (found["orders_total"], found["revenue_total"], found["emails_received_total"]) == (0, 0, 0)
    assert (found["aov"], found["days_since_order"], found["spend_rank_pct"], found["top_category"]) == (None,) * 4


def test_an_as_of_date_hides_everything_from_that_days_midnight_in_the_shop_on():
    store = one_buyer()
    store.insert(
        "orders",
        [order("shopify", "a", "1", "2026-06-30 21:59:59", "10"), order("shopify", "b", "1", "2026-06-30 22:00:00", "20")],
    )
    store.insert("events", [event("shopify", "1", "click", "2026-06-30 22:00:00")])

    derive(store, shop_config(timezone="Europe/Berlin"), date(2026, 7, 1))
    found = row(store, "shopify", "1")

    assert (found["orders_total"], found["days_since_order"], found["clicks_total"]) == (1, 1, 0)


def test_the_same_statement_as_of_an_earlier_day_gives_that_days_values():
    store = one_buyer()
    store.insert("orders", [order("shopify", "a", "1", "2026-01-10", "10"), order("shopify", "b", "1", "2026-03-10", "20")])
    config = shop_config()
    derive(store, config)

    early = store.rows(profile_sql(config, as_of(date(2026, 2, 1), config.shop.timezone)))

    assert [(r["orders_total"], r["days_since_order"]) for r in early if r["orders_total"]] == [(1, 22)]


def test_categories_come_from_lines_or_products_and_from_a_copy_where_the_first_has_none():
    store = one_buyer()
    store.insert("contacts", [contact("mailchimp", "m", email="ann@x.de")])
    store.insert("products", [{"source": "shopify", "product_id": "mug", "title": "Mug", "category": "Ware"}])
    store.insert(
        "orders",
        [
            order("shopify", "a", "1", "2026-06-20", "10"),
            order("shopify", "b", "1", "2026-06-21", "30"),
            order("mailchimp", "b", "m", "2026-06-21", "30", stream="shop_orders"),
        ],
    )
    store.insert(
        "order_lines",
        [
            line("shopify", "a", "Mug", None, "10"),
            line("mailchimp", "b", "Kenya", "Coffee", "20", stream="shop_orders"),
            line("mailchimp", "b", "Assam", "Tea", "10", stream="shop_orders", quantity="2"),
        ],
    )

    derive(store, shop_config())
    found = row(store, "shopify", "1")

    assert found["bought_categories"] == ["Coffee", "Tea", "Ware"]
    assert (found["top_category"], found["top_category_share"], found["items_total"]) == ("Coffee", 0.5, 4)


def test_machine_opens_do_not_count_and_unknown_ones_do():
    store = one_buyer()
    store.insert(
        "events",
        [
            event("shopify", "1", "open", "2026-06-01", is_machine=True, campaign_id="c1"),
            event("shopify", "1", "open", "2026-05-01", is_machine=None, campaign_id="c1"),
            event("shopify", "1", "sent", "2026-05-01", campaign_id="c1"),
            event("shopify", "1", "sent", "2026-05-02", campaign_id="c2"),
            event("shopify", None, "rating", "2026-05-02", email="ann@x.de", value="4"),
        ],
    )

    derive(store, shop_config())
    found = row(store, "shopify", "1")

    assert (found["opens_human_90d"], found["last_open_on"], found["open_rate_90d"]) == (1, date(2026, 5, 1), 0.5)
    assert (found["days_since_engagement"], found["days_since_click"]) == (61, None)


def test_clicks_of_machines_are_nobodys():
    store = one_buyer()
    url = "https://x.de/blog/a"
    store.insert(
        "events",
        [
            event("shopify", "1", "click", "2026-06-01", is_machine=True, campaign_id="c1", url=url, category="Tea"),
            event("shopify", "1", "click", "2026-05-20", is_machine=False, campaign_id="c1", url="https://x.de/shop"),
            event("shopify", "2", "click", "2026-06-01", is_machine=True, campaign_id="c1", url=url),
        ],
    )

    derive(store, shop_config())
    found, other = row(store, "shopify", "1"), row(store, "shopify", "2")

    assert (found["clicks_90d"], found["days_since_click"], found["clicked_topics"]) == (1, 42, ["shop"])
    assert (other["clicks_total"], other["days_since_click"], other["clicked_topics"]) == (0, None, None)


def test_a_cart_is_abandoned_until_the_person_buys():
    store = one_buyer()
    cart = {"source": "shopify", "total": "30", "currency": "EUR"}
    store.insert(
        "carts",
        [
            cart | {"cart_id": "x", "contact_id": "1", "started_at": "2026-06-28 10:00:00"},
            cart | {"cart_id": "y", "contact_id": "2", "started_at": "2026-06-28 10:00:00"},
            cart
            | {"cart_id": "z", "contact_id": "2", "started_at": "2026-06-29 10:00:00", "completed_at": "2026-06-29 11:00:00"},
        ],
    )
    store.insert("orders", [order("shopify", "a", "1", "2026-06-28 11:00:00", "30")])

    derive(store, shop_config())

    assert not row(store, "shopify", "1")["has_cart_abandoned_7d"]
    assert row(store, "shopify", "2")["has_cart_abandoned_7d"]
    assert (row(store, "shopify", "2")["carts_abandoned_30d"], row(store, "shopify", "2")["cart_value"]) == (1, 30)


def test_a_no_anywhere_outweighs_a_yes_and_a_dead_address_closes_only_itself():
    store = new_store()
    store.insert(
        "contacts",
        [contact("shopify", "1", email="a@x.de"), contact("mailchimp", "1", email="a@x.de"),
         contact("shopify", "2", email="b@x.de"),
         contact("mailchimp", "2", email="b@y.de"), contact("shopify", "3", email="c@x.de")],
    )  # fmt: skip

    def said(source, contact_id, status, topic=""):
        return {"source": source, "contact_id": contact_id, "channel": "email", "topic": topic, "status": status}

    store.insert(
        "consents",
        [
            said("shopify", "1", "subscribed"), said("mailchimp", "1", "unsubscribed"),
            said("shopify", "2", "dead"), said("mailchimp", "2", "subscribed"),
            said("mailchimp", "2", "subscribed", "E-mail"), said("mailchimp", "2", "unsubscribed", "ads by post"),
            said("shopify", "3", "subscribed"), said("shopify", "3", "dead"),
        ],
    )  # fmt: skip
    store.insert(
        "identifiers", [{"source": "shopify", "contact_id": "2", "kind": "email", "value": "b@y.de", "is_main": False}]
    )

    derive(store, shop_config())

    got = {i: (row(store, "shopify", i)["is_subscribed"], row(store, "shopify", i)["consent_email"]) for i in "123"}
    assert got == {"1": (False, "unsubscribed"), "2": (True, "subscribed"), "3": (False, "subscribed")}


def test_place_comes_whole_from_the_record_changed_last_that_has_one():
    store = new_store()
    store.insert(
        "contacts",
        [
            contact(
                "shopify", "1", email="a@x.de", city="Bonn", country="DE", updated_at="2026-01-01 00:00:00", birthday="03/21"
            ),
            contact("hubspot", "1", email="a@x.de", country="FR", language="fr", updated_at="2026-02-01 00:00:00"),
            contact("mailchimp", "1", email="a@x.de", updated_at="2026-03-01 00:00:00", tags='["x", "Rollcall: VIP"]'),
        ],
    )

    derive(store, shop_config())
    found = row(store, "shopify", "1")

    assert (found["country"], found["city"], found["language"], found["birthday_month"]) == ("FR", None, "fr", 3)
    assert found["tags"] == ["x"]
    assert found["platforms"] == ["hubspot", "mailchimp", "shopify"]


def test_free_attributes_become_columns_of_their_kind():
    store = new_store()
    store.insert(
        "contacts",
        [contact("import", "1", attributes='{"Loyalty level": "gold", "points": "12", "orders_total": "x", "vip": "true"}')],
    )

    derive(store, shop_config())
    found = row(store, "import", "1")

    assert (found["loyalty_level"], found["points"], found["vip"]) == ("gold", 12.0, True)
    assert (found["attribute_orders_total"], found["orders_total"]) == ("x", 0)


def test_the_running_subscription_is_shown_before_a_later_cancelled_one():
    store = one_buyer()
    base = {"source": "import", "contact_id": None, "email": "ann@x.de"}
    store.insert(
        "subscriptions",
        [
            base
            | {
                "subscription_id": "s1",
                "plan": "Big",
                "started_at": "2025-01-01 00:00:00",
                "renews_at": "2026-07-10 00:00:00",
                "status": "active",
            },
            base
            | {
                "subscription_id": "s2",
                "plan": "Small",
                "started_at": "2026-01-01 00:00:00",
                "cancelled_at": "2026-05-01 00:00:00",
                "status": "cancelled",
            },
        ],
    )

    derive(store, shop_config())
    found = row(store, "shopify", "1")

    assert (found["subscription_status"], found["subscription_plan"], found["days_to_renewal"]) == ("active", "Big", 9)


def test_fifths_share_ties_and_wait_for_fifty_buyers():
    store = new_store()
    store.insert("orders", [order("import", str(i), f"c{i}", f"2026-0{1 + i % 5}-10", str(10 + i)) for i in range(50)])

    derive(store, shop_config())
    groups = {g for row in RFM_GRID.values() for g in row}

    assert len(groups) == 11
    assert store.value("SELECT count(*) FROM profile WHERE rfm_group IS NULL") == 0
    assert {g for (g,) in store.sql("SELECT rfm_group FROM profile")} <= groups
    assert store.sql("SELECT DISTINCT rfm_f FROM profile") == [(1,)]
    assert store.sql("SELECT rfm_m, count(*) FROM profile GROUP BY 1 ORDER BY 1") == [(i, 10) for i in range(1, 6)]


def test_where_fifths_are_cut_and_the_shops_rhythm_can_be_seen():
    store = new_store()
    store.insert("orders", [order("import", str(i), f"c{i}", f"2026-0{1 + i % 5}-10", str(10 + i)) for i in range(50)])
    store.insert("orders", [order("import", f"{i}b", f"c{i}", f"2026-06-{10 + i // 12}", "1") for i in range(4, 50, 5)])
    derive(store, shop_config())
    few = rhythm.of_shop(store)

    assert [c["from"] for c in few["rfm"]["rfm_r"]] == ["2026-01-10", "2026-02-10", "2026-03-10", "2026-04-10", "2026-06-10"]
    assert few["rfm"]["rfm_f"] == [{"fifth": 1, "from": 1, "people": 40}, {"fifth": 5, "from": 2, "people": 10}]
    assert sum(c["people"] for c in few["rfm"]["rfm_m"]) == 50 and few["rfm"]["rfm_m"][0]["from"] == 10.0
    assert (few["usual_gap_days"], few["long_gap_days"], few["is_guessed"]) == (None, 180, True)
    told = rhythm.sentences(few)
    assert told[1] == "RFM, number of orders (rfm_f): 1 from 1, 5 from 2."
    assert "too few second orders" in told[3] and "more than 180 days, churned for more than 360." in told[3]

    store.insert("orders", [order("import", f"{i}c", f"c{i}", f"2026-0{1 + i % 5}-20", "1") for i in range(25)])
    derive(store, shop_config())
    known = rhythm.of_shop(store)
    assert (known["usual_gap_days"], known["is_guessed"]) == (10, False)
    assert "half of all next orders came within 10 days" in rhythm.sentences(known)[3]


def test_below_fifty_buyers_there_are_no_fifths_and_that_is_said():
    store = one_buyer()
    store.insert("orders", [order("shopify", "a", "1", "2026-06-20", "100")])
    derive(store, shop_config())

    assert rhythm.sentences(rhythm.of_shop(store))[0] == "RFM: no fifths yet; they need 50 buyers."


def test_fields_give_coverage_and_no_example_of_personal_columns():
    store = one_buyer()
    store.insert("contacts", [contact("import", "9", company="Ann Smith Ltd", city="Bonn", attributes='{"nick": "annie"}')])
    derive(store, shop_config())

    found = {f.name: f for f in fields(store)}

    assert set(found) == {*BY_NAME, "nick"}
    assert found["city"].example == "Bonn" and round(found["city"].coverage, 2) == 0.33
    assert found["company"].example == "" and found["nick"].example == ""


def test_every_column_says_what_it_is():
    assert len(BY_NAME) == len(COLUMNS)
    assert all(c.meaning and c.unit and c.source and c.needs for c in COLUMNS)


def test_real_purchases_equal_pandas():
    if not CDNOW.exists():
        pytest.skip("the CDNOW file is not beside the repository")
    import pandas as pd

    data = pd.read_csv(CDNOW, dtype={"customer_id": str, "amount": str})
    data = data[data["in_sample"]].reset_index(drop=True)
    store = new_store()
    data["order_id"] = data.index.astype(str)
    store.insert(
        "orders",
        [order("shopify", r.order_id, r.customer_id, r.date, r.amount, currency="USD") for r in data.itertuples()],
    )
    config = shop_config(timezone="UTC", currency="USD")
    identify(store, config)
    assert build(store, config, as_of(date(1998, 7, 1), "UTC")) == data["customer_id"].nunique()

    data["amount"] = data["amount"].astype(float)
    per = data.groupby("customer_id").agg(n=("amount", "size"), spent=("amount", "sum"), last=("date", "max"))
    days = (pd.Timestamp("1998-07-01") - pd.to_datetime(per["last"])).dt.days
    top = len(per) * 10 // 100
    got = store.sql("""SELECT sum(orders_total), sum(revenue_total), count(*) FILTER (orders_total >= 3),
        count(*) FILTER (days_since_order > 180), count(*) FILTER (spend_rank_pct <= 10),
        min(revenue_total) FILTER (spend_rank_pct <= 10) FROM profile""")[0]
    assert got[:1] == (len(data),)
    assert round(float(got[1]), 2) == round(per["spent"].sum(), 2)
    assert got[2:5] == (int((per["n"] >= 3).sum()), int((days > 180).sum()), top)
    assert round(float(got[5]), 2) == round(per["spent"].nlargest(top).min(), 2)


def test_the_profile_is_built_twice_the_same():
    store = one_buyer()
    store.insert("orders", [order("shopify", "a", "1", "2026-06-20", "10")])
    derive(store, shop_config())
    first = store.sql("SELECT * FROM profile ORDER BY person_id")

    derive(store, shop_config(), DAY)

    assert store.sql("SELECT * FROM profile ORDER BY person_id") == first


def test_an_order_without_a_date_counts_as_money_and_for_nothing_that_has_a_date():
    store = one_buyer()
    store.insert(
        "orders",
        [
            order("mailchimp", "a", "1", "2026-06-20", "100") | {"source": "shopify"},
            order("shopify", "b", "1", "2026-06-20", "50") | {"ordered_at": None},
            order("shopify", "c", "2", "2026-06-20", "7") | {"ordered_at": None},
        ],
    )
    config = shop_config()
    identify(store, config)
    build(store, config, as_of(None, "Europe/Berlin"))
    ann, new = row(store, "shopify", "1"), row(store, "shopify", "2")
    assert (ann["orders_total"], ann["revenue_total"], ann["order_days"]) == (2, Decimal("150.00"), 1)
    assert str(ann["first_order_on"]) == str(ann["last_order_on"]) == "2026-06-20" and ann["avg_days_between_orders"] is None
    assert (new["orders_total"], new["revenue_total"], new["last_order_on"], new["days_since_order"]) == (
        1,
        Decimal("7.00"),
        None,
        None,
    )
    assert new["orders_365d"] == 0 and new["revenue_365d"] == 0

    build(store, config, as_of(DAY, "Europe/Berlin"))
    assert row(store, "shopify", "1")["orders_total"] == 1, "on an earlier day nobody can say that it was there already"


def test_an_order_without_a_date_is_not_the_last():
    store = one_buyer()
    store.insert("contacts", [contact("import", "i", email="ann@x.de")])
    store.insert(
        "orders",
        [order("shopify", "a", "1", "2026-06-20", "9"), order("import", "b", "i", "2026-06-20", "7") | {"ordered_at": None}],
    )
    config = shop_config(orders_from=("shopify", "import"))
    identify(store, config)
    build(store, config, as_of(None, "Europe/Berlin"))

    assert (row(store, "shopify", "1")["orders_total"], row(store, "shopify", "1")["last_order_source"]) == (2, "shopify")


def test_orders_of_one_day_say_nothing_of_the_usual_gap():
    store = one_buyer()
    store.insert("orders", [order("shopify", str(n), "1", "2026-06-01", "9") for n in range(3)])
    days = [f"2026-{m:02}-{d:02}" for m, d in ((1, 1), (1, 11), (1, 21), (2, 1))]
    store.insert("orders", [order("shopify", f"{c}{d}", c, d, "9") for c in "stuvwxy" for d in days])

    derive(store, shop_config())
    found = row(store, "shopify", "1")

    assert (found["avg_days_between_orders"], found["usual_gap_days"], found["lateness"]) == (0, 10, 3)


def test_a_lead_of_the_crm_is_one_without_an_address_too():
    store = new_store()
    store.insert("contacts", [contact("hubspot", s, phone="030 1234567" + s, lifecycle_stage=s, email=None)
                              for s in ("lead", "other", "customer")])  # fmt: skip

    derive(store, shop_config())

    found = {s: row(store, "hubspot", s)["lifecycle"] for s in ("lead", "other", "customer")}
    assert found == {"lead": "lead", "other": "visitor", "customer": "customer"}


def test_of_ended_subscriptions_the_one_that_ended_last_is_shown():
    store = one_buyer()
    base = {"source": "import", "contact_id": None, "email": "ann@x.de", "status": "cancelled"}
    store.insert(
        "subscriptions",
        [
            base | {"subscription_id": "s1", "started_at": "2024-01-01 00:00:00", "cancelled_at": "2026-06-20 10:00:00"},
            base | {"subscription_id": "s2", "started_at": "2025-01-01 00:00:00", "cancelled_at": "2025-03-01 10:00:00"},
        ],
    )

    derive(store, shop_config())
    found = row(store, "shopify", "1")

    assert found["subscription_cancelled_on"] == date(2026, 6, 20) and found["subscriptions_active"] == 0
