"""The fields of a plan are written: what stood there is noted first, then the intent, then the outcome.

Repeating is harmless, because values are absolute and what stands there already is not written again. A run that died in
between is settled by the next one, by reading back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from adapters.base import Adapter
from connector import audit, field_values
from connector.store import Store
from models.changes import FieldChange, FieldPlan, Outcome

Tell = Callable[[int], None]
Values = Mapping[str, Mapping[str, str]]
Rows = Mapping[str, Mapping[str, FieldChange]]
GONE = "the contact is no longer on the platform, or may no longer be written there"
UNSAID = "the platform did not say what became of it"
OPEN = "('intended', 'unknown')"


@dataclass
class Account:
    """What became of one field's changes: planned = the sum of `counts`. reasons: why some were not taken."""

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


def carry_out(
    store: Store,
    adapter: Adapter,
    plans: Sequence[FieldPlan],
    *,
    run_id: str,
    now: Callable[[], datetime],
    accounts: dict[str, Account],
    told: Tell = lambda _: None,
) -> None:
    """Write the plans of one platform, all fields of a contact at once; what becomes of them is told in `accounts`.

    Raises ApiError and AuthError when the platform ends; what was written until then is kept.
    """
    going = [p for p in plans if p.writable]
    for p in going:
        adapter.ensure_field(p.name, p.column, p.kind)
    rows = _by_contact(going)
    contacts = sorted(rows)
    size = min(adapter.field_batch, int(adapter.settings.get("batch_size") or adapter.field_batch))
    for at in range(0, len(contacts), size):
        batch = contacts[at : at + size]
        _write_batch(store, adapter, {c: rows[c] for c in batch}, accounts, run_id, now)
        told(len(batch))


def _by_contact(plans: Iterable[FieldPlan]) -> dict[str, dict[str, FieldChange]]:
    rows: dict[str, dict[str, FieldChange]] = {}
    for p in plans:
        for change in p.writable:
            rows.setdefault(change.contact_id, {})[p.name] = change
    return rows


def _write_batch(
    store: Store, adapter: Adapter, rows: Rows, accounts: dict[str, Account], run_id: str, now: Callable[[], datetime]
) -> None:
    before = adapter.read_fields(_names(rows), list(rows))
    todo = {
        contact: {n: c.value for n, c in fields.items() if before[contact].get(n, "") != c.value}
        for contact, fields in rows.items()
        if contact in before
    }
    _intend(store, adapter.name, rows, before, todo, run_id, now())
    found = _sent(adapter, [(contact, values) for contact, values in todo.items() if values])
    outcomes: dict[tuple[str, str], Outcome] = {}
    for contact, fields in rows.items():
        for name in fields:
            outcome = _outcome(contact, name, before, todo, found)
            outcomes[contact, name] = outcome
            account = accounts.setdefault(name, Account())
            account.counts[outcome.result] += 1
            if outcome.reason:
                account.reasons[outcome.reason] += 1
    people = {contact: next(iter(fields.values())).person_id for contact, fields in rows.items()}
    values = {(contact, name): rows[contact][name].value for contact, name in outcomes}
    _conclude(store, adapter.name, people, values, outcomes, run_id, now())


def _names(rows: Mapping[str, Iterable[str]]) -> list[str]:
    return sorted({name for fields in rows.values() for name in fields})


def _sent(adapter: Adapter, writing: Sequence[tuple[str, Mapping[str, str]]]) -> dict[tuple[str, str], Outcome]:
    """The outcome of every value. A platform answers for a contact as a whole: where it did not take all of it, what stands
    there now says which."""
    if not writing:
        return {}
    told = {o.contact_id: o for o in adapter.write_fields(writing)}
    doubtful = [c for c, _ in writing if c not in told or told[c].result in ("refused", "unknown")]
    names = sorted({n for c, values in writing if c in set(doubtful) for n in values})
    now = adapter.read_fields(names, doubtful) if doubtful else {}
    found = {}
    for contact, values in writing:
        answer = told.get(contact) or Outcome(contact, "add", "unknown", UNSAID)
        for name, value in values.items():
            stands = contact in now and now[contact].get(name, "") == value
            found[contact, name] = Outcome(contact, "add", "done") if stands else answer
    return found


