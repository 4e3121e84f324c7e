"""Stage 5 of 10: one wide row a person, from one generated statement.

The columns stand in `connector/columns.py`. Here are the sources they are aggregated from. Definitions that hold for all:
orders are purchases that count, before the as-of moment; money is net, in the shop's currency; a window of N days begins N
shop days before the as-of day; an open is human unless the platform says it was a machine. What a platform holds without a
date (place, tags, lifecycle stage, consent) is as it stands now, whatever the as-of date.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from connector import profile_kept
from connector.column import ProfileColumn, name_in_rules
from connector.columns import BY_NAME, COLUMNS
from connector.config import Config
from connector.facts import EVERYBODY, marks
from connector.profile_sql import (
    ALWAYS_DATED,
    LINKED,
    SHOP_SQL,
    Columns,
    absent_columns,
    dated_sql,
    lasting_sql,
    part_sql,
    profile_sql,
    rank_sql,
    whole_sql,
)
from connector.store import Store
from models.segments import AsOf

log = logging.getLogger(__name__)

AT_ONCE = 131_072
"""People whose rows are made by one statement."""


@dataclass(frozen=True)
class Field:
    """What `rollcall fields` shows of a column. `coverage` is the share of people who have a value."""

    name: str
    sql_type: str
    meaning: str
    unit: str
    source: str
    needs: tuple[str, ...]
    coverage: float
    example: str


def build(store: Store, config: Config, as_of: AsOf) -> int:
    """Fill `profile`, one row per person known at the as-of moment. Returns how many.

    `profile` is a view: what depends on facts stands in the tables `profile_rows` and `profile_dated`, made for so many people
    at a time that the memory needed does not grow with the shop; what follows from those columns and today's date is computed
    on reading. Of the two tables only the rows of people with news are made again where the others still hold.
    """
    extra = (*attribute_columns(store), *snapshot_columns(store))
    with store.transaction():
        _drop_views(store)
        absent = absent_columns(store)
        kept = profile_kept.find(store, config, as_of, extra, absent)
        _make_parts(store, config, as_of, kept, extra, absent)
        if not kept.is_lasting:
            _make(store, config, as_of, "profile_rows", lasting_sql(extra, absent))
        else:
            _make_news(store, config, as_of, "profile_rows", lasting_sql(extra, absent))
        if not kept.is_dated:
            _make(store, config, as_of, "profile_dated", dated_sql(extra, absent))
        else:
            _make_news(store, config, as_of, "profile_dated", dated_sql(extra, absent))
        for group in LINKED:
            store.sql(f"DROP TABLE IF EXISTS part_{group}")
        everybody = marks(config, as_of)
        store.sql(f"CREATE OR REPLACE TABLE profile_ranks AS {rank_sql('profile_rows')}")
        store.sql(f"CREATE OR REPLACE TABLE profile_shop AS {SHOP_SQL.format_map(everybody)}")
        view = whole_sql(extra, "(profile_rows JOIN profile_dated USING (person_n))", "profile_ranks", "profile_shop",
                         shown="person_id, person_n")  # fmt: skip
        store.sql(f"CREATE VIEW profile AS {view.format_map(everybody)}")
        store.sql("CREATE OR REPLACE TABLE profile_columns (name VARCHAR, meaning VARCHAR, unit VARCHAR, source VARCHAR)")
        for column in extra:
            store.sql(
                "INSERT INTO profile_columns VALUES (?, ?, ?, ?)", [column.name, column.meaning, column.unit, column.source]
            )
        profile_kept.remember(store, kept)
    count = int(store.value("SELECT count(*) FROM profile_rows"))
    log.info("profile: %s people, %s columns", count, len(COLUMNS) + len(extra))
    return count


def _drop_views(store: Store) -> None:
    """`profile` was a table in earlier versions."""
    is_table = store.value("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'profile'")
    store.sql("DROP TABLE profile" if is_table else "DROP VIEW IF EXISTS profile")


NEWS = "n IN (SELECT n FROM profile_news)"


def _make_parts(
    store: Store, config: Config, as_of: AsOf, kept: profile_kept.Kept, extra: Columns, absent: frozenset[str]
) -> None:
    for group in LINKED:
        is_kept = kept.is_dated if group in ALWAYS_DATED else kept.is_lasting
        text = part_sql(group, extra, absent).format_map(marks(config, as_of, NEWS if is_kept else EVERYBODY))
        store.sql(f"CREATE OR REPLACE TEMP TABLE part_{group} AS {text}")


def _make(store: Store, config: Config, as_of: AsOf, table: str, select: str) -> None:
    top = int(store.value("SELECT coalesce(max(n), 0) FROM person_numbers"))
    for low in range(0, top + 1, AT_ONCE):
        head = f"INSERT INTO {table}" if low else f"CREATE OR REPLACE TABLE {table} AS"
        some = f"n BETWEEN {low} AND {low + AT_ONCE - 1}"
        store.sql(f"{head} {select.format_map(marks(config, as_of, some))}")


def _make_news(store: Store, config: Config, as_of: AsOf, table: str, select: str) -> None:
    if store.value("SELECT count(*) FROM profile_news"):
        store.sql(f"DELETE FROM {table} WHERE person_n IN (SELECT n FROM profile_news)")
        store.sql(f"INSERT INTO {table} {select.format_map(marks(config, as_of, NEWS))}")


def attribute_columns(store: Store) -> tuple[ProfileColumn, ...]:
    """One column per free attribute found on contacts: a number, a day or yes/no where every value is one, else text."""
    kinds = store.sql("""
        SELECT key, bool_and(try_cast(value AS DOUBLE) IS NOT NULL),
          bool_and(regexp_matches(value, '^[0-9]{4}[-/]') AND try_cast(value AS DATE) IS NOT NULL),
          bool_and(lower(value) IN ('true', 'false'))
        FROM (SELECT key, json_extract_string(attributes, '$."' || replace(key, '"', '') || '"') AS value
              FROM (SELECT attributes, unnest(json_keys(attributes)) AS key FROM contacts WHERE attributes IS NOT NULL))
        WHERE value IS NOT NULL AND value <> '' GROUP BY key ORDER BY key""")
    columns: list[ProfileColumn] = []
    taken: set[str] = set()
    for key, is_number, is_day, is_flag in kinds:
        name = name_in_rules(key)
        name = f"attribute_{name}" if name in BY_NAME or name == "person_id" else name
        if name in taken:
            n = next(i for i, c in enumerate(columns) if c.name == name)
            columns[n] = replace(
                columns[n], meaning=f"{columns[n].meaning}; '{key}' has the same name in rules and is not read"
            )
            continue
        taken.add(name)
        sql_type = "DOUBLE" if is_number else "DATE" if is_day else "BOOLEAN" if is_flag else "VARCHAR"
        path = "'$.\"" + key.replace('"', "").replace("'", "''").replace("{", "{{").replace("}", "}}") + "\"'"
        value = f"try_cast(nullif(json_extract_string(attributes, {path}), '') AS {sql_type})"
        columns.append(
            ProfileColumn(
                name, sql_type, f"free attribute '{key}'", "as given", "contact attributes", ("contacts",), "contact",
                f"arg_min({value}, place) FILTER ({value} IS NOT NULL)", is_personal=True,
            )
        )  # fmt: skip
    return tuple(columns)


def snapshot_columns(store: Store) -> tuple[ProfileColumn, ...]:
    """One column per undated aggregate of a platform, as it was on the as-of day."""
    names = store.sql("""
        SELECT name, bool_and(try_cast(value AS DOUBLE) IS NOT NULL) FROM snapshots WHERE value IS NOT NULL AND value <> ''
        GROUP BY name ORDER BY name""")
    columns = []
    for name, is_number in names:
        plain = "".join(c if c.isalnum() else "_" for c in name.lower()).strip("_")
        sql_type = "DOUBLE" if is_number else "VARCHAR"
        columns.append(
            ProfileColumn(
                f"platform_{plain}", sql_type, f"'{name}' as the platform counts it", "as given", "snapshots", ("contacts",),
                "snapshots", f"max(try_cast(nullif(value, '') AS {sql_type})) FILTER (name = {_text(name)})",
            )
        )  # fmt: skip
    return tuple({c.name: c for c in columns if c.name not in BY_NAME}.values())


def fields(store: Store) -> list[Field]:
    """Every column of the profile as it stands, with coverage and an example; examples of personal columns are withheld."""
    shape = dict(
        store.sql(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'profile' AND column_name NOT IN "
            "('person_id', 'person_n')"
        )
    )
    if not shape:
        return []
    known = {c.name: c for c in COLUMNS}
    for name, meaning, unit, source in store.sql("SELECT name, meaning, unit, source FROM profile_columns"):
        blank = ProfileColumn(name, shape.get(name, ""), meaning, unit, source, ("contacts",), "contact", "", is_personal=True)
        known[name] = replace(blank)
    total = int(store.value("SELECT count(*) FROM profile"))
    names = [n for n in shape if n in known]
    filled = _of_each(store, "count", names)
    shown = [n for n in names if not known[n].is_personal]
    examples = dict(zip(shown, _of_each(store, "mode", shown), strict=True))
    return [
        Field(
            n, shape[n], known[n].meaning, known[n].unit, known[n].source, known[n].needs, (count / total) if total else 0.0,
            _shown(examples.get(n)),
        )
        for n, count in zip(names, filled, strict=True)
    ]  # fmt: skip


def _of_each(store: Store, function: str, names: list[str]) -> list[Any]:
    """An aggregate of every column, some at a time: over all at once the database reserves gigabytes."""
    parts = [names[n : n + 50] for n in range(0, len(names), 50)]
    return [
        v for part in parts for v in store.sql(f"SELECT {', '.join(f'{function}({_plain(n)})' for n in part)} FROM profile")[0]
    ]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''").replace("{", "{{").replace("}", "}}") + "'"


def _plain(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(str(v) for v in value[:3])
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


__all__ = ["Field", "attribute_columns", "build", "fields", "profile_sql", "snapshot_columns"]
