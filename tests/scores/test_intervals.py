"""How sure a card's figures are: against drawing people again the plain way, against known shares, and in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from connector.score_parts import grade, interval, money_intervals, over_rule, tier_table
from connector.score_words import at_the_cut, lead, off_by, sure
from models.scores import intervals, measure


def chances(people: int, *, seed: int = 1, ties: bool = True) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    probability = np.round(random.random(people), 2 if ties else 9)
    return random.random(people) < probability, probability


PLAIN: dict[str, Callable[[Any, Any], float]] = {
    "average_precision": measure.average_precision,
    "ece": lambda t, p: measure.calibration(t, p)[0],
    "brier": lambda t, p: float(np.mean((p - t) ** 2)),
    "lift20": measure.lift,
}


@pytest.mark.parametrize("figure", PLAIN)
def test_draws_by_weights_spread_as_people_drawn_again_do(figure: str) -> None:
    truth, p = chances(800, ties=figure != "ece")  # which of equal ones stand in which tenth is arbitrary
    random, plain = np.random.default_rng(3), []
    for _ in range(1000):
        pick = random.integers(0, 800, 800)
        plain.append(PLAIN[figure](truth[pick], p[pick]))
    ours = intervals.of_chances(truth, p, draws=1000)[figure]
    assert ours.mean() == pytest.approx(np.mean(plain), rel=0.05)
    assert ours.std() == pytest.approx(np.std(plain), rel=0.12)


def test_nineteen_of_twenty_intervals_hold_what_is_true() -> None:
    inside = {"brier": 0, "lift20": 0}
    truth, p = chances(100_000, seed=9)
    true = {"brier": float(np.mean(p * (1 - p))), "lift20": measure.lift(truth, p)}
    for n in range(200):
        t, q = chances(400, seed=100 + n)
        for name, draws in intervals.of_chances(t, q).items():
            if name in inside:
                found = intervals.bounds(draws)
                inside[name] += found["lo"] <= true[name] <= found["hi"]
    assert all(180 <= held <= 199 for held in inside.values()), inside


def test_a_share_has_wilsons_interval_also_where_nobody_or_everybody_did_it() -> None:
    assert intervals.wilson(10, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert intervals.wilson(0, 50) == pytest.approx((0.0, 0.0713), abs=1e-4)
    assert intervals.wilson(50, 50) == pytest.approx((0.9287, 1.0), abs=1e-4)
    assert np.isnan(intervals.wilson(0, 0)).all()


def test_the_calibration_error_of_a_card_lies_within_its_own_interval() -> None:
    truth, p = chances(3000)
    metrics, _ = grade(truth, p, p)
    found = metrics["intervals"]["ece"]
    assert intervals.of_chances(truth, p)["ece"].mean() > 1.1 * metrics["ece"], "drawing again pushes it up"
    assert 0 <= found["lo"] <= metrics["ece"] <= found["hi"]
    for name in PLAIN:
        assert metrics["intervals"][name]["lo"] <= metrics[name] <= metrics["intervals"][name]["hi"]


def test_precision_and_recall_are_those_of_the_tier_high() -> None:
    truth, p = chances(1000)
    metrics, _ = grade(truth, p, p)
    high = metrics["high_tier"]
    named = measure.tiers(p) == "high"
    assert high["people"] == 200
    assert high["precision"]["value"] == pytest.approx(truth[named].mean(), abs=1e-4)
    assert high["recall"]["value"] == pytest.approx(truth[named].sum() / truth.sum(), abs=1e-4)
    assert high["recall"]["lo"] < high["recall"]["value"] < high["recall"]["hi"]
    said = at_the_cut(metrics, "ordered")
    assert said[0].startswith(f"Called high: 200 people. {sure(high['precision']['value'], high['precision'])} of them ordered")
    assert f"{sure(high['recall']['value'], high['recall'])} of all who ordered" in said[0]
    assert off_by(metrics).count("%") == 3 and " to " in off_by(metrics)


def test_a_tier_of_people_has_a_share_and_a_tier_of_money_a_mean_each_with_bounds() -> None:
    truth, p = chances(1000)
    spent = np.where(truth, np.random.default_rng(2).gamma(2, 30, 1000), 0.0)
    tier = measure.tiers(p)
    for row, realised in ((tier_table(tier, p, truth)[0], truth), (tier_table(tier, 60 * p, spent)[0], spent)):
        top = np.asarray(realised)[tier == "high"].astype(float)
        error = 1.96 * top.std() / np.sqrt(len(top))
        assert row["realised"] == pytest.approx(top.mean(), abs=1e-4)
        assert (row["hi"] - row["lo"]) / 2 == pytest.approx(error, rel=0.2)


def test_the_total_that_was_expected_has_an_interval_that_holds_it() -> None:
    truth, p = chances(1000)
    spent = np.where(truth, np.random.default_rng(2).gamma(2, 30, 1000), 0.0)
    found = money_intervals(spent, 66 * p)["total_error"]
    assert found["lo"] < 66 * p.sum() / spent.sum() - 1 < found["hi"] < found["lo"] + 0.3
    assert np.isnan(money_intervals(np.zeros(9), np.ones(9))["total_error"]["lo"]), "of nothing there is no share"


def test_the_same_people_give_the_same_interval_in_a_large_shop_too() -> None:
    truth, p = chances(100_000)
    found = intervals.of_chances(truth, p)
    assert all((found[k] == v).all() for k, v in intervals.of_chances(truth, p).items())


def test_a_figure_is_said_with_its_bounds_and_alone_where_there_are_none() -> None:
    assert sure(0.781, {"lo": 0.76, "hi": 0.804}, ".2f") == "0.78 (0.76 to 0.80)"
    assert sure(0.781, {}, ".2f") == "0.78"


@pytest.mark.parametrize(
    ("value", "lo", "hi", "form", "said"),
    [
        (0.011, 0.0004, 0.0223, "+.3f", "+0.0110 (95 % interval +0.0004 to +0.0223)"),
        (0.011, -0.0004, 0.0223, "+.3f", "+0.0110 (95 % interval -0.0004 to +0.0223)"),
        (0.011, 0.002, 0.0223, "+.3f", "+0.011 (95 % interval +0.002 to +0.022)"),
        (0.011, 0.0, 0.0223, "+.3f", "+0.011 (95 % interval +0.000 to +0.022)"),
        (0.0004, 0.0001, 0.0008, ".3f", "0.0004 (95 % interval 0.0001 to 0.0008)"),
        (0.02, 0.00002, 0.04, "+.1%", "+2.000% (95 % interval +0.002% to +4.000%)"),
        (float("nan"), float("nan"), 0.04, "+.3f", "+nan (95 % interval +nan to +0.040)"),
    ],
)
def test_a_lead_just_above_zero_does_not_read_as_none(value: float, lo: float, hi: float, form: str, said: str) -> None:
    assert lead({"value": value, "lo": lo, "hi": hi}, form) == said


def test_whoever_reads_a_card_sees_whether_the_lead_that_decides_is_above_zero() -> None:
    for windows in (1, 4):
        assert "+0.0110 (95 % interval +0.0004 to" in over_rule({"value": 0.011, "lo": 0.0004, "hi": 0.0223}, windows)
    assert sure(0.0004, {"lo": -0.0123, "hi": 0.012}, "+.1%") == "+0.04% (-1.23% to +1.20%)"
    assert str(interval(np.array([-0.00001, 0.0, 0.00001]), -0.00002)) == "{'value': 0.0, 'lo': 0.0, 'hi': 0.0}"
