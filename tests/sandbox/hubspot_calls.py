"""A small HubSpot account, a clock that only moves when told, and short ways to call."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from connector.sandbox.base import Limits, Request, Response
from connector.sandbox.hubspot import HubspotSimulator
from connector.sandbox.shop import Customer, Line, Mailing, Product, Purchase, Shop

NOON = datetime(2026, 11, 21, 12)
VERSION = "2026-09"
CONTACTS = f"/crm/objects/{VERSION}/contacts"
LISTS = f"/crm/lists/{VERSION}"


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def people(count: int, word: str = "opted_in") -> list[Customer]:
    at = NOON - timedelta(days=100)
    return [
        Customer(f"{i:05d}", f"c{i}@shop.example", at, at + timedelta(hours=i), first_name=f"F{i}", consent={"hubspot": word})
        for i in range(1, count + 1)
    ]


def shop(customers: list[Customer], purchases: list[Purchase] | None = None, mailings: list[Mailing] | None = None) -> Shop:
    products = [Product("beans", "Beans", "Coffee", "Roaster", Decimal("12.50"))]
    return Shop("Roaster", "EUR", "Europe/Rome", customers, products, purchases or [], mailings or [])


def purchase(number: int, customer_id: str, total: str = "25.00", **more: Any) -> Purchase:
    line = Line("beans", "Beans", "Coffee", 2, Decimal(total))
    at = NOON - timedelta(days=30 + number)
    return Purchase(str(number), customer_id, at, Decimal(total), [line], frozenset(("shopify", "hubspot")), **more)


class Account:
    """`sim` is the simulator; get, post, put, patch and delete answer (status, body)."""

    def __init__(self, loaded: Shop, limits: Limits | None = None) -> None:
        self.clock = Clock()
        self.sim = HubspotSimulator(self.clock, limits=limits)
        self.sim.load(loaded)
        self.token = "pat-eu1-sandbox"

    def raw(self, method: str, path: str, body: Any = None, **query: Any) -> Response:
        params = {name: value if isinstance(value, list) else [str(value)] for name, value in query.items()}
        data = b"" if body is None else orjson.dumps(body)
        return self.sim.handle(Request(method, path, params, {"authorization": f"Bearer {self.token}"}, data))

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        response = self.raw(method, path, body, **query)
        return response.status, orjson.loads(response.body) if response.body else None

    def get(self, path: str, **query: Any) -> tuple[int, Any]:
        return self.call("GET", path, **query)

    def post(self, path: str, body: Any, **query: Any) -> tuple[int, Any]:
        return self.call("POST", path, body, **query)

    def put(self, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        return self.call("PUT", path, body, **query)

    def contact_id(self, number: int) -> str:
        record = self.sim.contact(f"{number:05d}")
        assert record is not None
        return str(record.id)

    def search(self, **body: Any) -> tuple[int, Any]:
        return self.post(CONTACTS + "/search", body)

    def make_list(self, name: str) -> str:
        status, body = self.post(LISTS, {"name": name, "objectTypeId": "0-1", "processingType": "MANUAL"})
        assert status == 200, body
        return str(body["list"]["listId"])

    def members(self, list_id: str) -> list[str]:
        status, body = self.get(f"{LISTS}/{list_id}/memberships", limit=250)
        assert status == 200, body
        return [row["recordId"] for row in body["results"]]
