"""How numbers and dates are written in files, and how a column tells which of two ways is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

ORDER_WORDS = {"dmy": "day first", "mdy": "month first", "ymd": "year first"}

# In an amount, a separator is decimal when it comes last and once, or behind the other one; '1,234' alone tells nothing.
COMMA = r"^-?(\d{1,3}(\.\d{3})+|\d+),\d{1,2}$|^-?\d{1,3}(\.\d{3})+,\d+$|^-?\d{1,3}(\.\d{3}){2,}$"
POINT = r"^-?(\d{1,3}(,\d{3})+|\d+)\.\d{1,2}$|^-?\d{1,3}(,\d{3})+\.\d+$|^-?\d{1,3}(,\d{3}){2,}$"
COMMA_SHAPE = r"^-?\d{1,3}(\.?\d{3})*(,\d+)?$"
POINT_SHAPE = r"^-?\d{1,3}(,?\d{3})*(\.\d+)?$|^-?\d*\.?\d+([eE][-+]?\d+)?$"

DAY_FIRST_OR_MONTH = r"^(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d{2})(?:[ ,T]+(.*))?$"
OTHER_DATES = "['%d %b %Y', '%d %B %Y', '%b %d, %Y', '%Y/%m/%d', '%Y/%m/%d %H:%M:%S', '%Y/%m/%d %H:%M']"
DATE_ALONE = (
    r"\d{8}|\d{4}[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{1,2} [A-Za-z]+ \d{4}|[A-Za-z]+ \d{1,2}, \d{4}"
)
ZONED = r"^\d{4}-\d{2}-\d{2}[ T].*(Z|[+-]\d{2}(:?\d{2})?)$"


def define_local(db: duckdb.DuckDBPyConnection, number: int, order: str) -> None:
    """Macro local_<number>: the time that a text of this column says, nothing where it says none."""
    day, month = (1, 2) if order == "dmy" else (2, 1)
    db.execute(
        f"""CREATE MACRO local_{number}(t) AS CASE
              WHEN regexp_matches(t, '^\\d{{4}}-\\d{{1,2}}-\\d{{1,2}}') THEN TRY_CAST(t AS TIMESTAMP)
              WHEN regexp_full_match(t, '\\d{{8}}') THEN try_strptime(t, '%Y%m%d')
              WHEN regexp_matches(t, '{DAY_FIRST_OR_MONTH}')
                THEN day_month(part(t, 3), part(t, {month}), part(t, {day})) + clock(part(t, 4))
              ELSE try_strptime(t, {OTHER_DATES}) END"""
    )


def date_order(db: duckdb.DuckDBPyConnection, text: str, name: str, notes: list[str]) -> str:
    """Day or month first, where the year comes last: by the values above 12, else by the dots of '31.12.'."""
    ((first, second, dots, total),) = db.execute(
        f"""SELECT count(*) FILTER (part(t, 1)::INT > 12), count(*) FILTER (part(t, 2)::INT > 12),
              count(*) FILTER (contains(t, '.')), count(*)
            FROM (SELECT {text} AS t FROM given) WHERE regexp_matches(t, '{DAY_FIRST_OR_MONTH}')"""
    ).fetchall()
    if not total:
        return "ymd"
    order = "mdy" if second > first else "dmy"
    unsure = not first and not second and not dots
    hint = ' The file cannot tell; if it is wrong, write date_order = "mdy" into a --map file.' if unsure else ""
    notes.append(f"{name}: {ORDER_WORDS[order]}.{hint}")
    return order
