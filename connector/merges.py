"""Contacts that live on under another id: merged by the platform, or re-addressed (Mailchimp's id is a hash of the address)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connector.store import Store

STABLE = {"mailchimp": "mailchimp_contact"}
"""platform -> kind of identifier that stays when the platform's own id of a contact changes."""


NAMELESS = ("shopify",)
"""Platforms that do not say into whom a contact was merged. Its orders do: they belong to the survivor from then on."""


def whose_orders(store: Store, source: str, stream: str, record_ids: Sequence[str]) -> dict[str, str]:
    """Of these orders those that belong to a contact -> which."""
    return dict(
        store.sql(
            "SELECT record_id, contact_id FROM orders WHERE source = ? AND stream = ? AND contact_id IS NOT NULL "
            "AND record_id IN (SELECT unnest(CAST(? AS VARCHAR[])))",
            [source, stream, list(record_ids)],
        )
    )


def note_moved(store: Store, source: str, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Orders that belong to another contact than before: whoever is gone and left all of them to one was merged into that one."""
    moves = {(source, was, now[order]) for order, was in before.items() if now.get(order, was) != was}
    known = set(store.sql("SELECT source, contact_id, now_id FROM order_moves")) if moves else set()
    store.insert("order_moves", [dict(zip(("source", "contact_id", "now_id"), m, strict=True)) for m in sorted(moves - known)])


def left_alone(store: Store) -> dict[str, list[str]]:
    """Platform -> contacts that nobody has told us are gone, and whose orders are all another's by now: they may have been merged."""
    found: dict[str, list[str]] = {}
    for source, contact in store.sql(
        """SELECT DISTINCT m.source, m.contact_id FROM order_moves AS m JOIN contacts AS c USING (source, contact_id)
           WHERE coalesce(c.state, 'live') = 'live'
             AND NOT EXISTS (SELECT 1 FROM orders AS o WHERE o.source = m.source AND o.contact_id = m.contact_id) ORDER BY ALL"""
    ):
        found.setdefault(source, []).append(contact)
    return found


UNHEARD = (
    "{:,} merged on Shopify since we last read them: what they said of mail after that, at an address that is no customer's now, "
    "Shopify tells nobody. If you know that one of them had just unsubscribed, unsubscribe the customer that is left."
)
"""What an owner is told, once, of merges that may have hidden a no."""


def settle(store: Store) -> int:
    """Mark contacts whose platform gave them a new id as merged into the newest one; gives of how many nobody can tell whether
    they said no before they were merged.

    The old id's refusals stay in force; its tags are the platform's, and our ledger follows with `ledger.follow_merges`.
    """
    for platform, kind in STABLE.items():
        store.sql(
            """
                WITH named AS (
                  SELECT i.value, c.contact_id, c.updated_at,
                    CASE WHEN contains(c.contact_id, ':') THEN split_part(c.contact_id, ':', 1) END AS audience FROM identifiers i
                  JOIN contacts c ON c.source = i.source AND c.contact_id = i.contact_id
                  WHERE i.source = $p AND i.kind = $k),
                newest AS (
                  SELECT value, audience, arg_max(contact_id, (updated_at, contact_id)) AS survivor FROM named
                  GROUP BY value, audience HAVING count(DISTINCT contact_id) > 1)
                UPDATE contacts SET state = 'merged', merged_into = n.survivor
                FROM newest n JOIN named m ON m.value = n.value AND m.audience IS NOT DISTINCT FROM n.audience
                WHERE contacts.source = $p AND contacts.contact_id = m.contact_id AND m.contact_id <> n.survivor
                  AND contacts.merged_into IS DISTINCT FROM n.survivor
                """,
            {"p": platform, "k": kind},
        )
    merged = store.sql("""
            WITH into_one AS (
              SELECT source, contact_id, min(now_id) AS survivor FROM order_moves GROUP BY ALL HAVING count(DISTINCT now_id) = 1)
            UPDATE contacts SET state = 'merged', merged_into = m.survivor FROM into_one AS m
            WHERE contacts.source = m.source AND contacts.contact_id = m.contact_id AND contacts.state = 'gone'
              AND NOT EXISTS (SELECT 1 FROM orders AS o WHERE o.source = m.source AND o.contact_id = m.contact_id)
              AND EXISTS (SELECT 1 FROM contacts AS c WHERE c.source = m.source AND c.contact_id = m.survivor)
            RETURNING contacts.source || chr(31) || contacts.contact_id""")
    return _unheard(store, [name for (name,) in merged]) if merged else 0


def _unheard(store: Store, merged: Sequence[str]) -> int:
    """Of contacts that vanished into another: those who had not said no when we last read them, at an address of their own."""
    found = store.value(
        """SELECT count(*) FROM contacts AS c
           JOIN contacts AS n ON n.source = c.source AND n.contact_id = c.merged_into AND n.email IS DISTINCT FROM c.email
           WHERE list_contains(CAST(? AS VARCHAR[]), c.source || chr(31) || c.contact_id) AND c.email IS NOT NULL
             AND NOT EXISTS (
               SELECT 1 FROM consents AS a WHERE a.source = c.source AND a.contact_id = c.contact_id AND a.channel = 'email'
                 AND coalesce(a.topic, '') = '' AND a.status IN ('unsubscribed', 'erased'))""",
        [list(merged)],
    )
    return int(found)


def survivors(store: Store, platform: str, contacts: Sequence[str]) -> dict[str, str]:
    """Of these contacts those that the platform merged away -> the contact each lives on in."""
    return dict(
        store.sql(
            """SELECT value, contact_id FROM identifiers
               WHERE source = $p AND kind = $p AND value <> contact_id AND list_contains(CAST($c AS VARCHAR[]), value)
               UNION
               SELECT contact_id, merged_into FROM contacts
               WHERE source = $p AND merged_into <> contact_id AND list_contains(CAST($c AS VARCHAR[]), contact_id)""",
            {"p": platform, "c": list(contacts)},
        )
    )
