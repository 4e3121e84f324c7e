"""Somebody else's connector in the sandbox: it copies without restraint, so that ours can be shown to have some."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.sandbox.foreign import Copying
from tests.stories.story import AS_OF, Story, expected_members, segments, write_orders

FIRST = ("push", "--first", "--as-of", AS_OF)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Story]:
    with Story(tmp_path / "shop", write_orders(tmp_path / "orders.csv", customers=40, seed=3)) as story:
        story.configure(segments())
        story.ok("backfill")
        yield story


def test_a_tag_of_ours_that_comes_back_by_somebody_elses_hand_is_kept_and_stays_theirs(shop: Story) -> None:
    shop.ok(*FIRST)
    members = expected_members(shop.orders)["Frequent"]
    assert shop.control("foreign", {"from": "mailchimp", "to": "hubspot", "what": ["tags"]})["changed"] == len(
        set.union(*shop.tags().values())
    )
    gone = sorted(members)[:2]
    shop.change([g.removesuffix("@shop.example") for g in gone], mailchimp={"consent": "unsubscribed"})
    shop.ok("sync", "--as-of", AS_OF)
    assert not shop.tags()["Frequent"] & set(gone)
    shop.control("foreign", {"from": "hubspot", "to": "mailchimp", "what": ["tags"]})
    assert set(gone) <= shop.tags()["Frequent"]
    plan = shop.run("plan", "--as-of", AS_OF, "--json").json["segments"]
    frequent = next(t for t in plan if t["segment"] == "Frequent")
    assert frequent["left"] == 0 and frequent["drift"]["tagged_by_hand"] == 2


def test_a_program_that_resubscribes_people_does_not_undo_a_no_said_elsewhere(shop: Story) -> None:
    somebody = min(expected_members(shop.orders)["Frequent"])
    shop.change([somebody.removesuffix("@shop.example")], shopify={"consent": "unsubscribed"})
    copied = shop.control("foreign", {"from": "mailchimp", "to": "hubspot", "what": ["statuses"]})
    assert "changed" in copied
    shop.ok("pull")
    shop.ok(*FIRST)
    assert all(somebody not in people for people in shop.tags().values())


def test_switched_on_it_goes_on_copying_by_itself(shop: Story) -> None:
    shop.control("foreign", {"from": "mailchimp", "to": "shopify", "every": 5})
    shop.ok(*FIRST)
    shop.ok("plan", "--as-of", AS_OF)
    tagged = [c for c in shop.state()["shopify"]["customers"] if any(t.startswith("Rollcall: ") for t in c["tags"])]
    assert tagged
    shop.control("foreign", {"off": True})


def test_what_it_does_not_know_is_answered() -> None:
    with pytest.raises(ValueError, match="two of"):
        Copying.parse({"from": "mailchimp", "to": "mailchimp"}, ("mailchimp", "hubspot"))
    with pytest.raises(ValueError, match="cannot be copied"):
        Copying.parse({"from": "mailchimp", "to": "hubspot", "what": ["money"]}, ("mailchimp", "hubspot"))
