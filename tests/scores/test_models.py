"""The estimators: published answers, nothing from the future, the same numbers every time, the ladder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.ensemble  # noqa: F401  # see one_thread
from threadpoolctl import threadpool_limits

from connector.score_parts import season
from models.scores import measure
from models.scores.btyd import BetaGeoFitter
from models.scores.churn import ChurnModel, boosting, logistic
from models.scores.gamma_gamma import GammaGamma
from models.scores.history import Lines, Orders, no_order_within, pace, snapshot
from models.scores.level import YEAR_DAYS, Level, Seen, beyond
from models.scores.next_order import NextOrderModel, wait_within
from models.scores.reasons import moves, usual_gap, without_silence
from models.scores.recommend import Recommender, bestsellers
from models.scores.value import ValueModel, spend_within
from models.scores.views import Stack, Views

sys.path.insert(0, str(Path(__file__).parent))
from simulated_shop import START, noise, shop  # a helper beside the test, found by the line above


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Waiting threads cost more than they bring; sklearn is loaded first, else there is nothing to limit."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def cdnow() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The 2,357 customers of the published papers to 1997-09-30, in weeks."""
    table = np.loadtxt(Path(__file__).with_name("cdnow_sample.csv"), delimiter=",", skiprows=1)
    rows = np.repeat(table[:, :3], table[:, 3].astype(int), axis=0)
    assert len(rows) == 2357
    return rows[:, 0], rows[:, 1] / 7, rows[:, 2] / 7


@pytest.mark.parametrize(
    ("modified", "published", "loglik"),
    [(False, (0.243, 4.414, 0.793, 2.426), -9582.4), (True, (0.525, 6.183, 0.891, 1.614), -9582.1)],
    ids=["BG/NBD", "MBG/NBD"],
)
def test_the_published_parameters_are_reproduced(cdnow, modified, published, loglik) -> None:  # type: ignore[no-untyped-def]  # fixtures
    model = BetaGeoFitter(modified=modified).fit(*cdnow)
    assert (model.r_, model.alpha_, model.a_, model.b_) == pytest.approx(published, rel=0.01)
    assert model.loglik_ == pytest.approx(loglik, abs=0.06)


def test_the_published_order_value_model_is_reproduced() -> None:
    table = np.loadtxt(Path(__file__).with_name("cdnow_sample_values.csv"), delimiter=",", skiprows=1)
    model = GammaGamma().fit(table[:, 0], table[:, 1])
    assert (model.p_, model.q_, model.gamma_) == pytest.approx((6.25, 3.74, 15.44), rel=0.01)
    once = model.expected(np.array([0.0]), np.array([0.0]))[0]
    assert once == pytest.approx(model.p_ * model.gamma_ / (model.q_ - 1))


def test_expected_orders_agree_with_the_chance_of_none_in_a_short_time(cdnow) -> None:  # type: ignore[no-untyped-def]  # fixtures
    model = BetaGeoFitter(modified=True).fit(*cdnow)
    expected = model.expected_orders(*cdnow, 0.01)
    assert expected == pytest.approx(1 - model.p_no_order(*cdnow, 0.01), rel=0.01)


def test_half_of_those_who_will_order_have_done_so_by_the_median_wait(cdnow) -> None:  # type: ignore[no-untyped-def]  # fixtures
    model = BetaGeoFitter(modified=True).fit(*cdnow)
    wait = model.waiting_days(cdnow[0], cdnow[2], 0.5, 13.0)
    alive = model.p_alive(*cdnow)
    count, now = model.r_ + cdnow[0], model.alpha_ + cdnow[2]
    by_then, by_end = (1 - (now / (now + h)) ** count for h in (wait, 13.0))
    assert alive.min() > 0
    assert by_then == pytest.approx(by_end / 2, rel=1e-9)


def with_future(orders: Orders, cutoff: int) -> Orders:
    """The same past with more of everything from the cutoff on: orders, refunds of old orders, new people; rows shuffled."""
    random = np.random.default_rng(11)
    person = np.r_[orders.person, random.integers(0, 400, 500)]
    day = np.r_[orders.day, random.integers(cutoff, cutoff + 60, 500)]
    amount = np.r_[orders.amount, random.uniform(1, 900, 500)]
    mix = random.permutation(len(person))
    old = np.flatnonzero(orders.day < cutoff)[:50]
    refunds = (orders.person[old], orders.day[old], np.full(50, cutoff + 3), orders.amount[old])
    return Orders.of(person[mix], day[mix], amount[mix], refunds=refunds)


