"""Stage 1 of 10: fetch the platforms' own records, page by page, so that a run that was killed goes on where it stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import orjson

from adapters.base import Adapter, Page
from connector import runs
from connector.feeds import Feed, Feeds, Item, calm_garbage
from connector.intake import Intake, Normalizes
from connector.known import digest
from connector.progress import Progress, Silent
from connector.raw import RawPages
from connector.store import Store
from models.errors import PermanentApiError, QuotaExhausted, RecordError, ScopeError, StoreError
from models.people import StreamCount

log = logging.getLogger(__name__)

BEGINNING = date(1970, 1, 1)
MEMORY = "64MB"
"""What the engine may keep of what it has written while a pull goes on. Half of it was enough for a pull in which every
record had changed."""
COMMIT_RECORDS = 2000
"""The configuration's default. Twice as many are a tenth faster and take 20 MB more."""
COMMIT_S = 1.0
WAITS = "It was not begun, for the same reason as the one before it."
"""The note of a stream whose turn did not come because the quota of the day was used up."""
ENDS_PLATFORM = frozenset({"SHOP_INACTIVE", "NO_SHOP", "430", "blocked"})
"""Refusals that every other stream of the platform would meet as well."""


@dataclass(frozen=True)
class _Walk:
    """Where a stream stood when this pull began."""

    cursor: dict[str, Any] | None
    complete_from: date | None
    since: datetime | None
    is_new: bool


@dataclass(frozen=True)
class Source:
    """One platform to pull from."""

    adapter: Adapter
    normalizer: Normalizes


@dataclass
class Pulled:
    """What came of one platform: the account of each stream, and the error that ended it."""

    counts: list[StreamCount] = field(default_factory=list)
    error: Exception | None = None


def pull(
    store: Store, adapter: Adapter, normalizer: Normalizes, run_id: str, *, since: datetime | None = None, **options: Any
) -> list[StreamCount]:
    """Bring the streams of one platform up to date; see `pull_together`. An error goes on to the caller, after what came
    before it is stored."""
    found = pull_together(store, [Source(adapter, normalizer)], run_id, since=since, **options)[adapter.name]
    if found.error is not None:
        raise found.error
    return found.counts


def pull_together(
    store: Store,
    sources: Sequence[Source],
    run_id: str,
    *,
    streams: Sequence[str] | None = None,
    since: datetime | None = None,
    full: bool = False,
    keep_raw: bool = True,
    progress: Progress | None = None,
    commit_records: int = COMMIT_RECORDS,
    commit_s: float = COMMIT_S,
) -> dict[str, Pulled]:
    """Bring platforms up to date side by side; one account per stream, kept in stream_counts too.

    Threads fetch, a few pages ahead; this thread alone translates and stores, so the order of a stream's pages and what
    is in the store do not depend on who was faster. Pages are committed with their cursor and raw pages once
    `commit_records` records or `commit_s` seconds have come together, and whenever the platform stops answering.
    A missing scope or a refused request closes its stream only; a used-up quota closes the rest of the platform until
    later. Everything else ends that platform, after what came before it is stored. A failing store ends everything.
    """
    raw = RawPages(store) if keep_raw else None
    if raw is not None:
        raw.remove_orphans(store)
    rhythm = _Rhythm(commit_records, commit_s)
    plans = [
        _Platform(store, source, run_id, raw, progress or Silent(), rhythm, streams, since=since, full=full)
        for source in sources
    ]
    with store.sparing(MEMORY), calm_garbage(), Feeds() as feeds:
        walking: dict[Feed, _Platform] = {}
        for plan in plans:
            _start_more(feeds, walking, plan)
        while walking:
            found = feeds.next(rhythm.seconds)
            if found is None:
                for plan in walking.values():
                    plan.commit_overdue()
                continue
            feed, item = found
            plan = walking[feed]
            if plan.take(feed, item):
                del walking[feed]
                feeds.close(feed)
            if plan.failed is None or feed in walking:
                _start_more(feeds, walking, plan)
            else:
                for other in [f for f, p in walking.items() if p is plan]:
                    plan.abandon(other)
                    del walking[other]
                    feeds.close(other)
    return {plan.adapter.name: Pulled(plan.counts(), plan.failed) for plan in plans}


