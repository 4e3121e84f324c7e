"""What a plan holds besides tags and lists: profile columns written as fields, and triggers that tell other programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import adapters
from adapters.base import Adapter
from adapters.webhook import Webhook
from connector import (
    audit,
    choices,
    clock,
    consent,
    consent_again,
    coverage,
    field_values,
    field_writing,
    guards,
    ledger,
    no_profiling,
    secrets,
    staleness,
    triggers,
)
from connector.columns import BY_NAME
from connector.config import FieldSection, Trigger
from connector.session import Problem, Session, known_account
from models.changes import FieldPlan, Member, Outcome, Told, TriggerPlan
from models.errors import ApiError, AuthError, ConfigError, ConnectorError
from models.segments import Segment

TRIGGER = "trigger"
"""In the place of a platform's name, where it is noted what a trigger was begun with."""


def plan_fields(
    s: Session,
    adapter: Adapter,
    sections: Sequence[FieldSection],
    stop: str,
    *,
    with_go_ahead: bool,
    allowed: frozenset[str],
) -> list[FieldPlan]:
    """What the configured columns would change on one platform. What an earlier run left open is settled first."""
    if not sections:
        return []
    field_values.check(s.config)
    _different_names(adapter, sections)
    field_writing.recover(s.store, adapter, now=s.now)
    consent.judge(s.store, s.config, adapter.name, "email")
    objecting = no_profiling.not_profiled(s.store, s.config)
    terms = {f: _terms(s, adapter, f, stop, with_go_ahead, allowed) for f in sections}
    for f in _beyond_room(s, adapter, [f for f in sections if not terms[f].parked or terms[f].waits]):
        terms[f] = replace(terms[f], parked=NO_ROOM.format(adapter.title, adapter.field_noun), waits=False)
    return [field_values.plan(s.store, adapter, f, replace(terms[f], objecting=objecting)) for f in sections]


NO_ROOM = "{0} has no room for all the fields that would be made: delete a {1} you no longer need, or write fewer columns"


def _beyond_room(s: Session, adapter: Adapter, sections: Sequence[FieldSection]) -> list[FieldSection]:
    """Fields that cannot be made because those before them take the last places."""
    by_name = {adapter.field_name(field_values.label_of(f)): f for f in sections}
    try:
        return [by_name[name] for name in adapter.fields_without_room(list(by_name))] if len(by_name) > 1 else []
    except (ApiError, AuthError) as e:
        s.problem(e, adapter.name)
        return []


def _terms(
    s: Session, adapter: Adapter, section: FieldSection, stop: str, with_go_ahead: bool, allowed: frozenset[str]
) -> field_values.Terms:
    key = field_values.key_of(section)
    known = ledger.go_ahead(s.store, adapter.name, key)
    is_first = known != field_values.digest(section) or ledger.go_ahead(s.store, adapter.name, "") is None
    waits = is_first and not with_go_ahead
    is_filling = is_first or ledger.filling(s.store, adapter.name, key) > 0
    most = 1 << 60 if field_values.GUARD in allowed or is_filling else s.config.guards.max_change_count
    old = guards.stale(s.store, s.config, s.now()) or _left(s, section.column)
    pause = choices.paused(s.store, key)
    parked = stop or (old.text if old and old.guard not in allowed else "")
    parked = parked or (f'paused ({pause}): `rollcall segment resume "{key}"` goes on' if pause else "")
    parked = parked or _problem(s, adapter, section)
    if waits and not parked:
        return field_values.Terms("waits for your go-ahead: run `rollcall push --first`", True, most)
    return field_values.Terms(parked, False, most)


def _left(s: Session, column: str) -> guards.Stop | None:
    """Why the column's values are stale: a platform that is no longer configured told some of what they are made of."""
    left = guards.left_sources(s.store, s.config)
    return next((left[t] for t in sorted(BY_NAME[column].needs) if t in left), None)


