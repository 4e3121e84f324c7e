"""A push that dies at any boundary of a write ends, by the next push, where an unbroken one would have ended.

Boundaries are: before and after each commit, and before and after a platform takes a write. The moment of death is an
exception no code catches; the process that comes after it opens the same store.
"""

from __future__ import annotations

import random
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import responses

from connector import audit, journal, ledger, push, schema
from connector.plan import Limits, Wanted, plan_target
from connector.sandbox.base import Request
from connector.sandbox.faults import Fault, is_write
from models.changes import Batch, Member, Target, TargetPlan
from tests.stories.small_world import NOW, PLATFORMS, Fuse, Killed, Mortal, Owner, World
from tests.stories.story import AS_OF, Story, doubled, segments, store_dump, world_dump
from tests.stories.test_kill import FIRST, SMALL, Executioner, Unbroken, unbroken

TAG = "Rollcall: VIP"


# ---- one tag, a thousand deaths


class Tag:
    """One tag on one platform that is to hold `wanted`; some are in it already and are to leave."""

    def __init__(self, world: World, platform: str, adds: int, removes: int, batch_size: int = 5) -> None:
        self.world, self.platform, self.batch_size = world, platform, batch_size
        self.store = Mortal(":memory:", threads=1)
        for step in schema.MIGRATIONS:
            for statement in step:
                self.store.sql(statement)
        members = [
            Member(world.contact_id(platform, n), f"p{n:05d}@shop.example", f"person {n}") for n in range(adds + removes)
        ]
        self.leaving, self.entering = members[:removes], {m.contact_id: m for m in members[removes:]}
        self.runs, self.stage = 0, ""
        if removes:
            self._begin_with(self.leaving)

    def _begin_with(self, members: list[Member]) -> None:
        adapter, target = self.world.adapter(self.platform, batch_size=500), Target(self.platform, "VIP", TAG)
        object_id = adapter.ensure(target)
        ledger.remember_object(self.store, target, object_id, "created", NOW, "r0")
        for start in range(0, len(members), 500):
            part = members[start : start + 500]
            batch = Batch(target, object_id, TAG, tuple(part), batch_id=f"before{start}")
            journal.intend(self.store, batch, NOW, "r0")
            journal.conclude(self.store, batch, adapter.apply(batch), NOW, "r0")

    def plan(self) -> TargetPlan:
        object_id, _ = ledger.object_of(self.store, self.platform, "VIP")
        target = Target(self.platform, "VIP", TAG, object_id)
        ours = ledger.ours(self.store, self.platform, object_id)
        seen = self.world.adapter(self.platform).observe([target], {"VIP": frozenset(self.entering) | ours})[0]
        wanted = Wanted(
            target, TAG, self.entering, ours=ours, is_our_object=bool(object_id), has_go_ahead=True, is_first_fill=False
        )
        return plan_target(wanted, seen, Limits(1000, 10**6, 10**9))

    def push(self, fuse: Fuse) -> None:
        """One run: what an earlier one left open is settled, then the rest is written."""
        self.runs += 1
        self.store.revive()
        self.store.fuse = self.world.under(fuse)
        adapter, run_id = self.world.adapter(self.platform, batch_size=self.batch_size), f"r{self.runs:06d}"
        self.stage = "recovering"
        push.recover(self.store, adapter, run_id=run_id, now=lambda: NOW)
        self.stage = "pushing"
        results = push.carry_out(self.store, adapter, [self.plan()], run_id=run_id, now=lambda: NOW)
        assert all(r.error is None and not r.not_sent for r in results)

    def state(self) -> dict[str, Any]:
        """What must be the same whoever died meanwhile."""
        return {
            "live": self.world.members(self.platform, TAG),
            "ledger": set(self.store.sql("SELECT object_id, segment, contact_id, person_id FROM ledger")),
            "objects": self.store.sql("SELECT platform, name, segment, how FROM ledger_objects"),
            "parked": self.store.sql("SELECT * FROM parked"),
            "written": sorted(self.store.sql("SELECT action, count(*) FROM audit GROUP BY ALL")),
        }


@dataclass
class Deaths:
    """Dies once at every boundary of these kinds, for every batch: a batch is known by what had taken effect before it."""

    tag: Tag
    kinds: tuple[str, ...]
    died: set[tuple[str, int]] = field(default_factory=set)

    def due(self, boundary: str) -> bool:
        key = (f"{self.tag.stage}: {boundary}", len(self.tag.world.simulators[self.tag.platform].effects))
        if key in self.died or not key[0].startswith(self.kinds):
            return False
        self.died.add(key)
        return True


