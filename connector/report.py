"""Stage 9 of 10: tell the owner what happened, why, and what it earned, on one page without names or addresses."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from connector import card_pictures, charts, clock, rhythm, runs, segment_figures
from connector.config import Config
from connector.facts import marks
from connector.plain import visible
from connector.show import noun, target_notes, title
from connector.stays import LOOK
from connector.store import Store
from models.changes import Plan, TargetPlan
from models.segments import AsOf, SegmentCount

FILE = "rollcall-report.html"

ORDERS = """
    SELECT ordered_on, counts, in_money, net FROM {orders} WHERE {seen_orders}
    UNION ALL SELECT ordered_on, counts, currency = '{currency}', coalesce(net, total) FROM purchases
    WHERE person_id IS NULL AND (counts OR why_not = 'refund') AND ordered_at < {until}"""
"""With the money in them that went back only later, those cancelled only later, and those of nobody we know."""


def write(
    store: Store, config: Config, as_of: AsOf, *, plan: Plan | None, says: dict[str, str] | None = None,
    counts: Sequence[SegmentCount] = (),
) -> Path:  # fmt: skip
    """Write the page beside the configuration, mode 0600, and give its path. `says`: segment -> its rule in words; `counts`: how
    segments stand at this moment, shown of those that no run has counted on that day."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    page = (
        Environment(
            loader=PackageLoader("connector", "."),
            autoescape=select_autoescape(default=True, default_for_string=True),
            finalize=lambda value: visible(value, keep="\n") if type(value) is str else value,
        )
        .get_template("report.html.j2")
        .render(**content(store, config, as_of, plan=plan, says=says or {}, counts=counts))
    )
    path = config.folder / FILE
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
        f.write(page)
    path.chmod(0o600)
    return path


def content(
    store: Store, config: Config, as_of: AsOf, *, plan: Plan | None, says: dict[str, str], counts: Sequence[SegmentCount] = ()
) -> dict[str, Any]:
    """Everything the page shows, as plain values."""
    sold = ORDERS.format_map(marks(config, as_of))
    months = store.sql(
        f"""SELECT strftime(ordered_on, '%Y-%m') AS month, count(*) FROM ({sold}) WHERE counts AND ordered_on IS NOT NULL
            GROUP BY month ORDER BY month DESC LIMIT 36"""
    )[::-1]
    found = _segments(store, config, as_of, says, counts)
    return {
        "shop": config.shop.name,
        "currency": config.shop.currency,
        "day": f"{as_of.day:%d %B %Y}",
        "made": f"{clock.now_utc():%Y-%m-%d %H:%M}",
        "figures": _figures(store, as_of, sold),
        "segments": found,
        "did": segment_figures.of_members(store, config, as_of, {s["name"] for s in found}) if found else [],
        "did_days": segment_figures.DAYS,
        "rhythm": rhythm.sentences(rhythm.of_shop(store)),
        "written": [_written(t) for t in plan.targets] if plan else [],
        "kept": _kept(store),
        "cards": _cards(store, as_of),
        "streams": _streams(store),
        "set_aside": store.rows(
            """SELECT source, stream, reason, count(*) AS count FROM set_aside GROUP BY source, stream, reason
               ORDER BY count DESC, source, stream, reason LIMIT 20"""
        ),
        "copies": _copies(store),
        "pictures": {
            "orders": charts.bars([m for m, _ in months], [n for _, n in months], "orders") if len(months) > 1 else "",
            "segments": charts.levels([s["name"] for s in found], [s["size"] for s in found], "people") if found else "",
        },
        "captions": {"orders": f"{sum(n for _, n in months):,} orders in the last {len(months)} months with orders."},
    }


def _figures(store: Store, as_of: AsOf, sold: str) -> list[dict[str, str]]:
    people, buyers, subscribed = store.sql(
        "SELECT count(*), count(*) FILTER (WHERE orders_total > 0), count(*) FILTER (WHERE is_subscribed) FROM profile"
    )[0]
    orders, revenue, year = store.sql(
        f"""SELECT count(*) FILTER (WHERE counts), coalesce(sum(net) FILTER (WHERE in_money), 0),
              coalesce(sum(net) FILTER (WHERE in_money AND ordered_on >= $day::DATE - 365), 0) FROM ({sold})""",
        {"day": as_of.day},
    )[0]
    return [
        {"label": "People", "value": f"{people:,}"},
        {"label": "Have ordered", "value": f"{buyers:,}"},
        {"label": "May be mailed", "value": f"{subscribed:,}"},
        {"label": "Orders", "value": f"{orders:,}"},
        {"label": "Net revenue", "value": f"{revenue:,.2f}"},
        {"label": "Net revenue, 365 days", "value": f"{year:,.2f}"},
    ]


def _segments(
    store: Store, config: Config, as_of: AsOf, says: dict[str, str], counts: Sequence[SegmentCount]
) -> list[dict[str, Any]]:
    """What the last run of that day counted; a look since, however much came in meanwhile, changes nothing about it."""
    kept = store.rows(
        """SELECT segment, members_before AS before, entered, members_left AS "left", members_after AS after,
             CASE WHEN is_ready THEN '' ELSE not_ready END AS not_ready, rule
           FROM segment_counts WHERE as_of = ? AND run_id <> ?
           QUALIFY row_number() OVER (PARTITION BY segment ORDER BY rowid DESC) = 1""",
        [as_of.day, LOOK],
    )
    revenue = dict(
        store.sql(
            """SELECT m.segment, sum(p.revenue_365d) FROM members m JOIN profile p USING (person_id) GROUP BY m.segment"""
        )
    )
    known = {s.name or s.use: s.where or s.use for s in config.segment}
    rows = {c.segment: {**vars(c), "rule": known.get(c.segment, "")} for c in counts} | {r["segment"]: r for r in kept}
    return [
        {
            "name": name,
            "says": says.get(name) or r["rule"],
            **{k: f"{r[k]:,}" for k in ("before", "entered", "left", "after")},
            "size": r["after"],
            "revenue": f"{revenue.get(name) or 0:,.2f}",
            "not_ready": r["not_ready"] or "",
        }
        for name, r in sorted(rows.items())
        if name in known
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


def _cards(store: Store, as_of: AsOf) -> list[dict[str, Any]]:
    found = store.sql(
        """SELECT card FROM score_cards WHERE cutoff <= ?
           QUALIFY row_number() OVER (PARTITION BY score ORDER BY cutoff DESC, made_run DESC) = 1 ORDER BY score""",
        [as_of.day],
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
