"""Members of customer segments in the simulated shop: by tag, and by what customers did on a day (segment query language)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from connector.sandbox.shopify_lists import Page
from connector.sandbox.shopify_objects import CustomerNode
from connector.sandbox.shopify_request import Context, refusal

TAG = re.compile(r"customer_tags\s+CONTAINS\s+'((?:[^']|'')*)'", re.IGNORECASE)
DID = re.compile(r"((?:storefront|shopify_email)\.\w+)\s+MATCHES\s*\(\s*date\s*=\s*(\d{4}-\d\d-\d\d)\s*\)")
FUNCTIONS = (
    "storefront.product_viewed", "storefront.collection_viewed", "shopify_email.opened", "shopify_email.clicked",
    "shopify_email.bounced", "shopify_email.unsubscribed",
)  # fmt: skip
TOO_LARGE = "USE_CUSTOMER_SEGMENT_MEMBERS_QUERY_CREATE_MUTATION"


def segment_members(_obj: Any, ctx: Context, args: dict[str, Any]) -> Page:
    """At most 1000 at once; a large segment must be prepared beforehand and is then read by its queryId."""
    prepared = ctx.shop.member_queries.get(args.get("queryId"))
    if args.get("queryId") and prepared is None:
        raise refusal("The query does not exist.", "INVALID")
    text = (
        prepared["text"] if prepared else args.get("query") or ctx.shop.segments.get(args.get("segmentId"), {}).get("query", "")
    )
    matches = _condition(ctx, text)
    rows = [_member(c, ctx) for c in ctx.shop.world.customers if matches(c)]
    if prepared is None and len(rows) > ctx.shop.switches.members_at_once:
        raise refusal("The segment is too large to be read at once.", TOO_LARGE)
    size = args.get("first") or args.get("last") or 0
    if not 0 < size <= 1000:
        raise refusal("first must be between 1 and 1000", "BAD_REQUEST")
    start = int(args["after"]) + 1 if (args.get("after") or "").isdigit() else 0
    return Page(rows[start : start + size], lambda i: str(start + i), start + size < len(rows), start > 0, len(rows))


def _condition(ctx: Context, text: str) -> Callable[[CustomerNode], bool]:
    """Segments driven by one tag, or by one function and day; other queries are refused in the platform's words."""
    by_tag, did = TAG.fullmatch(text.strip()), DID.fullmatch(text.strip())
    if by_tag:
        tag = by_tag.group(1).replace("''", "'").lower()
        return lambda c: tag in (t.lower() for t in c.tags)
    if did and did.group(1) in FUNCTIONS and ctx.shop.version >= "2026-10":
        wanted = (did.group(1), did.group(2))
        return lambda c: wanted in [tuple(one) for one in c.source.extra.get("shopify", {}).get("activity", ())]
    word = text.strip().partition(" ")[0] or "?"
    raise refusal(f"Query Line 1 Column 1: '{word}' filter cannot be found.", "INVALID")


def _member(c: CustomerNode, ctx: Context) -> dict[str, Any]:
    fields = ctx.shop.engine.tables["Customer"]
    names = ("firstName", "lastName", "displayName", "note", "numberOfOrders", "defaultEmailAddress", "defaultAddress")
    values = {name: fields[name](c, ctx) for name in names}
    return {"__typename": "CustomerSegmentMember", "id": f"gid://shopify/CustomerSegmentMember/{c.number}", **values}


def members_query_create(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
    """Prepare a query; it is done at the second look."""
    text = args["input"].get("query") or ""
    _condition(ctx, text)
    gid = f"gid://shopify/CustomerSegmentMembersQuery/{ctx.shop.next_number()}"
    ctx.shop.member_queries[gid] = {"text": text, "looks": 0}
    return {"customerSegmentMembersQuery": {"id": gid, "done": False, "currentCount": 0}, "userErrors": []}


def members_query(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    known = ctx.shop.member_queries.get(args["id"])
    if known is None:
        return None
    known["looks"] += 1
    return {"id": args["id"], "done": known["looks"] > 1, "currentCount": 0}
