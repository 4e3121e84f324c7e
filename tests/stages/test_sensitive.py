"""Products the owner calls sensitive: in no column, no tag, no recommendation, no group; and what Rollcall proposes to call so."""

from __future__ import annotations

import pytest

from connector import sensitive
from connector.config import Privacy
from connector.score_data import load
from connector.segment import evaluate, resolve
from tests.stages.hand_shop import contact, derive, event, line, new_store, order, row, shop_config

WORD = "pregnancy"
NAMES = ("Pregnancy tea", "Folic 400", "Pregnancy")
"""Sensitive by its own name, by its category alone, and the category."""

PRIVACY = Privacy(sensitive_products=(WORD,))


def shop(config):
    store = new_store()
    store.insert(
        "contacts", [contact("shopify", "ann", email="ann@x.example"), contact("shopify", "bob", email="bob@x.example")]
    )
    for number, day in enumerate(("2026-03-01", "2026-04-01", "2026-05-01", "2026-06-01")):
        store.insert("orders", [order("shopify", f"{p}{number}", p, day, "60") for p in ("ann", "bob")])
        store.insert("order_lines", [
            line("shopify", f"ann{number}", "Folic 400", "Pregnancy", "40"),
            line("shopify", f"ann{number}", "Pregnancy tea", "Tea", "20"), line("shopify", f"ann{number}", "Mint", "Tea", "10"),
            line("shopify", f"bob{number}", "Mint", "Tea", "60"),
        ])  # fmt: skip
    store.insert("events", [
        event("shopify", "ann", "product_view", "2026-06-02", category="Pregnancy", product_id="folic 400") | {"record_id": "1"},
        event("shopify", "ann", "click", "2026-06-03", url="https://shop.example/pregnancy/care") | {"record_id": "2"},
        event("shopify", "ann", "click", "2026-06-04", url="https://shop.example/tea/mint") | {"record_id": "3"},
    ])  # fmt: skip
    return store, derive(store, config)


def configured(*segments):
    return shop_config(*segments).model_copy(update={"privacy": PRIVACY})


def test_no_column_of_the_profile_holds_a_sensitive_name():
    store, _ = shop(configured())
    found = row(store, "shopify", "ann")

    told = {name: value for name, value in found.items() if any(n.lower() in str(value).lower() for n in NAMES)}
    assert told == {}
    assert (found["top_category"], found["bought_categories"], found["clicked_topics"]) == ("Tea", ["Tea"], ["tea"])
    assert found["viewed_categories"] is None


def test_without_the_setting_the_same_shop_shows_them():
    store, _ = shop(shop_config())
    found = row(store, "shopify", "ann")

    assert found["top_category"] == "Pregnancy" and found["viewed_categories"] == ["Pregnancy"]
    assert "pregnancy" in found["clicked_topics"]


MAY_BE_A_TAG = {
    "bought(category => 'Pregnancy')": False,
    "bought(product => '%pregnan%')": False,
    "bought(product => 'Folic 400')": False,
    "bought(product => 'folic%', days => 30) >= 1": False,
    "viewed(category => 'pregnancy')": False,
    "clicked(url => '%/pregnancy/%')": False,
    "orders_total > 1 and not bought(product => 'Folic 400')": False,
    "segment('Hidden')": False,
    "last(event => 'bought', product => 'Folic 400') < 90": False,
    "spent(product => 'Folic 400') > 10": False,
    "bought(category => 'Tea')": True,
    "bought(product => 'Mint')": True,
    "bought(product => '%')": True,
    "bought(product => '%t%')": True,
    "city = 'an'": True,
    "country = 'NC'": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def asked():
    """Rule -> what speaks against pushing it, all asked of one shop."""
    rules = ({"name": f"r{i}", "where": rule} for i, rule in enumerate(MAY_BE_A_TAG))
    config = configured({"name": "Hidden", "where": "bought(product => 'Folic 400')"}, *rules)
    store, moment = shop(config)
    counts = {c.segment: c for c in evaluate(store, config, resolve(config), moment, "r1")}
    return {rule: counts[f"r{i}"].not_ready for i, rule in enumerate(MAY_BE_A_TAG)}


@pytest.mark.parametrize("rule", MAY_BE_A_TAG)
def test_a_rule_about_sensitive_products_becomes_no_tag_under_whatever_name(asked, rule: str):
    assert ("sensitive_products" not in asked[rule]) == MAY_BE_A_TAG[rule]


def test_recommendations_and_groups_are_made_from_the_other_products_alone():
    config = configured()
    store, moment = shop(config)

    assert load(store, config, moment).products == [("mint", "Mint")]
    assert store.sql("SELECT DISTINCT c.name FROM fact_lines AS l JOIN fact_categories AS c ON c.code = l.taste") == [("Tea",)]
    assert len(load(store, shop_config(), moment).products) == 3


def test_names_that_tell_something_private_are_proposed_until_the_owner_has_named_them():
    store, _ = shop(shop_config())
    store.insert("products", [
        {"source": "shopify", "stream": "products", "record_id": str(i), "product_id": str(i), "title": title}
        for i, title in enumerate(("Incontinence pads", "Fertilizer", "Rye bread", "Sextant", "Std cable", "Kondome 12"))
    ])  # fmt: skip

    assert sensitive.proposed(store, shop_config()) == [
        "Incontinence pads",
        "Kondome 12",
        "Pregnancy",
        "Pregnancy tea",
        "Std cable",
    ]
    assert sensitive.proposed(store, configured()) == ["Incontinence pads", "Kondome 12", "Std cable"]
    assert "Incontinence pads, Kondome 12" in sensitive.advice(store, configured())
    assert sensitive.advice(new_store(), shop_config()) == ""
