"""How earlier scores turned out: kept with model and cutoff, graded when their horizon has closed, and told on the next card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import orjson

from connector.config import Config
from connector.engagement import MailData
from connector.score_data import EPOCH, ShopData, date_of
from connector.score_parts import Card, Scored, interval
from connector.store import Store
from models.scores import measure
from models.scores.history import NAMES, Floats, no_order_within
from models.scores.mail import NAMES as MAIL_NAMES
from models.scores.mail import answers_within
from models.scores.value import spend_within
from models.scores.views import Views
from models.segments import AsOf

GRADED = ("churn", "purchase_30d", "clv", "engagement")
WARN, ALARM = 0.1, 0.2
SAME_DAYS = 7
"""Scores made so shortly before a window began are taken to be about that window."""
DECAY = 0.03
"""Points of AUC (or Gini) below the back-test's own interval that count as decay."""

MOVES_ANYWAY = (
    "age_days", "days_known", "weeks_known", "sent_30d", "sent_90d", "sent_365d", "machine_opens_90d", "days_since_mail",
    "days_since_open", "days_since_click", "days_since_answer", "opens_30d", "clicks_30d",
)  # fmt: skip
"""Inputs that move although nothing has changed: everybody gets older, and mails go out on some days and not on others."""


@dataclass(frozen=True)
class Kept:
    """One score of an earlier run: whose, the values, the day it saw up to, how far it spoke, and what its card promised."""

    score: str
    cutoff: date
    sees_until: int
    horizon: int
    model: str
    card: Card
    people: list[str]
    value: Floats


def tell(store: Store, data: ShopData, mail: MailData, views: Views, found: list[Scored]) -> None:
    """Put on each card how the latest closed scores turned out, and how far inputs and scores have moved since."""
    for scored in found:
        name = str(scored.card["score"])
        if name not in GRADED:
            continue
        due = _closed(store, name, data.cutoff)
        if not due:
            continue
        grade = _grade(due[-1], data, mail)
        if grade is None:
            continue
        moved = _moved(due[-1], scored, views, mail, data.cutoff)
        scored.card["graded"] = {**grade, **moved}
        scored.card["lines"] += _lines({**grade, **moved}, str(scored.card.get("status")))


def better_in_use(store: Store, data: ShopData, card: Card) -> str:
    """Why the scores in use stay: what was foretold for the last closed window by the model of that time ranks people better,
    beyond doubt, than today's procedure does for the same window. '' where the new ones may take over.

    Scores whose horizon is over never stay.
    """
    name, checked = str(card["score"]), data.checked.get(str(card["score"]))
    newest = store.sql(
        "SELECT cutoff, is_published, card FROM score_cards WHERE score = ? ORDER BY cutoff DESC LIMIT 1", [name]
    )
    if checked is None or card.get("is_extrapolated") or not newest or not newest[0][1]:
        return ""
    day, horizon = newest[0][0], int(card["horizon_days"])
    start = data.cutoff - horizon
    if not day < data.day < day + timedelta(days=int(orjson.loads(newest[0][2])["horizon_days"])):
        return ""
    then = [k for k in _closed(store, name, data.cutoff) if start - SAME_DAYS < k.sees_until <= start and k.horizon == horizon]
    if not then:
        return ""
    names, place = checked.people or data.people, {p: i for i, p in enumerate(then[-1].people)}
    rows = np.array([i for i, n in enumerate(checked.person) if names[n] in place], dtype=np.int64)
    theirs = np.array([then[-1].value[place[names[n]]] for n in checked.person[rows]])
    came, ours = checked.truth[rows], checked.expected[rows]
    if len(np.unique(came > 0)) < 2:
        return ""
    truth: Any = came if checked.is_money else came > 0
    metric: Callable[[Any, Floats], float] = measure.gini if checked.is_money else measure.auc
    draws = measure.paired(truth, ours, theirs, metric)
    lead = interval(draws[:, 1] - draws[:, 0], metric(truth, theirs) - metric(truth, ours))
    if lead["lo"] <= 0:
        return ""
    return (
        f"Not used: for the last closed window the model of {then[-1].cutoff} ranked people better by {lead['value']:.3f} (95 % interval "
        f"{lead['lo']:.3f} to {lead['hi']:.3f}), so the scores of {day} stay in use. `rollcall score` takes the new ones all the same."
    )


def graded(store: Store, data: ShopData, mail: MailData) -> list[Card]:
    """Every published score whose horizon has closed, with what came true."""
    kept = [k for name in GRADED for k in _closed(store, name, data.cutoff)]
    return [g for k in kept if (g := _grade(k, data, mail)) is not None]


def _closed(store: Store, name: str, until: int) -> list[Kept]:
    """Published scores of this name whose horizon ended by the day `until`, oldest first."""
    found = []
    for cutoff, text in store.sql(
        "SELECT cutoff, card FROM score_cards WHERE score = ? AND is_published ORDER BY cutoff, made_run", [name]
    ):
        card = orjson.loads(text)
        sees_until = int(card.get("sees_until") or (cutoff - EPOCH).days)
        horizon = int(card["horizon_days"])
        if sees_until + horizon > until:
            continue
        rows = store.sql(
            "SELECT person_id, value FROM scores WHERE score = ? AND cutoff = ? AND is_published ORDER BY person_id",
            [name, cutoff],
        )
        if rows:
            value = np.array([v for _, v in rows], dtype=float)
            found.append(Kept(name, cutoff, sees_until, horizon, str(card["model"]), card, [p for p, _ in rows], value))
    return found


