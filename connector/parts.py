"""The second thing some platforms hold of a segment: beside HubSpot's list an option on the contact itself.

The option is ours where its mark says so, where the ledger has seen that, or where the owner adopts it. Whom we gave it is
who is in the ledger for the list, but for those who had it by somebody else's hand before: it stays with them (table carried).
Whoever is off the list, and may have it still, stands in the ledger under no list (`OWED`) until a look shows that it is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Set
from dataclasses import replace

import orjson

from connector.forgotten import MARK
from connector.store import Store
from models.changes import Observed, Target

KEPT = "{:,} had the segment's option by somebody else's hand: it stays with them, also when they leave"
OURS = "ours"
"""What meta says of a second thing that is ours; after a rename with a colon and the name it was made under."""
OWED = ""
"""The object in the ledger of contacts who are in none, and may have its second thing by our hand still."""


def known(store: Store, target: Target, *, is_adopted: bool = False) -> Target:
    """The target with what the ledger knows of its second thing, and the owner says."""
    kept = _kept(store, target)
    if said := store.value("SELECT value FROM meta WHERE name = ?", [name_of(target.platform, target.segment)]):
        return replace(target, part="ours", part_name=str(said).partition(":")[2], kept=kept)
    others = "SELECT 1 FROM meta WHERE starts_with(name, ?) AND lower(value) = lower(?)"
    if store.sql(others, [name_of(target.platform, ""), f"{OURS}:{target.segment}"]):
        return replace(target, part="taken", kept=kept)
    return replace(target, part="adopt" if is_adopted else "", kept=kept)


def rename(store: Store, platform: str, before: str, after: str) -> None:
    """The segment is called `after` now. Its second thing goes with it under the name it has: many may carry it."""
    said = store.value("SELECT value FROM meta WHERE name = ?", [name_of(platform, before)])
    store.sql("UPDATE carried SET segment = ? WHERE platform = ? AND segment = ?", [after, platform, before])
    if said is not None and before != after:
        store.sql("DELETE FROM meta WHERE name IN (?, ?)", [name_of(platform, before), name_of(platform, after)])
        made_as = str(said).partition(":")[2] or before
        store.insert("meta", [{"name": name_of(platform, after), "value": f"{OURS}:{made_as}"}])


def settled(
    store: Store, target: Target, desired: Set[str], ours: frozenset[str], owed: frozenset[str], seen: Observed
) -> Target:
    """The target after a look at the platform; what was learnt is written down before anything is sent, so that after a crash
    our own option is told from somebody else's."""
    if not seen.part:
        return replace(target, part="closed") if target.part == "ours" else target
    read = (desired | ours | owed) - seen.members
    lost = (read - seen.carriers) | seen.partial
    theirs = seen.carriers
    if target.part != "adopt" or seen.part != "unmarked":
        theirs = theirs - ours - owed
        last = _last_intents(store, target, theirs)  # a death before the list was written: the option they have is ours
        theirs = frozenset(c for c in theirs if last.get(c) != "add")
    paid = owed - seen.members - seen.carriers
    with store.transaction():
        learn(store, seen)
        owing = f"platform = ? AND segment = ? AND list_contains(?, contact_id) AND object_id = '{OWED}'"
        _change(store, target, f"DELETE FROM ledger WHERE {owing}", paid)
        _change(store, target, "DELETE FROM carried WHERE platform = ? AND segment = ? AND list_contains(?, contact_id)", lost)
        fresh = theirs - set(target.kept)
        _change(store, target, "INSERT INTO carried SELECT ?, ?, unnest(CAST(? AS VARCHAR[]))", fresh)
    return replace(target, kept=_kept(store, target))


def keep_owed(store: Store, target: Target, object_id: str) -> None:
    """Whom we put into an earlier object than this is in none now; whether they have the option still, the next look tells."""
    others = store.sql(
        "SELECT DISTINCT contact_id FROM ledger WHERE platform = ? AND segment = ? AND object_id <> ?",
        [target.platform, target.segment, object_id],
    )
    owe(store, target, [c for (c,) in others], but=object_id)


def owe(store: Store, target: Target, contacts: Collection[str], *, but: str = "") -> None:
    """These contacts of ours are off the list, by whatever hand, and have its option perhaps. Rows of the object `but` stay."""
    held = "WHERE platform = $1 AND segment = $2 AND list_contains($3, contact_id)"
    place = [target.platform, target.segment, sorted(contacts)]
    with store.transaction():
        store.sql(f"UPDATE ledger SET object_id = '{OWED}' {held} AND object_id <> $4", [*place, but or OWED])
        store.sql(
            f"""DELETE FROM ledger {held} AND object_id = '{OWED}' AND rowid NOT IN (
                  SELECT min(rowid) FROM ledger {held} AND object_id = '{OWED}' GROUP BY contact_id)""",
            place,
        )


def owed(store: Store, target: Target) -> frozenset[str]:
    rows = store.sql(
        "SELECT contact_id FROM ledger WHERE platform = ? AND segment = ? AND object_id = ? AND NOT starts_with(contact_id, ?)",
        [target.platform, target.segment, OWED, MARK],
    )
    return frozenset(c for (c,) in rows)


def learn(store: Store, seen: Observed) -> None:
    """What was seen to be ours stays so, whatever becomes of its mark."""
    name = name_of(seen.target.platform, seen.target.segment)
    if seen.part in ("there", "unmarked") and not store.sql("SELECT 1 FROM meta WHERE name = ?", [name]):
        store.insert("meta", [{"name": name, "value": OURS}])


def _kept(store: Store, target: Target) -> tuple[str, ...]:
    rows = store.sql(
        "SELECT DISTINCT contact_id FROM carried WHERE platform = ? AND segment = ? ORDER BY 1",
        [target.platform, target.segment],
    )
    return tuple(c for (c,) in rows)


def _change(store: Store, target: Target, text: str, contacts: Collection[str]) -> None:
    if contacts:
        store.sql(text, [target.platform, target.segment, sorted(contacts)])


def _last_intents(store: Store, target: Target, contacts: Collection[str]) -> dict[str, str]:
    """Contact -> whether we last set out to add or to remove them, also under the id of a contact that was merged into them,
    whatever came of it."""
    if not contacts:
        return {}
    merged = "SELECT value, contact_id FROM identifiers WHERE source = $1 AND kind = $1 AND list_contains($2, contact_id)"
    now = {c: c for c in contacts} | dict(store.sql(merged, [target.platform, sorted(contacts)]))
    rows = store.sql(
        "SELECT intent FROM journal WHERE platform = ? AND segment = ? ORDER BY run_id, intended_at, batch_id",
        [target.platform, target.segment],
    )
    last: dict[str, str] = {}
    for (intent,) in rows:
        for kind, members in orjson.loads(intent).items():
            last.update((now[m[0]], kind) for m in members if m[0] in now)
    return last


def name_of(platform: str, segment: str) -> str:
    return f"part:{platform}:{segment}"
