"""Customer value, probability of an order in 30 days, date of the next order: made, graded on the last closed window, told."""

from __future__ import annotations

from typing import Any

import numpy as np

from connector.score_churn import earlier_window
from connector.score_data import Checked, ShopData, date_of
from connector.score_parts import (
    Card,
    Scored,
    checked_days,
    decided,
    grade,
    interval,
    money_intervals,
    over_rule,
    refused,
    season,
    tier_table,
    too_little,
    unchecked,
    with_notes,
)
from connector.score_words import at_the_cut, off_by, sure
from models.scores import measure
from models.scores.churn import ChurnModel
from models.scores.history import Floats, no_order_within
from models.scores.next_order import NextOrderModel, wait_within
from models.scores.value import ValueModel, spend_within
from models.scores.views import LEAST_EVENTS, View, Views

CONFIDENCE = {"small": "low", "middle": "medium", "large": "high"}
SOON_DAYS = 30
YEAR_DAYS = 365
OWN_MEAN = "people get their own mean spend so far, scaled to what all spent in as many days before"
RULES = ("their own mean spend a day so far", "what they spent in as many days before")


def value(data: ShopData, views: Views, horizon: int) -> Scored:
    """Expected spend in the horizon; the rule beside it is what the person spent in as many days before, or their mean rate."""
    title = f"Customer value: spend within the next {horizon} days"
    have = views.amount(data.cutoff)
    card = refused("clv", title, "", horizon=horizon, day=data.day.isoformat(), n=have.customers)
    fallback = rule(data, views, horizon)
    checked = checked_days(views, data.cutoff, horizon)
    closed = data.cutoff - checked
    why = data.refusal or too_little(have, OWN_MEAN)
    if not why and views.amount(closed).rung == "refuse":
        why = f"{unchecked(views, data.cutoff, checked)} Until one has, {OWN_MEAN}."
    if not why:
        why = nothing_to_rank(spend_within(data.orders, views.at(closed).person, closed, checked), closed, checked)
        why += f" Until then {OWN_MEAN}." if why else ""
    if why:
        return Scored(with_notes({**card, "lines": [f"Not published. {why}"]}, data), fallback)
    model = ValueModel(horizon).fit(views, data.cutoff)
    view = views.at(closed)
    truth, expected, *rules = _judged(views, closed, checked)
    best = int(np.argmax([measure.gini(truth, r) for r in rules]))
    simple = rules[best]
    if best:
        fallback = _repeated(views, views.at(data.cutoff), horizon)
    draws = measure.paired(truth, expected, simple, measure.gini, draws=200)
    ours, theirs = measure.gini(truth, expected), measure.gini(truth, simple)
    tier = measure.tiers(expected)
    data.checked["clv"] = Checked(view.person, truth, expected, is_money=True)
    error = float(expected.sum() / truth.sum() - 1)
    top = _top_spend(truth, expected), _top_spend(truth, simple)
    reach, gain = interval(draws[:, 0], ours), interval(draws[:, 0] - draws[:, 1], ours - theirs)
    metrics: Card = {
        "gini": reach, "rule_gini": interval(draws[:, 1], theirs),
        "difference": gain, "total_error": round(error, 4),
        "rule_total_error": round(float(simple.sum() / truth.sum() - 1), 4),
        "mean_error": round(float(np.mean(np.abs(expected - truth))), 2),
        "rule_mean_error": round(float(np.mean(np.abs(simple - truth))), 2),
        "top20_spend": round(top[0], 2), "rule_top20_spend": round(top[1], 2),
    }  # fmt: skip
    gain, asked = decided(
        gain, measure.Window(view.person, truth, expected, simple),
        lambda n: _earlier(views, closed - n * checked, checked, best), measure.gini,
    )  # fmt: skip
    metrics |= {"difference": gain, "windows": asked, "intervals": money_intervals(truth, expected)}
    better = gain["lo"] > 0
    card |= {
        "is_published": bool(better), "status": "published" if better else "rule", "model": model.name_,
        "base_rate": round(float(truth.mean()), 4), "metrics": metrics, "tiers": tier_table(tier, expected, truth),
        "confidence": CONFIDENCE[model.rung_], "is_extrapolated": model.is_extrapolated, "tried": model.tried_,
    }  # fmt: skip
    money = data.currency
    card["lines"] = [
        f"Checked on {date_of(closed)} to {date_of(closed + checked - 1)}: {len(truth):,} customers spent "
        f"{truth.sum():,.0f} {money}; "
        f"{expected.sum():,.0f} {money} were expected, which is {sure(error, metrics['intervals']['total_error'], '+.1%')} off.",
        f"Ranking (normalised Gini): {ours:.3f} (95 % interval {reach['lo']:.3f} to {reach['hi']:.3f}); "
        f"the simple rule ({RULES[best]}) reaches {theirs:.3f}.",
        f"The fifth ranked highest spent {top[0]:,.0f} {money}; the fifth the rule names spent {top[1]:,.0f} {money}.",
        *(
            f"Tier {t['tier']}: {t['people']:,} people, {t['expected']:,.2f} {money} each expected, {sure(t['realised'], t, ',.2f')} came."
            for t in card["tiers"]
        ),
        over_rule(gain, asked),
        verdict(card),
        *season(model.level_),
    ]
    if model.is_extrapolated:
        card["lines"].append(extrapolated(horizon, checked))
    found = model.predict(views.at(data.cutoff)) if better else fallback
    return Scored(with_notes(card, data), found, measure.tiers(found), judge=model.predict)


