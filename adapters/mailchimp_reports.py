"""Mailchimp's campaigns, of every audience, and what people did with them.

email-activity lists every recipient of a campaign with opens, clicks and bounces. It is read twice side by side, as it
is and with `filter_bots=true`: what is missing from the second list was a machine (Apple's privacy proxy, a scanner).
One record is one recipient's UTC day: when only what is new is asked for, whole days are asked, so a record that is
read again is always complete and replaces the old one. Docs: https://mailchimp.com/developer/marketing/api/email-activity-reports/
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from hashlib import md5
from typing import Any
from urllib.parse import quote

from adapters.base import Page, Record
from adapters.mailchimp_api import Api, Rows, moment, stamp
from adapters.mailchimp_batches import FROM_CAMPAIGNS, FROM_PAGES, Batches, Results
from adapters.mailchimp_campaigns import CampaignWalk, Part, Todo, reports
from models.errors import PermanentApiError

log = logging.getLogger(__name__)

ACTIVITY_FIELDS = ("campaign_id", "list_id", "email_id", "email_address", "activity")
UNSUBSCRIBE_FIELDS = ("email_id", "email_address", "timestamp", "reason", "campaign_id", "list_id")
COMPLAINT_FIELDS = ("id", "campaign_id", "list_id", "email_id", "email_address", "date")
TOLD_APART = frozenset({"open", "click"})
"""Actions that a machine may have done."""
Event = tuple[str, str, str]


def campaign_pages(api: Api, since: datetime | None) -> Iterator[Page]:
    """All campaigns, every time: the totals of a thousand come in one request."""
    rows = reports(api, since)
    names = _names(api) if any(not r.get("campaign_title") or not r.get("subject_line") for r in rows) else {}
    for row in rows:
        row["_bounces"] = sum(int((row.get("bounces") or {}).get(k) or 0) for k in ("hard_bounces", "soft_bounces"))
        row.update(names.get(str(row["id"]), {}))
    for start in range(0, len(rows), api.count):
        yield Page(rows[start : start + api.count], {}, total=len(rows))
    yield Page([], {}, done=True, total=len(rows))


def _names(api: Api) -> dict[str, Record]:
    """Campaign id -> title and subject from the campaign itself, for reports that leave them out."""
    fields = ("id", "settings.title", "settings.subject_line")
    rows = api.every("campaigns", "campaigns", fields, status="sent").rows
    settings = {str(r["id"]): r.get("settings") or {} for r in rows}
    return {i: {"_title": s.get("title"), "_subject": s.get("subject_line")} for i, s in settings.items()}


def activity(api: Api, days: int, from_campaigns: int = FROM_CAMPAIGNS, from_pages: int = FROM_PAGES) -> CampaignWalk:
    """Sends, opens, clicks and bounces of every recipient. Record id: campaign, member and UTC day."""
    reader = _Activity(api)
    return CampaignWalk(
        api,
        days,
        marks=_activity_marks,
        rows_of=lambda r: int(r.get("emails_sent") or 0),
        read=reader.read,
        batches=Batches(api, ACTIVITY_FIELDS, from_campaigns, from_pages),
        take_in=reader.take_in,
    )


def unsubscribes(api: Api, days: int) -> CampaignWalk:
    """Who left through which campaign, when and why. Record id: campaign and member."""
    return CampaignWalk(
        api,
        days,
        marks=lambda r: [int(r.get("unsubscribed") or 0), r.get("send_time")],
        rows_of=lambda r: int(r.get("unsubscribed") or 0),
        read=partial(_unsubscribed, api),
        whole=True,
    )


def _activity_marks(report: Record) -> list[Any]:
    opens, clicks, bounces = (report.get(k) or {} for k in ("opens", "clicks", "bounces"))
    return [
        int(report.get("emails_sent") or 0),
        opens.get("last_open"),
        clicks.get("last_click"),
        [bounces.get("hard_bounces"), bounces.get("soft_bounces")],
        report.get("send_time"),
    ]


def _unsubscribed(api: Api, todo: Todo, offset: int) -> Part:
    campaign = todo.report["id"]
    path = f"reports/{quote(campaign, safe='')}/unsubscribed"
    page = _or_gone(lambda: api.window(path, "unsubscribes", UNSUBSCRIBE_FIELDS, offset=offset, count=api.count))
    if page is None:
        return Part([], 0, 0, "a campaign was deleted while it was read")
    records = [{**_owned(api, r, todo), "_id": _id(str(campaign), _who(r))} for r in page.rows]
    return Part(records, len(page.rows), page.total, whose=frozenset(map(_who, page.rows)))


def _owned(api: Api, row: Record, todo: Todo) -> Record:
    """The row with `_contact_id`, where that is not its `email_id`: of members of another audience than the written one."""
    audience = str(row.get("list_id") or todo.report.get("list_id") or "")
    contact_id = api.contact_id(audience, _who(row))
    return row if contact_id == row.get("email_id") else {**row, "_contact_id": contact_id}


def _who(row: Record) -> str:
    """The member's id, which is made from the address; '' when neither is told."""
    address = str(row.get("email_address") or "").strip().lower()
    return str(row.get("email_id") or (md5(address.encode(), usedforsecurity=False).hexdigest() if address else ""))


def _id(*parts: str) -> str:
    """'' where one is missing: such a record is set aside."""
    return ":".join(parts) if all(parts) else ""


