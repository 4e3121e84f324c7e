"""Stage 9 of 10: tell the owner what happened, why, and what it earned, on one page without names or addresses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from connector import card_pictures, charts, clock, runs
from connector.config import Config
from connector.plain import visible
from connector.show import noun, target_notes, title
from connector.store import Store
from models.changes import Plan, TargetPlan
from models.segments import AsOf

FILE = "rollcall-report.html"


def write(store: Store, config: Config, as_of: AsOf, *, plan: Plan | None, says: dict[str, str] | None = None) -> Path:
    """Write the page beside the configuration, mode 0600, and give its path. `says`: segment -> its rule in words."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    page = (
        Environment(
            loader=PackageLoader("connector", "."),
            autoescape=select_autoescape(default=True, default_for_string=True),
            finalize=lambda value: visible(value, keep="\n") if type(value) is str else value,
        )
        .get_template("report.html.j2")
        .render(**content(store, config, as_of, plan=plan, says=says or {}))
    )
    path = config.folder / FILE
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
        f.write(page)
    path.chmod(0o600)
    return path


def content(store: Store, config: Config, as_of: AsOf, *, plan: Plan | None, says: dict[str, str]) -> dict[str, Any]:
    """Everything the page shows, as plain values."""
    months = store.sql(
        """SELECT strftime(ordered_on, '%Y-%m') AS month, count(*), coalesce(sum(net), 0)::DOUBLE FROM purchases
           WHERE counts AND ordered_at < ? GROUP BY month ORDER BY month DESC LIMIT 36""",
        [as_of.until_utc],
    )[::-1]
    found = _segments(store, config, as_of, says)
    return {
        "shop": config.shop.name,
        "currency": config.shop.currency,
        "day": f"{as_of.day:%d %B %Y}",
        "made": f"{clock.now_utc():%Y-%m-%d %H:%M}",
        "figures": _figures(store, config, as_of),
        "segments": found,
        "written": [_written(t) for t in plan.targets] if plan else [],
        "kept": _kept(store),
        "cards": _cards(store),
        "streams": _streams(store),
        "set_aside": store.rows(
            """SELECT source, stream, reason, count(*) AS count FROM set_aside GROUP BY source, stream, reason
               ORDER BY count DESC, source, stream, reason LIMIT 20"""
        ),
        "copies": _copies(store),
        "pictures": {
            "orders": charts.bars([m for m, _, _ in months], [n for _, n, _ in months], "orders") if len(months) > 1 else "",
            "segments": charts.levels([s["name"] for s in found], [s["size"] for s in found], "people") if found else "",
        },
        "captions": {"orders": f"{sum(n for _, n, _ in months):,} orders in the last {len(months)} months with orders."},
    }


def _figures(store: Store, config: Config, as_of: AsOf) -> list[dict[str, str]]:
    people, buyers, subscribed = store.sql(
        "SELECT count(*), count(*) FILTER (WHERE orders_total > 0), count(*) FILTER (WHERE is_subscribed) FROM profile"
    )[0]
    orders, revenue, year = store.sql(
        """SELECT count(*), coalesce(sum(net) FILTER (WHERE currency = $c), 0),
             coalesce(sum(net) FILTER (WHERE currency = $c AND ordered_on >= $day::DATE - 365), 0)
           FROM purchases WHERE counts AND ordered_at < $until""",
        {"c": config.shop.currency, "day": as_of.day, "until": as_of.until_utc},
    )[0]
    return [
        {"label": "People", "value": f"{people:,}"},
        {"label": "Have ordered", "value": f"{buyers:,}"},
        {"label": "May be mailed", "value": f"{subscribed:,}"},
        {"label": "Orders", "value": f"{orders:,}"},
        {"label": "Net revenue", "value": f"{revenue:,.2f}"},
        {"label": "Net revenue, 365 days", "value": f"{year:,.2f}"},
    ]


def _segments(store: Store, config: Config, as_of: AsOf, says: dict[str, str]) -> list[dict[str, Any]]:
    rows = store.rows(
        """SELECT c.*, (SELECT coalesce(sum(p.revenue_365d), 0) FROM members m JOIN profile p USING (person_id)
             WHERE m.segment = c.segment) AS revenue
           FROM segment_counts c WHERE as_of = ?
           QUALIFY row_number() OVER (PARTITION BY segment ORDER BY run_id DESC) = 1 ORDER BY segment""",
        [as_of.day],
    )
    known = {s.name or s.use for s in config.segment}
    return [
        {
            "name": r["segment"],
            "says": says.get(r["segment"]) or r["rule"],
            "before": f"{r['members_before']:,}",
            "entered": f"{r['entered']:,}",
            "left": f"{r['members_left']:,}",
            "after": f"{r['members_after']:,}",
            "size": r["members_after"],
            "revenue": f"{r['revenue']:,.2f}",
            "not_ready": "" if r["is_ready"] else r["not_ready"],
        }
        for r in rows
        if r["segment"] in known
    ]


def _written(t: TargetPlan) -> dict[str, Any]:
    return {
        "object": f"{noun(t.target.platform)} {t.object_name}",
        "segment": t.target.segment,
        "before": f"{t.before:,}",
        "entered": f"{t.entered:,}",
        "left": f"{t.left:,}",
        "after": f"{t.after:,}",
        "lines": target_notes(t),
    }


def _kept(store: Store) -> str:
    objects, members = store.sql("SELECT (SELECT count(*) FROM ledger_objects), (SELECT count(*) FROM ledger)")[0]
    if not objects:
        return ""
    return f"We keep {objects:,} tags and lists in step and have added {members:,} memberships; only those can we ever remove."


def _cards(store: Store) -> list[dict[str, Any]]:
    found = store.sql(
        "SELECT card FROM score_cards QUALIFY row_number() OVER (PARTITION BY score ORDER BY cutoff DESC, made_run DESC) = 1 ORDER BY score"
    )
    cards = [orjson.loads(c) for (c,) in found]
    return [
        {
            "title": c["title"],
            "lines": c["lines"],
            "picture": card_pictures.svg(c),
        }
        for c in cards
    ]


def _streams(store: Store) -> list[dict[str, Any]]:
    run = store.value("SELECT max(run_id) FROM stream_counts")
    shown: Sequence[Any] = runs.counts(store, run) if run else ()
    return [
        {
            "source": title(c.source),
            "stream": c.stream,
            "fetched": f"{c.fetched:,}",
            "stored": f"{c.stored:,}",
            "unchanged": f"{c.unchanged:,}",
            "set_aside": f"{c.set_aside:,}",
            "total": "" if c.platform_total is None else f"{c.platform_total:,}",
            "is_complete": c.is_complete,
            "note": c.note,
        }
        for c in shown
    ]


def _copies(store: Store) -> str:
    records, purchases = store.sql("SELECT (SELECT count(*) FROM purchase_copies), (SELECT count(*) FROM purchases)")[0]
    return f"{records:,} order records are {purchases:,} purchases"
