"""Lists (HubSpot's pages call them segments) over HTTP. Sheet 8."""

from __future__ import annotations

import base64
import binascii
import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connector.sandbox.base import Response
from connector.sandbox.hubspot_crm import Crm
from connector.sandbox.hubspot_wire import Call, Json, Router, answer, bounded, empty, invalid, iso, needs, not_found, strings

MANUAL_KINDS = ("MANUAL", "SNAPSHOT")
KINDS = (*MANUAL_KINDS, "DYNAMIC")
COUNT_MOST = 500
ALL_SINCE = "2026-09"
OFFSET_MOST = 10_000
MEMBERS_MOST = 250
CREATE_KEYS = {"name", "objectTypeId", "processingType", "listFolderId", "customProperties", "filterBranch"}
READ = needs(("crm.lists.read",))
WRITE = needs(("crm.lists.write",), ("crm.lists.read",))


@dataclass
class StoredList:
    """members: record id -> since when. `sizes` are sizes the account will show later, oldest first. filters: of an active one,
    shown only when asked for."""

    id: int
    name: str
    object_type_id: str
    processing: str
    created: datetime
    updated: datetime
    folder: str = "0"
    description: str = ""
    version: int = 1
    deleted_at: datetime | None = None
    members: dict[int, datetime] = field(default_factory=dict)
    shown_size: int = 0
    sizes: list[tuple[datetime, int]] = field(default_factory=list)
    ordered: list[int] | None = None
    filters: Json | None = None

    def in_order(self) -> list[int]:
        if self.ordered is None:
            self.ordered = sorted(self.members)
        return self.ordered

    def size(self, now: datetime) -> int:
        while self.sizes and self.sizes[0][0] <= now:
            self.shown_size = self.sizes.pop(0)[1]
        return self.shown_size

    def render(self, now: datetime, extra: list[str] | None = None, *, with_filters: bool = False) -> Json:
        known = {"hs_description": self.description, "hs_list_size": str(self.size(now)), "hs_folder_id": self.folder}
        body: Json = {
            "listId": str(self.id),
            "listVersion": self.version,
            "name": self.name,
            "objectTypeId": self.object_type_id,
            "processingType": self.processing,
            "processingStatus": "COMPLETE",
            "createdAt": iso(self.created),
            "updatedAt": iso(self.updated),
            "size": self.size(now),
        }
        if extra is not None:
            body["additionalProperties"] = {name: known[name] for name in extra if name in known}
        if with_filters and self.filters is not None:
            body["filterBranch"] = self.filters
        if self.deleted_at:
            body["deletedAt"] = iso(self.deleted_at)
        return body


