"""What a plan says it would set off is what happens; what an account has no room for is said before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import responses

from adapters.hubspot_property import PROPERTY
from connector import choices, planner, show, undo
from connector.sandbox.hubspot_flows import Workflow
from models.changes import FieldPlan, Plan
from tests.stories.shopkeeper import NAME, VIP, Shopkeeper, mails, of_hubspot


@pytest.fixture
def keeper(mock: responses.RequestsMock, tmp_path: Path) -> Shopkeeper:
    found = Shopkeeper(mock, tmp_path)
    found.push(range(4), first=True)
    return found


def test_the_workflows_and_mails_a_plan_foretells_are_those_that_start(keeper: Shopkeeper) -> None:
    for workflow in (
        Workflow("Welcome VIP", on_list=NAME, mails=2),
        Workflow("To the sales desk", on_list=NAME, mails=0, by_event=True),
        Workflow("Goodbye", on_list=NAME, on_leaving=True),
        Workflow("For others", on_list="1"),
    ):
        keeper.world.hubspot.add_workflow(workflow)
    plan = keeper.push(range(2, 9))
    assert [(s.name, s.on, s.people, s.mails) for s in plan.starts] == [
        ("Goodbye", "leave", 2, 1), ("To the sales desk", "enter", 5, 0), ("Welcome VIP", "enter", 5, 2),
    ]  # fmt: skip
    assert keeper.started() == ["Goodbye"] * 2 + ["To the sales desk"] * 5 + ["Welcome VIP"] * 5
    assert keeper.sent == mails(plan) == 2 + 10
    lines = show.target_notes(plan)
    assert "the automation 'Welcome VIP' would start for 5: sends 2 e-mails to each" in lines
    assert "the automation 'Goodbye' would start for 2 who leave: sends 1 e-mail to each" in lines
    assert "the automation 'To the sales desk' would start for 5: sends no e-mail" in lines


def test_a_workflow_that_asks_for_more_than_our_list_may_start_for_so_many_at_most(keeper: Shopkeeper) -> None:
    keeper.world.hubspot.change("p00005", {"city": "Rome"})
    keeper.world.hubspot.add_workflow(Workflow("Romans", on_list=NAME, only_if=("city", "Rome")))
    plan = keeper.push(range(9))
    (start,) = plan.starts
    assert (start.people, start.is_sure, keeper.started()) == (5, False, ["Romans"])
    assert "the automation 'Romans' may start, where its other conditions hold, for up to 5" in show.target_notes(plan)[0]


def test_a_workflow_that_changes_the_bill_is_told_with_how_many_are_not_paid_for_yet(keeper: Shopkeeper) -> None:
    for n in (5, 6, 7):
        keeper.world.hubspot.change(f"p{n:05d}", {"hs_marketable_status": "false"})
    keeper.owner.pull()
    keeper.world.hubspot.add_workflow(Workflow("Pay for them", on_list=NAME, mails=0, makes_marketing=True))
    plan = keeper.push(range(9))
    assert plan.enters_as == {"marketing": 2, "non-marketing": 3}
    lines = "\n".join(show.target_notes(plan))
    assert "'Pay for them' would start for 5: makes them marketing contacts, by whose number HubSpot bills" in lines
    assert "of those who enter, 2 marketing, 3 non-marketing contacts" in lines
    contact = keeper.world.hubspot.contact("p00005")
    assert contact and contact.props["hs_marketable_status"] == "true", "as was said"


def test_what_cannot_be_read_is_said_once_and_hinders_nothing(keeper: Shopkeeper) -> None:
    keeper.world.hubspot.switches.scopes -= {"automation"}
    keeper.owner.believe({"VIP": range(6)})
    s, plan = keeper.owner.push(first=False)
    (said,) = plan.notes
    assert said.startswith("HubSpot: which workflows of yours would start is not known: the key lacks the scope automation")
    assert not s.problems and len(keeper.world.members("hubspot", NAME)) == 6
    assert keeper.owner.plan(keeper.owner.session("plan"), first=False).notes == (), "and not where nothing changes"


def test_a_list_that_is_made_in_this_run_starts_nothing_and_nobody_is_asked(
    mock: responses.RequestsMock, tmp_path: Path
) -> None:
    keeper = Shopkeeper(mock, tmp_path)
    keeper.world.hubspot.switches.scopes -= {"automation"}
    keeper.owner.believe({"VIP": range(4)})
    plan = keeper.owner.plan(keeper.owner.session("plan"))
    assert plan.notes == () and of_hubspot(plan).starts == ()


def test_a_first_fill_foretells_a_workflow_that_waits_for_any_change_of_our_property(
    mock: responses.RequestsMock, tmp_path: Path
) -> None:
    keeper = Shopkeeper(mock, tmp_path, VIP + VIP.replace('"VIP"', '"Gold"'), more="hubspot_property = true")
    keeper.owner.believe({"VIP": range(4), "Gold": []})
    keeper.owner.push(first=True)
    keeper.world.hubspot.add_workflow(Workflow("Any option", on_property=PROPERTY, value="", mails=1, by_event=True))
    keeper.owner.believe({"VIP": range(4), "Gold": range(6)})
    _, plan = keeper.owner.push(first=True)
    (gold,) = (t for t in plan.targets if t.target.segment == "Gold")
    assert [(s.name, s.people) for s in gold.starts] == [("Any option", 6)]
    assert keeper.sent == mails(gold) == 6


def test_a_workflow_that_waits_for_another_segments_option_may_start_for_whoever_has_that_one(
    mock: responses.RequestsMock, tmp_path: Path
) -> None:
    keeper = Shopkeeper(mock, tmp_path, VIP + VIP.replace('"VIP"', '"Gold"'), more="hubspot_property = true")
    keeper.owner.believe({"VIP": range(4), "Gold": range(8, 10)})
    keeper.owner.push(first=True)
    keeper.world.hubspot.add_workflow(Workflow("To VIPs", on_property=PROPERTY, value="vip", reenrols=True))
    for gold, on in ((range(2, 10), "enter"), (range(8, 10), "leave")):
        before = keeper.sent
        keeper.owner.believe({"VIP": range(4), "Gold": gold})
        _, plan = keeper.owner.push(first=False)
        starts = [s for t in plan.targets if t.target.segment == "Gold" for s in t.starts]
        assert [(s.name, s.on, s.is_sure) for s in starts] == [("To VIPs", on, False)]
        assert keeper.sent - before == 2 <= starts[0].people == 6


def test_what_an_undo_would_start_is_foretold_too(keeper: Shopkeeper) -> None:
    keeper.push(range(1))
    keeper.world.hubspot.add_workflow(Workflow("Welcome VIP", on_list=NAME))
    s = keeper.owner.session("undo")
    s.counts = keeper.owner.counts()
    plan, _ = planner.undo_plan_derived(s, keeper.owner.run_ids[-2])
    assert [(x.name, x.on, x.people) for x in of_hubspot(plan).starts] == [("Welcome VIP", "enter", 3)]


def test_a_pause_is_said_in_every_plan_whether_anything_waits_for_it_or_not(keeper: Shopkeeper) -> None:
    s = keeper.owner.session("pause")
    choices.pause(s.store, ["VIP"], "undone run 1", s.now(), s.run_id)
    idle = keeper.owner.plan(keeper.owner.session("plan"), first=False)
    assert idle.notes == ('VIP is paused (undone run 1): `rollcall segment resume "VIP"` goes on',) and not idle.has_changes
    keeper.owner.believe({"VIP": range(6)})
    waiting = keeper.owner.plan(keeper.owner.session("plan"), first=False)
    assert waiting.notes == () and of_hubspot(waiting).parked.startswith("paused (undone run 1)"), "said once"
    choices.resume(s.store, "VIP")
    assert keeper.owner.plan(keeper.owner.session("plan"), first=False).notes == ()


def test_a_saved_plan_keeps_what_it_foretold(keeper: Shopkeeper) -> None:
    keeper.world.hubspot.add_workflow(Workflow("Welcome VIP", on_list=NAME))
    keeper.owner.believe({"VIP": range(6)})
    plan = keeper.owner.plan(keeper.owner.session("plan"), first=False)
    again = Plan.from_json(plan.to_json())
    assert of_hubspot(again).starts == of_hubspot(plan).starts != ()
    assert again.digest == plan.digest


def test_workflows_that_wait_for_a_value_of_a_field_start_for_those_who_get_it(
    mock: responses.RequestsMock, tmp_path: Path
) -> None:
    field = '[[field]]\ncolumn = "city"\nname = "town"\npush = ["hubspot"]\n'
    keeper = Shopkeeper(mock, tmp_path, field)
    keeper.owner.store.sql("CREATE TABLE profile AS SELECT person_id, 'Bonn' AS city FROM people")
    keeper.owner.store.sql("UPDATE profile SET city = 'Ulm' WHERE person_id IN (SELECT person_id FROM profile LIMIT 2)")
    for value in ("", "Ulm", "Trier"):
        keeper.world.hubspot.add_workflow(Workflow(f"Lives in {value or 'a town'}", on_property="rollcall_town", value=value))
    _, plan = keeper.owner.push()
    (of_town,) = plan.fields
    assert [(s.name, s.people) for s in of_town.starts] == [("Lives in Ulm", 2), ("Lives in a town", 12)]
    assert keeper.started() == ["Lives in Ulm"] * 2 + ["Lives in a town"] * 12
    assert of_town.notes == (), "what may start is known, so nothing need be feared besides"
    assert "the automation 'Lives in Ulm' would start for 2: sends 1 e-mail to each" in show.field_notes(of_town)


# ---- room


def test_lists_beyond_what_the_subscription_allows_wait_and_are_said_before_anything_is_written(
    mock: responses.RequestsMock, tmp_path: Path
) -> None:
    three = "".join(VIP.replace('"VIP"', f'"{name}"') for name in ("Alpha", "Beta", "Gamma"))
    keeper = Shopkeeper(mock, tmp_path, three, more="static_lists = 3")
    keeper.world.hubspot.add_list("By hand", "MANUAL")
    keeper.world.hubspot.switches.static_list_limit = 3
    keeper.owner.believe({name: range(3) for name in ("Alpha", "Beta", "Gamma")})
    _, plan = keeper.owner.push()
    parked = {t.target.segment: t.parked for t in plan.targets}
    assert (parked["Alpha"], parked["Beta"]) == ("", "")
    assert "the subscription allows 3 static lists (hubspot.static_lists) and HubSpot has 1" in parked["Gamma"]
    assert sorted(one.name for one in keeper.world.hubspot.lists.live()) == ["By hand", "Rollcall: Alpha", "Rollcall: Beta"]
    keeper.world.hubspot.lists.live()[0].deleted_at = keeper.world.hubspot.clock()
    keeper.owner.push()
    assert len(keeper.world.members("hubspot", "Rollcall: Gamma")) == 3


@pytest.mark.parametrize("platform", ["hubspot", "mailchimp"])
def test_fields_beyond_the_last_free_place_wait_and_the_others_are_written(
    mock: responses.RequestsMock, tmp_path: Path, platform: str
) -> None:
    two = "".join(f'[[field]]\ncolumn = "city"\nname = "{n}"\npush = ["{platform}"]\n' for n in ("town", "place"))
    keeper = Shopkeeper(mock, tmp_path, two, only=platform)
    keeper.owner.store.sql("CREATE TABLE profile AS SELECT person_id, 'Bonn' AS city FROM people")
    leave_one_place(keeper, platform)
    s, plan = keeper.owner.push()
    waiting = {f.name: f.parked for f in plan.fields}
    made = [f for f in plan.fields if not f.parked]
    assert [f.name for f in made] == [{"hubspot": "rollcall_town", "mailchimp": "RC_TOWN"}[platform]]
    assert any("has no room for all the fields that would be made" in why for why in waiting.values())
    assert not s.problems and written(made[0]) == 12


def leave_one_place(keeper: Shopkeeper, platform: str) -> None:
    adapter: Any = keeper.world.adapter(platform)
    if platform == "hubspot":
        switches = keeper.world.hubspot.switches
        room = adapter.property.room()
        switches.custom_property_limit -= room - 1
    else:
        account = keeper.world.mailchimp.account
        account.merge_field_limit = len(account.merge_fields) + 1


def written(f: FieldPlan) -> int:
    return len(f.writable)


def test_a_customer_with_no_room_for_a_tag_is_left_out_and_counted_in_the_plan(
    mock: responses.RequestsMock, tmp_path: Path
) -> None:
    keeper = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "shopify"), only="shopify")
    full = keeper.world.shopify.world.by_source["p00001"]
    full.tags = [f"t{n:03d}" for n in range(246)]
    keeper.owner.believe({"VIP": range(4)})
    s, plan = keeper.owner.push()
    (target,) = plan.targets
    assert target.excluded == {"245 tags or more already, of the 250 that Shopify allows a customer": 1}
    assert target.entered == 3 and not s.problems
    assert keeper.world.contact_id("shopify", 1) not in keeper.world.members("shopify", NAME)


def test_a_trial_tells_what_enters_of_its_own_people_only_and_counts_all_who_wait(keeper: Shopkeeper) -> None:
    keeper.owner.believe({"VIP": range(9)})
    told = show.plan_notes(undo.restricted(keeper.owner.plan(keeper.owner.session(), first=False), (), 2))
    assert "  3 more changes are left out of this trial" in told and "marketing" not in "".join(told)
    keeper.owner.change_rule('>= 1"', '>= 2"')
    keeper.owner.believe({"VIP": range(9)})
    told = show.plan_notes(undo.restricted(keeper.owner.plan(keeper.owner.session(), first=False), (), 2))
    assert "  5 changes wait: its rule or purpose changed" in "\n".join(told)