def _outcome(contact: str, name: str, before: Values, todo: Values, found: Mapping[tuple[str, str], Outcome]) -> Outcome:
    if contact not in before:
        return Outcome(contact, "add", "missing", GONE)
    if name not in todo[contact]:
        return Outcome(contact, "add", "already")
    return found[contact, name]


def _intend(store: Store, platform: str, rows: Rows, before: Values, todo: Values, run_id: str, now: datetime) -> None:
    """What stood there and what is about to: committed before the platform hears of it."""
    missing = {c: {n: change.value for n, change in rows[c].items()} for c in rows if c not in before}
    store.insert(
        "field_writes",
        [
            {
                "run_id": run_id, "platform": platform, "field": name, "contact_id": contact,
                "person_id": rows[contact][name].person_id, "value_before": before.get(contact, {}).get(name, ""),
                "value_after": value, "state": "intended", "reason": "", "written_at": str(now),
            }
            for contact, values in (*todo.items(), *missing.items())
            for name, value in values.items()
        ],
    )  # fmt: skip


def _conclude(
    store: Store,
    platform: str,
    people: Mapping[str, str],
    values: Mapping[tuple[str, str], str],
    outcomes: Mapping[tuple[str, str], Outcome],
    run_id: str,
    now: datetime,
    *,
    unsent: str = "unknown",
) -> None:
    """unsent: the state of a value of which nobody knows whether it was written."""
    if not outcomes:
        return
    states = {key: unsent if o.result == "unknown" else o.result for key, o in outcomes.items()}
    settled = [key for key, state in states.items() if state in ("done", "already")]
    with store.transaction():
        store.sql(
            """UPDATE field_writes AS w SET state = u.state, reason = u.reason
               FROM (SELECT unnest($c) AS contact_id, unnest($f) AS field, unnest($s) AS state, unnest($r) AS reason) u
               WHERE w.run_id = $run AND w.platform = $p AND w.contact_id = u.contact_id AND w.field = u.field""",
            {
                "c": [c for c, _ in states], "f": [f for _, f in states], "s": list(states.values()),
                "r": [o.reason for o in outcomes.values()], "run": run_id, "p": platform,
            },
        )  # fmt: skip
        for name in sorted({n for _, n in settled}):
            store.sql(
                "DELETE FROM field_values WHERE platform = ? AND field = ? AND list_contains(?, contact_id)",
                [platform, name, [c for c, n in settled if n == name]],
            )
        store.insert(
            "field_values",
            [
                {
                    "platform": platform, "field": name, "contact_id": contact, "person_id": people[contact],
                    "value": values[contact, name], "written_at": str(now), "run_id": run_id,
                }
                for contact, name in settled
            ],
        )  # fmt: skip
        done = [audit.Entry("field", platform, n, (platform, c)) for (c, n), state in states.items() if state == "done"]
        audit.record(store, done, now, run_id)


def recover(store: Store, adapter: Adapter, *, now: Callable[[], datetime]) -> int:
    """Settle what earlier runs intended and never concluded, by what stands there now; gives how many values."""
    rows = store.rows(
        f"""SELECT run_id, field, contact_id, person_id, value_after FROM field_writes
            WHERE platform = ? AND state IN {OPEN} ORDER BY run_id, contact_id, field""",
        [adapter.name],
    )
    live = field_values.read(adapter, sorted({r["field"] for r in rows}), sorted({r["contact_id"] for r in rows}))
    for run_id in dict.fromkeys(r["run_id"] for r in rows):
        of_run = [r for r in rows if r["run_id"] == run_id]
        values = {(r["contact_id"], r["field"]): r["value_after"] for r in of_run}
        stands = {(c, f): live.get(c, {}).get(f) == value for (c, f), value in values.items()}
        outcomes = {key: Outcome(key[0], "add", "done" if there else "unknown") for key, there in stands.items()}
        people = {r["contact_id"]: r["person_id"] for r in of_run}
        _conclude(store, adapter.name, people, values, outcomes, run_id, now(), unsent="unsent")
    return len(rows)
