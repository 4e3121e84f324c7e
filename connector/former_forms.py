"""Forms that a contact's record no longer names: a CRM tells the latest one alone, so each earlier one becomes a record of its
own, which a later change of the contact does not take away."""

from __future__ import annotations

from collections.abc import Sequence

from connector.store import Store

COLUMNS = ("record_id", "contact_id", "occurred_at", "text")
Held = list[tuple[str, ...]]
"""(record id, contact id, time, name of the form), as text."""


def held(store: Store, source: str, stream: str, records: Sequence[str]) -> Held:
    """The forms that these records of contacts bring, as things stand; the record id is the one each would have alone."""
    return [
        tuple(row)
        for row in store.sql(
            """SELECT concat_ws(':', contact_id, occurred_at, text), contact_id,
                 strftime(occurred_at, '%Y-%m-%d %H:%M:%S.%f'), text FROM events
               WHERE source = ? AND stream = ? AND kind = 'form' AND contact_id IS NOT NULL AND occurred_at IS NOT NULL
                 AND record_id IN (SELECT unnest(CAST(? AS VARCHAR[])))""",
            [source, stream, list(records)],
        )
    ]


def keep(store: Store, source: str, stream: str, before: Held, records: Sequence[str]) -> None:
    """Call when the records were written anew: forms they no longer name stay, each once. What they name stands with them."""
    now = {row[1:3] for row in held(store, source, stream, records)}
    whose = [source, stream, sorted({row[1] for row in before} | {contact for contact, _ in now})]
    alone = {
        (contact, at): record
        for contact, at, record in store.sql(
            """SELECT contact_id, strftime(occurred_at, '%Y-%m-%d %H:%M:%S.%f'), record_id FROM events
               WHERE source = ? AND stream = ? AND kind = 'form' AND contact_id IN (SELECT unnest(CAST(? AS VARCHAR[])))""",
            whose,
        )
        if record not in set(records)
    }
    store.remove(source, stream, [record for form, record in alone.items() if form in now], tables=("events",))
    left = [row for row in before if row[1:3] not in now and row[1:3] not in alone]
    store.append("events", COLUMNS, left, {"source": source, "stream": stream, "kind": "form"})
