"""Take in raw records of one stream: normalized, compared with what is held, and stored with the cursor that covers them.

Several small pages share one transaction, for a page of 100 costs the store as much as one of 1000.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import orjson

from adapters.base import Page
from connector import packing
from connector.forgotten import REASON, Forgotten
from connector.known import Held, Known, digest, fingerprint
from connector.raw import RawPages
from connector.store import Bundle, Row, Store
from models.errors import RecordError
from models.people import StreamCount

log = logging.getLogger(__name__)

GONE_TABLES = ("orders", "order_lines", "refunds", "discounts", "carts")
"""Rows that go with a record the platform has deleted; people, products and campaigns stay, marked."""

ENOUGH = 50
"""From so many records on a field that none of them has has vanished."""

ANSWER = ("contact_id", "channel", "topic", "status", "platform_status", "changed_at", "reason")


Rows = tuple[list[tuple[Any, ...]], ...]


class Layout(Protocol):
    """One table as a stream fills it: the columns of its tuples, and what is the same in every row."""

    @property
    def table(self) -> str: ...

    @property
    def columns(self) -> tuple[str, ...]: ...

    @property
    def fixed(self) -> dict[str, Any]: ...


class Normalizes(Protocol):
    """What normalize.Normalizer does."""

    today: str

    def record_id(self, stream: str, raw: Any) -> str: ...

    def normalize(self, stream: str, raw: Any) -> Bundle: ...

    def read(self, stream: str, raw: Any) -> tuple[str, Rows, str | None, tuple[str | None, ...]]: ...

    def layouts(self, stream: str) -> Sequence[Layout]: ...

    def snapshot_names(self, stream: str) -> tuple[str, ...]: ...

    def watched(self, stream: str) -> dict[str, tuple[Callable[[Any], bool], str]]: ...


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


class Incoming(NamedTuple):
    """One normalized record on its way into the store; `values` are those of its snapshots, by their names."""

    key: int
    rows: Rows
    contact_id: str | None
    values: tuple[str | None, ...]
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
        self.forgotten = Forgotten(store)
        self.waiting = 0
        self._page_no = int(
            store.value(
                "SELECT coalesce(max(page), 0) FROM raw_pages WHERE run_id = ? AND source = ? AND stream = ?",
                [run_id, source, stream],
            )
        )
        found = store.sql("SELECT record_id FROM set_aside WHERE source = ? AND stream = ?", [source, stream])
        self._aside_before = {r for (r,) in found}
        self._names = normalizer.snapshot_names(stream)
        self._layouts = normalizer.layouts(stream)
        self._watched = normalizer.watched(stream)
        self._unseen = dict(self._watched)
        met = store.value("SELECT value FROM meta WHERE name = ?", [f"watched:{source}:{stream}"])
        self._seen_before = frozenset(orjson.loads(met or "[]"))
        self._start()

    def _start(self) -> None:
        self.waiting = 0
        self._incoming: dict[str, Incoming] = {}
        self._aside: dict[str, str] = {}
        self._gone: dict[str, str] = {}
        self._raw_rows: list[Row] = []

    def take(self, page: Page) -> None:
        """Normalize a page and hold it until `commit`."""
        if self.forgotten:
            page = self._without_forgotten(page)
        self._page_no += 1
        self.counts.pages += 1
        self.counts.total = page.total if page.total is not None else self.counts.total
        if page.note:
            self.counts.notes[page.note] = None
        if self.raw is not None and (page.records or page.gone):
            row = self.raw.save(self.run_id, self.source, self.stream, self._page_no, page.records, page.gone, self.now_utc())
            self._raw_rows += [row] if row else []
        for record in page.records:
            if self._unseen:
                self._unseen = {name: x for name, x in self._unseen.items() if not x[0](record)}
            self.take_record(record)
        for record_id, state in page.gone.items():
            self._gone[record_id] = state
        self.waiting += len(page.records) + len(page.gone)

    def _without_forgotten(self, page: Page) -> Page:
        """The page without the records of people we were told to forget: those are counted, and kept nowhere."""
        kept = []
        for record in page.records:
            try:
                theirs = self.forgotten.has(self.source, self.normalizer.normalize(self.stream, record))
            except (RecordError, TypeError, UnicodeEncodeError):
                theirs = self.forgotten.mentions(record)
            if theirs:
                self.counts.fetched += 1
                self._set_aside(self.forgotten.stand_in(self._id_of(record)), REASON)
            else:
                kept.append(record)
        gone = {i: state for i, state in page.gone.items() if not self.forgotten.knows(self.source, i)}
        return replace(page, records=kept, gone=gone)

    def take_record(self, record: Any) -> None:
        self.counts.fetched += 1
        record_id = ""
        try:
            record_id, rows, contact_id, values = self.normalizer.read(self.stream, record)
            content = fingerprint(orjson.dumps(rows))
            seen = fingerprint(orjson.dumps(values)) if values else 0
            key = digest(record_id.encode())
        except RecordError as e:
            self._set_aside(self._id_of(record), str(e))
            return
        except (TypeError, UnicodeEncodeError):
            self._set_aside(self._id_of(record), "record: text that is not valid Unicode")
            return
        if record_id in self._incoming:
            self.counts.unchanged += 1
        self._incoming[record_id] = Incoming(key, rows, contact_id, values, Held(content, seen))
        if self._aside:
            self._aside.pop(record_id, None)
        if self._gone:
            self._gone.pop(record_id, None)

    def _id_of(self, record: Any) -> str:
        """The id of a record that cannot be used, or a stand-in, the same whenever it comes."""
        with suppress(RecordError, UnicodeEncodeError):
            found = self.normalizer.record_id(self.stream, record)
            found.encode()
            return found
        return f"?{digest(orjson.dumps(record, option=orjson.OPT_SORT_KEYS, default=str)):016x}"

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
            self.store.remove(self.source, self.stream, replaced)
            self._write_rows(changed)
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

    def waiting_keys(self) -> list[int]:
        """The keys of the records that wait to be committed, also of those that were set aside."""
        return [x.key for x in self._incoming.values()] + [digest(i.encode()) for i in self._aside]

    def difference(self) -> str:
        """Where what the platform counts and what is held differ, after a whole walk; '' where they do not."""
        total = self.counts.total
        if total is None:
            return ""
        held, aside = self.store.sql(
            "SELECT (SELECT count(*) FROM source_records WHERE source = $1 AND stream = $2 AND state = 'live'), "
            "(SELECT count(*) FROM set_aside WHERE source = $1 AND stream = $2)",
            [self.source, self.stream],
        )[0]
        if held + aside == total:
            return ""
        return f"The platform counts {total:,}; {held:,} are held{f' and {aside:,} set aside' if aside else ''}."

    def remember_fields(self) -> None:
        """Keep which watched fields have been met, for `vanished` of later runs."""
        now = self._seen_before | (self._watched.keys() - self._unseen.keys())
        if now != self._seen_before:
            name = f"watched:{self.source}:{self.stream}"
            self.store.sql("DELETE FROM meta WHERE name = ?", [name])
            self.store.insert("meta", [{"name": name, "value": orjson.dumps(sorted(now)).decode()}])

    def vanished(self) -> str:
        """Fields that earlier runs met and no record of this one has, with what they fill; '' when there are none."""
        if self.counts.fetched < ENOUGH:
            return ""
        return " ".join(
            f"The field {field} is in none of {self.counts.fetched:,} records; it fills {fills or 'nothing yet'}."
            for field, (_, fills) in self._unseen.items()
            if field in self._seen_before
        )

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

    def _write_rows(self, changed: dict[str, Incoming]) -> None:
        for n, layout in enumerate(self._layouts):
            rows = [row for x in changed.values() for row in x.rows[n]]
            if rows:
                self.store.append(layout.table, layout.columns, rows, layout.fixed)
                self.store.filled(self.source, self.stream).add(layout.table)

    def _write_history(self, changed: dict[str, Incoming], before: dict[str, Held | None]) -> None:
        """Every answer about consent that is not the one held now."""
        place = next((n for n, layout in enumerate(self._layouts) if layout.table == "consents"), None)
        if place is None:
            return
        layout = self._layouts[place]
        columns = layout.columns
        picked = [columns.index(c) if c in columns else None for c in ANSWER]
        constant = [layout.fixed.get(c) for c in ANSWER]
        answers = [
            tuple([row[p] if p is not None else c for p, c in zip(picked, constant, strict=True)])
            for x in changed.values()
            for row in x.rows[place]
        ]
        again = [i for i in changed if before[i] is not None]
        if again and answers:
            old = set(
                self.store.sql(
                    "SELECT contact_id, channel, topic, status, platform_status, "
                    "strftime(changed_at, '%Y-%m-%d %H:%M:%S.%f'), reason FROM consents "
                    "WHERE source = ? AND stream = ? AND record_id IN (SELECT unnest(CAST(? AS VARCHAR[])))",
                    [self.source, self.stream, again],
                )
            )
            answers = [a for a in answers if a not in old]
        seen_at = self.now_utc().isoformat(" ", "microseconds")
        self.store.append(
            "consent_history", ANSWER, answers, {"source": self.source, "seen_at": seen_at, "run_id": self.run_id}
        )

    def _write_snapshots(self, counted: dict[str, Incoming], before: dict[str, Held | None]) -> None:
        """Values that differ from the last ones stored; a second value of one day replaces the first."""
        again = {i: x for i, x in counted.items() if before[i] is not None and x.values}
        new = {i: x for i, x in counted.items() if before[i] is None and x.values}
        packed = packing.pack_lists([x.values for x in new.values()])
        who = packing.pack_lists([(i, x.contact_id) for i, x in new.items()])
        if new and packed is not None and who is not None:
            self.store.sql(
                """INSERT INTO snapshots (source, stream, record_id, contact_id, name, value, taken_on)
                   SELECT $1, $2, record_id, nullif(contact_id, chr(30)), name, value, CAST($3 AS DATE) FROM (
                     SELECT who[1] AS record_id, who[2] AS contact_id, unnest(string_split(packed, chr(31))) AS value,
                            unnest(CAST($6 AS VARCHAR[])) AS name
                     FROM (SELECT string_split(unnest(string_split($4, chr(29))), chr(31)) AS who,
                                  unnest(string_split($5, chr(29))) AS packed))
                   WHERE value != chr(30)""",
                [self.source, self.stream, self.normalizer.today, who, packed, list(self._names)],
            )
        elif new:
            self.store.insert("snapshots", self._snapshot_rows(new))
        if again:
            self._renew_snapshots(again)

    def _snapshot_rows(self, counted: dict[str, Incoming]) -> list[Row]:
        fixed = {"source": self.source, "stream": self.stream, "taken_on": self.normalizer.today}
        return [
            {**fixed, "record_id": i, "contact_id": x.contact_id, "name": name, "value": value}
            for i, x in counted.items()
            for name, value in zip(self._names, x.values, strict=True)
            if value is not None
        ]

    def _renew_snapshots(self, again: dict[str, Incoming]) -> None:
        rows, ids = self._snapshot_rows(again), list(again)
        where = "source = ? AND stream = ? AND record_id IN (SELECT unnest(CAST(? AS VARCHAR[])))"
        params = [self.source, self.stream, ids]
        last = {
            (record_id, name): value
            for record_id, name, value in self.store.sql(
                f"SELECT record_id, name, arg_max(value, rowid) FROM snapshots WHERE {where} GROUP BY ALL", params
            )
        }
        rows = [r for r in rows if last.get((r["record_id"], r["name"])) != r["value"]]
        pairs = [f"{r['record_id']}\x1f{r['name']}" for r in rows]
        self.store.sql(
            f"DELETE FROM snapshots WHERE {where} AND taken_on = CAST(? AS DATE) "
            "AND record_id || chr(31) || name IN (SELECT unnest(CAST(? AS VARCHAR[])))",
            [*params, self.normalizer.today, pairs],
        )
        self.store.insert("snapshots", rows)

    def _write_held(self, changed: dict[str, Incoming], counted: dict[str, Incoming], before: dict[str, Held | None]) -> None:
        new = [(i, x.key, x.held.content, x.held.snapshots) for i, x in changed.items() if before[i] is None]
        runs = dict.fromkeys(("first_run", "changed_run", "seen_run"), self.run_id)
        fixed = {"source": self.source, "stream": self.stream, "state": "live", **runs}
        self.store.append("source_records", ("record_id", "record_key", "content_hash", "snapshot_hash"), new, fixed)
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
    return incoming._replace(values=(), held=Held(incoming.held.content, kept))
