"""What a segment is, and what a person is to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal


@dataclass(frozen=True)
class AsOf:
    """The date of derivation. Everything strictly before `until_utc` (naive UTC) is visible, nothing after.

    `day` is the shop's calendar day from which days are counted. With `--as-of D`: day = D and until = D 00:00 in the
    shop's zone. Without: day = today in the shop's zone and until = now.
    """

    day: date
    until_utc: datetime
    is_given: bool = False


Channel = Literal["email", "sms", "ads"]


@dataclass(frozen=True)
class Segment:
    """A WHERE clause over the profile, with what is to be done with it."""

    name: str
    where: str
    tag: str = ""
    push: tuple[str, ...] = ()
    purpose: Literal["marketing", "service"] = "marketing"
    channel: Channel = "email"
    starts: Literal["nothing", "journey"] = "nothing"
    adopt: bool = False
    was: str = ""
    stay_days: int = 0
    stays_while: str = ""
    retire: tuple[str, ...] = ()
    use: str = ""
    meaning: str = ""
    needs: tuple[str, ...] = ()
    action: str = ""
    behind: tuple[str, ...] = ()
    """The rules of the segments it refers to, directly or through others."""


@dataclass(frozen=True)
class Membership:
    """A stay in a segment: `left_on` is None while it lasts. Days are the shop's.

    reason, run, happened_at (UTC): of what was seen last of it, the leaving or else the entering; '' and None where the record of
    that run is gone.
    """

    segment: str
    person_id: str
    entered_on: date
    left_on: date | None
    reason: str = ""
    run: str = ""
    happened_at: datetime | None = None


@dataclass(frozen=True)
class SegmentCount:
    """before + entered - left = after."""

    segment: str
    before: int
    entered: int
    left: int
    after: int
    is_ready: bool = True
    not_ready: str = ""
