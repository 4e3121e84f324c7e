"""What is old is forgotten: events after `privacy.keep_events_months`, what is kept per run after `privacy.keep_runs_days`.

Never the audit trail, the ledger, pins, go-aheads, consent, or who is in which segment since when: they are no run's. Of a
stream and of a segment the last row stays, for the next one is compared with it; what no run has settled yet stays too, and so
do runs that wrote files which name people, for `forget` must find these.
"""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta

from connector.store import Store

log = logging.getLogger(__name__)

SETTLED = "state NOT IN ('intended', 'unknown')"
TABLES: dict[str, str] = {
    "runs": "started_at < $before AND state <> 'running' AND NOT contains(coalesce(summary, ''), 'saved_files')",
    "stream_counts": """run_id < $run AND (run_id, source, stream) NOT IN (
        SELECT (max(run_id), source, stream) FROM stream_counts WHERE is_complete GROUP BY source, stream)""",
    "segment_counts": """run_id < $run AND (run_id, segment) NOT IN (
        SELECT (max(run_id), segment) FROM segment_counts GROUP BY segment)""",
    "nights": "run_id < $run",
    "overrides": "given_at < $before",
    "journal": f"intended_at < $journeys AND {SETTLED}",  # who was put on a journey lately is counted from it
    # a refusal is remembered until a later value was taken, so that the same one is not tried every night
    "field_writes": f"""written_at < $before AND {SETTLED} AND (
        state NOT IN ('refused', 'missing') OR (run_id, platform, field, contact_id) NOT IN (
          SELECT (max(run_id), platform, field, contact_id) FROM field_writes GROUP BY platform, field, contact_id))""",
}
"""Table -> which of its rows are too old. $before: a time in UTC; $run: run ids sort by time, and this is the first to stay."""


def prune(store: Store, keep_days: int, now: datetime, *, journeys_days: int = 30) -> dict[str, int]:
    """Forget what is older than `keep_days`; gives how many rows of each table went. All of it or nothing.

    journeys_days: how far back journeys are counted; what they are counted from stays that long at least.
    """
    before = now - timedelta(days=keep_days)
    if not store.sql("SELECT 1 FROM runs WHERE started_at < ? LIMIT 1", [before]):
        return {}
    journeys = now - timedelta(days=max(keep_days, journeys_days + 1))
    limits = {"before": before, "journeys": journeys, "run": f"{before:%Y%m%dT%H%M%S%f}"}
    gone: dict[str, int] = {}
    with store.transaction():
        for table, is_old in TABLES.items():
            used = {name: value for name, value in limits.items() if f"${name}" in is_old}
            gone[table] = len(store.sql(f"DELETE FROM {table} WHERE {is_old} RETURNING 1", used))
    found = {table: n for table, n in gone.items() if n}
    if found:
        log.info("Older than %d days, and forgotten: %s", keep_days, found)
    return found


NO = r"(?i)complaint|unsubscri|spam|abuse|opt.?(ed)?.?out"
"""Kinds of events that stay however old they are, in whatever spelling: a no does not lapse."""


def prune_events(store: Store, keep_months: int, today: date) -> int:
    """Forget what people did or received more than `keep_months` before the shop's `today`; gives how many events went."""
    gone = store.sql(
        """DELETE FROM events WHERE occurred_at < CAST(? AS DATE) - to_months(?)
            AND kind NOT IN (SELECT kind FROM (SELECT DISTINCT kind FROM events) WHERE regexp_matches(kind, ?)) RETURNING 1""",
        [today, keep_months, NO],
    )
    if gone:
        log.info("Older than %d months, and forgotten: %d events", keep_months, len(gone))
    return len(gone)
