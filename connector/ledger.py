"""What we wrote, and what we may take away: objects we made, contacts we added, go-aheads.

A lost ledger means: nothing is removed. Contacts come in and go out with the outcomes of batches, see connector/journal.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from connector import audit, merges, parts
from connector.forgotten import MARK
from connector.store import Store
from models.changes import Target
from models.segments import Segment

LAG_HOURS = 2
RENAMED = "renamed:"
"""Notes of renames that were carried out."""
COVERED = "coverage:"
"""Notes of what a go-ahead was given for, see connector/coverage.py."""
SERVICE = "service:"
"""Notes of segments whose tag the owner agreed to as one that is not for mailing."""
CHANNEL = "channel:"
"""Notes of the channel that the owner agreed to for a segment's tag."""


def object_of(store: Store, platform: str, segment: str) -> tuple[str, str]:
    """(object id, name) of the object we keep for a segment; ('', '') when we have none."""
    found = store.sql(
        "SELECT object_id, name FROM ledger_objects WHERE platform = ? AND segment = ? ORDER BY since DESC LIMIT 1",
        [platform, segment],
    )
    return (found[0][0], found[0][1]) if found else ("", "")


def keeper_of(store: Store, target: Target, object_id: str) -> str:
    """The other segment whose object this is, by its id, or by the name that the target would give its own; '' for none."""
    found = store.sql(
        """SELECT segment FROM ledger_objects WHERE platform = ? AND segment <> ? AND (object_id = ? OR lower(name) = lower(?))
           ORDER BY segment""",
        [target.platform, target.segment, object_id or target.name, target.name],
    )
    return str(found[0][0]) if found else ""


def adopted_by(store: Store, target: Target) -> str:
    """The segment that took the target's object over after it had become the target's; '' for none."""
    found = store.sql(
        """SELECT n.segment FROM ledger_objects n JOIN ledger_objects o USING (platform, object_id)
           WHERE o.platform = ? AND o.segment = ? AND n.segment <> o.segment AND n.how = 'adopted'
             AND (o.how <> 'adopted' OR (n.since, n.segment) > (o.since, o.segment)) ORDER BY n.since DESC LIMIT 1""",
        [target.platform, target.segment],
    )
    return str(found[0][0]) if found else ""


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


def holds(store: Store, platform: str, segment: str) -> int:
    """How many contacts (forgotten ones too) are in the segment's object by our hand; none whom the platform deleted for good."""
    return int(
        store.value(
            """SELECT count(*) FROM ledger l LEFT JOIN contacts c ON c.source = l.platform AND c.contact_id = l.contact_id
               WHERE l.platform = $p AND l.segment = $g
                 AND NOT (list_contains($for_good, l.platform) AND coalesce(c.state, '') IN ('gone', 'erased'))""",
            {"p": platform, "g": segment, "for_good": list(merges.STABLE)},
        )
    )


def let_go(store: Store, platform: str, segment: str, now: datetime, run_id: str) -> None:
    """The segment has no object any more, nor a go-ahead: it was retired, and nobody we added is left in it."""
    object_id, name = object_of(store, platform, segment)
    with store.transaction():
        for table in ("ledger_objects", "go_aheads", "nights"):
            store.sql(f"DELETE FROM {table} WHERE platform = ? AND segment = ?", [platform, segment])
        store.sql("DELETE FROM meta WHERE name = ?", [f"{COVERED}{platform}:{segment}"])
        agree_purpose(store, platform, segment, is_service=False)
        agree_channel(store, platform, segment, "")
        parts.let_go(store, platform, segment)
        audit.note(store, "let-go", now, run_id, platform=platform, object_id=object_id, detail=name)


