"""How long profile, ranks, rules and difference take, beside floors measured in the same run on the same data.

    python benchmarks/segments.py --people 100000 [--out docs/segments-speed.json] [--keep DIR]
    python benchmarks/segments_page.py docs/segments-speed.json    # the table and the plot of docs/segments-speed.md

The shop is made up: 10 orders, 25 lines and 50 events a person over three years, heavy-tailed, growing; 1.6 contact records
a person. Every figure is wall seconds and CPU seconds of all threads; memory is the peak of the process (resident); making
the data, identity and the rest run in processes of their own. Other work on the machine shows in wall and, less, in CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from connector import identity, profile, segment
from connector.clock import as_of
from connector.config import Config, SegmentSection, Shop
from connector.evaluation import Evaluation
from connector.store import Store
from models.segments import AsOf

NEWS_AT = "TIMESTAMP '2026-07-02 05:00:00'"
DAYS = 1095
CATEGORIES = 12
PRODUCTS = 400

COLUMN_RULES = (
    "orders_total >= 1 and days_since_first_order <= 30", "orders_total >= 2", "orders_total = 1",
    "orders_total = 1 and days_since_order > 90", "days_since_order > 180", "spend_rank_pct <= 10 and days_since_order <= 365",
    "aov >= 60", "orders_365d >= 4", "top_category = 'c3' and top_category_share >= 0.5", "discounted_orders_share >= 0.5",
    "orders_total >= 2 and discounted_orders = 0", "days_since_engagement <= 90", "open_rate_90d >= 0.5",
    "clicks_90d > 0", "emails_received_total >= 5 and opens_human_total = 0", "is_subscribed and days_known <= 30",
    "has_email and orders_total = 0", "rfm_group in ('at_risk', 'cannot_lose')", "rfm_group = 'champions'",
    "country = 'DE'", "city = 'city7'", "avg_rating >= 4", "ratings_total = 0 and logins_90d >= 5", "tickets_30d >= 1",
    "season_month = 12", "lateness > 2", "engagement_score >= 60", "lifecycle = 'churned'", "gaining_category = 'c5'",
    "affinity_category = 'c2'", "not (aov > 30)", "product_views_30d >= 3 and orders_30d = 0",
)  # fmt: skip
EVENT_RULES = (
    *(f"bought(category => 'c{i}', days => {30 * (i + 1)})" for i in range(10)),
    *(f"clicked(url => '%/topic{i}/%', days => 90) >= {1 + i % 3}" for i in range(8)),
    *(f"viewed(category => 'c{i}', days => 60) and not bought(category => 'c{i}', days => 60)" for i in range(4)),
    "spent(category => 'c1', days => 365) > 40", "ordered(min_total => 60, days => 365) >= 2", "opened(days => 30) >= 3",
    "received(days => 90) >= 10", "rated(min => 4)", "bought(product => 'Product 1%', days => 365)",
    "last(event => 'clicked') <= 60", "searched(days => 90)",
)  # fmt: skip


def rate(salt: str) -> str:
    """SQL of a number in [0, 1) that depends on i and the salt alone."""
    return f"(CAST(hash(i, '{salt}') % 4294967296 AS DOUBLE) / 4294967296)"


def someone(people: int, salt: str, skew: float) -> str:
    return f"CAST(floor({people} * pow({rate(salt)}, {skew})) AS INTEGER)"


def when(salt: str) -> str:
    """Later days are likelier: the shop grows."""
    return f"TIMESTAMP '2026-06-30 23:00:00' - to_seconds(CAST({DAYS * 86400} * (1 - sqrt({rate(salt)})) AS BIGINT))"


def fill(store: Store, people: int) -> None:
    store.sql(f"""
        INSERT INTO contacts (source, stream, record_id, contact_id, email, first_name, city, country, state, created_at,
          updated_at)
        SELECT 'shopify', 'customers', CAST(i AS VARCHAR), CAST(i AS VARCHAR), 'p' || i || '@shop.example', 'N' || i % 500,
          'city' || CAST(floor(50 * pow({rate("city")}, 2)) AS INTEGER), CASE WHEN i % 5 = 0 THEN 'FR' ELSE 'DE' END, 'live',
          {when("known")}, TIMESTAMP '2026-06-01'
        FROM range({people}) AS t(i)""")
    store.sql(f"""
        INSERT INTO contacts (source, stream, record_id, contact_id, email, state, created_at, updated_at)
        SELECT 'mailchimp', 'members', md5('p' || i || '@shop.example'), md5('p' || i || '@shop.example'),
          'p' || i || '@shop.example', 'live', {when("known")}, TIMESTAMP '2026-05-01'
        FROM range({people}) AS t(i) WHERE i % 5 < 3""")
    store.sql("""
        INSERT INTO consents (source, stream, record_id, contact_id, channel, topic, status)
        SELECT source, stream, record_id, contact_id, 'email', '', CASE WHEN hash(contact_id) % 10 < 7 THEN 'subscribed'
          WHEN hash(contact_id) % 10 = 7 THEN 'unsubscribed' ELSE 'never_asked' END FROM contacts""")
    store.sql(f"""
        INSERT INTO products (source, stream, record_id, product_id, title, category)
        SELECT 'shopify', 'products', CAST(i AS VARCHAR), CAST(i AS VARCHAR), 'Product ' || i, 'c' || i % {CATEGORIES}
        FROM range({PRODUCTS}) AS t(i)""")
    store.sql(f"""
        INSERT INTO orders (source, stream, record_id, order_id, contact_id, kind, ordered_at, status, currency, total, net,
          discount)
        SELECT 'shopify', 'orders', 'o' || i, 'o' || i, CAST({someone(people, "buyer", 2.2)} AS VARCHAR), 'order',
          {when("order")}, 'paid', 'EUR', CAST(5 + 80 * pow({rate("total")}, 3) AS DECIMAL(18,2)),
          CAST(5 + 80 * pow({rate("total")}, 3) AS DECIMAL(18,2)), CASE WHEN {rate("discount")} < 0.2 THEN 5 END
        FROM range({10 * people}) AS t(i)""")
    store.sql(f"""
        INSERT INTO order_lines (source, stream, record_id, order_id, line_id, product_id, title, quantity, amount, currency)
        SELECT 'shopify', 'orders', 'o' || i // 5 * 2 + i % 2, 'o' || (i // 5 * 2 + i % 2), CAST(i AS VARCHAR),
          CAST(p AS VARCHAR), 'Product ' || p, 1, CAST(5 + 30 * {rate("amount")} AS DECIMAL(18,2)), 'EUR'
        FROM (SELECT i, CAST(floor({PRODUCTS} * pow({rate("product")}, 1.5)) AS INTEGER) AS p
              FROM range({25 * people}) AS t(i))""")
    store.sql("""
        INSERT INTO campaigns (source, stream, record_id, campaign_id, name, subject)
        SELECT 'mailchimp', 'campaigns', 'm' || i, 'm' || i, 'News ' || i, 'Subject ' || i FROM range(160) AS t(i)""")
    store.sql(f"""
        INSERT INTO events (source, stream, record_id, contact_id, kind, occurred_at, is_machine, campaign_id, url, category,
          product_id, value)
        SELECT source, 'activity', CAST(i AS VARCHAR),
          CASE WHEN source = 'mailchimp' THEN md5('p' || (who // 5 * 5 + who % 3) || '@shop.example')
            ELSE CAST(who AS VARCHAR) END,
          kind, at_utc, CASE WHEN kind = 'open' THEN i % 3 = 0 END,
          CASE WHEN source = 'mailchimp' THEN 'm' || CAST(floor(160 * {rate("campaign")}) AS INTEGER) END,
          CASE WHEN kind = 'click' THEN 'https://shop.example/topic' || (i % 20) || '/' || (i % 300) END,
          CASE WHEN kind IN ('page_view', 'product_view') THEN 'c' || (i % {CATEGORIES}) END,
          CASE WHEN kind IN ('product_view', 'rating') THEN CAST(i % {PRODUCTS} AS VARCHAR) END,
          CASE WHEN kind = 'rating' THEN 1 + i % 5 END
        FROM (
          SELECT i, {someone(people, "visitor", 1.6)} AS who, {when("event")} AS at_utc,
            CASE WHEN i % 100 < 76 THEN 'mailchimp' ELSE 'shopify' END AS source,
            CASE WHEN i % 100 < 50 THEN 'sent' WHEN i % 100 < 70 THEN 'open' WHEN i % 100 < 76 THEN 'click'
              WHEN i % 100 < 88 THEN 'page_view' WHEN i % 100 < 95 THEN 'product_view' WHEN i % 100 < 97 THEN 'login'
              WHEN i % 100 < 98 THEN 'rating' WHEN i % 100 < 99 THEN 'search' ELSE 'ticket' END AS kind
          FROM range({50 * people}) AS t(i))""")
    store.sql("CHECKPOINT")


def add_news(store: Store, people: int) -> None:
    """One person in a hundred orders, is mailed and looks around; one in a thousand is new; a tenth of the orders change."""
    store.sql(f"""
        INSERT INTO orders BY NAME
        SELECT * REPLACE ('x' || order_id AS order_id, 'x' || record_id AS record_id, {NEWS_AT} AS ordered_at) FROM orders
        WHERE CAST(substr(order_id, 2) AS BIGINT) < {people // 100}""")
    store.sql(f"""
        INSERT INTO order_lines BY NAME
        SELECT * REPLACE ('x' || order_id AS order_id, 'x' || record_id AS record_id) FROM order_lines
        WHERE CAST(substr(order_id, 2) AS BIGINT) < {people // 100}""")
    store.sql(f"""
        INSERT INTO events BY NAME SELECT * REPLACE ('x' || record_id AS record_id, {NEWS_AT} AS occurred_at) FROM events
        WHERE CAST(contact_id AS BIGINT) % 100 = 7 AND CAST(record_id AS BIGINT) % 20 = 0 AND source = 'shopify'""")
    store.sql(f"""
        INSERT INTO contacts BY NAME SELECT * REPLACE ('y' || record_id AS record_id, 'y' || contact_id AS contact_id,
          CASE WHEN hash(email) % 2 = 0 THEN 'y' || email ELSE email END AS email) FROM contacts
        WHERE source = 'shopify' AND CAST(contact_id AS BIGINT) < {people // 1000}""")
    store.sql(f"""
        CREATE TEMP TABLE again AS SELECT * FROM orders
        WHERE order_id LIKE 'o%' AND CAST(substr(order_id, 2) AS BIGINT) < {people // 1000}""")
    store.sql("DELETE FROM orders WHERE order_id IN (SELECT order_id FROM again)")
    store.sql("INSERT INTO orders BY NAME SELECT * REPLACE (net - 1 AS net, 1 AS refunded) FROM again")
    store.sql("DROP TABLE again")
    store.sql("CHECKPOINT")


class Watched(Store):
    """A store that adds up what each part of identity, purchases and facts costs."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.parts: dict[str, list[float]] = {}
        super().__init__(path, **settings)

    def __enter__(self) -> Watched:
        return self

    def sql(self, text: str, params: Any = None) -> list[tuple[Any, ...]]:
        wall, cpu = time.perf_counter(), time.process_time()
        found = super().sql(text, params)
        words = " ".join(text.split()[:8])
        part = "facts" if "fact_" in words else "purchases" if "purchase" in words or "po_" in words else "who is who"
        spent = self.parts.setdefault(part, [0.0, 0.0])
        spent[0] += time.perf_counter() - wall
        spent[1] += time.process_time() - cpu
        return found


class Clock:
    """Prints one line a step, with everything a reader needs to judge the figure."""

    def __init__(self, setting: str) -> None:
        self.rows: list[dict[str, Any]] = []
        self.setting = setting

    def __call__(self, name: str, work: Callable[[], Any], store: Watched | None = None) -> Any:
        if store:
            store.parts = {}
        wall, cpu = time.perf_counter(), time.process_time()
        found = work()
        self.note(name, time.perf_counter() - wall, time.process_time() - cpu)
        for part, (part_wall, part_cpu) in sorted(store.parts.items()) if store else ():
            self.note(f"  of which {part}", part_wall, part_cpu)
        return found

    def note(self, name: str, wall: float, cpu: float) -> None:
        row = {"step": name, "wall_s": round(wall, 3), "cpu_s": round(cpu, 3), "load": round(os.getloadavg()[0], 1),
               "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}  # fmt: skip
        self.rows.append(row)
        print(
            f"{name:45} {wall:9.2f} s wall {cpu:9.2f} s CPU {row['peak_mb']:7} MB peak  ({self.setting}, load {row['load']})",
            flush=True,
        )


def rules(texts: tuple[str, ...], prefix: str) -> Config:
    shop = Shop(timezone="UTC", currency="EUR", country="DE")
    return Config(shop=shop, segment=tuple(SegmentSection(name=f"{prefix}{i}", where=w) for i, w in enumerate(texts)))


SCANS = {
    "fact_orders": "sum(n), sum(purchase), sum(hash(ordered_on)), sum(net), sum(discount), count(gap_days)",
    "fact_lines": "sum(n), sum(taste), sum(product), sum(amount), sum(pieces), sum(hash(ordered_on))",
    "fact_events": "sum(n), sum(hash(day)), sum(hash(kind)), sum(campaign), sum(category), sum(url), sum(value), sum(sent_no)",
}


def at(day: int, hour: int = 4) -> AsOf:
    """A moment of July 2026, as a nightly or hourly run has it."""
    return as_of(None, "UTC", datetime(2026, 7, day, hour))


def measure(store: Watched, config: Config, clock: Clock, people: int) -> None:
    clock("floor: every used value read", lambda: [store.sql(f"SELECT {c} FROM {t}") for t, c in SCANS.items()])
    clock(
        "floor: count per person, three tables",
        lambda: [store.sql(f"SELECT count(*), sum(c) FROM (SELECT n, count(*) AS c FROM {t} GROUP BY n)") for t in SCANS],
    )
    segments = segment.resolve(config)
    clock("profile and RFM, everybody, every column", lambda: profile.build(store, config, at(1)))
    clock("32 rules and difference, first time", lambda: segment.evaluate(store, config, segments, at(1), "r1"))
    clock("profile and RFM, next day", lambda: profile.build(store, config, at(2)))
    clock("32 rules and difference, next day", lambda: segment.evaluate(store, config, segments, at(2), "r2"))
    add_news(store, people)
    clock("news of 1 %: identity, purchases and facts", lambda: identity.identify(store, config), store)
    print(f"people with news: {store.value('SELECT count(*) FROM fact_news'):,}")
    clock("news of 1 %: profile and RFM, same day", lambda: profile.build(store, config, at(2, 8)))
    clock("news of 1 %: 32 rules and difference", lambda: segment.evaluate(store, config, segments, at(2, 8), "r3"))


def measure_events(store: Watched, clock: Clock) -> None:
    events = rules(EVENT_RULES, "e")
    evaluation = Evaluation(events, at(2), segment.check_all(store, events, segment.resolve(events)))
    clock("30 event rules in one statement", lambda: store.sql(f"SELECT sum(m0) FROM ({evaluation.masks()})"))


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{os.cpu_count()} cores, {memory} GB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--memory", default="1500MB", help="memory_limit of the store")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder whose store is used again when it is there")
    parser.add_argument("--out", type=Path, help="append the figures to this JSON file")
    parser.add_argument("--phase", choices=("data", "identity", "rest", "events"), help="(one part, in a process of its own)")
    given = parser.parse_args()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="rollcall-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if given.phase:
            run(given, folder / f"{given.people}.duckdb", given.phase)
            return
        out = given.out or folder / "figures.json"
        for phase in ("data", "identity", "rest", "events"):  # each in a process of its own, so that the peak is its own
            again = [sys.executable, sys.argv[0], "--people", str(given.people), "--memory", given.memory]
            again += ["--threads", str(given.threads), "--keep", str(folder), "--out", str(out), "--phase", phase]
            subprocess.run(again, check=True)
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)


def run(given: argparse.Namespace, path: Path, phase: str) -> None:
    config = rules(COLUMN_RULES, "s")
    clock = Clock(f"{given.people:,} people, {machine()}, {given.threads} threads, limit {given.memory}")
    if phase == "data" and path.exists():
        return
    with Watched(path, memory_limit=given.memory, threads=given.threads) as store:
        if phase == "data":
            fill(store, given.people)
            return
        if phase == "identity":
            clock("identity, purchases and facts, everybody", lambda: identity.identify(store, config), store)
            store.sql("CHECKPOINT")
            clock("identity, nothing changed", lambda: identity.identify(store, config))
        elif phase == "rest":
            measure(store, config, clock, given.people)
        else:
            measure_events(store, clock)
        counts = {t: int(store.value(f"SELECT count(*) FROM {t}")) for t in (*SCANS, "people")}
    print(counts, f"file {path.stat().st_size >> 20} MB")
    known = json.loads(given.out.read_text()) if given.out.exists() else []
    setting = {"people": given.people, "memory": given.memory, "threads": given.threads, "machine": machine()}
    known.append({**setting, "phase": phase, "counts": counts, "steps": clock.rows})
    given.out.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
