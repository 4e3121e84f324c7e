"""Stage 5 of 10: one wide row a person, from one generated statement.

The columns stand in `connector/columns.py`. Here are the sources they are aggregated from. Definitions that hold for all:
orders are purchases that count, before the as-of moment; money is net, in the shop's currency; a window of N days begins N
shop days before the as-of day; an open is human unless the platform says it was a machine. What a platform holds without a
date (place, tags, lifecycle stage, consent) is as it stands now, whatever the as-of date.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from typing import Any

from connector.column import ProfileColumn
from connector.columns import BY_NAME, COLUMNS, RFM_GRID, RFM_LEAST_BUYERS
from connector.config import Config
from connector.facts import marks, rows
from connector.store import Store
from models.records import columns
from models.segments import AsOf

log = logging.getLogger(__name__)

GAPS_NEEDED = 20
GAP_GUESSED = 180
"""Days of silence taken for long before the shop has had enough repeat orders to tell."""


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

    `profile` is a view: what depends on facts stands in the table `profile_rows`, made for so many people at a time that
    the memory needed does not grow with the shop; what follows from those columns and today's date is computed on reading.
    """
    extra = (*attribute_columns(store), *snapshot_columns(store))
    with store.transaction():
        _drop(store)
        absent = _absent(store)
        everybody = marks(config, as_of)
        for group in LINKED:
            store.sql(f"CREATE OR REPLACE TEMP TABLE part_{group} AS {_part_sql(group, extra, absent).format_map(everybody)}")
        top = int(store.value("SELECT coalesce(max(n), 0) FROM person_numbers"))
        for low in range(0, top + 1, AT_ONCE):
            some = f"n BETWEEN {low} AND {low + AT_ONCE - 1}"
            head = "INSERT INTO profile_rows" if low else "CREATE TABLE profile_rows AS"
            store.sql(f"{head} {_core_sql(extra, absent, LINKED).format_map(marks(config, as_of, some))}")
        for group in LINKED:
            store.sql(f"DROP TABLE part_{group}")
        store.sql(f"CREATE TABLE profile_ranks AS {rank_sql('profile_rows')}")
        store.sql(f"CREATE TABLE profile_shop AS {SHOP_SQL.format_map(everybody)}")
        view = _whole_sql(extra, "profile_rows", "profile_ranks", "profile_shop", shown="person_id, person_n")
        store.sql(f"CREATE VIEW profile AS {view.format_map(everybody)}")
        store.sql("CREATE OR REPLACE TABLE profile_columns (name VARCHAR, meaning VARCHAR, unit VARCHAR, source VARCHAR)")
        for column in extra:
            store.sql(
                "INSERT INTO profile_columns VALUES (?, ?, ?, ?)", [column.name, column.meaning, column.unit, column.source]
            )
    count = int(store.value("SELECT count(*) FROM profile_rows"))
    log.info("profile: %s people, %s columns", count, len(COLUMNS) + len(extra))
    return count


def _drop(store: Store) -> None:
    """`profile` was a table in earlier versions."""
    is_table = store.value("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'profile'")
    store.sql("DROP TABLE profile" if is_table else "DROP VIEW IF EXISTS profile")
    for table in ("profile_rows", "profile_ranks", "profile_shop"):
        store.sql(f"DROP TABLE IF EXISTS {table}")


def attribute_columns(store: Store) -> tuple[ProfileColumn, ...]:
    """One column per free attribute found on contacts: a number, a day or yes/no where every value is one, else text."""
    kinds = store.sql("""
        SELECT key, bool_and(try_cast(value AS DOUBLE) IS NOT NULL), bool_and(try_cast(value AS DATE) IS NOT NULL),
          bool_and(lower(value) IN ('true', 'false'))
        FROM (SELECT key, json_extract_string(attributes, '$."' || replace(key, '"', '') || '"') AS value
              FROM (SELECT attributes, unnest(json_keys(attributes)) AS key FROM contacts WHERE attributes IS NOT NULL))
        WHERE value IS NOT NULL AND value <> '' GROUP BY key ORDER BY key""")
    columns: list[ProfileColumn] = []
    taken = {"person_id", *BY_NAME}
    for key, is_number, is_day, is_flag in kinds:
        name = "".join(c if c.isalnum() else "_" for c in key.lower()).strip("_") or "attribute"
        name = f"a_{name}" if name[0].isdigit() else name
        name = f"attribute_{name}" if name in taken else name
        if name in taken:
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


def profile_sql(config: Config, as_of: AsOf, extra: tuple[ProfileColumn, ...] = ()) -> str:
    """The profile as one SELECT of person_id and every column, as of any date: scores use it for features."""
    text = f"""
        WITH core AS ({_core_sql(extra)}), ranks AS ({rank_sql("core")}), shop AS ({SHOP_SQL})
        {_whole_sql(extra, "core", "ranks", "shop", shown="person_id")}"""
    return text.format_map(marks(config, as_of))


