"""The simulated Shopify answers any document as the sheet says: fields, pages, cursors, searches, scopes and limits."""

from __future__ import annotations

import gzip
import importlib.util
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema, parse, validate

from connector.sandbox.base import Limits
from connector.sandbox.shopify_graphql import SDL, schema
from tests.sandbox.shopify_calls import NOW, Client, customer, purchase, shop

SHEET = Path(__file__).resolve().parents[2] / "../shared/platforms/shopify.md"
PUBLISHED = SHEET.parents[1] / "specs/shopify/admin.schema.graphql.gz"


def walk(client: Client, text: str, name: str, **variables: Any) -> list[Any]:
    rows: list[Any] = []
    after = None
    while True:
        page = client.data(text, after=after, **variables)[name]
        rows += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return rows
        after = page["pageInfo"]["endCursor"]


@pytest.mark.skipif(not SHEET.exists(), reason="the platform sheet is not beside this checkout")
def test_every_document_of_the_sheet_is_valid_here() -> None:
    documents = [
        text
        for block in re.findall(r"```graphql\n(.*?)```", SHEET.read_text(), re.DOTALL)
        for text in re.split(r"(?m)^(?=query |mutation |\{ )", block)
        if text.strip()
    ]
    assert len(documents) > 10
    assert not [e.message for text in documents for e in validate(schema(), parse(text))]


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published schema is not beside this checkout")
def test_the_schema_here_is_cut_from_the_published_one() -> None:
    path = Path(__file__).resolve().parents[2] / "benchmarks/cut_shopify_schema.py"
    spec = importlib.util.spec_from_file_location("cut_shopify_schema", path)
    assert spec is not None and spec.loader is not None
    cutter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cutter)
    with gzip.open(PUBLISHED, "rt", encoding="utf-8") as file:
        full = build_schema(file.read(), assume_valid=True)
    assert cutter.cut(full) == SDL.read_text(encoding="utf-8")


def test_aliases_fragments_variables_and_directives_are_resolved() -> None:
    answer = Client().data(
        """query($with:Boolean!,$first:Int=1){ few: customers(first:$first){ nodes{ ...who tags @include(if:$with) } }
           node(id:"gid://shopify/Customer/7000000000002"){ __typename id ... on Customer{ mail: email }
           ... on Order{ name } } }
           fragment who on Customer { __typename firstName note }""",
        **{"with": False},
    )
    assert answer["few"] == {"nodes": [{"__typename": "Customer", "firstName": "Name1", "note": "00001"}]}
    assert answer["node"] == {
        "__typename": "Customer",
        "id": "gid://shopify/Customer/7000000000002",
        "mail": "person2@shop.example",
    }


def test_the_same_document_follows_its_variables() -> None:
    client = Client()
    text = "query($with:Boolean!){ customers(first:1){ nodes{ id tags @include(if:$with) } } }"
    assert "tags" in client.data(text, **{"with": True})["customers"]["nodes"][0]
    assert "tags" not in client.data(text, **{"with": False})["customers"]["nodes"][0]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{customers(first:1){nodes{id shoeSize}}}", "undefinedField"),
        ("{customers(first:1, colour:1){nodes{id}}}", "argumentNotAccepted"),
        ("{order{id}}", "missingRequiredArguments"),
        ("{customers{nodes{id}}}", "BAD_REQUEST"),
        ("{customers(first:1,last:1){nodes{id}}}", "BAD_REQUEST"),
        ("{customers(first:251){nodes{id}}}", "BAD_REQUEST"),
        ("query($n:Int!){customers(first:$n){nodes{id}}}", "INVALID_VARIABLE"),
        ("mutation{tagsAdd(id:\"x\",tags:[]){userErrors{code}}}", "undefinedField"),
        ('{customers(first:1,query:"updated_at:>"){nodes{id}}}', "INTERNAL_SERVER_ERROR"),
    ],
)  # fmt: skip
def test_what_shopify_refuses_is_refused_without_data(text: str, code: str) -> None:
    answer = Client().ask(text)
    assert answer["errors"][0]["extensions"]["code"] == code
    assert "data" not in answer


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sort", ["UPDATED_AT", "ID", "NAME"])
def test_pages_hold_every_row_once(sort: str, reverse: bool) -> None:
    client = Client(shop([customer(n) for n in range(1, 24)]))
    text = """query($after:String,$r:Boolean,$s:CustomerSortKeys){
        customers(first:5,after:$after,reverse:$r,sortKey:$s){ nodes{id} pageInfo{hasNextPage endCursor} } }"""
    rows = [r["id"] for r in walk(client, text, "customers", r=reverse, s=sort)]
    assert len(rows) == len(set(rows)) == 23


