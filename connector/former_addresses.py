"""Addresses and numbers that a contact had before it got others: what the contact says, it says for those mailboxes too."""

from __future__ import annotations

from collections.abc import Sequence

from connector.store import Store

Held = dict[tuple[str, str], str]
"""(contact id, "email" or "phone") -> which."""


def held(store: Store, source: str, stream: str, records: Sequence[str]) -> Held:
    """What the contacts of these records have as things stand."""
    found = store.sql(
        "SELECT contact_id, email, phone FROM contacts WHERE source = ? AND stream = ? "
        "AND record_id IN (SELECT unnest(CAST(? AS VARCHAR[])))",
        [source, stream, list(records)],
    )
    return {(c, kind): place for c, *places in found for kind, place in zip(("email", "phone"), places, strict=True) if place}


def note(store: Store, source: str, before: Held, now: Held) -> None:
    """Write down what they had until now. One that holds none any more (erased) stays with its person."""
    left = {(contact, kind, place) for (contact, kind), place in before.items() if now.get((contact, kind), place) != place}
    if not left:
        return
    rows = {(c, place if kind == "email" else None, place if kind == "phone" else None) for c, kind, place in left}
    known = set(store.sql("SELECT contact_id, email, phone FROM former_addresses WHERE source = ?", [source]))
    store.append("former_addresses", ("contact_id", "email", "phone"), sorted(rows - known, key=str), {"source": source})
