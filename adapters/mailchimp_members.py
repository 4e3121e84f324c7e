"""Mailchimp's members: read whole although they move while they are read.

A contact that changes jumps to the end of the list sorted by `last_changed`, and every row behind its old place moves
up by one; plain offset paging then skips rows. So the walk asks again from the second of the last row seen, and within
one second (imports share one) it pages by offset with one row of overlap: when that row is not where it was, the list
has moved and the walk steps back. Whether `since_last_changed` includes its boundary is not documented, so one second
earlier is asked. Order and rules: https://mailchimp.com/developer/marketing/api/list-members/
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from adapters.base import Cursor, Page, Record
from adapters.mailchimp_api import CUT, SMALLEST_COUNT, Api, moment, stamp
from models.errors import PermanentApiError

log = logging.getLogger(__name__)

STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")
FIELDS = (
    "id", "email_address", "unique_email_id", "contact_id", "web_id", "status", "unsubscribe_reason", "vip", "language",
    "source", "sms_phone_number", "sms_subscription_status", "sms_subscription_last_updated", "merge_fields", "interests",
    "stats", "member_rating", "timestamp_signup", "timestamp_opt", "last_changed", "location", "marketing_permissions",
    "tags_count", "tags", "list_id",
)  # fmt: skip
OVERLAP = timedelta(minutes=5)
LAG = timedelta(seconds=60)
SECOND = timedelta(seconds=1)
INLINE_TAGS = 50
WALK_SHARE = 0.05
"""`reread` walks the whole audience from this share of it on: 1 page of 1000 costs Mailchimp about what 50 single reads do."""
FEW = 50
REREAD_PAGE = 200

Mark = tuple[str, str, str]


@dataclass
class Walk:
    """Where a walk stands; saved after every page.

    base: from when on this round asks ('' = everything); since: from when on the next page does; offset: place of the
    last row seen, which is `anchor`; both only within one crowded second. round 1 of a full walk closes it: who changed
    status while it ran is met there.
    """

    full: bool
    started: str
    base: str = ""
    since: str = ""
    round: int = 0
    status: int = 0
    offset: int = 0
    anchor: str = ""
    total: int | None = None


class Members:
    """The members stream. One object serves one walk at a time."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.path = f"{api.list_path}/members"
        self._interests: dict[str, str] | None = None
        self._count = api.count

    def pages(self, cursor: Cursor | None, *, full: bool) -> Iterator[Page]:
        """Every member when there is no watermark yet (or `full`), else who changed since it, less five minutes.

        The watermark saved at the end is the server's clock at the start less 60 s; what is newer was read too and
        is read again next time.
        """
        cursor = cursor or {}
        watermark = moment(cursor.get("watermark"))
        walk = self._begin(cursor.get("walk"), watermark, full)
        self._interests, self._count = None, self.api.count
        recent: set[Mark] = set()
        while walk.round < (2 if walk.full else 1):
            for records in self._round(walk, recent):
                yield Page(records, {"watermark": cursor.get("watermark"), "walk": asdict(walk)}, total=walk.total)
            walk.round, walk.status, walk.base = walk.round + 1, 0, walk.started
            walk.since, walk.offset, walk.anchor = walk.base, 0, ""
        yield Page([], {"watermark": walk.started, "walk": None}, done=True, total=walk.total)

    def _begin(self, saved: dict[str, Any] | None, watermark: datetime | None, full: bool) -> Walk:
        if saved and (saved["full"] or not full):
            return Walk(**saved)
        full = full or watermark is None
        total = sum(self._count_of(s) for s in STATUSES) if full else None
        if not full:
            self.api.get("/", "account_id")
        started = stamp(self.api.server_now() - LAG)
        base = "" if full or watermark is None else stamp(watermark - OVERLAP)
        return Walk(full, started, base, base, total=total)

    def _count_of(self, status: str) -> int:
        return self.api.page(self.path, "members", ("id",), offset=0, count=1, status=status).total

    def _round(self, walk: Walk, recent: set[Mark]) -> Iterator[list[Record]]:
        """The new rows of every status, page by page; `walk` stands behind them when they are handed over."""
        closing_from = moment(walk.started)
        while walk.status < len(STATUSES):
            for rows in self._status(walk):
                fresh = [r for r in rows if not (walk.round and _mark(r) in recent)]
                if walk.full and closing_from:
                    recent.update(_mark(r) for r in fresh if (at := moment(r.get("last_changed"))) and at >= closing_from)
                if fresh:
                    yield self.whole(fresh)
            walk.status, walk.since, walk.offset, walk.anchor = walk.status + 1, walk.base, 0, ""

    def _status(self, walk: Walk) -> Iterator[list[Record]]:
        """Rows of one status not handed over before; moves `walk` behind each page before yielding it."""
        status = STATUSES[walk.status]
        seen: dict[str, str] = {walk.anchor: ""} if walk.anchor else {}
        can_skip_ahead = True
        while True:
            since = moment(walk.since)
            page = self._ask(walk, status)
            if page is None:
                continue
            rows, total = page
            if walk.offset and (not rows or _key(rows[0]) not in seen):
                walk.offset = max(0, walk.offset - (self._count - 1))
                continue
            new = [r for r in rows if _key(r) not in seen]
            seen.update((_key(r), str(r.get("last_changed") or "")) for r in rows)
            can_skip_ahead = can_skip_ahead and _is_in_order(rows, since)
            is_short = len(rows) < self._count
            is_end = not rows or (walk.offset + len(rows) >= total if total else is_short) or (is_short and not new)
            if rows:
                seen = self._step(walk, rows, since, seen, can_skip_ahead)
            if new:
                yield new
            if is_end:
                return

    def _ask(self, walk: Walk, status: str) -> tuple[list[Record], int] | None:
        """One page; None when it was too big and a smaller one is to be asked."""
        since = {"since_last_changed": walk.since} if walk.since else {}
        try:
            page = self.api.page(
                self.path, "members", FIELDS, offset=walk.offset, count=self._count,
                status=status, sort_field="last_changed", sort_dir="ASC", **since,
            )  # fmt: skip
        except PermanentApiError as e:
            if e.code != CUT:
                raise
            self._count = max(self._count // 2, SMALLEST_COUNT)
            log.info("mailchimp: a page of members took too long, going on with %s", self._count)
            return None
        return page.rows, page.total

    def _step(
        self, walk: Walk, rows: list[Record], since: datetime | None, seen: dict[str, str], can_skip_ahead: bool
    ) -> dict[str, str]:
        """Move behind `rows`: to the second of the last one where that leads on, else by offset. Gives what stays seen."""
        first, last = moment(rows[0].get("last_changed")), moment(rows[-1].get("last_changed"))
        leads_on = first and last and first < last - SECOND and (since is None or last - SECOND > since)
        if can_skip_ahead and last and leads_on:
            walk.since, walk.offset, walk.anchor = stamp(last - SECOND), 0, ""
            return {k: at for k, at in seen.items() if (when := moment(at)) and when >= last - SECOND}
        walk.offset, walk.anchor = walk.offset + len(rows) - 1, _key(rows[-1])
        return seen

    def whole(self, rows: list[Record]) -> list[Record]:
        """The rows with every tag, groups by name (`_interests`), a place that is not 0, 0 (`_place`), and an address that
        is no mere text (`_address`)."""
        many = [r for r in rows if int(r.get("tags_count") or 0) > len(r.get("tags") or [])]
        for row, tags in zip(many, self.api.ahead(partial(self.tags, str(r["id"])) for r in many), strict=True):
            row["tags"] = tags or row.get("tags") or []
        for row in rows:
            chosen = [i for i, is_on in (row.get("interests") or {}).items() if is_on]
            row["_interests"] = sorted(self._names()[i] for i in chosen if i in self._names())
            place = row.get("location") or {}
            if place.get("latitude") or place.get("longitude"):
                row["_place"] = {"latitude": place.get("latitude"), "longitude": place.get("longitude")}
            address = (row.get("merge_fields") or {}).get("ADDRESS")
            if isinstance(address, dict):
                row["_address"] = address
        return rows

    def tags(self, member_id: str) -> list[Record]:
        """All tags of one member; the member itself shows fifty at most."""
        return self.api.every(f"{self.path}/{quote(member_id, safe='')}/tags", "tags", ("id", "name")).rows

    def _names(self) -> dict[str, str]:
        """Interest id -> 'Category: Name', read once a walk and only when somebody has chosen something."""
        if self._interests is None:
            self._interests = {}
            path = f"{self.api.list_path}/interest-categories"
            for category in self.api.every(path, "categories", ("id", "title")).rows:
                for one in self.api.every(f"{path}/{category['id']}/interests", "interests", ("id", "name")).rows:
                    self._interests[str(one["id"])] = f"{category.get('title')}: {one.get('name')}"
        return self._interests

    def reread(self, member_ids: Sequence[str]) -> Iterator[Page]:
        """These members as they are now. Few are read one by one; from 5 % of the audience on the audience is walked,
        and whoever did not turn up there is read alone, so that every id has an answer of its own."""
        wanted = frozenset(member_ids)
        left = dict.fromkeys(member_ids)
        if len(left) > FEW and len(left) > WALK_SHARE * sum(self._count_of(s) for s in STATUSES):
            walk = Walk(full=False, started="")
            for rows in self._round(walk, set()):
                found = [r for r in rows if r["id"] in wanted]
                for row in found:
                    left.pop(row["id"], None)
                if found:
                    yield Page(found, {})
        ids = list(left)
        for start in range(0, len(ids), REREAD_PAGE):
            yield self._one_by_one(ids[start : start + REREAD_PAGE])
        yield Page([], {}, done=True)

    def _one_by_one(self, ids: list[str]) -> Page:
        jobs = (partial(self.api.find, f"{self.path}/{quote(i, safe='')}", ",".join(FIELDS)) for i in ids)
        answers = dict(zip(ids, self.api.ahead(jobs), strict=True))
        return Page(
            self.whole([row for row in answers.values() if row is not None]),
            {},
            gone={i: "gone" for i, row in answers.items() if row is None},
        )


def _key(row: Record) -> str:
    return f"{row.get('id')} {row.get('last_changed')}"


def _mark(row: Record) -> Mark:
    return str(row.get("id")), str(row.get("last_changed")), str(row.get("status"))


def _is_in_order(rows: list[Record], since: datetime | None) -> bool:
    """True when the filter and the sorting were really applied; a filter written wrongly is ignored, not refused."""
    times = [moment(r.get("last_changed")) for r in rows]
    known = [t for t in times if t]
    return len(known) == len(times) and known == sorted(known) and (since is None or not known or known[0] >= since - SECOND)
