"""What a file of orders says in all: how many, of how many people, from when to when, and for how much.

An owner sees at once whether dates and amounts were read as they are meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connector.imports_kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb


TOTALS = "a line of totals"


def orders_in_all(db: duckdb.DuckDBPyConnection, kind: Kind, timezone: str, currency: str) -> list[str]:
    """Of the table `rows` that becomes the store's."""
    own = f"'{currency}'"
    if kind.name == "orders":
        orders = f"SELECT contact_id, ordered_at, total, net, coalesce(currency, {own}) AS currency, is_cancelled FROM rows"
    elif kind.name == "order_lines":
        has_dates = "ordered_at" in {str(r[0]) for r in db.execute("DESCRIBE rows").fetchall()}
        orders = f"""SELECT max(contact_id) AS contact_id, {"min(ordered_at)" if has_dates else "NULL::TIMESTAMP"} AS ordered_at,
                       sum(amount) AS total, total AS net, coalesce(max(currency), {own}) AS currency,
                       max(quantity_kept) < 0 AND total = 0 AS is_cancelled
                     FROM rows GROUP BY record_id"""
    else:
        return []
    db.execute(f"CREATE TEMP TABLE in_all AS {orders}")
    ((count, returns, cancelled, people, nobodys, first, last, moneyless),) = db.execute(
        """SELECT count(*) FILTER (NOT is_return AND NOT coalesce(is_cancelled, false)), count(*) FILTER (is_return),
             count(*) FILTER (NOT is_return AND is_cancelled),
             count(DISTINCT contact_id) FILTER (NOT is_return AND NOT coalesce(is_cancelled, false)),
             count(*) FILTER (contact_id IS NULL),
             min(day), max(day), count(*) FILTER (net IS NULL AND NOT coalesce(is_cancelled, false))
           FROM (SELECT *, coalesce(total < 0, false) AS is_return,
                   CAST(timezone(?, timezone('UTC', ordered_at)) AS DATE) AS day FROM in_all)""",
        [timezone],
    ).fetchall()
    if not count + returns + cancelled:
        return []
    by_currency = (
        "SELECT currency, sum(net) FROM in_all WHERE net IS NOT NULL AND NOT coalesce(is_cancelled, false) "
        "GROUP BY currency ORDER BY currency <> ?, currency"
    )
    sums = db.execute(by_currency, [currency])
    money = " + ".join(f"{total:,.2f} {code}" for code, total in sums.fetchall())
    told = [
        f"In this file: {_count(count, 'order')}"
        + (f" of {_count(people, 'customer')}" if people else "")
        + (f", {first} to {last}" if first else "")
        + (f", together {money}" if money else "")
        + (f"; {_count(returns, 'return')} taken off" if returns else "")
        + (f"; {cancelled:,} more cancelled" if cancelled else "")
        + "."
    ]
    if people and nobodys:
        told.append(_said(nobodys, "name no customer: they belong to nobody", "names no customer: it belongs to nobody"))
    if 0 < moneyless < count:
        told.append(_said(moneyless, "name no amount: their money is not known", "names no amount: its money is not known"))
    others = db.execute("SELECT count(*) FROM in_all WHERE currency <> ?", [currency]).fetchall()[0][0]
    if others:
        other = f"in another currency than the shop's {currency}"
        told.append(_said(others, f"are {other}: their money is kept apart", f"is {other}: its money is kept apart"))
    return told


def _said(number: int, several: str, one: str) -> str:
    return f"{_count(number, 'order')} {one if number == 1 else several}."


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _is_totals(names: Sequence[str]) -> str:
    """SQL: whether a row is one of sums, as reports end with: its first filled cell says so."""
    first = f"coalesce({', '.join(f'nullif(trim({n}), {chr(39) * 2})' for n in names)})"
    return f"regexp_matches(lower({first}), '^(grand ?|sub ?)?totals?\\b|^(gesamt|zwischen)?summen?\\b|^gesamt\\b')"


def name_totals(db: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
    """A row that cannot be used and is one of sums is called that."""
    if not db.execute("SELECT 1 FROM cleaned WHERE wrong IS NOT NULL LIMIT 1").fetchall():
        return
    db.execute(
        f"UPDATE cleaned SET wrong = '{TOTALS}' WHERE wrong IS NOT NULL "
        f"AND line IN (SELECT line FROM given WHERE {_is_totals(columns)})"
    )
