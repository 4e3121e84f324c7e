"""How good is a score? Discrimination, calibration and intervals, each in the field's own definition."""

from __future__ import annotations

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
    random = np.random.default_rng(seed)
    found = np.empty((draws, 2))
    for n in range(draws):
        pick = random.integers(0, len(truth), len(truth))
        found[n] = auc(truth[pick], ours[pick]), auc(truth[pick], theirs[pick])
    return found


def tiers(score: Floats, high: float = 0.2, medium: float = 0.3) -> NDArray[np.str_]:
    """By rank: the top 20 % high, the next 30 % medium, the rest low. Ties go by position, so sort people first."""
    place = np.empty(len(score), dtype=np.int64)
    place[np.argsort(-score, kind="stable")] = np.arange(len(score))
    named = np.full(len(score), "low", dtype="<U6")
    named[place < round((high + medium) * len(score))] = "medium"
    named[place < round(high * len(score))] = "high"
    return named
