"""Unusual customers, each against the own history: a sudden drop or jump in orders, an order of an unusual size.

Orders: the last weeks are compared with what the weeks before let expect. A person's rate is gamma distributed around the
shop's (fitted to the weeks before), so the count to come is negative binomial, and its tails are the p-values. Sizes: the log
ratio to the person's own median order; its p-value is the share of all earlier orders in the shop that were at least as far off
theirs. The expected share of false alarms among what is reported is held at `share` (Benjamini & Hochberg 1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import nbinom

from models.scores.history import Floats, Ints, Orders

WINDOW_DAYS = 60
LEAST_ORDERS = 4
LEAST_KNOWN_DAYS = 120
SHARE = 0.1
KINDS = ("drop", "jump", "large_order", "small_order")


@dataclass(frozen=True)
class Unusual:
    """One row per person judged and kind: the p-value, what came and what was usual (orders a window, or money)."""

    person: Ints
    kind: Ints
    p: Floats
    came: Floats
    usual: Floats
    flagged: Any


class AnomalyModel:
    """Who stands out against the own history at a cutoff, with a stated share of false alarms among those named."""

    def __init__(self, *, window: int = WINDOW_DAYS, share: float = SHARE) -> None:
        self.window = window
        self.share = share

    def fit(self, orders: Orders, cutoff: int) -> AnomalyModel:
        """Learn found_, judged_ (people with enough history) and the shop's rate: shape_ and days_ (gamma)."""
        past = orders.before(cutoff)
        rhythm, sizes = self._rhythm(past, cutoff), self._sizes(past, cutoff)
        person, kind, p, came, usual = (np.concatenate(c) for c in zip(*rhythm, *sizes, strict=True))
        flagged = np.zeros(len(p), dtype=bool)
        for group in ((0, 1), (2, 3)):
            rows = np.flatnonzero(np.isin(kind, group))
            flagged[rows] = discoveries(p[rows], self.share)
        self.found_ = Unusual(person.astype(np.int64), kind.astype(np.int64), p, came, usual, flagged)
        self.judged_ = len(np.unique(person))
        return self

    def _rhythm(self, past: Orders, cutoff: int) -> list[tuple[Any, ...]]:
        """Two rows a person with four orders and 120 days before the window: too few orders in it, too many."""
        start = cutoff - self.window
        before = past.day < start
        size = int(past.person.max(initial=-1)) + 1
        count = np.bincount(past.person[before], minlength=size).astype(float)
        came = np.bincount(past.person[~before], minlength=size).astype(float)
        first = np.full(size, start, dtype=np.int64)
        np.minimum.at(first, past.person[before], past.day[before])
        known = (start - first).astype(float)
        who = np.flatnonzero((count >= LEAST_ORDERS) & (known >= LEAST_KNOWN_DAYS))
        repeats, known = count[who] - 1, known[who]  # the first order opens the watch and says nothing of the rate
        self.shape_, self.days_ = _gamma(repeats, known)
        r, p = self.shape_ + repeats, (self.days_ + known) / (self.days_ + known + self.window)
        usual = (self.shape_ + repeats) / (self.days_ + known) * self.window
        low: Floats = np.asarray(nbinom.cdf(came[who], r, p), dtype=float)
        high: Floats = np.asarray(nbinom.sf(came[who] - 1, r, p), dtype=float)
        last = np.full(size, -1, dtype=np.int64)
        np.maximum.at(last, past.person[before], past.day[before])
        fresh = last[who] >= start - self.window  # who was silent before has not stopped suddenly
        ones = np.ones(len(who))
        drop = (who[fresh], 0 * ones[fresh], low[fresh], came[who][fresh], usual[fresh])
        return [drop, (who, ones, high, came[who], usual)]

    def _sizes(self, past: Orders, cutoff: int) -> list[tuple[Any, ...]]:
        """The order of the window furthest from the own median, of everybody with four earlier orders."""
        start = cutoff - self.window
        amount = past.net
        good = amount > 0
        person, day, log = past.person[good], past.day[good], np.log(amount[good])
        empty = np.empty(0)
        if not len(log):
            return [(empty, empty, empty, empty, empty)]
        earlier = day < start
        middle, count = _medians(person[earlier], log[earlier], int(person.max()) + 1)
        enough = count[person] >= LEAST_ORDERS
        gone = log[earlier & enough] - middle[person[earlier & enough]]
        scale = np.sqrt(count / np.maximum(count - 1, 1))  # the own order is part of its own median
        gone = np.sort(np.abs(gone * scale[person[earlier & enough]]))
        rows = np.flatnonzero(~earlier & enough)
        if not len(rows) or not len(gone):
            return [(empty, empty, empty, empty, empty)]
        off = log[rows] - middle[person[rows]]
        order = np.lexsort((-np.abs(off), person[rows]))
        rows, off = rows[order], off[order]
        top = np.r_[True, person[rows][1:] != person[rows][:-1]]
        tries = np.bincount(person[rows], minlength=len(count))[person[rows][top]]
        p = (len(gone) - np.searchsorted(gone, np.abs(off[top]), side="left") + 1) / (len(gone) + 1)
        p = -np.expm1(tries * np.log1p(-np.minimum(p, 1 - 1e-12)))  # the furthest of several is further by chance
        who = person[rows][top]
        return [(who, np.where(off[top] > 0, 2.0, 3.0), p, np.exp(log[rows][top]), np.exp(middle[who]))]


def discoveries(p: Floats, share: float) -> Any:
    """Benjamini & Hochberg: the p-values small enough that at most `share` of those taken are expected to be chance."""
    if not len(p):
        return np.empty(0, dtype=bool)
    ranked = np.sort(p)
    good = np.flatnonzero(ranked <= share * np.arange(1, len(p) + 1) / len(p))
    return p <= ranked[good[-1]] if len(good) else np.zeros(len(p), dtype=bool)


def _gamma(count: Floats, days: Floats) -> tuple[float, float]:
    """Shape and rate (in days) of the people's rates, by moments: the variation of counts beyond Poisson."""
    if not len(count) or not count.sum():
        return 1.0, 60.0
    mean = float(count.sum() / days.sum())
    beyond = float(np.sum((count - mean * days) ** 2 - mean * days) / np.sum(days**2))
    variance = max(beyond, (0.1 * mean) ** 2)
    return mean**2 / variance, mean / variance


def _medians(person: Ints, value: Floats, size: int) -> tuple[Floats, Floats]:
    order = np.lexsort((value, person))
    person, value = person[order], value[order]
    count = np.bincount(person, minlength=size)
    start = np.r_[0, np.cumsum(count)[:-1]]
    has = count > 0
    middle = np.full(size, np.nan)
    low, high = start[has] + (count[has] - 1) // 2, start[has] + count[has] // 2
    middle[has] = (value[low] + value[high]) / 2
    return middle, count.astype(float)


def came_back(orders: Orders, people: Ints, cutoff: int, days: int) -> float:
    """Of people named for a drop at an earlier cutoff, the share that ordered again within `days`: the false alarms."""
    back = np.isin(people, orders.person[(orders.day >= cutoff) & (orders.day < cutoff + days)])
    return float(back.mean()) if len(people) else float("nan")
