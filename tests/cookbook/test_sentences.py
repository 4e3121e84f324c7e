"""Every ready-made rule and every rule of the cookbook is said back in the words a person has read and let stand."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from connector.library import examples
from connector.rules import Known, declared, parse, say
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
    ("not (days_since_order <= 30)", "whose last order was more than 30 days ago (or is not known)"),
    ("current_date - subscription_cancelled_on > 30", "whose last subscription's end was more than 30 days ago"),
    ("spent(category => 'Tea') + spent(product => '%cup%') > 9",
     "whose (money spent on category 'Tea' plus money spent on a product like '%cup%') is more than 9"),
])  # fmt: skip
def test_amounts_are_said_with_their_units(rule: str, sentence: str):
    assert say(parse(rule, declared((), "EUR")), "EUR") == f"Everybody {sentence}."


@pytest.mark.parametrize(("rule", "sentence"), [
    ("lifecycle = 'lead' and rfm_r = 5", "whose lifecycle stage is 'lead' and whose recency fifth is 5"),
    ("anomaly = 'surge'", "whose kind of anomaly is 'surge'"),
    ("city not like 'B%' and country <> 'DE'",
     "whose city does not look like 'B%' (or is not known) and whose country is not 'DE' (or is not known)"),
    ("orders_total <> 1", "whose number of orders ever is not 1"),
    ("list_has_any(tags, ['a', 'b'])", "whose tags include any of 'a', 'b'"),
    ("not list_has_all(tags, ['a', 'b'])", "whose tags do not include all of 'a', 'b'"),
    ("tags is null", "whose tags are not known"),
    ("not contains(city, 'onn')", "whose city does not contain 'onn' (or is not known)"),
    ("spent(days => 1) between 5 and 10", "whose money spent in the last day is between 5 and 10 EUR"),
    ("ordered(min_total => 10, max_total => 20)", "who ordered for at least 10 EUR for at most 20 EUR"),
    ("abandoned(min_total => 50)", "who left carts of at least 50 EUR"),
    ("clicked(campaign => 'c', category => 'Tea%')", "who clicked in campaign 'c' on something like 'Tea%'"),
    ("downloaded(file => 'a.pdf')", "who downloaded the file 'a.pdf'"),
    ("bought(product => 'Mug') in (1, 2)", "whose number of orders with the product 'Mug' is one of 1, 2"),
    ("revenue_total / nullif(orders_total, 0) > 2",
     "whose (money spent ever divided by number of orders ever (not known where 0)) is more than 2"),
])  # fmt: skip
def test_sentences_are_true_and_can_be_read_in_one_way_only(rule: str, sentence: str):
    assert say(parse(rule, declared((), "EUR")), "EUR") == f"Everybody {sentence}."


def test_a_rule_that_is_never_true_speaks_of_nobody():
    assert say(parse("not true", declared((), "EUR"))) == "Nobody."


def test_an_attribute_that_is_yes_or_no_is_said_as_true_or_not():
    words = declared()
    words = replace(words, columns={**words.columns, "club_member": Known("yes or no")})
    assert say(parse("club_member or not club_member", words)) == (
        "Everybody for whom club member is true or for whom club member is not true."
    )