LAST: dict[str, tuple[str, ...]] = {
    "around the platform's taking it": ("before {}", "after {}"),
    "before a commit": ("before commit", "recovering: before commit", "recovering: after commit"),
    "after a commit": ("after commit",),
}
"""Where each batch dies, one after the other. What has taken effect is not sent again, so what comes later has its own stair.
A commit holds what became of one batch and what is about to be sent next."""


def stair(mock: responses.RequestsMock, platform: str, kinds: tuple[str, ...], adds: int, removes: int) -> None:
    """Run after run, each dying at the first boundary at which none has died, until one comes to its end."""
    unbroken = Tag(World(mock, adds + removes), platform, adds, removes)
    unbroken.push(Fuse())
    mock.reset()
    world = World(mock, adds + removes)
    tag = Tag(world, platform, adds, removes)
    batches = max(adds, removes) // 5
    named = (k.format(platform) for k in kinds)
    deaths = Deaths(tag, tuple(k if k.startswith("recovering") else f"pushing: {k}" for k in named))
    while True:
        try:
            tag.push(Fuse(deaths.due))
        except Killed:
            continue
        break
    tag.store.fuse = world.under(Fuse())
    assert tag.state() == unbroken.state()
    assert tag.state()["live"] == set(tag.entering) == {contact for _, _, contact, _ in tag.state()["ledger"]}
    assert world.doubled() == []
    assert tag.store.sql("SELECT count(*) FROM journal WHERE state NOT IN ('done', 'recovered')") == [(0,)]
    assert tag.plan().changes == () and audit.verify(tag.store).is_sound
    print(f"{platform}: died {len(deaths.died)} times in {batches} batches")
    for kind in deaths.kinds:
        assert sum(boundary.startswith(kind) for boundary, _ in deaths.died) >= batches, kind


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("last", LAST)
def test_a_push_that_dies_at_every_boundary_of_every_batch_ends_like_an_unbroken_one(
    mock: responses.RequestsMock, platform: str, last: str
) -> None:
    """Two hundred changes over the three platforms, in batches of five."""
    stair(mock, platform, LAST[last], 50, 20)


@pytest.mark.nightly
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("last", LAST)
def test_five_thousand_changes_die_at_every_boundary(mock: responses.RequestsMock, platform: str, last: str) -> None:
    stair(mock, platform, LAST[last], 4000, 1000)


# ---- whole runs: go-aheads, tags that must be made, consent read once more, three platforms


SEGMENTS = """
[[segment]]
name = "VIP"
where = "orders_total >= 1"
push = ["shopify", "mailchimp", "hubspot"]
[[segment]]
name = "Care"
where = "orders_total >= 2"
purpose = "service"
push = ["mailchimp", "hubspot"]
"""
NAMES = {"VIP": "Rollcall: VIP", "Care": "Rollcall: service Care"}
WANTS = {"VIP": range(7), "Care": range(4, 12)}
LATER = {"VIP": range(3, 9), "Care": range(2)}


class Shop:
    """An owner whose segments are filled for the first time, and change afterwards."""

    def __init__(self, mock: responses.RequestsMock, folder: Path) -> None:
        folder.mkdir()
        self.world = World(mock, 12)
        self.owner = Owner(self.world, folder, SEGMENTS)
        self.owner.pull()

    def state(self) -> dict[str, Any]:
        sql = self.owner.store.sql
        return {
            "live": {(p, name): self.world.members(p, tag) for p in PLATFORMS for name, tag in NAMES.items()},
            "ledger": set(sql("SELECT platform, segment, contact_id, person_id, is_seen FROM ledger")),
            "objects": sorted(sql("SELECT platform, name, segment, how FROM ledger_objects")),
            "go-aheads": sorted(sql("SELECT platform, segment, rule_digest, people FROM go_aheads")),
            "fills": sql("SELECT name FROM meta WHERE name LIKE 'filling:%'"),
            "parked": sql("SELECT * FROM parked"),
            "written": sorted(sql("SELECT action, platform, count(*) FROM audit GROUP BY ALL")),
            "mails": [self.world.mails(p) for p in PLATFORMS],
        }

    def must_be_settled(self) -> None:
        assert self.owner.held() == self.owner.live()
        assert self.world.doubled() == []
        assert self.owner.store.sql("SELECT count(*) FROM journal WHERE state NOT IN ('done', 'recovered')") == [(0,)]
        assert self.owner.plan(self.owner.session("plan")).changes == ()
        assert audit.verify(self.owner.store).is_sound


