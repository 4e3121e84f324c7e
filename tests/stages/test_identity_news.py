"""After news about a few people, what is made of those few alone is what would have been made of everybody."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta

import pytest

from connector import compact, erase, traces
from connector.clock import as_of
from connector.columns import COLUMNS
from connector.identity import identify
from connector.news import since
from connector.profile import attribute_columns, build
from connector.profile_sql import ALWAYS_DATED, LINKED, is_dated
from connector.segment import evaluate, resolve
from tests.stages.hand_shop import contact, event, new_store, person_of, shop_config
from tests.stages.random_shop import event_of, fill, orders_of, rows_of

NOW = datetime(2026, 7, 1, 12)
PEOPLE = 60
CONFIG = shop_config(
    {"name": "a", "where": "bought(category => 'Tea', days => 365)"},
    {"name": "b", "where": "clicked(url => '%/tea/%') >= 1"},
    {"name": "c", "where": "received(campaign => 'k1') >= 1 or searched(term => 'words', days => 90)"},
    {"name": "d", "where": "last(event => 'viewed') <= 60 and not orders_90d > 1"},
    {"name": "e", "where": "viewed(product => 'New pot') or viewed(category => 'Tea', days => 90) or asked(topic => 'words')"},
)


def one_source(rows):
    """Orders of the shop alone: copies elsewhere are looked for across all people, always."""
    return rows | {"orders": [o for o in rows["orders"] if o["source"] == "shopify"]}


def shop(seed):
    store = new_store()
    fill(store, one_source(rows_of(PEOPLE, seed)))
    product = {"source": "shopify", "stream": "products", "category": "Tea"}
    store.insert("products", [product | {"product_id": p, "title": t} for p, t in (("thing 3", "Three"), ("pot", "New pot"))])
    derive(store, NOW)
    return store


def derive(store, now):
    moment = as_of(None, CONFIG.shop.timezone, now)
    identify(store, CONFIG)
    build(store, CONFIG, moment)
    evaluate(store, CONFIG, resolve(CONFIG), moment, "r")


def made(store):
    tables = ("people", "person_links", "purchases", "purchase_copies", "profile", "members")
    found = {t: sorted(repr(sorted(r.items())) for r in store.rows(f"SELECT * FROM {t}")) for t in tables}
    lines = """SELECT n, ordered_at, w.product, taste, sum(pieces), sum(amount), count(*) FILTER (is_new_product)
        FROM fact_lines f JOIN fact_products w ON w.code = f.product GROUP BY ALL"""
    return found | {"lines": sorted(map(repr, store.sql(lines)))}


def made_anew(store, now):
    store.sql("DELETE FROM meta WHERE name IN ('identity_state', 'fact_marks', 'profile_state')")
    derive(store, now)
    return made(store)


def was_followed(store):
    """The mark goes when the table is made for everybody."""
    return store.value("SELECT count(*) FROM fact_kinds WHERE kind = 'a mark'") == 1


def new_orders(store, chance):
    for number in range(500, 503):
        rows = one_source(orders_of(chance, number, PEOPLE))
        fill(store, rows)


def new_events(store, chance):
    just_now = {"occurred_at": "2026-07-01 12:00:30"}
    store.insert("events", [event_of(chance, number, PEOPLE) | just_now for number in range(900, 904)])


def events_with_new_words(store, chance):
    news = event_of(chance, 950, PEOPLE) | {"kind": "click", "url": "https://shop.example/autumn/1", "campaign_id": "k99"}
    views = [news | {"kind": "product_view", "product_id": p, "category": None, "source": "shopify", "contact_id": f"s{n}",
                     "record_id": f"e{951 + n}"} for n, p in enumerate(("pot", "thing 3", "pot", "unknown"))]  # fmt: skip
    store.insert("events", [news, *views])


def a_changed_order(store, chance):
    order_id = chance.choice(store.sql("SELECT order_id FROM orders"))[0]
    columns = "total = 99, net = 90, ordered_at = ordered_at - INTERVAL 9 DAY"
    store.sql("CREATE OR REPLACE TEMP TABLE again AS FROM orders WHERE order_id = ?", [order_id])
    store.sql("CREATE OR REPLACE TEMP TABLE lines AS FROM order_lines WHERE order_id = ?", [order_id])
    store.remove("shopify", "orders", [order_id])
    store.sql(f"UPDATE again SET {columns}")
    store.sql("INSERT INTO orders FROM again")
    store.sql("INSERT INTO order_lines FROM lines LIMIT 1")


def a_changed_address(store, chance):
    source, contact_id = chance.choice(store.sql("SELECT source, contact_id FROM contacts"))
    other = f"p{chance.randint(0, PEOPLE)}@mail{chance.randint(0, 2)}.example"
    store.sql("DELETE FROM contacts WHERE source = ? AND contact_id = ?", [source, contact_id])
    store.insert("contacts", [contact(source, contact_id, email=other, first_name="New", country="FR")])


def a_new_contact(store, chance):
    store.sql("DELETE FROM contacts WHERE contact_id = 'h900'")  # as whatever comes a second time is stored
    store.insert(
        "contacts", [contact("hubspot", "h900", email=f"p{chance.randint(0, 5)}@mail1.example", created_at="2026-06-30")]
    )


def a_deleted_contact(store, chance):
    source, contact_id = chance.choice(store.sql("SELECT source, contact_id FROM contacts"))
    store.sql("DELETE FROM contacts WHERE source = ? AND contact_id = ?", [source, contact_id])


def a_no_to_mail(store, chance):
    contact_id = chance.choice(store.sql("SELECT contact_id FROM consents WHERE status = 'subscribed'"))[0]
    store.sql("UPDATE consents SET status = 'unsubscribed' WHERE contact_id = ?", [contact_id])


FOLLOWED = (new_orders, new_events, events_with_new_words, a_changed_order, a_changed_address, a_new_contact, a_deleted_contact,
            a_no_to_mail)  # fmt: skip


def check_some_news(seed, kinds=()):
    chance = random.Random(seed)
    store, hours = shop(seed % 4), chance.choice((0, 1, 20, 40))
    kinds = kinds or chance.choices(FOLLOWED, k=chance.randint(1, 3))
    for hour, change in enumerate(kinds):
        change(store, chance)
        derive(store, NOW + timedelta(hours=hours, minutes=hour))

    once = made(store)
    assert once == made_anew(store, NOW + timedelta(hours=hours, minutes=len(kinds) - 1)), [k.__name__ for k in kinds]
    store.close()


@pytest.mark.parametrize("pair", range(4))
def test_news_about_a_few_gives_what_making_everything_anew_gives(pair):
    check_some_news(pair, FOLLOWED[2 * pair : 2 * pair + 2])


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(56))
def test_any_news_about_a_few_gives_what_making_everything_anew_gives(seed):
    check_some_news(seed)


@pytest.mark.parametrize(
    "change", [pytest.param(c, marks=() if c in (new_orders, a_no_to_mail) else pytest.mark.nightly) for c in FOLLOWED]
)
def test_only_the_people_with_news_are_looked_at_again(change):
    store = shop(1)
    store.sql("INSERT INTO fact_kinds VALUES ('a mark')")
    others = "SELECT count(*) FROM profile_rows WHERE records = 77"
    store.sql("UPDATE profile_rows SET records = 77")
    change(store, random.Random(5))
    derive(store, NOW + timedelta(minutes=1))

    assert was_followed(store)
    assert store.value(others) > PEOPLE / 2
    assert store.value("SELECT count(*) FROM profile_rows WHERE records <> 77") > 0


def test_what_cannot_be_followed_is_made_anew():
    def orders_of_another_source(store):
        store.sql("INSERT INTO orders BY NAME SELECT * REPLACE ('mailchimp' AS source) FROM orders LIMIT 1")

    def an_order_deleted_for_good(store):
        store.sql("DELETE FROM orders WHERE order_id = 'o7'")

    def an_event_deleted(store):
        store.sql("DELETE FROM events WHERE record_id = 'e7'")

    def a_new_category(store):
        store.sql("INSERT INTO order_lines BY NAME SELECT * REPLACE ('Spoons' AS category) FROM order_lines LIMIT 1")

    def a_new_vendor(store):
        store.sql("INSERT INTO order_lines BY NAME SELECT * REPLACE ('Spoon & Co' AS vendor) FROM order_lines LIMIT 1")

    def another_product_category(store):
        store.insert("products", [{"source": "shopify", "stream": "products", "record_id": "1", "product_id": "thing 1"}])

    store = new_store()
    fill(store, one_source(rows_of(PEOPLE, 2)))
    identify(store, CONFIG)
    for change in (
        orders_of_another_source, an_order_deleted_for_good, an_event_deleted, a_new_category, a_new_vendor,
        another_product_category,
    ):  # fmt: skip
        store.sql("INSERT INTO fact_kinds VALUES ('a mark')")
        change(store)
        identify(store, CONFIG)
        assert not was_followed(store), change.__name__
        store.sql("DELETE FROM orders WHERE source = 'mailchimp'")
        identify(store, CONFIG)


def test_a_look_into_the_past_is_nothing_to_go_on_from():
    store = shop(3)
    source, contact_id = store.sql("SELECT source, contact_id FROM consents WHERE status = 'subscribed'")[0]
    store.sql(
        "UPDATE consents SET status = 'unsubscribed', changed_at = '2026-06-30 10:00:00' WHERE contact_id = ?", [contact_id]
    )
    before = {"source": source, "contact_id": contact_id, "channel": "email", "topic": "", "status": "subscribed"}
    store.insert("consent_history", [before | {"seen_at": "2026-01-01 00:00:00"}])
    derive(store, NOW)
    now = made(store)["profile"]

    build(store, CONFIG, as_of(date(2026, 6, 30), CONFIG.shop.timezone))
    assert made(store)["profile"] != now
    build(store, CONFIG, as_of(None, CONFIG.shop.timezone, NOW))
    assert made(store)["profile"] == now


def renew(store, now):
    identify(store, CONFIG)
    build(store, CONFIG, as_of(None, CONFIG.shop.timezone, now))


def people_of(store):
    return {repr(row) for row in store.sql("SELECT * FROM profile")}


def small_shop():
    store = new_store()
    store.insert("contacts", [contact("shopify", f"s{n}", email=f"s{n}@x.example", created_at="2026-01-01") for n in range(20)])
    links = {f"e{n}": f"https://shop.example/tea?for=s{n}@x.example" for n in (1, 2)}
    clicks = [event("shopify", "s9", "click", "2026-06-01", record_id=n, url=url) for n, url in links.items()]
    store.insert("events", [*clicks, event("shopify", "s8", "login", "2026-06-01", record_id="e0", url=None)])
    renew(store, NOW)
    return store


def test_two_links_that_are_one_after_forgetting_are_not_counted_twice():
    store = small_shop()
    for n in (1, 2):
        found = traces.find(store, f"s{n}@x.example", [person_of(store, "shopify", f"s{n}")])
        erase.erase(store, found)
        identify(store, CONFIG)
    renew(store, NOW)
    store.insert("events", [event("shopify", "s9", "login", "2026-06-30", record_id="e3")])
    renew(store, NOW + timedelta(minutes=1))

    clicks = store.sql("SELECT clicks_total FROM profile WHERE person_id = ?", [person_of(store, "shopify", "s9")])
    assert clicks == [(2,)]


@pytest.mark.parametrize("notes", ['{"facts": "", "shape": "", "day": "2026-07-01"}', None])
def test_what_an_earlier_program_noted_and_left_out_is_made_anew(notes):
    store = small_shop()
    once = people_of(store)
    store.sql("UPDATE meta SET value = coalesce(?, value) WHERE name = 'profile_state'", [notes])
    store.sql("UPDATE profile_rows SET records = 77")
    store.sql("DROP TABLE fact_interests")
    if notes is None:
        store.sql("DROP TABLE profile_seen")
    renew(store, NOW + timedelta(minutes=1))
    store.insert("events", [event("shopify", "s3", "login", "2026-06-30", record_id="e3")])
    renew(store, NOW + timedelta(minutes=2))

    assert store.value("SELECT count(*) FROM profile_rows WHERE records = 77") == 0
    assert len(once - people_of(store)) == 1


def test_facts_of_another_version_are_not_followed():
    store = small_shop()
    store.sql("UPDATE meta SET value = regexp_replace(value, '\"fixed\":\"[0-9]+', '\"fixed\":\"0') WHERE name = 'fact_marks'")
    store.sql("DELETE FROM meta WHERE name = 'identity_state'")
    store.sql("INSERT INTO fact_kinds VALUES ('a mark')")
    renew(store, NOW + timedelta(minutes=1))

    assert not was_followed(store)


def test_facts_made_anew_of_the_same_records_leave_no_row_of_the_profile_behind():
    store = small_shop()
    store.sql("UPDATE person_numbers SET n = 20 - n")
    store.sql("DELETE FROM meta WHERE name IN ('identity_state', 'fact_marks')")
    renew(store, NOW + timedelta(minutes=1))

    whose = "SELECT count(*) FROM profile_rows AS r JOIN person_numbers AS p ON p.n = r.person_n AND p.person_id = r.person_id"
    assert store.value(whose) == 20
    assert store.value("SELECT count(*) FROM profile_rows") == 20


def test_no_column_of_records_looks_back_days_whatever_an_attribute_is_called():
    store = new_store()
    store.insert("contacts", [contact("shopify", "s1", attributes='{"{day}": "1", "{from_7}": "2"}')])

    own = attribute_columns(store)
    assert len(own) == 2
    assert [c.name for c in (*COLUMNS, *own) if c.group in LINKED and c.group not in ALWAYS_DATED and is_dated(c)] == []


@pytest.mark.parametrize("middle", ["e298", "e290", "e2"])
def test_a_row_that_was_exchanged_is_seen_though_the_last_one_stands_where_it_stood(middle):
    store = new_store()
    store.insert("events", [event("shopify", f"s{n % 9}", "login", "2026-06-01", record_id=f"e{n}") for n in range(300)])
    identify(store, CONFIG)
    store.sql("CREATE TABLE closed AS SELECT * FROM events WHERE record_id NOT IN (?, 'e299') ORDER BY rowid", [middle])
    store.sql("INSERT INTO closed SELECT * REPLACE ('click' AS kind) FROM events WHERE record_id = ?", [middle])
    store.sql("INSERT INTO closed FROM events WHERE record_id = 'e299'")
    store.sql("DROP TABLE events")
    store.sql("ALTER TABLE closed RENAME TO events")

    assert since(store, CONFIG) is None


def test_the_facts_of_an_earlier_program_are_made_anew():
    store = shop(1)
    store.sql("DELETE FROM fact_items")
    identify(store, CONFIG)
    assert store.sql("SELECT 1 FROM fact_items LIMIT 1") == [], "what stands is not looked at again"

    store.sql(
        "UPDATE meta SET value = replace(replace(value, $now, $was), $is, $old) WHERE name IN ('identity_state', 'fact_marks')",
        {"now": f"[{compact.VERSION}, ", "was": f"[{compact.VERSION - 1}, ",
         "is": f'"{compact.VERSION} (', "old": f'"{compact.VERSION - 1} ('},
    )  # fmt: skip
    identify(store, CONFIG)

    assert store.sql("SELECT 1 FROM fact_items LIMIT 1") == [(1,)]
