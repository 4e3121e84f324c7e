"""In which category each product was, since when. Platforms tell only what holds now, so we write down what we see change.

What was sold before we first looked has no category that a model may learn from: nobody knows which one it had then.
"""

from __future__ import annotations

from datetime import datetime

from connector.store import Store


def note(store: Store, now: datetime) -> int:
    """Write down every category that is not the one last known; gives how many."""
    return len(
        store.sql(
            """
        INSERT INTO product_categories (source, product_id, category, since)
        SELECT p.source, p.product_id, p.category, CAST($now AS TIMESTAMP)
        FROM (SELECT source, product_id, min(nullif(category, '')) AS category FROM products
              WHERE product_id IS NOT NULL GROUP BY source, product_id) AS p
        LEFT JOIN (SELECT source, product_id, arg_max_null(category, since) AS category
                   FROM product_categories GROUP BY source, product_id) AS k
          ON k.source = p.source AND k.product_id = p.product_id
        WHERE p.category IS DISTINCT FROM k.category RETURNING 1""",
            {"now": now},
        )
    )
