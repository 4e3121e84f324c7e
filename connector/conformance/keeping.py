"""Promises about what comes of a pull: totals that prove it whole, records that are gone, closed streams, versions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

from adapters import load
from adapters.base import Adapter, Page
from connector import pull, runs
from connector.conformance.world import World, ids, read, record_id, rows, translator
from connector.sandbox.base import Request, Response
from connector.store import Store
from models.people import StreamCount

NOT_LIVE = frozenset({"archived", "merged", "erased", "gone"})


class Keeping:
    """See connector/conformance/__init__.py."""

    def test_a_pull_accounts_for_every_record_and_agrees_with_the_platforms_own_count(self, world: World) -> None:
        with Store(":memory:") as store:
            counts = pulled(world, store)
        people = counts[load(world.name).contacts_stream]
        assert all(c.is_complete for c in counts.values())
        assert all(c.fetched == c.stored + c.unchanged + c.set_aside for c in counts.values())
        assert people.platform_total == people.stored == len(world.customers)
        assert "The platform counts" not in people.note

    def test_a_pull_killed_between_pages_ends_like_an_unbroken_one(self, world: World) -> None:
        stream = load(world.name).contacts_stream
        with Store(":memory:") as whole, Store(":memory:") as broken:
            pulled(world, whole, stream)
            pages = len([p for p in read(world) if p.records])
            for _ in range(pages + 1):
                killed(world, broken, stream, after=1)
            count = pulled(world, broken, stream)[stream]
            held = [s.sql("SELECT * EXCLUDE (source) FROM contacts ORDER BY contact_id") for s in (whole, broken)]
        assert count.is_complete
        assert held[0] == held[1]

    def test_without_one_scope_its_stream_is_closed_and_the_others_are_read(self, world: World) -> None:
        stream, needs_scope = world.closes
        world.hook = lambda request: world.forbidden if needs_scope(request) else None
        with Store(":memory:") as store:
            counts = pulled(world, store)
        assert not counts[stream].is_complete and counts[stream].note
        assert counts[load(world.name).contacts_stream].is_complete
        assert "@" not in counts[stream].note

    def test_a_contact_that_ceased_to_be_there_is_found_out(self, world: World) -> None:
        assert world.removals, "say how a contact can cease to be there"
        for how, customer in zip(world.removals, reversed(world.customers), strict=False):
            before = read(world)
            world.remove(how, customer)
            pages = [*read(world, before[-1].cursor), *(whole := read(world, full=True))]
            lost = live(world, before) - live(world, whole)
            assert len(lost) == 1, how
            told = {i for p in pages for i, state in p.gone.items() if state in NOT_LIVE} | (
                states(world, pages).keys() - live(world, pages)
            )
            totals = {p.total for p in whole if p.total is not None}
            assert lost <= told or max(totals) == len(ids(world, whole)), f"{how}: nothing says so"

    def test_rereading_somebody_who_ceased_to_be_there_says_so(self, world: World) -> None:
        for how, customer in zip(world.removals, reversed(world.customers), strict=False):
            before = live(world, read(world))
            world.remove(how, customer)
            (lost,) = before - live(world, read(world, full=True))
            pages = list(world.adapter().reread([lost]))
            gone = {i: s for p in pages for i, s in p.gone.items()}
            assert gone.get(lost) in NOT_LIVE or states(world, pages).get(lost) in NOT_LIVE, how

    def test_the_account_is_the_same_whenever_it_is_asked(self, world: World) -> None:
        first = world.adapter().account()
        world.now += timedelta(days=40)
        assert first.id and first.id == world.adapter().account().id
        assert not [s for s in world.secrets if s in f"{first}"]

    def test_the_version_asked_for_is_the_one_spoken(self, world: World) -> None:
        adapter = world.adapter()
        asked = str(adapter.settings.get("api_version") or "")
        assert asked in {v.name for v in adapter.versions()} or (not asked and not adapter.versions())
        adapter.account()
        if asked:
            assert all(asked in f"{r.path} {sorted(r.headers.items())}" for _, r, _ in world.calls)
            until = {v.name: v.until for v in adapter.versions()}[asked]
            assert until is None or (until in [day for _, day in adapter.ends()])

    def test_a_field_we_do_not_know_is_kept(self, world: World) -> None:
        def more(request: Request) -> Response | None:
            response = world.simulator.handle(request)
            return None if world.is_write(request) else _with_more(response)

        known = rows(world, "contacts")
        world.hook = more
        pages = read(world)
        assert sorted(map(str, rows(world, "contacts"))) == sorted(map(str, known))
        assert any("a_new_field" in json.dumps(r) for p in pages for r in p.records)


def pulled(world: World, store: Store, stream: str = "") -> dict[str, StreamCount]:
    """A whole pull into a store, as the command does it: stream -> its account."""
    run = runs.begin(store, "pull", now_utc=lambda: world.now, suffix=lambda: f"{len(world.calls):06d}")
    streams = [stream] if stream else None
    found = pull.pull(store, world.adapter(), translator(world), run, streams=streams, keep_raw=False)
    return {c.stream: c for c in found}


class Killed(Exception):
    """The process ends here."""


class Mortal:
    """An adapter whose process ends after so many pages of a walk."""

    def __init__(self, adapter: Adapter, pages: int) -> None:
        self._adapter, self._left = adapter, pages

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def pages(self, *args: Any, **more: Any) -> Iterator[Page]:
        for page in self._adapter.pages(*args, **more):
            if self._left == 0:
                raise Killed
            self._left -= 1
            yield page


def killed(world: World, store: Store, stream: str, *, after: int) -> None:
    """A pull that ends between two pages; what came before is stored with its cursor."""
    adapter = cast(Adapter, Mortal(world.adapter(), after))
    run = runs.begin(store, "pull", now_utc=lambda: world.now, suffix=lambda: f"{len(world.calls):06d}")
    with suppress(Killed):
        pull.pull(store, adapter, translator(world), run, streams=[stream], keep_raw=False, commit_records=1)


def states(world: World, pages: Sequence[Page]) -> dict[str, str]:
    """Contact id -> the state its record has by the mapping."""
    made, stream = translator(world), load(world.name).contacts_stream
    found = {record_id(world, r): made.normalize(stream, r)["contacts"][0] for p in pages for r in p.records}
    return {i: str(row.get("state") or "live") for i, row in found.items()}


def live(world: World, pages: Sequence[Page]) -> set[str]:
    return {i for i, state in states(world, pages).items() if state == "live"}


def _with_more(response: Response) -> Response:
    """The same answer with a field nobody knows in every record."""
    try:
        body = json.loads(response.body)
    except ValueError:
        return response
    _add(body)
    headers = {k: v for k, v in response.headers.items() if k.lower() != "content-length"}
    return Response(response.status, headers, json.dumps(body).encode())


def _add(value: Any) -> None:
    if isinstance(value, list):
        for inner in value:
            _add(inner)
    elif isinstance(value, dict):
        for inner in list(value.values()):
            _add(inner)
        if "id" in value:
            value["a_new_field"] = {"deep": [1]}
