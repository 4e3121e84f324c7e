"""How high a forecast stands as a whole: what was learned, what the repeat-buying models say, and what both do not know.

A learned model takes the next window for like the ones it saw; BG/NBD and MBG/NBD know that customers age, and nothing of
seasons. What they missed on closed windows shows both: the same window a year ago tells of the season, the last one of a trend.
How far either is believed is a ridge regression over the closed windows, drawn to what held on shops unlike this one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.scores.history import Floats
from models.scores.views import LEAST_HISTORY_DAYS, View, Views

PRIOR = 0.04
"""Squared error of a level (a difference of logarithms) that a single closed window is weighed against."""

STEP_DAYS = 28
YEAR_DAYS = 13 * STEP_DAYS
MOST_STEPS = 2 * 13 + 6
SHARE, SHARE_STRENGTH = 0.25, 0.1
"""Weight of the learned level before any window has closed, and what it is weighed with (a squared difference of logarithms)."""

BELIEF = np.array([0.5, 0.0])
BELIEF_STRENGTH = np.array([0.1, 0.1])
"""The same for what was missed a year ago and on the last closed window."""

FEW_EVENTS = 50.0
"""An error seen on so many events counts half: much of it is chance."""

MOST = 0.7
NOTICEABLE = 0.01
"""Differences of logarithms: the most that is foreseen, and what is worth a word to the owner."""

STEADY = 0.05**2
"""Squared error of a shop whose windows come as expected, so that little speaks for a season in it."""

TRADE = np.log([0.94, 0.94, 0.94, 0.94, 0.94, 0.94, 0.94, 0.94, 0.94, 1.0, 1.2, 1.36])
"""Sales by month against the year's trend in trade at a distance: the fourth quarter 19 % above it. US Census Bureau, CB21-23
(2021-02-19): e-commerce of the fourth quarter 245.3 billion dollars, seasonally adjusted 206.7."""


@dataclass(frozen=True)
class Seen:
    """A closed window: the level as learned, as the repeat-buying models expected it, and as it came (logarithms)."""

    closed: int
    learned: float
    other: float
    truth: float


class Level:
    """What closed windows teach about the level of a window of `horizon` days.

    sign: 1 where more orders raise the level, -1 where they lower it. ahead: days the forecast itself reaches, where it is
    longer than the windows that teach.
    """

    def __init__(self, horizon: int, *, sign: int, ahead: int = 0) -> None:
        self.horizon = horizon
        self.sign = sign
        self.ahead = ahead

    def fit(self, views: Views, cutoff: int, miss: Callable[[View], tuple[float, float]]) -> Level:
        """Learn errors_ (by cutoff of a closed window), belief_ (in the year before, in the last window) and trade_.

        miss(view): of the window that begins at the view's cutoff, what came less what the repeat-buying models expected, as
        a difference of logarithms, and the events it rests on.
        """
        horizon, self.cutoff_, self.begin_ = self.horizon, cutoff, int(views.orders.day.min())
        found = {}
        for n in range(-(-horizon // STEP_DAYS), MOST_STEPS):
            closed = cutoff - n * STEP_DAYS
            if closed >= self.begin_ + LEAST_HISTORY_DAYS:
                error, events = miss(views.bare(closed))
                found[closed] = error * events / (events + FEW_EVENTS)
        self.errors_ = found
        spread = float(np.mean(np.square(list(found.values())))) if found else STEADY
        self.trade_ = self.sign * spread / (spread + STEADY)
        x = np.array([self._known(c, horizon) for c in found]).reshape(-1, 2)
        once = min(1.0, STEP_DAYS / horizon)  # windows overlap: each day counts once
        left = once * x.T @ np.array(list(found.values())) + BELIEF_STRENGTH * BELIEF
        self.belief_ = np.clip(np.linalg.solve(once * x.T @ x + np.diag(BELIEF_STRENGTH), left), 0, 1)
        return self

    def foreseen(self, day: int | None = None) -> float:
        """What to add to the repeat-buying models' level of the window from `day` (the cutoff)."""
        known = self._known(self.cutoff_, max(self.ahead, self.horizon)) if day is None else self._known(day, self.horizon)
        return float(np.clip(known @ self.belief_, -MOST, MOST))

    @property
    def is_season_assumed(self) -> bool:
        """Whether the forecast leans noticeably on what trade usually sees, because the shop has no year behind it."""
        usual = self.trade_ * self._usual(self.cutoff_, max(self.ahead, self.horizon))
        return not self._years_ago(self.cutoff_) and abs(usual * self.belief_[0]) > NOTICEABLE

    def combined(self, seen: list[Seen], learned: float, other: float, day: int | None = None) -> float:
        """The level to expect, from what was learned and the repeat-buying models: weighed by the closed windows `seen`."""
        weight = self.share(seen)
        return other + weight * (learned - other) + self.foreseen(day)

    def share(self, seen: list[Seen]) -> float:
        """Weight of the learned level: what of the season's and the trend's remainder it explained on closed windows."""
        once = min(1.0, STEP_DAYS / self.horizon)
        up, down = SHARE_STRENGTH * SHARE, SHARE_STRENGTH
        for s in seen:
            lead = s.learned - s.other
            up += once * lead * (s.truth - s.other - self.foreseen(s.closed))
            down += once * lead**2
        return float(np.clip(up / down, 0, 1))

    def _known(self, day: int, days: int) -> Floats:
        """What was missed a year before the window, or what the trade usually sees where none has passed; and on the last
        window that had closed by `day`."""
        years = self._years_ago(day)
        before = [c for c in self.errors_ if c <= day - self.horizon]
        return np.array([
            float(np.mean(years)) if years else self.trade_ * self._usual(day, days),
            self.errors_[max(before)] if before else 0.0,
        ])  # fmt: skip

    def _years_ago(self, day: int) -> list[float]:
        return [e for back in (YEAR_DAYS, 2 * YEAR_DAYS) if (e := self._near(day - back)) is not None]

    def _near(self, day: int) -> float | None:
        close = min(self.errors_, key=lambda c: abs(c - day), default=None)
        return None if close is None or abs(close - day) > STEP_DAYS // 2 else self.errors_[close]

    def _usual(self, day: int, days: int) -> float:
        """How far the trade stands above what it was on the days known before, as a difference of logarithms."""
        months = np.arange(self.begin_, day + days).astype("datetime64[D]").astype("datetime64[M]").astype(int) % 12
        sales = TRADE[months]
        return float(sales[day - self.begin_ :].mean() - sales[: day - self.begin_].mean())


def beyond(errors: list[float]) -> float:
    """What to add to a level stretched beyond the windows that taught, from its errors (came less expected) on the longer
    windows that have closed: their mean, drawn to nothing where it is small or rests on few."""
    if not errors:
        return 0.0
    mean = float(np.mean(errors))
    return mean * mean**2 / (mean**2 + PRIOR / len(errors))
