"""Promises about walking a stream: streams, records, pages, cursors, what changes meanwhile."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from adapters.base import Page
from connector import normalize
from connector.conformance.world import World, ids, nobody_like, read, record_id, translator
from connector.sandbox.base import Request, Response
from models.errors import ConnectorError


class Reading:
    """See connector/conformance/__init__.py."""

    # ---- streams and records

    def test_the_contacts_stream_is_there_and_needed(self, world: World) -> None:
        adapter = world.adapter()
        assert adapter.contacts_stream in [s.name for s in adapter.streams() if s.needed]

    def test_every_stream_has_one_name_and_a_section_in_the_mapping(self, world: World) -> None:
        names = [s.name for s in world.adapter().streams()]
        assert len(names) == len(set(names))
        assert set(names) <= normalize.load_mapping(world.name).streams.keys()

    def test_every_record_of_every_stream_can_be_translated_and_has_an_id(self, world: World) -> None:
        made = translator(world)
        for stream in world.adapter().streams():
            pages = read(world, stream=stream.name)
            for record in (r for p in pages for r in p.records):
                assert made.normalize(stream.name, record) is not None
                assert record_id(world, record, stream.name)
            assert pages[-1].done and [p.done for p in pages].count(True) == 1, stream.name

    def test_every_contact_carries_an_answer_about_email(self, world: World) -> None:
        made, stream = translator(world), world.adapter().contacts_stream
        for record in (r for p in read(world) for r in p.records):
            found = made.normalize(stream, record)
            assert found["contacts"][0]["contact_id"]
            if found["contacts"][0].get("email"):
                assert any(c["channel"] == "email" and c["status"] for c in found.get("consents", ()))

    # ---- pages and cursors

    def test_a_backfill_gives_every_contact_and_says_how_many_there_are(self, world: World) -> None:
        pages = read(world)
        assert len(ids(world, pages)) == len(world.customers)
        assert [p.done for p in pages].count(True) == 1 and pages[-1].done
        assert {p.total for p in pages if p.total is not None} == {len(world.customers)}

    def test_it_goes_on_behind_every_page_with_nothing_but_the_saved_cursor(self, world: World) -> None:
        pages = read(world)
        everybody = ids(world, pages)
        assert len([p for p in pages if p.records]) >= 3, "too few pages to prove anything"
        for n, page in enumerate(pages[:-1]):
            saved = json.loads(json.dumps(page.cursor))
            world.now += timedelta(minutes=1)
            rest = read(world, saved)
            assert ids(world, pages[: n + 1]) | ids(world, rest) == everybody, f"after page {n}"
            assert rest[-1].done
            assert len(ids(world, rest)) < len(everybody) or n == 0, f"after page {n} all was read again"

    def test_other_streams_go_on_too(self, world: World) -> None:
        for stream in (s.name for s in world.adapter().streams() if s.name != world.adapter().contacts_stream):
            pages = read(world, stream=stream)
            if len(pages) < 2:
                continue
            middle = len(pages) // 2
            rest = read(world, json.loads(json.dumps(pages[middle - 1].cursor)), stream)
            assert ids(world, pages[:middle], stream) | ids(world, rest, stream) == ids(world, pages, stream), stream

    def test_a_saved_cursor_is_not_moved_by_reading_on(self, world: World) -> None:
        adapter, saved = world.adapter(), []
        for page in adapter.pages(adapter.contacts_stream, None):
            saved.append((page.cursor, json.dumps(page.cursor, sort_keys=True)))
        assert all(json.dumps(cursor, sort_keys=True) == text for cursor, text in saved)

    def test_a_cursor_holds_no_address_and_no_key(self, world: World) -> None:
        text = json.dumps([p.cursor for p in read(world)])
        assert "@" not in text
        assert not [s for s in world.secrets if s in text]

    def test_pages_that_repeat_themselves_are_reported_or_never_called_whole(self, world: World) -> None:
        listing = lists_of(world)
        seen: list[Response] = []

        def again(request: Request) -> Response | None:
            if world.is_write(request) or not listing(request):
                return None
            if len(seen) < 2:
                seen.append(world.simulator.handle(request))
                return seen[-1]
            return seen[1]

        world.hook = again
        assert_told(world, lambda: read(world))
        assert len(seen) == 2

    def test_a_page_that_came_empty_is_reported_or_never_called_whole(self, world: World) -> None:
        listing = lists_of(world)
        emptied: list[int] = []

        def empty(request: Request) -> Response | None:
            if world.is_write(request) or not listing(request):
                return None
            response = world.simulator.handle(request)
            emptied.append(1)
            return without_records(response) if len(emptied) == 2 else response

        world.hook = empty
        assert_told(world, lambda: read(world))
        assert len(emptied) >= 2

    # ---- what changed

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
        pages: list[Page] = []
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

    def test_since_leaves_out_nothing_that_changed_from_then_on(self, world: World) -> None:
        world.now += timedelta(days=3)
        since = world.now
        for customer in world.customers[:2]:
            world.change(customer, last_name="Lately")
        world.now += timedelta(minutes=5)
        pages = read(world, since=since)
        assert sum("Lately" in json.dumps(r) for p in pages for r in p.records) == 2
        assert pages[-1].done

    def test_rereading_gives_contacts_as_they_are_and_names_those_that_are_not_there(self, world: World) -> None:
        adapter = world.adapter()
        someone, other = sorted(ids(world, read(world)))[:2]
        nobody = nobody_like(someone)
        world.hook = lambda request: None
        pages = list(adapter.reread([someone, other, nobody]))
        assert ids(world, pages) == {someone, other}
        assert {i for p in pages for i in p.gone} == {nobody}


def assert_told(world: World, walk: Callable[[], list[Page]]) -> None:
    """The walk meets everybody, or it fails, or it says a total that shows what is lacking."""
    try:
        pages = walk()
    except ConnectorError:
        return
    met, totals = len(ids(world, pages)), [p.total for p in pages if p.total is not None]
    assert met == len(world.customers) or not pages[-1].done or (totals and totals[-1] > met), (
        f"{met} of {len(world.customers)} contacts were met, and nothing says that it was not all of them"
    )


def lists_of(world: World) -> Callable[[Request], bool]:
    """Which requests list contacts: those whose answers hold several records in one list."""

    def is_one(request: Request) -> bool:
        response = world.simulator.handle(request)
        return response.status == 200 and len(_longest(_json(response)) or ()) >= 5

    return is_one


def without_records(response: Response) -> Response:
    body = _json(response)
    longest = _longest(body)
    assert longest
    longest.clear()
    return Response.json(body, response.status, {k: v for k, v in response.headers.items() if k.lower() != "content-length"})


def _json(response: Response) -> Any:
    try:
        return json.loads(response.body)
    except ValueError:
        return None


def _longest(value: Any) -> list[Any] | None:
    """The longest list of objects anywhere in an answer."""
    found: list[list[Any]] = []
    if isinstance(value, list):
        found = [value] if value and all(isinstance(v, dict) for v in value) else []
        found += [inner for v in value if (inner := _longest(v)) is not None]
    elif isinstance(value, dict):
        found = [inner for v in value.values() if (inner := _longest(v)) is not None]
    return max(found, key=len, default=None)


def pointed_elsewhere(response: Response, address: str) -> Response:
    """The same answer with every address in it on another host."""
    links = re.compile(rb"https?:(\\?/){2}[^\"\\/>;,\s]+")
    headers = {k: links.sub(address.encode(), v.encode()).decode() for k, v in response.headers.items()}
    return Response(response.status, headers, links.sub(address.encode(), response.body))
