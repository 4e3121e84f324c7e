"""One simulated account behind in-process HTTP, and the questions every promise asks of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import responses

from adapters import load
from adapters.base import Adapter, Page
from connector import normalize
from connector.sandbox.base import Request, Response, Simulator, dressed
from models.changes import Batch, Member, Target

NOW = datetime(2026, 11, 21, 12)  # noqa: DTZ001  # naive UTC, as all our times
HOST = "http://platform.test"
ELSEWHERE = "https://elsewhere.test"
MOST_REQUESTS = 1000
"""A walk that asks more often than this goes round in circles."""

Hook = Callable[[Request], Response | Exception | None]


@dataclass
class World:
    """One simulated account.

    settings: what an adapter is made from; wrong: what of it another key changes, so that nobody knows it.
    forbidden: the platform's own answer where a scope is missing. customers: the ids `simulator.change` knows them by.
    is_write: requests that change something. closes: a stream besides the contacts and the requests that need its scope.
    removals: how a contact can cease to be there -> a function that makes it so, given a customer.
    throttled: the platform's refusal for going too fast, and the seconds it asks to wait.
    """

    name: str
    simulator: Simulator
    settings: dict[str, Any]
    wrong: dict[str, Any]
    forbidden: Response
    customers: Sequence[str]
    is_write: Callable[[Request], bool]
    closes: tuple[str, Callable[[Request], bool]]
    removals: dict[str, Callable[[str], Any]]
    throttled: tuple[Response, float] = (Response(429, {"Retry-After": "7"}, b"{}"), 7)
    now: datetime = NOW
    hook: Hook = lambda request: None
    calls: list[tuple[str, Request, datetime]] = field(default_factory=list)

    def sleep(self, wait_s: float) -> None:
        self.now += timedelta(seconds=wait_s)

    def adapter(self, **more: Any) -> Adapter:
        """A new one, as a new process would make it."""
        settings = {"tries": 4, "max_wait_s": 900, "base_url": f"{HOST}/{self.name}", **self.settings, **more}
        return load(self.name)(settings, now_utc=lambda: self.now, sleep=self.sleep)

    def change(self, customer: str, **wanted: Any) -> None:
        self.now += timedelta(seconds=30)
        assert self.simulator.change(customer, wanted)
        self.now += timedelta(seconds=30)

    def remove(self, how: str, customer: str) -> None:
        self.now += timedelta(seconds=30)
        self.removals[how](customer)
        self.now += timedelta(minutes=5)

    def writes(self) -> list[Request]:
        return [request for _, request, _ in self.calls if self.is_write(request)]

    @property
    def secrets(self) -> list[str]:
        """The values no error and no log may hold."""
        named = [s.name for s in load(self.name).own_settings if s.is_secret]
        return [str(self.settings[k]) for k in (*named, "token", "client_secret") if self.settings.get(k)]


class Clock:
    """The world's clock, for a simulator that is made before its world."""

    def __init__(self) -> None:
        self.world: World | None = None

    def __call__(self) -> datetime:
        return self.world.now if self.world else NOW


def versions_of(name: str) -> list[str]:
    """What to run the promises with: every API version the adapter lists; one empty word where it lists none."""
    return [version.name for version in load(name).versions()] or [""]


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
        world.calls.append((f"{parts.scheme}://{parts.hostname}", request, world.now))
        assert len(world.calls) < MOST_REQUESTS, "the adapter goes round in circles"
        found = world.hook(request)
        if isinstance(found, Exception):
            raise found
        response = dressed(found or world.simulator.handle(request), world.now, f"test-{len(world.calls)}")
        return response.status, response.headers, response.body

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            mock.add_callback(method, re.compile(".*"), callback=answer)
        yield world


# ---- what the promises ask


def read(
    world: World, cursor: Any = None, stream: str = "", *, full: bool = False, since: datetime | None = None
) -> list[Page]:
    """One walk (over the contacts, unless another stream is named) by a new adapter, as a new process would make it."""
    adapter = world.adapter()
    return list(adapter.pages(stream or adapter.contacts_stream, cursor, full=full, since=since))


def translator(world: World) -> normalize.Normalizer:
    """The platform's mapping, compiled once: that takes longer than most of what is asked of it."""
    return translator_of(world.name)


@cache
def translator_of(name: str) -> normalize.Normalizer:
    return normalize.Normalizer(normalize.load_mapping(name), {}, NOW.date())


def record_id(world: World, record: Any, stream: str = "") -> str:
    return translator(world).record_id(stream or load(world.name).contacts_stream, record)


def ids(world: World, pages: Sequence[Page], stream: str = "") -> set[str]:
    made, stream = translator(world), stream or load(world.name).contacts_stream
    return {made.record_id(stream, r) for p in pages for r in p.records}


def rows(world: World, table: str) -> list[dict[str, Any]]:
    """The rows of a table as a whole walk over the contacts fills them."""
    made, stream = translator(world), load(world.name).contacts_stream
    return [row for p in read(world) for r in p.records for row in made.normalize(stream, r).get(table, [])]


def contacts(world: World, count: int) -> list[Member]:
    """Some contacts; what was asked to find them is forgotten."""
    found = sorted({(str(r["contact_id"]), str(r["email"] or "")) for r in rows(world, "contacts")})[:count]
    world.calls.clear()
    return [Member(contact_id, email) for contact_id, email in found]


def nobody_like(someone: str) -> str:
    """An id of the same make that no contact has."""
    if someone.isdigit():
        return str(int(someone) + 10**8)
    return someone.translate(str.maketrans("0123456789abcdef", "fedcba9876543210"))


def target(world: World, object_id: str = "", segment: str = "Frequent") -> Target:
    return Target(world.name, segment, f"Rollcall: {segment}", object_id)


def batch(
    world: World,
    adapter: Adapter,
    *,
    adds: Sequence[Member] = (),
    removes: Sequence[Member] = (),
    segment: str = "Frequent",
) -> Batch:
    wanted = target(world, segment=segment)
    object_id = adapter.ensure(wanted)
    return Batch(target(world, object_id, segment), object_id, wanted.name, tuple(adds), tuple(removes), "b1")


def members_of(world: World, segment: str = "Frequent") -> set[str]:
    """Read back by a new adapter once the platform has settled."""
    world.hook = lambda request: None
    world.now += timedelta(minutes=5)
    adapter = world.adapter()
    everybody = frozenset(ids(world, read(world)))
    wanted = target(world, segment=segment)
    (seen,) = adapter.observe([target(world, adapter.ensure(wanted), segment)], {segment: everybody})
    return set(seen.members)
