"""The SQL of the profile, put together from the columns. `connector/profile.py` runs it and keeps the result.

Columns that only count up (how much ever, when first, what last) are *lasting*: with no news of a person they hold from one
day to the next. *Dated* ones look back a number of days. The two stand in tables of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from connector.column import ProfileColumn
from connector.columns import BY_NAME, COLUMNS, RFM_GRID, RFM_LEAST_BUYERS
from connector.columns_scores import CARDS_SQL
from connector.config import Config
from connector.facts import has_place, marks, rows
from connector.store import Store
from models.records import columns
from models.segments import AsOf

GAPS_NEEDED = 20
GAP_GUESSED = 180
"""Days of silence taken for long before the shop has had enough repeat orders to tell."""

Columns = tuple[ProfileColumn, ...]


def profile_sql(config: Config, as_of: AsOf, extra: Columns = ()) -> str:
    """The profile as one SELECT of person_id and every column, as of any date: scores use it for features."""
    text = f"""
        WITH core AS ({core_sql(extra)}), ranks AS ({rank_sql("core")}), shop AS ({SHOP_SQL})
        {whole_sql(extra, "core", "ranks", "shop", shown="person_id")}"""
    return text.format_map(marks(config, as_of))


AGGREGATED = {
    "contact": "contact_rows", "addresses": "address_rows", "consent": "consent_rows", "orders": "order_rows",
    "refunds": "refund_rows", "visits": "visit_rows", "taste": "taste_rows", "vendors": "vendor_rows", "gaining": "gaining_rows",
    "events": "event_rows", "interests": "interest_rows", "answers": "answer_rows", "warmth": "warm_rows",
    "reach": "reach_rows", "carts": "cart_rows",
    "subscriptions": "subscription_rows", "scores": "score_rows", "snapshots": "snapshot_rows",
}  # fmt: skip
"""Group of columns -> the rows it is aggregated from."""

NOT_STORED = ("derived", "rank")

WHO = ("orders", "events", "carts")
"""Groups that make somebody a known person even before the first contact record."""

ALWAYS_DATED = ("gaining", "warmth", "reach", "carts", "subscriptions", "scores", "snapshots")
"""Groups whose rows themselves depend on the date, or on tables that change without a record of the person changing."""

RECENT = {"orders": "recent_orders", "events": "recent_events"}
"""Group -> the rows its dated columns are aggregated from: those of the widest window, a year."""


def is_dated(column: ProfileColumn) -> bool:
    if column.group in ALWAYS_DATED:
        return True
    return column.group in AGGREGATED and bool(re.search(r"(?<!\{)\{(day\}|from_)", column.sql))


RHYTHM_SQL = f"""
    SELECT CASE WHEN count(gap_days) >= {GAPS_NEEDED} THEN quantile_disc(gap_days, CAST(0.5 AS DOUBLE)) END AS shop_usual_gap,
      CASE WHEN count(gap_days) >= {GAPS_NEEDED} THEN greatest(1, quantile_disc(gap_days, CAST(0.9 AS DOUBLE)))
        ELSE {GAP_GUESSED} END AS shop_long_gap
    FROM {{orders}} WHERE gap_days > 0 AND {{seen_orders}}"""
"""The shop's own buying rhythm: the middle of all gaps between two orders, and the one nine of ten stay below."""

SHOP_SQL = f"SELECT * FROM ({RHYTHM_SQL}) CROSS JOIN ({CARDS_SQL})"


def absent_columns(store: Store) -> frozenset[str]:
    """Names of the columns nobody can have a value of: no record with the field, no event of the kind. They cost nothing."""
    fields = [c.name for c in columns("contacts")]
    filled = store.sql(f"SELECT {', '.join(f'count({quoted(f)})' for f in fields)} FROM contacts")[0]
    empty_fields = {f for f, count in zip(fields, filled, strict=True) if not count}
    kinds = {k for (k,) in store.sql("SELECT kind FROM fact_kinds")}
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
    "addresses": f"(SELECT 1 FROM addresses UNION ALL SELECT 1 FROM orders AS t WHERE {has_place('t')})",
    "consent": "consents", "refunds": "refunds", "taste": "fact_lines", "gaining": "fact_lines",
    "vendors": "fact_products WHERE vendor IS NOT NULL",
    "visits": "orders WHERE coalesce(landing_page, traffic_source, utm_source, utm_campaign) IS NOT NULL",
    "interests": "fact_topics", "carts": "carts", "subscriptions": "subscriptions", "scores": "scores",
    "events": "fact_events", "answers": "fact_events", "warmth": "fact_events", "reach": "fact_events",
}  # fmt: skip


LINKED = ("contact", "addresses", "consent", "refunds", "visits", "carts", "subscriptions", "scores", "snapshots")
"""Groups whose rows are found by text ids: made once for everybody, for those tables are not sorted by person."""

MATERIALIZED = ("half_year_rows",)


def part_sql(group: str, extra: Columns, absent: frozenset[str]) -> str:
    """One group of columns alone, for everybody {some} leaves."""
    own = [c for c in (*COLUMNS, *extra) if c.group == group and c.name not in absent]
    body = "".join(f", {c.sql} AS {quoted(c.name)}" for c in own)
    return f"{_sources([AGGREGATED[group]])} SELECT n{body} FROM {AGGREGATED[group]} GROUP BY n"


def _sources(wanted: Iterable[str]) -> str:
    """WITH and the sources that are used, those they are made of included."""
    known, found, todo = rows(), set[str](), list(wanted)
    while todo:
        if (name := todo.pop()) not in found:
            found.add(name)
            todo += [other for other in known if re.search(rf"\b{other}\b", known[name])]
    return "WITH " + ",\n".join(
        f"{n} AS {'' if n in MATERIALIZED else 'NOT '}MATERIALIZED ({body})" for n, body in known.items() if n in found
    )


