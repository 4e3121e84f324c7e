"""Dated facts ready to be counted: whole numbers for people and words, sorted by person.

Made once after identity and reconciliation (not per as-of date) from `purchases`, `order_lines` and `events`. Everything
behind it (profile, rules) then joins and filters numbers only. Distinct counts become plain ones: a line that is the
person's first of its product carries a flag, and the flag depends on earlier lines alone, so it holds as of any date.

Tables: person_numbers(person_id, n), fact_links(source, contact_id, n), fact_orders, fact_lines, fact_events, and the words
behind their codes: fact_products, fact_categories, fact_words, fact_campaigns.
"""

from __future__ import annotations

import json

from connector.config import Config
from connector.purchases import shop_day
from connector.store import Store
from models.records import EVENT_KINDS, TABLES

SALE_DAY_ORDERS = 5
"""A day with fewer orders than this is never taken for a sitewide sale."""

BASE = (
    "contacts",
    "identifiers",
    "orders",
    "order_lines",
    "products",
    "refunds",
    "events",
    "carts",
    "subscriptions",
    "campaigns",
)


def fingerprint(store: Store, config: Config) -> str:
    """Changes whenever a record, or a setting that identity and facts depend on, does."""
    shop = config.shop.model_dump_json() + config.identity.model_dump_json() + str(config.privacy.sensitive_products)
    parts = [f"SELECT '{t}' AS t, count(*) AS rows, max(rowid) AS last FROM \"{t}\"" for t in BASE]
    counts = store.sql(f"SELECT * FROM ({' UNION ALL '.join(parts)}) ORDER BY t")
    hashes = store.sql("""
        SELECT (SELECT sum(hash(record_key, content_hash, state)) FROM source_records),
          (SELECT sum(hash(source, contact_id, email, phone, first_name, state, merged_into, created_at, updated_at))
            FROM contacts),
          (SELECT sum(hash(source, contact_id, kind, value)) FROM identifiers)""")
    return json.dumps([shop, counts, [str(v) for v in hashes[0]], sorted(TABLES)])


def prepare(store: Store, config: Config) -> None:
    """Make every table anew. Call within the transaction that filled people, person_links and purchases."""
    _number_people(store)
    _orders(store, config)
    _lines(store, config)
    _events(store, config)


def _number_people(store: Store) -> None:
    """A number stays with its person as long as the store lives; those of people who are gone are not used again."""
    store.sql("CREATE TABLE IF NOT EXISTS person_numbers (person_id VARCHAR, n INTEGER)")
    store.sql("""
        CREATE OR REPLACE TABLE person_numbers AS
        WITH top AS (SELECT coalesce(max(n), -1) AS top FROM person_numbers)
        SELECT p.person_id, CAST(coalesce(o.n, top.top + row_number() OVER (PARTITION BY o.n IS NULL ORDER BY p.person_id))
          AS INTEGER) AS n
        FROM people AS p LEFT JOIN person_numbers AS o USING (person_id), top ORDER BY n""")
    store.sql("""
        CREATE OR REPLACE TABLE fact_links AS
        SELECT l.source, l.contact_id, n.n FROM person_links AS l JOIN person_numbers AS n USING (person_id) ORDER BY n""")


def _orders(store: Store, config: Config) -> None:
    money = f"currency = '{config.shop.currency}'"
    store.sql(f"""
        CREATE OR REPLACE TABLE fact_orders AS
        WITH found AS (
          SELECT n.n, p.purchase_id, p.source, p.ordered_at, p.ordered_on, p.counts, {money} AS in_money,
            coalesce(p.net, p.total) AS net, p.total, p.discount, p.refunded
          FROM purchases AS p JOIN person_numbers AS n USING (person_id)
          WHERE p.counts OR (p.why_not = 'refund' AND p.ordered_at IS NOT NULL)),
        sales AS (
          SELECT ordered_on FROM found WHERE counts AND ordered_on IS NOT NULL GROUP BY ordered_on
          HAVING count(*) >= {SALE_DAY_ORDERS} AND 2 * count(*) FILTER (discount > 0) > count(*))
        SELECT n, CAST(row_number() OVER (ORDER BY n, ordered_at, purchase_id) AS INTEGER) AS purchase, purchase_id, source,
          ordered_at, ordered_on, counts, in_money, CASE WHEN in_money THEN net END AS net,
          CASE WHEN in_money THEN total END AS total, CASE WHEN in_money THEN discount END AS discount,
          CASE WHEN in_money THEN refunded END AS refunded, coalesce(discount > 0, FALSE) AS is_discounted,
          coalesce(refunded > 0, FALSE) AS is_refunded,
          counts AND ordered_on IS NOT NULL AND ordered_on IS DISTINCT FROM before AS is_new_day,
          CASE WHEN counts THEN CAST(ordered_on - before AS INTEGER) END AS gap_days,
          coalesce(counts AND year(ordered_on) > first_year, FALSE) AS is_season,
          coalesce(ordered_on IN (SELECT ordered_on FROM sales), FALSE) AS is_sale_day
        FROM (
          SELECT *, lag(ordered_on) OVER (PARTITION BY n, counts ORDER BY ordered_at, purchase_id) AS before,
            min(year(ordered_on)) OVER (PARTITION BY n, counts, month(ordered_on)) AS first_year
          FROM found)
        ORDER BY n, ordered_at, purchase_id""")


