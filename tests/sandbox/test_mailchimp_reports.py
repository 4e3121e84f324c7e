"""Campaign reports, shop data and batches on the simulated Mailchimp."""

from __future__ import annotations

import io
import tarfile
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import orjson

from connector.sandbox.base import Request, Response
from connector.sandbox.mailchimp_state import subscriber_hash
from connector.sandbox.shop import Line, Mailing, Purchase
from connector.sandbox.shopify import ShopifySimulator
from tests.sandbox.mailchimp_account import (
    KEY,
    LIST,
    NOW,
    ON_ALL,
    SENT,
    Client,
    Clock,
    account,
    address,
    clock_of,
    customer,
    lively,
    mailing,
    shop_of,
)  # fmt: skip

REPORT = "/reports/c0ffee0001"


def activity(client: Client, **query: Any) -> dict[str, list[dict[str, Any]]]:
    rows = client.get(f"{REPORT}/email-activity", count=1000, **query)["emails"]
    return {row["email_address"]: row.get("activity", []) for row in rows}


def test_filter_bots_drops_machine_openers_from_open_details_but_nobody_from_email_activity() -> None:
    client = lively()
    openers = client.get(f"{REPORT}/open-details")
    assert (openers["total_opens"], openers["total_proxy_excluded_opens"], openers["total_items"]) == (4, 2, 3)
    assert {row["email_address"]: row["proxy_excluded_opens_count"] for row in openers["members"]} == {
        address(1): 1,
        address(2): 0,
        address(3): 1,
    }
    humans = client.get(f"{REPORT}/open-details", filter_bots=True)
    assert {row["email_address"] for row in humans["members"]} == {address(1), address(3)}
    everything, human = activity(client), activity(client, filter_bots=True)
    assert set(everything) == set(human) == {address(number) for number in range(1, 6)}
    assert [event["action"] for event in everything[address(2)]] == ["open"]
    assert human[address(2)] == []
    assert [event["action"] for event in human[address(3)]] == ["open", "click"]
    assert human[address(4)] == [{"action": "bounce", "type": "hard", "timestamp": "2026-11-11T13:00:00+00:00"}]


def test_since_shortens_activity_and_keeps_every_recipient_unless_switched() -> None:
    client = lively()
    since = (SENT + timedelta(hours=1)).isoformat() + "+00:00"
    found = activity(client, since=since)
    assert len(found) == 5
    assert {person for person, events in found.items() if events} == {address(3)}
    client.simulator.switches.since_shortens = True
    assert set(activity(client, since=since)) == {address(3)}


def test_totals_of_a_report_tell_machines_from_people() -> None:
    client = lively()
    report = client.get(REPORT)
    assert report == {**client.get("/reports")["reports"][0], "_links": report["_links"]}
    assert (report["emails_sent"], report["unsubscribed"], report["bounces"]["hard_bounces"]) == (5, 1, 1)
    assert (
        report["opens"]["opens_total"],
        report["opens"]["unique_opens"],
        report["opens"]["proxy_excluded_unique_opens"],
    ) == (4, 3, 2)
    assert report["clicks"]["last_click"] == "2026-11-11T15:00:00+00:00"
    client.simulator.switches.proxy_fields = False
    assert "proxy_excluded_opens" not in client.get(REPORT)["opens"]
    assert "total_proxy_excluded_opens" not in client.get(f"{REPORT}/open-details")
    assert [event["action"] for event in activity(client, filter_bots=True)[address(2)]] == ["open"]


def test_campaigns_are_chosen_by_time_sent() -> None:
    client = lively()
    sent = client.get("/campaigns", status="sent", since_send_time=(SENT - timedelta(seconds=1)).isoformat() + "+00:00")
    assert [row["id"] for row in sent["campaigns"]] == ["c0ffee0001"]
    assert sent["campaigns"][0]["recipients"]["recipient_count"] == 5
    assert client.get("/reports", since_send_time=SENT.isoformat() + "+00:00")["total_items"] == 0
    assert client.get("/campaigns", status="save")["total_items"] == 0


def test_who_got_it_who_clicked_and_who_left() -> None:
    client = lively()
    sent = {row["email_address"]: row for row in client.get(f"{REPORT}/sent-to", count=1000)["sent_to"]}
    assert (sent[address(4)]["status"], sent[address(3)]["open_count"]) == ("hard", 2)
    link = client.get(f"{REPORT}/click-details")["urls_clicked"][0]
    assert (link["url"], link["unique_clicks"]) == ("https://shop.example/dark", 1)
    clickers = client.get(f"{REPORT}/click-details/{link['id']}/members")["members"]
    assert [(row["email_address"], row["clicks"]) for row in clickers] == [(address(3), 1)]
    left = client.get(f"{REPORT}/unsubscribed")["unsubscribes"]
    assert [(row["email_address"], row["reason"]) for row in left] == [(address(5), "NORMAL")]


