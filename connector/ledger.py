"""What we wrote, and what we may take away: objects we made, contacts we added, intents and outcomes, go-aheads.

A lost ledger means: nothing is removed. Intents are committed before a platform hears of them, outcomes after, so that a
run that died in between can be told from one that never began.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from connector import audit
from connector.forgotten import MARK
from connector.store import Store
from models.changes import Batch, Member, Outcome, Target

LAG_HOURS = 2


@dataclass(frozen=True)
class OpenIntent:
    """A batch whose outcome was never written down."""

    batch: Batch
    is_creation: bool


def object_of(store: Store, platform: str, segment: str) -> tuple[str, str]:
    """(object id, name) of the object we keep for a segment; ('', '') when we have none."""
    found = store.sql(
        "SELECT object_id, name FROM ledger_objects WHERE platform = ? AND segment = ? ORDER BY since DESC LIMIT 1",
        [platform, segment],
    )
    return (found[0][0], found[0][1]) if found else ("", "")


def remember_object(store: Store, target: Target, object_id: str, how: str, now: datetime, run_id: str) -> None:
    """From now on `object_id` is the segment's object; what we knew of an earlier one is forgotten with it."""
    with store.transaction():
        store.sql("DELETE FROM ledger_objects WHERE platform = ? AND segment = ?", [target.platform, target.segment])
        store.sql(
            "DELETE FROM ledger WHERE platform = ? AND segment = ? AND object_id <> ?",
            [target.platform, target.segment, object_id],
        )
        store.insert(
            "ledger_objects",
            [
                {
                    "platform": target.platform,
                    "object_id": object_id,
                    "name": target.name,
                    "segment": target.segment,
                    "how": how,
                    "since": str(now),
                    "run_id": run_id,
                }
            ],
        )
        audit.note(store, how, now, run_id, platform=target.platform, object_id=object_id, detail=target.segment)


def rename_segment(store: Store, platform: str, before: str, after: str) -> None:
    """A segment was renamed in the configuration: object, memberships and go-aheads go with it. Safe to repeat."""
    with store.transaction():
        for table in ("ledger_objects", "ledger", "go_aheads", "parked", "nights"):
            store.sql(f"UPDATE {table} SET segment = ? WHERE platform = ? AND segment = ?", [after, platform, before])


def follow_merges(store: Store, platform: str) -> int:
    """Contacts the platform merged away stand under their survivor from now on; gives how many rows moved."""
    moved = store.sql(
        """
        WITH moves AS (
          SELECT value AS gone, contact_id AS survivor FROM identifiers
          WHERE source = $p AND kind = $p AND value <> contact_id
          UNION
          SELECT contact_id, merged_into FROM contacts
          WHERE source = $p AND merged_into IS NOT NULL AND merged_into <> contact_id)
        UPDATE ledger SET contact_id = m.survivor FROM moves m
        WHERE ledger.platform = $p AND m.gone = ledger.contact_id RETURNING 1
        """,
        {"p": platform},
    )
    if moved:
        store.sql(
            """DELETE FROM ledger WHERE platform = $p AND rowid NOT IN (
                 SELECT min(rowid) FROM ledger WHERE platform = $p GROUP BY object_id, contact_id)""",
            {"p": platform},
        )
    return len(moved)


def ours(store: Store, platform: str, object_id: str) -> frozenset[str]:
    """Contact ids we added to the object and have not removed; none of forgotten contacts (see connector/forgotten.py)."""
    return frozenset(
        r[0]
        for r in store.sql(
            "SELECT contact_id FROM ledger WHERE platform = ? AND object_id = ? AND NOT starts_with(contact_id, ?)",
            [platform, object_id, MARK],
        )
    )


def lagging(store: Store, platform: str, object_id: str, now: datetime) -> frozenset[str]:
    """Contacts whose adding was confirmed within the last hours and that the platform has not shown us since."""
    return frozenset(
        r[0]
        for r in store.sql(
            "SELECT contact_id FROM ledger WHERE platform = ? AND object_id = ? AND NOT is_seen AND added_at > ?",
            [platform, object_id, now - timedelta(hours=LAG_HOURS)],
        )
    )


