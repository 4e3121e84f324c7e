"""The records of the simulated HubSpot: tables, aliases of merges, associations, and what the search index has seen."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connector.sandbox.base import Clock
from connector.sandbox.hubspot_catalog import STAGES, TYPE_IDS, Catalog
from connector.sandbox.hubspot_settings import Settings
from connector.sandbox.hubspot_wire import Json, Refusal, invalid, iso, not_found

Props = dict[str, str]
FIRST_IDS = {
    "contacts": 101,
    "companies": 20_001,
    "deals": 70_000_001,
    "tickets": 80_000_001,
    "products": 3_000_001,
    "line_items": 500_000_001,
    "orders": 400_000_001,
    "carts": 600_000_001,
}
LABELS: dict[tuple[str, str], list[tuple[int, str | None]]] = {
    ("contacts", "companies"): [(1, "Primary"), (279, None)],
    ("companies", "contacts"): [(2, "Primary"), (280, None)],
    ("deals", "contacts"): [(3, None)],
    ("contacts", "deals"): [(4, None)],
    ("contacts", "tickets"): [(15, None)],
    ("tickets", "contacts"): [(16, None)],
    ("deals", "line_items"): [(19, None)],
    ("line_items", "deals"): [(20, None)],
    ("deals", "companies"): [(5, "Primary"), (341, None)],
    ("companies", "deals"): [(6, "Primary"), (342, None)],
    ("orders", "contacts"): [(507, None)],
    ("contacts", "orders"): [(508, None)],
    ("orders", "companies"): [(509, None)],
    ("companies", "orders"): [(510, None)],
    ("orders", "deals"): [(511, None)],
    ("deals", "orders"): [(512, None)],
    ("orders", "line_items"): [(513, None)],
    ("line_items", "orders"): [(514, None)],
    ("carts", "contacts"): [(586, None)],
    ("contacts", "carts"): [(587, None)],
    ("carts", "line_items"): [(590, None)],
    ("line_items", "carts"): [(591, None)],
}


@dataclass(slots=True)
class Record:
    """`pending` holds states the search index will see later; while it is not empty the index still shows `indexed`."""

    id: int
    props: Props
    created: datetime
    updated: datetime
    archived_at: datetime | None = None
    writes: list[datetime] = field(default_factory=list)
    indexed: Props | None = None
    pending: list[tuple[datetime, Props]] = field(default_factory=list)

    def searchable(self, now: datetime) -> Props | None:
        """The record as search knows it; None when the index does not know it yet."""
        while self.pending and self.pending[0][0] <= now:
            self.indexed = self.pending.pop(0)[1]
        return self.indexed if self.pending else self.props

    def render(self, names: Iterable[str], omit_unset: bool) -> Json:
        props = self.props
        shown = {n: props[n] for n in names if n in props} if omit_unset else {n: props.get(n) for n in names}
        body: Json = {
            "id": str(self.id),
            "properties": shown,
            "createdAt": iso(self.created),
            "updatedAt": iso(self.updated),
            "archived": self.archived_at is not None,
        }
        if self.archived_at is not None:
            body["archivedAt"] = iso(self.archived_at)
        return body


@dataclass
class Table:
    """One object type. `alias` leads from the ids of merged records to their survivor's."""

    name: str
    next_id: int
    live: dict[int, Record] = field(default_factory=dict)
    archived: dict[int, Record] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    alias: dict[int, int] = field(default_factory=dict)

    @property
    def modified_name(self) -> str:
        return "lastmodifieddate" if self.name == "contacts" else "hs_lastmodifieddate"

    @property
    def created_name(self) -> str:
        return "createdate" if self.name in ("contacts", "companies", "deals") else "hs_createdate"

    def resolve(self, text: str) -> Record | None:
        """A live record by id, or by the id of a record that was merged into it."""
        if not text.isascii() or not text.isdigit():
            return None
        number = int(text)
        return self.live.get(self.alias.get(number, number))

    def put(self, record: Record) -> None:
        if record.id not in self.live:
            bisect.insort(self.ids, record.id)
        self.live[record.id] = record
        self.archived.pop(record.id, None)

    def take(self, record: Record) -> None:
        del self.live[record.id]
        del self.ids[bisect.bisect_left(self.ids, record.id)]


