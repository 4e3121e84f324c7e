"""A record that its platform erased has no address left to be known by. It stays with the person it was, so that the erasure
counts everywhere: one other record of the person holds it, a live one where there is one.

Which one is remembered (table id_held). Chosen again at each look it could be another one, who came since, and whoever
belonged to the person through the erased record alone would leave them for no reason but the look.
"""

from __future__ import annotations

from connector.store import Store


def hold(store: Store, evidence: int) -> None:
    """Add the links to `id_edges`; person_links must be those of before."""
    store.sql(f"""
        INSERT INTO id_edges
        SELECT a.n, first(b.n ORDER BY h.by_id IS NULL, d.state IS NOT DISTINCT FROM 'erased', other.source, other.contact_id),
          {evidence}
        FROM contacts AS c
        JOIN person_links AS was ON was.source = c.source AND was.contact_id = c.contact_id
        JOIN person_links AS other ON other.person_id = was.person_id
        JOIN id_nodes AS a ON a.source = c.source AND a.contact_id = c.contact_id
        JOIN id_nodes AS b ON b.source = other.source AND b.contact_id = other.contact_id
        LEFT JOIN id_held AS h ON h.source = c.source AND h.contact_id = c.contact_id
          AND h.by_source = other.source AND h.by_id = other.contact_id
        LEFT JOIN contacts AS d ON d.source = other.source AND d.contact_id = other.contact_id
        WHERE c.state = 'erased' AND b.n <> a.n GROUP BY a.n""")


def remember(store: Store, evidence: int, *, is_near: bool) -> None:
    """Who holds whom from now on, of the people as they are now; `is_near`: of the records in `id_circle` alone."""
    theirs = "USING id_circle AS c WHERE c.source = id_held.source AND c.contact_id = id_held.contact_id"
    store.sql(f"DELETE FROM id_held {theirs if is_near else ''}")
    store.sql(f"""
        INSERT INTO id_held
        WITH holds AS (
          SELECT a.source, a.contact_id, b.source AS by_source, b.contact_id AS by_id FROM id_edges AS e
          JOIN id_nodes AS a ON a.n = e.a JOIN id_nodes AS b ON b.n = e.b WHERE e.evidence = {evidence})
        SELECT c.source, c.contact_id, other.source, other.contact_id
        FROM (SELECT DISTINCT source, contact_id FROM contacts WHERE state = 'erased') AS c
        JOIN id_nodes AS n ON n.source = c.source AND n.contact_id = c.contact_id
        JOIN person_links AS own ON own.source = c.source AND own.contact_id = c.contact_id
        JOIN person_links AS other ON other.person_id = own.person_id
          AND (other.source <> own.source OR other.contact_id <> own.contact_id)
        LEFT JOIN holds AS h ON h.source = c.source AND h.contact_id = c.contact_id
          AND h.by_source = other.source AND h.by_id = other.contact_id
        LEFT JOIN contacts AS d ON d.source = other.source AND d.contact_id = other.contact_id
        QUALIFY row_number() OVER (PARTITION BY c.source, c.contact_id
          ORDER BY h.by_id IS NULL, d.state IS NOT DISTINCT FROM 'erased', other.source, other.contact_id) = 1""")
