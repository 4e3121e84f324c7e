"""Files with one row a product: there what a row costs is not what the order cost, and a total may be the row's or the order's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from connector.imports_exports import known_export
from connector.imports_kinds import KINDS, Kind, MapFile, recognise, squash
from models.errors import UsageError

if TYPE_CHECKING:
    import duckdb

VAGUE = ("name", "title", "number")
"""Names of columns that are a customer's name or an order's number as often as a product or a quantity."""


def as_lines(db: duckdb.DuckDBPyConnection, header: Sequence[str], given: MapFile) -> MapFile | None:
    """The owner's words about the lines, where a file given as orders has one row a product; None where a row is an order."""
    orders, lines = KINDS["orders"], KINDS["order_lines"]
    if known_export("orders", header) or "amount" in given.columns:
        return None
    ours = recognise(orders, header, given)
    words = MapFile({k: v for k, v in given.columns.items() if k in lines.fields}, given.date_order, given.decimal)
    try:
        theirs = recognise(lines, header, words)
    except UsageError:
        return None
    theirs = {name: n for name, n in theirs.items() if name in words.columns or squash(header[n]) not in VAGUE}
    if "order_id" not in theirs or not {"product_id", "product"} & theirs.keys():
        return None
    varies = _varies(db, theirs["order_id"], ours.get("amount", theirs.get("price")))
    if "price" in theirs and ours.get("amount") in (None, theirs["price"]):
        return words if "quantity" in theirs or varies is not None else None
    return words if varies else None


def note_of(header: Sequence[str], kind: Kind, given: MapFile) -> str:
    found = recognise(kind, header, given)
    names = ", ".join(header[found[n]] for n in ("product_id", "product", "quantity", "price", "amount") if n in found)
    return (
        f"This file has one row a product ({names}), so it is read as order_lines: the amount of an order is the sum of its "
        "lines. If every row is an order of its own, say which column is its amount in a --map file."
    )


def is_total_of_orders(db: duckdb.DuckDBPyConnection, found: dict[str, int]) -> bool:
    """The amount beside price and quantity stands on every row of an order alike: it is the order's and not the line's."""
    is_there = {"order_id", "amount", "price", "quantity"} <= found.keys()
    return is_there and _varies(db, found["order_id"], found["amount"]) is False


def _varies(db: duckdb.DuckDBPyConnection, order: int, amount: int | None) -> bool | None:
    """Whether most orders of several rows have several amounts; None where no order has several rows."""
    value = "NULL" if amount is None else f"trim(c{amount})"
    ((several, varied),) = db.execute(
        f"""SELECT count(*), count(*) FILTER (amounts > 1) FROM (
              SELECT count(DISTINCT {value}) AS amounts FROM given WHERE trim(c{order}) <> '' GROUP BY trim(c{order})
              HAVING count(*) > 1)"""
    ).fetchall()
    return varied * 2 > several if several else None
