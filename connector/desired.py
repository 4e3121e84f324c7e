"""Desired membership: who belongs in a segment's tag on one platform. The one function through which everybody passes.

Segment members (and those who stay for a minimum time), less pins, global exclusions, ordered sets and consent; each
exclusion has a name and is counted once. What only keeps people from entering, as journey limits do, is added by the plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from connector import choices, consent, journal
from connector.config import Config
from connector.store import Store
from models.changes import Member
from models.segments import Segment

EXCLUDED = "excluded by [exclude]"
PINNED = "pinned: always"


@dataclass(frozen=True)
class Desired:
    """One segment on one platform.

    members: contact id -> Member. excluded: named reason -> people. closed: contacts that must not carry the tag because
    somebody said no or was erased -> why. stuck: contacts that belong there, or should leave, and that the platform refuses to change.
    reasons: contacts with a tag of ours that may not carry it, for whatever reason -> why. because: members whom the rule does not
    mean -> why they belong there all the same.
    """

    members: dict[str, Member] = field(default_factory=dict)
    excluded: dict[str, int] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    stuck: frozenset[str] = frozenset()
    reasons: dict[str, str] = field(default_factory=dict)
    because: dict[str, str] = field(default_factory=dict)


def who(store: Store, config: Config, platform: str, title: str, segment: Segment, *, day: date) -> Desired:
    """Desired membership of one segment. `consent.judge` must have run for the platform and the segment's channel.

    Tables used: members (of this evaluation), memberships, pins, ledger, verdicts, globally_excluded and staying_people
    (`set_global_exclusions`, `set_staying`).
    """
    _gather(store, config, platform, segment, day)
    found = consent.desired(store, segment.purpose)
    journal.unpark(store, platform, segment.name, found.members.keys())
    members, excluded = dict(found.members), dict(found.excluded)
    notes = list(found.notes)
    because = _beyond_the_rule(store, segment, members)
    if staying := sum(reason != PINNED for reason in because.values()):
        notes.append(f"{staying} no longer match the rule and stay: {_why_staying(segment)}")

    def leave_out(contacts: set[str], reason: str) -> None:
        gone = [c for c in members if c in contacts]
        for contact in gone:
            del members[contact]
        if gone:
            excluded[reason] = excluded.get(reason, 0) + len(gone)

    stuck = journal.stuck(store, platform, segment.name, "add").keys() & members.keys()
    leave_out(set(stuck), f"stuck: {title} refuses to change them")
    leaving = journal.stuck(store, platform, segment.name, "remove").keys() - members.keys()
    if leaving:
        notes.append(f"{len(leaving)} should leave and are stuck: {title} refuses to change them")
    return Desired(
        members, dict(sorted(excluded.items())), found.closed, tuple(notes), frozenset(stuck | leaving), found.reasons, because
    )


def _beyond_the_rule(store: Store, segment: Segment, members: Mapping[str, Member]) -> dict[str, str]:
    """Why those belong there whom the rule does not mean."""
    how = {
        "pin": PINNED,
        "days": f"no longer matches the rule, and came into the segment less than {segment.stay_days} days ago",
        "while": "no longer matches the rule, and stays_while still holds",
    }
    found = dict(store.sql("SELECT person_id, how FROM wanted_people WHERE how <> 'a rule' AND blocked = ''"))
    return {c: how[found[m.person_id]] for c, m in members.items() if m.person_id in found}


def _why_staying(segment: Segment) -> str:
    reasons = [f"their {segment.stay_days} days are not over"] if segment.stay_days else []
    return " or ".join([*reasons, *(["stays_while still holds"] if segment.stays_while else [])])


def _gather(store: Store, config: Config, platform: str, segment: Segment, day: date) -> None:
    """The temporary table wanted_people: person_id, blocked (why not, '' = may), how (by what they belong in it: 'a rule', 'pin',
    'days' of a minimum stay, 'while' another rule holds)."""
    earlier = _earlier_in_set(config, segment.name)
    stay = {g.name or g.use: g.stay_days for g in config.segment}
    names = [segment.name, *({segment.was} - {"", *stay})]  # the stays of before a rename are kept under the old name
    store.sql(
        """
        CREATE OR REPLACE TEMP TABLE wanted_people AS
        WITH carrying AS (  -- staying is for whoever has the tag by our hand: nobody enters who does not match
          SELECT g.segment, l.person_id FROM ledger g
          JOIN person_links l ON l.source = g.platform AND l.contact_id = g.contact_id WHERE g.platform = $platform),
        candidates AS (
          SELECT person_id, 'a rule' AS how FROM members WHERE segment = $segment
          UNION ALL
          SELECT m.person_id, 'days' FROM memberships m SEMI JOIN carrying c ON c.person_id = m.person_id AND c.segment = $segment
          WHERE list_contains($names, m.segment) AND left_on IS NOT NULL AND $stay > 0 AND entered_on > $day::DATE - $stay
            AND entered_on <= $day::DATE -- of a day yet to come, by a clock that was wrong, no days can be over
          UNION ALL
          SELECT c.person_id, 'while' FROM carrying c SEMI JOIN staying_people USING (person_id, segment)
          WHERE c.segment = $segment
          UNION ALL
          SELECT person_id, 'pin' FROM pins WHERE lower(segment) = lower($segment) AND kind = 'always'),
        people AS (
          SELECT person_id, arg_min(how, CASE how WHEN 'a rule' THEN 0 WHEN 'pin' THEN 1 WHEN 'days' THEN 2 ELSE 3 END) AS how
          FROM candidates GROUP BY person_id),
        set_before AS (SELECT unnest($earlier) AS segment, unnest($stays) AS stay),
        in_earlier AS (
          SELECT person_id, segment FROM members SEMI JOIN set_before USING (segment)
          UNION
          SELECT m.person_id, b.segment FROM memberships m JOIN set_before b USING (segment)
          SEMI JOIN carrying c ON c.person_id = m.person_id AND c.segment = b.segment
          WHERE m.left_on IS NOT NULL AND b.stay > 0 AND m.entered_on > $day::DATE - b.stay AND m.entered_on <= $day::DATE
          UNION
          SELECT person_id, segment FROM carrying SEMI JOIN set_before USING (segment)
          SEMI JOIN staying_people USING (person_id, segment)
          UNION
          SELECT p.person_id, b.segment FROM pins p JOIN set_before b ON lower(p.segment) = lower(b.segment)
          WHERE p.kind = 'always'),
        earlier AS (
          SELECT e.person_id, arg_min(e.segment, list_position($earlier, e.segment)) AS segment
          FROM in_earlier e ANTI JOIN pins p
          ON p.person_id = e.person_id AND lower(p.segment) = lower(e.segment) AND p.kind = 'never' GROUP BY e.person_id)
        SELECT c.person_id, c.how, coalesce(
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
            "names": names,
            "platform": platform,
            "stay": segment.stay_days,
            "day": day,
            "earlier": earlier or [""],
            "stays": [stay.get(name, 0) for name in earlier or [""]],
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


def taken_by_set(store: Store, config: Config, name: str) -> dict[str, str]:
    """Person -> 'already in ...' of everybody whom an ordered set puts into an earlier segment than `name`."""
    earlier = _earlier_in_set(config, name)
    if not earlier:
        return {}
    rows = store.sql(
        """SELECT person_id, arg_min(segment, list_position($earlier, segment)) FROM (
             SELECT person_id, segment FROM memberships WHERE left_on IS NULL AND list_contains($earlier, segment)
             UNION
             SELECT p.person_id, e.segment FROM pins p JOIN (SELECT unnest($earlier) AS segment) e
             ON lower(p.segment) = lower(e.segment) WHERE p.kind = 'always') i
           ANTI JOIN (SELECT person_id, lower(segment) AS folded FROM pins WHERE kind = 'never') n
           ON n.person_id = i.person_id AND n.folded = lower(i.segment) GROUP BY person_id""",
        {"earlier": earlier},
    )
    return {person: f"already in {segment}" for person, segment in rows}


def kept_out(store: Store, platform: str, segment: Segment) -> frozenset[str]:
    """Contacts of the platform whose person the owner keeps out of the segment: pinned, or left out by [exclude]."""
    out = choices.kept_out(store, platform, segment.name)
    if segment.purpose != "marketing":
        return out
    found = """SELECT contact_id FROM person_links SEMI JOIN globally_excluded USING (person_id) WHERE source = ?"""
    return out | {c for (c,) in store.sql(found, [platform])}


def set_global_exclusions(store: Store, people: Sequence[str]) -> None:
    """The temporary table globally_excluded."""
    store.sql("CREATE OR REPLACE TEMP TABLE globally_excluded (person_id VARCHAR)")
    if people:
        store.sql("INSERT INTO globally_excluded SELECT unnest(?)", [list(people)])


def set_staying(store: Store, people: Mapping[str, Sequence[str]]) -> None:
    """The temporary table staying_people: segment -> who matches its `stays_while`."""
    store.sql("CREATE OR REPLACE TEMP TABLE staying_people (segment VARCHAR, person_id VARCHAR)")
    for segment, found in people.items():
        if found:
            store.sql("INSERT INTO staying_people SELECT ?, unnest(?)", [segment, list(found)])
