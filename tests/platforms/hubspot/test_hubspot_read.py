"""Reading HubSpot: nothing is lost at a limit, at a tie, at a crash or during an edit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from models.errors import ScopeError

DAY = timedelta(days=1)


def drain(adapter: Any, stream: str = "contacts", cursor: Any = None, **how: Any) -> tuple[list[str], dict[str, str], Any]:
    pages = list(adapter.pages(stream, cursor, **how))
    assert [p.done for p in pages] == [False] * (len(pages) - 1) + [True]
    gone = {i: state for p in pages for i, state in p.gone.items()}
    return [r["id"] for p in pages for r in p.records], gone, pages[-1].cursor


def test_a_backfill_reads_every_contact_once_and_tells_the_platforms_total(server: Any) -> None:
    for n in range(1, 251):
        server.add(str(n), email=f"p{n}@shop.example")
    pages = list(server.adapter().pages("contacts", None))
    assert [r["id"] for p in pages for r in p.records] == [str(n) for n in range(1, 251)]
    assert {p.total for p in pages if p.records} == {250}
    assert all("archived" not in c.query for c in server.paths(r"GET /crm/objects/2026-09/contacts$")[:3])


def test_after_a_backfill_only_what_changed_is_read_again(server: Any) -> None:
    for n in range(1, 51):
        server.add(str(n))
    adapter = server.adapter()
    *_, cursor = drain(adapter)
    server.now += DAY
    for n in (7, 8, 9):
        server.add(str(n), modified=server.now)
    ids, gone, cursor = drain(adapter, cursor=cursor)
    assert ids == ["7", "8", "9"]
    assert not gone


def test_a_change_of_this_very_second_is_seen_at_once(server: Any) -> None:
    server.add("1")
    adapter = server.adapter()
    *_, cursor = drain(adapter)
    server.now += DAY
    server.add("1", modified=server.now + timedelta(milliseconds=700))
    assert drain(adapter, cursor=cursor)[0] == ["1"]


def test_a_change_the_search_shows_late_is_met_by_the_next_run(server: Any) -> None:
    server.add("1")
    adapter = server.adapter()
    *_, cursor = drain(adapter)
    server.now += DAY
    *_, cursor = drain(adapter, cursor=cursor)
    server.add("1", modified=server.now - timedelta(minutes=2))
    server.now += timedelta(minutes=10)
    assert drain(adapter, cursor=cursor)[0] == ["1"]


def test_more_changes_than_a_search_may_give_are_all_read(server: Any) -> None:
    server.search_cap = 400
    server.add("1")
    adapter = server.adapter()
    *_, cursor = drain(adapter)
    server.now += DAY
    for n in range(1, 902):
        server.add(str(n), modified=server.now - timedelta(minutes=n % 50))
    assert drain(adapter, cursor=cursor)[0] == [str(n) for n in range(1, 902)]
    assert all("after" not in c.body for c in server.paths("search"))


def test_hundreds_of_changes_in_one_millisecond_are_all_read(server: Any) -> None:
    adapter = server.adapter()
    *_, cursor = drain(adapter)
    server.now += DAY
    for n in range(1, 601):
        server.add(str(n), modified=server.now - timedelta(minutes=1))
    assert len(drain(adapter, cursor=cursor)[0]) == 600


def test_an_edit_during_the_run_is_not_lost(server: Any) -> None:
    adapter = server.adapter()
    *_, cursor = drain(adapter)
    server.now += DAY
    for n in range(1, 401):
        server.add(str(n), modified=server.now)
    walk = adapter.pages("contacts", cursor)
    first = next(walk)
    server.now += timedelta(seconds=30)
    server.add("399", modified=server.now, email="new@shop.example")
    pages = [first, *walk]
    server.now += timedelta(minutes=30)
    later = [r for p in adapter.pages("contacts", pages[-1].cursor) for r in p.records]
    assert [r["properties"]["email"] for r in later if r["id"] == "399"] == ["new@shop.example"]


@pytest.mark.parametrize("walk", ["backfill", "incremental"])
def test_a_run_that_stops_after_any_page_goes_on_to_the_same_set(server: Any, walk: str) -> None:
    server.page = 30
    adapter = server.adapter()
    for n in range(1, 501):
        server.add(str(n), modified=server.now if walk == "incremental" else None)
    start = None
    if walk == "incremental":
        start = {"v": 1, "phase": "done", "watermark": 1795262400000 - 3600_000}
    server.archived["contacts"] = {str(n): server.now for n in range(601, 700)}
    pages = list(adapter.pages("contacts", start))
    whole = {r["id"] for p in pages for r in p.records} | {i for p in pages for i in p.gone}
    assert len(whole) == 599
    for stop, page in enumerate(pages[:-1], 1):
        before = {r["id"] for p in pages[:stop] for r in p.records} | {i for p in pages[:stop] for i in p.gone}
        ids, gone, cursor = drain(server.adapter(), cursor=page.cursor)
        assert before | set(ids) | set(gone) == whole
        assert cursor == pages[-1].cursor


def test_a_full_run_reads_everything_again(server: Any) -> None:
    for n in range(1, 11):
        server.add(str(n))
    adapter = server.adapter()
    *_, cursor = drain(adapter)
    assert len(drain(adapter, cursor=cursor, full=True)[0]) == 10


def test_orders_before_the_asked_date_are_left_out_and_contacts_never(server: Any) -> None:
    for n in (1, 2):
        server.add(str(n), modified=server.now - n * 100 * DAY)
        server.add(str(n), "orders", modified=server.now - n * 100 * DAY)
    adapter = server.adapter()
    assert drain(adapter, "orders", since=server.now - 150 * DAY)[0] == ["1"]
    assert drain(adapter, "contacts", since=server.now - 150 * DAY)[0] == ["1", "2"]


def test_many_property_names_travel_in_bodies_not_in_the_address(server: Any) -> None:
    server.extra_names = [f"a_rather_long_custom_property_name_{n}" for n in range(400)]
    server.add("1", **dict.fromkeys(server.extra_names, "x"))
    adapter = server.adapter(attributes={f"a{i}": n for i, n in enumerate(server.extra_names)})
    record = next(adapter.pages("contacts", None)).records[0]
    assert set(server.extra_names) <= set(record["properties"])
    assert max(c.url_length for c in server.calls) < 8000


def test_the_owners_property_is_read_and_an_unknown_one_is_told_by_check(server: Any) -> None:
    server.add("1", loyalty_level="gold")
    adapter = server.adapter(attributes={"loyalty": "loyalty_level", "typo": "loyalty_levl"})
    properties = next(adapter.pages("contacts", None)).records[0]["properties"]
    assert properties["loyalty_level"] == "gold"
    assert "loyalty_levl" not in properties
    assert any("Did you mean 'loyalty_level'?" in f.text for f in adapter.check())


def test_deleted_contacts_are_named_when_deleted_since_the_last_run(server: Any) -> None:
    server.add("1")
    adapter = server.adapter()
    *_, cursor = drain(adapter)
    server.now += DAY
    server.archived["contacts"] = {"2": server.now - 10 * DAY, "3": server.now - timedelta(minutes=5)}
    assert drain(adapter, cursor=cursor)[1] == {"3": "archived"}
    assert set(drain(adapter, cursor=cursor, full=True)[1]) == {"2", "3"}


def test_a_merge_names_the_old_ids_and_the_survivor_carries_them(server: Any) -> None:
    server.add("90", hs_merged_object_ids="11;12", hs_additional_emails="b@x.test;c@x.test", hs_email_optout_55="true")
    page = next(server.adapter().pages("contacts", None))
    assert page.gone == {"11": "merged", "12": "merged"}
    record = page.records[0]
    assert (record["_merged"], record["_emails"], record["_optouts"]) == (["11", "12"], ["b@x.test", "c@x.test"], ["55"])


def test_reread_tells_archived_merged_and_gone_apart(server: Any) -> None:
    server.add("1")
    server.add("90", hs_merged_object_ids="11")
    server.archived["contacts"] = {"5": server.now}
    server.merged = {"11": "90"}
    page = next(server.adapter().reread(["1", "5", "11", "77"]))
    assert page.gone == {"5": "archived", "11": "merged", "77": "gone"}
    assert {r["id"] for r in page.records} == {"1", "90"}


def test_a_207_that_is_more_than_missing_ids_is_asked_again(server: Any) -> None:
    server.add("1")
    server.add("2")
    body = (
        207,
        {"Content-Type": "application/json"},
        '{"results":[{"id":"1","properties":{}}],"errors":[{"category":"INTERNAL"}]}',
    )
    server.once("batch/read", body)
    page = next(server.adapter().reread(["1", "2"]))
    assert sorted(r["id"] for r in page.records) == ["1", "2"]
    assert [[i["id"] for i in c.body["inputs"]] for c in server.paths("batch/read")] == [["1", "2"], ["2"]]


def test_an_order_comes_with_its_buyer_and_all_its_lines(server: Any) -> None:
    server.add("900", "orders", hs_total_price="12.00")
    for n in ("1", "2", "3"):
        server.add(n, "line_items", name=f"Coffee {n}", amount="4.00")
    server.links = {("orders", "contacts"): {"900": ["101"]}, ("orders", "line_items"): {"900": ["3", "1", "2"]}}
    record = next(server.adapter().pages("orders", None)).records[0]
    assert record["contact_ids"] == ["101"]
    assert record["_contact_id"] == "101"
    assert [(i["id"], i["properties"]["name"]) for i in record["line_items"]] == [
        ("1", "Coffee 1"), ("2", "Coffee 2"), ("3", "Coffee 3"),
    ]  # fmt: skip


def test_orders_still_come_when_line_items_are_not_permitted(server: Any) -> None:
    server.add("900", "orders")
    server.once("orders/line_items", _missing("crm.objects.line_items.read"), times=9)
    page = next(server.adapter().pages("orders", None))
    assert [r["id"] for r in page.records] == ["900"]
    assert "line items" in page.note
    assert "crm.objects.line_items.read" in page.note


def test_a_deal_is_won_when_hubspot_says_so_or_its_stage_is_certain(server: Any) -> None:
    server.add("1", "deals", hs_is_closed_won="true")
    server.add("2", "deals", hs_is_closed_won="false", dealstage="won", pipeline="p")
    server.add("3", "deals", dealstage="won", pipeline="p")
    server.add("4", "deals", dealstage="open", pipeline="p")
    stages = '{"results":[{"id":"p","stages":[{"id":"won","metadata":{"probability":"1.0"}},{"id":"open","metadata":{}}]}]}'
    server.once("pipelines", (200, {"Content-Type": "application/json"}, stages))
    records = next(server.adapter().pages("deals", None)).records
    assert [r["_is_won"] for r in records] == [True, False, True, False]


def test_a_stream_that_is_not_permitted_names_its_scope(server: Any) -> None:
    server.once("properties/2026-09/orders", _missing("crm.objects.orders.read"))
    with pytest.raises(ScopeError) as refused:
        list(server.adapter().pages("orders", None))
    assert refused.value.scope == "crm.objects.orders.read"


def test_an_account_without_an_object_gives_an_empty_stream_with_a_note(server: Any) -> None:
    pages = list(server.adapter().pages("tickets", None))
    assert [(p.records, p.done) for p in pages] == [([], True)]
    assert "no tickets" in pages[0].note


def _missing(scope: str) -> Any:
    body = (
        '{"status":"error","category":"MISSING_SCOPES","correlationId":"c-9",'
        f'"errors":[{{"message":"x","context":{{"requiredGranularScopes":["{scope}"]}}}}]}}'
    )
    return 403, {"Content-Type": "application/json"}, body
