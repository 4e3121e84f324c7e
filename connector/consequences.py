"""What a plan sets off besides its changes: the owner's automations that would start, and what entering costs.

Known before anything is written, as far as the platform tells; where it does not, the configuration's `starts` says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from adapters.base import Adapter, Automation
from connector.store import Store
from models.changes import FieldPlan, Start, TargetPlan

Planned = tuple[list[TargetPlan], list[FieldPlan], list[str]]


def foretell(store: Store, adapter: Adapter, targets: Sequence[TargetPlan], fields: Sequence[FieldPlan]) -> Planned:
    """The plans of one platform with what they would set off, and what the owner must be told of it besides.

    The platform is only asked where somebody enters or leaves what was there before, or a value is set: nothing can wait for a
    list or tag that is not made yet.
    """
    older = adapter.values_outlive_objects
    watched = [replace(t.target, object_id=t.object_id) for t in targets if t.changes and (t.object_id or older)]
    filled = [f for f in fields if f.changes]
    if not (watched or filled):
        return [_entering(store, t) for t in targets], list(fields), []
    known = adapter.automations(watched, [f.name for f in filled])
    found = [_with_starts(_entering(store, t), known.by_segment.get(t.target.segment, ())) for t in targets]
    values = [replace(f, starts=_started_by_values(f, known.by_field.get(f.name, ()))) for f in fields]
    if known.is_complete:  # what may start is known, so nothing need be feared
        values = [replace(f, notes=tuple(n for n in f.notes if n != adapter.field_starts)) for f in values]
    return found, values, [f"{adapter.title}: {known.unread}"] if known.unread else []


def _with_starts(t: TargetPlan, waiting: Sequence[Automation]) -> TargetPlan:
    moved = {on: {c.contact_id for c in t.changes if c.kind == kind} for on, kind in (("enter", "add"), ("leave", "remove"))}
    starts = [_start(a, len(people)) for a in waiting if (people := moved.get(a.on, set()) - a.spares)]
    return replace(t, starts=tuple(sorted(starts)))


def _started_by_values(f: FieldPlan, waiting: Sequence[Automation]) -> tuple[Start, ...]:
    given = Counter(c.value for c in f.changes if c.value)
    starts = []
    for a in waiting:
        people = sum(n for value, n in given.items() if not a.values or value in a.values)
        if people:
            starts.append(_start(a, people))
    return tuple(sorted(starts))


def _start(a: Automation, people: int) -> Start:
    return Start(a.name, a.on, people, a.mails, a.billing, a.is_sure, a.has_ways)


def _entering(store: Store, t: TargetPlan) -> TargetPlan:
    """Marketing and non-marketing contacts among those who enter, where contacts are told apart by that."""
    contacts = [c.contact_id for c in t.changes if c.kind == "add"]
    if not contacts or not store.sql(
        "SELECT 1 FROM contacts WHERE source = ? AND is_marketable IS NOT NULL LIMIT 1", [t.target.platform]
    ):
        return replace(t, enters_as={})
    rows = store.sql(
        """SELECT CASE WHEN is_marketable THEN 'marketing' WHEN NOT is_marketable THEN 'non-marketing' ELSE 'not known' END, count(*)
           FROM (SELECT unnest(CAST(? AS VARCHAR[])) AS contact_id) e
           LEFT JOIN contacts k ON k.source = ? AND k.contact_id = e.contact_id GROUP BY 1 ORDER BY 1""",
        [contacts, t.target.platform],
    )
    return replace(t, enters_as=dict(rows))


def in_words(start: Start, people: int) -> str:
    """'workflow 'Welcome VIP' would start for 12: sends 2 e-mails to each'."""
    when = {"enter": "", "leave": " who leave", "value": ""}[start.on]
    how = "would start for" if start.is_sure else "may start, where its other conditions hold, for up to"
    does = []
    if start.mails:
        up_to = "up to " if start.has_ways else ""
        does.append(f"sends {up_to}{start.mails} e-mail{'s' if start.mails > 1 else ''} to each")
    if start.billing:
        does.append(start.billing)
    return f"the automation '{start.name}' {how} {people:,}{when}: {', '.join(does) or 'sends no e-mail'}"
