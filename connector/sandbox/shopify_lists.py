"""Lists of the simulated shop: sort keys, search fields, pages and the cursors that belong to one list only."""

from __future__ import annotations

import base64
import bisect
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from connector.sandbox import shopify_search as search
from connector.sandbox.shopify_objects import CheckoutNode, CollectionNode, CustomerNode, OrderNode, ProductNode, VariantNode
from connector.sandbox.shopify_request import Context, refusal
from connector.sandbox.shopify_search import Searchable

PAGE_LIMIT = 250
WALL = timedelta(days=60)
KEEP_VIEWS = 24
CHAIN_LIMIT = 25_000


@dataclass
class Page:
    """What a connection answers. cursors: one per item, made only when asked for."""

    items: Sequence[Any]
    cursor: Callable[[int], str]
    has_next: bool
    has_previous: bool
    total: int = 0


@dataclass
class Listing:
    """One root list. rows: everything that exists; version: raised by every change, so that views are made anew."""

    name: str
    rows: Callable[[], Sequence[Any]]
    sorts: dict[str, Callable[[Any], Any]]
    default_sort: str
    fields: dict[str, Searchable]
    words: Callable[[Any], str]
    number: Callable[[Any], Any]
    page_limit: int = PAGE_LIMIT
    version: int = 0
    views: dict[tuple[Any, ...], tuple[list[Any], list[Any]]] = field(default_factory=dict)

    def changed(self) -> None:
        self.version += 1
        self.views.clear()

    def view(self, ctx: Context, query: str | None, sort: str, wall: datetime | None) -> tuple[list[Any], list[Any]]:
        """Rows that match, sorted, and their keys. wall: orders made before it are not there for this token."""
        found = self._searched(ctx, query)
        lagged_until = ctx.shop.lagged_until  # until then what the index believes changes with time alone
        lagging = ctx.now if lagged_until is not None and ctx.now < lagged_until else None
        key = (query or "", sort, wall and wall.date(), self.version, lagging, ctx.shop.version)
        known = self.views.get(key)
        if known is not None:
            return known
        rows = [r for r in self.rows() if wall is None or r.created_at >= wall]
        if found.matches is not None:
            rows = [r for r in rows if found.matches(r)]
        read, number = self.sorts[sort], self.number
        keyed = sorted(((read(r), number(r)), i) for i, r in enumerate(rows))
        made = [rows[i] for _, i in keyed], [k for k, _ in keyed]
        if len(self.views) >= KEEP_VIEWS:
            self.views.clear()
        self.views[key] = made
        return made

    def _searched(self, ctx: Context, query: str | None) -> search.Search:
        try:
            found = search.parse(query, self.fields, self.words, whole_seconds=ctx.shop.version >= "2026-10")
        except search.BrokenSearch as e:
            message = "Internal error. Looks like something went wrong on our end."
            raise refusal(message, "INTERNAL_SERVER_ERROR", requestId="sandbox") from e
        if found.warnings:
            ctx.search.append({"path": list(ctx.path), "query": query, "parsed": {}, "warnings": found.warnings})
        return found

    def page(self, ctx: Context, args: dict[str, Any], wall: datetime | None = None) -> Page:
        sort = args.get("sortKey") or self.default_sort
        if sort not in self.sorts:
            sort = self.default_sort
        rows, keys = self.view(ctx, args.get("query"), sort, wall)
        if args.get("reverse"):
            rows, keys = rows[::-1], keys[::-1]
        if ctx.is_bulk:
            return whole(_dropped(rows) if args.get("sortKey") == "UPDATED_AT" else rows)
        mark = _mark(self.name, sort, args.get("query"), bool(args.get("reverse")))
        size, from_end = page_size(args, self.page_limit)
        start, stop = 0, len(rows)
        if args.get("after"):
            start = _after(keys, _opened(args["after"], mark), bool(args.get("reverse")), 1)
        if args.get("before"):
            stop = _after(keys, _opened(args["before"], mark), bool(args.get("reverse")), 0)
        stop = max(start, stop)
        if start >= CHAIN_LIMIT:
            raise refusal(f"A list can be paged through up to {CHAIN_LIMIT} objects.", "BAD_REQUEST")
        low, high = (max(start, stop - size), stop) if from_end else (start, min(stop, start + size))
        items = rows[low:high]
        ctx.root_rows += len(items)
        return Page(items, lambda i: _closed(keys[low + i], mark), high < len(rows), low > 0, len(rows))

    def count(self, ctx: Context, args: dict[str, Any], wall: datetime | None = None) -> dict[str, Any]:
        rows, _ = self.view(ctx, args.get("query"), self.default_sort, wall)
        ceiling = ctx.shop.switches.count_ceiling
        if ceiling and len(rows) > ceiling:
            return {"count": ceiling + 1, "precision": "AT_LEAST"}
        limit = args.get("limit")
        if limit is not None and len(rows) > limit:
            return {"count": limit, "precision": "AT_LEAST"}
        return {"count": len(rows), "precision": "EXACT"}


