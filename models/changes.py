"""What is wanted, what is there, and the difference as data.

One word per idea: *desired* (what the segments say), *observed* (on the platform now), *change*, *outcome*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

import orjson

PLAN_VERSION = 2
AT_ONCE = 10_000
"""So many changes are turned into bytes at a time."""

Kind = Literal["add", "remove"]
OutcomeKind = Literal["done", "already", "missing", "refused", "unknown"]


class Member(NamedTuple):
    """A contact on one platform. `contact_id` is the platform's id; `email` is what Mailchimp's bulk call needs."""

    contact_id: str
    email: str = ""
    person_id: str = ""


@dataclass(frozen=True)
class Target:
    """One segment on one platform: what we keep in step. `object_id` is what the ledger remembers ('' = not yet made)."""

    platform: str
    segment: str
    name: str
    object_id: str = ""
    purpose: Literal["marketing", "service"] = "marketing"
    starts: Literal["nothing", "journey"] = "nothing"
    part: Literal["", "ours", "new", "closed", "off", "adopt", "taken"] = ""
    """Whose the second thing is that a platform holds of a segment (HubSpot: an option beside the list). Before a look: ours by our
    ledger; adopt where the owner said so; taken: another segment's, which had this name before; '' where only its mark can tell.
    After it: ours, new (to be made), closed (ours, and out of reach now) or off (not to be used): only the list is written; ''
    where the platform has none."""
    part_name: str = ""
    """The name that second thing was made under, where the segment has been renamed since."""
    kept: tuple[str, ...] = ()
    """Contacts who had that second thing by somebody else's hand: it stays with them."""

    @property
    def part_of(self) -> str:
        """The segment's name when its second thing was made: like the list, that keeps its name."""
        return self.part_name or self.segment


@dataclass(frozen=True)
class Observed:
    """What one target looks like on the platform now.

    `members` are contact ids, complete (every status included). `exists` is False when neither the remembered id nor
    the name is there. `is_ours_kind` is False when an object of that name exists but cannot hold static members.
    """

    target: Target
    exists: bool
    object_id: str = ""
    name: str = ""
    members: frozenset[str] = frozenset()
    is_ours_kind: bool = True
    note: str = ""
    partial: frozenset[str] = frozenset()
    """Members who hold only a part of what we write there; a plan that wants them writes them again."""
    closed_to: dict[str, str] = field(default_factory=dict)
    """Contacts that the platform lets nothing more be put on, and why."""
    made_by: Literal["", "us", "another"] = ""
    """Whose mark the object carries: ours, another installation's, or none ('', also where nobody looked)."""
    part: Literal["", "none", "there", "unmarked"] = ""
    """The second thing of `Target.part`: to be made, there with our mark or without one, or not to be used ('')."""
    carriers: frozenset[str] = frozenset()
    """Contacts who have that second thing already, of those that might enter (to be adopted: of the members too)."""
    answered: frozenset[str] = frozenset()
    """Contacts of whom the platform said whether they have it: of one that was merged meanwhile it says nothing."""


@dataclass(frozen=True, order=True, slots=True)
class Change:
    """One contact enters or leaves one object, with the reason an owner reads.

    `must`: a removal because somebody said no or was erased; no guard and no missing go-ahead ever holds it back.
    """

    platform: str
    segment: str
    kind: Kind
    contact_id: str
    email: str = ""
    person_id: str = ""
    reason: str = ""
    must: bool = False


@dataclass(frozen=True, order=True)
class Start:
    """An automation of the owner's that a plan sets off. people: for how many at most; mails: so many, at most, to each.

    billing: what it does to the bill, in words. `is_sure` is False where it asks for more than what we write; its mails are
    a ceiling (`has_ways`) where not everybody goes the same way through it.
    """

    name: str
    on: Literal["enter", "leave", "value"]
    people: int
    mails: int = 0
    billing: str = ""
    is_sure: bool = True
    has_ways: bool = False


