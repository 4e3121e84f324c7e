"""Uplift: only where the shop held out people by lot; else refused, and what would be needed is said.

The hold-out is told by two free attributes of contacts: `hold_out` (true or yes for those not written to, false or no for those who
were; any other word is no answer) and `hold_out_on` (the day of the draw). Nothing else can show that a campaign caused an order.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from connector.score_data import EPOCH, ShopData, date_of
from connector.score_parts import Card, Scored, refused, with_notes
from connector.score_words import lead
from connector.store import Store
from models.scores.history import no_order_within
from models.scores.uplift import LEAST_ARM, LEAST_EVENTS, UpliftModel
from models.scores.views import Views

TITLE = "Uplift: orders that come because somebody was written to"
WINDOW_DAYS = 30
NEEDED = (
    "Without people held out by lot nobody can say which orders a mail caused: those who get mails would often have bought "
    "anyway. To have it: draw at least 200 people by lot, do not write to them for 30 days, and give contacts the attributes "
    "hold_out (true or false) and hold_out_on (the day of the draw). Until then choose people by engagement."
)


def make(store: Store, data: ShopData, views: Views) -> Scored:
    """The score is published only where its ranking is better than chance beyond doubt."""
    card = refused("uplift", TITLE, "", horizon=WINDOW_DAYS, day=data.day.isoformat(), n=0)
    drawn = _draw(store)
    if not drawn:
        return Scored(with_notes({**card, "lines": [f"Not published. There is no hold-out. {NEEDED}"]}, data))
    day = max(d for _, d in drawn.values())
    start = (day - EPOCH).days
    if data.refusal or start + WINDOW_DAYS > data.cutoff:
        why = data.refusal or f"The hold-out was drawn on {day}; {WINDOW_DAYS} days after it have not passed."
        return Scored(with_notes({**card, "lines": [f"Not published. {why}"]}, data))
    return _judged(card, data, views, {p: held for p, (held, on) in drawn.items() if on == day}, start)


def _judged(card: Card, data: ShopData, views: Views, drawn: dict[str, bool], start: int) -> Scored:
    view = views.at(start)
    rows = np.array([i for i, p in enumerate(view.person) if data.everyone[p] in drawn], dtype=np.int64)
    held = np.array([drawn[data.everyone[view.person[i]]] for i in rows], dtype=bool)
    ordered = ~no_order_within(data.orders, view.person[rows], start, WINDOW_DAYS)
    card = {**card, "n": len(rows)}
    try:
        model = UpliftModel().fit(view.inputs[rows], ~held, ordered)
    except ValueError as e:
        return Scored(with_notes({**card, "lines": [f"Not published: {e}."]}, data))
    found = model.effect_
    mean, curve = found.mean, found.qini
    card |= {
        "is_published": found.is_rankable, "status": "published" if found.is_rankable else "refused", "confidence": "medium",
        "model": "difference of two logistic regressions", "metrics": {"mean_effect": _interval(mean), "qini": _interval(curve)},
    }  # fmt: skip
    card["lines"] = [
        f"Measured on the hold-out drawn on {date_of(start)}: of those written to {ordered[~held].mean():.1%} ordered within "
        f"{WINDOW_DAYS} days, of those held out {ordered[held].mean():.1%}; the difference is "
        f"{lead(card['metrics']['mean_effect'], '+.1%')}.",
        f"Published: ranking by uplift finds those whom a mail moves. Model: {card['model']}."
        if found.is_rankable
        else "Not published: the interval of the ranking holds zero, so nobody can be named whom a mail moves more than others.",
    ]
    value = model.predict(views.at(data.cutoff).inputs) if found.is_rankable else None
    return Scored(with_notes(card, data), value)


def _draw(store: Store) -> dict[str, tuple[bool, date]]:
    """Person id -> (held out, day of the draw), from the contacts' attributes; of several contacts of a person a hold-out wins."""
    rows: list[tuple[Any, ...]] = store.sql("""
        SELECT l.person_id, CASE WHEN lower(json_extract_string(c.attributes, '$.hold_out')) IN ('true', 'yes', '1') THEN TRUE
            WHEN lower(json_extract_string(c.attributes, '$.hold_out')) IN ('false', 'no', '0') THEN FALSE END,
          try_cast(json_extract_string(c.attributes, '$.hold_out_on') AS DATE)
        FROM contacts AS c JOIN person_links AS l USING (source, contact_id) WHERE c.attributes IS NOT NULL ORDER BY 1, 2""")
    return {p: (held, on) for p, held, on in rows if held is not None and on is not None}


def lacking(store: Store, data: ShopData) -> tuple[list[str], str]:
    """(what uplift still waits for, the day on which the window of the draw has closed; '' where no day helps)."""
    drawn = _draw(store)
    if not drawn:
        return ["people held out by lot"], ""
    day = max(on for _, on in drawn.values())
    start = (day - EPOCH).days
    place = {p: i for i, p in enumerate(data.everyone)}
    known = set(np.unique(data.orders.before(start).person).tolist())
    held = np.array([h for p, (h, on) in drawn.items() if on == day and place.get(p, -1) in known], dtype=bool)
    whose = np.array([place[p] for p, (_, on) in drawn.items() if on == day and place.get(p, -1) in known], dtype=np.int64)
    lacks = [data.refusal] if data.refusal else []
    arms = ((~held, "written to after the draw"), (held, "held out by lot"))
    lacks += [f"{LEAST_ARM - int(a.sum()):,} more buyers {who}" for a, who in arms if a.sum() < LEAST_ARM]
    if start + WINDOW_DAYS > data.cutoff:
        end = date_of(start + WINDOW_DAYS).isoformat()
        return [*lacks, f"{WINDOW_DAYS} days after the draw, which is {end}"], end
    ordered = ~no_order_within(data.orders, whose, start, WINDOW_DAYS)
    bought = ((int((ordered & a).sum()), who) for a, who in arms)
    return lacks + [f"{LEAST_EVENTS - n:,} more of those {who} who ordered" for n, who in bought if n < LEAST_EVENTS], ""


def _interval(of: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("value", "lo", "hi"), (round(v, 6) + 0.0 for v in of), strict=True))
