"""Who listens to the answers: `check --live-shapes` wants to know which headers a platform sends, by name only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Hear = Callable[[str, list[str]], None]
LISTENERS: list[Hear] = []


@contextmanager
def listening(hear: Hear) -> Iterator[None]:
    """While it lasts, `hear` gets the platform and the names (never the values) of the headers of every answer."""
    LISTENERS.append(hear)
    try:
        yield
    finally:
        LISTENERS.remove(hear)
