"""The simulated Mailchimp reads and writes contacts as the real one does."""

from __future__ import annotations

import base64
import threading
from datetime import timedelta
from typing import Any

import orjson
import pytest

from connector.sandbox.base import Limits, Request
from connector.sandbox.mailchimp import API_KEY, MailchimpSimulator
from connector.sandbox.mailchimp_state import subscriber_hash
from tests.sandbox.mailchimp_account import KEY, LIST, NOW, Client, Clock, account, address, clock_of, customer, lively, shop_of


def members(client: Client, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"{LIST}/members", **query)["members"]
    return found


def problem(client: Client, status: int, method: str, path: str, body: Any = None, /, **query: Any) -> dict[str, Any]:
    response = client.ask(method, path, body, **query)
    assert response.status == status, response.body[:300]
    assert response.headers["Content-Type"].startswith("application/problem+json")
    parsed: dict[str, Any] = orjson.loads(response.body)
    assert parsed["status"] == status and parsed["instance"] and parsed["type"]
    return parsed


def test_without_count_ten_come_back_and_the_total_says_how_many_there_are() -> None:
    client = account([customer(number) for number in range(25)])
    answer = client.get(f"{LIST}/members")
    assert (len(answer["members"]), answer["total_items"]) == (10, 25)
    assert len(client.get(f"{LIST}/members", count=1000)["members"]) == 25
    assert problem(client, 400, "GET", f"{LIST}/members", count=1001)["errors"][0]["field"] == "count"


def test_keys_are_taken_as_basic_and_bearer_and_nothing_else() -> None:
    client = account([])
    basic = base64.b64encode(f"anystring:{API_KEY}".encode()).decode()
    assert Client(client.simulator, {"authorization": f"Basic {basic}"}).get("/ping")["health_status"] == "Everything's Chimpy!"
    for headers, title in (
        ({}, "API Key Missing"),
        ({"authorization": "Bearer nonsense"}, "API Key Invalid"),
        ({"authorization": f"Bearer {API_KEY[:-3]}us2"}, "API Key Invalid"),
        ({**KEY, "host": "us2.api.mailchimp.com"}, "API Key Invalid"),
    ):
        assert problem(Client(client.simulator, headers), 401, "GET", "/ping")["title"] == title


def test_unknown_paths_audiences_and_methods_are_refused() -> None:
    client = account([customer(1)])
    for path in (
        "/nowhere",
        "/lists/ffffffffff/members",
        f"{LIST}/members/{'0' * 32}",
        "/account-exports",
        f"{LIST}/segments/9",
    ):
        assert problem(client, 404, "GET", path)["title"] == "Resource Not Found"
    assert problem(client, 405, "DELETE", "/ping")["title"] == "Method Not Allowed"


def test_fields_keep_exclude_fields_drop_and_a_wrong_name_is_an_error() -> None:
    client = lively()
    answer = client.get(f"{LIST}/members", fields="members.email_address,members.stats.avg_open_rate,total_items")
    assert answer.keys() == {"members", "total_items"}
    assert all(
        row.keys() == {"email_address", "stats"} and row["stats"].keys() == {"avg_open_rate"} for row in answer["members"]
    )
    assert members(client, fields="members.merge_fields.FNAME")[0] == {"merge_fields": {"FNAME": "First1"}}
    assert client.get(f"{LIST}/members", fields="members")["members"][0]["id"]
    plain = client.get(f"{LIST}/members")
    assert "_links" in plain and "_links" in plain["members"][0]
    lean = client.get(f"{LIST}/members", exclude_fields="_links,members._links,members.stats")
    assert "_links" not in lean and lean["members"][0].keys() & {"_links", "stats"} == set()
    assert problem(client, 400, "GET", f"{LIST}/members", fields="members.emial")["errors"][0]["field"] == "fields"
    problem(client, 400, "GET", f"{LIST}/members", fields="members.id", exclude_fields="members.stats")


