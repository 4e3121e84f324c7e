"""`why` against the evaluator and against an oracle in plain Python that imports nothing of ours."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.clock import as_of
from connector.evaluation import Evaluation
from connector.rules import declared, parse
from connector.rules.explain import explain
from connector.segment import evaluate, resolve, why
from models.errors import UsageError
from tests.stages.hand_shop import contact, derive, new_store, order, person_of, shop_config

VALUES = {"orders_total": st.integers(0, 5), "aov": st.none() | st.integers(0, 60),
          "city": st.none() | st.sampled_from(["Bonn", "Ulm"]),
          "is_subscribed": st.booleans()}  # fmt: skip
OPERATORS = {"=": lambda a, b: a == b, "<>": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
             ">": lambda a, b: a > b, ">=": lambda a, b: a >= b}  # fmt: skip

people = st.lists(st.fixed_dictionaries(VALUES), min_size=1, max_size=6)
numbers = st.tuples(
    st.just("number"), st.sampled_from(["orders_total", "aov"]), st.sampled_from(list(OPERATORS)), st.integers(0, 60)
)
texts = st.tuples(st.just("text"), st.just("city"), st.sampled_from(["=", "<>"]), st.sampled_from(["Bonn", "Ulm"]))
ranges = st.tuples(st.just("between"), st.sampled_from(["orders_total", "aov"]), st.integers(0, 30), st.integers(0, 60))
lists = st.tuples(st.just("in"), st.just("city"), st.lists(st.sampled_from(["Bonn", "Ulm"]), min_size=1, max_size=2))
nulls = st.tuples(st.just("null"), st.sampled_from(["aov", "city", "orders_total"]))
flags = st.tuples(st.just("flag"), st.just("is_subscribed"))
rules = st.recursive(
    st.one_of(numbers, texts, ranges, lists, nulls, flags),
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner), st.tuples(st.just("and"), inner, inner), st.tuples(st.just("or"), inner, inner)
    ),
    max_leaves=6,
)


def written(rule) -> str:
    match rule:
        case ("number", column, op, n):
            return f"{column} {op} {n}"
        case ("text", column, op, word):
            return f"{column} {op} '{word}'"
        case ("between", column, low, high):
            return f"{column} between {low} and {high}"
        case ("in", column, words):
            return f"{column} in ({', '.join(repr(w) for w in words)})"
        case ("null", column):
            return f"{column} is null"
        case ("flag", column):
            return column
        case ("not", inner):
            return f"not ({written(inner)})"
        case (op, left, right):
            return f"({written(left)}) {op} ({written(right)})"
    raise AssertionError


def holds(rule, person) -> bool:
    match rule:
        case ("number" | "text", column, op, value):
            if person[column] is None:
                return op == "<>"
            return OPERATORS[op](person[column], value)
        case ("between", column, low, high):
            return person[column] is not None and low <= person[column] <= high
        case ("in", column, words):
            return person[column] in words
        case ("null", column):
            return person[column] is None
        case ("flag", column):
            return person[column]
        case ("not", inner):
            return not holds(inner, person)
        case ("and", left, right):
            return holds(left, person) and holds(right, person)
        case ("or", left, right):
            return holds(left, person) or holds(right, person)
    raise AssertionError


@pytest.fixture(scope="module")
def store():
    return new_store()


@settings(max_examples=60, deadline=None)
@given(people=people, rule=rules)
def test_evaluator_why_and_a_plain_python_oracle_agree(store, people, rule):
    frame = pd.DataFrame([{"person_id": f"p{i}"} | p for i, p in enumerate(people)])
    frame["aov"] = frame["aov"].astype("float64")
    frame["city"] = frame["city"].astype("object")
    store.load_frame("profile_in", frame)
    store.sql("""CREATE OR REPLACE TABLE profile AS SELECT person_id, orders_total,
        CASE WHEN isnan(aov) THEN NULL ELSE aov END AS aov,
        CAST(city AS VARCHAR) AS city, is_subscribed FROM profile_in""")
    checked = parse(written(rule), declared())
    evaluation = Evaluation(shop_config(), as_of(date(2026, 7, 1), "UTC"), {"x": checked})

    found = dict(store.sql(evaluation.masks()))

    expected = {f"p{i}": holds(rule, p) for i, p in enumerate(people)}
    assert {p: bool(m & 1) for p, m in found.items()} == expected
    for person in expected:
        is_member, clauses = explain(store, evaluation, checked, person)
        assert is_member == expected[person] == clauses[0].is_true


def one_shop():
    store = new_store()
    store.insert("contacts", [contact("shopify", "1", email="ann@x.de"), contact("shopify", "2", email="bob@x.de")])
    store.insert("orders", [order("shopify", "a", "1", "2026-06-01", "40"), order("shopify", "b", "1", "2026-03-01", "40")])
    config = shop_config(
        {"name": "Asked", "where": "orders_total >= 3 and not (aov > 50) and days_since_order > 90 and not bought(days => 10)"},
        {"name": "Other", "where": "segment('asked') or aov is null"},
    )
    return store, config, derive(store, config)


def test_every_clause_comes_with_its_values_and_what_would_change_it():
    store, config, moment = one_shop()

    answer = why(store, config, moment, person_of(store, "shopify", "1"), "asked")

    assert not answer.is_member and answer.segment == "Asked"
    clauses = [(c.written, c.is_true, c.values, c.change) for c in answer.clauses[1:]]
    assert clauses == [
        ("orders_total >= 3", False, {"orders_total": 2}, "orders_total is 2; the bound is 3, 1 away"),
        ("not (aov > 50)", True, {"aov": 40.0}, "aov is 40; the bound is 50, 10 away"),
        ("days_since_order > 90", False, {"days_since_order": 30}, "turns in 61 days unless there is a new order"),
        ("not bought(days => 10)", True, {"bought(days => 10)": 0}, "bought(days => 10) is 0; one would be enough to turn it"),
    ]


def test_why_agrees_with_the_members_of_every_segment():
    store, config, moment = one_shop()
    evaluate(store, config, resolve(config), moment, "r1")
    members = set(store.sql("SELECT segment, person_id FROM members"))

    for segment in ("Asked", "Other"):
        for (person,) in store.sql("SELECT person_id FROM people"):
            assert why(store, config, moment, person, segment).is_member == ((segment, person) in members)


def test_an_unknown_segment_is_answered_with_the_nearest():
    store, config, moment = one_shop()

    with pytest.raises(UsageError, match="Did you mean 'Asked'"):
        why(store, config, moment, "p", "Askd")


def test_somebody_unknown_is_in_nothing():
    store, config, moment = one_shop()

    answer = why(store, config, moment, "nobody' or true --", "Other")

    assert not answer.is_member and answer.clauses == ()
