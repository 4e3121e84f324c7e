"""Does a score treat groups of people alike? Told by country, language and age group, where the customers gave them.

None of these is an input of a model. An audit looks at them afterwards, on the last closed window, and warns where a permitted
input says so much about a sensitive attribute that it stands in for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from connector.score_data import Checked, ShopData
from connector.score_parts import Card, Scored
from connector.store import Store
from models.scores import measure
from models.scores.history import NAMES, Floats
from models.scores.signs import columns_of
from models.scores.views import View, Views

LEAST_PEOPLE = 50
LEAST_PROXY_PEOPLE = 100
PROXY_AUC = 0.75
"""An input that ranks one group of a sensitive attribute before the others in this share of pairs stands in for it."""

BIAS = 0.05
SURE = 3.0
"""Standard errors: with a dozen groups to each of four scores, two would call chance unfair every time."""

SHARE_RATIO = (0.8, 1.25)
"""The four-fifths rule, both ways."""

AGES = ((25, "under 25"), (35, "25 to 34"), (50, "35 to 49"), (65, "50 to 64"), (200, "65 and over"))
AUDITED = ("country", "language", "age group")
SENSITIVE = ("age group", "gender", "income band", "education")
STATED = ("country", "language")

Traits = dict[str, dict[str, str]]
"""Name of the trait -> person id -> value as the customer gave it."""


def audit(store: Store, data: ShopData, views: Views, found: list[Scored]) -> None:
    """Put the differences, and stand-ins for sensitive attributes, on the card of every score that was checked."""
    traits = _traits(store)
    stand_ins = _stand_ins(traits, data, views)
    for scored in found:
        checked = data.checked.get(str(scored.card["score"]))
        if checked is None:
            continue
        groups = [g for trait in AUDITED for g in _differences(trait, traits.get(trait, {}), checked, data)]
        scored.card["fairness"] = {"groups": groups, "stand_ins": stand_ins}
        scored.card["lines"] += _lines(groups, stand_ins, bool(scored.card.get("metrics", {}).get("gini")), data.currency)


def _traits(store: Store) -> Traits:
    """What customers said of themselves, from the profile as it stands; nothing where there is no profile."""
    if not store.value("SELECT count(*) FROM duckdb_columns() WHERE table_name = 'profile'"):
        return {}
    found: Traits = {}
    rows = store.rows("SELECT person_id, country, language, age, gender, income_band, education FROM profile")
    for row in rows:
        age = row["age"]
        values = {
            "country": row["country"], "language": row["language"], "gender": row["gender"], "income band": row["income_band"],
            "education": row["education"], "age group": None if age is None else next(w for a, w in AGES if age < a or a == 200),
        }  # fmt: skip
        for trait, value in values.items():
            if value not in (None, ""):
                found.setdefault(trait, {})[row["person_id"]] = str(value)
    return found


def _differences(trait: str, known: dict[str, str], checked: Checked, data: ShopData) -> list[Card]:
    """Per group of 50 people or more: who is ranked high, how well, and how far off the forecast was."""
    people = checked.people or data.everyone
    value = np.array([known.get(people[p], "") for p in checked.person], dtype=object)
    groups = [g for g in sorted(set(value) - {""}) if (value == g).sum() >= LEAST_PEOPLE]
    if len(groups) < 2:
        return []
    tier = measure.tiers(checked.expected)
    return [_one(trait, str(g), value == g, checked, tier) for g in groups]


def _one(trait: str, group: str, inside: Any, checked: Checked, tier: Any) -> Card:
    truth, expected = checked.truth[inside], checked.expected[inside]
    rest = tier[~inside] == "high"
    high = float((tier[inside] == "high").mean())
    error = float(np.std(truth - expected) / np.sqrt(len(truth)))
    bias = float(expected.mean() - truth.mean())
    scale = float(checked.truth.mean()) if checked.is_money else 1.0
    is_off = abs(bias) > BIAS * scale and abs(bias) > SURE * error
    low, top = SHARE_RATIO
    others = float(rest.mean()) if len(rest) else high
    of_share = float(np.sqrt(others * (1 - others) * (1 / inside.sum() + 1 / max(len(rest), 1))))
    is_uneven = others > 0 and not low <= high / others <= top and abs(high - others) > SURE * of_share
    return {
        "trait": trait, "group": group, "people": int(inside.sum()), "expected": round(float(expected.mean()), 4),
        "realised": round(float(truth.mean()), 4), "bias": round(bias, 4), "is_biased": bool(is_off),
        "auc": None if checked.is_money else round(measure.auc(truth > 0.5, expected), 4), "share_high": round(high, 4),
        "share_high_others": round(others, 4), "is_uneven": bool(is_uneven),
    }  # fmt: skip


def _stand_ins(traits: Traits, data: ShopData, views: Views) -> list[Card]:
    """Inputs of the models, and country and language, that nearly say what a sensitive attribute is."""
    if data.refusal or not data.people:
        return []
    view = views.at(data.cutoff)
    shot = view.shot
    found = []
    for trait in SENSITIVE:
        known = traits.get(trait, {})
        value = np.array([known.get(data.people[p], "") for p in shot.person], dtype=object)
        told = value != ""
        groups = [g for g in sorted(set(value) - {""}) if (value == g).sum() >= LEAST_PROXY_PEOPLE]
        for group in groups if len(groups) > 1 else []:
            columns = {n: shot.features[told, i] for i, n in enumerate(NAMES)}
            columns |= _beside(views, view, told)
            columns |= _stated(traits, data, shot.person[told], value[told] == group)
            best = max(columns, key=lambda n: _strength(value[told] == group, columns[n]))
            strength = _strength(value[told] == group, columns[best])
            if strength >= PROXY_AUC:
                found.append({"input": best, "trait": trait, "group": str(group), "auc": round(strength, 3)})
    return found


def _beside(views: Views, view: View, told: Any) -> dict[str, Floats]:
    """What stands beside orders; one value below all others where it is missing."""
    if views.signs is None or view.signs is None:
        return {}
    return {n: np.nan_to_num(view.signs[told, i], nan=-1.0) for i, (_, n) in enumerate(columns_of(views.signs.groups))}


def _stated(traits: Traits, data: ShopData, people: Any, target: Any) -> dict[str, Floats]:
    """Country and language as numbers: the share of the group among those who gave the same one."""
    found = {}
    for name in STATED:
        said = np.array([traits.get(name, {}).get(data.people[p], "") for p in people], dtype=object)
        shares = {v: float(target[said == v].mean()) for v in set(said)}
        if len(shares) > 1:
            found[name] = np.array([shares[v] for v in said])
    return found


def _strength(target: Any, column: Floats) -> float:
    auc = measure.auc(target, column)
    return max(auc, 1 - auc)


def _lines(groups: list[Card], stand_ins: list[Card], is_money: bool, currency: str) -> list[str]:
    if not groups:
        lines = ["Fairness: no two groups by country, language or age group are known and large enough to compare (50 people)."]
    else:
        bad = [g for g in groups if g["is_biased"] or g["is_uneven"]]
        compared = ", ".join(t for t in AUDITED if any(g["trait"] == t for g in groups))
        lines = [f"Fairness: compared by {compared}: {len(groups)} groups, {len(bad)} treated differently."]
        for g in bad:
            text = f"{g['trait']} {g['group']} ({g['people']:,} people):"
            if g["is_biased"]:
                shown = f"{g['expected']:,.2f} {currency} expected, {g['realised']:,.2f} came" if is_money else (
                    f"{g['expected']:.1%} expected, {g['realised']:.1%} came true"
                )  # fmt: skip
                text += f" {shown};"
            if g["is_uneven"]:
                text += f" {g['share_high']:.0%} are ranked high, {g['share_high_others']:.0%} of the others;"
            lines.append(text[:-1] + ".")
    return lines + [
        f"Warning: '{s['input'].replace('_', ' ')}' nearly says the {s['trait']} ({s['group']}: {s['auc']:.0%} of pairs); a rule on "
        "it, or this score, may treat people by it."
        for s in stand_ins
    ]
