"""Names and figures of groups in an owner's words, from the habits that set a group apart."""

from __future__ import annotations

import numpy as np

from models.scores.history import Floats, Ints

WORDS = {
    "orders_total": ("few orders", "many orders"),
    "days_since_order": ("here lately", "long silent"),
    "aov": ("small orders", "large orders"),
    "discounted_orders_share": ("full price", "with discounts"),
    "engagement_decayed": ("mail unread", "mail readers"),
}
"""Habit -> (said of a group far below the others, far above)."""

FIGURES = {
    "orders_total": "{:.0f} orders", "days_since_order": "the last {:.0f} days ago", "aov": "{:,.2f}",
    "discounted_orders_share": "{:.0%} of the orders with a discount", "engagement_decayed": "engagement {:.1f}",
}  # fmt: skip
MOST = 3
LEAST_DRAW = 0.1
"""In squared standard deviations: what draws a person less to their group is not worth telling."""

FAR = 0.2
"""A group's middle person stands this much of everybody below or above the middle before a word is said."""


def names(table: Floats, columns: tuple[str, ...], label: Ints, taken: set[str], kept: dict[int, str]) -> list[str]:
    """One name a group, each different; `kept` are names of earlier groups that go on, `taken` may not be given again."""
    made: list[str] = []
    used = set(taken)
    for g in range(int(label.max()) + 1):
        if g in kept:
            made.append(kept[g])
            continue
        plain = name = _name(table, columns, label == g)
        number = 1
        while name in used:
            figure = usual(table[label == g], columns, "").split(", ")[0]
            name, number = f"{plain} ({figure}{f', {number}' if number > 1 else ''})", number + 1
        used.add(name)
        made.append(name)
    return made


def _name(table: Floats, columns: tuple[str, ...], group: Ints) -> str:
    places = []
    for i, column in enumerate(columns):
        middle = float(np.median(table[group, i]))
        rank = float(np.mean(table[:, i] < middle) + np.mean(table[:, i] == middle) / 2) - 0.5
        if column == "orders_total" and middle == 1:
            places.append((1.0, "one order"))
        elif abs(rank) >= FAR:
            places.append((abs(rank), WORDS[column][rank > 0]))
    strongest = sorted(places, key=lambda p: -p[0])[:3]
    said = [word for place, word in places if (place, word) in strongest]  # always in the same order, so that names compare
    return ", ".join(said).capitalize() if said else "In the middle"


def usual(table: Floats, columns: tuple[str, ...], currency: str) -> str:
    """The middle person of a group in figures."""
    middle = np.median(table, axis=0)
    return ", ".join(_figure(c, middle[i], currency) for i, c in enumerate(columns))


def reasons(
    table: Floats, columns: tuple[str, ...], label: Ints, draws: Floats, others: Floats, currency: str
) -> list[list[str]]:
    """Per person the habits, three at most, that draw them to their group, the strongest first, beside everybody else's middle.

    draws, others: of `models.scores.discover.speaks_for`.
    """
    told = []
    for i, row in enumerate(np.argsort(-draws, axis=1, kind="stable")[:, :MOST]):
        own = [(_said(columns[k], table[i, k], currency), _said(columns[k], others[label[i], k], currency)) for k in row
               if draws[i, k] >= LEAST_DRAW]  # fmt: skip
        told.append([f"{mine}, where other groups have {theirs}" for mine, theirs in own if mine != theirs])
    return told


def _said(column: str, value: float, currency: str) -> str:
    if column != "days_since_order":
        return _figure(column, value, currency)
    return f"the last order {value:.0f} day{'' if round(value) == 1 else 's'} ago"


def _figure(column: str, value: float, currency: str) -> str:
    text = FIGURES[column].format(value)
    if column == "aov":
        return f"{text} {currency} an order"
    return "1 order" if text == "1 orders" else text
