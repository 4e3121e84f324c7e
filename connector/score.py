"""Stage 6 of 10: predictions, each with its card, or a refusal in plain words. Nothing here stops a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from connector import (
    engagement_file,
    score_churn,
    score_files,
    score_grades,
    score_more,
    score_products,
    score_reasons,
    score_value,
    score_watch,
)
from connector.config import Config
from connector.score_attempts import attempt, beside, problems, values
from connector.score_data import ShopData, load
from connector.score_outcomes import Known
from connector.score_parts import Scored, one_thread
from connector.score_watch import cards, graded, lift, ready, rollback
from connector.store import Store
from models.scores.views import Views
from models.segments import AsOf

log = logging.getLogger(__name__)

CHUNK = 50_000


def train_and_score(
    store: Store, config: Config, as_of: AsOf, run_id: str, *, horizon_days: int | None = None
) -> list[dict[str, Any]]:
    """Train, evaluate on the last closed window, and score everybody; fills scores and score_cards. Returns the cards.

    A score that cannot be had is a card that says why. Rows of the same score and cutoff are replaced. What must not take the
    place of the scores in use (`score_watch.stay`) is made, told, and not kept.
    """
    horizon = horizon_days or config.scores.horizon_days
    with one_thread():
        return _make_all(store, config, as_of, run_id, horizon)


def _make_all(store: Store, config: Config, as_of: AsOf, run_id: str, horizon: int) -> list[dict[str, Any]]:
    data = load(store, config, as_of)
    views = Views(data.orders, horizon, data.lines, data.signs)
    tried = [
        attempt(data, "churn", horizon, lambda: score_churn.make(data, views, horizon),
                lambda: values(score_churn.rule(data, horizon))),
        attempt(data, "clv", horizon, lambda: score_value.value(data, views, horizon),
                lambda: values(score_value.rule(data, views, horizon))),
        attempt(data, "purchase_30d", score_value.SOON_DAYS, lambda: score_value.soon(data, views)),
        attempt(data, "next_order", horizon, lambda: score_value.next_order(data, views, horizon)),
    ]  # fmt: skip
    found = [s for s in tried if s]
    days = score_products.WINDOW_DAYS
    offers = attempt(data, "recommendations", days, lambda: score_products.make(data), lambda: score_products.rule(data))
    found += [offers] if offers else []
    mail, unread = score_more.mail_or_none(store, config, as_of, data)
    found += score_more.make(store, config, as_of, data, mail, views, horizon, unread)
    found = _with_reasons(data, views, found)
    score_more.finish(Known(store, config, as_of, data, mail), views, found)
    _keep_bounds(store, data, found, as_of, run_id)
    for scored in found:
        if why := score_watch.stay(store, data, scored.card):
            scored.card.update(is_published=False, status="held", lines=[*scored.card["lines"], why])
            log.warning("score %s: %s", scored.card["score"], why)
            continue
        keep(store, scored, data.people, as_of, run_id)
        log.info("score %s: %s", scored.card["score"], scored.card["status"])
    score_grades.thin(store, config, as_of)
    return [s.card for s in found]


def _with_reasons(data: ShopData, views: Views, found: list[Scored]) -> list[Scored]:
    told = list(found)

    def tell() -> None:
        told[:] = score_reasons.tell(data, views, found)

    beside(found, "Reasons", tell)
    return told


def say_card(card: dict[str, Any]) -> list[str]:
    """The card as lines for a person to read."""
    return [str(card["title"]), *(f"  {line}" for line in card["lines"])]


def write_files(
    store: Store, config: Config, as_of: AsOf, out_dir: Path, *, horizon_days: int | None = None, campaigns: Sequence[str] = ()
) -> list[Path]:
    """One CSV a score for everybody with an order before the date; what was refused holds the simple rule, labelled so."""
    horizon = horizon_days or config.scores.horizon_days
    files = score_files.write(store, config, as_of, out_dir, horizon)
    return [*files, engagement_file.write(store, config, as_of, out_dir, horizon, campaigns)]


def keep(store: Store, scored: Scored, people: list[str], as_of: AsOf, run_id: str) -> None:
    """Replace this score's rows and card of this cutoff."""
    name = scored.card["score"]
    with store.transaction():
        _keep_rows(store, scored, people, as_of, run_id)
        store.sql("DELETE FROM score_cards WHERE score = ? AND cutoff = ?", [name, as_of.day])
        store.sql(
            "INSERT INTO score_cards (score, cutoff, made_run, is_published, card) VALUES (?, ?, ?, ?, ?)",
            [name, as_of.day, run_id, scored.card["is_published"], orjson.dumps(scored.card).decode()],
        )


def _keep_rows(store: Store, scored: Scored, people: list[str], as_of: AsOf, run_id: str) -> None:
    card = scored.card
    with store.transaction():
        store.sql("DELETE FROM scores WHERE score = ? AND cutoff = ?", [card["score"], as_of.day])
        rows = list(scored.rows(scored.people or people))
        for start in range(0, len(rows), CHUNK):
            store.insert("scores", [
                {
                    "score": card["score"], "person_id": p, "value": v, "tier": t, "reasons": r,
                    "cutoff": as_of.day.isoformat(), "horizon_days": card["horizon_days"], "model": card["model"],
                    "n": card["n"], "confidence": card["confidence"], "is_published": card["is_published"], "made_run": run_id,
                }
                for p, v, t, r in rows[start : start + CHUNK]
            ])  # fmt: skip


def _keep_bounds(store: Store, data: ShopData, found: list[Scored], as_of: AsOf, run_id: str) -> None:
    """The range of the next order as two scores of its own, as days since 1970-01-01."""
    dates = next(s for s in found if s.card["score"] == "next_order")
    days = dates.days
    for place, name in ((0, "next_order_lo"), (2, "next_order_hi")):
        card = {**dates.card, "score": name}
        edge = None if days is None else data.cutoff + (np.floor(days[:, 0]) if place == 0 else np.ceil(days[:, 2]))
        _keep_rows(store, Scored(card, edge), data.people, as_of, run_id)


__all__ = ["cards", "graded", "lift", "problems", "ready", "rollback", "say_card", "train_and_score", "write_files"]
