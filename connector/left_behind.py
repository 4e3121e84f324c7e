"""Tags and lists of ours that no segment of the configuration fills any more: left as they are, but for whoever says no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from adapters.base import Adapter
from connector import agreed, consent, desired, ledger, parts, restore
from connector import plan as planning
from connector.config import says_service
from connector.session import Session
from models.changes import Target, TargetPlan
from models.segments import Segment

NOBODY = "no segment fills it any more"


def said(s: Session, segments: Sequence[Segment]) -> list[str]:
    """In words, with what the owner may do about it."""
    return [
        f"{s.adapter(platform).noun} '{name}' is still on {people:,} people we gave it to, but segment '{segment_name}' is no "
        f'longer pushed there: only who says no is taken off. To take it off everybody: a [[segment]] with name = "{segment_name}" '
        f'and retire = true (or retire = ["{platform}"]); after a change of name: was = "{segment_name}" at the new one.'
        for platform, segment_name, name, people in _held(s, segments)
        if people
    ]


def on(s: Session, platform: str, segments: Sequence[Segment]) -> list[Segment]:
    """The segments that were pushed to the platform once, and are no more."""
    configured = {g.name: g for g in segments}
    return [
        replace(configured.get(name, Segment(name, "")), push=(), retire=(), adopt=False, starts="nothing")
        for where, name, _, _ in _held(s, segments)
        if where == platform
    ]


def wanted(s: Session, adapter: Adapter, g: Segment) -> planning.Wanted:
    """Nobody enters and nobody leaves but by a refusal. It is for mailing, whatever its name says, unless the owner agreed to a
    service segment, and for the channel they agreed to; where nobody can tell, one that the configuration does not have counts as
    one for e-mail."""
    object_id, name = ledger.object_of(s.store, adapter.name, g.name)
    is_service = says_service(name) and ledger.is_for_service(s.store, adapter.name, g.name)
    g = replace(g, purpose="service" if is_service else "marketing", channel=agreed.channel(s.store, adapter.name, g))
    consent.judge(s.store, s.config, adapter.name, g.channel)
    found = desired.who(s.store, s.config, adapter.name, adapter.title, g, day=s.as_of.day)
    target = parts.known(s.store, Target(adapter.name, g.name, name, object_id, g.purpose, "nothing"), is_adopted=False)
    return planning.Wanted(
        target=target, object_name=name, desired={}, closed=found.closed, reasons=found.reasons, stuck=found.stuck,
        ours=ledger.ours(s.store, adapter.name, object_id), given=parts.given(s.store, target), is_our_object=True,
        has_go_ahead=True, is_first_fill=False, is_unproven=bool(restore.doubt(s.store)), stopped=NOBODY,
    )  # fmt: skip


def only_refusals(plans: Sequence[TargetPlan], names: set[str]) -> list[TargetPlan]:
    """The plans, of these segments only what a refusal asks for."""
    kept = [t if t.target.segment not in names else replace(t, parked="", held=0, excluded={}, drift={}) for t in plans]
    return [t for t in kept if t.target.segment not in names or t.changes]


def _held(s: Session, segments: Sequence[Segment]) -> list[tuple[str, str, str, int]]:
    known = {(p, g.name) for g in segments for p in (*g.push, *g.retire)}
    return [
        (platform, segment, name, people)
        for platform, segment, name, people in ledger.objects_with_members(s.store)
        if platform in s.config.platforms and (platform, segment) not in known
    ]
