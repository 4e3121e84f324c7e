"""The simulated HubSpot's search: the wall at 10,000, the keyset that gets round it, the index that lags."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connector.sandbox.hubspot_wire import to_ms
from tests.sandbox.hubspot_calls import NOON, Account, people, shop


@pytest.fixture(scope="module")
def crowd() -> Account:
    """More than 10,000 contacts with one and the same modified time."""
    crowd = people(10_300)
    for customer in crowd:
        customer.updated_at = NOON
    return Account(shop(crowd))


@pytest.fixture
def few() -> Account:
    return Account(shop(people(20)))


def window(low: int, high: int, above: int = 0) -> list[dict[str, object]]:
    changed = {"propertyName": "lastmodifieddate", "operator": "BETWEEN", "value": str(low), "highValue": str(high)}
    keyset = {"propertyName": "hs_object_id", "operator": "GT", "value": str(above)}
    return [{"filters": [changed, keyset]}]


BY_ID = [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]


def test_pages_beyond_ten_thousand_results_are_refused(crowd: Account) -> None:
    groups = window(to_ms(NOON), to_ms(NOON))
    status, body = crowd.search(filterGroups=groups, sorts=BY_ID, limit=200, after="9800")
    assert status == 200 and body["total"] == 10_300 and body["paging"]["next"]["after"] == "10000"
    status, body = crowd.search(filterGroups=groups, sorts=BY_ID, limit=200, after="10000")
    assert status == 400 and body["category"] == "VALIDATION_ERROR"


def test_a_keyset_over_ids_reads_more_than_ten_thousand_of_one_millisecond(crowd: Account) -> None:
    seen: list[int] = []
    while True:
        groups = window(to_ms(NOON), to_ms(NOON), seen[-1] if seen else 0)
        _, body = crowd.search(filterGroups=groups, sorts=BY_ID, limit=200, properties=["hs_object_id"])
        if not body["results"]:
            break
        seen += [int(row["id"]) for row in body["results"]]
    assert len(seen) == len(set(seen)) == 10_300 and seen == sorted(seen)


def test_between_includes_both_ends(few: Account) -> None:
    low, high = (NOON - timedelta(days=100) + timedelta(hours=n) for n in (3, 5))
    _, body = few.search(filterGroups=window(to_ms(low), to_ms(high)), sorts=BY_ID)
    assert [row["id"] for row in body["results"]] == [few.contact_id(n) for n in (3, 4, 5)]


def test_a_change_stays_invisible_until_the_index_has_seen_it(few: Account) -> None:
    few.sim.switches.index_lag_s = 5
    few.sim.change("00004", {"first_name": "Neo"})
    by_name = [{"filters": [{"propertyName": "firstname", "operator": "EQ", "value": "neo"}]}]
    assert few.search(filterGroups=by_name)[1]["total"] == 0
    assert few.search(filterGroups=window(to_ms(NOON), to_ms(NOON)))[1]["total"] == 0
    assert few.get(f"/crm/objects/2026-09/contacts/{few.contact_id(4)}")[1]["properties"]["firstname"] == "Neo"
    few.clock.move(5)
    assert few.search(filterGroups=by_name)[1]["total"] == 1


def test_a_new_contact_is_unknown_to_the_index_at_first(few: Account) -> None:
    few.sim.switches.index_lag_s = 5
    survivor = few.sim.merge("00001", "00002")
    assert survivor is not None
    assert few.search(filterGroups=[], limit=200)[1]["total"] == 18
    few.clock.move(6)
    assert few.search(filterGroups=[], limit=200)[1]["total"] == 19


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"operator": "EQ", "value": "F3"}, {3}),
        ({"operator": "IN", "values": ["f3", "f4"]}, {3, 4}),
        ({"operator": "IN", "values": ["F3"]}, set()),
        ({"operator": "NOT_IN", "values": [f"f{n}" for n in range(2, 21)]}, {1}),
        ({"operator": "CONTAINS_TOKEN", "value": "f2*"}, {2, 20}),
        ({"operator": "NOT_HAS_PROPERTY"}, set()),
    ],
)
def test_operators(few: Account, row: dict[str, object], found: set[int]) -> None:
    _, body = few.search(filterGroups=[{"filters": [{"propertyName": "firstname", **row}]}], limit=200)
    assert {hit["id"] for hit in body["results"]} == {few.contact_id(n) for n in found}


def test_limits_of_a_query(few: Account) -> None:
    row = {"propertyName": "firstname", "operator": "HAS_PROPERTY"}
    assert few.search(limit=201)[0] == 400
    assert few.search(filterGroups=[{"filters": [row] * 7}])[0] == 400
    assert few.search(filterGroups=[{"filters": [row]}] * 6)[0] == 400
    assert few.search(filterGroups=[{"filters": [row] * 5}] * 4)[0] == 400
    assert few.search(sorts=BY_ID * 2)[0] == 400
    assert few.search(query="x" * 3000)[0] == 400
    assert few.search(filterGroups=[{"filters": [{**row, "propertyName": "no_such"}]}])[0] == 400


def test_the_epoch_breaks_the_search_and_a_second_later_does_not(few: Account) -> None:
    assert few.search(filterGroups=window(0, to_ms(NOON)))[0] == 500
    assert few.search(filterGroups=window(1000, to_ms(NOON)))[0] == 200


def test_ids_sort_as_numbers_and_descending(few: Account) -> None:
    few.sim.crm.tables["contacts"].next_id = 1000
    few.sim.merge("00001", "00002")
    _, body = few.search(sorts=[{"propertyName": "hs_object_id", "direction": "DESCENDING"}], limit=3)
    assert [row["id"] for row in body["results"]] == ["1000", "120", "119"]


def test_a_multi_select_matches_by_any_chosen_option(few: Account) -> None:
    group = {"name": "sync", "label": "Sync"}
    options = [{"label": value, "value": value} for value in ("vip", "at_risk")]
    made = {"groupName": "sync", "name": "sync_tags", "label": "Tags", "type": "enumeration", "fieldType": "checkbox"}
    assert few.post("/crm/properties/2026-09/contacts/groups", group)[0] == 201
    assert few.post("/crm/properties/2026-09/contacts", {**made, "options": options})[0] == 201
    few.sim.change("00003", {"sync_tags": "at_risk;vip"})
    few.sim.change("00004", {"sync_tags": "at_risk"})
    rows = [{"filters": [{"propertyName": "sync_tags", "operator": "IN", "values": ["vip"]}]}]
    assert [hit["id"] for hit in few.search(filterGroups=rows)[1]["results"]] == [few.contact_id(3)]
