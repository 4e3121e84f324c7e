"""How sure are the figures of a card? 95 % intervals: people drawn again by a fixed seed, and Wilson's for shares.

A draw is a weight a person (how often they were drawn: a Poisson number of mean one, as drawing with replacement gives in all
but the smallest shops) over rows sorted once, so that 200 draws of a large shop take no second sort.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import Any

import numpy as np

from models.scores.measure import Flags, Floats

DRAWS = 200
SEED = 7
BINS = 10
Z = 1.959964

TIMES = np.repeat(np.arange(6.0), (94, 95, 46, 16, 4, 1))
"""How often somebody is drawn, by a random byte: Poisson's shares in 256ths, with mean and variance of exactly one."""


def wilson(hits: int, people: int) -> tuple[float, float]:
    """The interval of a share (Wilson 1927): inside 0 to 1 also where nobody, or everybody, did it."""
    if not people:
        return float("nan"), float("nan")
    share, z2 = hits / people, Z * Z / people
    middle, half = share + z2 / 2, Z * sqrt((share * (1 - share) + z2 / 4) / people)
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))


def of_chances(truth: Flags, probability: Floats, *, draws: int = DRAWS, seed: int = SEED) -> dict[str, Floats]:
    """Per draw the average precision, the ECE, the Brier score and the lift at a fifth, as `measure` defines them."""
    order = np.argsort(-probability, kind="stable")
    came, p = truth[order].astype(float), probability[order]
    last = np.flatnonzero(np.r_[p[1:] != p[:-1], True])
    gap, square = p - came, (p - came) ** 2
    edges, rows = np.arange(1, BINS + 1) / BINS, []
    for weight in _weights(len(p), draws, seed):
        seen, hits = np.cumsum(weight), np.cumsum(weight * came)
        if not hits[-1]:
            continue
        size, step, found = seen[-1], seen[last], hits[last]
        precision = float(np.sum(np.diff(found, prepend=0.0) * found / np.maximum(step, 1))) / hits[-1]
        missed = np.abs(np.diff(np.interp(edges * size, seen, np.cumsum(weight * gap)), prepend=0.0))
        lift = float(np.interp(0.2 * size, seen, hits)) / 0.2 / hits[-1]
        rows.append((precision, float(missed.sum()) / size, float(np.sum(weight * square)) / size, lift))
    table = np.array(rows).reshape(-1, 4)
    return dict(zip(("average_precision", "ece", "brier", "lift20"), table.T, strict=True))


def of_money(truth: Floats, expected: Floats, *, draws: int = DRAWS, seed: int = SEED) -> dict[str, Floats]:
    """Per draw how far the expected total was off, as a share of what came, and the mean error a person."""
    off = np.abs(expected - truth)
    rows = [
        (float(np.sum(weight * expected)) / total - 1, float(np.sum(weight * off) / weight.sum()))
        for weight in _weights(len(truth), draws, seed)
        if (total := float(np.sum(weight * truth))) > 0
    ]
    table = np.array(rows).reshape(-1, 2)
    return dict(zip(("total_error", "mean_error"), table.T, strict=True))


def of_mean(values: Floats, *, draws: int = DRAWS, seed: int = SEED) -> Floats:
    """Per draw the mean."""
    means = [float(np.sum(w * values) / w.sum()) for w in _weights(len(values), draws, seed) if w.any()]
    return np.array(means)


def of_median(values: Floats, *, draws: int = DRAWS, seed: int = SEED) -> Floats:
    """Per draw the median."""
    random, n = np.random.default_rng(seed), len(values)
    return np.array([float(np.median(values[random.integers(0, n, n)])) for _ in range(draws)])


def bounds(draws: Floats, around: float | None = None) -> dict[str, float]:
    """The middle 95 % of the draws.

    around: the value, where drawing people again makes the figure larger by itself, as it does a mean of distances (the ECE):
    the draws are moved back by as much as they lie above it on average, and not below zero.
    """
    known = draws[~np.isnan(draws)]
    if not len(known):
        return {"lo": float("nan"), "hi": float("nan")}
    moved = known if around is None else np.maximum(known - (known.mean() - around), 0)
    low, high = (float(x) for x in np.percentile(moved, [2.5, 97.5]))
    return {"lo": round(low, 4), "hi": round(high, 4)}


def share(hits: int, people: int) -> dict[str, float]:
    """A share with its interval."""
    low, high = wilson(hits, people)
    return {"value": round(hits / people, 4) if people else float("nan"), "lo": round(low, 4), "hi": round(high, 4)}


def _weights(n: int, draws: int, seed: int) -> Iterator[Any]:
    random = np.random.default_rng(seed)
    for _ in range(draws):
        yield TIMES[np.frombuffer(random.bytes(n), dtype=np.uint8)]
