"""A write waits, is refused, or its answer is lost, and meanwhile the owner tags somebody by hand: that tag is the owner's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
from urllib3.exceptions import ProtocolError

from adapters import shopify_tags
from connector import journal, planner, writer
from connector.sandbox.base import Request, Response
from connector.sandbox.faults import answer
from models.changes import Batch, Member, Target
from tests.laws.test_lost_answers import Hand, Shop, lost
from tests.stories import small_world
from tests.stories.shopkeeper import NAME, VIP, Shopkeeper
from tests.stories.small_world import NOW, PLATFORMS

WAIT = {"Retry-After": "180"}


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def put_off(shop: Shop, times: int) -> Callable[[int, Request, Hand], Response]:
    def handle(count: int, request: Request, inner: Hand) -> Response:
        if count > times:
            return inner(request)
        refused = answer(shop.platform, "429", shop.simulator.clock)
        return Response(refused.status, {**refused.headers, **WAIT}, refused.body)

    return handle


@pytest.mark.parametrize("is_quiet", [False, True])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_who_is_tagged_by_hand_while_a_refused_write_waits_is_not_ours(
    mock: responses.RequestsMock, tmp_path: Path, platform: str, is_quiet: bool
) -> None:
    shop = Shop(mock, tmp_path, platform)
    if is_quiet:  # Mailchimp's goes out person by person
        shop.owner.change_rule(">= 1", ">= 2")
        shop.owner.change_rule("[mailchimp]\n", "[mailchimp]\nworkers = 1\n")
    shop.owner.believe({"VIP": range(6)})
    shop.push(put_off(shop, 1), lambda: shop.by_hand(4, on=True))
    shop.owner.push(first=False)
    assert shop.carries(4) and not shop.is_ours(4)
    assert shop.carries(5) and shop.is_ours(5)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_write_that_was_refused_to_the_end_claims_nobody_in_the_next_run(
    mock: responses.RequestsMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    shop = Shop(mock, tmp_path, platform)
    shop.owner.believe({"VIP": range(6)})
    shop.push(put_off(shop, 1000))
    assert not shop.carries(4)
    monkeypatch.setattr(small_world, "NOW", NOW + timedelta(minutes=30))
    shop.by_hand(4, on=True)
    shop.owner.push(first=False)
    assert shop.carries(4) and not shop.is_ours(4)
    assert shop.carries(5) and shop.is_ours(5)


def test_a_batch_in_parts_that_is_refused_to_the_end_counts_nobody_as_done_whom_it_did_not_reach_and_says_why(
    mock: responses.RequestsMock, tmp_path: Path
) -> None:
    """HubSpot refuses a batch as a whole, takes the first half of it, and then nothing any more."""
    shop = Shop(mock, tmp_path, "hubspot")
    shop.owner.believe({"VIP": range(12)})
    whole = Response(400, {"Content-Type": "application/json"}, b'{"status": "error", "category": "VALIDATION_ERROR"}')
    off = put_off(shop, 10_000)

    def on_write(count: int, request: Request, inner: Hand) -> Response:
        return whole if count == 1 else inner(request) if count == 2 else off(count, request, inner)

    shop.push(on_write)
    (result,) = shop.session.results
    reached = [n for n in range(4, 12) if shop.carries(n)]
    assert 0 < len(reached) == result.counts["done"] < 8 and result.counts.get("already", 0) == 0
    assert result.planned == sum(result.counts.values()) + result.not_sent and result.not_sent > 0
    assert "429" in result.problem and shop.session.exit_code == 1
    assert [n for n in range(4, 12) if shop.is_ours(n)] == reached
    shop.owner.push(first=False)
    assert all(shop.carries(n) and shop.is_ours(n) for n in range(12))


@pytest.mark.parametrize("aliases", [50, 2, 1])
@pytest.mark.parametrize("takes", [True, False])
def test_who_was_in_it_when_we_looked_or_was_not_reached_is_not_ours_when_an_answer_is_lost(
    mock: responses.RequestsMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes: bool, aliases: int
) -> None:
    """Shopify reads the customers before it writes: what it saw then holds, whatever becomes of the answer."""
    monkeypatch.setattr(shopify_tags, "ALIASES", aliases)
    shop = Shop(mock, tmp_path, "shopify")
    shop.owner.believe({"VIP": range(8)})
    looked: list[int] = []
    lose = lost("reset", takes=takes)

    def on_write(count: int, request: Request, inner: Hand) -> Response:
        if count == 1:
            before, shop.simulator.handle = shop.simulator.handle, inner
            shop.by_hand(7, on=True)
            shop.simulator.handle = before
            looked.append(count)
        return lose(count, request, inner)

    after_plan = shop.owner.plan

    def planned(*args: object, **more: object) -> object:
        plan = after_plan(*args, **more)  # type: ignore[arg-type]
        shop.by_hand(4, on=True)
        return plan

    shop.owner.plan = planned  # type: ignore[method-assign,assignment]
    shop.push(on_write)
    shop.owner.plan = after_plan  # type: ignore[method-assign]
    assert looked and shop.carries(4) and not shop.is_ours(4)
    if aliases < 3:
        assert shop.carries(7) and not shop.is_ours(7)
    assert shop.carries(5) and shop.is_ours(5)


@pytest.mark.parametrize("how", ["500", "reset"])
def test_who_is_tagged_again_by_hand_after_a_removal_whose_answer_was_lost_keeps_it(
    mock: responses.RequestsMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    shop = Shop(mock, tmp_path, "mailchimp")
    shop.owner.believe({"VIP": range(3)})

    def on_write(count: int, request: Request, inner: Hand) -> Response:
        if count > 1:
            return inner(request)
        inner(request)
        monkeypatch.setattr(small_world, "NOW", NOW + timedelta(seconds=30))
        before, shop.simulator.handle = shop.simulator.handle, inner
        shop.by_hand(3, on=True)
        shop.simulator.handle = before
        if how == "500":
            return Response(500, {}, b"{}")
        raise requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError(104, "reset")))

    shop.push(on_write)
    shop.owner.push(first=False)
    assert shop.carries(3) and not shop.is_ours(3)


@pytest.mark.parametrize("platform", ["mailchimp", "hubspot"])
def test_who_is_tagged_again_by_hand_after_a_removal_that_a_crash_cut_off_keeps_it(
    mock: responses.RequestsMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    """Three leave; of one the removal never came about, and they leave in the next run."""
    shop = Shop(mock, tmp_path, platform)
    (object_id,) = {o for _, o, _ in shop.owner.held()}
    monkeypatch.setattr(small_world, "NOW", NOW + timedelta(days=1))
    leaving = tuple(Member(shop.contact(n)) for n in (1, 2, 3))
    target = Target(platform, "VIP", NAME, object_id)
    journal.intend(shop.owner.store, Batch(target, object_id, NAME, (), leaving, "died"), small_world.NOW, "run")
    for n in (2, 3):
        shop.by_hand(n, on=False)
    monkeypatch.setattr(small_world, "NOW", NOW + timedelta(days=1, hours=3))
    shop.by_hand(3, on=True)
    shop.owner.believe({"VIP": range(1)})
    shop.owner.push(first=False)
    assert [n for n in range(4) if shop.carries(n)] == [0, 3]
    assert [n for n in range(4) if shop.is_ours(n)] == [0]


def test_undo_does_not_claim_whom_somebody_has_put_back_by_hand_already(mock: responses.RequestsMock, tmp_path: Path) -> None:
    shop = Shop(mock, tmp_path, "mailchimp")
    shop.owner.believe({"VIP": range(2)})
    taken_off, _ = shop.owner.push(first=False)
    assert not shop.carries(2) and not shop.carries(3)
    shop.by_hand(3, on=True)
    s = shop.owner.session("undo")
    s.counts = shop.owner.counts()
    plan, _ = planner.undo_plan_derived(s, taken_off.run_id)
    writer.carry_out(s, plan)
    assert shop.carries(2) and shop.is_ours(2)
    assert shop.carries(3) and not shop.is_ours(3)


def test_a_tag_that_somebody_made_while_the_owner_read_the_plan_is_not_ours(
    mock: responses.RequestsMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "mailchimp"), only="mailchimp")
    keeper.owner.believe({"VIP": range(4)})
    s = keeper.owner.session()
    plan = keeper.owner.plan(s, first=True)
    monkeypatch.setattr(small_world, "NOW", NOW + timedelta(minutes=5))
    adapter, target = keeper.world.adapter("mailchimp"), Target("mailchimp", "VIP", NAME.lower())
    object_id = adapter.ensure(target)
    adapter.apply(Batch(target, object_id, NAME.lower(), (Member(keeper.world.contact_id("mailchimp", 2)),)))
    writer.carry_out(s, plan, first=True)
    assert "somebody else has made it" in s.problems[0].text
    assert not keeper.owner.held() and len(keeper.world.members("mailchimp", NAME.lower())) == 1
    (waiting,) = keeper.owner.plan(keeper.owner.session(), first=True).targets
    assert "we did not make it" in waiting.parked


@pytest.mark.parametrize("bulk", ["always", "never"])
def test_whom_a_batch_reached_before_the_rest_of_it_was_put_off_is_ours(
    mock: responses.RequestsMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bulk: str
) -> None:
    """4 and 5 enter, 0 leaves: in two jobs, or in three requests."""
    monkeypatch.setattr(shopify_tags, "ALIASES", 1)
    shop = Shop(mock, tmp_path, "shopify")
    shop.owner.change_rule("[shopify]\n", f'[shopify]\nbulk = "{bulk}"\n')
    shop.owner.believe({"VIP": range(1, 6)})
    refused = put_off(shop, 1000)
    shop.push(lambda count, request, inner: inner(request) if count == 1 else refused(count, request, inner))
    reached = [n for n in (4, 5) if shop.carries(n)]
    assert reached and all(shop.is_ours(n) for n in reached) and shop.carries(0) and shop.is_ours(0)
    shop.owner.push(first=False)
    assert [n for n in range(6) if shop.carries(n)] == [n for n in range(6) if shop.is_ours(n)] == [1, 2, 3, 4, 5]


def test_whoever_is_tagged_by_hand_while_the_rest_of_a_long_plan_is_made_is_not_ours(
    mock: responses.RequestsMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan is dated when it is whole; Mailchimp was looked at ten minutes before."""
    shop = Shop(mock, tmp_path, "mailchimp")
    shop.owner.believe({"VIP": range(6)})
    foretell = planner.consequences.foretell

    def slowly(*args: Any) -> Any:
        monkeypatch.setattr(small_world, "NOW", NOW + timedelta(minutes=10))
        shop.by_hand(4, on=True)
        return foretell(*args)

    monkeypatch.setattr(planner.consequences, "foretell", slowly)
    shop.owner.push(first=False)
    assert shop.carries(4) and not shop.is_ours(4)
    assert shop.carries(5) and shop.is_ours(5)


@pytest.mark.parametrize("how", ["500", "reset"])
def test_who_was_put_on_a_list_while_the_owner_read_the_plan_is_not_ours_when_the_answer_is_lost(
    mock: responses.RequestsMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """HubSpot's answer would have told; its dates do."""
    shop = Shop(mock, tmp_path, "hubspot")
    shop.owner.believe({"VIP": range(6)})
    planned = shop.owner.plan

    def plan(*args: Any, **more: Any) -> Any:
        made = planned(*args, **more)
        shop.by_hand(4, on=True)
        monkeypatch.setattr(small_world, "NOW", NOW + timedelta(minutes=20))
        return made

    monkeypatch.setattr(shop.owner, "plan", plan)
    shop.push(lost(how, takes=True))
    assert shop.carries(4) and not shop.is_ours(4)
    assert shop.carries(5) and shop.is_ours(5)
