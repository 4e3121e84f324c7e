"""The audit trail: one entry for everything that was confirmed, allowed, overridden or forgotten; never changed again.

Each entry holds the hash of the one before it, and the newest is sealed with the store's key, so that neither a change nor
a missing end goes unseen. Who an entry is about stands in it as an HMAC-SHA256 under a key of that contact's own
(`subject_keys`) joined with the store's, which lies apart. Forgetting somebody destroys the contact's key: the trail still
verifies and says nothing about them any more.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from connector import forgotten
from connector.keys import seal, store_key
from connector.store import Store
from models.changes import Batch, Outcome

NEW_KEY = "new key"
"""Action of the entry that says that the store's key had been lost: earlier entries cannot be tied to people any more."""
START = "0" * 64
AT_ONCE = 20_000
ADDRESS = re.compile(r"[^\s@<>\"',;]+@[^\s@<>\"',;]+")
SIGNED = ("seq", "happened_at", "run_id", "platform", "object_id", "action", "person_hash", "detail", "prev_hash")
"""What the hash of an entry is made of, in this order."""


@dataclass(frozen=True)
class Entry:
    """One thing that happened. `contact` is (platform, contact id) of whom it is about, None where it is about nobody."""

    action: str
    platform: str = ""
    object_id: str = ""
    contact: tuple[str, str] | None = None
    detail: str = ""
    is_forgotten: bool = False
    """The contact is being, or was, forgotten: its key is made for this entry and kept nowhere."""


@dataclass(frozen=True)
class Verdict:
    """What `runs verify` found: how many entries, the first thing that is wrong ('' = nothing), and what is to be known."""

    entries: int
    problem: str = ""
    note: str = ""

    @property
    def is_sound(self) -> bool:
        return not self.problem


def record(store: Store, entries: Sequence[Entry], now: datetime, run_id: str) -> None:
    """Append entries, in the transaction of what they tell of. Addresses in `detail` are masked, for it stays for good."""
    if not entries:
        return
    with store.transaction():
        keys = _keys(store, {e.contact for e in entries if e.contact and not e.is_forgotten})
        seq, prev, seal_held = _head(store)
        is_lost = seq > 0 and seal_held != _sealed(store, seq, prev)
        rows = []
        for entry in ([Entry(NEW_KEY)] if is_lost else []) + list(entries):
            seq += 1
            row = {
                "seq": seq, "happened_at": now.isoformat(" ", "microseconds"), "run_id": run_id, "platform": entry.platform,
                "object_id": entry.object_id, "action": entry.action, "person_hash": _person_hash(entry, keys),
                "detail": ADDRESS.sub("[address]", entry.detail), "prev_hash": prev,
            }  # fmt: skip
            prev = row["hash"] = digest(row)
            rows.append(row)
        store.insert("audit", rows)
        _set_head(store, seq, prev)


def written_all(store: Store, concluded: Sequence[tuple[Batch, Sequence[Outcome]]], now: datetime, run_id: str) -> None:
    """One entry per confirmed write of these batches. People we were told to forget leave no trace but the entry itself."""
    entries: list[Entry] = []
    known = forgotten.Forgotten(store)
    for batch, outcomes in concluded:
        theirs = forgotten.settle(store, batch, outcomes, known)
        platform, segment = batch.target.platform, batch.target.segment
        entries += [
            Entry(o.kind, platform, batch.object_id, (platform, o.contact_id), segment, o.contact_id in theirs)
            for o in outcomes
            if o.result == "done"
        ]
    record(store, entries, now, run_id)


def note(
    store: Store, action: str, now: datetime, run_id: str, *, platform: str = "", object_id: str = "", detail: str = ""
) -> None:
    """One entry that is about nobody in particular: a go-ahead, an override, an object made or adopted."""
    record(store, [Entry(action, platform, object_id, None, detail)], now, run_id)


