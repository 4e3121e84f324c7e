"""Mailchimp's own Python client against the simulator: what it sends is understood, what it gets is what it expects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import responses

from connector.sandbox.mailchimp import API_KEY, LIST_ID
from connector.sandbox.mailchimp_state import subscriber_hash
from tests.platforms.mailchimp.described import described_path, operations
from tests.sandbox.mailchimp_account import LIST, address, lively
from tests.simulated import simulated

vendor = pytest.importorskip("mailchimp_marketing")
ApiClientError = pytest.importorskip("mailchimp_marketing.api_client").ApiClientError


class Both:
    """The vendor's client and plain requests, side by side."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.plain = lively()
        self.asked: set[tuple[str, str | None]] = set()
        handle = self.plain.simulator.handle

        def noted(request: Any) -> Any:
            if "user-agent" in request.headers:  # the plain client has none
                self.asked.add((request.method.lower(), described_path(request.path.removeprefix("/3.0") or "/")))
            return handle(request)

        self.plain.simulator.handle = noted  # type: ignore[method-assign]  # to see what the vendor's client sends
        self.host = simulated("mailchimp", self.plain.simulator, mock) + "/3.0"
        self.client = self.vendor(API_KEY)

    def vendor(self, key: str) -> Any:
        client = vendor.Client({"api_key": key, "server": "us1"})
        client.api_client.host = self.host
        return client


@pytest.fixture
def both() -> Iterator[Both]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Both(mock)


HASH = subscriber_hash(address(1))
READS = [
    ("/", lambda c: c.root.get_root()),
    ("/ping", lambda c: c.ping.get()),
    ("/lists", lambda c: c.lists.get_all_lists()),
    (LIST, lambda c: c.lists.get_list(LIST_ID)),
    (f"{LIST}/members", lambda c: c.lists.get_list_members_info(LIST_ID)),
    (f"{LIST}/members/{HASH}", lambda c: c.lists.get_list_member(LIST_ID, HASH)),
    (f"{LIST}/members/{HASH}/tags", lambda c: c.lists.get_list_member_tags(LIST_ID, HASH)),
    (f"{LIST}/merge-fields", lambda c: c.lists.get_list_merge_fields(LIST_ID)),
    (f"{LIST}/interest-categories", lambda c: c.lists.get_list_interest_categories(LIST_ID)),
    (f"{LIST}/segments", lambda c: c.lists.list_segments(LIST_ID)),
    (f"{LIST}/segments/7001", lambda c: c.lists.get_segment(LIST_ID, "7001")),
    (f"{LIST}/segments/7001/members", lambda c: c.lists.get_segment_members_list(LIST_ID, "7001")),
    (f"{LIST}/abuse-reports", lambda c: c.lists.get_list_abuse_reports(LIST_ID)),
    ("/reports", lambda c: c.reports.get_all_campaign_reports()),
    ("/campaigns", lambda c: c.campaigns.list()),
    ("/reports/c0ffee0001/email-activity", lambda c: c.reports.get_email_activity_for_campaign("c0ffee0001")),
    ("/reports/c0ffee0001/unsubscribed", lambda c: c.reports.get_unsubscribed_list_for_campaign("c0ffee0001")),
    ("/ecommerce/stores", lambda c: c.ecommerce.stores()),
    ("/ecommerce/stores/sandbox-store/orders", lambda c: c.ecommerce.get_store_orders("sandbox-store")),
    ("/ecommerce/stores/sandbox-store/products", lambda c: c.ecommerce.get_all_store_products("sandbox-store")),
    ("/ecommerce/stores/sandbox-store/carts", lambda c: c.ecommerce.get_store_carts("sandbox-store")),
]


@pytest.mark.parametrize(("path", "ask"), READS, ids=[path for path, _ in READS])
def test_the_vendors_client_reads_the_same_bodies(both: Both, path: str, ask: Any) -> None:
    assert ask(both.client) == both.plain.get(path)


