"""Several audiences in one account, other programs in it, and the owner's journeys over HTTP."""

from __future__ import annotations

import orjson

from connector.sandbox.base import Request
from connector.sandbox.mailchimp_state import subscriber_hash
from tests.sandbox.mailchimp_account import LIST, Client, account, address, customer, mailing, shop_of

OTHER = "f9e8d7c6b5"


def two() -> Client:
    client = account([customer(number) for number in range(1, 6)], [mailing()])
    second = mailing()
    second.campaign_id = "c0ffee0002"
    client.simulator.add_audience(OTHER, shop_of([customer(1, "unsubscribed"), customer(7)], [second]))
    return client


def control(client: Client, method: str, name: str, body: object = None) -> tuple[int, object]:
    data = b"" if body is None else orjson.dumps(body)
    response = client.simulator.handle(Request(method, f"/control/{name}", {}, {}, data))
    return response.status, orjson.loads(response.body)


def test_each_audience_has_its_own_contacts_statuses_and_ids() -> None:
    client = two()
    assert [each["id"] for each in client.get("/lists")["lists"]] == ["a1b2c3d4e5", OTHER]
    key = subscriber_hash(address(1))
    here, there = (client.get(f"/lists/{name}/members/{key}") for name in ("a1b2c3d4e5", OTHER))
    assert (here["status"], there["status"]) == ("subscribed", "unsubscribed")
    assert here["contact_id"] != there["contact_id"] and there["list_id"] == OTHER
    client("GET", f"/lists/{OTHER}/members/{subscriber_hash(address(3))}", expect=404)


def test_reports_of_all_audiences_come_together_and_one_by_one() -> None:
    client = two()
    lists = {row["id"]: row["list_id"] for row in client.get("/reports")["reports"]}
    assert lists == {"c0ffee0001": "a1b2c3d4e5", "c0ffee0002": OTHER}
    assert client.get("/campaigns", list_id=OTHER)["total_items"] == 1
    rows = client.get("/reports/c0ffee0002/email-activity")["emails"]
    assert [row["email_address"] for row in rows] == [address(1)]


def test_a_tag_of_one_audience_is_unknown_in_another() -> None:
    client = two()
    tag = client("POST", f"{LIST}/segments", {"name": "px", "static_segment": []})["id"]
    client("GET", f"/lists/{OTHER}/segments/{tag}", expect=404)
    other = client("POST", f"/lists/{OTHER}/segments", {"name": "px", "static_segment": []})["id"]
    assert other != tag


def test_writes_in_every_audience_are_in_one_log() -> None:
    client = two()
    client.simulator.effects = []
    client("POST", f"{LIST}/segments", {"name": "px", "static_segment": []})
    client("POST", f"/lists/{OTHER}/segments", {"name": "px", "static_segment": []})
    assert len(client.simulator.effects) == 2


def test_journeys_are_built_and_read_over_http() -> None:
    client = two()
    assert control(client, "POST", "journeys", {"tag": "px"})[0] == 404
    tag = client("POST", f"{LIST}/segments", {"name": "px", "static_segment": []})["id"]
    assert control(client, "POST", "journeys", {"tag": "px", "mails": 2})[0] == 200
    client("POST", f"{LIST}/segments/{tag}", {"members_to_add": [address(1)]})
    _, shown = control(client, "GET", "journeys")
    assert isinstance(shown, list) and (shown[0]["entries"], shown[0]["mails_sent"]) == (1, 2)


def test_another_program_reads_and_copies_tags_fields_and_statuses() -> None:
    client = two()
    tag = client("POST", f"{LIST}/segments", {"name": "px", "static_segment": []})["id"]
    control(client, "POST", "journeys", {"tag": "px"})
    wanted = {"tags": ["px"], "merge_fields": {"SCORE": 7}, "status": "unsubscribed"}
    assert control(client, "POST", "foreign", {address(2): wanted, "nobody@shop.example": wanted}) == (200, {"copied": 1})
    _, shown = control(client, "GET", "foreign")
    assert isinstance(shown, dict)
    assert (shown[address(2)]["status"], shown[address(2)]["tags"]) == ("unsubscribed", ["px"])
    assert shown[address(2)]["merge_fields"]["SCORE"] == 7
    assert client.get(f"{LIST}/segments/{tag}", include_unsubscribed=True)["member_count"] == 1
    assert client.simulator.journeys[0].entries == 1
    assert [each["kind"] for each in client.simulator.effects if each["kind"].startswith("foreign")] == ["foreign.copy"]


def test_control_knows_nothing_else() -> None:
    assert control(two(), "GET", "weather")[0] == 404


def test_an_audience_can_be_deleted_and_a_key_revoked() -> None:
    client = two()
    client.simulator.delete_audience()
    assert [each["id"] for each in client.get("/lists")["lists"]] == [OTHER]
    for path in ("", "/members", "/segments"):
        client("GET", f"{LIST}{path}", expect=404)
    assert client.get(f"/lists/{OTHER}/members")["total_items"] == 2
    client.simulator.switches.is_revoked = True
    assert client("GET", "/lists", expect=401)["title"] == "API Key Invalid"


def test_contacts_of_one_second_can_come_in_another_order_each_time() -> None:
    client = account([customer(number, seconds_ago=60) for number in range(30)])
    client.simulator.switches.unstable_ties = True
    first, second = ([row["id"] for row in client.get(f"{LIST}/members", count=30)["members"]] for _ in range(2))
    assert first != second and sorted(first) == sorted(second)
