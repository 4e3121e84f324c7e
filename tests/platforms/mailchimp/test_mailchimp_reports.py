"""Campaigns and engagement: people and machines apart, nothing read twice without need, days always whole."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest
import requests

from connector.normalize import Normalizer, load_mapping
from connector.sandbox.base import Response
from connector.sandbox.shop import Mailing
from tests.stages.hand_shop import derive, new_store, shop_config

SENT = datetime(2026, 11, 10, 9, 0, 0)


def mailing(name: str, sent_at: datetime, number: int, **more: Any) -> Mailing:
    return Mailing(name, f"Title {name}", f"Subject {name}", sent_at, [f"{n:05d}" for n in range(number)], **more)


def busy(world: Any) -> None:
    """Twelve recipients; 1 and 2 opened, 2 by a machine, 1 clicked a day later, 3 bounced, 4 left."""
    opens = [("00001", SENT + timedelta(hours=1), False), ("00002", SENT + timedelta(hours=1), True)]
    clicks = [("00001", SENT + timedelta(days=1), "https://shop.example/blog")]
    bounces = [("00003", SENT, "hard")]
    left = [("00004", SENT + timedelta(hours=2), "NORMAL")]
    world.load(12, mailings=[mailing("c1", SENT, 12, opens=opens, clicks=clicks, bounces=bounces, unsubscribes=left)])


def read(world: Any, stream: str, cursor: Any = None, **how: Any) -> tuple[list[dict[str, Any]], Any]:
    pages = list(world.adapter().pages(stream, cursor, **how))
    assert [p.done for p in pages] == [False] * (len(pages) - 1) + [True]
    return [r for p in pages for r in p.records], pages[-1].cursor


def events(records: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {(r["email_id"], e["action"], e["timestamp"], e.get("_is_machine")) for r in records for e in r["activity"]}


def test_campaigns_come_with_their_totals(world: Any) -> None:
    busy(world)
    records, _ = read(world, "campaigns")
    assert [(r["id"], r["campaign_title"], r["emails_sent"], r["_bounces"]) for r in records] == [("c1", "Title c1", 12, 1)]


def test_machine_opens_are_told_from_people(world: Any) -> None:
    busy(world)
    records, _ = read(world, "activity")
    found = {(i, a, m) for i, a, _, m in events(records)}
    assert found == {
        (world.member_id(1), "open", False),
        (world.member_id(2), "open", True),
        (world.member_id(1), "click", False),
        (world.member_id(3), "bounce", None),
    }
    assert len([r for r in records if r.get("_sent_at")]) == 12, "one sent mail for each recipient"


def test_people_and_machines_are_told_apart_when_the_two_lists_are_in_another_order(world: Any) -> None:
    busy(world)
    expected = events(read(world, "activity")[0])

    def turned_round(call: Any) -> Response | None:
        if call.query.get("filter_bots") != "true":
            return None
        rows = sorted(whole, key=lambda r: r["email_id"])
        start, count = int(call.query["offset"]), int(call.query["count"])
        return Response.json({"emails": rows[start : start + count], "total_items": len(rows)})

    world.before = lambda call: None
    path = "reports/c1/email-activity"
    whole = world.adapter().api.every(path, "emails", ("email_id", "activity"), filter_bots="true").rows
    world.before = turned_round
    assert events(read(world, "activity")[0]) == expected


def test_a_day_of_a_recipient_is_one_record_with_an_id_of_its_own(world: Any) -> None:
    busy(world)
    ids = [r["_id"] for r in read(world, "activity")[0]]
    assert len(ids) == len(set(ids)) == 13
    assert f"c1:{world.member_id(1)}:2026-11-11" in ids


def test_campaigns_that_did_not_move_are_left_out(world: Any) -> None:
    busy(world)
    _, cursor = read(world, "activity")
    world.calls.clear()
    records, cursor = read(world, "activity", cursor)
    assert records == []
    assert world.paths() == ["/3.0/reports"]


@pytest.mark.parametrize("shortens", [True, False])
def test_a_campaign_that_moved_is_asked_for_whole_days_only(world: Any, shortens: bool) -> None:
    busy(world)
    world.simulator.switches.since_shortens = shortens
    _, cursor = read(world, "activity")
    world.now += timedelta(hours=3)
    click(world, "c1", "00007")
    world.calls.clear()
    records, cursor = read(world, "activity", cursor)
    assert {(r["email_id"], len(r["activity"]), "_sent_at" in r) for r in records} == {(world.member_id(7), 1, False)}
    assert {c.query["since"] for c in world.calls if c.path.endswith("activity")} == {"2026-11-20T23:59:59+00:00"}


def test_every_cursor_of_activity_is_enough_to_go_on(world: Any) -> None:
    mailings = [mailing(f"c{n}", SENT + timedelta(days=n), 12) for n in range(3)]
    world.load(12, mailings=mailings)
    pages = list(world.adapter().pages("activity", None))
    everything = {r["_id"] for p in pages for r in p.records}
    assert len(everything) == 36
    before: set[str] = set()
    for page in pages[:-1]:
        before |= {r["_id"] for r in page.records}
        assert before | {r["_id"] for r in read(world, "activity", page.cursor)[0]} == everything


def test_old_campaigns_are_read_by_a_backfill_and_left_alone_afterwards(world: Any) -> None:
    world.load(12, mailings=[mailing("old", SENT - timedelta(days=200), 12), mailing("new", SENT, 12)])
    records, cursor = read(world, "activity")
    assert {r["campaign_id"] for r in records} == {"old", "new"}
    assert set(cursor["marks"]) == {"old", "new"}
    world.calls.clear()
    assert read(world, "activity", cursor)[0] == []
    assert world.calls[0].query["since_send_time"].startswith("2026-10-07")
    assert len(read(world, "activity", cursor, full=True)[0]) == 24
    since = SENT - timedelta(days=1)
    assert {r["campaign_id"] for r in read(world, "activity", None, since=since)[0]} == {"new"}


def test_an_old_campaign_that_moved_is_met_once_a_week_and_not_every_day(world: Any) -> None:
    old = SENT - timedelta(days=200)
    world.load(12, mailings=[mailing("old", old, 12), mailing("older", old - timedelta(days=1), 12), mailing("new", SENT, 12)])
    _, cursor = read(world, "activity", None, since=old - timedelta(hours=1))
    world.now += timedelta(days=1)
    click(world, "old", "00007")
    click(world, "older", "00008")
    records, cursor = read(world, "activity", cursor)
    assert records == []
    world.now += timedelta(days=6)
    world.calls.clear()
    records, cursor = read(world, "activity", cursor)
    assert {(r["campaign_id"], r["email_id"]) for r in records} == {("old", world.member_id(7))}
    assert {c.path.split("/")[3] for c in world.calls if c.path.endswith("activity")} == {"old"}, (
        "no further back than asked for"
    )
    world.calls.clear()
    assert read(world, "activity", cursor)[0] == []
    assert world.calls[0].query["since_send_time"] > "2026-10-01"


def click(world: Any, campaign: str, customer: str) -> None:
    event = (world.now.strftime("%Y-%m-%dT%H:%M:%S+00:00"), "click", "", "https://shop.example/new", False)
    found = world.simulator.account.campaigns[campaign]
    found.events.setdefault(world.simulator.account.by_customer[customer], []).append(event)
    found.counted = None


def test_where_machines_are_not_told_apart_an_open_is_not_said_to_be_a_persons(world: Any) -> None:
    busy(world)
    world.simulator.switches.proxy_fields = False
    records, _ = read(world, "activity")
    found = {(i, a): m for i, a, _, m in events(records)}
    assert found[world.member_id(1), "open"] is found[world.member_id(2), "open"] is None
    assert found[world.member_id(1), "click"] is False


@pytest.mark.parametrize("is_told", [True, False])
def test_an_open_of_nobody_knows_whom_counts_as_no_persons(world: Any, is_told: bool) -> None:
    """Member 1 opened and clicked; engagement goes by the click where opens cannot be told apart."""
    busy(world)
    world.simulator.switches.proxy_fields = is_told
    store, translate = new_store(), Normalizer(load_mapping("mailchimp"), {}, SENT.date())
    for stream, tables in (("members", ("contacts", "identifiers")), ("activity", ("events",))):
        for record in read(world, stream)[0]:
            rows = translate.normalize(stream, record)
            for table in tables:
                store.insert(table, rows.get(table, []))
    derive(store, shop_config(), date(2026, 11, 21))
    found = store.sql(
        "SELECT opens_human_90d, last_open_on, clicks_90d FROM profile WHERE person_id IN "
        "(SELECT person_id FROM person_links WHERE contact_id = ?)",
        [world.member_id(1)],
    )
    assert found == [(1, SENT.date(), 1) if is_told else (0, None, 1)]


def test_times_of_reports_are_utc_whatever_zone_they_come_in(world: Any) -> None:
    busy(world)
    campaign = world.simulator.account.campaigns["c1"]
    uid = world.simulator.account.by_customer["00001"]
    at = ("2026-11-11T01:00:00+02:00", "2026-11-12 09:00:00")
    campaign.events[uid] = [(text, "click", "", "https://shop.example/blog", False) for text in at]
    campaign.counted = None
    translate = Normalizer(load_mapping("mailchimp"), {}, SENT.date())
    clicked = {r["_id"]: r for r in read(world, "activity")[0] if r["email_id"] == world.member_id(1)}
    days = {i.rpartition(":")[2]: translate.normalize("activity", r)["events"] for i, r in clicked.items()}
    found = {day: [str(e["occurred_at"])[:16] for e in rows if e["kind"] == "click"] for day, rows in days.items()}
    assert found == {"2026-11-10": ["2026-11-10 23:00"], "2026-11-12": ["2026-11-12 09:00"]}


def test_report_pages_smaller_than_asked_for_lose_nobody(world: Any) -> None:
    people = {f"c{n}": 17 for n in range(3)}
    world.load(17, mailings=[mailing(name, SENT + timedelta(days=int(name[1])), 17) for name in people])
    world.largest = 2
    records, _ = read(world, "activity")
    assert len({r["_id"] for r in records}) == 51


def test_who_left_is_read_with_the_reason(world: Any) -> None:
    busy(world)
    records, cursor = read(world, "unsubscribes")
    assert [(r["_id"], r["reason"]) for r in records] == [(f"c1:{world.member_id(4)}", "NORMAL")]
    assert read(world, "unsubscribes", cursor)[0] == []


def test_a_campaign_deleted_meanwhile_does_not_end_the_walk(world: Any) -> None:
    world.load(12, mailings=[mailing("c1", SENT, 12), mailing("c2", SENT + timedelta(days=1), 12)])
    gone = Response.json({"title": "Resource Not Found", "status": 404}, 404)
    world.before = lambda call: gone if "/c1/" in call.path else None
    records, _ = read(world, "activity")
    assert {r["campaign_id"] for r in records} == {"c2"}


def test_at_most_four_requests_run_at_once(world: Any) -> None:
    import threading

    world.load(40, mailings=[mailing("c1", SENT, 40)])
    at_once, most, lock = 0, 0, threading.Lock()
    original = world.simulator.handle

    def handle(request: Any) -> Any:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        try:
            return original(request)
        finally:
            with lock:
                at_once -= 1

    world.simulator.handle = handle
    assert len(read(world, "activity")[0]) == 40
    assert most <= 4


@pytest.mark.parametrize("has_fields", [True, False])
def test_without_the_fields_for_machines_the_human_count_is_missing_and_not_nought(world: Any, has_fields: bool) -> None:
    busy(world)
    world.simulator.switches.proxy_fields = has_fields
    (record,) = read(world, "campaigns")[0]
    row = Normalizer(load_mapping("mailchimp"), {}, SENT.date()).normalize("campaigns", record)["campaigns"][0]
    assert (row["opens"], row["opens_human"]) == (2, 1 if has_fields else None)


def test_rows_without_activity_are_a_mail_that_was_sent(world: Any) -> None:
    world.load(20, mailings=[mailing("c1", SENT, 20)])
    rows = world.adapter().api.every("reports/c1/email-activity", "emails", ("email_id", "activity")).rows
    assert any("activity" not in r for r in rows)
    assert len([r for r in read(world, "activity")[0] if r.get("_sent_at")]) == 20


def test_two_clicks_of_one_second_on_two_links_are_two_events(world: Any) -> None:
    at = SENT + timedelta(hours=1)
    clicks = [("00001", at, "https://shop.example/a"), ("00001", at, "https://shop.example/b")]
    world.load(2, mailings=[mailing("c1", SENT, 2, clicks=clicks), mailing("c2", SENT, 2, clicks=clicks)])
    found = [(r["campaign_id"], e["url"]) for r in read(world, "activity")[0] for e in r["activity"]]
    assert sorted(found) == sorted((c, url) for c in ("c1", "c2") for _, _, url in clicks)


def test_a_read_that_stalls_is_repeated(world: Any) -> None:
    busy(world)
    stalls = [requests.exceptions.ReadTimeout(), requests.exceptions.ConnectionError()]
    world.before = lambda call: stalls.pop() if call.path.endswith("email-activity") and stalls else None
    assert len([r for r in read(world, "activity")[0] if r.get("_sent_at")]) == 12
