"""How one earlier score turned out, now that its horizon has closed: each kind by what it promised, and against the same simple rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import orjson

from connector import next_category, score_products
from connector.config import Config
from connector.engagement import MailData
from connector.score_about import ON_MAIL
from connector.score_data import ShopData, date_of
from connector.score_parts import Card, against, tier_table
from connector.score_words import sure
from connector.store import Store
from models.scores import intervals, measure
from models.scores.history import Floats, Ints, no_order_within
from models.scores.mail import answers_within
from models.scores.next_order import wait_within
from models.scores.recommend import Offers, bought_of
from models.scores.taste import hits, usual
from models.scores.value import spend_within
from models.segments import AsOf

DECAY = 0.03
"""Points of AUC (or Gini) below the back-test's own interval that count as decay."""

LEAST_INSIDE = 0.7
"""A range that is to hold 8 of 10 next orders and beyond doubt holds fewer than this is not published either."""

MONEY = ("clv", "clv_365d")
TASTES = ("next_category", "next_topic")


@dataclass(frozen=True)
class Known:
    """What is known today, to grade by."""

    store: Store
    config: Config
    as_of: AsOf
    data: ShopData
    mail: MailData


@dataclass(frozen=True)
class Kept:
    """One score of an earlier run: whose, the values, the day it saw up to, how far it spoke, and what its card promised."""

    score: str
    cutoff: date
    sees_until: int
    horizon: int
    model: str
    card: Card
    people: list[str]
    value: Floats
    tier: list[str] = field(default_factory=list)
    extra: list[Any] = field(default_factory=list)
    """Per person the bounds of the next order (None where one lacks), or the ids of the products recommended; else empty."""


@dataclass(frozen=True)
class _Due:
    """The rows of a kept score that can be graded: `person` are the places of those who are still known."""

    kept: Kept
    person: Ints
    value: Floats
    tier: Any
    extra: list[Any]


def read(store: Store, name: str, cutoff: date, sees_until: int, horizon: int, card: Card) -> Kept | None:
    """The rows of a published score; None where none are kept."""
    rows = store.sql(
        "SELECT person_id, value, coalesce(tier, '') FROM scores WHERE score = ? AND cutoff = ? AND is_published ORDER BY person_id",
        [name, cutoff],
    )
    if not rows:
        return None
    people = [p for p, _, _ in rows]
    extra: list[Any] = []
    if name == "next_order":
        low, high = (
            dict(store.sql("SELECT person_id, value FROM scores WHERE score = ? AND cutoff = ?", [f"{name}_{end}", cutoff]))
            for end in ("lo", "hi")
        )
        extra = [(low[p], high[p]) if p in low and p in high else None for p in people]
    if name == "recommendations":
        offered = dict(
            store.sql("SELECT person_id, reasons FROM scores WHERE score = ? AND cutoff = ? AND is_published", [name, cutoff])
        )
        extra = [[str(o["product_id"]) for o in orjson.loads(offered[p] or "[]")] for p in people]
    value = np.array([v for _, v, _ in rows], dtype=float)
    return Kept(name, cutoff, sees_until, horizon, str(card["model"]), card, people, value, [t for *_, t in rows], extra)


def outcome(kept: Kept, known: Known) -> Card | None:
    """What came true; people who are gone since are left out. None where nobody is left to grade by."""
    place = {p: i for i, p in enumerate(known.mail.people if kept.score in ON_MAIL else known.data.everyone)}
    rows = [i for i, p in enumerate(kept.people) if p in place]
    tier = np.array(kept.tier or [""] * len(kept.people), dtype=object)
    due = _Due(
        kept, np.array([place[kept.people[i]] for i in rows], dtype=np.int64), kept.value[rows], tier[rows],
        [kept.extra[i] for i in rows] if kept.extra else [],
    )  # fmt: skip
    found = GRADERS[kept.score](due, known) if rows else None
    if found is None:
        return None
    closed = date_of(kept.sees_until + kept.horizon - 1).isoformat()
    base: Card = {"score": kept.score, "cutoff": kept.cutoff.isoformat(), "closed": closed, "model": kept.model, "n": len(rows)}
    return base | found


