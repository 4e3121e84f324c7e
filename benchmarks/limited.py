"""How much of what a platform permits a backfill uses: the simulators with the documented limits on, 150 ms an answer.

Run by `benchmarks/pull.py --limits`. The budget is 95 % of the documented limit (`budget_pct`); what is counted is what the
simulator let through, and every refusal: with a whole account to itself, all of them are avoidable.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUDGET = 0.95
DELAY_S = 0.15
CUSTOMERS = {"hubspot": 30_000, "mailchimp": 45_000, "shopify": 25_000}
WORKERS = 4  # Mailchimp: requests at once, our default of the ten a user has
SETTINGS: dict[str, dict[str, Any]] = {
    "hubspot": {"token": "pat-eu1-sandbox", "workers": 4},
    "mailchimp": {
        "token": "0123456789abcdef0123456789abcdef-us1", "audience": "a1b2c3d4e5", "ecommerce": "never", "workers": WORKERS,
        "page_size": 100,  # with pages of 1000 ours would be the slower end: 4 of them are 27,000 members a second
    },
    "shopify": {"store": "sandbox-shop.myshopify.com", "token": "shpat_sandbox", "bulk": "never"},
}  # fmt: skip

CLIENT = """
import json, sys, time
from adapters import load
from connector import clock, normalize, pull, runs
from connector.store import Store
platform, settings, path = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
adapter = load(platform)(settings, now_utc=clock.now_utc, sleep=time.sleep)
translate = normalize.Normalizer(normalize.load_mapping(platform), {}, clock.now_utc().date())
with Store(path) as store:
    (count,) = pull.pull(store, adapter, translate, runs.begin(store, "bench"), streams=[adapter.contacts_stream])
print(count.stored, count.is_complete)
"""


@dataclass
class Watch:
    """What the simulator was asked and what it said."""

    at: list[float] = field(default_factory=list)
    busy_s: float = 0.0
    points: float = 0.0
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    begun: threading.local = field(default_factory=threading.local)

    def around(self, handle: Any) -> Any:
        def handled(request: Any) -> Any:
            response = handle(request)
            with self.lock:
                self.busy_s += time.monotonic() - self.begun.at
                if not request.path.endswith("/search"):
                    self.at.append(time.monotonic())
                self.refused += response.status == 429 or b"THROTTLED" in response.body
                if b'"actualQueryCost"' in response.body:
                    self.points += json.loads(response.body)["extensions"]["cost"]["actualQueryCost"] or 0
            return response

        return handled


def run(platform: str, quick: bool) -> int:
    from connector.sandbox.base import Limits
    from connector.sandbox.faults import Fault, Faults
    from connector.sandbox.orders_file import load_orders
    from connector.sandbox.server import Sandbox

    watch = Watch()

    class Slow(Faults):
        def decide(self, platform: str, request: Any) -> Fault | None:
            watch.begun.at = time.monotonic()
            return Fault("stall", "before", DELAY_S)

        def note(self, *_: Any) -> None:
            pass

    customers = CUSTOMERS[platform] // (3 if quick else 1)
    with tempfile.TemporaryDirectory() as folder:
        orders = Path(folder) / "orders.csv"
        rows = (f"{n:06d},2025-{n % 12 + 1:02d}-{n % 28 + 1:02d},10.00" for n in range(1, customers + 1))
        orders.write_text("customer_id,date,amount\n" + "\n".join(rows) + "\n")
        with Sandbox(load_orders(orders), faults=Slow(), limits=Limits(on=True)) as box:
            simulator: Any = box.simulators[platform]
            simulator.handle = watch.around(simulator.handle)
            settings = json.dumps({"tries": 8, "max_wait_s": 900, **SETTINGS[platform], "base_url": f"{box.url}/{platform}"})
            client = [sys.executable, "-c", CLIENT, platform, settings, f"{folder}/x.duckdb"]
            out = subprocess.run(client, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        gc.unfreeze()
    assert out == [str(customers), "True"], out
    took_s = watch.at[-1] - watch.at[0]
    share, said = _share(platform, watch, took_s)
    print(
        f"{platform} --limits: {share:.0%} of the budget ({said}), {watch.refused} refusals; {customers:,} contacts in "
        f"{took_s:.0f} s, {customers / took_s:,.0f} a second, {len(watch.at)} requests, {DELAY_S * 1000:.0f} ms an answer",
        flush=True,
    )
    return 0 if share >= BUDGET and not watch.refused else 1


def _share(platform: str, watch: Watch, took_s: float) -> tuple[float, str]:
    """What was used of what `BUDGET` of the limit permits in that time."""
    if platform == "hubspot":
        windows = max(1, int(took_s // 10))
        sent = sum(at < watch.at[0] + 10 * windows for at in watch.at)
        return sent / (100 * BUDGET * windows), f"100 requests in any 10 seconds, {windows} whole ones"
    if platform == "shopify":
        permitted = BUDGET * (2000 + 100 * took_s)
        return watch.points / permitted, "100 points a second and a bucket of 2,000"
    return watch.busy_s / (WORKERS * took_s), f"{WORKERS} requests at once, pages of 100"
