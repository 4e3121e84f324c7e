"""Made-up people with every kind of value a rule can speak of, missing ones among them, as plain Python facts; and the store
filled from the same facts.

The facts are what the oracle works on: per person `columns` (None where missing), `orders`, `events` and `carts`, each dated by
the shop's own day. What comes from the as-of day on is not in them: nobody may see it.
"""

from __future__ import annotations

import json
import random
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.stages.hand_shop import contact, derive, event, line, new_store, order, shop_config

TODAY = date(2026, 7, 1)
BERLIN = ZoneInfo("Europe/Berlin")
HOURS = ("12:00:00", "22:30:00", "23:30:00", "00:15:00")
"""Of UTC: the second and third are the next day in Berlin, in summer or always."""

CITIES = ("Bonn", "Köln", "Ulm", "Bad Ems", None)
FLAVOURS = ("Dark roast", "dark ROAST", "50% off", "a_b", "axb", "O'Neil", " tea ", "back\\slash", "{day}", "Straße", "", None)
TAGS = ("vip", "Tea fan", "b2b", "ÄRGER", "50%")
CATEGORIES = ("Coffee", "Tea", "Dark roast", None)
PRODUCTS = {"k1": ("Kenya", "Coffee"), "t1": ("Sencha", "Tea"), "m_1": ("Mug 50%", None), "x9": (None, None)}
"""Id -> name and category in the catalogue; the last one is in no catalogue."""

VENDORS = {"k1": "Acme", "t1": "Tea_House", "m_1": "50% Ltd"}
"""Id -> vendor in the catalogue; a line may name another one, of the day it was sold."""

IN_CARTS = (("k1", "Kenya"), ("m_1", "Mug 50%"), (None, "a_b tea"), (None, 'axb "big" tea'), ("x9", None))
"""Id and name, as a cart tells them."""

CAMPAIGNS = {"c1": ("July news", "Summer tea"), "c2": ("Tea week", "50% off"), "c3": (None, None)}
URLS = ("https://x.de/blog/a_b", "https://x.de/shop/tea?o=50%25", "https://x.de/Blog", None)
TEXTS = ("Great", "great tea", "50% off", "a_b", "", None)
KINDS = (
    "open",
    "click",
    "sent",
    "page_view",
    "product_view",
    "rating",
    "form",
    "search",
    "download",
    "ticket",
    "survey",
    "login",
)
AGO = (0, 1, 2, 5, 29, 30, 31, 89, 90, 91, 200, 364, 365, 366, 700)


