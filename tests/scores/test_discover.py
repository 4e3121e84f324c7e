"""Groups and breaks: planted ones are found, chance is called chance, names go on, false alarms stay as few as said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from connector import discover_names, discover_rules
from models.scores.anomaly import KINDS, AnomalyModel, came_back, discoveries
from models.scores.discover import HABITS, Visits, by_lot, find, habits, matched
from models.scores.taste import Bought, TasteModel, hits, usual

sys.path.insert(0, str(Path(__file__).parent))
from simulated_habits import breaks, three_groups, visits  # a helper beside the test, found by the line above
from simulated_shop import START, noise, shop

CUTOFF = START + 400


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def test_planted_groups_are_found_and_come_back() -> None:
    orders, truth = three_groups()
    found = find(visits(orders, CUTOFF))
    assert found.count == 3
    assert found.ari > 0.95 and found.is_separate
    assert adjusted_rand_score(truth, found.label) > 0.95


@pytest.mark.parametrize("seed", range(6))
def test_a_shop_of_pure_chance_has_no_natural_groups(seed: int) -> None:
    found = find(visits(noise(500, 400, seed=seed), CUTOFF))
    assert found.count == 0
    assert "more than chance" in found.why_not


def test_few_people_are_not_divided() -> None:
    orders, _ = three_groups(90)
    assert "100 people" in find(visits(orders, CUTOFF)).why_not


def test_people_who_shade_into_each_other_are_said_to() -> None:
    found = find(visits(shop(800, 500), START + 480))
    assert found.count >= 2
    assert not found.is_separate


def test_the_order_of_rows_changes_no_group() -> None:
    orders, _ = three_groups(300)
    one = visits(orders, CUTOFF)
    mix = np.random.default_rng(3).permutation(len(one.person))
    mail = (one.answers, one.mails, one.engagement)
    two = Visits.of(one.person[mix], one.day[mix], one.amount[mix], one.discounted[mix], CUTOFF, mail)
    assert np.array_equal(find(one).label, find(two).label)


def test_a_shop_drawn_by_lot_keeps_its_days_money_and_first_orders() -> None:
    own = visits(shop(200, 300), START + 300)
    drawn = by_lot(own, np.random.default_rng(1))
    assert np.array_equal(np.sort(drawn.amount), np.sort(own.amount))
    assert np.array_equal(drawn.day, own.day)
    assert np.array_equal(drawn.person[own.is_first], own.person[own.is_first])
    first = dict(zip(own.person[own.is_first].tolist(), own.day[own.is_first].tolist(), strict=True))
    assert all(first[p] <= d for p, d in zip(drawn.person.tolist(), drawn.day.tolist(), strict=True))


def test_a_rule_says_its_group_in_round_numbers() -> None:
    orders, _ = three_groups()
    found = find(visits(orders, CUTOFF))
    names = found.names
    table = habits(visits(orders, CUTOFF))[:, [HABITS.index(n) for n in names]]
    clauses = discover_rules.rules(table, names, found.label)
    assert all("orders_total >=" in c for c in clauses)
    assert max(len(c) for c in clauses) < 200
    for g, clause in enumerate(clauses):
        said = eval_clause(clause, dict(zip(names, table.T, strict=True)))
        fit = discover_rules.fidelity(set(np.flatnonzero(said)), set(np.flatnonzero(found.label == g)))
        assert fit.f1 > 0.95, clause


def eval_clause(clause: str, columns: dict[str, np.ndarray]) -> np.ndarray:
    """The clause by plain numpy: only numbers, names, comparisons, and, or."""
    parts = [p.strip("() ") for p in clause.split(" or ")]
    found = np.zeros(len(next(iter(columns.values()))), dtype=bool)
    for part in parts:
        fits = np.ones(len(found), dtype=bool)
        for term in part.split(" and "):
            name, op, value = term.split()
            fits &= {">=": np.greater_equal, ">": np.greater, "<=": np.less_equal}[op](columns[name], float(value))
        found |= fits
    return found


def test_a_number_is_as_round_as_the_gap_between_two_values_allows() -> None:
    between = discover_rules._round_between
    assert (between(37.2, 61.9, False), between(41.21, 41.38, False)) == (40.0, 41.3)
    assert (between(3.0, 4.0, True), between(88.0, 131.0, True)) == (3.0, 100.0)


def test_groups_go_on_under_their_name_and_new_ones_are_told() -> None:
    old = np.array([[1.0, 5.0], [3.0, 2.0]])
    new = np.array([[3.1, 2.2], [1.1, 4.8], [6.0, 0.0]])
    assert matched(new, old, np.ones(2)) == {0: 1, 1: 0}
    table = np.array([[1.0, 300.0]] * 50 + [[9.0, 10.0]] * 50)
    label = np.array([0] * 50 + [1] * 50)
    columns = ("orders_total", "days_since_order")
    fresh = discover_names.names(table, columns, label, set(), {})
    assert fresh == ["One order, long silent", "Many orders, here lately"]
    assert discover_names.names(table, columns, label, {"Old friends"}, {1: "Old friends"}) == [fresh[0], "Old friends"]


def test_breaks_with_the_own_history_are_found_and_few_others_are_named() -> None:
    orders, planted = breaks(stopping=40, jumping=20, large=20)
    found = AnomalyModel().fit(orders, CUTOFF).found_
    named = {k: set(found.person[found.flagged & (found.kind == i)].tolist()) for i, k in enumerate(KINDS)}
    for kind, people in planted.items():
        assert len(named[kind] & people) >= 0.6 * len(people), kind
    false = sum(len(named[k] - planted.get(k, set())) for k in KINDS)
    assert false <= 0.15 * sum(len(n) for n in named.values())


def test_in_steady_shops_hardly_anybody_is_named() -> None:
    judged = named = 0
    for seed in range(10, 18):
        model = AnomalyModel().fit(breaks(300, seed=seed)[0], CUTOFF)
        judged, named = judged + model.judged_, named + int(model.found_.flagged.sum())
    assert judged > 2000
    assert named / judged < 0.002


def test_the_future_and_the_order_of_rows_name_nobody_else() -> None:
    orders, _ = breaks(300, stopping=20, large=20)
    one, two = (AnomalyModel().fit(o, CUTOFF - 20).found_ for o in (orders, orders.before(CUTOFF - 20)))
    assert one.flagged.any()
    assert np.array_equal(one.p, two.p) and np.array_equal(one.person, two.person)


def test_false_discoveries_are_held_at_their_share() -> None:
    random = np.random.default_rng(5)
    shares = []
    for _ in range(60):
        p = np.r_[random.random(900), random.random(100) * 1e-4]
        taken = discoveries(p, 0.1)
        shares.append(taken[:900].sum() / max(taken.sum(), 1))
    assert np.mean(shares) < 0.12
    assert not discoveries(np.array([0.4, 0.9]), 0.1).any()


def test_who_was_named_for_a_drop_and_ordered_again_was_a_false_alarm() -> None:
    orders, _ = breaks(50)
    assert came_back(orders, np.arange(50), CUTOFF - 60, 60) > 0.9
    assert came_back(orders, np.arange(50), CUTOFF + 1, 60) == 0


def test_the_taste_of_today_is_told_from_that_of_long_ago_where_tastes_move() -> None:
    random = np.random.default_rng(8)
    rows = []
    for person in range(400):
        now, before = random.integers(0, 4, 2)
        rows += [(person, START + int(d), before) for d in random.uniform(0, 200, 6)]
        rows += [(person, START + int(d), now) for d in random.uniform(200, 400, 4)]
    bought = Bought.of(*np.array(rows, dtype=np.int64).T)
    model = TasteModel().fit(bought, CUTOFF - 60)
    best, chance = model.predict()
    people, rule = usual(bought, CUTOFF - 60)
    ours, theirs = (hits(bought, p, c, CUTOFF - 60, 60) for p, c in ((model.person_, best), (people, rule)))
    assert np.nanmean(ours) > np.nanmean(theirs) + 0.2
    assert (chance <= 1).all()
    again = TasteModel().fit(bought.before(CUTOFF - 60), CUTOFF - 60)
    assert np.array_equal(again.chance_, model.chance_)


@pytest.mark.filterwarnings("error")
def test_people_who_shop_in_two_ways_alone_are_two_groups_and_nothing_is_divided_by_zero() -> None:
    person = np.repeat(np.arange(200), 4)
    day = np.tile(CUTOFF - np.array([40, 30, 20, 10]), 200)
    discounted = np.repeat((np.arange(200) % 2).astype(float), 4)
    none = np.zeros(200)
    found = find(Visits.of(person, day, np.full(800, 20.0), discounted, CUTOFF, (none, none, none)))
    assert found.count == 2 and [t["k"] for t in found.tried] == [2]
    assert len(set(zip(found.label.tolist(), (np.arange(200) % 2).tolist(), strict=True))) == 2
