from __future__ import annotations

import pytest

from connector.library import entries, entry, examples
from connector.rules import declared, parse, say
from connector.segment import evaluate, resolve
from models.errors import ConfigError
from tests.stages.hand_shop import contact, derive, event, line, new_store, order, shop_config

EXPECTED = {
    "new_customers": "newbie",
    "repeat_customers": "regular lapsed gone",
    "first_time": "newbie once",
    "one_time": "once",
    "lapsed": "once lapsed gone",
    "win_back": "once lapsed",
    "vip": "regular",
    "frequent_buyers": "regular",
    "engaged": "reader",
    "clickers": "reader",
    "inactive_subscribers": "sleeper",
    "recent_subscribers": "newbie",
    "leads": "reader sleeper",
    "category_buyers": "newbie regular",
    "churned": "lapsed gone",
    "full_price_buyers": "lapsed gone",
    "price_sensitive": "regular",
}
"""Who belongs where in the hand-made shop; written before the rules."""


def hand_made():
    """As of 2026-07-01. newbie: first order in June. regular: monthly, with discounts.
    once: one in December.
    lapsed: two orders, the last in May 2025. gone: two orders, silent since 2023.
    reader, sleeper: subscribers without orders."""
    store = new_store()
    known = {"created_at": "2023-01-01 00:00:00"}
    people = ("regular", "once", "lapsed", "gone", "reader", "sleeper")
    store.insert("contacts", [contact("shopify", p, email=f"{p}@x.de", **known) for p in people])
    store.insert("contacts", [contact("shopify", "newbie", email="newbie@x.de", created_at="2026-06-10 00:00:00")])
    store.insert(
        "consents",
        [
            {"source": "shopify", "contact_id": p, "channel": "email", "topic": "", "status": "subscribed"}
            for p in ("newbie", "reader", "sleeper")
        ],
    )
    orders = {"newbie": ["2026-06-10"], "regular": [f"2026-0{m}-15" for m in range(1, 7)], "once": ["2025-12-20"],
              "lapsed": ["2025-01-01", "2025-05-01"], "gone": ["2023-01-01", "2023-05-01"]}  # fmt: skip
    for person, days in orders.items():
        for i, day in enumerate(days):
            discount = "5" if person == "regular" and i < 4 else None
            store.insert("orders", [order("shopify", f"{person}{i}", person, day, "30", discount=discount)])
    store.insert(
        "order_lines",
        [line("shopify", "newbie0", "Kenya", "Coffee", "30"), line("shopify", "regular5", "Kenya", "Coffee", "30")],
    )
    store.insert(
        "events",
        [
            event("shopify", "reader", "click", "2026-06-01"), event("shopify", "reader", "sent", "2026-06-01"),
            event("shopify", "sleeper", "sent", "2026-06-01"),
            event("shopify", "sleeper", "open", "2026-06-02", is_machine=True),
        ],
    )  # fmt: skip
    return store


def test_expected_people_stand_in_each_ready_made_segment():
    store = hand_made()
    given = {"category_buyers": {"category": "Coffee"}, "vip": {"percent": 20}}
    config = shop_config(*({"use": name, **given.get(name, {})} for name in EXPECTED))

    evaluate(store, config, resolve(config), derive(store, config), "r1")

    names = dict(store.sql("SELECT person_id, contact_id FROM person_links"))
    found: dict[str, set[str]] = {name: set() for name in EXPECTED}
    for segment, person in store.sql("SELECT segment, person_id FROM members"):
        found[segment].add(names[person])
    assert found == {name: set(people.split()) for name, people in EXPECTED.items()}


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
