"""A trigger that was out of the configuration for a while tells of nobody before the owner has said so again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from models.changes import TriggerPlan
from tests.laws.consent_shop import Laws
from tests.laws.consent_table import bought, person

VIP = '[[segment]]\nname = "VIP"\nwhere = "records >= 1"\n'
NARROW = VIP.replace(">= 1", ">= 99")
OTHER = '[[segment]]\nname = "Other"\nwhere = "records >= 1"\n'
EVENT = '[[trigger]]\nname = "hello"\nsegment = "VIP"\nmailchimp_event = "vip"\n'


def night(laws: Laws, *, first: bool = False) -> TriggerPlan | None:
    return next(iter(laws.night(first=first).triggers), None)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Laws]:
    people = [person(name) for name in ("one", "two", "three")]
    made = Laws(tmp_path, people, VIP + OTHER + EVENT, bought(people))
    made.pull()
    yield made
    made.close()


@pytest.mark.parametrize("meanwhile", [OTHER, NARROW + OTHER + EVENT])
def test_a_trigger_or_segment_that_comes_back_tells_nobody_who_was_in_it_before(shop: Laws, meanwhile: str) -> None:
    night(shop, first=True)
    kept = night(shop)
    assert kept is not None and not kept.waits_for_go_ahead
    shop.configure(meanwhile)
    night(shop)
    shop.configure(VIP + OTHER + EVENT)
    back = night(shop)
    assert back is not None and back.waits_for_go_ahead and back.changes == ()
    assert shop.store.sql("SELECT count(*) FROM triggered WHERE state = 'done'") == [(0,)]
    night(shop, first=True)
    again = night(shop)
    assert again is not None and (again.changes, again.parked) == ((), "")
