"""Writing HubSpot: manual lists and nothing else, with one outcome for every change."""

from __future__ import annotations

import re
from typing import Any

import pytest

from adapters.hubspot_door import is_allowed
from models.changes import Batch, Member, Target
from models.errors import AmbiguousWriteError, PermanentApiError

JSON = {"Content-Type": "application/json"}
VIP = Target("hubspot", "VIP", "Rollcall: VIP & gold")


def batch(adds: str = "", removes: str = "") -> Batch:
    return Batch(VIP, "611", VIP.name, tuple(Member(i) for i in adds.split()), tuple(Member(i) for i in removes.split()))


def results(adapter: Any, given: Batch) -> dict[str, str]:
    return {f"{o.kind} {o.contact_id}": o.result for o in adapter.apply(given)}


@pytest.fixture
def vip(server: Any) -> Any:
    for n in range(1, 10):
        server.add(str(n))
    server.list_named("611", VIP.name, "1", "2", "3")
    return server


def test_a_list_that_is_not_there_is_told(server: Any) -> None:
    assert [o.exists for o in server.adapter().observe([VIP], {})] == [False]


def test_all_members_are_read_however_many_pages(vip: Any) -> None:
    seen = vip.adapter().observe([VIP], {})[0]
    assert (seen.object_id, seen.members) == ("611", frozenset("123"))


def test_a_renamed_list_is_found_by_its_id(vip: Any) -> None:
    vip.lists["611"]["list"]["name"] = "Our best"
    seen = vip.adapter().observe([Target("hubspot", "VIP", VIP.name, object_id="611")], {})[0]
    assert (seen.exists, seen.name) == (True, "Our best")


def test_a_name_with_a_slash_is_found_without_being_part_of_an_address(vip: Any) -> None:
    target = Target("hubspot", "beans", "Rollcall: beans / dark")
    vip.list_named("612", target.name, "7")
    assert vip.adapter().observe([target], {})[0].members == frozenset("7")
    assert vip.adapter().ensure(target) == "612"
    assert not vip.paths("beans")


@pytest.mark.parametrize("odd", [{"processingType": "DYNAMIC"}, {"objectTypeId": "0-2"}])
def test_a_list_that_fills_itself_or_holds_companies_is_not_ours_to_fill(server: Any, odd: dict[str, str]) -> None:
    server.list_named("611", VIP.name, **odd)
    seen = server.adapter().observe([VIP], {})[0]
    assert (seen.exists, seen.is_ours_kind) == (True, False)
    with pytest.raises(PermanentApiError, match="already has a list"):
        server.adapter().ensure(VIP)


def test_every_change_has_one_outcome(vip: Any) -> None:
    found = results(vip.adapter(), batch(adds="1 4 77", removes="2 5 88"))
    assert found == {
        "add 1": "already", "add 4": "done", "add 77": "missing",
        "remove 2": "done", "remove 5": "already", "remove 88": "missing",
    }  # fmt: skip
    assert vip.lists["611"]["members"] == set("134")


@pytest.mark.parametrize("added", ["recordsIdsAdded", "recordIdsAdded"])
@pytest.mark.parametrize("removed", ["recordsIdsRemoved", "recordIdsRemoved"])
def test_both_spellings_of_the_answers_keys_are_read(vip: Any, added: str, removed: str) -> None:
    vip.once("add-and-remove", (200, JSON, f'{{"{added}":["4"],"{removed}":["2"],"recordIdsMissing":[]}}'))
    assert results(vip.adapter(), batch(adds="1 4", removes="2 5")) == {
        "add 1": "already", "add 4": "done", "remove 2": "done", "remove 5": "already",
    }  # fmt: skip


def test_one_bad_id_does_not_stop_the_others(vip: Any) -> None:
    found = results(vip.adapter(), batch(adds="4 5 bad 6", removes="1 2"))
    assert [k for k, v in found.items() if v == "refused"] == ["add bad"]
    assert vip.lists["611"]["members"] == set("3456")
    assert len(found) == 6


@pytest.mark.parametrize(("change", "why"), [("deleted", "deleted it"), ("DYNAMIC", "fills itself")])
def test_a_list_that_can_no_longer_be_filled_is_told_once_and_nobody_is_taken_for_refused(
    world: Any, change: str, why: str
) -> None:
    made = world.adapter.ensure(VIP)
    held = world.simulator.lists.lists[int(made)]
    if change == "deleted":
        held.deleted_at = world.now
    else:
        held.processing = change
    with pytest.raises(PermanentApiError, match=why):
        world.adapter.apply(Batch(VIP, made, VIP.name, tuple(Member(world.id_of(n)) for n in range(1, 200))))
    assert len(world.asked("add-and-remove")) == 1


@pytest.mark.parametrize("status", [500, 503, 504])
def test_a_lost_answer_is_not_repeated_but_read_back(vip: Any, status: int) -> None:
    vip.once("add-and-remove", (status, JSON, ""))
    adapter = vip.adapter()
    with pytest.raises(AmbiguousWriteError):
        adapter.apply(batch(adds="4", removes="1"))
    assert len(vip.paths("add-and-remove")) == 1
    assert dict(adapter.written(batch(adds="4", removes="1"))) == {"4": False, "1": True}


def test_a_limit_on_a_write_is_waited_out(vip: Any) -> None:
    vip.once("add-and-remove", (429, JSON, '{"policyName":"TEN_SECONDLY_ROLLING"}'))
    assert results(vip.adapter(), batch(adds="4")) == {"add 4": "done"}


