"""What would turn a simple clause over for one person: how far a number is from its bound, the day on which time does it, or the
value that would have to stand there. Nothing is said where it is not known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from connector.rules.compared import number_of
from connector.rules.english import TESTS, TURNED
from connector.rules.tree import Node

BEFORE_NOW = "days_since_"
ONCE = "days_since_first_order"
"""Grows for ever: a first order happens once."""

AGAIN = {
    "days_since_engagement": "open or click", "days_since_subscribed": "yes to e-mail",
    "days_since_open": "open by a human",
}  # fmt: skip
"""What sets the days back to 0, where the column's name does not say it."""

FLIPS = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
WORDS = {"<": "less than {}", "<=": "{} or less", ">": "more than {}", ">=": "{} or more"}


def turning(node: Node, found: Mapping[Node, Any]) -> str:
    """The sentence for one clause; '' where nothing can be said. `found`: the person's values by column and measure."""
    while node.op in ("not", "is") and len(node.args) == 1:
        node = node.args[0]
    tell = TELLERS.get(node.op)
    if node.op == "function" and node.name in TESTS:
        tell = _test
    return tell(node, found) if tell else ""


def name_of(node: Node) -> str:
    """A column or measure as the owner writes it."""
    if node.op == "column":
        return node.name
    inner = ", ".join(f"{k} => {v!r}" if isinstance(v, str) else f"{k} => {v}" for k, v in node.value)
    return f"{node.name}({inner})"


def key_of(node: Node) -> Node:
    """The node without its place."""
    return Node(node.op, node.kind, (), node.name, node.value)


def _is_one(node: Node) -> bool:
    return node.op in ("column", "measure")


def _missing(node: Node, found: Mapping[Node, Any]) -> str:
    of = node.args[0]
    if not _is_one(of):
        return ""
    value = found.get(key_of(of))
    if of.op == "measure":
        return "it never happened; once would turn it" if value is None else f"{name_of(of)} is {value} days ago"
    if value is None:
        return f"{of.name} is not known; any value would turn it"
    return f"{of.name} is {_said(value)}; it turns only where that is not known any more"


def _above_0(node: Node, found: Mapping[Node, Any]) -> str:
    of = node.args[0]
    if not _is_one(of) or found.get(key_of(of)) is None:
        return ""
    number = Decimal(str(found[key_of(of)]))
    turns = "" if number > 0 else "; one would be enough to turn it" if number == 0 else "; more than 0 would turn it"
    return f"{name_of(of)} is {_plain(number)}{turns}"


def _flag(node: Node, found: Mapping[Node, Any]) -> str:
    if node.kind != "yes or no":
        return ""
    value = found.get(key_of(node))
    if value is None:
        return f"{node.name} is not known, which counts as no; yes would turn it"
    return f"{node.name} is {'yes; no' if value else 'no; yes'} would turn it"


def _compare(node: Node, found: Mapping[Node, Any]) -> str:
    left, right, op = *node.args, node.name
    if left.op == "literal" or number_of(left) is not None:
        left, right, op = right, left, TURNED[op]
    bound = number_of(right)
    if not _is_one(left) or (right.op != "literal" and bound is None):
        return ""
    value = found.get(key_of(left))
    if value is None or right.kind == "nothing":
        return f"{name_of(left)} is not known" if value is None else ""
    if left.kind == "yes or no":
        return _flag(left, found)
    if left.kind != "number" or bound is None:
        return _of_words(name_of(left), value, op, right.value)
    number = Decimal(str(value))
    if left.op == "column" and left.name.startswith(BEFORE_NOW):
        return _by_time(op, number, bound, left.name)
    return f"{name_of(left)} is {_plain(number)}; the bound is {_plain(bound)}, {_plain(abs(bound - number))} away"


def _of_words(name: str, value: Any, op: str, bound: Any) -> str:
    """A text or a day beside what it is compared with."""
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "=": lambda a, b: a == b, "<>": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    }  # fmt: skip
    wanted = FLIPS[op] if tests[op](value, bound) else op
    if wanted in WORDS:
        told = WORDS[wanted].format(_said(bound)) if not isinstance(bound, date) else _of_days(wanted, bound)
    else:
        told = _said(bound) if wanted == "=" else f"anything but {_said(bound)}"
    return f"{name} is {_said(value)}; {told} would turn it"


def _of_days(op: str, bound: date) -> str:
    said = {"<": "a day before {}", "<=": "a day up to {}", ">": "a day after {}", ">=": "a day from {} on"}
    return said[op].format(bound)


def _by_time(op: str, days: Decimal, bound: Decimal, name: str) -> str:
    """Days since something grow by one a day: say when the comparison turns by itself."""
    if op in ("=", "<>"):
        return f"{name} is {_plain(days)}"
    first = math.floor(bound) + 1 if op in (">", "<=") else math.ceil(bound)  # the first day on the other side
    return _when(name, first - int(days), can_go_back=first > 0)


