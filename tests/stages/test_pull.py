"""Stage 1: nothing lost, nothing doubled, nothing touched that did not change."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import Page, Stream
from connector import pull as pulling
from connector import runs, scopes
from connector.normalize import Normalizer, read_mapping
from connector.raw import RawPages
from connector.store import Store
from models.errors import AuthError, PermanentApiError, QuotaExhausted, ScopeError
from models.people import StreamCount

MAPPING = """
[members]
id = "id"
[[members.rows]]
table = "contacts"
[members.rows.fields]
contact_id = "id"
city = "city"
orders_claimed = "orders"
state = "= live"
[[members.rows]]
table = "consents"
when = "consent"
[members.rows.fields]
contact_id = "id"
channel = "= email"
topic = "="
status = "consent"
changed_at = "consent_at"
[[members.rows]]
table = "identifiers"
each = "emails"
[members.rows.fields]
contact_id = "^.id"
value = ". | email"
[members.snapshots]
opens = "opens"
[orders]
id = "id"
[[orders.rows]]
table = "orders"
[orders.rows.fields]
order_id = "id"
total = "total"
"""
CONTENT = "SELECT * FROM {} ORDER BY ALL"
NOW = datetime(2026, 11, 21, 12)
NUMBERS = itertools.count(1)


class Platform:
    """A platform that remembers pages; its cursor is the number of pages read, until it has read all."""

    name, title, contacts_stream, concurrent_streams = "mailchimp", "Mailchimp", "members", 1

    def __init__(self, needed: str = "", **pages: list[Page | Exception]) -> None:
        self.held, self.needed = pages, needed
        self.asked: list[tuple[Any, datetime | None]] = []

    def now_utc(self) -> datetime:
        return NOW

    def streams(self) -> tuple[Stream, ...]:
        return tuple(Stream(name, name, needed=name == self.needed) for name in self.held)

    def pages(self, stream: str, cursor: Any, *, full: bool = False, since: datetime | None = None) -> Iterator[Page]:
        self.asked.append((cursor, since))
        pages = self.held[stream]
        start = 0 if cursor is None or full else cursor.get("n", 0)
        for n in range(start, len(pages)):
            page = pages[n]
            if isinstance(page, Exception):
                raise page
            is_last = n + 1 == len(pages)
            reached = {"whole": True} if is_last else {"n": n + 1}
            yield Page(page.records, reached, done=is_last, total=page.total, gone=page.gone, note=page.note)

    def reread(self, contact_ids: Any) -> Iterator[Page]:
        yield Page([{"id": i, "city": "reread"} for i in contact_ids if i != "9"], {}, gone={"9": "gone"})


def page(*people: dict[str, Any], gone: dict[str, str] | None = None, total: int | None = None) -> Page:
    return Page(list(people), {}, gone=gone or {}, total=total)


def normalizer(day: date = date(2026, 11, 21), mapping: str = MAPPING) -> Normalizer:
    return Normalizer(read_mapping("mailchimp", mapping, place="x"), {}, day)


def pull(store: Store, platform: Platform, **options: Any) -> list[StreamCount]:
    run = runs.begin(store, "pull", now_utc=lambda: NOW, suffix=lambda: f"{next(NUMBERS):04d}")
    options.setdefault("normalizer", normalizer())
    return pulling.pull(store, platform, options.pop("normalizer"), run, commit_records=1, **options)  # type: ignore[arg-type]  # the part of Adapter that pull uses


def numbers(count: StreamCount) -> tuple[int, int, int, int]:
    return count.fetched, count.stored, count.unchanged, count.set_aside


def dump(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Everything but run ids and times of ours."""
    return {
        "contacts": store.sql(CONTENT.format("contacts")),
        "consents": store.sql(CONTENT.format("consents")),
        "identifiers": store.sql(CONTENT.format("identifiers")),
        "history": store.sql("SELECT * EXCLUDE (run_id, seen_at) FROM consent_history ORDER BY ALL"),
        "snapshots": store.sql(CONTENT.format("snapshots")),
        "records": store.sql("SELECT record_id, content_hash, snapshot_hash, state FROM source_records ORDER BY ALL"),
        "cursors": store.sql("SELECT stream, cursor, is_complete, complete_from FROM cursors ORDER BY ALL"),
    }


def test_a_second_pull_of_the_same_records_touches_nothing() -> None:
    with Store(":memory:") as store:
        platform = Platform(members=[page({"id": "1", "city": "Bonn", "opens": 3}, {"id": "2"}, total=2)])
        (first,) = pull(store, platform)
        before = dump(store)
        (second,) = pull(store, platform)
        assert (numbers(first), first.platform_total, first.is_complete) == ((2, 2, 0, 0), 2, True)
        assert numbers(second) == (2, 0, 2, 0)
        assert dump(store) == before