AGGREGATED = {
    "contact": "contact_rows", "addresses": "address_rows", "consent": "consent_rows", "orders": "order_rows",
    "refunds": "refund_rows", "visits": "visit_rows", "taste": "taste_rows", "gaining": "gaining_rows", "events": "kind_rows",
    "interests": "interest_rows", "answers": "answer_rows", "warmth": "warm_rows",
    "reach": "reach_rows", "carts": "cart_rows",
    "subscriptions": "subscription_rows", "scores": "score_rows", "snapshots": "snapshot_rows",
}  # fmt: skip
"""Group of columns -> the rows it is aggregated from."""

NOT_STORED = ("derived", "rank")

WHO = ("orders", "events", "carts")
"""Groups that make somebody a known person even before the first contact record."""

AT_ONCE = 131_072
"""People whose rows are made by one statement."""

SHOP_SQL = f"""
    SELECT CASE WHEN count(gap_days) >= {GAPS_NEEDED} THEN quantile_disc(gap_days, CAST(0.5 AS DOUBLE)) END AS shop_usual_gap,
      CASE WHEN count(gap_days) >= {GAPS_NEEDED} THEN greatest(1, quantile_disc(gap_days, CAST(0.9 AS DOUBLE)))
        ELSE {GAP_GUESSED} END AS shop_long_gap
    FROM fact_orders WHERE gap_days > 0 AND {{seen_orders}}"""
"""The shop's own buying rhythm: the middle of all gaps between two orders, and the one nine of ten stay below."""


def _absent(store: Store) -> frozenset[str]:
    """Names of the columns nobody can have a value of: no record with the field, no event of the kind. They cost nothing."""
    fields = [c.name for c in columns("contacts")]
    filled = store.sql(f"SELECT {', '.join(f'count({_plain(f)})' for f in fields)} FROM contacts")[0]
    empty_fields = {f for f, count in zip(fields, filled, strict=True) if not count}
    kinds = {k for (k,) in store.sql("SELECT DISTINCT CAST(kind AS VARCHAR) FROM fact_events")}
    empty_groups = {g for g, test in GROUP_TESTS.items() if not store.sql(f"SELECT 1 FROM {test} LIMIT 1")}
    found = set()
    for column in COLUMNS:
        words = set(re.findall(r"\w+", column.sql))
        mine = words & set(fields)
        is_without_field = column.group == "contact" and bool(mine) and mine <= empty_fields
        is_without_kind = column.group in ("events", "answers") and not words & kinds
        if column.group in empty_groups or is_without_field or is_without_kind:
            found.add(column.name)
    return frozenset(found)


GROUP_TESTS = {
    "addresses": "addresses", "consent": "consents", "refunds": "refunds", "taste": "fact_lines", "gaining": "fact_lines",
    "visits": "orders WHERE coalesce(landing_page, traffic_source, utm_source, utm_campaign) IS NOT NULL",
    "interests": "fact_topics", "carts": "carts", "subscriptions": "subscriptions", "scores": "scores",
    "events": "fact_events", "answers": "fact_events", "warmth": "fact_events", "reach": "fact_events",
}  # fmt: skip


LINKED = ("contact", "addresses", "consent", "refunds", "visits", "carts", "subscriptions", "scores", "snapshots")
"""Groups whose rows are found by text ids: made once for everybody, for those tables are not sorted by person."""


def _part_sql(group: str, extra: tuple[ProfileColumn, ...], absent: frozenset[str]) -> str:
    """One group of columns alone, for everybody."""
    own = [c for c in (*COLUMNS, *extra) if c.group == group and c.name not in absent]
    body = "".join(f", {c.sql} AS {_quoted(c.name)}" for c in own)
    parts = ",\n".join(f"{name} AS NOT MATERIALIZED ({body})" for name, body in rows().items())
    return f"WITH {parts} SELECT n{body} FROM {AGGREGATED[group]} GROUP BY n"


def _core_sql(extra: tuple[ProfileColumn, ...], absent: frozenset[str] = frozenset(), made: tuple[str, ...] = ()) -> str:
    """What is stored of each of some people. `made`: groups that stand in tables already."""
    every = (*COLUMNS, *extra)
    groups = {g: [c for c in every if c.group == g and c.name not in absent] for g in (*AGGREGATED, "person")}
    parts = [f"{name} AS {'' if name == 'taste_rows' else 'NOT '}MATERIALIZED ({body})" for name, body in rows().items()]
    for group, source in AGGREGATED.items():
        if not groups[group] and group not in WHO:
            continue
        if group in made:
            parts.append(f"by_{group} AS (SELECT * FROM part_{group} WHERE {{some}})")
            continue
        body = "".join(f",\n    {c.sql} AS {_quoted(c.name)}" for c in groups[group])
        parts.append(f"by_{group} AS (SELECT n{body}\n  FROM {source} GROUP BY n)")
    picked = [f"{c.sql} AS {_quoted(c.name)}" for c in groups["person"]]
    picked += [_picked(c, c.name in absent) for c in every if c.group not in (*NOT_STORED, "person")]
    joins = "\n  ".join(f"LEFT JOIN by_{g} ON by_{g}.n = p.n" for g in AGGREGATED if groups[g] or g in WHO)
    return (
        "WITH " + ",\n".join(parts) + f"\nSELECT p.n AS person_n, p.person_id, {', '.join(picked)}"
        "\n  FROM (SELECT i.n, q.* FROM people AS q JOIN person_numbers AS i USING (person_id) WHERE {some}) AS p"
        f"\n  {joins}\n  WHERE p.since IS NULL OR p.since < {{until}} OR by_orders.n IS NOT NULL OR by_events.n IS NOT NULL"
        " OR by_carts.n IS NOT NULL"
    )


