"""The simulator seen through HubSpot's own Python client: what its models cannot read, or would drop, is not HubSpot's shape.

The client still speaks /crm/v3 and /crm/v4; the only thing between is a rewrite of the paths to the dated ones.
"""

from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
import pytest

from connector.sandbox.base import Limits, Request
from connector.sandbox.hubspot import HubspotSimulator
from connector.sandbox.shop import Mailing
from tests.sandbox.hubspot_calls import NOON, VERSION, Account, people, purchase, shop

hubspot = pytest.importorskip("hubspot")
NEWER = {"dataSensitivity", "primaryEmailCampaignId", "allEmailCampaignIds"}  # in answers since the client was made
DATED = (
    (r"^/crm/v[34]/(objects|properties|lists|associations|pipelines|owners)", rf"/crm/\1/{VERSION}"),
    (r"^/marketing/v3/emails/?", rf"/marketing/emails/{VERSION}/"),
)


class Wire:
    """Stands where the client's connection pool stands. Keeps the last answer as it was sent."""

    def __init__(self, simulator: HubspotSimulator) -> None:
        self.simulator = simulator
        self.sent: Any = None

    def request(self, method: str, url: str, body: Any = None, fields: Any = None, headers: Any = None, **_: Any) -> Any:
        parts = urlsplit(url)
        path = unquote(parts.path)
        for old, new in DATED:
            path = re.sub(old, new, path)
        query = parse_qs(parts.query, keep_blank_values=True)
        for name, value in fields or ():
            query.setdefault(name, []).append(str(value))
        data = body.encode() if isinstance(body, str) else body or b""
        known = {key.lower(): value for key, value in headers.items()}
        answer = self.simulator.handle(Request(method, path, query, known, data))
        self.sent = orjson.loads(answer.body) if answer.body else None
        return SimpleNamespace(
            status=answer.status, reason="", data=answer.body, getheaders=lambda: answer.headers,
            getheader=lambda name, default=None: {k.lower(): v for k, v in answer.headers.items()}.get(name.lower(), default),
            headers=answer.headers,
        )  # fmt: skip


@pytest.fixture
def account() -> Account:
    mailings = [Mailing(f"m{n}", f"News {n}", "Hello", NOON - timedelta(days=n), ["00001"]) for n in range(1, 4)]
    one = people(130)
    one[0].extra = {
        "hubspot": {
            "company": {"name": "Acme"}, "deals": [{"dealname": "won", "amount": "9"}], "tickets": [{"subject": "late"}],
        }
    }  # fmt: skip
    return Account(shop(one, [purchase(1, "00001"), purchase(2, "00002")], mailings))


@pytest.fixture
def wire(account: Account) -> Wire:
    return Wire(account.sim)


@pytest.fixture
def client(wire: Wire) -> Any:
    def factory(package: Any, name: str, config: dict[str, Any]) -> Any:
        configuration = package.Configuration()
        configuration.access_token = config["access_token"]
        api_client = package.ApiClient(configuration=configuration)
        api_client.rest_client.pool_manager = wire
        return getattr(package, name)(api_client=api_client)

    return hubspot.Client.create(access_token="pat-eu1-sandbox", api_factory=factory)


def dropped(model: Any, sent: Any, at: str = "") -> list[str]:
    """Keys of our answer that the vendor's model has no place for."""
    if isinstance(sent, list):
        return [name for one, other in zip(model or [], sent, strict=False) for name in dropped(one, other, at)]
    if not isinstance(sent, dict) or not hasattr(model, "attribute_map"):
        return []
    places = {key: attribute for attribute, key in model.attribute_map.items()}
    own = [f"{at}{key}" for key in sent if key not in places and key not in NEWER]
    return own + [
        name for key, value in sent.items() if key in places
        for name in dropped(getattr(model, places[key]), value, f"{at}{key}.")
    ]  # fmt: skip


def test_contacts_page_by_page(client: Any, wire: Wire) -> None:
    seen, after = [], None
    while True:
        page = client.crm.contacts.basic_api.get_page(limit=50, after=after, properties=["email", "hs_email_optout"])
        assert dropped(page, wire.sent) == []
        seen += [one.id for one in page.results]
        if page.paging is None:
            break
        after = page.paging.next.after
    assert len(seen) == len(set(seen)) == 130
    assert page.results[0].properties["email"].endswith("@shop.example")
    assert page.results[0].archived is False
    assert page.results[0].updated_at.year == 2026


def test_archived_contacts(client: Any, account: Account, wire: Wire) -> None:
    account.sim.change("00005", {"deleted": True})
    page = client.crm.contacts.basic_api.get_page(limit=100, archived=True)
    assert [one.archived for one in page.results] == [True]
    assert page.results[0].archived_at is not None
    assert dropped(page, wire.sent) == []


