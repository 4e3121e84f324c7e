"""HubSpot, API 2026-09. Docs: https://developers.hubspot.com/docs/api-reference/latest

We read contacts, companies, orders, deals, tickets and marketing e-mails, and write manual lists of contacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from adapters.base import Account, Adapter, Cursor, Finding, Page, Stream
from adapters.hubspot_check import findings
from adapters.hubspot_client import BATCH, HubspotClient
from adapters.hubspot_emails import email_pages
from adapters.hubspot_events import event_pages
from adapters.hubspot_lists import Lists
from adapters.hubspot_objects import CONTACTS, EMAILS, EMAILS_SCOPE, EVENTS, KINDS
from adapters.hubspot_read import Reader
from models.changes import Batch, Observed, Outcome, Target
from models.errors import ApiError, AuthError, PermanentApiError


class HubspotAdapter(Adapter):
    name = "hubspot"
    title = "HubSpot"
    noun = "HubSpot list"
    batch_size = 1000  # the most ids in one membership call is not documented
    contacts_stream = CONTACTS.name

    def __init__(self, settings: dict[str, Any], *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        super().__init__(settings, now_utc=now_utc, sleep=sleep)
        self.client = HubspotClient(settings, now_utc=now_utc, sleep=sleep)
        self.reader = Reader(self.client, settings)
        self.lists = Lists(self.client)

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

    def check(self) -> list[Finding]:
        try:
            account = self.account()
        except AuthError as e:
            return [Finding("hubspot account", "error", str(e), "auth")]
        except ApiError as e:
            return [Finding("hubspot account", "error", str(e), "scope" if e.status == 403 else "")]
        kind = account.details.get("accountType", "")
        text = f"{account.name}{f' ({kind})' if kind else ''}, time zone {account.timezone or 'unknown'}"
        return list(findings(self.client, self.reader, self.settings, text))

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
        for start in range(0, len(contact_ids), BATCH):
            yield self._reread(list(dict.fromkeys(contact_ids[start : start + BATCH])))

    def observe(self, targets: Sequence[Target], maybe: dict[str, frozenset[str]]) -> list[Observed]:
        return [self.lists.observe(target) for target in targets]

    def ensure(self, target: Target) -> str:
        return self.lists.ensure(target)

    def apply(self, batch: Batch) -> list[Outcome]:
        return self.lists.apply(batch)

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
        path = self.client.path("crm/objects", f"{CONTACTS.path}/{contact_id}")
        try:
            return str(self.client.get(path, {"properties": "hs_object_id"}).get("id") or "")
        except PermanentApiError as e:
            if e.status != 404:
                raise
            return ""


adapter = HubspotAdapter
