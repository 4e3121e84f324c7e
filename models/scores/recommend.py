"""What to offer: a person's own repeats first, then what goes with what they bought, then what sells now.

Repeats: purchases of a product fading with the half-life that would have done best in the last 30 days; no goods that are
bought once. New to the person: co-occurrence (cosine between products
by buyers, drawn to nothing for the rare ones) with the popularity of the last 30 days. Products nobody bought for 180 days
are taken to be gone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.scores.history import Floats, Ints, Lines

HALF_LIVES_DAYS = (60.0, 120.0, 240.0, 720.0)
WINDOW_DAYS = 30
GONE_DAYS = 180
MOST_PRODUCTS = 3000
"""So many are compared with each other; what a person bought is remembered of all."""
RARE = 10.0
OWNED_DAYS = 90
LEAST_BUYERS = 200
ONCE = 0.02
"""Share who buy a product again, of those who have had it for 90 days: below it, who has it needs no other."""


@dataclass(frozen=True)
class Offers:
    """Row i belongs to `person[i]`: products best first, and why each is there: 0 repeat, 1 goes with, 2 bestseller."""

    person: Ints
    product: Ints
    why: Ints


class Recommender:
    """fit(lines, cutoff) sees rows before the cutoff only; `top` products a person."""

    def __init__(self, top: int = 10) -> None:
        self.top = top

    def fit(self, lines: Lines, cutoff: int) -> Recommender:
        from scipy.sparse import coo_matrix, diags

        past = lines.before(cutoff)
        good = (past.product >= 0) & (past.quantity > 0)
        person, product, day = past.person[good], past.product[good], past.day[good]
        passed = (cutoff - day).astype(float)
        self.half_life_ = _best_half_life(past, cutoff, self.top)
        self.once_ = _bought_once(past, cutoff)
        self.mine_ = _repeats(past, cutoff, self.half_life_, self.top, self.once_)
        names, counts = np.unique(product[passed <= GONE_DAYS], return_counts=True)
        order = np.lexsort((names, -counts))[:MOST_PRODUCTS]
        self.products_ = np.sort(names[order])
        kept = np.isin(product, self.products_)
        self.people_ = np.unique(person)
        rows, cols = np.searchsorted(self.people_, person[kept]), np.searchsorted(self.products_, product[kept])
        shape = (len(self.people_), len(self.products_))
        self.own_ = coo_matrix((0.5 ** (passed[kept] / self.half_life_), (rows, cols)), shape=shape).tocsr()
        self.own_.sum_duplicates()
        bought = self.own_.copy()
        bought.data[:] = 1.0
        together = (bought.T @ bought).tocsr()
        buyers = np.maximum(together.diagonal(), 1.0)
        scale = diags(1 / np.sqrt(buyers + RARE))
        alike = (scale @ together @ scale).tocsr()
        self.alike_ = alike - diags(alike.diagonal())
        recent = np.bincount(cols[passed[kept] <= 30], minlength=len(self.products_)).astype(float)
        self.popular_ = recent / max(float(recent.max(initial=0)), 1.0)
        return self

    def predict(self) -> Offers:
        """Offers for everybody with a line before the cutoff."""
        people, products, why = [], [], []
        whose, what, rank = self.mine_
        repeats = np.full((len(self.people_), self.top), -1, dtype=np.int64)
        repeats[np.searchsorted(self.people_, whose), rank] = what
        for start in range(0, len(self.people_), 2000):
            own = self.own_[start : start + 2000]
            goes = np.asarray((own @ self.alike_).todense())
            goes = goes / np.maximum(goes.max(axis=1, keepdims=True, initial=0), 1e-12)
            # What is bought once is offered again last of all; other repeats have had their place.
            owned = np.where(self.once_[self.products_], -0.5, -1.0)
            score = np.where(np.asarray(own.todense()) > 0, owned, 0.7 * goes + 0.3 * self.popular_)
            best = np.argsort(-score, axis=1, kind="stable")[:, : self.top]
            row = np.arange(len(best))[:, None]
            new = np.where(score[row, best] <= -1, -1, self.products_[best])
            reason = np.where(0.7 * goes[row, best] > 0.3 * self.popular_[best], 1, 2)
            again = repeats[start : start + 2000]
            both, said = np.hstack([again, new]), np.hstack([np.zeros_like(again), reason])
            first = np.argsort(both < 0, axis=1, kind="stable")[:, : min(self.top, len(self.products_))]
            people.append(self.people_[start : start + 2000])
            products.append(both[row, first])
            why.append(said[row, first])
        if not people:
            none = np.empty((0, self.top), np.int64)
            return Offers(np.empty(0, np.int64), none, none)
        return Offers(np.concatenate(people), np.vstack(products), np.vstack(why).astype(np.int64))


def _bought_once(past: Lines, cutoff: int) -> NDArray[np.bool_]:
    """By product: whether hardly any of those who have had it for a while bought it on another day. Few buyers: as the shop."""
    good = (past.product >= 0) & (past.quantity > 0)
    width = int(past.product.max(initial=0)) + 1
    begin = int(past.day.min(initial=cutoff))
    span = cutoff - begin + 1
    moments = np.unique((past.person[good] * width + past.product[good]) * span + past.day[good] - begin)
    keys, first, count = np.unique(moments // span, return_index=True, return_counts=True)
    known = moments[first] % span + begin <= cutoff - OWNED_DAYS
    buyers, again = (np.bincount(keys[m] % width, minlength=width) for m in (known, known & (count > 1)))
    if buyers.sum() < LEAST_BUYERS:
        return np.zeros(width, dtype=bool)
    return np.asarray((again + RARE * again.sum() / buyers.sum()) / (buyers + RARE) < ONCE)


def _repeats(
    lines: Lines, cutoff: int, half_life: float, top: int, once: NDArray[np.bool_] | None = None
) -> tuple[Ints, Ints, Ints]:
    """(person, product, place from 0) of the `top` products each has bought most and lately; none gone or bought `once`."""
    past = lines.before(cutoff)
    good = (past.product >= 0) & (past.quantity > 0)
    person, product, passed = past.person[good], past.product[good], (cutoff - past.day[good]).astype(float)
    width = int(product.max(initial=0)) + 1
    there = np.zeros(width, dtype=bool)
    there[product[passed <= GONE_DAYS]] = True
    kept = there[product] if once is None else there[product] & ~once[product]
    keys, place = np.unique(person[kept] * width + product[kept], return_inverse=True)
    weight = np.bincount(place, weights=0.5 ** (passed[kept] / half_life), minlength=len(keys))
    order = np.lexsort((keys, -weight, keys // width))
    keys = keys[order]
    whose = keys // width
    starts = np.flatnonzero(np.r_[True, whose[1:] != whose[:-1]]) if len(whose) else np.empty(0, np.int64)
    rank = np.arange(len(whose)) - np.repeat(starts, np.diff(np.r_[starts, len(whose)]))
    best = rank < top
    return whose[best], keys[best] % width, rank[best]


def _best_half_life(past: Lines, cutoff: int, top: int) -> float:
    """The one whose repeats were bought most in the last closed window; the shortest where none tells."""
    closed = cutoff - WINDOW_DAYS
    inside = (past.day >= closed) & (past.product >= 0) & (past.quantity > 0)
    width = int(past.product.max(initial=0)) + 1
    bought = np.unique(past.person[inside] * width + past.product[inside])

    def hits(half_life: float) -> int:
        whose, what, _ = _repeats(past, closed, half_life, top)
        return int(np.isin(whose * width + what, bought).sum())

    return max(HALF_LIVES_DAYS, key=hits)


def hit_rate(offers: Offers, lines: Lines, cutoff: int, horizon: int) -> Floats:
    """Per person who bought a known product within the horizon: the share of the offers that were bought."""
    inside = (lines.day >= cutoff) & (lines.day < cutoff + horizon) & (lines.product >= 0) & (lines.quantity > 0)
    width = int(lines.product.max(initial=0)) + 1
    bought = np.unique(lines.person[inside] * width + lines.product[inside])
    buyers = np.isin(offers.person, lines.person[inside])
    keys = offers.person[buyers, None] * width + offers.product[buyers]
    if not keys.size:  # nothing could be offered to anybody
        return np.zeros(len(keys))
    return np.asarray(np.isin(keys, bought).mean(axis=1), dtype=np.float64)


def bestsellers(lines: Lines, cutoff: int, people: Ints, top: int = 10) -> Offers:
    """The rule beside it: the same list for all, the products of most lines in the last 30 days, then of those before."""
    past = (lines.day < cutoff) & (lines.product >= 0)
    recent = past & (lines.day >= cutoff - 30)
    width = int(lines.product.max(initial=0)) + 1
    now, ever = (np.bincount(lines.product[m], minlength=width) for m in (recent, past))
    best = np.lexsort((np.arange(width), -ever, -now))
    best = best[ever[best] > 0][:top]
    table = np.tile(best, (len(people), 1)).astype(np.int64)
    return Offers(people, table, np.full_like(table, 2))