def objects_with_members(store: Store) -> list[tuple[str, str, str, int]]:
    """(platform, segment, name, people) of every object that holds somebody we added for this segment, or beside which somebody
    may have the second thing by our hand."""
    return [
        (str(p), str(g), str(n), int(people))
        for p, g, n, people in store.sql(
            """SELECT o.platform, o.segment, o.name, count(l.contact_id) AS people FROM ledger_objects o
               LEFT JOIN ledger l ON l.platform = o.platform AND l.object_id = o.object_id AND l.segment = o.segment
               GROUP BY o.platform, o.segment, o.name
               HAVING people > 0 OR EXISTS (
                 SELECT 1 FROM given g WHERE g.platform = o.platform AND g.segment = o.segment) ORDER BY ALL"""
        )
    ]


def objects(store: Store) -> list[dict[str, Any]]:
    """Every object of ours with how many people we added."""
    return store.rows(
        """SELECT o.platform, o.segment, o.name, o.object_id, o.how, o.since, count(l.contact_id) AS people
           FROM ledger_objects o LEFT JOIN ledger l ON l.platform = o.platform AND l.object_id = o.object_id
           GROUP BY ALL ORDER BY o.platform, o.segment"""
    )


def count_as_ours(store: Store, target: Target, object_id: str, contacts: Iterable[str], now: datetime, run_id: str) -> None:
    """From now on these members of the object count as added by us (the owner said so)."""
    store.sql(
        """INSERT INTO ledger (platform, object_id, segment, contact_id, person_id, added_at, run_id, is_seen)
           SELECT $p, $o, $g, c.contact_id, coalesce(k.person_id, ''), $now, $run, true
           FROM (SELECT unnest($contacts) AS contact_id) c
           LEFT JOIN person_links k ON k.source = $p AND k.contact_id = c.contact_id
           WHERE c.contact_id NOT IN (SELECT contact_id FROM ledger WHERE platform = $p AND object_id = $o)""",
        {"p": target.platform, "o": object_id, "g": target.segment, "now": now, "run": run_id, "contacts": sorted(contacts)},
    )


def rename_as_configured(store: Store, platforms: Iterable[str], segments: Sequence[Segment]) -> None:
    """Whatever the configuration's `was` says and has not been done."""
    rename_segments(store, [(g.was, g.name) for g in segments if g.was], platforms, [g.name for g in segments])


def rename_segments(
    store: Store, names: Sequence[tuple[str, str]], platforms: Iterable[str], configured: Collection[str] = ()
) -> None:
    """Segments were renamed in the configuration (before, after): object, memberships, go-aheads, pins and pauses go with them, a
    fill that is under way, the journal, and the option beside a list.

    All at once, so that chains and swaps end well, and each once: what is kept under an old name later is another segment's.
    A rename that the configuration does not know any more may happen again; where the owner took it back, all goes back.
    """
    notes = {f"{RENAMED}{before}\x1f{after}": (before, after) for before, after in names}
    with store.transaction():
        for (name,) in store.sql("SELECT name FROM meta WHERE starts_with(name, ?)", [RENAMED]):
            if notes.pop(name, None) is None:
                store.sql("DELETE FROM meta WHERE name = ?", [name])
                before, after = name.removeprefix(RENAMED).split("\x1f")
                if before in configured and after not in configured:
                    notes[f"{RENAMED}{after}\x1f{before}"] = (after, before)
        _leave_out_taken(store, notes)
        _rename_all(store, list(notes.values()), platforms)
        store.insert("meta", [{"name": name, "value": "done"} for name, pair in notes.items() if pair in names])


def take_back_renames(store: Store, platforms: Iterable[str], kept: Collection[str]) -> None:
    """Before an older ledger is put in the place of this one: what stays of this one has the names of that one again. kept: notes
    of renames that were carried out before it was saved. The next plan renames all of it."""
    with store.transaction():
        gone = [n for (n,) in store.sql("SELECT name FROM meta WHERE starts_with(name, ?)", [RENAMED]) if n not in kept]
        pairs = [n.removeprefix(RENAMED).split("\x1f") for n in gone]
        _rename_all(store, [(after, before) for before, after in pairs], platforms)


