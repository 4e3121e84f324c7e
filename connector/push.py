"""Stage 8 of 10: carry out a plan, batch by batch, each written down before and after."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from adapters.base import Adapter
from connector import ledger
from connector.progress import Progress, Silent
from connector.store import Store
from models.changes import Batch, Change, Kind, Member, Outcome, OutcomeKind, TargetPlan, TargetResult
from models.errors import AmbiguousWriteError, ApiError, AuthError, PermanentApiError, QuotaExhausted

log = logging.getLogger(__name__)

READ_BACKS = 3


def carry_out(
    store: Store,
    adapter: Adapter,
    plans: Iterable[TargetPlan],
    *,
    run_id: str,
    now: Callable[[], datetime],
    progress: Progress | None = None,
) -> list[TargetResult]:
    """Write what the plans of one platform say, nothing else. A target that fails does not stop the others."""
    told = progress or Silent()
    results = []
    for plan in plans:
        if not plan.writable:
            continue
        result = TargetResult(plan.target.platform, plan.target.segment, plan.object_name, len(plan.writable))
        results.append(result)
        name = f"{adapter.noun} {plan.object_name}"
        told.start(name, len(plan.writable))
        try:
            _carry_out_target(store, adapter, plan, result, run_id, now, told, name)
        except (ApiError, AuthError) as e:
            result.error = e
            result.problem = str(e)
            log.warning("%s: stopped after %s of %s changes", adapter.title, sum(result.counts.values()), result.planned)
        result.not_sent = result.planned - sum(result.counts.values())
        told.finish(name)
        if isinstance(result.error, AuthError | QuotaExhausted):
            break
    return results


def _carry_out_target(
    store: Store,
    adapter: Adapter,
    plan: TargetPlan,
    result: TargetResult,
    run_id: str,
    now: Callable[[], datetime],
    told: Progress,
    name: str,
) -> None:
    object_id = plan.object_id
    if plan.creates_object:
        object_id = _create(store, adapter, plan, run_id, now)
    size = min(adapter.batch_size, int(adapter.settings.get("batch_size") or adapter.batch_size))
    quietly = plan.first_fill and not plan.creates_object and plan.target.starts == "nothing"
    for batch in _batches(plan, object_id, size):
        outcomes = _send(store, adapter, batch, run_id, now, quietly=quietly)
        result.count(outcomes)
        told.advance(name, len(outcomes))


def _create(store: Store, adapter: Adapter, plan: TargetPlan, run_id: str, now: Callable[[], datetime]) -> str:
    intent = Batch(plan.target, "", plan.object_name, batch_id=_batch_id())
    ledger.intend(store, intent, now(), run_id)
    object_id = adapter.ensure(plan.target)
    with store.transaction():
        ledger.remember_object(store, plan.target, object_id, "created", now(), run_id)
        ledger.conclude(store, intent, [], now(), run_id)
    return object_id


def _batches(plan: TargetPlan, object_id: str, size: int) -> Iterator[Batch]:
    adds = [_member(c) for c in plan.writable if c.kind == "add"]
    removes = [_member(c) for c in plan.writable if c.kind == "remove"]
    for start in range(0, max(len(adds), len(removes)), size):
        yield Batch(
            plan.target,
            object_id,
            plan.object_name,
            tuple(adds[start : start + size]),
            tuple(removes[start : start + size]),
            _batch_id(),
        )


def _member(change: Change) -> Member:
    return Member(change.contact_id, change.email, change.person_id)


def _batch_id() -> str:
    return secrets.token_hex(8)


def _send(
    store: Store, adapter: Adapter, batch: Batch, run_id: str, now: Callable[[], datetime], *, quietly: bool = False
) -> list[Outcome]:
    """Send one batch. When the answer is lost, read back first and repeat only what did not happen.

    quietly: a first fill of an object that was there before, for which somebody's automation may be waiting.
    """
    apply = adapter.apply_quietly if quietly else adapter.apply
    ledger.intend(store, batch, now(), run_id)
    left = batch
    settled: list[Outcome] = []
    was_unclear = False
    for _ in range(READ_BACKS):
        try:
            outcomes = apply(left)
            settled += [_ours_after_all(o) for o in outcomes] if was_unclear else outcomes
            ledger.conclude(store, batch, settled, now(), run_id)
            return settled
        except AmbiguousWriteError as e:
            log.info("%s: the outcome of a batch is unknown (%s); reading back", adapter.title, e.status or "no answer")
            was_unclear = True
            happened = _happened(left, dict(adapter.written(left)))
            settled += happened
            known = {o.contact_id for o in happened}
            left = Batch(
                batch.target,
                batch.object_id,
                batch.object_name,
                tuple(m for m in left.adds if m.contact_id not in known),
                tuple(m for m in left.removes if m.contact_id not in known),
                batch.batch_id,
            )
            if not left.adds and not left.removes:
                ledger.conclude(store, batch, settled, now(), run_id)
                return settled
        except PermanentApiError:
            ledger.conclude(store, batch, settled, now(), run_id, state="failed")
            raise
    settled += [Outcome(m.contact_id, "add", "unknown") for m in left.adds]
    settled += [Outcome(m.contact_id, "remove", "unknown") for m in left.removes]
    ledger.conclude(store, batch, settled, now(), run_id, state="unknown")
    return settled


def _ours_after_all(outcome: Outcome) -> Outcome:
    """Whoever is in it already after an unclear answer was put there by us: the effect came later than the read-back."""
    return Outcome(outcome.contact_id, outcome.kind, "done") if outcome.result == "already" else outcome


def _happened(batch: Batch, is_member: dict[str, bool]) -> list[Outcome]:
    done: OutcomeKind = "done"
    adds = [Outcome(m.contact_id, "add", done) for m in batch.adds if is_member.get(m.contact_id) is True]
    return adds + [Outcome(m.contact_id, "remove", done) for m in batch.removes if is_member.get(m.contact_id) is False]


def recover(store: Store, adapter: Adapter, *, run_id: str, now: Callable[[], datetime]) -> int:
    """Settle what an earlier run intended and never concluded, by what the platform shows; gives how many batches.

    What is a member now and was about to be added is ours; what is none now and was about to be removed no longer is.
    """
    intents = ledger.open_intents(store, adapter.name)
    for intent in intents:
        batch = intent.batch
        if intent.is_creation:
            seen = adapter.observe([batch.target], {})[0]
            with store.transaction():
                is_ours = seen.exists and not seen.members  # what we make is empty; with people in it, somebody else made it
                if is_ours and ledger.object_of(store, adapter.name, batch.target.segment)[0] != seen.object_id:
                    ledger.remember_object(store, batch.target, seen.object_id, "created", now(), run_id)
                ledger.conclude(store, batch, [], now(), run_id, state="recovered")
            continue
        outcomes = _happened(batch, dict(adapter.written(batch)))
        known = {(o.contact_id, o.kind) for o in outcomes}
        pending: list[tuple[Member, Kind]] = [(m, "add") for m in batch.adds]
        pending += [(m, "remove") for m in batch.removes]
        log.info("%s: %s of %s changes of an unfinished batch had happened", adapter.title, len(known), len(pending))
        ledger.conclude(store, batch, outcomes, now(), run_id, state="recovered")
    return len(intents)
