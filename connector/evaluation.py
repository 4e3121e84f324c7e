"""One statement for all rules: segments put together from checked trees, measures aggregated once per source.

Not a stage: `connector/segment.py` runs what is built here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from connector.columns import BY_NAME
from connector.config import Config
from connector.facts import Marks, marks, sources
from connector.rules import Compiler, Node, Rule, RuleError
from connector.rules.measures import Call, aggregate_sql, days_of, filter_sql, needs_of, source_of
from models.segments import AsOf

BLOCK = 62
"""Segments in one mask: a BIGINT without its sign, one spare."""

EVER = 1_000_000

TABLE_WORDS = {
    "contacts": "contacts", "companies": "companies", "consents": "consent",
    "orders": "orders", "order_lines": "order lines",
    "refunds": "refunds", "events": "mail or web events", "carts": "carts", "subscriptions": "subscriptions",
    "scores": "scores",
}  # fmt: skip


def check_cycles(rules: Mapping[str, Rule]) -> None:
    """Raises RuleError when a segment speaks of itself, however far round."""
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            rule = rules[path[-1]]
            place = next(n.place for n in rule.tree.walk() if n.op == "segment" and n.name == name)
            raise RuleError(f"Segments refer to each other in a circle: {circle}.", rule.text, place, segment=path[-1])
        if name in done:
            return
        for other in rules[name].references:
            if other in rules:
                visit(other, (*path, name))
        done.add(name)

    for name in rules:
        visit(name, ())


@dataclass
class Evaluation:
    """Rules of one shop at one as-of date, ready to be run over `profile`."""

    config: Config
    as_of: AsOf
    rules: Mapping[str, Rule]
    _calls: dict[Call, str] = field(default_factory=dict)

    @property
    def trees(self) -> dict[str, Node]:
        return {name: rule.tree for name, rule in self.rules.items()}

    def compiler(self) -> Compiler:
        return Compiler(self._column_of, self.trees)

    def _column_of(self, call: Call) -> str:
        """The column of a measure; equal calls share one. A person without rows has 0."""
        name = self._calls.setdefault(call, f"v{len(self._calls)}")
        return f"coalesce(m_{source_of(call)}.{name}, 0)"

    def marks(self) -> Marks:
        return marks(self.config, self.as_of)

    def select(self, picked: Iterable[str], where: str = "TRUE") -> str:
        """SELECT person_id and the picked expressions (made with `compiler`) for the people of the profile."""
        picked = list(picked)
        by_source: dict[str, dict[Call, str]] = {}
        for call, name in self._calls.items():
            by_source.setdefault(source_of(call), {})[call] = name
        parts = [f"{name} AS ({body})" for name, body in self._rows(by_source).items()]
        for source, calls in by_source.items():
            rows = "mail_rows" if source == "event_rows" else source
            columns = ", ".join(f"{aggregate_sql(c)} AS {n}" for c, n in calls.items())
            anyone = " OR ".join(f"({f})" for f in dict.fromkeys(filter_sql(c) for c in calls))
            parts.append(f"m_{source} AS (SELECT person_id, {columns} FROM {rows} WHERE {anyone} GROUP BY person_id)")
        head = "WITH " + ",\n".join(parts) + "\n" if parts else ""
        joins = "".join(f"\nLEFT JOIN m_{s} ON m_{s}.person_id = p.person_id" for s in by_source)
        text = f"{head}SELECT p.person_id, {', '.join(picked)} FROM profile AS p{joins} WHERE {where}"
        return text.format_map(self.marks())

    def _rows(self, by_source: Mapping[str, Mapping[Call, str]]) -> dict[str, str]:
        """The sources that are needed, and those they read."""
        wanted: set[str] = set()
        if "order_rows" in by_source or "line_rows" in by_source:
            wanted.add("order_rows")
        if "line_rows" in by_source:
            wanted |= {"line_orders", "line_rows"}
        found = {name: body for name, body in sources().items() if name in wanted}
        if "event_rows" in by_source:
            found["event_rows"] = sources()["event_rows"]
            found["mail_rows"] = self._mail_rows(by_source["event_rows"])
        return found

    def _mail_rows(self, calls: Iterable[Call]) -> str:
        if not any(k == "campaign" for _, arguments in calls for k, _ in arguments):
            return "SELECT * FROM event_rows"
        return """SELECT e.*, c.name AS campaign_name, c.subject FROM event_rows AS e
            LEFT JOIN campaigns AS c ON c.source = e.source AND c.campaign_id = e.campaign_id"""

    def masks(self) -> str:
        """SELECT person_id, m0, m1, ...: bit i of block b is segment number b * BLOCK + i, in the order of `rules`."""
        compiler = self.compiler()
        conditions = [compiler.condition(tree) for tree in self.trees.values()]
        picked = []
        for block in range(0, max(1, len(conditions)), BLOCK):
            bits = [f"CASE WHEN {c} THEN {1 << i} ELSE 0 END" for i, c in enumerate(conditions[block : block + BLOCK])] or ["0"]
            picked.append(f"CAST({' + '.join(f'CAST({b} AS BIGINT)' for b in bits)} AS BIGINT) AS m{block // BLOCK}")
        return self.select(picked)


def needs_of_node(node: Node) -> Iterable[tuple[str, int]]:
    """(table, days it looks back) for a column or a measure; nothing for other nodes."""
    if node.op == "column" and node.name in BY_NAME:
        column = BY_NAME[node.name]
        tail = node.name.rsplit("_", 1)[-1]
        days = int(tail[:-1]) if tail.endswith("d") and tail[:-1].isdigit() else EVER
        for table in column.needs:
            yield table, days
    if node.op == "measure":
        call = (node.name, node.value)
        for table in needs_of(call):
            yield table, days_of(call) or EVER
