"""The pictures of a card: honest probabilities, what the best-ranked bring, tiers as expected and as they came, money."""

from __future__ import annotations

import numpy as np

from connector import charts
from connector.score_data import Checked
from connector.score_parts import Card, Scored

STEPS = 20


def prepare(checked: dict[str, Checked], found: list[Scored]) -> None:
    """Put the points of the pictures on the card of every score that was checked."""
    for scored in found:
        rows = checked.get(str(scored.card["score"]))
        if rows is None:
            continue
        order = np.argsort(-rows.expected, kind="stable")
        total = float(rows.truth.sum())
        parts = np.array_split(order, STEPS)
        reached = np.cumsum([float(rows.truth[p].sum()) for p in parts]) / total if total else np.zeros(STEPS)
        scored.card["gains"] = [[round((i + 1) / STEPS, 3), round(float(v), 4)] for i, v in enumerate(reached)]
        if rows.is_money:
            scored.card["deciles"] = [
                [round(float(rows.expected[p].sum()), 2), round(float(rows.truth[p].sum()), 2)]
                for p in np.array_split(order, 10)
                if len(p)
            ]


def svg(card: Card) -> str:
    """Every picture the card has points for, one after the other; '' for a refusal."""
    made = []
    if card.get("reliability"):
        made.append(charts.reliability(card["reliability"]))
    if card.get("gains"):
        made.append(charts.gains(card["gains"]))
    if card.get("tiers"):
        names = [str(t["tier"]) for t in card["tiers"]]
        made.append(charts.pairs(names, [(t["expected"], t["realised"]) for t in card["tiers"]], "tier, each person"))
    if card.get("deciles"):
        made.append(
            charts.pairs([str(n + 1) for n in range(len(card["deciles"]))], card["deciles"], "tenth, best first; money")
        )
    return "".join(made)
