"""Read JSON: an object a line, a list of objects, or a list under one name as programs answer with (`{"orders": [...]}`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import IO, Any

import orjson

from connector.imports_csv import Broken

Record = tuple[int, dict[str, Any]]
Objects = Callable[[Broken], Iterator[Record]]

CHUNK = 1 << 20
FIRST_LINES = 20
LISTS = (
    "orders",
    "order_lines",
    "customers",
    "contacts",
    "products",
    "events",
    "carts",
    "subscriptions",
    "transactions",
    "data",
    "results",
    "records",
    "rows",
)
"""Names under which programs put a list of records."""
BESIDE = 3
"""So many other values may stand beside such a list: a count, a page, a link to the next."""
PEOPLE = frozenset(("customer", "client", "buyer", "user", "member", "contact"))
"""Objects within a record whose values are columns of the row: `customer: {"id": 5}` is the column "customer id"."""


def objects(opened: Callable[[], IO[str]]) -> tuple[str, Objects]:
    """How the file is written, and a reader of its objects, each with the line it begins on."""
    with opened() as stream:
        first = list(islice((line for line in stream if line.strip()), FIRST_LINES))
    read = [_object(line) for line in first]
    is_answer = len(first) == 1 and read[0] is not None and _listed(read[0]) is not None
    if is_answer or (first and first[0].lstrip().startswith("[")) or not any(r is not None for r in read):
        return "a JSON list", lambda broken: _of_list(opened, broken)
    return "JSON lines", lambda broken: _of_lines(opened, broken)


def _object(text: str) -> dict[str, Any] | None:
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None


def _of_lines(opened: Callable[[], IO[str]], broken: Broken) -> Iterator[Record]:
    with opened() as stream:
        for line, text in enumerate(stream, 1):
            if not text.strip():
                continue
            record = _object(text)
            if record is None:
                broken(line, text, "not a JSON object")
            else:
                yield line, _flat(record)


def _of_list(opened: Callable[[], IO[str]], broken: Broken) -> Iterator[Record]:
    for line, value in _values(opened, broken):
        listed = _listed(value) if isinstance(value, dict) else value if isinstance(value, list) else None
        for record in [value] if listed is None else listed:
            if isinstance(record, dict):
                yield line, _flat(record)
            else:
                broken(line, str(record), "not a JSON object")


def _values(opened: Callable[[], IO[str]], broken: Broken) -> Iterator[tuple[int, Any]]:
    """The values of a list, or those that stand one after the other, without holding more than one in memory."""
    decoder = json.JSONDecoder()
    with opened() as stream:
        text, line, is_over = "", 1, False
        while True:
            start = len(text) - len(text.lstrip(" \t\r\n,[]"))
            line += text.count("\n", 0, start)
            text = text[start:]
            try:
                if not text:
                    raise ValueError
                value, end = decoder.raw_decode(text)
                if end == len(text) and not is_over:  # a number may go on
                    raise ValueError
            except ValueError:
                more = stream.read(max(CHUNK, len(text)))
                if more:
                    text += more
                    continue
                if not is_over:
                    is_over = True
                    continue
                if text.strip():
                    broken(line, text, "the file ends within this record, or it is no JSON from here on")
                return
            yield line, value
            line += text.count("\n", 0, end)
            text = text[end:]


def _listed(record: dict[str, Any]) -> list[Any] | None:
    """The records an answer of a program holds, where it is one."""
    lists = [v for k, v in record.items() if k.lower() in LISTS and isinstance(v, list) and v and isinstance(v[0], dict)]
    return lists[0] if len(lists) == 1 and len(record) <= 1 + BESIDE else None


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """An object that says who somebody is becomes columns of the row."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if name.lower() in PEOPLE and isinstance(value, dict):
            flat |= {f"{name} {own}": v for own, v in value.items()}
        else:
            flat[name] = value
    return flat
