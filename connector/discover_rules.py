"""A group as a rule an owner can read and adopt: a shallow decision tree on the profile's own columns, with round numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.scores.history import Floats, Ints

DEPTHS = (2, 3, 4)
ENOUGH = 0.9
WHOLE = ("orders_total", "days_since_order")
LEAST_LEAF = 0.01
GIVEN_UP = 0.003
"""So large a share of the people may fall on the other side of a limit for the sake of a round number."""

Bounds = dict[str, tuple[float, float]]
"""Column -> (more than, at most)."""


def rules(table: Floats, names: tuple[str, ...], label: Ints) -> list[str]:
    """One WHERE clause a group, '' where no leaf of the tree is mostly its own. The shallowest tree that says them well."""
    found: list[str] = []
    best = -1.0
    for depth in DEPTHS:
        leaves = _leaves(table, names, label, depth)
        score = float(np.mean([_f1(_inside(table, names, parts), label == g) for g, parts in enumerate(leaves)]))
        if score > best + 0.01:
            best, found = score, [_where(parts) for parts in leaves]
        if best >= ENOUGH:
            break
    return found


@dataclass(frozen=True)
class Fidelity:
    """How well the clause stands for the group, measured with the evaluator of rules itself."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / (self.precision + self.recall) if self.precision + self.recall else 0.0


def fidelity(said: set[str], group: set[str]) -> Fidelity:
    both = len(said & group)
    return Fidelity(round(both / len(said), 4) if said else 0.0, round(both / len(group), 4) if group else 0.0)


def _leaves(table: Floats, names: tuple[str, ...], label: Ints, depth: int) -> list[list[Bounds]]:
    """Per group the leaves in which it is the largest, as bounds on columns."""
    from sklearn.tree import DecisionTreeClassifier

    least = max(5, int(LEAST_LEAF * len(table)))
    tree: Any = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=least, random_state=7).fit(table, label).tree_
    found: list[list[Bounds]] = [[] for _ in range(int(label.max()) + 1)]

    def groups(node: int) -> set[int]:
        if tree.children_left[node] < 0:
            return {int(np.argmax(tree.value[node][0]))}
        return groups(int(tree.children_left[node])) | groups(int(tree.children_right[node]))

    def walk(node: int, bounds: Bounds, rows: Any) -> None:
        below = groups(node)
        if len(below) == 1:
            found[below.pop()].append(bounds)
            return
        place = int(tree.feature[node])
        column, name = table[:, place], names[place]
        cut = float(tree.threshold[node])
        cut = _round_between(*_around(column[rows], cut, int(GIVEN_UP * len(table))), name in WHOLE)
        left, right = rows & (column <= cut), rows & (column > cut)
        low, high = bounds.get(name, (-np.inf, np.inf))
        walk(int(tree.children_left[node]), {**bounds, name: (low, min(high, cut))}, left)
        walk(int(tree.children_right[node]), {**bounds, name: (max(low, cut), high)}, right)

    walk(0, {}, np.ones(len(table), dtype=bool))
    return found


def _around(column: Floats, cut: float, spare: int) -> tuple[float, float]:
    """The values between which a limit may lie: those next to the cut, `spare` people further on either side."""
    values = np.sort(column)
    place = int(np.searchsorted(values, cut, side="right"))
    low, high = values[max(place - 1 - spare, 0)], values[min(place + spare, len(values) - 1)]
    if low < high:
        return float(low), float(high)
    return float(values[max(place - 1, 0)]), float(values[min(place, len(values) - 1)])


def _round_between(low: float, high: float, whole: bool) -> float:
    """The roundest number from `low` up to but not including `high`; a whole one for counts and days."""
    for digits in range(-4, 5):
        for value in (round(low, digits), round(high, digits), round((low + high) / 2, digits)):
            if low <= value < high:
                return float(int(value)) if whole else value
    return float(int(low)) if whole else low


def _inside(table: Floats, names: tuple[str, ...], parts: list[Bounds]) -> Any:
    found = np.zeros(len(table), dtype=bool)
    for bounds in parts:
        fits = np.ones(len(table), dtype=bool)
        for name, (low, high) in bounds.items():
            column = table[:, names.index(name)]
            fits &= (column > low) & (column <= high)
        found |= fits
    return found


def _f1(said: Any, group: Any) -> float:
    both = float((said & group).sum())
    return 2 * both / max(float(said.sum() + group.sum()), 1.0)


def _where(parts: list[Bounds]) -> str:
    """Leaves joined by `or`; everybody meant has ordered."""
    said = []
    for bounds in parts:
        clauses = [c for name, (low, high) in bounds.items() for c in _clauses(name, low, high)]
        if not any(c.startswith("orders_total >") for c in clauses):
            clauses.insert(0, "orders_total >= 1")
        said.append(" and ".join(clauses))
    return said[0] if len(said) == 1 else " or ".join(f"({s})" for s in said)


def _clauses(name: str, low: float, high: float) -> list[str]:
    found = []
    if np.isfinite(low):
        found.append(f"{name} >= {int(low) + 1}" if name in WHOLE else f"{name} > {_number(low)}")
    if np.isfinite(high):
        found.append(f"{name} <= {int(high) if name in WHOLE else _number(high)}")
    return found


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")
