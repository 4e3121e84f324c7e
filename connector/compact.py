"""Dated facts ready to be counted: whole numbers for people and words, sorted by person.

Made once after identity and reconciliation (not per as-of date) from `purchases`, `order_lines` and `events`. Everything
behind it (profile, rules) then joins and filters numbers only. Distinct counts become plain ones: a line that is the
person's first of its product carries a flag, and the flag depends on earlier lines alone, so it holds as of any date.

Tables: person_numbers(person_id, n), fact_links(source, contact_id, n), fact_orders, fact_lines, fact_events,
fact_interests (the first time a person met a topic), and the words behind their codes (`connector/compact_codes.py`):
fact_products (as order lines name them), fact_items (as events do), fact_categories, fact_words, fact_topics, fact_campaigns.
"""

from __future__ import annotations

import json

from connector import compact_codes
from connector.config import Config
from connector.fresh import News
from connector.purchases import PURCHASE_ID, shop_day
from connector.store import Store
from models.records import EVENT_KINDS, TABLES

VERSION = 9
"""Goes up with every change of what the tables hold: those of an earlier program are then made anew."""

TABLES_MADE = (
    "person_numbers", "fact_links", "fact_orders", "fact_lines", "fact_events", "fact_interests", "fact_products",
    "fact_items", "fact_categories", "fact_words", "fact_topics", "fact_campaigns", "fact_sales", "fact_kinds",
)  # fmt: skip

AT_ONCE = 262_144
"""People whose facts are sorted by one statement."""

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
    return json.dumps([VERSION, shop, counts, [str(v) for v in hashes[0]], sorted(TABLES)])


def stands(store: Store) -> bool:
    """Whether every table is there: notes about them may have come without them, from a backup or an earlier program."""
    held = {str(t) for (t,) in store.sql("SELECT table_name FROM duckdb_tables() WHERE NOT temporary")}
    return held.issuperset(TABLES_MADE)


def prepare(store: Store, config: Config) -> None:
    """Make every table anew. Call within the transaction that filled people, person_links and purchases."""
    number_people(store)
    _sales(store)
    compact_codes.products(store, config)
    compact_codes.mark_gift_cards(store)
    compact_codes.words(store)
    store.sql(f"CREATE OR REPLACE TABLE fact_items AS {compact_codes.items_sql(config, 'events')}")
    _copies_with_lines(store)
    _in_parts(store, "fact_orders", orders_sql(config))
    _in_parts(store, "fact_lines", lines_sql(coded_lines(config, KEYS)))
    _in_parts(store, "fact_events", _events(_coded_events(config, "events")))
    _in_parts(store, "fact_interests", _interests("fact_events"))
    store.sql("CREATE OR REPLACE TABLE fact_kinds AS SELECT DISTINCT CAST(kind AS VARCHAR) AS kind FROM fact_events")
    store.sql("DROP TABLE fact_keys")


def update(store: Store, config: Config, fresh: News) -> None:
    """Make the facts of the people with news anew (`news.find_people`); purchases and links must be up to date.

    What was known of them is taken from the facts as they stand, for reading the records again would cost as much as reading
    those of everybody.
    """
    before = [d for (d,) in store.sql("SELECT ordered_on FROM fact_sales")]
    _sales(store)
    after = [d for (d,) in store.sql("SELECT ordered_on FROM fact_sales")]
    if other := sorted(set(before) ^ set(after)):
        whose = "SELECT DISTINCT n FROM fact_orders WHERE ordered_on IN (SELECT unnest(CAST(? AS DATE[])))"
        for table in ("fact_order_news", "fact_changed"):
            store.sql(f"INSERT INTO {table} {whose} AND n NOT IN (FROM {table})", [other])
    _update_orders(store, config, fresh)
    compact_codes.add_words(store, fresh.new("events"))
    new_items = compact_codes.items_sql(config, fresh.new("events"), "ANTI JOIN fact_items USING (source, product)")
    store.sql(f"INSERT INTO fact_items {new_items}")
    _update_events(store, config, fresh)


