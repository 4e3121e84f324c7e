"""The bucket of cost points, shared by threads and corrected by every answer.

Shopify takes the *requested* cost out of the bucket before a query runs and gives back what it did not use.
https://shopify.dev/docs/api/usage/limits
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

FIRST_SIZE, FIRST_PER_S = 2000.0, 100.0
"""A standard shop's bucket, until the first answer says otherwise."""
SHARE = 0.95
"""How much of the bucket and its refill we use; the rest absorbs what we cannot see."""
FADING = 0.9
"""How much of what another process was seen to use is still expected of it at the next answer."""


class CostPace:
    """How long a query must wait so that the bucket holds it.

    Shopify's word on the level is older than the queries still under way, so their cost is taken off it: too little for a
    moment rather than a refusal. Points that are missing without our doing are used by another process of the same app;
    as much again is left to it before each query. What we may use ourselves is kept apart: `share` of a bucket that refills
    by `share` of what Shopify's does, so that the owner's other apps find something left whatever the level is.
    """

    def __init__(self, *, share: float = SHARE, clock: Callable[[], float] = time.monotonic) -> None:
        self.size, self.per_s = FIRST_SIZE, FIRST_PER_S
        self._share, self._clock = share, clock
        self._level, self._at_s = FIRST_SIZE, clock()
        self._own = FIRST_SIZE * share
        self._under_way = 0.0
        self._others = 0.0
        self._is_told = False
        self._lock = threading.Lock()

    def begin(self, cost: float) -> float:
        """Take the points now; seconds to wait until they are really there."""
        with self._lock:
            self._refill()
            self._level -= cost
            self._own -= cost
            self._under_way += cost
            return max(0.0, max(self._others - self._level, -self._own) / (self.per_s * self._share))

    def end(self, cost: float, used: float | None = None) -> None:
        """The query is over, answered or not. used: what Shopify says it really cost; all of it where nobody said."""
        with self._lock:
            self._under_way = max(0.0, self._under_way - cost)
            self._own += cost - (cost if used is None else used)

    def report(self, available: float, *, size: float | None = None, per_s: float | None = None) -> None:
        """What an answer says is left; call it after `end` of its own query."""
        with self._lock:
            self._own += ((size or self.size) - self.size) * self._share
            self.size, self.per_s = size or self.size, per_s or self.per_s
            self._refill()
            missing = self._level + self._under_way - available
            self._others = min(max(missing, self._others * FADING), self.size / 4) if self._is_told else 0.0
            self._level, self._is_told = min(available, self.size) - self._under_way, True

    def _refill(self) -> None:
        now_s = self._clock()
        gained = max(0.0, now_s - self._at_s) * self.per_s * self._share
        self._level, self._at_s = min(self.size, self._level + gained), now_s
        self._own = min(self.size * self._share, self._own + gained)
