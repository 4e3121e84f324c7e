"""Features of purchase histories as of a day, and labels that lie strictly after it. Pure arrays, no I/O.

An `Orders` table has one row per customer and day: `person` (0..n-1), `day` (whole days, the shop's calendar, as days
since 1970-01-01), `amount` (net, one currency). Row order does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WINDOWS_DAYS = (14, 30, 60, 90, 180, 365)
NAMES = (
    "recency_days", "age_days", "orders", "spent", "mean_amount", "max_amount", "sd_amount", "last_amount", "mean_gap",
    "median_gap", "sd_gap", "last_gap", "max_gap", "recency_by_gap", "recency_by_age", "orders_per_month", "trend",
    "is_one_time",    *(f"orders_{w}d" for w in WINDOWS_DAYS), *(f"spent_{w}d" for w in WINDOWS_DAYS),
)  # fmt: skip


NEVER = np.iinfo(np.int64).max
"""The day on which an order that stands is withdrawn."""

Refunds = tuple[Ints, Ints, Ints, Floats]
"""Whose, the day of the order, the day of the refund, the amount."""


@dataclass(frozen=True)
class Withdrawn:
    """All orders and refunds of those people of whose orders some were withdrawn, as they came, each with the day it was.

    People and not rows: what several orders of a day add up to, and which order a refund hangs on, follow from all of them.
    """

    person: Ints
    day: Ints
    amount: Floats
    gone: Ints
    refunds: Refunds
    refund_gone: Ints

    def where(self, rows: NDArray[np.bool_], refunds: NDArray[np.bool_]) -> Withdrawn:
        whose, bought, on, back = self.refunds
        return Withdrawn(
            self.person[rows], self.day[rows], self.amount[rows], self.gone[rows],
            (whose[refunds], bought[refunds], on[refunds], back[refunds]), self.refund_gone[refunds],
        )  # fmt: skip

    def before(self, cutoff: int) -> Withdrawn:
        """What was withdrawn only later stands."""
        kept = self.where(self.day < cutoff, self.refunds[1] < cutoff)
        stands = (np.where(gone >= cutoff, NEVER, gone) for gone in (kept.gone, kept.refund_gone))
        return replace(kept, gone=next(stands), refund_gone=next(stands))

    def every(self, k: int) -> Withdrawn:
        return self.where(self.person % k == 0, self.refunds[0] % k == 0)

    def renumbered(self, numbers: Ints) -> Withdrawn:
        whose, bought, on, back = self.refunds
        moved = replace(self, person=numbers[self.person], refunds=(numbers[whose], bought, on, back))
        return moved.where(moved.person >= 0, moved.refunds[0] >= 0)


@dataclass(frozen=True)
class Orders:
    """One row per customer and day, sorted by customer and day whatever order they came in.

    `amount` is what was charged; refunds hang on their order's row and take effect on their own day, so that the past
    knows nothing of them. An order that was withdrawn is no row: who reads the rows knows how it ended. `before` puts it back
    for the days on which it stood.
    """

    person: Ints
    day: Ints
    amount: Floats
    refund_row: Ints
    refund_day: Ints
    refund_amount: Floats
    withdrawn: Withdrawn | None = None

    @classmethod
    def of(
        cls, person: Ints, day: Ints, amount: Floats, *, refunds: Refunds | None = None,
        gone: tuple[Ints, Ints] | None = None,
    ) -> Orders:  # fmt: skip
        """Add up several orders of one customer on one day; exact whatever the row order (sorted before summing).

        refunds: each is put on the person's last order up to the day of the order, and dropped where there is none.
        gone: the days on which each order, and the order of each refund, was withdrawn; NEVER where it stands.
        """
        if gone is None or bool((gone[0] == NEVER).all()):
            return cls._standing(person, day, amount, refunds)
        back = refunds or (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
        whole = Withdrawn(person, day, amount, gone[0], back, gone[1])
        stands = whole.where(gone[0] == NEVER, gone[1] == NEVER)
        theirs = np.unique(person[gone[0] != NEVER])
        apart = whole.where(np.isin(person, theirs), np.isin(back[0], theirs))
        return replace(cls._standing(stands.person, stands.day, stands.amount, stands.refunds), withdrawn=apart)

    @classmethod
    def _standing(cls, person: Ints, day: Ints, amount: Floats, refunds: Refunds | None) -> Orders:
        order = np.lexsort((amount, day, person))
        person, day, amount = person[order], day[order], amount[order]
        first = np.ones(len(person), dtype=bool)
        first[1:] = (person[1:] != person[:-1]) | (day[1:] != day[:-1])
        starts = np.flatnonzero(first)
        total = np.add.reduceat(amount, starts) if len(starts) else amount
        person, day = person[starts], day[starts]
        rows, on, back = _place_refunds(person, day, refunds)
        return cls(person, day, total, rows, on, back)

    def before(self, cutoff: int) -> Orders:
        """What was known at the beginning of the day `cutoff`: orders and refunds of earlier days, as far as they stood."""
        if self.withdrawn is None:
            return self._before(cutoff)
        return replace(self._put_back(self.withdrawn, cutoff)._before(cutoff), withdrawn=self.withdrawn.before(cutoff))

    def _before(self, cutoff: int) -> Orders:
        seen = self.day < cutoff
        kept = self.refund_day < cutoff
        kept[kept] = seen[self.refund_row[kept]]
        return self._where(seen, kept)

    def _put_back(self, apart: Withdrawn, cutoff: int) -> Orders:
        """With the orders that were withdrawn on the day `cutoff` or later."""
        stood = (apart.gone >= cutoff) & (apart.gone != NEVER) & (apart.day < cutoff)
        if not stood.any():
            return self
        known = apart.where(apart.gone >= cutoff, apart.refund_gone >= cutoff)
        theirs = np.zeros(int(max(apart.person.max(initial=0), self.person.max(initial=0))) + 1, dtype=bool)
        theirs[apart.person[stood]] = True
        known = known.where(theirs[known.person], theirs[known.refunds[0]])
        rest = ~theirs[self.person]
        one = self._where(rest, rest[self.refund_row])
        two = Orders._standing(known.person, known.day, known.amount, known.refunds)
        return one._with(two)

    def _with(self, other: Orders) -> Orders:
        """With the rows of other people."""
        person = np.r_[self.person, other.person]
        order = np.argsort(person, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        rows = place[np.r_[self.refund_row, other.refund_row + len(self.person)]]
        by_row = np.argsort(rows, kind="stable")
        return Orders(
            person[order], np.r_[self.day, other.day][order], np.r_[self.amount, other.amount][order], rows[by_row],
            np.r_[self.refund_day, other.refund_day][by_row], np.r_[self.refund_amount, other.refund_amount][by_row],
        )  # fmt: skip

    def every(self, k: int) -> Orders:
        """Every k-th person's orders, under the same numbers."""
        seen = self.person % k == 0
        apart = None if self.withdrawn is None else self.withdrawn.every(k)
        return replace(self._where(seen, seen[self.refund_row]), withdrawn=apart)

    def renumbered(self, numbers: Ints) -> Orders:
        """The same orders under other numbers of their people, in the same order; those without one (-1) must have no rows."""
        person = numbers[self.person] if len(self.person) else self.person
        return replace(self, person=person, withdrawn=None if self.withdrawn is None else self.withdrawn.renumbered(numbers))

    def _where(self, seen: NDArray[np.bool_], kept: NDArray[np.bool_]) -> Orders:
        moved = np.cumsum(seen) - 1
        return Orders(
            self.person[seen], self.day[seen], self.amount[seen],
            moved[self.refund_row[kept]], self.refund_day[kept], self.refund_amount[kept],
        )  # fmt: skip

    @property
    def net(self) -> Floats:
        """Amounts less every refund these rows know of."""
        if not len(self.refund_row):
            return self.amount
        left = self.amount.copy()
        np.subtract.at(left, self.refund_row, self.refund_amount)
        return left


