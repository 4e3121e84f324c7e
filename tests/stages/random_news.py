"""News of every kind about a small shop, at random: what may happen to records between two looks.

The shop has corners. What happens in one touches no other, so that many are compared at the price of one; within a corner
addresses, numbers and names come from a small pool: records share them, join, part and are shared by too many.
"""

from __future__ import annotations

import random

from connector.config import Config
from connector.sections import Identity
from tests.stages.hand_shop import contact, event, line, new_store, order, shop_config

ALONE = 200
"""People of a corner who share nothing: a change among a few is then a change among few."""

SOURCES = ("shopify", "mailchimp", "hubspot")

APART = (("shopify:0c1", "mailchimp:0c2"), ("m0-0@x.example", "hubspot:0c3"))

SETTINGS: tuple[Config, ...] = (
    shop_config(),
    shop_config(country="AT"),
    shop_config(timezone="America/New_York"),
    shop_config().model_copy(update={"identity": Identity(plus_addresses=True, dots=True)}),
    shop_config().model_copy(update={"identity": Identity(keep_apart=APART)}),
)


def mails(w):
    """The addresses of a corner."""
    own = (f"m0-{w}@x.example", f"m1-{w}@x.example", f"M2-{w}@x.example", f"m3-{w}@x.example")
    return (*own, f"ann{w}@gmail.com", f"ann{w}+a@gmail.com", f"a.nn{w}@gmail.com", f"no address {w}")


def phones(w):
    return f"+491511234{w:02}71", f"0151 1234{w:02}71", f"+431511234{w:02}71"


def days(w):
    """Of each corner others, for whether a day was one of a sale is told by all orders of the day."""
    month = f"2026-{w % 6 + 1:02}-{w // 6 + 1:02}"
    return f"{month} 23:30:00", month, f"2025{month[4:]}", f"2025{month[4:]} 00:30:00"


def shop(corners, seed=0):
    """Of each corner half of the records that may be there are."""
    chance = random.Random(seed)
    store = new_store()
    store.sql("SET threads = 1")  # a few rows are done by one faster
    alone = [(f"{w}a{n}", f"{w}a{n}@x.example") for w in range(corners) for n in range(ALONE)]
    store.insert("contacts", [contact("shopify", a, email=m, created_at="2025-01-01 00:00:00") for a, m in alone])
    bought = [(w, n) for w in range(corners) for n in range(9)]
    there = [(w, s, f"{w}c{n}") for w in range(corners) for s in SOURCES for n in range(7) if chance.random() < 0.5]
    store.insert("contacts", [a_record(chance, *known) for known in there])
    shares = [(w, n) for w in range(corners) for n in range(4 + w % 4)]
    store.insert("contacts", [contact("mailchimp", f"{w}i{n}", email=f"info{w}@x.example") for w, n in shares])
    orders = [order("shopify", f"{w}o{n}", f"{w}a{n}", days(w)[n % 2], "10", email=f"{w}a{n}@x.example")
              | {"discount": "1" if n % 4 == 0 else None} for w, n in bought]  # fmt: skip
    store.insert("orders", orders + [an_order_row(chance, w, f"{w}n{n}") for w in range(corners) for n in range(3)])
    store.insert("order_lines", [a_line(f"{w}o{n}", n % 3, "5") for w, n in bought for _ in range(n % 3)])
    thing = {"source": "shopify", "stream": "products", "record_id": "1", "product_id": "thing 1", "title": "One"}
    store.insert("products", [thing | {"vendor": "Brew"}])
    store.insert("events", [event("shopify", f"{w}a{n}", "sent", "2026-01-01", record_id=f"{w}e{n}") for w, n in bought])
    return store


def mail(chance, w):
    """One of them now more, now fewer share than may."""
    return chance.choice((*mails(w), *mails(w)[:1] * 4)) if chance.random() < 0.8 else None


def who(chance, w):
    """A record; now and then one of those who otherwise share nothing."""
    if chance.random() < 0.1:
        return "shopify", f"{w}a{chance.randint(0, 12)}"
    return chance.choice(SOURCES), f"{w}c{chance.randint(0, 6)}"


