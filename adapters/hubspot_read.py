"""Walking HubSpot's objects: all of them by the list, later only what changed by a search for ids.

A walk goes through phases, and its cursor says where it stands: `list` (everything, by ranges of ids) or `search`
(what changed in a closed window of time, an id keyset, so that neither the 10,000 results a search may give nor
thousands of records of one millisecond lose anything), then `archived` (what was deleted meanwhile), then `done`.
Search answers name ids only; the values come from a batch read, which is not behind an index that lags.
What moves no date (calculated properties, memberships, perhaps associations) is met by a full walk.
The next window begins `OVERLAP_S` before the watermark, and the watermark trails the end of this one by `LAG_S`: what
the index shows late, or what was edited during the run, is met then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from adapters.base import Cursor, Page, Record
from adapters.hubspot_answers import absent_ids, has_real_errors, next_after
from adapters.hubspot_client import BATCH, HubspotClient
from adapters.hubspot_objects import CONTACTS, MERGED, OPTOUT_PREFIX, Kind
from adapters.hubspot_relations import Relations
from adapters.hubspot_topics import Subscription
from adapters.hubspot_walk import Ranges, ahead
from models.errors import PermanentApiError, RetryableApiError, ScopeError

log = logging.getLogger(__name__)

CURSOR_VERSION = 2
LAG_S = 300
OVERLAP_S = 3600
SEARCH_LIMIT = 200
LIST_LIMIT = 100
URL_LIMIT = 7000  # characters of property names in a URL; HubSpot answers 414 somewhere beyond 8 KB
EARLIEST_MS = 1000  # a search from the epoch itself answers 500
BATCH_TRIES = 3
WORKERS = 4
AHEAD = 4  # pages of changes that are completed while the search goes on
MANY = 2000  # records from which on ranges are read at once
TOTAL_NOTE = "HubSpot's total comes from its search index and may lag a little"


class Reader:
    """settings: attributes (owner's extra contact properties), lag_s, overlap_s, workers (requests at once of one walk).

    Several walks may run at once, each in a thread of its own.
    """

    def __init__(self, client: HubspotClient, settings: dict[str, Any]) -> None:
        self.client = client
        self.lag_ms = int(float(settings.get("lag_s", LAG_S)) * 1000)
        self.overlap_ms = int(float(settings.get("overlap_s", OVERLAP_S)) * 1000)
        self.extra = tuple(attribute_names(settings))
        self.workers = int(settings.get("workers") or WORKERS)
        self.relations = Relations(client, self)
        self.subscription = Subscription(client, self.catalogue, str(settings.get("subscription_type") or "").strip())
        self._catalogues: dict[str, frozenset[str] | None] = {}
        self._lock = threading.RLock()

    def pages(self, kind: Kind, cursor: Cursor | None, *, full: bool = False, since: datetime | None = None) -> Iterator[Page]:
        self.client.know_account()
        state = self._start(kind, cursor, full, since)
        steps = {"list": self._list, "search": self._search, "archived": self._archived}
        is_first = True
        while state["phase"] != "done":
            try:
                for page in steps[state["phase"]](kind, state):
                    is_first = False
                    state = page.cursor
                    yield page
            except PermanentApiError as e:
                if not (is_first and self._is_absent(kind, e)):
                    raise
                yield Page([], cursor or {}, done=True, note=f"this account has no {kind.title}")
                return

    def names(self, kind: Kind) -> list[str]:
        """The properties to ask for: those we want, the owner's own for contacts, as far as the account has them."""
        wanted = [*kind.properties, MERGED, *(self.extra if kind is CONTACTS else ())]
        known = self.catalogue(kind)
        if known is None:
            named = [self.subscription.property()] if kind is CONTACTS and self.subscription.name else []
            return list(dict.fromkeys([*wanted, *named]))
        by_prefix = sorted(n for n in known if n.startswith(kind.prefixes)) if kind.prefixes else []
        return [n for n in dict.fromkeys([*wanted, *by_prefix]) if n in known]

    def catalogue(self, kind: Kind) -> frozenset[str] | None:
        """All property names of an object; None where HubSpot does not list them."""
        with self._lock:
            if kind.path not in self._catalogues:
                self._catalogues[kind.path] = self._read_catalogue(kind)
            return self._catalogues[kind.path]

    def _read_catalogue(self, kind: Kind) -> frozenset[str] | None:
        try:
            body = self.client.get(self.client.path("crm/properties", kind.path))
        except ScopeError:
            raise
        except PermanentApiError as e:
            log.warning("HubSpot does not list the properties of %s (%s)", kind.title, e.status)
            return None
        return frozenset(str(p["name"]) for p in body.get("results") or ())

    def total(self, kind: Kind) -> int | None:
        """How many there are by the search index; None where it does not say."""
        return self._highest(kind)[0]

    def _highest(self, kind: Kind) -> tuple[int | None, int]:
        """How many there are, and the highest id, both by the search index; (None, 0) where it does not say."""
        newest = [{"propertyName": "hs_object_id", "direction": "DESCENDING"}]
        body = {"filterGroups": [], "sorts": newest, "properties": ["hs_object_id"], "limit": 1}
        try:
            found = self.client.ask(self._path(kind, "search"), body)
        except PermanentApiError:
            return None, 0
        total, ids = found.get("total"), [str(r["id"]) for r in found.get("results") or ()]
        return total if isinstance(total, int) else None, int(ids[0]) if ids and ids[0].isdigit() else 0

    def batch_read(
        self, kind: Kind, ids: Sequence[str], *, archived: bool = False, names: list[str] | None = None
    ) -> list[Record]:
        """The records of these ids as they are now, in the order asked; ids that are not there are left out."""
        names = names or self.names(kind)
        found: dict[str, Record] = {}
        start = 0
        while start < len(ids):
            rest = ids[start : start + BATCH]

            def some(size: int, tries: int | None, rest: Sequence[str] = rest) -> tuple[list[Record], int]:
                return self._batch(kind, rest[:size], names, archived, tries), size

            records, size = self.client.gently(f"{kind.path} batch", BATCH, some)
            found.update((str(r["id"]), r) for r in records)
            start += size
        order = {record_id: n for n, record_id in enumerate(ids)}
        return sorted(found.values(), key=lambda r: order.get(str(r["id"]), len(order)))

    def finish(self, kind: Kind, records: list[Record]) -> Page:
        """Make every raw record whole (what belongs to it attached) and say which ids were merged away."""
        if kind is CONTACTS:
            self._open_contacts(records)
        gone = {old: "merged" for record in records for old in merged_ids(record)}
        note = self.relations.attach(kind, records)
        return Page(records, {}, gone=gone, note=note)

    def _open_contacts(self, records: list[Record]) -> None:
        """The subscription type the owner named may be named by its id or in words; its opt-outs are found by what he wrote."""
        optouts = [n for n in self.names(CONTACTS) if n.startswith(OPTOUT_PREFIX)]
        named = self.subscription.property() if self.subscription.name else ""
        for record in records:
            _open_contact(record, optouts)
            if named and (record.get("properties") or {}).get(named) == "true":
                record["_optouts"] = sorted({*record["_optouts"], self.subscription.name})

    def _path(self, kind: Kind, rest: str = "") -> str:
        return self.client.path("crm/objects", f"{kind.path}/{rest}" if rest else kind.path)

    def _start(self, kind: Kind, cursor: Cursor | None, full: bool, since: datetime | None) -> Cursor:
        state = _upgraded(cursor)
        if state and state["phase"] != "done" and (state["walk"] == "list" or not full):
            return {**state, "archived_since": 0} if full else state
        with self._lock:
            self._catalogues.pop(kind.path, None)
            self.catalogue(kind)  # names may be new, and the answer tells the server's time now
        until = _ms(self.client.server_now) + 999  # its clock shows whole seconds
        fresh: Cursor = {"v": CURSOR_VERSION, "until": until}
        if state and not full:
            start = max(EARLIEST_MS, state["watermark"] - self.overlap_ms)
            return {**fresh, "walk": "search", "phase": "search", "since": start, "last": 0, "archived_since": start}
        if since and kind.is_dated and not full:
            start = max(EARLIEST_MS, _ms(since))
            return {**fresh, "walk": "search", "phase": "search", "since": start, "last": 0, "archived_since": start}
        archived_since = 0 if full else until - self.overlap_ms
        return {**fresh, "walk": "list", "phase": "list", "ranges": [["", ""]], "archived_since": archived_since}

    def _list(self, kind: Kind, state: Cursor) -> Iterator[Page]:
        total, top = self._highest(kind)
        note = TOTAL_NOTE if total else ""
        ranges = Ranges(state["ranges"], self._lister(kind), lambda records: self.finish(kind, records))
        is_many = self.workers > 1 and (total or 0) >= MANY
        for page, left in ranges.at_once(self.workers, top) if is_many else ranges.one_by_one():
            following = {**state, "ranges": left} if left else _then_archived(state)
            yield Page(page.records, following, total=total, gone=page.gone, note=page.note or note)

    def _lister(self, kind: Kind) -> Callable[[str], tuple[list[Record], str]]:
        """Reads one list page; where the names are too many for an address, ids first and the values by batch, all names in
        one body: so no record is ever held with a part of its values."""
        names = ",".join(self.names(kind))
        path = self._path(kind)
        long = threading.Event()
        if len(quote(names, safe="")) > URL_LIMIT:
            long.set()

        def listed(after: str, asked: str) -> dict[str, Any]:
            params = {"properties": asked, **({"after": after} if after else {})}

            def page(size: int, tries: int | None) -> dict[str, Any]:
                return self.client.get(path, {**params, "limit": size}, tries=tries)

            return self.client.gently(path, LIST_LIMIT, page)

        def fetch(after: str) -> tuple[list[Record], str]:
            if not long.is_set():
                try:
                    body = listed(after, names)
                    return body.get("results") or [], next_after(body)
                except PermanentApiError as e:
                    if e.status != 414:
                        raise
                    long.set()
            body = listed(after, "hs_object_id")
            ids = [str(r["id"]) for r in body.get("results") or ()]
            wanted = set(ids)  # one merged this moment answers with its survivor, who comes in his own place
            return [r for r in self.batch_read(kind, ids) if str(r["id"]) in wanted], next_after(body)

        return fetch

    def _search(self, kind: Kind, state: Cursor) -> Iterator[Page]:
        """Ids one search after another, their records meanwhile in threads; pages come out in the order of ids."""

        def whole(ids: list[str], following: Cursor) -> Page:
            page = self.finish(kind, self.batch_read(kind, ids))
            return Page(page.records, following, gone=page.gone, note=page.note)

        found = self._changed_ids(kind, state)
        first = next(found)
        yield whole(*first)
        if first[1]["phase"] == "search":
            yield from ahead((partial(whole, *more) for more in found), self.workers, AHEAD)

    def _changed_ids(self, kind: Kind, state: Cursor) -> Iterator[tuple[list[str], Cursor]]:
        """Ids of what changed in the window, ascending, each page with the cursor behind it."""
        last = int(state["last"])
        while True:
            body = self.client.ask(self._path(kind, "search"), _changed(kind, state["since"], state["until"], last))
            ids = sorted((str(r["id"]) for r in body.get("results") or ()), key=int)
            if ids and int(ids[0]) <= last:
                raise PermanentApiError(
                    f"HubSpot's search for changed {kind.title} repeats itself. What was read so far is kept.",
                    platform="hubspot",
                )
            if not ids or (len(ids) < SEARCH_LIMIT and int(body.get("total") or 0) <= len(ids)):
                yield ids, _then_archived(state)
                return
            last = int(ids[-1])
            yield ids, {**state, "last": last}

    def _archived(self, kind: Kind, state: Cursor) -> Iterator[Page]:
        """Ids deleted since the window began; the list of deleted ones has no filter by time."""
        params = {"limit": LIST_LIMIT, "archived": "true", "properties": "hs_object_id"}
        for results, after in self.client.walk(self._path(kind), params, state["after"]):
            gone = {str(r["id"]): "archived" for r in results if _time_ms(r.get("archivedAt")) >= state["archived_since"]}
            if after:
                yield Page([], {**state, "after": after}, gone=gone)
            else:
                done = {"v": CURSOR_VERSION, "phase": "done", "watermark": state["until"] - self.lag_ms}
                yield Page([], done, done=True, gone=gone)

    def _batch(self, kind: Kind, ids: Sequence[str], names: list[str], archived: bool, tries: int | None) -> list[Record]:
        """One batch read of at most a hundred. A 207 names what is not there; what is neither answered nor named is asked
        again, then looked for one by one."""
        path = self._path(kind, "batch/read")
        found: dict[str, Record] = {}
        asking = list(dict.fromkeys(ids))
        for attempt in range(BATCH_TRIES):
            if attempt:
                self.client.sleep(float(attempt))
            body: dict[str, Any] = {"properties": [*names, *(() if MERGED in names else (MERGED,))]}
            body["inputs"] = [{"id": i} for i in asking]
            answer = self.client.ask(path, body, {"archived": "true"} if archived else None, tries=tries)
            records: list[Record] = answer.get("results") or []
            found.update((str(r["id"]), r) for r in records)
            told = {*found, *absent_ids(answer), *(old for r in records for old in merged_ids(r))}
            asking = [i for i in asking if i not in told]
            if not asking:
                return list(found.values())
            is_last = attempt == BATCH_TRIES - 1
            if (is_last or not has_real_errors(answer)) and all(self._is_elsewhere(kind, i, archived) for i in asking):
                return list(found.values())
        raise RetryableApiError(
            f"HubSpot could not read {len(asking)} of its {kind.title}. Try again later.", platform="hubspot", status=207
        )

    def _is_elsewhere(self, kind: Kind, record_id: str, archived: bool) -> bool:
        """True when no record has this id: it was deleted (or, of the deleted ones, never was), or lives on under another."""
        asked = {"properties": "hs_object_id", **({"archived": "true"} if archived else {})}
        try:
            now = self.client.get(self._path(kind, record_id), asked)
        except PermanentApiError as e:
            if e.status != 404:
                raise
            return True
        return str(now.get("id") or record_id) != record_id

    def _is_absent(self, kind: Kind, error: PermanentApiError) -> bool:
        return not kind.needed and error.status in (400, 404) and self._catalogues.get(kind.path) is None


def attribute_names(settings: dict[str, Any]) -> list[str]:
    """The contact properties the owner mapped; `properties.` in front is allowed and means nothing."""
    attributes: dict[str, str] = settings.get("attributes") or {}
    return [str(name).removeprefix("properties.") for name in attributes.values()]


def _open_contact(record: Record, optouts: list[str]) -> None:
    """Lists where HubSpot packs several values into one text."""
    properties: dict[str, Any] = record.get("properties") or {}
    emails = _split(properties.get("hs_additional_emails"))
    if emails:
        record["_emails"] = emails
    merged = merged_ids(record)
    if merged:
        record["_merged"] = merged
    topics = [name.removeprefix(OPTOUT_PREFIX) for name in optouts if properties.get(name) == "true"]
    if topics:
        record["_optouts"] = sorted(topics)
    first = properties.get("first_conversion_date")
    if first and first != properties.get("recent_conversion_date"):
        record["_first_form"] = {"at": first, "name": properties.get("first_conversion_event_name")}


def merged_ids(record: Record) -> list[str]:
    """Ids of records that live on in this one."""
    merged = _split((record.get("properties") or {}).get(MERGED))
    return [i for i in merged if i != str(record["id"])]


def _split(text: Any) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()] if text else []