class Later:
    """Dies at the n-th boundary."""

    def __init__(self, n: int) -> None:
        self.left = n

    def due(self, _: str) -> bool:
        self.left -= 1
        return self.left <= 0


def test_a_segment_that_was_empty_for_a_night_is_filled_again_without_another_go_ahead(
    mock: responses.RequestsMock, tmp_path: Path
) -> None:
    """On Shopify a tag that nobody carries is not there."""
    shop = Shop(mock, tmp_path / "empty")
    for people in (range(3), range(0), range(2)):
        shop.owner.believe({"VIP": people, "Care": people})
        shop.owner.push(first=people == range(3))
    for platform in PLATFORMS:
        assert shop.world.members(platform, TAG) == {shop.world.contact_id(platform, n) for n in range(2)}
    shop.must_be_settled()


def live(shop: Shop, boundaries: range) -> int:
    """A first fill and a night in which people enter and leave; gives how many runs died.

    Each run dies one of `boundaries` later than the one before it; what it left is found by another process in the same file.
    """
    deaths = 0
    for wants in (WANTS, LATER):
        shop.owner.believe(wants)
        for boundary in boundaries:
            try:
                shop.owner.push(Fuse(Later(boundary).due))
            except Killed:
                deaths += 1
                shop.owner.reopen()
                continue
            break
        shop.owner.reopen()
        shop.owner.push()
    return deaths


NIGHTLY = (range(1, 300), range(1, 300, 2), range(2, 300, 3), range(3, 300, 4))


@pytest.mark.parametrize("boundaries", [range(2, 300, 14), *(pytest.param(b, marks=pytest.mark.nightly) for b in NIGHTLY)])
def test_whole_runs_that_die_ever_later_end_like_unbroken_ones(
    mock: responses.RequestsMock, tmp_path: Path, boundaries: range
) -> None:
    unbroken = Shop(mock, tmp_path / "unbroken")
    live(unbroken, range(0))
    unbroken.must_be_settled()
    expected = unbroken.state()
    assert expected["fills"] == [] and len(expected["go-aheads"]) == 8
    mock.reset()

    shop = Shop(mock, tmp_path / "dying")
    deaths = live(shop, boundaries)

    print(f"{deaths} runs died")
    assert deaths >= 5
    assert shop.state() == expected
    shop.must_be_settled()


# ---- the real process, at any moment at all


class Impatient(Executioner):
    """Kills the client some time after its n-th write arrived, whatever it does then."""

    def wait_for(self, victim: subprocess.Popen[str], at: int, delay_s: float) -> None:
        with self.counting:
            self.victim, self.at, self.seen, self.delay_s = victim, at, 0, delay_s

    def decide(self, platform: str, request: Request) -> Fault | None:
        with self.counting:
            self.seen += is_write(platform, request)
            if self.victim is not None and self.seen >= self.at:
                threading.Timer(self.delay_s, self.victim.kill).start()
                self.victim = None
        return None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, few_orders: Path, pulled_store: Path) -> Unbroken:
    return unbroken(tmp_path_factory.mktemp("unbroken") / "push", few_orders, SMALL, pulled_store)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(50))
def test_a_process_killed_at_a_random_moment_leaves_what_the_next_one_completes(
    tmp_path: Path, few_orders: Path, pulled_store: Path, whole: Unbroken, seed: int
) -> None:
    executioner, chance = Impatient(), random.Random(seed)
    with Story(tmp_path / "killed", few_orders, executioner) as story:
        everywhere = segments('["mailchimp", "hubspot"]').replace('"hubspot"]\n', '"hubspot", "shopify"]\n', 1)
        story.configure(everywhere, **SMALL)
        story.take_store(pulled_store)
        with executioner.counting:
            run = story.process(*FIRST)
        executioner.wait_for(run, chance.randint(1, whole.requests), chance.uniform(0, 0.1))
        run.communicate(timeout=300)
        (committed,) = story.sql("SELECT count(*) FROM journal WHERE state = 'done'")[0]
        print(f"seed {seed}: exit {run.returncode}, {committed} of {whole.steps} batches were written down")

        story.ok(*FIRST)

        assert store_dump(story, touched=True) == whole.store
        assert world_dump(story) == whole.world
        assert doubled(story.writes()) == []
        assert story.sql("SELECT count(*) FROM journal WHERE state NOT IN ('done', 'recovered')") == [(0,)]
        assert not story.ok("plan", "--as-of", AS_OF, "--json").json["has_changes"]
