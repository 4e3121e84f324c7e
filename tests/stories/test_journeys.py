"""Who is in segments that start journeys, and who may enter no more of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import responses

from connector import choices, planner, writer
from tests.stories.shopkeeper import Shopkeeper

NAMES = ("A", "B", "C")


@pytest.fixture(params=["mailchimp", "shopify"])
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shopkeeper]:
    segments = "".join(
        f'[[segment]]\nname = "{n}"\nwhere = "orders_total >= 1"\npush = ["{request.param}"]\nstarts = "journey"\n'
        for n in NAMES
    )
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Shopkeeper(mock, tmp_path, segments, only=request.param)


def test_who_is_in_more_journeys_than_somebody_may_enter_stays_in_all_of_them(keeper: Shopkeeper) -> None:
    for first in (True, False):
        keeper.owner.believe(dict.fromkeys(NAMES, range(4)))
        _, plan = keeper.owner.push(first=first)
    assert plan.changes == () and len(keeper.owner.held()) == 12


def test_nobody_enters_more_journeys_in_one_night_than_allowed_and_the_next_plan_is_empty(keeper: Shopkeeper) -> None:
    keeper.owner.believe(dict.fromkeys(NAMES, (0,)))
    keeper.owner.push()
    for entering in (2, 0):
        keeper.owner.believe(dict.fromkeys(NAMES, (0, 1)))
        _, plan = keeper.owner.push(first=False)
        assert [t.entered for t in plan.targets] == [entering // 2, entering // 2, 0]
        assert plan.targets[2].excluded == {"entered 2 journeys within 30 days": 1}
        assert sum(t.left for t in plan.targets) == 0


def test_who_comes_and_goes_starts_no_more_journeys_than_somebody_may(keeper: Shopkeeper) -> None:
    everybody = range(4)
    keeper.owner.believe(dict.fromkeys(NAMES, everybody) | {"A": (0, 1, 2), "B": (), "C": ()})
    keeper.owner.push()
    entered = []
    for is_in in (True, False, True, False, True, False, True):
        keeper.owner.believe({"A": everybody if is_in else (0, 1, 2), "B": (), "C": ()})
        _, plan = keeper.owner.push(first=False)
        entered.append(plan.targets[0].entered)
    assert entered == [1, 0, 1, 0, 0, 0, 0]
    assert plan.targets[0].excluded == {"entered 2 journeys within 30 days": 1}


def test_who_waits_for_another_day_is_news_on_the_first_night_only(keeper: Shopkeeper) -> None:
    keeper.owner.change_rule("[guards]", "[push]\nmax_starts_per_day = 0\n[guards]")
    keeper.owner.believe({"A": (0,), "B": (), "C": ()})
    keeper.owner.push()
    codes = []
    for waiting in (5, 4, 3, 0, 3):
        keeper.owner.believe({"A": range(1 + waiting), "B": (), "C": ()})
        s, plan = keeper.owner.push(first=False)
        planner.note_parked(s, plan)
        codes.append(s.exit_code)
    assert codes == [3, 0, 0, 0, 3]


def test_a_platform_that_is_not_to_be_written_any_more_is_news_on_the_first_night_only(keeper: Shopkeeper) -> None:
    keeper.owner.believe({"A": (0, 1), "B": (), "C": ()})
    keeper.owner.push()
    codes = []
    for says, people in (("false", (0, 1, 2)), ("false", (0,)), ("true", (0, 1)), ("false", (0,))):
        text = keeper.owner.config.path.read_text()
        keeper.owner.change_rule("push = true" if "push = true" in text else "push = false", f"push = {says}")
        keeper.owner.believe({"A": people, "B": (), "C": ()})
        codes.append(keeper.owner.push(first=False)[0].exit_code)
    assert codes == [3, 0, 0, 3]


@pytest.mark.parametrize("rule", ["everyone_else()", "not segment('a')"])
def test_whom_another_segments_new_rule_leaves_to_this_one_waits_for_a_go_ahead(keeper: Shopkeeper, rule: str) -> None:
    keeper.owner.change_rule('name = "C"\nwhere = "orders_total >= 1"', f'name = "C"\nwhere = "{rule}"')
    keeper.owner.believe({"A": range(6), "B": (), "C": (6,)})
    keeper.owner.push()
    keeper.owner.change_rule('name = "A"\nwhere = "orders_total >= 1"', 'name = "A"\nwhere = "orders_total >= 2"')
    keeper.owner.believe({"A": range(2), "B": (), "C": range(2, 7)})
    _, plan = keeper.owner.push(first=False)
    assert [t.waits_for_go_ahead for t in plan.targets] == [True, False, True] and len(keeper.owner.held()) == 7


@pytest.mark.parametrize("platform", ["hubspot", "mailchimp"])
def test_journeys_somebody_entered_count_also_after_a_merge_or_a_change_of_address(tmp_path: Path, platform: str) -> None:
    segments = "".join(
        f'[[segment]]\nname = "{n}"\nwhere = "orders_total >= 1"\npush = ["{platform}"]\nstarts = "journey"\n' for n in NAMES
    )
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        keeper = Shopkeeper(mock, tmp_path, segments, only=platform)
        owner = keeper.owner
        owner.believe(dict.fromkeys(NAMES, (0,)))
        owner.push()
        owner.believe({"A": (0, 1), "B": (0, 1), "C": (0,)})
        owner.push(first=False)
        if platform == "hubspot":
            keeper.world.hubspot.merge("p00001", "p00009")
        else:
            keeper.world.mailchimp.change("p00001", {"email": "new@shop.example"})
        owner.pull()
        owner.believe(dict.fromkeys(NAMES, (0, 1)))
        for name in NAMES:
            owner.store.sql("INSERT INTO members SELECT ?, person_id FROM people WHERE email = 'new@shop.example'", [name])
        _, plan = owner.push(first=False)
        assert plan.targets[2].entered == 0 and plan.targets[2].excluded == {"entered 2 journeys within 30 days": 1}


def test_who_comes_back_after_an_undone_run_enters_a_journey_within_the_limit_of_a_day(tmp_path: Path) -> None:
    segment = '[[segment]]\nname = "A"\nwhere = "orders_total >= 1"\npush = ["hubspot"]\nstarts = "journey"\n'
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        keeper = Shopkeeper(mock, tmp_path, segment, only="hubspot")
        owner = keeper.owner
        owner.believe({"A": range(6)})
        owner.push()
        run = owner.run_ids[-1]
        s = owner.session("undo")
        s.counts = owner.counts()
        plan, _ = planner.undo_plan_derived(s, run)
        writer.carry_out(s, plan)
        assert owner.held() == set() or not owner.held()
        choices.resume(owner.store, "A")
        owner.change_rule("[guards]", "[push]\nmax_starts_per_day = 2\n[guards]")
        _, plan = owner.push(first=False)
        assert not plan.targets[0].first_fill and len(keeper.world.members("hubspot", "Rollcall: A")) <= 2
