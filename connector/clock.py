"""The one door to time: now, sleep, and what a shop's day is."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from models.segments import AsOf


def now_utc() -> datetime:
    """The real clock, naive UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def sleep(wait_s: float) -> None:
    time.sleep(max(0.0, wait_s))


def local_day(at_utc: datetime, timezone: str) -> date:
    """The shop's calendar day of a naive UTC time."""
    return at_utc.replace(tzinfo=UTC).astimezone(ZoneInfo(timezone)).date()


def midnight_utc(day: date, timezone: str) -> datetime:
    """00:00 of the shop's day, as naive UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone)).astimezone(UTC).replace(tzinfo=None)


def as_of(given: date | None, timezone: str, now: datetime | None = None) -> AsOf:
    """The date of derivation: `given` at 00:00 in the shop's zone, else today and everything up to now."""
    if given is not None:
        return AsOf(day=given, until_utc=midnight_utc(given, timezone), is_given=True)
    moment = now or now_utc()
    return AsOf(day=local_day(moment, timezone), until_utc=moment + timedelta(microseconds=1))