def rule(data: ShopData, views: Views, horizon: int) -> Floats:
    """The ladder's rule alone: the own mean spend; NaN where money in two currencies has no sum."""
    found = _own_mean(views, views.at(data.cutoff), horizon)
    found[data.unpriced] = np.nan
    return found


def nothing_to_rank(truth: Floats, closed: int, days: int) -> str:
    """Why no forecast of money can be checked on what came; '' where one can."""
    window = f"In the last closed window, {date_of(closed)} to {date_of(closed + days - 1)},"
    if truth.sum() <= 0:
        return f"{window} no money came that is known of, so no forecast of it can be checked."
    if np.isnan(measure.gini(truth, truth)):
        return f"{window} everybody spent the same, so no ranking can be checked."
    return ""


def soon(data: ShopData, views: Views) -> Scored:
    """P(an order within 30 days)."""
    title = f"Purchase: an order within the next {SOON_DAYS} days"
    have = views.amount(data.cutoff)
    card = refused("purchase_30d", title, "", horizon=SOON_DAYS, day=data.day.isoformat(), n=have.customers)
    why = data.refusal or too_little(have, nothing="no probability is given; days_since_order says who was here last")
    closed = data.cutoff - SOON_DAYS
    why = why or unchecked(views, data.cutoff, SOON_DAYS)
    if why:
        return Scored(with_notes({**card, "lines": [f"Not published. {why}"]}, data))
    model = ChurnModel(SOON_DAYS).fit(views, data.cutoff)
    view = views.at(closed)
    truth = ~no_order_within(data.orders, view.person, closed, SOON_DAYS)
    if min(int(truth.sum()), int((~truth).sum())) < 50:
        why = (
            f"Of {len(truth):,} people {int(truth.sum()):,} ordered in the last closed window; 50 yes and 50 no are the least."
        )
        return Scored(with_notes({**card, "lines": [f"Not published. {why}"]}, data))
    expected = 1 - ChurnModel(SOON_DAYS).fit(views, closed).predict(view)
    metrics, curve = grade(truth, expected, -view.recency)
    tier = measure.tiers(expected)
    data.checked["purchase_30d"] = Checked(view.person, truth.astype(float), expected)
    last = measure.Window(view.person, truth, expected, -view.recency)
    metrics["difference"], metrics["windows"] = decided(
        metrics["difference"], last, lambda n: earlier_window(views, closed - n * SOON_DAYS, SOON_DAYS, buys=True), measure.auc
    )
    better = metrics["difference"]["lo"] > 0
    card |= {
        "is_published": bool(better), "status": "published" if better else "rule", "model": model.name_,
        "base_rate": round(float(truth.mean()), 4), "metrics": metrics, "tiers": tier_table(tier, expected, truth),
        "reliability": curve, "confidence": CONFIDENCE[model.rung_],
    }  # fmt: skip
    card["lines"] = [
        f"Checked on {date_of(closed)} to {date_of(closed + SOON_DAYS - 1)}: "
        f"{truth.mean():.1%} of {len(truth):,} customers ordered.",
        f"Told a buyer from the others in {metrics['auc']['value']:.1%} of pairs (95 % interval {metrics['auc']['lo']:.1%} to "
        f"{metrics['auc']['hi']:.1%}); days since the last order alone manage {metrics['rule_auc']['value']:.1%}.",
        off_by(metrics),
        *at_the_cut(metrics, "ordered"),
        *(
            f"Tier {t['tier']}: {t['people']:,} people, {t['expected']:.1%} expected, {sure(t['realised'], t)} did."
            for t in card["tiers"]
        ),
        over_rule(metrics["difference"], metrics["windows"]),
        verdict(card),
        *season(model.level_),
    ]

    def buys(of: View) -> Floats:
        return np.asarray(1 - model.predict(of))

    found = buys(views.at(data.cutoff))
    return Scored(with_notes(card, data), found if better else None, measure.tiers(found) if better else None, judge=buys)