def _start_more(feeds: Feeds, walking: dict[Feed, _Platform], plan: _Platform) -> None:
    while (begun := plan.begin_next()) is not None:
        puller, pages = begun
        feed = feeds.open(pages)
        plan.running[feed] = puller
        walking[feed] = plan


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
            for page in reversed(raw.read(file)):
                for record_id, state in page.gone.items():
                    if digest(record_id.encode()) not in seen:
                        gone.setdefault(record_id, state)
                intake.take(Page(_newest(page.records, stream, normalizer, seen), {}))
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


@dataclass(frozen=True)
class _Rhythm:
    """When what waits is stored."""

    records: int
    seconds: float


class _Platform:
    """The streams of one platform in one run, in their order, as many at once as the adapter allows."""

    def __init__(
        self,
        store: Store,
        source: Source,
        run_id: str,
        raw: RawPages | None,
        progress: Progress,
        rhythm: _Rhythm,
        streams: Sequence[str] | None,
        *,
        since: datetime | None,
        full: bool,
    ) -> None:
        self.store, self.adapter, self.run_id = store, source.adapter, run_id
        self.since, self.full = since, full
        self.running: dict[Feed, _Puller] = {}
        self.failed: Exception | None = None
        self._quota = ""
        self._order = [s.name for s in self.adapter.streams() if streams is None or s.name in streams]
        self._waiting = list(self._order)
        self._found: dict[str, StreamCount] = {}
        self._normalizer, self._raw, self._progress, self._rhythm = source.normalizer, raw, progress, rhythm

    def begin_next(self) -> tuple[_Puller, Callable[[], Iterator[Page]]] | None:
        """The next stream to walk; None while enough of them are walked, or none is left."""
        while self._waiting and self._quota and not self.running:
            stream = self._waiting.pop(0)
            _mark_incomplete(self.store, self.adapter.name, stream, self.run_id, self.adapter.now_utc())
            self._found[stream] = _closed(self.store, self.adapter.name, stream, self.run_id, WAITS)
        at_once = max(1, self.adapter.concurrent_streams)
        if not self._waiting or self._quota or self.failed is not None or len(self.running) >= at_once:
            return None
        name, now_utc = self.adapter.name, self.adapter.now_utc
        intake = Intake(self.store, name, self._waiting.pop(0), self.run_id, self._normalizer, now_utc, self._raw)
        puller = _Puller(self.store, self.adapter, intake, self._progress, self._rhythm)
        return puller, puller.begin(since=self.since, full=self.full)

    def take(self, feed: Feed, item: Item) -> bool:
        """True when the stream has come to its end."""
        puller = self.running[feed]
        try:
            if not puller.take(item):
                return False
            self._found[puller.intake.stream] = puller.end()
            self._quota = self._quota or puller.quota
        except StoreError:
            raise
        except Exception as e:  # noqa: BLE001  # whatever ends this platform is told to the caller with its name
            self.failed = self.failed or e
        self.running.pop(feed)
        return True

    def abandon(self, feed: Feed) -> None:
        """Another stream's error has ended the platform: keep what came."""
        self.running.pop(feed).stop(type(self.failed).__name__)

    def commit_overdue(self) -> None:
        for puller in self.running.values():
            puller.commit_overdue()

    def counts(self) -> list[StreamCount]:
        return [self._found[s] for s in self._order if s in self._found]