def _chance(due: _Due, known: Known) -> Card:
    kept, truth = due.kept, _came(due, known)
    auc = measure.auc(truth, due.value)
    return {
        "expected": round(float(due.value.mean()), 4), "realised": round(float(truth.mean()), 4), "auc": _told(auc),
        "ece": round(measure.calibration(truth, due.value)[0], 4), "tiers": tier_table(due.tier, due.value, truth),
        "has_decayed": _below(kept.card, "auc", auc),
    }  # fmt: skip


def _came(due: _Due, known: Known) -> Any:
    kept = due.kept
    if kept.score == "engagement":
        return answers_within(known.mail.views.mail, due.person, kept.sees_until, kept.horizon)
    silent = no_order_within(known.data.orders, due.person, kept.sees_until, kept.horizon)
    return silent if kept.score == "churn" else ~silent


def _money(due: _Due, known: Known) -> Card:
    kept = due.kept
    spent = spend_within(known.data.orders, due.person, kept.sees_until, kept.horizon)
    gini, total = measure.gini(spent, due.value), float(spent.sum())
    return {
        "expected": round(float(due.value.mean()), 4), "realised": round(float(spent.mean()), 4), "gini": _told(gini),
        "total_error": round(float(due.value.sum()) / total - 1, 4) if total > 0 else None,
        "tiers": tier_table(due.tier, due.value, spent), "has_decayed": _below(kept.card, "gini", gini),
    }  # fmt: skip


def _date(due: _Due, known: Known) -> Card | None:
    """Of those who had a date and ordered within the horizon, as the back-test counts them."""
    kept = due.kept
    wait = wait_within(known.data.orders, due.person, kept.sees_until, kept.horizon)
    seen = ~np.isnan(wait) & np.array([e is not None for e in due.extra], dtype=bool)
    if not seen.any():
        return None
    came, bounds = kept.sees_until + wait[seen], np.array([e for e, s in zip(due.extra, seen, strict=True) if s], dtype=float)
    off = np.abs(due.value[seen] - came)
    inside = intervals.share(int(((came >= bounds[:, 0]) & (came <= bounds[:, 1])).sum()), len(came))
    days = {"value": round(float(np.median(off)), 1), **intervals.bounds(intervals.of_median(off))}
    return {"came_back": len(came), "inside_80": inside, "median_days_off": days, "has_decayed": inside["hi"] < LEAST_INSIDE}


def _offers(due: _Due, known: Known) -> Card | None:
    """Of those who ordered a known product: who bought one of the ten. Who was given the bestsellers is left out."""
    data, kept = known.data, due.kept
    mine = np.flatnonzero(due.tier != score_products.BY_RULE)
    if data.lines is None or data.goods is None or not len(mine):
        return None
    number = {product: i for i, (product, _) in enumerate(data.goods.products)}
    table = np.full((len(mine), max(1, max(len(due.extra[i]) for i in mine))), -1, dtype=np.int64)
    for row, i in enumerate(mine):
        for column, product in enumerate(due.extra[i]):
            table[row, column] = number.get(product, -1)
    offers = Offers(due.person[mine], table, np.zeros_like(table), np.full_like(table, -1))
    simple = score_products.simple_rule(data, data.goods, kept.sees_until, offers.person)
    ours, theirs = ((bought_of(o, data.lines, kept.sees_until, kept.horizon) > 0).astype(float) for o in (offers, simple))
    return _beside_rule(ours, theirs)


def _taste(due: _Due, known: Known) -> Card | None:
    """Of those who chose again: who chose what was foretold. What the shop no longer names is left out."""
    kept = due.kept
    names, chosen = next_category.choices(kept.score, known.store, known.config, known.as_of, known.data, known.mail.people)
    code = {n: i for i, n in enumerate(names)}
    own = np.array([i for i, t in enumerate(due.tier) if t in code], dtype=np.int64)
    whom, most = usual(chosen, kept.sees_until) if len(names) else (np.empty(0, np.int64), np.empty(0, np.int64))
    own = own[np.isin(due.person[own], whom)]
    if not len(own):
        return None
    person = due.person[own]
    said = np.array([code[due.tier[i]] for i in own], dtype=np.int64)
    ours = hits(chosen, person, said, kept.sees_until, kept.horizon)
    theirs = hits(chosen, person, most[np.searchsorted(whom, person)], kept.sees_until, kept.horizon)
    again = ~np.isnan(ours)
    found = _beside_rule(ours[again], theirs[again])
    return found and {**found, "expected": round(float(due.value[own][again].mean()), 4)}


