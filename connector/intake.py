"""Take in raw records of one stream: normalized, compared with what is held, and stored with the cursor that covers them.

Several small pages share one transaction, for a page of 100 costs the store as much as one of 1000.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

import orjson

from adapters.base import Page
from connector.known import Held, Known, digest
from connector.raw import RawPages
from connector.store import Bundle, Row, Store
from models.errors import RecordError
from models.people import StreamCount

log = logging.getLogger(__name__)

GONE_TABLES = ("orders", "order_lines", "refunds", "discounts", "carts")
"""Rows that go with a record the platform has deleted; people, products and campaigns stay, marked."""

ANSWER = ("contact_id", "channel", "topic", "status", "platform_status", "changed_at", "reason")


class Normalizes(Protocol):
    """What normalize.Normalizer does."""

    def record_id(self, stream: str, raw: Any) -> str: ...

    def normalize(self, stream: str, raw: Any) -> Bundle: ...


@dataclass
class Counts:
    fetched: int = 0
    stored: int = 0
    unchanged: int = 0
    set_aside: int = 0
    new_set_aside: int = 0
    pages: int = 0
    total: int | None = None
    notes: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True)
class Incoming:
    """One normalized record on its way into the store."""

    key: int
    rows: Bundle
    snapshots: list[Row]
    held: Held


class Intake:
    """Collects the pages of one stream and commits them. Counts hold: fetched = stored + unchanged + set_aside."""

    def __init__(
        self,
        store: Store,
        source: str,
        stream: str,
        run_id: str,
        normalizer: Normalizes,
        now_utc: Callable[[], datetime],
        raw: RawPages | None = None,
        *,
        with_snapshots: bool = True,
    ) -> None:
        self.store, self.source, self.stream, self.run_id = store, source, stream, run_id
        self.normalizer, self.now_utc, self.raw = normalizer, now_utc, raw
        self.with_snapshots = with_snapshots
        self.counts = Counts()
        self.known = Known(store, source, stream)
        self.waiting = 0
        self._page_no = int(
            store.value(
                "SELECT coalesce(max(page), 0) FROM raw_pages WHERE run_id = ? AND source = ? AND stream = ?",
                [run_id, source, stream],
            )
        )
        found = store.sql("SELECT record_id FROM set_aside WHERE source = ? AND stream = ?", [source, stream])
        self._aside_before = {r for (r,) in found}
        self._start()

    def _start(self) -> None:
        self.waiting = 0
        self._incoming: dict[str, Incoming] = {}
        self._aside: dict[str, str] = {}
        self._gone: dict[str, str] = {}
        self._raw_rows: list[Row] = []

    def take(self, page: Page) -> None:
        """Normalize a page and hold it until `commit`."""
        self._page_no += 1
        self.counts.pages += 1
        self.counts.total = page.total if page.total is not None else self.counts.total
        if page.note:
            self.counts.notes[page.note] = None
        if self.raw is not None and (page.records or page.gone):
            row = self.raw.save(self.run_id, self.source, self.stream, self._page_no, page.records, page.gone, self.now_utc())
            self._raw_rows += [row] if row else []
        for record in page.records:
            self.take_record(record)
        for record_id, state in page.gone.items():
            self._gone[record_id] = state
        self.waiting += len(page.records) + len(page.gone)

    def take_record(self, record: Any) -> None:
        self.counts.fetched += 1
        record_id = ""
        try:
            record_id = self.normalizer.record_id(self.stream, record)
            rows = self.normalizer.normalize(self.stream, record)
            snapshots = rows.pop("snapshots", [])
            content = digest(orjson.dumps(rows)) or 1
        except RecordError as e:
            self._set_aside(record_id or _nameless(record), str(e))
            return
        except TypeError:
            self._set_aside(record_id or _nameless(record), "record: text that is not valid Unicode")
            return
        seen = digest(orjson.dumps([(s["name"], s["value"]) for s in snapshots])) if snapshots else 0
        if record_id in self._incoming:
            self.counts.unchanged += 1
        self._incoming[record_id] = Incoming(digest(record_id.encode()), rows, snapshots, Held(content, seen))
        self._aside.pop(record_id, None)
        self._gone.pop(record_id, None)

    def commit(self, also: Callable[[], None] | None = None) -> None:
        """Store everything taken since the last commit; `also` writes the cursor in the same transaction."""
        ids = list(self._incoming)
        before = dict(zip(ids, self.known.find([self._incoming[i].key for i in ids]), strict=True)) if ids else {}
        if not self.with_snapshots:
            self._incoming = {i: _without_snapshots(x, before[i]) for i, x in self._incoming.items()}
        changed = {i: x for i, x in self._incoming.items() if (b := before[i]) is None or b.content != x.held.content}
        counted = {i: x for i, x in self._incoming.items() if (b := before[i]) is None or b.snapshots != x.held.snapshots}
        with self.store.transaction():
            self._write_history(changed, before)
            replaced = [i for i in changed if before[i] is not None]
            self.store.upsert(self.source, self.stream, {i: x.rows for i, x in changed.items()}, replaced=replaced)
            self._write_snapshots(counted, before)
            self._write_held(changed, counted, before)
            gone = self._write_gone()
            self._write_aside()
            self.store.insert("raw_pages", self._raw_rows)
            if also is not None:
                also()
        self.known.keep({x.key: x.held for x in changed.values()} | {x.key: x.held for x in counted.values()} | gone)
        self.counts.stored += len(changed)
        self.counts.unchanged += len(ids) - len(changed)
        self._start()

    def count(self, *, is_complete: bool, note: str = "") -> StreamCount:
        notes = [*self.counts.notes, note] if note else list(self.counts.notes)
        return StreamCount(
            source=self.source, stream=self.stream, fetched=self.counts.fetched, stored=self.counts.stored,
            unchanged=self.counts.unchanged, set_aside=self.counts.set_aside, platform_total=self.counts.total,
            pages=self.counts.pages, is_complete=is_complete, note=" ".join(notes), new_set_aside=self.counts.new_set_aside,
        )  # fmt: skip

    def _set_aside(self, record_id: str, reason: str) -> None:
        self.counts.set_aside += 1
        if record_id not in self._aside_before:
            self.counts.new_set_aside += 1
        self._aside_before.add(record_id)
        self._aside[record_id] = reason

    def _write_aside(self) -> None:
        """Known ones keep their first run; a record that has become good is no longer set aside."""
        ids = [i for i in (*self._aside, *self._incoming) if i in self._aside_before]
        if not ids:
            return
        where = "source = ? AND stream = ? AND record_id IN (SELECT unnest(CAST(? AS VARCHAR[])))"
        first = dict(
            self.store.sql(f"SELECT record_id, first_run FROM set_aside WHERE {where}", [self.source, self.stream, ids])
        )
        self.store.sql(f"DELETE FROM set_aside WHERE {where}", [self.source, self.stream, ids])
        self._aside_before -= self._incoming.keys() - self._aside.keys()
        self.store.insert(
            "set_aside",
            [
                {
                    "source": self.source, "stream": self.stream, "record_id": i, "reason": reason,
                    "first_run": first.get(i, self.run_id), "last_run": self.run_id,
                }
                for i, reason in self._aside.items()
            ],
        )  # fmt: skip

    def _write_history(self, changed: dict[str, Incoming], before: dict[str, Held | None]) -> None:
        """Every answer about consent that is not the one held now."""
        answers = [row for x in changed.values() for row in x.rows.get("consents", ())]
        if not answers:
            return
        old: set[tuple[Any, ...]] = set()
        again = [i for i in changed if before[i] is not None]
        if again:
            old = set(
                self.store.sql(
                    "SELECT contact_id, channel, topic, status, platform_status, "
                    "strftime(changed_at, '%Y-%m-%d %H:%M:%S.%f'), reason FROM consents "
                    "WHERE source = ? AND stream = ? AND record_id IN (SELECT unnest(CAST(? AS VARCHAR[])))",
                    [self.source, self.stream, again],
                )
            )
        seen_at = self.now_utc().isoformat(" ", "microseconds")
        fixed = {"source": self.source, "seen_at": seen_at, "run_id": self.run_id}
        new = [row for row in answers if tuple(row.get(c) for c in ANSWER) not in old]
        self.store.insert("consent_history", [{**fixed, **{c: row.get(c) for c in ANSWER}} for row in new])

    def _write_snapshots(self, counted: dict[str, Incoming], before: dict[str, Held | None]) -> None:
        """Values that differ from the last ones stored; a second value of one day replaces the first."""
        rows = [row for x in counted.values() for row in x.snapshots]
        again = [i for i in counted if before[i] is not None]
        if again and rows:
            where = "source = ? AND stream = ? AND record_id IN (SELECT unnest(CAST(? AS VARCHAR[])))"
            params = [self.source, self.stream, again]
            last = {
                (record_id, name): value
                for record_id, name, value in self.store.sql(
                    f"SELECT record_id, name, arg_max(value, rowid) FROM snapshots WHERE {where} GROUP BY ALL", params
                )
            }
            rows = [r for r in rows if last.get((r["record_id"], r["name"])) != r["value"]]
            today = {r["taken_on"] for r in rows}
            pairs = [f"{r['record_id']}\x1f{r['name']}" for r in rows]
            self.store.sql(
                f"DELETE FROM snapshots WHERE {where} AND taken_on IN (SELECT unnest(CAST(? AS DATE[]))) "
                "AND record_id || chr(31) || name IN (SELECT unnest(CAST(? AS VARCHAR[])))",
                [*params, list(today), pairs],
            )
        self.store.insert("snapshots", rows)

    def _write_held(self, changed: dict[str, Incoming], counted: dict[str, Incoming], before: dict[str, Held | None]) -> None:
        fixed = {"source": self.source, "stream": self.stream, "changed_run": self.run_id, "seen_run": self.run_id}
        new = [
            {
                **fixed, "record_id": i, "content_hash": x.held.content, "first_run": self.run_id, "state": "live",
                "record_key": x.key, "snapshot_hash": x.held.snapshots,
            }
            for i, x in changed.items()
            if before[i] is None
        ]  # fmt: skip
        self.store.insert("source_records", new)
        again = [(i, x) for i, x in {**changed, **counted}.items() if before[i] is not None]
        if not again:
            return
        self.store.sql(
            """UPDATE source_records SET content_hash = n.content, snapshot_hash = n.snapshots, seen_run = ?, state = 'live',
                 changed_run = CASE WHEN n.content = content_hash THEN changed_run ELSE ? END
               FROM (SELECT unnest(CAST(? AS UBIGINT[])) AS key, unnest(CAST(? AS UBIGINT[])) AS content,
                            unnest(CAST(? AS UBIGINT[])) AS snapshots) n
               WHERE source = ? AND stream = ? AND record_key = n.key""",
            [
                self.run_id, self.run_id, [x.key for _, x in again], [x.held.content for _, x in again],
                [x.held.snapshots for _, x in again], self.source, self.stream,
            ],
        )  # fmt: skip

    def _write_gone(self) -> dict[int, Held]:
        """Mark records the platform no longer has. Their hash is cleared, so one that comes back is stored again."""
        if not self._gone:
            return {}
        where = "source = ? AND stream = ? AND record_id IN (SELECT unnest(CAST(? AS VARCHAR[])))"
        states = dict(
            self.store.sql(
                f"SELECT record_id, state FROM source_records WHERE {where}", [self.source, self.stream, list(self._gone)]
            )
        )
        moved = {i: s for i, s in self._gone.items() if i in states and states[i] != s}
        for state in sorted(set(moved.values())):
            params = [state, self.source, self.stream, [i for i, s in moved.items() if s == state]]
            self.store.sql(
                f"UPDATE source_records SET content_hash = 0, snapshot_hash = 0, changed_run = '{self.run_id}', state = ? "
                f"WHERE {where}",
                params,
            )
            self.store.sql(f"UPDATE contacts SET state = ? WHERE {where}", params)
        self.store.remove(self.source, self.stream, moved, tables=GONE_TABLES)
        return {digest(i.encode()): Held(0, 0) for i in moved}


def _without_snapshots(incoming: Incoming, before: Held | None) -> Incoming:
    """The same record with its snapshots left as they are in the store."""
    kept = before.snapshots if before else 0
    return replace(incoming, snapshots=[], held=Held(incoming.held.content, kept))


def _nameless(record: Any) -> str:
    """A stand-in id for a record that has none, the same whenever it comes."""
    return f"?{digest(orjson.dumps(record, option=orjson.OPT_SORT_KEYS, default=str)):016x}"
