"""A small shop on the simulated Shopify, a clock that tests move, and a client that asks questions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from connector.sandbox.base import Limits, Request, Response
from connector.sandbox.shop import Cart, Customer, Line, Product, Purchase, Shop
from connector.sandbox.shopify import TOKEN, ShopifySimulator

NOW = datetime(2026, 11, 21, 12)
DAY = timedelta(days=1)


@dataclass
class Clock:
    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **by: float) -> None:
        self.at += timedelta(**by)


def customer(number: int, **more: Any) -> Customer:
    at = NOW - timedelta(days=400 - number)
    words: dict[str, Any] = {"consent": {"shopify": "SUBSCRIBED"}, "consent_at": {"shopify": at}, "first_name": f"Name{number}"}
    return Customer(f"{number:05d}", f"person{number}@shop.example", at, at, **{**words, **more})


def purchase(
    number: int, owner: str = "00001", days_ago: float = 10, amounts: tuple[str, ...] = ("12.50",), **more: Any
) -> Purchase:
    lines = [Line("P1", "Beans", "Coffee", 1, Decimal(a)) for a in amounts]
    total = sum((line.amount for line in lines), Decimal(0))
    return Purchase(f"o{number}", owner, NOW - timedelta(days=days_ago), total, lines, **more)


def shop(customers: list[Customer] | None = None, purchases: list[Purchase] | None = None, **more: Any) -> Shop:
    people = [customer(n) for n in range(1, 4)] if customers is None else customers
    products = [Product("P1", "Beans", "Coffee", "Roaster", Decimal("12.50"))]
    carts = [Cart("c1", "00001", NOW - DAY, Decimal("5.00"), [Line("P1", "Beans", "Coffee", 1, Decimal("5.00"))])]
    return Shop("Small shop", "EUR", "Europe/Berlin", people, products, purchases or [], [], carts=carts, **more)


class Client:
    """Asks the simulator; `data` fails the test when an answer has errors."""

    def __init__(self, world: Shop | None = None, limits: Limits | None = None) -> None:
        self.clock = Clock()
        self.simulator = ShopifySimulator(self.clock, base_url="http://sandbox.test/shopify", limits=limits)
        self.simulator.load(world or shop())
        self.token = TOKEN
        self.version = "2026-10"

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        names = {key.replace("_", "-"): value for key, value in headers.items()}
        return self.simulator.handle(Request(method, path, {}, names, body))

    def post(self, text: str, variables: dict[str, Any] | None = None) -> Response:
        body = orjson.dumps({"query": text, "variables": variables or {}})
        return self.send("POST", f"/admin/api/{self.version}/graphql.json", body, x_shopify_access_token=self.token)

    def ask(self, text: str, **variables: Any) -> Any:
        return orjson.loads(self.post(text, variables).body)

    def data(self, text: str, **variables: Any) -> Any:
        answer = self.ask(text, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def code(self, text: str, **variables: Any) -> str:
        return str(self.ask(text, **variables)["errors"][0]["extensions"]["code"])

    def gid(self, number: int) -> str:
        return self.simulator.world.customers[number - 1].id

    def tags(self, number: int) -> list[str]:
        return self.simulator.world.customers[number - 1].tags

    def add(self, gid: str, *tags: str) -> Any:
        text = (
            "mutation($i:ID!,$t:[String!]!){tagsAdd(id:$i,tags:$t){node{id ... on Customer{tags}} userErrors{field message}}}"
        )
        return self.data(text, i=gid, t=list(tags))["tagsAdd"]
