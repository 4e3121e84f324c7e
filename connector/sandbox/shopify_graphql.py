"""A small GraphQL engine: any document is parsed, validated, compiled once into closures, then run over plain objects.

It knows no query text. What a field holds comes from the tables of shopify_fields.py and shopify_roots.py; a field
without an entry there answers with the emptiest value its type allows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLEnumType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    VariableNode,
    build_schema,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values

from connector.sandbox.shopify_compile import Compiler
from connector.sandbox.shopify_request import (
    Context,
    Operation,
    Parsed,
    Refused,
    Resolver,
    Step,
    Table,
    bad_variable,
    explained,
    locations,
)

SDL = Path(__file__).parent / "schema" / "shopify.graphql"
MAX_DOCUMENTS = 256


NEW_IN: dict[str, dict[str, tuple[str, ...]]] = {
    "2026-07": {"Order": ("attribution", "cartToken", "checkoutToken"), "Collection": ("sources",)},
    "2026-10": {"CustomerPhoneNumber": ("smsMarketingConsent",)},
}
"""Version -> type -> fields that came with it."""


@cache
def schema(version: str = "2026-10") -> GraphQLSchema:
    """The schema as this version has it; one that comes later is taken to be as the last one known."""
    text = SDL.read_text(encoding="utf-8")
    for since, types in NEW_IN.items():
        for name, fields in types.items() if version < since else []:
            head = f"type {name} "
            before, block = text.split(f"\n{head}", 1)
            block, after = block.split("\n}", 1)
            kept = [
                line for line in block.split("\n") if not line.startswith(tuple(f"  {f}{end}" for f in fields for end in ":("))
            ]
            text = f"{before}\n{head}" + "\n".join(kept) + "\n}" + after
    return build_schema(text, assume_valid=True)


class Engine:
    """Compiles and remembers documents. tables: type -> field -> function; scopes: type -> scope it takes to see it."""

    def __init__(self, tables: Table, scopes: dict[str, str], type_of: Callable[[Any], str], version: str = "2026-10") -> None:
        self.schema = schema(version)
        self.tables = tables
        self.scopes = scopes
        self.type_of = type_of
        self._known: dict[tuple[str, str], Parsed] = {}

    def prepare(self, text: str, name: str, variables: dict[str, Any]) -> tuple[Operation, dict[str, Any], Parsed]:
        """The compiled operation and its coerced variables; raises Refused as Shopify answers a document it cannot run."""
        parsed = self.parsed(text, name)
        coerced = get_variable_values(self.schema, parsed.operation.variable_definitions or (), variables)
        if isinstance(coerced, list):
            raise Refused(*(bad_variable(e) for e in coerced))
        key = tuple(coerced.get(s) for s in parsed.switches)
        operation = parsed.compiled.get(key)
        if operation is None:
            operation = parsed.compiled[key] = Compiler(self, parsed, coerced).operation()
        return operation, coerced, parsed

    def bulk(self, text: str) -> Step:
        """A bulk document compiled: called with (None, ctx), it yields the rows of the top-level connection."""
        parsed = self.parsed(text)
        if parsed.bulk is None:
            parsed.bulk = Compiler(self, parsed, {}, is_bulk=True).bulk()
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
            raise Refused({"message": f"syntax error, {e.message}", "locations": locations(e)}) from e
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
