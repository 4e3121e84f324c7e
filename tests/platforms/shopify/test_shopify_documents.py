"""Every document we can send is valid in the published schema of the version we ask for."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

from adapters import shopify_documents as documents

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = ROOT.parent / "shared" / "specs" / "shopify" / "admin.schema.graphql.gz"


def every_document() -> dict[str, str]:
    found = {n: getattr(documents, n) for n in dir(documents) if n.isupper() and _is_document(getattr(documents, n))}
    found["write_tags"] = documents.write_tags(50, 50)
    found |= {f"write_tag {kind}": documents.write_tag(kind, "rollcall test").split("\n", 1)[1] for kind in ("add", "remove")}
    for products in (True, False):
        for name, kind in documents.kinds(products=products, metafields={"_m0": "loyalty.level"}).items():
            label = f"{name}, products {products}"
            found[f"page of {label}"] = documents.page(kind)
            found[f"by ids of {label}"] = documents.by_ids(kind)
            found[f"count of {label}"] = documents.count(kind)
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


@pytest.mark.parametrize("version", ["2026-01", "2026-04", "2026-07"])
def test_documents_for_older_versions_leave_out_what_came_later(schema: GraphQLSchema, version: str) -> None:
    kinds = documents.kinds(version=version)
    texts = {f"{way.__name__} {n}": way(kind) for n, kind in kinds.items() for way in (documents.page, documents.by_ids)}
    assert {n: e for n, text in texts.items() if (e := validate(schema, parse(text)))} == {}
    assert "smsMarketingConsent" not in texts["page customers"]
    assert ("attribution" in texts["page orders"]) == (version >= "2026-07")


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
