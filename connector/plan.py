"""Stage 7 of 10: desired membership against what is really on the platform now, as data. Pure; imports only models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from models.changes import Change, Member, Observed, Target, TargetPlan

STRANGERS = (
    "is there already and we did not make it. Write adopt = true at the segment, or give it another tag "
    "(after a lost store: `rollcall ledger rebuild`)"
)
ANOTHERS = (
    "is there already and another installation of Rollcall keeps it (another store file on the same account, or this one before "
    "it was lost). Give the segment another tag; or share it with adopt = true at the segment, and each takes off only whom it "
    "put on (after a lost store: `rollcall ledger rebuild`)"
)
TAKEN = "is kept for segment '{}', also where its tag = \"...\" says otherwise by now. Give this segment another tag"
TAKEN_OVER = "was adopted for segment '{}', which keeps it now. Give this segment another name"
SHARED = "another installation of Rollcall made it and may keep it too: each takes off only whom it put on"
UNPROVEN = "{:,} who no longer match stay: by a backup's ledger nobody can tell whether it was we who put them on"


@dataclass(frozen=True)
class Wanted:
    """Everything one target's plan is made from, besides what is on the platform.

    desired: contact id -> Member with a reason to enter; closed: contact id -> why it must not carry the tag (a refusal,
    an erasure); reasons: the same of everybody of ours who may not carry it; because: why those of `desired` whom the rule
    does not mean (`reason` is the rule in words); ours: contact ids our ledger says we added; given:
    who may have its second thing by our hand; lagging: contact ids whose adding the platform confirmed
    within the last hours and has never shown since; stuck: contacts that belong there and that the platform refuses to
    change, who stay if they are there; stopped: why the whole run or this segment must not be written (a
    source guard, a pause); allowance: at most so many may enter now (journeys a day); agreed: how many may
    enter by a go-ahead whose fill has not ended, 0 when none is under way; leave_off: somebody taken off by hand
    stays off; no_room: why the object, which is not there, cannot be made; taken_by: another
    segment of ours whose object it is; is_unproven: the ledger is a backup's, so only who
    said no is taken off; more_data: what the segment is computed from besides what it was when the owner said yes.
    """

    target: Target
    object_name: str
    desired: Mapping[str, Member]
    closed: Mapping[str, str] = field(default_factory=dict)
    excluded: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    because: Mapping[str, str] = field(default_factory=dict)
    ours: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()
    lagging: frozenset[str] = frozenset()
    stuck: frozenset[str] = frozenset()
    is_our_object: bool = False
    is_adopted: bool = False
    has_go_ahead: bool = False
    is_first_fill: bool = True
    rule_changed: bool = False
    more_data: str = ""
    not_ready: str = ""
    stopped: str = ""
    reason: str = ""
    allowance: int | None = None
    agreed: int = 0
    leave_off: bool = False
    no_room: str = ""
    taken_by: str = ""
    is_unproven: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """The guards of one segment: shares in percent of the members before, a count of changes, and its own usual night.

    `allowed`: names of guards the owner overrides in this run.
    """

    max_leave_pct: float = 20
    max_enter_pct: float = 50
    max_change_count: int = 1000
    min_members: int = 50
    usual_night: int | None = None
    allowed: frozenset[str] = frozenset()


def plan_target(wanted: Wanted, observed: Observed, limits: Limits, *, with_go_ahead: bool = False) -> TargetPlan:
    """The difference for one target, guarded.

    with_go_ahead: the owner says yes in this very run (`push --first`): first fills are outside the share and count
    guards. Only what is in `ours` is ever removed.
    """
    mended = frozenset() if wanted.leave_off else observed.partial & wanted.desired.keys()
    half = half_in(wanted, observed)
    have = (observed.members | wanted.lagging | half) - mended
    foreign = have - wanted.ours - half
    left_off = wanted.ours - have if wanted.leave_off else frozenset()
    entering = sorted(c for c in wanted.desired if c not in have and c not in left_off)
    adds = [_add(wanted, wanted.desired[c]) for c in entering if c not in observed.closed_to]
    shut = Counter(observed.closed_to[c] for c in entering if c in observed.closed_to)
    wanted = replace(wanted, excluded={**wanted.excluded, **shut}) if shut else wanted
    kept = (wanted.stuck - wanted.closed.keys()) | (wanted.lagging - observed.members)
    leaving = [_remove(wanted, c) for c in sorted((have & (wanted.ours | half)) - kept - wanted.desired.keys())]
    removes = [c for c in leaving if c.must or not wanted.is_unproven]
    if len(removes) < len(leaving):
        wanted = replace(wanted, notes=(*wanted.notes, UNPROVEN.format(len(leaving) - len(removes))))

    parked, waits = _parked(wanted, observed, have, adds, removes, limits, with_go_ahead)
    held = 0
    if not parked and wanted.allowance is not None and len(adds) > wanted.allowance:
        held = len(adds) - wanted.allowance
        adds = adds[: wanted.allowance]
        parked = f"{held:,} more may start a journey on another day (push.max_starts_per_day)"
        return _target_plan(wanted, observed, have, foreign, adds + removes, held, parked, waits=False)
    changes = adds + removes
    if parked and not waits:
        must = [c for c in removes if c.must] if _may_remove(wanted, observed) else []
        held = len(changes) - len(must)
        changes = must
    if not changes and not held:
        parked, waits = "", False
    return _target_plan(wanted, observed, have, foreign, changes, held, parked, waits=waits)


def _target_plan(
    wanted: Wanted,
    observed: Observed,
    have: frozenset[str],
    foreign: frozenset[str],
    changes: list[Change],
    held: int,
    parked: str,
    *,
    waits: bool,
) -> TargetPlan:
    entered = sum(c.kind == "add" for c in changes)
    left = len(changes) - entered
    return TargetPlan(
        target=wanted.target,
        object_name=observed.name or wanted.object_name,
        object_id=observed.object_id,
        creates_object=not observed.exists and entered > 0,
        before=len(have),
        entered=entered,
        left=left,
        after=len(have) + entered - left,
        wanted=len(wanted.desired),
        changes=tuple(changes),
        held=held,
        excluded=dict(wanted.excluded),
        parked=parked,
        waits_for_go_ahead=waits,
        first_fill=wanted.is_first_fill,
        drift=_drift(wanted, observed, foreign),
        notes=tuple(n for n in (*wanted.notes, observed.note, _stranger(wanted, observed) if not parked else "") if n),
    )


def _stranger(wanted: Wanted, observed: Observed) -> str:
    """Said also where nothing would change: nobody is ever taken out of what we do not own."""
    if observed.exists and observed.is_ours_kind and not (wanted.is_our_object or wanted.is_adopted):
        return f"'{observed.name or wanted.object_name}' {_whose(wanted, observed)}"
    return ""


def _whose(wanted: Wanted, observed: Observed) -> str:
    if wanted.taken_by:
        return (TAKEN_OVER if wanted.is_our_object else TAKEN).format(wanted.taken_by)
    return ANOTHERS if observed.made_by == "another" else STRANGERS


def _add(wanted: Wanted, member: Member) -> Change:
    t = wanted.target
    reason = wanted.because.get(member.contact_id) or wanted.reason or "matches the rule"
    return Change(t.platform, t.segment, "add", member.contact_id, member.email, member.person_id, reason)


def _remove(wanted: Wanted, contact_id: str) -> Change:
    t = wanted.target
    refusal = wanted.closed.get(contact_id, "")
    reason = refusal or wanted.reasons.get(contact_id) or "no longer matches the rule"
    return Change(t.platform, t.segment, "remove", contact_id, reason=reason, must=bool(refusal))


def _may_remove(wanted: Wanted, observed: Observed) -> bool:
    is_ours = observed.exists and observed.is_ours_kind and (wanted.is_our_object or wanted.is_adopted)
    return is_ours or bool(half_in(wanted, observed))  # of an object that is not ours, only these are in the plan


def half_in(wanted: Wanted, observed: Observed) -> frozenset[str]:
    """Who should leave, and is off the list and has still the option beside it that we gave them: they have not left."""
    is_anothers = bool(wanted.target.object_id) and not wanted.is_our_object
    on = frozenset[str]() if is_anothers else observed.members  # whoever is on somebody else's list has still our option
    return (wanted.given & observed.carriers) - on - wanted.desired.keys() - set(wanted.target.kept)


def _parked(
    wanted: Wanted,
    observed: Observed,
    have: frozenset[str],
    adds: list[Change],
    removes: list[Change],
    limits: Limits,
    with_go_ahead: bool,
) -> tuple[str, bool]:
    """Why this target's changes must wait ('' = they need not), and whether it is only for the owner's go-ahead."""
    noun = f"'{observed.name or wanted.object_name}'"
    if not observed.is_ours_kind:
        return f"{noun} exists but cannot hold people we choose (it is not a static one). Give the segment another tag.", False
    if observed.exists and not (wanted.is_our_object or wanted.is_adopted):
        return f"{noun} {_whose(wanted, observed)}", False
    if wanted.taken_by:
        return f"{noun} {_whose(wanted, observed)}", False
    if wanted.no_room and not observed.exists:
        return wanted.no_room, False
    if wanted.stopped:
        return wanted.stopped, False
    if wanted.not_ready:
        return f"not ready: {wanted.not_ready}", False
    if not wanted.has_go_ahead and not with_go_ahead:
        return "waits for your go-ahead: run `rollcall push --first`", True
    if wanted.rule_changed and not with_go_ahead:
        return "its rule or purpose changed since your go-ahead: run `rollcall push --first`", True
    if wanted.more_data and not with_go_ahead:
        return (
            f"it is computed from more than when you gave your go-ahead ({wanted.more_data}): run `rollcall push --first`",
            True,
        )
    if wanted.is_our_object and not observed.exists and not with_go_ahead:
        return f"{noun} was deleted on the platform. To make it again: `rollcall push --first`", True
    if (
        wanted.rule_changed
        or wanted.more_data
        or (wanted.is_first_fill and with_go_ahead)
        or (with_go_ahead and not (observed.exists or wanted.agreed))
    ):
        return "", False
    free = sum(r.contact_id not in wanted.closed for r in removes)
    if wanted.is_first_fill:
        return guard(len(have), 0, free, limits) or _beyond(wanted, len(have), len(adds), limits), False
    return guard(len(have), len(adds), free, limits), False


def _beyond(wanted: Wanted, before: int, entering: int, limits: Limits) -> str:
    """Who enters in an open fill beyond those agreed to is guarded as in any night, as if the agreed were in it already."""
    more = entering - wanted.agreed
    broken = guard(before + wanted.agreed, more, 0, limits) if wanted.agreed and more > 0 else ""
    again = f"; you agreed to {wanted.agreed:,}, and to agree to all {entering:,}: `rollcall push --first`"
    return broken + again if broken else ""


def guard(before: int, entered: int, left: int, limits: Limits) -> str:
    """What the first guard says that these numbers break and the owner did not override, '' when none."""
    if max(before, before + entered - left) <= limits.min_members:
        return ""
    broken = {
        "max_leave_pct": _leave(before, left, limits),
        "max_enter_pct": _enter(before, entered, limits),
        "max_change_count": _count(entered + left, limits),
        "usual_night": _unusual(entered + left, limits),
    }
    return next((text for name, text in broken.items() if text and name not in limits.allowed), "")


def _leave(before: int, left: int, limits: Limits) -> str:
    if left * 100 > limits.max_leave_pct * before:
        return f"guard max_leave_pct: {left} of {before} would leave, more than {limits.max_leave_pct:g} %"
    return ""


def _enter(before: int, entered: int, limits: Limits) -> str:
    if entered * 100 > limits.max_enter_pct * before:
        return f"guard max_enter_pct: {entered} would enter {before}, more than {limits.max_enter_pct:g} %"
    return ""


def _count(changes: int, limits: Limits) -> str:
    if changes > limits.max_change_count:
        return f"guard max_change_count: {changes} changes, more than {limits.max_change_count}"
    return ""


def _unusual(changes: int, limits: Limits) -> str:
    if limits.usual_night is not None and changes > max(limits.usual_night, limits.min_members):
        return f"guard usual_night: {changes} changes; a usual night of this segment has at most {limits.usual_night}"
    return ""


def _drift(wanted: Wanted, observed: Observed, foreign: frozenset[str]) -> dict[str, int]:
    missing = wanted.ours - observed.members - wanted.lagging - wanted.reasons.keys() - half_in(wanted, observed)
    found = {
        "tagged_by_hand": len(foreign) if wanted.is_our_object or wanted.is_adopted else 0,
        "untagged_by_hand": len(missing) if observed.exists else 0,
    }
    return {k: n for k, n in found.items() if n}


def held_back(plan: TargetPlan, reason: str) -> TargetPlan:
    """The same plan with everything waiting for `reason`, but removals of people who said no."""
    changes = tuple(c for c in plan.changes if c.must)
    return replace(
        plan,
        changes=changes,
        entered=0,
        left=len(changes),
        after=plan.before - len(changes),
        held=plan.held + len(plan.changes) - len(changes),
        parked=reason,
    )
