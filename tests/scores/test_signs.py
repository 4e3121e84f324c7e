"""What stands beside orders: mail, visits, logins, tickets, ratings, carts, discounts, subscriptions and the country."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sklearn.ensemble  # noqa: F401  # see one_thread
from threadpoolctl import threadpool_limits

from models.scores import measure, signs
from models.scores.churn import ChurnModel, boosting
from models.scores.history import Orders, no_order_within, snapshot
from models.scores.reasons import in_words, least_chance, moves
from models.scores.signs import KINDS, Signs, columns_of, like_the_middle, sign_features
from models.scores.value import ValueModel
from models.scores.views import Views

sys.path.insert(0, str(Path(__file__).parent))
from simulated_shop import START, table  # a helper beside the test, found by the line above

CUTOFF = START + 100
NEVER = np.inf


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def signs_of(rows: list[tuple[int, int, int, float]]) -> Signs:
    person, day, kind, value = (np.array(c) for c in zip(*rows, strict=True))
    return Signs.of(person.astype(np.int64), START + day.astype(np.int64), kind.astype(np.int64), value.astype(float))


def buyers(n: int) -> Orders:
    return table([(p, START, 10.0) for p in range(n)])


def known_of(rows: list[tuple[int, int, int, float]], people: int = 2) -> list[dict[str, float]]:
    made = signs_of(rows)
    found = sign_features(made, snapshot(buyers(people), CUTOFF))
    return [{name: float(v) for (_, name), v in zip(columns_of(made.groups), row, strict=True)} for row in found]


def test_each_sign_says_what_was_known_on_the_day_and_what_nobody_recorded_is_missing() -> None:
    one, nobody = known_of([
        (0, 10, signs.MAILED, 1), (0, 40, signs.ANSWER, 2), (0, 90, signs.ANSWER, 1), (0, 95, signs.LEFT, 1),
        (0, 80, signs.VISIT, 3), (0, 20, signs.VISIT, 1), (0, 99, signs.LOGIN, 1), (0, 60, signs.TICKET, 2),
        (0, 10, signs.RATING, 5), (0, 50, signs.RATING, 2),
        (0, 85, signs.CART, NEVER), (0, 88, signs.CART, START + 91), (0, 97, signs.CART, START + 130),
        (0, 5, signs.DISCOUNT, 0), (0, 50, signs.DISCOUNT, 1), (0, 60, signs.DISCOUNT, 1),
        (0, 30, signs.CONTRACT, NEVER), (0, 2, signs.CONTRACT, START + 20), (0, 5, signs.COUNTRY, 6869),
    ])  # fmt: skip
    assert one == pytest.approx({
        "days_since_answer": 10, "answers_30d": 1, "answers_90d": 3, "answers_fading_45d": 2 * 0.5 ** (60 / 45) + 0.5 ** (10 / 45),
        "has_left": 1, "days_since_visit": 20, "visits_30d": 3, "visits_90d": 4, "days_since_login": 1, "logins_30d": 1,
        "logins_90d": 1, "days_since_ticket": 40, "tickets_30d": 0, "tickets_365d": 2, "mean_rating": 3.5, "last_rating": 2,
        "days_since_open_cart": 3, "open_carts_30d": 2, "discounted_share": 2 / 3, "last_is_discounted": 1, "has_contract": 1,
        "contract_days": 70, "days_since_contract_end": 80, "country": 6869,
    })  # fmt: skip
    assert all(np.isnan(v) for v in nobody.values()), "missing is said, never zero"


def test_who_gets_mail_and_never_answered_is_not_somebody_of_whom_no_mail_is_known() -> None:
    mailed, unknown = known_of([(0, 10, signs.MAILED, 1)])
    assert mailed["answers_90d"] == 0 and np.isnan(mailed["days_since_answer"]) and np.isnan(unknown["answers_90d"])


def test_only_groups_of_which_something_is_known_have_columns() -> None:
    assert set(known_of([(0, 1, signs.RATING, 4)])[0]) == {"mean_rating", "last_rating"}
    empty = np.empty(0, np.int64)
    assert Views(buyers(2), 30, signs=Signs.of(empty, empty, empty, np.empty(0))).signs is None


def test_signs_know_nothing_of_the_future_and_nothing_of_the_order_of_rows() -> None:
    random = np.random.default_rng(4)
    n = 3000
    person, kind = random.integers(0, 50, n), random.integers(0, len(KINDS), n)
    day, value = START + random.integers(0, 200, n), random.integers(1, 6, n).astype(float)
    until = np.isin(kind, (signs.CART, signs.CONTRACT))
    value[until] = np.where(random.random(until.sum()) < 0.3, np.inf, START + random.integers(0, 200, until.sum()))
    past = day < CUTOFF
    known_then = np.where(until & (value >= CUTOFF), np.inf, value)  # nobody knew yet when it would end
    mix = random.permutation(n)
    before = Signs.of(person[past], day[past], kind[past], known_then[past])
    after = Signs.of(person[mix], day[mix], kind[mix], value[mix])
    shot = snapshot(buyers(50), CUTOFF)
    assert np.array_equal(sign_features(before, shot), sign_features(after, shot), equal_nan=True)
    assert before.groups == after.groups == tuple(signs.GROUPS)


@pytest.fixture(scope="module")
def planted() -> tuple[Orders, Signs]:
    """900 people who order every 50 days or so until they leave; mails are answered until then, and hardly ever after."""
    random = np.random.default_rng(8)
    rows, seen = [], []
    for person in range(900):
        begin, stay = random.integers(0, 200), random.exponential(220)
        gone, day = begin + stay, float(begin)
        while day < 420:
            if day <= gone:
                rows.append((person, START + int(day), 20.0))
            day += random.exponential(50) + 1
        seen.append((person, int(begin), signs.MAILED, 1))
        for week in range(int(begin) + 3, 420, 7):
            if random.random() < (0.5 if week <= gone else 0.01):
                seen.append((person, week, signs.ANSWER, 1))
        if person % 3 == 0:
            seen.append((person, 380, signs.RATING, 4.0))
    return table(rows), signs_of(seen)


def test_a_cause_that_stands_beside_the_orders_is_found_and_told_and_the_reason_is_faithful(
    planted: tuple[Orders, Signs],
) -> None:
    orders, seen = planted
    cutoff = START + 360
    bare, views = Views(orders, 60), Views(orders, 60, signs=seen)
    view = views.at(cutoff)
    truth = no_order_within(orders, view.person, cutoff, 60)
    without = measure.auc(truth, ChurnModel(60).fit(bare, cutoff).predict(bare.at(cutoff)))
    model = ChurnModel(60).fit(views, cutoff)
    found = model.predict(view)
    assert model.kind_ in ("blend", "boosting") and measure.auc(truth, found) > without + 0.03
    assert measure.calibration(truth, found)[0] < 0.08

    moved = moves(views, view, {"churn": model.predict})["churn"]
    assert view.signs is not None
    edited = replace(view, signs=like_the_middle(view.signs, view.recency, seen.groups, "mail"))
    assert moved["mail"] == pytest.approx(found - model.predict(edited), abs=1e-12)
    silent = np.nan_to_num(view.signs[:, 0], nan=999) > 60
    assert np.median(moved["mail"][silent]) > 0.03 > np.abs(moved["ratings"]).mean()
    reasons = in_words(views, view, moved, least_chance(found), lambda move: "raises" if move > 0 else "lowers")
    assert max(map(len, reasons)) <= 3
    told = [i for i in np.flatnonzero(silent) if any("answered" in text and "raises" in text for text in reasons[i])]
    assert len(told) > 0.6 * silent.sum()


def test_trees_bear_a_column_of_which_nothing_was_known_when_they_were_taught() -> None:
    random = np.random.default_rng(3)
    x = np.column_stack([random.normal(size=300), np.full(300, np.nan)])
    trees = boosting(7).fit(x, x[:, 0] > 0)
    later = np.column_stack([x[:, 0], np.arange(300.0)])
    assert np.array_equal(trees.predict_proba(x), trees.predict_proba(later))


@pytest.mark.nightly
def test_signs_of_pure_chance_make_no_score_worse_by_much_and_a_group_known_only_lately_ends_no_run(
    planted: tuple[Orders, Signs],
) -> None:
    orders, _ = planted
    random = np.random.default_rng(2)
    chance = signs_of([(int(p), 340 + int(d), signs.TICKET, 1.0) for p, d in random.integers((0, 0), (900, 20), (400, 2))])
    cutoff = START + 360
    bare, views = Views(orders, 60), Views(orders, 60, signs=chance)
    truth = no_order_within(orders, views.at(cutoff).person, cutoff, 60)
    without, having = (ChurnModel(60).fit(v, cutoff).predict(v.at(cutoff)) for v in (bare, views))
    assert measure.auc(truth, having) > measure.auc(truth, without) - 0.01
    assert np.isfinite(ValueModel(60, candidates=("btyd", "boosted")).fit(views, cutoff).predict(views.at(cutoff))).all()


def test_every_group_is_said_in_words_whatever_is_missing() -> None:
    random = np.random.default_rng(1)
    n = 400
    person, kind, day = random.integers(0, 120, n), random.integers(0, len(KINDS), n), START + random.integers(0, 100, n)
    value = np.where(np.isin(kind, (signs.CART, signs.CONTRACT)), START + random.integers(0, 200, n), random.integers(0, 3, n))
    made = Signs.of(person, day, kind, value.astype(float))
    places = columns_of(made.groups)
    texts = set()
    for row in sign_features(made, snapshot(buyers(120), CUTOFF)):
        for group in made.groups:
            texts.add(
                (group, signs.said(group, {name: float(v) for (g, name), v in zip(places, row, strict=True) if g == group}))
            )
    assert {g for g, _ in texts} == set(signs.GROUPS) and all(text and "nan" not in text for _, text in texts)
    assert {signs.UNKNOWN[g] for g in signs.GROUPS} < {text for _, text in texts}


def test_days_are_said_from_today_and_one_of_them_is_no_plural() -> None:
    visits = {"visits_30d": 1.0, "visits_90d": 1.0}
    said = [signs.said("visits", {"days_since_visit": days, **visits}, late=1) for days in (1.0, 2.0, 9.0)]
    assert said == ["last visit to the site today", "last visit to the site 1 day ago", "last visit to the site 8 days ago"]