def _update_orders(store: Store, config: Config, fresh: News) -> None:
    """Orders and lines. Lines of an order made again are read from the records, the others are those of before."""
    theirs = "n IN (FROM fact_order_news)"
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE lines_kept AS
        SELECT o.purchase_id, l.pieces, l.amount, l.product, l.taste
        FROM (SELECT * FROM fact_lines WHERE {theirs}) AS l
        JOIN (SELECT n, purchase, purchase_id FROM fact_orders WHERE {theirs}) AS o ON o.n = l.n AND o.purchase = l.purchase""")
    _replace(store, "fact_orders", theirs, orders_sql(config).replace("{some}", theirs))
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE fact_keys AS
        SELECT {PURCHASE_ID} AS purchase_id, p.source, p.stream, p.order_id FROM po_fresh AS p""")
    if store.sql("SELECT 1 FROM orders_met LIMIT 1"):
        store.sql("""
            INSERT INTO fact_keys SELECT p.purchase_id, p.source, p.stream, p.order_id FROM purchases AS p
            SEMI JOIN orders_met AS x ON x.source = p.source AND x.order_id = p.order_id
            WHERE p.purchase_id NOT IN (SELECT purchase_id FROM fact_keys)""")
    keys = f"""
        SELECT c.source, c.stream, c.order_id, o.n, o.purchase, o.ordered_at, o.ordered_on, o.in_money
        FROM (SELECT * FROM fact_orders WHERE {theirs} AND counts) AS o JOIN fact_keys AS c USING (purchase_id)"""
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE lines_now AS
        {coded_lines(config, keys)}
        UNION ALL BY NAME
        SELECT o.n, o.purchase, o.ordered_at, o.ordered_on, l.pieces, l.amount, l.product, w.product_code, l.taste
        FROM (SELECT * FROM lines_kept WHERE purchase_id NOT IN (SELECT purchase_id FROM fact_keys)) AS l
        JOIN (SELECT * FROM fact_orders WHERE {theirs}) AS o USING (purchase_id)
        JOIN fact_products AS w ON w.code = l.product""")
    _replace(store, "fact_lines", theirs, lines_sql("FROM lines_now"))
    for table in ("lines_kept", "lines_now", "fact_keys", "po_fresh"):
        store.sql(f"DROP TABLE {table}")


def _update_events(store: Store, config: Config, fresh: News) -> None:
    """Only of people whose records are others than before are events read from the records."""
    theirs = "n IN (FROM fact_event_news)"
    columns = "n, happened, day, kind, campaign, url, category, product, word, value, topic"
    new = _coded_events(config, fresh.new("events")).replace("{some}", "n NOT IN (FROM fact_moved)")
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE events_now AS
        SELECT {columns} FROM fact_events WHERE {theirs} AND n NOT IN (FROM fact_moved)
        UNION ALL SELECT {columns} FROM ({new})""")
    if store.sql("SELECT 1 FROM fact_moved LIMIT 1"):
        moved = _coded_events(config, "events").replace("{some}", "n IN (FROM fact_moved)")
        store.sql(f"INSERT INTO events_now SELECT {columns} FROM ({moved})")
    _replace(store, "fact_events", theirs, _events("FROM events_now"))
    _replace(store, "fact_interests", theirs, _interests("events_now").replace("{some}", "TRUE"))
    store.sql("INSERT INTO fact_kinds SELECT DISTINCT CAST(kind AS VARCHAR) FROM events_now EXCEPT FROM fact_kinds")
    store.sql("DROP TABLE events_now")


def _replace(store: Store, table: str, where: str, select: str) -> None:
    store.sql(f"DELETE FROM {table} WHERE {where}")
    store.sql(f"INSERT INTO {table} {select}")


