"""One writer at a time: a lock of the operating system beside the store, which dies with its process.

A second file says who holds it. What a dead process left there is overwritten and mentioned in the log.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import orjson

from connector import clock
from models.errors import LockedError, StoreError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who writes: process id, host, command, since when (UTC)."""

    pid: int
    host: str
    command: str
    since: str

    def __str__(self) -> str:
        return f"`rollcall {self.command}` (process {self.pid} on {self.host}), since {self.since} UTC"


@contextmanager
def writer_lock(store: Path, command: str, *, now_utc: Callable[[], datetime] = clock.now_utc) -> Iterator[None]:
    """Hold the lock of the store at `store`; raises LockedError at once when another process has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(_beside(store, ".lock"), timeout=0, mode=0o600)
    try:
        store.absolute().parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as e:
        who = holder(store)
        raise LockedError(f"Another run is writing: {who or 'it does not say who it is'}. Try again when it has ended.") from e
    except OSError as e:
        raise StoreError(f"The lock beside {store} cannot be made: {e.strerror}. Check the folder's permissions.") from e
    note = _beside(store, ".writer.json")
    try:
        if (left := holder(store)) is not None:
            log.info("Took over the lock from %s, which ended without giving it back.", left)
        _write(note, Holder(os.getpid(), socket.gethostname(), command, f"{now_utc():%Y-%m-%d %H:%M:%S}"))
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def holder(store: Path) -> Holder | None:
    """Who says to hold the lock; the process may be dead."""
    try:
        return Holder(**orjson.loads(_beside(store, ".writer.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _beside(store: Path, ending: str) -> Path:
    return store.absolute().with_name(store.name + ending)


def _write(path: Path, who: Holder) -> None:
    fresh = path.with_suffix(".tmp")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
        f.write(orjson.dumps(asdict(who)))
    fresh.replace(path)