def whose(chance, w):
    """The contact of an order or event, or none: a guest."""
    return chance.choice((None, f"{w}c{chance.randint(0, 8)}", f"{w}c{chance.randint(0, 8)}", f"{w}a{chance.randint(0, 12)}"))


def no_contact(store, chance, w):
    store.sql("DELETE FROM contacts WHERE source = ? AND contact_id = ?", list(who(chance, w)))


def a_contact(store, chance, w):
    source, contact_id = who(chance, w)
    store.sql("DELETE FROM contacts WHERE source = ? AND contact_id = ?", [source, contact_id])
    store.insert("contacts", [a_record(chance, w, source, contact_id)])


def a_record(chance, w, source, contact_id):
    found = {
        "email": mail(chance, w), "phone": chance.choice((None, None, *phones(w))), "first_name": chance.choice((None, "Ana", "Ben")),
        "last_name": chance.choice((None, "Roe")), "created_at": f"2025-0{chance.randint(1, 9)}-01 00:00:00",
        "updated_at": chance.choice((None, f"2026-0{chance.randint(1, 9)}-01 00:00:00")),
        "merged_into": chance.choice((None, None, None, f"{w}c{chance.randint(0, 6)}")),
        "state": chance.choice(("live", "live", "live", "archived", "erased")),
    }  # fmt: skip
    return contact(source, contact_id, **found)


def a_merge(store, chance, w):
    """As HubSpot does it: one goes, the other carries its id and address from then on."""
    gone, stays = f"{w}c{chance.randint(0, 3)}", f"{w}c{chance.randint(4, 6)}"
    found = store.sql("DELETE FROM contacts WHERE source = 'hubspot' AND contact_id = ? RETURNING email", [gone])
    base = {"source": "hubspot", "stream": "contacts", "record_id": stays, "contact_id": stays}
    rows = [("hubspot", gone), *(("email", str(m)) for (m,) in found if m)]
    store.insert("identifiers", [base | {"kind": kind, "value": value} for kind, value in rows])


def an_erased_contact(store, chance, w):
    """The platform forgot the person: the record stays without an address."""
    source, contact_id = who(chance, w)
    if store.sql("DELETE FROM contacts WHERE source = ? AND contact_id = ? RETURNING 1", [source, contact_id]):
        store.insert("contacts", [contact(source, contact_id, state="erased")])


def an_identifier(store, chance, w):
    source, contact_id = who(chance, w)
    kind, value = chance.choice((
        ("email", chance.choice(mails(w))), ("phone", chance.choice(phones(w))),
        (source, f"{w}c{chance.randint(0, 6)}"), ("shopify", f"{w}c2"),
    ))  # fmt: skip
    store.sql("DELETE FROM identifiers WHERE source = ? AND contact_id = ?", [source, contact_id])
    if chance.random() < 0.7:
        row = {"source": source, "stream": "x", "record_id": contact_id, "contact_id": contact_id, "kind": kind, "value": value}
        store.insert("identifiers", [row])


def one_more_or_less_shares(store, chance, w):
    """An address about as many hold as may."""
    address = f"info{w}@x.example"
    held = [n for (n,) in store.sql("SELECT contact_id FROM contacts WHERE email = ? ORDER BY 1", [address])]
    if len(held) > 4 and chance.random() < 0.6:
        store.sql("DELETE FROM contacts WHERE contact_id = ?", [chance.choice(held)])
        return
    new = f"{w}i{chance.randint(0, 9)}"
    store.sql("DELETE FROM contacts WHERE contact_id = ?", [new])
    store.insert("contacts", [contact("mailchimp", new, email=address, first_name=chance.choice((None, "Ana")))])


def an_order(store, chance, w):
    """New, or one that was there: of somebody else, cancelled, refunded, of another day, with other lines."""
    number = chance.choice((f"{w}n{chance.randint(0, 9)}", f"{w}o{chance.randint(0, 8)}"))
    remove(store, number)
    store.insert("orders", [an_order_row(chance, w, number)])
    store.insert(
        "order_lines", [a_line(number, chance.randint(0, 2), chance.choice("35")) for _ in range(chance.randint(0, 3))]
    )


