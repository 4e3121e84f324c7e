"""Workflows behind active lists whose filters speak of what we write: told where the lists may be read, said where not."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.base import Automation
from adapters.hubspot_property import PROPERTY
from connector.sandbox.hubspot_flows import Workflow
from tests.platforms.hubspot.hubspot_world import World
from tests.platforms.hubspot.test_hubspot_flows import CITY, branch, told, vip

Json = dict[str, Any]


def on_list(list_id: str, operator: str = "IN_LIST") -> Json:
    return {"filterType": "IN_LIST", "listId": list_id, "operator": operator}


def is_vip(*values: str) -> Json:
    operation = {"operator": "IS_ANY_OF", "values": list(values), "operationType": "ENUMERATION"}
    return {"filterType": "PROPERTY", "property": PROPERTY, "operation": operation}


def test_workflows_behind_active_lists_of_our_list_are_told_over_any_number_of_lists(world: World) -> None:
    target = vip(world)
    make = world.simulator.add_list
    alone = make("VIPs", filters=branch("OR", inner=(branch("AND", on_list(target.object_id)),)))
    romans = make("VIPs in Rome", filters=branch("OR", inner=(branch("AND", on_list(target.object_id), CITY),)))
    others = make("Not VIPs", filters=branch("AND", on_list(target.object_id, "NOT_IN_LIST")))
    second = make("VIPs of VIPs", filters=branch("AND", on_list(str(alone.id))))
    foreign = make("Rome", filters=branch("AND", CITY))
    by_hand = make("By hand", "MANUAL")
    round_one = make("Round one")
    round_two = make("Round two", filters=branch("AND", on_list(str(round_one.id))))
    round_one.filters = branch("OR", on_list(str(round_two.id)), on_list(target.object_id))
    for workflow in (
        Workflow("Direct", on_list=target.name),
        Workflow("Welcome", on_list=str(alone.id), mails=2),
        Workflow("To Romans", on_list=str(romans.id)),
        Workflow("No longer others", on_list=str(others.id), on_leaving=True),
        Workflow("Others again", on_list=str(others.id)),
        Workflow("No longer VIPs", on_list=str(alone.id), on_leaving=True),
        Workflow("Over two lists", on_list=str(second.id)),
        Workflow("Over a ring", on_list=str(round_two.id)),
        Workflow("Nothing of ours", on_list=str(foreign.id)),
        Workflow("Theirs by hand", on_list=str(by_hand.id)),
    ):
        world.simulator.add_workflow(workflow)
    before = len(world.asked("/crm/lists/"))
    found = told(world, target)
    assert found.by_segment["VIP"] == (
        Automation("Direct", "enter", mails=1),
        Automation("No longer VIPs", "leave", mails=1, is_sure=False),
        Automation("No longer others", "enter", mails=1, is_sure=False),
        Automation("Others again", "leave", mails=1),
        Automation("Over a ring", "enter", mails=1),
        Automation("Over two lists", "enter", mails=1),
        Automation("To Romans", "enter", mails=1, is_sure=False),
        Automation("Welcome", "enter", mails=2),
    )
    assert not found.unread and found.is_complete
    told(world, target)
    assert len(world.asked("/crm/lists/")) - before == 2, "once a run; lists of lists in a second request"


def test_workflows_behind_active_lists_of_our_property_are_told_of_segments_and_of_fields(world: World) -> None:
    target = vip(world, hubspot_property=True)
    town = {"filterType": "PROPERTY", "property": "rollcall_town", "operation": {"operator": "IS_ANY_OF", "values": ["Bonn"]}}
    vips = world.simulator.add_list("By property", filters=branch("AND", is_vip("vip", "gold")))
    bonn = world.simulator.add_list("In Bonn", filters=branch("AND", town))
    world.simulator.add_workflow(Workflow("Welcome", on_list=str(vips.id)))
    world.simulator.add_workflow(Workflow("Bonn", on_list=str(bonn.id)))
    found = told(world, target, "rollcall_town")
    assert found.by_segment["VIP"] == (Automation("Welcome", "enter", mails=1),)
    assert found.by_field["rollcall_town"] == (Automation("Bonn", "value", ("Bonn",), mails=1),)


@pytest.mark.parametrize("filters", [None, {"filterBranchType": "OR", "filters": ["?"], "filterBranches": []}], ids=str)
def test_an_active_list_that_cannot_be_understood_is_said(world: World, filters: Json | None) -> None:
    target = vip(world)
    strange = world.simulator.add_list("Strange")
    strange.filters = filters
    world.simulator.add_workflow(Workflow("Hidden", on_list=str(strange.id)))
    world.simulator.add_workflow(Workflow("Direct", on_list=target.name))
    found = told(world, target)
    assert [a.name for a in found.by_segment["VIP"]] == ["Direct"]
    assert "may also start through active lists, which cannot be read (1 of them)" in found.unread and not found.is_complete


def test_a_key_that_may_not_read_lists_is_said_and_nothing_fails(world: World) -> None:
    target = vip(world)
    world.simulator.add_workflow(Workflow("Direct", on_list=target.name))
    world.simulator.switches.scopes -= {"crm.lists.read"}
    found = told(world, target)
    assert [a.name for a in found.by_segment["VIP"]] == ["Direct"]
    assert "active lists, which the key may not read" in found.unread
