"""Cards, readiness, grading of closed horizons and going back to an earlier cutoff."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson

from connector import score_grades, score_more
from connector.config import Config
from connector.score_data import load
from connector.score_parts import checked_days, people_lacking, unchecked
from connector.store import Store
from models.errors import UsageError
from models.scores.views import LEAST_HISTORY_DAYS, Views
from models.segments import AsOf

RUNGS = {
    "refuse": "plain rules only",
    "small": "MBG/NBD, low confidence",
    "middle": "mean of MBG/NBD and logistic regression, medium confidence",
    "large": "learned models chosen by back-test, high confidence",
}


def cards(store: Store) -> list[dict[str, Any]]:
    """The latest card of every score."""
    found = store.sql("""
        SELECT card FROM score_cards QUALIFY row_number() OVER (PARTITION BY score ORDER BY made_run DESC, cutoff DESC) = 1
        ORDER BY score""")
    return [orjson.loads(c) for (c,) in found]


def ready(store: Store, config: Config, as_of: AsOf) -> list[dict[str, Any]]:
    """Per score what there is, what is needed, and the first day on which it may be enough ('' where only people lack)."""
    data = load(store, config, as_of)
    views = Views(data.orders, config.scores.horizon_days)
    have = views.amount(data.cutoff)
    found = []
    for score, horizon in (("churn", config.scores.horizon_days), ("clv", config.scores.horizon_days), ("purchase_30d", 30),
                           ("next_order", config.scores.horizon_days)):  # fmt: skip
        need = LEAST_HISTORY_DAYS + min(horizon, LEAST_HISTORY_DAYS)
        lacks = people_lacking(have)
        when = ""
        if have.history_days < need:
            when = (as_of.day + timedelta(days=need - have.history_days)).isoformat()
            lacks.append(f"{need - have.history_days:,} more days of history, which is {when}")
        lacks += [data.refusal] if data.refusal else []
        days = checked_days(views, data.cutoff, horizon) if score in ("churn", "clv") else horizon
        lacks += [] if lacks else [w for w in (unchecked(views, data.cutoff, days),) if w]
        found.append({
            "score": score, "is_ready": not lacks, "customers": have.customers, "repeat_buyers": have.repeat_buyers,
            "history_days": have.history_days, "needed": {"customers": 100, "repeat_buyers": 30, "history_days": need},
            "lacks": lacks, "earliest": when, "method": RUNGS[have.rung],
        })  # fmt: skip
    lines = data.lines is not None and bool(len(data.lines.day))
    lacks = [w for w in ("" if lines else "order lines", data.refusal) if w]
    found.append({
        "score": "recommendations", "is_ready": not lacks, "lacks": lacks, "earliest": "",
        "method": "own repeats, co-occurrence, bestsellers",
    })  # fmt: skip
    return found + score_more.ready(store, config, as_of, data)


def rollback(store: Store, score: str) -> str:
    """Take back a score's latest cutoff: the one before counts again. Returns that cutoff's day."""
    days = [d for (d,) in store.sql("SELECT DISTINCT cutoff FROM score_cards WHERE score = ? ORDER BY cutoff DESC", [score])]
    if len(days) < 2:
        raise UsageError(f"There is no earlier '{score}' to go back to. `rollcall score` makes a new one.")
    with store.transaction():
        for name in (score, f"{score}_lo", f"{score}_hi"):
            store.sql("DELETE FROM scores WHERE score = ? AND cutoff = ?", [name, days[0]])
        store.sql("DELETE FROM score_cards WHERE score = ? AND cutoff = ?", [score, days[0]])
    return str(days[1])


def graded(store: Store, config: Config, as_of: AsOf) -> list[dict[str, Any]]:
    """Every published score whose horizon has closed, with what came true."""
    data = load(store, config, as_of)
    return score_grades.graded(store, data, score_more.mail_of(store, config, as_of, data))
