"""Stage 4 of 10: decide which records are one person.

Edges are made by SQL (same e-mail, same phone, an id one platform keeps of another, a merge), joined by union-find over
integers, and every record is given a person id with the evidence for it. Which orders are one purchase is decided next
door, in `connector/purchases.py`, which needs the persons.

A person may also be known by nothing but an e-mail address on an order, a cart, an event or a subscription (a guest). Such
an address is a record of its own with the source `email` and the address as its contact id.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from typing import Any

import orjson

import adapters
from connector import compact, identity_erased, identity_news, identity_phones, moved, news, purchases
from connector.config import Config
from connector.fresh import News
from connector.identity_apart import ADDRESSES, named
from connector.identity_rules import PLACE, folded
from connector.store import Store

log = logging.getLogger(__name__)

SHARED_BY = 5
"""An address or number carried by more contacts of one platform than this belongs to nobody in particular (info@, a shop's own
phone). Of several audiences of an account each counts by itself: a good customer is in all of them."""

RULES = 2
"""Goes up when the same records are joined otherwise than by an earlier program: they are then looked at again."""

ERASED = 6

EVIDENCE = {
    1: "merged on the platform",
    2: "id kept by another platform",
    3: "same e-mail",
    4: "same e-mail on an order",
    5: "same phone",
    ERASED: "one person before it was erased",
}
"""Strongest first; a link shows the strongest evidence it has."""

GUEST_TABLES = ("orders", "carts", "subscriptions", "events")


def identify(store: Store, config: Config, day: date | None = None) -> dict[str, int]:
    """Fill people, person_links, purchases and purchase_copies from the normalized tables, in one transaction.

    Safe to repeat: the same records give the same ids, and an id lives on while any record of its person is there.
    When persons turn out to be one, the id of the one known longest stays. The first news of a `day` are a reason to look at
    everybody, later ones only at whom they touch. Returns counts by name.
    """
    state = f"{RULES} {compact.fingerprint(store, config)}"
    known = _known(store, state)
    if known is not None:
        return known
    with store.transaction():
        fresh = news.since(store, config)
        is_near = fresh is not None and _is_looked_at(store, day) and _look_near(store, config, fresh)
        kept_apart = 0 if is_near else _look_everywhere(store, config, fresh)
        counts = {
            "records": int(store.value("SELECT count(*) FROM person_links WHERE source <> 'email'")),
            "people": int(store.value("SELECT count(*) FROM people")),
            "shared_identifiers": identity_news.shared(store, SHARED_BY),
            "kept_apart": kept_apart,
        }
        if fresh is None or not _follow(store, config, fresh, is_near):
            purchases.reconcile(store, config)
            compact.prepare(store, config)
            news.forget_news(store)
        _drop(store)
        counts |= purchases.count(store)
        news.remember(store, config)
        _remember(store, state, counts, day)
    log.info("identity: %s", ", ".join(f"{v} {k.replace('_', ' ')}" for k, v in counts.items()))
    return counts


def _known(store: Store, state: str) -> dict[str, int] | None:
    """The counts of the last time where nothing has changed since."""
    found = store.value("SELECT value FROM meta WHERE name = 'identity_state'")
    if found is None or not compact.stands(store):
        return None
    before = orjson.loads(found)
    return dict(before["counts"]) if before["state"] == state else None


def _is_looked_at(store: Store, day: date | None) -> bool:
    """Whether everybody was looked at on that day already."""
    return day is None or store.value("SELECT value FROM meta WHERE name = 'identity_day'") == day.isoformat()


def _remember(store: Store, state: str, counts: dict[str, int], day: date | None) -> None:
    store.sql("DELETE FROM meta WHERE name = 'identity_state'")
    store.sql("INSERT INTO meta VALUES ('identity_state', ?)", [orjson.dumps({"state": state, "counts": counts}).decode()])
    if day is not None:
        store.sql("DELETE FROM meta WHERE name = 'identity_day'")
        store.insert("meta", [{"name": "identity_day", "value": day.isoformat()}])


def _drop(store: Store) -> None:
    for table in ("nodes", "identifiers", "phones", "edges", "components", "claims", "names", "seeds", "seen_now", "circle",
                  "sharers", "there", "people_before"):  # fmt: skip
        store.sql(f"DROP TABLE IF EXISTS temp.id_{table}")


def _look_everywhere(store: Store, config: Config, fresh: News | None) -> int:
    """Returns how many links were refused to keep apart whom the owner wants apart."""
    _find_records(store, fresh)
    _make_nodes(store, "id_found")
    store.sql("DROP TABLE id_found")
    _make_identifiers(store, config)
    _make_edges(store)
    kept_apart = _make_components(store, config)
    _name_components(store)
    _write(store)
    identity_news.remember_all(store)
    return kept_apart


def _look_near(store: Store, config: Config, fresh: News) -> bool:
    """Who is who among the records that news touch; False where they are too many, where it is not known who was looked at, or
    where the owner keeps some apart: which link gives way is decided among all."""
    if config.identity.keep_apart or not identity_news.stands(store):
        return False
    identity_news.find_seeds(store, config, fresh)
    if not identity_news.is_small(store, "id_seeds"):
        return False
    _make_nodes(store, "id_seeds")
    _make_identifiers(store, config)
    identity_news.find_circle(store)
    identity_news.find_sharers(store)
    if not identity_news.is_small(store, "id_circle", "id_sharers"):
        return False
    identity_news.keep_found(store, fresh)
    _make_nodes(store, "(FROM id_there UNION FROM id_sharers)")
    _make_identifiers(store, config)
    _make_edges(store)
    store.sql("DELETE FROM id_nodes WHERE (source, contact_id) IN (SELECT (source, contact_id) FROM id_sharers)")
    store.sql("DELETE FROM id_edges WHERE a NOT IN (SELECT n FROM id_nodes) OR b NOT IN (SELECT n FROM id_nodes)")
    _make_components(store, config)  # nobody is kept apart here
    _name_components(store)
    _write(store, is_near=True)
    identity_news.remember(store)
    return True


def _follow(store: Store, config: Config, fresh: News, is_near: bool) -> bool:
    """Purchases and facts of the people with news alone; False where those of everybody must be made."""
    if is_near:
        compact.number_circle(store)
    else:
        store.sql("CREATE OR REPLACE TEMP TABLE links_before AS FROM fact_links")
        compact.number_people(store)
        compact.compare_links(store, "fact_links")
    is_followed = news.find_people(store, fresh)
    if is_followed:
        purchases.update(store, config, fresh)
        compact.update(store, config, fresh)
        news.tell_profile(store)
    for table in (
        "links_before", "links_changed", "fact_moved", "fact_order_news", "fact_event_news", "fact_changed", "orders_met",
    ):  # fmt: skip
        store.sql(f"DROP TABLE {table}")
    return is_followed


def _find_records(store: Store, fresh: News | None) -> None:
    """Table id_found: every contact record; contacts seen only through their orders or events count, guests come by address.

    Of the events only the new ones are looked at where the others are known: who was met in those has a link.
    """
    tables = {t: t for t in GUEST_TABLES} | ({"events": fresh.new("events")} if fresh else {})
    others = " UNION ".join(
        f"SELECT source, contact_id FROM {t} AS t ANTI JOIN contacts AS c USING (source, contact_id) WHERE contact_id IS NOT NULL"
        for t in tables.values()
    )
    guests = " UNION ".join(
        f"SELECT 'email', email FROM {t} AS t WHERE contact_id IS NULL AND contains(email, '@')" for t in tables.values()
    )
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE id_found AS
        SELECT source, contact_id FROM contacts WHERE contact_id IS NOT NULL UNION {others} UNION {guests}""")
    if fresh:
        store.sql("""
            INSERT INTO id_found
            WITH missing AS (SELECT source, contact_id FROM person_links EXCEPT FROM id_found)
            SELECT source, contact_id FROM missing SEMI JOIN events AS e
              ON e.source = missing.source AND e.contact_id = missing.contact_id
            UNION SELECT source, contact_id FROM missing SEMI JOIN events AS e
              ON missing.source = 'email' AND e.contact_id IS NULL AND e.email = missing.contact_id""")