def test_a_changed_record_replaces_all_its_rows_and_no_others() -> None:
    with Store(":memory:") as store:
        pull(store, Platform(members=[page({"id": "1", "emails": ["A@x.de", "b@x.de"]}, {"id": "2", "emails": ["c@x.de"]})]))
        (count,) = pull(store, Platform(members=[page({"id": "1", "emails": ["d@x.de"]}, {"id": "2", "emails": ["c@x.de"]})]))
        assert numbers(count) == (2, 1, 1, 0)
        assert store.sql("SELECT record_id, value FROM identifiers ORDER BY 1") == [("1", "d@x.de"), ("2", "c@x.de")]


def test_a_record_repeated_in_a_page_is_stored_once_as_it_came_last() -> None:
    with Store(":memory:") as store:
        (count,) = pull(
            store,
            Platform(members=[page({"id": "1", "city": "old"}, {"id": "1", "city": "new"}), page({"id": "1", "city": "new"})]),
        )
        assert numbers(count) == (3, 1, 2, 0)
        assert store.sql("SELECT city FROM contacts") == [("new",)]


def test_a_bad_record_is_set_aside_once_with_its_reason_and_let_go_when_good() -> None:
    with Store(":memory:") as store:
        bad = Platform(members=[page({"id": "1", "orders": "many"}, {"id": "2"}, {"city": "nameless"})])
        (first,) = pull(store, bad)
        assert (numbers(first), first.new_set_aside) == ((3, 1, 0, 2), 2)
        (second,) = pull(store, bad)
        assert (numbers(second), second.new_set_aside) == ((3, 0, 1, 2), 0)
        reasons = store.sql("SELECT record_id, reason, first_run < last_run FROM set_aside ORDER BY record_id")
        assert reasons[0] == ("1", "contacts.orders_claimed: not a number", True)
        assert reasons[1][1] == "id: the record has no id"
        (third,) = pull(store, Platform(members=[page({"id": "1", "orders": 2}, {"id": "2"})]))
        assert numbers(third) == (2, 1, 1, 0)
        assert store.value("SELECT count(*) FROM set_aside WHERE record_id = '1'") == 0


def test_every_different_answer_about_consent_is_kept() -> None:
    with Store(":memory:") as store:
        for answer, when in (("subscribed", None), ("subscribed", None), ("unsubscribed", "2026-01-02"), ("subscribed", None)):
            pull(store, Platform(members=[page({"id": "1", "consent": answer, "consent_at": when, "city": answer})]))
        pull(store, Platform(members=[page({"id": "1", "consent": "subscribed", "city": "moved"})]))
        assert store.sql("SELECT status, changed_at FROM consent_history ORDER BY rowid") == [
            ("subscribed", None), ("unsubscribed", datetime(2026, 1, 2)), ("subscribed", None),
        ]  # fmt: skip
        assert store.sql("SELECT status FROM consents") == [("subscribed",)]


def test_snapshots_are_added_when_they_differ_and_do_not_change_a_record() -> None:
    with Store(":memory:") as store:
        counts = [
            pull(store, Platform(members=[page({"id": "1", "opens": opens})]), normalizer=normalizer(day))[0]
            for day, opens in ((date(2026, 1, 1), 1), (date(2026, 1, 2), 1), (date(2026, 1, 3), 2), (date(2026, 1, 3), 3))
        ]
        assert [numbers(c) for c in counts] == [(1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 1, 0), (1, 0, 1, 0)]
        assert store.sql("SELECT value, taken_on FROM snapshots ORDER BY taken_on") == [
            ("1", date(2026, 1, 1)),
            ("3", date(2026, 1, 3)),
        ]


