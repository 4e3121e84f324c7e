"""Threads that fetch pages for one thread that stores them, a few pages ahead of it and no more."""

from __future__ import annotations

import gc
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import orjson

from adapters.base import Page

AHEAD = 1
"""Pages a walk may be ahead of the store; more would only take memory."""
GARBAGE_AT = 200_000
JOIN_S = 5.0

Item = Page | BaseException | None
"""A page, what ended the walk, or None: it ended without its last page."""


class Feed:
    """One walk, fetched by one thread."""

    def __init__(self, found: queue.Queue[tuple[Feed, Item]], pages: Callable[[], Iterator[Page]]) -> None:
        self._found, self._pages = found, pages
        self._room = threading.Semaphore(AHEAD)
        self._stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True, name="fetch")

    def took(self) -> None:
        """One page was taken: there is room for another."""
        self._room.release()

    def stop(self) -> None:
        self._stopped.set()
        self._room.release()

    def _run(self) -> None:
        pages: Any = None
        last: Item = None
        try:
            pages = self._pages()
            while not self._stopped.is_set():
                self._room.acquire()
                if self._stopped.is_set():
                    return
                page = next(pages, None)
                if page is None:
                    break
                # The walk goes on while this page waits: what it does to its own state must not move this cursor.
                self._found.put((self, replace(page, cursor=orjson.loads(orjson.dumps(page.cursor)))))
                if page.done:
                    return
        except BaseException as e:  # noqa: BLE001  # whatever it is, it is raised again in the thread that stores
            last = e
        finally:
            if hasattr(pages, "close"):
                pages.close()
        self._found.put((self, last))


class Feeds:
    """All walks under way. `next` gives their pages as they come, each walk's in its order."""

    def __init__(self) -> None:
        self._found: queue.Queue[tuple[Feed, Item]] = queue.Queue()
        self._open: set[Feed] = set()

    def open(self, pages: Callable[[], Iterator[Page]]) -> Feed:
        feed = Feed(self._found, pages)
        self._open.add(feed)
        feed.thread.start()
        return feed

    def next(self, wait_s: float) -> tuple[Feed, Item] | None:
        """None when nothing came for `wait_s` seconds."""
        while True:
            try:
                feed, item = self._found.get(timeout=wait_s)
            except queue.Empty:
                return None
            feed.took()
            if feed in self._open:
                return feed, item

    def close(self, feed: Feed) -> None:
        feed.stop()
        self._open.discard(feed)

    def __enter__(self) -> Feeds:
        return self

    def __exit__(self, *_: object) -> None:
        left = list(self._open)
        for feed in left:
            self.close(feed)
        for feed in left:
            feed.thread.join(JOIN_S)


@contextmanager
def calm_garbage() -> Iterator[None]:
    """Look for garbage less often: thousands of short-lived rows would have it searched all the time, for nothing."""
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE_AT, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
