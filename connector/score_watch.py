"""Cards, readiness, grading of closed horizons and going back to an earlier cutoff."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import orjson

from connector import score_grades, score_more
from connector.config import Config
from connector.score_data import ShopData, load
from connector.score_outcomes import Known
from connector.score_parts import checked_days, people_lacking, unchecked
from connector.score_products import LEAST_BUYERS, WINDOW_DAYS
from connector.store import Store
from models.errors import UsageError
from models.scores.views import LEAST_HISTORY_DAYS, Views
from models.segments import AsOf

HELD = "score_held:"
ASKED = "score_asked"
STAYS = "It stays until you run `rollcall score`, or its horizon is over."
FOUND = ("cluster", "anomaly")
"""What only `discover` makes, and nothing makes again by itself."""

RUNGS = {
    "refuse": "plain rules only",
    "small": "MBG/NBD, low confidence",
    "middle": "mean of MBG/NBD and logistic regression, medium confidence",
    "large": "learned models chosen by back-test, high confidence",
}


def cards(store: Store, until: date | None = None) -> list[dict[str, Any]]:
    """The card of every score that is in use: that of the newest cutoff, up to the day `until`."""
    found = store.sql(
        """SELECT card FROM score_cards WHERE cutoff <= coalesce(CAST(? AS DATE), cutoff)
           QUALIFY row_number() OVER (PARTITION BY score ORDER BY cutoff DESC, made_run DESC) = 1 ORDER BY score""",
        [until],
    )
    kept = held(store)
    return [_with_hold(orjson.loads(c), kept) for (c,) in found]


def _with_hold(card: dict[str, Any], kept: dict[str, str]) -> dict[str, Any]:
    if kept.get(card["score"]) != card["cutoff"]:
        return card
    return {**card, "lines": [*card["lines"], f"You went back to this one. {STAYS}"]}


def ready(store: Store, config: Config, as_of: AsOf) -> list[dict[str, Any]]:
    """Per score what there is, what is needed, and the first day on which it may be enough ('' where only people lack)."""
    data = load(store, config, as_of)
    views = Views(data.orders, config.scores.horizon_days)
    have = views.amount(data.cutoff)
    found = []
    for score, horizon in (("churn", config.scores.horizon_days), ("clv", config.scores.horizon_days), ("purchase_30d", 30),
                           ("next_order", config.scores.horizon_days)):  # fmt: skip
        need = LEAST_HISTORY_DAYS + (horizon if score == "next_order" else min(horizon, LEAST_HISTORY_DAYS))
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
    buyers = _known_buyers(data)
    few = buyers is not None and buyers < LEAST_BUYERS
    lacks = ["order lines"] if buyers is None else []
    lacks += [f"{LEAST_BUYERS - (buyers or 0):,} more known customers who bought in the last {WINDOW_DAYS} days"] if few else []
    lacks += [data.refusal] if data.refusal else []
    found.append({
        "score": "recommendations", "is_ready": not lacks, "lacks": lacks, "earliest": "",
        "method": "own repeats, co-occurrence, bestsellers",
    })  # fmt: skip
    return found + score_more.ready(store, config, as_of, data)


def _known_buyers(data: ShopData) -> int | None:
    """Who bought in the last window and before it; None where the order lines are unknown."""
    lines = data.lines
    if lines is None or not len(lines.day):
        return None
    good = (lines.product >= 0) & (lines.quantity > 0)
    since = lines.day >= data.cutoff - WINDOW_DAYS
    return len(np.intersect1d(lines.person[good & ~since], lines.person[good & since & (lines.day < data.cutoff)]))


def rollback(store: Store, score: str) -> str:
    """Take back a score's latest cutoff: the published one before counts again, and stays (`held`). Returns its day.

    Not a cutoff whose horizon was over by then, such as a back-test of years ago: what it foretold lies in the past.
    """
    made = store.sql(
        """SELECT cutoff, is_published, CAST(card->>'$.horizon_days' AS INTEGER) FROM score_cards
           WHERE score = ? ORDER BY cutoff DESC""",
        [score],
    )
    if not made:
        raise UsageError(f"There is no score '{score}' to take back. `rollcall score card` lists those there are.")
    latest, is_used, _ = made[0]
    if not is_used:
        raise UsageError(
            f"The '{score}' of {latest} was not published, so there is nothing to take back: its columns are empty."
        )
    day = next((d for d, published, days in made[1:] if published and (not days or d + timedelta(days=days) > latest)), None)
    if day is None:
        raise UsageError(
            f"There is no earlier '{score}' to go back to: none was published, or what it foretold is over. "
            "`rollcall score` makes a new one."
        )
    with store.transaction():
        for name in (score, f"{score}_lo", f"{score}_hi"):
            store.sql("DELETE FROM scores WHERE score = ? AND cutoff > ?", [name, day])
        store.sql("DELETE FROM score_cards WHERE score = ? AND cutoff > ?", [score, day])
        if score not in FOUND:
            store.sql("DELETE FROM meta WHERE name = ?", [f"{HELD}{score}"])
            store.insert("meta", [{"name": f"{HELD}{score}", "value": str(day)}])
    return str(day)


def held(store: Store) -> dict[str, str]:
    """Scores that the owner took back -> the day of the one in use instead."""
    found = store.sql("SELECT name, value FROM meta WHERE starts_with(name, ?)", [HELD])
    return {name.removeprefix(HELD): str(day) for name, day in found}


def lift(store: Store, as_of: AsOf) -> None:
    """The owner asks for new scores as of this day and gets them, however good; what was taken back may be made again. A
    back-test of an earlier day lifts nothing that came later."""
    today = as_of.day.isoformat()
    lifted = [ASKED, *(f"{HELD}{score}" for score, day in held(store).items() if today > day)]
    with store.transaction():
        store.sql("DELETE FROM meta WHERE list_contains(?, name)", [lifted])
        store.insert("meta", [{"name": ASKED, "value": today}])


def stay(store: Store, data: ShopData, card: dict[str, Any]) -> str:
    """Why the scores in use stay, and this new one is not kept: the owner went back to them, or they have shown themselves
    better (not on a day for which the owner asked for new ones). '' where it takes their place, as every refusal does."""
    name, today = str(card["score"]), data.day.isoformat()
    if not card["is_published"]:
        return ""
    day = held(store).get(name, today)
    if day < today and _speaks(store, name, day, data.day):
        return f"Not used: you went back to the one of {day}. {STAYS}"
    if name not in score_grades.GRADED or store.value("SELECT value FROM meta WHERE name = ?", [ASKED]) == today:
        return ""
    return score_grades.better_in_use(store, data, card)


def _speaks(store: Store, score: str, day: str, today: date) -> bool:
    """Whether what the score of that day foretold is not over yet; 0 days ahead is never over."""
    days = store.value(
        "SELECT CAST(card->>'$.horizon_days' AS INTEGER) FROM score_cards WHERE score = ? AND cutoff = CAST(? AS DATE)",
        [score, day],
    )
    return days is not None and (not days or date.fromisoformat(day) + timedelta(days=int(days)) > today)


def graded(store: Store, config: Config, as_of: AsOf) -> list[dict[str, Any]]:
    """Every published score whose horizon has closed, with what came true."""
    data = load(store, config, as_of)
    return score_grades.graded(Known(store, config, as_of, data, score_more.mail_of(store, config, as_of, data)))
