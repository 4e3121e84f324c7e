"""Churn: who will probably not order within the horizon, judged on the last window that has closed."""

from __future__ import annotations

import numpy as np

from connector.score_data import Checked, ShopData, date_of
from connector.score_parts import Card, Scored, grade, refused, season, tier_table, too_little, with_notes
from models.scores import measure
from models.scores.churn import BASE_HORIZON, ChurnModel
from models.scores.history import Floats, no_order_within, snapshot
from models.scores.reasons import churn_reasons
from models.scores.views import Views

TITLE = "Churn: no order within the next {} days"
CONFIDENCE = {"small": "low", "middle": "medium", "large": "high"}


def make(data: ShopData, views: Views, horizon: int) -> Scored:
    """Train at the date, grade the same procedure one horizon earlier, and decide whether it may be used."""
    title = TITLE.format(horizon)
    have = views.amount(data.cutoff)
    why = data.refusal or too_little(have, "people are ranked by days since their last order")
    if why:
        card = refused("churn", title, why, horizon=horizon, day=data.day.isoformat(), n=have.customers)
        return Scored(with_notes(card, data), rule(data))
    model = ChurnModel(horizon).fit(views, data.cutoff)
    value = model.predict(views.at(data.cutoff))
    card = _card(data, horizon, model, views)
    reasons = None
    if card["is_published"]:
        reasons = churn_reasons(views, views.at(data.cutoff), model.predict)
    else:
        value = rule(data)
    return Scored(with_notes(card, data), value, measure.tiers(value), reasons)


def rule(data: ShopData) -> Floats:
    """The owner's simple rule as a number between 0 and 1: the rank by days since the last order."""
    recency = snapshot(data.orders, data.cutoff).features[:, 0] if data.people else np.empty(0)
    _, rank, counts = np.unique(recency, return_inverse=True, return_counts=True)
    below = np.r_[0, np.cumsum(counts)[:-1]]
    return np.asarray((below + counts / 2)[rank] / max(len(recency), 1))


def _card(data: ShopData, horizon: int, model: ChurnModel, views: Views) -> Card:
    """The same procedure one horizon earlier, against what has happened since."""
    checked = horizon
    if views.amount(data.cutoff - horizon).rung == "refuse" and horizon > BASE_HORIZON:
        checked = BASE_HORIZON
    closed = data.cutoff - checked
    past = views.amount(closed)
    title = TITLE.format(horizon)
    card = refused("churn", title, "", horizon=horizon, day=data.day.isoformat(), n=model.amount_.customers)
    if past.rung == "refuse":
        card["lines"] = [
            f"Not published. No window of {checked} days has closed on which a forecast could be checked. "
            "Until one has, people are ranked by days since their last order, which is a rule, not a prediction."
        ]
        return card
    judge = ChurnModel(checked).fit(views if checked == horizon else Views(data.orders, checked, data.lines), closed)
    view = views.at(closed)
    truth = no_order_within(data.orders, view.person, closed, checked)
    if min(int(truth.sum()), int((~truth).sum())) < 50:
        card["lines"] = [
            f"Not published. In the last closed window {int(truth.sum()):,} of {len(truth):,} customers did not order; "
            "a probability needs at least 50 who did and 50 who did not."
        ]
        return card
    expected = judge.predict(view)
    metrics, curve = grade(truth, expected, view.recency)
    tier = measure.tiers(expected)
    data.checked["churn"] = Checked(view.person, truth.astype(float), expected)
    better = metrics["difference"]["lo"] > 0
    card |= {
        "is_published": bool(better), "status": "published" if better else "rule", "model": model.name_,
        "base_rate": round(float(truth.mean()), 4), "metrics": metrics, "tiers": tier_table(tier, expected, truth),
        "reliability": curve, "confidence": CONFIDENCE[model.rung_],
    }  # fmt: skip
    card["lines"] = [*_lines(card, closed, checked, len(truth)), *season(model.level_)]
    if model.is_extrapolated:
        card["is_extrapolated"] = True
        card["lines"].append(
            f"Extrapolated: no window of {horizon} days has closed yet, so {checked} days teach and are judged, and the "
            "repeat-buying model says what the rest of the time adds."
        )
    return card


def _lines(card: Card, closed: int, horizon: int, n: int) -> list[str]:
    m = card["metrics"]
    window = f"{date_of(closed)} to {date_of(closed + horizon - 1)}"
    lines = [
        f"Checked on the last closed window, {window}: of {n:,} customers {card['base_rate']:.1%} did not order.",
        f"Told a leaver from a stayer in {m['auc']['value']:.1%} of pairs (95 % interval {m['auc']['lo']:.1%} to "
        f"{m['auc']['hi']:.1%}); days since the last order alone manage {m['rule_auc']['value']:.1%}.",
        f"Probabilities were off by {m['ece']:.1%} on average.",
    ]
    lines += [
        f"Tier {t['tier']}: {t['people']:,} people, {t['expected']:.1%} expected to stay away, {t['realised']:.1%} did."
        for t in card["tiers"]
    ]
    if card["is_published"]:
        lines.append(f"Published: better than the simple rule. Model: {card['model']}. Confidence: {card['confidence']}.")
    else:
        lines.append(
            "Not published: not measurably better than days since the last order, so that rule is used, and called a rule."
        )
    return lines
