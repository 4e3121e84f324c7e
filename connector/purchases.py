"""Stage 4, second half: which orders are one purchase, what counts, and on which of the shop's days it was.

Rules, in the order of `shop.orders_from`:
- An order of the first source is a purchase. An order of a later source is a copy of it when it names the same shop order
  (the shop's id or number), else when person, shop day, amount and currency are the same. Copies are paired one to one,
  earliest with earliest, so two equal orders of one source never become one. What is left over is a purchase of its own.
- The purchase is told by the first source's copy: its amounts, its time, its state.
- Not counted, with the reason: test orders, cancelled and voided ones, deals that were not won, negative amounts (a
  refund booked as an order: its money is subtracted from revenue).
- Orders without a date (Mailchimp's may have none) count for number and money in total, and for nothing that has a date.
- Refunded orders count (the person did buy); their net amount is what is left. Orders of amount 0 and unpaid ones count.
- Orders in another currency than the shop's count as orders; no money column adds them.
"""

from __future__ import annotations

import logging

from connector.config import Config
from connector.store import Store

log = logging.getLogger(__name__)

WON = ("paid", "partially_refunded", "refunded")

WHY_NOT = f"""CASE
  WHEN is_test THEN 'test'
  WHEN is_cancelled OR status = 'cancelled' THEN 'cancelled'
  WHEN status = 'voided' THEN 'voided'
  WHEN kind = 'deal' AND coalesce(status, '') NOT IN {WON} THEN 'deal not won'
  WHEN total < 0 THEN 'refund'
END"""


def shop_day(column: str, timezone: str) -> str:
    """SQL for the shop's calendar day of a UTC time."""
    if timezone == "UTC":
        return f"CAST({column} AS DATE)"
    return f"CAST(timezone('{timezone}', timezone('UTC', {column})) AS DATE)"


def reconcile(store: Store, config: Config) -> dict[str, int]:
    """Fill purchases and purchase_copies from orders; the persons must be known. Returns counts by name."""
    _rank_orders(store, config)
    _make_keys(store)
    store.sql("CREATE OR REPLACE TEMP TABLE po_matches (o INTEGER, purchase INTEGER, evidence VARCHAR)")
    ranks = [r[0] for r in store.sql("SELECT DISTINCT rank FROM po_orders ORDER BY rank")]
    for place, rank in enumerate(ranks):
        if place:
            for evidence, strong in (("same shop order id", True), ("same order number", False)):
                _match_by_key(store, rank, evidence, strong)
            _match_by_likeness(store, rank)
        store.sql(
            """INSERT INTO po_matches SELECT o, o, 'own record' FROM po_orders
               WHERE rank = ? AND o NOT IN (SELECT o FROM po_matches)""",
            [rank],
        )
    _write(store)
    counts = {
        "orders": int(store.value("SELECT count(*) FROM po_orders")),
        "purchases": int(store.value("SELECT count(*) FROM purchases")),
        "counted": int(store.value("SELECT count(*) FROM purchases WHERE counts")),
    }
    for table in ("orders", "keys", "matches"):
        store.sql(f"DROP TABLE IF EXISTS po_{table}")
    return counts


def _rank_orders(store: Store, config: Config) -> None:
    """Table po_orders: every order of a source in `orders_from`, with its rank there, its person and shop day."""
    ranks = " ".join(f"WHEN '{name}' THEN {i}" for i, name in enumerate(config.shop.orders_from))
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE po_orders AS
        SELECT CAST(row_number() OVER (ORDER BY rank, r.order_id, r.stream) AS INTEGER) AS o, r.*,
          coalesce(l.person_id, g.person_id) AS person_id,
          {shop_day("ordered_at", config.shop.timezone)} AS ordered_on,
          round(coalesce(total, net), 2) AS amount, {WHY_NOT} AS why_not
        FROM (
          SELECT *, CASE CASE WHEN source = 'hubspot'
                              THEN CASE WHEN kind = 'deal' THEN 'hubspot_deals' ELSE 'hubspot_orders' END
                              ELSE source END {ranks} END AS rank,
            coalesce(currency, '{config.shop.currency}') AS money
          FROM orders) AS r
        LEFT JOIN person_links AS l ON l.source = r.source AND l.contact_id = r.contact_id
        LEFT JOIN person_links AS g ON r.contact_id IS NULL AND g.source = 'email' AND g.contact_id = r.email
        WHERE rank IS NOT NULL""")


def _make_keys(store: Store) -> None:
    """Table po_keys(o, key, strong): the names by which another platform may know the same order.

    Strong: the shop's own id, or the id a copy says it was made from. Weak: the number people see, or a copy's own id
    (HubSpot's own ids mean nothing elsewhere).
    """
    bare = "CASE WHEN {0} LIKE 'gid://%' THEN regexp_extract({0}, '([^/?]*)([?].*)?$', 1) ELSE ltrim({0}, '#') END"
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE po_keys AS
        SELECT o, key, bool_or(strong) AS strong FROM (
          SELECT o, {bare.format("external_id")} AS key, TRUE AS strong FROM po_orders WHERE external_id IS NOT NULL
          UNION ALL SELECT o, {bare.format("order_id")}, source = 'shopify' FROM po_orders WHERE source <> 'hubspot'
          UNION ALL SELECT o, ltrim(name, '#'), FALSE FROM po_orders WHERE regexp_matches(name, '[0-9]')
        ) WHERE key <> '' GROUP BY o, key""")


