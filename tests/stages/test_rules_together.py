"""Rules that are valid and hardly ever meant: conditions that leave nobody, and such as say nothing of a person."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector.rules import RuleError, declared, parse

PLAIN = declared(("VIP",), "EUR")
WORDS = replace(PLAIN, columns={**PLAIN.columns, "country": replace(PLAIN.columns["country"], values=frozenset({"DE", "FR"}))})


def notes(rule: str) -> list[str]:
    return [w.message for w in parse(rule, WORDS).warnings]


@pytest.mark.parametrize(("rule", "clash"), [
    ("aov > 30 and aov < 20", "aov > 30 and aov < 20"),
    ("aov > 30 and aov <= 30", "aov > 30 and aov <= 30"),
    ("20 > aov and orders_total > 1 and 30 < aov", "20 > aov and 30 < aov"),
    ("aov > -3 and aov < -5", "aov > -3 and aov < -5"),
    ("orders_total = 3 and orders_total > 5", "orders_total = 3 and orders_total > 5"),
    ("orders_total >= 5 and orders_total = 4", "orders_total >= 5 and orders_total = 4"),
    ("city = 'Bonn' and city = 'Ulm'", "city = 'Bonn' and city = 'Ulm'"),
    ("last_order_on > '2026-01-01' and last_order_on < '2025-01-01'",
     "last_order_on > '2026-01-01' and last_order_on < '2025-01-01'"),
    ("aov > 1 or (opened(days => 9) >= 2 and opened(days => 9) < 2)", "opened(days => 9) >= 2 and opened(days => 9) < 2"),
])  # fmt: skip
def test_conditions_that_cannot_both_hold_are_told(rule: str, clash: str):
    assert notes(rule) == [f"Nobody is {clash} at once. Was or meant?"]


@pytest.mark.parametrize("rule", [
    "aov >= 30 and aov <= 30", "30 < aov and aov < 30.5", "orders_total = 3 and orders_total >= 3", "aov > 20 and aov > 30",
    "orders_total > 5 and orders_total = 7", "opened(days => 9) > 2 and opened(days => 30) < 2", "aov > 30 or aov < 20",
    "first_order_on < '2025-01-01' and last_order_on > '2026-01-01'", "city = 'Bonn' and (city = 'Ulm' or aov > 3)",
    "city <> 'Bonn' and city <> 'Ulm'", "true", "everyone_else() and aov > 3", "month(current_date) = 12 and aov > 3",
])  # fmt: skip
def test_conditions_that_can_all_hold_are_let_be(rule: str):
    assert notes(rule) == []


@pytest.mark.parametrize(("rule", "part"), [
    ("1 = 1", "1 = 1"), ("aov > 3 or true", "true"), ("aov > 3 and not ('a' < 'b')", "'a' < 'b'"),
])  # fmt: skip
def test_a_condition_that_says_nothing_of_a_person_is_told(rule: str, part: str):
    assert notes(rule) == [f"{part} is the same for everybody: it says nothing of a person."]


@pytest.mark.parametrize(("rule", "meant"), [
    ("country = 'Germany'", "DE"), ("country in ('DE', 'France')", "FR"), ("country = 'de'", "DE"), ("country <> 'Frankreich'", "FR"),
])  # fmt: skip
def test_a_country_by_its_name_is_answered_with_its_code(rule: str, meant: str):
    (note,) = notes(rule)
    assert note.endswith(f"Did you mean '{meant}'?")


def test_a_country_that_nobody_lives_in_has_no_code_to_offer():
    assert notes("country = 'Spain'") == ["'country' is never 'Spain' in the data."]


@pytest.mark.parametrize(("rule", "answer", "place"), [
    ("orders_total is distinct from 3", "Write <> or =", "from"),
    ("random() < 0.5", "There is no function 'random' in rules.", "random()"),
    ("search('x')", "There is no function 'search' in rules. Did you mean 'searched'?", "search"),
    ("revenue_total > 100 EUR", "Leave out EUR: numbers stand alone, money is in the shop's currency.", "EUR"),
    ("days_since_order > 30 days", "Leave out days: numbers stand alone", "days"),
    ("aov > 30%", "A share is written without it: 0.3 for 30 %.", "%"),
])  # fmt: skip
def test_slips_are_answered_with_what_was_written(rule: str, answer: str, place: str):
    with pytest.raises(RuleError) as e:
        parse(rule, WORDS)

    assert answer in e.value.reason
    assert rule[e.value.place.start : e.value.place.end] == place
