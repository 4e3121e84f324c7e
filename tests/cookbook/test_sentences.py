"""Every ready-made rule and every rule of the cookbook is said back in the words a person has read and let stand."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from connector.library import examples
from connector.rules import declared, parse, say
from connector.segment import check_all, resolve
from tests.cookbook.test_cookbook import EXPECTED, recipe
from tests.stages.hand_shop import shop_config

SAID = tomllib.loads((Path(__file__).parent / "sentences.toml").read_text())


def test_every_ready_made_rule_is_said_in_the_words_that_were_read():
    said = {one.name: say(parse(rule, declared((), "EUR")), "EUR") for one, rule, _ in examples()}

    assert said == SAID["library"]


@pytest.mark.parametrize("title", EXPECTED)
def test_every_rule_of_a_recipe_is_said_in_the_words_that_were_read(title: str):
    config = shop_config(*recipe(title))
    rules = check_all(None, config, resolve(config))

    assert {name: say(rule, "EUR") for name, rule in rules.items()} == SAID[title]


@pytest.mark.parametrize("sentence", [s for room in SAID.values() for s in room.values()])
def test_a_sentence_has_nothing_of_the_language_of_rules_in_it(sentence: str):
    ours = re.sub(r"'[^']*'", "", sentence)  # names and values are the owner's
    assert sentence.startswith(("Everybody who", "Everybody.")) and sentence.endswith(".") and ". " not in sentence
    assert not any(sign in ours for sign in ("_", "=>", ">=", "<=", "<>", " null", "None", "( ", "whose the"))
    assert sentence.count("(") == sentence.count(")")


@pytest.mark.parametrize(("rule", "sentence"), [
    ("open_rate_90d between 0.1 and 0.5",
     "whose share of the campaigns sent in the last 90 days that a human opened is between 10 and 50 %"),
    ("aov between 20 and 30.50", "whose average order value is between 20 and 30.5 EUR"),
    ("not (days_since_order <= 30)", "whose last order was more than 30 days ago or not known"),
    ("current_date - subscription_cancelled_on > 30", "whose last subscription's end was more than 30 days ago"),
    ("spent(category => 'Tea') + spent(product => '%cup%') > 9",
     "whose (money spent on category 'Tea' plus money spent on a product like '%cup%') is more than 9"),
])  # fmt: skip
def test_amounts_are_said_with_their_units(rule: str, sentence: str):
    assert say(parse(rule, declared((), "EUR")), "EUR") == f"Everybody {sentence}."
