"""Features of purchase histories as of a day, and labels that lie strictly after it. Pure arrays, no I/O.

An `Orders` table has one row per customer and day: `person` (0..n-1), `day` (whole days, the shop's calendar, as days
since 1970-01-01), `amount` (net, one currency). Row order does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Orders:
    """One row per customer and day, sorted by customer and day whatever order they came in.

    `amount` is what was charged; refunds hang on their order's row and take effect on their own day, so that the past
    knows nothing of them.
    """

    person: Ints
    day: Ints
    amount: Floats
    refund_row: Ints
    refund_day: Ints
    refund_amount: Floats

    @classmethod
    def of(cls, person: Ints, day: Ints, amount: Floats, *, refunds: tuple[Ints, Ints, Ints, Floats] | None = None) -> Orders:
        """Add up several orders of one customer on one day; exact whatever the row order (sorted before summing).

        refunds: (person, day of the order, day of the refund, amount); each is put on the person's last order up to the
        day of the order, and dropped where there is none.
        """
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
        """What was known at the beginning of the day `cutoff`: orders and refunds of earlier days."""
        seen = self.day < cutoff
        kept = self.refund_day < cutoff
        kept[kept] = seen[self.refund_row[kept]]
        return self._where(seen, kept)

    def every(self, k: int) -> Orders:
        """Every k-th person's orders, under the same numbers."""
        seen = self.person % k == 0
        return self._where(seen, seen[self.refund_row])

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


def _place_refunds(person: Ints, day: Ints, refunds: tuple[Ints, Ints, Ints, Floats] | None) -> tuple[Ints, Ints, Floats]:
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
    """One row per order line of a person: product and category as numbers (-1: unknown), the shop's day, pieces, money."""

    person: Ints
    day: Ints
    product: Ints
    quantity: Floats
    amount: Floats
    category: Ints

    @classmethod
    def of(
        cls, person: Ints, day: Ints, product: Ints, quantity: Floats, amount: Floats, category: Ints | None = None
    ) -> Lines:
        kind = np.full(len(person), -1, dtype=np.int64) if category is None else category
        order = np.lexsort((kind, amount, quantity, product, day, person))
        return cls(person[order], day[order], product[order], quantity[order], amount[order], kind[order])

    def before(self, cutoff: int) -> Lines:
        return self._where(self.day < cutoff)

    def every(self, k: int) -> Lines:
        return self._where(self.person % k == 0)

    def _where(self, kept: NDArray[np.bool_]) -> Lines:
        columns = (self.person, self.day, self.product, self.quantity, self.amount, self.category)
        return Lines(*(c[kept] for c in columns))  # type: ignore[arg-type]  # whole and real columns in one loop
