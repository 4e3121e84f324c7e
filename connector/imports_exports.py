"""The standard export files of shops, mail and CRM programs, recognised by their headers, so that they need no --map file.

Headers as the programs write them (case and spaces aside). Consent in such a file is as old as the file: it is not read; the
platforms themselves are asked before anything is written to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from connector.imports_kinds import squash


@dataclass(frozen=True)
class Export:
    """`marks`: headers that together give the file away. `columns`: ours -> theirs, several where versions differ.

    `ids`: what stands before the program's own ids of people, which are small numbers that other programs give too.
    `is_phone_international`: telephone numbers begin with the code of the country, without a plus.
    `continues`: a column that is filled in the first row of each record only; the rows without it are further lines.
    """

    title: str
    kind: str
    marks: tuple[str, ...]
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    continues: str = ""
    ids: str = ""
    is_phone_international: bool = False


EXPORTS = (
    Export("Shopify's customer export", "contacts", ("First Name", "Accepts Email Marketing", "Total Spent", "Total Orders"), {
        "customer_id": ("Customer ID",), "email": ("Email",), "phone": ("Phone", "Default Address Phone"),
        "company": ("Default Address Company", "Company"), "city": ("Default Address City", "City"),
        "region": ("Default Address Province Code", "Province Code"), "postcode": ("Default Address Zip", "Zip"),
        "country": ("Default Address Country Code", "Country Code"), "tags": ("Tags",)}),
    Export("Shopify's order export", "orders", ("Name", "Financial Status", "Lineitem name", "Created at"), {
        "order_id": ("Name",), "email": ("Email",), "date": ("Created at",), "amount": ("Total",), "currency": ("Currency",),
        "discount": ("Discount Amount",), "tax": ("Taxes",), "shipping": ("Shipping",), "status": ("Financial Status",),
        "refunded_amount": ("Refunded Amount",), "cancelled_at": ("Cancelled at",),
        "channel": ("Source",), "country": ("Shipping Country",), "city": ("Shipping City",), "postcode": ("Shipping Zip",)},
        "Total"),
    Export("Shopify's order export", "order_lines", ("Name", "Financial Status", "Lineitem name", "Lineitem price"), {
        "order_id": ("Name",), "product_id": ("Lineitem sku",), "product": ("Lineitem name",),
        "quantity": ("Lineitem quantity",), "price": ("Lineitem price",), "line_discount": ("Lineitem discount",),
        "vendor": ("Vendor",), "currency": ("Currency",)}),
    Export("Mailchimp's audience export", "contacts", ("Email Address", "MEMBER_RATING", "OPTIN_TIME", "LEID"), {
        "email": ("Email Address",), "first_name": ("First Name",), "last_name": ("Last Name",), "phone": ("Phone Number",),
        "birthday": ("Birthday",), "created_at": ("OPTIN_TIME",), "region": ("REGION",), "country": ("CC",),
        "tags": ("TAGS",), "latitude": ("LATITUDE",), "longitude": ("LONGITUDE",)}),
    Export("HubSpot's contact export", "contacts", ("Record ID", "Email", "Create Date"), {
        "customer_id": ("Record ID",), "email": ("Email",), "phone": ("Phone Number",), "company": ("Company Name",
        "Associated Company"), "job_title": ("Job Title",), "created_at": ("Create Date",), "city": ("City",),
        "region": ("State/Region",), "country": ("Country/Region",), "postcode": ("Postal Code",),
        "signup_source": ("Original Source", "Original Traffic Source"),
        "lifecycle_stage": ("Lifecycle Stage",), "other_emails": ("Additional email addresses",)}, ids="hubspot:"),
    Export("a WooCommerce order export", "orders", ("Order Number", "Order Status", "Order Date", "Email (Billing)"), {
        "order_id": ("Order Number",), "email": ("Email (Billing)",), "date": ("Order Date",), "amount": ("Order Total Amount",
        "Order Total"), "status": ("Order Status",), "discount": ("Cart Discount Amount", "Discount Amount"),
        "tax": ("Order Total Tax Amount",), "refunded_amount": ("Order Refund Amount",),
        "shipping": ("Order Shipping Amount",), "country": ("Country Code (Shipping)",
        "Country Code (Billing)"), "city": ("City (Shipping)", "City (Billing)"), "postcode": ("Postcode (Shipping)",
        "Postcode (Billing)"), "currency": ("Order Currency", "Currency")}, "Order Date"),
    Export("a WooCommerce order export", "order_lines", ("Order Number", "Order Status", "Item Name"), {
        "order_id": ("Order Number",), "product_id": ("SKU", "Item SKU"), "product": ("Item Name",),
        "quantity": ("Quantity", "Quantity (- Refund)"), "price": ("Item Cost",), "date": ("Order Date",),
        "email": ("Email (Billing)",)}),
    Export("Brevo's contact export", "contacts", ("CONTACT ID", "EMAIL", "ADDED_TIME"), {
        "customer_id": ("CONTACT ID",), "email": ("EMAIL",), "first_name": ("FIRSTNAME",), "last_name": ("LASTNAME",),
        "phone": ("SMS", "WHATSAPP"), "created_at": ("ADDED_TIME",)}, ids="brevo:", is_phone_international=True),
    Export("Constant Contact's contact export", "contacts", ("Email address", "First name", "Email status"), {
        "email": ("Email address",), "first_name": ("First name",), "last_name": ("Last name",), "company": ("Company",),
        "job_title": ("Job title",), "phone": ("Phone - mobile", "Phone - home", "Phone - work"),
        "city": ("City - Home", "City - Work"), "region": ("State/Province - Home", "State/Province - Work"),
        "country": ("Country - Home", "Country - Work"), "postcode": ("Zip/Postal Code - Home", "Zip/Postal Code - Work"),
        "birthday": ("Birthday",), "created_at": ("Created At",), "tags": ("Tags",), "groups": ("Email Lists",),
        "signup_source": ("Source Name",)}),
)  # fmt: skip


def known_export(kind: str, header: Sequence[str]) -> Export | None:
    """The export this header belongs to, for that kind of import; the one with most marks where several fit."""
    names = {squash(n) for n in header}
    fitting = [e for e in EXPORTS if e.kind == kind and {squash(m) for m in e.marks} <= names]
    return max(fitting, key=lambda e: len(e.marks), default=None)


def columns_of(export: Export, header: Sequence[str]) -> dict[str, str]:
    """Ours -> theirs, as far as the header has them."""
    theirs = {squash(n): n for n in reversed(header)}
    found = {}
    for ours, names in export.columns.items():
        name = next((theirs[squash(n)] for n in names if squash(n) in theirs), None)
        if name is not None:
            found[ours] = name
    return found


def stand_ins(export: Export, header: Sequence[str]) -> list[tuple[int, int]]:
    """Numbers of the columns (first, next) where `next` is read for rows in which `first` is empty."""
    numbers = {squash(n): i for i, n in reversed(list(enumerate(header)))}
    there = [[numbers[squash(n)] for n in names if squash(n) in numbers] for names in export.columns.values()]
    return [(found[0], other) for found in there for other in found[1:]]


def other_kinds(header: Sequence[str], kind: str) -> list[str]:
    """Other kinds the same file may be imported as (orders and their lines often share one file)."""
    names = {squash(n) for n in header}
    return [e.kind for e in EXPORTS if e.kind != kind and {squash(m) for m in e.marks} <= names]
