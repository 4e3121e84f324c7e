"""Calls made in threads of their own, for one thread that alone touches the store."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
T = TypeVar("T")

LOOK_S = 1.0
"""So often a thread that waits can be interrupted, where the system does not do that by itself."""
JOIN_S = 5.0


class Errands(Generic[K, T]):
    """`start` sends one off under a name, `next` brings back those that have ended, as they end.

    When the block is left early, nobody waits long for what is still out: what became of it, the next run finds out.
    """

    def __init__(self) -> None:
        self._ended: queue.SimpleQueue[tuple[K, T | BaseException]] = queue.SimpleQueue()
        self._out: set[threading.Thread] = set()
        self.count = 0
        """How many are out."""

    def start(self, name: K, call: Callable[[], T]) -> None:
        def run() -> None:
            try:
                found: T | BaseException = call()
            except BaseException as e:  # noqa: BLE001  # whatever it is, it is raised again in the thread that waits
                found = e
            self._ended.put((name, found))

        thread = threading.Thread(target=run, daemon=True, name="errand")
        self._out = {t for t in self._out if t.is_alive()} | {thread}
        self.count += 1
        thread.start()

    def next(self) -> list[tuple[K, T | BaseException]]:
        """At least one, and all that have ended by now."""
        found = [self._one()]
        while not self._ended.empty():
            found.append(self._ended.get())
        self.count -= len(found)
        return found

    def _one(self) -> tuple[K, T | BaseException]:
        while True:
            try:
                return self._ended.get(timeout=LOOK_S)
            except queue.Empty:
                continue

    def __enter__(self) -> Errands[K, T]:
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._out:
            thread.join(JOIN_S)
