"""Nights on which one request in twenty fails, some after they took effect: nothing is lost, nothing happens twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import responses

from connector import audit
from tests.stories.small_world import PLATFORMS, Owner, World

SEGMENTS = """
[[segment]]
name = "VIP"
where = "orders_total >= 1"
push = ["shopify", "mailchimp", "hubspot"]
[[segment]]
name = "Lapsed"
where = "orders_total >= 2"
push = ["shopify", "mailchimp", "hubspot"]
[[segment]]
name = "Care"
where = "orders_total >= 3"
purpose = "service"
push = ["mailchimp", "hubspot", "shopify"]
"""
TAGS = {"VIP": "Rollcall: VIP", "Lapsed": "Rollcall: Lapsed", "Care": "Rollcall: service Care"}
SHARE = 0.05
UNCLEAR = {("500", "after"), ("reset", "after")}
"""The effect is there, the answer is not."""


def nights(mock: responses.RequestsMock, folder: Path, seed: int, people: int, count: int, batch_size: int = 5) -> World:
    """Every night other people belong elsewhere; every push meets faults, and one on a good day ends the story."""
    world, chance = World(mock, people), random.Random(seed)
    owner = Owner(world, folder, SEGMENTS, more="[guards]\nmin_members = 100000\n", batch_size=batch_size)
    owner.pull()
    for wire in world.wires.values():
        wire.seed = seed
    wants: dict[str, set[int]] = {}
    for _ in range(count):
        wants = {name: set(chance.sample(range(people), people // 2)) for name in TAGS}
        owner.believe(wants)
        for wire in world.wires.values():
            wire.bad_luck = SHARE
        s, _ = owner.push()
        assert all(r.planned == sum(r.counts.values()) + r.not_sent for r in s.results)
        for wire in world.wires.values():
            wire.bad_luck = 0.0
    s, _ = owner.push()
    assert not s.problems

    assert world.doubled() == []
    assert owner.held() == owner.live()
    for platform in PLATFORMS:
        for name, tag in TAGS.items():
            assert world.members(platform, tag) == {world.contact_id(platform, n) for n in wants[name]}, (platform, name)
    assert owner.store.sql("SELECT count(*) FROM journal WHERE state NOT IN ('done', 'recovered', 'failed')") == [(0,)]
    assert owner.store.sql("SELECT count(*) FROM parked") == [(0,)]
    assert owner.plan(owner.session("plan")).changes == ()
    assert audit.verify(owner.store).is_sound
    return world


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(2, 30))])
def test_five_percent_of_requests_fail_and_every_change_happens_once(
    mock: responses.RequestsMock, tmp_path: Path, seed: int
) -> None:
    world = nights(mock, tmp_path, seed, people=80, count=3)
    met = [fault for wire in world.wires.values() for fault in wire.failed]
    print(f"seed {seed}: {len(met)} faults, {sum(is_write for *_, is_write in met)} of them on writes")
    assert UNCLEAR & {(kind, when) for kind, when, is_write in met if is_write}


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_thousands_of_changes_on_bad_nights_happen_once(mock: responses.RequestsMock, tmp_path: Path, seed: int) -> None:
    world = nights(mock, tmp_path, seed, people=1000, count=5)
    met = [fault for wire in world.wires.values() for fault in wire.failed]
    print(f"seed {seed}: {len(met)} faults")
    assert len(met) > 100
