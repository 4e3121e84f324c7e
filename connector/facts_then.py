"""Orders and lines as they were on an earlier day, for the profile as of a date: with the money that went back only later, and with
the orders that were cancelled only later.

The tables of `connector/compact.py` tell how every order ended. Here the facts of those people alone are made anew of whose orders
some ended only after the date; everybody else's are taken as they stand.
"""

from __future__ import annotations

from connector.compact import FIRSTS, coded_lines, found_sql, lines_sql, of_found
from connector.config import Config

WAS_ONE = "why_not = 'cancelled' AND cancelled_at >= {until} AND ordered_at < {until}"

THEIRS = f"n IN (SELECT i.n FROM purchases AS c JOIN person_numbers AS i USING (person_id) WHERE {WAS_ONE})"

PURCHASES = f"""
    SELECT p.* REPLACE (CASE WHEN {WAS_ONE} THEN coalesce(b.back, refunded - refunded) ELSE refunded END AS refunded,
        counts OR {WAS_ONE} AND coalesce(total, 0) >= 0 AS counts,
        CASE WHEN {WAS_ONE} THEN CASE WHEN coalesce(total, 0) < 0 THEN 'refund' END ELSE why_not END AS why_not),
      CASE WHEN {WAS_ONE} THEN total - coalesce(b.back, 0) ELSE coalesce(net, total) END AS left_over
    FROM purchases AS p
    LEFT JOIN (
      SELECT k.purchase_id, CAST(sum(r.amount) AS DECIMAL(18,4)) AS back
      FROM refunds AS r JOIN purchases AS k ON k.source = r.source AND k.order_id = r.order_id
      WHERE k.why_not = 'cancelled' AND r.refunded_at IS NOT NULL AND coalesce(r.currency, k.currency) = k.currency
      GROUP BY k.purchase_id) AS b ON b.purchase_id = p.purchase_id"""
"""Of a cancelled order all that went back with a date is taken off here; what went back later is put back as for any order."""

KEYS = """
    SELECT source, stream, order_id, n, purchase, ordered_at, ordered_on, in_money FROM (
      SELECT c.source, c.stream, c.order_id, o.n, o.purchase, o.ordered_at, o.ordered_on, o.in_money,
        row_number() OVER (PARTITION BY o.purchase_id ORDER BY CASE WHEN h.order_id IS NULL THEN 1 ELSE 0 END,
          CASE WHEN c.source = p.source AND c.stream = p.stream THEN 0 ELSE 1 END, c.source, c.stream) AS place
      FROM ({orders}) AS o
      JOIN purchases AS p ON p.purchase_id = o.purchase_id
      JOIN purchase_copies AS c ON c.purchase_id = o.purchase_id
      LEFT JOIN (SELECT DISTINCT source, order_id FROM order_lines) AS h ON h.source = c.source AND h.order_id = c.order_id
      WHERE o.counts) AS k
    WHERE place = 1"""


def ended(config: Config, until: str) -> str:
    """SQL of `fact_orders` with the orders that were cancelled only later."""
    return f"""(
      SELECT n, {COLUMNS} FROM fact_orders WHERE NOT {THEIRS.format(until=until)}
      UNION ALL SELECT n, {COLUMNS} FROM ({_theirs(config, until)}))"""


COLUMNS = """purchase, source, ordered_at, ordered_on, counts, in_money, net, total, discount, refunded, is_discounted, is_refunded,
  is_new_day, gap_days, is_season, is_sale_day, purchase_id"""


def _theirs(config: Config, until: str) -> str:
    found = f"({found_sql(config, PURCHASES.format(until=until))})".replace("{some}", THEIRS.format(until=until))
    made = of_found(found, f"({FIRSTS.format(found)})")
    return made.replace("OVER ()", "OVER (ORDER BY n, counts DESC, ordered_at, purchase_id)")


def lines(config: Config, until: str) -> str:
    """SQL of `fact_lines` with the lines of orders that were cancelled only later."""
    columns = "purchase, ordered_at, ordered_on, pieces, amount, product, taste, is_new_product"
    made = lines_sql(coded_lines(config, KEYS.format(orders=_theirs(config, until))))
    made = made.replace("OVER ()", "OVER (ORDER BY n, product_code, ordered_at, purchase)")
    return f"""(
      SELECT n, {columns} FROM fact_lines WHERE NOT {THEIRS.format(until=until)}
      UNION ALL SELECT n, {columns} FROM ({made}))"""
