"""The mapping language: which field of a platform fills which column. Parsed once, with errors that name the place.

    expression   alternative ?? alternative ...    the first that is not missing (None and "" are missing)
    alternative  path | converter | converter ...   or `= constant`, which takes the rest of the text as it is
    path         a.b  a."odd key"  a[*].b   key by key; [*] collects from every element of a list
                 .  ^.a  #                  with `each`: the element itself; from the record; the element's 1-based place

An alternative without converters takes those of the next one that has some, so `a ?? b | time` converts both.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path as FilePath
from typing import Any, Literal, get_args, get_type_hints

from adapters import PLATFORMS, load
from models import records
from models.errors import ConfigError

CONVERTERS = {
    "text": "VARCHAR", "email": "VARCHAR", "gid": "VARCHAR", "upper": "VARCHAR", "lower": "VARCHAR", "md5": "VARCHAR",
    "prefix": "VARCHAR", "map": "VARCHAR", "decimal": "DECIMAL(18,4)", "integer": "BIGINT", "number": "DOUBLE",
    "boolean": "BOOLEAN", "not": "BOOLEAN", "time": "TIMESTAMP", "ms": "TIMESTAMP", "date": "DATE", "list": "JSON",
    "split": "JSON", "json": "JSON", "negate": "DECIMAL(18,4)",
}  # fmt: skip
"""Converter and the type of what it gives."""

WITH_ARGUMENT = frozenset({"split", "map", "prefix"})
FILLED = frozenset({"source", "stream", "record_id"})
NUMBERS = frozenset({"DECIMAL(18,4)", "BIGINT", "DOUBLE"})
DATES = frozenset({"TIMESTAMP", "DATE"})
STREAM_KEYS = ("id", "watch", "rows", "snapshots")
ROW_KEYS = ("table", "each", "when", "fields")

_STEP = re.compile(r'(?:"([^"]+)"|([^."\[\]|?=^#\s][^."\[\]|?\s]*))((?:\[\*\])*)')


@dataclass(frozen=True)
class Path:
    """Where a value stands. A step of None means every element of the list met there."""

    root: Literal["element", "record", "position"] = "element"
    steps: tuple[str | None, ...] = ()

    def __str__(self) -> str:
        return ".".join("*" if s is None else s for s in self.steps) or self.root


@dataclass(frozen=True)
class Constant:
    text: str


@dataclass(frozen=True)
class Converter:
    name: str
    argument: str = ""


@dataclass(frozen=True)
class Alternative:
    value: Path | Constant
    converters: tuple[Converter, ...] = ()


@dataclass(frozen=True)
class Rows:
    """How one record becomes rows of one table: one row, or one per element of the list at `each`."""

    table: str
    fields: dict[str, tuple[Alternative, ...]]
    each: Path | None = None
    when: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class StreamMapping:
    name: str
    id: tuple[Alternative, ...]
    rows: tuple[Rows, ...] = ()
    snapshots: dict[str, tuple[Alternative, ...]] = field(default_factory=dict)
    watch: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mapping:
    """Everything mappings/<platform>.toml says."""

    platform: str
    streams: dict[str, StreamMapping]
    maps: dict[str, dict[str, str]] = field(default_factory=dict)


@cache
def load_mapping(platform: str) -> Mapping:
    """The mapping of a platform: ours ship with us, another's lies beside its adapter."""
    name = f"{platform}.toml"
    place, whose = (f"mappings/{name}", "Rollcall") if platform in PLATFORMS else (name, f"the package of {platform}")
    try:
        text = beside(platform, name).read_text(encoding="utf-8")
    except (FileNotFoundError, ModuleNotFoundError) as e:
        raise ConfigError(f"There is no mapping {place}. The installation is not whole: install {whose} again.") from e
    return read_mapping(platform, text, place=place)


def beside(platform: str, name: str) -> Traversable:
    """A data file of a platform: ours are in `mappings`, another package's beside the module of its adapter."""
    if platform in PLATFORMS:
        return files("mappings").joinpath(name)
    module = load(platform).__module__
    package = module.rpartition(".")[0]
    return (files(package) if package else FilePath(str(sys.modules[module].__file__)).parent).joinpath(name)


def read_mapping(platform: str, text: str, *, place: str) -> Mapping:
    """The same from text; `place` names the file in errors."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{place} is not valid TOML: {e}.") from e
    maps = {n: _value_map(v, f"{place}: [maps.{n}]") for n, v in _table(data.pop("maps", {}), f"{place}: [maps]").items()}
    return Mapping(platform, {n: _stream(n, s, maps, f"{place}: [{n}]") for n, s in data.items()}, maps)


def parse(text: Any, maps: AnyMapping[str, Any], place: str) -> tuple[Alternative, ...]:
    """The alternatives of one expression; raises ConfigError that begins with `place`."""
    if not isinstance(text, str):
        raise ConfigError(f"{place}: an expression must be text in quotes.")
    found: list[Alternative] = []
    rest: str | None = text
    while rest is not None:
        if rest.lstrip().startswith("="):
            found.append(Alternative(Constant(rest.lstrip()[1:].strip())))
            break
        part, mark, after = rest.partition("??")
        path, *converters = re.split(r"\s\|\s", f"{part.strip()} ")
        found.append(
            Alternative(parse_path(path.strip(), place), tuple(_converter(c.strip(), maps, place) for c in converters))
        )
        rest = after if mark else None
    return _shared(found)


def parse_path(text: str, place: str) -> Path:
    """A path alone, as `each` and the owner's attributes have it."""
    if text == "#":
        return Path("position")
    root: Literal["element", "record"] = "element"
    if text == "^" or text.startswith("^."):
        root, text = "record", text[2:]
    steps: list[str | None] = []
    if text == "." or (not text and root == "record"):
        return Path(root)
    at = 0
    while match := _STEP.match(text, at):
        steps += [match[1] or match[2], *[None] * match[3].count("*")]
        at = match.end()
        if at == len(text):
            return Path(root, tuple(steps))
        if text[at] != ".":
            break
        at += 1
    raise ConfigError(f"{place}: '{text}' is no path. Write keys with dots between them, such as a.b or a[*].b.")


