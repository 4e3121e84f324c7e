"""The trial: the first writes to a live account are at most ten changes, which the owner looks at before everybody follows.

A place is an account of a platform, known by its own id, or a webhook, known by its address. The trial of a place is made when a
write of ours was confirmed there in a run that the owner began; a run on a schedule never makes it. It is asked for again in another
account, and where the owner took everything back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import adapters
from connector import triggers, undo
from connector.config import Config, is_loopback
from connector.plain import visible
from connector.session import Session
from connector.store import Store
from models.changes import FieldPlan, Plan, TargetPlan, TriggerPlan
from models.errors import UsageError

LIVE = False
"""Whether accounts off this machine are written at all. What has to be shown first stands in docs/adr/0005."""

MOST = 10
NOTE = "trial:"
"""How the names of notes in `meta` begin that say where the trial was made."""

Part = TargetPlan | FieldPlan | TriggerPlan
WAITS = "waits for the trial, as Rollcall has never written there: run `{}`, look at it, and the next run goes on"


def require(s: Session, plan: Plan, *, first: bool = False, named: Sequence[str] = ()) -> None:
    """Raises UsageError where a plan would write more than ten changes to a place in which the trial was not made."""
    over = {p: parts for p, parts in _untried(s.store, s.config, plan).items() if _count(parts) > MOST}
    if not over:
        return
    what = " and ".join(f"{_count(parts):,} changes to {_title(s, parts[0])}" for parts in over.values())
    command = _command(list(over.values()), named, first=first)
    raise UsageError(
        f"This run would write {what}, where Rollcall has never written before. The first time it writes at most {MOST} changes, "
        f"which you look at before everybody follows. Nothing was written. Make the trial: `{command}` (or `--only EMAIL` instead of "
        f"`--limit {MOST}`, with somebody you know). Look there at what it wrote, then run this again; `rollcall undo RUN` takes "
        "the trial back."
    )


def at_most_ten(s: Session, plan: Plan) -> Plan:
    """A canary as far as it may be written: ten changes in all to each place in which the trial was not made."""
    return _cut(s, plan, MOST)


def held_back(s: Session, plan: Plan) -> Plan:
    """A plan of a run that nobody watches: where the trial was not made everything waits for it, but who said no."""
    return _cut(s, plan, 0)


def announced(s: Session, plan: Plan) -> Plan:
    """The plan, saying where the trial is to be made first."""
    if not LIVE:
        return plan
    said = tuple(
        f"{_title(s, parts[0])}: Rollcall has never written there. The first time it writes at most {MOST} changes, which you look at "
        f"before everybody follows: `{_command([parts], (), first=any(p.waits_for_go_ahead for p in parts))}`"
        for parts in _untried(s.store, s.config, plan).values()
        if any(p.changes for p in parts)
    )
    return replace(plan, notes=(*plan.notes, *said))


def note(s: Session, plan: Plan) -> None:
    """Called after writing: where something was confirmed the trial is made; where everything was taken back, it is no more."""
    if plan.undone:
        for part in _parts(plan):
            place = _place(s.config, plan, part)
            if place and not isinstance(part, TriggerPlan) and not _stands(s.store, _platform(part)):
                s.store.sql("DELETE FROM meta WHERE name = ?", [NOTE + place])
        return
    for place, parts in _untried(s.store, s.config, plan).items():
        if any(_counted(p) and _is_confirmed(s, p) for p in parts):
            s.store.insert("meta", [{"name": NOTE + place, "value": s.run_id}])


def _stands(store: Store, platform: str) -> bool:
    """Whether anything of ours is in the account, by the ledger."""
    fields = "SELECT 1 FROM field_values WHERE platform = $platform AND value <> ''"
    return bool(
        store.sql(f"SELECT 1 FROM ledger WHERE platform = $platform UNION ALL {fields} LIMIT 1", {"platform": platform})
    )


def _is_confirmed(s: Session, part: Part) -> bool:
    if isinstance(part, TargetPlan):
        place = (part.target.platform, part.target.segment)
        return any((r.platform, r.segment) == place and r.counts.get("done") for r in s.results)
    if isinstance(part, FieldPlan):
        return any((r["platform"], r["field"]) == (part.platform, part.name) and r.get("done") for r in s.field_results)
    told: Any = s.summary.get("triggers", [])
    return any(row["trigger"] == part.name and row.get("done") for row in told)


def _untried(store: Store, config: Config, plan: Plan) -> dict[str, list[Part]]:
    """Place -> the parts of a plan that would be the first that is written there."""
    made = {name for (name,) in store.sql("SELECT name FROM meta WHERE starts_with(name, ?)", [NOTE])}
    found: dict[str, list[Part]] = {}
    for part in _parts(plan):
        place = _place(config, plan, part)
        if place and NOTE + place not in made:
            found.setdefault(place, []).append(part)
    return found


def _parts(plan: Plan) -> Iterator[Part]:
    yield from plan.targets
    yield from plan.fields
    yield from plan.triggers


def _place(config: Config, plan: Plan, part: Part) -> str:
    """'' for what stays on this machine, or is not written. Of a webhook's address, which may hold a secret, only a digest."""
    if isinstance(part, TriggerPlan):
        url = next(t.url for t in config.trigger if t.name == part.name)
        if url:
            return "" if is_loopback(url) else f"webhook:{hashlib.sha256(url.encode()).hexdigest()[:16]}"
    platform = _platform(part)
    if not config.platform(platform).push or config.is_loopback(platform):
        return ""
    return f"{platform}:{plan.accounts.get(platform, '')}"


