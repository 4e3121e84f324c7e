"""Desired membership: who belongs in a segment's tag on one platform. The one function through which everybody passes.

Segment members (and those who stay for a minimum time), less pins, global exclusions, ordered sets, journey limits and
consent; each exclusion has a name and is counted once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from connector import consent, ledger
from connector.config import Config
from connector.store import Store
from models.changes import Member
from models.segments import Segment

EXCLUDED = "excluded by [exclude]"


@dataclass(frozen=True)
class Desired:
    """One segment on one platform.

    members: contact id -> Member. excluded: named reason -> people. closed: contacts that must not carry the tag because
    somebody said no or was erased -> why. ignored: contacts taken off by hand that the policy says to leave off.
    """

    members: dict[str, Member] = field(default_factory=dict)
    excluded: dict[str, int] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def who(store: Store, config: Config, platform: str, title: str, segment: Segment, *, day: date, now: datetime) -> Desired:
    """Desired membership of one segment. `consent.judge` must have run for the platform and the segment's channel.

    Tables used: members (of this evaluation), memberships, pins, globally_excluded (person_id), verdicts.
    """
    _gather(store, config, segment, day)
    found = consent.desired(store, segment.purpose)
    members, excluded = dict(found.members), dict(found.excluded)
    notes = list(found.notes)
    staying = store.value("SELECT count(*) FROM wanted_people WHERE is_staying AND blocked = ''")
    if staying:
        notes.append(f"{staying} stay until their {segment.stay_days} days are over")

    def leave_out(contacts: set[str], reason: str) -> None:
        gone = [c for c in members if c in contacts]
        for contact in gone:
            del members[contact]
        if gone:
            excluded[reason] = excluded.get(reason, 0) + len(gone)

    leave_out(set(ledger.stuck(store, platform, segment.name)), f"stuck: {title} refuses to change them")
    if segment.starts == "journey":
        limit, days = config.push.max_journeys_per_person, config.push.journeys_days
        busy = ledger.in_journeys(store, platform, segment.name, now - timedelta(days=days), limit)
        leave_out(set(busy), f"entered {limit} journeys within {days} days")
    return Desired(members, dict(sorted(excluded.items())), found.closed, tuple(notes))


def _gather(store: Store, config: Config, segment: Segment, day: date) -> None:
    """The temporary table wanted_people: person_id, blocked (why not, '' = may), is_staying."""
    earlier = _earlier_in_set(config, segment.name)
    store.sql(
        """
        CREATE OR REPLACE TEMP TABLE wanted_people AS
        WITH candidates AS (
          SELECT person_id, false AS is_staying FROM members WHERE segment = $segment
          UNION ALL
          SELECT person_id, true FROM memberships
          WHERE segment = $segment AND left_on IS NOT NULL AND $stay > 0 AND entered_on > $day::DATE - $stay
          UNION ALL
          SELECT person_id, false FROM pins WHERE lower(segment) = lower($segment) AND kind = 'always'),
        people AS (SELECT person_id, bool_and(is_staying) AS is_staying FROM candidates GROUP BY person_id),
        earlier AS (
          SELECT person_id, arg_min(segment, list_position($earlier, segment)) AS segment
          FROM members WHERE list_contains($earlier, segment) GROUP BY person_id)
        SELECT c.person_id, c.is_staying, coalesce(
          CASE WHEN n.person_id IS NOT NULL THEN 'pinned: never' END,
          CASE WHEN x.person_id IS NOT NULL AND $purpose = 'marketing' THEN $excluded END,
          CASE WHEN e.person_id IS NOT NULL THEN 'already in ' || e.segment END, '') AS blocked
        FROM people c
        LEFT JOIN (
          SELECT DISTINCT person_id FROM pins WHERE lower(segment) = lower($segment) AND kind = 'never') n USING (person_id)
        LEFT JOIN globally_excluded x USING (person_id)
        LEFT JOIN earlier e USING (person_id)
        """,
        {
            "segment": segment.name,
            "stay": segment.stay_days,
            "day": day,
            "earlier": earlier or [""],
            "purpose": segment.purpose,
            "excluded": EXCLUDED,
        },
    )


def _earlier_in_set(config: Config, name: str) -> list[str]:
    """The segments before `name` in the ordered sets it belongs to."""
    found: list[str] = []
    for group in config.ordered:
        if name in group.segments:
            found += group.segments[: group.segments.index(name)]
    return found


def set_global_exclusions(store: Store, people: Sequence[str]) -> None:
    """The temporary table globally_excluded."""
    store.sql("CREATE OR REPLACE TEMP TABLE globally_excluded (person_id VARCHAR)")
    if people:
        store.sql("INSERT INTO globally_excluded SELECT unnest(?)", [list(people)])
