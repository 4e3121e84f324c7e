"""Manual lists (HubSpot's screens say segments): what is on them, making one, and putting contacts on and off.

Docs: https://developers.hubspot.com/docs/api-reference/latest/crm/lists/guide
Adding a member twice and removing an absent one are no-ops there, and the name of a list is unique in an account.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from adapters import marks
from adapters.hubspot_answers import Refused, next_after
from adapters.hubspot_client import LISTS_BY_CURSOR_SINCE, HubspotClient
from adapters.hubspot_door import ROOT_FOLDER
from adapters.paging import Chain
from adapters.patience import STALE
from models.changes import Batch, Kind, Observed, Outcome, OutcomeKind, Target
from models.errors import AmbiguousWriteError, PermanentApiError, ScopeError

log = logging.getLogger(__name__)

CONTACT_TYPE = "0-1"
STATIC = ("MANUAL", "SNAPSHOT")
DELETED = "the list we made was deleted in HubSpot, where it can be restored for 90 days (then it is ours again)"
DESCRIPTION = "hs_description"
MADE_BY_US = "Kept in step by Rollcall, which knows its lists by the mark behind this."
MEMBERS_LIMIT = 250
ALL_LIMIT = 500
DUPLICATE_NAME = "DUPLICATE_LIST_NAMES"
CREATE_TRIES = 3
FEWEST = 50  # ids in one membership call, however slow HubSpot is
SLOW = (0, 504, 524)
CONFLICT = 409


Survivors = Callable[[Sequence[str]], dict[str, str]]
"""Ids that are not there any more -> the id of the contact they were merged into, for those that were."""


class _Whole(Exception):
    """HubSpot refused a write as a whole."""


class Lists:
    """survivors: see above. The most ids in one call is not documented; it is halved when HubSpot takes too long.

    installation: the id that the descriptions of lists we make carry. most_lists: static lists the subscription allows, as
    the owner says (HubSpot does not); 0 where he does not.
    """

    def __init__(self, client: HubspotClient, survivors: Survivors, installation: str = "", most_lists: int = 0) -> None:
        self.client = client
        self.survivors = survivors
        self.installation = installation
        self.most_lists = most_lists
        self.most: int | None = None

    def observe(self, target: Target) -> Observed:
        found = self._find(target)
        if found is None:
            return Observed(target, exists=False, note=DELETED if target.object_id else "")
        list_id, name = str(found["listId"]), str(found.get("name") or "")
        note = why_not_ours(found)
        if note:
            return Observed(target, exists=True, object_id=list_id, name=name, is_ours_kind=False, note=note)
        if list_id == target.object_id and name != target.name:
            note = f"somebody renamed it in HubSpot; it was '{target.name}'. It is still the same list and is kept in step"
        who = "" if list_id == target.object_id else self._maker(list_id)
        members = self.members(list_id)
        return Observed(target, exists=True, object_id=list_id, name=name, members=members, note=note, made_by=who)

    def members(self, list_id: str) -> frozenset[str]:
        """All contact ids on a list, paged to the end: the size HubSpot shows lags behind."""
        path = self.client.path("crm/lists", f"{list_id}/memberships")
        return frozenset(
            str(member["recordId"])
            for results, _ in self.client.walk(path, {"limit": MEMBERS_LIMIT})
            for member in results
        )  # fmt: skip

    def ensure(self, target: Target) -> str:
        """A lost answer is no harm: the name is looked up again before anything is repeated."""
        problem = PermanentApiError(f"HubSpot did not make the list '{target.name}'.", platform="hubspot")
        for tries_left in reversed(range(CREATE_TRIES)):
            found = self._find(target)
            if found is not None:
                note = why_not_ours(found)
                if note:
                    raise PermanentApiError(
                        f"HubSpot already has a list named '{target.name}', but {note}. Rename one of them.", platform="hubspot"
                    )
                list_id = str(found["listId"])
                if list_id != target.object_id and self._maker(list_id) == "another":
                    raise PermanentApiError(
                        f"Another installation of Rollcall has made the HubSpot list '{target.name}' meanwhile. Give the segment "
                        "another tag.", platform="hubspot",
                    )  # fmt: skip
                return list_id
            try:
                return self._create(target.name)
            except AmbiguousWriteError:
                if not tries_left:
                    raise
                continue
            except ScopeError:
                raise
            except PermanentApiError as e:
                problem = e
                if DUPLICATE_NAME not in e.code and e.status != CONFLICT:
                    break
        words = f" It says: {problem.words}" if isinstance(problem, Refused) and problem.words else ""
        raise PermanentApiError(
            f"HubSpot did not make the list '{target.name}': {problem}{words} {self._way_out(target.name, problem)}",
            platform="hubspot", status=problem.status, code=problem.code, request_id=problem.request_id,
        )  # fmt: skip

    def _way_out(self, name: str, problem: PermanentApiError) -> str:
        """What an owner can do about a list that HubSpot would not make."""
        if DUPLICATE_NAME not in problem.code and problem.status != CONFLICT:
            return (
                "The subscription may allow no more lists: delete one you no longer need, and write static_lists = N under "
                "[hubspot], so that plans say it beforehand."
            )
        other = self._among_all(name, everywhere=True)
        if other is not None:
            kind = "" if str(other.get("objectTypeId") or CONTACT_TYPE) == CONTACT_TYPE else ", which does not hold contacts"
            return f"The list '{other.get('name')}'{kind} has that name already. Rename it, or give the segment another tag."
        return "A deleted list may still hold the name. Restore it in HubSpot (90 days), or give the segment another tag."

    def apply(self, batch: Batch) -> list[Outcome]:
        adds = [m.contact_id for m in batch.adds]
        removes = [m.contact_id for m in batch.removes]
        size = self.most or max(len(adds), len(removes), 1)
        outcomes = []
        for start in range(0, max(len(adds), len(removes)), size):
            outcomes += self._sent(batch, adds[start : start + size], removes[start : start + size])
        return self._follow(batch, outcomes)

    def _sent(self, batch: Batch, adds: list[str], removes: list[str]) -> list[Outcome]:
        try:
            return self._apply(batch.object_id, adds, removes)
        except _Whole:
            self._require(batch)
            return self._halves(batch.object_id, adds, removes)

    def is_there(self, list_id: str) -> bool:
        return bool(list_id) and self._get(list_id) is not None

    def _require(self, batch: Batch) -> None:
        """Raises where nobody at all can be put on the list (any more), so that nobody is taken for refused."""
        found = self._get(batch.object_id)
        why = "somebody deleted it in HubSpot" if found is None else why_not_ours(found)
        if why:
            raise PermanentApiError(
                f"The HubSpot list '{batch.object_name}' cannot be filled: {why}. Run `rollcall plan`; it says what to do.",
                platform="hubspot",
            )

    def _follow(self, batch: Batch, outcomes: list[Outcome]) -> list[Outcome]:
        """A contact merged since it was read: its place on the list went to the survivor, so that one is taken off in its
        stead. It is not put on: whether it may be there is for the next run to say, which will have read it."""
        missing = [o.contact_id for o in outcomes if o.result == "missing"]
        now = self.survivors(missing) if missing else {}
        off = {o.contact_id: now[o.contact_id] for o in outcomes if o.contact_id in now and o.kind == "remove"}
        answers = self._sent(batch, [], sorted(set(off.values()))) if off else []
        results = {o.contact_id: o for o in answers}
        return [_followed(o, now, results) if o.contact_id in now and o.result == "missing" else o for o in outcomes]

    def _apply(self, list_id: str, adds: list[str], removes: list[str], *, is_part: bool = False) -> list[Outcome]:
        """One write. Raises _Whole when HubSpot refuses it as a whole; parts of such a write are halved until the ids it
        minds stand alone."""
        if not adds and not removes:
            return []
        path = self.client.path("crm/lists", f"{list_id}/memberships/add-and-remove")
        try:
            answer = self.client.write("PUT", path, {"recordIdsToAdd": adds, "recordIdsToRemove": removes}, holds=STALE)
        except ScopeError:
            raise
        except AmbiguousWriteError as e:
            if e.status in SLOW:
                self.most = max(FEWEST, (len(adds) + len(removes)) // 2)
            raise
        except PermanentApiError as e:
            if not is_part:
                raise _Whole from e
            if len(adds) + len(removes) == 1:
                return _refused(adds, removes, f"HubSpot refused it ({e.code or e.status})")
            return self._halves(list_id, adds, removes)
        return outcomes(adds, removes, answer)

    def _halves(self, list_id: str, adds: list[str], removes: list[str]) -> list[Outcome]:
        if adds and removes:
            parts = [(adds, []), ([], removes)]
        else:
            a, r = (len(adds) + 1) // 2, (len(removes) + 1) // 2
            parts = [(adds[:a], removes[:r]), (adds[a:], removes[r:])]
        return [o for on, off in parts for o in self._apply(list_id, on, off, is_part=True)]

    def _find(self, target: Target) -> dict[str, Any] | None:
        """By the id we remember (owners rename lists), else by name."""
        found = self._get(target.object_id) if target.object_id else None
        if found or "/" not in target.name:
            return found or self._get(f"object-type-id/{CONTACT_TYPE}/name/{quote(target.name, safe='')}")
        return self._among_all(target.name)

    def _among_all(self, name: str, *, everywhere: bool = False) -> dict[str, Any] | None:
        """For a name with a slash in it, which not every server on the way leaves encoded in an address.

        everywhere: lists of companies too, and names that differ by capitals only, for HubSpot compares without these.
        """
        for found in self._all_lists(name, "" if everywhere else CONTACT_TYPE):
            held = str(found.get("name") or "")
            if not found.get("deletedAt") and (held == name or (everywhere and held.casefold() == name.casefold())):
                return dict(found)
        return None

    def _all_lists(self, name: str, type_id: str) -> Iterator[dict[str, Any]]:
        if self.client.version < LISTS_BY_CURSOR_SINCE:
            yield from self._by_search(name, type_id)
            return
        path, after = self.client.path("crm/lists", "all"), ""
        body: dict[str, Any] = {"count": ALL_LIMIT, **({"objectTypeId": type_id} if type_id else {})}
        chain = Chain("lists", "hubspot")
        while True:
            answer = self.client.ask(path, {**body, "after": after} if after else body)
            yield from answer.get("results") or ()
            after = chain.next(next_after(answer)) or ""
            if not after:
                return

    def _by_search(self, name: str, type_id: str) -> Iterator[dict[str, Any]]:
        """Versions before the one that lists all by a cursor: pages by offset, of lists that hold the name."""
        path, offset = self.client.path("crm/lists", "search"), 0
        of_type = {"objectTypeId": type_id} if type_id else {}
        while True:
            answer = self.client.ask(path, {"query": name, "count": ALL_LIMIT, "offset": offset, **of_type})
            yield from answer.get("lists") or ()
            following = int(answer.get("offset") or 0)
            if not answer.get("hasMore") or following <= offset:
                return
            offset = following

    def _get(self, rest: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.client.get(self.client.path("crm/lists", rest)).get("list") or {}
        except ScopeError:
            raise
        except PermanentApiError as e:
            if e.status == 404:
                return None
            raise
        return found if found.get("listId") and not found.get("deletedAt") else None

    def without_room(self, targets: Sequence[Target]) -> dict[str, str]:
        """Of the lists that would be made, those beyond what the owner says the subscription allows."""
        if not self.most_lists or not targets:
            return {}
        held = sum(found.get("processingType") in STATIC and not found.get("deletedAt") for found in self._all_lists("", ""))
        why = (
            f"the subscription allows {self.most_lists:,} static lists (hubspot.static_lists) and HubSpot has {held:,}: delete one "
            "you no longer need, or push this segment elsewhere"
        )
        return {t.segment: why for t in targets[max(0, self.most_lists - held) :]}

    def _create(self, name: str) -> str:
        body: dict[str, Any] = {"name": name, "objectTypeId": CONTACT_TYPE, "processingType": "MANUAL"}
        folder = self._folder()
        if folder:
            body["listFolderId"] = int(folder)
        path = self.client.path("crm/lists", "")
        if self.installation:
            described = {**body, "customProperties": {DESCRIPTION: marks.marked(MADE_BY_US, self.installation)}}
            try:
                return str(self.client.write("POST", path, described)["list"]["listId"])
            except ScopeError:
                raise
            except PermanentApiError as e:
                if e.status == CONFLICT or DUPLICATE_NAME in e.code or "LIMIT" in e.code:
                    raise
                log.info("HubSpot does not take a description (%s); the list is made without", e.code or e.status)
        return str(self.client.write("POST", path, body)["list"]["listId"])

    def _maker(self, list_id: str) -> marks.Maker:
        """Whose mark the list's description carries; only a search shows descriptions."""
        if not self.installation:
            return ""
        asked = {"listIds": [list_id], "count": 1, "offset": 0, "additionalProperties": [DESCRIPTION]}
        try:
            rows = self.client.ask(self.client.path("crm/lists", "search"), asked).get("lists") or ()
        except ScopeError:
            raise
        except PermanentApiError as e:
            log.info("HubSpot's description of a list cannot be read (%s)", e.code or e.status)
            return ""
        for found in rows:
            more = found.get("additionalProperties")
            if str(found.get("listId")) == list_id and isinstance(more, dict):
                return marks.maker(more.get(DESCRIPTION), self.installation)
        return ""

    def _folder(self) -> str:
        """The number of the folder for new lists, made when it is not there; '' for none. A list is worth more than its
        folder: where HubSpot refuses this, the list is made outside of it."""
        name = self.client.list_folder
        if not name:
            return ""
        try:
            found = self._find_folder(name)
            if not found:
                with suppress(AmbiguousWriteError):
                    body = {"name": name, "parentFolderId": ROOT_FOLDER}
                    self.client.write("POST", self.client.path("crm/lists", "folders"), body)
                found = self._find_folder(name)
            return found
        except PermanentApiError as e:
            log.warning("HubSpot's folder for lists cannot be used (%s); the list is made outside of it", e.code or e.status)
            return ""

    def _find_folder(self, name: str) -> str:
        left = [self.client.get(self.client.path("crm/lists", "folders")).get("folder") or {}]
        while left:
            folder = left.pop()
            if folder.get("name") == name and str(folder.get("id") or "").isdigit():
                return str(folder["id"])
            left += [child for child in folder.get("childNodes") or () if isinstance(child, dict)]
        return ""


