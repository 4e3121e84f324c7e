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

from connector.columns import BY_NAME, COLUMNS, RFM_GRID, RFM_LEAST_BUYERS, ProfileColumn
from connector.config import Config
from connector.facts import marks, sources
from connector.store import Store
from models.segments import AsOf

log = logging.getLogger(__name__)


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
    """Fill the table `profile`, one row per person known at the as-of moment. Returns how many."""
    extra = attribute_columns(store)
    with store.transaction():
        store.sql(f"CREATE OR REPLACE TABLE profile AS {profile_sql(config, as_of, extra)}")
        store.sql("CREATE OR REPLACE TABLE profile_columns (name VARCHAR, meaning VARCHAR, unit VARCHAR, source VARCHAR)")
        for column in extra:
            store.sql(
                "INSERT INTO profile_columns VALUES (?, ?, ?, ?)", [column.name, column.meaning, column.unit, column.source]
            )
    count = int(store.value("SELECT count(*) FROM profile"))
    log.info("profile: %s people, %s columns", count, len(COLUMNS) + len(extra))
    return count


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


def profile_sql(config: Config, as_of: AsOf, extra: tuple[ProfileColumn, ...] = ()) -> str:
    """The profile as one SELECT of person_id and every column, as of any date: scores use it for features."""
    columns = (*COLUMNS, *extra)
    groups = {g: [c for c in columns if c.group == g] for g in dict.fromkeys(c.group for c in columns)}
    parts = [f"{name} AS ({body})" for name, body in sources().items()]
    for group in AGGREGATED:
        body = ",\n    ".join(f"{c.sql} AS {_quoted(c.name)}" for c in groups[group])
        parts.append(f"by_{group} AS (SELECT person_id,\n    {body}\n  FROM {AGGREGATED[group]} GROUP BY person_id)")
    parts.append(f"by_rank AS ({_rank_sql()})")
    picked = [f"{c.sql} AS {_quoted(c.name)}" for c in groups["person"]]
    picked += [_picked(c) for c in columns if c.group not in ("person", "derived")]
    joins = "\n  ".join(f"LEFT JOIN by_{g} ON by_{g}.person_id = p.person_id" for g in (*AGGREGATED, "rank"))
    parts.append(
        "joined AS (SELECT p.person_id, " + ", ".join(picked) + f"\n  FROM people AS p\n  {joins}\n"
        "  WHERE p.since IS NULL OR p.since < {until} OR by_orders.person_id IS NOT NULL OR by_events.person_id IS NOT NULL"
        " OR by_carts.person_id IS NOT NULL)"
    )
    final = ", ".join(f"{c.sql} AS {_quoted(c.name)}" if c.group == "derived" else _quoted(c.name) for c in columns)
    text = "WITH " + ",\n".join(parts) + f"\nSELECT person_id, {final} FROM joined"
    return text.format_map(marks(config, as_of))


AGGREGATED = {
    "contact": "contact_rows", "consent": "consent_rows", "orders": "order_rows", "refunds": "refund_rows",
    "lines": "line_rows", "taste": "taste_rows", "events": "event_rows",
    "reach": "reach_rows", "carts": "cart_rows",
    "subscriptions": "subscription_rows", "scores": "score_rows",
}  # fmt: skip
"""Group of columns -> the rows it is aggregated from."""


def _rank_sql() -> str:
    """Ranks among buyers. Ties in a fifth share the better-populated lower one; ties in money go by orders, then person."""
    cells = " ".join(
        f"WHEN rfm_r = {r} AND (rfm_f + rfm_m + 1) // 2 = {fm} THEN '{name}'"
        for r, names in RFM_GRID.items()
        for fm, name in enumerate(names, 1)
    )
    fifths = ", ".join(
        f"CASE WHEN n >= {RFM_LEAST_BUYERS} THEN CAST((5 * (rank() OVER (ORDER BY {of}) - 1)) // n + 1 AS INTEGER) END"
        f" AS rfm_{k}"
        for k, of in (("r", "last_order_on"), ("f", "orders_total"), ("m", "revenue_total"))
    )
    return f"""
    SELECT person_id, CAST(100 * place AS DOUBLE) / n AS spend_rank_pct, rfm_r, rfm_f, rfm_m, CASE {cells} END AS rfm_group
    FROM (
      SELECT person_id, place, n, {fifths}
      FROM (
        SELECT person_id, last_order_on, orders_total, revenue_total, count(*) OVER () AS n,
          row_number() OVER (ORDER BY revenue_total DESC, orders_total DESC, person_id) AS place
        FROM by_orders WHERE orders_total > 0))"""


def _picked(column: ProfileColumn) -> str:
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
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'profile' AND column_name <> 'person_id'"
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
