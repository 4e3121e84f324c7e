"""Fills the simulated HubSpot from the shop: contacts, orders, deals, companies, and what the mailings left behind."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from connector.sandbox.hubspot_crm import Crm, Props, Record
from connector.sandbox.hubspot_wire import iso
from connector.sandbox.shop import HUBSPOT, SHOPIFY, Customer, Mailing, Product, Purchase, Shop
from connector.sandbox.shopify_objects import FIRST_ORDER_NAME, ORDERS_FROM

SOURCE_STORE = "sandbox-shop.myshopify.com"
ORDER_PIPELINE = "order-pipeline"
OPTED_OUT = ("opted_out", "unsubscribed")
OPTED_IN = ("opted_in", "subscribed")
NESTED = ("deals", "tickets", "carts", "company")
"""Keys of a customer's extra["hubspot"] that are objects of their own; all others are properties of the contact."""
COPIED_AFTER = timedelta(hours=2)
"""The shop integration brings an order over some time after the purchase."""


@dataclass
class Traces:
    """What HubSpot's e-mail counters know about one person."""

    delivered: int = 0
    opened: int = 0
    clicked: int = 0
    bounced: int = 0
    since_engaged: int = 0
    first_sent: datetime | None = None
    last_sent: datetime | None = None
    last_open: datetime | None = None
    last_click: datetime | None = None
    last_name: str = ""
    is_hard: bool = False

    def props(self) -> Props:
        numbers = {
            "hs_email_delivered": self.delivered,
            "hs_email_open": self.opened,
            "hs_email_click": self.clicked,
            "hs_email_bounce": self.bounced,
            "hs_email_sends_since_last_engagement": self.since_engaged,
        }
        times = {
            "hs_email_first_send_date": self.first_sent,
            "hs_email_last_send_date": self.last_sent,
            "hs_email_last_open_date": self.last_open,
            "hs_email_last_click_date": self.last_click,
        }
        made = {name: str(value) for name, value in numbers.items() if value}
        made |= {name: iso(at) for name, at in times.items() if at}
        if self.last_name:
            made["hs_email_last_email_name"] = self.last_name
        if self.is_hard:
            made |= {"hs_email_bad_address": "true", "hs_email_hard_bounce_reason_enum": "UNKNOWN_USER"}
        return made


def load(crm: Crm, shop: Shop) -> dict[str, Record]:
    """Fill an empty account; the contact of each customer_id. The search index knows everything at once."""
    bought: dict[str, list[Purchase]] = defaultdict(list)
    for purchase in shop.purchases:
        if HUBSPOT in purchase.on and not purchase.test:
            bought[purchase.customer_id].append(purchase)
    traces = _traces(shop.mailings)
    contacts: dict[str, Record] = {}
    for customer in shop.customers:
        if HUBSPOT in customer.on:
            props = _contact(crm, customer, traces.get(customer.customer_id), bool(bought.get(customer.customer_id)))
            contacts[customer.customer_id] = crm.create("contacts", props, customer.created_at, customer.updated_at)
            _nested(crm, customer, contacts[customer.customer_id])
    if bought:
        products = {product.product_id: _product(crm, product, shop) for product in shop.products}
        place = 0
        for purchase in shop.purchases:
            is_there = SHOPIFY in purchase.on
            if HUBSPOT in purchase.on and not purchase.test:
                _order(crm, shop, purchase, contacts.get(purchase.customer_id), products, place if is_there else None)
            place += is_there
    return contacts


def text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso(value)
    return ";".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def consent_props(word: str) -> dict[str, str | None]:
    """The properties behind a person's answer. HubSpot has no date of it, and no property for a yes but the topics'."""
    if word in OPTED_OUT:
        return {"hs_email_optout": "true", "hs_marketable_status": "false", "hs_legal_basis": None}
    if word in OPTED_IN:
        basis = "Freely given consent from contact"
        return {"hs_email_optout": "false", "hs_marketable_status": "true", "hs_legal_basis": basis}
    return {"hs_email_optout": None, "hs_marketable_status": "true", "hs_legal_basis": None}


def _contact(crm: Crm, customer: Customer, traces: Traces | None, is_buyer: bool) -> Props:
    word = customer.consent.get(HUBSPOT, "not_specified")
    named = {
        "email": customer.email,
        "firstname": customer.first_name,
        "lastname": customer.last_name,
        "phone": customer.phone,
        "city": customer.city,
        "state": customer.region,
        "country": customer.country,
        "zip": customer.postcode,
        "hs_language": customer.language,
        "hs_object_source_label": "INTEGRATION",
    }
    props = {name: value for name, value in named.items() if value}
    props["lifecyclestage"] = "customer" if is_buyer else "subscriber" if word in OPTED_IN else "lead"
    props |= {name: value for name, value in consent_props(word).items() if value is not None}
    if traces is not None:
        props |= traces.props()
    for name, value in customer.extra.get(HUBSPOT, {}).items():
        if name not in NESTED and value is not None:
            crm.catalog.ensure("contacts", name, value)
            props[name] = text_of(value)
    return props


