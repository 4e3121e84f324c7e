"""Rules owners may write, each with its members worked out in plain Python over plain lists."""

from __future__ import annotations

import pytest

from connector.evaluation import Evaluation
from connector.rules import parse, say
from connector.segment import check_all, words
from models.segments import Segment
from tests.stages.rules_shop import World

W = World()
N = W.bought


def aov(p):
    return W.spent(p) / N(p) if N(p) else None


def above(value, bound):
    return value is not None and value > bound


def at_most(value, bound):
    return value is not None and value <= bound


GOOD = {
    "orders_total >= 1": lambda p: N(p) >= 1,
    "orders_total > 2 or orders_total = 0": lambda p: N(p) > 2 or N(p) == 0,
    "ORDERS_TOTAL between 1 and 2": lambda p: 1 <= N(p) <= 2,
    "orders_30d > 0": lambda p: N(p, days=30) > 0,
    "orders_90d >= 2 and revenue_90d > 50": lambda p: N(p, days=90) >= 2 and W.spent(p, days=90) > 50,
    "revenue_365d > 100.5": lambda p: W.spent(p, days=365) > 100.5,
    "revenue_total = 0": lambda p: W.spent(p) == 0,
    "aov > 30": lambda p: above(aov(p), 30),
    "not (aov > 30)": lambda p: not above(aov(p), 30),
    "not aov > 30": lambda p: not above(aov(p), 30),
    "aov is null": lambda p: aov(p) is None,
    "aov is not null and aov <= 25": lambda p: at_most(aov(p), 25),
    "coalesce(aov, 0) < 20": lambda p: (aov(p) or 0) < 20,
    "days_since_order <= 30": lambda p: at_most(W.last_order(p), 30),
    "days_since_order > 90": lambda p: above(W.last_order(p), 90),
    "not days_since_order <= 90": lambda p: not at_most(W.last_order(p), 90),
    "current_date - last_order_on <= 90": lambda p: at_most(W.last_order(p), 90),
    "last_order_on >= current_date - 31": lambda p: at_most(W.last_order(p), 31),
    "last_order_on >= current_date - interval 1 month": lambda p: at_most(W.last_order(p), 30),
    "last_order_on < date '2026-01-01'": lambda p: above(W.last_order(p), 181),
    "last_order_on < '2026-01-01'": lambda p: above(W.last_order(p), 181),
    "city = 'Bonn'": lambda p: W.city[p] == "Bonn",
    "city <> 'Bonn'": lambda p: W.city[p] != "Bonn",
    "city in ('Bonn', 'Ulm')": lambda p: W.city[p] in ("Bonn", "Ulm"),
    "city not in ('Bonn')": lambda p: W.city[p] != "Bonn",
    "city like 'B%'": lambda p: (W.city[p] or "").startswith("B"),
    "city not ilike 'b%'": lambda p: not (W.city[p] or "").lower().startswith("b"),
    "lower(city) = 'ulm'": lambda p: W.city[p] == "Ulm",
    "starts_with(city, 'U') or city is null": lambda p: W.city[p] in ("Ulm", None),
    "length(city) = 3": lambda p: W.city[p] == "Ulm",
    "bought()": lambda p: N(p) > 0,
    "not bought()": lambda p: N(p) == 0,
    "bought(days => 30)": lambda p: N(p, days=30) > 0,
    "bought(category => 'Coffee')": lambda p: N(p, "Coffee") > 0,
    "bought(category => 'coffee', days => 90) >= 2": lambda p: N(p, "Coffee", days=90) >= 2,
    "bought(category => 'Coffee') and not bought(category => 'Tea')": lambda p: N(p, "Coffee") and not N(p, "Tea"),
    "bought(product => 'Tea No 1')": lambda p: N(p, product="Tea No 1") > 0,
    "bought(product => '%No 2%') = 1": lambda p: N(p, product="No 2") == 1,
    "bought(category => 'Coffee') > bought(category => 'Tea')": lambda p: N(p, "Coffee") > N(p, "Tea"),
    "bought(category => 'Coffee') + bought(category => 'Tea') >= 3": lambda p: N(p, "Coffee") + N(p, "Tea") >= 3,
    "bought(vendor => 'acme')": lambda p: len(W.of_vendor(p, "Acme")) > 0,
    "bought(vendor => 'Brew & Sons', days => 90) >= 2": lambda p: len(W.of_vendor(p, "Brew & Sons", 90)) >= 2,
    "spent(vendor => 'Acme', days => 365) > 50": lambda p: sum(v for _, v in W.of_vendor(p, "Acme", 365)) > 50,
    "last(event => 'bought', vendor => 'Brew%') <= 90": lambda p: len(W.of_vendor(p, "Brew & Sons", 90)) > 0,
    "affinity_vendor = 'Acme'": lambda p: favourite_vendor(p) == "Acme",
    "affinity_vendor is null": lambda p: favourite_vendor(p) is None,
    "spent(category => 'Ware') > 25": lambda p: W.spent(p, "Ware") > 25,
    "spent(days => 365) >= 100": lambda p: W.spent(p, days=365) >= 100,
    "ordered(min_total => 40)": lambda p: sum(1 for q, _, v, *_ in W.orders if q == p and v >= 40) > 0,
    "ordered(max_total => 10, days => 365) = 1":
        lambda p: sum(1 for q, d, v, *_ in W.orders if q == p and v <= 10 and (W_today() - d).days <= 365) == 1,
    "clicked()": lambda p: W.did(p, "click") > 0,
    "clicked(url => '%/blog/%', days => 60)": lambda p: W.did(p, "click", days=60, url="/blog/") > 0,
    "opened(days => 30) + clicked(days => 30) >= 1": lambda p: W.did(p, "open", "click", days=30) >= 1,
    "received()": lambda p: W.did(p, "sent") > 0,
    "viewed(category => 'Tea') and not bought(category => 'Tea')":
        lambda p: W.did(p, "product_view", category="Tea") and not N(p, "Tea"),
    "rated(min => 4)": lambda p: sum(1 for q, k, _, g in W.events if q == p and k == "rating" and int(g["value"]) >= 4) > 0,
    "avg_rating < 3": lambda p: bool(R(p)) and sum(R(p)) / len(R(p)) < 3,
    "submitted(form => 'Newsletter')": lambda p: W.did(p, "form", text="Newsletter") > 0,
    "searched(term => '%KEN%')": lambda p: W.did(p, "search", text="kenya") > 0,
    "asked(topic => 'late', days => 200)": lambda p: W.did(p, "ticket", category="late", days=200) > 0,
    "answered(answer => 'great')": lambda p: W.did(p, "survey", text="great") > 0,
    "abandoned(days => 30)": lambda p: W.open_carts(p, days=30) > 0,
    "last(event => 'clicked') <= 30": lambda p: at_most(W.last(p, "click"), 30),
    "not last(event => 'clicked') <= 30": lambda p: not at_most(W.last(p, "click"), 30),
    "last(event => 'opened')": lambda p: W.last(p, "open") is not None,
    "last(event => 'bought', category => 'Tea') is null": lambda p: not N(p, "Tea"),
    "first(event => 'ordered') > 365":
        lambda p: max(((W_today() - d).days for q, d, *_ in W.orders if q == p), default=0) > 365,
    "case when orders_total >= 3 then 'often' when orders_total >= 1 then 'some' else 'none' end = "
    "'some'": lambda p: 1 <= N(p) <= 2,
    "case when city = 'Bonn' then orders_total >= 2 else orders_total >= 1 "
    "end": lambda p: N(p) >= (2 if W.city[p] == "Bonn" else 1),
    "'Coffee' in bought_categories": lambda p: N(p, "Coffee") > 0,
    "list_has_all(bought_categories, ['Coffee', 'Tea'])": lambda p: N(p, "Coffee") and N(p, "Tea"),
    "segment('Buyers') and not segment('Tea')": lambda p: N(p) and not N(p, "Tea"),
    "everyone_else()": lambda p: not N(p) and not N(p, "Tea"),
    "revenue_total / orders_total > 30": lambda p: above(aov(p), 30),
    "round(aov) = 40": lambda p: aov(p) is not None and int(aov(p) + 0.5) == 40,
    "loyal": lambda p: W.loyal[p] is True,
    "loyal = false": lambda p: W.loyal[p] is False,
    "loyal is false or loyal is null": lambda p: W.loyal[p] is not True,
    "loyal <> false": lambda p: W.loyal[p] is not False,
    "not loyal": lambda p: W.loyal[p] is not True,
    "coalesce(loyal, true) and orders_total >= 1": lambda p: W.loyal[p] is not False and N(p) >= 1,
    "true": lambda p: True,
}  # fmt: skip
"""Rule -> is this person a member? Worked out from the lists of rules_shop, before the engine."""


