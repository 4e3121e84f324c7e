"""Promises about how an adapter talks: keys, scopes, faults, pacing, and what may never be said aloud."""

from __future__ import annotations

import json
import logging
from datetime import datetime

import pytest
import requests

from adapters.base import ending_soon
from connector.conformance.reading import pointed_elsewhere
from connector.conformance.world import ELSEWHERE, HOST, World, batch, contacts, ids, read
from connector.sandbox.base import Limits, Request, Response
from models.errors import AuthError, ConnectorError, PermanentApiError, RetryableApiError, ScopeError

Fault = Response | Exception
FAULTS: dict[str, Fault] = {
    "500": Response(500, {}, b"{}"),
    "502": Response(502, {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>"),
    "503 empty": Response(503, {}, b""),
    "not JSON": Response(200, {"Content-Type": "text/html"}, b"<html>Please wait</html>"),
    "cut": Response(200, {"Content-Type": "application/json"}, b'{"cut": ['),
    "wrong length": Response(200, {"Content-Type": "application/json", "Content-Length": "9999"}, b"{}"),
    "empty": Response(200, {"Content-Type": "application/json"}, b""),
    "reset": requests.exceptions.ConnectionError("reset"),
    "stall": requests.exceptions.ReadTimeout("no answer in time"),
}


class Manners:
    """See connector/conformance/__init__.py."""

    # ---- keys and scopes

    def test_a_wrong_key_is_said_at_once_and_not_tried_again(self, world: World) -> None:
        adapter = world.adapter(**world.wrong)
        with pytest.raises(AuthError):
            adapter.account()
        assert len(world.calls) <= 2
        with pytest.raises(AuthError):
            next(iter(adapter.pages(adapter.contacts_stream, None)))

    def test_a_missing_scope_is_a_scope_error(self, world: World) -> None:
        adapter = world.adapter()
        adapter.account()
        world.hook = lambda request: world.forbidden
        with pytest.raises(ScopeError):
            list(adapter.pages(adapter.contacts_stream, None))

    def test_the_check_finds_words_for_everything_and_never_raises(self, world: World) -> None:
        assert all(f.text for f in world.adapter().check())
        world.hook = lambda request: world.forbidden
        assert [f for f in world.adapter().check() if f.level == "error"]
        world.hook = lambda request: Response(500, {}, b"{}")
        assert [f for f in world.adapter().check() if f.level != "ok"]
        assert [f for f in world.adapter(**world.wrong).check() if f.level == "error"]

    def test_versions_that_end_soon_can_be_said(self, world: World) -> None:
        adapter = world.adapter()
        for what, until in adapter.ends():
            (said,) = ending_soon([(what, until)], until)
            assert adapter.title in said and str(until) in said

    # ---- faults

    @pytest.mark.parametrize("fault", FAULTS)
    def test_a_read_survives_bad_answers(self, world: World, fault: str) -> None:
        count = 0

        def sometimes(request: Request) -> Fault | None:
            nonlocal count
            count += 1
            return FAULTS[fault] if count % 3 == 0 else None

        world.hook = sometimes
        assert len(ids(world, read(world))) == len(world.customers)
        assert count >= 3

    def test_a_platform_that_is_down_is_said_after_the_tries_and_no_page_is_made_up(self, world: World) -> None:
        adapter = world.adapter()
        adapter.account()
        world.calls.clear()
        world.hook = lambda request: Response(503, {}, b"{}")
        with pytest.raises(RetryableApiError):
            list(adapter.pages(adapter.contacts_stream, None))
        assert 1 < len(world.calls) <= 40

    def test_it_waits_as_long_as_the_platform_asks(self, world: World) -> None:
        answer, wait_s = world.throttled
        asked: list[datetime] = []

        def slow_down(request: Request) -> Response | None:
            asked.append(world.now)
            return answer if len(asked) == 2 else None

        world.hook = slow_down
        assert len(ids(world, read(world))) == len(world.customers)
        assert (max(asked) - asked[1]).total_seconds() >= wait_s

    def test_the_platforms_limits_are_kept_without_a_refusal(self, world: World) -> None:
        world.simulator.limits = Limits(on=True)  # type: ignore[attr-defined]  # every simulator has limits
        refused: list[int] = []

        def watch(request: Request) -> Response:
            response = world.simulator.handle(request)
            if response.status == 429 or b"THROTTLED" in response.body:
                refused.append(response.status)
            return response

        world.hook = watch
        adapter = world.adapter()
        for _ in range(3):
            pages = list(adapter.pages(adapter.contacts_stream, None))
            assert len(ids(world, pages)) == len(world.customers)
        assert not refused

    # ---- where the key goes

    def test_a_redirect_is_refused_and_the_key_goes_nowhere_else(self, world: World) -> None:
        world.hook = lambda request: Response(302, {"Location": f"{ELSEWHERE}{request.path}"})
        with pytest.raises(PermanentApiError):
            world.adapter().account()
        assert {host for host, _, _ in world.calls} == {HOST}

    def test_a_hostile_link_in_an_answer_takes_the_key_nowhere(self, world: World) -> None:
        world.hook = lambda request: pointed_elsewhere(world.simulator.handle(request), ELSEWHERE)
        for stream in world.adapter().streams():
            try:
                read(world, stream=stream.name)
            except ConnectorError as e:
                assert "another host" in str(e) or "sends us on" in str(e)
        assert not [r.path for host, r, _ in world.calls if host != HOST and _carries(world, r)]

    # ---- what is said aloud

    def test_nobodys_address_and_no_key_is_in_an_error(self, world: World) -> None:
        adapter = world.adapter()
        world.hook = lambda request: Response.json(
            {"title": "x", "detail": "ann@shop.example is bad", "message": "ann@shop.example", "error": world.secrets}, 400
        )
        with pytest.raises(ConnectorError) as refused:
            list(adapter.pages(adapter.contacts_stream, None))
        text = f"{refused.value!r} {refused.value}"
        assert "@shop.example" not in text
        assert not [s for s in world.secrets if s in text]

    def test_no_address_and_no_key_is_ever_logged(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            adapter, members = world.adapter(), contacts(world, 2)
            adapter.apply(batch(world, adapter, adds=members))
            list(adapter.reread([m.contact_id for m in members]))
            world.hook = lambda request: Response.json({"message": members[0].email}, 400)
            with pytest.raises(ConnectorError):
                list(adapter.pages(adapter.contacts_stream, None))
        text = "\n".join(r.getMessage() for r in caplog.records)
        assert text, "nothing was logged at all"
        assert not [w for w in (*world.secrets, *(m.email for m in members if m.email)) if w in text]


def _carries(world: World, request: Request) -> bool:
    sent = json.dumps([request.headers, request.query, request.path]) + request.body.decode(errors="replace")
    return any(secret in sent for secret in world.secrets)
