"""What nobody asked for: groups of people who shop alike, as rules to adopt, and customers who break with their own habits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import orjson

from connector import discover_names, discover_rules, segment
from connector.config import Config
from connector.facts import marks
from connector.rules import say
from connector.score import keep
from connector.score_data import EPOCH, ShopData, date_of, load
from connector.score_parts import Card, Scored, one_thread, refused
from connector.score_people import places
from connector.store import Store
from models.scores.anomaly import KINDS, AnomalyModel, Unusual, came_back
from models.scores.discover import HABITS, Groups, Visits, find, habits, matched, speaks_for
from models.scores.history import Floats
from models.segments import AsOf

EXAMPLES = 5
EXAMPLE = "For example: "
GROWN = 1.25


def run(store: Store, config: Config, as_of: AsOf, run_id: str) -> dict[str, Card]:
    """Find groups and unusual customers as of the date; keeps them as the scores `cluster` and `anomaly`. Needs a profile."""
    with one_thread():
        data = load(store, config, as_of)
        found = {"groups": _groups(store, config, as_of, data), "unusual": _unusual(data)}
    for scored in found.values():
        keep(store, _without_persons(scored), data.people, as_of, run_id)
    return {name: scored.card for name, scored in found.items()}


def _without_persons(scored: Scored) -> Scored:
    """A card is kept for good and shown to many; what it says of single people is for this answer only."""
    if not scored.card.get("examples"):
        return scored
    lines = [text for text in scored.card["lines"] if not text.startswith(EXAMPLE)]
    return replace(scored, card={**scored.card, "examples": [], "lines": lines})


def _groups(store: Store, config: Config, as_of: AsOf, data: ShopData) -> Scored:
    card = refused("cluster", "Groups of people who shop alike", "", horizon=0, day=data.day.isoformat(), n=len(data.people))
    people, visits = _visits(store, config, as_of, data)
    found = find(visits) if people and not data.refusal else Groups(why_not="nobody has ordered yet")
    card |= {"groups": [], "tried": found.tried}
    if data.refusal:
        return Scored({**card, "lines": [f"No groups were looked for. {data.refusal}"]})
    if found.why_not:
        return Scored({**card, "lines": [f"No natural groups: {found.why_not}."]})
    table = habits(visits)[:, [HABITS.index(n) for n in found.names]]
    before = _earlier(store, as_of)
    named = _named(store, config, as_of, people, table, found, before)
    confidence = "high" if found.is_separate else "medium"
    card |= {
        "is_published": True, "status": "published", "confidence": confidence, "groups": named, "names": list(found.names),
        "spread": found.spread.tolist(), "stability": found.ari, "silhouette": found.silhouette, "n": len(people),
        "model": f"K-Means, {found.count} groups on " + ", ".join(found.names),
    }  # fmt: skip
    value = np.full(len(data.people), np.nan)
    tier = np.full(len(data.people), "", dtype=object)
    place = {p: i for i, p in enumerate(data.people)}
    for person, group in zip(people, found.label, strict=True):
        value[place[person]], tier[place[person]] = float(group), named[group]["name"]
    told = discover_names.reasons(table, found.names, found.label, *speaks_for(table, found), config.shop.currency)
    reasons: list[list[Any]] = [[] for _ in data.people]
    for person, texts in zip(people, told, strict=True):
        reasons[place[person]] = texts
    return Scored({**card, "lines": _group_lines(card, found, before)}, value, tier, reasons)


def _visits(store: Store, config: Config, as_of: AsOf, data: ShopData) -> tuple[list[str], Visits]:
    """Orders, and mails of a year with those a human answered, of everybody who may be profiled."""
    found = store.arrays(
        """SELECT n, date_diff('day', DATE '1970-01-01', ordered_on) AS day, CAST(coalesce(net, 0) AS DOUBLE) AS amount,
             CAST(is_discounted AS DOUBLE) AS discounted
           FROM {orders} WHERE {seen_orders} AND counts AND ordered_on IS NOT NULL""".format_map(marks(config, as_of))
    )
    person = places(store, data.people)[np.asarray(found["n"]).astype(np.int64)]
    kept = person >= 0
    present, person = np.unique(person[kept], return_inverse=True)
    people = [data.people[i] for i in present]
    day = np.asarray(found["day"]).astype(np.int64)[kept]
    amount, discounted = (np.asarray(found[k], dtype=float)[kept] for k in ("amount", "discounted"))
    mail = {
        p: (a, m, e)
        for p, a, m, e in store.sql(
            """SELECT person_id, CAST(least(opens_human_365d + clicks_365d, emails_received_365d) AS DOUBLE),
                 CAST(emails_received_365d AS DOUBLE), engagement_decayed FROM profile WHERE emails_received_365d > 0"""
        )
    }
    own = np.array([mail.get(p, (0.0, 0.0, 0.0)) for p in people], dtype=float).reshape(-1, 3)
    cutoff = (as_of.day - EPOCH).days
    return people, Visits.of(person.astype(np.int64), day, amount, discounted, cutoff, (own[:, 0], own[:, 1], own[:, 2]))


def _named(
    store: Store, config: Config, as_of: AsOf, people: list[str], table: Floats, found: Groups, before: Card | None
) -> list[dict[str, Any]]:
    """Per group its name (an earlier one's where it goes on from it), its rule, how well that fits, and its people."""
    clauses = discover_rules.rules(table, found.names, found.label)
    went_on = _went_on(found, before)
    old = before["groups"] if before else []
    taken = {old[o]["name"] for o in went_on.values()}
    names = discover_names.names(table, found.names, found.label, taken, {g: old[o]["name"] for g, o in went_on.items()})
    everybody = np.array(people, dtype=object)
    made = []
    for g, where in enumerate(clauses):
        own = set(everybody[found.label == g])
        said = set(segment.matching(store, config, as_of, where)) & set(people) if where else set()
        fit = discover_rules.fidelity(said, own)
        rule = segment.check(where, store, config) if where else None
        was = old[went_on[g]] if g in went_on else None
        made.append({
            "name": names[g], "people": len(own), "share": round(len(own) / len(people), 4), "where": where,
            "says": say(rule, config.shop.currency) if rule else "", "centre": found.centres[g].tolist(),
            "usual": discover_names.usual(table[found.label == g], found.names, config.shop.currency),
            "fidelity": {"precision": fit.precision, "recall": fit.recall, "f1": round(fit.f1, 4)},
            "is_new": bool(before) and was is None, "is_growing": _is_growing(len(own), len(people), was, before),
            "was_people": was["people"] if was else None,
        })  # fmt: skip
    return made


def _earlier(store: Store, as_of: AsOf) -> Card | None:
    """The groups found last, up to the date."""
    found = store.sql(
        "SELECT card FROM score_cards WHERE score = 'cluster' AND is_published AND cutoff <= ? ORDER BY cutoff DESC LIMIT 1",
        [as_of.day],
    )
    return orjson.loads(found[0][0]) if found else None


def _went_on(found: Groups, before: Card | None) -> dict[int, int]:
    """New group -> the earlier one; compared in the habits that told people apart both times."""
    shared = [n for n in found.names if before and n in before["names"]]
    if before is None or not shared:
        return {}
    mine, theirs = ([list(names).index(n) for n in shared] for names in (found.names, before["names"]))
    old = np.array([g["centre"] for g in before["groups"]], dtype=float)[:, theirs]
    return matched(found.centres[:, mine], old, found.spread[mine])


def _is_growing(now: int, of: int, was: Card | None, before: Card | None) -> bool:
    """A quarter more of everybody than last time, and more than chance would make it (three standard errors)."""
    if was is None or before is None:
        return False
    then = float(was["people"]) / float(before["n"])
    error = np.sqrt(then * (1 - then) * (1 / of + 1 / float(before["n"])))
    return bool(now / of > GROWN * then and now / of - then > 3 * error)


def _group_lines(card: Card, found: Groups, before: Card | None) -> list[str]:
    kind = (
        "They lie apart." if found.is_separate else "They shade into each other: take the limits as convenient, not as natural."
    )
    lines = [
        f"{found.count} groups of {card['n']:,} people, told apart by {', '.join(found.names)}. {kind} Drawn again, they come back "
        f"(adjusted Rand index {found.ari:.2f})."
    ]
    for g in card["groups"]:
        news = ""
        if g["is_new"]:
            news = " New since the last time."
        elif g["is_growing"]:
            news = f" Growing: {g['was_people']:,} the last time."
        lines.append(f"{g['name']}: {g['people']:,} people ({g['share']:.0%}), usually {g['usual']}.{news}")
        lines.append(
            f'  where = "{g["where"]}" (fits: {g["fidelity"]["precision"]:.0%} of those it names are in the group, it names '
            f"{g['fidelity']['recall']:.0%} of the group)"
        )
    return lines


def _unusual(data: ShopData) -> Scored:
    model = AnomalyModel()
    card = refused(
        "anomaly", "Customers who break with their own habits", "", horizon=model.window, day=data.day.isoformat(),
        n=len(data.people),
    )  # fmt: skip
    card |= {"examples": [], "found": {}, "false_alarms": None}
    if data.refusal:
        return Scored({**card, "lines": [f"Nobody is named. {data.refusal}"]})
    found = model.fit(data.orders, data.cutoff).found_
    if not model.judged_:
        return Scored(
            {**card, "lines": ["Nobody is named: nobody has four orders before the last 60 days, so nobody has habits yet."]}
        )
    value, tier = np.full(len(data.people), np.nan), np.full(len(data.people), "", dtype=object)
    reasons: list[list[Any]] = [[] for _ in data.people]
    value[np.unique(found.person)] = 0.0
    for row in np.flatnonzero(found.flagged)[np.argsort(-found.p[found.flagged], kind="stable")]:
        person, kind = found.person[row], KINDS[found.kind[row]]
        value[person], tier[person] = round(-float(np.log10(max(found.p[row], 1e-12))), 2), kind
        reasons[person] = [_words(found, int(row), model.window, data.currency), *reasons[person]]
    alarms = _false_alarms(data, model)
    counts = {k: int((found.flagged & (found.kind == i)).sum()) for i, k in enumerate(KINDS)}
    strongest = [int(i) for i in np.argsort(-np.nan_to_num(value), kind="stable")[:EXAMPLES] if np.nan_to_num(value[i]) > 0]
    card |= {
        "is_published": True, "status": "published", "model": "own history (negative binomial counts, log ratio to the own median)",
        "confidence": "medium", "n": model.judged_, "found": counts, "false_alarms": alarms,
        "examples": [{"person_id": data.people[i], "kind": tier[i], "why": reasons[i][0]} for i in strongest],
    }  # fmt: skip
    chance = f" At most {model.share:.0%} of them are expected to be chance." if any(counts.values()) else ""
    lines = [
        f"{model.judged_:,} people have habits to judge by. In the {model.window} days to {date_of(data.cutoff - 1)}: "
        + ", ".join(f"{n:,} {k.replace('_', ' ')}{'' if n == 1 else 's'}" for k, n in counts.items())
        + f".{chance}",
        *(f"{EXAMPLE}{e['why']}." for e in card["examples"]),
    ]
    if alarms:
        lines.append(
            f"Measured: of {alarms['named']:,} named for a drop {model.window} days earlier, {alarms['came_back']:.0%} have ordered "
            "since; those were false alarms."
        )
    return Scored({**card, "lines": lines}, value, tier, reasons)


def _false_alarms(data: ShopData, model: AnomalyModel) -> dict[str, float] | None:
    """How those named for a drop one window ago turned out."""
    earlier = data.cutoff - model.window
    past = AnomalyModel().fit(data.orders, earlier).found_
    people = past.person[past.flagged & (past.kind == 0)]
    if not len(people):
        return None
    return {"named": float(len(people)), "came_back": round(came_back(data.orders, people, earlier, model.window), 4)}


def _words(found: Unusual, row: int, window: int, currency: str) -> str:
    kind, came, usual = KINDS[found.kind[row]], found.came[row], found.usual[row]
    if kind in ("drop", "jump"):
        return f"{came:.0f} order days in {window} days, usually {usual:.1f}"
    return f"an order of {came:,.2f} {currency}, usually {usual:,.2f}"
