"""From a validated document to closures over plain objects: aliases, fragments, directives, lists, connections, costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    InlineFragmentNode,
    Node,
    SelectionSetNode,
    Undefined,
    VariableNode,
    get_named_type,
    value_from_ast,
)

from connector.sandbox.shopify_request import Context, Cost, Operation, Parsed, Refused, Resolver, Step

WITHHELD = frozenset(
    (
        *(f"Customer.{n}" for n in ("firstName", "lastName", "email", "phone", "defaultEmailAddress", "defaultPhoneNumber",
                                    "defaultAddress")),
        *(f"Order.{n}" for n in ("email", "shippingAddress", "customer", "customerJourneySummary", "attribution", "refunds")),
        "AbandonedCheckout.shippingAddress", "LineItem.product", "Product.collections", "Product.totalInventory",
        "ProductVariant.inventoryPolicy", "Refund.refundLineItems",
    )
)  # fmt: skip
"""Fields that the switch `denied_fields` can close one by one, as a plan or an app's approval may."""


class Tables(Protocol):
    """What a compiler asks the engine: the schema, who reads a field, which scope a type takes, what a value is."""

    schema: GraphQLSchema
    scopes: dict[str, str]
    type_of: Callable[[Any], str]

    def resolver(self, kind: GraphQLObjectType, name: str) -> Resolver: ...


class Compiler:
    """is_bulk: connections below the first level become rows of their own instead of values."""

    def __init__(self, engine: Tables, parsed: Parsed, variables: dict[str, Any], *, is_bulk: bool = False) -> None:
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
        sets = [n.selection_set for n in self._below(connection, nodes, "edges", "node") if n.selection_set]
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

        name = nodes[0].name.value
        return self._withheld(self._guarded(top if is_top else below, connection, name, path), kind, name, path)

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
            return self._withheld(get, kind, name, path), Cost(10) if kind is self.schema.mutation_type else None
        sets = [n.selection_set for n in nodes if n.selection_set]
        sub, below = self._value(target, sets, path)
        is_list = isinstance(
            definition.type.of_type if isinstance(definition.type, GraphQLNonNull) else definition.type, GraphQLList
        )
        step = _each(get, sub) if is_list else _one(get, sub)
        guarded = self._withheld(self._guarded(step, target, name, path), kind, name, path)
        return guarded, self._cost(kind, target, below, arguments)

    def _withheld(self, step: Step, kind: GraphQLObjectType, name: str, path: tuple[str, ...]) -> Step:
        full = f"{kind.name}.{name}"
        if full not in WITHHELD:
            return step

        def withheld(obj: Any, ctx: Context) -> Any:
            if full not in ctx.shop.switches.denied_fields:
                return step(obj, ctx)
            ctx.deny(path, name, "")
            return None

        return withheld

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
