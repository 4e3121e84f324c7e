"""What the repeat-buying model says of everybody: whether they still buy here, and what a year of them is worth."""

from __future__ import annotations

import numpy as np

from connector.score_data import ShopData, date_of
from connector.score_parts import (
    Scored,
    interval,
    money_intervals,
    over_rule,
    refused,
    tier_table,
    too_little,
    unchecked,
    with_notes,
)
from connector.score_value import nothing_to_rank
from connector.score_words import sure
from models.scores import measure
from models.scores.history import NAMES, Floats
from models.scores.value import spend_within
from models.scores.views import View, Views

YEAR_DAYS = 365
MODEL = "MBG/NBD x own order value"


def alive(data: ShopData, views: Views) -> Scored:
    """P(still a customer) by MBG/NBD: no forecast that could come true on a day, so it is graded by nothing and says so."""
    have = views.amount(data.cutoff)
    title = "P(alive): does the person still buy here at all?"
    card = refused("p_alive", title, "", horizon=0, day=data.day.isoformat(), n=have.customers)
    why = data.refusal or too_little(have)
    if why:
        return Scored(with_notes({**card, "lines": [f"Not published. {why}"]}, data))
    view = views.at(data.cutoff)
    s = view.shot
    value = view.modified.p_alive(s.frequency, s.recency, s.age)
    card |= {"is_published": True, "status": "published", "model": "MBG/NBD", "confidence": "low"}
    card["lines"] = [
        f"What the repeat-buying model believes: {value.mean():.0%} of {len(value):,} customers still buy here.",
        "Nobody tells a shop when they leave, so this cannot be checked. It says nothing about when the next order comes: to "
        "choose people, use churn_probability.",
    ]
    return Scored(with_notes(card, data), value)


def year(data: ShopData, views: Views) -> Scored:
    """Expected spend within 365 days, scaled to what the same model missed on the last year that has closed."""
    have = views.amount(data.cutoff)
    title = "Customer value: spend within the next 365 days"
    card = refused("clv_365d", title, "", horizon=YEAR_DAYS, day=data.day.isoformat(), n=have.customers)
    closed = data.cutoff - YEAR_DAYS
    why = data.refusal or too_little(have)
    why = why or unchecked(views, data.cutoff, YEAR_DAYS)
    if why:
        return Scored(with_notes({**card, "lines": [f"Not published. {why}"]}, data))
    past = views.at(closed)
    truth, expected = spend_within(data.orders, past.person, closed, YEAR_DAYS), _worth(past)
    why = nothing_to_rank(truth, closed, YEAR_DAYS)
    if why:
        return Scored(with_notes({**card, "lines": [f"Not published. {why}"]}, data))
    simple = np.maximum(past.shot.features[:, NAMES.index("spent_365d")], 0)
    draws = measure.paired(truth, expected, simple, measure.gini)
    ours, theirs = measure.gini(truth, expected), measure.gini(truth, simple)
    gain = interval(draws[:, 0] - draws[:, 1], ours - theirs)
    scale = float(np.clip(truth.sum() / max(float(expected.sum()), 1e-9), 0.5, 2.0))
    better = gain["lo"] > 0
    reach, tier = interval(draws[:, 0], ours), measure.tiers(expected)
    money, error, known = data.currency, float(expected.sum() / truth.sum() - 1), money_intervals(truth, expected)
    card |= {
        "is_published": bool(better), "status": "published" if better else "refused", "model": f"{MODEL}, scaled to the last year",
        "confidence": "low" if have.rung == "small" else "medium", "tiers": tier_table(tier, expected, truth),
        "metrics": {"gini": reach, "rule_gini": interval(draws[:, 1], theirs), "difference": gain, "scale": round(scale, 3),
                    "total_error": round(error, 4), "intervals": known},
    }  # fmt: skip
    card["lines"] = [
        f"Checked on {date_of(closed)} to {date_of(data.cutoff - 1)}: {len(truth):,} customers spent {truth.sum():,.0f} {money}; "
        f"{expected.sum():,.0f} {money} were expected, which is {sure(error, known['total_error'], '+.1%')} off. What comes is scaled "
        f"by {scale:.2f} for that.",
        f"Ranking (normalised Gini): {ours:.3f} (95 % interval {reach['lo']:.3f} to {reach['hi']:.3f}); the spend of the year "
        f"before reaches {theirs:.3f}.",
        over_rule(gain),
        *(
            f"Tier {t['tier']}: {t['people']:,} people, {t['expected']:,.2f} {money} each expected, "
            f"{sure(t['realised'], t, ',.2f')} came."
            for t in card["tiers"]
        ),
        f"Published: better than the simple rule. Model: {card['model']}. Confidence: {card['confidence']}."
        if better
        else "Not published: not measurably better than the spend of the year before; revenue_365d holds that.",
    ]
    if not better:
        return Scored(with_notes(card, data))

    def worth(of: View) -> Floats:
        return np.asarray(scale * _worth(of))

    value = worth(views.at(data.cutoff))
    return Scored(with_notes(card, data), value, measure.tiers(value), judge=worth)


def _worth(view: View) -> Floats:
    return np.asarray(view.expected_orders(YEAR_DAYS) * np.maximum(view.order_value(), 0))
