"""Records by their ids, as they are at this moment: no search index in between.

Also the second pass over refunds: a bulk export takes no connection inside a list, so what came back with each refund is
asked for by the refunds' own ids, many at once, whichever way the orders came.
https://shopify.dev/docs/api/admin-graphql/latest/queries/nodes
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from adapters import shopify_documents as documents
from adapters.base import Record
from adapters.paging import Chain
from adapters.shopify_api import ShopifyApi
from adapters.shopify_documents import customer_gid
from adapters.shopify_walk import MOST_SIZE, Size, sized
from models.errors import PermanentApiError, RetryableApiError

log = logging.getLogger(__name__)

IDS_AT_ONCE = 250
REFUNDS_AT_ONCE = 50


def nodes_of(
    api: ShopifyApi, document: str, gids: Iterable[str], *, at_once: int = IDS_AT_ONCE
) -> Iterator[dict[str, Any | None]]:
    """Slices of {gid: node, or None when there is no such record}, smaller ones where that is too much to ask at once."""
    waiting = list(dict.fromkeys(gids))
    size, cost_each = at_once, 1.0
    while waiting:
        asked, waiting = waiting[:size], waiting[size:]
        try:
            nodes = api.ask(document, {"ids": asked}, cost=cost_each * len(asked))["nodes"]
        except (PermanentApiError, RetryableApiError) as e:
            if size == 1 or not (e.code == "MAX_COST_EXCEEDED" or (isinstance(e, RetryableApiError) and e.counts)):
                raise
            size, waiting = max(1, size // 2), asked + waiting
            continue
        cost_each = api.requested_cost / len(asked)
        yield dict(zip(asked, nodes, strict=True))


def by_ids(api: ShopifyApi, document: str, contact_ids: Iterable[str]) -> Iterator[dict[str, Any | None]]:
    """The same for customers by their contact ids. What is no number is no customer of Shopify's."""
    wanted = list(dict.fromkeys(contact_ids))
    strangers = [c for c in wanted if not c.isdigit()]
    if strangers:
        yield dict.fromkeys(strangers)
    gids = {customer_gid(c): c for c in wanted if c.isdigit()}
    for found in nodes_of(api, document, gids):
        yield {gids[gid]: node for gid, node in found.items()}


def with_refund_lines(api: ShopifyApi, orders: Sequence[Record]) -> None:
    """Put `refundLineItems` {"nodes": [...]} on every refund of these orders, whole."""
    refunds = {str(r["id"]): r for order in orders for r in order.get("refunds") or () if r.get("id")}
    for found in nodes_of(api, documents.REFUND_LINES, refunds, at_once=REFUNDS_AT_ONCE):
        for gid, node in found.items():
            refunds[gid]["refundLineItems"] = {"nodes": _lines(api, gid, (node or {}).get("refundLineItems"))}


def _lines(api: ShopifyApi, gid: str, part: dict[str, Any] | None) -> list[Any]:
    lines = list(part["nodes"]) if part else []
    chain, size = Chain("Shopify's refund lines", "shopify"), Size(MOST_SIZE)
    while part and part["pageInfo"]["hasNextPage"] and (after := chain.next(part["pageInfo"]["endCursor"])):
        holder = sized(api, size, documents.MORE_REFUND_LINES, {"id": gid, "after": after})["node"]
        part = (holder or {}).get("refundLineItems")
        lines += part["nodes"] if part else []
    return lines
