"""A trigger that was out of the configuration for a while tells of nobody before the owner has said so again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector import planner, sync, writer
from models.changes import TriggerPlan
from tests.laws.consent_shop import Laws
from tests.laws.consent_table import bought, person

VIP = '[[segment]]\nname = "VIP"\nwhere = "records >= 1"\n'
NARROW = VIP.replace(">= 1", ">= 99")
OTHER = '[[segment]]\nname = "Other"\nwhere = "records >= 1"\n'
EVENT = '[[trigger]]\nname = "hello"\nsegment = "VIP"\nmailchimp_event = "vip"\n'


class Shop(Laws):
    """Three people whose segments are really worked out."""

    def night(self, *, first: bool = False) -> TriggerPlan | None:
        self.later(days=1)
        self.pull()
        with self.session("sync") as s:
            segments = sync.resolved(self.config)
            sync.derive(s, segments)
            plan = planner.plan_derived(s, segments, with_go_ahead=first)
            writer.carry_out(s, plan, first=first)
        return next(iter(plan.triggers), None)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    people = [person(name) for name in ("one", "two", "three")]
    made = Shop(tmp_path, people, VIP + OTHER + EVENT, bought(people))
    made.pull()
    yield made
    made.close()


@pytest.mark.parametrize("meanwhile", [OTHER, NARROW + OTHER + EVENT])
def test_a_trigger_or_segment_that_comes_back_tells_nobody_who_was_in_it_before(shop: Shop, meanwhile: str) -> None:
    shop.night(first=True)
    kept = shop.night()
    assert kept is not None and not kept.waits_for_go_ahead
    shop.configure(meanwhile)
    shop.night()
    shop.configure(VIP + OTHER + EVENT)
    back = shop.night()
    assert back is not None and back.waits_for_go_ahead and back.changes == ()
    assert shop.store.sql("SELECT count(*) FROM triggered WHERE state = 'done'") == [(0,)]
    shop.night(first=True)
    again = shop.night()
    assert again is not None and (again.changes, again.parked) == ((), "")
