"""The queries of the simulated shop: what each field of QueryRoot answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from connector.sandbox.shopify_lists import Listing, Page, plain_page
from connector.sandbox.shopify_metafields import definition
from connector.sandbox.shopify_objects import CustomerNode, World, found_refunds, time_text
from connector.sandbox.shopify_request import Context, refusal
from connector.sandbox.shopify_segments import members_query, segment_members
from connector.sandbox.shopify_state import purge

VERSIONS = (("2026-01", True), ("2026-04", True), ("2026-07", True), ("2026-10", True), ("2027-01", False), ("unstable", False))
STORE = "sandbox-shop.myshopify.com"


def supported() -> list[str]:
    return [handle for handle, is_supported in VERSIONS if is_supported]


def api_versions(_obj: Any, _ctx: Context) -> list[dict[str, Any]]:
    return [{"handle": handle, "displayName": handle, "supported": is_supported} for handle, is_supported in VERSIONS]


def shop(_obj: Any, ctx: Context) -> dict[str, Any]:
    name, currency = ctx.shop.world_name, ctx.shop.currency
    domain = {"id": "gid://shopify/Domain/1", "host": "shop.example", "url": "https://shop.example", "sslEnabled": True}
    plan = {"displayName": "Grow", "publicDisplayName": "Grow", "shopifyPlus": False, "partnerDevelopment": False}
    return {
        "__typename": "Shop",
        "id": f"gid://shopify/Shop/{ctx.shop.switches.shop_number}",
        "name": name,
        "email": "owner@shop.example",
        "contactEmail": "owner@shop.example",
        "myshopifyDomain": STORE,
        "primaryDomain": domain,
        "domains": [domain],
        "url": "https://shop.example",
        "currencyCode": currency,
        "enabledPresentmentCurrencies": [currency],
        "ianaTimezone": ctx.shop.timezone,
        "plan": plan,
        "taxesIncluded": True,
        "createdAt": time_text(ctx.shop.world.created_at),
        "updatedAt": time_text(ctx.shop.world.created_at),
    }


def installation(_obj: Any, ctx: Context) -> dict[str, Any]:
    scopes = [{"handle": s, "description": s.replace("_", " ")} for s in sorted(ctx.scopes)]
    app = {
        "__typename": "App",
        "id": "gid://shopify/App/1",
        "handle": "sandbox-app",
        "title": "Sandbox app",
        "apiKey": "sandbox",
    }
    return {"__typename": "AppInstallation", "id": "gid://shopify/AppInstallation/1", "accessScopes": scopes, "app": app}


def listing(name: str) -> Callable[..., Page | None]:
    """A root list; orders stop at the wall of 60 days without the scope for more."""

    def read(_obj: Any, ctx: Context, args: dict[str, Any]) -> Page | None:
        if name in ctx.shop.switches.denied:
            ctx.deny(ctx.path, name, "manage_abandoned_checkouts" if name == "abandonedCheckouts" else name)
            return None
        if name == "abandonedCheckouts":
            purge(ctx.shop)
            args = _of_a_status(ctx, args)
        made: Listing = ctx.shop.lists[name]
        return made.page(ctx, args, ctx.shop.wall(ctx) if name == "orders" else None)

    return read


def _of_a_status(ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
    """Whether a list of checkouts without a status holds the closed ones is not documented: both are played."""
    query = args.get("query") or ""
    if not ctx.shop.switches.hides_closed or "status:" in query:
        return args
    return {**args, "query": f"{query} status:open".strip()}


def counting(name: str) -> Callable[..., dict[str, Any]]:
    def read(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
        if name == "abandonedCheckouts":
            purge(ctx.shop)
            args = _of_a_status(ctx, args)
        made: Listing = ctx.shop.lists[name]
        return made.count(ctx, args, ctx.shop.wall(ctx) if name == "orders" else None)

    return read


def found(ctx: Context, gid: str, kind: str = "") -> Any:
    """The object with this id, or None. ID texts that are none of Shopify's are refused."""
    match = re.fullmatch(r"gid://shopify/(\w+)/[\w-]+(\?.*)?", gid)
    if match is None:
        raise refusal(f"Invalid global id '{gid}'", "argumentLiteralsIncompatible")
    if kind and match.group(1) != kind:
        raise refusal(f"Invalid id: {gid}", "RESOURCE_NOT_FOUND")
    world: World = ctx.shop.world
    if match.group(1) == "Refund":
        return next(found_refunds(world, gid), None)
    if match.group(1) == "BulkOperation":
        return bulk_operation(None, ctx, {"id": gid})
    obj = world.by_id.get(gid)
    wall = ctx.shop.wall(ctx)
    if obj is not None and match.group(1) == "Order" and wall is not None and obj.created_at < wall:
        return None
    return obj


