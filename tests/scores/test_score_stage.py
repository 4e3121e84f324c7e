"""The stage on a store: columns that rules can use, earlier scores graded, audits and pictures on the cards, files."""

from __future__ import annotations

import csv
import json
import re
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connector import card_pictures, discover, score, score_grades
from connector.clock import as_of
from connector.config import Config, Privacy
from connector.no_profiling import enforce
from connector.profile import build, fields
from connector.score_data import EPOCH, load
from connector.segment import check, matching
from connector.store import Store
from models.scores.history import no_order_within
from models.segments import AsOf
from tests.stages.hand_shop import contact, derive, event, line, new_store, order, shop_config

sys.path.insert(0, str(Path(__file__).parent))
from simulated_habits import breaks, mailings, three_groups  # a helper beside the test, found by the line above
from simulated_shop import START, shop

HORIZON = 60
FIRST, LAST = (EPOCH + timedelta(days=START + n) for n in (330, 395))
PEOPLE, MAILED = 1500, 900
KINDS = {0: "sent", 1: "open", 2: "click"}


def day_of(number: int) -> str:
    return (EPOCH + timedelta(days=int(number))).isoformat()


def fill(store: Store, people: int) -> None:
    """Buyers, most of them with a weekly mail; women order by far the most, and one never wants to be profiled."""
    orders, mail = shop(people, 400), mailings(MAILED, 400)
    spent = np.bincount(orders.person, weights=orders.amount, minlength=people)
    often = spent > np.median(spent)
    store.insert("contacts", [
        contact("import", f"c{p}", country=("DE", "AT")[p % 2], language="de", age=str(20 + p % 50), gender="f" if often[p] else "m",
                tags='["no-profiling"]' if p == 7 else None)
        for p in range(people)
    ])  # fmt: skip
    rows = list(zip(orders.person.tolist(), orders.day.tolist(), orders.amount.tolist(), strict=True))
    store.insert("orders", [order("import", f"o{i}", f"c{p}", day_of(d), f"{a:.2f}") for i, (p, d, a) in enumerate(rows)])
    goods = (("Tea", "Tea"), ("Coffee", "Coffee"), ("Pregnancy test", "Health"))
    store.insert(
        "order_lines",
        [
            line("import", f"o{i}", *goods[(p + i % 2) % 3], f"{a:.2f}", stream="order_lines")
            for i, (p, _, a) in enumerate(rows)
        ],
    )
    store.insert("events", [
        event("import", f"c{p}", KINDS[k], day_of(d), campaign_id=f"m{c}", record_id=f"e{i}")
        for i, (p, d, k, c) in enumerate(zip(mail.person, mail.day, mail.kind, mail.campaign, strict=True))
    ])  # fmt: skip


@pytest.fixture(scope="module")
def scored() -> tuple[Store, Config, dict[str, dict[str, Any]]]:
    """Scored on two days, the second when the horizon of the first has closed."""
    store = new_store()
    fill(store, PEOPLE)
    privacy = Privacy(no_profiling=("import:tag:no-profiling",), sensitive_products=("pregnancy",))
    config = shop_config().model_copy(update={"privacy": privacy})
    for day, run in ((FIRST, "r1"), (LAST, "r2")):
        moment = derive(store, config, day)
        cards = score.train_and_score(store, config, moment, run, horizon_days=HORIZON)
        enforce(store, config)
    build(store, config, moment)
    return store, config, {c["score"]: c for c in cards}


def moment_of(day: date, config: Config) -> AsOf:
    return as_of(day, config.shop.timezone)


def test_every_published_score_is_a_column_with_what_it_was_made_from_beside_it(scored: Any) -> None:
    store, _, cards = scored
    shown = {f.name: f for f in fields(store)}
    published = {n for n, c in cards.items() if c["is_published"]}
    assert {"churn", "clv", "engagement", "p_alive"} <= published
    for score_name, column, prefix in (
        ("churn", "churn_probability", "churn"),
        ("clv", "clv", "clv"),
        ("engagement", "engagement_probability", "engagement"),
        ("p_alive", "p_alive", "p_alive"),
    ):
        assert shown[column].coverage > 0.3
        row = store.rows(f"SELECT * FROM profile WHERE {column} IS NOT NULL LIMIT 1")[0]
        card = cards[score_name]
        assert row[f"{prefix}_n"] == card["n"] and row[f"{prefix}_model"] == card["model"]
        assert (row[f"{prefix}_horizon_days"], row[f"{prefix}_cutoff_on"]) == (card["horizon_days"], LAST)
        assert row[f"{prefix}_confidence"] == card["confidence"]
        without = store.rows(f"SELECT * FROM profile WHERE {column} IS NULL LIMIT 1")[0]
        assert without[f"{prefix}_model"] is None
    assert not shown["clv_365d"].coverage and not shown["cluster"].coverage, "what was not published is no column's value"


