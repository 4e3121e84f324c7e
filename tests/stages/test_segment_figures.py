"""What the people of a segment did lately, beside everybody, by hand."""

from __future__ import annotations

import pytest

from connector import report, segment, segment_figures
from connector.config import Config
from connector.store import Store
from models.segments import AsOf
from tests.stages.hand_shop import DAY, contact, derive, event, new_store, order, person_of, shop_config

CONFIG = shop_config({"name": "Buyers", "where": "orders_total > 0"}, {"name": "Nobody", "where": "orders_total > 99"})


@pytest.fixture
def shop() -> Store:
    store = new_store()
    store.insert("contacts", [contact("mailchimp", c, email=f"{c}@x.de") for c in ("ann", "bob", "cid", "dot")])
    store.insert("orders", [
        order("mailchimp", "1", "ann", "2026-06-20", "30"), order("mailchimp", "2", "bob", "2026-01-05", "50"),
        order("mailchimp", "3", "dot", "2026-07-09", "70"),
    ])  # fmt: skip
    store.insert("events", [
        event("mailchimp", who, kind, day)
        for who, kind, day in (
            ("ann", "sent", "2026-06-10"), ("ann", "click", "2026-06-11"), ("bob", "sent", "2026-06-10"),
            ("bob", "unsubscribe", "2026-06-12"), ("cid", "sent", "2026-06-10"), ("cid", "unsubscribe", "2026-03-01"),
            ("cid", "click", "2026-07-02"), ("dot", "unsubscribe", "2026-07-03"),
        )
    ])  # fmt: skip
    return store


def figures(store: Store, config: Config, moment: AsOf) -> dict[str, tuple[str, ...]]:
    segment.evaluate(store, config, segment.resolve(config), moment, "r")
    page = report.content(store, config, moment, plan=None, says={})
    return {d["name"]: tuple(v for k, v in d.items() if k != "name") for d in page["did"]}


def test_a_segment_is_told_beside_everybody_and_by_what_was_known_on_the_day(shop: Store) -> None:
    found = figures(shop, CONFIG, derive(shop, CONFIG))
    assert found["Everybody"][:7] == ("4", "3", "0%", "33%", "25%", "30.00", "1")
    assert found["Buyers"][:7] == ("2", "2", "0%", "50%", "50%", "30.00", "1")
    assert "Nobody" not in found and found["Buyers"][-1] == "", "no prediction is published"


def test_the_expected_spend_is_the_mean_of_what_is_published(shop: Store) -> None:
    derive(shop, CONFIG)
    for is_published, shown in ((False, ""), (True, "15.00")):
        shop.sql("DELETE FROM scores")
        shop.insert("scores", [
            {"score": "clv", "person_id": person_of(shop, "mailchimp", who), "value": value, "cutoff": DAY.isoformat(),
             "is_published": is_published, "horizon_days": 90}
            for who, value in (("ann", 10.0), ("bob", 20.0))
        ])  # fmt: skip
        assert figures(shop, CONFIG, derive(shop, CONFIG))["Buyers"][-1] == shown


def test_of_nobody_mailed_there_is_no_share() -> None:
    row = dict.fromkeys(("opened", "clicked", "ordered", "gone", "mailed", "revenue"), 0)
    said = segment_figures._said({**row, "segment": "A", "people": 2, "engagement": None, "worth": None})
    assert (said["opened"], said["clicked"], said["ordered"]) == ("", "", "0%")
