"""HubSpot's rate limits: three buckets, their headers and their 429 answers. Usage guidelines, sheet 9.1."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from connector.sandbox.base import Limits
from connector.sandbox.hubspot_settings import TIERS, Settings
from connector.sandbox.hubspot_wire import Refusal, to_ms

WINDOW_MS = 10_000
SEARCHES_PER_S = 5
ASSOCIATIONS_PER_DAY = 500_000
ASSOCIATIONS_IN_WINDOW = {"free": 100, "starter": 100, "professional": 150, "enterprise": 150, "increased": 150}
DEPRECATED = "1"
"""Headers of a limit that is no longer enforced: still sent, and a trap for who believes them."""
UNLIMITED = 1_000_000
"""What the headers announce while the limits are off, so that nobody paces himself against a limit that is not there."""


class Buckets:
    """Counts calls in rolling windows. A scale of 10 means ten times as many calls in the same window."""

    def __init__(self, limits: Limits, settings: Settings, zone: Callable[[], str]) -> None:
        self.limits = limits
        self.settings = settings
        self.zone = zone
        self.calls: deque[int] = deque()
        self.searches: deque[int] = deque()
        self.associations: deque[int] = deque()
        self.day: date | None = None
        self.today = 0
        self.associations_today = 0

    def count(self, kind: str, at: datetime) -> dict[str, str]:
        """Take one call of kind search, associations or anything else; the headers of its answer. Refusal with 429."""
        now = to_ms(at)
        self._new_day(at)
        window, day = TIERS[self.settings.tier]
        if self.limits.on and self.today >= self._most(day):
            raise self._refusal("DAILY", "daily", {} if kind == "search" else self.headers())
        if kind == "search":
            self._take(self.searches, now, 1000, self._most(SEARCHES_PER_S), "SECONDLY", "secondly")
            self.today += 1
            return {}
        if kind == "associations":
            self._take_association(now)
        else:
            self._take(self.calls, now, WINDOW_MS, self._most(window), "TEN_SECONDLY_ROLLING", "ten_secondly_rolling")
        self.today += 1
        return self.headers()

    def headers(self) -> dict[str, str]:
        window, day = TIERS[self.settings.tier]
        most = self._most(window) if self.limits.on else UNLIMITED
        most_today = self._most(day) if self.limits.on else UNLIMITED
        used = len(self.calls) if self.limits.on else 0
        used_today = self.today if self.limits.on else 0
        return {
            "X-HubSpot-RateLimit-Max": str(most),
            "X-HubSpot-RateLimit-Remaining": str(max(most - used, 0)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(WINDOW_MS),
            "X-HubSpot-RateLimit-Secondly": DEPRECATED,
            "X-HubSpot-RateLimit-Secondly-Remaining": DEPRECATED,
            "X-HubSpot-RateLimit-Daily": str(most_today),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(most_today - used_today, 0)),
        }

    def _most(self, base: int) -> int:
        return max(int(base * self.limits.scale), 1)

    def _take(self, calls: deque[int], now: int, window_ms: int, most: int, policy: str, words: str) -> None:
        while calls and calls[0] <= now - window_ms:
            calls.popleft()
        if self.limits.on and len(calls) >= most:
            raise self._refusal(policy, words, {} if policy == "SECONDLY" else self.headers())
        calls.append(now)

    def _take_association(self, now: int) -> None:
        if self.limits.on and self.associations_today >= self._most(ASSOCIATIONS_PER_DAY):
            raise self._refusal("DAILY", "daily", self.headers())
        most = self._most(ASSOCIATIONS_IN_WINDOW[self.settings.tier])
        self._take(self.associations, now, WINDOW_MS, most, "TEN_SECONDLY_ROLLING", "ten_secondly_rolling")
        self.associations_today += 1

    def _refusal(self, policy: str, words: str, headers: dict[str, str]) -> Refusal:
        return Refusal(
            429,
            "",
            f"You have reached your {words} limit.",
            headers=headers,
            errorType="RATE_LIMIT",
            policyName=policy,
            groupName=f"service-key:{self.settings.portal_id}",
        )

    def _new_day(self, at: datetime) -> None:
        day = at.replace(tzinfo=UTC).astimezone(ZoneInfo(self.zone())).date()
        if day != self.day:
            self.day, self.today, self.associations_today = day, 0, 0
