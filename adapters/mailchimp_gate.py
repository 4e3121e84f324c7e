"""How many requests run at once, and how many are begun ahead of the one that stores what they bring."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 10
"""Simultaneous requests of one user, over all keys (https://mailchimp.com/developer/marketing/docs/fundamentals/)."""
CALM = 200
"""Answers without a 429 after which one more request at once is tried again."""
ROWS_AHEAD = 6000
"""Rows that may wait until they are stored: of small pages more are begun ahead, so that no slot stands idle meanwhile."""


class Gate:
    """At most `workers` requests at once, over all threads: one fewer after each 429, one more after `CALM` good answers."""

    def __init__(self, workers: int) -> None:
        self.most = self.workers = workers
        self._busy = self._calm = 0
        self._free = threading.Condition()

    def __enter__(self) -> None:
        with self._free:
            while self._busy >= self.workers:
                self._free.wait()
            self._busy += 1

    def __exit__(self, *_: object) -> None:
        with self._free:
            self._busy -= 1
            self._free.notify()

    def refused(self) -> None:
        with self._free:
            self.workers, self._calm = max(1, self.workers - 1), 0

    def answered(self) -> None:
        if self.workers == self.most:
            return
        with self._free:
            self._calm += 1
            if self._calm >= CALM:
                self.workers, self._calm = min(self.most, self.workers + 1), 0
                self._free.notify()

    def ahead(self, jobs: Iterable[Callable[[], T]], rows: int) -> Iterator[T]:
        """The results of `jobs`, of up to `rows` rows each, in their order. Some more are begun than may be sent at once."""
        running: deque[Future[T]] = deque()
        with ThreadPoolExecutor(self.most, thread_name_prefix="mailchimp") as pool:
            try:
                for job in jobs:
                    running.append(pool.submit(job))
                    while len(running) > self._begun(rows):
                        yield running.popleft().result()
                while running:
                    yield running.popleft().result()
            finally:
                for waiting in running:
                    waiting.cancel()

    def _begun(self, rows: int) -> int:
        workers = self.workers
        return max(workers + max(2, workers // 2), min(4 * workers, ROWS_AHEAD // max(1, rows)))
