"""A mail that starts because our list feeds an active one is in the plan before it is sent."""

from __future__ import annotations

from pathlib import Path

import responses

from connector.sandbox.hubspot_flows import Workflow
from tests.stories.shopkeeper import NAME, Shopkeeper, mails


def test_the_mails_a_plan_foretells_behind_an_active_list_are_those_that_are_sent(
    mock: responses.RequestsMock, tmp_path: Path
) -> None:
    keeper = Shopkeeper(mock, tmp_path)
    keeper.push(range(4), first=True)
    hubspot = keeper.world.hubspot
    ours = next(one for one in hubspot.lists.live() if one.name == NAME)
    on_ours = {"filterType": "IN_LIST", "listId": str(ours.id), "operator": "IN_LIST"}
    active = hubspot.add_list("All VIPs", filters={"filterBranchType": "AND", "filters": [on_ours], "filterBranches": []})
    hubspot.add_workflow(Workflow("Welcome VIP", on_list=str(active.id), mails=2))
    hubspot.add_workflow(Workflow("Goodbye", on_list=str(active.id), on_leaving=True))

    plan = keeper.push(range(2, 9))

    assert [(s.name, s.on, s.people, s.is_sure) for s in plan.starts] == [
        ("Goodbye", "leave", 2, False), ("Welcome VIP", "enter", 5, True),
    ]  # fmt: skip
    assert mails(plan) == 10 and keeper.started() == ["Goodbye"] * 2 + ["Welcome VIP"] * 5
    assert keeper.sent == 10 + 2
