"""Next category: of which category will the next order hold something? Own fading habit, drawn to what the shop sells now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.scores.history import Floats, Ints

HALF_LIFE_DAYS = 120
LATELY_DAYS = 90
PRIOR = 0.5
"""How many purchases the shop's own mix weighs as."""


@dataclass(frozen=True)
class Bought:
    """One row per person, day and category bought; row order does not matter."""

    person: Ints
    day: Ints
    category: Ints

    @classmethod
    def of(cls, person: Ints, day: Ints, category: Ints) -> Bought:
        rows = np.unique(np.column_stack([person, day, category]), axis=0) if len(person) else np.empty((0, 3), np.int64)
        return cls(rows[:, 0], rows[:, 1], rows[:, 2])

    def before(self, cutoff: int) -> Bought:
        seen = self.day < cutoff
        return Bought(self.person[seen], self.day[seen], self.category[seen])


class TasteModel:
    """P(category in the next order) by category: fading own counts plus the shop's mix of the last 90 days."""

    def fit(self, bought: Bought, cutoff: int) -> TasteModel:
        """Learn person_, chance_ (people x categories: the share of own fading purchases that held it, drawn to the shop's),
        mix_ (the shop's share of each) and visits_ (everybody's own fading days)."""
        past = bought.before(cutoff)
        self.person_, place = np.unique(past.person, return_inverse=True)
        size = int(bought.category.max(initial=-1)) + 1
        weight = 0.5 ** ((cutoff - past.day) / HALF_LIFE_DAYS)
        own = np.zeros((len(self.person_), size))
        np.add.at(own, (place, past.category), weight)
        visits = np.unique(np.column_stack([place, past.day]), axis=0)
        of_visit = np.bincount(visits[:, 0], weights=0.5 ** ((cutoff - visits[:, 1]) / HALF_LIFE_DAYS), minlength=len(own))
        lately = past.day >= cutoff - LATELY_DAYS
        days = len(np.unique(np.column_stack([past.person[lately], past.day[lately]]), axis=0))
        self.mix_ = np.bincount(past.category[lately], minlength=size) / max(days, 1)
        self.visits_ = of_visit
        self.chance_ = (own + PRIOR * self.mix_) / (of_visit + PRIOR)[:, None]
        return self

    def predict(self) -> tuple[Ints, Floats]:
        """(the likeliest category, its chance) per person_."""
        best = np.argmax(self.chance_, axis=1)
        return best.astype(np.int64), np.minimum(self.chance_[np.arange(len(best)), best], 1.0)

    def own_part(self, category: Ints) -> Floats:
        """By how much each one's chance of that category would fall, had their days held everything but it."""
        rows = np.arange(len(category))
        without = PRIOR * self.mix_[category] / (self.visits_ + PRIOR)
        return np.asarray(np.minimum(self.chance_[rows, category], 1.0) - np.minimum(without, 1.0))


def held(bought: Bought, people: Ints, category: Ints, cutoff: int, last: int) -> tuple[Ints, Ints, Ints]:
    """Per person of `people` (sorted): how many of their last days with a choice held the category, of how many such days (at
    most `last`), and on how many days it was held ever."""
    past = bought.before(cutoff)
    days = np.unique(np.column_stack([past.person, past.day]), axis=0)
    at = np.searchsorted(people, days[:, 0])
    newest = np.cumsum(np.bincount(at, minlength=len(people)))[at] - np.arange(len(days))  # 1 is the last day of a person
    width = int(past.day.max(initial=0)) + 1
    own = past.category == category[np.searchsorted(people, past.person)]
    has = np.isin(days[:, 0] * width + days[:, 1], past.person[own] * width + past.day[own])
    count = [np.bincount(at[m], minlength=len(people)) for m in (has & (newest <= last), newest <= last, has)]
    return count[0], count[1], count[2]


def usual(bought: Bought, cutoff: int) -> tuple[Ints, Ints]:
    """(person, the category bought on most days so far): the owner's simple rule."""
    past = bought.before(cutoff)
    people, place = np.unique(past.person, return_inverse=True)
    counts = np.zeros((len(people), int(bought.category.max(initial=-1)) + 1))
    np.add.at(counts, (place, past.category), 1.0)
    return people, np.argmax(counts, axis=1).astype(np.int64)


def hits(bought: Bought, people: Ints, category: Ints, cutoff: int, horizon: int) -> Floats:
    """1 where the first order in [cutoff, cutoff + horizon) held the category, 0 where not, NaN without an order."""
    window = (bought.day >= cutoff) & (bought.day < cutoff + horizon)
    found = np.full(len(people), np.nan)
    if not window.any():
        return found
    person, day, held = bought.person[window], bought.day[window], bought.category[window]
    first = np.full(int(person.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, person, day)
    on_first = day == first[person]
    buyers = np.isin(people, person)
    found[buyers] = 0.0
    width = int(max(held.max(), category.max(initial=0))) + 1
    bought_first = person[on_first] * width + held[on_first]
    found[buyers] = np.isin(people[buyers] * width + category[buyers], bought_first)
    return found
