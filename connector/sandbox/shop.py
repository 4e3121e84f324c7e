"""The world that all simulators load: one shop, its customers, purchases and mailings. Times are naive UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

SHOPIFY, MAILCHIMP, HUBSPOT = "shopify", "mailchimp", "hubspot"
EVERYWHERE = frozenset((SHOPIFY, MAILCHIMP, HUBSPOT))


@dataclass
class Customer:
    """customer_id: the source's own text, leading zeros kept. on: the platforms that know this person.

    consent: per platform, in the platform's own word (Shopify SUBSCRIBED, Mailchimp subscribed, HubSpot opted_in,
    opted_out or not_specified). tags and extra: per platform.
    """

    customer_id: str
    email: str
    created_at: datetime
    updated_at: datetime
    first_name: str = ""
    last_name: str = ""
    phone: str = ""
    city: str = ""
    region: str = ""
    country: str = ""
    postcode: str = ""
    language: str = ""
    on: frozenset[str] = EVERYWHERE
    consent: dict[str, str] = field(default_factory=dict)
    consent_at: dict[str, datetime | None] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)
    extra: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Line:
    """amount: the whole line after discounts, in the shop's currency."""

    product_id: str
    title: str
    category: str
    quantity: int
    amount: Decimal


@dataclass
class Purchase:
    """total: what was paid at first, after discount; what remains is total - refunded. on: platforms that hold a copy."""

    order_id: str
    customer_id: str
    at: datetime
    total: Decimal
    lines: list[Line] = field(default_factory=list)
    on: frozenset[str] = frozenset((SHOPIFY,))
    discount: Decimal = Decimal(0)
    code: str = ""
    refunded: Decimal = Decimal(0)
    cancelled: bool = False
    test: bool = False
    source: dict[str, str] = field(default_factory=dict)
    refunds: list[tuple[datetime, Decimal]] = field(default_factory=list)


@dataclass
class Product:
    """list_price: what it costs when it is not on offer. stock: None is not counted. created_at: None is with the shop."""

    product_id: str
    title: str
    category: str
    vendor: str
    price: Decimal
    list_price: Decimal | None = None
    stock: int | None = None
    sells_on: bool = False
    status: str = "active"
    created_at: datetime | None = None


@dataclass
class Mailing:
    """opens: (customer_id, at, is_machine); clicks: (customer_id, at, url); bounces: (customer_id, at, "hard" or "soft");
    unsubscribes: (customer_id, at, reason)."""

    campaign_id: str
    title: str
    subject: str
    sent_at: datetime
    recipients: list[str] = field(default_factory=list)
    opens: list[tuple[str, datetime, bool]] = field(default_factory=list)
    clicks: list[tuple[str, datetime, str]] = field(default_factory=list)
    bounces: list[tuple[str, datetime, str]] = field(default_factory=list)
    unsubscribes: list[tuple[str, datetime, str]] = field(default_factory=list)


@dataclass
class Cart:
    """An abandoned checkout; completed_at says when it was bought after all."""

    cart_id: str
    customer_id: str
    created_at: datetime
    total: Decimal
    lines: list[Line] = field(default_factory=list)
    completed_at: datetime | None = None


@dataclass
class Shop:
    """history_scope: whether the token may read orders older than 60 days."""

    name: str
    currency: str
    timezone: str
    customers: list[Customer]
    products: list[Product]
    purchases: list[Purchase]
    mailings: list[Mailing]
    history_scope: bool = True
    carts: list[Cart] = field(default_factory=list)
