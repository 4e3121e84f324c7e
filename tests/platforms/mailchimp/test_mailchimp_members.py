"""Reading members: nothing is lost while the list moves, and every cursor leads on."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests

from connector.sandbox.base import Response
from models.errors import ConfigError, PermanentApiError

SAME_SECOND = datetime(2026, 3, 1, 9, 0, 0)


def read(world: Any, cursor: Any = None, **how: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    pages = list(world.adapter().pages("members", cursor, **how))
    assert [p.done for p in pages] == [False] * (len(pages) - 1) + [True]
    return [r for p in pages for r in p.records], pages


def crowd(world: Any, *, tied: int, spread: int) -> list[Any]:
    """Some who all changed in one second, between some who did not."""
    early = [world.customer(n, at=SAME_SECOND - timedelta(minutes=spread - n)) for n in range(spread)]
    return early + [world.customer(n, at=SAME_SECOND) for n in range(spread, spread + tied)]


@pytest.mark.parametrize("inclusive", [True, False])
def test_a_backfill_reads_everybody_once_ties_included(world: Any, inclusive: bool) -> None:
    world.load(crowd(world, tied=23, spread=12))
    world.simulator.switches.since_inclusive = inclusive
    records, pages = read(world)
    assert sorted(r["id"] for r in records) == sorted(world.member_id(n) for n in range(35))
    assert {p.total for p in pages} == {35}


def test_every_status_is_read_and_added_up(world: Any) -> None:
    kinds = ["subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"]
    world.load([world.customer(n, status=kinds[n % 6]) for n in range(18)])
    records, pages = read(world)
    assert sorted({r["status"] for r in records}) == sorted(kinds)
    assert len(records) == pages[-1].total == 18


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_changes_while_the_walk_goes_on_lose_nobody(world: Any, inclusive: bool, every: int) -> None:
    world.load(crowd(world, tied=17, spread=13))
    world.simulator.switches.since_inclusive = inclusive
    calls = 0

    def change_somebody(call: Any) -> None:
        nonlocal calls
        if call.path.endswith("/members"):
            calls += 1
            world.now += timedelta(seconds=1)
            if calls % every == 0 and calls < 60:
                world.simulator.change(f"{(calls * 7) % 30:05d}", {"first_name": f"Changed {calls}"})

    world.before = change_somebody
    records, pages = read(world)
    latest = {r["id"]: r["merge_fields"]["FNAME"] for r in records}
    assert latest.keys() == {world.member_id(n) for n in range(30)}
    world.before = lambda call: None
    latest |= {r["id"]: r["merge_fields"]["FNAME"] for r in read(world, pages[-1].cursor)[0]}
    truth = {m["id"]: m["merge_fields"]["FNAME"] for m in (x.wire for x in world.simulator.account.members.values())}
    assert latest == truth, "what changed behind the walk comes with the next pull"


@pytest.mark.parametrize("seed", range(8))
def test_members_who_did_not_change_are_met_however_the_others_move(world: Any, seed: int) -> None:
    dice = random.Random(seed)
    world.load(
        [world.customer(n, at=SAME_SECOND + timedelta(seconds=dice.choice((0, 0, 0, 0, 1, 1, 2, 9)))) for n in range(60)]
    )
    world.simulator.switches.since_inclusive = bool(seed % 2)
    moved: set[int] = set()

    def move_some(call: Any) -> None:
        if call.path.endswith("/members") and call.query["count"] != "1":
            for n in dice.sample(range(60), dice.choice((0, 0, 1, 2, 5))):
                if len(moved) < 40:
                    moved.add(n)
                    world.simulator.change(f"{n:05d}", {"first_name": "Moved"})

    world.before = move_some
    records, _ = read(world)
    assert {r["id"] for r in records} == {world.member_id(n) for n in range(60)}


def test_who_changes_status_behind_the_walk_is_met_in_the_closing_round(world: Any) -> None:
    world.load([world.customer(n, status="subscribed" if n < 10 else "archived") for n in range(20)])

    def come_back(call: Any) -> None:
        if call.query.get("status") == "archived" and call.query["count"] != "1" and "since_last_changed" not in call.query:
            world.now += timedelta(seconds=1)
            world.simulator.change("00015", {"status": "subscribed"})

    world.before = come_back
    records, _ = read(world)
    assert {r["id"] for r in records} == {world.member_id(n) for n in range(20)}
    assert [r["status"] for r in records if r["id"] == world.member_id(15)][-1] == "subscribed"


def test_every_cursor_is_enough_to_go_on(world: Any) -> None:
    world.load(crowd(world, tied=17, spread=13))
    _, pages = read(world)
    before: set[str] = set()
    for page in pages[:-1]:
        before |= {r["id"] for r in page.records}
        rest, _ = read(world, page.cursor)
        assert before | {r["id"] for r in rest} == {world.member_id(n) for n in range(30)}


def test_a_cut_page_is_asked_again_in_halves(world: Any) -> None:
    world.load(30)

    def too_slow(call: Any) -> Response | None:
        if call.path.endswith("/members") and int(call.query["count"]) > 250:
            return Response(502, {"Content-Type": "text/html"}, b"<html>502 Bad Gateway</html>")
        return None

    world.before = too_slow
    pages = list(world.adapter(page_size=1000).pages("members", None))
    assert len([r for p in pages for r in p.records]) == 30
    assert world.waits == [], "a smaller page is asked at once"


def test_a_large_page_that_never_comes_is_asked_again_in_halves(world: Any) -> None:
    world.load(30)
    stalls = lambda call: requests.exceptions.ReadTimeout() if int(call.query.get("count", 0)) > 250 else None  # noqa: E731  # one line
    world.before = stalls
    pages = list(world.adapter(page_size=1000).pages("members", None))
    assert len([r for p in pages for r in p.records]) == 30
    assert world.waits == []
    asked = [int(c.query["count"]) for c in world.calls if c.path.endswith("/members") and c.query["count"] != "1"]
    assert asked.count(1000) <= 6 and asked[-1] == 250


def test_pages_smaller_than_asked_for_lose_nobody(world: Any) -> None:
    world.load(40)
    world.largest = 3
    records, pages = read(world)
    assert {r["id"] for r in records} == {world.member_id(n) for n in range(40)} and pages[-1].total == 40


def test_the_smallest_pages_lead_on_too(world: Any) -> None:
    world.load(6)
    records = [r for p in world.adapter(page_size=1).pages("members", None) for r in p.records]
    assert {r["id"] for r in records} == {world.member_id(n) for n in range(6)}


def test_a_list_without_a_steady_order_ends_and_is_told(world: Any) -> None:
    world.load([world.customer(n, at=SAME_SECOND) for n in range(80)])
    world.simulator.switches.unstable_ties = True
    records, pages = read(world)
    assert len({r["id"] for r in records}) <= 80
    assert "no steady order" in pages[-1].note
    assert len(world.calls) < 3000, "it gives up one day, however unluckily they are shuffled"


def test_a_walk_that_goes_on_after_its_audience_was_deleted_says_so(world: Any) -> None:
    world.load(30)
    world.add_other([world.customer(99)])
    _, pages = read(world)
    world.simulator.delete_audience()
    with pytest.raises(ConfigError, match="no audience 'a1b2c3d4e5'"):
        read(world, pages[0].cursor)


def test_the_second_pull_asks_only_for_what_changed(world: Any) -> None:
    world.load(30)
    _, pages = read(world)
    world.now += timedelta(hours=1)
    for n in (3, 14, 25):
        world.simulator.change(f"{n:05d}", {"first_name": "New"})
    world.now += timedelta(minutes=5)
    records, again = read(world, pages[-1].cursor)
    assert {r["id"] for r in records} == {world.member_id(n) for n in (3, 14, 25)}
    assert again[-1].total is None
    assert len(read(world, again[-1].cursor, full=True)[0]) == 30


def test_the_watermark_is_the_servers_clock_at_the_start_less_a_minute(world: Any) -> None:
    world.load(3)
    started = world.now
    pages = list(world.adapter().pages("members", None))
    assert pages[-1].cursor["watermark"] == (started - timedelta(seconds=60)).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def test_a_filter_that_is_ignored_does_not_stop_the_walk(world: Any) -> None:
    world.load(30)

    world.ignored = "since_last_changed"
    records, _ = read(world)
    assert {r["id"] for r in records} == {world.member_id(n) for n in range(30)}


def test_all_tags_come_even_beyond_fifty_and_groups_come_by_name(world: Any) -> None:
    tags = [f"Tag {n:02d}" for n in range(63)]
    extra = {"mailchimp": {"interests": ["Roast: Dark", "Roast: Light"]}}
    world.load([world.customer(0, tags={"mailchimp": tags}, extra=extra), world.customer(1)])
    records, _ = read(world)
    by_id = {r["id"]: r for r in records}
    assert sorted(t["name"] for t in by_id[world.member_id(0)]["tags"]) == tags
    assert by_id[world.member_id(0)]["_interests"] == ["Roast: Dark", "Roast: Light"]
    assert "_interests" not in by_id[world.member_id(1)]


def test_reread_answers_for_every_id(world: Any) -> None:
    world.load([world.customer(n, status="unsubscribed" if n == 2 else "subscribed") for n in range(10)])
    wanted = [world.member_id(n) for n in (1, 2, 3)] + ["f" * 32]
    pages = list(world.adapter().reread(wanted))
    assert [r["status"] for p in pages for r in p.records] == ["subscribed", "unsubscribed", "subscribed"]
    assert {i: s for p in pages for i, s in p.gone.items()} == {"f" * 32: "gone"}


def test_of_the_written_audience_nobody_is_called_gone_once_it_was_deleted(world: Any) -> None:
    world.load(3)
    world.simulator.delete_audience("a1b2c3d4e5")
    with pytest.raises(PermanentApiError, match="no audience 'a1b2c3d4e5' any more"):
        list(world.adapter().reread([world.member_id(1), world.member_id(2)]))
    assert world.paths().count("/3.0/lists/a1b2c3d4e5") == 1, "asked once"


def test_who_was_in_another_audience_that_was_deleted_is_out_of_sight_and_erased_by_nobody(world: Any) -> None:
    world.load(3)
    world.add_other([world.customer(7)])
    world.simulator.delete_audience("f9e8d7c6b5")
    there, gone = world.member_id(1), f"f9e8d7c6b5:{world.member_id(7)}"
    pages = list(world.adapter().reread([there, gone]))
    assert [r["id"] for p in pages for r in p.records] == [there]
    assert {i: s for p in pages for i, s in p.gone.items()} == {gone: "archived"}
    assert world.paths().count("/3.0/lists/f9e8d7c6b5") == 1, "asked once"


def test_reread_of_many_walks_the_audience_and_still_answers_for_every_id(world: Any) -> None:
    world.load(120)
    wanted = [world.member_id(n) for n in range(0, 120, 2)] + ["f" * 32]
    pages = list(world.adapter().reread(wanted))
    assert sorted(r["id"] for p in pages for r in p.records) == sorted(wanted[:-1])
    assert {i for p in pages for i in p.gone} == {"f" * 32}
    assert sum("/members/" in p for p in world.paths()) == 1, "only who did not turn up is read alone"


def test_a_long_list_is_begun_anew_at_the_last_second_instead_of_going_ever_deeper(world: Any) -> None:
    world.load(crowd(world, tied=40, spread=900))
    pages = list(world.adapter(deep_offset=400).pages("members", None))
    records = [r for p in pages for r in p.records]
    assert len(records) == len({r["id"] for r in records}) == 940
    offsets = [int(c.query["offset"]) for c in world.calls if c.path.endswith("/members")]
    assert max(offsets) <= 400
    assert {c.query["since_last_changed"] for c in world.calls if "since_last_changed" in c.query} != set()


def test_rows_older_than_asked_for_are_dropped_when_the_filter_is_ignored(world: Any) -> None:
    world.load(30)
    _, pages = read(world)
    world.now += timedelta(hours=1)
    world.simulator.change("00007", {"first_name": "New"})
    world.now += timedelta(hours=1)
    world.ignored = "since_last_changed"
    records, _ = read(world, pages[-1].cursor)
    assert [r["id"] for r in records] == [world.member_id(7)]


def test_links_never_come_and_count_and_fields_always_go(world: Any) -> None:
    world.load(3)
    records, _ = read(world)
    assert all("_links" not in r for r in records)
    assert all(c.query["fields"] and c.query["count"] for c in world.calls if c.path.endswith("/members"))


def test_archived_and_forgotten_contacts_are_told_apart(world: Any) -> None:
    world.load(4)
    world.simulator.change("00001", {"archived": True})
    world.simulator.change("00002", {"deleted": True})
    records, _ = read(world)
    assert {r["id"]: r["status"] for r in records if r["status"] != "subscribed"} == {world.member_id(1): "archived"}
    assert world.member_id(2) not in {r["id"] for r in records}
    pages = list(world.adapter().reread([world.member_id(1), world.member_id(2)]))
    assert [r["status"] for p in pages for r in p.records] == ["archived"]
    assert {i for p in pages for i in p.gone} == {world.member_id(2)}


def test_empty_texts_and_missing_parts_are_no_values(world: Any) -> None:
    from datetime import date

    from connector.normalize import Normalizer, load_mapping

    world.load([world.customer(1, status="transactional")])
    (record,), _ = read(world)
    record.pop("interests")
    record["stats"].pop("ecommerce_data", None)
    rows = Normalizer(load_mapping("mailchimp"), {}, date(2026, 11, 21)).normalize("members", record)
    contact = rows["contacts"][0]
    assert (contact["postcode"], contact["orders_claimed"], contact["groups"], contact["phone"]) == (None,) * 4
    assert rows["consents"][0]["changed_at"] is None
