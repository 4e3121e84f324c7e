"""Reading one Shopify stream page by page, so that any page's cursor is enough to go on behind it.

The cursor of a walk: {"phase": "walk", "begin", "from", "to", "after", "low", "rows", "size", "total"}. `begin` is where the
whole walk began (None: a full one), `from` and `to` bound the chain being read, `after` is Shopify's own cursor in it,
`low` the least time on its last page, `rows` how long it is. `also` is one more search term and `then` those to walk with
afterwards, where a list shows only a part without them. A finished walk leaves {"phase": "done", "to"}.
Times are 'YYYY-MM-DDTHH:MM:SSZ', Shopify's clock, and compare as text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from adapters import shopify_documents as documents
from adapters.base import Cursor, Page, Record
from adapters.paging import Chain
from adapters.shopify_api import ShopifyApi
from adapters.shopify_documents import Connection, Kind
from models.errors import PermanentApiError, RetryableApiError, ScopeError

log = logging.getLogger(__name__)

FIRST_SIZE = 50
MOST_SIZE = 250
COST_AIM = 500.0
"""Pages grow while they are expected to ask for less; 1000 points is the most one query may ask for."""
FIRST_COST = 250.0
"""What a page is expected to ask for before one was read: rather a moment's wait than a refusal."""
CHAIN_ROWS = 20_000
"""A chain may hold 25,000 objects; https://shopify.dev/docs/api/usage/pagination-graphql."""
OVERLAP = timedelta(minutes=10)
"""The search index trails the objects, so every round looks back this far behind the last one's end."""
CHECKOUT_WINDOW = timedelta(days=30)
CARRIED = ("unwalled", "last", "whole_from", "since", "is_round", "withheld")
"""What a walk's cursor keeps for its end, whichever way the records come; see shopify_history.py."""
CALM_TRIES = 2
"""A page that fails this often in a row is asked for again at half its size before the patience of http.py is used."""


def text_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def read_time(text: str) -> datetime:
    return datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")  # noqa: DTZ007  # UTC throughout, without a zone


