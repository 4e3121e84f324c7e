"""The same promises, asked of every adapter against its simulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connector.conformance import Clock, Promises, World, connected, versions_of
from connector.sandbox.base import Request, Response
from connector.sandbox.hubspot import HubspotSimulator
from connector.sandbox.mailchimp import MailchimpSimulator
from connector.sandbox.shop import Shop
from connector.sandbox.shopify import ShopifySimulator


def versions(platform: str) -> list[Any]:
    """The newest and the oldest version in every run, those between them every night."""
    found = versions_of(platform)
    between = found[1:-1]
    return [pytest.param(v, marks=pytest.mark.nightly) if v in between else v for v in found]


def customers(shop: Shop) -> list[str]:
    return [c.customer_id for c in shop.customers]


class TestShopify(Promises):
    @pytest.fixture(params=versions("shopify"))
    def world(self, shops: dict[int, Shop], request: pytest.FixtureRequest) -> Iterator[World]:
        refused = [{"message": "Access denied for customers field.", "path": ["customers"],
                    "extensions": {"code": "ACCESS_DENIED", "requiredAccess": "`read_customers` access scope."}}]  # fmt: skip
        simulator = ShopifySimulator(clock := Clock())
        world = World(
            name="shopify",
            simulator=simulator,
            settings={
                "store": "sandbox-shop.myshopify.com",
                "token": "shpat_sandbox",
                "bulk": "never",
                "page_size": 10,
                "api_version": request.param,
            },
            wrong={"token": "shpat_unknown"},
            forbidden=Response.json({"data": None, "errors": refused}),
            customers=customers(shops[45]),
            is_write=lambda request: b"mutation" in request.body,
            closes=("products", lambda request: b"products(" in request.body),
            removals={
                "deleted": lambda c: simulator.change(c, {"deleted": True}),
                "merged": lambda c: simulator.merge("00001", c),
            },
        )
        yield from served(world, clock, shops[45])


class TestMailchimp(Promises):
    @pytest.fixture(params=versions("mailchimp"))
    def world(self, shops: dict[int, Shop], request: pytest.FixtureRequest) -> Iterator[World]:
        key = "0123456789abcdef0123456789abcdef-us1"
        body: dict[str, Any] = {"type": "x", "title": "Forbidden", "status": 403, "detail": "no", "instance": "i"}
        simulator = MailchimpSimulator(clock := Clock())
        world = World(
            name="mailchimp",
            simulator=simulator,
            settings={
                "token": key,
                "audience": "a1b2c3d4e5",
                "ecommerce": "never",
                "page_size": 10,
                "workers": 2,
                "api_version": request.param,
            },
            wrong={"token": key.replace("0", "f")},
            forbidden=Response.json(body, 403, {"Content-Type": "application/problem+json"}),
            customers=customers(shops[45]),
            is_write=lambda request: request.method != "GET",
            closes=("campaigns", lambda request: "/reports" in request.path or "/campaigns" in request.path),
            removals={
                "archived": lambda c: simulator.change(c, {"archived": True}),
                "deleted": lambda c: simulator.change(c, {"deleted": True}),
            },
        )
        yield from served(world, clock, shops[45])


class TestHubspot(Promises):
    @pytest.fixture(params=versions("hubspot"))
    def world(self, shops: dict[int, Shop], request: pytest.FixtureRequest) -> Iterator[World]:
        refused = {"status": "error", "message": "no", "correlationId": "c", "category": "MISSING_SCOPES",
                   "errors": [{"message": "no", "context": {"requiredGranularScopes": ["crm.objects.contacts.read"]}}]}  # fmt: skip
        simulator = HubspotSimulator(clock := Clock())
        world = World(
            name="hubspot",
            simulator=simulator,
            settings={"token": "pat-eu1-sandbox", "workers": 2, "api_version": request.param},
            wrong={"token": "pat-eu1-unknown"},
            forbidden=Response.json(refused, 403),
            customers=customers(shops[240]),
            is_write=_hubspot_write,
            closes=("tickets", lambda request: "/tickets" in request.path),
            removals={
                "archived": lambda c: simulator.change(c, {"archived": True}),
                "erased": lambda c: simulator.change(c, {"erased": True}),
            },
        )
        yield from served(world, clock, shops[240])


def served(world: World, clock: Clock, shop: Shop) -> Iterator[World]:
    with connected(world):
        clock.world = world
        world.simulator.load(shop)
        yield world


def _hubspot_write(request: Request) -> bool:
    reads = ("/search", "/batch/read", "/all")
    return request.method != "GET" and not request.path.endswith(reads)
