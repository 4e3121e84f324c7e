"""The normalized model: one frozen dataclass a table, from which the store's tables are made.

Every row carries `source` (shopify, mailchimp, hubspot, import), `stream` and `record_id`: the raw record it was
translated from. A changed record replaces all rows with its (source, stream, record_id). Times are UTC without a
zone; money is an exact decimal with its currency beside it; ids are the platform's own, as text. `contact_id` is the
platform's id of the person (Shopify's number, Mailchimp's member hash, HubSpot's record id, an import's customer_id).
Which field of a platform fills a column stands in `mappings/<platform>.toml`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NewType

Json = NewType("Json", str)
"""Text that holds a JSON list or object."""

SQL_TYPES: dict[Any, str] = {
    str: "VARCHAR",
    int: "BIGINT",
    float: "DOUBLE",
    bool: "BOOLEAN",
    Decimal: "DECIMAL(18,4)",
    datetime: "TIMESTAMP",
    date: "DATE",
    Json: "VARCHAR",
}


def means(meaning: str, unit: str = "") -> Any:
    """A column and what it means; every column may be missing (NULL)."""
    return field(default=None, metadata={"meaning": meaning, "unit": unit})


@dataclass(frozen=True, kw_only=True)
class Row:
    source: str | None = means("the platform the record came from, or 'import'")
    stream: str | None = means("the stream of that platform, such as customers")
    record_id: str | None = means("id of the raw record this row was translated from")


@dataclass(frozen=True, kw_only=True)
class Contact(Row):
    """One row per contact record of a platform (a person may have several)."""

    contact_id: str | None = means("the platform's id of the contact")
    email: str | None = means("main e-mail address, trimmed and lower case")
    phone: str | None = means("main phone number as given; identity makes E.164 of it")
    first_name: str | None = means("given name")
    last_name: str | None = means("family name")
    company_id: str | None = means("the platform's id of the contact's company")
    company: str | None = means("company name as given on the contact")
    job_title: str | None = means("job title or occupation as given")
    industry: str | None = means("industry as given")
    city: str | None = means("city")
    region: str | None = means("state, province or region")
    country: str | None = means("country, ISO 3166 alpha-2 where the platform has it, else as given")
    postcode: str | None = means("postal code")
    latitude: float | None = means("latitude", "degrees")
    longitude: float | None = means("longitude", "degrees")
    timezone: str | None = means("time zone of the person where known")
    language: str | None = means("language, BCP 47 as the platform has it")
    birthday: str | None = means("birthday as given, MM/DD or YYYY-MM-DD")
    age: int | None = means("age as the customer gave it; never inferred", "years")
    gender: str | None = means("gender as the customer gave it; never inferred")
    income_band: str | None = means("income band as the customer gave it")
    education: str | None = means("education as the customer gave it")
    created_at: datetime | None = means("when the contact came to exist on the platform", "UTC")
    updated_at: datetime | None = means("when the platform last changed the record", "UTC")
    signup_source: str | None = means("how the contact came in: form, import, shop, advertisement")
    lifecycle_stage: str | None = means("lifecycle stage of the CRM as it stands now")
    lead_status: str | None = means("lead status of the CRM")
    rating: int | None = means("the platform's own engagement rating", "1 to 5")
    orders_claimed: int | None = means("number of orders as the platform counts them, a cross-check", "orders")
    spent_claimed: Decimal | None = means("lifetime spend as the platform counts it, a cross-check", "money")
    tags: Json | None = means("tags on the platform, JSON list of text")
    groups: Json | None = means("preference groups chosen, JSON list of text")
    state: str | None = means("live, archived, merged, erased or gone")
    merged_into: str | None = means("contact_id of the survivor of a merge")
    is_marketable: bool | None = means("HubSpot: a marketing contact; NULL elsewhere")
    attributes: Json | None = means("free attributes: everything the owner mapped that has no column, JSON object")


@dataclass(frozen=True, kw_only=True)
class Identifier(Row):
    """One row per address, phone or foreign id by which a contact may be recognised."""

    contact_id: str | None = means("the contact that carries the identifier")
    kind: str | None = means("email, phone, or the name of a platform whose contact id `value` is")
    value: str | None = means("the identifier as given; e-mails trimmed and lower case")
    is_main: bool | None = means("the main address or number of the contact")


@dataclass(frozen=True, kw_only=True)
class Consent(Row):
    """One row per contact, channel and topic: what the person said, as the platform has it now.

    Every different answer ever seen stays in `consent_history`.
    """

    contact_id: str | None = means("the contact")
    channel: str | None = means("email, sms or ads")
    topic: str | None = means("'' for the whole channel, else the subscription type or permission")
    status: str | None = means(
        "subscribed, unsubscribed (an explicit no), pending, transactional, never_asked, not_specified, dead, archived, erased"
    )
    platform_status: str | None = means("the platform's own word")
    changed_at: datetime | None = means("when the platform says the answer was given; often missing", "UTC")
    reason: str | None = means("reason given for leaving")


@dataclass(frozen=True, kw_only=True)
class Address(Row):
    """One row per postal address of a contact."""

    contact_id: str | None = means("the contact")
    kind: str | None = means("main, shipping or billing")
    city: str | None = means("city")
    region: str | None = means("state, province or region")
    country: str | None = means("country, ISO 3166 alpha-2 where known")
    postcode: str | None = means("postal code")


@dataclass(frozen=True, kw_only=True)
class Company(Row):
    """One row per company record of a platform."""

    company_id: str | None = means("the platform's id of the company")
    name: str | None = means("company name")
    domain: str | None = means("web domain")
    industry: str | None = means("industry")
    employees: int | None = means("number of employees", "people")
    annual_revenue: Decimal | None = means("annual revenue", "money")
    city: str | None = means("city")
    country: str | None = means("country")
    created_at: datetime | None = means("created on the platform", "UTC")
    updated_at: datetime | None = means("last changed on the platform", "UTC")
    state: str | None = means("live, archived, gone")


@dataclass(frozen=True, kw_only=True)
class Order(Row):
    """One row per purchase as one platform has it; `purchases` holds each purchase once."""

    order_id: str | None = means("the platform's id of the order")
    contact_id: str | None = means("the platform's id of the buyer, where the order names one")
    email: str | None = means("e-mail on the order, trimmed and lower case")
    kind: str | None = means("order or deal")
    name: str | None = means("the number people see, such as #1001")
    store: str | None = means("shop the order belongs to, as the platform names it")
    external_id: str | None = means("id of the same order in the shop, where this platform copied it")
    ordered_at: datetime | None = means("when the person bought", "UTC")
    updated_at: datetime | None = means("last changed on the platform", "UTC")
    status: str | None = means("paid, pending, authorized, partially_refunded, refunded, voided, cancelled, unknown")
    is_test: bool | None = means("a test order")
    is_cancelled: bool | None = means("cancelled")
    cancelled_at: datetime | None = means("when it was cancelled; NULL where it was not, or nobody knows", "UTC")
    is_edited: bool | None = means("changed after it was placed")
    currency: str | None = means("currency of every amount in the row, ISO 4217")
    total: Decimal | None = means("total charged at first, with tax and shipping, after discounts", "money")
    net: Decimal | None = means("what is left of the total after refunds, edits and removals", "money")
    subtotal: Decimal | None = means("goods after discounts, before tax and shipping", "money")
    discount: Decimal | None = means("discounts given", "money")
    tax: Decimal | None = means("tax", "money")
    shipping: Decimal | None = means("shipping", "money")
    refunded: Decimal | None = means("refunded so far", "money")
    discount_codes: Json | None = means("codes used, JSON list of text")
    channel: str | None = means("sales channel: web, pos, draft, subscription app")
    campaign_id: str | None = means("campaign the platform credits; its own opinion")
    landing_page: str | None = means("first page of the visit that led to the order")
    referrer: str | None = means("where that visit came from")
    traffic_source: str | None = means("source of that visit as the platform words it")
    utm_source: str | None = means("utm_source of that visit")
    utm_medium: str | None = means("utm_medium of that visit")
    utm_campaign: str | None = means("utm_campaign of that visit")
    country: str | None = means("country it was shipped to")
    region: str | None = means("region it was shipped to")
    city: str | None = means("city it was shipped to")
    postcode: str | None = means("postcode it was shipped to")
    attributes: Json | None = means("free attributes, JSON object")


@dataclass(frozen=True, kw_only=True)
class OrderLine(Row):
    """One row per line of an order on one platform."""

    order_id: str | None = means("the order of the same source")
    line_id: str | None = means("the platform's id of the line")
    contact_id: str | None = means("the buyer, where the line itself names one (imports)")
    ordered_at: datetime | None = means("when, where the line itself says so (imports)", "UTC")
    product_id: str | None = means("the platform's id of the product; NULL when it was deleted")
    variant_id: str | None = means("the platform's id of the variant")
    sku: str | None = means("stock keeping unit")
    title: str | None = means("product name at the time")
    category: str | None = means("category as given on the line (imports); else the product's")
    vendor: str | None = means("vendor or brand")
    quantity: Decimal | None = means("how many were bought", "pieces")
    quantity_kept: Decimal | None = means("how many were not returned or removed", "pieces")
    amount: Decimal | None = means("line total after discounts", "money")
    list_amount: Decimal | None = means("line total before discounts", "money")
    currency: str | None = means("currency of the amounts")
    is_gift_card: bool | None = means("a gift card, not merchandise")


@dataclass(frozen=True, kw_only=True)
class Refund(Row):
    """One row per refund of an order."""

    order_id: str | None = means("the order of the same source")
    refund_id: str | None = means("the platform's id of the refund")
    refunded_at: datetime | None = means("when", "UTC")
    amount: Decimal | None = means("money given back", "money")
    currency: str | None = means("currency of the amount")


@dataclass(frozen=True, kw_only=True)
class Discount(Row):
    """One row per discount applied to an order."""

    order_id: str | None = means("the order of the same source")
    code: str | None = means("code the customer typed; NULL for automatic ones")
    title: str | None = means("name of an automatic or manual discount")
    amount: Decimal | None = means("value, where it is an amount", "money")
    percentage: Decimal | None = means("value, where it is a percentage", "percent")


@dataclass(frozen=True, kw_only=True)
class Product(Row):
    """One row per product of a platform."""

    product_id: str | None = means("the platform's id of the product")
    title: str | None = means("product name")
    category: str | None = means("category: product type, else the taxonomy's name")
    vendor: str | None = means("vendor or brand")
    sku: str | None = means("SKU of the first variant")
    price: Decimal | None = means("lowest price", "money")
    currency: str | None = means("currency of the price")
    tags: Json | None = means("product tags, JSON list of text")
    status: str | None = means("active, archived, draft, unlisted")
    is_gift_card: bool | None = means("a gift card")
    created_at: datetime | None = means("created on the platform", "UTC")
    updated_at: datetime | None = means("last changed on the platform", "UTC")
    list_price: Decimal | None = means("usual price of the variant at the lowest price, where one is named", "money")
    stock: Decimal | None = means("how many can be sold now; NULL where nobody counts or more is sold than there is", "pieces")


@dataclass(frozen=True, kw_only=True)
class Cart(Row):
    """One row per cart or abandoned checkout."""

    cart_id: str | None = means("the platform's id of the cart")
    contact_id: str | None = means("whose cart it is")
    email: str | None = means("e-mail on the cart, trimmed and lower case")
    started_at: datetime | None = means("when the cart was begun", "UTC")
    updated_at: datetime | None = means("last changed", "UTC")
    completed_at: datetime | None = means("when it became an order after all; NULL if it did not", "UTC")
    total: Decimal | None = means("value of the cart", "money")
    currency: str | None = means("currency of the total")
    items: Json | None = means("what was in it, JSON list of {product_id, title, quantity}")


@dataclass(frozen=True, kw_only=True)
class Campaign(Row):
    """One row per e-mail campaign or marketing e-mail."""

    campaign_id: str | None = means("the platform's id of the campaign")
    name: str | None = means("title seen in the platform")
    subject: str | None = means("subject line")
    audience_id: str | None = means("audience or list it went to")
    sent_at: datetime | None = means("when it went out", "UTC")
    emails_sent: int | None = means("mails sent", "mails")
    opens: int | None = means("unique opens, machines included", "people")
    opens_human: int | None = means("unique opens without proxies and bots", "people")
    clicks: int | None = means("unique clicks", "people")
    unsubscribes: int | None = means("people who left through it", "people")
    bounces: int | None = means("hard and soft bounces", "mails")
    complaints: int | None = means("spam complaints", "people")
    forwards: int | None = means("forwards; who forwarded is not known", "mails")
    revenue: Decimal | None = means("revenue the platform credits to it", "money")


EVENT_KINDS = (
    "sent", "delivered", "open", "click", "bounce", "unsubscribe", "complaint", "forward", "page_view", "product_view",
    "search", "download", "form", "rating", "survey", "ticket", "login", "social", "subscribe",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Event(Row):
    """One row per dated thing a person did or received."""

    contact_id: str | None = means("the contact of the same source")
    email: str | None = means("address, where the event names no contact")
    kind: str | None = means("one of " + ", ".join(EVENT_KINDS))
    occurred_at: datetime | None = means("when", "UTC")
    is_machine: bool | None = means("an open or click by a proxy or bot; NULL where the platform cannot tell")
    campaign_id: str | None = means("the campaign it belongs to")
    url: str | None = means("page viewed or link clicked")
    product_id: str | None = means("product viewed, rated or searched for")
    category: str | None = means("category of page or product, topic of a ticket")
    value: Decimal | None = means("rating, survey score, seconds on page: the kind says which")
    text: str | None = means("search term, reason for leaving, answer, file name, form name")
    attributes: Json | None = means("free attributes, JSON object")


@dataclass(frozen=True, kw_only=True)
class Subscription(Row):
    """One row per subscription contract."""

    subscription_id: str | None = means("the source's id of the subscription")
    contact_id: str | None = means("the subscriber")
    email: str | None = means("subscriber's e-mail, trimmed and lower case")
    plan: str | None = means("plan name")
    price: Decimal | None = means("price of one period", "money")
    currency: str | None = means("currency of the price")
    started_at: datetime | None = means("begin", "UTC")
    renews_at: datetime | None = means("next renewal", "UTC")
    cancelled_at: datetime | None = means("end; NULL while it runs", "UTC")
    status: str | None = means("active, paused, cancelled, expired, failed")


@dataclass(frozen=True, kw_only=True)
class Snapshot(Row):
    """One row per contact, undated aggregate of a platform and day: they cannot be made up later."""

    contact_id: str | None = means("the contact")
    name: str | None = means("name of the aggregate, such as hs_email_open")
    value: str | None = means("its value as text")
    taken_on: date | None = means("the shop's day on which it was read")


TABLES: dict[str, type[Row]] = {
    "contacts": Contact,
    "identifiers": Identifier,
    "consents": Consent,
    "addresses": Address,
    "companies": Company,
    "orders": Order,
    "order_lines": OrderLine,
    "refunds": Refund,
    "discounts": Discount,
    "products": Product,
    "carts": Cart,
    "campaigns": Campaign,
    "events": Event,
    "subscriptions": Subscription,
    "snapshots": Snapshot,
}


@dataclass(frozen=True)
class Column:
    name: str
    sql_type: str
    meaning: str
    unit: str


def columns(table: str) -> tuple[Column, ...]:
    """The columns of a normalized table, in the order of its dataclass."""
    row = TABLES[table]
    hints = typing.get_type_hints(row)
    return tuple(
        Column(f.name, SQL_TYPES[_plain(hints[f.name])], f.metadata["meaning"], f.metadata["unit"])
        for f in dataclasses.fields(row)
    )


def _plain(hint: Any) -> Any:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(a for a in typing.get_args(hint) if a is not type(None))
    return hint


def ddl(table: str) -> str:
    """CREATE TABLE for a normalized table; no primary key (upserts are delete + insert by record)."""
    body = ",\n  ".join(f'"{c.name}" {c.sql_type}' for c in columns(table))
    return f'CREATE TABLE IF NOT EXISTS "{table}" (\n  {body}\n)'
