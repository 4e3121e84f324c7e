"""Dated rows with their person: what the profile's columns and the rules' event measures are aggregated from.

Every query here is text with the marks of `connector/column.py`; names of one refer to others, so they are used as common
table expressions, in the order given. `{some}` limits them to some people (`n` between two numbers, or everybody); `{seen}`
is what the as-of moment lets be seen of a fact. The tables behind them are made by `connector/compact.py`.
"""

from __future__ import annotations

from datetime import date, timedelta

from connector import facts_then
from connector.clock import midnight_utc
from connector.config import Branch, Config
from connector.consent import GIVEN_UP, KEPT_OPT_OUTS, NO_ANSWER
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

EVERYBODY = "TRUE"

CANCELLED_BY_THEN = "t.is_cancelled AND NOT coalesce({is_past} AND t.cancelled_at >= {until}, FALSE)"


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


def marks(config: Config, as_of: AsOf, some: str = EVERYBODY) -> Marks:
    """What the marks in the SQL of the columns and of this file stand for, as of a date in this shop."""
    day = f"DATE '{as_of.day.isoformat()}'"
    until = f"TIMESTAMP '{as_of.until_utc.isoformat(sep=' ')}'"
    kilometres, name = _nearest(config.branch)
    return Marks(
        as_of.day,
        config.shop.timezone,
        {
            "day": day,
            "until": until,
            "some": some,
            "orders": _orders_of_then(config, until) if as_of.is_given else "fact_orders",
            "lines": facts_then.lines(config, until) if as_of.is_given else "fact_lines",
            "seen_orders": f"ordered_on < {day}" if as_of.is_given else f"(ordered_at < {until} OR ordered_at IS NULL)",
            "seen_events": f"day < {day}" if as_of.is_given else f"happened < {until}",
            "is_past": "TRUE" if as_of.is_given else "FALSE",
            "currency": config.shop.currency,
            "timezone": config.shop.timezone,
            "prefix": config.push.prefix.lower().replace("'", "''"),
            "subscription_type": config.hubspot.subscription_type.replace("'", "''") if config.hubspot else "",
            "may_mail_unasked": "FALSE" if config.hubspot is None or config.hubspot.legal_basis else "TRUE",
            "is_sensitive": " OR ".join(f"lower(t.name) LIKE '%{w}%'" for w in _quoted_words(config)) or "FALSE",
            "branch_km": kilometres,
            "nearest_branch": name,
        },
    )


def _orders_of_then(config: Config, until: str) -> str:
    """Orders with the money in them that went back only later, and those cancelled only later. What went without a day (edits)
    is not put back."""
    return f"""(
      SELECT o.n, o.purchase, o.source, o.ordered_at, o.ordered_on, o.counts, o.in_money, o.total, o.discount,
        o.is_discounted, o.is_new_day, o.gap_days, o.is_season, o.is_sale_day, o.purchase_id,
        CASE WHEN b.later > 0 THEN greatest(o.net, least(o.total, o.net + b.later)) ELSE o.net END AS net,
        CASE WHEN b.later > 0 AND o.refunded > b.later THEN o.refunded - b.later WHEN b.later > 0 AND o.refunded >= 0 THEN 0
          ELSE o.refunded END AS refunded,
        o.is_refunded AND coalesce(b.is_refunded_before, TRUE) AS is_refunded
      FROM {facts_then.ended(config, until)} AS o
      LEFT JOIN (
        SELECT p.purchase_id, bool_or(coalesce(r.refunded_at < {until}, TRUE)) AS is_refunded_before,
          CAST(sum(CASE WHEN r.refunded_at >= {until} AND coalesce(r.currency, p.currency) = p.currency THEN r.amount END)
            AS DECIMAL(18,4)) AS later
        FROM refunds AS r JOIN purchases AS p ON p.source = r.source AND p.order_id = r.order_id
        GROUP BY p.purchase_id HAVING max(r.refunded_at) >= {until}) AS b ON b.purchase_id = o.purchase_id)"""


def _quoted_words(config: Config) -> list[str]:
    return [word.lower().replace("'", "''") for word in config.privacy.sensitive_products]


