"""Taste to come: the likely category of the next order, and the topic a contact will click next in a mail.

What the owner calls sensitive is neither a category nor a topic here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from connector.config import Config
from connector.facts import marks
from connector.score_data import ShopData, date_of
from connector.score_parts import Scored, against, refused, with_notes
from connector.score_people import places
from connector.store import Store
from models.scores.history import Ints
from models.scores.reasons import LEAST_MOVE
from models.scores.taste import LATELY_DAYS, Bought, TasteModel, held, hits, usual
from models.segments import AsOf

WINDOW_DAYS = 90
LEAST_PEOPLE = 50
LAST = 6
"""So many of a person's own days are told of."""
MODEL = "own fading choices drawn to the shop's mix"


@dataclass(frozen=True)
class Kind:
    """One thing people choose from, in words."""

    score: str
    title: str
    did: str
    rule: str
    day: str
    """A day on which something was chosen: 4 of the last 6 ... held it."""
    shop: str
    """What the shop's own mix is counted in."""


CATEGORY = Kind(
    "next_category",
    "Next category: what the next order will hold",
    "came back",
    "the category bought most often so far",
    "order day{}",
    "order days of all",
)
TOPIC = Kind(
    "next_topic",
    "Next topic: what a contact will click in a mail",
    "clicked again",
    "the topic clicked most often so far",
    "day{} with a click",
    "days with a click of all",
)

KINDS = {k.score: k for k in (CATEGORY, TOPIC)}

LINES_SQL = """SELECT n, date_diff('day', DATE '1970-01-01', ordered_on) AS day, taste AS code FROM {lines}
   WHERE {seen_orders} AND taste IS NOT NULL AND ordered_on IS NOT NULL GROUP BY ALL"""
CLICKS_SQL = """SELECT n, date_diff('day', DATE '1970-01-01', day) AS day, topic AS code FROM fact_events
   WHERE {seen_events} AND kind = 'click' AND topic IS NOT NULL GROUP BY ALL"""


def category(store: Store, config: Config, as_of: AsOf, data: ShopData) -> Scored | None:
    """None where no two categories are known. A product's category is as it stands now: it has no date."""
    return _make(CATEGORY, data, data.people, *choices(CATEGORY.score, store, config, as_of, data, []))


def topic(store: Store, config: Config, as_of: AsOf, data: ShopData, people: list[str], refusal: str = "") -> Scored | None:
    """None where no two topics were ever clicked: the category of a link, else the first part of its path.

    refusal: why nothing may be learned from mail.
    """
    return _make(TOPIC, data, people, *choices(TOPIC.score, store, config, as_of, data, people), refusal)


def choices(
    score: str, store: Store, config: Config, as_of: AsOf, data: ShopData, mailed: list[str]
) -> tuple[list[str], Bought]:
    """What can be chosen, by name, and who chose what on which day: people by their place in `data.people`, or in `mailed`."""
    if score == CATEGORY.score:
        sql, words, people = LINES_SQL, "fact_categories", data.people
    else:
        sql, words, people = CLICKS_SQL, "fact_topics", mailed
    return _chosen(store, config, people, store.arrays(sql.format_map(marks(config, as_of))), words)


def _make(kind: Kind, data: ShopData, people: list[str], names: list[str], chosen: Bought, refusal: str = "") -> Scored | None:
    if len(names) < 2:
        return None
    card = refused(kind.score, kind.title, "", horizon=WINDOW_DAYS, day=data.day.isoformat(), n=len(np.unique(chosen.person)))
    closed = data.cutoff - WINDOW_DAYS
    best, chance = (model := TasteModel().fit(chosen, closed)).predict()
    whom, rule = usual(chosen, closed)
    ours, theirs = hits(chosen, model.person_, best, closed, WINDOW_DAYS), hits(chosen, whom, rule, closed, WINDOW_DAYS)
    seen = ~np.isnan(ours)
    refusal = data.refusal or refusal
    if refusal or int(seen.sum()) < LEAST_PEOPLE:
        why = refusal or (
            f"{int(seen.sum()):,} known people {kind.did} in the last {WINDOW_DAYS} days; {LEAST_PEOPLE} are needed."
        )
        return Scored(with_notes({**card, "lines": [f"Not published. {why}"]}, data), people=people)
    ours, theirs, told = ours[seen], theirs[seen], chance[seen]
    right, rule_right, gain = against(ours, theirs)
    better = gain["lo"] > 0
    card |= {
        "is_published": better, "status": "published" if better else "refused", "confidence": "medium", "model": MODEL,
        "metrics": {"right": right, "rule_right": rule_right, "difference": gain, "expected": round(float(told.mean()), 4)},
    }  # fmt: skip
    card["lines"] = [
        f"Checked on {date_of(closed)} to {date_of(data.cutoff - 1)}: right for {ours.mean():.1%} of {len(ours):,} people who "
        f"{kind.did} ({told.mean():.1%} expected); {kind.rule} for {theirs.mean():.1%}.",
        f"Published: better than the simple rule. Model: {MODEL}. Confidence: medium."
        if better
        else f"Not published: not measurably better than {kind.rule}.",
    ]
    if not better:
        return Scored(with_notes(card, data), people=people)
    model = TasteModel().fit(chosen, data.cutoff)
    category, p = model.predict()
    value, tier = np.full(len(people), np.nan), np.full(len(people), "", dtype=object)
    value[model.person_], tier[model.person_] = p, [names[c] for c in category]
    reasons: list[list[str]] = [[] for _ in people]
    for person, text in zip(model.person_, _why(kind, model, chosen, category, names, data.cutoff), strict=True):
        reasons[person] = [text]
    return Scored(with_notes(card, data), value, tier, reasons, people=people)


def _why(kind: Kind, model: TasteModel, chosen: Bought, best: Ints, names: list[str], cutoff: int) -> Iterator[str]:
    """Per person of the model: what they chose lately and what that adds; where it adds nothing, what the shop's people choose."""
    lately, days, ever = held(chosen, model.person_, best, cutoff, LAST)
    for i, part in enumerate(model.own_part(best)):
        name, many = names[best[i]], kind.day.format("s")
        if part < LEAST_MOVE:
            yield f"{model.mix_[best[i]]:.0%} of the {kind.shop} in the last {LATELY_DAYS} days held {name}"
        elif days[i] == 1:
            yield f"the only {kind.day.format('')} so far held {name} (raises the chance by {part:.0%})"
        elif lately[i]:
            yield f"{lately[i]} of the last {days[i]} {many} held {name} (raises the chance by {part:.0%})"
        else:
            yield f"none of the last {days[i]} {many} held {name}, {ever[i]} before did (raises the chance by {part:.0%})"


def _chosen(store: Store, config: Config, people: list[str], found: dict[str, Any], words: str) -> tuple[list[str], Bought]:
    """Names of what can be chosen, and who chose what on which day."""
    named = {int(c): str(n) for c, n in store.sql(f"SELECT code, name FROM {words}")}
    secret = [s.lower() for s in config.privacy.sensitive_products]
    hidden = [c for c, n in named.items() if any(s in n.lower() for s in secret)]
    n, day, code = (np.asarray(found[k]).astype(np.int64) for k in ("n", "day", "code"))
    person = places(store, people)[n]
    kept = (person >= 0) & ~np.isin(code, hidden)
    codes, choice = np.unique(code[kept], return_inverse=True)
    return [named[int(c)] for c in codes], Bought.of(person[kept], day[kept], choice.astype(np.int64))
