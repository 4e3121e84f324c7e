"""Mailchimp's copy of the shop, read where no shop is connected directly. Read only: writing it creates contacts.

There is no date filter and no sorting, so every walk is a full one; the store notices what did not change. Ids of orders,
products and carts are the shop's own, and two stores may use the same ones: ours are `store/id`.
Docs: https://mailchimp.com/developer/marketing/docs/e-commerce/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from hashlib import md5
from typing import Any
from urllib.parse import quote

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


CENT = Decimal("0.02")
"""Rounding that a line's price may carry."""


@dataclass(frozen=True)
class Kind:
    """One of the three collections of a store. `own` makes the keys that the record lacks, given the store's id."""

    key: str
    fields: tuple[str, ...]
    own: Callable[[Record, str], Record]


def stores(api: Api) -> list[Record]:
    """The stores of every audience (a store belongs to one audience for ever)."""
    return sorted(api.every("ecommerce/stores", "stores", STORE_FIELDS).rows, key=lambda r: str(r["id"]))


def pages(api: Api, stream: str, cursor: Cursor | None) -> Iterator[Page]:
    """Everything of every store, one after the other. The cursor names the store and how far it is read, and counts the
    orders without a date, which nobody can place in time."""
    kind = KINDS[stream]
    at = (cursor or {}).get("walk") or {"store": "", "offset": 0}
    undated = int(at.get("undated") or 0)
    by_id = {str(s["id"]): s for s in stores(api)}
    found = list(by_id)
    total = sum(api.ahead(partial(_count, api, s, kind) for s in found)) if len(found) > 1 else None
    for store in (s for s in found if s >= at["store"]):
        offset: int | None = int(at["offset"]) if store == at["store"] else 0
        while offset is not None:
            part = api.window(
                f"ecommerce/stores/{quote(store, safe='')}/{kind.key}", kind.key, kind.fields, offset=offset, count=api.count
            )
            offset += len(part.rows)
            records = [_whole(api, r, by_id[store], kind) for r in part.rows]
            undated += sum("processed_at_foreign" in kind.fields and not r.get("processed_at_foreign") for r in records)
            walk = {"store": store, "offset": offset, "undated": undated}
            yield Page(records, {"walk": walk}, total=part.total if total is None else total)
            offset = offset if part.rows and offset < part.total else None
    yield Page([], {"walk": None}, done=True, note=_note(found, undated))


def _count(api: Api, store: str, kind: Kind) -> int:
    return api.page(f"ecommerce/stores/{quote(store, safe='')}/{kind.key}", kind.key, ("id",), offset=0, count=1).total


def _note(found: list[str], undated: int) -> str:
    if not found:
        return "no shop is connected to this account"
    if undated:
        return (
            f"Orders without a date in Mailchimp's copy of the shop: {undated:,}. "
            "They count in totals, and for nothing that asks when."
        )
    return ""


def _whole(api: Api, row: Record, store: Record, kind: Kind) -> Record:
    name = str(store["id"])
    own = {"_id": f"{name}/{row['id']}", "_store_id": name, "_currency": store.get("currency_code") or ""}
    audience, address = str(store.get("list_id") or ""), str((row.get("customer") or {}).get("email_address") or "")
    if address and audience not in ("", api.audience):
        member = md5(address.strip().lower().encode(), usedforsecurity=False).hexdigest()
        own["_contact_id"] = api.contact_id(audience, member)
    return {**row, **own, **kind.own(row, name)}


def _order(row: Record, store: str) -> Record:
    """Lines with their amounts (`_amount`, `_list_amount`: exact decimals, as text) and the product's id of ours."""
    lines = row.get("lines") or []
    is_total = _prices_are_of_lines(row, lines)
    return {"lines": [{**line, **_amounts(line, is_total), **_product_of(line, store)} for line in lines]}


def _prices_are_of_lines(row: Record, lines: list[Record]) -> bool:
    """Whether `price` is of the whole line here. Mailchimp does not say; most shops send the price of one piece. The
    order's own total decides, where it fits one reading only; else one piece it is."""
    total = _decimal(row.get("order_total"))
    if total is None or all(line.get("quantity") in (None, 0, 1) for line in lines):
        return False
    outside = [_decimal(row.get(k)) or Decimal(0) for k in ("tax_total", "shipping_total")]
    code = _decimal(row.get("discount_total")) or Decimal(0)
    fits = {total + d - t - s for d in (Decimal(0), code) for t in (Decimal(0), outside[0]) for s in (Decimal(0), outside[1])}
    sums = []
    for is_total in (False, True):
        amounts = [_decimal(_amounts(line, is_total).get("_amount")) for line in lines]
        sums.append(sum((a for a in amounts if a is not None), Decimal(0)))
    of_pieces, of_lines = (any(abs(found - fit) <= CENT * len(lines) for fit in fits) for found in sums)
    return of_lines and not of_pieces


def _amounts(line: Record, is_total: bool) -> Record:
    """The discount is of the whole line."""
    price, quantity = _decimal(line.get("price")), _decimal(line.get("quantity"))
    if price is None or quantity is None:
        return {}
    listed = price if is_total else price * quantity
    return {"_list_amount": str(listed), "_amount": str(listed - (_decimal(line.get("discount")) or 0))}


def _product_of(line: Record, store: str) -> Record:
    return {"_product_id": f"{store}/{line['product_id']}"} if line.get("product_id") else {}


def _product(row: Record, store: str) -> Record:
    variants = row.get("variants") or []
    prices = [p for p in (_decimal(v.get("price")) for v in variants) if p is not None]
    return {"_sku": next((v["sku"] for v in variants if v.get("sku")), ""), "_price": str(min(prices)) if prices else ""}


def _cart(row: Record, store: str) -> Record:
    names = {"product_id": "_product_id", "title": "product_title", "quantity": "quantity"}
    lines = [{**line, **_product_of(line, store)} for line in row.get("lines") or []]
    return {"_items": [{ours: line.get(theirs) for ours, theirs in names.items()} for line in lines]}


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