def _match_by_key(store: Store, rank: int, evidence: str, strong: bool) -> None:
    """Pair open orders of this rank with purchases of the same key. A weak key needs the same person or day and amount."""
    condition = "TRUE" if strong else "(n.person_id = p.person_id OR (n.ordered_on = p.ordered_on AND n.amount = p.amount))"
    store.sql(
        f"""
        INSERT INTO po_matches
        WITH pairs AS (
          SELECT DISTINCT n.o, p.o AS purchase
          FROM po_orders AS n
          JOIN po_keys AS nk ON nk.o = n.o AND (nk.strong OR NOT {strong})
          JOIN po_keys AS pk ON pk.key = nk.key AND (pk.strong OR NOT {strong})
          JOIN po_matches AS m ON m.o = pk.o
          JOIN po_orders AS p ON p.o = m.purchase
          WHERE n.rank = $rank AND n.o NOT IN (SELECT o FROM po_matches) AND {condition}
            AND m.purchase NOT IN (SELECT m2.purchase FROM po_matches AS m2 JOIN po_orders AS o2 ON o2.o = m2.o
                                   WHERE o2.rank = $rank)),
        firsts AS (SELECT * FROM pairs QUALIFY row_number() OVER (PARTITION BY o ORDER BY purchase) = 1)
        SELECT o, purchase, $evidence FROM firsts
        QUALIFY row_number() OVER (PARTITION BY purchase ORDER BY o) = 1""",
        {"rank": rank, "evidence": evidence},
    )


def _match_by_likeness(store: Store, rank: int) -> None:
    """Pair what is left, earliest with earliest, within the same person, shop day, amount and currency."""
    group = "person_id, ordered_on, amount, money"
    store.sql(
        f"""
        INSERT INTO po_matches
        WITH open_orders AS (
          SELECT o, {group}, row_number() OVER (PARTITION BY {group} ORDER BY ordered_at, order_id) AS k
          FROM po_orders WHERE rank = $rank AND o NOT IN (SELECT o FROM po_matches)),
        open_purchases AS (
          SELECT o, {group}, row_number() OVER (PARTITION BY {group} ORDER BY ordered_at, rank, order_id) AS k
          FROM po_orders WHERE o IN (SELECT purchase FROM po_matches)
            AND o NOT IN (SELECT m.purchase FROM po_matches AS m JOIN po_orders AS x ON x.o = m.o WHERE x.rank = $rank))
        SELECT n.o, p.o, 'same person, day and amount'
        FROM open_orders AS n JOIN open_purchases AS p USING ({group}, k)""",
        {"rank": rank},
    )


def _write(store: Store) -> None:
    store.sql("DELETE FROM purchases")
    store.sql("""
        INSERT INTO purchases (purchase_id, person_id, source, stream, order_id, ordered_at, ordered_on, currency, total, net,
          discount, tax, shipping, refunded, copies, counts, why_not)
        SELECT CASE WHEN p.kind = 'deal' THEN p.source || ':deal:' ELSE p.source || ':' END || p.order_id, p.person_id,
          p.source, p.stream, p.order_id, p.ordered_at, p.ordered_on, p.money, p.total,
          coalesce(p.net, p.total - coalesce(p.refunded, 0)), p.discount, p.tax, p.shipping, p.refunded,
          CAST(m.copies AS INTEGER), p.why_not IS NULL, p.why_not
        FROM po_orders AS p
        JOIN (SELECT purchase, count(*) AS copies FROM po_matches GROUP BY purchase) AS m ON m.purchase = p.o
        ORDER BY p.person_id, p.ordered_at, p.o""")
    store.sql("DELETE FROM purchase_copies")
    store.sql("""
        INSERT INTO purchase_copies (source, stream, order_id, purchase_id, evidence)
        SELECT n.source, n.stream, n.order_id,
          CASE WHEN p.kind = 'deal' THEN p.source || ':deal:' ELSE p.source || ':' END || p.order_id, m.evidence
        FROM po_matches AS m JOIN po_orders AS n ON n.o = m.o JOIN po_orders AS p ON p.o = m.purchase
        ORDER BY m.purchase, n.o""")
