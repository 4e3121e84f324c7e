"""Backfilling reports through batches: the same records as page by page, whatever happens to the batch."""

from __future__ import annotations

import io
import tarfile
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests

from connector.sandbox.base import Response
from connector.sandbox.shop import Mailing

FIRST = datetime(2026, 10, 1, 9, 0, 0)
CAMPAIGNS, PEOPLE = 8, 12


@pytest.fixture
def years(world: Any) -> Any:
    """Enough campaigns and pages that a batch pays. Everybody of the third campaign opened, some by machine only."""
    everybody = [f"{n:05d}" for n in range(PEOPLE)]
    mailings = []
    for n in range(CAMPAIGNS):
        at = FIRST + timedelta(days=n)
        opens = [(p, at + timedelta(hours=1), k % 2 == 0) for k, p in enumerate(everybody) if n == 2 or k == n]
        mailings.append(Mailing(f"c{n:02d}", f"News {n}", "Hello", at, everybody, opens))
    world.load(PEOPLE, mailings=mailings)
    world.simulator.switches.batch_split = 3
    return world


def events(records: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {
        (r["_id"], r.get("_sent_at"), *((e["action"], e["timestamp"], e.get("_is_machine")) for e in r["activity"]))
        for r in records
    }


def read(world: Any, cursor: Any = None) -> list[Any]:
    pages = list(world.adapter(batch_campaigns=6, batch_pages=20).pages("activity", cursor))
    assert pages[-1].done
    return pages


def records(pages: list[Any]) -> list[dict[str, Any]]:
    return [r for p in pages for r in p.records]


def one_by_one(world: Any) -> set[tuple[Any, ...]]:
    """What reading without batches gives."""
    world.before = lambda call: Response(500) if call.path.endswith("/batches") else None
    found = events(records(read(world)))
    world.before = lambda call: None
    world.calls.clear()
    return found


def direct_reads(world: Any) -> set[str]:
    return {c.path.split("/")[3] for c in world.calls if c.path.endswith("/email-activity")}


def test_a_batch_brings_what_page_by_page_reading_brings(years: Any) -> None:
    expected = one_by_one(years)
    found = records(read(years))
    assert events(found) == expected
    assert len(found) == len({r["_id"] for r in found}) == CAMPAIGNS * PEOPLE
    assert direct_reads(years) == {"c00"}, "one is tried by itself first"
    sent = next(c.body["operations"] for c in years.calls if c.method == "POST")
    assert len(sent) == 2 * (CAMPAIGNS - 1) <= 50
    assert all(o["method"] == "GET" and "count" not in o["params"] and o["params"]["fields"] for o in sent)


def test_few_campaigns_or_pages_are_read_side_by_side(world: Any) -> None:
    mailings = [Mailing(f"c{n:02d}", "News", "Hello", FIRST + timedelta(days=n), ["00001"]) for n in range(8)]
    world.load(3, mailings=mailings)
    assert len(records(read(world))) == 8
    assert world.paths("POST") == []


def test_a_restart_goes_on_with_the_same_batch(years: Any) -> None:
    pages = read(years)
    everything = events(records(pages))
    polls = [p for p in pages if p.cursor.get("walk") and p.cursor["walk"]["batch"]]
    assert polls, "the batch's id is kept before it is waited for"
    for page in polls[:2] + polls[-3:-1]:
        years.calls.clear()
        before = records(pages[: pages.index(page) + 1])
        assert events(before) | events(records(read(years, page.cursor))) == everything
        assert years.paths("POST") == [], "no second batch"


def test_reads_that_failed_in_the_batch_are_repeated_alone(years: Any) -> None:
    expected = one_by_one(years)
    years.simulator.switches.batch_errors = ["c05:all", "c07:human"]
    assert events(records(read(years))) == expected
    assert direct_reads(years) == {"c00", "c05", "c07"}


def test_a_finished_batch_without_an_address_is_read_alone(years: Any) -> None:
    expected = one_by_one(years)
    years.simulator.switches.batch_no_url = True
    assert events(records(read(years))) == expected


def test_an_address_that_expired_is_asked_for_again(years: Any) -> None:
    expected = one_by_one(years)
    expired = [Response(403, {"Content-Type": "application/xml"}, b"<Error/>")]
    years.before = lambda call: expired.pop() if call.path.startswith("/batch-results/") and expired else None
    assert events(records(read(years))) == expected
    assert direct_reads(years) == {"c00"}


def test_an_archive_that_is_cut_is_fetched_again_and_counts_once(years: Any) -> None:
    expected = one_by_one(years)
    cut = [True]

    def halve(call: Any) -> Response | None:
        if not call.path.startswith("/batch-results/") or not cut:
            return None
        cut.pop()
        batches = years.simulator.batches
        whole = batches.download(_request(call.path), years.now)
        return Response(200, whole.headers, whole.body[: len(whole.body) // 2])

    years.before = halve
    found = records(read(years))
    assert events(found) == expected
    assert len(found) == len({r["_id"] for r in found})


def _request(path: str) -> Any:
    from connector.sandbox.base import Request

    return Request("GET", path)


def test_a_lost_answer_to_the_batch_is_not_repeated(years: Any) -> None:
    expected = one_by_one(years)
    years.before = lambda call: requests.exceptions.ReadTimeout() if call.path.endswith("/batches") else None
    assert events(records(read(years))) == expected
    assert len(years.paths("POST")) == 1


def test_a_batch_that_never_finishes_is_given_up(years: Any) -> None:
    expected = one_by_one(years)
    years.simulator.switches.batch_polls = 10**6
    assert events(records(read(years))) == expected
    polls = [w for w in years.waits if w in (5.0, 10.0, 20.0, 40.0, 60.0)]
    assert polls[:5] == [5.0, 10.0, 20.0, 40.0, 60.0] and sum(polls) < 5 * 3600


def test_an_incremental_pull_never_begins_a_batch(years: Any) -> None:
    cursor = read(years)[-1].cursor
    years.calls.clear()
    for campaign in years.simulator.account.campaigns.values():
        campaign.events.setdefault(500001, []).append((years.now.isoformat() + "+00:00", "open", "", "", False))
        campaign.counted = None
    read(years, cursor)
    assert years.paths("POST") == [] and direct_reads(years)


def test_when_too_many_batches_wait_the_reports_are_read_side_by_side(years: Any) -> None:
    expected = one_by_one(years)
    adapter = years.adapter()
    for _ in range(500):
        adapter.api.begin_batch([{"method": "GET", "path": "/ping"}])
    before = len(years.paths("POST"))
    assert events(records(read(years))) == expected
    assert len(years.paths("POST")) == before + 2, "tried once more, then left alone"


def test_after_a_batch_that_came_to_nothing_no_other_is_begun(world: Any) -> None:
    everybody = [f"{n:05d}" for n in range(3)]
    world.load(3, mailings=[Mailing(f"c{n:02d}", "News", "Hello", FIRST + timedelta(hours=n), everybody) for n in range(60)])
    world.simulator.switches.batch_polls = 10**6
    assert len({r["_id"] for r in records(read(world))}) == 180
    assert len(world.paths("POST")) == 1
    assert sum(world.waits) < 5 * 3600


def test_a_restart_after_a_batch_came_to_nothing_does_not_wait_for_it_again(years: Any) -> None:
    years.simulator.switches.batch_polls = 10**6
    pages = read(years)
    after = next(p for p in pages if p.cursor["walk"] and p.cursor["walk"]["without_batches"])
    years.waits.clear()
    read(years, after.cursor)
    assert years.waits == [] and len(years.paths("POST")) == 1


def test_files_longer_than_what_is_held_at_once_are_read_whole(years: Any) -> None:
    campaign = years.simulator.account.campaigns["c03"]
    for uid in list(years.simulator.account.members)[:6]:
        campaign.events[uid] = [
            (
                (FIRST + timedelta(days=3, seconds=n)).isoformat() + "+00:00",
                "click",
                "",
                f"https://shop.example/{'ü' * 300}/{n}",
                False,
            )
            for n in range(800)
        ]
    campaign.counted = None
    years.simulator.switches.batch_split = 10**6
    expected = one_by_one(years)
    assert events(records(read(years))) == expected
    assert direct_reads(years) == {"c00"}, "nothing had to be read again"


def test_a_file_that_is_no_json_costs_only_what_was_in_it(years: Any) -> None:
    expected = one_by_one(years)

    def spoil(call: Any) -> Response | None:
        if not call.path.startswith("/batch-results/"):
            return None
        whole = years.simulator.batches.download(_request(call.path), years.now)
        return Response(200, whole.headers, spoiled(whole.body))

    years.before = spoil
    assert events(records(read(years))) == expected
    assert len(direct_reads(years)) > 1


def spoiled(archive: bytes) -> bytes:
    """The same with the second file replaced by a page in HTML."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as given, tarfile.open(fileobj=out, mode="w:gz") as made:
        for place, entry in enumerate(given):
            file = given.extractfile(entry)
            data = b"<html>busy</html>" if place == 2 else file.read() if file else b""
            entry.size = len(data)
            made.addfile(entry, io.BytesIO(data))
    return out.getvalue()
