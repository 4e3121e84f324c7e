"""One statement for all rules: segments put together from checked trees, measures aggregated once per source.

Not a stage: `connector/segment.py` runs what is built here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from connector.columns import BY_NAME
from connector.config import Config
from connector.facts import EVERYBODY, Marks, marks, rows
from connector.rules import Compiler, Node, Rule, RuleError
from connector.rules.measures import TIMES, Aggregates, Call, by_source, days_of, needs_of, source_of, within_of
from connector.stays import BLOCK, blocks
from models.segments import AsOf

EVER = 1_000_000

BEHIND = {"cart_rows": ("order_rows",), "conversion_rows": ("order_rows", "event_rows")}
"""Source -> the rows it is made of."""

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
    some: str = EVERYBODY
    _calls: dict[Call, str] = field(default_factory=dict)

    @property
    def trees(self) -> dict[str, Node]:
        return {name: rule.tree for name, rule in self.rules.items()}

    def compiler(self) -> Compiler:
        return Compiler(self._column_of, self.trees)

    def _column_of(self, call: Call) -> str:
        """The column of a measure; equal calls share one. A person without rows has 0, or no first and last time."""
        name = self._calls.setdefault(call, f"v{len(self._calls)}")
        column = f"m_{source_of(call)}.{name}"
        return column if call[0] in TIMES else f"coalesce({column}, 0)"

    def marks(self) -> Marks:
        return marks(self.config, self.as_of, self.some)

    def select(self, picked: Iterable[str], where: str = "TRUE") -> str:
        """SELECT person_id and the picked expressions (made with `compiler`) for the people of the profile."""
        picked = list(picked)
        sources = by_source(self._calls.items())
        wanted = {*sources, *(made_of for source in sources for made_of in BEHIND.get(source, ()))}
        parts = [f"{name} AS ({body})" for name, body in rows().items() if name in wanted]
        parts += [f"m_{source} AS ({Aggregates(source, calls).sql()})" for source, calls in sources.items()]
        head = "WITH " + ",\n".join(parts) + "\n" if parts else ""
        joins = "".join(f"\nLEFT JOIN m_{s} ON m_{s}.n = p.person_n" for s in sources)
        text = f"{head}SELECT p.person_id, {', '.join(picked)} FROM profile AS p{joins} WHERE {where}"
        return text.format_map(self.marks())

    def masks(self, found: Mapping[str, int] | None = None) -> str:
        """SELECT person_id, m0, m1, ...: bit i of block b is the segment with slot b * BLOCK + i, or that place in `rules`."""
        compiler = self.compiler()
        found = found if found is not None else {name: i for i, name in enumerate(self.rules)}
        bits: list[list[str]] = [[] for _ in range(blocks(found))]
        for name, tree in self.trees.items():
            bit = 1 << (found[name] % BLOCK)
            bits[found[name] // BLOCK].append(f"CASE WHEN {compiler.condition(tree)} THEN CAST({bit} AS BIGINT) ELSE 0 END")
        return self.select(f"CAST({' + '.join(own) or '0'} AS BIGINT) AS m{b}" for b, own in enumerate(bits))


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
        before = within_of(call)
        for table in needs_of(call):
            yield table, (days_of(call) or EVER) + (before if table == "events" else 0)