@dataclass(frozen=True)
class TargetPlan:
    """One target's numbers and changes. before + entered - left = after.

    `parked` says why changes wait. Behind a guard (or a foreign tag) the waiting ones are not in the plan, only counted in
    `held`; where only the owner's go-ahead is missing they are in the plan, so that it shows what a yes would do, and
    `writable` leaves them out. `excluded` counts the segment's people who are not written, by named reason; `drift` what
    somebody changed by hand; `wanted` how many people the segment has for this platform.
    """

    target: Target
    object_name: str
    object_id: str
    creates_object: bool
    before: int
    entered: int
    left: int
    after: int
    wanted: int = 0
    changes: tuple[Change, ...] = ()
    held: int = 0
    excluded: dict[str, int] = field(default_factory=dict)
    parked: str = ""
    waits_for_go_ahead: bool = False
    first_fill: bool = False
    drift: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    starts: tuple[Start, ...] = ()
    enters_as: dict[str, int] = field(default_factory=dict)
    """Of those who enter: how many are marketing and non-marketing contacts, where the platform bills by that."""

    @property
    def writable(self) -> tuple[Change, ...]:
        """The changes that may be carried out as things stand."""
        return tuple(c for c in self.changes if c.must) if self.waits_for_go_ahead else self.changes

    @property
    def makes_object(self) -> bool:
        """The tag or list is made before these changes; where only removals may be carried out, it is not."""
        return self.creates_object and any(c.kind == "add" for c in self.writable)


FieldKind = Literal["text", "number", "date", "yes or no"]


@dataclass(frozen=True, order=True)
class FieldChange:
    """One field of one contact gets a value ('' clears it).

    `must`: the value is cleared because the person objected to being profiled; no guard and no missing go-ahead holds it back.
    """

    contact_id: str
    value: str
    email: str = ""
    person_id: str = ""
    must: bool = False


@dataclass(frozen=True)
class FieldPlan:
    """What one profile column would change on one platform, where the field is called `name`.

    filled: contacts we gave a value before; unchanged: contacts whose value stays. `parked` says why `held` changes wait;
    where only the go-ahead is missing they are in `changes`, and `writable` leaves them out. stuck: contacts whose value the
    platform refused, until value or contact change.
    """

    platform: str
    column: str
    name: str
    kind: FieldKind
    filled: int = 0
    unchanged: int = 0
    changes: tuple[FieldChange, ...] = ()
    held: int = 0
    parked: str = ""
    waits_for_go_ahead: bool = False
    stuck: int = 0
    notes: tuple[str, ...] = ()
    starts: tuple[Start, ...] = ()

    @property
    def writable(self) -> tuple[FieldChange, ...]:
        return tuple(c for c in self.changes if c.must) if self.waits_for_go_ahead else self.changes

    @property
    def cleared(self) -> int:
        return sum(c.value == "" for c in self.changes)

    def with_changes(
        self, changes: tuple[FieldChange, ...], *, held: int = 0, parked: str = "", waits_for_go_ahead: bool = False
    ) -> FieldPlan:
        return replace(self, changes=changes, held=held, parked=parked, waits_for_go_ahead=waits_for_go_ahead)


@dataclass(frozen=True, order=True)
class Told:
    """One person a trigger tells of: `happened_on` is the day they entered or left; `message_id` the same at every repetition."""

    person_id: str
    contact_id: str = ""
    email: str = ""
    happened_on: str = ""
    message_id: str = ""


@dataclass(frozen=True)
class TriggerPlan:
    """What one trigger would tell another program now. `parked` says why `held` people wait."""

    name: str
    segment: str
    on: Literal["enter", "leave"]
    how: str
    changes: tuple[Told, ...] = ()
    held: int = 0
    parked: str = ""
    waits_for_go_ahead: bool = False
    excluded: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _bytes(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)


