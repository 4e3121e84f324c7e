"""Churn: P(no order within the next H days), by the ladder of how much data there is.

100 to 499 customers (or under 180 days): MBG/NBD. 500 to 1,999: its mean with a regularised logistic regression. From
2,000 with three closed training cutoffs: logistic regression, boosting or their blend on purchase features and both
repeat-buying models, chosen by rolling back-test, the simplest within one standard error of the best. Less: refused.
Where no window of H days has closed, 90-day windows teach, and the repeat-buying model says what the rest of the time adds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, logit

from models.scores.history import Floats, no_order_within
from models.scores.views import LEAST_EVENTS, Stack, View, Views

BASE_HORIZON = 90
MOST_ROWS = 150_000
MOST_BOOSTED_ROWS = 40_000
VALIDATIONS = 3
CANDIDATES = ("logistic", "blend", "boosting")
"""Simplest first."""

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

    def __init__(self, horizon: int, *, seed: int = 7, candidates: tuple[str, ...] = CANDIDATES) -> None:
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
        self.shift_ = 0.0
        self.kind_ = "small"
        if self.rung_ == "middle":
            self.kind_ = "middle"
        elif self.rung_ == "large":
            self.kind_ = self._choose(views, cutoff)
        self.predictor_ = self._train(views, self.cutoffs_, self.kind_)
        if self.predictor_ is None:
            self.rung_ = self.kind_ = "small"
            self.predictor_ = self._btyd
        self.name_ = NAMES[self.kind_]
        return self

    @property
    def is_extrapolated(self) -> bool:
        return self.taught_horizon_ != self.horizon

    def predict(self, view: View) -> Floats:
        assert self.predictor_ is not None
        p = _inside(self.predictor_(view))
        if self.shift_:
            p = expit(logit(p) + self.shift_)
        if self.is_extrapolated and self.kind_ != "small":
            far, near = (_inside(view.p_no_order(h)) for h in (self.horizon, self.taught_horizon_))
            p = expit(logit(p) + logit(far) - logit(near))
        return np.asarray(p)

    def _btyd(self, view: View) -> Floats:
        return view.p_no_order(self.horizon if self.kind_ == "small" else self.taught_horizon_)

    def _choose(self, views: Views, cutoff: int) -> str:
        """Rolling back-test on windows that have closed; also learns the shift of the calibration, if it pays."""
        losses: dict[str, list[Floats]] = {k: [] for k in self.candidates}
        checks: dict[str, dict[int, tuple[Floats, Any]]] = {k: {} for k in self.candidates}
        for closed in self._checked():
            earlier = views.training_cutoffs(closed, self.taught_horizon_)
            trained = {k: self._train(views, earlier, k) for k in self.candidates} if earlier else {}
            if not trained or any(m is None for m in trained.values()):
                continue
            view = views.at(closed)
            truth = no_order_within(views.orders, view.person, closed, self.taught_horizon_)
            for kind, model in trained.items():
                assert model is not None
                p = _inside(model(view))
                losses[kind].append(_loss(truth, p))
                checks[kind][closed] = (p, truth)
        if not losses[self.candidates[0]]:
            return self.candidates[0]
        mean = {k: float(np.mean([v.mean() for v in parts])) for k, parts in losses.items()}
        self.tried_ = {k: round(v, 5) for k, v in mean.items()}
        best = min(mean, key=lambda k: mean[k])
        for kind in self.candidates:
            gaps = [a - b for a, b in zip(losses[kind], losses[best], strict=True)]
            error = float(np.sqrt(np.mean([g.var() / len(g) for g in gaps])))
            if mean[kind] - mean[best] <= error:
                self.shift_ = _shift(checks[kind], self.taught_horizon_)
                return kind
        return best

    def _checked(self) -> list[int]:
        """The windows of the back-test: the latest three, and those a horizon before them for the calibration."""
        latest = self.cutoffs_[:VALIDATIONS]
        return [c for c in self.cutoffs_ if c in latest or any(0 <= n - self.taught_horizon_ - c < 30 for n in latest[:2])]

    def _train(self, views: Views, cutoffs: list[int], kind: str) -> Predictor | None:
        """None where a class has too few events to learn from."""
        if kind == "small":
            return self._btyd
        if not cutoffs:
            return None
        key = ("churn", self.taught_horizon_, self.seed, kind, *cutoffs)
        if key not in views.trained:
            views.trained[key] = self._train_afresh(views, cutoffs, kind)
        found: Predictor | None = views.trained[key]
        return found

    def _train_afresh(self, views: Views, cutoffs: list[int], kind: str) -> Predictor | None:
        if kind == "blend":
            one, two = self._train(views, cutoffs, "logistic"), self._train(views, cutoffs, "boosting")
            if one is None or two is None:
                return None
            return lambda v: np.asarray(expit((logit(_inside(one(v))) + logit(_inside(two(v)))) / 2))
        if kind == "middle":
            learned, horizon = self._train(views, cutoffs, "logistic"), self.taught_horizon_
            return None if learned is None else lambda v: np.asarray((learned(v) + v.p_no_order(horizon)) / 2)
        most = MOST_ROWS if kind == "logistic" else MOST_BOOSTED_ROWS
        stack = Stack.of(views, cutoffs, most)
        y = np.concatenate([
            no_order_within(views.orders, views.at(c).person[r], c, self.taught_horizon_)
            for c, r in zip(stack.cutoffs, stack.rows, strict=True)
        ])  # fmt: skip
        if min(int(y.sum()), int((~y).sum())) < LEAST_EVENTS:
            return None
        return self._learn(kind, stack, y)

    def _learn(self, kind: str, stack: Stack, y: Any) -> Predictor:
        if kind == "logistic":
            model = logistic().fit(stack.x, y, logisticregression__sample_weight=stack.weight)
        else:
            model = boosting(self.seed).fit(stack.x, y)  # weights would cost twenty times the time for nothing measurable
        return lambda v: np.asarray(model.predict_proba(v.inputs)[:, 1])


def logistic(strength: float = 0.1) -> Any:
    """Newton's method: it ends at the same point to the last digits whatever the number of threads."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-8, max_iter=100))


def boosting(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=120, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=60, l2_regularization=3, early_stopping=False,
        random_state=seed,
    )  # fmt: skip


def _inside(p: Floats) -> Floats:
    return np.clip(p, 1e-6, 1 - 1e-6)


def _loss(truth: Any, p: Floats) -> Floats:
    return np.asarray(-np.where(truth, np.log(p), np.log1p(-p)))


def _intercept(p: Floats, truth: Any) -> float:
    """The shift of the log odds at which the mean probability is the realised rate (Newton)."""
    odds, shift = logit(p), 0.0
    for _ in range(30):
        q = expit(odds + shift)
        step = float((truth.mean() - q.mean()) / max(float(np.mean(q * (1 - q))), 1e-9))
        shift += step
        if abs(step) < 1e-12:
            break
    return shift


def _shift(checks: dict[int, tuple[Floats, Any]], horizon: int) -> float:
    """Half the bias of the last closed window, if correcting a window by the one before it would have paid every time.

    What a window teaches is known when it has closed, so a pair lies a whole horizon apart.
    """
    gains = []
    for cut, (p, truth) in checks.items():
        before = [c for c in checks if c <= cut - horizon]
        if before:
            moved = expit(logit(p) + _intercept(*checks[max(before)]) / 2)
            gains.append(float(np.mean(_loss(truth, p) - _loss(truth, _inside(moved)))))
    return _intercept(*checks[max(checks)]) / 2 if len(gains) >= 2 and min(gains) > 0 else 0.0
