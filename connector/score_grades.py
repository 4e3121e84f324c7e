"""How earlier scores turned out: kept with model and cutoff, graded when their horizon has closed, and told on the next card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import orjson

from connector.config import Config
from connector.engagement import MailData
from connector.score_about import ON_MAIL
from connector.score_data import EPOCH, ShopData
from connector.score_outcomes import GRADERS, Kept, Known, in_words, outcome, read
from connector.score_parts import Card, Scored, interval
from connector.score_words import lead
from connector.store import Store
from models.scores import measure
from models.scores.history import NAMES, Floats
from models.scores.mail import NAMES as MAIL_NAMES
from models.scores.views import Views
from models.segments import AsOf

GRADED = tuple(GRADERS)
TIERED = ("churn", "purchase_30d", "clv", "clv_365d", "engagement")
"""What is a number a person that can be compared from run to run; the others are dates, products and names."""
INSTEAD = {
    "published": "A new model was trained for today",
    "rule": "The simple rule is used from today",
    "refused": "From today none is given",
}
WARN, ALARM = 0.1, 0.2
SAME_DAYS = 7
"""Scores made so shortly before a window began are taken to be about that window."""
MOVES_ANYWAY = (
    "age_days", "days_known", "weeks_known", "sent_30d", "sent_90d", "sent_365d", "machine_opens_90d", "days_since_mail",
    "days_since_open", "days_since_click", "days_since_answer", "opens_30d", "clicks_30d",
)  # fmt: skip
"""Inputs that move although nothing has changed: everybody gets older, and mails go out on some days and not on others."""


def tell(known: Known, views: Views, found: list[Scored]) -> None:
    """Put on each card how the latest closed scores turned out, and how far inputs and scores have moved since."""
    for scored in found:
        name = str(scored.card["score"])
        due = next(_closed(known.store, name, known.data.cutoff), None) if name in GRADED else None
        grade = outcome(due, known) if due is not None else None
        if due is None or grade is None:
            continue
        told = {**grade, **_moved(due, scored, views, known.mail, known.data.cutoff)}
        scored.card["graded"] = told
        scored.card["lines"] += _lines(told, str(scored.card.get("status")))


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
    closed = _closed(store, name, data.cutoff)
    then = next((k for k in closed if start - SAME_DAYS < k.sees_until <= start and k.horizon == horizon), None)
    if then is None:
        return ""
    names, place = checked.people or data.everyone, {p: i for i, p in enumerate(then.people)}
    rows = np.array([i for i, n in enumerate(checked.person) if names[n] in place], dtype=np.int64)
    theirs = np.array([then.value[place[names[n]]] for n in checked.person[rows]])
    came, ours = checked.truth[rows], checked.expected[rows]
    if len(np.unique(came > 0)) < 2:
        return ""
    truth: Any = came if checked.is_money else came > 0
    metric: Callable[[Any, Floats], float] = measure.gini if checked.is_money else measure.auc
    draws = measure.paired(truth, ours, theirs, metric)
    ahead = interval(draws[:, 1] - draws[:, 0], metric(truth, theirs) - metric(truth, ours))
    if ahead["lo"] <= 0:
        return ""
    return (
        f"Not used: for the last closed window the model of {then.cutoff} ranked people better by "
        f"{lead(ahead, '.3f')}, so the scores of {day} stay in use. `rollcall score` takes the new ones all the same."
    )


def graded(known: Known) -> list[Card]:
    """Every published score whose horizon has closed, with what came true, oldest first."""
    found = [[outcome(k, known) for k in _closed(known.store, name, known.data.cutoff)] for name in GRADED]
    return [g for grades in found for g in reversed(grades) if g is not None]


def _closed(store: Store, name: str, until: int) -> Iterator[Kept]:
    """Published scores of this name whose horizon ended by the day `until`, newest first; one at a time, for a shop's are many."""
    for cutoff, text in store.sql(
        "SELECT cutoff, card FROM score_cards WHERE score = ? AND is_published ORDER BY cutoff DESC, made_run DESC", [name]
    ):
        card = orjson.loads(text)
        sees_until = int(card.get("sees_until") or (cutoff - EPOCH).days)
        horizon = int(card["horizon_days"])
        if sees_until + horizon <= until and (kept := read(store, name, cutoff, sees_until, horizon, card)):
            yield kept


def _moved(kept: Kept, scored: Scored, views: Views, mail: MailData, cutoff: int) -> Card:
    """PSI of the scores, and of the inputs that moved most: as of then against as of now, both from what is known today."""
    now = scored.value[~np.isnan(scored.value)] if scored.value is not None and scored.card["is_published"] else np.empty(0)
    score_psi = round(measure.psi(kept.value, now), 4) if len(now) and kept.score in TIERED else None
    if kept.score in ON_MAIL:
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
    lines = in_words(g)
    if g["has_decayed"]:
        than = "its back-test promised" if g["score"] in TIERED else "it must be to be of use"
        lines.append(f"Alarm: that is less than {than}. {INSTEAD.get(status, INSTEAD['rule'])}.")
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