def page_size(args: dict[str, Any], limit: int = PAGE_LIMIT) -> tuple[int, bool]:
    """How many rows, and whether they are counted from the end."""
    first, last = args.get("first"), args.get("last")
    if (first is None) == (last is None):
        raise refusal("you must provide one of first or last", "BAD_REQUEST")
    size: int = first if first is not None else args["last"]
    name = "first" if first is not None else "last"
    if size < 1:
        raise refusal(f"{name} must be greater than 0", "BAD_REQUEST")
    if size > limit:
        raise refusal(f"{name} cannot exceed {limit}", "BAD_REQUEST")
    return size, last is not None


def _dropped(rows: Sequence[Any]) -> list[Any]:
    """A bulk query sorted by UPDATED_AT loses rows on the real platform; every fiftieth here."""
    return [row for place, row in enumerate(rows) if place % 50 != 49]


def plain_page(ctx: Context, items: Sequence[Any], args: dict[str, Any], name: str) -> Page:
    """A page of a list that hangs on one object, in its own order."""
    if ctx.is_bulk:
        return whole(items)
    rows = items[::-1] if args.get("reverse") else items
    mark = _mark(name, "", None, bool(args.get("reverse")))
    size, from_end = page_size(args)
    start = int(_opened(args["after"], mark)[0]) + 1 if args.get("after") else 0
    stop = int(_opened(args["before"], mark)[0]) if args.get("before") else len(rows)
    low, high = (max(start, stop - size), stop) if from_end else (start, min(stop, start + size))
    return Page(rows[low:high], lambda i: _closed((low + i, 0), mark), high < len(rows), low > 0, len(rows))


def whole(items: Sequence[Any]) -> Page:
    """All rows at once, for bulk operations, which take no page size."""
    return Page(items, lambda i: str(i), False, False, len(items))


def _mark(name: str, sort: str, query: str | None, reverse: bool) -> int:
    return zlib.crc32(repr((name, sort, query or "", reverse)).encode())


def _closed(key: tuple[Any, Any], mark: int) -> str:
    value, number = key
    if isinstance(value, datetime):
        value = {"t": value.isoformat()}
    elif not isinstance(value, (int, float, str)):
        value = str(value)
    return base64.urlsafe_b64encode(orjson.dumps([value, number, mark])).decode()


def _opened(cursor: str, mark: int) -> tuple[Any, Any]:
    try:
        value, number, made_for = orjson.loads(base64.urlsafe_b64decode(cursor))
    except ValueError as e:
        raise refusal(f"Invalid cursor for current pagination sort. ('{cursor[:12]}')", "BAD_REQUEST") from e
    if made_for != mark:
        raise refusal("Invalid cursor for current pagination sort.", "BAD_REQUEST")
    if isinstance(value, dict):
        value = datetime.fromisoformat(value["t"])
    return value, number


def _after(keys: list[Any], key: tuple[Any, Any], is_reversed: bool, beyond: int) -> int:
    """Where the rows behind (beyond=1) or from (beyond=0) this key begin, though the row itself may be gone."""
    if not is_reversed:
        return bisect.bisect_right(keys, key) if beyond else bisect.bisect_left(keys, key)
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] > key or (beyond and keys[middle] == key):
            low = middle + 1
        else:
            high = middle
    return low


def indexed_at(now: Callable[[], datetime]) -> Callable[[CustomerNode], datetime]:
    """The date of the last change as the search index knows it."""

    def read(node: CustomerNode) -> datetime:
        is_lagging = node.lagged_until is not None and now() < node.lagged_until
        return node.indexed_at if is_lagging and node.indexed_at is not None else node.updated_at

    return read


def customer_tags(now: Callable[[], datetime]) -> Callable[[CustomerNode], set[str]]:
    """Tags as the search index knows them: for a while after a write it still holds the old ones."""

    def read(node: CustomerNode) -> set[str]:
        if node.lagged_until is not None and now() < node.lagged_until:
            return set(node.lagged)
        return {t.lower() for t in node.tags}

    return read


def customer_fields(now: Callable[[], datetime]) -> dict[str, Searchable]:
    tags = customer_tags(now)
    return {
        "updated_at": Searchable("time", indexed_at(now)),
        "customer_date": Searchable("time", lambda c: c.created_at),
        "order_date": Searchable("time", lambda c: c.orders[-1].purchase.at if c.orders else None),
        "last_abandoned_order_date": Searchable("time", lambda c: None),
        "id": Searchable("number", lambda c: c.number),
        "email": Searchable("text", lambda c: c.source.email),
        "phone": Searchable("text", lambda c: c.source.phone),
        "tag": Searchable("tags", tags),
        "tag_not": Searchable("tags", lambda c: _Without(tags(c))),
        "state": Searchable("exact", lambda c: "disabled"),
        "country": Searchable("exact", lambda c: c.source.country),
        "total_spent": Searchable("number", lambda c: c.spent),
        "orders_count": Searchable("number", lambda c: len(c.orders)),
        "accepts_marketing": Searchable("exact", lambda c: "true" if c.consent == "SUBSCRIBED" else "false"),
        "first_name": Searchable("text", lambda c: c.source.first_name),
        "last_name": Searchable("text", lambda c: c.source.last_name),
    }


