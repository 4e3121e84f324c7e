"""Take in raw records of one stream: normalized, compared with what is held, and stored with the cursor that covers them.

Several small pages share one transaction, for a page of 100 costs the store as much as one of 1000. What waits is compared
and written column by column; only records that were held before are looked at one by one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import orjson

from adapters.base import Page
from connector import features, forgotten, former_addresses, former_forms, merges, packing
from connector.figures import Figures
from connector.forgotten import REASON, Forgotten
from connector.known import Known, digest, key_of, numbers, print_of, prints
from connector.raw import RawPages
from connector.store import Bundle, Row, Store
from models.errors import RecordError
from models.people import StreamCount

if TYPE_CHECKING:
    from numpy.typing import NDArray

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

    def reader(self, stream: str) -> Callable[[Any], tuple[str, Rows, str | None, bytes]]: ...

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


Incoming = tuple[bytes, bytes, bytes, Rows, str | None, bytes]
"""One normalized record on its way into the store: key, hashes of its rows and of its snapshots, rows, and of the
snapshots the contact id and the packed values."""
KEY: Final = 0
CONTENT: Final = 1
SEEN: Final = 2
ROWS: Final = 3
CONTACT: Final = 4
PACKED: Final = 5
NOTHING = b"\0" * 8
"""The hash of no snapshots."""


class Batch(NamedTuple):
    """What waits for one commit, and how it compares with what is held. Places are numbers of its records."""

    ids: list[str]
    records: list[Incoming]
    keys: NDArray[Any]
    contents: NDArray[Any]
    snapshots: NDArray[Any]
    new: list[int]
    again: list[int]
    """Changed records that were held before."""
    counted: list[int]
    """Records held before whose snapshots differ."""

    @property
    def changed(self) -> list[int]:
        return sorted([*self.new, *self.again]) if self.again else self.new

    def ids_of(self, places: Iterable[int]) -> list[str]:
        return [self.ids[n] for n in places]


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
        self._read = normalizer.reader(stream)
        self._figures = Figures(store, source, stream, normalizer.snapshot_names(stream), normalizer.today)
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
        self._theirs: dict[str, set[str]] = {}
        self._raw_pages: list[bytes] = []
        self._raw_records = 0

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
            self._raw_pages.append(self.raw.pack(page.records, page.gone))
            self._raw_records += len(page.records)
        for record in page.records:
            if not self._unseen:
                break
            self._unseen = {name: x for name, x in self._unseen.items() if not x[0](record)}
        self._take_records(page.records)
        self._gone |= page.gone
        self.waiting += len(page.records) + len(page.gone)

    def _without_forgotten(self, page: Page) -> Page:
        """The page without the records of people we were told to forget: those are counted, and kept nowhere."""
        kept = []
        gone: dict[str, str] = {}
        for record in page.records:
            try:
                rows = self.normalizer.normalize(self.stream, record)
                theirs = self.forgotten.has(self.source, rows)
                if theirs:  # a contact that was somebody else's is nobody's now: what it says is not heard any more
                    now = forgotten.contacts_of(self.source, rows)
                    gone |= dict.fromkeys([i for ids in now.values() for i in ids], "merged")
                    self._theirs |= now
            except (RecordError, TypeError, UnicodeEncodeError):
                theirs = self.forgotten.mentions(record)
            if theirs:
                self.counts.fetched += 1
                self._set_aside(self.forgotten.stand_in(self._id_of(record)), REASON)
            else:
                kept.append(record)
        gone = {i: state for i, state in {**gone, **page.gone}.items() if not self.forgotten.knows(self.source, i)}
        return replace(page, records=kept, gone=gone)

    def _take_records(self, records: Sequence[Any]) -> None:
        read, dumps, incoming = self._read, orjson.dumps, self._incoming
        before, aside = len(incoming), self.counts.set_aside
        for record in records:
            try:
                record_id, rows, contact_id, packed = read(record)
                key, content = key_of(record_id.encode()), print_of(dumps(rows))
            except RecordError as e:
                self._set_aside(self._id_of(record), str(e))
                continue
            except (TypeError, UnicodeEncodeError):
                self._set_aside(self._id_of(record), "record: text that is not valid Unicode")
                continue
            incoming[record_id] = key, content, print_of(packed) if packed else NOTHING, rows, contact_id, packed
            if self._aside:
                self._aside.pop(record_id, None)
            if self._gone:
                self._gone.pop(record_id, None)
        self.counts.fetched += len(records)
        repeated = len(records) - (self.counts.set_aside - aside) - (len(incoming) - before)
        self.counts.unchanged += repeated

    def _id_of(self, record: Any) -> str:
        """The id of a record that cannot be used, or a stand-in, the same whenever it comes."""
        with suppress(RecordError, UnicodeEncodeError):
            found = self.normalizer.record_id(self.stream, record)
            found.encode()
            return found
        return f"?{digest(orjson.dumps(record, option=orjson.OPT_SORT_KEYS, default=str)):016x}"

    def commit(self, also: Callable[[], None] | None = None) -> None:
        """Store everything taken since the last commit; `also` writes the cursor in the same transaction."""
        batch = self._compared()
        raw_row = self._save_raw()
        self._said_at = self._after_what_was_said(batch)
        with self.store.transaction():
            self._write_rows(batch)
            if self.with_snapshots:
                self._write_snapshots(batch)
            self._write_held(batch)
            gone = self._write_gone()
            forgotten.follow(self.store, self.source, self._theirs, self.now_utc())
            self._write_aside()
            if raw_row:
                self.store.insert("raw_pages", [raw_row])
            if also is not None:
                also()
        self.known.keep(batch.keys, batch.contents, batch.snapshots)
        if gone:
            keys = numbers(key_of(i.encode()) for i in gone)
            self.known.keep(keys, keys * 0, keys * 0)
        self.counts.stored += len(batch.new) + len(batch.again)
        self.counts.unchanged += len(batch.ids) - len(batch.new) - len(batch.again)
        self._start()

    def _after_what_was_said(self, batch: Batch) -> datetime:
        """When answers were heard, by a clock that may have been wrong before: the last one must come last."""
        now = self.now_utc()
        if not batch.again and self.source != "import":
            return now
        last = self.store.value("SELECT max(seen_at) FROM consent_history WHERE source = ?", [self.source])
        return now if last is None or now > last else last + timedelta(microseconds=1)

    def _compared(self) -> Batch:
        import numpy as np

        records = list(self._incoming.values())
        keys, contents = numbers([x[KEY] for x in records]), prints([x[CONTENT] for x in records])
        snapshots = numbers([x[SEEN] for x in records])
        held = self.known.find(keys)
        if not self.with_snapshots:
            snapshots = held.snapshots
        new = np.flatnonzero(~held.is_held).tolist()
        again = np.flatnonzero(held.is_held & (held.contents != contents)).tolist()
        counted = np.flatnonzero(held.is_held & (held.snapshots != snapshots)).tolist()
        return Batch(list(self._incoming), records, keys, contents, snapshots, new, again, counted)

    def _save_raw(self) -> Row | None:
        """Files first: one that no row refers to is removed at the next start."""
        if self.raw is None or not self._raw_pages:
            return None
        return self.raw.save(
            self.run_id, self.source, self.stream, self._page_no, self._raw_pages, self._raw_records, self.now_utc()
        )

    def waiting_keys(self) -> list[int]:
        """The keys of the records that wait to be committed, also of those that were set aside."""
        return [digest(i.encode()) for i in (*self._incoming, *self._aside)]

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
            + "".join(f" This breaks {', '.join(what)}." for what in [features.broken(fills.split(", "))] if what)
            for field, (_, fills) in self._unseen.items()
            if field in self._seen_before
        )

    def count(self, *, is_complete: bool, note: str = "", code: str = "") -> StreamCount:
        notes = [*self.counts.notes, note] if note else list(self.counts.notes)
        return StreamCount(
            source=self.source, stream=self.stream, fetched=self.counts.fetched, stored=self.counts.stored,
            unchanged=self.counts.unchanged, set_aside=self.counts.set_aside, platform_total=self.counts.total,
            pages=self.counts.pages, is_complete=is_complete, note=" ".join(notes), new_set_aside=self.counts.new_set_aside,
            code=code,
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

    def _write_rows(self, batch: Batch) -> None:
        records = [batch.records[n][ROWS] for n in batch.changed]
        found = [list(chain.from_iterable(map(itemgetter(n), records))) for n in range(len(self._layouts))]
        columns = [packing.of_tuples(x.columns, rows) if rows else {} for x, rows in zip(self._layouts, found, strict=True)]
        for layout, rows, arrays in zip(self._layouts, found, columns, strict=True):
            if layout.table == "consents" and rows:
                self._write_history(layout, rows, arrays, batch.ids_of(batch.again))
        again = batch.ids_of(batch.again)
        may_move = again if self.source in merges.NAMELESS and any(x.table == "orders" for x in self._layouts) else []
        before = merges.whose_orders(self.store, self.source, self.stream, may_move) if may_move else {}
        may_change = again if any(x.table == "contacts" for x in self._layouts) else []
        had = former_addresses.held(self.store, self.source, self.stream, may_change) if may_change else set()
        outs = former_addresses.opted_out(self.store, self.source, self.stream, may_change) if may_change else set()
        brings_forms = may_change if "events" in self.store.filled(self.source, self.stream) else []
        forms = former_forms.held(self.store, self.source, self.stream, brings_forms) if brings_forms else []
        self.store.remove(self.source, self.stream, again)
        for layout, arrays in zip(self._layouts, columns, strict=True):
            if arrays:
                self.store.append_columns(layout.table, arrays, layout.fixed)
                self.store.filled(self.source, self.stream).add(layout.table)
        if brings_forms:
            former_forms.keep(self.store, self.source, self.stream, forms, brings_forms)
        if any(x.table == "contacts" for x in self._layouts):
            has = former_addresses.held(self.store, self.source, self.stream, may_change) if had else set()
            moved = former_addresses.note(self.store, self.source, had, has) if had else frozenset()
            moved |= former_addresses.have_some(self.store, self.source, batch.ids_of(batch.new))
            former_addresses.take_nothing_back(self.store, self.source, self.run_id, moved, batch.ids_of(batch.changed))
            if outs:
                still = former_addresses.opted_out(self.store, self.source, self.stream, may_change)
                former_addresses.keep_opt_outs(self.store, self.source, self.run_id, self._said_at, outs, still, moved)
        if before:
            now = merges.whose_orders(self.store, self.source, self.stream, may_move)
            merges.note_moved(self.store, self.source, before, now)

    def _write_history(self, layout: Layout, rows: list[tuple[Any, ...]], arrays: packing.Columns, again: list[str]) -> None:
        """Every answer about consent that is not the one held now."""
        fixed = {"source": self.source, "seen_at": self._said_at.isoformat(" ", "microseconds"), "run_id": self.run_id}
        if not again:
            answers = {c: arrays[c] for c in ANSWER if c in arrays}
            if answers:
                same = {c: layout.fixed[c] for c in ANSWER if c in layout.fixed}
                self.store.append_columns("consent_history", answers, same | fixed)
            return
        old = set(
            self.store.sql(
                "SELECT contact_id, channel, topic, status, platform_status, "
                "strftime(changed_at, '%Y-%m-%d %H:%M:%S.%f'), reason FROM consents "
                "WHERE source = ? AND stream = ? AND record_id IN (SELECT unnest(CAST(? AS VARCHAR[])))",
                [self.source, self.stream, again],
            )
        )
        places = {c: n for n, c in enumerate(layout.columns)}
        said = [tuple([row[places[c]] if c in places else layout.fixed.get(c) for c in ANSWER]) for row in rows]
        self.store.append("consent_history", ANSWER, [a for a in said if a not in old], fixed)

    def _write_snapshots(self, batch: Batch) -> None:
        new, counted = ([batch.records[n] for n in places] for places in (batch.new, batch.counted))
        self._figures.add(batch.ids_of(batch.new), [x[CONTACT] for x in new], [x[PACKED] for x in new])
        self._figures.renew(batch.ids_of(batch.counted), [x[CONTACT] for x in counted], [x[PACKED] for x in counted])

    def _write_held(self, batch: Batch) -> None:
        if batch.new:
            runs = dict.fromkeys(("first_run", "changed_run", "seen_run"), self.run_id)
            columns = {
                "record_id": packing.array(batch.ids_of(batch.new)), "record_key": batch.keys[batch.new],
                "content_hash": batch.contents[batch.new], "snapshot_hash": batch.snapshots[batch.new],
            }  # fmt: skip
            fixed = {"source": self.source, "stream": self.stream, "state": "live", **runs}
            self.store.append_columns("source_records", columns, fixed)
        touched = sorted({*batch.again, *batch.counted})
        if touched:
            self.store.sql(
                """UPDATE source_records SET content_hash = n.content, snapshot_hash = n.snapshots, seen_run = ?, state = 'live',
                     changed_run = CASE WHEN n.content = content_hash THEN changed_run ELSE ? END
                   FROM (SELECT unnest(CAST(? AS UBIGINT[])) AS key, unnest(CAST(? AS UBIGINT[])) AS content,
                                unnest(CAST(? AS UBIGINT[])) AS snapshots) n
                   WHERE source = ? AND stream = ? AND record_key = n.key""",
                [
                    self.run_id, self.run_id, batch.keys[touched].tolist(), batch.contents[touched].tolist(),
                    batch.snapshots[touched].tolist(), self.source, self.stream,
                ],
            )  # fmt: skip

    def _write_gone(self) -> list[str]:
        """Mark records the platform no longer has, and give their ids. Their hash is cleared, so one that comes back is
        stored again."""
        if not self._gone:
            return []
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
        return list(moved)