def _make_nodes(store: Store, records: str) -> None:
    """Numbers for records; an older one has a smaller number than those it came with, whichever are numbered."""
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE id_nodes AS
        SELECT CAST(row_number() OVER (ORDER BY source = 'email', source, contact_id) AS INTEGER) AS n, source, contact_id
        FROM {records}""")


def _make_identifiers(store: Store, config: Config) -> None:
    """One row per record and normalized identifier: (node, kind, value, on_order)."""
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE id_identifiers AS
        SELECT DISTINCT n.n, 'email' AS kind, {folded("lower(trim(f.value))", config)} AS value, f.on_order
        FROM (
          {ADDRESSES}
          UNION ALL SELECT 'email', contact_id, contact_id, FALSE FROM id_nodes WHERE source = 'email'
        ) AS f JOIN id_nodes AS n ON n.source = f.source AND n.contact_id = f.contact_id""")
    phones = """
        SELECT source, contact_id, phone AS value FROM contacts WHERE phone IS NOT NULL
        UNION SELECT source, contact_id, value FROM identifiers WHERE kind = 'phone' AND value IS NOT NULL"""
    phones = f"SELECT f.* FROM ({phones}) AS f SEMI JOIN id_nodes USING (source, contact_id)"
    identity_phones.translate(store, phones, config.shop.country)
    store.sql(f"""
        INSERT INTO id_identifiers
        SELECT DISTINCT n.n, 'phone', p.number, FALSE
        FROM ({phones}) AS f
        JOIN id_phones AS p ON p.given = f.value
        JOIN id_nodes AS n ON n.source = f.source AND n.contact_id = f.contact_id""")


