"""Law 3: what a segment is computed from is part of what the owner said yes to. More of it asks again, and fills quietly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector import config as configuration
from connector import coverage, ledger, segment
from connector.clock import as_of
from connector.evaluation import Evaluation
from models.changes import TargetPlan
from tests.laws.consent_shop import Laws, target
from tests.laws.consent_table import MARKETING, bought, person

ALL = '[[segment]]\nname = "Mail"\nwhere = "records >= 1"\npush = ["mailchimp"]\n'
BUYERS = '[[segment]]\nname = "Buyers"\nwhere = "orders_total >= 1"\n'
ORDERED = '[[segment]]\nname = "Mail"\nwhere = "segment(\'Buyers\')"\npush = ["mailchimp"]\n' + BUYERS


class Shop(Laws):
    """Three people who are known everywhere."""

    def __init__(self, folder: Path, body: str) -> None:
        people = [person(name) for name in ("one", "two", "three")]
        super().__init__(folder, people, body, bought(people))

    def with_hubspot(self, body: str, *, is_there: bool) -> None:
        self.configure(body)
        if not is_there:
            path = self.config.path
            before, _, rest = path.read_text().partition("[hubspot]")
            path.write_text(before + rest[rest.index("[[segment]]") :])
            self.config = configuration.load(path)

    def mail(self) -> TargetPlan:
        return target(self.plan(), "mailchimp", "Mail")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path, ALL)
    yield made
    made.close()


def test_after_a_source_was_added_the_owner_is_asked_again_who_said_no_leaves_and_the_fill_is_quiet(shop: Shop) -> None:
    shop.with_hubspot(ALL, is_there=False)
    shop.pull(full=True)
    shop.push(first=True)
    assert shop.mail().parked == "" and len(shop.carrying("mailchimp", MARKETING)) == 3
    shop.later(days=1)
    shop.change("shopify", "one", status="UNSUBSCRIBED")
    shop.with_hubspot(ALL, is_there=True)
    shop.pull(full=True)
    plan = shop.push()
    mail = target(plan, "mailchimp", "Mail")
    assert mail.waits_for_go_ahead and "(contacts of HubSpot): run `rollcall push --first`" in mail.parked
    assert shop.carrying("mailchimp", MARKETING) == {"two", "three"}, "who said no never waits for a go-ahead"
    assert target(shop.push(first=True), "mailchimp", "Mail").first_fill
    assert (shop.mail().parked, shop.mail().first_fill) == ("", False)


def test_orders_from_further_back_ask_again_also_through_another_segment_and_fewer_do_not(shop: Shop) -> None:
    shop.with_hubspot(ORDERED, is_there=True)
    shop.pull(full=True)

    def whole_from(day: str | None) -> str:
        shop.store.sql("UPDATE cursors SET complete_from = ? WHERE source = 'shopify' AND stream = 'orders'", [day])
        now = coverage.of_segments(shop.store, shop.config, segment.resolve(shop.config))["Mail"]
        return coverage.more(shop.store, "mailchimp", "Mail", now)

    whole_from("2026-09-20")
    assert coverage.more(shop.store, "mailchimp", "Mail", {"orders:shopify": ""}) == "", "no go-ahead says what it was for"
    shop.push(first=True)
    for day, said in (
        ("2026-09-20", ""),
        ("2026-10-01", ""),
        ("2026-09-01", "orders of Shopify from before 2026-09-20"),
        (None, "orders of Shopify from before 2026-09-20"),
    ):
        assert whole_from(day) == said
    ledger.rename_segments(shop.store, [("Mail", "Post")], ["mailchimp"])
    assert whole_from(None) == "", "the go-ahead is another segment's now"
    ledger.rename_segments(shop.store, [("Post", "Mail")], ["mailchimp"])
    assert whole_from(None)
    ledger.let_go(shop.store, "mailchimp", "Mail", shop.now, "r")
    assert whole_from(None) == ""


def test_the_first_orders_of_a_source_that_was_read_all_along_ask_nothing_and_those_of_a_new_stream_do(shop: Shop) -> None:
    then = {"contacts:shopify": "", "stream:shopify:customers": "", "stream:shopify:orders": ""}
    coverage.remember(shop.store, "mailchimp", "Mail", then)
    first = {**then, "orders:shopify": "", "order_lines:shopify": ""}
    assert coverage.more(shop.store, "mailchimp", "Mail", first) == ""
    granted = {**first, "events:mailchimp": "", "stream:mailchimp:campaigns": "", "stream:hubspot:contacts": ""}
    assert coverage.more(shop.store, "mailchimp", "Mail", granted) == "mail or web events of Mailchimp"


@pytest.mark.parametrize("rule", ["is_subscribed", "churn_tier = 'high'"])
def test_consent_and_scores_stand_on_contacts_and_facts(shop: Shop, rule: str) -> None:
    shop.with_hubspot(ALL.replace("records >= 1", rule), is_there=True)
    shop.pull(full=True)
    held = coverage.of_segments(shop.store, shop.config, segment.resolve(shop.config))["Mail"]
    assert {"contacts:shopify", "contacts:mailchimp", "contacts:hubspot"} <= held.keys()


def test_another_kind_of_orders_of_a_source_asks_too(shop: Shop) -> None:
    then = {"orders:hubspot": "", "stream:hubspot:orders": ""}
    coverage.remember(shop.store, "mailchimp", "Mail", then)
    assert coverage.more(shop.store, "mailchimp", "Mail", {**then, "stream:hubspot:deals": ""}) == "deals of HubSpot"


def test_a_first_file_of_a_kind_asks_and_the_next_mondays_does_not(shop: Shop) -> None:
    then = {"contacts:shopify": "", "stream:shopify:customers": ""}
    coverage.remember(shop.store, "mailchimp", "Mail", then)
    now = {**then, "orders:import": ""}
    assert coverage.more(shop.store, "mailchimp", "Mail", now) == "orders of import"
    coverage.remember(shop.store, "mailchimp", "Mail", now)
    assert coverage.more(shop.store, "mailchimp", "Mail", now) == ""


def test_what_came_on_ordinary_days_and_asked_nothing_asks_nothing_later(shop: Shop) -> None:
    then = {"contacts:hubspot": "", "stream:hubspot:contacts": "", "stream:hubspot:orders": ""}
    coverage.remember(shop.store, "mailchimp", "Mail", then)
    granted = {**then, "stream:hubspot:tickets": ""}
    coverage.keep_up(shop.store, "mailchimp", "Mail", granted)
    assert coverage.more(shop.store, "mailchimp", "Mail", {**granted, "orders:hubspot": ""}) == ""
    wider = {**granted, "events:shopify": "", "stream:shopify:events": ""}
    coverage.keep_up(shop.store, "mailchimp", "Mail", wider)
    assert coverage.more(shop.store, "mailchimp", "Mail", wider), "what asks goes on asking until the owner says yes"


def test_another_rule_of_a_segment_that_is_referred_to_asks_again(shop: Shop) -> None:
    shop.with_hubspot(ORDERED, is_there=True)
    shop.pull(full=True)
    shop.push(first=True)
    assert not shop.mail().first_fill
    shop.with_hubspot(ORDERED.replace("orders_total >= 1", "records >= 0"), is_there=True)
    assert shop.mail().first_fill, "it asks as soon as there is somebody to ask about"


def test_orders_whose_first_reading_has_not_ended_make_no_segment_ready(shop: Shop) -> None:
    shop.with_hubspot(ORDERED, is_there=True)
    shop.pull(full=True)
    segments = segment.resolve(shop.config)
    made = Evaluation(shop.config, as_of(shop.now.date(), "UTC"), segment.check_all(shop.store, shop.config, segments))
    assert segment.not_ready(shop.store, made, "Mail") == ""
    shop.store.sql("UPDATE cursors SET complete_from = NULL WHERE stream = 'orders'")
    assert "have not been read to their end yet" in segment.not_ready(shop.store, made, "Mail")
