"""The simulated HubSpot's lists and their members, and the workflows that start on them."""

from __future__ import annotations

import pytest

from connector.sandbox.hubspot_flows import Workflow
from tests.sandbox.hubspot_calls import CONTACTS, LISTS, Account, people, shop


@pytest.fixture
def account() -> Account:
    return Account(shop(people(300)))


def test_add_and_remove_in_one_call(account: Account) -> None:
    made = account.make_list("Rollcall: VIP")
    one, two, three = (account.contact_id(n) for n in (1, 2, 3))
    account.put(f"{LISTS}/{made}/memberships/add", [one, two])
    path = f"{LISTS}/{made}/memberships/add-and-remove"
    status, body = account.put(path, {"recordIdsToAdd": [two, three, "999999"], "recordIdsToRemove": [one]})
    assert status == 200
    assert body == {"recordsIdsAdded": [three], "recordIdsRemoved": [one], "recordIdsMissing": ["999999"]}
    assert account.members(made) == [two, three]
    status, body = account.put(path, {"recordIdsToAdd": [two, three], "recordIdsToRemove": [one]})
    assert body == {"recordsIdsAdded": [], "recordIdsRemoved": [], "recordIdsMissing": []}


def test_both_arrays_must_be_there_and_ids_must_be_text(account: Account) -> None:
    made = account.make_list("VIP")
    path = f"{LISTS}/{made}/memberships/add-and-remove"
    assert account.put(path, {"recordIdsToAdd": [account.contact_id(1)]})[0] == 400
    assert account.put(path, {"recordIdsToAdd": [101], "recordIdsToRemove": []})[0] == 400
    assert account.put(f"{LISTS}/{made}/memberships/add", [101])[0] == 400
    assert account.members(made) == []


def test_members_page_in_order_of_their_number(account: Account) -> None:
    account.sim.crm.tables["contacts"].next_id = 1000
    survivor = account.sim.merge("00001", "00002")
    assert survivor is not None
    made = account.make_list("VIP")
    ids = [account.contact_id(n) for n in range(3, 301)]
    account.put(f"{LISTS}/{made}/memberships/add", [str(survivor.id), *reversed(ids)])
    _, first = account.get(f"{LISTS}/{made}/memberships", limit=250)
    _, second = account.get(f"{LISTS}/{made}/memberships", limit=250, after=first["paging"]["next"]["after"])
    seen = [row["recordId"] for row in first["results"] + second["results"]]
    assert seen == [*ids, "1000"] and first["total"] == 299 and "paging" not in second
    assert account.get(f"{LISTS}/{made}/memberships", limit=251)[0] == 400


def test_membership_leaves_the_contacts_modified_date_alone(account: Account) -> None:
    one = account.contact_id(1)
    _, before = account.get(f"{CONTACTS}/{one}")
    account.clock.move(60)
    account.put(f"{LISTS}/{account.make_list('VIP')}/memberships/add", [one])
    assert account.get(f"{CONTACTS}/{one}")[1] == before


def test_a_name_is_taken_once(account: Account) -> None:
    made = account.make_list("VIP")
    status, body = account.post(LISTS, {"name": "vip", "objectTypeId": "0-1", "processingType": "MANUAL"})
    assert status == 400 and body["subCategory"] == "ILS.DUPLICATE_LIST_NAMES"
    _, found = account.get(f"{LISTS}/object-type-id/0-1/name/VIP")
    assert found["list"]["listId"] == made
    assert account.get(f"{LISTS}/object-type-id/0-1/name/None such")[0] == 404


def test_a_name_with_a_slash_is_found(account: Account) -> None:
    made = account.make_list("VIP / gold")
    assert account.get(f"{LISTS}/object-type-id/0-1/name/VIP / gold")[1]["list"]["listId"] == made


def test_a_deleted_list_comes_back_and_may_hold_its_name(account: Account) -> None:
    made = account.make_list("VIP")
    account.sim.switches.deleted_names_held = True
    assert account.call("DELETE", f"{LISTS}/{made}")[0] == 204
    assert account.get(f"{LISTS}/{made}")[0] == 404
    assert account.post(LISTS, {"name": "VIP", "objectTypeId": "0-1", "processingType": "MANUAL"})[0] == 400
    assert account.put(f"{LISTS}/{made}/restore")[0] == 204
    assert account.get(f"{LISTS}/{made}")[0] == 200


def test_renaming_keeps_names_unique(account: Account) -> None:
    made = account.make_list("VIP")
    account.make_list("Lapsed")
    assert account.put(f"{LISTS}/{made}/update-list-name", listName="Lapsed")[0] == 400
    assert account.put(f"{LISTS}/{made}/update-list-name", listName="Gold")[1]["updatedList"]["name"] == "Gold"


def test_members_of_a_dynamic_list_cannot_be_changed(account: Account) -> None:
    theirs = account.sim.add_list("All buyers", "DYNAMIC", ("00001",))
    path = f"{LISTS}/{theirs.id}/memberships"
    assert account.put(path + "/add", [account.contact_id(2)])[0] == 400
    assert account.call("DELETE", path)[0] == 400
    assert account.members(str(theirs.id)) == [account.contact_id(1)]


