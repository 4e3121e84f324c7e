"""The simulated Shopify takes writes as the sheet says: tags, metafields, segments, bulk operations and uploads."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.sandbox.shopify_calls import Client, customer, purchase, shop

RUN = "mutation($q:String!,$g:Boolean!=false){bulkOperationRunQuery(query:$q,groupObjects:$g){bulkOperation{id status} userErrors{message code field}}}"  # noqa: E501  # one document
POLL = "query($i:ID!){bulkOperation(id:$i){status errorCode objectCount rootObjectCount fileSize url partialDataUrl query}}"
ORDERS = "{orders{edges{node{__typename id lineItems{edges{node{__typename id quantity}}}}}}}"


def finished(client: Client, text: str, **more: Any) -> dict[str, Any]:
    started = client.data(RUN, q=text, **more)["bulkOperationRunQuery"]
    assert started["userErrors"] == []
    for _ in range(5):
        job: dict[str, Any] = client.data(POLL, i=started["bulkOperation"]["id"])["bulkOperation"]
        if job["status"] not in ("CREATED", "RUNNING"):
            break
    return job


def lines(client: Client, url: str) -> list[dict[str, Any]]:
    answer = client.send("GET", url.removeprefix("http://sandbox.test/shopify"))
    assert answer.status == 200
    return [orjson.loads(line) for line in answer.body.splitlines()]


def refused(client: Client, text: str) -> str:
    (problem,) = client.data(RUN, q=text)["bulkOperationRunQuery"]["userErrors"]
    assert problem["code"] == "INVALID"
    return str(problem["message"])


def test_tags_are_split_trimmed_sorted_and_compared_without_case() -> None:
    client = Client()
    assert client.add(client.gid(1), "b, a ,  c", "VIP", "vip")["node"]["tags"] == ["a", "b", "c", "VIP"]
    assert client.add(client.gid(1), "A", "Vip")["node"]["tags"] == ["a", "b", "c", "VIP"]
    text = 'mutation($i:ID!){tagsRemove(id:$i,tags:["B","never there"]){node{... on Customer{tags}} userErrors{message}}}'
    assert client.data(text, i=client.gid(1))["tagsRemove"] == {"node": {"tags": ["a", "c", "VIP"]}, "userErrors": []}
    kinds = [(e["kind"], e["object"]) for e in client.simulator.effects]
    assert kinds == [("tag_added", "b"), ("tag_added", "a"), ("tag_added", "c"), ("tag_added", "VIP"), ("tag_removed", "b")]


def test_tags_have_limits() -> None:
    client = Client(shop([customer(1, tags={"shopify": [f"t{n}" for n in range(249)]})]))
    assert client.add(client.gid(1), "one more")["userErrors"] == []
    assert client.add(client.gid(1), "too many")["userErrors"] == [
        {"field": ["tags"], "message": "Tags cannot be more than 250"}
    ]
    assert "too long" in client.add(client.gid(1), "x" * 256)["userErrors"][0]["message"]
    assert len(client.tags(1)) == 250


def test_an_unknown_and_a_merged_customer_do_not_exist() -> None:
    client = Client(shop(purchases=[purchase(1, "00002")]))
    gone = client.gid(2)
    client.simulator.merge("00001", "00002")
    for gid in (gone, "gid://shopify/Customer/1"):
        answer = client.add(gid, "x")
        assert answer == {"node": None, "userErrors": [{"field": ["id"], "message": "Customer does not exist"}]}
    assert client.data("{customers(first:9){nodes{note numberOfOrders}}}")["customers"]["nodes"] == [
        {"note": "00001", "numberOfOrders": "1"},
        {"note": "00003", "numberOfOrders": "0"},
    ]


def test_a_tag_moves_the_date_and_the_search_index_trails() -> None:
    client = Client()
    client.simulator.switches.index_lag_s = 60
    client.clock.forward(hours=1)
    client.add(client.gid(1), "fresh")
    found = '{customers(first:9,query:"tag:fresh"){nodes{tags updatedAt}}}'
    assert client.data(found)["customers"]["nodes"] == []
    client.clock.forward(seconds=61)
    assert client.data(found)["customers"]["nodes"] == [{"tags": ["fresh"], "updatedAt": "2026-11-21T13:00:00Z"}]


def test_an_automation_counts_the_mails_that_a_tag_starts_once() -> None:
    client = Client()
    client.simulator.switches.automations = {"welcome back": 3}
    for _ in range(2):
        client.add(client.gid(1), "Welcome Back")
    assert client.simulator.dump()["mails_started"] == 3


def test_writing_takes_the_scope_for_it() -> None:
    client = Client()
    client.simulator.switches.scopes = ["read_customers"]
    text = 'mutation($i:ID!){tagsAdd(id:$i,tags:["x"]){userErrors{message}}}'
    answer = client.ask(text, i=client.gid(1))
    assert answer["errors"][0]["extensions"]["code"] == "ACCESS_DENIED"
    assert (answer["data"]["tagsAdd"], client.tags(1), client.simulator.effects) == (None, [], [])


def test_metafields_are_all_or_nothing_and_compare_and_set() -> None:
    client = Client()
    text = """mutation($m:[MetafieldsSetInput!]!){metafieldsSet(metafields:$m){metafields{value compareDigest}
        userErrors{code elementIndex}}}"""
    one = {"ownerId": client.gid(1), "namespace": "a", "key": "score", "value": "1", "type": "number_integer"}
    bad = {**one, "ownerId": "gid://shopify/Customer/1"}
    assert client.data(text, m=[one, bad])["metafieldsSet"]["userErrors"][0]["elementIndex"] == 1
    read = 'query($i:ID!){customer(id:$i){metafield(namespace:"a",key:"score"){value}}}'
    assert client.data(read, i=client.gid(1))["customer"]["metafield"] is None
    digest = client.data(text, m=[one])["metafieldsSet"]["metafields"][0]["compareDigest"]
    assert client.data(text, m=[{**one, "value": "2", "compareDigest": digest}])["metafieldsSet"]["userErrors"] == []
    stale = client.data(text, m=[{**one, "value": "3", "compareDigest": digest}])["metafieldsSet"]["userErrors"]
    assert stale[0]["code"] == "STALE_OBJECT"


def test_a_segment_name_that_is_taken_is_numbered_and_members_follow_the_tag() -> None:
    client = Client()
    text = """mutation($q:String!){segmentCreate(name:"At risk",query:$q){segment{id name} userErrors{field message}}}"""
    query = "customer_tags CONTAINS 'seg:at-risk'"
    made = [client.data(text, q=query)["segmentCreate"]["segment"] for _ in range(2)]
    assert [s["name"] for s in made] == ["At risk", "At risk (2)"]
    assert client.data(text, q="a")["segmentCreate"]["userErrors"][0]["field"] == ["query"]
    client.add(client.gid(2), "seg:at-risk")
    members = "query($i:ID!){customerSegmentMembers(first:10,segmentId:$i){totalCount edges{node{displayName}}}}"
    assert client.data(members, i=made[0]["id"])["customerSegmentMembers"]["totalCount"] == 1


def test_a_bulk_export_holds_every_row_with_children_apart_from_their_parents() -> None:
    client = Client(shop(purchases=[purchase(n, amounts=("1.00", "2.00")) for n in range(1, 8)]))
    job = finished(client, ORDERS)
    rows = lines(client, job["url"])
    assert (job["status"], job["objectCount"], job["rootObjectCount"]) == ("COMPLETED", "21", "7")
    assert job["query"] == ORDERS
    parents = [r["id"] for r in rows if "__parentId" not in r]
    children = [r for r in rows if "__parentId" in r]
    assert len(rows) == 21 and {c["__parentId"] for c in children} == set(parents)
    assert [r["__typename"] for r in rows[:2]] == ["Order", "Order"], "children do not stand behind their parent"
    grouped = lines(client, finished(client, ORDERS, g=True)["url"])
    assert [r["__typename"] for r in grouped[:3]] == ["Order", "LineItem", "LineItem"]


def test_a_bulk_export_without_rows_has_no_address() -> None:
    job = finished(Client(), "{orders(query:\"updated_at:>='2030-01-01'\"){edges{node{id}}}}")
    assert (job["status"], job["url"], job["objectCount"]) == ("COMPLETED", None, "0")


def test_a_bulk_result_is_read_without_a_token_in_ranges_and_for_seven_days() -> None:
    client = Client(shop(purchases=[purchase(1)]))
    job = finished(client, ORDERS)
    path = job["url"].removeprefix("http://sandbox.test/shopify")
    whole = client.send("GET", path).body
    part = client.send("GET", path, range="bytes=10-")
    assert (part.status, part.body) == (206, whole[10:])
    client.clock.forward(days=8)
    client.data("{bulkOperations(first:5){nodes{id}}}")
    assert client.send("GET", path).status == 404


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{shop{name}}", "at least one connection"),
        ('{node(id:"gid://shopify/Customer/1"){id}}', "top level `node` field"),
        ("{customers{nodes{id}}}", "'edges' > 'node'"),
        ("{orders{edges{node{name lineItems{edges{node{id}}}}}}}", "must select the 'id' field"),
        ("{orders{edges{node{id refunds{id refundLineItems{edges{node{id}}}}}}}}", "within a list field"),
        ("{customers{edges{node{id}}} orders{edges{node{id}}}}", "one top level connection"),
        (
            "{customers{edges{node{id orders{edges{node{id lineItems{edges{node{id "
            "product{id variants{edges{node{id}}}}}}}}}}}}}}",
            "nesting depth greater than 2",
        ),
        ("{customers{edges{node{id shoeSize}}}}", "doesn't exist"),
        ("{customers{edges{node{id}}}}" + "#" * 65_536, "too large"),
    ],
)
def test_bulk_rules_are_refused_as_user_errors(text: str, words: str) -> None:
    assert words in refused(Client(), text)


def test_the_sixth_bulk_operation_has_to_wait() -> None:
    client = Client()
    client.simulator.switches.bulk_polls = 99
    ids = [client.data(RUN, q=ORDERS)["bulkOperationRunQuery"]["bulkOperation"]["id"] for _ in range(5)]
    (problem,) = client.data(RUN, q=ORDERS)["bulkOperationRunQuery"]["userErrors"]
    assert (problem["code"], problem["field"]) == ("OPERATION_IN_PROGRESS", None)
    assert all(gid in problem["message"] for gid in ids)
    client.data("mutation($i:ID!){bulkOperationCancel(id:$i){bulkOperation{status} userErrors{message}}}", i=ids[0])
    assert client.data(POLL, i=ids[0])["bulkOperation"]["status"] == "CANCELED"
    assert client.data(RUN, q=ORDERS)["bulkOperationRunQuery"]["userErrors"] == []
    found = client.data('{bulkOperations(first:9,query:"operation_type:query status:running"){nodes{id}}}')
    assert len(found["bulkOperations"]["nodes"]) == 5


def test_a_job_fails_on_request_with_part_of_its_rows_and_without_scope_with_none() -> None:
    client = Client(shop(purchases=[purchase(n) for n in range(1, 8)]))
    client.simulator.switches.fail_bulk = 1
    job = finished(client, ORDERS)
    assert (job["status"], job["errorCode"], job["url"]) == ("FAILED", "INTERNAL_SERVER_ERROR", None)
    assert 0 < len(lines(client, job["partialDataUrl"])) < 14
    client.simulator.switches.fail_bulk, client.simulator.switches.fail_bulk_with = 1, "CANCELED"
    job = finished(client, ORDERS)
    assert (job["status"], job["errorCode"]) == ("CANCELED", None) and lines(client, job["partialDataUrl"])
    client.simulator.switches.scopes = ["read_customers"]
    assert finished(client, ORDERS)["errorCode"] == "ACCESS_DENIED"


def test_a_bulk_mutation_runs_once_per_line_and_goes_on_after_a_bad_one() -> None:
    client = Client()
    target = staged(client)
    body = b"\n".join(
        orjson.dumps({"i": gid, "t": ["x"]}) for gid in (client.gid(1), "gid://shopify/Customer/1", client.gid(2))
    )
    assert upload(client, target, body).status == 201
    document = "mutation($i:ID!,$t:[String!]!){tagsAdd(id:$i,tags:$t){node{id} userErrors{message}}}"
    run = """mutation($m:String!,$p:String!){bulkOperationRunMutation(mutation:$m,stagedUploadPath:$p){bulkOperation{id}
        userErrors{message code}}}"""
    key = next(p["value"] for p in target["parameters"] if p["name"] == "key")
    started = client.data(run, m=document, p=key)["bulkOperationRunMutation"]
    for _ in range(2):
        job = client.data(POLL, i=started["bulkOperation"]["id"])["bulkOperation"]
    rows = lines(client, job["url"])
    assert [r["__lineNumber"] for r in rows] == [0, 1, 2]
    assert rows[1]["data"]["tagsAdd"]["userErrors"][0]["message"] == "Customer does not exist"
    assert (client.tags(1), client.tags(2)) == (["x"], ["x"])
    two = document.replace("tagsAdd", "a:tagsAdd", 1).removesuffix("}") + " b:tagsAdd(id:$i,tags:$t){node{id}}}"
    assert "single top level" in client.data(run, m=two, p=key)["bulkOperationRunMutation"]["userErrors"][0]["message"]


def test_an_upload_with_the_file_first_is_refused() -> None:
    client = Client()
    assert upload(client, staged(client), b"{}", is_file_first=True).status == 403


def staged(client: Client) -> dict[str, Any]:
    text = """mutation{stagedUploadsCreate(input:[{resource:BULK_MUTATION_VARIABLES,filename:"t.jsonl",mimeType:"text/jsonl",
        httpMethod:POST}]){stagedTargets{url parameters{name value}} userErrors{message}}}"""
    target: dict[str, Any] = client.data(text)["stagedUploadsCreate"]["stagedTargets"][0]
    return target


def upload(client: Client, target: dict[str, Any], content: bytes, *, is_file_first: bool = False) -> Any:
    file = ('form-data; name="file"; filename="t.jsonl"', content)
    parts = [(f'form-data; name="{p["name"]}"', p["value"].encode()) for p in target["parameters"]]
    parts = [file, *parts] if is_file_first else [*parts, file]
    body = b"".join(b"--XX\r\nContent-Disposition: " + head.encode() + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    path = target["url"].removeprefix("http://sandbox.test/shopify")
    return client.send("POST", path, body + b"--XX--\r\n", content_type="multipart/form-data; boundary=XX")
