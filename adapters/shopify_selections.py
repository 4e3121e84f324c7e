"""A selection without some of its fields: what may not be read is left out, and the rest of the record is still had.

One denied field costs the whole answer, and in a bulk export the whole file. So a field that is denied while reading (the
plan withholds it, the app lacks a scope nobody knew of) is taken out of the selection and the page is asked for again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from adapters.shopify_answers import Trail
from adapters.shopify_documents import Kind

_FIELD = re.compile(
    r"""\s*(?P<head>\.\.\.\s*on\s+\w+|(?:(?P<alias>\w+)\s*:\s*)?(?P<name>\w+)(?:\s*\((?:"(?:\\.|[^"\\])*"|[^()"])*\))?)"""
    r"""\s*(?P<open>\{)?"""
)


@dataclass(frozen=True)
class _Field:
    """One field of a selection. key: under which it stands in the answer, '' for an inline fragment. inner: its own selection."""

    key: str
    head: str
    inner: str | None


def without_fields(kind: Kind, trails: tuple[Trail, ...]) -> Kind | None:
    """The stream without these fields; None when one of them is needed to know a record, or is not asked for at all."""
    found = kind
    for trail in trails:
        before = found
        if not trail or trail[0] in ("id", kind.time_field):
            return None
        found = _without(found, trail)
        if found == before:
            return None
    return found


def _without(kind: Kind, trail: Trail) -> Kind:
    first, rest = trail[0], trail[1:]
    connections, lists = kind.connections, dict(kind.plain_lists or {})
    if any(c.name == first for c in connections):
        changed = (c if c.name != first else replace(c, fields=drop(c.fields, rest)) for c in connections)
        return replace(kind, connections=tuple(c for c in changed if c.fields))
    if first in lists:
        lists[first] = drop(lists[first], rest)
        return replace(kind, plain_lists={name: fields for name, fields in lists.items() if fields})
    return replace(kind, fields=drop(kind.fields, trail))


def drop(selection: str, trail: Trail) -> str:
    """`selection` without the field the trail leads to ('' without a trail); an object that has nothing left goes with it."""
    if not trail:
        return ""
    kept, is_changed = [], False
    for field in _fields(selection):
        inner = field.inner
        if field.key == trail[0] and inner is None:
            inner = ""
        elif inner is not None and field.key in ("", trail[0]):
            inner = drop(inner, trail[1:] if field.key else trail)
        is_changed |= inner != field.inner
        if inner != "":
            kept.append(field.head if inner is None else f"{field.head}{{{inner}}}")
    return " ".join(kept) if is_changed else selection


def _fields(selection: str) -> Iterator[_Field]:
    at = 0
    while found := _FIELD.match(selection, at):
        at, inner = found.end(), None
        if found["open"]:
            end = _closing(selection, at)
            inner, at = selection[at:end], end + 1
        yield _Field(found["alias"] or found["name"] or "", found["head"], inner)


def _closing(text: str, start: int) -> int:
    """Where the brace is closed that was opened just before `start`."""
    depth = 1
    for found in re.compile(r"""[{}]|"(?:\\.|[^"\\])*\"""").finditer(text, start):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    raise ValueError("a selection with an open brace")