def lines_of(orders: Orders, days: tuple[int, int], seed: int) -> tuple[np.ndarray, ...]:
    """Columns of order lines, some returned, on days of orders between the two days."""
    random = np.random.default_rng(seed)
    row = np.flatnonzero((orders.day >= days[0]) & (orders.day < days[1]))
    row = random.choice(row, 2 * len(row))
    product = random.integers(0, 60, len(row))
    quantity = random.choice([-1.0, 1.0, 2.0, 5.0], len(row))
    return orders.person[row], orders.day[row], product, quantity, quantity * random.uniform(1, 50, len(row)), product % 7


def test_features_know_nothing_of_the_future_and_nothing_of_the_order_of_rows() -> None:
    orders = shop(300, 300)
    cutoff = START + 200
    later = with_future(orders, cutoff)
    past, future = lines_of(orders, (0, cutoff), 1), lines_of(later, (cutoff, cutoff + 90), 2)
    both = [np.concatenate(pair) for pair in zip(past, future, strict=True)]
    mix = np.random.default_rng(3).permutation(len(both[0]))
    before = Views(orders, 60, Lines.of(*past)).at(cutoff)
    after = Views(later, 60, Lines.of(*(column[mix] for column in both))).at(cutoff)
    assert np.array_equal(before.shot.features, after.shot.features)
    assert before.bought is not None and before.bought.std(axis=0).min() > 0, "every column of the lines says something"
    assert np.array_equal(before.wide, after.wide)
    assert np.array_equal(pace(orders, before.shot), pace(later, after.shot))


@pytest.fixture(scope="module")
def two_years() -> Views:
    return Views(shop(120, 900), 56)


def level(views: Views, missed: Callable[[int], float], *, events: float = 1e6) -> Level:
    """What is expected at the end of the two years, had the repeat-buying models missed this on the windows before."""
    return Level(56, sign=1).fit(views, START + 800, lambda view: (missed(view.cutoff - START), events))


