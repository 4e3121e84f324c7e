"""Answers with holes in them, and addresses that are too long: nothing is lost, and nothing is held with a part of its values."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from models.errors import RetryableApiError
from tests.platforms.hubspot.hubspot_world import World

DAY = timedelta(days=1)


def test_an_address_that_is_refused_as_too_long_is_cut_and_every_value_still_comes(world: World) -> None:
    whole = world.pull("contacts")[0]
    world.cursors.clear()
    world.new_adapter()
    world.simulator.switches.url_limit = 900
    assert world.pull("contacts")[0] == whole
    assert world.statuses.count(414) == 1


def test_many_names_travel_in_one_body_so_that_no_record_comes_in_parts(world: World) -> None:
    names = [f"a_rather_long_custom_property_name_{n}" for n in range(300)]
    for name in names:
        world.simulator.crm.catalog.ensure("contacts", name, "x")
        world.simulator.change("00007", {name: "x"})
    world.new_adapter(attributes={f"a{n}": name for n, name in enumerate(names)})
    records = {r["id"]: r["properties"] for r in world.pull("contacts")[0]}
    assert len(records) == 260
    assert set(records[world.id_of(7)].keys()) == set(records[world.id_of(8)].keys()) >= set(names)
    assert {records[world.id_of(7)][n] for n in names} == {"x"}


def test_a_merge_between_the_ids_and_their_values_ends_no_walk_early(world: World) -> None:
    """The survivor has the highest id there is; taken for one of the page it would stand for the end of the range."""
    world.simulator.switches.url_limit = 900
    handle, survivors = world.simulator.handle, list[Any]()

    def merge_first(request: Any) -> Any:
        if request.path.endswith("contacts/batch/read") and not survivors:
            survivors.append(world.simulator.merge("00002", "00003"))
        return handle(request)

    world.simulator.handle = merge_first  # type: ignore[method-assign]  # somebody merges just then
    middle = world.id_of(150)
    cursor = {"v": 2, "walk": "list", "phase": "list", "until": 0, "archived_since": 0, "ranges": [["", middle], [middle, ""]]}
    seen = [r["id"] for page in world.adapter.pages("contacts", cursor) for r in page.records]
    everybody = {world.id_of(n) for n in range(1, 261) if n not in (2, 3)}
    assert sorted(seen) == sorted([*everybody, str(survivors[0].id)])


@pytest.mark.parametrize("unnamed", [False, True], ids=["ids named", "ids not named"])
def test_ids_that_are_not_there_are_told_from_ids_that_were_not_answered(world: World, unnamed: bool) -> None:
    world.simulator.switches.absent_unnamed = unnamed
    world.simulator.change("00005", {"deleted": True})
    ids = [world.id_of(n) for n in (1, 2, 5)]
    page = next(world.adapter.reread([*ids, "4711"]))
    assert {r["id"] for r in page.records} == {world.id_of(1), world.id_of(2)}
    assert page.gone == {world.id_of(5): "archived", "4711": "gone"}


def test_a_record_that_is_left_out_without_a_word_is_asked_for_again_and_not_taken_for_gone(world: World) -> None:
    handle, losses = world.simulator.handle, [0]

    def lose(request: Any) -> Any:
        given = handle(request)
        if not request.path.endswith("contacts/batch/read") or losses[0] < 1:
            return given
        losses[0] -= 1
        body = world.loads(given.body)
        return type(given)(200, given.headers, world.dumps({**body, "results": body["results"][1:]}))

    world.simulator.handle = lose  # type: ignore[method-assign]  # an answer that is not whole
    losses[0] = 1
    page = next(world.adapter.reread([world.id_of(1), world.id_of(2)]))
    assert {r["id"] for r in page.records} == {world.id_of(1), world.id_of(2)}
    losses[0] = 99
    with pytest.raises(RetryableApiError, match="could not read 1 of its contacts"):
        list(world.adapter.reread([world.id_of(1), world.id_of(2)]))


@pytest.mark.parametrize("is_last", [False, True])
def test_links_that_one_answer_leaves_out_are_asked_for_again(world: World, is_last: bool) -> None:
    world.simulator.switches.association_failures = 99 if is_last else 2
    if is_last:
        with pytest.raises(RetryableApiError, match="could not read all links"):
            world.pull("orders")
        return
    orders = world.pull("orders")[0]
    assert len(orders) == 120
    assert all(len(o["contact_ids"]) == 1 and len(o["line_items"]) == 1 for o in orders)


def test_the_primary_company_is_told_by_label_or_number_of_that_direction_only(server: Any) -> None:
    def link(to: str, type_id: int, label: str | None, category: str = "HUBSPOT_DEFINED") -> dict[str, Any]:
        return {"toObjectId": to, "associationTypes": [{"category": category, "typeId": type_id, "label": label}]}

    links = {
        "contacts/companies": [link("7", 279, None), link("8", 1, None), link("9", 5, "Primary", "USER_DEFINED")],
        "deals/companies": [link("7", 1, None), link("8", 341, None), link("9", 5, "Primary")],
    }

    def answer(call: Any) -> Any:
        pair = call.path.removeprefix("/crm/associations/2026-09/").removesuffix("/batch/read")
        if pair not in links:
            return None
        results = [{"from": {"id": one["id"]}, "to": links[pair]} for one in call.body["inputs"]]
        return 200, {"Content-Type": "application/json"}, World.dumps({"results": results}).decode()

    server.hooks.append(answer)
    found = server.adapter().reader.relations.associated
    assert found("contacts", "companies", ["1"]) == {"1": ["8", "7", "9"]}
    assert found("deals", "companies", ["1"]) == {"1": ["9", "7", "8"]}


@pytest.mark.parametrize("kind", ["deals", "companies", "tickets"])
def test_whatever_was_merged_counts_once(world: World, kind: str) -> None:
    first, second = world.simulator.contact("00001"), world.simulator.contact("00002")
    assert first is not None and second is not None
    crm = world.simulator.crm
    made = [crm.create(kind, {"amount": "10"}, world.now, world.now) for _ in range(2)]
    before = {r["id"] for r in world.pull(kind)[0]}
    world.now += DAY
    survivor = crm.merge(kind, made[0], made[1])
    world.now += timedelta(minutes=1)
    records, gone = world.pull(kind)
    assert {str(m.id) for m in made} <= before
    assert [r["id"] for r in records] == [str(survivor.id)]
    assert gone == {str(m.id): "merged" for m in made}
