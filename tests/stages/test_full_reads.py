"""Full reads: what the platform no longer has is found, once two reads in a row did not meet it, and not before."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from adapters.base import Page, Stream
from connector import full_reads, pull, runs
from connector.normalize import Normalizer, read_mapping
from connector.store import Store
from models.errors import RetryableApiError

MAPPING = """
[members]
id = "id"
watch = ["city"]
[[members.rows]]
table = "contacts"
[members.rows.fields]
contact_id = "id"
city = "city"
state = "= live"
[orders]
id = "id"
[[orders.rows]]
table = "orders"
[orders.rows.fields]
order_id = "id"
total = "total"
[clicks]
id = "id"
[[clicks.rows]]
table = "events"
[clicks.rows.fields]
contact_id = "id"
"""
NUMBERS = itertools.count(1)


class Platform:
    """Holds records; a full walk gives them in pages of two, an incremental one gives nothing."""

    name, title, contacts_stream, concurrent_streams = "mailchimp", "Mailchimp", "members", 1

    def __init__(self, **held: list[dict[str, Any]]) -> None:
        self.held = held
        self.now = datetime(2026, 11, 1, 12)
        self.total: int | None = 0
        self.fails_at = -1

    def now_utc(self) -> datetime:
        return self.now

    def streams(self) -> tuple[Stream, ...]:
        return tuple(Stream(n, n) for n in self.held)

    def pages(self, stream: str, cursor: Any, *, full: bool = False, since: datetime | None = None) -> Iterator[Page]:
        if cursor == {"done": True} and not full:
            yield Page([], {"done": True}, done=True)
            return
        records, start = self.held[stream], (cursor or {}).get("n", 0)
        total = len(records) if self.total == 0 else self.total
        for n in range(start, max(1, len(records)), 2):
            if n == self.fails_at:
                raise RetryableApiError("down")
            is_last = n + 2 >= len(records)
            yield Page(records[n : n + 2], {"done": True} if is_last else {"n": n + 2}, done=is_last, total=total)

    def reread(self, contact_ids: list[str]) -> Iterator[Page]:
        there = {r["id"]: r for r in self.held["members"]}
        yield Page([there[i] for i in contact_ids if i in there], {}, gone={i: "gone" for i in contact_ids if i not in there})


def normalizer() -> Normalizer:
    return Normalizer(read_mapping("mailchimp", MAPPING, place="x"), {}, date(2026, 11, 1))


def run_id(store: Store, platform: Platform) -> str:
    return runs.begin(store, "sync", now_utc=platform.now_utc, suffix=lambda: f"{next(NUMBERS):04d}")


def night(store: Store, platform: Platform, days: int = 1) -> dict[str, full_reads.FullRead]:
    """One sync: what is new, then tonight's part of the full reads."""
    platform.now += timedelta(days=days)
    run = run_id(store, platform)
    pull.pull(store, platform, normalizer(), run)  # type: ignore[arg-type]  # the part of Adapter that a pull uses
    due = full_reads.due(store, platform, normalizer(), 7, platform.now)  # type: ignore[arg-type]  # as above
    return {s: full_reads.read_on(store, platform, normalizer(), run, s, 7) for s in due}  # type: ignore[arg-type]  # as above


def people(*ids: int) -> list[dict[str, Any]]:
    return [{"id": str(i), "city": "Bonn"} for i in ids]


def states(store: Store) -> dict[str, str]:
    return dict(store.sql("SELECT record_id, state FROM contacts ORDER BY 1"))


def test_a_stream_is_read_whole_a_week_after_its_backfill_and_streams_of_events_never() -> None:
    with Store(":memory:") as store:
        platform = Platform(members=people(1, 2, 3), clicks=people(1))
        assert night(store, platform) == {}
        assert night(store, platform, 6) == {}
        found = night(store, platform, 1)
        assert found.keys() == {"members"}
        assert (found["members"].read, found["members"].is_ended, found["members"].gone) == (3, True, 0)
        assert night(store, platform, 1) == {}


