"""A minimum stay keeps whom we put in. It lets nobody in: whoever left is told nothing new when the owner turns it on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector import planner, sync, writer
from tests.laws.consent_shop import Laws, target
from tests.laws.consent_table import bought, person

NEW = '[[segment]]\nname = "New"\nwhere = "days_since_order <= 206"\npush = ["mailchimp"]\n'
STAY = "stay_days = 60\n"


class Shop(Laws):
    """Three people whose last order is 205 days ago on the first night."""

    @property
    def inside(self) -> set[str]:
        return self.carrying("mailchimp", "Rollcall: New")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    people = [person(name) for name in ("one", "two", "three")]
    made = Shop(tmp_path, people, NEW, bought(people))
    made.pull()
    yield made
    made.close()


def test_who_left_does_not_come_back_by_a_minimum_stay_that_is_turned_on_later(shop: Shop) -> None:
    shop.night(first=True)
    assert shop.inside == {"one", "two", "three"}
    for _ in range(3):
        shop.night()
    assert not shop.inside, "their days are over"
    shop.configure(NEW + STAY)
    plan = target(shop.night(), "mailchimp", "New")
    assert not shop.inside and (plan.entered, plan.held, plan.wanted) == (0, 0, 0)


def test_whom_an_undo_took_off_does_not_come_back_by_a_minimum_stay(shop: Shop) -> None:
    shop.configure(NEW + STAY)
    shop.night(first=True)
    run_id = str(shop.store.value("SELECT max(run_id) FROM journal"))
    for _ in range(3):
        shop.night()
    assert shop.inside == {"one", "two", "three"}, "their stay is not over"
    with shop.session("undo") as s:
        segments = sync.resolved(shop.config)
        sync.derive(s, segments)
        writer.carry_out(s, planner.undo_plan_derived(s, run_id)[0])
    assert not shop.inside
    shop.store.sql("DELETE FROM paused")
    shop.night()
    assert not shop.inside