class Lists:
    """All lists and folders. `joined` is called with every contact that enters a list, `left` with whom somebody takes off."""

    def __init__(self, crm: Crm) -> None:
        self.crm = crm
        self.joined: list[Callable[[StoredList, int], None]] = []
        self.left: list[Callable[[StoredList, int], None]] = []
        self.clear()

    def clear(self) -> None:
        self.lists: dict[int, StoredList] = {}
        self.folders: dict[str, Json] = {"0": {"id": "0", "name": "", "parentFolderId": None}}
        self.crm.leavers.append(self._leave)

    def routes(self, router: Router) -> None:
        base = "/crm/lists/{v}"
        router.add("POST", base, self.create, WRITE)
        router.add("GET", base, self.several, READ)
        router.add("POST", base + "/all", self.all, READ)
        router.add("POST", base + "/search", self.search, READ)
        router.add("GET", base + "/{id}", self.one, READ)
        router.add("DELETE", base + "/{id}", self.delete, WRITE)
        router.add("PUT", base + "/{id}/restore", self.restore, WRITE)
        router.add("PUT", base + "/{id}/update-list-name", self.rename, WRITE)
        router.add("GET", base + "/object-type-id/{type}/name/{name+}", self.by_name, READ)
        router.add("GET", base + "/folders", self.all_folders, READ)
        router.add("POST", base + "/folders", self.create_folder, WRITE)
        router.add("PUT", base + "/folders/move-list", self.move, WRITE)

    def add_list(
        self, name: str, processing: str = "DYNAMIC", members: list[int] | None = None, type_id: str = "0-1"
    ) -> StoredList:
        """As a person in HubSpot's own pages would make one."""
        now = self.crm.clock()
        made = StoredList(max(self.lists, default=610) + 1, name, type_id, processing, now, now)
        self.lists[made.id] = made
        self.put(made, members or [])
        made.shown_size = len(made.members)
        made.sizes.clear()
        return made

    def put(self, target: StoredList, contacts: list[int]) -> None:
        """Make contacts members and tell who waits for that; the contacts' modified dates stay."""
        now = self.crm.clock()
        for contact in contacts:
            target.members[contact] = now
        self.changed(target)
        for contact in contacts:
            for joined in self.joined:
                joined(target, contact)

    def changed(self, target: StoredList) -> None:
        target.ordered = None
        target.updated = self.crm.clock()
        target.sizes.append((target.updated + timedelta(seconds=self.crm.settings.list_size_lag_s), len(target.members)))

    def _leave(self, contact: int, survivor: int | None) -> None:
        """A contact was deleted, or merged: its place goes to the survivor."""
        for target in self.lists.values():
            if target.members.pop(contact, None) is not None:
                if survivor is not None and survivor not in target.members:
                    target.members[survivor] = self.crm.clock()
                self.changed(target)

    def need(self, call: Call) -> StoredList:
        text = call.parts["id"]
        found = self.lists.get(int(text)) if text.isascii() and text.isdigit() else None
        if found is None or found.deleted_at:
            raise not_found(f"List {text} does not exist.", subCategory="ILS.LIST_NOT_FOUND")
        return found

    def live(self) -> list[StoredList]:
        return [one for one in self.lists.values() if one.deleted_at is None]

    def _check_name(self, name: str) -> None:
        held = self.lists.values() if self.crm.settings.deleted_names_held else self.live()
        if not name.strip():
            raise invalid("A list needs a name")
        if any(one.name.casefold() == name.casefold() for one in held):
            raise invalid(f"A list named '{name}' already exists", subCategory="ILS.DUPLICATE_LIST_NAMES")

    def create(self, call: Call) -> Response:
        body = call.object()
        if set(body) - CREATE_KEYS:
            raise invalid(f"Invalid input JSON: unknown fields {sorted(set(body) - CREATE_KEYS)}")
        processing, name = body.get("processingType"), body.get("name")
        if processing not in KINDS:
            raise invalid(f"Invalid processing type {processing}", subCategory="ILS.INVALID_PROCESSING_TYPE")
        if not isinstance(name, str) or not isinstance(body.get("objectTypeId"), str):
            raise invalid("Invalid input JSON: name and objectTypeId are needed")
        self._check_name(name)
        folder = str(body.get("listFolderId") or "0")
        if folder not in self.folders:
            raise not_found(f"Folder {folder} does not exist")
        if processing == "DYNAMIC" and not body.get("filterBranch"):
            raise invalid("A DYNAMIC list needs a filterBranch")
        if processing in MANUAL_KINDS and self._room() <= 0:
            raise invalid(
                "You have reached the limit of static lists of your subscription", subCategory="ILS.LIST_LIMIT_EXCEEDED"
            )
        made = self.add_list(name, str(processing), type_id=body["objectTypeId"])
        made.folder, made.filters = folder, body.get("filterBranch")
        made.description = str((body.get("customProperties") or {}).get("hs_description", ""))
        self.crm.effect("list.create", name)
        return answer({"list": made.render(call.at)})

    def _room(self) -> int:
        return self.crm.settings.static_list_limit - sum(one.processing in MANUAL_KINDS for one in self.live())

    def one(self, call: Call) -> Response:
        return answer({"list": self.need(call).render(call.at, with_filters=call.flag("includeFilters"))})

    def several(self, call: Call) -> Response:
        wanted = set(call.names("listIds"))
        found = [one for one in self.live() if str(one.id) in wanted]
        return answer({"lists": [one.render(call.at, with_filters=call.flag("includeFilters")) for one in found]})

    def by_name(self, call: Call) -> Response:
        for one in self.live():
            if one.name == call.parts["name"] and one.object_type_id == call.parts["type"]:
                return answer({"list": one.render(call.at)})
        raise not_found(f"No list named '{call.parts['name']}' exists.", subCategory="ILS.LIST_NOT_FOUND")

    def _filtered(self, body: Json) -> list[StoredList]:
        kinds = strings(body.get("processingTypes") or [], "processingTypes")
        if set(kinds) - set(KINDS):
            raise invalid("Unknown processing type", subCategory="INVALID_PROCESSING_TYPE")
        found = [one for one in self.live() if not kinds or one.processing in kinds]
        type_id = body.get("objectTypeId")
        return sorted((one for one in found if not type_id or one.object_type_id == type_id), key=lambda one: one.id)

    def all(self, call: Call) -> Response:
        """Ordered by id. The cursor belongs to its filters. New in 2026-09."""
        if call.version < ALL_SINCE:
            raise not_found("The requested path does not exist")
        body = call.object()
        count = bounded(body.get("count", 20), "count", COUNT_MOST)
        found = self._filtered(body)
        stamp = f"{sorted(body.get('processingTypes') or [])}{body.get('objectTypeId') or ''}"
        last = _opened(str(body["after"]), stamp) if body.get("after") else 0
        rest = [one for one in found if one.id > last]
        extra = strings(body.get("additionalProperties") or [], "additionalProperties")
        page: Json = {"results": [one.render(call.at, extra) for one in rest[:count]]}
        if len(rest) > count:
            page["paging"] = {"next": {"after": _sealed(rest[count - 1].id, stamp)}}
        return answer(page)

    def search(self, call: Call) -> Response:
        body = call.object()
        count = bounded(body.get("count", 20), "count", COUNT_MOST)
        offset = bounded(body.get("offset", 0), "offset", OFFSET_MOST, 0)
        query = str(body.get("query") or "").lower()
        found = [one for one in self._filtered(body) if query in one.name.lower()]
        wanted = body.get("listIds")
        if wanted:
            found = [one for one in found if str(one.id) in wanted]
        extra = strings(body.get("additionalProperties") or [], "additionalProperties")
        shown = [one.render(call.at, extra) for one in found[offset : offset + count]]
        end = offset + len(shown)
        return answer({"lists": shown, "hasMore": end < len(found), "offset": end, "total": len(found)})

    def rename(self, call: Call) -> Response:
        target, name = self.need(call), call.text("listName")
        if name != target.name:
            self._check_name(name)
            target.name, target.updated = name, call.at
            target.version += 1
            self.crm.effect("list.rename", name)
        return answer({"updatedList": target.render(call.at)})

    def delete(self, call: Call) -> Response:
        target = self.need(call)
        target.deleted_at = call.at
        self.crm.effect("list.delete", target.name)
        return empty()

    def restore(self, call: Call) -> Response:
        target = self.lists.get(int(call.parts["id"])) if call.parts["id"].isdigit() else None
        if target is None or target.deleted_at is None or target.deleted_at < call.at - timedelta(days=90):
            raise not_found(f"List {call.parts['id']} cannot be restored.")
        target.deleted_at = None
        self.crm.effect("list.restore", target.name)
        return empty()

    def all_folders(self, call: Call) -> Response:
        return answer({"folder": self._tree("0")})

    def _tree(self, key: str) -> Json:
        inside = [self._tree(one) for one, folder in self.folders.items() if folder["parentFolderId"] == key]
        return {**self.folders[key], "childNodes": inside, "childLists": self._in(key)}

    def _in(self, folder: str) -> list[str]:
        return [str(one.id) for one in self.live() if one.folder == folder]

    def create_folder(self, call: Call) -> Response:
        body = call.object()
        parent = str(body.get("parentFolderId") or "0")
        if not body.get("name") or parent not in self.folders:
            raise invalid("A folder needs a name and a parent that exists")
        made = {"id": str(41 + len(self.folders)), "name": str(body["name"]), "parentFolderId": parent}
        self.folders[made["id"]] = made
        self.crm.effect("folder.create", made["name"])
        return answer({"folder": {**made, "childNodes": [], "childLists": []}}, 201)

    def move(self, call: Call) -> Response:
        body = call.object()
        listed, folder = str(body.get("listId")), str(body.get("newFolderId"))
        call.parts["id"] = listed
        target = self.need(call)
        if folder not in self.folders:
            raise not_found(f"Folder {folder} does not exist")
        target.folder = folder
        self.crm.effect("list.move", target.name)
        return empty()

    def dump(self) -> Json:
        return {
            str(one.id): {"name": one.name, "processingType": one.processing, "members": one.in_order()}
            for one in sorted(self.live(), key=lambda one: one.id)
        }


def _sealed(last: int, stamp: str) -> str:
    return base64.urlsafe_b64encode(f"{last}|{stamp}".encode()).decode()


def _opened(cursor: str, stamp: str) -> int:
    try:
        last, _, sealed = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
        if sealed != stamp:
            raise ValueError
        return int(last)
    except (ValueError, binascii.Error):
        raise invalid("The cursor does not belong to this request", subCategory="INVALID_CURSOR") from None


def page_of(ids: list[int], after: str, limit: int) -> tuple[list[int], str]:
    """One page of an ordered id list and the cursor behind it ('' at the end)."""
    last = _opened(after, "members") if after else 0
    start = bisect.bisect_right(ids, last)
    shown = ids[start : start + limit]
    return shown, _sealed(shown[-1], "members") if start + limit < len(ids) else ""
