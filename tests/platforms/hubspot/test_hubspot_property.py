"""The multi-checkbox property: made once, appended to and taken from, one reason for each row HubSpot refuses."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from adapters.hubspot_door import is_allowed
from adapters.hubspot_property import PROPERTY, option_value
from connector.sandbox.hubspot_settings import WriteRule
from models.changes import Batch, Member, Observed, Target
from models.errors import PermanentApiError
from tests.platforms.hubspot.hubspot_world import World
from tests.simulated import between

VIP = Target("hubspot", "VIP", "Rollcall: VIP")
RISK = Target("hubspot", "At risk", "Rollcall: At risk")


def push(world: World, target: Target, adds: str = "", removes: str = "") -> dict[str, tuple[str, str]]:
    """Customers by number; result and reason of each."""
    names = {world.id_of(int(n)): n for n in (*adds.split(), *removes.split())}
    on, off = (tuple(Member(world.id_of(int(n))) for n in text.split()) for text in (adds, removes))
    outcomes = world.adapter.apply(Batch(target, world.adapter.ensure(target), target.name, on, off))
    assert len(outcomes) == len(on) + len(off)
    return {names[o.contact_id]: (o.result, o.reason) for o in outcomes}


def value(world: World, number: int) -> set[str]:
    record = world.simulator.contact(f"{number:05d}")
    assert record is not None
    return {v for v in record.props.get(PROPERTY, "").split(";") if v}


def members(world: World, target: Target) -> frozenset[str]:
    return world.adapter.observe([target], {})[0].members


@pytest.fixture
def both(world: World) -> World:
    world.new_adapter(hubspot_property=True)
    return world


def test_contacts_get_and_lose_the_option_with_the_list(both: World) -> None:
    assert {r for r, _ in push(both, VIP, adds="1 2 3").values()} == {"done"}
    push(both, RISK, adds="2")
    push(both, VIP, adds="4", removes="2")
    assert [value(both, n) for n in (1, 2, 3, 4, 5)] == [{"vip"}, {"at_risk"}, {"vip"}, {"vip"}, set()]
    assert members(both, VIP) == {both.id_of(n) for n in (1, 3, 4)}


def test_group_property_and_options_are_made_once(both: World) -> None:
    for _ in range(2):
        push(both, VIP, adds="1")
        push(both, RISK, adds="1")
        both.new_adapter(hubspot_property=True)
    kinds = [e["kind"] for e in both.simulator.effects if e["kind"].startswith("property")]
    assert kinds == ["property_group.create", "property.create", "property.set", "property.patch", "property.set"]


def test_an_option_the_owner_relabelled_or_added_stays_as_it_is(both: World) -> None:
    push(both, VIP, adds="1")
    definition = both.simulator.crm.catalog.find("contacts", PROPERTY)
    assert definition is not None
    definition.options[0]["label"] = "Our best"
    definition.options.append({"label": "By hand", "value": "by_hand", "displayOrder": 7, "hidden": True})
    both.new_adapter(hubspot_property=True)
    push(both, RISK, adds="1")
    found = [(o["value"], o["label"], o["hidden"]) for o in definition.options]
    assert found == [("vip", "Our best", False), ("by_hand", "By hand", True), ("at_risk", "At risk", False)]


def test_values_that_are_there_already_are_not_written_again(both: World) -> None:
    push(both, VIP, adds="1 2")
    before = len(both.asked("batch/update"))
    assert push(both, VIP, adds="1 2") == {"1": ("already", ""), "2": ("already", "")}
    assert len(both.asked("batch/update")) == before


@pytest.mark.parametrize("alone", [True, False], ids=["207", "400"])
def test_a_row_that_breaks_an_admins_rule_is_found_and_told_in_the_owners_words(both: World, alone: bool) -> None:
    both.simulator.switches.rows_fail_alone = alone
    both.simulator.switches.write_rules = [WriteRule("lifecyclestage", "opportunity", ("company",))]
    both.simulator.change("00007", {"lifecyclestage": "opportunity"})
    found = push(both, VIP, adds=" ".join(map(str, range(1, 131))))
    result, reason = found.pop("7")
    assert result == "refused"
    assert "a rule in HubSpot wants company filled first" in reason
    assert 'api_version = "2026-03"' in reason
    assert {r for r, _ in found.values()} == {"done"}
    assert both.id_of(7) not in members(both, VIP), "both or neither"
    assert len(both.asked("batch/update")) < 20


def test_version_2026_03_leaves_the_rule_out(world: World) -> None:
    world.new_adapter(hubspot_property=True, api_version="2026-03")
    world.simulator.switches.write_rules = [WriteRule("lifecyclestage", "opportunity", ("company",))]
    world.simulator.change("00007", {"lifecyclestage": "opportunity"})
    assert push(world, VIP, adds="7") == {"7": ("done", "")}


def test_taking_off_never_waits_for_the_property(both: World) -> None:
    push(both, VIP, adds="7 8")
    both.simulator.switches.write_rules = [WriteRule("lifecyclestage", "opportunity", ("company",))]
    both.simulator.change("00007", {"lifecyclestage": "opportunity"})
    found = push(both, VIP, removes="7 8")
    assert found["8"] == ("done", "")
    assert found["7"][0] == "refused" and "off the list, but the property may still say so" in found["7"][1]
    assert members(both, VIP) == frozenset()


def test_another_option_made_and_given_after_we_looked_stays(both: World) -> None:
    push(both, VIP, adds="7")
    definition = both.simulator.crm.catalog.find("contacts", PROPERTY)
    assert definition is not None
    looked: list[str] = []

    def made_meanwhile(request: Any, handle: Any) -> Any:
        given = handle(request)
        if request.method == "GET" and request.path.endswith(PROPERTY) and not looked:
            looked.append(request.path)
            definition.options.append({"label": "Friend", "value": "friend", "displayOrder": 9, "hidden": False})
            both.simulator.change("00007", {PROPERTY: "friend;vip"})
        return given

    with between(both.simulator, made_meanwhile):
        both.adapter.property.remove("VIP", [both.id_of(7)])
    assert (len(looked), value(both, 7)) == (1, {"friend"})


def test_an_orphan_value_is_dropped_with_the_next_write(both: World) -> None:
    push(both, VIP, adds="1")
    push(both, RISK, adds="1")
    definition = both.simulator.crm.catalog.find("contacts", PROPERTY)
    assert definition is not None
    definition.options = [o for o in definition.options if o["value"] != "at_risk"]
    both.new_adapter(hubspot_property=True)
    assert push(both, VIP, removes="1") == {"1": ("done", "")}
    assert value(both, 1) == set()


def test_a_missing_scope_for_the_property_leaves_the_list_working(both: World) -> None:
    both.simulator.switches.scopes.discard("crm.schemas.contacts.write")
    found = push(both, VIP, adds="1 2")
    assert [r for r, _ in found.values()] == ["done", "done"]
    assert "crm.schemas.contacts.write" in found["1"][1]
    assert len(members(both, VIP)) == 2


def test_a_property_of_the_same_name_that_is_something_else_is_left_alone(both: World) -> None:
    both.simulator.crm.catalog.ensure("contacts", PROPERTY, "text")
    found = push(both, VIP, adds="1")
    assert "not a multi-checkbox" in found["1"][1]
    assert not both.asked("batch/update")


def test_a_property_that_was_deleted_comes_back_with_its_old_options(both: World) -> None:
    push(both, VIP, adds="1")
    definition = both.simulator.crm.catalog.find("contacts", PROPERTY)
    assert definition is not None
    definition.archived_at = both.now
    both.new_adapter(hubspot_property=True)
    push(both, RISK, adds="1")
    assert value(both, 1) == {"vip", "at_risk"}


def test_a_contact_merged_or_deleted_meanwhile_is_told_once(both: World) -> None:
    gone, merged = both.id_of(5), both.id_of(6)
    push(both, VIP, adds="6")
    both.simulator.change("00005", {"deleted": True})
    survivor = both.simulator.merge("00006", "00009")
    assert survivor is not None
    list_id = both.adapter.ensure(VIP)
    outcomes = both.adapter.apply(Batch(VIP, list_id, VIP.name, (Member(gone), Member(both.id_of(1))), (Member(merged),)))
    assert {o.contact_id: (o.kind, o.result) for o in outcomes} == {
        gone: ("add", "missing"), both.id_of(1): ("add", "done"), merged: ("remove", "unknown"),
    }  # fmt: skip
    assert members(both, VIP) == {both.id_of(1)}, "the survivor, who took the place on the list, left in its stead"


def test_a_merge_between_plan_and_write_puts_nobody_on_unasked(world: World) -> None:
    merged = world.id_of(6)
    survivor = world.simulator.merge("00006", "00009")
    assert survivor is not None
    outcome = world.adapter.apply(Batch(VIP, world.adapter.ensure(VIP), VIP.name, (Member(merged),)))[0]
    assert (outcome.result, "merged into another contact" in outcome.reason) == ("missing", True)
    assert members(world, VIP) == frozenset()


def seen(world: World) -> Observed:
    return world.adapter.observe([VIP], {})[0]


def test_a_member_who_lost_the_option_is_found_and_gets_it_again(both: World) -> None:
    push(both, VIP, adds="1 2 3")
    both.new_adapter(hubspot_property=True)
    assert (seen(both).partial, seen(both).note) == (frozenset(), "")
    both.simulator.change("00002", {PROPERTY: ""})
    assert (seen(both).partial, seen(both).members) == ({both.id_of(2)}, {both.id_of(n) for n in (1, 2, 3)})
    assert "1 on the list do not carry it" in seen(both).note
    assert push(both, VIP, adds="2") == {"2": ("already", "")}
    assert (value(both, 2), seen(both).partial) == ({"vip"}, frozenset())


def test_members_from_before_the_property_was_switched_on_get_the_option(both: World) -> None:
    both.new_adapter()
    push(both, VIP, adds="1 2")
    both.new_adapter(hubspot_property=True)
    assert seen(both).partial == {both.id_of(1), both.id_of(2)}
    push(both, VIP, adds="1 2")
    assert (value(both, 1), value(both, 2), seen(both).partial) == ({"vip"}, {"vip"}, frozenset())


@pytest.mark.parametrize("why", ["not ours", "not permitted"])
def test_nobody_is_said_to_lack_a_property_that_cannot_be_used(both: World, why: str) -> None:
    both.new_adapter()
    push(both, VIP, adds="1 2")
    if why == "not ours":
        both.simulator.crm.catalog.ensure("contacts", PROPERTY, "text")
    adapter = both.new_adapter(hubspot_property=True)
    if why == "not permitted":
        handle = both.simulator.handle

        def closed(request: Any) -> Any:
            given = handle(request)
            is_ours = request.path.endswith(f"/contacts/{PROPERTY}")
            return type(given)(403, {}, b'{"category":"MISSING_SCOPES"}') if is_ours else given

        both.simulator.handle = closed  # type: ignore[method-assign]  # a key that may not see definitions
    found = adapter.observe([VIP], {})[0]
    assert (found.partial, len(found.members), found.note) == (frozenset(), 2, "")


def test_an_index_that_lags_makes_nobody_look_as_if_the_option_were_lost(both: World) -> None:
    both.simulator.switches.index_lag_s = 3600
    push(both, VIP, adds="1 2 3")
    assert (seen(both).partial, seen(both).note) == (frozenset(), "")


def test_who_carries_the_option_and_is_not_on_the_list_is_told(both: World) -> None:
    push(both, VIP, adds="1")
    both.simulator.change("00009", {PROPERTY: "vip"})
    assert (seen(both).partial, seen(both).members) == (frozenset(), {both.id_of(1)})
    assert "1 contacts carry it in the property rollcall_segments and are not on the list" in seen(both).note


@pytest.mark.parametrize("alone", [True, False], ids=["207", "400"])
def test_an_option_somebody_took_out_meanwhile_is_added_again(both: World, alone: bool) -> None:
    both.simulator.switches.rows_fail_alone = alone
    push(both, VIP, adds="1")
    definition = both.simulator.crm.catalog.find("contacts", PROPERTY)
    assert definition is not None
    definition.options = [{"label": "By hand", "value": "by_hand", "displayOrder": 0, "hidden": False}]
    before = len(both.asked("batch/update"))
    assert {r for r, _ in push(both, VIP, adds="2 3").values()} == {"done"}
    assert (value(both, 2), definition.values()) == ({"vip"}, {"by_hand", "vip"})
    assert len(both.asked("batch/update")) == before + 2


def test_without_the_switch_no_property_is_read_or_written(world: World) -> None:
    push(world, VIP, adds="1")
    assert not world.asked("/crm/properties/2026-09/contacts/")
    assert [e["kind"] for e in world.simulator.effects] == ["list.create", "list.add"]


def test_a_lost_answer_writes_no_value_twice(both: World) -> None:
    push(both, VIP, adds="1")
    losing = [True]
    handle = both.simulator.handle

    def lose(request: Any) -> Any:
        given = handle(request)
        if losing[0] and request.path.endswith("batch/update"):
            losing[0] = False
            return type(given)(502, {}, b"")
        return given

    both.simulator.handle = lose  # type: ignore[method-assign]  # the answer is lost on the way, the write happened
    assert push(both, VIP, adds="2 3") == {"2": ("done", ""), "3": ("done", "")}
    sets = [e["contact"] for e in both.simulator.effects if e["kind"] == "property.set"]
    assert len(sets) == len(set(sets)) == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("VIP", "vip"), ("At risk", "at_risk"), ("win back 90", "win_back_90")],
)
def test_option_names_are_plain(name: str, expected: str) -> None:
    assert option_value(name) == expected


def test_a_very_long_segment_name_makes_an_option_of_bounded_length_and_still_its_own(both: World) -> None:
    long = [Target("hubspot", f"{'Bought often ' * 20}{n}", f"Rollcall: Long {n}") for n in (1, 2)]
    for target in long:
        assert push(both, target, adds="1") == {"1": ("done", "")}
    definition = both.simulator.crm.catalog.find("contacts", PROPERTY)
    assert definition and len(value(both, 1)) == 2
    assert all(len(o["value"]) <= 90 and len(o["label"]) <= 80 for o in definition.options)


@pytest.mark.parametrize("full", ["options", "properties"])
def test_without_room_for_the_option_it_is_said_in_the_plan_and_the_list_is_written_alone(both: World, full: str) -> None:
    target = RISK
    if full == "options":
        push(both, VIP, adds="1")
        definition = both.simulator.crm.catalog.find("contacts", PROPERTY)
        assert definition
        definition.options = [{"label": str(n), "value": str(n), "displayOrder": n, "hidden": False} for n in range(5000)]
    else:
        both.simulator.switches.custom_property_limit -= both.adapter.property.room() or 0
    both.new_adapter(hubspot_property=True)
    assert "Only the list is written" in both.adapter.observe([target], {})[0].note
    assert push(both, target, adds="2 3") == {"2": ("done", ""), "3": ("done", "")}
    seen = both.adapter.observe([Target("hubspot", RISK.segment, RISK.name, both.adapter.ensure(RISK))], {})[0]
    assert seen.members == {both.id_of(2), both.id_of(3)} and not seen.partial, "nothing to mend, so the next plan is empty"
    assert value(both, 2) == set()


def test_option_names_of_different_segments_differ() -> None:
    names = ["VIP!", "VIP?", "VIP", "Стали", "Стари", "a;b", "a b"]
    assert len({option_value(n) for n in names}) == len(names)
    assert all(";" not in option_value(n) for n in names)


UPDATE = "/crm/objects/2026-09/contacts/batch/update"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", UPDATE, {"inputs": [{"id": "1", "properties": {"email": "x"}}]}),
        ("POST", UPDATE, {"inputs": [{"id": "1", "properties": {PROPERTY: "vip", "lifecyclestage": "lead"}}]}),
        ("POST", UPDATE, {"inputs": [{"id": "1", "properties": {}}]}),
        ("POST", UPDATE, {"inputs": [{"id": "a@x.test", "idProperty": "email", "properties": {PROPERTY: "vip"}}]}),
        ("POST", "/crm/objects/2026-09/companies/batch/update", {"inputs": [{"id": "1", "properties": {PROPERTY: "vip"}}]}),
        ("POST", "/crm/objects/2026-09/contacts/batch/upsert", {"inputs": [{"id": "1", "properties": {PROPERTY: "vip"}}]}),
        ("POST", "/crm/objects/2026-09/contacts/batch/archive", {"inputs": [{"id": "1"}]}),
        ("POST", "/crm/properties/2026-09/contacts", {"name": "vip_level"}),
        ("POST", "/crm/properties/2026-09/contacts", {"name": "rollcallx"}),
        ("PATCH", "/crm/properties/2026-09/contacts/lifecyclestage", {"options": []}),
        ("PATCH", f"/crm/properties/2026-09/contacts/{PROPERTY}", {"options": [], "label": "x"}),
        ("DELETE", f"/crm/properties/2026-09/contacts/{PROPERTY}", {}),
    ],
)  # fmt: skip
def test_the_door_lets_only_our_own_property_through(method: str, path: str, body: dict[str, Any]) -> None:
    assert not is_allowed(method, path, body, with_property=True)


def test_the_door_opens_for_the_property_only_with_the_switch() -> None:
    body = {"inputs": [{"id": "1", "objectWriteTraceId": "r-1", "properties": {PROPERTY: ";vip"}}]}
    assert is_allowed("POST", UPDATE, body, with_property=True)
    assert not is_allowed("POST", UPDATE, body, with_property=False)


def test_batches_carry_ids_a_trace_and_our_property_only(both: World) -> None:
    push(both, VIP, adds="1 2")
    bodies = [orjson.loads(body) for *_, body in both.asked("batch/update")]
    assert bodies == [
        {"inputs": [
            {"id": i, "objectWriteTraceId": f"r-{i}", "properties": {PROPERTY: ";vip"}} for i in (both.id_of(1), both.id_of(2))
        ]}
    ]  # fmt: skip


def about_the_property(world: World) -> tuple[str, str]:
    finding = next(f for f in world.new_adapter(hubspot_property=True).check() if f.name == "hubspot property")
    return finding.level, finding.text


def test_check_says_what_the_property_needs_and_whether_it_can_be_used(both: World) -> None:
    level, text = about_the_property(both)
    assert (level, "crm.schemas.contacts.write" in text) == ("ok", True)
    both.simulator.switches.custom_property_limit = 1
    both.simulator.crm.catalog.ensure("contacts", "theirs", "x")
    level, text = about_the_property(both)
    assert (level, "no room for one more property" in text) == ("warning", True)
    both.simulator.switches.custom_property_limit = 1000
    push(both, VIP, adds="1")
    assert "is there" in about_the_property(both)[1]
    definition = both.simulator.crm.catalog.find("contacts", PROPERTY)
    assert definition is not None
    definition.read_only = True
    level, text = about_the_property(both)
    assert (level, "not a multi-checkbox that may be written" in text) == ("warning", True)


def test_rules_on_our_own_property_are_told_by_check(both: World) -> None:
    both.simulator.switches.validated = {PROPERTY: "FORMAT", "phone": "FORMAT"}
    texts = [f.text for f in both.adapter.check() if f.name == "hubspot validation rules"]
    assert len(texts) == 1 and PROPERTY in texts[0] and "phone" not in texts[0]


def test_the_limit_of_static_lists_is_told_in_hubspots_words(world: World) -> None:
    world.simulator.switches.static_list_limit = 0
    with pytest.raises(PermanentApiError, match="You have reached the limit of static lists"):
        world.adapter.ensure(VIP)
