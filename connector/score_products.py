"""Recommendations: ten products a person, judged against the bestsellers of the last 30 days."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from connector.score_catalogue import Goods
from connector.score_data import ShopData, date_of
from connector.score_parts import Scored, against, refused, with_notes
from connector.score_value import verdict
from models.scores import recommend
from models.scores.catalogue import Shelf
from models.scores.history import Lines
from models.scores.recommend import Offers, Recommender, bestsellers, bought_of

WINDOW_DAYS = 30
LEAST_BUYERS = 50
BY_RULE = "rule"
"""The tier of who gets the bestsellers although the score is published: of them nobody knows what they bought."""

WHY = {
    recommend.REPEAT: "bought before",
    recommend.GOES_WITH: "goes with what was bought",
    recommend.SELLS_NOW: "sells well now",
    recommend.NEW: "new in {category}",
    recommend.ON_OFFER: "on offer in {category}",
    recommend.LIKE: "like {like}, which was bought; no sales of its own to go by yet",
    recommend.SOLD_BEFORE: "sold here before",
}


def make(data: ShopData) -> Scored | None:
    """None where the shop's order lines are unknown."""
    if data.lines is None or not len(data.lines.day) or data.goods is None:
        return None
    card = refused(
        "recommendations", "Recommended products", "", horizon=WINDOW_DAYS, day=data.day.isoformat(), n=len(data.people)
    )
    closed = data.cutoff - WINDOW_DAYS
    catalogue = data.goods.catalogue
    past = Recommender().fit(data.lines, closed, catalogue).predict()
    ours = bought_of(past, data.lines, closed, WINDOW_DAYS)
    sold = _rule(data.lines, closed, past.person, catalogue.on(data.lines, closed))
    simple = bought_of(sold, data.lines, closed, WINDOW_DAYS)
    better = False
    if data.refusal or len(ours) < LEAST_BUYERS:
        why = data.refusal or f"{len(ours):,} known customers bought in the last {WINDOW_DAYS} days; {LEAST_BUYERS} are needed."
        card["lines"] = [f"Not published. {why}"]
    else:
        bought, rule_bought, gain = against(ours, simple)
        better = gain["lo"] > 0
        card |= {
            "is_published": better, "status": "published" if better else "rule", "confidence": "medium",
            "model": "own repeats, then co-occurrence and bestsellers, then new, on offer and alike",
            "metrics": {"bought_of_ten": bought, "rule_bought_of_ten": rule_bought, "difference": gain},
        }  # fmt: skip
        card["lines"] = [
            f"Checked on {date_of(closed)} to {date_of(data.cutoff - 1)}: of ten products each, {len(ours):,} buyers bought "
            f"{ours.mean():.2f} on average; of the ten bestsellers {simple.mean():.2f}.",
            verdict(card),
        ]
    shelf = catalogue.on(data.lines, data.cutoff)
    card["lines"] += _left_out(shelf)
    offers = Recommender().fit(data.lines, data.cutoff, catalogue).predict()
    if not better:
        offers = _rule(data.lines, data.cutoff, offers.person, shelf)
    rest = np.setdiff1d(np.arange(len(data.people)), offers.person)  # ordered, but nobody knows what
    tier = np.full(len(data.people), "", dtype="<U4")
    if better:
        tier[rest] = BY_RULE
    found = (offers, _rule(data.lines, data.cutoff, rest, shelf))
    return replace(_scored(data, data.goods, shelf, with_notes(card, data), *found), tier=tier)


def rule(data: ShopData) -> Scored:
    """The same list of bestsellers for everybody; nothing where no lines are known."""
    if data.lines is None or not len(data.lines.day) or data.goods is None:
        return Scored({})
    shelf = data.goods.catalogue.on(data.lines, data.cutoff)
    return _scored(data, data.goods, shelf, {}, _rule(data.lines, data.cutoff, np.arange(len(data.people)), shelf))


def simple_rule(data: ShopData, goods: Goods, cutoff: int, people: Any) -> Offers:
    """The bestsellers of that day, as the back-test would have offered them to these people."""
    assert data.lines is not None
    return _rule(data.lines, cutoff, people, goods.catalogue.on(data.lines, cutoff))


def _rule(lines: Lines, cutoff: int, people: Any, shelf: Shelf) -> Offers:
    return bestsellers(lines, cutoff, people, barred=~shelf.may_be_offered)


def _left_out(shelf: Shelf) -> list[str]:
    """What the owner must know of the products that were not offered."""
    known = shelf.catalogue
    if shelf.is_today:
        gone = int((known.is_withdrawn & ~known.is_barred).sum())
        return (
            [
                f"{gone:,} product{'s' if gone != 1 else ''} that cannot be bought today (sold out, or not for sale): offered to nobody."
            ]
            if gone
            else []
        )
    if not known.is_withdrawn.any():
        return []
    return ["Nobody knows what was in stock, for sale or on offer on that day: what is known of today was left aside."]


def _scored(data: ShopData, goods: Goods, shelf: Shelf, card: dict[str, Any], *found: Offers) -> Scored:
    value = np.full(len(data.people), np.nan)
    reasons: list[list[Any]] = [[] for _ in data.people]
    price = [_offer(goods, shelf, p) for p in range(len(goods.products))]
    for offers in found:
        for person, *table in zip(offers.person, offers.product, offers.why, offers.like, strict=True):
            offered = [(p, w, k) for p, w, k in zip(*table, strict=True) if p >= 0]
            value[person] = len(offered)
            reasons[person] = [
                {"product_id": goods.products[p][0], "title": goods.products[p][1], "why": _why(goods, p, w, k, price[p])}
                for p, w, k in offered
            ]
    return Scored(card, value, None, reasons)


def _why(goods: Goods, product: int, why: int, like: int, price: str) -> str:
    kind = goods.catalogue.category[product]
    text = WHY[why].format(category=goods.categories[kind] if kind >= 0 else "", like=goods.products[like][1])
    return text + (price if why == recommend.ON_OFFER else f"; on offer now{price}" if price else "")


def _offer(goods: Goods, shelf: Shelf, product: int) -> str:
    """': 9.90 instead of 12.90 EUR' of what is on offer; '' of the rest."""
    if not shelf.is_on_offer[product]:
        return ""
    now, usual = goods.catalogue.price[product], goods.catalogue.list_price[product]
    return f": {now:.2f} instead of {usual:.2f} {goods.currencies[product]}".rstrip()