def check_type(kind: str, column_type: str, place: str) -> None:
    """A converter that can never fill its column is a mistake in the mapping."""
    fits = kind in (column_type, "VARCHAR") or column_type in ("VARCHAR", "JSON")
    fits = fits or (kind in NUMBERS and column_type in NUMBERS) or (kind in DATES and column_type in DATES)
    if not fits:
        raise ConfigError(f"{place}: the last converter gives {kind}, but the column holds {column_type}.")


@cache
def column_types(table: str) -> dict[str, str]:
    """Column -> type; like the DDL, with text that holds JSON told apart."""
    hints = get_type_hints(records.TABLES[table])
    return {c.name: "JSON" if records.Json in get_args(hints[c.name]) else c.sql_type for c in records.columns(table)}


def _shared(found: list[Alternative]) -> tuple[Alternative, ...]:
    converters: tuple[Converter, ...] = ()
    for i, one in reversed(list(enumerate(found))):
        if isinstance(one.value, Constant):
            continue
        converters = one.converters or converters
        found[i] = Alternative(one.value, converters)
    return tuple(found)


def _converter(text: str, maps: AnyMapping[str, Any], place: str) -> Converter:
    name, colon, argument = text.partition(":")
    if name not in CONVERTERS:
        raise ConfigError(f"{place}: unknown converter '{name}'.{_nearest(name, CONVERTERS)}")
    if (name in WITH_ARGUMENT) != bool(colon and argument):
        needs = f"needs a value, as in {name}:..." if name in WITH_ARGUMENT else "takes no value"
        raise ConfigError(f"{place}: the converter '{name}' {needs}.")
    if name == "map" and argument not in maps:
        raise ConfigError(f"{place}: there is no [maps.{argument}].{_nearest(argument, maps)}")
    return Converter(name, argument)


def _stream(name: str, data: Any, maps: AnyMapping[str, Any], place: str) -> StreamMapping:
    section = _table(data, place)
    _known(section, STREAM_KEYS, place)
    if "id" not in section:
        raise ConfigError(f"{place}: 'id' is missing. It says which field is the record's id.")
    rows, watch = section.get("rows", []), section.get("watch", [])
    if not isinstance(rows, list):
        raise ConfigError(f"{place}: 'rows' must be written as [[{name}.rows]].")
    if not isinstance(watch, list) or not all(isinstance(w, str) for w in watch):
        raise ConfigError(f"{place}: 'watch' must be a list of names.")
    snapshots = _table(section.get("snapshots", {}), f"{place} snapshots")
    return StreamMapping(
        name=name,
        id=parse(section["id"], maps, f"{place} id"),
        rows=tuple(_rows(r, maps, f"{place} rows {n}") for n, r in enumerate(rows, 1)),
        snapshots={n: parse(t, maps, f"{place} snapshots {n}") for n, t in snapshots.items()},
        watch=tuple(watch),
    )


def _rows(data: Any, maps: AnyMapping[str, Any], place: str) -> Rows:
    section = _table(data, place)
    _known(section, ROW_KEYS, place)
    table = section.get("table", "")
    if table not in records.TABLES:
        raise ConfigError(f"{place}: there is no table '{table}'.{_nearest(str(table), records.TABLES)}")
    known = column_types(table)
    fields = {}
    for column, text in _table(section.get("fields", {}), f"{place} fields").items():
        if column not in known or column in FILLED:
            hint = " It is filled by itself." if column in FILLED else _nearest(column, known)
            raise ConfigError(f"{place}: the table {table} has no column '{column}' to fill.{hint}")
        fields[column] = parse(text, maps, f"{place} {table}.{column}")
        for one in fields[column]:
            if one.converters:
                check_type(CONVERTERS[one.converters[-1].name], known[column], f"{place} {table}.{column}")
    each, when = section.get("each", ""), section.get("when", "")
    return Rows(
        table, fields, parse_path(each, f"{place} each") if each else None, parse(when, maps, f"{place} when") if when else ()
    )


def _value_map(data: Any, place: str) -> dict[str, str]:
    named = {}
    for key, value in _table(data, place).items():
        if not isinstance(value, str | bool | int):
            raise ConfigError(f"{place}: '{key}' must stand for a text, a number or true/false.")
        named[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return named


def _table(data: Any, place: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ConfigError(f"{place} must be a section of keys.")
    return data


def _known(section: dict[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in section:
        if key not in known:
            raise ConfigError(f"{place}: unknown key '{key}'.{_nearest(key, known)}")


def _nearest(name: str, known: Any) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else f" Known: {', '.join(sorted(known))}."
