"""The sample shop is the same each time and as untidy as a real one."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import pytest

from connector.sandbox.sample_shop import sample_shop
from connector.sandbox.shop import Shop

UNTIL = datetime(2026, 11, 21)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return sample_shop(until=UNTIL)


def test_the_same_seed_gives_the_same_shop() -> None:
    one, two, other = (sample_shop(seed, UNTIL, 150) for seed in (7, 7, 8))
    assert one == two != other


def test_it_spans_three_years_and_ends_on_time(shop: Shop) -> None:
    times = [p.at for p in shop.purchases]
    assert len(shop.customers) == 2500 and 5000 < len(shop.purchases) < 20_000
    assert (max(times) - min(times)).days > 1000 and max(times) < UNTIL
    assert all(at < UNTIL for m in shop.mailings for _, at, _ in [*m.opens, *m.clicks, *m.unsubscribes, *m.bounces])


def test_every_third_order_is_on_two_platforms_and_every_tenth_on_three(shop: Shop) -> None:
    counts = Counter(len(p.on) for p in shop.purchases)
    share = {number: counts[number] / len(shop.purchases) for number in (1, 2, 3)}
    assert share[3] == pytest.approx(0.1, abs=0.01) and share[2] == pytest.approx(0.3, abs=0.02)
    people = {c.customer_id: c for c in shop.customers}
    assert all(p.on <= people[p.customer_id].on for p in shop.purchases)


def test_answers_contradict_each_other_and_some_people_are_in_one_place_only(shop: Shop) -> None:
    answers = Counter((c.consent.get("shopify"), c.consent.get("mailchimp")) for c in shop.customers)
    assert answers["SUBSCRIBED", "unsubscribed"] > 10 and answers["UNSUBSCRIBED", "subscribed"] > 10
    alone = Counter(tuple(c.on) for c in shop.customers if len(c.on) == 1)
    assert all(alone[platform,] > 20 for platform in ("shopify", "mailchimp", "hubspot"))
    assert sum(not c.email for c in shop.customers) > 5


def test_there_is_something_of_everything(shop: Shop) -> None:
    categories = {line.category for p in shop.purchases for line in p.lines}
    assert categories == {"Dark roast", "Light roast", "Espresso", "Decaf", "Equipment", "Subscription", "Gift card"}
    assert {p.code for p in shop.purchases} == {"", "WELCOME10", "SPRING15", "BLACKROAST20"}
    for kind in ("cancelled", "test", "refunded", "discount"):
        assert sum(bool(getattr(p, kind)) for p in shop.purchases) > 10, kind
    opens = Counter(is_machine for m in shop.mailings for _, _, is_machine in m.opens)
    assert opens[True] > 1000 and opens[False] > 1000
    assert {reason for m in shop.mailings for _, _, reason in m.unsubscribes} >= {"NORMAL", "Too many mails"}
    assert any(c.completed_at for c in shop.carts) and any(not c.completed_at for c in shop.carts)


def test_nobody_is_mailed_after_saying_no(shop: Shop) -> None:
    gone = [c for c in shop.customers if c.consent.get("mailchimp") == "unsubscribed"]
    left = {c.customer_id: c.consent_at["mailchimp"] or UNTIL for c in gone}
    for mailing in shop.mailings:
        assert all(left[number] > mailing.sent_at for number in mailing.recipients if number in left)
