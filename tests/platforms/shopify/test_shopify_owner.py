"""What happens to owners: keys, plans and shops that change under us, each with words that say what to do."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from typing import Any

import pytest
import responses

from connector.normalize import Normalizer, load_mapping
from connector.sandbox.base import Limits
from connector.sandbox.shopify import SCOPES, ShopifySimulator
from models.changes import Batch, Member
from models.errors import AuthError, PermanentApiError, ScopeError
from tests.platforms.shopify.simulated_shop import START, TARGET, Clock, connect, records, small_shop
from tests.simulated import simulated


def findings(adapter: Any) -> dict[str, Any]:
    return {f.name: f for f in adapter.check()}


def test_a_revoked_token_ends_the_walk_with_advice(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    adapter = connect(base_url, clock, token="shpat_sandbox", page_size=50)
    pages = adapter.pages("customers", None)
    next(pages)
    simulator.switches.is_revoked = True
    with pytest.raises(AuthError, match="rollcall check"):
        list(pages)


def test_a_token_of_another_shop_is_another_account(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    before = connect(base_url, clock).account()
    simulator.switches.shop_number = 60_000_000_002
    assert connect(base_url, clock).account().id != before.id


def test_a_plan_without_personal_data_is_said_by_check_and_by_the_pull(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    simulator.switches.blank_personal_data = True
    adapter = connect(base_url, clock)
    assert (findings(adapter)["personal data"].level, findings(adapter)["personal data"].code) == ("error", "scope")
    found: list[Any] = []
    with pytest.raises(ScopeError, match="nobody can be matched or mailed") as refusal:
        for page in adapter.pages("customers", None):
            found += page.records
    assert len(found) == 120 and refusal.value.exit_code == 6
    assert len(records(adapter, "orders")) == 150


def test_a_shop_that_knows_names_only_is_no_plan_that_withholds(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    for customer in simulator.world.customers:
        customer.source.email, customer.source.first_name = "", "Jo"
    adapter = connect(base_url, clock)
    assert len(records(adapter, "customers")) == 120
    assert (findings(adapter)["personal data"].level, findings(adapter)["personal data"].code) == ("warning", "personal_data")


@pytest.mark.parametrize("status", [402, 403, 423])
@pytest.mark.parametrize("bulk", ["never", "always"])
def test_a_shop_that_freezes_in_the_middle_keeps_its_place(
    base_url: str, clock: Clock, simulator: ShopifySimulator, status: int, bulk: str
) -> None:
    adapter = connect(base_url, clock, page_size=50, bulk=bulk)
    pages = adapter.pages("customers", None)
    first = next(pages)
    simulator.switches.is_frozen, simulator.switches.frozen_with = True, status
    with pytest.raises(PermanentApiError, match=r"frozen, locked or paused.*Nothing was lost") as refusal:
        list(pages)
    assert (refusal.value.code, refusal.value.exit_code) == ("SHOP_INACTIVE", 6)
    simulator.switches.is_frozen = False
    rest = records(connect(base_url, clock, bulk=bulk), "customers", first.cursor)
    assert len({r["id"] for r in first.records} | rest.keys()) == 120


def test_a_person_shopify_erased_is_known_as_erased(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.change("00003", {"consent": "redacted"})
    found = records(connect(base_url, clock), "customers")
    normalizer = Normalizer(load_mapping("shopify"), {}, date(2026, 11, 21))
    states = {r["note"]: normalizer.normalize("customers", r)["contacts"][0] for r in found.values()}
    assert (states["00003"]["state"], states["00003"]["email"]) == ("erased", None)
    assert {s["state"] for note, s in states.items() if note != "00003"} == {"live"}
    simulator.switches.blank_personal_data = True
    found = connect(base_url, clock).pages("customers", None)
    first = next(found).records
    assert {normalizer.normalize("customers", r)["contacts"][0]["state"] for r in first} == {"live"}, (
        "a plan that shows nobody has erased nobody"
    )


def test_a_renamed_shop_is_named_and_never_followed(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.switches.renamed_to = "new-name.myshopify.com"
    with pytest.raises(PermanentApiError, match=r"new-name\.myshopify\.com"):
        connect(base_url, clock, token="shpat_sandbox").account()


def test_checkouts_that_may_not_be_seen_close_their_stream_only(
    base_url: str, clock: Clock, simulator: ShopifySimulator
) -> None:
    simulator.switches.denied = ["abandonedCheckouts"]
    adapter = connect(base_url, clock)
    with pytest.raises(ScopeError, match=r"access to abandonedCheckouts"):
        records(adapter, "checkouts")
    assert len(records(adapter, "orders")) == 150


def test_writing_without_its_scope_is_refused_and_named(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.switches.scopes = SCOPES - {"write_customers"}
    adapter = connect(base_url, clock)
    contact = next(iter(records(adapter, "customers"))).rsplit("/", 1)[1]
    assert findings(adapter)["write_customers"].code == "scope"
    with pytest.raises(ScopeError, match="write_customers"):
        adapter.apply(Batch(TARGET, TARGET.name, TARGET.name, adds=(Member(contact),)))
    assert simulator.effects == []


def test_a_count_that_is_only_at_least_is_no_total(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    simulator.switches.count_ceiling = 100
    pages = list(connect(base_url, clock).pages("customers", None))
    assert {p.total for p in pages} == {None}
    exported = list(connect(base_url, clock, bulk="auto").pages("customers", None))
    assert len(simulator.jobs) == 1 and sum(len(p.records) for p in exported) == 120


def test_the_newest_version_is_spoken_where_none_is_named(base_url: str, clock: Clock) -> None:
    adapter = connect(base_url, clock)
    assert [(v.name, str(v.until)) for v in adapter.versions()] == [
        ("2026-10", "2027-10-01"), ("2026-07", "2027-07-01"), ("2026-04", "2027-04-01"), ("2026-01", "2027-01-01"),
    ]  # fmt: skip
    assert adapter.api.version == adapter.versions()[0].name


@pytest.mark.parametrize("version", ["2026-01", "2026-04", "2026-07", "2026-10", "2027-01"])
def test_every_version_that_answers_can_be_read(base_url: str, clock: Clock, simulator: ShopifySimulator, version: str) -> None:
    simulator.change("00001", {"phone": "+4930123456", "sms": "SUBSCRIBED"})
    adapter = connect(base_url, clock, api_version=version)
    assert [len(records(adapter, s)) for s in ("customers", "orders", "products", "checkouts")] == [120, 150, 1, 10]
    exporting = connect(base_url, clock, api_version=version, bulk="always")
    assert [len(records(exporting, s)) for s in ("customers", "orders", "products", "checkouts")] == [120, 150, 1, 10]
    assert simulator.version == version
    normalizer = Normalizer(load_mapping("shopify"), {}, date(2026, 11, 21))
    rows = [normalizer.normalize("customers", c) for c in records(adapter, "customers").values()]
    assert [c["status"] for r in rows for c in r["consents"] if c["channel"] == "sms"] == ["subscribed"]


def test_a_retired_version_is_read_on_and_said(base_url: str, clock: Clock) -> None:
    adapter = connect(base_url, clock, api_version="2025-10")
    pages = list(adapter.pages("customers", None))
    assert sum(len(p.records) for p in pages) == 120
    assert "answered as API 2026-01 although 2025-10 was asked for" in pages[-1].note
    assert "answered with 2026-01" in findings(adapter)["API version"].text
    assert adapter.ends() == (("Shopify API 2026-01", date(2027, 1, 1)),), "what answers is what will end"


def test_below_2026_07_newer_collections_are_said_to_be_missing(base_url: str, clock: Clock) -> None:
    assert "below 2026-07" in findings(connect(base_url, clock, api_version="2026-04"))["collections"].text
    assert "collections" not in findings(connect(base_url, clock, api_version="2026-07"))


@pytest.mark.parametrize(
    ("version", "end", "level"),
    [("2026-10", date(2027, 10, 1), "ok"), ("2026-01", date(2027, 1, 1), "warning"), ("unstable", None, "warning")],
)
def test_the_end_of_the_version_is_known(base_url: str, clock: Clock, version: str, end: date | None, level: str) -> None:
    adapter = connect(base_url, clock, api_version=version)
    assert adapter.ends() == (((f"Shopify API {version}", end),) if end else ())
    assert adapter.api_end()[1] == (end or date.max)
    assert findings(adapter)["API version"].level == level


def test_every_request_goes_to_the_graphql_address(base_url: str, clock: Clock, simulator: ShopifySimulator) -> None:
    asked: set[str] = set()
    inner = simulator.handle
    simulator.handle = lambda request: (asked.add(request.path), inner(request))[1]  # type: ignore[method-assign,func-returns-value]  # a look at what arrives
    adapter = connect(base_url, clock)
    for stream in ("customers", "orders", "products", "checkouts"):
        records(adapter, stream)
    adapter.check()
    assert asked == {"/admin/oauth/access_token", "/admin/api/2026-10/graphql.json"}


def test_streams_are_read_by_several_threads_at_once(base_url: str, clock: Clock) -> None:
    adapter = connect(base_url, clock, page_size=40)
    found: dict[str, int] = {}

    def read(stream: str) -> None:
        found[stream] = len(records(adapter, stream))

    threads = [threading.Thread(target=read, args=(s,)) for s in ("customers", "orders", "products", "checkouts")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {"customers": 120, "orders": 150, "products": 1, "checkouts": 10}


def test_no_query_is_refused_for_want_of_points(clock: Clock) -> None:
    """The bucket is kept by waiting beforehand: with real limits not one THROTTLED answer."""
    simulator = ShopifySimulator(clock, limits=Limits(on=True))
    simulator.load(small_shop())
    simulator._level = 60.0
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        adapter = connect(simulated("shopify", simulator, mock), clock)
        adapter.api._pace._clock = lambda: clock.now.timestamp()  # the pace's clock must be the one that waits move
        for _ in range(6):
            records(adapter, "orders")
        calls: list[Any] = list(mock.calls)
        answers = [call.response.content for call in calls]
    assert not any(b"THROTTLED" in body for body in answers) and len(answers) > 20
    assert clock.now - START > timedelta(seconds=3)
