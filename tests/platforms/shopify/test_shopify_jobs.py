"""Many tag changes as one job, exports under trouble, and segment queries: against the simulated shop."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from connector.normalize import Normalizer, load_mapping
from connector.sandbox.shop import Customer
from connector.sandbox.shopify import ShopifySimulator
from connector.sandbox.shopify_request import refusal
from models.changes import Batch, Member, Target
from tests.platforms.shopify.simulated_shop import START, TARGET, Clock, connect, records, small_shop


@pytest.fixture
def simulator(clock: Clock) -> ShopifySimulator:
    shop = small_shop()
    shop.customers += [
        Customer(f"9{n:04d}", f"9{n:04d}@shop.example", START - timedelta(days=50), START - timedelta(days=40))
        for n in range(500)
    ]
    made = ShopifySimulator(clock)
    made.load(shop)
    return made


def some(adapter: Any, count: int) -> list[str]:
    return sorted(gid.rsplit("/", 1)[1] for gid in records(adapter, "customers"))[:count]


def adding(contact_ids: list[str], mark: str = "b1") -> Batch:
    return Batch(TARGET, TARGET.name, TARGET.name, adds=tuple(Member(c) for c in contact_ids), batch_id=mark)


def mutations(simulator: ShopifySimulator) -> list[Any]:
    return [j for j in simulator.jobs.values() if j.type == "MUTATION"]


def test_many_tags_go_out_as_one_job_and_come_off_as_another(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    adapter = connect(base_url, clock, bulk="auto")
    ids = some(adapter, 400)
    assert [o.result for o in adapter.apply(adding(ids))] == ["done"] * 400
    assert len(simulator.effects) == 400 and len(mutations(simulator)) == 1
    assert {o.result for o in adapter.apply(adding(ids, "b2"))} == {"already"}
    left = Batch(TARGET, TARGET.name, TARGET.name, removes=tuple(Member(c) for c in ids), batch_id="b3")
    assert {o.result for o in adapter.apply(left)} == {"done"}
    assert len(mutations(simulator)) == 2 and len(simulator.effects) == 800


def test_our_own_tags_come_back_as_nothing_but_a_new_date(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    adapter = connect(base_url, clock)
    normalizer = Normalizer(load_mapping("shopify"), {}, START.date(), "Rollcall: ")
    before = {gid: normalizer.normalize("customers", c) for gid, c in records(adapter, "customers").items()}
    cursor = list(adapter.pages("customers", None))[-1].cursor
    clock.sleep(3600)
    adapter.apply(adding(some(adapter, 7)))
    found = records(adapter, "customers", cursor)
    assert len(found) == 7
    for gid, record in found.items():
        after = normalizer.normalize("customers", record)
        assert after["contacts"][0].pop("updated_at") != before[gid]["contacts"][0].pop("updated_at")
        assert after == before[gid]


def test_few_tags_do_not_take_a_job(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    adapter = connect(base_url, clock, bulk="auto")
    assert {o.result for o in adapter.apply(adding(some(adapter, 299)))} == {"done"}
    assert mutations(simulator) == []


def test_each_line_of_a_jobs_result_finds_its_customer(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    """Lines come shuffled, some without the customer; a customer is deleted while the file is on its way."""
    adapter = connect(base_url, clock, bulk="always")
    ids = some(adapter, 40)
    simulator.change("00003", {"deleted": True})
    gone = [c for c in ids if f"gid://shopify/Customer/{c}" not in simulator.world.by_id]
    adapter._tags.tags_of = lambda wanted: iter([(c, []) for c in wanted])
    inner = simulator._file

    def shuffled(request: Any) -> Any:
        for job in simulator.jobs.values():
            job.body = b"\n".join(reversed(job.body.splitlines())) + b"\n"
        return inner(request)

    simulator._file = shuffled  # type: ignore[method-assign]  # the storage may order lines as it likes
    results = {o.contact_id: o.result for o in adapter.apply(adding(ids))}
    assert {c: r for c, r in results.items() if r != "done"} == {gone[0]: "missing"}


def test_a_line_the_result_does_not_tell_is_looked_up(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    adapter = connect(base_url, clock, bulk="always")
    ids = some(adapter, 10)
    inner = simulator._file

    def cut(request: Any) -> Any:
        for job in simulator.jobs.values():
            job.body = b"\n".join(job.body.splitlines()[:4]) + b"\n"
        return inner(request)

    simulator._file = cut  # type: ignore[method-assign]  # a result file that lost lines
    assert [o.result for o in adapter.apply(adding(ids))] == ["done"] * 10
    assert len(simulator.effects) == 10


def test_when_all_slots_are_taken_tags_go_out_one_request_at_a_time(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    for n in range(5):
        simulator.new_job("MUTATION", f"mutation other{n}").polls = 99
    adapter = connect(base_url, clock, bulk="always")
    assert {o.result for o in adapter.apply(adding(some(adapter, 20)))} == {"done"}
    assert len(mutations(simulator)) == 5 and len(simulator.effects) == 20


def test_the_upload_carries_no_token(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    seen: list[Any] = []
    inner = simulator.handle

    def watch(request: Any) -> Any:
        seen.append(request)
        return inner(request)

    simulator.handle = watch  # type: ignore[method-assign]  # a look at what arrives
    adapter = connect(base_url, clock, bulk="always")
    adapter.apply(adding(some(adapter, 3)))
    (upload,) = [r for r in seen if r.path == "/upload"]
    assert b"shpat" not in upload.body and not any("shopify-access-token" in k for k in upload.headers)
    parts = [p.split(b'name="')[1].split(b'"')[0] for p in upload.body.split(b"Content-Disposition")[1:]]
    assert parts[-1] == b"file" and b"key" in parts


def test_an_automation_takes_a_customer_in_again_or_only_once(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.switches.automations = {TARGET.name: 2}
    adapter = connect(base_url, clock)
    ids = some(adapter, 5)
    left = Batch(TARGET, TARGET.name, TARGET.name, removes=tuple(Member(c) for c in ids))
    adapter.apply(adding(ids))
    adapter.apply(left)
    assert simulator.mails_started == 10
    adapter.apply(adding(ids))
    assert simulator.mails_started == 20
    adapter.apply(left)
    simulator.switches.automations_once = [TARGET.name]
    adapter.apply(adding(ids))
    assert simulator.mails_started == 20


def test_a_tag_with_quotes_and_backslashes_is_found_again(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    adapter = connect(base_url, clock, prefix="Rollcall: ")
    ids = some(adapter, 3)
    for name in ("Rollcall: Joe's", 'Rollcall: "best"', """Rollcall: Joe's "best" \\ more"""):
        target = Target("shopify", name, name)
        adapter.apply(Batch(target, name, name, adds=tuple(Member(c) for c in ids)))
        assert adapter.observe([target], {})[0].members == frozenset(ids)


