"""How fast records come into the store: HubSpot contacts with 80 properties, Mailchimp members, Shopify customers.

    python benchmarks/pull.py [--quick] [--records N] [--platform hubspot] [--limits] [--profile]

Each case runs in a process of its own against `lean_server.py`, whose cost is not counted. CPU is what our own process
used, all its threads, from the first request to the last commit. Every row is compared with what the server sent.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import platform as machine
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

CASES = {
    "hubspot": ("contacts", 7_500),
    "mailchimp": ("members", 7_500),
    "shopify": ("customers", 9_000),
    "bulk": ("customers", 20_000),
}
PEAK_MB = 300
MIB = 1024


def settings(case: str, url: str) -> dict[str, Any]:
    common = {"tries": 3, "timeout_s": 60, "connect_timeout_s": 5, "max_wait_s": 60, "prefix": "Rollcall: "}
    own: dict[str, dict[str, Any]] = {
        "hubspot": {"token": "pat-eu1-bench", "attributes": {"one": "custom_0"}},
        "mailchimp": {"token": "0123456789abcdef0123456789abcdef-us1", "audience": "a1b2c3d4e5", "ecommerce": "never"},
        "shopify": {"store": "bench.myshopify.com", "token": "shpat_bench", "bulk": "never"},
        "bulk": {"store": "bench.myshopify.com", "token": "shpat_bench", "bulk": "always"},
    }
    return {**common, **own[case], "base_url": f"{url}/{'shopify' if case == 'bulk' else case}"}


def child(case: str, url: str, records: int, profile: bool, commit: int) -> int:
    """Pull once and print one line of figures."""
    from adapters import load
    from connector import clock, normalize, pull, runs
    from connector.store import Store

    stream, bar = CASES[case]
    name = "shopify" if case == "bulk" else case
    adapter = load(name)(settings(case, url), now_utc=clock.now_utc, sleep=time.sleep)
    mapping = normalize.load_mapping(name)
    attributes = settings(case, url).get("attributes", {})
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "bench.duckdb")
        run = runs.begin(store, "bench")
        own_prefix = "" if name == "hubspot" else "Rollcall: "
        translate = normalize.Normalizer(mapping, attributes, clock.now_utc().date(), own_prefix=own_prefix)
        watch = cProfile.Profile() if profile else None
        begun, cpu, system = time.perf_counter(), _cpu_s(), _system_s()
        if watch:
            watch.enable()
        (count,) = pull.pull(store, adapter, translate, run, streams=[stream], commit_records=commit)
        if watch:
            watch.disable()
        wall_s, cpu_s, system_s = time.perf_counter() - begun, _cpu_s() - cpu, _system_s() - system
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
        yardstick_ms = _yardstick_ms()
        wrong = check(store, name, records, count.unchanged)
        size_mb = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()) / MIB**2
        store.close()
    assert (count.stored, count.set_aside, count.is_complete) == (records, 0, True), count
    rate = records / cpu_s
    print(
        f"{case}: {rate:,.0f} records per CPU second ({'ok' if rate >= bar else 'below'} {bar:,}), {records / wall_s:,.0f} per wall "
        f"second, peak {peak_mb:.0f} MB ({'ok' if peak_mb < PEAK_MB else 'above'} {PEAK_MB}); CPU {cpu_s:.2f} s, "
        f"{system_s:.2f} of it in the system; {records:,} {stream}, {count.pages} "
        f"pages, {size_mb:.0f} MB on disk, {wrong} wrong rows; Python {machine.python_version()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}, yardstick {yardstick_ms:.0f} ms, commits of {commit:,} records, raw pages kept",
        flush=True,
    )
    if watch:
        pstats.Stats(watch).sort_stats("tottime").print_stats(28)
    return 1 if wrong else 0


def check(store: Any, name: str, records: int, read_again: int) -> int:
    """How many contacts, identifiers or raw records are not what the server sent."""
    from benchmarks.lean_server import expected

    rows = {
        r[0].lstrip("0"): r
        for r in store.sql("SELECT contact_id, email, first_name, city FROM contacts WHERE source = ?", [name])
    }
    wrong = abs(len(rows) - records)
    for n in range(records):
        want = expected(name, n)
        found = rows.get(want[0])
        wrong += found is None or tuple(found[1:]) != want[1:]
    emails = store.value("SELECT count(DISTINCT value) FROM identifiers WHERE kind = 'email'")
    held = store.value("SELECT count(DISTINCT record_id) FROM source_records WHERE state = 'live'")
    kept = store.value("SELECT sum(records) FROM raw_pages") - read_again
    snapshots = store.value("SELECT count(DISTINCT record_id) FROM snapshots")
    return wrong + sum(abs(int(n or 0) - records) for n in (emails, held, kept, snapshots))


def _yardstick_ms() -> float:
    """CPU time of a fixed piece of work: 50 to 60 on the machine of our published figures when it is quiet."""
    begun, total = _cpu_s(), 0
    for i in range(1_000_000):
        total += i * i % 7
    return (_cpu_s() - begun) * 1000


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _system_s() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_stime


def run(case: str, records: int, *extra: str) -> int:
    """One case: a server and a client, each in its own process."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = [sys.executable, str(ROOT / "benchmarks/lean_server.py"), "--records", str(records)]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True, env=env) as serving:
        try:
            assert serving.stdout is not None
            url = serving.stdout.readline().split()[1]
            client = [
                sys.executable,
                str(ROOT / "benchmarks/pull.py"),
                "--child",
                url,
                "--platform",
                case,
                "--records",
                str(records),
            ]
            return subprocess.run([*client, *extra], env=env, check=False).returncode
        finally:
            serving.terminate()


def main() -> int:
    from connector.pull import COMMIT_RECORDS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--platform", choices=CASES, action="append", help="only this one (may be repeated)")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="a tenth of the records")
    parser.add_argument(
        "--limits", action="store_true", help="150 ms an answer and the documented limits: how much of them is used"
    )
    parser.add_argument("--profile", action="store_true", help="where the time goes (slows the run itself down)")
    parser.add_argument(
        "--commit", type=int, default=COMMIT_RECORDS, help="records a commit; store.commit_records of the configuration"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        return child(asked.platform[0], asked.child, asked.records, asked.profile, asked.commit)
    if asked.limits:
        from benchmarks import limited

        return max(limited.run(case, asked.quick) for case in asked.platform or ("hubspot", "mailchimp", "shopify"))
    records = asked.records // 10 if asked.quick else asked.records
    extra = ["--commit", str(asked.commit), *(["--profile"] if asked.profile else [])]
    return max(run(case, records, *extra) for case in asked.platform or CASES)


if __name__ == "__main__":
    raise SystemExit(main())