@dataclass(frozen=True)
class Plan:
    """A sorted, frozen list of changes that can be saved, read and applied alone.

    undone: the run that it takes back; such a plan is never saved.
    """

    made_at: datetime
    as_of: str
    config_digest: str
    accounts: dict[str, str]
    targets: tuple[TargetPlan, ...]
    is_complete: bool = True
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    triggers: tuple[TriggerPlan, ...] = ()
    fields: tuple[FieldPlan, ...] = ()
    undone: str = ""

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(c for t in self.targets for c in t.changes)

    @property
    def has_changes(self) -> bool:
        """Something would be written now, or waits only for the owner's go-ahead."""
        return (
            any(t.changes for t in self.targets)
            or any(f.changes for f in self.fields)
            or any(t.changes or t.waits_for_go_ahead for t in self.triggers)
        )

    @property
    def digest(self) -> str:
        """Same changes to the same accounts, same digest; when it was made does not count."""
        found = hashlib.sha256(_bytes([self.config_digest, sorted(self.accounts.items())]))
        parts: list[Any] = [*self.targets, *self.triggers, *self.fields]
        for part in parts:
            found.update(_bytes([type(part).__name__, replace(part, changes=())]))
            for start in range(0, len(part.changes), AT_ONCE):
                found.update(_bytes(part.changes[start : start + AT_ONCE]))
        return found.hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        return {
            "version": PLAN_VERSION,
            "made_at": self.made_at.isoformat(),
            "as_of": self.as_of,
            "config_digest": self.config_digest,
            "accounts": self.accounts,
            "digest": self.digest,
            "is_complete": self.is_complete,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "targets": [asdict(t) for t in self.targets],
            "triggers": [asdict(t) for t in self.triggers],
            "fields": [asdict(f) for f in self.fields],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        return cls(
            made_at=datetime.fromisoformat(data["made_at"]),
            as_of=data["as_of"],
            config_digest=data["config_digest"],
            accounts=dict(data["accounts"]),
            is_complete=data["is_complete"],
            problems=tuple(data["problems"]),
            notes=tuple(data.get("notes", ())),
            fields=tuple(
                FieldPlan(
                    **{
                        **f,
                        "changes": tuple(FieldChange(**c) for c in f["changes"]),
                        "notes": tuple(f.get("notes", ())),
                        "starts": tuple(Start(**one) for one in f.get("starts", ())),
                    }
                )
                for f in data.get("fields", ())
            ),
            triggers=tuple(
                TriggerPlan(**{**t, "changes": tuple(Told(**c) for c in t["changes"]), "notes": tuple(t["notes"])})
                for t in data.get("triggers", ())
            ),
            targets=tuple(
                TargetPlan(
                    **{
                        **t,
                        "target": Target(**{**t["target"], "kept": tuple(t["target"].get("kept", ()))}),
                        "changes": tuple(Change(**c) for c in t["changes"]),
                        "notes": tuple(t["notes"]),
                        "starts": tuple(Start(**one) for one in t.get("starts", ())),
                    }
                )
                for t in data["targets"]
            ),
        )


@dataclass(frozen=True)
class Batch:
    """Changes to one object that travel in one write; `batch_id` is the journal's."""

    target: Target
    object_id: str
    object_name: str
    adds: tuple[Member, ...] = ()
    removes: tuple[Member, ...] = ()
    batch_id: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one change. `refused` and `missing` carry the platform's reason in the owner's words.

    is_half: off the tag or list, whatever the result, and nobody knows yet whether also without its second thing.
    """

    contact_id: str
    kind: Kind
    result: OutcomeKind
    reason: str = ""
    is_half: bool = False


@dataclass
class TargetResult:
    """What became of one target's changes: planned = done + already + missing + refused + unknown + not_sent."""

    platform: str
    segment: str
    object_name: str
    planned: int
    counts: dict[str, int] = field(default_factory=dict)
    not_sent: int = 0
    problem: str = ""
    error: Exception | None = None

    def count(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self.counts[outcome.result] = self.counts.get(outcome.result, 0) + 1
