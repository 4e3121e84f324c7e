"""Whom we were told to forget, as keyed hashes: enough to recognise them when a platform shows them, and for nothing else.

A hash is made of an address, of a phone number, or of a contact's id on one platform. A phone number counts only for a
record without an address: families share one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import orjson

from connector.keys import seal, store_key
from connector.store import Bundle, Store
from models.changes import Batch, Outcome

REASON = "forgotten"
PERSON = "person"
"""The kind of our own id of them, which stands in copies of what the owner said of them."""
MARK = "forgotten:"
"""A ledger's contact id that begins so is the hash of one that was forgotten."""


class Forgotten:
    """The hashes of one store, loaded once; false while nobody has been forgotten, and then it costs nothing."""

    def __init__(self, store: Store) -> None:
        self._hashes = {str(h) for (h,) in store.sql("SELECT hash FROM forgotten")}
        self._key = store_key(store) if self._hashes else b""

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def knows(self, kind: str, value: object) -> bool:
        """`kind`: email, phone, or the name of the platform whose contact id `value` is."""
        return bool(self._hashes) and bool(value) and token(self._key, kind, str(value)) in self._hashes

    def has(self, source: str, rows: Bundle) -> bool:
        """The rows of a record belong to somebody forgotten."""
        if not self._hashes:
            return False
        found = set(_identifiers(source, rows))
        with_address = any(kind == "email" for kind, _ in found)
        return any(self.knows(kind, value) for kind, value in found if kind != "phone" or not with_address)

    def mentions(self, raw: Any) -> bool:
        """A raw record that cannot be translated holds an address that was forgotten."""
        return bool(self._hashes) and any(self.knows("email", address) for address in addresses_in(raw))

    def stand_in(self, record_id: str) -> str:
        """What a record that was not taken is called in the list of what was set aside."""
        return MARK + token(self._key, "record", record_id)[:16]


def token(key: bytes, kind: str, value: str) -> str:
    """The hash of one identifier; addresses without case, phone numbers by their digits."""
    plain = digits(value) if kind == "phone" else value.strip().lower() if kind == "email" else value
    return seal(key, kind, plain)[:40]


def digits(number: str) -> str:
    return re.sub(r"\D", "", number).lstrip("0")


def addresses_in(raw: Any) -> Iterator[str]:
    """Every text with an @ anywhere in a raw record."""
    if isinstance(raw, str):
        if "@" in raw:
            yield raw
    elif isinstance(raw, dict):
        for value in raw.values():
            yield from addresses_in(value)
    elif isinstance(raw, list):
        for value in raw:
            yield from addresses_in(value)


def _identifiers(source: str, rows: Bundle) -> Iterator[tuple[str, str]]:
    for table, found in rows.items():
        for row in found:
            if row.get("contact_id"):
                yield source, str(row["contact_id"])
            if row.get("email"):
                yield "email", str(row["email"])
            if row.get("phone"):
                yield "phone", str(row["phone"])
            if table == "identifiers" and row.get("value") and row.get("kind"):
                yield str(row["kind"]), str(row["value"])


def contacts_of(source: str, rows: Bundle) -> dict[str, set[str]]:
    """The contact a record describes -> its id, and the ids of those that were merged into it."""
    before = {str(r["value"]) for r in rows.get("identifiers", ()) if r.get("kind") == source and r.get("value")}
    return {str(r["contact_id"]): {str(r["contact_id"]), *before} for r in rows.get("contacts", ()) if r.get("contact_id")}


def block(store: Store, identifiers: Iterable[tuple[str, str]], now: datetime) -> int:
    """From now on these (kind, value) are recognised; gives how many were not before."""
    key = store_key(store)
    known = {str(h) for (h,) in store.sql("SELECT hash FROM forgotten")}
    new = sorted({token(key, kind, value) for kind, value in identifiers} - known)
    store.insert("forgotten", [{"hash": h, "since": str(now)} for h in new])
    return len(new)


# ---- what we wrote about them, and may still take away


def ledger_id(key: bytes, platform: str, contact_id: str) -> str:
    """What stands in the ledger in the place of a forgotten contact's id."""
    return MARK + token(key, platform, contact_id)


