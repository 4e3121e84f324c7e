"""The shape of answers: which fields, what kinds of values, how often. Never a value, and no name that might be a person's.

A field is named only where we know its path already: from the mapping, or from the simulators' shapes that ship with us.
Anything else is `<name>`, so that a custom property, a tag or an address used as a key stays where it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connector.mapping import Alternative, Path, StreamMapping

UNKNOWN = "<name>"
DEEPEST = 12
"""Deeper than this no platform nests; what lies below is counted as an object."""


@dataclass
class Field:
    """What stands at one path. `seen`: in how many objects; `objects`: how often it is one itself; `words`: those our maps
    know, and nothing else."""

    seen: int = 0
    objects: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    lengths: Counter[str] = field(default_factory=Counter)
    words: set[str] = field(default_factory=set)
    other_words: int = 0


Shape = dict[str, Field]


@dataclass(frozen=True)
class Words:
    """The value map a field goes through: the words it knows, and whether it takes any other."""

    known: frozenset[str]
    takes_others: bool
    lower: bool = False


@dataclass(frozen=True)
class Known:
    """What may be named of one stream. free: objects to which an owner adds keys; optional: those whose keys may all be
    absent."""

    paths: frozenset[str]
    words: Mapping[str, Words] = field(default_factory=dict)
    free: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()


def shape(records: Iterable[Any], known: Known) -> Shape:
    """The shape of these records; a pure function of kinds, names we know and counts. The records themselves are at ''."""
    found: Shape = {"": Field()}
    for record in records:
        if isinstance(record, dict):
            _object(record, "", found, known, 0)
    return found


def parent(path: str) -> str:
    """Where the object stands that a field is in."""
    return path.rpartition(".")[0]


def could_have(found: Shape, path: str) -> int:
    """How many objects were met that could have had this field."""
    above = found.get(parent(path))
    return above.objects if above else 0


def _object(value: dict[str, Any], path: str, found: Shape, known: Known, depth: int) -> None:
    found.setdefault(path, Field()).objects += 1
    children = {str(key): _child(path, str(key), known) for key in value}
    for key, inner in value.items():
        _note(inner, children[str(key)], found, known, depth)
    for child in set(children.values()):
        found[child].seen += 1


def _child(path: str, key: str, known: Known) -> str:
    child = f"{path}.{key}" if path else key
    return child if child in known.paths else f"{path}.{UNKNOWN}" if path else UNKNOWN


def _note(value: Any, path: str, found: Shape, known: Known, depth: int) -> None:
    entry = found.setdefault(path, Field())
    kind = kind_of(value)
    entry.kinds[kind] += 1
    words = known.words.get(path)
    if words is not None and kind in ("text", "yes or no") and value != "":
        word = str(value).lower() if words.lower or kind == "yes or no" else str(value)
        if word in words.known:
            entry.words.add(word)
        else:
            entry.other_words += 1
    if kind == "list":
        entry.lengths["none" if not value else "one" if len(value) == 1 else "many"] += 1
        for inner in value:
            _note(inner, f"{path}[]", found, known, depth + 1)
    elif kind == "object" and depth < DEEPEST:
        _object(value, path, found, known, depth + 1)


def kind_of(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "list"
    return "number" if isinstance(value, int | float) else "text"


# ---- what the mapping knows


def uses(stream: StreamMapping) -> dict[str, list[str]]:
    """Path -> the columns it fills ('contacts.email'); the table alone where it only decides whether there is a row."""
    found: dict[str, list[str]] = {}
    for path, column, _ in _used(stream):
        columns = found.setdefault(path, [])
        if column and column not in columns:
            columns.append(column)
    return found


def words(stream: StreamMapping, maps: Mapping[str, Mapping[str, str]]) -> dict[str, Words]:
    """Path -> the value map it goes through."""
    found: dict[str, Words] = {}
    for path, _, alternative in _used(stream):
        before: list[str] = []
        for converter in alternative.converters if alternative else ():
            if converter.name == "map":
                entries = maps[converter.argument]
                known = frozenset(k for k in entries if k != "?")
                if known:
                    found[path] = _both(found.get(path), Words(known, "?" in entries, "lower" in before))
                break
            before.append(converter.name)
    return found


def _both(one: Words | None, other: Words) -> Words:
    """A field that goes through two maps: what one of them knows is known; what one of them refuses is refused."""
    if one is None:
        return other
    return Words(one.known | other.known, one.takes_others and other.takes_others, one.lower or other.lower)


def known_paths(stream: StreamMapping) -> set[str]:
    """Every path the mapping names, with those above it."""
    found: set[str] = set()
    for path in uses(stream):
        found |= set(upwards(path))
    return found


def upwards(path: str) -> Iterator[str]:
    """`a.b[].c`, `a.b[]`, `a.b`, `a`."""
    while path:
        yield path
        path = path[:-2] if path.endswith("[]") else path.rpartition(".")[0]


def _used(stream: StreamMapping) -> Iterator[tuple[str, str, Alternative | None]]:
    for alternative in stream.id:
        yield from _at(alternative, "", "")
    for expressions in stream.snapshots.values():
        for alternative in expressions:
            yield from _at(alternative, "", "snapshots")
    for rows in stream.rows:
        inside = f"{_text(rows.each)}[]" if rows.each else ""
        if rows.each:
            yield _text(rows.each), rows.table, None
        for alternative in rows.when:
            yield from _at(alternative, inside, rows.table)
        for column, expressions in rows.fields.items():
            for alternative in expressions:
                yield from _at(alternative, inside, f"{rows.table}.{column}")


def _at(alternative: Alternative, inside: str, column: str) -> Iterator[tuple[str, str, Alternative]]:
    value = alternative.value
    if not isinstance(value, Path) or value.root == "position" or (not value.steps and value.root == "record"):
        return
    own = _text(value)
    start = "" if value.root == "record" else inside
    path = f"{start}.{own}" if start and own else start or own
    if path:
        yield path, column, alternative


def _text(path: Path) -> str:
    text = ""
    for step in path.steps:
        text += "[]" if step is None else f".{step}" if text else step
    return text
