"""Which workflows start when we write: told as far as HubSpot tells, in every shape its documentation shows, and never an error."""

from __future__ import annotations

from typing import Any

import pytest

from adapters import hubspot_flows
from adapters.base import Automation, Automations
from adapters.hubspot_flows import Waits
from adapters.hubspot_property import PROPERTY
from connector.sandbox.hubspot_flows import Workflow
from connector.sandbox.hubspot_wire import Refusal
from models.changes import Target
from tests.platforms.hubspot.hubspot_world import World

Json = dict[str, Any]
LIST = {"filterType": "IN_LIST", "listId": "611", "operator": "IN_LIST"}
CITY = {"filterType": "PROPERTY", "property": "city", "operation": {"operator": "IS_ANY_OF", "values": ["Rome"]}}


def branch(kind: str, *filters: Json, inner: tuple[Json, ...] = ()) -> Json:
    return {"filterBranchType": kind, "filters": list(filters), "filterBranches": list(inner)}


def vip(world: World, **settings: Any) -> Target:
    world.new_adapter(**settings)
    target = Target("hubspot", "VIP", "Rollcall: VIP")
    return Target("hubspot", "VIP", target.name, world.adapter.ensure(target))


def told(world: World, target: Target, *fields: str) -> Automations:
    return world.adapter.automations([target], fields)


def test_workflows_that_wait_for_our_list_are_told_with_what_they_do_and_others_are_not(world: World) -> None:
    target = vip(world)
    for workflow in (
        Workflow("Welcome", on_list=target.name, mails=2),
        Workflow("By the event", on_list=target.object_id, by_event=True, mails=0),
        Workflow("Romans", on_list=target.name, only_if=("city", "Rome")),
        Workflow("Romans by the event", on_list=target.name, only_if=("city", "Rome"), by_event=True),
        Workflow("Goodbye", on_list=target.name, on_leaving=True),
        Workflow("Switched off", on_list=target.name, enabled=False),
        Workflow("Another list", on_list="99999"),
        Workflow("By hand"),
        Workflow("To be paid for", on_list=target.name, mails=0, makes_marketing=True),
        Workflow("No longer paid for", on_list=target.name, mails=0, makes_marketing=False),
    ):
        world.simulator.add_workflow(workflow)
    found = told(world, target)
    assert found.by_segment["VIP"] == (
        Automation("By the event", "enter"),
        Automation("Goodbye", "leave", mails=1),
        Automation("No longer paid for", "enter", billing="makes them non-marketing contacts"),
        Automation("Romans", "enter", mails=1, is_sure=False),
        Automation("Romans by the event", "enter", mails=1, is_sure=False),
        Automation("To be paid for", "enter", billing="makes them marketing contacts, by whose number HubSpot bills"),
        Automation("Welcome", "enter", mails=2),
    )
    assert not found.unread and found.is_complete


def test_workflows_that_wait_for_a_value_of_ours_are_told_of_lists_and_of_fields(world: World) -> None:
    target = vip(world, hubspot_property=True)
    for workflow in (
        Workflow("Is a VIP", on_property=PROPERTY, value="vip"),
        Workflow("Is somebody else", on_property=PROPERTY, value="lapsed"),
        Workflow("Any change", on_property=PROPERTY, by_event=True),
        Workflow("Is in any", on_property=PROPERTY),
        Workflow("Has a town", on_property="rollcall_town"),
        Workflow("Moved to Bonn", on_property="rollcall_town", value="Bonn", by_event=True),
    ):
        world.simulator.add_workflow(workflow)
    found = told(world, target, "rollcall_town", "rollcall_other")
    assert [(a.name, a.on, a.is_sure) for a in found.by_segment["VIP"]] == [
        ("Any change", "enter", True), ("Any change", "leave", False), ("Is a VIP", "enter", True), ("Is in any", "enter", False),
        ("Is somebody else", "enter", False), ("Is somebody else", "leave", False),
    ]  # fmt: skip
    assert [(a.name, a.values) for a in found.by_field["rollcall_town"]] == [("Has a town", ()), ("Moved to Bonn", ("Bonn",))]
    assert found.by_field["rollcall_other"] == ()
    assert {a.name for a in told(world, vip(world)).by_segment["VIP"]} == set(), "the list alone sets no property"


def test_without_the_scope_it_is_said_and_nothing_fails(world: World) -> None:
    target = vip(world)
    world.simulator.switches.scopes -= {"automation"}
    found = told(world, target)
    assert "the key lacks the scope automation" in found.unread and 'starts = "journey"' in found.unread
    assert found.by_segment["VIP"] == () and not found.is_complete
    (line,) = [f for f in world.adapter.check() if f.name == "hubspot workflows"]
    assert line.level == "ok" and "Not readable (scope automation" in line.text


@pytest.mark.parametrize("status", [404, 405, 400, 500])
def test_an_account_without_workflows_or_an_answer_is_said_and_nothing_fails(world: World, status: int) -> None:
    target = vip(world)

    def refuse(_: Any) -> Any:
        raise Refusal(status, "VALIDATION_ERROR", "no")

    for routes in world.simulator.router.routes.values():
        for n, route in enumerate(routes):
            if route.pattern[:2] == ("automation", "v4"):
                routes[n] = type(route)(route.method, route.pattern, refuse, route.scopes)
    assert f"({status})" in told(world, target).unread


