"""One writer: who holds the lock is named, and a dead one is taken over."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from connector import lock, runs
from connector.lock import writer_lock
from connector.store import Store
from models.errors import LockedError, StoreError


def now() -> datetime:
    return datetime(2026, 11, 21, 8, 30)


def test_the_second_writer_is_told_who_writes_and_since_when(tmp_path: Path) -> None:
    store = tmp_path / "r.duckdb"
    with writer_lock(store, "sync", now_utc=now):
        with pytest.raises(LockedError) as caught, writer_lock(store, "pull"):
            pass
        assert f"`rollcall sync` (process {os.getpid()} on " in str(caught.value)
        assert "since 2026-11-21 08:30:00 UTC" in str(caught.value)
    with writer_lock(store, "pull"):
        pass
    assert lock.holder(store) is None


def test_the_lock_is_given_back_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), writer_lock(tmp_path / "r.duckdb", "sync"):
        raise ValueError("stop")
    with writer_lock(tmp_path / "r.duckdb", "sync"):
        pass


def test_a_killed_writer_is_taken_over_and_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = tmp_path / "r.duckdb"
    code = (
        "import sys, pathlib\nfrom connector.lock import writer_lock\n"
        "with writer_lock(pathlib.Path(sys.argv[1]), 'backfill'):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    root = Path(lock.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"process {process.pid} "), writer_lock(store, "pull"):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    with caplog.at_level(logging.INFO), writer_lock(store, "pull"):
        assert f"process {process.pid}" in caplog.text


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"), writer_lock(tmp_path / "file" / "r.duckdb", "pull"):
        pass


def test_runs_sort_by_time_and_unfinished_ones_are_marked() -> None:
    with Store(":memory:") as store:
        first = runs.begin(store, "pull", now_utc=now, suffix=lambda: "zz")
        second = runs.begin(store, "sync", now_utc=lambda: datetime(2026, 11, 21, 8, 31), suffix=lambda: "aa")
        runs.finish(store, second, 3, {"streams": []}, now_utc=now)
        assert first < second
        assert store.sql("SELECT state, exit_code FROM runs ORDER BY run_id") == [("interrupted", None), ("finished", 3)]