def _beside_rule(ours: Floats, theirs: Floats) -> Card | None:
    """The share that was right, the simple rule's over the same people, and the difference."""
    if not len(ours):
        return None
    right, rule, gain = against(ours, theirs)
    return {"came_back": len(ours), "right": right, "rule_right": rule, "difference": gain, "has_decayed": gain["hi"] < 0}


GRADERS: dict[str, Callable[[_Due, Known], Card | None]] = {
    "churn": _chance, "purchase_30d": _chance, "engagement": _chance, "clv": _money, "clv_365d": _money, "next_order": _date,
    "recommendations": _offers, "next_category": _taste, "next_topic": _taste,
}  # fmt: skip


def _told(metric: float) -> float | None:
    """None where nobody, or everybody, did it: then no two can be told apart."""
    return None if np.isnan(metric) else round(metric, 4)


def _below(card: Card, metric: str, now: float) -> bool:
    promised = card.get("metrics", {}).get(metric)
    return bool(promised) and bool(now < promised["lo"] - DECAY)


def in_words(g: Card) -> list[str]:
    """What a grade says: the score as a whole, and each tier."""
    how = WORDS[g["score"]](g)
    return [f"The scores of {g['cutoff']} came due on {g['closed']}: {how}.", *_tiers_said(g)]


def _tiers_said(g: Card) -> list[str]:
    form, came = (",.2f", "each came") if g["score"] in MONEY else (".1%", "came true")
    parts = [f"{t['tier']}: {t['expected']:{form}} expected, {sure(t['realised'], t, form)} {came}" for t in g.get("tiers", ())]
    return [f"By the tier they were given then: {'; '.join(parts)}."] if parts else []


def _chance_said(g: Card) -> str:
    told = "it cannot be said whether people were told apart" if g["auc"] is None else f"told apart {g['auc']:.1%} of pairs"
    return f"{g['expected']:.1%} expected, {g['realised']:.1%} came true; {told}"


def _money_said(g: Card) -> str:
    rank = "the ranking cannot be judged by that" if g["gini"] is None else f"ranking (normalised Gini) {g['gini']:.3f}"
    total = "" if g.get("total_error") is None else f" (the total was off by {g['total_error']:+.1%})"
    return f"{g['expected']:,.2f} each expected, {g['realised']:,.2f} came{total}; {rank}"


def _date_said(g: Card) -> str:
    inside, days = g["inside_80"], g["median_days_off"]
    return (
        f"of {g['came_back']:,} people who had a date and ordered, {sure(inside['value'], inside)} did so within their range, "
        f"which should hold 8 of 10; half of the likely days were off by at most {sure(days['value'], days, '.1f')} days"
    )


def _offers_said(g: Card) -> str:
    return (
        f"of {g['came_back']:,} customers who ordered, {sure(g['right']['value'], g['right'])} bought one of their ten products; "
        f"of the ten bestsellers of that day {sure(g['rule_right']['value'], g['rule_right'])} did"
    )


def _taste_said(g: Card) -> str:
    kind = next_category.KINDS[g["score"]]
    return (
        f"right for {sure(g['right']['value'], g['right'])} of {g['came_back']:,} people who {kind.did} ({g['expected']:.1%} "
        f"expected); {kind.rule} for {sure(g['rule_right']['value'], g['rule_right'])}"
    )


WORDS: dict[str, Callable[[Card], str]] = {
    "churn": _chance_said, "purchase_30d": _chance_said, "engagement": _chance_said, "clv": _money_said, "clv_365d": _money_said,
    "next_order": _date_said, "recommendations": _offers_said, "next_category": _taste_said, "next_topic": _taste_said,
}  # fmt: skip
