"""Profile columns written to the platforms as fields of contacts: what should stand there, what we wrote last, the difference.

Only on change, only into fields of our own name, only for contacts that may be written at all (never erased, archived or
unknown ones). What stood there before is read just before writing and kept, so that a run can be taken back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from adapters.base import Adapter
from connector.columns import BY_NAME
from connector.config import Config, FieldSection
from connector.rules.nearest import hint
from connector.store import Store
from models.changes import FieldChange, FieldKind, FieldPlan
from models.errors import ConfigError

LONGEST_BYTES = 255
"""Of a value: Mailchimp cuts a longer one without a word, wherever that falls."""
USUAL_PCT = 50
"""More of the values we wrote before than so many percent do not change in a usual run."""
JOINER = "\u200d"
"""Holds emoji together; every other character without a shape of its own is left out."""
GUARD = "max_change_count"


def check(config: Config) -> None:
    """Raises ConfigError for a column that no profile has (naming the nearest one), a platform that is not configured, and
    two fields of one name."""
    seen: dict[str, str] = {}
    for section in config.field:
        if section.column not in BY_NAME:
            near = hint(section.column, BY_NAME)
            raise ConfigError(f"{config.path.name}: [[field]] names an unknown column '{section.column}'.{near}")
        label = label_of(section)
        if label in seen:
            raise ConfigError(f"{config.path.name}: two [[field]] are called '{label}'. Give one of them another name.")
        seen[label] = section.column
        for platform in section.push:
            if platform not in config.platforms:
                raise ConfigError(
                    f"{config.path.name}: [[field]] '{label}' is pushed to {platform}, but there is no section [{platform}]. "
                    "Add the section or take the platform out of push."
                )


def kind_of(column: str) -> FieldKind:
    """What kind of field a column needs."""
    sql_type = BY_NAME[column].sql_type.upper()
    if sql_type.startswith("BOOL"):
        return "yes or no"
    if sql_type.startswith(("DATE", "TIMESTAMP")):
        return "date"
    if sql_type.startswith(("VARCHAR", "TEXT")) or sql_type.endswith("[]"):
        return "text"
    return "number"


def text_of(value: Any) -> str:
    """A value as every platform takes it: a point in numbers, ISO dates, true and false; '' for none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (Decimal, float)):
        number = Decimal(str(value))
        text = f"{number:.4f}".rstrip("0").rstrip(".") if number.is_finite() else ""
        return "0" if text == "-0" else text
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return _joined([_shown(str(v)) for v in value])
    return cut(_shown(str(value)))


def _shown(text: str) -> str:
    """On one line, without what nobody can see."""
    return " ".join("".join(c if c.isprintable() or c == JOINER else " " if c.isspace() else "" for c in text).split())


def _joined(parts: list[str]) -> str:
    """As many of them as there is room for, none in half."""
    text = ""
    for part in filter(None, parts):
        longer = f"{text}; {part}" if text else cut(part)
        if len(longer.encode()) > LONGEST_BYTES:
            break
        text = longer
    return text


def cut(text: str) -> str:
    if len(text.encode()) <= LONGEST_BYTES:
        return text
    return text.encode()[: LONGEST_BYTES - len("…".encode())].decode(errors="ignore").rstrip() + "…"


def label_of(section: FieldSection) -> str:
    return section.name or section.column


def key_of(section: FieldSection) -> str:
    """Under which a field's go-ahead and pauses are kept, beside those of segments."""
    return f"field:{label_of(section)}"


