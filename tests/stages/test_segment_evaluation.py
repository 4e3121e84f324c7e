from __future__ import annotations

from datetime import date

import pytest

from connector.clock import as_of
from connector.config import Privacy
from connector.evaluation import Evaluation
from connector.profile import build
from connector.rules import RuleError, say
from connector.segment import check, check_all, evaluate, history, masked, not_ready, overlap, preview, resolve
from models.segments import SegmentCount
from tests.stages.hand_shop import contact, derive, event, line, new_store, order, row, shop_config

PEOPLE = ("ann", "bob", "cid", "dee")


def coffee_shop():
    """ann: much and lately; bob: once, long ago; cid: clicks, never bought; dee: nothing known."""
    store = new_store()
    store.insert("contacts", [contact("shopify", p, email=f"{p}@x.de", country="DE" if p != "dee" else None) for p in PEOPLE])
    store.insert(
        "orders",
        [
            order("shopify", "1", "ann", "2026-06-01", "40"),
            order("shopify", "2", "ann", "2026-05-01", "60"),
            order("shopify", "3", "ann", "2025-01-01", "20"),
            order("shopify", "4", "bob", "2025-02-01", "25"),
        ],
    )
    store.insert(
        "order_lines",
        [
            line("shopify", "1", "Kenya AA", "Coffee", "40"), line("shopify", "2", "Kenya AA", "Coffee", "30"),
            line("shopify", "2", "Assam", "Tea", "30"), line("shopify", "4", "Assam", "Tea", "25"),
        ],
    )  # fmt: skip
    store.insert("campaigns", [{"source": "shopify", "campaign_id": "c1", "name": "Summer news"}])
    store.insert(
        "events",
        [
            event("shopify", "cid", "click", "2026-06-15", url="https://x.de/blog/1", campaign_id="c1"),
            event("shopify", "cid", "click", "2026-04-15", url="https://x.de/shop"),
            event("shopify", "ann", "open", "2026-06-15", campaign_id="c1", is_machine=True),
        ],
    )
    return store


def members(store, config, moment, where):
    rules = check_all(store, config, [*resolve(config), *resolve(shop_config({"name": "asked", "where": where}))])
    evaluation = Evaluation(config, moment, rules)
    condition = evaluation.compiler().condition(rules["asked"].tree)
    hit = store.sql(f"SELECT person_id FROM ({evaluation.select([f'{condition} AS hit'])}) WHERE hit")
    names = dict(store.sql("SELECT person_id, contact_id FROM person_links"))
    return {names[p] for (p,) in hit}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("orders_total >= 1", "ann bob"),
        ("aov > 30", "ann"),
        ("not (aov > 30)", "bob cid dee"),
        ("aov <= 30", "bob"),
        ("aov is null", "cid dee"),
        ("country <> 'FR'", "ann bob cid dee"),
        ("country not in ('DE')", "dee"),
        ("country not like 'D%'", "dee"),
        ("not (country = 'DE' and aov > 30)", "bob cid dee"),
        ("not not (aov > 30)", "ann"),
        ("revenue_total / orders_total > 30", "ann"),
        ("revenue_total / (orders_total - orders_total) > 0", ""),
        ("case when aov > 30 then 'a' else 'b' end = 'b'", "bob cid dee"),
        ("case when aov > 30 then 'a' end <> 'a'", "bob cid dee"),
        ("current_date - last_order_on <= 30", "ann"),
        ("last_order_on >= current_date - interval 1 month", "ann"),
        ("year(last_order_on) = 2025", "bob"),
        ("last_order_on + 30 > current_date", ""),
        ("last_order_on + 31 > current_date", "ann"),
        ("last_order_on + orders_total * 999999999 > current_date", ""),
        ("bought(category => 'coffee')", "ann"),
        ("bought(category => 'Tea', days => 90)", "ann"),
        ("bought(category => 'Tea') >= 1", "ann bob"),
        ("bought(product => 'Kenya%') >= 2", "ann"),
        ("not bought()", "cid dee"),
        ("bought(days => 30)", "ann"),
        ("bought(days => 29)", ""),
        ("spent(category => 'Tea') > 25", "ann"),
        ("spent(days => 100) = 100", "ann"),
        ("ordered(min_total => 40) >= 2", "ann"),
        ("ordered(min_total => 40, max_total => 50) = 1", "ann"),
        ("clicked(url => '%blog%')", "cid"),
        ("clicked(days => 90) >= 2", "cid"),
        ("clicked(days => 30) >= 2", ""),
        ("clicked(campaign => 'summer news')", "cid"),
        ("opened()", ""),
        ("'shopify' in platforms and contains(email_domain, 'x.')", "ann bob cid dee"),
        ("'Tea' in bought_categories and not 'Coffee' in bought_categories", "bob"),
        ("list_has_all(bought_categories, ['Tea', 'Coffee'])", "ann"),
        ("segment('Buyers') and not segment('Big')", "bob"),
        ("segment('Everyone')", "ann bob cid dee"),
        ("false", ""),
    ],
)
def test_rules_find_the_right_people(where: str, expected: str):
    store = coffee_shop()
    config = shop_config(
        {"name": "Buyers", "where": "orders_total > 0"},
        {"name": "Big", "where": "segment('Buyers') and aov > 30"},
        {"name": "Everyone", "where": "true"},
    )
    moment = derive(store, config)

    assert members(store, config, moment, where) == set(expected.split())


