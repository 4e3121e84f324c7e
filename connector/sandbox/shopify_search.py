"""Shopify's search syntax: what a `query:` argument means. https://shopify.dev/docs/api/usage/search-syntax

Terms with a space between them mean AND; OR binds tighter than AND; -term and NOT term exclude. A field that the list does
not know is ignored with a warning, and so every row comes back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

Predicate = Callable[[Any], bool]
OPERATORS = (">=", "<=", ">", "<")
QUOTED = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\""""
"""A backslash takes the meaning from the sign behind it."""
TOKEN = re.compile(
    rf"""\s*(?:(?P<open>\()|(?P<close>\))|(?P<term>-?(?:[A-Za-z_.][\w.]*:)?(?:>=|<=|>|<)?(?:{QUOTED}|[^\s()]+)?))""",
    re.DOTALL,
)
TERM = re.compile(rf"""(?:(?P<name>[A-Za-z_.][\w.]*):)?(?P<operator>>=|<=|>|<)?(?P<value>{QUOTED}|.*)$""", re.DOTALL)


class BrokenSearch(Exception):
    """Shopify answers this with an internal error (an empty filter such as updated_at:>)."""


@dataclass(frozen=True)
class Searchable:
    """One field of a list. kind: time, number, text, exact or tags. read: the value of a row, or None."""

    kind: str
    read: Callable[[Any], Any]


@dataclass
class Search:
    """A parsed query. matches: None when every row matches."""

    matches: Predicate | None
    warnings: list[dict[str, str]] = field(default_factory=list)


def parse(
    text: str | None, fields: dict[str, Searchable], words: Callable[[Any], str], *, whole_seconds: bool = True
) -> Search:
    """words: a row's text that a bare word is looked up in. whole_seconds: > leaves out the whole second (since 2026-10)."""
    if not text or not text.strip():
        return Search(None)
    reader = _Reader(_tokens(text), fields, words, whole_seconds)
    predicate = reader.all_of()
    return Search(predicate, reader.warnings)


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None or found.end() == at:
            break
        token = found.group().strip()
        if token:
            tokens.append(token)
        at = found.end()
    return tokens


class _Reader:
    def __init__(
        self, tokens: list[str], fields: dict[str, Searchable], words: Callable[[Any], str], whole_seconds: bool
    ) -> None:
        self.tokens = tokens
        self.at = 0
        self.fields = fields
        self.words = words
        self.whole_seconds = whole_seconds
        self.warnings: list[dict[str, str]] = []

    def _peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def all_of(self) -> Predicate | None:
        parts = []
        while self._peek() and self._peek() != ")":
            if self._peek() == "AND":
                self.at += 1
                continue
            parts.append(self._any_of())
        return _all([p for p in parts if p is not None])

    def _any_of(self) -> Predicate | None:
        parts = [self._one()]
        while self._peek() == "OR":
            self.at += 1
            parts.append(self._one())
        known = [p for p in parts if p is not None]
        if len(known) != len(parts):
            return None
        return known[0] if len(known) == 1 else lambda row: any(p(row) for p in known)

    def _one(self) -> Predicate | None:
        word = self._peek()
        self.at += 1
        if word == "NOT":
            return _not(self._one())
        if word == "(":
            inner = self.all_of()
            if self._peek() == ")":
                self.at += 1
            return inner
        if word.startswith("-") and len(word) > 1:
            return _not(self._term(word[1:]))
        return self._term(word)

    def _term(self, token: str) -> Predicate | None:
        found = TERM.match(token)
        assert found is not None
        name, operator, value = found.group("name"), found.group("operator") or "", found.group("value")
        if name is None:
            wanted = _unquoted(token).lower()
            return (lambda row: wanted in self.words(row)) if wanted else None
        if not value:
            if operator:
                raise BrokenSearch(name)
            return lambda row: name.lower() in self.words(row)
        known = self.fields.get(name)
        if known is None:
            self._warn(name, "Invalid search field for this query.", "invalid_field")
            return None
        if known.kind == "time" and value[0] not in "'\"" and ":" in value:
            self._warn(name, "Input `" + value + "` is not an accepted value.", "invalid_value")
            return None
        return self._comparison(name, known, operator, _unquoted(value))

    def _comparison(self, name: str, known: Searchable, operator: str, value: str) -> Predicate | None:
        read = known.read
        if value == "*":
            return lambda row: read(row) not in (None, "")
        try:
            if known.kind == "time":
                return _times(read, operator, value, self.whole_seconds)
            if known.kind == "number":
                return _ordered(read, operator, Decimal(value.rsplit("/", 1)[-1]))
        except (ValueError, InvalidOperation):
            self._warn(name, f"Input `{value}` is not an accepted value.", "invalid_value")
            return None
        wanted = value.lower()
        if known.kind == "tags":
            return lambda row: wanted in read(row)
        if known.kind == "text" and wanted.endswith("*"):
            return lambda row: str(read(row) or "").lower().startswith(wanted[:-1])
        return lambda row: str(read(row) if read(row) is not None else "").lower() == wanted

    def _warn(self, name: str, message: str, code: str) -> None:
        self.warnings.append({"field": name, "message": message, "code": code})


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
    return text


def _all(parts: list[Predicate]) -> Predicate | None:
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        one, two = parts
        return lambda row: one(row) and two(row)
    return lambda row: all(p(row) for p in parts)


def _not(inner: Predicate | None) -> Predicate | None:
    return None if inner is None else lambda row: not inner(row)


def _ordered(read: Callable[[Any], Any], operator: str, wanted: Any) -> Predicate:
    if operator == ">=":
        return lambda row: (v := read(row)) is not None and bool(v >= wanted)
    if operator == "<=":
        return lambda row: (v := read(row)) is not None and bool(v <= wanted)
    if operator == ">":
        return lambda row: (v := read(row)) is not None and bool(v > wanted)
    if operator == "<":
        return lambda row: (v := read(row)) is not None and bool(v < wanted)
    return lambda row: bool(read(row) == wanted)


def _times(read: Callable[[Any], Any], operator: str, value: str, whole_seconds: bool) -> Predicate:
    """Times are kept finer than a second. A day alone means all of it."""
    moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    if moment.tzinfo:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    span = timedelta(days=1) if len(value) <= 10 else timedelta(seconds=1)
    if operator == ">" and (whole_seconds or span.days):
        return _ordered(read, ">=", moment + span)
    if operator == "<=" and span.days:
        return _ordered(read, "<", moment + span)
    if operator:
        return _ordered(read, operator, moment)
    return lambda row: (v := read(row)) is not None and bool(moment <= v < moment + span)