def test_at_most_a_thousand_opens_per_recipient_are_told() -> None:
    opens = [("00001", SENT + timedelta(seconds=number), False) for number in range(1200)]
    client = account([customer(1)], [Mailing("c0ffee0001", "t", "s", SENT, ["00001"], opens)])
    assert len(activity(client)[address(1)]) == 1000


def test_shop_data_is_a_full_walk_and_only_there_when_the_shop_sent_it() -> None:
    client = lively()
    store = client.get("/ecommerce/stores")["stores"][0]["id"]
    orders = client.get(f"/ecommerce/stores/{store}/orders", since="2030-01-01")["orders"]
    assert [(row["id"], row["financial_status"], row["order_total"]) for row in orders] == [
        ("5000000000001", "paid", 17.0),
        ("5000000000002", "refunded", 19.0),
        ("5000000000003", "cancelled", 19.0),
    ]
    assert (orders[0]["lines"][0]["price"], orders[0]["promos"][0]["code"]) == (9.5, "NOV")
    assert client.get("/ecommerce/orders", customer_id="00003")["total_items"] == 2
    assert client.get(f"/ecommerce/stores/{store}/carts")["carts"][0]["id"] == "k1"
    assert client.get(f"/ecommerce/stores/{store}/customers")["customers"][0]["orders_count"] == 1
    assert client.get(f"/lists/a1b2c3d4e5/members/{address(1)}")["stats"]["ecommerce_data"]["number_of_orders"] == 1
    without = account([customer(1)])
    assert without.get("/ecommerce/stores")["total_items"] == 0
    assert "ecommerce_data" not in without.get(f"{LIST}/members/{address(1)}")["stats"]


def fetch(client: Client, url: str, headers: dict[str, str] | None = None) -> Response:
    path = urlsplit(url).path.removeprefix("/mailchimp")
    return client.simulator.handle(Request("GET", path, {}, headers or {}))