def test_a_cursor_belongs_to_its_sort_and_query() -> None:
    client = Client()
    page = client.data("{customers(first:1,sortKey:UPDATED_AT){pageInfo{endCursor}}}")["customers"]
    cursor = page["pageInfo"]["endCursor"]
    text = "query($c:String){customers(first:1,after:$c,sortKey:%s){nodes{id}}}"
    assert client.data(text % "UPDATED_AT", c=cursor)
    assert client.code(text % "ID", c=cursor) == "BAD_REQUEST"
    assert client.code(text % "ID", c="nonsense") == "BAD_REQUEST"


def test_a_row_changed_during_the_walk_is_met_at_its_end() -> None:
    client = Client(shop([customer(n) for n in range(1, 5)]))
    text = (
        "query($after:String){customers(first:2,after:$after,sortKey:UPDATED_AT){nodes{note} pageInfo{hasNextPage endCursor}}}"
    )
    first = client.data(text)["customers"]
    client.add(client.gid(3), "x")
    rest = client.data(text, after=first["pageInfo"]["endCursor"])["customers"]
    assert [r["note"] for r in first["nodes"] + rest["nodes"]] == ["00001", "00002", "00004", "00003"]


@pytest.mark.parametrize(
    ("query", "notes"),
    [
        ("updated_at:>='2025-10-18T12:00:00Z' AND updated_at:<'2025-10-20T12:00:00Z'", ["00001", "00002"]),
        ("updated_at:>'2025-10-18T12:00:00Z'", ["00002", "00003"]),
        ("updated_at:'2025-10-18'", ["00001"]),
        ("tag:blue OR tag:green email:person1@shop.example", ["00001"]),
        ("-tag:BLUE", ["00002", "00003"]),
        ("NOT tag_not:blue", ["00001"]),
        ("(tag:blue OR first_name:Name3)", ["00001", "00003"]),
        ("id:>=7000000000002", ["00002", "00003"]),
        ("email:person2*", ["00002"]),
        ("name3", ["00003"]),
    ],
)
def test_searches_mean_what_the_sheet_says(query: str, notes: list[str]) -> None:
    people = [customer(1, tags={"shopify": ["Blue"]}), customer(2), customer(3)]
    for place, person in enumerate(people):
        person.updated_at = NOW - timedelta(days=399 - place)
    answer = Client(shop(people)).ask("query($q:String){customers(first:9,query:$q){nodes{note}}}", q=query)
    assert [n["note"] for n in answer["data"]["customers"]["nodes"]] == notes
    assert "search" not in answer["extensions"]


def test_times_are_compared_to_the_second_and_greater_leaves_the_second_out() -> None:
    person = customer(1)
    person.updated_at = NOW + timedelta(milliseconds=400)
    client = Client(shop([person]))
    count = "query($q:String){customersCount(query:$q){count}}"
    found = {
        q: client.data(count, q=f"updated_at:{q}'2026-11-21T12:00:00Z'")["customersCount"]["count"]
        for q in (">", ">=", "<", "")
    }
    assert found == {">": 0, ">=": 1, "<": 0, "": 1}


