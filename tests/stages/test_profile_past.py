"""The profile as of an earlier day: what happened since must not be seen in it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from connector import discover, report, segment
from connector.clock import as_of
from connector.profile import build
from connector.score_data import load
from tests.stages.hand_shop import contact, derive, line, new_store, order, row, shop_config

CONFIG = shop_config()


def seen(store, day, *names):
    """Columns of ann as of a day of 2026."""
    derive(store, CONFIG, day)
    found = row(store, "shopify", "ann")
    return tuple(found[n] for n in names)


def shop():
    store = new_store()
    store.insert("contacts", [contact("shopify", "ann", email="ann@x.de", created_at="2025-01-01 00:00:00")])
    return store


def refund(order_id, at, amount, **values):
    return {"source": "shopify", "order_id": order_id, "refund_id": f"{order_id}{at}", "refunded_at": f"{at} 10:00:00",
            "amount": amount, "currency": "EUR"} | values  # fmt: skip


def test_money_that_went_back_later_was_still_there():
    store = shop()
    store.insert("orders", [order("shopify", "a", "ann", "2026-01-10", "100", net="0", refunded="100", status="refunded")])
    store.insert("refunds", [refund("a", "2026-03-01", "40"), refund("a", "2026-05-01", "60")])
    columns = ("revenue_total", "refunded_total", "refunded_orders", "last_refund_on")

    assert seen(store, date(2026, 2, 1), *columns) == (100, 0, 0, None)
    assert seen(store, date(2026, 4, 1), *columns) == (60, 40, 1, date(2026, 3, 1))
    assert seen(store, date(2026, 6, 1), *columns) == (0, 100, 1, date(2026, 5, 1))
    assert seen(store, date(2026, 2, 1), "aov", "largest_order", "refund_share") == (100.0, Decimal(100), 0.0)
    build(store, CONFIG, as_of(None, "Europe/Berlin"))
    assert row(store, "shopify", "ann")["revenue_total"] == 0, "today nothing is put back"


def test_no_more_is_put_back_than_was_paid_and_nothing_of_another_currency_or_an_edit():
    store = shop()
    store.insert(
        "orders",
        [
            order("shopify", "kept", "ann", "2026-01-10", "100", net="100", refunded="10"),
            order("shopify", "edited", "ann", "2026-01-11", "100", net="70", refunded="10"),
            order("shopify", "abroad", "ann", "2026-01-12", "100", net="0", refunded="100", currency="USD"),
            order("shopify", "asked", "ann", "2026-01-13", "100", net="90", refunded="10"),
            order("shopify", "grown", "ann", "2026-01-14", "100", net="130", refunded="10"),
        ],
    )
    store.insert(
        "refunds",
        [
            refund("kept", "2026-03-01", "10"), refund("edited", "2026-03-01", "10"), refund("asked", "2026-03-01", "12",
                                                                                             currency="USD"),
            refund("abroad", "2026-03-01", "100", currency="USD"), refund("grown", "2026-03-01", "10"),
        ],
    )  # fmt: skip

    assert seen(store, date(2026, 2, 1), "revenue_total", "refunded_orders", "orders_total") == (400, 0, 5)
    assert seen(store, date(2026, 4, 1), "revenue_total", "refunded_orders") == (390, 5)


def test_a_cart_touched_later_lay_there_since_it_was_begun():
    store = shop()
    store.insert(
        "carts",
        [{"source": "shopify", "cart_id": "c", "contact_id": "ann", "started_at": "2026-01-30 10:00:00",
          "updated_at": "2026-06-01 10:00:00", "total": "30", "currency": "EUR"}],
    )  # fmt: skip
    columns = ("last_cart_on", "has_cart_abandoned_7d")

    assert seen(store, date(2026, 2, 1), *columns) == (date(2026, 1, 30), True)
    assert seen(store, date(2026, 3, 1), *columns) == (date(2026, 1, 30), False)
    assert seen(store, date(2026, 6, 2), *columns) == (date(2026, 6, 1), True)


def bought(*, is_cancelled):
    """Ann and Bob buy; a first and a middle order of Ann's, and all that Bob ever ordered, are cancelled in March or are not."""
    store = shop()
    store.insert("contacts", [contact("shopify", "bob", email="bob@x.de", created_at="2025-01-01 00:00:00")])
    gone = {"is_cancelled": True, "status": "cancelled", "net": "0", "cancelled_at": "2026-03-01 10:00:00", "refunded": "100"}
    later = gone if is_cancelled else {"net": "80", "refunded": "20"}
    none_yet = gone if is_cancelled else {"refunded": "0"}
    store.insert(
        "orders",
        [
            order("shopify", "a", "ann", "2025-01-10", "100", discount="5", city="Bonn", country="DE", **later),
            order("shopify", "b", "ann", "2026-01-20", "50", discount="0", net="50"),
            order("shopify", "c", "ann", "2026-01-29", "100", discount="10", city="Ulm", country="DE", **none_yet),
            order("shopify", "d", "ann", "2026-02-05", "70", net="70"),
            order("shopify", "e", "bob", "2026-02-06", "100", **none_yet),
        ],
    )
    store.insert("order_lines", [line("shopify", o, t, c, "10") for o, t, c in
                                 (("a", "Tea", "Leaf"), ("b", "Tea", "Leaf"), ("c", "Cup", "Ware"), ("e", "Cup", "Ware"))])  # fmt: skip
    store.insert("refunds", [refund("a", "2026-01-15", "20")])
    if is_cancelled:
        store.insert("refunds", [refund("a", "2026-03-01", "80"), refund("c", "2026-03-01", "100")])
    return store


