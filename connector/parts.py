"""The second thing some platforms hold of a segment: beside HubSpot's list an option on the contact itself.

The option is ours where its mark says so, where the ledger has seen that, or where the owner adopts it. Whom we gave it stands in
a ledger of its own (table given), from before it is sent until a look shows that they do not have it: list and option are
written one after the other, and either may fail. Whoever had it by somebody else's hand keeps it (table carried).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from connector.forgotten import MARK
from connector.store import Store
from models.changes import Batch, Observed, Target

KEPT = "{:,} had the segment's option by somebody else's hand: it stays with them, also when they leave"
LEFT = "{:,} may have the segment's option still, which cannot be written now: they lose it in the next run that can"
OURS = "ours"
"""What meta says of a second thing that is ours; after a rename with a colon and the name it was made under."""
WRITTEN = ("ours", "new")
"""`Target.part` where the second thing is written too."""


def known(store: Store, target: Target, *, is_adopted: bool = False) -> Target:
    """The target with what the ledger knows of its second thing, and the owner says."""
    kept = _kept(store, target)
    said = str(store.value("SELECT value FROM meta WHERE name = ?", [name_of(target.platform, target.segment)]) or "")
    whose, _, made_as = said.partition(":")
    if whose == OURS:
        return replace(target, part="ours", part_name=made_as, kept=kept)
    others = "SELECT 1 FROM meta WHERE starts_with(name, ?) AND lower(value) IN (lower(?), lower(?))"
    made = f":{target.segment}"  # also where nobody has looked yet whether it was made
    if not made_as and store.sql(others, [name_of(target.platform, ""), f"{OURS}{made}", made]):
        return replace(target, part="taken", kept=kept)
    return replace(target, part="adopt" if is_adopted else "", part_name=made_as, kept=kept)


def rename(store: Store, platform: str, before: str, after: str) -> None:
    """The segment is called `after` now. Its second thing goes with it under the name it has: many may carry it."""
    for table in ("carried", "given"):
        store.sql(f"UPDATE {table} SET segment = ? WHERE platform = ? AND segment = ?", [after, platform, before])
    said = store.value("SELECT value FROM meta WHERE name = ?", [name_of(platform, before)])
    if said is not None:
        store.sql("DELETE FROM meta WHERE name IN (?, ?)", [name_of(platform, before), name_of(platform, after)])
        store.insert("meta", [{"name": name_of(platform, after), "value": str(said)}])


def keep_name(store: Store, platform: str, segment: str) -> None:
    """The segment is about to be renamed: from now on its second thing's name is written down, also where it was about to be made
    and nobody has looked since whether it was."""
    name = name_of(platform, segment)
    store.sql("UPDATE meta SET value = ? WHERE name = ? AND value = ?", [f"{OURS}:{segment}", name, OURS])
    if holds(store, platform, segment) and not store.sql("SELECT 1 FROM meta WHERE name = ?", [name]):
        store.insert("meta", [{"name": name, "value": f":{segment}"}])


def settled(store: Store, target: Target, asked: frozenset[str], seen: Observed) -> Target:
    """The target after a look at the platform (`asked`: about whom); what was learnt is written down before anything is sent."""
    if not seen.part:
        if target.part == "ours":
            return replace(target, part="closed")
        return target if target.part == "taken" else replace(target, part="")
    ours = given(store, target)
    off = (asked & seen.answered) - seen.members - seen.carriers
    with store.transaction():
        learn(store, seen)
        _change(
            store, target, "DELETE FROM given WHERE platform = ? AND segment = ? AND list_contains(?, contact_id)", ours & off
        )
        lost = off | seen.partial
        _change(store, target, "DELETE FROM carried WHERE platform = ? AND segment = ? AND list_contains(?, contact_id)", lost)
        theirs = seen.carriers - ours - set(target.kept)
        _change(store, target, "INSERT INTO carried SELECT ?, ?, unnest(CAST(? AS VARCHAR[]))", theirs)
    return replace(target, part="new" if seen.part == "none" else "ours", kept=_kept(store, target))


def given(store: Store, target: Target) -> frozenset[str]:
    """Contacts who may have the second thing by our hand."""
    rows = store.sql(
        "SELECT contact_id FROM given WHERE platform = ? AND segment = ? AND NOT starts_with(contact_id, ?)",
        [target.platform, target.segment, MARK],
    )
    return frozenset(c for (c,) in rows)


def holds(store: Store, platform: str, segment: str) -> bool:
    """Somebody (forgotten ones too) may have the second thing by our hand."""
    return bool(store.sql("SELECT 1 FROM given WHERE platform = ? AND segment = ? LIMIT 1", [platform, segment]))


def give(store: Store, batches: Sequence[Batch]) -> None:
    """Whoever is about to enter is about to get the second thing too, but for those who have it already."""
    rows = {
        (b.target.platform, b.target.segment, m.contact_id)
        for b in batches
        if b.target.part in WRITTEN
        for m in b.adds
        if m.contact_id not in b.target.kept
    }
    if rows:
        store.sql(
            """INSERT INTO given SELECT g.* FROM (SELECT unnest(CAST(? AS VARCHAR[])) AS platform,
                 unnest(CAST(? AS VARCHAR[])) AS segment, unnest(CAST(? AS VARCHAR[])) AS contact_id) AS g
               ANTI JOIN given USING (platform, segment, contact_id)""",
            [list(column) for column in zip(*sorted(rows), strict=True)],
        )


def count_as_given(store: Store, target: Target, contacts: Collection[str]) -> None:
    """The owner said that these are in the segment by our hand: so is the option that carries our mark, if they have it."""
    fresh = set(contacts) - given(store, target) - set(_kept(store, target))
    _change(store, target, "INSERT INTO given SELECT ?, ?, unnest(CAST(? AS VARCHAR[]))", fresh)


def take(store: Store, platform: str, gone: Sequence[tuple[str, str]]) -> None:
    """These contacts (segment, contact) do not have the second thing any more."""
    if gone:
        store.sql(
            """DELETE FROM given USING (SELECT unnest(CAST(? AS VARCHAR[])) AS place, unnest(CAST(? AS VARCHAR[])) AS contact) AS g
               WHERE given.platform = ? AND given.segment = g.place AND given.contact_id = g.contact""",
            [[s for s, _ in gone], [c for _, c in gone], platform],
        )


def learn(store: Store, seen: Observed) -> None:
    """What was seen to be ours stays so, whatever becomes of its mark."""
    if seen.part not in ("there", "unmarked"):
        return
    name = name_of(seen.target.platform, seen.target.segment)
    store.sql("UPDATE meta SET value = ? || value WHERE name = ? AND starts_with(value, ':')", [OURS, name])
    if not store.sql("SELECT 1 FROM meta WHERE name = ?", [name]):
        store.insert("meta", [{"name": name, "value": OURS}])


def let_go(store: Store, platform: str, segment: str) -> None:
    """The segment was retired: its name may be another's."""
    for table in ("carried", "given"):
        store.sql(f"DELETE FROM {table} WHERE platform = ? AND segment = ?", [platform, segment])
    store.sql("DELETE FROM meta WHERE name = ?", [name_of(platform, segment)])


def _kept(store: Store, target: Target) -> tuple[str, ...]:
    rows = store.sql(
        "SELECT DISTINCT contact_id FROM carried WHERE platform = ? AND segment = ? ORDER BY 1",
        [target.platform, target.segment],
    )
    return tuple(c for (c,) in rows)


def _change(store: Store, target: Target, text: str, contacts: Collection[str]) -> None:
    if contacts:
        store.sql(text, [target.platform, target.segment, sorted(contacts)])


def name_of(platform: str, segment: str) -> str:
    return f"part:{platform}:{segment}"
