from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from connector.identity import identify, join
from connector.identity_phones import WITH_TRUNK_ZERO, e164
from tests.stages.hand_shop import contact, event, new_store, order, person_of, shop_config


def test_same_address_in_any_case_is_one_person_across_platforms():
    store = new_store()
    store.insert("contacts", [contact("shopify", "1", email="ann@x.de"), contact("mailchimp", "m1", email="Ann@X.de ")])

    counts = identify(store, shop_config())

    assert counts["people"] == 1 and counts["records"] == 2
    assert {e for (e,) in store.sql("SELECT evidence FROM person_links")} == {"same e-mail"}


def test_additional_addresses_join_too():
    store = new_store()
    store.insert("contacts", [contact("hubspot", "7", email="a@x.de"), contact("shopify", "1", email="b@x.de")])
    store.insert(
        "identifiers", [{"source": "hubspot", "contact_id": "7", "kind": "email", "value": "b@x.de", "is_main": False}]
    )

    assert identify(store, shop_config())["people"] == 1


def test_phones_join_in_any_way_of_writing_them():
    store = new_store()
    store.insert(
        "contacts",
        [
            contact("shopify", "1", phone="030 901820"),
            contact("hubspot", "2", phone="+49 (0)30 901820"),
            contact("import", "3", phone="0049-30-901820"),
        ],
    )

    assert identify(store, shop_config())["people"] == 1
    assert {e for (e,) in store.sql("SELECT evidence FROM person_links")} == {"same phone"}


def test_numbers_without_a_country_stay_unknown_where_the_shop_names_none():
    assert e164("030 901820") == ""
    assert e164("030 901820", "DE") == "+4930901820"
    assert e164("nonsense", "DE") == ""


def test_a_zero_behind_the_country_code_is_the_same_number():
    store = new_store()
    written = ("030 1234567", "+49 030 1234567", "+49 (0)30 1234567", "+4930 1234567", "0049 30 1234567")
    store.insert("contacts", [contact("shopify", str(n), phone=phone) for n, phone in enumerate(written)])
    store.insert("contacts", [contact("hubspot", "uk", phone="+44 07911 123456"), contact("import", "uk", phone="+447911123456"),
                              contact("hubspot", "rome", phone="+39 06 12345678"), contact("import", "rome", phone="+390612345678"),
                              contact("hubspot", "milan", phone="+39 6 12345678")])  # fmt: skip

    assert identify(store, shop_config())["people"] == 4
    assert person_of(store, "hubspot", "uk") == person_of(store, "import", "uk")
    assert person_of(store, "hubspot", "rome") == person_of(store, "import", "rome")


def test_only_a_zero_right_behind_a_country_code_is_looked_at_again():
    import phonenumbers

    for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        assert re.match(WITH_TRUNK_ZERO, f"+{code}012345678"), code
    for plain in ("+442079460958", "+4930901820", "+12025550123", "+33102030405"):
        assert not re.match(WITH_TRUNK_ZERO, plain), plain


def test_a_family_phone_joins_nobody_with_another_name():
    store = new_store()
    store.insert(
        "contacts",
        [
            contact("shopify", "1", phone="+4930901820", email="ann@x.de", first_name="Ann"),
            contact("shopify", "2", phone="+4930901820", email="bob@x.de", first_name="Bob"),
            contact("hubspot", "3", phone="+4930901820", first_name="Ann"),
            contact("hubspot", "4", phone="+4930901820"),
        ],
    )

    identify(store, shop_config())

    ann, bob = person_of(store, "shopify", "1"), person_of(store, "shopify", "2")
    assert ann != bob
    assert person_of(store, "hubspot", "3") == ann
    assert person_of(store, "hubspot", "4") not in (ann, bob)


def test_an_address_shared_by_more_than_five_contacts_joins_nobody_and_is_counted():
    store = new_store()
    store.insert("contacts", [contact("shopify", str(i), email="info@x.de") for i in range(6)])
    store.insert("contacts", [contact("hubspot", str(i), email="team@x.de") for i in range(5)])

    counts = identify(store, shop_config())

    assert counts["people"] == 6 + 1
    assert counts["shared_identifiers"] == 1


def test_a_customer_in_every_audience_of_an_account_is_one_person():
    store = new_store()
    store.insert("contacts", [contact("shopify", "1", email="ann@x.de"), contact("hubspot", "7", email="ann@x.de")])
    store.insert("contacts", [contact("mailchimp", i, email="ann@x.de") for i in ("m", "b1:m", "c1:m", "d1:m")])
    store.insert("contacts", [contact("mailchimp", f"b1:i{n}", email="info@x.de") for n in range(6)])

    counts = identify(store, shop_config())

    assert counts["people"] == 1 + 6
    assert counts["shared_identifiers"] == 1


