"""Shops nobody draws in a textbook: whatever the orders, every score ends in numbers or in words, and every file is there."""

from __future__ import annotations

import csv
import json
import math
import random
import warnings
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from connector import score, score_grades
from connector.plain import json_text
from tests.stages.hand_shop import contact, derive, line, new_store, order, shop_config
from tests.stories.story import rollcall

FILES = ("churn", "clv", "next_order", "recommendations", "engagement")
HEADER = ["order_id", "customer_id", "date", "amount"]
BEGIN, END = date(2026, 1, 1), date(2026, 10, 1)
CHANCE = random.Random(5)
AMOUNTS = (None, "0", "-30", "99999999999", "0.01", "12.50")
Bought = list[tuple[str, date, str | None]]
"""Customer, day, amount."""


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """A warning of numpy or scikit-learn is one that an owner would read."""
    with warnings.catch_warnings():
        for kind in (RuntimeWarning, UserWarning, FutureWarning):
            warnings.simplefilter("error", kind)
        yield


def on(day: int) -> date:
    return BEGIN + timedelta(days=day)


def often(people: int, times: int, every: int, amount: str | None = "10") -> Bought:
    return [(f"c{p}", on(p % every + k * every), amount) for p in range(people) for k in range(times)]


def at_random(people: int, orders: int, amounts: tuple[str | None, ...], days: int = 270) -> Bought:
    return [(f"c{CHANCE.randrange(people)}", on(CHANCE.randrange(days)), CHANCE.choice(amounts)) for _ in range(orders)]


SHOPS: dict[str, tuple[Bought, tuple[date, ...], tuple[int, ...]]] = {
    "one order": ([("c1", on(33), "10")], (date(2026, 5, 1),), (90,)),
    "one customer": (often(1, 12, 20), (END,), (1, 7, 365, 3650)),
    "all on one day": (often(30, 2, 1, "5")[::2], (date(2026, 5, 1),), (90,)),
    "new": (often(5, 4, 9), (date(2020, 1, 1), BEGIN, on(1)), (90,)),
    "odd amounts": (at_random(150, 900, AMOUNTS), (END,), (30,)),
    "no amounts": (at_random(150, 900, (None,)), (END,), (30,)),
    "the same every week": (often(110, 38, 7), (END,), (30,)),
}
BY_NIGHT: dict[str, tuple[Bought, tuple[date, ...], tuple[int, ...]]] = {
    "only one-time buyers": (often(140, 1, 120), (date(2026, 6, 1),), (7, 90)),
    "dead for two years": ([(c, d - timedelta(days=900), a) for c, d, a in often(120, 4, 60)], (END,), (90,)),
    "odd amounts, few people": (at_random(20, 120, AMOUNTS), (END,), (30,)),
    "more goes back than came": (at_random(150, 900, ("10", "-20")), (END,), (30,)),
    "twenty years": ([("old", BEGIN - timedelta(days=30 * k), "10") for k in range(240)] + at_random(110, 700, ("9",)), (END,), (90,)),
    "daily": (often(105, 190, 1), (on(190),), (7, 30)),
}  # fmt: skip


@pytest.mark.parametrize("name", [*SHOPS, *(pytest.param(name, marks=pytest.mark.nightly) for name in BY_NIGHT)])
def test_every_file_is_there_with_a_row_for_everybody_and_every_number_is_one(name: str, tmp_path: Path) -> None:
    bought, days, horizons = (SHOPS | BY_NIGHT)[name]
    store, config = new_store(), shop_config()
    store.insert("orders", [order("import", f"o{i}", c, d.isoformat(), a) for i, (c, d, a) in enumerate(bought)])
    draw = '{"hold_out": "true", "hold_out_on": "2000-01-01"}'
    store.insert("contacts", [contact("import", "c1", attributes=draw)])
    for day in days:
        moment = derive(store, config, day)
        ids = sorted({c for c, d, a in bought if d < day and not (a or "").startswith("-")})  # less than nothing is a refund
        for horizon in horizons:
            cards = score.train_and_score(store, config, moment, f"r{horizon}", horizon_days=horizon)
            score.write_files(store, config, moment, tmp_path, horizon_days=horizon)
            assert not score.problems(cards)
            assert not [text for c in cards for text in c["lines"] if "nan" in text.split() or "nan%" in text]
            json.loads(json_text(cards), parse_constant=pytest.fail)
            check(tmp_path, day, ids)


