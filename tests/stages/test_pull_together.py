"""Platforms side by side: the store is as if they had been pulled one after the other, and one's trouble is its own."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import pytest

from adapters.base import Page, Stream
from connector import feeds, pull, runs
from connector.normalize import Normalizer, read_mapping
from connector.sections import StoreSection
from connector.store import Store
from models.errors import AuthError, PermanentApiError, QuotaExhausted, RetryableApiError

MAPPING = """
[people]
id = "id"
[[people.rows]]
table = "contacts"
[people.rows.fields]
contact_id = "id"
city = "city"
[orders]
id = "id"
[[orders.rows]]
table = "orders"
[orders.rows.fields]
order_id = "id"
"""
NOW = datetime(2026, 11, 21, 12)
NUMBERS = itertools.count(1)
CONTENT = "SELECT * FROM {} ORDER BY ALL"


class Platform:
    """Gives pages of two records; `breaks` says which page of which stream is an error instead."""

    title, contacts_stream = "A platform", "people"

    def __init__(self, name: str, pages: int, breaks: dict[tuple[str, int], Exception] | None = None, at_once: int = 1) -> None:
        self.name, self.count, self.breaks, self.concurrent_streams = name, pages, breaks or {}, at_once
        self.made = 0
        self.threads: set[str] = set()

    def now_utc(self) -> datetime:
        return NOW

    def streams(self) -> tuple[Stream, ...]:
        return Stream("people", "People", needed=True), Stream("orders", "Orders")

    def pages(self, stream: str, cursor: Any, *, full: bool = False, since: datetime | None = None) -> Iterator[Page]:
        state: dict[str, list[int]] = {"seen": list((cursor or {}).get("seen", []))}
        for n in range(len(state["seen"]), self.count):
            self.threads.add(threading.current_thread().name)
            if (stream, n) in self.breaks:
                raise self.breaks[stream, n]
            state["seen"].append(n)  # one cursor that moves on, as a careless adapter would do it
            self.made += 1
            records = [{"id": f"{stream}-{n}-{k}", "city": "Bonn"} for k in range(2)]
            yield Page(records, state, done=n + 1 == self.count, total=2 * self.count)


def together(store: Store, *platforms: Platform, **options: Any) -> dict[str, pull.Pulled]:
    run = runs.begin(store, "pull", now_utc=lambda: NOW, suffix=lambda: f"{next(NUMBERS):04d}")
    sources = [pull.Source(p, Normalizer(read_mapping(p.name, MAPPING, place="x"), {}, date(2026, 11, 21))) for p in platforms]  # type: ignore[arg-type]  # the part of Adapter that a pull uses
    return pull.pull_together(store, sources, run, **{"commit_records": 1, **options})


def dump(store: Store) -> list[list[tuple[Any, ...]]]:
    cursors = "SELECT source, stream, cursor, is_complete FROM cursors ORDER BY ALL"
    return [*(store.sql(CONTENT.format(t)) for t in ("contacts", "orders")), store.sql(cursors)]


@pytest.mark.parametrize("at_once", [1, 2])
def test_what_is_stored_does_not_depend_on_who_was_faster(at_once: int) -> None:
    with Store(":memory:") as one, Store(":memory:") as both:
        for name, pages in (("shopify", 7), ("hubspot", 4)):
            together(one, Platform(name, pages))
        found = together(both, Platform("shopify", 7, at_once=at_once), Platform("hubspot", 4, at_once=at_once))
        assert dump(both) == dump(one)
        assert [(c.stream, c.fetched) for c in found["shopify"].counts] == [("people", 14), ("orders", 14)]


def test_as_much_waits_for_a_commit_as_the_configuration_says_when_it_says_nothing() -> None:
    assert StoreSection().commit_records == pull.COMMIT_RECORDS


def test_nothing_is_fetched_in_the_thread_that_stores() -> None:
    with Store(":memory:") as store:
        platform = Platform("shopify", 3)
        together(store, platform)
        assert platform.threads == {"fetch"}


def test_one_platform_that_fails_does_not_stop_the_other() -> None:
    with Store(":memory:") as store:
        broken = Platform("shopify", 5, {("people", 2): RetryableApiError("down")})
        found = together(store, broken, Platform("hubspot", 3))
        assert isinstance(found["shopify"].error, RetryableApiError)
        assert found["hubspot"].error is None
        assert store.sql("SELECT source, count(*) FROM contacts GROUP BY ALL ORDER BY 1") == [("hubspot", 6), ("shopify", 4)]
        assert store.sql("SELECT stream, is_complete FROM cursors WHERE source = 'shopify'") == [("people", False)]


def test_a_refused_request_closes_its_stream_and_not_its_platform() -> None:
    with Store(":memory:") as store:
        (people, orders) = together(store, Platform("shopify", 3, {("people", 1): PermanentApiError("no")}))["shopify"].counts
        assert (people.is_complete, people.fetched, people.note) == (False, 2, "no")
        assert (orders.is_complete, orders.fetched) == (True, 6)


def test_a_closed_shop_closes_the_platform() -> None:
    with Store(":memory:") as store:
        found = together(store, Platform("shopify", 3, {("people", 1): PermanentApiError("frozen", code="SHOP_INACTIVE")}))
        assert isinstance(found["shopify"].error, PermanentApiError)
        assert store.value("SELECT count(*) FROM orders") == 0


@pytest.mark.parametrize("error", [AuthError("no"), QuotaExhausted("used up")])
def test_what_came_before_the_end_is_kept_and_gone_on_from(error: Exception) -> None:
    with Store(":memory:") as store, Store(":memory:") as whole:
        together(store, Platform("shopify", 6, {("people", 4): error}), commit_records=1000)
        assert store.value("SELECT count(*) FROM contacts") == 8
        together(store, Platform("shopify", 6))
        together(whole, Platform("shopify", 6))
        assert dump(store) == dump(whole)


def test_a_walk_runs_only_a_few_pages_ahead_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    ahead: list[int] = []
    with Store(":memory:") as store:
        platform = Platform("shopify", 30)

        class Watching:
            def start(self, name: str, total: int | None) -> None: ...

            def advance(self, name: str, count: int) -> None:
                held = int(store.value("SELECT count(*) FROM raw_pages") or 0) + len(ahead) + 1
                ahead.append(platform.made - held)

            def finish(self, name: str) -> None: ...

        together(store, platform, progress=Watching(), streams=["people"])
    assert max(ahead) <= feeds.AHEAD + 1