def why_not_ours(found: dict[str, Any]) -> str:
    """'' for a list of contacts whose members can be set by hand."""
    if str(found.get("objectTypeId") or CONTACT_TYPE) != CONTACT_TYPE:
        return "it does not hold contacts"
    if found.get("processingType") not in STATIC:
        return "it fills itself by filters, so nobody can be put on it"
    return ""


def outcomes(adds: list[str], removes: list[str], answer: dict[str, Any]) -> list[Outcome]:
    """Ids that are in none of the answer's lists were already as wanted."""
    missing = _ids(answer, "recordIdsMissing", "recordsIdsMissing")
    return [
        *_each(adds, "add", _ids(answer, "recordsIdsAdded", "recordIdsAdded"), missing),
        *_each(removes, "remove", _ids(answer, "recordsIdsRemoved", "recordIdsRemoved"), missing),
    ]


def _each(ids: list[str], kind: Kind, done: frozenset[str], missing: frozenset[str]) -> list[Outcome]:
    results: list[Outcome] = []
    for record_id in ids:
        result: OutcomeKind = "done" if record_id in done else "missing" if record_id in missing else "already"
        reason = "HubSpot no longer has this contact (deleted or merged)" if result == "missing" else ""
        results.append(Outcome(record_id, kind, result, reason))
    return results


def _followed(outcome: Outcome, now: dict[str, str], results: dict[str, Outcome]) -> Outcome:
    if outcome.kind == "remove":
        other = results[now[outcome.contact_id]]
        result: OutcomeKind = "missing" if other.result == "already" else other.result
        return Outcome(outcome.contact_id, "remove", result, other.reason or "merged; the contact it became was taken off")
    reason = "merged into another contact meanwhile; the next run puts that one on the list, if it belongs there"
    return Outcome(outcome.contact_id, "add", "missing", reason)


def _refused(adds: list[str], removes: list[str], reason: str) -> list[Outcome]:
    return [*(Outcome(i, "add", "refused", reason) for i in adds), *(Outcome(i, "remove", "refused", reason) for i in removes)]


def _ids(answer: dict[str, Any], *keys: str) -> frozenset[str]:
    """HubSpot spells the keys of one answer in two ways."""
    return frozenset(str(i) for key in keys for i in answer.get(key) or ())
