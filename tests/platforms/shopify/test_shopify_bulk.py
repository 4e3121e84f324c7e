"""Exports in trouble: slots, crashes, tokens, files and jobs that end in every way a job can end."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import orjson
import pytest

from adapters import shopify_documents as documents
from adapters.shopify_bulk import LEAST_WINDOW
from adapters.shopify_walk import read_time
from connector.sandbox.shopify import ShopifySimulator
from models.errors import AuthError
from tests.platforms.shopify.simulated_shop import Clock, connect, records


def exports(simulator: ShopifySimulator, mark: str = "# rollcall") -> list[Any]:
    return [j for j in simulator.jobs.values() if j.type == "QUERY" and j.query.startswith(mark)]


def asked(simulator: ShopifySimulator, word: str) -> list[dict[str, Any]]:
    """Collects the bodies of requests that hold `word`, from now on."""
    found: list[dict[str, Any]] = []
    inner = simulator.handle

    def watch(request: Any) -> Any:
        if word.encode() in request.body:
            found.append(json.loads(request.body))
        return inner(request)

    simulator.handle = watch  # type: ignore[method-assign]  # a look at what arrives
    return found


def strangers(simulator: ShopifySimulator, count: int, polls: int) -> list[Any]:
    """Jobs of other programs of the same app, which run for so many looks."""
    jobs = [simulator.new_job("QUERY", f"{{ products{{ edges{{ node{{ id title }} }} }} }} # other {n}") for n in range(count)]
    for job in jobs:
        job.polls = polls
    return jobs


def test_a_sixth_export_waits_for_a_slot_and_leaves_the_other_five_alone(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    others = strangers(simulator, 5, polls=4)
    cancelled = asked(simulator, "bulkOperationCancel")
    begun = clock.now
    assert len(records(connect(base_url, clock, bulk="always"), "customers")) == 120
    assert (clock.now - begun).total_seconds() >= 30, "it waited, rather than to ask again at once"
    assert len(exports(simulator)) == 1 and cancelled == []
    assert {j.status for j in others} == {"COMPLETED"}


def test_where_no_slot_ever_becomes_free_pages_are_read(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    others = strangers(simulator, 5, polls=10_000)
    assert len(records(connect(base_url, clock, bulk="always"), "customers")) == 120
    assert exports(simulator) == [] and {j.status for j in others} == {"RUNNING"}


def test_a_job_that_never_ends_is_cancelled_by_its_id_and_only_that_one(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    simulator.switches.bulk_polls = 10_000
    (other,) = strangers(simulator, 1, polls=10_000)
    cancelled = asked(simulator, "bulkOperationCancel")
    adapter = connect(base_url, clock, bulk="always", bulk_polls=30)
    assert len(records(adapter, "customers")) == 120
    (ours,) = exports(simulator)
    assert [c["variables"] for c in cancelled] == [{"id": ours.id}]
    assert (ours.status, other.status) == ("CANCELING", "RUNNING")


def test_polls_begin_at_a_second_and_slow_down_to_thirty(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.switches.bulk_polls = 14
    adapter = connect(base_url, clock, bulk="always")
    waits: list[float] = []
    adapter.sleep = lambda wait_s: (waits.append(wait_s), clock.sleep(wait_s))
    records(adapter, "customers")
    assert waits[:3] == [1.0, 1.5, 2.25] and waits[-3:] == [30.0] * 3 and len(waits) == 14


@pytest.mark.parametrize("stop", [0, 1])
def test_a_job_begun_before_a_crash_is_found_again_by_its_document(
    base_url: str, clock: Clock, simulator: ShopifySimulator, stop: int
) -> None:
    """stop 0: killed before the job's id was saved, 1: just after."""
    pages = connect(base_url, clock, bulk="always").pages("orders", None)
    saved = next(pages).cursor
    after = next(pages).cursor
    assert not saved["operation"] and after["operation"]
    cursor = json.loads(json.dumps((saved, after)[stop]))
    assert len(records(connect(base_url, clock, bulk="always"), "orders", cursor)) == 150
    assert len(exports(simulator)) == 1


