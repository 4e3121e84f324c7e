"""Scores and discovery through the real command: a small shop is refused kindly, a planted one is found out."""

from __future__ import annotations

import csv
import random
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from connector.score_data import EPOCH
from tests.stories.story import rollcall

sys.path.insert(0, str(Path(__file__).parent))
from simulated_habits import mailings, three_groups  # a helper beside the test, found by the line above
from simulated_shop import START

CONFIG = '[shop]\nname = "Small"\ntimezone = "Europe/Berlin"\ncurrency = "EUR"\n'


def write(file: Path, header: list[str], rows: list[list[object]]) -> None:
    with file.open("w", newline="") as f:
        csv.writer(f).writerows([header, *rows])


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as f:
        return list(csv.DictReader(f))


@pytest.fixture(scope="module")
def sixty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop of 60 orders and no mail."""
    folder, chance = tmp_path_factory.mktemp("sixty"), random.Random(3)
    (folder / "rollcall.toml").write_text(CONFIG)
    rows = [
        [i, f"c{chance.randrange(35)}", date(2026, 6, 1) + timedelta(days=chance.randrange(150)), "20.00"] for i in range(60)
    ]
    write(folder / "orders.csv", ["order_id", "customer_id", "date", "amount"], rows)
    assert rollcall(folder, "import", "orders", "orders.csv").code == 0
    return folder


def test_a_shop_of_sixty_orders_is_refused_kindly_and_every_file_is_there(sixty: Path) -> None:
    found = rollcall(sixty, "score", "--as-of", "2026-11-01", "--horizon", "60", "--out-dir", "out", "--json")
    assert found.code == 0
    buyers = {r["customer_id"] for r in read(sixty / "orders.csv")}
    for name in ("churn", "clv", "next_order", "recommendations", "engagement"):
        rows = read(sixty / "out" / f"{name}.csv")
        assert {r["customer_id"] for r in rows} == buyers
        assert all(r["status"] for r in rows)
    cards = {c["score"]: c for c in found.json["cards"]}
    assert not any(c["is_published"] for c in cards.values())
    assert "campaign_id" not in read(sixty / "out" / "engagement.csv")[0]
    assert "no e-mail history" in cards["engagement"]["lines"][0]
    assert cards["next_order"]["lines"][0].endswith("90 days of history (152). Until then no date is given.")
    assert not any("no date is given, which is a rule" in t for c in cards.values() for t in c["lines"])


def test_the_chances_of_a_campaign_need_a_folder_to_be_written_into(sixty: Path) -> None:
    found = rollcall(sixty, "score", "--campaign", "spring")
    assert found.code == 2 and "--out-dir DIR" in found.err


def test_readiness_says_what_engagement_and_uplift_need(sixty: Path) -> None:
    found = {s["score"]: s for s in rollcall(sixty, "score", "ready", "--json").json["scores"]}
    assert "100 more contacts with mail" in found["engagement"]["lacks"]
    assert found["uplift"]["lacks"] == ["people held out by lot"]
    assert not found["clv_365d"]["is_ready"]
    assert found["clv_365d"]["lacks"][:2] == found["churn"]["lacks"][:2] != []


def test_readiness_is_said_in_words_with_what_there_is_and_what_is_lacking(sixty: Path) -> None:
    said = rollcall(sixty, "score", "ready").out
    assert "Customer value, a year" in said and "not yet" in said and "came back" in said
    assert not set(said) & set("[]{}_")


def test_a_small_shop_has_no_natural_groups_and_nobody_is_named(sixty: Path) -> None:
    said = rollcall(sixty, "discover", "--as-of", "2026-11-01")
    assert said.code == 0
    assert "No natural groups: groups need 100 people" in said.out and "Nobody is named" in said.out


@pytest.mark.nightly
def test_a_planted_shop_is_found_out_from_files_alone(tmp_path: Path) -> None:
    orders, _ = three_groups(900)
    mail = mailings(900, 400)

    def day(n: int) -> date:
        return EPOCH + timedelta(days=int(n))

    (tmp_path / "rollcall.toml").write_text(CONFIG)
    rows = zip(orders.person.tolist(), orders.day.tolist(), orders.amount.tolist(), strict=True)
    write(tmp_path / "orders.csv", ["order_id", "customer_id", "date", "amount"],
          [[f"o{i}", f"c{p}", day(d), f"{a:.2f}"] for i, (p, d, a) in enumerate(rows)])  # fmt: skip
    kinds = ("sent", "open", "click")
    events = zip(mail.person.tolist(), mail.day.tolist(), mail.kind.tolist(), mail.campaign.tolist(), strict=True)
    write(tmp_path / "events.csv", ["event_id", "customer_id", "date", "kind", "campaign_id"],
          [[f"e{i}", f"c{p}", day(d), kinds[k], f"m{c}"] for i, (p, d, k, c) in enumerate(events)])  # fmt: skip
    cutoff = day(START + 360).isoformat()
    assert rollcall(tmp_path, "import", "orders", "orders.csv").code == 0
    groups = rollcall(tmp_path, "discover", "--as-of", cutoff, "--json").json["groups"]["groups"]
    assert len(groups) == 3
    assert rollcall(tmp_path, "import", "events", "events.csv").code == 0
    scored = rollcall(tmp_path, "score", "--as-of", cutoff, "--horizon", "30", "--out-dir", "out", "--json")
    assert scored.code == 0
    answered = {
        f"c{p}" for p, d, k in zip(mail.person, mail.day, mail.kind, strict=True) if k and START + 360 <= d < START + 390
    }
    found = {r["customer_id"]: float(r["score"]) for r in read(tmp_path / "out" / "engagement.csv") if r["score"]}
    ranked = sorted(found, key=lambda c: -found[c])
    hits = [c in answered for c in ranked]
    assert sum(hits[: len(hits) // 5]) > 2 * sum(hits) / 5, "the best fifth answers more than twice as often as all"
    tried = rollcall(tmp_path, "segment", "test", groups[0]["where"], "--as-of", cutoff)
    assert tried.code == 0 and f"of {len(found):,} people" in tried.out


def test_a_file_in_which_an_order_was_cancelled_later_gives_the_scores_of_the_day_before_that(tmp_path: Path) -> None:
    chance = random.Random(5)
    people = [f"c{i}" for i in range(140)]
    sold = [
        [n, person, date(2026, 1, 1) + timedelta(days=day), f"{20 + n % 7}.00"]
        for n, (person, day) in enumerate(
            (p, d) for p in people for d in sorted(chance.sample(range(290), chance.choice((1, 2, 3, 5))))
        )
    ]
    on = date(2026, 9, 1)
    gone = {n for n, _, day, _ in sold if day < on and n % 6 == 0}
    made = {}
    for name, cancelled in (("as_it_was", set()), ("as_it_is", gone)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "rollcall.toml").write_text(CONFIG)
        rows = [
            [*row, "2026-09-20 10:00" if row[0] in cancelled else "", "" if row[0] not in cancelled else "cancelled"]
            for row in sold
        ]
        write(folder / "orders.csv", ["order_id", "customer_id", "date", "amount", "Cancelled at", "status"], rows)
        assert rollcall(folder, "import", "orders", "orders.csv").code == 0
        asked = ("--as-of", str(on), "--horizon", "60", "--out-dir", "out")
        assert rollcall(folder, "score", *asked).code == 0
        made[name] = {f.name: f.read_text() for f in (folder / "out").iterdir()}
    assert made["as_it_is"] == made["as_it_was"]
    assert any("." in row["score"] for row in read(tmp_path / "as_it_is" / "out" / "churn.csv")), "there are scores"
    assert rollcall(tmp_path / "as_it_is", "score", "--as-of", "2026-10-01", "--horizon", "60", "--out-dir", "later").code == 0
    later = {r["customer_id"] for r in read(tmp_path / "as_it_is" / "later" / "churn.csv")}
    assert later == {person for n, person, day, _ in sold if day < date(2026, 10, 1) and n not in gone}
