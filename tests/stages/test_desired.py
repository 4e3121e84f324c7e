"""Everybody passes one function on the way into a tag; whoever is left out is left out for a named reason, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import orjson
import pytest

from connector import choices, consent, desired, journal, ledger, schema
from connector.config import Config
from connector.plan import Limits, Wanted, plan_target
from connector.store import Store
from models.changes import Batch, Member, Observed, Outcome, Target
from models.errors import UsageError
from models.segments import Segment

NOW = datetime(2026, 11, 21, 12)
DAY = date(2026, 11, 21)
VIP = Segment("VIP", "orders_total > 5", push=("mailchimp",))


@pytest.fixture
def store() -> Store:
    store = Store(":memory:")
    for step in schema.MIGRATIONS:
        for statement in step:
            store.sql(statement)
    store.sql("CREATE TABLE members (segment VARCHAR, person_id VARCHAR)")
    desired.set_global_exclusions(store, [])
    desired.set_staying(store, {})
    return store


def person(store: Store, name: str, *segments: str, status: str = "subscribed") -> None:
    store.insert("contacts", [{"source": "mailchimp", "contact_id": name, "email": f"{name}@x.example", "state": "live"}])
    store.insert("person_links", [{"source": "mailchimp", "contact_id": name, "person_id": name, "evidence": "test"}])
    store.insert("consents", [{"source": "mailchimp", "contact_id": name, "channel": "email", "topic": "", "status": status}])
    store.insert("members", [{"segment": s, "person_id": name} for s in segments])


def carries(store: Store, segment: str, *contacts: str) -> None:
    rows = [{"platform": "mailchimp", "object_id": segment, "segment": segment, "contact_id": c} for c in contacts]
    store.insert("ledger", rows)


def who(store: Store, segment: Segment = VIP, /, **config: Any) -> desired.Desired:
    cfg = Config.model_validate({"shop": {}, **config})
    consent.judge(store, cfg, "mailchimp", "email")
    return desired.who(store, cfg, "mailchimp", "Mailchimp", segment, day=DAY)


def test_a_pin_keeps_somebody_in_or_out_but_never_past_a_refusal(store: Store) -> None:
    person(store, "ana", "VIP")
    person(store, "ben")
    person(store, "cleo", status="unsubscribed")
    choices.pin(store, "ana", "VIP", "never", "asked on the phone", NOW, "r")
    choices.pin(store, "ben", "VIP", "always", "friend of the house", NOW, "r")
    choices.pin(store, "cleo", "VIP", "always", "by mistake", NOW, "r")
    found = who(store)
    assert set(found.members) == {"ben"}
    assert found.excluded == {"pinned: never": 1, "said no on Mailchimp": 1}


def test_a_pin_can_be_replaced_and_taken_away(store: Store) -> None:
    person(store, "ana", "VIP")
    choices.pin(store, "ana", "VIP", "never", "first", NOW, "r")
    choices.pin(store, "ana", "VIP", "always", "second", NOW, "r")
    assert store.value("SELECT count(*) FROM pins") == 1
    assert choices.unpin(store, "ana", "vip")
    assert not choices.unpin(store, "ana", "vip")


def test_global_exclusions_hold_for_marketing_and_not_for_service(store: Store) -> None:
    person(store, "staff", "VIP", "Care")
    desired.set_global_exclusions(store, ["staff"])
    assert who(store).excluded == {desired.EXCLUDED: 1}
    assert set(who(store, Segment("Care", "true", purpose="service")).members) == {"staff"}


def test_of_an_ordered_set_a_person_carries_only_the_first_that_fits(store: Store) -> None:
    person(store, "ana", "VIP", "Repeat")
    person(store, "ben", "Repeat")
    ordered = [{"name": "Loyalty", "segments": ["VIP", "Repeat"]}]
    assert set(who(store, ordered=ordered).members) == {"ana"}
    repeat = who(store, Segment("Repeat", "orders_total > 1"), ordered=ordered)
    assert set(repeat.members) == {"ben"}
    assert repeat.excluded == {"already in VIP": 1}


def test_of_an_ordered_set_a_pin_counts_and_so_does_a_minimum_stay(store: Store) -> None:
    for name in ("pinned", "never", "stays", "plain"):
        person(store, name, "Repeat", *(["VIP"] if name == "never" else []))
    choices.pin(store, "pinned", "vip", "always", "friend of the house", NOW, "r")
    choices.pin(store, "never", "VIP", "never", "asked on the phone", NOW, "r")
    left = {"segment": "VIP", "person_id": "stays", "entered_on": "2026-11-15", "left_on": "2026-11-20", "entered_run": "r"}
    store.insert("memberships", [left, {**left, "person_id": "plain"}])
    carries(store, "VIP", "stays")  # and plain never did
    segments = [{"name": "VIP", "where": "orders_total > 5", "stay_days": 14}, {"name": "Repeat", "where": "orders_total > 1"}]
    ordered = [{"name": "Loyalty", "segments": ["VIP", "Repeat"]}]
    repeat = who(store, Segment("Repeat", "orders_total > 1"), ordered=ordered, segment=segments)
    assert set(repeat.members) == {"never", "plain"} and repeat.excluded == {"already in VIP": 2}


def test_who_left_stays_until_the_minimum_stay_is_over(store: Store) -> None:
    person(store, "fresh")
    person(store, "old")
    person(store, "of a year to come")
    person(store, "never had it")
    carries(store, "VIP", "fresh", "old", "of a year to come")
    for name, since in (
        ("fresh", "2026-11-15"), ("old", "2026-10-01"), ("of a year to come", "2027-11-15"), ("never had it", "2026-11-15"),
    ):  # fmt: skip
        store.insert(
            "memberships",
            [{"segment": "VIP", "person_id": name, "entered_on": since, "left_on": "2026-11-20", "entered_run": "r"}],
        )
    staying = who(store, Segment("VIP", "orders_total > 5", stay_days=14))
    assert set(staying.members) == {"fresh"}
    assert staying.notes == ("1 no longer match the rule and stay: their 14 days are not over",)
    assert who(store).members == {}
    store.sql("UPDATE ledger SET segment = 'Gold'")
    renamed = Segment("Gold", "orders_total > 5", was="VIP", stay_days=14)
    assert set(who(store, renamed).members) == {"fresh"}
    another = [{"name": "VIP", "where": "true"}]
    assert who(store, renamed, segment=another).members == {}, "their stays are those of the segment that has the name now"


def test_whoever_enters_without_matching_the_rule_is_not_said_to_match_it(store: Store) -> None:
    """The owner pinned them; or their tag was taken off by hand within the minimum stay, and is restored."""
    for name in ("lately", "pinned", "today"):
        person(store, name, *(["VIP"] if name == "today" else []))
    stay = {"segment": "VIP", "person_id": "lately", "entered_on": "2026-11-15", "left_on": "2026-11-20", "entered_run": "r"}
    store.insert("memberships", [stay])
    carries(store, "VIP", "lately")
    choices.pin(store, "pinned", "VIP", "always", "friend of the house", NOW, "r")
    found = who(store, Segment("VIP", "orders_total > 5", stay_days=14))
    assert found.notes == ("1 no longer match the rule and stay: their 14 days are not over",)
    target = Target("mailchimp", "VIP", "VIP", "7")
    wanted = Wanted(target, "VIP", found.members, because=found.because, reason="has more than 5 orders", has_go_ahead=True)
    made = plan_target(wanted, Observed(target, False), Limits())
    assert {c.contact_id: c.reason for c in made.changes} == {
        "today": "has more than 5 orders",
        "pinned": "pinned: always",
        "lately": "no longer matches the rule, and came into the segment less than 14 days ago",
    }


def entered(store: Store, segment: str, *contacts: str) -> None:
    target = Target("mailchimp", segment, segment, segment, starts="journey")
    batch = Batch(target, segment, segment, tuple(Member(c) for c in contacts), batch_id=f"{segment}{contacts}")
    journal.intend(store, batch, NOW, "r")
    journal.conclude(store, batch, [Outcome(c, "add", "done") for c in contacts], NOW, "r")


def test_the_journal_tells_how_many_other_journeys_somebody_entered(store: Store) -> None:
    entered(store, "First", "busy", "calm")
    entered(store, "Second", "busy")
    assert journal.in_journeys(store, "mailchimp", "Third", datetime(2026, 11, 1)) == {"busy": 2, "calm": 1}
    assert journal.in_journeys(store, "mailchimp", "First", datetime(2026, 11, 1)) == {"busy": 1}
    assert journal.started_since(store, "mailchimp", datetime(2026, 11, 21), datetime(2026, 11, 22)) == 3


def test_whom_the_platform_refused_is_stuck_until_their_record_changes(store: Store) -> None:
    person(store, "ana", "VIP")
    target = Target("mailchimp", "VIP", "VIP", "7")
    batch = Batch(target, "7", "VIP", (Member("ana"),), batch_id="b")
    journal.intend(store, batch, NOW, "r1")
    journal.conclude(store, batch, [Outcome("ana", "add", "refused", "compliance state")], NOW, "r1")
    assert who(store).excluded == {"stuck: Mailchimp refuses to change them": 1}
    store.sql("UPDATE contacts SET stream = 'members', record_id = 'ana'")
    store.insert("source_records", [{"source": "mailchimp", "stream": "members", "record_id": "ana", "changed_run": "r2"}])
    assert set(who(store).members) == {"ana"}


def test_a_renamed_segment_keeps_its_object_its_members_and_its_go_ahead(store: Store) -> None:
    target = Target("mailchimp", "Best", "Rollcall: Best", "7")
    ledger.remember_object(store, target, "7", "created", NOW, "r")
    ledger.give_go_ahead(store, "mailchimp", "Best", "digest", 3, NOW, "r")
    ledger.rename_segments(store, [("Best", "VIP")], ["mailchimp"])
    assert ledger.object_of(store, "mailchimp", "VIP") == ("7", "Rollcall: Best")
    assert ledger.go_ahead(store, "mailchimp", "VIP") == "digest"


def test_the_usual_night_is_known_after_ten_runs(store: Store) -> None:
    for n in range(9):
        choices.note_night(store, f"r{n}", "mailchimp", "VIP", 4)
    assert choices.usual_night(store, "mailchimp", "VIP") is None
    choices.note_night(store, "r9", "mailchimp", "VIP", 40)
    assert choices.usual_night(store, "mailchimp", "VIP") == 5 * 4


def test_an_override_needs_a_known_guard_and_a_reason(store: Store) -> None:
    with pytest.raises(UsageError, match="no guard"):
        choices.allow(store, ("max_leav_pct",), "because", NOW, "r")
    with pytest.raises(UsageError, match="needs a reason"):
        choices.allow(store, ("max_leave_pct",), " ", NOW, "r")
    assert choices.allow(store, ("max_leave_pct",), "stock clearance", NOW, "r") == {"max_leave_pct"}
    assert store.sql("SELECT guard, because FROM overrides") == [("max_leave_pct", "stock clearance")]


def test_a_paused_segment_says_why_until_it_is_resumed(store: Store) -> None:
    choices.pause(store, ["VIP", "VIP"], "undone run r", NOW, "r")
    assert choices.paused(store, "vip") == "undone run r"
    choices.resume(store, "VIP")
    assert choices.paused(store, "VIP") == ""
    with pytest.raises(UsageError):
        choices.resume(store, "VIP")


def test_the_journal_holds_intent_and_outcome_of_every_batch(store: Store) -> None:
    entered(store, "First", "ana")
    row = store.rows("SELECT * FROM journal")[0]
    assert orjson.loads(row["intent"]) == {"add": [["ana", "", ""]], "remove": []}
    assert orjson.loads(row["outcome"]) == [["ana", "add", "done", ""]]
    assert row["state"] == "done"


def test_the_ledger_follows_a_merge_to_the_survivor_and_holds_it_once(store: Store) -> None:
    target = Target("hubspot", "VIP", "Rollcall: VIP", "7")
    batch = Batch(target, "7", "VIP", (Member("old"), Member("new"), Member("other")), batch_id="b")
    journal.intend(store, batch, NOW, "r")
    journal.conclude(store, batch, [Outcome(c, "add", "done") for c in ("old", "new", "other")], NOW, "r")
    store.insert(
        "identifiers", [{"source": "hubspot", "contact_id": "new", "kind": "hubspot", "value": "old", "is_main": False}]
    )
    assert ledger.follow_merges(store, "hubspot") == 1
    assert ledger.ours(store, "hubspot", "7") == {"new", "other"}
    assert store.value("SELECT count(*) FROM ledger") == 2
    assert ledger.follow_merges(store, "hubspot") == 0


def test_whom_the_platform_would_not_take_off_is_stuck_and_not_planned_every_night(store: Store) -> None:
    person(store, "ana")
    target = Target("mailchimp", "VIP", "VIP", "7")
    batch = Batch(target, "7", "VIP", removes=(Member("ana"),), batch_id="b")
    journal.intend(store, batch, NOW, "r1")
    journal.conclude(store, batch, [Outcome("ana", "remove", "refused", "it is locked")], NOW, "r1")
    found = who(store)
    assert found.stuck == {"ana"} and found.notes == ("1 should leave and are stuck: Mailchimp refuses to change them",)

    ours = frozenset({"ana"})
    wanted = Wanted(target, "VIP", found.members, ours=ours, stuck=found.stuck, is_our_object=True, has_go_ahead=True)
    assert plan_target(wanted, Observed(target, True, "7", "VIP", ours), Limits()).changes == ()
    refused = replace(wanted, closed={"ana": "said no"})
    assert [c.contact_id for c in plan_target(refused, Observed(target, True, "7", "VIP", ours), Limits()).changes] == ["ana"]
