"""How long a plan of a million memberships takes, and how much memory, from the store to the finished plan.

Run by `benchmarks/push.py --plan`. The platform is one that answers at once, so that only our own work is counted: consent,
desired membership, ledger, the difference, its order, its digest. Four segments of a quarter million people each.
"""

from __future__ import annotations

import json
import os
import platform as machine
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from adapters.base import Account, Adapter, Cursor, Finding, Page, Stream
from models.changes import Batch, Observed, Outcome, Target

ROOT = Path(__file__).resolve().parent.parent
MEMBERSHIPS, SEGMENTS = 1_000_000, 4
BAR_S = 30.0
PEAK_MB = 2048
MOVED = 100  # on an ordinary night one in so many is new, and as many have left
TOML = """
[shop]
name = "Bench"
timezone = "UTC"
[mailchimp]
base_url = "http://127.0.0.1:9/mailchimp"
token = "file:token"
audience = "a1b2c3d4e5"
[guards]
max_change_count = 1000000000
max_age_hours = 876000
[store]
memory_limit = "500MB"
"""


class Still(Adapter):
    """A platform that answers from memory: who is in each tag."""

    name, title, noun, batch_size, contacts_stream = "mailchimp", "Mailchimp", "Mailchimp tag", 500, "members"

    def __init__(self, held: dict[str, frozenset[str]]) -> None:
        super().__init__({}, now_utc=lambda: datetime(2026, 11, 21), sleep=time.sleep)
        self.held = held

    def account(self) -> Account:
        return Account("bench", "Bench")

    def observe(self, targets: Sequence[Target], maybe: dict[str, frozenset[str]]) -> list[Observed]:
        return [Observed(t, t.segment in self.held, t.segment, t.name, self.held.get(t.segment, frozenset())) for t in targets]

    def check(self) -> list[Finding]:
        return []

    def streams(self) -> tuple[Stream, ...]:
        return ()

    def pages(self, stream: str, cursor: Cursor | None, *, full: bool = False, since: datetime | None = None) -> Iterator[Page]:
        yield Page([], {}, done=True)

    def reread(self, contact_ids: Sequence[str]) -> Iterator[Page]:
        yield Page([], {}, done=True)

    def ensure(self, target: Target) -> str:
        return target.segment

    def apply(self, batch: Batch) -> list[Outcome]:
        return []


def fill(store: Any, people: int, names: list[str], *, is_first: bool) -> None:
    """Contacts, consents and members; on an ordinary night the ledger too, with some who have left since."""
    store.sql(f"""INSERT INTO contacts BY NAME SELECT 'mailchimp' AS source, 'members' AS stream, md5(i::VARCHAR) AS record_id,
        md5(i::VARCHAR) AS contact_id, 'p' || i || '@bench.example' AS email, 'live' AS state FROM range({people}) t(i)""")
    store.sql("""INSERT INTO person_links BY NAME SELECT source, contact_id, 'person ' || contact_id AS person_id, 'id' AS evidence
        FROM contacts""")
    store.sql("INSERT INTO people BY NAME SELECT 'person ' || contact_id AS person_id, email FROM contacts")
    store.sql("""INSERT INTO consents BY NAME SELECT source, stream, record_id, contact_id, 'email' AS channel, '' AS topic,
        'subscribed' AS status FROM contacts""")
    store.sql("""INSERT INTO cursors BY NAME SELECT 'mailchimp' AS source, 'members' AS stream, true AS is_complete,
        TIMESTAMP '2026-11-21' AS pulled_at""")
    store.sql("CREATE TABLE members (segment VARCHAR, person_id VARCHAR)")
    for name in names:
        first = 0 if is_first else people // MOVED
        store.sql(f"INSERT INTO members SELECT ?, 'person ' || md5(i::VARCHAR) FROM range({first}, {people}) t(i)", [name])
        if not is_first:
            store.sql(
                f"""INSERT INTO ledger BY NAME SELECT 'mailchimp' AS platform, ? AS object_id, ? AS segment,
                    md5(i::VARCHAR) AS contact_id, 'person ' || md5(i::VARCHAR) AS person_id, TIMESTAMP '2026-11-01' AS added_at,
                    'r0' AS run_id, true AS is_seen FROM range({people - people // MOVED}) t(i)""",
                [name, name],
            )


