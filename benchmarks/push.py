"""How fast memberships are planned and written: the simulators with the documented limits on, 150 ms an answer.

    python benchmarks/push.py [--quick] [--assert] [--platform hubspot] [--changes N] [--tags N] [--plan]

Writing: three quarters of the changes enter, one quarter leaves, spread over some tags or lists; the client is a process of
its own. The budget is what the platform permits in that time: 95 % of HubSpot's and Shopify's limits, which leave the rest to
other apps; four requests at once on Mailchimp. Shopify's jobs take next to no points: there the budget is what its points
alone would permit, and a fiftieth of the changes goes without jobs to show the pace. Afterwards the platform must hold exactly
who was wanted, and the ledger exactly that. Planning (`--plan`, and without `--platform`): a million memberships, from the
store and an observed platform to a finished plan, in a first fill and on an ordinary night.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform as machine
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import planning  # noqa: E402  # the path has to be there first
from benchmarks.limited import BUDGET, DELAY_S, WORKERS, Watch  # noqa: E402  # the path has to be there first

BAR = 0.90
PLATFORMS = ("hubspot", "mailchimp", "shopify", "shopify-requests")
SETTINGS: dict[str, dict[str, Any]] = {
    "hubspot": {"token": "pat-eu1-sandbox", "batch_size": 100},  # with 1,000 ids a call the limit would hardly be met
    "mailchimp": {
        "token": "0123456789abcdef0123456789abcdef-us1", "audience": "a1b2c3d4e5", "ecommerce": "never", "workers": WORKERS,
        "batch_size": 100,  # with 500 the simulator, which shares the machine with us, would be the slower end
    },
    "shopify": {"store": "sandbox-shop.myshopify.com", "token": "shpat_sandbox"},
    "shopify-requests": {"store": "sandbox-shop.myshopify.com", "token": "shpat_sandbox", "bulk": "never"},
}  # fmt: skip
CHANGES, TAGS = 100_000, 8
ONE_BY_ONE = 50  # without jobs Shopify takes ten points a change: one in so many shows the pace
POINTS = 10
LEAVING = 4  # one in so many
WORLD = "world.json"


@dataclass(frozen=True)
class Tag:
    """One tag or list: who is in it before, who is to be in it afterwards; people by number."""

    segment: str
    object_id: str
    before: range
    after: range

    @property
    def name(self) -> str:
        return f"Rollcall: {self.segment}"


def tags(changes: int, count: int) -> list[tuple[str, range, range]]:
    """(segment, members before, members wanted) so that all together move `changes` times."""
    each = changes // count
    leaving = each // LEAVING
    return [(f"Segment {k}", range(leaving), range(leaving, each)) for k in range(count)]


# ---- writing: the platform's side


def write(case: str, changes: int, count: int) -> int:
    """One platform; 1 when it stays below the bar."""
    from connector.sandbox.base import Limits
    from connector.sandbox.faults import Fault, Faults
    from connector.sandbox.server import Sandbox
    from connector.sandbox.shop import Customer, Shop

    watch, platform = Watch(), case.partition("-")[0]

    class Slow(Faults):
        def decide(self, platform: str, request: Any) -> Fault | None:
            watch.begun.at = time.monotonic()
            return Fault("stall", "before", DELAY_S)

        def note(self, *_: Any) -> None:
            pass

    born = datetime(2026, 1, 1)
    consent = {"shopify": "SUBSCRIBED", "mailchimp": "subscribed", "hubspot": "opted_in"}
    on = frozenset((platform,))
    people = [Customer(f"p{n}", f"p{n}@bench.example", born, born, on=on, consent=consent) for n in range(changes // count)]
    wanted = tags(changes, count)
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox(Shop("Bench", "EUR", "UTC", people, [], [], []), faults=Slow(), limits=Limits(on=True)) as box,
    ):
        simulator: Any = box.simulators[platform]
        simulator.handle = watch.around(simulator.handle)
        held = Held(platform, simulator, len(people))
        made = [Tag(name, held.fill(f"Rollcall: {name}", before), before, after) for name, before, after in wanted]
        world = {
            "settings": {"tries": 8, "max_wait_s": 900, "prefix": "Rollcall: ", **SETTINGS[case], "base_url": f"{box.url}/{platform}"},
            "people": held.ids,
            "tags": [[t.segment, t.object_id, t.before.stop, t.after.stop] for t in made],
        }  # fmt: skip
        (Path(folder) / WORLD).write_text(json.dumps(world))
        client = [sys.executable, str(ROOT / "benchmarks/push.py"), "--child", folder, "--platform", platform]
        with subprocess.Popen(client, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            running.stdout.readline()  # what was read for the plan is not counted
            watch.at.clear()
            watch.busy_s = watch.points = 0.0
            told = json.loads(running.stdout.readline())
        wrong = sum(len(held.members(t.name) ^ {held.ids[n] for n in t.after}) for t in made) + told["wrong"]
    gc.unfreeze()
    took_s = watch.at[-1] - watch.at[0]
    share, said = _share(case, watch, took_s, changes)
    is_good = share >= BAR and not wrong and not watch.refused
    print(
        f"{case} push: {_of(share)} the budget ({'ok' if is_good else 'below'} {BAR:.0%}; {said}), {watch.refused} "
        f"refusals, {wrong} wrong memberships; {told['done']:,} changes of {changes:,} in {took_s:.0f} s, "
        f"{changes / took_s:,.0f} a second, {len(watch.at)} requests, {count} tags, "
        f"{SETTINGS[case].get('batch_size', 'usual')} a batch; client {told['cpu_s']:.1f} s CPU, peak {told['peak_mb']:.0f} MB; "
        f"{DELAY_S * 1000:.0f} ms an answer, {_machine()}",
        flush=True,
    )
    return 0 if is_good else 1


class Held:
    """What a simulated platform holds, put there and looked up without a request."""

    def __init__(self, platform: str, simulator: Any, people: int) -> None:
        self.platform, self.simulator = platform, simulator
        self.ids = [self._contact(n) for n in range(people)]

    def _contact(self, n: int) -> str:
        if self.platform == "hubspot":
            return str(self.simulator.customers[f"p{n}"])
        if self.platform == "mailchimp":
            account = self.simulator.account
            return str(account.members[account.by_customer[f"p{n}"]].wire["id"])
        return str(self.simulator.world.by_source[f"p{n}"].number)

    def fill(self, name: str, people: range) -> str:
        """The id of a tag or list with these people in it."""
        if self.platform == "hubspot":
            return str(self.simulator.add_list(name, "MANUAL", tuple(f"p{n}" for n in people)).id)
        if self.platform == "mailchimp":
            account = self.simulator.account
            tag = account.add_tag(name)
            for n in people:
                account.set_tag(account.members[account.by_customer[f"p{n}"]], tag, True, quiet=True)
            return str(tag.tag_id)
        for n in people:
            self.simulator.world.by_source[f"p{n}"].tags.append(name)
        return name

    def members(self, name: str) -> set[str]:
        if self.platform == "hubspot":
            return {str(m) for one in self.simulator.lists.lists.values() if one.name == name for m in one.members}
        if self.platform == "mailchimp":
            account = self.simulator.account
            return {account.members[uid].wire["id"] for uid in account.tag_named(name).members}
        return {str(c.number) for c in self.simulator.world.by_source.values() if name in c.tags}


def _share(case: str, watch: Watch, took_s: float, changes: int) -> tuple[float, str]:
    """What was used of what is permitted in that time, and of what."""
    if case == "hubspot":
        windows = max(1, int(took_s // 10))
        sent = sum(at < watch.at[0] + 10 * windows for at in watch.at)
        return sent / (100 * BUDGET * windows), f"100 requests in any 10 seconds, {windows} whole ones"
    if case.startswith("shopify"):
        used = POINTS * changes if case == "shopify" else watch.points
        return used / (BUDGET * (2000 + 100 * took_s)), "100 points a second and a bucket of 2,000"
    return watch.busy_s / (WORKERS * took_s), f"{WORKERS} requests at once"


def _of(share: float) -> str:
    return f"{share:.0%} of" if share < 2 else f"{share:.0f} times"


def _machine() -> str:
    return f"Python {machine.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ---- writing: our side


def child(platform: str, folder: Path) -> int:
    """Plan against what is known to be there, write it, and compare the ledger."""
    from adapters import load
    from connector import clock, ledger, push, runs
    from connector.plan import Limits, Wanted, plan_target
    from connector.store import Store
    from models.changes import Member, Observed, Target

    world = json.loads((folder / WORLD).read_text())
    ids: list[str] = world["people"]
    members = [Member(i, f"p{n}@bench.example" if platform == "mailchimp" else "", f"person {n}") for n, i in enumerate(ids)]
    made = [Tag(segment, object_id, range(b), range(b, a)) for segment, object_id, b, a in world["tags"]]
    adapter = load(platform)(world["settings"], now_utc=clock.now_utc, sleep=clock.sleep)
    with Store(folder / "bench.duckdb") as store:
        plans = []
        for tag in made:
            target = Target(platform, tag.segment, tag.name, tag.object_id)
            ledger.remember_object(store, target, tag.object_id, "created", clock.now_utc(), "r0")
            before = [(ids[n], members[n].person_id) for n in tag.before]
            fixed = {"platform": platform, "object_id": tag.object_id, "segment": tag.segment, "run_id": "r0", "is_seen": True}
            store.append("ledger", ("contact_id", "person_id"), before, fixed)
            there = frozenset(ids[n] for n in tag.before)
            wanted = Wanted(
                target, tag.name, {ids[n]: members[n] for n in tag.after}, ours=there, is_our_object=True, has_go_ahead=True,
                is_first_fill=False,
            )  # fmt: skip
            seen = Observed(target, True, tag.object_id, tag.name, there)
            plans.append(plan_target(wanted, seen, Limits(100, 10_000, 10**9)))
        if platform == "mailchimp":  # it wants addresses, and learns them while it looks what is there
            adapter.observe([p.target for p in plans], {})
        run, begun = runs.begin(store, "bench"), time.process_time()
        print("writing", flush=True)
        results = push.carry_out(store, adapter, plans, run_id=run, now=clock.now_utc)
        cpu_s = time.process_time() - begun
        wrong = sum(len(ledger.ours(store, platform, t.object_id) ^ {ids[n] for n in t.after}) for t in made)
        wrong += int(store.value("SELECT count(*) FROM journal WHERE state <> 'done'"))
    done = sum(r.counts.get("done", 0) for r in results)
    print(json.dumps({"done": done, "wrong": wrong, "cpu_s": cpu_s, "peak_mb": _peak_mb()}))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--platform", choices=PLATFORMS, action="append", help="only this one (may be repeated)")
    parser.add_argument("--changes", type=int, default=CHANGES)
    parser.add_argument("--tags", type=int, default=TAGS, help="so many tags or lists they are spread over")
    parser.add_argument("--quick", action="store_true", help="a fifth of the changes, a tenth of the plan")
    parser.add_argument("--plan", action="store_true", help="planning only")
    parser.add_argument("--assert", dest="must", action="store_true", help="exit code 1 below the bar")
    parser.add_argument("--child-plan", choices=("first", "night"), help=argparse.SUPPRESS)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        return child(asked.platform[0], asked.child)
    if asked.child_plan:
        return planning.child(asked.changes, asked.child_plan == "first")
    found = []
    if not asked.plan:
        changes = asked.changes // 5 if asked.quick else asked.changes
        sizes = {p: changes // ONE_BY_ONE if p == "shopify-requests" else changes for p in asked.platform or PLATFORMS}
        found += [write(p, size, asked.tags) for p, size in sizes.items()]
    if asked.plan or not asked.platform:
        found.append(planning.run(planning.MEMBERSHIPS // (10 if asked.quick else 1)))
    return max(found) if asked.must else 0


if __name__ == "__main__":
    raise SystemExit(main())
