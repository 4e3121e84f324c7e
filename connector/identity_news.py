"""Who is who again, only among the records that news touch: everybody else stays who they are.

A record is looked at again when what identity reads of it differs from before, and with it whoever holds an address or number
it has or had, whoever it was merged with, and all records of those people. No link can lead out of that circle: an address
nobody in it gained or lost joins the same records as before. Sharers of an address are counted among everybody.
"""

from __future__ import annotations

import adapters
from connector.config import Config
from connector.fresh import OF_SOURCE, WHOSE, News
from connector.identity_rules import PLACE, folded
from connector.store import Store

FEW = 0.1
"""With more records than this share in the circle everything is decided anew."""

TABLES_MADE = ("id_seen", "id_seen_values")

MET = " UNION ".join(
    f"SELECT source, contact_id FROM {t} WHERE contact_id IS NOT NULL"
    f" UNION SELECT 'email', email FROM {t} WHERE contact_id IS NULL AND contains(email, '@')"
    for t in ("carts", "subscriptions")
)

SEEN_SQL = f"""
    SELECT source, contact_id, hash('contact', source, contact_id, email, phone, first_name, last_name, state, merged_into,
      created_at, updated_at) AS h FROM contacts WHERE contact_id IS NOT NULL
    UNION ALL SELECT source, contact_id, hash('identifier', source, contact_id, kind, value) FROM identifiers
    UNION ALL SELECT source, contact_id, hash('met', source, contact_id) FROM ({MET})"""
"""What identity reads of a record, as numbers: orders and events apart, whose new rows are known by their place."""

VALUES_SQL = """
    SELECT n.source, n.contact_id, hash(i.kind, i.value) AS value FROM id_identifiers AS i JOIN id_nodes AS n USING (n)
    GROUP BY ALL"""


def stands(store: Store) -> bool:
    held = {str(t) for (t,) in store.sql("SELECT table_name FROM duckdb_tables() WHERE NOT temporary")}
    return held.issuperset(TABLES_MADE)


def remember_all(store: Store) -> None:
    """Call when everybody was looked at, before the temporary tables of identity go."""
    store.sql(f"CREATE OR REPLACE TABLE id_seen AS {SEEN_SQL}")
    store.sql(f"CREATE OR REPLACE TABLE id_seen_values AS {VALUES_SQL}")


def remember(store: Store) -> None:
    """The same after `find`."""
    for table, circle in (("id_seen", "id_seeds"), ("id_seen_values", "id_circle")):
        store.sql(
            f"DELETE FROM {table} USING {circle} AS c WHERE c.source = {table}.source AND c.contact_id = {table}.contact_id"
        )
    store.sql("INSERT INTO id_seen SELECT s.* FROM id_seen_now AS s SEMI JOIN id_seeds USING (source, contact_id)")
    store.sql(f"INSERT INTO id_seen_values {VALUES_SQL}")


def shared(store: Store, by: int) -> int:
    """How many addresses and numbers more than `by` contacts of one place hold."""
    return int(
        store.value(
            f"""SELECT count(DISTINCT value) FROM (
                  SELECT value FROM id_seen_values AS v WHERE source <> 'email'
                  GROUP BY value, source, {PLACE.format("v")} HAVING count(*) > ?)""",
            [by],
        )
    )


