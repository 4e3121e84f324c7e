"""Every document we can send is valid in the published schema, and in the compact list of it for every version we speak.

The compact list is connector/sandbox/schema/shopify.graphql; benchmarks/cut_shopify_schema.py cuts it from the published one
and a test beside the simulator compares the two. It holds no deprecations, which only the published schema tells.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from graphql import GraphQLObjectType, GraphQLSchema, build_schema, get_named_type, parse, validate

from adapters import shopify_documents as documents
from adapters.shopify_selections import without_fields
from connector.sandbox.shopify_graphql import schema as compact

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = ROOT.parent / "shared" / "specs" / "shopify" / "admin.schema.graphql.gz"


def every_document(version: str = documents.API_VERSION) -> dict[str, str]:
    found = {n: getattr(documents, n) for n in dir(documents) if n.isupper() and _is_document(getattr(documents, n))}
    found["write_tags"] = documents.write_tags(50, 50)
    found |= {f"write_tag {kind}": documents.write_tag(kind, "rollcall test").split("\n", 1)[1] for kind in ("add", "remove")}
    for has_all in (True, False):
        metafields = {"_m0": "loyalty.level"}
        kinds = documents.kinds(products=has_all, customers=has_all, metafields=metafields, version=version)
        for name, kind in kinds.items():
            label = f"{name}, all scopes {has_all}"
            found[f"page of {label}"] = documents.page(kind)
            found[f"by ids of {label}"] = documents.by_ids(kind)
            found[f"count of {label}"] = documents.count(kind)
            found[f"changed of {label}"] = documents.changed(kind)
            found[f"bulk of {label}"] = documents.bulk(kind, "updated_at:>='2026-01-01T00:00:00Z'", "rollcall test")
            found |= {f"{c.name} of {label}": documents.drain(kind, c) for c in kind.connections}
            found |= {f"{n} of {label}": documents.whole_list(kind, n) for n in kind.plain_lists or {}}
    return found


def _is_document(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("query ", "mutation "))


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    if not SCHEMA.exists():
        pytest.skip("the published schema is not beside this repository (../shared/specs/shopify)")
    return build_schema(gzip.open(SCHEMA, "rt", encoding="utf-8").read())


def test_every_document_is_valid_in_the_published_schema(schema: GraphQLSchema) -> None:
    documents_found = every_document()
    assert len(documents_found) > 40
    problems = {n: [e.message for e in validate(schema, parse(text))] for n, text in documents_found.items()}
    assert {n: p for n, p in problems.items() if p} == {}


@pytest.mark.parametrize("version", [*documents.VERSIONS, "2027-01"])
def test_every_document_is_valid_in_each_version_we_speak(version: str) -> None:
    problems = {n: [e.message for e in validate(compact(version), parse(t))] for n, t in every_document(version).items()}
    assert {n: p for n, p in problems.items() if p} == {}


def test_documents_of_the_newest_version_would_be_refused_by_the_older_ones() -> None:
    """The compact list of an older version does lack what came later: the test above can fail."""
    newest = every_document()
    refused = {v: {n.split(" of ")[1] for n, t in newest.items() if validate(compact(v), parse(t))} for v in documents.VERSIONS}
    streams = {v: {label.split(",")[0] for label in labels} for v, labels in refused.items()}
    assert streams == {"2026-10": set(), "2026-07": {"customers"}, "2026-04": {"customers", "orders"},
                       "2026-01": {"customers", "orders"}}  # fmt: skip


@pytest.mark.parametrize("version", ["2026-01", "2026-04", "2026-07"])
def test_documents_for_older_versions_leave_out_what_came_later(version: str) -> None:
    kinds = documents.kinds(version=version)
    assert "smsMarketingConsent" not in documents.page(kinds["customers"])
    assert "marketingState" in documents.page(kinds["customers"]).split("defaultPhoneNumber{")[1].split("}")[0]
    assert ("attribution" in documents.page(kinds["orders"])) == (version >= "2026-07")


def test_a_document_with_a_field_left_out_is_still_valid() -> None:
    for name, kind in documents.kinds(metafields={"_m0": "loyalty.level"}).items():
        fields = ("firstName", "customer", "defaultAddress", "category", "_m0", *(c.name for c in kind.connections))
        for left in filter(None, (without_fields(kind, ((field,),)) for field in fields)):
            for text in (documents.page(left), documents.by_ids(left), documents.bulk(left, "id:>1", "rollcall test")):
                assert validate(compact(), parse(text)) == [], name


def test_every_child_an_export_can_hold_is_told_apart_by_its_type() -> None:
    schema = compact()
    for kind in documents.kinds().values():
        record = schema.type_map[kind.type_name]
        assert isinstance(record, GraphQLObjectType)
        for connection in kind.connections:
            holder = get_named_type(record.fields[connection.name].type)
            assert isinstance(holder, GraphQLObjectType)
            child = get_named_type(holder.fields["nodes"].type)
            is_one = isinstance(child, GraphQLObjectType)
            possible = [child] if is_one else schema.get_possible_types(child)  # type: ignore[arg-type]  # an interface then
            assert {t.name for t in possible if not t.name.startswith("Calculated")} == set(connection.types), connection.name


def test_no_document_uses_what_the_schema_calls_deprecated(schema: GraphQLSchema) -> None:
    from graphql.validation import NoDeprecatedCustomRule

    for name, text in every_document().items():
        warnings = [e.message for e in validate(schema, parse(text), [NoDeprecatedCustomRule])]
        assert warnings == [], name


def test_a_bulk_document_keeps_shopifys_rules() -> None:
    for kind in documents.kinds().values():
        text = documents.bulk(kind, "updated_at:<'2026-01-01T00:00:00Z'", "rollcall test")
        assert text.startswith("# rollcall test\n")
        assert "first:" not in text and "nodes" not in text and "sortKey" not in text and "pageInfo" not in text
        assert text.count("edges{") <= 5 and len(text) < 65_535


def test_filters_quote_their_dates_and_are_never_empty() -> None:
    assert documents.window("updated_at", "A", "B") == "updated_at:>='A' AND updated_at:<'B'"
    assert documents.window("updated_at", None, "B") == "updated_at:<'B'"
    assert documents.window("updated_at", None, None) is None
    assert documents.tagged("VIP", "7") == "tag:'VIP' AND id:>7"
    assert documents.tagged("Joe's") == 'tag:"Joe\'s"'
    assert documents.tagged('Joe\'s "best"') == r"""tag:'Joe\'s "best"'"""


def test_ids_lose_their_query_part() -> None:
    assert documents.gid_number("gid://shopify/InventoryLevel/12?inventory_item_id=3") == "12"
