"""Why a person's scores are what they are: the history is edited, scored again by the same models, and the difference told.

A reason is therefore true of the model by construction: take its cause away and the score moves as said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from models.scores.history import Floats, Orders
from models.scores.signs import columns_of, days, like_the_middle, said
from models.scores.views import View, Views

Judge = Callable[[View], Floats]
Moves = dict[str, Floats]
"""Cause -> how much each person's score owes to it: the score less the score without that cause."""

LEAST_MOVE = 0.01
LEAST_SHARE = 0.05
MOST = 3
SILENCE, COUNT = "silence", "count"


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


def edits(views: Views, view: View) -> Iterator[tuple[str, View]]:
    """Each cause with everybody's history without it, all else equal; one at a time, for a large shop's are large.

    A sign is without its cause where it is what it is in the middle of those who ordered lately.
    """
    past = views.orders.before(view.cutoff)
    yield SILENCE, views.changed(view, without_silence(past, view))
    yield COUNT, views.changed(view, without_count(past, view))
    if views.signs is not None and view.signs is not None:
        for group in views.signs.groups:
            yield group, replace(view, signs=like_the_middle(view.signs, view.recency, views.signs.groups, group))


def moves(views: Views, view: View, judges: Mapping[str, Judge]) -> dict[str, Moves]:
    """Score -> what it owes to each cause."""
    own = {score: judge(view) for score, judge in judges.items()}
    found: dict[str, Moves] = {score: {} for score in judges}
    for cause, edited in edits(views, view):
        for score, judge in judges.items():
            found[score][cause] = own[score] - judge(edited)
    return found


def least_chance(own: Floats) -> Floats:
    """What a probability must move by to be worth telling: a point."""
    return np.full(len(own), LEAST_MOVE)


def least_money(own: Floats) -> Floats:
    """A twentieth of what the person is worth."""
    return np.maximum(LEAST_SHARE * own, LEAST_MOVE)


def in_words(
    views: Views, view: View, found: Moves, least: Floats, say: Callable[[float], str], today: int | None = None
) -> list[list[str]]:
    """Per person the three causes that move the score most, by `least` or more, the strongest first.

    say: what is told of a move, such as "raises the risk by 12%". today: the day that words count from, where it is not the
    cutoff: a day that has begun counts as past, and who ordered today did not order a day ago.
    """
    table = np.column_stack(list(found.values()))
    order = np.argsort(-np.abs(table), axis=1, kind="stable")[:, :MOST]
    names = list(found)
    words = _Words(views, view, view.cutoff if today is None else today)
    told: list[list[str]] = []
    for i, best in enumerate(order):
        strong = [k for k in best if abs(table[i, k]) >= least[i]]
        told.append([f"{words.of(names[k], i)} ({say(float(table[i, k]))})" for k in strong])
    return told


class _Words:
    """What a cause is with one person."""

    def __init__(self, views: Views, view: View, today: int) -> None:
        self.view, self.usual = view, usual_gap(view)
        self.late = view.cutoff - today
        columns = columns_of(views.signs.groups) if views.signs is not None else []
        self.places = {g: {name: i for i, (h, name) in enumerate(columns) if h == g} for g, _ in columns}

    def of(self, cause: str, i: int) -> str:
        view = self.view
        orders = int(view.shot.frequency[i]) + 1
        if cause == SILENCE:
            habit = f"usually every {self.usual[i]:.0f}" if orders > 1 else f"others come back after {self.usual[i]:.0f}"
            silent = int(view.recency[i]) - self.late
            return f"{'ordered today' if silent <= 0 else f'no order for {days(silent)}'}, {habit}"
        if cause == COUNT:
            return "only one order so far" if orders == 1 else f"{orders} order days so far"
        assert view.signs is not None
        return said(cause, {name: float(view.signs[i, k]) for name, k in self.places[cause].items()}, self.late)
