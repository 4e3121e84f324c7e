"""The journal: what was about to be sent, what became of it, and whom a platform would not change.

Intents are committed before a platform hears of them, outcomes after, so that a run that died in between can be told from
one that never began. Outcomes change the ledger and the audit trail in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from connector import audit, merges, parts
from connector.ledger import LAG_HOURS
from connector.store import Store
from models.changes import Batch, Kind, Member, Outcome, Target


@dataclass(frozen=True)
class OpenIntent:
    """A batch whose outcome was never written down."""

    batch: Batch
    is_creation: bool
    intended_at: datetime
    told: tuple[Outcome, ...] = ()
    """What of it was written down all the same: the rest is unknown."""


def intend(store: Store, batch: Batch, now: datetime, run_id: str) -> None:
    """Write down what is about to be sent. A batch without members is the creation of its object."""
    intend_all(store, [batch], now, run_id)


def intend_all(store: Store, batches: Sequence[Batch], now: datetime, run_id: str) -> None:
    """The same for several batches at once: all are written down, or none is."""
    with store.transaction():
        parts.give(store, batches)
        store.insert("journal", [_row(batch, now, run_id) for batch in batches])


def _row(batch: Batch, now: datetime, run_id: str) -> dict[str, Any]:
    return {
        "batch_id": batch.batch_id,
        "run_id": run_id,
        "platform": batch.target.platform,
        "segment": batch.target.segment,
        "object_id": batch.object_id,
        "object_name": batch.object_name,
        "starts": batch.target.starts,
        "intent": orjson.dumps({"add": _texts(batch.adds), "remove": _texts(batch.removes)}).decode(),
        "state": "intended",
        "outcome": None,
        "intended_at": str(now),
        "ended_at": None,
    }


def _texts(members: Iterable[Member]) -> list[tuple[str, str, str]]:
    return [(m.contact_id, m.email, m.person_id) for m in members]


@dataclass(frozen=True)
class Ended:
    """What became of a batch. told: outcomes that were written down before, when the rest was still unknown."""

    batch: Batch
    outcomes: Sequence[Outcome]
    state: str = "done"
    told: Sequence[Outcome] = ()


def conclude(
    store: Store, batch: Batch, outcomes: Sequence[Outcome], now: datetime, run_id: str, *, state: str = "done"
) -> None:
    """Write down what became of a batch; ledger, parked records and journal in one transaction."""
    conclude_all(store, [Ended(batch, outcomes, state)], now, run_id)


def conclude_all(store: Store, ended: Sequence[Ended], now: datetime, run_id: str) -> None:
    """The same for several batches of one platform, all in one transaction."""
    if not ended:
        return
    with store.transaction():
        settled = [_with_late_effects(store, e, now) for e in ended]
        _park(store, settled, run_id)
        _keep(store, settled, now, run_id)
        _close(store, settled, now)
        audit.written_all(store, [(e.batch, e.outcomes) for e in settled], now, run_id)


def _with_late_effects(store: Store, ended: Ended, now: datetime) -> Ended:
    """Who is found in it already, and was about to be added by a batch that never told its outcome, was added by that
    batch: what a platform shows may come later than what it does."""
    found = {o.contact_id for o in ended.outcomes if (o.kind, o.result) == ("add", "already")}
    if not found:
        return ended
    batch = ended.batch
    rows = store.sql(
        "SELECT intent, outcome FROM journal WHERE platform = ? AND object_id = ? AND state = 'recovered' AND intended_at > ?",
        [batch.target.platform, batch.object_id, now - timedelta(hours=LAG_HOURS)],
    )
    late = set[str]()
    for intent, outcome in rows:
        settled = {o[0] for o in orjson.loads(outcome or "[]")}
        late |= found & {m[0] for m in orjson.loads(intent)["add"]} - settled
    outcomes = [
        replace(o, result="done") if o.contact_id in late and (o.kind, o.result) == ("add", "already") else o
        for o in ended.outcomes
    ]
    return replace(ended, outcomes=outcomes)


def never_seen(store: Store, platform: str, object_id: str, since: datetime) -> dict[str, datetime]:
    """Contacts whom an unfinished batch was about to add, who were not there when it was settled, and of whom no later batch
    tells -> when the batch was sent; by the id they live on under."""
    rows = store.sql(
        """SELECT intent, outcome, state, intended_at FROM journal WHERE platform = $p AND object_id = $o AND intended_at >= (
             SELECT min(intended_at) FROM journal
             WHERE platform = $p AND object_id = $o AND state = 'recovered' AND intended_at > $since)
           ORDER BY intended_at, batch_id""",
        {"p": platform, "o": object_id, "since": since},
    )
    found: dict[str, datetime] = {}
    for intent, outcome, state, intended_at in rows:
        told = {o[0] for o in orjson.loads(outcome or "[]") if o[2] not in ("unknown", "missing")}
        found = {c: at for c, at in found.items() if c not in told}
        if state == "recovered":
            found |= {m[0]: intended_at for m in orjson.loads(intent)["add"] if m[0] not in told}
    now = merges.survivors(store, platform, sorted(found)) if found else {}
    return {now.get(c, c): at for c, at in found.items()}


FAILED = (("add", "missing"), ("add", "refused"), ("remove", "refused"))


def _park(store: Store, ended: Sequence[Ended], run_id: str) -> None:
    """Whoever is settled is parked no longer; whom the platform refused is, since the first run that met it."""
    platform = ended[0].batch.target.platform
    known: dict[tuple[str, str, str], str] = {}
    for segment in {e.batch.target.segment for e in ended} if store.sql("SELECT 1 FROM parked LIMIT 1") else ():
        contacts = sorted({o.contact_id for e in ended if e.batch.target.segment == segment for o in e.outcomes})
        gone = store.sql(
            "DELETE FROM parked WHERE platform = ? AND segment = ? AND contact_id IN (SELECT unnest(CAST(? AS VARCHAR[]))) "
            "RETURNING contact_id, kind, first_run",
            [platform, segment, contacts],
        )
        known |= {(segment, contact, kind): first for contact, kind, first in gone}
    store.insert(
        "parked",
        [
            {
                "platform": platform,
                "segment": e.batch.target.segment,
                "object_id": e.batch.object_id,
                "contact_id": o.contact_id,
                "kind": o.kind,
                "reason": o.reason or "the contact is no longer on the platform",
                "first_run": known.get((e.batch.target.segment, o.contact_id, o.kind), run_id),
                "last_run": run_id,
            }
            for e in ended
            for o in e.outcomes
            if (o.kind, o.result) in FAILED
        ],
    )


def _keep(store: Store, ended: Sequence[Ended], now: datetime, run_id: str) -> None:
    """Whom we added is ours from now on, whom we took off no longer."""
    platform = ended[0].batch.target.platform
    added = [(e.batch, o.contact_id) for e in ended for o in e.outcomes if (o.kind, o.result) == ("add", "done")]
    gone = [(e.batch, o) for e in ended for o in e.outcomes if o.kind == "remove" and _is_off(e.batch, o)]
    if not added and not gone:
        return
    parts.take(store, platform, [(b.target.segment, o.contact_id) for b, o in gone if _has_lost_both(b, o)])
    over = [*added, *((b, o.contact_id) for b, o in gone)]
    store.sql(
        """DELETE FROM ledger USING (
             SELECT unnest(CAST(? AS VARCHAR[])) AS place, unnest(CAST(? AS VARCHAR[])) AS contact) g
           WHERE ledger.platform = ? AND ledger.object_id = g.place AND ledger.contact_id = g.contact""",
        [[b.object_id for b, _ in over], [c for _, c in over], platform],
    )
    persons = {(e.batch.batch_id, m.contact_id): m.person_id for e in ended for m in e.batch.adds}
    store.append(
        "ledger",
        ("object_id", "segment", "contact_id", "person_id"),
        [(b.object_id, b.target.segment, c, persons.get((b.batch_id, c), "")) for b, c in added],
        {"platform": platform, "added_at": str(now), "run_id": run_id, "is_seen": False},
    )


OFF = ("done", "already", "missing")


def _is_off(batch: Batch, outcome: Outcome) -> bool:
    """Who is not there may live on under another id, tag and all, where an id is made of the address."""
    may_live_on = outcome.result == "missing" and batch.target.platform in merges.STABLE
    return (outcome.result in OFF and not may_live_on) or outcome.is_half


def _has_lost_both(batch: Batch, outcome: Outcome) -> bool:
    return outcome.result == "missing" or (batch.target.part in parts.WRITTEN and not outcome.is_half)


def _close(store: Store, ended: Sequence[Ended], now: datetime) -> None:
    outcomes = [orjson.dumps([_text(o) for o in (*e.told, *e.outcomes)]).decode() for e in ended]
    store.sql(
        """UPDATE journal SET state = e.state, outcome = e.outcome, ended_at = ? FROM (
             SELECT unnest(CAST(? AS VARCHAR[])) AS batch_id, unnest(CAST(? AS VARCHAR[])) AS state,
               unnest(CAST(? AS VARCHAR[])) AS outcome) e
           WHERE journal.batch_id = e.batch_id""",
        [now, [e.batch.batch_id for e in ended], [e.state for e in ended], outcomes],
    )


def _text(o: Outcome) -> list[str]:
    return [o.contact_id, o.kind, o.result, o.reason, *(["half"] if o.is_half else [])]


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
        target = parts.known(store, target)
        batch = Batch(target, row["object_id"], row["object_name"], adds, removes, row["batch_id"])
        outcomes = orjson.loads(row["outcome"] or "[]")
        told = tuple(Outcome(o[0], o[1], o[2], o[3], is_half=len(o) > 4) for o in outcomes if o[2] != "unknown")
        intents.append(OpenIntent(batch, not adds and not removes, row["intended_at"], told))
    return intents


def follow_merges(store: Store, platform: str) -> None:
    """Contacts that the platform merged away since a batch was sent stand in open batches under their survivor from now on."""
    for intent in open_intents(store, platform):
        members = (*intent.batch.adds, *intent.batch.removes)
        now = merges.survivors(store, platform, [m.contact_id for m in members])
        if now:
            adds, removes = (
                {m.contact_id: m for m in (m._replace(contact_id=now.get(m.contact_id, m.contact_id)) for m in of_kind)}
                for of_kind in (intent.batch.adds, intent.batch.removes)
            )
            text = orjson.dumps({"add": _texts(adds.values()), "remove": _texts(removes.values())}).decode()
            store.sql("UPDATE journal SET intent = ? WHERE batch_id = ?", [text, intent.batch.batch_id])


def stuck(store: Store, platform: str, segment: str, kind: Kind) -> dict[str, str]:
    """Contacts the platform refused to add (or to remove), with its reason, until their record changes there."""
    return dict(
        store.sql(
            """
            SELECT p.contact_id, any_value(p.reason) FROM parked p
            LEFT JOIN contacts c ON c.source = p.platform AND c.contact_id = p.contact_id
            LEFT JOIN source_records r ON r.source = c.source AND r.stream = c.stream AND r.record_id = c.record_id
            WHERE p.platform = ? AND p.segment = ? AND p.kind = ? AND coalesce(r.changed_run, '') <= p.last_run
            GROUP BY p.contact_id
            """,
            [platform, segment, kind],
        )
    )


def unpark(store: Store, platform: str, segment: str, wanted: Collection[str]) -> None:
    """Whoever is no longer to be in it needs no second try to be put in, and whoever is needs none to be taken out."""
    rows = store.sql("SELECT contact_id, kind FROM parked WHERE platform = ? AND segment = ?", [platform, segment])
    over = [contact for contact, kind in rows if (contact in wanted) != (kind == "add")]
    if over:
        store.sql(
            "DELETE FROM parked WHERE platform = ? AND segment = ? AND list_contains(?, contact_id)", [platform, segment, over]
        )


def parked(store: Store, run_id: str = "") -> list[dict[str, Any]]:
    """What platforms refused and why, in groups, with up to ten contact ids each; one run's, or all that still holds.

    `since`: the run that met the first of them.
    """
    found = store.rows(
        """SELECT platform, segment, kind, reason, count(*) AS people, min(first_run) AS since,
             list_sort(list(contact_id))[:10] AS contacts FROM parked
           WHERE ? = '' OR last_run = ? GROUP BY platform, segment, kind, reason ORDER BY ALL""",
        [run_id, run_id],
    )
    return [{**row, "what_to_do": _way_out(row["kind"])} for row in found]


def _way_out(kind: str) -> str:
    word = "added" if kind == "add" else "taken off"
    return f"Put right what the reason says, on the platform. Whose record has changed is {word} by the next run."


def in_journeys(store: Store, platform: str, segment: str, since: datetime) -> dict[str, int]:
    """Contact -> how often it entered segments with starts = "journey" other than `segment` since then, by the journal; also
    under ids that it had before a merge, or a change of its address."""
    entered = dict(
        store.sql(
            """
            SELECT o[1], count(*) FROM (
              SELECT unnest(from_json(outcome, '[["VARCHAR"]]')) AS o, segment FROM journal
              WHERE platform = ? AND segment <> ? AND starts = 'journey' AND ended_at > ? AND outcome IS NOT NULL)
            WHERE o[2] = 'add' AND o[3] = 'done' GROUP BY o[1]
            """,
            [platform, segment, since],
        )
    )
    now = merges.survivors(store, platform, sorted(entered)) if entered else {}
    found: dict[str, int] = {}
    for contact, times in entered.items():
        lives_on = now.get(contact) or contact
        found[lives_on] = found.get(lives_on, 0) + times
    return found


def started_since(store: Store, platform: str, since: datetime, now: datetime) -> int:
    """How many contacts entered segments with starts = "journey" on the platform since then; none of days yet to come, on which
    a clock that was wrong dated them."""
    return int(
        store.value(
            """
            SELECT count(*) FROM (
              SELECT unnest(from_json(outcome, '[["VARCHAR"]]')) AS o FROM journal
              WHERE platform = ? AND starts = 'journey' AND ended_at > ? AND ended_at <= ? AND outcome IS NOT NULL)
            WHERE o[2] = 'add' AND o[3] = 'done'
            """,
            [platform, since, now],
        )
    )