def test_rules_use_predictions_like_any_other_column(scored: Any) -> None:
    store, config, _ = scored
    where = "churn_tier = 'high' and churn_confidence = 'medium' and p_alive < 0.9 and engagement_tier is null"
    found = matching(store, config, moment_of(LAST, config), where)
    by_hand = store.sql(
        "SELECT person_id FROM scores WHERE score = 'churn' AND cutoff = ? AND tier = 'high' AND person_id NOT IN "
        "(SELECT person_id FROM scores WHERE score = 'engagement' AND cutoff = ?) AND person_id IN "
        "(SELECT person_id FROM scores WHERE score = 'p_alive' AND cutoff = ? AND value < 0.9) ORDER BY 1", [LAST] * 3,
    )  # fmt: skip
    assert found == [p for (p,) in by_hand] != []


def test_a_score_is_graded_by_what_came_true_when_its_horizon_has_closed(scored: Any) -> None:
    store, config, cards = scored
    data = load(store, config, moment_of(LAST, config))
    place = {p: i for i, p in enumerate(data.people)}
    kept = store.sql("SELECT person_id, value FROM scores WHERE score = 'churn' AND cutoff = ?", [FIRST])
    truth = no_order_within(data.orders, np.array([place[p] for p, _ in kept]), START + 330, HORIZON)
    grade = cards["churn"]["graded"]
    assert (grade["cutoff"], grade["n"]) == (FIRST.isoformat(), len(kept))
    assert grade["realised"] == pytest.approx(float(truth.mean()), abs=1e-4)
    assert grade["expected"] == pytest.approx(float(np.mean([v for _, v in kept])), abs=1e-4)
    assert any(FIRST.isoformat() in text and "came true" in text for text in cards["churn"]["lines"])
    assert {g["score"] for g in score.graded(store, config, moment_of(LAST, config))} >= {"churn", "clv", "engagement"}
    assert not score.graded(store, config, moment_of(FIRST + timedelta(days=20), config)), "no horizon had closed then"


def test_every_published_score_that_came_due_is_graded_and_its_card_says_so(scored: Any) -> None:
    store, config, cards = scored
    kept = store.sql("SELECT score, card FROM score_cards WHERE cutoff = ? AND is_published", [FIRST])
    due = {s for s, card in kept if s != "p_alive" and json.loads(card)["horizon_days"] <= (LAST - FIRST).days}
    graded = {g["score"]: g for g in score.graded(store, config, moment_of(LAST, config))}
    assert {"churn", "clv", "next_order"} <= due == set(graded)
    for name, grade in graded.items():
        assert cards[name]["graded"]["cutoff"] == FIRST.isoformat()
        assert any(text.startswith(f"The scores of {FIRST} came due on") for text in cards[name]["lines"])
        if name in ("churn", "clv", "engagement"):
            assert [t["tier"] for t in grade["tiers"]] == ["high", "medium", "low"]
            assert sum(t["people"] for t in grade["tiers"]) == grade["n"]
            assert any(text.startswith("By the tier they were given then: high:") for text in cards[name]["lines"])
    assert all(t["lo"] <= t["realised"] <= t["hi"] for card in cards.values() for t in card["tiers"])


def test_a_score_that_turned_out_worse_than_promised_raises_an_alarm(scored: Any) -> None:
    store, config, cards = scored
    assert not cards["churn"]["graded"]["has_decayed"]
    with pytest.raises(ZeroDivisionError), store.transaction():  # what is broken here is not kept
        store.sql("UPDATE scores SET value = 1 - value WHERE score = 'churn' AND cutoff = ?", [FIRST])
        found = [g for g in score.graded(store, config, moment_of(LAST, config)) if g["score"] == "churn"]
        assert found[0]["has_decayed"]
        raise ZeroDivisionError


