"""Uplift: how much more likely is an order because somebody was written to? Only from a hold-out that was drawn by lot.

Two regularised logistic regressions, one on those written to and one on those held out, and the difference of what they say
(the T-learner of Kuenzel et al. 2019). Judged on people neither has seen: the area under the uplift curve by score against that
of a random order (Qini, Radcliffe 2007), with an interval by resampling people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.scores.history import Floats

LEAST_ARM = 200
LEAST_EVENTS = 50
FOLDS = 5
FAIR_AUC = 0.55
"""A hold-out that purchase history can tell from the rest better than this was not drawn by lot."""


@dataclass(frozen=True)
class Effect:
    """The mean effect in points of probability, and the Qini coefficient of the ranking, each with its 95 % interval."""

    mean: tuple[float, float, float]
    qini: tuple[float, float, float]

    @property
    def is_rankable(self) -> bool:
        return self.qini[1] > 0


class UpliftModel:
    """Probability of an order if written to, less the probability if not."""

    def __init__(self, *, seed: int = 7) -> None:
        self.seed = seed

    def fit(self, inputs: Floats, is_treated: Any, ordered: Any) -> UpliftModel:
        """Learn treated_, held_out_ and effect_ (cross-fitted). Raises ValueError, in words, where the data cannot carry it."""
        why = unfit(inputs, is_treated, ordered, self.seed)
        if why:
            raise ValueError(why)
        score = np.empty(len(ordered))
        fold = np.random.default_rng(self.seed).permutation(len(ordered)) % FOLDS
        for n in range(FOLDS):
            one, two = (_learn(inputs, ordered, (fold != n) & arm) for arm in (is_treated, ~is_treated))
            here = fold == n
            score[here] = _chance(one, inputs[here]) - _chance(two, inputs[here])
        self.effect_ = effect(score, is_treated, ordered, seed=self.seed)
        self.treated_, self.held_out_ = (_learn(inputs, ordered, arm) for arm in (is_treated, ~is_treated))
        return self

    def predict(self, inputs: Floats) -> Floats:
        return _chance(self.treated_, inputs) - _chance(self.held_out_, inputs)


def unfit(inputs: Floats, is_treated: Any, ordered: Any, seed: int = 7) -> str:
    """Why no uplift can be had from these people; '' where it can."""
    arms = int(is_treated.sum()), int((~is_treated).sum())
    if min(arms) < LEAST_ARM:
        return f"{arms[0]:,} people were written to and {arms[1]:,} were held out; {LEAST_ARM} of each are the least"
    events = int(ordered[is_treated].sum()), int(ordered[~is_treated].sum())
    if min(events) < LEAST_EVENTS:
        return f"{events[0]:,} of those written to ordered and {events[1]:,} of those held out; {LEAST_EVENTS} of each are the least"
    silent = arms[0] - events[0], arms[1] - events[1]
    if min(silent) < LEAST_EVENTS:
        return f"{silent[0]:,} of those written to did not order and {silent[1]:,} of those held out; {LEAST_EVENTS} of each are the least"
    told = _told_apart(inputs, is_treated, seed)
    if told > FAIR_AUC:
        return (
            f"what people bought before tells in {told:.0%} of pairs who was held out, so the hold-out was not drawn by lot and "
            "the two sides cannot be compared"
        )
    return ""


def effect(score: Floats, is_treated: Any, ordered: Any, *, seed: int = 7, draws: int = 200) -> Effect:
    random = np.random.default_rng(seed)
    found = np.empty((draws, 2))
    for n in range(draws):
        pick = random.integers(0, len(score), len(score))
        found[n] = _mean(is_treated[pick], ordered[pick]), qini(score[pick], is_treated[pick], ordered[pick])
    low, high = np.nanpercentile(found, [2.5, 97.5], axis=0)
    return Effect(
        (_mean(is_treated, ordered), float(low[0]), float(high[0])),
        (qini(score, is_treated, ordered), float(low[1]), float(high[1])),
    )  # fmt: skip


def qini(score: Floats, is_treated: Any, ordered: Any) -> float:
    """Area between the curve of extra orders by score and the straight line of a random order, per person."""
    order = np.argsort(-score, kind="stable")
    treated, bought = is_treated[order].astype(float), ordered[order].astype(float)
    n_t, n_c = np.cumsum(treated), np.cumsum(1 - treated)
    extra = np.cumsum(bought * treated) - np.cumsum(bought * (1 - treated)) * n_t / np.maximum(n_c, 1)
    line = extra[-1] * np.arange(1, len(order) + 1) / len(order)
    return float(np.mean(extra - line) / len(order))


def _mean(is_treated: Any, ordered: Any) -> float:
    return float(ordered[is_treated].mean() - ordered[~is_treated].mean())


def _told_apart(inputs: Floats, is_treated: Any, seed: int) -> float:
    """Cross-validated AUC of history for the draw: a half where it was drawn by lot."""
    from models.scores import measure

    fold = np.random.default_rng(seed).permutation(len(is_treated)) % FOLDS
    score = np.empty(len(is_treated))
    for n in range(FOLDS):
        score[fold == n] = _chance(_learn(inputs, is_treated, fold != n), inputs[fold == n])
    return measure.auc(is_treated, score)


def _learn(inputs: Floats, truth: Any, rows: Any) -> Any:
    from models.scores.churn import logistic

    return logistic(0.02).fit(inputs[rows], truth[rows])


def _chance(model: Any, inputs: Floats) -> Floats:
    return np.asarray(model.predict_proba(inputs)[:, 1])