def find_seeds(store: Store, config: Config, fresh: News) -> None:
    """Table id_seeds(source, contact_id): records that changed, came or went. Leaves id_seen_now."""
    mail = folded("lower(trim(o.email))", config)
    store.sql(f"CREATE OR REPLACE TEMP TABLE id_seen_now AS {SEEN_SQL}")
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE id_seeds AS
        SELECT DISTINCT source, contact_id FROM (
          SELECT source, contact_id FROM id_seen_now ANTI JOIN id_seen USING (h)
          UNION ALL SELECT source, contact_id FROM id_seen ANTI JOIN id_seen_now USING (h)
          UNION ALL SELECT x.source, x.contact_id FROM (
            SELECT {OF_SOURCE} AS source, {WHOSE} AS contact_id FROM {fresh.new("orders")} AS o
            UNION SELECT {OF_SOURCE}, {WHOSE} FROM {fresh.new("events")} AS o) AS x
          ANTI JOIN person_links AS l ON l.source = x.source AND l.contact_id = x.contact_id
          WHERE x.source <> 'email' OR contains(x.contact_id, '@')
          UNION ALL SELECT o.source, o.contact_id FROM {fresh.new("orders")} AS o
          ANTI JOIN id_seen_values AS v ON v.source = o.source AND v.contact_id = o.contact_id AND v.value = hash('email', {mail})
          WHERE o.contact_id IS NOT NULL AND o.email IS NOT NULL
          UNION ALL SELECT o.source, o.contact_id FROM {fresh.new("orders")} AS o
          ANTI JOIN (SELECT source, contact_id FROM contacts WHERE email IS NOT NULL) AS c
            ON c.source = o.source AND c.contact_id = o.contact_id
          WHERE o.contact_id IS NOT NULL AND o.email IS NOT NULL
        ) WHERE contact_id IS NOT NULL""")
    if fresh.removed["orders"]:
        store.sql(f"""
            INSERT INTO id_seeds
            SELECT l.source, l.contact_id FROM person_links AS l SEMI JOIN (
              SELECT p.person_id FROM purchases AS p
              SEMI JOIN {fresh.new("orders")} AS o ON o.source = p.source AND o.order_id = p.order_id) AS p USING (person_id)
            ANTI JOIN id_seeds AS s ON s.source = l.source AND s.contact_id = l.contact_id""")


def find_circle(store: Store) -> None:
    """Table id_circle(source, contact_id): the seeds and whoever may come together with them or part from them. `id_nodes` and
    `id_identifiers` must hold the seeds."""
    platforms = ", ".join(f"'{p}'" for p in (*adapters.installed(), "import"))
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE id_pointers AS
        SELECT source, contact_id, source AS to_source, merged_into AS to_id FROM contacts WHERE merged_into IS NOT NULL
        UNION ALL SELECT source, contact_id, kind, value FROM identifiers WHERE kind IN ({platforms})""")
    store.sql("""
        CREATE OR REPLACE TEMP TABLE id_circle AS
        WITH changed AS (
          SELECT hash(kind, value) AS value FROM id_identifiers
          UNION SELECT value FROM id_seen_values SEMI JOIN id_seeds USING (source, contact_id)),
        near AS (
          FROM id_seeds UNION SELECT source, contact_id FROM id_seen_values SEMI JOIN changed USING (value)
          UNION SELECT to_source, to_id FROM id_pointers SEMI JOIN id_seeds USING (source, contact_id)
          UNION SELECT p.source, p.contact_id FROM id_pointers AS p
            SEMI JOIN id_seeds AS s ON s.source = p.to_source AND s.contact_id = p.to_id),
        theirs AS (SELECT DISTINCT person_id FROM person_links SEMI JOIN near USING (source, contact_id))
        FROM near UNION SELECT source, contact_id FROM person_links SEMI JOIN theirs USING (person_id)""")
    store.sql("DROP TABLE id_pointers")


def find_sharers(store: Store) -> None:
    """Table id_sharers(source, contact_id): who else holds an address or number of the circle."""
    store.sql("""
        CREATE OR REPLACE TEMP TABLE id_sharers AS
        WITH held AS (SELECT DISTINCT value FROM id_seen_values SEMI JOIN id_circle USING (source, contact_id))
        SELECT DISTINCT source, contact_id FROM (
          SELECT source, contact_id FROM id_seen_values SEMI JOIN held USING (value)) AS v
        ANTI JOIN id_circle USING (source, contact_id)""")


def keep_found(store: Store, fresh: News) -> None:
    """Leave in id_circle only records that are there: of contacts, orders, events, carts or subscriptions. Records that were
    linked before and did not change are; who may be gone is looked for."""
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE id_there AS
        SELECT source, contact_id FROM contacts SEMI JOIN id_circle USING (source, contact_id)
        UNION SELECT source, contact_id FROM ({MET}) SEMI JOIN id_circle USING (source, contact_id)
        UNION SELECT x.source, x.contact_id FROM (
          SELECT {OF_SOURCE} AS source, {WHOSE} AS contact_id FROM {fresh.new("orders")} AS o
          UNION SELECT {OF_SOURCE}, {WHOSE} FROM {fresh.new("events")} AS o) AS x
        SEMI JOIN id_circle USING (source, contact_id)
        UNION SELECT source, contact_id FROM (
          SELECT source, contact_id FROM person_links SEMI JOIN id_circle USING (source, contact_id)) AS l
        ANTI JOIN id_seeds USING (source, contact_id)""")
    store.sql("""
        CREATE OR REPLACE TEMP TABLE id_sought AS
        SELECT source, contact_id FROM person_links SEMI JOIN (
          FROM id_circle EXCEPT FROM id_there) AS c USING (source, contact_id)""")
    if store.sql("SELECT 1 FROM id_sought LIMIT 1"):
        for table in ("orders", "events"):
            store.sql(f"""
                INSERT INTO id_there SELECT DISTINCT {OF_SOURCE}, {WHOSE} FROM {table} AS o
                SEMI JOIN id_sought AS s ON s.source = {OF_SOURCE} AND s.contact_id = {WHOSE}""")
    store.sql("DROP TABLE id_sought")


def is_small(store: Store, *tables: str) -> bool:
    """Whether the tables hold few of the records together."""
    sums = " + ".join(f"(SELECT count(*) FROM {table})" for table in tables)
    few, all_of_them = store.sql(f"SELECT {sums}, (SELECT count(*) FROM person_links)")[0]
    return bool(few <= FEW * all_of_them)