def test_batch_read_with_an_id_that_is_not_there(client: Any, account: Account, wire: Wire) -> None:
    body = {"properties": ["email"], "propertiesWithHistory": [], "inputs": [{"id": account.contact_id(1)}, {"id": "4711"}]}
    answer = client.crm.contacts.batch_api.read(body)
    assert [one.id for one in answer.results] == [account.contact_id(1)]
    assert (answer.num_errors, answer.errors[0].category, answer.errors[0].context["ids"]) == (1, "OBJECT_NOT_FOUND", ["4711"])
    assert dropped(answer, wire.sent) == []


def test_search(client: Any, wire: Wire) -> None:
    row = {"propertyName": "hs_object_id", "operator": "GT", "value": "0"}
    body = {
        "filterGroups": [{"filters": [row]}], "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": ["hs_object_id"], "limit": 100,
    }  # fmt: skip
    found = client.crm.contacts.search_api.do_search(body)
    assert (found.total, len(found.results), found.paging.next.after) == (130, 100, "100")
    assert dropped(found, wire.sent) == []


def test_a_batch_update_that_is_refused_and_one_that_is_not(client: Any, account: Account, wire: Wire) -> None:
    api = client.crm.contacts.batch_api
    answer = api.update({"inputs": [{"id": account.contact_id(1), "properties": {"city": "Rome"}}]})
    assert (answer.status, answer.results[0].properties["city"]) == ("COMPLETE", "Rome")
    assert dropped(answer, wire.sent) == []
    with pytest.raises(hubspot.crm.contacts.ApiException) as refused:
        api.update({"inputs": [{"id": account.contact_id(1), "properties": {"no_such": "1"}}]})
    body = orjson.loads(refused.value.body)
    assert (refused.value.status, body["category"]) == (400, "VALIDATION_ERROR")
    assert orjson.loads(body["message"].partition(": ")[2])[0]["error"] == "PROPERTY_DOESNT_EXIST"
    assert hubspot.crm.contacts.Error(correlation_id=body["correlationId"], message=body["message"], category="x")


def test_errors_are_read_as_hubspots(client: Any, wire: Wire) -> None:
    with pytest.raises(hubspot.crm.contacts.exceptions.NotFoundException):
        client.crm.contacts.basic_api.get_by_id("4711")
    error = hubspot.crm.contacts.Error
    assert set(wire.sent) <= {*error.attribute_map.values(), "status"}
    wire.simulator.switches.scopes.discard("crm.objects.contacts.read")
    with pytest.raises(hubspot.crm.contacts.exceptions.ForbiddenException):
        client.crm.contacts.basic_api.get_page()
    wire.simulator.switches.tokens = set()
    with pytest.raises(hubspot.crm.contacts.exceptions.UnauthorizedException):
        client.crm.contacts.basic_api.get_page()


def test_lists_and_their_members(client: Any, account: Account, wire: Wire) -> None:
    api, members = client.crm.lists.lists_api, client.crm.lists.memberships_api
    made = api.create({"name": "Rollcall: VIP", "objectTypeId": "0-1", "processingType": "MANUAL"})
    assert dropped(made, wire.sent) == []
    list_id = made.list.list_id
    by_name = api.get_by_name(list_name="Rollcall: VIP", object_type_id="0-1")
    assert by_name.list.list_id == list_id
    assert api.get_by_id(list_id).list.processing_type == "MANUAL"
    ids = [account.contact_id(n) for n in range(1, 121)]
    answer = members.add_and_remove(list_id, {"recordIdsToAdd": [*ids, "4711"], "recordIdsToRemove": []})
    assert dropped(answer, wire.sent) == []
    assert (len(answer.records_ids_added), answer.record_ids_missing) == (120, ["4711"])
    page = members.get_page(list_id, limit=100)
    assert dropped(page, wire.sent) == []
    rest = members.get_page(list_id, limit=100, after=page.paging.next.after)
    assert [one.record_id for one in (*page.results, *rest.results)] == ids
    found = api.do_search(
        {"query": "Roll", "count": 10, "offset": 0, "additionalProperties": [], "processingTypes": ["MANUAL"]}
    )
    assert (found.total, [one.list_id for one in found.lists]) == (1, [list_id])


