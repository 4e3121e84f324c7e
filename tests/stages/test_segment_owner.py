"""What an owner may ask of segments beside rules: exports, history, sensitive products, units, places, rhythm."""

from __future__ import annotations

import csv
from datetime import date

import pytest

from connector import ask
from connector.clock import as_of
from connector.config import Branch, Identity, Privacy
from connector.exports import safe, segment_file
from connector.figures import Figures
from connector.progress import Silent
from connector.questions import Answer, block, rule
from connector.rules import RuleError, declared, parse
from connector.rules.vocabulary import VALUE_LIMIT
from connector.segment import check, evaluate, history, resolve
from connector.session import Session
from models.errors import UsageError
from tests.stages.hand_shop import contact, derive, event, line, new_store, order, person_of, row, shop_config


def small_shop():
    store = new_store()
    store.insert("contacts", [
        contact("shopify", "1", email="ann@x.de", first_name="=HYPERLINK(1)", city="Bonn", latitude=50.73, longitude=7.10),
        contact("shopify", "2", email="bob@x.de", first_name="Bob", city="Ulm", latitude=48.40, longitude=9.99),
        contact("shopify", "3", email="cid@x.de", first_name="Cid")])  # fmt: skip
    store.insert(
        "consents", [{"source": "shopify", "contact_id": "1", "channel": "email", "topic": "", "status": "subscribed"}]
    )
    store.insert("orders", [order("shopify", "a", "1", "2026-06-01", "40"), order("shopify", "b", "2", "2026-05-01", "40")])
    return store


