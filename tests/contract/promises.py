"""The promises every adapter keeps, as tests. Inherit `Promises`, give it a `world` fixture, and pytest asks all of them.

    class TestMyPlatform(Promises):
        @pytest.fixture
        def world(self): ...   # yields a World

A World is a simulator of the platform behind in-process HTTP, with a clock that sleeping moves on, every request that
was made, and a hand to put in between (`hook`). What a new platform needs besides is said in docs/adding-a-platform.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import responses

from adapters import load
from adapters.base import Adapter, Page
from connector import normalize
from connector.sandbox.base import Request, Response, Simulator, dressed
from models.changes import Batch, Member, Target
from models.errors import AmbiguousWriteError, AuthError, ConnectorError, PermanentApiError, ScopeError

NOW = datetime(2026, 11, 21, 12)
HOST = "http://platform.test"
ELSEWHERE = "https://elsewhere.test"
FORBIDDEN = re.compile(
    rb'"(status|status_if_new|email_status|marketingState|emailMarketingConsent|hs_email_optout\w*|consentUpdatedAt)"\s*:'
    rb"|emailMarketingConsent|customerEmailMarketingConsentUpdate|subscriptions?/(un)?subscribe"
)
"""No request may carry a subscription status, under any of its names."""


@dataclass
class World:
    """One simulated account. `settings` are what an adapter is made from; `wrong` those with a token nobody knows.

    changes: what `simulator.change` may set on a contact. customers: the ids the simulator knows. forbidden: the
    platform's own answer when a scope is missing.
    """

    name: str
    simulator: Simulator
    settings: dict[str, Any]
    wrong: dict[str, Any]
    forbidden: Response
    customers: Sequence[str]
    is_write: Callable[[Request], bool]
    now: datetime = NOW
    hook: Callable[[Request], Response | Exception | None] = lambda request: None
    calls: list[tuple[str, Request]] = field(default_factory=list)

    def sleep(self, wait_s: float) -> None:
        self.now += timedelta(seconds=wait_s)

    def adapter(self, **more: Any) -> Adapter:
        settings = {"tries": 4, "max_wait_s": 900, "base_url": f"{HOST}/{self.name}", **self.settings, **more}
        return load(self.name)(settings, now_utc=lambda: self.now, sleep=self.sleep)

    def change(self, customer: str, **wanted: Any) -> None:
        self.now += timedelta(seconds=30)
        assert self.simulator.change(customer, wanted)
        self.now += timedelta(seconds=30)

    def writes(self) -> list[Request]:
        return [request for _, request in self.calls if self.is_write(request)]


@contextmanager
def connected(world: World) -> Iterator[World]:
    """Every request of this process goes to the simulator, or nowhere."""
    world.simulator.base_url = f"{HOST}/{world.name}"

    def answer(sent: Any) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(sent.url)
        body = sent.body if isinstance(sent.body, bytes) else (sent.body or "").encode()
        request = Request(
            sent.method,
            unquote(parts.path.removeprefix(f"/{world.name}")) or "/",
            parse_qs(parts.query, keep_blank_values=True),
            {k.lower(): v if isinstance(v, str) else v.decode() for k, v in sent.headers.items()},
            body,
        )
        world.calls.append((f"{parts.scheme}://{parts.hostname}", request))
        found = world.hook(request)
        if isinstance(found, Exception):
            raise found
        response = dressed(found or world.simulator.handle(request), world.now, f"test-{len(world.calls)}")
        return response.status, response.headers, response.body

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            mock.add_callback(method, re.compile(".*"), callback=answer)
        yield world


class Promises:
    """What `adapters.base.Adapter` says in words."""

    # ---- reading

    def test_the_contacts_stream_is_there_and_needed(self, world: World) -> None:
        adapter = world.adapter()
        assert adapter.contacts_stream in [s.name for s in adapter.streams() if s.needed]

    def test_a_backfill_gives_every_contact_and_says_how_many_there_are(self, world: World) -> None:
        pages = read(world)
        assert len(ids(world, pages)) == len(world.customers)
        assert [p.done for p in pages].count(True) == 1 and pages[-1].done
        assert {p.total for p in pages if p.total is not None} <= {len(world.customers)}

    def test_it_goes_on_behind_every_page_with_nothing_but_the_saved_cursor(self, world: World) -> None:
        pages = read(world)
        everybody = ids(world, pages)
        assert len([p for p in pages if p.records]) >= 3, "too few pages to prove anything"
        for n, page in enumerate(pages[:-1]):
            saved = json.loads(json.dumps(page.cursor))
            rest = read(world, saved)
            assert ids(world, pages[: n + 1]) | ids(world, rest) == everybody, f"after page {n}"
            assert rest[-1].done

    def test_a_saved_cursor_is_not_moved_by_reading_on(self, world: World) -> None:
        adapter, saved = world.adapter(), []
        for page in adapter.pages(adapter.contacts_stream, None):
            saved.append((page.cursor, json.dumps(page.cursor, sort_keys=True)))
        assert all(json.dumps(cursor, sort_keys=True) == text for cursor, text in saved)

    def test_after_a_whole_walk_only_what_changed_is_read(self, world: World) -> None:
        done = read(world)[-1].cursor
        world.now += timedelta(days=2)
        quiet = read(world, done)
        world.change(world.customers[5], last_name="Changed")
        pages = read(world, quiet[-1].cursor)
        assert len(ids(world, pages)) == 1
        assert "Changed" in json.dumps([r for p in pages for r in p.records])
        assert read(world, pages[-1].cursor)[-1].done

    def test_a_change_while_the_walk_is_under_way_is_met_by_it_or_by_the_next(self, world: World) -> None:
        adapter = world.adapter()
        pages = []
        for page in adapter.pages(adapter.contacts_stream, None):
            if len(pages) == 1:
                for customer in (world.customers[0], world.customers[-1]):
                    world.change(customer, last_name="Moved")
            pages.append(page)
        pages += read(world, pages[-1].cursor)
        last = {record_id(world, r): json.dumps(r) for p in pages for r in p.records}
        assert len(last) == len(world.customers)
        assert sum("Moved" in text for text in last.values()) == 2

    def test_full_reads_everything_again(self, world: World) -> None:
        done = read(world)[-1].cursor
        assert len(ids(world, read(world, done, full=True))) == len(world.customers)

    def test_rereading_gives_contacts_as_they_are_and_names_those_that_are_not_there(self, world: World) -> None:
        adapter = world.adapter()
        someone, other = sorted(ids(world, read(world)))[:2]
        nobody = someone.translate(str.maketrans("0123456789abcdef", "fedcba9876543210"))
        nobody = nobody if not someone.isdigit() else str(int(someone) + 10**8)
        pages = list(adapter.reread([someone, other, nobody]))
        assert ids(world, pages) == {someone, other}
        assert {i for p in pages for i in p.gone} == {nobody}

    def test_every_record_of_every_stream_can_be_translated(self, world: World) -> None:
        adapter = world.adapter()
        for stream in adapter.streams():
            for page in adapter.pages(stream.name, None):
                for record in page.records:
                    assert translator(world).normalize(stream.name, record) is not None

    # ---- writing

    def test_what_is_not_there_is_not_observed_and_nothing_is_made_by_looking(self, world: World) -> None:
        (seen,) = world.adapter().observe([target(world)], {"s": frozenset()})
        assert not seen.exists and not seen.members
        assert not world.writes()

    def test_ensuring_twice_gives_one_object(self, world: World) -> None:
        adapter = world.adapter()
        first, second = adapter.ensure(target(world)), world.adapter().ensure(target(world))
        assert first == second

    def test_applying_twice_is_applying_once_and_each_change_has_one_outcome(self, world: World) -> None:
        adapter, members = world.adapter(), contacts(world, 3)
        for _ in range(2):
            outcomes = adapter.apply(batch(world, adapter, adds=members))
            assert sorted(o.contact_id for o in outcomes) == sorted(m.contact_id for m in members)
            assert {o.result for o in outcomes} <= {"done", "already"}
        assert members_of(world) == {m.contact_id for m in members}
        for _ in range(2):
            assert len(adapter.apply(batch(world, adapter, removes=members[:1]))) == 1
        assert members_of(world) == {m.contact_id for m in members[1:]}

    def test_a_contact_that_is_not_there_is_named_and_never_made(self, world: World) -> None:
        adapter = world.adapter()
        (someone,) = contacts(world, 1)
        nobody = Member(
            str(int(someone.contact_id) + 10**8) if someone.contact_id.isdigit() else "f" * 32, "nobody@nowhere.example"
        )
        outcomes = {o.contact_id: o.result for o in adapter.apply(batch(world, adapter, adds=[someone, nobody]))}
        assert outcomes[someone.contact_id] in ("done", "already")
        assert outcomes[nobody.contact_id] in ("missing", "refused")
        assert len(ids(world, read(world))) == len(world.customers)

    def test_a_write_whose_answer_is_lost_is_told_or_read_back(self, world: World) -> None:
        """Either the adapter says that nobody knows, or it has looked itself; what it says is what is so."""
        adapter, members = world.adapter(), contacts(world, 2)
        doing = batch(world, adapter, adds=members)
        lost: list[Request] = []

        def lose(request: Request) -> Exception | None:
            if not world.is_write(request) or lost:
                return None
            lost.append(request)
            world.simulator.handle(request)
            return responses.ConnectionError("the answer was lost")

        world.hook = lose
        try:
            said = {o.contact_id: o.result in ("done", "already") for o in adapter.apply(doing)}
        except AmbiguousWriteError:
            said = dict(adapter.written(doing))
        assert lost
        assert said == {m.contact_id: True for m in members}
        assert members_of(world) == said.keys()

    def test_no_request_ever_carries_a_status(self, world: World) -> None:
        adapter, members = world.adapter(), contacts(world, 4)
        adapter.apply(batch(world, adapter, adds=members))
        adapter.apply(batch(world, adapter, removes=members[:2]))
        assert world.writes()
        assert not [w.path for w in world.writes() if FORBIDDEN.search(w.body)]

    # ---- manners

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

    def test_a_redirect_is_refused_and_the_key_goes_nowhere_else(self, world: World) -> None:
        world.hook = lambda request: Response(302, {"Location": f"{ELSEWHERE}{request.path}"})
        with pytest.raises(PermanentApiError):
            world.adapter().account()
        assert {host for host, _ in world.calls} == {HOST}

    @pytest.mark.parametrize(
        "bad",
        [
            Response(500, {}, b"{}"),
            Response(502, {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>"),
            Response(200, {"Content-Type": "text/html"}, b"<html>Please wait</html>"),
            Response(200, {"Content-Type": "application/json"}, b'{"cut": ['),
            Response(200, {"Content-Type": "application/json", "Content-Length": "9999"}, b"{}"),
            responses.ConnectionError("reset"),
        ],
        ids=["500", "502", "not JSON", "cut", "wrong length", "reset"],
    )
    def test_a_read_survives_bad_answers(self, world: World, bad: Response | Exception) -> None:
        count = 0

        def sometimes(request: Request) -> Response | Exception | None:
            nonlocal count
            count += 1
            return bad if count % 3 == 0 else None

        world.hook = sometimes
        assert len(ids(world, read(world))) == len(world.customers)
        assert count >= 3

    def test_nobodys_address_and_no_key_is_in_an_error(self, world: World) -> None:
        adapter = world.adapter()
        world.hook = lambda request: Response.json(
            {"title": "x", "detail": "ann@shop.example is bad", "message": "ann@shop.example"}, 400
        )
        with pytest.raises(ConnectorError) as refused:
            list(adapter.pages(adapter.contacts_stream, None))
        text = f"{refused.value!r} {refused.value}"
        assert "@shop.example" not in text
        assert not [v for k, v in world.settings.items() if k == "token" and str(v) in text]


def read(world: World, cursor: Any = None, *, full: bool = False) -> list[Page]:
    """One walk over the contacts by a new adapter, as a new process would make it."""
    adapter = world.adapter()
    return list(adapter.pages(adapter.contacts_stream, cursor, full=full))


def translator(world: World) -> normalize.Normalizer:
    return normalize.Normalizer(normalize.load_mapping(world.name), {}, date(2026, 11, 21))


def record_id(world: World, record: Any) -> str:
    adapter = load(world.name)
    return translator(world).record_id(adapter.contacts_stream, record)


def ids(world: World, pages: Sequence[Page]) -> set[str]:
    made, stream = translator(world), load(world.name).contacts_stream
    return {made.record_id(stream, r) for p in pages for r in p.records}


def contacts(world: World, count: int) -> list[Member]:
    made, stream = translator(world), load(world.name).contacts_stream
    rows = [made.normalize(stream, r)["contacts"][0] for p in read(world) for r in p.records]
    found = sorted({(str(r["contact_id"]), str(r["email"] or "")) for r in rows})[:count]
    world.calls.clear()
    return [Member(contact_id, email) for contact_id, email in found]


def target(world: World, object_id: str = "") -> Target:
    return Target(world.name, "s", "Rollcall: Frequent", object_id)


def batch(world: World, adapter: Adapter, *, adds: Sequence[Member] = (), removes: Sequence[Member] = ()) -> Batch:
    object_id = adapter.ensure(target(world))
    return Batch(target(world, object_id), object_id, "Rollcall: Frequent", tuple(adds), tuple(removes), "b1")


def members_of(world: World) -> set[str]:
    """Read back by a new adapter once the platform has settled."""
    world.hook = lambda request: None
    world.now += timedelta(minutes=5)
    adapter = world.adapter()
    everybody = frozenset(ids(world, read(world)))
    (seen,) = adapter.observe([target(world, adapter.ensure(target(world)))], {"s": everybody})
    return set(seen.members)
