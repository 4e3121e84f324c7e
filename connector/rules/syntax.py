"""The syntax a rule may have: an allow-list over what sqlglot reads, the place of every part, and readable parse errors."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.parsers.duckdb import DuckDBParser
from sqlglot.tokenizer_core import TokenType

from connector.rules.measures import MEASURES
from connector.rules.nearest import hint
from connector.rules.tree import Kind, Place, RuleError
from connector.rules.writing import CLOSING, OPENING, Writing

SLIPS = (AttributeError, TypeError, LookupError)
"""Of the parser, on texts nobody would write."""
LENGTH_LIMIT = 4000


class Words(DuckDB):
    """The DuckDB dialect without its aggregates `first` and `last`, which are measures here."""

    class Parser(DuckDBParser):
        FUNCTIONS: ClassVar = {k: v for k, v in DuckDBParser.FUNCTIONS.items() if k not in ("FIRST", "LAST")}


COMPARE: dict[type[exp.Expr], str] = {exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.Mod: "%"}

FUNCTIONS: dict[str, tuple[tuple[Kind, ...], Kind]] = {
    "abs": (("number",), "number"), "round": (("number", "number"), "number"),
    "floor": (("number",), "number"), "ceil": (("number",), "number"),
    "nullif": (("number", "number"), "number"),
    "lower": (("text",), "text"), "upper": (("text",), "text"), "trim": (("text",), "text"),
    "length": (("text",), "number"),
    "starts_with": (("text", "text"), "yes or no"), "ends_with": (("text", "text"), "yes or no"),
    "contains": (("text", "text"), "yes or no"),
    "year": (("day",), "number"), "month": (("day",), "number"), "day": (("day",), "number"),
    "dayofweek": (("day",), "number"),
    "list_has_any": (("list", "list"), "yes or no"), "list_has_all": (("list", "list"), "yes or no"),
}  # fmt: skip
"""Name -> kinds of its arguments, kind of its result."""

LIKE_FIRST = ("coalesce", "least", "greatest")
"""Functions that take any number of values of one kind and give one of that kind."""

CLASSES: dict[type[exp.Expr], str] = {
    exp.Abs: "abs", exp.Round: "round", exp.Floor: "floor", exp.Ceil: "ceil", exp.Nullif: "nullif", exp.Lower: "lower",
    exp.Upper: "upper", exp.Trim: "trim", exp.Length: "length", exp.StartsWith: "starts_with", exp.EndsWith: "ends_with",
    exp.Contains: "contains", exp.ArrayContains: "list_contains", exp.ArrayOverlaps: "list_has_any", exp.Year: "year",
    exp.Month: "month", exp.Day: "day", exp.DayOfWeek: "dayofweek", exp.Coalesce: "coalesce", exp.Least: "least",
    exp.Greatest: "greatest",
}  # fmt: skip

OTHER_CALLS = ("if", "len", "ceiling", "array_contains", "list_has", "array_has", "day_of_week", "date", "cast", "try_cast")
"""Words before a bracket that are read as more than the functions' own names, or have an answer of their own."""

ALL_FUNCTIONS = (*FUNCTIONS, *LIKE_FIRST, "list_contains", "today", "segment", "everyone_else", *MEASURES)

ARGS: dict[type[exp.Expr], set[str]] = {
    exp.And: {"this", "expression"}, exp.Or: {"this", "expression"}, exp.Not: {"this"}, exp.Paren: {"this"},
    exp.Between: {"this", "low", "high"}, exp.In: {"this", "expressions", "field"}, exp.Is: {"this", "expression"},
    exp.Like: {"this", "expression", "negate"}, exp.ILike: {"this", "expression", "negate"}, exp.Neg: {"this"},
    exp.Column: {"this"}, exp.Identifier: {"this", "quoted"}, exp.Literal: {"this", "is_string"}, exp.Boolean: {"this"},
    exp.Null: set(), exp.CurrentDate: set(), exp.Interval: {"this", "unit"}, exp.Var: {"this"},
    exp.Case: {"this", "ifs", "default"}, exp.If: {"this", "true", "false"},
    exp.Cast: {"this", "to"}, exp.DataType: {"this", "nested"},
    exp.Array: {"expressions", "value_constructor"}, exp.Anonymous: {"this", "expressions"},
    exp.Kwarg: {"this", "expression"}, exp.Tuple: {"expressions"}, exp.Bracket: set(),
    **{c: {"this", "expression"} for c in COMPARE}, **{c: {"this", "expression"} for c in ARITHMETIC},
    **{c: {"this", "expression", "expressions", "decimals", "ignore_nulls"} for c in CLASSES},
}  # fmt: skip
"""Every kind of syntax a rule may hold, with the parts of it we understand. Anything else is refused."""

