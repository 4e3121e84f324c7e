"""Reasons of a year's value, of the next category and of a group: what is said is true of the model, and is said in words."""

from __future__ import annotations

import json
import re
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from connector import discover, discover_names, score
from connector.profile import build
from connector.score_data import EPOCH, load
from connector.score_reasons import tell
from connector.score_year import year
from models.scores.discover import Groups, speaks_for
from models.scores.reasons import moves
from models.scores.taste import PRIOR, Bought, TasteModel, held
from models.scores.views import Views
from tests.stages.hand_shop import derive, line, new_store, order, person_of, row, shop_config

sys.path.insert(0, str(Path(__file__).parent))
from simulated_habits import three_groups  # a helper beside the test, found by the line above
from simulated_shop import START, shop

DAY = EPOCH + timedelta(days=START + 480)


def on(day: int) -> str:
    return (EPOCH + timedelta(days=int(day))).isoformat()


def test_a_years_value_has_the_reasons_of_its_own_model() -> None:
    store, config, orders = new_store(), shop_config(), shop(400, 480)
    rows = zip(orders.person.tolist(), orders.day.tolist(), orders.amount.tolist(), strict=True)
    store.insert("orders", [order("import", f"o{i}", f"c{p}", on(d), f"{a:.2f}") for i, (p, d, a) in enumerate(rows)])
    data = load(store, config, derive(store, config, DAY))
    views = Views(data.orders, 90)
    made = year(data, views)
    assert made.card["is_published"], made.card["lines"]
    assert made.judge is not None and made.value is not None
    told = tell(data, views, [made])[0]
    assert told.reasons is not None and sum(map(bool, told.reasons)) > 200
    view = views.at(data.cutoff)
    table = moves(views, view, {"clv_365d": made.judge})["clv_365d"]
    for i, texts in enumerate(told.reasons):
        largest = max((abs(m[i]) for m in table.values()), default=0.0)
        if texts:
            assert re.search(r"\((adds|takes off) ([\d,]+\.\d\d) EUR\)$", texts[0])
            assert f"{largest:,.2f} EUR" in texts[0]
        else:
            assert largest < max(0.05 * made.value[i], 0.01)


def choices() -> Bought:
    """0: six days, four with category 1. 1: long ago category 1, once lately 0. 2: a single day with category 0."""
    rows = [(0, 10 * d, int(d > 1)) for d in range(6)] + [(0, 50, 0)] + [(1, 1, 1), (1, 2, 1)] + [(2, 55, 0)]
    person, day, category = np.array(rows, dtype=np.int64).T
    return Bought.of(person, day, category)


def test_what_a_category_owes_to_ones_own_purchases_is_what_its_chance_loses_without_them() -> None:
    bought, cutoff = choices(), 60
    model = TasteModel().fit(bought, cutoff)
    best, chance = model.predict()
    part = model.own_part(best)
    for i, person in enumerate(model.person_):
        days = np.unique(bought.day[bought.person == person])
        weight = float(np.sum(0.5 ** ((cutoff - days) / 120)))
        without = PRIOR * model.mix_[best[i]] / (weight + PRIOR)
        assert chance[i] - part[i] == pytest.approx(min(without, 1))
    assert best.tolist() == [1, 1, 0]
    lately, of, ever = held(bought, model.person_, best, cutoff, 6)
    assert (lately.tolist(), of.tolist(), ever.tolist()) == ([4, 2, 1], [6, 2, 1], [4, 2, 1])
    assert [c.tolist() for c in held(bought, model.person_, best, cutoff, 1)] == [[1, 1, 1], [1, 1, 1], [4, 2, 1]]


def test_the_next_category_says_how_often_it_was_bought_lately() -> None:
    store, config, random = new_store(), shop_config(), np.random.default_rng(4)
    number = 0
    for p in range(160):  # tastes change once: what is bought most is not what comes next
        for n in range(8):
            goods = ("Tea", "Coffee")[(p + (n >= 3)) % 2] if p % 4 else "Tea"
            ago = 480 - 20 * n if n < 3 else 25 * (8 - n) - 20
            day = DAY - timedelta(days=ago - int(random.integers(0, 5)))
            store.insert("orders", [order("import", f"o{number}", f"c{p}", day.isoformat(), "10.00")])
            store.insert("order_lines", [line("import", f"o{number}", goods, goods, "10.00", stream="order_lines")])
            number += 1
    moment = derive(store, config, DAY)
    card = next(c for c in score.train_and_score(store, config, moment, "r1") if c["score"] == "next_category")
    assert card["is_published"], card["lines"]
    build(store, config, moment)
    shown = row(store, "import", "c1")
    assert shown["next_category"] == "Tea"
    said = shown["next_category_reasons"][0]
    assert re.fullmatch(r"5 of the last 6 order days held Tea \(raises the chance by \d+%\)", said)
    assert row(store, "import", "c4")["next_category_reasons"][0].startswith("6 of the last 6 order days held Tea")


def test_a_group_says_which_habits_draw_a_person_to_it_and_what_others_have() -> None:
    store, config, (orders, _) = new_store(), shop_config(), three_groups(240)
    rows = zip(orders.person.tolist(), orders.day.tolist(), orders.amount.tolist(), strict=True)
    store.insert("orders", [order("import", f"o{i}", f"c{p}", on(d), f"{a:.2f}") for i, (p, d, a) in enumerate(rows)])
    moment = derive(store, config, EPOCH + timedelta(days=START + 395))
    card = discover.run(store, config, moment, "r1")["groups"]
    assert card["groups"]
    found = [(p, json.loads(r)) for p, r in store.sql("SELECT person_id, reasons FROM scores WHERE score = 'cluster'")]
    assert all(len(texts) <= 3 for _, texts in found) and sum(bool(t) for _, t in found) > 0.9 * len(found)
    assert all(", where other groups have " in text for _, texts in found for text in texts)
    build(store, config, moment)
    mine = person_of(store, "import", "c0")
    shown, texts = row(store, "import", "c0"), dict(found)[mine]
    assert shown["cluster_reasons"] == texts != []
    for text in texts:
        if text.split(",")[0].endswith("orders"):
            assert text.startswith(f"{shown['orders_total']} orders, ")
        if " an order, " in text:
            assert text.startswith(f"{float(shown['aov']):,.2f} EUR an order, ")


def test_the_habit_that_tells_a_group_apart_comes_first_and_one_that_speaks_against_it_is_not_told() -> None:
    table = np.array([[9.0, 10.0], [9.0, 12.0], [1.0, 10.0], [1.0, 12.0]])
    columns, label = ("orders_total", "days_since_order"), np.array([0, 0, 1, 1])
    logged = np.log1p(table)
    centres = np.array([np.median(logged[label == g], axis=0) for g in (0, 1)])
    draws, others = speaks_for(table, Groups(columns, label, centres, logged.std(axis=0)))
    assert others.tolist() == [[1, 11], [9, 11]]
    assert draws[0, 0] == pytest.approx(4) and abs(draws[0, 1]) < 0.1
    said = discover_names.reasons(table, columns, label, draws, others, "EUR")
    assert said[0] == ["9 orders, where other groups have 1 order"]
    assert said[2] == ["1 order, where other groups have 9 orders"]
