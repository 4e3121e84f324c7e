"""Segments before they are kept: a new rule against the members of now, and the ready-made ones with what they need."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stories.story import rollcall

SHOP = '[shop]\nname = "Corner"\ntimezone = "Europe/Berlin"\ncurrency = "EUR"\n'
BUYERS = '[[segment]]\nname = "Buyers"\nwhere = "revenue_total > {}"\n[[segment]]\nuse = "repeat_customers"\n'
ORDERS = "Customer Email;Order No;Order Date;Total\nana@shop.example;1;03.02.2026;12,50\nbo@shop.example;2;04.02.2026;8,00\n"


@pytest.fixture
def corner(tmp_path: Path) -> Path:
    (tmp_path / "rollcall.toml").write_text(SHOP + BUYERS.format(0))
    (tmp_path / "orders.csv").write_text(ORDERS)
    for command in (("import", "orders", "orders.csv"), ("plan",)):
        assert rollcall(tmp_path, *command).code == 0
    return tmp_path


def test_a_new_rule_is_shown_against_the_members_of_now_however_often_one_looks(corner: Path) -> None:
    for _ in range(2):
        said = rollcall(corner, "segment", "test", "revenue_total > 10", "--as", "buyers").out
        assert said.startswith("Buyers") and "1 of 2 people; 0 would enter, 1 leave." in said
        assert "Leaving, for example: b***@s***.example" in said and "Entering" not in said
    assert "1 of 2 people." in rollcall(corner, "segment", "test", "revenue_total > 10").out
    wrong = rollcall(corner, "segment", "test", "revenue_total > 10", "--as", "Buyrs")
    assert wrong.code == 2 and "'Buyers'" in wrong.err
    (corner / "rollcall.toml").write_text(SHOP + BUYERS.format(10))
    for _ in range(2):
        assert "0 would enter, 1 leave." in rollcall(corner, "segment", "show", "Buyers").out


def test_the_library_says_what_each_segment_means_and_needs_and_whether_it_is_ready_here(corner: Path) -> None:
    found = {g["name"]: g for g in rollcall(corner, "segment", "library", "--json").json["library"]}
    assert len(found) > 70
    assert found["repeat_customers"]["used_as"] == ["repeat_customers"] and found["repeat_customers"]["is_ready"]
    assert (found["churn_high"]["needs"], found["churn_high"]["not_ready"]) == (
        ["the score churn"],
        "needs scores, and there are none yet",
    )
    assert found["full_price_buyers"]["needs"] == ["orders", "discounts"]
    assert found["full_price_buyers"]["not_ready"] == "needs the discounts of orders, and no order says its own"
    assert found["neutral_or_low"]["needs"] == ["ratings", "orders"] and not found["neutral_or_low"]["is_ready"]
    assert found["city"]["parameters"] == {"city": ""} and "'...'" in found["city"]["meaning"]
    told = " ".join(rollcall(corner, "segment", "library").out.split())
    assert "city (yours)" in told and "days = 30" in told and "in use" in told
    ready = rollcall(corner, "segment", "library", "--ready", "--json").json["library"]
    assert {g["name"] for g in ready} == {n for n, g in found.items() if g["is_ready"]} < found.keys()
    (corner / "rollcall.toml").write_text(SHOP + '[[segment]]\nuse = "zzz"\n')
    assert "`rollcall segment library`" in rollcall(corner, "segment", "list").err
