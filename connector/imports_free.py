"""Columns of a contacts file that none of ours goes by: what a row says in them, as attributes of the person.

A column in which every value is a number or a day is written down as one, whatever way the file writes them in. Words for yes and no
are true and false in a column that holds both and that the store does not know as text yet: rules stand on what it knows.
Everything else stays the text it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connector.imports_kinds import MapFile
from connector.imports_shapes import COMMA_SHAPE, POINT_SHAPE, date_order, define_local

if TYPE_CHECKING:
    import duckdb

    from connector.store import Store

DAYS = (
    r"^\d{1,2}[./-]\d{1,2}[./-]\d{4}([ ,T].*)?$|^\d{4}/\d{1,2}/\d{1,2}"
    r"|^\d{1,2} [A-Za-z]+ \d{4}$|^[A-Za-z]+ \d{1,2}, \d{4}$"
)
"""Days in another form than 2026-12-31, which needs no reading. A year of two digits may be anything else too (10-12-14)."""

PLAIN = {",": "replace(replace({0}, '.', ''), ',', '.')", ".": "replace({0}, ',', '')"}
"""Decimal sign -> SQL of a number as every program reads it."""


YES = ("yes", "y", "ja", "j", "oui", "sí", "sì", "si", "sim", "true", "wahr", "vrai")
NO = ("no", "n", "nein", "non", "não", "nee", "false", "falsch", "faux")


def said(store: Store) -> dict[str, bool]:
    """The attributes the store knows, and whether each is yes or no throughout."""
    found = store.sql("""
        SELECT key, bool_and(lower(value) IN ('true', 'false'))
        FROM (SELECT key, json_extract_string(attributes, '$."' || replace(key, '"', '') || '"') AS value
              FROM (SELECT attributes, unnest(json_keys(attributes)) AS key FROM contacts WHERE attributes IS NOT NULL))
        WHERE value IS NOT NULL AND value <> '' GROUP BY key""")
    return {str(name): bool(is_flag) for name, is_flag in found}


def attributes(
    db: duckdb.DuckDBPyConnection, free: dict[str, int], given: MapFile, notes: list[str], known: dict[str, bool]
) -> str:
    """SQL of one JSON object with what a row says in these columns, by their names; NULL where all are empty."""
    signs = _signs(db, free, given, notes)
    flags = _flags(db, free, known, notes)
    values = {
        name: PLAIN[signs[name]].format(_text(i))
        if name in signs
        else FLAG.format(_text(i))
        if name in flags
        else _day(db, name, i, given, notes)
        for name, i in free.items()
    }
    pairs = ", ".join(f"{{'k': '{n.replace(chr(39), chr(39) * 2)}', 'v': {value}}}" for n, value in values.items())
    said = f"list_filter([{pairs}], lambda p: NOT is_nothing(p.v))"
    return f"CASE WHEN len({said}) > 0 THEN to_json(map_from_entries({said}))::VARCHAR END"


FLAG = f"CASE WHEN lower({{0}}) IN {YES} THEN 'true' WHEN lower({{0}}) IN {NO} THEN 'false' ELSE {{0}} END"


def _flags(db: duckdb.DuckDBPyConnection, free: dict[str, int], known: dict[str, bool], notes: list[str]) -> list[str]:
    """Columns of words for yes and no; of one the store knows as such a single one of the two is enough."""
    found = []
    for name, number in free.items():
        total, yes, no = _look(
            db, number, "count(*)", f"count(*) FILTER (lower(t) IN {YES})", f"count(*) FILTER (lower(t) IN {NO})"
        )  # fmt: skip
        if total and yes + no == total and known.get(name, bool(yes and no)):
            found.append(name)
    told = [name for name in found if not _look(db, free[name], "bool_and(lower(t) IN ('true', 'false'))")[0]]
    if told:
        notes.append(f"{', '.join(told)}: yes or no, in rules true or false.")
    return found


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
