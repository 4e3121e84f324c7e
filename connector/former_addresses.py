"""Addresses and numbers that a contact had before it got others: what the contact says, it says for those mailboxes too."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from connector import consent
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


def note(store: Store, source: str, before: Held, now: Held) -> frozenset[str]:
    """Write down what they had until now; gives the contacts with another address. Of one that was erased nothing is kept: it
    stays with its person."""
    left = {(contact, kind, place) for (contact, kind), place in before.items() if now.get((contact, kind)) != place}
    if left:
        erased = "SELECT contact_id FROM contacts WHERE source = ? AND state = 'erased' AND list_contains(?, contact_id)"
        over = {c for (c,) in store.sql(erased, [source, sorted({c for c, _, _ in left})])}
        left = {one for one in left if one[0] not in over}
    if not left:
        return frozenset()
    rows = {(c, place if kind == "email" else None, place if kind == "phone" else None) for c, kind, place in left}
    store.sql(
        "DELETE FROM former_addresses WHERE source = ? AND list_contains(?, contact_id || chr(31) || coalesce(email, phone))",
        [source, sorted(f"{contact}\x1f{email or phone}" for contact, email, phone in rows)],
    )
    store.append("former_addresses", ("contact_id", "email", "phone"), sorted(rows, key=str), {"source": source})
    return frozenset(c for c, kind, _ in left if kind == "email")


def settle(store: Store) -> None:
    """Once all is pulled: had the address said no when its contact left it? Then that stays said of the contact too. What is said
    later of an address that is no longer theirs is not."""
    if store.sql("SELECT 1 FROM former_addresses WHERE was_refused IS NULL AND email IS NOT NULL LIMIT 1"):
        store.sql(
            f"UPDATE former_addresses SET was_refused = email IN (SELECT email FROM ({consent.REFUSING})) "
            "WHERE was_refused IS NULL AND email IS NOT NULL"
        )


def have_some(store: Store, source: str, contacts: Sequence[str]) -> frozenset[str]:
    """Those of the contacts of which an earlier address is known."""
    where = "source = ? AND email IS NOT NULL AND list_contains(?, contact_id)"
    return frozenset(
        c for (c,) in store.sql(f"SELECT contact_id FROM former_addresses WHERE {where}", [source, list(contacts)])
    )


def take_nothing_back(store: Store, source: str, run_id: str, contacts: Collection[str]) -> None:
    """A no is not taken back by a record that says nothing of its new address (HubSpot's opt-outs are the address's): in the
    history the answer of before stays the last one."""
    if contacts:
        store.sql(
            "DELETE FROM consent_history WHERE source = ? AND run_id = ? AND topic = '' AND status = 'not_specified' "
            "AND list_contains(?, contact_id)",
            [source, run_id, sorted(contacts)],
        )
