"""Which records came since the facts were last made, and whose they are: so that a few thousand changes cost seconds.

A record that changes is deleted and stored again, so what is new stands behind the last row of before. Whether the rows up
to there are the ones they were (the database may close gaps when it writes to disk) is told by the last of them and some
before, which are looked at again. Wherever something cannot be told, the answer is: make everything anew.

Not followed, but made anew: more than one source of orders (copies are looked for across all people), orders or events that
were deleted for good, new categories, vendors and products, another configuration.
"""

from __future__ import annotations

import hashlib

import orjson

from connector import compact
from connector.config import Config
from connector.fresh import OF_SOURCE, WHOSE, News
from connector.store import Store

FOLLOWED = ("orders", "order_lines", "refunds", "events")

LOOKED_AT = 64

FEW = 0.1
"""With changes of a larger share of the people all facts are made anew: they come out sorted, and it costs no more."""


def since(store: Store, config: Config) -> News | None:
    """What came since `remember`; None where everything must be made anew."""
    found = store.value("SELECT value FROM meta WHERE name = 'fact_marks'")
    before = orjson.loads(found) if found else None
    if before is None or before["fixed"] != _fixed(store, config) or not compact.stands(store):
        return None
    marks: dict[str, tuple[int, int, dict[str, str]]] = {t: tuple(m) for t, m in before["tables"].items()}
    removed = {}
    for table, (rows, last, sentinels) in marks.items():
        kept = store.value(f'SELECT count(*) FROM "{table}" WHERE rowid <= $last', {"last": last})
        now = _sentinels(store, table, last)
        if rows and (str(last) not in now or any(sentinels.get(row) != told for row, told in now.items())):
            return None
        removed[table] = rows - kept
    news = News({t: last for t, (_, last, _) in marks.items()}, removed)
    return news if _is_followed(store, news) else None


def remember(store: Store, config: Config) -> None:
    """Call when the facts stand, in the same transaction."""
    tables = {}
    for table in FOLLOWED:
        rows, last = store.sql(f'SELECT count(*), coalesce(max(rowid), -1) FROM "{table}"')[0]
        tables[table] = (rows, last, _sentinels(store, table, last))
    store.sql("DELETE FROM meta WHERE name = 'fact_marks'")
    text = orjson.dumps({"fixed": _fixed(store, config), "tables": tables}).decode()
    store.insert("meta", [{"name": "fact_marks", "value": text}])


def _sentinels(store: Store, table: str, last: int) -> dict[str, str]:
    """Row -> what it holds, of the last rows and of some ever further ahead. One alone could be deceived: stored again as it
    was, it stands in its old place where as many rows before it went as came."""
    places = [f"BETWEEN {last - LOOKED_AT + 1} AND {last}"]  # one row or a range is found without reading the table, a list not
    places += [f"= {last - (1 << n)}" for n in range(40) if LOOKED_AT <= 1 << n <= last]
    looks = " UNION ALL ".join(f'SELECT rowid, hash(t) FROM "{table}" AS t WHERE rowid {place}' for place in places)
    return {str(row): str(told) for row, told in store.sql(looks)}


def _fixed(store: Store, config: Config) -> str:
    """What must be the same for the facts of people without news to hold."""
    settings = config.shop.model_dump_json() + config.identity.model_dump_json() + str(config.privacy.sensitive_products)
    products = store.value("SELECT sum(hash(t)) FROM products AS t")
    return f"{compact.VERSION} {FOLLOWED} {settings} {products}"


def _is_followed(store: Store, news: News) -> bool:
    """Every row that went must have come again, and nothing must have come that changes the codes of others."""
    ranks, removed = store.value("SELECT count(DISTINCT (source, kind = 'deal')) FROM orders"), news.removed
    if removed["events"] or (ranks or 0) > 1:
        return False
    replaced = store.value(f"""
        SELECT count(*) FROM purchase_copies AS c SEMI JOIN {news.new("orders")} AS o
        ON o.source = c.source AND o.stream = c.stream AND o.order_id = c.order_id""")
    if removed["orders"] != replaced:
        return False
    for table in ("order_lines", "refunds"):
        own = f"SELECT DISTINCT source, stream FROM {table} EXCEPT SELECT DISTINCT source, stream FROM orders"
        if removed[table] and (not replaced or store.sql(own)):
            return False
    unknown = f"""
        SELECT 1 FROM (SELECT category FROM {news.new("order_lines")} UNION SELECT category FROM {news.new("events")}) AS c(name)
        WHERE name <> '' AND name NOT IN (SELECT name FROM fact_categories)
        UNION ALL SELECT 1 FROM {news.new("order_lines")} AS l ANTI JOIN fact_products AS w ON w.source = l.source
          AND w.product IS NOT DISTINCT FROM coalesce(l.product_id, l.sku, l.title) AND w.title IS NOT DISTINCT FROM l.title
          AND w.line_category IS NOT DISTINCT FROM l.category AND w.sku IS NOT DISTINCT FROM l.sku
          AND w.line_vendor IS NOT DISTINCT FROM l.vendor"""
    return not store.sql(f"{unknown} LIMIT 1")


