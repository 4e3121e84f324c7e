"""From an owner's WHERE clause to a checked tree: an allow-list of syntax, our own types, and an answer for every mistake.

What is not named here does not exist for a rule: subqueries, other tables, casts, comments, `;`, placeholders, assignments,
unknown functions. Missing values: a comparison with a missing value is never true, and `not` turns that into true, so
`not (aov > 30)` holds for people without orders; `<>`, `not in`, `not like` and `not between` are exactly the opposite of
`=`, `in`, `like` and `between`.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlglot import exp

from connector.rules.measures import DAYS_LIMIT, MEASURES, TIMES
from connector.rules.nearest import hint
from connector.rules.syntax import ALL_FUNCTIONS, ARITHMETIC, CLASSES, COMPARE, FUNCTIONS, LIKE_FIRST, Syntax
from connector.rules.tree import Kind, Node, Place, Rule, Warn
from connector.rules.vocabulary import Vocabulary

UNITS = {
    "shop currency": "money", "days": "days", "0 to 1": "share", "0 to 100": "rank",
    **dict.fromkeys(("orders", "mails", "opens", "clicks", "views", "tickets", "forms", "downloads", "logins", "forwards",
                     "interactions", "carts", "ratings", "pieces", "products", "categories", "subscriptions", "records",
                     "answers", "searches", "people"), "count"),
}  # fmt: skip
SAID_UNITS = {"money": "money", "days": "a number of days", "share": "a share from 0 to 1", "rank": "a rank from 0 to 100",
              "count": "a count"}  # fmt: skip

NUMBER_LIMIT = Decimal(10) ** 15


def parse(text: str, vocabulary: Vocabulary) -> Rule:
    """Check a rule and give its tree. Raises RuleError with the place, the reason and the nearest valid name."""
    return _Checker(text, vocabulary).rule()


class _Checker(Syntax):
    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        super().__init__(text)
        self.words = vocabulary
        self.warnings: list[Warn] = []

    def rule(self) -> Rule:
        tree = self.syntax()
        try:
            node = self._condition(tree)
        except RecursionError:
            raise self.error("This rule is nested too deeply. Split it into two segments.") from None
        return Rule(self.text, node, tuple(self.warnings))

    def _condition(self, node: exp.Expr) -> Node:
        """A node that must be true or false for a person."""
        found = self._value(node)
        if found.kind == "yes or no":
            return found
        if found.op == "measure" and found.name in TIMES:
            never = Node("is missing", "yes or no", (found,), place=found.place)
            return Node("not", "yes or no", (never,), place=found.place)
        if found.op == "measure":
            return Node("number above 0", "yes or no", (found,), place=found.place)
        if found.op == "column":
            reason = f"'{found.name}' is {_article(found.kind)}, not a condition. Compare it with something, as in "
            example = {"number": f"{found.name} > 0", "text": f"{found.name} = '...'",
                       "day": f"{found.name} >= date '2026-01-01'",
                       "list": f"'...' in {found.name}"}.get(found.kind, f"{found.name} = ...")  # fmt: skip
            raise self.error(reason + example + ".", found.place)
        raise self.error(f"This is {_article(found.kind)}, not a condition. Compare it with something.", found.place)

    def _value(self, node: exp.Expr) -> Node:
        self.known(node)
        place = self.place(node)
        if isinstance(node, exp.Paren):
            return self._value(node.this)
        if isinstance(node, (exp.And, exp.Or)):
            op = "and" if isinstance(node, exp.And) else "or"
            sides = [self._condition(n) for n in (node.this, node.expression)]
            flat = [a for s in sides for a in (s.args if s.op == op and not s.name else (s,))]
            return Node("and" if op == "and" else "or", "yes or no", tuple(flat), place=place)
        if isinstance(node, exp.Not):
            return Node("not", "yes or no", (self._condition(node.this),), place=place)
        if type(node) in COMPARE:
            return self._compare(node, COMPARE[type(node)], place)
        if isinstance(node, exp.Between):
            return self._between(node, place)
        if isinstance(node, exp.In):
            return self._in(node, place)
        if isinstance(node, (exp.Like, exp.ILike)):
            return self._like(node, place)
        if isinstance(node, exp.Is):
            return self._is(node, place)
        if type(node) in ARITHMETIC:
            return self._arithmetic(node, ARITHMETIC[type(node)], place)
        if isinstance(node, exp.Neg):
            inner = self._number(node.this)
            return Node("negative", "number", (inner,), place=place)
        if isinstance(node, exp.Column):
            return self._column(node, place)
        if isinstance(node, exp.Literal):
            return self._literal(node, place)
        if isinstance(node, exp.Boolean):
            return Node("literal", "yes or no", value=bool(node.this), place=place)
        if isinstance(node, exp.Null):
            return Node("literal", "nothing", place=self.word_place("null", place))
        if isinstance(node, exp.CurrentDate):
            return Node("today", "day", place=place)
        if isinstance(node, exp.Interval):
            return self._span(node, place)
        if isinstance(node, exp.Cast):
            return self._typed_literal(node, place)
        if isinstance(node, exp.Case):
            return self._case(node, place)
        if isinstance(node, exp.If):
            return self._branches([(node.this, node.args["true"])], node.args.get("false"), place)
        if isinstance(node, exp.Array):
            return Node("list", "list", tuple(self._text_item(n) for n in node.expressions), place=place)
        if isinstance(node, exp.Anonymous):
            return self._named_call(node, place)
        if type(node) in CLASSES:
            return self._function(CLASSES[type(node)], self._arguments(node), node, place)
        raise self.error("This form is not allowed in a rule.", node)

    def _compare(self, node: exp.Expr, op: str, place: Place) -> Node:
        left, right = self._value(node.this), self._value(node.expression)
        for side in (left, right):
            if side.kind == "nothing":
                other = right if side is left else left
                name = other.name or "the column"
                form = "is not null" if op == "<>" else "is null"
                raise self.error(f"Nothing is ever equal to null. Write {name} {form}.", place)
        if "yes or no" in (left.kind, right.kind) and op not in ("=", "<>"):
            raise self.error("Comparisons cannot be chained. Write 'x between 1 and 3', or 'x > 1 and x < 3'.", place)
        left, right = self._agree(left, right, place)
        return Node("compare", "yes or no", (left, right), op, place=place)

    def _agree(self, left: Node, right: Node, place: Place) -> tuple[Node, Node]:
        """Both sides of one kind; a text that is a day becomes one; values never seen are warned of."""
        if left.kind == "day" and right.op == "literal" and right.kind == "text":
            right = self._as_day(right)
        if right.kind == "day" and left.op == "literal" and left.kind == "text":
            left = self._as_day(left)
        if left.kind != right.kind:
            raise self.error(self._mismatch(left, right), place)
        if left.kind in ("list", "span", "nothing"):
            name = left.name if left.op == "column" else "the list"
            raise self.error(
                f"A list cannot be compared like this. Write 'x' in {name}, or list_has_any({name}, ['x', 'y']).", place
            )
        self._check_units(left, right, place)
        self._seen(left, right)
        self._seen(right, left)
        return left, right

    def _unit(self, node: Node) -> str:
        """money, days, share, rank or count, '' where it is not known."""
        if node.op == "column" and node.kind == "number":
            return UNITS.get(self.words.columns[node.name].unit, "")
        if node.op == "measure":
            return {"": "money", "days": "days"}.get(MEASURES[node.name].unit, "count")
        if node.op == "arithmetic" and node.name in ("+", "-") and node.kind == "number":
            units = {self._unit(a) for a in node.args}
            return "days" if node.args[0].kind == "day" else units.pop() if len(units) == 1 else ""
        return ""

    def _check_units(self, left: Node, right: Node, place: Place) -> None:
        """Euros are not compared with counts, and a share is no percentage."""
        units = (self._unit(left), self._unit(right))
        if all(units) and units[0] != units[1]:
            said = " and ".join(f"{self._called(n)} is {SAID_UNITS[u]}" for n, u in zip((left, right), units, strict=True))
            raise self.error(f"{said}; they cannot be compared.", place)
        for a, b in ((left, right), (right, left)):
            if self._unit(a) == "share" and b.op == "literal" and b.kind == "number" and 1 < b.value <= 100:
                share = f"{b.value / 100:f}".rstrip("0")
                self.warnings.append(Warn(f"{self._called(a)} goes from 0 to 1. For {b.value} % write {share}.", b.place))

    def _mismatch(self, left: Node, right: Node) -> str:
        for a, b in ((left, right), (right, left)):
            if a.kind == "number" and b.op == "literal" and b.kind == "text":
                plain = str(b.value).strip()
                try:
                    Decimal(plain)
                    return f"{self._called(a)} is a number. Write {plain} without quotes."
                except InvalidOperation:
                    return f"{self._called(a)} is a number and cannot be compared with the text '{plain}'."
            if a.kind == "text" and b.op == "literal" and b.kind == "number":
                return f"{self._called(a)} is text. Write '{b.value}' in single quotes."
            if a.kind == "number" and b.kind == "span":
                return f"{self._called(a)} is a number already. Write the number of days alone, such as 30."
            if a.kind == "day" and b.op == "literal" and b.kind == "number":
                count = f"current_date - {a.name or 'it'} > 30"
                return f"{self._called(a)} is a day. Compare it with date '2026-01-01', or count days: {count}."
            if a.kind == "yes or no" and a.op == "column" and b.op == "literal":
                return f"{self._called(a)} is yes or no. Write {a.name}, or not {a.name}."
            if a.kind == "list" and a.op == "column" and b.kind == "text":
                return f"{self._called(a)} is a list. Write {_quoted(b)} in {a.name}."
        sides = f"{self._called(left)} is {_article(left.kind)} and {self._called(right)} is {_article(right.kind)}"
        return f"{sides}; they cannot be compared."

    def _called(self, node: Node) -> str:
        if node.op in ("column", "function", "measure"):
            return f"'{node.name}'"
        return f"'{self.text[node.place.start : node.place.end]}'"

    def _as_day(self, node: Node) -> Node:
        try:
            return Node("literal", "day", value=date.fromisoformat(str(node.value)), place=node.place)
        except ValueError:
            raise self.error(f"'{node.value}' is no day. Write it as '2026-01-31'.", node.place) from None

    def _seen(self, column: Node, literal: Node) -> None:
        if column.op != "column" or literal.op != "literal" or column.kind not in ("text", "list"):
            return
        values = self.words.columns[column.name].values
        self._check_value(str(literal.value), values, f"'{column.name}'", literal.place)

    def _check_value(self, value: str, values: frozenset[str] | None, where: str, place: Place) -> None:
        if values is None or value in values:
            return
        if not values:
            self.warnings.append(Warn(f"There is no value in {where} yet.", place))
            return
        self.warnings.append(Warn(f"{where} is never '{value}' in the data.{hint(value, sorted(values))}", place))

    def _between(self, node: exp.Expr, place: Place) -> Node:
        value, low, high = (self._value(node.args[k]) for k in ("this", "low", "high"))
        for side in (value, low, high):
            if side.kind == "nothing":
                raise self.error("Nothing lies between null and something. Write is null.", place)
        _, low = self._agree(value, low, place)
        value, high = self._agree(value, high, place)
        if value.kind == "yes or no":
            raise self.error("between needs numbers, days or text.", place)
        if low.op == high.op == "literal" and low.value > high.value:
            self.warnings.append(Warn(f"Nothing lies between {low.value} and {high.value}. Swap them.", place))
        return Node("between", "yes or no", (value, low, high), place=place)

    def _in(self, node: exp.Expr, place: Place) -> Node:
        if node.args.get("field") is not None:
            return self._has(self._value(node.args["field"]), self._value(node.this), place)
        value = self._value(node.this)
        items = [self._value(n) for n in node.expressions]
        if value.kind == "list":
            inner = ", ".join(_quoted(i) for i in items)
            raise self.error(f"{self._called(value)} is a list. Write list_has_any({value.name}, [{inner}]).", place)
        agreed: list[Node] = []
        for item in items:
            if item.kind == "nothing":
                raise self.error(f"null is in no list. Write ... or {value.name or 'x'} is null.", place)
            agreed.append(self._agree(value, item, item.place)[1])
        if not agreed:
            raise self.error("The list is empty.", place)
        return Node("in", "yes or no", (value, *agreed), place=place)

    def _has(self, holder: Node, item: Node, place: Place) -> Node:
        if holder.kind != "list" or item.kind != "text":
            raise self.error(
                f"{self._called(holder)} is {_article(holder.kind)}; 'x' in ... needs a text and a list column.", place
            )
        self._seen(holder, item)
        return Node("has", "yes or no", (holder, item), place=place)

    def _like(self, node: exp.Expr, place: Place) -> Node:
        value, pattern = self._value(node.this), self._value(node.expression)
        if value.kind == "list":
            raise self.error(f"{self._called(value)} is a list. Write 'x' in {value.name}.", place)
        if value.kind != "text" or pattern.kind != "text":
            raise self.error("like compares text with a text pattern.", place)
        name = "ilike" if isinstance(node, exp.ILike) else "like"
        found = Node("like", "yes or no", (value, pattern), name, place=place)
        return Node("not", "yes or no", (found,), place=place) if node.args.get("negate") else found

    def _is(self, node: exp.Expr, place: Place) -> Node:
        value, what = self._value(node.this), node.expression
        self.known(what)
        if isinstance(what, exp.Null):
            if value.op == "measure" and value.name not in TIMES:
                raise self.error(f"'{value.name}' is never missing; it is 0. Write not {value.name}(...).", place)
            return Node("is missing", "yes or no", (value,), place=place)
        if isinstance(what, exp.Boolean) and value.kind == "yes or no":
            same = Node("is", "yes or no", (value,), place=place)
            return same if what.this else Node("not", "yes or no", (same,), place=place)
        raise self.error("Write is null, is not null, is true or is false.", place)

    def _number(self, node: exp.Expr) -> Node:
        found = self._value(node)
        if found.kind != "number":
            raise self.error(f"{self._called(found)} is {_article(found.kind)}; a number is needed here.", found.place)
        return found

    def _arithmetic(self, node: exp.Expr, op: str, place: Place) -> Node:
        left, right = self._value(node.this), self._value(node.expression)
        kinds = (left.kind, right.kind)
        if kinds == ("number", "number"):
            return Node("arithmetic", "number", (left, right), op, place=place)
        if op == "-" and kinds == ("day", "day"):
            return Node("arithmetic", "number", (left, right), op, place=place)
        if op in "+-" and kinds in (("day", "number"), ("day", "span")):
            return Node("arithmetic", "day", (left, right), op, place=place)
        if op == "-" and left.kind == "day" and right.op == "literal" and right.kind == "text":
            return Node("arithmetic", "number", (left, self._as_day(right)), op, place=place)
        raise self.error(f"{_article(left.kind).capitalize()} {op} {_article(right.kind)} makes no sense.", place)

    def _column(self, node: exp.Column, place: Place) -> Node:
        identifier = node.this
        if not isinstance(identifier, exp.Identifier):
            raise self.error("A rule cannot use *.", node)
        name = str(identifier.this)
        exact = name if name in self.words.columns else name.lower()
        known = self.words.columns.get(exact)
        if known is None:
            if identifier.args.get("quoted"):
                raise self.error(f"There is no field \"{name}\". Text stands in single quotes: '{name}'.", place)
            if name.lower() in MEASURES:
                raise self.error(f"'{name}' needs brackets, as in {name.lower()}(days => 90).", place)
            if name.lower() in ("today", "now"):
                raise self.error("Write current_date for today.", place)
            raise self.error(f"There is no field '{name}'." + hint(name, self.words.columns), place)
        return Node("column", known.kind, name=exact, place=place)

    def _literal(self, node: exp.Literal, place: Place) -> Node:
        text = str(node.this)
        if node.args.get("is_string"):
            if "\x00" in text:
                raise self.error("This text holds a character that cannot be used.", place)
            return Node("literal", "text", value=text, place=place)
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise self.error(f"'{text[:20]}' is no number.", place) from None
        if (
            not number.is_finite()
            or abs(number) >= NUMBER_LIMIT
            or (number and number.adjusted() < -9)
            or len(number.as_tuple().digits) > 18
        ):
            raise self.error("This number is too large or too long.", place)
        return Node("literal", "number", value=number, place=place)

    def _typed_literal(self, node: exp.Cast, place: Place) -> Node:
        """`date '2026-01-31'` is a literal; every other cast is refused."""
        inner = node.this
        written = self.text[max(0, place.start - 12) : place.start].rstrip().lower()
        is_prefix = written.endswith("date") and isinstance(inner, exp.Literal) and bool(inner.args.get("is_string"))
        if not is_prefix or node.to.this != exp.DType.DATE:
            raise self.error(
                "A rule cannot change types; every column has its type already. Days are written date '2026-01-31'.", place
            )
        return self._as_day(Node("literal", "text", value=str(inner.this), place=place))

    def _span(self, node: exp.Interval, place: Place) -> Node:
        unit = str(node.args["unit"].this).lower().rstrip("s") if node.args.get("unit") else ""
        raw = node.this
        if not isinstance(raw, exp.Literal) or unit not in ("day", "week", "month", "year"):
            raise self.error("Write a span as interval 30 day (day, week, month or year).", place)
        try:
            count = int(str(raw.this))
        except ValueError:
            raise self.error("Write a span as interval 30 day, with a whole number.", place) from None
        if not 0 <= count <= DAYS_LIMIT:
            raise self.error("This span is too long.", place)
        return Node("span", "span", name=unit, value=count, place=place)

    def _case(self, node: exp.Case, place: Place) -> Node:
        pairs: list[tuple[exp.Expr, exp.Expr]]
        if node.this is not None:
            pairs = [(exp.EQ(this=node.this.copy(), expression=i.this), i.args["true"]) for i in node.args["ifs"]]
        else:
            pairs = [(i.this, i.args["true"]) for i in node.args["ifs"]]
        return self._branches(pairs, node.args.get("default"), place)

    def _branches(self, pairs: list[tuple[exp.Expr, exp.Expr]], otherwise: exp.Expr | None, place: Place) -> Node:
        """args: condition, value, condition, value, ..., and the value of everybody else where one is given."""
        args: list[Node] = []
        kinds: set[Kind] = set()
        for condition, value in pairs:
            args += [self._condition(condition), self._value(value)]
            kinds.add(args[-1].kind)
        if otherwise is not None:
            args.append(self._value(otherwise))
            kinds.add(args[-1].kind)
        kinds.discard("nothing")
        if len(kinds) != 1 or kinds & {"span", "list"}:
            raise self.error("All results of case must be of one kind: numbers, texts, days or yes/no.", place)
        return Node("case", kinds.pop(), tuple(args), place=place)

    def _text_item(self, node: exp.Expr) -> Node:
        found = self._value(node)
        if found.op != "literal" or found.kind != "text":
            raise self.error("A list holds texts in single quotes, as in ['a', 'b'].", found.place)
        return found

    def _arguments(self, node: exp.Expr) -> list[exp.Expr]:
        parts = [
            node.args.get("this"),
            node.args.get("expression"),
            node.args.get("decimals"),
            *node.args.get("expressions", []),
        ]
        return [p for p in parts if isinstance(p, exp.Expr)]

    def _function(self, name: str, raw: list[exp.Expr], node: exp.Expr, place: Place) -> Node:
        args = [self._value(r) for r in raw]
        if name in ("list_contains", "contains") and args and args[0].kind == "list":
            if len(args) != 2:
                raise self.error(f"{name} needs a list and a text.", place)
            return self._has(args[0], args[1], place)
        if name == "length" and args and args[0].kind == "list":
            return Node("function", "number", tuple(args[:1]), "length", place=place)
        if name in LIKE_FIRST:
            kinds = {a.kind for a in args} - {"nothing"}
            if len(kinds) != 1 or kinds & {"list", "span"} or any(a.kind == "nothing" for a in args):
                raise self.error(f"{name} needs values of one kind.", place)
            return Node("function", kinds.pop(), tuple(args), name, place=place)
        wanted, kind = FUNCTIONS.get(name, ((), "number"))
        if name not in FUNCTIONS:
            raise self.error(f"{name} needs a list and a text, as in list_contains(tags, 'x').", place)
        least = 1 if name == "round" else len(wanted)
        if not least <= len(args) <= len(wanted) or any(a.kind != w for a, w in zip(args, wanted, strict=False)):
            form = ", ".join(f"a {w}" if w != "list" else "a list" for w in wanted)
            raise self.error(f"{name} needs {form}.", place)
        if name == "round" and len(args) == 2 and (args[1].op != "literal" or args[1].value not in range(11)):
            raise self.error("round needs a written number of places, as in round(aov, 2).", place)
        for item in args[1].args if kind == "yes or no" and wanted[0] == "list" and args[1].op == "list" else ():
            self._seen(args[0], item)
        return Node("function", kind, tuple(args), name, place=place)

    def _named_call(self, node: exp.Anonymous, place: Place) -> Node:
        written = str(node.this)
        name = written.lower()
        at = Place(place.start, place.start + len(written))
        if name == "segment":
            return self._segment(node, place)
        if name == "everyone_else":
            return self._everyone_else(node, place)
        if name in MEASURES:
            return self._measure(name, node, place)
        if name in FUNCTIONS:
            return self._function(name, list(node.expressions), node, place)
        raise self.error(f"There is no function '{written}' in rules." + hint(written, ALL_FUNCTIONS), at)

    def _segment(self, node: exp.Anonymous, place: Place) -> Node:
        args = [self._value(n) for n in node.expressions]
        if len(args) != 1 or args[0].op != "literal" or args[0].kind != "text":
            raise self.error("Name one segment: segment('VIP').", place)
        name = str(args[0].value)
        found = next((s for s in self.words.segments if s.casefold() == name.casefold()), None)
        if found is None:
            raise self.error(f"There is no segment '{name}'." + hint(name, self.words.segments), args[0].place)
        return Node("segment", "yes or no", name=found, place=place)

    def _everyone_else(self, node: exp.Anonymous, place: Place) -> Node:
        if node.expressions:
            raise self.error("everyone_else() takes nothing: it is whoever is in no other segment.", place)
        others = [s for s in self.words.segments if s.casefold() != self.words.own.casefold()]
        if not others:
            return Node("literal", "yes or no", value=True, place=place)
        parts = (Node("not", "yes or no", (Node("segment", "yes or no", name=s, place=place),), place=place) for s in others)
        return Node("and", "yes or no", tuple(parts), "everyone else", place=place)

    def _measure(self, name: str, node: exp.Anonymous, place: Place) -> Node:
        measure = MEASURES[name]
        given: dict[str, Any] = {}
        for part in node.expressions:
            key, value = self._named_argument(name, part)
            key_place = self.argument_place(key, place)
            if key not in measure.arguments:
                raise self.error(
                    f"{name} has no argument '{key}'."
                    + (hint(key, measure.arguments) or f" It takes {', '.join(measure.arguments)}."),
                    key_place,
                )
            if key in given:
                raise self.error(f"'{key}' is given twice.", key_place)
            given[key] = self._argument(name, key, value)
        if name in TIMES:
            self._check_time(name, given, place)
        return Node("measure", "number", name=name, value=tuple(sorted(given.items())), place=place)

    def _check_time(self, name: str, given: dict[str, Any], place: Place) -> None:
        """`first` and `last` take what the measure they name takes."""
        events = [m for m in MEASURES if m not in (*TIMES, "spent")]
        form = f"{name}(event => 'bought')"
        if "event" not in given:
            raise self.error(f"Say what is meant, as in {form}. It may be {', '.join(events)}.", place)
        event = given["event"] = str(given["event"]).lower()
        if event not in events:
            raise self.error(
                f"There is no event '{event}'.{hint(event, events) or f' It may be {chr(44).join(events)}.'}",
                self.argument_place("event", place),
            )
        for key in given:
            if key != "event" and key not in MEASURES[event].arguments:
                raise self.error(f"{event} has no argument '{key}'.", self.argument_place(key, place))

    def _named_argument(self, name: str, part: exp.Expr) -> tuple[str, exp.Expr]:
        if isinstance(part, exp.Kwarg):
            self.known(part)
            return str(part.this.this).lower(), part.expression
        if isinstance(part, (exp.EQ, exp.PropertyEQ)):
            word = part.this.name
            raise self.error(f"Name arguments with =>, as in {name}({word} => ...).", part)
        first = next(iter(MEASURES[name].arguments))
        raise self.error(f"Name the argument, as in {name}({first} => ...).", part)

    def _argument(self, name: str, key: str, raw: exp.Expr) -> Any:
        negative = isinstance(raw, exp.Neg)
        found = self._value(raw.this if negative else raw)
        wanted = MEASURES[name].arguments[key]
        if found.op != "literal" or found.kind != wanted:
            form = "a written number" if wanted == "number" else "a text in single quotes"
            raise self.error(f"{key} needs {form}.", found.place)
        if wanted == "text":
            if key in ("category", "product") and "%" not in found.value:
                self._check_value(found.value, self._folded(key, found.value), f"{key} of {name}", found.place)
            return found.value
        number = -found.value if negative else found.value
        if key == "days" and (number != int(number) or not 1 <= number <= DAYS_LIMIT):
            raise self.error("days needs a whole number from 1 on.", found.place)
        return int(number) if number == int(number) else number

    def _folded(self, key: str, value: str) -> frozenset[str] | None:
        """The known values; one that differs only in case counts as known."""
        values = self.words.topics.get(key)
        if values is not None and any(v.casefold() == value.casefold() for v in values):
            return None
        return values


def _article(kind: Kind) -> str:
    return {"number": "a number", "text": "a text", "day": "a day", "list": "a list", "span": "a span of time",
            "nothing": "null"}.get(kind, "yes or no")  # fmt: skip


def _quoted(node: Node) -> str:
    return f"'{node.value}'" if node.kind == "text" else str(node.value)
