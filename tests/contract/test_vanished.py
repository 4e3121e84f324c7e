"""A field we use vanishes from a platform's answers: the run says which one and what it breaks, once, and goes on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import responses

from adapters import PLATFORMS, load
from connector import features, normalize, pull, runs
from connector.conformance.world import translator_of
from connector.intake import ENOUGH
from connector.sandbox.base import Request, Response, Simulator
from connector.sandbox.sample_shop import sample_shop
from connector.sandbox.server import simulators
from connector.sandbox.shop import Shop
from connector.store import Store
from models.people import StreamCount
from tests.simulated import simulated
from tests.stories.story import Story

NOW = datetime(2026, 11, 21, 12)
SETTINGS: dict[str, dict[str, Any]] = {
    "shopify": {"store": "sandbox-shop.myshopify.com", "token": "shpat_sandbox", "bulk": "never"},
    "mailchimp": {"token": "0123456789abcdef0123456789abcdef-us1", "audience": "a1b2c3d4e5", "ecommerce": "always"},
    "hubspot": {"token": "pat-eu1-sandbox"},
}
WATCHED = [
    (platform, stream.name, name)
    for platform in PLATFORMS
    for stream in normalize.load_mapping(platform).streams.values()
    for name in stream.watch
]


class Without:
    """A simulator whose answers lack one field."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator, self.path = simulator, ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.simulator, name)

    def handle(self, request: Request) -> Response:
        response = self.simulator.handle(request)
        if not self.path or not response.body.startswith(b"{"):
            return response
        body = json.loads(response.body)
        strip(body, self.path.split("."))
        headers = {k: v for k, v in response.headers.items() if k.lower() != "content-length"}
        return Response(response.status, headers, json.dumps(body).encode())


def strip(value: Any, path: list[str]) -> None:
    """Take away what stands at the path, wherever it begins."""
    if isinstance(value, list):
        for inner in value:
            strip(inner, path)
    if isinstance(value, dict):
        place: Any = value
        for key in path[:-1]:
            place = place.get(key) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.pop(path[-1], None)
        for inner in value.values():
            strip(inner, path)


class Pulls:
    """One platform, pulled once into a store."""

    numbers = itertools.count(1)

    def __init__(self, platform: str, shop: Shop, mock: responses.RequestsMock) -> None:
        self.platform, self.store = platform, Store(":memory:")
        simulator = simulators(lambda: NOW)[platform]
        simulator.load(shop)
        self.simulator = Without(simulator)
        self.url = simulated(platform, self.simulator, mock)
        self.first = self.pull()

    def pull(self, stream: str = "") -> dict[str, StreamCount]:
        settings = {**SETTINGS[self.platform], "base_url": self.url, "tries": 2}
        adapter = load(self.platform)(settings, now_utc=lambda: NOW, sleep=lambda wait_s: None)
        run = runs.begin(self.store, "pull", now_utc=lambda: NOW, suffix=lambda: f"{next(self.numbers):04d}")
        found = pull.pull(
            self.store,
            adapter,
            translator_of(self.platform),
            run,
            streams=[stream] if stream else None,
            full=True,
            keep_raw=False,
        )
        return {c.stream: c for c in found}


@pytest.fixture(scope="module")
def shop() -> Shop:
    return sample_shop(customers=120)


@pytest.fixture(scope="class")
def pulls(shop: Shop) -> Iterator[Callable[[str], Pulls]]:
    """In-process; while it lasts, no request leaves this process."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        made: dict[str, Pulls] = {}

        def of(platform: str) -> Pulls:
            if platform not in made:
                made[platform] = Pulls(platform, shop, mock)
            return made[platform]

        yield of
        for one in made.values():
            one.store.close()


class TestEveryWatchedField:
    @pytest.mark.parametrize(("platform", "stream", "name"), WATCHED)
    def test_a_field_we_use_that_vanishes_is_named_once_with_what_it_breaks(
        self, pulls: Callable[[str], Pulls], platform: str, stream: str, name: str
    ) -> None:
        pulled = pulls(platform)
        assert "is in none of" not in pulled.first[stream].note
        fills = translator_of(platform).watched(stream)[name][1]
        assert fills, "a field that fills nothing is not worth watching"
        pulled.simulator.path = name
        try:
            count = pulled.pull(stream)[stream]
        finally:
            pulled.simulator.path = ""
        assert count.fetched == count.stored + count.unchanged + count.set_aside
        if count.fetched < ENOUGH:
            assert "is in none of" not in count.note
            return
        assert count.note.count(f"The field {name} is in none of {count.fetched:,} records; it fills {fills}.") == 1
        said = ", ".join(features.broken(fills.split(", ")))
        assert said and count.note.count(f"This breaks {said}.") == 1
        assert "is in none of" not in pulled.pull(stream)[stream].note


def test_the_command_says_it_for_every_platform_once(tmp_path: Path, shop: Shop) -> None:
    lost = {
        "shopify": "defaultEmailAddress.marketingState",
        "mailchimp": "last_changed",
        "hubspot": "properties.lifecyclestage",
    }
    with Story(tmp_path / "shop", shop) as story:
        story.run("backfill")
        for platform, name in lost.items():
            without = Without(story.sandbox.simulators[platform])
            without.path = name
            story.sandbox.simulators[platform] = without
        answer = story.run("backfill")
    assert answer.code == 0, answer.text
    for name in lost.values():
        assert answer.out.count(f"The field {name} is in none of") == 1, answer.out
    assert "This breaks leaving out who was archived or erased, knowing who may be written." in answer.out
