"""A fourth platform, brought by a package of its own: one module, one mapping, one simulator, and nothing of ours changed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points

import pytest

import adapters
from connector.conformance import Clock, Promises, World, connected
from connector.sandbox.base import Response
from connector.sandbox.shop import Shop

pytestmark = pytest.mark.usefixtures("postbox_installed")


def postbox_world(shop: Shop, version: str = "2") -> World:
    simulator = import_module("rollcall_postbox.simulator").PostboxSimulator(clock := Clock())
    world = World(
        name="postbox",
        simulator=simulator,
        settings={"token": "pbx_sandbox_key", "page_size": 10, "api_version": version},
        wrong={"token": "pbx_unknown"},
        forbidden=Response.json({"error": "scope", "needs": "readers"}, 403),
        customers=[c.customer_id for c in shop.customers],
        is_write=lambda request: request.method != "GET",
        closes=("letters", lambda request: "/letters" in request.path),
        removals={
            "archived": lambda c: simulator.change(c, {"archived": True}),
            "deleted": lambda c: simulator.change(c, {"deleted": True}),
        },
    )
    clock.world = world
    return world


class TestPostbox(Promises):
    @pytest.fixture(params=["2", "1"])
    def world(self, shops: dict[int, Shop], request: pytest.FixtureRequest) -> Iterator[World]:
        with connected(postbox_world(shops[45], request.param)) as world:
            world.simulator.load(shops[45])
            yield world


def test_it_is_found_by_its_distribution_and_by_nothing_else() -> None:
    (found,) = entry_points(group=adapters.GROUP)
    assert found.dist is not None and found.dist.name == "rollcall-postbox"
    assert adapters.installed() == ("shopify", "mailchimp", "hubspot", "postbox")
    assert (adapters.title("postbox"), adapters.noun("postbox")) == ("Postbox", "Postbox label")
