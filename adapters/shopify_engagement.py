"""Browsing and Shopify Email through segment queries: who did what on which day. Off unless `segment_queries` is set.

Unconfirmed: the functions are documented for the admin's segment editor, not tried by us against a live shop. A day is the
shop's own; its hour is not known, so an event stands at noon. One record per function and day, with the customers' ids.
The cursor: {"phase": "days", "next": day to read next}, and {"phase": "done", "to": last day read}.
https://shopify.dev/docs/api/shopifyql/segment-query-language-reference
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from adapters import shopify_documents as documents
from adapters.base import Cursor, Page, Record, Stream
from adapters.paging import Chain
from adapters.shopify_api import ShopifyApi
from models.errors import PermanentApiError, ScopeError

log = logging.getLogger(__name__)

STREAM = Stream("engagement", "Browsing and Shopify Email (unconfirmed)", "read_customers")
FUNCTIONS = {
    "storefront.product_viewed": "product_view",
    "storefront.collection_viewed": "page_view",
    "shopify_email.opened": "open",
    "shopify_email.clicked": "click",
    "shopify_email.bounced": "bounce",
    "shopify_email.unsubscribed": "unsubscribe",
}
FIRST_DAYS = 30
AGAIN_DAYS = 2
"""Days read again in every round: what they count may still grow."""
SINCE_VERSION = "2026-10"
LATER = "USE_CUSTOMER_SEGMENT_MEMBERS_QUERY_CREATE_MUTATION"
POLL_S, POLLS = 5.0, 120
FATAL = ("SHOP_INACTIVE", "NO_SHOP", "430", "SEARCH_FILTER")


class Engagement:
    """The walk over days. A page a day, so that a day is the most that is read twice."""

    def __init__(self, api: ShopifyApi, sleep: Callable[[float], None]) -> None:
        self.api, self._sleep = api, sleep

    def pages(self, cursor: Cursor | None, *, since: datetime | None = None) -> Iterator[Page]:
        if self.api.version < SINCE_VERSION:
            yield Page([], cursor or {"phase": "done"}, done=True, note=f"Segment queries need Shopify API {SINCE_VERSION}.")
            return
        now = self.api.server_time()
        day, today = self._begin(cursor, since, now.date()), self._today(now)
        while True:
            try:
                records = [self._record(function, day) for function in FUNCTIONS]
            except ScopeError:
                raise
            except PermanentApiError as e:
                if e.code in FATAL:
                    raise
                note = f"Shopify refused a segment query ({e.code}); browsing and mail events are not read. It is unconfirmed."
                yield Page([], cursor or {"phase": "done"}, done=True, note=note)
                return
            kept = [r for r in records if r["members"]]
            if day >= today:
                yield Page(kept, {"phase": "done", "to": day.isoformat()}, done=True)
                return
            day += timedelta(days=1)
            cursor = {"phase": "days", "next": day.isoformat()}
            yield Page(kept, cursor)

    def _today(self, now: datetime) -> date:
        """The shop's own day."""
        zone = ZoneInfo(str(self.api.ask(documents.ZONE)["shop"].get("ianaTimezone") or "UTC"))
        return now.replace(tzinfo=ZoneInfo("UTC")).astimezone(zone).date()

    def _begin(self, cursor: Cursor | None, since: datetime | None, today: date) -> date:
        if cursor and cursor.get("next"):
            return date.fromisoformat(cursor["next"])
        if cursor and cursor.get("to"):
            return date.fromisoformat(cursor["to"]) - timedelta(days=AGAIN_DAYS)
        return since.date() if since else today - timedelta(days=FIRST_DAYS)

    def _record(self, function: str, day: date) -> Record:
        members = list(self._members(f"{function} MATCHES (date = {day})"))
        return {"id": f"{function} {day}", "kind": FUNCTIONS[function], "at": f"{day}T12:00:00Z", "members": members}

    def _members(self, query: str) -> Iterator[str]:
        variables: dict[str, Any] = {"query": query, "queryId": None, "after": None}
        chain = Chain("Shopify's segment members", "shopify")
        while True:
            try:
                found = self.api.ask(documents.MEMBERS, variables, cost=30)["customerSegmentMembers"]
            except PermanentApiError as e:
                if e.code != LATER or variables["queryId"]:
                    raise
                variables = {"query": None, "queryId": self._prepared(query), "after": None}
                continue
            yield from (edge["node"]["id"] for edge in found["edges"])
            variables["after"] = chain.next(found["pageInfo"]["endCursor"]) if found["pageInfo"]["hasNextPage"] else None
            if not variables["after"]:
                return

    def _prepared(self, query: str) -> str:
        """The id of a query that Shopify runs beforehand, for segments too large to be read at once."""
        answer = self.api.ask(documents.MEMBERS_LATER, {"query": query}, cost=10)["customerSegmentMembersQueryCreate"]
        made = answer.get("customerSegmentMembersQuery")
        if not made:
            code = str((answer.get("userErrors") or [{}])[0].get("code") or "no code")
            raise PermanentApiError("Shopify refused a segment query.", platform="shopify", code=code)
        for _ in range(POLLS):
            if self.api.ask(documents.MEMBERS_READY, {"id": made["id"]})["customerSegmentMembersQuery"]["done"]:
                break
            self._sleep(POLL_S)
        return str(made["id"])
