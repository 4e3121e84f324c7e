"""Whether what an owner is told would change a clause is so: the value is put in the person's place, and the oracle asked again.

Imports nothing of ours. A text that promises nothing ("whether it looks like 'B%' decides") is never wrong.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

from tests.stages.oracle import holds, value_of


def is_so(text: str, clause: Any, person: Any) -> bool:
    """`clause` as the oracle knows it, `text` what was said of it for this person."""
    while clause[0] == "not" or (clause[0] == "is" and clause[2]):
        clause = clause[1]
    if not text or text.startswith("ask for the segment"):
        return True
    term = _asked(clause)
    value, now = value_of(term, person), holds(clause, person)

    def turns(other: Any) -> bool:
        return holds(clause, person | {"told": {term: other}}) != now

    if found := re.search(r"; the bound is (\S+), (\S+) away$", text):
        bound, away = map(float, found.groups())
        around = [turns(bound + d) for d in (-1, -0.25, 0, 0.25, 1)]
        return abs(away - abs(bound - value)) < 1e-6 and any(around) and not all(around)
    if found := re.match(r"turns in (\d+) day", text):
        wait = int(found[1])
        return turns(value + wait) and not any(turns(value + k) for k in range(1, wait))
    if text.startswith("time will not turn it"):
        can_be_again = not text.endswith("happens once") and turns(0)
        return not can_be_again and not any(turns(value + k) for k in (1, 30, 400, 40000))
    if text.startswith("a new "):
        return turns(0) and not turns(value + 1)
    if text.startswith("nothing lies between"):
        return clause[2][1] > clause[3][1]
    if "only where that is not known any more" in text:
        return turns(None)
    if found := re.search(r"; with(out)? it this would turn$", text):
        word, held = clause[1], list(value or ())
        return turns([h for h in held if h != word] if found[1] else [*held, word])
    if "would turn it" in text or "would be enough to turn it" in text:
        said = re.split(r" would (?:turn it|be enough to turn it)", text.rsplit("; ", 1)[1])[0]
        return all(turns(v) for v in _promised(clause)[said])
    return True


def _asked(clause: Any) -> Any:
    """The term a clause is about."""
    if clause[0] == "is":
        return _asked(clause[1])
    if clause[0] in ("has", "list_contains"):
        return ("column", clause[2])
    if clause[0] in ("any", "all"):
        return ("column", clause[1])
    if clause[0] == "compare" and clause[1][0] not in ("column", "measure"):
        return clause[3]
    return clause[1]


def _promised(clause: Any) -> dict[str, list[Any]]:
    """What may be said before 'would turn it', and the values it stands for."""
    match clause:
        case ("null" | "known", _):
            return {"any value": [0, 5], "once": [0, 3]}
        case ("alone", _):
            return {"one": [1], "more than 0": [1], "once": [3]}
        case ("truth" | "is", *_):
            return {"yes": [True], "no": [False]}
        case ("in" | "not in", _, items):
            values = [i[1] for i in items]
            listed = " or ".join(map(_said, values))
            return {listed: values, f"anything but {listed}": [_beyond(values)]}
        case ("between" | "not between", _, low, high):
            low, high = low[1], high[1]
            span = f"{_said(low)} to {_said(high)}"
            return {span: [low, high], f"anything but {span}": [_beyond([high])],
                    f"less than {_said(low)} or more than {_said(high)}": [_below(low), _beyond([high])]}  # fmt: skip
        case ("compare", left, _, right):
            bound = right[1] if _asked(clause) == left else left[1]
            if isinstance(bound, bool):
                return {"yes": [True], "no": [False]}
            said, below, above = _said(bound), [_below(bound)] * (bound != ""), [_beyond([bound])]
            return {said: [bound], f"anything but {said}": above, f"less than {said}": below, f"{said} or less": [bound],
                    f"more than {said}": above, f"{said} or more": [bound], f"a day before {said}": below,
                    f"a day up to {said}": [bound], f"a day after {said}": above, f"a day from {said} on": [bound]}  # fmt: skip
    raise AssertionError(clause)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"'{value}'" if isinstance(value, str) else f"{value}".removesuffix(".0")


def _beyond(values: list[Any]) -> Any:
    """A value above all of these."""
    most = max(values)
    if isinstance(most, bool):
        return next((v for v in (True, False) if v not in values), None)
    return most + timedelta(days=1) if isinstance(most, date) else most + ("~" if isinstance(most, str) else 1)


def _below(value: Any) -> Any:
    return value - timedelta(days=1) if isinstance(value, date) else "" if isinstance(value, str) else value - 1