def test_an_unknown_search_field_is_ignored_with_a_warning_and_every_row_comes_back() -> None:
    answer = Client().ask("query($q:String){customers(first:9,query:$q){nodes{id}}}", q="updatedat:>='2030-01-01'")
    assert len(answer["data"]["customers"]["nodes"]) == 3
    (found,) = answer["extensions"]["search"]
    assert found["path"] == ["customers"]
    assert found["warnings"][0]["code"] == "invalid_field"


def test_counts_say_whether_they_are_exact() -> None:
    answer = Client().data("{a:customersCount(limit:2){count precision} b:customersCount(limit:null){count precision}}")
    assert answer == {"a": {"count": 2, "precision": "AT_LEAST"}, "b": {"count": 3, "precision": "EXACT"}}


def test_without_the_history_scope_orders_end_silently_at_sixty_days() -> None:
    rows = [purchase(1, days_ago=61), purchase(2, days_ago=59)]
    client = Client(shop(purchases=rows, history_scope=False))
    answer = client.data(
        "query($i:ID!){orders(first:9){nodes{sourceIdentifier}} ordersCount{count} customer(id:$i){numberOfOrders}}",
        i=client.gid(1),
    )
    assert [n["sourceIdentifier"] for n in answer["orders"]["nodes"]] == ["o2"]
    assert answer["ordersCount"]["count"] == 1
    assert answer["customer"]["numberOfOrders"] == "2"


