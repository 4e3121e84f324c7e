"""What stands in our merge fields is read by the page where that is cheaper, and who left since the pull gets no value any more."""

from __future__ import annotations

from typing import Any

import pytest

CITY = "RC_CITY"


def made(world: Any, **settings: Any) -> Any:
    adapter = world.adapter(**settings)
    adapter.ensure_field(CITY, "city", "text")
    world.calls.clear()
    return adapter


def reads(world: Any) -> list[str]:
    """'pages' and 'one', in the order they were asked for."""
    asked = [c for c in world.calls if c.method == "GET" and "/members" in c.path]
    return ["pages" if c.path.endswith("/members") else "one" for c in asked]


def test_many_values_take_one_request_a_contact_and_a_few_pages(world: Any) -> None:
    world.load(60)
    adapter = made(world, page_size=20)
    ids = [world.member_id(n) for n in range(40)]
    assert set(adapter.read_fields([CITY], ids)) == set(ids)
    assert reads(world) == ["pages"] * (1 + 3), "its size, and three pages"
    answers = adapter.write_fields([(i, {CITY: "Bonn"}) for i in ids])
    assert {o.result for o in answers} == {"done"}
    assert len(world.paths("PATCH")) == 40 and reads(world) == ["pages"] * 4
    assert {v[CITY] for v in adapter.read_fields([CITY], ids).values()} == {"Bonn"}


@pytest.mark.parametrize(("contacts", "page_size"), [(5, 1000), (25, 2)])
def test_few_contacts_of_many_are_read_one_by_one(world: Any, contacts: int, page_size: int) -> None:
    world.load(60)
    adapter = made(world, page_size=page_size)
    adapter.read_fields([CITY], [world.member_id(n) for n in range(contacts)])
    assert reads(world).count("one") == contacts and reads(world).count("pages") <= 1


def test_who_is_not_on_the_pages_is_asked_for_alone_and_archived_ones_are_not_there(world: Any) -> None:
    people = [world.customer(n, status="archived" if n == 3 else "subscribed") for n in range(30)]
    world.load(people)
    adapter = made(world, page_size=20)
    ids = [*(world.member_id(n) for n in range(30)), "0" * 32]
    found = adapter.read_fields([CITY], ids)
    assert set(ids) - set(found) == {world.member_id(3), "0" * 32}
    assert reads(world).count("one") <= 2


@pytest.mark.parametrize("contacts", [2, 30], ids=["one by one", "by the page"])
@pytest.mark.parametrize("status", ["unsubscribed", "cleaned"])
def test_who_left_since_the_pull_gets_no_value_and_may_only_lose_one(world: Any, status: str, contacts: int) -> None:
    people = [world.customer(0, status=status), *(world.customer(n) for n in range(1, 30))]
    world.load(people)
    adapter = made(world, page_size=20)
    ids = [world.member_id(n) for n in range(contacts)]
    adapter.read_fields([CITY], ids)
    answers = adapter.write_fields([(i, {CITY: "Bonn"}) for i in ids])
    assert [o.result for o in answers] == ["refused", *["done"] * (contacts - 1)]
    assert answers[0].reason == f"{status} in Mailchimp meanwhile, and left as it is"
    assert not any(c.path.endswith(ids[0]) for c in world.calls if c.method == "PATCH")
    emptied = adapter.write_fields([(ids[0], {CITY: ""})])
    assert [o.result for o in emptied] == ["done" if status == "unsubscribed" else "refused"]
