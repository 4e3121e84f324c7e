"""Shopify GraphQL Admin API 2026-10. Docs: https://shopify.dev/docs/api/admin-graphql/2026-10

Reads customers, orders, products and abandoned checkouts; writes nothing but customer tags (tagsAdd, tagsRemove).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

from adapters import shopify_bulk as bulk
from adapters import shopify_documents as documents
from adapters import shopify_engagement as engagement
from adapters import shopify_walk as walk
from adapters.base import Account, Adapter, Cursor, Finding, Page, Record, Stream
from adapters.shopify_api import ShopifyApi
from adapters.shopify_checks import HISTORY_DAYS, findings
from adapters.shopify_deleted import deleted
from adapters.shopify_documents import Kind, gid_number
from adapters.shopify_tags import Tags, by_ids, read_back
from models.changes import Batch, Observed, Outcome, Target
from models.errors import PermanentApiError

STREAMS = (
    Stream("customers", "Customers", "read_customers", needed=True),
    Stream("orders", "Orders", "read_orders"),
    Stream("products", "Products", "read_products"),
    Stream("checkouts", "Abandoned checkouts", "read_orders"),
)
CHECKOUT_DAYS = 83
"""Abandoned checkouts are purged weekly when they are about three months old."""
BULK_SLOTS = 4
"""Exports of ours at once; Shopify allows five to all programs that use the app."""
FLAT_SMS = {
    "state": "marketingState", "optInLevel": "marketingOptInLevel", "updatedAt": "marketingUpdatedAt",
    "collectedFrom": "marketingCollectedFrom",
}  # fmt: skip
GAP = (
    "Orders placed after {0} and before {1} cannot be read any more: the app lacks read_all_orders, and the last run "
    "is more than 60 days ago."
)
NO_ADDRESSES = (
    "None of the {0} customers read shows an e-mail address. The shop's plan may withhold personal data from this app; "
    "run `rollcall check`."
)


class ShopifyAdapter(Adapter):
    """One shop. `settings`: store, token or client_id and client_secret, bulk, page_size, attributes and the common keys;
    bulk_slots and segment_queries. Several threads may read at once, one walk each."""

    name = "shopify"
    title = "Shopify"
    noun = "Shopify tag"
    batch_size = 5_000
    contacts_stream = "customers"

    def __init__(self, settings: dict[str, Any], *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        super().__init__(settings, now_utc=now_utc, sleep=sleep)
        self.api = ShopifyApi(settings, now_utc=now_utc, sleep=sleep)
        self._chain_rows = int(settings.get("chain_rows") or 0)
        self._tags = Tags(self.api, sleep, chain_rows=self._chain_rows, bulk=str(settings.get("bulk") or "auto"))
        self._slots = threading.BoundedSemaphore(int(settings.get("bulk_slots") or BULK_SLOTS))
        self._looking = threading.RLock()
        self._shop: dict[str, Any] | None = None

    def account(self) -> Account:
        shop = self._about["shop"]
        plan = shop.get("plan") or {}
        details = {"plan": str(plan.get("publicDisplayName") or ""), "domain": str(shop.get("myshopifyDomain") or "")}
        return Account(shop["id"], shop["name"], shop.get("ianaTimezone") or "", shop.get("currencyCode") or "", details)

    def api_end(self) -> tuple[str, date]:
        """The API version in use and the day Shopify switches it off."""
        return f"Shopify API {self.api.version}", documents.version_end(self.api.version) or date.max

    def ends(self) -> tuple[tuple[str, date], ...]:
        found = self.api_end()
        return (found,) if found[1] < date.max else ()

    @property
    def _about(self) -> dict[str, Any]:
        with self._looking:
            if self._shop is None:
                self._shop = self.api.ask(documents.SHOP)
            return self._shop

    @property
    def scopes(self) -> frozenset[str]:
        """What the app was granted; writing includes reading."""
        granted = {str(s["handle"]) for s in (self._about.get("currentAppInstallation") or {}).get("accessScopes") or []}
        return frozenset(granted | {s.replace("write_", "read_", 1) for s in granted if s.startswith("write_")})

    def check(self) -> list[Finding]:
        return findings(self.api, self._look, self.now_utc())

    def _look(self) -> tuple[dict[str, Any], frozenset[str]]:
        self._shop = None
        return self._about, self.scopes

    def streams(self) -> tuple[Stream, ...]:
        return (*STREAMS, engagement.STREAM) if self.settings.get("segment_queries") else STREAMS

    def pages(self, stream: str, cursor: Cursor | None, *, full: bool = False, since: datetime | None = None) -> Iterator[Page]:
        """See Adapter.pages. `since` bounds the time of the last change (checkouts: of creation).

        A full read of orders behind the 60-day wall, or of checkouts, cannot prove that what is absent was deleted: their
        last page says so by `complete_from`.
        """
        if stream == engagement.STREAM.name:
            yield from engagement.Engagement(self.api, self.sleep).pages(cursor, since=since)
            return
        kind = self._kinds[stream]
        state = self._state(kind, cursor, full=full, since=since)
        is_whole = state.get("begin") is None
        changed_from, is_unwalled = str(state.get("begin") or state["to"]), bool(state.get("unwalled"))
        seen = addressed = 0
        for page in self._walked(kind, state):
            if stream == "customers" and is_whole:
                seen += len(page.records)
                addressed += sum(1 for r in page.records if (r.get("defaultEmailAddress") or {}).get("emailAddress"))
            if page.done:
                is_blank = seen >= documents.PROBED and not addressed
                last = self._last(stream, page, changed_from, is_unwalled=is_unwalled)
                yield replace(last, note=NO_ADDRESSES.format(seen)) if is_blank else last
            else:
                yield page

    def _walked(self, kind: Kind, state: Cursor) -> Iterator[Page]:
        if state["phase"] == "bulk":
            export = bulk.Bulk(self.api, kind, state, self.sleep, self._slots)
            for page in export.pages():
                yield self._shaped(kind.stream, page)
            state = export.state
        if state["phase"] == "walk":
            steps = walk.Walk(self.api, kind, state, most=int(self.settings.get("page_size") or 0), chain_rows=self._chain_rows)
            for page in steps.pages():
                yield self._shaped(kind.stream, page)

    def _last(self, stream: str, page: Page, changed_from: str, *, is_unwalled: bool) -> Page:
        """The page that ends a walk: with what was deleted meanwhile, and how far back the stream is whole."""
        is_walled = stream == "orders" and self._is_walled
        days = HISTORY_DAYS if is_walled else CHECKOUT_DAYS if stream == "checkouts" else 0
        now = self.api.http.server_now or self.now_utc()
        whole_from = (now - timedelta(days=days)).date() + timedelta(days=1) if days else None
        cursor = {**page.cursor, "walled": True} if is_walled else page.cursor
        wall = now - timedelta(days=HISTORY_DAYS)
        note = GAP.format(changed_from[:10], wall.date()) if is_walled and changed_from < walk.text_time(wall) else page.note
        if is_unwalled and not is_walled:
            whole_from = documents.BEGINNING
        gone = deleted(self.api, stream, changed_from)
        return replace(page, cursor=cursor, complete_from=whole_from, gone={**page.gone, **gone}, note=note)

    @property
    def _is_walled(self) -> bool:
        """Orders older than 60 days are hidden, without a word in any answer."""
        return "read_all_orders" not in self.scopes

    def reread(self, contact_ids: Sequence[str]) -> Iterator[Page]:
        kind = self._kinds["customers"]
        for found in by_ids(self.api, documents.by_ids(kind), contact_ids):
            records = [node for node in found.values() if node]
            gone = {contact_id: "gone" for contact_id, node in found.items() if not node}
            yield self._shaped("customers", Page(records, {}, gone=gone))

    def observe(self, targets: Sequence[Target], maybe: dict[str, frozenset[str]]) -> list[Observed]:
        return self._tags.observe(targets, maybe)

    def ensure(self, target: Target) -> str:
        """A Shopify tag exists as soon as a customer carries it; its name is its id."""
        self._ours(target)
        return target.name

    def apply(self, batch: Batch) -> list[Outcome]:
        """See Adapter.apply. Only the target's own name is ever written, and no other tag of a customer is touched."""
        self._ours(batch.target)
        return self._tags.apply(batch)

    def written(self, batch: Batch) -> Iterable[tuple[str, bool]]:
        return read_back(self._tags, batch)

    def _ours(self, target: Target) -> None:
        prefix = str(self.settings.get("prefix") or "")
        name = target.name
        if not name or name != name.strip() or "," in name or len(name) > 255 or not name.startswith(prefix):
            raise PermanentApiError(
                "This name cannot be one of our Shopify tags. Give the segment another tag.", platform=self.name
            )

    @cached_property
    def _metafields(self) -> dict[str, str]:
        """alias -> 'namespace.key' of `name = "metafields.namespace.key"` in the configuration's attributes."""
        paths = [str(p).removeprefix("metafields.") for p in (self.settings.get("attributes") or {}).values()]
        wanted = [p for p in dict.fromkeys(paths) if "." in p and f"metafields.{p}" in self.settings["attributes"].values()]
        return {f"_m{i}": path for i, path in enumerate(wanted)}

    @cached_property
    def _kinds(self) -> dict[str, Kind]:
        """The streams as far as the granted scopes reach: a field that is not permitted would cost the whole answer."""
        with self._looking:
            products = "read_products" in self.scopes
            return documents.kinds(products=products, metafields=self._metafields, version=self.api.version)

    def _shaped(self, stream: str, page: Page) -> Page:
        for record in page.records if stream != "orders" else ():
            if self._metafields:
                self._name_metafields(record)
            _attach(stream, record)
        return page

    def _name_metafields(self, record: Record) -> None:
        for alias, path in self._metafields.items():
            if alias in record:
                namespace, _, key = path.rpartition(".")
                value = (record.pop(alias) or {}).get("value")
                record.setdefault("metafields", {}).setdefault(namespace, {})[key] = value

    def _state(self, kind: Kind, cursor: Cursor | None, *, full: bool, since: datetime | None) -> Cursor:
        is_unwalled = bool(cursor and cursor["phase"] == "done" and cursor.get("walled") and not self._is_walled)
        if is_unwalled:  # the scope has come since: all that lay behind the wall is read now
            cursor, since = None, None
        if cursor and cursor["phase"] == "walk" and not (full and cursor.get("begin")):
            return dict(cursor)
        if cursor and cursor["phase"] == "bulk":
            return dict(cursor)
        now = self.api.server_time()
        state = walk.begin(kind, cursor, now, full=full, since=since)
        if is_unwalled:
            state["unwalled"] = True
        if state["from"] is not None:
            return state
        state["total"] = self._total(kind)
        return self._by_export(kind, state) or state

    def _total(self, kind: Kind) -> int | None:
        """Shopify's own count of the whole stream; None where it only knows 'at least'."""
        found = self.api.ask(documents.count(kind))[kind.count] or {}
        return int(found["count"]) if found.get("precision") == "EXACT" else None

    def _by_export(self, kind: Kind, state: Cursor) -> Cursor | None:
        """The same backfill as bulk exports, when it is large enough (bulk = auto), or wished (always)."""
        mode, total = str(self.settings.get("bulk") or "auto"), state["total"]
        is_large = total is None or total >= bulk.AUTO_FROM
        if mode == "never" or (mode == "auto" and not is_large):
            return None
        # The whole selection once, for one record: a field without its scope would fail the export without a word.
        first = self.api.ask(documents.page(kind), {"first": 1, "after": None, "query": None})[kind.root]["nodes"]
        if not first:
            return None
        windows = bulk.plan_windows(str(first[0][kind.time_field]), state["to"], total or bulk.WINDOW_ROWS)
        more = {key: state[key] for key in ("unwalled",) if key in state}
        return {"phase": "bulk", "to": state["to"], "windows": windows, "operation": "", "roots": 0, "total": total, **more}


def _attach(stream: str, record: Record) -> None:
    """What a mapping cannot say: the first variant's SKU and the first collection of a product, the items of a checkout,
    and the SMS consent of older versions in its newer place."""
    if stream == "customers":
        phone = record.get("defaultPhoneNumber")
        if phone and "marketingState" in phone:
            phone["smsMarketingConsent"] = {new: phone.pop(old, None) for new, old in FLAT_SMS.items()}
    elif stream == "products":
        record["_sku"] = next((v["sku"] for v in record["variants"]["nodes"] if v.get("sku")), None)
        record["_collection"] = next((c["title"] for c in record["collections"]["nodes"] if c.get("title")), None)
    elif stream == "checkouts":
        lines = record["lineItems"]["nodes"]
        record["_items"] = [
            {"product_id": gid_number(n["product"]["id"]) if n.get("product") else None, "title": n.get("title"),
             "quantity": n.get("quantity")}
            for n in lines
        ]  # fmt: skip


adapter = ShopifyAdapter
