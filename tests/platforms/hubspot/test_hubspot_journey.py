"""The adapter against the simulated HubSpot: the same promises, kept towards somebody else's reading of the platform."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connector.normalize import Normalizer, load_mapping
from connector.sandbox.hubspot_wire import to_ms
from models.changes import Batch, Member, Target
from tests.platforms.hubspot.hubspot_world import World

TARGET = Target("hubspot", "VIP", "Rollcall: VIP")


def test_everything_is_read_and_becomes_rows(world: World) -> None:
    normalizer = Normalizer(load_mapping("hubspot"), {}, world.now.date())
    rows: dict[str, list[dict[str, Any]]] = {}
    for stream in world.adapter.streams():
        for raw in world.pull(stream.name)[0]:
            for table, found in normalizer.normalize(stream.name, raw).items():
                rows.setdefault(table, []).extend(found)
    assert len(rows["contacts"]) == 260
    assert sum(Decimal(o["total"]) for o in rows["orders"] if o["kind"] == "order") == 120 * 9
    assert [o["total"] for o in rows["orders"] if o["kind"] == "deal"] == ["100"]
    assert {o["contact_id"] for o in rows["orders"]} == {world.id_of(n) for n in range(1, 121)}
    assert len([line for line in rows["order_lines"] if line["title"] == "Coffee"]) == 120
    assert [e["contact_id"] for e in rows["events"] if e["kind"] == "ticket"] == [world.id_of(1)]
    assert len(rows["campaigns"]) == 14
    assert sum(c["status"] == "unsubscribed" and not c["topic"] for c in rows["consents"]) == 87
    assert 429 not in world.statuses


def test_three_changes_and_exactly_these_are_read(world: World) -> None:
    world.pull("contacts")
    world.now += timedelta(days=1)
    for n in (5, 6, 7):
        world.simulator.change(f"{n:05d}", {"first_name": "Zoe"})
    world.now += timedelta(seconds=30)
    records, gone = world.pull("contacts")
    assert ({r["id"] for r in records}, gone) == ({world.id_of(n) for n in (5, 6, 7)}, {})


def test_deletion_merge_and_erasure_are_seen(world: World) -> None:
    world.pull("contacts")
    world.now += timedelta(days=1)
    before = {n: world.id_of(n) for n in (5, 6, 7, 8)}
    world.simulator.change("00005", {"deleted": True})
    world.simulator.change("00006", {"merge": "00007"})
    world.simulator.change("00008", {"erased": True})
    world.now += timedelta(minutes=1)
    gone = world.pull("contacts")[1]
    assert (gone[before[5]], gone[before[6]], gone[before[7]]) == ("archived", "merged", "merged")
    page = next(world.adapter.reread(list(before.values())))
    assert [page.gone[before[n]] for n in (5, 6, 7, 8)] == ["archived", "merged", "merged", "gone"]


def test_a_list_is_made_filled_and_read_back_and_nothing_else_is_written(world: World) -> None:
    made = world.adapter.ensure(TARGET)
    ids = [world.id_of(n) for n in range(1, 11)]
    first = world.adapter.apply(Batch(TARGET, made, TARGET.name, adds=tuple(Member(i) for i in [*ids, "999999"])))
    again = world.adapter.apply(
        Batch(TARGET, made, TARGET.name, adds=tuple(Member(i) for i in ids), removes=(Member(world.id_of(20)),))
    )
    world.now += timedelta(hours=1)
    assert [o.result for o in first] == ["done"] * 10 + ["missing"]
    assert {o.result for o in again} == {"already"}
    assert world.adapter.observe([TARGET], {})[0].members == frozenset(ids)
    assert {e["object"] for e in world.simulator.effects} == {TARGET.name}


def test_email_events_are_read_only_when_asked_for_and_name_their_email(world: World) -> None:
    assert "email_events" not in [s.name for s in world.adapter.streams()]
    world.adapter.settings["email_events"] = True
    assert "email_events" in [s.name for s in world.adapter.streams()]
    events, _ = world.pull("email_events")
    ids = {e["_id"] for e in events}
    assert len(ids) == len(events) > 0
    assert {e["_email_id"] for e in events} == {e["id"] for e in world.pull("emails")[0]}
    rows = Normalizer(load_mapping("hubspot"), {}, world.now.date()).normalize("email_events", events[0]).get("events", [])
    assert all(r["email"] == "00001@shop.example" for r in rows)
    assert world.pull("email_events")[0] == []


def test_events_say_from_which_day_they_are_whole(world: World) -> None:
    first = list(world.adapter.pages("email_events", None, since=datetime(2026, 1, 3, 15)))
    assert [p.complete_from for p in first if p.done] == [date(2026, 1, 4)]
    whole = list(world.adapter.pages("email_events", None))
    assert whole[-1].complete_from == date(2025, 11, 22), "a year back, when nobody says"
    assert not any(p.complete_from for p in world.adapter.pages("email_events", whole[-1].cursor))
    half = next(p for p in whole if not p.done)
    assert list(world.new_adapter().pages("email_events", half.cursor))[-1].complete_from == date(2025, 11, 22)


def test_events_that_come_late_are_met_by_the_next_run_and_have_the_same_name(world: World) -> None:
    first = {e["_id"] for e in world.pull("email_events")[0]}
    world.now += timedelta(hours=20)
    events = world.simulator.marketing._all_events()  # the platform's own records
    events.append(replace(events[-1], created=to_ms(world.now - timedelta(hours=21)), number=99))
    found = [e["_id"] for e in world.pull("email_events")[0]]
    assert len(found) == 1 and not first & set(found)
    assert [e["_id"] for e in world.pull("email_events")[0]] == found, "read once more, and known by its name"


@pytest.mark.parametrize("began", ["never", "in the middle", "finished"])
def test_the_end_of_the_events_api_ends_nothing_else(world: World, began: str) -> None:
    pages = list(world.adapter.pages("email_events", None))
    cursor = {"never": None, "in the middle": pages[0].cursor, "finished": pages[-1].cursor}[began]
    world.simulator.switches.email_events_ended = True
    (page,) = world.adapter.pages("email_events", cursor)
    assert (page.records, page.done, "Write email_events = false" in page.note) == ([], True, True)
    assert page.complete_from == (None if began == "finished" else world.now.date())
    assert len(world.pull("emails")[0]) == 14
    finding = {f.name: f for f in world.new_adapter(email_events=True).check()}["hubspot e-mail events"]
    assert (finding.level, "Not available" in finding.text) == ("warning", True)
