"""What every score has in common: values with tiers and reasons, and the pieces of a card."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from connector.score_data import ShopData, date_of
from connector.score_words import lead
from models.scores import intervals, measure
from models.scores.churn import BASE_HORIZON
from models.scores.history import Floats
from models.scores.level import Level
from models.scores.views import Amount, View, Views

Card = dict[str, Any]

MANY = 10_000
"""So many people show in one window whatever is worth a model; training for earlier ones would take minutes."""

MOST_WINDOWS = 4
"""Closed windows, one after the other, on which a score and its simple rule are told apart."""


@dataclass(frozen=True)
class Scored:
    """A score's card and one value a person; NaN where the model may not judge, None for a refusal without fallback."""

    card: Card
    value: Floats | None = None
    tier: Any = None
    reasons: list[list[Any]] | None = None
    people: list[str] | None = None
    """Whose values these are, where not only buyers are judged; else those of the shop's data."""
    judge: Callable[[View], Floats] | None = None
    """How the model scores a view, where reasons can be had by scoring edited histories."""
    days: Floats | None = None
    """Of the next order: (low, middle, high) in days from the cutoff."""

    def rows(self, people: list[str]) -> Iterator[tuple[str, float, str | None, str]]:
        """(person id, value, tier, reasons as JSON) of everybody who has a value."""
        if self.value is None:
            return
        for i, person in enumerate(people):
            if np.isnan(self.value[i]):
                continue
            reasons = self.reasons[i] if self.reasons else []
            yield person, float(self.value[i]), None if self.tier is None else str(self.tier[i]) or None, json.dumps(reasons)


def interval(draws: Floats, value: float) -> dict[str, float]:
    """A value with its 95 % bootstrap interval; draws in which nothing could be told apart are left out."""
    known = draws[~np.isnan(draws)]
    low, high = (float(x) for x in np.percentile(known, [2.5, 97.5])) if len(known) else (float("nan"), float("nan"))
    return {"value": round(value, 4) + 0.0, "lo": round(low, 4) + 0.0, "hi": round(high, 4) + 0.0}  # no minus before a zero


def against(ours: Floats, simple: Floats) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """The mean hit rate of a model, of the simple rule over the same people, and the difference, each with its interval.

    The people are drawn anew 200 times, by a fixed seed.
    """
    random = np.random.default_rng(7)
    picks = [random.integers(0, len(ours), len(ours)) for _ in range(200)]
    draws = np.array([[ours[p].mean(), simple[p].mean()] for p in picks])
    mean, rule = float(ours.mean()), float(simple.mean())
    return interval(draws[:, 0], mean), interval(draws[:, 1], rule), interval(draws[:, 0] - draws[:, 1], mean - rule)


def tier_table(tier: Any, expected: Floats, realised: Any) -> list[Card]:
    """Per tier how many people, the mean of what was expected, and of what came with its interval: a share, or a mean of money."""
    found = []
    for name in ("high", "medium", "low"):
        inside = tier == name
        if inside.any():
            came = np.asarray(realised)[inside]
            mean = float(np.mean(came))
            sure = (
                intervals.share(int(came.sum()), len(came)) if came.dtype == bool else intervals.bounds(intervals.of_mean(came))
            )
            found.append({
                "tier": name, "people": int(inside.sum()), "expected": round(float(expected[inside].mean()), 4),
                "realised": round(mean, 4), "lo": sure["lo"], "hi": sure["hi"],
            })  # fmt: skip
    return found


def at_the_cut(truth: Any, score: Floats) -> Card:
    """Of those called high: how many there are, the share who did it (precision), and their share in all who did (recall)."""
    high = measure.tiers(score) == "high"
    hits = int(truth[high].sum())
    return {
        "people": int(high.sum()), "precision": intervals.share(hits, int(high.sum())),
        "recall": intervals.share(hits, int(truth.sum())),
    }  # fmt: skip


def refused(score: str, title: str, why: str, *, horizon: int, day: str, n: int) -> Card:
    """The card of a score that cannot be had."""
    return {
        "score": score, "title": title, "lines": [f"Not published. {why}"], "is_published": False, "status": "refused",
        "model": "none", "horizon_days": horizon, "cutoff": day, "n": n, "base_rate": None, "metrics": {}, "tiers": [],
        "reliability": [], "confidence": "none",
    }  # fmt: skip


