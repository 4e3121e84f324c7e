"""Churn: P(no order within the next H days), by the ladder of how much data there is.

100 to 499 customers (or under 180 days): MBG/NBD. 500 to 1,999: its mean with a regularised logistic regression. From
2,000 with three closed training cutoffs: that mean, logistic regression, boosting or their blend on purchase features and both
repeat-buying models, chosen by rolling back-test, the simplest within one standard error of the best. Less: refused.
Where no window of H days has closed, 90-day windows teach, and the repeat-buying model says what the rest of the time adds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, logit

from models.scores.history import Floats, no_order_within
from models.scores.level import Level, Seen, beyond
from models.scores.views import LEAST_EVENTS, Stack, View, Views

BASE_HORIZON = 90
MOST_ROWS = 150_000
MOST_BOOSTED_ROWS = 120_000
VALIDATIONS = 3
LEAST_WINDOWS = 2
CANDIDATES = ("logistic", "blend", "boosting")
LARGE = ("middle", *CANDIDATES)
"""Simplest first."""

MIDDLE = ("middle", "logistic")
"""The same for shops of 500 to 1,999. Where people buy by the calendar, the repeat-buying models are best left out."""

MIDDLE_WITH_SIGNS = ("middle", *CANDIDATES)
"""The same where more than orders is known: only trees see it."""

NAMES = {
    "small": "MBG/NBD",
    "middle": "mean of MBG/NBD and logistic regression",
    "logistic": "logistic regression with BG/NBD and MBG/NBD",
    "boosting": "boosted trees with BG/NBD and MBG/NBD",
    "blend": "blend of logistic regression and boosted trees with BG/NBD and MBG/NBD",
}
Predictor = Callable[[View], Floats]


class ChurnModel:
    """P(no order in [cutoff, cutoff + horizon)) for everybody with an order before the cutoff.

    fit(views, cutoff): sees rows before the cutoff only; training windows end on or before it.
    predict(view): one probability per person of the view.
    """

    def __init__(self, horizon: int, *, seed: int = 7, candidates: tuple[str, ...] = LARGE) -> None:
        self.horizon = horizon
        self.seed = seed
        self.candidates = candidates

    def fit(self, views: Views, cutoff: int) -> ChurnModel:
        """Learn rung_, name_, taught_horizon_, cutoffs_, shift_, tried_. Raises ValueError where the ladder refuses."""
        self.amount_ = views.amount(cutoff)
        self.rung_ = self.amount_.rung
        if self.rung_ == "refuse":
            raise ValueError("too little data")
        self.taught_horizon_ = self.horizon
        self.cutoffs_ = views.training_cutoffs(cutoff, self.horizon)
        if not self.cutoffs_ and self.horizon > BASE_HORIZON:
            self.taught_horizon_ = BASE_HORIZON
            self.cutoffs_ = views.training_cutoffs(cutoff, BASE_HORIZON)
        if self.rung_ == "large" and len(self.cutoffs_) < 3:
            self.rung_ = "middle"
        self.tried_: dict[str, float] = {}
        self.shift_ = self.beyond_ = 0.0
        self.seen_: list[Seen] = []
        self.level_: Level | None = None
        self.kind_ = {"large": self.candidates[0], "middle": "middle", "small": "small"}[self.rung_]
        if self.rung_ != "small":
            self._choose(views.teacher)
        self.predictor_ = self._train(views.teacher, cutoff, self.kind_)
        if self.predictor_ is None:
            self.rung_ = self.kind_ = "small"
            self.predictor_ = self._btyd
        self.shift_ = self._level(views, cutoff)
        if self.is_extrapolated and self.kind_ != "small":
            self.beyond_ = self._beyond(views.teacher, cutoff)
        self.name_ = NAMES[self.kind_]
        return self

    @property
    def is_extrapolated(self) -> bool:
        return self.taught_horizon_ != self.horizon

    def predict(self, view: View) -> Floats:
        assert self.predictor_ is not None
        p = expit(logit(_inside(self.predictor_(view))) + self.shift_)
        if self.is_extrapolated and self.kind_ != "small":
            far, near = (_inside(view.p_no_order(h)) for h in (self.horizon, self.taught_horizon_))
            p = expit(logit(p) + logit(far) - logit(near) + self.beyond_)
        return np.asarray(p)

    def _btyd(self, view: View) -> Floats:
        return view.p_no_order(self.horizon if self.kind_ == "small" else self.taught_horizon_)

    def _choose(self, views: Views) -> None:
        """Rolling back-test on windows that have closed: the kind, and what is known about the level."""
        kinds = self.candidates if self.rung_ == "large" else MIDDLE if views.signs is None else MIDDLE_WITH_SIGNS
        losses: dict[str, list[Floats]] = {k: [] for k in kinds}
        levels: dict[str, list[Seen]] = {k: [] for k in kinds}
        for closed in views.judged(self.cutoffs_[:VALIDATIONS], self.taught_horizon_):
            trained = {k: self._train(views, closed, k) for k in kinds}
            view = views.at(closed)
            truth = no_order_within(views.orders, view.person, closed, self.taught_horizon_)
            for kind, model in trained.items():
                if model is not None:
                    p = _inside(model(view))
                    losses[kind].append(_loss(truth, expit(logit(p) + _intercept(p, float(truth.mean())))))
                    learned, other = self._levels(view, model)
                    levels[kind].append(Seen(closed, learned, other, float(logit(_inside(truth.mean())))))
        if len(losses[kinds[0]]) < LEAST_WINDOWS:  # no choice can rest on so little: the middle of both is safer
            self.kind_ = "blend" if self.rung_ == "large" and "blend" in kinds else kinds[0]
            self.seen_ = levels[self.kind_]
            return
        mean = {k: float(np.mean([v.mean() for v in parts])) for k, parts in losses.items() if parts}
        self.tried_ = {k: round(v, 5) for k, v in mean.items()}
        best = min(mean, key=lambda k: mean[k])
        for kind in (k for k in kinds if k in mean):
            gaps = [a - b for a, b in zip(losses[kind], losses[best], strict=True)]
            error = float(np.sqrt(np.sum([g.var() / len(g) for g in gaps]))) / len(gaps)
            if mean[kind] - mean[best] <= error:
                self.kind_, self.seen_ = kind, levels[kind]
                return

    def _levels(self, view: View, model: Predictor) -> tuple[float, float]:
        """Mean probabilities as log odds: the learned model's, and the repeat-buying models'."""
        found = (_inside(p).mean() for p in (model(view), view.both_no_order(self.taught_horizon_)))
        learned, other = (float(logit(p)) for p in found)
        return learned, other

    def _level(self, views: Views, cutoff: int) -> float:
        """The shift of the log odds that brings the mean probability to where the closed windows say it should be."""
        assert self.predictor_ is not None
        days, orders, view = self.taught_horizon_, views.gauge.orders, views.at(cutoff)

        def miss(past: View) -> tuple[float, float]:
            came = float(_inside(no_order_within(orders, past.person, past.cutoff, days).mean()))
            expected = float(_inside(past.both_no_order(days).mean()))
            return float(logit(came) - logit(expected)), len(past.person) * came * (1 - came)

        if self.is_extrapolated and self.kind_ == "small":
            return 0.0
        self.level_ = Level(days, sign=-1, ahead=self.horizon).fit(views.gauge, cutoff, miss)
        if self.rung_ != "large" and self.kind_ not in CANDIDATES:
            return self.level_.foreseen()
        wanted = self.level_.combined(self.seen_, *self._levels(view, self.predictor_))
        return _intercept(_inside(self.predictor_(view)), float(expit(wanted)))

    def _beyond(self, views: Views, cutoff: int) -> float:
        """What the stretching model missed on closed windows longer than those that taught, in log odds."""
        errors = []
        for closed, days in views.longer(cutoff, self.taught_horizon_, self.horizon):
            view = views.at(closed)
            came = no_order_within(views.orders, view.person, closed, days).mean()
            errors.append(float(logit(_inside(came)) - logit(_inside(view.p_no_order(days).mean()))))
        return beyond(errors)

    def _train(self, views: Views, end: int, kind: str) -> Predictor | None:
        """From windows closed by the day `end`; None where a class has too few events to learn from."""
        if kind == "small":
            return self._btyd
        key = ("churn", self.taught_horizon_, self.seed, kind, end)
        if key not in views.trained:
            views.trained[key] = self._train_afresh(views, end, kind)
        found: Predictor | None = views.trained[key]
        return found

    def _train_afresh(self, views: Views, end: int, kind: str) -> Predictor | None:
        horizon = self.taught_horizon_
        if kind == "blend":
            return _mean_odds(self._train(views, end, "logistic"), self._train(views, end, "boosting"))
        if kind == "middle":
            learned = self._train(views, end, "logistic")
            return None if learned is None else lambda v: np.asarray((learned(v) + v.p_no_order(horizon)) / 2)
        whole = self._learn(views, end, kind, 0, horizon)
        half = horizon // 2
        if kind == "boosting" or whole is None or not half:
            return whole
        early, late = self._learn(views, end, kind, 0, half), self._learn(views, end, kind, half, horizon)
        if early is None or late is None:
            return whole
        return _mean_odds(whole, lambda v: np.asarray(early(v) * late(v)))

    def _learn(self, views: Views, end: int, kind: str, begin: int, horizon: int) -> Predictor | None:
        """P(no order before `horizon` | none before `begin`), in days from the cutoff."""
        cutoffs = views.training_cutoffs(end, horizon, views.step)
        if not cutoffs:
            return None
        trees = kind == "boosting"
        stack = Stack.of(views, cutoffs, MOST_BOOSTED_ROWS if trees else MOST_ROWS, wide=trees)
        waited = stack.label(lambda c, p: no_order_within(views.orders, p, c, begin))
        y = stack.label(lambda c, p: no_order_within(views.orders, p, c, horizon))[waited]
        x, weight = stack.x[waited], stack.weight[waited]
        if min(int(y.sum()), int((~y).sum())) < LEAST_EVENTS:
            return None
        if trees:
            found = boosting(self.seed).fit(x, y)  # weights would cost twenty times the time for nothing measurable
            return lambda v: np.asarray(found.predict_proba(v.wide)[:, 1])
        line = logistic().fit(x, y, logisticregression__sample_weight=weight)
        return lambda v: np.asarray(line.predict_proba(v.inputs)[:, 1])


def logistic(strength: float = 0.03) -> Any:
    """Newton's method: it ends at the same point to the last digits whatever the number of threads."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-8, max_iter=100))


