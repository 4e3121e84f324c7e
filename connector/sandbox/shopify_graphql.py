"""A small GraphQL engine: any document is parsed, validated, compiled once into closures, then run over plain objects.

It knows no query text. What a field holds comes from the tables of shopify_fields.py and shopify_roots.py; a field
without an entry there answers with the emptiest value its type allows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLSyntaxError,
    GraphQLUnionType,
    InlineFragmentNode,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    Undefined,
    VariableNode,
    build_schema,
    get_named_type,
    parse,
    validate,
    value_from_ast,
)
from graphql.execution.values import get_variable_values

SDL = Path(__file__).parent / "schema" / "shopify.graphql"
MAX_DOCUMENTS = 256

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
        if any(e.get("path") == list(path) for e in self.errors):
            return
        access = f"`{scope}` access scope."
        self.errors.append(
            {
                "message": f"Access denied for {name} field. Required access: {access}",
                "path": list(path),
                "extensions": {
                    "code": "ACCESS_DENIED",
                    "documentation": "https://shopify.dev/api/usage/access-scopes",
                    "requiredAccess": access,
                },
            }
        )


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


@cache
def schema() -> GraphQLSchema:
    return build_schema(SDL.read_text(encoding="utf-8"), assume_valid=True)


class Engine:
    """Compiles and remembers documents. tables: type -> field -> function; scopes: type -> scope it takes to see it."""

    def __init__(self, tables: Table, scopes: dict[str, str], type_of: Callable[[Any], str]) -> None:
        self.schema = schema()
        self.tables = tables
        self.scopes = scopes
        self.type_of = type_of
        self._known: dict[tuple[str, str], Parsed] = {}

    def prepare(self, text: str, name: str, variables: dict[str, Any]) -> tuple[Operation, dict[str, Any], Parsed]:
        """The compiled operation and its coerced variables; raises Refused as Shopify answers a document it cannot run."""
        parsed = self.parsed(text, name)
        coerced = get_variable_values(self.schema, parsed.operation.variable_definitions or (), variables)
        if isinstance(coerced, list):
            raise Refused(*(_bad_variable(e) for e in coerced))
        key = tuple(coerced.get(s) for s in parsed.switches)
        operation = parsed.compiled.get(key)
        if operation is None:
            operation = parsed.compiled[key] = _Compiler(self, parsed, coerced).operation()
        return operation, coerced, parsed

    def bulk(self, text: str) -> Step:
        """A bulk document compiled: called with (None, ctx), it yields the rows of the top-level connection."""
        parsed = self.parsed(text)
        if parsed.bulk is None:
            parsed.bulk = _Compiler(self, parsed, {}, is_bulk=True).bulk()
        return parsed.bulk

    def parsed(self, text: str, name: str = "") -> Parsed:
        known = self._known.get((text, name))
        if known is None:
            known = self._parse(text, name)
            if len(self._known) >= MAX_DOCUMENTS:
                self._known.clear()
            self._known[text, name] = known
        return known

    def _parse(self, text: str, name: str) -> Parsed:
        try:
            document = parse(text)
        except GraphQLSyntaxError as e:
            raise Refused({"message": f"syntax error, {e.message}", "locations": _locations(e)}) from e
        errors = validate(self.schema, document)
        if errors:
            raise Refused(*(explained(e) for e in errors))
        operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
        if name:
            operations = [o for o in operations if o.name and o.name.value == name]
        if len(operations) != 1:
            what = f'No operation named "{name}"' if name else "An operation name is required"
            raise Refused({"message": what})
        fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        return Parsed(document, operations[0], fragments, tuple(sorted(_switches(document))))

    def resolver(self, kind: GraphQLObjectType, name: str) -> Resolver:
        """What reads a field of an object: its table's function, else a key of a dict, else the emptiest value."""
        table = self.tables.get(kind.name)
        if table is None and kind.name.endswith("Connection"):
            table = self.tables["Connection"]
        elif table is None and kind.name.endswith("Edge"):
            table = self.tables["Edge"]
        found = table.get(name) if table else None
        if found is not None:
            return found
        empty = emptiest(kind.fields[name].type)

        def from_dict(obj: Any, ctx: Context, args: Any = None) -> Any:
            return obj.get(name, empty) if type(obj) is dict else empty

        return from_dict