class Crm:
    """Everything the account holds, and the one way to change it. `effects` is the log of writes that came over HTTP."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self.clock = clock
        self.settings = settings
        self.effects: list[Json] = []
        self.clear()

    def clear(self) -> None:
        self.catalog = Catalog.default()
        self.tables = {name: Table(name, FIRST_IDS[name]) for name in TYPE_IDS}
        self.links: dict[tuple[str, str], dict[int, list[int]]] = {}
        self.emails: dict[str, int] = {}
        self.effects.clear()
        self.watchers: list[Callable[[int, str, str], None]] = []
        self.leavers: list[Callable[[int, int | None], None]] = []

    def table(self, object_type: str) -> Table:
        """By name or type id. Refusal for a type the account does not have."""
        for name, type_id in TYPE_IDS.items():
            if object_type in (name, type_id):
                return self.tables[name]
        raise invalid(f"Unable to infer object type from: {object_type}")

    def effect(self, kind: str, target: str, contact: str = "", result: str = "done") -> None:
        self.effects.append({"at": iso(self.clock()), "kind": kind, "object": target, "contact": contact, "result": result})

    def create(self, object_type: str, props: Props, created: datetime, updated: datetime, *, lag: bool = False) -> Record:
        table = self.tables[object_type]
        record = Record(table.next_id, props, created, updated)
        table.next_id += 1
        props["hs_object_id"] = str(record.id)
        props[table.created_name] = props.get(table.created_name) or iso(created)
        props[table.modified_name] = iso(updated)
        table.put(record)
        if object_type == "contacts" and props.get("email"):
            self.emails[props["email"].lower()] = record.id
        if lag and self.settings.index_lag_s:
            record.pending.append((updated + timedelta(seconds=self.settings.index_lag_s), dict(props)))
        return record

    def update(self, object_type: str, record: Record, changes: dict[str, str | None], *, moves_date: bool = True) -> None:
        """Set or clear properties. `moves_date` is False for rollups, which leave the modified date alone."""
        table, now = self.tables[object_type], self.clock()
        before = dict(record.props) if self.settings.index_lag_s else {}
        changed = [name for name, value in changes.items() if record.props.get(name) != value]
        if object_type == "contacts" and "email" in changed:
            self._new_email(record, changes["email"])
        for name, value in changes.items():
            if value is None:
                record.props.pop(name, None)
            else:
                record.props[name] = value
        if moves_date:
            record.updated = now
            record.props[table.modified_name] = iso(now)
        if self.settings.index_lag_s:
            if not record.pending:
                record.indexed = before
            record.pending.append((now + timedelta(seconds=self.settings.index_lag_s), dict(record.props)))
        for name in changed if object_type == "contacts" else ():
            for watcher in self.watchers:
                watcher(record.id, name, record.props.get(name, ""))

    def _new_email(self, record: Record, value: str | None) -> None:
        self.emails.pop(record.props.get("email", "").lower(), None)
        if value:
            self.emails[value.lower()] = record.id

    def lock(self, records: list[Record]) -> None:
        """Counts a write of each; refuses all with 423 when one was written too often within two seconds."""
        limit, now = self.settings.lock_after, self.clock()
        if limit is None:
            return
        for record in records:
            record.writes = [at for at in record.writes if at > now - timedelta(seconds=2)]
        if any(len(record.writes) >= limit for record in records):
            raise Refusal(423, "RESOURCE_LOCKED", "A record is locked because of heavy writes. Wait two seconds.")
        for record in records:
            record.writes.append(now)

    def archive(self, object_type: str, record: Record) -> None:
        table = self.tables[object_type]
        table.take(record)
        record.archived_at = self.clock()
        table.archived[record.id] = record
        if object_type == "contacts":
            self._leave(record.id, None)

    def restore(self, object_type: str, record: Record) -> None:
        record.archived_at = None
        self.tables[object_type].put(record)
        if object_type == "contacts" and record.props.get("email"):
            self.emails[record.props["email"].lower()] = record.id
        self.update(object_type, record, {})

    def gdpr_delete(self, record: Record) -> None:
        """The contact is nowhere afterwards: not live, not archived, not associated, in no list."""
        table = self.tables["contacts"]
        if record.id in table.live:
            table.take(record)
        table.archived.pop(record.id, None)
        self.emails = {address: owner for address, owner in self.emails.items() if owner != record.id}
        table.alias = {old: new for old, new in table.alias.items() if new != record.id}
        for pair in list(self.links):
            if "contacts" in pair:
                self._unlink(pair, record.id)
        self._leave(record.id, None)

    def _unlink(self, pair: tuple[str, str], contact: int) -> None:
        links = self.links[pair]
        if pair[0] == "contacts":
            links.pop(contact, None)
            return
        for origin in [origin for origin, targets in links.items() if contact in targets]:
            links[origin].remove(contact)

    def _leave(self, contact: int, survivor: int | None) -> None:
        for leaver in self.leavers:
            leaver(contact, survivor)

    def merge(self, object_type: str, primary: Record, secondary: Record) -> Record:
        """A new record with both records' values, the primary's first; both old ids lead to it from now on."""
        if primary.id == secondary.id:
            raise invalid("Cannot merge a record into itself")
        table, now = self.tables[object_type], self.clock()
        props = {**secondary.props, **primary.props}
        old_ids = [str(primary.id), str(secondary.id)]
        known = [i for r in (primary, secondary) for i in r.props.get("hs_merged_object_ids", "").split(";") if i]
        props["hs_merged_object_ids"] = ";".join([*known, *(old_ids[1:] if self.settings.keep_primary_id else old_ids)])
        if object_type == "contacts":
            extra = {e for r in (primary, secondary) for e in r.props.get("hs_additional_emails", "").split(";") if e}
            extra |= {secondary.props["email"]} if secondary.props.get("email") else set()
            props["hs_additional_emails"] = ";".join(sorted(extra - {props.get("email", "")}))
        survivor = self._survivor(object_type, primary, secondary, props, now)
        losers = [record.id for record in (primary, secondary) if record.id != survivor.id]
        for old, new in list(table.alias.items()):
            table.alias[old] = survivor.id if new in losers else new
        table.alias.update(dict.fromkeys(losers, survivor.id))
        for loser in losers:
            self._move_links(object_type, loser, survivor.id)
            if object_type == "contacts":
                self._leave(loser, survivor.id)
        self.emails = {a: survivor.id if owner in losers else owner for a, owner in self.emails.items()}
        return survivor

    def _survivor(self, object_type: str, primary: Record, secondary: Record, props: Props, now: datetime) -> Record:
        table = self.tables[object_type]
        table.take(secondary)
        if self.settings.keep_primary_id:
            self.update(object_type, primary, {**props, "hs_object_id": str(primary.id)})
            return primary
        table.take(primary)
        return self.create(object_type, props, min(primary.created, secondary.created), now, lag=True)

    def _move_links(self, object_type: str, loser: int, survivor: int) -> None:
        for (origin_type, target_type), links in self.links.items():
            if origin_type != object_type or loser not in links:
                continue
            moved = links.pop(loser)
            mine = links.setdefault(survivor, [])
            mine.extend(target for target in moved if target not in mine)
            back = self.links[(target_type, origin_type)]
            for target in moved:
                back[target] = list(dict.fromkeys(survivor if owner == loser else owner for owner in back[target]))

    def associate(self, from_type: str, from_id: int, to_type: str, to_id: int) -> None:
        self.links.setdefault((from_type, to_type), {}).setdefault(from_id, []).append(to_id)
        self.links.setdefault((to_type, from_type), {}).setdefault(to_id, []).append(from_id)

    def associated(self, from_type: str, from_id: int, to_type: str) -> list[int]:
        """Live records only, in order of id."""
        live = self.tables[to_type].live
        return sorted(target for target in self.links.get((from_type, to_type), {}).get(from_id, ()) if target in live)

    def main_of(self, from_type: str, from_id: int, to_type: str) -> int | None:
        """The associated record that was there first: the primary one, where the pair of types knows primary ones."""
        live = self.tables[to_type].live
        found = self.links.get((from_type, to_type), {}).get(from_id, ())
        return next((target for target in found if target in live), None)

    def by_property(self, object_type: str, name: str, value: str) -> Record | None:
        """A record by a unique property."""
        if object_type == "contacts" and name == "email":
            return self.tables["contacts"].live.get(self.emails.get(value.strip().lower(), -1))
        definition = self.catalog.find(object_type, name)
        if definition is None or not definition.has_unique_value:
            raise invalid(f"Property {name} is not a unique identifier of {object_type}")
        found = (r for r in self.tables[object_type].live.values() if r.props.get(name) == value)
        return next(found, None)

    def need(self, object_type: str, record_id: str) -> Record:
        record = self.tables[object_type].resolve(record_id)
        if record is None:
            raise not_found()
        return record

    def dump(self) -> Json:
        return {name: _dump(table) for name, table in self.tables.items() if table.live or table.archived}


def _dump(table: Table) -> Json:
    stamps = {table.modified_name}
    return {
        "live": {str(i): {n: v for n, v in sorted(table.live[i].props.items()) if n not in stamps} for i in table.ids},
        "archived": sorted(table.archived),
        "merged": {str(old): new for old, new in sorted(table.alias.items())},
    }


def forward_only(before: str | None, after: str | None) -> bool:
    """Whether the API would take this lifecycle stage: only forward, unless it was cleared first."""
    if not before or not after or before not in STAGES or after not in STAGES:
        return True
    return STAGES.index(after) >= STAGES.index(before)


def label_list(from_type: str, to_type: str, *, is_main: bool = True) -> list[dict[str, Any]]:
    """The kinds of an association; only a record's main one is labelled so."""
    pairs = LABELS.get((from_type, to_type), [])
    shown = [(type_id, label) for type_id, label in pairs if is_main or label is None]
    return [{"category": "HUBSPOT_DEFINED", "typeId": type_id, "label": label} for type_id, label in shown]
