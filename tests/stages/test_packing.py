"""Rows that are packed come back as they went in, whatever text they hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector import packing
from connector.store import Store

TEXT = st.one_of(
    st.none(),
    st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=8),
    st.sampled_from(["", "\x1e", "a\x1fb", "\x1d", "\x00"]),
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


@given(st.lists(st.lists(TEXT, min_size=3, max_size=3), min_size=1, max_size=5))
def test_packed_lists_can_be_split_again_or_are_not_packed(lists: list[list[str | None]]) -> None:
    packed = packing.pack_lists(lists)
    if packed is not None:
        parts = [part.split(packing.SEPARATOR) for part in packed.split(packing.LISTS)]
        assert [[None if v == packing.MISSING else v for v in part] for part in parts] == lists


def test_a_value_that_does_not_fit_its_column_is_refused_whole() -> None:
    from models.errors import StoreError

    with Store(":memory:", threads=1) as store:
        table(store)
        rows = [(str(n), n, None, None) for n in range(99)]
        with pytest.raises(StoreError):
            store.append("t", COLUMNS, [*rows, ("x", "many", None, None)], {})
        assert store.value("SELECT count(*) FROM t") == 0
