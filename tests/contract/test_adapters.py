"""The same promises, asked of every adapter against its simulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.sandbox.base import Request, Response
from connector.sandbox.hubspot import HubspotSimulator
from connector.sandbox.mailchimp import MailchimpSimulator
from connector.sandbox.orders_file import load_orders
from connector.sandbox.shop import Shop
from connector.sandbox.shopify import ShopifySimulator
from tests.contract.promises import NOW, Promises, World, connected


def customers(count: int) -> list[str]:
    return [f"{n:05d}" for n in range(1, count + 1)]


@pytest.fixture(scope="session")
def shops(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Shop]:
    """Small shops; HubSpot's pages cannot be made smaller than its hundred, so its account is larger."""
    found = {}
    for count in (45, 240):
        file = tmp_path_factory.mktemp("shops") / "orders.csv"
        rows = [f"{c},2026-0{n % 9 + 1}-1{n % 9},{n}.50" for n, c in enumerate(customers(count), 1)]
        file.write_text("customer_id,date,amount\n" + "\n".join(rows) + "\n", encoding="utf-8")
        found[count] = load_orders(Path(file))
    return found


class TestShopify(Promises):
    @pytest.fixture
    def world(self, shops: dict[int, Shop]) -> Iterator[World]:
        refused = [{"message": "Access denied for customers field.", "path": ["customers"],
                    "extensions": {"code": "ACCESS_DENIED", "requiredAccess": "`read_customers` access scope."}}]  # fmt: skip
        with connected(
            World(
                name="shopify",
                simulator=ShopifySimulator(clock := Clock()),
                settings={"store": "sandbox-shop.myshopify.com", "token": "shpat_sandbox", "bulk": "never", "page_size": 10},
                wrong={"token": "shpat_unknown"},
                forbidden=Response.json({"data": None, "errors": refused}),
                customers=customers(45),
                is_write=lambda request: b"mutation" in request.body,
            )
        ) as world:
            clock.world = world
            world.simulator.load(shops[45])
            yield world


class TestMailchimp(Promises):
    @pytest.fixture
    def world(self, shops: dict[int, Shop]) -> Iterator[World]:
        key = "0123456789abcdef0123456789abcdef-us1"
        body: dict[str, Any] = {"type": "x", "title": "Forbidden", "status": 403, "detail": "no", "instance": "i"}
        with connected(
            World(
                name="mailchimp",
                simulator=MailchimpSimulator(clock := Clock()),
                settings={"token": key, "audience": "a1b2c3d4e5", "ecommerce": "never", "page_size": 10, "workers": 2},
                wrong={"token": key.replace("0", "f")},
                forbidden=Response.json(body, 403, {"Content-Type": "application/problem+json"}),
                customers=customers(45),
                is_write=lambda request: request.method != "GET",
            )
        ) as world:
            clock.world = world
            world.simulator.load(shops[45])
            yield world


class TestHubspot(Promises):
    @pytest.fixture
    def world(self, shops: dict[int, Shop]) -> Iterator[World]:
        refused = {"status": "error", "message": "no", "correlationId": "c", "category": "MISSING_SCOPES",
                   "errors": [{"message": "no", "context": {"requiredGranularScopes": ["crm.objects.contacts.read"]}}]}  # fmt: skip
        with connected(
            World(
                name="hubspot",
                simulator=HubspotSimulator(clock := Clock()),
                settings={"token": "pat-eu1-sandbox", "workers": 2},
                wrong={"token": "pat-eu1-unknown"},
                forbidden=Response.json(refused, 403),
                customers=customers(240),
                is_write=_hubspot_write,
            )
        ) as world:
            clock.world = world
            world.simulator.load(shops[240])
            yield world


class Clock:
    """The world's clock, for a simulator that is made before its world."""

    world: World | None = None

    def __call__(self) -> Any:
        return self.world.now if self.world else NOW


def _hubspot_write(request: Request) -> bool:
    reads = ("/search", "/batch/read", "/all")
    return request.method != "GET" and not request.path.endswith(reads)
