"""What a judge from outside saw: files with nobody missing, rules that are told from forecasts, offers beside simple ones."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from connector import score, score_churn, score_files, score_reasons, score_value
from connector.config import Config
from connector.score_data import EPOCH, ShopData, load
from connector.score_parts import Scored, decided
from connector.score_watch import ready
from connector.store import Store
from models.scores import measure
from models.scores.btyd import BetaGeoFitter
from models.scores.churn import ChurnModel
from models.scores.history import Lines, Orders, no_order_within
from models.scores.next_order import NextOrderModel
from models.scores.recommend import Recommender, bestsellers, bought_of
from models.scores.views import Views
from models.segments import AsOf
from tests.stages.hand_shop import DAY, contact, derive, new_store, order, shop_config

sys.path.insert(0, str(Path(__file__).parent))
from simulated_shop import START, shop, table  # a helper beside the test, found by the line above


def data_of(orders: Orders, cutoff: int) -> ShopData:
    past = orders.before(cutoff)
    people = np.unique(past.person)
    known = Orders.of(np.searchsorted(people, past.person).astype(np.int64), past.day, past.amount)
    return ShopData([str(p) for p in people], known, None, [], cutoff, EPOCH + timedelta(days=cutoff), "EUR")


def box(customers: int, days: int) -> Orders:
    """A subscription box: an order every 30 days, give or take one, until somebody leaves."""
    random = np.random.default_rng(4)
    rows = []
    for person in range(customers):
        day, quits = int(random.integers(0, days - 20)), random.beta(1, 10)
        while day < days:
            rows.append((person, START + day, 20.0))
            if random.random() < quits:
                break
            day += 30 + int(random.integers(-1, 2))
    return table(rows)


def test_a_lead_that_one_window_cannot_show_is_looked_for_in_earlier_ones_and_a_clear_one_is_not() -> None:
    random = np.random.default_rng(2)

    def window(n: int) -> measure.Window:
        truth = random.random(120) < 0.5
        return measure.Window(np.arange(120), truth, truth + random.normal(0, 1.2, 120), truth + random.normal(0, 1.7, 120))

    unsure = {"value": 0.05, "lo": -0.04, "hi": 0.14}
    found, windows = decided(unsure, window(0), window, measure.auc)
    assert windows == 4 and found["hi"] - found["lo"] < 0.14
    assert decided({"value": 0.05, "lo": 0.01, "hi": 0.09}, window(0), window, measure.auc)[1] == 1
    assert decided(unsure, window(0), lambda n: None, measure.auc) == (unsure, 1)


def test_where_windows_are_the_same_people_over_again_they_show_no_more_than_one() -> None:
    random = np.random.default_rng(2)
    truth = random.random(200) < 0.5
    one = measure.Window(np.arange(200), truth, truth + random.normal(0, 1.2, 200), truth + random.normal(0, 1.7, 200))
    alone, thrice = (np.subtract(*measure.paired_windows([one] * n, measure.auc).T).std() for n in (1, 3))
    assert thrice == pytest.approx(alone, rel=1e-9)


def test_the_rule_in_place_of_a_churn_score_keeps_its_ranks_and_says_the_share_that_stayed_away() -> None:
    orders, cutoff = shop(400, 420), START + 360
    data = data_of(orders, cutoff)
    found = score_churn.rule(data, 60)
    view = Views(data.orders, 60).at(cutoff)
    truth = no_order_within(orders, np.unique(orders.before(cutoff).person), cutoff, 60)
    assert measure.auc(truth, found) == pytest.approx(measure.auc(truth, view.recency), abs=1e-12)
    assert measure.calibration(truth, found)[0] < 0.07


def test_the_rule_in_place_of_a_value_adds_up_to_what_a_shop_takes_and_not_to_all_who_ever_bought() -> None:
    orders, cutoff = shop(90, 420), START + 360
    data = data_of(orders, cutoff)
    found = score_value.value(data, Views(data.orders, 60), 60)
    assert found.card["status"] == "refused" and found.value is not None
    known = data.orders
    assert found.value.sum() == pytest.approx(known.amount[known.day >= cutoff - 60].sum())


def test_where_no_money_came_of_late_the_rule_goes_by_the_last_year_and_promises_nothing_after_a_year_of_none() -> None:
    orders = shop(90, 420)
    last = int(orders.day.max())

    def total(days_later: int) -> float:
        data = data_of(orders, last + days_later)
        return float(score_value.rule(data, Views(data.orders, 60), 60).sum())

    assert total(100) == pytest.approx(orders.amount[orders.day >= last + 100 - 365].sum() * 60 / 365)
    assert total(400) == 0


def test_nobody_is_expected_to_bring_less_than_nothing() -> None:
    data = data_of(table([(0, START, 50.0), (0, START + 5, -80.0), (1, START + 6, 10.0)]), START + 30)
    views = Views(data.orders, 60)
    assert score_value.rule(data, views, 60).tolist()[0] == 0 < score_value.rule(data, views, 60).tolist()[1]
    assert score_value._repeated(views, views.at(START + 30), 60).tolist() == [0, 10]


def test_days_in_reasons_are_counted_as_in_the_profile_also_where_the_day_that_has_begun_counts_as_past() -> None:
    rows = [(p, START + 300 - late, 20.0) for p, late in enumerate((1, 2, 95)) for late in (late, late + 31)]
    data = replace(data_of(table(rows), START + 300), day=EPOCH + timedelta(days=START + 299))
    scored = Scored({"score": "churn", "is_published": True}, np.full(3, 0.5), judge=lambda view: view.recency / 100)
    texts = [r[0].partition(",")[0] for r in score_reasons.tell(data, Views(data.orders, 60), [scored])[0].reasons or []]
    assert texts == ["ordered today", "no order for 1 day", "no order for 94 days"]


def test_where_people_buy_by_the_calendar_the_learned_dates_are_taken() -> None:
    views, cutoff = Views(box(620, 380), 60), START + 340
    model = NextOrderModel(60).fit(views, cutoff)
    assert model.rung_ == "middle" and model.trees_ is not None


def test_where_people_buy_by_the_calendar_a_shop_of_hundreds_leaves_the_repeat_buying_model_out() -> None:
    assert ChurnModel(60).fit(Views(box(620, 380), 60), START + 340).kind_ == "logistic"


@pytest.mark.nightly
def test_a_large_shop_that_is_as_the_repeat_buying_model_says_is_told_by_its_mean_with_the_regression() -> None:
    views, cutoff = Views(shop(2600, 620, seed=1), 60), START + 560
    assert ChurnModel(60).fit(views, cutoff).kind_ == "middle"


def bought(rows: list[tuple[int, int, int]]) -> Lines:
    person, day, product = (np.array(c, dtype=np.int64) for c in zip(*rows, strict=True))
    return Lines.of(person, day, product, np.ones(len(rows)), np.ones(len(rows)))


def test_own_repeats_are_offered_however_many_products_the_shop_has() -> None:
    rows = [(p, 1000 + d, 4000 + p) for p in range(5) for d in (0, 60)]
    rows += [(100 + 200 * n + p // 20, 1010 + 10 * n, p) for p in range(3500) for n in range(3)]
    offers = Recommender().fit(bought(rows), 1080).predict()
    assert [offers.product[i, 0] for i in range(5)] == [4000 + p for p in range(5)]


def test_goods_that_are_bought_once_are_not_offered_to_who_has_them() -> None:
    random = np.random.default_rng(6)
    rows: list[tuple[int, int, int]] = []
    for person in range(400):
        kind = int(random.integers(4))
        mine = random.permutation(15)[: 2 + int(random.integers(6))]
        rows += [(person, 1000 + int(random.integers(400)), kind * 15 + int(p)) for p in mine]
    lines, cutoff = bought(rows), 1370
    offers = Recommender().fit(lines, cutoff).predict()
    past = {(p, i) for p, i in zip(lines.before(cutoff).person.tolist(), lines.before(cutoff).product.tolist(), strict=True)}
    assert not any((p, i) in past for p, row in zip(offers.person.tolist(), offers.product.tolist(), strict=True) for i in row)
    ours = bought_of(offers, lines, cutoff, 30).mean()
    assert ours > bought_of(bestsellers(lines, cutoff, offers.person), lines, cutoff, 30).mean()


def stored(currency: Callable[[int], str], customers: int) -> tuple[Store, Config, AsOf]:
    """Five orders each within 150 days, the customer's all in one currency."""
    store, config = new_store(), shop_config()
    people = [contact("import", f"c{i}") for i in range(customers)]
    store.insert("contacts", people)
    store.insert("orders", [
        order("import", f"o{i}", f"c{i % customers}", (DAY - timedelta(days=1 + i % 150)).isoformat(), "20.00",
              currency=currency(i % customers))
        for i in range(5 * customers)
    ])  # fmt: skip
    return store, config, derive(store, config)


