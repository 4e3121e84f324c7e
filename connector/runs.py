"""The book of runs: every command that changes anything has an id, a beginning and an end."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

import orjson

from connector import clock
from connector.store import Store
from models.people import StreamCount

log = logging.getLogger(__name__)

STAMP = "%Y%m%dT%H%M%S%f"


def begin(
    store: Store,
    command: str,
    as_of: date | None = None,
    *,
    now_utc: Callable[[], datetime] = clock.now_utc,
    suffix: Callable[[], str] = lambda: secrets.token_hex(2),
) -> str:
    """A new run id; ids sort in the order in which runs began, also where the clock was set back in between. Runs that never
    ended are marked interrupted (the caller holds the lock)."""
    now = now_utc()
    with store.transaction():
        last = str(store.value("SELECT max(run_id) FROM runs") or "")
        run_id = f"{_after(last, now):{STAMP}}-{suffix()}"
        left = store.sql("UPDATE runs SET state = 'interrupted' WHERE state = 'running' RETURNING run_id, command")
        store.sql(
            "INSERT INTO runs (run_id, command, started_at, as_of, state) VALUES (?, ?, ?, ?, 'running')",
            [run_id, command, now, as_of],
        )
    for earlier, what in left:
        log.warning("The run %s (%s) did not end; this one goes on from where it stopped.", earlier, what)
    return run_id


def _after(last: str, now: datetime) -> datetime:
    """Now, or just after the run `last` where that one has a later time: its clock was wrong then, or is wrong now."""
    try:
        before = datetime.strptime(last.partition("-")[0], STAMP)  # noqa: DTZ007  # naive UTC, as all our times
    except ValueError:
        return now
    return now if now > before else before + timedelta(microseconds=1)


def finish(
    store: Store,
    run_id: str,
    exit_code: int,
    summary: dict[str, Any] | None = None,
    *,
    now_utc: Callable[[], datetime] = clock.now_utc,
) -> None:
    """Close a run with its exit code and a JSON-able summary."""
    store.sql(
        "UPDATE runs SET state = 'finished', ended_at = ?, exit_code = ?, summary = ? WHERE run_id = ?",
        [now_utc(), exit_code, orjson.dumps(summary or {}).decode(), run_id],
    )


def record_count(store: Store, run_id: str, count: StreamCount) -> None:
    """Keep the account of one stream of a run."""
    with store.transaction():
        store.sql(
            "DELETE FROM stream_counts WHERE run_id = ? AND source = ? AND stream = ?", [run_id, count.source, count.stream]
        )
        store.sql(
            "INSERT INTO stream_counts (run_id, source, stream, fetched, stored, unchanged, set_aside, platform_total, pages, "
            "is_complete, note, new_set_aside) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                run_id, count.source, count.stream, count.fetched, count.stored, count.unchanged, count.set_aside,
                count.platform_total, count.pages, count.is_complete, count.note, count.new_set_aside,
            ],
        )  # fmt: skip


def counts(store: Store, run_id: str) -> list[StreamCount]:
    """The streams a run has pulled or imported, also when it was stopped half-way."""
    found = store.rows(
        "SELECT source, stream, fetched, stored, unchanged, set_aside, platform_total, pages, is_complete, note, "
        "new_set_aside FROM stream_counts WHERE run_id = ? ORDER BY rowid",
        [run_id],
    )
    return [StreamCount(**row) for row in found]


def reached_further_since(store: Store, then: datetime) -> bool:
    """Whether a backfill or an import that began since then brought anything: a shop may be known further back than it was."""
    return bool(
        store.sql(
            "SELECT 1 FROM runs JOIN stream_counts USING (run_id) WHERE command IN ('backfill', 'import') AND started_at > ? "
            "AND stored > 0 LIMIT 1",
            [then],
        )
    )