def test_a_list_is_made_once_empty_and_manual(server: Any) -> None:
    adapter = server.adapter()
    made = adapter.ensure(VIP)
    assert adapter.ensure(VIP) == made
    assert [c.body for c in server.paths("POST /crm/lists/2026-09$")] == [
        {"name": VIP.name, "objectTypeId": "0-1", "processingType": "MANUAL"}
    ]


def test_a_name_taken_between_look_and_make_is_looked_up(vip: Any) -> None:
    vip.once("/name/", (404, JSON, "{}"))
    assert vip.adapter().ensure(VIP) == "611"


@pytest.mark.parametrize("version", ["2026-09", "2026-03"])
@pytest.mark.parametrize(("name", "type_id"), [("rollcall: vip & GOLD", "0-1"), (VIP.name, "0-2")])
def test_the_list_that_holds_the_name_is_named(world: Any, name: str, type_id: str, version: str) -> None:
    world.new_adapter(api_version=version)
    world.simulator.lists.add_list(name, "MANUAL", type_id=type_id)
    with pytest.raises(PermanentApiError, match=f"The list '{name}'.* has that name already. Rename it"):
        world.adapter.ensure(VIP)
    assert not [e for e in world.simulator.effects if e["kind"] == "list.create"]


@pytest.mark.parametrize("status", [400, 409])
def test_a_name_taken_meanwhile_is_looked_up_whatever_the_refusal_is_called(server: Any, status: int) -> None:
    def taken(call: Any) -> Any:
        if call.method != "POST" or not call.path.endswith("/lists/2026-09") or server.lists:
            return None
        server.list_named("700", call.body["name"])
        return status, JSON, '{"category":"CONFLICT","subCategory":"ILS.DUPLICATE_LIST_NAMES"}' if status == 400 else "{}"

    server.hooks.append(taken)
    assert server.adapter().ensure(VIP) == "700"


def test_a_lost_answer_to_making_a_list_makes_no_second_one(server: Any) -> None:
    taken = [False]

    def made_but_lost(call: Any) -> Any:
        if taken[0] or call.method != "POST" or not call.path.endswith("/lists/2026-09"):
            return None
        taken[0] = True
        server.list_named("700", call.body["name"])
        return 502, JSON, ""

    server.hooks.append(made_but_lost)
    assert server.adapter().ensure(VIP) == "700"
    assert list(server.lists) == ["700"]


def test_nothing_but_lists_and_their_members_is_ever_written(vip: Any) -> None:
    adapter = vip.adapter()
    adapter.check()
    for stream in adapter.streams():
        list(adapter.pages(stream.name, None))
    list(adapter.reread(["1", "77"]))
    adapter.observe([VIP], {})
    adapter.ensure(Target("hubspot", "new", "Rollcall: new"))
    adapter.apply(batch(adds="4", removes="1"))
    written = {
        f"{c.method} {c.path}" for c in vip.calls
        if c.method != "GET" and not re.search(r"/(search|batch/read|all)$", c.path)
    }  # fmt: skip
    assert written == {"POST /crm/lists/2026-09", "PUT /crm/lists/2026-09/611/memberships/add-and-remove"}


def test_lists_are_made_in_the_folder_the_owner_named_and_it_is_made_once(world: Any) -> None:
    for name in ("VIP", "At risk"):
        world.new_adapter(list_folder="Rollcall").ensure(Target("hubspot", name, f"Rollcall: {name}"))
    folders = {f["id"] for f in world.simulator.lists.folders.values() if f["name"] == "Rollcall"}
    assert {held.folder for held in world.simulator.lists.lists.values()} == folders
    assert [e["kind"] for e in world.simulator.effects] == ["folder.create", "list.create", "list.create"]


def test_a_folder_within_another_is_found(world: Any) -> None:
    folders = world.simulator.lists.folders
    folders["50"] = {"id": "50", "name": "Marketing", "parentFolderId": "0"}
    folders["51"] = {"id": "51", "name": "Rollcall", "parentFolderId": "50"}
    made = world.new_adapter(list_folder="Rollcall").ensure(VIP)
    assert world.simulator.lists.lists[int(made)].folder == "51"


def test_a_folder_that_cannot_be_had_does_not_keep_a_list_from_being_made(server: Any) -> None:
    server.once("lists/2026-09/folders", (403, JSON, '{"category":"MISSING_SCOPES"}'), times=9)
    assert server.adapter(list_folder="Rollcall").ensure(VIP)
    assert [c.body for c in server.paths("POST /crm/lists/2026-09$")] == [
        {"name": VIP.name, "objectTypeId": "0-1", "processingType": "MANUAL"}
    ]


@pytest.mark.parametrize("body", [{"name": "Theirs", "parentFolderId": "0"}, {"name": "Rollcall", "parentFolderId": "7"}, {}])
def test_no_folder_but_the_one_named_is_ever_made(body: dict[str, Any]) -> None:
    path = "/crm/lists/2026-09/folders"
    assert not is_allowed("POST", path, body, with_property=True, folder="Rollcall")
    assert not is_allowed("POST", path, {"name": "Rollcall", "parentFolderId": "0"}, with_property=True)
    assert not is_allowed("PUT", f"{path}/move-list", body, with_property=True, folder="Rollcall")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/crm/objects/2026-09/contacts"),
        ("POST", "/crm/objects/2026-09/contacts/batch/update"),
        ("POST", "/communication-preferences/2026-09/statuses/x"),
        ("PUT", "/crm/lists/2026-09/611/memberships/add"),
        ("DELETE", "/crm/lists/2026-09/611"),
    ],
)
def test_the_door_for_writes_is_closed_to_everything_else(server: Any, method: str, path: str) -> None:
    with pytest.raises(ValueError, match="not among the writes"):
        server.adapter().client.write(method, path, {})
    assert not server.calls
