"""A stream's mapping written as Python: one function made of the mapping's own paths, about five times as fast as walking
paths by closures. Its text can be read in `Normalizer.source`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from connector import convert
from connector.mapping import CONVERTERS, Alternative, Constant, Converter, Mapping, Path, StreamMapping, column_types
from connector.mapping import Rows as RowsMapping
from models.errors import ConfigError, RecordError

AS_TEXT = ("TIMESTAMP", "DATE", "DECIMAL(18,4)", "any", "JSON")
"""What converters give as text, so that a text column takes it as it is."""

ONCE = frozenset({"gid", "email"})
"""Converters whose value is kept for the next column that asks for it. They fail on nothing but lists and objects."""


@dataclass(frozen=True)
class Layout:
    """One table as a stream fills it: the columns of its tuples, and what is the same in every row."""

    table: str
    columns: tuple[str, ...]
    fixed: dict[str, Any]


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
            asked = f"_o.get if (_o := {inner}).__class__ is dict else getter(_o, {place!r})"  # most are: a call costs more
            self.lines.append(f"{self.indent}{name} = {asked}")
            self.getters[keys] = name
        return self.getters[keys]


class Function:
    """Writes `record_id(record)` and `read(record)` of one stream.

    `read` gives the record's id, its rows table by table, and the contact id and values of its snapshots. `own` are the
    owner's attributes; `own_tags` takes our own tags out of a list, where there is one to do it.
    """

    def __init__(
        self,
        mapping: Mapping,
        stream: StreamMapping,
        own: dict[str, Path],
        own_tags: Callable[[str | None], str | None] | None = None,
    ) -> None:
        self.mapping, self.stream, self.own, self.own_tags = mapping, stream, own, own_tags
        self.names: dict[str, Any] = {
            "getter": convert.getter, "pluck": convert.pluck, "elements": convert.elements, "truthy": convert.truthy,
            "attributes": _attributes, "own_tags": own_tags, "no_id": _no_id, "dumps": orjson.dumps,
            "packed": _packer(tuple(stream.snapshots)),
        }  # fmt: skip
        self.record = _Scope("record", "    ")
        self.loops = 0
        self.layouts = tuple(self._layout(t) for t in dict.fromkeys(r.table for r in stream.rows))

    def compile(self) -> tuple[str, dict[str, Any]]:
        top = _Scope("record", "    ")
        found = self._value(self.stream.id, "VARCHAR", "id", top, top)
        id_function = ["def record_id(record):", *top.lines, f"    return {found}"]
        found = self._value(self.stream.id, "VARCHAR", "id", self.record, self.record)
        first = [*self.record.lines, f"    record_id = {found}", "    if record_id is None: no_id()"]
        self.record.lines = []
        body = [line for rows in self.stream.rows for line in self._rows(rows)]
        contact, values = self._snapshots()
        lists = [f"    {layout.table}_rows = []" for layout in self.layouts]
        tables = "".join(f"{layout.table}_rows, " for layout in self.layouts)
        read = ["def read(record):", *first, *self.record.lines, *lists, *body]
        return "\n".join([*id_function, *read, f"    return record_id, ({tables}), {contact}, {values}", ""]), self.names

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
        inside = _Scope(f"element{self.loops}", "            ")
        body = self._row(rows, inside, "            ")
        path = self._path(rows.each, self.record, self.record, place)
        guard = f"    if {path} is not None:" if path.isidentifier() else "    if True:"
        loop = f"        for position, {inside.variable} in enumerate(elements({path}, {place!r}), 1):"
        return [guard, loop, *inside.lines, *body]

    def _row(self, rows: RowsMapping, scope: _Scope, indent: str) -> list[str]:
        types = column_types(rows.table)
        columns = {
            column: self._value(found, types[column], f"{rows.table}.{column}", scope, self.record)
            for column, found in rows.fields.items()
        }
        if rows.table == "contacts" and self.own:
            columns["attributes"] = self._attributes(columns.get("attributes", "None"))
        if rows.table == "contacts" and self.own_tags and "tags" in columns:
            columns["tags"] = f"own_tags({columns['tags']})"
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

    def _snapshots(self) -> tuple[str, str]:
        """Python text of the contact id of the snapshots and of their values."""
        names = self.stream.snapshots
        if not names:
            return "None", "b''"
        contact = next(
            (r.fields["contact_id"] for r in self.stream.rows if r.table == "contacts" and "contact_id" in r.fields), None
        )
        who = self._value(contact, "VARCHAR", "contact_id", self.record, self.record) if contact else "record_id"
        if (keys := _siblings([*names.values()])) is not None:
            getter = self.record.getter(keys[0][:-1])
            return who, f"packed(tuple(map({getter}, {tuple(k[-1] for k in keys)!r})))"
        values = [self._value(e, "VARCHAR", f"snapshots.{n}", self.record, self.record) for n, e in names.items()]
        return who, f"dumps(({', '.join(values)},))"

    def _condition(self, found: tuple[Alternative, ...], scope: _Scope, place: str) -> str:
        """`not` at the end turns the answer round, so it is true of what is missing too."""
        last = found[-1]
        if len(found) == 1 and last.converters and last.converters[-1].name == "not":
            plain = Alternative(last.value, last.converters[:-1])
            return f"not ({self._condition((plain,), scope, place)})"
        value = self._value(found, "", f"{place} when", scope, self.record)
        if len(found) == 1 and last.converters and CONVERTERS[last.converters[-1].name] == "BOOLEAN":
            return value
        if value.isidentifier():
            return f"{value} != '' if {value}.__class__ is str else {value} is not None and truthy({value})"
        return f"truthy({value})"

    def _value(self, found: tuple[Alternative, ...], kind: str, column: str, scope: _Scope, record: _Scope) -> str:
        """Python text of an expression that ends as the column's type ('' leaves it as it is)."""
        if kind == "VARCHAR" and column != "id" and _from_record(found, scope is record) == _from_record(self.stream.id, True):
            return "record_id"
        result = self._alternative(found[-1], kind, column, scope, record)
        for n, one in enumerate(reversed(found[:-1])):
            text = self._alternative(one, kind, column, scope, record)
            if kind == "VARCHAR" and isinstance(one.value, Path) and not one.converters:
                plain = self._path(one.value, scope, record, column)
                if plain.isidentifier():
                    result = f"({plain} if {plain}.__class__ is str and {plain} else {result} if ({text}) is None else {text})"
                    continue
            name = f"found{n}"
            result = f"({name} if ({name} := {text}) is not None and {name} != '' else {result})"
        return result

    def _alternative(self, one: Alternative, kind: str, column: str, scope: _Scope, record: _Scope) -> str:
        if isinstance(one.value, Constant):
            return repr(_constant(one.value.text, kind, column))
        value = self._path(one.value, scope, record, column)
        made, converters = "", list(one.converters)
        if converters and converters[0].name in ONCE and value.startswith("record_value"):
            value, made = record.once(value, self._converter(converters[0]), column), CONVERTERS[converters.pop(0).name]
        for converter in converters:
            value = _unless_none(value, f"{self._converter(converter)}({value}, {column!r})")
            made = "any" if converter.name == "map" else CONVERTERS[converter.name]
        if not kind or made == kind or (kind == "VARCHAR" and made in AS_TEXT):
            return value
        name = self._name(convert.BY_TYPE[kind])
        if kind == "VARCHAR":  # most values are text or missing already: ask that in place, a call costs more
            if value.isidentifier():
                rest = f"None if {value} is None else {name}({value}, {column!r})"
                return f"(({value} or None) if {value}.__class__ is str else {rest})"
            return f"((_t or None) if (_t := {value}).__class__ is str else None if _t is None else {name}(_t, {column!r}))"
        return _unless_none(value, f"{name}({value}, {column!r})")

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


