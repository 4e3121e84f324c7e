"""Rules from a second hand, which wrote them with what an owner expects before it read the checker."""

from __future__ import annotations

import re
import time
import tomllib
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from connector.evaluation import Evaluation
from connector.rules import RuleError, Vocabulary, declared, parse
from connector.segment import check_all, resolve
from models.segments import Segment
from tests.stages.rules_shop import CATEGORIES, World

HERE = Path(__file__).parent


def read(name):
    return tomllib.loads((HERE / name).read_text())


def signs(text: str) -> str:
    """`{ZERO WIDTH SPACE}` as the character of that name."""
    return re.sub(r"\{([A-Z][A-Z -]+)\}", lambda found: unicodedata.lookup(found[1]), text)


ROOMS = read("rules_bad_second_hand.toml")
CIRCLES = ROOMS.pop("circles")
BAD = {f"{room}.{name}": rule for room, rules in ROOMS.items() for name, rule in rules.items()}
GOOD = read("rules_good_second_hand.toml")


def shop_words() -> Vocabulary:
    """What the shop of `rules_shop` would know: its cities, categories and forms."""
    plain = declared(("VIP", "Buyers", "Own", "Ring"), "EUR")
    seen = {"city": {"Bonn", "Ulm"}, "top_category": set(CATEGORIES)}
    known = {name: replace(plain.columns[name], values=frozenset(values)) for name, values in seen.items()}
    topics = {"category": frozenset(CATEGORIES), "form": frozenset({"Newsletter", "Contact"})}
    return replace(plain, columns={**plain.columns, **known}, topics=topics, own="Own")


WORDS = shop_words()


def test_there_are_sixty_bad_and_thirty_good_ones():
    assert len(BAD) >= 60 and len(GOOD) >= 30


@pytest.mark.parametrize("name", BAD)
def test_a_bad_rule_is_answered_at_the_place_an_owner_has_to_look_at(name: str):
    bad = BAD[name]
    rule, at = signs(bad["rule"]), signs(bad["at"])
    if bad.get("only_warned"):
        message, place = next((w.message, w.place) for w in parse(rule, WORDS).warnings)
    else:
        with pytest.raises(RuleError) as caught:
            parse(rule, WORDS)
        message, place = caught.value.reason, caught.value.place

    assert bad["says"] in message
    assert not at or place.start == rule.index(at), (rule[place.start : place.end], message)
    assert message.endswith((".", "?"))


@pytest.fixture(scope="module")
def shop():
    return World().ready(
        {"name": "Buyers", "where": "orders_total >= 1"}, {"name": "Coffee", "where": "bought(category => 'Coffee')"}
    )


@pytest.mark.parametrize("name", CIRCLES)
def test_a_circle_is_refused_and_names_its_segments(name: str):
    rule = CIRCLES[name]
    segments = [Segment(name="Own", where=rule["rule"]), Segment(name="Ring", where="segment('Own')")]

    with pytest.raises(RuleError, match=f"circle: .*{rule['says']}"):
        check_all(None, World().ready()[1], segments)


@pytest.mark.parametrize(("rule", "meant"), [
    ("submitted(form => 'Newsleter')", "Newsletter"), ("searched(term => 'kenja')", "kenya"),
    ("asked(topic => 'brokn')", "broken"), ("answered(answer => 'graet')", "great"),
    ("last(event => 'submitted', form => 'Kontact') < 30", "Contact"),
])  # fmt: skip
def test_a_text_nobody_ever_gave_is_warned_of_from_the_data(shop, rule: str, meant: str):
    store, config, _ = shop
    found = check_all(store, config, [Segment(name="Own", where=rule)])["Own"]

    assert [meant in w.message for w in found.warnings] == [True]


def test_every_good_rule_has_the_people_worked_out_by_hand(shop):
    store, config, moment = shop
    names = dict(store.sql("SELECT person_id, contact_id FROM person_links WHERE source = 'shopify'"))
    rules = check_all(
        store, config, [*resolve(config), *(Segment(name=f"own {name}", where=good["rule"]) for name, good in GOOD.items())]
    )
    evaluation = Evaluation(config, moment, rules)
    compiler = evaluation.compiler()
    picked = [f"{compiler.condition(rules[f'own {name}'].tree)} AS c{i}" for i, name in enumerate(GOOD)]
    rows = store.rows(evaluation.select(picked))

    found = {
        name: sorted(names[row["person_id"]].removeprefix("p") for row in rows if row[f"c{i}"]) for i, name in enumerate(GOOD)
    }
    assert found == {name: sorted(good["who"].split()) for name, good in GOOD.items()}


BOMBS = {
    "brackets": "(" * 1900 + "true" + ")" * 1900,
    "closed brackets of a list": "[" * 1900,
    "nots": "not " * 900 + "is_subscribed",
    "minuses": "orders_total > " + "- " * 1900 + "1",
    "cases": "case when true then " * 150 + "true" + " else false end" * 150,
    "calls": "abs(" * 900 + "orders_total" + ")" * 900 + " > 1",
    "a long list": "city in (" + ", ".join(["'Bonn'"] * 1_000_000) + ")",
    "ten megabytes": "orders_total >= 1 and " * 500_000 + "true",
    "ten megabytes of text": "city = '" + "x" * 10_000_000 + "'",
    "an endless word": "x" * 10_000_000,
    "commas": "," * 3900,
    "quotes": "'" * 3999,
    "a chain": " or ".join(["true"] * 700),
    "interval": "last_order_on > current_date - interval 99999999999 year",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_rule_made_to_exhaust_is_answered_at_once(name: str):
    start = time.process_time()
    try:
        parse(BOMBS[name], WORDS)
    except RuleError as e:
        assert e.reason and len(str(e)) < 1000

    assert time.process_time() - start < 2
