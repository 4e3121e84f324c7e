"""Groups of people who shop alike, if there are any: K-Means on scaled habits, kept only where it comes back.

First the data must show that people differ at all: whose order it was and what it cost is drawn by lot many times, and a habit
counts only if people differ in it more than in every one of those shops of pure chance. Then the number of groups is the
largest at which the division comes back in bootstrap samples as a whole (adjusted Rand index, Hubert & Arabie 1985) and group by
group (Jaccard, Hennig 2007, "Cluster-wise assessment of cluster stability"), and no group is tiny. Else: no natural groups.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.scores.history import Floats, Ints

LEAST_PEOPLE = 100
LEAST_ARI = 0.9
LEAST_JACCARD = 0.75
LEAST_SHARE = 0.03
LEAST_SILHOUETTE = 0.2
SEPARATE = 0.5
"""From this silhouette on groups lie apart (Kaufman & Rousseeuw 1990), and the clearest division is taken; below it people
shade into each other, and the finest division that comes back is."""
SHUFFLES = 99
MORE_THAN_CHANCE = 1.1
HABITS = ("orders_total", "days_since_order", "aov", "discounted_orders_share", "engagement_decayed")
LOGGED = ("orders_total", "days_since_order", "aov", "engagement_decayed")


@dataclass(frozen=True)
class Visits:
    """One row per order: whose (0..n-1, everybody has one), the day, the money, whether it had a discount. Sorted by person
    and day, so that row order does not matter. `answers` and `mails` are per person; no mails, no engagement."""

    person: Ints
    day: Ints
    amount: Floats
    discounted: Floats
    cutoff: int
    answers: Floats
    mails: Floats
    engagement: Floats

    @classmethod
    def of(
        cls, person: Ints, day: Ints, amount: Floats, discounted: Floats, cutoff: int, mail: tuple[Floats, Floats, Floats]
    ) -> Visits:
        order = np.lexsort((discounted, amount, day, person))
        return cls(person[order], day[order], amount[order], discounted[order], cutoff, *mail)

    @property
    def is_first(self) -> Any:
        return np.r_[True, self.person[1:] != self.person[:-1]] if len(self.person) else np.empty(0, dtype=bool)


def habits(visits: Visits) -> Floats:
    """One row per person, columns as in HABITS, in the units of the profile."""
    size = len(visits.answers)
    count = np.bincount(visits.person, minlength=size).astype(float)
    last = np.full(size, -1, dtype=np.int64)
    np.maximum.at(last, visits.person, visits.day)
    money = np.bincount(visits.person, weights=visits.amount, minlength=size) / np.maximum(count, 1)
    share = np.bincount(visits.person, weights=visits.discounted, minlength=size) / np.maximum(count, 1)
    return np.column_stack([count, (visits.cutoff - last).astype(float), np.maximum(money, 0), share, visits.engagement])


def by_lot(visits: Visits, random: np.random.Generator) -> Visits:
    """The same shop, had chance alone decided: everybody keeps the first order; whose the others are, what an order costs and
    which ones get a discount (first and later ones apart), and who answers a mail, is drawn."""
    first = visits.is_first
    began = visits.day[first]
    by_start = np.argsort(began, kind="stable")
    known = np.searchsorted(began[by_start], visits.day[~first], side="right")
    person = visits.person.copy()
    person[~first] = by_start[(random.random(int((~first).sum())) * np.maximum(known, 1)).astype(np.int64)]
    amount, discounted = visits.amount.copy(), visits.discounted.copy()
    for part in (np.flatnonzero(first), np.flatnonzero(~first)):
        amount[part] = amount[random.permutation(part)]
        discounted[part] = discounted[random.permutation(part)]
    rate = float(visits.answers.sum() / max(visits.mails.sum(), 1))
    answers = random.binomial(visits.mails.astype(np.int64), min(rate, 1.0)).astype(float)
    return Visits(person, visits.day, amount, discounted, visits.cutoff, answers, visits.mails, answers)


def differing(visits: Visits, *, seed: int = 7, shuffles: int = SHUFFLES) -> tuple[str, ...]:
    """The habits in which people differ more than in every shop drawn by lot."""
    random = np.random.default_rng(seed)
    own = _spread(habits(Visits(**{**vars(visits), "engagement": visits.answers})))
    chance = np.array([_spread(habits(by_lot(visits, random))) for _ in range(shuffles)])
    with np.errstate(invalid="ignore"):
        found = (own > chance.max(axis=0)) & (own > MORE_THAN_CHANCE * chance.mean(axis=0))
    names = [n for n, is_real in zip(HABITS, found, strict=True) if is_real]
    if "orders_total" in names and "days_since_order" not in names:
        names.insert(1, "days_since_order")
    return tuple(names) if set(names) - {"days_since_order"} else ()


def _spread(table: Floats) -> Floats:
    return np.asarray(np.var(_logged(table, HABITS), axis=0))


def _logged(table: Floats, names: tuple[str, ...]) -> Floats:
    columns = [np.log1p(table[:, i]) if n in LOGGED else table[:, i] for i, n in enumerate(names)]
    return np.column_stack(columns)


@dataclass
class Groups:
    """What was found: `label` per person (0 is the largest group), centres in the units of `_logged`, and why it holds."""

    names: tuple[str, ...] = ()
    label: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    centres: Floats = field(default_factory=lambda: np.empty((0, 0)))
    spread: Floats = field(default_factory=lambda: np.empty(0))
    ari: float = 0.0
    silhouette: float = 0.0
    tried: list[dict[str, float]] = field(default_factory=list)
    why_not: str = ""

    @property
    def count(self) -> int:
        return len(self.centres)

    @property
    def is_separate(self) -> bool:
        return self.silhouette >= SEPARATE


def find(visits: Visits, *, most: int = 6, seed: int = 7, sample: int = 4000, draws: int = 10) -> Groups:
    """Groups of everybody in `visits`, or why there are none. The same for the same people, whatever the row order."""
    people = len(visits.answers)
    if people < LEAST_PEOPLE:
        return Groups(why_not=f"groups need {LEAST_PEOPLE} people with an order; there are {people:,}")
    names = differing(_some(visits, sample, seed), seed=seed)
    if not names:
        return Groups(why_not="people differ in nothing more than chance alone would make them differ")
    whole = _logged(habits(visits)[:, [HABITS.index(n) for n in names]], names)
    low, high = np.quantile(whole, [0.01, 0.99], axis=0)
    clipped = np.clip(whole, low, high)
    spread = np.maximum(clipped.std(axis=0), 1e-9)
    scaled = (clipped - clipped.mean(axis=0)) / spread
    picked = np.sort(np.random.default_rng(seed).permutation(people)[:sample])
    apart = len(np.unique(scaled[picked], axis=0))  # nobody can be told from who shops exactly alike
    tried = [_tried(scaled[picked], k, seed, draws) for k in range(2, min(most, apart) + 1)]
    fits = [t for t in tried if _comes_back(t)]
    if not fits:
        return Groups(
            names, tried=tried, why_not="people differ, but no division into groups comes back when they are drawn again"
        )
    clearest = max(fits, key=lambda t: t["silhouette"])
    chosen = clearest if clearest["silhouette"] >= SEPARATE else fits[-1]
    model = _kmeans(int(chosen["k"]), seed).fit(scaled[picked])
    label = model.predict(scaled)
    order = np.argsort(-np.bincount(label, minlength=int(chosen["k"])), kind="stable")
    centres = np.array([np.median(whole[label == g], axis=0) for g in order])
    return Groups(names, np.argsort(order)[label], centres, spread, chosen["ari"], chosen["silhouette"], tried)


def speaks_for(table: Floats, found: Groups) -> tuple[Floats, Floats]:
    """(people x habits: by how much a habit draws a person to the own group rather than to the middle of everybody else, in
    squared deviations, as K-Means adds them; groups x habits: that middle, in the units of the profile).

    table: the habits `found.names` of everybody.
    """
    logged = _logged(table, found.names)
    outside = np.array([np.median(table[found.label != g], axis=0) for g in range(found.count)])
    own, others = found.centres[found.label], _logged(outside, found.names)[found.label]
    return np.asarray(((logged - others) ** 2 - (logged - own) ** 2) / found.spread**2), outside


def _comes_back(t: dict[str, float]) -> bool:
    return (
        t["ari"] >= LEAST_ARI and t["jaccard"] >= LEAST_JACCARD and t["smallest"] >= LEAST_SHARE
        and t["silhouette"] >= LEAST_SILHOUETTE
    )  # fmt: skip


def _some(visits: Visits, most: int, seed: int) -> Visits:
    people = len(visits.answers)
    if people <= most:
        return visits
    kept = np.sort(np.random.default_rng(seed).permutation(people)[:most])
    moved = np.full(people, -1, dtype=np.int64)
    moved[kept] = np.arange(len(kept))
    rows = moved[visits.person] >= 0
    return Visits(
        moved[visits.person[rows]], visits.day[rows], visits.amount[rows], visits.discounted[rows], visits.cutoff,
        visits.answers[kept], visits.mails[kept], visits.engagement[kept],
    )  # fmt: skip


def _kmeans(k: int, seed: int) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(n_clusters=k, n_init=5, random_state=seed)


def _tried(points: Floats, k: int, seed: int, draws: int) -> dict[str, float]:
    """How well a division into k comes back: mean ARI and the worst group's mean Jaccard over bootstrap samples."""
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    base = _kmeans(k, seed).fit(points).labels_
    sizes = np.bincount(base, minlength=k)
    random = np.random.default_rng(seed)
    rand, jaccard = [], np.zeros((draws, k))
    for n in range(draws):
        drawn = points[random.integers(0, len(points), len(points))]
        if len(np.unique(drawn, axis=0)) < k:  # a group that one draw in ten may lack does not come back
            rand.append(0.0)
            continue
        again = _kmeans(k, seed + n).fit(drawn).predict(points)
        rand.append(adjusted_rand_score(base, again))
        both = np.zeros((k, k))
        np.add.at(both, (base, again), 1)
        jaccard[n] = (both / (sizes[:, None] + np.bincount(again, minlength=k)[None, :] - both)).max(axis=1)
    some = random.permutation(len(points))[:1500]
    shown = silhouette_score(points[some], base[some]) if len(set(base[some])) > 1 else 0.0
    return {
        "k": float(k), "ari": round(float(np.mean(rand)), 4), "jaccard": round(float(jaccard.mean(axis=0).min()), 4),
        "smallest": round(float(sizes.min() / len(points)), 4), "silhouette": round(float(shown), 4),
    }  # fmt: skip


def matched(new: Floats, old: Floats, spread: Floats, *, within: float = 0.75) -> dict[int, int]:
    """New group -> the earlier group it goes on from: the nearest pairs by centre, at most `within` standard deviations apart
    on average over the habits."""
    from scipy.optimize import linear_sum_assignment

    if not len(new) or not len(old):
        return {}
    far = np.sqrt((((new[:, None, :] - old[None, :, :]) / spread) ** 2).mean(axis=2))
    rows, columns = linear_sum_assignment(far)
    return {int(r): int(c) for r, c in zip(rows, columns, strict=True) if far[r, c] <= within}
