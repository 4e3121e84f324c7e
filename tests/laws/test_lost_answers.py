"""Between a write and its answer time passes, and somebody else may have a hand in it: what is not known is read back before
anything is repeated, and whom a write reached that was refused later is ours all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import requests
import responses
from urllib3.exceptions import ProtocolError

from adapters import shopify_tags
from connector import writer
from connector.sandbox.base import Request, Response
from connector.sandbox.faults import answer
from models.changes import Batch, Member, Target
from tests.simulated import between
from tests.stories import small_world
from tests.stories.shopkeeper import NAME, VIP, Shopkeeper
from tests.stories.small_world import NOW, PLATFORMS

NO = {
    "shopify": {"consent": "unsubscribed"},
    "mailchimp": {"status": "unsubscribed"},
    "hubspot": {"consent": "unsubscribed"},
}
Hand = Callable[[Request], Response]


class Shop:
    """Of twelve people, the first four carry the tag."""

    def __init__(self, mock: responses.RequestsMock, folder: Path, platform: str) -> None:
        self.platform = platform
        self.keeper = Shopkeeper(mock, folder, VIP.replace("hubspot", platform), only=platform)
        self.owner, self.simulator = self.keeper.owner, self.keeper.world.simulators[platform]
        self.owner.believe({"VIP": range(4)})
        self.owner.push()

    def contact(self, n: int) -> str:
        return self.keeper.world.contact_id(self.platform, n)

    def by_hand(self, n: int, *, on: bool) -> None:
        (object_id,) = {o for _, o, _ in self.owner.held()}
        who, target = (Member(self.contact(n)),), Target(self.platform, "VIP", NAME, object_id)
        self.keeper.world.adapter(self.platform).apply(Batch(target, object_id, NAME, who if on else (), () if on else who))

    def carries(self, n: int) -> bool:
        return self.contact(n) in self.keeper.world.members(self.platform, NAME)

    def is_ours(self, n: int) -> bool:
        return self.contact(n) in {contact for _, _, contact in self.owner.held()}

    def says_no(self, n: int) -> None:
        self.simulator.change(f"p{n:05d}", NO[self.platform])

    def is_write(self, request: Request) -> bool:
        if self.platform == "shopify":
            return b"tagsAdd" in request.body or b"tagsRemove" in request.body
        return request.method in ("POST", "PUT") and any(w in request.path for w in ("segments/", "memberships", "/tags"))

    def push(
        self, on_write: Callable[[int, Request, Hand], Response], meanwhile: Callable[[], None] = lambda: None
    ) -> list[str]:
        """Gives what was sent from the first write on. on_write: answers the writes, which are counted from 1. meanwhile: what
        happens once, while the push waits."""
        writes: list[Request] = []
        sent: list[str] = []
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            if writes and not waits:
                waits.append(seconds)
                before, self.simulator.handle = self.simulator.handle, hand_on
                meanwhile()
                self.simulator.handle = before

        def handle(request: Request, inner: Hand) -> Response:
            if not self.is_write(request):
                sent.extend(["read"] if sent else [])
                return inner(request)
            sent.append("write")
            writes.append(request)
            return on_write(len(writes), request, inner)

        self.session = s = self.owner.session()
        s.sleep = sleep
        plan = self.owner.plan(s, first=True)
        hand_on = self.simulator.handle
        with between(self.simulator, handle):
            writer.carry_out(s, plan, first=True)
        return sent


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def lost(how: str, *, takes: bool) -> Callable[[int, Request, Hand], Response]:
    """The first write's answer never comes; whether it took effect is another matter."""

    def handle(count: int, request: Request, inner: Hand) -> Response:
        if count > 1:
            return inner(request)
        if takes:
            inner(request)
        if how == "500":
            return Response(500, {}, b"{}")
        raise requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError(104, "reset")))

    return handle


@pytest.mark.parametrize("takes", [True, False])
@pytest.mark.parametrize("how", ["500", "reset"])
def test_shopify_reads_back_before_it_repeats_so_that_a_hand_in_the_meantime_is_not_fought(
    mock: responses.RequestsMock, tmp_path: Path, how: str, takes: bool
) -> None:
    shop = Shop(mock, tmp_path, "shopify")
    shop.owner.believe({"VIP": range(3)})
    sent = shop.push(lost(how, takes=takes))
    assert sent[:2] == ["write", "read"] and sent.count("write") == (1 if takes else 2)
    assert not shop.carries(3) and not shop.is_ours(3)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_write_that_was_put_off_and_slept_over_is_not_sent_before_consent_is_asked_for_again(
    mock: responses.RequestsMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    shop = Shop(mock, tmp_path, platform)
    shop.owner.believe({"VIP": range(5)})

    def overnight() -> None:
        monkeypatch.setattr(small_world, "NOW", NOW + timedelta(hours=8))
        shop.says_no(4)

    def put_off(count: int, request: Request, inner: Hand) -> Response:
        return answer(platform, "429", shop.simulator.clock) if count == 1 else inner(request)

    shop.push(put_off, overnight)
    assert not shop.carries(4)


@pytest.mark.parametrize("platform", ["mailchimp", "hubspot"])
def test_who_was_put_in_by_hand_while_the_machine_slept_over_a_lost_write_is_not_ours(
    mock: responses.RequestsMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    shop = Shop(mock, tmp_path, platform)
    shop.owner.believe({"VIP": range(5)})
    lose = lost("reset", takes=False)

    def slept(count: int, request: Request, inner: Hand) -> Response:
        if count == 1:
            monkeypatch.setattr(small_world, "NOW", NOW + timedelta(hours=8))
            handle, shop.simulator.handle = shop.simulator.handle, inner
            shop.by_hand(4, on=True)
            shop.simulator.handle = handle
        return lose(count, request, inner)

    shop.push(slept)
    assert shop.carries(4) and not shop.is_ours(4)
    shop.owner.push(first=False)
    assert shop.carries(4) and not shop.is_ours(4)


@pytest.mark.parametrize(("platform", "status"), [("shopify", 430), ("shopify", 423), ("mailchimp", 403)])
def test_whom_a_batch_reached_before_the_platform_refused_the_rest_of_it_loses_the_tag_on_saying_no(
    mock: responses.RequestsMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, status: int
) -> None:
    """Shopify's batch goes out in several requests; Mailchimp's quiet fill asks for one person after another."""
    monkeypatch.setattr(shopify_tags, "ALIASES", 2)
    shop = Shop(mock, tmp_path, platform)
    shop.owner.change_rule(">= 1", ">= 2")
    shop.owner.believe({"VIP": range(9)})
    refusal = Response(status, {"Content-Type": "application/json"}, b'{"errors": "no", "status": 403, "title": "Forbidden"}')
    shop.push(lambda count, request, inner: inner(request) if count == 1 else refusal)
    reached = [n for n in range(4, 9) if shop.carries(n)]
    assert reached
    for n in range(9):
        shop.says_no(n)
    shop.owner.pull()
    shop.owner.push(first=False)
    assert [n for n in range(9) if shop.carries(n)] == []