def _rename_all(store: Store, pairs: Sequence[tuple[str, str]], platforms: Iterable[str]) -> None:
    """Every (before, after) at once."""
    places = sorted({*platforms, *(p for (p,) in store.sql("SELECT DISTINCT platform FROM ledger_objects"))})
    between = {before: f"\x1f{n}" for n, (before, _) in enumerate(pairs)}
    for before, _ in pairs:
        for platform in places:
            parts.keep_name(store, platform, before)
        _rename(store, places, before, between[before])
    for before, after in pairs:
        _rename(store, places, between[before], after)


def _leave_out_taken(store: Store, notes: dict[str, tuple[str, str]]) -> None:
    """A segment that has an object already does not become another's too: that one is left behind, and told as such."""
    kept = {g for (g,) in store.sql("SELECT DISTINCT segment FROM ledger_objects")}
    while taken := [n for n, (_, after) in notes.items() if after in kept - {before for before, _ in notes.values()}]:
        for name in taken:
            del notes[name]


def _rename(store: Store, platforms: Iterable[str], before: str, after: str) -> None:
    for table in ("ledger_objects", "ledger", "go_aheads", "parked", "nights", "journal"):
        store.sql(f"UPDATE {table} SET segment = ? WHERE segment = ?", [after, before])
    for table in ("pins", "paused"):  # the owner's word about the segment, on whatever platform
        store.sql(f"UPDATE {table} SET segment = ? WHERE lower(segment) = lower(?)", [after, before])
    for platform in platforms:
        for note in ("filling:", COVERED, SERVICE, CHANNEL):
            _rename_note(store, f"{note}{platform}:{before}", f"{note}{platform}:{after}")
        parts.rename(store, platform, before, after)


def _rename_note(store: Store, before: str, after: str) -> None:
    if store.sql("SELECT 1 FROM meta WHERE name = ?", [before]):
        store.sql("DELETE FROM meta WHERE name = ?", [after])
        store.sql("UPDATE meta SET name = ? WHERE name = ?", [after, before])