def test_a_season_of_the_year_before_is_foreseen_and_an_accident_less(two_years: Views) -> None:
    season = level(two_years, lambda day: 0.4 * np.cos((day - 800) / YEAR_DAYS * 2 * np.pi))
    assert 0.25 < season.foreseen() < 0.4
    assert -0.4 < season.foreseen(START + 800 - YEAR_DAYS // 2) < -0.2
    accident = level(two_years, lambda day: 0.4 if abs(day - 800 + YEAR_DAYS) < 40 else 0.0)
    assert 0 < accident.foreseen() < 0.2 < season.foreseen()


def test_what_few_events_show_is_believed_less_and_nothing_missed_changes_nothing(two_years: Views) -> None:
    many, few = (level(two_years, lambda day: 0.3, events=n).foreseen() for n in (1e6, 50.0))
    assert 0 < few < 0.6 * many < 0.3
    assert level(two_years, lambda day: 0.0).foreseen() == 0.0


def test_before_a_first_year_has_passed_the_trade_season_counts_in_part_unless_the_shop_is_steady() -> None:
    views = Views(shop(120, 330), 56)
    before_christmas, in_summer = 19_312, 19_190  # 2022-11-16 and 2022-07-17

    def seen(missed: float, day: int) -> Level:
        return Level(56, sign=1).fit(views, day, lambda view: (missed * np.sin(view.cutoff**2), 1e6))

    unsteady = seen(0.3, before_christmas)
    assert 0.05 < unsteady.foreseen() < 0.2
    assert 0 <= seen(0.01, before_christmas).foreseen() < unsteady.foreseen() / 4
    assert abs(seen(0.3, in_summer).foreseen()) < 0.05
    assert len(season(unsteady)) == 1 and "assumed" in season(unsteady)[0]


def test_no_season_is_called_assumed_where_a_year_ago_is_known(two_years: Views) -> None:
    assert not season(level(two_years, lambda day: 0.3)) and not season(None)


def test_a_level_goes_to_whom_the_closed_windows_prove_right(two_years: Views) -> None:
    nothing = level(two_years, lambda day: 0.0)
    assert nothing.share([]) == 0.25
    proven = [Seen(START + day, learned=1.0, other=1.6, truth=1.0) for day in (688, 716, 744)]
    refuted = [Seen(START + day, learned=1.0, other=1.6, truth=1.6) for day in (688, 716, 744)]
    assert nothing.share(refuted) < 0.1 < 0.85 < nothing.share(proven)
    assert nothing.combined(proven, 2.0, 4.0) == pytest.approx(4.0 - 2.0 * nothing.share(proven))


def test_what_longer_windows_missed_is_believed_the_more_the_larger_and_the_more_often() -> None:
    assert beyond([]) == 0.0
    assert 0 < beyond([0.2]) < beyond([0.2, 0.2, 0.2]) < 0.2
    assert abs(beyond([0.02])) < 0.001


def test_a_refund_takes_effect_on_its_own_day() -> None:
    one = np.array([0], dtype=np.int64)
    orders = Orders.of(one, one + 100, np.array([50.0]), refunds=(one, one + 100, one + 130, np.array([20.0])))
    assert snapshot(orders, 120).features[0, 3] == 50.0
    assert snapshot(orders, 131).features[0, 3] == 30.0
    assert spend_within(orders, one, 90, 30)[0] == 50.0
    assert spend_within(orders, one, 90, 60)[0] == 30.0


def test_offers_know_nothing_of_the_future() -> None:
    random = np.random.default_rng(2)
    columns = [random.integers(0, 50, 800), random.integers(0, 200, 800), random.integers(0, 40, 800)]
    lines = Lines.of(*(c.astype(np.int64) for c in columns), np.ones(800), np.ones(800))
    one = Recommender().fit(lines, 150).predict()
    two = Recommender().fit(lines.before(150), 150).predict()
    assert np.array_equal(one.product, two.product)
    assert all(len(set(row)) == len(row) for row in one.product.tolist())


def scores_of(orders: Orders, cutoff: int) -> tuple[np.ndarray, np.ndarray]:
    views = Views(orders, 60)
    view = views.at(cutoff)
    return ChurnModel(60).fit(views, cutoff).predict(view), ValueModel(60).fit(views, cutoff).predict(view)


def test_ten_products_are_offered_even_where_the_last_month_sold_fewer() -> None:
    day = np.r_[np.full(6, 195), np.full(30, 100)].astype(np.int64)
    product = np.r_[[3, 3, 3, 7, 7, 9], np.repeat(np.arange(10, 25), 2)].astype(np.int64)
    lines = Lines.of(np.zeros(36, dtype=np.int64), day, product, np.ones(36), np.ones(36))
    found = bestsellers(lines, 200, np.array([4, 5], dtype=np.int64)).product
    assert found.shape == (2, 10)
    assert found[0].tolist() == found[1].tolist() == [3, 7, 9, 10, 11, 12, 13, 14, 15, 16]


@pytest.mark.nightly
def test_the_order_of_rows_changes_no_score() -> None:
    orders, cutoff = shop(2200, 330, seed=9), START + 310
    assert Views(orders, 60).amount(cutoff).rung == "large"
    mix = np.random.default_rng(1).permutation(len(orders.day))
    once = scores_of(orders, cutoff)
    again = scores_of(Orders.of(orders.person[mix], orders.day[mix], orders.amount[mix]), cutoff)
    assert again[0] == pytest.approx(once[0], abs=1e-9)
    assert again[1] == pytest.approx(once[1], abs=1e-9)


@pytest.mark.parametrize("learner", [logistic, lambda: boosting(7)], ids=["logistic", "boosting"])
def test_the_number_of_threads_changes_no_probability(learner: Callable[[], Any]) -> None:
    orders, cutoff = shop(500, 300), START + 200
    view = Views(orders, 60).at(cutoff)
    truth = no_order_within(orders, view.person, cutoff, 60)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            found.append(learner().fit(view.inputs, truth).predict_proba(view.inputs)[:, 1])
    assert found[0] == pytest.approx(found[1], abs=1e-9)


@pytest.mark.parametrize(("customers", "rung"), [(50, "refuse"), (100, "small"), (250, "small"), (1000, "middle")])
def test_the_ladder_goes_by_the_amount_of_data(customers: int, rung: str) -> None:
    views = Views(shop(customers, 400), 60)
    assert views.amount(START + 380).rung == rung
    if rung == "refuse":
        with pytest.raises(ValueError, match="too little"):
            ChurnModel(60).fit(views, START + 380)
    else:
        assert ChurnModel(60).fit(views, START + 380).rung_ == rung


@pytest.mark.nightly
def test_a_planted_process_is_found_and_the_probabilities_are_honest() -> None:
    orders = shop(3000, 520)
    views, cutoff = Views(orders, 60), START + 440
    view = views.at(cutoff)
    model = ChurnModel(60).fit(views, cutoff)
    truth = no_order_within(orders, view.person, cutoff, 60)
    found = model.predict(view)
    draws = measure.paired_bootstrap(truth, found, view.recency)
    assert np.percentile(draws[:, 0] - draws[:, 1], 2.5) > 0
    assert measure.calibration(truth, found)[0] < 0.04


def test_next_orders_are_never_past_never_for_one_time_buyers_and_hold_eight_of_ten() -> None:
    orders = shop(3000, 520)
    views, cutoff = Views(orders, 60), START + 440
    view = views.at(cutoff)
    days = NextOrderModel(60).fit(views, cutoff).predict(view)
    once = view.shot.frequency < 1
    assert np.isnan(days[once]).all()
    assert (days[~once] >= 0).all()
    wait = wait_within(orders, view.person, cutoff, 60)
    seen = ~np.isnan(wait) & ~once
    inside = (wait[seen] >= np.floor(days[seen, 0])) & (wait[seen] <= np.ceil(days[seen, 2]))
    assert 0.72 <= inside.mean() <= 0.9


@pytest.mark.nightly
def test_expected_spend_adds_up_to_what_came() -> None:
    orders = shop(3000, 520)
    views, cutoff = Views(orders, 60), START + 440
    view = views.at(cutoff)
    truth = spend_within(orders, view.person, cutoff, 60)
    found = ValueModel(60).fit(views, cutoff).predict(view)
    assert found.sum() == pytest.approx(truth.sum(), rel=0.15)
    assert measure.gini(truth, found) > 0.5


def test_chance_is_not_mistaken_for_a_pattern() -> None:
    orders = noise(1500, 420)
    views, cutoff = Views(orders, 60), START + 360
    view = views.at(cutoff)
    truth = no_order_within(orders, view.person, cutoff, 60)
    draws = measure.paired_bootstrap(truth, ChurnModel(60).fit(views, cutoff).predict(view), view.recency)
    assert np.percentile(draws[:, 0] - draws[:, 1], 2.5) <= 0


def test_tiers_go_by_rank() -> None:
    tier = measure.tiers(np.arange(100.0))
    assert [(tier == t).sum() for t in ("high", "medium", "low")] == [20, 30, 50]
    assert tier[99] == "high"


def test_psi_is_nothing_for_the_same_and_alarms_for_another() -> None:
    values = np.random.default_rng(1).normal(size=4000)
    assert measure.psi(values, values) < 1e-9
    assert measure.psi(values, values + 1) > 0.2


def test_where_nobody_stayed_away_the_trees_expect_what_everybody_spends() -> None:
    views = Views(shop(300, 300), 60)
    stack = Stack.of(views, [START + 200], 1000, wide=True)
    spent = np.random.default_rng(1).uniform(15, 25, len(stack.x))
    found = ValueModel(60)._boosted(stack, spent)(views.at(START + 200))
    assert found.mean() == pytest.approx(20, rel=0.1)


def test_before_the_first_order_nobody_is_known_and_nothing_fails() -> None:
    views = Views(shop(30, 100), 60)
    view = views.at(START - 5)
    assert view.shot.features.shape[0] == len(view.inputs) == len(view.order_value()) == len(view.p_no_order(60)) == 0


def test_a_reason_is_faithful_taking_the_silence_away_moves_the_risk_as_said() -> None:
    orders = shop(800, 420)
    views, cutoff = Views(orders, 60), START + 400
    view = views.at(cutoff)
    model = ChurnModel(60).fit(views, cutoff)
    value = ValueModel(60).fit(views, cutoff)
    found = moves(views, view, {"churn": model.predict, "clv": value.predict})
    silence = found["churn"]["silence"]
    edited = views.changed(view, without_silence(orders.before(cutoff), view))
    assert edited.recency == pytest.approx(usual_gap(view), abs=0.51)
    assert model.predict(view) - model.predict(edited) == pytest.approx(silence, abs=1e-12)
    assert value.predict(view) - value.predict(edited) == pytest.approx(found["clv"]["silence"], abs=1e-9)
    long_silent = view.recency > 3 * usual_gap(view)
    assert np.median(silence[long_silent]) > 0.05
