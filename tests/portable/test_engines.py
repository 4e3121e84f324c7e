"""The profile as PostgreSQL and Spark compute it: translated, run on the same tables, compared column by column.

Each needs its engine; without it the test is left out with the reason. Spark: `pip install pyspark` and Java 17 or newer.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import sqlglot

from connector.config import Branch
from connector.profile_sql import profile_sql
from tests.house.portable_sql import CONFIG, DAY
from tests.portable.engines import Spark, differing, postgres, postgres_missing, shapes
from tests.portable.translate import translated
from tests.stages.hand_shop import new_store, shop_config
from tests.stages.library_shop import Cast

pytestmark = pytest.mark.nightly

PEOPLE = Path(__file__).parents[1] / "stages" / "library_people.toml"
FILLED = 120
"""Columns somebody in the shop has a value of: what a comparison of empty ones would not show."""


@pytest.fixture(scope="module")
def shop():
    """(store, the profile's statement, its rows): the people of the ready-made segments, who do everything there is to do."""
    cast = Cast()
    for segment, told in tomllib.loads(PEOPLE.read_text()).items():
        for name, person in {**told["belongs"], **told["misses"]}.items():
            cast.add(f"{segment}.{name}", person)
    cast.add("past.refunded_later", {"orders": [{"ago": 9, "total": 50, "refund": {"ago": -3, "amount": 20}}]})
    cast.add("past.refunded_then_and_later", {"orders": [{"ago": 9, "refunded": 30, "refund": {"ago": -3, "amount": 20}}]})
    place = {"country": "AT", "postcode": "1010", "landing_page": "/tea", "utm_source": "mail"}
    cast.add("past.sent_to", {"contact": {"city": "Ulm"}, "orders": [{"ago": 9, "also": place}, 3]})
    from_acme, from_brew = ({"vendor": v, "lines": [["Mug", "Ware", 8], ["Tea", "Tea", 5]]} for v in ("Acme", "Brew"))
    cast.add("past.of_one_brand", {"orders": [from_acme | {"ago": 90}, from_acme | {"ago": 9}, from_brew | {"ago": 5}]})
    cast.add("past.of_two_brands", {"orders": [o | {"ago": a} for o in (from_brew, from_acme) for a in (70, 7)]})
    branches = (Branch(name="Bonn", latitude=50.7374, longitude=7.0982), Branch(name="Ulm", latitude=48.4, longitude=10))
    config = shop_config().model_copy(update={"branch": branches})
    store, moment, _ = cast.ready(config)
    select = profile_sql(config, moment)
    return store, select, store.rows(select)


def tables(store):
    return {table: list(columns) for table, columns in shapes(store).items()}


def test_the_shop_fills_most_columns_and_a_difference_in_any_is_seen(shop):
    _, _, rows = shop
    filled = {column for row in rows for column, value in row.items() if value not in (None, 0, False, [])}
    changed = [dict(row) for row in rows]
    changed[0]["records"] += 1

    assert len(filled) >= FILLED and "affinity_vendor" in filled
    assert differing(rows, rows) == {} and list(differing(rows, changed)) == ["records"]


@pytest.mark.parametrize("dialect", ["postgres", "spark"])
def test_the_whole_statement_is_translated_and_read_again(dialect: str):
    text = translated(profile_sql(CONFIG, DAY), dialect, tables(new_store()))

    assert sqlglot.parse_one(text, read=dialect) and "ARG_M" not in text and "INT128" not in text and "QUALIFY" not in text


@pytest.mark.skipif(bool(postgres_missing()), reason=postgres_missing())
def test_no_column_differs_on_postgresql(shop):
    store, select, ours = shop
    with postgres() as server:
        server.fill(store, select)
        theirs = server.rows(translated(select, "postgres", tables(store)))

    assert len(theirs) == len(ours) and differing(ours, theirs) == {}


NO_SPARK = (
    "pyspark is not installed"
    if importlib.util.find_spec("pyspark") is None
    else ""
    if shutil.which("java")
    else "java not found"
)


@pytest.mark.skipif(bool(NO_SPARK), reason=NO_SPARK)
def test_no_column_differs_on_spark(shop, monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    store, select, ours = shop
    engine = Spark()
    try:
        engine.fill(store, select)
        theirs = engine.rows(translated(select, "spark", tables(store)))
    finally:
        engine.session.stop()

    assert len(theirs) == len(ours) and differing(ours, theirs) == {}
