"""What another program is told when somebody enters or leaves a segment: signed webhooks, and Mailchimp events.

A trigger begins with the owner's go-ahead: who is in the segment then sets off nothing. A webhook is delivered at least once,
always under the same id; a Mailchimp event at most once: where the answer is lost nobody can tell, so it is not repeated, and
shown. Each stay of each person is told once. Consent is that of the segment's tags: who said no anywhere is told of to nobody.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from connector import consent, desired
from connector.columns import COLUMNS
from connector.config import Config, Trigger
from connector.keys import store_key
from connector.rules.nearest import hint
from connector.store import Row, Store
from models.changes import Outcome, Told, TriggerPlan
from models.errors import ConfigError
from models.segments import Segment

MOST_TRIES = 5
NAMES = ("email", "first_name", "last_name")
"""What a webhook may carry besides profile columns."""

SETTLED = ("before", "done", "unknown", "cooled", "given up")
"""States after which a stay sets off nothing any more; 'intended' and 'failed' are tried again."""


def digest(trigger: Trigger) -> str:
    """Changes when a trigger begins anew: another segment, another moment, another receiver."""
    parts = (trigger.segment, trigger.on, trigger.url, trigger.mailchimp_event)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def check(config: Config) -> None:
    """Raises ConfigError for a field that no profile has, naming the nearest one."""
    known = (*NAMES, *(c.name for c in COLUMNS))
    for trigger in config.trigger:
        for name in trigger.fields:
            if name not in known:
                near = hint(name, known)
                raise ConfigError(f"{config.path.name}: trigger '{trigger.name}' would send an unknown field '{name}'.{near}")


def begun_as(trigger: Trigger, segment: Segment) -> str:
    """What the owner said yes to: another rule brings others, of whom nobody is told before the owner has seen how many."""
    rule = (digest(trigger), segment.where, segment.stays_while, segment.purpose, segment.channel, *segment.behind)
    return hashlib.sha256("\x1f".join(rule).encode()).hexdigest()[:16]


def has_started(store: Store, trigger: Trigger, segment: Segment) -> bool:
    """The owner gave the go-ahead for the trigger, and for its segment's rule, as they stand now."""
    known = store.value("SELECT digest FROM trigger_starts WHERE trigger = ?", [trigger.name])
    return known is not None and known == begun_as(trigger, segment)


def end_others(store: Store, config: Config, segments: Sequence[Segment]) -> None:
    """Whatever the owner took out of the configuration, or gave another meaning, begins anew when it comes back: the stays of
    whoever is in its segment may have ended and begun meanwhile. Called whenever stays are written."""
    by_name = {g.name: g for g in segments}
    now = {t.name: begun_as(t, by_name[t.segment]) for t in config.trigger if t.segment in by_name}
    for name, known in store.sql("SELECT trigger, digest FROM trigger_starts"):
        if now.get(name) != known:
            store.sql("DELETE FROM trigger_starts WHERE trigger = ?", [name])


def start(store: Store, trigger: Trigger, segment: Segment, now: datetime, run_id: str) -> int:
    """From now on stays count; those there are now set off nothing. Gives how many those are."""
    with store.transaction():
        store.sql("DELETE FROM trigger_starts WHERE trigger = ?", [trigger.name])
        store.sql("DELETE FROM triggered WHERE trigger = ? AND state NOT IN ('done', 'unknown')", [trigger.name])
        store.insert(
            "trigger_starts",
            [{"trigger": trigger.name, "digest": begun_as(trigger, segment), "started_at": str(now), "run_id": run_id}],
        )
        store.sql(
            f"""INSERT INTO triggered (trigger, person_id, happened_on, state, tries, first_run, last_run, last_at)
                SELECT $trigger, person_id, happened_on, 'before', 0, $run, $run, $now FROM ({_stays(trigger)})""",
            {"trigger": trigger.name, "segment": trigger.segment, "run": run_id, "now": now},
        )
    return int(store.value("SELECT count(*) FROM triggered WHERE trigger = ? AND state = 'before'", [trigger.name]))


