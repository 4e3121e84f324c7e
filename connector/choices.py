"""What the owner decided about single people and segments: pins, pauses, guard overrides, and the usual night of a segment."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from connector import audit
from connector.store import Store
from models.errors import UsageError

GUARDS = (
    "max_leave_pct", "max_enter_pct", "max_change_count", "usual_night", "stale_source", "incomplete_pull", "empty_source",
    "shrunken_source",
)  # fmt: skip
USUAL_RUNS = 10
USUAL_FACTOR = 5


def pin(
    store: Store, person_id: str, segment: str, kind: Literal["always", "never"], because: str, now: datetime, run_id: str
) -> None:
    """From now on the person is always (consent permitting) or never in the segment's tags. Replaces an earlier pin."""
    with store.transaction():
        unpin(store, person_id, segment)
        store.insert(
            "pins",
            [
                {
                    "person_id": person_id, "segment": segment, "kind": kind, "because": because, "since": str(now),
                    "run_id": run_id,
                }
            ],
        )  # fmt: skip


def kept_out(store: Store, platform: str, segment: str) -> frozenset[str]:
    """Contacts of the platform whose person is pinned: never in this segment."""
    return frozenset(
        c
        for (c,) in store.sql(
            """SELECT l.contact_id FROM person_links l JOIN pins p USING (person_id)
               WHERE l.source = ? AND p.kind = 'never' AND lower(p.segment) = lower(?)""",
            [platform, segment],
        )
    )


def unpin(store: Store, person_id: str, segment: str) -> bool:
    """Take a pin away; False when there was none."""
    return bool(
        store.sql("DELETE FROM pins WHERE person_id = ? AND lower(segment) = lower(?) RETURNING 1", [person_id, segment])
    )


def pause(store: Store, segments: list[str], because: str, now: datetime, run_id: str) -> None:
    """Nothing is written for these segments until they are resumed."""
    for segment in segments:
        if not paused(store, segment):
            store.insert("paused", [{"segment": segment, "because": because, "since": str(now), "run_id": run_id}])


def resume(store: Store, segment: str) -> None:
    if not store.sql("DELETE FROM paused WHERE lower(segment) = lower(?) RETURNING 1", [segment]):
        raise UsageError(f"The segment '{segment}' is not paused.")


def paused(store: Store, segment: str) -> str:
    """Why the segment is paused, '' when it is not."""
    return str(store.value("SELECT because FROM paused WHERE lower(segment) = lower(?)", [segment]) or "")


def all_paused(store: Store) -> list[tuple[str, str]]:
    """(segment, or `field:` and a field's name; why) of everything that is paused."""
    return [(name, because) for name, because in store.sql("SELECT segment, because FROM paused ORDER BY ALL")]


def allow(store: Store, names: tuple[str, ...], because: str, now: datetime, run_id: str) -> frozenset[str]:
    """Record which guards the owner overrides in this run, and why. Raises UsageError for an unknown guard or no reason."""
    unknown = [n for n in names if n not in GUARDS]
    if unknown:
        raise UsageError(f"There is no guard '{unknown[0]}'. Guards: {', '.join(GUARDS)}.")
    if names and not because.strip():
        raise UsageError('An override needs a reason: --because "...". It is kept with the run.')
    store.insert("overrides", [{"guard": n, "because": because, "given_at": str(now), "run_id": run_id} for n in names])
    for name in names:
        audit.note(store, "override", now, run_id, object_id=name, detail=because.strip())
    return frozenset(names)


def note_night(store: Store, run_id: str, platform: str, segment: str, changes: int) -> None:
    """Remember how much a segment moved in an ordinary run, from which its usual night is known."""
    store.insert("nights", [{"run_id": run_id, "platform": platform, "segment": segment, "changes": changes}])


def usual_night(store: Store, platform: str, segment: str) -> int | None:
    """The most changes that still count as a usual night: five times the 90th percentile; None before ten runs."""
    count, usual = store.sql(
        """SELECT count(*), quantile_disc(changes, 0.9) FROM (
             SELECT changes FROM nights WHERE platform = ? AND segment = ? ORDER BY run_id DESC LIMIT 30)""",
        [platform, segment],
    )[0]
    return USUAL_FACTOR * max(int(usual), 1) if count >= USUAL_RUNS else None
