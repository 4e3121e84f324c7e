"""When will the next order come? For people who have come back before; never for one-time buyers, never in the past.

Days from the cutoff, given that an order comes within the horizon: median and the bounds that hold in 8 of 10 cases. Below
500 customers MBG/NBD's own waiting times; from 500 boosted quantiles where they came nearer in the last closed window; from 2,000
with three closed cutoffs boosted quantiles. The bounds are widened or
narrowed to what the last closed window shows, in the whole days that owners see.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.scores.history import Floats, Ints, Orders
from models.scores.views import LEAST_EVENTS, STEP_DAYS, Stack, View, Views

SHARES = (0.1, 0.5, 0.9)
COVERAGE = 0.8
MOST_WINDOWS = 4
ENOUGH = 500
"""So many who came back in a closed window tell how far the bounds must move: their share is then known to 4 points."""


def wait_within(orders: Orders, people: Ints, cutoff: int, horizon: int) -> Floats:
    """The label: days from the cutoff to the first order in [cutoff, cutoff + horizon), NaN where none came."""
    inside = np.flatnonzero((orders.day >= cutoff) & (orders.day < cutoff + horizon))
    who, first = np.unique(orders.person[inside], return_index=True)
    found = np.full(int(max(people.max(initial=0), who.max(initial=0))) + 1, np.nan)
    found[who] = orders.day[inside][first] - cutoff
    return found[people]


class NextOrderModel:
    """fit(views, cutoff) sees rows before the cutoff only; predict(view): whole days (low, middle, high), NaN for one-time buyers."""

    def __init__(self, horizon: int, *, seed: int = 7) -> None:
        self.horizon = horizon
        self.seed = seed

    def fit(self, views: Views, cutoff: int) -> NextOrderModel:
        """Learn rung_, name_, cutoffs_, widen_. Raises ValueError where the ladder refuses."""
        self.amount_ = views.amount(cutoff)
        self.rung_ = self.amount_.rung
        if self.rung_ == "refuse":
            raise ValueError("too little data")
        self.cutoffs_ = views.training_cutoffs(cutoff, self.horizon)
        if self.rung_ == "large" and len(self.cutoffs_) < 3:
            self.rung_ = "middle"
        self.trees_ = self._trees(views.teacher, self.cutoffs_) if self._learns(views.teacher, cutoff) else None
        self.name_ = "MBG/NBD waiting time" if self.trees_ is None else "boosted quantiles with BG/NBD and MBG/NBD"
        self.widen_ = self._widen(views.teacher, cutoff - self.horizon)
        return self

    def predict(self, view: View) -> Floats:
        low, middle, high = self._raw(view, self.trees_).T
        low, high = np.minimum(low - self.widen_, middle), np.maximum(high + self.widen_, middle)
        days = np.clip(np.floor(np.expm1(np.column_stack([low, middle, high]))), 0, self.horizon - 1)
        days[view.shot.frequency < 1] = np.nan
        return np.asarray(days)

    def _learns(self, views: Views, cutoff: int) -> bool:
        """Trees: in large shops; else where they were measurably nearer in the last closed window, as where people buy by the
        calendar, of which the repeat-buying model knows nothing."""
        if self.rung_ != "middle" or not self.cutoffs_:
            return self.rung_ == "large"
        closed = cutoff - self.horizon
        trees = self._trees(views, views.training_cutoffs(closed, self.horizon))
        if trees is None or views.amount(closed).rung == "refuse":
            return False
        view = views.at(closed)
        wait = wait_within(views.orders, view.person, closed, self.horizon)
        known = ~np.isnan(wait) & (view.shot.frequency > 0)
        if int(known.sum()) < LEAST_EVENTS:
            return False
        truth = np.log1p(wait[known] + 0.5)
        gain = _pinball(truth, self._raw(view, None)[known]) - _pinball(truth, self._raw(view, trees)[known])
        return bool(gain.mean() > 2 * gain.std() / np.sqrt(len(gain)))

    def _raw(self, view: View, trees: list[Any] | None) -> Floats:
        """Logarithms of 1 + days from the cutoff's midnight, low, middle and high."""
        if trees is None:
            s = view.shot
            waits = [view.modified.waiting_days(s.frequency, s.age, q, self.horizon) for q in SHARES]
        else:
            waits = [np.expm1(t.predict(view.inputs)) for t in trees]
        return np.sort(np.log1p(np.maximum(np.column_stack(waits), 0)), axis=1)

    def _trees(self, views: Views, cutoffs: list[int]) -> list[Any] | None:
        if not cutoffs:
            return None
        key = ("next order", self.horizon, self.seed, *cutoffs)
        if key not in views.trained:
            views.trained[key] = self._train(views, cutoffs)
        found: list[Any] | None = views.trained[key]
        return found

    def _train(self, views: Views, cutoffs: list[int]) -> list[Any] | None:
        from sklearn.ensemble import HistGradientBoostingRegressor

        stack = Stack.of(views, cutoffs, 20_000)
        wait = np.concatenate([
            np.where(
                views.at(c).shot.frequency[r] > 0, wait_within(views.orders, views.at(c).person[r], c, self.horizon), np.nan
            )
            for c, r in zip(stack.cutoffs, stack.rows, strict=True)
        ])  # fmt: skip
        known = ~np.isnan(wait)
        if int(known.sum()) < 10 * LEAST_EVENTS:
            return None
        # Whole days pile up where quantiles would jump; a moment of the day spreads them (Machado & Santos Silva 2005).
        moment = np.log1p(wait[known] + np.random.default_rng(self.seed).random(int(known.sum())))
        return [
            HistGradientBoostingRegressor(
                loss="quantile", quantile=q, max_iter=60, learning_rate=0.1, max_leaf_nodes=8, min_samples_leaf=60,
                l2_regularization=3, early_stopping=False, random_state=self.seed,
            ).fit(stack.x[known], moment)
            for q in SHARES
        ]  # fmt: skip

    def _widen(self, views: Views, closed: int) -> float:
        """How far the bounds must move for 8 of 10 of the last closed window to lie inside; 0 where none has closed.

        Where few came back in it, those of up to three windows that closed before it are counted too.
        """
        needed = np.empty(0)
        for n in range(MOST_WINDOWS):
            needed = np.r_[needed, self._needed(views, closed - n * STEP_DAYS)]
            if len(needed) >= ENOUGH:
                break
        return float(np.quantile(needed, COVERAGE, method="higher")) if len(needed) >= LEAST_EVENTS else 0.0

    def _needed(self, views: Views, closed: int) -> Floats:
        """By how much each one's bounds missed, in the window from `closed`."""
        if views.amount(closed).rung == "refuse":
            return np.empty(0)
        trees = self._trees(views, views.training_cutoffs(closed, self.horizon)) if self.trees_ is not None else None
        if self.trees_ is not None and trees is None:
            return np.empty(0)
        view = views.at(closed)
        wait = wait_within(views.orders, view.person, closed, self.horizon)
        known = ~np.isnan(wait) & (view.shot.frequency > 0)
        if not known.any():
            return np.empty(0)
        low, middle, high = self._raw(view, trees)[known].T
        truth, usual = wait[known], np.floor(np.expm1(middle))
        needed = np.where(truth > usual, np.log1p(truth) - high, low - np.log1p(truth + 1))
        needed[truth == usual] = -np.inf
        return np.asarray(needed)


def _pinball(truth: Floats, quantiles: Floats) -> Floats:
    """Mean loss over low, middle and high of each person."""
    over = truth[:, None] - quantiles
    return np.asarray(np.mean(np.maximum(np.array(SHARES) * over, (np.array(SHARES) - 1) * over), axis=1))
