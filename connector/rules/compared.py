"""What may be compared with what: kinds, units, the numbers a value can have, and the values seen in the data."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation

from connector import countries
from connector.columns import BY_NAME
from connector.rules.measures import MEASURES
from connector.rules.nearest import hint
from connector.rules.syntax import Syntax
from connector.rules.tree import Kind, Node, Place, Warn
from connector.rules.vocabulary import Vocabulary

UNITS = {
    "shop currency": "money", "days": "days", "0 to 1": "share", "0 to 100": "rank",
    **dict.fromkeys(("orders", "mails", "opens", "clicks", "views", "tickets", "forms", "downloads", "logins", "forwards",
                     "interactions", "carts", "ratings", "pieces", "products", "categories", "subscriptions", "records",
                     "answers", "searches", "people"), "count"),
}  # fmt: skip
SAID_UNITS = {"money": "money", "days": "a number of days", "share": "a share from 0 to 1", "rank": "a rank from 0 to 100",
              "count": "a count"}  # fmt: skip

BOUNDS: dict[str, tuple[int, int]] = {
    "0 to 1": (0, 1), "0 to 100": (0, 100), "1 to 5": (1, 5), "1 to 12": (1, 12),
    "month": (1, 12), "day": (1, 31), "dayofweek": (0, 6),
}  # fmt: skip
"""Unit of a column, or function of a day -> lowest and highest value there can be."""

COUNTRIES = ("country", "shipping_country")

FROM_ZERO = ("days_since_", "days_known")


def article(kind: Kind) -> str:
    return {"number": "a number", "text": "a text", "day": "a day", "list": "a list", "span": "a span of time",
            "nothing": "null"}.get(kind, "yes or no")  # fmt: skip


def quoted(node: Node) -> str:
    return f"'{node.value}'" if node.kind == "text" else str(node.value)


def number_of(node: Node) -> Decimal | None:
    """A written number, with its minus; None for anything else."""
    if node.op == "negative" and node.args[0].op == "literal":
        return -Decimal(node.args[0].value)
    return Decimal(node.value) if node.op == "literal" and node.kind == "number" else None


class Compared(Syntax):
    """A rule in the words of one shop; collects warnings."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        super().__init__(text)
        self.words = vocabulary
        self.warnings: list[Warn] = []

    def agree(self, left: Node, right: Node) -> tuple[Node, Node]:
        """Both sides of one kind; a text that is a day becomes one; values never seen are warned of."""
        if left.kind == "day" and right.op == "literal" and right.kind == "text":
            right = self.as_day(right)
        if right.kind == "day" and left.op == "literal" and left.kind == "text":
            left = self.as_day(left)
        at = left.place if left.op == "literal" and right.op != "literal" else right.place
        if left.kind != right.kind:
            raise self.error(self._mismatch(left, right), left.place if left.kind == "list" else at)
        if left.kind == "span":
            raise self.error("Spans are not compared. Count days: current_date - last_order_on > 30.", at)
        if left.kind in ("list", "nothing"):
            name = left.name if left.op == "column" else "the list"
            reason = f"A list cannot be compared like this. Write 'x' in {name}, or list_has_any({name}, ['x', 'y'])."
            raise self.error(reason, left.place)
        self.check_units(left, right, at)
        self.seen(left, right)
        self.seen(right, left)
        return left, right

    def unit(self, node: Node) -> str:
        """money, days, share, rank or count, '' where it is not known."""
        if node.op == "column" and node.kind == "number":
            return UNITS.get(self.words.columns[node.name].unit, "")
        if node.op == "measure":
            return {"": "money", "days": "days"}.get(MEASURES[node.name].unit, "count")
        if node.op == "arithmetic" and node.name in ("+", "-") and node.kind == "number":
            units = {self.unit(a) for a in node.args}
            return "days" if node.args[0].kind == "day" else units.pop() if len(units) == 1 else ""
        return ""

    def check_units(self, left: Node, right: Node, at: Place, verb: str = "compared") -> None:
        """Euros are not compared with counts, a share is no percentage, and nobody bought a negative number of days ago."""
        units = (self.unit(left), self.unit(right))
        if all(units) and units[0] != units[1]:
            said = " and ".join(f"{self.called(n)} is {SAID_UNITS[u]}" for n, u in zip((left, right), units, strict=True))
            raise self.error(f"{said}; they cannot be {verb}.", at)
        if verb == "compared":
            self._check_bounds(left, right)
            self._check_bounds(right, left)

    def _check_bounds(self, node: Node, literal: Node) -> None:
        number = number_of(literal)
        low, high = self._bounds(node)
        if number is None or low is None or (number >= low and (high is None or number <= high)):
            return
        name = self.called(node)
        if high == 1 and 1 < number <= 100:
            share = f"{number / 100:f}".rstrip("0")
            self.warnings.append(Warn(f"{name} goes from 0 to 1. For {number} % write {share}.", literal.place))
        elif high is None:
            self.warnings.append(Warn(f"{name} is never below {low}.", literal.place))
        else:
            self.warnings.append(Warn(f"{name} goes from {low} to {high}.", literal.place))

    def _bounds(self, node: Node) -> tuple[int | None, int | None]:
        if node.op == "function" and node.name in BOUNDS:
            return BOUNDS[node.name]
        if node.op == "measure":
            return (None if MEASURES[node.name].unit == "" else 0), None
        if node.op != "column" or node.kind != "number":
            return None, None
        unit = self.words.columns[node.name].unit
        if unit in BOUNDS:
            return BOUNDS[unit]
        return (0 if UNITS.get(unit) == "count" or node.name.startswith(FROM_ZERO) else None), None

    def _mismatch(self, left: Node, right: Node) -> str:
        for a, b in ((left, right), (right, left)):
            if a.kind == "number" and b.op == "literal" and b.kind == "text":
                plain = str(b.value).strip()
                try:
                    Decimal(plain)
                    return f"{self.called(a)} is a number. Write {plain} without quotes."
                except InvalidOperation:
                    return f"{self.called(a)} is a number and cannot be compared with the text '{plain}'."
            if a.kind == "text" and b.op == "literal" and b.kind == "number":
                return f"{self.called(a)} is text. Write '{b.value}' in single quotes."
            if a.kind == "number" and b.kind == "span":
                return f"{self.called(a)} is a number already. Write the number of days alone, such as 30."
            if a.kind == "day" and b.kind == "number" and number_of(b) is not None:
                count = _days_since(a.name) or f"current_date - {a.name or 'it'}"
                return f"{self.called(a)} is a day. Compare it with date '2026-01-01', or count days: {count} > 30."
            if a.kind == "yes or no" and a.op == "column" and b.op == "literal":
                return f"{self.called(a)} is yes or no. Write {a.name}, or not {a.name}."
            if a.kind == "list" and a.op == "column" and b.kind == "text":
                return f"{self.called(a)} is a list. Write {quoted(b)} in {a.name}."
        sides = f"{self.called(left)} is {article(left.kind)} and {self.called(right)} is {article(right.kind)}"
        return f"{sides}; they cannot be compared."

    def called(self, node: Node) -> str:
        """A node as the owner wrote it, in single quotes."""
        if node.op in ("column", "function", "measure"):
            return f"'{node.name}'"
        written = self.text[node.place.start : node.place.end]
        return written if written.startswith("'") else f"'{written}'"

    def as_day(self, node: Node) -> Node:
        try:
            return Node("literal", "day", value=date.fromisoformat(str(node.value)), place=node.place)
        except ValueError:
            raise self.error(f"'{node.value}' is no day. Write it as '2026-01-31'.", node.place) from None

    def seen(self, column: Node, literal: Node) -> None:
        """Warns of a text that the column never holds."""
        if column.op != "column" or literal.op != "literal" or column.kind not in ("text", "list"):
            return
        values = self.words.columns[column.name].values
        written = str(literal.value)
        code = countries.code_of(written) if column.name in COUNTRIES and values and written not in values else ""
        if code and code in (values or ()):
            where = f"'{column.name}' is never '{written}' in the data"
            self.warnings.append(Warn(f"{where}: countries stand there by their code. Did you mean '{code}'?", literal.place))
            return
        self.check_value(written, values, f"'{column.name}'", literal.place)

    def check_value(self, value: str, values: frozenset[str] | None, where: str, place: Place) -> None:
        if values is None or value in values:
            return
        if not values:
            self.warnings.append(Warn(f"There is no value in {where} yet.", place))
            return
        self.warnings.append(Warn(f"{where} is never '{value}' in the data.{hint(value, sorted(values))}", place))


def _days_since(column: str) -> str:
    """The column that counts the days since this day, '' where there is none."""
    return next((c.name for c in BY_NAME.values() if c.sql == f"CAST({{day}} - {column} AS INTEGER)"), "")
