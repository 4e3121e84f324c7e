"""What a rule means, in plain Python over plain facts. Imports nothing of ours, on purpose.

A rule is nested tuples; `tests/stages/rules_made.py` makes them up and `tests/stages/rules_written.py` writes them as an owner
does. `person` is what `tests/stages/rules_world.py` says of somebody: columns (None where missing), orders, events, carts.

What is not known is never true, and `not` turns that round. A yes or no that nobody gave is missing too: neither `= true` nor
`= false`. What a person is asked instead of having it looked up stands in `person["told"]`, by term (see `rules_turned.py`).
"""

from __future__ import annotations

import calendar
import math
import re
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

COMPARE = {
    "=": lambda a, b: a == b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}  # fmt: skip

KINDS = {
    "opened": ("open",), "clicked": ("click",), "received": ("sent",), "viewed": ("page_view", "product_view"),
    "rated": ("rating",), "submitted": ("form",), "searched": ("search",), "downloaded": ("download",), "asked": ("ticket",),
    "answered": ("survey",),
}  # fmt: skip

SOURCES = {"bought": "orders", "spent": "orders", "ordered": "orders", "converted": "orders", "abandoned": "carts"}

SAYS = {"form": "text", "term": "text", "file": "text", "answer": "text"}
"""Argument -> where an event says it, if not under the same name."""

OF_LINES = {"category", "product", "vendor"}
"""What is asked of the lines of an order."""

WITHIN = 5
"""So many days after a click an order is still brought by it, where a rule does not say."""


def holds(rule: Any, person: Any) -> bool:
    match rule:
        case ("not", inner):
            return not holds(inner, person)
        case ("and", *parts):
            return all(holds(p, person) for p in parts)
        case ("or", *parts):
            return any(holds(p, person) for p in parts)
        case ("is", inner, True):
            return holds(inner, person)
        case ("is", inner, False):
            return said(inner, person) is False
        case ("truth" | "choose", *_):
            return said(rule, person) is True
        case ("null", term):
            return value_of(term, person) is None
        case ("known", term):
            return value_of(term, person) is not None
        case ("in" | "not in" as op, term, items):
            value = value_of(term, person)
            return (value is not None and any(value == value_of(i, person) for i in items)) == (op == "in")
        case ("between" | "not between" as op, term, low, high):
            found = [value_of(t, person) for t in (low, term, high)]
            return (None not in found and found[0] <= found[1] <= found[2]) == (op == "between")
        case ("like" | "ilike" | "not like" | "not ilike" as op, term, pattern):
            value = value_of(term, person)
            is_like = value is not None and looks_like(value, pattern, ignores_case=op.endswith("ilike"))
            return is_like == (not op.startswith("not"))
        case ("has" | "list_contains", word, column):
            return word in (value_of(("column", column), person) or ())
        case ("any" | "all" as how, column, words):
            held = value_of(("column", column), person)
            return held is not None and {"any": any, "all": all}[how](w in held for w in words)
        case ("contains" | "starts_with" | "ends_with" as how, term, part):
            value, part = value_of(term, person), value_of(part, person)
            return value is not None and part is not None and _tested(how, value, part)
        case ("alone", measure):
            value = value_of(measure, person)
            return value is not None if measure[1] in ("first", "last") else value > 0
        case ("segment", _, other):
            return holds(other, person)
        case ("same", left, op, right):
            return holds(("compare", ("holds", left), op, ("holds", right)), person)
        case ("compare", left, op, right):
            a, b = value_of(left, person), value_of(right, person)
            if op == "<>":
                return not (a is not None and b is not None and a == b)
            return a is not None and b is not None and COMPARE[op](a, b)
    raise AssertionError(rule)


def said(rule: Any, person: Any) -> bool | None:
    """What a yes or no says where it is compared: a field, and what is picked from fields, may not be known; a condition holds
    or does not."""
    match rule:
        case ("truth", term):
            return value_of(term, person)
        case ("choose", condition, then, otherwise):
            return said(then if holds(condition, person) else otherwise, person)
    return holds(rule, person)


