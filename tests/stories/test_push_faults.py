"""Nights on which one request in twenty fails, some after they took effect: nothing is lost, nothing happens twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import responses

from connector import audit, writer
from connector.sandbox.base import Request, Response
from connector.sandbox.faults import answer
from tests.simulated import between
from tests.stories.shopkeeper import VIP, Shopkeeper
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


def test_a_platform_that_fails_between_plan_and_push_stops_no_other(mock: responses.RequestsMock, tmp_path: Path) -> None:
    world = World(mock, 4)
    owner = Owner(world, tmp_path, SEGMENTS, more="[guards]\nmin_members = 100000\n")
    owner.pull()
    owner.believe({name: range(4) for name in TAGS})
    s = owner.session()
    plan = owner.plan(s)

    def account_down(request: Request, hand_on: Callable[[Request], Response]) -> Response:
        return answer("hubspot", "500", world.hubspot.clock) if "account-info" in request.path else hand_on(request)

    with between(world.wires["hubspot"], account_down):
        writer.carry_out(s, plan, first=True)
    assert {p: len(world.members(p, TAGS["VIP"])) for p in PLATFORMS} == {"shopify": 4, "mailchimp": 4, "hubspot": 0}
    assert s.exit_code == 1 and {r.platform for r in s.results} == {"shopify", "mailchimp"}


def test_an_event_that_mailchimp_clearly_refuses_ends_no_run_and_is_recorded_by_the_next(
    mock: responses.RequestsMock, tmp_path: Path
) -> None:
    event = '[[trigger]]\nname = "event"\nsegment = "VIP"\nmailchimp_event = "vip"\n'
    keeper = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "mailchimp") + event, only="mailchimp")
    owner, simulator = keeper.owner, keeper.world.mailchimp
    owner.believe({"VIP": range(3)})
    owner.push()
    owner.store.sql("INSERT INTO memberships SELECT 'VIP', person_id, DATE '2026-11-21', NULL, 'r', NULL FROM people LIMIT 3")
    refused: list[str] = []

    def once(request: Request, hand_on: Callable[[Request], Response]) -> Response:
        if request.path.endswith("/events") and not refused:
            refused.append(request.path)
            return answer("mailchimp", "429", simulator.clock)
        return hand_on(request)

    states = "SELECT state, count(*) FROM triggered GROUP BY ALL ORDER BY ALL"
    with between(keeper.world.wires["mailchimp"], once):
        s, _ = owner.push(first=False)
    assert s.exit_code == 1 and len(refused) == 1 and "push" in s.summary
    assert owner.store.sql(states) == [("done", 2), ("failed", 1)]
    owner.push(first=False)
    assert owner.store.sql(states) == [("done", 3)]
    assert sum(e["kind"] == "member.event" for e in simulator.effects) == 3


def test_a_webhook_without_its_secret_waits_and_ends_no_run(mock: responses.RequestsMock, tmp_path: Path) -> None:
    hook = '[[trigger]]\nname = "hook"\nsegment = "VIP"\nurl = "http://127.0.0.1:9/in"\nsecret = "file:secrets/hook"\n'
    keeper = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "mailchimp") + hook, only="mailchimp")
    owner = keeper.owner
    owner.believe({"VIP": range(3)})
    owner.push()
    owner.store.sql("INSERT INTO memberships SELECT 'VIP', person_id, DATE '2026-11-21', NULL, 'r', NULL FROM people LIMIT 3")
    s, _ = owner.push(first=False)
    (problem,) = s.problems
    assert s.exit_code == 2 and "'hook': 3 wait" in problem.text and "trigger.hook.secret" in problem.text
    assert owner.store.sql("SELECT * FROM triggered") == []
