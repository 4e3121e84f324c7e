"""A segment's new name: what is ours goes with it at once, in whatever order, and nothing of a segment that has the old name now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import responses

from connector import backup, choices, planner, restore, sync, writer
from connector import config as configuration
from models.errors import ConfigError
from tests.stories.shopkeeper import LAX
from tests.stories.small_world import NOW, Owner, World

BLOCK = '[[segment]]\nname = "{}"\nwhere = "{}"\npush = {}\n{}'
GOLD, VIP = "records >= 1", "records >= 0"
"""Two rules; whom they mean is said by the tests."""


def block(name: str, rule: str, more: str = "", push: str = '["mailchimp"]') -> str:
    return BLOCK.format(name, rule, push, more)


class Shop:
    def __init__(self, mock: responses.RequestsMock, folder: Path) -> None:
        self.world = World(mock, 12)
        self.owner = Owner(self.world, folder, "", more=LAX)
        self.owner.pull()
        self.empty = self.owner.config.path.read_text()

    def configure(self, *blocks: str) -> None:
        self.owner.config.path.write_text(self.empty + "".join(blocks))
        self.owner.config = configuration.load(self.owner.config.path)

    def push(self, first: bool = False, named: tuple[str, ...] = (), **people: range) -> None:
        self.owner.believe({name.replace("_", " "): who for name, who in people.items()})
        s = self.owner.session()
        s.counts = self.owner.counts()
        plan = planner.plan_derived(s, sync.resolved(self.owner.config), with_go_ahead=first, named=named)
        writer.carry_out(s, plan, first=first)

    def tags(self, platform: str = "mailchimp") -> dict[str, set[int]]:
        number = {self.world.contact_id(platform, n): n for n in range(12)}
        names = ("VIP", "Gold", "Very")
        found = {n: {number[c] for c in self.world.members(platform, f"Rollcall: {n}")} for n in names}
        return {name: people for name, people in found.items() if people}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Shop(mock, tmp_path)


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize("is_swap", [False, True])
def test_chains_and_swaps_of_names_keep_every_tag_with_its_people(shop: Shop, is_swap: bool, is_reversed: bool) -> None:
    shop.configure(block("Gold", GOLD), block("VIP", VIP))
    shop.push(first=True, Gold=range(3), VIP=range(3, 6))
    old = "Gold" if is_swap else "VIP old"
    blocks = [block("VIP", GOLD, 'was = "Gold"\n'), block(old, VIP, 'tag = "Very"\nwas = "VIP"\n')]
    shop.configure(*(reversed(blocks) if is_reversed else blocks))
    for n in range(2):
        shop.push(**{"VIP": range(3), old.replace(" ", "_"): range(3, 6 - n)})
        assert shop.tags() == {"Gold": {0, 1, 2}, "VIP": set(range(3, 6 - n))}, "tags keep their names, and their people"


def test_a_was_that_stays_in_the_file_touches_nothing_of_the_segment_that_has_the_name_now(shop: Shop) -> None:
    shop.configure(block("VIP", GOLD, push='["hubspot"]'))
    shop.push(first=True, VIP=range(3))
    new = block("VIP", VIP, 'tag = "Very"\n', push='["hubspot", "mailchimp"]')
    shop.configure(new, block("Gold", GOLD, 'was = "VIP"\n', push='["hubspot"]'))
    shop.push(first=True, named=("VIP",), Gold=range(3), VIP=range(6, 11))
    assert shop.tags("hubspot") == {"VIP": {0, 1, 2}, "Very": set(range(6, 11))}
    store = shop.owner.store
    ten = store.value("SELECT person_id FROM people WHERE email = 'p00010@shop.example'")
    choices.pin(store, ten, "VIP", "never", "asked by phone", NOW, "r")
    choices.pause(store, ["VIP"], "the campaign is wrong", NOW, "r")
    shop.configure(new, block("Gold", GOLD, 'was = "VIP"\n', push='["hubspot", "mailchimp"]'))
    shop.push(Gold=range(3), VIP=range(5, 11))
    assert store.sql("SELECT segment FROM pins UNION ALL SELECT segment FROM paused") == [("VIP",), ("VIP",)]
    assert shop.tags("hubspot")["Very"] == set(range(6, 11)), "paused"


def test_of_two_segments_that_were_one_before_the_configuration_asks_which(shop: Shop) -> None:
    with pytest.raises(ConfigError, match="two segments were called 'vip' before"):
        shop.configure(block("Gold", GOLD, 'was = "VIP"\n'), block("Best", VIP, 'was = "vip"\n'))


def test_a_was_that_comes_late_leaves_the_old_tag_to_be_retired_and_says_so(shop: Shop) -> None:
    shop.configure(block("VIP", GOLD))
    shop.push(first=True, VIP=range(6))
    shop.configure(block("Gold", GOLD))
    shop.push(first=True, Gold=range(6))
    shop.configure(block("Gold", GOLD, 'was = "VIP"\n'))
    s = shop.owner.session()
    s.counts = shop.owner.counts()
    plan = planner.plan_derived(s, sync.resolved(shop.owner.config))
    assert any("'Rollcall: VIP' is still on 6 people" in n for n in plan.notes)
    assert [t.object_name for t in plan.targets] == ["Rollcall: Gold"]
    shop.configure(block("Gold", GOLD), block("VIP", GOLD, "retire = true\n", push="[]"))
    shop.push(first=True, Gold=range(6), VIP=range(6))
    assert shop.tags() == {"Gold": set(range(6))}


def test_a_rename_that_only_a_plan_saw_goes_back_when_the_owner_takes_it_back(shop: Shop) -> None:
    shop.configure(block("VIP", GOLD))
    shop.push(first=True, VIP=range(6))
    shop.configure(block("Gold", GOLD, 'was = "VIP"\n'))
    shop.owner.believe({"Gold": range(6)})
    shop.owner.plan(shop.owner.session("plan"), first=False)
    shop.configure(block("VIP", GOLD))
    shop.push(VIP=range(4))
    assert shop.tags() == {"VIP": set(range(4))}


def test_a_backup_from_before_a_rename_is_renamed_again(shop: Shop, tmp_path: Path) -> None:
    shop.configure(block("VIP", GOLD))
    shop.push(first=True, VIP=range(6))
    made = backup.make(shop.owner.store, shop.owner.config, tmp_path / "copies", NOW).path
    shop.configure(block("Gold", GOLD, 'was = "VIP"\n'))
    shop.push(Gold=range(6))
    restore.carry_out(shop.owner.store, shop.owner.config, made, NOW, shop.owner.session("backup").run_id)
    shop.world.mailchimp.change("p00003", {"status": "unsubscribed"})
    shop.owner.pull()
    shop.push(Gold=range(6))
    assert shop.tags() == {"VIP": {0, 1, 2, 4, 5}}, "who said no is taken off by the backup's ledger too"


@pytest.mark.parametrize("more", ["", "retire = true\n"])
def test_a_tag_that_another_segment_adopted_is_never_filled_by_two_when_the_first_comes_back(shop: Shop, more: str) -> None:
    shop.configure(block("VIP", VIP))
    shop.push(first=True, VIP=range(5))
    heir = block("Gold", GOLD, 'tag = "VIP"\nadopt = true\n')
    shop.configure(heir)
    shop.push(first=True, Gold=range(2, 7))
    shop.configure(heir, block("VIP", VIP, f'tag = "Very"\n{more}'))
    for first in (False, True, False):
        shop.push(first=first, Gold=range(2, 7), VIP=range(4))
        assert shop.tags() == {"VIP": {2, 3, 4, 5, 6}}