def find_people(store: Store, news: News) -> bool:
    """Whose facts are to be made again: the tables fact_moved(n), of people whose records are others than before,
    fact_order_news(n), fact_event_news(n), and fact_changed(n), all of them. Call when the new links stand in `fact_links`,
    what differs from before in `links_changed`, and purchases as they were. False where they are so many that all should be."""
    store.sql("""
        CREATE OR REPLACE TEMP TABLE fact_moved AS
        SELECT DISTINCT n FROM (SELECT unnest([was, n]) AS n FROM links_changed WHERE was IS NOT NULL) WHERE n IS NOT NULL""")
    replaced = f"""
        UNION ALL SELECT i.n FROM purchases AS p JOIN person_numbers AS i USING (person_id)
          SEMI JOIN {news.new("orders")} AS o ON o.source = p.source AND o.order_id = p.order_id"""
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE fact_order_news AS
        SELECT DISTINCT n FROM (
          FROM fact_moved UNION ALL SELECT l.n FROM {news.new("orders")} AS o JOIN fact_links AS l
            ON l.source = {OF_SOURCE} AND l.contact_id = {WHOSE}
          {replaced if news.removed["orders"] else ""}) WHERE n IS NOT NULL""")
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE orders_met AS
        SELECT source, order_id FROM (SELECT source, order_id FROM {news.new("order_lines")} UNION
          SELECT source, order_id FROM {news.new("refunds")}) AS x
        ANTI JOIN {news.new("orders")} AS o ON o.source = x.source AND o.order_id = x.order_id""")
    if store.sql("SELECT 1 FROM orders_met LIMIT 1"):
        store.sql(f"""
            INSERT INTO fact_order_news SELECT DISTINCT l.n FROM orders AS o JOIN fact_links AS l
              ON l.source = {OF_SOURCE} AND l.contact_id = {WHOSE}
            SEMI JOIN orders_met AS x ON x.source = o.source AND x.order_id = o.order_id WHERE l.n NOT IN (FROM fact_order_news)""")
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE fact_event_news AS
        SELECT DISTINCT n FROM (
          FROM fact_moved UNION ALL SELECT l.n FROM {news.new("events")} AS o JOIN fact_links AS l
            ON l.source = {OF_SOURCE} AND l.contact_id = {WHOSE}) WHERE n IS NOT NULL""")
    store.sql("""
        CREATE OR REPLACE TEMP TABLE fact_changed AS
        FROM fact_order_news UNION FROM fact_event_news UNION SELECT n FROM links_changed WHERE n IS NOT NULL""")
    changed, people = store.sql("SELECT (SELECT count(*) FROM fact_changed), (SELECT count(*) FROM person_numbers)")[0]
    return bool(changed <= FEW * people)


def facts_state(store: Store) -> str:
    """Stands for the records and settings the facts in the store were made from."""
    found = store.value("SELECT value FROM meta WHERE name = 'identity_state'")
    return hashlib.sha256(str(orjson.loads(found)["state"]).encode()).hexdigest() if found else ""


def tell_profile(store: Store) -> None:
    """Add the changed people to those the next profile must make again."""
    store.sql("CREATE TABLE IF NOT EXISTS fact_news (n INTEGER)")
    store.sql("INSERT INTO fact_news SELECT n FROM fact_changed EXCEPT SELECT n FROM fact_news")


def forget_all(store: Store) -> None:
    """Rows were rewritten where they stand, which no mark tells: facts and profile are to be made anew."""
    store.sql("DELETE FROM meta WHERE name IN ('identity_state', 'fact_marks', 'profile_state')")


def forget_news(store: Store) -> None:
    """All facts were made anew: whose have changed is not known."""
    store.sql("DELETE FROM meta WHERE name = 'fact_news_since'")
    store.sql("CREATE OR REPLACE TABLE fact_news (n INTEGER)")
