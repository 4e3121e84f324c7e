"""The syntax a rule may have: an allow-list over what sqlglot reads, the place of every part, and readable parse errors."""

from __future__ import annotations

from typing import ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.parsers.duckdb import DuckDBParser
from sqlglot.tokenizer_core import Token, TokenType

from connector.rules.measures import MEASURES
from connector.rules.nearest import hint
from connector.rules.tree import Kind, Place, RuleError

LENGTH_LIMIT = 4000


class Words(DuckDB):
    """The DuckDB dialect without its aggregates `first` and `last`, which are measures here."""

    class Parser(DuckDBParser):
        FUNCTIONS: ClassVar = {k: v for k, v in DuckDBParser.FUNCTIONS.items() if k not in ("FIRST", "LAST")}


DEPTH_LIMIT = 40

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

REFUSED: dict[str, str] = {
    "Select": "A rule cannot hold a query of its own.",
    "Subquery": "A rule cannot hold a query of its own.",
    "Exists": "A rule cannot hold a query of its own.",
    "TryCast": "A rule cannot change types; every column has its type already.",
    "Placeholder": "A rule cannot hold placeholders; write the value itself.",
    "Parameter": "A rule cannot hold placeholders; write the value itself.",
    "PropertyEQ": "Name arguments with =>, as in bought(category => 'Tea').",
    "RegexpLike": "Use like or ilike with % for patterns.",
    "SimilarTo": "Use like or ilike with % for patterns.",
    "Glob": "Use like or ilike with % for patterns.",
    "Window": "A rule cannot compare people with each other; use a rank column such as spend_rank_pct.",
    "Star": "A rule cannot use *.",
    "DateDiff": "Subtract days instead: current_date - last_order_on.",
    "TimestampDiff": "Subtract days instead: current_date - last_order_on.",
}


