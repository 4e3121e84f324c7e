"""What cannot be pulled again, in one small file: ledger, journal, go-aheads, pins, what stands in our fields and whom a
trigger told of, who said no before, the audit trail, the configuration.

No address is in it, except of those who asked not to be profiled, and those that somebody had who says no: the journal keeps
the platforms' contact ids only. The key of the store goes with it, so that after a loss nobody we were told to forget comes back;
the keys of the audit trail do not, so that forgetting somebody reaches the backups too.
"""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from connector import consent, keys
from connector.config import Config
from connector.store import MEMORY, Store
from models.errors import ConnectorError, StoreError, UsageError

log = logging.getLogger(__name__)

KEEP = 10
JOURNAL_DAYS = 30
VERSION = 1
FOLDERS = "backup_folders"
KEY = "store.keys"
"""What the store's key file is called in a backup."""
TABLES = (
    "ledger_objects", "ledger", "journal", "parked", "go_aheads", "pins", "paused", "overrides", "nights", "audit",
    "audit_head", "forgotten", "no_profiling", "meta", "field_values", "field_writes", "trigger_starts", "triggered",
    "carried", "given", "consent_history", "former_addresses",
    "product_categories",
)  # fmt: skip
"""Those of them that the store has are kept."""
DATED = {"journal": "intended_at", "field_writes": "written_at"}
"""Of these only what is of the last days, for `undo`, or open still."""
SAID_NO = {
    "consent_history": f"SELECT * FROM ({consent.LAST_NO}) UNION ALL SELECT * FROM ({consent.KEPT_OPT_OUTS})",
    "former_addresses": f"""
        SELECT f.* FROM former_addresses f SEMI JOIN ({consent.LAST_NO}) USING (source, contact_id)
        UNION
        SELECT * FROM former_addresses WHERE was_refused IS NOT false
        UNION  -- whoever is not there any more says no for an address that others have
        SELECT source, contact_id, email, NULL, NULL FROM contacts SEMI JOIN ({consent.LAST_NO}) USING (source, contact_id)
        WHERE email IS NOT NULL AND state NOT IN ('live', 'erased')""",
}
"""Of these only what a no rests on that the platforms may not show any more."""

Cleaner = Callable[[str, dict[str, Any]], dict[str, Any] | None]


@dataclass(frozen=True)
class Saved:
    """A backup that was made: where, how many rows, how many bytes."""

    path: Path
    rows: int
    size: int


def folder_of(config: Config) -> Path:
    """Where backups go by themselves, beside the store."""
    return config.store_path.absolute().with_name("rollcall.backups")


def make(store: Store, config: Config, folder: Path, now: datetime) -> Saved:
    """Write `rollcall-<time>.zip` (mode 0600) whole or not at all; the ten newest of the folder stay."""
    path = folder / f"rollcall-{now:%Y%m%dT%H%M%S%f}.zip"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, _entries(store, config, now))
    except OSError as e:
        raise UsageError(f"No backup can be written into {folder} ({e.strerror}). Choose another folder.") from e
    if folder.absolute() != folder_of(config):
        _remember(store, folder.absolute())
    for old in files_in(folder)[:-KEEP]:
        old.unlink()
    rows = sum(int(store.value(f"SELECT count(*) FROM {_source(t, now)}")) for t in _held(store))
    return Saved(path, rows, path.stat().st_size)


def after_push(store: Store, config: Config, now: datetime) -> None:
    """The backup that follows every push. That it cannot be made is no reason to call the push a failure."""
    if store.path == MEMORY:
        return
    try:
        make(store, config, folder_of(config), now)
    except ConnectorError as e:
        log.warning("The push is done, but its backup could not be made: %s", e)


def files_in(folder: Path) -> list[Path]:
    """The backups of a folder, oldest first."""
    return sorted(folder.glob("rollcall-*.zip")) if folder.is_dir() else []


