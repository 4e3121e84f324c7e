"""Walking Shopify's streams: nothing lost, nothing doubled in effect, and every cursor good enough to go on from."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest

from connector.normalize import Normalizer, load_mapping
from models.errors import PermanentApiError, RetryableApiError, ScopeError

Connect = Callable[..., Any]


def ids(pages: list[Any]) -> list[str]:
    return [r["id"].rsplit("/", 1)[1] for p in pages for r in p.records]


def fill(shop: Any, make_customer: Callable[..., Any], count: int, *, ties: int = 1) -> None:
    shop.rows["customers"] = [
        make_customer(n, f"2026-10-01T{(n // ties) // 60:02d}:{(n // ties) % 60:02d}:00Z") for n in range(count)
    ]


def test_a_backfill_reads_every_customer_once_and_says_the_total(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 620)
    pages = list(connect().pages("customers", None))
    assert sorted(ids(pages), key=int) == [str(n) for n in range(620)]
    assert [p.done for p in pages] == [False] * (len(pages) - 1) + [True]
    assert pages[-1].total == 620


def test_pages_grow_while_they_are_cheap_and_stop_growing_when_not(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 900)
    list(connect().pages("customers", None))
    assert [v["first"] for _, v in shop.asked if "first" in v][:4] == [50, 100, 200, 250]
    shop.asked.clear()
    shop.cost_each = 4
    list(connect().pages("customers", None))
    assert {v["first"] for _, v in shop.asked if "first" in v} == {50, 100}


def test_records_with_the_same_time_are_all_read(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 300, ties=60)
    assert sorted(ids(list(connect().pages("customers", None))), key=int) == [str(n) for n in range(300)]


def test_long_chains_are_cut_and_still_nothing_is_lost(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 700, ties=7)
    pages = list(connect(chain_rows=100, page_size=30).pages("customers", None))
    assert sorted(set(ids(pages)), key=int) == [str(n) for n in range(700)]
    chains = {v["query"] for _, v in shop.asked if v.get("query")}
    assert len(chains) >= 5


def test_a_chain_of_one_and_the_same_second_is_not_cut_for_ever(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 300, ties=300)
    pages = list(connect(chain_rows=50, page_size=20).pages("customers", None))
    assert sorted(set(ids(pages)), key=int) == [str(n) for n in range(300)]
    assert len(pages) <= 15 + 3


def test_a_customer_edited_during_the_walk_is_met_in_the_next_round(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 300)

    def edit() -> None:
        shop.rows["customers"][299]["updatedAt"] = "2026-11-21T12:00:30Z"
        shop.now = datetime(2026, 11, 21, 12, 5)

    shop.after_page = edit
    first = list(connect().pages("customers", None))
    assert "299" not in ids(first)
    second = list(connect().pages("customers", first[-1].cursor))
    assert ids(second) == ["299"]


def test_resuming_from_any_page_gives_the_same_set(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 200, ties=7)
    settings = {"page_size": 20, "chain_rows": 60}
    whole = list(connect(**settings).pages("customers", None))
    for stop in range(len(whole)):
        cursor = json.loads(json.dumps(whole[stop].cursor))
        if whole[stop].done:
            continue
        rest = list(connect(**settings).pages("customers", cursor))
        assert set(ids(whole[: stop + 1])) | set(ids(rest)) == {str(n) for n in range(200)}
        assert rest[-1].cursor == whole[-1].cursor


def test_a_saved_cursor_that_shopify_no_longer_takes_goes_on_by_time(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 100)
    first = next(connect(page_size=20).pages("customers", None))

    def too_old(document: str, variables: dict[str, Any]) -> Any:
        if variables.get("after") == first.cursor["after"]:
            shop.before.clear()
            error = {"message": "Invalid cursor for current pagination sort.", "extensions": {"code": "BAD_REQUEST"}}
            return shop.answer(None, errors=[error])
        return None

    shop.before.append(too_old)
    rest = list(connect(page_size=20).pages("customers", first.cursor))
    assert set(ids([first])) | set(ids(rest)) == {str(n) for n in range(100)}


def test_a_second_round_asks_only_for_what_changed_with_an_overlap(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 60)
    done = list(connect().pages("customers", None))[-1]
    shop.rows["customers"][5]["updatedAt"] = "2026-11-21T11:55:00Z"
    shop.now = datetime(2026, 11, 21, 13, 0)
    pages = list(connect().pages("customers", done.cursor))
    assert ids(pages) == ["5"] and pages[-1].total is None
    query = next(v["query"] for _, v in reversed(shop.asked) if v.get("query"))
    assert query == "updated_at:>='2026-11-21T11:50:00Z' AND updated_at:<'2026-11-21T13:00:01Z'"


def test_what_was_written_in_this_very_second_is_seen(shop: Any, connect: Connect, make_customer: Any) -> None:
    shop.rows["customers"] = [make_customer(1, "2026-11-21T12:00:00Z")]
    assert ids(list(connect().pages("customers", None))) == ["1"]


def test_full_reads_all_again(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 60)
    done = list(connect().pages("customers", None))[-1]
    assert len(ids(list(connect().pages("customers", done.cursor, full=True)))) == 60


def test_rows_outside_the_window_that_a_coarse_filter_lets_through_are_dropped(
    shop: Any, connect: Connect, make_customer: Any
) -> None:
    fill(shop, make_customer, 3)
    shop.rows["customers"][2]["updatedAt"] = "2026-11-20T00:00:00Z"

    def coarse(document: str, variables: dict[str, Any]) -> Any:
        if "customers(first:$first" in document:
            info = {"hasNextPage": False, "endCursor": None}
            return shop.answer({"customers": {"pageInfo": info, "nodes": shop.rows["customers"]}})
        return None

    shop.before.append(coarse)
    assert ids(list(connect().pages("customers", None, since=datetime(2026, 11, 1)))) == ["2"]


def test_nested_connections_and_lists_are_read_to_their_end(shop: Any, connect: Connect) -> None:
    shop.rows["orders"] = [
        {
            "id": "gid://shopify/Order/1", "updatedAt": "2026-10-01T00:00:00Z", "createdAt": "2026-10-01T00:00:00Z",
            "lineItems": [{"id": f"gid://shopify/LineItem/{n}"} for n in range(333)],
            "discountApplications": [{"index": n} for n in range(12)],
            "refunds": [{"id": f"gid://shopify/Refund/{n}"} for n in range(70)],
        }
    ]  # fmt: skip
    record = next(connect().pages("orders", None)).records[0]
    assert len(record["lineItems"]["nodes"]) == 333
    assert len(record["discountApplications"]["nodes"]) == 12
    assert len(record["refunds"]) == 70


def test_checkouts_are_read_again_over_thirty_days(shop: Any, connect: Connect) -> None:
    def checkout(number: int, created_at: str) -> dict[str, Any]:
        return {
            "id": f"gid://shopify/AbandonedCheckout/{number}",
            "createdAt": created_at,
            "completedAt": None,
            "lineItems": [],
        }

    shop.rows["abandonedCheckouts"] = [checkout(1, "2026-09-01T00:00:00Z"), checkout(2, "2026-11-01T00:00:00Z")]
    first = list(connect().pages("checkouts", None))
    assert ids(first) == ["1", "2"]
    assert ids(list(connect().pages("checkouts", first[-1].cursor))) == ["2"]


def test_a_page_that_costs_too_much_is_asked_for_in_halves(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 60)

    def too_dear(document: str, variables: dict[str, Any]) -> Any:
        if variables.get("first", 0) > 12:
            error = {"message": "Query cost is 2000", "extensions": {"code": "MAX_COST_EXCEEDED"}}
            return shop.answer(None, errors=[error])
        return None

    shop.before.append(too_dear)
    shop.cost_each = 50
    assert len(ids(list(connect().pages("customers", None)))) == 60


def test_pages_shrink_when_shopify_keeps_failing(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 60)

    def overloaded(document: str, variables: dict[str, Any]) -> Any:
        return (504, {}, "timeout") if variables.get("first", 0) > 12 else None

    shop.before.append(overloaded)
    shop.cost_each = 50
    assert len(ids(list(connect().pages("customers", None)))) == 60


def test_an_answer_with_data_and_errors_is_never_taken_for_complete(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 3)
    partial = {"customers": {"pageInfo": {"hasNextPage": False, "endCursor": None}, "nodes": []}}

    def half(document: str, variables: dict[str, Any]) -> Any:
        if "customers(first:$first" in document:
            return shop.answer(partial, errors=[{"message": "Something", "extensions": {"code": "OTHER"}}])
        return None

    shop.before.append(half)
    with pytest.raises(PermanentApiError):
        list(connect().pages("customers", None))


def test_an_ignored_search_filter_stops_the_walk(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 3)
    warning = {"field": "updatedat", "message": "Invalid search field for this query.", "code": "invalid_field"}

    def ignored(document: str, variables: dict[str, Any]) -> Any:
        if "customers(first:$first" not in document:
            return None
        status, headers, body = shop._page("customers", document, variables)
        answer = json.loads(body)
        answer["extensions"]["search"] = [{"path": ["customers"], "warnings": [warning]}]
        return status, headers, json.dumps(answer)

    shop.before.append(ignored)
    with pytest.raises(PermanentApiError) as caught:
        list(connect().pages("customers", None))
    assert caught.value.code == "SEARCH_FILTER"


def test_a_missing_scope_switches_off_one_stream_and_names_it(shop: Any, connect: Connect) -> None:
    error = {
        "message": "Access denied for abandonedCheckouts field. Required access: `read_orders` access scope.",
        "path": ["abandonedCheckouts"],
        "extensions": {"code": "ACCESS_DENIED", "requiredAccess": "`read_orders` access scope."},
    }
    shop.before.append(
        lambda d, v: shop.answer({"abandonedCheckouts": None}, errors=[error]) if "abandonedCheckouts" in d else None
    )
    with pytest.raises(ScopeError) as caught:
        list(connect().pages("checkouts", None))
    assert caught.value.scope == "read_orders" and caught.value.platform == "shopify"


def test_without_the_product_scope_orders_are_read_without_products(shop: Any, connect: Connect) -> None:
    shop.scopes.remove("read_products")
    list(connect().pages("orders", None))
    assert not any("product{id}" in d for d, _ in shop.asked)


def test_reread_gives_the_customer_as_it_is_and_names_who_is_gone(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 3)
    shop.gone.add("gid://shopify/Customer/1")
    pages = list(connect().reread(["0", "1", "2", "77"]))
    assert ids(pages) == ["0", "2"] and pages[0].gone == {"1": "gone", "77": "gone"}


def test_an_owners_metafield_is_asked_for_and_lies_where_the_configuration_says(
    shop: Any, connect: Connect, make_customer: Any
) -> None:
    shop.rows["customers"] = [make_customer(1, "2026-10-01T00:00:00Z", _m0={"value": "gold"})]
    attributes = {"loyalty_level": "metafields.loyalty.level"}
    record = next(connect(attributes=attributes).pages("customers", None)).records[0]
    assert 'metafield(namespace:"loyalty", key:"level")' in shop.asked[-1][0]
    rows = Normalizer(load_mapping("shopify"), attributes, date(2026, 11, 21)).normalize("customers", record)
    assert json.loads(rows["contacts"][0]["attributes"]) == {"loyalty_level": "gold"}


def order(number: int, updated_at: str) -> dict[str, Any]:
    money = {"shopMoney": {"amount": "11.9", "currencyCode": "EUR"}}
    return {
        "id": f"gid://shopify/Order/{number}", "updatedAt": updated_at, "createdAt": updated_at, "processedAt": updated_at,
        "currentTotalPriceSet": money, "refunds": [], "cancelledAt": None, "displayFinancialStatus": "PAID",
        "lineItems": [{"id": f"gid://shopify/LineItem/{number * 10 + i}", "quantity": 1} for i in range(2)],
        "discountApplications": [{"index": 0, "code": "HELLO"}],
    }  # fmt: skip


def test_a_bulk_export_gives_the_same_records_as_the_pages(shop: Any, connect: Connect) -> None:
    shop.rows["orders"] = [order(n, f"2026-10-{n % 28 + 1:02d}T00:00:00Z") for n in range(80)]
    paged = [r for p in connect().pages("orders", None) for r in p.records]
    pages = list(connect(bulk="always").pages("orders", None))
    exported = [r for p in pages for r in p.records]
    assert sorted(exported, key=lambda r: r["id"]) == sorted(paged, key=lambda r: r["id"])
    assert pages[-1].done and pages[-1].cursor["phase"] == "done" and pages[-1].total == 80
    assert len(shop.jobs) == 1


def test_a_bulk_export_goes_on_from_every_page(shop: Any, connect: Connect) -> None:
    shop.rows["orders"] = [order(n, f"2026-10-{n % 28 + 1:02d}T00:00:00Z") for n in range(30)]
    whole = list(connect(bulk="always").pages("orders", None))
    for stop, page in enumerate(whole[:-1]):
        rest = list(connect(bulk="always").pages("orders", json.loads(json.dumps(page.cursor))))
        assert set(ids(whole[: stop + 1])) | set(ids(rest)) == {str(n) for n in range(30)}
    assert len(shop.jobs) == 1


def test_a_failed_export_is_halved_and_its_part_never_taken_for_the_whole(shop: Any, connect: Connect) -> None:
    shop.rows["orders"] = [order(n, f"2026-10-{n % 28 + 1:02d}T00:00:00Z") for n in range(30)]

    def fail_once(job: dict[str, Any]) -> None:
        if len(shop.jobs) > 1:
            shop.complete(job)
        else:
            job.update(
                {"status": "FAILED", "errorCode": "INTERNAL_SERVER_ERROR", "partialDataUrl": "https://storage.shopify.test/p"}
            )

    shop.finish = fail_once
    pages = list(connect(bulk="always").pages("orders", None))
    assert sorted(ids(pages), key=int) == [str(n) for n in range(30)]
    assert len(shop.jobs) == 3


def test_a_file_with_fewer_lines_than_announced_is_not_taken(shop: Any, connect: Connect) -> None:
    shop.rows["orders"] = [order(n, "2026-11-21T11:30:00Z") for n in range(30)]

    def short(job: dict[str, Any]) -> None:
        shop.complete(job)
        shop.files = {u: "".join(t.splitlines(keepends=True)[:-1]) for u, t in shop.files.items()}

    shop.finish = short
    pages = list(connect(bulk="always").pages("orders", None))
    assert pages[-1].done and len(ids(pages)) == 30
    assert any("orders(first:$first" in d and v["first"] > 1 for d, v in shop.asked)


def test_an_export_without_rows_has_no_address_and_is_fine(shop: Any, connect: Connect) -> None:
    shop.rows["orders"] = [order(1, "2026-10-01T00:00:00Z")]

    def empty(job: dict[str, Any]) -> None:
        shop.rows["orders"] = []
        shop.complete(job)

    shop.finish = empty
    pages = list(connect(bulk="always").pages("orders", None))
    assert pages[-1].done and ids(pages) == []


def test_small_streams_are_not_exported(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 60)
    list(connect(bulk="auto").pages("customers", None))
    assert shop.jobs == []


def test_a_shop_that_stays_down_is_given_up_in_the_end(shop: Any, connect: Connect) -> None:
    shop.before.append(lambda d, v: (503, {}, "") if "first" in v else None)
    with pytest.raises(RetryableApiError):
        list(connect().pages("customers", None))
    assert len(shop.asked) < 20


def test_no_customer_is_subscribed_by_a_word_we_do_not_know(make_customer: Any) -> None:
    normalizer = Normalizer(load_mapping("shopify"), {}, date(2026, 11, 21))
    expected = {
        "SUBSCRIBED": "subscribed", "PENDING": "pending", "UNSUBSCRIBED": "unsubscribed", "NOT_SUBSCRIBED": "never_asked",
        "INVALID": "dead", "REDACTED": "erased", "SOMETHING_NEW": "never_asked",
    }  # fmt: skip
    for word, status in expected.items():
        record = make_customer(
            1, "2026-10-01T00:00:00Z", defaultEmailAddress={"emailAddress": "A@B.example", "marketingState": word}
        )
        rows = normalizer.normalize("customers", record)
        assert [(c["channel"], c["status"]) for c in rows["consents"]] == [("email", status)]
        assert rows["contacts"][0]["email"] == "a@b.example"