def _stays(trigger: Trigger) -> str:
    """(person_id, happened_on) of everybody who is in the segment, or who left it and is not back."""
    if trigger.on == "enter":
        return """SELECT person_id, max(entered_on) AS happened_on FROM memberships
                  WHERE segment = $segment AND left_on IS NULL GROUP BY person_id"""
    return """SELECT person_id, max(left_on) AS happened_on FROM memberships WHERE segment = $segment
              GROUP BY person_id HAVING count(*) FILTER (left_on IS NULL) = 0"""


def plan(
    store: Store, config: Config, trigger: Trigger, segment: Segment, held: str, *, day_began: datetime, now: datetime,
    more_data: str = "",
) -> TriggerPlan:  # fmt: skip
    """Whom a trigger would tell of now. held: why nothing may be sent; day_began: the shop's midnight, naive UTC; more_data: what
    its segment is computed from besides what it was when the owner said yes."""
    how = f"Mailchimp event '{trigger.mailchimp_event}'" if trigger.mailchimp_event else f"webhook to {host_of(trigger)}"
    made = TriggerPlan(trigger.name, segment.name, trigger.on, how)
    if more_data or not has_started(store, trigger, segment):
        inside = len(store.sql(_stays(trigger), {"segment": segment.name}))
        note = f"waits for your go-ahead (`rollcall push --first`); the {inside:,} people of now will set off nothing"
        return replace(made, parked=held or note, waits_for_go_ahead=not held)
    due, excluded = _due(store, config, trigger, segment, now)
    room = max(0, trigger.max_per_day - _sent_since(store, trigger, day_began, now))
    parked = held
    if not held and len(due) > room:
        parked = f"{len(due) - room:,} wait for another day (max_per_day = {trigger.max_per_day})"
    going = [] if held else due[:room]
    return replace(
        made, changes=tuple(going), held=len(due) - len(going), parked=parked if len(due) > len(going) else "", excluded=excluded,
        notes=_notes(store, trigger),
    )  # fmt: skip


def _notes(store: Store, trigger: Trigger) -> tuple[str, ...]:
    words = {"unknown": "were sent without a clear answer and are not repeated", "given up": "could not be delivered"}
    counts = dict(store.sql("SELECT state, count(*) FROM triggered WHERE trigger = ? GROUP BY state", [trigger.name]))
    return tuple(f"{counts[state]:,} {text}" for state, text in words.items() if counts.get(state))


def host_of(trigger: Trigger) -> str:
    """The receiver's host; the rest of an address may hold a secret."""
    return urlsplit(trigger.url).hostname or "?"


def _due(store: Store, config: Config, trigger: Trigger, segment: Segment, now: datetime) -> tuple[list[Told], dict[str, int]]:
    rows = store.sql(
        f"""
        SELECT s.person_id, s.happened_on, t.message_id FROM ({_stays(trigger)}) s
        LEFT JOIN triggered t ON t.trigger = $trigger AND t.person_id = s.person_id AND t.happened_on = s.happened_on
        WHERE t.state IS NULL OR t.state NOT IN {SETTLED} ORDER BY s.happened_on, s.person_id""",
        {"trigger": trigger.name, "segment": segment.name},
    )
    if not rows:
        return [], {}
    closed, places = _consent(store, config, trigger, segment)
    out = dict.fromkeys(_cooling(store, trigger, now), "told of within the cool-down")
    out |= (_kept_out(store, config, segment) if trigger.on == "enter" else {}) | closed
    found, excluded = [], dict[str, int]()
    for person_id, happened_on, message_id in rows:
        contact_id, email = places.get(person_id, ("", ""))
        reason = out.get(person_id, "")
        if not reason and trigger.mailchimp_event and not contact_id:
            reason = consent.NOT_THERE
        if reason:
            excluded[reason] = excluded.get(reason, 0) + 1
            continue
        told = message_id or _message_id(store, trigger, person_id, happened_on)
        found.append(Told(person_id, contact_id, email, str(happened_on), told))
    return found, dict(sorted(excluded.items()))


