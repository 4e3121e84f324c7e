"""`kill -9` in the middle of a backfill and of a push: the next run ends where an unbroken one would have."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connector.sandbox.base import Request
from connector.sandbox.faults import Fault, Faults, is_write
from tests.stories.story import AS_OF, CDNOW, Story, doubled, segments, store_dump, world_dump, write_orders

SMALL = {
    "shopify": "page_size = 10\nbatch_size = 5",
    "mailchimp": "page_size = 10\nbatch_size = 5",
    "hubspot": "batch_size = 5",
    "more": "[store]\ncommit_records = 1\n",
}
FIRST = ("push", "--first", "--as-of", AS_OF)
MOMENTS = [m if m in (3, 8) else pytest.param(m, marks=pytest.mark.nightly) for m in range(10)]
"""Ten moments in the nightly run, two of them in every run: with the last request lost, and with its effect."""


class Executioner(Faults):
    """Kills the client when its n-th request arrives. The request takes effect, or is lost with the client."""

    def __init__(self) -> None:
        super().__init__()
        self.counting = threading.Lock()
        self.arm(None, 0)

    def arm(self, victim: subprocess.Popen[str] | None, at: int, *, writes_only: bool = False, is_lost: bool = False) -> None:
        with self.counting:
            self.victim, self.at, self.writes_only, self.is_lost, self.seen = victim, at, writes_only, is_lost, 0

    def decide(self, platform: str, request: Request) -> Fault | None:
        with self.counting:
            if self.writes_only and not is_write(platform, request):
                return None
            self.seen += 1
            if self.seen != self.at or self.victim is None:
                return None
            self.victim.kill()
            self.victim.wait()
            return Fault("reset", "before") if self.is_lost else None


@dataclass
class Unbroken:
    """What a run that nobody disturbs leaves behind, and how many requests and pages or batches it took."""

    folder: Path
    requests: int
    steps: int
    store: dict[str, list[str]]
    world: dict[str, Any]


PAGES = "SELECT coalesce(sum(pages), 0)::BIGINT FROM raw_pages"
BATCHES = "SELECT count(*) FROM journal WHERE state = 'done'"


def open_story(folder: Path, orders: Path, sections: dict[str, str]) -> tuple[Story, Executioner]:
    executioner = Executioner()
    story = Story(folder, orders, executioner)
    everywhere = segments('["mailchimp", "hubspot"]').replace('"hubspot"]\n', '"hubspot", "shopify"]\n', 1)
    story.configure(everywhere, **sections)
    return story, executioner


def unbroken(folder: Path, orders: Path, sections: dict[str, str], before: Path | None) -> Unbroken:
    """A backfill, or (with the store of an earlier backfill) a push."""
    story, executioner = open_story(folder, orders, sections)
    with story:
        if before:
            story.take_store(before)
        executioner.arm(None, 0, writes_only=bool(before))
        story.ok(*(FIRST if before else ("backfill",)))
        steps = story.sql(BATCHES if before else PAGES)[0][0]
        return Unbroken(folder, executioner.seen, steps, store_dump(story, touched=bool(before)), world_dump(story))


def kill(story: Story, executioner: Executioner, args: tuple[str, ...], at: int, *, is_lost: bool) -> None:
    """Run a command as a process of its own and kill it at its `at`-th request (push: write)."""
    with executioner.counting:
        run = story.process(*args)
    executioner.arm(run, at, writes_only=args[0] == "push", is_lost=is_lost)
    run.communicate(timeout=300)
    executioner.arm(None, 0)
    assert run.returncode == -9, "it ended before it could be killed"


def moment_of(moment: int, requests: int) -> int:
    """Ten moments spread over the middle of a run; before it the platforms, asked side by side, still introduce themselves."""
    return round(requests * (0.3 + 0.06 * moment))


def check_backfill(story: Story, executioner: Executioner, whole: Unbroken, moment: int) -> None:
    at = moment_of(moment, whole.requests)
    kill(story, executioner, ("backfill",), at, is_lost=moment % 2 == 0)
    (committed,) = story.sql(PAGES)[0]
    print(f"backfill killed at request {at} of {whole.requests}: {committed} of {whole.steps} pages were committed")
    assert 0 < committed <= whole.steps  # by the last requests the fast platforms may have committed all they had

    story.ok("backfill")

    assert store_dump(story) == whole.store
    assert world_dump(story) == whole.world and not story.writes()
    listed = {name for (name,) in story.sql("SELECT file FROM raw_pages")}
    assert {p.name for p in (story.folder / "rollcall.raw").iterdir()} == listed, "no orphaned page stays"


def check_push(story: Story, executioner: Executioner, whole: Unbroken, moment: int) -> None:
    at = moment_of(moment, whole.requests)
    kill(story, executioner, FIRST, at, is_lost=moment % 2 == 0)
    (committed,) = story.sql(BATCHES)[0]
    print(f"push killed at write {at} of {whole.requests}: {committed} of {whole.steps} batches were committed")
    assert 0 < committed < whole.steps

    story.ok(*FIRST)

    assert store_dump(story, touched=True) == whole.store
    assert world_dump(story) == whole.world
    assert doubled(story.writes()) == []
    assert story.sql("SELECT count(*) FROM journal WHERE state NOT IN ('done', 'recovered')") == [(0,)]
    assert not story.ok("plan", "--as-of", AS_OF, "--json").json["has_changes"]


@pytest.fixture(scope="module")
def own_orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 customers: enough for dozens of small pages and batches."""
    return write_orders(tmp_path_factory.mktemp("orders") / "killed.csv", customers=60, seed=2)


