"""A backup is put back: what was ours on the platforms, as far as it was known then.

What was put on or taken off since nobody knows. So until `ledger rebuild` has compared the ledger with the platforms nobody
is taken off but who said no, and who is not there any more counts as taken off by nobody's hand. Triggers begin anew: whom
they told of is known by the days people entered, which are in no backup.
"""

from __future__ import annotations

import os
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

import adapters
from connector import audit, backup, erase_files, forgotten, keys, ledger, trial
from connector.config import Config
from connector.store import Store
from connector.traces import Traces
from models.errors import StoreError, UsageError

DOUBT = "ledger_from_backup"
ADDED = ("forgotten", "no_profiling")
"""Of these nothing that is here is lost: who was forgotten since, or asked not to be profiled, stays so."""
NOTES = (
    "account:",
    "filling:",
    "part:",
    ledger.COVERED,
    ledger.SERVICE,
    ledger.CHANNEL,
    ledger.RENAMED,
    backup.FOLDERS,
    trial.NOTE,
)
"""How the names of notes in `meta` begin that are put back; the others speak of tables that are in no backup."""
STAYS = {
    "pins": ("person_id", "segment"), "paused": ("segment",), "carried": ("platform", "segment", "contact_id"),
    "given": ("platform", "segment", "contact_id"),
}  # fmt: skip
"""Of these what is here stays, too, and wins over the backup's row of the same columns: the owner said it since, or it was seen."""
LEFT_OUT = ("meta", "trigger_starts", "triggered", *ADDED)
BEFORE = "before-restore"
SAID = (
    "The ledger came from a backup of {} UTC: what was put on or taken off since then is not known. Nobody is taken off but who "
    "said no, until `rollcall ledger rebuild` has compared it with the platforms."
)


def newest(place: Path) -> Path:
    """The backup meant by a file, or by a folder of several. Raises UsageError when there is none."""
    found = [place] if place.is_file() else backup.files_in(place)
    if not found:
        raise UsageError(f"There is no backup in {place}. Name a file `rollcall-....zip`, or a folder that holds some.")
    return found[-1]


def made_at(path: Path) -> datetime:
    """When (UTC). Raises UsageError when it is no backup."""
    try:
        with zipfile.ZipFile(path) as z:
            return datetime.fromisoformat(orjson.loads(z.read("about.json"))["made_at"])
    except (OSError, ValueError, zipfile.BadZipFile, KeyError) as e:
        raise UsageError(f"{path} is no backup of Rollcall, or it is damaged.") from e


def put_configuration(path: Path, place: Path) -> bool:
    """Write the backup's rollcall.toml where there is none; gives whether it did. One that is there is never touched."""
    with zipfile.ZipFile(path) as z:
        if place.exists() or "rollcall.toml" not in z.namelist():
            return False
        _write(place, z.read("rollcall.toml"))
    return True


def would_replace(store: Store) -> str:
    """What is known here already of what we wrote, in words; '' for a store that has written nothing."""
    people, objects = store.value("SELECT count(*) FROM ledger"), store.value("SELECT count(*) FROM ledger_objects")
    last = store.value("SELECT max(happened_at) FROM audit")
    if not (people or objects or last):
        return ""
    when = f", last changed {last:%Y-%m-%d %H:%M} UTC" if last else ""
    return f"{objects:,} tags and lists with {people:,} people we added{when}"


def carry_out(store: Store, config: Config, path: Path, now: datetime, run_id: str) -> int:
    """Put the backup's rows in the place of what is here (but see `STAYS`), which is saved beside the other backups first; gives
    how many.

    Raises StoreError where this store remembers forgotten people by another key than the backup's, or was filled from another
    account.
    """
    tables, made = backup.read(path), made_at(path)
    _require_same_accounts(store, tables.get("meta", []))
    with zipfile.ZipFile(path) as z:
        key = z.read(backup.KEY) if backup.KEY in z.namelist() else b""
    if would_replace(store):
        backup.make(store, config, backup.folder_of(config) / BEFORE, now)
    _take_key(store, key)
    rows = 0
    with store.transaction():
        for table in ADDED:
            rows += _add(store, table, _without_forgotten(store, table, tables))
        notes = [r for r in tables.get("meta", []) if r["name"].startswith(NOTES)]
        ledger.take_back_renames(store, config.platforms, [r["name"] for r in notes])
        for kind in (
            "filling:",
            ledger.COVERED,
            ledger.SERVICE,
            ledger.CHANNEL,
            ledger.RENAMED,
        ):  # they speak of the ledger that goes
            store.sql("DELETE FROM meta WHERE starts_with(name, ?)", [kind])
        held = {name for (name,) in store.sql("SELECT name FROM meta")}
        store.insert("meta", [r for r in notes if r["name"] not in held])
        for table in (t for t in backup.TABLES if t in tables and t not in LEFT_OUT):
            found = _without_forgotten(store, table, tables)
            if table in backup.SAID_NO:
                rows += _add(store, table, found)
                continue
            if table in STAYS:
                found = _unsaid(store, table, found)
            else:
                store.sql(f'DELETE FROM "{table}"')
            store.insert(table, found)
            rows += len(found)
        proven(store)
        store.insert("meta", [{"name": DOUBT, "value": f"{made:%Y-%m-%d %H:%M}"}])
        audit.note(store, "restored", now, run_id, detail=f"ledger of a backup made {made:%Y-%m-%d %H:%M} UTC")
    return rows


