"""A lost or outdated ledger is rebuilt: what is on the platforms is compared with the rules, and the owner says yes or no.

Without a ledger nothing is ever removed. Whose hand put a person into a tag cannot be read from any platform, so this only
proposes: who is in an object of our name and matches its rule today counts as added by us; everybody else stays somebody
else's. Proposing writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from adapters.base import Adapter
from connector import audit, consent_again, ledger, parts, push, restore
from connector.config import pushed_name
from connector.session import Session, known_account
from connector.store import Store
from models.changes import Target
from models.segments import Segment


@dataclass(frozen=True)
class Proposal:
    """One object: members = counted + others. `counted` are contact ids that count as ours from then on; `dropped` stood in
    the ledger and are not there any more. `is_new`: the ledger did not know this object."""

    target: Target
    object_id: str
    is_new: bool
    members: int
    counted: tuple[str, ...]
    known: int
    others: int
    dropped: tuple[str, ...]
    made_by: str = ""
    """`another` where the object carries another installation's mark: a second one's, or this one's before it was lost."""
    part: str = ""
    """`there` where what is beside the object carries our mark."""

    @property
    def changes_anything(self) -> bool:
        return self.is_new or len(self.counted) > self.known or bool(self.dropped)


def propose(s: Session, segments: Sequence[Segment]) -> list[Proposal]:
    """One proposal per object that exists on a platform. The table `members` must hold this evaluation. Raises AuthError where
    the configuration names another account, shop or audience than the ledger's."""
    found = []
    ledger.rename_as_configured(s.store, s.config.platforms, segments)  # no plan may have been made since
    for platform in s.config.platforms:
        pushed = [g for g in segments if platform in g.push]
        if not pushed:
            continue
        adapter = s.adapter(platform)
        known_account(s, adapter)
        targets = [_target(s, platform, g) for g in pushed]
        for seen in adapter.observe(targets, {t.segment: _matching(s.store, platform, t.segment) for t in targets}):
            if seen.exists and seen.is_ours_kind:
                made = _proposal(s.store, seen.target, seen.object_id, seen.members)
                gone = consent_again.still_there(s, platform, frozenset(made.dropped)) if made.dropped else frozenset()
                again = _put_in_again(s, adapter, made)
                counted = tuple(c for c in made.counted if c not in again)
                made = replace(made, counted=counted, known=made.known - len(again), others=made.others + len(again))
                found.append(replace(made, made_by=seen.made_by, part=seen.part, dropped=tuple(sorted(gone | again))))
    return found


def _put_in_again(s: Session, adapter: Adapter, made: Proposal) -> frozenset[str]:
    """Of those who are ours by a backup's ledger alone: who came in long after we had put them in, by the platform's own dates.
    They had left since, and were put in again; by whom no backup knows."""
    if not restore.doubt(s.store) or made.is_new:
        return frozenset()
    matching = _matching(s.store, adapter.name, made.target.segment)
    return frozenset(push.put_in_again(s.store, adapter, made.object_id, [c for c in made.counted if c not in matching]))


def carry_out(s: Session, proposals: Sequence[Proposal]) -> None:
    """Write the proposals into the ledger, which from then on is no backup's any more; the platforms are not touched."""
    is_backup = bool(restore.doubt(s.store))
    restore.proven(s.store)
    for p in proposals:
        if not p.changes_anything:
            continue
        with s.store.transaction():
            if p.is_new:
                ledger.remember_object(s.store, p.target, p.object_id, "rebuilt", s.now(), s.run_id)
            ledger.no_longer_ours(s.store, p.target.platform, p.object_id, p.dropped)
            if is_backup:  # of its contacts nobody can tell whose hand gave what they have now
                parts.take(s.store, p.target.platform, [(p.target.segment, c) for c in p.dropped])
            ledger.count_as_ours(s.store, p.target, p.object_id, p.counted, s.now(), s.run_id)
            if p.part == "there":
                parts.count_as_given(s.store, p.target, p.counted)
            audit.note(
                s.store, "rebuilt", s.now(), s.run_id, platform=p.target.platform, object_id=p.object_id,
                detail=f"{len(p.counted)} counted as ours, {len(p.dropped)} dropped",
            )  # fmt: skip


def _target(s: Session, platform: str, g: Segment) -> Target:
    object_id, name = ledger.object_of(s.store, platform, g.name)
    name = name or pushed_name(s.config, g.name, g.tag, g.purpose)
    return parts.known(s.store, Target(platform, g.name, name, object_id, g.purpose, g.starts), is_adopted=g.adopt)


def _matching(store: Store, platform: str, segment: str) -> frozenset[str]:
    """Contacts on the platform of the people who match the segment's rule, whatever their consent."""
    return frozenset(
        c
        for (c,) in store.sql(
            """SELECT k.contact_id FROM members m JOIN person_links l USING (person_id)
               JOIN contacts k ON k.source = l.source AND k.contact_id = l.contact_id
               WHERE m.segment = ? AND k.source = ?""",
            [segment, platform],
        )
    )


def _proposal(store: Store, target: Target, object_id: str, members: frozenset[str]) -> Proposal:
    ours = ledger.ours(store, target.platform, object_id) if object_id == target.object_id else frozenset()
    counted = members & (_matching(store, target.platform, target.segment) | ours)
    return Proposal(
        target=target,
        object_id=object_id,
        is_new=object_id != target.object_id,
        members=len(members),
        counted=tuple(sorted(counted)),
        known=len(ours & members),
        others=len(members - counted),
        dropped=tuple(sorted(ours - members)),
    )
