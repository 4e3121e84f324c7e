"""The shop's copy, the mapping over real records, and every request against Mailchimp's own description."""

from __future__ import annotations

import json
import re
import runpy
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector.normalize import Normalizer, load_mapping
from connector.sandbox.shop import Cart, Line, Mailing, Purchase
from models.changes import Batch, Member, Target
from tests.platforms.mailchimp.described import described_path, operations, problems

AT = datetime(2026, 11, 1, 10, 0, 0)


def lines() -> list[Line]:
    return [Line("p1", "House blend", "Coffee", 2, Decimal("25.00"))]


def load(world: Any) -> None:
    on = frozenset(("shopify", "mailchimp"))
    people = [world.customer(n, tags={"mailchimp": ["Tasting"]}) for n in range(12)]
    buys = [Purchase(f"10{n}", f"{n:05d}", AT + timedelta(days=n), Decimal("25.00"), lines(), on) for n in range(7)]
    buys[6].cancelled = True
    mail = Mailing("c1", "News", "Hello", AT, [f"{n:05d}" for n in range(12)], [("00001", AT, True)])
    world.load(people, mailings=[mail], purchases=buys, carts=[Cart("k1", "00003", AT, Decimal("25.00"), lines())])


def rows(world: Any, stream: str) -> list[dict[str, Any]]:
    translate = Normalizer(load_mapping("mailchimp"), {}, date(2026, 11, 21))
    found = [r for p in world.adapter().pages(stream, None) for r in p.records]
    return [translate.normalize(stream, r) for r in found]


def test_shop_data_is_read_where_it_is_wanted(world: Any) -> None:
    load(world)
    names = {s.name for s in world.adapter(ecommerce="auto").streams()}
    assert {"shop_orders", "shop_products", "shop_carts"} <= names
    assert {s.name for s in world.adapter(ecommerce="never").streams()} == names - {
        "shop_orders",
        "shop_products",
        "shop_carts",
    }
    pages = list(world.adapter().pages("shop_orders", None))
    assert pages[0].total == 7
    rest = list(world.adapter().pages("shop_orders", pages[0].cursor))
    assert len({r["_id"] for p in (pages[0], *rest) for r in p.records}) == 7


def test_orders_become_rows_with_exact_amounts(world: Any) -> None:
    load(world)
    found = rows(world, "shop_orders")
    orders = {r["orders"][0]["order_id"]: r["orders"][0] for r in found}
    assert len(orders) == 7
    first, last = "sandbox-store/5000000000001", "sandbox-store/5000000000007"
    kept, cancelled = orders[first], orders[last]
    assert kept["external_id"] == "5000000000001", "the shop's own number, by which its other copies are found"
    assert (Decimal(kept["total"]), kept["status"], kept["contact_id"]) == (Decimal(25), "paid", world.member_id(0))
    assert (cancelled["is_cancelled"], cancelled["net"]) == (True, "0")
    assert cancelled["cancelled_at"] and kept["cancelled_at"] is None
    line = next(r for r in found if r["orders"][0]["order_id"] == first)["order_lines"][0]
    assert (Decimal(line["amount"]), Decimal(line["quantity"])) == (Decimal(25), Decimal(2))


def order(total: str, *lines: tuple[str, int, str], **more: str) -> dict[str, Any]:
    rows = [{"id": str(n), "price": p, "quantity": q, "discount": d} for n, (p, q, d) in enumerate(lines)]
    return {"id": "1", "order_total": total, "lines": rows, **more}


@pytest.mark.parametrize(
    ("given", "amounts"),
    [
        (order("25", ("12.50", 2, "0")), ["25.00"]),
        (order("25", ("25.00", 2, "0")), ["25.00"]),
        (order("21.90", ("10", 2, "2"), shipping_total="3.90"), ["18"]),
        (order("30", ("10", 1, "0"), ("20", 4, "0")), ["10", "20"]),
        (order("85", ("10", 1, "0"), ("20", 4, "0"), discount_total="5"), ["10", "80"]),
        (order("", ("20", 4, "0")), ["80"]),
        (order("999", ("20", 4, "0")), ["80"]),
    ],
)
def test_a_lines_price_is_of_one_piece_unless_the_orders_total_says_otherwise(given: Any, amounts: list[str]) -> None:
    from adapters.mailchimp_shop import KINDS

    found = KINDS["shop_orders"].own(given, "s")["lines"]
    assert [Decimal(line["_amount"]) for line in found] == [Decimal(a) for a in amounts]


def test_every_stream_has_a_mapping_that_takes_its_records(world: Any) -> None:
    load(world)
    tables = {s.name: {t for r in rows(world, s.name) for t in r} for s in world.adapter().streams()}
    assert {"contacts", "consents", "identifiers"} <= tables["members"]
    assert tables["campaigns"] == {"campaigns"}
    assert tables["activity"] == {"events"}
    assert tables["shop_products"] == {"products"}
    assert tables["shop_carts"] == {"carts"}


