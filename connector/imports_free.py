"""Columns of a contacts file that none of ours goes by: what a row says in them, as attributes of the person.

A column in which every value is a number or a day is written down as one, whatever way the file writes them in; everything else
stays the text it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.imports_kinds import MapFile
from connector.imports_shapes import COMMA_SHAPE, POINT_SHAPE, date_order, define_local

if TYPE_CHECKING:
    import duckdb

DAYS = (
    r"^\d{1,2}[./-]\d{1,2}[./-]\d{4}([ ,T].*)?$|^\d{4}/\d{1,2}/\d{1,2}"
    r"|^\d{1,2} [A-Za-z]+ \d{4}$|^[A-Za-z]+ \d{1,2}, \d{4}$"
)
"""Days in another form than 2026-12-31, which needs no reading. A year of two digits may be anything else too (10-12-14)."""

PLAIN = {",": "replace(replace({0}, '.', ''), ',', '.')", ".": "replace({0}, ',', '')"}
"""Decimal sign -> SQL of a number as every program reads it."""


def attributes(db: duckdb.DuckDBPyConnection, free: dict[str, int], given: MapFile, notes: list[str]) -> str:
    """SQL of one JSON object with what a row says in these columns, by their names; NULL where all are empty."""
    signs = _signs(db, free, given, notes)
    values = {
        name: PLAIN[signs[name]].format(_text(i)) if name in signs else _day(db, name, i, given, notes)
        for name, i in free.items()
    }
    pairs = ", ".join(f"{{'k': '{n.replace(chr(39), chr(39) * 2)}', 'v': {value}}}" for n, value in values.items())
    said = f"list_filter([{pairs}], lambda p: NOT is_nothing(p.v))"
    return f"CASE WHEN len({said}) > 0 THEN to_json(map_from_entries({said}))::VARCHAR END"


def _text(number: int) -> str:
    return f"unguarded(nullif(trim(c{number}), ''))"


def _look(db: duckdb.DuckDBPyConnection, number: int, *asked: str) -> tuple[Any, ...]:
    """Aggregates over the values t of a column, empty cells left out."""
    return db.execute(
        f"SELECT {', '.join(asked)} FROM (SELECT {_text(number)} AS t FROM given) WHERE NOT is_nothing(t)"
    ).fetchall()[0]


def _signs(db: duckdb.DuckDBPyConnection, free: dict[str, int], given: MapFile, notes: list[str]) -> dict[str, str]:
    """The decimal sign of each column of numbers that have separators. '1.234' alone tells nothing: the other columns do."""
    shapes = {",": COMMA_SHAPE, ".": POINT_SHAPE}
    fits = {}
    for name, number in free.items():
        total, split, *fitting = _look(
            db, number, "count(*)", "count(*) FILTER (regexp_matches(t, '[.,]'))",
            *(f"count(*) FILTER (regexp_matches(t, '{shape}'))" for shape in shapes.values()),
        )  # fmt: skip
        if split:
            fits[name] = [sign for sign, count in zip(shapes, fitting, strict=True) if count == total]
    clear = [signs[0] for signs in fits.values() if len(signs) == 1]
    usual = given.decimal or ("," if clear.count(",") > clear.count(".") else ".")
    found = {name: signs[0] if len(signs) == 1 else usual for name, signs in fits.items() if signs}
    if commas := [name for name, sign in found.items() if sign == ","]:
        notes.append(f"{', '.join(commas)}: decimal comma.")
    return found


def _day(db: duckdb.DuckDBPyConnection, name: str, number: int, given: MapFile, notes: list[str]) -> str:
    text = _text(number)
    total, days, isos = _look(
        db, number, "count(*)", f"count(*) FILTER (regexp_matches(t, '{DAYS}'))",
        r"count(*) FILTER (regexp_matches(t, '^\d{4}-\d{1,2}-\d{1,2}'))",
    )  # fmt: skip
    if not days or days + isos < total:
        return text
    found: list[str] = []
    define_local(db, number, given.date_order or date_order(db, text, name, found))
    if _look(db, number, f"count(local_{number}(t))")[0] < total:
        return text
    notes += found
    return f"strftime(local_{number}({text}), '%Y-%m-%d')"
