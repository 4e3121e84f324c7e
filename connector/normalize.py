"""Stage 2 of 10: raw records become rows of the normalized model, as the mapping says. Pure.

A mapping is compiled once per stream into one Python function made of the mapping's own paths: about three times as
fast as walking paths by closures, and the function's text can be read in `Normalizer.source`.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

import orjson

from connector import convert
from connector.mapping import (
    CONVERTERS,
    Alternative,
    Constant,
    Converter,
    Mapping,
    Path,
    StreamMapping,
    column_types,
    load_mapping,
    parse_path,
    read_mapping,
)
from connector.mapping import Rows as RowsMapping
from models.errors import ConfigError, RecordError

Row = dict[str, Any]
Bundle = dict[str, list[Row]]
Values = tuple[str | None, ...]
Rows = tuple[list[tuple[Any, ...]], ...]
"""The rows of one record, table by table, as `Normalizer.layouts` says."""

ATTRIBUTES_IN = {"hubspot": "properties", "mailchimp": "merge_fields"}
"""Where a platform keeps custom fields; elsewhere the owner writes the whole path."""


@dataclass(frozen=True)
class Layout:
    """One table as a stream fills it: the columns of its tuples, and what is the same in every row."""

    table: str
    columns: tuple[str, ...]
    fixed: dict[str, Any]


class Normalizer:
    """A compiled mapping. `attributes` are the owner's name -> field of the contact record; `today` dates snapshots.

    `own_prefix`: tags beginning with it are ours; they are left out of contacts, or our own writes would come back as facts.
    """

    def __init__(self, mapping: Mapping, attributes: AnyMapping[str, str], today: date, own_prefix: str = "") -> None:
        self.own_prefix = own_prefix.strip().casefold()
        self.mapping = mapping
        self.source: dict[str, str] = {}
        self._ids: dict[str, Callable[[Any], str | None]] = {}
        self._rows: dict[str, Callable[[Any, str], Rows]] = {}
        self._layouts: dict[str, tuple[Layout, ...]] = {}
        self._tags: dict[str, tuple[int, int]] = {}
        self._values: dict[str, Callable[[Any, str], tuple[str | None, Values]]] = {}
        self.today = today.isoformat()
        own = {name: _attribute_path(mapping.platform, name, path) for name, path in attributes.items()}
        for stream in mapping.streams.values():
            function = _Function(mapping, stream, own)
            text, names = function.compile()
            scope: dict[str, Any] = dict(names)
            exec(compile(text, f"<mapping {mapping.platform}.{stream.name}>", "exec"), scope)  # noqa: S102 - our own text, values only through repr()
            self.source[stream.name] = text
            self._ids[stream.name] = scope["record_id"]
            self._rows[stream.name] = scope["rows"]
            self._layouts[stream.name] = function.layouts
            for place, layout in enumerate(function.layouts):
                if layout.table == "contacts" and "tags" in layout.columns and self.own_prefix:
                    self._tags[stream.name] = place, layout.columns.index("tags")
            if stream.snapshots:
                self._values[stream.name] = scope["values"]

    def record_id(self, stream: str, raw: Any) -> str:
        """The record's id; raises RecordError when it has none."""
        found = self._ids[self._known(stream)](raw)
        if found is None:
            raise RecordError("id: the record has no id")
        return found

    def normalize(self, stream: str, raw: Any) -> Bundle:
        """Rows by table, JSON-able (times and decimals as text). Raises RecordError with the column and the reason."""
        record_id, found, contact_id, values = self.read(stream, raw)
        rows = {
            layout.table: [{**layout.fixed, **dict(zip(layout.columns, row, strict=True))} for row in part]
            for layout, part in zip(self._layouts[stream], found, strict=True)
            if part
        }
        fixed = {"source": self.mapping.platform, "stream": stream, "record_id": record_id, "contact_id": contact_id}
        snapshots = [
            {**fixed, "name": name, "value": value, "taken_on": self.today}
            for name, value in zip(self.snapshot_names(stream), values, strict=True)
            if value is not None
        ]
        return {**rows, "snapshots": snapshots} if snapshots else rows

    def read(self, stream: str, raw: Any) -> tuple[str, Rows, str | None, Values]:
        """(record id, rows as `layouts` says, contact id of the snapshots, their values by `snapshot_names`)."""
        record_id = self.record_id(stream, raw)
        rows = self._rows[stream](raw, record_id)
        if stream in self._tags:
            self._drop_own_tags(rows, *self._tags[stream])
        values = self._values.get(stream)
        return (record_id, rows, *values(raw, record_id)) if values else (record_id, rows, None, ())

    def layouts(self, stream: str) -> tuple[Layout, ...]:
        return self._layouts[self._known(stream)]

    def watched(self, stream: str) -> dict[str, tuple[Callable[[Any], bool], str]]:
        """Name -> (is it in this record, what it fills), of the fields whose disappearance would be noticed late."""
        found: dict[str, tuple[Callable[[Any], bool], str]] = {}
        for name in self.mapping.streams[self._known(stream)].watch:
            steps = tuple(s for s in parse_path(name, f"[{stream}] watch").steps if s is not None)
            fills = [
                f"{rows.table}.{column}"
                for rows in self.mapping.streams[stream].rows
                for column, alternatives in rows.fields.items()
                if any(isinstance(a.value, Path) and a.value.steps[: len(steps)] == steps for a in alternatives)
            ]
            found[name] = partial(_holds, steps), ", ".join(dict.fromkeys(fills))
        return found

    def _drop_own_tags(self, rows: Rows, place: int, column: int) -> None:
        for n, row in enumerate(rows[place]):
            if row[column] and self.own_prefix in row[column].casefold():
                kept = [t for t in orjson.loads(row[column]) if not str(t).casefold().startswith(self.own_prefix)]
                rows[place][n] = (*row[:column], orjson.dumps(kept).decode() if kept else None, *row[column + 1 :])

    def snapshot_names(self, stream: str) -> tuple[str, ...]:
        return tuple(self.mapping.streams[self._known(stream)].snapshots)

    def _known(self, stream: str) -> str:
        if stream not in self._ids:
            raise ConfigError(f"mappings/{self.mapping.platform}.toml has no section [{stream}].")
        return stream


