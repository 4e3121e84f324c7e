"""Made-up rules: the evaluator, `why` and an oracle in plain Python must say the same of everybody."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.evaluation import Evaluation
from connector.segment import check_all, why
from models.segments import Segment
from tests.stages.oracle import holds, written
from tests.stages.rules_shop import TODAY, World

days = st.none() | st.sampled_from([1, 5, 30, 31, 90, 91, 365])
counts = st.one_of(
    st.just(("column", "orders_total")), st.just(("column", "orders_90d")),
    st.tuples(st.just("bought"), st.none() | st.sampled_from(["Coffee", "Tea"]), days),
    st.tuples(st.just("clicked"), st.sampled_from(["", "blog", "shop"]), days),
)  # fmt: skip
money = st.one_of(st.just(("column", "revenue_total")), st.just(("column", "aov")), st.tuples(st.just("spent"), days))
lapse = st.one_of(st.just(("column", "days_since_order")), st.just(("last", "clicked")))
number = st.tuples(st.just("number"), st.sampled_from([0, 1, 2, 3, 10, 25, 30, 31, 90, 100]))
operator = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
terms = st.one_of(counts, money, lapse, st.tuples(st.just("sum"), counts, counts), st.tuples(st.just("ratio"), money, counts))
leaves = st.one_of(
    st.tuples(st.just("compare"), terms, operator, number),
    st.tuples(st.just("compare"), counts, operator, counts),
    st.tuples(st.just("alone"), counts.filter(lambda c: c[0] != "column") | st.just(("last", "clicked"))),
    st.tuples(st.just("null"), st.sampled_from(["aov", "city", "days_since_order", "loyal"])),
    st.just(("yes", "loyal")),
    st.tuples(st.just("compare"), st.just(("column", "loyal")), st.sampled_from(["=", "<>"]),
              st.tuples(st.just("flag"), st.booleans())),
    st.tuples(st.just("in"), st.just("city"), st.lists(st.sampled_from(["Bonn", "Ulm", "Köln"]), min_size=1, max_size=2)),
    st.tuples(st.just("between"), st.sampled_from(["orders_total", "aov", "days_since_order"]), st.integers(0, 30),
              st.integers(0, 100)),
)  # fmt: skip
rules = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner), st.tuples(st.sampled_from(["and", "or"]), inner, inner),
        st.tuples(st.just("case"), inner, inner, inner),
    ),
    max_leaves=5,
)  # fmt: skip


@pytest.fixture(scope="module")
def shop():
    world = World(seed=11)
    store, config, moment = world.ready()
    facts = {}
    for person in world.people:
        orders = [((TODAY - d).days, v, c) for p, d, v, c, _ in world.orders if p == person]
        total = sum(v for _, v, _ in orders)
        facts[person] = {
            "orders": orders,
            "clicks": [((TODAY - d).days, g["url"]) for p, k, d, g in world.events if p == person and k == "click"],
            "columns": {
                "orders_total": len(orders), "orders_90d": sum(ago <= 90 for ago, *_ in orders), "revenue_total": total,
                "aov": total / len(orders) if orders else None, "city": world.city[person], "loyal": world.loyal[person],
                "days_since_order": min((ago for ago, *_ in orders), default=None),
            },
        }  # fmt: skip
    names = dict(store.sql("SELECT contact_id, person_id FROM person_links WHERE source = 'shopify'"))
    return store, config, moment, facts, names


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(asked=st.lists(rules, min_size=1, max_size=8), who=st.integers(0, 39))
def test_evaluator_why_and_oracle_agree(shop, asked, who):
    store, config, moment, facts, names = shop
    segments = [Segment(name=f"r{i}", where=written(rule)) for i, rule in enumerate(asked)]
    evaluation = Evaluation(config, moment, check_all(store, config, segments))
    found = dict(store.sql(f"SELECT person_id, m0 FROM ({evaluation.masks()})"))

    for i, rule in enumerate(asked):
        expected = {p for p, known in facts.items() if holds(rule, known)}
        assert {p for p in facts if found[names[p]] >> i & 1} == expected, written(rule)

    person = sorted(facts)[who]
    assert why(store, config, moment, names[person], segments[0]).is_member == holds(asked[0], facts[person])
