"""Bring a cleaned file into the store, in one transaction: only what is new or different, and what follows from it.

Orders without an orders file are made of their lines, contacts without a contacts file of their orders, events and carts.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from connector import former_addresses, imports_clean, runs
from connector.imports_kinds import Kind
from connector.pruning import NO
from connector.store import Store
from models import records
from models.people import StreamCount

log = logging.getLogger(__name__)

SOURCE = "import"
CUSTOMERS = "import:customers"
"""Stream of the contacts made from orders, events and carts for people no contacts file has."""
FROM_LINES = "import:orders_from_lines"
"""Stream of the orders summed up from lines whose order no orders file has."""
SIZES = "import:sizes"
"""Stream of the companies of which a contacts file says nothing but the size."""
NO_STAYS = f""" AND NOT (regexp_matches(kind, '{NO}') AND (record_id, contact_id, kind) NOT IN (
  SELECT (record_id, contact_id, kind) FROM {{}}))"""
"""Files number their rows as they like: another file's row of the same number takes nobody's no back."""
SHOWN = 1000


def bring_in(
    store: Store, kind: Kind, tables: dict[str, list[str]], folder: Path, run_id: str, *, is_whole: bool
) -> tuple[StreamCount, list[tuple[int, str]], list[tuple[str, int]]]:
    """Bring what is new or different into the store; unchanged records are not touched. `is_whole`: all addresses are told."""

    def staged(name: str) -> str:
        return f"read_parquet('{str(folder / f'{name}.parquet').replace(chr(39), chr(39) * 2)}')"

    key = [SOURCE, kind.stream]
    with store.transaction():
        store.sql(
            f"""CREATE OR REPLACE TEMP TABLE import_changed AS
                SELECT n.*, s.record_key IS NOT NULL AS existed, s.first_run
                FROM {staged("records")} n
                LEFT JOIN source_records s ON s.source = ? AND s.stream = ? AND s.record_key = n.record_key
                WHERE s.content_hash IS DISTINCT FROM n.content_hash""",
            key,
        )
        has_old = store.value("SELECT count(*) FROM import_changed WHERE existed")
        again = [r for (r,) in store.sql("SELECT record_id FROM import_changed WHERE existed")] if "contacts" in tables else []
        had = former_addresses.held(store, SOURCE, kind.stream, again) if again else set()
        for table, columns in tables.items():
            if has_old and table == "contacts":
                _keep_what_the_file_leaves_out(store, kind)
            if has_old:
                store.sql(
                    f'DELETE FROM "{table}" WHERE source = ? AND stream = ? AND record_id IN '
                    "(SELECT record_id FROM import_changed WHERE existed)"
                    + (" AND is_main" if table == "identifiers" and not is_whole else "")
                    + (NO_STAYS.format(staged(table)) if table == "events" else ""),
                    key,
                )
            names = ", ".join(f'"{c}"' for c in ("record_id", *columns))
            store.sql(
                f'INSERT INTO "{table}" (source, stream, {names}) SELECT ?, ?, {names} FROM {staged(table)} '
                "WHERE record_id IN (SELECT record_id FROM import_changed)",
                key,
            )
            if has_old and table == "contacts":
                _put_back(store, kind, columns)
        if had:
            former_addresses.note(store, SOURCE, had, former_addresses.held(store, SOURCE, kind.stream, again))
        store.sql(
            "DELETE FROM source_records WHERE source = ? AND stream = ? "
            "AND record_key IN (SELECT record_key FROM import_changed)",
            key,
        )
        store.sql(
            "INSERT INTO source_records (source, stream, record_id, content_hash, first_run, changed_run, seen_run, state, "
            "record_key, snapshot_hash) SELECT ?, ?, record_id, content_hash, coalesce(first_run, ?), ?, ?, 'live', "
            "record_key, 0 FROM import_changed",
            [*key, run_id, run_id, run_id],
        )
        new_aside = _store_bad(store, kind, staged("bad"), staged("records"), run_id)
        ((good, bad),) = store.sql(f"SELECT good, bad FROM {staged('counts')}")
        stored = int(store.value("SELECT coalesce(sum(rows), 0) FROM import_changed"))
        store.sql("DROP TABLE import_changed")
        count = StreamCount(
            source=SOURCE, stream=kind.stream, fetched=good + bad, stored=stored, unchanged=good - stored, set_aside=bad,
            new_set_aside=new_aside,
        )  # fmt: skip
        runs.record_count(store, run_id, count)
        if stored:
            _complete(store)
        shown = store.sql(f"SELECT line, reason FROM {staged('bad')} ORDER BY line LIMIT {SHOWN}")
        reasons = store.sql(f"SELECT reason, count(*) FROM {staged('bad')} GROUP BY 1 ORDER BY 2 DESC, 1")
    log.info("%s: %d rows, %d stored, %d unchanged, %d set aside", kind.stream, good + bad, stored, good - stored, bad)
    return count, [(int(line), str(reason)) for line, reason in shown], [(str(reason), int(n)) for reason, n in reasons]


def _keep_what_the_file_leaves_out(store: Store, kind: Kind) -> None:
    """Table import_before: what an earlier file said of these contacts in columns this one may not have."""
    store.sql(
        "CREATE OR REPLACE TEMP TABLE import_before AS SELECT * FROM contacts "
        "WHERE source = ? AND stream = ? AND record_id IN (SELECT record_id FROM import_changed WHERE existed)",
        [SOURCE, kind.stream],
    )


def _put_back(store: Store, kind: Kind, columns: Sequence[str]) -> None:
    own = {"source", "stream", "record_id", *columns}
    kept = [f'"{c.name}" = b."{c.name}"' for c in records.columns("contacts") if c.name not in own and c.name != "attributes"]
    merged = "json_merge_patch(coalesce(b.attributes, '{}'), coalesce(contacts.attributes, '{}'))"
    kept.append(f"attributes = CASE WHEN coalesce(b.attributes, contacts.attributes) IS NOT NULL THEN {merged} END")
    store.sql(
        f"UPDATE contacts SET {', '.join(kept)} FROM import_before AS b "
        "WHERE contacts.source = ? AND contacts.stream = ? AND contacts.record_id = b.record_id",
        [SOURCE, kind.stream],
    )
    store.sql("DROP TABLE import_before")


def _store_bad(store: Store, kind: Kind, bad: str, good: str, run_id: str) -> int:
    """Keep the rows that could not be used; gives how many no earlier import met. A record that is good now is let go."""
    key = [SOURCE, kind.stream]
    store.sql(
        f"""CREATE OR REPLACE TEMP TABLE import_bad AS
            SELECT b.*, (SELECT min(s.first_run) FROM set_aside s
                         WHERE s.source = ? AND s.stream = ? AND s.record_id = b.record_id) AS first_run FROM {bad} b""",
        key,
    )
    store.sql(
        "DELETE FROM set_aside WHERE source = ? AND stream = ? AND record_id IN "
        f"(SELECT record_id FROM import_bad UNION ALL SELECT record_id FROM {good})",
        key,
    )
    store.sql(
        "INSERT INTO set_aside (source, stream, record_id, line, reason, first_run, last_run) "
        "SELECT ?, ?, record_id, line, reason, coalesce(first_run, ?), ? FROM import_bad",
        [*key, run_id, run_id],
    )
    new = int(store.value("SELECT count(*) FROM import_bad WHERE first_run IS NULL"))
    store.sql("DROP TABLE import_bad")
    return new


def _complete(store: Store) -> None:
    """Make anew what files leave out: orders of lines without an orders file, contacts of buyers without a contacts file."""
    store.sql("DELETE FROM orders WHERE source = ? AND stream = ?", [SOURCE, FROM_LINES])
    store.sql(
        """INSERT INTO orders (source, stream, record_id, order_id, contact_id, kind, ordered_at, status, is_test, is_cancelled,
                               currency, total, net)
           SELECT ?, ?, order_id, order_id, max(contact_id), 'order', min(ordered_at),
                  CASE WHEN sum(amount) < 0 THEN 'refunded' ELSE 'paid' END, false,
                  coalesce(max(quantity) < 0 AND sum(amount) = 0, false), max(currency),
                  sum(amount), sum(amount)
           FROM order_lines WHERE source = ? AND order_id NOT IN (SELECT order_id FROM orders WHERE source = ?)
           GROUP BY order_id HAVING min(ordered_at) IS NOT NULL""",
        [SOURCE, FROM_LINES, SOURCE, SOURCE],
    )
    # An orders file without amounts: its money is that of the lines, marked by a total that stays unknown.
    store.sql(
        f"""UPDATE orders SET net = (SELECT sum(l.amount) FROM order_lines l
                                     WHERE l.source = orders.source AND l.order_id = orders.order_id)
            WHERE source = ? AND stream = 'import:orders' AND total IS NULL AND NOT coalesce(is_cancelled, false)
              AND coalesce(lower(status), '') NOT IN {imports_clean.REFUNDED}""",
        [SOURCE],
    )
    store.sql("DELETE FROM companies WHERE source = ? AND stream = ?", [SOURCE, SIZES])
    store.sql(
        f"INSERT INTO companies (source, stream, record_id, company_id, employees) SELECT DISTINCT ?, ?, company_id, company_id, "
        f"CAST(substr(company_id, {len(imports_clean.SIZE) + 1}) AS BIGINT) FROM contacts "
        f"WHERE source = ? AND starts_with(company_id, '{imports_clean.SIZE}')",
        [SOURCE, SIZES, SOURCE],
    )
    for table in ("contacts", "identifiers"):
        store.sql(f"DELETE FROM {table} WHERE source = ? AND stream = ?", [SOURCE, CUSTOMERS])
    parts = " UNION ALL ".join(
        f"SELECT contact_id, {email} AS email, {when} AS at_utc FROM {table} "
        f"WHERE source = '{SOURCE}' AND contact_id IS NOT NULL"
        for table, email, when in (
            ("orders", "email", "ordered_at"), ("order_lines", "NULL", "ordered_at"), ("events", "email", "occurred_at"),
            ("carts", "email", "started_at"), ("subscriptions", "email", "started_at"),
        )
    )  # fmt: skip
    parts += (
        f" UNION ALL SELECT contact_id, value, NULL FROM identifiers WHERE source = '{SOURCE}' AND kind = 'email'"
        " AND stream = 'import:order_lines'"
    )
    store.sql(
        f"""INSERT INTO contacts (source, stream, record_id, contact_id, email, created_at, state)
            SELECT ?, ?, contact_id, contact_id,
              coalesce(max_by(email, at_utc) FILTER (email IS NOT NULL), max(email)), min(at_utc), 'live'
            FROM ({parts}) WHERE contact_id NOT IN (SELECT contact_id FROM contacts WHERE source = ?) GROUP BY contact_id""",
        [SOURCE, CUSTOMERS, SOURCE],
    )
    store.sql(
        "INSERT INTO identifiers (source, stream, record_id, contact_id, kind, value, is_main) "
        "SELECT source, stream, record_id, contact_id, 'email', email, true FROM contacts "
        "WHERE source = ? AND stream = ? AND email IS NOT NULL",
        [SOURCE, CUSTOMERS],
    )