def test_cards_carry_their_pictures(scored: Any) -> None:
    _, _, cards = scored
    assert card_pictures.svg(cards["churn"]).count("<svg") == 3
    assert card_pictures.svg(cards["clv"]).count("<svg") == 3
    assert card_pictures.svg(cards["uplift"]) == ""
    gains = [share for _, share in cards["churn"]["gains"]]
    assert gains == sorted(gains) and gains[-1] == pytest.approx(1, abs=1e-3)
    money = np.array(cards["clv"]["deciles"])
    assert money[0, 0] > money[-1, 0]


def test_an_input_that_nearly_says_a_sensitive_attribute_is_warned_of(scored: Any) -> None:
    _, _, cards = scored
    found = cards["churn"]["fairness"]
    assert {"country", "age group"} <= {g["trait"] for g in found["groups"]}
    assert {s["trait"] for s in found["stand_ins"]} == {"gender"}
    assert any("nearly says the gender" in text for text in cards["churn"]["lines"])
    assert not any(g["is_uneven"] for g in found["groups"] if g["trait"] == "country"), "countries were given in turn"


def test_who_opted_out_has_no_score_of_any_kind_and_sensitive_products_are_recommended_to_nobody(scored: Any) -> None:
    store, _, _ = scored
    person = store.value("SELECT person_id FROM person_links WHERE contact_id = 'c7'")
    assert store.value("SELECT count(*) FROM scores WHERE person_id = ?", [person]) == 0
    texts = [t for (t,) in store.sql("SELECT reasons FROM scores WHERE score = 'recommendations'")]
    assert any("Tea" in t for t in texts)
    assert not any("Pregnancy" in t for t in texts)


def test_uplift_is_refused_without_a_hold_out(scored: Any) -> None:
    _, _, cards = scored
    assert not cards["uplift"]["is_published"]
    assert "no hold-out" in cards["uplift"]["lines"][0]


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def test_everybody_with_an_order_has_a_row_and_a_campaign_only_where_asked(scored: Any, tmp_path: Path) -> None:
    store, config, _ = scored
    moment = moment_of(LAST, config)
    score.write_files(store, config, moment, tmp_path, horizon_days=HORIZON, campaigns=["next one"])
    found = read(tmp_path / "engagement.csv")
    rows = {r["customer_id"]: r for r in found if not r["campaign_id"]}
    asked = {r["customer_id"]: r for r in found if r["campaign_id"] == "next one"}
    buyers = {c for (c,) in store.sql("SELECT DISTINCT contact_id FROM orders WHERE ordered_at < ?", [moment.until_utc])}
    assert buyers <= set(rows) and len(rows) + len(asked) == len(found)
    assert rows["c7"]["status"] == asked["c7"]["status"] == "not profiled"
    assert 0 < float(rows["c1"]["score"]) < 1 and rows["c1"]["status"] == ""
    assert rows["c1400"]["score"] == "" and "no mail" in rows["c1400"]["status"]
    assert 0 < float(asked["c1"]["score"]) < float(rows["c1"]["score"]), "one mail is answered less often than one of several"
    assert asked["c1400"]["score"]


def test_old_scores_are_kept_once_a_week() -> None:
    store, config = new_store(), shop_config()
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(60)]
    rows = [{"score": "churn", "person_id": "p", "value": 0.5, "cutoff": d.isoformat()} for d in days]
    store.insert("scores", rows)
    score_grades.thin(store, config, moment_of(date(2026, 3, 2), config))
    left = [d for (d,) in store.sql("SELECT cutoff FROM scores ORDER BY cutoff")]
    recent = [d for d in days if d >= date(2026, 1, 26)]
    assert left == [date(2026, 1, 1), date(2026, 1, 5), date(2026, 1, 12), date(2026, 1, 19), *recent]


@pytest.fixture(scope="module")
def grouped() -> tuple[Store, Config]:
    """A shop of three planted groups and nothing else."""
    store = new_store()
    orders, _ = three_groups(360)
    rows = zip(orders.person.tolist(), orders.day.tolist(), orders.amount.tolist(), strict=True)
    store.insert("orders", [order("import", f"o{i}", f"c{p}", day_of(d), f"{a:.2f}") for i, (p, d, a) in enumerate(rows)])
    return store, shop_config()


