"""Rows that are turned into columns come back as they went in, whatever text they hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector import packing
from connector.store import Store
from models.errors import StoreError

TEXT = st.one_of(
    st.none(),
    st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=8),
    st.sampled_from(["", "\x1e", "a\x1fb", "\x1d", "\x00", "NULL", "nan", "'); --"]),
)
ROWS = st.lists(
    st.tuples(TEXT, st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), st.one_of(st.none(), st.booleans()), TEXT),
    min_size=packing.FEW,
    max_size=packing.FEW + 10,
)
COLUMNS = ("a", "n", "b", "z")


def table(store: Store) -> None:
    store.sql("CREATE OR REPLACE TABLE t (a VARCHAR, n BIGINT, b BOOLEAN, z VARCHAR, fixed TIMESTAMP)")


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_rows_come_back_as_they_went_in(rows: list[tuple[Any, ...]]) -> None:
    with Store(":memory:", threads=1) as store:
        table(store)
        store.append("t", COLUMNS, rows, {"fixed": "2026-01-02 03:04:05"})
        assert store.sql("SELECT a, n, b, z FROM t ORDER BY rowid") == rows
        assert store.value("SELECT count(*) FROM t WHERE fixed = TIMESTAMP '2026-01-02 03:04:05'") == len(rows)
        store.sql("DELETE FROM t")
        store.insert("t", [dict(zip(COLUMNS, r, strict=True)) for r in rows])
        assert store.sql("SELECT a, n, b, z FROM t ORDER BY rowid") == rows


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