def grade(truth: Any, probability: Floats, rule: Floats) -> tuple[Card, list[list[float]]]:
    """Metrics of a probability against the owner's simple rule on the same people, and the reliability curve."""
    draws = measure.paired_bootstrap(truth, probability, rule)
    ours, simple = measure.auc(truth, probability), measure.auc(truth, rule)
    ece, curve = measure.calibration(truth, probability)
    metrics: Card = {
        "auc": interval(draws[:, 0], ours),
        "rule_auc": interval(draws[:, 1], simple),
        "difference": interval(draws[:, 0] - draws[:, 1], ours - simple),
        "average_precision": round(measure.average_precision(truth, probability), 4),
        "ece": round(ece, 4),
        "lift20": round(measure.lift(truth, probability), 3),
        "brier": round(float(np.mean((probability - truth) ** 2)), 4),
        "high_tier": at_the_cut(truth, probability),
    }
    drawn = intervals.of_chances(truth, probability)
    metrics["intervals"] = {k: intervals.bounds(v, ece if k == "ece" else None) for k, v in drawn.items()}
    return metrics, curve


def money_intervals(truth: Floats, expected: Floats) -> Card:
    """How sure the expected total and the mean error a person are."""
    return {k: intervals.bounds(v) for k, v in intervals.of_money(truth, expected).items()}


def decided(
    alone: dict[str, float],
    last: measure.Window,
    earlier: Callable[[int], measure.Window | None],
    metric: Callable[[Any, Floats], float],
) -> tuple[dict[str, float], int]:
    """(the lead over the simple rule, windows it rests on): where the last closed window cannot tell, those before it are asked too.

    earlier(n): the window that closed n windows before the last one; None where too little was known then.
    """
    if not alone["lo"] <= 0 <= alone["hi"] or len(last.person) >= MANY:
        return alone, 1
    windows = [last, *(w for n in range(1, MOST_WINDOWS) if (w := earlier(n)) is not None)]
    if len(windows) == 1:
        return alone, 1
    draws = measure.paired_windows(windows, metric)
    value = float(np.mean([metric(w.truth, w.ours) - metric(w.truth, w.rule) for w in windows]))
    return interval(draws[:, 0] - draws[:, 1], value), len(windows)


def over_rule(found: dict[str, float], windows: int = 1) -> str:
    """The lead that decides, and on how many windows it rests."""
    if windows == 1:
        return f"The model's lead over the simple rule in ranking is {lead(found)}."
    return (
        f"The last closed window alone cannot tell model and rule apart. Over the last {windows} the model's lead in ranking is "
        f"{lead(found)}."
    )


def too_little(have: Amount, rule: str = "", *, nothing: str = "nothing is given") -> str:
    """Why the ladder refuses, '' where it does not; and the rule people get until then, or what they do not get."""
    if have.rung != "refuse":
        return ""
    return (
        f"A forecast needs 100 customers with an order (there are {have.customers:,}), 30 who came back "
        f"({have.repeat_buyers:,}) and 90 days of history ({have.history_days:,}). Until then "
        + (f"{rule}, which is a rule, not a prediction." if rule else f"{nothing}.")
    )


def unchecked(views: Views, cutoff: int, days: int) -> str:
    """Why no forecast over so many days can be checked as of the cutoff; '' where one can."""
    past = views.amount(cutoff - days)
    if past.rung != "refuse":
        return ""
    return (
        f"No window of {days} days has closed on which a forecast could be checked. Before it 100 customers with an order are needed "
        f"({past.customers:,} on {date_of(cutoff - days)}), 30 who came back ({past.repeat_buyers:,}) and 90 days of history "
        f"({max(past.history_days, 0):,})."
    )


def checked_days(views: Views, cutoff: int, horizon: int) -> int:
    """The window that judges churn and value: the horizon, or 90 days where no longer one can be checked."""
    return BASE_HORIZON if horizon > BASE_HORIZON and unchecked(views, cutoff, horizon) else horizon


@contextmanager
def one_thread() -> Iterator[None]:
    """The models work on one core: the work is small, and waiting threads cost more than they bring."""
    import sklearn.ensemble  # noqa: F401  # its threads must be loaded before they can be limited
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no type information

    with threadpool_limits(1):
        yield


def people_lacking(have: Amount) -> list[str]:
    """Which people a forecast still waits for, in the words of `score ready`."""
    return [
        f"{least - there:,} more {who}"
        for there, least, who in ((have.customers, 100, "customers"), (have.repeat_buyers, 30, "who come back"))
        if there < least
    ]


def season(level: Level | None) -> list[str]:
    """What the owner has to know of a season that the shop's own history cannot show."""
    if level is None or not level.is_season_assumed:
        return []
    return [
        "There is no year of history yet, so part of the season most shops see is assumed: more orders in November and December "
        "than in the months before, fewer after. A shop without such a season is judged a little off."
    ]


def with_notes(card: Card, data: ShopData) -> Card:
    hidden = [f"{data.not_profiled:,} people opted out of profiling and have no scores."] if data.not_profiled else []
    return {**card, "sees_until": data.cutoff, "lines": [*card["lines"], *data.notes, *hidden]}
