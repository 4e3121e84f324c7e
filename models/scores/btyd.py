"""Buy-till-you-die models of repeat buying: BG/NBD and MBG/NBD.

One row per customer: `frequency` (repeat purchase days), `recency` (age at the last purchase), `age` (time since the
first purchase), all in one unit of time. Sources: Fader, Hardie & Lee (2005), "Counting your customers" the easy way,
eq. 6 and 8; Batislam, Denizel & Filiztekin (2007) and Wagner & Hoppe (2008) for the modified model, in which a
customer may leave right after the first purchase.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, psi

Floats = NDArray[np.float64]

LIMIT = 12.0
"""Bound of the logarithms of the parameters: beyond it the data say nothing."""

NODES = 24


class BetaGeoFitter:
    """Shared by both models: maximum likelihood over grouped customers, parameters r, alpha, a, b.

    modified: False for BG/NBD, True for MBG/NBD. penalty: weight of a ridge on the logarithms, which keeps tiny shops
    from running off to infinity; 0 reproduces the published fits. most: fit on an even sample of about so many
    customers (0: on all).
    """

    def __init__(self, *, modified: bool = True, penalty: float = 0.0, most: int = 0) -> None:
        self.modified = modified
        self.penalty = penalty
        self.most = most

    def fit(self, frequency: Floats, recency: Floats, age: Floats) -> BetaGeoFitter:
        """Learn r_, alpha_, a_, b_ and loglik_. Time is scaled inside, so any unit works; row order does not matter.

        Without any customer all four are 1.
        """
        if not len(frequency):
            self.unit_ = self.r_ = self.alpha_ = self.a_ = self.b_ = 1.0
            self.loglik_ = 0.0
            return self
        self.unit_ = float(max(np.max(age), 1.0)) / 10.0
        table = np.column_stack([frequency, recency, age])
        if self.most and len(table) > self.most:
            table = table[np.lexsort(table.T[::-1])][:: -(-len(table) // self.most)]
        rows, weights = np.unique(table, axis=0, return_counts=True)
        x, place = np.unique(rows[:, 0], return_inverse=True)
        t_x, t = rows[:, 1] / self.unit_, rows[:, 2] / self.unit_
        total = float(weights.sum())

        def loss(theta: Floats) -> tuple[float, Floats]:
            r, alpha, a, b = np.exp(np.clip(theta, -LIMIT, LIMIT))
            value, slope = self._loglik(x, place, t_x, t, weights, r, alpha, a, b)
            slope = -slope * np.array([r, alpha, a, b]) / total + 2 * self.penalty * theta
            return -value / total + self.penalty * float(np.sum(theta**2)), slope

        starts = ([0.0, 0.0, 0.0, 0.0], [-0.5, 0.5, -0.5, 1.0])
        settings: Any = {"ftol": 1e-13, "gtol": 1e-9, "maxiter": 400}
        tried = (minimize(loss, s, jac=True, method="L-BFGS-B", bounds=[(-LIMIT, LIMIT)] * 4, options=settings) for s in starts)
        found: Any = min(tried, key=lambda f: float(f.fun))
        r, alpha, a, b = (float(v) for v in np.exp(found.x))
        self.r_, self.alpha_, self.a_, self.b_ = r, alpha * self.unit_, a, b
        self.loglik_ = self._loglik(x, place, t_x * self.unit_, t * self.unit_, weights, r, self.alpha_, a, b)[0]
        return self

    def _loglik(
        self, x: Floats, place: Any, t_x: Floats, t: Floats, weights: Any, r: float, alpha: float, a: float, b: float
    ) -> tuple[float, Floats]:
        """Weighted log-likelihood and its slope in r, alpha, a, b. `x` are the distinct frequencies, `place` points there."""
        left = 1.0 if self.modified else 0.0
        later = b + x + left
        before = np.maximum(later - 1, 1e-12)
        count = (r + x)[place]
        log_t, log_tx = np.log(alpha + t), np.log(alpha + t_x)
        alive = betaln(a, later)[place] - count * log_t
        gone = betaln(a + 1, before)[place] - count * log_tx
        if not self.modified:
            gone = np.where(x[place] > 0, gone, -np.inf)
        both = np.logaddexp(alive, gone)
        shared = (gammaln(r + x) - gammaln(r) + r * np.log(alpha) - betaln(a, b))[place]
        w = np.exp(alive - both)
        v = 1 - w
        end = psi(a + later)[place]
        slopes = (
            (psi(r + x) - psi(r))[place] + np.log(alpha) - (w * log_t + v * log_tx),
            r / alpha - count * (w / (alpha + t) + v / (alpha + t_x)),
            psi(a + b) - psi(a) + w * psi(a) + v * psi(a + 1) - end,
            psi(a + b) - psi(b) + w * psi(later)[place] + v * psi(before)[place] - end,
        )
        return float(np.sum(weights * (shared + both))), np.array([float(np.sum(weights * s)) for s in slopes])

    def p_alive(self, frequency: Floats, recency: Floats, age: Floats) -> Floats:
        """P(still a customer at `age`). On its own no churn score: it says nothing about when the next order comes."""
        x = frequency
        before = self.b_ + x - (0 if self.modified else 1)
        odds = np.divide(self.a_, before, out=np.zeros_like(x), where=(x > 0) | self.modified)
        ratio = np.exp(np.clip((self.r_ + x) * (np.log(self.alpha_ + age) - np.log(self.alpha_ + recency)), -700, 700))
        return np.asarray(1.0 / (1.0 + odds * ratio))

    def p_no_order(self, frequency: Floats, recency: Floats, age: Floats, horizon: float) -> Floats:
        """P(no order within `horizon` from now) = 1 - P(alive) (1 - ((alpha + T) / (alpha + T + H)) ^ (r + x))."""
        waiting = np.exp((self.r_ + frequency) * (np.log(self.alpha_ + age) - np.log(self.alpha_ + age + horizon)))
        return np.asarray(1.0 - self.p_alive(frequency, recency, age) * (1.0 - waiting))

    def expected_orders(self, frequency: Floats, recency: Floats, age: Floats, horizon: float) -> Floats:
        """Mean number of purchase days within `horizon`.

        For one still here with rate l and chance p to leave after each purchase it is (1 - exp(-l p H)) / p; the rate is
        integrated in closed form, p by quadrature over its beta distribution.
        """
        found = np.empty(len(frequency))
        now = self.alpha_ + age
        for x in np.unique(frequency):
            rows = np.flatnonzero(frequency == x)
            stay = self.b_ + x + (1 if self.modified else 0)
            nodes, weights = _over_beta(self.a_, stay)
            p = np.clip(nodes, 1e-12, 1.0)
            log_left = np.log(now[rows])[:, None] - np.log(now[rows][:, None] + p * horizon)
            found[rows] = -np.expm1((self.r_ + x) * log_left) / p @ weights
        return np.asarray(found * self.p_alive(frequency, recency, age))

    def waiting_days(self, frequency: Floats, age: Floats, share: float | Floats, horizon: float) -> Floats:
        """The wait by which `share` of those who will order within `horizon` have ordered (0.5: the median)."""
        now, count = self.alpha_ + age, self.r_ + frequency
        within = -np.expm1(count * (np.log(now) - np.log(now + horizon)))
        return np.asarray(now * np.expm1(-np.log1p(-share * within) / count))


def _over_beta(a: float, b: float) -> tuple[Floats, Floats]:
    """Nodes and weights that average over Beta(a, b): Gauss-Jacobi by Golub & Welsch (1969).

    The weights add up to 1 from the start: the beta function itself leaves the range of numbers where few have left.
    """
    n, s = np.arange(NODES, dtype=float), a + b - 2
    diagonal = (a - b) / (a + b) * np.ones(NODES)
    diagonal[1:] = (a - b) * s / ((2 * n[1:] + s) * (2 * n[1:] + s + 2))
    k = n[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        square = 4 * k * (k + b - 1) * (k + a - 1) * (k + s) / ((2 * k + s) ** 2 * (2 * k + s + 1) * (2 * k + s - 1))
    square[0] = 4 * a * b / ((a + b) ** 2 * (a + b + 1))
    nodes, vectors = eigh_tridiagonal(diagonal, np.sqrt(square))
    return (1 + nodes) / 2, vectors[0] ** 2
