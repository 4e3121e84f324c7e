"""The check of the profile's SQL finds each of the three ways in which engines differ, and nothing in the SQL as it stands."""

from __future__ import annotations

import pytest

from tests.house.portable_sql import breaches, main


@pytest.mark.parametrize(("sql", "rule"), [
    ("SELECT date_diff('day', a, b)", "rule 1"), ("SELECT datediff('day', a, b) FROM t", "rule 1"),
    ("SELECT age(a, b)", "rule 1"), ("SELECT revenue / orders", "rule 2"), ("SELECT sum(net) / nullif(count(*), 0)", "rule 2"),
    ("SELECT CAST(days AS DOUBLE) * 0.5", "rule 3"), ("SELECT exp(-days / 60.0)", "rule 3"), ("SELECT 1e3 * x", "rule 3"),
])  # fmt: skip
def test_what_engines_compute_differently_is_found(sql: str, rule: str):
    assert [b.startswith(rule) for b in breaches(sql)].count(True) == 1


@pytest.mark.parametrize("sql", [
    "SELECT CAST({day} - last_order_on AS INTEGER)".replace("{day}", "DATE '2026-07-01'"),
    "SELECT CAST(sum(net) AS DOUBLE) / nullif(count(*), 0)", "SELECT CAST('60.0' AS DOUBLE) * x", "SELECT x >= 0.5",
    "SELECT round(exp(CAST(days AS DOUBLE) * ln(2) / 30), 4)", "SELECT (5 * place) // n",
])  # fmt: skip
def test_what_is_the_same_everywhere_is_let_through(sql: str):
    assert list(breaches(sql)) == []


def test_the_profile_and_the_ready_made_rules_keep_the_three_rules(capsys):
    assert main() == 0, capsys.readouterr().err