def test_properties_and_groups(client: Any, wire: Wire) -> None:
    groups, core = client.crm.properties.groups_api, client.crm.properties.core_api
    assert groups.create("contacts", {"name": "rollcall", "label": "Rollcall", "displayOrder": -1}).name == "rollcall"
    option = {"label": "VIP", "value": "vip", "displayOrder": 0, "hidden": False}
    body = {
        "groupName": "rollcall", "name": "rollcall_segments", "label": "Segments", "type": "enumeration",
        "fieldType": "checkbox", "formField": False, "options": [option],
    }  # fmt: skip
    made = core.create("contacts", body)
    assert dropped(made, wire.sent) == []
    assert (made.options[0].value, made.modification_metadata.read_only_value) == ("vip", False)
    with pytest.raises(hubspot.crm.properties.ApiException) as twice:
        core.create("contacts", body)
    assert twice.value.status == 409
    merged = [option, {**option, "label": "New", "value": "new", "displayOrder": 1}]
    assert [o.value for o in core.update("contacts", "rollcall_segments", {"options": merged}).options] == ["vip", "new"]
    everything = core.get_all("contacts")
    assert dropped(everything, wire.sent) == []


def test_associations_of_orders(client: Any, account: Account, wire: Wire) -> None:
    orders = [str(i) for i in account.sim.crm.tables["orders"].ids]
    answer = client.crm.associations.v4.batch_api.get_page("orders", "contacts", {"inputs": [{"id": i} for i in orders]})
    assert dropped(answer, wire.sent) == []
    found = {row._from.id: [str(to.to_object_id) for to in row.to] for row in answer.results}
    assert found == {orders[0]: [account.contact_id(1)], orders[1]: [account.contact_id(2)]}


def test_pipelines(client: Any, wire: Wire) -> None:
    found = client.crm.pipelines.pipelines_api.get_all("deals")
    assert [stage.metadata["probability"] for stage in found.results[0].stages][-2:] == ["1.0", "0.0"]
    assert dropped(found, wire.sent) == []


@pytest.mark.parametrize("kind", ["orders", "deals", "companies", "tickets", "products", "line_items"])
def test_every_object_we_read_by_page_by_batch_and_by_search(client: Any, wire: Wire, kind: str) -> None:
    objects = client.crm.objects
    page = objects.basic_api.get_page(kind, limit=100, properties=["hs_object_id", "hs_merged_object_ids"])
    assert dropped(page, wire.sent) == []
    ids = [one.id for one in page.results]
    body = {"properties": ["hs_object_id"], "propertiesWithHistory": [], "inputs": [{"id": i} for i in ids]}
    batch = objects.batch_api.read(kind, body)
    assert dropped(batch, wire.sent) == []
    changed = {"propertyName": "hs_lastmodifieddate", "operator": "BETWEEN", "value": "1000", "highValue": "1900000000000"}
    keyset = {"propertyName": "hs_object_id", "operator": "GT", "value": "0"}
    query = {
        "filterGroups": [{"filters": [changed, keyset]}], "properties": ["hs_object_id"], "limit": 200, "after": "0",
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
    }  # fmt: skip
    found = objects.search_api.do_search(kind, query)
    assert dropped(found, wire.sent) == []
    assert ids and sorted(one.id for one in batch.results) == sorted(ids) == sorted(one.id for one in found.results)


def test_a_batch_update_of_which_some_rows_fail(client: Any, account: Account, wire: Wire) -> None:
    account.sim.switches.rows_fail_alone = True
    rows = [
        {"id": account.contact_id(1), "objectWriteTraceId": "r-1", "properties": {"city": "Rome"}},
        {"id": account.contact_id(2), "objectWriteTraceId": "r-2", "properties": {"lifecyclestage": "no such stage"}},
        {"id": "4711", "objectWriteTraceId": "r-3", "properties": {"city": "Rome"}},
    ]
    answer = client.crm.contacts.batch_api.update({"inputs": rows})
    assert (answer.num_errors, [one.id for one in answer.results]) == (2, [account.contact_id(1)])
    assert [e.context["objectWriteTraceId"] for e in answer.errors] == [["r-2"], ["r-3"]]
    assert orjson.loads(answer.errors[0].message.partition(": ")[2])[0]["error"] == "INVALID_OPTION"
    assert set(wire.sent["errors"][0]) <= set(type(answer.errors[0]).attribute_map.values())


def test_a_merged_contact_answers_under_its_new_id(client: Any, account: Account) -> None:
    old = account.contact_id(1)
    survivor = account.sim.merge("00001", "00002")
    assert survivor is not None
    found = client.crm.contacts.basic_api.get_by_id(old, properties=["hs_merged_object_ids"])
    assert (found.id, old in found.properties["hs_merged_object_ids"].split(";")) == (str(survivor.id), True)


