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
from typing import Any

import pytest

from connector import engagement, engagement_file, score, score_data, score_grades, score_more
from connector.config import Config
from connector.plain import json_text
from connector.score_attempts import attempt, beside
from connector.score_parts import Scored
from connector.store import Store
from models.errors import ConfigError, QueryError, StoreError
from models.scores.views import Views
from models.segments import AsOf
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


def test_two_people_with_one_id_in_two_sources_are_told_apart(tmp_path: Path) -> None:
    store, config = new_store(), shop_config()
    store.insert("contacts", [contact(s, c, email=f"{c}@{s}.example") for s in ("import", "shopify") for c in ("7", "8")])
    bought = (("import", "7", "2026-09-20"), ("shopify", "7", "2026-09-11"), ("import", "8", "2026-09-02"))
    store.insert("orders", [order(s, f"{s}{c}", c, day, "10") for s, c, day in bought])
    store.insert("order_lines", [line("import", "import7", "Tea", "Tea", "10", stream="order_lines")])
    moment = derive(store, config, END)
    score.train_and_score(store, config, moment, "r1")
    score.write_files(store, config, moment, tmp_path)
    pairs = [("7", "import"), ("7", "shopify"), ("8", "import")]
    for name in FILES:
        assert sorted({(r["customer_id"], r["source"]) for r in read(tmp_path / f"{name}.csv")}) == pairs, name
    store.sql("DELETE FROM orders WHERE source = 'shopify'")
    moment = derive(store, config, END)
    score.write_files(store, config, moment, tmp_path)
    assert all("source" not in r for name in FILES for r in read(tmp_path / f"{name}.csv"))


@pytest.mark.parametrize("days", ["0", "800000"])
def test_a_horizon_that_is_none_is_refused_in_words(days: str, tmp_path: Path) -> None:
    said = rollcall(tmp_path, "score", "--horizon", days)
    assert said.code == 2 and "Give 1 to 3,650 days" in said.err


def of_tea() -> tuple[Store, Config, AsOf]:
    store, config = new_store(), shop_config()
    store.insert("orders", [order("import", f"o{i}", c, d.isoformat(), a) for i, (c, d, a) in enumerate(often(40, 3, 30))])
    store.insert(
        "order_lines", [line("import", f"o{i}", f"Tea {i % 3}", "Tea", "10", stream="order_lines") for i in range(120)]
    )
    return store, config, derive(store, config, END)


def test_one_score_that_fails_is_named_and_the_others_and_every_file_are_made(tmp_path: Path) -> None:
    store, config, moment = of_tea()
    store.sql("DELETE FROM fact_categories")  # what is bought has a category without a name: a case nobody thought of
    store.sql("INSERT INTO fact_campaigns (code, source, campaign_id) VALUES (NULL, 'import', 'm0')")
    cards = {c["score"]: c for c in score.train_and_score(store, config, moment, "r1")}
    score.write_files(store, config, moment, tmp_path, campaigns=["m1"])
    told = score.problems(list(cards.values()))
    assert len(told) == 2 and all("the other scores are not touched" in text for text in told)
    assert {text.split("(")[1].split(",")[0] for text in told} == {"TypeError in engagement.py", "KeyError in next_category.py"}
    assert {n for n in cards if cards[n].get("problems")} == {"engagement", "next_category"}
    assert {r["status"] for r in read(tmp_path / "churn.csv")} == {"simple rule, not a prediction"}
    assert {r["status"].partition(" (")[0] for r in read(tmp_path / "engagement.csv")} == {"refused: it could not be made"}
    assert len({r["customer_id"] for r in read(tmp_path / "recommendations.csv") if r["product_id"]}) == 40


@pytest.mark.parametrize(("table", "step"), [("fact_lines", "next_category"), ("fact_events", "mail")])
def test_a_statement_that_fails_on_the_data_stops_one_score_alone_and_is_told_with_its_place(table: str, step: str) -> None:
    store, config, moment = of_tea()
    data = score_data.load(store, config, moment)
    store.sql(f"DROP TABLE {table}")
    if step == "next_category":
        found = score_more.make(store, config, moment, data, engagement.without_mail(data), Views(data.orders, 90), 90)
        (text,) = score.problems([s.card for s in found])
        assert "'next_category' could not be made (QueryError in next_category.py, line" in text
    else:
        _, failed = score_more.mail_or_none(store, config, moment, data)
        assert failed is not None and failed.where.startswith("QueryError in ") and "store.py" not in failed.where


def test_the_engine_tells_a_wrong_value_from_a_full_disk() -> None:
    store = new_store()
    for wrong in ("SELECT CAST('ana' AS INTEGER)", "SELECT no_such_column", "SELEC 1", "SELECT 9223372036854775807 + 1"):
        with pytest.raises(QueryError):
            store.sql(wrong)
    store.sql("SET memory_limit = '1MB'; SET max_temp_directory_size = '1KB'")
    with pytest.raises(StoreError) as raised:
        store.sql("CREATE TEMP TABLE much AS SELECT random() AS a FROM range(10000000)")
    assert not isinstance(raised.value, QueryError)


@pytest.mark.parametrize("error", [StoreError("The disk is full."), ConfigError("A line is wrong."), MemoryError()])
def test_what_is_no_mistake_of_ours_ends_the_run_and_anything_else_is_set_aside(error: Exception) -> None:
    def fails(with_error: Exception) -> Scored | None:
        raise with_error

    store, config, moment = of_tea()
    data = score_data.load(store, config, moment)
    card: dict[str, Any] = {}
    for what in (
        lambda: attempt(data, "churn", 90, lambda: fails(error)),
        lambda: attempt(data, "churn", 90, lambda: fails(KeyError()), lambda: fails(error) or Scored({})),
        lambda: beside([Scored(card)], "Pictures", lambda: fails(error) and None),
    ):
        with pytest.raises(type(error)) as raised:
            what()
        assert raised.value is error
    made = attempt(data, "churn", 90, lambda: fails(KeyError("ana@shop.example")), lambda: fails(ValueError("x")) or Scored({}))
    assert made is not None and "KeyError in test_odd_shops.py, line " in made.card["lines"][0] and made.value is None
    assert "ana@" not in str(made.card)
    beside([Scored(card)], "Pictures", lambda: fails(ZeroDivisionError()) and None)
    assert card["problems"][0].startswith("Pictures could not be told on the cards (ZeroDivisionError in test_odd_shops.py")


def test_a_campaign_that_cannot_be_read_is_refused_in_its_rows(tmp_path: Path) -> None:
    store, config, moment = of_tea()
    store.sql("DROP TABLE fact_campaigns")
    engagement_file.write(store, config, moment, tmp_path, 90, ["m1"])
    rows = read(tmp_path / "engagement.csv")
    assert len({r["customer_id"] for r in rows}) == 40 and any("QueryError in " in r["status"] for r in rows)


def test_days_since_the_last_order_are_told_with_their_thousands() -> None:
    store, config = new_store(), shop_config()
    store.insert("orders", [order("import", "o1", "c1", (END - timedelta(days=10_374)).isoformat(), "10")])
    assert "is 10,374 days old" in score_data.load(store, config, derive(store, config, END)).refusal


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
