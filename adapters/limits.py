"""How long to wait before the next request, so that the platform never has to say no.

A `Bucket` is one documented limit. A `Pace` holds the limits that one request must keep together, and its `wait_s` is
what `Http(before=...)` takes. Nothing here sleeps.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Bucket:
    """A bucket of `size` tokens that refills at `per_s` a second. `at_s` is any steady clock, in seconds.

    100 requests in 10 seconds, never more within any 10 seconds: `Bucket.window(100, 10)`.
    """

    size: float
    per_s: float
    level: float = field(default=-1.0)
    at_s: float = field(default=0.0)

    def __post_init__(self) -> None:
        if self.level < 0:
            self.level = self.size

    @classmethod
    def window(cls, count: int, seconds: float, *, share: float = 0.9, burst: float = 0.5) -> Bucket:
        """Keeps under `count` requests in any window of `seconds`, using `share` of it.

        A full bucket can be spent at once while it refills: `burst` of the share is the bucket, the rest its refill.
        """
        allowed = count * share
        return cls(size=max(1.0, allowed * burst), per_s=max(1.0 / seconds, allowed * (1 - burst) / seconds))

    def take(self, at_s: float, tokens: float = 1.0) -> float:
        """Take `tokens` and say how many seconds to wait until they are really there."""
        self._refill(at_s)
        self.level -= tokens
        return max(0.0, -self.level / self.per_s)

    def report(self, level: float, at_s: float, *, size: float | None = None, per_s: float | None = None) -> None:
        """What the platform itself says is left now: its word replaces our estimate."""
        self.size, self.per_s = size or self.size, per_s or self.per_s
        self.level, self.at_s = min(level, self.size), at_s

    def _refill(self, at_s: float) -> None:
        passed = max(0.0, at_s - self.at_s)
        self.level, self.at_s = min(self.size, self.level + passed * self.per_s), max(self.at_s, at_s)


class Pace:
    """The limits one kind of request must keep, shared by threads: `Http(before=pace.wait_s)`."""

    def __init__(self, *buckets: Bucket, clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets = buckets
        self._clock = clock
        self._lock = threading.Lock()
        start = clock()
        for bucket in buckets:
            bucket.at_s = start

    def wait_s(self, tokens: float = 1.0) -> float:
        """Takes the tokens now; the caller waits that long and sends."""
        with self._lock:
            at_s = self._clock()
            return max((bucket.take(at_s, tokens) for bucket in self._buckets), default=0.0)

    def report(self, level: float, *, size: float | None = None, per_s: float | None = None) -> None:
        """The platform's own word on the first bucket."""
        with self._lock:
            self._buckets[0].report(level, self._clock(), size=size, per_s=per_s)
