"""Engagement: who will open or click, judged on the last window that has closed, against days since the last answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from connector.config import Config
from connector.facts import marks
from connector.score_data import Checked, ShopData, date_of, mail_incomplete
from connector.score_parts import Card, Scored, grade, over_rule, refused, tier_table, with_notes
from connector.score_people import places
from connector.score_words import at_the_cut, off_by, sure
from connector.store import Store
from models.scores import measure
from models.scores.engagement import (
    BASE_HORIZON,
    CampaignModel,
    EngagementModel,
    MailAmount,
    MailViews,
    RateModel,
    with_an_answer,
    without_answers,
)
from models.scores.history import Floats, Orders
from models.scores.mail import KINDS, NEVER_DAYS, Mail, MailShot, answers_within, mail_shot
from models.scores.signs import days
from models.scores.views import LEAST_EVENTS
from models.segments import AsOf

TITLE = "Engagement: a human open or click within the next {} days"
CONFIDENCE = {"rate": "low", "logistic": "medium", "large": "high"}
OWNERS_DAYS = 90
"""The rule most owners have: engaged in the last 90 days."""

LEAST_MOVE = 0.01
RATE = "the share of weeks with an answer, drawn to the shop's, is given"


@dataclass(frozen=True)
class MailData:
    """Mail of everybody who may be profiled; `people` are person ids, buyers without mail included."""

    people: list[str]
    views: MailViews
    campaigns: dict[str, int]
    """Campaign id -> its number in the mail."""
    refusal: str = ""
    """Why nothing may be learned from this mail."""

    @property
    def has_mail(self) -> bool:
        return bool(len(self.views.mail.day))


def load(store: Store, config: Config, as_of: AsOf, data: ShopData, hidden: set[str]) -> MailData:
    """Every mail event known at the as-of moment, by the shop's days."""
    kinds = ", ".join(f"'{k}'" for k in KINDS)
    number = " ".join(f"WHEN '{k}' THEN {i}" for i, k in enumerate(KINDS))
    seen = "{seen_events}".format_map(marks(config, as_of))
    found = store.arrays(
        f"""SELECT n, date_diff('day', DATE '1970-01-01', day) AS day, CASE kind {number} END AS kind,
              coalesce(campaign, -1) AS campaign, count(*) AS count
            FROM fact_events WHERE {seen} AND kind IN ({kinds}) GROUP BY ALL"""
    )
    mailed = store.sql(f"""SELECT DISTINCT p.person_id FROM fact_events AS e JOIN person_numbers AS p USING (n)
                           WHERE {seen} AND kind IN ({kinds})""")
    people = sorted({*data.people, *(p for (p,) in mailed if p not in hidden)})
    n, day, kind, campaign = (np.asarray(found[k]).astype(np.int64) for k in ("n", "day", "kind", "campaign"))
    person = places(store, people)[n]
    kept = person >= 0
    mail = Mail.of(person[kept], day[kept], kind[kept], campaign[kept], np.asarray(found["count"])[kept].astype(float))
    place = {p: i for i, p in enumerate(people)}
    campaigns = {
        str(i): int(c) for c, i in store.sql("SELECT code, campaign_id FROM fact_campaigns ORDER BY source DESC, code")
    }
    return MailData(people, MailViews(mail, _renumbered(data, place)), campaigns, mail_incomplete(store))


def without_mail(data: ShopData) -> MailData:
    """As if no mail were known."""
    none = np.empty(0, dtype=np.int64)
    return MailData(data.people, MailViews(Mail.of(none, none, none, none, np.empty(0)), data.orders), {})


def _renumbered(data: ShopData, place: dict[str, int]) -> Orders:
    """The shop's orders with the numbers of the mail's people; both lists are sorted, so the rows stay sorted."""
    return data.orders.renumbered(np.array([place.get(p, -1) for p in data.everyone], dtype=np.int64))


def make(data: ShopData, mail: MailData, horizon: int) -> Scored:
    """Train at the date, grade the same procedure on the last closed window, and decide whether it may be used."""
    title = TITLE.format(horizon)
    have = mail.views.amount(data.cutoff)
    card = refused("engagement", title, "", horizon=horizon, day=data.day.isoformat(), n=have.contacts)
    why = _too_little(have) or _unread(mail)
    if why:
        return Scored(with_notes({**card, "lines": [f"Not published. {why}"]}, data), *_fallback(mail, data, horizon))
    views, shot = mail.views, mail.views.at(data.cutoff)
    model = EngagementModel(horizon).fit(views, data.cutoff)
    card = _graded(card, mail, model, data, horizon)
    if not card["is_published"]:
        return Scored(with_notes(card, data), *_fallback(mail, data, horizon))
    value = _placed(model.predict(shot), shot, mail)
    tier = np.full(len(mail.people), "", dtype="<U6")
    tier[shot.person] = measure.tiers(value[shot.person])
    return Scored(with_notes(card, data), value, tier, _reasons(views, shot, model, mail, data), people=mail.people)


