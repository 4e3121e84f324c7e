"""What every platform promises. An adapter talks: it never diffs, decides policy, or touches the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar, Literal

from models.changes import Batch, FieldKind, Member, Observed, Outcome, Target
from models.errors import UsageError

Record = dict[str, Any]
"""One record exactly as the platform sent it (possibly put together from several answers)."""

Cursor = dict[str, Any]
"""Where a stream stands: JSON-able, opaque to everybody but the adapter, saved in the transaction of its rows."""


@dataclass(frozen=True)
class Stream:
    """One kind of record a platform has. `name` is the section of its mapping file."""

    name: str
    title: str
    scope: str = ""
    needed: bool = False
    """The stream carries people or consent: when it is missing or incomplete, nothing is pushed anywhere."""


@dataclass(frozen=True)
class Page:
    """Records and the cursor that covers them. Records may repeat between pages; the store compares and upserts.

    `done` is True on the last page of this pull. `total` is the platform's own count, where it says one.
    `gone` are ids the platform has told us no longer exist (with the state they are in now: archived, merged, erased, gone).
    """

    records: list[Record]
    cursor: Cursor
    done: bool = False
    total: int | None = None
    gone: dict[str, str] = field(default_factory=dict)
    note: str = ""
    complete_from: date | None = None
    """The day from which the stream's history is known to be whole, where the platform hides what is older."""


@dataclass(frozen=True)
class Finding:
    """One line of `check`: what was looked at, how it is, what to do."""

    name: str
    level: Literal["ok", "warning", "error"]
    text: str
    code: str = ""
    """'auth' or 'scope' where the exit code must be 6; otherwise free."""


@dataclass(frozen=True)
class Account:
    """Who we are talking to. `id` must stay the same for one store file."""

    id: str
    name: str
    timezone: str = ""
    currency: str = ""
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """One version of a platform's API, and the last day it may be used; None where the platform has named none."""

    name: str
    until: date | None = None


@dataclass(frozen=True)
class Setting:
    """A key of the platform's section in rollcall.toml, besides those that every platform has (`base_url`, `push`, ...).

    A secret is written as env:NAME, keyring:NAME or file:PATH and reaches the adapter resolved. `choices` are the words a
    text may be; `least` and `most` bound a number.
    """

    name: str
    default: str | int | float | bool = ""
    is_needed: bool = False
    is_secret: bool = False
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Automation:
    """An automation of the owner's that begins when somebody enters (or leaves) something of ours, or a field of ours gets a
    value. values: only these start it; none means any. mails, billing, is_sure, has_ways: as in `models.changes.Start`."""

    name: str
    on: Literal["enter", "leave", "value"]
    values: tuple[str, ...] = ()
    mails: int = 0
    billing: str = ""
    is_sure: bool = True
    has_ways: bool = False
    spares: frozenset[str] = frozenset()
    """Contacts for whom it does not begin, because what it waits for is so already."""


@dataclass(frozen=True)
class Automations:
    """By segment and by field. unread: why some of them are not known, in the owner's words; '' where all are, or where the
    platform tells of none (then the configuration's `starts` says)."""

    by_segment: dict[str, tuple[Automation, ...]] = field(default_factory=dict)
    by_field: dict[str, tuple[Automation, ...]] = field(default_factory=dict)
    unread: str = ""
    is_complete: bool = False
    """Nothing else waits for these, as far as the platform tells."""


ENDING_SOON_DAYS = 120
"""From so many days before an API version ends on, every run says so."""


def ending_soon(ends: Iterable[tuple[str, date]], today: date, days: int = ENDING_SOON_DAYS) -> list[str]:
    """One sentence per API version (as `Adapter.ends` gives them) that ends within `days` or has ended, soonest first."""
    found = sorted((until, what) for what, until in ends if (until - today).days <= days)
    return [f"{what} {_when(until, today)}" for until, what in found]


def _when(until: date, today: date) -> str:
    left = (until - today).days
    if left < 0:
        return f"ended on {until}. Update Rollcall, or raise api_version in the platform's section."
    how_soon = "today" if left == 0 else "tomorrow" if left == 1 else f"in {left} days"
    return f"ends on {until}, {how_soon}. Update Rollcall before then, or raise api_version in the platform's section."