def unpacked(packed: bytes) -> tuple[str | None, ...]:
    """The values of snapshots as text, None where one is missing."""
    return tuple(convert.text(v, "snapshots") for v in orjson.loads(packed)) if packed else ()


def _packer(names: tuple[str, ...]) -> Callable[[tuple[Any, ...]], bytes]:
    """Values as a JSON list without going through them one by one; only odd ones (empty texts, lists) are looked at."""

    def packed(values: tuple[Any, ...]) -> bytes:
        text = orjson.dumps(values)
        if b'""' in text or b"{" in text or text.find(b"[", 1) > 0:
            texts = [convert.text(v, f"snapshots.{name}") for name, v in zip(names, values, strict=True)]
            return orjson.dumps(texts)
        return text

    return packed


def _siblings(expressions: list[tuple[Alternative, ...]]) -> list[tuple[str, ...]] | None:
    """The paths of expressions that are keys of one and the same object, as they stand there; None of any others."""
    found: list[tuple[str, ...]] = []
    for one in expressions:
        path = one[0].value
        if len(one) > 1 or one[0].converters or not isinstance(path, Path) or not path.steps or path.root == "position":
            return None
        found.append(tuple(s for s in path.steps if s is not None))
        if None in path.steps or found[-1][:-1] != found[0][:-1]:
            return None
    return found


def _from_record(found: tuple[Alternative, ...], is_record: bool) -> tuple[Any, ...] | None:
    """An expression of paths from the record, comparable with another one; None where it is not."""
    parts = []
    for one in found:
        if not isinstance(one.value, Path) or not (is_record or one.value.root == "record"):
            return None
        parts.append((one.value.steps, one.converters))
    return tuple(parts)


def _unless_none(value: str, call: str) -> str:
    """Converters make None of None; not to call them costs less."""
    return f"(None if {value} is None else {call})" if value.isidentifier() else call


def _no_id() -> None:
    convert.fail("id", "the record has no id")


def _constant(text: str, kind: str, column: str) -> Any:
    if kind in ("", "VARCHAR", "JSON"):
        return text
    try:
        return convert.BY_TYPE[kind](text, column)
    except RecordError as e:
        raise ConfigError(f"The mapping's constant does not fit its column: {e}.") from e


def _attributes(mapped: str | None, own: tuple[tuple[str, Any], ...]) -> str | None:
    found = orjson.loads(mapped) if mapped else {}
    found.update({name: value for name, value in own if value is not None and value != ""})
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode() if found else None
