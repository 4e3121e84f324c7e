"""Who is in segments that start journeys, and who may enter no more of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import responses

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