def test_a_record_the_platform_no_longer_has_is_marked_and_comes_back_when_it_does() -> None:
    with Store(":memory:") as store:
        here = Platform(members=[page({"id": "1"}, {"id": "2"})], orders=[page({"id": "o1", "total": 5})])
        pull(store, here)
        gone = Platform(members=[page(gone={"1": "archived", "unknown": "gone"})], orders=[page(gone={"o1": "gone"})])
        pull(store, gone)
        assert store.sql("SELECT record_id, state FROM contacts ORDER BY 1") == [("1", "archived"), ("2", "live")]
        assert store.value("SELECT count(*) FROM orders") == 0
        assert store.sql("SELECT record_id, state FROM source_records ORDER BY 1") == [
            ("1", "archived"),
            ("2", "live"),
            ("o1", "gone"),
        ]
        (members, orders) = pull(store, here)
        assert (numbers(members), numbers(orders)) == ((2, 1, 1, 0), (1, 1, 0, 0))
        assert store.sql("SELECT state FROM contacts") == [("live",), ("live",)]


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_pull_that_broke_off_goes_on_and_ends_like_an_unbroken_one(after: int) -> None:
    pages = [page({"id": str(n), "consent": "subscribed"}, {"id": str(n + 1), "city": str(n)}) for n in range(4)]
    with Store(":memory:") as whole, Store(":memory:") as broken:
        pull(whole, Platform(members=list(pages)))
        with pytest.raises(AuthError):
            pull(broken, Platform(members=[*pages[:after], AuthError("refused"), *pages[after + 1 :]]))
        assert broken.sql("SELECT cursor, is_complete FROM cursors") == [(f'{{"n":{after}}}', False)]
        assert broken.value("SELECT pages FROM stream_counts") == after
        resumed = Platform(members=list(pages))
        pull(broken, resumed)
        assert resumed.asked == [({"n": after}, None)]
        assert dump(broken) == dump(whole)


def test_a_missing_scope_closes_its_stream_only() -> None:
    with Store(":memory:") as store:
        members, orders = pull(store, Platform(members=[ScopeError("no", scope="members.read")], orders=[page({"id": "o1"})]))
        assert not members.is_complete
        assert "members.read" in members.note
        assert (members.code, orders.code) == ("scope", "")
        assert (numbers(orders), orders.is_complete) == ((1, 1, 0, 0), True)
        assert store.sql("SELECT stream, is_complete FROM cursors ORDER BY 1") == [("members", False), ("orders", True)]


def test_the_word_scope_in_another_refusal_is_no_missing_scope() -> None:
    with Store(":memory:") as store:
        (members,) = pull(store, Platform(members=[PermanentApiError("out of scope", platform="mailchimp", status=400)]))
        assert (members.is_complete, members.code, members.note) == (False, "", "out of scope")


MISSING = ScopeError("no", scope="orders.read")


@pytest.mark.parametrize(
    ("nights", "needed", "news"),
    [
        ([MISSING, MISSING, MISSING], "", [True, False, False]),
        ([MISSING, page({"id": "1"}), MISSING], "", [True, None, True]),
        ([page({"id": "1"}), MISSING, MISSING], "", [None, True, True]),
        ([MISSING, MISSING], "orders", [True, True]),
    ],
    ids=["never granted: said once", "granted and taken back", "read before: grows old", "needed"],
)
def test_a_missing_scope_is_told_once_unless_something_depends_on_the_stream(
    nights: list[Page | Exception], needed: str, news: list[bool | None]
) -> None:
    with Store(":memory:") as store:
        told: list[bool | None] = []
        for night in nights:
            platform = Platform(orders=[night], needed=needed)
            (count,) = pull(store, platform, full=True)
            if count.is_complete:
                scopes.granted(store, count)
            told.append(None if count.is_complete else scopes.is_news(store, platform, count))  # type: ignore[arg-type]  # the part of Adapter that is used
        assert told == news


def test_a_used_up_quota_keeps_what_was_read_and_says_when_to_go_on() -> None:
    with Store(":memory:") as store:
        platform = Platform(members=[page({"id": "1"}), QuotaExhausted("used up", wait_s=3600)], orders=[page({"id": "o1"})])
        members, orders = pull(store, platform)
        assert numbers(members) == (1, 1, 0, 0)
        assert "after 2026-11-21 13:00 UTC" in members.note
        assert (orders.fetched, orders.is_complete) == (0, False)


def test_a_walk_that_stops_without_its_last_page_is_not_complete() -> None:
    class Stops(Platform):
        def pages(self, *args: Any, **options: Any) -> Iterator[Page]:
            yield Page([{"id": "1"}], {"n": 1})

    with Store(":memory:") as store:
        (count,) = pull(store, Stops(members=[]))
        assert (numbers(count), count.is_complete) == ((1, 1, 0, 0), False)


def test_complete_from_is_the_bound_of_the_first_whole_walk() -> None:
    with Store(":memory:") as store:
        pages = [page({"id": "1"}), page({"id": "2"})]
        with pytest.raises(AuthError):
            pull(store, Platform(members=[pages[0], AuthError("x")]), since=datetime(2025, 1, 1))
        assert store.value("SELECT complete_from FROM cursors") is None
        resumed = Platform(members=list(pages))
        pull(store, resumed)
        assert resumed.asked == [({"n": 1}, datetime(2025, 1, 1))]
        assert store.value("SELECT complete_from FROM cursors") == date(2025, 1, 1)
        pull(store, Platform(members=list(pages)), full=True)
        assert store.value("SELECT complete_from FROM cursors") == date(1970, 1, 1)


