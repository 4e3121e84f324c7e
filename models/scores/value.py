"""Customer value: expected spend within the next H days, less refunds.

Up to 499 customers: MBG/NBD orders times the customer's own shrunk order value, first order included. From 500: the same,
scaled to what the back-test's windows brought. From 2,000 with three closed cutoffs: that, a Tweedie regression, two-stage
boosting or their blend, by normalised Gini on the back-test, the simplest within one standard error, with a total within
15 %; scaled likewise. Where no window of H days has closed, 90-day windows teach and MBG/NBD stretches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from models.scores import measure
from models.scores.churn import BASE_HORIZON, MOST_BOOSTED_ROWS, MOST_ROWS, VALIDATIONS, boosting
from models.scores.history import NAMES, PACE_NAMES, Floats, Ints, Orders
from models.scores.views import LEAST_EVENTS, Stack, View, Views

CANDIDATES = ("btyd", "glm", "boosted", "blend")
TOTAL_WITHIN = 0.15
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
    "mix": "blend of MBG/NBD x order value and boosted trees",
    "blend": "blend of MBG/NBD x order value, Tweedie regression and boosted trees",
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
        self.taught_horizon_ = self.horizon
        self.cutoffs_ = views.training_cutoffs(cutoff, self.horizon)
        if not self.cutoffs_ and self.horizon > BASE_HORIZON:
            self.taught_horizon_ = BASE_HORIZON
            self.cutoffs_ = views.training_cutoffs(cutoff, BASE_HORIZON)
        few = self.rung_ == "large" and len(self.cutoffs_) < 3
        if few:
            self.rung_ = "middle"
        self.tried_: dict[str, float] = {}
        self.scale_ = 1.0
        self.kind_ = "btyd"
        if self.rung_ != "small":
            self._choose(views)
        if few and self.cutoffs_:
            self.kind_ = "mix"
        trained = self._train(views, self.cutoffs_, self.kind_)
        if trained is None:
            self.kind_, trained = "btyd", self._btyd
        self.predictor_ = trained
        if self.kind_ in ("blend", "mix") and not self.tried_:  # not judged yet: its order, the total of what could be judged
            view = views.at(cutoff)
            self.scale_ *= float(self._btyd(view).sum()) / max(float(trained(view).sum()), 1e-9)
        self.name_ = MODELS[self.kind_] + ("" if self.scale_ == 1 else ", scaled to the back-test's total")
        return self

    @property
    def is_extrapolated(self) -> bool:
        return self.taught_horizon_ != self.horizon

    def predict(self, view: View) -> Floats:
        value = self.predictor_(view) * self.scale_
        if self.is_extrapolated:
            near = view.expected_orders(self.taught_horizon_)
            value = value * view.expected_orders(self.horizon) / np.maximum(near, 1e-12)
        return np.asarray(value)

    def _btyd(self, view: View) -> Floats:
        return btyd(view, self.taught_horizon_)

    def _choose(self, views: Views) -> None:
        """Rolling back-test; learns kind_ and scale_."""
        kinds = self.candidates if self.rung_ == "large" else ("btyd",)
        found: dict[str, list[tuple[Floats, Floats]]] = {k: [] for k in kinds}
        for closed in self.cutoffs_[:VALIDATIONS]:
            earlier = views.training_cutoffs(closed, self.taught_horizon_)
            judged = kinds if len(earlier) >= 2 else ("btyd",)
            trained = {k: self._train(views, earlier, k) for k in judged}
            if any(m is None for m in trained.values()):
                continue
            view = views.at(closed)
            truth = spend_within(views.orders, view.person, closed, self.taught_horizon_)
            for kind, model in trained.items():
                assert model is not None
                found[kind].append((truth, model(view)))
        if not found["btyd"]:
            return
        judge = self.kind_ = "btyd"
        if len(kinds) > 1:
            judge = self._best(found) if all(found.values()) else "btyd"
            self.kind_ = judge if all(found.values()) else "blend"
        totals = [(float(t.sum()), float(p.sum())) for t, p in found[judge]]
        self.scale_ = float(np.clip(sum(t for t, _ in totals) / max(sum(p for _, p in totals), 1e-9), 0.5, 2.0))

    def _best(self, found: dict[str, list[tuple[Floats, Floats]]]) -> str:
        """By Gini of windows whose total came out within bounds once the others had set the scale."""
        gini = {k: float(np.mean([measure.gini(t, p) for t, p in parts])) for k, parts in found.items()}
        self.tried_ = {k: round(v, 4) for k, v in gini.items()}
        allowed = [k for k in self.candidates if k in found and _total_error(found[k]) <= TOTAL_WITHIN] or ["btyd"]
        best = max(allowed, key=lambda k: gini[k])
        truth, theirs = found[best][0]
        for kind in allowed:
            draws = measure.paired(truth, found[kind][0][1], theirs, measure.gini, draws=60)
            if gini[best] - gini[kind] <= float(np.std(draws[:, 1] - draws[:, 0])):
                return kind
        return best

    def _train(self, views: Views, cutoffs: list[int], kind: str) -> Predictor | None:
        if kind == "btyd":
            return self._btyd
        if not cutoffs:
            return None
        key = ("value", self.taught_horizon_, self.seed, kind, *cutoffs)
        if key not in views.trained:
            views.trained[key] = self._train_afresh(views, cutoffs, kind)
        found: Predictor | None = views.trained[key]
        return found

    def _train_afresh(self, views: Views, cutoffs: list[int], kind: str) -> Predictor | None:
        horizon = self.taught_horizon_
        if kind in ("blend", "mix"):
            glm = self._train(views, cutoffs, "glm") if kind == "blend" else None
            trees = self._train(views, cutoffs, "boosted")
            if trees is None or (kind == "blend" and glm is None):
                return None
            parts = [lambda v: btyd(v, horizon), trees, *([glm] if glm else [])]
            return lambda v: np.asarray(np.exp(np.mean([np.log(np.maximum(p(v), 1e-6)) for p in parts], axis=0)))
        stack = Stack.of(views, cutoffs, MOST_BOOSTED_ROWS if kind == "boosted" else MOST_ROWS)
        y = np.concatenate([
            spend_within(views.orders, views.at(c).person[r], c, self.taught_horizon_)
            for c, r in zip(stack.cutoffs, stack.rows, strict=True)
        ])  # fmt: skip
        y = np.clip(y, 0, np.quantile(y[y > 0], CAP)) if (y > 0).any() else y
        if int((y > 0).sum()) < LEAST_EVENTS:
            return None
        if kind == "boosted":
            return self._boosted(stack, y)
        return self._glm(views, stack, y)

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
        whether = boosting(self.seed).fit(stack.x, some)
        much = HistGradientBoostingRegressor(
            loss="gamma", max_iter=100, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=40, l2_regularization=3,
            early_stopping=False, random_state=self.seed,
        ).fit(stack.x[some], y[some])  # fmt: skip
        return lambda v: np.asarray(whether.predict_proba(v.inputs)[:, 1] * much.predict(v.inputs))


def _total_error(parts: list[tuple[Floats, Floats]]) -> float:
    """Mean absolute error of a window's total, scaled by the other windows (by none where there is one)."""
    errors = []
    for i, (truth, value) in enumerate(parts):
        rest = [p for j, p in enumerate(parts) if j != i]
        scale = sum(float(t.sum()) for t, _ in rest) / max(sum(float(p.sum()) for _, p in rest), 1e-9) if rest else 1.0
        errors.append(abs(scale * float(value.sum()) / max(float(truth.sum()), 1e-9) - 1))
    return float(np.mean(errors))
