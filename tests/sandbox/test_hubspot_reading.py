"""The simulated HubSpot's reading side: paging, batches, merges, the archive, associations, long addresses."""

from __future__ import annotations

import pytest

from connector.sandbox.shopify_objects import build
from tests.sandbox.hubspot_calls import CONTACTS, VERSION, Account, people, purchase, shop


@pytest.fixture
def account() -> Account:
    return Account(shop(people(120), [purchase(1, "00001"), purchase(2, "00001"), purchase(3, "00002")]))


def test_pages_walk_by_id_and_the_cursor_is_the_next_id(account: Account) -> None:
    _, first = account.get(CONTACTS, limit=100, properties="email")
    assert first["paging"]["next"]["after"] == str(int(first["results"][-1]["id"]) + 1)
    _, second = account.get(CONTACTS, limit=100, properties="email", after=first["paging"]["next"]["after"])
    ids = [int(row["id"]) for row in first["results"] + second["results"]]
    assert ids == sorted(ids) and len(set(ids)) == 120
    assert "paging" not in second


def test_a_page_holds_at_most_one_hundred(account: Account) -> None:
    status, body = account.get(CONTACTS, limit=101)
    assert status == 400 and body["category"] == "VALIDATION_ERROR" and body["correlationId"]


def test_unknown_property_names_are_ignored_on_reads_and_values_are_text_or_null(account: Account) -> None:
    _, body = account.get(CONTACTS, limit=1, properties="email,no_such_thing,hs_email_optout,company")
    assert body["results"][0]["properties"] == {"email": "c1@shop.example", "hs_email_optout": "false", "company": None}


def test_unset_properties_may_be_missing(account: Account) -> None:
    account.sim.switches.omit_unset = True
    _, body = account.get(CONTACTS, limit=1, properties="email,company")
    assert body["results"][0]["properties"] == {"email": "c1@shop.example"}


def test_without_names_only_the_defaults_come(account: Account) -> None:
    _, body = account.get(f"{CONTACTS}/{account.contact_id(1)}")
    names = {"createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"}
    assert set(body["properties"]) == names


def test_both_versions_answer_and_others_are_unknown(account: Account) -> None:
    assert account.get("/crm/objects/2026-03/contacts")[0] == 200
    assert account.get("/crm/objects/2025-09/contacts")[0] == 404
    assert account.get("/crm/v3/objects/contacts")[0] == 404


def test_a_long_address_is_refused(account: Account) -> None:
    assert account.raw("GET", CONTACTS, properties=",".join(["hs_email_last_open_date"] * 800)).status == 414


def test_batch_read_reports_missing_ids_with_207(account: Account) -> None:
    inputs = [{"id": account.contact_id(1)}, {"id": "999999"}, {"id": account.contact_id(2)}]
    status, body = account.post(CONTACTS + "/batch/read", {"properties": ["email"], "inputs": inputs})
    assert status == 207 and body["numErrors"] == 1
    assert body["errors"][0]["category"] == "OBJECT_NOT_FOUND"
    assert body["errors"][0]["context"]["ids"] == ["999999"]
    assert [row["id"] for row in body["results"]] == [account.contact_id(2), account.contact_id(1)]


def test_batch_read_by_address_and_no_more_than_a_hundred(account: Account) -> None:
    body = {"properties": ["email"], "idProperty": "email", "inputs": [{"id": "C7@shop.example"}]}
    status, found = account.post(CONTACTS + "/batch/read", body)
    assert status == 200 and found["results"][0]["id"] == account.contact_id(7)
    assert account.post(CONTACTS + "/batch/read", {"inputs": [{"id": str(i)} for i in range(101)]})[0] == 400


def test_a_merge_makes_a_new_id_to_which_both_old_ones_lead(account: Account) -> None:
    first, second = account.contact_id(1), account.contact_id(2)
    survivor = account.sim.merge("00001", "00002")
    assert survivor is not None and str(survivor.id) not in (first, second)
    for old in (first, second):
        _, body = account.get(f"{CONTACTS}/{old}", properties="hs_merged_object_ids,hs_additional_emails")
        assert body["id"] == str(survivor.id)
        assert body["properties"]["hs_merged_object_ids"] == f"{first};{second}"
        assert body["properties"]["hs_additional_emails"] == "c2@shop.example"
    _, listed = account.get(CONTACTS, limit=100, archived="true")
    assert listed["results"] == []
    _, orders = account.post(f"/crm/associations/{VERSION}/contacts/orders/batch/read", {"inputs": [{"id": str(survivor.id)}]})
    assert len(orders["results"][0]["to"]) == 3


def test_a_merge_may_keep_the_primary_id(account: Account) -> None:
    account.sim.switches.keep_primary_id = True
    first, second = account.contact_id(1), account.contact_id(2)
    account.sim.change("00001", {"merge": "00002"})
    _, body = account.get(f"{CONTACTS}/{second}", properties="hs_merged_object_ids")
    assert body["id"] == first and body["properties"]["hs_merged_object_ids"] == second


def test_merging_twice_still_leads_every_old_id_to_the_survivor(account: Account) -> None:
    olds = [account.contact_id(n) for n in (1, 2, 3)]
    account.sim.merge("00001", "00002")
    survivor = account.sim.merge("00003", "00001")
    assert survivor is not None
    assert {account.get(f"{CONTACTS}/{old}")[1]["id"] for old in olds} == {str(survivor.id)}


