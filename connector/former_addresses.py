"""Addresses and numbers that a contact had before it got others: what the contact says, it says for those mailboxes too."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from connector import consent
from connector.store import Store

Held = set[tuple[str, str, str, bool]]
"""(contact id, "email" or "phone", which, whether it is the one that the platform writes to)."""
OptOuts = set[tuple[str, str, str]]
"""(contact id, channel, topic)."""


def held(store: Store, source: str, stream: str, records: Sequence[str]) -> Held:
    """What the contacts of these records have as things stand, also beside the first (HubSpot's additional addresses)."""
    place = "WHERE source = $s AND stream = $t AND record_id IN (SELECT unnest(CAST($r AS VARCHAR[])))"
    found = store.sql(
        f"""SELECT contact_id, 'email', email, true FROM contacts {place} AND email IS NOT NULL
            UNION ALL SELECT contact_id, 'phone', phone, true FROM contacts {place} AND phone IS NOT NULL
            UNION ALL SELECT contact_id, kind, CASE kind WHEN 'email' THEN lower(trim(value)) ELSE value END, false
            FROM identifiers {place} AND kind IN ('email', 'phone') AND value IS NOT NULL""",
        {"s": source, "t": stream, "r": list(records)},
    )
    return {(str(c), str(kind), str(which), bool(is_main)) for c, kind, which, is_main in found}


def note(store: Store, source: str, before: Held, now: Held) -> frozenset[str]:
    """Write down what they had until now; gives the contacts with another address. Of one that was erased nothing is kept: it
    stays with its person."""
    has, moved = {one[:3] for one in now}, before - now
    left = {(contact, kind, which) for contact, kind, which, is_main in moved if is_main or (contact, kind, which) not in has}
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
    return frozenset(c for c, kind, which, is_main in moved if kind == "email" and is_main and (c, kind, which) in left)


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


def take_nothing_back(store: Store, source: str, run_id: str, moved: Collection[str], records: Sequence[str]) -> None:
    """A no is not taken back by a record that says nothing of its new address (HubSpot's opt-outs are the address's): in the
    history the answer of before stays the last one. Nor by one that falls silent on a later night: only by one that says yes."""
    refused = store.sql(
        "SELECT DISTINCT contact_id FROM former_addresses WHERE source = ? AND email IS NOT NULL AND was_refused IS NOT false "
        "AND contact_id IN (SELECT unnest(CAST(? AS VARCHAR[])))",
        [source, list(records)],
    )
    for contacts, which in ((moved, ""), ({c for (c,) in refused}, " AND platform_status = 'not specified'")):
        if contacts:
            store.sql(
                "DELETE FROM consent_history WHERE source = ? AND run_id = ? AND topic = '' AND status = 'not_specified' "
                f"AND list_contains(?, contact_id){which}",
                [source, run_id, sorted(contacts)],
            )


def opted_out(store: Store, source: str, stream: str, records: Sequence[str]) -> OptOuts:
    """What these records of contacts say no to, of the topics they may be asked about."""
    found = store.sql(
        "SELECT contact_id, channel, topic FROM consents WHERE source = ? AND stream = ? AND topic <> '' "
        "AND status = 'unsubscribed' AND record_id IN (SELECT unnest(CAST(? AS VARCHAR[])))",
        [source, stream, list(records)],
    )
    return {(contact, channel, topic) for contact, channel, topic in found}


def keep_opt_outs(
    store: Store, source: str, run_id: str, now: datetime, before: OptOuts, after: OptOuts, moved: Collection[str]
) -> None:
    """An opt-out of one topic stays with its contact when that gets another address; the platform shows those of the new one
    alone. One that was said of the address the contact still has is over once it is no longer said."""
    left = {one for one in before if one[0] in moved}
    over = before - after - left
    if over:
        kept = store.sql(
            f"SELECT contact_id, channel, topic FROM ({consent.KEPT_OPT_OUTS}) WHERE source = ? AND list_contains(?, contact_id)",
            [source, sorted({contact for contact, _, _ in over})],
        )
        over -= {(contact, channel, topic) for contact, channel, topic in kept}
    fixed = {"source": source, "run_id": run_id, "seen_at": now.isoformat(" ", "microseconds")}
    for rows, status, said in ((left, "unsubscribed", consent.OF_BEFORE), (over, "not_specified", "no longer said")):
        if rows:
            same = fixed | {"status": status, "platform_status": said}
            store.append("consent_history", ("contact_id", "channel", "topic"), sorted(rows), same)
