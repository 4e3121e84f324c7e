"""Cut Shopify's published Admin schema down to what the simulated shop knows.

    python benchmarks/cut_shopify_schema.py ../shared/specs/shopify/admin.schema.graphql.gz

Writes connector/sandbox/schema/shopify.graphql: names and types only, no descriptions. A kept type keeps every field whose own
type is kept too; scalars, enums and input types follow from use.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLUnionType,
    Undefined,
    ast_from_value,
    build_schema,
    get_named_type,
    print_ast,
)

TARGET = Path(__file__).resolve().parents[1] / "connector" / "sandbox" / "schema" / "shopify.graphql"

QUERIES = """abandonedCheckouts abandonedCheckoutsCount bulkOperation bulkOperations collection collections collectionsCount
currentAppInstallation customer customerByIdentifier customerSegmentMembers customerSegmentMembersQuery customers customersCount
events metafieldDefinition node nodes order orders ordersCount product productVariant productVariants products productsCount
publicApiVersions segment segments segmentsCount shop"""
MUTATIONS = """bulkOperationCancel bulkOperationRunMutation bulkOperationRunQuery customerEmailMarketingConsentUpdate
customerSegmentMembersQueryCreate customerUpdate metafieldDefinitionCreate metafieldsDelete metafieldsSet segmentCreate
segmentDelete segmentUpdate stagedUploadsCreate tagsAdd tagsRemove"""
TYPES = """AbandonedCheckout AbandonedCheckoutLineItem AccessScope ApiVersion App AppInstallation Attribute
AutomaticDiscountApplication BasicEvent BulkOperation Collection Count Customer CustomerEmailAddress
CustomerEmailMarketingConsentState
CustomerEmailMarketingConsentUpdatePayload CustomerEmailMarketingConsentUpdateUserError CustomerJourneySummary
CustomerPhoneNumber CustomerSegmentMember CustomerSegmentMembersQuery CustomerSegmentMembersQueryUserError
CustomerSmsMarketingConsent CustomerSmsMarketingConsentState CustomerStatistics
CustomerVisit DiscountAllocation DiscountApplication DiscountCodeApplication Domain Event JobResult LegacyInteroperability
LineItem
MailingAddress
ManualDiscountApplication Metafield MetafieldDefinition MetafieldDefinitionCreateUserError MetafieldDefinitionType
MetafieldIdentifier MetafieldsSetUserError MoneyBag MoneyV2 Node Order OrderApp OrderAttribution PageInfo
PricingPercentageValue PricingValue Product ProductPriceRangeV2 ProductVariant Refund RefundLineItem ScriptDiscountApplication
SEO Segment Shop ShopPlan StagedMediaUploadTarget StagedUploadParameter TaxLine TaxonomyCategory UTMParameters UserError
BulkMutationUserError BulkOperationUserError HasMetafields DisplayableError CollectionSource SelectedOption"""
SKIP = {
    "Customer": "addressesV2 multipassIdentifier taxExemptions canDelete lifetimeDuration hasTimelineComment mergeable",
    "Order": "taxLines currentTaxLines additionalFees",
    "Shop": "collections customers orders products productVariants searchFilters weightUnit unitSystem",
    "LineItem": "taxLines duties",
    "Product": "variantsInCollection variantsInCollectionCount featuredMedia resourcePublicationOnCurrentPublication",
    "AbandonedCheckout": "taxLines",
    "TaxonomyCategory": "ancestorIds childrenIds",
}


BUILT_IN = {"ID", "Int", "Float", "String", "Boolean"}


def main(source: str) -> None:
    with gzip.open(source, "rt", encoding="utf-8") as file:
        full = build_schema(file.read(), assume_valid=True)
    text = cut(full)
    build_schema(text)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(text):,} bytes\n")


def cut(full: GraphQLSchema) -> str:
    """The SDL of the kept types, sorted by name."""
    wanted = _wanted(full)
    leaves: set[str] = set()
    printed = {name: _print(full.type_map[name], wanted, leaves) for name in wanted}
    while todo := sorted(leaves - set(printed) - BUILT_IN):
        for name in todo:
            printed[name] = _print(full.type_map[name], wanted, leaves)
    return "schema {\n  query: QueryRoot\n  mutation: Mutation\n}\n" + "".join(f"\n{printed[n]}\n" for n in sorted(printed))


def _wanted(full: GraphQLSchema) -> set[str]:
    wanted = {"QueryRoot", "Mutation", *TYPES.split()}
    unknown = sorted(wanted - set(full.type_map))
    if unknown:
        raise SystemExit(f"the schema has no {', '.join(unknown)}")
    for root, names in (("QueryRoot", QUERIES), ("Mutation", MUTATIONS)):
        for field in names.split():
            wanted.add(get_named_type(_composite(full, root).fields[field].type).name)
    for connection in [n for n in wanted if n.endswith("Payload")]:
        wanted |= {get_named_type(f.type).name for f in _composite(full, connection).fields.values()} & set(full.type_map)
    for base in sorted(wanted):
        wanted |= {f"{base}{suffix}" for suffix in ("Connection", "Edge") if f"{base}{suffix}" in full.type_map}
    return {name for name in wanted if not isinstance(full.type_map[name], GraphQLScalarType)}


def _composite(full: GraphQLSchema, name: str) -> GraphQLObjectType | GraphQLInterfaceType:
    kind = full.type_map[name]
    assert isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType))
    return kind


def _print(kind: GraphQLNamedType, wanted: set[str], leaves: set[str]) -> str:
    if isinstance(kind, GraphQLScalarType):
        return f"scalar {kind.name}"
    if isinstance(kind, GraphQLEnumType):
        return _block(f"enum {kind.name}", list(kind.values))
    if isinstance(kind, GraphQLUnionType):
        return f"union {kind.name} = " + " | ".join(t.name for t in kind.types if t.name in wanted)
    if isinstance(kind, GraphQLInputObjectType):
        return _block(f"input {kind.name}", [_input(name, field, leaves) for name, field in kind.fields.items()])
    assert isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType))
    word = "type" if isinstance(kind, GraphQLObjectType) else "interface"
    behind = " & ".join(i.name for i in kind.interfaces if i.name in wanted)
    lines = [_field(name, field, leaves) for name, field in _fields(kind, wanted).items()]
    return _block(f"{word} {kind.name}" + (f" implements {behind}" if behind else ""), lines)


def _block(head: str, lines: list[str]) -> str:
    return head + " {\n" + "".join(f"  {line}\n" for line in lines) + "}"


def _fields(kind: GraphQLObjectType | GraphQLInterfaceType, wanted: set[str]) -> dict[str, GraphQLField]:
    roots = {"QueryRoot": QUERIES, "Mutation": MUTATIONS}
    if kind.name in roots:
        return {name: kind.fields[name] for name in roots[kind.name].split()}
    skip = set(SKIP.get(kind.name, "").split())
    kept = {}
    for name, field in kind.fields.items():
        target = get_named_type(field.type)
        is_leaf = isinstance(target, (GraphQLScalarType, GraphQLEnumType))
        if name not in skip and (is_leaf or target.name in wanted):
            kept[name] = field
    return kept


def _field(name: str, field: GraphQLField, leaves: set[str]) -> str:
    target = get_named_type(field.type)
    if isinstance(target, (GraphQLScalarType, GraphQLEnumType)):
        leaves.add(target.name)
    arguments = ", ".join(_input(n, a, leaves) for n, a in field.args.items())
    return f"{name}({arguments}): {field.type}" if arguments else f"{name}: {field.type}"


def _input(name: str, field: GraphQLArgument | GraphQLInputField, leaves: set[str]) -> str:
    leaves.add(get_named_type(field.type).name)
    default = ""
    if field.default_value is not Undefined:
        value = ast_from_value(field.default_value, field.type)
        default = f" = {print_ast(value)}" if value else ""
    return f"{name}: {field.type}{default}"


if __name__ == "__main__":
    main(sys.argv[1])
