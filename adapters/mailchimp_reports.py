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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from adapters.base import Cursor, Page, Record
from adapters.mailchimp_api import Api, Rows, moment, stamp
from adapters.mailchimp_batches import CAMPAIGNS, FROM_CAMPAIGNS, FROM_PAGES, Batches, Results
from models.errors import PermanentApiError

log = logging.getLogger(__name__)

REPORT_FIELDS = (
    "id", "campaign_title", "type", "list_id", "subject_line", "emails_sent", "abuse_reports", "unsubscribed", "send_time",
    "bounces", "forwards", "opens", "clicks", "ecommerce",
)  # fmt: skip
ACTIVITY_FIELDS = ("campaign_id", "list_id", "email_id", "email_address", "activity")
UNSUBSCRIBE_FIELDS = ("email_id", "email_address", "timestamp", "reason", "campaign_id", "list_id")
COMPLAINT_FIELDS = ("id", "campaign_id", "list_id", "email_id", "email_address", "date")
TOLD_APART = frozenset({"open", "click"})
"""Actions that a machine may have done."""
OVERLAP = timedelta(hours=1)
MARGIN_DAYS = 7

Event = tuple[str, str, str]


def reports(api: Api, since: datetime | None = None) -> list[Record]:
    """Totals of all sent campaigns, oldest first."""
    after = {"since_send_time": stamp(since)} if since else {}
    return sorted(api.every("reports", "reports", REPORT_FIELDS, **after).rows, key=_place)


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


def _place(report: Record) -> tuple[str, str]:
    return str(report.get("send_time") or ""), str(report["id"])


@dataclass
class Part:
    """One page of one campaign: the records, how many rows they came from, and how many there are."""

    records: list[Record]
    rows: int
    total: int
    note: str = ""


@dataclass
class Walk:
    """Where a walk over campaigns stands. `after` is the place of the last finished campaign; `campaign`, `offset` and
    `mark` belong to the one being read. mode: backfill, full or changed. batch: the batch of reads that runs or is being
    taken in, for `batched` (campaign -> mark)."""

    mode: str
    since: str = ""
    after: list[str] = field(default_factory=list)
    campaign: str = ""
    offset: int = 0
    mark: list[Any] = field(default_factory=list)
    batch: str = ""
    batched: dict[str, list[Any]] = field(default_factory=dict)


@dataclass
class Todo:
    report: Record
    mark: list[Any]
    offset: int
    floor: datetime | None
    """Only what happened from this midnight on is asked for; None: everything."""


