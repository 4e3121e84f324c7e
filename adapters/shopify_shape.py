"""What a mapping cannot say about a Shopify record; keys that begin with _ are ours."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from adapters.base import Record
from adapters.shopify_documents import gid_number

FLAT_SMS = {
    "state": "marketingState", "optInLevel": "marketingOptInLevel", "updatedAt": "marketingUpdatedAt",
    "collectedFrom": "marketingCollectedFrom",
}  # fmt: skip
ERASED = "REDACTED"
PERSONAL = ("defaultEmailAddress", "defaultPhoneNumber", "defaultAddress", "firstName", "lastName")


def attach(stream: str, record: Record) -> None:
    """The first variant's SKU and the first collection of a product, its usual price and its stock, the items of a checkout, and
    the SMS consent of older versions in its newer place."""
    if stream == "customers":
        phone = record.get("defaultPhoneNumber")
        if not phone:
            return
        if "marketingState" in phone:
            phone["smsMarketingConsent"] = {new: phone.pop(old, None) for new, old in FLAT_SMS.items()}
        consent = phone.get("smsMarketingConsent") or {}
        if consent.get("state") == ERASED:  # e-mail consent has no such word since it moved to the address
            record["_state"] = ERASED
    elif stream == "products":
        variants = _nodes(record, "variants")
        record["_sku"] = next((v["sku"] for v in variants if v.get("sku")), None)
        record["_list_price"], record["_stock"] = _list_price(variants), _stock(record, variants)
        record["_collection"] = next((c["title"] for c in _nodes(record, "collections") if c.get("title")), None)
    elif stream == "checkouts":
        record["_items"] = [
            {"product_id": gid_number(n["product"]["id"]) if n.get("product") else None, "title": n.get("title"),
             "quantity": n.get("quantity")}
            for n in _nodes(record, "lineItems")
        ]  # fmt: skip


def _list_price(variants: list[dict[str, Any]]) -> str | None:
    """What the cheapest variant costs when it is not on offer; None where nothing says so."""
    priced = [v for v in variants if v.get("price")]
    return min(priced, key=lambda v: Decimal(v["price"])).get("compareAtPrice") or None if priced else None


def _stock(record: Record, variants: list[dict[str, Any]]) -> int | None:
    """Pieces of all variants together; None where they are not counted, or where a variant sells on with none left.

    totalInventory adds up what may be mixed: a variant nobody counts, one with less than nothing.
    """
    stock = record.get("totalInventory")
    if stock is None or not record.get("tracksInventory"):
        return None
    sells_on = any(v.get("availableForSale") or v.get("inventoryPolicy") == "CONTINUE" for v in variants)
    return None if stock <= 0 and sells_on else int(stock)


def is_blank(record: Record) -> bool:
    """A customer who bought and of whom nothing personal is left: Shopify erased the person, or the plan hides everybody."""
    if record.get(PERSONAL[0]):
        return False
    has_bought = str(record.get("numberOfOrders") or "0") != "0"
    return has_bought and all(name in record and not record[name] for name in PERSONAL)


def name_metafields(record: Record, aliases: Mapping[str, str]) -> None:
    """Put each metafield where the configuration says: metafields.namespace.key."""
    for alias, path in aliases.items():
        if alias in record:
            namespace, _, key = path.rpartition(".")
            value = (record.pop(alias) or {}).get("value")
            record.setdefault("metafields", {}).setdefault(namespace, {})[key] = value


def _nodes(record: Record, connection: str) -> list[dict[str, Any]]:
    """The connection's entries; none where it may not be read."""
    return (record.get(connection) or {}).get("nodes") or []