def test_all_lists_page_by_a_cursor_that_belongs_to_its_filters(account: Account) -> None:
    for n in range(5):
        account.make_list(f"L{n}")
    account.sim.add_list("Theirs", "DYNAMIC")
    body = {"processingTypes": ["MANUAL"], "count": 2}
    names, after = [], None
    while True:
        _, page = account.post(f"{LISTS}/all", {**body, "after": after} if after else body)
        names += [one["name"] for one in page["results"]]
        if "paging" not in page:
            break
        after = page["paging"]["next"]["after"]
    assert names == [f"L{n}" for n in range(5)]
    status, refused = account.post(f"{LISTS}/all", {"after": after})
    assert status == 400 and refused["subCategory"] == "INVALID_CURSOR"
    assert account.post(f"{LISTS}/search", {"query": "l", "processingTypes": ["MANUAL"], "count": 3})[1]["hasMore"] is True
    assert account.post(f"{LISTS}/all", {"processingTypes": ["SMART"]})[1]["subCategory"] == "INVALID_PROCESSING_TYPE"


def test_the_shown_size_lags_behind_the_members(account: Account) -> None:
    made = account.make_list("VIP")
    account.put(f"{LISTS}/{made}/memberships/add", [account.contact_id(1)])
    assert account.get(f"{LISTS}/{made}")[1]["list"]["size"] == 0
    account.clock.move(60)
    assert account.get(f"{LISTS}/{made}")[1]["list"]["size"] == 1


def test_a_subscription_has_room_for_so_many_static_lists(account: Account) -> None:
    account.sim.switches.static_list_limit = 1
    account.make_list("VIP")
    assert account.post(LISTS, {"name": "Two", "objectTypeId": "0-1", "processingType": "MANUAL"})[0] == 400


def test_merged_and_deleted_contacts_leave_and_old_ids_are_missing(account: Account) -> None:
    made = account.make_list("VIP")
    one, two = account.contact_id(1), account.contact_id(2)
    account.put(f"{LISTS}/{made}/memberships/add", [one, two, account.contact_id(3)])
    survivor = account.sim.merge("00001", "00002")
    account.sim.change("00003", {"deleted": True})
    assert survivor is not None and account.members(made) == [str(survivor.id)]
    _, body = account.put(f"{LISTS}/{made}/memberships/add", [one])
    assert body["recordIdsMissing"] == [one]


def test_the_lists_of_a_record(account: Account) -> None:
    made = account.make_list("VIP")
    one = account.contact_id(1)
    account.put(f"{LISTS}/{made}/memberships/add", [one])
    _, body = account.get(f"{LISTS}/records/0-1/{one}/memberships")
    assert [row["listId"] for row in body["results"]] == [made]


def test_every_membership_that_changed_is_in_the_log_once(account: Account) -> None:
    made = account.make_list("VIP")
    one = account.contact_id(1)
    for _ in range(3):
        account.put(f"{LISTS}/{made}/memberships/add", [one])
    assert [(e["kind"], e["contact"]) for e in account.sim.effects if e["kind"] == "list.add"] == [("list.add", one)]


def test_a_workflow_on_a_list_mails_each_contact_once_unless_it_re_enrols(account: Account) -> None:
    made = account.make_list("VIP")
    account.sim.add_workflow(Workflow("welcome", on_list="VIP", mails=2))
    account.sim.add_workflow(Workflow("again", on_list=made, reenrols=True))
    account.sim.change("00002", {"consent": "unsubscribed"})
    both = [account.contact_id(1), account.contact_id(2)]
    for call in ("add", "remove", "add"):
        account.put(f"{LISTS}/{made}/memberships/{call}", both)
    starts = [row["workflow"] for row in account.sim.flows.enrolments]
    assert starts.count("welcome") == 2 and starts.count("again") == 4
    assert account.sim.flows.sent == 2 + 2, "the one who opted out gets nothing"


def test_a_workflow_on_a_value_starts_when_the_value_comes_and_not_when_it_is_written_again(account: Account) -> None:
    account.sim.add_workflow(Workflow("rome", on_property="city", value="Rome", reenrols=True))
    row = {"inputs": [{"id": account.contact_id(1), "properties": {"city": "Rome"}}]}
    for _ in range(2):
        account.post(f"{CONTACTS}/batch/update", row)
    assert len(account.sim.flows.enrolments) == 1


def test_listing_all_by_a_cursor_is_new_in_2026_09(account: Account) -> None:
    made = account.make_list("VIP")
    assert account.post(LISTS + "/all", {})[0] == 200
    old = LISTS.replace("2026-09", "2026-03")
    assert account.post(old + "/all", {})[0] == 404
    assert [one["listId"] for one in account.post(old + "/search", {"query": "vip"})[1]["lists"]] == [made]