def _problem(s: Session, adapter: Adapter, section: FieldSection) -> str:
    """Why the platform will not have this field; a key that may not look at fields holds back fields only."""
    try:
        return adapter.field_problem(
            adapter.field_name(field_values.label_of(section)), field_values.kind_of(section.column)
        )  # fmt: skip
    except (ApiError, AuthError) as e:
        s.problem(e, adapter.name)
        return str(e)


def _different_names(adapter: Adapter, sections: Sequence[FieldSection]) -> None:
    seen: dict[str, str] = {}
    for label in map(field_values.label_of, sections):
        name = adapter.field_name(label)
        if name in seen:
            raise ConfigError(
                f"[[field]] '{seen[name]}' and '{label}' would both be the {adapter.field_noun} {name}. Give one another name."
            )
        seen[name] = label


def fields_left_behind(s: Session) -> list[str]:
    """Fields we filled that no [[field]] names any more, in words. They are left as they are."""
    known = {(p, s.adapter(p).field_name(field_values.label_of(f))) for f in s.config.field for p in f.push}
    return [
        f"{s.adapter(platform).field_noun} {name} still holds {values:,} values we wrote, and no [[field]] names it any more: they "
        f"stay as they are. Delete the field in {s.adapter(platform).title}, or name it again."
        for platform, name, values in s.store.sql(
            "SELECT platform, field, count(*) FROM field_values WHERE value <> '' GROUP BY ALL ORDER BY ALL"
        )
        if platform in s.config.platforms and (platform, name) not in known
    ]


def write_fields(s: Session, adapter: Adapter, plans: Sequence[FieldPlan], *, first: bool, canary: bool = False) -> None:
    """Write one platform's fields; with the owner's go-ahead it is recorded, but for a canary, which ends no fill either. What ends
    the platform is a problem of the run."""
    sections = {adapter.field_name(field_values.label_of(f)): f for f in s.config.field if adapter.name in f.push}
    if first and not canary:
        for p in plans:
            _record(s, adapter, sections[p.name], p)
    if not any(p.writable for p in plans):
        return
    name, accounts = f"{adapter.title} fields", dict[str, field_writing.Account]()
    s.progress.start(name, len({c.contact_id for p in plans for c in p.writable}))
    try:
        field_writing.carry_out(
            s.store, adapter, plans, run_id=s.run_id, now=s.now, accounts=accounts,
            told=lambda n: s.progress.advance(name, n),
        )  # fmt: skip
    except ConnectorError as e:
        if e.exit_code in (2, 5):
            raise
        s.problem(e, adapter.name)
    finally:
        s.progress.finish(name)
    for p in plans:
        if p.writable:
            _tell_field(s, adapter, p, accounts.get(p.name, field_writing.Account()))
        if not canary and sum(accounts[p.name].counts.values() if p.name in accounts else [0]) == len(p.writable):
            ledger.end_fill(s.store, adapter.name, field_values.key_of(sections[p.name]))
    s.summary["fields"] = s.field_results


def _tell_field(s: Session, adapter: Adapter, p: FieldPlan, account: field_writing.Account) -> None:
    planned = len(p.writable)
    row = {"platform": adapter.name, "field": p.name, "column": p.column, "planned": planned, **account.counts}
    s.field_results.append({**row, "not_sent": planned - sum(account.counts.values())})
    lost = sum(n for word, n in account.counts.items() if word not in ("done", "already"))
    if lost:
        why = "; ".join(f"{reason} ({n:,})" for reason, n in account.reasons.most_common(3))
        s.problems.append(
            Problem(f"{adapter.field_noun} {p.name}: {lost:,} values could not be written: {why}", 3, adapter.name)
        )


def _record(s: Session, adapter: Adapter, section: FieldSection, plan: FieldPlan) -> None:
    """Not for a field without values, or one that something else holds back: the owner has seen no number of it."""
    key, digest = field_values.key_of(section), field_values.digest(section)
    if not plan.changes or (plan.parked and not plan.waits_for_go_ahead):
        return
    with s.store.transaction():
        if ledger.go_ahead(s.store, adapter.name, "") is None:
            ledger.give_go_ahead(s.store, adapter.name, "", "", len(plan.changes), s.now(), s.run_id)
        if ledger.go_ahead(s.store, adapter.name, key) != digest:
            ledger.begin_fill(s.store, adapter.name, key, len(plan.changes))
            ledger.give_go_ahead(s.store, adapter.name, key, digest, len(plan.changes), s.now(), s.run_id)


