"""A no said on one platform after the last pull is heard before anything is written to another.

One shop a way of writing: everybody may be mailed when the accounts are pulled; then one person says no on each platform, and
the push, the saved plan, the undoing and the triggers follow at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import orjson
import pytest

from connector import choices, planner, saved, writer
from connector import config as configuration
from connector.session import Session
from models.changes import Plan
from tests.laws.consent_shop import EVERYWHERE, HOST, PLATFORMS, Laws
from tests.laws.consent_table import MARKETING, bought, person
from tests.simulated import between

MAIL = f'[[segment]]\nname = "Mail"\nwhere = "records >= 1"\npush = {EVERYWHERE}\n'
FIELD = f'[[field]]\ncolumn = "orders_total"\npush = {EVERYWHERE}\n'
HOOK = f'[[trigger]]\nname = "hook"\nsegment = "Mail"\nurl = "{HOST}/hook"\nsecret = "env:ROLLCALL_LAWS_HOOK"\nfields = ["email"]\n'
NO: dict[str, dict[str, Any]] = {
    "shopify": {"status": "unsubscribed"}, "mailchimp": {"status": "unsubscribed"}, "hubspot": {"status": "opted_out"},
}  # fmt: skip
PAIRS = list(permutations(PLATFORMS, 2))


class Shop(Laws):
    """One who never changes their mind, one who will say no on each platform, and one whom only Mailchimp knows."""

    def __init__(self, folder: Path, body: str = MAIL) -> None:
        os.environ["ROLLCALL_LAWS_HOOK"] = "a-secret-of-the-owner"
        people = [
            person("steady"),
            *(person(f"no-{p}") for p in PLATFORMS),
            person("alone", shopify="absent", hubspot="absent"),
        ]
        super().__init__(folder, people, body, bought(people))
        self.pull(full=True)

    def say_no(self) -> None:
        for platform, what in NO.items():
            self.change(platform, f"no-{platform}", **what)

    def carry_out(self, plan: Callable[[Session], Plan]) -> Session:
        with self.session("push") as s:
            writer.carry_out(s, plan(s), first=True)
        return s

    def fresh(self, s: Session) -> Plan:
        return self._planned(s, True)

    def wearing(self) -> dict[str, set[str]]:
        return {p: self.carrying(p, MARKETING) for p in PLATFORMS}


def after_a_push(shop: Shop) -> dict[str, set[str]]:
    shop.say_no()
    s = shop.carry_out(shop.fresh)
    assert s.exit_code == 0 and s.summary["dropped_at_the_last_moment"] == 9
    return shop.wearing()


def after_a_saved_plan(shop: Shop) -> dict[str, set[str]]:
    path = shop.folder / "plan.json"
    path.write_bytes(orjson.dumps(shop.plan(first=True).to_json(), default=str))
    shop.say_no()
    shop.later(minutes=5)
    s = shop.carry_out(lambda s: saved.what_still_holds(saved.read(path), shop.fresh(s))[0])
    assert s.exit_code == 0 and s.summary["dropped_at_the_last_moment"] == 9
    return shop.wearing()


def after_an_undo(shop: Shop) -> dict[str, set[str]]:
    """A run took the tag off everybody; it is taken back."""
    shop.push(first=True)
    people = [p for (p,) in shop.store.sql("SELECT person_id FROM people")]
    with shop.session("pin") as s:
        for one in people:
            choices.pin(shop.store, one, "Mail", "never", "a mistake", s.now(), s.run_id)
    shop.push()
    assert not any(shop.wearing().values())
    shop.store.sql("DELETE FROM pins")
    shop.pull()
    shop.say_no()

    def undoing(s: Session) -> Plan:
        shop.fresh(s)
        return planner.undo_plan_derived(s, shop.pushed)[0]

    s = shop.carry_out(undoing)
    assert s.summary["dropped_at_the_last_moment"] == 9
    return shop.wearing()


def everybody_enters(shop: Shop) -> set[str]:
    """The trigger has begun, and everybody entered since; gives whom it tells of from now on."""
    told: set[str] = set()

    def receive(request: Any) -> tuple[int, dict[str, str], str]:
        told.add(orjson.loads(request.body)["data"]["person"]["email"].partition("@")[0])
        return 200, {}, ""

    shop.mock.add_callback("POST", f"{HOST}/hook", callback=receive)
    shop.push(first=True)
    shop.store.sql("INSERT INTO memberships SELECT 'Mail', person_id, DATE '2026-11-20', NULL, 'r', NULL FROM people")
    shop.store.sql("CREATE OR REPLACE TABLE profile AS SELECT person_id FROM people")
    shop.pull()
    return told


def after_triggers(shop: Shop) -> dict[str, set[str]]:
    """Whom a webhook told of, the same for all platforms: it goes to none of them."""
    told = everybody_enters(shop)
    shop.say_no()
    shop.carry_out(shop.fresh)
    return dict.fromkeys(PLATFORMS, told)


WAYS = {
    "push": (after_a_push, MAIL), "apply": (after_a_saved_plan, MAIL), "undo": (after_an_undo, MAIL),
    "triggers": (after_triggers, MAIL + HOOK),
}  # fmt: skip


@pytest.fixture(scope="module", params=WAYS)
def reached(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    way, body = WAYS[request.param]
    shop = Shop(tmp_path_factory.mktemp("asked"), body)
    yield way(shop)
    shop.close()


@pytest.mark.parametrize(("said_on", "destination"), PAIRS)
def test_a_no_said_after_the_pull_reaches_every_other_platform(
    reached: dict[str, set[str]], said_on: str, destination: str
) -> None:
    assert f"no-{said_on}" not in reached[destination]
    assert "steady" in reached[destination]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.close()


def test_who_is_known_where_nobody_answers_waits_and_is_counted_and_enters_quietly_later(shop: Shop) -> None:
    scopes = shop.hubspot.switches.scopes
    scopes.remove("crm.objects.contacts.read")
    s = shop.carry_out(shop.fresh)
    assert shop.wearing() == {"shopify": set(), "mailchimp": {"alone"}, "hubspot": set()}
    assert s.exit_code == 6 and s.summary["consent_not_heard"] == 12
    assert [p.text.split(",")[0] for p in s.problems if p.exit_code == 3] == [
        f"{title} 'Rollcall: Mail': 4 of {n} who would enter wait"
        for title, n in (("HubSpot", 4), ("Mailchimp", 5), ("Shopify", 4))
    ]
    assert sum(r.planned for r in s.results) == 1

    scopes.add("crm.objects.contacts.read")
    plan = shop.plan()
    assert all(t.first_fill for t in plan.targets), "the fill has not ended, so what is left of it starts nothing either"
    shop.push()
    everybody = {"steady", *(f"no-{p}" for p in PLATFORMS)}
    assert shop.wearing() == {"shopify": everybody, "mailchimp": everybody | {"alone"}, "hubspot": everybody}
    assert not shop.plan().changes


def test_a_trigger_waits_where_a_platform_gives_no_answer_and_tells_the_next_time(tmp_path: Path) -> None:
    shop = Shop(tmp_path, MAIL + HOOK)
    told = everybody_enters(shop)
    scopes = shop.hubspot.switches.scopes
    scopes.remove("crm.objects.contacts.read")
    s = shop.carry_out(shop.fresh)
    assert not told and s.summary["triggers"] == [{"trigger": "hook", "segment": "Mail", "planned": 5, "waiting": 5}]
    assert any("Trigger 'hook': 5 wait, because HubSpot gave no answer" in p.text for p in s.problems)
    scopes.add("crm.objects.contacts.read")
    shop.carry_out(shop.fresh)
    assert len(told) == 5
    shop.close()


@pytest.mark.parametrize("hours", [2, -3], ids=["long", "clock set back"])
def test_in_a_long_push_who_says_no_on_another_platform_after_it_began_does_not_enter(shop: Shop, hours: int) -> None:
    """One contact in a write, and two hours pass with the first; or nobody can tell how many, for the clock was set back."""
    text = shop.config.path.read_text().replace("[mailchimp]\n", "[mailchimp]\nbatch_size = 1\n")
    shop.config.path.write_text(text.replace('"shopify", "mailchimp", "hubspot"', '"mailchimp"'))
    shop.config = configuration.load(shop.config.path)
    said_no: list[str] = []

    def slowly(request: Any, handle: Any) -> Any:
        answer = handle(request)
        if b"members_to_add" in request.body and not said_no:
            said_no.append(next(n for n in ("steady", "no-shopify") if n.encode() not in request.body))
            shop.later(hours=hours)
            shop.change("hubspot", said_no[0], **NO["hubspot"])
        return answer

    with between(shop.mailchimp, slowly):
        s = shop.carry_out(shop.fresh)
    assert shop.wearing()["mailchimp"] == {"steady", "alone", *(f"no-{p}" for p in PLATFORMS)} - set(said_no)
    (result,) = s.results
    assert (result.planned, result.counts, result.not_sent) == (5, {"done": 4}, 1)
    assert s.summary["dropped_at_the_last_moment"] == 1 and s.exit_code == 0


def test_one_asking_is_enough_for_all_destinations_of_a_run_and_grows_old(shop: Shop) -> None:
    def asked() -> int:
        read = re.compile(r"/objects/[^/]*/?contacts/batch/read|/objects/contacts/batch/read")
        return sum(bool(read.search(str(c.request.url))) for c in shop.mock.calls)

    before = asked()
    plan: Plan | None = None
    with shop.session("push") as s:
        plan = shop.fresh(s)
        writer.carry_out(s, plan, first=True)
        once = asked() - before
        assert once >= 1
        targets = [t for t in plan.targets if t.target.platform == "shopify"]
        writer.still_allowed(s, s.adapter("shopify"), targets)
        assert asked() - before == once
        shop.later(minutes=11)
        writer.still_allowed(s, s.adapter("shopify"), targets)
        assert asked() - before == 2 * once
