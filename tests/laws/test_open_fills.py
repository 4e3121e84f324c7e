"""A fill that has not ended is quiet whoever else comes meanwhile, and so is one that begins again after an undo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from connector import ledger, planner, sync, writer
from connector.plan import Limits, Wanted, plan_target
from connector.session import Session
from models.changes import Member, Observed, Plan, Target
from models.segments import SegmentCount
from tests.laws.consent_shop import Laws, target
from tests.laws.consent_table import MARKETING, bought, person

MAIL = '[[segment]]\nname = "Mail"\nwhere = "records >= 1"\npush = ["mailchimp"]\n'


class Shop(Laws):
    """One whom only Mailchimp knows, and two and three whom HubSpot knows too; the three are in the segment `later`."""

    is_later = False

    def __init__(self, folder: Path) -> None:
        people = [person("alone", shopify="absent", hubspot="absent")]
        people += [person(name) for name in ("early-1", "early-2", "new-1", "new-2", "new-3")]
        super().__init__(folder, people, MAIL, bought(people))
        self.pull(full=True)

    def _planned(self, s: Session, first: bool) -> Plan:
        sync.identify(s)
        segments = sync.resolved(self.config)
        self.store.sql("CREATE OR REPLACE TABLE members (segment VARCHAR, person_id VARCHAR)")
        who = "" if self.is_later else "WHERE email NOT LIKE 'new%'"
        self.store.sql(f"INSERT INTO members SELECT 'Mail', person_id FROM people {who}")
        s.counts = [SegmentCount(g.name, 0, 0, 0, 1) for g in segments]
        return planner.plan_derived(s, segments, with_go_ahead=first)

    @property
    def agreed(self) -> int:
        return ledger.filling(self.store, "mailchimp", "Mail")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


def test_more_newcomers_than_have_entered_yet_do_not_make_the_rest_of_a_fill_loud(shop: Shop) -> None:
    scopes = shop.hubspot.switches.scopes
    scopes.remove("crm.objects.contacts.read")
    shop.push(first=True)
    assert shop.carrying("mailchimp", MARKETING) == {"alone"} and shop.agreed == 3
    scopes.add("crm.objects.contacts.read")
    journey = shop.mailchimp.add_journey(MARKETING, mails=1)
    shop.is_later = True
    plan = shop.push()
    assert len(shop.carrying("mailchimp", MARKETING)) == 6
    assert target(plan, "mailchimp", "Mail").first_fill and journey.entries == 0
    assert shop.agreed == 0, "the fill has ended"


def test_who_an_undo_took_off_starts_nothing_on_coming_back(shop: Shop) -> None:
    shop.push(first=True)
    assert shop.agreed == 0
    with shop.session("undo") as s:
        shop._planned(s, False)
        writer.carry_out(s, planner.undo_plan_derived(s, shop.pushed)[0])
    assert not shop.carrying("mailchimp", MARKETING) and shop.agreed == 3
    journey = shop.mailchimp.add_journey(MARKETING, mails=1)
    shop.store.sql("DELETE FROM paused")
    shop.push()
    assert len(shop.carrying("mailchimp", MARKETING)) == 3 and journey.entries == 0
    assert shop.agreed == 0


def test_an_undo_ends_no_fill(shop: Shop) -> None:
    shop.push(first=True)
    with shop.session("undo") as s:
        shop._planned(s, False)
        ledger.begin_fill(shop.store, "mailchimp", "Mail", 9)
        writer.carry_out(s, planner.undo_plan_derived(s, shop.pushed)[0])
    assert shop.agreed == 9


def test_a_renamed_segment_keeps_its_open_fill(shop: Shop) -> None:
    ledger.begin_fill(shop.store, "mailchimp", "Mail", 9)
    for _ in range(2):
        ledger.rename_segments(shop.store, [("Mail", "Post")], ["mailchimp"])
        assert (shop.agreed, ledger.filling(shop.store, "mailchimp", "Post")) == (0, 9)


@pytest.mark.parametrize("is_made", [True, False])
def test_an_open_fill_lets_in_the_agreed_and_guards_who_comes_on_top(is_made: bool) -> None:
    seen = Observed(Target("mailchimp", "Mail", "Mail", "7"), exists=is_made, object_id="7" if is_made else "")

    def wanted(people: int) -> Wanted:
        desired = {f"c{i:03}": Member(f"c{i:03}", "", f"p{i}") for i in range(people)}
        made = Wanted(seen.target, "Mail", desired, is_our_object=is_made, has_go_ahead=True, is_first_fill=True)
        return replace(made, agreed=100)

    for people in (100, 150):
        plan = plan_target(wanted(people), seen, Limits())
        assert (plan.entered, plan.parked, plan.first_fill) == (people, "", True)
    plan = plan_target(wanted(151), seen, Limits())
    assert (plan.entered, plan.held, plan.first_fill) == (0, 151, True)
    assert plan.parked.startswith("guard max_enter_pct: 51 would enter 100") and "`rollcall push --first`" in plan.parked
    assert plan_target(wanted(151), seen, Limits(), with_go_ahead=True).entered == 151