@pytest.fixture(scope="module")
def whole_backfill(tmp_path_factory: pytest.TempPathFactory, own_orders: Path) -> Unbroken:
    return unbroken(tmp_path_factory.mktemp("unbroken") / "backfill", own_orders, SMALL, None)


@pytest.fixture(scope="module")
def whole_push(tmp_path_factory: pytest.TempPathFactory, own_orders: Path, whole_backfill: Unbroken) -> Unbroken:
    return unbroken(tmp_path_factory.mktemp("unbroken") / "push", own_orders, SMALL, whole_backfill.folder)


@pytest.fixture
def scene(tmp_path: Path, own_orders: Path) -> Iterator[tuple[Story, Executioner]]:
    story, executioner = open_story(tmp_path / "killed", own_orders, SMALL)
    with story:
        yield story, executioner


@pytest.mark.parametrize("moment", [pytest.param(3, marks=pytest.mark.nightly) if m == 3 else m for m in MOMENTS])
def test_a_killed_backfill_goes_on_where_it_stood(
    scene: tuple[Story, Executioner], whole_backfill: Unbroken, moment: int
) -> None:
    assert whole_backfill.steps >= 12
    check_backfill(*scene, whole_backfill, moment)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_push_ends_as_an_unbroken_one(
    scene: tuple[Story, Executioner], whole_push: Unbroken, whole_backfill: Unbroken, moment: int
) -> None:
    assert whole_push.steps >= 12
    scene[0].take_store(whole_backfill.folder)
    check_push(*scene, whole_push, moment)


Check = Callable[[Story, Executioner, Unbroken, int], None]


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not CDNOW.exists(), reason="the whole CDNOW file is not beside the repository")
@pytest.mark.parametrize("check", [check_backfill, check_push])
def test_the_whole_file_survives_ten_kills(tmp_path: Path, check: Check) -> None:
    """With the platforms' own pages and batches. Every kill begins from the same store."""
    before = None
    if check is check_push:
        story, _ = open_story(tmp_path / "pulled", CDNOW, {})
        with story:
            story.ok("backfill")
        before = story.folder
    whole = unbroken(tmp_path / "unbroken", CDNOW, {}, before)
    for moment in range(10):
        story, executioner = open_story(tmp_path / f"killed-{moment}", CDNOW, {})
        with story:
            if before:
                story.take_store(before)
            check(story, executioner, whole, moment)
