"""Bulk operations of the simulated shop: the rules, the jobs and their result files (sheet section 8)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

import orjson
from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    InlineFragmentNode,
    get_named_type,
)

from connector.sandbox.shopify_graphql import Engine
from connector.sandbox.shopify_objects import time_text
from connector.sandbox.shopify_request import Context, Parsed, Refused

AT_ONCE = 5
MAX_BYTES = 65_535
MAX_CONNECTIONS = 5
MAX_NESTING = 2
KEPT = timedelta(days=7)
OPEN = ("CREATED", "RUNNING", "CANCELING")
INTERLEAVED = 100  # parents written before their children follow, when objects are not grouped


class Rule(Exception):
    """A bulk document breaks a rule; the message goes into userErrors."""


@dataclass
class Job:
    """A bulk operation. polls: how often it is still looked at before it ends."""

    kind = "BulkOperation"
    number: int
    id: str
    type: str
    query: str
    created_at: datetime
    polls: int
    status: str = "CREATED"
    ends_as: str = "COMPLETED"
    error: str | None = None
    body: bytes = b""
    partial: bytes = b""
    lines: int = 0
    roots: int = 0
    completed_at: datetime | None = None
    seen: int = field(default=0)

    def look(self, now: datetime) -> None:
        """Time passes for a job each time somebody asks about it, and by the clock once it has ended."""
        if self.status in OPEN:
            self.seen += 1
            if self.status == "CANCELING":
                self._end("CANCELED", now)
            elif self.seen > self.polls:
                self._end(self.ends_as, now)
            else:
                self.status = "RUNNING"
        elif self.completed_at is not None and now - self.completed_at > KEPT:
            self.status, self.body, self.partial = "EXPIRED", b"", b""

    def _end(self, status: str, now: datetime) -> None:
        self.status, self.completed_at = status, now

    @property
    def file(self) -> str:
        """The unguessable part of the result's address."""
        return f"{self.number}-{crc32(self.id.encode()) ^ 0x5BD1E995:08x}"

    def answer(self, base_url: str) -> dict[str, Any]:
        ended = self.status == "COMPLETED"
        url = f"{base_url}/bulk/{self.file}.jsonl" if ended and self.body else None
        partial = (
            f"{base_url}/bulk/{self.file}-partial.jsonl" if self.status in ("FAILED", "CANCELED") and self.partial else None
        )
        done = ended or self.status == "FAILED"
        size = len(self.body) if ended else len(self.partial)
        return {
            "__typename": "BulkOperation",
            "id": self.id,
            "status": self.status,
            "errorCode": self.error if self.status == "FAILED" else None,
            "createdAt": time_text(self.created_at),
            "completedAt": time_text(self.completed_at),
            "objectCount": str(self.lines if done else 0),
            "rootObjectCount": str(self.roots if done else 0),
            "fileSize": str(size) if self.completed_at and size else None,
            "url": url,
            "partialDataUrl": partial,
            "type": self.type,
            "query": self.query,
        }


def check_query(engine: Engine, text: str) -> Parsed:
    """Raises Rule with the platform's words when the document cannot run in bulk."""
    if len(text.encode()) > MAX_BYTES:
        raise Rule(f"Query is too large ({len(text.encode())} bytes; maximum is {MAX_BYTES} bytes)")
    try:
        parsed = engine.parsed(text)
    except Refused as e:
        raise Rule(f"Invalid bulk query: {e}") from e
    if parsed.operation.operation.value != "query":
        raise Rule("Invalid bulk query: only queries can be run.")
    top = [n for n in parsed.operation.selection_set.selections if isinstance(n, FieldNode)]
    for node in top:
        if node.name.value in ("node", "nodes"):
            raise Rule(f"Bulk queries cannot contain a top level `{node.name.value}` field.")
    if len(top) != 1 or len(parsed.operation.selection_set.selections) != 1:
        raise Rule("Bulk queries must contain exactly one top level connection field.")
    query = engine.schema.query_type
    assert query is not None
    walker = _Walker(engine, parsed)
    walker.fields(query, parsed.operation.selection_set.selections, 0, in_list=False)
    if walker.connections == 0:
        raise Rule("Bulk queries must contain at least one connection.")
    if not walker.top_is_connection:
        raise Rule("Bulk queries must contain exactly one top level connection field.")
    if walker.connections > MAX_CONNECTIONS:
        raise Rule("Bulk queries cannot contain more than 5 connections.")
    return parsed


