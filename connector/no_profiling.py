"""People who are not to be profiled: no score is made of them, and those that were made are deleted in the same run.

They are named by a tag or group on a platform (`[privacy] no_profiling = ["shopify:tag:no-profiling"]`) or by a file
(`rollcall import no_profiling FILE`). A list only grows: leaving a line out of the next file does not take an objection back.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from connector import imports_read
from connector.config import Config
from connector.imports_kinds import KINDS, Kind, MapFile, recognise
from connector.store import Store
from models.errors import UsageError

log = logging.getLogger(__name__)

KIND = "no_profiling"
COLUMNS = {"tag": "tags", "group": "groups"}
FIELDS = {name: KINDS["contacts"].fields[name] for name in ("customer_id", "email")}
READER_MEMORY = "600MB"


@dataclass(frozen=True)
class Listed:
    """The account of one file: rows = new + known + empty."""

    rows: int
    new: int
    known: int
    empty: int


def not_profiled(store: Store, config: Config) -> set[str]:
    """The person ids no score may be made of, by the links of the last identity run."""
    found = {
        str(p)
        for (p,) in store.sql(
            """SELECT l.person_id FROM no_profiling n JOIN contacts c ON c.email = n.email
                 JOIN person_links l ON l.source = c.source AND l.contact_id = c.contact_id
               UNION SELECT l.person_id FROM no_profiling n JOIN identifiers i ON i.kind = 'email' AND i.value = n.email
                 JOIN person_links l ON l.source = i.source AND l.contact_id = i.contact_id
               UNION SELECT l.person_id FROM no_profiling n JOIN former_addresses f ON f.email = n.email
                 JOIN person_links l ON l.source = f.source AND l.contact_id = f.contact_id
               UNION SELECT l.person_id FROM no_profiling n JOIN person_links l
                 ON l.contact_id = n.contact_id AND l.source <> 'email'
               UNION SELECT l.person_id FROM no_profiling n JOIN person_links l
                 ON l.source = 'email' AND l.contact_id = n.email"""
        )
    }
    for rule in config.privacy.no_profiling:
        platform, what, name = rule.split(":", 2)
        rows = store.sql(
            f"""SELECT DISTINCT l.person_id FROM contacts c JOIN person_links l USING (source, contact_id)
                WHERE c.source = ? AND list_contains(
                  list_transform(from_json(c.{COLUMNS[what]}, '["VARCHAR"]'), lambda t: lower(trim(t))), lower(trim(?)))""",
            [platform, name],
        )
        found |= {str(p) for (p,) in rows}
    return found


def enforce(store: Store, config: Config) -> int:
    """Delete every score of those people; gives how many people they are. Identity must be up to date."""
    if not config.privacy.no_profiling and not store.sql("SELECT 1 FROM no_profiling LIMIT 1"):
        return 0
    people = sorted(not_profiled(store, config))
    with store.transaction():
        for table in _score_tables(store):
            store.sql(f'DELETE FROM "{table}" WHERE person_id IN (SELECT unnest(CAST(? AS VARCHAR[])))', [people])
    log.info("not profiled: %d people", len(people))
    return len(people)


def import_file(store: Store, file: Path, run_id: str, now: datetime) -> Listed:
    """Read a list of addresses or customer ids. Raises UsageError when it has neither column."""
    import duckdb

    kind = Kind(KIND, "contacts", "customer_id", FIELDS, (("customer_id", "email"),))
    with store.staged() as folder, duckdb.connect(":memory:", config={"memory_limit": READER_MEMORY}) as db:
        given = imports_read.read(file, db, folder)
        found = recognise(kind, given.header, MapFile())
        email = f"nullif(lower(trim(c{found['email']})), '')" if "email" in found else "NULL::VARCHAR"
        contact = f"nullif(trim(c{found['customer_id']}), '')" if "customer_id" in found else "NULL::VARCHAR"
        try:
            rows = db.execute(f"SELECT {email}, {contact} FROM given ORDER BY line").fetchall()
        except duckdb.Error as e:
            raise UsageError(f"{file} could not be read: {str(e).splitlines()[0]}") from e
    people = [(e, c) for e, c in rows if e or c]
    held = set(store.sql("SELECT email, contact_id FROM no_profiling"))
    new = [p for p in dict.fromkeys(people) if p not in held]
    store.insert(KIND, [{"email": e, "contact_id": c, "since": str(now), "run_id": run_id} for e, c in new])
    return Listed(len(rows), len(new), len(people) - len(new), len(rows) - len(people))


def _score_tables(store: Store) -> list[str]:
    """Tables that hold something predicted about persons; told by their names, so that later ones are reached too."""
    return [
        str(t)
        for (t,) in store.sql(
            """SELECT DISTINCT table_name FROM duckdb_columns() WHERE column_name = 'person_id'
               AND regexp_matches(table_name, '^(score|cluster|anomal|recommend)') ORDER BY 1"""
        )
    ]
