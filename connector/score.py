"""Stage 6 of 10: predictions, each with its card, or a refusal in plain words. Nothing here stops a run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import orjson

from connector import score_churn, score_files
from connector.config import Config
from connector.score_data import load
from connector.score_parts import Scored
from connector.store import Store
from models.segments import AsOf

log = logging.getLogger(__name__)


def train_and_score(
    store: Store, config: Config, as_of: AsOf, run_id: str, *, horizon_days: int | None = None
) -> list[dict[str, Any]]:
    """Train, evaluate on the last closed window, and score everybody; fills scores and score_cards. Returns the cards.

    A score that cannot be had is a card that says why. Rows of the same score and cutoff are replaced.
    """
    horizon = horizon_days or config.scores.horizon_days
    data = load(store, config, as_of)
    found = [score_churn.make(data, horizon)]
    for scored in found:
        _keep(store, scored, data.people, as_of, run_id)
        log.info("score %s: %s", scored.card["score"], scored.card["status"])
    return [s.card for s in found]


def say_card(card: dict[str, Any]) -> list[str]:
    """The card as lines for a person to read."""
    return [str(card["title"]), *(f"  {line}" for line in card["lines"])]


def write_files(store: Store, config: Config, as_of: AsOf, out_dir: Path, *, horizon_days: int | None = None) -> list[Path]:
    """One CSV a score for everybody with an order before the date; what was refused holds the simple rule, labelled so."""
    return score_files.write(store, config, as_of, out_dir, horizon_days or config.scores.horizon_days)


def _keep(store: Store, scored: Scored, people: list[str], as_of: AsOf, run_id: str) -> None:
    """Replace this score's rows and card of this cutoff."""
    name = scored.card["score"]
    with store.transaction():
        for table in ("scores", "score_cards"):
            store.sql(f"DELETE FROM {table} WHERE score = ? AND cutoff = ?", [name, as_of.day])
        store.insert("scores", [
            {
                "score": name, "person_id": p, "value": v, "tier": t, "reasons": r, "cutoff": as_of.day.isoformat(),
                "horizon_days": scored.card["horizon_days"], "model": scored.card["model"], "n": scored.card["n"],
                "confidence": scored.card["confidence"], "is_published": scored.card["is_published"], "made_run": run_id,
            }
            for p, v, t, r in scored.rows(people)
        ])  # fmt: skip
        store.sql(
            "INSERT INTO score_cards (score, cutoff, made_run, is_published, card) VALUES (?, ?, ?, ?, ?)",
            [name, as_of.day, run_id, scored.card["is_published"], orjson.dumps(scored.card).decode()],
        )
