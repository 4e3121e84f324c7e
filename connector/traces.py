"""What there is of one person in the store: addresses, numbers, contact ids and the records they came from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

import orjson

from connector.store import Store
from models import records
from models.errors import UsageError

LONG_ENOUGH = 8
"""A contact id shorter than this is not looked for in texts: it could be any number."""

WHO = ("orders", "carts", "events", "subscriptions")
PEOPLE_WITH = """
  SELECT person_id FROM people WHERE email = $e
  UNION SELECT l.person_id FROM contacts c JOIN person_links l USING (source, contact_id) WHERE c.email = $e
  UNION SELECT l.person_id FROM identifiers i JOIN person_links l USING (source, contact_id)
    WHERE i.kind = 'email' AND i.value = $e
  UNION SELECT person_id FROM person_links WHERE source = 'email' AND contact_id = $e
"""


@dataclass(frozen=True)
class Traces:
    """One person, or several who share an address. Addresses are lower case; contacts are (source, contact id)."""

    emails: frozenset[str] = frozenset()
    phones: frozenset[str] = frozenset()
    contacts: frozenset[tuple[str, str]] = frozenset()
    people: frozenset[str] = frozenset()
    others: frozenset[tuple[str, str]] = frozenset()
    """(kind, value) of their other identifiers: ids another platform, or another place on the same one, has of them."""
    records: frozenset[tuple[str, str, str]] = frozenset()
    """(source, stream, record id) of the records that are theirs alone."""

    @property
    def identifiers(self) -> set[tuple[str, str]]:
        """(kind, value) of everything by which they would be recognised again."""
        found = {("email", e) for e in self.emails} | {("phone", p) for p in self.phones}
        return found | self.others | {c for c in self.contacts if c[0] != "email"}

    @cached_property
    def words(self) -> list[str]:
        """Texts that name them wherever they stand, the longest first; lower case."""
        md5 = {hashlib.md5(e.encode(), usedforsecurity=False).hexdigest() for e in self.emails}
        ids = {i for kind, i in self.contacts | self.others if len(i) >= LONG_ENOUGH and kind != "email"}
        words = {*self.emails, *(quote(e) for e in self.emails), *md5, *ids, *self.people}
        return sorted({w.lower() for w in words}, key=lambda w: (-len(w), w))

    def named_in(self, text: str) -> bool:
        lower = text.lower()
        return any(w in lower for w in self.words) and bool(self._pattern.search(text))

    def without(self, text: str) -> str:
        """The text with everything that names them taken out."""
        return self._pattern.sub("forgotten", text) if self.words else text  # a pattern of no words is found everywhere

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Whole words only: ana@x.example is not in diana@x.example."""
        return re.compile(rf"(?<![\w.+%-])({'|'.join(map(re.escape, self.words))})(?![\w-]|\.\w)", re.IGNORECASE)

    def to_json(self) -> str:
        named = ("emails", "phones", "contacts", "people", "others", "records")
        return orjson.dumps({n: sorted(getattr(self, n)) for n in named}).decode()

    @classmethod
    def from_json(cls, text: str) -> Traces:
        data: dict[str, Any] = orjson.loads(text)
        return cls(
            emails=frozenset(data["emails"]),
            phones=frozenset(data["phones"]),
            contacts=frozenset((a, b) for a, b in data["contacts"]),
            people=frozenset(data["people"]),
            others=frozenset((a, b) for a, b in data["others"]),
            records=frozenset((a, b, c) for a, b, c in data["records"]),
        )


def people_with(store: Store, email: str) -> list[str]:
    """The persons who carry an address on any record."""
    return [str(p) for (p,) in store.sql(f"SELECT DISTINCT person_id FROM ({PEOPLE_WITH}) ORDER BY 1", {"e": plain(email)})]


def plain(email: str) -> str:
    address = email.strip().lower()
    if not re.fullmatch(r"[^\s@]+@[^\s@]+", address):
        raise UsageError("That is no e-mail address. Give the address the person is known by.")
    return address


def find(store: Store, email: str, people: Iterable[str]) -> Traces:
    """Everything that belongs to these persons and to nobody else, and the address itself. Identity must be up to date."""
    address, ids = plain(email), sorted(people)
    contacts = {
        (str(s), str(c))
        for s, c in store.sql(
            "SELECT source, contact_id FROM person_links WHERE person_id IN (SELECT unnest(CAST(? AS VARCHAR[])))", [ids]
        )
    }
    contacts |= _once_theirs(store, ids)
    with as_table(store, "their_contacts", ("source", "contact_id"), contacts) as theirs:
        emails = {address} | {i for s, i in contacts if s == "email"} | _own(store, theirs, _addresses())
        phones = _own(store, theirs, _phones())
        others = _other_ids(store, theirs)
        found = _records(store, theirs, emails)
    return Traces(
        frozenset(emails), frozenset(phones), frozenset(contacts), frozenset(ids), frozenset(others), frozenset(found)
    )


def of_contacts(store: Store, contacts: Iterable[tuple[str, str]]) -> Traces:
    """Everything that belongs to these contacts and to nobody else. `people` are those of whom nothing else is known. Identity must
    be up to date."""
    found = set(contacts)
    sources = sorted({s for s, _ in found})
    with as_table(store, "their_contacts", ("source", "contact_id"), found) as theirs:
        emails = _own(store, theirs, _addresses()) - _on_rows_elsewhere(store, sources)
    found |= {("email", e) for e in emails}  # rows without a contact go by their address
    with as_table(store, "their_contacts", ("source", "contact_id"), found) as theirs:
        people = store.sql(
            f"""SELECT l.person_id FROM person_links l LEFT JOIN {theirs} t USING (source, contact_id)
                GROUP BY ALL HAVING bool_and(t.contact_id IS NOT NULL)"""
        )
        phones = _own(store, theirs, _phones())
        others = _other_ids(store, theirs) - _contacts_elsewhere(store, theirs)
        held = _records(store, theirs, emails)
    return Traces(
        frozenset(emails), frozenset(phones), frozenset(found), frozenset(str(p) for (p,) in people), frozenset(others),
        frozenset(held),
    )  # fmt: skip


