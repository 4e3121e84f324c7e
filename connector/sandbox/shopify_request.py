"""One GraphQL request to the simulated shop: what it may see, what it costs, and how it is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    OperationDefinitionNode,
)

Step = Callable[[Any, "Context"], Any]
Resolver = Callable[..., Any]
Table = dict[str, dict[str, Resolver]]


class Refused(Exception):
    """The whole request is answered with these errors and no data."""

    def __init__(self, *errors: dict[str, Any]) -> None:
        super().__init__(errors[0]["message"] if errors else "")
        self.errors = list(errors)


def refusal(message: str, code: str, **extensions: Any) -> Refused:
    return Refused({"message": message, "extensions": {"code": code, **extensions}})


@dataclass
class Context:
    """One request: what it may see and what it found. shop: the simulated shop behind it."""

    shop: Any
    variables: dict[str, Any]
    scopes: frozenset[str]
    now: datetime
    errors: list[dict[str, Any]] = field(default_factory=list)
    search: list[dict[str, Any]] = field(default_factory=list)
    arguments: dict[int, dict[str, Any]] = field(default_factory=dict)
    root_rows: int = 0
    path: tuple[str, ...] = ()
    is_bulk: bool = False
    children: list[dict[str, Any]] = field(default_factory=list)

    def deny(self, path: tuple[str, ...], name: str, scope: str) -> None:
        """scope: '' where it is the plan or the app's approval that withholds the field, not a scope."""
        if any(e.get("path") == list(path) for e in self.errors):
            return
        extensions = {"code": "ACCESS_DENIED", "documentation": "https://shopify.dev/api/usage/access-scopes"}
        message = f"Access denied for {name} field."
        if scope:
            access = f"`{scope}` access scope."
            message, extensions = f"{message} Required access: {access}", {**extensions, "requiredAccess": access}
        self.errors.append({"message": message, "path": list(path), "extensions": extensions})


@dataclass(frozen=True)
class Cost:
    """Points of one selected field; a connection multiplies what hangs below it."""

    own: float
    below: tuple[Cost, ...] = ()
    size: Callable[[Context], int] | None = None

    def points(self, ctx: Context, rows: int | None = None) -> float:
        """rows: what the outermost connection really returned; None asks for the price before the query runs."""
        if self.size is None:
            return self.own + sum(child.points(ctx, rows) for child in self.below)
        per_row = 1 + 0.33 * sum(child.points(ctx) for child in self.below)
        return 1 + math.ceil(math.sqrt(max(1, self.size(ctx) if rows is None else rows)) * per_row)


@dataclass(frozen=True)
class Operation:
    """A compiled document. kind: query or mutation."""

    kind: str
    run: Step
    cost: tuple[Cost, ...]

    def price(self, ctx: Context, rows: int | None = None) -> int:
        return round(sum(c.points(ctx, rows) for c in self.cost))


@dataclass
class Parsed:
    document: DocumentNode
    operation: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    switches: tuple[str, ...]
    bulk: Step | None = None
    compiled: dict[tuple[Any, ...], Operation] = field(default_factory=dict)


def locations(error: GraphQLError) -> list[dict[str, int]]:
    return [{"line": place.line, "column": place.column} for place in error.locations or ()]


def bad_variable(error: GraphQLError) -> dict[str, Any]:
    name = re.search(r"\$(\w+)", error.message)
    message = f"Variable ${name.group(1) if name else ''} of the document was provided invalid value"
    return {
        "message": message,
        "locations": locations(error),
        "extensions": {"code": "INVALID_VARIABLE", "problems": [{"path": [], "explanation": error.message}]},
    }


_EXPLAINED: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        r"Cannot query field '(.+?)' on type '(.+?)'",
        "Field '{0}' doesn't exist on type '{1}'",
        "undefinedField",
        ("fieldName", "typeName"),
    ),
    (
        r"Unknown argument '(.+?)' on field '(?:.+?\.)?(.+?)'",
        "Field '{1}' doesn't accept argument '{0}'",
        "argumentNotAccepted",
        ("argumentName", "name"),
    ),
    (
        r"Field '(.+?)' argument '(.+?)' of type",
        "Field '{0}' is missing required arguments: {1}",
        "missingRequiredArguments",
        ("name", "arguments"),
    ),
    (
        r"Field '(.+?)' of type '(.+?)' must have a selection",
        "Field must have selections (field '{0}' returns {1} but has no selections.)",
        "selectionMismatch",
        ("nodeName", "typeName"),
    ),
    (
        r"Field '(.+?)' must not have a selection",
        "Selections can't be made on scalars (field '{0}')",
        "selectionMismatch",
        ("nodeName",),
    ),
    (r"Variable '\$(.+?)' is never used", "Variable ${0} is declared but not used", "variableNotUsed", ("variableName",)),
    (r"Variable '\$(.+?)' is not defined", "Variable ${0} is used but not declared", "variableNotDefined", ("variableName",)),
    (r"Unknown type '(.+?)'", "{0} isn't a defined input type", "undefinedType", ("typeName",)),
    (
        r"Value '(.+?)' does not exist in '(.+?)' enum",
        "Argument has an invalid value ({0}). Expected type '{1}'.",
        "argumentLiteralsIncompatible",
        ("value", "typeName"),
    ),
)


def explained(error: GraphQLError) -> dict[str, Any]:
    """A validation error in Shopify's words and with its code."""
    answer: dict[str, Any] = {"message": error.message, "locations": locations(error)}
    for pattern, words, code, names in _EXPLAINED:
        found = re.search(pattern, error.message)
        if found:
            answer["message"] = words.format(*found.groups())
            answer["extensions"] = {"code": code, **dict(zip(names, found.groups(), strict=False))}
            return answer
    answer["extensions"] = {"code": "argumentLiteralsIncompatible"}
    return answer
