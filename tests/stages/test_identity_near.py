"""Who is who among the records that news touch is what it would be if everybody were looked at again."""

from __future__ import annotations

import random
from datetime import date

import pytest

from connector.identity import SHARED_BY, identify
from tests.stages.hand_shop import contact, event, new_store
from tests.stages.random_news import ALONE, OFTEN, SELDOM, SETTINGS, shop

CONFIG = SETTINGS[0]

TOLD = {
    "people": "SELECT * FROM people",
    "links": "SELECT * FROM person_links",
    "purchases": "SELECT * FROM purchases",
    "copies": "SELECT * FROM purchase_copies",
    "links of facts": "SELECT p.person_id, source, contact_id FROM fact_links LEFT JOIN person_numbers AS p USING (n)",
    "numbers": "SELECT person_id, count(*) FROM person_numbers GROUP BY person_id",
    "sales": "FROM fact_sales",
    "orders": """SELECT p.person_id, f.* EXCLUDE (n, purchase), rank() OVER (PARTITION BY n ORDER BY purchase)
        FROM fact_orders AS f LEFT JOIN person_numbers AS p USING (n)""",
    "lines": """SELECT p.person_id, o.purchase_id, l.ordered_at, l.ordered_on, w.source, w.product, w.title, w.line_category, w.sku,
          w.vendor_name, c.name, sum(pieces), sum(amount), count(*), count(*) FILTER (is_new_product)
        FROM fact_lines AS l LEFT JOIN person_numbers AS p USING (n) LEFT JOIN fact_orders AS o ON o.n = l.n AND o.purchase = l.purchase
        LEFT JOIN fact_products AS w ON w.code = l.product LEFT JOIN fact_categories AS c ON c.code = l.taste GROUP BY ALL""",
    "events": """SELECT p.person_id, e.happened, e.day, e.kind, k.campaign_id, u.word, c.name, g.product, w.word, e.value, t.name,
          count(*), max(sent_no) - min(sent_no) FILTER (e.kind <> 'sent')
        FROM fact_events AS e LEFT JOIN person_numbers AS p USING (n) LEFT JOIN fact_campaigns AS k ON k.code = e.campaign
        LEFT JOIN fact_words AS u ON u.code = e.url LEFT JOIN fact_categories AS c ON c.code = e.category
        LEFT JOIN fact_items AS g ON g.code = e.product LEFT JOIN fact_words AS w ON w.code = e.word
        LEFT JOIN fact_topics AS t ON t.code = e.topic GROUP BY ALL""",
    "sent before": """SELECT p.person_id, e.happened, e.kind, sent_no - min(sent_no) OVER (PARTITION BY n)
        FROM fact_events AS e LEFT JOIN person_numbers AS p USING (n) WHERE e.kind IN ('sent', 'click')""",
    "interests": """SELECT p.person_id, is_click, t.name, happened, day
        FROM fact_interests LEFT JOIN person_numbers AS p USING (n) LEFT JOIN fact_topics AS t ON t.code = topic""",
    "seen": "SELECT DISTINCT * FROM id_seen",
    "held": "SELECT * FROM id_held",
    "seen values": "SELECT * FROM id_seen_values",
}
"""What identity and facts leave behind, numbers and codes as the words they stand for."""

WORDS = {
    "kinds": "FROM fact_kinds",
    "products": "SELECT * EXCLUDE (code, product_code, category, vendor) FROM fact_products",
    "items": """SELECT source, product, title, vendor, c.name, t.name FROM fact_items AS i
        LEFT JOIN fact_categories AS c ON c.code = i.category LEFT JOIN fact_topics AS t ON t.code = i.topic""",
    "categories": "SELECT name FROM fact_categories",
    "campaigns": "SELECT source, campaign_id, name, subject FROM fact_campaigns",
    "words": "SELECT word, t.name FROM fact_words AS w LEFT JOIN fact_topics AS t ON t.code = w.topic",
}
"""Of these more may be known than anybody uses any more."""


def sums(store):
    """What a table holds, as a number that does not depend on the order of its rows."""
    parts = [f"(SELECT (count(*), sum(hash(t))) FROM ({text}) AS t)" for text in TOLD.values()]
    return dict(zip(TOLD, store.sql(f"SELECT {', '.join(parts)}")[0], strict=True))