def _nearest(branches: tuple[Branch, ...]) -> tuple[str, str]:
    """SQL of the distance to the nearest branch (great circle, earth radius 6371 km) and of its name."""
    if not branches:
        return "CAST(NULL AS DOUBLE)", "CAST(NULL AS VARCHAR)"
    far = [
        "2 * 6371 * asin(sqrt(least(1, pow(sin(radians(latitude - ({0})) / 2), 2)"
        " + cos(radians(latitude)) * cos(radians({0})) * pow(sin(radians(longitude - ({1})) / 2), 2))))".format(
            f"CAST('{b.latitude}' AS DOUBLE)", f"CAST('{b.longitude}' AS DOUBLE)"
        )
        for b in branches
    ]
    names = [b.name.replace("'", "''").replace("{", "{{").replace("}", "}}") for b in branches]
    least = f"least({', '.join(far)})" if len(far) > 1 else far[0]
    cases = " ".join(f"WHEN {f} = {least} THEN '{n}'" for f, n in zip(far, names, strict=True))
    unknown = "latitude IS NULL OR longitude IS NULL"  # least() passes over what is missing
    return f"CASE WHEN NOT ({unknown}) THEN round({least}, 1) END", f"CASE WHEN {unknown} THEN NULL {cases} END"


def sources() -> dict[str, str]:
    """Orders and lines with the text ids of their person and purchase, for whoever needs those (scores)."""
    return {
        "order_rows": """
            SELECT * EXCLUDE (was_one) REPLACE (coalesce(CASE WHEN was_one THEN total END, net, total) AS net,
              CASE WHEN NOT was_one THEN refunded END AS refunded, counts OR was_one AND coalesce(total, 0) >= 0 AS counts)
            FROM (SELECT *, why_not = 'cancelled' AND coalesce({is_past} AND cancelled_at >= {until}, FALSE) AS was_one
                  FROM purchases) AS p
            WHERE person_id IS NOT NULL AND ordered_at < {until} AND (counts OR why_not = 'refund' OR was_one)""",
        "withdrawn_rows": """
            SELECT * REPLACE (coalesce(total, net) AS net, CAST(NULL AS DECIMAL(18,4)) AS refunded, coalesce(total, 0) >= 0 AS counts)
            FROM purchases
            WHERE person_id IS NOT NULL AND why_not = 'cancelled' AND ordered_at < cancelled_at AND cancelled_at < {until}""",
        "known_rows": "SELECT *, FALSE AS is_gone FROM order_rows UNION ALL SELECT *, TRUE FROM withdrawn_rows",
        "refund_rows": """
            SELECT o.person_id, r.refunded_at FROM order_rows AS o
            JOIN refunds AS r ON r.source = o.source AND r.order_id = o.order_id WHERE r.refunded_at < {until}""",
        "line_orders": """
            SELECT person_id, purchase_id, ordered_at, ordered_on, currency, cancelled_at, is_gone, source, stream, order_id
            FROM known_rows WHERE counts AND copies = 1
            UNION ALL
            SELECT o.person_id, o.purchase_id, o.ordered_at, o.ordered_on, o.currency, o.cancelled_at, o.is_gone, c.source,
              c.stream, c.order_id
            FROM known_rows AS o
            JOIN purchase_copies AS c ON c.purchase_id = o.purchase_id
            JOIN (SELECT DISTINCT source, order_id FROM order_lines) AS h ON h.source = c.source AND h.order_id = c.order_id
            WHERE o.counts AND o.copies > 1
            QUALIFY row_number() OVER (PARTITION BY o.purchase_id
              ORDER BY CASE WHEN c.source = o.source AND c.stream = o.stream THEN 0 ELSE 1 END, c.source, c.stream) = 1""",
        "line_rows": """
            SELECT o.person_id, o.purchase_id, o.ordered_on, o.cancelled_at, o.is_gone, l.quantity, l.amount,
              coalesce(l.category, p.category) AS category, coalesce(l.category, h.category) AS category_then,
              coalesce(l.product_id, l.sku, l.title) AS product, coalesce(l.title, p.title) AS title,
              coalesce(l.vendor, p.vendor) AS vendor, coalesce(l.currency, o.currency) AS currency, l.source, l.is_gift_card
            FROM line_orders AS o
            JOIN order_lines AS l ON l.source = o.source AND l.order_id = o.order_id
              AND (l.source = 'import' OR l.stream = o.stream)
            LEFT JOIN products AS p ON p.source = l.source AND p.product_id = l.product_id
            LEFT JOIN (
              SELECT source, product_id, category, since,
                lead(since) OVER (PARTITION BY source, product_id ORDER BY since) AS until
              FROM product_categories) AS h
              ON h.source = l.source AND h.product_id = l.product_id AND h.since <= o.ordered_at
              AND (h.until IS NULL OR h.until > o.ordered_at)""",
    }


