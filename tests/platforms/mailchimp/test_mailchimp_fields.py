"""Merge fields of ours: made once and private, set by a PATCH that can carry nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from adapters.mailchimp_fields import tag_of
from connector.sandbox.base import Response
from models.errors import PermanentApiError

CITY, SPENT = "RC_CITY", tag_of("revenue_total")


def made(world: Any, **settings: Any) -> Any:
    adapter = world.adapter(**settings)
    adapter.ensure_field(CITY, "city", "text")
    adapter.ensure_field(SPENT, "revenue_total", "number")
    return adapter


def held(world: Any, n: int) -> dict[str, Any]:
    fields = world.simulator.account.find(world.member_id(n)).wire["merge_fields"]
    return {k: v for k, v in fields.items() if k.startswith("RC_") and v != ""}


@pytest.mark.parametrize(("label", "tag"), [("city", "RC_CITY"), ("a_b", "RC_A_B"), ("churn_tier", "RC_CHUR3HT")])
def test_a_tag_is_at_most_ten_characters_and_always_the_same(label: str, tag: str) -> None:
    assert tag_of(label) == tag


def test_long_names_that_begin_alike_have_different_tags() -> None:
    labels = [f"churn_{what}_{n}" for what in ("tier", "probability", "reasons") for n in range(100)]
    tags = {tag_of(label) for label in labels}
    assert len(tags) == len(labels) and max(map(len, tags)) == 10 and all(t.startswith("RC_CHUR") for t in tags)


def test_a_field_is_made_once_private_and_needed_by_nobody(world: Any) -> None:
    world.load(1)
    for _ in range(2):
        made(world)
    fields = {m["tag"]: m for m in world.simulator.account.merge_fields if m["tag"].startswith("RC_")}
    assert fields.keys() == {CITY, SPENT}
    assert [(f["public"], f["required"]) for f in fields.values()] == [(False, False)] * 2
    assert (fields[SPENT]["name"], fields[SPENT]["type"]) == ("Rollcall revenue total", "number")
    assert [e["kind"] for e in world.simulator.effects] == ["merge_field.create"] * 2


@pytest.mark.parametrize("gone", ["no answer", "500"])
def test_a_lost_answer_to_the_making_is_looked_up_before_a_repeat(world: Any, gone: str) -> None:
    world.load(1)
    lost: list[Any] = [1]

    def lose(call: Any) -> Response | Exception | None:
        if call.method == "POST" and lost:
            lost.clear()
            world.simulator.account.add_merge_field(CITY, "Rollcall city", "text")
            return requests.ReadTimeout() if gone == "no answer" else Response(500, {}, b"")
        return None

    world.before = lose
    world.adapter().ensure_field(CITY, "city", "text")
    assert len(world.paths("POST")) == 1


def test_a_field_of_that_tag_that_somebody_else_made_is_left_alone(world: Any) -> None:
    world.load(1)
    world.simulator.account.add_merge_field(CITY, "Where they live", "text")
    adapter = world.adapter()
    assert "did not make" in adapter.field_problem(CITY, "text")
    with pytest.raises(PermanentApiError, match="another name"):
        adapter.ensure_field(CITY, "city", "text")
    assert world.simulator.effects == []


def test_a_field_of_ours_that_was_renamed_is_known_by_its_help_text(world: Any) -> None:
    world.load(1)
    made(world)
    next(m for m in world.simulator.account.merge_fields if m["tag"] == CITY)["name"] = "Town"
    assert world.adapter().field_problem(CITY, "text") == ""


def test_a_field_of_ours_that_holds_something_else_is_refused_in_words(world: Any) -> None:
    world.load(1)
    made(world)
    assert "holds number, not text" in world.adapter().field_problem(SPENT, "text")


def test_an_audience_without_room_is_told_by_the_limit_mailchimp_names(world: Any) -> None:
    world.load(1)
    world.simulator.account.merge_field_limit = len(world.simulator.account.merge_fields)
    adapter = world.adapter()
    assert "no room" in adapter.field_problem(CITY, "text")
    with pytest.raises(PermanentApiError, match="plan allows"):
        adapter.ensure_field(CITY, "city", "text")


def test_values_are_set_by_merge_fields_alone_and_read_back_as_written(world: Any) -> None:
    world.load(3)
    adapter = made(world)
    status = [world.simulator.account.ordered("last_changed")[n].wire["status"] for n in range(3)]
    rows = [(world.member_id(n), {CITY: "Köln", SPENT: "12.5"}) for n in range(2)]
    assert [o.result for o in adapter.write_fields(rows)] == ["done", "done"]
    patched = [c for c in world.calls if c.method == "PATCH"]
    assert [c.body for c in patched] == [{"merge_fields": {CITY: "Köln", SPENT: 12.5}}] * 2
    assert all(c.query == {"skip_merge_validation": "true"} for c in patched)
    ids = [world.member_id(n) for n in range(4)]
    assert adapter.read_fields([CITY, SPENT], ids) == {
        **{i: {CITY: "Köln", SPENT: "12.5"} for i in ids[:2]}, ids[2]: {CITY: "", SPENT: ""}
    }  # fmt: skip
    assert status == [world.simulator.account.ordered("last_changed")[n].wire["status"] for n in range(3)]


def test_nothing_clears_a_value(world: Any) -> None:
    world.load(1)
    adapter = made(world)
    adapter.write_fields([(world.member_id(0), {CITY: "Bonn", SPENT: "7"})])
    adapter.write_fields([(world.member_id(0), {CITY: "", SPENT: ""})])
    assert held(world, 0) == {}


def test_a_field_the_owner_requires_does_not_stand_in_the_way(world: Any) -> None:
    world.load(1)
    adapter = made(world)
    world.simulator.account.add_merge_field("SIZE", "Size", "text", required=True)
    assert adapter.write_fields([(world.member_id(0), {CITY: "Bonn"})])[0].result == "done"


def test_one_refused_value_does_not_spoil_the_others(world: Any) -> None:
    world.load(2)
    adapter = made(world)
    rows = [(world.member_id(0), {SPENT: "12"}), ("0" * 32, {SPENT: "12"}), (world.member_id(1), {SPENT: "13"})]
    answers = adapter.write_fields(rows)
    assert [o.result for o in answers] == ["done", "missing", "done"]
    assert "not in this audience" in answers[1].reason


def test_mailchimps_refusal_is_told_without_the_address(world: Any) -> None:
    world.load(1)
    world.adapter().ensure_field("RC_DAY", "day", "date")
    outcome = world.adapter().write_fields([(world.member_id(0), {"RC_DAY": "soon"})])[0]
    assert (outcome.result, outcome.reason) == ("refused", "Mailchimp refused the value (400, Invalid Resource)")


def test_a_value_of_a_field_that_was_deleted_meanwhile_is_not_taken_for_written(world: Any) -> None:
    world.load(1)
    adapter = made(world)
    account = world.simulator.account
    account.merge_fields = [m for m in account.merge_fields if m["tag"] != CITY]
    for member in account.members.values():
        member.wire["merge_fields"].pop(CITY)
    outcome = adapter.write_fields([(world.member_id(0), {CITY: "Bonn"})])[0]
    assert outcome.result == "refused" and "not there any more" in outcome.reason


@pytest.mark.parametrize("took_effect", [True, False])
def test_a_lost_answer_is_read_back_and_sent_again_only_where_it_is_not_there(world: Any, took_effect: bool) -> None:
    world.load(2)
    adapter = made(world)
    lost = [world.member_id(0)]

    def lose(call: Any) -> Response | Exception | None:
        if call.method == "PATCH" and lost and call.path.endswith(lost[0]):
            lost.clear()
            if took_effect:
                found = world.simulator.account.find(world.member_id(0))
                found.wire["merge_fields"] |= call.body["merge_fields"]
            return requests.ReadTimeout()
        return None

    world.before = lose
    answers = adapter.write_fields([(world.member_id(n), {CITY: "Bonn"}) for n in range(2)])
    assert [o.result for o in answers] == ["done", "done"] and held(world, 0) == {CITY: "Bonn"}
    assert len(world.paths("PATCH")) == (2 if took_effect else 3)
    assert world.waits and max(world.waits) >= 30


def test_archived_contacts_are_not_there(world: Any) -> None:
    world.load([world.customer(0), world.customer(1, status="archived")])
    adapter = made(world)
    assert adapter.read_fields([CITY], [world.member_id(0), world.member_id(1)]).keys() == {world.member_id(0)}


@pytest.mark.parametrize(
    "body",
    [
        {"status": "subscribed"},
        {"merge_fields": {"RC_CITY": "Bonn"}, "status": "subscribed"},
        {"merge_fields": {"RC_CITY": "Bonn", "FNAME": "x"}},
        {"merge_fields": {"RC_TOOLONGTAG": "x"}},
        {"merge_fields": {"RC_CITY": {"addr1": "x"}}},
        {"merge_fields": {}},
        {"merge_fields": {"RC_CITY": "x"}, "interests": {}},
    ],
)
def test_a_patch_can_carry_nothing_but_our_merge_fields(world: Any, body: dict[str, Any]) -> None:
    api = world.adapter().api
    with pytest.raises(PermanentApiError, match="nothing was sent"):
        api._Api__write("lists/a1b2c3d4e5/members/0123456789abcdef0123456789abcdef", body, method="PATCH")
    assert world.calls == []


@pytest.mark.parametrize(
    "change", [{"tag": "CITY"}, {"public": True}, {"required": True}, {"type": "address"}, {"options": {}}]
)
def test_no_field_can_be_made_that_is_not_ours_and_private(world: Any, change: dict[str, Any]) -> None:
    good = {"tag": "RC_CITY", "name": "Rollcall city", "type": "text", "public": False, "required": False, "help_text": ""}
    with pytest.raises(PermanentApiError, match="nothing was sent"):
        world.adapter().api._Api__write("lists/a1b2c3d4e5/merge-fields", {**good, **change})
    assert world.calls == []
