"""How high a forecast stands as a whole: what was learned from earlier windows against the repeat-buying models, by back-test.

A learned model takes the next window for like the ones it saw; BG/NBD and MBG/NBD know that customers age, and nothing of
seasons. Which of the two is nearer shows on closed windows; where few have closed, the middle of both is the safer guess.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PRIOR = 0.04
"""Squared error of a level (a difference of logarithms) that a single closed window is weighed against."""


@dataclass(frozen=True)
class Seen:
    """A closed window: the level as learned, as the repeat-buying models expected it, and as it came (logarithms)."""

    closed: int
    learned: float
    other: float
    truth: float


def share(seen: list[Seen]) -> float:
    """Weight of the learned level against the other, by their squared errors, drawn to one half where few windows closed."""
    if not seen:
        return 0.5
    learned, other = (float(np.mean([(getattr(s, name) - s.truth) ** 2 for s in seen])) for name in ("learned", "other"))
    prior = PRIOR / len(seen)
    return (other + prior) / (learned + other + 2 * prior)


def combined(seen: list[Seen], learned: float, other: float, horizon: int) -> float:
    """Both levels by weight, corrected by half the error of the last closed window where that would have paid every time.

    What a window teaches is known when it has closed, so a correction reaches over a whole horizon (in days).
    """
    weight = share(seen)
    error = {s.closed: s.truth - weight * s.learned - (1 - weight) * s.other for s in seen}
    gained = []
    for closed, now in error.items():
        earlier = [b for b in error if b <= closed - horizon]
        if earlier:
            gained.append(abs(now) - abs(now - error[max(earlier)] / 2))
    drift = error[max(error)] / 2 if len(gained) >= 2 and min(gained) > 0 else 0.0
    return weight * learned + (1 - weight) * other + drift


def beyond(errors: list[float]) -> float:
    """What to add to a level stretched beyond the windows that taught, from its errors (came less expected) on the longer
    windows that have closed: their mean, drawn to nothing where it is small or rests on few."""
    if not errors:
        return 0.0
    mean = float(np.mean(errors))
    return mean * mean**2 / (mean**2 + PRIOR / len(errors))
