"""What moves in the simulated shop: versions, deletions, edits, the purge, the index's lag, segment functions, long lists."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from connector.sandbox.shop import Cart, Line
from connector.sandbox.shopify_graphql import schema
from connector.sandbox.shopify_lists import CHAIN_LIMIT
from tests.sandbox.shopify_calls import DAY, NOW, Client, customer, purchase, shop

FOUND = "query($q:String){customers(first:9,query:$q,sortKey:UPDATED_AT){nodes{note}}}"


def notes(client: Client, query: str) -> list[str]:
    return [n["note"] for n in client.data(FOUND, q=query)["customers"]["nodes"]]


@pytest.mark.parametrize(
    ("tag", "query"),
    [
        ("Joe's", r"tag:'Joe\'s'"),
        ("Joe's", 'tag:"Joe\'s"'),
        ('the "best"', r'tag:"the \"best\""'),
        ("back\\slash", r"tag:'back\\slash'"),
        ("two words", "tag:'two words' AND id:>1"),
    ],
)
def test_quotes_and_escapes_in_a_search_belong_to_the_value(tag: str, query: str) -> None:
    assert notes(Client(shop([customer(1, tags={"shopify": [tag]}), customer(2)])), query) == ["00001"]


def test_the_index_trails_tags_and_dates_and_catches_up_though_the_switch_is_turned_off() -> None:
    client = Client()
    since = f"updated_at:>='{NOW - DAY:%Y-%m-%dT%H:%M:%SZ}'"
    assert (notes(client, "tag:x"), notes(client, since)) == ([], [])
    client.simulator.switches.index_lag_s = 60
    client.add(client.gid(2), "x")
    client.simulator.switches.index_lag_s = 0
    assert (notes(client, "tag:x"), notes(client, since)) == ([], [])
    assert client.tags(2) == ["x"]
    client.clock.forward(seconds=61)
    assert (notes(client, "tag:x"), notes(client, since)) == (["00002"], ["00002"])


def test_an_older_version_lacks_what_came_later() -> None:
    client = Client()
    flat = "{customers(first:1){nodes{defaultPhoneNumber{marketingState}}}}"
    nested = "{customers(first:1){nodes{defaultPhoneNumber{smsMarketingConsent{state}}}}}"
    attribution = "{orders(first:1){nodes{attribution{handle}}}}"
    codes = {}
    for version in ("2026-04", "2026-07", "2026-10"):
        client.version = version
        assert "errors" not in client.ask(flat)
        codes[version] = ["errors" in client.ask(text) for text in (nested, attribution)]
    assert codes == {"2026-04": [True, True], "2026-07": [True, False], "2026-10": [False, False]}
    assert "checkoutToken" in schema().type_map["Order"].fields  # type: ignore[attr-defined]  # an object type
    assert "checkoutToken" not in schema("2026-04").type_map["Order"].fields  # type: ignore[attr-defined]  # an object type


def test_before_2026_10_greater_did_not_leave_the_second_out() -> None:
    person = customer(1)
    person.updated_at = NOW + timedelta(milliseconds=400)
    client = Client(shop([person]))
    found = {}
    for client.version in ("2026-07", "2026-10"):
        found[client.version] = len(notes(client, "updated_at:>'2026-11-21T12:00:00Z'"))
    assert found == {"2026-07": 1, "2026-10": 0}


def test_a_deleted_product_leaves_an_event_and_its_lines_behind() -> None:
    client = Client(shop(purchases=[purchase(1)]))
    gid = client.data("{products(first:1){nodes{id}}}")["products"]["nodes"][0]["id"]
    client.simulator.delete_product("P1")
    text = """query($q:String){events(first:9,query:$q){nodes{__typename id action createdAt ... on BasicEvent{subjectId
        subjectType}}}}"""
    found = client.data(text, q="action:destroy AND subject_type:PRODUCT AND created_at:>='2026-11-21T00:00:00Z'")
    assert [(e["subjectId"], e["subjectType"]) for e in found["events"]["nodes"]] == [(gid, "PRODUCT")]
    assert client.data(text, q="subject_type:COLLECTION")["events"]["nodes"] == []
    (line,) = client.data("{orders(first:1){nodes{lineItems(first:9){nodes{name product{id} variant{id}}}}}}")["orders"][
        "nodes"
    ][0]["lineItems"]["nodes"]
    assert line == {"name": "Beans", "product": None, "variant": None}
    assert client.data("query($i:ID!){node(id:$i){id}}", i=gid)["node"] is None


def test_refunds_and_edits_change_what_is_left_and_when_it_changed() -> None:
    client = Client(shop(purchases=[purchase(1, amounts=("10.00", "20.00"))]))
    text = """{orders(first:1){nodes{updatedAt edited totalPriceSet{shopMoney{amount}} currentTotalPriceSet{shopMoney{amount}}
        refunds{id} lineItems(first:9){nodes{currentQuantity}}}}}"""
    client.simulator.refund("o1", Decimal("2.50"))
    client.simulator.edit_order("o1", 0)
    (order,) = client.data(text)["orders"]["nodes"]
    assert order["edited"] and order["updatedAt"] == "2026-11-21T12:00:00Z" and len(order["refunds"]) == 1
    assert (order["totalPriceSet"]["shopMoney"]["amount"], order["currentTotalPriceSet"]["shopMoney"]["amount"]) == (
        "30.0",
        "17.5",
    )
    assert [line["currentQuantity"] for line in order["lineItems"]["nodes"]] == [0, 1]
    client.simulator.delete_order("o1")
    assert client.data(text)["orders"]["nodes"] == []


def test_checkouts_are_purged_weekly_when_three_months_old() -> None:
    world = shop()
    line = Line("P1", "Beans", "Coffee", 1, Decimal("5"))
    world.carts = [Cart(f"c{n}", "00001", NOW - timedelta(days=n), Decimal("5"), [line]) for n in (1, 80, 91, 120)]
    client = Client(world)
    count = "{abandonedCheckouts(first:9){nodes{id}} abandonedCheckoutsCount{count}}"
    assert len(client.data(count)["abandonedCheckouts"]["nodes"]) == 3
    client.clock.forward(days=7)
    found = client.data(count)
    assert (len(found["abandonedCheckouts"]["nodes"]), found["abandonedCheckoutsCount"]["count"]) == (2, 2)


def test_a_purchase_may_be_in_another_currency() -> None:
    rows = [purchase(1, source={"presentment": "USD 1.1"}), purchase(2, source={"currency": "CHF"})]
    money = "totalPriceSet{shopMoney{amount currencyCode} presentmentMoney{amount currencyCode}}"
    nodes = Client(shop(purchases=rows)).data(f"{{orders(first:9,sortKey:ID){{nodes{{currencyCode {money}}}}}}}")["orders"][
        "nodes"
    ]
    assert [n["currencyCode"] for n in nodes] == ["EUR", "CHF"]
    assert nodes[0]["totalPriceSet"]["presentmentMoney"] == {"amount": "13.75", "currencyCode": "USD"}
    assert nodes[1]["totalPriceSet"]["presentmentMoney"] == {"amount": "12.5", "currencyCode": "CHF"}


def did(number: int, *what: tuple[str, str]) -> Any:
    return customer(number, extra={"shopify": {"activity": list(what)}})


MEMBERS = "query($q:String,$i:ID){customerSegmentMembers(first:9,query:$q,queryId:$i){totalCount edges{node{id note}}}}"


def test_members_are_found_by_what_they_did_on_a_day() -> None:
    client = Client(
        shop([did(1, ("shopify_email.opened", "2026-11-20")), did(2), did(3, ("shopify_email.opened", "2026-11-19"))])
    )
    found = client.data(MEMBERS, q="shopify_email.opened MATCHES (date = 2026-11-20)")["customerSegmentMembers"]
    assert [e["node"]["note"] for e in found["edges"]] == ["00001"]
    assert client.code(MEMBERS, q="shopify_email.opened(date: 2026-11-20) = true") == "INVALID"
    client.version = "2026-07"
    assert client.code(MEMBERS, q="shopify_email.opened MATCHES (date = 2026-11-20)") == "INVALID"


def test_a_large_segment_must_be_prepared_before_it_is_read() -> None:
    client = Client(shop([did(n, ("storefront.product_viewed", "2026-11-20")) for n in (1, 2, 3)]))
    client.simulator.switches.members_at_once = 2
    query = "storefront.product_viewed MATCHES (date = 2026-11-20)"
    assert client.code(MEMBERS, q=query) == "USE_CUSTOMER_SEGMENT_MEMBERS_QUERY_CREATE_MUTATION"
    create = "mutation($q:String!){customerSegmentMembersQueryCreate(input:{query:$q}){customerSegmentMembersQuery{id done}}}"
    made = client.data(create, q=query)["customerSegmentMembersQueryCreate"]["customerSegmentMembersQuery"]
    look = "query($i:ID!){customerSegmentMembersQuery(id:$i){done}}"
    assert [client.data(look, i=made["id"])["customerSegmentMembersQuery"]["done"] for _ in range(2)] == [False, True]
    assert client.data(MEMBERS, i=made["id"])["customerSegmentMembers"]["totalCount"] == 3


def test_a_chain_of_pages_ends_at_twenty_five_thousand() -> None:
    client = Client()
    rows = client.simulator.world.customers
    listing = client.simulator.lists["customers"]
    rows += [rows[0]] * (CHAIN_LIMIT + 10)
    listing.changed()
    text = "query($a:String){customers(first:250,after:$a,sortKey:ID){pageInfo{endCursor} edges{cursor}}}"
    assert client.data(text)["customers"]["edges"]
    last = client.data("{customers(last:1,sortKey:ID){edges{cursor}}}")["customers"]["edges"][0]["cursor"]
    assert client.code(text, a=last) == "BAD_REQUEST"


def test_counts_may_end_at_a_ceiling() -> None:
    client = Client()
    client.simulator.switches.count_ceiling = 2
    assert client.data("{customersCount(limit:null){count precision}}")["customersCount"] == {
        "count": 3,
        "precision": "AT_LEAST",
    }


def test_an_automation_may_take_a_customer_in_only_once() -> None:
    client = Client()
    client.simulator.switches.automations = {"vip": 3, "new": 1}
    client.simulator.switches.automations_once = ["VIP"]
    remove = "mutation($i:ID!,$t:[String!]!){tagsRemove(id:$i,tags:$t){userErrors{message}}}"
    for _ in range(2):
        client.add(client.gid(1), "VIP", "New")
        client.data(remove, i=client.gid(1), t=["vip", "new"])
    assert client.simulator.mails_started == 3 + 1 + 1


def test_a_revoked_token_and_a_hidden_list_answer_as_the_sheet_says() -> None:
    client = Client()
    client.simulator.switches.denied = ["abandonedCheckouts"]
    answer = client.ask("{abandonedCheckouts(first:1){nodes{id}}}")
    assert answer["data"] == {"abandonedCheckouts": None}
    assert answer["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"
    client.simulator.switches.is_revoked = True
    assert client.post("{shop{name}}").status == 401