def test_it_reads_groups(both: Both) -> None:
    category = both.client.lists.get_list_interest_categories(LIST_ID)["categories"][0]["id"]
    path = f"{LIST}/interest-categories/{category}/interests"
    assert both.client.lists.list_interest_category_interests(LIST_ID, category) == both.plain.get(path)


def test_it_has_been_asked_for_every_operation_we_use(both: Both) -> None:
    for _, ask in READS:
        ask(both.client)
    test_it_reads_groups(both)
    test_it_makes_fills_and_empties_a_tag(both)
    test_its_batches_run_to_the_end(both)
    test_it_makes_and_fills_a_merge_field(both)
    assert {(method, path) for path, methods in operations().items() for method in methods} - both.asked == set()


def test_its_paging_filters_and_fields_mean_the_same(both: Both) -> None:
    query = {"count": 2, "offset": 1, "status": "subscribed", "sort_field": "last_changed", "sort_dir": "ASC",
             "fields": ["members.id", "total_items"]}  # fmt: skip
    seen = both.client.lists.get_list_members_info(LIST_ID, **query)
    assert seen == both.plain.get(f"{LIST}/members", **{**query, "fields": "members.id,total_items"})
    assert len(seen["members"]) == 2 and set(seen["members"][0]) == {"id"}


def test_it_makes_and_fills_a_merge_field(both: Both) -> None:
    made = both.client.lists.add_list_merge_field(LIST_ID, {"tag": "RC_TIER", "name": "Rollcall tier", "type": "text"})
    assert (made["tag"], made["type"]) == ("RC_TIER", "text")
    seen = both.client.lists.update_list_member(LIST_ID, HASH, {"merge_fields": {"RC_TIER": "high"}})
    assert seen["merge_fields"]["RC_TIER"] == "high" and seen["id"] == HASH


def test_it_makes_fills_and_empties_a_tag(both: Both) -> None:
    tag = both.client.lists.create_segment(LIST_ID, {"name": "px", "static_segment": []})
    filled = both.client.lists.batch_segment_members({"members_to_add": [address(1), "x@shop.example"]}, LIST_ID, tag["id"])
    assert (filled["total_added"], filled["error_count"]) == (1, 1)
    quiet = {"tags": [{"name": "px", "status": "inactive"}], "is_syncing": True}
    assert both.client.lists.update_list_member_tags(LIST_ID, HASH, quiet).status_code == 204
    assert both.client.lists.get_segment_members_list(LIST_ID, tag["id"])["total_items"] == 0
    assert both.client.lists.create_list_member_event(LIST_ID, HASH, {"name": "px", "is_syncing": False}).status_code == 204


def test_its_batches_run_to_the_end(both: Both) -> None:
    operation = {"method": "GET", "path": "/reports/c0ffee0001/email-activity", "operation_id": "a"}
    batch = both.client.batches.start({"operations": [operation]})
    for _ in range(6):
        shown = both.client.batches.status(batch["id"])
    assert (shown["status"], shown["errored_operations"]) == ("finished", 0)
    assert shown["response_body_url"].endswith(".tar.gz")


@pytest.mark.parametrize(
    ("ask", "status", "title"),
    [
        (lambda b: b.client.lists.get_list("0000000000"), 404, "Resource Not Found"),
        (lambda b: b.client.lists.get_list_members_info(LIST_ID, status="happy"), 400, "Invalid Resource"),
        (lambda b: b.vendor("f" * 32 + "-us1").ping.get(), 401, "API Key Invalid"),
        (
            lambda b: b.client.lists.batch_segment_members({"members_to_add": ["x"] * 501}, LIST_ID, "7001"),
            400,
            "Invalid Resource",
        ),
    ],
)
def test_it_understands_the_errors(both: Both, ask: Any, status: int, title: str) -> None:
    with pytest.raises(ApiClientError) as caught:
        ask(both)
    assert caught.value.status_code == status
    assert title in str(caught.value.text)