def follow_merges(store: Store, platform: str) -> int:
    """Contacts the platform merged away stand under their survivor from now on; gives how many rows moved."""
    moves = """
        WITH moves AS (
          SELECT value AS gone, contact_id AS survivor FROM identifiers
          WHERE source = $p AND kind = $p AND value <> contact_id
          UNION
          SELECT contact_id, merged_into FROM contacts
          WHERE source = $p AND merged_into IS NOT NULL AND merged_into <> contact_id)
        UPDATE {0} SET contact_id = m.survivor FROM moves m WHERE {0}.platform = $p AND m.gone = {0}.contact_id RETURNING 1"""
    moved = store.sql(moves.format("ledger"), {"p": platform})
    for table in ("carried", "given"):
        store.sql(moves.format(table), {"p": platform})
    if moved:
        store.sql(
            """DELETE FROM ledger WHERE platform = $p AND rowid NOT IN (
                 SELECT min(rowid) FROM ledger WHERE platform = $p GROUP BY object_id, segment, contact_id)""",
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


def added_at(store: Store, platform: str, object_id: str, contacts: Sequence[str]) -> dict[str, datetime]:
    """When we added these contacts; without those into whom others were merged."""
    return dict(
        store.sql(
            """SELECT contact_id, max(added_at) FROM ledger WHERE platform = $p AND object_id = $o
                 AND list_contains(CAST($c AS VARCHAR[]), contact_id)
                 AND contact_id NOT IN (SELECT merged_into FROM contacts WHERE source = $p AND merged_into IS NOT NULL)
               GROUP BY contact_id""",
            {"p": platform, "o": object_id, "c": list(contacts)},
        )
    )


def people_of(store: Store, platform: str, object_id: str, contacts: Iterable[str]) -> list[str]:
    """The people behind contacts we added, as far as they are still known."""
    return [
        r[0]
        for r in store.sql(
            """SELECT DISTINCT k.person_id FROM ledger l JOIN person_links k ON k.source = l.platform AND k.contact_id = l.contact_id
               WHERE l.platform = ? AND l.object_id = ? AND list_contains(?, l.contact_id) ORDER BY 1""",
            [platform, object_id, sorted(contacts)],
        )
    ]


def no_longer_ours(store: Store, platform: str, object_id: str, contacts: Iterable[str]) -> None:
    """Somebody else took these contacts out, and the owner wants it to stay so."""
    store.sql(
        "DELETE FROM ledger WHERE platform = ? AND object_id = ? AND list_contains(?, contact_id)",
        [platform, object_id, sorted(contacts)],
    )


LEFT_OFF = "left off"
"""In the place of the run: somebody took this contact out, and the owner wants it to stay so. Whoever puts it in again is not us."""


def leave_off(store: Store, platform: str, object_id: str, contacts: Iterable[str]) -> None:
    store.sql(
        "UPDATE ledger SET run_id = ? WHERE platform = ? AND object_id = ? AND list_contains(?, contact_id)",
        [LEFT_OFF, platform, object_id, sorted(contacts)],
    )


def left_off(store: Store, platform: str, object_id: str) -> frozenset[str]:
    found = "SELECT contact_id FROM ledger WHERE platform = ? AND object_id = ? AND run_id = ?"
    return frozenset(c for (c,) in store.sql(found, [platform, object_id, LEFT_OFF]))


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


def go_ahead(store: Store, platform: str, segment: str) -> str | None:
    """The rule digest the owner said yes to ('' for the destination itself), None when there was no go-ahead."""
    found = store.sql(
        "SELECT rule_digest FROM go_aheads WHERE platform = ? AND segment = ? ORDER BY given_at DESC LIMIT 1",
        [platform, segment],
    )
    return found[0][0] if found else None


def give_go_ahead(store: Store, platform: str, segment: str, digest: str, people: int, now: datetime, run_id: str) -> None:
    """The latest counts: one of a later date, given when the clock was wrong, is over."""
    with store.transaction():
        store.sql("DELETE FROM go_aheads WHERE platform = ? AND segment = ? AND given_at > ?", [platform, segment, now])
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
        detail = f"{people} people; rule {digest}"
        audit.note(store, "go-ahead", now, run_id, platform=platform, object_id=segment, detail=detail)


def withdraw_go_ahead(
    store: Store, platform: str, segment: str, now: datetime, run_id: str, *, because: str = "a trial"
) -> None:
    """It does not hold for what is to be filled now: the owner is to be asked again."""
    with store.transaction():
        gone = store.sql("DELETE FROM go_aheads WHERE platform = ? AND segment = ? RETURNING 1", [platform, segment])
        if gone:
            audit.note(store, "go-ahead-withdrawn", now, run_id, platform=platform, object_id=segment, detail=because)


def agree_purpose(store: Store, platform: str, segment: str, *, is_service: bool) -> None:
    """What the owner said yes to; kept for when the configuration does not say it any more."""
    if is_service == is_for_service(store, platform, segment):
        return
    name = f"{SERVICE}{platform}:{segment}"
    store.sql("DELETE FROM meta WHERE name = ?", [name])
    if is_service:
        store.insert("meta", [{"name": name, "value": "agreed"}])


def is_for_service(store: Store, platform: str, segment: str) -> bool:
    return bool(store.sql("SELECT 1 FROM meta WHERE name = ?", [f"{SERVICE}{platform}:{segment}"]))


def agree_channel(store: Store, platform: str, segment: str, channel: str) -> None:
    """What the owner said yes to; '' forgets it."""
    if channel == agreed_channel(store, platform, segment):
        return
    name = f"{CHANNEL}{platform}:{segment}"
    store.sql("DELETE FROM meta WHERE name = ?", [name])
    if channel:
        store.insert("meta", [{"name": name, "value": channel}])


def agreed_channel(store: Store, platform: str, segment: str) -> str:
    """'' where nothing was noted."""
    return str(store.value("SELECT value FROM meta WHERE name = ?", [f"{CHANNEL}{platform}:{segment}"]) or "")


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
