"""What happens to an owner of a Shopify shop, one by one, through the real command: what is said, the exit code, what is kept."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector.sandbox.shop import Customer, Line, Product, Purchase, Shop
from connector.sandbox.shopify import SCOPES
from tests.stories.story import Answer, Story

PEOPLE = 60
LOYAL = """[[segment]]
name = "Loyal"
where = "orders_365d >= 1"
push = ["shopify"]
"""


NOW = datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def buyers() -> Shop:
    """Sixty people with one to four orders of the last ten months; a fixed seed, counted back from today."""
    chance = random.Random(7)
    people = [
        Customer(f"{n:05d}", f"{n:05d}@shop.example", NOW - timedelta(days=400), NOW - timedelta(days=300),
                 first_name=f"Name{n}", on=frozenset({"shopify"}), consent={"shopify": "SUBSCRIBED"})
        for n in range(PEOPLE)
    ]  # fmt: skip
    line = Line("beans", "Dark roast", "Coffee", 1, Decimal("9.90"))
    bought = [
        Purchase(f"o{n}-{k}", f"{n:05d}", NOW - timedelta(days=chance.randrange(1, 300)), line.amount, [line],
                 on=frozenset({"shopify"}))
        for n in range(PEOPLE)
        for k in range(1 + n % 4)
    ]  # fmt: skip
    beans = Product("beans", "Dark roast", "Coffee", "Roaster", Decimal("9.90"))
    return Shop("Morning Roast", "EUR", "UTC", people, [beans], bought, [])


def opened(folder: Path) -> Story:
    """The shop with Shopify alone connected."""
    story = Story(folder, buyers())
    story.config.write_text(story.config.read_text().split("[mailchimp]")[0] + LOYAL)
    return story


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Story]:
    with opened(tmp_path / "shop") as story:
        yield story


@pytest.fixture(scope="session")
def tagged_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store after a backfill and a first push."""
    with opened(tmp_path_factory.mktemp("tagged") / "shop") as story:
        story.ok("backfill")
        story.ok("push", "--first")
        assert len(carriers(story)) == PEOPLE
        return story.folder


@pytest.fixture
def tagged(owner: Story, tagged_store: Path) -> Story:
    """The same with everybody's tag in place."""
    owner.take_store(tagged_store)
    owner.change([f"{n:05d}" for n in range(PEOPLE)], shopify={"tags": ["Rollcall: Loyal"]})
    return owner


def switches(story: Story) -> Any:
    return story.sandbox.simulators["shopify"].switches  # type: ignore[attr-defined]  # every simulator has them


def carriers(story: Story, tag: str = "Rollcall: Loyal") -> set[str]:
    return {c["customer_id"] for c in story.state()["shopify"]["customers"] if tag in c["tags"]}


def said(answer: Answer, code: int, *words: str) -> None:
    """The code, every word, and nothing an owner cannot read."""
    text = " ".join(answer.text.split())
    assert answer.code == code, answer.text
    assert [w for w in words if w not in text] == [], answer.text
    assert "Traceback" not in text and "@shop.example" not in text.replace("***@s***.example", "")
    assert "shpat_" not in text


def checked(story: Story, code: int, *words: str) -> None:
    said(story.run("check"), code, *words)


def kept_and_going_on(story: Story, mend: Callable[[], None]) -> None:
    """Nobody lost a tag meanwhile, and after the trouble the next night is an ordinary one."""
    assert len(carriers(story)) == PEOPLE
    mend()
    written = len(story.writes())
    story.ok("pull")
    story.ok("push")
    assert len(carriers(story)) == PEOPLE and len(story.writes()) == written


def test_a_revoked_token_is_said_and_nothing_is_lost(tagged: Story) -> None:
    switches(tagged).is_revoked = True
    words = ("Shopify refused the access token (401)", "revoked", "rollcall check", "Nothing was lost")
    said(tagged.run("pull"), 6, *words)
    checked(tagged, 6, *words[:2])
    kept_and_going_on(tagged, lambda: setattr(switches(tagged), "is_revoked", False))


def test_a_frozen_shop_is_no_failure_of_ours(tagged: Story) -> None:
    switches(tagged).is_frozen = True
    words = ("frozen, locked or paused", "Nothing was lost", "goes on where it stood", "its owner settles that in Shopify")
    said(tagged.run("sync"), 6, *words)
    checked(tagged, 6, *words[:2])
    kept_and_going_on(tagged, lambda: setattr(switches(tagged), "is_frozen", False))


def test_a_token_of_another_shop_does_not_go_on_with_this_ones_state(tagged: Story) -> None:
    held = tagged.sql("SELECT count(*) FROM source_records")
    switches(tagged).shop_number = 60_000_000_002
    said(tagged.run("push"), 6, "belong to another account", "another store file")
    checked(tagged, 6, "another Shopify account")
    assert tagged.sql("SELECT count(*) FROM source_records") == held
    kept_and_going_on(tagged, lambda: setattr(switches(tagged), "shop_number", 60_000_000_001))


def test_a_renamed_shop_is_named_and_the_token_stays_here(tagged: Story) -> None:
    switches(tagged).renamed_to = "evening-roast.myshopify.com"
    said(tagged.run("pull"), 1, "evening-roast.myshopify.com", "The key is never sent there")
    assert len(carriers(tagged)) == PEOPLE


