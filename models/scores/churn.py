"""Churn: P(no order within the next H days), by the ladder of how much data there is.

100 to 499 customers (or under 180 days): MBG/NBD. 500 to 1,999: its mean with a small logistic regression. From 2,000
with three closed training cutoffs: logistic regression on purchase features and both repeat-buying models. Fewer
customers, fewer than 30 repeat buyers or under 90 days: refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.scores.btyd import BetaGeoFitter
from models.scores.history import Floats, Orders, Snapshot, no_order_within, snapshot

STEP_DAYS = 30
MOST_CUTOFFS = 12
LEAST_HISTORY_DAYS = 90
LEAST_EVENTS = 50


@dataclass(frozen=True)
class Amount:
    """How much there is to learn from, as of a cutoff."""

    customers: int
    repeat_buyers: int
    history_days: int

    @property
    def rung(self) -> str:
        if self.customers < 100 or self.repeat_buyers < 30 or self.history_days < LEAST_HISTORY_DAYS:
            return "refuse"
        if self.customers < 500 or self.history_days < 180:
            return "small"
        return "middle" if self.customers < 2000 else "large"


def amount(orders: Orders, cutoff: int) -> Amount:
    shot = snapshot(orders, cutoff)
    days = int(shot.age.max()) if len(shot.person) else 0
    return Amount(len(shot.person), int((shot.frequency > 0).sum()), days)


class ChurnModel:
    """P(no order in [cutoff, cutoff + horizon)) for everybody with an order before the cutoff.

    fit(orders, cutoff): sees rows before the cutoff only; training windows end on or before it.
    predict(orders, cutoff): one probability per person of `snapshot(orders, cutoff)`.
    """

    def __init__(self, horizon: int, *, seed: int = 7) -> None:
        self.horizon = horizon
        self.seed = seed

    def fit(self, orders: Orders, cutoff: int) -> ChurnModel:
        """Learn rung_, name_, cutoffs_. Raises ValueError where the ladder refuses."""
        known = orders.before(cutoff)
        self.amount_ = amount(known, cutoff)
        self.rung_ = self.amount_.rung
        if self.rung_ == "refuse":
            raise ValueError("too little data")
        self.cutoffs_ = self._training_cutoffs(known, cutoff)
        if self.rung_ == "large" and len(self.cutoffs_) < 3:
            self.rung_ = "middle"
        self.logistic_: Any = None
        if self.rung_ != "small" and self.cutoffs_:
            self._fit_logistic(known)
        if self.logistic_ is None:
            self.rung_ = "small"
        self.name_ = {
            "small": "MBG/NBD",
            "middle": "mean of MBG/NBD and logistic regression",
            "large": "logistic regression with BG/NBD and MBG/NBD",
        }[self.rung_]
        return self

    def predict(self, orders: Orders, cutoff: int) -> Floats:
        shot = snapshot(orders, cutoff)
        x, btyd = self._inputs(shot)
        if self.rung_ == "small":
            return btyd
        learned = np.asarray(self.logistic_.predict_proba(x)[:, 1])
        return (learned + btyd) / 2 if self.rung_ == "middle" else learned

    def _training_cutoffs(self, orders: Orders, cutoff: int) -> list[int]:
        begin = int(orders.day.min()) + LEAST_HISTORY_DAYS
        found = [cutoff - self.horizon - STEP_DAYS * n for n in range(MOST_CUTOFFS)]
        return [c for c in found if c >= begin]

    def _fit_logistic(self, orders: Orders) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        inputs, labels = [], []
        for cut in self.cutoffs_:
            shot = snapshot(orders, cut)
            inputs.append(self._inputs(shot)[0])
            labels.append(no_order_within(orders, shot.person, cut, self.horizon))
        x, y = np.vstack(inputs), np.concatenate(labels)
        if min(int(y.sum()), int((~y).sum())) < LEAST_EVENTS:
            return
        self.logistic_ = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500)).fit(x, y)

    def _inputs(self, shot: Snapshot) -> tuple[Floats, Floats]:
        """(features with the repeat-buying models fitted at this very cutoff, MBG/NBD's own answer)."""
        added = []
        for modified in (False, True):
            model = BetaGeoFitter(modified=modified, penalty=0.0005).fit(shot.frequency, shot.recency, shot.age)
            added.append(model.p_no_order(shot.frequency, shot.recency, shot.age, self.horizon))
            added.append(model.p_alive(shot.frequency, shot.recency, shot.age))
        logged = np.sign(shot.features) * np.log1p(np.abs(shot.features))
        return np.column_stack([logged, *added]), added[2]
