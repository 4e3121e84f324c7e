"""A rule for one person, clause by clause: what it asks, what was found, whether it holds, and what would change it.

Every clause is the very condition the evaluator runs, so the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from connector.rules.english import clause
from connector.rules.sql import Compiler
from connector.rules.tree import Node, Rule
from connector.rules.turning import key_of, name_of, turning
from connector.store import Store


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
        shown = {name_of(v): found[v] for v in own}
        is_true = bool(row[f"c{i}"])
        written = rule.text[node.place.start : node.place.end]
        clauses.append(Clause(depth, clause(node, currency), written, is_true, shown, turning(node, found)))
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
            yield key_of(part)
