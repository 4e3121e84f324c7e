"""Profile columns as properties of contacts: made once in our group, written a hundred at a time, bad rows found alone."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
import requests

from adapters.hubspot_door import is_allowed
from connector.sandbox.base import Response
from connector.sandbox.hubspot_settings import WriteRule
from models.changes import FieldKind
from models.errors import PermanentApiError, ScopeError, UsageError
from tests.platforms.hubspot.hubspot_world import World

CITY, SPENT, DAY, VIP = "rollcall_city", "rollcall_spent", "rollcall_day", "rollcall_is_vip"
KINDS: dict[str, FieldKind] = {CITY: "text", SPENT: "number", DAY: "date", VIP: "yes or no"}
UPDATE = "/crm/objects/2026-09/contacts/batch/update"


@pytest.fixture
def made(world: World) -> World:
    for name, kind in KINDS.items():
        world.adapter.ensure_field(name, name.removeprefix("rollcall_"), kind)
    return world


def stored(world: World, n: int) -> dict[str, str]:
    record = world.simulator.contact(f"{n:05d}")
    assert record is not None
    return {k: v for k, v in record.props.items() if k in KINDS}


def test_group_and_properties_are_made_once_and_in_our_group(made: World) -> None:
    for name, kind in KINDS.items():
        made.new_adapter().ensure_field(name, name, kind)
    kinds = [e["kind"] for e in made.simulator.effects]
    assert kinds == ["property_group.create"] + ["property.create"] * 4
    found = made.simulator.crm.catalog.find("contacts", SPENT)
    assert found and (found.group, found.type, found.label, found.form_field) == ("rollcall", "number", "Rollcall spent", False)


def test_the_name_of_the_segments_property_is_taken(world: World) -> None:
    assert world.adapter.field_name("city") == CITY
    with pytest.raises(UsageError, match="another name"):
        world.adapter.field_name("segments")


def test_a_property_of_that_name_that_is_not_ours_is_refused(world: World) -> None:
    world.simulator.crm.catalog.ensure("contacts", CITY, "text")
    assert "did not make" in world.adapter.field_problem(CITY, "text")
    with pytest.raises(PermanentApiError, match="another name"):
        world.adapter.ensure_field(CITY, "city", "text")
    assert world.simulator.effects == []


def test_one_of_ours_that_the_owner_moved_to_another_group_is_still_ours(made: World) -> None:
    definition = made.simulator.crm.catalog.find("contacts", CITY)
    assert definition is not None
    definition.group = "contactinformation"
    assert made.adapter.field_problem(CITY, "text") == ""


def test_one_of_ours_that_holds_something_else_is_refused(made: World) -> None:
    assert "holds number, not text" in made.adapter.field_problem(SPENT, "text")
    with pytest.raises(PermanentApiError, match="delete the property"):
        made.adapter.ensure_field(SPENT, "spent", "text")


def test_one_that_comes_back_from_the_archive_as_something_else_is_refused(made: World) -> None:
    definition = made.simulator.crm.catalog.find("contacts", SPENT)
    assert definition is not None
    definition.archived_at = made.now
    assert made.adapter.field_problem(SPENT, "text") == ""
    with pytest.raises(PermanentApiError, match="holds number"):
        made.new_adapter().ensure_field(SPENT, "spent", "text")


def test_an_account_without_room_for_properties_is_told_before_anything_is_made(world: World) -> None:
    world.simulator.crm.catalog.ensure("contacts", "one_of_theirs", "text")
    world.simulator.switches.custom_property_limit = 1
    assert "no room" in world.adapter.field_problem(CITY, "text")
    with pytest.raises(PermanentApiError, match="no room"):
        world.adapter.ensure_field(CITY, "city", "text")
    assert world.simulator.effects == []


def test_a_key_that_may_not_make_properties_is_told_which_scope_it_lacks(world: World) -> None:
    world.simulator.switches.scopes.discard("crm.schemas.contacts.write")
    with pytest.raises(ScopeError, match=r"crm\.schemas\.contacts\.write"):
        world.adapter.ensure_field(CITY, "city", "text")


def lose(world: World, path: str, *, after: bool) -> None:
    """The answer to the next write there is lost."""
    handle, left = world.simulator.handle, [1]

    def losing(request: Any) -> Response:
        if request.method == "POST" and request.path.endswith(path) and left:
            left.clear()
            if after:
                handle(request)
            raise requests.ConnectionError("Connection aborted.")
        return handle(request)

    world.simulator.handle = losing  # type: ignore[method-assign]  # a network that loses an answer


@pytest.mark.parametrize("after", [True, False])
def test_a_lost_answer_to_the_making_is_looked_up_before_a_repeat(world: World, after: bool) -> None:
    lose(world, "/properties/2026-09/contacts", after=after)
    world.adapter.ensure_field(CITY, "city", "text")
    assert [e["kind"] for e in world.simulator.effects].count("property.create") == 1


def test_values_are_written_a_hundred_at_a_time_and_read_back_as_written(made: World) -> None:
    values = {CITY: "Köln", SPENT: "1234.5", DAY: "2026-11-21", VIP: "true"}
    rows = [(made.id_of(n), values) for n in range(1, 231)]
    assert {o.result for o in made.adapter.write_fields(rows)} == {"done"}
    sizes = [len(orjson.loads(body)["inputs"]) for _, _, _, body in made.asked("batch/update")]
    assert sizes == [100, 100, 30]
    assert made.adapter.read_fields(list(KINDS), [made.id_of(1), made.id_of(231)]) == {
        made.id_of(1): values, made.id_of(231): dict.fromkeys(KINDS, "")
    }  # fmt: skip
    assert {e["kind"] for e in made.simulator.effects if e["contact"]} == {"property.set"}
    assert {e["object"] for e in made.simulator.effects if e["contact"]} == set(KINDS)
    assert not made.asked("/search"), "the index lags"


def test_a_number_is_known_again_however_hubspot_writes_it(made: World) -> None:
    for shown in ("12.50", "12.5", "1.25E+1"):
        made.simulator.change("00001", {SPENT: shown})
        assert made.new_adapter().read_fields([SPENT], [made.id_of(1)]) == {made.id_of(1): {SPENT: "12.5"}}


def test_nothing_clears_a_value(made: World) -> None:
    made.adapter.write_fields([(made.id_of(1), {CITY: "Bonn", SPENT: "1"})])
    made.adapter.write_fields([(made.id_of(1), {CITY: "", SPENT: ""})])
    assert {v for v in stored(made, 1).values() if v} == set()


@pytest.mark.parametrize("alone", [True, False], ids=["207", "400"])
def test_a_row_that_breaks_an_admins_rule_is_found_and_the_rest_is_written(made: World, alone: bool) -> None:
    made.simulator.switches.rows_fail_alone = alone
    made.simulator.switches.write_rules = [WriteRule("lifecyclestage", "opportunity", ("company",))]
    made.simulator.change("00007", {"lifecyclestage": "opportunity"})
    outcomes = made.adapter.write_fields([(made.id_of(n), {CITY: "Bonn"}) for n in range(1, 131)])
    bad = [o for o in outcomes if o.result != "done"]
    assert [(o.contact_id, o.result) for o in bad] == [(made.id_of(7), "refused")]
    assert "a rule in HubSpot wants company filled first" in bad[0].reason
    assert len(made.asked("batch/update")) < 20


def test_a_contact_that_is_gone_is_missing_and_one_that_was_merged_is_not_read_as_itself(made: World) -> None:
    gone, merged = made.id_of(5), made.id_of(6)
    made.simulator.change("00005", {"deleted": True})
    made.simulator.merge("00006", "00009")
    assert made.adapter.read_fields([CITY], [gone, merged, made.id_of(1)]).keys() == {made.id_of(1)}
    outcomes = made.adapter.write_fields([(gone, {CITY: "Bonn"}), (made.id_of(1), {CITY: "Bonn"})])
    assert [o.result for o in outcomes] == ["missing", "done"]


@pytest.mark.parametrize("after", [True, False])
def test_a_lost_answer_to_a_batch_is_sent_again(made: World, after: bool) -> None:
    lose(made, "batch/update", after=after)
    assert [o.result for o in made.adapter.write_fields([(made.id_of(1), {CITY: "Bonn"})])] == ["done"]
    assert stored(made, 1) == {CITY: "Bonn"}


def test_a_property_deleted_meanwhile_is_told_without_trying_every_row(made: World) -> None:
    definition = made.simulator.crm.catalog.find("contacts", CITY)
    assert definition is not None
    definition.archived_at = made.now
    outcomes = made.adapter.write_fields([(made.id_of(n), {CITY: "Bonn"}) for n in range(1, 51)])
    assert {(o.result, o.reason) for o in outcomes} == {("refused", "the property does not exist any more")}
    assert len(made.asked("batch/update")) == 1


@pytest.mark.parametrize(
    ("path", "body", "allowed"),
    [
        (UPDATE, {"inputs": [{"id": "1", "properties": {CITY: "x"}}]}, True),
        (UPDATE, {"inputs": [{"id": "1", "properties": {CITY: "x", "email": "a@b.c"}}]}, False),
        (UPDATE, {"inputs": [{"id": "1", "properties": {"hs_email_optout": "false"}}]}, False),
        (UPDATE, {"inputs": [{"id": "1", "properties": {"rollcall_other": "x"}}]}, False),
        (UPDATE, {"inputs": [{"id": "1", "properties": {}}]}, False),
        (UPDATE, {"inputs": [{"id": "1", "idProperty": "email", "properties": {CITY: "x"}}]}, False),
        (UPDATE.replace("update", "upsert"), {"inputs": [{"id": "1", "properties": {CITY: "x"}}]}, False),
        ("/crm/properties/2026-09/contacts", {"name": CITY}, True),
        ("/crm/properties/2026-09/contacts", {"name": "city"}, False),
        ("/crm/properties/2026-09/contacts/groups", {"name": "rollcall"}, True),
        ("/crm/properties/2026-09/contacts/groups", {"name": "contactinformation"}, False),
    ],
)
def test_the_door_lets_through_only_the_fields_the_owner_asked_for(path: str, body: dict[str, Any], allowed: bool) -> None:
    assert is_allowed("POST", path, body, with_property=False, fields={CITY, "email"}) is allowed
    assert not is_allowed("POST", path, body, with_property=False)
    assert not is_allowed("PATCH", path, body, with_property=False, fields={CITY})


def test_a_field_nobody_looked_at_is_not_written(world: World) -> None:
    with pytest.raises(ValueError, match="not among the writes"):
        world.adapter.write_fields([(world.id_of(1), {CITY: "Bonn"})])