def _in_parts(store: Store, table: str, select: str) -> None:
    """Make a table from a select with the mark {some} (a range of person numbers), so many people at a time that what is
    sorted fits into memory."""
    top = int(store.value("SELECT coalesce(max(n), 0) FROM person_numbers"))
    for low in range(0, top + 1, AT_ONCE):
        head = f"INSERT INTO {table}" if low else f"CREATE OR REPLACE TABLE {table} AS"
        store.sql(f"{head} {select.replace('{some}', f'n BETWEEN {low} AND {low + AT_ONCE - 1}')}")


def number_people(store: Store) -> None:
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


def number_circle(store: Store) -> None:
    """The same for the records in `id_circle` alone; leaves `links_changed` as `compare_links` does."""
    store.sql("""
        CREATE OR REPLACE TEMP TABLE links_before AS SELECT * FROM fact_links SEMI JOIN id_circle USING (source, contact_id)""")
    store.sql("""
        INSERT INTO person_numbers
        SELECT person_id, (SELECT coalesce(max(n), -1) FROM person_numbers) + row_number() OVER (ORDER BY person_id)
        FROM (SELECT DISTINCT person_id FROM id_names) ANTI JOIN person_numbers USING (person_id)""")
    store.sql("""
        DELETE FROM person_numbers WHERE person_id IN (FROM id_people_before EXCEPT SELECT person_id FROM id_names)""")
    store.sql("""
        DELETE FROM fact_links USING id_circle AS c WHERE c.source = fact_links.source AND c.contact_id = fact_links.contact_id""")
    now = """SELECT l.source, l.contact_id, i.n FROM (SELECT * FROM person_links SEMI JOIN id_circle USING (source, contact_id)) AS l
        JOIN person_numbers AS i USING (person_id)"""
    store.sql(f"CREATE OR REPLACE TEMP TABLE links_now AS {now}")
    store.sql("INSERT INTO fact_links FROM links_now")
    compare_links(store, "links_now")
    store.sql("DROP TABLE links_now")


def compare_links(store: Store, now: str) -> None:
    """Table links_changed(source, contact_id, was, n): records whose person has another number than in `links_before`."""
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE links_changed AS
        SELECT coalesce(a.source, b.source) AS source, coalesce(a.contact_id, b.contact_id) AS contact_id, b.n AS was, a.n
        FROM {now} AS a FULL JOIN links_before AS b ON b.source = a.source AND b.contact_id = a.contact_id
        WHERE a.n IS DISTINCT FROM b.n""")


def _sales(store: Store) -> None:
    """Days on which most of the shop's orders had a discount."""
    store.sql(f"""
        CREATE OR REPLACE TABLE fact_sales AS
        SELECT ordered_on FROM purchases WHERE counts AND ordered_on IS NOT NULL AND person_id IS NOT NULL GROUP BY ordered_on
        HAVING count(*) >= {SALE_DAY_ORDERS} AND 2 * count(*) FILTER (discount > 0) > count(*)""")


TODAY = "SELECT *, coalesce(net, total) AS left_over FROM purchases"


def orders_sql(config: Config) -> str:
    """Purchases in the order of person and time; `purchase` numbers those of one person in that order."""
    return f"""
        WITH found AS ({found_sql(config, TODAY)}),
        firsts AS ({FIRSTS.format("found")})
        {of_found("found", "firsts")}"""


def found_sql(config: Config, purchases: str) -> str:
    """Purchases with the number of their person, and returns booked as orders."""
    return f"""
          SELECT n.n, p.purchase_id, p.source, p.ordered_at, p.ordered_on, p.counts,
            currency = '{config.shop.currency}' AS in_money, p.left_over AS net, p.total, p.discount, p.refunded
          FROM ({purchases}) AS p JOIN (SELECT * FROM person_numbers WHERE {{some}}) AS n USING (person_id)
          WHERE p.counts OR (p.why_not = 'refund' AND p.ordered_at IS NOT NULL)"""


FIRSTS = "SELECT n, month(ordered_on) AS of_month, min(year(ordered_on)) AS first_year FROM {} AS f WHERE counts GROUP BY ALL"


