"""What the store hands to the models: everything by the shop's days, nothing of what came after the date."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from connector import engagement, next_category
from connector.clock import as_of
from connector.config import Config
from connector.score_data import EPOCH, ShopData, load
from connector.score_watch import ready
from connector.store import Store
from models.scores.history import no_order_within
from models.scores.views import Views
from tests.stages.hand_shop import DAY, contact, derive, event, line, new_store, order, person_of, shop_config

CUTOFF = (DAY - EPOCH).days


def back(order_id: str, at: str | None, amount: str) -> dict[str, Any]:
    at = at if at is None or len(at) > 10 else f"{at} 12:00:00"
    return {"source": "import", "stream": "orders", "record_id": f"r{order_id}{at}", "order_id": order_id,
            "refund_id": f"r{order_id}{at}", "refunded_at": at, "amount": amount, "currency": "EUR"}  # fmt: skip


def known(store: Store, config: Config, day: date = DAY) -> ShopData:
    return load(store, config, as_of(day, config.shop.timezone))


@pytest.fixture
def store() -> Store:
    """Forty people over half a year, with everything that is known beside orders."""
    made = new_store()
    made.insert("contacts", [contact("import", f"c{p}", email=f"c{p}@shop.example", tags='["old"]') for p in range(40)])
    rows = [
        (p, i, (DAY - timedelta(days=1 + (37 * p + 41 * i) % 180)).isoformat()) for p in range(40) for i in range(1 + p % 5)
    ]
    made.insert("orders", [
        order("import", f"o{p}-{i}", f"c{p}", day, f"{20 + p}.00", discount="2.00" if i % 2 else "0.00", country="DE") for p, i, day in rows
    ])  # fmt: skip
    made.insert("order_lines", [
        line("import", f"o{p}-{i}", ("Tea", "Coffee")[i % 2], ("Leaf", "Bean")[i % 2], "20.00", stream="order_lines")
        for p, i, _ in rows
    ])  # fmt: skip
    made.insert("order_lines", [
        line("import", f"o{p}-{i}", "Mug", "", "8.00", stream="order_lines") | {"category": None} for p, i, _ in rows if p % 3 == 0
    ])  # fmt: skip
    made.insert("product_categories", [
        {"source": "import", "product_id": "mug", "category": "Ware", "since": "2026-03-01 10:00:00"},
        {"source": "import", "product_id": "mug", "category": "Gifts", "since": "2026-05-15 10:00:00"},
    ])  # fmt: skip
    made.insert("refunds", [back("o9-0", rows[20][2], "1.00"), back("o3-1", "2026-06-30", "5.00")])
    made.insert(
        "events", [event("import", f"c{p}", kind, "2026-06-01") for p in range(20) for kind in ("sent", "open", "login")]
    )
    made.insert("products", [
        {"source": "import", "stream": "products", "record_id": t, "product_id": t.lower(), "title": t, "category": c}
        for t, c in (("Tea", "Leaf"), ("Coffee", "Bean"), ("Mug", "Gifts"))
    ])  # fmt: skip
    made.insert("carts", [
        {"source": "import", "stream": "carts", "record_id": "k1", "cart_id": "k1", "contact_id": "c1", "started_at": "2026-06-10 10:00:00"}
    ])  # fmt: skip
    made.insert("subscriptions", [
        {"source": "import", "stream": "subscriptions", "record_id": "s1", "subscription_id": "s1", "contact_id": "c2",
         "started_at": "2026-02-01 10:00:00", "status": "active"}
    ])  # fmt: skip
    return made


def features(store: Store, config: Config) -> dict[int, tuple[np.ndarray, ...]]:
    """What the models see at four cutoffs, and the labels' own rows: orders, lines and signs."""
    derive(store, config)
    return seen_by_models(known(store, config))


def seen_by_models(data: ShopData) -> dict[int, tuple[np.ndarray, ...]]:
    views = Views(data.orders, 60, data.lines, data.signs)
    assert data.lines is not None and data.signs is not None
    found = {}
    for cutoff in (CUTOFF, CUTOFF - 30, CUTOFF - 60, CUTOFF - 90):
        view, lines = views.at(cutoff), data.lines.before(cutoff)
        assert view.signs is not None
        found[cutoff] = (view.shot.features, view.inputs, view.wide, view.signs, lines.product, lines.category, lines.amount)
    return found