def test_counts_add_up_and_stays_are_kept_as_intervals():
    store = coffee_shop()
    config = shop_config({"name": "Quiet", "where": "days_since_order > 90"}, {"name": "Buyers", "where": "orders_total > 0"})
    segments = resolve(config)

    first = evaluate(store, config, segments, derive(store, config, date(2026, 7, 1)), "r1")
    again = evaluate(store, config, segments, derive(store, config, date(2026, 7, 1)), "r2")
    later = evaluate(store, config, segments, derive(store, config, date(2026, 12, 1)), "r3")
    store.insert("orders", [order("shopify", "9", "bob", "2026-12-02", "10")])
    last = evaluate(store, config, segments, derive(store, config, date(2026, 12, 5)), "r4")

    assert first == [SegmentCount("Quiet", 0, 1, 0, 1), SegmentCount("Buyers", 0, 2, 0, 2)]
    assert again == [SegmentCount("Quiet", 1, 0, 0, 1), SegmentCount("Buyers", 2, 0, 0, 2)]
    assert later[0] == SegmentCount("Quiet", 1, 1, 0, 2)
    assert last[0] == SegmentCount("Quiet", 2, 0, 1, 1)
    stays = {(m.entered_on, m.left_on) for m in history(store, "quiet")}
    assert stays == {(date(2026, 7, 1), date(2026, 12, 5)), (date(2026, 12, 1), None)}
    assert store.value("SELECT count(*) FROM segment_counts") == 8
    assert overlap(store) == [("Buyers", "Quiet", 1)]


def test_looking_back_changes_no_history():
    store = coffee_shop()
    config = shop_config({"name": "Buyers", "where": "orders_total > 0"})
    evaluate(store, config, resolve(config), derive(store, config, date(2026, 7, 1)), "r1")

    past = evaluate(store, config, resolve(config), derive(store, config, date(2025, 1, 15)), "r2")

    assert past == [SegmentCount("Buyers", 0, 1, 0, 1)]
    assert [m.left_on for m in history(store, "Buyers")] == [None, None]


def test_a_segment_taken_out_of_the_configuration_ends():
    store = coffee_shop()
    config = shop_config({"name": "Buyers", "where": "orders_total > 0"})
    moment = derive(store, config)
    evaluate(store, config, resolve(config), moment, "r1")

    evaluate(store, shop_config(), [], moment, "r2")

    assert store.value("SELECT count(*) FROM memberships WHERE left_on IS NULL") == 0
    assert store.value("SELECT count(*) FROM members") == 0


def test_more_segments_than_fit_one_mask():
    store = coffee_shop()
    config = shop_config(*({"name": f"s{i}", "where": f"orders_total >= {i % 5}"} for i in range(150)))

    counts = evaluate(store, config, resolve(config), derive(store, config), "r1")

    assert [c.after for c in counts] == [(4, 2, 1, 1, 0)[i % 5] for i in range(150)]


def test_circles_are_refused_by_name():
    config = shop_config({"name": "A", "where": "segment('B')"}, {"name": "B", "where": "orders_total > 1 or segment('A')"})

    with pytest.raises(RuleError, match="A -> B -> A"):
        check_all(None, config, resolve(config))