def test_a_search_beyond_ten_thousand_and_a_full_bucket(client: Any, account: Account) -> None:
    api, errors = client.crm.contacts.search_api, hubspot.crm.contacts
    with pytest.raises(errors.ApiException) as beyond:
        api.do_search({"filterGroups": [], "properties": [], "sorts": [], "limit": 200, "after": "10000"})
    assert (beyond.value.status, orjson.loads(beyond.value.body)["category"]) == (400, "VALIDATION_ERROR")
    account.sim.buckets.limits = Limits(on=True)
    with pytest.raises(errors.ApiException) as limited:
        for _ in range(101):
            client.crm.contacts.basic_api.get_page(limit=1)
    body = orjson.loads(limited.value.body)
    assert (limited.value.status, body["policyName"], body["errorType"]) == (429, "TEN_SECONDLY_ROLLING", "RATE_LIMIT")


def test_associations_over_several_pages(client: Any, account: Account, wire: Wire) -> None:
    account.sim.switches.association_page = 1
    one = account.contact_id(1)
    api = client.crm.associations.v4.batch_api
    company, order = (next(iter(account.sim.crm.tables[kind].live)) for kind in ("companies", "orders"))
    account.sim.crm.associate("orders", order, "contacts", int(account.contact_id(2)))
    seen, inputs = [], [{"id": str(order)}]
    while inputs:
        answer = api.get_page("orders", "contacts", {"inputs": inputs})
        assert dropped(answer, wire.sent) == []
        seen += [str(to.to_object_id) for row in answer.results for to in row.to]
        inputs = [{"id": row._from.id, "after": row.paging.next.after} for row in answer.results if row.paging]
    assert seen == [one, account.contact_id(2)]
    linked = api.get_page("contacts", "companies", {"inputs": [{"id": one}]})
    assert str(linked.results[0].to[0].to_object_id) == str(company)
    assert [t.type_id for t in linked.results[0].to[0].association_types] == [1, 279]


def test_lists_that_are_taken_deleted_or_fill_themselves(client: Any, account: Account, wire: Wire) -> None:
    api, members, folders = client.crm.lists.lists_api, client.crm.lists.memberships_api, client.crm.lists.folders_api
    made = api.create({"name": "VIP", "objectTypeId": "0-1", "processingType": "MANUAL"}).list.list_id
    with pytest.raises(hubspot.crm.lists.ApiException) as taken:
        api.create({"name": "VIP", "objectTypeId": "0-1", "processingType": "MANUAL"})
    assert orjson.loads(taken.value.body)["subCategory"] == "ILS.DUPLICATE_LIST_NAMES"
    dynamic = account.sim.add_list("Theirs", "DYNAMIC")
    with pytest.raises(hubspot.crm.lists.ApiException) as refused:
        members.add_and_remove(str(dynamic.id), {"recordIdsToAdd": [account.contact_id(1)], "recordIdsToRemove": []})
    assert refused.value.status == 400
    folder = folders.create({"name": "Rollcall", "parentFolderId": "0"})
    assert dropped(folder, wire.sent) == []
    tree = folders.get_all()
    assert dropped(tree, wire.sent) == []
    assert [child.name for child in tree.folder.child_nodes] == ["Rollcall"]
    api.remove(made)
    with pytest.raises(hubspot.crm.lists.ApiException) as gone:
        api.get_by_id(made)
    assert gone.value.status == 404
    api.restore(made)
    assert api.get_by_id(made).list.name == "VIP"


def test_a_property_that_is_not_there_and_one_that_is_ours(client: Any, wire: Wire) -> None:
    core = client.crm.properties.core_api
    with pytest.raises(hubspot.crm.properties.ApiException) as missing:
        core.get_by_name("contacts", "rollcall_segments")
    assert (missing.value.status, orjson.loads(missing.value.body)["category"]) == (404, "OBJECT_NOT_FOUND")
    found = core.get_by_name("contacts", "hs_email_optout")
    assert dropped(found, wire.sent) == []
    assert (found.hubspot_defined, found.modification_metadata.read_only_value) == (True, True)


def test_marketing_emails_and_their_numbers(client: Any, wire: Wire) -> None:
    api = client.marketing.emails.marketing_emails_api
    names, after = [], None
    while True:
        page = api.get_page(limit=2, **({"after": after} if after else {}))
        names += [one.name for one in page.results]
        if page.paging is None:
            break
        after = page.paging.next.after
    assert sorted(names) == ["News 1", "News 2", "News 3"]
    counted = api.get_page(limit=100, include_stats=True)
    assert {one.stats.counters["sent"] for one in counted.results} == {1}
    assert len(counted.results) == 2, "one is hidden, as in the real account"
    assert dropped(counted, wire.sent) == []