def results(client: Client, url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with tarfile.open(fileobj=io.BytesIO(fetch(client, url).body), mode="r|gz") as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            data = file.read() if file else b""
            found += orjson.loads(data) if data else []
    return found


def finished(client: Client, operations: list[dict[str, Any]]) -> dict[str, Any]:
    batch = client("POST", "/batches", {"operations": operations})
    while batch["status"] != "finished":
        batch = client.get(f"/batches/{batch['id']}")
    found: dict[str, Any] = batch
    return found


def test_a_batch_goes_through_its_states_one_poll_at_a_time_and_one_batch_at_a_time() -> None:
    client = lively()
    operation = {"method": "PATCH", "path": f"{LIST}/members/{subscriber_hash(address(1))}", "operation_id": "a",
                 "body": '{"merge_fields":{"FNAME":"Batch"}}'}  # fmt: skip
    first = client("POST", "/batches", {"operations": [operation]})
    second = client("POST", "/batches", {"operations": [operation]})
    states = [client.get(f"/batches/{first['id']}") for _ in range(4)]
    assert [first["status"], *(batch["status"] for batch in states)] == [
        "pending",
        "preprocessing",
        "started",
        "finalizing",
        "finished",
    ]
    assert client.get(f"{LIST}/members/{address(1)}")["merge_fields"]["FNAME"] == "Batch"
    assert [effect["kind"] for effect in client.simulator.effects].count("member.patch") == 1
    assert client.simulator.batches.batches[second["id"]].state == 0
    assert states[-1]["response_body_url"] and not states[-2]["response_body_url"]


def test_results_are_fetched_without_a_key_for_ten_minutes() -> None:
    client = lively()
    batch = finished(client, [{"method": "GET", "path": "/ping", "operation_id": "p"}])
    url = batch["response_body_url"]
    assert url.startswith("http://sandbox.test/mailchimp/batch-results/")
    assert fetch(client, url, KEY).status == 400
    assert results(client, url) == [
        {"status_code": 200, "operation_id": "p", "response": '{"health_status":"Everything\'s Chimpy!"}'}
    ]
    clock_of(client).forward(601)
    assert fetch(client, url).status == 403
    again = client.get(f"/batches/{batch['id']}")["response_body_url"]
    assert again != url and fetch(client, again).status == 200
    clock_of(client).forward(7 * 86_400)
    client("GET", f"/batches/{batch['id']}", expect=404)


def test_a_finished_batch_can_have_failed_everywhere() -> None:
    client = lively()
    operations = [{"method": "GET", "path": f"/3.0{LIST}/members", "operation_id": str(number)} for number in range(3)]
    batch = finished(client, operations)
    assert (batch["finished_operations"], batch["errored_operations"]) == (3, 3)
    assert {row["status_code"] for row in results(client, batch["response_body_url"])} == {404}
    body = {"operations": [{"method": "PATCH", "path": LIST, "body": {"not": "a string"}}]}
    assert client.ask("POST", "/batches", body).status == 400


def test_a_get_without_count_walks_everything_and_its_pages_are_split_over_files() -> None:
    names = [f"{number:05d}" for number in range(2300)]
    people = [customer(number) for number in range(2300)]
    client = account(people, [Mailing("c0ffee0001", "t", "s", NOW - timedelta(days=1), names)])
    client.simulator.switches.batch_split = 2
    path = f"{REPORT}/email-activity?fields=emails.email_id"
    batch = finished(client, [{"method": "GET", "path": path, "operation_id": "walk"}])
    rows = results(client, batch["response_body_url"])
    assert [len(orjson.loads(row["response"])["emails"]) for row in rows] == [1000, 1000, 300]
    with tarfile.open(fileobj=io.BytesIO(fetch(client, batch["response_body_url"]).body), mode="r:gz") as archive:
        entries = archive.getmembers()
    assert [entry.isdir() for entry in entries].count(True) == 1
    assert [entry.size == 0 for entry in entries if entry.isfile()] == [False, False, True]


def test_batches_set_tags_without_starting_journeys() -> None:
    client = lively()
    client("POST", f"{LIST}/segments", {"name": "px", "static_segment": []})
    journey = client.simulator.add_journey("px")
    body = '{"tags":[{"name":"px","status":"active"}],"is_syncing":true}'
    operations = [
        {"method": "POST", "path": f"{LIST}/members/{subscriber_hash(address(number))}/tags", "body": body} for number in (1, 2)
    ]
    assert finished(client, operations)["errored_operations"] == 0
    assert journey.mails_sent == 0
    assert client.simulator.dump()["tags"]["px"]["members"] == [address(1), address(2)]


def test_a_contact_deleted_for_good_is_gone_from_reports() -> None:
    client = account([customer(number) for number in range(1, 6)], [mailing()])
    client.simulator.change("00003", {"deleted": True})
    assert len(activity(client)) == 4
    assert client.get(f"{REPORT}/click-details")["total_items"] == 0


def test_the_same_purchase_has_one_number_on_shopify_and_here() -> None:
    line = [Line("p1", "Dark roast", "Coffee", 1, Decimal("9.50"))]
    places = [ON_ALL, frozenset({"shopify"}), frozenset({"mailchimp"}), frozenset({"shopify", "mailchimp"})]
    purchases = [Purchase(f"own-{n}", "00001", NOW, Decimal(n), line, on) for n, on in enumerate(places, 1)]
    shop = shop_of([customer(1)], purchases=purchases)
    shopify = ShopifySimulator(Clock())
    shopify.load(shop)
    there = {int(order.purchase.total): str(order.number) for order in shopify.world.orders}
    mailchimp = account([customer(1)], purchases=purchases)
    here = {int(order["order_total"]): order["id"] for order in mailchimp.get("/ecommerce/orders")["orders"]}
    assert here == {1: there[1], 3: "own-3", 4: there[4]}


def test_complaints_stand_in_a_list_of_their_own() -> None:
    spam = Mailing(
        "c1", "News", "Hello", SENT, ["00001", "00002"], unsubscribes=[("00001", SENT, "ABUSE"), ("00002", SENT, "NORMAL")]
    )
    client = account([customer(1), customer(2)], [spam])
    report = client.get("/reports/c1")
    assert (report["abuse_reports"], report["unsubscribed"]) == (1, 1)
    of_campaign = client.get("/reports/c1/abuse-reports")["abuse_reports"]
    of_list = client.get(f"{LIST}/abuse-reports", count=5)["abuse_reports"]
    assert [(r["email_address"], r["campaign_id"]) for r in of_campaign] == [(address(1), "c1")]
    assert [(r["id"], r["date"]) for r in of_list] == [(r["id"], r["date"]) for r in of_campaign]


def test_failed_reads_and_missing_addresses_of_a_batch_can_be_switched_on() -> None:
    client = lively()
    client.simulator.switches.batch_errors = ["bad"]
    operations = [{"method": "GET", "path": "/ping", "operation_id": name} for name in ("good", "bad:1")]
    batch = client("POST", "/batches", {"operations": operations})["id"]
    for _ in range(4):
        client.get("/batches")
    assert client.get(f"/batches/{batch}")["errored_operations"] == 1
    client.simulator.switches.batch_no_url = True
    assert client.get(f"/batches/{batch}")["response_body_url"] == ""
