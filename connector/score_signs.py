"""What is known of buyers beside their orders, as dated rows. Reads the store, writes nothing.

A contract's next renewal has no history and is no input; when it began and ended is dated.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from connector.column import local_day
from connector.config import Config
from connector.facts import known_orders, marks, rows
from connector.score_people import places
from connector.store import Store
from models.scores import history, signs
from models.scores.history import Floats, Ints
from models.scores.signs import Signs
from models.segments import AsOf

Rows = tuple[Ints, Ints, Floats, Ints]
"""Places of people, days since 1970-01-01 in the shop's zone, values, days on which the order that says it was withdrawn."""

NEVER = 10_000_000
"""A day that does not come."""


def load(store: Store, config: Config, as_of: AsOf, people: list[str], *, is_mail_read: bool = True) -> Signs | None:
    """The signs known at the as-of moment; None where there are none. Mail that is half read would tell of silence that is none."""
    known = marks(config, as_of)
    at = places(store, people)
    place = {p: i for i, p in enumerate(people)}
    found = [
        (kind, _numbered(store, sql.format_map(known), at)) for kind, sql in _EVENTS.items() if is_mail_read or kind not in MAIL
    ]
    found += [
        (signs.CART, _numbered(store, _CARTS.replace("{carts}", rows()["cart_rows"]).format_map(known), at)),
        (
            signs.CONTRACT,
            _numbered(store, _CONTRACTS.replace("{contracts}", rows()["subscription_rows"]).format_map(known), at),
        ),
    ]
    found += [
        (kind, _named(store, sql.replace("{orders}", known_orders()).format_map(known), place)) for kind, sql in _ORDERS.items()
    ]
    parts = [(kind, r) for kind, r in found if len(r[0])]
    if not parts:
        return None
    kind = np.concatenate([np.full(len(r[0]), k, dtype=np.int64) for k, r in parts])
    person, day, gone = (np.concatenate([r[i] for _, r in parts]).astype(np.int64) for i in (0, 1, 3))
    value = np.concatenate([r[2] for _, r in parts])
    return Signs.of(person, day, kind, np.where(value >= NEVER, np.inf, value), gone)


def _numbered(store: Store, sql: str, at: Ints) -> Rows:
    """Rows of (number of a person, day, value)."""
    found = store.arrays(
        f"SELECT n, date_diff('day', DATE '1970-01-01', day) AS day, CAST(value AS DOUBLE) AS value FROM ({sql})"
    )
    return _kept(at[np.asarray(found["n"]).astype(np.int64)], found)


def _named(store: Store, sql: str, place: dict[str, int]) -> Rows:
    """Rows of (person id, day, value, day of withdrawal)."""
    found = store.arrays(f"""
        SELECT person_id, date_diff('day', DATE '1970-01-01', day) AS day, CAST(value AS DOUBLE) AS value,
          coalesce(date_diff('day', DATE '1970-01-01', gone), {history.NEVER}) AS gone FROM ({sql})""")
    return _kept(np.array([place.get(p, -1) for p in found["person_id"]], dtype=np.int64), found)


def _kept(person: Ints, found: dict[str, Any]) -> Rows:
    mine = person >= 0
    gone = np.asarray(found["gone"]) if "gone" in found else np.full(len(person), history.NEVER)
    day, value = np.asarray(found["day"]), np.asarray(found["value"])
    return person[mine], day[mine].astype(np.int64), value[mine].astype(float), gone[mine].astype(np.int64)


def _counted(*kinds: str) -> str:
    named = ", ".join(f"'{k}'" for k in kinds)
    return f"SELECT n, day, count(*) AS value FROM fact_events WHERE {{seen_events}} AND kind IN ({named}) GROUP BY n, day"


_EVENTS = {
    signs.MAILED: "SELECT n, min(day) AS day, 1 AS value FROM fact_events WHERE {seen_events} AND kind = 'sent' GROUP BY n",
    signs.ANSWER: _counted("open", "click"),
    signs.LEFT: _counted("unsubscribe", "complaint"),
    signs.VISIT: _counted("page_view", "product_view", "search"),
    signs.LOGIN: _counted("login"),
    signs.TICKET: _counted("ticket"),
    signs.RATING: "SELECT n, day, value FROM fact_events WHERE {seen_events} AND kind = 'rating' AND value IS NOT NULL",
}
"""Opens are human ones: those of machines are a kind of their own."""

MAIL = signs.GROUPS["mail"][0]

_CARTS = f"""
SELECT c.n, {local_day("c.started_at")} AS day,
  coalesce(date_diff('day', DATE '1970-01-01', least({local_day("min(c.completed_at)")}, min(o.ordered_on))), {NEVER}) AS value
FROM (WITH order_rows AS (SELECT * FROM fact_orders) {{carts}}) AS c
LEFT JOIN (
  SELECT n, ordered_at, ordered_on FROM fact_orders WHERE counts
  UNION ALL SELECT i.n, p.ordered_at, p.ordered_on FROM purchases AS p JOIN person_numbers AS i USING (person_id)
  WHERE p.why_not = 'cancelled' AND p.cancelled_at IS NOT NULL) AS o ON o.n = c.n AND o.ordered_at >= c.started_at
WHERE c.started_at IS NOT NULL GROUP BY c.n, c.started_at"""
"""A cart is left behind until it, or any other, becomes an order, also one that is cancelled later."""

_CONTRACTS = f"""
SELECT n, {local_day("started_at")} AS day,
  coalesce(date_diff('day', DATE '1970-01-01', {local_day("cancelled_at")}), {NEVER}) AS value
FROM ({{contracts}}) WHERE started_at IS NOT NULL"""

_GONE = f"CASE WHEN is_gone THEN {local_day('p.cancelled_at')} END AS gone"

_ORDERS = {
    signs.DISCOUNT: f"""
SELECT person_id, ordered_on AS day, CASE WHEN discount > 0 THEN 1 ELSE 0 END AS value, {_GONE} FROM ({{orders}}) AS p
WHERE counts AND discount IS NOT NULL""",
    signs.COUNTRY: f"""
SELECT p.person_id, p.ordered_on AS day, unicode(o.country[1]) * 100 + unicode(o.country[2]) AS value, {_GONE}
FROM ({{orders}}) AS p
JOIN orders AS o ON o.source = p.source AND o.stream = p.stream AND o.order_id = p.order_id
WHERE p.counts AND length(o.country) = 2""",
}
