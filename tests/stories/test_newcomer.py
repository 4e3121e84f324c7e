"""The first minutes of an owner who has a file of orders and nothing else: no command leaves them without an answer."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.stories.story import rollcall

SHOP = '[shop]\nname = "Corner"\ntimezone = "Europe/Berlin"\ncurrency = "EUR"\n'
ORDERS = "Customer Email;Order No;Order Date;Total\nana@shop.example;1;03.02.2026;12,50\nbo@shop.example;2;04.02.2026;8,00\n"


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corner")
    (folder / "rollcall.toml").write_text(SHOP)
    (folder / "orders.csv").write_text(ORDERS)
    assert rollcall(folder, "import", "orders", str(folder / "orders.csv")).code == 0
    return folder


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("segment", "list"), "No segments yet. `rollcall segment new`"),
        (("why", "ana@shop.example"), "There is no segment yet to be in"),
        (("plan",), "No segment is pushed anywhere"),
        (("ledger", "show"), "Nothing has been written"),
        (("runs",), "import"),
        (("fields",), "has a live record on HubSpot"),
    ],
)
def test_every_question_of_the_first_minutes_is_answered(corner: Path, command: tuple[str, ...], words: str) -> None:
    said = rollcall(corner, *command)
    assert said.code == 0
    assert words in " ".join(said.out.split())


def test_a_file_of_orders_and_nothing_else_is_enough_for_scores(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS.replace("Total\n", "Total;Currency\n").replace("0\n", "0;USD\n"))

    said = rollcall(tmp_path, "import", "orders", "orders.csv")

    assert said.code == 0
    assert "There was no rollcall.toml here" in said.out and "currency USD (as in the file)" in said.out
    assert rollcall(tmp_path, "score", "--as-of", "2026-05-01", "--horizon", "60", "--out-dir", "out").code == 0
    assert (tmp_path / "out" / "churn.csv").is_file()


def test_a_first_configuration_is_written_only_for_a_file_that_can_be_used_and_never_over_another(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(ORDERS)
    (tmp_path / "visits.csv").write_text("Page path,Views,Date\n/home,10,2026-01-01\n")
    config = tmp_path / "rollcall.toml"

    assert rollcall(tmp_path, "import", "events", "visits.csv").code == 2
    assert rollcall(tmp_path, "import", "orders", "orders.csv", "--config", "rollcall.toml").code == 2
    assert not config.exists()
    assert "EUR (a guess" in " ".join(rollcall(tmp_path, "import", "orders", "orders.csv", "--json").json["notes"])
    config.write_text(SHOP)
    assert "no rollcall.toml" not in rollcall(tmp_path, "import", "orders", "orders.csv").out
    assert config.read_text() == SHOP


def test_a_rule_that_begins_with_a_minus_is_a_rule(corner: Path) -> None:
    for rule in ("-5 < days_since_order", "-days_since_order < 5"):
        assert rollcall(corner, "segment", "test", rule, "--json").json["people"] == 2


def test_a_wrong_value_in_segment_new_is_asked_for_again(corner: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Two\n\norders_total\nis at least\nmany\n1\n\nn\n"))
    said = rollcall(corner, "segment", "new")
    assert "orders_total >= 1" in said.out and "2 of 2 people" in said.out