def mark_seen(store: Store, platform: str, object_id: str, members: Iterable[str]) -> None:
    """The platform shows these members: from now on their absence means that somebody took them out."""
    unseen = {
        r[0]
        for r in store.sql(
            "SELECT contact_id FROM ledger WHERE platform = ? AND object_id = ? AND NOT is_seen", [platform, object_id]
        )
    }
    shown = sorted(unseen & set(members))
    if shown:
        store.sql(
            "UPDATE ledger SET is_seen = true WHERE platform = ? AND object_id = ? AND list_contains(?, contact_id)",
            [platform, object_id, shown],
        )


def intend(store: Store, batch: Batch, now: datetime, run_id: str) -> None:
    """Write down what is about to be sent. A batch without members is the creation of its object."""
    intent = {"add": [[m.contact_id, m.email, m.person_id] for m in batch.adds]}
    intent["remove"] = [[m.contact_id, m.email, m.person_id] for m in batch.removes]
    store.insert(
        "journal",
        [
            {
                "batch_id": batch.batch_id,
                "run_id": run_id,
                "platform": batch.target.platform,
                "segment": batch.target.segment,
                "object_id": batch.object_id,
                "object_name": batch.object_name,
                "starts": batch.target.starts,
                "intent": orjson.dumps(intent).decode(),
                "state": "intended",
                "outcome": None,
                "intended_at": str(now),
                "ended_at": None,
            }
        ],
    )


def conclude(
    store: Store, batch: Batch, outcomes: Sequence[Outcome], now: datetime, run_id: str, *, state: str = "done"
) -> None:
    """Write down what became of a batch; ledger, parked records and journal in one transaction."""
    persons = {m.contact_id: m.person_id for m in (*batch.adds, *batch.removes)}
    t = batch.target
    added = [o.contact_id for o in outcomes if o.kind == "add" and o.result == "done"]
    removed = [o.contact_id for o in outcomes if o.kind == "remove" and o.result in ("done", "already", "missing")]
    failed = [o for o in outcomes if o.result in ("missing", "refused") and (o.kind, o.result) != ("remove", "missing")]
    settled = sorted({o.contact_id for o in outcomes})
    with store.transaction():
        if settled:
            store.sql(
                "DELETE FROM parked WHERE platform = ? AND segment = ? AND list_contains(?, contact_id)",
                [t.platform, t.segment, settled],
            )
        if added or removed:
            store.sql(
                "DELETE FROM ledger WHERE platform = ? AND object_id = ? AND list_contains(?, contact_id)",
                [t.platform, batch.object_id, added + removed],
            )
        store.insert(
            "ledger",
            [
                {
                    "platform": t.platform,
                    "object_id": batch.object_id,
                    "segment": t.segment,
                    "contact_id": c,
                    "person_id": persons.get(c, ""),
                    "added_at": str(now),
                    "run_id": run_id,
                    "is_seen": False,
                }
                for c in added
            ],
        )
        store.insert(
            "parked",
            [
                {
                    "platform": t.platform,
                    "segment": t.segment,
                    "object_id": batch.object_id,
                    "contact_id": o.contact_id,
                    "kind": o.kind,
                    "reason": o.reason or "the contact is no longer on the platform",
                    "first_run": run_id,
                    "last_run": run_id,
                }
                for o in failed
            ],
        )
        outcome = orjson.dumps([[o.contact_id, o.kind, o.result, o.reason] for o in outcomes]).decode()
        store.sql(
            "UPDATE journal SET state = ?, outcome = ?, ended_at = ? WHERE batch_id = ?", [state, outcome, now, batch.batch_id]
        )
        audit.written(store, batch, outcomes, now, run_id)