def _make_edges(store: Store) -> None:
    """Table id_edges(a, b, evidence), without the identifiers that too many contacts share.

    A phone joins no two contacts with different given names (a family has one number), and where its holders have
    different names, none without a name.
    """
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE id_claims AS
        SELECT kind, value, min(n) AS first_n, count(DISTINCT n) AS holders,
          count(DISTINCT n) FILTER (n IN (SELECT n FROM id_nodes WHERE source <> 'email')) > {SHARED_BY} AS is_shared
        FROM id_identifiers GROUP BY kind, value HAVING count(DISTINCT n) > 1""")
    if store.sql("SELECT 1 FROM id_claims WHERE is_shared LIMIT 1"):
        store.sql(f"""
            UPDATE id_claims SET is_shared = FALSE WHERE is_shared AND (kind, value) NOT IN (
              SELECT (kind, value) FROM id_identifiers AS i SEMI JOIN (SELECT * FROM id_claims WHERE is_shared) USING (kind, value)
              JOIN id_nodes AS n ON n.n = i.n WHERE n.source <> 'email'
              GROUP BY kind, value, n.source, {PLACE.format("n")} HAVING count(DISTINCT i.n) > {SHARED_BY})""")
    store.sql("""
        CREATE OR REPLACE TEMP TABLE id_edges AS
        SELECT c.first_n AS a, i.n AS b, CASE WHEN bool_and(i.on_order) THEN 4 ELSE 3 END AS evidence
        FROM id_claims AS c JOIN id_identifiers AS i USING (kind, value)
        WHERE c.kind = 'email' AND NOT c.is_shared AND i.n <> c.first_n GROUP BY ALL""")
    store.sql("""
        INSERT INTO id_edges
        WITH held AS (
          SELECT i.value, i.n, lower(trim(c.first_name)) AS first_name,
            min(lower(trim(c.first_name))) OVER (PARTITION BY i.value)
              IS DISTINCT FROM max(lower(trim(c.first_name))) OVER (PARTITION BY i.value) AS is_family
          FROM id_claims AS k JOIN id_identifiers AS i USING (kind, value)
          JOIN id_nodes AS n ON n.n = i.n
          LEFT JOIN contacts AS c ON c.source = n.source AND c.contact_id = n.contact_id
          WHERE k.kind = 'phone' AND NOT k.is_shared)
        SELECT DISTINCT x.n, y.n, 5 FROM held AS x JOIN held AS y ON x.value = y.value AND x.n < y.n
        WHERE x.first_name = y.first_name OR NOT x.is_family""")
    platforms = ", ".join(f"'{p}'" for p in (*adapters.installed(), "import"))
    store.sql(f"""
        INSERT INTO id_edges
        SELECT DISTINCT a.n, b.n, f.evidence
        FROM (
          SELECT source, contact_id, source AS to_source, merged_into AS to_id, 1 AS evidence
          FROM contacts WHERE merged_into IS NOT NULL
          UNION ALL SELECT source, contact_id, kind, value, 2 FROM identifiers WHERE kind IN ({platforms})
        ) AS f
        JOIN id_nodes AS a ON a.source = f.source AND a.contact_id = f.contact_id
        JOIN id_nodes AS b ON b.source = f.to_source AND b.contact_id = f.to_id
        WHERE a.n <> b.n""")
    identity_erased.hold(store, ERASED)


def _make_components(store: Store, config: Config) -> int:
    """Table id_components(n, root): the smallest record number each record is joined to, its own where it stands alone.

    Returns how many edges were refused to keep apart whom the owner wants apart; the weakest evidence is given up first.
    """
    apart = [(_numbers(store, config, a), _numbers(store, config, b)) for a, b in config.identity.keep_apart]
    roots, refused = join(store.sql("SELECT a, b FROM id_edges GROUP BY a, b ORDER BY min(evidence), a, b"), apart)
    store.sql(
        """
        CREATE OR REPLACE TEMP TABLE id_components AS
        SELECT n.n, coalesce(r.root, n.n) AS root
        FROM id_nodes AS n
        LEFT JOIN (SELECT unnest(?::INTEGER[]) AS n, unnest(?::INTEGER[]) AS root) AS r ON r.n = n.n""",
        [list(roots), list(roots.values())],
    )
    return refused


def _numbers(store: Store, config: Config, entry: str) -> list[int]:
    """The records an entry of keep_apart names."""
    found = (
        store.value("SELECT n FROM id_nodes WHERE source = ? AND contact_id = ?", list(record))
        for record in named(store, config, entry, "id_nodes")
    )
    return [int(n) for n in found]


def join(
    edges: Sequence[tuple[Any, ...]], apart: Sequence[tuple[Sequence[int], Sequence[int]]] = ()
) -> tuple[dict[int, int], int]:
    """Union-find: for every number in an edge, the smallest number it is connected with; and the edges refused.

    `apart`: of each pair, no number of the left side may come together with one of the right side.
    """
    parent: dict[int, int] = {}
    sides: dict[int, set[int]] = {}
    for i, (left, right) in enumerate(apart, 1):
        for label, numbers in ((i, left), (-i, right)):
            for n in numbers:
                sides.setdefault(n, set()).add(label)

    def find(x: int) -> int:
        root = x
        while (up := parent.setdefault(root, root)) != root:
            root = up
        while parent[x] != root:
            parent[x], x = root, parent[x]
        return root

    refused = 0
    for a, b in edges:
        low, high = find(a), find(b)
        if low == high:
            continue
        low, high = min(low, high), max(low, high)
        if sides:
            ours, theirs = sides.get(low, set()), sides.get(high, set())
            if any(-label in theirs for label in ours):
                refused += 1
                continue
            if theirs:
                sides[low] = ours | theirs
        parent[high] = low
    return {n: find(n) for n in parent}, refused


def _name_components(store: Store) -> None:
    """Table id_names(root, person_id). Ids already given stay: of several the one whose person is known longest.

    Where the records of one id have come apart, the part with the first record keeps the id. A new id follows from the
    first record alone, so two stores filled from the same data agree.
    """
    store.sql("""
        CREATE OR REPLACE TEMP TABLE id_claims AS
        SELECT c.root, l.person_id, min(p.since) AS since, min(c.n) AS first_n
        FROM id_components AS c
        JOIN id_nodes AS n ON n.n = c.n
        JOIN person_links AS l ON l.source = n.source AND l.contact_id = n.contact_id
        LEFT JOIN people AS p ON p.person_id = l.person_id
        GROUP BY c.root, l.person_id""")
    store.sql("""
        CREATE OR REPLACE TEMP TABLE id_names AS
        WITH owned AS (
          SELECT root, person_id, since FROM id_claims
          QUALIFY row_number() OVER (PARTITION BY person_id ORDER BY first_n) = 1)
        SELECT root, person_id FROM owned
        QUALIFY row_number() OVER (PARTITION BY root ORDER BY since NULLS LAST, person_id) = 1""")
    store.sql("""
        INSERT INTO id_names
        WITH fresh AS (
          SELECT n.n AS root, md5(n.source || ':' || n.contact_id) AS hash
          FROM id_nodes AS n JOIN id_components AS c ON c.n = n.n AND c.root = n.n
          WHERE n.n NOT IN (SELECT root FROM id_names)),
        taken AS (SELECT person_id FROM id_names UNION ALL SELECT person_id FROM person_links
                  SEMI JOIN (SELECT 'p' || left(hash, 15) AS person_id FROM fresh) USING (person_id))
        SELECT root, CASE WHEN 'p' || left(hash, 15) IN (SELECT person_id FROM taken)
                          THEN 'p' || left(md5(hash || '+'), 15) ELSE 'p' || left(hash, 15) END
        FROM fresh""")


def _write(store: Store, *, is_near: bool = False) -> None:
    """Fill person_links and people; `is_near`: only the rows of id_circle are made again."""
    store.sql("""
        CREATE OR REPLACE TEMP TABLE person_moves AS
        SELECT DISTINCT l.person_id AS old, w.person_id AS new, l.person_id NOT IN (SELECT person_id FROM id_names) AS is_gone
        FROM person_links AS l JOIN id_nodes AS n ON n.source = l.source AND n.contact_id = l.contact_id
        JOIN id_components AS c ON c.n = n.n JOIN id_names AS w ON w.root = c.root
        WHERE w.person_id <> l.person_id""")
    moved.follow(store)
    if is_near:
        store.sql("""
            CREATE OR REPLACE TEMP TABLE id_people_before AS
            SELECT DISTINCT person_id FROM person_links SEMI JOIN id_circle USING (source, contact_id)""")
    theirs = "USING id_circle AS c WHERE c.source = person_links.source AND c.contact_id = person_links.contact_id"
    store.sql(f"DELETE FROM person_links {theirs if is_near else ''}")
    evidence = " ".join(f"WHEN {k} THEN '{v}'" for k, v in EVIDENCE.items())
    store.sql(f"""
        INSERT INTO person_links (source, contact_id, person_id, evidence)
        SELECT n.source, n.contact_id, w.person_id, CASE e.best {evidence} ELSE 'only record' END
        FROM id_nodes AS n
        JOIN id_components AS c ON c.n = n.n
        JOIN id_names AS w ON w.root = c.root
        LEFT JOIN (SELECT n, min(evidence) AS best FROM (SELECT a AS n, evidence FROM id_edges
                   UNION ALL SELECT b, evidence FROM id_edges) GROUP BY n) AS e ON e.n = n.n
        ORDER BY w.person_id, n.source, n.contact_id""")
    identity_erased.remember(store, ERASED, is_near=is_near)
    store.sql(f"DELETE FROM people {'WHERE person_id IN (FROM id_people_before)' if is_near else ''}")
    links = f"(SELECT * FROM person_links {'SEMI JOIN id_names USING (person_id)' if is_near else ''})"
    store.sql(f"""
        INSERT INTO people (person_id, email, first_name, last_name, since, records)
        WITH ranked AS (
          SELECT l.person_id, l.source, l.contact_id, c.first_name, c.last_name, c.created_at,
            coalesce(c.email, CASE WHEN l.source = 'email' THEN l.contact_id END, o.email) AS email,
            row_number() OVER (PARTITION BY l.person_id ORDER BY
              CASE WHEN c.contact_id IS NULL THEN 2 WHEN coalesce(c.state, 'live') = 'live' THEN 0 ELSE 1 END,
              c.updated_at DESC NULLS LAST, l.source, l.contact_id) AS rank
          FROM {links} AS l
          LEFT JOIN contacts AS c ON c.source = l.source AND c.contact_id = l.contact_id
          LEFT JOIN (
            SELECT source, contact_id, min(email) AS email
            FROM (SELECT source, contact_id, email FROM orders WHERE contact_id IS NOT NULL AND email IS NOT NULL)
            SEMI JOIN (
              SELECT source, contact_id FROM {links} AS l
              ANTI JOIN (SELECT source, contact_id FROM contacts WHERE email IS NOT NULL) USING (source, contact_id)
              WHERE source <> 'email') USING (source, contact_id)
            GROUP BY ALL) AS o
            ON o.source = l.source AND o.contact_id = l.contact_id)
        SELECT person_id, arg_min(email, rank) FILTER (email IS NOT NULL),
          arg_min(first_name, rank) FILTER (first_name IS NOT NULL), arg_min(last_name, rank) FILTER (last_name IS NOT NULL),
          min(created_at), CAST(count(DISTINCT (source, contact_id)) FILTER (source <> 'email') AS INTEGER)
        FROM ranked GROUP BY person_id ORDER BY person_id""")
