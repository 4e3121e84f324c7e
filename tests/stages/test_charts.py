"""The pictures of the report: months have room, and money is written out."""

from __future__ import annotations

import re

import pytest

from connector import charts


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]+)</text>", svg)


@pytest.mark.parametrize("months", [2, 12, 13, 23, 36])
def test_at_most_a_dozen_months_are_named(months: int) -> None:
    svg = charts.bars([f"m{n}" for n in range(months)], [5.0] * months, "orders")
    named = [t for t in texts(svg) if t.startswith("m")]
    assert named[0] == "m0" and len(named) <= 12


def test_large_amounts_are_written_out() -> None:
    svg = charts.pairs(["1"], [(2_000_000.0, 4_000_000.0)], "money")
    assert "4000000" in texts(svg) and "1e6" not in texts(svg)