ONCE = frozenset({"gid", "email"})
"""Converters whose value is kept for the next column that asks for it. They fail on nothing but lists and objects."""


@dataclass
class _Scope:
    """One value paths start from, and the lines that fetch the objects nested in it (each once)."""

    variable: str
    indent: str
    lines: list[str] = field(default_factory=list)
    getters: dict[tuple[str, ...], str] = field(default_factory=dict)
    values: dict[tuple[str, ...], str] = field(default_factory=dict)
    converted: set[str] = field(default_factory=set)

    def value(self, keys: tuple[str, ...]) -> str:
        """The variable that holds what stands there; many columns ask for the same."""
        if keys not in self.values:
            getter = self.getter(keys[:-1])
            name = f"{self.variable}_value{len(self.values)}"
            self.lines.append(f"{self.indent}{name} = {getter}({keys[-1]!r})")
            self.values[keys] = name
        return self.values[keys]

    def once(self, value: str, converter: str, place: str) -> str:
        """The variable that holds a converted value; ids and addresses fill columns of several tables."""
        name = f"{value}_{converter}"
        if name not in self.converted:
            self.converted.add(name)
            self.lines.append(f"{self.indent}{name} = {converter}({value}, {place!r})")
        return name

    def getter(self, keys: tuple[str, ...]) -> str:
        if keys not in self.getters:
            inner = f"{self.getter(keys[:-1])}({keys[-1]!r})" if keys else self.variable
            name = f"{self.variable}_get{len(self.getters)}"
            place = ".".join(keys) or "record"
            self.lines.append(f"{self.indent}{name} = getter({inner}, {place!r})")
            self.getters[keys] = name
        return self.getters[keys]


