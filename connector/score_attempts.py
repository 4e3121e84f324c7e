"""One score that fails on data nobody thought of is named, on its card and as a problem of the run; the others go on."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from connector.score_data import ShopData
from connector.score_parts import Card, Scored, refused, with_notes
from models.errors import ConnectorError, QueryError
from models.scores.history import Floats

log = logging.getLogger(__name__)

TITLES = {
    "churn": "Churn", "clv": "Customer value", "purchase_30d": "Purchase in 30 days", "next_order": "Next order",
    "recommendations": "Recommended products", "engagement": "Engagement", "p_alive": "P(alive)",
    "clv_365d": "Customer value, a year", "uplift": "Uplift", "next_category": "Next category", "next_topic": "Next topic",
}  # fmt: skip
T = TypeVar("T")
OURS = "This is our mistake, not yours; please report it with this line. The next run tries again."


@dataclass(frozen=True)
class Failed:
    """What was tried and failed on something nobody thought of: where."""

    where: str


def tried(do: Callable[[], T]) -> T | Failed:
    """What `do` gives, or where it failed, which is ours to mend and stops nothing else.

    What we raise on purpose (a full disk, a store that cannot be read) and memory that is used up are not that: they would
    meet the next step too, and end the run in their own words. A value that the store cannot work with meets one step alone.
    """
    try:
        return do()
    except QueryError as e:
        return Failed(place_of(e))
    except (ConnectorError, MemoryError):
        raise
    except Exception as e:  # noqa: BLE001 - whatever else it is, the other scores and the run go on
        return Failed(place_of(e))


def attempt(
    data: ShopData, score: str, horizon: int, make: Callable[[], Scored | None], rule: Callable[[], Scored] | None = None
) -> Scored | None:
    """What `make` gives; where it fails, a card that says so, with what `rule` gives people instead."""
    made = tried(make)
    return failed(data, score, horizon, made.where, rule) if isinstance(made, Failed) else made


def failed(data: ShopData, score: str, horizon: int, where: str, rule: Callable[[], Scored] | None = None) -> Scored:
    """The card of a score that failed at this place, with what `rule` gives people instead; where that fails too, nothing."""
    title, fallback = TITLES[score], None
    if rule is not None:
        given = tried(rule)
        if isinstance(given, Failed):
            log.warning("The simple rule of %s failed as well (%s).", score, given.where)
        elif given.value is not None:
            fallback = given
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
    done = tried(do)
    if isinstance(done, Failed):
        text = f"{what} could not be told on the cards ({done.where}); the scores themselves are not touched. {OURS}"
        found[0].card.setdefault("problems", []).append(text)


def problems(cards: Sequence[Card]) -> list[str]:
    """What failed while these cards were made, in words."""
    return [text for card in cards for text in card.get("problems", ())]


def place_of(error: Exception) -> str:
    """The kind of an error and the line it came from; never its message, which may hold a customer's data."""
    frames = traceback.extract_tb(error.__traceback__)
    last = next((f for f in reversed(frames) if Path(f.filename).name not in ("store.py", "contextlib.py")), frames[-1])
    return f"{type(error).__name__} in {Path(last.filename).name}, line {last.lineno}"


def values(value: Floats, people: list[str] | None = None) -> Scored:
    """A rule's values, for `attempt`."""
    return Scored({}, value, people=people)
