"""Stage 2 of 10: raw records become rows of the normalized model, as the mapping says. Pure.

A mapping is compiled once per stream into one Python function; `connector/generate.py` writes it.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as AnyMapping
from datetime import date
from functools import partial
from typing import Any

import orjson

from connector.generate import Function, Layout, unpacked
from connector.mapping import Mapping, Path, load_mapping, parse_path, read_mapping
from connector.mapping import Rows as RowsMapping
from models.errors import ConfigError, RecordError

Row = dict[str, Any]
Bundle = dict[str, list[Row]]
Rows = tuple[list[tuple[Any, ...]], ...]
"""The rows of one record, table by table, as `Normalizer.layouts` says."""
Read = tuple[str, Rows, str | None, bytes]
"""A record's id, its rows, and of its snapshots: the contact id, and the values by `snapshot_names` as a JSON list."""

ATTRIBUTES_IN = {"hubspot": "properties", "mailchimp": "merge_fields"}
"""Where a platform keeps custom fields; elsewhere the owner writes the whole path."""


class Normalizer:
    """A compiled mapping. `attributes` are the owner's name -> field of the contact record; `today` dates snapshots.

    `own_prefix`: tags beginning with it are ours; they are left out of contacts, or our own writes would come back as facts.
    """

    def __init__(self, mapping: Mapping, attributes: AnyMapping[str, str], today: date, own_prefix: str = "") -> None:
        self.own_prefix = own_prefix.strip().casefold()
        self.mapping = mapping
        self.source: dict[str, str] = {}
        self._ids: dict[str, Callable[[Any], str | None]] = {}
        self._reads: dict[str, Callable[[Any], Read]] = {}
        self._layouts: dict[str, tuple[Layout, ...]] = {}
        self.today = today.isoformat()
        own = {name: _attribute_path(mapping.platform, name, path) for name, path in attributes.items()}
        for stream in mapping.streams.values():
            function = Function(mapping, stream, own, self._without_own_tags if self.own_prefix else None)
            text, names = function.compile()
            scope: dict[str, Any] = dict(names)
            exec(compile(text, f"<mapping {mapping.platform}.{stream.name}>", "exec"), scope)  # noqa: S102 - our own text, values only through repr()
            self.source[stream.name] = text
            self._ids[stream.name] = scope["record_id"]
            self._reads[stream.name] = scope["read"]
            self._layouts[stream.name] = function.layouts

    def record_id(self, stream: str, raw: Any) -> str:
        """The record's id; raises RecordError when it has none."""
        found = self._ids[self._known(stream)](raw)
        if found is None:
            raise RecordError("id: the record has no id")
        return found

    def normalize(self, stream: str, raw: Any) -> Bundle:
        """Rows by table, JSON-able (times and decimals as text). Raises RecordError with the column and the reason."""
        record_id, found, contact_id, packed = self.reader(stream)(raw)
        rows = {
            layout.table: [{**layout.fixed, **dict(zip(layout.columns, row, strict=True))} for row in part]
            for layout, part in zip(self._layouts[stream], found, strict=True)
            if part
        }
        fixed = {"source": self.mapping.platform, "stream": stream, "record_id": record_id, "contact_id": contact_id}
        snapshots = [
            {**fixed, "name": name, "value": value, "taken_on": self.today}
            for name, value in zip(self.snapshot_names(stream), unpacked(packed), strict=True)
            if value is not None
        ]
        return {**rows, "snapshots": snapshots} if snapshots else rows

    def reader(self, stream: str) -> Callable[[Any], Read]:
        """What makes rows of one raw record, as tuples by `layouts`; raises RecordError. Much cheaper than `normalize`."""
        return self._reads[self._known(stream)]

    def layouts(self, stream: str) -> tuple[Layout, ...]:
        return self._layouts[self._known(stream)]

    def watched(self, stream: str) -> dict[str, tuple[Callable[[Any], bool], str]]:
        """Name -> (is it in this record, what it fills), of the fields whose disappearance would be noticed late."""
        found: dict[str, tuple[Callable[[Any], bool], str]] = {}
        for name in self.mapping.streams[self._known(stream)].watch:
            steps = tuple(s for s in parse_path(name, f"[{stream}] watch").steps if s is not None)
            fills = [f for rows in self.mapping.streams[stream].rows for f in _filled_from(rows, steps)]
            found[name] = partial(_holds, steps), ", ".join(dict.fromkeys(fills))
        return found

    def _without_own_tags(self, tags: str | None) -> str | None:
        if tags is None or self.own_prefix not in tags.casefold():
            return tags
        kept = [t for t in orjson.loads(tags) if not str(t).casefold().startswith(self.own_prefix)]
        return orjson.dumps(kept).decode() if kept else None

    def snapshot_names(self, stream: str) -> tuple[str, ...]:
        return tuple(self.mapping.streams[self._known(stream)].snapshots)

    def _known(self, stream: str) -> str:
        if stream not in self._ids:
            raise ConfigError(f"mappings/{self.mapping.platform}.toml has no section [{stream}].")
        return stream


def _holds(steps: tuple[str, ...], record: Any) -> bool:
    for step in steps:
        if not isinstance(record, dict) or step not in record:
            return False
        record = record[step]
    return True


def _filled_from(rows: RowsMapping, steps: tuple[str, ...]) -> list[str]:
    """The columns that a field fills; the table alone where the field only says whether there is a row."""

    def begins(value: Any) -> bool:
        return isinstance(value, Path) and value.steps[: len(steps)] == steps

    found = [f"{rows.table}.{name}" for name, fields in rows.fields.items() if any(begins(a.value) for a in fields)]
    decides = begins(rows.each) or any(begins(a.value) for a in rows.when)
    return found or ([rows.table] if decides else [])


def _attribute_path(platform: str, name: str, path: str) -> Path:
    """HubSpot names mean properties, Mailchimp names mean merge fields; elsewhere a path in the record."""
    inside = ATTRIBUTES_IN.get(platform)
    if inside is None or path.startswith(f"{inside}."):
        return parse_path(path, f"[{platform}.attributes] {name}")
    return Path("element", (inside, path))


__all__ = ["Bundle", "Layout", "Mapping", "Normalizer", "Read", "Row", "load_mapping", "read_mapping"]
