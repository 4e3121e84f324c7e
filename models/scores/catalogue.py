"""What may be offered on a day, and which products lie on the shelf: new ones, ones on offer, ones without a history.

A product without a history has no buyers to learn from. It is placed by what is like it: the same category, rare words of the
title in common, the same maker, a price that is near.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.scores.history import Floats, Ints, Lines

Flags = NDArray[np.bool_]

NEW_DAYS = 30
MOST_ON_SHELF = 300
"""So many are compared with what people bought; the newest stay."""
WEIGHTS = {"category": 0.4, "words": 0.6, "vendor": 0.1, "price": 0.1}
ALIKE = 0.35
"""Likeness from which a product may be called like another: the category, or much of the title, maker and price."""
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Catalogue:
    """Row i tells of product number i; numbers that no line has are products nobody bought. -1: not known, for prices NaN.

    `created` is a day like those of the lines. What is barred (gift cards, what the owner keeps out) is never offered. What is
    withdrawn (sold out, archived, gone), the price and the list price have no history: they hold for the cutoff `known_on` alone.
    """

    words: tuple[frozenset[str], ...]
    category: Ints
    vendor: Ints
    price: Floats
    list_price: Floats
    created: Ints
    is_barred: Flags
    is_withdrawn: Flags
    known_on: int = -1

    def on(self, lines: Lines, cutoff: int) -> Shelf:
        """What was known before the cutoff."""
        n = len(self.words)
        today = cutoff == self.known_on
        past = lines.before(cutoff)
        named = past.product >= 0
        first = np.full(n, NEVER)
        np.minimum.at(first, past.product[named], past.day[named])
        has_history = first < NEVER
        came = np.minimum(np.where(self.created < 0, NEVER, self.created), first)
        may = ~self.is_barred & ((came < cutoff) | ((self.created < 0) & today))
        if today:
            may &= ~self.is_withdrawn
        is_new = may & (self.created >= 0) & (came >= cutoff - NEW_DAYS)
        if is_new.sum() > may.sum() / 2:  # a shop that has just moved here made all its products in one week
            is_new[:] = False
        on_offer = may & (self.list_price > self.price) & today
        return Shelf(self, may, is_new, on_offer, has_history, today)


@dataclass(frozen=True)
class Shelf:
    """A catalogue on a day; rows are product numbers."""

    catalogue: Catalogue
    may_be_offered: Flags
    is_new: Flags
    is_on_offer: Flags
    has_history: Flags
    is_today: bool

    def goods(self) -> Ints:
        """Product numbers that an own place is kept for: new, on offer, or without a history."""
        found = np.flatnonzero(self.may_be_offered & (self.is_new | self.is_on_offer | ~self.has_history))
        told = self.is_new[found].astype(int) + self.is_on_offer[found]
        best = np.lexsort((found, -self.catalogue.created[found], -told))[:MOST_ON_SHELF]
        return np.sort(found[best])

    def alike(self, goods: Ints, others: Ints) -> Floats:
        """How like each of `goods` (rows) each of `others` is, 0 to 1; a product is not like itself."""
        known = self.catalogue
        same = WEIGHTS["category"] * _equal(known.category, goods, others) + WEIGHTS["vendor"] * _equal(
            known.vendor, goods, others
        )
        words = _rare_words(known.words)
        same += WEIGHTS["words"] * np.asarray((words[goods] @ words[others].T).todense())
        if self.is_today:
            one, two = known.price[goods][:, None], known.price[others][None, :]
            ratio = np.abs(np.log(np.maximum(one, 0.01) / np.maximum(two, 0.01)))
            same += WEIGHTS["price"] * np.nan_to_num(np.maximum(1 - ratio, 0))
        same[goods[:, None] == others[None, :]] = 0
        return np.asarray(same, dtype=np.float64)

    def own_category(self, lines: Lines, cutoff: int, half_life: float, people: Ints) -> Ints:
        """The category each of `people` buys most and lately, -1 where unknown; what is barred (gift cards) does not count."""
        past = lines.before(cutoff)
        good = (past.product >= 0) & (past.quantity > 0)
        person, product, day = past.person[good], past.product[good], past.day[good]
        own, said = self.catalogue.category[product], past.category[good]
        category = np.where(own >= 0, own, said)  # as the shelf is sorted today
        counted = (category >= 0) & ~self.catalogue.is_barred[product]
        width = int(category.max(initial=0)) + 1
        keys, place = np.unique(person[counted] * width + category[counted], return_inverse=True)
        weight = np.bincount(place, weights=0.5 ** ((cutoff - day[counted]) / half_life), minlength=len(keys))
        best = np.lexsort((keys, -weight, keys // width))
        whose, first = np.unique(keys[best] // width, return_index=True)
        found = np.full(len(people), -1, dtype=np.int64)
        found[np.searchsorted(people, whose)] = keys[best][first] % width
        return found


def _equal(values: Ints, rows: Ints, columns: Ints) -> Floats:
    one, two = values[rows][:, None], values[columns][None, :]
    return np.asarray((one == two) & (one >= 0), dtype=np.float64)


def _rare_words(titles: tuple[frozenset[str], ...]) -> sparse.csr_matrix:
    """Titles as rows of unit length over their words; the more titles share a word, the less it says."""
    often = Counter(w for words in titles for w in words)
    place = {w: i for i, w in enumerate(sorted(often))}
    rows = [i for i, words in enumerate(titles) for _ in words]
    names = [w for words in titles for w in sorted(words)]
    tell = np.array([np.log(1 + len(titles) / often[w]) for w in names])
    shape = (len(titles), max(len(place), 1))
    found = sparse.csr_matrix((tell, (rows, [place[w] for w in names])), shape=shape)
    length = np.sqrt(np.asarray(found.multiply(found).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1 / np.maximum(length, 1e-12)) @ found)