def test_each_status_is_found_by_itself_and_archived_ones_only_when_asked() -> None:
    client = lively()
    words = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")
    counts = {word: client.get(f"{LIST}/members", status=word)["total_items"] for word in words}
    assert counts == {"subscribed": 3, "unsubscribed": 1, "cleaned": 1, "pending": 1, "transactional": 1, "archived": 1}
    assert client.get(f"{LIST}/members")["total_items"] == 7
    problem(client, 400, "GET", f"{LIST}/members", status="gone")


def test_a_contact_is_found_by_md5_address_and_contact_id() -> None:
    client = lively()
    found = client.get(f"{LIST}/members/{subscriber_hash(address(1))}")
    for reference in (address(1), found["contact_id"], found["id"]):
        assert client.get(f"{LIST}/members/{reference}")["email_address"] == address(1)
    assert found["merge_fields"]["ADDRESS"]["city"] == "Bern"
    assert found["merge_fields"]["LOYALTY_LE"] == "gold"
    assert found["merge_fields"]["BIRTHDAY"] == ""
    assert found["marketing_permissions"][0]["enabled"] is True


def test_filters_by_time_and_a_filter_that_cannot_be_read_is_ignored() -> None:
    client = account([customer(number, seconds_ago=number * 60) for number in range(10)])
    since = (NOW - timedelta(minutes=5)).isoformat() + "+00:00"
    assert len(members(client, since_last_changed=since)) == 5  # its own second is not included
    client.simulator.switches.since_inclusive = True
    assert len(members(client, since_last_changed=since)) == 6
    assert len(members(client, before_last_changed=since)) == 4
    assert len(members(client, since_last_changed="2026-11-21T11:55:00.1234567+00:00")) == 10
    assert len(members(client, since_last_changed=since.replace("+", " "))) == 10
    newest = members(client, sort_field="last_changed", sort_dir="DESC", count=1)[0]
    assert newest["email_address"] == address(0)


def test_filters_by_opt_out_rating_and_interest() -> None:
    client = lively()
    since = (NOW - timedelta(days=30)).isoformat() + "+00:00"
    assert len(members(client, status="unsubscribed", unsubscribed_since=since)) == 1
    problem(client, 400, "GET", f"{LIST}/members", status="subscribed", unsubscribed_since=since)
    assert members(client, vip_only=True) == []
    category = client.get(f"{LIST}/interest-categories")["categories"][0]["id"]
    interest = client.get(f"{LIST}/interest-categories/{category}/interests")["interests"][0]
    assert interest["subscriber_count"] == "3"
    chosen = {"interest_category_id": category, "interest_ids": interest["id"], "interest_match": "any"}
    assert len(members(client, **chosen)) == 7
    assert members(client, **{**chosen, "interest_match": "none"}) == []
    problem(client, 400, "GET", f"{LIST}/members", interest_ids=interest["id"])


def test_paging_by_offset_over_a_moving_set_loses_a_contact() -> None:
    client = account([customer(number, seconds_ago=1000 - number) for number in range(20)])
    query = {"sort_field": "last_changed", "sort_dir": "ASC", "count": 10}
    seen = [row["email_address"] for row in members(client, **query)]
    client.simulator.change("00003", {"first_name": "Moved"})
    seen += [row["email_address"] for row in members(client, offset=10, **query)]
    assert address(10) not in seen
    assert seen.count(address(3)) == 2


def test_an_import_gives_thousands_one_timestamp_and_only_offset_gets_through_it() -> None:
    client = account([customer(number, seconds_ago=3600) for number in range(2500)])
    first = members(client, count=1000, sort_field="last_changed")
    at = first[-1]["last_changed"]
    assert {row["last_changed"] for row in first} == {at}
    assert members(client, count=1000, sort_field="last_changed", since_last_changed=at) == []
    pages = [members(client, count=1000, offset=offset, sort_field="last_changed") for offset in (0, 1000, 2000)]
    assert len({row["id"] for page in pages for row in page}) == 2500


