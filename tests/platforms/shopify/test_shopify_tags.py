"""Tags out: only ours, once, one outcome a change, and the customer itself is believed rather than the index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from models.changes import Batch, Member, Target
from models.errors import AmbiguousWriteError, PermanentApiError

Connect = Callable[..., Any]
TARGET = Target("shopify", "VIP", "Rollcall: VIP")


def fill(shop: Any, make_customer: Callable[..., Any], count: int, tags: list[str] | None = None) -> None:
    shop.rows["customers"] = [make_customer(n, "2026-10-01T00:00:00Z", tags=list(tags or [])) for n in range(1, count + 1)]


def batch(adds: list[int] | None = None, removes: list[int] | None = None) -> Batch:
    return Batch(
        TARGET, TARGET.name, TARGET.name,
        adds=tuple(Member(str(n)) for n in adds or ()), removes=tuple(Member(str(n)) for n in removes or ()),
    )  # fmt: skip


def tags(shop: Any, number: int) -> list[str]:
    return next(list(c["tags"]) for c in shop.rows["customers"] if c["id"].endswith(f"/{number}"))


def writes(shop: Any) -> list[str]:
    return [d for d, _ in shop.asked if "tagsAdd(" in d or "tagsRemove(" in d]


def test_every_change_has_one_outcome_and_other_tags_stay(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 130, ["wholesale"])
    outcomes = connect().apply(batch(adds=list(range(1, 121)), removes=[125]))
    assert [(o.contact_id, o.kind) for o in outcomes] == [*((str(n), "add") for n in range(1, 121)), ("125", "remove")]
    assert {o.result for o in outcomes[:-1]} == {"done"} and outcomes[-1].result == "already"
    assert tags(shop, 7) == ["wholesale", "Rollcall: VIP"]
    assert len(writes(shop)) == 3


def test_applying_twice_writes_once(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 3)
    connect().apply(batch(adds=[1, 2]))
    assert [o.result for o in connect().apply(batch(adds=[1, 2]))] == ["already", "already"]
    assert len(writes(shop)) == 1


def test_adding_and_removing_travel_together(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 2)
    shop.rows["customers"][1]["tags"] = ["rollcall: vip"]
    outcomes = connect().apply(batch(adds=[1], removes=[2]))
    assert [o.result for o in outcomes] == ["done", "done"]
    assert tags(shop, 1) == ["Rollcall: VIP"] and tags(shop, 2) == []
    assert len(writes(shop)) == 1


def test_a_customer_who_is_gone_is_missing_and_the_rest_goes_on(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 3)
    shop.gone.add("gid://shopify/Customer/2")
    assert [o.result for o in connect().apply(batch(adds=[1, 2, 3, 99]))] == ["done", "missing", "done", "missing"]


def test_a_customer_deleted_between_the_read_and_the_write_is_missing(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 2)
    shop.before.append(lambda d, v: shop.gone.add("gid://shopify/Customer/2") if "tagsAdd(" in d else None)
    assert [o.result for o in connect().apply(batch(adds=[1, 2]))] == ["done", "missing"]


def test_nearly_full_customers_are_left_alone(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 1, [f"t{n}" for n in range(245)])
    outcome = connect().apply(batch(adds=[1]))[0]
    assert outcome.result == "refused" and "245" in outcome.reason
    assert writes(shop) == []


@pytest.mark.parametrize("answer", [(503, {}, ""), requests.exceptions.ReadTimeout()])
def test_a_lost_answer_is_told_and_read_back_and_nothing_is_sent_again(
    shop: Any, connect: Connect, make_customer: Any, answer: Any
) -> None:
    fill(shop, make_customer, 1)
    lost = [answer]

    def lose(document: str, variables: dict[str, Any]) -> Any:
        if "tagsAdd(" not in document or not lost:
            return None
        shop._tag(document, variables)
        found = lost.pop()
        if isinstance(found, Exception):
            raise found
        return found

    shop.before.append(lose)
    adapter = connect()
    with pytest.raises(AmbiguousWriteError):
        adapter.apply(batch(adds=[1]))
    assert lost == [] and dict(adapter.written(batch(adds=[1]))) == {"1": True}
    assert tags(shop, 1) == ["Rollcall: VIP"] and len(writes(shop)) == 1


def test_a_write_that_keeps_failing_is_not_reported_as_done(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 1)
    shop.before.append(lambda d, v: (500, {}, "") if "tagsAdd(" in d else None)
    with pytest.raises(AmbiguousWriteError):
        connect().apply(batch(adds=[1]))


def test_observed_members_are_those_whose_own_record_carries_the_tag(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 5)
    by_number = dict(enumerate(shop.rows["customers"], 1))
    by_number[1]["tags"] = ["Rollcall: VIP"]
    by_number[2].update(tags=["ROLLCALL: vip"], indexed=[])
    by_number[3].update(tags=[], indexed=["Rollcall: VIP"])
    other = Target("shopify", "Sleepers", "Rollcall: sleepers")
    found = connect().observe([TARGET, other], {"VIP": frozenset({"2", "4", "99"})})
    assert [o.target.segment for o in found] == ["VIP", "Sleepers"]
    assert found[0].members == {"1", "2"} and found[0].exists
    assert not found[1].exists and found[1].members == frozenset()


def test_a_tag_on_very_many_customers_is_read_in_several_chains(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 230, ["Rollcall: VIP"])
    for n, c in enumerate(shop.rows["customers"], 1001):
        c["id"] = f"gid://shopify/Customer/{n}"
    found = connect(chain_rows=100).observe([TARGET], {})[0]
    assert found.members == {str(n) for n in range(1001, 1231)}
    assert any("id:>" in str(v.get("query")) for _, v in shop.asked)


def test_written_reads_the_customers_themselves(shop: Any, connect: Connect, make_customer: Any) -> None:
    fill(shop, make_customer, 2)
    shop.rows["customers"][0].update(tags=["Rollcall: VIP"], indexed=[])
    assert dict(connect().written(batch(adds=[1], removes=[2]))) == {"1": True, "2": False}


@pytest.mark.parametrize("name", ["", "wholesale", "Rollcall: a, b", " Rollcall: x"])
def test_a_name_that_is_not_ours_is_never_written(shop: Any, connect: Connect, name: str) -> None:
    adapter = connect(prefix="Rollcall: ")
    target = Target("shopify", "VIP", name)
    with pytest.raises(PermanentApiError):
        adapter.ensure(target)
    with pytest.raises(PermanentApiError):
        adapter.apply(Batch(target, name, name, adds=(Member("1"),)))
    assert shop.asked == []


def test_a_tag_needs_no_object(connect: Connect) -> None:
    assert connect().ensure(TARGET) == "Rollcall: VIP"