def _lines(store: Store, config: Config) -> None:
    """Lines of a purchase come from the copy that has some, the first source's where it does."""
    store.sql("""
        CREATE OR REPLACE TEMP TABLE fact_keys AS
        SELECT p.source, p.stream, p.order_id, o.n, o.purchase, o.ordered_at, o.ordered_on, o.in_money
        FROM fact_orders AS o JOIN purchases AS p ON p.purchase_id = o.purchase_id WHERE o.counts AND p.copies = 1""")
    store.sql("""
        INSERT INTO fact_keys
        SELECT c.source, c.stream, c.order_id, o.n, o.purchase, o.ordered_at, o.ordered_on, o.in_money
        FROM purchases AS p
        JOIN fact_orders AS o ON o.purchase_id = p.purchase_id
        JOIN purchase_copies AS c ON c.purchase_id = p.purchase_id
        JOIN (SELECT DISTINCT source, order_id FROM order_lines) AS h ON h.source = c.source AND h.order_id = c.order_id
        WHERE p.counts AND p.copies > 1
        QUALIFY row_number() OVER (PARTITION BY p.purchase_id
          ORDER BY CASE WHEN c.source = p.source AND c.stream = p.stream THEN 0 ELSE 1 END, c.source, c.stream) = 1""")
    _products(store, config)
    store.sql(f"""
        CREATE OR REPLACE TABLE fact_lines AS
        SELECT n, purchase, ordered_at, ordered_on, CAST(quantity AS DOUBLE) AS pieces, amount, w.code AS product,
          CASE WHEN NOT w.is_sensitive THEN w.category END AS taste,
          row_number() OVER (PARTITION BY n, w.product_code ORDER BY ordered_at, purchase) = 1 AS is_new_product
        FROM (
          SELECT k.n, k.purchase, k.ordered_at, k.ordered_on, l.quantity, l.category, l.product_id, l.source,
            coalesce(l.product_id, l.sku, l.title) AS product, l.title,
            CASE WHEN coalesce(l.currency = '{config.shop.currency}', k.in_money) THEN l.amount END AS amount
          FROM fact_keys AS k
          JOIN order_lines AS l ON l.source = k.source AND l.order_id = k.order_id
            AND (l.source = 'import' OR l.stream = k.stream)
        ) AS l
        JOIN fact_products AS w ON w.source = l.source AND w.product IS NOT DISTINCT FROM l.product
          AND w.title IS NOT DISTINCT FROM l.title AND w.line_category IS NOT DISTINCT FROM l.category
        ORDER BY n, ordered_at, purchase""")
    store.sql("DROP TABLE fact_keys")


def _products(store: Store, config: Config) -> None:
    """One code per product as lines name it, with its category; what the owner calls sensitive is marked."""
    patterns = [p.lower() for p in config.privacy.sensitive_products]
    sensitive = " OR ".join(
        f"lower(concat_ws(' ', title, shown, category_name)) LIKE '%{p.replace(chr(39), chr(39) * 2)}%'" for p in patterns
    )
    store.sql("""
        CREATE OR REPLACE TABLE fact_categories AS
        SELECT CAST(row_number() OVER (ORDER BY name) AS INTEGER) AS code, name
        FROM (SELECT DISTINCT category AS name FROM order_lines UNION SELECT DISTINCT category FROM products
              UNION SELECT DISTINCT category FROM events) WHERE name IS NOT NULL AND name <> ''""")
    store.sql(f"""
        CREATE OR REPLACE TABLE fact_products AS
        SELECT CAST(row_number() OVER (ORDER BY source, product, title, line_category) AS INTEGER) AS code,
          CAST(dense_rank() OVER (ORDER BY source, product) AS INTEGER) AS product_code, source, product, title, shown,
          line_category, c.code AS category, c.name AS category_name, coalesce({sensitive or "FALSE"}, FALSE) AS is_sensitive
        FROM (
          SELECT d.*, coalesce(d.line_category, p.category) AS category_name, coalesce(d.title, p.title) AS shown
          FROM (SELECT DISTINCT source, coalesce(product_id, sku, title) AS product, title, category AS line_category
                FROM order_lines) AS d
          LEFT JOIN (SELECT source, product_id, any_value(category) AS category, any_value(title) AS title
                     FROM products GROUP BY ALL) AS p
            ON p.source = d.source AND p.product_id = d.product) AS d
        LEFT JOIN fact_categories AS c ON c.name = d.category_name""")