def test_platform_ids_and_merges_join():
    store = new_store()
    store.insert(
        "contacts",
        [contact("hubspot", "10"), contact("hubspot", "11", state="merged", merged_into="10"), contact("shopify", "5")],
    )
    store.insert("identifiers", [{"source": "hubspot", "contact_id": "10", "kind": "shopify", "value": "5", "is_main": False}])

    assert identify(store, shop_config())["people"] == 1
    evidence = dict(store.sql("SELECT contact_id, evidence FROM person_links"))
    assert evidence == {"10": "merged on the platform", "11": "merged on the platform", "5": "id kept by another platform"}


def test_a_guest_is_a_person_and_becomes_the_contact_with_that_address():
    store = new_store()
    store.insert("orders", [order("shopify", "o1", None, "2026-01-01", "10", email="guest@x.de")])
    identify(store, shop_config())
    guest = person_of(store, "email", "guest@x.de")

    store.insert("contacts", [contact("mailchimp", "m", email="guest@x.de", created_at="2026-02-01 00:00:00")])
    counts = identify(store, shop_config())

    assert counts["people"] == 1
    assert person_of(store, "mailchimp", "m") == guest
    assert store.value("SELECT person_id FROM purchases") == guest


def test_a_contact_known_only_from_its_orders_is_a_person():
    store = new_store()
    store.insert("orders", [order("import", "o1", "c9", "2026-01-01", "10"), order("import", "o2", "c9", "2026-01-02", "10")])
    store.insert("events", [event("import", "c9", "ticket", "2026-01-03")])

    assert identify(store, shop_config())["people"] == 1


def test_ids_survive_and_the_one_known_longest_stays_when_people_turn_out_to_be_one():
    store = new_store()
    store.insert(
        "contacts",
        [
            contact("hubspot", "1", email="a@x.de", created_at="2026-03-01 00:00:00"),
            contact("shopify", "2", email="b@x.de", created_at="2025-01-01 00:00:00"),
        ],
    )
    identify(store, shop_config())
    young, old = person_of(store, "hubspot", "1"), person_of(store, "shopify", "2")

    store.insert(
        "identifiers", [{"source": "hubspot", "contact_id": "1", "kind": "email", "value": "b@x.de", "is_main": False}]
    )
    identify(store, shop_config())

    assert young != old
    assert person_of(store, "hubspot", "1") == person_of(store, "shopify", "2") == old


def test_people_who_come_apart_keep_one_id_and_get_one_new():
    store = new_store()
    store.insert("contacts", [contact("hubspot", "1", email="a@x.de"), contact("shopify", "2", email="a@x.de")])
    identify(store, shop_config())
    both = person_of(store, "shopify", "2")

    store.sql("UPDATE contacts SET email = 'b@x.de' WHERE source = 'shopify'")
    identify(store, shop_config())

    assert person_of(store, "hubspot", "1") == both
    assert person_of(store, "shopify", "2") != both
    assert store.value("SELECT count(DISTINCT person_id) FROM people") == 2


def test_two_stores_filled_in_another_order_agree():
    rows = [contact("shopify", str(i), email=f"p{i % 7}@x.de") for i in range(20)]
    one, two = new_store(), new_store()
    one.insert("contacts", rows)
    two.insert("contacts", rows[::-1])

    for store in (one, two):
        identify(store, shop_config())

    links = "SELECT * FROM person_links ORDER BY ALL"
    assert one.sql(links) == two.sql(links)
    identify(one, shop_config())
    assert one.sql(links) == two.sql(links)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=20))
def test_joining_gives_the_smallest_number_of_each_group(edges: list[tuple[int, int]]):
    groups = {n: {n} for e in edges for n in e}
    for a, b in edges:
        both = groups[a] | groups[b]
        for n in both:
            groups[n] = both

    assert join(edges) == ({n: min(group) for n, group in groups.items()}, 0)


def test_whom_an_erased_record_is_held_by_stays_however_often_is_looked():
    store, phone = new_store(), "030 901820"
    store.insert("contacts", [contact("shopify", "3", phone=phone), contact("shopify", "6", phone=phone)])
    identify(store, shop_config())

    store.sql("UPDATE contacts SET state = 'erased' WHERE contact_id = '6'")
    store.sql("UPDATE contacts SET phone = '030 555' WHERE contact_id = '3'")
    store.insert("contacts", [contact("shopify", "0", phone=phone)])
    once = identify(store, shop_config())["people"], person_of(store, "shopify", "3")
    store.sql("DELETE FROM meta WHERE name = 'identity_state'")

    assert (identify(store, shop_config())["people"], person_of(store, "shopify", "3")) == once
    assert once == (1, person_of(store, "shopify", "6"))


def test_of_two_records_that_were_erased_neither_leaves_the_person():
    store = new_store()
    store.insert("contacts", [contact(s, "1", email="a@x.example") for s in ("hubspot", "mailchimp", "shopify")])
    identify(store, shop_config())

    store.sql("UPDATE contacts SET state = 'erased', email = NULL WHERE source <> 'shopify'")
    for _ in range(2):
        store.sql("DELETE FROM meta WHERE name = 'identity_state'")
        assert identify(store, shop_config())["people"] == 1