def _whole_sql(extra: tuple[ProfileColumn, ...], core: str, ranks: str, shop: str, *, shown: str) -> str:
    """Every column, from the stored ones, the ranks and the shop's own figures; later columns may use earlier ones."""
    every = (*COLUMNS, *extra)
    stored = ", ".join(f"c.{_quoted(c.name)}" for c in every if c.group not in NOT_STORED)
    ranked = ", ".join(f"r.{_quoted(c.name)}" for c in every if c.group == "rank")
    inner = f"SELECT c.person_id, c.person_n, {stored}, {ranked}, s.* FROM {core} AS c CROSS JOIN {shop} AS s "
    inner += f"LEFT JOIN {ranks} AS r ON r.person_n = c.person_n"
    for column in (c for c in every if c.group == "derived"):
        value = f"CAST({column.sql} AS {column.sql_type}) AS {_quoted(column.name)}"
        inner = inner if column.name in LATE else inner.replace(", s.*", f", s.*, {value}", 1)
    for name in LATE:
        inner = f"SELECT *, CAST({BY_NAME[name].sql} AS {BY_NAME[name].sql_type}) AS {_quoted(name)} FROM ({inner})"
    return f"SELECT {shown}, {', '.join(_quoted(c.name) for c in every)} FROM ({inner})"


LATE = ("usual_gap_days", "lateness", "lifecycle", "engagement_score")
"""Columns that are made from other columns of the view, in this order."""


def rank_sql(core: str) -> str:
    """Ranks among buyers. Ties in a fifth share the better-populated lower one; ties in money go by orders, then person."""
    cells = " ".join(
        f"WHEN rfm_r = {r} AND (rfm_f + rfm_m + 1) // 2 = {fm} THEN '{name}'"
        for r, names in RFM_GRID.items()
        for fm, name in enumerate(names, 1)
    )
    fifths = ", ".join(
        f"CASE WHEN n >= {RFM_LEAST_BUYERS} AND {of} IS NOT NULL"
        f" THEN CAST((5 * (rank() OVER (ORDER BY {of} NULLS FIRST) - 1)) // n + 1 AS INTEGER) END"
        f" AS rfm_{k}"
        for k, of in (("r", "last_order_on"), ("f", "orders_total"), ("m", "revenue_total"))
    )
    return f"""
    SELECT person_n, CAST(100 * place AS DOUBLE) / n AS spend_rank_pct, rfm_r, rfm_f, rfm_m, CASE {cells} END AS rfm_group
    FROM (
      SELECT person_n, place, n, {fifths}
      FROM (
        SELECT person_n, last_order_on, orders_total, revenue_total, count(*) OVER () AS n,
          row_number() OVER (ORDER BY revenue_total DESC, orders_total DESC, person_id) AS place
        FROM {core} WHERE orders_total > 0))"""


def cut_points(store: Store) -> dict[str, list[str]]:
    """The lowest value of each fifth, 1 to 5, of recency (day), frequency (orders) and money; empty below 50 buyers."""
    found = {}
    for name, of in (("rfm_r", "last_order_on"), ("rfm_f", "orders_total"), ("rfm_m", "revenue_total")):
        fifths = store.sql(f"SELECT {name}, min({of}) FROM profile WHERE {name} IS NOT NULL GROUP BY 1 ORDER BY 1")
        found[name] = [f"{fifth}: from {value}" for fifth, value in fifths]
    return found


def _picked(column: ProfileColumn, is_absent: bool) -> str:
    if is_absent:
        return f"CAST({column.empty} AS {column.sql_type}) AS {_quoted(column.name)}"
    value = f"by_{column.group}.{_quoted(column.name)}"
    if column.name == "tags":
        value = f"list_filter({value}, lambda t: NOT starts_with(lower(t), '{{prefix}}'))"
    if column.empty != "NULL":
        value = f"coalesce({value}, {column.empty})"
    return f"CAST({value} AS {column.sql_type}) AS {_quoted(column.name)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("{", "{{").replace("}", "}}") + '"'


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
    filled = store.sql(f"SELECT {', '.join(f'count({_plain(n)})' for n in names)} FROM profile")[0]
    shown = [n for n in names if not known[n].is_personal]
    examples = dict(
        zip(shown, store.sql(f"SELECT {', '.join(f'mode({_plain(n)})' for n in shown)} FROM profile")[0], strict=True)
    )
    return [
        Field(
            n, shape[n], known[n].meaning, known[n].unit, known[n].source, known[n].needs, (count / total) if total else 0.0,
            _shown(examples.get(n)),
        )
        for n, count in zip(names, filled, strict=True)
    ]  # fmt: skip


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
