"""What to offer: a person's own repeats first, then what goes with what they bought, then what sells now.

Repeats: purchases of a product fading with a half-life of 60 days. New to the person: co-occurrence (cosine between products
by buyers, drawn to nothing for the rare ones) with the popularity of the last 30 days. Products nobody bought for 180 days
are taken to be gone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.scores.history import Floats, Ints, Lines

HALF_LIFE_DAYS = 60.0
GONE_DAYS = 180
MOST_PRODUCTS = 3000
REPEAT_FIRST = 10.0
RARE = 10.0


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
        names, counts = np.unique(product[passed <= GONE_DAYS], return_counts=True)
        order = np.lexsort((names, -counts))[:MOST_PRODUCTS]
        self.products_ = np.sort(names[order])
        kept = np.isin(product, self.products_)
        self.people_ = np.unique(person)
        rows, cols = np.searchsorted(self.people_, person[kept]), np.searchsorted(self.products_, product[kept])
        shape = (len(self.people_), len(self.products_))
        self.own_ = coo_matrix((0.5 ** (passed[kept] / HALF_LIFE_DAYS), (rows, cols)), shape=shape).tocsr()
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
        for start in range(0, len(self.people_), 2000):
            own = self.own_[start : start + 2000]
            goes = np.asarray((own @ self.alike_).todense())
            goes = goes / np.maximum(goes.max(axis=1, keepdims=True, initial=0), 1e-12)
            mine = np.asarray(own.todense())
            score = np.where(mine > 0, REPEAT_FIRST + mine, 0.7 * goes + 0.3 * self.popular_)
            best = np.argsort(-score, axis=1, kind="stable")[:, : self.top]
            people.append(self.people_[start : start + 2000])
            products.append(self.products_[best])
            row = np.arange(len(best))[:, None]
            why.append(np.where(mine[row, best] > 0, 0, np.where(0.7 * goes[row, best] > 0.3 * self.popular_[best], 1, 2)))
        if not people:
            none = np.empty((0, self.top), np.int64)
            return Offers(np.empty(0, np.int64), none, none)
        return Offers(np.concatenate(people), np.vstack(products), np.vstack(why).astype(np.int64))


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