def test_an_export_carries_consent_and_nothing_a_spreadsheet_would_run(tmp_path):
    store, config = small_shop(), shop_config({"name": "Buyers", "where": "orders_total > 0"})
    evaluate(store, config, resolve(config), derive(store, config), "r1")

    count = segment_file(store, config, "Buyers", tmp_path / "out.csv", ("city",))

    rows = sorted(csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8-sig")), key=lambda r: r["email"])
    assert count == 2 and (tmp_path / "out.csv").stat().st_mode & 0o077 == 0
    assert [(r["first_name"], r["may_be_mailed"], r["city"]) for r in rows] == [
        ("'=HYPERLINK(1)", "yes", "Bonn"),
        ("Bob", "no", "Ulm"),
    ]
    assert segment_file(store, config, "Buyers", tmp_path / "out.parquet") == 2
    with pytest.raises(UsageError, match="Did you mean 'city'"):
        segment_file(store, config, "Buyers", tmp_path / "out.csv", ("citty",))
    assert [safe(v) for v in ("-1", -1, "@x", None, ["a", "=b"], True)] == ["'-1", "-1", "'@x", "", "a; =b", "yes"]


def test_an_address_that_said_no_is_exported_so_whoever_holds_it(tmp_path):
    store, config = small_shop(), shop_config({"name": "Buyers", "where": "orders_total > 0"})
    store.insert("contacts", [contact("mailchimp", "9", email="ann@x.de", first_name="Not Ann")])
    store.insert(
        "consents", [{"source": "mailchimp", "contact_id": "9", "channel": "email", "topic": "", "status": "unsubscribed"}]
    )
    apart = config.identity.model_copy(update={"keep_apart": (("shopify:1", "mailchimp:9"),)})
    config = config.model_copy(update={"identity": apart})
    evaluate(store, config, resolve(config), derive(store, config), "r1")

    assert segment_file(store, config, "Buyers", tmp_path / "out.csv") == 2
    rows = {r["email"]: r for r in csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8-sig"))}
    assert (rows["ann@x.de"]["may_be_mailed"], rows["ann@x.de"]["consent_email"]) == ("no", "unsubscribed")


def test_sensitive_products_reach_neither_taste_nor_tags():
    store = small_shop()
    store.insert(
        "order_lines", [line("shopify", "a", "Pregnancy test", "Health", "30"), line("shopify", "a", "Tea", "Tea", "10")]
    )
    config = shop_config({"name": "Health", "where": "bought(product => "
        "'%pregnancy%')"}, {"name": "Tea", "where": "bought(category => 'Tea')"},
                         {"name": "Round about", "where": "segment('Health')"})  # fmt: skip
    config = config.model_copy(update={"privacy": Privacy(sensitive_products=("pregnancy",))})

    counts = {c.segment: c for c in evaluate(store, config, resolve(config), derive(store, config), "r1")}
    found = row(store, "shopify", "1")

    assert (found["top_category"], found["bought_categories"]) == ("Tea", ["Tea"])
    assert [counts[n].is_ready for n in ("Health", "Tea", "Round about")] == [False, True, False]
    assert "sensitive_products" in counts["Health"].not_ready


def test_the_nearest_branch_and_how_far_it_is():
    store = small_shop()
    branches = (Branch(name="Köln", latitude=50.94, longitude=6.96), Branch(name="Stuttgart", latitude=48.78, longitude=9.18))
    config = shop_config().model_copy(update={"branch": branches})

    derive(store, config)

    assert [(row(store, "shopify", i)["nearest_branch"], row(store, "shopify", i)["branch_km"]) for i in "123"] == [
        ("Köln", 25.3), ("Stuttgart", 73.0), (None, None)]  # fmt: skip


def test_rhythm_season_and_growing_taste():
    store = new_store()
    store.insert("contacts", [contact("shopify", "1", email="a@x.de", created_at="2023-01-01 00:00:00")])
    days = ("2024-12-10", "2025-03-10", "2025-07-10", "2025-12-05", "2026-05-01", "2026-06-01")
    store.insert("orders", [order("shopify", str(i), "1", d, "20") for i, d in enumerate(days)])
    store.insert("order_lines", [line("shopify", str(i), "x", "Tea" if i >= 4 else "Coffee", "20") for i in range(6)])

    derive(store, shop_config())
    found = row(store, "shopify", "1")

    assert (found["season_month"], found["gaining_category"], found["longest_gap_days"]) == (12, "Tea", 148)
    assert found["usual_gap_days"] == pytest.approx(538 / 5) and found["lateness"] == pytest.approx(30 / (538 / 5))
    assert (found["lifecycle"], found["affinity_category"], found["products_count"]) == ("repeat", "Coffee", 1)


def test_mail_and_site_columns():
    store = new_store()
    store.insert(
        "contacts",
        [contact("shopify", "1", email="a@x.de"), contact("shopify", "2", email="b@x.de", lifecycle_stage="opportunity")],
    )
    store.insert("events", [
        event("shopify", "1", "sent", "2026-06-01"),
        event("shopify", "1", "click", "2026-06-01 13:00:00", url="https://x.de/blog/a"),
        event("shopify", "1", "sent", "2026-06-10"), event("shopify", "1", "sent", "2026-06-20"),
        event("shopify", "1", "open", "2026-06-21", is_machine=True),
        event("shopify", "1", "search", "2026-06-21", text="kenya"),
        event("shopify", "1", "page_view", "2026-06-22", category="Tea", value="40"),
        event("shopify", "1", "rating", "2026-06-22", value="3"),
        event("shopify", "1", "rating", "2026-06-23", value="5")])  # fmt: skip

    derive(store, shop_config())
    found = row(store, "shopify", "1")

    assert (found["emails_since_engagement"], found["clicked_topics"], found["viewed_categories"]) == (2, ["blog"], ["Tea"])
    assert (found["last_search"], found["last_rating"], found["avg_rating"], found["seconds_on_site"]) == (
        "kenya",
        5.0,
        4.0,
        40,
    )
    assert found["engagement_decayed"] == pytest.approx(2 * 0.5 ** (30 / 30), abs=0.001)
    assert found["engagement_score"] == 40 * 2 // 10 + 20 * 1 // 10
    assert row(store, "shopify", "2")["lifecycle"] == "sales_qualified"


def test_a_share_is_no_percentage_and_sitewide_sales_do_not_make_somebody_price_led():
    warned = parse("open_rate_90d > 50", declared()).warnings
    assert "write 0.5" in warned[0].message
    store = new_store()
    people = [contact("shopify", str(i), email=f"{i}@x.de") for i in range(8)]
    store.insert("contacts", people)
    store.insert("orders", [order("shopify", f"s{i}", str(i), "2026-05-01", "20", discount="5") for i in range(8)])
    store.insert(
        "orders",
        [order("shopify", "own", "0", "2026-05-03", "20", discount="5"), order("shopify", "full", "1", "2026-05-03", "20")],
    )

    derive(store, shop_config())

    assert [row(store, "shopify", i)["promotion_share"] for i in "012"] == [1.0, 0.0, None]
    assert row(store, "shopify", "1")["discounted_orders_share"] == 0.5


def test_what_was_said_later_is_not_seen_as_of_an_earlier_day():
    store = new_store()
    store.insert(
        "contacts", [contact("hubspot", "1", email="a@x.de", lifecycle_stage="customer", created_at="2025-01-01 00:00:00")]
    )
    said = {"source": "hubspot", "contact_id": "1", "channel": "email", "topic": ""}
    store.insert("consents", [said | {"status": "unsubscribed", "changed_at": "2026-06-01 00:00:00"}])
    store.insert(
        "consent_history",
        [said | {"status": "subscribed", "changed_at": "2026-01-01 00:00:00", "seen_at": "2026-01-02 00:00:00"}],
    )
    Figures(store, "hubspot", "contacts", ["lifecyclestage"], "2026-01-01").add(["1"], ["1"], [b'["lead"]'])

    derive(store, shop_config(), date(2026, 5, 1))
    early = row(store, "hubspot", "1")
    derive(store, shop_config(), date(2026, 7, 1))

    assert (early["consent_email"], early["lifecycle_stage"]) == ("subscribed", "lead")
    assert row(store, "hubspot", "1")["consent_email"] == "unsubscribed"


def test_masks_and_stays_agree_when_somebody_is_erased_between_two_runs():
    store, config = small_shop(), shop_config({"name": "Buyers", "where": "orders_total > 0"}, {"name": "All", "where": "true"})
    evaluate(store, config, resolve(config), derive(store, config), "r1")
    store.sql("DELETE FROM memberships WHERE person_id = (SELECT person_id FROM person_links WHERE contact_id = '2')")

    again = evaluate(store, config, resolve(config)[::-1], derive(store, config, date(2026, 7, 2)), "r2")
    third = evaluate(store, config, resolve(config), derive(store, config, date(2026, 7, 3)), "r3")

    assert [(c.segment, c.before, c.entered, c.left, c.after) for c in again] == [("All", 2, 1, 0, 3), ("Buyers", 1, 1, 0, 2)]
    assert [(c.before, c.entered, c.left, c.after) for c in third] == [(2, 0, 0, 2), (3, 0, 0, 3)]
    assert len(history(store, "Buyers")) == 2


def test_answers_become_a_rule_and_a_block():
    words = declared()
    asked = [
        Answer("orders_total", "is at least", "3"),
        Answer("city", "is", "Ulm's"),
        Answer("tags", "includes", "vip"),
        Answer("is_subscribed", "is not"),
    ]

    where = rule(asked, words)

    assert where == "orders_total >= 3 and city = 'Ulm''s' and 'vip' in tags and not is_subscribed"
    assert check(where) and 'where = "orders_total' in block("Mine", where=where)
    with pytest.raises(UsageError, match="orders_total"):
        rule([Answer("orders_totl", "is", "1")], words)


def test_everyone_else_may_stand_only_once():
    config = shop_config({"name": "A", "where": "everyone_else()"}, {"name": "B", "where": "everyone_else()"})
    store = small_shop()

    with pytest.raises(RuleError, match="circle"):
        evaluate(store, config, resolve(config), derive(store, config), "r1")


def test_a_value_nobody_has_is_warned_of_however_many_products_there_are():
    store = new_store()
    store.insert("contacts", [contact("shopify", "1", email="a@x.de", city="Bonn")])
    store.insert("orders", [order("shopify", "o", "1", "2026-01-01", "10")])
    store.insert("order_lines", [line("shopify", "o", f"Tea {n:04d}", "Tea", "1") for n in range(VALUE_LIMIT // 2 + 100)])
    config = shop_config()
    derive(store, config)

    def warned(rule):
        return [w.message for w in check(rule, store, config).warnings]

    assert warned("bought(product => 'tea 0007') and bought(product => 'Tea 0008') and city = 'Bonn'") == []
    (told,) = warned("bought(product => 'Tee 0007')")
    assert "never 'Tee 0007' in the data. Did you mean 'Tea 0007'?" in told
    assert warned("bought(product => 'Cocoa powder')") == ["product of bought is never 'Cocoa powder' in the data."]


def test_why_tells_the_records_of_a_person_as_keep_apart_names_them_and_no_address():
    store = new_store()
    store.insert("contacts", [contact("shopify", "1", email="ann@x.de"), contact("mailchimp", "m1", email="ann@x.de")])
    store.insert("orders", [order("shopify", "g", None, "2026-01-02", "10", email="ann@x.de")])
    s = Session(shop_config(), store, "r1", as_of(None, "UTC"), Silent())

    records = ask.why(s, "ann@x.de", None)["records"]

    assert records == [{"record": "", "evidence": "same e-mail"}, {"record": "mailchimp:m1", "evidence": "same e-mail"},
                       {"record": "shopify:1", "evidence": "same e-mail"}]  # fmt: skip
    s.config = shop_config().model_copy(update={"identity": Identity(keep_apart=(("shopify:1", "mailchimp:m1"),))})
    apart = {r["record"] for r in ask.why(s, "ann@x.de", None)["records"]}
    assert len(apart & {"shopify:1", "mailchimp:m1"}) == 1


def test_a_row_of_a_file_that_goes_by_its_address_is_shown_with_that_masked():
    store = new_store()
    store.insert("contacts", [contact("shopify", "1", email="ann@x.de"), contact("import", "ann@x.de", email="ann@x.de")])
    aside = {"source": "import", "stream": "contacts", "record_id": "bob@x.de", "reason": "no date"}
    store.insert("set_aside", [{**aside, "first_run": "r0", "last_run": "r0"}])
    store.insert("runs", [{"run_id": "r0", "command": "import", "summary": "{}"}])
    s = Session(shop_config(), store, "r1", as_of(None, "UTC"), Silent())

    records = {r["record"] for r in ask.why(s, "ann@x.de", None)["records"]}

    assert records == {"import:a***@x***.de", "shopify:1"}
    assert [row["record_id"] for row in ask.one_run(store, "r0")["set_aside"]] == ["b***@x***.de"]


@pytest.mark.parametrize("address", ["gift@x.de", " Gift@X.de"])
def test_somebody_is_found_by_an_address_that_stands_on_an_order_alone(address):
    store = new_store()
    store.insert("contacts", [contact("shopify", "1", email="ann@x.de"), contact("shopify", "2", email="bob@x.de")])
    store.insert("orders", [order("shopify", "o", "1", "2026-01-01", "10", email="gift@x.de"),
                            order("shopify", "p", "2", "2026-01-02", "10", email="ann@x.de"),
                            order("shopify", "g", None, "2026-01-02", "10", email="guest@x.de")])  # fmt: skip
    store.insert("events", [event("shopify", None, "login", "2026-01-02", email="visitor@x.de")])
    derive(store, shop_config())

    assert ask.person_of(store, address) == person_of(store, "shopify", "1")
    assert ask.person_of(store, "guest@x.de") == person_of(store, "email", "guest@x.de")
    assert ask.person_of(store, "visitor@x.de") == person_of(store, "email", "visitor@x.de")
    with pytest.raises(UsageError, match="Nobody"):
        ask.person_of(store, "stranger@x.de")