class Size:
    """How many records to ask for at once: grows while cheap, halves when the platform has trouble."""

    def __init__(self, start: int = 0, most: int = 0) -> None:
        self.most = most or MOST_SIZE
        self.now = min(start or FIRST_SIZE, self.most)
        self.cost = FIRST_COST
        self._halved = 0

    def expected_cost(self) -> float:
        return self.cost

    def went_well(self, cost: float) -> None:
        bigger = min(self.most, self.now * 2)
        expected = cost * bigger / self.now
        self.cost = cost
        self._halved = 0
        if cost and expected < COST_AIM:
            self.now, self.cost = bigger, expected

    def halve(self) -> bool:
        """False when asking for less no longer helps."""
        if self.now <= 1 or self._halved >= 3:
            return False
        self.now, self.cost, self._halved = max(1, self.now // 2), self.cost / 2, self._halved + 1
        return True

    @property
    def tries(self) -> int | None:
        return CALM_TRIES if self.now > 1 and self._halved < 3 else None


def sized(api: ShopifyApi, size: Size, document: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Ask for `size.now` records ($first), fewer when that is too much at once."""
    while True:
        try:
            data = api.ask(document, {**variables, "first": size.now}, cost=size.expected_cost(), tries=size.tries)
        except (PermanentApiError, RetryableApiError) as e:
            too_much = e.code == "MAX_COST_EXCEEDED" or (isinstance(e, RetryableApiError) and e.counts)
            if not too_much or not size.halve():
                raise
            log.info("shopify: asking for %d records at once from here on", size.now)
            continue
        size.went_well(api.requested_cost)
        return data


class Walk:
    """One walk over one stream. `state` is its cursor; `pages()` moves it on."""

    def __init__(self, api: ShopifyApi, kind: Kind, state: Cursor, *, most: int = 0, chain_rows: int = 0) -> None:
        self.api, self.kind, self.state = api, kind, state
        self._size = Size(int(state.get("size") or 0), most)
        self._chain_rows = chain_rows or CHAIN_ROWS
        self._document = documents.page(kind)
        self._chain = self._new_chain()

    def pages(self) -> Iterator[Page]:
        is_resumed = bool(self.state.get("after"))
        while self.state["phase"] == "walk":
            connection = self._resumed() if is_resumed else self._read()
            is_resumed = False
            records = self._records(connection["nodes"])
            self._move(connection)
            yield Page(records, dict(self.state), done=self.state["phase"] == "done", total=self.state.get("total"))

    def _new_chain(self) -> Chain:
        return Chain(f"Shopify's {self.kind.root}", "shopify")

    def _read(self) -> dict[str, Any]:
        also = str(self.state.get("also") or "")
        query = documents.window(self.kind.time_filter, self.state["from"], self.state["to"], also)
        data = sized(self.api, self._size, self._document, {"after": self.state["after"], "query": query})
        connection = data[self.kind.root]
        assert isinstance(connection, dict)
        return connection

    def _resumed(self) -> dict[str, Any]:
        """A saved cursor may have grown too old for Shopify: then begin again at the time it had reached."""
        try:
            return self._read()
        except ScopeError:
            raise
        except PermanentApiError as e:
            if e.code in ("SHOP_INACTIVE", "NO_SHOP", "430"):
                raise
            log.info("shopify: %s: the saved place is no longer valid (%s), going on by time", self.kind.stream, e.code)
            self._cut()
            return self._read()

    def _records(self, nodes: list[Any]) -> list[Record]:
        begin = self.state["from"]
        found = [n for n in nodes if n]
        kept = [n for n in found if not begin or str(n.get(self.kind.time_field) or begin) >= begin]
        return [whole(self.api, self.kind, n) for n in kept]

    def _move(self, connection: dict[str, Any]) -> None:
        """Where to go on. `low` is the least time of the page: a row that the index still sorts at its old place, and
        that carries a newer time already, must not make a new chain begin behind rows not read yet."""
        state, nodes = self.state, [n for n in connection["nodes"] if n]
        times = [str(n[self.kind.time_field]) for n in nodes if n.get(self.kind.time_field)]
        if times:
            state["low"] = max(min(times), state["from"] or "")
        state["rows"] = int(state["rows"]) + len(nodes)
        state["size"] = self._size.now
        info = connection["pageInfo"]
        following = self._chain.next(info["endCursor"]) if info["hasNextPage"] else None
        is_long = state["rows"] >= self._chain_rows and bool(state["low"]) and state["low"] > (state["from"] or "")
        if following and is_long:
            self._cut()
        elif following:
            state["after"] = following
        elif state.get("then"):
            self._chain = self._new_chain()
            state.update({"also": state["then"][0], "then": state["then"][1:], "from": state["begin"], "after": None})
            state.update({"low": "", "rows": 0})
        else:
            self.state = {"phase": "done", "to": state["to"], "size": state["size"], "total": state.get("total")}

    def _cut(self) -> None:
        """Begin a new chain at the time reached; rows of that very second are read again and compared."""
        self._chain = self._new_chain()
        self.state.update({"from": self.state["low"] or self.state["from"], "after": None, "rows": 0})


def begin(kind: Kind, cursor: Cursor | None, now: datetime, *, full: bool, since: datetime | None) -> Cursor:
    """The state of a new walk that ends at `now`, Shopify's time.

    `to` is the end of the running second, so that what was written just now is seen; the overlap of the next round
    covers what the same second still brings.
    """
    lower: datetime | None = since
    if cursor and not full:
        is_sliding = kind.time_filter == "created_at"
        lower = read_time(cursor["to"]) - (CHECKOUT_WINDOW if is_sliding else OVERLAP) - timedelta(seconds=1)
    start = text_time(lower) if lower else None
    end = text_time(now.replace(microsecond=0) + timedelta(seconds=1))
    size = int((cursor or {}).get("size") or 0)
    return {"phase": "walk", "begin": start, "from": start, "to": end, "after": None, "low": "", "rows": 0, "size": size}


def carried(state: Cursor) -> Cursor:
    return {key: state[key] for key in CARRIED if key in state}


def whole(api: ShopifyApi, kind: Kind, record: Record) -> Record:
    """The record with every connection read to its end and every plain list complete."""
    for connection in kind.connections:
        record[connection.name] = {"nodes": _all_of(api, kind, connection, record)}
    for name in kind.plain_lists or {}:
        if len(record.get(name) or []) == documents.LIST_FIRST:
            record[name] = _whole_list(api, kind, name, record)
    return record


def _all_of(api: ShopifyApi, kind: Kind, connection: Connection, record: Record) -> list[Any]:
    part = record.get(connection.name) or {"nodes": [], "pageInfo": {"hasNextPage": False}}
    nodes = list(part["nodes"])
    chain, size = Chain(f"Shopify's {connection.name}", "shopify"), Size(MOST_SIZE)
    document = documents.drain(kind, connection)
    while part["pageInfo"]["hasNextPage"] and (after := chain.next(part["pageInfo"]["endCursor"])):
        holder = sized(api, size, document, {"id": record["id"], "after": after})["node"]
        if not holder:
            break
        part = holder[connection.name]
        nodes += part["nodes"]
    return nodes


def _whole_list(api: ShopifyApi, kind: Kind, name: str, record: Record) -> list[Any]:
    holder = api.ask(documents.whole_list(kind, name), {"id": record["id"]}, cost=MOST_SIZE)["node"]
    entries = list((holder or record)[name])
    if len(entries) >= documents.LIST_MOST:
        log.warning("shopify: a record has more than %d %s; Shopify shows no more of them", documents.LIST_MOST, name)
    return entries
