"""A demonstration in the folder of an owner: what is theirs stays as it is, and they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.sandbox import folder as made_up
from connector.sandbox.shop import Shop
from tests.stories.story import rollcall

URL = "http://127.0.0.1:8030"
OWN = '[shop]\nname = "Mine"\ntimezone = "UTC"\ncurrency = "EUR"\n'


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def served(folder: Path) -> None:
    made_up.write_folder(folder, Shop("Try", "EUR", "UTC", [], [], [], []), URL)


@pytest.mark.parametrize("name", ["rollcall.toml", "rollcall.duckdb", "rollcall.duckdb.keys"])
def test_a_demo_takes_no_owners_store_or_configuration_away(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(OWN)
    before = content(tmp_path)
    answer = rollcall(tmp_path, "demo", "--dir", ".", "--customers", "20")
    assert answer.code == 2 and "of your own" in answer.err and "--dir" in answer.err
    assert content(tmp_path) == before


def test_a_demo_takes_no_sandbox_away_that_was_led_to_a_live_account(tmp_path: Path) -> None:
    served(tmp_path)
    path = tmp_path / "rollcall.toml"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "base_url" not in line))
    with pytest.raises(FileExistsError, match="of your own"):
        made_up.require_made_up(tmp_path)


@pytest.mark.parametrize(
    ("before", "after"),
    [("orders_total >= 3", "orders_total >= 4"), ("[mailchimp]", "[privacy]\nkeep_raw_days = 5\n[mailchimp]")],
)
def test_a_demo_takes_no_rules_away_that_an_owner_wrote_into_a_sandbox(tmp_path: Path, before: str, after: str) -> None:
    served(tmp_path)
    path = tmp_path / "rollcall.toml"
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(FileExistsError, match="of your own"):
        made_up.require_made_up(tmp_path)


def test_a_sandbox_overwrites_no_key_of_an_owner(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "mailchimp").write_text("a key that is shown once\n")
    before = content(tmp_path)
    with pytest.raises(FileExistsError, match="secrets/mailchimp"):
        served(tmp_path)
    assert content(tmp_path) == before


def test_a_sandbox_and_a_demo_may_be_begun_again_where_one_was_made(tmp_path: Path) -> None:
    for _ in range(2):
        served(tmp_path)
        made_up.require_made_up(tmp_path)
