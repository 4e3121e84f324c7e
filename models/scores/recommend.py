"""What to offer: a person's own repeats first, then what goes with what they bought, then what sells now; then the shelf.

Repeats: purchases of a product fading with the half-life that would have done best in the last 30 days; no goods that are
bought once. New to the person: co-occurrence (cosine between products
by buyers, drawn to nothing for the rare ones) with the popularity of the last 30 days. Products nobody bought for 180 days
are taken to be gone. From the shelf, where a catalogue is known: new products and those on offer in the category the person
buys most, and products without a history by what they are like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.scores.catalogue import ALIKE, Catalogue, Flags, Shelf
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


SHELF_PLACES = 2
"""Of the places that repeats leave; more where nothing else can fill them."""
REPEAT, GOES_WITH, SELLS_NOW, NEW, ON_OFFER, LIKE, SOLD_BEFORE = range(7)
"""Why a product is offered. LIKE: by a product that was bought; SOLD_BEFORE: to anybody, not in the last 30 days."""


@dataclass(frozen=True)
class Offers:
    """Row i belongs to `person[i]`: products best first (-1: no more), why each is there, and which bought one it is LIKE."""

    person: Ints
    product: Ints
    why: Ints
    like: Ints


class Recommender:
    """fit(lines, cutoff) sees rows before the cutoff only, and of a catalogue what held then; `top` products a person."""

    def __init__(self, top: int = 10) -> None:
        self.top = top

    def fit(self, lines: Lines, cutoff: int, catalogue: Catalogue | None = None) -> Recommender:
        from scipy.sparse import coo_matrix, diags

        past = lines.before(cutoff)
        good = (past.product >= 0) & (past.quantity > 0)
        person, product, day = past.person[good], past.product[good], past.day[good]
        passed = (cutoff - day).astype(float)
        shelf = catalogue.on(past, cutoff) if catalogue else None
        self.half_life_ = _best_half_life(past, cutoff, self.top)
        self.once_ = _bought_once(past, cutoff)
        self.barred_ = np.zeros(len(self.once_), dtype=bool) if shelf is None else ~shelf.may_be_offered
        self.mine_ = _repeats(past, cutoff, self.half_life_, self.top, self.once_ | self.barred_[: len(self.once_)])
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
        self.shelf_ = None if shelf is None else _Own(shelf, past, cutoff, self)
        return self

    def predict(self) -> Offers:
        """Offers for everybody with a line before the cutoff."""
        none = np.empty((0, self.top), np.int64)
        parts = [Offers(np.empty(0, np.int64), none, none, none)] if not len(self.people_) else []
        whose, what, rank = self.mine_
        repeats = np.full((len(self.people_), self.top), -1, dtype=np.int64)
        repeats[np.searchsorted(self.people_, whose), rank] = what
        for start in range(0, len(self.people_), 2000):
            rows = slice(start, start + 2000)
            own = self.own_[rows]
            new, reason, is_last = self._new_to(own)
            again = repeats[rows]
            picked, code = (np.empty((len(again), 0), np.int64),) * 2 if self.shelf_ is None else self.shelf_.pick(rows, own)
            place = _places(again, new, is_last, picked)
            reason = _told(new, reason, picked, code)
            both = np.hstack([again, new, picked])
            said = np.hstack([np.full_like(again, REPEAT), reason, code])
            width = min(self.top, int((place < _NO_PLACE).sum(axis=1).max(initial=0)))
            first = np.argsort(place, axis=1, kind="stable")[:, :width]
            row = np.arange(len(both))[:, None]
            offered = np.where(place[row, first] < _NO_PLACE, both[row, first], -1)
            why = said[row, first]
            like = np.full_like(offered, -1) if self.shelf_ is None else self.shelf_.look_alikes(own, offered, why)
            parts.append(Offers(self.people_[rows], offered, why, like))
        return _joined(parts)

    def _new_to(self, own: Any) -> tuple[Ints, Ints, Flags]:
        """Per person of `own` the best products never bought, why, and which of them are goods bought once after all."""
        goes = np.asarray((own @ self.alike_).todense())
        goes = goes / np.maximum(goes.max(axis=1, keepdims=True, initial=0), 1e-12)
        is_own = np.asarray(own.todense()) > 0
        # What is bought once is offered again last of all; other repeats have had their place.
        owned = np.where(self.once_[self.products_], -0.5, -1.0)
        score = np.where(is_own, owned, 0.7 * goes + 0.3 * self.popular_)
        score[:, self.barred_[self.products_]] = -1.0
        best = np.argsort(-score, axis=1, kind="stable")[:, : self.top]
        row = np.arange(len(best))[:, None]
        new = np.where(score[row, best] <= -1, -1, self.products_[best])
        sells = np.where(self.popular_[best] > 0, SELLS_NOW, SOLD_BEFORE)
        reason = np.where(0.7 * goes[row, best] > 0.3 * self.popular_[best], GOES_WITH, sells)
        return new, np.where(is_own[row, best], REPEAT, reason), is_own[row, best]


class _Own:
    """The shelf for the people of a fitted recommender."""

    def __init__(self, shelf: Shelf, past: Lines, cutoff: int, fitted: Recommender) -> None:
        from scipy.sparse import csr_matrix

        self.goods = shelf.goods()
        self.top = fitted.top
        known = shelf.catalogue
        self.alike = shelf.alike(self.goods, fitted.products_)
        self.alike[self.alike < ALIKE] = 0
        self.alike[:, known.is_barred[fitted.products_]] = 0
        self.products = fitted.products_
        self.category = shelf.own_category(past, cutoff, fitted.half_life_, fitted.people_)
        self.goods_category = known.category[self.goods]
        self.is_new, self.is_told = shelf.is_new[self.goods], (shelf.is_new | shelf.is_on_offer)[self.goods]
        # Of what fits equally well, what sells now comes first, then the newest.
        self.popular = np.zeros(len(self.goods))
        sold = np.isin(self.goods, self.products)
        self.popular[sold] = fitted.popular_[np.searchsorted(self.products, self.goods[sold])]
        self.popular += 1e-9 * np.argsort(np.argsort(known.created[self.goods], kind="stable"), kind="stable")
        self.is_cold = ~shelf.has_history[self.goods]
        here = np.isin(past.product, self.goods)
        places = np.searchsorted(fitted.people_, past.person[here]), np.searchsorted(self.goods, past.product[here])
        known_people = np.isin(past.person[here], fitted.people_)
        places = places[0][known_people], places[1][known_people]
        self.ever = csr_matrix((np.ones(len(places[0])), places), shape=(len(fitted.people_), len(self.goods)))

    def pick(self, rows: slice, own: Any) -> tuple[Ints, Ints]:
        """Per person the goods of the shelf that fit, best first (-1: no more), and why: NEW, ON_OFFER or LIKE."""
        fits = (self.category[rows][:, None] == self.goods_category) & (self.goods_category >= 0) & self.is_told
        total = np.maximum(np.asarray(own.sum(axis=1)).ravel(), 1e-12)[:, None]
        share = np.asarray(own @ self.alike.T) / total
        may = (fits | (self.is_cold & (share > 0))) & ~(np.asarray(self.ever[rows].todense()) > 0)
        score = np.where(may, fits + share + self.popular, -1.0)
        best = np.argsort(-score, axis=1, kind="stable")[:, : self.top]
        row = np.arange(len(best))[:, None]
        told = np.where(self.is_new[best], NEW, ON_OFFER)
        return np.where(may[row, best], self.goods[best], -1), np.where(fits[row, best], told, LIKE)

    def look_alikes(self, own: Any, offered: Ints, why: Ints) -> Ints:
        """For each LIKE the bought product that speaks most for it, -1 elsewhere."""
        found = np.full_like(offered, -1)
        flat = own.tocoo()
        for column in np.flatnonzero((why == LIKE).any(axis=0) if len(why) else []):
            asked = (why[flat.row, column] == LIKE) & (offered[flat.row, column] >= 0)
            row, col = flat.row[asked], flat.col[asked]
            weight = flat.data[asked] * self.alike[np.searchsorted(self.goods, offered[row, column]), col]
            best = np.lexsort((col, -weight, row))
            whose, first = np.unique(row[best], return_index=True)
            found[whose, column] = self.products[col[best][first]]
        return found


def _told(new: Ints, reason: Ints, picked: Ints, code: Ints) -> Ints:
    """What is new or on offer in the own category is called so wherever it stands."""
    same = (new[:, :, None] == picked[:, None, :]) & (picked >= 0)[:, None, :] & (code != LIKE)[:, None, :]
    if not same.any():
        return reason
    row = np.arange(len(new))[:, None]
    return np.where(same.any(axis=2), code[row, same.argmax(axis=2)], reason)


_NO_PLACE = 9


def _places(again: Ints, new: Ints, is_last: Flags, picked: Ints) -> Ints:
    """Where the entries of the three stand, side by side: lower first, equal in the order given, `_NO_PLACE` nowhere.

    Repeats; what is new to the person, save for the places kept for the shelf; the shelf's; what is left of the first, of the
    second; goods that are bought once, to who has them.
    """
    room = again.shape[1] - (again >= 0).sum(axis=1, keepdims=True)
    is_fresh = (new >= 0) & ~is_last
    rank = np.cumsum(is_fresh, axis=1) - 1
    same = (picked[:, :, None] == new[:, None, :]) & is_fresh[:, None, :] & (picked[:, :, None] >= 0)
    sure = rank < room - SHELF_PLACES
    taken = (same & sure[:, None, :]).any(axis=2)  # it stands higher already
    free = (picked >= 0) & ~taken
    order = np.cumsum(free, axis=1)
    kept = free & (order <= np.minimum(SHELF_PLACES, room))
    twice = (same & kept[:, :, None]).any(axis=1)
    fresh = is_fresh & ~twice
    first = fresh & (np.cumsum(fresh, axis=1) <= room - kept.sum(axis=1, keepdims=True))
    rest = free & ~kept & ~(same & first[:, None, :]).any(axis=2)
    second = fresh & ~first & ~(same & rest[:, :, None]).any(axis=1)
    last = is_last & (new >= 0)
    return np.hstack([
        np.where(again >= 0, 0, _NO_PLACE), np.select([first, second, last], [1, 3, 5], _NO_PLACE),
        np.select([kept, rest], [2, 4], _NO_PLACE),
    ])  # fmt: skip


def _joined(parts: list[Offers]) -> Offers:
    """As wide as the widest of them."""
    width = max(p.product.shape[1] for p in parts)

    def table(name: str) -> Ints:
        wide = [np.pad(t, ((0, 0), (0, width - t.shape[1])), constant_values=-1) for t in (getattr(p, name) for p in parts)]
        return np.vstack(wide).astype(np.int64)

    return Offers(np.concatenate([p.person for p in parts]), table("product"), table("why"), table("like"))


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


def bought_of(offers: Offers, lines: Lines, cutoff: int, horizon: int) -> Floats:
    """Per person who bought a known product within the horizon: how many of the offers were bought."""
    inside = (lines.day >= cutoff) & (lines.day < cutoff + horizon) & (lines.product >= 0) & (lines.quantity > 0)
    width = int(max(lines.product.max(initial=0), offers.product.max(initial=0))) + 1
    bought = np.unique(lines.person[inside] * width + lines.product[inside])
    buyers = np.isin(offers.person, lines.person[inside])
    keys = offers.person[buyers, None] * width + offers.product[buyers]
    if not keys.size:  # nothing could be offered to anybody
        return np.zeros(len(keys))
    return np.asarray((np.isin(keys, bought) & (offers.product[buyers] >= 0)).sum(axis=1), dtype=np.float64)


def bestsellers(lines: Lines, cutoff: int, people: Ints, top: int = 10, barred: Flags | None = None) -> Offers:
    """The rule beside it: the same list for all, the products sold on most lines in the last 30 days, then on those before.

    `barred`, by product: may not be offered.
    """
    past = (lines.day < cutoff) & (lines.product >= 0) & (lines.quantity > 0)  # what came back was no sale
    recent = past & (lines.day >= cutoff - 30)
    width = int(lines.product.max(initial=0)) + 1
    now, ever = (np.bincount(lines.product[m], minlength=width) for m in (recent, past))
    best = np.lexsort((np.arange(width), -ever, -now))
    best = best[(ever[best] > 0) & ~(np.zeros(width, dtype=bool) if barred is None else barred[:width])[best]][:top]
    table = np.tile(best, (len(people), 1)).astype(np.int64)
    why = np.tile(np.where(now[best] > 0, SELLS_NOW, SOLD_BEFORE), (len(people), 1)).astype(np.int64)
    return Offers(people, table, why, np.full_like(table, -1))