@pytest.mark.parametrize(
    ("status", "meaning", "state"),
    [
        ("subscribed", "subscribed", "live"),
        ("unsubscribed", "unsubscribed", "live"),
        ("cleaned", "dead", "live"),
        ("pending", "pending", "live"),
        ("transactional", "transactional", "live"),
        ("archived", "archived", "archived"),
    ],
)
def test_each_status_has_its_meaning_and_only_a_yes_is_dated(world: Any, status: str, meaning: str, state: str) -> None:
    world.load([world.customer(1, status=status)])
    row = rows(world, "members")[0]
    (consent,) = (c for c in row["consents"] if c["channel"] == "email" and c["topic"] == "")
    assert (consent["status"], consent["platform_status"]) == (meaning, status)
    assert (consent.get("changed_at") is not None) == (status == "subscribed")
    assert row["contacts"][0]["state"] == state


def test_permission_boxes_become_topics(world: Any) -> None:
    extra = {"mailchimp": {"marketing_permissions": {"Email": False, "Direct mail": True}}}
    world.load([world.customer(1, extra=extra)])
    topics = {c["topic"]: c["status"] for c in rows(world, "members")[0]["consents"] if c["topic"]}
    assert topics == {"Email": "not_specified", "Direct mail": "subscribed"}


def test_every_request_fits_the_published_description_and_carries_count_and_fields(world: Any) -> None:
    """The fixture asks this of every request of every test here; this one makes all kinds there are."""
    load(world)
    world.simulator.change("00002", {"interests": ["Roast: Dark"], "tags": [f"Tag {n}" for n in range(60)]})
    campaign = world.simulator.account.campaigns["c1"]
    campaign.title, campaign.unsubscribes = (
        "",
        [(world.simulator.account.by_customer["00003"], "2026-11-02T10:00:00+00:00", "")],
    )
    adapter = world.adapter()
    adapter.check()
    for stream in adapter.streams():
        pages = list(adapter.pages(stream.name, None))
        world.now += timedelta(hours=2)
        list(adapter.pages(stream.name, pages[-1].cursor))
    target = Target("mailchimp", "VIP", "Rollcall: VIP")
    tag_id = adapter.ensure(target)
    member = Member(world.member_id(1), world.address(1))
    adapter.apply(Batch(target, tag_id, target.name, adds=(member, Member("f" * 32, "nobody@shop.example"))))
    adapter.apply(Batch(target, tag_id, target.name, removes=(member,)))
    adapter.observe([target, Target("mailchimp", "B", "Other", tag_id)], {})
    adapter.apply_quietly(Batch(target, tag_id, target.name, adds=(member,)))
    adapter.tell(member, "rollcall_at_risk")
    adapter.ensure_field("RC_CITY", "city", "text")
    adapter.write_fields([(member.contact_id, {"RC_CITY": "Bonn"})])
    list(adapter.reread([world.member_id(1), world.member_id(2)]))
    adapter.api.find(f"batches/{adapter.api.begin_batch([{'method': 'GET', 'path': '/ping'}])}", "id,status")
    assert len(world.calls) > 40
    assert {p for c in world.calls for p in problems(c.method, c.path, c.query, c.body)} == set()
    made = {(c.method.lower(), described_path(c.path.removeprefix("/3.0") or "/")) for c in world.calls}
    assert {(m, p) for p, methods in operations().items() for m in methods} == made, "each operation is used, and no other"


def test_a_request_that_mailchimp_does_not_know_is_found_out() -> None:
    members = "/3.0/lists/a1b2c3d4e5/members"
    good = {"fields": "members.id", "count": "10"}
    assert problems("GET", members, good) == []
    wrong: list[tuple[str, str, dict[str, str], Any]] = [
        ("GET", "/3.0/nowhere", {}, None),
        ("DELETE", members, {}, None),
        ("GET", members, {**good, "page": "2"}, None),
        ("GET", members, {**good, "status": "happy"}, None),
        ("GET", members, {**good, "count": "1001"}, None),
        ("GET", members, {"count": "10"}, None),
        ("GET", members, {"fields": "members.id"}, None),
        ("POST", "/3.0/batches", {}, {"operations": [{"method": "LOOK", "path": "/"}]}),
        ("POST", "/3.0/batches", {}, {}),
        ("POST", "/3.0/lists/a1/segments/1", {}, {"members_to_add": "a@shop.example"}),
        ("POST", "/3.0/lists/a1/segments/1", {}, {"status": "subscribed"}),
        ("POST", f"{members}/x/tags", {}, {"tags": [{"name": "x", "status": "on"}]}),
    ]
    assert [w for w in wrong if not problems(*w)] == []


def test_what_was_cut_from_the_description_is_what_it_says(spec: dict[str, Any]) -> None:
    beside = Path(__file__).parent
    assert json.loads((beside / "operations.json").read_bytes())["paths"].keys() >= {"/reports", "/batches"}
    if "info" not in spec:
        pytest.skip("the whole description is not at hand")
    cutter = runpy.run_path(str(beside / "cut_operations.py"))
    assert cutter["cut"](spec) == json.loads((beside / "operations.json").read_bytes()), "run cut_operations.py again"


