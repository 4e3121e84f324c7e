"""Which of the scores that are kept are in use: the newest card decides, the owner may go back, old ones are thinned."""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from connector import ask, score, score_grades, score_watch
from connector.clock import as_of
from connector.config import Config
from connector.profile import build
from connector.score_data import EPOCH, Checked, ShopData, load
from connector.score_parts import Scored
from connector.segment import evaluate, resolve
from connector.store import Store
from models.errors import UsageError
from models.scores.history import Orders
from models.scores.views import Views
from tests.stages.hand_shop import DAY, contact, derive, new_store, order, person_of, row, shop_config
from tests.stories.story import rollcall

sys.path.insert(0, str(Path(__file__).parent))
import simulated_shop  # a helper beside the test, found by the line above

RISK = {"name": "At risk", "where": "churn_tier = 'high'", "push": []}


def put(
    store: Store, name: str, day: date, *, run: str = "r1", is_published: bool = True, horizon: int = 90, **more: Any
) -> None:
    """A card, and a row of everybody, as `score` would leave them."""
    card = {"score": name, "title": name, "cutoff": day.isoformat(), "lines": [f"of {day}"], "horizon_days": horizon, "n": 2,
            "model": f"of {day}", "confidence": "low", "is_published": is_published, "status": "published"}  # fmt: skip
    store.insert("score_cards", [
        {"score": name, "cutoff": day.isoformat(), "made_run": run, "is_published": is_published, "card": orjson.dumps(card).decode()}
    ])  # fmt: skip
    for score_name in (name, *((f"{name}_lo", f"{name}_hi") if name == "next_order" else ())):
        store.insert("scores", [
            {"score": score_name, "person_id": p, "value": 0.5, "tier": "high", "reasons": "[]", "cutoff": day.isoformat(),
             "horizon_days": horizon, "is_published": is_published, **more}
            for (p,) in store.sql("SELECT person_id FROM people")
        ])  # fmt: skip


@pytest.fixture
def shop() -> tuple[Store, Config]:
    """Two people whose last order is 41 days old: whatever is trained on this day is refused."""
    store, config = new_store(), shop_config(RISK)
    store.insert("contacts", [contact("import", c, email=f"{c}@shop.example") for c in ("ana", "bo")])
    store.insert("orders", [
        order("import", f"{c}{ago}", c, (DAY - timedelta(days=ago)).isoformat(), "20.00") for c in ("ana", "bo") for ago in (41, 200)
    ])  # fmt: skip
    derive(store, config)
    return store, config


def test_what_is_refused_today_is_missing_and_last_months_value_does_not_stay(shop: Any) -> None:
    store, config = shop
    earlier = DAY - timedelta(days=20)
    for name in ("churn", "next_order"):
        put(store, name, earlier)
    build(store, config, as_of(DAY, config.shop.timezone))
    assert evaluate(store, config, resolve(config), as_of(DAY, config.shop.timezone), "r1")[0].is_ready
    assert row(store, "import", "ana")["churn_probability"] == 0.5 and row(store, "import", "ana")["next_order_from_on"]
    score.train_and_score(store, config, as_of(DAY, config.shop.timezone), "r2")
    build(store, config, as_of(DAY, config.shop.timezone))
    shown = row(store, "import", "ana")
    names = ("churn_probability", "churn_tier", "churn_model", "next_order_on", "next_order_from_on", "next_order_until_on")
    assert [shown[n] for n in names] == [None] * 6
    found = evaluate(store, config, resolve(config), as_of(DAY, config.shop.timezone), "r2")[0]
    assert not found.is_ready and "needs the score churn, and none is published" in found.not_ready, (
        "so no tag is taken away for it"
    )
    build(store, config, as_of(earlier, config.shop.timezone))
    assert row(store, "import", "ana")["churn_probability"] == 0.5, "on that day it was published"


def test_a_back_test_of_long_ago_is_not_the_card_in_use(shop: Any) -> None:
    store, _ = shop
    put(store, "churn", DAY, run="r1")
    put(store, "churn", date(2024, 1, 1), run="r2")
    assert [c["cutoff"] for c in score.cards(store)] == [DAY.isoformat()]
    assert [c["cutoff"] for c in score.cards(store, date(2025, 1, 1))] == ["2024-01-01"]