def still_ours(store: Store, platform: str, object_id: str, members: Iterable[str]) -> frozenset[str]:
    """Those of the members a platform shows whom we added before we forgot them: their tag is to be taken off."""
    held = {
        str(r[0])
        for r in store.sql(
            "SELECT contact_id FROM ledger WHERE platform = ? AND object_id = ? AND starts_with(contact_id, ?)",
            [platform, object_id, MARK],
        )
    }
    if not held:
        return frozenset()
    key = store_key(store)
    return frozenset(m for m in members if ledger_id(key, platform, m) in held)


def follow(store: Store, platform: str, theirs: Mapping[str, Collection[str]], now: datetime) -> None:
    """Contacts that carry a forgotten person's address (contact -> its ids, also of those merged into it) are that person's:
    what we gave under any of the ids is to be taken off. Who had an option by somebody else's hand keeps it."""
    if not theirs:
        return
    block(store, [(platform, contact) for contact in theirs], now)
    key = store_key(store)
    for contact, ids in theirs.items():
        held = sorted({*ids, *(ledger_id(key, platform, i) for i in ids)} - {ledger_id(key, platform, contact)})
        what = [ledger_id(key, platform, contact), platform, held]
        place = "WHERE platform = ? AND list_contains(?, contact_id)"
        store.sql(f"UPDATE ledger SET contact_id = ?, person_id = '', is_seen = true {place}", what)
        store.sql(
            f"""UPDATE given SET contact_id = ? {place} AND segment NOT IN (
                  SELECT segment FROM carried WHERE platform = ? AND list_contains(?, contact_id))""",
            [*what, platform, sorted(ids)],
        )


def were_given(store: Store, platform: str, segment: str) -> bool:
    """Whether there are contacts whom we gave the segment's second thing and then forgot."""
    found = "SELECT 1 FROM given WHERE platform = ? AND segment = ? AND starts_with(contact_id, ?) LIMIT 1"
    return bool(store.sql(found, [platform, segment, MARK]))


def still_given(store: Store, platform: str, segment: str, contacts: Iterable[str]) -> frozenset[str]:
    """Those of the contacts to whom we gave the segment's second thing before we forgot them."""
    held = _given(store, platform, segment)
    key = store_key(store) if held else b""
    return frozenset(c for c in contacts if ledger_id(key, platform, c) in held) if held else frozenset()


def only_given(store: Store, platform: str, segment: str, holders: Iterable[str]) -> None:
    """Everybody who has it, or is on the list, is among `holders`: the others are not looked for again."""
    key = store_key(store)
    gone = _given(store, platform, segment) - {ledger_id(key, platform, h) for h in holders}
    store.sql(
        "DELETE FROM given WHERE platform = ? AND segment = ? AND list_contains(?, contact_id)",
        [platform, segment, sorted(gone)],
    )


def _given(store: Store, platform: str, segment: str) -> set[str]:
    rows = "SELECT contact_id FROM given WHERE platform = ? AND segment = ? AND starts_with(contact_id, ?)"
    return {str(c) for (c,) in store.sql(rows, [platform, segment, MARK])}


def settle(store: Store, batch: Batch, outcomes: Iterable[Outcome], known: Forgotten) -> frozenset[str]:
    """After a batch: tags of forgotten contacts that were taken off leave the ledger, and their ids leave the journal.

    Gives the forgotten contacts of the batch. Runs in the transaction of the outcomes.
    """
    if not known:
        return frozenset()
    platform = batch.target.platform
    theirs = frozenset(m.contact_id for m in (*batch.adds, *batch.removes) if known.knows(platform, m.contact_id))
    if not theirs:
        return theirs
    key = store_key(store)
    over = [
        ledger_id(key, platform, o.contact_id)
        for o in outcomes
        if o.contact_id in theirs and o.kind == "remove" and o.result in ("done", "already", "missing") and not o.is_half
    ]
    store.sql(
        "DELETE FROM ledger WHERE platform = ? AND object_id = ? AND list_contains(?, contact_id)",
        [platform, batch.object_id, over],
    )
    if batch.target.part != "closed":
        store.sql(
            "DELETE FROM given WHERE platform = ? AND segment = ? AND list_contains(?, contact_id)",
            [platform, batch.target.segment, over],
        )
    store.sql("DELETE FROM parked WHERE platform = ? AND list_contains(?, contact_id)", [platform, sorted(theirs)])
    scrub_journal(store, {(platform, c) for c in theirs}, only=batch.batch_id)
    return theirs