def lasting_sql(extra: Columns, absent: frozenset[str], made: tuple[str, ...] = LINKED) -> str:
    """Person and lasting columns of some people. `made`: groups that stand in tables already."""
    return _rows_sql(extra, absent, made, lambda c: not is_dated(c), is_whole=True)


def dated_sql(extra: Columns, absent: frozenset[str], made: tuple[str, ...] = LINKED) -> str:
    """The dated columns of the same people, by their number."""
    return _rows_sql(extra, absent, made, is_dated, is_whole=False)


def core_sql(extra: Columns) -> str:
    """Both at once, without any table of ours but the facts."""
    return _rows_sql(extra, frozenset(), (), lambda c: True, is_whole=True)


def _rows_sql(
    extra: Columns, absent: frozenset[str], made: tuple[str, ...], is_wanted: Callable[[ProfileColumn], bool], *, is_whole: bool
) -> str:
    every = [c for c in (*COLUMNS, *extra) if c.group not in NOT_STORED and is_wanted(c)]
    groups = {g: [c for c in every if c.group == g and c.name not in absent] for g in AGGREGATED}
    used = [g for g in AGGREGATED if groups[g] or (is_whole and g in WHO)]
    sources = {g: AGGREGATED[g] if is_whole else RECENT.get(g, AGGREGATED[g]) for g in used if g not in made}
    parts = [_sources(sources.values())] if sources else ["WITH nothing AS (SELECT 1)"]
    for group in used:
        body = "".join(f",\n    {c.sql} AS {quoted(c.name)}" for c in groups[group])
        source = f"SELECT n{body}\n  FROM {sources[group]} GROUP BY n" if group in sources else _made(group, groups[group])
        parts.append(f"by_{group} AS ({source})")
    picked = [f"{c.sql} AS {quoted(c.name)}" for c in every if c.group == "person"]
    joined = [c for c in every if c.group != "person"]
    picked += [_shipped(c, absent) if c.group == "addresses" else _picked(c, c.name in absent) for c in joined]
    joins = "\n  ".join(f"LEFT JOIN by_{g} ON by_{g}.n = p.n" for g in used)
    if is_whole:
        head = "p.n AS person_n, p.person_id"
        people = "SELECT i.n, q.* FROM people AS q JOIN person_numbers AS i USING (person_id) WHERE {some}"
        known = " WHERE p.since IS NULL OR p.since < {until} OR " + " OR ".join(f"by_{g}.n IS NOT NULL" for g in WHO)
    else:
        head, people, known = "p.n AS person_n", "SELECT * FROM (SELECT person_n AS n FROM profile_rows) WHERE {some}", ""
    return ",\n".join(parts) + f"\nSELECT {', '.join([head, *picked])}\n  FROM ({people}) AS p\n  {joins}\n {known}"


def _made(group: str, own: list[ProfileColumn]) -> str:
    picked = "".join(f", {quoted(c.name)}" for c in own)
    return f"SELECT n{picked} FROM part_{group} WHERE {{some}}"


def whole_sql(extra: Columns, core: str, ranks: str, shop: str, *, shown: str) -> str:
    """Every column, from the stored ones, the ranks and the shop's own figures; later columns may use earlier ones."""
    every = (*COLUMNS, *extra)
    stored = ", ".join(f"c.{quoted(c.name)}" for c in every if c.group not in NOT_STORED)
    ranked = ", ".join(f"r.{quoted(c.name)}" for c in every if c.group == "rank")
    inner = f"SELECT c.person_id, c.person_n, {stored}, {ranked}, s.* FROM {core} AS c CROSS JOIN {shop} AS s "
    inner += f"LEFT JOIN {ranks} AS r ON r.person_n = c.person_n"
    for column in (c for c in every if c.group == "derived"):
        value = f"CAST({column.sql} AS {column.sql_type}) AS {quoted(column.name)}"
        inner = inner if column.name in LATE else inner.replace(", s.*", f", s.*, {value}", 1)
    for name in LATE:
        inner = f"SELECT *, CAST({BY_NAME[name].sql} AS {BY_NAME[name].sql_type}) AS {quoted(name)} FROM ({inner})"
    return f"SELECT {shown}, {', '.join(quoted(c.name) for c in every)} FROM ({inner})"


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


def _picked(column: ProfileColumn, is_absent: bool) -> str:
    if is_absent:
        return f"CAST({column.empty} AS {column.sql_type}) AS {quoted(column.name)}"
    value = f"by_{column.group}.{quoted(column.name)}"
    if column.name == "tags":
        value = f"list_filter({value}, lambda t: NOT starts_with(lower(t), '{{prefix}}'))"
    if column.empty != "NULL":
        value = f"coalesce({value}, {column.empty})"
    return f"CAST({value} AS {column.sql_type}) AS {quoted(column.name)}"


def _shipped(column: ProfileColumn, absent: frozenset[str]) -> str:
    """Where nothing says where goods go, they go to the person's place."""
    own, name = f"by_addresses.{quoted(column.name)}", column.name.removeprefix("shipping_")
    value = column.empty if name in absent else f"by_contact.{quoted(name)}"
    if column.name not in absent:
        value = f"CASE WHEN by_addresses.n IS NULL THEN {value} ELSE {own} END"
    return f"CAST({value} AS {column.sql_type}) AS {quoted(column.name)}"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""').replace("{", "{{").replace("}", "}}") + '"'