class _Walker:
    """Counts connections and looks for what bulk queries may not hold."""

    def __init__(self, engine: Engine, parsed: Parsed) -> None:
        self.engine = engine
        self.parsed = parsed
        self.connections = 0
        self.top_is_connection = False

    def fields(self, kind: GraphQLNamedType, selections: Any, depth: int, *, in_list: bool) -> None:
        for owner, node in self._flat(kind, selections):
            definition = owner.fields.get(node.name.value)
            if definition is None or node.selection_set is None:
                continue
            target = get_named_type(definition.type)
            if not target.name.endswith("Connection"):
                is_list = in_list or _is_list(definition.type)
                self.fields(target, node.selection_set.selections, depth, in_list=is_list)
                continue
            if in_list:
                raise Rule("Queries that contain a connection field within a list field are not currently supported.")
            self._connection(target, node, depth, kind, selections)

    def _connection(self, target: GraphQLNamedType, node: FieldNode, depth: int, kind: GraphQLNamedType, around: Any) -> None:
        self.connections += 1
        self.top_is_connection = self.top_is_connection or depth == 0
        if depth > MAX_NESTING:
            raise Rule("Bulk queries cannot contain connections with a nesting depth greater than 2.")
        assert node.selection_set is not None
        if depth > 0 and not self._has_plain_id(kind, around):
            raise Rule(
                "The parent 'node' field for a nested connection must select the 'id' field without an alias and must be of "
                f"'ID' return type. Connection fields without 'id': {node.name.value}."
            )
        for _, edge in self._flat(target, node.selection_set.selections):
            if edge.name.value == "__typename":
                continue
            inner = edge.selection_set.selections if edge.selection_set else ()
            names = {n.name.value for n in inner if isinstance(n, FieldNode)}
            if edge.name.value != "edges" or "node" not in names:
                raise Rule(
                    "All connection fields in a bulk query must select their contents using 'edges' > 'node'. "
                    f"Invalid connection fields: '{node.name.value}'."
                )
            for child in inner:
                if isinstance(child, FieldNode) and child.name.value == "node" and child.selection_set:
                    assert isinstance(target, GraphQLObjectType)
                    edge_type = get_named_type(target.fields["edges"].type)
                    assert isinstance(edge_type, GraphQLObjectType)
                    row = get_named_type(edge_type.fields["node"].type)
                    self.fields(row, child.selection_set.selections, depth + 1, in_list=False)

    def _has_plain_id(self, kind: GraphQLNamedType, selections: Any) -> bool:
        return any(n.name.value == "id" and n.alias is None for _, n in self._flat(kind, selections))

    def _flat(
        self, kind: GraphQLNamedType, selections: Any
    ) -> Iterator[tuple[GraphQLObjectType | GraphQLInterfaceType, FieldNode]]:
        for node in selections:
            if isinstance(node, FieldNode):
                if isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)):
                    yield kind, node
            elif isinstance(node, FragmentSpreadNode):
                fragment = self.parsed.fragments[node.name.value]
                inner = self.engine.schema.type_map[fragment.type_condition.name.value]
                yield from self._flat(inner, fragment.selection_set.selections)
            elif isinstance(node, InlineFragmentNode):
                inner = self.engine.schema.type_map[node.type_condition.name.value] if node.type_condition else kind
                yield from self._flat(inner, node.selection_set.selections)


def _is_list(kind: Any) -> bool:
    return isinstance(kind.of_type if isinstance(kind, GraphQLNonNull) else kind, GraphQLList)


def run_query(engine: Engine, job: Job, ctx: Context, *, is_grouped: bool) -> None:
    """Fill the job with its result. A field without scope fails the whole export."""
    rows = engine.bulk(job.query)(None, ctx)
    out: list[bytes] = []
    for place in itertools.count():
        row = next(rows, None) if rows is not None else None
        if row is not None:
            out.append(orjson.dumps(row))
            job.roots += 1
        if ctx.children and (is_grouped or row is None or place % INTERLEAVED == INTERLEAVED - 1):
            # children must come after their parent; ungrouped they follow some hundred parents later
            out += [orjson.dumps(child) for child in ctx.children]
            ctx.children.clear()
        if row is None:
            break
    if ctx.errors:
        job.ends_as, job.error = "FAILED", "ACCESS_DENIED"
        out, job.roots = [], 0
    job.lines = len(out)
    job.body = b"\n".join(out) + (b"\n" if out else b"")


def fail(job: Job, error: str) -> None:
    """Let a job end as FAILED, or as CANCELED, with about a third of its rows in the partial file."""
    rows = job.body.splitlines(keepends=True)
    job.ends_as, job.error = ("CANCELED", None) if error == "CANCELED" else ("FAILED", error)
    job.partial, job.body = b"".join(rows[: len(rows) // 3]), b""
    job.lines = len(rows) // 3