def scrub_journal(store: Store, contacts: set[tuple[str, str]], *, only: str = "") -> int:
    """Take contacts out of the journal: concluded batches keep a hash in their place, open ones go on without them.

    What an open batch was about to add counts as added by us, as it does when its outcome is read back.
    """
    key = store_key(store)
    ids = {i for _, i in contacts}
    changed = 0
    where, params = ("batch_id = ?", [only]) if only else ("true", [])
    for row in store.rows(f"SELECT * EXCLUDE (intended_at, ended_at) FROM journal WHERE {where}", params):
        text = f"{row['intent']}{row['outcome'] or ''}"
        if not any(i in text for i in ids):
            continue
        theirs = {i for p, i in contacts if p == row["platform"]}
        is_open = row["state"] in ("intended", "unknown")
        intent, outcome = orjson.loads(row["intent"]), orjson.loads(row["outcome"] or "[]")
        opened = {m[0] for m in intent["add"] if m[0] in theirs} if is_open else set()
        if row["state"] == "recovered":
            opened = {m[0] for m in intent["add"] if m[0] in theirs and _is_unseen(store, row, m[0], outcome, key)}
        for kind in ("add", "remove"):
            kept = [m if m[0] not in theirs else [ledger_id(key, row["platform"], m[0]), "", ""] for m in intent[kind]]
            intent[kind] = [m for m in kept if not (is_open and m[0].startswith(MARK))]
        outcome = [o if o[0] not in theirs else [ledger_id(key, row["platform"], o[0]), *o[1:]] for o in outcome]
        _count_as_ours(store, row, opened, key)
        state = "forgotten" if is_open and not intent["add"] and not intent["remove"] else row["state"]
        values = [orjson.dumps(intent).decode(), orjson.dumps(outcome).decode() if row["outcome"] else None, state]
        store.sql("UPDATE journal SET intent = ?, outcome = ?, state = ? WHERE batch_id = ?", [*values, row["batch_id"]])
        changed += 1
    return changed


def _is_unseen(store: Store, row: dict[str, Any], contact: str, outcome: list[list[str]], key: bytes) -> bool:
    """What an unfinished run did with the contact was never told: a platform may show it only later."""
    if any(o[0] == contact and o[2] != "unknown" for o in outcome):
        return False
    later = """SELECT 1 FROM journal AS j JOIN journal AS r ON r.batch_id = $batch
        WHERE j.platform = r.platform AND j.object_id = r.object_id AND j.intended_at > r.intended_at
          AND (contains(j.intent, $contact) OR contains(j.intent, $hash)) LIMIT 1"""
    names = {"batch": row["batch_id"], "contact": contact, "hash": ledger_id(key, row["platform"], contact)}
    return not store.sql(later, names)


def _count_as_ours(store: Store, row: dict[str, Any], contacts: set[str], key: bytes) -> None:
    tokens = [ledger_id(key, row["platform"], c) for c in sorted(contacts)]
    held = {
        str(r[0])
        for r in store.sql(
            "SELECT contact_id FROM ledger WHERE platform = ? AND object_id = ? AND list_contains(?, contact_id)",
            [row["platform"], row["object_id"], tokens],
        )
    }
    intended = store.value("SELECT intended_at FROM journal WHERE batch_id = ?", [row["batch_id"]])
    store.insert(
        "ledger",
        [
            {
                "platform": row["platform"], "object_id": row["object_id"], "segment": row["segment"], "contact_id": t,
                "person_id": "", "added_at": str(intended), "run_id": row["run_id"], "is_seen": True,
            }
            for t in tokens
            if t not in held
        ],
    )  # fmt: skip