def undo_fields(s: Session, run_id: str, stop: str, allowed: frozenset[str]) -> tuple[list[FieldPlan], list[str]]:
    """The plans that put back what stood in our fields before a run, and what cannot be put back. Pauses those fields."""
    found: list[FieldPlan] = []
    left: list[str] = []
    for platform in field_platforms(s, run_id):
        adapter = s.adapter(platform)
        sections = {adapter.field_name(field_values.label_of(f)): f for f in s.config.field if platform in f.push}
        consent.judge(s.store, s.config, platform, "email")
        most = 1 << 60 if field_values.GUARD in allowed else s.config.guards.max_change_count
        terms = field_values.Terms(stop, False, most, no_profiling.not_profiled(s.store, s.config))
        for name, rows in field_values.written(s.store, run_id, platform).items():
            if name not in sections:
                left.append(f"{adapter.field_noun} {name}: no longer in the configuration, so it is left as it is")
                continue
            plan, kept = field_values.reversed_plan(s.store, adapter, sections[name], rows, terms)
            found.append(plan)
            if kept:
                left.append(
                    f"{adapter.field_noun} {name}: {kept:,} of {len(rows):,} were changed since or may not be written, and are "
                    "left alone"
                )
            choices.pause(s.store, [field_values.key_of(sections[name])], f"undone run {run_id}", s.now(), s.run_id)
    return found, left


def field_platforms(s: Session, run_id: str) -> list[str]:
    """The configured platforms on which a run set out to write fields."""
    rows = s.store.sql("SELECT DISTINCT platform FROM field_writes WHERE run_id = ? ORDER BY 1", [run_id])
    return [p for (p,) in rows if p in s.config.platforms]


def plan_triggers(
    s: Session, segments: Sequence[Segment], stop: str, accounts: dict[str, str], only: Sequence[str], named: Sequence[str]
) -> tuple[TriggerPlan, ...]:
    """What the configured triggers would tell now. Adds the Mailchimp account to `accounts` where events go there."""
    triggers.check(s.config)
    by_name = {g.name: g for g in segments}
    day_began = clock.midnight_utc(clock.local_day(s.now(), s.config.shop.timezone), s.config.shop.timezone)
    old = staleness.of_segments(s, segments)
    behind = coverage.of_segments(s.store, s.config, [by_name[t.segment] for t in s.config.trigger]) if s.config.trigger else {}
    found = []
    for trigger in s.config.trigger:
        g = by_name[trigger.segment]
        goal = "mailchimp" if trigger.mailchimp_event else ""
        if (only and goal not in only) or (named and g.name not in named):
            continue
        triggers.recover(s.store, trigger, s.run_id, s.now())
        held = stop or _segment_waits(s, g) or old[g.name]
        if goal and not s.config.platform(goal).push:
            held = f"[{goal}] has no push = true, and without it nothing is written there"
        if goal and not held:
            try:
                accounts.setdefault(goal, s.accounts.setdefault(goal, known_account(s, s.adapter(goal))).id)
            except ConnectorError as e:
                if e.exit_code in (2, 4, 5):
                    raise
                held = f"{s.adapter(goal).title} could not be reached"
        more = coverage.more(s.store, TRIGGER, trigger.name, behind[g.name])
        found.append(triggers.plan(s.store, s.config, trigger, g, held, day_began=day_began, now=s.now(), more_data=more))
    return tuple(found)