def _place_refunds(person: Ints, day: Ints, refunds: Refunds | None) -> tuple[Ints, Ints, Floats]:
    if refunds is None or not len(refunds[0]) or not len(person):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    whose, bought, on, amount = refunds
    order = np.lexsort((amount, on, bought, whose))
    whose, bought, on, amount = whose[order], bought[order], on[order], amount[order]
    low = int(min(day.min(), bought.min()))
    width = int(max(day.max(), bought.max())) - low + 2
    row = np.searchsorted(person * width + (day - low), whose * width + (bought - low), side="right") - 1
    fits = (row >= 0) & (person[np.maximum(row, 0)] == whose)
    return row[fits], np.maximum(on, day[np.maximum(row, 0)])[fits], amount[fits]


@dataclass(frozen=True)
class Snapshot:
    """Everybody with at least one order before `cutoff`: ids, features, and what the repeat-buying models need."""

    cutoff: int
    person: Ints
    features: Floats
    frequency: Floats
    recency: Floats
    age: Floats


def snapshot(orders: Orders, cutoff: int) -> Snapshot:
    """Features of everybody as of `cutoff`, from rows before it only. Times in days; columns as in `NAMES`."""
    past = orders.before(cutoff)
    if not len(past.person):
        none = np.empty(0)
        return Snapshot(cutoff, np.empty(0, np.int64), np.empty((0, len(NAMES))), none, none, none)
    amount = past.net
    starts = np.flatnonzero(np.r_[True, past.person[1:] != past.person[:-1]])
    n = len(starts)
    ends = np.r_[starts[1:], len(past.person)]
    count = (ends - starts).astype(float)
    first, last = past.day[starts].astype(float), past.day[ends - 1].astype(float)
    recency, age = cutoff - last, cutoff - first

    def per_person(values: Floats) -> Floats:
        return np.add.reduceat(values, starts)

    spent = per_person(amount)
    mean = spent / count
    sd = np.sqrt(np.maximum(per_person(amount**2) / count - mean**2, 0))
    largest = np.maximum.reduceat(amount, starts)

    gap = np.diff(past.day, prepend=past.day[:1]).astype(float)
    gap[starts] = np.nan
    gaps = count - 1
    mean_gap = np.divide(last - first, gaps, out=np.full(n, np.nan), where=gaps > 0)
    squares = per_person(np.nan_to_num(gap) ** 2)
    sd_gap = np.sqrt(np.maximum(np.divide(squares, gaps, out=np.full(n, np.nan), where=gaps > 0) - mean_gap**2, 0))
    max_gap = np.maximum.reduceat(np.nan_to_num(gap), starts)
    owner = np.repeat(np.arange(n), (ends - starts))
    within = np.lexsort((np.where(np.isnan(gap), -1.0, gap), owner))
    middle = gap[within][np.minimum(starts + 1 + (gaps // 2).astype(int), ends - 1)]
    last_gap = gap[ends - 1]

    filled = np.where(np.isnan(mean_gap), age, mean_gap)
    windows_n, windows_s = [], []
    for width in WINDOWS_DAYS:
        recent = past.day >= cutoff - width
        windows_n.append(per_person(recent.astype(float)))
        windows_s.append(per_person(np.where(recent, amount, 0.0)))
    half = past.day >= (first[owner] + (cutoff - first[owner]) / 2)
    trend = per_person(np.asarray(half, dtype=float)) / np.maximum(count, 1)
    columns = [
        recency, age, count, spent, mean, largest, sd, amount[ends - 1],
        filled, np.where(np.isnan(middle), age, middle), np.nan_to_num(sd_gap), np.where(np.isnan(last_gap), age, last_gap),
        np.where(gaps > 0, max_gap, age), recency / np.maximum(filled, 1), recency / np.maximum(age, 1),
        count / np.maximum(age, 30) * 30, trend, (count == 1).astype(float), *windows_n, *windows_s,
    ]  # fmt: skip
    return Snapshot(cutoff, past.person[starts], np.column_stack(columns), gaps, last - first, age)


def no_order_within(orders: Orders, people: Ints, cutoff: int, horizon: int) -> NDArray[np.bool_]:
    """The label: True for those of `people` without an order in [cutoff, cutoff + horizon)."""
    window = (orders.day >= cutoff) & (orders.day < cutoff + horizon)
    return ~np.isin(people, orders.person[window])


HALF_LIVES_DAYS = (7, 20, 60, 150)
PACE_NAMES = (
    "days_since_2nd_last", "days_since_3rd_last", "days_since_4th_last", "days_since_6th_last",
    *(f"orders_fading_{h}d" for h in HALF_LIVES_DAYS), *(f"spent_fading_{h}d" for h in HALF_LIVES_DAYS),
)  # fmt: skip


def pace(orders: Orders, shot: Snapshot) -> Floats:
    """When the last few orders were, and orders and money that fade with time; rows as in the snapshot."""
    past = orders.before(shot.cutoff)
    if not len(past.person):
        return np.empty((0, len(PACE_NAMES)))
    starts = np.flatnonzero(np.r_[True, past.person[1:] != past.person[:-1]])
    ends = np.r_[starts[1:], len(past.person)]
    count = ends - starts
    columns = [np.where(count >= k, shot.cutoff - past.day[np.maximum(ends - k, 0)], 2.0 * shot.age) for k in (2, 3, 4, 6)]
    passed = (shot.cutoff - past.day).astype(float)
    net = past.net
    columns += [np.add.reduceat(0.5 ** (passed / h), starts) for h in HALF_LIVES_DAYS]
    columns += [np.add.reduceat(net * 0.5 ** (passed / h), starts) for h in HALF_LIVES_DAYS]
    return np.column_stack(columns)


@dataclass(frozen=True)
class Lines:
    """One row per order line of a person: product and category as numbers (-1: unknown), the shop's day, pieces, money.

    Lines of orders that were withdrawn are no rows, as with `Orders`."""

    person: Ints
    day: Ints
    product: Ints
    quantity: Floats
    amount: Floats
    category: Ints
    withdrawn: tuple[Lines, Ints] | None = None
    """The lines that are no rows, and the day each was withdrawn."""

    @classmethod
    def of(
        cls, person: Ints, day: Ints, product: Ints, quantity: Floats, amount: Floats, category: Ints | None = None,
        *, gone: Ints | None = None,
    ) -> Lines:  # fmt: skip
        kind = np.full(len(person), -1, dtype=np.int64) if category is None else category
        order = np.lexsort((kind, amount, quantity, product, day, person))
        whole = cls(person[order], day[order], product[order], quantity[order], amount[order], kind[order])
        if gone is None or bool((gone == NEVER).all()):
            return whole
        ends = gone[order]
        stands = ends == NEVER
        return replace(whole._where(stands), withdrawn=(whole._where(~stands), ends[~stands]))

    def before(self, cutoff: int) -> Lines:
        """What was known at the beginning of the day `cutoff`."""
        past = self._where(self.day < cutoff)
        if self.withdrawn is None:
            return past
        lines, ends = self.withdrawn
        seen = lines.day < cutoff
        stood = seen & (ends >= cutoff)
        if stood.any():
            both = zip(past._columns, lines._where(stood)._columns, strict=True)
            past = Lines.of(*(np.concatenate(pair) for pair in both))
        return replace(past, withdrawn=(lines._where(seen & ~stood), ends[seen & ~stood]))

    def every(self, k: int) -> Lines:
        some = self._where(self.person % k == 0)
        if self.withdrawn is None:
            return some
        lines, ends = self.withdrawn
        return replace(some, withdrawn=(lines.every(k), ends[lines.person % k == 0]))

    @property
    def _columns(self) -> tuple[Any, ...]:
        return self.person, self.day, self.product, self.quantity, self.amount, self.category

    def _where(self, kept: NDArray[np.bool_]) -> Lines:
        return Lines(*(c[kept] for c in self._columns))
