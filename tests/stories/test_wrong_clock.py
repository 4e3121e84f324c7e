"""A machine whose clock stood in another year for one night: what it wrote down then holds nothing back, and lets nothing pass,
once the clock is right again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import responses

from connector import runs, saved
from connector.store import Store
from models.changes import TargetPlan
from models.errors import StalePlan
from tests.stories import small_world
from tests.stories.shopkeeper import VIP, Shopkeeper
from tests.stories.small_world import NOW

WRONG = NOW + timedelta(days=365)


class Nights:
    """The owner of a Mailchimp account; `at` sets the clock of the whole world."""

    def __init__(self, keeper: Shopkeeper, patch: pytest.MonkeyPatch) -> None:
        self.keeper, self.owner, self.patch = keeper, keeper.owner, patch

    def at(self, now: datetime) -> None:
        self.patch.setattr(small_world, "NOW", now)
        self.owner.pull()

    def push(self, people: range, *, first: bool = False) -> TargetPlan:
        self.owner.believe({"VIP": people})
        _, plan = self.owner.push(first=first)
        return plan.targets[0]


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nights]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        segment = VIP.replace("hubspot", "mailchimp")
        yield Nights(Shopkeeper(mock, tmp_path, segment, only="mailchimp"), monkeypatch)


def test_who_began_a_journey_on_a_day_yet_to_come_takes_no_place_of_today(nights: Nights) -> None:
    nights.owner.change_rule('name = "VIP"', 'name = "VIP"\nstarts = "journey"')
    nights.owner.change_rule("[guards]", "[push]\nmax_starts_per_day = 2\n[guards]")
    nights.push(range(4), first=True)
    nights.at(WRONG)
    nights.push(range(6))
    nights.at(NOW + timedelta(days=1))
    made = nights.push(range(10))
    assert (made.entered, made.held) == (2, 2)


def test_the_go_ahead_that_was_given_last_holds_whatever_the_clock_said(nights: Nights) -> None:
    nights.at(WRONG)
    nights.push(range(4), first=True)
    nights.owner.change_rule(">= 1", ">= 2")
    nights.at(NOW + timedelta(days=1))
    nights.push(range(4), first=True)
    assert nights.push(range(5)).parked == ""
    nights.owner.change_rule(">= 2", ">= 1")
    made = nights.push(range(6))
    assert made.waits_for_go_ahead and len(nights.owner.held()) == 5


def test_what_was_pulled_at_a_time_yet_to_come_is_not_taken_for_fresh(nights: Nights) -> None:
    nights.push(range(4), first=True)
    nights.at(WRONG)
    nights.patch.setattr(small_world, "NOW", NOW + timedelta(days=30))
    made = nights.push(range(6))
    assert "yet to come" in made.parked and made.held == 2
    nights.at(NOW + timedelta(days=30))
    assert nights.push(range(6)).entered == 2


def test_a_plan_from_a_time_yet_to_come_is_refused(nights: Nights) -> None:
    nights.at(WRONG)
    nights.owner.believe({"VIP": range(4)})
    plan = nights.owner.plan(nights.owner.session())
    saved.require_fresh(plan, WRONG)
    with pytest.raises(StalePlan, match="yet to come"):
        saved.require_fresh(plan, NOW)


def test_ids_of_runs_sort_in_the_order_in_which_they_began(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.duckdb", threads=1)
    ids = [runs.begin(store, "pull", now_utc=lambda at=at: at) for at in (NOW, WRONG, NOW, NOW, WRONG + timedelta(days=1))]  # type: ignore[misc]
    assert ids == sorted(ids) and len({i.partition("-")[0] for i in ids}) == 5
