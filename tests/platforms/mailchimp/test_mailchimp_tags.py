"""Tags: looked up, read whole, made once, changed by difference, and every failure told."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from connector.sandbox.base import Response
from models.changes import Batch, Member, Target
from models.errors import AmbiguousWriteError, ConfigError, PermanentApiError, ScopeError


def target(name: str = "Rollcall: VIP", object_id: str = "") -> Target:
    return Target("mailchimp", "VIP", name, object_id)


def batch(world: Any, tag_id: str, adds: list[int], removes: list[int]) -> Batch:
    def member(n: int) -> Member:
        return Member(world.member_id(n), world.address(n))

    return Batch(target(), tag_id, "Rollcall: VIP", tuple(map(member, adds)), tuple(map(member, removes)))


def results(outcomes: Any) -> list[tuple[str, str]]:
    return [(o.kind, o.result) for o in outcomes]


def test_a_tag_is_seen_whole_whatever_the_status_of_its_members(world: Any) -> None:
    kinds = ["subscribed", "unsubscribed", "cleaned", "transactional"]
    people = [world.customer(n, status=kinds[n % 4], tags={"mailchimp": ["Rollcall: VIP"]}) for n in range(12)]
    world.load([*people, world.customer(50)])
    observed = world.adapter().observe([target()], {})[0]
    assert observed.exists and observed.is_ours_kind
    assert observed.members == frozenset(world.member_id(n) for n in range(12))


def test_a_tag_is_seen_whole_when_pages_are_smaller_than_asked_for(world: Any) -> None:
    world.load([world.customer(n, tags={"mailchimp": ["Rollcall: VIP"]}) for n in range(23)])
    world.largest = 3
    observed = world.adapter().observe([target()], {})[0]
    assert observed.members == frozenset(world.member_id(n) for n in range(23)) and observed.note == ""
    asked = [c for c in world.calls if c.path.endswith("/members")]
    assert len(asked) <= 10, "read on from where a page ended, not again from elsewhere"


def test_a_tag_is_found_by_its_id_then_by_name_then_without_case(world: Any) -> None:
    world.load([world.customer(n, tags={"mailchimp": [f"Tag {m}" for m in range(8)]}) for n in range(2)])
    tag_id = str(world.simulator.tag("Tag 3").tag_id)
    adapter = world.adapter()
    assert adapter.observe([target("Another name", tag_id)], {})[0].name == "Tag 3"
    assert adapter.observe([target("Tag 3")], {})[0].object_id == tag_id
    other_case = adapter.observe([target("TAG 3")], {})[0]
    assert other_case.exists and "case" in other_case.note
    assert not adapter.observe([target("Tag 99")], {})[0].exists


def test_a_deleted_tag_is_told_as_not_there(world: Any) -> None:
    world.load(2)
    observed = world.adapter().observe([target(object_id="424242")], {})[0]
    assert not observed.exists and "deleted" in observed.note


def test_a_segment_mailchimp_computes_is_no_tag(world: Any) -> None:
    world.load(2)
    conditions = {"match": "all", "conditions": [{"field": "EMAIL", "op": "contains", "value": "shop"}]}
    world.simulator.account.add_tag("Rollcall: VIP", conditions)
    assert world.adapter().observe([target()], {})[0].is_ours_kind is False
    with pytest.raises(PermanentApiError, match="cannot be a tag"):
        world.adapter().ensure(target())


def test_ensure_makes_one_empty_tag_however_often_it_is_called(world: Any) -> None:
    world.load(2)
    first = world.adapter().ensure(target())
    assert world.adapter().ensure(target()) == first
    assert [c.body for c in world.calls if c.method == "POST"] == [{"name": "Rollcall: VIP", "static_segment": []}]


@pytest.mark.parametrize("took_effect", [True, False])
def test_ensure_looks_again_when_the_answer_was_lost(world: Any, took_effect: bool) -> None:
    world.load(2)
    lost: list[Any] = []

    def lose_the_first(call: Any) -> Exception | None:
        if call.method == "POST" and not lost:
            lost.append(call)
            if took_effect:
                world.simulator.account.add_tag("Rollcall: VIP")
            return requests.exceptions.ReadTimeout()
        return None

    world.before = lose_the_first
    tag_id = world.adapter().ensure(target())
    assert tag_id == str(world.simulator.tag("Rollcall: VIP").tag_id)
    assert len([c for c in world.calls if c.method == "POST"]) == (1 if took_effect else 2)
    assert world.waits == [30.0], "an abandoned request may still be running"


def test_one_call_carries_a_whole_batch(world: Any) -> None:
    world.load(10)
    adapter = world.adapter()
    tag_id = adapter.ensure(target())
    assert set(results(adapter.apply(batch(world, tag_id, [0, 1, 2, 3], [])))) == {("add", "done")}
    outcomes = adapter.apply(batch(world, tag_id, [4, 5], [0, 1]))
    assert results(outcomes) == [("add", "done")] * 2 + [("remove", "done")] * 2
    assert adapter.observe([target()], {})[0].members == {world.member_id(n) for n in (2, 3, 4, 5)}
    assert len([p for p in world.paths("POST") if p.endswith(tag_id)]) == 2


def test_an_answer_of_200_that_hides_failures_is_looked_through(world: Any) -> None:
    world.load([world.customer(n, status="archived" if n == 7 else "subscribed") for n in range(10)])
    world.simulator.switches.repeat_is_error = True
    adapter = world.adapter()
    tag_id = adapter.ensure(target())
    adapter.apply(batch(world, tag_id, [0], []))
    outcomes = adapter.apply(batch(world, tag_id, [0, 1, 99], [2, 98]))
    assert results(outcomes) == [
        ("add", "already"),
        ("add", "done"),
        ("add", "missing"),
        ("remove", "already"),
        ("remove", "missing"),
    ]


def test_sums_that_do_not_add_up_are_settled_by_reading_back(world: Any) -> None:
    world.load(4)
    adapter = world.adapter()
    tag_id = adapter.ensure(target())
    lie = {"members_added": [], "members_removed": [], "errors": [], "total_added": 1, "total_removed": 0, "error_count": 0}
    world.before = lambda call: Response.json(lie) if call.method == "POST" else None
    outcomes = adapter.apply(batch(world, tag_id, [0, 1], []))
    assert results(outcomes) == [("add", "refused")] * 2
    assert all("would not put" in o.reason and "@" not in o.reason for o in outcomes)


def test_leaving_needs_no_address_in_the_plan(world: Any) -> None:
    world.load([world.customer(n, tags={"mailchimp": ["Rollcall: VIP"]}) for n in range(3)])
    tag_id = str(world.simulator.tag("Rollcall: VIP").tag_id)
    leaving = Batch(target(), tag_id, "Rollcall: VIP", (), (Member(world.member_id(1)), Member("f" * 32)))
    assert results(world.adapter().apply(leaving)) == [("remove", "done"), ("remove", "missing")]
    assert world.adapter().observe([target()], {})[0].members == {world.member_id(0), world.member_id(2)}


@pytest.mark.parametrize("how", ["timeout", "502"])
def test_a_lost_answer_to_a_batch_is_told_and_not_repeated(world: Any, how: str) -> None:
    world.load(4)
    adapter = world.adapter()
    tag_id = adapter.ensure(target())
    before = len(world.paths("POST"))
    if how == "502":
        world.simulator.switches.break_next = ["502"]
    else:
        world.before = lambda call: requests.exceptions.ReadTimeout() if call.method == "POST" else None
    work = batch(world, tag_id, [0, 1], [])
    with pytest.raises(AmbiguousWriteError):
        adapter.apply(work)
    assert len(world.paths("POST")) == before + 1
    assert dict(adapter.written(work)) == {world.member_id(n): how == "502" for n in (0, 1)}
    assert world.waits == ([30.0] if how == "timeout" else []), "what was given up may still run over there"
    assert dict(adapter.written(work)) and len(world.waits) <= 1, "once is enough"


@pytest.mark.parametrize(("how", "result"), [("", "done"), ("404", "missing"), ("400", "refused"), ("timeout", "unknown")])
def test_an_event_is_told_once_whatever_comes_back(world: Any, how: str, result: str) -> None:
    world.load(2)
    answers: dict[str, Any] = {
        "timeout": requests.exceptions.ReadTimeout(),
        "400": Response.json({"title": "Invalid Resource", "status": 400, "detail": world.address(1)}, 400),
    }
    world.before = lambda call: answers.get(how)
    member = Member("f" * 32 if how == "404" else world.member_id(1))
    outcome = world.adapter().tell(member, "rollcall_at_risk")
    assert outcome.result == result and "@" not in outcome.reason
    (call,) = world.calls
    assert call.body == {"name": "rollcall_at_risk", "is_syncing": False}


def test_what_was_given_up_at_one_tag_is_not_waited_for_at_another(world: Any) -> None:
    world.load(2)
    adapter = world.adapter()
    first = adapter.ensure(target())
    other = Target("mailchimp", "Other", "Rollcall: Other")
    second = adapter.ensure(other)
    world.before = lambda call: requests.exceptions.ReadTimeout() if call.path.endswith(f"/{first}") else None
    with pytest.raises(AmbiguousWriteError):
        adapter.apply(batch(world, first, [0], []))
    world.before = lambda call: None
    assert dict(adapter.written(Batch(other, second, other.name, (Member(world.member_id(0)),)))) and world.waits == []
    assert dict(adapter.written(batch(world, first, [0], []))) and world.waits == [30.0]


def test_a_quiet_batch_starts_no_journey_and_a_loud_one_does(world: Any) -> None:
    world.load(8)
    adapter = world.adapter()
    tag_id = adapter.ensure(target())
    journey = world.simulator.add_journey("Rollcall: VIP")
    assert set(results(adapter.apply_quietly(batch(world, tag_id, [0, 1, 2, 3], [])))) == {("add", "done")}
    assert journey.entries == 0
    assert set(results(adapter.apply_quietly(batch(world, tag_id, [], [0])))) == {("remove", "done")}
    adapter.apply(batch(world, tag_id, [5], []))
    assert journey.entries == 1
    assert adapter.observe([target()], {})[0].members == {world.member_id(n) for n in (1, 2, 3, 5)}


def test_a_quiet_batch_writes_to_the_tag_by_its_present_name(world: Any) -> None:
    world.load(3)
    adapter = world.adapter()
    tag_id = adapter.ensure(target())
    world.simulator.tag("Rollcall: VIP").name = "Best friends"
    adapter.apply_quietly(batch(world, tag_id, [1], []))
    assert {t.name for t in world.simulator.account.tags.values()} == {"Best friends"}, "no second tag came to be"


def test_a_quiet_batch_for_a_deleted_tag_writes_nothing(world: Any) -> None:
    world.load(3)
    with pytest.raises(PermanentApiError, match="no longer there"):
        world.adapter().apply_quietly(batch(world, "424242", [1], []))
    assert world.paths("POST") == []


@pytest.mark.parametrize("took_effect", [True, False])
def test_a_quiet_add_whose_answer_is_lost_is_read_back_after_a_while(world: Any, took_effect: bool) -> None:
    world.load(4)
    adapter = world.adapter()
    tag_id = adapter.ensure(target())
    lost: list[Any] = []

    def lose_one(call: Any) -> Exception | None:
        if call.path.endswith(f"{world.member_id(1)}/tags") and call.method == "POST" and not lost:
            lost.append(call)
            if took_effect:
                world.simulator.change("00001", {"tags": ["Rollcall: VIP"]})
            return requests.exceptions.ReadTimeout()
        return None

    world.before = lose_one
    outcomes = adapter.apply_quietly(batch(world, tag_id, [0, 1, 99], []))
    assert results(outcomes) == [("add", "done"), ("add", "done"), ("add", "missing")]
    assert world.waits == [30.0] and len(lost) == 1


def test_a_quiet_add_that_never_becomes_clear_is_not_said_to_be_refused(world: Any) -> None:
    world.load(4)
    adapter = world.adapter()
    tag_id = adapter.ensure(target())
    world.before = lambda call: (
        requests.exceptions.ReadTimeout() if call.path.endswith("/tags") and call.method == "POST" else None
    )
    with pytest.raises(AmbiguousWriteError):
        adapter.apply_quietly(batch(world, tag_id, [0, 1], []))


def test_a_tag_renamed_by_hand_is_kept_in_step_under_its_new_name(world: Any) -> None:
    world.load(4)
    adapter = world.adapter()
    tag_id = adapter.ensure(target())
    adapter.apply(batch(world, tag_id, [0], []))
    world.simulator.tag("Rollcall: VIP").name = "Best friends"
    seen = adapter.observe([target(object_id=tag_id)], {})[0]
    assert (seen.exists, seen.object_id, seen.name, seen.members) == (True, tag_id, "Best friends", {world.member_id(0)})
    assert "renamed it to 'Best friends'" in seen.note
    assert results(adapter.apply(batch(world, tag_id, [1], [0]))) == [("add", "done"), ("remove", "done")]


def test_a_tag_deleted_between_observing_and_writing_is_told(world: Any) -> None:
    world.load(4)
    adapter = world.adapter()
    tag_id = adapter.ensure(target())
    world.simulator.account.drop_tag(world.simulator.tag("Rollcall: VIP"))
    with pytest.raises(PermanentApiError, match="404"):
        adapter.apply(batch(world, tag_id, [1], []))


def test_a_batch_never_holds_more_than_500_of_either(world: Any) -> None:
    assert world.adapter().batch_size == 500


def test_mailchimps_own_reason_for_a_refusal_is_told_without_the_address(world: Any) -> None:
    world.load(3)
    adapter = world.adapter()
    tag_id = adapter.ensure(target())
    text = f"Recipient {world.address(1)} has too many recent signup requests"
    answer = {
        "members_added": [{"id": world.member_id(0), "email_address": world.address(0)}],
        "members_removed": [],
        "errors": [{"email_addresses": [world.address(1)], "error": text}],
        "total_added": 1,
        "total_removed": 0,
        "error_count": 1,
    }
    world.before = lambda call: Response.json(answer) if call.method == "POST" else None
    first, second = adapter.apply(batch(world, tag_id, [0, 1], []))
    assert (first.result, second.result) == ("done", "refused")
    assert "too many recent signup requests" in second.reason and "@" not in second.reason


def test_a_contact_without_an_address_is_told_as_such_and_the_others_go_on(world: Any) -> None:
    world.load(3)
    account = world.simulator.account
    account.members[account.by_hash[world.member_id(1)]].wire["email_address"] = ""
    adapter = world.adapter()
    tag_id = adapter.ensure(target())
    adds = (Member(world.member_id(0)), Member(world.member_id(1)))
    first, second = adapter.apply(Batch(target(), tag_id, "Rollcall: VIP", adds))
    assert (first.result, second.result) == ("done", "refused") and "no e-mail address" in second.reason


def test_a_fuzzy_segment_of_the_name_is_no_tag_either(world: Any) -> None:
    world.load(2)
    fuzzy = {"segments": [{"id": 1, "name": "Rollcall: VIP", "type": "fuzzy"}], "total_items": 1}
    world.before = lambda call: Response.json(fuzzy) if call.query.get("type") == "fuzzy" else None
    assert world.adapter().observe([target()], {})[0].is_ours_kind is False


def test_an_audience_deleted_meanwhile_is_told_in_words_by_looking_at_tags(world: Any) -> None:
    world.load(2)
    world.add_other([world.customer(3)])
    adapter = world.adapter()
    world.simulator.delete_audience()
    with pytest.raises(ConfigError, match=r"no audience 'a1b2c3d4e5'.*f9e8d7c6b5"):
        adapter.observe([target()], {})


def test_a_viewers_key_is_told_so(world: Any) -> None:
    world.load(2)
    world.simulator.switches.can_write = False
    with pytest.raises(ScopeError, match="role"):
        world.adapter().ensure(target())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("lists/a1b2c3d4e5/members", {"email_address": "a@shop.example"}),
        ("lists/a1b2c3d4e5", {"members": []}),
        ("lists/a1b2c3d4e5/segments", {"name": "x", "status": "subscribed"}),
        ("lists/a1b2c3d4e5/segments", {"name": "x", "static_segment": ["a@shop.example"]}),
        ("lists/a1b2c3d4e5/segments/1/../../members", {"members_to_add": []}),
        ("lists/a1b2c3d4e5/segments/1", {"members_to_add": [], "static_segment": []}),
        ("lists/a1b2c3d4e5/members/0123456789abcdef0123456789abcdef/tags", {"tags": [{"name": "x", "status": "active"}]}),
        (
            "lists/a1b2c3d4e5/members/0123456789abcdef0123456789abcdef/tags",
            {"tags": [{"name": "x", "status": "subscribed"}], "is_syncing": True},
        ),
        ("batches", {"operations": [{"method": "POST", "path": "/lists/a1b2c3d4e5/members", "body": "{}"}]}),
        ("batches", {"operations": [{"method": "GET", "path": "/ping", "body": "{}"}]}),
        ("lists/a1b2c3d4e5/members/0123456789abcdef0123456789abcdef", {"merge_fields": {"RC_CITY": "Bonn"}}),
    ],
)
def test_no_other_write_can_be_made(world: Any, path: str, body: dict[str, Any]) -> None:
    api = world.adapter().api
    with pytest.raises(PermanentApiError, match="nothing was sent"):
        api._Api__write(path, body)
    assert world.calls == []
    assert not [name for name in dir(api) if name in ("post", "put", "patch", "delete", "request", "http")]
