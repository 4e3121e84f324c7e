"""Every kind of fault by itself, on every platform: what a client cannot survive it reports in words, and nothing is lost.

A pull that says it is complete holds what the platform has; one that does not says why, and the next one makes it good.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connector.sandbox.base import Request
from connector.sandbox.faults import ALL_KINDS, NEEDS_ANSWER, ONLY, Fault, Faults, Kind
from connector.sandbox.server import Sandbox
from models.errors import ConnectorError
from tests.stories.story import rollcall
from tests.torture.account import PLATFORMS, TIMEOUT_S, Told, adapter, differences, run
from tests.torture.night import part_of
from tests.torture.world import HeldClock, World, shop

STALL_S = TIMEOUT_S + 0.2
SMALL: dict[str, dict[str, Any]] = {
    "shopify": {"page_size": 8},
    "mailchimp": {"page_size": 8, "workers": 1, "ecommerce": "never"},
    "hubspot": {"workers": 1},
}
CUSTOMERS = {"shopify": 25, "mailchimp": 40, "hubspot": 330}
CONTACTS = {"shopify": "customers", "mailchimp": "members", "hubspot": "contacts"}
BACKFILL = {"shopify": "customers", "mailchimp": "members", "hubspot": "contacts list"}
CHANGED = {"shopify": "customers", "mailchimp": "members", "hubspot": "contacts search"}
PASSING = frozenset(ALL_KINDS) - {"redirect", "477", "repeated"}
"""What repeating the request helps against."""


class One(Faults):
    """One fault at the nth request for a part of the pull; `*` is any request."""

    def __init__(self) -> None:
        super().__init__(kinds=("repeated",), every=1 << 60, hint_s=0.0)
        self.platform_asked, self.part, self.nth, self.asked = "", "*", 0, 0
        self.fault: Fault | None = None
        self.is_for_ever = False

    def arm(self, platform: str, part: str, nth: int, kind: Kind, when: str = "before") -> None:
        self.platform_asked, self.part, self.nth, self.asked = platform, part, nth, 0
        self.fault = Fault(kind, when, STALL_S)
        self.log.clear()

    def decide(self, platform: str, request: Request) -> Fault | None:
        with self._lock:
            if platform != self.platform_asked or self.part not in ("*", part_of(platform, request)):
                return None
            self.asked += 1
            if self.fault is None or self.asked < self.nth or not self._fits(self.fault.kind, platform, request):
                return None
            fault = self.fault
            if not self.is_for_ever:
                self.fault = None
            return fault


@dataclass
class Account:
    box: Sandbox
    faults: One
    worlds: dict[str, World]

    def run(self, platform: str, store: Path, *, whole: bool = False) -> Told:
        """Contacts only, unless `whole`."""
        streams = None if whole else [CONTACTS[platform]]
        return run(platform, self.box.url, store, streams=streams, **SMALL[platform])


@pytest.fixture(scope="module", params=PLATFORMS)
def account(request: pytest.FixtureRequest) -> Iterator[tuple[str, Account]]:
    held, faults, platform = HeldClock(), One(), request.param
    with Sandbox(shop(CUSTOMERS[platform], 3, 3), faults=faults, clock=held) as box:
        yield platform, Account(box, faults, {platform: World(platform, box, held, 3)})


def kinds(platform: str) -> list[Kind]:
    return [k for k in ALL_KINDS if ONLY.get(k, platform) == platform]


@dataclass
class Walked:
    """What an adapter gave of its contacts, from a cursor on: records by id, where it stood at last, and what it said."""

    records: dict[str, Any]
    cursor: Any
    words: str = ""


def walked(on: Account, platform: str, cursor: Any) -> Walked:
    talk, found = adapter(platform, on.box.url, **SMALL[platform]), Walked({}, cursor)
    try:
        for page in talk.pages(CONTACTS[platform], cursor):
            found.records |= {str(r["id"]): r for r in page.records}
            found.cursor = json.loads(json.dumps(page.cursor))
            if page.done:
                return found
    except ConnectorError as e:
        found.words = str(e)
    return found


def check_walk(on: Account, platform: str, kind: Kind, part: str, begin: Any, wanted: Walked) -> None:
    """Survived, or reported; never silently accepted. What was reported is made good by the next walk, from where it stood."""
    on.faults.arm(platform, part, 2, kind)
    found = walked(on, platform, begin)
    assert [f["kind"] for f in on.faults.log] == [kind]
    assert not found.words or kind not in PASSING, (kind, found.words)
    if found.words:
        assert len(found.words) > 40, (kind, found.words)
        again = walked(on, platform, found.cursor)
        assert not again.words, (kind, again.words)
        found.records |= again.records
    assert found.records == wanted.records, kind


def test_a_kind_that_strikes_a_walk_is_survived_or_reported(account: tuple[str, Account]) -> None:
    """A whole one, and one over what changed."""
    platform, on = account
    on.faults.arm(platform, "*", 1 << 60, "500")
    whole = walked(on, platform, None)
    for kind in kinds(platform):
        check_walk(on, platform, kind, BACKFILL[platform], None, whole)
    on.worlds[platform].change("burst")
    changed = walked(on, platform, whole.cursor)
    assert len(changed.records) > 15
    for kind in kinds(platform):
        check_walk(on, platform, kind, CHANGED[platform], whole.cursor, changed)


def check(on: Account, platform: str, store: Path, fresh: Path, told: Told) -> None:
    """The same of a whole pull and what is stored of it."""
    (seen,) = on.faults.log
    kind = seen["kind"]
    assert told.is_complete or kind not in PASSING, (kind, told)
    if not told.is_complete:
        assert len(told.words) > 40 and "Traceback" not in told.words, (kind, told)
        again = on.run(platform, store, whole=True)
        assert again.is_complete, (kind, again)
    assert differences(store, fresh) == [], kind


def test_pages_that_repeat_for_ever_end_a_walk_and_are_told(account: tuple[str, Account], tmp_path: Path) -> None:
    platform, on = account
    on.faults.arm(platform, BACKFILL[platform], 1, "repeated")
    on.faults.is_for_ever = True
    told = on.run(platform, tmp_path / "store.duckdb")
    on.faults.is_for_ever, on.faults.fault = False, None
    if platform == "mailchimp":  # pages by offset: what is missing shows in the count
        assert "The platform counts" in told.words and "are held" in told.words
    else:
        assert not told.is_complete and ("repeat" in told.words or "twice" in told.words)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_no_kind_is_silently_accepted_wherever_in_a_backfill_it_strikes(account: tuple[str, Account], tmp_path: Path) -> None:
    """Every request of a whole pull in turn; the kinds are dealt over them, so that each strikes each part of the pull."""
    platform, on = account
    fresh = tmp_path / "fresh.duckdb"
    on.faults.arm(platform, "*", 1 << 60, "500")
    assert on.run(platform, fresh, whole=True).is_complete
    for nth in range(1, on.faults.asked + 1):
        kind = kinds(platform)[nth % len(kinds(platform))]
        store = tmp_path / f"{nth}.duckdb"
        on.faults.arm(platform, "*", nth, kind, "after" if kind in NEEDS_ANSWER else "before")
        told = on.run(platform, store, whole=True)
        if on.faults.log:  # near the end there may be no request left that the kind can strike
            check(on, platform, store, fresh, told)


def test_what_ends_a_pull_is_told_to_the_owner_with_exit_code_1_and_made_good_by_the_next(tmp_path: Path) -> None:
    faults = One()
    with Sandbox(shop(25, 3, 0), faults=faults) as box:
        folder = tmp_path / "shop"
        (folder / "secrets").mkdir(parents=True)
        (folder / "secrets/shopify").write_text("shpat_sandbox")
        (folder / "secrets/shopify").chmod(0o600)
        (folder / "rollcall.toml").write_text(
            '[shop]\nname = "Morning Roast"\ntimezone = "Europe/Berlin"\ncurrency = "EUR"\n\n[shopify]\n'
            f'store = "sandbox-shop.myshopify.com"\nbase_url = "{box.url}/shopify"\ntoken = "file:secrets/shopify"\n'
            "page_size = 8\n"
        )
        faults.arm("shopify", "customers", 2, "redirect")
        told = rollcall(folder, "backfill", "--json")
        assert told.code == 1 and "shop-moved.example" in told.text and "never sent" in told.text
        assert rollcall(folder, "backfill").code == 0
