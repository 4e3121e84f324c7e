"""People: which records are one person, and on what evidence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Link:
    """One contact record belongs to one person because of `evidence` (such as 'same e-mail')."""

    person_id: str
    source: str
    contact_id: str
    evidence: str


@dataclass(frozen=True)
class StreamCount:
    """The account of one stream in one pull: fetched = stored + unchanged + set_aside.

    `platform_total` is what the platform says it has, None where it does not say. `new_set_aside` are those of
    `set_aside` that no earlier run met. `code` is "scope" where a missing scope closed the stream; a run's record of the past
    does not keep it.
    """

    source: str
    stream: str
    fetched: int = 0
    stored: int = 0
    unchanged: int = 0
    set_aside: int = 0
    platform_total: int | None = None
    pages: int = 0
    is_complete: bool = True
    note: str = ""
    new_set_aside: int = 0
    code: str = ""