def _message_id(store: Store, trigger: Trigger, person_id: str, happened_on: date) -> str:
    """The same for every repetition, and telling nothing about the person."""
    text = "\x1f".join((trigger.name, digest(trigger), person_id, str(happened_on)))
    return "msg_" + hmac.new(store_key(store), text.encode(), hashlib.sha256).hexdigest()[:32]


def closed(store: Store, config: Config, trigger: Trigger, segment: Segment) -> dict[str, str]:
    """Person -> why nobody is told of them, by what we know at this moment."""
    return _consent(store, config, trigger, segment)[0]


def _consent(
    store: Store, config: Config, trigger: Trigger, segment: Segment
) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """(person -> why nobody is told of them, person -> their Mailchimp contact and its address)."""
    closed = {p: "erased" for (p,) in store.sql(_EVERYWHERE, {"channel": segment.channel, "status": "erased"})}
    if segment.purpose != "service":
        refused = store.sql(_EVERYWHERE, {"channel": segment.channel, "status": "unsubscribed"})
        refused += store.sql(consent.REFUSED, {"channel": segment.channel})
        refused += store.sql(_HOLDERS) if segment.channel == "email" else []
        closed |= {p: "said no" for (p,) in refused if p not in closed}
    places: dict[str, tuple[str, str]] = {}
    for platform in config.platforms:
        is_goal = bool(trigger.mailchimp_event) and platform == "mailchimp"
        told_by = "service" if segment.purpose == "service" and not is_goal else "marketing"  # an event may start a mail
        for channel in dict.fromkeys([segment.channel, *(["email"] if is_goal else [])]):
            consent.judge(store, config, platform, channel)
            for person, contact, email, why, is_no in store.sql(
                f"SELECT person_id, contact_id, email, {told_by}, is_no FROM verdicts ORDER BY {told_by} <> '' DESC, rank DESC"
            ):
                if (is_no and segment.purpose != "service") or why == "erased":
                    closed.setdefault(person, why)
                if is_goal:
                    places[person] = (contact, email or "")
                    if why:
                        closed.setdefault(person, why)
    return closed, places


def _kept_out(store: Store, config: Config, segment: Segment) -> dict[str, str]:
    """Person -> why they are not in the segment's tags, by the owner's word: the rule alone does not bring them in."""
    found = desired.taken_by_set(store, config, segment.name)
    if segment.purpose != "service" and store.sql("SELECT 1 FROM duckdb_tables() WHERE table_name = 'globally_excluded'"):
        found |= dict.fromkeys((p for (p,) in store.sql("SELECT person_id FROM globally_excluded")), desired.EXCLUDED)
    pinned = store.sql("SELECT person_id FROM pins WHERE kind = 'never' AND lower(segment) = lower(?)", [segment.name])
    return found | dict.fromkeys((p for (p,) in pinned), "pinned: never")


_EVERYWHERE = """
SELECT DISTINCT l.person_id FROM consents c JOIN person_links l USING (source, contact_id)
WHERE c.topic = '' AND c.status = $status AND (c.channel = $channel OR $status = 'erased')
"""

_HOLDERS = f"""
WITH said AS ({consent.REFUSING})
SELECT l.person_id FROM contacts k SEMI JOIN said USING (email) JOIN person_links l USING (source, contact_id)
UNION SELECT l.person_id FROM person_links l SEMI JOIN said ON l.source = 'email' AND l.contact_id = said.email
"""


def _cooling(store: Store, trigger: Trigger, now: datetime) -> set[str]:
    if not trigger.cooldown_days:
        return set()
    since = now - timedelta(days=trigger.cooldown_days)
    return {
        p
        for (p,) in store.sql(
            "SELECT DISTINCT person_id FROM triggered WHERE trigger = ? AND state IN ('done', 'unknown') AND last_at > ?",
            [trigger.name, since],
        )
    }


def _sent_since(store: Store, trigger: Trigger, since: datetime, now: datetime) -> int:
    return int(
        store.value(
            "SELECT count(*) FROM triggered WHERE trigger = ? AND state IN ('done', 'unknown') AND last_at BETWEEN ? AND ?",
            [trigger.name, since, now],
        )
    )


