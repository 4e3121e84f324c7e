"""Read a stream whole now and then, to find what the platform no longer has and never told us.

Incremental pulls see what changed; a record that vanished without a trace changes nothing. So every `full_read_days`
a stream is read from its beginning with a cursor of its own, some records a night, beside the daily pulls. A record that
two full reads in a row did not meet, among the live or the archived ones, is gone: out of segments; what it bought stays
in the totals. Nothing is judged by a read that did not meet as many records as the platform counts, nor when a tenth of
the stream would go at once: then something else is wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import orjson

from adapters.base import Adapter, Page
from connector.intake import Intake, Normalizes
from connector.raw import RawPages
from connector.store import Store
from models.errors import ConnectorError

log = logging.getLogger(__name__)

JUDGED = frozenset({"contacts", "orders", "products", "companies"})
"""Streams that fill one of these hold things that are; streams of events hold what happened, and that cannot end."""

LONG_AGO = datetime(1970, 1, 1)  # noqa: DTZ001  # naive UTC, as all our times
LEAST_A_NIGHT = 10_000
MOST_GONE_PCT = 10
FEW = 20


@dataclass(frozen=True)
class FullRead:
    """What one night's part of a full read did. `gone`: records found to be gone; `note` where nothing could be judged."""

    source: str
    stream: str
    read: int
    is_ended: bool
    gone: int = 0
    note: str = ""


def due(store: Store, adapter: Adapter, normalizer: Normalizes, every_days: int, now: datetime) -> list[str]:
    """The streams whose full read is under way or due, the longest overdue first. A stream met for the first time was
    just read whole by its backfill."""
    if every_days <= 0:
        return []
    found: list[tuple[datetime, str]] = []
    for stream in (s.name for s in adapter.streams()):
        if not JUDGED.intersection(layout.table for layout in normalizer.layouts(stream)):
            continue
        if not store.value("SELECT is_complete FROM cursors WHERE source = ? AND stream = ?", [adapter.name, stream]):
            continue
        state = store.sql(
            "SELECT ended_at, cursor IS NOT NULL FROM full_reads WHERE source = ? AND stream = ?", [adapter.name, stream]
        )
        if not state:
            store.insert("full_reads", [{"source": adapter.name, "stream": stream, "ended_at": str(now)}])
        elif state[0][1] or state[0][0] is None or now - state[0][0] >= timedelta(days=every_days):
            found.append((state[0][0] or LONG_AGO, stream))
    return [stream for _, stream in sorted(found)]