def _contacts_elsewhere(store: Store, theirs: str) -> set[tuple[str, str]]:
    """Contacts of others that an identifier of theirs names: such as the shop's number of a customer."""
    rows = store.sql(
        f"""SELECT c.source, c.contact_id FROM contacts c ANTI JOIN {theirs} USING (source, contact_id)
            SEMI JOIN (SELECT kind AS source, value AS contact_id FROM identifiers SEMI JOIN {theirs} USING (source, contact_id)) i
            USING (source, contact_id)"""
    )
    return {(str(s), str(c)) for s, c in rows}


def _on_rows_elsewhere(store: Store, sources: list[str]) -> set[str]:
    """Addresses on orders, events and the like of other sources that name no contact."""
    rows = " UNION ".join(
        f"SELECT email FROM {t} WHERE email IS NOT NULL AND contact_id IS NULL AND NOT list_contains(CAST($s AS VARCHAR[]), source)"
        for t in WHO
    )
    return {str(e) for (e,) in store.sql(rows, {"s": sources})}


def _once_theirs(store: Store, people: list[str]) -> set[tuple[str, str]]:
    """Contacts we wrote to as these persons that no record tells of any more."""
    rows = store.sql(
        """SELECT platform, contact_id FROM ledger WHERE person_id IN (SELECT unnest(CAST(? AS VARCHAR[])))
           EXCEPT SELECT source, contact_id FROM person_links""",
        [people],
    )
    return {(str(p), str(c)) for p, c in rows}


def _other_ids(store: Store, theirs: str) -> set[tuple[str, str]]:
    """Identifiers that are neither address nor number and that nobody else carries."""
    rows = store.sql(
        f"""SELECT kind, value FROM identifiers i LEFT JOIN {theirs} t USING (source, contact_id)
            WHERE kind NOT IN ('email', 'phone') AND value IS NOT NULL
            GROUP BY ALL HAVING bool_and(t.contact_id IS NOT NULL)"""
    )
    return {(str(k), str(v)) for k, v in rows}


def _addresses() -> str:
    more = " ".join(f"UNION SELECT source, contact_id, email FROM {t} WHERE email IS NOT NULL" for t in WHO)
    return (
        "SELECT source, contact_id, email AS value FROM contacts WHERE email IS NOT NULL "
        f"UNION SELECT source, contact_id, value FROM identifiers WHERE kind = 'email' AND value IS NOT NULL {more}"
    )


def _phones() -> str:
    return (
        "SELECT source, contact_id, phone AS value FROM contacts WHERE phone IS NOT NULL "
        "UNION SELECT source, contact_id, value FROM identifiers WHERE kind = 'phone' AND value IS NOT NULL"
    )


def _own(store: Store, theirs: str, held: str) -> set[str]:
    """Values on their contacts that no contact of anybody else carries."""
    rows = store.sql(
        f"""WITH held AS ({held}),
              marked AS (SELECT h.value, t.contact_id IS NOT NULL AS is_theirs
                         FROM held h LEFT JOIN {theirs} t USING (source, contact_id) WHERE h.contact_id IS NOT NULL)
            SELECT value FROM marked GROUP BY value HAVING bool_and(is_theirs)"""
    )
    return {str(v) for (v,) in rows}


def _records(store: Store, theirs: str, emails: set[str]) -> set[tuple[str, str, str]]:
    """Records whose every named contact is theirs."""
    found: dict[tuple[str, str, str], bool] = {}
    for table in records.TABLES:
        names = {c.name for c in records.columns(table)}
        if "contact_id" not in names:
            continue
        address = "t.email IN (SELECT unnest(CAST($emails AS VARCHAR[])))" if "email" in names else "false"
        rows = store.sql(
            f"""WITH marked AS (
                  SELECT t.source, t.stream, t.record_id, t.contact_id IS NOT NULL AS is_named,
                    m.contact_id IS NOT NULL OR (t.contact_id IS NULL AND {address}) AS is_theirs
                  FROM "{table}" t LEFT JOIN {theirs} m ON m.source = t.source AND m.contact_id = t.contact_id)
                SELECT source, stream, record_id, bool_or(is_named AND NOT is_theirs) FROM marked
                GROUP BY ALL HAVING bool_or(is_theirs)""",
            {"emails": sorted(emails)} if "email" in names else None,
        )
        for source, stream, record_id, is_shared in rows:
            key = (str(source), str(stream), str(record_id))
            found[key] = found.get(key, False) or bool(is_shared)
    return {key for key, is_shared in found.items() if not is_shared}


class as_table:
    """A temporary table of rows of text, for joins; gone at the end of the block."""

    def __init__(self, store: Store, name: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
        self.store, self.name = store, name
        given = list(zip(*sorted(rows), strict=True)) or [() for _ in columns]
        picked = ", ".join(f"unnest(CAST(? AS VARCHAR[])) AS {c}" for c in columns)
        store.sql(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {picked}", [list(values) for values in given])

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, *_: object) -> None:
        self.store.sql(f"DROP TABLE IF EXISTS {self.name}")
