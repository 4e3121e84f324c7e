"""docs/platforms/shopify.md names every rule of the sheet, and every test it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/platforms/shopify.md").read_text(encoding="utf-8")
SHEET = ROOT.parent / "shared/platforms/shopify.md"


def known_tests() -> set[str]:
    rooms = (ROOT / "tests/sandbox", ROOT / "tests/stories")
    files = [*Path(__file__).parent.glob("test_*.py"), *(f for room in rooms for f in room.glob("test_shopify*.py"))]
    return {name for file in files for name in re.findall(r"(?m)^def (test_\w+)", file.read_text(encoding="utf-8"))}


def test_every_test_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 60 and named - known_tests() == set()


def test_every_row_of_the_rules_names_a_test() -> None:
    rules = PAGE.split("## Every rule")[1].split("\n## ")[0]
    rows = [line for line in rules.splitlines() if re.match(r"\| \d", line)]
    assert len(rows) > 70 and [r for r in rows if "`test_" not in r] == []


@pytest.mark.skipif(not SHEET.exists(), reason="the platform sheet is not beside this checkout")
def test_every_numbered_rule_and_trap_of_the_sheet_is_on_the_page() -> None:
    parts = dict(re.findall(r"(?ms)^## (\d+)\. .*?\n(.*?)(?=^## |\Z)", SHEET.read_text(encoding="utf-8")))
    rules = [f"0.{n}" for n in re.findall(r"(?m)^(\d+)\. ", parts["0"])]
    rules += [f"11.{n}" for n in re.findall(r"(?m)^\| (\d+) \|", parts["11"])]
    rules += [f"5.{n}" for n in re.findall(r"(?m)^([1-6])\. ", parts["5"])]
    assert len(rules) == 10 + 20 + 6
    assert [r for r in rules if f"\n| {r} " not in PAGE] == []
    assert [s for s in ("4", "5", "6", "7", "8.1", "8.2", "9") if f"\n| {s} " not in PAGE] == []
