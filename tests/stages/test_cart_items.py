"""What is in a cart left behind: `abandoned(product => ...)` looks at each product's id and name, as other measures do."""

from __future__ import annotations

import json

import pytest

from connector.rules import declared, parse, say
from connector.segment import matching
from tests.stages.hand_shop import contact, derive, new_store, person_of, shop_config

CARTS = {
    "ann": [{"product_id": "k1", "title": "Kenya", "quantity": "1"}, {"product_id": "7", "title": "Mug", "quantity": "2"}],
    "bob": [{"product_id": "k1_a", "title": 'The "big" Köln mug', "quantity": "1"}],
    "cid": [{"product_id": "k1-a", "title": None, "quantity": "1"}],
    "dee": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def shop():
    store, config = new_store(), shop_config()
    store.insert("contacts", [contact("shopify", name, email=f"{name}@x.de") for name in CARTS])
    store.insert("carts", [
        {"source": "shopify", "cart_id": name, "contact_id": name, "started_at": "2026-06-28 10:00:00", "total": "20",
         "currency": "EUR", "items": None if items is None else json.dumps(items, ensure_ascii=False)}
        for name, items in CARTS.items()])  # fmt: skip
    return store, config, derive(store, config)


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        ("kenya", "ann"),
        ("K1", "ann"),
        ("k1_a", "bob"),
        ("%mug", "ann bob"),
        ('%"BIG"%', "bob"),
        ("%KÖLN%", "bob"),
        ("ken", ""),
        ("title", ""),
        ("%quantity%", ""),
    ],
)
def test_a_cart_is_found_by_id_and_name_of_what_is_in_it_and_by_nothing_else(shop, product: str, expected: str):
    store, config, moment = shop
    found = matching(store, config, moment, f"abandoned(product => '{product}')")

    assert set(found) == {person_of(store, "shopify", name) for name in expected.split()}


def test_a_pattern_is_said_as_something_like_it():
    assert say(parse("abandoned(product => '%mug')", declared())) == "Everybody who left carts with something like '%mug'."
    assert say(parse("abandoned(product => 'Mug')", declared())) == "Everybody who left carts with 'Mug'."