class CampaignWalk:
    """Reads something page by page of every campaign that moved since it was last read.

    marks: what of a report tells that there is something new. rows_of: how many rows to expect. read: one page.
    batches: how to read many campaigns at once; take_in: the records of one campaign of a batch, None when it is not whole.
    """

    def __init__(
        self,
        api: Api,
        days: int,
        *,
        marks: Callable[[Record], list[Any]],
        rows_of: Callable[[Record], int],
        read: Callable[[Todo, int], Part],
        whole: bool = False,
        batches: Batches | None = None,
        take_in: Callable[[Todo, Results], Iterator[list[Record]] | None] | None = None,
    ) -> None:
        self.api, self.days = api, days
        self.marks, self.rows_of, self.read, self.whole = marks, rows_of, read, whole
        self.batches, self.take_in = batches, take_in

    def pages(self, cursor: Cursor | None, *, full: bool, since: datetime | None) -> Iterator[Page]:
        """A campaign that did not move since its mark is left out, except on `full`. Incremental walks look at campaigns
        of the last `days`; the marks of older ones are dropped, so asking for more days later reads those whole."""
        marks: dict[str, list[Any]] = dict((cursor or {}).get("marks") or {})
        walk = self._begin(cursor, full, since)
        todo = self._todo(walk, marks)
        if walk.batch:
            yield from self._batched([t for t in todo if str(t.report["id"]) in walk.batched], walk, marks)
            todo = [t for t in todo if str(t.report["id"]) not in walk.batched]
            self._leave_batch(walk)
        if self.batches and self._pays(todo):
            yield from self._direct(todo[:1], walk, marks)  # one by itself first: a wrong request fails here, not in a batch
            for start in range(1, len(todo), CAMPAIGNS):
                yield from self._batched(todo[start : start + CAMPAIGNS], walk, marks)
                self._leave_batch(walk)
        else:
            yield from self._direct(todo, walk, marks)
        yield Page([], {"marks": self._young(marks), "walk": None}, done=True)

    def _direct(self, todo: Sequence[Todo], walk: Walk, marks: dict[str, list[Any]]) -> Iterator[Page]:
        jobs = (partial(self._job, t, offset) for t in todo for offset in self._offsets(t))
        for t, planned, part in self.api.ahead(jobs):
            offset = planned
            while part and walk.after != list(_place(t.report)):
                end = offset + part.rows
                is_last = not part.rows or end >= part.total
                walk.campaign, walk.offset, walk.mark = str(t.report["id"]), end, t.mark
                if is_last:
                    self._finish(t, walk, marks)
                yield Page(part.records, self._cursor(walk, marks), note=part.note)
                is_short = end < planned + self.api.count or planned == self._offsets(t)[-1]
                offset, part = end, self.read(t, end) if is_short and not is_last else None

    def _pays(self, todo: Sequence[Todo]) -> bool:
        """Whether a batch is worth the wait: many campaigns, all read from the beginning, and many pages."""
        is_whole = all(t.floor is None and not t.offset for t in todo)
        pages = sum(len(self._offsets(t)) for t in todo)
        return self.batches is not None and is_whole and self.batches.pays(len(todo), pages)

    def _batched(self, todo: Sequence[Todo], walk: Walk, marks: dict[str, list[Any]]) -> Iterator[Page]:
        """Campaigns through one batch; what failed there, or is not whole, is read by itself."""
        assert self.batches and self.take_in  # only walks that have both come here
        if not walk.batch and todo:
            walk.batch = self.batches.begin([str(t.report["id"]) for t in todo])
            walk.batched = {str(t.report["id"]): t.mark for t in todo}
        for _ in self.batches.wait(walk.batch):
            yield Page([], self._cursor(walk, marks))
        with self.batches.results(walk.batch) as results:
            for t in todo:
                found = self.take_in(t, results) if results else None
                if found is None:
                    yield from self._direct([t], walk, marks)
                    continue
                for records in found:
                    yield Page(records, self._cursor(walk, marks))
                self._finish(t, walk, marks)
                yield Page([], self._cursor(walk, marks))

    def _leave_batch(self, walk: Walk) -> None:
        walk.batch, walk.batched = "", {}

    def _finish(self, todo: Todo, walk: Walk, marks: dict[str, list[Any]]) -> None:
        marks[str(todo.report["id"])] = todo.mark
        walk.after, walk.campaign, walk.offset, walk.mark = list(_place(todo.report)), "", 0, []

    def _cursor(self, walk: Walk, marks: dict[str, list[Any]]) -> Cursor:
        return {"marks": self._young(marks), "walk": asdict(walk)}

    def _begin(self, cursor: Cursor | None, full: bool, since: datetime | None) -> Walk:
        saved = (cursor or {}).get("walk")
        if saved and (saved["mode"] != "changed" or not full):
            return Walk(**saved)
        if cursor is None or full:
            return Walk("full" if full else "backfill", stamp(since) if since and not full else "")
        return Walk("changed", stamp(self.api.server_now() - timedelta(days=self.days)))

    def _todo(self, walk: Walk, marks: dict[str, list[Any]]) -> list[Todo]:
        found = []
        for report in reports(self.api, moment(walk.since)):
            campaign = str(report["id"])
            if list(_place(report)) <= walk.after or not self.rows_of(report):
                continue
            if campaign == walk.campaign:
                found.append(Todo(report, walk.mark, walk.offset, self._floor(walk.mark, marks.get(campaign), walk)))
                continue
            mark = walk.batched.get(campaign) or [*self.marks(report), stamp(self.api.server_now())]
            old = marks.get(campaign)
            if walk.mode == "full" or not old or old[:-1] != mark[:-1]:
                found.append(Todo(report, mark, 0, self._floor(mark, old, walk)))
        return found

    def _floor(self, mark: list[Any], old: list[Any] | None, walk: Walk) -> datetime | None:
        """The first mark of all is who it went to: when that moved, everything is read again."""
        last = moment(old[-1]) if old else None
        if self.whole or walk.mode == "full" or last is None or old is None or old[0] != mark[0]:
            return None
        return (last - OVERLAP).replace(hour=0, minute=0, second=0, microsecond=0)

    def _offsets(self, todo: Todo) -> range:
        return range(todo.offset, max(self.rows_of(todo.report), todo.offset + 1), self.api.count)

    def _job(self, todo: Todo, offset: int) -> tuple[Todo, int, Part | None]:
        return todo, offset, self.read(todo, offset)

    def _young(self, marks: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Marks of campaigns that a later incremental walk may look at."""
        edge = stamp(self.api.server_now() - timedelta(days=self.days + MARGIN_DAYS))
        return {c: m for c, m in marks.items() if str(m[-2] or "~") >= edge}


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
    path = f"reports/{campaign}/unsubscribed"
    page = _or_gone(lambda: api.window(path, "unsubscribes", UNSUBSCRIBE_FIELDS, offset=offset, count=api.count))
    if page is None:
        return Part([], 0, 0, "a campaign was deleted while it was read")
    records = [{**_owned(api, r, todo), "_id": f"{campaign}:{r['email_id']}"} for r in page.rows]
    return Part(records, len(page.rows), page.total)


def _owned(api: Api, row: Record, todo: Todo) -> Record:
    """The row with `_contact_id`, where it is about a member of another audience than the written one."""
    audience = str(row.get("list_id") or todo.report.get("list_id") or "")
    contact_id = api.contact_id(audience, str(row["email_id"]))
    return row if contact_id == row["email_id"] else {**row, "_contact_id": contact_id}


def complaint_pages(api: Api) -> Iterator[Page]:
    """Who reported a mail as spam, in every audience; there is no filter by time, and there are few."""
    total = 0
    for audience in (str(r["id"]) for r in api.audiences()):
        rows = api.every(f"lists/{audience}/abuse-reports", "abuse_reports", COMPLAINT_FIELDS).rows
        total += len(rows)
        own = [{**r, "_id": f"{audience}:{r['id']}", "_contact_id": api.contact_id(audience, str(r["email_id"]))} for r in rows]
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
        return Part(self._records(page.rows, human, todo), len(page.rows), page.total)

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
        return [r for row in owned for r in _days(_told_apart(row, human), todo)]

    def _page(self, todo: Todo, filter_bots: str, offset: int) -> Rows:
        path = f"reports/{todo.report['id']}/email-activity"
        return self.api.window(
            path, "emails", ACTIVITY_FIELDS, offset=offset, count=self.api.count, filter_bots=filter_bots, **self._since(todo)
        )

    def _since(self, todo: Todo) -> dict[str, str]:
        # A second early: whether the boundary is included is not documented; `_days` drops what is too old.
        return {"since": stamp(todo.floor - timedelta(seconds=1))} if todo.floor else {}

    def _human(self, todo: Todo, offset: int, rows: list[Record]) -> dict[str, Counter[Event]]:
        """Member -> what people did. The two lists normally stand in the same order; where they do not, all is read."""
        active = {str(r["email_id"]) for r in rows if any(e.get("action") in TOLD_APART for e in r.get("activity") or [])}
        if not active:
            return {}
        human = _events(self._page(todo, "true", offset).rows)
        if active <= human.keys():
            return human
        with self._lock:
            if self._whole[0] != str(todo.report["id"]):
                path = f"reports/{todo.report['id']}/email-activity"
                every = self.api.every(path, "emails", ("email_id", "activity"), filter_bots="true", **self._since(todo))
                self._whole = (str(todo.report["id"]), _events(every.rows))
            return self._whole[1]


def _event(one: Record) -> Event:
    return str(one.get("action")), str(one.get("timestamp")), str(one.get("url") or "")


def _events(rows: list[Record]) -> dict[str, Counter[Event]]:
    return {str(r["email_id"]): Counter(_event(e) for e in r.get("activity") or []) for r in rows}


def _told_apart(row: Record, human: dict[str, Counter[Event]]) -> Record:
    """The row with `_is_machine` at every open and click."""
    left = Counter(human.get(str(row["email_id"]), Counter()))
    events = []
    for one in row.get("activity") or []:
        key = _event(one)
        if key[0] in TOLD_APART:
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
    for day, events in days.items():
        if day < first:
            continue
        record = {**row, "campaign_id": campaign, "activity": events, "_id": f"{campaign}:{row['email_id']}:{day}"}
        yield {**record, "_sent_at": sent_at} if day == sent_on else record
