"""Why a person's churn risk is what it is: the history is edited, scored again by the same model, and the difference told.

A reason is therefore true of the model by construction: take its cause away and the score moves as said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from models.scores.history import Floats, Orders
from models.scores.signs import columns_of, like_the_middle, said
from models.scores.views import View, Views

LEAST_MOVE = 0.01
MOST = 3


def usual_gap(view: View) -> Floats:
    """Days between a person's orders (median); the shop's median where there is only one order."""
    gap, several = view.shot.features[:, 9], view.shot.frequency > 0
    shop = float(np.median(gap[several])) if several.any() else 90.0
    return np.maximum(np.where(several, gap, shop), 1.0)


def without_silence(past: Orders, view: View) -> Orders:
    """The same history, moved so that the last order was one usual gap ago."""
    owner = np.searchsorted(view.person, past.person)
    move = np.round(view.recency - usual_gap(view)).astype(np.int64)
    return Orders.of(past.person, past.day + move[owner], past.net)


def without_count(past: Orders, view: View) -> Orders:
    """Only the last order; for those who have only one, another one a usual gap before it."""
    last = np.r_[past.person[1:] != past.person[:-1], True]
    once = view.shot.frequency < 1
    before = (view.cutoff - view.recency - usual_gap(view)).astype(np.int64)
    net = past.net[last]
    return Orders.of(
        np.r_[view.person, view.person[once]], np.r_[past.day[last], before[once]], np.r_[net, net[once]]
    )  # fmt: skip


def moves(views: Views, view: View, predict: Callable[[View], Floats]) -> tuple[Floats, Floats]:
    """How much the score owes to the silence and to the number of orders: score less the score without that cause."""
    past = views.orders.before(view.cutoff)
    own = predict(view)
    silence, count = (predict(views.changed(view, edit(past, view))) for edit in (without_silence, without_count))
    return own - silence, own - count


def sign_moves(views: Views, view: View, predict: Callable[[View], Floats]) -> dict[str, Floats]:
    """Group of signs -> how much the score owes to it: score less the score with that of the middle of those who
    ordered lately, all else equal."""
    if views.signs is None or view.signs is None:
        return {}
    own, groups = predict(view), views.signs.groups
    return {g: own - predict(replace(view, signs=like_the_middle(view.signs, view.recency, groups, g))) for g in groups}


def _signs_said(views: Views, view: View, predict: Callable[[View], Floats]) -> list[list[tuple[float, str]]]:
    """Per person what moves the risk beside the orders, and by how much."""
    found: list[list[tuple[float, str]]] = [[] for _ in view.person]
    for group, move in sign_moves(views, view, predict).items():
        assert views.signs is not None and view.signs is not None
        places = {name: i for i, (g, name) in enumerate(columns_of(views.signs.groups)) if g == group}
        for i in np.flatnonzero(np.abs(move) >= LEAST_MOVE):
            text = said(group, {name: float(view.signs[i, k]) for name, k in places.items()})
            found[i].append((float(move[i]), text))
    return found


def churn_reasons(views: Views, view: View, predict: Callable[[View], Floats]) -> list[list[str]]:
    """Per person the three causes that move the risk most, by a point or more, the strongest first."""
    silence, count = moves(views, view, predict)
    beside = _signs_said(views, view, predict)
    usual = usual_gap(view)
    found = []
    for i in range(len(view.person)):
        orders, idle = int(view.shot.frequency[i]) + 1, int(view.recency[i])
        habit = f"usually every {usual[i]:.0f}" if orders > 1 else f"others come back after {usual[i]:.0f}"
        causes = (
            (silence[i], f"no order for {idle} days, {habit}"),
            (count[i], "only one order so far" if orders == 1 else f"{orders} order days so far"),
            *beside[i],
        )
        strong = sorted((r for r in causes if abs(r[0]) >= LEAST_MOVE), key=lambda r: -abs(r[0]))[:MOST]
        found.append([f"{text} ({'raises' if move > 0 else 'lowers'} the risk by {abs(move):.0%})" for move, text in strong])
    return found
