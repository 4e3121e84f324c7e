"""Mailchimp's members of every audience: read whole although they move while they are read.

A contact that changes jumps to the end of the list sorted by `last_changed`, and every row behind its old place moves up
by one; plain offset paging then skips rows. So each page begins with the last row of the page before it. Where that row
is not found, the list has moved, and the walk steps back. As long as it is found, nobody who did not change was skipped,
whenever the two pages were read: so pages may be read side by side. Who changed meanwhile is met in the closing round.
Every `api.deep` rows the walk asks again from the last row's second on, for deep offsets are slow. Whether
`since_last_changed` includes its boundary is not documented, so one second earlier is asked.
Order and rules: https://mailchimp.com/developer/marketing/api/list-members/
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote

from adapters.base import Cursor, Page, Record
from adapters.mailchimp_api import Api, Rows, moment, stamp
from adapters.mailchimp_errors import CUT, SMALLEST_COUNT
from models.errors import PermanentApiError

log = logging.getLogger(__name__)

STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")
FIELDS = (
    "id", "email_address", "unique_email_id", "contact_id", "web_id", "status", "unsubscribe_reason", "vip", "language",
    "source", "sms_phone_number", "sms_subscription_status", "sms_subscription_last_updated", "merge_fields", "interests",
    "stats", "member_rating", "timestamp_signup", "timestamp_opt", "last_changed", "location", "marketing_permissions",
    "tags_count", "tags", "list_id",
)  # fmt: skip
CLOSING = ("unsubscribed", "cleaned")
OVERLAP = timedelta(minutes=5)
LAG = timedelta(seconds=60)
SECOND = timedelta(seconds=1)
MOST_BACKS = 40
"""Steps back in a row after which the walk goes on all the same: then the list has no order of its own."""
REMEMBERED = 4
"""Pages whose rows are known again when the walk has to step back."""
WALK_SHARE = 0.05
"""`reread` walks the audience from this share of it on: 1 page of 1000 costs Mailchimp about what 50 single reads do."""
FEW = 50
INLINE_TAGS = 50
STAMP_LENGTH = len("2026-11-21T12:00:00+00:00")
REREAD_PAGE = 200

Key = tuple[str, str]
Mark = tuple[str, str, str]


@dataclass
class Walk:
    """Where a walk stands; saved after every page.

    A leg is one status of one audience. bases: from when on this round asks each audience ('' = everything). since: from
    when on the next page does; offset: place of the last row seen since then, which is `anchor`. totals: rows of each leg
    when the round began, where known. Round 1 of a full walk closes it: who changed status while it ran is met there.
    """

    full: bool
    started: str
    audiences: list[str]
    bases: dict[str, str] = field(default_factory=dict)
    totals: list[int | None] = field(default_factory=list)
    round: int = 0
    leg: int = 0
    since: str = ""
    offset: int = 0
    anchor: list[str] = field(default_factory=list)
    total: int | None = None

    @property
    def legs(self) -> int:
        return len(self.audiences) * len(STATUSES)

    def audience(self, leg: int) -> str:
        return self.audiences[leg // len(STATUSES)]

    def base(self, leg: int) -> str:
        return self.bases.get(self.audience(leg), "")

    def enter(self, leg: int) -> None:
        self.leg, self.offset, self.anchor = leg, 0, []
        self.since = self.base(leg) if leg < self.legs else ""

    def known_total(self, leg: int) -> int | None:
        return self.totals[leg] if self.totals else None


@dataclass(frozen=True)
class Step:
    """One page to be read, and what came of it (None: it was too big)."""

    leg: int
    since: str
    offset: int
    page: Rows | None = None


class Members:
    """The members stream. Every call walks on its own, so several threads may."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def pages(self, cursor: Cursor | None, *, full: bool) -> Iterator[Page]:
        """Every member when there is no watermark yet (or `full`), else who changed since it, less five minutes; of an
        audience that is new, everybody. The watermark saved at the end is the server's clock at the start less 60 s;
        what is newer was read too and is read again next time."""
        cursor = cursor or {}
        walk = self._begin(cursor, full)
        kept = {k: cursor.get(k) for k in ("watermark", "audiences")}
        reader = Reader(self.api, walk)
        while walk.round < (2 if walk.full else 1):
            for records in reader.round():
                yield Page(records, {**kept, "walk": asdict(walk)}, total=walk.total)
            walk.round += 1
            walk.bases, walk.totals = dict.fromkeys(walk.audiences, walk.started), []
            walk.enter(0)
        end = {"watermark": walk.started, "audiences": walk.audiences, "walk": None}
        yield Page([], end, done=True, total=walk.total, note=reader.note)

    def _begin(self, cursor: Cursor, full: bool) -> Walk:
        saved, watermark = cursor.get("walk"), moment(cursor.get("watermark"))
        if saved and "audiences" in saved and (saved["full"] or not full):
            return Walk(**saved)
        if watermark is None or full:
            walk = self._whole_walk()
        else:
            audiences, known = self._audiences(), cursor.get("audiences") or [self.api.audience]
            walk = Walk(False, self._now(), audiences)
            walk.bases = {a: stamp(watermark - OVERLAP) for a in audiences if a in known}
        walk.enter(0)
        return walk

    def _whole_walk(self) -> Walk:
        """Over everybody. The written audience is there most of the time, so it is counted while the others are looked up."""
        own = Walk(True, "", [self.api.audience])
        asked = self.api.ahead([self._audiences, *self._counts(own)])
        walk = Walk(True, "", next(asked))
        walk.started = self._now()
        walk.totals = [*asked, *self.api.ahead(self._counts(walk)[own.legs :])]
        walk.total = sum(t or 0 for t in walk.totals)
        return walk

    def _now(self) -> str:
        return stamp(self.api.server_now() - LAG)

    def _audiences(self) -> list[str]:
        return [str(r["id"]) for r in self.api.audiences()]

    def _count(self, walk: Walk) -> None:
        walk.totals = list(self.api.ahead(self._counts(walk)))
        walk.total = sum(t or 0 for t in walk.totals)

    def _counts(self, walk: Walk) -> list[Callable[[], Any]]:
        """What asks how long each leg is."""
        return [partial(self._total, walk.audience(leg), STATUSES[leg % len(STATUSES)]) for leg in range(walk.legs)]

    def _total(self, audience: str, status: str) -> int:
        try:
            return self.api.page(f"lists/{audience}/members", "members", ("id",), offset=0, count=1, status=status).total
        except PermanentApiError as e:
            if e.status == 404 and audience != self.api.audience:
                return 0  # deleted since it was listed
            raise

    def reread(self, contact_ids: Sequence[str]) -> Iterator[Page]:
        """These members as they are now. Few are read one by one; from 5 % of an audience on it is walked, and whoever did
        not turn up there is read alone, so that every id has an answer of its own."""
        left = dict.fromkeys(contact_ids)
        counts: dict[str, int] = {}
        for contact_id in left:
            audience = self._audience(contact_id)
            counts[audience] = counts.get(audience, 0) + 1
        for audience, number in counts.items():
            if number > FEW:
                yield from self._walked(audience, number, left)
        ids = list(left)
        reader = Reader(self.api, Walk(False, "", [self.api.audience]))
        for start in range(0, len(ids), REREAD_PAGE):
            yield self._one_by_one(reader, ids[start : start + REREAD_PAGE])
        yield Page([], {}, done=True)

    def _walked(self, audience: str, number: int, left: dict[str, None]) -> Iterator[Page]:
        walk = Walk(False, "", [audience])
        self._count(walk)
        if number <= WALK_SHARE * (walk.total or 0):
            return
        for rows in Reader(self.api, walk).round():
            found = [r for r in rows if r["_contact_id"] in left]
            for row in found:
                left.pop(row["_contact_id"], None)
            if found:
                yield Page(found, {})

    def _one_by_one(self, reader: Reader, ids: list[str]) -> Page:
        fields = ",".join(FIELDS)
        jobs = (partial(self.api.find, self._path(i), fields) for i in ids)
        answers = dict(zip(ids, self.api.ahead(jobs), strict=True))
        rows: dict[str, list[Record]] = {}
        for contact_id, row in answers.items():
            if row is not None:
                rows.setdefault(self._audience(contact_id), []).append(row)
        absent = sorted({self._audience(i) for i, row in answers.items() if row is None})
        over = {audience for audience in absent if not self._is_there(audience)}
        records = [r for audience, found in rows.items() for r in reader.whole(audience, found)]
        gone = {i: "archived" if self._audience(i) in over else "gone" for i, row in answers.items() if row is None}
        return Page(records, {}, gone=gone)

    def _is_there(self, audience: str) -> bool:
        """An audience that was deleted answers 404 for each of its members, which says nothing about any of them: they are out of
        sight, and erased by nobody. Raises where it is the one that is written."""
        if self.api.find(f"lists/{quote(audience, safe='')}", "id") is not None:
            return True
        if audience == self.api.audience:
            raise PermanentApiError(
                f"Mailchimp knows no audience '{audience}' any more (deleted, or the key is of another account), so its people "
                "cannot be asked. Nothing is concluded about them. Is it the audience you write to, correct mailchimp.audience "
                "in the configuration; then run `rollcall pull --full`.",
                platform="mailchimp", status=404,
            )  # fmt: skip
        return False

    def _audience(self, contact_id: str) -> str:
        return contact_id.rpartition(":")[0] or self.api.audience

    def _path(self, contact_id: str) -> str:
        return f"lists/{quote(self._audience(contact_id), safe='')}/members/{quote(contact_id.rpartition(':')[2], safe='')}"


