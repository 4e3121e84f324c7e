"""HubSpot, API 2026-09. Docs: https://developers.hubspot.com/docs/api-reference/latest

We read contacts, companies, orders, deals, tickets, carts and marketing e-mails, and write manual lists of contacts
and, where the owner wants them, properties of ours. Every method may be called from several threads at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cached_property, partial
from typing import Any
from urllib.parse import quote

from adapters.base import Account, Adapter, Automations, Cursor, Finding, Page, Stream, Version
from adapters.hubspot_active import with_lists
from adapters.hubspot_check import findings
from adapters.hubspot_client import BATCH, SUPPORTED_UNTIL, HubspotClient
from adapters.hubspot_emails import email_pages
from adapters.hubspot_events import SUPPORTED_UNTIL as EVENTS_UNTIL
from adapters.hubspot_events import event_pages
from adapters.hubspot_fields import Fields
from adapters.hubspot_flows import Flow, Flows, started_by, started_by_field
from adapters.hubspot_lists import MEMBERS_LIMIT, Lists
from adapters.hubspot_objects import CONTACTS, EMAILS, EMAILS_SCOPE, EVENTS, KINDS
from adapters.hubspot_property import PROPERTY, SegmentProperty, option_value
from adapters.hubspot_read import AHEAD, Reader
from adapters.hubspot_walk import ahead
from adapters.midway import told_or_unclear
from adapters.moment import moment
from models.changes import Batch, FieldKind, Member, Observed, Outcome, OutcomeKind, Target
from models.errors import ApiError, AuthError, NotSentError, PermanentApiError, QuotaExhausted

log = logging.getLogger(__name__)

BEFORE = timedelta(days=1)
MERGED = "the contact was merged into another meanwhile, which the next run has read"
LISTS_AT_ONCE = 4
"""Lists that are written side by side. With the property only one is: all of them change the same value of a contact."""
UNREAD = 'which workflows of yours would start is not known: {}. Where entering is meant to start one, say starts = "journey"'


class HubspotAdapter(Adapter):
    name = "hubspot"
    title = "HubSpot"
    noun = "HubSpot list"
    dates_members = True
    batch_size = 1000  # the most ids in one membership call is not documented
    contacts_stream = CONTACTS.name
    field_batch = 1000
    field_noun = "HubSpot property"
    field_starts = "a new value may start workflows of yours that wait for this property"

    def __init__(self, settings: dict[str, Any], *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        super().__init__(settings, now_utc=now_utc, sleep=sleep)
        self.concurrent_targets = 1 if settings.get("hubspot_property") else LISTS_AT_ONCE
        self.client = HubspotClient(settings, now_utc=now_utc, sleep=sleep)
        self.reader = Reader(self.client, settings)
        installation = str(settings.get("installation") or "")
        self.lists = Lists(self.client, self._survivors, installation, int(settings.get("static_lists") or 0))
        self.property = SegmentProperty(self.client, self.reader, installation)
        self.fields = Fields(self.client, self.reader, self.property.room, installation)
        self.flows = Flows(self.client)

    def account(self) -> Account:
        details = self.client.account()
        portal = str(details.get("portalId") or "")
        return Account(
            id=portal,
            name=f"HubSpot {portal}",
            timezone=str(details.get("timeZone") or ""),
            currency=str(details.get("companyCurrency") or ""),
            details={k: str(details[k]) for k in ("accountType", "uiDomain") if details.get(k)},
        )

    @classmethod
    def versions(cls) -> tuple[Version, ...]:
        return tuple(Version(name, SUPPORTED_UNTIL[name]) for name in sorted(SUPPORTED_UNTIL, reverse=True))

    def ends(self) -> tuple[tuple[str, date], ...]:
        """HubSpot names months; we count with their last day."""
        until = SUPPORTED_UNTIL.get(self.client.version)
        events = (("HubSpot e-mail events (API v1)", EVENTS_UNTIL),) if self.settings.get("email_events") else ()
        return (*(((f"HubSpot API {self.client.version}", until),) if until else ()), *events)

    def check(self) -> list[Finding]:
        try:
            account = self.account()
        except AuthError as e:
            return [Finding("hubspot account", "error", str(e), "auth")]
        except ApiError as e:
            return [Finding("hubspot account", "error", str(e), "scope" if e.status == 403 else "")]
        kind = account.details.get("accountType", "")
        text = f"{account.name}{f' ({kind})' if kind else ''}, time zone {account.timezone or 'unknown'}"
        return list(findings(self.client, self.reader, self.settings, text, self.ends()))

    def streams(self) -> tuple[Stream, ...]:
        objects = (Stream(k.name, f"HubSpot {k.title}", k.scope, k.needed) for k in KINDS.values())
        events = (Stream(EVENTS, "HubSpot e-mail events", EMAILS_SCOPE),) if self.settings.get("email_events") else ()
        return (*objects, Stream(EMAILS, "HubSpot marketing e-mails", EMAILS_SCOPE), *events)

    def pages(self, stream: str, cursor: Cursor | None, *, full: bool = False, since: datetime | None = None) -> Iterator[Page]:
        if stream == EMAILS:
            return email_pages(self.client)
        if stream == EVENTS:
            return event_pages(self.client, cursor, full=full, since=since)
        return self.reader.pages(KINDS[stream], cursor, full=full, since=since)

    def reread(self, contact_ids: Sequence[str]) -> Iterator[Page]:
        ids = list(dict.fromkeys(contact_ids))
        parts = (partial(self._reread, ids[start : start + BATCH]) for start in range(0, len(ids), BATCH))
        yield from ahead(parts, self.reader.workers, AHEAD)

    def observe(self, targets: Sequence[Target], maybe: dict[str, frozenset[str]]) -> list[Observed]:
        looks = (partial(self._observe, target, maybe.get(target.segment, frozenset())) for target in targets)
        return list(ahead(looks, self.reader.workers, AHEAD))

    @cached_property
    def _known_flows(self) -> tuple[Sequence[Flow], str]:
        """Read once a run, with the active lists they wait for; and what is not known of them."""
        flows, unread = self.flows.known()
        found, more = with_lists(self.client, flows)
        return found, "; ".join(t for t in (unread, more) if t)

    def ensure(self, target: Target) -> str:
        return self.lists.ensure(target)

    def apply(self, batch: Batch) -> list[Outcome]:
        before = self.client.writes
        with told_or_unclear(lambda: self.client.writes > before, also=(NotSentError,)):
            return self._apply_both(batch) if self.client.has_property else self.lists.apply(batch)

    def holders(self, target: Target) -> frozenset[str]:
        is_used = self.client.has_property and target.segment not in self.property.closed
        return self.property.holders(target.part_of) if is_used else frozenset()

    def joined(self, object_id: str, contact_ids: Sequence[str], since: datetime) -> Mapping[str, datetime]:
        """By the list's newest members, as far back as `since`."""
        path = self.client.path("crm/lists", f"{object_id}/memberships/join-order")
        found: dict[str, datetime] = {}
        are_dated = True
        for rows, _ in self.client.walk(path, {"limit": MEMBERS_LIMIT}):
            times = {str(r.get("recordId")): moment(r.get("membershipTimestamp")) for r in rows}
            found |= {i: at for i, at in times.items() if at is not None}
            are_dated = are_dated and None not in times.values()
            if are_dated and times and min(found[i] for i in times) < since:
                break
        return {i: found.get(i, since - BEFORE) for i in contact_ids if i in found or are_dated}

    def automations(self, targets: Sequence[Target], fields: Sequence[str]) -> Automations:
        flows, unread = self._known_flows
        found = {}
        for t in targets:
            is_set = self.client.has_property and t.segment not in self.property.closed
            value = (PROPERTY, option_value(t.part_of)) if is_set else ("", "")
            found[t.segment] = started_by(flows, t.object_id, value, *self.property.seen.get(t.segment, ()))
        by_field = {name: started_by_field(flows, name) for name in fields}
        return Automations(found, by_field, unread and UNREAD.format(unread), is_complete=not unread)

    @property
    def values_outlive_objects(self) -> bool:
        """A workflow can wait for any change of the property, and an option stays when its list was deleted."""
        return self.client.has_property

    def without_room(self, targets: Sequence[Target]) -> dict[str, str]:
        return self.lists.without_room(targets)

    def fields_without_room(self, names: Sequence[str]) -> list[str]:
        return self.fields.without_room(names)

    def field_name(self, label: str) -> str:
        return self.fields.name(label)

    def field_problem(self, name: str, kind: FieldKind) -> str:
        return self.fields.problem(name, kind)

    def ensure_field(self, name: str, label: str, kind: FieldKind) -> None:
        self.fields.ensure(name, label, kind)

    def read_fields(self, names: Sequence[str], contact_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        return self.fields.read(names, contact_ids)

    def write_fields(self, rows: Sequence[tuple[str, Mapping[str, str]]]) -> list[Outcome]:
        return self.fields.write(rows)

    def _observe(self, target: Target, maybe: frozenset[str]) -> Observed:
        """Who is on the list and does not carry the segment in the property is told as such, so that a plan mends it."""
        seen = self.lists.observe(target)
        is_anothers = bool(target.object_id) and seen.exists and seen.object_id != target.object_id
        if not self.client.has_property or (seen.exists and not seen.is_ours_kind and not is_anothers):
            return seen
        if why := self.property.why_closed(target):
            return replace(seen, note="; ".join(n for n in (seen.note, why) if n))
        asked = maybe | seen.members if target.part == "adopt" else maybe if is_anothers else maybe - seen.members
        carriers, answered = self.property.look(target.part_of, asked)
        seen = replace(seen, part=self.property.state(target.part_of), carriers=carriers, answered=answered)
        lacking, others = (
            self.property.compare(target, seen.members) if seen.exists and seen.is_ours_kind else (frozenset[str](), 0)
        )
        self.property.seen[target.segment] = (lacking, seen.carriers)
        notes = [
            seen.note,
            f"{len(lacking)} on the list do not carry it in the property {PROPERTY}; who belongs there gets it again"
            if lacking else "",
            f"{others} contacts carry it in the property {PROPERTY} and are not on the list" if others else "",
        ]  # fmt: skip
        return replace(seen, partial=lacking, note="; ".join(n for n in notes if n))

    def _apply_both(self, batch: Batch) -> list[Outcome]:
        """The property first, then the list. A contact whose property HubSpot refuses is not put on the list either;
        taking somebody off never waits for the property, and is done once they have lost both."""
        option, problem = batch.target.part_of, ""
        if batch.target.part in ("closed", "off") or batch.target.segment in self.property.closed:
            return self.lists.apply(batch)
        kept_out: dict[str, str] = {}
        still: dict[str, str] = {}
        merged: dict[str, str] = {}
        staying = ""
        try:
            still, absent = self.property.remove(option, [i for i in _ids(batch.removes) if i not in batch.target.kept])
            merged = dict.fromkeys(self._survivors(absent), MERGED)
        except QuotaExhausted:
            raise
        except ApiError as e:
            staying = _unwritten(e)
        try:
            kept_out = self.property.add(option, _ids(batch.adds))
        except PermanentApiError as e:
            problem = _unwritten(e)
        except ApiError:
            if batch.removes:
                self._listed(replace(batch, adds=()))
            raise
        outcomes = self._listed(replace(batch, adds=tuple(m for m in batch.adds if m.contact_id not in kept_out)))
        told = [
            _told(o, still.get(o.contact_id, ""), merged.get(o.contact_id, ""), problem if o.kind == "add" else staying)
            for o in outcomes
        ]
        return [*told, *(Outcome(i, "add", "refused", reason) for i, reason in kept_out.items())]

    def _listed(self, batch: Batch) -> list[Outcome]:
        """Nobody is left on a list that somebody deleted."""
        try:
            return self.lists.apply(batch)
        except PermanentApiError:
            if batch.adds or self.lists.is_there(batch.object_id):
                raise
            return [Outcome(i, "remove", "already") for i in _ids(batch.removes)]

    def _survivors(self, ids: Sequence[str]) -> dict[str, str]:
        """Of ids that are not there any more: the contact each was merged into."""
        now = {i: self._id_now(i) for i in ids}
        return {i: other for i, other in now.items() if other and other != i}

    def _reread(self, ids: list[str]) -> Page:
        """A merged id answers with its survivor, an archived one only when asked for as such."""
        page = self.reader.finish(CONTACTS, self.reader.batch_read(CONTACTS, ids))
        held = {str(r["id"]) for r in page.records}
        missing = [i for i in ids if i not in held and i not in page.gone]
        if not missing:
            return Page(page.records, {}, done=True, gone=page.gone, note=page.note)
        archived = {str(r["id"]) for r in self.reader.batch_read(CONTACTS, missing, archived=True)}
        now = {i: "" if i in archived else self._id_now(i) for i in missing}
        survivors = sorted({other for i, other in now.items() if other and other not in held})
        more = self.reader.finish(CONTACTS, self.reader.batch_read(CONTACTS, survivors)) if survivors else Page([], {})
        gone = {i: "merged" if other else "archived" if i in archived else "gone" for i, other in now.items() if other != i}
        return Page([*page.records, *more.records], {}, done=True, gone={**page.gone, **more.gone, **gone}, note=page.note)

    def _id_now(self, contact_id: str) -> str:
        """The id this contact has now: another one after a merge, '' when it is nowhere."""
        path = self.client.path("crm/objects", f"{CONTACTS.path}/{quote(contact_id, safe='')}")
        try:
            return str(self.client.get(path, {"properties": "hs_object_id"}).get("id") or "")
        except PermanentApiError as e:
            if e.status != 404:
                raise
            return ""


def _unwritten(e: ApiError) -> str:
    log.warning("HubSpot's property %s was not written (%s); the list is", PROPERTY, e.code or e.status)
    return f"the property {PROPERTY} was not written: {e}"


def _ids(members: Sequence[Member]) -> list[str]:
    return [m.contact_id for m in members]


def _told(outcome: Outcome, refused: str, merged: str, problem: str) -> Outcome:
    """Who is off the list and may carry the option still has not left: the next run tries again. Where it is the contact that
    HubSpot minds, once it has changed; otherwise in any case."""
    if outcome.kind == "add":
        return replace(outcome, reason=outcome.reason or problem)
    why = refused or merged or ("" if outcome.result == "missing" else problem)
    if outcome.result == "refused" or not why:
        return outcome
    result: OutcomeKind = "refused" if refused else "unknown"
    return replace(outcome, result=result, reason=f"off the list, but the property may still say so: {why}", is_half=True)


adapter = HubspotAdapter