def an_order_row(chance, w, number):
    values = {
        "email": mail(chance, w), "discount": chance.choice((None, None, "2")), "refunded": chance.choice((None, None, "5")),
        "status": chance.choice(("paid", "paid", "cancelled", "voided", "refunded")), "currency": chance.choice(("EUR", "EUR", "USD")),
        "is_test": chance.choice((None, None, None, True)),
    }  # fmt: skip
    row = order("shopify", number, whose(chance, w), chance.choice(days(w)), chance.choice(("20", "20", "-5", "0")), **values)
    return row | ({"ordered_at": None} if chance.random() < 0.1 else {})


def a_line(number, n, amount):
    return line("shopify", number, f"Thing {n}", ("Tea", "Honey")[n % 2], amount, vendor=("Acme", None, "Brew")[n])


def remove(store, number):
    for table in ("orders", "order_lines", "refunds"):
        store.sql(f"DELETE FROM {table} WHERE source = 'shopify' AND order_id = ?", [number])


def a_late_line(store, chance, w):
    store.insert("order_lines", [a_line(f"{w}o{chance.randint(0, 8)}", chance.randint(0, 2), "4")])


def a_late_refund(store, chance, w):
    number = f"{w}o{chance.randint(0, 8)}"
    store.insert("refunds", [{"source": "shopify", "stream": "orders", "record_id": number, "order_id": number, "amount": "1"}])


def an_event(store, chance, w):
    kind = chance.choice(("click", "login", "sent", "open", "product_view", "odd"))
    values = {
        "url": chance.choice((None, "https://s.example/tea/1", f"https://s.example/t{chance.randint(0, 3)}/{w}")),
        "category": chance.choice((None, None, "Tea")), "campaign_id": chance.choice((None, "k1", f"k{w}")),
        "text": chance.choice((None, "words")), "email": mail(chance, w), "record_id": f"e{chance.random()}",
    }  # fmt: skip
    store.insert("events", [event("shopify", whose(chance, w), kind, chance.choice(days(w)), **values)])


def a_cart(store, chance, w):
    store.sql("DELETE FROM carts WHERE record_id = ?", [f"k{w}"])
    row = {"source": "shopify", "stream": "carts", "record_id": f"k{w}", "cart_id": f"k{w}", "email": mail(chance, w)}
    store.insert("carts", [row | {"contact_id": whose(chance, w)}])


def a_subscription(store, chance, w):
    store.sql("DELETE FROM subscriptions WHERE record_id = ?", [f"s{w}"])
    if chance.random() < 0.7:
        row = {"source": "shopify", "stream": "s", "record_id": f"s{w}", "email": mail(chance, w)}
        store.insert("subscriptions", [row | {"contact_id": whose(chance, w)}])


def no_order(store, chance, w):
    remove(store, f"{w}n{chance.randint(0, 9)}")


def an_order_elsewhere(store, chance, w):
    if not store.sql("DELETE FROM orders WHERE source = 'mailchimp' RETURNING 1"):
        store.insert("orders", [order("mailchimp", "m1", f"{w}c{chance.randint(0, 6)}", "2026-02-02", "20")])


def no_event(store, chance, w):
    store.sql("DELETE FROM events WHERE record_id = ?", [f"{w}e{chance.randint(0, 8)}"])


def a_product(store, chance, _):
    store.sql("UPDATE products SET category = ?", [chance.choice(("Tea", "Honey", "Spoons"))])


def a_category(store, chance, w):
    category = chance.choice(("Tea", "New", "Newer"))
    store.insert("order_lines", [line("shopify", f"{w}o{chance.randint(0, 8)}", "Thing 1", category, "4")])


OFTEN = (
    no_contact, no_contact, a_contact, a_contact, a_contact, an_identifier, a_merge, an_erased_contact, one_more_or_less_shares,
    one_more_or_less_shares, an_order, an_order, an_order, a_late_line, a_late_refund, an_event, an_event, an_event, a_cart,
    a_subscription,
)  # fmt: skip

SELDOM = (no_order, an_order_elsewhere, no_event, a_product, a_category)
"""News that are not followed: everything is made anew."""
