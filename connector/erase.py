"""Take one person out of the store, table by table, in the caller's transaction.

Tables are told by their columns, so one that is added later is reached too: `person_id`, `contact_id` with `source` or
`platform`, `record_id` with `source` and `stream`, `email`. Texts that still name the person are rewritten.
"""

from __future__ import annotations

from connector import forgotten, news
from connector.keys import store_key
from connector.store import Store
from connector.traces import Traces, as_table

KEPT = frozenset({"audit", "forgotten", "erasures", "ledger", "ledger_objects", "given", "journal"})
"""Tables that rows are not deleted from: the trail says nothing once its keys are gone, the others are rewritten below."""

UNTOUCHED = frozenset({"audit", "audit_head", "forgotten", "erasures"})
"""Tables no text is rewritten in: changing the trail would break it."""


def erase(store: Store, traces: Traces) -> dict[str, int]:
    """Delete and rewrite; gives rows deleted by table. Safe to repeat."""
    counts: dict[str, int] = {}
    _hash_ledger(store, traces)
    forgotten.scrub_journal(store, set(traces.contacts))
    with (
        as_table(store, "gone_contacts", ("source", "contact_id"), traces.contacts),
        as_table(store, "gone_records", ("source", "stream", "record_id"), traces.records),
        as_table(store, "gone_people", ("person_id",), [(p,) for p in traces.people]),
        as_table(store, "gone_emails", ("email",), [(e,) for e in traces.emails]),
    ):
        store.sql(
            """CREATE OR REPLACE TEMP TABLE gone_numbers AS SELECT n FROM person_numbers
               WHERE person_id IN (SELECT person_id FROM gone_people)"""
        )
        _delete_copies(store)
        for table, columns in sorted(tables(store).items()):
            if table in KEPT:
                continue
            if where := _theirs(columns):
                deleted = len(store.sql(f'DELETE FROM "{table}" WHERE {where} RETURNING 1'))
                counts |= {table: deleted} if deleted else {}
        store.sql("DELETE FROM order_moves WHERE (source, now_id) IN (SELECT (source, contact_id) FROM gone_contacts)")
        store.sql(
            """DELETE FROM set_aside WHERE record_id IN (SELECT email FROM gone_emails)
               OR (source, record_id) IN (SELECT (source, contact_id) FROM gone_contacts)"""
        )
    store.sql("DROP TABLE gone_numbers")
    rewritten = rewrite_texts(store, traces)
    news.forget_all(store)
    return counts | ({"texts": rewritten} if rewritten else {})


def tables(store: Store) -> dict[str, dict[str, str]]:
    """Every table of ours with its columns and their types, temporary ones left out."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in store.sql(
        """SELECT c.table_name, c.column_name, c.data_type FROM duckdb_columns() c
           JOIN duckdb_tables() t USING (database_oid, schema_oid, table_oid)
           WHERE NOT t.temporary AND NOT t.internal ORDER BY ALL"""
    ):
        found.setdefault(str(table), {})[str(column)] = str(kind)
    return found


def _theirs(columns: dict[str, str]) -> str:
    parts = []
    if "person_id" in columns:
        parts.append("person_id IN (SELECT person_id FROM gone_people)")
    if "person_n" in columns:
        parts.append("person_n IN (SELECT n FROM gone_numbers)")
    place = next((c for c in ("source", "platform") if c in columns), "")
    if "contact_id" in columns and place:
        parts.append(f"({place}, contact_id) IN (SELECT (source, contact_id) FROM gone_contacts)")
    if "contact_id" in columns and not place:
        parts.append("contact_id IN (SELECT contact_id FROM gone_contacts)")
    if {"source", "stream", "record_id"} <= columns.keys():
        parts.append("(source, stream, record_id) IN (SELECT (source, stream, record_id) FROM gone_records)")
    if columns.get("email") == "VARCHAR":
        parts.append("email IN (SELECT email FROM gone_emails)")
    return " OR ".join(f"coalesce({p}, false)" for p in parts)


def _delete_copies(store: Store) -> None:
    """Which records are one purchase is told by the purchase's id alone."""
    store.sql(
        """DELETE FROM purchase_copies WHERE purchase_id IN (
             SELECT purchase_id FROM purchases WHERE person_id IN (SELECT person_id FROM gone_people))"""
    )


def _hash_ledger(store: Store, traces: Traces) -> None:
    """What we added stays ours: the platform's object and a hash in the place of the contact."""
    ids = [(p, c) for p, c in sorted(traces.contacts) if p != "email"]
    if not ids:
        return
    key = store_key(store)
    rows = [(p, c, forgotten.ledger_id(key, p, c)) for p, c in ids]
    with as_table(store, "gone_ledger", ("platform", "contact_id", "hash"), rows):
        store.sql(
            """UPDATE ledger SET contact_id = g.hash, person_id = '', is_seen = true FROM gone_ledger g
               WHERE g.platform = ledger.platform AND g.contact_id = ledger.contact_id"""
        )
        store.sql(
            """UPDATE given SET contact_id = g.hash FROM gone_ledger g
               WHERE g.platform = given.platform AND g.contact_id = given.contact_id"""
        )


def rewrite_texts(store: Store, traces: Traces) -> int:
    """Texts of any table that still name the person, such as a link with their address in somebody else's click."""
    changed = 0
    words = traces.words
    for table, columns in sorted(tables(store).items()):
        if table in UNTOUCHED:
            continue
        texts = [c for c, kind in columns.items() if kind == "VARCHAR"]
        if not texts:
            continue
        names = ", ".join(f'"{c}"' for c in texts)
        rows = store.sql(  # one scan for all columns; the separator is in no word that names anybody
            f"""SELECT rowid, {names} FROM "{table}"
                WHERE len(list_filter(CAST(? AS VARCHAR[]), lambda w: contains(lower(concat_ws(chr(31), {names})), w))) > 0""",
            [words],
        )
        for rowid, *values in rows:
            for column, text in zip(texts, values, strict=True):
                if text is not None and (clean := traces.without(text)) != text:
                    store.sql(f'UPDATE "{table}" SET "{column}" = ? WHERE rowid = ?', [clean, rowid])
                    changed += 1
    return changed
