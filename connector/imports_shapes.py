"""How numbers and dates are written in files, and how a column tells which of two ways is meant.

A plain number where a date belongs is one of a spreadsheet's days (46024 is 2026-01-02), a computer's seconds, or the
count of days since one that only the owner knows (`day_one` of a --map file).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    import duckdb

ORDER_WORDS = {"dmy": "day first", "mdy": "month first", "ymd": "year first"}

# In an amount, a separator is decimal when it comes last and once, or behind the other one; '1,234' alone tells nothing.
COMMA = r"^-?(\d{1,3}(\.\d{3})+|\d+),\d{1,2}$|^-?\d{1,3}(\.\d{3})+,\d+$|^-?\d{1,3}(\.\d{3}){2,}$"
POINT = r"^-?(\d{1,3}(,\d{2,3})*,\d{3}|\d+)\.\d{1,2}$|^-?\d{1,3}(,\d{3})+\.\d+$|^-?\d{1,3}(,\d{3}){2,}$"
COMMA_SHAPE = r"^-?\d{1,3}(\.?\d{3})*(,\d+)?$"
POINT_SHAPE = r"^-?\d{1,3}(,?\d{3})*(\.\d+)?$|^-?\d{1,2}(,\d{2})+,\d{3}(\.\d+)?$|^-?\d*\.?\d+([eE][-+]?\d+)?$"

DAY_FIRST_OR_MONTH = r"^(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d{2})(?:[ ,T]+(.*))?$"
WORDED = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%d-%b-%Y", "%d-%b-%y", "%d. %B %Y")
OTHER_DATES = [
    *(f"{day}{time}" for day in WORDED for time in ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")),
    "%Y/%m/%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y.%m.%d", "%Y.%m.%d %H:%M:%S", "%Y.%m.%d %H:%M",
    "%a, %d %b %Y %H:%M:%S", "%a %b %d %H:%M:%S %Y",
]  # fmt: skip
SHEET_DAY = r"[2-7]\d{4}(\.\d+)?"
FIRST_SHEET_DAY, LAST_SHEET_DAY = 25569, 73050
"""1970 and 2099 as a spreadsheet counts days: smaller numbers are days of somebody else's count."""
COUNTED_DAY = r"\d{1,5}"
SECONDS = r"1\d{9}|1\d{12}|1\d{15}|1\d{18}"
"""Seconds since 1970, or thousandths, millionths, billionths of them, from 2001 to 2033."""
MAIL_DATE = r"^[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} [+-]\d{4}$"
DATE_ALONE = (
    r"\d{1,5}|\d{8}|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{1,2}\.? [A-Za-z]+ \d{4}"
    r"|\d{1,2}-[A-Za-z]+-\d{2,4}|[A-Za-z]+ \d{1,2},? \d{4}"
)
ZONED = r"^\d{4}-\d{2}-\d{2}[ T].*(Z|[+-]\d{2}(:?\d{2})?| UTC| GMT)$"


def define_local(db: duckdb.DuckDBPyConnection, number: int, order: str, day_one: date | None = None) -> None:
    """Macro local_<number>: the time that a text of this column says, nothing where it says none."""
    day, month = (1, 2) if order == "dmy" else (2, 1)
    counted = f"WHEN regexp_full_match(t, '{COUNTED_DAY}') THEN DATE '{day_one}' + (TRY_CAST(t AS INT) - 1)" if day_one else ""
    db.execute(
        f"""CREATE MACRO local_{number}(t) AS CASE
              WHEN regexp_matches(t, '^\\d{{4}}-\\d{{2}}-\\d{{2}} .*[AaPp]\\.?[Mm]\\.?$')
                THEN TRY_CAST(substr(t, 1, 10) AS DATE) + clock(substr(t, 12))
              WHEN regexp_matches(t, '^\\d{{4}}-\\d{{1,2}}-\\d{{1,2}}') THEN TRY_CAST(t AS TIMESTAMP)
              WHEN regexp_full_match(t, '\\d{{8}}') THEN try_strptime(t, '%Y%m%d')
              {counted}
              WHEN regexp_full_match(t, '{SHEET_DAY}') THEN CASE
                WHEN TRY_CAST(t AS DOUBLE) BETWEEN {FIRST_SHEET_DAY} AND {LAST_SHEET_DAY}
                THEN TIMESTAMP '1899-12-30' + to_seconds(round(TRY_CAST(t AS DOUBLE) * 86400)::BIGINT) END
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
