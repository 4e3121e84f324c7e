"""Every kind of score is graded when its horizon has closed, by hand-made shops whose answer can be counted on fingers."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import orjson
import pytest

from connector import score, score_grades
from connector.config import Config
from connector.score_data import EPOCH
from connector.score_outcomes import in_words
from connector.store import Store
from tests.stages.hand_shop import DAY, derive, line, new_store, order, person_of, shop_config

CUTOFF = DAY - timedelta(days=120)
LONG_AGO = DAY - timedelta(days=400)
DAYS: dict[str, tuple[tuple[int, str], ...]] = {
    "ana": ((-60, "Coffee"), (-40, "Coffee"), (-10, "Tea"), (5, "Coffee")),
    "bo": ((-40, "Tea"), (-10, "Tea"), (20, "Tea")),
    "cy": ((-10, "Tea"), (3, "Tea")),
    "di": ((-10, "Tea"),),
}
"""Whose orders, in days from the cutoff, and what was in each; 10 EUR a piece."""


@pytest.fixture
def shop() -> tuple[Store, Config]:
    store, config = new_store(), shop_config()
    for who, orders in DAYS.items():
        for ago, goods in orders:
            day = (CUTOFF + timedelta(days=ago)).isoformat()
            store.insert("orders", [order("import", f"{who}{ago}", who, day, "10.00")])
            store.insert("order_lines", [line("import", f"{who}{ago}", goods, goods, "10.00", stream="order_lines")])
    derive(store, config)
    return store, config


def put(store: Store, name: str, cutoff: date, horizon: int, rows: dict[str, dict[str, Any]], **card: Any) -> None:
    """A published score, as an earlier run would have left it."""
    kept = {"score": name, "horizon_days": horizon, "model": "m", "metrics": {}} | card
    store.insert("score_cards", [
        {"score": name, "cutoff": cutoff.isoformat(), "made_run": "r0", "is_published": True, "card": orjson.dumps(kept).decode()}
    ])  # fmt: skip
    put_rows(store, name, cutoff, rows)


def put_rows(store: Store, name: str, cutoff: date, rows: dict[str, dict[str, Any]]) -> None:
    store.insert("scores", [
        {"score": name, "person_id": person_of(store, "import", who), "cutoff": cutoff.isoformat(), "is_published": True, **row}
        for who, row in rows.items()
    ])  # fmt: skip


def grade(shop: tuple[Store, Config], name: str) -> dict[str, Any]:
    store, config = shop
    found = [g for g in score.graded(store, config, derive(store, config)) if g["score"] == name]
    assert len(found) == 1
    return dict(found[0])


def test_dates_are_graded_by_their_range_and_how_far_the_likely_day_was_off(shop: Any) -> None:
    store, _ = shop
    told = {"ana": (5, 3, 6), "bo": (10, 8, 15), "cy": (7, 1, 9), "di": (5, 1, 9)}  # what came: 5, 20, 3, nothing
    zero = (CUTOFF - EPOCH).days
    put(store, "next_order", CUTOFF, 90, {w: {"value": float(zero + t[0])} for w, t in told.items()})
    for end, i in (("next_order_lo", 1), ("next_order_hi", 2)):
        put_rows(store, end, CUTOFF, {w: {"value": float(zero + t[i])} for w, t in told.items()})
    found = grade(shop, "next_order")
    assert (found["n"], found["came_back"]) == (4, 3)
    assert found["inside_80"]["value"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["median_days_off"]["value"] == 4  # 0, 10 and 4
    assert not found["has_decayed"], "three people prove nothing"
    assert "of 3 people who had a date and ordered, 66.7% (" in in_words(found)[0] and "at most 4.0 (" in in_words(found)[0]


def test_recommendations_are_graded_by_who_bought_one_of_them_against_the_bestsellers_of_that_day(shop: Any) -> None:
    store, _ = shop
    ids = {"ana": "coffee", "bo": "coffee", "cy": "tea", "di": "tea"}
    put(store, "recommendations", CUTOFF, 30, {
        w: {"value": 1.0, "tier": "rule" if w == "cy" else "", "reasons": orjson.dumps([{"product_id": i, "title": i}]).decode()}
        for w, i in ids.items()
    })  # fmt: skip
    found = grade(shop, "recommendations")
    assert found["came_back"] == 2, "cy was given the bestsellers, and di did not order"
    assert (found["right"]["value"], found["rule_right"]["value"]) == (0.5, 1.0)
    assert "of 2 customers who ordered, 50.0% (" in in_words(found)[0]
    assert "of the ten bestsellers of that day 100.0% (" in in_words(found)[0]


def test_next_category_is_graded_by_the_next_order_against_what_was_bought_most(shop: Any) -> None:
    store, _ = shop
    told = {"ana": ("Coffee", 0.9), "bo": ("Coffee", 0.6), "cy": ("Tea", 0.6), "di": ("Tea", 0.7)}
    put(store, "next_category", CUTOFF, 90, {w: {"tier": t, "value": v} for w, (t, v) in told.items()})
    found = grade(shop, "next_category")
    assert found["came_back"] == 3 and found["expected"] == pytest.approx(0.7)
    assert found["right"]["value"] == pytest.approx(2 / 3, abs=1e-4) and found["rule_right"]["value"] == 1
    assert found["difference"]["value"] == pytest.approx(-1 / 3, abs=1e-4)
    assert "of 3 people who came back (70.0% expected); the category bought most often so far for 100.0%" in in_words(found)[0]


def test_a_category_that_is_named_no_more_is_left_out(shop: Any) -> None:
    store, config = shop
    put(store, "next_category", CUTOFF, 90, {"ana": {"tier": "Cocoa", "value": 0.5}})
    assert not score.graded(store, config, derive(store, config))


def test_a_years_value_is_graded_by_its_total_its_ranking_and_its_tiers(shop: Any) -> None:
    store, _ = shop
    told = {"ana": (48.0, "high"), "bo": (20.0, "medium"), "cy": (30.0, "medium"), "di": (12.0, "low")}  # 40, 30, 20, 10 came
    put(store, "clv_365d", LONG_AGO, 365, {w: {"value": v, "tier": t} for w, (v, t) in told.items()})
    found = grade(shop, "clv_365d")
    assert (found["expected"], found["realised"], found["total_error"]) == (27.5, 25.0, 0.1)
    assert 0 < found["gini"] < 1, "bo and cy stand the wrong way round"
    assert [(t["tier"], t["people"], t["expected"], t["realised"]) for t in found["tiers"]] == [
        ("high", 1, 48.0, 40.0), ("medium", 2, 25.0, 25.0), ("low", 1, 12.0, 10.0),
    ]  # fmt: skip
    said = in_words(found)
    assert "27.50 each expected, 25.00 came (the total was off by +10.0%)" in said[0]
    assert said[1].startswith(
        "By the tier they were given then: high: 48.00 expected, 40.00 (40.00 to 40.00) each came; medium"
    )


def test_chances_are_told_by_the_tier_they_were_given_then(shop: Any) -> None:
    store, _ = shop
    told = {"di": (0.9, "high"), "bo": (0.4, "low"), "cy": (0.2, "low"), "ana": (0.3, "low")}
    put(store, "churn", CUTOFF, 30, {w: {"value": v, "tier": t} for w, (v, t) in told.items()})
    found = grade(shop, "churn")
    assert (found["auc"], found["realised"]) == (1.0, 0.25)
    assert (
        "high: 90.0% expected, 100.0% (" in in_words(found)[1] and "low: 30.0% expected, 0.0% (0.0% to " in in_words(found)[1]
    )


def test_what_is_no_better_than_the_rule_raises_an_alarm_in_its_own_words() -> None:
    right = {"value": 0.2, "lo": 0.1, "hi": 0.3}
    graded = {"score": "recommendations", "cutoff": "2026-03-01", "closed": "2026-03-30", "came_back": 90, "right": right,
              "rule_right": right, "has_decayed": True, "inputs": [], "score_psi": None}  # fmt: skip
    assert score_grades._lines(graded, "rule")[1] == (
        "Alarm: that is less than it must be to be of use. The simple rule is used from today."
    )
    assert score_grades._lines(graded, "refused")[1].endswith("From today none is given.")
