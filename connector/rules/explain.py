"""A rule for one person, clause by clause: what it asks, what was found, whether it holds, and what would change it.

Every clause is the very condition the evaluator runs, so the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from connector.rules.english import clause
from connector.rules.sql import Compiler
from connector.rules.tree import Node, Rule
from connector.store import Store

BEFORE_NOW = "days_since_"


@dataclass(frozen=True)
class Clause:
    """`depth` is 0 for the whole rule, 1 for its parts, and so on. `values` by column or measure, None where missing."""

    depth: int
    says: str
    written: str
    is_true: bool
    values: dict[str, Any] = field(default_factory=dict)
    change: str = ""


class Selecting(Protocol):
    """What is needed of an evaluation."""

    config: Any

    def compiler(self) -> Compiler: ...
    def select(self, picked: list[str], where: str) -> str: ...


def explain(store: Store, evaluation: Selecting, rule: Rule, person_id: str) -> tuple[bool, tuple[Clause, ...]]:
    """(is a member, clauses). A person who is not in the profile is in no segment and has no clauses."""
    compiler = evaluation.compiler()
    nodes = list(_conditions(rule.tree, 0))
    values = list(dict.fromkeys(v for _, node in nodes for v in _values(node)))
    picked = [f"{compiler.condition(node)} AS c{i}" for i, (_, node) in enumerate(nodes)]
    picked += [f"{compiler.value(v)} AS x{i}" for i, v in enumerate(values)]
    person = person_id.replace("'", "''").replace("{", "{{").replace("}", "}}")
    rows = store.rows(evaluation.select(picked, f"p.person_id = '{person}'"))
    if not rows:
        return False, ()
    row = rows[0]
    found = {value: row[f"x{i}"] for i, value in enumerate(values)}
    currency = str(evaluation.config.shop.currency)
    clauses = []
    for i, (depth, node) in enumerate(nodes):
        own = [] if node.op in ("and", "or") else list(_values(node))
        shown = {_name(v): found[v] for v in own}
        is_true = bool(row[f"c{i}"])
        written = rule.text[node.place.start : node.place.end]
        clauses.append(Clause(depth, clause(node, currency), written, is_true, shown, _change(node, found)))
    return bool(row["c0"]), tuple(clauses)


def _conditions(node: Node, depth: int) -> Iterator[tuple[int, Node]]:
    """The rule and the parts an owner sees: what and, or, not are made of."""
    yield depth, node
    if node.op in ("and", "or") or (node.op == "not" and node.args[0].op in ("and", "or", "not")):
        for arg in node.args:
            yield from _conditions(arg, depth + 1)


def _values(node: Node) -> Iterator[Node]:
    for part in node.walk():
        if part.op in ("column", "measure"):
            yield Node(part.op, part.kind, (), part.name, part.value)


def _name(node: Node) -> str:
    if node.op == "column":
        return node.name
    inner = ", ".join(f"{k} => {v!r}" if isinstance(v, str) else f"{k} => {v}" for k, v in node.value)
    return f"{node.name}({inner})"


def _change(node: Node, found: dict[Node, Any]) -> str:
    """What would turn a simple clause over: the distance of a number from its bound, or the day on which time does it."""
    turned = node
    while turned.op in ("not", "is") and len(turned.args) == 1:
        turned = turned.args[0]
    if turned.op == "is missing" and turned.args[0].op == "measure":
        node = turned.args[0]
        days = found[Node("measure", "number", (), node.name, node.value)]
        return "it never happened; once would turn it" if days is None else f"{_name(node)} is {days} days ago"
    if turned.op == "number above 0":
        measure = Node("measure", "number", (), turned.args[0].name, turned.args[0].value)
        number = Decimal(str(found[measure]))
        return f"{_name(measure)} is {_plain(number)}" + ("" if number > 0 else "; one would be enough to turn it")
    if turned.op != "compare" or turned.args[1].op != "literal" or turned.args[0].op not in ("column", "measure"):
        return ""
    left, right = turned.args
    key = Node(left.op, left.kind, (), left.name, left.value)
    value, bound = found.get(key), right.value
    if value is None:
        return f"{_name(key)} is not known"
    if left.kind != "number" or not isinstance(bound, Decimal):
        return f"{_name(key)} is {value}"
    number = Decimal(str(value))
    if left.name.startswith(BEFORE_NOW) and left.op == "column":
        return _change_by_time(turned.name, number, bound, left.name)
    return f"{_name(key)} is {_plain(number)}; the bound is {_plain(bound)}, {_plain(abs(bound - number))} away"


def _change_by_time(op: str, days: Decimal, bound: Decimal, name: str) -> str:
    """Days since something grow by one a day: say when the comparison turns by itself."""
    first = int(bound) + 1 if op in (">", "<=") else int(bound)
    wait = first - int(days)
    what = name.removeprefix(BEFORE_NOW).replace("_", " ")
    if op in ("=", "<>"):
        return f"{name} is {_plain(days)}"
    if wait > 0:
        return f"turns in {wait} day{'' if wait == 1 else 's'} unless there is a new {what}"
    return f"a new {what} would turn it"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