def test_amounts_are_taken_in_the_currency_of_nearly_all_orders_whatever_the_configuration_says() -> None:
    data = load(*stored(lambda p: "USD" if p % 40 == 0 else "GBP", 120))
    assert data.currency == "GBP" and not data.refusal
    assert data.orders.amount.sum() == 20 * 5 * 117
    assert data.notes[0].startswith("Nearly all orders are in GBP, not in the shop's currency EUR")


def test_who_paid_in_another_currency_has_a_row_that_says_refused_and_no_value_of_zero(tmp_path: Path) -> None:
    store, config, moment = stored(lambda p: "USD" if p % 3 == 0 else "EUR", 60)
    score.train_and_score(store, config, moment, "r1", horizon_days=60)
    score_files.write(store, config, moment, tmp_path, 60)
    with (tmp_path / "clv.csv").open(newline="") as file:
        found = {r["customer_id"]: r for r in csv.DictReader(file)}
    assert len(found) == 60
    assert (found["c3"]["score"], found["c3"]["status"]) == ("", "refused")
    assert float(found["c4"]["score"]) > 0 and found["c4"]["status"] == score_files.RULE


def test_readiness_and_the_card_agree_where_the_shop_has_grown_too_lately_for_a_check() -> None:
    store, config = new_store(), shop_config()
    store.insert("contacts", [contact("import", f"c{i}") for i in range(120)])
    rows = [(p, d) for p in range(80) for d in (300, 200)] + [(p, 20 + k) for p in range(80, 120) for k in (0, 9)]
    store.insert("orders", [
        order("import", f"o{i}", f"c{p}", (DAY - timedelta(days=d)).isoformat(), "20.00") for i, (p, d) in enumerate(rows)
    ])  # fmt: skip
    moment = derive(store, config)
    said = {s["score"]: s for s in ready(store, config, moment)}
    cards = {c["score"]: c for c in score.train_and_score(store, config, moment, "r1")}
    for name in ("churn", "clv", "purchase_30d", "next_order", "clv_365d"):
        assert not said[name]["is_ready"] and not cards[name]["is_published"]
    assert "(80 on 2026-04-02)" in said["churn"]["lacks"][0]
    assert "100 customers with an order are needed (80 on 2026-04-02)" in cards["churn"]["lines"][0]


def test_orders_are_expected_of_people_who_never_leave() -> None:
    model = BetaGeoFitter()
    model.r_, model.alpha_, model.a_, model.b_ = 0.5, 30.0, 1.0, 160_000.0
    frequency = np.array([0.0, 1.0, 5.0])
    found = model.expected_orders(frequency, 20 * frequency, np.full(3, 200.0), 90.0)
    assert found == pytest.approx((0.5 + frequency) / 230 * 90, rel=0.01)
