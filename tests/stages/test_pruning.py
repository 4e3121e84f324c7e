"""What is kept per run is kept for as long as the owner says, and what is no run's is kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from connector import config, field_values, pruning, runs, sync
from connector.clock import as_of
from connector.progress import Silent
from connector.session import Session
from connector.store import MEMORY, Store

NOW = datetime(2026, 11, 21, 12)
OLD, YOUNG = NOW - timedelta(days=400), NOW - timedelta(days=10)
KEEP = 365


def run_id(at: datetime, suffix: str = "0000") -> str:
    return f"{at:%Y%m%dT%H%M%S%f}-{suffix}"


@pytest.fixture
def store() -> Store:
    found = Store(MEMORY)
    for at in (OLD, YOUNG):
        runs.begin(found, "sync", now_utc=lambda at=at: at, suffix=lambda: "0000")  # type: ignore[misc]  # the loop's own value
        runs.finish(found, run_id(at), 0, {})
    return found


def add(store: Store, table: str, at: datetime, **values: object) -> None:
    times = {"overrides": "given_at", "journal": "intended_at", "field_writes": "written_at"}
    dated = {times[table]: str(at)} if table in times else {}
    store.insert(table, [{"run_id": run_id(at), **dated, **values}])


def ages(store: Store, table: str) -> list[str]:
    words = {run_id(OLD): "old", run_id(YOUNG): "young"}
    return sorted(words[r] for (r,) in store.sql(f"SELECT run_id FROM {table}"))


@pytest.mark.parametrize("table", ["runs", "nights", "overrides", "journal", "field_writes"])
def test_rows_of_runs_that_are_too_old_go_and_younger_ones_stay(store: Store, table: str) -> None:
    if table != "runs":
        more = {"state": "done"} if table in ("journal", "field_writes") else {}
        add(store, table, OLD, **more)
        add(store, table, YOUNG, **more)
    assert pruning.prune(store, KEEP, NOW)[table] == 1
    assert ages(store, table) == ["young"]
    assert pruning.prune(store, KEEP, NOW) == {}


@pytest.mark.parametrize("table", ["journal", "field_writes"])
@pytest.mark.parametrize("state", ["intended", "unknown"])
def test_what_no_run_has_settled_stays_however_old_it_is(store: Store, table: str, state: str) -> None:
    add(store, table, OLD, state=state)
    pruning.prune(store, KEEP, NOW)
    assert ages(store, table) == ["old"]


def test_the_last_account_of_a_stream_and_of_a_segment_stays_for_the_next_to_be_compared_with(store: Store) -> None:
    older = OLD - timedelta(days=1)
    for at in (older, OLD):
        add(store, "stream_counts", at, source="mailchimp", stream="members", is_complete=True)
        add(store, "segment_counts", at, segment="VIP")
    for table in ("stream_counts", "segment_counts"):
        assert pruning.prune(store, KEEP, NOW).get(table, 1) == 1
        assert ages(store, table) == ["old"]


def test_a_run_that_wrote_a_file_which_names_people_stays_for_forget_to_find_it(store: Store) -> None:
    runs.finish(store, run_id(OLD), 0, {"saved_files": ["/somewhere/plan.json"]})
    pruning.prune(store, KEEP, NOW)
    assert ages(store, "runs") == ["old", "young"]


def test_a_refused_value_stays_refused_until_another_was_taken(store: Store) -> None:
    refused = {"platform": "hubspot", "field": "rollcall_town", "contact_id": "1", "state": "refused", "value_after": "Bonn"}
    add(store, "field_writes", OLD, **refused)
    add(store, "field_writes", OLD, **{**refused, "contact_id": "2"})
    add(store, "field_writes", YOUNG, **{**refused, "contact_id": "2", "state": "done"})
    pruning.prune(store, KEEP, NOW)
    assert store.sql("SELECT contact_id, state FROM field_writes ORDER BY 1") == [("1", "refused"), ("2", "done")]
    assert field_values._refused(store, "hubspot", "rollcall_town") == {"1": "Bonn"}


def test_the_trail_the_ledger_pins_and_what_stands_in_our_fields_are_no_runs_and_stay(store: Store) -> None:
    kept = ("audit", "ledger", "ledger_objects", "pins", "go_aheads", "field_values", "consent_history", "forgotten")
    assert not pruning.TABLES.keys() & set(kept)
    for table in kept[:6]:
        store.insert(table, [{"run_id": run_id(OLD)}])
    pruning.prune(store, KEEP, NOW)
    assert [ages(store, t) for t in kept[:6]] == [["old"]] * 6


def test_every_pull_forgets_what_is_older_than_the_owner_says(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "rollcall.toml"
    for days, left in ((500, ["old", "young"]), (300, ["young"])):
        path.write_text(f'[shop]\nname = "Test"\n[privacy]\nkeep_runs_days = {days}\n')
        s = Session(config.load(path), store, run_id(YOUNG), as_of(NOW.date(), "UTC"), Silent(), now=lambda: NOW)
        sync.pull_all(s)
        assert ages(store, "runs") == left


def test_events_older_than_the_owner_keeps_them_go_and_a_no_stays() -> None:
    store = Store(MEMORY)
    rows = [
        {
            "source": "import",
            "stream": "events",
            "record_id": f"{kind}-{day}",
            "kind": kind,
            "email": "a@b.example",
            "occurred_at": day,
        }
        for kind in ("open", "complaint", "unsubscribe")
        for day in ("2023-11-21 23:59:59", "2023-11-22 00:00:00")
    ]
    store.insert("events", rows)
    assert pruning.prune_events(store, 36, NOW.date() + timedelta(days=1)) == 1
    left = store.sql("SELECT kind, count(*) FROM events GROUP BY kind ORDER BY kind")
    assert left == [("complaint", 2), ("open", 1), ("unsubscribe", 2)]
    assert pruning.prune_events(store, 36, NOW.date()) == 0
