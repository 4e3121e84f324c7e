"""Taste to come: the likely category of the next order, and the topic a contact will click next in a mail.

What the owner calls sensitive is neither a category nor a topic here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from connector.config import Config
from connector.facts import marks
from connector.score_data import ShopData, date_of
from connector.score_parts import Scored, against, refused, with_notes
from connector.score_people import places
from connector.store import Store
from models.scores.taste import Bought, TasteModel, hits, usual
from models.segments import AsOf

WINDOW_DAYS = 90
LEAST_PEOPLE = 50
MODEL = "own fading choices drawn to the shop's mix"


@dataclass(frozen=True)
class Kind:
    """One thing people choose from, in words."""

    score: str
    title: str
    did: str
    rule: str


CATEGORY = Kind(
    "next_category", "Next category: what the next order will hold", "came back", "the category bought most often so far"
)
TOPIC = Kind(
    "next_topic", "Next topic: what a contact will click in a mail", "clicked again", "the topic clicked most often so far"
)


def category(store: Store, config: Config, as_of: AsOf, data: ShopData) -> Scored | None:
    """None where no two categories are known. A product's category is as it stands now: it has no date."""
    found = store.arrays(
        """SELECT n, date_diff('day', DATE '1970-01-01', ordered_on) AS day, taste AS code FROM fact_lines
           WHERE {seen_orders} AND taste IS NOT NULL AND ordered_on IS NOT NULL GROUP BY ALL""".format_map(marks(config, as_of))
    )
    return _make(CATEGORY, store, config, data, data.people, found, "fact_categories")


def topic(store: Store, config: Config, as_of: AsOf, data: ShopData, people: list[str]) -> Scored | None:
    """None where no two topics were ever clicked: the category of a link, else the first part of its path."""
    found = store.arrays(
        """SELECT n, date_diff('day', DATE '1970-01-01', day) AS day, topic AS code FROM fact_events
           WHERE {seen_events} AND kind = 'click' AND topic IS NOT NULL GROUP BY ALL""".format_map(marks(config, as_of))
    )
    return _make(TOPIC, store, config, data, people, found, "fact_topics")


def _make(
    kind: Kind, store: Store, config: Config, data: ShopData, people: list[str], found: dict[str, Any], words: str
) -> Scored | None:
    names, chosen = _chosen(store, config, people, found, words)
    if len(names) < 2:
        return None
    card = refused(kind.score, kind.title, "", horizon=WINDOW_DAYS, day=data.day.isoformat(), n=len(np.unique(chosen.person)))
    closed = data.cutoff - WINDOW_DAYS
    best, chance = (model := TasteModel().fit(chosen, closed)).predict()
    whom, rule = usual(chosen, closed)
    ours, theirs = hits(chosen, model.person_, best, closed, WINDOW_DAYS), hits(chosen, whom, rule, closed, WINDOW_DAYS)
    seen = ~np.isnan(ours)
    if data.refusal or int(seen.sum()) < LEAST_PEOPLE:
        why = data.refusal or (
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
    return Scored(with_notes(card, data), value, tier, people=people)


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
