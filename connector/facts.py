"""Dated rows with their person: what the profile's columns and the rules' event measures are aggregated from.

Every query here is text with the marks of `connector/columns.py`; names of one refer to others (`line_rows` reads
`line_orders` reads `order_rows`), so they are used as common table expressions, in the order given.
"""

from __future__ import annotations

from datetime import date, timedelta

from connector.clock import midnight_utc
from connector.columns import HUMAN_OPEN
from connector.config import Config
from models.segments import AsOf

ANSWERS = (
    "erased",
    "unsubscribed",
    "subscribed",
    "pending",
    "transactional",
    "not_specified",
    "never_asked",
    "archived",
    "dead",
)
"""Of several answers about one channel the first of these is shown: a no anywhere, else a yes, else what is known."""


class Marks(dict[str, str]):
    """The marks of one as-of date; `from_N` is made for any N when it is asked for."""

    def __init__(self, day: date, timezone: str, known: dict[str, str]) -> None:
        super().__init__(known)
        self._day = day
        self._timezone = timezone

    def __missing__(self, key: str) -> str:
        if not key.startswith("from_"):
            raise KeyError(key)
        start = midnight_utc(self._day - timedelta(days=int(key[5:])), self._timezone)
        return f"TIMESTAMP '{start.isoformat(sep=' ')}'"


def marks(config: Config, as_of: AsOf) -> Marks:
    """What the marks in the SQL of `columns.py` and of this file stand for, as of a date in this shop."""
    return Marks(
        as_of.day,
        config.shop.timezone,
        {
            "day": f"DATE '{as_of.day.isoformat()}'",
            "until": f"TIMESTAMP '{as_of.until_utc.isoformat(sep=' ')}'",
            "currency": config.shop.currency,
            "timezone": config.shop.timezone,
            "prefix": config.push.prefix.lower().replace("'", "''"),
            "may_mail_unasked": "FALSE" if config.hubspot is None or config.hubspot.legal_basis else "TRUE",
        },
    )


def sources() -> dict[str, str]:
    """The rows behind each group, each with its person_id."""
    return {
        "contact_rows": _CONTACTS,
        "consent_rows": _CONSENTS.replace("{weights}", " ".join(f"WHEN '{a}' THEN {i}" for i, a in enumerate(ANSWERS))),
        "order_rows": """
            SELECT * REPLACE (coalesce(net, total) AS net) FROM purchases
            WHERE person_id IS NOT NULL AND ordered_at < {until} AND (counts OR why_not = 'refund')""",
        "refund_rows": """
            SELECT o.person_id, r.refunded_at FROM order_rows AS o
            JOIN refunds AS r ON r.source = o.source AND r.order_id = o.order_id WHERE r.refunded_at < {until}""",
        "line_orders": """
            SELECT person_id, purchase_id, ordered_on, currency, source, stream, order_id
            FROM order_rows WHERE counts AND copies = 1
            UNION ALL
            SELECT o.person_id, o.purchase_id, o.ordered_on, o.currency, c.source, c.stream, c.order_id
            FROM order_rows AS o
            JOIN purchase_copies AS c ON c.purchase_id = o.purchase_id
            JOIN (SELECT DISTINCT source, order_id FROM order_lines) AS h ON h.source = c.source AND h.order_id = c.order_id
            WHERE o.counts AND o.copies > 1
            QUALIFY row_number() OVER (PARTITION BY o.purchase_id
              ORDER BY CASE WHEN c.source = o.source AND c.stream = o.stream THEN 0 ELSE 1 END, c.source, c.stream) = 1""",
        "line_rows": """
            SELECT o.person_id, o.purchase_id, o.ordered_on, l.quantity, l.amount, coalesce(l.category, p.category) AS category,
              coalesce(l.product_id, l.sku, l.title) AS product, coalesce(l.title, p.title) AS title,
              coalesce(l.currency, o.currency) AS currency
            FROM line_orders AS o
            JOIN order_lines AS l ON l.source = o.source AND l.order_id = o.order_id
              AND (l.source = 'import' OR l.stream = o.stream)
            LEFT JOIN products AS p ON p.source = l.source AND p.product_id = l.product_id""",
        "taste_rows": """
            SELECT person_id, category, spent,
              row_number() OVER (PARTITION BY person_id ORDER BY spent DESC, n DESC, category) AS place
            FROM (SELECT person_id, category, coalesce(sum(amount), 0) AS spent, count(*) AS n
                  FROM line_rows WHERE category IS NOT NULL GROUP BY person_id, category)""",
        "event_rows": _linked(
            "events",
            "t.source, t.kind, t.is_machine, t.campaign_id, t.category, t.product_id, t.url, t.value,"
            " t.occurred_at AS happened",
            "t.occurred_at",
        ),
        "reach_rows": f"""
            SELECT person_id, campaign_id, bool_or(kind = 'sent') AS is_sent, bool_or({HUMAN_OPEN}) AS is_opened
            FROM event_rows WHERE happened >= {{from_90}} AND kind IN ('sent', 'open') AND campaign_id IS NOT NULL
            GROUP BY person_id, campaign_id""",
        "cart_rows": _CARTS.replace(
            "{carts}",
            _linked("carts",
                    "t.started_at, coalesce(t.updated_at, t.started_at) AS touched, t.completed_at, t.total, t.currency",
                    "coalesce(t.started_at, t.updated_at)"),
        ),
        "subscription_rows": _SUBSCRIPTIONS.replace(
            "{subscriptions}",
            _linked("subscriptions", "t.subscription_id, t.plan, t.status, t.started_at, t.renews_at, t.cancelled_at",
                    "coalesce(t.started_at, {until} - INTERVAL 1 SECOND)"),
        ),
        "score_rows": """
            SELECT score, person_id, value, tier FROM scores WHERE is_published AND cutoff <= {day}
            QUALIFY cutoff = max(cutoff) OVER (PARTITION BY score)""",
    }  # fmt: skip


