"""The figures of a card with how sure they are, in words: a value, and in brackets the bounds that hold it in 95 of 100 draws."""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan
from typing import Any

Figures = dict[str, Any]

MORE_DIGITS = 4
"""So many forms are tried: they tell any figure a card keeps from zero."""


def sure(value: float, bounds: Figures, form: str = ".1%") -> str:
    """'0.78 (0.76 to 0.80)'; the value alone where there are no bounds, as on a card of an earlier version."""
    if "lo" not in bounds:
        return f"{value:{form}}"
    if form.startswith("+"):
        form = clear((value, bounds["lo"], bounds["hi"]), form)
    return f"{value:{form}} ({bounds['lo']:{form}} to {bounds['hi']:{form}})"


def lead(of: Figures, form: str = "+.3f") -> str:
    """'+0.011 (95 % interval +0.002 to +0.021)', in which none but a zero reads as zero: whether a lead is above it decides what
    is published, and a reader must see why."""
    form = clear((of["value"], of["lo"], of["hi"]), form)
    return f"{of['value']:{form}} (95 % interval {of['lo']:{form}} to {of['hi']:{form}})"


def clear(values: Iterable[float], form: str) -> str:
    """The form with as few more digits as it takes to tell all of these from zero: '+.4f' for '+.3f' where one is 0.0004."""
    known = [v for v in values if v and not isnan(v)]
    start, digits, unit = form.rpartition(".")[0], int(form.rpartition(".")[2][:-1]), form[-1]
    forms = [f"{start}.{n}{unit}" for n in range(digits, digits + MORE_DIGITS)]
    return next((f for f in forms if all(_shows(v, f) for v in known)), forms[-1])


def _shows(value: float, form: str) -> bool:
    return any(digit in f"{value:{form}}" for digit in "123456789")


def off_by(metrics: Figures) -> str:
    return f"Probabilities were off by {sure(metrics['ece'], metrics['intervals']['ece'])} on average."


def at_the_cut(metrics: Figures, did: str) -> list[str]:
    """Precision and recall of who is called high, and the figures that judge the whole ranking. did: such as 'ordered'."""
    high, known = metrics["high_tier"], metrics["intervals"]
    right, found = high["precision"], high["recall"]
    return [
        f"Called high: {high['people']:,} people. {sure(right['value'], right)} of them {did}, which is "
        f"{sure(found['value'], found)} of all who {did}; {sure(metrics['lift20'], known['lift20'], '.2f')} times what as many "
        "people drawn by lot would hold.",
        f"Average precision {sure(metrics['average_precision'], known['average_precision'], '.2f')}, Brier score "
        f"{sure(metrics['brier'], known['brier'], '.3f')}. Brackets hold 95 % intervals.",
    ]