class _Function:
    """Writes the text of one stream's functions `record_id(record)`, `rows(record, record_id)` and, where there are
    snapshots, `values(record, record_id)`."""

    def __init__(self, mapping: Mapping, stream: StreamMapping, own: dict[str, Path]) -> None:
        self.mapping, self.stream, self.own = mapping, stream, own
        self.names: dict[str, Any] = {
            "getter": convert.getter, "pluck": convert.pluck, "elements": convert.elements, "truthy": convert.truthy,
            "attributes": _attributes,
        }  # fmt: skip
        self.record = _Scope("record", "    ")
        self.loops = 0
        self.layouts = tuple(self._layout(t) for t in dict.fromkeys(r.table for r in stream.rows))

    def compile(self) -> tuple[str, dict[str, Any]]:
        top = _Scope("record", "    ")
        found = self._value(self.stream.id, "VARCHAR", "id", top, top)
        id_function = ["def record_id(record):", *top.lines, f"    return {found}"]
        body = [line for rows in self.stream.rows for line in self._rows(rows)]
        lists = [f"    {layout.table}_rows = []" for layout in self.layouts]
        found = f"    return ({''.join(f'{layout.table}_rows, ' for layout in self.layouts)})"
        rows_function = ["def rows(record, record_id):", *self.record.lines, *lists, *body, found]
        return "\n".join([*id_function, *rows_function, *self._snapshots(), ""]), self.names

    def _layout(self, table: str) -> Layout:
        """What every row of the table has in common, and the columns in which they differ."""
        parts, types = [r.fields for r in self.stream.rows if r.table == table], column_types(table)
        fixed: dict[str, Any] = {"source": self.mapping.platform, "stream": self.stream.name}
        columns = ["record_id"]
        for name in dict.fromkeys(n for part in parts for n in part):
            first = parts[0].get(name, ())
            value = first[0].value if len(first) == 1 else None
            if isinstance(value, Constant) and all(part.get(name) == first for part in parts):
                fixed[name] = _constant(value.text, types[name], name)
            else:
                columns.append(name)
        if table == "contacts" and self.own and "attributes" not in columns:
            columns.append("attributes")
        return Layout(table, tuple(columns), fixed)

    def _rows(self, rows: RowsMapping) -> list[str]:
        if rows.each is None:
            return self._row(rows, self.record, "    ")
        place = str(rows.each)
        self.loops += 1
        inside = _Scope(f"element{self.loops}", "        ")
        body = self._row(rows, inside, "        ")
        path = self._path(rows.each, self.record, self.record, place)
        loop = f"    for position, {inside.variable} in enumerate(elements({path}, {place!r}), 1):"
        return [loop, *inside.lines, *body]

    def _row(self, rows: RowsMapping, scope: _Scope, indent: str) -> list[str]:
        types = column_types(rows.table)
        columns = {
            column: self._value(found, types[column], f"{rows.table}.{column}", scope, self.record)
            for column, found in rows.fields.items()
        }
        if rows.table == "contacts" and self.own:
            columns["attributes"] = self._attributes(columns.get("attributes", "None"))
        layout = next(one for one in self.layouts if one.table == rows.table)
        columns["record_id"] = "record_id"
        body = "".join(f"{columns.get(c, 'None')}, " for c in layout.columns)
        lines = [f"{indent}{rows.table}_rows.append(({body}))"]
        if rows.when:
            lines = [f"{indent}if {self._condition(rows.when, scope, rows.table)}:", f"    {lines[0]}"]
        return lines

    def _attributes(self, mapped: str) -> str:
        pairs = ", ".join(
            f"({name!r}, {self._path(path, self.record, self.record, f'attribute {name}')})" for name, path in self.own.items()
        )
        return f"attributes({mapped}, ({pairs},))"

    def _snapshots(self) -> list[str]:
        if not self.stream.snapshots:
            return []
        contact = next(
            (r.fields["contact_id"] for r in self.stream.rows if r.table == "contacts" and "contact_id" in r.fields), None
        )
        top = _Scope("record", "    ")
        found = self._value(contact, "VARCHAR", "contact_id", top, top) if contact else "record_id"
        values = [self._value(e, "VARCHAR", f"snapshots.{name}", top, top) for name, e in self.stream.snapshots.items()]
        return ["def values(record, record_id):", *top.lines, f"    return {found}, ({', '.join(values)},)"]

    def _condition(self, found: tuple[Alternative, ...], scope: _Scope, place: str) -> str:
        """`not` at the end turns the answer round, so it is true of what is missing too."""
        last = found[-1]
        if len(found) == 1 and last.converters and last.converters[-1].name == "not":
            plain = Alternative(last.value, last.converters[:-1])
            return f"not {self._condition((plain,), scope, place)}"
        return f"truthy({self._value(found, '', f'{place} when', scope, self.record)})"

    def _value(self, found: tuple[Alternative, ...], kind: str, column: str, scope: _Scope, record: _Scope) -> str:
        """Python text of an expression that ends as the column's type ('' leaves it as it is)."""
        texts = [self._alternative(one, kind, column, scope, record) for one in found]
        result = texts[-1]
        for n, one in enumerate(reversed(texts[:-1])):
            name = f"found{n}"
            result = f"({name} if ({name} := {one}) is not None and {name} != '' else {result})"
        return result

    def _alternative(self, one: Alternative, kind: str, column: str, scope: _Scope, record: _Scope) -> str:
        if isinstance(one.value, Constant):
            return repr(_constant(one.value.text, kind, column))
        value = self._path(one.value, scope, record, column)
        made, converters = "", list(one.converters)
        if converters and converters[0].name in ONCE and value.startswith("record_value"):
            value, made = record.once(value, self._converter(converters[0]), column), CONVERTERS[converters.pop(0).name]
        for converter in converters:
            value = f"{self._converter(converter)}({value}, {column!r})"
            made = "any" if converter.name == "map" else CONVERTERS[converter.name]
        if not kind or made == kind or (kind == "VARCHAR" and made in ("TIMESTAMP", "DATE", "DECIMAL(18,4)", "any", "JSON")):
            return value
        name = self._name(convert.BY_TYPE[kind])
        if kind == "VARCHAR":  # most values are text or missing already: ask that in place, a call costs more
            return f"((_t or None) if (_t := {value}).__class__ is str else None if _t is None else {name}(_t, {column!r}))"
        return f"{name}({value}, {column!r})"

    def _path(self, path: Path, scope: _Scope, record: _Scope, place: str) -> str:
        if path.root == "position":
            return "position" if scope is not record else "1"
        start = record if path.root == "record" else scope
        if not path.steps:
            return start.variable
        star = path.steps.index(None) if None in path.steps else len(path.steps)
        head = tuple(s for s in path.steps[:star] if s is not None)
        value = start.value(head) if head else start.variable
        return f"pluck({value}, {path.steps[star:]!r}, {place!r})" if star < len(path.steps) else value

    def _converter(self, converter: Converter) -> str:
        if converter.name == "map":
            return self._name(
                convert.mapper(converter.argument, self.mapping.maps[converter.argument]), f"map_{len(self.names)}"
            )
        if converter.name == "split":
            return self._name(convert.splitter(converter.argument), f"split_{len(self.names)}")
        if converter.name == "prefix":
            return self._name(convert.prefixer(converter.argument), f"prefix_{len(self.names)}")
        return self._name(convert.PLAIN[converter.name])

    def _name(self, function: convert.Convert, name: str = "") -> str:
        name = name or f"to_{function.__name__}"
        self.names[name] = function
        return name


def _holds(steps: tuple[str, ...], record: Any) -> bool:
    for step in steps:
        if not isinstance(record, dict) or step not in record:
            return False
        record = record[step]
    return True


def _constant(text: str, kind: str, column: str) -> Any:
    if kind in ("", "VARCHAR", "JSON"):
        return text
    try:
        return convert.BY_TYPE[kind](text, column)
    except RecordError as e:
        raise ConfigError(f"The mapping's constant does not fit its column: {e}.") from e


def _attribute_path(platform: str, name: str, path: str) -> Path:
    """HubSpot names mean properties, Mailchimp names mean merge fields; elsewhere a path in the record."""
    inside = ATTRIBUTES_IN.get(platform)
    if inside is None or path.startswith(f"{inside}."):
        return parse_path(path, f"[{platform}.attributes] {name}")
    return Path("element", (inside, path))


def _attributes(mapped: str | None, own: tuple[tuple[str, Any], ...]) -> str | None:
    found = orjson.loads(mapped) if mapped else {}
    found.update({name: value for name, value in own if value is not None and value != ""})
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode() if found else None


__all__ = ["Bundle", "Mapping", "Normalizer", "Row", "load_mapping", "read_mapping"]
