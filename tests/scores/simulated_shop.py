"""Shops with a known truth: buyers with a rate and a chance to leave after each order, or orders of pure chance."""

from __future__ import annotations

import numpy as np

from models.scores.history import Orders

START = 19_000


def shop(customers: int, days: int, *, seed: int = 3, leave: float = 0.15, mean_gap: float = 40.0) -> Orders:
    """First orders in the first half; gamma rates, geometric leaving, log-normal amounts around an own level."""
    random = np.random.default_rng(seed)
    rows: list[tuple[int, int, float]] = []
    for person in range(customers):
        gap = mean_gap / random.gamma(1.5, 1 / 1.5)
        quits = random.beta(1.0, (1 - leave) / leave)
        level = random.lognormal(3.5, 0.5)
        day = random.uniform(0, days * 0.5)
        while day < days:
            rows.append((person, START + int(day), round(level * random.lognormal(0, 0.3), 2)))
            if random.random() < quits:
                break
            day += random.exponential(gap) + 1
    return table(rows)


def noise(customers: int, days: int, *, seed: int = 5) -> Orders:
    """Everybody orders with the same chance on every day: nothing about the past says anything about the future."""
    random = np.random.default_rng(seed)
    rows = [(p, START, 20.0) for p in range(customers)]
    for person in range(customers):
        rows += [(person, START + int(d), 20.0) for d in np.flatnonzero(random.random(days) < 0.008)]
    return table(rows)


def table(rows: list[tuple[int, int, float]]) -> Orders:
    person, day, amount = (np.array(c) for c in zip(*rows, strict=True))
    return Orders.of(person.astype(np.int64), day.astype(np.int64), amount.astype(float))