class Syntax:
    """One rule's text with its tokens: gives the syntax tree, the place of every part of it, and errors with a place."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Token] = []

    def error(self, reason: str, at: exp.Expr | Place | None = None) -> RuleError:
        """The error to raise, with the place of `at` or of the whole rule."""
        return RuleError(reason, self.text, self.place(at) if isinstance(at, exp.Expr) else at or Place(0, len(self.text)))

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
        self._check_tokens()
        try:
            tree = sqlglot.parse_one(self.text, read=Words)
        except ParseError as e:
            raise self._explain(e) from e
        except (SqlglotError, ValueError, RecursionError) as e:
            raise self.error("This cannot be read as a condition.") from e
        return tree

    def _last_quote(self) -> Place:
        at = max(self.text.rfind("'"), self.text.rfind('"'))
        return Place(at, at + 1)

    def _check_tokens(self) -> None:
        """Comments, semicolons, brackets that do not match, and depth: before anything is parsed."""
        depth = 0
        for token in self.tokens:
            place = Place(token.start, token.end + 1)
            if token.comments:
                raise self.error("A rule cannot hold a comment.", Place(token.end + 1, len(self.text)))
            if token.token_type == TokenType.SEMICOLON:
                raise self.error("A rule is one condition; take the ; away.", place)
            if token.token_type in (TokenType.L_PAREN, TokenType.L_BRACKET):
                depth += 1
                if depth > DEPTH_LIMIT:
                    raise self.error("This rule is nested too deeply. Split it into two segments.", place)
            if token.token_type in (TokenType.R_PAREN, TokenType.R_BRACKET):
                depth -= 1
                if depth < 0:
                    raise self.error("This ) closes nothing. Take it away, or add the ( it belongs to.", place)
            if token.token_type == TokenType.DCOLON:
                raise self.error("A rule cannot change types (::); every column has its type already.", place)
            if token.token_type in (TokenType.SELECT, TokenType.FROM):
                raise self.error("A rule cannot hold a query of its own.", place)
            if token.token_type == TokenType.WHERE:
                raise self.error("Leave out the word where; the rule begins right with the condition.", place)
        if depth:
            opened = [t for t in self.tokens if t.token_type in (TokenType.L_PAREN, TokenType.L_BRACKET)][-1]
            raise self.error("A ( is opened and never closed.", Place(opened.start, opened.end + 1))
        comment = self._hidden_comment()
        if comment is not None:
            raise self.error("A rule cannot hold a comment.", comment)

    def _hidden_comment(self) -> Place | None:
        """Text between tokens is blank, else it is a comment the tokenizer swallowed."""
        at = 0
        for token in [*self.tokens, None]:
            end = token.start if token else len(self.text)
            if self.text[at:end].strip():
                return Place(at, end)
            at = token.end + 1 if token else end
        return None

    def _explain(self, error: ParseError) -> RuleError:
        first = error.errors[0] if error.errors else {}
        line, col = int(first.get("line") or 1), int(first.get("col") or 1)
        lines = self.text.split("\n")
        start = sum(len(x) + 1 for x in lines[: line - 1]) + col - 1
        word = str(first.get("highlight") or "")
        begin = max(0, start - len(word) + 1)
        place = Place(begin, begin + max(1, len(word)))
        token = next((t for t in self.tokens if t.start <= begin <= t.end), None)
        if token is not None:
            place = Place(token.start, token.end + 1)
        said = str(first.get("description") or "")
        if said.startswith("Required keyword"):
            return self.error(f"Something is missing next to '{word}'.", place)
        if word == ")":
            return self.error("What stands before this ) does not fit: a value is missing or one too many.", place)
        if "Expecting )" in said:
            return self.error("A ) is missing here, or a comma or operator before this.", place)
        return self.error(f"'{word}' cannot stand here. Join conditions with and / or, and put text in single quotes.", place)

    def place(self, node: exp.Expr) -> Place:
        """From the first to the last character of everything under a node that has a position."""
        starts: list[int] = []
        ends: list[int] = []
        for part in node.walk():
            meta = part.meta if part._meta else {}
            if "start" in meta:
                starts.append(int(meta["start"]))
                ends.append(int(meta["end"]) + 1)
        if not starts:
            return Place(0, len(self.text))
        return self._closed(Place(self._from_not(node, min(starts)), max(ends)))

    def _from_not(self, node: exp.Expr, start: int) -> int:
        """A leading `not` has no position of its own."""
        if not isinstance(node, exp.Not):
            return start
        words = [t for t in self.tokens if t.token_type == TokenType.NOT and t.end < start]
        if words and not self.text[words[-1].end + 1 : start].strip(" (\n\t"):
            return words[-1].start
        return start

    def _closed(self, place: Place) -> Place:
        """The place with the closing brackets that belong to it."""
        end = place.end
        inside = [t for t in self.tokens if place.start <= t.start < end]
        missing = sum(t.token_type == TokenType.L_PAREN for t in inside) - sum(
            t.token_type == TokenType.R_PAREN for t in inside
        )
        for token in self.tokens:
            if missing <= 0:
                break
            if token.start >= end:
                if token.token_type != TokenType.R_PAREN:
                    break
                end, missing = token.end + 1, missing - 1
        return Place(place.start, end)

    def known(self, node: exp.Expr) -> None:
        """Refuse syntax, and parts of it, that are not on the list."""
        allowed = ARGS.get(type(node))
        if allowed is None:
            name = type(node).__name__
            reason = REFUSED.get(name)
            if reason is None and isinstance(node, exp.Func):
                word = node.sql_name().lower()
                reason = f"There is no function '{word}' in rules." + hint(word, ALL_FUNCTIONS)
            raise self.error(reason or f"This kind of expression ({name.lower()}) is not allowed in a rule.", node)
        extra = [k for k, v in node.args.items() if v not in (None, False, []) and k not in allowed]
        if extra:
            if isinstance(node, exp.Column):
                raise self.error("Write the column's name alone, without a table before it.", node)
            if isinstance(node, exp.In):
                raise self.error("A rule cannot hold a query of its own.", node)
            raise self.error("This form is not allowed in a rule.", node)

    def word_place(self, word: str, otherwise: Place) -> Place:
        found = next((t for t in self.tokens if t.text.lower() == word), None)
        return Place(found.start, found.end + 1) if found else otherwise

    def argument_place(self, key: str, within: Place) -> Place:
        for token in self.tokens:
            if within.start <= token.start and token.text.lower() == key:
                return Place(token.start, token.end + 1)
        return within