def test_groups_become_rules_that_our_own_checker_accepts_and_that_fit(grouped: Any) -> None:
    store, config = grouped
    moment = derive(store, config, LAST)
    found = discover.run(store, config, moment, "r1")["groups"]
    assert len(found["groups"]) == 3
    for group in found["groups"]:
        assert check(group["where"], store, config).columns
        assert group["says"].startswith("Everybody")
        assert min(group["fidelity"]["precision"], group["fidelity"]["recall"]) > 0.9
    build(store, config, moment)
    biggest = found["groups"][0]
    assert len(matching(store, config, moment, f"cluster = '{biggest['name']}'")) == biggest["people"]


def test_who_breaks_with_their_habits_is_named_in_a_column_and_not_on_the_card_that_is_kept() -> None:
    store, config = new_store(), shop_config()
    orders, planted = breaks(250, large=8)
    rows = zip(orders.person.tolist(), orders.day.tolist(), orders.amount.tolist(), strict=True)
    store.insert("orders", [order("import", f"o{i}", f"c{p}", day_of(d), f"{a:.2f}") for i, (p, d, a) in enumerate(rows)])
    moment = derive(store, config, EPOCH + timedelta(days=START + 400))
    card = discover.run(store, config, moment, "r1")["unusual"]
    build(store, config, moment)
    named = matching(store, config, moment, "anomaly = 'large_order' and anomaly_score > 2")
    ids = {c for (c,) in store.sql("SELECT contact_id FROM person_links WHERE list_contains(?, person_id)", [named])}
    assert len(ids & {f"c{p}" for p in planted["large_order"]}) >= 5
    assert card["found"]["large_order"] == len(named)
    kept = store.value("SELECT card FROM score_cards WHERE score = 'anomaly'")
    assert "For example" not in kept and card["examples"][0]["person_id"] not in kept


def test_a_group_keeps_its_name_in_later_runs(grouped: Any) -> None:
    store, config = grouped
    runs = [discover.run(store, config, derive(store, config, d), str(d))["groups"] for d in (LAST, LAST + timedelta(days=9))]
    assert {g["name"] for g in runs[0]["groups"]} == {g["name"] for g in runs[1]["groups"]}
    assert not any(g["is_new"] for g in runs[1]["groups"])
    assert all(g["was_people"] for g in runs[1]["groups"])


def test_every_card_says_when_it_was_made_from_what_and_what_it_could_gain_from(scored: Any) -> None:
    cards = {c["score"]: c for c in score.cards(scored[0])}
    churn, mail = cards["churn"], cards["engagement"]
    assert churn["made_on"] == LAST.isoformat() and churn["data"]["customers"] > 1000 and churn["data"]["first_on"]
    text = " ".join(churn["lines"])
    assert f"Made on {LAST} from " in text and "order days of" in text
    assert "a second year of orders" in text and "ratings" in text and "richer models are tried from 2,000" in text
    has_trees = "trees" in churn["model"]
    assert ("what was bought" in text) == has_trees == ("sent, opened and clicked mails" in text)
    assert f"the mail of {MAILED - 1:,} contacts" in " ".join(mail["lines"])
    refused = cards["uplift"]
    assert refused["made_on"] and refused["improve"] == [] and not any("Made on" in line for line in refused["lines"])


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("churn", r"(raises|lowers) the risk by \d+%\)$"), ("purchase_30d", r"(raises|lowers) the chance by \d+%\)$"),
     ("clv", r"(adds|takes off) [\d,.]+ EUR\)$")],
)  # fmt: skip
def test_every_published_score_made_from_purchases_gives_at_most_three_reasons_in_words(
    scored: Any, name: str, pattern: str
) -> None:
    store, _, cards = scored
    found = [json.loads(r) for (r,) in store.sql("SELECT reasons FROM scores WHERE score = ? AND cutoff = ?", [name, LAST])]
    if not cards[name]["is_published"]:
        assert not any(found)
        return
    texts = [text for reasons in found for text in reasons]
    assert max(map(len, found)) <= 3 and sum(map(bool, found)) > 0.5 * len(found)
    assert all(re.search(pattern, text) and "nan" not in text for text in texts)
