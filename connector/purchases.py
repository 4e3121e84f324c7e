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
from connector.fresh import OF_SOURCE, WHOSE, News
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
    """Fill purchases and purchase_copies from orders; the persons must be known. Returns counts by name.

    Only where orders come from more than one source is anything compared; an order that is nobody's copy is a purchase.
    """
    store.sql("CREATE OR REPLACE TEMP TABLE po_matches (o BIGINT, purchase BIGINT, evidence VARCHAR)")
    ranks = [r for (r,) in store.sql(f"SELECT DISTINCT rank FROM ({_ranked(config)}) WHERE rank IS NOT NULL ORDER BY 1")]
    if len(ranks) > 1:
        _rank_orders(store, config)
        _make_keys(store)
        for rank in ranks[1:]:
            for evidence, strong in (("same shop order id", True), ("same order number", False)):
                _match_by_key(store, rank, evidence, strong)
            _match_by_likeness(store, rank)
    _write(store, config)
    for table in ("orders", "keys", "matches"):
        store.sql(f"DROP TABLE IF EXISTS po_{table}")
    return count(store)


def count(store: Store) -> dict[str, int]:
    counted = "SELECT (SELECT count(*) FROM purchase_copies), count(*), count(*) FILTER (counts) FROM purchases"
    return dict(zip(("orders", "purchases", "counted"), (int(v) for v in store.sql(counted)[0]), strict=True))


def update(store: Store, config: Config, fresh: News) -> None:
    """Purchases of the new orders, and of those that belong to somebody else now (`links_changed`), where orders come from one
    source alone: there no purchase depends on another. Leaves what was made in the temporary table po_fresh."""
    last = fresh.last["orders"]
    store.sql(f"CREATE OR REPLACE TEMP TABLE po_fresh AS {_with_person(config, f'rowid > {last}')}")
    is_moved = bool(store.sql("SELECT 1 FROM links_changed WHERE was IS NOT NULL LIMIT 1"))
    if is_moved:
        theirs = f"""rowid <= {last} AND rowid IN (SELECT o.rowid FROM orders AS o SEMI JOIN
            (SELECT * FROM links_changed WHERE was IS NOT NULL) AS l ON l.source = {OF_SOURCE} AND l.contact_id = {WHOSE})"""
        store.sql(f"INSERT INTO po_fresh {_with_person(config, theirs)}")
    if is_moved or fresh.removed["orders"]:
        for table in ("purchases", "purchase_copies"):
            store.sql(f"""
                DELETE FROM {table} USING po_fresh AS f
                WHERE f.order_id = {table}.order_id AND f.source = {table}.source AND f.stream = {table}.stream""")
    store.sql(f"""
        INSERT INTO purchases ({PURCHASE_COLUMNS})
        SELECT {PURCHASE_VALUES}, 1, p.why_not IS NULL, p.why_not FROM po_fresh AS p""")
    store.sql(f"""
        INSERT INTO purchase_copies (source, stream, order_id, purchase_id, evidence)
        SELECT p.source, p.stream, p.order_id, {PURCHASE_ID}, 'own record' FROM po_fresh AS p""")


def _ranked(config: Config, which: str = "TRUE") -> str:
    """SQL of every order with the place of its source in `orders_from` (0 is first); none where it is not named there."""
    ranks = " ".join(f"WHEN '{name}' THEN {i}" for i, name in enumerate(config.shop.orders_from))
    return f"""
        SELECT rowid AS o, *, CASE CASE WHEN source = 'hubspot'
                            THEN CASE WHEN kind = 'deal' THEN 'hubspot_deals' ELSE 'hubspot_orders' END
                            ELSE source END {ranks} END AS rank,
          coalesce(currency, '{config.shop.currency}') AS money
        FROM orders WHERE {which}"""


def _with_person(config: Config, which: str = "TRUE") -> str:
    """SQL of the orders that have a place, with person, shop day, and why they do not count."""
    return f"""
        SELECT r.*, coalesce(l.person_id, g.person_id) AS person_id,
          {shop_day("ordered_at", config.shop.timezone)} AS ordered_on, {WHY_NOT} AS why_not
        FROM ({_ranked(config, which)}) AS r
        LEFT JOIN person_links AS l ON l.source = r.source AND l.contact_id = r.contact_id
        LEFT JOIN (SELECT contact_id, person_id FROM person_links WHERE source = 'email') AS g
          ON r.contact_id IS NULL AND g.contact_id = r.email
        WHERE rank IS NOT NULL"""