def next_order(data: ShopData, views: Views, horizon: int) -> Scored:
    """The middle as days since 1970-01-01, and `days`; NaN for one-time buyers."""
    title = "Next order: when it comes, if it comes"
    have = views.amount(data.cutoff)
    card = refused("next_order", title, "", horizon=horizon, day=data.day.isoformat(), n=have.repeat_buyers)
    closed = data.cutoff - horizon
    why = data.refusal or too_little(have, nothing="no date is given")
    why = why or unchecked(views, data.cutoff, horizon)
    view = views.at(closed) if not why else None
    wait = wait_within(data.orders, view.person, closed, horizon) if view else np.empty(0)
    seen = ~np.isnan(wait) & (view.shot.frequency > 0) if view else np.empty(0, bool)
    if not why and int(seen.sum()) < 50:
        why = f"In the last closed window {int(seen.sum()):,} people came back again; 50 are needed."
    if why or view is None:
        return Scored(with_notes({**card, "lines": [f"Not published. {why}"]}, data))
    model = NextOrderModel(horizon).fit(views, data.cutoff)
    low, middle, high = NextOrderModel(horizon).fit(views, closed).predict(view)[seen].T
    truth = wait[seen]
    gap = view.shot.features[seen, 8] - view.recency[seen]
    simple = np.abs(gap - truth)
    inside = float(np.mean((truth >= np.floor(low)) & (truth <= np.ceil(high))))
    off = np.abs(middle - truth)
    draws = measure.paired(truth, off, simple, lambda _, e: float(np.mean(e)), draws=200)
    gain = interval(draws[:, 1] - draws[:, 0], float(simple.mean() - off.mean()))
    metrics = {
        "mean_days_off": interval(draws[:, 0], float(off.mean())), "rule_days_off": interval(draws[:, 1], float(simple.mean())),
        "difference": gain, "inside_80": round(inside, 4),
        "mean_width_days": round(float(np.mean(high - low)), 1),
    }  # fmt: skip
    better = gain["lo"] > 0 and 0.7 <= inside <= 0.9
    card |= {
        "is_published": better, "status": "published" if better else "refused", "model": model.name_, "metrics": metrics,
        "confidence": CONFIDENCE[model.rung_],
    }  # fmt: skip
    card["lines"] = [
        f"Checked on the {int(seen.sum()):,} people who had come back before and did so again from {date_of(closed)} to "
        f"{date_of(closed + horizon - 1)}: off by {off.mean():.1f} days on average; last order plus own mean gap is off by "
        f"{simple.mean():.1f}.",
        f"The range that should hold 8 of 10 held {inside:.1%}; it is {np.mean(high - low):.0f} days wide on average.",
        "One-time buyers have no date; see the probability of an order within 30 days.",
        verdict(card) if better or gain["lo"] <= 0 else _range_is_off(inside),
    ]
    if not better:
        return Scored(with_notes(card, data))
    days = model.predict(views.at(data.cutoff))
    reasons = [[] if np.isnan(r[0]) else [_range_text(data.cutoff, r)] for r in days]
    return Scored(with_notes(card, data), np.round(data.cutoff + days[:, 1]), None, reasons, days=days)


