"""Who leaves a HubSpot segment, or says no, has left once list and option are both off, whatever comes in between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.hubspot_property import PROPERTY
from connector import backup, planner, privacy, rebuild, restore, runs, sync, undo, writer
from connector.sandbox.faults import answer
from connector.session import Session
from models.changes import Batch, Member, Target
from tests.simulated import between
from tests.stories.shopkeeper import VIP, Shopkeeper, of_hubspot
from tests.stories.small_world import NOW, Fuse, Killed, address
from tests.stories.test_option_owner import KEPT, carriers, definition, listed


def no_by(keeper: Shopkeeper, n: int) -> None:
    keeper.world.hubspot.change(f"p{n:05d}", {"status": "opted_out"})
    keeper.owner.pull()


def without_writing(keeper: Shopkeeper, people: range) -> Session:
    """A night on which HubSpot lets nobody write contacts."""
    scopes = keeper.world.hubspot.switches.scopes
    scopes.discard("crm.objects.contacts.write")
    keeper.owner.believe({"VIP": people})
    s, _ = keeper.owner.push(first=False)
    scopes.add("crm.objects.contacts.write")
    return s


@pytest.mark.parametrize("nights", [1, 2, 3])
def test_who_said_no_while_the_property_could_not_be_written_loses_the_option_once_it_can_be(
    keeper: Shopkeeper, nights: int
) -> None:
    keeper.push(range(6), first=True)
    no_by(keeper, 3)
    for _ in range(nights):
        s = without_writing(keeper, range(5))
        assert (carriers(keeper.world), listed(keeper)) == (set(range(6)), 4)
        assert s.results[0].counts == {"unknown": 2} and s.exit_code == 3
    plan = keeper.push(range(5))
    assert (plan.before, plan.left, plan.after) == (6, 2, 4)
    assert (carriers(keeper.world), listed(keeper), plan.drift) == ({0, 1, 2, 4}, 4, {})
    assert keeper.push(range(5)).changes == ()


def test_who_comes_back_before_the_option_was_off_enters_again(keeper: Shopkeeper) -> None:
    keeper.push(range(6), first=True)
    without_writing(keeper, range(4))
    plan = keeper.push(range(6))
    assert (plan.entered, listed(keeper), carriers(keeper.world)) == (2, 6, set(range(6)))
    keeper.push(range(4))
    assert (listed(keeper), carriers(keeper.world)) == (4, set(range(4)))


@pytest.mark.parametrize("policy", ["ignore", "restore", "pin"])
def test_who_was_taken_off_the_list_by_hand_loses_our_option_on_leaving(keeper: Shopkeeper, policy: str) -> None:
    keeper.owner.change_rule("[guards]", f'[push]\nuntagged_by_hand = "{policy}"\n[guards]')
    keeper.push(range(6), first=True)
    (ours,) = keeper.world.hubspot.lists.live()
    del ours.members[ours.in_order()[0]]
    ours.ordered = None
    if policy != "ignore":
        keeper.push(range(6))
        assert (listed(keeper), len(carriers(keeper.world))) == ((6, 6) if policy == "restore" else (5, 5))
    keeper.push(range(0))
    assert (listed(keeper), carriers(keeper.world)) == (0, set())
    plan = keeper.push(range(0))
    assert (plan.changes, plan.drift) == ((), {})


def test_who_said_no_loses_the_option_of_a_list_that_somebody_deleted_and_no_list_is_made_for_it(keeper: Shopkeeper) -> None:
    keeper.push(range(6), first=True)
    keeper.world.hubspot.lists.live()[0].deleted_at = keeper.world.hubspot.clock()
    no_by(keeper, 3)
    plan = keeper.push(range(6))
    assert [c.must for c in plan.writable] == [True] and "was deleted on the platform" in plan.parked
    assert (carriers(keeper.world), keeper.world.hubspot.lists.live()) == ({0, 1, 2, 4, 5}, [])
    assert keeper.push(range(6)).writable == ()
    keeper.push(range(6), first=True)
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 2, 4, 5}, 5)


def test_who_said_no_loses_the_option_also_when_the_run_that_made_the_list_again_died(keeper: Shopkeeper) -> None:
    for write in (1, 2, 3):
        keeper.push(range(6), first=True)
        for live in keeper.world.hubspot.lists.live():
            live.deleted_at = keeper.world.hubspot.clock()
        no_by(keeper, 3)
        passed: list[str] = []

        def due(boundary: str, passed: list[str] = passed, write: int = write) -> bool:
            passed.append(boundary)
            return passed.count("after hubspot") == write

        keeper.owner.believe({"VIP": range(5)})
        with pytest.raises(Killed):
            keeper.owner.push(Fuse(due))
        keeper.owner.reopen()
        keeper.push(range(5), first=True)
        keeper.push(range(5))
        assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 2, 4}, 4), f"died after write {write}"
        assert keeper.owner.store.sql("SELECT count(*) FROM given") == [(4,)]
        keeper.world.hubspot.change("p00003", {"status": "opted_in"})
        keeper.owner.pull()


def test_who_leaves_while_the_switch_is_off_loses_the_option_once_it_is_on_again_and_who_comes_back_has_it_by_us(
    keeper: Shopkeeper,
) -> None:
    keeper.push(range(6), first=True)
    keeper.owner.change_rule("hubspot_property = true", "hubspot_property = false")
    no_by(keeper, 3)
    keeper.push(range(4))
    assert (carriers(keeper.world), listed(keeper)) == (set(range(6)), 3)
    keeper.owner.change_rule("hubspot_property = false", "hubspot_property = true")
    plan = keeper.push(range(5))
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 2, 4}, 4) and KEPT not in " ".join(plan.notes)
    keeper.push(range(2))
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1}, 2)
    assert keeper.owner.store.sql("SELECT count(*) FROM ledger") == [(2,)]


@pytest.mark.parametrize("comes_back", [False, True])
def test_who_is_merged_between_plan_and_push_loses_the_option_as_the_contact_they_became(
    keeper: Shopkeeper, comes_back: bool
) -> None:
    keeper.push(range(5), first=True)
    if not comes_back:
        no_by(keeper, 4)
    keeper.owner.believe({"VIP": range(4)})
    s = keeper.owner.session()
    plan = keeper.owner.plan(s, first=False)
    assert keeper.world.hubspot.merge("p00007", "p00004") is not None
    writer.carry_out(s, plan)
    assert s.results[0].counts == {"unknown": 1}
    keeper.owner.pull()
    people = range(9) if comes_back else range(5)
    keeper.push(people)
    assert (7 in carriers(keeper.world), listed(keeper)) == (comes_back, 8 if comes_back else 4)
    assert not keeper.push(people).changes


def test_who_left_while_the_property_was_of_no_use_was_taken_off_by_nobodys_hand(keeper: Shopkeeper) -> None:
    keeper.owner.change_rule("[guards]", '[push]\nuntagged_by_hand = "pin"\n[guards]')
    keeper.push(range(5), first=True)
    made = definition(keeper)
    kind, made.type = made.type, "string"
    for _ in range(2):
        plan = keeper.push(range(4))
        assert (listed(keeper), plan.drift) == (4, {}) and keeper.owner.store.sql("SELECT * FROM pins") == []
        assert any("1 may have the segment's option still" in n for n in plan.notes)
    made.type = kind
    assert keeper.push(range(4)).left == 1 and carriers(keeper.world) == set(range(4))
    assert keeper.push(range(5)).entered == 1 and carriers(keeper.world) == set(range(5))


def test_the_option_we_made_is_ours_also_with_adopt_and_after_a_death_and_a_rename(keeper: Shopkeeper) -> None:
    keeper.owner.change_rule('name = "VIP"', 'name = "VIP"\nadopt = true')
    keeper.owner.believe({"VIP": range(4)})
    with pytest.raises(Killed):
        keeper.owner.push(Fuse(lambda boundary: boundary == "before hubspot" and len(carriers(keeper.world)) > 0))
    keeper.owner.reopen()
    assert (carriers(keeper.world), listed(keeper)) == (set(range(4)), 0), "the option is written, the list is not"
    keeper.owner.change_rule('name = "VIP"\nadopt = true', 'name = "Vip"\nwas = "VIP"\nadopt = true')
    keeper.owner.believe({"Vip": range(4)})
    _, plan = keeper.owner.push()
    assert KEPT not in " ".join(of_hubspot(plan).notes) and listed(keeper) == 4
    no_by(keeper, 3)
    keeper.owner.push()
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 2}, 3)


def delete_list(keeper: Shopkeeper) -> None:
    (live,) = keeper.world.hubspot.lists.live()
    live.deleted_at = keeper.world.hubspot.clock()


def forget(keeper: Shopkeeper, n: int) -> None:
    s = keeper.owner.session("forget")
    privacy.forget(keeper.owner.store, keeper.owner.config, address(n), run_id=s.run_id, now=lambda: NOW)
    runs.finish(keeper.owner.store, s.run_id, 0, {})


@pytest.mark.parametrize(
    "how", ["forgotten, then refused", "refused, then forgotten", "list deleted", "list deleted and made again"]
)
def test_an_erased_person_loses_the_option_too_whenever_it_can_be_written(keeper: Shopkeeper, how: str) -> None:
    keeper.push(range(6), first=True)
    if how == "refused, then forgotten":
        no_by(keeper, 3)
        without_writing(keeper, range(6))
    if how.startswith("list deleted"):
        delete_list(keeper)
    forget(keeper, 3)
    if how == "forgotten, then refused":
        without_writing(keeper, range(6))
    people = [n for n in range(6) if n != 3]
    keeper.owner.believe({"VIP": people})
    keeper.owner.push(first=how.endswith("again"))
    assert carriers(keeper.world) == set(people)
    assert keeper.owner.store.sql("SELECT count(*) FROM given") == [(5,)]
    keeper.owner.push(first=how.startswith("list"))
    assert (carriers(keeper.world), listed(keeper)) == (set(people), 5)


@pytest.mark.parametrize("how", ["500", "429"])
def test_who_said_no_is_off_the_list_also_where_the_property_gives_no_answer(keeper: Shopkeeper, how: Any) -> None:
    keeper.push(range(5), first=True)
    no_by(keeper, 3)

    def no_property(request: Any, handle: Any) -> Any:
        if "contacts/batch/update" in request.path:
            return answer("hubspot", how, keeper.world.hubspot.clock)
        return handle(request)

    with between(keeper.world.hubspot, no_property):
        keeper.push(range(6))
    assert listed(keeper) == 4 and 3 in carriers(keeper.world)
    keeper.push(range(6))
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 2, 4, 5}, 5)


def test_who_said_no_loses_the_option_though_somebody_elses_list_bears_the_name_now(keeper: Shopkeeper) -> None:
    keeper.push(range(4), first=True)
    delete_list(keeper)
    theirs = Target("hubspot", "VIP", "Rollcall: VIP")
    keeper.world.adapter("hubspot").ensure(theirs)
    no_by(keeper, 3)
    plan = keeper.push(range(4))
    assert [c.must for c in plan.changes] == [True] and "we did not make it" in plan.parked
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 2}, 0)


def test_who_is_half_out_is_not_lost_by_rebuilding_the_ledger(keeper: Shopkeeper) -> None:
    keeper.push(range(4), first=True)
    no_by(keeper, 3)
    without_writing(keeper, range(4))
    s = keeper.owner.session("ledger rebuild")
    rebuild.carry_out(s, rebuild.propose(s, sync.resolved(keeper.owner.config)))
    keeper.push(range(4))
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 2}, 3)


def test_a_canary_that_makes_a_deleted_list_again_is_no_go_ahead_for_the_others(keeper: Shopkeeper) -> None:
    keeper.push(range(6), first=True)
    delete_list(keeper)
    keeper.owner.believe({"VIP": range(6)})
    s = keeper.owner.session()
    plan = undo.restricted(keeper.owner.plan(s, first=True), (), 1)
    writer.carry_out(s, plan, first=True, canary=True)
    assert listed(keeper) == 1
    plan = keeper.push(range(6))
    assert plan.waits_for_go_ahead and listed(keeper) == 1
    assert keeper.push(range(6), first=True).first_fill and listed(keeper) == 6


@pytest.mark.parametrize("how", ["died", "list writes fail", "list deleted"])
def test_who_got_the_option_and_never_reached_the_list_loses_it_on_saying_no(keeper: Shopkeeper, how: str) -> None:
    keeper.push(range(2), first=True)
    keeper.owner.believe({"VIP": range(4)})
    if how == "died":
        with pytest.raises(Killed):
            keeper.owner.push(Fuse(lambda boundary: boundary == "after hubspot"), first=False)
        keeper.owner.reopen()
    elif how == "list writes fail":

        def no_lists(request: Any, handle: Any) -> Any:
            is_list = "memberships" in request.path and request.method == "PUT"
            return answer("hubspot", "500", keeper.world.hubspot.clock) if is_list else handle(request)

        with between(keeper.world.hubspot, no_lists):
            keeper.owner.push(first=False)
    else:
        s = keeper.owner.session()
        plan = keeper.owner.plan(s, first=False)
        delete_list(keeper)
        writer.carry_out(s, plan)
    assert (carriers(keeper.world), listed(keeper)) == (set(range(4)), 0 if how == "list deleted" else 2)
    no_by(keeper, 3)
    keeper.push(range(4))
    assert carriers(keeper.world) == {0, 1, 2}


def test_a_search_that_is_refused_holds_nobody_back_who_said_no(keeper: Shopkeeper) -> None:
    keeper.push(range(6), first=True)
    forget(keeper, 3)
    no_by(keeper, 1)

    def no_search(request: Any, handle: Any) -> Any:
        if request.path.endswith("contacts/search") and b'"GT"' in request.body:
            return type(handle(request))(400, {}, b'{"status": "error", "category": "VALIDATION_ERROR", "message": "no"}')
        return handle(request)

    with between(keeper.world.hubspot, no_search):
        plan = keeper.push([n for n in range(6) if n != 3])
    assert "could not be looked up" in " ".join(plan.notes)
    assert (carriers(keeper.world), listed(keeper)) == ({0, 2, 4, 5}, 4)


def test_an_undo_leaves_a_list_of_the_same_name_alone_and_takes_back_who_was_taken_off_by_half(keeper: Shopkeeper) -> None:
    keeper.push(range(6), first=True)
    without_writing(keeper, range(4))
    half = keeper.owner.run_ids[-1]
    s = keeper.owner.session("undo")
    s.counts = keeper.owner.counts()
    plan, _ = planner.undo_plan_derived(s, half)
    assert [c.kind for c in plan.changes] == ["add", "add"]
    delete_list(keeper)
    keeper.world.adapter("hubspot").ensure(Target("hubspot", "VIP", "Rollcall: VIP"))
    plan, left = planner.undo_plan_derived(s, half)
    assert plan.changes == () and "gone or another one now" in left[0]


def test_a_backups_ledger_takes_no_option_off_that_the_owner_gave_since(keeper: Shopkeeper, tmp_path: Path) -> None:
    keeper.push(range(5), first=True)
    made = backup.make(keeper.owner.store, keeper.owner.config, tmp_path / "copies", NOW).path
    keeper.push(range(4))
    keeper.world.hubspot.change("p00004", {PROPERTY: "vip"})
    s = keeper.owner.session("backup")
    restore.carry_out(keeper.owner.store, keeper.owner.config, made, NOW, s.run_id)
    keeper.push(range(4))
    s = keeper.owner.session("ledger rebuild")
    s.counts = keeper.owner.counts()
    rebuild.carry_out(s, rebuild.propose(s, sync.resolved(keeper.owner.config)))
    keeper.push(range(4))
    assert (carriers(keeper.world), listed(keeper)) == (set(range(5)), 4)


def test_who_is_merged_before_a_look_is_not_taken_for_one_without_the_option(keeper: Shopkeeper) -> None:
    keeper.push(range(6), first=True)
    assert keeper.world.hubspot.merge("p00009", "p00003") is not None
    keeper.owner.believe({"VIP": range(6)})
    keeper.owner.plan(keeper.owner.session("plan"), first=False)
    keeper.owner.pull()
    no_by(keeper, 9)
    keeper.push(range(6))
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 2, 4, 5}, 5)


def test_the_option_is_not_written_where_the_plan_could_not_use_it(keeper: Shopkeeper) -> None:
    keeper.push(range(3), first=True)
    made = definition(keeper)
    kind, made.field_type = made.field_type, "select"
    keeper.owner.believe({"VIP": range(6)})
    s = keeper.owner.session()
    plan = keeper.owner.plan(s, first=False)
    made.field_type = kind
    writer.carry_out(s, plan)
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 2}, 6)


@pytest.mark.parametrize("night", ["of another segment", "without the property"])
def test_a_retired_segment_is_not_let_go_while_somebody_has_its_option(keeper: Shopkeeper, night: str) -> None:
    gold = '[[segment]]\nname = "Gold"\nwhere = "true"\npush = ["hubspot"]\n'
    keeper.owner.config.path.write_text(keeper.owner.config.path.read_text() + gold)
    keeper.owner.believe({"VIP": range(3), "Gold": range(3)})
    keeper.owner.push()
    keeper.owner.change_rule('>= 1"\npush = ["hubspot"]', '>= 1"\npush = []\nretire = true')
    keeper.owner.store.sql("UPDATE go_aheads SET given_at = given_at - INTERVAL 1 DAY")
    scopes = keeper.world.hubspot.switches.scopes
    scopes.discard("crm.objects.contacts.write")
    keeper.owner.push()
    scopes.add("crm.objects.contacts.write")
    made = definition(keeper)
    kind = made.field_type
    s = keeper.owner.session()
    s.counts = keeper.owner.counts()
    if night == "without the property":
        made.field_type = "select"
    named = ("Gold",) if night == "of another segment" else ()
    plan = planner.plan_derived(s, sync.resolved(keeper.owner.config), named=named)
    writer.carry_out(s, plan)
    made.field_type = kind
    keeper.owner.push(first=False)
    assert carriers(keeper.world) == set()
    keeper.owner.push(first=False)
    assert keeper.owner.store.sql("SELECT segment FROM ledger_objects") == [("Gold",)]


def test_who_said_no_loses_the_option_though_they_are_on_somebody_elses_list_of_the_name(keeper: Shopkeeper) -> None:
    keeper.push(range(4), first=True)
    delete_list(keeper)
    adapter = keeper.world.adapter("hubspot")
    theirs = Target("hubspot", "VIP", "Rollcall: VIP")
    place = adapter.ensure(theirs)
    adapter.apply(Batch(theirs, place, theirs.name, tuple(Member(keeper.world.contact_id("hubspot", n)) for n in (2, 3))))
    no_by(keeper, 3)
    keeper.push(range(4))
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 2}, 2), "their list is theirs"


def test_who_was_counted_as_ours_after_a_restore_loses_the_option_on_saying_no(keeper: Shopkeeper, tmp_path: Path) -> None:
    keeper.push(range(4), first=True)
    made = backup.make(keeper.owner.store, keeper.owner.config, tmp_path / "copies", NOW).path
    keeper.push(range(6))
    keeper.owner.store.sql("DELETE FROM given")
    restore.carry_out(keeper.owner.store, keeper.owner.config, made, NOW, keeper.owner.session("backup").run_id)
    s = keeper.owner.session("ledger rebuild")
    s.counts = keeper.owner.counts()
    rebuild.carry_out(s, rebuild.propose(s, sync.resolved(keeper.owner.config)))
    no_by(keeper, 5)
    keeper.push(range(6))
    assert (carriers(keeper.world), listed(keeper)) == (set(range(5)), 5)


def test_who_is_merged_before_a_plan_is_not_taken_for_one_taken_off_by_hand(keeper: Shopkeeper) -> None:
    keeper.owner.change_rule("[guards]", '[push]\nuntagged_by_hand = "pin"\n[guards]')
    keeper.push(range(6), first=True)
    assert keeper.world.hubspot.merge("p00009", "p00003") is not None
    (ours,) = keeper.world.hubspot.lists.live()
    del ours.members[int(keeper.world.contact_id("hubspot", 1))]
    ours.ordered = None
    keeper.push(range(6))
    assert keeper.owner.store.sql("SELECT count(*) FROM pins") == [(1,)], "one was taken off by hand"
    keeper.owner.pull()
    no_by(keeper, 9)
    keeper.push(range(6))
    assert (carriers(keeper.world), listed(keeper)) == ({0, 2, 4, 5}, 4)


@pytest.mark.parametrize("keeps_id", [False, True])
@pytest.mark.parametrize("into", ["p00007", "p00003"])
def test_whoever_an_erased_contact_is_merged_with_is_that_contact_from_then_on(
    keeper: Shopkeeper, into: str, keeps_id: bool
) -> None:
    keeper.world.hubspot.crm.settings.keep_primary_id = keeps_id
    keeper.push(range(8), first=True)
    forget(keeper, 3)
    assert keeper.world.hubspot.merge(into, "p00003" if into == "p00007" else "p00007") is not None
    keeper.owner.pull()
    people = [n for n in range(8) if n != 3]
    keeper.push(people)
    assert (len(carriers(keeper.world)), listed(keeper)) == (6, 6) and carriers(keeper.world) == {0, 1, 2, 4, 5, 6}
    assert keeper.push(people).changes == ()
    assert keeper.owner.store.sql("SELECT count(*) FROM given") == [(6,)]


def test_who_had_the_option_by_hand_and_is_merged_with_an_erased_contact_keeps_it(keeper: Shopkeeper) -> None:
    keeper.push(range(4), first=True)
    keeper.world.hubspot.change("p00007", {PROPERTY: "vip"})
    keeper.push([*range(4), 7])
    forget(keeper, 3)
    assert keeper.world.hubspot.merge("p00007", "p00003") is not None
    keeper.owner.pull()
    keeper.push([0, 1, 2, 7])
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 2, 7}, 3)


def test_a_new_segment_of_the_old_name_does_not_use_an_option_that_nobody_has_looked_at_yet(keeper: Shopkeeper) -> None:
    keeper.owner.believe({"VIP": range(4)})
    with pytest.raises(Killed):
        keeper.owner.push(Fuse(lambda boundary: boundary == "before hubspot" and len(carriers(keeper.world)) > 0))
    keeper.owner.reopen()
    new = 'name = "VIP"\ntag = "Very"\nwhere = "true"\npush = ["hubspot"]\n[[segment]]\nname = "Gold"\nwas = "VIP"'
    keeper.owner.change_rule('name = "VIP"', new)
    keeper.owner.believe({"Gold": range(4), "VIP": range(3, 6)})
    keeper.owner.push()
    assert (carriers(keeper.world), listed(keeper)) == (set(range(4)), 7)
    keeper.owner.believe({"Gold": range(3), "VIP": range(3, 6)})
    keeper.owner.push()
    assert carriers(keeper.world) == set(range(3))
    assert keeper.owner.push()[1].changes == ()


@pytest.mark.parametrize("write", [5, 6])
def test_who_was_written_by_a_run_that_died_and_merged_before_the_next_is_ours_as_the_contact_they_became(
    keeper: Shopkeeper, write: int
) -> None:
    passed: list[str] = []

    def due(boundary: str) -> bool:
        passed.append(boundary)
        return boundary == "after hubspot" and passed.count(boundary) == write

    keeper.owner.believe({"VIP": range(6)})
    with pytest.raises(Killed):
        keeper.owner.push(Fuse(due))
    keeper.owner.reopen()
    assert keeper.world.hubspot.merge("p00009", "p00004") is not None
    keeper.owner.pull()
    no_by(keeper, 9)
    keeper.push(range(6), first=True)
    assert (carriers(keeper.world), listed(keeper)) == ({0, 1, 2, 3, 5}, 5)


def test_who_was_merged_since_the_last_pull_is_not_lost_by_rebuilding_the_ledger(keeper: Shopkeeper) -> None:
    keeper.push(range(4), first=True)
    assert keeper.world.hubspot.merge("p00009", "p00003") is not None
    (ours,) = keeper.world.hubspot.lists.live()
    del ours.members[int(keeper.world.contact_id("hubspot", 1))]
    ours.ordered = None
    s = keeper.owner.session("ledger rebuild")
    proposed = rebuild.propose(s, sync.resolved(keeper.owner.config))
    assert [len(p.dropped) for p in proposed] == [1], "one was taken off by hand"
    rebuild.carry_out(s, proposed)
    no_by(keeper, 9)
    keeper.push(range(4))
    assert (carriers(keeper.world) - {1}, listed(keeper)) == ({0, 2}, 3)


@pytest.mark.parametrize("is_swap", [False, True])
def test_a_backup_from_before_renames_in_a_row_finds_every_option_beside_its_list(
    keeper: Shopkeeper, tmp_path: Path, is_swap: bool
) -> None:
    def holders(option: str) -> set[int]:
        contacts = keeper.world.hubspot.crm.tables["contacts"].live.values()
        return {int(str(c.props["email"])[1:6]) for c in contacts if option in str(c.props.get(PROPERTY) or "").split(";")}

    gold = '[[segment]]\nname = "Gold"\nwhere = "true"\npush = ["hubspot"]\n'
    keeper.owner.change_rule(VIP, VIP + gold)
    keeper.owner.believe({"VIP": range(3), "Gold": range(5, 8)})
    keeper.owner.push()
    made = backup.make(keeper.owner.store, keeper.owner.config, tmp_path / "copies", NOW).path
    other = "VIP" if is_swap else "Best"
    renamed = f'[[segment]]\nname = "{other}"\ntag = "Other"\nwas = "Gold"\nwhere = "true"\npush = ["hubspot"]\n'
    first = VIP.replace('name = "VIP"', 'name = "Gold"\ntag = "Own"\nwas = "VIP"')
    keeper.owner.change_rule(VIP + gold, first + renamed)
    keeper.owner.believe({"Gold": range(3), other: range(5, 8)})
    keeper.owner.push(first=False)
    restore.carry_out(keeper.owner.store, keeper.owner.config, made, NOW, keeper.owner.session("backup").run_id)
    no_by(keeper, 6)
    keeper.owner.push(first=False)
    s = keeper.owner.session("ledger rebuild")
    rebuild.carry_out(s, rebuild.propose(s, sync.resolved(keeper.owner.config)))
    assert keeper.owner.push(first=False)[1].changes == ()
    assert (holders("vip"), holders("gold"), listed(keeper)) == ({0, 1, 2}, {5, 7}, 5)


def test_a_rebuild_right_after_a_rename_finds_the_list_under_the_new_name(keeper: Shopkeeper) -> None:
    keeper.push(range(4), first=True)
    ((_, list_id, _), *_) = keeper.owner.held()
    keeper.owner.change_rule('name = "VIP"', 'name = "Best"\nwas = "VIP"\nadopt = true')
    keeper.owner.believe({"Best": range(3)})
    keeper.world.hubspot.add_list("Rollcall: Best", "MANUAL")
    s = keeper.owner.session("ledger rebuild")
    rebuild.carry_out(s, rebuild.propose(s, sync.resolved(keeper.owner.config)))
    _, plan = keeper.owner.push(first=False)
    assert {(o, n) for _, o, n in keeper.owner.held()} == {(list_id, keeper.world.contact_id("hubspot", n)) for n in range(3)}
    assert carriers(keeper.world) == {0, 1, 2} and not [n for n in plan.notes if "still on" in n]


def test_the_last_of_a_segment_that_is_gone_loses_the_option_once_it_can_be_written(keeper: Shopkeeper) -> None:
    keeper.push([3], first=True)
    no_by(keeper, 3)
    without_writing(keeper, range(0))
    assert (carriers(keeper.world), listed(keeper)) == ({3}, 0)
    keeper.owner.change_rule('name = "VIP"', 'name = "Other"')
    keeper.owner.believe({"Other": []})
    _, plan = keeper.owner.push(first=False)
    assert carriers(keeper.world) == set() and not [n for n in plan.notes if "still on" in n]
    assert keeper.owner.push(first=False)[1].changes == ()