def rule(data: ShopData, mail: MailData, horizon: int) -> Scored:
    """The ladder's rule alone."""
    return Scored({}, *_fallback(mail, data, horizon))


def _fallback(mail: MailData, data: ShopData, horizon: int) -> tuple[Floats, Any, Any, list[str]]:
    """The ladder's rule: the own past rate, drawn to the shop's; nobody without mail has one."""
    value = np.full(len(mail.people), np.nan)
    if mail.has_mail:
        shot = mail.views.at(data.cutoff)
        value = _placed(RateModel().fit(shot).predict(shot, horizon), shot, mail)
    return value, None, None, mail.people


def _placed(values: Floats, shot: MailShot, mail: MailData) -> Floats:
    whole = np.full(len(mail.people), np.nan)
    whole[shot.person] = values
    return whole


def _too_little(have: MailAmount) -> str:
    if not have.contacts:
        return (
            "There is no e-mail history: no mail that was sent, opened or clicked is known. Connect the platform that sends "
            "your mails, or import events of the kinds sent, open and click."
        )
    if have.rung != "refuse":
        return ""
    return (
        f"A forecast needs 100 contacts with mail, {LEAST_EVENTS} who opened or clicked themselves, and 90 days of history; this "
        f"shop has {have.contacts:,}, {have.answered:,} and {have.history_days:,}. Until then {RATE}, "
        "which is a rule, not a prediction."
    )


def _unread(mail: MailData) -> str:
    return mail.refusal and f"{mail.refusal} Until it has, {RATE}, which is a rule, not a prediction."


def _graded(card: Card, mail: MailData, model: EngagementModel, data: ShopData, horizon: int) -> Card:
    """The same procedure on windows that have closed: the last one decides, the two before it are told."""
    views, cutoff = mail.views, data.cutoff
    checked = horizon
    if views.amount(cutoff - horizon).rung == "refuse":
        checked = min(horizon, BASE_HORIZON)
    closed = cutoff - checked
    if views.amount(closed).rung == "refuse":
        return {
            **card,
            "lines": [f"Not published. No window of {checked} days has closed on which a forecast could be checked."],
        }
    truth, expected, shot = _back_test(views, closed, checked)
    hits = int(truth.sum())
    if min(hits, len(truth) - hits) < LEAST_EVENTS:
        why = f"Of {len(truth):,} contacts {hits:,} answered in the last closed window; {LEAST_EVENTS} yes and as many no are the least."
        return {**card, "lines": [f"Not published. {why}"]}
    silence = shot.column("days_since_answer")
    metrics, curve = grade(truth, expected, -silence)
    metrics["owners_rule_auc"] = round(measure.auc(truth, (silence <= OWNERS_DAYS).astype(float)), 4)
    metrics["earlier"] = _earlier(views.sample, closed, checked)
    tier = measure.tiers(expected)
    data.checked["engagement"] = Checked(shot.person, truth.astype(float), expected, people=mail.people)
    better = bool(metrics["difference"]["lo"] > 0)
    confidence = CONFIDENCE[model.rung_] if model.kind_ != "rate" else "low"
    card = card | {
        "is_published": better, "status": "published" if better else "rule", "model": model.name_, "tried": model.tried_,
        "base_rate": round(float(truth.mean()), 4), "metrics": metrics, "tiers": tier_table(tier, expected, truth),
        "reliability": curve, "confidence": confidence, "is_extrapolated": model.is_extrapolated,
    }  # fmt: skip
    return {**card, "lines": _lines(card, closed, checked, len(truth), horizon)}


def _back_test(views: MailViews, closed: int, checked: int) -> tuple[Any, Floats, MailShot]:
    shot = views.at(closed)
    truth = answers_within(views.mail, shot.person, closed, checked)
    return truth, EngagementModel(checked).fit(views, closed).predict(shot), shot


