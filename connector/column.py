"""What a column of the profile is, and the ways to write one.

A column belongs to a *group*: one aggregation over one source of `connector/facts.py`. Expressions may use the marks `{day}`
(the shop's day from which days are counted), `{until}` (UTC; nothing at or after it is seen), `{from_N}` (UTC midnight of
the shop's day N days before `{day}`), `{currency}` and `{timezone}`: the only things that change from date to date or shop
to shop. Three rules keep the same values on every engine: day distances only as DATE minus DATE, ratios in DOUBLE, no
decimal literal in them.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOWS = (7, 14, 30, 60, 90, 180, 365)


def name_in_rules(heading: str) -> str:
    """The name under which rules know a column of a file or a field of a platform: `Favourite Roast` is favourite_roast."""
    name = "".join(c if c.isalnum() else "_" for c in heading.lower()).strip("_") or "attribute"
    return f"a_{name}" if name[0].isdigit() else name


@dataclass(frozen=True)
class ProfileColumn:
    """`sql` is evaluated in the group's aggregation; `empty` is the value of people the group has nothing about."""

    name: str
    sql_type: str
    meaning: str
    unit: str
    source: str
    needs: tuple[str, ...]
    group: str
    sql: str
    empty: str = "NULL"
    is_personal: bool = False


def number(group: str, needs: str, name: str, sql: str, meaning: str, unit: str) -> ProfileColumn:
    return ProfileColumn(name, "BIGINT", meaning, unit, group, (needs,), group, sql, "0")


def money(group: str, needs: str, name: str, sql: str, meaning: str) -> ProfileColumn:
    return ProfileColumn(name, "DECIMAL(18,4)", meaning, "shop currency", group, (needs,), group, sql, "0")


def share(group: str, needs: str, name: str, sql: str, meaning: str) -> ProfileColumn:
    return ProfileColumn(name, "DOUBLE", meaning, "0 to 1", group, (needs,), group, sql)


def day_of(group: str, needs: str, name: str, sql: str, meaning: str) -> ProfileColumn:
    return ProfileColumn(name, "DATE", meaning, "shop's day", group, (needs,), group, sql)


def since(name: str, of: str, meaning: str, needs: str) -> ProfileColumn:
    return ProfileColumn(name, "INTEGER", meaning, "days", "derived", (needs,), "derived", f"CAST({{day}} - {of} AS INTEGER)")


def text_of(group: str, needs: str, name: str, sql: str, meaning: str, *, personal: bool = False) -> ProfileColumn:
    return ProfileColumn(name, "VARCHAR", meaning, "text", group, (needs,), group, sql, is_personal=personal)


def flag(group: str, needs: str, name: str, sql: str, meaning: str) -> ProfileColumn:
    return ProfileColumn(name, "BOOLEAN", meaning, "yes or no", group, (needs,), group, sql, "FALSE")


def words(group: str, needs: str, name: str, sql: str, meaning: str) -> ProfileColumn:
    return ProfileColumn(name, "VARCHAR[]", meaning, "list", group, (needs,), group, sql)


def decimal(group: str, needs: str, name: str, sql: str, meaning: str, unit: str) -> ProfileColumn:
    return ProfileColumn(name, "DOUBLE", meaning, unit, group, (needs,), group, sql)


IN_MONEY = "currency = '{currency}'"


def local_day(column: str) -> str:
    return f"CAST(timezone('{{timezone}}', timezone('UTC', {column})) AS DATE)"