def test_every_test_and_number_in_the_document_is_there() -> None:
    root = Path(__file__).parents[3]
    text = (root / "docs" / "platforms" / "mailchimp.md").read_text()
    beside = [
        (root / "tests" / room).glob(names) for room, names in (("sandbox", "test_mailchimp*.py"), ("stories", "test_*.py"))
    ]
    files = [*Path(__file__).parent.glob("test_*.py"), *(f for found in beside for f in found)]
    there = {name for f in files for name in re.findall(r"^def (test_\w+)", f.read_text(), re.M)}
    named = set(re.findall(r"`(test_\w+)`", text))
    assert named and named <= there
    for section, rows in (("The ten rules", 10), ("What bit others", 20)):
        part = text.partition(f"## {section}")[2].partition("\n## ")[0]
        assert re.findall(r"^\| (\d+) \|", part, re.M) == [str(n) for n in range(1, rows + 1)]
        assert all("`test_" in line or "not handled" in line for line in part.splitlines() if re.match(r"\| \d+ \|", line))


def test_orders_without_a_date_are_kept_and_their_number_is_said(world: Any) -> None:
    load(world)
    for order in world.simulator.account.store.orders[:2]:
        order["processed_at_foreign"] = ""
    pages = list(world.adapter().pages("shop_orders", None))
    assert pages[-1].note.startswith("Orders without a date in Mailchimp's copy of the shop: 2.")
    resumed = list(world.adapter().pages("shop_orders", pages[0].cursor))
    assert resumed[-1].note == pages[-1].note, "what was counted before a crash is counted"
    dates = {r["orders"][0]["order_id"]: r["orders"][0]["ordered_at"] for r in rows(world, "shop_orders")}
    assert list(dates.values()).count(None) == 2 and len(dates) == 7
    assert list(world.adapter().pages("shop_products", None))[-1].note == ""


@pytest.mark.parametrize("word", ["refunded", "cancelled", "voided", "Refunded"])
def test_of_refunded_and_cancelled_orders_nothing_is_left(world: Any, word: str) -> None:
    load(world)
    world.simulator.account.store.orders[0]["financial_status"] = word
    first = next(r["orders"][0] for r in rows(world, "shop_orders") if r["orders"][0]["external_id"] == "5000000000001")
    assert (Decimal(first["net"]), Decimal(first["total"]), first["status"]) == (0, 25, word.lower())


@pytest.mark.parametrize(
    ("fields", "column", "value"),
    [
        ({"ADDRESS": ""}, "city", None),
        ({"ADDRESS": {"addr1": "", "city": "Bern", "state": "", "zip": "", "country": "CH"}}, "city", "Bern"),
        ({"ADDRESS": {"addr1": "", "city": "Bern", "state": "", "zip": "", "country": "CH"}}, "postcode", None),
        ({"ADDRESS": "Main street 1"}, "city", None),
        ({"BIRTHDAY": ""}, "birthday", None),
        ({"BIRTHDAY": "04/30"}, "birthday", "04/30"),
        ({"PHONE": ""}, "phone", None),
        ({"PHONE": 41310000000}, "phone", "41310000000"),
        ({"LOYALTY": ""}, "attributes", None),
        ({"LOYALTY": 12.5}, "attributes", 12.5),
        ({"LOYALTY": "gold"}, "attributes", "gold"),
    ],
)
def test_empty_is_an_empty_text_for_every_kind_of_merge_field(world: Any, fields: Any, column: str, value: Any) -> None:
    world.load(1)
    member = next(iter(world.simulator.account.members.values())).wire
    member["merge_fields"] |= fields
    translate = Normalizer(load_mapping("mailchimp"), {"loyalty": "LOYALTY"}, date(2026, 11, 21))
    (record,) = (r for p in world.adapter().pages("members", None) for r in p.records)
    contact = translate.normalize("members", record)["contacts"][0]
    own = json.loads(contact["attributes"] or "{}").get("loyalty")
    assert (own if column == "attributes" else contact.get(column)) == value


def test_a_contact_of_text_messages_only_is_a_contact_without_an_address(world: Any) -> None:
    world.load(
        [world.customer(1, extra={"mailchimp": {"sms_phone_number": "+41310000000", "sms_subscription_status": "subscribed"}})]
    )
    next(iter(world.simulator.account.members.values())).wire["email_address"] = ""
    (tables,) = rows(world, "members")
    assert tables["contacts"][0]["email"] is None
    assert [(i["kind"], i["value"]) for i in tables["identifiers"] if i["kind"] != "mailchimp_contact"] == [
        ("phone", "+41310000000")
    ]
    assert ("sms", "subscribed") in {(c["channel"], c["status"]) for c in tables["consents"]}