def test_an_error_names_the_segment():
    config = shop_config({"name": "Mine", "where": "orders_totl > 1"})

    with pytest.raises(RuleError, match=r"Segment 'Mine': There is no field 'orders_totl'\. Did you mean 'orders_total'"):
        check_all(None, config, resolve(config))


def test_values_come_from_the_data():
    store = coffee_shop()
    config = shop_config()
    derive(store, config)

    assert [w.message for w in check("country = 'DR'", store, config).warnings] == [
        "'country' is never 'DR' in the data. Did you mean 'DE'?"
    ]
    assert "'Tea'" in check("bought(category => 'Tee')", store, config).warnings[0].message
    assert not check("bought(product => 'Assam')", store, config).warnings


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("orders_total > 1", ""),
        ("has_cart_abandoned_7d", "needs carts"),
        ("orders_total > 1 and has_cart_abandoned_7d", "needs carts"),
        ("orders_total > 1 or has_cart_abandoned_7d", ""),
        ("not (orders_total > 1 or has_cart_abandoned_7d)", "needs carts"),
        ("not (orders_total > 1 and has_cart_abandoned_7d)", ""),
        ("segment('Carts')", "needs carts"),
        ("churn_tier = 'high'", "needs scores"),
        ("rated(min => 4)", "needs ratings, and there are none yet"),
        ("not rated(min => 4) and orders_total > 1", "needs ratings"),
        ("avg_rating < 3 or (ratings_total = 0 and orders_total >= 1)", "needs ratings"),
        ("not last(event => 'viewed') <= 30", "needs page views"),
        ("days_since_visit > 30", "needs logins or page views"),
        ("'Tea' in viewed_categories", "needs page views"),
        ("opens_human_total = 0 and clicks_total = 0", ""),
        ("engagement_score > 10", ""),
        ("orders_total >= 2 and discounted_orders = 0", "needs the discounts of orders"),
        ("not promotion_share >= 0.5", "needs the discounts of orders"),
        ("not landing_page like '%sale%'", "nobody's landing_page is known yet"),
    ],
)
def test_a_segment_without_its_data_is_not_ready(where: str, reason: str):
    store = coffee_shop()
    config = shop_config({"name": "Carts", "where": "has_cart_abandoned_7d"}, {"name": "asked", "where": where})
    moment = derive(store, config)
    evaluation = Evaluation(config, moment, check_all(store, config, resolve(config)))

    found = not_ready(store, evaluation, "asked")

    assert found.startswith(reason) and bool(found) == bool(reason)


def test_a_segment_that_looks_back_further_than_the_orders_go_is_not_ready():
    store = coffee_shop()
    config = shop_config(
        {"name": "Month", "where": "orders_30d > 0"},
        {"name": "Year", "where": "orders_365d > 0"},
        {"name": "Ever", "where": "orders_total > 0"},
    )
    moment = derive(store, config)
    store.insert("cursors", [{"source": "shopify", "stream": "orders", "complete_from": "2026-05-02"}])

    counts = {c.segment: c for c in evaluate(store, config, resolve(config), moment, "r1")}

    assert [counts[n].is_ready for n in ("Month", "Year", "Ever")] == [True, False, False]
    assert (
        counts["Year"].not_ready
        == "looks at orders of the last 365 days, but those of shopify are complete only from 2026-05-02 on"
    )


def test_a_segment_that_names_a_score_needs_that_score_and_no_other():
    store = coffee_shop()
    rules = ("not churn_tier = 'high'", "churn_confidence = 'high'", "purchase_tier = 'high'")
    config = shop_config(*({"name": r, "where": r} for r in rules))
    derive(store, config)
    (person,) = store.sql("SELECT min(person_id) FROM people")[0]
    made = {"person_id": person, "value": 0.5, "tier": "high", "cutoff": "2026-06-30"}
    store.insert("scores", [{**made, "score": "purchase_30d", "is_published": True},
                            {**made, "score": "churn", "is_published": False}])  # fmt: skip

    counts = {c.segment: c.not_ready for c in evaluate(store, config, resolve(config), derive(store, config), "r1")}

    assert [counts[r] for r in rules] == [
        "needs the score churn, and none is published (`rollcall score card` says why)"
    ] * 2 + [""]


