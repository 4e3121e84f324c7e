"""Engagement by mail history: nothing from the future, the ladder, planted habits found, chance not taken for one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sklearn.ensemble  # noqa: F401  # see one_thread
from threadpoolctl import threadpool_limits

from models.scores import measure
from models.scores.engagement import CampaignModel, EngagementModel, MailViews, RateModel, with_an_answer, without_answers
from models.scores.mail import NAMES, NEVER_DAYS, Mail, answers_within, mail_shot

sys.path.insert(0, str(Path(__file__).parent))
from simulated_habits import mailings, no_orders  # a helper beside the test, found by the line above
from simulated_shop import START

CUTOFF = START + 360


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Waiting threads cost more than they bring; sklearn is loaded first, else there is nothing to limit."""
    with threadpool_limits(1):
        yield


def views_of(mail: Mail) -> MailViews:
    return MailViews(mail, no_orders())


@pytest.fixture(scope="module")
def habits() -> MailViews:
    return views_of(mailings(900, 460))


def test_what_was_known_of_a_mail_history_depends_neither_on_the_future_nor_on_the_order_of_rows(habits: MailViews) -> None:
    mail = habits.mail
    mixed = np.random.default_rng(1).permutation(len(mail.day))
    whole, past = mail.where(mixed), mail.before(CUTOFF)
    shuffled = Mail.of(whole.person, whole.day, whole.kind, whole.campaign, whole.count)
    assert len(past.day) < len(mail.day)
    one, two = (mail_shot(m, no_orders(), CUTOFF) for m in (past, shuffled))
    assert np.array_equal(one.features, two.features)


def test_opens_by_machines_are_no_answer() -> None:
    plain, machines = (mailings(40, 120, machines=m) for m in (False, True))
    one, two = (mail_shot(m, no_orders(), START + 120) for m in (plain, machines))
    differs = [n for i, n in enumerate(NAMES) if not np.array_equal(one.features[:, i], two.features[:, i])]
    assert differs == ["machine_opens_90d"]
    never = mailings(5, 60, chance=0.0, machines=True)
    assert (mail_shot(never, no_orders(), START + 60).column("days_since_answer") == NEVER_DAYS).all()


@pytest.mark.parametrize(
    ("contacts", "days", "rung"),
    [
        (80, 300, "refuse"),
        (300, 80, "refuse"),
        (300, 300, "rate"),
        (700, 160, "rate"),
        (700, 300, "logistic"),
        (2100, 220, "large"),
    ],
)
def test_the_ladder_goes_by_the_amount_of_mail_history(contacts: int, days: int, rung: str) -> None:
    views = views_of(mailings(contacts, days))
    assert views.amount(START + days).rung == rung
    if rung == "refuse":
        with pytest.raises(ValueError, match="too little"):
            EngagementModel(60).fit(views, START + days)


def test_planted_habits_are_found_better_than_by_the_last_answer_and_the_probabilities_are_honest(habits: MailViews) -> None:
    shot = habits.at(CUTOFF)
    model = EngagementModel(60).fit(habits, CUTOFF)
    truth = answers_within(habits.mail, shot.person, CUTOFF, 60)
    found = model.predict(shot)
    draws = measure.paired_bootstrap(truth, found, -shot.column("days_since_answer"))
    assert model.kind_ == "logistic"
    assert np.percentile(draws[:, 0] - draws[:, 1], 2.5) > 0
    assert measure.calibration(truth, found)[0] < 0.04


def test_where_everybody_answers_by_the_same_chance_nothing_is_found() -> None:
    views = views_of(mailings(900, 420, chance=0.03))
    shot = views.at(CUTOFF)
    truth = answers_within(views.mail, shot.person, CUTOFF, 60)
    draws = measure.paired_bootstrap(
        truth, EngagementModel(60).fit(views, CUTOFF).predict(shot), -shot.column("days_since_answer")
    )
    assert np.percentile(draws[:, 0] - draws[:, 1], 2.5) <= 0


def test_the_past_rate_says_what_comes_where_habits_last() -> None:
    views = views_of(mailings(2000, 420, chance=0.05))
    shot = views.at(CUTOFF)
    model = RateModel().fit(shot)
    found = model.predict(shot, 56)
    assert found.mean() == pytest.approx(1 - 0.95**8, abs=0.04)
    assert model.a_ / (model.a_ + model.b_) == pytest.approx(0.05, abs=0.01)


def test_the_same_mail_in_another_order_gives_the_same_scores(habits: MailViews) -> None:
    mixed = habits.mail.where(np.random.default_rng(4).permutation(len(habits.mail.day)))
    again = views_of(Mail.of(mixed.person, mixed.day, mixed.kind, mixed.campaign, mixed.count))
    one, two = (EngagementModel(60).fit(v, CUTOFF).predict(v.at(CUTOFF)) for v in (habits, again))
    assert one == pytest.approx(two, abs=1e-9)


def test_a_horizon_no_window_of_which_has_closed_is_extrapolated_and_never_below_the_shorter_one() -> None:
    views = views_of(mailings(700, 250))
    cutoff = START + 250
    near, far = (EngagementModel(h).fit(views, cutoff) for h in (30, 200))
    assert (near.is_extrapolated, far.is_extrapolated) == (False, True)
    assert (far.predict(views.at(cutoff)) >= near.predict(views.at(cutoff)) - 1e-9).all()


def test_taking_the_answers_away_lowers_the_score_and_an_answer_yesterday_raises_it(habits: MailViews) -> None:
    shot = habits.at(CUTOFF)
    model = EngagementModel(60).fit(habits, CUTOFF)
    edits = (without_answers(habits.mail, CUTOFF, 90), with_an_answer(habits.mail, CUTOFF))
    without, awake = (model.predict(mail_shot(e, habits.orders, CUTOFF, shot.person)) for e in edits)
    engaged, silent = shot.column("opens_90d") > 3, shot.column("days_since_answer") > 120
    assert engaged.any() and silent.any()
    assert np.median((model.predict(shot) - without)[engaged]) > 0.1
    assert np.median((awake - model.predict(shot))[silent]) > 0.05


def test_who_answers_a_campaign_is_told_from_earlier_campaigns_only(habits: MailViews) -> None:
    day = CUTOFF - CUTOFF % 7 + START % 7  # a day on which a mail goes out
    number = (day - START) // 7
    whom = np.unique(habits.mail.person)
    model = CampaignModel().fit(habits, day)
    truth = np.isin(whom, habits.mail.person[(habits.mail.campaign == number) & habits.mail.is_answer])
    assert max(model.campaigns_) * 7 + START <= day - model.wait_days
    assert measure.auc(truth, model.predict(habits, day, whom)) > 0.75
    with pytest.raises(ValueError, match="50 are the least"):
        CampaignModel().fit(habits, START + 35)
