"""Morning Roast: a made-up coffee roaster with a few thousand customers over three years, the same for the same seed.

It has seasons, a subscription line, discounts, refunds, cancelled and test orders, newsletters, and the untidiness of real
accounts: people known to one platform only, answers to "may we write to you?" that contradict each other, orders copied to
two or three platforms, phone numbers written in several ways. All names and addresses are invented.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from connector.sandbox.sample_mailings import campaigns
from connector.sandbox.sample_people import Kind, people
from connector.sandbox.shop import HUBSPOT, MAILCHIMP, SHOPIFY, Cart, Customer, Line, Product, Purchase, Shop

NAME, CURRENCY, TIMEZONE = "Morning Roast", "EUR", "Europe/Berlin"
YEARS_DAYS = 3 * 365
FIRST_ORDER = 20_001
# product_id, title, category, price, weight in the choice
GOODS: tuple[tuple[str, str, str, str, int], ...] = (
    ("MR-101", "Night Shift", "Dark roast", "12.90", 12),
    ("MR-102", "Harbour Black", "Dark roast", "14.50", 8),
    ("MR-103", "Smoked Oak", "Dark roast", "15.90", 5),
    ("MR-201", "First Light", "Light roast", "13.90", 10),
    ("MR-202", "Guji Natural", "Light roast", "17.50", 6),
    ("MR-203", "Hill Farm Washed", "Light roast", "16.20", 5),
    ("MR-301", "Corner Bar Espresso", "Espresso", "13.50", 14),
    ("MR-302", "Velvet Espresso", "Espresso", "15.20", 9),
    ("MR-401", "Evening Decaf", "Decaf", "14.20", 6),
    ("MR-402", "Decaf Espresso", "Decaf", "14.90", 4),
    ("MR-501", "Hand grinder", "Equipment", "89.00", 2),
    ("MR-502", "Pour-over set", "Equipment", "34.50", 3),
    ("MR-503", "Filter papers, 100", "Equipment", "4.90", 7),
    ("MR-504", "Travel mug", "Equipment", "24.00", 3),
    ("MR-601", "Morning Box, 500 g a month", "Subscription", "21.90", 0),
    ("MR-602", "Morning Box, 1 kg a month", "Subscription", "39.90", 0),
    ("MR-701", "Gift card 25", "Gift card", "25.00", 1),
    ("MR-702", "Gift card 50", "Gift card", "50.00", 1),
)
USUAL_PRICES = {"MR-103": Decimal("17.90")}
STOCK = {"MR-501": 14, "MR-502": 31, "MR-504": 0}
"""Of what is counted; coffee is roasted as it is ordered."""
SEASON = (0.95, 0.85, 0.9, 0.95, 0.85, 0.75, 0.65, 0.7, 0.95, 1.1, 1.6, 1.9)  # January to December
CODES = (("WELCOME10", 10), ("SPRING15", 15), ("BLACKROAST20", 20))
SOURCES: tuple[dict[str, str], ...] = (
    {"source": "direct", "landing_page": "https://shop.example/"},
    {
        "source": "Google", "source_type": "SEARCH", "landing_page": "https://shop.example/collections/espresso",
        "referrer": "https://search.example/", "utm_source": "google", "utm_medium": "cpc", "utm_campaign": "espresso-brand",
    },
    {
        "source": "email", "source_type": "EMAIL", "landing_page": "https://shop.example/new",
        "utm_source": "mailchimp", "utm_medium": "email", "utm_campaign": "newsletter",
    },
    {
        "source": "Instagram", "source_type": "SOCIAL", "landing_page": "https://shop.example/products/guji-natural",
        "referrer": "https://social.example/", "utm_source": "instagram", "utm_medium": "social",
        "utm_campaign": "beans-of-the-month",
    },
)  # fmt: skip
CENT = Decimal("0.01")


def sample_shop(seed: int = 7, until: datetime | None = None, customers: int = 2500) -> Shop:
    """until: naive UTC; nothing in the shop is later. The three years before it are filled."""
    end = until or datetime.fromisoformat("2026-11-21T00:00:00")
    dice = random.Random(seed)
    start = end - timedelta(days=YEARS_DAYS)
    kinds = people(dice, start, end, customers)
    products = [
        Product(number, title, category, NAME, Decimal(price), list_price=USUAL_PRICES.get(number), stock=STOCK.get(number))
        for number, title, category, price, _ in GOODS
    ]
    purchases = _purchases(dice, kinds, end)
    _copy_to_platforms(dice, purchases, {k.customer.customer_id: k.customer for k in kinds})
    persons = [k.customer for k in kinds]
    _mark_regulars(persons, purchases)
    return Shop(
        NAME, CURRENCY, TIMEZONE, persons, products, purchases, campaigns(dice, persons, start, end),
        carts=_carts(dice, kinds, end),
    )  # fmt: skip


@dataclass(frozen=True)
class _Basket:
    lines: list[Line]
    discount: Decimal
    code: str


def _purchases(dice: random.Random, kinds: Sequence[Kind], end: datetime) -> list[Purchase]:
    made = [p for kind in kinds for p in _history(dice, kind, end)]
    made.sort(key=lambda p: (p.at, p.customer_id))
    for place, purchase in enumerate(made):
        purchase.order_id = str(FIRST_ORDER + place)
    return made


def _history(dice: random.Random, kind: Kind, end: datetime) -> list[Purchase]:
    """One customer's orders: every so many days, more before Christmas, fewer in summer, until they stop."""
    customer, at = kind.customer, kind.customer.created_at
    made: list[Purchase] = []
    while kind.every_days and at < min(end, kind.stops_at):
        when = _shop_hours(dice, at)
        if when >= end:
            break
        made.append(_purchase(dice, kind, when, is_first=not made, end=end))
        if kind.is_once:
            break
        gap = kind.every_days if kind.box else dice.gammavariate(2.0, kind.every_days / 2.0) / SEASON[at.month - 1]
        at += timedelta(days=max(0.5, gap))
    if made:
        customer.updated_at = max(customer.updated_at, made[-1].at)
    return made