QUERY = "A rule cannot hold a query of its own."
PLACEHOLDER = "A rule cannot hold placeholders; write the value itself."
PATTERN = "Use like or ilike with % for patterns."
DAYS = "Subtract days instead: current_date - last_order_on."
TYPES = "A rule cannot change types; every column has its type already."
ROW = "A rule looks at one person, whose columns are sums already."

REFUSED: dict[str, tuple[str, tuple[str, ...]]] = {
    "Select": (QUERY, ()), "Subquery": (QUERY, ()), "Exists": (QUERY, ()),
    "TryCast": (TYPES, ("try_cast",)),
    "Placeholder": (PLACEHOLDER, ("?", "$", ":")), "Parameter": (PLACEHOLDER, ("$", "@")),
    "PropertyEQ": ("Write = to compare; arguments are named with =>, as in bought(category => 'Tea').", (":=",)),
    "Kwarg": ("Write >= for 'at least'; => names an argument, as in bought(days => 90).", ("=>",)),
    "RegexpLike": (PATTERN, ("~",)), "SimilarTo": (PATTERN, ("similar to",)), "Glob": (PATTERN, ("glob",)),
    "RegexpFullMatch": (PATTERN, ("~",)), "RegexpILike": (PATTERN, ("~*",)),
    "Window": ("A rule cannot compare people with each other; use a rank column such as spend_rank_pct.", ()),
    "Star": ("A rule cannot use *.", ("*",)),
    "Alias": ("A rule gives nothing a name of its own; take this away.", ("as",)),
    "Collate": ("Compare lower(...) with a text in small letters instead.", ("collate",)),
    "JSONExtract": ("This form is not allowed in a rule.", ("->",)),
    "JSONExtractScalar": ("This form is not allowed in a rule.", ("->>",)),
    "RawString": ("Put text in single quotes: '...'.", ()),
    "DateDiff": (DAYS, ()), "TimestampDiff": (DAYS, ()),
    "Max": (f"{ROW} For the larger of two values write greatest(a, b); for the last time, last_order_on or last(...).", ()),
    "Min": (f"{ROW} For the smaller of two values write least(a, b); for the first time, first_order_on or first(...).", ()),
    "Count": (f"{ROW} Write orders_total, or a measure that counts: ordered(days => 90), bought(category => 'Tea').", ()),
    "Sum": (f"{ROW} Write revenue_total, or spent(category => 'Tea', days => 90).", ()),
    "Avg": (f"{ROW} Write aov for the average order, or avg_rating.", ()),
    "Pow": ("Multiply instead: aov * aov.", ()),
}  # fmt: skip
"""Kind of syntax -> why it is refused, and the words in the rule that show where."""


LEADING: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Not: ("not",), exp.Neg: ("-",), exp.TryCast: ("try_cast",), exp.Cast: ("cast", "date", "timestamp", "interval"),
    exp.Trim: ("trim",),
}  # fmt: skip
"""Words that begin a part of a rule and have no position in the tree."""


PLACELESS: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Null: ("null",), exp.Boolean: ("true", "false"), exp.CurrentDate: ("current_date", "today"),
}  # fmt: skip


