"""One account of a torture: how it is pulled, and what is held of it afterwards, row by row."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from adapters import load
from adapters.base import Adapter
from connector import clock, full_reads, normalize, pull, runs
from connector.store import Store
from models.errors import ConnectorError
from models.people import StreamCount
from models.records import TABLES

PLATFORMS = ("shopify", "mailchimp", "hubspot")
LONGEST_SLEEP_S = 0.02
"""Of every wait a client asks for: a torture is about what is asked again, not about how long one waits before."""
TIMEOUT_S = 0.7
COMMIT_S = 0.01
"""So that a page without records, which only says where the walk stands, is stored at once too."""
EVERY_DAYS = 7
SETTINGS: dict[str, dict[str, Any]] = {
    "shopify": {"store": "sandbox-shop.myshopify.com", "token": "shpat_sandbox", "bulk": "never", "page_size": 15},
    "mailchimp": {"token": "0123456789abcdef0123456789abcdef-us1", "audience": "a1b2c3d4e5", "ecommerce": "always",
                  "page_size": 15, "workers": 2},
    "hubspot": {"token": "pat-eu1-sandbox", "workers": 2},
}  # fmt: skip
COMMON = {"timeout_s": TIMEOUT_S, "connect_timeout_s": 5, "tries": 12, "max_wait_s": 1e9, "prefix": "Rollcall: "}

Key = tuple[str, str]
"""A record: its stream and its id."""
Rows = dict[str, dict[Key, Counter[str]]]
"""Table -> record -> its rows, as text, each with how often it is there."""


def briefly(wait_s: float) -> None:
    time.sleep(min(max(0.0, wait_s), LONGEST_SLEEP_S))


def adapter(platform: str, url: str, *, is_patient: bool = False, **more: Any) -> Adapter:
    """is_patient: it waits as long as it means to."""
    settings = {**SETTINGS[platform], **COMMON, **more, "base_url": f"{url}/{platform}"}
    return load(platform)(settings, now_utc=clock.now_utc, sleep=clock.sleep if is_patient else briefly)


@dataclass
class Told:
    """What one run says of itself. `words` is what an owner would read where it is not complete."""

    streams: list[dict[str, Any]]
    error: str = ""

    @property
    def is_complete(self) -> bool:
        return not self.error and bool(self.streams) and all(s["is_complete"] for s in self.streams)

    @property
    def words(self) -> str:
        return " ".join([self.error, *(s["note"] for s in self.streams if s["note"])]).strip()

    def met_again(self) -> int:
        return sum(s["unchanged"] for s in self.streams)


def run(
    platform: str, url: str, store_path: Path | str, *, full_since: str = "", streams: Sequence[str] | None = None, **more: Any
) -> Told:
    """One pull; or, with `full_since`, the full reads that have not ended since then. Every page is committed at once.

    streams: only these, and nothing is said of full reads.
    """
    talk = adapter(platform, url, **more)
    translate = normalize.Normalizer(normalize.load_mapping(platform), {}, clock.now_utc().date())
    with Store(store_path, threads=1) as store:
        run_id = runs.begin(store, "torture")
        if full_since:
            told = Told(_full_reads(store, talk, translate, run_id, full_since))
        else:
            told = _pull(store, talk, translate, run_id, streams)
        if streams is None and not full_since:
            full_reads.due(store, talk, translate, EVERY_DAYS, clock.now_utc())
        runs.finish(store, run_id, 0 if told.is_complete else 1, {})
    return told


def _pull(store: Store, talk: Adapter, translate: normalize.Normalizer, run_id: str, streams: Sequence[str] | None) -> Told:
    source = pull.Source(talk, translate)
    found = pull.pull_together(store, [source], run_id, streams=streams, commit_records=1, commit_s=COMMIT_S)[talk.name]
    if found.error is not None and not isinstance(found.error, ConnectorError):
        raise found.error
    assert all(_adds_up(count) for count in found.counts), found.counts
    return Told([vars(c) for c in found.counts], str(found.error or ""))


def _adds_up(count: StreamCount) -> bool:
    return count.fetched == count.stored + count.unchanged + count.set_aside


def _full_reads(store: Store, talk: Adapter, translate: normalize.Normalizer, run_id: str, since: str) -> list[dict[str, Any]]:
    """As a night would do them; a stream whose read has ended since then is not begun again."""
    night = datetime.fromisoformat(since) + timedelta(days=EVERY_DAYS)
    read = []
    for stream in sorted(full_reads.due(store, talk, translate, EVERY_DAYS, night)):
        one = full_reads.read_on(store, talk, translate, run_id, stream, EVERY_DAYS)
        read.append({"stream": stream, "is_complete": one.is_ended, "note": one.note, "gone": one.gone, "unchanged": 0})
    return read


def under_way(store: Path, *, is_full_read: bool) -> set[str]:
    """Streams of which pages are stored and others are still to come."""
    wanted = "full_reads WHERE cursor IS NOT NULL AND cursor != 'null'" if is_full_read else "cursors WHERE NOT is_complete"
    if not store.exists():
        return set()
    with duckdb.connect(str(store), read_only=True) as db:
        return {stream for (stream,) in db.execute(f"SELECT stream FROM {wanted}").fetchall()}


def records(store: Path) -> set[Key]:
    """What is held."""
    if not store.exists():
        return set()
    with duckdb.connect(str(store), read_only=True) as db:
        return set(db.execute("SELECT stream, record_id FROM source_records").fetchall())


def taken_in_since(store: Path, moment: str) -> set[str]:
    """Ids of what runs that began after this moment (as text, UTC) have stored; of activity without the day."""
    with duckdb.connect(str(store), read_only=True) as db:
        found = db.execute(
            "SELECT stream, record_id FROM source_records JOIN runs ON run_id = seen_run WHERE started_at >= CAST(? AS TIMESTAMP)",
            [moment],
        ).fetchall()
    return {i.rpartition(":")[0] if stream == "activity" else i for stream, i in found}


def states(store: Path) -> dict[Key, str]:
    with duckdb.connect(str(store), read_only=True) as db:
        found = db.execute("SELECT stream, record_id, state FROM source_records").fetchall()
    assert len({(s, i) for s, i, _ in found}) == len(found), "a record is held twice"
    return {(s, i): state for s, i, state in found}


def rows(store: Path) -> Rows:
    """All rows of all normalized tables; when a snapshot was taken is no fact about the platform."""
    found: Rows = {}
    with duckdb.connect(str(store), read_only=True) as db:
        assert db.execute("SELECT stream, reason FROM set_aside").fetchall() == []
        for table in TABLES:
            left_out = "EXCLUDE (taken_on)" if table == "snapshots" else ""
            held: dict[Key, Counter[str]] = {}
            for stream, record_id, *rest in db.execute(f"SELECT stream, record_id, * {left_out} FROM {table}").fetchall():
                held.setdefault((stream, record_id), Counter())[repr(rest)] += 1
            found[table] = held
    return found


def differences(ours: Path, fresh: Path, *, unless: Callable[[Key], bool] = lambda key: False) -> list[str]:
    """What is held of live records otherwise than by a store that was filled in one go; empty when nothing is.

    unless: records of which nothing is said.
    """
    mine, theirs = rows(ours), rows(fresh)
    live = {key for key, state in states(ours).items() if state == "live" and not unless(key)}
    wanted = {key for key, state in states(fresh).items() if state == "live" and not unless(key)}
    found = [f"not held: {key}" for key in sorted(wanted - live)] + [f"held, not there: {key}" for key in sorted(live - wanted)]
    for table in TABLES:
        for key in sorted(live & wanted):
            a, b = mine[table].get(key, Counter()), theirs[table].get(key, Counter())
            if a != b:
                found.append(f"{table} {key}: {sorted((a - b).elements())} instead of {sorted((b - a).elements())}")
    return found


def gone(store: Path) -> Mapping[Key, str]:
    """Records that are no longer live, and what became of them."""
    return {key: state for key, state in states(store).items() if state != "live"}
