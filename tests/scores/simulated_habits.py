"""Shops with planted mail habits, groups, breaks and hold-outs, or with nothing but chance; numpy only, the same for a seed."""

from __future__ import annotations

import numpy as np
from simulated_shop import START, table

from models.scores.discover import Visits
from models.scores.history import Orders
from models.scores.mail import CLICK, MACHINE, OPEN, SENT, Mail

EVERY_DAYS = 7


def mailings(contacts: int, days: int, *, seed: int = 3, chance: float | None = None, machines: bool = False) -> Mail:
    """A mail a week. Everybody answers with a chance of their own and a third lose interest on a day of their own; with
    `chance`, everybody answers every mail with that same chance."""
    random = np.random.default_rng(seed)
    eager = random.beta(0.6, 2.4, contacts) if chance is None else np.full(contacts, chance)
    bored = np.where(random.random(contacts) < 0.33, random.uniform(0, days * 1.2, contacts), np.inf)
    bored = bored if chance is None else np.full(contacts, np.inf)
    rows = []
    for number, day in enumerate(range(0, days, EVERY_DAYS)):
        answered = random.random(contacts) < eager * (day < bored)
        clicked = answered & (random.random(contacts) < 0.3)
        for person in range(contacts):
            rows.append((person, START + day, SENT, number))
            if machines:
                rows.append((person, START + day, MACHINE, number))
            if answered[person]:
                rows.append((person, START + day + int(person % 3), OPEN, number))
            if clicked[person]:
                rows.append((person, START + day + int(person % 3), CLICK, number))
    columns = np.array(rows, dtype=np.int64).T
    return Mail.of(*columns, np.ones(columns.shape[1]))


def no_orders() -> Orders:
    whole = np.empty(0, dtype=np.int64)
    return Orders.of(whole, whole, np.empty(0))


def three_groups(customers: int = 600, *, seed: int = 1) -> tuple[Orders, np.ndarray]:
    """(orders, group of each): often and small, rarely and large, gone since long."""
    random = np.random.default_rng(seed)
    kinds = ((20.0, 20.0, 400.0), (90.0, 150.0, 400.0), (30.0, 40.0, 150.0))
    rows = []
    for person in range(customers):
        gap, level, until = kinds[person % 3]
        day = random.uniform(0, 60)
        while day < until:
            rows.append((person, START + int(day), round(level * random.lognormal(0, 0.25), 2)))
            day += random.exponential(gap) + 1
    return table(rows), np.arange(customers) % 3


def visits(orders: Orders, cutoff: int) -> Visits:
    """What discovery sees of these orders: no discounts, no mail."""
    past = orders.before(cutoff)
    people, person = np.unique(past.person, return_inverse=True)
    none = np.zeros(len(people))
    return Visits.of(person, past.day, past.amount, np.zeros(len(person)), cutoff, (none, none, none))


def breaks(
    customers: int = 1200,
    *,
    seed: int = 0,
    stopping: int = 0,
    jumping: int = 0,
    large: int = 0,
    days: int = 400,
    a_month: float = 6.0,
) -> tuple[Orders, dict[str, set[int]]]:
    """Poisson buyers with a rate of their own; in the last 60 days some stop, some order six times as often, some spend
    twelve times as much an order."""
    random = np.random.default_rng(seed)
    ids = random.permutation(customers)
    planted = {
        "drop": set(ids[:stopping].tolist()), "jump": set(ids[stopping : stopping + jumping].tolist()),
        "large_order": set(ids[stopping + jumping : stopping + jumping + large].tolist()),
    }  # fmt: skip
    rows = []
    for person in range(customers):
        rate, level = random.gamma(3, a_month / 90), random.lognormal(3.5, 0.5)
        late = rate * (0 if person in planted["drop"] else 6 if person in planted["jump"] else 1)
        more = 12 if person in planted["large_order"] else 1
        for begin, end, pace, times in ((0, days - 60, rate, 1), (days - 60, days, late, more)):
            for day in random.uniform(begin, end, random.poisson(pace * (end - begin))):
                rows.append((person, START + int(day), round(times * level * random.lognormal(0, 0.3), 2)))
    return table(rows), planted


def hold_out(
    people: int, *, seed: int = 2, lift: float = 0.2, by_lot: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(inputs, written to, ordered): a mail moves those with a high first input by `lift`, and nobody else."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(people, 4))
    treated = random.random(people) < (0.5 if by_lot else 1 / (1 + np.exp(-inputs[:, 1])))
    chance = 0.25 + 0.1 * (inputs[:, 1] > 0) + lift * treated * (inputs[:, 0] > 0.5)
    return inputs, treated, random.random(people) < chance
