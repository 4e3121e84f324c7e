"""The reasons of the scores made from purchases, for everybody at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from connector.score_data import ShopData
from connector.score_parts import Scored
from models.scores.history import Floats
from models.scores.reasons import in_words, least_chance, least_money, moves
from models.scores.views import Views


class _Told(NamedTuple):
    least: Callable[[Floats], Floats]
    say: Callable[[float, str], str]


def _money(move: float, currency: str) -> str:
    return f"{'adds' if move > 0 else 'takes off'} {abs(move):,.2f} {currency}"


TOLD = {
    "churn": _Told(least_chance, lambda move, _: f"{'raises' if move > 0 else 'lowers'} the risk by {abs(move):.0%}"),
    "purchase_30d": _Told(least_chance, lambda move, _: f"{'raises' if move > 0 else 'lowers'} the chance by {abs(move):.0%}"),
    "clv": _Told(least_money, _money),
    "clv_365d": _Told(least_money, _money),
}


def tell(data: ShopData, views: Views, found: list[Scored]) -> list[Scored]:
    """The same scores, those that are published and judged by a model with their reasons."""
    judges = {s.card["score"]: s.judge for s in found if s.judge is not None and s.card["is_published"]}
    if not judges:
        return found
    view = views.at(data.cutoff)
    moved = moves(views, view, judges)

    def told(score: str, own: Floats) -> list[list[str]]:
        rule = TOLD[score]
        return in_words(views, view, moved[score], rule.least(own), lambda move: rule.say(move, data.currency), data.today)

    return [
        replace(s, reasons=told(s.card["score"], s.value)) if s.card["score"] in judges and s.value is not None else s
        for s in found
    ]