def _nested(crm: Crm, customer: Customer, contact: Record) -> None:
    """Deals, tickets, carts and a company of one customer."""
    extra = customer.extra.get(HUBSPOT, {})
    for object_type in ("deals", "tickets", "carts"):
        for given in extra.get(object_type, ()):
            record = _other(crm, object_type, given, customer)
            crm.associate(object_type, record.id, "contacts", contact.id)
    company = extra.get("company")
    if company:
        known = next((r for r in crm.tables["companies"].live.values() if r.props.get("name") == company.get("name")), None)
        record = known or _other(crm, "companies", company, customer)
        crm.associate("companies", record.id, "contacts", contact.id)
        contact.props["associatedcompanyid"] = str(record.id)


def _other(crm: Crm, object_type: str, given: dict[str, Any], customer: Customer) -> Record:
    for name, value in given.items():
        crm.catalog.ensure(object_type, name, value)
    props = {name: text_of(value) for name, value in given.items() if value is not None}
    if object_type == "deals":
        won = props.get("dealstage", "closedwon") == "closedwon"
        props = {"pipeline": "default", "dealstage": "closedwon", **props}
        props |= {"hs_is_closed_won": text_of(won), "hs_is_closed": text_of(won or props["dealstage"] == "closedlost")}
    at = given.get("createdate")
    created = at if isinstance(at, datetime) else customer.created_at
    return crm.create(object_type, props, created, max(created, customer.updated_at))


def _product(crm: Crm, product: Product, shop: Shop) -> str:
    at = min((customer.created_at for customer in shop.customers), default=crm.clock())
    props = {"name": product.title, "price": _money(product.price), "hs_sku": product.product_id}
    return str(crm.create("products", {**props, "hs_product_type": product.category}, at, at).id)


def _order(
    crm: Crm, shop: Shop, purchase: Purchase, contact: Record | None, products: dict[str, str], place: int | None
) -> None:
    """place: where Shopify has the same order, which gives its number and name there; None when Shopify has it not."""
    created = purchase.at + COPIED_AFTER
    changed = max([created, *(at for at, _ in purchase.refunds)])
    named = {
        "hs_order_name": f"#{purchase.order_id}" if place is None else f"#{FIRST_ORDER_NAME + place}",
        "hs_external_order_id": purchase.order_id if place is None else str(ORDERS_FROM + place),
        "hs_source_store": SOURCE_STORE,
        "hs_total_price": _money(purchase.total),
        "hs_subtotal_price": _money(purchase.total),
        "hs_order_discount": _money(purchase.discount),
        "hs_discount_codes": purchase.code,
        "hs_currency_code": shop.currency,
        "hs_external_order_status": _status(purchase),
        "hs_external_created_date": iso(purchase.at),
        "hs_processed_date": iso(purchase.at),
        "hs_pipeline": ORDER_PIPELINE,
        "hs_pipeline_stage": "cancelled" if purchase.cancelled else "delivered",
        "hs_billing_address_email": contact.props.get("email", "") if contact else "",
    }
    order = crm.create("orders", {name: value for name, value in named.items() if value}, created, changed)
    if contact is not None:
        crm.associate("orders", order.id, "contacts", contact.id)
    for line in purchase.lines:
        quantity = max(line.quantity, 1)
        props = {
            "name": line.title,
            "quantity": str(line.quantity),
            "price": _money(line.amount / quantity),
            "amount": _money(line.amount),
            "hs_sku": line.product_id,
            "hs_product_id": products.get(line.product_id, ""),
        }
        item = crm.create("line_items", {name: value for name, value in props.items() if value}, created, created)
        crm.associate("orders", order.id, "line_items", item.id)


def _status(purchase: Purchase) -> str:
    if purchase.cancelled:
        return "cancelled"
    if not purchase.refunded:
        return "paid"
    return "refunded" if purchase.refunded >= purchase.total else "partially_refunded"


def _money(amount: Decimal) -> str:
    return f"{amount:.4f}".rstrip("0").rstrip(".") if amount else "0"


def _traces(mailings: list[Mailing]) -> dict[str, Traces]:
    found: dict[str, Traces] = defaultdict(Traces)
    for mailing in sorted(mailings, key=lambda one: one.sent_at):
        bounced = {customer: kind for customer, _, kind in mailing.bounces}
        for customer in mailing.recipients:
            one = found[customer]
            one.first_sent = one.first_sent or mailing.sent_at
            one.last_sent, one.last_name = mailing.sent_at, mailing.title
            one.since_engaged += 1
            if customer in bounced:
                one.bounced += 1
                one.is_hard = one.is_hard or bounced[customer] == "hard"
            else:
                one.delivered += 1
        for customer in {customer for customer, _, _ in mailing.opens}:
            found[customer].opened += 1
            found[customer].since_engaged = 0
        for customer in {customer for customer, _, _ in mailing.clicks}:
            found[customer].clicked += 1
            found[customer].since_engaged = 0
        for customer, at, _ in mailing.opens:
            found[customer].last_open = max(found[customer].last_open or at, at)
        for customer, at, _ in mailing.clicks:
            found[customer].last_click = max(found[customer].last_click or at, at)
    return found
