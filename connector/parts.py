"""The second thing some platforms hold of a segment: beside HubSpot's list an option on the contact itself.

The option is ours where its mark says so, where the ledger has seen that, or where the owner adopts it. Whom we gave it is
who is in the ledger for the list, but for those who had it by somebody else's hand before: it stays with them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import orjson

from connector.plan import Wanted
from connector.store import Store
from models.changes import Observed, Target

KEPT = "{:,} had the segment's option by somebody else's hand: it stays with them, also when they leave"


def known(store: Store, target: Target, *, is_adopted: bool) -> Target:
    """The target with what the ledger knows of its second thing, and the owner says."""
    if store.sql("SELECT 1 FROM meta WHERE name = ?", [_name(target)]):
        return replace(target, part="ours", kept=_kept(store, target))
    return replace(target, part="adopt" if is_adopted else "", kept=_kept(store, target))


def settled(store: Store, want: Wanted, seen: Observed) -> Wanted:
    """`want` after a look at the platform; what was learnt is written down before anything is sent, so that after a crash
    our own option is told from somebody else's."""
    target = want.target
    if not seen.part:
        return want
    read = (want.desired.keys() | want.ours) - seen.members
    lost = (read - seen.carriers) | seen.partial
    theirs = seen.carriers
    if target.part != "adopt":
        theirs = theirs - want.ours
        theirs -= _last_added(store, target, theirs)
    with store.transaction():
        learn(store, seen)
        _change(store, target, "DELETE FROM carried WHERE platform = ? AND segment = ? AND list_contains(?, contact_id)", lost)
        fresh = theirs - set(target.kept)
        _change(store, target, "INSERT INTO carried SELECT ?, ?, unnest(CAST(? AS VARCHAR[]))", fresh)
    kept = _kept(store, target)
    notes = (*want.notes, KEPT.format(len(kept))) if kept else want.notes
    return replace(want, target=replace(target, kept=kept), notes=notes)


def learn(store: Store, seen: Observed) -> None:
    """What was seen to be ours stays so, whatever becomes of its mark."""
    if seen.part == "there" and not store.sql("SELECT 1 FROM meta WHERE name = ?", [_name(seen.target)]):
        store.insert("meta", [{"name": _name(seen.target), "value": "ours"}])


def _kept(store: Store, target: Target) -> tuple[str, ...]:
    rows = store.sql(
        "SELECT DISTINCT contact_id FROM carried WHERE platform = ? AND segment = ? ORDER BY 1",
        [target.platform, target.segment],
    )
    return tuple(c for (c,) in rows)


def _change(store: Store, target: Target, text: str, contacts: Collection[str]) -> None:
    if contacts:
        store.sql(text, [target.platform, target.segment, sorted(contacts)])


def _last_added(store: Store, target: Target, contacts: Collection[str]) -> frozenset[str]:
    """Whom we last set out to put in, though it never came to that: the option they have is ours."""
    last: dict[str, str] = {}
    rows = store.sql(
        "SELECT intent FROM journal WHERE platform = ? AND segment = ? ORDER BY run_id, intended_at, batch_id",
        [target.platform, target.segment],
    ) if contacts else []  # fmt: skip
    for (intent,) in rows:
        for kind, members in orjson.loads(intent).items():
            last.update((m[0], kind) for m in members)
    return frozenset(c for c in contacts if last.get(c) == "add")


def _name(target: Target) -> str:
    return f"part:{target.platform}:{target.segment}"
