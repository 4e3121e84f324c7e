"""What every platform promises. An adapter talks: it never diffs, decides policy, or touches the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar, Literal

from models.changes import Batch, Observed, Outcome, Target

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

    def __init__(self, settings: dict[str, Any], *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        self.settings = settings
        self.now_utc = now_utc
        self.sleep = sleep

    @abstractmethod
    def account(self) -> Account:
        """Who the credentials belong to; one cheap call. Raises AuthError."""

    def ends(self) -> tuple[tuple[str, date], ...]:
        """(what, last day) of every API version in use that the platform will switch off."""
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
        Raises AmbiguousWriteError when the answer was lost; the caller reads back before repeating. Never sends a
        subscription status; never creates a contact.
        """

    def apply_quietly(self, batch: Batch) -> list[Outcome]:
        """Like `apply`, starting no automation where the platform has a way to say so (elsewhere it is `apply`)."""
        return self.apply(batch)

    def written(self, batch: Batch) -> Iterable[tuple[str, bool]]:
        """After an ambiguous batch: (contact id, is a member now) for every contact of the batch, read back."""
        observed = self.observe(
            [batch.target],
            {batch.target.segment: frozenset(m.contact_id for m in (*batch.adds, *batch.removes))},
        )[0]
        for member in (*batch.adds, *batch.removes):
            yield member.contact_id, member.contact_id in observed.members
