"""The simulator seen through HubSpot's own Python client: what its models cannot read, or would drop, is not HubSpot's shape.

The client still speaks /crm/v3 and /crm/v4; the only thing between is a rewrite of the paths to the dated ones.
"""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
import pytest

from connector.sandbox.base import Request
from connector.sandbox.hubspot import HubspotSimulator
from tests.sandbox.hubspot_calls import VERSION, Account, people, purchase, shop

hubspot = pytest.importorskip("hubspot")
NEWER = {"dataSensitivity"}  # in answers since the client was made
DATED = ((r"^/crm/v[34]/(objects|properties|lists|associations|pipelines|owners)", rf"/crm/\1/{VERSION}"),)


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
    return Account(shop(people(130), [purchase(1, "00001"), purchase(2, "00002")]))


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