class Reader:
    """Carries one walk through its legs, pages ahead of each other."""

    def __init__(self, api: Api, walk: Walk) -> None:
        self.api, self.walk = api, walk
        self.count = api.count
        self._groups: dict[str, dict[str, str]] = {}
        self._recent: set[Mark] = set()
        self._seen: deque[set[Key]] = deque(maxlen=REMEMBERED)
        self._in_order = True
        self._backs = self._furthest = 0
        self._is_doubted = False
        self.note = ""

    def round(self) -> Iterator[list[Record]]:
        """The new rows of every leg, page by page; `walk` stands behind them when they are handed over."""
        walk = self.walk
        if walk.anchor:
            self._seen.append({(walk.anchor[0], walk.anchor[1])})
        while walk.leg < walk.legs:
            for step in self.api.ahead(partial(self._read, s) for s in self._plan()):
                self._pass_empty(step.leg)
                if step.leg < walk.leg:
                    continue  # read ahead of a leg that ended sooner
                if (step.leg, step.since, step.offset) != (walk.leg, walk.since, walk.offset) or step.page is None:
                    self._slow_down(step)
                    break
                fresh = self._take(step.page)
                if fresh:
                    yield self.whole(walk.audience(step.leg), fresh)
            self._pass_empty(walk.legs)

    def _plan(self) -> Iterator[Step]:
        """The pages from where the walk stands; of a leg whose length is not known, only the next one."""
        walk = self.walk
        leg, since, offset = walk.leg, walk.since, walk.offset
        while leg < walk.legs:
            total, deepest = walk.known_total(leg), offset + self.api.deep
            while total != 0:
                yield Step(leg, since, offset)
                if total is None or offset + self.count >= total:
                    break
                offset += self.count - 1
                if offset >= deepest:
                    return
            leg, offset = leg + 1, 0
            since = walk.base(leg) if leg < walk.legs else ""

    def _read(self, step: Step) -> Step:
        since = {"since_last_changed": step.since} if step.since else {}
        path = f"lists/{self.walk.audience(step.leg)}/members"
        try:
            page = self.api.page(
                path, "members", FIELDS, offset=step.offset, count=self.count,
                status=STATUSES[step.leg % len(STATUSES)], sort_field="last_changed", sort_dir="ASC", **since,
            )  # fmt: skip
        except PermanentApiError as e:
            if e.status == 404 and self.walk.audience(step.leg) != self.api.audience:
                log.warning("mailchimp: an audience was deleted while it was read")
                page = Rows([], 0)
            elif e.code == CUT:
                page = None
            else:
                raise
        return Step(step.leg, step.since, step.offset, page)

    def _pass_empty(self, leg: int) -> None:
        """Go on to `leg` as far as nothing lies between."""
        walk = self.walk
        while walk.leg < leg and walk.known_total(walk.leg) == 0 and not walk.offset:
            walk.enter(walk.leg + 1)

    def _slow_down(self, step: Step) -> None:
        if step.page is None:
            self.count = max(self.count // 2, SMALLEST_COUNT)
            log.info("mailchimp: a page of members took too long, going on with %s", self.count)

    def _take(self, page: Rows) -> list[Record]:
        """Rows not handed over before; moves the walk behind them, or back when the list has moved under it."""
        walk, rows = self.walk, page.rows
        if walk.offset and not (rows and self._knows(_key(rows[0]))) and self._steps_back():
            return []
        times = _times(rows)
        is_asked = not walk.since or not times or times[0] >= walk.since
        if not is_asked and self._in_order:
            log.warning("mailchimp: since_last_changed was ignored; everything is read instead")
        self._in_order = self._in_order and is_asked and "" not in times and times == sorted(times)
        if walk.offset and rows and walk.anchor == list(_key(rows[0])):
            new = rows[1:]
        else:
            new = [r for r in rows if not self._knows(_key(r))] if self._seen else rows
        if not is_asked:
            new = [r for r, at in zip(rows, times, strict=True) if (not at or at >= walk.since) and not self._knows(_key(r))]
        self._seen.append({_key(r) for r in rows})
        is_short = len(rows) < self.count
        is_end = not rows or (walk.offset + len(rows) >= page.total if page.total else is_short) or (is_short and not new)
        is_other = bool(walk.offset and rows and not new and walk.anchor != list(_key(rows[0])))
        if is_end and is_other and not self._is_doubted:
            self._is_doubted = True  # a page that came twice looks like the end, too: it is asked for once more
            return []
        self._is_doubted = False
        self._move(rows, page.total, times, is_end)
        return self._unmet(new)

    def _steps_back(self) -> bool:
        """A page earlier; False once that has led nowhere for long. What is missed then shows in the count of all."""
        walk = self.walk
        self._furthest = max(self._furthest, walk.offset)
        self._backs += 1
        if self._backs > MOST_BACKS:
            self.note = "Mailchimp listed contacts in no steady order, so some may be missing until the next full read."
            return False
        walk.offset = max(0, walk.offset - (self.count - 1))
        return True

    def _move(self, rows: list[Record], total: int, times: list[str], is_end: bool) -> None:
        walk = self.walk
        if is_end:
            self._seen.clear()
            self._in_order = True
            self._backs = self._furthest = 0
            walk.enter(walk.leg + 1)
            return
        walk.totals = walk.totals or [None] * walk.legs
        walk.totals[walk.leg] = total or None
        walk.offset, walk.anchor = walk.offset + len(rows) - 1, list(_key(rows[-1]))
        if walk.offset > self._furthest and self._backs <= MOST_BACKS:
            self._backs = 0
        if walk.offset < self.api.deep or not self._in_order:
            return
        last = moment(rows[-1].get("last_changed"))
        again = stamp(last - SECOND) if last else ""
        if again > walk.since:
            walk.totals[walk.leg] = max(1, total - walk.offset) if total else None
            walk.since, walk.offset, walk.anchor = again, 0, []
            self._furthest = 0

    def _unmet(self, rows: list[Record]) -> list[Record]:
        """Without those that the closing round meets again just as they were."""
        walk = self.walk
        if not walk.full:
            return rows
        if walk.round:
            return [r for r in rows if _mark(r) not in self._recent]
        self._recent.update(_mark(r) for r, at in zip(rows, _times(rows), strict=True) if at >= walk.started)
        return rows

    def _knows(self, key: Key) -> bool:
        return any(key in page for page in self._seen)

    def whole(self, audience: str, rows: list[Record]) -> list[Record]:
        """The rows with every tag, groups by name (`_interests`), a place that is not 0, 0 (`_place`), and an address that
        is no mere text (`_address`). A yes has its date (`_yes_at`). A member of another audience than the written one has
        an id of its own (`_contact_id`) and says what that means (`_elsewhere`)."""
        many = [r for r in rows if (r.get("tags_count") or 0) > INLINE_TAGS or len(r.get("tags") or ()) >= INLINE_TAGS]
        for row, tags in zip(many, self.api.ahead(partial(self._tags, audience, str(r["id"])) for r in many), strict=True):
            row["tags"] = tags or row.get("tags") or []
        is_other = audience != self.api.audience
        for row in rows:
            interests = row.get("interests")
            if interests and True in interests.values():
                names = self._names(audience)
                row["_interests"] = sorted(names[i] for i, is_on in interests.items() if is_on and i in names)
            place = row.get("location")
            if place and (place.get("latitude") or place.get("longitude")):
                row["_place"] = {"latitude": place.get("latitude"), "longitude": place.get("longitude")}
            fields = row.get("merge_fields")
            if fields and isinstance(address := fields.get("ADDRESS"), dict):
                row["_address"] = address
            if is_other:
                row["_contact_id"], row["_elsewhere"] = f"{audience}:{row['id']}", _elsewhere(row)
                continue
            row["_contact_id"] = row["id"]
            if row.get("status") == "subscribed":
                row["_yes_at"] = row.get("timestamp_opt")
        return rows

    def _tags(self, audience: str, member_id: str) -> list[Record]:
        """All tags of one member; the member itself shows fifty at most."""
        return self.api.every(f"lists/{audience}/members/{quote(member_id, safe='')}/tags", "tags", ("id", "name")).rows

    def _names(self, audience: str) -> dict[str, str]:
        """Interest id -> 'Category: Name', read once a walk and only when somebody has chosen something."""
        if audience not in self._groups:
            names: dict[str, str] = {}
            path = f"lists/{audience}/interest-categories"
            for category in self.api.every(path, "categories", ("id", "title")).rows:
                for one in self.api.every(f"{path}/{category['id']}/interests", "interests", ("id", "name")).rows:
                    names[str(one["id"])] = f"{category.get('title')}: {one.get('name')}"
            self._groups[audience] = names
        return self._groups[audience]


def _elsewhere(row: Record) -> list[dict[str, str]]:
    """Closed on every channel; and the no, or the bounce, that counts here too."""
    closed = [{"channel": channel, "status": "elsewhere"} for channel in ("email", "sms", "ads")]
    return [*closed, {"channel": "email", "status": row["status"]}] if row.get("status") in CLOSING else closed


def _key(row: Record) -> Key:
    return str(row.get("id")), str(row.get("last_changed"))


def _mark(row: Record) -> Mark:
    return str(row.get("id")), str(row.get("last_changed")), str(row.get("status"))


def _times(rows: list[Record]) -> list[str]:
    """When each row changed, written so that texts sort as times do; '' where it is not told."""
    found = [str(r.get("last_changed") or "") for r in rows]
    if all(len(t) == STAMP_LENGTH and t.endswith("+00:00") for t in found):
        return found
    return [stamp(at) if (at := moment(t)) else "" for t in found]