def test_patch_moves_last_changed_and_is_written_down_with_its_body() -> None:
    client = lively()
    key = subscriber_hash(address(1))
    client("POST", f"{LIST}/merge-fields", {"tag": "PX_CLV", "name": "Value", "type": "number", "public": False})
    clock_of(client).forward(60)
    body = {"merge_fields": {"PX_CLV": 12.5, "LNAME": "é" * 200, "NOBODY": "x"}, "tags": ["ignored"]}
    answer = client("PATCH", f"{LIST}/members/{key}", body)
    assert answer["last_changed"] == "2026-11-21T12:01:00+00:00"
    assert answer["merge_fields"]["PX_CLV"] == 12.5
    assert len(answer["merge_fields"]["LNAME"].encode()) == 254  # cut at 255 bytes without a word
    assert [tag["name"] for tag in answer["tags"]] == ["Regular", "VIP"]
    effect = client.simulator.effects[-1]
    assert (effect["kind"], effect["contact"], effect["body"]) == ("member.patch", key, body)
    assert client.simulator.writes[-1]["status"] == 200


def test_wrong_values_of_merge_fields_are_named_and_nothing_is_kept() -> None:
    client = lively()
    client("POST", f"{LIST}/merge-fields", {"tag": "PX_CLV", "name": "Value", "type": "number"})
    path = f"{LIST}/members/{subscriber_hash(address(1))}"
    body = {"merge_fields": {"PX_CLV": "much", "FNAME": "New", "ADDRESS": {"city": "Bern"}}}
    answer = problem(client, 400, "PATCH", path, body)
    assert answer["detail"] == "Your merge fields were invalid."
    assert [error["field"] for error in answer["errors"]] == ["PX_CLV", "ADDRESS"]
    assert client.get(path)["merge_fields"]["FNAME"] == "First1"
    client("PATCH", path, {"merge_fields": {"ADDRESS": {"city": "Bern"}}}, skip_merge_validation=True)


def test_merge_fields_have_short_names_and_a_limit() -> None:
    client = account([customer(1)])
    assert client.get(f"{LIST}/merge-fields", fields="merge_field_limit")["merge_field_limit"] == 30
    path = f"{LIST}/merge-fields"
    assert (
        problem(client, 400, "POST", path, {"tag": "ELEVEN_CHAR", "name": "x", "type": "text"})["errors"][0]["field"] == "tag"
    )
    for number in range(25):
        client("POST", path, {"tag": f"F{number}", "name": "x", "type": "text"})
    problem(client, 400, "POST", path, {"tag": "F25", "name": "x", "type": "text"})


def test_a_status_can_be_written_as_on_the_real_platform_and_the_log_proves_it() -> None:
    client = lively()
    left, hers = subscriber_hash(address(5)), subscriber_hash(address(1))
    answer = problem(client, 400, "PATCH", f"{LIST}/members/{left}", {"status": "subscribed"})
    assert answer["title"] == "Member In Compliance State"
    client("PATCH", f"{LIST}/members/{left}", {"status": "pending"})
    client("PATCH", f"{LIST}/members/{hers}", {"status": "unsubscribed"})
    client("PATCH", f"{LIST}/members/{hers}", {"status": "subscribed"})
    moves = [effect["result"] for effect in client.simulator.effects if effect["kind"] == "member.status"]
    assert moves == ["unsubscribed -> pending", "subscribed -> unsubscribed", "unsubscribed -> subscribed"]


def test_creating_erasing_and_archiving_leave_their_marks() -> None:
    client = lively()
    body = {"email_address": "new@roaster.test", "status": "subscribed", "tags": ["Fresh"]}
    created = client("POST", f"{LIST}/members", body)
    assert created["tags"][0]["name"] == "Fresh"
    assert problem(client, 400, "POST", f"{LIST}/members", body)["title"] == "Member Exists"
    assert "looks fake" in problem(client, 400, "POST", f"{LIST}/members", {**body, "email_address": "a@example.com"})["detail"]
    path = f"{LIST}/members/{created['id']}"
    client("DELETE", path, expect=204)
    assert client.get(path)["status"] == "archived"
    problem(client, 405, "DELETE", path)
    client("POST", f"{path}/actions/delete-permanent", expect=204)
    problem(client, 404, "GET", path)
    assert problem(client, 400, "POST", f"{LIST}/members", body)["title"] == "Forgotten Email Not Subscribed"
    put = {"email_address": "put@roaster.test", "status_if_new": "transactional"}
    client("PUT", f"{LIST}/members/{subscriber_hash('put@roaster.test')}", put)
    kinds = [effect["kind"] for effect in client.simulator.effects]
    assert kinds == ["member.create", "member.archive", "member.erase", "member.create"]


