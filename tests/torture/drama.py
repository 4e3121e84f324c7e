"""The acts of a torture: backfill, pull of what changed, full reads; each killed again and again on its way."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from connector import clock
from connector.sandbox.faults import ALL_KINDS, Kind
from connector.sandbox.server import Sandbox
from tests.torture.account import Told, differences, gone, records, run, under_way
from tests.torture.night import GRACE_S, Moment, Night
from tests.torture.world import HeldClock, World, shop

log = logging.getLogger(__name__)

VICTIM = Path(__file__).with_name("victim.py")
MOST_RUNS = 40
"""A fault that ends a run is met by the next run; more runs than that are no progress."""
WAIT_S = 120


@dataclass(frozen=True)
class Case:
    """What is pulled, how, and when it is killed in each act."""

    platform: str
    customers: int
    mailings: int
    backfill: tuple[Moment, ...]
    pull: tuple[Moment, ...]
    full: tuple[Moment, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    changes: int = 14
    """How many things happen before the pull of what changed."""
    switches: dict[str, Any] = field(default_factory=dict)
    endings: tuple[str, ...] = ()
    """How the exports of a bad night end, one after another; '' is well."""
    spared: str = "none"
    """The part of the requests that meets no fault."""


@dataclass
class Stage:
    """One platform on its sandbox, in the middle of a night."""

    case: Case
    folder: Path
    box: Sandbox
    world: World
    night: Night
    kills: int = 0

    @property
    def store(self) -> Path:
        return self.folder / "tortured.duckdb"

    def run(self, store: Path, **options: Any) -> Told:
        return run(self.case.platform, self.box.url, store, **self.case.settings, **options)

    def calmly(self, store: Path, **options: Any) -> Told:
        """An undisturbed run, which must be complete."""
        self.night.calm()
        told = self.run(store, **options)
        assert told.is_complete, told
        return told

    def rehearsed(self, **options: Any) -> Counter[str]:
        """How many requests an unbroken run from here on makes for each part; the store itself is left as it is."""
        copy = self.folder / "rehearsal.duckdb"
        copy.unlink(missing_ok=True)
        if self.store.exists():
            shutil.copy(self.store, copy)
        self.night.begin()
        self.calmly(copy, **options)
        return Counter(self.night.asked)

    def process(self, **options: Any) -> subprocess.Popen[str]:
        words = json.dumps({**self.case.settings, **options})
        command = [sys.executable, str(VICTIM), self.case.platform, self.box.url, str(self.store), words]
        env = {**os.environ, "TMPDIR": str(self.folder)}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)

    def killed(self, moment: Moment, nth: int, **options: Any) -> None:
        """Runs until one is killed. One that a fault has ended before is followed by the next; none may come to its end."""
        for _ in range(MOST_RUNS):
            victim = self.process(**options)
            self.night.arm(victim, moment.part, nth, 0.0 if moment.at_once else GRACE_S)
            out, err = victim.communicate(timeout=WAIT_S)
            if victim.returncode == -9:
                self.kills += 1
                return
            assert victim.returncode == 0, err[-2000:]
            streams, error = json.loads(out)
            told = Told(streams, error)
            assert not told.is_complete, f"it ended before it could be killed at {moment}: {dict(self.night.given)}"
            assert told.words, told
            log.info("ended before %s: %s", moment, told.words)
        raise AssertionError(f"no run reached {moment}")

    def to_the_end(self, **options: Any) -> Told:
        """Runs until one is complete; each that is not must say why."""
        for _ in range(MOST_RUNS):
            told = self.run(self.store, **options)
            if told.is_complete:
                return told
            assert told.words, told
            log.info("not complete: %s", told.words)
        raise AssertionError(f"it never comes to its end: {told.words}")

    def act(self, moments: Sequence[Moment], **options: Any) -> str:
        """One act, killed at every moment, then left to come to its end. What it was like, in words."""
        wanted = self.rehearsed(**options) if any(m.nth is None for m in moments) else Counter[str]()
        self.night.begin()
        self.night.is_bad = self.night.is_changing = True
        told = []
        for moment in moments:
            nth = moment.nth or max(1, round(wanted[moment.part] * moment.share))
            assert moment.nth or wanted[moment.part], f"an unbroken run asks for no {moment.part}: {dict(wanted)}"
            self.killed(moment, nth, **options)
            is_inside = moment.stream in under_way(self.store, is_full_read="full_since" in options)
            assert is_inside or moment.at_once, moment
            of = f" of {wanted[moment.part]}" if wanted else ""
            told.append(f"{moment.part} {nth}{of}, {len(records(self.store))} records held")
        self.to_the_end(**options)
        self.night.calm()
        return f"{wanted['*'] or '?'} requests unbroken; killed at {'; '.join(told) or 'no moment'}"

    def check(self, *, after_full_read: bool) -> None:
        """The same as a read in one go of the world as it is now."""
        self.calmly(self.store)
        fresh = self.folder / "fresh.duckdb"
        fresh.unlink(missing_ok=True)
        self.calmly(fresh)
        unless = self.world.is_history if after_full_read else self.world.is_unseen
        found = differences(self.store, fresh, unless=unless)
        assert not found, f"{len(found)} differences after {self.world.done}: " + "\n".join(found[:10])
        if after_full_read:
            ended = {key for key in gone(self.store) if not unless(key)}
            assert ended == {key for key in records(self.store) - records(fresh) if not unless(key)}
            assert set(gone(self.store).values()) <= {"gone", "archived", "merged", "erased"}


@contextlib.contextmanager
def stage(case: Case, seed: int, folder: Path, kinds: Sequence[Kind] = ALL_KINDS) -> Iterator[Stage]:
    held = HeldClock()
    with Sandbox(shop(case.customers, seed, case.mailings), clock=held) as box:
        world = World(case.platform, box, held, seed)
        night = Night(case.platform, seed, world, kinds)
        night.endings, night.spared = list(case.endings), case.spared
        box.faults = night
        box.switch({case.platform: case.switches})
        yield Stage(case, folder, box, world, night)
    gc.unfreeze()


def torture(case: Case, seed: int, folder: Path, kinds: Sequence[Kind] = ALL_KINDS) -> Stage:
    """A whole night. Prints its seed and its moments, so that it can be had again."""
    with stage(case, seed, folder, kinds) as s:
        name = f"{case.platform}{' ' + str(case.settings) if case.settings else ''}, seed {seed}"
        print(f"\n{name}: backfill, {s.act(case.backfill)}")
        for _ in range(case.changes):
            s.world.change()
        print(f"{name}: changes, {s.act(case.pull)}")
        s.check(after_full_read=False)
        if case.full:
            s.world.departed = 1000  # whoever left during one full read is known after two more only
            print(f"{name}: full reads, {s.act(case.full, full_since=_now())}")
            for _ in range(2):
                s.calmly(s.store, full_since=_now())
            s.check(after_full_read=True)
        dealt = Counter(f["kind"] for f in s.night.log)
        print(f"{name}: {s.kills} kills, {len(s.world.done)} changes ({dict(Counter(s.world.done))}), faults {dict(dealt)}")
        return s


def _now() -> str:
    return clock.now_utc().isoformat()