def _linked(table: str, columns: str, at: str) -> str:
    """Rows of a table with their person: by contact id, else by address; only those before the as-of moment."""
    return f"""
        SELECT l.person_id, {columns} FROM {table} AS t
        JOIN person_links AS l ON l.source = t.source AND l.contact_id = t.contact_id WHERE {at} < {{until}}
        UNION ALL
        SELECT l.person_id, {columns} FROM {table} AS t
        JOIN person_links AS l ON l.source = 'email' AND l.contact_id = t.email
        WHERE t.contact_id IS NULL AND {at} < {{until}}"""


_CONTACTS = """
    SELECT *, CASE WHEN has_place THEN row_number() OVER (PARTITION BY person_id, has_place ORDER BY place) END AS address_place
    FROM (
      SELECT l.person_id, c.*, y.industry AS company_industry, y.employees,
        coalesce(c.state, 'live') = 'live' AS is_live,
        coalesce(c.country, c.region, c.city, c.postcode) IS NOT NULL AS has_place,
        CASE WHEN c.birthday LIKE '__/__' THEN try_cast(substr(c.birthday, 1, 2) AS INTEGER)
             WHEN c.birthday LIKE '____-__-__' THEN try_cast(substr(c.birthday, 6, 2) AS INTEGER) END AS birthday_month,
        row_number() OVER (PARTITION BY l.person_id ORDER BY
          CASE WHEN coalesce(c.state, 'live') = 'live' THEN 0 ELSE 1 END, c.updated_at DESC NULLS LAST, c.source, c.contact_id)
          AS place
      FROM contacts AS c
      JOIN person_links AS l ON l.source = c.source AND l.contact_id = c.contact_id
      LEFT JOIN companies AS y ON y.source = c.source AND y.company_id = c.company_id)"""

_CONSENTS = """
    SELECT person_id, channel, status, changed_at, reason, CASE status {weights} ELSE 99 END AS weight,
      (status = 'subscribed' OR (status = 'not_specified' AND source = 'hubspot' AND {may_mail_unasked} AND is_marketable
       IS NOT FALSE)) AND is_live
      AND NOT bool_or(status IN ('unsubscribed', 'dead', 'archived', 'erased'))
        OVER (PARTITION BY source, contact_id, channel) AS may_mail
    FROM (
      SELECT l.person_id, s.source, s.contact_id, s.channel, s.status, s.changed_at, s.reason, c.is_marketable,
        coalesce(c.state, 'live') = 'live' AS is_live
      FROM consents AS s
      JOIN person_links AS l ON l.source = s.source AND l.contact_id = s.contact_id
      LEFT JOIN contacts AS c ON c.source = s.source AND c.contact_id = s.contact_id
      WHERE coalesce(s.topic, '') = '')"""

_CARTS = """
    SELECT c.*, (completed_at IS NULL OR completed_at >= {until}) AND (o.last_at IS NULL OR o.last_at < c.touched) AS is_open
    FROM ({carts}) AS c
    LEFT JOIN (SELECT person_id, max(ordered_at) AS last_at FROM order_rows WHERE counts GROUP BY person_id) AS o
      ON o.person_id = c.person_id"""

_SUBSCRIPTIONS = """
    SELECT *, row_number() OVER (PARTITION BY person_id ORDER BY CASE WHEN now_status = 'active' THEN 0 ELSE 1 END,
        started_at DESC NULLS LAST, subscription_id) AS place
    FROM (
      SELECT *, CASE WHEN cancelled_at < {until} THEN cancelled_at END AS ended_at,
        CASE WHEN cancelled_at < {until} THEN 'cancelled' WHEN cancelled_at >= {until} THEN 'active'
          ELSE status END AS now_status
      FROM ({subscriptions}))"""
