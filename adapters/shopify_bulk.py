"""A backfill through bulk exports, cut into windows of time, each of which can be taken up again.

The cursor of an export: {"phase": "bulk", "to", "windows": [[from, to], ...], "operation", "marker", "roots", "total"}. The
first window is the one at work: `operation` is its job, `roots` how many of its records were already handed over. When a job
fails its window is halved; when that no longer helps, the rest is read page by page from the window's beginning.

A job that is taken up again tells how things were when it was made; a round of what changed may have brought newer records
since. So those of its records that were changed after it began are read anew before they are handed over.
https://shopify.dev/docs/api/usage/bulk-operations/queries
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from adapters import shopify_documents as documents
from adapters.base import Cursor, Page, Record
from adapters.paging import Chain
from adapters.shopify_api import ShopifyApi
from adapters.shopify_documents import Kind
from adapters.shopify_export import Export, UnknownType
from adapters.shopify_nodes import nodes_of
from adapters.shopify_walk import CHAIN_ROWS, Size, carried, read_time, sized, text_time, whole
from models.errors import AmbiguousWriteError, ApiError, PermanentApiError, ScopeError

log = logging.getLogger(__name__)

AUTO_FROM = 10_000
WINDOW_ROWS = 100_000
PAGE_ROWS = 250
LEAST_WINDOW = timedelta(hours=1)
POLL_FIRST_S, POLL_GROWTH, POLL_MOST_S = 1.0, 1.5, 30.0
MOST_POLLS = 2_000
SLOT_WAIT_S, SLOT_TRIES = 30.0, 10
RUNNING = ("CREATED", "RUNNING", "CANCELING")
LOST = ("EXPIRED", "GONE")
"""The job ended well, or is forgotten, but its file is no longer kept: seven days."""


class NotInBulk(Exception):
    """This window cannot be had as an export; the caller reads it page by page."""


@dataclass(frozen=True)
class Job:
    """One export as Shopify last described it. Its address is signed and private."""

    id: str
    status: str
    url: str
    objects: int
    roots: int
    created_at: str = ""

    @property
    def is_running(self) -> bool:
        return self.status in RUNNING

    @property
    def is_ready(self) -> bool:
        """Without an address a finished job had no rows; with rows but no address it has expired."""
        return self.status == "COMPLETED" and (bool(self.url) or not self.objects)


def plan_windows(oldest: str, to: str, total: int) -> list[list[str]]:
    """Equal spans of time from the oldest record to the end, as many as keep a window near WINDOW_ROWS."""
    first, last = read_time(oldest), read_time(to)
    parts = max(1, -(-total // WINDOW_ROWS))
    step = (last - first) / parts
    cuts = [text_time(first + step * i) for i in range(parts)] + [to]
    return [[a, b] for a, b in pairwise(cuts) if a < b]


class Bulk:
    """One backfill by exports. `state` is its cursor; `pages()` moves it on and ends with phase done, or walk."""

    def __init__(
        self,
        api: ShopifyApi,
        kind: Kind,
        state: Cursor,
        sleep: Callable[[float], None],
        slots: AbstractContextManager[Any] | None = None,
        *,
        polls: int = 0,
    ) -> None:
        """slots: held while a job of ours runs, so that streams read at once leave room for other programs. polls: how often
        a job is looked at before it is given up."""
        self.api, self.kind, self.state, self._sleep = api, kind, state, sleep
        self._slots = slots or nullcontext()
        self._is_taken_up, self._polls = bool(state["operation"]), polls or MOST_POLLS

    def pages(self) -> Iterator[Page]:
        while self.state["phase"] == "bulk":
            if not self.state["windows"]:
                self.state = {"phase": "done", "to": self.state["to"], "total": self.state.get("total")}
                yield self._page([])
                return
            try:
                if not self.state["operation"]:
                    # Saved before and after: a crash in between finds its job again by its document.
                    yield self._page([])
                    with self._slots:
                        self._start()
                        yield self._page([])
                        job = self._finished()
                else:
                    job = self._finished()
                if job.is_ready:
                    yield from self._deliver(job)
                elif job.status in LOST:
                    self._once_more()
                else:
                    log.warning("shopify: a bulk export of %s ended as %s; its window stays open", self.kind.stream, job.status)
                    self._halve()
            except NotInBulk as e:
                log.warning("shopify: reading %s page by page from here on: %s", self.kind.stream, e)
                self._give_up()
                yield self._page([])

    def _page(self, records: list[Record]) -> Page:
        state = {**self.state, "windows": list(self.state.get("windows", []))} if self.state["phase"] == "bulk" else self.state
        return Page(records, dict(state), done=self.state["phase"] == "done", total=self.state.get("total"))

    def _start(self) -> None:
        begin, end = self.state["windows"][0]
        query = documents.window(self.kind.time_filter, begin, end) or ""
        document = documents.bulk(self.kind, query, f"rollcall {self.kind.stream} {begin} {end}")
        found = self._mine(document)
        self._is_taken_up = bool(found)
        self.state.update({"operation": found or self._run(document), "roots": 0})

    def _mine(self, document: str) -> str:
        """The id of a job with exactly our document, mark and all; other programs' jobs are not ours to touch."""
        usable = RUNNING[:2] if self.state.get("again") else (*RUNNING[:2], "COMPLETED")
        jobs = [j for j in self.api.ask(documents.BULK_MINE)["bulkOperations"]["nodes"] if j and j["status"] in usable]
        return next((str(j["id"]) for j in jobs if str(j.get("query") or "").strip() == document.strip()), "")

    def _run(self, document: str) -> str:
        """Not repeated blindly: a second job would take a second slot. After a lost answer ours is looked for."""
        for _ in range(SLOT_TRIES):
            try:
                answer = self.api.ask(documents.BULK_RUN, {"query": document}, cost=10, repeatable=False)
            except AmbiguousWriteError:
                found = self._mine(document)
                if found:
                    return found
                continue
            except ScopeError:
                raise
            except PermanentApiError as e:
                raise NotInBulk(f"Shopify refused the export ({e.code})") from e
            result = answer["bulkOperationRunQuery"] or {}
            errors, operation = result.get("userErrors") or [], result.get("bulkOperation")
            if operation and not errors:
                return str(operation["id"])
            code = str((errors or [{}])[0].get("code") or "no code")
            if code not in ("OPERATION_IN_PROGRESS", "LIMIT_REACHED"):
                raise NotInBulk(f"Shopify refused the export ({code})")
            log.info("shopify: all export slots are taken; waiting")
            self._sleep(SLOT_WAIT_S)
        raise NotInBulk("no export slot became free")

    def _finished(self) -> Job:
        wait_s = POLL_FIRST_S
        for _ in range(self._polls):
            found = self.api.ask(documents.BULK_POLL, {"id": self.state["operation"]})["bulkOperation"]
            if not found:
                return Job("", "GONE", "", 0, 0)
            job = Job(
                str(found["id"]),
                str(found["status"]).upper(),
                str(found.get("url") or ""),
                int(found.get("objectCount") or 0),
                int(found.get("rootObjectCount") or 0),
                str(found.get("createdAt") or ""),
            )
            if not job.is_running:
                if found.get("errorCode") == "ACCESS_DENIED":
                    # Pages name the field that is denied, and can leave it out; an export only says that there is one.
                    raise NotInBulk("Shopify denies access to a field of the export")
                return job
            self._sleep(wait_s)
            wait_s = min(POLL_MOST_S, wait_s * POLL_GROWTH)
        self._cancel()
        raise NotInBulk("the export did not end")

    def _cancel(self) -> None:
        """Free the slot of our own job, known by its id; other programs' jobs are not ours to touch."""
        try:
            self.api.ask(documents.BULK_CANCEL, {"id": self.state["operation"]}, cost=10)
        except ApiError as e:
            log.info("shopify: our export could not be cancelled (%s)", e.code or e.status)

    def _deliver(self, job: Job) -> Iterator[Page]:
        """The window's records behind those already handed over. Nothing is handed over unless the file is whole."""
        with tempfile.TemporaryDirectory(prefix="rollcall-") as folder:
            path = Path(folder) / "export.jsonl"
            path.touch(mode=0o600)
            if job.url:
                try:
                    self.api.http.download(job.url, path)
                except PermanentApiError:
                    self.state["operation"] = ""
                    self._once_more()
                    return
            export = Export(path, self.kind)
            if (export.lines, export.roots) != (job.objects, job.roots):
                log.warning("shopify: an export of %s holds %d lines, %d expected", self.kind.stream, export.lines, job.objects)
                self._halve()
                return
            changed = self._changed_since(job)
            if changed is None:
                self._once_more()
                return
            try:
                yield from self._slices(export, changed)
            except ValueError as e:
                log.warning("shopify: an export of %s is not usable (%s); its window stays open", self.kind.stream, e)
                self._halve()
            except UnknownType as e:
                raise NotInBulk("the export holds lines of an unknown type") from e

    def _changed_since(self, job: Job) -> frozenset[str] | None:
        """The ids of what was changed after a job that is taken up again was made; none for a job of just now.

        None where that is so much that a new job is the better answer.

        Lists without an order by change (checkouts) are never read whole beside a newer round, and need none of this.
        """
        if not self._is_taken_up or self.kind.time_filter != "updated_at" or not job.created_at:
            return frozenset()
        query, after, found = documents.window("updated_at", job.created_at, None), None, set()
        chain, size = Chain(f"Shopify's changed {self.kind.stream}", "shopify"), Size()
        while True:
            variables = {"after": after, "query": query}
            part = sized(self.api, size, documents.changed(self.kind), variables)[self.kind.root]
            found |= {str(n["id"]) for n in part["nodes"] if n}
            after = chain.next(part["pageInfo"]["endCursor"]) if part["pageInfo"]["hasNextPage"] else None
            if not after:
                return frozenset(found)
            if len(found) >= CHAIN_ROWS:
                return None

    def _renewed(self, records: list[Record], changed: frozenset[str]) -> list[Record]:
        """The records, those of `changed` as they are at this moment; who is gone meanwhile is left out."""
        old = [str(r["id"]) for r in records if r["id"] in changed]
        if not old:
            return records
        fresh: dict[str, Record | None] = {}
        for found in nodes_of(self.api, documents.by_ids(self.kind), old):
            fresh |= {gid: whole(self.api, self.kind, node) if node else None for gid, node in found.items()}
        newest = (fresh.get(r["id"], r) for r in records)
        return [r for r in newest if r is not None]

    def _slices(self, export: Export, changed: frozenset[str]) -> Iterator[Page]:
        for taken in export.records(int(self.state["roots"]), PAGE_ROWS):
            records = self._renewed(taken, changed)
            self.state["roots"] = int(self.state["roots"]) + len(taken)
            if self.state["roots"] < export.roots:
                yield self._page(records)
            elif export.is_joined:
                self._next_window()
                yield self._page(records)
                return
            else:
                raise ValueError("children without their parent")
        self._next_window()
        yield self._page([])

    def _next_window(self) -> None:
        is_last = len(self.state["windows"]) == 1
        if is_last:
            self.state = {"phase": "done", "to": self.state["to"], "total": self.state.get("total")}
            return
        self.state.update({"windows": self.state["windows"][1:], "operation": "", "roots": 0, "again": 0})

    def _once_more(self) -> None:
        """The same window with a new job: its file could not be fetched (an address lives seven days)."""
        self.state.update({"operation": "", "roots": 0, "again": int(self.state.get("again") or 0) + 1})
        if self.state["again"] > 2:
            raise NotInBulk("the export's file cannot be fetched")

    def _halve(self) -> None:
        """Rows are unsorted, so nothing can be resumed behind the last one: both halves are run anew."""
        begin, end = self.state["windows"][0]
        span = read_time(end) - read_time(begin)
        if span <= LEAST_WINDOW:
            raise NotInBulk("an export of one hour failed")
        middle = text_time(read_time(begin) + span / 2)
        windows = [[begin, middle], [middle, end], *self.state["windows"][1:]]
        self.state.update({"windows": windows, "operation": "", "roots": 0})

    def _give_up(self) -> None:
        """The windows follow each other, so one paged walk from the first open one covers what is left."""
        begin = self.state["windows"][0][0]
        self.state = {
            "phase": "walk", "begin": None, "from": begin, "to": self.state["to"], "after": None, "low": "", "rows": 0,
            "size": 0, "total": self.state.get("total"), **carried(self.state),
        }  # fmt: skip
