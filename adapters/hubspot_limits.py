"""How fast HubSpot lets us go: what its headers say about requests, and a pace of our own for searches.

Limits: https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from adapters.limits import Bucket, Pace

SHARE = 0.95  # of every bucket; the rest is left to the owner's other apps
DEFAULT_MAX = 100  # requests in ten seconds, Free and Starter
DEFAULT_INTERVAL_S = 10.0
SEARCHES_PER_S = 4.0  # of the five an account has, which all apps share and no header tells
SHORTEST_PAUSE_S = 1.0
LONGEST_INTERVALS = 2
UNSURE = 0.03  # of the bucket: what is on its way while headers are read says nothing about other apps
TIERS = ((110, 100), (250, 150))  # associations have a smaller bucket: (requests in ten seconds up to, associations)
ASSOCIATION_SHARE = 150 / 190


def search_pace(now_utc: Callable[[], datetime]) -> Pace:
    return Pace(Bucket(size=1, per_s=SEARCHES_PER_S), clock=lambda: _seconds(now_utc()))


class RateWindow:
    """The rolling bucket of some seconds and the quota of the day, learnt from every answer. Safe to share by threads.

    Within any interval we send no more than our share of the bucket, less what other apps are seen to use.
    """

    def __init__(self, now_utc: Callable[[], datetime], *, share: float = SHARE) -> None:
        self.now_utc = now_utc
        self.share = share
        self.max = DEFAULT_MAX
        self.interval_s = DEFAULT_INTERVAL_S
        self.daily_max: int | None = None
        self.daily_remaining: int | None = None
        self.daily_at: datetime | None = None
        """When the quota of the day was last heard of."""
        self._others = 0.0
        self._others_at = 0.0
        self._sent: deque[float] = deque()
        self._lock = threading.Lock()

    def learn(self, headers: Mapping[str, str]) -> None:
        """The headers of an answer; searches have none."""
        most = _number(headers, "Max")
        with self._lock:
            if most:
                self.max = most
                self.interval_s = (_number(headers, "Interval-Milliseconds") or self.interval_s * 1000) / 1000
                self._see_others(_number(headers, "Remaining"))
            self.daily_max = _number(headers, "Daily") or self.daily_max
            daily_remaining = _number(headers, "Daily-Remaining")
            if daily_remaining is not None:
                self.daily_remaining, self.daily_at = daily_remaining, self.now_utc()

    def _see_others(self, remaining: int | None) -> None:
        """What is used of the bucket and was not sent by us."""
        if remaining is None:
            return
        now = _seconds(self.now_utc())
        self._forget(now)
        ours = sum(at <= now for at in self._sent)
        self._others = max(0.0, self.max - remaining - ours - self.max * UNSURE)
        self._others_at = now

    def wait_s(self) -> float:
        """Seconds to wait before the next request, which takes its place in the window now."""
        with self._lock:
            now = _seconds(self.now_utc())
            self._forget(now)
            fading = max(0.0, 1 - (now - self._others_at) / self.interval_s)
            room = max(1, int(self.max * self.share - self._others * fading))
            at = now if len(self._sent) < room else max(now, self._sent[-room] + self.interval_s)
            if at - now > LONGEST_INTERVALS * self.interval_s:  # this machine's clock was put back
                self._sent.clear()
                at = now
            self._sent.append(at)
            return at - now

    def pause_s(self) -> float:
        """After a refusal: seconds until a place in the bucket is free, at least one."""
        with self._lock:
            now = _seconds(self.now_utc())
            self._forget(now)
            free_s = self._sent[0] + self.interval_s - now if self._sent else self.interval_s / self.max
            return max(SHORTEST_PAUSE_S, min(self.interval_s, free_s))

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0] + self.interval_s <= now:
            self._sent.popleft()

    @property
    def is_daily_reserve_reached(self) -> bool:
        if not self.daily_max or self.daily_remaining is None:
            return False
        return self.daily_remaining < self.daily_max * (1 - self.share)

    def new_day(self) -> None:
        """The account's midnight has passed: what is left of the quota is not known until the next answer."""
        with self._lock:
            self.daily_remaining = None


class AssociationWindow(RateWindow):
    """Associations are counted in the bucket of all requests, and in a smaller one that no header tells."""

    def __init__(self, all_requests: RateWindow) -> None:
        super().__init__(all_requests.now_utc, share=all_requests.share)
        self._all = all_requests

    def wait_s(self) -> float:
        most = self._all.max
        self.max = next((own for up_to, own in TIERS if most <= up_to), int(most * ASSOCIATION_SHARE))
        return max(self._all.wait_s(), super().wait_s())


def _seconds(at: datetime) -> float:
    return at.replace(tzinfo=UTC).timestamp()


def _number(headers: Mapping[str, str], name: str) -> int | None:
    value = headers.get(f"X-HubSpot-RateLimit-{name}", "")
    return int(value) if value.isdigit() else None
