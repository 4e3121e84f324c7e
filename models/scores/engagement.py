"""Engagement: P(a human open or click within the next H days), by the ladder of how much mail history there is.

Under 500 contacts or 180 days: the person's own past rate with the shop's as prior (beta-binomial over weeks). From 500: a
regularised logistic regression. From 2,000 with three closed cutoffs: boosting where a rolling back-test prefers it, the
simpler within one standard error of the better. Where no window of H days has closed, 30-day windows teach, and the rate
says what the rest of the time adds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, expit, logit

from models.scores.history import NAMES as FEATURES
from models.scores.history import Floats, Ints, Orders, snapshot
from models.scores.mail import OPEN, SENT, Mail, MailShot, answers_within, mail_shot
from models.scores.views import LEAST_EVENTS, MOST_CUTOFFS, RECENT, STEP_DAYS, signed_log

LEAST_CONTACTS = 100
LEAST_DAYS = 90
BASE_HORIZON = 30
MOST_CONTACTS = 20_000
MOST_ROWS = 100_000
MOST_BOOSTED_ROWS = 30_000
NAMES = {
    "rate": "own past rate with the shop's as prior",
    "logistic": "logistic regression on mail and purchase history",
    "boosting": "boosted trees on mail and purchase history",
}
Predictor = Callable[[MailShot, int], Floats]


@dataclass(frozen=True)
class MailAmount:
    contacts: int
    answered: int
    history_days: int

    @property
    def rung(self) -> str:
        if self.contacts < LEAST_CONTACTS or self.answered < LEAST_EVENTS or self.history_days < LEAST_DAYS:
            return "refuse"
        if self.contacts < 500 or self.history_days < 180:
            return "rate"
        return "logistic" if self.contacts < 2000 else "large"


class MailViews:
    """Mail histories by cutoff, each made once. Orders number their people as the mail does."""

    def __init__(self, mail: Mail, orders: Orders) -> None:
        self.mail = mail
        self.orders = orders
        self._made: dict[int, MailShot] = {}

    def at(self, cutoff: int) -> MailShot:
        if cutoff not in self._made:
            self._made[cutoff] = mail_shot(self.mail, self.orders, cutoff)
        return self._made[cutoff]

    @cached_property
    def sample(self) -> MailViews:
        """The mail of every k-th person, about 20,000 of them: enough to learn from and to judge by."""
        stride = -(-len(np.unique(self.mail.person)) // MOST_CONTACTS)
        return self if stride <= 1 else MailViews(self.mail.where(self.mail.person % stride == 0), self.orders)

    def amount(self, cutoff: int) -> MailAmount:
        past = self.mail.before(cutoff)
        if not len(past.day):
            return MailAmount(0, 0, 0)
        answered = len(np.unique(past.person[past.is_answer]))
        return MailAmount(len(np.unique(past.person)), answered, cutoff - int(past.day.min()))

    def training_cutoffs(self, cutoff: int, horizon: int) -> list[int]:
        """Latest first: every 30 days, at most 12, whose windows have closed and which have 90 days of history."""
        if not len(self.mail.day):
            return []
        begin = int(self.mail.day.min()) + LEAST_DAYS
        return [c for n in range(MOST_CUTOFFS) if (c := cutoff - horizon - STEP_DAYS * n) >= begin]


class RateModel:
    """Beta-binomial: every week is a try, its chance a person's own, drawn from the shop's beta distribution."""

    def fit(self, shot: MailShot) -> RateModel:
        """Learn a_ and b_ by maximum likelihood from the weeks with an answer and the weeks known."""
        hits, weeks = shot.column("answered_weeks"), shot.column("weeks_known")
        rows, counts = np.unique(np.column_stack([hits, weeks]), axis=0, return_counts=True)

        def loss(theta: Floats) -> float:
            a, b = np.exp(theta)
            return -float(np.sum(counts * (betaln(a + rows[:, 0], b + rows[:, 1] - rows[:, 0]) - betaln(a, b)))) / len(hits)

        bounds = [(-6.0, 6.0)] * 2
        found: Any = minimize(loss, np.array([-0.5, 1.5]), method="L-BFGS-B", bounds=bounds)
        self.a_, self.b_ = (float(v) for v in np.exp(found.x))
        return self

    def predict(self, shot: MailShot, horizon: int) -> Floats:
        """P(at least one answer within the horizon) = 1 - B(a + k, b + n - k + m) / B(a + k, b + n - k), m weeks ahead."""
        hits, weeks = shot.column("answered_weeks"), shot.column("weeks_known")
        a, b = self.a_ + hits, self.b_ + weeks - hits
        return np.asarray(-np.expm1(betaln(a, b + horizon / 7) - betaln(a, b)))


class EngagementModel:
    """P(a human open or click in [cutoff, cutoff + horizon)) for everybody with mail before the cutoff."""

    def __init__(self, horizon: int, *, seed: int = 7) -> None:
        self.horizon = horizon
        self.seed = seed

    def fit(self, views: MailViews, cutoff: int) -> EngagementModel:
        """Learn kind_, name_, rung_, cutoffs_, taught_horizon_, tried_. Raises ValueError where the ladder refuses."""
        self.amount_ = views.amount(cutoff)
        self.rung_ = self.amount_.rung
        if self.rung_ == "refuse":
            raise ValueError("too little mail history")
        self.rate_ = RateModel().fit(views.at(cutoff))
        self.taught_horizon_ = self.horizon
        self.cutoffs_ = views.training_cutoffs(cutoff, self.horizon)
        if not self.cutoffs_ and self.horizon > BASE_HORIZON:
            self.taught_horizon_, self.cutoffs_ = BASE_HORIZON, views.training_cutoffs(cutoff, BASE_HORIZON)
        self.tried_: dict[str, float] = {}
        self.kind_ = "rate" if self.rung_ == "rate" or not self.cutoffs_ else "logistic"
        if self.rung_ == "large" and len(self.cutoffs_) >= 3:
            self.kind_ = self._choose(views.sample)
        self.model_ = None
        if self.kind_ != "rate":
            self.model_ = _trained(views.sample, self.cutoffs_, self.taught_horizon_, self.kind_, self.seed)
        if self.model_ is None:
            self.kind_, self.taught_horizon_ = "rate", self.horizon
        self.name_ = NAMES[self.kind_]
        return self

    @property
    def is_extrapolated(self) -> bool:
        return self.taught_horizon_ != self.horizon

    def predict(self, shot: MailShot) -> Floats:
        if self.model_ is None:
            return self.rate_.predict(shot, self.horizon)
        p = _inside(self.model_.predict_proba(shot.inputs)[:, 1])
        if self.is_extrapolated:
            far, near = (_inside(self.rate_.predict(shot, h)) for h in (self.horizon, self.taught_horizon_))
            p = expit(logit(p) + logit(far) - logit(near))
        return np.asarray(p)

    def _choose(self, views: MailViews) -> str:
        """Rolling back-test on the three latest closed windows."""
        losses: dict[str, list[Floats]] = {"logistic": [], "boosting": []}
        for closed in self.cutoffs_[:3]:
            earlier = views.training_cutoffs(closed, self.taught_horizon_)
            made = {k: _trained(views, earlier, self.taught_horizon_, k, self.seed) for k in losses} if earlier else {}
            if not made or any(m is None for m in made.values()):
                continue
            shot = views.at(closed)
            truth = answers_within(views.mail, shot.person, closed, self.taught_horizon_)
            for kind, model in made.items():
                p = _inside(model.predict_proba(shot.inputs)[:, 1])
                losses[kind].append(-np.log(np.where(truth, p, 1 - p)))
        if not losses["logistic"]:
            return "logistic"
        self.tried_ = {k: round(float(np.mean([v.mean() for v in parts])), 5) for k, parts in losses.items()}
        gaps = [a - b for a, b in zip(losses["logistic"], losses["boosting"], strict=True)]
        error = float(np.sqrt(np.mean([g.var() / len(g) for g in gaps])))
        return "boosting" if self.tried_["logistic"] - self.tried_["boosting"] > error else "logistic"


class CampaignModel:
    """P(a human open or click in one campaign) for anybody, taught by the campaigns whose answers are in.

    A recipient of an earlier campaign is one row, seen as of the day it went out, with all the person had bought and how many
    got it: broad mailings are answered otherwise than narrow ones. `wait_days`: how long answers are waited for.
    """

    def __init__(self, *, wait_days: int = 30, most: int = 24) -> None:
        self.wait_days = wait_days
        self.most = most

    def fit(self, views: MailViews, cutoff: int) -> CampaignModel:
        """Learn campaigns_ (numbers) and n_. Raises ValueError with under 50 answers or 50 silences."""
        past = views.mail.before(cutoff)
        sent = past.where((past.kind == SENT) & (past.campaign >= 0))
        numbers = np.unique(sent.campaign)
        days = [int(sent.day[sent.campaign == c].min()) for c in numbers]
        begin = int(past.day.min(initial=cutoff))
        closed = sorted((d, int(c)) for d, c in zip(days, numbers, strict=True) if begin < d <= cutoff - self.wait_days)
        self.campaigns_ = [c for _, c in closed[-self.most :]]
        inputs, truth = [], []
        for day, number in closed[-self.most :]:
            whom = np.unique(sent.person[sent.campaign == number])
            inputs.append(campaign_inputs(views, day, whom))
            truth.append(np.isin(whom, past.person[past.is_answer & (past.campaign == number)]))
        y = np.concatenate(truth) if truth else np.empty(0, dtype=bool)
        self.n_ = len(y)
        if min(int(y.sum()), int((~y).sum())) < LEAST_EVENTS:
            raise ValueError(f"{int(y.sum()):,} answers to earlier campaigns; {LEAST_EVENTS} are the least")
        self.model_ = _logistic(strength=0.02).fit(np.vstack(inputs), y)
        return self

    def predict(self, views: MailViews, day: int, whom: Ints) -> Floats:
        """For the recipients `whom` (sorted) of a campaign that goes out on `day`."""
        return np.asarray(self.model_.predict_proba(campaign_inputs(views, day, whom))[:, 1])


def campaign_inputs(views: MailViews, day: int, whom: Ints) -> Floats:
    """Mail and purchase history as of `day`, the share of campaigns answered so far, and how many are written to."""
    past = views.mail.before(day)
    shot = mail_shot(past, views.orders, day, whom)
    known = snapshot(views.orders, day)
    size = int(max(whom.max(initial=-1), past.person.max(initial=-1), known.person.max(initial=-1))) + 1
    named = past.campaign >= 0
    got, answered = (
        np.bincount(np.unique(np.column_stack([past.person[m], past.campaign[m]]), axis=0)[:, 0], minlength=size)[whom]
        for m in (named & (past.kind == SENT), named & past.is_answer)
    )
    usual = (answered.sum() + 1) / (got.sum() + 10)
    rate = (answered + 4 * usual) / (got + 4)
    bought = np.zeros((size, len(FEATURES)))
    bought[known.person] = known.features
    audience = np.full(len(whom), np.log(len(whom)))
    return np.column_stack([shot.inputs, signed_log(bought[whom]), logit(_inside(rate)), answered, audience])


def without_answers(mail: Mail, cutoff: int, days: int) -> Mail:
    """The same history, had nobody opened or clicked in the last `days` days."""
    return mail.where(~(mail.is_answer & (mail.day >= cutoff - days)))


def with_an_answer(mail: Mail, cutoff: int) -> Mail:
    """The same history, had everybody opened one mail yesterday."""
    people = np.unique(mail.before(cutoff).person)
    ones = np.ones(len(people), dtype=np.int64)
    return Mail.of(
        np.r_[mail.person, people], np.r_[mail.day, ones * (cutoff - 1)], np.r_[mail.kind, ones * OPEN],
        np.r_[mail.campaign, -ones], np.r_[mail.count, ones.astype(float)],
    )  # fmt: skip


def _trained(views: MailViews, cutoffs: list[int], horizon: int, kind: str, seed: int) -> Any:
    """None where a class has too few events to learn from."""
    most = MOST_ROWS if kind == "logistic" else MOST_BOOSTED_ROWS
    shots = [views.at(c) for c in cutoffs]
    stride = max(1, -(-sum(len(s.person) for s in shots) // most))
    picks = [np.flatnonzero(s.person % stride == i % stride) for i, s in enumerate(shots)]
    y = np.concatenate([answers_within(views.mail, s.person[p], s.cutoff, horizon) for s, p in zip(shots, picks, strict=True)])
    if min(int(y.sum()), int((~y).sum())) < LEAST_EVENTS:
        return None
    x = np.vstack([s.inputs[p] for s, p in zip(shots, picks, strict=True)])
    if kind == "boosting":
        return _boosting(seed).fit(x, y)
    weight = np.concatenate(
        [np.full(len(p), RECENT ** ((cutoffs[0] - s.cutoff) / STEP_DAYS)) for s, p in zip(shots, picks, strict=True)]
    )
    return _logistic().fit(x, y, logisticregression__sample_weight=weight)


def _logistic(strength: float = 0.1) -> Any:
    from models.scores.churn import logistic

    return logistic(strength)


def _boosting(seed: int) -> Any:
    from models.scores.churn import boosting

    return boosting(seed)


def _inside(p: Floats) -> Floats:
    return np.clip(p, 1e-6, 1 - 1e-6)