def known_orders() -> str:
    """The orders known at the as-of moment, with those that stood on days before it (`is_gone`, withdrawn on `cancelled_at`)."""
    made = sources()
    return f"""
        WITH order_rows AS ({made["order_rows"]}), withdrawn_rows AS ({made["withdrawn_rows"]}) {made["known_rows"]}"""


def rows() -> dict[str, str]:
    """The rows behind each group of columns, each with the number `n` of its person."""
    weights = " ".join(f"WHEN '{a}' THEN {i}" for i, a in enumerate(ANSWERS))
    return {
        "contact_rows": _CONTACTS,
        "placed_rows": _linked("orders", "t.source, t.order_id, t.ordered_at, t.country, t.region, t.city, t.postcode",
                               "t.ordered_at", f"NOT coalesce(t.is_test OR {CANCELLED_BY_THEN}, FALSE) AND {has_place('t')}"),
        "address_rows": _ADDRESSES,
        "consent_rows": _CONSENTS.replace("{refused_before}", _REFUSED_BEFORE)
        .replace("{given_up}", GIVEN_UP.replace("{known}", "seen_at < {until}"))
        .replace("{kept_opt_outs}", KEPT_OPT_OUTS).replace("{weights}", weights)
        .replace("{no_answer}", NO_ANSWER),
        "order_rows": "SELECT * FROM {orders} WHERE {some} AND {seen_orders}",
        "recent_orders": "SELECT * FROM order_rows WHERE ordered_on >= {day} - 365",
        "refund_rows": """
            SELECT o.n, r.refunded_at FROM refunds AS r
            JOIN purchases AS p ON p.source = r.source AND p.order_id = r.order_id
            JOIN order_rows AS o ON o.purchase_id = p.purchase_id WHERE r.refunded_at < {until}""",
        "visit_rows": _VISITS.replace(
            "{visits}",
            _linked("orders", "t.order_id, t.ordered_at, t.landing_page, t.traffic_source, t.utm_source, t.utm_campaign",
                    "t.ordered_at"),
        ),
        "line_rows": "SELECT * FROM {lines} WHERE {some} AND {seen_orders}",
        "taste_rows": """
            SELECT s.*, c.name,
              CAST(s.spent * 10000 AS HUGEINT) * 17592186044416 + s.lines * 1048576 + 1048575 - coalesce(c.code, 0) AS weight
            FROM (
              SELECT n, taste, sum(pieces) AS pieces, count(*) FILTER (is_new_product) AS products,
                coalesce(sum(amount), 0) AS spent, count(*) AS lines, min(ordered_on) < max(ordered_on) AS is_repeated
              FROM line_rows GROUP BY n, taste) AS s
            LEFT JOIN fact_categories AS c ON c.code = s.taste""",
        "vendor_rows": """
            SELECT s.n, v.vendor_name AS name,
              CAST(s.spent * 10000 AS HUGEINT) * 17592186044416 + s.lines * 1048576 + 1048575 - s.vendor AS weight
            FROM (
              SELECT l.n, w.vendor, coalesce(sum(l.amount), 0) AS spent, count(*) AS lines
              FROM line_rows AS l
              JOIN (SELECT code, vendor FROM fact_products WHERE vendor IS NOT NULL AND NOT is_sensitive) AS w ON w.code = l.product
              GROUP BY l.n, w.vendor HAVING min(l.ordered_on) < max(l.ordered_on)) AS s
            JOIN (SELECT DISTINCT vendor, vendor_name FROM fact_products WHERE vendor IS NOT NULL) AS v
              ON v.vendor = s.vendor""",
        "half_year_rows": """
            SELECT n, taste, coalesce(sum(amount), 0) AS spent, sum(amount) FILTER (ordered_on >= {day} - 180) AS spent_lately,
              count(*) FILTER (ordered_on >= {day} - 180) AS lines_lately
            FROM line_rows WHERE taste IS NOT NULL GROUP BY n, taste""",
        "gaining_rows": """
            SELECT n, name, gain FROM (
              SELECT t.n, t.taste, CAST(t.spent_lately AS DOUBLE) / nullif(CAST(b.lately AS DOUBLE), 0)
                - CAST(t.spent - t.spent_lately AS DOUBLE) / CAST(b.spent - b.lately AS DOUBLE) AS gain
              FROM (SELECT * FROM half_year_rows WHERE lines_lately >= 2) AS t
              JOIN (SELECT n, sum(spent) AS spent, sum(spent_lately) AS lately FROM half_year_rows GROUP BY n) AS b ON b.n = t.n
              WHERE b.spent > b.lately) AS g
            JOIN fact_categories AS c ON c.code = g.taste
            WHERE 5 * gain >= 1""",
        "event_rows": "SELECT * FROM fact_events WHERE {some} AND {seen_events}",
        "conversion_rows": """
            SELECT n, ordered_on, CAST(ordered_on - clicked_on AS INTEGER) AS days_after, nullif(campaign, 0) AS campaign
            FROM (
              SELECT n, ordered_on, last_value(clicked_on IGNORE NULLS) OVER before AS clicked_on,
                last_value(campaign IGNORE NULLS) OVER before AS campaign
              FROM (
                SELECT n, happened AS moment, 0 AS is_order, coalesce(campaign, 0) AS campaign, day AS clicked_on,
                  CAST(NULL AS DATE) AS ordered_on
                FROM event_rows WHERE kind = 'click'
                UNION ALL
                SELECT n, CASE WHEN timezone('{timezone}', timezone('UTC', ordered_at)) = CAST(ordered_on AS TIMESTAMP)
                    THEN ordered_at + INTERVAL 86399 SECOND ELSE ordered_at END,
                  1, CAST(NULL AS INTEGER), CAST(NULL AS DATE), ordered_on
                FROM order_rows WHERE counts AND ordered_at IS NOT NULL) AS met
              WINDOW before AS (PARTITION BY n ORDER BY moment, is_order, campaign ROWS UNBOUNDED PRECEDING)) AS found
            WHERE ordered_on >= clicked_on""",
        "recent_events": "SELECT * FROM event_rows WHERE day >= {day} - 365",
        "warm_rows": """
            SELECT n, CASE WHEN kind = 'click' THEN 2 ELSE 1 END * exp(CAST(day - {day} AS DOUBLE) * ln(2) / 30) AS warmth
            FROM event_rows WHERE kind IN ('open', 'click') AND day >= {day} - 730""",
        "interest_rows": """
            SELECT e.n, e.is_click, t.name FROM fact_interests AS e JOIN fact_topics AS t ON t.code = e.topic
            WHERE {some} AND {seen_events} AND NOT ({is_sensitive})""",
        "answer_rows": """
            SELECT e.n, e.kind, e.happened, e.value,
              CASE WHEN e.kind = 'ticket' THEN coalesce(c.name, w.word) ELSE w.word END AS said
            FROM event_rows AS e
            LEFT JOIN fact_words AS w ON w.code = e.word
            LEFT JOIN fact_categories AS c ON c.code = e.category
            WHERE e.kind IN ('rating', 'survey', 'search', 'form', 'download', 'ticket', 'unsubscribe')
              OR e.kind IN ('page_view', 'product_view') AND e.value IS NOT NULL""",
        "reach_rows": """
            SELECT n, campaign, bool_or(kind = 'sent') AS is_sent, bool_or(kind = 'open') AS is_opened
            FROM event_rows WHERE day >= {day} - 90 AND kind IN ('sent', 'open') AND campaign IS NOT NULL
            GROUP BY n, campaign""",
        "cart_rows": _CARTS.replace(
            "{carts}",
            _linked("carts",
                    "t.started_at, coalesce(CASE WHEN t.updated_at < {until} THEN t.updated_at END, t.started_at) AS touched, "
                    "t.completed_at, t.total, t.currency, t.items",
                    "coalesce(t.started_at, t.updated_at)"),
        ),
        "subscription_rows": _SUBSCRIPTIONS.replace(
            "{subscriptions}",
            _linked("subscriptions", "t.subscription_id, t.plan, t.price, t.currency, t.status, t.started_at, t.renews_at, "
                    "t.cancelled_at",
                    "coalesce(t.started_at, {until} - INTERVAL 1 SECOND)"),
        ),
        "score_rows": """
            SELECT * FROM (
              SELECT s.score, l.n, s.value, s.tier, s.cutoff, s.reasons, s.horizon_days, s.model, s.n AS of_n, s.confidence
              FROM scores AS s JOIN person_numbers AS l USING (person_id)
              LEFT JOIN (SELECT score, max(cutoff) AS newest FROM score_cards WHERE cutoff <= {day} GROUP BY score) AS c
                ON c.score = CASE WHEN s.score IN ('next_order_lo', 'next_order_hi') THEN 'next_order' ELSE s.score END
              WHERE s.is_published AND s.cutoff <= {day} AND s.cutoff = coalesce(c.newest, s.cutoff)
              QUALIFY s.cutoff = max(s.cutoff) OVER (PARTITION BY s.score))
            WHERE {some}""",
        "snapshot_rows": """
            SELECT l.n, s.name, arg_max(s.value, s.taken_on) AS value FROM snapshots AS s
            JOIN fact_links AS l ON l.source = s.source AND l.contact_id = s.contact_id
            WHERE {some} AND s.value IS NOT NULL AND s.taken_on <= {day} GROUP BY l.n, s.name""",
    }  # fmt: skip