class Adapter(ABC):
    """One platform. `settings` is the platform's section of the configuration, secrets already resolved.

    settings: `{"base_url": str, "token": str, ...the platform's own keys}`; an empty base_url means the real host.
    now_utc: the clock (naive UTC), for tokens and windows. sleep: waits in seconds (tests pass one that does not).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    noun: ClassVar[str]
    """What we write there, in the owner's words: 'Mailchimp tag', 'HubSpot list', 'Shopify tag'."""
    batch_size: ClassVar[int]
    """At most this many adds, and as many removes, in one Batch."""
    concurrent_streams: ClassVar[int] = 1
    """So many streams may be walked at once, in several threads. One where a stream needs what an earlier one found."""
    tells_who_was_in = True
    """Whoever was in it already is told from those whom a write put there."""
    dates_members = False
    """`joined` tells exactly since when somebody is in it."""
    concurrent_targets: int = 1
    """So many tags or lists may be written at once, in several threads; never two batches of the same one."""
    own_settings: ClassVar[tuple[Setting, ...]] = (Setting("token", is_needed=True, is_secret=True),)
    """What the platform's section may hold besides the common keys. Ours are in connector/config.py."""
    guarded_streams: ClassVar[tuple[str, ...]] = ()
    """Streams besides the contacts whose emptiness or shrinking must stop a run before anything is written."""

    def __init__(self, settings: dict[str, Any], *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        self.settings = settings
        self.now_utc = now_utc
        self.sleep = sleep

    @abstractmethod
    def account(self) -> Account:
        """Who the credentials belong to; one cheap call. Raises AuthError."""

    @classmethod
    def versions(cls) -> tuple[Version, ...]:
        """The versions of the platform's API this adapter can speak, the newest first, each as `api_version` takes it.

        The first is spoken where the configuration names none. Empty: there are none to choose from.
        """
        return ()

    def ends(self) -> tuple[tuple[str, date], ...]:
        """(what, last day) of every API version in use that the platform will switch off."""
        asked = str(self.settings.get("api_version") or "")
        for version in self.versions():
            if version.name == asked or not asked:
                return ((f"{self.title} API {version.name}", version.until),) if version.until else ()
        return ()

    @abstractmethod
    def check(self) -> list[Finding]:
        """Every scope and what it unlocks, plan limits, API version and its end date. Never raises for a finding."""

    @abstractmethod
    def streams(self) -> tuple[Stream, ...]:
        """The streams in the order in which they must be pulled."""

    @abstractmethod
    def pages(self, stream: str, cursor: Cursor | None, *, full: bool = False, since: datetime | None = None) -> Iterator[Page]:
        """Walk one stream from where `cursor` stands.

        cursor None: a backfill from the beginning (not before `since`, where given). A cursor of an unfinished walk:
        go on behind it. A cursor of a finished walk: only what changed since, with overlap; `full` reads all again.
        The cursor of every page, saved with its rows, is enough to go on after a crash. Raises ScopeError when the
        stream is not permitted, AuthError, PermanentApiError, QuotaExhausted (everything up to then stays valid).
        """

    @abstractmethod
    def reread(self, contact_ids: Sequence[str]) -> Iterator[Page]:
        """The contacts stream's records of these ids as they are at this moment, not through a search index.

        Ids that no longer exist are named in `Page.gone`. Used for consent just before a write.
        """

    contacts_stream: ClassVar[str]
    """The stream that carries contacts and their consent (`customers`, `members`, `contacts`)."""

    @abstractmethod
    def observe(self, targets: Sequence[Target], maybe: dict[str, frozenset[str]]) -> list[Observed]:
        """What each target looks like now, read from the platform, in the order of `targets`.

        maybe: segment -> contact ids that might be in it (wanted or believed there), for platforms where membership
        can only be read contact by contact. Other members found must be reported too.
        """

    @abstractmethod
    def ensure(self, target: Target) -> str:
        """The id of the tag or list of this name, creating it empty when it is not there. Safe to repeat."""

    @abstractmethod
    def apply(self, batch: Batch) -> list[Outcome]:
        """Carry out one batch: one outcome per change, never more, never fewer.

        Adding a member twice and removing an absent one are no-ops on every platform, so a batch may be repeated.
        Raises AmbiguousWriteError when the answer was lost; the caller reads back before repeating. A PermanentApiError says
        that nothing of the batch was written. Never sends a subscription status; never creates a contact.
        """

    def joined(self, object_id: str, contact_ids: Sequence[str], since: datetime) -> Mapping[str, datetime]:
        """Since when these contacts are in a tag or list, naive UTC: exactly, or no later than that. Where it was before
        `since`, any time before it will do. Contacts of whom the platform does not tell are left out."""
        return {}

    def apply_quietly(self, batch: Batch) -> list[Outcome]:
        """Like `apply`, starting no automation where the platform has a way to say so (elsewhere it is `apply`)."""
        return self.apply(batch)

    @property
    def can_be_quiet(self) -> bool:
        """Whether `apply_quietly` is quieter than `apply`."""
        return type(self).apply_quietly is not Adapter.apply_quietly

    def automations(self, targets: Sequence[Target], fields: Sequence[str]) -> Automations:
        """Which automations of the owner's wait for these objects (by `object_id`) and fields. Only looks, and never fails:
        what cannot be read is said in `unread`."""
        return Automations()

    @property
    def values_outlive_objects(self) -> bool:
        """Whether something may wait for what we write although the object for it is not there (yet, or any more)."""
        return False

    def without_room(self, targets: Sequence[Target]) -> dict[str, str]:
        """Segment -> why the object it needs cannot be made any more, of those in `targets` (in their order) that would be.
        Known before anything is written; empty where there is room, or where nobody can say."""
        return {}

    field_batch: ClassVar[int] = 100
    """At most so many contacts in one `read_fields` and one `write_fields`."""
    field_noun: ClassVar[str] = "field"
    """What a field of ours is here, in the owner's words: 'HubSpot property'."""
    field_starts: ClassVar[str] = ""
    """Which automations of the owner's a new value may start; '' where it starts none."""

    def field_name(self, label: str) -> str:
        """What our field for `label` is called here: with our own prefix, within the platform's rules for names."""
        raise UsageError(f"{self.title} has no fields that Rollcall can write. Take it out of the [[field]]'s push.")

    def field_problem(self, name: str, kind: FieldKind) -> str:
        """Why this field cannot be written or made, in the owner's words; '' where it can. Looks, and writes nothing."""
        return ""

    def fields_without_room(self, names: Sequence[str]) -> list[str]:
        """Of these fields, in their order, those that are not there and that the account has no room left for."""
        return []

    def ensure_field(self, name: str, label: str, kind: FieldKind) -> None:
        """Make the field where it is not there. Safe to repeat. Raises PermanentApiError where a field of this name is not
        one of ours or of another kind, or where the platform has no room for more."""
        raise NotImplementedError

    def read_fields(self, names: Sequence[str], contact_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Contact id -> field -> what stands there now, as `write_fields` takes it ('' for nothing). Contacts that are not
        there any more are left out. Not through a search index."""
        raise NotImplementedError

    def write_fields(self, rows: Sequence[tuple[str, Mapping[str, str]]]) -> list[Outcome]:
        """Set fields of contacts, nothing else of them: one outcome per contact. Values are absolute, so that repeating is
        harmless, also after a lost answer. Never creates a contact, never touches a status."""
        raise NotImplementedError

    def tell(self, member: Member, event: str) -> Outcome:
        """Record a named event of a contact, which the owner's automations may wait for. Never repeated: an answer that was
        lost is the outcome `unknown`. Only where the platform has such events."""
        return Outcome(member.contact_id, "add", "refused", f"{self.title} has no events of this kind")

    def holders(self, target: Target) -> frozenset[str]:
        """Everybody who has the segment's second thing (`Target.part`), by a search that may lag; for contacts whose ids are
        not known any more."""
        return frozenset()

    def written(self, batch: Batch) -> Iterable[tuple[str, bool]]:
        """After an ambiguous batch: (contact id, is a member now) for every contact of the batch, read back. Of nobody, where
        the tag or list of the batch is gone: one of the same name made since is somebody else's."""
        observed = self.observe(
            [batch.target],
            {batch.target.segment: frozenset(m.contact_id for m in (*batch.adds, *batch.removes))},
        )[0]
        if not observed.exists or observed.object_id != batch.object_id:
            return
        for member in (*batch.adds, *batch.removes):
            yield member.contact_id, member.contact_id in observed.members
