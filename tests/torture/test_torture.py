"""A bad night, on purpose: one request in twenty fails in every way there is, records change while they are read, and the
process is killed again and again. What is in the store at the end must be what the platform has, each record once.

The seeds are printed. `make torture` runs all of it; `make test` one short night.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from connector.sandbox.base import Request
from connector.sandbox.faults import KINDS, Fault, Faults
from connector.sandbox.orders_file import load_orders
from connector.sandbox.server import Sandbox

VICTIM = Path(__file__).with_name("victim.py")
PLATFORMS = ("shopify", "mailchimp", "hubspot")
PAGE = {"shopify": 25, "mailchimp": 25, "hubspot": 100}
TABLES = ("contacts", "identifiers", "consents", "addresses", "orders", "order_lines", "refunds", "products", "events")
CUSTOMERS = {"shopify": 400, "mailchimp": 400, "hubspot": 1500}
FIRST_KILL = {"shopify": 0.55, "mailchimp": 0.55, "hubspot": 0.35}
"""Where the first kill falls, as a share of all pages: in the middle of the contacts, which HubSpot has at the beginning."""
FAULTS = 0.05
LATENCY_S = 0.03
"""Of every answer, so that a client that reads ahead is killed with pages stored, not before the first of them."""


class Night(Faults):
    """Faults by chance; besides, it changes a customer every few pages and kills its victim at the n-th."""

    def __init__(self, seed: int) -> None:
        super().__init__(p=FAULTS, seed=seed, stall_s=2.5)
        self.chance = random.Random(seed)
        self.counting = threading.Lock()
        self.sandbox: Sandbox | None = None
        self.victim: subprocess.Popen[str] | None = None
        self.at = self.seen = self.changed = 0
        self.every = 0
        self.latency = threading.Event()

    def arm(self, victim: subprocess.Popen[str] | None, at: int) -> None:
        with self.counting:
            self.victim, self.at, self.seen = victim, at, 0

    def decide(self, platform: str, request: Request) -> Fault | None:
        with self.counting:
            self.seen += is_page(platform, request)
            if self.every and self.seen % self.every == 0:
                self._change()
            if self.victim is not None and self.seen == self.at:
                self.victim.kill()
                self.victim.wait()
                return Fault("reset", "before")
        self.latency.wait(LATENCY_S)
        return super().decide(platform, request)

    def _change(self) -> None:
        assert self.sandbox is not None
        customer = f"{self.chance.randrange(1, 200):05d}"
        self.changed += 1
        self.sandbox.change([customer], {"last_name": f"Changed {self.changed}"})


def is_page(platform: str, request: Request) -> bool:
    """Whether a request asks for a page of records; the others introduce the account."""
    if platform == "shopify":
        return b"(first:$first, after:$after" in request.body
    if platform == "hubspot":
        return request.method == "GET" and "/crm/objects/" in request.path
    return request.path.endswith("/members") and request.param("count") != "1"


@dataclass
class Account:
    """What the runs of one night said."""

    kills: int = 0
    stored_before: list[int] = field(default_factory=list)
    again: int = 0


@contextlib.contextmanager
def sandbox(folder: Path, night: Night, customers: int) -> Iterator[Sandbox]:
    file = folder / "orders.csv"
    rows = [f"{n:05d},2026-0{n % 9 + 1}-1{n % 9},{n % 90 + 10}.50" for n in range(1, customers + 1)]
    file.write_text("customer_id,date,amount\n" + "\n".join(rows) + "\n")
    with Sandbox(load_orders(file), faults=night) as box:
        night.sandbox = box
        yield box
    gc.unfreeze()


def start(platform: str, url: str, store: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(VICTIM), platform, url, str(store)]
    env = {**os.environ, "PYTHONPATH": str(VICTIM.parents[2])}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def pull(platform: str, url: str, store: Path) -> list[dict[str, Any]]:
    """An undisturbed run."""
    run = start(platform, url, store)
    out, err = run.communicate(timeout=280)
    assert run.returncode == 0, err[-2000:]
    counts: list[dict[str, Any]] = json.loads(out)
    assert all(c["is_complete"] for c in counts), counts
    assert all(c["fetched"] == c["stored"] + c["unchanged"] + c["set_aside"] for c in counts)
    return counts


def kill(platform: str, url: str, store: Path, night: Night, at: int) -> bool:
    """A run that is killed at its `at`-th page; False when it ended before."""
    run = start(platform, url, store)
    night.arm(run, at)
    run.communicate(timeout=280)
    night.arm(None, 0)
    assert run.returncode in (0, -9), run.returncode
    return run.returncode == -9


def held(store: Path) -> dict[str, list[str]]:
    """What the store says of the platform, without our own run ids and times."""
    found = {}
    with duckdb.connect(str(store), read_only=True) as db:
        for table in TABLES:
            found[table] = sorted(map(repr, db.execute(f"SELECT * FROM {table}").fetchall()))
        records = "SELECT stream, record_id, content_hash, state FROM source_records ORDER BY ALL"
        found["records"] = list(map(repr, db.execute(records).fetchall()))
    return found


def records(store: Path) -> int:
    with duckdb.connect(str(store), read_only=True) as db:
        return int(db.execute("SELECT count(*) FROM source_records").fetchall()[0][0])


def no_record_twice(store: Path) -> bool:
    with duckdb.connect(str(store), read_only=True) as db:
        return not db.execute(
            "SELECT source, stream, record_id FROM source_records GROUP BY ALL HAVING count(*) > 1"
        ).fetchall()


def part(platform: str, folder: Path, box: Sandbox, night: Night, kills: int, requests: int) -> Account:
    """One pull, killed `kills` times on its way, then left to come to its end."""
    told, store = Account(), folder / "tortured.duckdb"
    for n in range(kills):
        at = max(3, round(requests * FIRST_KILL[platform] * night.chance.uniform(0.9, 1.15) / (1 + n / 2)))
        told.kills += kill(platform, box.url, store, night, at)
        told.stored_before.append(records(store) if store.exists() else 0)
    counts = pull(platform, box.url, store)
    told.again = sum(c["unchanged"] for c in counts)
    return told


def torture(platform: str, seed: int, folder: Path, *, kills: int, customers: int) -> None:
    night = Night(seed)
    with sandbox(folder, night, customers) as box:
        whole = folder / "first.duckdb"
        night.p, night.at = 0.0, 0
        pull(platform, box.url, whole)
        requests = night.seen
        night.seen, night.p, night.every = 0, FAULTS, 3

        first = part(platform, folder, box, night, kills, requests)
        print(f"{platform}, seed {seed}: {requests} pages undisturbed; killed {first.kills} times, records held then "
              f"{first.stored_before}; {first.again} met again in the last run; {night.changed} changes underneath")  # fmt: skip
        assert first.kills
        assert any(0 < n < records(whole) for n in first.stored_before), "no kill fell between first and last page"
        for _ in range(5):
            night._change()
        second = part(platform, folder, box, night, kills, max(6, requests // 4))
        print(f"  then a pull of what changed: killed {second.kills} times; faults so far {len(night.log)} of "
              f"{sorted({f['kind'] for f in night.log})}")  # fmt: skip
        night.every, night.p = 0, 0.0
        pull(platform, box.url, folder / "tortured.duckdb")
        pull(platform, box.url, folder / "fresh.duckdb")

        tortured, fresh = held(folder / "tortured.duckdb"), held(folder / "fresh.duckdb")
        for table in fresh:
            assert tortured[table] == fresh[table], table
        assert no_record_twice(folder / "tortured.duckdb")


def test_a_short_bad_night(tmp_path: Path) -> None:
    torture("mailchimp", 1, tmp_path, kills=1, customers=200)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_bad_night(platform: str, seed: int, tmp_path: Path) -> None:
    torture(platform, seed, tmp_path, kills=3, customers=CUSTOMERS[platform])


@pytest.mark.nightly
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_kill_costs_at_most_one_page_of_what_was_stored(platform: str, tmp_path: Path) -> None:
    """Without changes underneath: what was committed before a kill is not stored again, and one page at most is met again."""
    night = Night(4)
    night.p = 0.0
    with sandbox(tmp_path, night, CUSTOMERS[platform]) as box:
        pull(platform, box.url, tmp_path / "first.duckdb")
        requests, whole = night.seen, records(tmp_path / "first.duckdb")
        baseline = sum(c["unchanged"] for c in pull(platform, box.url, tmp_path / "again.duckdb"))
        store = tmp_path / "tortured.duckdb"
        for share in (0.2, 0.3):
            before = records(store) if store.exists() else 0
            assert kill(platform, box.url, store, night, round(requests * share))
            print(f"{platform}: {before} records held before, {records(store)} of {whole} after a kill")
        before = records(store)
        counts = pull(platform, box.url, store)
        again = sum(c["unchanged"] for c in counts) - baseline
        print(f"{platform}: {before} of {whole} held before the last run; it met {again} of them again, page {PAGE[platform]}")
        assert 0 < before < whole
        assert sum(c["stored"] for c in counts) == whole - before
        assert again <= PAGE[platform]


def test_every_kind_of_fault_is_dealt_early() -> None:
    """So that a night of a few hundred requests meets them all."""
    night = Night(1)
    night.p = 1.0
    request = Request("GET", "/3.0/lists")
    assert {(f.kind, f.when) for f in (night.decide("mailchimp", request) for _ in range(12)) if f} >= {
        (k, "after") for k in KINDS
    }