def _earlier(views: MailViews, closed: int, checked: int) -> list[Card]:
    """What the procedure and the rule reached in the two windows before the last one."""
    found = []
    for cut in (closed - checked, closed - 2 * checked):
        if views.amount(cut).rung == "refuse":
            break
        truth, expected, shot = _back_test(views, cut, checked)
        if min(int(truth.sum()), int((~truth).sum())) >= LEAST_EVENTS:
            rule = measure.auc(truth, -shot.column("days_since_answer"))
            found.append(
                {"from": date_of(cut).isoformat(), "auc": round(measure.auc(truth, expected), 4), "rule_auc": round(rule, 4)}
            )
    return found


def _lines(card: Card, closed: int, checked: int, n: int, horizon: int) -> list[str]:
    m = card["metrics"]
    auc, rule = m["auc"], m["rule_auc"]["value"]
    lines = [
        f"Checked on {date_of(closed)} to {date_of(closed + checked - 1)}: of {n:,} contacts {card['base_rate']:.1%} opened or "
        "clicked themselves (opens by machines do not count).",
        f"Told who answers from who does not in {auc['value']:.1%} of pairs (95 % interval {auc['lo']:.1%} to {auc['hi']:.1%}); days "
        f"since the last answer alone manage {rule:.1%}, 'engaged in the last {OWNERS_DAYS} days' {m['owners_rule_auc']:.1%}.",
        off_by(m),
        *at_the_cut(m, "answered"),
        *(f"In the window from {e['from']}: {e['auc']:.1%}, the rule {e['rule_auc']:.1%}." for e in m["earlier"]),
        *(
            f"Tier {t['tier']}: {t['people']:,} people, {t['expected']:.1%} expected to answer, {sure(t['realised'], t)} did."
            for t in card["tiers"]
        ),
    ]
    lines.append(over_rule(m["difference"]))
    if card["is_extrapolated"]:
        lines.append(
            f"Extrapolated: no window of {horizon} days has closed yet; the past rate says what the rest of the time adds."
        )
    if card["is_published"]:
        return [*lines, f"Published: better than the simple rule. Model: {card['model']}. Confidence: {card['confidence']}."]
    return [
        *lines, "Not published: not measurably better than days since the last answer, so the past rate is given, and called a rule.",
    ]  # fmt: skip


def _reasons(views: MailViews, shot: MailShot, model: EngagementModel, mail: MailData, data: ShopData) -> list[list[Any]]:
    """The history is edited and scored again: what moves the score by a point or more is a reason, the strongest first."""
    own = model.predict(shot)
    edits = (without_answers(views.mail, shot.cutoff, OWNERS_DAYS), with_an_answer(views.mail, shot.cutoff))
    without, awake = (model.predict(mail_shot(e, views.orders, shot.cutoff, shot.person)) for e in edits)
    opens, clicks, silence = (shot.column(c) for c in ("opens_90d", "clicks_90d", "days_since_answer"))
    ago = silence - (data.cutoff - data.today)
    found: list[list[Any]] = [[] for _ in mail.people]
    for i, person in enumerate(shot.person):
        said = []
        if opens[i] + clicks[i] and abs(own[i] - without[i]) >= LEAST_MOVE:
            said.append(
                (own[i] - without[i], f"{opens[i]:.0f} opens and {clicks[i]:.0f} clicks in the last {OWNERS_DAYS} days")
            )
        if abs(own[i] - awake[i]) >= LEAST_MOVE:
            when = f"{days(ago[i])} ago" if ago[i] > 0 else "today"
            text = "no open or click ever" if silence[i] >= NEVER_DAYS else f"the last open or click was {when}"
            said.append((own[i] - awake[i], text))
        said.sort(key=lambda s: -abs(s[0]))
        found[person] = [f"{text} ({'raises' if move > 0 else 'lowers'} it by {abs(move):.0%})" for move, text in said]
    return found


def campaign(data: ShopData, mail: MailData, campaign_id: str) -> tuple[dict[str, float], str]:
    """(person id -> P(opens or clicks a campaign like the earlier ones), why there is none). A campaign known at the date gives
    its recipients as seen when it went out; any other is asked for everybody."""
    if mail.refusal:
        return {}, f"{mail.refusal[0].lower()}{mail.refusal[1:-1]}"
    views = mail.views
    number = mail.campaigns.get(campaign_id, -2)
    sent = views.mail.day[(views.mail.campaign == number)]
    cutoff = int(sent.min()) if len(sent) else data.cutoff
    whom = np.unique(views.mail.person[views.mail.campaign == number]) if len(sent) else np.arange(len(mail.people))
    try:
        model = CampaignModel().fit(views, cutoff)
    except ValueError as e:
        return {}, str(e)
    found = model.predict(views, cutoff, whom)
    return {mail.people[i]: float(p) for i, p in zip(whom, found, strict=True)}, ""
