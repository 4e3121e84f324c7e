"""Take one person out of the files beside the store: raw pages, saved plans, letters, the report, crash notes, backups."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import orjson

from connector import backup, forgotten, normalize
from connector.config import Config
from connector.erase import UNTOUCHED
from connector.keys import store_key
from connector.raw import RawPage, RawPages
from connector.store import Store
from connector.traces import Traces
from models.errors import ConnectorError, RecordError

log = logging.getLogger(__name__)

SAVED = "saved_files"
"""Key of a run's summary that lists files it wrote elsewhere which name people (plans, letters)."""
LEFTOVERS = ("rollcall-crash.txt",)
REPORT = "rollcall-report.html"


def erase_files(store: Store, config: Config, traces: Traces) -> dict[str, int]:
    """Rewrite or remove every file we know of that names the person; gives how many of each kind. Safe to repeat."""
    counts = {
        "raw pages": _raw_pages(store, traces),
        "saved files": sum(_remove_if_named(f, traces) for f in saved_files(store)),
        "reports": _remove(config.folder / REPORT),
        "crash notes": sum(_remove(folder / n) for folder in {config.folder, Path.cwd()} for n in LEFTOVERS),
        "backups": backup.rewrite_all(store, config, cleaner(store, traces)),
    }
    return {name: n for name, n in counts.items() if n}


def saved_files(store: Store) -> list[Path]:
    found = store.sql(f"SELECT DISTINCT json_extract(summary, '$.{SAVED}') FROM runs WHERE contains(summary, '{SAVED}')")
    return sorted({Path(p) for (listed,) in found if listed for p in orjson.loads(listed)})


def out_of_reach(store: Store) -> list[Path]:
    """Folders that are not there now, and into which something was written that may name people."""
    return sorted({*backup.out_of_reach(store), *(f.parent for f in saved_files(store) if not f.parent.is_dir())})


def cleaner(store: Store, traces: Traces) -> Callable[[str, dict[str, Any]], dict[str, Any] | None]:
    """What is to become of a row of a backup: (table, row) -> the row without the person, None when it goes."""
    key = store_key(store)
    theirs = set(traces.contacts)

    def clean(table: str, row: dict[str, Any]) -> dict[str, Any] | None:
        place = str(row.get("platform") or row.get("source") or "")
        if table == "ledger" and (place, row.get("contact_id")) in theirs:
            return {**row, "contact_id": forgotten.ledger_id(key, place, row["contact_id"]), "person_id": ""}
        if table == "journal":
            return _clean_intent(row, {i for p, i in theirs if p == place}, key)
        named = row.get("person_id") in traces.people or (place, row.get("contact_id")) in theirs
        if named or row.get("email") in traces.emails:
            return None
        return {k: traces.without(v) if isinstance(v, str) and table not in UNTOUCHED else v for k, v in row.items()}

    return clean


def _clean_intent(row: dict[str, Any], ids: set[str], key: bytes) -> dict[str, Any]:
    intent, outcome = orjson.loads(row["intent"]), orjson.loads(row.get("outcome") or "[]")
    for kind in ("add", "remove"):
        intent[kind] = [
            m if m[0] not in ids else [forgotten.ledger_id(key, row["platform"], m[0]), "", ""] for m in intent.get(kind, [])
        ]
    outcome = [o if o[0] not in ids else [forgotten.ledger_id(key, row["platform"], o[0]), *o[1:]] for o in outcome]
    return {**row, "intent": orjson.dumps(intent).decode(), "outcome": orjson.dumps(outcome).decode()}


# ---- raw pages


def _raw_pages(store: Store, traces: Traces) -> int:
    raw = RawPages(store)
    raw.remove_orphans(store)
    translators: dict[str, normalize.Normalizer] = {}
    changed = 0
    for row in store.rows("SELECT * FROM raw_pages ORDER BY file"):
        source, stream = row["source"], row["stream"]
        if source not in translators:
            translators[source] = normalize.Normalizer(normalize.load_mapping(source), {}, date.min)
        try:
            pages = raw.read(row["file"])
        except ConnectorError:
            log.warning("A raw page that cannot be read is removed: nobody can tell whom it names.")
            pages = []
        kept = [_without(page, source, stream, traces, translators[source]) for page in pages]
        if pages and kept == pages:
            continue
        changed += 1
        packed = [raw.pack(*page) for page in kept if page.records or page.gone]
        if not packed:
            store.sql("DELETE FROM raw_pages WHERE file = ?", [row["file"]])
            raw.remove_orphans(store)
            continue
        count = sum(len(page.records) for page in kept)
        again = raw.save(row["run_id"], source, stream, row["page"], packed, count, row["fetched_at"])
        if again is not None:
            sizes = [again["pages"], again["records"], again["bytes"], row["file"]]
            store.sql("UPDATE raw_pages SET pages = ?, records = ?, bytes = ? WHERE file = ?", sizes)
    return changed


def _without(page: RawPage, source: str, stream: str, traces: Traces, translate: normalize.Normalizer) -> RawPage:
    return RawPage(
        [r for r in page.records if not _is_theirs(r, source, stream, traces, translate)],
        {i: s for i, s in page.gone.items() if (source, i) not in traces.contacts},
    )


def _is_theirs(record: Any, source: str, stream: str, traces: Traces, translate: normalize.Normalizer) -> bool:
    """The record is one of theirs, names them in any text, or would be translated into rows of theirs."""
    whole = orjson.dumps(record).decode().lower()  # quickly tells most records, which say nothing of them
    if any(w in whole for w in traces.words) and any(traces.named_in(text) for text in _texts(record)):
        return True
    ids = {i for s, i in traces.contacts if s == source}
    try:
        if (source, stream, translate.record_id(stream, record)) in traces.records:
            return True
        if not any(i.lower() in whole for i in ids):
            return False
        rows = translate.normalize(stream, record)
    except (RecordError, TypeError):
        return False
    return any(row.get("contact_id") in ids for found in rows.values() for row in found)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


# ---- files


def _remove_if_named(path: Path, traces: Traces) -> int:
    try:
        if not traces.named_in(path.read_text(encoding="utf-8", errors="replace")):
            return 0
    except OSError:
        return 0
    return _remove(path)


def _remove(path: Path) -> int:
    if not path.is_file():
        return 0
    path.unlink()
    return 1