def test_a_segment_that_looks_back_further_than_the_mails_go_is_not_ready_and_ever_means_as_far_as_is_known():
    store = coffee_shop()
    rules = ("not clicked(days => 90)", "clicks_365d = 0", "clicked(days => 30)", "clicks_total = 0", "orders_90d > 0")
    config = shop_config(*({"name": r, "where": r} for r in rules))
    moment = derive(store, config)
    store.insert("cursors", [{"source": "shopify", "stream": "activity", "complete_from": "2026-05-02"},
                             {"source": "hubspot", "stream": "email_events", "complete_from": "2026-06-30"}])  # fmt: skip

    counts = {c.segment: c.not_ready for c in evaluate(store, config, resolve(config), moment, "r1")}

    late = "looks at mails of the last {} days, but those of shopify are complete only from 2026-05-02 on"
    assert [counts[r] for r in rules] == [late.format(90), late.format(365), "", "", ""]


def test_a_preview_shows_who_would_come_and_go_and_masks_addresses():
    store = coffee_shop()
    config = shop_config({"name": "Buyers", "where": "orders_total > 0"})
    moment = derive(store, config)
    evaluate(store, config, resolve(config), moment, "r1")

    shown = preview(store, config, moment, "clicked() or aov > 30", "Buyers")

    assert (shown.size, shown.people, shown.entered, shown.left) == (2, 4, 1, 1)
    assert set(shown.sample) == {"a***@x***.de", "c***@x***.de"}
    assert (shown.entering, shown.leaving) == (("c***@x***.de",), ("b***@x***.de",))
    assert preview(store, config, moment, "clicked()", "Buyers", addresses=True).entering == ("cid@x.de",)
    assert masked("ann@mail.example.com") == "a***@m***.com"
    assert store.value("SELECT count(*) FROM memberships") == 2


def test_the_profile_of_another_day_moves_measures_too():
    store = coffee_shop()
    config = shop_config()
    derive(store, config)
    moment = as_of(date(2026, 5, 15), config.shop.timezone)
    build(store, config, moment)

    assert members(store, config, moment, "bought(category => 'Coffee', days => 30) = 1") == {"ann"}
    assert members(store, config, moment, "clicked(url => '%blog%')") == set()


def test_a_product_goes_by_its_name_in_the_catalogue_and_by_its_number_too():
    store = coffee_shop()
    store.insert("products", [{"source": "shopify", "product_id": "p1", "title": "Yirga", "category": "Coffee"}])
    store.insert("orders", [order("shopify", str(n), "cid", f"2026-06-0{n}", "20") for n in (7, 8)])
    store.insert(
        "order_lines",
        [
            line("shopify", "7", "Yirga - 250g", None, "20", product_id="p1", sku="Y250"),
            line("shopify", "8", "Yirga - 500g", None, "20", product_id="p1", sku="Y500"),
        ],
    )
    config = shop_config()
    moment = derive(store, config)

    for name, times in (("Yirga", 2), ("y250", 1), ("Yirga - 500g", 1), ("p1", 2), ("Y750", 0)):
        found = members(store, config, moment, f"bought(product => '{name}') = {times} and bought()")
        assert ("cid" in found) and (found == {"cid"} or not times), name
    assert members(store, config, moment, "bought(category => 'Coffee') = 2") == {"ann", "cid"}


def test_what_somebody_looked_at_or_rated_goes_by_the_catalogue_where_the_event_names_the_product_alone():
    store = coffee_shop()
    store.insert(
        "products",
        [
            {"source": "shopify", "product_id": "p1", "title": "Yirga", "category": "Coffee"},
            {"source": "mailchimp", "product_id": "p1", "title": "Mug", "category": "Ware"},
            {"source": "shopify", "product_id": "p2", "title": "Sleep well", "category": "Night"},
        ],
    )
    store.insert(
        "events",
        [
            event("shopify", "bob", "product_view", "2026-06-01", product_id="p1"),
            event("shopify", "cid", "rating", "2026-06-01", product_id="p1", value="2"),
            event("shopify", "dee", "product_view", "2026-06-01", product_id="p1", category="New"),
            event("shopify", "ann", "product_view", "2026-06-02", product_id="p2"),
        ],
    )
    config = shop_config().model_copy(update={"privacy": Privacy(sensitive_products=("sleep",))})
    moment = derive(store, config)

    assert members(store, config, moment, "viewed(category => 'Coffee')") == {"bob"}
    assert members(store, config, moment, "viewed(product => 'Yirga')") == {"bob", "dee"}
    assert members(store, config, moment, "viewed(product => 'p1')") == {"bob", "dee"}
    assert members(store, config, moment, "viewed(product => 'Mug') or viewed(category => 'Ware')") == set()
    assert members(store, config, moment, "rated(category => 'Coffee', max => 2)") == {"cid"}
    assert row(store, "shopify", "bob")["viewed_categories"] == ["Coffee"]
    assert row(store, "shopify", "ann")["viewed_categories"] is None, "of a sensitive product nothing is told"


