"""Churn: who will probably not order within the horizon, judged on the last window that has closed."""

from __future__ import annotations

import numpy as np

from connector.score_data import Checked, ShopData, date_of
from connector.score_parts import (
    Card,
    Scored,
    checked_days,
    decided,
    grade,
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
from models.scores.history import Floats, no_order_within, snapshot
from models.scores.views import LEAST_EVENTS, Views

TITLE = "Churn: no order within the next {} days"
TIE = 1e-3
CONFIDENCE = {"small": "low", "middle": "medium", "large": "high"}


def make(data: ShopData, views: Views, horizon: int) -> Scored:
    """Train at the date, grade the same procedure one horizon earlier, and decide whether it may be used."""
    title = TITLE.format(horizon)
    have = views.amount(data.cutoff)
    why = data.refusal or too_little(have, "people are ranked by days since their last order")
    if why:
        card = refused("churn", title, why, horizon=horizon, day=data.day.isoformat(), n=have.customers)
        return Scored(with_notes(card, data), rule(data, horizon))
    model = ChurnModel(horizon).fit(views, data.cutoff)
    value = model.predict(views.at(data.cutoff))
    card = _card(data, horizon, model, views)
    if not card["is_published"]:
        value = rule(data, horizon)
    return Scored(with_notes(card, data), value, measure.tiers(value), judge=model.predict)


def rule(data: ShopData, horizon: int) -> Floats:
    """The owner's simple rule as a number between 0 and 1, ranked by days since the last order.

    The number is the share of those as silent who did not order in the last closed window; where too few did or did not to say
    so, the rank itself.
    """
    recency = snapshot(data.orders, data.cutoff).features[:, 0] if data.people else np.empty(0)
    _, rank, counts = np.unique(recency, return_inverse=True, return_counts=True)
    below = np.r_[0, np.cumsum(counts)[:-1]]
    place = np.asarray((below + counts / 2)[rank] / max(len(recency), 1))
    closed = data.cutoff - horizon
    past = snapshot(data.orders, closed)
    gone = no_order_within(data.orders, past.person, closed, horizon)
    if data.refusal or min(int(gone.sum()), int((~gone).sum())) < LEAST_EVENTS:
        return place
    from sklearn.isotonic import IsotonicRegression

    share = IsotonicRegression(out_of_bounds="clip").fit(past.features[:, 0], gone).predict(recency)
    return np.asarray((1 - TIE) * share + TIE * place)  # the rank keeps apart whom the shares do not


def _card(data: ShopData, horizon: int, model: ChurnModel, views: Views) -> Card:
    """The same procedure one horizon earlier, against what has happened since."""
    checked = checked_days(views, data.cutoff, horizon)
    closed = data.cutoff - checked
    past = views.amount(closed)
    title = TITLE.format(horizon)
    card = refused("churn", title, "", horizon=horizon, day=data.day.isoformat(), n=model.amount_.customers)
    if past.rung == "refuse":
        card["lines"] = [
            f"Not published. {unchecked(views, data.cutoff, checked)} "
            "Until one has, people are ranked by days since their last order, which is a rule, not a prediction."
        ]
        return card
    judged = views if checked == horizon else Views(data.orders, checked, data.lines, data.signs)
    view = judged.at(closed)
    truth = no_order_within(data.orders, view.person, closed, checked)
    if min(int(truth.sum()), int((~truth).sum())) < 50:
        card["lines"] = [
            f"Not published. In the last closed window {int(truth.sum()):,} of {len(truth):,} customers did not order; "
            "a probability needs at least 50 who did and 50 who did not."
        ]
        return card
    expected = ChurnModel(checked).fit(judged, closed).predict(view)
    metrics, curve = grade(truth, expected, view.recency)
    tier = measure.tiers(expected)
    data.checked["churn"] = Checked(view.person, truth.astype(float), expected)
    last = measure.Window(view.person, truth, expected, view.recency)
    metrics["difference"], metrics["windows"] = decided(
        metrics["difference"], last, lambda n: earlier_window(judged, closed - n * checked, checked), measure.auc
    )
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


def earlier_window(views: Views, closed: int, horizon: int, *, buys: bool = False) -> measure.Window | None:
    """What the same procedure would have said at `closed`; None where it would have been refused.

    buys: P(an order), against who was here last.
    """
    if views.amount(closed).rung == "refuse":
        return None
    view = views.at(closed)
    truth = no_order_within(views.orders, view.person, closed, horizon)
    if min(int(truth.sum()), int((~truth).sum())) < LEAST_EVENTS:
        return None
    expected = ChurnModel(horizon).fit(views, closed).predict(view)
    if buys:
        return measure.Window(view.person, ~truth, 1 - expected, -view.recency)
    return measure.Window(view.person, truth, expected, view.recency)


def _lines(card: Card, closed: int, horizon: int, n: int) -> list[str]:
    m = card["metrics"]
    window = f"{date_of(closed)} to {date_of(closed + horizon - 1)}"
    lines = [
        f"Checked on the last closed window, {window}: of {n:,} customers {card['base_rate']:.1%} did not order.",
        f"Told a leaver from a stayer in {m['auc']['value']:.1%} of pairs (95 % interval {m['auc']['lo']:.1%} to "
        f"{m['auc']['hi']:.1%}); days since the last order alone manage {m['rule_auc']['value']:.1%}.",
        off_by(m),
        *at_the_cut(m, "did not order"),
    ]
    lines += [
        f"Tier {t['tier']}: {t['people']:,} people, {t['expected']:.1%} expected to stay away, {sure(t['realised'], t)} did."
        for t in card["tiers"]
    ]
    lines.append(over_rule(m["difference"], m["windows"]))
    if card["is_published"]:
        lines.append(f"Published: better than the simple rule. Model: {card['model']}. Confidence: {card['confidence']}.")
    else:
        lines.append(
            "Not published: not measurably better than days since the last order, so that rule is used, and called a rule."
        )
    return lines