def _segment_waits(s: Session, g: Segment) -> str:
    """Why nothing may be done about the segment: paused, or its data is not there."""
    pause = choices.paused(s.store, g.name)
    if pause:
        return f'paused ({pause}): `rollcall segment resume "{g.name}"` goes on'
    count = next(c for c in s.counts if c.segment == g.name)
    return "" if count.is_ready else f"not ready: {count.not_ready}"


def tell(s: Session, plans: Sequence[TriggerPlan], segments: dict[str, Segment], *, first: bool) -> None:
    """Set off the triggers of the plan; with the owner's go-ahead those that wait for it begin, and tell of nobody yet."""
    by_name = {t.name: t for t in s.config.trigger}
    told: list[dict[str, object]] = []
    behind = coverage.of_segments(s.store, s.config, [segments[made.segment] for made in plans]) if plans else {}
    for made in plans:
        trigger, g = by_name[made.name], segments[made.segment]
        if made.waits_for_go_ahead and first:
            inside = triggers.start(s.store, trigger, g, s.now(), s.run_id)
            coverage.remember(s.store, TRIGGER, trigger.name, behind[g.name])
            audit.note(s.store, "trigger", s.now(), s.run_id, object_id=trigger.name, detail=f"begins; {inside} are in already")
        elif triggers.has_started(s.store, trigger, g):
            coverage.keep_up(s.store, TRIGGER, trigger.name, behind[g.name])
        if not made.changes:
            continue
        silent = consent_again.of_people(s, {t.person_id for t in made.changes})
        if silent:
            who = " and ".join(adapters.title(p) for p in silent)
            text = (
                f"Trigger '{made.name}': {len(made.changes):,} wait, because {who} gave no answer that can be used on whether "
            )
            s.problems.append(Problem(f"{text}everybody still permits it. The next run asks again.", 3))
            told.append(
                {"trigger": made.name, "segment": made.segment, "planned": len(made.changes), "waiting": len(made.changes)}
            )
            continue
        closed = triggers.closed(s.store, s.config, trigger, g)
        going = [t for t in made.changes if t.person_id not in closed]
        dropped = len(made.changes) - len(going)
        try:
            send = _sender(s, trigger, g)
        except ConfigError as e:  # a secret that is not there: everything else of the run is brought to its end
            s.problems.append(Problem(f"Trigger '{made.name}': {len(going):,} wait. {e}", e.exit_code))
            told.append({"trigger": made.name, "segment": made.segment, "planned": len(made.changes), "waiting": len(going)})
            continue
        counts = triggers.carry_out(s.store, trigger, going, send, run_id=s.run_id, now=s.now)
        audit.note(s.store, "told", s.now(), s.run_id, object_id=trigger.name, detail=str(counts))
        more = {"dropped": dropped} if dropped else {}
        told.append({"trigger": made.name, "segment": made.segment, "planned": len(made.changes), **more, **counts})
        lost = sum(n for word, n in counts.items() if word != "done")
        if lost:
            s.problems.append(Problem(f"Trigger '{made.name}': {lost} could not be told ({made.how}).", 3))
    if told:
        s.summary["triggers"] = told


def _sender(s: Session, trigger: Trigger, g: Segment) -> triggers.Send:
    if trigger.mailchimp_event:
        adapter = s.adapter("mailchimp")

        def record(told: Told) -> Outcome:
            try:
                return adapter.tell(Member(told.contact_id, told.email, told.person_id), trigger.mailchimp_event)
            except (ApiError, AuthError) as e:  # refused, or never sent: that is clear, and the next run tries again
                s.problem(e, adapter.name)
                return Outcome(told.contact_id, "add", "refused", str(e))

        return record
    secret = secrets.resolve(trigger.secret, key=f"trigger.{trigger.name}.secret", base=s.config.folder)
    door = Webhook(trigger.url, secret, now_utc=s.now, sleep=s.sleep)

    def send(told: Told) -> Outcome:
        try:
            door.send(told.message_id, triggers.message(s.store, trigger, g, told))
        except (ApiError, AuthError) as e:
            return Outcome(told.contact_id, "add", "refused", str(e))
        return Outcome(told.contact_id, "add", "done")

    return send