def _shop_hours(dice: random.Random, day: datetime) -> datetime:
    """A time of day people buy at, in the shop's zone, as naive UTC."""
    hour = dice.choices((7, 9, 11, 13, 16, 18, 20, 21, 22), (4, 8, 9, 8, 8, 10, 16, 14, 7))[0]
    local = day.replace(
        hour=hour, minute=dice.randrange(60), second=dice.randrange(60), microsecond=0, tzinfo=ZoneInfo(TIMEZONE)
    )
    return max(local.astimezone(UTC).replace(tzinfo=None), day)


def _purchase(dice: random.Random, kind: Kind, at: datetime, *, is_first: bool, end: datetime) -> Purchase:
    basket = _basket(dice, kind, at, is_first=is_first)
    total = sum((line.amount for line in basket.lines), Decimal(0))
    source = {"source": "subscription"} if kind.box and not is_first else dict(dice.choices(SOURCES, (45, 25, 18, 12))[0])
    purchase = Purchase(
        "", kind.customer.customer_id, at, total, basket.lines,
        discount=basket.discount, code=basket.code, source=source, test=dice.random() < 0.003,
    )  # fmt: skip
    luck = dice.random()
    if luck < 0.015:
        purchase.cancelled = True
    elif luck < 0.055:
        _give_back(dice, purchase, end)
    return purchase