def test_a_missing_scope_denies_the_field_and_says_which() -> None:
    client = Client(shop(purchases=[purchase(1)]))
    client.simulator.switches.scopes = ["read_orders"]
    answer = client.ask("{orders(first:1){nodes{id customer{id}}}}")
    assert answer["data"]["orders"]["nodes"][0]["customer"] is None
    assert answer["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"
    assert "read_customers" in answer["errors"][0]["extensions"]["requiredAccess"]


def test_amounts_follow_discount_refund_and_cancellation() -> None:
    rows = [
        purchase(1, amounts=("10.00", "20.00"), discount=Decimal("3.00"), code="HELLO", refunded=Decimal("20.00"),
                 refunds=[(NOW, Decimal("20.00"))]),
        purchase(2, amounts=("5.00",), cancelled=True),
        purchase(3, amounts=("11884.90",), test=True),
    ]  # fmt: skip
    money = "shopMoney{amount}"
    nodes = Client(shop(purchases=rows)).data(
        f"""{{orders(first:9,sortKey:ID){{nodes{{ test cancelledAt displayFinancialStatus totalPriceSet{{{money}}}
        currentTotalPriceSet{{{money}}} discountCodes refunds{{ totalRefundedSet{{{money}}} }}
        lineItems(first:5){{ nodes{{ quantity currentQuantity discountedTotalSet{{{money}}} }} }} }} }} }}"""
    )["orders"]["nodes"]
    one, two, three = nodes
    assert one["totalPriceSet"]["shopMoney"]["amount"] == "30.0"
    assert one["currentTotalPriceSet"]["shopMoney"]["amount"] == "10.0"
    assert [line["discountedTotalSet"]["shopMoney"]["amount"] for line in one["lineItems"]["nodes"]] == ["11.0", "22.0"]
    assert [line["currentQuantity"] for line in one["lineItems"]["nodes"]] == [1, 0]
    assert (one["displayFinancialStatus"], one["discountCodes"]) == ("PARTIALLY_REFUNDED", ["HELLO"])
    assert two["cancelledAt"] and two["currentTotalPriceSet"]["shopMoney"]["amount"] == "0.0"
    assert three["test"] and three["totalPriceSet"]["shopMoney"]["amount"] == "11884.9"


def test_refund_lines_are_read_through_their_node() -> None:
    rows = [purchase(1, amounts=("10.00", "20.00"), refunded=Decimal("20.00"), refunds=[(NOW, Decimal("20.00"))])]
    client = Client(shop(purchases=rows))
    gid = client.data("{orders(first:1){nodes{refunds{id}}}}")["orders"]["nodes"][0]["refunds"][0]["id"]
    answer = client.data(
        """query($i:ID!){node(id:$i){... on Refund{refundLineItems(first:9){nodes{quantity lineItem{id}
        subtotalSet{shopMoney{amount}}}}}}}""",
        i=gid,
    )
    (line,) = answer["node"]["refundLineItems"]["nodes"]
    assert line["subtotalSet"]["shopMoney"]["amount"] == "20.0"


def test_the_price_is_stated_and_the_bucket_empties_and_refills() -> None:
    client = Client(limits=Limits(on=True))
    text = "{customers(first:250){nodes{id defaultEmailAddress{emailAddress} defaultAddress{city} lastOrder{id}}}}"
    cost = client.ask(text)["extensions"]["cost"]
    assert cost["actualQueryCost"] < cost["requestedQueryCost"] < 100
    for _ in range(1000):
        answer = client.ask(text)
        if "errors" in answer:
            break
    assert answer["errors"][0]["extensions"]["code"] == "THROTTLED"
    assert "data" not in answer
    cost = answer["extensions"]["cost"]
    assert cost["actualQueryCost"] is None
    missing = cost["requestedQueryCost"] - cost["throttleStatus"]["currentlyAvailable"]
    client.clock.forward(seconds=1 + missing / cost["throttleStatus"]["restoreRate"])
    assert "data" in client.ask(text)


def test_a_query_above_a_thousand_points_is_refused() -> None:
    many = " ".join(f"a{n}:customers(first:250){{nodes{{id defaultAddress{{city}} lastOrder{{id}}}}}}" for n in range(50))
    assert Client().code(f"{{{many}}}") == "MAX_COST_EXCEEDED"


def test_an_old_version_falls_forward_and_only_the_header_says_so() -> None:
    client = Client()
    client.version = "2025-10"
    assert client.post("{shop{name}}").headers["X-Shopify-API-Version"] == "2026-01"
    client.version = "2026-10"
    assert client.post("{shop{name}}").headers["X-Shopify-API-Version"] == "2026-10"


def test_a_wrong_token_gets_a_text_and_a_granted_one_expires() -> None:
    client = Client()
    client.token = "wrong"
    answer = client.post("{shop{name}}")
    assert answer.status == 401 and b'{"errors":"[API] Invalid API key' in answer.body
    form = b"grant_type=client_credentials&client_id=sandbox-client&client_secret=sandbox-secret"
    granted = client.send("POST", "/admin/oauth/access_token", form, content_type="application/x-www-form-urlencoded")
    client.token = re.findall(rb'"access_token":"(.+?)"', granted.body)[0].decode()
    assert client.post("{shop{name}}").status == 200
    client.clock.forward(seconds=86_400)
    assert client.post("{shop{name}}").status == 401


def test_a_client_of_another_organisation_is_told_so() -> None:
    client = Client()
    client.simulator.switches.grant = "shop_not_permitted"
    form = b"grant_type=client_credentials&client_id=sandbox-client&client_secret=sandbox-secret"
    answer = client.send("POST", "/admin/oauth/access_token", form)
    assert answer.status == 400 and b"shop_not_permitted" in answer.body


def test_frozen_and_renamed_shops_answer_so() -> None:
    client = Client()
    client.simulator.switches.is_frozen = True
    assert client.post("{shop{name}}").status == 402
    client.simulator.switches.renamed_to = "new-name.myshopify.com"
    answer = client.post("{shop{name}}")
    assert answer.status == 301 and answer.headers["Location"].startswith("https://new-name.myshopify.com/")


def test_a_plan_may_blank_personal_data() -> None:
    client = Client()
    client.simulator.switches.blank_personal_data = True
    (node, *_) = client.data("{customers(first:1){nodes{id firstName email defaultEmailAddress{emailAddress}}}}")["customers"][
        "nodes"
    ]
    assert (node["firstName"], node["email"], node["defaultEmailAddress"]) == (None, None, None)


def test_the_start_up_probe_tells_scopes_and_versions() -> None:
    answer = Client().data(
        """{ shop{ id myshopifyDomain currencyCode ianaTimezone plan{publicDisplayName} createdAt }
        currentAppInstallation{ accessScopes{handle} } publicApiVersions{ handle supported } }"""
    )
    assert answer["shop"]["ianaTimezone"] == "Europe/Berlin"
    assert {"handle": "read_all_orders"} in answer["currentAppInstallation"]["accessScopes"]
    assert {"handle": "2026-10", "supported": True} in answer["publicApiVersions"]


def test_a_field_the_schema_has_and_the_shop_lacks_answers_with_the_emptiest_value() -> None:
    (node,) = Client(shop(purchases=[purchase(1)])).data(
        "{orders(first:1){nodes{poNumber riskLevel totalWeight merchantEditable}}}"
    )["orders"]["nodes"]
    assert node["poNumber"] is None and node["merchantEditable"] is False


@pytest.mark.parametrize("status", [402, 403, 423])
def test_a_shop_may_be_frozen_in_three_ways(status: int) -> None:
    client = Client()
    client.simulator.switches.is_frozen, client.simulator.switches.frozen_with = True, status
    answer = client.post("{shop{name}}")
    assert (answer.status, answer.body) == (status, b'{"errors":"Unavailable Shop"}')


def test_one_field_may_be_denied_without_a_word_on_a_scope() -> None:
    client = Client(shop(purchases=[purchase(1)]))
    client.simulator.switches.denied_fields = ["Order.email"]
    answer = client.ask("{orders(first:1){nodes{id email}}}")
    (order,) = answer["data"]["orders"]["nodes"]
    assert order["id"] and order["email"] is None
    (error,) = answer["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["orders", "nodes", "email"], "ACCESS_DENIED")
    assert "requiredAccess" not in error["extensions"]


def test_a_list_of_checkouts_without_a_status_may_hold_the_open_ones_only() -> None:
    client = Client()
    client.simulator.world.checkouts[0].cart.completed_at = NOW
    text = "query($q:String){abandonedCheckouts(first:9,query:$q){nodes{id}} abandonedCheckoutsCount(query:$q){count}}"
    for hides, found in ((False, {None: 1, "status:closed": 1, "status:open": 0}), (True, {None: 0, "status:closed": 1})):
        client.simulator.switches.hides_closed = hides
        for query, count in found.items():
            answer = client.data(text, q=query)
            assert (len(answer["abandonedCheckouts"]["nodes"]), answer["abandonedCheckoutsCount"]["count"]) == (count, count)


def test_nothing_personal_is_left_of_a_person_who_was_erased() -> None:
    client = Client(shop([customer(1, phone="+49301", city="Bonn"), customer(2)], [purchase(1)]))
    client.simulator.change("00001", {"consent": "redacted"})
    erased, other = client.data(
        """{customers(first:2){nodes{note firstName defaultEmailAddress{emailAddress} defaultPhoneNumber{phoneNumber}
        defaultAddress{city} numberOfOrders}}}"""
    )["customers"]["nodes"]
    assert erased == {
        "note": "00001", "firstName": None, "defaultEmailAddress": None, "defaultPhoneNumber": None, "defaultAddress": None,
        "numberOfOrders": "1",
    }  # fmt: skip
    assert other["defaultEmailAddress"]


def test_an_imported_order_was_placed_before_it_was_made() -> None:
    made = (NOW - timedelta(days=2)).isoformat()
    client = Client(shop(purchases=[purchase(1, days_ago=100, source={"imported_at": made})], history_scope=False))
    (order,) = client.data("{orders(first:1){nodes{createdAt processedAt updatedAt}}}")["orders"]["nodes"]
    assert order["processedAt"] < order["createdAt"] == order["updatedAt"] == "2026-11-19T12:00:00Z"
