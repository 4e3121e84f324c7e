"""Conditions joined by `and` that leave nobody, and conditions that say nothing of a person: valid, and hardly ever meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from connector.rules.compared import number_of
from connector.rules.tree import Node, Place, Warn

MOVING = ("column", "measure", "segment", "today")
"""What differs from person to person, or from day to day."""
TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


class Bound(NamedTuple):
    """`key` is the value that is bound, `sign` and `value` say how, `part` is the condition."""

    key: Any
    sign: str
    value: Any
    part: Node


def warnings(tree: Node, text: str) -> list[Warn]:
    return [*_nobody(tree, text), *_everybody(tree, text)]


def _nobody(tree: Node, text: str) -> Iterator[Warn]:
    """`aov > 30 and aov < 20`; `city = 'Bonn' and city = 'Ulm'`, where or was meant. Once a value and a chain of conditions."""
    for joined in (n for n in tree.walk() if n.op == "and" and not n.name):
        bounds = [b for b in map(_bound, joined.args) if b]
        for key in dict.fromkeys(b.key for b in bounds):
            pairs = combinations([b for b in bounds if b.key == key], 2)
            clash = next((pair for pair in pairs if _excludes(*pair)), None)
            if clash:
                yield _clash(clash, text)


def _bound(part: Node) -> Bound | None:
    """A column or measure compared with a written value, whichever stands first."""
    if part.op != "compare" or part.name not in TURNED:
        return None
    left, right = part.args
    for value, literal, sign in ((left, right, part.name), (right, left, TURNED[part.name])):
        if value.op in ("column", "measure") and (literal.op == "literal" or number_of(literal) is not None):
            number = number_of(literal)
            return Bound((value.op, value.name, value.value), sign, literal.value if number is None else number, part)
    return None


def _excludes(one: Bound, other: Bound) -> bool:
    """No value fits both."""
    if one.sign == other.sign == "=":
        return bool(one.value != other.value)
    if "<" in one.sign or ">" in other.sign:
        one, other = other, one
    if "<" in one.sign or ">" in other.sign:
        return False
    return bool(one.value > other.value or (one.value == other.value and not ("=" in one.sign and "=" in other.sign)))


def _clash(pair: Sequence[Bound], text: str) -> Warn:
    places = [b.part.place for b in pair]
    written = " and ".join(text[p.start : p.end] for p in places)
    return Warn(f"Nobody is {written} at once. Was or meant?", Place(min(p.start for p in places), max(p.end for p in places)))


def _everybody(tree: Node, text: str) -> Iterator[Warn]:
    """`1 = 1`, and `or true`; a rule that is `true` and no more is meant so."""
    parts = [] if tree.op == "literal" else list(_conditions(tree))
    for part in parts:
        written = text[part.place.start : part.place.end]
        if not any(n.op in MOVING for n in part.walk()) and not written.lower().startswith("everyone_else"):
            yield Warn(f"{written} is the same for everybody: it says nothing of a person.", part.place)


def _conditions(node: Node) -> Iterator[Node]:
    if node.op in ("and", "or", "not"):
        for arg in node.args:
            yield from _conditions(arg)
    else:
        yield node