def _platform(part: Part) -> str:
    if isinstance(part, TriggerPlan):
        return "mailchimp"
    return part.target.platform if isinstance(part, TargetPlan) else part.platform


def _counted(part: Part) -> tuple[Any, ...]:
    """What would be written now; who said no is taken out whatever waits, and not counted."""
    if isinstance(part, TriggerPlan):
        return part.changes
    return tuple(c for c in part.writable if not c.must)


def _count(parts: Sequence[Part]) -> int:
    return sum(len(_counted(p)) for p in parts)


def _cut(s: Session, plan: Plan, most: int) -> Plan:
    room = dict.fromkeys(_untried(s.store, s.config, plan), most)

    def some(part: Any) -> Any:
        place, counted = _place(s.config, plan, part), _counted(part)
        if len(counted) <= room.get(place, len(counted)):
            if place in room:
                room[place] -= len(counted)
            return part
        over = set(counted[room[place] :])
        room[place] = 0
        cut = undo.narrowed(part, [c for c in part.changes if c not in over])
        return cut if most else replace(cut, notes=part.notes, parked=WAITS.format(_command([[part]], (), first=False)))

    return replace(
        plan,
        targets=tuple(some(t) for t in plan.targets),
        fields=tuple(some(f) for f in plan.fields),
        triggers=tuple(some(t) for t in plan.triggers),
    )


def _command(places: Sequence[Sequence[Part]], named: Sequence[str], *, first: bool) -> str:
    parts = [p for place in places for p in place]
    accounts = {"" if _is_webhook(p) else _platform(p) for p in parts}
    names = list(named) or ([p.segment for p in parts if isinstance(p, TriggerPlan)] if accounts == {""} else [])
    only = "" if "" in accounts else "".join(f" --platform {platform}" for platform in sorted(accounts))
    scope = "".join(f' --segment "{name}"' for name in dict.fromkeys(names))
    return f"rollcall push{' --first' if first else ''}{only}{scope} --limit {MOST}"


def _is_webhook(part: Part) -> bool:
    return isinstance(part, TriggerPlan) and part.how.startswith("webhook")


def _title(s: Session, part: Part) -> str:
    if isinstance(part, TriggerPlan) and _is_webhook(part):
        trigger = next(t for t in s.config.trigger if t.name == part.name)
        return f"the webhook of trigger '{part.name}' ({triggers.host_of(trigger)})"
    platform = _platform(part)
    name = f" account {visible(s.accounts[platform].name)}" if platform in s.accounts else ""
    return f"the {adapters.title(platform)}{name}"