def open_intents(store: Store, platform: str) -> list[OpenIntent]:
    """Batches that were sent, perhaps, by a run that died or never learned the outcome; oldest first."""
    found = store.rows(
        "SELECT * FROM journal WHERE platform = ? AND state IN ('intended', 'unknown') ORDER BY intended_at, batch_id",
        [platform],
    )
    intents = []
    for row in found:
        body = orjson.loads(row["intent"])
        adds = tuple(Member(*m) for m in body["add"])
        removes = tuple(Member(*m) for m in body["remove"])
        target = Target(platform, row["segment"], row["object_name"], row["object_id"], starts=row["starts"] or "nothing")
        batch = Batch(target, row["object_id"], row["object_name"], adds, removes, row["batch_id"])
        intents.append(OpenIntent(batch, is_creation=not adds and not removes))
    return intents


def stuck(store: Store, platform: str, segment: str) -> dict[str, str]:
    """Contacts the platform refused, with its reason, until their record changes there."""
    return dict(
        store.sql(
            """
            SELECT p.contact_id, any_value(p.reason) FROM parked p
            LEFT JOIN contacts c ON c.source = p.platform AND c.contact_id = p.contact_id
            LEFT JOIN source_records r ON r.source = c.source AND r.stream = c.stream AND r.record_id = c.record_id
            WHERE p.platform = ? AND p.segment = ? AND coalesce(r.changed_run, '') <= p.last_run
            GROUP BY p.contact_id
            """,
            [platform, segment],
        )
    )


def in_journeys(store: Store, platform: str, segment: str, since: datetime, limit: int) -> list[str]:
    """Contacts that entered `limit` or more other segments with starts = "journey" since then, by the journal."""
    return [
        r[0]
        for r in store.sql(
            """
            SELECT o[1] FROM (
              SELECT unnest(from_json(outcome, '[["VARCHAR"]]')) AS o, segment FROM journal
              WHERE platform = ? AND segment <> ? AND starts = 'journey' AND ended_at > ? AND outcome IS NOT NULL)
            WHERE o[2] = 'add' AND o[3] = 'done' GROUP BY o[1] HAVING count(*) >= ?
            """,
            [platform, segment, since, limit],
        )
    ]


def started_since(store: Store, platform: str, since: datetime) -> int:
    """How many contacts entered segments with starts = "journey" on the platform since then."""
    return int(
        store.value(
            """
            SELECT count(*) FROM (
              SELECT unnest(from_json(outcome, '[["VARCHAR"]]')) AS o FROM journal
              WHERE platform = ? AND starts = 'journey' AND ended_at > ? AND outcome IS NOT NULL)
            WHERE o[2] = 'add' AND o[3] = 'done'
            """,
            [platform, since],
        )
    )


def go_ahead(store: Store, platform: str, segment: str) -> str | None:
    """The rule digest the owner said yes to ('' for the destination itself), None when there was no go-ahead."""
    found = store.sql(
        "SELECT rule_digest FROM go_aheads WHERE platform = ? AND segment = ? ORDER BY given_at DESC LIMIT 1",
        [platform, segment],
    )
    return found[0][0] if found else None


def give_go_ahead(store: Store, platform: str, segment: str, digest: str, people: int, now: datetime, run_id: str) -> None:
    store.insert(
        "go_aheads",
        [
            {
                "platform": platform,
                "segment": segment,
                "rule_digest": digest,
                "people": people,
                "given_at": str(now),
                "run_id": run_id,
            }
        ],
    )
    audit.note(store, "go-ahead", now, run_id, platform=platform, object_id=segment, detail=f"{people} people; rule {digest}")


def begin_fill(store: Store, platform: str, segment: str, people: int) -> None:
    """The owner agreed that so many people enter; until `end_fill` this holds, also for a run that goes on after a crash."""
    with store.transaction():
        end_fill(store, platform, segment)
        store.insert("meta", [{"name": f"filling:{platform}:{segment}", "value": str(people)}])


def end_fill(store: Store, platform: str, segment: str) -> None:
    store.sql("DELETE FROM meta WHERE name = ?", [f"filling:{platform}:{segment}"])


def filling(store: Store, platform: str, segment: str) -> int:
    """How many people may still enter by a go-ahead whose fill has not ended; 0 when none is under way."""
    return int(store.value("SELECT value FROM meta WHERE name = ?", [f"filling:{platform}:{segment}"]) or 0)