def W_today():
    from tests.stages.rules_shop import TODAY

    return TODAY


def favourite_vendor(p):
    of_each = {v: W.of_vendor(p, v) for v in ("Acme", "Brew & Sons")}
    worth = {v: (sum(m for _, m in found), len(found)) for v, found in of_each.items() if len({d for d, _ in found}) > 1}
    return max(sorted(worth), key=worth.__getitem__, default=None)


def R(p):
    return [int(g["value"]) for q, k, _, g in W.events if q == p and k == "rating"]


@pytest.fixture(scope="module")
def shop():
    return W.ready({"name": "Buyers", "where": "orders_total > 0"}, {"name": "Tea", "where": "bought(category => 'Tea')"})


def test_there_are_sixty():
    assert len(GOOD) >= 60


def test_every_good_rule_has_exactly_the_right_members(shop):
    from connector.segment import resolve

    store, config, moment = shop
    rules = {f"r{i}": where for i, where in enumerate(GOOD)}
    names = dict(store.sql("SELECT person_id, contact_id FROM person_links WHERE source = 'shopify'"))
    found = {}
    for name, where in rules.items():  # one by one: everyone_else() means the two segments above
        checked = check_all(store, config, [*resolve(config), Segment(name=name, where=where)])
        evaluation = Evaluation(config, moment, checked)
        condition = evaluation.compiler().condition(checked[name].tree)
        found[where] = {
            names[p] for (p,) in store.sql(f"SELECT person_id FROM ({evaluation.select([f'{condition} AS hit'])}) WHERE hit")
        }
    expected = {where: {p for p in W.people if is_member(p)} for where, is_member in GOOD.items()}

    assert {w: sorted(m) for w, m in found.items()} == {w: sorted(m) for w, m in expected.items()}


