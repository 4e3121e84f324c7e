"""What a model sees at a cutoff: purchase features and both repeat-buying models fitted at that very cutoff.

A view is made from rows before its cutoff only. Training stacks the views of earlier cutoffs; scoring takes the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models.scores.btyd import BetaGeoFitter
from models.scores.history import Floats, Ints, Lines, Orders, Snapshot, pace, snapshot
from models.scores.inputs import line_features, ratios, repeat_buying
from models.scores.inputs import signed_log as signed_log
from models.scores.signs import Signs, sign_features

STEP_DAYS = 30
FINE_STEP_DAYS = 15
FINE_CUSTOMERS = 25_000
"""Up to so many customers training looks back from twice as many days: the rows are few enough."""

TEACH_ON = 40_000
GAUGE_ON = 4_000
"""So many customers show how high a shop's windows came."""

MOST_CUTOFFS = 12
LEAST_HISTORY_DAYS = 90
LEAST_EVENTS = 50
PENALTY = 0.0005
FIT_ON = 25_000
RECENT = 0.7
"""Weight of a training cutoff relative to the one 30 days later: shops change."""


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


@dataclass(frozen=True)
class View:
    """Everybody with an order before `cutoff`: what is known, and the two models that say what follows from it."""

    cutoff: int
    shot: Snapshot
    inputs: Floats
    basic: BetaGeoFitter
    modified: BetaGeoFitter
    bought: Floats | None = None
    """What order lines say; None where there are none."""
    signs: Floats | None = None
    """What stands beside orders (`models/scores/signs.py`); None where nothing is known. May hold NaN."""

    @property
    def person(self) -> Ints:
        return self.shot.person

    @property
    def wide(self) -> Floats:
        """What trees see: the inputs and, where known, what lay in the orders and beside them. (A regression would have to
        extrapolate it.)"""
        return np.hstack([self.inputs, *(x for x in (self.bought, self.signs) if x is not None)])

    @property
    def recency(self) -> Floats:
        return self.shot.features[:, 0]

    def p_no_order(self, horizon: float) -> Floats:
        s = self.shot
        return self.modified.p_no_order(s.frequency, s.recency, s.age, horizon)

    def both_no_order(self, horizon: float) -> Floats:
        """The middle of BG/NBD's and MBG/NBD's answers: they differ in what they make of one-time buyers."""
        s = self.shot
        return (self.p_no_order(horizon) + self.basic.p_no_order(s.frequency, s.recency, s.age, horizon)) / 2

    def expected_orders(self, horizon: float) -> Floats:
        s = self.shot
        return self.modified.expected_orders(s.frequency, s.recency, s.age, horizon)

    def order_value(self) -> Floats:
        """Each customer's mean order, the first one included, drawn to the shop's mean by as many orders as the data ask."""
        n, spent, mean, sd = (self.shot.features[:, i] for i in (2, 3, 4, 6))
        several = n > 1
        overall = float(spent.sum() / max(n.sum(), 1))
        within = float(np.sum(sd[several] ** 2 * n[several]) / max(np.sum(n[several] - 1), 1)) if several.any() else 0.0
        between = float(np.var(mean)) - within * float(np.mean(1 / n)) if len(n) else 0.0
        strength = within / max(between, 1e-3 * within, 1e-9) if within else 0.0
        return np.asarray((strength * overall + spent) / (strength + n))


