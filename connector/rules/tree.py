"""A checked rule as a tree of our own: small, typed, with the place of every part in the owner's text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from models.errors import ConfigError

Kind = Literal["number", "text", "day", "yes or no", "list", "span", "nothing"]
Op = Literal[
    "and", "or", "not", "compare", "between", "in", "like", "has", "is missing", "is", "number above 0",
    "column", "literal", "measure", "function", "arithmetic", "negative", "case", "today", "span", "list", "segment",
]  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Characters start to end (not included) of the rule's text."""

    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Node:
    """`name` is the operator, column, function or segment; `value` a literal or the arguments of a measure."""

    op: Op
    kind: Kind
    args: tuple[Node, ...] = ()
    name: str = ""
    value: Any = None
    place: Place = Place()

    def walk(self) -> Iterator[Node]:
        yield self
        for arg in self.args:
            yield from arg.walk()


@dataclass(frozen=True)
class Warn:
    """Something an owner should look at although the rule is valid."""

    message: str
    place: Place


@dataclass(frozen=True)
class Rule:
    """A checked rule: the text as written and its tree."""

    text: str
    tree: Node
    warnings: tuple[Warn, ...] = ()

    @property
    def references(self) -> tuple[str, ...]:
        """Names of the other segments it speaks of."""
        return tuple(dict.fromkeys(n.name for n in self.tree.walk() if n.op == "segment"))

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n.name for n in self.tree.walk() if n.op == "column"))


class RuleError(ConfigError):
    """A rule cannot be used. The message shows the line, a caret under the place, the reason and a suggestion."""

    def __init__(self, reason: str, text: str, place: Place, *, segment: str = "") -> None:
        self.reason = reason
        self.text = text
        self.place = place
        self.segment = segment
        super().__init__(self.message())

    def message(self) -> str:
        where = f"Segment '{self.segment}': " if self.segment else ""
        return f"{where}{self.reason}\n{caret(self.text, self.place)}"

    def of(self, segment: str) -> RuleError:
        """The same, naming the segment."""
        return RuleError(self.reason, self.text, self.place, segment=segment)


def caret(text: str, place: Place) -> str:
    """The line of the place with carets under it, at most 100 characters wide."""
    start = min(max(place.start, 0), len(text))
    begin = text.rfind("\n", 0, start) + 1
    stop = text.find("\n", start)
    line = text[begin : stop if stop >= 0 else len(text)].replace("\t", " ")
    column = start - begin
    width = max(1, min(place.end, begin + len(line)) - start)
    if len(line) > 100:
        cut = max(0, column - 40)
        line, column = ("..." if cut else "") + line[cut : cut + 94], column - cut + (3 if cut else 0)
        width = min(width, max(1, len(line) - column))
    return f"  {line}\n  {' ' * column}{'^' * width}"
