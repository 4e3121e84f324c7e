"""What `why` says would change a clause is so: checked by sentence, and the days by counting on."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import pytest

from connector.rules import declared, parse
from connector.rules.turning import key_of, turning


def said(rule: str, **values: Any) -> str:
    tree = parse(rule, declared(("Other",))).tree
    found = {key_of(n): values.get(n.name) for n in tree.walk() if n.op in ("column", "measure")}
    return turning(tree, found)


SAID = [
    ("aov between 30 and 40", {"aov": 22.5}, "aov is 22.5; 30 to 40 would turn it, 7.5 away"),
    ("aov not between 30 and 40", {"aov": 35}, "aov is 35; less than 30 or more than 40 would turn it"),
    ("aov between 30 and 40", {}, "aov is not known; 30 to 40 would turn it"),
    ("aov between 40 and 30", {"aov": 35}, "nothing lies between 40 and 30"),
    ("last_order_on between '2026-01-01' and '2026-02-01'", {"last_order_on": date(2026, 3, 1)},
     "last_order_on is 2026-03-01; 2026-01-01 to 2026-02-01 would turn it"),
    ("last_order_on >= '2026-01-01'", {"last_order_on": date(2025, 3, 1)},
     "last_order_on is 2025-03-01; a day from 2026-01-01 on would turn it"),
    ("city between 'Z' and 'A'", {"city": "Kiel"}, "nothing lies between 'Z' and 'A'"),
    ("last_order_on between '2026-02-01' and '2026-01-01'", {}, "nothing lies between 2026-02-01 and 2026-01-01"),
    ("spent(days => 30)", {"spent": -5}, "spent(days => 30) is -5; more than 0 would turn it"),
    ("spent(days => 30)", {"spent": 0}, "spent(days => 30) is 0; one would be enough to turn it"),
    ("is_subscribed in (true)", {"is_subscribed": False}, "is_subscribed is no; yes would turn it"),
    ("city in ('Bonn', 'Ulm')", {"city": "Kiel"}, "city is 'Kiel'; 'Bonn' or 'Ulm' would turn it"),
    ("city not in ('Bonn', 'Ulm')", {"city": "Ulm"}, "city is 'Ulm'; anything but 'Bonn' or 'Ulm' would turn it"),
    ("city in ('Bonn')", {}, "city is not known; 'Bonn' would turn it"),
    ("orders_total in (1, 2)", {"orders_total": 2}, "orders_total is 2; anything but 1 or 2 would turn it"),
    ("city = 'Bonn'", {"city": "Kiel"}, "city is 'Kiel'; 'Bonn' would turn it"),
    ("city <> 'Bonn'", {"city": "Kiel"}, "city is 'Kiel'; 'Bonn' would turn it"),
    ("city = 'Bonn'", {"city": "Bonn"}, "city is 'Bonn'; anything but 'Bonn' would turn it"),
    ("city like 'B%'", {"city": "Kiel"}, "city is 'Kiel'; whether it looks like 'B%' decides"),
    ("contains(city, 'on')", {"city": "Bonn"}, "city is 'Bonn'; whether it contains 'on' decides"),
    ("'vip' in tags", {"tags": ["tea"]}, "tags do not hold 'vip'; with it this would turn"),
    ("not ('vip' in tags)", {"tags": ["vip"]}, "tags hold 'vip'; without it this would turn"),
    ("'vip' in tags", {}, "tags do not hold 'vip'; with it this would turn"),
    ("list_has_any(tags, ['a', 'b'])", {"tags": ["c"]}, "tags are 'c'; whether they include any of 'a', 'b' decides"),
    ("is_subscribed", {"is_subscribed": True}, "is_subscribed is yes; no would turn it"),
    ("not is_subscribed", {"is_subscribed": False}, "is_subscribed is no; yes would turn it"),
    ("is_subscribed = true", {"is_subscribed": False}, "is_subscribed is no; yes would turn it"),
    ("aov is null", {}, "aov is not known; any value would turn it"),
    ("aov is not null", {"aov": 12.5}, "aov is 12.5; it turns only where that is not known any more"),
    ("30 < aov", {"aov": 25.0}, "aov is 25; the bound is 30, 5 away"),
    ("aov > -3", {"aov": 2}, "aov is 2; the bound is -3, 5 away"),
    ("aov > 30", {}, "aov is not known"),
    ("segment('Other')", {}, "ask for the segment 'Other' to see why"),
    ("revenue_total / orders_total > 30", {"revenue_total": 1, "orders_total": 1}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "values", "expected"), SAID)
def test_every_kind_of_clause_says_what_would_change_it(rule: str, values: dict[str, Any], expected: str) -> None:
    assert said(rule, **values) == expected


RULES = {f"{{}} {op} {bound}": (op, bound) for op in ("<", "<=", ">", ">=") for bound in ("0", "1", "30", "30.5", "90")}
HOLDS = {"<": lambda d, b: d < b, "<=": lambda d, b: d <= b, ">": lambda d, b: d > b, ">=": lambda d, b: d >= b}
BETWEEN = ((0, 30), (1, 30), (31, 60), (30, 30))


def kept(text: str, holds: Any, days: int, *, once: bool) -> None:
    """What is said of `days` days is what counting on, or beginning again at 0, gives."""
    turns = next((k for k in range(1, 400) if holds(days + k) != holds(days)), 0)
    if wait := re.match(r"turns in (\d+) days?", text):
        assert turns == int(wait[1]), (text, days)
        assert once == ("unless" not in text) or "between" in text
    elif text.startswith("a new "):
        assert not once and holds(0) != holds(days) and not turns, (text, days)
    elif text.startswith("time will not turn it"):
        assert not turns and (once or holds(0) == holds(days)), (text, days)
    else:
        assert text.startswith("days_since_"), (text, days)


@pytest.mark.parametrize("column", ["days_since_order", "days_since_first_order", "days_since_engagement"])
def test_what_is_said_of_days_is_what_counting_them_gives(column: str) -> None:
    for days in (0, 1, 29, 30, 31, 60, 90, 91, 200):
        for rule, (op, bound) in RULES.items():
            text = said(rule.format(column), **{column: days})
            kept(text, lambda d, op=op, bound=bound: HOLDS[op](d, float(bound)), days, once=column == "days_since_first_order")
        for low, high in BETWEEN:
            text = said(f"{column} between {low} and {high}", **{column: days})
            if not (days < low and text.startswith("turns")):  # a new order only puts it off
                kept(text, lambda d, a=low, b=high: a <= d <= b, days, once=column == "days_since_first_order")


def test_a_first_order_does_not_happen_again() -> None:
    assert (
        said("days_since_first_order <= 30", days_since_first_order=100) == "time will not turn it; a first order happens once"
    )
    assert said("days_since_first_order <= 30", days_since_first_order=20) == "turns in 11 days"
    assert said("days_since_engagement > 60", days_since_engagement=70) == "a new open or click would turn it"
