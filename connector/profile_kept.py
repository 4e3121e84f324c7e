"""What of the last profile still holds, and who has news since: so that a night, and even more an hour, costs little.

Lasting columns hold for everybody without news as long as nothing in the store lies in the future; dated ones moreover only
on the same day. With an explicit as-of date, another configuration or another version of the columns all is made anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime

import orjson

from connector.config import Config
from connector.facts import marks
from connector.news import facts_state
from connector.profile_sql import LINKED, Columns, dated_sql, lasting_sql, part_sql
from connector.store import Store
from models.segments import AsOf

NOT_CONSTANT = ("day", "until", "some", "seen_orders", "seen_events", "is_past")

MOVING = ("carts", "subscriptions", "scores", "score_cards", "figures", "figure_names")
"""Tables behind dated columns that may change, or take effect, without a record of the person changing."""

LINKED_TABLES = ("consents", "addresses", "companies")

LATER = (
    "SELECT 1 FROM fact_orders WHERE ordered_at >= $until", "SELECT 1 FROM fact_events WHERE happened >= $until",
    "SELECT 1 FROM refunds WHERE refunded_at >= $until", "SELECT 1 FROM orders WHERE ordered_at >= $until",
    "SELECT 1 FROM people WHERE since >= $until",
    "SELECT 1 FROM carts WHERE greatest(started_at, updated_at, completed_at) >= $until",
    "SELECT 1 FROM subscriptions WHERE greatest(started_at, cancelled_at) >= $until",
)  # fmt: skip
"""Rows that time alone would bring into sight later. What comes after the profile was made is news of its people."""

SEEN_SQL = """
    SELECT n, sum(h) AS h FROM (
      SELECT l.n, hash('contact', c) AS h FROM contacts AS c JOIN fact_links AS l USING (source, contact_id)
      UNION ALL SELECT l.n, hash('consent', c) FROM consents AS c JOIN fact_links AS l USING (source, contact_id)
      UNION ALL SELECT l.n, hash('address', c) FROM addresses AS c JOIN fact_links AS l USING (source, contact_id)
      UNION ALL SELECT l.n, hash('company', y.industry, y.employees) FROM contacts AS c
        JOIN companies AS y ON y.source = c.source AND y.company_id = c.company_id
        JOIN fact_links AS l ON l.source = c.source AND l.contact_id = c.contact_id
      UNION ALL SELECT i.n, hash('person', p) FROM people AS p JOIN person_numbers AS i USING (person_id)
    ) GROUP BY n"""
"""A number for each person that changes with any record their columns are made from, facts apart."""

FEW = 0.2
"""With news about a larger share of the people everything is made anew: it costs no more and leaves the rows sorted."""


@dataclass(frozen=True)
class Kept:
    """`is_lasting`, `is_dated`: whether the rows of that table hold for everybody but those in `profile_news`."""

    is_lasting: bool
    is_dated: bool
    state: dict[str, str]


def find(store: Store, config: Config, as_of: AsOf, extra: Columns, absent: frozenset[str]) -> Kept:
    """What still holds. Leaves the temporary tables profile_news(n) and profile_seen_now(n, h)."""
    state = _state(store, config, as_of, extra, absent)
    found = store.value("SELECT value FROM meta WHERE name = 'profile_state'")
    before: dict[str, str] = orjson.loads(found) if found and _stands(store) else {}
    store.sql("CREATE OR REPLACE TEMP TABLE profile_news (n INTEGER)")
    if before.keys() != state.keys() or before["shape"] != state["shape"] or not _is_known(store, before):
        before = {}
    is_same = before and all(before[of] == state[of] for of in ("facts", "linked"))
    if is_same and not store.sql("SELECT 1 FROM fact_news LIMIT 1"):
        store.sql("CREATE OR REPLACE TEMP TABLE profile_seen_now AS SELECT person_n AS n, h FROM profile_seen")
    else:
        store.sql(f"CREATE OR REPLACE TEMP TABLE profile_seen_now AS {SEEN_SQL}")
    if not before or as_of.is_given or before["later"] or as_of.until_utc < datetime.fromisoformat(before["until"]):
        return Kept(False, False, state)
    store.sql("""
        INSERT INTO profile_news
        SELECT coalesce(a.person_n, b.n) FROM profile_seen AS a FULL JOIN profile_seen_now AS b ON b.n = a.person_n
        WHERE a.h IS DISTINCT FROM b.h UNION SELECT n FROM fact_news""")
    news, people = store.sql("SELECT (SELECT count(*) FROM profile_news), (SELECT count(*) FROM profile_seen)")[0]
    if news > FEW * people:
        return Kept(False, False, state)
    is_same_day = date.fromisoformat(before["day"]) == as_of.day and before["moving"] == state["moving"]
    return Kept(True, is_same_day, state)


def _stands(store: Store) -> bool:
    """Whether the tables are there that notes in `meta` speak of; a backup holds the notes alone."""
    held = {str(t) for (t,) in store.sql("SELECT table_name FROM duckdb_tables() WHERE NOT temporary")}
    return held.issuperset(("profile_rows", "profile_dated", "profile_seen", "fact_news"))


def _is_known(store: Store, before: dict[str, str]) -> bool:
    """Whether fact_news tells whose facts have changed since the last profile; it grows until a profile is made."""
    return bool(store.value("SELECT value FROM meta WHERE name = 'fact_news_since'") == before["facts"])


def remember(store: Store, kept: Kept) -> None:
    """Call when the profile stands, in the same transaction."""
    store.sql("CREATE OR REPLACE TABLE profile_seen AS SELECT n AS person_n, h FROM profile_seen_now")
    for table in ("profile_seen_now", "profile_news"):
        store.sql(f"DROP TABLE {table}")
    store.sql("CREATE OR REPLACE TABLE fact_news (n INTEGER)")
    store.sql("DELETE FROM meta WHERE name IN ('profile_state', 'fact_news_since')")
    store.insert(
        "meta",
        [{"name": "profile_state", "value": orjson.dumps(kept.state).decode()},
         {"name": "fact_news_since", "value": kept.state["facts"]}],
    )  # fmt: skip


def _state(store: Store, config: Config, as_of: AsOf, extra: Columns, absent: frozenset[str]) -> dict[str, str]:
    constant = {k: v for k, v in marks(config, as_of).items() if k not in NOT_CONSTANT}
    made = (lasting_sql(extra, absent), dated_sql(extra, absent), *(part_sql(group, extra, absent) for group in LINKED))
    shape = repr((made, SEEN_SQL, LATER, sorted(constant.items())))  # the very statements: another program makes all anew
    return {
        "shape": "" if as_of.is_given else hashlib.sha256(shape.encode()).hexdigest(),  # the past is nothing to go on from
        "facts": facts_state(store),
        "later": "yes" if any(store.sql(f"{q} LIMIT 1", {"until": as_of.until_utc}) for q in LATER) else "",
        "linked": _digest(store, LINKED_TABLES),
        "moving": _digest(store, MOVING),
        "day": as_of.day.isoformat(),
        "until": as_of.until_utc.isoformat(),
    }


def _digest(store: Store, tables: tuple[str, ...]) -> str:
    found = [store.sql(f"SELECT count(*), sum(hash(t)) FROM {table} AS t")[0] for table in tables]
    return hashlib.sha256(repr(found).encode()).hexdigest()
