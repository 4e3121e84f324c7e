"""Tags and segments on the simulated Mailchimp: what a push meets there."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from connector.sandbox.mailchimp_state import subscriber_hash
from tests.sandbox.mailchimp_account import LIST, Client, account, address, clock_of, customer, lively

FLAGS = {"include_cleaned": True, "include_transactional": True, "include_unsubscribed": True}


def tag(client: Client, name: str = "px: At risk", people: list[str] | None = None) -> str:
    answer = client("POST", f"{LIST}/segments", {"name": name, "static_segment": people or []})
    assert answer["type"] == "static"
    return f"{LIST}/segments/{answer['id']}"


def inside(client: Client, path: str, **query: Any) -> set[str]:
    rows = client.get(f"{path}/members", count=1000, fields="members.email_address,total_items", **query)["members"]
    return {row["email_address"] for row in rows}


def test_a_tag_is_filled_and_emptied_by_difference() -> None:
    client = account([customer(number) for number in range(4)])
    path = tag(client)
    clock_of(client).forward(60)
    answer = client("POST", path, {"members_to_add": [address(1), address(2).upper()], "members_to_remove": []})
    assert (answer["total_added"], answer["total_removed"], answer["error_count"]) == (2, 0, 0)
    assert answer["members_added"][0]["last_changed"] == "2026-11-21T12:01:00+00:00"
    answer = client("POST", path, {"members_to_add": [address(3)], "members_to_remove": [address(1)]})
    assert (answer["total_added"], answer["total_removed"]) == (1, 1)
    assert inside(client, path) == {address(2), address(3)}
    shown = client.get(f"{LIST}/members/{address(2)}")["tags"]
    assert [entry["name"] for entry in shown] == ["px: At risk"]


def test_only_subscribed_contacts_are_counted_and_listed_unless_flags_ask() -> None:
    client = lively()
    path = tag(client, people=[address(number) for number in range(1, 9)])
    assert inside(client, path) == {address(1), address(2), address(3)}
    assert client.get(path)["member_count"] == 3
    assert inside(client, path, **FLAGS) == {address(number) for number in (1, 2, 3, 4, 5, 7)}
    assert client.get(path, **FLAGS)["member_count"] == 6
    assert inside(client, path, include_cleaned=True) == {address(number) for number in (1, 2, 3, 4)}


def test_501_addresses_are_refused_in_words_and_none_is_taken() -> None:
    client = account([customer(number) for number in range(501)])
    path = tag(client)
    people = [address(number) for number in range(501)]
    for side in ("members_to_add", "members_to_remove"):
        response = client.ask("POST", path, {side: people})
        assert response.status == 400
        body = orjson.loads(response.body)
        assert body["title"] == "Invalid Resource"
        assert body["detail"] == (
            "Maximum allowed member items exceeded, please provide at most 500 items in "
            "members_to_add field or members_to_remove field"
        )
    assert inside(client, path) == set()
    assert client("POST", path, {"members_to_add": people[:500]})["total_added"] == 500


def test_failures_hide_in_an_answer_of_200() -> None:
    client = lively()
    path = tag(client)
    sent = [address(1), "nobody@shop.example", address(8)]  # the last one is archived
    answer = client("POST", path, {"members_to_add": sent})
    assert (answer["total_added"], answer["error_count"]) == (1, 2)
    assert sorted(answer["errors"][0]["email_addresses"]) == sorted(sent[1:])
    again = client("POST", path, {"members_to_add": [address(1)]})
    assert (again["total_added"], again["error_count"]) == (1, 0)
    assert [effect["result"] for effect in client.simulator.effects if effect["kind"] == "tag.add"] == [
        "added",
        "not in the audience",
        "not in the audience",
        "unchanged",
    ]
    client.simulator.switches.repeat_is_error = True
    assert client("POST", path, {"members_to_add": [address(1)]})["error_count"] == 1


def test_a_saved_segment_takes_no_members_and_says_something_misleading() -> None:
    client = lively()
    inner = tag(client, people=[address(1)])
    tag_id = int(inner.rpartition("/")[2])
    options = {"match": "all", "conditions": [{"field": "static_segment", "op": "static_is", "value": tag_id}]}
    saved = client("POST", f"{LIST}/segments", {"name": "combined", "options": options})
    assert (saved["type"], saved["member_count"]) == ("saved", 1)
    response = client.ask("POST", f"{LIST}/segments/{saved['id']}", {"members_to_add": [address(2)]})
    assert response.status == 404
    assert "A Static Segment with an id of" in orjson.loads(response.body)["detail"]
    names = [entry["name"] for entry in client.get(f"{LIST}/segments", type="saved")["segments"]]
    assert names == ["combined"]


def test_replacing_with_an_empty_list_empties_the_tag_and_a_name_alone_does_not() -> None:
    client = account([customer(number) for number in range(3)])
    path = tag(client, people=[address(0), address(1)])
    client("PATCH", path, {"name": "px: renamed"})
    assert inside(client, path) == {address(0), address(1)}
    assert client.get(f"{LIST}/members/{address(0)}")["tags"][0]["name"] == "px: renamed"
    client("PATCH", path, {"name": "px: renamed", "static_segment": []})
    assert inside(client, path) == set()
    assert client.simulator.effects[-1]["kind"] == "tag.remove"


def test_names_are_unique_without_regard_to_case_and_a_deleted_tag_is_404() -> None:
    client = lively()
    path = tag(client)
    client("POST", f"{LIST}/segments", {"name": "PX: AT RISK", "static_segment": []}, expect=400)
    client("POST", f"{LIST}/segments", {"name": "", "static_segment": []}, expect=400)
    client("POST", f"{LIST}/segments", {"name": "x" * 51, "static_segment": []}, expect=400)
    client("DELETE", path, expect=204)
    client("GET", path, expect=404)
    client("POST", path, {"members_to_add": [address(1)]}, expect=404)
    assert "px: At risk" not in [entry["name"] for entry in client.get(f"{LIST}/members/{address(1)}")["tags"]]


def test_lists_of_tags_are_paged_by_ten_and_filtered_by_update() -> None:
    client = account([customer(1)])
    paths = [tag(client, f"px: {number}") for number in range(12)]
    assert len(client.get(f"{LIST}/segments")["segments"]) == 10
    assert client.get(f"{LIST}/segments", count=1000)["total_items"] == 12
    now = "2026-11-21T12:00:00+00:00"
    clock_of(client).forward(30)
    client("POST", paths[3], {"members_to_add": [address(1)]})
    assert [entry["name"] for entry in client.get(f"{LIST}/segments", since_updated_at=now)["segments"]] == ["px: 3"]
    assert client.get(f"{LIST}/tag-search", name="PX: 1")["total_items"] == 3


def test_a_contact_shows_fifty_tags_and_the_rest_on_its_own_pages_of_ten() -> None:
    client = account([customer(1, tags={"mailchimp": [f"t{number:02d}" for number in range(60)]})])
    path = f"{LIST}/members/{subscriber_hash(address(1))}"
    found = client.get(path)
    assert (found["tags_count"], len(found["tags"])) == (60, 50)
    page = client.get(f"{path}/tags")
    assert (len(page["tags"]), page["total_items"]) == (10, 60)
    assert page["tags"][0]["date_added"]


@pytest.mark.parametrize(("door", "mails"), [("bulk", 2), ("quiet", 0), ("loud", 2)])
def test_journeys_count_their_mails_and_is_syncing_keeps_them_still(door: str, mails: int) -> None:
    client = lively()
    path = tag(client)
    journey = client.simulator.add_journey("px: At risk", mails=2)
    people = [address(1), address(4)]  # the second is cleaned: it passes through without a mail
    if door == "bulk":
        client("POST", path, {"members_to_add": people})
    for person in people if door != "bulk" else []:
        body = {"tags": [{"name": "px: At risk", "status": "active"}], "is_syncing": door == "quiet"}
        client("POST", f"{LIST}/members/{subscriber_hash(person)}/tags", body, expect=204)
    assert inside(client, path, **FLAGS) == set(people)
    assert (journey.mails_sent, journey.entries) == (mails, 2 if mails else 0)
    assert client.simulator.dump()["mails_sent"] == mails


def test_a_journey_takes_a_contact_again_only_when_it_may_re_enter() -> None:
    client = lively()
    path = tag(client)
    once, often = client.simulator.add_journey("px: At risk"), client.simulator.add_journey("px: At risk", reentry=True)
    for _ in range(3):
        client("POST", path, {"members_to_add": [address(1)]})
        client("POST", path, {"members_to_add": [address(1)]})
        client("POST", path, {"members_to_remove": [address(1)]})
    assert (once.mails_sent, often.mails_sent) == (1, 3)
    with pytest.raises(KeyError):
        client.simulator.add_journey("no such tag")


def test_a_tag_created_with_its_members_starts_nothing() -> None:
    client = lively()
    path = tag(client, people=[address(1)])
    client.simulator.add_journey("px: At risk")
    client("DELETE", path, expect=204)
    tag(client, people=[address(1)])
    assert client.simulator.dump()["mails_sent"] == 0


def test_counts_and_lists_can_lag_behind_a_write() -> None:
    client = lively()
    path = tag(client)
    switches = client.simulator.switches
    switches.count_lag_s = 600
    clock_of(client).forward(1)
    client("POST", path, {"members_to_add": [address(1)]})
    assert (client.get(path)["member_count"], inside(client, path)) == (0, {address(1)})
    switches.list_lag_s = 600
    assert inside(client, path) == set()
    clock_of(client).forward(600)
    assert (client.get(path)["member_count"], inside(client, path)) == (1, {address(1)})


def test_the_dump_names_who_is_in_each_tag_and_holds_no_times() -> None:
    client = lively()
    tag(client, people=[address(2), address(1)])
    before = client.simulator.dump()
    assert before["tags"]["px: At risk"]["members"] == [address(1), address(2)]
    clock_of(client).forward(3600)
    assert orjson.dumps(client.simulator.dump()) == orjson.dumps(before)
