"""What a rule means, in plain Python over plain facts. Imports nothing of ours, on purpose.

A rule is nested tuples. `facts` has for each person: columns (a dict, None where missing), orders [(days ago, money,
category)], clicks [(days ago, url)]. A comparison with a missing value is false; `not` turns it round. A yes or no that nobody
gave is missing too: neither `= true` nor `= false`.
"""

from __future__ import annotations

COMPARE = {"=": lambda a, b: a == b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
           ">=": lambda a, b: a >= b}  # fmt: skip


def holds(rule, person) -> bool:
    match rule:
        case ("not", inner):
            return not holds(inner, person)
        case ("and", left, right):
            return holds(left, person) and holds(right, person)
        case ("or", left, right):
            return holds(left, person) or holds(right, person)
        case ("yes", column):
            return person["columns"][column] is True
        case ("null", column):
            return person["columns"][column] is None
        case ("in", column, words):
            return person["columns"][column] in words
        case ("between", column, low, high):
            value = person["columns"][column]
            return value is not None and low <= value <= high
        case ("case", condition, then, otherwise):
            return holds(then, person) if holds(condition, person) else holds(otherwise, person)
        case ("alone", measure):
            return measured(measure, person) > 0 if measure[0] != "last" else measured(measure, person) is not None
        case ("compare", left, op, right):
            a, b = value_of(left, person), value_of(right, person)
            if op == "<>":
                return not (a is not None and b is not None and a == b)
            return a is not None and b is not None and COMPARE[op](a, b)
    raise AssertionError(rule)


def value_of(term, person):
    match term:
        case ("column", name):
            return person["columns"][name]
        case ("number" | "flag", n):
            return n
        case ("sum", left, right):
            a, b = value_of(left, person), value_of(right, person)
            return None if a is None or b is None else a + b
        case ("ratio", left, right):
            a, b = value_of(left, person), value_of(right, person)
            return None if a is None or not b else a / b
        case _:
            return measured(term, person)


def measured(term, person):
    match term:
        case ("bought", category, days):
            return sum(1 for ago, _, c in person["orders"] if category in (None, c) and (days is None or ago <= days))
        case ("spent", days):
            return sum(v for ago, v, _ in person["orders"] if days is None or ago <= days)
        case ("clicked", part, days):
            return sum(1 for ago, url in person["clicks"] if part in url and (days is None or ago <= days))
        case ("last", _):
            return min((ago for ago, _ in person["clicks"]), default=None)
    raise AssertionError(term)


def written(rule) -> str:
    """The rule as an owner writes it."""
    match rule:
        case ("not", inner):
            return f"not ({written(inner)})"
        case ("and" | "or" as op, left, right):
            return f"({written(left)} {op} {written(right)})"
        case ("yes", column):
            return column
        case ("null", column):
            return f"{column} is null"
        case ("in", column, words):
            return f"{column} in ({', '.join(repr(w) for w in words)})"
        case ("between", column, low, high):
            return f"{column} between {low} and {high}"
        case ("case", condition, then, otherwise):
            return f"case when {written(condition)} then {_flag(then)} else {_flag(otherwise)} end"
        case ("alone", measure):
            return term(measure)
        case ("compare", left, op, right):
            return f"{term(left)} {op} {term(right)}"
    raise AssertionError(rule)


def _flag(rule) -> str:
    """As a result of case a bare measure is its number, so it is made a yes or no first."""
    return f"not (not ({written(rule)}))" if rule[0] == "alone" else written(rule)


def term(value) -> str:
    match value:
        case ("column", name):
            return name
        case ("number" | "flag", n):
            return str(n).lower()
        case ("sum", left, right):
            return f"({term(left)} + {term(right)})"
        case ("ratio", left, right):
            return f"{term(left)} / {term(right)}"
        case ("bought", category, days):
            return f"bought({_arguments(category=category, days=days)})"
        case ("spent", days):
            return f"spent({_arguments(days=days)})"
        case ("clicked", part, days):
            return f"clicked({_arguments(url=f'%{part}%' if part else None, days=days)})"
        case ("last", event):
            return f"last(event => '{event}')"
    raise AssertionError(value)


def _arguments(**given) -> str:
    return ", ".join(f"{k} => {v!r}" for k, v in given.items() if v is not None)
