"""Automations of the owner's wait for our tags and lists: they start what the plan foretold, and nothing in a first fill on
Mailchimp."""

from __future__ import annotations

from pathlib import Path

import pytest
import responses

from connector import planner, writer
from connector.sandbox.hubspot_flows import Workflow
from connector.session import Session
from models.changes import Plan
from tests.stories.mails import Automations, must_be_as_foretold, sent
from tests.stories.small_world import PLATFORMS, Fuse, Owner, World

EVERYWHERE = 'push = ["shopify", "mailchimp", "hubspot"]'
VIP = f'[[segment]]\nname = "VIP"\nwhere = "orders_total >= 1"\n{EVERYWHERE}\n'
WELCOME = f'[[segment]]\nname = "Welcome"\nwhere = "orders_total >= 1"\nstarts = "journey"\n{EVERYWHERE}\n'
WAITING: Automations = {(p, f"Rollcall: {name}"): 2 for p in PLATFORMS for name in ("VIP", "Welcome")}
"""Everywhere an automation of two mails waits for either tag, as soon as the tag is there."""


class Campaigner:
    """An owner who has automations wait for tags."""

    def __init__(self, mock: responses.RequestsMock, folder: Path, segments: str, *, more: str = "", people: int = 12) -> None:
        self.world = World(mock, people)
        self.owner = Owner(self.world, folder, segments, more=f"[guards]\nmin_members = 1000\n{more}")
        self.owner.pull()
        for tag in dict.fromkeys(tag for _, tag in WAITING):
            self.world.shopify.switches.automations[tag] = 2
            self.world.hubspot.add_workflow(Workflow(f"On {tag}", on_list=tag, mails=2))

    def build_journeys(self) -> None:
        """Mailchimp lets a journey wait for a tag that is there, and for no other."""
        waited_for = {journey.tag_id for journey in self.world.mailchimp.journeys}
        for (platform, tag), mails in WAITING.items():
            found = self.world.mailchimp.account.tag_named(tag)
            if platform == "mailchimp" and found is not None and found.tag_id not in waited_for:
                self.world.mailchimp.add_journey(tag, mails=mails)

    def push(self, wants: dict[str, range], *, first: bool = True) -> tuple[dict[str, int], Plan]:
        """The mails that a push starts, which are those its plan foretold."""
        self.owner.believe(wants)
        before = sent(self.world)
        s, plan = self.owner.push(Fuse(), first=first)
        assert [p for p in s.problems if p.exit_code != 3] == []
        self.build_journeys()
        return must_be_as_foretold(before, sent(self.world), plan, WAITING), plan


def nothing() -> dict[str, int]:
    return dict.fromkeys(PLATFORMS, 0)


def test_a_first_fill_starts_no_mail_on_mailchimp_and_the_go_ahead_names_the_number_elsewhere(
    mock: responses.RequestsMock, tmp_path: Path
) -> None:
    story = Campaigner(mock, tmp_path, VIP)

    started, _ = story.push({"VIP": range(7)})

    assert started == {"shopify": 14, "mailchimp": 0, "hubspot": 14}
    named = dict(story.owner.store.sql("SELECT platform, people FROM go_aheads WHERE segment = 'VIP'"))
    assert named == dict.fromkeys(PLATFORMS, 7)


@pytest.mark.parametrize("segments", [VIP, WELCOME], ids=["starts nothing", "starts a journey"])
def test_who_enters_later_starts_what_the_plan_foretold(mock: responses.RequestsMock, tmp_path: Path, segments: str) -> None:
    story = Campaigner(mock, tmp_path, segments)
    (name,) = (n for n in ("VIP", "Welcome") if f'"{n}"' in segments)
    story.push({name: range(5)})

    started, _ = story.push({name: range(2, 9)}, first=False)
    assert started == dict.fromkeys(PLATFORMS, 2 * 4)
    assert story.push({name: range(2, 9)}, first=False)[0] == nothing()


@pytest.mark.parametrize("segments", [VIP, WELCOME], ids=["starts nothing", "starts a journey"])
def test_filling_a_tag_that_was_there_before_is_quiet_on_mailchimp_whatever_waits_for_it(
    mock: responses.RequestsMock, tmp_path: Path, segments: str
) -> None:
    """The owner had the tag and a journey for it long before us, and has us adopt it."""
    story = Campaigner(mock, tmp_path, segments.replace("push =", "adopt = true\npush ="))
    (name,) = (n for n in ("VIP", "Welcome") if f'"{n}"' in segments)
    story.world.mailchimp.account.add_tag(f"Rollcall: {name}")
    story.build_journeys()

    started, _ = story.push({name: range(7)})

    assert started["mailchimp"] == 0
    assert len(story.world.members("mailchimp", f"Rollcall: {name}")) == 7


def test_after_a_change_of_rule_the_fill_is_quiet_again(mock: responses.RequestsMock, tmp_path: Path) -> None:
    story = Campaigner(mock, tmp_path, VIP)
    story.push({"VIP": range(4)})
    story.owner.change_rule("orders_total >= 1", "orders_total >= 2")

    started, plan = story.push({"VIP": range(9)})

    assert sum(t.entered for t in plan.targets) == 3 * 5
    assert started == {"shopify": 10, "mailchimp": 0, "hubspot": 10}


def test_no_more_journeys_start_than_the_owner_allows_a_day(mock: responses.RequestsMock, tmp_path: Path) -> None:
    story = Campaigner(mock, tmp_path, WELCOME, more="[push]\nmax_starts_per_day = 3\n")
    story.push({"Welcome": range(1)})

    started, plan = story.push({"Welcome": range(9)}, first=False)

    assert started == dict.fromkeys(PLATFORMS, 2 * 2), "one had entered before on that day"
    assert {t.held for t in plan.targets} == {6}


def test_what_an_undo_puts_back_starts_nothing_on_mailchimp(mock: responses.RequestsMock, tmp_path: Path) -> None:
    story = Campaigner(mock, tmp_path, VIP)
    story.push({"VIP": range(6)})
    story.world.mailchimp.journeys[0].reentry = True
    story.push({"VIP": range(2)}, first=False)
    taken_off = story.owner.run_ids[-1]

    undone(story.owner, taken_off)

    assert story.world.members("mailchimp", "Rollcall: VIP") == {story.world.contact_id("mailchimp", n) for n in range(6)}
    assert story.world.mails("mailchimp") == 0


def undone(owner: Owner, run_id: str) -> Session:
    s = owner.session("undo")
    s.counts = owner.counts()
    plan, _ = planner.undo_plan_derived(s, run_id)
    writer.carry_out(s, plan)
    return s