def read_on(
    store: Store, adapter: Adapter, normalizer: Normalizes, run_id: str, stream: str, every_days: int, *, keep_raw: bool = True
) -> FullRead:
    """This night's part of the full read of one stream. A platform that fails leaves it where it stands, for tomorrow."""
    source = adapter.name
    held = int(store.value("SELECT count(*) FROM source_records WHERE source = ? AND stream = ?", [source, stream]))
    tonight = max(LEAST_A_NIGHT, -(-held // every_days))
    reading = _Reading(store, adapter, normalizer, run_id, stream, RawPages(store) if keep_raw else None)
    try:
        return reading.run(tonight)
    except ConnectorError as e:
        if e.exit_code in (2, 5):
            raise
        log.warning("%s %s: the full read goes on tomorrow (%s)", source, stream, type(e).__name__)
        return FullRead(source, stream, reading.intake.counts.fetched, False, note=f"It goes on with the next run: {e}")


class _Reading:
    def __init__(
        self, store: Store, adapter: Adapter, normalizer: Normalizes, run_id: str, stream: str, raw: RawPages | None
    ) -> None:
        self.store, self.adapter, self.run_id, self.stream = store, adapter, run_id, stream
        self.key = [adapter.name, stream]
        self.intake = Intake(store, adapter.name, stream, run_id, normalizer, adapter.now_utc, raw)

    def run(self, most: int) -> FullRead:
        cursor = self._cursor()
        pages: Iterator[Page] = iter(self.adapter.pages(self.stream, cursor, full=True))
        for page in pages:
            self.intake.take(page)
            self.intake.commit(lambda page=page: self._save(page))  # type: ignore[misc]  # bound to this page, as wanted
            if page.done:
                return self._end(page.complete_from)
            if self.intake.counts.fetched >= most:
                break
        return FullRead(self.adapter.name, self.stream, self.intake.counts.fetched, False)

    def _cursor(self) -> Any:
        """Where the read stands; a new one is begun where none is open."""
        cursor = self.store.value("SELECT cursor FROM full_reads WHERE source = ? AND stream = ?", self.key)
        if cursor is not None:
            return orjson.loads(cursor) or None
        with self.store.transaction():
            self.store.sql("DELETE FROM full_read_seen WHERE source = ? AND stream = ?", self.key)
            self.store.sql(
                "UPDATE full_reads SET cursor = 'null', started_run = ?, platform_total = NULL WHERE source = ? AND stream = ?",
                [self.run_id, *self.key],
            )
        return None

    def _save(self, page: Page) -> None:
        fixed = {"source": self.key[0], "stream": self.stream}
        self.store.append("full_read_seen", ("record_key",), [(k,) for k in self.intake.waiting_keys()], fixed)
        self.store.sql(
            "UPDATE full_reads SET cursor = ?, platform_total = coalesce(?, platform_total) WHERE source = ? AND stream = ?",
            [orjson.dumps(page.cursor).decode(), page.total, *self.key],
        )

    def _end(self, whole_from: date | None) -> FullRead:
        with self.store.transaction():
            gone, note = self._judge(whole_from)
            self.store.sql("DELETE FROM full_read_seen WHERE source = ? AND stream = ?", self.key)
            self.store.sql(
                "UPDATE full_reads SET cursor = NULL, ended_at = ? WHERE source = ? AND stream = ?",
                [self.adapter.now_utc(), *self.key],
            )
        log.info("%s %s: full read ended, %d gone. %s", *self.key, gone, note)
        return FullRead(self.adapter.name, self.stream, self.intake.counts.fetched, True, gone, note)

    def _judge(self, whole_from: date | None) -> tuple[int, str]:
        """(how many are gone, why nothing could be judged). Orders before `whole_from` are hidden there, not gone."""
        total, started_run = self.store.sql(
            "SELECT platform_total, started_run FROM full_reads WHERE source = ? AND stream = ?", self.key
        )[0]
        seen = int(
            self.store.value("SELECT count(DISTINCT record_key) FROM full_read_seen WHERE source = ? AND stream = ?", self.key)
        )
        if total is None or seen < total:
            said = "does not count them" if total is None else f"counts {total:,}"
            return 0, f"The full read met {seen:,} records; the platform {said}. Nothing is taken to be gone."
        live = int(self.store.value(f"SELECT count(*) {LIVE}", self.key))
        missing = [
            int(k)
            for (k,) in self.store.sql(
                f"SELECT record_key {LIVE} AND seen_run < ? AND record_key NOT IN "
                "(SELECT record_key FROM full_read_seen WHERE source = ? AND stream = ?) AND record_id NOT IN "
                "(SELECT record_id FROM orders WHERE source = ? AND stream = ? AND ordered_at < CAST(? AS DATE))",
                [*self.key, started_run, *self.key, *self.key, whole_from],
            )
        ]
        if len(missing) > FEW and len(missing) * 100 > live * MOST_GONE_PCT:
            return 0, f"{len(missing):,} of {live:,} records were not met. That is too many to be believed; nothing was done."
        before = {int(k) for (k,) in self.store.sql("SELECT record_key FROM missed WHERE source = ? AND stream = ?", self.key)}
        gone = self._asked_for([k for k in missing if k in before])
        self._mark(gone)
        self.store.sql("DELETE FROM missed WHERE source = ? AND stream = ?", self.key)
        fixed = {"source": self.key[0], "stream": self.stream, "run_id": self.run_id}
        self.store.append("missed", ("record_key",), [(k,) for k in missing if k not in before], fixed)
        return len(gone), ""

    def _asked_for(self, keys: Sequence[int]) -> list[int]:
        """Contacts are asked for once more, each by name: one that is out of sight may have gone with its audience, and was erased
        by nobody. Gives the records that are gone indeed."""
        if not keys or self.stream != self.adapter.contacts_stream:
            return list(keys)
        rows = self.store.sql(
            "SELECT record_id, record_key FROM source_records AS r WHERE source = ? AND stream = ? "
            "AND record_key IN (SELECT unnest(CAST(? AS UBIGINT[]))) AND NOT EXISTS (SELECT 1 FROM contacts AS c "
            "WHERE c.source = r.source AND c.stream = r.stream AND c.record_id = r.record_id AND c.state = 'merged')",
            [*self.key, list(keys)],
        )
        asked = {str(i): int(k) for i, k in rows}
        there: set[str] = set()
        for page in self.adapter.reread(list(asked)):
            there |= {self.intake.normalizer.record_id(self.stream, r) for r in page.records}
            there |= {i for i, state in page.gone.items() if state != "gone"}
            self.intake.take(replace(page, done=False, gone={i: s for i, s in page.gone.items() if s != "gone"}))
            self.intake.commit()
        over = {asked[i] for i in there if i in asked}
        return [k for k in keys if k not in over]

    def _mark(self, keys: Sequence[int]) -> None:
        """Their rows stay; only the hashes are cleared, so that one that comes back is stored again. Who lives on under another id
        (a new address, a merge) was erased by nobody."""
        if not keys:
            return
        self.store.sql(
            "UPDATE contacts SET state = 'gone' WHERE state IS DISTINCT FROM 'merged' AND source = ? AND stream = ? AND record_id IN ("
            "SELECT record_id FROM source_records WHERE source = ? AND stream = ? "
            "AND record_key IN (SELECT unnest(CAST(? AS UBIGINT[]))))",
            [*self.key, *self.key, list(keys)],
        )
        self.store.sql(
            "UPDATE source_records SET state = 'gone', content_hash = 0, snapshot_hash = 0, changed_run = ? "
            "WHERE source = ? AND stream = ? AND record_key IN (SELECT unnest(CAST(? AS UBIGINT[])))",
            [self.run_id, *self.key, list(keys)],
        )


LIVE = "FROM source_records WHERE source = ? AND stream = ? AND state = 'live'"

__all__ = ["FullRead", "due", "read_on"]
