"""A large account is read in ranges of ids at once: nothing lost or doubled, and a cursor that is true at every page."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from adapters.base import Page
from adapters.hubspot_walk import Ranges
from models.errors import PermanentApiError, RetryableApiError

DENSE = list(range(1, 3001))
CLUSTERS = [*range(101, 1500), *range(90_000_000, 90_001_200), *range(7_000_000_000, 7_000_000_400, 3)]


class Collection:
    """Ids as HubSpot lists them. `is_exclusive`: `after` is the last id read instead of the next one."""

    def __init__(self, ids: list[int], is_exclusive: bool = False) -> None:
        self.ids, self.is_exclusive = ids, is_exclusive
        self.asked = 0
        self.fails_after: int | None = None
        self.lock = threading.Lock()

    def fetch(self, after: str) -> tuple[list[dict[str, Any]], str]:
        with self.lock:
            self.asked += 1
            if self.fails_after is not None and self.asked > self.fails_after:
                raise RetryableApiError("away")
        first = int(after or 0) + (self.is_exclusive and bool(after))
        left = [i for i in self.ids if i >= first]
        shown = [{"id": str(i)} for i in left[:100]]
        return shown, str(left[99 if self.is_exclusive else 100]) if len(left) > 100 else ""

    def ranges(self, left: list[list[str]]) -> Ranges:
        return Ranges(left, self.fetch, lambda records: Page(records, {}))


def ids(pages: list[tuple[Page, Any]]) -> Counter[int]:
    return Counter(int(r["id"]) for page, _ in pages for r in page.records)


@pytest.mark.parametrize("found", [DENSE, CLUSTERS], ids=["dense", "clusters"])
@pytest.mark.parametrize("is_exclusive", [False, True])
def test_ranges_read_at_once_give_every_record_exactly_once(found: list[int], is_exclusive: bool) -> None:
    collection = Collection(found, is_exclusive)
    pages = list(collection.ranges([["", ""]]).at_once(4, max(found)))
    assert ids(pages) == Counter(found)
    assert [left for _, left in pages][-1] == []
    assert collection.asked <= len(found) / 100 + 80


def test_what_is_added_behind_the_highest_known_id_is_read_too() -> None:
    assert set(ids(list(Collection(DENSE).ranges([["", ""]]).at_once(4, 1000)))) == set(DENSE)


@pytest.mark.parametrize("is_exclusive", [False, True])
def test_the_cursor_of_any_page_leads_to_the_same_set(is_exclusive: bool) -> None:
    collection = Collection(CLUSTERS, is_exclusive)
    pages = list(collection.ranges([["", ""]]).at_once(4, max(CLUSTERS)))
    for stop in range(1, len(pages), 5):
        rest = list(collection.ranges(pages[stop - 1][1]).one_by_one()) if pages[stop - 1][1] else []
        assert set(ids(pages[:stop])) | set(ids(rest)) == set(CLUSTERS)
        assert sum(ids(rest).values()) <= len(CLUSTERS) - sum(ids(pages[:stop]).values()) + 20, (
            "at most the seams are read twice"
        )


def test_a_walk_that_failed_in_one_thread_goes_on_where_its_pages_ended() -> None:
    collection = Collection(DENSE)
    collection.fails_after = 9
    pages = []
    with pytest.raises(RetryableApiError):
        for page in collection.ranges([["", ""]]).at_once(3, 3000):
            pages.append(page)
    collection.fails_after = None
    rest = list(collection.ranges(pages[-1][1] if pages else [["", ""]]).at_once(3, 3000))
    assert set(ids(pages)) | set(ids(rest)) == set(DENSE)


def test_a_walk_that_is_left_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    walk = Collection(DENSE).ranges([["", ""]]).at_once(4, 3000)
    next(walk)
    walk.close()  # type: ignore[attr-defined]  # every generator has it
    assert threading.active_count() == before


def test_a_cursor_that_comes_back_is_refused() -> None:
    ranges = Ranges([["", ""]], lambda after: ([{"id": "1"}], "5"), lambda records: Page(records, {}))
    with pytest.raises(PermanentApiError, match="twice"):
        list(ranges.one_by_one())
