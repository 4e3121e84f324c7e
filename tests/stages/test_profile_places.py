"""Where goods go, and the visit that led to the first order."""

from __future__ import annotations

from tests.stages.hand_shop import contact, derive, new_store, order, row, shop_config


def test_goods_go_where_the_shipping_address_says_else_the_last_order_went_else_to_the_persons_place():
    store = new_store()
    names = ("ships", "ordered", "lives", "nowhere")
    store.insert("contacts", [contact("shopify", n, email=f"{n}@x.de", postcode=None, country=None) for n in names])
    store.sql("UPDATE contacts SET postcode = '10115', country = 'DE' WHERE contact_id <> 'nowhere'")
    place = {"source": "shopify", "country": "DE"}
    store.insert(
        "addresses",
        [
            place | {"contact_id": "ships", "kind": "shipping", "postcode": "20095"},
            place | {"contact_id": "ordered", "kind": "main", "postcode": "10115"},
        ],
    )
    went = {"country": "AT", "postcode": None, "email": None, "is_cancelled": False}
    store.insert(
        "orders",
        [
            order("shopify", "1", "ships", "2026-06-01", "9", **went | {"postcode": "1010"}),
            order("shopify", "2", "ordered", "2026-05-01", "9", **went | {"postcode": "1010"}),
            order("shopify", "3", None, "2026-06-01", "9", **went | {"email": "ordered@x.de"}),
            order("shopify", "4", "ordered", "2026-06-02", "9", **went | {"postcode": "4020", "is_cancelled": True}),
            order("shopify", "5", "ordered", "2026-06-03", "9", **went | {"country": None}),
        ],
    )

    derive(store, shop_config())

    found = {n: (row(store, "shopify", n)["shipping_country"], row(store, "shopify", n)["shipping_postcode"]) for n in names}
    assert found == {"ships": ("DE", "20095"), "ordered": ("AT", None), "lives": ("DE", "10115"), "nowhere": (None, None)}


def test_where_nobody_wrote_an_address_goods_go_to_the_persons_place():
    store = new_store()
    store.insert("contacts", [contact("import", "1", email="a@x.de", postcode="10115")])

    derive(store, shop_config())

    assert (row(store, "import", "1")["shipping_postcode"], row(store, "import", "1")["shipping_city"]) == ("10115", None)


def test_the_visit_is_that_of_the_first_order_and_of_no_other():
    store = new_store()
    store.insert("contacts", [contact("shopify", "1", email="ann@x.de"), contact("shopify", "2", email="new@x.de")])
    seen = {"landing_page": None, "utm_source": None, "email": None, "is_test": False, "is_cancelled": False}
    store.insert(
        "orders",
        [
            order("shopify", "t", "1", "2026-01-01", "9", **seen | {"landing_page": "/test", "is_test": True}),
            order("shopify", "c", "1", "2026-01-02", "9", **seen | {"landing_page": "/gone", "is_cancelled": True}),
            order("shopify", "a", None, "2026-01-03", "9", **seen | {"landing_page": "/tea", "email": "ann@x.de"}),
            order("shopify", "b", "1", "2026-02-01", "9", **seen | {"landing_page": "/later", "utm_source": "mail"}),
            order("shopify", "n", "2", "2026-01-01", "9", **seen),
            order("shopify", "m", "2", "2026-02-01", "9", **seen | {"landing_page": "/later"}),
        ],
    )

    derive(store, shop_config())
    ann, new = row(store, "shopify", "1"), row(store, "shopify", "2")

    assert (ann["landing_page"], ann["utm_source"], new["landing_page"]) == ("/tea", None, None)