@pytest.mark.parametrize("stream", ["customers", "orders"])
def test_an_export_whose_file_has_expired_is_run_again(
    base_url: str, clock: Clock, simulator: ShopifySimulator, stream: str
) -> None:
    adapter = connect(base_url, clock, bulk="always")
    pages = adapter.pages(stream, None)
    saved = next(p for p in pages if p.cursor.get("operation"))
    for job in simulator.jobs.values():
        job.look(clock())
        job.look(clock())
    clock.sleep(8 * 86_400)
    rest = records(connect(base_url, clock, bulk="always"), stream, saved.cursor)
    assert len(rest) == {"customers": 620, "orders": 150}[stream]
    assert len(simulator.jobs) == 2


def test_a_line_of_an_export_that_is_no_json_keeps_the_window_open(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    adapter = connect(base_url, clock, bulk="always")
    inner = simulator._file
    broken: list[Any] = []

    def break_one(request: Any) -> Any:
        for job in simulator.jobs.values():
            if not broken:
                rows = job.body.splitlines()
                rows[7] = b'{"id":' + rows[7]
                job.body = b"\n".join(rows) + b"\n"
                broken.append(job)
        return inner(request)

    simulator._file = break_one  # type: ignore[method-assign]  # a storage that damages a line
    assert len(records(adapter, "customers")) == 620
    assert len(simulator.jobs) > 1


def test_exports_leave_slots_to_other_programs(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    """With one slot the second stream starts its job only when the first one's has ended."""
    adapter = connect(base_url, clock, bulk="always", bulk_slots=1)
    first = adapter.pages("customers", None)
    next(p for p in first if p.cursor.get("operation"))
    assert not adapter._slots.acquire(blocking=False)
    list(first)
    assert adapter._slots.acquire(blocking=False)


def test_browsing_and_mail_events_are_read_by_day_when_switched_on(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    assert "engagement" not in {s.name for s in connect(base_url, clock).streams()}
    days = {"00001": [("storefront.product_viewed", "2026-11-20"), ("shopify_email.opened", "2026-11-19")],
            "00002": [("storefront.product_viewed", "2026-11-20")]}  # fmt: skip
    for source, activity in days.items():
        customer = simulator.customer(source)
        assert customer is not None
        customer.source.extra["shopify"] = {"activity": activity}
    simulator.switches.members_at_once = 1
    adapter = connect(base_url, clock, segment_queries=True)
    assert adapter.streams()[-1].name == "engagement"
    pages = list(adapter.pages("engagement", None))
    found = {r["id"]: r for p in pages for r in p.records}
    assert set(found) == {"storefront.product_viewed 2026-11-20", "shopify_email.opened 2026-11-19"}
    normalizer = Normalizer(load_mapping("shopify"), {}, START.date())
    rows = normalizer.normalize("engagement", found["storefront.product_viewed 2026-11-20"])["events"]
    assert {(r["kind"], r["occurred_at"][:10]) for r in rows} == {("product_view", "2026-11-20")} and len(rows) == 2
    assert len(list(adapter.pages("engagement", pages[-1].cursor))) == 3
    assert len(list(adapter.pages("engagement", pages[20].cursor))) == len(pages) - 21


@pytest.mark.parametrize("version", ["2026-07", "2026-10"])
def test_segment_queries_that_shopify_refuses_end_with_a_note(
    base_url: str, clock: Clock, simulator: ShopifySimulator, version: str
) -> None:
    adapter = connect(base_url, clock, segment_queries=True, api_version=version)
    inner = simulator.run

    def refuse(text: str, *args: Any, **options: Any) -> Any:
        if "customerSegmentMembers(" in text:
            raise refusal("Query Line 1 Column 1: 'storefront' filter cannot be found.", "INVALID")
        return inner(text, *args, **options)

    simulator.run = refuse  # type: ignore[method-assign]  # a shop without these functions
    (page,) = adapter.pages("engagement", None)
    assert page.done and page.note and page.records == []