class _Puller:
    """One stream of one platform in one run."""

    def __init__(self, store: Store, adapter: Adapter, intake: Intake, progress: Progress, rhythm: _Rhythm) -> None:
        self.store, self.adapter, self.intake, self.progress, self.rhythm = store, adapter, intake, progress, rhythm
        self.name = f"{adapter.name} {intake.stream}"
        self.latest: Page | None = None
        self.quota = self.note = self.code = ""
        """quota: why the rest of the platform must wait ('' when it need not). note, code: why the stream is closed."""
        self._is_complete = False
        self._committed_at = time.monotonic()
        self._walk = _Walk(None, None, None, True)

    def begin(self, *, since: datetime | None, full: bool) -> Callable[[], Iterator[Page]]:
        """What a thread must call to get the pages."""
        self._walk = self._where(since, full)
        self._committed_at = time.monotonic()
        self.progress.start(self.name, None)
        stream, cursor, begun_since = self.intake.stream, self._walk.cursor, self._walk.since
        return lambda: iter(self.adapter.pages(stream, cursor, full=full, since=begun_since))

    def take(self, item: Item) -> bool:
        """One page, or how the walk ended. True at its end; raises what the platform must not go on after."""
        if isinstance(item, Page):
            self.intake.take(item)
            self.latest = item
            self.progress.advance(self.name, len(item.records))
            self._is_complete = item.done
            if item.done or self.intake.waiting >= self.rhythm.records:
                self._commit(self._walk)
            else:
                self.commit_overdue()
            return item.done
        self._commit(self._walk)
        if item is None:
            self.note = "The platform stopped before the end of the walk."
            return True
        try:
            raise item
        except ScopeError as e:
            self.note, self.code = _named(e), "scope"
        except QuotaExhausted as e:
            self.note = self.quota = _when(e, self.adapter.now_utc())
        except PermanentApiError as e:
            if e.code in ENDS_PLATFORM:
                self.stop(type(e).__name__)
                raise
            self.note = str(e)
        except BaseException as e:
            self.stop(type(e).__name__)
            raise
        return True

    def commit_overdue(self) -> None:
        if time.monotonic() - self._committed_at >= self.rhythm.seconds:
            self._commit(self._walk)

    def end(self) -> StreamCount:
        """The stream's account, once its walk is over."""
        self.progress.finish(self.name)
        notes = [self.note] if self.note else []
        if self._is_complete:
            notes += [n for n in (self.intake.difference(), self.intake.vanished()) if n]
        return self._account(self._is_complete, " ".join(notes))

    def stop(self, why: str) -> None:
        """The platform has ended: keep what came, and the account of it."""
        self._commit(self._walk)
        self.progress.finish(self.name)
        self._account(False, why)

    def _commit(self, walk: _Walk) -> None:
        """Store what waits, with the cursor of the latest page; nothing when nothing waits."""
        page, self.latest = self.latest, None
        self._committed_at = time.monotonic()
        if page is not None:
            self.intake.commit(lambda: self._write_cursor(page, walk))

    def _account(self, is_complete: bool, note: str) -> StreamCount:
        intake = self.intake
        with self.store.transaction():
            if not is_complete:
                _mark_incomplete(self.store, intake.source, intake.stream, intake.run_id, self.adapter.now_utc())
            count = intake.count(is_complete=is_complete, note=note, code=self.code)
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
        if page.done and walk.complete_from is not None and page.complete_from is not None:
            complete_from = page.complete_from  # it knows what was held before: a gap moves the day on, a granted scope back
        intake = self.intake
        if page.done:
            intake.remember_fields()
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


def _named(error: ScopeError) -> str:
    """The refusal, with what is missing: one scope, or several of which one is enough."""
    said, missing = str(error), error.scope.split()
    return said if not missing or any(m in said for m in missing) else f"Missing scope {error.scope}: {said}"


def _when(error: QuotaExhausted, now: datetime) -> str:
    later = f" It goes on after {now + timedelta(seconds=error.wait_s):%Y-%m-%d %H:%M} UTC." if error.wait_s else ""
    said = "" if " UTC" in str(error) else later
    return f"{error}{said} What was read is kept; the same command goes on from there, and so does a scheduled `sync`."