def later_rows(store: Store) -> None:
    """Everything that can happen on the date and after it."""
    day, after = DAY.isoformat(), (DAY + timedelta(days=9)).isoformat()
    store.insert("orders", [order("import", f"n{p}", f"c{p}", (day, after)[p % 2], "900.00", country="AT") for p in range(40)])
    store.insert("order_lines", [line("import", f"n{p}", "Cup", "Ware", "900.00", stream="order_lines") for p in range(40)])
    store.insert("refunds", [back(f"o{p}-0", (day, after)[p % 2], "7.00") for p in range(30)])
    store.insert("events", [
        event("import", f"c{p}", kind, after) | {"record_id": f"n{kind}{p}"} for p in range(40)
        for kind in ("sent", "open", "click", "login", "ticket", "page_view", "unsubscribe")
    ])  # fmt: skip
    store.insert("events", [event("import", "c1", "rating", after, value="1.0")])
    store.insert("carts", [
        {"source": "import", "stream": "carts", "record_id": "k2", "cart_id": "k2", "contact_id": "c3", "started_at": f"{after} 10:00:00"}
    ])  # fmt: skip
    store.sql("UPDATE carts SET completed_at = CAST(? AS TIMESTAMP) WHERE cart_id = 'k1'", [after])
    store.sql("UPDATE subscriptions SET status = 'cancelled', cancelled_at = CAST(? AS TIMESTAMP)", [after])
    store.sql("UPDATE contacts SET tags = '[\"new\"]', updated_at = CAST(? AS TIMESTAMP), country = 'FR'", [after])
    store.sql("UPDATE products SET category = 'Hot drinks', title = title || ' (new)'")
    store.sql("INSERT INTO product_categories SELECT source, product_id, category, CAST(? AS TIMESTAMP) FROM products", [after])
    cancel(store, [f"o{p}-0" for p in range(0, 40, 4)], f"{day} 00:30:00")
    cancel(store, [f"o{p}-1" for p in range(1, 40, 5)], f"{after} 10:00:00")
    store.insert("consents", [
        {"source": "import", "contact_id": "c5", "channel": "email", "topic": "", "status": "unsubscribed",
         "changed_at": f"{after} 10:00:00"}
    ])  # fmt: skip


def cancel(store: Store, orders: list[str], at: str | None) -> None:
    store.sql(
        "UPDATE orders SET is_cancelled = TRUE, status = 'cancelled', net = 0, cancelled_at = CAST(? AS TIMESTAMP) "
        "WHERE list_contains(?, order_id)",
        [at, orders],
    )
    store.sql("DELETE FROM meta WHERE name IN ('identity_state', 'fact_marks')")  # as if the records had come again