def _basket(dice: random.Random, kind: Kind, at: datetime, *, is_first: bool) -> _Basket:
    if kind.box:
        number, title, category, price, _ = next(g for g in GOODS if g[0] == kind.box)
        return _Basket([Line(number, title, category, 1, Decimal(price))], Decimal(0), "")
    chosen = {g[0]: g for g in dice.choices(GOODS, [_weight(g, kind, at) for g in GOODS], k=dice.choice((1, 1, 1, 2, 2, 3)))}
    lines = []
    for number, title, category, price, _ in chosen.values():
        quantity = dice.choice((1, 1, 1, 2, 2, 3)) * (4 if kind.is_business else 1)
        lines.append(Line(number, title, category, quantity, Decimal(price) * quantity))
    code, percent = "", 0
    if is_first and dice.random() < 0.4:
        code, percent = CODES[0]
    elif at.month == 11 and at.day > 20 and dice.random() < 0.6:
        code, percent = CODES[2]
    elif at.month in (3, 4) and dice.random() < 0.2:
        code, percent = CODES[1]
    elif dice.random() < 0.03:
        percent = 5  # an automatic discount, without a code
    discount = Decimal(0)
    for line in lines:
        off = (line.amount * percent / 100).quantize(CENT)
        line.amount -= off
        discount += off
    return _Basket(lines, discount, code)


def _weight(good: tuple[str, str, str, str, int], kind: Kind, at: datetime) -> float:
    weight = float(good[4]) * (6 if good[2] == kind.taste else 1)
    return weight * 8 if good[2] == "Gift card" and at.month == 12 else weight


def _give_back(dice: random.Random, purchase: Purchase, end: datetime) -> None:
    at = purchase.at + timedelta(days=dice.randint(2, 14), hours=dice.randint(0, 9))
    if at >= end:
        return
    amount = purchase.total if dice.random() < 0.4 else purchase.lines[0].amount
    purchase.refunded = amount
    purchase.refunds.append((at, amount))


def _copy_to_platforms(dice: random.Random, purchases: list[Purchase], by_id: dict[str, Customer]) -> None:
    """Every third order is on two platforms, every tenth on three; the sync takes the customer along."""
    two = three = 0
    for place, purchase in enumerate(purchases, 1):
        three += place % 10 == 0
        two += place % 10 != 0 and place % 3 == 0
        customer = by_id[purchase.customer_id]
        if not customer.email or not (two or three):
            continue
        if three:
            three -= 1
            purchase.on = frozenset((SHOPIFY, HUBSPOT, MAILCHIMP))
        else:
            two -= 1
            purchase.on = frozenset((SHOPIFY, HUBSPOT if place % 2 else MAILCHIMP))
        for platform, word in ((MAILCHIMP, "transactional"), (HUBSPOT, "not_specified")):
            if platform in purchase.on and platform not in customer.on:
                customer.on |= {platform}
                customer.consent[platform], customer.consent_at[platform] = word, None


def _mark_regulars(persons: list[Customer], purchases: list[Purchase]) -> None:
    """Tags that the owner wrote by hand, and a loyalty level in a metafield, for those who spent most."""
    spent: dict[str, Decimal] = {}
    for purchase in purchases:
        spent[purchase.customer_id] = spent.get(purchase.customer_id, Decimal(0)) + purchase.total - purchase.refunded
    ranked = sorted((c for c in persons if c.customer_id in spent), key=lambda c: (-spent[c.customer_id], c.customer_id))
    for place, customer in enumerate(ranked):
        share = place / len(ranked)
        level = "gold" if share < 0.05 else "silver" if share < 0.2 else ""
        if level and SHOPIFY in customer.on:
            customer.extra.setdefault(SHOPIFY, {})["metafields"] = {("loyalty", "level"): level}
        if share < 0.02:
            customer.tags.setdefault(SHOPIFY, []).append("VIP")


def _carts(dice: random.Random, kinds: Sequence[Kind], end: datetime) -> list[Cart]:
    """Checkouts of the last three months: Shopify keeps no older ones. Two of five were bought after all."""
    carts = []
    buyers = [k for k in kinds if k.every_days and not k.box and SHOPIFY in k.customer.on]
    for place, kind in enumerate(dice.sample(buyers, len(buyers) // 20)):
        at = max(kind.customer.created_at, end - timedelta(days=dice.uniform(1, 88)))
        lines = _basket(dice, kind, at, is_first=False).lines
        done = at + timedelta(hours=dice.uniform(2, 20)) if dice.random() < 0.4 else None
        total = sum((line.amount for line in lines), Decimal(0))
        carts.append(Cart(f"cart-{place + 1}", kind.customer.customer_id, at, total, lines, done))
    return carts