def _linked(table: str, columns: str, at: str, where: str = "TRUE") -> str:
    """Rows of a table with their person: by contact id, else by address; only those before the as-of moment."""
    return f"""
        SELECT l.n, {columns} FROM {table} AS t
        JOIN fact_links AS l ON l.source = CASE WHEN t.contact_id IS NULL THEN 'email' ELSE t.source END
          AND l.contact_id = coalesce(t.contact_id, t.email)
        WHERE {{some}} AND {where} AND {at} < {{until}}"""


_CONTACTS = """
    SELECT *, CASE WHEN has_place THEN row_number() OVER (PARTITION BY n, has_place ORDER BY place) END AS address_place,
      CASE WHEN has_point THEN row_number() OVER (PARTITION BY n, has_point ORDER BY place) END AS point_place
    FROM (
      SELECT l.n, c.* REPLACE (coalesce(b.value, c.lifecycle_stage) AS lifecycle_stage), y.industry AS company_industry,
        y.employees, coalesce(c.state, 'live') = 'live' AS is_live,
        coalesce(c.country, c.region, c.city, c.postcode) IS NOT NULL AS has_place,
        c.latitude IS NOT NULL AND c.longitude IS NOT NULL AS has_point,
        CASE WHEN c.birthday LIKE '__/__' THEN try_cast(substr(c.birthday, 1, 2) AS INTEGER)
             WHEN c.birthday LIKE '____-__-__' THEN try_cast(substr(c.birthday, 6, 2) AS INTEGER) END AS birthday_month,
        row_number() OVER (PARTITION BY l.n ORDER BY
          CASE WHEN coalesce(c.state, 'live') = 'live' THEN 0 ELSE 1 END, c.updated_at DESC NULLS LAST, c.source, c.contact_id)
          AS place
      FROM contacts AS c
      JOIN fact_links AS l ON l.source = c.source AND l.contact_id = c.contact_id
      LEFT JOIN companies AS y ON y.source = c.source AND y.company_id = c.company_id
      LEFT JOIN (
        SELECT source, contact_id, arg_max(value, taken_on) AS value FROM snapshots
        WHERE {is_past} AND name = 'lifecyclestage' AND taken_on < {day} GROUP BY ALL) AS b
        ON b.source = c.source AND b.contact_id = c.contact_id
      WHERE {some} AND NOT coalesce({is_past} AND c.created_at >= {until}, FALSE))"""


