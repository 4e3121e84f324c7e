"""Rows that are turned into columns come back as they went in, whatever text they hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector import packing
from connector.store import Store
from models.errors import StoreError

TEXT = st.one_of(
    st.none(),
    st.text(alphabet=st.characters(codec="utf-8"), max_size=8),
    st.sampled_from(["", "\x1e", "a\x1fb", "\x1d", "\x00", "NULL", "nan", "'); --"]),
)
ROWS = st.lists(
    st.tuples(TEXT, st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), st.one_of(st.none(), st.booleans()), TEXT),
    min_size=packing.FEW,
    max_size=packing.FEW + 10,
)
COLUMNS = ("a", "n", "b", "z")
COLUMNS_OF_FIVE = ("a", "x", "n", "b", "z")


def table(store: Store) -> None:
    store.sql("CREATE OR REPLACE TABLE t (a VARCHAR, n BIGINT, b BOOLEAN, z VARCHAR, fixed TIMESTAMP)")


@pytest.fixture(scope="module")
def shared() -> Iterator[Store]:
    with Store(":memory:", threads=1) as store:
        yield store


@settings(max_examples=25, deadline=None)
@given(rows=ROWS)
def test_rows_come_back_as_they_went_in(shared: Store, rows: list[tuple[Any, ...]]) -> None:
    table(shared)
    shared.append("t", COLUMNS, rows, {"fixed": "2026-01-02 03:04:05"})
    assert shared.sql("SELECT a, n, b, z FROM t ORDER BY rowid") == rows
    assert shared.value("SELECT count(*) FROM t WHERE fixed = TIMESTAMP '2026-01-02 03:04:05'") == len(rows)
    shared.sql("DELETE FROM t")
    shared.insert("t", [dict(zip(COLUMNS, r, strict=True)) for r in rows])
    assert shared.sql("SELECT a, n, b, z FROM t ORDER BY rowid") == rows


@pytest.mark.parametrize("count", [1, packing.FEW])
def test_lists_and_texts_of_rows_that_name_different_columns_arrive_whole(count: int) -> None:
    with Store(":memory:", threads=1) as store:
        store.sql("CREATE TABLE t (n BIGINT, names VARCHAR[], a VARCHAR)")
        store.insert("t", [{"n": 1, "names": ["x", "y"]}] * count + [{"n": 2, "a": "z"}])
        assert store.sql("SELECT DISTINCT * FROM t ORDER BY n") == [(1, ["x", "y"], None), (2, None, "z")]


def test_decimals_and_times_are_cast_exactly() -> None:
    with Store(":memory:", threads=1) as store:
        store.sql("CREATE TABLE t (m DECIMAL(18,4), at_utc TIMESTAMP, day DATE, x DOUBLE)")
        rows = [("12345678901234.5678", "2026-01-02 03:04:05.678901", "2026-01-02", 0.1 + 0.2), (None, None, None, None)]
        store.append("t", ("m", "at_utc", "day", "x"), rows, {})
        found = store.sql("SELECT m::VARCHAR, at_utc::VARCHAR, day::VARCHAR, x FROM t ORDER BY rowid")
        assert found == rows


@pytest.mark.parametrize("is_within", [False, True])
def test_a_value_that_does_not_fit_its_column_is_refused_whole(is_within: bool) -> None:
    with Store(":memory:", threads=1) as store:
        table(store)
        rows = [(str(n), n, None, None) for n in range(99)]
        bad = [*rows, ("x", "many", None, None)]
        if is_within:
            with pytest.raises(StoreError), store.transaction():
                store.append("t", COLUMNS, rows, {})
                store.append("t", COLUMNS, bad, {})
        else:
            with pytest.raises(StoreError):
                store.append("t", COLUMNS, bad, {})
        assert store.value("SELECT count(*) FROM t") == 0
        store.append("t", COLUMNS, rows, {})
        assert store.value("SELECT count(*) FROM t") == len(rows)


TYPES = ("VARCHAR", "JSON", "BIGINT", "BOOLEAN", "DOUBLE", "DECIMAL(18,4)", "TIMESTAMP")
VALUES = ("", "a", "1.5", "null", True, False, 0, -1, 2**63 - 1, 2**63, 0.1 + 0.2, "2026-01-02", None)


def arrived(store: Store, kind: str, count: int) -> list[tuple[int, str | None]]:
    """The place of each value and what stands in a column of that type; a value that is refused does not stand there."""
    store.sql(f"CREATE OR REPLACE TABLE v (place BIGINT, v {kind})")
    for place, value in enumerate(VALUES):
        with suppress(StoreError):
            store.insert("v", [{"place": place, "v": value}] * count)
    return [(place, text) for place, text in store.sql("SELECT DISTINCT place, v::VARCHAR FROM v ORDER BY ALL")]


@pytest.mark.parametrize("kind", TYPES)
def test_how_many_rows_come_at_once_makes_no_difference_to_any_value(shared: Store, kind: str) -> None:
    alone = dict(arrived(shared, kind, 1))
    assert dict(arrived(shared, kind, packing.FEW)) == alone
    if kind in ("VARCHAR", "JSON"):
        assert alone[VALUES.index(True)] == "true"
    else:
        assert VALUES.index("a") not in alone


class Word(StrEnum):
    YES = "yes"


def test_what_only_looks_like_a_text_or_a_number_is_written_as_json() -> None:
    shape = {"a": "VARCHAR", "n": "BIGINT", "d": "DATE"}
    plain = [{"a": "x", "n": 1}] * packing.FEW
    assert packing.of_dicts(plain, shape) is not None
    for odd in ({"a": Word.YES}, {"n": np.int64(7)}, {"d": date(2026, 1, 2)}, {"a": ["x"]}, {"a": True}):
        assert packing.of_dicts([*plain, odd], shape) is None, odd
    with Store(":memory:", threads=1) as store:
        store.sql("CREATE TABLE t (a VARCHAR, n BIGINT, d DATE)")
        store.insert("t", [*plain, {"a": Word.YES}, {"d": date(2026, 1, 2)}])
        assert store.sql("SELECT a, d FROM t WHERE n IS NULL ORDER BY a") == [("yes", None), (None, date(2026, 1, 2))]


def test_a_column_without_a_value_is_left_out_and_arrives_empty() -> None:
    rows = [("1", None, 0, False, "")] * 3
    assert list(packing.of_tuples(COLUMNS_OF_FIVE, rows)) == ["a", "n", "b", "z"], "zero, no and '' are values"
    assert list(packing.of_tuples(COLUMNS_OF_FIVE, [(None,) * 5])) == ["a"], "the first stays: it says how many rows there are"
    with Store(":memory:", threads=1) as store:
        store.sql("CREATE TABLE t (a VARCHAR, x VARCHAR, n BIGINT, b BOOLEAN, z VARCHAR)")
        store.append("t", COLUMNS_OF_FIVE, rows, {})
        store.append("t", COLUMNS_OF_FIVE, [(None,) * 5] * 2, {})
        assert store.sql("SELECT * FROM t ORDER BY rowid") == [("1", None, 0, False, "")] * 3 + [(None,) * 5] * 2


def test_rows_too_short_or_too_long_are_refused_and_never_shifted() -> None:
    for rows in ([("1", "2"), ("1",)], [("1", "2", "3")], [("1",)]):
        with pytest.raises(ValueError, match="zip"):
            packing.of_tuples(("a", "b"), rows)


@pytest.mark.parametrize("count", [1, packing.FEW])
def test_a_column_the_table_lacks_is_refused_even_when_nothing_is_in_it(count: int) -> None:
    with Store(":memory:", threads=1) as store:
        table(store)
        with pytest.raises(StoreError, match="has no column colour"):
            store.insert("t", [{"a": "x", "colour": None}] * count)
        assert store.value("SELECT count(*) FROM t") == 0


def test_columns_are_named_in_the_order_of_first_sight() -> None:
    assert packing.names([{"b": 1}, {"b": 2}]) == ["b"]
    assert packing.names([{"b": 1, "a": 1}, {"c": 1, "a": 1}, {"b": 1}]) == ["b", "a", "c"]