def digest(section: FieldSection) -> str:
    """Changes when the owner must be asked again."""
    return hashlib.sha256("\x1f".join(("field", section.column, label_of(section))).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Terms:
    """Under which a field is planned. parked: why nothing may be written. waits: only the owner's go-ahead is missing. most:
    more changes than this, where the field was filled before, wait too. objecting: people who are not to be profiled."""

    parked: str = ""
    waits: bool = False
    most: int = 1 << 60
    objecting: Collection[str] = ()


@dataclass(frozen=True)
class Wanted:
    """What one contact should have. Where the platform wants contacts who said no left alone, is_no lets them only be cleared,
    and is_dead (the address bounced) not even that."""

    person_id: str
    email: str
    value: str
    is_no: bool
    is_dead: bool

    def may_get(self, value: str) -> bool:
        return not self.is_dead and not (self.is_no and value)


def plan(store: Store, adapter: Adapter, section: FieldSection, terms: Terms) -> FieldPlan:
    """What one column would change on one platform. `consent.judge` must have run for it."""
    name = adapter.field_name(label_of(section))
    wanted = _wanted(store, adapter.name, section.column)
    known = dict(store.sql("SELECT contact_id, value FROM field_values WHERE platform = ? AND field = ?", [adapter.name, name]))
    refused = _refused(store, adapter.name, name)
    changes, stuck, kept = [], 0, 0
    for contact, w in wanted.items():
        if w.value == known.get(contact, ""):
            continue
        if not w.may_get(w.value):
            kept += 1
        elif refused.get(contact) == w.value:
            stuck += 1
        else:
            must = not w.value and w.person_id in terms.objecting
            changes.append(FieldChange(contact, w.value, w.email, w.person_id, must))
    made = FieldPlan(
        adapter.name, section.column, name, kind_of(section.column),
        filled=sum(v != "" for v in known.values()),
        unchanged=sum(w.value == known.get(c, "") and w.value != "" for c, w in wanted.items()),
        stuck=stuck,
        notes=tuple(_notes(adapter, changes, stuck, kept)),
    )  # fmt: skip
    return _held(made, sorted(changes), terms)


def _held(made: FieldPlan, changes: list[FieldChange], terms: Terms) -> FieldPlan:
    """The changes, as far as they may be made. Clearing what we wrote of somebody who objects never waits."""
    parked = terms.parked
    if not parked and made.filled and len(changes) > max(terms.most, made.filled * USUAL_PCT // 100):
        parked = (
            f"guard {GUARD}: {len(changes):,} values would change, of {made.filled:,} we wrote. A column that moves every day "
            f'makes as many writes every day; `rollcall push --allow {GUARD} --because "..."` goes on'
        )
    if parked and not terms.waits:
        must = tuple(c for c in changes if c.must)
        return made.with_changes(must, held=len(changes) - len(must), parked=parked if len(changes) > len(must) else "")
    return made.with_changes(tuple(changes), parked=parked if changes else "", waits_for_go_ahead=terms.waits and bool(changes))


def _notes(adapter: Adapter, changes: Iterable[FieldChange], stuck: int, kept: int) -> list[str]:
    notes = [adapter.field_starts] if adapter.field_starts and any(True for _ in changes) else []
    if stuck:
        notes.append(f"{stuck:,} stuck: {adapter.title} refuses the value; tried again when the value or the contact changes")
    if kept:
        notes.append(f"{kept:,} who said no on {adapter.title}, or whose address is dead there, are left as they are")
    return notes


def _wanted(store: Store, platform: str, column: str) -> dict[str, Wanted]:
    """Every contact that may be written at all: neither erased nor archived nor gone."""
    rows = store.sql(
        f"""WITH own AS (
              SELECT contact_id, bool_or(status = 'unsubscribed') AS is_no, bool_or(status = 'dead') AS is_dead FROM consents
              WHERE source = $p AND $p = 'mailchimp' AND channel = 'email' AND topic = '' GROUP BY contact_id)
            SELECT v.contact_id, v.person_id, coalesce(v.email, ''), f."{column}", coalesce(o.is_no, false), coalesce(o.is_dead, false)
            FROM verdicts v JOIN profile f ON f.person_id = v.person_id LEFT JOIN own o ON o.contact_id = v.contact_id
            WHERE v.platform = $p AND v.service = '' ORDER BY v.contact_id""",
        {"p": platform},
    )
    return {c: Wanted(person, email, text_of(value), *closed) for c, person, email, value, *closed in rows}


def _refused(store: Store, platform: str, field: str) -> dict[str, str]:
    """Contact -> the value the platform did not take when we last tried, until the contact's record changes there."""
    return dict(
        store.sql(
            """
            SELECT w.contact_id, arg_max(w.value_after, w.run_id) FROM field_writes w
            LEFT JOIN contacts c ON c.source = w.platform AND c.contact_id = w.contact_id
            LEFT JOIN source_records r ON r.source = c.source AND r.stream = c.stream AND r.record_id = c.record_id
            WHERE w.platform = ? AND w.field = ? AND w.state <> 'unsent' GROUP BY w.contact_id
            HAVING arg_max(w.state, w.run_id) IN ('refused', 'missing')
              AND coalesce(max(r.changed_run), '') <= max(w.run_id)
            """,
            [platform, field],
        )
    )


# ---- taking back what a run wrote


@dataclass(frozen=True)
class Written:
    """One value a run wrote, and what stood there before."""

    contact_id: str
    person_id: str
    before: str
    after: str


def written(store: Store, run_id: str, platform: str) -> dict[str, list[Written]]:
    """Field -> what a run wrote there."""
    found: dict[str, list[Written]] = {}
    for field, *row in store.sql(
        """SELECT field, contact_id, person_id, value_before, value_after FROM field_writes
           WHERE run_id = ? AND platform = ? AND state = 'done' ORDER BY ALL""",
        [run_id, platform],
    ):
        found.setdefault(field, []).append(Written(*row))
    return found


def reversed_plan(
    store: Store, adapter: Adapter, section: FieldSection, rows: Iterable[Written], terms: Terms
) -> tuple[FieldPlan, int]:
    """The plan that puts back what stood there before a run, and how many it leaves alone.

    Only where our value still stands there, and never a value of somebody who may not be written or objects to profiling.
    `consent.judge` must have run for the platform.
    """
    name = adapter.field_name(label_of(section))
    wanted, done = _wanted(store, adapter.name, section.column), list(rows)
    live = read(adapter, [name], [w.contact_id for w in done])
    changes = []
    for w in done:
        now = wanted.get(w.contact_id)
        stands = live.get(w.contact_id, {}).get(name) == w.after
        if stands and now and now.may_get(w.before) and not (w.before and w.person_id in terms.objecting):
            changes.append(FieldChange(w.contact_id, w.before, now.email, w.person_id))
    made = FieldPlan(adapter.name, section.column, name, kind_of(section.column), filled=len(done))
    if changes and adapter.field_starts:
        made = FieldPlan(**{**vars(made), "notes": (adapter.field_starts,)})
    parked = terms.parked
    if not parked and len(changes) > terms.most:
        parked = (
            f'guard {GUARD}: {len(changes):,} values would change; to undo it all the same: --allow {GUARD} --because "..."'
        )
    left = len(done) - len(changes)
    if parked:
        return made.with_changes((), held=len(changes), parked=parked if changes else ""), left
    return made.with_changes(tuple(sorted(changes))), left


def read(adapter: Adapter, names: list[str], contacts: list[str]) -> Mapping[str, Mapping[str, str]]:
    """What stands there now, in batches the adapter takes; contacts that are not there any more are left out."""
    found: dict[str, dict[str, str]] = {}
    for at in range(0, len(contacts), adapter.field_batch):
        found.update(adapter.read_fields(names, contacts[at : at + adapter.field_batch]))
    return found
