"""Recommendations: ten products a person, judged against the bestsellers of the last 30 days."""

from __future__ import annotations

from typing import Any

import numpy as np

from connector.score_data import ShopData, date_of
from connector.score_parts import Scored, against, refused, with_notes
from connector.score_value import verdict
from models.scores.recommend import Offers, Recommender, bestsellers, hit_rate

WINDOW_DAYS = 30
LEAST_BUYERS = 50
WHY = ("bought before", "goes with what was bought", "sells well now")


def make(data: ShopData) -> Scored | None:
    """None where the shop's order lines are unknown."""
    if data.lines is None or not len(data.lines.day):
        return None
    card = refused(
        "recommendations", "Recommended products", "", horizon=WINDOW_DAYS, day=data.day.isoformat(), n=len(data.people)
    )
    closed = data.cutoff - WINDOW_DAYS
    past = Recommender().fit(data.lines, closed).predict()
    ours = hit_rate(past, data.lines, closed, WINDOW_DAYS)
    simple = hit_rate(bestsellers(data.lines, closed, past.person), data.lines, closed, WINDOW_DAYS)
    better = False
    if data.refusal or len(ours) < LEAST_BUYERS:
        why = data.refusal or f"{len(ours):,} known customers bought in the last {WINDOW_DAYS} days; {LEAST_BUYERS} are needed."
        card["lines"] = [f"Not published. {why}"]
    else:
        bought, rule_bought, gain = against(ours, simple)
        better = gain["lo"] > 0
        card |= {
            "is_published": better, "status": "published" if better else "rule", "confidence": "medium",
            "model": "own repeats, then co-occurrence and bestsellers",
            "metrics": {"bought_of_ten": bought, "rule_bought_of_ten": rule_bought, "difference": gain},
        }  # fmt: skip
        card["lines"] = [
            f"Checked on {date_of(closed)} to {date_of(data.cutoff - 1)}: of ten products each, {len(ours):,} buyers bought "
            f"{ours.mean() * 10:.2f} on average; of the ten bestsellers {simple.mean() * 10:.2f}.",
            verdict(card),
        ]
    model = Recommender().fit(data.lines, data.cutoff)
    offers = model.predict()
    if not better:
        offers = bestsellers(data.lines, data.cutoff, offers.person)
    rest = np.setdiff1d(np.arange(len(data.people)), offers.person)  # ordered, but nobody knows what
    return _scored(data, with_notes(card, data), offers, bestsellers(data.lines, data.cutoff, rest))


def _scored(data: ShopData, card: dict[str, Any], *found: Offers) -> Scored:
    value = np.full(len(data.people), np.nan)
    reasons: list[list[Any]] = [[] for _ in data.people]
    for offers in found:
        for person, products, why in zip(offers.person, offers.product, offers.why, strict=True):
            value[person] = len(products)
            reasons[person] = [
                {"product_id": data.products[p][0], "title": data.products[p][1], "why": WHY[w]}
                for p, w in zip(products, why, strict=True)
            ]
    return Scored(card, value, None, reasons)
