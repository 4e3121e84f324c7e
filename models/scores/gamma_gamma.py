"""Gamma-Gamma model of what an order is worth (Fader, Hardie & Lee 2005; Fader & Hardie, "The Gamma-Gamma model", 2013).

Beside the shrunk mean that the value model uses (`View.order_value`): the textbook model learns from repeat orders alone,
and leaves a one-time buyer's order out. It is here as a reference and for the published figures.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from models.scores.history import Floats


class GammaGamma:
    """Maximum likelihood of p, q, gamma over customers with `count` repeat orders of mean value `mean` (both above 0)."""

    def fit(self, count: Floats, mean: Floats) -> GammaGamma:
        """Learn p_, q_, gamma_ (money) and loglik_. Raises ValueError where nobody came back with money."""
        known = (count > 0) & (mean > 0)
        if not known.any():
            raise ValueError("no repeat orders with an amount")
        n, unit = count[known], float(mean[known].mean())
        m = mean[known] / unit

        def loss(theta: Floats) -> float:
            p, q, g = np.exp(np.clip(theta, -8, 8))
            each = gammaln(p * n + q) - gammaln(p * n) - gammaln(q) + q * np.log(g) + (p * n - 1) * np.log(m)
            each += p * n * np.log(n) - (p * n + q) * np.log(g + n * m)
            return -float(np.mean(each))

        settings: Any = {"xatol": 1e-8, "fatol": 1e-13, "maxiter": 4000, "maxfev": 4000}
        found: Any = minimize(loss, np.array([1.0, 1.0, 0.0]), method="Nelder-Mead", options=settings)
        self.p_, self.q_, gamma = (float(v) for v in np.exp(found.x))
        self.gamma_ = gamma * unit
        self.loglik_ = -float(found.fun) * len(n) - float(np.sum(np.log(np.full(len(n), unit))))
        return self

    def expected(self, count: Floats, mean: Floats) -> Floats:
        """Mean order value given the repeat orders so far; those without any get the population's."""
        p, q, g = self.p_, self.q_, self.gamma_
        return np.asarray(p * (g + np.where(count > 0, count * mean, 0.0)) / (p * count + q - 1))
