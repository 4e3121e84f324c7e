"""How good is a score? Discrimination, calibration and intervals, each in the field's own definition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def auc(truth: Flags, score: Floats) -> float:
    """P(a random positive is ranked above a random negative), ties half: the Mann-Whitney statistic."""
    from scipy.stats import rankdata

    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def average_precision(truth: Flags, score: Floats) -> float:
    """Mean precision at each positive, best score first; equal scores count as one step."""
    order = np.argsort(-score, kind="stable")
    hits, s = truth[order], score[order]
    last = np.r_[s[1:] != s[:-1], True]
    found = np.cumsum(hits)[last]
    seen = np.arange(1, len(s) + 1)[last]
    gained = np.diff(np.r_[0, found])
    return float(np.sum(gained * found / seen) / max(found[-1], 1))


def calibration(truth: Flags, probability: Floats, bins: int = 10) -> tuple[float, list[list[float]]]:
    """(ECE, points): ten equal-count bins by rank, mean absolute gap; each point is (predicted, realised, people)."""
    order = np.argsort(probability, kind="stable")
    points, gap = [], 0.0
    for part in np.array_split(order, bins):
        if len(part):
            predicted, realised = float(probability[part].mean()), float(truth[part].mean())
            points.append([predicted, realised, float(len(part))])
            gap += abs(predicted - realised) * len(part)
    return gap / max(len(truth), 1), points


def lift(truth: Flags, score: Floats, share: float = 0.2) -> float:
    """Rate among the top `share` by score over the rate among all."""
    top = np.argsort(-score, kind="stable")[: max(1, round(share * len(score)))]
    base = truth.mean()
    return float(truth[top].mean() / base) if base else float("nan")


def paired_bootstrap(truth: Flags, ours: Floats, theirs: Floats, *, draws: int = 200, seed: int = 7) -> Floats:
    """`draws` x 2 AUCs (ours, theirs) on the same resampled people."""
    return paired(truth, ours, theirs, auc, draws=draws, seed=seed)


def tiers(score: Floats, high: float = 0.2, medium: float = 0.3) -> NDArray[np.str_]:
    """By rank: the top 20 % high, the next 30 % medium, the rest low. Ties go by position, so sort people first."""
    place = np.empty(len(score), dtype=np.int64)
    place[np.argsort(-score, kind="stable")] = np.arange(len(score))
    named = np.full(len(score), "low", dtype="<U6")
    named[place < round((high + medium) * len(score))] = "medium"
    named[place < round(high * len(score))] = "high"
    return named


def gini(truth: Floats, score: Floats) -> float:
    """Normalised Gini: Lorenz area of true spend sorted by score over that of true spend sorted by itself.

    NaN where nobody spent, or everybody the same.
    """

    def area(by: Floats) -> float:
        share = np.cumsum(truth[np.argsort(-by, kind="stable")])
        total = float(share[-1]) if len(share) else 0.0
        return float(share.mean() / total - (len(share) + 1) / (2 * len(share))) if total else float("nan")

    most = area(truth)
    return area(score) / most if most > 1e-9 else float("nan")


def decile_error(truth: Floats, value: Floats) -> float:
    """Mean over ten equal groups by forecast of |forecast - realised| / realised, of the groups' totals."""
    parts = np.array_split(np.argsort(-value, kind="stable"), 10)
    pairs = [(float(truth[p].sum()), float(value[p].sum())) for p in parts if len(p)]
    return float(np.mean([abs(v - t) / t for t, v in pairs if t > 0])) if any(t > 0 for t, _ in pairs) else float("nan")


def paired(
    truth: NDArray[Any],
    ours: Floats,
    theirs: Floats,
    metric: Callable[[Any, Floats], float],
    *,
    draws: int = 200,
    seed: int = 7,
) -> Floats:
    """`draws` x 2 values of a metric (ours, theirs) on the same resampled people."""
    random = np.random.default_rng(seed)
    found = np.empty((draws, 2))
    for n in range(draws):
        pick = random.integers(0, len(truth), len(truth))
        found[n] = metric(truth[pick], ours[pick]), metric(truth[pick], theirs[pick])
    return found


@dataclass(frozen=True)
class Window:
    """A closed window, a row a person: what came true, what was forecast, what the simple rule said."""

    person: NDArray[np.int64]
    truth: NDArray[Any]
    ours: Floats
    rule: Floats


def paired_windows(
    windows: Sequence[Window], metric: Callable[[Any, Floats], float], *, draws: int = 200, seed: int = 7
) -> Floats:
    """As `paired`, the means over several windows. People are drawn, each with all their windows: those are no other people."""
    random = np.random.default_rng(seed)
    size = 1 + max(int(w.person.max(initial=0)) for w in windows)
    rows = []
    for w in windows:
        row = np.full(size, -1)
        row[w.person] = np.arange(len(w.person))
        rows.append(row)
    people = np.unique(np.concatenate([w.person for w in windows]))
    found = np.empty((draws, 2))
    for n in range(draws):
        drawn = people[random.integers(0, len(people), len(people))]
        picks = [row[drawn][row[drawn] >= 0] for row in rows]
        parts = [(metric(w.truth[p], w.ours[p]), metric(w.truth[p], w.rule[p])) for w, p in zip(windows, picks, strict=True)]
        found[n] = np.mean(parts, axis=0)
    return found


def psi(before: Floats, now: Floats, bins: int = 10) -> float:
    """Population stability index over the deciles of `before`: above 0.1 warns, above 0.2 alarms."""
    edges = np.unique(np.quantile(before, np.linspace(0, 1, bins + 1)[1:-1]))
    shares = [np.bincount(np.searchsorted(edges, v, side="right"), minlength=len(edges) + 1) / len(v) for v in (before, now)]
    old, new = (np.maximum(s, 1e-4) for s in shares)
    return float(np.sum((new - old) * np.log(new / old)))
