"""One score that fails on data nobody thought of is named, on its card and as a problem of the run; the others go on."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from connector.score_data import ShopData
from connector.score_parts import Card, Scored, refused, with_notes
from models.scores.history import Floats

log = logging.getLogger(__name__)

TITLES = {
    "churn": "Churn", "clv": "Customer value", "purchase_30d": "Purchase in 30 days", "next_order": "Next order",
    "recommendations": "Recommended products", "engagement": "Engagement", "p_alive": "P(alive)",
    "clv_365d": "Customer value, a year", "uplift": "Uplift", "next_category": "Next category", "next_topic": "Next topic",
}  # fmt: skip
OURS = "This is our mistake, not yours; please report it with this line. The next run tries again."


def attempt(
    data: ShopData, score: str, horizon: int, make: Callable[[], Scored | None], rule: Callable[[], Scored] | None = None
) -> Scored | None:
    """What `make` gives; where it fails, a card that says so, with what `rule` gives people instead."""
    try:
        return make()
    except Exception as e:  # noqa: BLE001 - whatever it is, the other scores and the run go on
        where = place_of(e)
    title = TITLES[score]
    fallback = None
    if rule is not None:
        try:
            given = rule()
            fallback = given if given.value is not None else None
        except Exception as e:  # noqa: BLE001 - no rule either: the file says refused
            log.warning("The simple rule of %s failed as well (%s).", score, place_of(e))
    instead = "The simple rule is used instead. " if fallback is not None else ""
    card = refused(score, title, "", horizon=horizon, day=data.day.isoformat(), n=len(data.people))
    card |= {
        "lines": [f"Not published. The score could not be made ({where}). {instead}{OURS}"],
        "problems": [f"The score '{score}' could not be made ({where}); the other scores are not touched. {instead}{OURS}"],
    }
    card = with_notes(card, data)
    return Scored(card) if fallback is None else Scored(card, fallback.value, None, fallback.reasons, fallback.people)


def beside(found: Sequence[Scored], what: str, do: Callable[[], None]) -> None:
    """What is told on the cards beside the scores themselves: where it fails, the scores hold without it."""
    try:
        do()
    except Exception as e:  # noqa: BLE001 - whatever it is, the scores are made
        text = f"{what} could not be told on the cards ({place_of(e)}); the scores themselves are not touched. {OURS}"
        found[0].card.setdefault("problems", []).append(text)


def problems(cards: Sequence[Card]) -> list[str]:
    """What failed while these cards were made, in words."""
    return [text for card in cards for text in card.get("problems", ())]


def place_of(error: Exception) -> str:
    """The kind of an error and the line it came from; never its message, which may hold a customer's data."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}, line {last.lineno}"


def values(value: Floats, people: list[str] | None = None) -> Scored:
    """A rule's values, for `attempt`."""
    return Scored({}, value, people=people)
