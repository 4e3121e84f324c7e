"""Stage 1 of 10: fetch the platforms' own records, page by page, so that a run that was killed goes on where it stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import orjson

from adapters.base import Adapter, Page
from connector import runs
from connector.intake import Intake, Normalizes
from connector.known import digest
from connector.progress import Progress, Silent
from connector.raw import RawPages
from connector.store import Store
from models.errors import ConnectorError, QuotaExhausted, RecordError, ScopeError
from models.people import StreamCount

log = logging.getLogger(__name__)

BEGINNING = date(1970, 1, 1)
COMMIT_RECORDS = 1000
COMMIT_S = 1.0


@dataclass(frozen=True)
class _Walk:
    """Where a stream stood when this pull began."""

    cursor: dict[str, Any] | None
    complete_from: date | None
    since: datetime | None
    is_new: bool


def pull(
    store: Store,
    adapter: Adapter,
    normalizer: Normalizes,
    run_id: str,
    *,
    streams: Sequence[str] | None = None,
    since: datetime | None = None,
    full: bool = False,
    keep_raw: bool = True,
    progress: Progress | None = None,
    commit_records: int = COMMIT_RECORDS,
    commit_s: float = COMMIT_S,
) -> list[StreamCount]:
    """Bring the streams of one platform up to date; one account per stream, kept in stream_counts too.

    Pages are committed with their cursor and raw pages once `commit_records` records or `commit_s` seconds have come
    together, and whenever the platform stops answering. A missing scope closes its stream only; a used-up quota closes
    the rest of the platform until later. Everything else the adapter raises goes on to the caller, after what came
    before it is stored.
    """
    progress = progress or Silent()
    raw = RawPages(store) if keep_raw else None
    if raw is not None:
        raw.remove_orphans(store)
    found: list[StreamCount] = []
    quota = ""
    for stream in (s.name for s in adapter.streams() if streams is None or s.name in streams):
        if quota:
            _mark_incomplete(store, adapter.name, stream, run_id, adapter.now_utc())
            found.append(_closed(store, adapter.name, stream, run_id, quota))
            continue
        intake = Intake(store, adapter.name, stream, run_id, normalizer, adapter.now_utc, raw)
        puller = _Puller(store, adapter, intake, progress, commit_records, commit_s)
        count, quota = puller.run(since=since, full=full)
        found.append(count)
    return found


def reread(
    store: Store, adapter: Adapter, normalizer: Normalizes, run_id: str, contact_ids: Sequence[str], *, keep_raw: bool = True
) -> StreamCount:
    """Read these contacts once more as they are at this moment and store what changed; the cursor stays."""
    stream = adapter.contacts_stream
    raw = RawPages(store) if keep_raw else None
    intake = Intake(store, adapter.name, stream, run_id, normalizer, adapter.now_utc, raw)
    for page in adapter.reread(contact_ids):
        intake.take(page)
        intake.commit()
    return intake.count(is_complete=True)


def replay(
    store: Store, normalizer: Normalizes, source: str, run_id: str, *, now_utc: Callable[[], datetime]
) -> list[StreamCount]:
    """Rebuild rows from the raw pages that are kept, each record once, in its newest version, as the mapping says now.

    Records whose pages have expired keep their rows. Snapshots are history and stay as they were read.
    """
    raw = RawPages(store)
    found = []
    for (stream,) in store.sql("SELECT DISTINCT stream FROM raw_pages WHERE source = ? ORDER BY stream", [source]):
        intake = Intake(store, source, stream, run_id, normalizer, now_utc, with_snapshots=False)
        seen: set[int] = set()
        gone: dict[str, str] = {}
        pages = store.sql(
            "SELECT file FROM raw_pages WHERE source = ? AND stream = ? ORDER BY rowid DESC",
            [source, stream],
        )
        for (file,) in pages:
            records, told = raw.read(file)
            for record_id, state in told.items():
                if digest(record_id.encode()) not in seen:
                    gone.setdefault(record_id, state)
            intake.take(Page(_newest(records, stream, normalizer, seen), {}))
            intake.commit()
        intake.take(Page([], {}, gone=gone))
        intake.commit()
        found.append(intake.count(is_complete=True))
    return found


def _newest(records: list[Any], stream: str, normalizer: Normalizes, seen: set[int]) -> list[Any]:
    """The records of a page that no newer page holds, in their order."""
    kept = []
    for record in reversed(records):
        try:
            key = digest(normalizer.record_id(stream, record).encode())
        except RecordError:
            kept.append(record)
            continue
        if key not in seen:
            seen.add(key)
            kept.append(record)
    return kept[::-1]


class _Puller:
    """One stream of one platform in one run."""

    def __init__(
        self, store: Store, adapter: Adapter, intake: Intake, progress: Progress, commit_records: int, commit_s: float
    ) -> None:
        self.store, self.adapter, self.intake, self.progress = store, adapter, intake, progress
        self.commit_records, self.commit_s = commit_records, commit_s
        self.name = f"{adapter.name} {intake.stream}"
        self.latest: Page | None = None

    def run(self, *, since: datetime | None, full: bool) -> tuple[StreamCount, str]:
        """The stream's account, and why the rest of the platform must wait ('' when it need not)."""
        walk = self._where(since, full)
        self.progress.start(self.name, None)
        quota = note = ""
        is_complete = False
        try:
            pages = iter(self.adapter.pages(self.intake.stream, walk.cursor, full=full, since=walk.since))
            is_complete = self._walk(pages, walk)
            note = "" if is_complete else "The platform stopped before the end of the walk."
        except ScopeError as e:
            note = str(e) if "scope" in str(e).lower() else f"Missing scope {e.scope}: {e}"
        except QuotaExhausted as e:
            note = quota = _when(e, self.adapter.now_utc())
        except ConnectorError as e:
            self._account(False, type(e).__name__)
            raise
        finally:
            self.progress.finish(self.name)
        return self._account(is_complete, note), quota

    def _walk(self, pages: Iterator[Page], walk: _Walk) -> bool:
        """True when the last page of the walk was stored."""
        committed_at = time.monotonic()
        while True:
            try:
                page = next(pages, None)
            except Exception:
                self._commit(walk)
                raise
            if page is None:
                self._commit(walk)
                return False
            self.intake.take(page)
            self.latest = page
            self.progress.advance(self.name, len(page.records))
            if page.done or self.intake.waiting >= self.commit_records or time.monotonic() - committed_at >= self.commit_s:
                self._commit(walk)
                committed_at = time.monotonic()
            if page.done:
                return True

    def _commit(self, walk: _Walk) -> None:
        """Store what waits, with the cursor of the latest page; nothing when nothing waits."""
        page, self.latest = self.latest, None
        if page is not None:
            self.intake.commit(lambda: self._write_cursor(page, walk))

    def _account(self, is_complete: bool, note: str) -> StreamCount:
        intake = self.intake
        with self.store.transaction():
            if not is_complete:
                _mark_incomplete(self.store, intake.source, intake.stream, intake.run_id, self.adapter.now_utc())
            count = intake.count(is_complete=is_complete, note=note)
            runs.record_count(self.store, intake.run_id, count)
        log.info(
            "%s: %d fetched, %d stored, %d unchanged, %d set aside",
            self.name, count.fetched, count.stored, count.unchanged, count.set_aside,
        )  # fmt: skip
        return count

    def _where(self, since: datetime | None, full: bool) -> _Walk:
        found = self.store.sql(
            "SELECT cursor, complete_from, since, is_complete FROM cursors WHERE source = ? AND stream = ?",
            [self.intake.source, self.intake.stream],
        )
        cursor, complete_from, begun_since, _ = found[0] if found else (None, None, None, False)
        is_new = cursor is None or full
        return _Walk(
            cursor=orjson.loads(cursor) if cursor else None,
            complete_from=complete_from,
            since=since if is_new else (since or begun_since),
            is_new=is_new,
        )

    def _write_cursor(self, page: Page, walk: _Walk) -> None:
        complete_from = walk.complete_from
        is_first = walk.complete_from is None or walk.is_new
        if page.done and is_first:
            reached = max(walk.since.date() if walk.since else BEGINNING, page.complete_from or BEGINNING)
            complete_from = min(complete_from or reached, reached)
        intake = self.intake
        key = [intake.source, intake.stream]
        values = [
            orjson.dumps(page.cursor).decode(), page.done, complete_from, intake.counts.total, self.adapter.now_utc(),
            intake.run_id, None if page.done else walk.since,
        ]  # fmt: skip
        updated = self.store.sql(
            "UPDATE cursors SET cursor = ?, is_complete = ?, complete_from = ?, platform_total = coalesce(?, platform_total), "
            "pulled_at = ?, run_id = ?, since = ? WHERE source = ? AND stream = ? RETURNING 1",
            [*values, *key],
        )
        if not updated:
            self.store.sql(
                "INSERT INTO cursors (cursor, is_complete, complete_from, platform_total, pulled_at, run_id, since, source, "
                "stream) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [*values, *key],
            )


def _mark_incomplete(store: Store, source: str, stream: str, run_id: str, now: datetime) -> None:
    """The stream's walk has not ended; its cursor stays where it is."""
    updated = store.sql("UPDATE cursors SET is_complete = false WHERE source = ? AND stream = ? RETURNING 1", [source, stream])
    if not updated:
        store.sql(
            "INSERT INTO cursors (source, stream, is_complete, pulled_at, run_id) VALUES (?, ?, false, ?, ?)",
            [source, stream, now, run_id],
        )


def _closed(store: Store, source: str, stream: str, run_id: str, note: str) -> StreamCount:
    count = StreamCount(source=source, stream=stream, is_complete=False, note=note)
    runs.record_count(store, run_id, count)
    return count


def _when(error: QuotaExhausted, now: datetime) -> str:
    later = f" It goes on after {now + timedelta(seconds=error.wait_s):%Y-%m-%d %H:%M} UTC." if error.wait_s else ""
    return f"The quota of the day is used up; what was read is kept.{later} Run the same command again then."