class World:
    def __init__(self, people: int = 60, seed: int = 5) -> None:
        chance = random.Random(seed)
        self.people = [f"p{i:02}" for i in range(people)]
        self.given = {p: _given(chance) for p in self.people}
        self.orders: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.carts: list[dict[str, Any]] = []
        sold_by = random.Random(seed + 1)
        for i, person in enumerate(self.people[:-3]):
            for number in range(chance.choice((0, 0, 1, 1, 2, 3, 6))):
                first = (
                    {} if number else {"currency": "EUR", "at": f"{TODAY - timedelta(days=chance.choice(AGO[1:]))} 12:00:00"}
                )
                self.orders.append({"person": person} | _order(chance) | {"extra": (i + 1) / 16} | first)
            for number in range(chance.randint(0, 14)):
                one = {"person": person} | _event(chance)  # no two in one second: either could be the last
                self.events.append(one | {"at": f"{one['at'][:-2]}{number:02}"})
            for _ in range(chance.choice((0, 0, 1, 2))):
                self.carts.append({"person": person} | _cart(chance))
        for one in self.orders:
            for item in one["lines"]:
                item["vendor"] = sold_by.choice((None, None, "", "Acme", "acme tea"))

    def facts(self) -> dict[str, dict[str, Any]]:
        """By person, what can be known as of the day."""
        found = {}
        for person in self.people:
            orders, events, carts = ([_shown(r) for r in rows if r["person"] == person and _day(r["at"]) < TODAY]
                                     for rows in (self.orders, self.events, self.carts))  # fmt: skip
            last = max((o["at"] for o in orders if o["counts"]), default="")
            for one in carts:
                one["is_open"] = not one["is_completed"] and last < one["at"]
            found[person] = {"today": TODAY, "orders": orders, "events": events, "carts": carts,
                             "columns": self.given[person] | _columns(orders)}  # fmt: skip
        _rank([f["columns"] for f in found.values()])
        return found

    def ready(self) -> tuple[Any, Any, Any]:
        """(store, configuration, as-of moment), derived."""
        store, config = new_store(), shop_config()
        store.insert("contacts", [_contact(p, self.given[p]) for p in self.people])
        store.insert("products", [{"source": "shopify", "stream": "products", "record_id": k, "product_id": k, "title": title,
                                   "category": category, "vendor": VENDORS[k]}
                                  for k, (title, category) in PRODUCTS.items() if k != "x9"])  # fmt: skip
        store.insert("campaigns", [{"source": "shopify", "stream": "campaigns", "record_id": k, "campaign_id": k, "name": name,
                                    "subject": subject} for k, (name, subject) in CAMPAIGNS.items()])  # fmt: skip
        store.insert("orders", [order("shopify", str(i), o["person"], o["at"], str(_total(o)), currency=o["currency"])
                                for i, o in enumerate(self.orders)])  # fmt: skip
        store.insert("order_lines", [
            line("shopify", str(i), "", x["category"], str(x["amount"]), product_id=x["product"], sku=x["sku"],
                 currency=o["currency"]) | {"title": x["title"], "vendor": x["vendor"]}
            for i, o in enumerate(self.orders) for x in o["lines"]])  # fmt: skip
        store.insert("events", [
            event("shopify", e["person"], e["kind"], e["at"], record_id=f"e{i}", url=e["url"], category=e["category"],
                  campaign_id=e["campaign"], product_id=e["product"], text=e["text"], is_machine=e["is_machine"],
                  value=None if e["value"] is None else str(e["value"]))
            for i, e in enumerate(self.events)])  # fmt: skip
        store.insert("carts", [
            {"source": "shopify", "stream": "checkouts", "record_id": f"b{i}", "cart_id": f"b{i}", "contact_id": c["person"],
             "started_at": c["at"], "completed_at": c["at"] if c["is_completed"] else None,
             "total": None if c["total"] is None else str(c["total"]), "currency": c["currency"],
             "items": json.dumps([{"product_id": k, "title": t, "quantity": 2} for k, t in c["items"]])}
            for i, c in enumerate(self.carts)])  # fmt: skip
        return store, config, derive(store, config, TODAY)


def _given(chance: random.Random) -> dict[str, Any]:
    """What a person's record says."""
    tags = chance.choice((None, [], None, *(sorted(chance.sample(TAGS, n)) for n in (1, 2, 3))))
    return {
        "city": chance.choice(CITIES), "flavour": chance.choice(FLAVOURS) or None, "loyal": chance.choice((True, False, None)),
        "vip": chance.choice((True, False, None)), "shoe_size": chance.choice((36.0, 38.5, 40.0, 44.0, -1.5, None)),
        "joined_on": chance.choice((date(2024, 2, 29), date(2026, 1, 31), date(2026, 6, 1), date(2026, 6, 30), None)),
        "tags": tags, "birthday_month": chance.choice((1, 7, 12, None)),
    }  # fmt: skip


def _contact(person: str, given: dict[str, Any]) -> dict[str, Any]:
    said = {k: _in_json(given[k]) for k in ("flavour", "loyal", "vip", "shoe_size", "joined_on") if given[k] is not None}
    month, tags = given["birthday_month"], given["tags"]
    return contact(
        "shopify", person, email=f"{person}@x.de", city=given["city"], created_at="2024-01-01 00:00:00",
        attributes=json.dumps(said, ensure_ascii=False) if said else None, birthday=f"{month:02}/10" if month else None,
        tags=None if tags is None else json.dumps(tags, ensure_ascii=False),
    )  # fmt: skip