def _changed(kind: Kind, since: int, until: int, last: int) -> dict[str, Any]:
    return {
        "filterGroups": [
            {
                "filters": [
                    {"propertyName": kind.modified, "operator": "BETWEEN", "value": str(since), "highValue": str(until)},
                    {"propertyName": "hs_object_id", "operator": "GT", "value": str(last)},
                ]
            }
        ],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": ["hs_object_id"],
        "limit": SEARCH_LIMIT,
    }


def _then_archived(state: Cursor) -> Cursor:
    return {**{k: v for k, v in state.items() if k != "ranges"}, "phase": "archived", "after": ""}


def _upgraded(cursor: Cursor | None) -> Cursor | None:
    """A cursor of this version; version 1 walked the list in one range. None for one we do not know."""
    if cursor and cursor.get("v") == 1:
        state = {**cursor, "v": CURSOR_VERSION}
        return {**state, "ranges": [[state.pop("after"), ""]]} if state["phase"] == "list" else state
    return cursor if cursor and cursor.get("v") == CURSOR_VERSION else None


def _ms(at: datetime) -> int:
    """Epoch milliseconds of a naive UTC time."""
    return round(at.replace(tzinfo=UTC).timestamp() * 1000)


def _time_ms(text: Any) -> int:
    """Epoch milliseconds of HubSpot's ISO time; far in the future when there is none, so that nothing is passed over."""
    try:
        return round(datetime.fromisoformat(str(text)).timestamp() * 1000)
    except ValueError:
        return 1 << 62
