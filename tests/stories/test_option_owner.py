"""The option beside a HubSpot list is treated like a tag: only our own is used, and nobody loses one that somebody else gave."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.hubspot_property import PROPERTY
from connector import ledger, parts, planner, writer
from connector.sandbox.hubspot_flows import Workflow
from models.changes import Target
from tests.stories.shopkeeper import Shopkeeper, mails
from tests.stories.small_world import Fuse, Killed, World

KEPT = "had the segment's option by somebody else's hand"


def carriers(world: World) -> set[int]:
    contacts = world.hubspot.crm.tables["contacts"].live.values()
    return {int(str(c.props["email"])[1:6]) for c in contacts if "vip" in str(c.props.get(PROPERTY) or "").split(";")}


def listed(keeper: Shopkeeper) -> int:
    return sum(len(one.members) for one in keeper.world.hubspot.lists.live())


def by_hand(keeper: Shopkeeper, n: int, value: str = "vip") -> None:
    keeper.world.hubspot.change(f"p{n:05d}", {PROPERTY: value})


def definition(keeper: Shopkeeper) -> Any:
    return keeper.world.hubspot.crm.catalog.find("contacts", PROPERTY)


def stranger(keeper: Shopkeeper, *people: int) -> None:
    """The owner has made the property and the option before us."""
    keeper.world.hubspot.crm.catalog.ensure("contacts", PROPERTY, "vip")
    made = definition(keeper)
    made.type, made.field_type = "enumeration", "checkbox"
    made.options = [{"label": "Very important", "value": "vip", "displayOrder": 0, "hidden": False}]
    for n in people:
        by_hand(keeper, n)


def test_an_option_without_our_mark_is_not_used_until_the_owner_says_so(keeper: Shopkeeper) -> None:
    stranger(keeper, 1, 7)
    plan = keeper.push(range(4), first=True)
    assert "does not say that we made it" in plan.notes[-1] and "adopt = true" in plan.notes[-1]
    assert (carriers(keeper.world), listed(keeper)) == ({1, 7}, 4)
    keeper.owner.change_rule('name = "VIP"', 'name = "VIP"\nadopt = true')
    assert KEPT in " ".join(keeper.push(range(5)).notes)
    assert carriers(keeper.world) == {0, 1, 2, 3, 4, 7}
    keeper.push(range(0))
    assert carriers(keeper.world) == {1, 7}, "who had it before we used it keeps it"


def test_an_option_whose_mark_the_owner_edited_away_stays_ours_by_the_ledger(keeper: Shopkeeper) -> None:
    keeper.push(range(4), first=True)
    definition(keeper).options[0]["description"] = "Our best"
    assert "mark" not in " ".join(keeper.push(range(6)).notes)
    assert carriers(keeper.world) == set(range(6))
    keeper.owner.store.sql("DELETE FROM meta WHERE name LIKE 'part:%'")
    keeper.push(range(2))
    assert carriers(keeper.world) == set(range(6)), "a lost ledger means: nothing is taken off"


def test_an_option_somebody_made_between_plan_and_push_is_not_taken_over(keeper: Shopkeeper) -> None:
    keeper.owner.believe({"VIP": range(4)})
    s = keeper.owner.session()
    plan = keeper.owner.plan(s)
    stranger(keeper, 9)
    writer.carry_out(s, plan, first=True)
    assert (carriers(keeper.world), listed(keeper)) == ({9}, 4)


@pytest.mark.parametrize("when", ["before our list", "after it was made"])
def test_an_option_somebody_set_by_hand_stays_when_the_person_leaves_and_is_reported(keeper: Shopkeeper, when: str) -> None:
    keeper.push(range(2), first=True)
    if when == "before our list":
        keeper.world.hubspot.lists.live()[0].deleted_at = keeper.world.hubspot.clock()
    by_hand(keeper, 5)
    plan = keeper.push(range(6), first=True)
    assert f"1 {KEPT}" in " ".join(plan.notes)
    assert keeper.push(range(6)).changes == (), "nothing is left to do"
    plan = keeper.push(range(2))
    assert (plan.left, carriers(keeper.world), listed(keeper)) == (4, {0, 1, 5}, 2)
    plan = keeper.push(range(2))
    assert plan.changes == () and KEPT in " ".join(plan.notes)


def test_an_option_that_was_taken_off_by_hand_and_given_back_by_us_is_ours(keeper: Shopkeeper) -> None:
    keeper.push(range(2), first=True)
    by_hand(keeper, 5)
    keeper.push(range(6))
    by_hand(keeper, 5, "")
    assert KEPT not in " ".join(keeper.push(range(6)).notes)
    keeper.push(range(2))
    assert carriers(keeper.world) == {0, 1}


def test_an_option_somebody_set_by_hand_stays_also_after_a_rename_that_keeps_the_option(keeper: Shopkeeper) -> None:
    keeper.push(range(2), first=True)
    by_hand(keeper, 5)
    keeper.push(range(6))
    keeper.owner.change_rule('name = "VIP"', 'name = "Vip"\nwas = "VIP"')
    keeper.owner.believe({"Vip": range(2)})
    keeper.owner.push(first=False)
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 5}, 2)


def test_a_rename_takes_the_fill_along_and_the_option_under_the_name_it_was_made_with(keeper: Shopkeeper) -> None:
    store = keeper.owner.store
    store.sql("INSERT INTO carried VALUES ('hubspot', 'At risk', '7')")
    store.sql("INSERT INTO meta VALUES ('part:hubspot:At risk', 'ours'), ('filling:hubspot:At risk', '9')")
    for before, after in (("At risk", "At Risk"), ("At Risk", "Gold"), ("At Risk", "Gold"), ("Gold", "Best")):
        ledger.rename_segments(store, [(before, after)], ["hubspot"])
    assert ledger.filling(store, "hubspot", "Best") == 9
    assert store.sql("SELECT segment FROM carried") == [("Best",)]
    best = parts.known(store, Target("hubspot", "Best", "Best"))
    assert (best.part, best.part_of, best.kept) == ("ours", "At risk", ("7",))


def test_after_a_rename_whoever_leaves_loses_the_option_they_have_and_no_other_segment_uses_it(keeper: Shopkeeper) -> None:
    keeper.push(range(6), first=True)
    by_hand(keeper, 7)
    keeper.owner.change_rule('name = "VIP"', 'name = "Gold"\nwas = "VIP"')
    keeper.owner.believe({"Gold": range(8)})
    keeper.owner.push(first=False)
    assert (carriers(keeper.world), len(definition(keeper).options)) == (set(range(8)), 1)
    keeper.world.hubspot.change("p00003", {"status": "opted_out"})
    keeper.owner.pull()
    keeper.owner.change_rule(
        'name = "Gold"', 'name = "VIP"\ntag = "Very"\nwhere = "true"\npush = ["hubspot"]\n[[segment]]\nname = "Gold"'
    )
    keeper.owner.believe({"Gold": range(5), "VIP": range(9, 11)})
    _, plan = keeper.owner.push(first=True)
    assert (carriers(keeper.world), len(definition(keeper).options)) == ({0, 1, 2, 4, 7}, 1)
    assert "is that of a segment which had this name before" in " ".join(n for t in plan.targets for n in t.notes)
    assert listed(keeper) == 4 + 2
    _, plan = keeper.owner.push(first=False)
    assert plan.changes == () and all(t.parked == "" and not t.drift for t in plan.targets)
    held = keeper.owner.store.sql("SELECT segment, count(*) FROM ledger GROUP BY ALL ORDER BY ALL")
    assert held == [("Gold", 4), ("VIP", 2)], "the new segment's people are its own, whatever was called so before"


def test_undo_takes_the_list_back_and_leaves_the_option_that_was_there_before(keeper: Shopkeeper) -> None:
    keeper.push(range(2), first=True)
    by_hand(keeper, 5)
    keeper.push(range(6))
    s = keeper.owner.session("undo")
    s.counts = keeper.owner.counts()
    plan, _ = planner.undo_plan_derived(s, keeper.owner.run_ids[-2])
    writer.carry_out(s, plan)
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 5}, 2)


def test_a_death_between_option_and_list_does_not_make_our_own_option_somebody_elses(keeper: Shopkeeper) -> None:
    keeper.push(range(2), first=True)
    by_hand(keeper, 5)
    keeper.owner.believe({"VIP": range(6)})
    with pytest.raises(Killed):
        keeper.owner.push(Fuse(lambda boundary: boundary == "after hubspot"), first=False)
    assert (carriers(keeper.world), listed(keeper)) == (set(range(6)), 2), "the option is written, the list is not"
    keeper.owner.reopen()
    plan = keeper.push(range(6))
    assert (plan.entered, listed(keeper)) == (4, 6) and f"1 {KEPT}" in " ".join(plan.notes)
    keeper.push(range(2))
    assert carriers(keeper.world) == {0, 1, 5}


def test_who_had_the_option_by_hand_keeps_it_also_as_the_contact_it_was_merged_into(keeper: Shopkeeper) -> None:
    keeper.push(range(2), first=True)
    by_hand(keeper, 5)
    keeper.push(range(6))
    assert keeper.world.hubspot.merge("p00007", "p00005") is not None
    keeper.owner.pull()
    keeper.push(range(2))
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 7}, 2)


# ---- what starts


def test_a_list_deleted_and_made_again_foretells_only_those_who_do_not_have_the_option_yet(keeper: Shopkeeper) -> None:
    keeper.push(range(4), first=True)
    keeper.world.hubspot.add_workflow(Workflow("Vip option", on_property=PROPERTY, value="vip", mails=1))
    keeper.world.hubspot.lists.live()[0].deleted_at = keeper.world.hubspot.clock()
    plan = keeper.push(range(8), first=True)
    assert [(s.people, s.is_sure) for s in plan.starts] == [(4, True)] and plan.entered == 8
    assert (len(keeper.started()), keeper.sent) == (4, mails(plan))


def test_who_is_on_the_list_and_lost_the_option_starts_what_waits_for_the_option_alone(keeper: Shopkeeper) -> None:
    keeper.push(range(4), first=True)
    by_hand(keeper, 2, "")
    for workflow in (Workflow("List", on_list="Rollcall: VIP"), Workflow("Option", on_property=PROPERTY, value="vip")):
        keeper.world.hubspot.add_workflow(workflow)
    plan = keeper.push(range(6))
    assert [(s.name, s.people) for s in plan.starts] == [("List", 2), ("Option", 3)]
    assert keeper.started() == ["List"] * 2 + ["Option"] * 3