def test_rows_of_every_kind_from_the_date_on_change_nothing_that_a_model_sees(store: Store) -> None:
    config = shop_config()
    before = features(store, config)
    later_rows(store)
    after = features(store, config)
    for cutoff, seen in before.items():
        for ours, theirs in zip(seen, after[cutoff], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    moved = known(store, config, DAY + timedelta(days=30))
    assert moved.orders.amount.max() == 900 and len(moved.orders.refund_row) > 20, "a later date sees them all"


def test_what_is_cancelled_later_was_a_choice_until_then(store: Store) -> None:
    config = shop_config()

    def chosen() -> tuple[list[str], list[tuple[int, ...]]]:
        moment = derive(store, config)
        names, found = next_category.choices("next_category", store, config, moment, load(store, config, moment), [])
        return names, sorted(zip(found.person.tolist(), found.day.tolist(), found.category.tolist(), strict=True))

    whole = chosen()
    some = [o for (o,) in store.sql("SELECT order_id FROM orders") if int(o[1:].split("-")[0]) % 4 == 0]
    cancel(store, some, f"{DAY.isoformat()} 10:00:00")
    assert chosen() == whole and len(whole[1]) > 60
    cancel(store, some, "2026-06-30 10:00:00")
    assert len(chosen()[1]) < len(whole[1])


CANCELLED = 45
"""So many days before the date."""


def test_an_order_that_was_cancelled_was_one_until_then_and_is_no_purchase_that_came(store: Store) -> None:
    config = shop_config()
    whole = features(store, config)
    people = known(store, config).people
    rows = store.sql("SELECT order_id, ordered_at::DATE FROM orders ORDER BY 1")
    gone = [o for o, day in rows if day < DAY - timedelta(days=CANCELLED) and int(o[1:].split("-")[0]) % 3 == 0]
    cancel(store, gone, (DAY - timedelta(days=CANCELLED)).isoformat() + " 10:00:00")
    after = features(store, config)
    data = known(store, config)
    assert data.former and sorted(data.everyone) == people, "some had no other order"
    place = np.array([data.everyone.index(p) for p in people])
    views = Views(data.orders, 60, data.lines, data.signs)
    for cutoff in (CUTOFF - 90, CUTOFF - 60):
        view = views.at(cutoff)
        order = np.argsort(np.argsort(place)[view.person])
        for ours, theirs in zip(whole[cutoff][:1], after[cutoff][:1], strict=True):
            np.testing.assert_array_equal(ours, theirs[order])
        np.testing.assert_allclose(whole[cutoff][1], after[cutoff][1][order], rtol=1e-6)
        np.testing.assert_allclose(whole[cutoff][3], after[cutoff][3][order])
        assert sorted(whole[cutoff][4].tolist()) == sorted(after[cutoff][4].tolist())
    for cutoff in (CUTOFF - 30, CUTOFF):
        assert after[cutoff][0][:, 2].sum() < whole[cutoff][0][:, 2].sum(), "from then on it is none"
        assert len(after[cutoff][4]) < len(whole[cutoff][4])
    start = CUTOFF - 90
    later = [int(o[1:].split("-")[0]) for o, day in rows if day >= DAY - timedelta(days=90) and o not in gone]
    back_again = ~no_order_within(data.orders, np.arange(len(data.everyone)), start, 90)
    assert {data.everyone[i] for i in np.flatnonzero(back_again)} == {person_of(store, "import", f"c{p}") for p in later}


def test_an_order_cancelled_nobody_knows_when_counts_for_no_day(store: Store) -> None:
    config = shop_config()
    cancel(store, ["o1-0", "o1-1"], None)
    derive(store, config)
    assert person_of(store, "import", "c1") not in known(store, config).everyone


def test_a_category_is_known_from_the_day_we_saw_it(store: Store) -> None:
    config = shop_config()
    derive(store, config)
    data = known(store, config)
    assert data.lines is not None
    mugs = data.lines.product == next(i for i, (p, _) in enumerate(data.products) if p == "mug")
    first, second = ((date(2026, m, d) - EPOCH).days for m, d in ((3, 1), (5, 15)))
    day, category = data.lines.day[mugs], data.lines.category[mugs]
    assert set(category[day < first].tolist()) == {-1}, "what it was before, nobody knows"
    kinds = [set(category[m].tolist()) for m in ((day > first) & (day < second), day > second)]
    assert all(len(k) == 1 for k in kinds) and kinds[0] != kinds[1] and -1 not in kinds[0] | kinds[1]
    assert data.goods is not None
    names = np.array([*data.goods.categories, ""])[data.goods.catalogue.category]
    assert names[[p for p, _ in data.goods.products].index("mug")] == "Gifts", "what is offered goes by today's"


@pytest.mark.parametrize(("zone", "at", "is_known"), [
    ("America/Los_Angeles", "2026-07-01 04:00:00", True), ("Pacific/Auckland", "2026-06-30 13:00:00", False),
])  # fmt: skip
def test_a_refund_is_of_the_shops_day_like_its_order(zone: str, at: str, is_known: bool) -> None:
    store, config = new_store(), shop_config(timezone=zone)
    store.insert("contacts", [contact("import", "c1")])
    store.insert("orders", [order("import", "o1", "c1", "2026-05-01", "50.00")])
    store.insert("refunds", [back("o1", at, "20.00")])
    derive(store, config)
    later = known(store, config, DAY + timedelta(days=9))
    assert later.orders.before(CUTOFF).net.tolist() == [30.0 if is_known else 50.0]
    assert known(store, config).orders.before(CUTOFF).net.tolist() == [30.0 if is_known else 50.0]


def test_refunds_without_a_date_are_said_and_not_taken_off() -> None:
    store, config = new_store(), shop_config()
    store.insert("contacts", [contact("import", "c1")])
    left = {"o1": ("30.00", "20.00"), "o2": ("50.00", "0.00"), "o3": (None, "50.00"), "o4": (None, "0.00")}
    store.insert("orders", [order("import", o, "c1", "2026-06-01", "50.00", refunded=r, net=n) for o, (r, n) in left.items()])
    store.insert("refunds", [back("o2", "2026-06-05", "50.00")])
    derive(store, config)
    data = known(store, config)
    assert data.orders.net.sum() == 150
    assert next(n for n in data.notes if "refund" in n).startswith("80 EUR of refunds have no date (40% of all money).")
    store.insert("refunds", [back("o1", "2026-06-05", "30.00"), back("o4", "2026-06-05", "50.00")])
    assert not any("refund" in n for n in known(store, config).notes)


def test_a_currency_is_text_and_never_a_part_of_a_query() -> None:
    store, config = new_store(), shop_config()
    store.insert("contacts", [contact("import", "c1")])
    store.insert("orders", [order("import", "o1", "c1", "2026-06-01", "50.00", currency="E'R")])
    store.insert("refunds", [back("o1", "2026-06-05", "20.00")])
    derive(store, config)
    assert known(store, config).orders.net.tolist() == [30.0]


def test_readiness_asks_for_as_much_as_the_cards_and_names_every_score(store: Store) -> None:
    config = shop_config()
    store.sql(
        'UPDATE contacts SET attributes = \'{"hold_out": "true", "hold_out_on": "2026-06-20"}\' WHERE contact_id = \'c1\''
    )
    moment = derive(store, config)
    said = {s["score"]: s for s in ready(store, config, moment)}
    assert {"p_alive", "next_category", "next_topic", "cluster", "anomaly"} <= said.keys()
    assert [name for name, s in said.items() if s["is_ready"]] == ["anomaly"], "some have four orders and more"
    assert "more known customers who bought in the last 30 days" in said["recommendations"]["lacks"][0]
    assert said["uplift"]["lacks"] == [
        "200 more buyers written to after the draw", "199 more buyers held out by lot", "30 days after the draw, which is 2026-07-20",
    ]  # fmt: skip
    assert said["uplift"]["earliest"] == "2026-07-20"
    assert said["cluster"]["lacks"] == ["60 more customers"] and "are needed" in said["next_category"]["lacks"][0]
    assert said["next_topic"]["lacks"] == ["clicks on two topics"]


def test_a_date_over_a_long_horizon_says_when_it_may_be_had(store: Store) -> None:
    config = shop_config().model_copy(update={"scores": shop_config().scores.model_copy(update={"horizon_days": 180})})
    moment = derive(store, config)
    found = {s["score"]: s for s in ready(store, config, moment)}["next_order"]
    assert found["needed"]["history_days"] == 270
    assert found["earliest"] == (DAY + timedelta(days=270 - found["history_days"])).isoformat()


def mailed() -> tuple[Store, Config, Any]:
    """120 people who were written to for a year, of whom each third answers now and then."""
    store, config = new_store(), shop_config()
    ids = [f"c{p}" for p in range(120)]
    store.insert("contacts", [contact("mailchimp", c, email=f"{c}@shop.example") for c in ids])
    store.insert("orders", [
        order("mailchimp", f"o{c}{n}", c, (DAY - timedelta(days=5 + 40 * n + p % 30)).isoformat(), "20.00")
        for p, c in enumerate(ids) for n in range(1 + p % 6)
    ])  # fmt: skip
    days = [DAY - timedelta(days=4 + 14 * n) for n in range(26)]
    store.insert("events", [
        event("mailchimp", c, kind, day.isoformat(), campaign_id=f"m{n}", record_id=f"{kind}{c}{n}")
        for n, day in enumerate(days) for p, c in enumerate(ids) for kind in ("sent", "click")
        if kind == "sent" or (p + n) % (13 if p % 3 else 3) == 0
    ])  # fmt: skip
    store.insert("cursors", [{"source": "mailchimp", "stream": s, "is_complete": True} for s in ("activity", "shop_orders")])
    return store, config, derive(store, config)


def test_of_mail_that_is_half_read_nothing_is_learned() -> None:
    store, config, moment = mailed()

    def made() -> tuple[ShopData, Any, tuple[dict[str, float], str]]:
        data = load(store, config, moment)
        mail = engagement.load(store, config, moment, data, set())
        return data, engagement.make(data, mail, 60), engagement.campaign(data, mail, "next")

    data, scored, (found, why) = made()
    assert scored.card["metrics"] and found and not why and data.signs is not None and "mail" in data.signs.groups
    store.sql("UPDATE cursors SET is_complete = FALSE WHERE stream = 'activity'")
    data, scored, (found, why) = made()
    assert (scored.card["status"], scored.card["metrics"]) == ("refused", {}), "and the rule is given instead"
    assert "The last pull of mailchimp mail did not reach its end" in scored.card["lines"][0]
    assert np.isfinite(scored.value).all() and not found and "did not reach its end" in why
    assert not data.refusal and data.signs is None, "orders were read to their end, and beside mail nothing was known"
    said = {s["score"]: s for s in ready(store, config, moment)}
    assert any("did not reach its end" in w for w in said["engagement"]["lacks"]) and "mail" not in str(said["churn"]["lacks"])
    store.sql("DELETE FROM events")
    assert not load(store, config, derive(store, config)).notes, "a shop that never heard of mail waits for none"