def _in_json(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _at(chance: random.Random) -> str:
    return f"{TODAY - timedelta(days=chance.choice(AGO))} {chance.choice(HOURS)}"


def _order(chance: random.Random) -> dict[str, Any]:
    lines = []
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        product = chance.choice((*PRODUCTS, None))
        named = PRODUCTS.get(product or "", (None, None))[0]
        title = chance.choice((named, "Kenya - 250g", "Gift a_b"))
        sku, amount = chance.choice((None, "SKU-1", "50%")), chance.choice((5, 10, 25))
        lines.append({"product": product, "sku": sku, "title": title, "amount": amount, "category": chance.choice(CATEGORIES)})
    lines = [x for x in lines if x["product"] or x["sku"] or x["title"]]
    currency = chance.choice(("EUR",) * 5 + ("USD",))
    return {"at": _at(chance), "base": chance.choice((0, 10, 25, 40, 100, -60)), "currency": currency, "lines": lines}


def _event(chance: random.Random) -> dict[str, Any]:
    kind = chance.choice(KINDS)
    product = chance.choice((*PRODUCTS, None)) if kind in ("product_view", "rating") else None
    return {
        "at": _at(chance), "kind": kind, "product": product, "is_machine": chance.choice((None, True, False)),
        "url": chance.choice(URLS) if kind in ("click", "page_view", "download") else None,
        "category": chance.choice((*CATEGORIES, "late")) if kind in ("click", "product_view", "rating", "ticket") else None,
        "campaign": chance.choice((*CAMPAIGNS, None)) if kind in ("open", "click", "sent") else None,
        "text": chance.choice(TEXTS) if kind in ("form", "search", "download", "ticket", "survey") else None,
        "value": chance.choice((1, 3, 4.5, 5, None)) if kind in ("rating", "survey") else None,
    }  # fmt: skip


def _cart(chance: random.Random) -> dict[str, Any]:
    return {"at": _at(chance), "total": chance.choice((None, 0, 15, 60)), "currency": chance.choice(("EUR", "EUR", "USD")),
            "items": chance.sample(IN_CARTS, chance.randint(0, 2)),
            "is_completed": chance.random() < 0.2}  # fmt: skip


# ---- what the facts say, in the oracle's own arithmetic


def _day(at: str) -> date:
    """The shop's day of a time."""
    return datetime.fromisoformat(f"{at}+00:00").astimezone(BERLIN).date()


def _total(one: dict[str, Any]) -> float:
    return one["base"] + one["extra"]


def _shown(one: dict[str, Any]) -> dict[str, Any]:
    """A row with its day, its money in the shop's currency, and every name that what it is about goes by."""
    found = one | {"ago": (TODAY - _day(one["at"])).days}
    is_ours = one.get("currency", "EUR") == "EUR"
    if "lines" in one:
        found |= {"net": _total(one) if is_ours else None, "counts": _total(one) >= 0}  # less than nothing is a return
        found["lines"] = [_named(x, is_ours) for x in one["lines"]]
    elif "kind" in one:
        title, category = PRODUCTS.get(one["product"], (None, None))
        found |= {"product": [w for w in (one["product"], title) if w], "category": one["category"] or category or None}
        found["vendor"] = VENDORS.get(one["product"])
        campaign = CAMPAIGNS.get(one["campaign"])
        found["campaign"] = [w for w in (one["campaign"], *campaign) if w] if campaign else []
        found["text"] = one["text"] or None
    else:
        found["total"] = one["total"] if is_ours else None
    return found


def _named(one: dict[str, Any], is_ours: bool) -> dict[str, Any]:
    title, category = PRODUCTS.get(one["product"], (None, None))
    names = [one["product"] or one["sku"] or one["title"], one["sku"], one["title"], title]
    amount = one["amount"] if is_ours else 0
    vendors = [v for v in (one["vendor"], VENDORS.get(one["product"])) if v]
    return {"product": [n for n in names if n], "category": one["category"] or category, "vendor": vendors, "amount": amount}


def _columns(orders: list[dict[str, Any]]) -> dict[str, Any]:
    real = [o for o in orders if o["counts"]]
    ago, sizes = [o["ago"] for o in real], [o["net"] for o in real if o["net"] is not None]
    spent, lately = (sum(o["net"] or 0 for o in orders if o["ago"] <= most) for most in (10**6, 90))
    first, last = max(ago, default=None), min(ago, default=None)
    return {
        "orders_total": len(real), "orders_90d": sum(n <= 90 for n in ago), "revenue_total": spent, "revenue_90d": lately,
        "aov": spent / len(sizes) if sizes else None, "largest_order": max(sizes, default=None),
        "first_order_on": None if first is None else TODAY - timedelta(days=first),
        "last_order_on": None if last is None else TODAY - timedelta(days=last),
        "days_since_order": last, "days_since_first_order": first,
    }  # fmt: skip


def _rank(columns: list[dict[str, Any]]) -> None:
    """Place among buyers by money spent, in percent. Nobody here spent as much as another with as many orders."""
    keys = sorted((-c["revenue_total"], -c["orders_total"]) for c in columns if c["orders_total"])
    assert len(set(keys)) == len(keys), "two buyers share a place; take another seed"
    for c in columns:
        place = keys.index((-c["revenue_total"], -c["orders_total"])) + 1 if c["orders_total"] else None
        c["spend_rank_pct"] = place and 100 * place / len(keys)