def _grade(kept: Kept, data: ShopData, mail: MailData) -> Card | None:
    """What came true; people who are gone since are left out. None where nobody is left to grade by."""
    known = mail.people if kept.score == "engagement" else data.people
    place = {p: i for i, p in enumerate(known)}
    rows = [i for i, p in enumerate(kept.people) if p in place]
    if not rows:
        return None
    people = np.array([place[kept.people[i]] for i in rows], dtype=np.int64)
    value, start, horizon = kept.value[rows], kept.sees_until, kept.horizon
    base: Card = {
        "score": kept.score, "cutoff": kept.cutoff.isoformat(), "closed": date_of(start + horizon - 1).isoformat(),
        "model": kept.model, "n": len(rows), "expected": round(float(value.mean()), 4),
    }  # fmt: skip
    if kept.score == "clv":
        spent = spend_within(data.orders, people, start, horizon)
        return base | {
            "realised": round(float(spent.mean()), 4), "gini": _told(measure.gini(spent, value)),
            "has_decayed": _below(kept.card, "gini", measure.gini(spent, value)),
        }  # fmt: skip
    if kept.score == "engagement":
        truth = answers_within(mail.views.mail, people, start, horizon)
    else:
        silent = no_order_within(data.orders, people, start, horizon)
        truth = silent if kept.score == "churn" else ~silent
    auc = measure.auc(truth, value)
    return base | {
        "realised": round(float(truth.mean()), 4), "auc": _told(auc), "ece": round(measure.calibration(truth, value)[0], 4),
        "has_decayed": _below(kept.card, "auc", auc),
    }  # fmt: skip


def _told(metric: float) -> float | None:
    """None where nobody, or everybody, did it: then no two can be told apart."""
    return None if np.isnan(metric) else round(metric, 4)


def _below(card: Card, metric: str, now: float) -> bool:
    promised = card.get("metrics", {}).get(metric)
    return bool(promised) and bool(now < promised["lo"] - DECAY)


def _moved(kept: Kept, scored: Scored, views: Views, mail: MailData, cutoff: int) -> Card:
    """PSI of the scores, and of the inputs that moved most: as of then against as of now, both from what is known today."""
    now = scored.value[~np.isnan(scored.value)] if scored.value is not None and scored.card["is_published"] else np.empty(0)
    score_psi = round(measure.psi(kept.value, now), 4) if len(now) else None
    if kept.score == "engagement":
        names, then, today = MAIL_NAMES, mail.views.at(kept.sees_until).features, mail.views.at(cutoff).features
    else:
        names, then, today = NAMES, views.at(kept.sees_until).shot.features, views.at(cutoff).shot.features
    each = [
        {"input": n, "psi": round(measure.psi(then[:, i], today[:, i]), 4)}
        for i, n in enumerate(names)
        if n not in MOVES_ANYWAY
    ]
    worst = sorted(each, key=lambda e: (-float(str(e["psi"])), str(e["input"])))[:3]
    top = max(float(str(worst[0]["psi"])) if worst else 0.0, score_psi or 0.0)
    return {"score_psi": score_psi, "inputs": worst, "alarm": _level(top).lower() if top > WARN else ""}


def _lines(g: Card, status: str) -> list[str]:
    if g["score"] == "clv":
        rank = "the ranking cannot be judged by that" if g["gini"] is None else f"ranking (normalised Gini) {g['gini']:.3f}"
        how = f"{g['expected']:,.2f} each expected, {g['realised']:,.2f} came; {rank}"
    else:
        told = "it cannot be said whether people were told apart" if g["auc"] is None else f"told apart {g['auc']:.1%} of pairs"
        how = f"{g['expected']:.1%} expected, {g['realised']:.1%} came true; {told}"
    lines = [f"The scores of {g['cutoff']} came due on {g['closed']}: {how}."]
    if g["has_decayed"]:
        then = "A new model was trained for today" if status == "published" else "The simple rule is used from today"
        lines.append(f"Alarm: that is less than its back-test promised. {then}.")
    moved = ", ".join(f"{i['input'].replace('_', ' ')} (PSI {i['psi']:.2f})" for i in g["inputs"] if i["psi"] > WARN)
    if moved:
        lines.append(f"{_level(max(i['psi'] for i in g['inputs']))}: since then these inputs have moved: {moved}.")
    if (psi := g["score_psi"] or 0.0) > WARN:
        lines.append(f"{_level(psi)}: since then the scores themselves have moved (PSI {psi:.2f}).")
    return lines


def _level(psi: float) -> str:
    return "Alarm" if psi > ALARM else "Warning"


def thin(store: Store, config: Config, as_of: AsOf) -> None:
    """Of cutoffs older than `privacy.keep_scores_daily_days` keep the first of each week that was published, or else the first;
    and the newest of all, which is in use."""
    for table in ("scores", "score_cards"):
        store.sql(
            f"""DELETE FROM {table} WHERE cutoff < CAST(? AS DATE) - ? AND (score, cutoff) NOT IN (
                  SELECT (score, coalesce(min(cutoff) FILTER (is_published), min(cutoff))) FROM {table}
                  GROUP BY score, date_trunc('week', cutoff)
                  UNION ALL SELECT (score, max(cutoff)) FROM {table} GROUP BY score)""",
            [as_of.day, config.privacy.keep_scores_daily_days],
        )