def _tested(how: str, value: str, part: str) -> bool:
    return {"contains": part in value, "starts_with": value.startswith(part), "ends_with": value.endswith(part)}[how]


def looks_like(value: str, pattern: str, *, ignores_case: bool) -> bool:
    """% is anything, _ one character; nothing else is special."""
    if ignores_case:
        value, pattern = value.lower(), pattern.lower()
    wanted = "".join({"%": ".*", "_": "."}.get(c) or re.escape(c) for c in pattern)
    return re.fullmatch(wanted, value, re.DOTALL) is not None


def value_of(term: Any, person: Any) -> Any:
    if term in person.get("told", {}):
        return person["told"][term]
    match term:
        case ("column", name):
            return person["columns"][name]
        case ("number" | "text" | "day" | "bool", value):
            return value
        case ("today",):
            return person["today"]
        case ("holds", rule):
            return said(rule, person)
        case ("measure", name, given):
            return measured(name, dict(given), person)
        case ("minus", inner):
            value = value_of(inner, person)
            return None if value is None else -value
        case ("case", *parts):
            pairs, otherwise = parts[:-1], parts[-1]
            chosen = next((t for condition, t in pairs if holds(condition, person)), otherwise)
            return None if chosen is None else value_of(chosen, person)
        case ("pick", asked, value, then, otherwise):  # case ... when
            return value_of(then if value_of(asked, person) == value_of(value, person) else otherwise, person)
        case ("shift", op, day, unit, count):
            start, n = value_of(day, person), value_of(count, person)
            return None if start is None or n is None else shifted(start, unit, -n if op == "-" else n)
        case ("days", left, right):
            a, b = value_of(left, person), value_of(right, person)
            return None if a is None or b is None else (a - b).days
        case ("arith", op, left, right):
            a, b = value_of(left, person), value_of(right, person)
            return None if a is None or b is None else _reckoned(op, a, b)
        case ("call", name, *inner):
            return called(name, [value_of(i, person) for i in inner])
    raise AssertionError(term)


def _reckoned(op: str, a: float, b: float) -> float | None:
    if op in "/%" and b == 0:
        return None
    return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b, "%": lambda: math.fmod(a, b)}[op]()


def shifted(day: date, unit: str, count: int) -> date:
    """A month on from the 31st is the last day of the next month."""
    if unit in ("day", "week"):
        return day + timedelta(days=count * (7 if unit == "week" else 1))
    months = day.year * 12 + day.month - 1 + count * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def called(name: str, found: list[Any]) -> Any:
    known = [v for v in found if v is not None]
    if name == "coalesce":
        return known[0] if known else None
    if name in ("least", "greatest"):  # of those that are known
        return (min if name == "least" else max)(known, default=None)
    if name == "items":  # who has no list has an empty one
        return len(found[0] or ())
    if found[0] is None:
        return None
    match name, *found:
        case "abs", v:
            return abs(v)
        case "floor", v:
            return math.floor(v)
        case "ceil", v:
            return math.ceil(v)
        case "round", v, *places:
            step = Decimal(1).scaleb(-int(places[0] if places else 0))
            return float(Decimal(v).quantize(step, rounding=ROUND_HALF_UP))
        case "nullif", v, other:
            return None if other is not None and v == other else v
        case "lower", v:
            return v.lower()
        case "upper", v:
            return v.upper()
        case "trim", v:
            return v.strip(" ")
        case "length", v:
            return len(v)
        case "year" | "month" | "day", v:
            return getattr(v, name)
        case "dayofweek", v:  # 0 is Sunday
            return v.isoweekday() % 7
    raise AssertionError(name)


# ---- what people did


def measured(name: str, given: dict[str, Any], person: Any) -> Any:
    """A count, money, or days ago; None for the first and last time of what never happened."""
    if name in ("first", "last"):
        found = [one["ago"] for one in _rows(given.pop("event"), given, person)]
        return max(found) if name == "first" and found else min(found, default=None)
    rows = _rows(name, given, person)
    if name != "spent":
        return len(rows)
    if given.keys() & OF_LINES:
        return sum(x["amount"] for o in rows for x in o["lines"] if _is_such(x, given))
    return sum(o["net"] or 0 for o in rows)


