"""The figures of a card with how sure they are, in words: a value, and in brackets the bounds that hold it in 95 of 100 draws."""

from __future__ import annotations

from typing import Any

Figures = dict[str, Any]


def sure(value: float, bounds: Figures, form: str = ".1%") -> str:
    """'0.78 (0.76 to 0.80)'; the value alone where there are no bounds, as on a card of an earlier version."""
    if "lo" not in bounds:
        return f"{value:{form}}"
    return f"{value:{form}} ({bounds['lo']:{form}} to {bounds['hi']:{form}})"


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
