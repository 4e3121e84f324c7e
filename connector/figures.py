"""Undated aggregates of a platform ("opens so far"): kept one row a contact and day, and only what differs from before.

The table `figures` holds them packed; the view `snapshots` shows one row each, which is what everybody reads.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from connector import packing
from connector.generate import unpacked
from connector.known import digest
from connector.store import Store


class Figures:
    """Writes the aggregates of one stream. `names` says what stands at which place of the packed values; `today` dates them."""

    def __init__(self, store: Store, source: str, stream: str, names: Sequence[str], today: str) -> None:
        self.store, self.source, self.stream, self.names, self.today = store, source, stream, list(names), today
        self._names_id = digest(orjson.dumps(self.names))
        self._nothing = orjson.dumps([None] * len(self.names))
        self._is_named = not self.names

    def add(self, ids: Sequence[str], contact_ids: Sequence[str | None], packed: Sequence[bytes]) -> None:
        """Records that are new: everything there is."""
        if not self.names or not ids:
            return
        rows = [row for row in zip(ids, contact_ids, packed, strict=True) if row[2] != self._nothing]
        if rows:
            self._write([i for i, _, _ in rows], [c for _, c, _ in rows], [p for _, _, p in rows])

    def renew(self, ids: Sequence[str], contact_ids: Sequence[str | None], packed: Sequence[bytes]) -> None:
        """Records met before: what differs from the last of each name; a second value of one day replaces the first."""
        if not self.names or not ids:
            return
        where = "source = ? AND stream = ? AND record_id IN (SELECT unnest(CAST(? AS VARCHAR[])))"
        params = [self.source, self.stream, list(ids)]
        last: dict[str, dict[str, str]] = {}
        todays: dict[str, dict[str, str]] = {}
        for record_id, name, value, of_today in self.store.sql(
            "SELECT record_id, name, arg_max(value, taken_on), max(value) FILTER (taken_on = CAST(? AS DATE)) "
            f"FROM snapshots WHERE {where} GROUP BY ALL",
            [self.today, *params],
        ):
            last.setdefault(record_id, {})[name] = value
            if of_today is not None:
                todays.setdefault(record_id, {})[name] = of_today
        rows = []
        for record_id, contact_id, text in zip(ids, contact_ids, packed, strict=True):
            before = last.get(record_id, {})
            fresh = {n: v for n, v in zip(self.names, unpacked(text), strict=True) if v is not None and before.get(n) != v}
            if fresh:
                rows.append((record_id, contact_id, todays.get(record_id, {}) | fresh))
        if not rows:
            return
        params[2] = [i for i, _, _ in rows]
        self.store.sql(f"DELETE FROM figures WHERE {where} AND taken_on = CAST(? AS DATE)", [*params, self.today])
        merged = [orjson.dumps([found.get(n) for n in self.names]) for _, _, found in rows]
        self._write([i for i, _, _ in rows], [c for _, c, _ in rows], merged)

    def _write(self, ids: Sequence[str], contact_ids: Sequence[str | None], packed: Sequence[bytes]) -> None:
        if not self._is_named:
            self._name()
        columns = {
            "record_id": packing.array(ids), "contact_id": packing.array(contact_ids),
            "figures": packing.array([p.decode() for p in packed]),
        }  # fmt: skip
        fixed = {"source": self.source, "stream": self.stream, "taken_on": self.today, "names_id": self._names_id}
        self.store.append_columns("figures", columns, fixed)

    def _name(self) -> None:
        if not self.store.sql("SELECT 1 FROM figure_names WHERE names_id = ?", [self._names_id]):
            self.store.sql("INSERT INTO figure_names VALUES (?, CAST(? AS VARCHAR[]))", [self._names_id, self.names])
        self._is_named = True
