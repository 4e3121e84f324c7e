"""A run died between writing and writing down. Who is in the tag later may have been put there by it, or by somebody's hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector import choices, journal, ledger, push, sync
from connector.session import Session
from models.changes import Batch, Member, Target
from tests.laws.consent_shop import EVERYWHERE, PLATFORMS, Laws, target
from tests.laws.consent_table import MARKETING, bought, person

MAIL = f'[[segment]]\nname = "Mail"\nwhere = "records >= 1"\npush = {EVERYWHERE}\n'
NAMES = ("before", "written", "by-hand", "never")


class Died(Laws):
    """`before` carries the tag by hand already when a run sets out to add all of NAMES and dies; only `written` was written."""

    def __init__(self, folder: Path, platform: str) -> None:
        people = [person(name) for name in NAMES]
        super().__init__(folder, people, MAIL, bought(people))
        self.pull(full=True)
        self.platform = platform
        self.ids = {
            email.partition("@")[0]: contact
            for contact, email in self.store.sql("SELECT contact_id, email FROM contacts WHERE source = ?", [platform])
        }
        with self.session("push") as s:
            sync.identify(s)
            self.object_id = s.adapter(platform).ensure(Target(platform, "Mail", MARKETING))
            self.target = Target(platform, "Mail", MARKETING, self.object_id)
            self.put(s, "before")
            ledger.remember_object(self.store, self.target, self.object_id, "created", self.now, s.run_id)
            self.later(hours=1)
            journal.intend(self.store, self.batch("died", *NAMES), self.now, s.run_id)
            self.later(minutes=1)
            self.put(s, "written")

    def batch(self, batch_id: str, *names: str) -> Batch:
        members = tuple(Member(self.ids[n], f"{n}@shop.example", n) for n in names)
        return Batch(self.target, self.object_id, MARKETING, members, batch_id=batch_id)

    def put(self, s: Session, *names: str) -> None:
        """On the platform alone; our books know nothing of it."""
        outcomes = s.adapter(self.platform).apply(self.batch("", *names))
        assert [o.result for o in outcomes] == ["done"] * len(names)

    def recover(self) -> list[str]:
        told: list[str] = []
        with self.session("push") as s:
            push.recover(self.store, s.adapter(self.platform), run_id=s.run_id, now=self.clock, tell=told.append)
        return told

    def ours(self) -> set[str]:
        names = {contact: name for name, contact in self.ids.items()}
        return {names[c] for c in ledger.ours(self.store, self.platform, self.object_id)}


@pytest.fixture(params=PLATFORMS)
def died(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Died]:
    made = Died(tmp_path, request.param)
    yield made
    made.close()


def test_only_who_entered_while_the_write_was_under_way_is_ours_and_the_rest_stays_for_good(died: Died) -> None:
    died.later(days=1)
    with died.session("by hand") as s:
        died.put(s, "by-hand")
    (told,) = died.recover()
    assert died.ours() == {"written"}
    assert "2 are in it" in told and "never take them off" in told and "@" not in told
    assert died.recover() == [], "it is told once"

    people = [p for (p,) in died.store.sql("SELECT person_id FROM people")]
    with died.session("pin") as s:
        for one in people:
            choices.pin(died.store, one, "Mail", "never", "out", s.now(), s.run_id)
    died.pull()
    plan = died.plan(first=True)
    (leaving,) = target(plan, died.platform, "Mail").changes
    assert (leaving.kind, leaving.contact_id) == ("remove", died.ids["written"])


def test_soon_after_the_write_who_was_not_in_it_before_is_ours(died: Died) -> None:
    """Shopify has no date that could tell of somebody who came in between the plan and the write."""
    died.recover()
    assert died.ours() == ({"written", "before"} if died.platform == "shopify" else {"written"})


@pytest.mark.parametrize("is_made_again", [True, False])
def test_of_a_list_that_was_deleted_meanwhile_nothing_is_claimed_and_the_night_goes_on(
    tmp_path: Path, is_made_again: bool
) -> None:
    died = Died(tmp_path, "hubspot")
    try:
        died.later(hours=1)
        (ours,) = died.hubspot.lists.live()
        ours.deleted_at, ours.name = died.now, f"old {ours.name}"
        if is_made_again:
            died.hubspot.add_list(MARKETING, "MANUAL", ("written", "by-hand"))
        assert died.recover() == []
        assert died.ours() == set()
        assert died.store.sql("SELECT state, outcome FROM journal") == [("recovered", "[]")]
    finally:
        died.close()


def test_a_shopify_customer_who_changed_since_is_left_alone(tmp_path: Path) -> None:
    """A tag has no date there; of a customer who bought meanwhile nobody can tell."""
    died = Died(tmp_path, "shopify")
    try:
        died.later(days=1)
        died.change("shopify", "written", note="bought again")
        assert "2 are in it" in died.recover()[0]
        assert died.ours() == set()
    finally:
        died.close()
