"""Walking a collection in ranges of ids, several at once, with a cursor that is true at every page.

A list page begins wherever `after` says, and any number is a place to begin. So a large account is read in ranges by a
few threads: whoever has nothing left to do takes the further half of the widest range. One page after another, at
150 ms each, would use two thirds of the requests the smallest plan allows.

A cursor is a list of `[after, end]`: what is still to read, as far as pages were handed out (not only fetched).
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from adapters.base import Page, Record
from models.errors import ConnectorError, PermanentApiError

T = TypeVar("T")

NARROWEST = 400  # ids; a narrower range is not worth a request that may find nothing
JOIN_S = 2.0  # a thread that waits longer ends by itself
Left = list[list[str]]
"""Ranges still to read: [after, end] with end '' for open."""
Fetch = Callable[[str], tuple[list[Record], str]]
"""One list page from `after` on, and what to ask next ('' at the end)."""


@dataclass
class _Range:
    """`end` is the first id that belongs to the next range, `place` the highest id fetched so far."""

    after: str
    end: int | None
    low: int = 0
    place: int = 0
    is_read: bool = False


@dataclass(frozen=True)
class _Step:
    page: Page
    range: int
    after: str
    is_end: bool


class Ranges:
    """One walk. fetch and make are called from several threads, each page once; make completes the records of a page."""

    def __init__(self, left: Left, fetch: Fetch, make: Callable[[list[Record]], Page]) -> None:
        self._fetch, self._make = fetch, make
        self._lock = threading.Lock()
        self._ranges = {
            n: _Range(after, int(end) if end else None, place=_number(after)) for n, (after, end) in enumerate(left)
        }
        self._told = {n: r.after for n, r in self._ranges.items()}
        self._waiting = list(self._ranges)
        self._ending = threading.Event()  # begin nothing more
        self._stop = threading.Event()  # nobody listens any more

    def one_by_one(self) -> Iterator[tuple[Page, Left]]:
        for n in list(self._ranges):
            is_end = False
            while not is_end:
                step = self._step(n)
                is_end = step.is_end
                yield step.page, self._tell(step)

    def at_once(self, workers: int, top: int) -> Iterator[tuple[Page, Left]]:
        """In no order. `top` is about the highest id there is. An error is raised behind all pages that were fetched."""
        found: queue.Queue[_Step | Exception | None] = queue.Queue(maxsize=2 * workers)
        threads = [threading.Thread(target=self._work, args=(found, top), daemon=True) for _ in range(workers)]
        for thread in threads:
            thread.start()
        running, error = len(threads), None
        try:
            while running:
                step = found.get()
                if step is None:
                    running -= 1
                elif isinstance(step, Exception):
                    error = error or step
                else:
                    yield step.page, self._tell(step)
            if error is not None:
                raise error
        finally:
            self._ending.set()
            self._stop.set()
            for thread in threads:
                thread.join(JOIN_S)

    def _work(self, found: queue.Queue[_Step | Exception | None], top: int) -> None:
        try:
            while (n := self._next(top)) is not None:
                is_end = False
                while not is_end and not self._ending.is_set():
                    step = self._step(n)
                    is_end = step.is_end
                    self._hand_over(found, step)
        except Exception as e:  # noqa: BLE001 - handed to whoever reads the walk, and raised there
            self._ending.set()
            self._hand_over(found, e)
        self._hand_over(found, None)

    def _hand_over(self, found: queue.Queue[_Step | Exception | None], what: _Step | Exception | None) -> None:
        while not self._stop.is_set():
            try:
                found.put(what, timeout=0.5)
                return
            except queue.Full:
                continue

    def _next(self, top: int) -> int | None:
        """A range nobody reads yet, else the further half of the widest one; None when nothing is worth it."""
        with self._lock:
            if self._ending.is_set():
                return None
            if self._waiting:
                return self._waiting.pop(0)
            widths = {n: (r.end or top + 1) - r.place for n, r in self._ranges.items() if not r.is_read}
            widest = max(widths, key=lambda n: widths[n], default=None)
            if widest is None or widths[widest] < NARROWEST:
                return None
            first = self._ranges[widest]
            middle = first.place + widths[widest] // 2
            n = len(self._ranges)
            # one before the middle: whether `after` itself is read or only what follows it, nothing is passed over
            self._ranges[n] = _Range(str(middle - 1), first.end, low=middle, place=middle)
            self._told[n] = self._ranges[n].after
            first.end = middle
            return n

    def _step(self, n: int) -> _Step:
        part = self._ranges[n]
        results, following = self._fetch(part.after)
        if following and following == part.after:
            raise PermanentApiError("HubSpot sent the same page twice. Nothing was lost; try again later.", platform="hubspot")
        with self._lock:
            end, low = part.end, part.low
            ids = [int(r["id"]) for r in results]
            kept = [r for r, i in zip(results, ids, strict=True) if i >= low and (end is None or i < end)]
            is_end = not following or (end is not None and (_number(following) >= end or any(i >= end for i in ids)))
            part.after, part.is_read = following, is_end
            part.place = max([part.place, *ids])
        return _Step(self._make(kept), n, following, is_end)

    def _tell(self, step: _Step) -> Left:
        with self._lock:
            if step.is_end:
                del self._told[step.range]
            else:
                self._told[step.range] = step.after
            return [[after, str(self._ranges[n].end or "")] for n, after in self._told.items()]


def ahead(jobs: Iterable[Callable[[], T]], workers: int, depth: int) -> Iterator[T]:
    """The results of the jobs in their order, up to `depth` of them under way at once.

    `jobs` is read in the caller's thread. Where reading it fails, the results of all jobs before come first; where a job
    fails, nothing behind it is given, so that no cursor passes what was not read.
    """
    if workers < 2:
        yield from (job() for job in jobs)
        return
    waiting, under_way, error = iter(jobs), deque[Future[T]](), None
    pool = ThreadPoolExecutor(workers)
    try:
        is_over = False
        while True:
            while not is_over and len(under_way) < depth:
                try:
                    under_way.append(pool.submit(next(waiting)))
                except StopIteration:
                    is_over = True
                except ConnectorError as e:
                    is_over, error = True, e
            if not under_way:
                break
            yield under_way.popleft().result()
        if error is not None:
            raise error
    finally:
        pool.shutdown(cancel_futures=True)


def _number(after: str) -> int:
    """0 for a cursor that is no number."""
    return int(after) if after.isascii() and after.isdigit() else 0