def _rank_orders(store: Store, config: Config) -> None:
    """Table po_orders: what orders are compared by; `o` is the row of `orders`."""
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE po_orders AS
        SELECT o, rank, source, stream, order_id, external_id, name, person_id, ordered_at, ordered_on, money,
          round(coalesce(total, net), 2) AS amount FROM ({_with_person(config)})""")


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


_TAKEN = "SELECT m2.purchase FROM po_matches AS m2 JOIN po_orders AS o2 ON o2.o = m2.o WHERE o2.rank = $rank"
"""Purchases that have a copy of this rank already."""


def _match_by_key(store: Store, rank: int, evidence: str, strong: bool) -> None:
    """Pair open orders of this rank with purchases of the same key. A weak key needs the same person or day and amount."""
    condition = "TRUE" if strong else "(n.person_id = p.person_id OR (n.ordered_on = p.ordered_on AND n.amount = p.amount))"
    store.sql(
        f"""
        INSERT INTO po_matches
        WITH pairs AS (
          SELECT DISTINCT n.o, n.order_id, n.stream, p.o AS purchase, p.rank, p.order_id AS first_id, p.stream AS first_stream
          FROM po_orders AS n
          JOIN po_keys AS nk ON nk.o = n.o AND (nk.strong OR NOT {strong})
          JOIN po_keys AS pk ON pk.key = nk.key AND (pk.strong OR NOT {strong})
          JOIN po_orders AS x ON x.o = pk.o AND x.rank < $rank
          LEFT JOIN po_matches AS m ON m.o = x.o
          JOIN po_orders AS p ON p.o = coalesce(m.purchase, x.o)
          WHERE n.rank = $rank AND n.o NOT IN (SELECT o FROM po_matches) AND {condition} AND p.o NOT IN ({_TAKEN})),
        firsts AS (
          SELECT * FROM pairs QUALIFY row_number() OVER (PARTITION BY o ORDER BY rank, first_id, first_stream) = 1)
        SELECT o, purchase, $evidence FROM firsts
        QUALIFY row_number() OVER (PARTITION BY purchase ORDER BY order_id, stream) = 1""",
        {"rank": rank, "evidence": evidence},
    )


def _match_by_likeness(store: Store, rank: int) -> None:
    """Pair what is left, earliest with earliest, within the same person, shop day, amount and currency."""
    group = "person_id, ordered_on, amount, money"
    store.sql(
        f"""
        INSERT INTO po_matches
        WITH open_orders AS (
          SELECT o, {group}, row_number() OVER (PARTITION BY {group} ORDER BY ordered_at, order_id, stream) AS k
          FROM po_orders WHERE rank = $rank AND o NOT IN (SELECT o FROM po_matches)),
        open_purchases AS (
          SELECT o, {group}, row_number() OVER (PARTITION BY {group} ORDER BY ordered_at, rank, order_id, stream) AS k
          FROM po_orders SEMI JOIN open_orders USING ({group})
          WHERE rank < $rank AND o NOT IN (SELECT o FROM po_matches) AND o NOT IN ({_TAKEN}))
        SELECT n.o, p.o, 'same person, day and amount'
        FROM open_orders AS n JOIN open_purchases AS p USING ({group}, k)""",
        {"rank": rank},
    )


PURCHASE_ID = "CASE WHEN p.kind = 'deal' THEN p.source || ':deal:' ELSE p.source || ':' END || p.order_id"

PURCHASE_COLUMNS = """purchase_id, person_id, source, stream, order_id, ordered_at, ordered_on, currency, total, net, discount,
  tax, shipping, refunded, cancelled_at, copies, counts, why_not"""

PURCHASE_VALUES = f"""{PURCHASE_ID}, p.person_id, p.source, p.stream, p.order_id, p.ordered_at, p.ordered_on, p.money, p.total,
  coalesce(p.net, p.total - coalesce(p.refunded, 0)), p.discount, p.tax, p.shipping, p.refunded,
  CASE WHEN p.why_not = 'cancelled' THEN p.cancelled_at END"""


def _write(store: Store, config: Config) -> None:
    store.sql("DELETE FROM purchases")
    store.sql(f"""
        INSERT INTO purchases ({PURCHASE_COLUMNS})
        SELECT {PURCHASE_VALUES}, CAST(1 + coalesce(m.copies, 0) AS INTEGER), p.why_not IS NULL, p.why_not
        FROM ({_with_person(config)}) AS p
        LEFT JOIN (SELECT purchase, count(*) AS copies FROM po_matches GROUP BY purchase) AS m ON m.purchase = p.o
        WHERE p.o NOT IN (SELECT o FROM po_matches)""")
    store.sql("DELETE FROM purchase_copies")
    store.sql(f"""
        INSERT INTO purchase_copies (source, stream, order_id, purchase_id, evidence)
        SELECT p.source, p.stream, p.order_id, {PURCHASE_ID}, 'own record' FROM ({_ranked(config)}) AS p
        WHERE p.rank IS NOT NULL AND p.o NOT IN (SELECT o FROM po_matches)""")
    store.sql(f"""
        INSERT INTO purchase_copies (source, stream, order_id, purchase_id, evidence)
        SELECT n.source, n.stream, n.order_id, {PURCHASE_ID}, m.evidence
        FROM po_matches AS m JOIN orders AS n ON n.rowid = m.o JOIN orders AS p ON p.rowid = m.purchase""")