def complaint_pages(api: Api) -> Iterator[Page]:
    """Who reported a mail as spam, in every audience; there is no filter by time, and there are few."""
    total = 0
    for audience in (str(r["id"]) for r in api.audiences()):
        rows = api.every(f"lists/{audience}/abuse-reports", "abuse_reports", COMPLAINT_FIELDS).rows
        total += len(rows)
        own = [{**r, "_id": f"{audience}:{r['id']}", "_contact_id": api.contact_id(audience, _who(r))} for r in rows]
        yield Page(own, {}, total=total)
    yield Page([], {}, done=True, total=total)


def _or_gone(read: Callable[[], Rows]) -> Rows | None:
    try:
        return read()
    except PermanentApiError as e:
        if e.status == 404:
            return None
        raise


class _Activity:
    """Reads pages of email-activity and tells people from machines. Used by several threads."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self._lock = threading.Lock()
        self._whole: tuple[str, dict[str, Counter[Event]]] = ("", {})

    def read(self, todo: Todo, offset: int) -> Part:
        page = _or_gone(lambda: self._page(todo, "false", offset))
        if page is None:
            return Part([], 0, 0, "a campaign was deleted while it was read")
        human = self._human(todo, offset, page.rows)
        whose = frozenset(map(_who, page.rows))
        return Part(self._records(page.rows, human, todo), len(page.rows), page.total, whose=whose)

    def take_in(self, todo: Todo, results: Results) -> Iterator[list[Record]] | None:
        """Page by page what a batch brought of one campaign; None when it failed or is not whole."""
        campaign = str(todo.report["id"])
        everybody, people = results.of(campaign, "all"), results.of(campaign, "human")
        if everybody is None or people is None:
            return None
        human: dict[str, Counter[Event]] = {}
        for rows in people:
            human.update(_events([r for r in rows if r.get("activity")]))
        return (self._records(rows, human, todo) for rows in everybody)

    def _records(self, rows: list[Record], human: dict[str, Counter[Event]], todo: Todo) -> list[Record]:
        owned = (_owned(self.api, row, todo) for row in rows)
        is_known = _knows_machines(todo.report)
        return [r for row in owned for r in _days(_told_apart(row, human, is_known), todo)]

    def _page(self, todo: Todo, filter_bots: str, offset: int) -> Rows:
        path = f"reports/{quote(str(todo.report['id']), safe='')}/email-activity"
        return self.api.window(
            path, "emails", ACTIVITY_FIELDS, offset=offset, count=self.api.count, filter_bots=filter_bots, **self._since(todo)
        )

    def _since(self, todo: Todo) -> dict[str, str]:
        # A second early: whether the boundary is included is not documented; `_days` drops what is too old.
        return {"since": stamp(todo.floor - timedelta(seconds=1))} if todo.floor else {}

    def _human(self, todo: Todo, offset: int, rows: list[Record]) -> dict[str, Counter[Event]]:
        """Member -> what people did. The two lists normally stand in the same order; where they do not, all is read."""
        active = {_who(r) for r in rows if any(e.get("action") in TOLD_APART for e in r.get("activity") or [])}
        if not active:
            return {}
        human = _events(self._page(todo, "true", offset).rows)
        if active <= human.keys():
            return human
        with self._lock:
            if self._whole[0] != str(todo.report["id"]):
                path = f"reports/{quote(str(todo.report['id']), safe='')}/email-activity"
                every = self.api.every(
                    path, "emails", ("email_id", "email_address", "activity"), filter_bots="true", **self._since(todo)
                )
                self._whole = (str(todo.report["id"]), _events(every.rows))
            return self._whole[1]


def _event(one: Record) -> Event:
    return str(one.get("action")), str(one.get("timestamp")), str(one.get("url") or "")


def _events(rows: list[Record]) -> dict[str, Counter[Event]]:
    return {_who(r): Counter(_event(e) for e in r.get("activity") or []) for r in rows}


def _knows_machines(report: Record) -> bool:
    """Whether Mailchimp told machines from people here. Where its totals do not, neither does the filter."""
    return "proxy_excluded_opens" in (report.get("opens") or {})


def _told_apart(row: Record, human: dict[str, Counter[Event]], is_known: bool) -> Record:
    """The row with `_is_machine` at every open and click; of an open nothing is said where it is not known."""
    left = Counter(human.get(_who(row), Counter()))
    events = []
    for one in row.get("activity") or []:
        key = _event(one)
        if key[0] in TOLD_APART and (is_known or key[0] == "click"):
            one = {**one, "_is_machine": left[key] <= 0}
            left[key] -= 1
        events.append(one)
    return {**row, "activity": events}


def _days(row: Record, todo: Todo) -> Iterator[Record]:
    """One record per UTC day; the day of sending also says when the mail went out (`_sent_at`)."""
    campaign, sent_at = str(todo.report["id"]), todo.report.get("send_time") or ""
    days: dict[str, list[Record]] = {}
    sent = moment(sent_at)
    sent_on = sent.date().isoformat() if sent else ""
    if sent_on:
        days[sent_on] = []
    for one in row["activity"]:
        at = moment(one.get("timestamp"))
        days.setdefault(at.date().isoformat() if at else sent_on, []).append(one)
    first = todo.floor.date().isoformat() if todo.floor else ""
    who = _who(row)
    for day, events in days.items():
        if day < first:
            continue
        record = {**row, "campaign_id": campaign, "activity": events, "_id": _id(campaign, who, day)}
        yield {**record, "_sent_at": sent_at} if day == sent_on else record
