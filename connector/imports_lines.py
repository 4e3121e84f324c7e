"""Files with one row a product: there what a row costs is not what the order cost, and a total may be the row's or the order's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from connector.imports_exports import known_export
from connector.imports_kinds import KINDS, Kind, MapFile, recognise, squash
from models.errors import UsageError

if TYPE_CHECKING:
    import duckdb

NEARLY_ALL = 0.95
VAGUE = ("name", "title", "number")
"""Names of columns that are a customer's name or an order's number as often as a product or a quantity."""


def as_lines(db: duckdb.DuckDBPyConnection, header: Sequence[str], given: MapFile) -> MapFile | None:
    """The owner's words about the lines, where a file given as orders has one row a product; None where a row is an order."""
    orders, lines = KINDS["orders"], KINDS["order_lines"]
    if known_export("orders", header) or "amount" in given.columns:
        return None
    ours = recognise(orders, header, given)
    words = replace(given, columns={k: v for k, v in given.columns.items() if k in lines.fields})
    try:
        theirs = recognise(lines, header, words)
    except UsageError:
        return None
    theirs = {name: n for name, n in theirs.items() if name in words.columns or squash(header[n]) not in VAGUE}
    if "order_id" not in theirs or not {"product_id", "product"} & theirs.keys():
        return None
    total = ours.get("amount", theirs.get("price"))
    varies = _varies(db, theirs["order_id"], total)
    if "price" in theirs and ours.get("amount") in (None, theirs["price"]):
        return words if "quantity" in theirs or varies is not None else None
    if varies is False and total is not None and {"price", "quantity"} <= theirs.keys():
        return words if _adds_up(db, theirs["order_id"], theirs["price"], theirs["quantity"], total) else None
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


def _adds_up(db: duckdb.DuckDBPyConnection, order: int, price: int, quantity: int, total: int) -> bool:
    """Whether the total that stands on every row of an order is the sum of its lines: then nothing is lost by reading lines."""
    numbers = ", ".join(f"{_number(n)} AS {name}" for name, n in (("price", price), ("quantity", quantity), ("total", total)))
    ((orders, equal),) = db.execute(
        f"""SELECT count(*), count(*) FILTER (abs(total - lines) < 0.01) FROM (
              SELECT max(total) AS total, sum(price * quantity) AS lines
              FROM (SELECT trim(c{order}) AS id, {numbers} FROM given) WHERE id <> '' GROUP BY id)"""
    ).fetchall()
    return bool(equal >= orders * NEARLY_ALL)


def _number(column: int) -> str:
    """SQL of an amount whose decimal sign is the last one that stands in it."""
    text = f"regexp_replace(c{column}, '[^0-9.,-]', '', 'g')"
    comma = f"replace(replace({text}, '.', ''), ',', '.')"
    return (
        f"TRY_CAST(CASE WHEN regexp_matches({text}, ',[0-9]{{1,2}}$') THEN {comma} ELSE replace({text}, ',', '') END "
        "AS DECIMAL(18,4))"
    )