def read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Table -> rows of a backup. Raises UsageError when it is none."""
    try:
        with zipfile.ZipFile(path) as z:
            about = orjson.loads(z.read("about.json"))
            if about["version"] != VERSION:
                raise UsageError(f"{path} was made by another version of Rollcall and cannot be read by this one.")
            return {t: [orjson.loads(line) for line in z.read(f"{t}.jsonl").splitlines()] for t in about["tables"]}
    except (OSError, zipfile.BadZipFile, KeyError, orjson.JSONDecodeError) as e:
        raise UsageError(f"{path} is no backup of Rollcall, or it is damaged.") from e


def rewrite_all(store: Store, config: Config, clean: Cleaner) -> int:
    """Pass every row of every backup we know of through `clean`; gives how many files changed. All of them know from then on who
    was forgotten, so that after a loss nobody comes back who was forgotten after the last push.

    One that cannot be read is removed: nobody can tell whom it names.
    """
    changed, key, out = 0, _key(store), _rows(store, "(SELECT * FROM forgotten)")
    for path in (f for folder in (folder_of(config), *_remembered(store)) for f in files_in(folder)):
        try:
            tables = read(path)
        except UsageError:
            log.warning("%s cannot be read and is removed.", path)
            path.unlink(missing_ok=True)
            changed += 1
            continue
        fresh = {t: [new for row in rows if (new := clean(t, row)) is not None] for t, rows in tables.items()}
        with zipfile.ZipFile(path) as z:
            entries = {n: z.read(n) for n in z.namelist()}
        if key and entries.setdefault(KEY, key) == key and "forgotten" in fresh:
            held = {row["hash"] for row in fresh["forgotten"]}
            fresh["forgotten"] += [row for row in out if row["hash"] not in held]
        if fresh == tables:
            continue
        entries |= {f"{t}.jsonl": _lines(rows) for t, rows in fresh.items()}
        try:
            _write(path, iter(entries.items()))
        except OSError as e:
            raise StoreError(f"The backup {path} cannot be rewritten ({e.strerror}). Make room and run it again.") from e
        changed += 1
    return changed


def _entries(store: Store, config: Config, now: datetime) -> Iterator[tuple[str, bytes]]:
    held = _held(store)
    about = {"version": VERSION, "made_at": str(now), "tables": held, "store": config.store_path.name}
    yield "about.json", orjson.dumps(about)
    for table in held:
        rows = _rows(store, _source(table, now))
        yield f"{table}.jsonl", _lines([_without_addresses(r) if table == "journal" else r for r in rows])
    if config.path.is_file():
        yield "rollcall.toml", config.path.read_bytes()
    if key := _key(store):
        yield KEY, key


def _rows(store: Store, source: str) -> list[dict[str, Any]]:
    return [orjson.loads(text) for (text,) in store.sql(f"SELECT CAST(to_json(t) AS VARCHAR) FROM {source} t")]


def _key(store: Store) -> bytes:
    """The store's key file; nothing where it has none yet."""
    path = keys.key_path(store)
    return path.read_bytes() if path is not None and path.is_file() else b""


def _held(store: Store) -> list[str]:
    there = {str(t) for (t,) in store.sql("SELECT table_name FROM duckdb_tables() WHERE NOT temporary")}
    return [t for t in TABLES if t in there]


def _source(table: str, now: datetime) -> str:
    if table in SAID_NO:
        return f"({SAID_NO[table]})"
    if table not in DATED:
        return f'(SELECT * FROM "{table}")'
    since = now - timedelta(days=JOURNAL_DAYS)
    return f"(SELECT * FROM {table} WHERE {DATED[table]} > TIMESTAMP '{since}' OR state IN ('intended', 'unknown'))"


def _without_addresses(row: dict[str, Any]) -> dict[str, Any]:
    intent = orjson.loads(row["intent"])
    shorter = {kind: [[m[0], "", m[2]] for m in members] for kind, members in intent.items()}
    return {**row, "intent": orjson.dumps(shorter).decode()}


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(r) + b"\n" for r in rows)


def _write(path: Path, entries: Iterator[tuple[str, bytes]]) -> None:
    fresh = path.with_suffix(".tmp")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
        with zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED) as z:
            for name, body in entries:
                z.writestr(name, body)
        f.flush()
        os.fsync(f.fileno())
    fresh.replace(path)


def _remember(store: Store, folder: Path) -> None:
    """So that forgetting somebody reaches the backups there."""
    known = sorted({*map(str, _remembered(store)), str(folder)})
    store.sql("DELETE FROM meta WHERE name = ?", [FOLDERS])
    store.insert("meta", [{"name": FOLDERS, "value": orjson.dumps(known).decode()}])


def out_of_reach(store: Store) -> list[Path]:
    """Folders of backups that are not there now: on a disk that is not plugged in, perhaps."""
    return [folder for folder in _remembered(store) if not folder.is_dir()]


def _remembered(store: Store) -> list[Path]:
    held = store.value("SELECT value FROM meta WHERE name = ?", [FOLDERS])
    return [Path(p) for p in orjson.loads(held)] if held else []