def has_place(table: str) -> str:
    return f"coalesce({', '.join(f'{table}.{c}' for c in ('country', 'region', 'city', 'postcode'))}) IS NOT NULL"


_ADDRESSES = f"""
    SELECT n, country, region, city, postcode,
      row_number() OVER (PARTITION BY n ORDER BY after, seen_at DESC NULLS LAST, source, id, country, region, city, postcode)
        AS place
    FROM (
      SELECT l.n, CASE WHEN a.kind = 'shipping' THEN 0 ELSE 2 END AS after, c.updated_at AS seen_at, a.source, a.contact_id AS id,
        a.country, a.region, a.city, a.postcode
      FROM addresses AS a
      JOIN fact_links AS l ON l.source = a.source AND l.contact_id = a.contact_id
      LEFT JOIN contacts AS c ON c.source = a.source AND c.contact_id = a.contact_id
      WHERE {{some}} AND coalesce(a.kind, '') IN ('shipping', 'main', '') AND {has_place("a")}
      UNION ALL
      SELECT t.n, 1, t.ordered_at, t.source, t.order_id, t.country, t.region, t.city, t.postcode FROM placed_rows AS t
      JOIN (SELECT n, max(ordered_at) AS last_at FROM placed_rows GROUP BY n) AS m ON m.n = t.n AND m.last_at = t.ordered_at)"""

