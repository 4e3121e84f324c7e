"""The codes behind the facts: one number per product, category, word, topic and campaign, with what it is called.

Facts hold these numbers instead of names, so that joins and sorts are of whole numbers (`connector/compact.py`).
"""

from __future__ import annotations

from connector.config import Config
from connector.store import Store

SECTION = "^(?:https?://)?[^/?#]+/([^/?#]+)"
"""The first part of a link's path: what the page is about."""


def products(store: Store, config: Config) -> None:
    """One code per product as lines name it, with its name in the catalogue, its category and its vendor (as the line says, else
    the catalogue); what the owner calls sensitive is marked."""
    store.sql("""
        CREATE OR REPLACE TABLE fact_categories AS
        SELECT CAST(row_number() OVER (ORDER BY name) AS INTEGER) AS code, name
        FROM (SELECT DISTINCT category AS name FROM order_lines UNION SELECT DISTINCT category FROM products
              UNION SELECT DISTINCT category FROM events) WHERE name IS NOT NULL AND name <> ''""")
    store.sql(f"""
        CREATE OR REPLACE TABLE fact_products AS
        SELECT CAST(row_number() OVER (ORDER BY source, product, title, line_category, sku, line_vendor) AS INTEGER) AS code,
          CAST(dense_rank() OVER (ORDER BY source, product) AS INTEGER) AS product_code, source, product, title, sku, shown,
          named, line_category, c.code AS category, c.name AS category_name, line_vendor, vendor_name, vendor_now,
          CASE WHEN vendor_name IS NOT NULL THEN CAST(dense_rank() OVER (ORDER BY vendor_name) AS INTEGER) END AS vendor,
          {_is_sensitive(config, "title, named, category_name, vendor_name, vendor_now")} AS is_sensitive
        FROM (
          SELECT d.*, coalesce(d.line_category, p.category) AS category_name, coalesce(d.title, p.title) AS shown,
            p.title AS named, coalesce(nullif(d.line_vendor, ''), p.vendor) AS vendor_name, p.vendor AS vendor_now
          FROM (SELECT DISTINCT source, coalesce(product_id, sku, title) AS product, title, sku, category AS line_category,
                  vendor AS line_vendor
                FROM order_lines) AS d
          LEFT JOIN (SELECT source, product_id, any_value(category) AS category, any_value(title) AS title,
                       min(nullif(vendor, '')) AS vendor
                     FROM products GROUP BY ALL) AS p
            ON p.source = d.source AND p.product_id = d.product) AS d
        LEFT JOIN fact_categories AS c ON c.name = d.category_name""")


def mark_gift_cards(store: Store) -> None:
    """Money given in advance is no merchandise: such a product has no code and no category, so neither pieces nor taste count it.
    Rules that name it (`bought(product => ...)`) find it."""
    store.sql("""
        UPDATE fact_products SET product_code = NULL, category = NULL, vendor = NULL WHERE (source, product) IN (
          SELECT (source, coalesce(product_id, sku, title)) FROM order_lines WHERE is_gift_card
          UNION SELECT (source, product_id) FROM products WHERE is_gift_card)""")


def _is_sensitive(config: Config, columns: str) -> str:
    """SQL of whether one of these names holds a word the owner calls sensitive."""
    patterns = [p.lower().replace("'", "''") for p in config.privacy.sensitive_products]
    return " OR ".join(f"lower(concat_ws(' ', {columns})) LIKE '%{p}%'" for p in patterns) or "FALSE"


def items_sql(config: Config, events: str, but: str = "") -> str:
    """One code per product as events name it, with what the catalogue says of it: an event seldom names more than the id. The
    topic of a sensitive one is not told."""
    last = "(SELECT coalesce(max(code), 0) FROM fact_items)" if but else "0"
    return f"""
        SELECT CAST({last} + row_number() OVER (ORDER BY e.source, e.product) AS INTEGER) AS code, e.source, e.product, p.title,
          c.code AS category, p.vendor,
          CASE WHEN NOT ({_is_sensitive(config, "p.title, p.category, p.vendor")}) THEN t.code END AS topic
        FROM (SELECT DISTINCT source, product_id AS product FROM {events} WHERE product_id <> '') AS e {but}
        LEFT JOIN (SELECT source, product_id, any_value(category) AS category, any_value(title) AS title,
                     min(nullif(vendor, '')) AS vendor
                   FROM products GROUP BY ALL) AS p ON p.source = e.source AND p.product_id = e.product
        LEFT JOIN fact_categories AS c ON c.name = p.category
        LEFT JOIN fact_topics AS t ON t.name = p.category"""


def words(store: Store) -> None:
    """Codes for all words of events, what pages are about, and mails."""
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE words_found AS
        SELECT CAST(row_number() OVER (ORDER BY word) AS INTEGER) AS code, word,
          nullif(lower(regexp_extract(word, '{SECTION}', 1)), '') AS section
        FROM (SELECT DISTINCT url AS word FROM events UNION SELECT DISTINCT text FROM events)
        WHERE word IS NOT NULL AND word <> ''""")
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


def add_words(store: Store, new_events: str) -> None:
    """Codes for words, topics and campaigns that were never met before; the known ones keep theirs."""
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE words_found AS
        SELECT f.word, nullif(lower(regexp_extract(f.word, '{SECTION}', 1)), '') AS section
        FROM (SELECT url AS word FROM {new_events} UNION SELECT text FROM {new_events}) AS f
        ANTI JOIN fact_words AS w ON w.word = f.word WHERE f.word <> ''""")
    store.sql("""
        INSERT INTO fact_topics
        SELECT (SELECT coalesce(max(code), 0) FROM fact_topics) + row_number() OVER (ORDER BY section), section
        FROM (SELECT DISTINCT section FROM words_found WHERE section IS NOT NULL AND section NOT IN (SELECT name FROM fact_topics))""")
    store.sql("""
        INSERT INTO fact_words
        SELECT (SELECT coalesce(max(code), 0) FROM fact_words) + row_number() OVER (ORDER BY word), word, t.code
        FROM words_found AS w LEFT JOIN fact_topics AS t ON t.name = w.section""")
    store.sql("DROP TABLE words_found")
    store.sql(f"""
        INSERT INTO fact_campaigns
        SELECT (SELECT coalesce(max(code), 0) FROM fact_campaigns) + row_number() OVER (ORDER BY source, campaign_id), source,
          campaign_id, NULL, NULL
        FROM (SELECT DISTINCT source, campaign_id FROM {new_events} AS e WHERE campaign_id IS NOT NULL) AS e
        ANTI JOIN fact_campaigns USING (source, campaign_id)""")
    store.sql("""
        CREATE OR REPLACE TABLE fact_campaigns AS
        SELECT e.code, e.source, e.campaign_id, c.name, c.subject FROM fact_campaigns AS e
        LEFT JOIN (SELECT source, campaign_id, any_value(name) AS name, any_value(subject) AS subject FROM campaigns
                   GROUP BY ALL) AS c USING (source, campaign_id)""")