class Syntax(Writing):
    """Gives the syntax tree of one rule and the place of every part of it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._extents: dict[int, tuple[exp.Expr, Place]] = {}

    def error(self, reason: str, at: exp.Expr | Place | None = None) -> RuleError:
        """The error to raise, with the place of `at` or of the whole rule."""
        return self.wrong(reason, self.place(at) if isinstance(at, exp.Expr) else at)

    def syntax(self) -> exp.Expr:
        """The tree as sqlglot reads it; nothing in it is allowed yet."""
        if not self.text.strip():
            raise self.error("The rule is empty. Write a condition such as orders_total >= 3.")
        if len(self.text) > LENGTH_LIMIT:
            raise RuleError(f"The rule is longer than {LENGTH_LIMIT} characters. Split it into two segments.", "", Place())
        try:
            self.tokens = sqlglot.tokenize(self.text, read="duckdb")
        except SqlglotError as e:
            raise self.error("A quote is opened and never closed.", self._last_quote()) from e
        self.check_tokens()
        try:
            tree = sqlglot.parse_one(self.text, read=Words)
        except ParseError as e:
            raise self._unknown_call() or self.explain(e) from e
        except (SqlglotError, ValueError, RecursionError, *SLIPS) as e:
            raise self.error("This cannot be read as a condition.") from e
        self._place_words(tree)
        return tree

    def _unknown_call(self) -> RuleError | None:
        """The parser knows functions that rules do not have, and wants arguments for them."""
        for token, after in pairwise(self.tokens):
            word = token.text.lower()
            is_call = (
                after.token_type == TokenType.L_PAREN and token.token_type == TokenType.VAR and after.start == token.end + 1
            )
            if is_call and word.upper() in DuckDBParser.FUNCTIONS and word not in (*ALL_FUNCTIONS, *OTHER_CALLS):
                return self.wrong(self._no_function(word), Place(token.start, token.end + 1))
        return None

    def _written_name(self, node: exp.Expr) -> str:
        """The name before the bracket a call begins with; the parser may know it by another."""
        found = re.match(r"(\w+)\(", self.text[self.place(node).start :])
        return found[1].lower() if found else ""

    def _no_function(self, word: str) -> str:
        return f"There is no function '{word}' in rules." + hint(word, ALL_FUNCTIONS)

    def _check_alias(self, node: exp.Alias) -> None:
        """A word behind a value is a name to the parser: the currency or the unit behind a number, or one too many."""
        named = next((i for i, t in enumerate(self.tokens) if i and t.text == node.alias and self._is_after_value(i)), None)
        if named is None:
            return
        place = Place(self.tokens[named].start, self.tokens[named].end + 1)
        if self.tokens[named - 1].token_type == TokenType.NUMBER:
            raise self.wrong(f"Leave out {node.alias}: numbers stand alone, money is in the shop's currency.", place)
        raise self.wrong(
            f"'{node.alias}' cannot stand here. Join conditions with and / or, and put text in single quotes.", place
        )

    def _is_after_value(self, i: int) -> bool:
        return self.tokens[i - 1].token_type in (TokenType.NUMBER, TokenType.STRING, TokenType.VAR, TokenType.R_PAREN)

    def _place_words(self, tree: exp.Expr) -> None:
        """Give null, true, false, current_date and spans the positions the parser leaves out: they come in the order of the text."""
        for kind, words in PLACELESS.items():
            nodes = [n for n in tree.dfs() if isinstance(n, kind)]
            found = [t for t in self.tokens if t.text.lower() in words and t.token_type != TokenType.STRING]
            for node, token in zip(nodes, found, strict=False) if len(nodes) == len(found) else ():
                node.meta.update(start=token.start, end=token.end)
        spans = [n for n in tree.dfs() if isinstance(n, exp.Interval)]
        begun = [i for i, t in enumerate(self.tokens) if t.token_type == TokenType.INTERVAL]
        for span, i in zip(spans, begun, strict=False) if len(spans) == len(begun) else ():
            *parts, unit = self.tokens[i : i + 3]
            last = unit if unit.token_type == TokenType.VAR or len(parts) < 2 else parts[-1]
            span.meta.update(start=self.tokens[i].start, end=last.end)

    def _last_quote(self) -> Place:
        at = max(self.text.rfind("'"), self.text.rfind('"'))
        return Place(at, len(self.text))

    def place(self, node: exp.Expr) -> Place:
        """From the first to the last character of a part of the rule; the whole rule where that is not known."""
        found = self._extent(node)
        return found if found.end else Place(0, len(self.text))

    def _extent(self, node: exp.Expr) -> Place:
        """What the part and everything under it cover, Place(0, 0) where nothing of it has a position."""
        known = self._extents.get(id(node))
        if known is not None:
            return known[1]
        meta = node.meta if node._meta else {}
        inside = [Place(int(meta["start"]), int(meta["end"]) + 1)] if "start" in meta else []
        inside += [p for p in map(self._extent, node.iter_expressions()) if p.end]
        found = Place()
        if inside:
            start, end = min(p.start for p in inside), max(p.end for p in inside)
            if isinstance(node, exp.Case):
                found = self._from_case(start, end)
            elif isinstance(node, exp.Paren):
                found = self._bracketed(start, end)
            else:
                found = self._closed(Place(self._from_word(node, start), end))
        self._extents[id(node)] = (node, found)
        return found

    def _bracketed(self, start: int, end: int) -> Place:
        """With the brackets right around it."""
        before = [t for t in self.tokens if t.end < start]
        after = next((t for t in self.tokens if t.start >= end), None)
        if before and after and before[-1].token_type == TokenType.L_PAREN and after.token_type == TokenType.R_PAREN:
            return Place(before[-1].start, after.end + 1)
        return Place(start, end)

    def _from_word(self, node: exp.Expr, start: int) -> int:
        """The words before the first part with a position of its own: not, a minus, date, cast and its bracket."""
        words = next((w for kind, w in LEADING.items() if isinstance(node, kind)), ())
        before = [t for t in self.tokens if t.end < start and t.text.lower() in words]
        if before and not self._has_not_within(node) and not self.text[before[-1].end + 1 : start].strip(" (\n\t\r"):
            return before[-1].start
        return start

    def _has_not_within(self, node: exp.Expr) -> bool:
        """`x not in (1, 2)`, `x is not null`: the not before it belongs to another part."""
        inner = node.this if isinstance(node, exp.Not) else None
        if not isinstance(inner, (exp.In, exp.Between, exp.Is, exp.Like, exp.ILike)):
            return False
        end = self._extent(inner.this).end
        behind = [t.text.lower() for t in self.tokens if t.start >= end and t.token_type != TokenType.R_PAREN]
        return behind[:1] == ["not"] or behind[:2] == ["is", "not"]

    def _from_case(self, start: int, end: int) -> Place:
        """From the word case to the end that belongs to it."""
        begun = [t for t in self.tokens if t.token_type == TokenType.CASE and t.end < start]
        begin = begun[-1].start if begun else start
        missing = 0
        for token in self.tokens:
            if token.start >= begin:
                missing += (token.token_type == TokenType.CASE) - (token.token_type == TokenType.END)
                if not missing and token.token_type == TokenType.END:
                    return Place(begin, token.end + 1)
        return Place(begin, end)

    def _closed(self, place: Place) -> Place:
        """The place with the closing brackets that belong to it, and the empty brackets of a call."""
        end = place.end
        called = next((t for t in self.tokens if t.start >= end), None)
        if called is not None and called.token_type == TokenType.L_PAREN and called.start == end:
            end = called.end + 1
        inside = [t for t in self.tokens if place.start <= t.start < end]
        missing = sum(t.token_type in OPENING for t in inside) - sum(t.token_type in CLOSING for t in inside)
        for token in self.tokens:
            if missing <= 0:
                break
            if token.start >= end:
                if token.token_type not in CLOSING:
                    break
                end, missing = token.end + 1, missing - 1
        return Place(place.start, end)

    def known(self, node: exp.Expr) -> None:
        """Refuse syntax, and parts of it, that are not on the list."""
        allowed = ARGS.get(type(node))
        if allowed is None:
            name = type(node).__name__
            reason, shown = REFUSED.get(name, ("", ()))
            if isinstance(node, exp.Alias):
                self._check_alias(node)
            if not reason and isinstance(node, exp.Func):
                reason = self._no_function(self._written_name(node) or node.sql_name().lower())
            reason = reason or f"This kind of expression ({name.lower()}) is not allowed in a rule."
            raise self.error(reason, self._shown(shown, self.place(node)))
        extra = [k for k, v in node.args.items() if v not in (None, False, []) and k not in allowed]
        if extra:
            if isinstance(node, exp.Column):
                raise self.error(f"Write the column's name alone, without a table before it: {node.name}.", node)
            if isinstance(node, exp.In):
                raise self.error("A rule cannot hold a query of its own.", node)
            raise self.error("This form is not allowed in a rule.", node)

    def _shown(self, words: tuple[str, ...], place: Place) -> Place:
        """The first of these words from a place on, with what hangs on it; else the place."""
        inside = [t for t in self.tokens if place.start <= t.start]
        for i, token in enumerate(inside):
            if token.text.lower() in words:
                joined = i + 1 < len(inside) and inside[i + 1].start == token.end + 1 and token.text in "$:@"
                return Place(token.start, (inside[i + 1] if joined else token).end + 1)
        return place

    def null_place(self, otherwise: Place, after: int = 0) -> Place:
        """The first `null` from a place on that does not belong to `is`: it has no position of its own."""
        for i, token in enumerate(self.tokens):
            words = [t.text.lower() for t in self.tokens[max(0, i - 2) : i]]
            belongs = words[-1:] == ["is"] or words == ["is", "not"]
            if token.text.lower() == "null" and token.start >= after and not belongs:
                return Place(token.start, token.end + 1)
        return otherwise

    def argument_place(self, key: str, within: Place) -> Place:
        for token in self.tokens:
            if within.start <= token.start and token.text.lower() == key:
                return Place(token.start, token.end + 1)
        return within
