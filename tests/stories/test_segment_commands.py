"""Segments before they are kept: a new rule against the members of now, and the ready-made ones with what they need."""

from __future__ import annotations

import io
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


LINES = (
    "order_id,email,date,product,category,quantity,price\n1,ana@shop.example,2026-02-03,Assam,Tea,1,9\n"
    "2,ana@shop.example,2026-02-09,Darjeeling,Tea,1,9\n3,bo@shop.example,2026-02-04,Cup,Ware,1,9\n"
)


@pytest.mark.parametrize(("answers", "rule", "people"), [
    ("bought\nTea\n\n\n\nis at least\n2\n\nn\n", "bought(category => 'Tea') >= 2", 1),
    ("bought\nTea\n\n\n\nnot at all\n\nn\n", "not bought(category => 'Tea')", 1),
    ("bought\n\n%cup%\n\n36500\nat all\n\nn\n", "bought(product => '%cup%', days => 36500)", 1),
    ("spent\n\n\n\n\nis more than\n5\n\nn\n", "spent() > 5", 2),
    ("last\nbought\nTea\n\n\nis at least\n1\n\nn\n", "last(event => 'bought', category => 'Tea') >= 1", 1),
    ("last\nbougt\nbought\nTea\n\n\nninety\nat all\norders_total\nis at least\n3\n\nn\n", "orders_total >= 3", 0),
])  # fmt: skip
def test_segment_new_asks_what_people_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: str, rule: str, people: int
):
    (tmp_path / "rollcall.toml").write_text(SHOP)
    (tmp_path / "lines.csv").write_text(LINES)
    assert rollcall(tmp_path, "import", "order_lines", "lines.csv").code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(f"Tea people\n\n{answers}"))

    said = rollcall(tmp_path, "segment", "new")

    assert f'where = "{rule}"' in said.out and f"{people} of 2 people" in said.out
    assert "what people did: bought, spent, ordered" in said.err


def test_segment_new_takes_no_name_twice(corner: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("buyers\nOthers\n\norders_total\nis\n1\n\ny\n"))

    said = rollcall(corner, "segment", "new")

    assert "There is a segment 'Buyers' already." in said.err
    assert [g["name"] for g in rollcall(corner, "segment", "list", "--json").json["segments"]] == [
        "Buyers", "repeat_customers", "Others",
    ]  # fmt: skip


def test_a_segment_can_be_held_as_it_is_now(corner: Path):
    for wrong, answer in (("My list", "my_list"), ("orders_total", "already")):
        refused = rollcall(corner, "segment", "export", "Buyers", "held.csv", "--mark", wrong)
        assert refused.code == 2 and answer in refused.err

    assert rollcall(corner, "segment", "export", "Buyers", "held.csv", "--mark", "spring").code == 0
    assert rollcall(corner, "import", "contacts", "held.csv").code == 0
    (corner / "more.csv").write_text(ORDERS + "cleo@shop.example;3;05.02.2026;9,00\n")
    assert rollcall(corner, "import", "orders", "more.csv").code == 0

    held, now = (rollcall(corner, "segment", "test", rule, "--json").json["people"] for rule in ("spring", "orders_total >= 1"))
    assert (held, now) == (2, 3)
    fields = {f["name"] for f in rollcall(corner, "fields", "--json").json["fields"]}
    assert "spring" in fields and not fields & {"person_id", "may_be_mailed"}

    for rule, is_right in (("spring", True), ("sprong", False)):
        (corner / "rollcall.toml").write_text(SHOP + f'[[segment]]\nname = "Held"\nwhere = "{rule}"\n')
        found = {f["name"]: f for f in rollcall(corner, "check", "--json").json["findings"]}
        assert (found["segments"]["level"] == "ok") is is_right


def test_an_empty_history_says_what_writes_one(corner: Path):
    (corner / "rollcall.toml").write_text(SHOP + BUYERS.format(0) + '[[segment]]\nname = "Fresh"\nwhere = "aov > 1"\n')

    assert "Nothing is written down of 'Fresh' yet" in rollcall(corner, "segment", "history", "Fresh").out
