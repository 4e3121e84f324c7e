"""Mailchimp's copy of the shop, read where no shop is connected directly. Read only: writing it creates contacts.

There is no date filter and no sorting, so every walk is a full one; the store notices what did not change.
Docs: https://mailchimp.com/developer/marketing/docs/e-commerce/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from adapters.base import Cursor, Page, Record
from adapters.mailchimp_api import Api

STORE_FIELDS = ("id", "list_id", "name", "platform", "currency_code", "timezone")
ORDER_FIELDS = (
    "id", "customer.id", "customer.email_address", "customer.orders_count", "customer.total_spent", "store_id", "campaign_id",
    "landing_site", "financial_status", "fulfillment_status", "currency_code", "order_total", "discount_total", "tax_total",
    "shipping_total", "tracking_code", "processed_at_foreign", "cancelled_at_foreign", "updated_at_foreign", "shipping_address",
    "promos", "lines", "outreach",
)  # fmt: skip
PRODUCT_FIELDS = ("id", "title", "type", "vendor", "url", "variants", "published_at_foreign")
CART_FIELDS = (
    "id", "customer.id", "customer.email_address", "campaign_id", "currency_code", "order_total", "lines", "created_at",
    "updated_at",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One of the three collections of a store. `own` makes the keys that the record lacks."""

    key: str
    fields: tuple[str, ...]
    own: Callable[[Record], Record]


def stores(api: Api) -> list[Record]:
    """The stores of this audience (a store belongs to one audience for ever)."""
    rows = api.every("ecommerce/stores", "stores", STORE_FIELDS).rows
    return sorted((r for r in rows if r.get("list_id") == api.audience), key=lambda r: str(r["id"]))


def pages(api: Api, stream: str, cursor: Cursor | None) -> Iterator[Page]:
    """Everything of every store, one after the other. The cursor names the store and how far it is read."""
    kind = KINDS[stream]
    at = (cursor or {}).get("walk") or {"store": "", "offset": 0}
    found = stores(api)
    for store in (s for s in found if str(s["id"]) >= at["store"]):
        store_id = str(store["id"])
        offset: int | None = int(at["offset"]) if store_id == at["store"] else 0
        while offset is not None:
            part = api.window(f"ecommerce/stores/{store_id}/{kind.key}", kind.key, kind.fields, offset=offset, count=api.count)
            offset += len(part.rows)
            records = [_whole(r, store, kind) for r in part.rows]
            yield Page(records, {"walk": {"store": store_id, "offset": offset}}, total=part.total if len(found) == 1 else None)
            offset = offset if part.rows and offset < part.total else None
    yield Page([], {"walk": None}, done=True, note="" if found else "no shop is connected to this audience")


def _whole(row: Record, store: Record, kind: Kind) -> Record:
    own = {"_id": f"{store['id']}/{row['id']}", "_store_id": str(store["id"]), "_currency": store.get("currency_code") or ""}
    return {**row, **own, **kind.own(row)}


def _order(row: Record) -> Record:
    return {"lines": [{**line, **_amounts(line)} for line in row.get("lines") or []]}


def _amounts(line: Record) -> Record:
    """A line's price is of one piece; its discount is of the whole line. Exact decimals, as text."""
    price, quantity = _decimal(line.get("price")), _decimal(line.get("quantity"))
    if price is None or quantity is None:
        return {}
    return {"_list_amount": str(price * quantity), "_amount": str(price * quantity - (_decimal(line.get("discount")) or 0))}


def _product(row: Record) -> Record:
    variants = row.get("variants") or []
    prices = [p for p in (_decimal(v.get("price")) for v in variants) if p is not None]
    return {"_sku": next((v["sku"] for v in variants if v.get("sku")), ""), "_price": str(min(prices)) if prices else ""}


def _cart(row: Record) -> Record:
    names = {"product_id": "product_id", "title": "product_title", "quantity": "quantity"}
    return {"_items": [{ours: line.get(theirs) for ours, theirs in names.items()} for line in row.get("lines") or []]}


def _decimal(value: Any) -> Decimal | None:
    try:
        return Decimal(str(value)) if value not in (None, "") else None
    except InvalidOperation:
        return None


KINDS = {
    "shop_orders": Kind("orders", ORDER_FIELDS, _order),
    "shop_products": Kind("products", PRODUCT_FIELDS, _product),
    "shop_carts": Kind("carts", CART_FIELDS, _cart),
}