def test_the_bulk_subscribe_call_answers_200_even_when_everything_failed() -> None:
    client = lively()
    answer = client("POST", LIST, {"members": [{"email_address": address(1), "status": "subscribed"}]})
    assert (answer["total_created"], answer["error_count"]) == (0, 1)
    assert answer["errors"][0]["error_code"] == "ERROR_CONTACT_EXISTS"


def test_a_person_changes_by_hand_and_only_that_contact_moves() -> None:
    client = lively()
    before = client.get(f"{LIST}/members/{address(1)}")
    clock_of(client).forward(60)
    assert client.simulator.change("00001", {"email": "Other@shop.example", "city": "Basel", "consent": "unsubscribed"})
    assert not client.simulator.change("99999", {"city": "Basel"})
    after = client.get(f"{LIST}/members/other@shop.example")
    assert after["id"] != before["id"] and after["contact_id"] == before["contact_id"]
    assert after["merge_fields"]["ADDRESS"]["city"] == "Basel"
    assert (after["status"], after["unsubscribe_reason"]) == ("unsubscribed", "NORMAL")
    since = NOW.isoformat() + "+00:00"
    assert [row["id"] for row in members(client, since_last_changed=since)] == [after["id"]]
    assert client.simulator.change("00002", {"favourite_bean_name": "Yirga", "tags": ["VIP"]})
    assert members(client, since_last_changed=since)[-1]["merge_fields"]["FAVOURITE_"] == "Yirga"
    assert client.simulator.change("00003", {"deleted": True})
    problem(client, 404, "GET", f"{LIST}/members/{address(3)}")


def test_search_finds_one_and_is_not_for_bulk() -> None:
    found = lively().get("/search-members", query=address(2))
    assert [row["email_address"] for row in found["exact_matches"]["members"]] == [address(2)]


@pytest.mark.parametrize(("mood", "status", "kind"), [("429", 429, ""), ("403", 403, "text/html"), ("502", 502, "text/html")])
def test_moods_answer_without_json(mood: str, status: int, kind: str) -> None:
    client = lively()
    client.simulator.switches.break_next = [mood]
    path = f"{LIST}/members/{subscriber_hash(address(1))}"
    response = client.ask("PATCH", path, {"merge_fields": {"FNAME": "After"}})
    assert (response.status, response.headers.get("Content-Type", "")) == (status, kind)
    took_effect = client.get(path)["merge_fields"]["FNAME"] == "After"
    assert took_effect is (mood == "502")


def test_a_viewers_key_reads_but_does_not_write() -> None:
    client = lively()
    client.simulator.switches.can_write = False
    assert client.get("/")["role"] == "viewer"
    assert problem(client, 403, "PATCH", f"{LIST}/members/{address(1)}", {})["title"] == "Forbidden"


def test_ten_requests_at_once_and_no_more() -> None:
    """The eleventh gets 429 without a body while ten wait; abandoned requests hold their place too."""
    inside, leave = threading.Event(), threading.Event()

    class SlowClock(Clock):
        def __call__(self) -> Any:
            if self.at > NOW:
                inside.set()
                leave.wait(10)
            return self.at

    clock = SlowClock()
    simulator = MailchimpSimulator(clock, limits=Limits(on=True))
    simulator.load(shop_of([customer(1)]))
    request = Request("GET", "/3.0/ping", {}, KEY)
    simulator.switches.held_slots = 9
    clock.forward(1)
    tenth = threading.Thread(target=simulator.handle, args=(request,))
    tenth.start()
    assert inside.wait(10)
    eleventh = simulator.handle(request)
    leave.set()
    tenth.join()
    assert (eleventh.status, eleventh.body) == (429, b"")
    assert simulator.handle(request).status == 200
