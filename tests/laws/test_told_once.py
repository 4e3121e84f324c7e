"""Whoever turns out to be two records of one person is told of once; and of nobody who is in an earlier segment of a set."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from connector import choices, desired, planner, sync, writer
from connector.config import load
from connector.moved import follow
from models.changes import OutcomeKind
from tests.laws.consent_shop import target
from tests.laws.consent_table import bought, person
from tests.laws.test_minimum_stay import Shop
from tests.stages.test_triggers import EVENT, HOOK, NOW, World

EARLIER, LATER = date(2026, 11, 23), date(2026, 11, 25)


def merged(world: World, gone: str, into: str) -> None:
    """What identity does when an older record joins."""
    world.store.sql("CREATE OR REPLACE TEMP TABLE person_moves AS SELECT ? AS old, ? AS new, true AS is_gone", [gone, into])
    world.store.sql("UPDATE person_links SET person_id = ? WHERE person_id = ?", [into, gone])
    follow(world.store)


@pytest.mark.parametrize(("trigger", "result"), [(EVENT, "done"), (EVENT, "unknown"), (HOOK, "done"), (HOOK, "refused")])
def test_two_records_that_turn_out_to_be_one_person_are_told_of_once(tmp_path: Path, trigger: str, result: OutcomeKind) -> None:
    """Ben has been in the segment for longer, and nobody could be told of him: he was on no list yet, or had said no."""
    world = World(tmp_path, trigger)
    world.start()
    world.consent("ben", "unsubscribed")
    world.enters("ben", day=EARLIER)
    world.enters("ana", day=LATER)
    (sent,) = world.run("r1", result)
    assert sent.person_id == "ana"
    world.consent("ben", "subscribed")
    merged(world, "ana", "ben")
    again = [told.message_id for told in world.run("r2")]
    assert again == ([sent.message_id] if result == "refused" else []), "a repetition has the id that the receiver knows"
    assert world.run("r3") == []
    world.leaves("ben", day=LATER)
    world.enters("ben", day=date(2026, 11, 28))
    assert len(world.run("r4")) == 1, "another stay is another message"


def test_of_an_ordered_set_only_the_segment_that_somebody_carries_tells_of_them(tmp_path: Path) -> None:
    world = World(tmp_path, EVENT)
    text = world.config.path.read_text()
    gold = (
        '[[segment]]\nname = "Gold"\nwhere = "orders_total >= 9"\n[[ordered]]\nname = "Loyalty"\nsegments = ["Gold", "VIP"]\n'
    )
    world.config.path.write_text(text + gold)
    world.config = load(world.config.path)
    world.start()
    world.enters("ana", "ben", "cleo")
    for name in ("ana", "cleo"):
        world.store.insert("memberships", [{"segment": "Gold", "person_id": name, "entered_on": "2026-11-21"}])
    choices.pin(world.store, "cleo", "gold", "never", "asked", NOW, "r")
    desired.set_global_exclusions(world.store, [])
    assert world.names() == ["ben", "cleo"] and world.plan().excluded == {"already in Gold": 1}
    world.store.sql("UPDATE memberships SET left_on = '2026-11-22' WHERE segment = 'Gold'")
    assert world.names() == ["ana", "ben", "cleo"]


EXCLUDE = '[exclude]\nwhere = "orders_total >= 2"\n'
MAIL = '[[segment]]\nname = "New"\nwhere = "orders_total >= 1"\npush = ["mailchimp"]\n'


def test_whom_the_owner_leaves_out_is_not_put_back_by_an_undo(tmp_path: Path) -> None:
    people = [person(name) for name in ("one", "two", "three")]
    orders = bought(people)
    shop = Shop(tmp_path, people, MAIL, [*orders, replace(orders[0], order_id="99")])
    shop.pull()
    shop.night(first=True)
    assert shop.inside == {"one", "two", "three"}
    shop.configure(EXCLUDE + MAIL)
    shop.night()
    assert shop.inside == {"two", "three"}
    run_id = str(shop.store.value("SELECT max(run_id) FROM journal"))
    with shop.session("undo") as s:
        sync.derive(s, sync.resolved(shop.config))
        plan, left = planner.undo_plan_derived(s, run_id)
        writer.carry_out(s, plan)
    assert shop.inside == {"two", "three"}
    assert target(plan, "mailchimp", "New").entered == 0 and any("1 cannot be put back" in text for text in left)
    shop.close()
