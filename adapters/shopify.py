"""Shopify GraphQL Admin API 2026-10. Docs: https://shopify.dev/docs/api/admin-graphql/2026-10

Reads customers, orders, products and abandoned checkouts; writes nothing but customer tags (tagsAdd, tagsRemove) and customer
metafields in the app's own namespace.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import cached_property
from typing import Any

from adapters import shopify_bulk as bulk
from adapters import shopify_documents as documents
from adapters import shopify_engagement as engagement
from adapters import shopify_history as history
from adapters import shopify_shape as shape
from adapters import shopify_walk as walk
from adapters.base import Account, Adapter, Cursor, Finding, Page, Record, Stream, Version
from adapters.moment import moment
from adapters.shopify_answers import FieldDenied
from adapters.shopify_api import ShopifyApi
from adapters.shopify_checks import HIDDEN, People, findings, hides_closed, probed
from adapters.shopify_deleted import deleted
from adapters.shopify_documents import Kind
from adapters.shopify_fields import Fields
from adapters.shopify_nodes import by_ids, with_refund_lines
from adapters.shopify_selections import without_fields
from adapters.shopify_tags import Tags, read_back
from models.changes import Batch, FieldKind, Observed, Outcome, Target
from models.errors import PermanentApiError, ScopeError, UsageError

log = logging.getLogger(__name__)

STREAMS = (
    Stream("customers", "Customers", "read_customers", needed=True),
    Stream("orders", "Orders", "read_orders"),
    Stream("products", "Products", "read_products"),
    Stream("checkouts", "Abandoned checkouts", "read_orders"),
)
BULK_SLOTS = 4
"""Exports of ours at once; Shopify allows five to all programs that use the app."""
WITHHELD = "{0} It is a matter of protected customer data, not of a scope; nothing is pushed until addresses are shown."
LEFT_OUT = "Shopify denies this app {0} of {1}; it is left out and the rest is read.{2}"
OLDER = (
    "Shopify answered as API {1} although {0} was asked for: {0} has ended or is not out yet. Update Rollcall, or api_version."
)


class ShopifyAdapter(Adapter):
    """One shop. `settings`: store, token or client_id and client_secret, bulk, page_size, attributes and the common keys;
    bulk_slots and segment_queries. Several threads may read at once, one walk each."""

    name = "shopify"
    title = "Shopify"
    noun = "Shopify tag"
    batch_size = 5_000
    contacts_stream = "customers"
    concurrent_targets = 4
    field_batch = 250
    field_noun = "Shopify metafield"
    field_starts = "a new value may start Flow automations of yours that look at changed customers"

    def __init__(self, settings: dict[str, Any], *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        super().__init__(settings, now_utc=now_utc, sleep=sleep)
        self.api = ShopifyApi(settings, now_utc=now_utc, sleep=sleep)
        self._chain_rows = int(settings.get("chain_rows") or 0)
        self._tags = Tags(self.api, sleep, chain_rows=self._chain_rows, bulk=str(settings.get("bulk") or "auto"))
        self._fields = Fields(self.api, str(settings.get("installation") or ""))
        self._slots = threading.BoundedSemaphore(int(settings.get("bulk_slots") or BULK_SLOTS))
        self._looking = threading.RLock()
        self._shop: dict[str, Any] | None = None
        self._left_out: dict[str, str] = {}
        self._has_refund_lines = True

    def account(self) -> Account:
        shop = self._about["shop"]
        plan = shop.get("plan") or {}
        details = {"plan": str(plan.get("publicDisplayName") or ""), "domain": str(shop.get("myshopifyDomain") or "")}
        return Account(shop["id"], shop["name"], shop.get("ianaTimezone") or "", shop.get("currencyCode") or "", details)

    @classmethod
    def versions(cls) -> tuple[Version, ...]:
        return tuple(Version(name, documents.version_end(name)) for name in documents.VERSIONS)

    def api_end(self) -> tuple[str, date]:
        """The API version that answers and the day Shopify switches it off; the one asked for until something was answered."""
        version = self.api.answered_version or self.api.version
        return f"Shopify API {version}", documents.version_end(version) or date.max

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
        state = self._state(stream, cursor, full=full, since=since)
        begun = dict(state)
        seen, addressed = 0, False
        for page in self._walked(stream, state):
            if stream == self.contacts_stream:
                seen += len(page.records)
                addressed = addressed or any((r.get("defaultEmailAddress") or {}).get("emailAddress") for r in page.records)
            if not page.done:
                yield page
            elif not addressed and (seen or begun.get("withheld")) and self._people.is_withheld:
                # What was read is kept, but a stream of people nobody can know is not a whole one.
                last = self._last(stream, page, begun)
                yield replace(last, cursor={**last.cursor, "withheld": True}, done=False)
                raise ScopeError(WITHHELD.format(HIDDEN.format(self._people.reason)), platform=self.name)
            else:
                yield self._last(stream, page, begun)

    def _walked(self, stream: str, state: Cursor) -> Iterator[Page]:
        """Export or pages, and on with what is left when a field had to be left out or exports did not work."""
        while state["phase"] != "done":
            reading = self._reading(stream, state)
            try:
                for page in reading.pages():
                    yield self._shaped(stream, page)
            except FieldDenied as e:
                self._leave_out(stream, e)
            state = reading.state

    def _reading(self, stream: str, state: Cursor) -> bulk.Bulk | walk.Walk:
        kind = self._kind(stream)
        if state["phase"] == "bulk":
            polls = int(self.settings.get("bulk_polls") or 0)
            return bulk.Bulk(self.api, kind, state, self.sleep, self._slots, polls=polls)
        return walk.Walk(self.api, kind, state, most=int(self.settings.get("page_size") or 0), chain_rows=self._chain_rows)

    def _last(self, stream: str, page: Page, begun: Cursor) -> Page:
        """The page that ends a walk: with what was deleted meanwhile, how far back the stream is whole, and what to know."""
        found = history.reach(stream, begun, is_walled=stream == "orders" and self._is_walled)
        notes = [page.note, found.note, self._left_out.get(stream, "")]
        answered = self.api.answered_version
        if stream == self.contacts_stream and answered and answered != self.api.version:
            notes.append(OLDER.format(self.api.version, answered))
        gone = deleted(self.api, stream, str(begun.get("begin") or begun["to"]))
        return replace(
            page,
            cursor={**page.cursor, **found.cursor},
            complete_from=found.whole_from,
            gone={**page.gone, **gone},
            note=" ".join(n for n in notes if n),
        )

    def _leave_out(self, stream: str, denied: FieldDenied) -> None:
        """Go on without the fields that are denied; raises where a record cannot do without them."""
        with self._looking:
            left = without_fields(self._kind(stream), denied.trails)
            if left is None:
                raise denied
            self._kinds[stream] = left
        fields = ", ".join(".".join(trail) for trail in denied.trails)
        scope = f" The app lacks the scope {denied.scope}." if denied.scope else ""
        before = self._left_out.get(stream, "")
        self._left_out[stream] = f"{before} {LEFT_OUT.format(fields, stream, scope)}".strip()
        log.info("shopify: %s of %s is denied and left out", fields, stream)

    @property
    def _is_walled(self) -> bool:
        """Orders older than 60 days are hidden, without a word in any answer."""
        return "read_all_orders" not in self.scopes

    def reread(self, contact_ids: Sequence[str]) -> Iterator[Page]:
        waiting = list(dict.fromkeys(contact_ids))
        while waiting:
            try:
                for found in by_ids(self.api, documents.by_ids(self._kind("customers")), waiting):
                    waiting = [c for c in waiting if c not in found]
                    records = [node for node in found.values() if node]
                    gone = {contact_id: "gone" for contact_id, node in found.items() if not node}
                    yield self._shaped("customers", Page(records, {}, gone=gone))
            except FieldDenied as e:
                self._leave_out("customers", e)

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

    def joined(self, object_id: str, contact_ids: Sequence[str], since: datetime) -> Mapping[str, datetime]:
        """Not later than the customer's last change: a tag has no date of its own. That a tag counts as a change is not
        documented, so a last change before `since` says nothing."""
        rows = [r for page in self.reread(contact_ids) for r in page.records]
        times = {str(r.get("legacyResourceId")): moment(r.get("updatedAt")) for r in rows}
        return {i: at for i, at in times.items() if at is not None and at >= since}

    def field_name(self, label: str) -> str:
        if len(label) < 2:
            raise UsageError(f"Shopify wants at least two letters in a metafield's name: give [[field]] '{label}' another.")
        return label

    def field_problem(self, name: str, kind: FieldKind) -> str:
        return self._fields.problem(name, kind)

    def ensure_field(self, name: str, label: str, kind: FieldKind) -> None:
        self._fields.ensure(name, label, kind)

    def read_fields(self, names: Sequence[str], contact_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        return self._fields.read(names, contact_ids)

    def write_fields(self, rows: Sequence[tuple[str, Mapping[str, str]]]) -> list[Outcome]:
        return self._fields.write(rows)

    def written(self, batch: Batch) -> Iterable[tuple[str, bool]]:
        """A job of the batch's may still be under way; only then are its customers read."""
        self._tags.let_jobs_end(batch)
        return read_back(self._tags, batch)

    def _ours(self, target: Target) -> None:
        prefix = str(self.settings.get("prefix") or "")
        name = target.name
        is_kept = target.object_id == name  # one that we made keeps its name, whatever the prefix has become since
        is_fit = name == name.strip() and "," not in name and 0 < len(name) <= 255
        if not is_fit or not (is_kept or name.startswith(prefix)):
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
        return documents.kinds(
            products="read_products" in self.scopes,
            customers="read_customers" in self.scopes,
            metafields=self._metafields,
            version=self.api.version,
        )

    def _kind(self, stream: str) -> Kind:
        with self._looking:
            return self._kinds[stream]

    def _shaped(self, stream: str, page: Page) -> Page:
        for record in page.records:
            if self._metafields and stream == "customers":
                shape.name_metafields(record, self._metafields)
            shape.attach(stream, record)
            if stream == "customers" and shape.is_blank(record) and self._people.shown:
                record["_state"] = shape.ERASED
        if stream == "orders" and self._has_refund_lines:
            try:
                with_refund_lines(self.api, page.records)
            except ScopeError as e:
                self._has_refund_lines = False
                log.warning("shopify: what came back with a refund is not read: %s", e)
        return page

    @cached_property
    def _people(self) -> People:
        """What this shop shows of its people: only where it shows some does somebody's blank record mean an erasure."""
        return probed(self.api)

    def _state(self, stream: str, cursor: Cursor | None, *, full: bool, since: datetime | None) -> Cursor:
        is_unwalled = bool(cursor and cursor["phase"] == "done" and cursor.get("walled") and not self._is_walled)
        if is_unwalled:  # the scope has come since: all that lay behind the wall is read now
            cursor, since = None, None
        if cursor and cursor.get("withheld") and not self._people.is_withheld:
            cursor, since = None, None  # nobody was to be seen until now
        if cursor and cursor["phase"] == "walk" and not (full and cursor.get("begin")):
            return dict(cursor)
        if cursor and cursor["phase"] == "bulk":
            return dict(cursor)
        kind = self._kind(stream)
        state = walk.begin(kind, cursor, self.api.server_time(), full=full, since=since)
        state = history.opened(state, cursor, full=full, since=since)
        if cursor and cursor.get("withheld"):
            state["withheld"] = True
        if is_unwalled:
            state["unwalled"] = True
        if stream == "checkouts" and hides_closed(self.api):
            return {**state, "also": "status:open", "then": ["status:closed"]}
        if state["from"] is not None:
            return state
        state["total"] = self._total(kind)
        return self._by_export(stream, state) or state

    def _total(self, kind: Kind) -> int | None:
        """Shopify's own count of the whole stream; None where it only knows 'at least'."""
        found = self.api.ask(documents.count(kind))[kind.count] or {}
        return int(found["count"]) if found.get("precision") == "EXACT" else None

    def _by_export(self, stream: str, state: Cursor) -> Cursor | None:
        """The same backfill as bulk exports, when it is large enough (bulk = auto), or wished (always)."""
        mode, total = str(self.settings.get("bulk") or "auto"), state["total"]
        is_large = total is None or total >= bulk.AUTO_FROM
        if mode == "never" or (mode == "auto" and not is_large):
            return None
        first = self._first(stream)
        if not first:
            return None
        windows = bulk.plan_windows(str(first[self._kind(stream).time_field]), state["to"], total or bulk.WINDOW_ROWS)
        begun = {"phase": "bulk", "to": state["to"], "windows": windows, "operation": "", "roots": 0, "total": total}
        return {**begun, **walk.carried(state)}

    def _first(self, stream: str) -> Record | None:
        """The oldest record, by the whole selection: a field without its scope would fail the export without a word."""
        while True:
            kind = self._kind(stream)
            try:
                found = self.api.ask(documents.page(kind), {"first": 1, "after": None, "query": None})[kind.root]["nodes"]
            except FieldDenied as e:
                self._leave_out(stream, e)
                continue
            return found[0] if found else None


adapter = ShopifyAdapter
