"""Whom somebody took off by hand: told from those who are merely not seen, and treated as the owner wants it."""

from __future__ import annotations

from dataclasses import replace

from adapters.base import Adapter
from connector import choices, consent, consent_again, ledger
from connector.plan import Wanted
from connector.session import Session
from models.changes import Observed


def taken_off(s: Session, adapter: Adapter, want: Wanted, seen: Observed) -> Wanted:
    """Who was taken off by hand is ours no longer, where nobody would put them on again: whoever puts them on now is not us. On
    `pin` they are pinned, too. On `ignore` the ledger keeps whom to leave off, until somebody else puts them on.
    """
    policy = s.config.push.untagged_by_hand
    if want.is_unproven or not (seen.exists and want.is_our_object):
        return want
    left_off = ledger.left_off(s.store, adapter.name, seen.object_id)
    if back := left_off & seen.members:
        ledger.no_longer_ours(s.store, adapter.name, seen.object_id, back)
        want = replace(want, ours=want.ours - back)
    off = want.ours - seen.members - want.lagging
    off -= want.reasons.keys()  # archived or deleted contacts are in no tag either, and by nobody's hand
    if policy == "ignore":
        ledger.leave_off(s.store, adapter.name, seen.object_id, _surely_off(s, adapter, want, off - left_off))
        return want
    off = _surely_off(s, adapter, want, off if policy == "pin" else off - want.desired.keys())
    if policy == "pin" and off:
        return _pinned(s, adapter, want, seen, off)
    ledger.no_longer_ours(s.store, adapter.name, seen.object_id, off)
    return want


def _surely_off(s: Session, adapter: Adapter, want: Wanted, off: frozenset[str]) -> frozenset[str]:
    """Those whom the platform still has, by its word of this moment, and who are off at a second look too: a contact that was
    archived, merged or deleted since the last pull is in no tag that is read, and may come back with it."""
    if not off:
        return off
    off -= adapter.observe([want.target], {want.target.segment: off})[0].members
    unheard = consent_again.of_contacts(s, adapter.name, off)
    consent.judge(s.store, s.config, adapter.name, "email")
    return (off & consent.allowed(s.store, "service")) - unheard.get(adapter.name, frozenset())


def _pinned(s: Session, adapter: Adapter, want: Wanted, seen: Observed, off: frozenset[str]) -> Wanted:
    """Who was taken off by hand is pinned: never again in this segment, on any platform, until the owner unpins them."""
    people = ledger.people_of(s.store, adapter.name, seen.object_id, off)
    for person_id in people:
        because = f"taken off by hand on {adapter.title}"
        choices.pin(s.store, person_id, want.target.segment, "never", because, s.now(), s.run_id)
    ledger.no_longer_ours(s.store, adapter.name, seen.object_id, off)
    note = f"{len(people):,} taken off by hand are pinned: never again (push.untagged_by_hand)"
    return replace(
        want, desired={c: m for c, m in want.desired.items() if c not in off}, ours=want.ours - off, notes=(*want.notes, note)
    )
