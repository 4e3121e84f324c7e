"""Uplift: only from people held out by lot, and only where the ranking is better than chance."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from connector import uplift
from connector.identity import identify
from models.scores.uplift import UpliftModel, qini, unfit
from tests.stages.hand_shop import contact, new_store, person_of, shop_config

sys.path.insert(0, str(Path(__file__).parent))
from simulated_habits import hold_out  # a helper beside the test, found by the line above


def test_who_is_moved_by_a_mail_is_found_where_people_were_held_out_by_lot() -> None:
    inputs, treated, ordered = hold_out(6000, lift=0.35)
    model = UpliftModel().fit(inputs, treated, ordered)
    assert model.effect_.is_rankable
    assert model.effect_.mean[1] < 0.35 * 0.31 < model.effect_.mean[2]
    moved = inputs[:, 0] > 0.5
    found = model.predict(inputs)
    assert found[moved].mean() - found[~moved].mean() > 0.15


def test_where_a_mail_moves_nobody_nobody_is_named() -> None:
    rankable = [UpliftModel().fit(*hold_out(2500, lift=0.0, seed=s)).effect_.is_rankable for s in range(6)]
    assert sum(rankable) <= 1


def test_a_hold_out_that_was_chosen_and_not_drawn_is_refused() -> None:
    assert "not drawn by lot" in unfit(*hold_out(3000, by_lot=False))
    assert unfit(*hold_out(3000)) == ""


def test_too_few_people_or_orders_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="200 of each"):
        UpliftModel().fit(*hold_out(300))
    inputs, treated, _ = hold_out(3000)
    assert "50 of each" in unfit(inputs, treated, np.zeros(3000, dtype=bool))
    assert "did not order" in unfit(inputs, treated, np.ones(3000, dtype=bool))


def test_a_hold_out_may_be_told_by_yes_and_no_and_any_other_word_is_no_answer() -> None:
    store = new_store()
    words = ("true", "Yes", "1", "false", "no", "0", "maybe")
    store.insert("contacts", [
        contact("import", w, attributes=json.dumps({"hold_out": w, "hold_out_on": "2026-01-05"})) for w in words
    ])  # fmt: skip
    identify(store, shop_config())
    drawn = {c: held for c in words for p, (held, _) in uplift._draw(store).items() if p == person_of(store, "import", c)}
    assert drawn == dict.fromkeys(("true", "Yes", "1"), True) | dict.fromkeys(("false", "no", "0"), False)


def test_a_ranking_by_lot_has_no_area() -> None:
    _, treated, ordered = hold_out(4000, lift=0.3)
    areas = [qini(np.random.default_rng(s).random(4000), treated, ordered) for s in range(20)]
    assert abs(np.mean(areas)) < 0.01