def test_going_back_is_to_the_published_one_before_whose_horizon_is_not_over(shop: Any) -> None:
    store, config = shop
    days = [DAY - timedelta(days=n) for n in (0, 7, 14, 21)]
    put(store, "next_order", days[0])
    put(store, "next_order", days[1], is_published=False)
    put(store, "next_order", days[2])
    put(store, "next_order", date(2024, 1, 1), run="r9")
    assert score.rollback(store, "next_order") == days[2].isoformat()
    build(store, config, as_of(DAY, config.shop.timezone))
    shown = row(store, "import", "bo")
    assert shown["next_order_cutoff_on"] == days[2] and shown["next_order_on"] and shown["next_order_until_on"]
    with pytest.raises(UsageError, match="what it foretold is over"):
        score.rollback(store, "next_order")
    put(store, "churn", days[2])
    put(store, "churn", days[0], is_published=False)
    with pytest.raises(UsageError, match="was not published, so there is nothing to take back"):
        score.rollback(store, "churn")
    with pytest.raises(UsageError, match="no score 'churm'"):
        score.rollback(store, "churm")


def test_what_was_taken_back_is_not_made_again_until_the_owner_asks(shop: Any) -> None:
    store, config = shop
    put(store, "churn", DAY - timedelta(days=7))
    put(store, "churn", DAY - timedelta(days=1))
    kept = score.rollback(store, "churn")
    moment = as_of(DAY, config.shop.timezone)
    data, fresh = load(store, config, moment), {"score": "churn", "is_published": True, "horizon_days": 90}
    assert score_watch.stay(store, data, fresh).startswith(f"Not used: you went back to the one of {kept}.")
    assert score_watch.stay(store, data, {**fresh, "score": "clv"}) == ""
    assert "went back to this one" in score.cards(store)[0]["lines"][-1]
    later = load(store, config, as_of(DAY + timedelta(days=83), config.shop.timezone))
    assert score_watch.stay(store, later, fresh) == "", "what it foretold is over"
    score_watch.lift(store, as_of(date(2024, 1, 1), config.shop.timezone))
    assert score_watch.held(store) == {"churn": kept}, "a back-test lifts nothing"
    score_watch.lift(store, moment)
    assert score_watch.stay(store, data, fresh) == ""


def test_a_refusal_takes_the_place_of_what_the_owner_went_back_to(shop: Any) -> None:
    store, config = shop
    put(store, "churn", DAY - timedelta(days=7))
    put(store, "churn", DAY - timedelta(days=1))
    score.rollback(store, "churn")
    made = {c["score"]: c for c in score.train_and_score(store, config, as_of(DAY, config.shop.timezone), "r2")}
    assert made["churn"]["status"] == "refused"
    assert {c["score"]: c["cutoff"] for c in score.cards(store)}["churn"] == DAY.isoformat()


def test_a_week_keeps_its_first_published_score_with_its_card_and_the_one_in_use_stays(shop: Any) -> None:
    store, config = shop
    monday = date(2026, 1, 5)
    put(store, "churn", monday, is_published=False)
    for n in (1, 2, 3):
        put(store, "churn", monday + timedelta(days=n))
    put(store, "clv", monday)
    put(store, "clv", monday + timedelta(days=1))
    score_grades.thin(store, config, as_of(DAY, config.shop.timezone))
    for table in ("scores", "score_cards"):
        left = [d for (d,) in store.sql(f"SELECT DISTINCT cutoff FROM {table} WHERE score = 'churn' ORDER BY 1")]
        assert left == [monday + timedelta(days=1), monday + timedelta(days=3)]
    assert [c["cutoff"] for c in score.cards(store)] == ["2026-01-08", "2026-01-06"]


def test_what_ranks_people_worse_than_the_scores_in_use_does_not_replace_them() -> None:
    store, random, horizon = new_store(), np.random.default_rng(4), 60
    people, truth = [f"p{i}" for i in range(400)], random.random(400) < 0.5
    near, far = (truth + random.normal(0, sd, 400) for sd in (0.5, 2.0))
    began, latest = DAY - timedelta(days=horizon), DAY - timedelta(days=1)
    for day in (began, latest):
        put(store, "churn", day, horizon=horizon)

    def judged(then: np.ndarray, now: np.ndarray) -> str:
        store.sql("DELETE FROM scores")
        store.insert("scores", [
            {"score": "churn", "person_id": p, "value": v, "cutoff": began.isoformat(), "is_published": True}
            for p, v in zip(people, then.tolist(), strict=True)
        ])  # fmt: skip
        none = np.empty(0, np.int64)
        data = ShopData(people, Orders.of(none, none, np.empty(0)), None, [], (DAY - EPOCH).days, DAY, "EUR")
        data.checked["churn"] = Checked(np.arange(400), truth.astype(float), now)
        return score_watch.stay(store, data, {"score": "churn", "is_published": True, "horizon_days": horizon})

    why = judged(then=near, now=far)
    assert why.startswith(f"Not used: for the last closed window the model of {began} ranked people better by 0.")
    assert f"so the scores of {latest} stay in use" in why
    assert judged(then=far, now=near) == judged(then=near, now=near) == ""
    score_watch.lift(store, as_of(DAY, "UTC"))
    assert judged(then=near, now=far) == "", "who asks for new scores gets them"
    score_watch.lift(store, as_of(latest, "UTC"))
    assert judged(then=near, now=far)
    store.sql("DELETE FROM score_cards WHERE cutoff = ?", [latest])
    assert judged(then=near, now=far) == "", "scores whose horizon is over are not kept for any reason"