_VISITS = """
    SELECT v.n, v.order_id, v.landing_page, v.traffic_source, v.utm_source, v.utm_campaign
    FROM ({visits}) AS v
    JOIN (SELECT n, min(ordered_at) AS first_at FROM order_rows WHERE counts GROUP BY n) AS f
      ON f.n = v.n AND f.first_at = v.ordered_at
    WHERE coalesce(v.landing_page, v.traffic_source, v.utm_source, v.utm_campaign) IS NOT NULL"""

_CONSENTS = """
    SELECT n, channel, CASE WHEN is_hidden THEN 'unsubscribed' ELSE status END AS status, changed_at, reason,
      CASE WHEN is_hidden THEN 1 ELSE CASE status {weights} ELSE 99 END END AS weight, is_erased,
      (status = 'subscribed' OR (status = 'not_specified' AND source = 'hubspot' AND {may_mail_unasked})) AND is_live
      AND NOT coalesce(is_closed, FALSE) AND coalesce(ticked, 0) NOT IN (1, 3) AS may_mail
    FROM (
      SELECT *, bool_or(closes) OVER (PARTITION BY source, contact_id, channel) AS is_closed,
        max(box) OVER (PARTITION BY source, contact_id, channel) AS ticked
      FROM (
        SELECT l.n, s.source, s.contact_id, s.channel, s.topic, s.status, s.changed_at, s.reason,
          coalesce(c.state, 'live') = 'live' AS is_live,
          s.status = 'erased' OR (c.state IS NOT NULL
            AND (c.state = 'erased' OR (c.state = 'gone' AND s.source IN ('mailchimp', 'hubspot')))) AS is_erased,
          s.status IN {no_answer} AND r.contact_id IS NOT NULL AS is_hidden,
          CASE WHEN s.topic = '' THEN s.status IN ('unsubscribed', 'dead', 'archived', 'erased') OR d.email IS NOT NULL
              OR o.person IS NOT NULL OR g.contact_id IS NOT NULL
            ELSE s.source = 'hubspot' AND s.status = 'unsubscribed' END AS closes,
          CASE WHEN s.topic = '' OR s.source <> 'mailchimp' THEN 0
            WHEN lower(s.topic) LIKE '%email%' OR lower(s.topic) LIKE '%e-mail%'
              THEN CASE WHEN s.status = 'subscribed' THEN 4 ELSE 3 END
            WHEN s.status = 'subscribed' THEN 2 ELSE 1 END AS box
        FROM (
          SELECT source, contact_id, channel, coalesce(topic, '') AS topic, status, changed_at, reason FROM consents
          WHERE NOT coalesce({is_past} AND changed_at >= {until}, FALSE)
          UNION ALL
          SELECT h.source, h.contact_id, h.channel, coalesce(h.topic, '') AS topic, h.status, h.changed_at, h.reason
          FROM consent_history AS h
          SEMI JOIN (SELECT * FROM consents WHERE {is_past} AND changed_at >= {until}) AS later
            ON later.source = h.source AND later.contact_id = h.contact_id AND later.channel = h.channel
            AND coalesce(later.topic, '') = coalesce(h.topic, '')
          WHERE coalesce(h.changed_at, h.seen_at) < {until}
          QUALIFY row_number() OVER (PARTITION BY h.source, h.contact_id, h.channel, coalesce(h.topic, '')
            ORDER BY coalesce(h.changed_at, h.seen_at) DESC) = 1
          UNION ALL
          SELECT source, contact_id, channel, topic, status, changed_at, reason FROM ({kept_opt_outs}) WHERE seen_at < {until}) AS s
        JOIN fact_links AS l ON l.source = s.source AND l.contact_id = s.contact_id
        LEFT JOIN contacts AS c ON c.source = s.source AND c.contact_id = s.contact_id
        LEFT JOIN (
          SELECT DISTINCT b.channel, k.email FROM consents AS b
          JOIN contacts AS k ON k.source = b.source AND k.contact_id = b.contact_id
          WHERE coalesce(b.topic, '') = '' AND b.status = 'dead' AND k.email IS NOT NULL
            AND NOT coalesce({is_past} AND b.changed_at >= {until}, FALSE)) AS d
          ON d.channel = s.channel AND d.email = c.email
        LEFT JOIN (  -- an opt-out of the type closes all of the person's contacts in HubSpot
          SELECT DISTINCT m.n AS person FROM (
            SELECT source, contact_id FROM consents WHERE source = 'hubspot' AND status = 'unsubscribed'
              AND topic = '{subscription_type}' AND topic <> ''
            UNION ALL
            SELECT source, contact_id FROM ({kept_opt_outs})
            WHERE source = 'hubspot' AND topic = '{subscription_type}' AND seen_at < {until}) AS u
          JOIN fact_links AS m ON m.source = u.source AND m.contact_id = u.contact_id) AS o ON o.person = l.n AND s.source = 'hubspot'
        LEFT JOIN ({given_up}) AS g ON g.source = s.source AND g.contact_id = s.contact_id AND g.channel = s.channel
        LEFT JOIN ({refused_before}) AS r ON r.source = s.source AND r.contact_id = s.contact_id AND r.channel = s.channel
        WHERE {some} AND (s.topic = '' OR s.source = 'mailchimp' OR (s.source = 'hubspot' AND s.topic = '{subscription_type}'))
          AND NOT coalesce({is_past} AND c.created_at >= {until}, FALSE)))
    WHERE topic = ''
    UNION ALL
    SELECT n, 'email', 'unsubscribed', NULL, NULL, 1, FALSE, FALSE FROM fact_events
    WHERE {some} AND {seen_events} AND kind = 'complaint'
    UNION ALL
    SELECT l.n, 'email', 'unsubscribed', NULL, NULL, 1, FALSE, FALSE FROM events AS e
    JOIN fact_links AS l ON l.source = CASE WHEN e.contact_id IS NULL THEN 'email' ELSE e.source END
      AND l.contact_id = coalesce(e.contact_id, e.email)
    WHERE {some} AND e.source = 'import' AND e.kind = 'unsubscribe' AND e.occurred_at < {until}"""
