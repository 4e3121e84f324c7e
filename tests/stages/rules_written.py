"""A made-up rule as an owner writes it. Imports nothing of ours."""

from __future__ import annotations

from datetime import date
from typing import Any


def written(rule: Any) -> str:
    match rule:
        case ("not", inner):
            return f"not ({written(inner)})"
        case ("and" | "or" as op, *parts):
            return "(" + f" {op} ".join(written(p) for p in parts) + ")"
        case ("truth", value):
            return term(value)
        case ("is", inner, is_so):
            return f"({written(inner)}) is {str(is_so).lower()}"
        case ("null", value):
            return f"{term(value)} is null"
        case ("known", value):
            return f"{term(value)} is not null"
        case ("in" | "not in" as op, value, items):
            return f"{term(value)} {op} ({', '.join(term(i) for i in items)})"
        case ("between" | "not between" as op, value, low, high):
            return f"{term(value)} {op} {term(low)} and {term(high)}"
        case ("like" | "ilike" | "not like" | "not ilike" as op, value, pattern):
            return f"{term(value)} {op} {quoted(pattern)}"
        case ("has", word, column):
            return f"{quoted(word)} in {column}"
        case ("list_contains", word, column):
            return f"list_contains({column}, {quoted(word)})"
        case ("any" | "all" as how, column, words):
            return f"list_has_{how}({column}, [{', '.join(quoted(w) for w in words)}])"
        case ("contains" | "starts_with" | "ends_with" as how, value, part):
            return f"{how}({term(value)}, {term(part)})"
        case ("choose", condition, then, otherwise):
            return f"case when {written(condition)} then {_result(then)} else {_result(otherwise)} end"
        case ("alone", measure):
            return term(measure)
        case ("segment", name, _):
            return f"segment({quoted(name)})"
        case ("same", left, op, right):
            return f"({_result(left)}) {op} ({_result(right)})"
        case ("compare", left, op, right):
            return f"{term(left)} {op} {term(right)}"
    raise AssertionError(rule)


def _result(rule: Any) -> str:
    """As a value a bare measure is its number, so it is made a yes or no first."""
    return f"not (not ({written(rule)}))" if rule[0] == "alone" else written(rule)


def term(value: Any) -> str:
    match value:
        case ("column", name):
            return name
        case ("number", n):
            return str(n)
        case ("text", word):
            return quoted(word)
        case ("bool", is_so):
            return str(is_so).lower()
        case ("day", day):
            return f"date '{day}'"
        case ("today",):
            return "current_date"
        case ("holds", rule):
            return f"({_result(rule)})"
        case ("measure", name, given):
            return f"{name}({', '.join(f'{k} => {_argument(v)}' for k, v in given)})"
        case ("minus", inner):
            return f"-({term(inner)})"
        case ("case", *parts):
            pairs = " ".join(f"when {written(c)} then {term(t)}" for c, t in parts[:-1])
            return f"case {pairs}{'' if parts[-1] is None else f' else {term(parts[-1])}'} end"
        case ("pick", asked, value, then, otherwise):
            return f"case {term(asked)} when {term(value)} then {term(then)} else {term(otherwise)} end"
        case ("shift", op, day, unit, count):
            span = term(count) if unit == "day" else f"interval {count[1]} {unit}"
            return f"({term(day)} {op} {span})"
        case ("days", left, right):
            return f"({term(left)} - {term(right)})"
        case ("arith", op, left, right):
            return f"({term(left)} {op} {term(right)})"
        case ("call", "items", column):
            return f"length({term(column)})"
        case ("call", name, *inner):
            return f"{name}({', '.join(term(i) for i in inner)})"
    raise AssertionError(value)


def _argument(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else str(value)


def quoted(word: str | date) -> str:
    return "'" + str(word).replace("'", "''") + "'"
