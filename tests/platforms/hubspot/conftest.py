"""A small server-function with state: a few hundred records, lists and faults, enough to ask one thing at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import responses

from adapters.hubspot import HubspotAdapter
from tests.platforms.hubspot import hubspot_world

BASE = "http://hubspot.test"
V = "2026-09"
NOW = datetime(2026, 11, 21, 12, 0, 0)
MODIFIED = {"contacts": "lastmodifieddate"}
Answer = tuple[int, dict[str, str], str]
Handler = Callable[["Call"], Answer | None]


def ms(at: datetime) -> int:
    return round(at.replace(tzinfo=UTC).timestamp() * 1000)


def iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds") + "Z"


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    return status, {"Content-Type": "application/json", **headers}, json.dumps(body)


def refusal(status: int, category: str, **more: Any) -> Answer:
    return answer({"status": "error", "message": "no", "correlationId": "c-1", "category": category, **more}, status)


class Call:
    def __init__(self, request: Any) -> None:
        parts = urlsplit(request.url)
        self.method: str = request.method
        self.path = parts.path
        self.url_length = len(request.path_url)
        self.query = {k: v[-1] for k, v in parse_qs(parts.query).items()}
        self.headers = request.headers
        self.body: Any = json.loads(request.body) if request.body else None


class Server:
    def __init__(self) -> None:
        self.now = NOW
        self.waits: list[float] = []
        self.calls: list[Call] = []
        self.records: dict[str, dict[str, dict[str, Any]]] = {"contacts": {}}
        self.archived: dict[str, dict[str, datetime]] = {}
        self.merged: dict[str, str] = {}
        self.links: dict[tuple[str, str], dict[str, list[str]]] = {}
        self.lists: dict[str, dict[str, Any]] = {}
        self.extra_names: list[str] = []
        self.hooks: list[Handler] = []
        self.page = 100
        self.search_cap = 10_000

    def add(self, record_id: str, kind: str = "contacts", modified: datetime | None = None, **properties: Any) -> None:
        at = modified or self.now - timedelta(days=30)
        held = {"hs_object_id": record_id, MODIFIED.get(kind, "hs_lastmodifieddate"): iso(at), **properties}
        self.records.setdefault(kind, {})[record_id] = held

    def list_named(self, list_id: str, name: str, *members: str, **more: Any) -> None:
        found = {"listId": list_id, "name": name, "objectTypeId": "0-1", "processingType": "MANUAL", **more}
        self.lists[list_id] = {"list": found, "members": set(members)}

    def adapter(self, **settings: Any) -> HubspotAdapter:
        values = {"base_url": BASE, "token": "pat-eu1-test", "tries": 4, **settings}
        return HubspotAdapter(values, now_utc=lambda: self.now, sleep=self.waits.append)

    def once(self, match: str, given: Answer, times: int = 1) -> None:
        left = [times]

        def hook(call: Call) -> Answer | None:
            if not left[0] or not re.search(match, f"{call.method} {call.path}"):
                return None
            left[0] -= 1
            return given

        self.hooks.append(hook)

    def paths(self, match: str) -> list[Call]:
        return [c for c in self.calls if re.search(match, f"{c.method} {c.path}")]

    def __call__(self, request: Any) -> Answer:
        call = Call(request)
        self.calls.append(call)
        for hook in self.hooks:
            given = hook(call)
            if given is not None:
                break
        else:
            given = self.route(call)
        return given[0], {"Date": format_datetime(self.now.replace(tzinfo=UTC), usegmt=True), **given[1]}, given[2]

    def route(self, call: Call) -> Answer:
        area = call.path.removeprefix("/").replace(f"/{V}", "", 1).split("/")
        match area:
            case ["account-info", "details"]:
                return answer({"portalId": 4711, "timeZone": "Europe/Berlin", "companyCurrency": "EUR"})
            case ["crm", "properties", kind] if kind in self.records:
                names = {n for r in self.records[kind].values() for n in r} | {*self.extra_names, "associatedcompanyid"}
                return answer({"results": [{"name": n} for n in sorted(names)]})
            case ["crm", "objects", kind, *rest] if kind in self.records:
                return self.objects(call, kind, rest)
            case ["crm", "associations", source, to, "batch", "read"]:
                return self.associations(call, source, to)
            case ["crm", "lists", *rest]:
                return self.list_calls(call, rest)
        return refusal(404, "OBJECT_NOT_FOUND")

    def objects(self, call: Call, kind: str, rest: list[str]) -> Answer:
        held = self.records[kind]
        if rest == ["search"]:
            return self.search(call.body, held)
        if rest == ["batch", "read"]:
            return self.batch_read(call, kind)
        if rest:
            now = self.merged.get(rest[0], rest[0])
            return answer(self.show(now, held[now], [])) if now in held else refusal(404, "OBJECT_NOT_FOUND")
        names = call.query.get("properties", "email").split(",")
        if call.query.get("archived") == "true":
            shown = [
                {"id": i, "properties": {}, "archived": True, "archivedAt": iso(at)}
                for i, at in self.archived.get(kind, {}).items()
            ]
        else:
            shown = [self.show(i, held[i], names) for i in sorted(held, key=int)]
        after = int(call.query.get("after", 0))
        left = [r for r in shown if int(str(r["id"])) >= after]
        following = left[self.page : self.page + 1]
        paging = {"paging": {"next": {"after": following[0]["id"]}}} if following else {}
        return answer({"results": left[: self.page], **paging})

    def show(self, record_id: str, held: dict[str, Any], names: list[str]) -> dict[str, Any]:
        return {"id": record_id, "properties": {n: held.get(n) for n in names}, "archived": False}

    def search(self, body: dict[str, Any], held: dict[str, dict[str, Any]]) -> Answer:
        found = sorted((i for i in held if self.fits(held[i], body)), key=int)
        if int(body.get("after", 0)) + body["limit"] > self.search_cap:
            return refusal(400, "VALIDATION_ERROR")
        shown = [self.show(i, held[i], body["properties"]) for i in found[: body["limit"]]]
        return answer({"total": len(found), "results": shown})

    def fits(self, record: dict[str, Any], body: dict[str, Any]) -> bool:
        for f in [f for group in body["filterGroups"] for f in group["filters"]]:
            value = record[f["propertyName"]]
            if f["operator"] == "GT" and not int(value) > int(f["value"]):
                return False
            if f["operator"] == "BETWEEN":
                at = ms(datetime.fromisoformat(value.removesuffix("Z")))
                if not int(f["value"]) <= at <= int(f["highValue"]):
                    return False
        return True

    def batch_read(self, call: Call, kind: str) -> Answer:
        held, asked = self.records[kind], [i["id"] for i in call.body["inputs"]]
        if len(asked) > 100:
            return refusal(400, "VALIDATION_ERROR")
        if call.query.get("archived") == "true":
            held = {i: {} for i in self.archived.get(kind, {})}
        shown = [self.show(i, held[i], call.body["properties"]) for i in asked if i in held]
        missing = [i for i in asked if i not in held]
        if not missing:
            return answer({"status": "COMPLETE", "results": shown})
        error = {"status": "error", "category": "OBJECT_NOT_FOUND", "context": {"ids": missing}}
        return answer({"status": "COMPLETE", "results": shown, "numErrors": 1, "errors": [error]}, 207)

    def associations(self, call: Call, source: str, to: str) -> Answer:
        links, results = self.links.get((source, to), {}), []
        for asked in call.body["inputs"]:
            ids = links.get(asked["id"], [])
            start = int(asked.get("after", 0))
            more = {"paging": {"next": {"after": str(start + 2)}}} if len(ids) > start + 2 else {}
            shown = [{"toObjectId": int(i), "associationTypes": []} for i in ids[start : start + 2]]
            if ids:
                results.append({"from": {"id": asked["id"]}, "to": shown, **more})
        return answer({"status": "COMPLETE", "results": results})

    def list_calls(self, call: Call, rest: list[str]) -> Answer:
        match call.method, rest:
            case "POST", []:
                if any(held["list"]["name"] == call.body["name"] for held in self.lists.values()):
                    return refusal(400, "VALIDATION_ERROR", subCategory="ILS.DUPLICATE_LIST_NAMES")
                list_id = str(600 + len(self.lists))
                self.list_named(list_id, call.body["name"], processingType=call.body["processingType"])
                return answer(self.lists[list_id] | {"members": 0})
            case "POST", ["all"]:
                shown = [held["list"] for held in self.lists.values()]
                start = int(call.body.get("after", 0))
                paging = {"paging": {"next": {"after": str(start + 1)}}} if len(shown) > start + 1 else {}
                return answer({"results": shown[start : start + 1], **paging})
            case "GET", ["object-type-id", "0-1", "name", name]:
                held = next((h for h in self.lists.values() if h["list"]["name"] == unquote(name)), None)
                return answer({"list": held["list"]}) if held else refusal(404, "OBJECT_NOT_FOUND")
            case "GET", [list_id] if list_id in self.lists:
                return answer({"list": self.lists[list_id]["list"]})
            case "GET", [list_id, "memberships"]:
                ids = sorted(self.lists[list_id]["members"], key=int)
                start = int(call.query.get("after", 0))
                paging = {"paging": {"next": {"after": str(start + 2)}}} if len(ids) > start + 2 else {}
                return answer({"results": [{"recordId": i} for i in ids[start : start + 2]], **paging})
            case "PUT", [list_id, "memberships", "add-and-remove"]:
                return self.add_and_remove(list_id, call.body["recordIdsToAdd"], call.body["recordIdsToRemove"])
        return refusal(404, "OBJECT_NOT_FOUND")

    def add_and_remove(self, list_id: str, adds: list[str], removes: list[str]) -> Answer:
        if not all(isinstance(i, str) and i.isdigit() for i in (*adds, *removes)):
            return refusal(400, "VALIDATION_ERROR")
        members, known = self.lists[list_id]["members"], self.records["contacts"]
        added = [i for i in adds if i in known and i not in members]
        removed = [i for i in removes if i in members]
        members |= set(added)
        members -= set(removed)
        missing = [i for i in (*adds, *removes) if i not in known]
        return answer({"recordsIdsAdded": added, "recordIdsRemoved": removed, "recordIdsMissing": missing})


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            mock.add_callback(method, re.compile(rf"{BASE}/.*"), callback=found)
        yield found


@pytest.fixture
def world() -> Iterator[hubspot_world.World]:
    """The simulated account of 260 contacts, with the limits of the smallest plan."""
    found = hubspot_world.World()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            mock.add_callback(method, re.compile(rf"{hubspot_world.BASE}/.*"), callback=found.answer)
        yield found