def of_found(found: str, firsts: str) -> str:
    """The facts of `found_sql`; `firsts` holds the first year in which a person bought in a month."""
    return f"""
        SELECT n, CAST(number AS INTEGER) AS purchase, purchase_id, source, ordered_at, ordered_on, counts, in_money,
          CASE WHEN in_money THEN net END AS net, CASE WHEN in_money THEN total END AS total,
          CASE WHEN in_money THEN discount END AS discount, CASE WHEN in_money THEN refunded END AS refunded,
          coalesce(discount > 0, FALSE) AS is_discounted, coalesce(refunded > 0, FALSE) AS is_refunded,
          counts AND ordered_on IS NOT NULL AND ordered_on IS DISTINCT FROM before AS is_new_day,
          CASE WHEN counts THEN CAST(ordered_on - before AS INTEGER) END AS gap_days,
          coalesce(counts AND year(ordered_on) > first_year, FALSE) AS is_season,
          coalesce(ordered_on IN (SELECT ordered_on FROM fact_sales), FALSE) AS is_sale_day
        FROM (
          SELECT *, CASE WHEN lag(n) OVER () = n AND lag(counts) OVER () = counts THEN lag(ordered_on) OVER () END AS before,
            row_number() OVER () AS number
          FROM (SELECT f.*, s.first_year FROM {found} AS f
                LEFT JOIN {firsts} AS s ON s.n = f.n AND s.of_month = month(f.ordered_on)
                ORDER BY f.n, f.counts DESC, f.ordered_at, f.purchase_id))"""


def _copies_with_lines(store: Store) -> None:
    """Table fact_keys: for purchases with copies, the one whose lines tell what was bought: the first source's where it has
    some."""
    store.sql("CREATE OR REPLACE TEMP TABLE fact_keys AS SELECT purchase_id, source, stream, order_id FROM purchases LIMIT 0")
    if store.sql("SELECT 1 FROM purchases WHERE counts AND copies > 1 LIMIT 1"):
        store.sql("""
            INSERT INTO fact_keys
            SELECT p.purchase_id, c.source, c.stream, c.order_id
            FROM (SELECT * FROM purchases WHERE counts AND copies > 1) AS p
            JOIN purchase_copies AS c ON c.purchase_id = p.purchase_id
            SEMI JOIN order_lines AS h ON h.source = c.source AND h.order_id = c.order_id
            QUALIFY row_number() OVER (PARTITION BY p.purchase_id
              ORDER BY CASE WHEN c.source = p.source AND c.stream = p.stream THEN 0 ELSE 1 END, c.source, c.stream) = 1""")


KEYS = """
    SELECT coalesce(c.source, p.source) AS source, coalesce(c.stream, p.stream) AS stream,
      coalesce(c.order_id, p.order_id) AS order_id, o.n, o.purchase, o.ordered_at, o.ordered_on, o.in_money
    FROM (SELECT * FROM fact_orders WHERE {some} AND counts) AS o
    JOIN purchases AS p ON p.purchase_id = o.purchase_id
    LEFT JOIN fact_keys AS c ON c.purchase_id = o.purchase_id
    WHERE p.copies = 1 OR c.purchase_id IS NOT NULL"""
"""The orders whose lines tell what was bought, with their person."""


def lines_sql(coded: str) -> str:
    """Sorted by product, so that a person's first line of each can be told from the line before."""
    return f"""
        SELECT n, purchase, ordered_at, ordered_on, pieces, amount, product, taste,
          product_code IS NOT NULL
            AND NOT coalesce(lag(n) OVER () = n AND lag(product_code) OVER () = product_code, FALSE) AS is_new_product
        FROM (SELECT * FROM ({coded}) ORDER BY n, product_code, ordered_at, purchase)"""