def doubt(store: Store) -> str:
    """When the backup was made that the ledger came from, '' once it was compared with the platforms (or never did)."""
    return str(store.value("SELECT value FROM meta WHERE name = ?", [DOUBT]) or "")


def said(store: Store) -> tuple[str, ...]:
    made = doubt(store)
    return (SAID.format(made),) if made else ()


def proven(store: Store) -> None:
    """The ledger was compared with the platforms, and the owner agreed."""
    store.sql("DELETE FROM meta WHERE name = ?", [DOUBT])


def _add(store: Store, table: str, rows: list[dict[str, Any]]) -> int:
    held = {orjson.dumps(orjson.loads(text)) for (text,) in store.sql(f"SELECT CAST(to_json(t) AS VARCHAR) FROM {table} t")}
    fresh = [r for r in rows if orjson.dumps(r) not in held]
    store.insert(table, fresh)
    return len(fresh)


def _unsaid(store: Store, table: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The backup's rows about whom, or what, nothing is said here."""

    def about(row: dict[str, Any]) -> tuple[str, ...]:
        return tuple(str(row[column]).lower() for column in STAYS[table])

    held = {about(r) for r in store.rows(f'SELECT * FROM "{table}"')}
    return [r for r in rows if about(r) not in held]


def _without_forgotten(store: Store, table: str, tables: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The rows of a table, without people who were forgotten after the backup was made."""
    known = forgotten.Forgotten(store)
    if not known:
        return tables.get(table, [])
    named = (r for rows in tables.values() for r in rows if r.get("contact_id"))
    places = {(str(r.get("platform") or r["source"]), str(r["contact_id"])) for r in named}
    theirs = frozenset(p for p in places if known.knows(*p))
    people = {r["person_id"] for r in tables.get("ledger", []) if (r["platform"], r["contact_id"]) in theirs}
    ids = {str(r["person_id"]) for rows in tables.values() for r in rows if r.get("person_id")}
    people |= {i for i in ids if known.knows(forgotten.PERSON, i)}
    clean = erase_files.cleaner(store, Traces(contacts=theirs, people=frozenset(people - {""})))
    kept = [row for row in tables.get(table, []) if not (row.get("email") and known.knows("email", str(row["email"])))]
    return [fresh for row in kept if (fresh := clean(table, row)) is not None]


def _require_same_accounts(store: Store, notes: list[dict[str, Any]]) -> None:
    """What was ours on one account says nothing of another, whose lists may bear the same numbers."""
    held = dict(store.sql("SELECT name, value FROM meta WHERE starts_with(name, 'account:')"))
    for note in notes:
        if held.get(note["name"], note["value"]) != note["value"]:
            title = adapters.title(note["name"].removeprefix("account:"))
            raise StoreError(
                f"The backup is of another {title} account than the data in this store. Nothing was changed. Restore it into a new "
                f"store: move {store.path} away first."
            )


def _take_key(store: Store, key: bytes) -> None:
    """The backup's key knows again whom we were told to forget before, and seals the trail."""
    path = keys.key_path(store)
    if path is None or not key or (path.exists() and path.read_bytes() == key):
        return
    if keys.is_needed(store):
        raise StoreError(
            "This store remembers people it was told to forget by a key that is not the backup's. Restore into a new store: move "
            f"{store.path} and {path} away first."
        )
    _write(path, key)


def _write(path: Path, body: bytes) -> None:
    fresh = path.with_name(path.name + ".tmp")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
        f.write(body)
        f.flush()
        os.fsync(f.fileno())
    fresh.replace(path)
