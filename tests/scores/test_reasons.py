"""Reasons stay what they are when the model is fitted anew on much the same shop."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from models.scores.churn import ChurnModel
from models.scores.history import Orders
from models.scores.reasons import LEAST_MOVE, moves
from models.scores.views import Views

sys.path.insert(0, str(Path(__file__).parent))
from simulated_shop import START, shop  # a helper beside the test, found by the line above

CUTOFF = START + 400


def owed(orders: Orders) -> tuple[np.ndarray, np.ndarray]:
    """(people, what the risk of each owes to each cause), by a model of this shop's own."""
    views = Views(orders, 60)
    view = views.at(CUTOFF)
    found = moves(views, view, {"churn": ChurnModel(60).fit(views, CUTOFF).predict})["churn"]
    return view.person, np.column_stack([found[cause] for cause in sorted(found)])


def test_reasons_are_stable_when_the_model_is_fitted_without_a_tenth_of_the_people() -> None:
    orders = shop(600, 420)
    stay = np.isin(orders.person, np.flatnonzero(np.random.default_rng(1).random(600) < 0.9))
    people, first = owed(orders)
    again, second = owed(Orders.of(orders.person[stay], orders.day[stay], orders.amount[stay]))
    first = first[np.searchsorted(people, again)]
    told = np.abs(first) >= LEAST_MOVE
    assert told.any(axis=1).mean() > 0.5
    assert (np.sign(first) == np.sign(second))[told].mean() > 0.97, "what raised the risk still raises it"
    strongest = np.abs(first).argmax(axis=1) == np.abs(second).argmax(axis=1)
    assert strongest[told.any(axis=1)].mean() > 0.9, "and what came first still does"
    assert np.median(np.abs(first - second)[told]) < LEAST_MOVE