class _Without:
    """Answers `in` the other way round: tag_not."""

    def __init__(self, tags: set[str]) -> None:
        self.tags = tags

    def __contains__(self, tag: str) -> bool:
        return tag not in self.tags


def order_fields() -> dict[str, Searchable]:
    return {
        "updated_at": Searchable("time", lambda o: o.updated_at),
        "created_at": Searchable("time", lambda o: o.created_at),
        "processed_at": Searchable("time", lambda o: o.purchase.at),
        "id": Searchable("number", lambda o: o.number),
        "customer_id": Searchable("number", lambda o: o.customer and o.customer.number),
        "name": Searchable("text", lambda o: f"#{o.name}"),
        "email": Searchable("text", lambda o: o.customer.source.email if o.customer else ""),
        "tag": Searchable("tags", lambda o: {t.lower() for t in o.tags}),
        "test": Searchable("exact", lambda o: "true" if o.purchase.test else "false"),
        "source_name": Searchable("exact", lambda o: "web"),
        "status": Searchable("tags", _order_statuses),
        "financial_status": Searchable("exact", lambda o: financial_status(o).lower()),
    }


def _order_statuses(order: OrderNode) -> set[str]:
    return {"cancelled", "closed"} if order.purchase.cancelled else {"open", "not_closed"}


def financial_status(order: OrderNode) -> str:
    purchase = order.purchase
    if purchase.refunded and purchase.refunded >= purchase.total:
        return "REFUNDED"
    if purchase.cancelled:
        return "VOIDED"
    return "PARTIALLY_REFUNDED" if purchase.refunded else "PAID"


def product_fields() -> dict[str, Searchable]:
    return {
        "updated_at": Searchable("time", lambda p: p.updated_at),
        "created_at": Searchable("time", lambda p: p.created_at),
        "published_at": Searchable("time", lambda p: p.created_at),
        "id": Searchable("number", lambda p: p.number),
        "title": Searchable("text", lambda p: p.source.title),
        "vendor": Searchable("text", lambda p: p.source.vendor),
        "product_type": Searchable("text", lambda p: p.source.category),
        "status": Searchable("exact", lambda p: "active"),
        "tag": Searchable("tags", lambda p: set()),
        "gift_card": Searchable("exact", lambda p: "true" if "gift" in p.source.category.lower() else "false"),
    }


def checkout_fields() -> dict[str, Searchable]:
    return {
        "created_at": Searchable("time", lambda c: c.cart.created_at),
        "updated_at": Searchable("time", lambda c: c.updated_at),
        "id": Searchable("number", lambda c: c.number),
        "status": Searchable("exact", lambda c: "closed" if c.cart.completed_at else "open"),
        "recovery_state": Searchable("exact", lambda c: "recovered" if c.cart.completed_at else "not_recovered"),
        "email_state": Searchable("exact", lambda c: "not_sent"),
    }


def collection_fields() -> dict[str, Searchable]:
    return {
        "updated_at": Searchable("time", lambda c: c.updated_at),
        "id": Searchable("number", lambda c: c.number),
        "title": Searchable("text", lambda c: c.title),
    }


def event_fields() -> dict[str, Searchable]:
    return {
        "id": Searchable("number", lambda e: e["number"]),
        "created_at": Searchable("time", lambda e: e["at"]),
        "action": Searchable("exact", lambda e: e["action"]),
        "subject_type": Searchable("exact", lambda e: e["subjectType"]),
    }


def variant_fields() -> dict[str, Searchable]:
    return {
        "updated_at": Searchable("time", lambda v: v.product.updated_at),
        "product_id": Searchable("number", lambda v: v.product.number),
        "sku": Searchable("text", lambda v: v.product.source.product_id),
        "title": Searchable("text", lambda v: v.product.source.title),
    }


def bulk_fields() -> dict[str, Searchable]:
    return {
        "id": Searchable("number", lambda b: b.number),
        "created_at": Searchable("time", lambda b: b.created_at),
        "status": Searchable("exact", lambda b: b.status.lower()),
        "operation_type": Searchable("exact", lambda b: b.type.lower()),
    }


Words = Callable[[Any], str]
customer_words: Callable[[CustomerNode], str] = lambda c: (  # noqa: E731  # read beside the fields above
    f"{c.source.first_name} {c.source.last_name} {c.source.email} {c.source.phone}".lower()
)
order_words: Callable[[OrderNode], str] = lambda o: f"#{o.name} {o.customer.source.email if o.customer else ''}".lower()  # noqa: E731  # as above
product_words: Callable[[ProductNode], str] = lambda p: f"{p.source.title} {p.source.vendor} {p.source.category}".lower()  # noqa: E731  # as above
checkout_words: Callable[[CheckoutNode], str] = lambda c: f"#{c.number}"  # noqa: E731  # as above
collection_words: Callable[[CollectionNode], str] = lambda c: c.title.lower()  # noqa: E731  # as above
variant_words: Callable[[VariantNode], str] = lambda v: v.product.source.title.lower()  # noqa: E731  # as above