def test_the_topic_of_a_ticket_is_its_category_or_where_it_has_none_its_text():
    store = coffee_shop()
    store.insert(
        "events",
        [
            event("shopify", "ann", "ticket", "2026-06-01", text="Delivery"),
            event("shopify", "bob", "ticket", "2026-06-01", category="Delivery", text="Where is it?"),
            event("shopify", "cid", "ticket", "2026-06-01", category="Invoice", text="Delivery"),
        ],
    )
    config = shop_config()
    moment = derive(store, config)

    assert members(store, config, moment, "asked(topic => 'delivery')") == {"ann", "bob"}
    assert members(store, config, moment, "last_ticket_topic = 'Delivery'") == {"ann", "bob"}
    assert members(store, config, moment, "last(event => 'asked', topic => 'Deliv%') = 30") == {"ann", "bob"}
    assert not check("asked(topic => 'Delivery')", store, config).warnings


def test_a_cart_in_another_currency_has_no_size_in_the_shops():
    store = coffee_shop()
    cart = {"source": "shopify", "started_at": "2026-06-28 10:00:00"}
    store.insert(
        "carts",
        [
            cart | {"cart_id": "1", "contact_id": "ann", "total": "5000", "currency": "JPY"},
            cart | {"cart_id": "2", "contact_id": "bob", "total": "120", "currency": "EUR"},
        ],
    )
    config = shop_config()
    moment = derive(store, config)

    assert members(store, config, moment, "abandoned()") == {"ann", "bob"}
    assert members(store, config, moment, "abandoned(min_total => 100)") == {"bob"}
    assert members(store, config, moment, "abandoned(max_total => 9000)") == {"bob"}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("vip", "ann"),
        ("not vip", "bob cid dee"),
        ("vip = true", "ann"),
        ("vip <> true", "bob cid dee"),
        ("vip = false", "bob"),
        ("not vip = false", "ann cid dee"),
        ("vip is false", "bob"),
        ("vip is not false", "ann cid dee"),
        ("vip is true", "ann"),
        ("vip is not true", "bob cid dee"),
        ("vip is null", "cid dee"),
        ("coalesce(vip, true)", "ann cid dee"),
        ("coalesce(vip, vip) is false", "bob"),
        ("not coalesce(vip, vip) = false", "ann cid dee"),
        ("case when aov is null then vip else vip end = false", "bob"),
        ("(city like 'B%') is null", ""),
        ("(aov > 30) = false", "bob cid dee"),
        ("is_subscribed = false", "ann bob cid dee"),
        ("length(tags) = 0", "bob cid dee"),
        ("length(tags) > 0", "ann"),
    ],
)
def test_a_yes_or_no_that_is_not_known_is_neither_and_a_list_nobody_has_is_empty(where: str, expected: str):
    store = coffee_shop()
    for name, said in (("ann", "true"), ("bob", "false")):
        store.sql(
            "UPDATE contacts SET attributes = ?, tags = ? WHERE contact_id = ?",
            [f'{{"vip": "{said}"}}', '["x"]' if name == "ann" else None, name],
        )
    config = shop_config()
    moment = derive(store, config)

    assert members(store, config, moment, where) == set(expected.split())


def test_a_rule_about_a_no_is_said_as_one():
    store = coffee_shop()
    store.sql("""UPDATE contacts SET attributes = '{"vip": "true"}' WHERE contact_id = 'ann'""")
    config = shop_config()
    derive(store, config)

    said = {w: say(check(w, store, config), "EUR") for w in ("vip = false", "vip is false", "not vip = false", "not vip")}

    assert said == {
        "vip = false": "Everybody for whom vip is false.",
        "vip is false": "Everybody for whom vip is false.",
        "not vip = false": "Everybody for whom vip is not false (or is not known).",
        "not vip": "Everybody for whom vip is not true.",
    }
