"""A walk over Mailchimp's campaigns: only those that moved since they were last read, page by page or through batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from adapters.base import Cursor, Page, Record
from adapters.mailchimp_api import Api, moment, stamp
from adapters.mailchimp_batches import CAMPAIGNS, Batches, Results

REPORT_FIELDS = (
    "id", "campaign_title", "type", "list_id", "subject_line", "emails_sent", "abuse_reports", "unsubscribed", "send_time",
    "bounces", "forwards", "opens", "clicks", "ecommerce",
)  # fmt: skip
OVERLAP = timedelta(hours=1)
WEEK = timedelta(days=7)
"""How often campaigns older than `engagement_days` are looked at too; only those that moved are read."""

AGAIN = 3
"""How often a campaign is read anew because its list moved."""


def reports(api: Api, since: datetime | None = None) -> list[Record]:
    """Totals of all sent campaigns, oldest first."""
    after = {"since_send_time": stamp(since)} if since else {}
    return sorted(api.every("reports", "reports", REPORT_FIELDS, **after).rows, key=place)


def place(report: Record) -> tuple[str, str]:
    return str(report.get("send_time") or ""), str(report["id"])


@dataclass
class Part:
    """One page of one campaign: the records, how many rows they came from, how many there are, and whose the rows are."""

    records: list[Record]
    rows: int
    total: int
    note: str = ""
    whose: frozenset[str] = frozenset()


@dataclass
class Walk:
    """Where a walk over campaigns stands. `after` is the place of the last finished campaign; `campaign`, `offset`, `mark`
    and `total` (how many rows it had) belong to the one being read. mode: backfill, full or changed. begun: when; '' where
    old campaigns are left out. batch: the batch of reads that runs or is being taken in, for `batched` (campaign -> mark).
    without_batches: one came to nothing, so no other is begun."""

    mode: str
    since: str = ""
    begun: str = ""
    after: list[str] = field(default_factory=list)
    campaign: str = ""
    offset: int = 0
    mark: list[Any] = field(default_factory=list)
    total: int = 0
    batch: str = ""
    batched: dict[str, list[Any]] = field(default_factory=dict)
    without_batches: bool = False


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
        of the last `days`; every `WEEK` at the older ones too, as far back as the backfill went."""
        cursor = cursor or {}
        marks: dict[str, list[Any]] = dict(cursor.get("marks") or {})
        walk = self._begin(cursor, full, since)
        kept = {"from": cursor.get("from") or "", "whole_at": cursor.get("whole_at") or ""}
        if walk.mode != "changed":
            kept["from"] = walk.since
        for page in self._walked(walk, marks):
            yield replace(page, cursor={**kept, "marks": dict(marks), "walk": asdict(walk)})
        yield Page([], {**kept, "whole_at": walk.begun or kept["whole_at"], "marks": marks, "walk": None}, done=True)

    def _walked(self, walk: Walk, marks: dict[str, list[Any]]) -> Iterator[Page]:
        """The pages, without their cursors."""
        todo = self._todo(walk, marks)
        if walk.batch:
            yield from self._batched([t for t in todo if str(t.report["id"]) in walk.batched], walk, marks)
            todo = [t for t in todo if str(t.report["id"]) not in walk.batched]
            self._leave_batch(walk)
        if self._pays(todo):
            yield from self._direct(todo[:1], walk, marks)  # one by itself first: a wrong request fails here, not in a batch
            todo = todo[1:]
            while todo and not walk.without_batches:
                yield from self._batched(todo[:CAMPAIGNS], walk, marks)
                todo = todo[CAMPAIGNS:]
                self._leave_batch(walk)
        yield from self._direct(todo, walk, marks)

    def _direct(self, todo: Sequence[Todo], walk: Walk, marks: dict[str, list[Any]]) -> Iterator[Page]:
        jobs = (partial(self._job, t, offset) for t in todo for offset in self._offsets(t))
        met: dict[str, set[str]] = {}
        for t, planned, part in self.api.ahead(jobs):
            offset, campaign = planned, str(t.report["id"])
            if campaign not in met:
                met, walk.total = {campaign: set()}, walk.total if t.offset else 0
            while part and walk.after != list(place(t.report)):
                end = offset + part.rows
                is_last = not part.rows or end >= part.total
                walk.campaign, walk.offset, walk.mark = campaign, end, t.mark
                walk.total = max(walk.total, part.total)
                met[campaign] |= part.whose
                is_moved = (is_last and t.offset + len(met[campaign]) < walk.total) or part.total < walk.total
                if is_moved and not part.note:
                    yield Page(part.records, {})
                    yield from self._again(t, walk)
                    part = Part([], 0, 0)
                if is_last or is_moved:
                    self._finish(t, walk, marks)
                yield Page(part.records, {}, note=part.note)
                is_short = end < planned + self.api.count or planned == self._offsets(t)[-1]
                offset, part = end, self.read(t, end) if is_short and not (is_last or is_moved) else None

    def _again(self, todo: Todo, walk: Walk) -> Iterator[Page]:
        """A campaign from its beginning: somebody left its list while it was read, which moved all rows behind them up, or a
        page came twice. Until a reading meets everybody, or says the same as the one before."""
        before = None
        for _ in range(AGAIN):
            walk.offset, walk.total, offset, met = 0, 0, 0, set[str]()
            total = 0
            while True:
                part = self.read(todo, offset)
                yield Page(part.records, {}, note=part.note)
                met, total, offset = met | part.whose, max(total, part.total), offset + part.rows
                if not part.rows or offset >= part.total:
                    break
            if (len(met) >= total and part.total == total) or before == (met, total):
                break
            before = (met, total)
        if len(met) < total:
            yield Page([], {}, note=f"Mailchimp counts {total:,} recipients of a campaign and lists {len(met):,}.")

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
            yield Page([], {})  # its id is kept before it is asked after
        for _ in self.batches.wait(walk.batch):
            yield Page([], {})
        with self.batches.results(walk.batch) as results:
            if results is None:
                walk.without_batches = True
                self._leave_batch(walk)
                yield from self._direct(todo, walk, marks)
                return
            for t in todo:
                found = self.take_in(t, results)
                if found is None:
                    yield from self._direct([t], walk, marks)
                    continue
                for records in found:
                    yield Page(records, {})
                self._finish(t, walk, marks)
                yield Page([], {})

    def _leave_batch(self, walk: Walk) -> None:
        walk.batch, walk.batched = "", {}

    def _finish(self, todo: Todo, walk: Walk, marks: dict[str, list[Any]]) -> None:
        marks[str(todo.report["id"])] = todo.mark
        walk.after, walk.campaign, walk.offset, walk.mark, walk.total = list(place(todo.report)), "", 0, [], 0

    def _begin(self, cursor: Cursor, full: bool, since: datetime | None) -> Walk:
        saved, now = cursor.get("walk"), self.api.server_now()
        if saved and (saved["mode"] != "changed" or not full):
            return Walk(**saved)
        if "marks" not in cursor or full:
            return Walk("full" if full else "backfill", stamp(since) if since and not full else "", stamp(now))
        whole_at = moment(cursor.get("whole_at"))
        if whole_at is None or now - whole_at >= WEEK:
            return Walk("changed", cursor.get("from") or "", stamp(now))
        return Walk("changed", stamp(now - timedelta(days=self.days)))

    def _todo(self, walk: Walk, marks: dict[str, list[Any]]) -> list[Todo]:
        found = []
        for report in reports(self.api, moment(walk.since)):
            campaign = str(report["id"])
            if list(place(report)) <= walk.after or not self.rows_of(report):
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
