"""How fast HubSpot lets us go: what its headers say about requests, and a pace of our own for searches.

Limits: https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from adapters.limits import Bucket, Pace

HEAD_ROOM = 0.05  # of every bucket, left to the owner's other apps
DEFAULT_MAX = 100  # requests in ten seconds, Free and Starter
DEFAULT_INTERVAL_S = 10.0
SEARCHES_PER_S = 4.0  # of the five an account has, which all apps share and no header tells
SHORTEST_PAUSE_S = 1.0


def search_pace(now_utc: Callable[[], datetime]) -> Pace:
    return Pace(Bucket(size=1, per_s=SEARCHES_PER_S), clock=lambda: now_utc().replace(tzinfo=UTC).timestamp())


class RateWindow:
    """The rolling bucket of some seconds and the quota of the day, learnt from every answer."""

    def __init__(self, now_utc: Callable[[], datetime]) -> None:
        self.now_utc = now_utc
        self.max = DEFAULT_MAX
        self.interval_s = DEFAULT_INTERVAL_S
        self.remaining: int | None = None
        self.daily_max: int | None = None
        self.daily_remaining: int | None = None
        self._sent: deque[datetime] = deque()

    def learn(self, headers: Mapping[str, str]) -> None:
        self.max = _number(headers, "Max") or self.max
        self.interval_s = (_number(headers, "Interval-Milliseconds") or self.interval_s * 1000) / 1000
        self.remaining = _number(headers, "Remaining")
        self.daily_max = _number(headers, "Daily") or self.daily_max
        daily_remaining = _number(headers, "Daily-Remaining")
        self.daily_remaining = self.daily_remaining if daily_remaining is None else daily_remaining

    def wait_s(self) -> float:
        """Seconds to wait before the next request: none while more than the head room is left, else until our
        oldest request of this window no longer counts."""
        now = self.now_utc()
        is_low = self.remaining is not None and self.remaining <= self.max * HEAD_ROOM
        wait_s = self._until_free_s(now) if is_low else 0.0
        if is_low and self._sent:
            self._sent.popleft()
        self._sent.append(now + timedelta(seconds=wait_s))
        return wait_s

    def pause_s(self) -> float:
        """After a refusal: seconds until a place in the bucket is free, at least one."""
        return max(SHORTEST_PAUSE_S, self._until_free_s(self.now_utc()))

    def _until_free_s(self, now: datetime) -> float:
        interval = timedelta(seconds=self.interval_s)
        while self._sent and self._sent[0] + interval <= now:
            self._sent.popleft()
        if not self._sent:
            return self.interval_s / self.max
        return min(self.interval_s, (self._sent[0] + interval - now).total_seconds())

    @property
    def is_daily_reserve_reached(self) -> bool:
        if not self.daily_max or self.daily_remaining is None:
            return False
        return self.daily_remaining < self.daily_max * HEAD_ROOM


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(f"X-HubSpot-RateLimit-{name}", "")
    return int(value) if value.isdigit() else None
