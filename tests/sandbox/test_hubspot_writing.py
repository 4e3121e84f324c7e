"""The simulated HubSpot's writing side: batches of values, definitions, rules, locks."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from connector.sandbox.hubspot_settings import WriteRule
from tests.sandbox.hubspot_calls import CONTACTS, VERSION, Account, people, shop

PROPERTIES = f"/crm/properties/{VERSION}/contacts"
TAGS = {"groupName": "sync", "name": "sync_tags", "label": "Segments", "type": "enumeration", "fieldType": "checkbox"}


def options(*values: str) -> list[dict[str, Any]]:
    return [{"label": value.title(), "value": value} for value in values]


@pytest.fixture
def account() -> Account:
    account = Account(shop(people(5)))
    assert account.post(PROPERTIES + "/groups", {"name": "sync", "label": "Sync"})[0] == 201
    assert account.post(PROPERTIES, {**TAGS, "options": options("vip", "at_risk")})[0] == 201
    return account


def update(account: Account, *rows: tuple[str, dict[str, str]]) -> tuple[int, Any]:
    inputs = [{"id": i, "objectWriteTraceId": f"r-{i}", "properties": properties} for i, properties in rows]
    return account.post(CONTACTS + "/batch/update", {"inputs": inputs})


def tags(account: Account, number: int) -> str | None:
    _, body = account.get(f"{CONTACTS}/{account.contact_id(number)}", properties="sync_tags")
    value: str | None = body["properties"]["sync_tags"]
    return value


def test_a_multi_select_is_set_added_to_and_cleared(account: Account) -> None:
    one = account.contact_id(1)
    assert update(account, (one, {"sync_tags": "vip"}))[0] == 200
    update(account, (one, {"sync_tags": ";at_risk"}))
    assert tags(account, 1) == "vip;at_risk"
    update(account, (one, {"sync_tags": "at_risk"}))
    assert tags(account, 1) == "at_risk"
    update(account, (one, {"sync_tags": ""}))
    assert tags(account, 1) is None


def test_one_bad_option_refuses_the_whole_batch(account: Account) -> None:
    status, body = update(account, (account.contact_id(1), {"sync_tags": "vip"}), (account.contact_id(2), {"sync_tags": "VIP"}))
    assert status == 400 and body["category"] == "VALIDATION_ERROR"
    inner = orjson.loads(body["message"].partition(": ")[2])
    assert inner[0]["error"] == "INVALID_OPTION" and "was not one of the allowed options" in inner[0]["message"]
    assert tags(account, 1) is None
    status, body = update(account, (account.contact_id(1), {"no_such": "1"}))
    assert status == 400 and "PROPERTY_DOESNT_EXIST" in body["message"]
    assert "READ_ONLY_VALUE" in update(account, (account.contact_id(1), {"hs_email_optout": "false"}))[1]["message"]


def test_where_rows_fail_alone_the_others_go_through_with_207(account: Account) -> None:
    account.sim.switches.rows_fail_alone = True
    good, bad = account.contact_id(1), account.contact_id(2)
    status, body = update(account, (good, {"sync_tags": "vip"}), (bad, {"sync_tags": "gold"}), ("4711", {"sync_tags": "vip"}))
    assert status == 207 and body["numErrors"] == 2
    assert [row["context"]["ids"] for row in body["errors"]] == [[bad], ["4711"]]
    assert body["errors"][0]["context"]["objectWriteTraceId"] == [f"r-{bad}"]
    assert [row["id"] for row in body["results"]] == [good] and tags(account, 1) == "vip"


def test_unknown_ids_answer_207_and_the_known_ones_are_written(account: Account) -> None:
    status, body = update(account, (account.contact_id(1), {"sync_tags": "vip"}), ("4711", {"sync_tags": "vip"}))
    assert status == 207 and body["errors"][0]["category"] == "OBJECT_NOT_FOUND" and tags(account, 1) == "vip"


def test_a_batch_holds_a_hundred_different_ids(account: Account) -> None:
    one = account.contact_id(1)
    assert update(account, (one, {"city": "Rome"}), (one, {"city": "Bari"}))[0] == 400
    assert update(account, *((str(i), {"city": "Rome"}) for i in range(101)))[0] == 400


def test_a_write_moves_the_modified_date_and_is_in_the_log(account: Account) -> None:
    account.clock.move(60)
    before = len(account.sim.effects)
    update(account, (account.contact_id(1), {"city": "Rome"}))
    _, body = account.get(f"{CONTACTS}/{account.contact_id(1)}", properties="lastmodifieddate")
    assert body["properties"]["lastmodifieddate"] == "2026-11-21T12:01:00.000Z"
    assert [(e["kind"], e["object"], e["contact"]) for e in account.sim.effects[before:]] == [
        ("property.set", "city", account.contact_id(1))
    ]


def test_an_admins_rule_binds_the_new_version_only(account: Account) -> None:
    account.sim.switches.write_rules = [WriteRule("lifecyclestage", "customer", ("company",))]
    row = {"inputs": [{"id": account.contact_id(1), "properties": {"lifecyclestage": "customer"}}]}
    status, body = account.post(CONTACTS + "/batch/update", row)
    assert status == 400 and body["errors"][0]["code"] == "MISSING_CONDITIONAL_REQUIRED_PROPERTY"
    assert body["errors"][0]["context"]["propertyName"] == ["company"]
    assert account.post("/crm/objects/2026-03/contacts/batch/update", row)[0] == 200
    assert account.post(CONTACTS + "/batch/update", row)[0] == 400, "a record that already breaks the rule stays refused"


def test_what_an_admin_wants_filled_on_new_contacts_binds_the_new_version_only(account: Account) -> None:
    account.sim.switches.required_on_create = ("company",)
    body = {"properties": {"email": "new@shop.example"}}
    status, answered = account.post(CONTACTS, body)
    assert status == 400 and answered["errors"][0]["code"] == "MISSING_REQUIRED_PROPERTY"
    assert account.post("/crm/objects/2026-03/contacts", body)[0] == 201


def test_odd_dates_are_normalised_with_a_warning_by_the_new_version_and_refused_by_the_old(account: Account) -> None:
    made = {"groupName": "sync", "name": "sync_on", "label": "On", "type": "date", "fieldType": "date"}
    assert account.post(PROPERTIES, made)[0] == 201
    body = {"inputs": [{"id": account.contact_id(1), "properties": {"sync_on": "2026-11-21T15:30:00Z"}}]}
    assert account.post("/crm/objects/2026-03/contacts/batch/update", body)[0] == 400
    status, answered = account.post(CONTACTS + "/batch/update", body)
    assert status == 200 and answered["warnings"][0]["category"] == "PROPERTY_VALUE_NORMALIZED"
    assert answered["results"][0]["properties"]["sync_on"] == "2026-11-21"


def test_the_lifecycle_only_moves_forward_unless_it_was_cleared(account: Account) -> None:
    one = account.contact_id(1)
    stages = ["customer", "lead", "", "lead"]
    seen = []
    for stage in stages:
        update(account, (one, {"lifecyclestage": stage}))
        seen.append(account.get(f"{CONTACTS}/{one}", properties="lifecyclestage")[1]["properties"]["lifecyclestage"])
    assert seen == ["customer", "customer", None, "lead"]


def test_bursts_of_writes_lock_a_record_for_two_seconds(account: Account) -> None:
    account.sim.switches.lock_after = 2
    one = account.contact_id(1)
    assert [update(account, (one, {"city": c}))[0] for c in ("Rome", "Bari", "Pisa")] == [200, 200, 423]
    account.clock.move(2)
    assert update(account, (one, {"city": "Pisa"}))[0] == 200


def test_creates_and_upserts_leave_their_trace_in_the_log(account: Account) -> None:
    assert account.post(CONTACTS, {"properties": {"email": "new@shop.example"}})[0] == 201
    assert account.post(CONTACTS, {"properties": {"email": "new@shop.example"}})[0] == 409
    rows = {"inputs": [{"id": "c1@shop.example", "idProperty": "email", "properties": {"city": "Rome"}}]}
    assert account.post(CONTACTS + "/batch/upsert", rows)[0] == 200
    kinds = [effect["kind"] for effect in account.sim.effects]
    assert kinds.count("object.create") == 1 and kinds.count("object.upsert") == 1


def test_a_property_that_exists_answers_409(account: Account) -> None:
    status, body = account.post(PROPERTIES, {**TAGS, "options": []})
    assert status == 409 and body["category"] == "OBJECT_ALREADY_EXISTS"
    assert body["subCategory"] == "Properties.PROPERTY_WITH_NAME_EXISTS"


def test_an_archived_property_comes_back_with_its_old_definition(account: Account) -> None:
    assert account.call("DELETE", f"{PROPERTIES}/sync_tags")[0] == 204
    assert account.get(f"{PROPERTIES}/sync_tags")[0] == 404
    status, body = account.post(PROPERTIES, {**TAGS, "type": "string", "fieldType": "text"})
    assert status == 201 and body["type"] == "enumeration" and len(body["options"]) == 2


def test_patching_options_replaces_the_whole_list_and_leaves_orphans(account: Account) -> None:
    update(account, (account.contact_id(1), {"sync_tags": "vip"}))
    status, body = account.call("PATCH", f"{PROPERTIES}/sync_tags", {"options": options("gold")})
    assert status == 200 and [one["value"] for one in body["options"]] == ["gold"]
    assert tags(account, 1) == "vip"
    assert update(account, (account.contact_id(2), {"sync_tags": "vip"}))[0] == 400
    assert len(account.call("PATCH", f"{PROPERTIES}/sync_tags", {"label": "Tags"})[1]["options"]) == 1


@pytest.mark.parametrize(
    "wrong", [{"name": "Sync"}, {"fieldType": "number"}, {"groupName": "nobody"}, {"label": ""}, {"colour": "red"}]
)
def test_a_property_that_makes_no_sense_is_refused(account: Account, wrong: dict[str, str]) -> None:
    assert account.post(PROPERTIES, {**TAGS, "name": "other", **wrong})[0] == 400


def test_a_property_in_use_cannot_be_deleted(account: Account) -> None:
    account.sim.switches.properties_in_use = {"sync_tags"}
    status, body = account.call("DELETE", f"{PROPERTIES}/sync_tags")
    assert status == 400 and body["subCategory"].endswith("CANNOT_DELETE_PROPERTY_IN_USE")


def test_the_catalogue_says_what_may_be_written(account: Account) -> None:
    _, body = account.get(PROPERTIES)
    found = {row["name"]: row for row in body["results"]}
    assert found["hs_email_optout"]["modificationMetadata"]["readOnlyValue"] is True
    assert found["total_revenue"]["calculated"] is True
    assert found["sync_tags"]["hubspotDefined"] is False
    assert found["lastmodifieddate"]["type"] == "datetime"
