"""Three rules that keep the profile's numbers the same on every engine, looked for in the SQL itself. Run by `make lint`.

1. Days are counted as DATE minus DATE: what engines call date_diff counts hours on one and calendar days on another.
2. Ratios are DOUBLE: a quotient of decimals is rounded differently everywhere.
3. No decimal literal in a formula: 60.0 makes the whole formula decimal on some engines; write CAST(60.0 AS DOUBLE) or 60.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import sqlglot
from sqlglot import exp

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from connector.clock import as_of
from connector.columns import COLUMNS
from connector.config import Branch, Config, Shop
from connector.facts import marks, rows, sources
from connector.library import examples
from connector.profile_sql import SHOP_SQL, profile_sql
from connector.rules import Compiler, declared, parse

DIFFERENCES = ("datediff", "date_diff", "datesub", "date_sub", "age", "epoch", "timestampdiff", "julian")
FLOATING = (exp.Exp, exp.Ln, exp.Sqrt, exp.Sin, exp.Cos, exp.Asin, exp.Radians, exp.Pow)
DAY = as_of(date(2026, 7, 1), "Europe/Berlin")
CONFIG = Config(
    shop=Shop(name="A shop", timezone="Europe/Berlin", currency="EUR"),
    branch=(Branch(name="A", latitude=50.7, longitude=7.1), Branch(name="B", latitude=48.4, longitude=10)),
)


def written() -> Iterator[tuple[str, str]]:
    """(where it stands, SQL) of everything the profile and the rules are computed with."""
    known = marks(CONFIG, DAY)
    for column in COLUMNS:
        yield f"column {column.name}", f"SELECT {column.sql.format_map(known)}"
    for name, text in {**rows(), **sources(), "shop": SHOP_SQL}.items():
        yield f"rows {name}", text.format_map(known)
    yield "the whole profile", profile_sql(CONFIG, DAY)
    for one, rule, _ in examples():
        checked = parse(rule, declared((), "EUR"))
        compiler = Compiler(lambda call: f"m_{call[0]}", {})
        yield f"ready-made segment {one.name}", f"SELECT {compiler.condition(checked.tree)}".format_map(known)


def breaches(sql: str) -> Iterator[str]:
    """What in one statement would not give the same on every engine."""
    for node in sqlglot.parse_one(sql, read="duckdb").walk():
        name = node.name.lower() if isinstance(node, exp.Anonymous) else type(node).__name__.lower()
        if name in DIFFERENCES:
            yield f"rule 1: {name} instead of a date minus a date: {node.sql('duckdb')}"
        if isinstance(node, exp.Div) and not _is_double(node):
            yield f"rule 2: a ratio that is not DOUBLE: {node.sql('duckdb')}"
        if isinstance(node, exp.Literal) and not node.is_string and not node.name.isdigit() and not _is_harmless(node):
            yield f"rule 3: a decimal literal: {node.parent.sql('duckdb') if node.parent else node.name}"


def _is_double(ratio: exp.Div) -> bool:
    casts = [c for c in ratio.walk() if isinstance(c, exp.Cast) and c.to.this == exp.DType.DOUBLE]
    return bool(casts) or any(isinstance(part, FLOATING) for part in ratio.walk())


def _is_harmless(literal: exp.Literal) -> bool:
    """A bound an owner wrote is no part of a formula: comparing does not round. Neither is what is made DOUBLE at once."""
    if isinstance(literal.parent, exp.Cast) and literal.parent.to.this == exp.DType.DOUBLE:
        return True
    return isinstance(literal.parent, (exp.LT, exp.LTE, exp.GT, exp.GTE, exp.EQ, exp.NEQ, exp.Between, exp.In, exp.Neg))


def main() -> int:
    found = sorted({f"{where}: {breach}" for where, sql in written() for breach in breaches(sql)})
    for line in found:
        sys.stderr.write(f"{line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