def test_without_the_scope_to_write_nothing_is_written_and_the_scope_is_named(tagged: Story) -> None:
    switches(tagged).scopes = SCOPES - {"write_customers"}
    tagged.change(["00001"], shopify={"tags": []})
    written = len(tagged.writes())
    said(tagged.run("push"), 6, "adding tags", "lacks the scope write_customers")
    checked(tagged, 6, "ERROR", "write_customers", "Missing: adding and removing our tags")
    assert len(tagged.writes()) == written
    switches(tagged).scopes = SCOPES
    tagged.ok("push")
    assert len(carriers(tagged)) == PEOPLE


def test_a_missing_scope_closes_its_stream_only(owner: Story) -> None:
    switches(owner).scopes = SCOPES - {"read_products"}
    answer = owner.run("backfill", "--json")
    assert answer.code == 6
    states = {s["stream"]: s["is_complete"] for s in answer.json["streams"]}
    assert states == {"customers": True, "orders": True, "checkouts": True, "products": False}
    assert any("read_products" in p["text"] for p in answer.json["problems"])
    again = owner.run("pull", "--json")
    assert (again.code, again.json["problems"]) == (0, []), "an owner who leaves a scope out is told once"
    checked(owner, 6, "read_products", "Missing: products, and which product an order line is")


def test_the_wall_of_sixty_days_is_said_at_once_and_nothing_is_pushed_that_looks_behind_it(owner: Story) -> None:
    switches(owner).scopes = SCOPES - {"read_all_orders"}
    said(owner.ok("backfill"), 0, "only the orders of the last 60 days", "lacks read_all_orders", "Read all orders")
    checked(owner, 0, "WARNING", "Only the last 60 days of orders can be read", "the oldest order seen is of")
    said(owner.run("push", "--first"), 3, "not ready: looks at orders of the last 365 days", "complete only from")
    assert carriers(owner) == set()
    switches(owner).scopes = SCOPES
    said(owner.ok("pull"), 0, "all orders now; what lay behind the 60 days was read too")
    owner.ok("push", "--first")
    assert len(carriers(owner)) == PEOPLE


@pytest.mark.parametrize("how", ["blank", "denied"])
def test_a_plan_that_withholds_personal_data_takes_nobodys_tag(tagged: Story, how: str) -> None:
    switches(tagged).blank_personal_data = how == "blank"
    switches(tagged).denied_fields = ["Customer.defaultEmailAddress", "Order.email"] if how == "denied" else []
    tagged.change(["00001"], shopify={"note": "called"})
    words = ("nobody's e-mail address", "nobody can be matched or mailed", "protected customer data")
    said(tagged.run("pull"), 6, *words, "nothing is pushed until addresses are shown")
    said(tagged.run("push"), 4, "Shopify customers were not pulled to their end", "60 left out: 60 never asked")
    checked(tagged, 6, "ERROR", *words)

    def mend() -> None:
        switches(tagged).blank_personal_data, switches(tagged).denied_fields = False, []

    kept_and_going_on(tagged, mend)
    assert tagged.sql("SELECT count(*) FROM contacts WHERE email IS NULL") == [(0,)]


def test_a_tag_taken_off_by_hand_is_said_and_put_back(tagged: Story) -> None:
    tagged.change(["00001", "00002"], shopify={"tags": ["wholesale"]})
    said(tagged.ok("push"), 0, "2 had it taken off by somebody else", "2 enter")
    assert len(carriers(tagged)) == PEOPLE and len(carriers(tagged, "wholesale")) == 2


def test_a_tag_renamed_by_hand_waits_for_the_owner_and_the_new_name_is_left_alone(tagged: Story) -> None:
    tagged.change([f"{n:05d}" for n in range(PEOPLE)], shopify={"tags": ["Our friends"]})
    written = len(tagged.writes())
    said(tagged.run("push"), 3, "had it taken off by somebody else", "guard max_enter_pct")
    assert len(tagged.writes()) == written
    tagged.ok("push", "--allow", "max_enter_pct", "--because", "the old name comes back")
    assert len(carriers(tagged)) == len(carriers(tagged, "Our friends")) == PEOPLE


def test_a_version_that_has_ended_is_read_on_and_said_to_the_owner(owner: Story) -> None:
    owner.config.write_text(owner.config.read_text().replace("push = true", 'push = true\napi_version = "2025-10"', 1))
    said(owner.ok("backfill"), 0, "Shopify answered as API 2026-01 although 2025-10 was asked for", "Update Rollcall")
    checked(owner, 0, "WARNING", "2025-10 has ended")


def test_a_version_that_is_none_is_refused_before_anything_is_sent(owner: Story) -> None:
    owner.config.write_text(owner.config.read_text().replace("push = true", 'push = true\napi_version = "../../evil"', 1))
    answer = owner.run("backfill")
    assert answer.code == 2 and "api_version" in answer.text and "Traceback" not in answer.text
    assert owner.sql("SELECT count(*) FROM source_records") == [(0,)]


def test_a_customer_shopify_erased_loses_nothing_but_is_never_written_again(tagged: Story) -> None:
    tagged.change(["00003"], shopify={"consent": "redacted", "tags": []})
    written = len(tagged.writes())
    tagged.ok("pull")
    tagged.ok("push")
    assert tagged.sql("SELECT count(*) FROM contacts WHERE state = 'erased'") == [(1,)]
    assert len(tagged.writes()) == written and "00003" not in carriers(tagged)


def test_a_customer_merged_away_is_gone_and_the_rest_goes_on(tagged: Story) -> None:
    simulator: Any = tagged.sandbox.simulators["shopify"]
    simulator.merge("00001", "00002")
    tagged.change(["00001", "00005"], shopify={"tags": []})
    tagged.ok("pull")
    tagged.ok("push")
    assert carriers(tagged) == {f"{n:05d}" for n in range(PEOPLE)} - {"00002"}
    assert "Nothing would change" in tagged.ok("plan").out
