"""Who made what somebody bought: rules that ask for the vendor, and the vendor a person favours."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from connector import imports, questions, sensitive
from connector.config import Privacy
from connector.rules import declared, parse, say
from connector.score_data import load
from connector.segment import check, evaluate, preview, resolve, why
from tests.stages.hand_shop import contact, derive, event, line, new_store, order, person_of, row, shop_config
from tests.stages.test_segment_evaluation import members

PEOPLE = ("ann", "bob", "cid", "dee")


def shop():
    """ann buys from Acme again and again, bob from Acme once and from Brew on one day; cid and dee look and rate; dee has a gift card."""
    store = new_store()
    store.insert("contacts", [contact("shopify", p, email=f"{p}@x.example") for p in PEOPLE])
    store.insert("products", [
        {"source": "shopify", "product_id": "mill", "title": "Mill", "category": "Ware", "vendor": "Brew"},
        {"source": "shopify", "product_id": "card", "title": "Card", "vendor": "Acme", "is_gift_card": True},
        {"source": "shopify", "product_id": "cup", "title": "Cup", "category": "Ware", "vendor": "New Acme"},
    ])  # fmt: skip
    store.insert("orders", [
        order("shopify", "1", "ann", "2026-03-01", "30"), order("shopify", "2", "ann", "2026-06-01", "50"),
        order("shopify", "3", "ann", "2026-06-20", "90"), order("shopify", "4", "bob", "2026-05-01", "10"),
        order("shopify", "5", "bob", "2026-06-02", "200"), order("shopify", "6", "dee", "2026-05-02", "25"),
        order("shopify", "7", "dee", "2026-06-02", "25"),
    ])  # fmt: skip
    store.insert("order_lines", [
        line("shopify", "1", "Cup", "Ware", "30", vendor="Acme"), line("shopify", "2", "Bean", "Coffee", "20", vendor="acme"),
        line("shopify", "2", "Cup", "Ware", "30", vendor="Acme"), line("shopify", "3", "Mill", None, "90"),
        line("shopify", "4", "Bean", "Coffee", "10", vendor="Acme"), line("shopify", "5", "Mill", None, "100", vendor=""),
        line("shopify", "5", "Mill", None, "100", vendor=""), line("shopify", "6", "Card", None, "25"),
        line("shopify", "7", "Card", None, "25", is_gift_card=True),
    ])  # fmt: skip
    store.insert("events", [
        event("shopify", "cid", "product_view", "2026-06-20", product_id="mill"),
        event("shopify", "dee", "rating", "2026-06-20", product_id="cup", value="2"),
    ])  # fmt: skip
    return store


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("bought(vendor => 'Acme')", "ann bob dee"),
        ("bought(vendor => 'ACME', days => 60) >= 1", "ann dee"),
        ("bought(vendor => 'Acme') = 2", "ann dee"),
        ("bought(vendor => 'Brew')", "ann bob"),
        ("bought(vendor => 'Br%')", "ann bob"),
        ("bought(vendor => 'New Acme')", "ann"),
        ("bought(vendor => 'Acme', category => 'Coffee')", "ann bob"),
        ("bought(vendor => 'Brew', category => 'Coffee')", ""),
        ("bought(vendor => 'Acme', product => 'Cup') = 2", "ann"),
        ("spent(vendor => 'Acme') = 80", "ann"),
        ("spent(vendor => 'Brew', days => 90) > 100", "bob"),
        ("last(event => 'bought', vendor => 'Acme') <= 30", "ann dee"),
        ("first(event => 'bought', vendor => 'Acme') > 100", "ann"),
        ("last(event => 'bought', vendor => 'Brew') is null", "cid dee"),
        ("viewed(vendor => 'brew')", "cid"),
        ("rated(vendor => 'New Acme', max => 2)", "dee"),
        ("affinity_vendor = 'Acme'", "ann"),
        ("affinity_vendor is null", "bob cid dee"),
    ],
)
def test_rules_about_vendors_find_the_right_people(where: str, expected: str):
    store, config = shop(), shop_config()

    assert members(store, config, derive(store, config), where) == set(expected.split())


def test_a_vendor_nobody_knows_is_warned_of_with_the_nearest_and_one_in_other_letters_is_not():
    store, config = shop(), shop_config()
    derive(store, config)

    (warned,) = check("bought(vendor => 'Acne')", store, config).warnings
    assert "'Acme'" in warned.message and "vendor of bought" in warned.message
    assert check("bought(vendor => 'brew')", store, config).warnings == ()


@pytest.mark.parametrize(("rule", "sentence"), [
    ("bought(vendor => 'Acme', days => 90)", "who bought from vendor 'Acme' in the last 90 days"),
    ("bought(vendor => 'Acme', product => 'Cup') >= 2", "who bought the product 'Cup' of vendor 'Acme' at least 2 times"),
    ("not bought(category => 'Tea', vendor => 'Ac%')", "who did not buy from category 'Tea' of a vendor like 'Ac%'"),
    ("bought(vendor => 'A') > bought(vendor => 'B')",
     "whose number of orders from vendor 'A' is more than number of orders from vendor 'B'"),
    ("spent(vendor => 'Acme', days => 365) > 100",
     "who spent on goods of vendor 'Acme' in the last 365 days more than 100 EUR"),
    ("spent(vendor => '%Acme%')", "who spent something on goods of a vendor like '%Acme%'"),
    ("last(event => 'bought', vendor => 'Acme') <= 30", "who last bought from vendor 'Acme' at most 30 days ago"),
    ("viewed(vendor => 'Acme')", "who viewed pages of vendor 'Acme'"),
    ("affinity_vendor = 'Acme'", "whose favourite vendor is 'Acme'"),
])  # fmt: skip
def test_rules_about_vendors_are_said_in_words(rule: str, sentence: str):
    assert say(parse(rule, declared((), "EUR")), "EUR") == f"Everybody {sentence}."


def test_why_tells_what_was_found():
    config = shop_config({"name": "Fans", "where": "bought(vendor => 'Acme') >= 2 and affinity_vendor = 'Acme'"})
    store = shop()
    found = why(store, config, derive(store, config), person_of(store, "shopify", "ann"), "Fans")

    assert found.is_member
    values = {name: value for c in found.clauses for name, value in c.values.items()}
    assert values == {"bought(vendor => 'Acme')": 2, "affinity_vendor": "Acme"}


def test_the_questions_of_segment_new_ask_for_the_vendor():
    assert "vendor" in questions.arguments("spent") and "vendor" in questions.arguments("last", "bought")
    assert "vendor" not in questions.arguments("ordered")
    asked = questions.Answer("bought", questions.EVER, "", (("vendor", "O'Hara"),))
    assert questions.call(asked) == "bought(vendor => 'O''Hara')"


def favourite(*bought: tuple[str, str, str, str]):
    """What stands in affinity_vendor for somebody who bought (day, vendor, title, amount)."""
    store = new_store()
    store.insert("contacts", [contact("shopify", "ann", email="ann@x.example")])
    store.insert("orders", [order("shopify", str(i), "ann", day, "10") for i, (day, *_) in enumerate(bought)])
    store.insert("order_lines", [line("shopify", str(i), t, "Tea", a, vendor=v) for i, (_, v, t, a) in enumerate(bought)])
    return store


@pytest.mark.parametrize(
    ("bought", "expected"),
    [
        ([("2026-05-01", "Acme", "Cup", "500"), ("2026-05-01", "Acme", "Pot", "500")], None),
        ([("2026-05-01", "Acme", "Cup", "500"), ("2026-05-02", "Brew", "Pot", "1"), ("2026-05-03", "Brew", "Pot", "1")], "Brew"),
        ([(f"2026-05-0{n}", v, "Cup", a) for n, (v, a) in enumerate([("A", "10"), ("B", "8"), ("A", "1"), ("B", "8")], 1)], "B"),
        ([(f"2026-05-0{n}", v, "Cup", "4") for n, v in enumerate("BABA", 1)], "A"),
        ([(f"2026-05-0{n}", v, "Cup", a) for n, (v, a) in enumerate([("A", "6"), ("B", "4"), ("A", "6"), ("B", "4"), ("B", "4")], 1)],
         "B"),
    ],
    ids=["one day is no habit", "money of one day does not count", "most money", "a tie: the alphabet", "a tie: more lines"],
)  # fmt: skip
def test_the_favourite_vendor_needs_two_days_and_goes_by_money(bought, expected):
    store = favourite(*bought)
    derive(store, shop_config())

    assert row(store, "shopify", "ann")["affinity_vendor"] == expected


def test_the_favourite_vendor_of_an_earlier_day_knows_nothing_of_what_was_bought_since():
    store, config = shop(), shop_config()
    store.insert(
        "orders", [order("shopify", "8", "bob", "2026-06-05", "99", is_cancelled=True, cancelled_at="2026-06-25 10:00:00")]
    )
    store.insert("order_lines", [line("shopify", "8", "Mill", "Ware", "99", vendor="Brew")])

    def seen(day):
        derive(store, config, day)
        return [row(store, "shopify", p)["affinity_vendor"] for p in ("ann", "bob")]

    assert seen(date(2026, 5, 1)) == [None, None]
    assert seen(date(2026, 6, 10)) == ["Acme", "Brew"], "the order was one until it was cancelled"
    assert seen(date(2026, 7, 1)) == ["Acme", None]


def hidden(*words: str, segments=()):
    return shop_config(*segments).model_copy(update={"privacy": Privacy(sensitive_products=words)})


def test_what_is_sensitive_makes_no_favourite_vendor_and_a_vendor_may_be_named_so_itself():
    store = shop()
    derive(store, hidden("cup", "bean"))
    assert row(store, "shopify", "ann")["affinity_vendor"] is None
    assert row(store, "shopify", "ann")["top_category"] == "Ware", "of the mill"

    derive(store, hidden("acme"))
    found = row(store, "shopify", "ann")
    assert found["affinity_vendor"] is None and found["bought_categories"] == ["Ware"]
    moment = derive(store, hidden("acme"))
    assert load(store, hidden("acme"), moment).products == [("mill", "Mill")], "nothing of them is recommended"


@pytest.mark.parametrize(
    ("where", "words", "may_be_a_tag"),
    [
        ("bought(vendor => 'Acme')", ("acme",), False),
        ("bought(vendor => 'Acme')", ("cup", "bean", "card"), False),
        ("bought(vendor => 'New Acme')", ("cup",), False),
        ("bought(vendor => 'Acme')", ("cup",), True),
        ("bought(vendor => 'Brew')", ("cup", "bean"), True),
    ],
)
def test_a_rule_about_a_vendor_of_sensitive_products_alone_becomes_no_tag(
    where: str, words: tuple[str, ...], may_be_a_tag: bool
):
    store, config = shop(), hidden(*words, segments=({"name": "asked", "where": where},))
    (count,) = evaluate(store, config, resolve(config), derive(store, config), "r1")

    assert ("sensitive_products" not in count.not_ready) == may_be_a_tag


def test_a_vendor_whose_name_tells_something_private_is_proposed():
    store = shop()
    store.sql("UPDATE products SET vendor = 'Slimming & Co' WHERE product_id = 'mill'")

    assert sensitive.proposed(store, shop_config()) == ["Slimming & Co"]
    assert sensitive.proposed(store, hidden("slimming")) == []


@pytest.mark.parametrize(
    "where", ["bought(vendor => 'Acme')", "affinity_vendor = 'Acme'", "last(event => 'bought', vendor => 'x')"]
)
def test_where_no_product_names_its_vendor_a_rule_about_it_is_not_ready(where: str):
    store, config = shop(), shop_config()
    moment = derive(store, config)
    assert preview(store, config, moment, where).not_ready == ""

    for table in ("products", "order_lines"):
        store.sql(f"UPDATE {table} SET vendor = NULL")
        store.sql("DELETE FROM meta WHERE name IN ('identity_state', 'fact_marks', 'profile_state')")
    assert "vendors" in preview(store, config, derive(store, config), where).not_ready


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        ("order_lines", "Bestellnummer,Kundennummer,Datum,Artikel,Betrag,Hersteller"),
        ("order_lines", "order_id,customer_id,date,product,amount,brand"),
        ("orders", "order_id,customer_id,date,product,quantity,price,Marke"),
        (
            "order_lines",
            "Name,Email,Financial Status,Currency,Created at,Lineitem name,Lineitem price,Lineitem quantity,Vendor",
        ),
    ],
)
def test_files_of_lines_bring_the_vendor(tmp_path: Path, kind: str, header: str):
    said = {"Artikel": "Cup", "product": "Cup", "Lineitem name": "Cup", "Betrag": "4", "amount": "4", "price": "4",
            "Lineitem price": "4", "quantity": "1", "Lineitem quantity": "1", "Email": "ann@x.example", "Name": "#1",
            "Created at": "2026-06-01 10:00:00 +0100", "Financial Status": "paid", "Currency": "EUR", "Bestellnummer": "o1",
            "order_id": "o1", "Kundennummer": "k1", "customer_id": "k1", "Datum": "2026-06-01", "date": "2026-06-01"}  # fmt: skip
    file = tmp_path / "in.csv"
    file.write_text(f"{header}\n{','.join(said.get(c, 'Acme') for c in header.split(','))}\n")
    store = new_store()
    imports.import_file(store, shop_config(), kind, file, "r1")

    assert store.sql("SELECT title, vendor, amount FROM order_lines") == [("Cup", "Acme", Decimal(4))]


@pytest.mark.parametrize("name", ["vendor", "Brand", "Manufacturer", "Hersteller", "Marke"])
def test_files_of_products_bring_the_vendor(tmp_path: Path, name: str):
    file = tmp_path / "in.csv"
    file.write_text(f"product_id,title,{name}\n1,Cup,Acme\n")
    store = new_store()
    imports.import_file(store, shop_config(), "products", file, "r1")

    assert store.sql("SELECT product_id, vendor FROM products") == [("1", "Acme")]