def bare(node):
    """A tree without its places."""
    return (node.op, node.kind, node.name, node.value, tuple(bare(a) for a in node.args))


def joined(node):
    """The conditions an owner sees one by one: what and and or are made of."""
    is_turned = node.op == "not" and node.args[0].op in ("and", "or", "not")
    for part in node.args if is_turned or (node.op in ("and", "or") and node.name != "everyone else") else ():
        yield part
        yield from joined(part)


def test_the_place_of_every_condition_is_a_rule_that_says_the_same(shop):
    store, config, _ = shop
    vocabulary = words(store, config)
    rules = [*GOOD, "(aov) > 3 and -orders_total < -3", "not (not bought()) or aov is null and is_subscribed is not true",
             "not (city not in ('Bonn')) or not ((aov) is not null)", "not (city not like 'B%' or aov not between 1 and (2))",
             "trim(city) not in ('Bonn') or list_has_any(tags, ['a', 'b']) or length(trim(city)) = 3",
             "not (last_order_on not in ((current_date - interval 1 month))) or loyal",
             "case when city = 'Bonn' then 1 else 2 end = 1 and year(last_order_on) < year(current_date)"]  # fmt: skip
    seen = 0
    for where in rules:
        for part in joined(parse(where, vocabulary).tree):
            assert bare(parse(where[part.place.start : part.place.end], vocabulary).tree) == bare(part), where
            seen += 1
    assert seen > 20


def test_every_good_rule_is_said_in_one_sentence(shop):
    store, config, _ = shop
    vocabulary = words(store, config)
    for where in GOOD:
        sentence = say(parse(where, vocabulary), "EUR")
        assert sentence.startswith(("Everybody", "Nobody")) and sentence.endswith(".") and sentence.count("\n") == 0, where
        assert "_" not in sentence.replace("utm_", ""), sentence