def test_an_order_cancelled_later_was_one_until_then():
    was, now = bought(is_cancelled=False), bought(is_cancelled=True)
    for day in (date(2026, 2, 20), date(2026, 3, 1)):
        for who in ("ann", "bob"):
            derive(was, CONFIG, day)
            derive(now, CONFIG, day)
            expected, found = (row(s, "shopify", who) for s in (was, now))
            assert {k: (v, found[k]) for k, v in expected.items() if v != found[k]} == {}
    assert seen(now, date(2026, 2, 20), "orders_total", "revenue_total", "items_total") == (4, 300, 3)
    assert seen(now, date(2026, 3, 2), "orders_total", "revenue_total", "items_total") == (2, 120, 1)
    build(now, CONFIG, as_of(None, "Europe/Berlin"))
    assert row(now, "shopify", "ann")["orders_total"] == 2 and row(now, "shopify", "bob")["orders_total"] == 0


def test_the_report_of_an_earlier_day_and_its_groups_know_nothing_of_what_went_back_since():
    store = shop()
    store.insert("orders", [
        order("shopify", "a", "ann", "2026-01-10", "100", net="0", refunded="100", status="refunded"),
        order("shopify", "b", "ann", "2026-01-20", "30", net="0", is_cancelled=True, cancelled_at="2026-03-01 10:00:00"),
        order("shopify", "c", None, "2026-01-25", "7"),
    ])  # fmt: skip
    store.insert("refunds", [refund("a", "2026-05-01", "100")])
    store.insert("score_cards", [
        {"score": "churn", "cutoff": day, "made_run": "r", "is_published": True, "card": f'{{"title": "{day}", "lines": []}}'}
        for day in ("2026-01-31", "2026-04-01")
    ])  # fmt: skip

    def told(day):
        moment = derive(store, CONFIG, day)
        segment.evaluate(store, CONFIG, [], moment, "r", keeps=False)
        page = report.content(store, CONFIG, moment, plan=None, says={})
        figures = {f["label"]: f["value"] for f in page["figures"]}
        _, visits = discover._visits(store, CONFIG, moment, load(store, CONFIG, moment))
        return figures["Orders"], figures["Net revenue"], [c["title"] for c in page["cards"]], visits.amount.tolist()

    assert told(date(2026, 2, 1)) == ("3", "137.00", ["2026-01-31"], [100, 30])
    assert told(date(2026, 4, 1)) == ("2", "107.00", ["2026-04-01"], [100])
    assert told(date(2026, 6, 1)) == ("2", "7.00", ["2026-04-01"], [0])
