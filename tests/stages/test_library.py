"""The ready-made segments, each on people made for it by hand: who belongs, and who misses by one clause alone."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from itertools import product
from pathlib import Path

import pytest

from connector.config import Branch
from connector.library import entries, entry, examples
from connector.rules import declared, parse, say
from connector.segment import evaluate, resolve
from models.errors import ConfigError
from tests.stages.hand_shop import shop_config
from tests.stages.library_shop import Cast

HERE = Path(__file__).parent
PEOPLE = tomllib.loads((HERE / "library_people.toml").read_text())
RANKS = tomllib.loads((HERE / "library_ranks.toml").read_text())
RFM = ("champions", "loyal", "potential_loyalist", "new", "promising", "need_attention", "about_to_sleep", "cannot_lose",
       "hibernating", "lost")  # fmt: skip


def found_in(store, config, moment, names):
    """Segment -> names of its members."""
    evaluate(store, config, resolve(config), moment, "r1")
    found = defaultdict(set)
    for segment, person in store.sql("SELECT segment, person_id FROM members"):
        found[segment].add(names[person])
    return found


def without_one_clause(segment):
    """The rule with each of the clauses it joins by and taken away in turn."""
    tree = parse(segment.where, declared()).tree
    written = [segment.where[a.place.start : a.place.end] for a in tree.args] if tree.op == "and" and not tree.name else []
    return [" and ".join(w for w in written if w != left_out) for left_out in written]


@pytest.fixture(scope="module")
def hand_made():
    cast = Cast()
    for segment, told in PEOPLE.items():
        people = {**told["belongs"], **told["misses"]}
        for name, person in told.get("others", {}).items():
            people |= {f"{name}_{i}": person for i in range(person["times"])}
        for name, person in people.items():
            cast.add(f"{segment}.{name}", person)
    config = shop_config(
        *({"use": told.get("use", name), "name": name, **told.get("with", {})} for name, told in PEOPLE.items())
    )
    config = config.model_copy(update={"branch": (Branch(name="Bonn", latitude=50.7374, longitude=7.0982),)})
    weaker = [
        {"name": f"{one.name}, one clause less {i}", "where": where}
        for one in resolve(config)
        if one.name == one.use
        for i, where in enumerate(without_one_clause(one))
    ]
    store, moment, names = cast.ready(config)
    found = found_in(store, config, moment, names)
    return found | found_in(store, shop_config(*weaker), moment, names)


@pytest.mark.parametrize("segment", PEOPLE)
def test_who_belongs_is_in_and_who_misses_one_clause_is_not(hand_made, segment: str):
    told = PEOPLE[segment]
    asked = {f"{segment}.{name}" for name in (*told["belongs"], *told["misses"])}

    assert hand_made[segment] & asked == {f"{segment}.{name}" for name in told["belongs"]}


def _missing(segment):
    return {f"{segment}.{person}" for person in PEOPLE[segment]["misses"]}


def test_each_clause_of_each_rule_keeps_somebody_out_who_misses_nothing_else(hand_made):
    weaker = {name: members for name, members in hand_made.items() if ", one clause less" in name}
    assert len(weaker) > 40
    kept_out = {name: members & _missing(name.partition(",")[0]) for name, members in weaker.items()}
    idle = [name for name, people in kept_out.items() if not people]
    assert not idle, "; ".join(idle)


def test_every_ready_made_segment_has_its_people():
    by_rank = set(RANKS) & set(entries()) | {"rfm_group"}

    assert {told.get("use", name) for name, told in PEOPLE.items()} | by_rank == set(entries())
    assert all(told["belongs"] and told["misses"] for told in PEOPLE.values())


def fifty_buyers() -> Cast:
    cast = Cast()
    for r, f, twin in product(range(1, 6), range(1, 6), "ab"):
        more = (6 - r) / 10 + (0.05 if twin == "a" else 0)
        last = {5: 10, 4: 100, 3: 200, 2: 300, 1: 400}[r]
        orders = [{"ago": last + 20 * i, "total": 10 * f + (more if i == 0 else 0)} for i in range(f)]
        cast.add(f"r{r}f{f}{twin}", {"orders": orders})
    return cast


def test_segments_by_rank_and_the_eleven_groups_hold_the_buyers_worked_out_by_hand():
    config = shop_config(
        {"use": "vip"}, {"use": "high_spenders"}, {"use": "at_risk"},
        *({"use": "rfm_group", "name": group, "group": group} for group in RFM),
        {"use": "rfm_group", "name": "at_risk_group", "group": "at_risk"},
    )  # fmt: skip
    store, moment, names = fifty_buyers().ready(config)
    found = found_in(store, config, moment, names)

    expected = {}
    for segment, told in RANKS.items():
        cells = told["belongs"].split()
        expected[segment] = {c for cell in cells for c in ((cell,) if cell[-1] in "ab" else (f"{cell}a", f"{cell}b"))}
    assert found == expected
    assert sum(len(expected[g]) for g in (*RFM, "at_risk_group")) == 50


def test_every_ready_made_rule_is_valid_and_can_be_said():
    words = declared(currency="EUR")
    for one, rule, meaning in examples():
        checked = parse(rule, words)
        assert not checked.warnings and say(checked, "EUR").startswith("Everybody"), one.name
        assert meaning.endswith(".") and one.action.endswith(".") and "{" not in meaning, one.name
        assert one.tag and len(f"Rollcall: {one.tag}") <= 50 and "," not in one.tag, one.name


def test_tags_are_neutral_and_different():
    tags = [e.tag.casefold() for e in entries().values()]

    assert len(tags) == len(set(tags))
    assert not any(word in tag for tag in tags for word in ("churn", "risk", "vip", "low", "dead"))


def test_parameters_are_put_in():
    rule, meaning = entry("win_back").filled({"days": 120})

    assert rule.startswith("days_since_order > 120 and")
    assert "120 days" in meaning
    assert entry("category_buyers").filled({"category": "O'Hara"})[0] == "bought(category => 'O''Hara', days => 365)"


@pytest.mark.parametrize(
    ("segment", "reason"),
    [
        ({"use": "win_bak"}, "no ready-made segment 'win_bak'. Did you mean 'win_back'"),
        ({"use": "win_back", "dayz": 3}, "no parameter 'dayz'. Did you mean 'days'"),
        ({"use": "cart_abandoners", "days": 3}, "It takes none"),
        ({"use": "win_back", "days": "120"}, "days must be a number"),
        ({"use": "category_buyers"}, 'needs category = "..."'),
        ({"use": "category_buyers", "category": 3}, "must be a text"),
    ],
)
def test_a_wrong_name_or_parameter_is_answered(segment, reason):
    with pytest.raises(ConfigError) as caught:
        resolve(shop_config(segment))

    assert reason in str(caught.value)


def test_a_segment_from_the_library_keeps_the_owners_choices():
    found = resolve(shop_config({"use": "vip", "name": "Best", "tag": "Gold", "percent": 5, "starts": "journey"}))[0]

    assert (found.name, found.tag, found.use, found.starts) == ("Best", "Gold", "vip", "journey")
    assert "top 5 %" in found.meaning
