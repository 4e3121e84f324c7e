"""What the owner may say about identity, and how often we are right on a labelled set."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector import sync
from connector.clock import as_of
from connector.config import Identity
from connector.identity import identify, join
from connector.identity_apart import unheeded
from connector.progress import Silent
from connector.session import Session
from tests.stages.hand_shop import contact, new_store, order, person_of, shop_config


def with_identity(**settings):
    return shop_config().model_copy(update={"identity": Identity(**settings)})


def test_the_owner_keeps_two_people_with_one_address_apart_for_good():
    store = new_store()
    store.insert("contacts", [contact("shopify", "ann", email="home@x.de"), contact("mailchimp", "bob", email="home@x.de"),
                              contact("hubspot", "ann2", email="home@x.de", phone="+4930123456"),
                              contact("shopify", "cid", email="cid@x.de")])  # fmt: skip
    identify(store, shop_config())
    assert person_of(store, "shopify", "ann") == person_of(store, "mailchimp", "bob")

    apart = with_identity(keep_apart=[("shopify:ann", "mailchimp:bob")])
    counts = identify(store, apart)
    again = identify(store, apart)

    assert person_of(store, "shopify", "ann") != person_of(store, "mailchimp", "bob")
    assert person_of(store, "hubspot", "ann2") in (person_of(store, "shopify", "ann"), person_of(store, "mailchimp", "bob"))
    assert counts["kept_apart"] >= 1 and again == counts
    assert len({person_of(store, s, c) for s, c in (("shopify", "ann"), ("mailchimp", "bob"), ("shopify", "cid"))}) == 3


def test_people_are_kept_apart_by_address_too():
    store = new_store()
    store.insert("contacts", [contact("shopify", "1", email="a@x.de", phone="+4930123456"),
                              contact("hubspot", "2", email="b@x.de", phone="+4930123456")])  # fmt: skip
    identify(store, shop_config())
    assert person_of(store, "shopify", "1") == person_of(store, "hubspot", "2")

    identify(store, with_identity(keep_apart=[("a@x.de", "B@x.de")]))

    assert person_of(store, "shopify", "1") != person_of(store, "hubspot", "2")


def test_two_ways_of_writing_one_address_are_kept_apart_where_the_owner_says_so():
    store = new_store()
    store.insert(
        "contacts", [contact("shopify", "1", email="ann@gmail.com"), contact("mailchimp", "2", email="ann+son@gmail.com")]
    )
    identify(store, with_identity(plus_addresses=True))
    assert person_of(store, "shopify", "1") == person_of(store, "mailchimp", "2")

    apart = with_identity(plus_addresses=True, keep_apart=[("ann@gmail.com", "Ann+Son@gmail.com")])
    identify(store, apart)
    assert person_of(store, "shopify", "1") != person_of(store, "mailchimp", "2")
    assert unheeded(store, apart) == []

    by_id = with_identity(plus_addresses=True, keep_apart=[("mailchimp:2", "ann+shop@gmail.com")])
    assert unheeded(store, by_id)[0].count("same record") == 1


@pytest.mark.parametrize(("pair", "words"), [
    (("shopify:1", "mailchimp:99"), "its second entry names nobody"), (("b@y.de", "mailchimp:2"), "its first entry names nobody"),
    (("shopfy:1", "nobody"), "its first and its second entry names nobody"), (("a@x.de", "shopify:1"), "same record"),
])  # fmt: skip
def test_a_pair_that_cannot_be_kept_apart_is_told_without_an_address(pair, words):
    store = new_store()
    store.insert("contacts", [contact("shopify", "1", email="a@x.de"), contact("mailchimp", "2", email="b@x.de")])
    config = with_identity(keep_apart=[("shopify:1", "b@x.de"), pair])
    identify(store, config)

    (told,) = unheeded(store, config)

    assert "pair 2, is not heeded" in told and words in told
    assert "@" not in told.replace("platform:contact", "")
    session = Session(config, store, "r1", as_of(None, "UTC"), Silent())
    sync.identify(session)
    sync.identify(session)
    assert session.notices == [told]


def test_plus_addresses_and_dots_are_folded_only_on_request_and_only_where_the_provider_does():
    store = new_store()
    store.insert("contacts", [contact("shopify", "1", email="ann.lee@gmail.com"),
                              contact("mailchimp", "2", email="annlee+news@googlemail.com"),
                              contact("shopify", "3", email="bob.x@shop.example"),
                              contact("mailchimp", "4", email="bobx+news@shop.example")])  # fmt: skip

    def same(config):
        identify(store, config)
        return (person_of(store, "shopify", "1") == person_of(store, "mailchimp", "2"),
                person_of(store, "shopify", "3") == person_of(store, "mailchimp", "4"))  # fmt: skip

    assert same(shop_config()) == (False, False)
    assert same(with_identity(plus_addresses=True)) == (False, False)
    assert same(with_identity(plus_addresses=True, dots=True)) == (True, False)


def test_nothing_is_done_again_while_nothing_changed():
    store = new_store()
    store.insert("contacts", [contact("shopify", "1", email="a@x.de")])
    store.insert("orders", [order("shopify", "o", "1", "2026-01-01", "10")])
    first = identify(store, shop_config())
    store.sql("UPDATE people SET first_name = 'a mark'")

    assert identify(store, shop_config()) == first
    assert store.value("SELECT count(*) FROM people WHERE first_name = 'a mark'") == 1

    store.insert("orders", [order("shopify", "p", "1", "2026-01-02", "10")])
    assert identify(store, shop_config())["purchases"] == 2
    assert store.value("SELECT count(*) FROM people WHERE first_name = 'a mark'") == 1

    store.sql("UPDATE contacts SET first_name = 'Ana'")
    identify(store, shop_config())
    assert store.value("SELECT first_name FROM people") == "Ana"


def test_a_person_number_stays_when_others_come_and_go():
    store = new_store()
    store.insert("contacts", [contact("shopify", str(i), email=f"{i}@x.de") for i in range(5)])
    identify(store, shop_config())
    before = dict(store.sql("SELECT person_id, n FROM person_numbers"))

    store.sql("DELETE FROM contacts WHERE contact_id = '2'")
    store.insert("contacts", [contact("shopify", "9", email="9@x.de")])
    identify(store, shop_config())
    after = dict(store.sql("SELECT person_id, n FROM person_numbers"))

    assert all(before[p] == n for p, n in after.items() if p in before)
    assert len(set(after.values())) == 5


def labelled(people: int, seed: int):
    """Contact records with the person they were made from: cases, spaces, second addresses, family phones, shared info@."""
    chance = random.Random(seed)
    rows, truth = [], {}
    for person in range(people):
        name = f"N{person % 40}"
        email, phone = f"p{person}@mail{person % 9}.example", f"030 {1000000 + person}"
        family = f"030 {9000000 + person // 3}"
        for source in ("shopify", "mailchimp", "hubspot"):
            if chance.random() < 0.35:
                continue
            kind = chance.random()
            given = {"email": email.upper() if kind < 0.2 else f" {email} " if kind < 0.3 else email, "first_name": name}
            if kind > 0.75:
                given = {"email": None, "phone": f"+49{phone[1:]}".replace(" ", ""), "first_name": name}
            elif kind > 0.5:
                given["phone"] = phone if kind > 0.6 else family
            if person % 50 == 0 and source == "hubspot":
                given = {"email": "info@shop.example", "first_name": None}
            rows.append(contact(source, str(person), **given))
            truth[(source, str(person))] = person
    return rows, truth


def test_precision_and_recall_on_a_labelled_set():
    rows, truth = labelled(600, 7)
    store = new_store()
    for row in rows:
        row.setdefault("phone", None)
    store.insert("contacts", rows)
    identify(store, shop_config())

    found = {
        (s, c): p for s, c, p in store.sql("SELECT source, contact_id, person_id FROM person_links WHERE source <> 'email'")
    }
    keys = sorted(truth)
    pairs = {"both": 0, "ours": 0, "true": 0}
    by_truth: dict[int, list] = {}
    by_found: dict[str, list] = {}
    for key in keys:
        by_truth.setdefault(truth[key], []).append(key)
        by_found.setdefault(found[key], []).append(key)
    pairs["true"] = sum(len(g) * (len(g) - 1) // 2 for g in by_truth.values())
    pairs["ours"] = sum(len(g) * (len(g) - 1) // 2 for g in by_found.values())
    pairs["both"] = sum(found[a] == found[b] for g in by_truth.values() for i, a in enumerate(g) for b in g[i + 1 :])

    assert pairs["both"] / pairs["ours"] >= 0.99
    assert pairs["both"] / pairs["true"] >= 0.60


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20), st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_whoever_is_to_be_kept_apart_never_comes_together(edges, pair):
    a, b = pair
    roots, _ = join(edges, [([a], [b])] if a != b else [])

    assert a == b or roots.get(a, -1) != roots.get(b, -2)
    assert a != b or roots == join(edges)[0]
