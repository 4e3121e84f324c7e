"""From an owner's WHERE clause to a checked tree: an allow-list of syntax, our own types, and an answer for every mistake.

What is not named here does not exist for a rule: subqueries, other tables, casts, comments, `;`, placeholders, assignments,
unknown functions. Missing values: a comparison with a missing value is never true, and `not` turns that into true, so
`not (aov > 30)` holds for people without orders; `<>`, `not in`, `not like` and `not between` are exactly the opposite of
`=`, `in`, `like` and `between`.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from sqlglot import exp

from connector.columns import BY_NAME
from connector.rules import together
from connector.rules.calls import Calls
from connector.rules.compared import article, quoted
from connector.rules.measures import DAYS_LIMIT, MEASURES, TIMES
from connector.rules.nearest import hint
from connector.rules.syntax import ARITHMETIC, CLASSES, COMPARE, FUNCTIONS
from connector.rules.tree import Node, Place, Rule, Warn
from connector.rules.vocabulary import Vocabulary

NUMBER_LIMIT = Decimal(10) ** 15


def parse(text: str, vocabulary: Vocabulary) -> Rule:
    """Check a rule and give its tree. Raises RuleError with the place, the reason and the nearest valid name."""
    return _Checker(text, vocabulary).rule()


class _Checker(Calls):
    def rule(self) -> Rule:
        tree = self.syntax()
        try:
            node = self._condition(tree)
        except RecursionError:
            raise self.error("This rule is nested too deeply. Split it into two segments.") from None
        return Rule(self.text, node, (*self.warnings, *together.warnings(node, self.text)))

    def _condition(self, node: exp.Expr) -> Node:
        """A node that must be true or false for a person."""
        found = self.value(node)
        if found.kind == "yes or no":
            return found
        if found.op == "measure" and found.name in TIMES:
            never = Node("is missing", "yes or no", (found,), place=found.place)
            return Node("not", "yes or no", (never,), place=found.place)
        if found.op == "measure":
            return Node("number above 0", "yes or no", (found,), place=found.place)
        if found.op == "column":
            reason = f"'{found.name}' is {article(found.kind)}, not a condition. Compare it with something, as in "
            example = {"number": f"{found.name} > 0", "text": f"{found.name} = '...'",
                       "day": f"{found.name} >= date '2026-01-01'",
                       "list": f"'...' in {found.name}"}.get(found.kind, f"{found.name} = ...")  # fmt: skip
            raise self.error(reason + example + ".", found.place)
        raise self.error(f"This is {article(found.kind)}, not a condition. Compare it with something.", found.place)

    def value(self, node: exp.Expr) -> Node:
        self.known(node)
        place = self.place(node)
        if isinstance(node, exp.Paren):
            return self.value(node.this)
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
            return Node("literal", "nothing", place=self.null_place(place))
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
            return self.named_call(node, place)
        if type(node) in CLASSES:
            return self.function(CLASSES[type(node)], self._arguments(node), place)
        raise self.error("This form is not allowed in a rule.", node)

    def _compare(self, node: exp.Expr, op: str, place: Place) -> Node:
        left, right = self.value(node.this), self.value(node.expression)
        if "nothing" in (left.kind, right.kind):
            other, after = (right, 0) if left.kind == "nothing" else (left, left.place.end)
            form = "is not null" if op == "<>" else "is null"
            reason = f"Nothing is ever equal to null. Write {other.name or 'the column'} {form}."
            raise self.error(reason, self.null_place(place, after))
        if "yes or no" in (left.kind, right.kind) and op not in ("=", "<>"):
            raise self.error("Comparisons cannot be chained. Write 'x between 1 and 3', or 'x > 1 and x < 3'.", place)
        left, right = self.agree(left, right)
        return Node("compare", "yes or no", (left, right), op, place=place)

    def _between(self, node: exp.Expr, place: Place) -> Node:
        value, low, high = (self.value(node.args[k]) for k in ("this", "low", "high"))
        if "nothing" in (value.kind, low.kind, high.kind):
            raise self.error("Nothing lies between null and something. Write is null.", self.null_place(place))
        _, low = self.agree(value, low)
        value, high = self.agree(value, high)
        if value.kind == "yes or no":
            raise self.error("between needs numbers, days or text.", place)
        if low.op == high.op == "literal" and low.value > high.value:
            both = Place(low.place.start, high.place.end)
            self.warnings.append(Warn(f"Nothing lies between {low.value} and {high.value}. Swap them.", both))
        return Node("between", "yes or no", (value, low, high), place=place)

    def _in(self, node: exp.Expr, place: Place) -> Node:
        if node.args.get("field") is not None:
            return self.has(self.value(node.args["field"]), self.value(node.this), place)
        value = self.value(node.this)
        items = [self.value(n) for n in node.expressions]
        if value.kind == "list":
            inner = ", ".join(quoted(i) for i in items)
            raise self.error(f"{self.called(value)} is a list. Write list_has_any({value.name}, [{inner}]).", place)
        agreed: list[Node] = []
        for item in items:
            if item.kind == "nothing":
                reason = f"null is in no list. Write ... or {value.name or 'x'} is null."
                raise self.error(reason, self.null_place(place, value.place.end))
            agreed.append(self.agree(value, item)[1])
        if not agreed:
            raise self.error("The list is empty.", place)
        return Node("in", "yes or no", (value, *agreed), place=place)

    def _like(self, node: exp.Expr, place: Place) -> Node:
        value, pattern = self.value(node.this), self.value(node.expression)
        if value.kind == "list":
            raise self.error(f"{self.called(value)} is a list. Write 'x' in {value.name}.", place)
        if value.kind != "text" or pattern.kind != "text":
            raise self.error("like compares text with a text pattern.", (value if value.kind != "text" else pattern).place)
        name = "ilike" if isinstance(node, exp.ILike) else "like"
        found = Node("like", "yes or no", (value, pattern), name, place=place)
        return Node("not", "yes or no", (found,), place=place) if node.args.get("negate") else found

    def _is(self, node: exp.Expr, place: Place) -> Node:
        value, what = self.value(node.this), node.expression
        if value.kind == "nothing":
            raise self.error("null is always unknown. Write the column that is to be null.", value.place)
        if isinstance(what, (exp.Literal, exp.Column)) and value.op == "column":
            text = str(what.this if isinstance(what, exp.Literal) else what.name)
            shown = text if isinstance(what, exp.Literal) and not what.is_string else f"'{text}'"
            raise self.error(f"Write {value.name} = {shown}; is goes with null, true and false only.", place)
        self.known(what)
        if isinstance(what, exp.Null):
            if value.op == "measure" and value.name not in TIMES:
                raise self.error(f"'{value.name}' is never missing; it is 0. Write not {value.name}(...).", place)
            self._check_never_missing(value)
            return Node("is missing", "yes or no", (value,), place=place)
        if isinstance(what, exp.Boolean) and value.kind == "yes or no":
            if what.this:
                return Node("is", "yes or no", (value,), place=place)
            no = Node("literal", "yes or no", value=False, place=place)
            return Node("compare", "yes or no", (value, no), "=", place=place)
        raise self.error("Write is null, is not null, is true or is false.", place)

    def _check_never_missing(self, value: Node) -> None:
        """Counts and sums are 0 and answers are no for people without any."""
        empty = BY_NAME[value.name].empty if value.op == "column" and value.name in BY_NAME else ""
        instead = {"0": f"it is 0. Write {value.name} = 0", "FALSE": f"it is no. Write not {value.name}"}.get(empty)
        if instead:
            self.warnings.append(Warn(f"'{value.name}' is never unknown; {instead}.", value.place))

    def _number(self, node: exp.Expr) -> Node:
        found = self.value(node)
        if found.kind != "number":
            raise self.error(f"{self.called(found)} is {article(found.kind)}; a number is needed here.", found.place)
        return found

    def _arithmetic(self, node: exp.Expr, op: str, place: Place) -> Node:
        left, right = self.value(node.this), self.value(node.expression)
        kinds = (left.kind, right.kind)
        if kinds == ("number", "number"):
            if op in "+-":
                self.check_units(left, right, right.place, "added" if op == "+" else "subtracted")
            return Node("arithmetic", "number", (left, right), op, place=place)
        if op == "-" and kinds == ("day", "day"):
            return Node("arithmetic", "number", (left, right), op, place=place)
        if op in "+-" and kinds in (("day", "number"), ("day", "span")):
            return Node("arithmetic", "day", (left, right), op, place=place)
        if op == "-" and left.kind == "day" and right.op == "literal" and right.kind == "text":
            return Node("arithmetic", "number", (left, self.as_day(right)), op, place=place)
        raise self.error(f"{article(left.kind).capitalize()} {op} {article(right.kind)} makes no sense.", place)

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
            if name.lower() in ("today", "now", "current_timestamp"):
                raise self.error("Write current_date for today.", place)
            if name.lower() == "segment" or name.lower() in FUNCTIONS:
                raise self.error(f"'{name}' needs brackets and something between them.", place)
            if name.lower() == "everyone_else":
                raise self.error("Write everyone_else() with its brackets.", place)
            meant = hint(name, self.words.columns) or f" Text stands in single quotes: '{name}'."
            raise self.error(f"There is no field '{name}'.{meant}", place)
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
        is_prefix = (
            self.text[place.start :].lower().startswith("date")
            and isinstance(inner, exp.Literal)
            and bool(inner.args.get("is_string"))
        )
        if not is_prefix or node.to.this != exp.DType.DATE:
            raise self.error(
                "A rule cannot change types; every column has its type already. Days are written date '2026-01-31'.", place
            )
        return self.as_day(Node("literal", "text", value=str(inner.this), place=place))

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
        results: list[Node] = []
        for condition, value in pairs:
            results.append(self.value(value))
            args += [self._condition(condition), results[-1]]
        if otherwise is not None:
            results.append(self.value(otherwise))
            args.append(results[-1])
        known = [r for r in results if r.kind != "nothing"]
        other = next((r for r in known if r.kind != known[0].kind or r.kind in ("span", "list")), None)
        if not known or other:
            reason = "All results of case must be of one kind: numbers, texts, days or yes/no."
            raise self.error(reason, other.place if other else place)
        return Node("case", known[0].kind, tuple(args), place=place)

    def _text_item(self, node: exp.Expr) -> Node:
        found = self.value(node)
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