def test_where_many_cannot_be_read_at_once_they_are_read_one_by_one(world: World) -> None:
    target = vip(world)
    world.simulator.add_workflow(Workflow("Welcome", on_list=target.name))
    for routes in world.simulator.router.routes.values():
        routes[:] = [r for r in routes if r.pattern[-2:] != ("batch", "read") or r.pattern[0] != "automation"]
    assert [a.name for a in told(world, target).by_segment["VIP"]] == ["Welcome"]


def test_all_pages_are_read_and_only_once_a_run(world: World) -> None:
    target = vip(world)
    for n in range(230):
        world.simulator.add_workflow(Workflow(f"W{n:03d}", on_list=target.name if n == 229 else "1"))
    assert [a.name for a in told(world, target).by_segment["VIP"]] == ["W229"]
    before = len(world.asked("/automation/"))
    told(world, target)
    assert before == 3 + 5 and len(world.asked("/automation/")) == before


@pytest.mark.parametrize(
    "raw",
    [
        {"enrollmentCriteria": "soon"},
        {"actions": None},
        {"enrollmentCriteria": {"type": "LIST_BASED", "listFilterBranch": [1]}},
        {"enrollmentCriteria": {"type": "EVENT_BASED", "eventFilterBranches": ["x"]}},
    ],
    ids=str,
)
def test_a_shape_nobody_knows_is_said_and_the_others_are_still_told(world: World, raw: Json) -> None:
    target = vip(world)
    world.simulator.add_workflow(Workflow("Strange", raw=raw))
    world.simulator.add_workflow(Workflow("Welcome", on_list=target.name))
    found = told(world, target)
    assert "1 of 2 came in a shape" in found.unread
    assert [a.name for a in found.by_segment["VIP"]] == ["Welcome"]


def test_a_kind_of_enrolment_nobody_knows_counts_where_it_names_our_list(world: World) -> None:
    target = vip(world)
    criteria = {"type": "WHENEVER", "on": [{"listId": int(target.object_id)}]}
    world.simulator.add_workflow(Workflow("New kind", raw={"enrollmentCriteria": criteria}))
    assert told(world, target).by_segment["VIP"] == (Automation("New kind", "enter", mails=1, is_sure=False),)


SURE, MAYBE = Waits("enter", "611"), Waits("enter", "611", is_sure=False)
LEAVING = Waits("leave", "611", is_sure=False)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (branch("AND", LIST), [SURE]),
        (branch("OR", inner=(branch("AND", LIST), branch("AND", CITY))), [SURE, Waits("value", "city", ("Rome",))]),
        (branch("OR", inner=(branch("AND", LIST, CITY),)), [MAYBE, Waits("value", "city", ("Rome",), False)]),
        (branch("AND", LIST, inner=(branch("OR", CITY),)), [MAYBE, Waits("value", "city", ("Rome",), False)]),
        (branch("AND", {**LIST, "operator": "NOT_IN_LIST"}), [Waits("leave", "611")]),
        (branch("NOT_ANY", LIST), [LEAVING]),
        (branch("ASSOCIATION", LIST), []),
        (branch("SOMETHING_NEW", LIST), [MAYBE]),
        (branch("AND", {**LIST, "listId": 611}), [SURE]),
        ({}, []),
    ],
    ids=str,
)
def test_conditions_are_read_as_hubspot_documents_them(given: Json, expected: list[Waits]) -> None:
    row = {"id": "1", "actions": [], "enrollmentCriteria": {"type": "LIST_BASED", "listFilterBranch": given}}
    flow = hubspot_flows.understood(row)
    assert flow is not None and list(flow.waits) == expected


def test_the_mails_of_a_workflow_with_several_ways_are_those_of_the_longest() -> None:
    mail = {"actionTypeId": "0-4", "type": "SINGLE_CONNECTION"}
    actions = [
        {"actionId": "1", "type": "LIST_BRANCH", "listBranches": [{"connection": {"nextActionId": "2"}}],
         "defaultBranch": {"nextActionId": "4"}},
        {**mail, "actionId": "2", "connection": {"nextActionId": "3"}},
        {**mail, "actionId": "3", "connection": {"edgeType": "GOTO", "nextActionId": "2"}},
        {**mail, "actionId": "4"},
    ]  # fmt: skip
    row = {"id": "1", "startActionId": "1", "actions": actions, "enrollmentCriteria": {"type": "MANUAL"}}
    flow = hubspot_flows.understood(row)
    assert flow is not None and (flow.mails, flow.has_ways) == (2, True)


def test_reading_is_the_only_thing_ever_done_to_workflows(world: World) -> None:
    target = vip(world)
    world.simulator.add_workflow(Workflow("Welcome", on_list=target.name))
    told(world, target)
    assert {(m, p.removesuffix("/batch/read")) for m, p, _, _ in world.asked("/automation/")} == {
        ("GET", "/automation/v4/flows"), ("POST", "/automation/v4/flows"),
    }  # fmt: skip
    with pytest.raises(ValueError, match="not among the writes"):
        world.adapter.client.write("POST", "/automation/v4/flows", {})
