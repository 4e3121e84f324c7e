"""The scores beside churn, value and the next order, and what every score is checked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from connector import card_pictures, engagement, fairness, next_category, score_about, score_grades, score_year, uplift
from connector.config import Config
from connector.score_attempts import Failed, attempt, beside, failed, tried
from connector.score_data import ShopData, no_profiling
from connector.score_outcomes import Known
from connector.score_parts import Scored, people_lacking, unchecked
from connector.store import Store
from models.scores.anomaly import WINDOW_DAYS as ANOMALY_DAYS
from models.scores.anomaly import AnomalyModel
from models.scores.discover import LEAST_PEOPLE
from models.scores.engagement import LEAST_CONTACTS, LEAST_DAYS
from models.scores.views import LEAST_EVENTS, LEAST_HISTORY_DAYS, Amount, Views
from models.segments import AsOf

METHODS = {
    "refuse": "own past rate, a rule",
    "rate": "own past rate with the shop's as prior, low confidence",
    "logistic": "logistic regression, medium confidence",
    "large": "logistic regression or boosted trees chosen by back-test, high confidence",
}


def mail_of(store: Store, config: Config, as_of: AsOf, data: ShopData) -> engagement.MailData:
    return engagement.load(store, config, as_of, data, no_profiling(store, config))


def mail_or_none(store: Store, config: Config, as_of: AsOf, data: ShopData) -> tuple[engagement.MailData, Failed | None]:
    """The mail; where that fails, none of it, and at which place: buyers are scored without."""
    mail = tried(lambda: mail_of(store, config, as_of, data))
    return (engagement.without_mail(data), mail) if isinstance(mail, Failed) else (mail, None)


def make(
    store: Store, config: Config, as_of: AsOf, data: ShopData, mail: engagement.MailData, views: Views, horizon: int,
    unread: Failed | None = None,
) -> list[Scored]:  # fmt: skip
    """Engagement, P(alive), a year's value, uplift, and the next category and topic where some are known.

    unread: where reading the mail failed.
    """
    tried = [
        failed(data, "engagement", horizon, unread.where)
        if unread is not None
        else attempt(
            data, "engagement", horizon, lambda: engagement.make(data, mail, horizon), lambda: engagement.rule(data, mail, horizon)
        ),
        attempt(data, "p_alive", 0, lambda: score_year.alive(data, views)),
        attempt(data, "clv_365d", score_year.YEAR_DAYS, lambda: score_year.year(data, views)),
        attempt(data, "uplift", uplift.WINDOW_DAYS, lambda: uplift.make(store, data, views)),
        attempt(data, "next_category", next_category.WINDOW_DAYS, lambda: next_category.category(store, config, as_of, data)),
        attempt(
            data, "next_topic", next_category.WINDOW_DAYS,
            lambda: next_category.topic(store, config, as_of, data, mail.people, mail.refusal),
        ),
    ]  # fmt: skip
    return [s for s in tried if s]


def finish(known: Known, views: Views, found: list[Scored]) -> None:
    """What every card says beside its own figures: how earlier scores turned out, fairness, what it was made from and could gain
    from, and the points of the pictures."""
    store, data, mail = known.store, known.data, known.mail
    beside(found, "How earlier scores turned out", lambda: score_grades.tell(known, views, found))
    beside(found, "Fairness", lambda: fairness.audit(store, data, views, found))
    beside(found, "What scores were made from", lambda: score_about.tell(data, mail, views, found))
    beside(found, "Pictures", lambda: card_pictures.prepare(data.checked, found))


def ready(store: Store, config: Config, as_of: AsOf, data: ShopData) -> list[dict[str, Any]]:
    """What the scores beside those that `score_watch.ready` tells of need, beside what there is."""
    mail_data = mail_of(store, config, as_of, data)
    mail = mail_data.views
    views = Views(data.orders, score_year.YEAR_DAYS)
    have, orders = mail.amount(data.cutoff), views.amount(data.cutoff)
    lacks = []
    if have.contacts < LEAST_CONTACTS:
        lacks.append(f"{LEAST_CONTACTS - have.contacts:,} more contacts with mail")
    if have.answered < LEAST_EVENTS:
        lacks.append(f"{LEAST_EVENTS - have.answered:,} more who opened or clicked themselves")
    days = LEAST_DAYS + min(config.scores.horizon_days, LEAST_DAYS) - have.history_days
    when = (as_of.day + timedelta(days=days)).isoformat() if days > 0 else ""
    lacks += [f"{days:,} more days of mail history, which is {when}"] if days > 0 else []
    lacks += [mail_data.refusal] if mail_data.refusal else []
    year = LEAST_DAYS + score_year.YEAR_DAYS - orders.history_days
    from_day = (as_of.day + timedelta(days=year)).isoformat() if year > 0 else ""
    buyers = people_lacking(orders) + ([data.refusal] if data.refusal else [])
    if year <= 0 and not buyers:
        buyers = [w for w in (unchecked(views, data.cutoff, score_year.YEAR_DAYS),) if w]
    held, drawn_on = uplift.lacking(store, data)
    return [
        {
            "score": "engagement", "is_ready": not lacks, "contacts": have.contacts, "answered": have.answered,
            "history_days": have.history_days, "lacks": lacks, "earliest": when, "method": METHODS[have.rung],
        },
        {
            "score": "clv_365d", "is_ready": year <= 0 and not buyers, "history_days": orders.history_days,
            "lacks": buyers + ([f"{year:,} more days of history, which is {from_day}"] if year > 0 else []), "earliest": from_day,
            "method": "MBG/NBD x own order value, scaled to the last year",
        },
        {
            "score": "uplift", "is_ready": not held, "lacks": held, "earliest": drawn_on,
            "method": "difference of two logistic regressions",
        },
        *_ready_without_horizon(store, config, as_of, data, mail_data, orders),
    ]  # fmt: skip


def _ready_without_horizon(
    store: Store, config: Config, as_of: AsOf, data: ShopData, mail: engagement.MailData, orders: Amount
) -> list[dict[str, Any]]:
    """P(alive), tastes, groups and unusual customers: what they need has no window of the owner's choice."""
    days = LEAST_HISTORY_DAYS - orders.history_days
    when = (as_of.day + timedelta(days=days)).isoformat() if days > 0 else ""
    refusal = [data.refusal] if data.refusal else []
    alive = people_lacking(orders) + ([f"{days:,} more days of history, which is {when}"] if days > 0 else []) + refusal
    alike = [f"{LEAST_PEOPLE - orders.customers:,} more customers"] if orders.customers < LEAST_PEOPLE else []
    judged = 0 if data.refusal else AnomalyModel().fit(data.orders, data.cutoff).judged_
    habits = [] if judged or data.refusal else [f"people with four orders before the last {ANOMALY_DAYS} days"]
    category, topic = (
        next_category.category(store, config, as_of, data),
        next_category.topic(store, config, as_of, data, mail.people, mail.refusal),
    )
    told = (
        ("p_alive", alive, when, "MBG/NBD"),
        ("next_category", _taste_lacks(category, "order lines of two categories"), "", next_category.MODEL),
        ("next_topic", _taste_lacks(topic, "clicks on two topics"), "", next_category.MODEL),
        ("cluster", alike + refusal, "", "K-Means, by `rollcall discover`"),
        ("anomaly", habits + refusal, "", "own history, by `rollcall discover`"),
    )
    return [{"score": s, "is_ready": not lacks, "lacks": lacks, "earliest": day, "method": how} for s, lacks, day, how in told]


def _taste_lacks(made: Scored | None, needed: str) -> list[str]:
    """In the words of the card that was refused for want of people."""
    if made is None:
        return [needed]
    return [] if made.card["metrics"] else [str(made.card["lines"][0]).removeprefix("Not published. ")]