def _when(name: str, wait: int, *, can_go_back: bool) -> str:
    """`wait`: days until time turns it. `can_go_back`: on the day on which it happens again the clause is turned."""
    what = "" if name == ONCE else AGAIN.get(name, name.removeprefix(BEFORE_NOW).replace("_", " "))
    if wait > 0:
        unless = f" unless there is a new {what}" if what else ""
        return f"turns in {wait} day{'' if wait == 1 else 's'}{unless}"
    if what and can_go_back:
        return f"a new {what} would turn it"
    return "time will not turn it" + ("; a first order happens once" if not what else "")


def _between(node: Node, found: Mapping[Node, Any]) -> str:
    of, low, high = node.args
    if not _is_one(of) or any(b.op != "literal" and number_of(b) is None for b in (low, high)):
        return ""
    value, name = found.get(key_of(of)), name_of(of)
    bounds = number_of(low), number_of(high)
    if of.kind != "number" or bounds[0] is None or bounds[1] is None:
        span = f"{_said(low.value)} to {_said(high.value)}"
        if low.value > high.value:
            return f"nothing lies between {_said(low.value)} and {_said(high.value)}"
        if value is None:
            return f"{name} is not known; {span} would turn it"
        is_in = bool(low.value <= value <= high.value)
        return f"{name} is {_said(value)}; {'anything but ' if is_in else ''}{span} would turn it"
    a, b = bounds[0], bounds[1]
    if a > b:
        return f"nothing lies between {_plain(a)} and {_plain(b)}"
    if value is None:
        return f"{name} is not known; {_plain(a)} to {_plain(b)} would turn it"
    number = Decimal(str(value))
    is_in = a <= number <= b
    if of.op == "column" and of.name.startswith(BEFORE_NOW):
        if is_in:
            return _when(name, math.floor(b) + 1 - int(number), can_go_back=a > 0)
        if number < a <= math.floor(b):
            return _when(name, math.ceil(a) - int(number), can_go_back=False)
        if number > b and a <= 0 <= b:
            return _when(name, 0, can_go_back=True)
        return f"{name} is {_plain(number)}"
    if is_in:
        return f"{name} is {_plain(number)}; less than {_plain(a)} or more than {_plain(b)} would turn it"
    away = a - number if number < a else number - b
    return f"{name} is {_plain(number)}; {_plain(a)} to {_plain(b)} would turn it, {_plain(away)} away"


def _in(node: Node, found: Mapping[Node, Any]) -> str:
    of, *items = node.args
    if not _is_one(of) or any(i.op != "literal" and number_of(i) is None for i in items):
        return ""
    value = found.get(key_of(of))
    values = [n if (n := number_of(i)) is not None else i.value for i in items]
    listed = " or ".join(_said(v) for v in values)
    if value is None:
        return f"{name_of(of)} is not known; {listed} would turn it"
    is_in = (Decimal(str(value)) if of.kind == "number" else value) in values
    return f"{name_of(of)} is {_said(value)}; {'anything but ' if is_in else ''}{listed} would turn it"


def _like(node: Node, found: Mapping[Node, Any]) -> str:
    of, pattern = node.args
    if not _is_one(of) or pattern.op != "literal":
        return ""
    value = found.get(key_of(of))
    what = "is not known" if value is None else f"is {_said(value)}"
    return f"{name_of(of)} {what}; whether it looks like {_said(pattern.value)} decides"


def _has(node: Node, found: Mapping[Node, Any]) -> str:
    of, item = node.args
    if of.op != "column" or item.op != "literal":
        return ""
    held = found.get(key_of(of)) or ()
    if item.value in held:
        return f"{of.name} hold {_said(item.value)}; without it this would turn"
    return f"{of.name} do not hold {_said(item.value)}; with it this would turn"


def _test(node: Node, found: Mapping[Node, Any]) -> str:
    of, other = node.args
    items = [a.value for a in other.args] if other.op == "list" else [other.value] if other.op == "literal" else []
    if of.op != "column" or not items:
        return ""
    value = found.get(key_of(of))
    what = _said(value) if value is not None else "not known"
    verb = "are" if of.kind == "list" else "is"
    asked = f"{TESTS[node.name][0]} {', '.join(map(_said, items))}"
    return f"{of.name} {verb} {what}; whether {'they' if verb == 'are' else 'it'} {asked} decides"


def _segment(node: Node, found: Mapping[Node, Any]) -> str:
    return f"ask for the segment '{node.name}' to see why"


TELLERS: dict[str, Callable[[Node, Mapping[Node, Any]], str]] = {
    "is missing": _missing, "number above 0": _above_0, "column": _flag, "compare": _compare, "between": _between, "in": _in,
    "like": _like, "has": _has, "segment": _segment,
}  # fmt: skip


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, (list, tuple)):
        return ", ".join(_said(v) for v in value) or "empty"
    return (
        _plain(value) if isinstance(value, Decimal) else _plain(Decimal(str(value))) if isinstance(value, float) else str(value)
    )


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