def coded_lines(config: Config, keys: str) -> str:
    """The lines of some orders with the codes of what was bought."""
    return f"""
        SELECT l.n, l.purchase, l.ordered_at, l.ordered_on,
          CASE WHEN w.product_code IS NULL THEN 0 ELSE CAST(l.quantity AS DOUBLE) END AS pieces, l.amount,
          w.code AS product, w.product_code, CASE WHEN NOT w.is_sensitive THEN w.category END AS taste
        FROM (
          SELECT k.n, k.purchase, k.ordered_at, k.ordered_on, l.quantity, l.category, l.vendor, l.product_id, l.source,
            coalesce(l.product_id, l.sku, l.title) AS product, l.title, l.sku,
            CASE WHEN coalesce(l.currency = '{config.shop.currency}', k.in_money) THEN l.amount END AS amount
          FROM ({keys}) AS k
          JOIN order_lines AS l ON l.source = k.source AND l.order_id = k.order_id
            AND (l.source = 'import' OR l.stream = k.stream)
        ) AS l
        JOIN fact_products AS w ON w.source = l.source AND w.product IS NOT DISTINCT FROM l.product
          AND w.title IS NOT DISTINCT FROM l.title AND w.line_category IS NOT DISTINCT FROM l.category
          AND w.sku IS NOT DISTINCT FROM l.sku AND w.line_vendor IS NOT DISTINCT FROM l.vendor"""


def _events(coded: str) -> str:
    """`sent_no` counts the mails sent up to the row, from anywhere on: only differences within a person mean something."""
    return f"""
        SELECT *, CAST(count(*) FILTER (kind = 'sent') OVER (ROWS UNBOUNDED PRECEDING) AS INTEGER) AS sent_no
        FROM (SELECT * FROM ({coded}) ORDER BY n, happened, kind)"""


def _coded_events(config: Config, rows: str) -> str:
    """Events with their person and the codes of their words. Opens by machines are a kind of their own (`machine_open`), and
    Mailchimp's where it cannot tell (go by clicks there). Clicks are people's unless the platform says that a machine made them."""
    kinds = ", ".join(f"'{k}'" for k in (*EVENT_KINDS, "machine_open", "machine_click", "other"))
    return f"""
        SELECT l.n, e.occurred_at AS happened, {shop_day("e.occurred_at", config.shop.timezone)} AS day,
          CAST(CASE WHEN e.kind = 'open' AND coalesce(e.is_machine, e.source = 'mailchimp') THEN 'machine_open'
            WHEN e.kind = 'click' AND e.is_machine THEN 'machine_click'
            WHEN e.kind IN ({kinds}) THEN e.kind ELSE 'other' END AS ENUM({kinds})) AS kind,
          c.code AS campaign, u.code AS url, coalesce(g.code, p.category) AS category, p.code AS product, w.code AS word,
          e.value,
          CASE WHEN e.kind IN ('page_view', 'product_view') OR e.kind = 'click' AND e.is_machine IS NOT TRUE
            THEN coalesce(g.topic, p.topic, CASE WHEN e.kind = 'click' THEN u.topic END) END AS topic
        FROM (
          SELECT CASE WHEN contact_id IS NULL THEN 'email' ELSE source END AS of_source, coalesce(contact_id, email) AS who, *
          FROM {rows} WHERE occurred_at IS NOT NULL) AS e
        JOIN (SELECT * FROM fact_links WHERE {{some}}) AS l ON l.source = e.of_source AND l.contact_id = e.who
        LEFT JOIN fact_campaigns AS c ON c.source = e.source AND c.campaign_id = e.campaign_id
        LEFT JOIN fact_words AS u ON u.word = e.url
        LEFT JOIN (SELECT c.*, t.code AS topic FROM fact_categories AS c JOIN fact_topics AS t USING (name)) AS g
          ON g.name = e.category
        LEFT JOIN fact_items AS p ON p.source = e.source AND p.product = e.product_id
        LEFT JOIN fact_words AS w ON w.word = e.text"""


def _interests(events: str) -> str:
    return f"""
        SELECT n, kind = 'click' AS is_click, topic, min(happened) AS happened, min(day) AS day
        FROM {events} WHERE topic IS NOT NULL AND {{some}} GROUP BY ALL ORDER BY n"""
