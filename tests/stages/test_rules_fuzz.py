"""Made-up rules: the evaluator, `why` and an oracle in plain Python must say the same of everybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.evaluation import Evaluation
from connector.rules import parse, say
from connector.rules.explain import Clause
from connector.segment import check_all, why, words
from models.segments import Segment
from tests.stages.oracle import WITHIN, clauses, holds, value_of
from tests.stages.rules_made import rules
from tests.stages.rules_turned import is_so
from tests.stages.rules_world import World
from tests.stages.rules_written import written

PROFILE: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
}
together = st.lists(rules, min_size=1, max_size=8)
anybody = st.integers(0, 59)


@pytest.fixture(scope="module")
def shop():
    world = World()
    store, config, moment = world.ready()
    names = dict(store.sql("SELECT contact_id, person_id FROM person_links WHERE source = 'shopify'"))
    return store, config, moment, world.facts(), names


def test_the_profile_says_of_everybody_what_the_facts_say(shop):
    store, _, _, facts, names = shop
    found = {r["person_id"]: r for r in store.rows("SELECT * FROM profile")}
    for person, known in facts.items():
        told = found[names[person]]
        assert {k: told[k] for k in known["columns"]} == known["columns"], person


@settings(max_examples=25, derandomize=True, **PROFILE)
@given(asked=together, who=anybody)
def test_evaluator_why_and_oracle_agree(shop, asked, who):
    agree(shop, asked, who)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@settings(max_examples=1000, **PROFILE)
@given(asked=together, who=anybody)
def test_evaluator_why_and_oracle_agree_by_night(shop, asked, who):
    agree(shop, asked, who)


def agree(shop: Any, asked: list[Any], who: int) -> None:
    """Who is in, by two ways; for one rule and one person also every clause, its values and what is said to turn it."""
    store, config, moment, facts, names = shop
    asked = [*asked, ("and", ("segment", "R0", asked[0]), ("not", ("segment", f"r{len(asked) - 1}", asked[-1])))]
    segments = [Segment(name=f"r{i}", where=written(rule)) for i, rule in enumerate(asked)]
    left_over = Segment(name="others", where="everyone_else()")
    checked = check_all(store, config, [*segments, left_over])
    found = dict(store.sql(f"SELECT person_id, m0 FROM ({Evaluation(config, moment, checked).masks()})"))

    told: dict[str, set[str]] = {}
    for i, rule in enumerate(asked):
        expected = {p for p, known in facts.items() if holds(rule, known)}
        assert {p for p in facts if found[names[p]] >> i & 1} == expected, written(rule)
        sentence = say(checked[f"r{i}"], "EUR")
        assert sentence == "Nobody." or (sentence.startswith("Everybody") and sentence.endswith(".")), written(rule)
        assert told.setdefault(sentence, expected) == expected, "two rules are told in the same words"
    assert {p for p in facts if found[names[p]] >> len(asked) & 1} == {p for p in facts if found[names[p]] == 1 << len(asked)}

    person = sorted(facts)[who]
    answer = why(store, config, moment, names[person], segments[0])
    assert answer.is_member == holds(asked[0], facts[person])
    parts = clauses(asked[0])
    assert [c.is_true for c in answer.clauses] == [holds(p, facts[person]) for p in parts], written(asked[0])
    for clause, part in zip(answer.clauses, parts, strict=True):
        fits(clause, part, facts[person])
        told_again = say(parse(clause.written, replace(words(store, config), segments=tuple(checked))), "EUR")
        assert told_again == f"Everybody {clause.says}.", clause.written


def fits(clause: Clause, part: Any, person: Any) -> None:
    known = person["columns"] | {_called(m): value_of(m, person) for m in _measures(part)}
    assert clause.says
    assert clause.values == {k: known[k] for k in clause.values}
    assert is_so(clause.change, part, person), (clause.written, clause.change, clause.values)


def _measures(part: Any) -> Iterator[Any]:
    if isinstance(part, tuple) and part[:1] == ("measure",):
        yield part
    elif isinstance(part, tuple):
        for inner in part:
            yield from _measures(inner)


def _called(measure: Any) -> str:
    _, name, given = measure
    unsaid = {"within": WITHIN} if "converted" in (name, dict(given).get("event")) else {}
    return f"{name}({', '.join(f'{k} => {v!r}' for k, v in sorted((unsaid | dict(given)).items()))})"