def one(kind: str) -> Callable[..., Any]:
    return lambda _obj, ctx, args: found(ctx, args["id"], kind)


def node(_obj: Any, ctx: Context, args: dict[str, Any]) -> Any:
    return _guarded(ctx, found(ctx, args["id"]))


def nodes(_obj: Any, ctx: Context, args: dict[str, Any]) -> list[Any]:
    if len(args["ids"]) > 250:
        message = f"The input array size of {len(args['ids'])} is greater than the maximum allowed of 250."
        raise refusal(message, "MAX_INPUT_SIZE_EXCEEDED")
    return [_guarded(ctx, found(ctx, gid)) for gid in args["ids"]]


def _guarded(ctx: Context, obj: Any) -> Any:
    scope = ctx.shop.engine.scopes.get(getattr(obj, "kind", ""))
    if scope and scope not in ctx.scopes:
        ctx.deny(ctx.path, ctx.path[-1], scope)
        return None
    return obj


def customer_by(_obj: Any, ctx: Context, args: dict[str, Any]) -> CustomerNode | None:
    wanted = args["identifier"]
    if len(wanted) != 1:
        raise refusal("Exactly one identifier must be given.", "BAD_REQUEST")
    world: World = ctx.shop.world
    if wanted.get("emailAddress"):
        return world.by_email.get(wanted["emailAddress"].strip().lower())
    if wanted.get("phoneNumber"):
        return next((c for c in world.customers if c.source.phone == wanted["phoneNumber"]), None)
    return found(ctx, wanted["id"], "Customer") if wanted.get("id") else None


def bulk_operation(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    job = ctx.shop.jobs.get(args["id"])
    if job is None:
        return None
    job.look(ctx.now)
    return dict(job.answer(ctx.shop.result_url))


def bulk_operations(_obj: Any, ctx: Context, args: dict[str, Any]) -> Page:
    for job in ctx.shop.jobs.values():
        job.look(ctx.now)
    made: Listing = ctx.shop.lists["bulkOperations"]
    made.changed()
    page = made.page(ctx, args)
    page.items = [job.answer(ctx.shop.result_url) for job in page.items]
    return page


def segments(_obj: Any, ctx: Context, args: dict[str, Any]) -> Page:
    return plain_page(ctx, list(ctx.shop.segments.values()), args, "segments")


def segment(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    known: dict[str, Any] | None = ctx.shop.segments.get(args["id"])
    if known is None:
        ctx.errors.append({"message": "Segment not found", "path": list(ctx.path), "extensions": {"code": "NOT_FOUND"}})
    return known


def count_segments(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
    return {"count": len(ctx.shop.segments), "precision": "EXACT"}


LISTS = ("customers", "orders", "products", "collections", "abandonedCheckouts", "productVariants", "events")

QUERIES: dict[str, Callable[..., Any]] = {
    "shop": shop,
    "currentAppInstallation": installation,
    "publicApiVersions": api_versions,
    "node": node,
    "nodes": nodes,
    "customer": one("Customer"),
    "order": one("Order"),
    "product": one("Product"),
    "productVariant": one("ProductVariant"),
    "collection": one("Collection"),
    "customerByIdentifier": customer_by,
    "metafieldDefinition": definition,
    "bulkOperation": bulk_operation,
    "bulkOperations": bulk_operations,
    "segments": segments,
    "segment": segment,
    "segmentsCount": count_segments,
    "customerSegmentMembers": segment_members,
    "customerSegmentMembersQuery": members_query,
    **{name: listing(name) for name in LISTS},
    **{f"{name}Count": counting(name) for name in LISTS if name not in ("productVariants", "events")},
}