def verdict(card: Card) -> str:
    if card["is_published"]:
        return f"Published: better than the simple rule. Model: {card['model']}. Confidence: {card['confidence']}."
    return "Not published: not measurably better than the simple rule an owner would use."


def _range_is_off(inside: float) -> str:
    return (
        f"Not published: the days come closer than the simple rule's, but a range that should hold 8 of 10 and holds {inside:.0%} "
        "promises what it does not keep."
    )


def extrapolated(horizon: int, checked: int) -> str:
    return (
        f"Extrapolated: no window of {horizon} days has closed yet, so {checked} days teach and are judged, and the "
        "repeat-buying model says what the rest of the time adds."
    )


def _judged(views: Views, closed: int, horizon: int) -> tuple[Floats, Floats, Floats, Floats]:
    """At `closed`: what was spent since, what the procedure would have said, and the two rules, as in `RULES`."""
    view = views.at(closed)
    truth = spend_within(views.orders, view.person, closed, horizon)
    expected = ValueModel(horizon).fit(views, closed).predict(view)
    return truth, expected, _rate(views, view, horizon), _repeated(views, view, horizon)


def _earlier(views: Views, closed: int, horizon: int, rule: int) -> measure.Window | None:
    if views.amount(closed).rung == "refuse":
        return None
    truth, expected, *rules = _judged(views, closed, horizon)
    return measure.Window(views.at(closed).person, truth, expected, rules[rule]) if (truth > 0).sum() >= LEAST_EVENTS else None


def _rate(views: Views, view: View, horizon: int) -> Floats:
    """Spend a day since the first order, times the horizon. Nobody is expected to bring less than nothing."""
    return np.asarray(np.maximum(view.shot.features[:, 3] / np.maximum(view.shot.age, 30) * horizon, 0))


def _own_mean(views: Views, view: View, horizon: int) -> Floats:
    """The rate of everybody, those long gone among them, would add up to far too much: scaled to what was spent lately.

    Where nothing was in as many days, to the last year; a shop without money in a year is expected to go on without.
    """
    rate, history = _rate(views, view, horizon), views.amount(view.cutoff).history_days
    for days in (horizon, max(horizon, YEAR_DAYS)):
        lately = float(_repeated(views, view, days).sum()) * horizon / max(min(days, history), 1)
        if lately > 0:
            break
    return rate * lately / float(rate.sum()) if rate.sum() > 0 else rate


def _repeated(views: Views, view: View, horizon: int) -> Floats:
    """What was spent in as many days before the cutoff, or nothing."""
    known = views.orders.before(view.cutoff)
    recent = known.day >= view.cutoff - horizon
    size = int(view.person.max(initial=0)) + 1
    spent: Any = np.bincount(known.person[recent], weights=known.net[recent], minlength=size)
    return np.asarray(np.maximum(spent[view.person], 0), dtype=float)


def _top_spend(truth: Floats, score: Floats) -> float:
    return float(truth[np.argsort(-score, kind="stable")[: max(1, round(0.2 * len(score)))]].sum())


def _range_text(cutoff: int, days: Floats) -> str:
    first, last = date_of(cutoff + int(days[0])), date_of(cutoff + int(np.ceil(days[2])))
    return f"if an order comes, it comes from {first} to {last} in 8 of 10 cases"