def child(memberships: int, is_first: bool) -> int:
    """Plan once; figures as JSON."""
    from connector import config as configuration
    from connector import ledger, planner, runs, sync
    from connector.clock import as_of
    from connector.progress import Silent
    from connector.session import Session
    from connector.store import Store
    from models.segments import SegmentCount

    people, names = memberships // SEGMENTS, [f"Segment {k}" for k in range(SEGMENTS)]
    now = datetime(2026, 11, 21, 12)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rollcall.toml"
        blocks = (f'[[segment]]\nname = "{n}"\nwhere = "orders_total >= 1"\npush = ["mailchimp"]\n' for n in names)
        path.write_text(TOML + "".join(blocks))
        (Path(folder) / "token").write_text("0123456789abcdef0123456789abcdef-us1")
        (Path(folder) / "token").chmod(0o600)
        config = configuration.load(path)
        with Store(Path(folder) / "rollcall.duckdb", memory_limit=config.store.memory_limit) as store:
            fill(store, people, names, is_first=is_first)
            held: dict[str, frozenset[str]] = {}
            for g in sync.resolved(config) if not is_first else ():
                held[g.name] = ledger.ours(store, "mailchimp", g.name)
                target = Target("mailchimp", g.name, f"Rollcall: {g.name}")
                ledger.remember_object(store, target, g.name, "created", now, "r0")
                ledger.give_go_ahead(store, "mailchimp", g.name, planner.rule_digest(g, "mailchimp"), people, now, "r0")
            ledger.give_go_ahead(store, "mailchimp", "", "", people, now, "r0")
            s = Session(config, store, runs.begin(store, "plan"), as_of(now.date(), "UTC"), Silent(), now=lambda: now)
            s._adapters["mailchimp"] = Still(held)
            s.counts = [SegmentCount(n, 0, 0, 0, people) for n in names]
            before_mb = _peak_mb()
            begun, cpu = time.perf_counter(), time.process_time()
            plan = planner.plan_derived(s, sync.resolved(config), with_go_ahead=is_first)
            planned_s = time.perf_counter() - begun
            digest = plan.digest
            wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    wanted = memberships if is_first else 2 * (people // MOVED) * SEGMENTS
    assert len(plan.changes) == wanted, (len(plan.changes), wanted, [t.parked for t in plan.targets])
    print(
        json.dumps(
            {
                "changes": len(plan.changes), "digest": digest, "planned_s": planned_s, "wall_s": wall_s, "cpu_s": cpu_s,
                "before_mb": before_mb, "peak_mb": _peak_mb(),
            }
        )
    )  # fmt: skip
    return 0


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(memberships: int) -> int:
    """A first fill and an ordinary night, each in a process of its own; 1 where one takes too long or too much memory."""
    worst = 0
    for case in ("first", "night"):
        client = [sys.executable, str(ROOT / "benchmarks/push.py"), "--child-plan", case, "--changes", str(memberships)]
        told = json.loads(subprocess.run(client, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
        is_good = told["wall_s"] < BAR_S and told["peak_mb"] < PEAK_MB
        worst = max(worst, int(not is_good))
        words = "a first fill" if case == "first" else "an ordinary night"
        print(
            f"plan of {memberships:,} memberships, {words}: {told['wall_s']:.1f} s ({'ok' if is_good else 'above'} {BAR_S:.0f} s), "
            f"{told['planned_s']:.1f} of them to the plan, the rest its digest; CPU {told['cpu_s']:.1f} s; peak "
            f"{told['peak_mb']:.0f} MB (below {PEAK_MB}; {told['before_mb']:.0f} before); {told['changes']:,} changes, {SEGMENTS} "
            f"segments, Python {machine.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    return worst