def test_deleted_contacts_are_in_the_archive_with_their_time_and_can_come_back(account: Account) -> None:
    gone = account.contact_id(5)
    account.sim.change("00005", {"archived": True})
    assert account.get(f"{CONTACTS}/{gone}")[0] == 404
    assert account.get(f"{CONTACTS}/{gone}", archived="true")[0] == 200
    _, body = account.get(CONTACTS, archived="true")
    assert [(row["id"], row["archivedAt"]) for row in body["results"]] == [(gone, "2026-11-21T12:00:00.000Z")]
    assert account.search(filterGroups=[], query="c5@shop.example")[1]["total"] == 0
    account.sim.change("00005", {"restored": True})
    assert account.get(f"{CONTACTS}/{gone}")[0] == 200


def test_an_erased_contact_is_nowhere(account: Account) -> None:
    gone = account.contact_id(1)
    account.sim.change("00001", {"erased": True})
    assert account.get(f"{CONTACTS}/{gone}")[0] == 404
    assert account.get(CONTACTS, archived="true")[1]["results"] == []
    path = f"/crm/associations/{VERSION}/orders/contacts/batch/read"
    _, orders = account.get(f"/crm/objects/{VERSION}/orders")
    _, body = account.post(path, {"inputs": [{"id": row["id"]} for row in orders["results"]]})
    assert {to["toObjectId"] for row in body["results"] for to in row["to"]} == {account.contact_id(2)}


def test_orders_carry_the_shops_id_and_the_purchase_time(account: Account) -> None:
    wanted = "hs_external_order_id,hs_external_created_date,hs_total_price,hs_currency_code,hs_createdate"
    _, body = account.get(f"/crm/objects/{VERSION}/0-123", limit=1, properties=wanted, associations="contacts,line_items")
    row = body["results"][0]
    assert row["properties"]["hs_external_order_id"].isdigit()
    assert row["properties"]["hs_total_price"] == "25" and row["properties"]["hs_currency_code"] == "EUR"
    assert row["properties"]["hs_external_created_date"] < row["properties"]["hs_createdate"]
    assert row["associations"]["contacts"]["results"] == [{"id": account.contact_id(1), "type": "order_to_contact"}]
    assert len(row["associations"]["line items"]["results"]) == 1


def test_an_order_names_the_number_its_shop_gives_it() -> None:
    only_here = purchase(4, "00001")
    only_here.on = frozenset(("hubspot",))
    world = shop(people(2), [only_here, *(purchase(n, "00001") for n in (1, 2))])
    shopify = {str(node.number) for node in build(world).orders}
    _, body = Account(world).get(f"/crm/objects/{VERSION}/orders", properties="hs_external_order_id")
    assert {row["properties"]["hs_external_order_id"] for row in body["results"]} == shopify | {"4"}


def test_associations_page_by_record_and_leave_out_those_without(account: Account) -> None:
    account.sim.switches.association_page = 1
    path = f"/crm/associations/{VERSION}/contacts/orders/batch/read"
    one, none = account.contact_id(1), account.contact_id(50)
    status, body = account.post(path, {"inputs": [{"id": one}, {"id": none}]})
    assert status == 200 and [row["from"]["id"] for row in body["results"]] == [one]
    after = body["results"][0]["paging"]["next"]["after"]
    _, second = account.post(path, {"inputs": [{"id": one, "after": after}]})
    assert second["results"][0]["to"][0]["toObjectId"] == after and "paging" not in second["results"][0]


def test_associations_may_report_records_without_as_errors(account: Account) -> None:
    account.sim.switches.no_association_is_an_error = True
    body = {"inputs": [{"id": account.contact_id(50)}]}
    status, found = account.post(f"/crm/associations/{VERSION}/contacts/orders/batch/read", body)
    assert status == 207 and found["results"] == [] and found["numErrors"] == 1


def test_labels_tell_the_type_ids(account: Account) -> None:
    _, body = account.get(f"/crm/associations/{VERSION}/contacts/companies/labels")
    assert {row["typeId"]: row["label"] for row in body["results"]} == {1: "Primary", 279: None}


def test_deleted_contacts_stay_in_the_bin_for_ninety_days() -> None:
    account = Account(shop(people(3)))
    account.sim.change("00001", {"deleted": True})
    account.clock.move(89 * 86_400)
    account.sim.change("00002", {"deleted": True})
    assert len(account.get(CONTACTS, archived="true")[1]["results"]) == 2
    account.clock.move(2 * 86_400)
    assert [row["id"] for row in account.get(CONTACTS, archived="true")[1]["results"]] == ["102"]


def test_reading_too_much_at_once_times_out_where_the_account_is_slow() -> None:
    account = Account(shop(people(60)))
    account.sim.switches.slow_above = 25
    assert account.get(CONTACTS, limit=26)[0] == 504
    assert account.get(CONTACTS, limit=25)[0] == 200
    inputs = [{"id": account.contact_id(n)} for n in range(1, 31)]
    assert account.post(CONTACTS + "/batch/read", {"inputs": inputs})[0] == 504
    assert account.post(CONTACTS + "/batch/read", {"inputs": inputs[:25]})[0] == 200