def of_contacts(store: Store, contacts: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """The entries about these contacts, oldest first; none once their keys are destroyed."""
    keys = _held_keys(store, contacts)
    hashes = [seal(key, *contact) for contact, key in keys.items()]
    return store.rows(
        "SELECT seq, happened_at, run_id, platform, object_id, action, detail FROM audit "
        "WHERE list_contains(?, person_hash) ORDER BY seq",
        [hashes],
    )


def verify(store: Store) -> Verdict:
    """Recompute the whole chain."""
    prev, seq, lost = START, 0, 0
    for row in _entries(store):
        seq += 1
        row["happened_at"] = row["happened_at"].isoformat(" ", "microseconds")
        if row["seq"] != seq:
            return Verdict(seq - 1, f"entry {seq} is missing")
        if row["prev_hash"] != prev or row["hash"] != digest(row):
            return Verdict(seq - 1, f"entry {seq} was changed after it was written")
        prev = row["hash"]
        lost = seq if row["action"] == NEW_KEY else lost
    if _head(store) != ((seq, prev, _sealed(store, seq, prev)) if seq else (0, START, "")):
        return Verdict(seq, f"the trail ends at entry {seq}, which is not where we left it, or the key file is another")
    note = f"the key file was lost before entry {lost}: whether entries before it were cut off cannot be told" if lost else ""
    return Verdict(seq, note=note)


def _entries(store: Store) -> Iterator[dict[str, Any]]:
    """The whole trail in order, so many entries at a time that the memory needed does not grow with it."""
    beginning = 0
    while rows := store.rows("SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", [beginning, AT_ONCE]):
        yield from rows
        beginning = rows[-1]["seq"]


def digest(row: dict[str, Any]) -> str:
    """The hash of an entry, over everything in it and the hash of the one before."""
    return hashlib.sha256(orjson.dumps([row[name] for name in SIGNED])).hexdigest()


def _head(store: Store) -> tuple[int, str, str]:
    held = store.sql("SELECT seq, hash, seal FROM audit_head")
    return (int(held[0][0]), str(held[0][1]), str(held[0][2])) if held else (0, START, "")


def _set_head(store: Store, seq: int, prev: str) -> None:
    head = [seq, prev, _sealed(store, seq, prev)]
    if not store.sql("UPDATE audit_head SET seq = ?, hash = ?, seal = ? RETURNING 1", head):
        store.sql("INSERT INTO audit_head (seq, hash, seal) VALUES (?, ?, ?)", head)


def _sealed(store: Store, seq: int, prev: str) -> str:
    return seal(store_key(store), "audit", str(seq), prev)


def _person_hash(entry: Entry, keys: dict[tuple[str, str], bytes]) -> str:
    if entry.contact is None:
        return ""
    key = secrets.token_bytes(64) if entry.is_forgotten else keys[entry.contact]
    return seal(key, *entry.contact)


def _keys(store: Store, contacts: set[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
    """The key of each contact, made where there is none yet."""
    found = _held_keys(store, contacts)
    new = {c: secrets.token_bytes(32) for c in sorted(contacts - found.keys())}
    store.insert("subject_keys", [{"platform": p, "contact_id": c, "key": k.hex()} for (p, c), k in new.items()])
    apart = store_key(store)
    return found | {c: k + apart for c, k in new.items()}


def _held_keys(store: Store, contacts: Iterable[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
    by_platform: dict[str, list[str]] = {}
    for platform, contact_id in contacts:
        by_platform.setdefault(platform, []).append(contact_id)
    apart = store_key(store) if by_platform else b""
    return {
        (platform, contact_id): bytes.fromhex(key) + apart
        for platform, ids in by_platform.items()
        for contact_id, key in store.sql(
            "SELECT contact_id, key FROM subject_keys WHERE platform = ? "
            "AND contact_id IN (SELECT unnest(CAST(? AS VARCHAR[])))",
            [platform, ids],
        )
    }