def test_rereading_people_stores_what_changed_and_leaves_the_cursor() -> None:
    with Store(":memory:") as store:
        platform = Platform(members=[page({"id": "1"}, {"id": "9"})])
        pull(store, platform)
        before = store.sql("SELECT * FROM cursors")
        count = pulling.reread(store, platform, normalizer(), "run", ["1", "9"])  # type: ignore[arg-type]  # the part of Adapter that reread uses
        assert numbers(count) == (1, 1, 0, 0)
        assert store.sql("SELECT record_id, city, state FROM contacts ORDER BY 1") == [
            ("1", "reread", "live"),
            ("9", None, "gone"),
        ]
        assert store.sql("SELECT * FROM cursors") == before


def test_raw_pages_are_kept_as_they_came_and_orphans_and_old_ones_removed(tmp_path: Path) -> None:
    with Store(tmp_path / "r.duckdb") as store:
        records: list[dict[str, Any]] = [{"id": "1", "odd": [1, None]}, {"id": "2"}]
        pull(store, Platform(members=[page(*records), page({"id": "3"})]))
        raw = RawPages(store)
        assert raw.folder is not None
        files = [f for (f,) in store.sql("SELECT file FROM raw_pages ORDER BY page")]
        assert raw.read(files[0]) == [(records, {})]
        assert {p.name for p in raw.folder.iterdir()} == set(files)
        (raw.folder / "left.over.json.zst.tmp").write_bytes(b"x")
        pull(store, Platform(members=[page({"id": "4"})]))
        assert not (raw.folder / "left.over.json.zst.tmp").exists()
        assert raw.expire(store, 30, datetime(2027, 1, 1)) == 3
        assert list(raw.folder.iterdir()) == []


def test_a_changed_mapping_is_replayed_from_raw_with_the_newest_version_of_each_record(tmp_path: Path) -> None:
    with Store(tmp_path / "r.duckdb") as store:
        pull(store, Platform(members=[page({"id": "1", "city": "old", "town": "Old", "opens": 1}, {"id": "2", "town": "Two"})]))
        pull(store, Platform(members=[page({"id": "1", "city": "new", "town": "New", "opens": 1}, gone={"2": "archived"})]))
        changed = normalizer(mapping=MAPPING.replace('city = "city"', 'city = "town"'))
        (count,) = pulling.replay(store, changed, "mailchimp", "replay", now_utc=lambda: NOW)
        assert numbers(count) == (2, 2, 0, 0)
        assert store.sql("SELECT record_id, city, state FROM contacts ORDER BY 1") == [
            ("1", "New", "live"),
            ("2", "Two", "archived"),
        ]
        assert store.value("SELECT count(*) FROM snapshots") == 1


PEOPLE = st.builds(
    lambda i, city, orders, consent, opens: {"id": i, "city": city, "orders": orders, "consent": consent, "opens": opens},
    st.sampled_from(["1", "2", "3", "4", None]), st.sampled_from(["a", "b", ""]), st.sampled_from([1, "2", "bad"]),
    st.sampled_from([None, "subscribed", "unsubscribed"]), st.sampled_from([None, 1, 2]),
)  # fmt: skip
PULLS = st.lists(st.lists(st.lists(PEOPLE, max_size=4), min_size=1, max_size=3), min_size=1, max_size=3)


@settings(max_examples=25, deadline=None)
@given(PULLS, st.sampled_from([1, 3, 1000]))
def test_every_fetched_record_is_stored_unchanged_or_set_aside(pulls: list[list[list[dict[str, Any]]]], commit: int) -> None:
    latest: dict[str, dict[str, Any]] = {}
    with Store(":memory:", threads=1) as store:
        for pages in pulls:
            platform = Platform(members=[page(*p) for p in pages])
            run = runs.begin(store, "pull")
            (count,) = pulling.pull(store, platform, normalizer(), run, commit_records=commit)  # type: ignore[arg-type]  # the part of Adapter that pull uses
            sent = [r for p in pages for r in p]
            bad = [r for r in sent if r["id"] is None or r["orders"] == "bad"]
            assert count.fetched == len(sent) == count.stored + count.unchanged + count.set_aside
            assert count.set_aside == len(bad)
            latest.update({r["id"]: r for r in sent if r not in bad})
        held = store.sql("SELECT record_id, city, orders_claimed FROM contacts ORDER BY 1")
        assert held == [(i, r["city"] or None, int(r["orders"])) for i, r in sorted(latest.items())]
        said = store.sql("SELECT record_id, status FROM consents ORDER BY 1")
        assert said == [(i, r["consent"]) for i, r in sorted(latest.items()) if r["consent"]]
