"""The reference models, refitted from their published settings: stacked cutoffs every 30 days, at most 12, all rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from models.scores.btyd import BetaGeoFitter
from models.scores.gamma_gamma import GammaGamma
from models.scores.history import NAMES, Floats, Orders, no_order_within
from models.scores.value import spend_within
from models.scores.views import View, Views, signed_log

AT = {name: i for i, name in enumerate(NAMES)}


def column(view: View, name: str) -> Floats:
    return np.asarray(view.shot.features[:, AT[name]])


def quintile_sum(view: View) -> Floats:
    """RFM: the quintiles of recency, orders and spend added up; a high sum for those who are gone."""

    def quintile(values: Floats) -> Floats:
        rank = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        return np.floor(5 * rank / len(values))

    return quintile(column(view, "recency_days")) - quintile(column(view, "orders")) - quintile(column(view, "spent"))


def inputs(view: View, horizon: int) -> Floats:
    """Purchase features on a logarithmic scale with P(alive), P(order) and expected orders of both repeat-buying models."""
    s = view.shot
    three = (s.frequency, s.recency, s.age)
    extra = [f for m in (view.basic, view.modified) for f in (
        m.p_alive(*three), m.p_no_order(*three, horizon), m.expected_orders(*three, horizon))]  # fmt: skip
    return np.column_stack([signed_log(s.features), *extra])


def stacked(views: Views, cutoff: int, horizon: int, label: Callable[[View, int], Any]) -> tuple[Floats, Any]:
    cutoffs = views.training_cutoffs(cutoff, horizon)
    return (
        np.vstack([inputs(views.at(c), horizon) for c in cutoffs]),
        np.concatenate([label(views.at(c), c) for c in cutoffs]),
    )


def logistic() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))


def boosted(*, regression: str = "") -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    settings: Any = {
        "max_iter": 200, "learning_rate": 0.05, "max_leaf_nodes": 15, "min_samples_leaf": 40, "l2_regularization": 1.0,
        "early_stopping": False, "random_state": 7,
    }  # fmt: skip
    return (
        HistGradientBoostingRegressor(loss=regression, **settings) if regression else HistGradientBoostingClassifier(**settings)
    )


def churn(views: Views, cutoff: int, horizon: int) -> dict[str, Floats]:
    """Scores for 'no order within the horizon', by name."""
    view = views.at(cutoff)
    s = view.shot
    taught = horizon if views.training_cutoffs(cutoff, horizon) else 90
    x, y = stacked(views, cutoff, taught, lambda v, c: no_order_within(views.orders, v.person, c, taught))
    now = inputs(view, taught)
    return {
        "days since last order": view.recency,
        "RFM quintile sum": quintile_sum(view),
        "BG/NBD 1 - P(alive)": 1 - view.basic.p_alive(s.frequency, s.recency, s.age),
        "MBG/NBD P(no order)": view.p_no_order(horizon),
        "logistic + BTYD": np.asarray(logistic().fit(x, y).predict_proba(now)[:, 1]),
        "boosting + BTYD": np.asarray(boosted().fit(x, y).predict_proba(now)[:, 1]),
    }


def last_window(orders: Orders, view: View, horizon: int) -> Floats:
    """The spend of as many days before the cutoff, repeated."""
    known = orders.before(view.cutoff)
    recent = known.day >= view.cutoff - horizon
    size = int(view.person.max()) + 1
    return np.asarray(np.bincount(known.person[recent], weights=known.net[recent], minlength=size)[view.person])


def value(views: Views, cutoff: int, horizon: int) -> dict[str, Floats]:
    """Expected spend within the horizon, by name."""
    from sklearn.linear_model import TweedieRegressor
    from sklearn.preprocessing import StandardScaler

    view = views.at(cutoff)
    s, spent, count = view.shot, column(view, "spent"), column(view, "orders")
    three = (s.frequency, s.recency, s.age)
    plain = BetaGeoFitter(modified=False).fit(*three)
    many = plain.expected_orders(*three, horizon)
    first = _first_amount(views.orders, view)
    repeat = np.divide(spent - first, s.frequency, out=np.zeros(len(spent)), where=s.frequency > 0)
    worth = GammaGamma().fit(s.frequency, repeat).expected(s.frequency, repeat)
    taught = horizon if views.training_cutoffs(cutoff, horizon) else 90
    stretch = plain.expected_orders(*three, horizon) / np.maximum(plain.expected_orders(*three, taught), 1e-9)
    x, y = stacked(views, cutoff, taught, lambda v, c: spend_within(views.orders, v.person, c, taught))
    y, now = np.maximum(y, 0), inputs(view, taught)
    scaler, unit = StandardScaler().fit(x), float(y.mean())
    glm = TweedieRegressor(power=1.5, alpha=0.1, link="log", solver="newton-cholesky", max_iter=100)
    glm.fit(scaler.transform(x), y / unit)
    trees = boosted(regression="poisson").fit(x, y)
    return {
        "historic rate x H": spent / np.maximum(column(view, "age_days"), 1) * horizon,
        "last window repeated": last_window(views.orders, view, horizon),
        "BG/NBD x Gamma-Gamma": many * worth,
        "BG/NBD x own mean order": many * spent / count,
        "Tweedie GLM + BTYD": np.asarray(glm.predict(scaler.transform(now)) * unit * stretch),
        "boosting + BTYD": np.asarray(trees.predict(now) * stretch),
    }


def _first_amount(orders: Orders, view: View) -> Floats:
    past = orders.before(view.cutoff)
    return np.asarray(past.net[np.r_[True, past.person[1:] != past.person[:-1]]])