def test_a_token_that_ends_while_an_export_runs_is_renewed(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.switches.bulk_polls, simulator.switches.lifetime_s = 40, 120
    refused = [0]
    inner = simulator.handle

    def count(request: Any) -> Any:
        answer = inner(request)
        refused[0] += answer.status == 401
        return answer

    simulator.handle = count  # type: ignore[method-assign]  # a look at what comes back
    assert len(records(connect(base_url, clock, bulk="always"), "orders")) == 150
    assert len(simulator.tokens) > 5 and refused == [0], "renewed before it ended, each time"


def test_a_token_taken_back_while_an_export_runs_is_asked_for_once_more(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    simulator.switches.bulk_polls = 12
    adapter = connect(base_url, clock, bulk="always")
    polls = [0]

    def sleep(wait_s: float) -> None:
        clock.sleep(wait_s)
        polls[0] += 1
        if polls[0] == 5:
            simulator.tokens.clear()

    adapter.sleep = sleep
    assert len(records(adapter, "orders")) == 150 and len(exports(simulator)) == 1
    simulator.switches.is_revoked = True
    with pytest.raises(AuthError):
        records(adapter, "orders")


@pytest.mark.parametrize("how", ["INTERNAL_SERVER_ERROR", "TIMEOUT", "CANCELED"])
@pytest.mark.parametrize("stream", ["customers", "orders"])
def test_a_job_that_fails_halves_its_window_and_nothing_of_its_part_is_taken(
    base_url: str, clock: Clock, simulator: ShopifySimulator, how: str, stream: str
) -> None:
    simulator.switches.fail_bulk, simulator.switches.fail_bulk_with = 1, how
    partial = asked(simulator, "-partial")
    pages = list(connect(base_url, clock, bulk="always").pages(stream, None))
    ids = [r["id"] for p in pages for r in p.records]
    assert len(ids) == len(set(ids)) == {"customers": 120, "orders": 150}[stream]
    assert partial == [] and len(exports(simulator)) == 3
    first, *halves = [j.query.split("\n")[0].split()[-2:] for j in exports(simulator)]
    assert [first[0], halves[0][1], first[1]] == [halves[0][0], halves[1][0], halves[1][1]], "half-open, without a gap"


def test_exports_that_time_out_end_in_pages_at_one_hour(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.switches.fail_bulk, simulator.switches.fail_bulk_with = 10_000, "TIMEOUT"
    assert len(records(connect(base_url, clock, bulk="always"), "orders")) == 150
    windows = [[read_time(t) for t in j.query.split("\n")[0].split()[-2:]] for j in exports(simulator)]
    spans = [b - a for a, b in windows]
    assert min(spans) <= LEAST_WINDOW < min(s for s in spans if s > LEAST_WINDOW) <= 2 * LEAST_WINDOW
    assert all(later < earlier for earlier, later in pairwise(spans))


def test_an_export_that_is_denied_says_so_in_pages_which_leave_the_field_out(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    """The one record looked at before shows nothing of it: the export fails without a word on which field."""
    adapter = connect(base_url, clock, bulk="always")
    pages = adapter.pages("orders", None)
    next(pages)
    simulator.switches.denied_fields = ["Order.email"]
    found = list(pages)
    assert len({r["id"] for p in found for r in p.records}) == 150 and "email" in found[-1].note


def spoiled(simulator: ShopifySimulator, change: Any) -> None:
    """The storage hands out the first job's file with its lines changed; their number is announced as they are."""
    inner = simulator._file

    def hand_out(request: Any) -> Any:
        job = next(iter(simulator.jobs.values()))
        job.body = b"".join(orjson.dumps(row) + b"\n" for row in change([orjson.loads(b) for b in job.body.splitlines()]))
        return inner(request)

    simulator._file = hand_out  # type: ignore[method-assign]  # a file nobody would expect


def test_a_child_without_its_parent_keeps_the_window_open(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    def orphan(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        child = next(r for r in rows if "__parentId" in r)
        child["__parentId"] = "gid://shopify/Order/1"
        return rows

    spoiled(simulator, orphan)
    found = records(connect(base_url, clock, bulk="always"), "orders")
    assert sum(len(o["lineItems"]["nodes"]) for o in found.values()) == 149 * 2 + 130
    assert len(exports(simulator)) == 3


def test_a_kind_of_child_that_is_newer_than_we_are_sends_us_to_the_pages(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    def newer(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**r, "__typename": "CouponApplication"} if "DiscountCode" in r["__typename"] else r for r in rows]

    spoiled(simulator, newer)
    found = records(connect(base_url, clock, bulk="always"), "orders")
    assert {d["code"] for o in found.values() for d in o["discountApplications"]["nodes"]} == {"HELLO"}
    assert len(exports(simulator)) == 1


def test_an_export_of_tens_of_thousands_is_chosen_by_itself_and_cut_into_windows(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    inner = simulator.run

    def many(text: str, *args: Any, **options: Any) -> Any:
        answer = inner(text, *args, **options)
        if "ordersCount" in text:
            answer["data"]["ordersCount"]["count"] = 250_000
        return answer

    assert len(records(connect(base_url, clock, bulk="auto"), "orders")) == 150 and exports(simulator) == []
    simulator.run = many  # type: ignore[method-assign]  # a count as only a large shop has it
    assert len(records(connect(base_url, clock, bulk="auto"), "orders")) == 150
    assert len(exports(simulator)) == 3, "100,000 a window"


def test_every_export_is_tried_as_an_ordinary_query_first(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    tried = asked(simulator, '"first":1,')
    records(connect(base_url, clock, bulk="always"), "orders")
    (first,) = [t for t in tried if t["query"] == documents.page(documents.kinds()["orders"])]
    assert first["variables"]["first"] == 1


@pytest.mark.parametrize("bulk", ["never", "always"])
def test_what_came_back_with_a_refund_is_read_in_a_second_pass(
    base_url: str, clock: Clock, simulator: ShopifySimulator, bulk: str
) -> None:
    whole = next(n for n in simulator.world.orders if len(n.purchase.lines) == 130)
    simulator.refund(whole.purchase.order_id, whole.purchase.total)
    orders = records(connect(base_url, clock, bulk=bulk), "orders")
    lines = [r["refundLineItems"]["nodes"] for o in orders.values() for r in o["refunds"]]
    assert sorted({len(found) for found in lines}) == [0, 130] and len(lines) == 61
    returned = max(lines, key=len)
    assert {line["lineItem"]["id"] for line in returned} == {n["id"] for n in orders[whole.id]["lineItems"]["nodes"]}
    assert {(line["quantity"], line["subtotalSet"]["shopMoney"]["amount"]) for line in returned} == {(1, "9.9")}
