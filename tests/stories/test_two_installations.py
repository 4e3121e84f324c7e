"""Two stores write to one account: what the first made is never taken for the second's, on no platform, unless the owner says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import responses

from adapters.hubspot_property import PROPERTY
from connector import backup, ledger, rebuild, sync, writer
from connector.sandbox.hubspot_wire import invalid
from models.changes import Plan
from tests.stories.small_world import PLATFORMS, Fuse, Killed, Owner, World

NAME = "Rollcall: VIP"
VIP = '[[segment]]\nname = "VIP"\nwhere = "orders_total >= 1"\npush = ["shopify", "mailchimp", "hubspot"]\n'
LAX = "[guards]\nmin_members = 1000\n"
HUBSPOT_ONLY = VIP.replace('"shopify", "mailchimp", ', "")
ANOTHER = "another installation of Rollcall keeps it"


@pytest.fixture
def world() -> Iterator[World]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield World(mock, 8)


def shop(world: World, folder: Path, name: str, segments: str = VIP) -> Owner:
    """A store of its own, of the platforms that the segments are pushed to."""
    (folder / name).mkdir()
    owner = Owner(world, folder / name, segments, more=LAX)
    parts = re.split(r"\n(?=\[)", owner.config.path.read_text())
    unused = tuple(f"[{p}]" for p in PLATFORMS if f'"{p}"' not in segments)
    owner.config.path.write_text("\n".join(part for part in parts if not part.startswith(unused)))
    owner.change_rule("", "")
    owner.pull()
    owner.believe({"VIP": range(4)})
    return owner


def in_hubspot(owner: Owner, setting: str) -> None:
    owner.change_rule("[hubspot]\n", f"[hubspot]\n{setting}\n")


def parked(plan: Plan) -> dict[str, str]:
    return {t.target.platform: t.parked for t in plan.targets}


def everybody(world: World) -> dict[str, set[str]]:
    return {p: world.members(p, NAME) for p in PLATFORMS}


def test_a_second_installation_leaves_what_the_first_made_alone_on_every_platform(world: World, tmp_path: Path) -> None:
    first = shop(world, tmp_path, "first")
    first.push()
    filled = everybody(world)
    second = shop(world, tmp_path, "second")
    second.believe({"VIP": range(3, 8)})
    s, plan = second.push()
    why = parked(plan)
    assert ANOTHER in why["hubspot"]
    assert all("is there already and we did not make it" in why[p] for p in ("shopify", "mailchimp")), "no room for a mark"
    assert everybody(world) == filled and all(not r.counts for r in s.results)
    assert second.held() == set()
    assert [t.changes for t in first.plan(first.session("plan")).targets] == [()] * 3, "the first goes on as before"


def test_with_the_owners_word_both_keep_one_list_and_each_takes_off_only_whom_it_put_on(world: World, tmp_path: Path) -> None:
    shop(world, tmp_path, "first").push()
    second = shop(world, tmp_path, "second", VIP.replace("push", "adopt = true\npush"))
    second.believe({"VIP": range(2, 6)})
    _, plan = second.push()
    (of_hubspot,) = (t for t in plan.targets if t.target.platform == "hubspot")
    assert "another installation of Rollcall made it and may keep it too" in " ".join(of_hubspot.notes)
    assert {len(m) for m in everybody(world).values()} == {6}
    second.believe({"VIP": range(2, 3)})
    second.push()
    assert everybody(world) == {p: {world.contact_id(p, n) for n in range(4)} for p in PLATFORMS}


def test_the_mark_stands_in_the_description_and_in_no_name_and_a_renamed_list_keeps_it(world: World, tmp_path: Path) -> None:
    shop(world, tmp_path, "first", HUBSPOT_ONLY).push()
    (made,) = world.hubspot.lists.live()
    assert made.name == NAME and "[rollcall:" in made.description
    made.name = "Our best"
    theirs = world.hubspot.add_list(NAME, "MANUAL", ("p00001",))
    assert theirs.members
    second = shop(world, tmp_path, "second", HUBSPOT_ONLY)
    second.believe({"VIP": range(6, 8)})
    assert "we did not make it" in parked(second.plan(second.session("plan")))["hubspot"], "a person's own list carries no mark"


def test_where_hubspot_takes_no_description_the_list_is_made_all_the_same_and_stays_ours(world: World, tmp_path: Path) -> None:
    refuse_descriptions(world)
    first = shop(world, tmp_path, "first", HUBSPOT_ONLY)
    first.push()
    assert len(world.members("hubspot", NAME)) == 4 and not world.hubspot.lists.live()[0].description
    first.believe({"VIP": range(6)})
    first.push(first=False)
    assert len(world.members("hubspot", NAME)) == 6
    second = shop(world, tmp_path, "second", HUBSPOT_ONLY)
    second.believe({"VIP": range(6, 8)})
    assert "we did not make it" in parked(second.plan(second.session("plan")))["hubspot"]


def refuse_descriptions(world: World) -> None:
    make = world.hubspot.lists.create

    def create(call: Any) -> Any:
        if "customProperties" in call.object():
            raise invalid("Invalid input JSON: unknown field customProperties")
        return make(call)

    for routes in world.hubspot.router.routes.values():
        routes[:] = [type(r)(r.method, r.pattern, create, r.scopes) if r.handler == make else r for r in routes]


def test_a_list_the_other_made_between_plan_and_push_is_not_taken_over(world: World, tmp_path: Path) -> None:
    first, second = shop(world, tmp_path, "first", HUBSPOT_ONLY), shop(world, tmp_path, "second", HUBSPOT_ONLY)
    s = second.session()
    plan = second.plan(s)
    first.push()
    results = writer.carry_out(s, plan, first=True)
    assert "Another installation of Rollcall has made the HubSpot list" in results[0].problem
    assert ledger.object_of(second.store, "hubspot", "VIP") == ("", "")
    assert len(world.members("hubspot", NAME)) == 4


def test_a_run_that_died_while_making_a_list_does_not_take_the_others_empty_one_for_its_own(
    world: World, tmp_path: Path
) -> None:
    second = shop(world, tmp_path, "second", HUBSPOT_ONLY)
    with pytest.raises(Killed):
        second.push(Fuse(lambda boundary: boundary == "before hubspot"))
    world.under(Fuse())
    first = shop(world, tmp_path, "first", HUBSPOT_ONLY)
    with pytest.raises(Killed):  # it has made the list and put nobody on it
        writes = iter(range(1, 9))
        first.push(Fuse(lambda boundary: boundary == "before hubspot" and next(writes) > 1))
    second.reopen()
    second.believe({"VIP": range(6)})
    assert ANOTHER in parked(second.plan(second.session("plan")))["hubspot"]
    first.reopen()
    first.push()
    assert len(world.members("hubspot", NAME)) == 4, "its maker knows it again"


def test_after_a_lost_store_the_old_mark_is_somebody_elses_and_rebuilding_the_ledger_takes_it_over(
    world: World, tmp_path: Path
) -> None:
    shop(world, tmp_path, "first", HUBSPOT_ONLY).push()
    fresh = shop(world, tmp_path, "fresh", HUBSPOT_ONLY)
    fresh.believe({"VIP": range(6)})
    assert "before it was lost" in parked(fresh.plan(fresh.session("plan")))["hubspot"]
    s = fresh.session("ledger rebuild")
    proposals = rebuild.propose(s, sync.resolved(fresh.config))
    assert [p.made_by for p in proposals] == ["another"]
    rebuild.carry_out(s, proposals)
    assert parked(fresh.plan(fresh.session("plan")))["hubspot"] == ""


def test_an_option_and_a_property_of_the_other_are_left_alone_and_said(world: World, tmp_path: Path) -> None:
    field = '[[field]]\ncolumn = "city"\nname = "town"\npush = ["hubspot", "mailchimp", "shopify"]\n'
    first = shop(world, tmp_path, "first", VIP + field)
    second = shop(world, tmp_path, "second", VIP.replace('name = "VIP"', 'name = "VIP"\ntag = "Best"') + field)
    for owner, town in ((first, "Bonn"), (second, "Ulm")):
        in_hubspot(owner, "hubspot_property = true")
        owner.store.sql("CREATE TABLE profile AS SELECT person_id, 1 AS orders_total, ? AS city FROM people", [town])
    first.push()
    second.believe({"VIP": range(6)})
    _, plan = second.push()
    (of_hubspot,) = (t for t in plan.targets if t.target.platform == "hubspot")
    assert "the option 'VIP' of the property" in of_hubspot.notes[-1] and "Only the list is written" in of_hubspot.notes[-1]
    assert len(world.members("hubspot", "Rollcall: Best")) == 6
    assert values(world, PROPERTY) == ["vip"] * 4
    assert ["another installation of Rollcall" in f.parked for f in plan.fields] == [True] * 3
    assert values(world, "rollcall_town") == ["Bonn"] * 8
    second.believe({"VIP": range(1)})
    second.push(first=False)
    assert values(world, PROPERTY) == ["vip"] * 4, "leaving the other's list takes nothing of the first"
    assert [t.changes for t in second.plan(second.session("plan"), first=False).targets] == [()] * 3


def values(world: World, name: str) -> list[str]:
    contacts = world.hubspot.crm.tables["contacts"].live.values()
    return [str(c.props[name]) for c in contacts if c.props.get(name)]


def test_a_backup_keeps_what_tells_an_installation_from_another(world: World, tmp_path: Path) -> None:
    first = shop(world, tmp_path, "first", HUBSPOT_ONLY)
    adapter: Any = first.session("plan").adapter("hubspot")
    saved = backup.make(first.store, first.config, tmp_path / "bk", first.session("x").now())
    assert saved.path.exists() and adapter.lists.installation
    again: Any = first.session("plan").adapter("hubspot")
    assert again.lists.installation == adapter.lists.installation
