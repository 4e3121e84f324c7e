"""From a checked tree to SQL. No condition is ever NULL: a comparison with a missing value is false, its `not` true."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from connector.rules.measures import Call, text_sql
from connector.rules.syntax import LIKE_FIRST
from connector.rules.tree import Node

UNITS = {"day": "DAY", "week": "WEEK", "month": "MONTH", "year": "YEAR"}


def may_be_unknown(node: Node) -> bool:
    """A yes or no that nobody may have answered: a field, and what is picked from fields. A condition holds or does not."""
    return node.op in ("column", "case") or (node.op == "function" and node.name in LIKE_FIRST)


class Compiler:
    """`measure` names the column that holds a measure's number; `segments` the trees of the segments referred to.

    The text holds the marks of `connector/columns.py` ({day}); fill them with `connector.facts.marks`.
    """

    def __init__(self, measure: Callable[[Call], str], segments: Mapping[str, Node], table: str = "p") -> None:
        self._measure = measure
        self._segments = segments
        self._table = table

    def condition(self, node: Node) -> str:
        """SQL that is TRUE or FALSE for every person."""
        parts = [self.condition(a) if a.kind == "yes or no" else "" for a in node.args]
        match node.op:
            case "and":
                return "(" + " AND ".join(parts) + ")"
            case "or":
                return "(" + " OR ".join(parts) + ")"
            case "not":
                return f"(NOT {parts[0]})"
            case "is":
                return parts[0]
            case "compare":
                return self._compare(node)
            case "is missing":
                return f"({self._known(node.args[0])} IS NULL)"
            case "number above 0":
                return f"({self.value(node.args[0])} > 0)"
            case "segment":
                return self.condition(self._segments[node.name])
            case "literal":
                return "TRUE" if node.value else "FALSE"
            case _:
                return f"coalesce({self.value(node)}, FALSE)"

    def _compare(self, node: Node) -> str:
        left, right = (self._known(a) for a in node.args)
        if node.name == "<>":
            return f"(NOT coalesce({left} = {right}, FALSE))"
        return f"coalesce({left} {node.name} {right}, FALSE)"

    def _known(self, node: Node) -> str:
        """What is compared or picked: a field nobody answered is missing, it is no no; a condition always holds or does not."""
        return self.condition(node) if node.kind == "yes or no" and not may_be_unknown(node) else self.value(node)

    def value(self, node: Node) -> str:
        """SQL of any node; NULL where the value is missing."""
        match node.op:
            case "column":
                return f'{self._table}."{node.name.replace(chr(34), chr(34) * 2)}"'
            case "literal":
                return self._literal(node)
            case "today":
                return "{day}"
            case "span":
                return f"INTERVAL {node.value} {UNITS[node.name]}"
            case "measure":
                return self._measure((node.name, node.value))
            case "list":
                return "[" + ", ".join(self.value(a) for a in node.args) + "]"
            case "negative":
                return f"(-{self.value(node.args[0])})"
            case "arithmetic":
                return self._arithmetic(node)
            case "between":
                value, low, high = (self.value(a) for a in node.args)
                return f"({value} BETWEEN {low} AND {high})"
            case "in":
                value, *items = (self._known(a) for a in node.args)
                return f"({value} IN ({', '.join(items)}))"
            case "like":
                value, pattern = (self.value(a) for a in node.args)
                return f"({value} {node.name.upper()} {pattern})"
            case "has":
                holder, item = (self.value(a) for a in node.args)
                return f"list_contains({holder}, {item})"
            case "case":
                return self._case(node)
            case "function":
                return self._function(node)
            case _:
                return self.condition(node)

    def _literal(self, node: Node) -> str:
        if node.kind == "text":
            return text_sql(str(node.value))
        if node.kind == "day":
            return f"DATE '{node.value.isoformat()}'"
        if node.kind == "nothing":
            return "NULL"
        return ("TRUE" if node.value else "FALSE") if node.kind == "yes or no" else format(node.value, "f")

    def _arithmetic(self, node: Node) -> str:
        left, right = (self.value(a) for a in node.args)
        if node.kind == "day":
            # more than a century away is no day an owner means, and beyond the calendar the engine would stop
            days = (
                f"CASE WHEN abs({right}) <= 36500 THEN CAST({right} AS INTEGER) END" if node.args[1].kind == "number" else right
            )
            return f"CAST({left} {node.name} {days} AS DATE)"
        if node.name in "/%":
            left = f"CAST({left} AS DOUBLE)" if node.name == "/" else left
            return f"({left} {node.name} nullif({right}, 0))"
        if node.name == "*":
            return f"(CAST({left} AS DOUBLE) * {right})"
        return f"({left} {node.name} {right})"

    def _case(self, node: Node) -> str:
        args = node.args
        pairs = " ".join(f"WHEN {self.condition(args[i])} THEN {self._known(args[i + 1])}" for i in range(0, len(args) - 1, 2))
        otherwise = f" ELSE {self._known(args[-1])}" if len(args) % 2 else ""
        return f"(CASE {pairs}{otherwise} END)"

    def _function(self, node: Node) -> str:
        if node.name == "length" and node.args[0].kind == "list":
            return f"coalesce(len({self.value(node.args[0])}), 0)"  # who has no list has nothing in it
        return f"{node.name}({', '.join(self._known(a) for a in node.args)})"