def again(store, config, *, anew=False):
    """Identity as after new records, or of everybody."""
    store.sql(f"DELETE FROM meta WHERE name = 'identity_state' OR {anew} AND name = 'fact_marks'")
    return identify(store, config)


def made(store, table):
    """Another number each time a table is made anew."""
    return store.value("SELECT table_oid FROM duckdb_tables() WHERE table_name = ? AND NOT temporary", [table])


def news_of(chance, corners):
    found = [(change, w) for w in range(corners) for change in chance.choices(OFTEN, k=chance.randint(0, 4))]
    return found + ([(chance.choice(SELDOM), chance.randrange(corners))] if chance.random() < 0.1 else [])


def check(seed, steps, corners):
    """Two shops with the same news: in one everybody is looked at each time. Returns how often only a few were in the other."""
    chance, near, anew, config, few = random.Random(seed), shop(corners, seed), shop(corners, seed), CONFIG, 0
    again(near, config)
    again(anew, config)
    for step in range(steps):
        config = chance.choice(SETTINGS) if chance.random() < 0.1 else config
        for change, corner in news_of(chance, corners):
            state = chance.getstate()
            change(anew, chance, corner)
            chance.setstate(state)
            change(near, chance, corner)
        before = made(near, "id_seen")
        counts = again(near, config)
        few += made(near, "id_seen") == before
        assert counts == again(anew, config, anew=True), (seed, step)
        ours, full = sums(near), sums(anew)
        assert [name for name in TOLD if ours[name] != full[name]] == [], (seed, step)
        for name, text in WORDS.items():
            assert set(near.sql(text)) >= set(anew.sql(text)), (seed, step, name)
    near.close()
    anew.close()
    return few


def test_who_is_who_near_the_news_is_who_is_who_everywhere():
    assert check(1, 2, 6)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(10, 22))
def test_who_is_who_near_any_news_is_who_is_who_everywhere(seed):
    check(seed, 6, 20)


def known():
    store = new_store()
    store.insert("contacts", [contact("shopify", f"a{n}", email=f"a{n}@x.example") for n in range(ALONE)])
    store.insert("events", [event("shopify", "a1", "sent", "2026-01-01", record_id="early")])
    again(store, CONFIG)
    return store


def test_records_that_news_do_not_touch_are_left_as_they_are():
    store = known()
    store.sql("UPDATE person_links SET evidence = 'not looked at'")
    store.insert("contacts", [contact("mailchimp", "c1", email="a5@x.example")])
    again(store, CONFIG)

    looked_at = store.sql("SELECT source, contact_id FROM person_links WHERE evidence <> 'not looked at' ORDER BY ALL")
    assert looked_at == [("mailchimp", "c1"), ("shopify", "a5")]


def test_the_first_news_of_a_day_are_a_reason_to_look_at_everybody():
    store = known()
    looked_at = {}
    for day in (date(2026, 7, 1), date(2026, 7, 1), date(2026, 7, 2)):
        store.sql("UPDATE person_links SET evidence = 'not looked at'")
        store.insert("contacts", [contact("mailchimp", f"c{len(looked_at)}", email=f"a{len(looked_at)}@x.example")])
        identify(store, CONFIG, day)
        looked_at[len(looked_at)] = store.value("SELECT count(*) FROM person_links WHERE evidence <> 'not looked at'")
    assert list(looked_at.values()) == [ALONE + 1, 2, ALONE + 3]


def test_an_address_too_many_share_joins_again_when_one_gives_it_up():
    store = known()
    store.insert("contacts", [contact("hubspot", f"h{n}", email="info@x.example") for n in range(SHARED_BY + 1)])
    assert again(store, CONFIG)["people"] == ALONE + SHARED_BY + 1

    store.sql("DELETE FROM contacts WHERE contact_id = 'h0'")
    counts = again(store, CONFIG)
    assert (counts["people"], counts["shared_identifiers"]) == (ALONE + 1, 0)


def test_what_others_did_stays_when_a_record_goes_in_the_same_news():
    store = known()
    store.sql("DELETE FROM contacts WHERE contact_id = 'a99'")
    store.insert("events", [event("shopify", "a1", "login", "2026-03-01", record_id="late")])
    again(store, CONFIG)

    whose = "SELECT kind FROM fact_events JOIN fact_links USING (n) WHERE contact_id = 'a1' ORDER BY happened"
    assert store.sql(whose) == [("sent",), ("login",)]
