"""What the stories share: a shop to serve, the folder that goes with it, and the real command line run in it."""

from __future__ import annotations

import contextlib
import csv
import gc
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import requests

from connector import cli
from connector.sandbox.faults import Faults
from connector.sandbox.folder import write_folder
from connector.sandbox.orders_file import load_orders
from connector.sandbox.server import Sandbox
from connector.sandbox.shop import Shop

AS_OF = "1998-07-01"
LAST_DAY = date(1998, 6, 30)
AUDIENCE = "a1b2c3d4e5"
MAILCHIMP = {"Authorization": "Bearer 0123456789abcdef0123456789abcdef-us1"}
HUBSPOT = {"Authorization": "Bearer pat-eu1-sandbox"}
SHOPIFY = {"X-Shopify-Access-Token": "shpat_sandbox"}
NAMES = ("Frequent", "Lapsed 180", "Top 10 percent")
CDNOW = Path(__file__).parents[3] / "shared/data/cdnow/transactions.csv.gz"
RULES = {"Frequent": "orders_total >= 3", "Lapsed 180": "days_since_order > 180", "Top 10 percent": "spend_rank_pct <= 10"}


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def text(self) -> str:
        return self.out + self.err


def rollcall(folder: Path, *args: str) -> Answer:
    """Run the command line in `folder`, in this process, through the same door as the installed command."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    argv, here, mask = sys.argv, Path.cwd(), os.umask(0o077)
    try:
        os.chdir(folder)
        sys.argv = ["rollcall", *args]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    finally:
        os.chdir(here)
        os.umask(mask)
        sys.argv = argv
    return Answer(code, out.getvalue(), err.getvalue())


def process(folder: Path, *args: str, **more: Any) -> subprocess.Popen[str]:
    """The same as a process of its own."""
    command = [sys.executable, "-m", "connector.cli", *args]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def write_orders(path: Path, customers: int = 300, seed: int = 1) -> Path:
    """A file like CDNOW's: most buy once or twice, some often; some rows are the same twice; ids keep leading zeros."""
    chance = random.Random(seed)
    with path.open("w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["customer_id", "date", "amount"])
        for n in range(1, customers + 1):
            for _ in range(min(12, 1 + int(chance.expovariate(0.5)))):
                day = LAST_DAY - timedelta(days=chance.randrange(540))
                row = [f"{n:05d}", day.isoformat(), f"{chance.randrange(500, 20000) / 100:.2f}"]
                out.writerows([row] * (2 if chance.random() < 0.02 else 1))
    return path


def expected_members(path: Path) -> dict[str, set[str]]:
    """The three segments by plain pandas over the file; money in cents, ties by number of orders, then left open."""
    rows = pd.read_csv(path, dtype={"customer_id": str, "amount": str}, parse_dates=["date"])
    rows["cents"] = [round(float(a) * 100) for a in rows.amount]
    people = rows.groupby("customer_id").agg(orders=("cents", "size"), cents=("cents", "sum"), last=("date", "max"))
    silent_days = (pd.Timestamp(AS_OF) - people["last"]).dt.days
    by_spend = people.sort_values(["cents", "orders"], ascending=False, kind="stable")
    top = by_spend.index[: len(people) * 10 // 100]
    found = {"Frequent": people.index[people.orders >= 3], "Lapsed 180": people.index[silent_days > 180], "Top 10 percent": top}
    return {name: {f"{i}@shop.example" for i in ids} for name, ids in found.items()}


def segments(push: str = '["mailchimp"]', more: str = "") -> str:
    """The three segments as configuration."""
    blocks = [f'[[segment]]\nname = "{n}"\nwhere = "{RULES[n]}"\npush = {push}\n{more}' for n in NAMES]
    return "\n".join(blocks)


def configuration(url: str, body: str, *, shopify: str = "", mailchimp: str = "", hubspot: str = "", more: str = "") -> str:
    """A rollcall.toml for the sandbox at `url`; the named texts are added to the sections."""
    return (
        f'[shop]\nname = "Story"\ntimezone = "UTC"\ncurrency = "USD"\n\n'
        f'[shopify]\nstore = "sandbox-shop.myshopify.com"\nbase_url = "{url}/shopify"\ntoken = "file:secrets/shopify"\n'
        f"push = true\n{shopify}\n\n"
        f'[mailchimp]\nbase_url = "{url}/mailchimp"\ntoken = "file:secrets/mailchimp"\naudience = "{AUDIENCE}"\n'
        f"push = true\n{mailchimp}\n\n"
        f'[hubspot]\nbase_url = "{url}/hubspot"\ntoken = "file:secrets/hubspot"\npush = true\n{hubspot}\n\n'
        f"{more}\n\n{body}"
    )


class Story:
    """A sandbox on a real socket, a folder beside it, and a person at the command line."""

    def __init__(self, folder: Path, orders: Path | Shop, faults: Faults | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.orders = orders if isinstance(orders, Path) else Path()
        self.world: dict[str, Any] = {}
        shop = orders if isinstance(orders, Shop) else load_orders(orders)
        self.sandbox = Sandbox(shop, faults=faults)
        self.url = self.sandbox.start()
        write_folder(folder, shop, self.url)

    def close(self) -> None:
        self.sandbox.stop()
        gc.unfreeze()

    def __enter__(self) -> Story:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def config(self) -> Path:
        return self.folder / "rollcall.toml"

    def configure(self, body: str | None = None, **sections: str) -> None:
        self.config.write_text(configuration(self.url, segments() if body is None else body, **sections))

    def take_store(self, folder: Path) -> None:
        """Begin with the store and the raw pages of another folder."""
        shutil.copy(folder / "rollcall.duckdb", self.folder)
        shutil.copytree(folder / "rollcall.raw", self.folder / "rollcall.raw")

    def run(self, *args: str) -> Answer:
        return rollcall(self.folder, *args)

    def ok(self, *args: str) -> Answer:
        """Run a command that must end with 0."""
        answer = self.run(*args)
        assert answer.code == 0, (args, answer.code, answer.text)
        return answer

    def process(self, *args: str, **more: Any) -> subprocess.Popen[str]:
        return process(self.folder, *args, **more)

    def state(self) -> dict[str, Any]:
        """The whole simulated world, as everybody can ask it."""
        answer = requests.get(f"{self.url}/control/state", timeout=60)
        found: dict[str, Any] = answer.json()
        return found

    def control(self, path: str, body: dict[str, Any]) -> Any:
        answer = requests.post(f"{self.url}/control/{path}", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def change(self, customers: list[str], **wanted: Any) -> Any:
        return self.control("change", {"customers": customers, "set": wanted})["changed"]

    def mailchimp(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """What somebody does in Mailchimp by hand, or another program through its API."""
        url = f"{self.url}/mailchimp/3.0/lists/{AUDIENCE}/{path}"
        answer = requests.request(method, url, json=body, params=params, headers=MAILCHIMP, timeout=30)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def tags(self, prefix: str = "Rollcall: ") -> dict[str, set[str]]:
        """Segment -> addresses, as the simulated Mailchimp holds them."""
        tags = self.state()["mailchimp"]["tags"]
        return {n.removeprefix(prefix): set(t["members"]) for n, t in tags.items() if n.startswith(prefix)}

    def tag_id(self, segment: str) -> int:
        """Mailchimp's own number of the tag of a segment."""
        return int(self.state()["mailchimp"]["tags"][f"Rollcall: {segment}"]["id"])

    def lists(self) -> dict[str, set[str]]:
        """Segment -> contact ids, as the simulated HubSpot holds them."""
        found = self.state()["hubspot"]["lists"]
        return {v["name"].removeprefix("Rollcall: "): {str(m) for m in v["members"]} for v in found.values()}

    def writes(self) -> list[dict[str, Any]]:
        """Every write that took effect anywhere."""
        return [{"platform": p, **e} for p, effects in self.state()["effects"].items() for e in effects]

    @contextlib.contextmanager
    def store(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A look at a copy of the store, so that not even the log beside it is touched."""
        with tempfile.TemporaryDirectory() as copy:
            for name in ("rollcall.duckdb", "rollcall.duckdb.wal"):
                if (self.folder / name).exists():
                    shutil.copy(self.folder / name, copy)
            with duckdb.connect(f"{copy}/rollcall.duckdb") as db:
                yield db

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        with self.store() as db:
            return db.execute(text).fetchall()

    def edit_store(self, *statements: str) -> None:
        """What a person with a database tool could do to the store."""
        with duckdb.connect(str(self.folder / "rollcall.duckdb")) as db:
            for text in statements:
                db.execute(text)


WHEN = {"seen_at", "pulled_at", "fetched_at", "added_at", "given_at", "taken_on", "cursor"}
"""Columns that say when we looked; the streams' cursors hold the server's time."""
RUNS = {"run_id", "first_run", "changed_run", "seen_run", "last_run", "entered_run", "left_run", "made_run"}
BOOKS = {
    "runs",
    "full_reads",
    "stream_counts",
    "raw_pages",
    "journal",
    "segment_counts",
    "audit",
    "audit_head",
    "subject_keys",
    "nights",
    "fact_campaigns",
    "fact_events",
    "fact_interests",
    "fact_items",
    "fact_lines",
    "fact_orders",
    "fact_topics",
    "fact_words",
    "profile_seen",
}
"""One row per run, night, page or batch: another run has others; and facts, whose codes follow the order in which words came:
the profile shows what they say."""
NOTES = "^(identity_|watched:|parked_before|facts|fact_|profile_state)"
SEEN = {"id_seen", "id_seen_values"}
"""Names in `meta`, and tables, in which we keep what saves us work the next time, and nothing else."""


def store_dump(story: Story, *, touched: bool = False) -> dict[str, list[str]]:
    """All that is held, without run ids and the times of looking.

    touched: our own writing moved the time of a Mailchimp member's last change, and with it the hash of its record.
    """
    skipped = WHEN | RUNS | ({"updated_at", "content_hash"} if touched else set())
    found: dict[str, list[str]] = {}
    with story.store() as db:
        columns = db.execute("SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal ORDER BY ALL").fetchall()
        for table in sorted({t for t, _ in columns} - BOOKS - SEEN):
            left_out = skipped | ({"since"} if table in ("ledger_objects", "cursors") else set())
            names = ", ".join(f'"{c}"' for t, c in columns if t == table and c not in left_out)
            where = f"WHERE NOT regexp_matches(name, '{NOTES}')" if table == "meta" else ""
            found[table] = sorted(map(repr, db.execute(f'SELECT {names} FROM "{table}" {where}').fetchall()))
    return found


def world_dump(story: Story) -> dict[str, Any]:
    """The simulated platforms, without the log of what happened and the addresses they are served at."""
    state = {k: v for k, v in story.state().items() if k not in ("effects", "faults")}
    for customer in state["shopify"]["customers"]:
        customer.pop("updated_at")
    state["shopify"].pop("bulk_operations")  # after a kill an export is asked for again
    return {platform: without_times(held) for platform, held in state.items()}


def without_times(value: Any) -> Any:
    """The same without what the clock of the server says."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in ("updatedAt", "lastmodifieddate", "at", "date_added")}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def doubled(writes: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Writes that took the same effect twice."""
    changing = [w for w in writes if w["result"] != "unchanged"]
    keys = Counter((w["platform"], w["kind"], w["object"], w["contact"], w["result"]) for w in changing)
    return sorted(k for k, times in keys.items() if times > 1)


def plan_of(answer: Answer) -> dict[tuple[str, str], dict[str, Any]]:
    """(platform, segment) -> its part of `plan --json`."""
    return {(t["platform"], t["segment"]): t for t in answer.json["segments"]}
