"""Stage 2: what the mapping language means, and how its mistakes are told."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.normalize import Normalizer, read_mapping
from models.errors import ConfigError, RecordError

TODAY = date(2026, 11, 21)


def normalizer(
    fields: str, *, more: str = "", head: str = "", table: str = "contacts", attributes: dict[str, str] | None = None
) -> Normalizer:
    text = f'{head}\n[people]\nid = "id"\n[[people.rows]]\ntable = "{table}"\n{more}\n[people.rows.fields]\n{fields}\n'
    return Normalizer(read_mapping("shopify", text, place="test.toml"), attributes or {}, TODAY)


def first(fields: str, record: dict[str, Any], **options: Any) -> dict[str, Any]:
    table = options.get("table", "contacts")
    return normalizer(fields, **options).normalize("people", {"id": 7, **record})[table][0]


def column(expression: str, record: dict[str, Any], name: str = "city") -> Any:
    return first(f"{name} = '{expression}'", record)[name]


def test_a_row_names_its_record() -> None:
    assert first('city = "city"', {"city": "Bonn"}) == {
        "source": "shopify", "stream": "people", "record_id": "7", "city": "Bonn",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "record", "value"),
    [
        ("a.b", {"a": {"b": "x"}}, "x"),
        ("a.b", {"a": None}, None),
        ("a.b", {}, None),
        ("a.b", {"a": {"b": ""}}, None),
        ('a."odd key"', {"a": {"odd key": "x"}}, "x"),
        ("a ?? b", {"a": "", "b": "x"}, "x"),
        ("a ?? b ?? = none", {}, "none"),
        ("= live", {}, "live"),
        ("=", {}, ""),
        ("a", {"a": 12}, "12"),
        ("a", {"a": 1.5}, "1.5"),
        ("a", {"a": True}, "true"),
        ("a | gid", {"a": "gid://shopify/Customer/42?x=1"}, "42"),
        ("a | email", {"a": " Ann@Example.ORG "}, "ann@example.org"),
        ("a | upper", {"a": "de"}, "DE"),
        ("a | lower", {"a": "DE"}, "de"),
        ("a | prefix:shop ", {"a": "1"}, "shop1"),
        ("a | md5", {"a": "Ann@Example.org"}, "8b5a6a28fc840441be692d74a81ccd1a"),
        ("a | ms", {"a": "1700000000000"}, "2023-11-14 22:13:20.000000"),
    ],
)  # fmt: skip
def test_paths_constants_and_text_converters(expression: str, record: dict[str, Any], value: str | None) -> None:
    assert column(expression, record) == value


@pytest.mark.parametrize(
    ("name", "expression", "value", "expected"),
    [
        ("spent_claimed", "a", 19.9, "19.9"),
        ("spent_claimed", "a", 0.1 + 0.2, "0.3000"),
        ("spent_claimed", "a | decimal", "1234567.8901", "1234567.8901"),
        ("spent_claimed", "a | negate", "5.00", "-5.00"),
        ("orders_claimed", "a", "3", 3),
        ("orders_claimed", "a", 3.0, 3),
        ("orders_claimed", "a | integer", "90071992547409930", 90071992547409930),
        ("latitude", "a", "52.5", 52.5),
        ("is_marketable", "a", "false", False),
        ("is_marketable", "a | not", "false", True),
        ("is_marketable", "a | not", None, None),
        ("is_marketable", "= true", None, True),
        ("created_at", "a", "2026-03-29T02:30:00+02:00", "2026-03-29 00:30:00.000000"),
        ("created_at", "a | time", "2026-03-29 02:30:00", "2026-03-29 02:30:00.000000"),
        ("created_at", "a | time", "2026-03-29", "2026-03-29 00:00:00.000000"),
        ("created_at", "a | ms", 1700000000123, "2023-11-14 22:13:20.123000"),
        ("created_at", "b | time ?? a | ms", 1700000000000, "2023-11-14 22:13:20.000000"),
        ("birthday", "a | date", "2026-03-29T23:30:00-02:00", "2026-03-30"),
        ("tags", "a", ["x", "", None, "y"], '["x","y"]'),
        ("tags", "a | list", [], None),
        ("tags", "a | split:;", "x; y;;", '["x","y"]'),
        ("tags", "a[*].name", [{"name": "x"}, {"name": None}, {"name": "y"}], '["x","y"]'),
        ("attributes", "a | json", {"b": 1, "a": 2}, '{"a":2,"b":1}'),
    ],
)  # fmt: skip
def test_values_become_what_their_column_holds(name: str, expression: str, value: Any, expected: Any) -> None:
    assert column(expression, {"a": value}, name) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spent_claimed", "12,50"), ("spent_claimed", True), ("spent_claimed", "nan"), ("spent_claimed", 1e15),
        ("orders_claimed", "3.5"), ("orders_claimed", "many"), ("created_at", "yesterday"), ("created_at", 5),
        ("created_at", "2026-02-30"), ("is_marketable", "maybe"), ("city", {"a": 1}), ("latitude", "north"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_names_the_column_and_not_the_value(name: str, value: Any) -> None:
    with pytest.raises(RecordError) as caught:
        column("a", {"a": value}, name)
    assert str(caught.value).startswith(f"contacts.{name}: ")
    assert str(value) not in str(caught.value)


def test_value_maps_translate_and_refuse_what_they_do_not_know() -> None:
    head = '[maps.consent]\nYES = "subscribed"\nOFF = ""\n[maps.open]\nYES = "subscribed"\n"?" = "never_asked"'
    n = normalizer('city = "a | map:consent"\nregion = "b | map:open"', head=head)
    row = n.normalize("people", {"id": 1, "a": "OFF", "b": "odd"})["contacts"][0]
    assert (row["city"], row["region"]) == (None, "never_asked")
    with pytest.raises(RecordError, match=r"contacts\.city: .*maps\.consent"):
        n.normalize("people", {"id": 1, "a": "odd"})


def test_one_row_per_element_with_its_position_and_its_record() -> None:
    n = normalizer('order_id = "^.id"\nline_id = "#"\ntitle = "name"', more='each = "lines"', table="order_lines")
    rows = n.normalize("people", {"id": "9", "lines": [{"name": "a"}, {"name": "b"}]})["order_lines"]
    assert [(r["order_id"], r["line_id"], r["title"]) for r in rows] == [("9", "1", "a"), ("9", "2", "b")]
    assert n.normalize("people", {"id": "9"}) == {}


def test_lists_in_lists_are_laid_end_to_end_and_elements_may_be_plain() -> None:
    n = normalizer('value = ". | email"', more='each = "groups[*].emails"', table="identifiers")
    rows = n.normalize("people", {"id": "9", "groups": [{"emails": ["A@b.c"]}, {"emails": ["d@e.f", "g@h.i"]}]})["identifiers"]
    assert [r["value"] for r in rows] == ["a@b.c", "d@e.f", "g@h.i"]


@pytest.mark.parametrize(
    ("when", "rows"), [("flag", 1), ("flag | not", 0), ("gone", 0), ("gone | not", 1), ("off | boolean", 0)]
)
def test_when_decides_whether_there_is_a_row(when: str, rows: int) -> None:
    found = normalizer('city = "city"', more=f'when = "{when}"').normalize("people", {"id": 1, "flag": "x", "off": "false"})
    assert len(found.get("contacts", [])) == rows


def test_snapshots_are_dated_and_missing_ones_are_left_out() -> None:
    text = '[people]\nid = "id"\n[people.snapshots]\nopens = "stats.opens | integer"\nclicks = "stats.clicks"\n'
    n = Normalizer(read_mapping("mailchimp", text, place="x"), {}, TODAY)
    assert n.normalize("people", {"id": "1", "stats": {"opens": "4"}})["snapshots"] == [
        {"source": "mailchimp", "stream": "people", "record_id": "1", "contact_id": "1", "name": "opens", "value": "4",
         "taken_on": "2026-11-21"},
    ]  # fmt: skip


def test_the_owners_attributes_are_found_where_the_platform_keeps_them() -> None:
    text = '[people]\nid = "id"\n[[people.rows]]\ntable = "contacts"\n'
    for platform, own, record in (
        ("hubspot", "fav roast", {"properties": {"fav roast": "dark"}}),
        ("mailchimp", "ROAST", {"merge_fields": {"ROAST": "dark"}}),
        ("shopify", "metafields.taste.roast", {"metafields": {"taste": {"roast": "dark"}}}),
    ):
        n = Normalizer(read_mapping(platform, text, place="x"), {"roast": own, "none": "absent"}, TODAY)
        assert n.normalize("people", {"id": "1", **record})["contacts"][0]["attributes"] == '{"roast":"dark"}'


@pytest.mark.parametrize("record", [{}, {"id": None}, {"id": ""}, [], "text", None])
def test_a_record_without_an_id_is_set_aside(record: Any) -> None:
    with pytest.raises(RecordError):
        normalizer('city = "city"').record_id("people", record)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[people]\n", "test.toml: [people]: 'id' is missing"),
        ('[people]\nid = "id | gidd"', "unknown converter 'gidd'. Did you mean 'gid'?"),
        ('[people]\nid = "id | map:x"', "there is no [maps.x]"),
        ('[people]\nid = "a..b"', "'a..b' is no path"),
        ('[people]\nid = "id"\nrowz = 1', "unknown key 'rowz'. Did you mean 'rows'?"),
        ('[people]\nid = "id"\n[[people.rows]]\ntable = "contact"', "Did you mean 'contacts'?"),
        (
            '[people]\nid = "id"\n[[people.rows]]\ntable = "contacts"\n[people.rows.fields]\nemial = "x"',
            "Did you mean 'email'?",
        ),
        (
            '[people]\nid = "id"\n[[people.rows]]\ntable = "contacts"\n[people.rows.fields]\nage = "x | time"',
            "the column holds BIGINT",
        ),
        ('[people]\nid = "id"\n[[people.rows]]\ntable = "contacts"\n[people.rows.fields]\nsource = "x"', "filled by itself"),
        ("[people\n", "not valid TOML"),
    ],
)
def test_a_mistake_in_a_mapping_names_the_place_and_the_nearest_name(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_mapping("shopify", text, place="test.toml")
    assert says in str(caught.value)


def test_a_missing_mapping_and_a_missing_section_are_told_in_words() -> None:
    with pytest.raises(ConfigError, match=r"has no section \[orders\]"):
        normalizer('city = "city"').normalize("orders", {"id": 1})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["id", "a", "b"]), JSON))
def test_any_json_gives_rows_or_a_record_error(record: dict[str, Any]) -> None:
    n = normalizer('city = "a.b"\ncreated_at = "a | ms"\nspent_claimed = "b"\norders_claimed = "b.c"\ntags = "a[*].b"')
    try:
        rows = n.normalize("people", record)
    except RecordError:
        return
    assert rows == n.normalize("people", record)
