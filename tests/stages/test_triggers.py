"""Whom a trigger tells of: each stay once, within consent, cool-down and the day's room; failures again, doubts never."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from connector import choices, desired, triggers
from connector.config import Config, load
from connector.store import Store
from models.changes import Outcome, OutcomeKind, Told, TriggerPlan
from models.segments import Segment
from tests.stages.hand_shop import new_store

NOW = datetime(2026, 11, 21, 12, 0)
DAY = date(2026, 11, 21)
VIP = Segment("VIP", "true", purpose="marketing")
HOOK = 'name = "hook"\nsegment = "VIP"\nurl = "https://x.example"\nsecret = "env:X"\n'
EVENT = 'name = "event"\nsegment = "VIP"\nmailchimp_event = "vip"\n'


class World:
    """A shop of a few people, who enter and leave by hand."""

    def __init__(self, folder: Path, trigger: str) -> None:
        path = folder / "rollcall.toml"
        path.write_text(
            '[shop]\n[mailchimp]\ntoken = "env:X"\naudience = "a"\n[[segment]]\nname = "VIP"\nwhere = "orders_total >= 1"\n'
            f"[[trigger]]\n{trigger}"
        )
        self.config: Config = load(path)
        self.trigger = self.config.trigger[0]
        self.store: Store = new_store()
        self.now = NOW
        for name in ("ana", "ben", "cleo"):
            address = f"{name}@shop.example"
            self.store.insert("people", [{"person_id": name, "email": address}])
            self.store.insert(
                "contacts",
                [{"source": "mailchimp", "contact_id": name, "email": address, "state": "live", "stream": "members"}],
            )
            self.store.insert("person_links", [{"source": "mailchimp", "contact_id": name, "person_id": name}])
            self.consent(name, "subscribed")

    def consent(self, name: str, status: str, source: str = "mailchimp") -> None:
        self.store.sql("DELETE FROM consents WHERE contact_id = ? AND source = ?", [name, source])
        self.store.insert(
            "consents", [{"source": source, "contact_id": name, "channel": "email", "topic": "", "status": status}]
        )

    def enters(self, *names: str, day: date = DAY) -> None:
        for name in names:
            self.store.insert("memberships", [{"segment": "VIP", "person_id": name, "entered_on": str(day)}])

    def leaves(self, name: str, day: date = DAY) -> None:
        self.store.sql("UPDATE memberships SET left_on = ? WHERE person_id = ? AND left_on IS NULL", [day, name])

    def plan(self, segment: Segment = VIP) -> TriggerPlan:
        midnight = self.now.replace(hour=0)
        return triggers.plan(self.store, self.config, self.trigger, segment, "", day_began=midnight, now=self.now)

    def names(self) -> list[str]:
        return [t.person_id for t in self.plan().changes]

    def start(self) -> None:
        triggers.start(self.store, self.trigger, VIP, self.now, "r0")

    def run(self, run_id: str, result: OutcomeKind = "done") -> list[Told]:
        sent: list[Told] = []

        def send(told: Told) -> Outcome:
            sent.append(told)
            return Outcome(told.contact_id, "add", result)

        triggers.recover(self.store, self.trigger, run_id, self.now)
        changes = self.plan().changes
        triggers.carry_out(self.store, self.trigger, changes, send, run_id=run_id, now=lambda: self.now)
        return sent


@pytest.fixture
def hook(tmp_path: Path) -> World:
    return World(tmp_path, HOOK)


@pytest.fixture
def event(tmp_path: Path) -> World:
    return World(tmp_path, EVENT)


def test_before_the_go_ahead_nobody_is_told_of_and_who_was_in_then_never(hook: World) -> None:
    hook.enters("ana")
    waiting = hook.plan()
    assert waiting.waits_for_go_ahead and not waiting.changes and "1 people of now" in waiting.parked
    hook.start()
    assert hook.names() == []
    hook.enters("ben")
    assert hook.names() == ["ben"]


def test_each_stay_is_told_once(hook: World) -> None:
    hook.start()
    hook.enters("ana", "ben")
    assert len(hook.run("r1")) == 2 and hook.run("r2") == []
    hook.leaves("ana")
    hook.enters("ana", day=DAY + timedelta(days=3))
    assert [t.person_id for t in hook.run("r3")] == ["ana"]


def test_who_leaves_is_told_of_where_asked_and_not_who_is_back(tmp_path: Path) -> None:
    world = World(tmp_path, HOOK + 'on = "leave"\n')
    world.enters("ana", "ben")
    world.start()
    world.leaves("ana")
    world.leaves("ben")
    world.enters("ben")
    assert world.names() == ["ana"]


def test_a_failed_webhook_is_repeated_under_the_same_id_five_times_in_all(hook: World) -> None:
    hook.start()
    hook.enters("ana")
    ids = [t.message_id for n in range(7) for t in hook.run(f"r{n}", "refused")]
    assert len(ids) == triggers.MOST_TRIES and len(set(ids)) == 1
    assert "1 could not be delivered" in hook.plan().notes


def test_a_webhook_that_died_on_the_way_is_sent_again_and_an_event_is_not(hook: World, event: World) -> None:
    for world in (hook, event):
        world.start()
        world.enters("ana")
        triggers.intend(world.store, world.trigger, world.plan().changes[0], "r1", world.now)
    assert len(hook.run("r2")) == 1
    assert event.run("r2") == []
    assert "1 were sent without a clear answer and are not repeated" in event.plan().notes


def test_an_event_without_a_clear_answer_is_final(event: World) -> None:
    event.start()
    event.enters("ana")
    assert len(event.run("r1", "unknown")) == 1 and event.run("r2") == []


@pytest.mark.parametrize("trigger", [HOOK, EVENT])
def test_who_said_no_anywhere_is_told_of_to_nobody_and_enters_by_a_later_yes(tmp_path: Path, trigger: str) -> None:
    world = World(tmp_path, trigger)
    world.start()
    world.enters("ana", "ben")
    world.store.insert("person_links", [{"source": "import", "contact_id": "x", "person_id": "ana"}])
    world.consent("x", "unsubscribed", source="import")
    world.consent("ben", "unsubscribed")
    assert world.names() == [] and sum(world.plan().excluded.values()) == 2
    world.consent("ben", "subscribed")
    assert world.names() == ["ben"]


def test_an_event_needs_somebody_who_may_be_mailed_and_a_service_hook_does_not(hook: World, event: World) -> None:
    for world in (hook, event):
        world.start()
        world.enters("ana")
        world.consent("ana", "transactional")
    assert event.names() == [] and hook.names() == ["ana"]
    hook.consent("ana", "unsubscribed")
    service = Segment("VIP", "true", purpose="service")
    hook.store.sql("UPDATE trigger_starts SET digest = ?", [triggers.begun_as(hook.trigger, service)])
    assert [t.person_id for t in hook.plan(service).changes] == ["ana"]
    hook.consent("ana", "erased")
    assert hook.plan(service).changes == ()


def test_a_day_has_room_for_so_many_and_the_rest_waits_for_the_next(tmp_path: Path) -> None:
    world = World(tmp_path, HOOK + "max_per_day = 2\n")
    world.start()
    world.enters("ana", "ben", "cleo")
    assert len(world.run("r1")) == 2 and world.run("r2") == []
    assert world.plan().held == 1 and "another day" in world.plan().parked
    world.now += timedelta(days=1)
    assert len(world.run("r3")) == 1


def test_within_the_cool_down_a_second_stay_is_quiet(tmp_path: Path) -> None:
    world = World(tmp_path, HOOK + "cooldown_days = 30\n")
    world.start()
    world.enters("ana")
    world.run("r1")
    world.leaves("ana")
    world.enters("ana", day=DAY + timedelta(days=5))
    world.now += timedelta(days=5)
    assert world.names() == [] and world.plan().excluded == {"told of within the cool-down": 1}


def test_a_trigger_that_means_something_else_begins_anew(tmp_path: Path) -> None:
    world = World(tmp_path, HOOK)
    world.start()
    other = world.trigger.model_copy(update={"url": "https://other.example"})
    assert triggers.has_started(world.store, world.trigger, VIP) and not triggers.has_started(world.store, other, VIP)


def test_another_rule_of_the_segment_or_more_behind_it_tells_of_nobody_before_the_owner_said_so(hook: World) -> None:
    hook.start()
    hook.enters("ana", "ben")
    wider = replace(VIP, where="orders_total > 1")
    assert hook.names() == ["ana", "ben"]
    plan = hook.plan(wider)
    assert plan.waits_for_go_ahead and plan.changes == () and "the 2 people of now will set off nothing" in plan.parked
    midnight = hook.now.replace(hour=0)
    more = "contacts of HubSpot"
    plan = triggers.plan(hook.store, hook.config, hook.trigger, VIP, "", day_began=midnight, now=hook.now, more_data=more)
    assert plan.waits_for_go_ahead and plan.changes == ()
    triggers.start(hook.store, hook.trigger, wider, hook.now, "r1")
    assert hook.plan(wider).changes == () and not hook.plan(wider).parked


def test_a_held_trigger_keeps_everybody_for_later(hook: World) -> None:
    hook.start()
    hook.enters("ana")
    held = triggers.plan(hook.store, hook.config, hook.trigger, VIP, "paused", day_began=NOW, now=NOW)
    assert held.changes == () and held.held == 1 and held.parked == "paused"


def test_a_message_id_tells_nothing_about_the_person_and_is_the_same_again(hook: World) -> None:
    hook.start()
    hook.enters("ana")
    first, second = hook.plan().changes[0], hook.plan().changes[0]
    assert first.message_id == second.message_id and "ana" not in first.message_id


def test_a_trigger_that_begins_again_keeps_its_cool_down(tmp_path: Path) -> None:
    world = World(tmp_path, EVENT + "cooldown_days = 30\n")
    world.start()
    world.enters("ana")
    assert [t.person_id for t in world.run("r1")] == ["ana"]
    world.leaves("ana")
    world.start()
    world.now += timedelta(days=2)
    world.enters("ana", day=DAY + timedelta(days=2))
    assert world.names() == [] and world.plan().excluded == {"told of within the cool-down": 1}


def test_whom_the_owner_keeps_out_of_a_segment_enters_it_for_no_trigger(event: World) -> None:
    event.start()
    choices.pin(event.store, "ana", "vip", "never", "asked on the phone", NOW, "r")
    desired.set_global_exclusions(event.store, ["ben"])
    event.enters("ana", "ben", "cleo")
    assert event.names() == ["cleo"]
    assert event.plan().excluded == {"excluded by [exclude]": 1, "pinned: never": 1}
    choices.unpin(event.store, "ana", "VIP")
    assert event.names() == ["ana", "cleo"]


def test_nobody_is_told_of_whose_address_said_no_through_somebody_else(hook: World) -> None:
    hook.start()
    for name, place in (("dan", "import"), ("ben@shop.example", "email")):
        hook.store.insert("person_links", [{"source": place, "contact_id": name, "person_id": name}])
    hook.store.insert(
        "contacts", [{"source": "import", "contact_id": "dan", "email": "ben@shop.example", "stream": "import:customers"}]
    )
    hook.enters("ana", "ben", "dan", "ben@shop.example")
    assert len(hook.names()) == 4
    hook.consent("ben", "unsubscribed")
    assert hook.names() == ["ana"]
