"""Customer value: expected spend within the next H days, less refunds.

Up to 499 customers: MBG/NBD orders times the customer's own shrunk order value, first order included. From 500: the same,
scaled to what the back-test's windows brought, a Tweedie regression or two-stage boosting; from 2,000 with three closed cutoffs
the blend of the two as well, by normalised Gini on the back-test, the simplest within one standard error, with a total within
15 %. The learned total and MBG/NBD's are weighed by back-test. Where fewer than three windows of H days have closed, shorter
windows teach (many recent ones rank better than one long ago) and MBG/NBD stretches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from models.scores import measure
from models.scores.churn import MOST_BOOSTED_ROWS, MOST_ROWS, VALIDATIONS, boosting, over_gaps
from models.scores.history import NAMES, PACE_NAMES, Floats, Ints, Orders
from models.scores.level import Level, Seen, beyond
from models.scores.views import LEAST_EVENTS, STEP_DAYS, Stack, View, Views

CANDIDATES = ("btyd", "glm", "boosted", "blend")
MIDDLE = ("btyd", "glm", "boosted")
"""The same for shops of 500 to 1,999."""
TOTAL_WITHIN = 0.15
CHANCE = 0.05
"""Totals of few windows that differ by less tell no model from another."""

SHORTER = (90, 60, 45, 30)
LEAST_CUTOFFS = 3
CAP = 0.998
FEW = [
    *(
        NAMES.index(n)
        for n in (
            "recency_days",
            "age_days",
            "orders",
            "spent",
            "mean_amount",
            "sd_amount",
            "median_gap",
            "recency_by_gap",
            "trend",
        )
    ),
    *range(len(NAMES), len(NAMES) + len(PACE_NAMES) + 5),
]
"""What the regression sees of a view: fewer columns than trees do, for it must hold beyond the ages it was taught on."""
MODELS = {
    "btyd": "MBG/NBD orders x own shrunk order value",
    "glm": "Tweedie regression with BG/NBD and MBG/NBD",
    "boosted": "two-stage boosted trees with BG/NBD and MBG/NBD",
    "blend": "blend of Tweedie regression and boosted trees",
}
Predictor = Callable[[View], Floats]


def spend_within(orders: Orders, people: Ints, cutoff: int, horizon: int) -> Floats:
    """The label: net spend of each of `people` on orders in [cutoff, cutoff + horizon), as known when the window closes."""
    known = orders.before(cutoff + horizon)
    inside = known.day >= cutoff
    size = int(max(people.max(initial=0), known.person.max(initial=0))) + 1
    return np.bincount(known.person[inside], weights=known.net[inside], minlength=size)[people].astype(np.float64)


def btyd(view: View, horizon: int) -> Floats:
    """MBG/NBD's expected orders times the customer's own shrunk order value."""
    return view.expected_orders(horizon) * np.maximum(view.order_value(), 0)


class ValueModel:
    """Expected spend in [cutoff, cutoff + horizon); fit(views, cutoff) sees rows before the cutoff only."""

    def __init__(self, horizon: int, *, seed: int = 7, candidates: tuple[str, ...] = CANDIDATES) -> None:
        self.horizon = horizon
        self.seed = seed
        self.candidates = candidates

    def fit(self, views: Views, cutoff: int) -> ValueModel:
        """Learn rung_, kind_, name_, taught_horizon_, cutoffs_, scale_, tried_. Raises ValueError where the ladder refuses."""
        self.amount_ = views.amount(cutoff)
        self.rung_ = self.amount_.rung
        if self.rung_ == "refuse":
            raise ValueError("too little data")
        self.taught_horizon_ = self._window(views, cutoff)
        self.cutoffs_ = views.training_cutoffs(cutoff, self.taught_horizon_)
        self.is_extrapolated = not views.training_cutoffs(cutoff, self.horizon)
        if self.rung_ == "large" and len(self.cutoffs_) < LEAST_CUTOFFS:
            self.rung_ = "middle"
        self.tried_: dict[str, float] = {}
        self.kind_, self.seen_ = "btyd", list[Seen]()
        self.level_ = self._level(views, cutoff)
        if self.rung_ != "small":
            self._choose(views.teacher)
        trained = self._train(views.teacher, cutoff, self.kind_)
        if trained is None:
            self.kind_, trained = "btyd", self._btyd
        self.predictor_, self.scale_ = trained, 1.0
        view = views.at(cutoff)
        learned, other = _log_total(self.predict(view)), _log_total(btyd(view, self.horizon))
        wanted = self.level_.combined(self.seen_, learned, other)
        if self.rung_ != "small":
            wanted += self._beyond(views.teacher, cutoff)
        self.scale_ = float(np.exp(np.clip(wanted - learned, -0.7, 0.7)))
        self.name_ = MODELS[self.kind_] + ("" if self.rung_ == "small" else ", scaled to the back-test's total")
        return self

    def predict(self, view: View) -> Floats:
        value = self.predictor_(view) * self.scale_
        if self.taught_horizon_ != self.horizon:
            far, near = (np.maximum(view.expected_orders(h), 1e-9) for h in (self.horizon, self.taught_horizon_))
            value = value * far / near
        return np.asarray(value)

    def _window(self, views: Views, cutoff: int) -> int:
        """The longest window, in days, of which three have closed even a window ago, so that the back-test sees the same.

        Where none has so many, the longest of which three have closed by now; then of which any has.
        """
        tried = [self.horizon, *(h for h in SHORTER if h < self.horizon)]
        for least, earlier in ((LEAST_CUTOFFS, 1), (LEAST_CUTOFFS, 0), (1, 0)):
            for h in tried:
                if len(views.training_cutoffs(cutoff - earlier * h, h)) >= least:
                    return h
        return self.horizon

    def _level(self, views: Views, cutoff: int) -> Level:
        """What MBG/NBD's totals missed on closed windows."""
        days, orders = self.taught_horizon_, views.gauge.orders

        def miss(past: View) -> tuple[float, float]:
            came = spend_within(orders, past.person, past.cutoff, days)
            if came.sum() <= 0:
                return 0.0, 0.0
            return _log_total(came) - _log_total(btyd(past, days)), float((came > 0).sum()) / 2

        return Level(days, sign=1, ahead=self.horizon).fit(views.gauge, cutoff, miss)

    def _beyond(self, views: Views, cutoff: int) -> float:
        """What MBG/NBD's totals missed on closed windows longer than those that taught, as a difference of logarithms."""
        errors = []
        for closed, days in views.longer(cutoff, self.taught_horizon_, self.horizon):
            view = views.at(closed)
            errors.append(_log_total(spend_within(views.orders, view.person, closed, days)) - _log_total(btyd(view, days)))
        return beyond(errors)

    def _btyd(self, view: View) -> Floats:
        return btyd(view, self.taught_horizon_)

    def _choose(self, views: Views) -> None:
        """Rolling back-test on windows that have closed: the kind, and what is known about the total."""
        kinds = self.candidates if self.rung_ == "large" else MIDDLE
        found: dict[str, list[tuple[Floats, Floats]]] = {k: [] for k in kinds}
        seen: dict[str, list[Seen]] = {k: [] for k in kinds}
        for closed in views.judged(self.cutoffs_[:VALIDATIONS], self.taught_horizon_):
            view = views.at(closed)
            truth = spend_within(views.orders, view.person, closed, self.taught_horizon_)
            trained = {k: self._train(views, closed, k) for k in kinds}
            if truth.sum() <= 0 or any(m is None for m in trained.values()):
                continue
            other = _log_total(self._btyd(view))
            for kind, model in trained.items():
                assert model is not None
                expected = model(view)
                found[kind].append((truth, expected))
                seen[kind].append(Seen(closed, _log_total(expected), other, _log_total(truth)))
        if found["btyd"]:
            self.kind_ = self._best(found, seen)
        self.seen_ = seen[self.kind_]

    def _best(self, found: dict[str, list[tuple[Floats, Floats]]], seen: dict[str, list[Seen]]) -> str:
        """By Gini of windows whose total came out within bounds; the simplest within one standard error."""
        gini = {k: float(np.mean([measure.gini(t, p) for t, p in parts])) for k, parts in found.items()}
        self.tried_ = {k: round(v, 4) for k, v in gini.items()}
        bound = max(TOTAL_WITHIN, self._total_error(seen["btyd"]) + CHANCE)
        allowed = [k for k in found if k == "btyd" or self._total_error(seen[k]) <= bound]
        best = max(allowed, key=lambda k: gini[k])
        for kind in allowed:
            spread = []
            for (truth, ours), (_, theirs) in zip(found[kind], found[best], strict=True):
                draws = measure.paired(truth, ours, theirs, measure.gini, draws=60)
                spread.append(float(np.var(draws[:, 1] - draws[:, 0])))
            if gini[best] - gini[kind] <= float(np.sqrt(np.sum(spread))) / len(spread):
                return kind
        return best

    def _total_error(self, seen: list[Seen]) -> float:
        """Mean absolute error of a window's total, its level taken from the other windows."""
        errors = []
        for s in seen:
            rest = [o for o in seen if o is not s]
            errors.append(abs(float(np.expm1(self.level_.combined(rest, s.learned, s.other, s.closed) - s.truth))))
        return float(np.mean(errors))

    def _train(self, views: Views, end: int, kind: str) -> Predictor | None:
        """From windows closed by the day `end`; None where too few spent to learn from."""
        if kind == "btyd":
            return self._btyd
        key = ("value", self.taught_horizon_, self.seed, kind, end)
        if key not in views.trained:
            views.trained[key] = self._train_afresh(views, end, kind)
        found: Predictor | None = views.trained[key]
        return found

    def _train_afresh(self, views: Views, end: int, kind: str) -> Predictor | None:
        if kind == "blend":
            parts = [self._train(views, end, k) for k in ("glm", "boosted")]
            known = [p for p in parts if p is not None]
            if len(known) < len(parts):
                return None
            return lambda v: np.asarray(np.exp(np.mean([np.log(np.maximum(p(v), 1e-6)) for p in known], axis=0)))
        horizon = self.taught_horizon_
        trees = kind == "boosted"
        cutoffs = views.training_cutoffs(end, horizon, views.step if trees else STEP_DAYS)
        if not cutoffs:
            return None
        stack = Stack.of(views, cutoffs, MOST_BOOSTED_ROWS if trees else MOST_ROWS, wide=trees)
        y = stack.label(lambda c, p: spend_within(views.orders, p, c, horizon))
        y = np.clip(y, 0, np.quantile(y[y > 0], CAP)) if (y > 0).any() else y
        if int((y > 0).sum()) < LEAST_EVENTS:
            return None
        return self._boosted(stack, y) if trees else self._glm(views, stack, y)

    @staticmethod
    def _with_btyd(view: View, horizon: int, rows: Any = slice(None)) -> Floats:
        own = np.log(np.maximum(view.order_value(), 1e-3))
        few = view.inputs[:, FEW]
        return np.asarray(np.column_stack([few, np.log(np.maximum(btyd(view, horizon), 1e-6)), own])[rows])

    def _glm(self, views: Views, stack: Stack, y: Floats) -> Predictor:
        from sklearn.linear_model import TweedieRegressor
        from sklearn.preprocessing import StandardScaler

        horizon, inputs = self.taught_horizon_, self._with_btyd
        x = np.vstack([inputs(views.at(c), horizon, r) for c, r in zip(stack.cutoffs, stack.rows, strict=True)])
        low, high, unit = x.min(axis=0), x.max(axis=0), float(y.mean())
        scaler = StandardScaler().fit(x)
        model = TweedieRegressor(power=1.5, alpha=0.1, link="log", solver="newton-cholesky", tol=1e-7, max_iter=100)
        model.fit(scaler.transform(x), y / unit, sample_weight=stack.weight)
        return lambda v: np.asarray(model.predict(scaler.transform(np.clip(inputs(v, horizon), low, high))) * unit)

    def _boosted(self, stack: Stack, y: Floats) -> Predictor:
        """P(any spend) times expected spend of those who spend."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        some = y > 0
        whether = None if some.all() else boosting(self.seed).fit(stack.x, some)
        much = over_gaps(HistGradientBoostingRegressor(
            loss="gamma", max_iter=100, learning_rate=0.05, max_leaf_nodes=4, min_samples_leaf=40, l2_regularization=3,
            max_features=0.3, early_stopping=False, random_state=self.seed,
        )).fit(stack.x[some], y[some])  # fmt: skip
        if whether is None:  # nobody stayed away: there is no second class to learn
            return lambda v: np.asarray(much.predict(v.wide))
        return lambda v: np.asarray(whether.predict_proba(v.wide)[:, 1] * much.predict(v.wide))


def _log_total(values: Floats) -> float:
    return float(np.log(max(float(values.sum()), 1e-9)))
