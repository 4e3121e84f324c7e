"""A made-up shop with everything that makes identity and facts hard: copies of orders on other platforms, deals, guests,
family phones, shared addresses, merges, erased people, other currencies, refunds, lines of their own, events without a contact.
"""

from __future__ import annotations

import random
from typing import Any

from connector.store import Store
from tests.stages.hand_shop import contact, event, line, order

Rows = dict[str, list[dict[str, Any]]]

CATEGORIES = ("Coffee", "Tea", "Cups", "Gifts", None)
KINDS = ("sent", "sent", "sent", "open", "click", "page_view", "product_view", "login", "rating", "search", "ticket", "survey")


def moment(chance: random.Random) -> str:
    month = chance.choice(("2024-03", "2025-02", "2025-11", "2026-04", "2026-05", "2026-06"))
    return f"{month}-{chance.randint(1, 28):02} {chance.randint(0, 23):02}:{chance.randint(0, 59):02}:00"


def contacts_of(chance: random.Random, person: int) -> list[dict[str, Any]]:
    email, name = f"p{person}@mail{person % 3}.example", f"N{person % 7}"
    found = []
    for source in ("shopify", "mailchimp", "hubspot"):
        if chance.random() < 0.4:
            continue
        row = contact(
            source, f"{source[0]}{person}", email=email.upper() if chance.random() < 0.2 else email, first_name=name,
            phone=None, country=chance.choice(("DE", "FR", None)), merged_into=None, created_at=moment(chance),
            updated_at=moment(chance),
        )  # fmt: skip
        kind = chance.random()
        if kind < 0.15:
            row |= {"email": None, "phone": f"030 {100000 + person // 2}"}
        elif kind < 0.2:
            row |= {"email": f"info@shop{person % 2}.example"}
        elif kind < 0.25:
            row |= {"merged_into": f"{source[0]}{chance.randint(0, person)}", "state": "merged"}
        elif kind < 0.28:
            row |= {"email": None, "state": "erased"}
        found.append(row)
    return found


def orders_of(chance: random.Random, number: int, people: int) -> Rows:
    """One purchase: an order in the shop, perhaps a copy elsewhere, its lines and refund."""
    person = int(people * chance.random() ** 2)
    at, total = moment(chance), str(chance.choice((0, 5, 10, 10, 20, 35, -5)))
    guest = chance.random() < 0.15
    mine = order(
        "shopify", f"o{number}", None if guest else f"s{person}", at, total, email=f"p{person}@mail{person % 3}.example",
        name=f"#{number}", external_id=None, currency=chance.choice(("EUR", "EUR", "EUR", "USD")),
        discount=chance.choice((None, "2")), refunded=None, net=None, is_test=chance.random() < 0.03,
        is_cancelled=chance.random() < 0.03, traffic_source=chance.choice((None, None, "search", "mail")),
    )  # fmt: skip
    found: Rows = {"orders": [mine], "order_lines": [], "refunds": []}
    for _ in range(chance.randint(0, 3)):
        title = f"Thing {chance.randint(0, 9)}"
        category = CATEGORIES[int(title[-1]) % len(CATEGORIES)]
        found["order_lines"].append(line("shopify", f"o{number}", title, category, str(chance.randint(1, 9))))  # type: ignore[arg-type]
    if chance.random() < 0.1:
        mine |= {"refunded": "3", "status": "partially_refunded"}
        found["refunds"].append({"source": "shopify", "stream": "orders", "record_id": f"o{number}",
                                 "order_id": f"o{number}", "refunded_at": at, "amount": "3"})  # fmt: skip
    copy = chance.random()
    if copy < 0.3:
        other = mine | {"source": "mailchimp", "stream": "orders", "record_id": f"m{number}", "order_id": f"m{number}",
                        "contact_id": f"m{person}", "external_id": f"o{number}" if copy < 0.1 else None,
                        "name": None if copy > 0.2 else mine["name"]}  # fmt: skip
        found["orders"].append(other)
    elif copy < 0.4:
        found["orders"].append(mine | {"source": "hubspot", "stream": "deals", "record_id": f"d{number}", "kind": "deal",
                                       "order_id": f"d{number}", "contact_id": f"h{person}"})  # fmt: skip
    return found


def event_of(chance: random.Random, number: int, people: int) -> dict[str, Any]:
    person, kind = int(people * chance.random()), chance.choice(KINDS)
    source = chance.choice(("mailchimp", "shopify"))
    named = f"{source[0]}{person}" if chance.random() < 0.9 else None
    return event(
        source, named, kind, moment(chance), record_id=f"e{number}", email=None if named else f"p{person}@mail{person % 3}.example",
        is_machine=chance.choice((None, True, False)), campaign_id=f"k{number % 5}" if source == "mailchimp" else None,
        url=f"https://shop.example/{chance.choice(('tea', 'new'))}/{number % 9}" if kind in ("click", "page_view") else None,
        category=chance.choice(CATEGORIES) if kind.endswith("view") else None,
        product_id=f"thing {number % 9}" if kind in ("product_view", "rating") else None,
        value=str(1 + number % 5) if kind in ("rating", "survey") else None, text="words" if kind in ("search", "ticket") else None,
    )  # fmt: skip


def rows_of(people: int, seed: int, start: int = 0) -> Rows:
    """Rows by table; `start` numbers orders and events on, so that later rows are news about the same people."""
    chance = random.Random(seed)
    found: Rows = {"contacts": [], "orders": [], "order_lines": [], "refunds": [], "events": [], "consents": []}
    for person in range(people):
        found["contacts"] += contacts_of(chance, person)
    for number in range(start, start + 3 * people):
        for table, rows in orders_of(chance, number, people).items():
            found[table] += rows
    found["events"] = [event_of(chance, number, people) for number in range(start, start + 8 * people)]
    for c in found["contacts"]:
        status = chance.choice(("subscribed", "subscribed", "unsubscribed", "never_asked"))
        found["consents"].append({k: c[k] for k in ("source", "stream", "record_id", "contact_id")}
                                 | {"channel": "email", "topic": "", "status": status, "changed_at": c["created_at"]})  # fmt: skip
    return found


def fill(store: Store, rows: Rows) -> None:
    for table, own in rows.items():
        store.insert(table, own)