def _events(store: Store, config: Config) -> None:
    """Opens by machines are a kind of their own (`machine_open`), and Mailchimp's where it cannot tell (go by clicks there);
    `sent_no` counts the mails sent up to the row."""
    kinds = ", ".join(f"'{k}'" for k in (*EVENT_KINDS, "machine_open", "other"))
    store.sql("""
        CREATE OR REPLACE TEMP TABLE words_found AS
        SELECT CAST(row_number() OVER (ORDER BY word) AS INTEGER) AS code, word,
          nullif(lower(regexp_extract(word, '^(?:https?://)?[^/?#]+/([^/?#]+)', 1)), '') AS section
        FROM (SELECT DISTINCT url AS word FROM events UNION SELECT DISTINCT product_id FROM events
              UNION SELECT DISTINCT text FROM events) WHERE word IS NOT NULL AND word <> ''""")
    store.sql("""
        CREATE OR REPLACE TABLE fact_topics AS
        SELECT CAST(row_number() OVER (ORDER BY name) AS INTEGER) AS code, name
        FROM (SELECT name FROM fact_categories UNION SELECT section FROM words_found) WHERE name IS NOT NULL""")
    store.sql("""
        CREATE OR REPLACE TABLE fact_words AS SELECT w.code, w.word, t.code AS topic
        FROM words_found AS w LEFT JOIN fact_topics AS t ON t.name = w.section""")
    store.sql("DROP TABLE words_found")
    store.sql("""
        CREATE OR REPLACE TABLE fact_campaigns AS
        SELECT CAST(row_number() OVER (ORDER BY e.source, e.campaign_id) AS INTEGER) AS code, e.source, e.campaign_id, c.name,
          c.subject
        FROM (SELECT DISTINCT source, campaign_id FROM events WHERE campaign_id IS NOT NULL) AS e
        LEFT JOIN (SELECT source, campaign_id, any_value(name) AS name, any_value(subject) AS subject FROM campaigns
                   GROUP BY ALL) AS c USING (source, campaign_id)""")
    store.sql(f"""
        CREATE OR REPLACE TABLE fact_events AS
        SELECT n, happened, day, kind, campaign, url, category, product, word, value, topic,
          topic IS NOT NULL AND row_number() OVER (PARTITION BY n, kind = 'click', topic ORDER BY happened) = 1 AS is_new_topic,
          CAST(count(*) FILTER (kind = 'sent') OVER (PARTITION BY n ORDER BY happened, kind ROWS UNBOUNDED PRECEDING)
            AS INTEGER) AS sent_no
        FROM (
          SELECT l.n, e.occurred_at AS happened, {shop_day("e.occurred_at", config.shop.timezone)} AS day,
            CAST(CASE WHEN e.kind = 'open' AND coalesce(e.is_machine, e.source = 'mailchimp') THEN 'machine_open'
              WHEN e.kind IN ({kinds}) THEN e.kind ELSE 'other' END AS ENUM({kinds})) AS kind,
            c.code AS campaign, u.code AS url, g.code AS category, p.code AS product, w.code AS word, e.value,
            CASE WHEN e.kind IN ('page_view', 'product_view', 'click')
              THEN coalesce(g.topic, CASE WHEN e.kind = 'click' THEN u.topic END) END AS topic
          FROM (
            SELECT CASE WHEN contact_id IS NULL THEN 'email' ELSE source END AS of_source, coalesce(contact_id, email) AS who, *
            FROM events WHERE occurred_at IS NOT NULL) AS e
          JOIN fact_links AS l ON l.source = e.of_source AND l.contact_id = e.who
          LEFT JOIN fact_campaigns AS c ON c.source = e.source AND c.campaign_id = e.campaign_id
          LEFT JOIN fact_words AS u ON u.word = e.url
          LEFT JOIN (SELECT c.*, t.code AS topic FROM fact_categories AS c JOIN fact_topics AS t USING (name)) AS g
            ON g.name = e.category
          LEFT JOIN fact_words AS p ON p.word = e.product_id
          LEFT JOIN fact_words AS w ON w.word = e.text)
        ORDER BY n, happened""")
