"""All audiences are read, one is written: ids stay apart, a yes stays where it was said, a no counts everywhere."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from connector import consent
from connector.config import Config
from connector.identity import identify
from connector.normalize import Normalizer, load_mapping
from connector.sandbox.base import Response
from connector.sandbox.shop import Line, Mailing, Product, Purchase
from connector.store import Store
from models.errors import ConfigError

OTHER = "f9e8d7c6b5"
SENT = datetime(2026, 11, 10, 9, 0, 0)


def read(world: Any, stream: str = "members", cursor: Any = None, **how: Any) -> tuple[list[dict[str, Any]], Any]:
    pages = list(world.adapter().pages(stream, cursor, **how))
    return [r for p in pages for r in p.records], pages[-1]


def other_id(world: Any, n: int) -> str:
    return f"{OTHER}:{world.member_id(n)}"


def stored(world: Any) -> Store:
    """The members as rows, with the persons they make."""
    store = Store(":memory:")
    translate = Normalizer(load_mapping("mailchimp"), {}, date(2026, 11, 21))
    for record in read(world)[0]:
        rows = translate.normalize("members", record)
        for table in ("contacts", "identifiers", "consents"):
            store.insert(table, rows.get(table, []))
    identify(store, config())
    return store


def config() -> Config:
    return Config.model_validate({"shop": {}, "mailchimp": {"token": "env:X", "audience": "a1b2c3d4e5"}})


def verdicts(store: Store, channel: str = "email") -> dict[str, tuple[str, str]]:
    consent.judge(store, config(), "mailchimp", channel)
    return {i: (m, s) for i, m, s in store.sql("SELECT contact_id, marketing, service FROM verdicts")}


def test_every_audience_is_read_and_the_same_address_is_another_contact_there(world: Any) -> None:
    world.load(7)
    world.add_other([world.customer(n) for n in range(5, 20)])
    records, last = read(world)
    assert {r["_contact_id"] for r in records} == {
        *(world.member_id(n) for n in range(7)),
        *(other_id(world, n) for n in range(5, 20)),
    }
    assert last.total == len(records) == 22
    assert last.cursor["audiences"] == ["a1b2c3d4e5", OTHER]


def test_a_yes_elsewhere_writes_nobody_here_for_any_purpose_or_channel(world: Any) -> None:
    world.load([world.customer(1, status="transactional"), world.customer(2)])
    world.add_other([world.customer(1), world.customer(3)])
    store = stored(world)
    for channel in ("email", "sms", "ads"):
        found = verdicts(store, channel)
        assert all(found[other_id(world, n)] == ("archived", "archived") for n in (1, 3))
        assert found[world.member_id(1)][0] != ""
    found = verdicts(store)
    assert found[world.member_id(2)] == ("", "")
    assert store.value("SELECT count(DISTINCT person_id) FROM person_links") == 3, "one address is one person"


def test_a_no_elsewhere_counts_here_and_a_bounce_closes_the_address(world: Any) -> None:
    world.load([world.customer(1), world.customer(2), world.customer(3)])
    world.add_other([world.customer(1, status="unsubscribed"), world.customer(2, status="cleaned"), world.customer(3)])
    found = verdicts(stored(world))
    assert found[world.member_id(1)][0].startswith("said no")
    assert found[world.member_id(2)][0] == "dead address"
    assert found[world.member_id(3)][0] == ""


def test_a_contact_whose_status_is_not_told_is_written_nowhere(world: Any) -> None:
    world.load([world.customer(1), world.customer(2)])
    told = [{**m.wire} for m in world.simulator.account.members.values()]
    del told[0]["status"]

    def untold(call: Any) -> Response | None:
        rows = told if call.query.get("status") == "subscribed" else []
        return Response.json({"members": rows, "total_items": len(rows)}) if call.path.endswith("/members") else None

    world.before = untold
    found = verdicts(stored(world))
    assert found[world.member_id(2)][0] == ""
    assert found[world.member_id(1)][0] != ""


def test_an_audience_that_is_new_is_read_whole_by_the_next_pull(world: Any) -> None:
    world.load(7)
    _, last = read(world)
    world.now += timedelta(days=2)
    world.add_other([world.customer(n) for n in range(6)])
    records, last = read(world, cursor=last.cursor)
    assert {r["_contact_id"] for r in records} == {other_id(world, n) for n in range(6)}
    world.now += timedelta(days=2)
    assert read(world, cursor=last.cursor)[0] == []


def test_every_cursor_goes_on_across_audiences(world: Any) -> None:
    world.load(12)
    world.add_other([world.customer(n, status="unsubscribed" if n % 3 else "subscribed") for n in range(13)])
    pages = list(world.adapter().pages("members", None))
    everybody = {r["_contact_id"] for p in pages for r in p.records}
    before: set[str] = set()
    for page in pages[:-1]:
        before |= {r["_contact_id"] for r in page.records}
        assert before | {r["_contact_id"] for r in read(world, cursor=page.cursor)[0]} == everybody


@pytest.mark.parametrize("many", [4, 120])
def test_reread_finds_members_of_other_audiences_by_our_id(world: Any, many: int) -> None:
    world.load(3)
    world.add_other([world.customer(n) for n in range(many)])
    wanted = [world.member_id(1), *(other_id(world, n) for n in range(many)), f"{OTHER}:{'f' * 32}"]
    pages = list(world.adapter().reread(wanted))
    assert sorted(r["_contact_id"] for p in pages for r in p.records) == sorted(wanted[:-1])
    assert [i for p in pages for i in p.gone] == [wanted[-1]]


def test_what_members_of_other_audiences_did_is_theirs(world: Any) -> None:
    people = [f"{n:05d}" for n in range(4)]
    opens = [("00001", SENT + timedelta(hours=1), False)]
    left = [("00002", SENT + timedelta(hours=2), "NORMAL"), ("00003", SENT + timedelta(hours=3), "ABUSE")]
    mailing = Mailing("d1", "Wholesale news", "Hello", SENT, people, opens, unsubscribes=left)
    world.load(2)
    world.add_other([world.customer(n) for n in range(4)], mailings=[mailing])
    assert [r["id"] for r in read(world, "campaigns")[0]] == ["d1"]
    assert {r["_contact_id"] for r in read(world, "activity")[0]} == {other_id(world, n) for n in range(4)}
    assert [r["_contact_id"] for r in read(world, "unsubscribes")[0]] == [other_id(world, 2)]
    assert [r["_contact_id"] for r in read(world, "complaints")[0]] == [other_id(world, 3)]


def test_spam_complaints_are_events(world: Any) -> None:
    mailing = Mailing("c1", "News", "Hello", SENT, ["00001"], unsubscribes=[("00001", SENT + timedelta(hours=1), "ABUSE")])
    world.load(2, mailings=[mailing])
    (record,) = read(world, "complaints")[0]
    translate = Normalizer(load_mapping("mailchimp"), {}, date(2026, 11, 21))
    (event,) = translate.normalize("complaints", record)["events"]
    assert (event["kind"], event["contact_id"], event["campaign_id"]) == ("complaint", world.member_id(1), "c1")
    assert event["occurred_at"].startswith("2026-11-10 10:00:00")


def test_two_stores_with_equal_order_ids_are_two_orders(world: Any) -> None:
    product = Product("p1", "House blend", "Coffee", "Morning Roast", Decimal("12.50"))
    line = Line("p1", "House blend", "Coffee", 1, Decimal("12.50"))
    bought = Purchase("77", "00001", SENT, Decimal("12.50"), [line], frozenset({"mailchimp"}))
    world.load(2, purchases=[bought])
    world.add_other([world.customer(1)], purchases=[bought], products=[product])
    translate = Normalizer(load_mapping("mailchimp"), {}, date(2026, 11, 21))
    orders = [translate.normalize("shop_orders", r)["orders"][0] for r in read(world, "shop_orders")[0]]
    assert {(o["order_id"], o["external_id"], o["contact_id"], o["currency"]) for o in orders} == {
        ("sandbox-store/77", "77", world.member_id(1), "EUR"),
        ("sandbox-store-2/77", "77", other_id(world, 1), "USD"),
    }
    assert {p.total for p in world.adapter().pages("shop_orders", None) if p.records} == {2}, "of both stores together"
    products = [translate.normalize("shop_products", r)["products"][0] for r in read(world, "shop_products")[0]]
    assert {p["product_id"] for p in products} == {"sandbox-store/p1", "sandbox-store-2/p1"}


def test_an_audience_that_was_deleted_is_told_with_those_there_are(world: Any) -> None:
    world.load(2)
    adapter = world.adapter(audience="0000000000")
    for ask in (lambda: list(adapter.pages("members", None)), adapter.account):
        with pytest.raises(ConfigError, match=r"deleted.*a1b2c3d4e5.*mailchimp\.audience"):
            ask()


def test_an_address_change_is_the_same_contact_with_a_new_id_and_the_old_one_is_gone(world: Any) -> None:
    world.load(3)
    translate = Normalizer(load_mapping("mailchimp"), {}, date(2026, 11, 21))

    def names(records: list[dict[str, Any]]) -> dict[str, str]:
        rows = [i for r in records for i in translate.normalize("members", r)["identifiers"]]
        return {i["contact_id"]: i["value"] for i in rows if i["kind"] == "mailchimp_contact"}

    before, last = read(world)
    world.now += timedelta(hours=1)
    world.simulator.change("00001", {"email": "new@shop.example"})
    after, _ = read(world, cursor=last.cursor)
    (changed,) = names(after).values()
    assert changed == names(before)[world.member_id(1)]
    assert world.member_id(1) not in {r["id"] for r in read(world, full=True)[0]}
    gone = {i: s for p in world.adapter().reread([world.member_id(1)]) for i, s in p.gone.items()}
    assert gone == {world.member_id(1): "gone"}


def test_another_audience_deleted_while_it_is_read_does_not_end_the_walk(world: Any) -> None:
    world.load(7)
    world.add_other([world.customer(n) for n in range(20)])

    def delete_it(call: Any) -> Response | None:
        is_page = call.path.endswith("/members") and call.query["count"] != "1"
        return Response.json({"title": "Resource Not Found", "status": 404}, 404) if OTHER in call.path and is_page else None

    world.before = delete_it
    records, last = read(world)
    assert {r["id"] for r in records} == {world.member_id(n) for n in range(7)} and last.done