def emptiest(kind: Any) -> Any:
    """The value that says least: null where allowed, else an empty list, text or number."""
    if not isinstance(kind, GraphQLNonNull):
        return None
    inner = kind.of_type
    if isinstance(inner, GraphQLList):
        return []
    if isinstance(inner, GraphQLEnumType):
        return next(iter(inner.values))
    values: dict[str, Any] = {"Boolean": False, "Int": 0, "Float": 0.0, "UnsignedInt64": "0", "Money": "0.0", "Decimal": "0.0"}
    values |= {"DateTime": "1970-01-01T00:00:00Z", "JSON": {}, "ID": "gid://shopify/Unknown/0"}
    if isinstance(inner, GraphQLScalarType):
        return values.get(inner.name, "")
    return {}


class _Compiler:
    """is_bulk: connections below the first level become rows of their own instead of values."""

    def __init__(self, engine: Engine, parsed: Parsed, variables: dict[str, Any], *, is_bulk: bool = False) -> None:
        self.engine = engine
        self.is_bulk = is_bulk
        self.schema = engine.schema
        self.parsed = parsed
        self.variables = variables

    def operation(self) -> Operation:
        """Compile the whole document."""
        node = self.parsed.operation
        kind = self.schema.mutation_type if node.operation.value == "mutation" else self.schema.query_type
        if kind is None or node.operation.value == "subscription":
            raise Refused({"message": "Schema is not configured for subscriptions"})
        run, cost = self._object(kind, (node.selection_set,), ())
        return Operation(node.operation.value, run, cost)

    def _object(
        self, kind: GraphQLObjectType, sets: Iterable[SelectionSetNode], path: tuple[str, ...]
    ) -> tuple[Step, tuple[Cost, ...]]:
        steps: list[tuple[str, Step]] = []
        costs: list[Cost] = []
        nested: list[Step] = []
        for key, nodes in self._collect(kind, sets).items():
            if self.is_bulk and path and self._is_connection(kind, nodes[0]):
                nested.append(self._rows(kind, nodes, (*path, key)))
                continue
            step, cost = self._field(kind, nodes, (*path, key))
            steps.append((key, step))
            if cost is not None:
                costs.append(cost)

        def run(obj: Any, ctx: Context) -> dict[str, Any]:
            return {key: step(obj, ctx) for key, step in steps}

        def run_with_rows(obj: Any, ctx: Context) -> dict[str, Any]:
            line = run(obj, ctx)
            for rows in nested:
                rows(obj, ctx)
            return line

        return run_with_rows if nested else run, tuple(costs)

    def _is_connection(self, kind: GraphQLObjectType, node: FieldNode) -> bool:
        definition = kind.fields.get(node.name.value)
        return definition is not None and get_named_type(definition.type).name.endswith("Connection")

    def bulk(self) -> Step:
        """The rows of the one top-level connection; rows of nested ones are added to ctx.children as they are met."""
        query = self.schema.query_type
        assert query is not None
        ((key, nodes),) = self._collect(query, (self.parsed.operation.selection_set,)).items()
        return self._rows(query, nodes, (key,), is_top=True)

    def _rows(self, kind: GraphQLObjectType, nodes: list[FieldNode], path: tuple[str, ...], *, is_top: bool = False) -> Step:
        definition = kind.fields[nodes[0].name.value]
        get, _ = self._getter(kind, nodes[0], definition, path)
        connection = get_named_type(definition.type)
        assert isinstance(connection, GraphQLObjectType)
        target = get_named_type(connection.fields["nodes" if "nodes" in connection.fields else "edges"].type)
        sets = [s.selection_set for s in self._below(connection, nodes, "edges", "node")]
        sub, _ = self._value(target, sets, path)

        def top(obj: Any, ctx: Context) -> Any:
            return (sub(item, ctx) for item in get(obj, ctx).items)

        def below(obj: Any, ctx: Context) -> Any:
            parent = obj["id"] if type(obj) is dict else obj.id
            for item in get(obj, ctx).items:
                line: dict[str, Any] = {}
                ctx.children.append(line)
                line.update(sub(item, ctx))
                line["__parentId"] = parent

        return self._guarded(top if is_top else below, connection, nodes[0].name.value, path)

    def _below(self, kind: GraphQLObjectType, nodes: list[FieldNode], *names: str) -> list[FieldNode]:
        """The field nodes reached through these names (edges, node), fragments opened."""
        for name in names:
            found = self._collect(kind, [n.selection_set for n in nodes if n.selection_set])
            nodes = [n for group in found.values() for n in group if n.name.value == name]
            inner = get_named_type(kind.fields[name].type)
            if isinstance(inner, GraphQLObjectType):
                kind = inner
        return nodes

    def _collect(self, kind: GraphQLObjectType, sets: Iterable[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        found: dict[str, list[FieldNode]] = {}
        for selections in sets:
            for node in selections.selections:
                if not self._included(node):
                    continue
                if isinstance(node, FieldNode):
                    found.setdefault((node.alias or node.name).value, []).append(node)
                    continue
                inner, condition = self._fragment(node)
                if condition is None or self._applies(kind, condition):
                    for key, nodes in self._collect(kind, (inner,)).items():
                        found.setdefault(key, []).extend(nodes)
        return found

    def _fragment(self, node: Node) -> tuple[SelectionSetNode, str | None]:
        if isinstance(node, FragmentSpreadNode):
            fragment = self.parsed.fragments[node.name.value]
            return fragment.selection_set, fragment.type_condition.name.value
        assert isinstance(node, InlineFragmentNode)
        return node.selection_set, node.type_condition.name.value if node.type_condition else None

    def _applies(self, kind: GraphQLObjectType, condition: str) -> bool:
        wanted = self.schema.type_map[condition]
        if isinstance(wanted, (GraphQLInterfaceType, GraphQLUnionType)):
            return self.schema.is_sub_type(wanted, kind)
        return condition == kind.name

    def _included(self, node: Any) -> bool:
        for directive in node.directives or ():
            if directive.name.value in ("skip", "include"):
                value = directive.arguments[0].value
                flag = self.variables.get(value.name.value) if isinstance(value, VariableNode) else value.value
                if bool(flag) == (directive.name.value == "skip"):
                    return False
        return True

    def _field(self, kind: GraphQLObjectType, nodes: list[FieldNode], path: tuple[str, ...]) -> tuple[Step, Cost | None]:
        name = nodes[0].name.value
        if name == "__typename":
            return (lambda obj, ctx: kind.name), None
        definition = kind.fields.get(name)
        if definition is None:
            raise Refused({"message": "Introspection is not part of this sandbox", "extensions": {"code": "undefinedField"}})
        get, arguments = self._getter(kind, nodes[0], definition, path)
        target = get_named_type(definition.type)
        if isinstance(target, (GraphQLScalarType, GraphQLEnumType)):
            return get, Cost(10) if kind is self.schema.mutation_type else None
        sets = [n.selection_set for n in nodes if n.selection_set]
        sub, below = self._value(target, sets, path)
        is_list = isinstance(
            definition.type.of_type if isinstance(definition.type, GraphQLNonNull) else definition.type, GraphQLList
        )
        step = _each(get, sub) if is_list else _one(get, sub)
        return self._guarded(step, target, name, path), self._cost(kind, target, below, arguments)

    def _getter(
        self, kind: GraphQLObjectType, node: FieldNode, definition: GraphQLField, path: tuple[str, ...]
    ) -> tuple[Step, Callable[[Context], dict[str, Any]]]:
        resolve = self.engine.resolver(kind, node.name.value)
        if not definition.args:
            return resolve, lambda ctx: {}
        arguments = _arguments(node, definition)
        is_root = kind in (self.schema.query_type, self.schema.mutation_type)

        def get(obj: Any, ctx: Context) -> Any:
            if is_root:
                ctx.path = path
            return resolve(obj, ctx, arguments(ctx))

        return get, arguments

    def _value(
        self, target: GraphQLNamedType, sets: list[SelectionSetNode], path: tuple[str, ...]
    ) -> tuple[Step, tuple[Cost, ...]]:
        if isinstance(target, GraphQLObjectType):
            return self._object(target, sets, path)
        assert isinstance(target, (GraphQLInterfaceType, GraphQLUnionType))
        plans = {t.name: self._object(t, sets, path) for t in self.schema.get_possible_types(target)}
        type_of = self.engine.type_of

        def run(obj: Any, ctx: Context) -> Any:
            return plans[type_of(obj)][0](obj, ctx)

        dearest = max((costs for _, costs in plans.values()), key=len, default=())
        return run, dearest

    def _guarded(self, step: Step, target: GraphQLNamedType, name: str, path: tuple[str, ...]) -> Step:
        base = target.name.removesuffix("Connection")
        scope = self.engine.scopes.get(base) or self.engine.scopes.get(f".{name}")
        if scope is None:
            return step

        def guarded(obj: Any, ctx: Context) -> Any:
            if scope in ctx.scopes:
                return step(obj, ctx)
            ctx.deny(path, name, scope)
            return None

        return guarded

    def _cost(
        self,
        kind: GraphQLObjectType,
        target: GraphQLNamedType,
        below: tuple[Cost, ...],
        arguments: Callable[[Context], dict[str, Any]],
    ) -> Cost:
        if kind is self.schema.mutation_type:
            return Cost(10)
        if target.name.endswith("Connection"):
            return Cost(0, below, lambda ctx: int(arguments(ctx).get("first") or arguments(ctx).get("last") or 1))
        is_free = target.name == "PageInfo" or target.name.endswith("Edge") or kind.name.endswith(("Connection", "Edge"))
        return Cost(0 if is_free else 1, below)


def _one(get: Step, sub: Step) -> Step:
    def step(obj: Any, ctx: Context) -> Any:
        value = get(obj, ctx)
        return None if value is None else sub(value, ctx)

    return step


def _each(get: Step, sub: Step) -> Step:
    def step(obj: Any, ctx: Context) -> Any:
        value = get(obj, ctx)
        return None if value is None else [None if v is None else sub(v, ctx) for v in value]

    return step


def _arguments(node: FieldNode, definition: GraphQLField) -> Callable[[Context], dict[str, Any]]:
    given = {a.name.value: a.value for a in node.arguments or ()}
    if not any(_has_variable(v) for v in given.values()):
        constant = _coerced(given, definition, {})
        return lambda ctx: constant
    key = id(node)

    def from_variables(ctx: Context) -> dict[str, Any]:
        found = ctx.arguments.get(key)
        if found is None:
            found = ctx.arguments[key] = _coerced(given, definition, ctx.variables)
        return found

    return from_variables


def _coerced(given: dict[str, Any], definition: GraphQLField, variables: dict[str, Any]) -> dict[str, Any]:
    values = {}
    for name, argument in definition.args.items():
        value = value_from_ast(given[name], argument.type, variables) if name in given else Undefined
        if value is Undefined:
            value = argument.default_value
        if value is not Undefined:
            values[name] = value
    return values


def _has_variable(node: Any) -> bool:
    if isinstance(node, VariableNode):
        return True
    children = getattr(node, "values", None) or [f.value for f in getattr(node, "fields", None) or ()]
    return any(_has_variable(child) for child in children)


def _switches(document: DocumentNode) -> set[str]:
    """The variables that @include and @skip depend on."""
    found: set[str] = set()

    def walk(node: Any) -> None:
        for directive in getattr(node, "directives", None) or ():
            for argument in directive.arguments:
                if isinstance(argument.value, VariableNode):
                    found.add(argument.value.name.value)
        selections = getattr(node, "selection_set", None)
        for child in selections.selections if selections else ():
            walk(child)

    for definition in document.definitions:
        walk(definition)
    return found


def _locations(error: GraphQLError) -> list[dict[str, int]]:
    return [{"line": place.line, "column": place.column} for place in error.locations or ()]


def _bad_variable(error: GraphQLError) -> dict[str, Any]:
    name = re.search(r"\$(\w+)", error.message)
    message = f"Variable ${name.group(1) if name else ''} of the document was provided invalid value"
    return {
        "message": message,
        "locations": _locations(error),
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
    answer: dict[str, Any] = {"message": error.message, "locations": _locations(error)}
    for pattern, words, code, names in _EXPLAINED:
        found = re.search(pattern, error.message)
        if found:
            answer["message"] = words.format(*found.groups())
            answer["extensions"] = {"code": code, **dict(zip(names, found.groups(), strict=False))}
            return answer
    answer["extensions"] = {"code": "argumentLiteralsIncompatible"}
    return answer
