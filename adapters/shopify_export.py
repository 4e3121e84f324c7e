"""The result file of a bulk export: is it whole, and its records, joined with the children that stand anywhere in it.

One object a line. Children of nested connections are lines of their own with `__parentId`, behind their parent but not
next to it. A file is read twice: counted first, so that nothing of a file that is not whole is handed over, then parsed.
https://shopify.dev/docs/api/usage/bulk-operations/queries
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import orjson

from adapters.answers import loads
from adapters.base import Record
from adapters.shopify_documents import Kind

CHILD = b'"__parentId":'
"""Only a child's line holds this; inside a text its quotes would be escaped."""
ENDS = (b"}\n", b"}\r\n", b"}")
"""How a whole line ends."""
READ_AT_ONCE = 1 << 18
PUT_AT_ONCE = 5_000
T = TypeVar("T")


class UnknownType(Exception):
    """The platform has a kind of child that is newer than we are; its pages tell where it belongs, its exports do not."""


class Export:
    """One result file. `lines` and `roots` are what it really holds; a last line that is cut counts for nothing."""

    def __init__(self, path: Path, kind: Kind) -> None:
        self.path, self.kind = path, kind
        self._places = {name: connection.name for connection in kind.connections for name in connection.types}
        self.lines, self.roots, self._is_plain = self._counted()
        self._start = self._joined_children = 0

    @property
    def is_joined(self) -> bool:
        """Whether every child found its parent, once all records were read from the first one on."""
        return self._start > 0 or not self.kind.connections or self._joined_children == self.lines - self.roots

    def _counted(self) -> tuple[int, int, bool]:
        """Lines, records among them, and whether every line is a whole record: then none need be looked at again."""
        lines = children = odd = 0
        with self.path.open("rb", READ_AT_ONCE) as file:
            for line in file:
                if line.endswith(ENDS) and line[:1] == b"{":
                    lines += 1
                    if CHILD in line:
                        children += 1
                else:
                    odd += 1
        return lines, lines - children, not children and not odd

    def records(self, start: int, most: int) -> Iterator[list[Record]]:
        """Lists of up to `most` records behind the first `start`.

        ValueError for a line that is no JSON, UnknownType for a child that belongs to no connection we know of.
        """
        if not self.kind.connections:
            for lines in _lists(islice(self._roots(), start, None), most):
                roots = _parsed(lines)
                for root in roots:
                    root.pop("__typename", None)
                yield roots
            return
        with closing(sqlite3.connect(self.path.with_suffix(".db"), isolation_level=None)) as db:
            self._put_children(db)
            self._start, self._joined_children = start, 0
            for lines in _lists(islice(self._roots(), start, None), most):
                yield self._joined(db, _parsed(lines))

    def _roots(self) -> Iterator[bytes]:
        with self.path.open("rb", READ_AT_ONCE) as file:
            if self._is_plain:
                yield from file
                return
            for line in file:
                if CHILD not in line and line.startswith(b"{"):
                    yield line

    def _put_children(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("PRAGMA synchronous = OFF")
        db.execute("CREATE TABLE children (number INTEGER PRIMARY KEY, parent TEXT, body BLOB)")
        db.execute("BEGIN")
        with self.path.open("rb") as file:
            found = ((_parent(line), line) for line in file if CHILD in line)
            for some in _lists(found, PUT_AT_ONCE):
                db.executemany("INSERT INTO children (parent, body) VALUES (?, ?)", some)
        db.execute("CREATE INDEX by_parent ON children (parent)")
        db.execute("COMMIT")

    def _joined(self, db: sqlite3.Connection, roots: list[Record]) -> list[Record]:
        ids = orjson.dumps([r["id"] for r in roots]).decode()
        query = "SELECT parent, body FROM children WHERE parent IN (SELECT value FROM json_each(?)) ORDER BY number"
        found = db.execute(query, [ids]).fetchall()
        self._joined_children += len(found)
        children: dict[str, list[dict[str, Any]]] = {}
        for (parent, _), child in zip(found, _parsed([body for _, body in found]), strict=True):
            child.pop("__parentId", None)
            children.setdefault(parent, []).append(child)
        return [self._join(root, children.get(root["id"], ())) for root in roots]

    def _join(self, root: Record, children: Iterable[dict[str, Any]]) -> Record:
        """One record in the shape of the paged walk: connections as {"nodes": [...]}, without the export's own marks."""
        root.pop("__typename", None)
        for connection in self.kind.connections:
            root[connection.name] = {"nodes": []}
        for child in children:
            place = self._places.get(child.pop("__typename", ""))
            if not place:
                raise UnknownType(self.kind.stream)
            root[place]["nodes"].append(child)
        return root


def _lists(items: Iterable[T], most: int) -> Iterator[list[T]]:
    source = iter(items)
    while some := list(islice(source, most)):
        yield some


def _parent(line: bytes) -> str:
    """The `__parentId` of a line, without parsing the rest of it."""
    start = line.index(b'"', line.rindex(CHILD) + len(CHILD)) + 1
    return line[start : line.index(b'"', start)].decode()


def _parsed(lines: Any) -> list[Record]:
    records: list[Record] = loads(b"[" + b",".join(lines) + b"]")
    return records