def recover(store: Store, trigger: Trigger, run_id: str, now: datetime) -> int:
    """After a crash: an event that was about to be sent may have been sent. It is not sent again."""
    if not trigger.mailchimp_event:
        return 0
    return len(
        store.sql(
            """UPDATE triggered SET state = 'unknown', last_run = ?, last_at = ?, reason = 'the run ended in the middle of it'
               WHERE trigger = ? AND state = 'intended' RETURNING 1""",
            [run_id, now, trigger.name],
        )
    )


def intend(store: Store, trigger: Trigger, told: Told, run_id: str, now: datetime) -> None:
    """Written down before anything is sent, so that a crash cannot make it happen twice unseen."""
    with store.transaction():
        known = store.sql(
            "DELETE FROM triggered WHERE trigger = ? AND message_id = ? RETURNING tries, first_run",
            [trigger.name, told.message_id],
        )
        tries, first_run = known[0] if known else (0, run_id)
        store.insert(
            "triggered",
            [
                {
                    "trigger": trigger.name, "person_id": told.person_id, "happened_on": told.happened_on,
                    "message_id": told.message_id, "state": "intended", "tries": tries,
                    "platform": "mailchimp" if trigger.mailchimp_event else None, "contact_id": told.contact_id or None,
                    "first_run": first_run, "last_run": run_id, "last_at": str(now), "reason": None,
                }
            ],
        )  # fmt: skip


def conclude(store: Store, trigger: Trigger, told: Told, outcome: Outcome, run_id: str, now: datetime) -> None:
    """done and unknown are final; a failure is tried again in later runs, five times in all."""
    state = {"done": "done", "already": "done", "unknown": "unknown"}.get(outcome.result, "failed")
    store.sql(
        """UPDATE triggered SET tries = tries + 1, last_run = $run, last_at = $now, reason = $reason,
             state = CASE WHEN $state = 'failed' AND tries + 1 >= $most THEN 'given up' ELSE $state END
           WHERE trigger = $trigger AND message_id = $id""",
        {
            "run": run_id, "now": now, "reason": outcome.reason or None, "state": state, "most": MOST_TRIES,
            "trigger": trigger.name, "id": told.message_id,
        },
    )  # fmt: skip


def message(store: Store, trigger: Trigger, segment: Segment, told: Told) -> dict[str, Any]:
    """The body of a webhook: what happened, and only the fields the owner named."""
    data: dict[str, Any] = {"segment": segment.name, "on": told.happened_on}
    if trigger.fields:
        data["person"] = _fields(store, trigger.fields, told.person_id)
    return {"type": f"segment.{'entered' if trigger.on == 'enter' else 'left'}", "trigger": trigger.name, "data": data}


def _fields(store: Store, names: Sequence[str], person_id: str) -> Row:
    own = [n for n in names if n in NAMES]
    columns = [f"p.{n}" if n == "email" else f"c.{n}" for n in own]
    columns += [f'f."{n}"' for n in names if n not in NAMES]
    rows = store.sql(
        f"""SELECT {", ".join(columns)} FROM people p LEFT JOIN profile f USING (person_id)
            LEFT JOIN (SELECT l.person_id, max(k.first_name) AS first_name, max(k.last_name) AS last_name
              FROM contacts k JOIN person_links l USING (source, contact_id) WHERE l.person_id = $person
              GROUP BY l.person_id) c ON c.person_id = p.person_id
            WHERE p.person_id = $person""",
        {"person": person_id},
    )
    values = rows[0] if rows else [None] * len(columns)
    return dict(zip([*own, *(n for n in names if n not in NAMES)], values, strict=True))


Send = Callable[[Told], Outcome]


def carry_out(
    store: Store, trigger: Trigger, told: Sequence[Told], send: Send, *, run_id: str, now: Callable[[], datetime]
) -> dict[str, int]:
    """Tell of everybody, one after another; gives how many by outcome."""
    counts: dict[str, int] = {}
    for one in told:
        intend(store, trigger, one, run_id, now())
        outcome = send(one)
        conclude(store, trigger, one, outcome, run_id, now())
        counts[outcome.result] = counts.get(outcome.result, 0) + 1
    return counts