def boosting(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return over_gaps(HistGradientBoostingClassifier(
        max_iter=120, learning_rate=0.08, max_leaf_nodes=4, min_samples_leaf=60, l2_regularization=3, max_features=0.3,
        early_stopping=False, random_state=seed,
    ))  # fmt: skip


def over_gaps(trees: Any) -> Any:
    """Trees bear missing values, but no column in which everything is missing."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    class Filled(FunctionTransformer):  # type: ignore[misc]  # ships no type information
        """A column that was empty on fitting is 0 for everybody."""

        def fit(self, x: Floats, y: Any = None) -> Filled:
            super().fit(x, y)
            self.empty_ = np.isnan(x).all(axis=0)
            return self

        def transform(self, x: Floats) -> Floats:
            return np.where(self.empty_, 0.0, x) if self.empty_.any() else x

    return make_pipeline(Filled(), trees)


def _inside(p: Floats) -> Floats:
    return np.clip(p, 1e-6, 1 - 1e-6)


def _loss(truth: Any, p: Floats) -> Floats:
    return np.asarray(-np.where(truth, np.log(p), np.log1p(-p)))


def _mean_odds(one: Predictor | None, two: Predictor | None) -> Predictor | None:
    if one is None or two is None:
        return None
    return lambda v: np.asarray(expit((logit(_inside(one(v))) + logit(_inside(two(v)))) / 2))


def _intercept(p: Floats, rate: float) -> float:
    """The shift of the log odds at which the mean probability is `rate` (Newton)."""
    odds, shift = logit(p), 0.0
    for _ in range(30):
        q = expit(odds + shift)
        step = float((rate - q.mean()) / max(float(np.mean(q * (1 - q))), 1e-9))
        shift += step
        if abs(step) < 1e-12:
            break
    return shift
