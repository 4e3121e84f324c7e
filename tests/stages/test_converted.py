"""Orders that a mail brought: counted for the campaign of the last click before each, against an oracle that is plain Python."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from types import SimpleNamespace

import click
import pytest

from connector import questions
from connector.cli.segments import _asked_of
from connector.rules import RuleError, declared, parse, say
from connector.segment import check, preview, why
from tests.stages.hand_shop import contact, derive, event, new_store, order, person_of, shop_config
from tests.stages.test_segment_evaluation import members

NAMES = {"k1": "Spring news", "k2": "Late spring", "k3": "Autumn"}


def shop(clicks, orders):
    """clicks: (person, moment, campaign, more), orders: (person, moment, more); moments are UTC."""
    store = new_store()
    people = sorted({p for p, *_ in (*clicks, *orders)})
    store.insert("contacts", [contact("mailchimp", p, email=f"{p}@x.example") for p in people])
    store.insert("campaigns", [{"source": "mailchimp", "campaign_id": k, "name": v} for k, v in NAMES.items()])
    store.insert("orders", [order("mailchimp", str(i), p, at, "10", **more) for i, (p, at, more) in enumerate(orders)])
    rows = [
        event("mailchimp", p, "click", at, campaign_id=k, record_id=str(i), **more) for i, (p, at, k, more) in enumerate(clicks)
    ]
    store.insert("events", [{"is_machine": None} | row for row in rows])
    return store


def test_an_order_counts_once_for_the_last_click_before_it_if_that_was_a_persons_and_not_too_long_ago():
    clicks = [
        ("ann", "2026-06-10 08:00:00", "k1", {}), ("ann", "2026-06-11 08:00:00", "k3", {}),  # the later click wins
        ("bob", "2026-06-10 08:00:00", "k1", {}), ("bob", "2026-06-11 08:00:00", "k3", {"is_machine": True}),
        ("cid", "2026-06-12 13:00:00", "k1", {}),  # after the order
        ("dee", "2026-06-05 08:00:00", "k1", {}),  # seven days before
        ("eva", "2026-06-12 12:00:00", "k1", {}),  # of the same second
        ("fay", "2026-06-11 23:30:00", "k1", {}), ("gus", "2026-06-10 08:00:00", "k2", {}),
        ("hal", "2026-06-10 08:00:00", "k1", {}), ("ida", "2026-06-10 08:00:00", None, {}),
    ]  # fmt: skip
    orders = [(p, "2026-06-12 12:00:00", {}) for p in ("ann", "bob", "cid", "dee", "eva", "gus", "ida")]
    orders += [("fay", "2026-06-12 21:30:00", {}), ("fay", "2026-06-12 22:30:00", {})]  # the shop's midnight between them
    orders += [("hal", "2026-06-12 12:00:00", {"is_cancelled": True, "status": "cancelled"})]
    store, config = shop(clicks, orders), shop_config()
    moment = derive(store, config)

    def found(where):
        names = dict(store.sql("SELECT person_id, contact_id FROM person_links WHERE source = 'mailchimp'"))
        assert set(names.values()) == {p for p, *_ in clicks}
        return "".join(sorted(p[0] for p in members(store, config, moment, where)))

    assert found("converted(campaign => 'spring news')") == "bef"
    assert found("converted(campaign => '%spring%')") == "befg"
    assert found("converted(campaign => 'k3')") == "a"
    assert found("converted()") == "abefgi", "a click of a mail nobody has the name of brings orders too"
    assert found("converted(campaign => 'k1', within => 7)") == "bdef"
    assert found("converted(campaign => 'k1', within => 6)") == "bef"
    assert found("converted(within => 1)") == "aef"
    assert found("converted(campaign => 'k1') = 2") == "f"
    assert found("converted(within => 1, days => 19) = 2") == "f"
    assert found("converted(days => 18)") == "f", "the second order was of the next day"
    assert found("last(event => 'converted', campaign => 'k1') <= 18") == "f"
    assert found("last(event => 'converted', campaign => 'k1', within => 7) = 19") == "bde"
    assert found("not converted() and orders_total > 0") == "cd"


def test_a_click_on_the_day_of_an_order_without_a_time_came_before_it():
    clicks = [("ann", "2026-06-12 16:00:00", "k1", {}), ("bob", "2026-06-12 22:10:00", "k1", {})]
    midnight = "2026-06-11 22:00:00"
    store = shop(clicks, [("ann", midnight, {}), ("bob", midnight, {}), ("ann", "2026-06-12 15:59:59", {})])
    config = shop_config()

    assert members(store, config, derive(store, config), "converted(campaign => 'k1') = 1") == {"ann"}


def test_segment_new_says_what_an_empty_answer_means(monkeypatch):
    asked = []
    monkeypatch.setattr(click, "prompt", lambda text, **_: asked.append(text.strip()) or "")
    _asked_of(SimpleNamespace(asks_of=questions.arguments, check_measure=lambda *_: None), "converted")

    assert asked == ["campaign (empty: any)", "within (empty: 5)", "days (empty: any)"]


def cases(seed):
    chance = random.Random(seed)
    start = datetime(2026, 5, 20)

    def at():
        return str(start + timedelta(hours=chance.randint(0, 40 * 24)))

    people = [f"p{n}" for n in range(25)]
    clicks = [(chance.choice(people), at(), k, {}) for k in chance.choices(("k1", "k2", "k3", None), k=90)]
    met = {(p, moment): (p, moment, k, more) for p, moment, k, more in clicks}  # of one second one: else it is a tie
    return people, sorted(met.values(), key=lambda c: c[1]), [(chance.choice(people), at(), {}) for _ in range(70)]


def oracle(person, clicks, orders, campaigns, within, days):
    """Summer time: the shop is two hours ahead."""

    def day(moment):
        return (datetime.fromisoformat(moment) + timedelta(hours=2)).date()

    count = 0
    for who, moment, _ in orders:
        before = [c for c in clicks if c[0] == who == person and c[1] <= moment]
        if before and (date(2026, 7, 1) - day(moment)).days <= days:
            last = before[-1]
            count += (day(moment) - day(last[1])).days <= within and (campaigns is None or last[2] in campaigns)
    return count


@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_what_plain_python_counts(seed: int):
    people, clicks, orders = cases(seed)
    store, config = shop(clicks, orders), shop_config()
    moment = derive(store, config)
    seen = {p for p, *_ in (*clicks, *orders)}
    asked = [(c, w, d) for c in (None, ("k1",), ("k1", "k2")) for w in (1, 5, 14) for d in (20, 365)]
    named = {None: "", ("k1",): "campaign => 'k1', ", ("k1", "k2"): "campaign => '%spring%', "}
    hits = 0
    for campaigns, within, days in asked:
        expected = {p for p in people if p in seen and oracle(p, clicks, orders, campaigns, within, days) == 1}
        rule = f"converted({named[campaigns]}within => {within}, days => {days}) = 1"
        assert members(store, config, moment, rule) == expected, rule
        hits += len(expected)
    assert hits > 30


def test_an_earlier_day_knows_nothing_of_later_clicks_and_orders():
    clicks = [("ann", "2026-06-10 08:00:00", "k1", {}), ("ann", "2026-06-20 08:00:00", "k1", {})]
    orders = [("ann", "2026-06-12 12:00:00", {}), ("ann", "2026-06-21 12:00:00", {})]
    store, config = shop(clicks, orders), shop_config()

    found = []
    for day in (12, 13, 22):
        moment = derive(store, config, date(2026, 6, day))
        found.append([n for n in range(3) if members(store, config, moment, f"converted(campaign => 'k1') = {n}")])
    assert found == [[0], [1], [2]]


@pytest.mark.parametrize(("rule", "sentence"), [
    ("converted(campaign => '%spring%', days => 90)",
     "who ordered within 5 days after a click in a mail of campaign '%spring%' in the last 90 days"),
    ("converted(within => 1) >= 2", "who ordered within 1 day after a click in a mail at least 2 times"),
    ("not converted(within => 14)", "who did not order within 14 days after a click in a mail"),
    ("converted() + bought() > 3",
     "whose (number of orders within 5 days after a click in a mail plus number of orders) is more than 3"),
    ("last(event => 'converted', campaign => 'k1') <= 30",
     "who last ordered within 5 days after a click in a mail of campaign 'k1' at most 30 days ago"),
])  # fmt: skip
def test_it_is_said_in_words(rule: str, sentence: str):
    assert say(parse(rule, declared((), "EUR")), "EUR") == f"Everybody {sentence}."


@pytest.mark.parametrize(("rule", "reason"), [
    ("converted(within => 0)", "within needs a whole number from 1 on"), ("converted(within => 2.5)", "from 1 on"),
    ("bought(within => 5)", "It takes category"), ("last(event => 'bought', within => 5)", "bought has no argument 'within'"),
    ("converted(category => 'Tea')", "no argument 'category'"),
])  # fmt: skip
def test_what_it_does_not_take_is_refused(rule: str, reason: str):
    with pytest.raises(RuleError, match=reason):
        check(rule)


def test_why_names_the_days_that_count_and_an_unknown_campaign_is_warned_of():
    store = shop([("ann", "2026-06-10 08:00:00", "k1", {})], [("ann", "2026-06-12 12:00:00", {})])
    config = shop_config({"name": "Brought", "where": "converted(campaign => '%spring%')"})
    found = why(store, config, derive(store, config), person_of(store, "mailchimp", "ann"), "Brought")

    assert found.is_member and found.clauses[0].values == {"converted(campaign => '%spring%', within => 5)": 1}
    (warned,) = check("converted(campaign => 'Spring mews')", store, config).warnings
    assert "'Spring news'" in warned.message
    assert "within" in questions.arguments("converted") and "within" in questions.arguments("last", "converted")


def test_it_needs_orders_and_mail_as_far_back_as_it_looks_the_days_before_an_order_included():
    store = shop([("ann", "2026-06-10 08:00:00", "k1", {})], [("ann", "2026-06-12 12:00:00", {})])
    config = shop_config()
    moment = derive(store, config)
    assert preview(store, config, moment, "converted(days => 20)").not_ready == ""

    store.insert("cursors", [{"source": "mailchimp", "stream": "activity", "complete_from": date(2026, 6, 8), "cursor": "x"}])
    assert preview(store, config, moment, "converted(days => 18)").not_ready == ""
    assert "mails of the last 24 days" in preview(store, config, moment, "converted(days => 19)").not_ready

    store.sql("DELETE FROM fact_kinds")
    assert "needs mail events" in preview(store, config, moment, "converted(days => 18)").not_ready