def _rows(name: str, given: dict[str, Any], person: Any) -> list[Any]:
    source = SOURCES.get(name, "events")
    found = [r for r in person[source] if r["ago"] <= given.get("days", 10**6)]
    if name in ("bought", "spent"):
        is_all = not given.keys() & OF_LINES
        if name == "spent" and is_all:
            return found
        return [o for o in found if o["counts"] and (is_all or any(_is_such(x, given) for x in o["lines"]))]
    if name == "ordered":
        return [o for o in found if o["counts"] and _is_within(o["net"], given, "_total")]
    if name == "converted":
        return [o for o in found if o["counts"] and _was_brought(o, given, person)]
    if name == "abandoned":
        return [c for c in found if c["is_open"] and _is_within(c["total"], given, "_total") and _holds_item(c, given)]
    return [e for e in found if _is_event(e, name, given)]


def _is_such(one: Any, given: dict[str, Any]) -> bool:
    return all(_any_word(one[k], given[k]) for k in OF_LINES if k in given)


def _is_within(value: Any, given: dict[str, Any], kind: str) -> bool:
    """Between what is asked for as least and most; what is not known is not."""
    low, high = given.get(f"min{kind}"), given.get(f"max{kind}")
    if low is None and high is None:
        return True
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def _was_brought(order: Any, given: dict[str, Any], person: Any) -> bool:
    """By the last click of a person's in a mail before it, if that was in such a campaign and so many days ago at most."""
    clicks = [e for e in person["events"] if e["kind"] == "click" and not e["is_machine"] and e["at"] <= order["at"]]
    if not clicks:
        return False
    last = max(clicks, key=lambda e: e["at"])
    is_such = "campaign" not in given or _any_word(last["campaign"], given["campaign"])
    return is_such and last["ago"] - order["ago"] <= given.get("within", WITHIN)


def _holds_item(cart: Any, given: dict[str, Any]) -> bool:
    return "product" not in given or any(_any_word([w for w in item if w], given["product"]) for item in cart["items"])


def _is_event(one: Any, name: str, given: dict[str, Any]) -> bool:
    if one["kind"] not in KINDS[name] or (name in ("opened", "clicked") and one["is_machine"]):
        return False
    if not _is_within(one["value"], given, ""):
        return False
    if "topic" in given and not _any_word(one["category"] or one["text"], given["topic"]):
        return False
    texts = {k: v for k, v in given.items() if k not in ("days", "min", "max", "topic")}
    return all(_any_word(one[SAYS.get(k, k)], v) for k, v in texts.items())


def _any_word(said: Any, wanted: str) -> bool:
    """Whether one of the words is what is asked for: without regard to case, with a % as a pattern."""
    words = said if isinstance(said, list) else [said] if said else []
    if "%" in wanted:
        return any(looks_like(w, wanted, ignores_case=True) for w in words)
    return any(w.lower() == wanted.lower() for w in words)


# ---- the clauses an owner is shown


def clauses(rule: Any) -> list[Any]:
    """The rule and what its and, or and not are made of; `a and (b and c)` is three clauses."""
    if rule[0] in ("and", "or"):
        return [rule, *(c for part in _flat(rule) for c in clauses(part))]
    if rule[0] == "not" and (rule[1][0] in ("and", "or", "not") or is_opposite(rule[1])):
        return [rule, *clauses(rule[1])]
    return [rule]


def is_opposite(rule: Any) -> bool:
    """`x not in (...)` and the like say not themselves; the first or last time of something alone is: not never."""
    return rule[0].startswith("not ") or rule[0] == "known" or (rule[0] == "alone" and rule[1][1] in ("first", "last"))


def _flat(rule: Any) -> list[Any]:
    return [p for part in rule[1:] for p in (_flat(part) if part[0] == rule[0] else [part])]
