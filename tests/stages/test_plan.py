"""Stage 7: the difference between what is wanted and what is there, and every reason to hold it back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.plan import Limits, Wanted, plan_target
from models.changes import Member, Observed, Target

TARGET = Target("mailchimp", "VIP", "Rollcall: VIP", "77")
LIMITS = Limits()


def people(*ids: str) -> dict[str, Member]:
    return {i: Member(i, f"{i}@shop.example") for i in ids}


def many(count: int, start: int = 0) -> dict[str, Member]:
    return people(*(f"c{n:05d}" for n in range(start, start + count)))


def wanted(desired: dict[str, Member], **changes: object) -> Wanted:
    base = Wanted(
        TARGET, "Rollcall: VIP", desired, is_our_object=True, has_go_ahead=True, is_first_fill=False, reason="matches"
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # tests name fields of Wanted


def seen(*members: str) -> Observed:
    return Observed(TARGET, True, "77", "Rollcall: VIP", frozenset(members))


def test_who_is_wanted_and_absent_enters_and_who_is_ours_and_unwanted_leaves() -> None:
    plan = plan_target(wanted(people("a", "b"), ours=frozenset({"b", "c"})), seen("b", "c"), LIMITS)
    assert [(c.kind, c.contact_id) for c in plan.changes] == [("add", "a"), ("remove", "c")]
    assert (plan.before, plan.entered, plan.left, plan.after) == (2, 1, 1, 2)


def test_somebody_tagged_by_hand_is_kept_and_reported() -> None:
    plan = plan_target(wanted({}, ours=frozenset()), seen("stranger"), LIMITS)
    assert plan.changes == ()
    assert plan.drift == {"tagged_by_hand": 1}


def test_somebody_untagged_by_hand_is_reported_and_enters_again() -> None:
    plan = plan_target(wanted(people("a"), ours=frozenset({"a"})), seen(), LIMITS)
    assert [c.kind for c in plan.changes] == ["add"]
    assert plan.drift == {"untagged_by_hand": 1}


def test_without_a_ledger_nothing_is_removed() -> None:
    plan = plan_target(wanted({}, ours=frozenset()), seen(*many(80)), LIMITS)
    assert plan.changes == ()


def test_a_foreign_object_of_the_same_name_is_left_alone_until_adopted() -> None:
    foreign = wanted(people("a"), is_our_object=False)
    assert plan_target(foreign, seen(), LIMITS).changes == ()
    assert "adopt = true" in plan_target(foreign, seen(), LIMITS).parked
    assert plan_target(replace(foreign, is_adopted=True), seen(), LIMITS).entered == 1


def test_an_object_that_cannot_hold_people_is_left_alone() -> None:
    plan = plan_target(wanted(people("a")), replace(seen(), is_ours_kind=False), LIMITS)
    assert plan.changes == ()
    assert plan.held == 1


def test_the_first_fill_waits_for_the_go_ahead_and_is_outside_the_share_guards() -> None:
    first = wanted(many(5000), has_go_ahead=False, is_first_fill=True, is_our_object=False)
    nothing_there = Observed(TARGET, False)
    waiting = plan_target(first, nothing_there, LIMITS)
    assert (waiting.before, waiting.entered, waiting.after, waiting.waits_for_go_ahead) == (0, 5000, 5000, True)
    assert waiting.writable == ()
    given_now = plan_target(first, nothing_there, LIMITS, with_go_ahead=True)
    assert (len(given_now.writable), given_now.creates_object) == (5000, True)


def test_a_go_ahead_given_when_nobody_was_in_the_segment_is_none_for_thousands_a_later_night() -> None:
    never_made = wanted(many(5000), is_our_object=False)
    parked = plan_target(never_made, Observed(TARGET, False), LIMITS)
    assert (parked.writable, parked.held) == ((), 5000) and "guard max_enter_pct" in parked.parked
    assert plan_target(never_made, Observed(TARGET, False), LIMITS, with_go_ahead=True).creates_object
    assert plan_target(replace(never_made, desired=many(50)), Observed(TARGET, False), LIMITS).creates_object


@pytest.mark.parametrize(
    ("desired", "members", "guard"),
    [
        (many(70), many(100), "max_leave_pct"),
        (many(200), many(100), "max_enter_pct"),
        (many(11_200), many(10_000), "max_change_count"),
    ],
)
def test_a_segment_that_moves_too_far_is_parked(desired: dict[str, Member], members: dict[str, Member], guard: str) -> None:
    plan = plan_target(wanted(desired, ours=frozenset(members)), seen(*members), LIMITS)
    assert plan.changes == ()
    assert guard in plan.parked
    assert plan.before == plan.after == len(members)


def test_no_guard_holds_back_the_removal_of_people_who_said_no() -> None:
    members = many(100)
    refused = dict.fromkeys(list(members)[:60], "said no on Shopify")
    plan = plan_target(wanted({}, ours=frozenset(members), closed=refused), seen(*members), LIMITS)
    assert {c.contact_id for c in plan.changes} == set(refused)
    assert plan.held == 40
    assert plan.before - plan.left == plan.after == 40


def test_refusals_leave_even_while_the_segment_waits_for_a_go_ahead() -> None:
    waiting = wanted(people("new"), ours=frozenset({"no"}), closed={"no": "said no on HubSpot"}, rule_changed=True)
    plan = plan_target(waiting, seen("no"), LIMITS)
    assert [(c.kind, c.contact_id) for c in plan.writable] == [("remove", "no")]
    assert plan.waits_for_go_ahead


def test_small_segments_are_below_the_guards() -> None:
    plan = plan_target(wanted(many(40), ours=frozenset()), seen(), LIMITS)
    assert plan.entered == 40


def test_a_confirmed_write_the_platform_does_not_show_yet_is_not_planned_again() -> None:
    plan = plan_target(wanted(people("a"), ours=frozenset({"a"}), lagging=frozenset({"a"})), seen(), LIMITS)
    assert plan.changes == ()
    assert plan.drift == {}


def test_a_segment_that_is_not_ready_is_not_pushed() -> None:
    plan = plan_target(wanted(people("a"), not_ready="no order history before March"), seen(), LIMITS)
    assert plan.changes == ()
    assert "March" in plan.parked


ids = st.frozensets(st.integers(0, 120).map(lambda n: f"c{n:03d}"), max_size=110)


@given(desired=ids, members=ids, ours=ids, refused=ids, adopted=st.booleans(), go=st.booleans(), first=st.booleans())
def test_the_numbers_add_up_and_only_ours_ever_leaves(
    desired: frozenset[str],
    members: frozenset[str],
    ours: frozenset[str],
    refused: frozenset[str],
    adopted: bool,
    go: bool,
    first: bool,
) -> None:
    closed = dict.fromkeys(refused, "said no")
    plan = plan_target(
        wanted(
            people(*(desired - refused)), ours=ours, closed=closed, is_our_object=adopted, has_go_ahead=go, is_first_fill=first
        ),
        seen(*members),
        LIMITS,
    )
    after = set(members)
    for c in plan.changes:
        assert c.contact_id not in after if c.kind == "add" else c.contact_id in ours
        assert c.contact_id not in refused or c.kind == "remove"
        (after.add if c.kind == "add" else after.remove)(c.contact_id)
    assert len(after) == plan.after == plan.before + plan.entered - plan.left
    assert not (members - ours) - after, "somebody we did not add was removed"


@given(desired=ids, members=ids, ours=ids)
def test_after_carrying_it_out_the_next_plan_is_empty(
    desired: frozenset[str], members: frozenset[str], ours: frozenset[str]
) -> None:
    free = Limits(100, 100_000, 100_000)
    plan = plan_target(wanted(people(*desired), ours=ours), seen(*members), free)
    added = {c.contact_id for c in plan.changes if c.kind == "add"}
    removed = {c.contact_id for c in plan.changes if c.kind == "remove"}
    again = plan_target(wanted(people(*desired), ours=(ours | added) - removed), seen(*((members | added) - removed)), free)
    assert again.changes == ()


def test_who_may_start_a_journey_today_is_limited_and_the_rest_waits() -> None:
    plan = plan_target(wanted(many(30), allowance=10), seen(), LIMITS)
    assert (plan.entered, plan.held) == (10, 20)
    assert [c.contact_id for c in plan.changes] == sorted(many(10))
    assert "another day" in plan.parked


def test_somebody_taken_off_by_hand_stays_off_where_the_owner_says_so() -> None:
    plan = plan_target(wanted(people("a", "b"), ours=frozenset({"a"}), leave_off=True), seen(), LIMITS)
    assert [c.contact_id for c in plan.changes] == ["b"]


def test_a_stopped_run_still_removes_people_who_said_no() -> None:
    stopped = wanted(people("new"), ours=frozenset({"no"}), closed={"no": "said no on HubSpot"}, stopped="guard empty_source")
    plan = plan_target(stopped, seen("no"), LIMITS, with_go_ahead=True)
    assert [(c.kind, c.contact_id) for c in plan.writable] == [("remove", "no")]
    assert plan.held == 1


def test_an_overridden_guard_lets_the_change_through_and_the_next_guard_still_holds() -> None:
    members = many(10_000)
    most = wanted({}, ours=frozenset(members))
    assert plan_target(most, seen(*members), replace(LIMITS, allowed=frozenset({"max_leave_pct"}))).changes == ()
    both = replace(LIMITS, allowed=frozenset({"max_leave_pct", "max_change_count"}))
    assert plan_target(most, seen(*members), both).left == 10_000


def test_after_ten_runs_an_unusual_night_is_parked() -> None:
    members = many(2000)
    fewer = people(*list(members)[100:])
    usual = replace(LIMITS, usual_night=60)
    plan = plan_target(wanted(fewer, ours=frozenset(members)), seen(*members), usual)
    assert "usual_night" in plan.parked
    assert plan_target(wanted(fewer, ours=frozenset(members)), seen(*members), LIMITS).left == 100


def test_a_first_fill_that_was_cut_short_goes_on_but_may_not_empty_the_segment() -> None:
    members = many(400)
    going_on = wanted(many(900), ours=frozenset(members), is_first_fill=True)
    assert plan_target(going_on, seen(*members), LIMITS).entered == 500
    emptied = wanted(many(56), ours=frozenset(members), is_first_fill=True)
    plan = plan_target(emptied, seen(*members), LIMITS)
    assert plan.left == 0
    assert "max_leave_pct" in plan.parked
