"""Forty made-up people with orders, lines, events and carts as plain Python lists, and the store filled from them.

The lists are what an oracle works on; nothing of ours is needed to read them.
"""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta

from tests.stages.hand_shop import contact, derive, event, line, new_store, order, shop_config

TODAY = date(2026, 7, 1)
CATEGORIES = ("Coffee", "Tea", "Ware")
CITIES = ("Bonn", "Ulm", None)
VENDORS = {"1": "Acme", "2": "Brew & Sons", "3": None}
"""By the number a product's name ends with."""


class World:
    def __init__(self, people: int = 40, seed: int = 3) -> None:
        chance = random.Random(seed)
        self.people = [f"p{i:02}" for i in range(people)]
        self.city = {p: chance.choice(CITIES) for p in self.people}
        self.loyal = {p: (True, False, None)[i % 3] for i, p in enumerate(self.people)}
        self.orders: list[tuple[str, date, float, str, str]] = []
        self.events: list[tuple[str, str, date, dict]] = []
        self.carts: list[tuple[str, date, float]] = []
        for person in self.people[:-4]:
            for _ in range(chance.choice((0, 0, 1, 2, 3, 6))):
                day = TODAY - timedelta(days=chance.choice((1, 5, 30, 31, 89, 90, 91, 200, 365, 366, 700)))
                category = chance.choice(CATEGORIES)
                self.orders.append(
                    (person, day, float(chance.choice((10, 25, 40, 100))), category, f"{category} No {chance.randint(1, 3)}")
                )
            for _ in range(chance.randint(0, 6)):
                day = TODAY - timedelta(days=chance.choice((1, 10, 29, 30, 31, 60, 61, 200)))
                kind = chance.choice(("open", "click", "sent", "product_view", "rating", "form", "search", "ticket", "survey"))
                given = {"click": {"url": chance.choice(("https://x.de/blog/a", "https://x.de/shop/b"))},
                         "product_view": {"category": chance.choice(CATEGORIES)},
                         "rating": {"value": str(chance.randint(1, 5))}, "survey": {"text": chance.choice(("great", "poor"))},
                         "form": {"text": chance.choice(("Newsletter", "Contact"))},
                         "search": {"text": chance.choice(("kenya", "mug"))},
                         "ticket": {"category": chance.choice(("late", "broken"))}}.get(kind, {})  # fmt: skip
                self.events.append((person, kind, day, given))
            if chance.random() < 0.3:
                self.carts.append((person, TODAY - timedelta(days=chance.choice((2, 20, 40))), float(chance.choice((15, 60)))))

    def store(self):
        store = new_store()
        known = {"created_at": "2024-01-01 00:00:00"}
        said = {True: '{"loyal": "true"}', False: '{"loyal": "false"}', None: None}
        told = {p: {"city": self.city[p], "attributes": said[self.loyal[p]]} for p in self.people}
        store.insert("contacts", [contact("shopify", p, email=f"{p}@x.de", **told[p], **known) for p in self.people])
        if self.orders:
            store.insert(
                "orders", [order("shopify", str(i), p, str(d), str(v)) for i, (p, d, v, _, _) in enumerate(self.orders)]
            )
            store.insert(
                "order_lines",
                [line("shopify", str(i), t, c, str(v), vendor=VENDORS[t[-1]]) for i, (_, _, v, c, t) in enumerate(self.orders)],
            )
        rows = [event("shopify", p, k, str(d), **g) | {"record_id": str(i)} for i, (p, k, d, g) in enumerate(self.events)]
        if rows:
            store.insert("events", rows)
        if self.carts:
            store.insert("carts", [
                {"source": "shopify", "cart_id": str(i), "contact_id": p, "started_at": f"{d} "
                    f"08:00:00", "total": str(v), "currency": "EUR"}
                for i, (p, d, v) in enumerate(self.carts)])  # fmt: skip
        return store

    def ready(self, *segments):
        store, config = self.store(), shop_config(*segments)
        return store, config, derive(store, config, TODAY)

    # ---- the oracle's own arithmetic

    def of_vendor(self, person, vendor, days=None):
        return [(d, v) for p, d, v, _, t in self.orders if p == person and _in(d, days) and VENDORS[t[-1]] == vendor]

    def bought(self, person, category=None, product=None, days=None):
        return sum(1 for p, d, _, c, t in self.orders
                   if p == person and _in(d, days) and category in (None, c) and (product is None or product in t))  # fmt: skip

    def spent(self, person, category=None, days=None):
        return sum(v for p, d, v, c, _ in self.orders if p == person and _in(d, days) and category in (None, c))

    def did(self, person, *kinds, days=None, **given):
        return sum(1 for p, k, d, g in self.events
                   if p == person and k in kinds and _in(d, days)
                   and all(v in str(g.get(n, "")) for n, v in given.items()))  # fmt: skip

    def last(self, person, *kinds):
        return min(((TODAY - d).days for p, k, d, _ in self.events if p == person and k in kinds), default=None)

    def last_order(self, person):
        return min(((TODAY - d).days for p, d, *_ in self.orders if p == person), default=None)

    def open_carts(self, person, days=None):
        last = max((d for p, d, *_ in self.orders if p == person), default=None)
        return sum(1 for p, d, _ in self.carts if p == person and _in(d, days)
                   and (last is None or datetime.combine(last, datetime.min.time()).replace(hour=12)
                        < datetime.combine(d, datetime.min.time()).replace(hour=8)))  # fmt: skip


def _in(day, days):
    return days is None or (TODAY - day).days <= days