class Views:
    """Views of one shop by cutoff, each made once. `horizon` is the one the models are asked about."""

    def __init__(self, orders: Orders, horizon: int, lines: Lines | None = None, signs: Signs | None = None) -> None:
        self.orders = orders
        self.horizon = horizon
        self.lines = lines
        self.signs = signs if signs and signs.groups else None
        self.customers = len(np.unique(orders.person))
        self.step = FINE_STEP_DAYS if self.customers <= FINE_CUSTOMERS else STEP_DAYS
        self._teacher: Views | None = None
        self.trained: dict[tuple[Any, ...], Any] = {}
        """Models by what they were taught on, so that a back-test and the next one share them."""
        self._made: dict[int, View] = {}
        self._bare: dict[int, View] = {}

    @cached_property
    def gauge(self) -> Views:
        """What levels are read from: everybody, or every k-th person."""
        stride = -(-self.customers // GAUGE_ON)
        return self if stride <= 1 else Views(self.orders.every(stride), self.horizon)

    @property
    def teacher(self) -> Views:
        """What training and its back-test look at: everybody, or every k-th person of a large shop."""
        if self.customers <= TEACH_ON:
            return self
        if self._teacher is None:
            k = -(-self.customers // TEACH_ON)
            lines = None if self.lines is None else self.lines.every(k)
            signs = None if self.signs is None else self.signs.every(k)
            self._teacher = Views(self.orders.every(k), self.horizon, lines, signs)
        return self._teacher

    def at(self, cutoff: int) -> View:
        if cutoff not in self._made:
            self._made[cutoff] = self._make(cutoff)
        return self._made[cutoff]

    def bare(self, cutoff: int) -> View:
        """A view without inputs: the repeat-buying models' answers only."""
        if cutoff in self._made:
            return self._made[cutoff]
        if cutoff not in self._bare:
            shot = snapshot(self.orders.before(cutoff), cutoff)
            self._bare[cutoff] = View(cutoff, shot, np.empty((len(shot.person), 0)), *self._fitted(shot))
        return self._bare[cutoff]

    def amount(self, cutoff: int) -> Amount:
        past = self.orders.before(cutoff)
        if not len(past.day):
            return Amount(0, 0, 0)
        people, counts = np.unique(past.person, return_counts=True)
        return Amount(len(people), int((counts > 1).sum()), cutoff - int(past.day.min()))

    def training_cutoffs(self, cutoff: int, horizon: int, step: int = STEP_DAYS) -> list[int]:
        """Latest first: every `step` days of the last year's, whose windows have closed and which have 90 days of history."""
        if not len(self.orders.day):
            return []
        begin = int(self.orders.day.min()) + LEAST_HISTORY_DAYS
        found = [cutoff - horizon - step * n for n in range(MOST_CUTOFFS * STEP_DAYS // step)]
        return [c for c in found if c >= begin]

    def longer(self, cutoff: int, taught: int, horizon: int) -> list[tuple[int, int]]:
        """(cutoff, days) of closed windows longer than `taught` days up to `horizon`, every 30 days, with 90 days of history."""
        tried = [*range(taught + STEP_DAYS, horizon, STEP_DAYS), horizon]
        return [(cutoff - h, h) for h in tried if h > taught and self.training_cutoffs(cutoff, h)]

    def judged(self, cutoffs: list[int], horizon: int) -> list[int]:
        """Those of the closed windows before which two others had closed: fewer teach something unlike what is asked now."""
        return [c for c in cutoffs if len(self.training_cutoffs(c, horizon)) >= 2]

    def changed(self, view: View, orders: Orders) -> View:
        """The same people and the same fitted models, had their history been `orders`; what lay in the orders and beside them stays."""
        shot = snapshot(orders, view.cutoff)
        inputs = self._inputs(orders, shot, view.basic, view.modified)
        return View(view.cutoff, shot, inputs, view.basic, view.modified, view.bought, view.signs)

    def _make(self, cutoff: int) -> View:
        known = self.orders.before(cutoff)
        shot = snapshot(known, cutoff)
        basic, modified = self._fitted(shot)
        bought = line_features(self.lines, shot) if self.lines is not None else None
        signs = sign_features(self.signs, shot) if self.signs is not None else None
        return View(cutoff, shot, self._inputs(known, shot, basic, modified), basic, modified, bought, signs)

    @staticmethod
    def _fitted(shot: Snapshot) -> tuple[BetaGeoFitter, BetaGeoFitter]:
        """BG/NBD and MBG/NBD."""
        three = (shot.frequency, shot.recency, shot.age)
        basic, modified = (BetaGeoFitter(modified=m, penalty=PENALTY, most=FIT_ON).fit(*three) for m in (False, True))
        return basic, modified

    def _inputs(self, known: Orders, shot: Snapshot, basic: BetaGeoFitter, modified: BetaGeoFitter) -> Floats:
        three = (shot.frequency, shot.recency, shot.age)
        answers = [f(*three) for m in (basic, modified) for f in (m.p_alive,)]
        answers += [m.p_no_order(*three, self.horizon) for m in (basic, modified)]
        expected = np.log(np.maximum(modified.expected_orders(*three, self.horizon), 1e-9))
        blocks = [signed_log(shot.features), signed_log(pace(known, shot)), np.column_stack([*answers, expected])]
        blocks += [ratios(shot), repeat_buying(shot, (basic, modified), self.horizon)]
        return np.hstack(blocks)


@dataclass(frozen=True)
class Stack:
    """Rows of several cutoffs under each other, with the weight of each."""

    x: Floats
    weight: Floats
    cutoffs: list[int]
    rows: list[Ints]
    """Per cutoff the rows of its view that were taken."""
    people: list[Ints]

    @classmethod
    def of(cls, views: Views, cutoffs: list[int], most: int, *, wide: bool = False) -> Stack:
        """At most about `most` rows: every k-th person, another k-th at every cutoff. Needs at least one cutoff."""
        total = sum(len(views.at(c).person) for c in cutoffs)
        stride = max(1, -(-total // most))
        rows = [np.flatnonzero(views.at(c).person % stride == i % stride) for i, c in enumerate(cutoffs)]
        weights = [np.full(len(r), RECENT ** ((cutoffs[0] - c) / STEP_DAYS)) for r, c in zip(rows, cutoffs, strict=True)]
        x = np.vstack([(views.at(c).wide if wide else views.at(c).inputs)[r] for r, c in zip(rows, cutoffs, strict=True)])
        people = [views.at(c).person[r] for c, r in zip(cutoffs, rows, strict=True)]
        return cls(x, np.concatenate(weights), cutoffs, rows, people)

    def label(self, of: Callable[[int, Ints], Any]) -> Any:
        """What `of(cutoff, people)` says about the rows taken, cutoff by cutoff."""
        return np.concatenate([of(c, p) for c, p in zip(self.cutoffs, self.people, strict=True)])