def test_a_record_that_two_full_reads_did_not_meet_is_gone_and_comes_back_when_it_does() -> None:
    with Store(":memory:") as store:
        platform = Platform(members=people(1, 2, 3))
        night(store, platform)
        platform.held["members"] = people(1, 3)
        assert night(store, platform, 7)["members"].gone == 0
        assert states(store) == {"1": "live", "2": "live", "3": "live"}
        assert night(store, platform, 7)["members"].gone == 1
        assert states(store) == {"1": "live", "2": "gone", "3": "live"}
        platform.held["members"] = people(1, 2, 3)
        night(store, platform, 7)
        assert states(store) == {"1": "live", "2": "live", "3": "live"}


def test_a_record_met_again_must_be_missed_twice_anew() -> None:
    with Store(":memory:") as store:
        platform = Platform(members=people(1, 2, 3))
        night(store, platform)
        for held in (people(1, 3), people(1, 2, 3), people(1, 3)):
            platform.held["members"] = held
            assert night(store, platform, 7)["members"].gone == 0
        assert set(states(store).values()) == {"live"}


def test_what_a_gone_order_was_worth_stays() -> None:
    with Store(":memory:") as store:
        platform = Platform(orders=[{"id": "a", "total": 5}, {"id": "b", "total": 7}])
        night(store, platform)
        platform.held["orders"] = [{"id": "a", "total": 5}]
        night(store, platform, 7)
        assert night(store, platform, 7)["orders"].gone == 1
        assert store.value("SELECT sum(total) FROM orders") == 12
        assert store.sql("SELECT record_id, state FROM source_records ORDER BY 1") == [("a", "live"), ("b", "gone")]


def test_a_full_read_is_spread_over_nights_and_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_reads, "LEAST_A_NIGHT", 4)
    with Store(":memory:") as store:
        platform = Platform(members=people(*range(1, 11)))
        night(store, platform)
        first = night(store, platform, 7)["members"]
        assert (first.read, first.is_ended) == (4, False)
        platform.fails_at = 6
        failed = night(store, platform, 1)["members"]
        assert (failed.read, failed.is_ended) == (2, False)
        assert "goes on" in failed.note
        platform.fails_at = -1
        last = night(store, platform, 1)["members"]
        assert (last.read, last.is_ended, last.gone, last.note) == (4, True, 0, "")


@pytest.mark.parametrize(("total", "said"), [(None, "does not count them"), (9, "counts 9")])
def test_a_read_that_does_not_meet_what_the_platform_counts_judges_nothing(total: int | None, said: str) -> None:
    with Store(":memory:") as store:
        platform = Platform(members=people(1, 2, 3))
        night(store, platform)
        platform.held["members"], platform.total = people(1, 3), total
        for _ in range(2):
            found = night(store, platform, 7)["members"]
            assert (found.gone, said in found.note) == (0, True)
        assert set(states(store).values()) == {"live"}


def test_too_many_missing_at_once_are_not_believed() -> None:
    with Store(":memory:") as store:
        platform = Platform(members=people(*range(100)))
        night(store, platform)
        platform.held["members"] = people(*range(50))
        for _ in range(2):
            found = night(store, platform, 7)["members"]
            assert (found.gone, "too many" in found.note) == (0, True)


def test_a_difference_between_what_is_counted_and_what_is_held_is_said() -> None:
    with Store(":memory:") as store:
        platform = Platform(members=people(1, 2, 3))
        platform.total = 5
        (count,) = pull.pull(store, platform, normalizer(), run_id(store, platform))  # type: ignore[arg-type]  # as above
        assert "The platform counts 5; 3 are held." in count.note


def test_a_field_that_no_record_has_any_more_is_named_with_what_it_fills() -> None:
    with Store(":memory:") as store:
        platform = Platform(members=people(*range(60)))
        (first,) = pull.pull(store, platform, normalizer(), run_id(store, platform))  # type: ignore[arg-type]  # as above
        platform.held["members"] = [{"id": str(i)} for i in range(60)]
        (again,) = pull.pull(store, platform, normalizer(), run_id(store, platform), full=True)  # type: ignore[arg-type]  # as above
        assert "city" not in first.note
        assert "The field city is in none of 60 records; it fills contacts.city." in again.note
