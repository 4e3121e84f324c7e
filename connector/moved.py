"""What is kept under a person's id follows when records turn out to be one person, or are told apart.

An id is a record's: where an older record joins, the person goes on under that one's id. Whatever the owner or an earlier run
wrote down about the person must go along, or a pin would be lost and a trigger told twice.
"""

from __future__ import annotations

from connector.store import Store


def follow(store: Store) -> int:
    """Move pins, stays, triggers, ledger and field values to the ids of the temporary table `person_moves(old, new, is_gone)`.

    is_gone: no record is left under the old id. A person who is told apart takes a `never` pin along, and nothing else: what
    was told or written stays with those who keep the id. Gives how many ids changed.
    """
    count = int(store.value("SELECT count(*) FROM person_moves"))
    if not count:
        return 0
    store.sql(
        "CREATE OR REPLACE TEMP TABLE person_moved AS SELECT old, min(new) AS new FROM person_moves WHERE is_gone GROUP BY old"
    )
    _pins(store)
    for table in ("memberships", "triggered", "ledger", "field_values"):
        store.sql(f"UPDATE {table} SET person_id = m.new FROM person_moved m WHERE {table}.person_id = m.old")
    _told_already(store)
    # one stay for one person: the one that began first, so that nobody enters who was in already
    store.sql("""
        DELETE FROM memberships WHERE left_on IS NULL AND rowid NOT IN (
          SELECT arg_min(rowid, (entered_on, rowid)) FROM memberships WHERE left_on IS NULL GROUP BY segment, person_id)""")
    store.sql("DROP TABLE IF EXISTS segment_masks_kept")  # kept by the old ids: the next comparison is with the stays
    store.sql("DROP TABLE person_moved")
    return count


def _told_already(store: Store) -> None:
    """Whoever was told of for a stay that gives way to an older one of the same person was told of for that one, too; a message that
    failed keeps its id, so that the receiver knows it again."""
    store.sql("""
        INSERT INTO triggered BY NAME
        SELECT DISTINCT t.* REPLACE (m.entered_on AS happened_on,
          CASE WHEN t.state IN ('intended', 'failed') THEN t.state ELSE 'before' END AS state,
          CASE WHEN t.state IN ('intended', 'failed') THEN t.message_id END AS message_id)
        FROM triggered t
        JOIN memberships g ON g.person_id = t.person_id AND g.entered_on = t.happened_on AND g.left_on IS NULL
        JOIN (SELECT segment, person_id, min(entered_on) AS entered_on FROM memberships WHERE left_on IS NULL GROUP BY ALL
          HAVING count(*) > 1) m ON m.segment = g.segment AND m.person_id = g.person_id
        WHERE m.entered_on < t.happened_on
          AND t.person_id IN (SELECT new FROM person_moved)
          AND NOT EXISTS (SELECT 1 FROM triggered h
            WHERE h.trigger = t.trigger AND h.person_id = t.person_id AND h.happened_on = m.entered_on)""")


def _pins(store: Store) -> None:
    store.sql("""
        INSERT INTO pins (person_id, segment, kind, because, since, run_id)
        SELECT DISTINCT m.new, p.segment, p.kind, p.because, p.since, p.run_id
        FROM pins p JOIN person_moves m ON m.old = p.person_id WHERE m.is_gone OR p.kind = 'never'""")
    store.sql("DELETE FROM pins WHERE person_id IN (SELECT old FROM person_moved)")
    store.sql("""
        DELETE FROM pins WHERE rowid NOT IN (
          SELECT arg_min(rowid, (kind <> 'never', since, rowid)) FROM pins GROUP BY person_id, lower(segment))""")