"""What each contact says of each channel; `may_mail` as `connector/consent.py` judges it there: a dead address is dead wherever
it stands, HubSpot's subscription type of the configuration closes, and so do Mailchimp's marketing permissions without a tick
(`box`: 4 and 3 a box that says e-mail, with and without one, which count alone where there are any; 2 and 1 another one), also those
that were given up before the audience lost its boxes. A no
that the record does not say any more (`is_hidden`), and one that only an event tells of, are still a no."""

_REFUSED_BEFORE = """
          SELECT o.source, o.contact_id, o.channel FROM (
            SELECT source, contact_id, channel, max(seen_at) AS seen_at FROM consent_history
            WHERE coalesce(topic, '') = '' AND status = 'unsubscribed' AND seen_at < {until}
            GROUP BY source, contact_id, channel) AS o
          LEFT JOIN (
            SELECT source, contact_id, channel, seen_at FROM consent_history
            WHERE coalesce(topic, '') = '' AND status NOT IN {no_answer} AND seen_at < {until}) AS y
            ON y.source = o.source AND y.contact_id = o.contact_id AND y.channel = o.channel AND y.seen_at > o.seen_at
          WHERE y.contact_id IS NULL"""
"""Contacts whose last clear answer was a no, whatever they say now."""

_CARTS = """
    SELECT c.*, (completed_at IS NULL OR completed_at >= {until}) AND (o.last_at IS NULL OR o.last_at < c.touched) AS is_open
    FROM ({carts}) AS c
    LEFT JOIN (SELECT n, max(ordered_at) AS last_at FROM order_rows WHERE counts GROUP BY n) AS o
      ON o.n = c.n"""

_SUBSCRIPTIONS = """
    SELECT *, row_number() OVER (PARTITION BY n ORDER BY CASE WHEN now_status = 'active' THEN 0 ELSE 1 END,
        coalesce(ended_at, started_at) DESC NULLS LAST, subscription_id) AS place
    FROM (
      SELECT *, CASE WHEN cancelled_at < {until} THEN cancelled_at END AS ended_at,
        CASE WHEN cancelled_at < {until} THEN 'cancelled' WHEN cancelled_at >= {until} THEN 'active'
          ELSE status END AS now_status
      FROM ({subscriptions}))"""
