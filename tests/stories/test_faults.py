"""A bad day: requests fail, in every way, before and after their effect. Nothing is lost and nothing happens twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from connector.sandbox.base import Request
from connector.sandbox.faults import KINDS, WHENS, Fault, Faults, Kind, is_true, is_write
from tests.stories.story import AS_OF, Story, doubled, expected_members, plan_of, segments, store_dump, world_dump

IMPATIENT = "timeout_s = 0.3\ntries = 12\nbatch_size = 5\n"
"""A stall is longer than this time limit, so that it is met as no answer at all."""
SECTIONS = {
    "shopify": IMPATIENT + "page_size = 25",
    "mailchimp": IMPATIENT + "page_size = 25",
    "hubspot": IMPATIENT,
}
STALL_S = 0.5
HINT_S = 0.01
"""What every refusal asks a client to wait: how long platforms make one wait is no part of these stories."""
CARDS = tuple(itertools.product(KINDS, WHENS))
Combination = tuple[str, str, bool]


class EveryKind(Faults):
    """Fails every second write and every fifth read until each kind came once for both, before and after the effect."""

    def __init__(self) -> None:
        super().__init__(stall_s=STALL_S, hint_s=HINT_S)
        self.is_on = False
        self.counts = {True: 0, False: 0}
        self.dealt = {True: iter(c for c in CARDS if is_true(*c, True)), False: iter(CARDS)}

    def decide(self, platform: str, request: Request) -> Fault | None:
        if not self.is_on:
            return None
        writes = is_write(platform, request)
        with self._lock:
            self.counts[writes] += 1
            if self.counts[writes] % (2 if writes else 5):
                return None
            card = next(self.dealt[writes], None)
            return Fault(*card, STALL_S) if card else None


def occurred(story: Story) -> set[Combination]:
    """What the simulators say went wrong: kind, when, whether it was a write."""
    return {(f["kind"], f["when"], f["is_write"]) for f in story.state()["faults"]["log"]}


def everywhere() -> str:
    return segments('["mailchimp", "hubspot"]').replace('"hubspot"]\n', '"hubspot", "shopify"]\n', 1)


def live(story: Story, orders: Path) -> None:
    """A backfill, a first push, a change, and all that a sync asks of a platform; then everything must be as on a good day."""
    if not (story.folder / "rollcall.duckdb").exists():
        story.ok("backfill")
    story.ok("push", "--first", "--as-of", AS_OF)
    refused = min(expected_members(orders)["Frequent"])
    story.change([refused.removesuffix("@shop.example")], mailchimp={"consent": "unsubscribed"})
    story.ok("pull")
    story.ok("push", "--as-of", AS_OF)


def check(story: Story, orders: Path) -> None:
    expected = expected_members(orders)
    refused = min(expected["Frequent"])
    kept = {name: people - {refused} for name, people in expected.items()}
    assert story.tags() == kept
    assert {name: len(ids) for name, ids in story.lists().items()} == {name: len(people) for name, people in kept.items()}
    tagged = {c["email"] for c in story.state()["shopify"]["customers"] if "Rollcall: Frequent" in c["tags"]}
    assert tagged == kept["Frequent"]
    assert doubled(story.writes()) == []
    plan = story.ok("plan", "--as-of", AS_OF, "--json")
    assert not plan.json["has_changes"]
    for (platform, name), target in plan_of(plan).items():
        assert not sum(target["drift"].values()), (platform, name)
    assert story.sql("SELECT count(*) FROM set_aside") == [(0,)]
    assert story.sql("SELECT count(*) FROM parked") == [(0,)]


@pytest.fixture(scope="module")
def good_day(tmp_path_factory: pytest.TempPathFactory, few_orders: Path, pulled_store: Path) -> Story:
    """The same life without any fault, from an undisturbed backfill (closed: only its state is looked at)."""
    with Story(tmp_path_factory.mktemp("good") / "day", few_orders) as story:
        story.take_store(pulled_store)
        story.configure(everywhere(), **SECTIONS)
        live(story, few_orders)
        check(story, few_orders)
        story.world = world_dump(story)
    return story


def same_as(story: Story, good: Story) -> None:
    assert world_dump(story) == good.world
    ours, theirs = (store_dump(s, touched=True) for s in (story, good))
    assert set(ours["ledger"]) <= set(theirs["ledger"])
    for table in ours.keys() - {"ledger", "scores", "score_cards"}:
        assert ours[table] == theirs[table], table


@pytest.mark.timeout(600)
def test_every_kind_of_fault_on_reads_and_writes_before_and_after_the_effect(
    tell: Callable[..., Story], few_orders: Path, good_day: Story
) -> None:
    faults = EveryKind()
    story = tell(few_orders, faults=faults)
    story.configure(everywhere(), **SECTIONS)
    faults.is_on = True
    live(story, few_orders)
    faults.is_on = False
    assert occurred(story) >= {(*card, writes) for card in CARDS for writes in (True, False) if is_true(*card, writes)}
    check(story, few_orders)
    same_as(story, good_day)


def by_chance(story: Story, orders: Path, p: float, seed: int, kinds: tuple[Kind, ...] = KINDS) -> None:
    story.configure(everywhere(), **SECTIONS)
    story.control("faults", {"p": p, "seed": seed, "stall_s": STALL_S, "kinds": list(kinds), "hint_s": HINT_S})
    live(story, orders)
    story.control("faults", {"reset": True})
    log = story.state()["faults"]["log"]
    print(f"seed {seed}: {len(log)} faults: {sorted({f['kind'] for f in log})}")
    assert log
    check(story, orders)


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_two_percent_of_requests_fail_by_chance(tell: Callable[..., Story], few_orders: Path, good_day: Story) -> None:
    story = tell(few_orders)
    by_chance(story, few_orders, 0.02, 1, kinds=("429", "500", "502", "truncated"))
    same_as(story, good_day)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(6))
def test_a_tenth_of_requests_fails_by_chance(tell: Callable[..., Story], few_orders: Path, good_day: Story, seed: int) -> None:
    story = tell(few_orders)
    by_chance(story, few_orders, 0.1, seed)
    kinds = {f["kind"] for f in story.state()["faults"]["log"]}
    assert len(kinds) >= len(KINDS) - 3, "about forty faults: chance leaves out a kind or two, and each has a test of its own"
    same_as(story, good_day)


def test_a_platform_that_is_down_does_not_stop_the_others_and_nothing_is_pushed_from_half_the_facts(story: Story) -> None:
    story.configure(shopify="tries = 1", mailchimp="tries = 1", hubspot="tries = 1")
    story.control("faults", {"down": ["hubspot"]})
    answer = story.run("backfill", "--json")
    assert answer.code == 1
    assert {s["source"] for s in answer.json["streams"] if s["stored"]} == {"shopify", "mailchimp"}
    stopped = story.run("push", "--first", "--as-of", AS_OF)
    assert stopped.code in (1, 4) and not story.writes()
    story.control("faults", {"reset": True})
    story.ok("backfill")
    story.ok("push", "--first", "--as-of", AS_OF)
    assert story.tags() == expected_members(story.orders)
