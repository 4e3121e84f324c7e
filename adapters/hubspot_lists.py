"""Manual lists (HubSpot's screens say segments): what is on them, making one, and putting contacts on and off.

Docs: https://developers.hubspot.com/docs/api-reference/latest/crm/lists/guide
Adding a member twice and removing an absent one are no-ops there, and the name of a list is unique in an account.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from adapters.hubspot_client import HubspotClient, next_after
from adapters.paging import Chain
from models.changes import Batch, Kind, Observed, Outcome, OutcomeKind, Target
from models.errors import AmbiguousWriteError, PermanentApiError, ScopeError

CONTACT_TYPE = "0-1"
STATIC = ("MANUAL", "SNAPSHOT")
MEMBERS_LIMIT = 250
ALL_LIMIT = 500
DUPLICATE_NAME = "DUPLICATE_LIST_NAMES"
CREATE_TRIES = 3
TOO_MUCH = (400, 413)


class Lists:
    def __init__(self, client: HubspotClient) -> None:
        self.client = client

    def observe(self, target: Target) -> Observed:
        found = self._find(target)
        if found is None:
            return Observed(target, exists=False)
        list_id, name = str(found["listId"]), str(found.get("name") or "")
        note = why_not_ours(found)
        if note:
            return Observed(target, exists=True, object_id=list_id, name=name, is_ours_kind=False, note=note)
        return Observed(target, exists=True, object_id=list_id, name=name, members=self.members(list_id))

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
                return str(found["listId"])
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
                if DUPLICATE_NAME not in e.code:
                    break
        raise PermanentApiError(
            f"HubSpot did not make the list '{target.name}': {problem} A deleted list may still hold the name, or the "
            "subscription allows no more lists. Give the segment another tag, or delete a list.",
            platform="hubspot", status=problem.status, code=problem.code, request_id=problem.request_id,
        )  # fmt: skip

    def apply(self, batch: Batch) -> list[Outcome]:
        adds = [m.contact_id for m in batch.adds]
        removes = [m.contact_id for m in batch.removes]
        return self._apply(batch.object_id, adds, removes)

    def _apply(self, list_id: str, adds: list[str], removes: list[str]) -> list[Outcome]:
        """One write; when HubSpot refuses it as a whole, its halves, until the ids it minds stand alone."""
        if not adds and not removes:
            return []
        path = self.client.path("crm/lists", f"{list_id}/memberships/add-and-remove")
        try:
            answer = self.client.write("PUT", path, {"recordIdsToAdd": adds, "recordIdsToRemove": removes})
        except ScopeError:
            raise
        except PermanentApiError as e:
            if e.status not in TOO_MUCH or len(adds) + len(removes) == 1:
                return _refused(adds, removes, _reason(e))
            if adds and removes:
                return self._apply(list_id, adds, []) + self._apply(list_id, [], removes)
            a, r = (len(adds) + 1) // 2, (len(removes) + 1) // 2
            return self._apply(list_id, adds[:a], removes[:r]) + self._apply(list_id, adds[a:], removes[r:])
        return outcomes(adds, removes, answer)

    def _find(self, target: Target) -> dict[str, Any] | None:
        """By the id we remember (owners rename lists), else by name."""
        found = self._get(target.object_id) if target.object_id else None
        if found or "/" not in target.name:
            return found or self._get(f"object-type-id/{CONTACT_TYPE}/name/{quote(target.name, safe='')}")
        return self._among_all(target.name)

    def _among_all(self, name: str) -> dict[str, Any] | None:
        """For a name with a slash in it, which not every server on the way leaves encoded in an address."""
        path, after = self.client.path("crm/lists", "all"), ""
        body: dict[str, Any] = {"objectTypeId": CONTACT_TYPE, "count": ALL_LIMIT}
        chain = Chain("lists", "hubspot")
        while True:
            answer = self.client.ask(path, {**body, "after": after} if after else body)
            for found in answer.get("results") or ():
                if found.get("name") == name and not found.get("deletedAt"):
                    return dict(found)
            following = chain.next(next_after(answer))
            if not following:
                return None
            after = following

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

    def _create(self, name: str) -> str:
        body = {"name": name, "objectTypeId": CONTACT_TYPE, "processingType": "MANUAL"}
        return str(self.client.write("POST", self.client.path("crm/lists", ""), body)["list"]["listId"])


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


def _refused(adds: list[str], removes: list[str], reason: str) -> list[Outcome]:
    return [*(Outcome(i, "add", "refused", reason) for i in adds), *(Outcome(i, "remove", "refused", reason) for i in removes)]


def _reason(error: PermanentApiError) -> str:
    if error.status == 404:
        return "HubSpot no longer has this list"
    return f"HubSpot refused it ({error.code or error.status})"


def _ids(answer: dict[str, Any], *keys: str) -> frozenset[str]:
    """HubSpot spells the keys of one answer in two ways."""
    return frozenset(str(i) for key in keys for i in answer.get(key) or ())