def test_scores_that_have_moved_are_told_as_inputs_are() -> None:
    views, cutoff = Views(simulated_shop.shop(150, 300), 60), simulated_shop.START + 280
    value, card = np.linspace(0, 1, 150), {"is_published": True}
    kept = score_grades.Kept("churn", DAY, cutoff, 60, "", {}, [], value)
    mail: Any = None
    moved, same = (score_grades._moved(kept, Scored(card, v), views, mail, cutoff) for v in (value / 2, value))
    assert moved["alarm"] == "alarm" and moved["score_psi"] > 0.2 and same["alarm"] == ""
    graded = {"score": "churn", "cutoff": "2026-03-01", "closed": "2026-05-30", "expected": 0.5, "realised": 0.5, "auc": 0.7,
              "has_decayed": False}  # fmt: skip
    said = score_grades._lines({**graded, **moved}, "published")
    assert said[1:] == [f"Alarm: since then the scores themselves have moved (PSI {moved['score_psi']:.2f})."]
    both = {**moved, "inputs": [{"input": "orders_30d", "psi": 0.15}]}
    assert score_grades._lines({**graded, **both}, "published")[1] == (
        "Warning: since then these inputs have moved: orders 30d (PSI 0.15)."
    )
    assert len(score_grades._lines({**graded, **same}, "published")) == 1


def test_why_tells_a_persons_scores_with_their_reasons(tmp_path: Path) -> None:
    (tmp_path / "rollcall.toml").write_text('[shop]\nname = "Small"\ntimezone = "Europe/Berlin"\ncurrency = "EUR"\n')
    (tmp_path / "orders.csv").write_text("order_id,customer_id,email,date,amount\no1,c1,ana@shop.example,2026-02-03,20.00\n")
    assert rollcall(tmp_path, "import", "orders", "orders.csv").code == 0
    asked = ("why", "ana@shop.example", "--as-of", "2026-03-02")
    assert rollcall(tmp_path, *asked, "--json").json["scores"] == []
    store = Store(next(tmp_path.glob("*.duckdb")))
    put(store, "churn", date(2026, 3, 1), reasons='["no order for 26 days, usually every 9 (raises the risk by 12%)"]')
    put(store, "recommendations", date(2026, 3, 1), reasons='[{"product_id": "p", "title": "Tea", "why": "bought before"}]')
    store.close()
    said = rollcall(tmp_path, *asked).out
    assert "churn_probability: 0.50 (high)\n  no order for 26 days, usually every 9 (raises the risk by 12%)" in said
    assert "recommended_products: Tea\n  bought before" in said
    found = {s["column"]: s for s in rollcall(tmp_path, *asked, "--json").json["scores"]}
    assert found["churn_probability"]["tier"] == "high" and len(found["churn_probability"]["reasons"]) == 1


def test_reasons_and_uplift_are_columns(shop: Any) -> None:
    store, config = shop
    text = "if an order comes, it comes from 2026-07-02 to 2026-07-09 in 8 of 10 cases"
    put(store, "next_order", DAY, reasons=orjson.dumps([text]).decode())
    put(store, "uplift", DAY)
    put(store, "recommendations", DAY, reasons='[{"product_id": "p", "title": "Tea", "why": "sells well now"}]')
    build(store, config, as_of(DAY, config.shop.timezone))
    shown = row(store, "import", "ana")
    assert shown["next_order_reasons"] == [text] and shown["recommended_products_reasons"] == ["sells well now"]
    assert (shown["uplift"], shown["uplift_model"]) == (0.5, f"of {DAY}")
    assert [s["column"] for s in ask._scores(store, person_of(store, "import", "ana"))] == [
        "next_order_on", "recommended_products", "uplift",
    ]  # fmt: skip
