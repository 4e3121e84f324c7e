"""What products, variants and collections of the simulated shop answer, field by field."""

from __future__ import annotations

from typing import Any

from connector.sandbox.shopify_lists import plain_page
from connector.sandbox.shopify_objects import CollectionNode, ProductNode, VariantNode, hash_text, money, money_text, time_text
from connector.sandbox.shopify_request import Context


def _category(p: ProductNode, ctx: Context) -> dict[str, Any] | None:
    name = p.source.category
    if not name:
        return None
    return {
        "__typename": "TaxonomyCategory", "id": f"gid://shopify/TaxonomyCategory/{hash_text(name) % 10**6}", "name": name,
        "fullName": f"Food, Beverages & Tobacco > {name}", "level": 2, "isArchived": False, "isLeaf": True, "isRoot": False,
    }  # fmt: skip


def _price_range(p: ProductNode, ctx: Context) -> dict[str, Any]:
    price = money(p.source.price, ctx.shop.currency)
    return {"minVariantPrice": price, "maxVariantPrice": price}


def _handle(title: str) -> str:
    return "-".join("".join(ch if ch.isalnum() else " " for ch in title.lower()).split())


PRODUCT: dict[str, Any] = {
    "id": lambda p, ctx: p.id,
    "legacyResourceId": lambda p, ctx: str(p.number),
    "title": lambda p, ctx: p.source.title,
    "handle": lambda p, ctx: _handle(p.source.title),
    "status": lambda p, ctx: p.source.status.upper(),
    "vendor": lambda p, ctx: p.source.vendor,
    "productType": lambda p, ctx: p.source.category,
    "tags": lambda p, ctx: [],
    "isGiftCard": lambda p, ctx: "gift" in p.source.category.lower(),
    "createdAt": lambda p, ctx: time_text(p.created_at),
    "updatedAt": lambda p, ctx: time_text(p.updated_at),
    "publishedAt": lambda p, ctx: time_text(p.created_at) if p.source.status == "active" else None,
    "totalInventory": lambda p, ctx: p.source.stock or 0,
    "tracksInventory": lambda p, ctx: p.source.stock is not None,
    "hasOutOfStockVariants": lambda p, ctx: p.source.stock is not None and p.source.stock <= 0,
    "category": _category,
    "priceRangeV2": _price_range,
    "totalVariants": lambda p, ctx: 1,
    "variantsCount": lambda p, ctx: {"count": 1, "precision": "EXACT"},
    "variants": lambda p, ctx, args: plain_page(ctx, [VariantNode(p)], args, p.id),
    "collections": lambda p, ctx, args: plain_page(ctx, [p.collection] if p.collection else [], args, f"{p.id}c"),
}

VARIANT: dict[str, Any] = {
    "id": lambda v, ctx: v.id,
    "legacyResourceId": lambda v, ctx: v.id.rsplit("/", 1)[-1],
    "title": lambda v, ctx: "Default Title",
    "displayName": lambda v, ctx: f"{v.product.source.title} - Default Title",
    "sku": lambda v, ctx: v.product.source.product_id,
    "price": lambda v, ctx: money_text(v.product.source.price),
    "position": lambda v, ctx: 1,
    "compareAtPrice": lambda v, ctx: money_text(v.product.source.list_price) if v.product.source.list_price else None,
    "inventoryPolicy": lambda v, ctx: "CONTINUE" if v.product.source.sells_on else "DENY",
    "inventoryQuantity": lambda v, ctx: v.product.source.stock or 0,
    "availableForSale": lambda v, ctx: (
        v.product.source.sells_on or v.product.source.stock is None or v.product.source.stock > 0
    ),
    "createdAt": lambda v, ctx: time_text(v.product.created_at),
    "updatedAt": lambda v, ctx: time_text(v.product.updated_at),
    "product": lambda v, ctx: v.product,
    "selectedOptions": lambda v, ctx: [{"name": "Title", "value": "Default Title"}],
}


def _has_product(c: CollectionNode, ctx: Context, args: dict[str, Any]) -> bool:
    return any(p.id == args["id"] for p in c.products)


COLLECTION: dict[str, Any] = {
    "id": lambda c, ctx: c.id,
    "legacyResourceId": lambda c, ctx: str(c.number),
    "title": lambda c, ctx: c.title,
    "handle": lambda c, ctx: _handle(c.title),
    "updatedAt": lambda c, ctx: time_text(c.updated_at),
    "productsCount": lambda c, ctx: {"count": len(c.products), "precision": "EXACT"},
    "products": lambda c, ctx, args: plain_page(ctx, c.products, args, c.id),
    "hasProduct": _has_product,
}
