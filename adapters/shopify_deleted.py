"""What Shopify says was deleted: its own events, kept for a year. Only products are documented to leave one.

https://shopify.dev/docs/api/admin-graphql/latest/queries/events
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from adapters import shopify_documents as documents
from adapters.paging import Chain
from adapters.shopify_api import ShopifyApi
from adapters.shopify_documents import gid_number
from adapters.shopify_walk import Size, sized
from models.errors import PermanentApiError, ScopeError

log = logging.getLogger(__name__)

SUBJECTS = {"products": "PRODUCT"}


def deleted(api: ShopifyApi, stream: str, since: str) -> dict[str, str]:
    """id -> 'gone' for the stream's records deleted since then ('' for streams whose deletions leave no event).

    A help, not a proof: where events may not be read, the full read finds the same a few days later.
    """
    subject = SUBJECTS.get(stream)
    if subject is None:
        return {}
    try:
        events = _events(api, documents.deleted_since(subject, since))
        return {gid_number(e["subjectId"]): "gone" for e in events if _is_deletion(e, subject, since)}
    except ScopeError as e:
        log.info("shopify: deleted %s are found by full reads only: %s", stream, e)
    except PermanentApiError as e:
        if e.code in ("SHOP_INACTIVE", "NO_SHOP"):
            raise
        log.info("shopify: deleted %s are found by full reads only (%s)", stream, e.code)
    return {}


def _is_deletion(event: dict[str, Any], subject: str, since: str) -> bool:
    """Filtered again: were the search ignored, every product that ever had an event would seem to be gone."""
    kind, at = str(event.get("subjectType") or ""), str(event.get("createdAt") or "")
    return str(event.get("action")).lower() == "destroy" and kind.upper() == subject and at >= since


def _events(api: ShopifyApi, query: str) -> Iterator[dict[str, Any]]:
    size, chain, after = Size(), Chain("Shopify's events", "shopify"), None
    while True:
        found = sized(api, size, documents.DELETED, {"after": after, "query": query})["events"]
        yield from (node for node in found["nodes"] if node and node.get("subjectId"))
        after = chain.next(found["pageInfo"]["endCursor"]) if found["pageInfo"]["hasNextPage"] else None
        if not after:
            return