def check(folder: Path, day: date, ids: list[str]) -> None:
    """A row a customer in every file, and every number one that can be."""
    found = {name: read(folder / f"{name}.csv") for name in FILES}
    assert {name: sorted(r["customer_id"] for r in rows) for name, rows in found.items()} == dict.fromkeys(FILES, ids)
    for name in ("churn", "clv"):
        numbers = [float(r["score"]) for r in found[name]]
        assert all(math.isfinite(n) and 0 <= n <= (1 if name == "churn" else n) for n in numbers)
    assert all(day.isoformat() <= r["score"] for r in found["next_order"] if r["score"])


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def shop_of(folder: Path, rows: list[list[str]]) -> None:
    (folder / "rollcall.toml").write_text('[shop]\nname = "Odd"\ntimezone = "Europe/Berlin"\ncurrency = "EUR"\n')
    with (folder / "orders.csv").open("w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows([HEADER, *rows])
    assert rollcall(folder, "import", "orders", "orders.csv").code == 0


IDS = ("007", "7", "Zoë 日本", "a,b", "=1+1", "+4912", "-5", 'say "x"', "1e5", "@home", "|x", "a b", "＝1")


def test_ids_come_back_from_the_command_line_as_they_stand_in_the_source(tmp_path: Path) -> None:
    shop_of(tmp_path, [[str(i), c, on(5 * i).isoformat(), "10.00"] for i, c in enumerate(IDS)])
    for when in ("2026-05-01", "2025-12-31"):
        found = rollcall(tmp_path, "score", "--as-of", when, "--out-dir", "out", "--json")
        assert (found.code, found.err) == (0, "")
        for name in FILES:
            ids = [r["customer_id"] for r in read(tmp_path / "out" / f"{name}.csv")]
            assert sorted(ids) == (sorted(IDS) if when > BEGIN.isoformat() else []), name


@pytest.mark.parametrize("days", ["0", "800000"])
def test_a_horizon_that_is_none_is_refused_in_words(days: str, tmp_path: Path) -> None:
    said = rollcall(tmp_path, "score", "--horizon", days)
    assert said.code == 2 and "Give 1 to 3,650 days" in said.err


def test_one_score_that_fails_is_named_and_the_others_and_every_file_are_made(tmp_path: Path) -> None:
    store, config = new_store(), shop_config()
    store.insert("orders", [order("import", f"o{i}", c, d.isoformat(), a) for i, (c, d, a) in enumerate(often(40, 3, 30))])
    store.insert(
        "order_lines", [line("import", f"o{i}", f"Tea {i % 3}", "Tea", "10", stream="order_lines") for i in range(120)]
    )
    moment = derive(store, config, END)
    for table in ("fact_lines", "fact_campaigns"):
        store.sql(f"DROP TABLE {table}")
    cards = {c["score"]: c for c in score.train_and_score(store, config, moment, "r1")}
    score.write_files(store, config, moment, tmp_path, campaigns=["m1"])
    told = score.problems(list(cards.values()))
    assert len(told) == 2 and all(
        "the other scores are not touched" in text and "StoreError in store.py" in text for text in told
    )
    assert {n for n in cards if cards[n].get("problems")} == {"engagement", "next_category"}
    assert {r["status"] for r in read(tmp_path / "churn.csv")} == {"simple rule, not a prediction"}
    assert {r["status"].partition(" (")[0] for r in read(tmp_path / "engagement.csv")} == {"refused: it could not be made"}
    assert len({r["customer_id"] for r in read(tmp_path / "recommendations.csv") if r["product_id"]}) == 40


def test_scores_that_came_due_when_nobody_bought_any_more_are_told_without_a_figure() -> None:
    store, config = new_store(), shop_config()
    store.insert("orders", [order("import", f"o{p}", f"c{p}", on(p).isoformat(), "10") for p in range(20)])
    moment = derive(store, config, END)
    people = [p for (p,) in store.sql("SELECT DISTINCT person_id FROM person_links")]
    for name in ("churn", "clv"):
        card = {"score": name, "horizon_days": 30, "model": "m", "metrics": {"auc": {"lo": 0.6}, "gini": {"lo": 0.6}}}
        store.insert("score_cards", [
            {"score": name, "cutoff": "2026-03-01", "made_run": "r0", "is_published": True, "card": json.dumps(card)}
        ])  # fmt: skip
        store.insert("scores", [
            {"score": name, "person_id": p, "value": 0.1 * i, "cutoff": "2026-03-01", "is_published": True}
            for i, p in enumerate(people)
        ])  # fmt: skip
    found = {g["score"]: g for g in score.graded(store, config, moment)}
    assert (found["churn"]["auc"], found["clv"]["gini"]) == (None, None)
    assert not any(g["has_decayed"] for g in found.values())
    told = [score_grades._lines({**g, "inputs": [], "score_psi": None, "alarm": ""}, "rule")[0] for g in found.values()]
    assert "it cannot be said whether" in told[0] and "the ranking cannot be judged" in told[1]
