"""A small shop on a simulated Mailchimp account, with a clock that tests move and a client that asks questions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson

from connector.sandbox.base import Limits, Request, Response
from connector.sandbox.mailchimp import API_KEY, LIST_ID, MailchimpSimulator
from connector.sandbox.shop import Cart, Customer, Line, Mailing, Product, Purchase, Shop

NOW = datetime(2026, 11, 21, 12, 0, 0)
LIST = f"/lists/{LIST_ID}"
KEY = {"authorization": f"Bearer {API_KEY}"}
SENT = NOW - timedelta(days=10)
ON_ALL = frozenset({"shopify", "mailchimp", "hubspot"})


@dataclass
class Clock:
    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Client:
    """Asks one simulator; ok answers come back as parsed JSON, others fail the test unless the status is expected."""

    def __init__(self, simulator: MailchimpSimulator, headers: dict[str, str] | None = None) -> None:
        self.simulator = simulator
        self.headers = KEY if headers is None else headers

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Response:
        values = {name: [str(value).lower() if isinstance(value, bool) else str(value)] for name, value in query.items()}
        data = b"" if body is None else orjson.dumps(body)
        return self.simulator.handle(Request(method, f"/3.0{path}", values, self.headers, data))

    def __call__(self, method: str, path: str, body: Any = None, *, expect: int = 200, **query: Any) -> Any:
        response = self.ask(method, path, body, **query)
        assert response.status == expect, (response.status, response.body[:500])
        return orjson.loads(response.body) if response.body else None

    def get(self, path: str, **query: Any) -> Any:
        return self("GET", path, **query)


def customer(number: int, status: str = "subscribed", *, seconds_ago: int = 86_400, **more: Any) -> Customer:
    at = NOW - timedelta(seconds=seconds_ago)
    return Customer(
        f"{number:05d}",
        f"Person{number:05d}@shop.example",
        NOW - timedelta(days=700),
        at,
        first_name=f"First{number}",
        last_name=f"Last{number}",
        consent={"mailchimp": status},
        **more,
    )


def address(number: int) -> str:
    return f"Person{number:05d}@shop.example"


def shop_of(customers: list[Customer], mailings: list[Mailing] | None = None, **more: Any) -> Shop:
    return Shop("Roaster", "USD", "UTC", customers, more.get("products", []), more.get("purchases", []), mailings or [],
                carts=more.get("carts", []))  # fmt: skip


def account(customers: list[Customer], mailings: list[Mailing] | None = None, *, on: bool = False, **more: Any) -> Client:
    simulator = MailchimpSimulator(Clock(), base_url="http://sandbox.test/mailchimp", limits=Limits(on=on))
    simulator.load(shop_of(customers, mailings, **more))
    return Client(simulator)


def clock_of(client: Client) -> Clock:
    assert isinstance(client.simulator.clock, Clock)
    return client.simulator.clock


def mailing() -> Mailing:
    """Five recipients: 1 opened as a human, 2 by a machine only, 3 both and clicked, 4 bounced, 5 unsubscribed."""
    names = [f"{number:05d}" for number in range(1, 6)]
    at = SENT + timedelta(hours=1)
    return Mailing(
        "c0ffee0001",
        "November",
        "New beans",
        SENT,
        names,
        [("00001", at, False), ("00002", at, True), ("00003", at, True), ("00003", at + timedelta(hours=1), False)],
        [("00003", at + timedelta(hours=2), "https://shop.example/dark")],
        [("00004", at, "hard")],
        [("00005", at, "NORMAL")],
    )


def lively(**more: Any) -> Client:
    """Every kind of contact, a mailing, tags, groups, permissions, and shop data."""
    words = ("subscribed", "subscribed", "subscribed", "cleaned", "unsubscribed", "pending", "transactional", "archived")
    extra = {"interests": ["Topics: Offers"], "marketing_permissions": {"Email": True}, "loyalty_level_name": "gold"}
    people = [
        customer(number, word, city="Bern", region="BE", postcode="3000", country="CH", extra={"mailchimp": extra},
                 tags={"mailchimp": ["Regular", "VIP"]}, phone="+41310000000")
        for number, word in enumerate(words, 1)
    ]  # fmt: skip
    line = Line("p1", "Dark roast", "Coffee", 2, Decimal("19.00"))
    purchases = [
        Purchase("1001", "00001", NOW - timedelta(days=5), Decimal("17.00"), [line], ON_ALL, Decimal("2.00"), "NOV"),
        Purchase("1002", "00003", NOW - timedelta(days=4), Decimal("19.00"), [line], ON_ALL, refunded=Decimal("19.00")),
        Purchase("1003", "00003", NOW - timedelta(days=3), Decimal("19.00"), [line], ON_ALL, cancelled=True),
        Purchase("1004", "00003", NOW - timedelta(days=3), Decimal("19.00"), [line]),
    ]
    cart = Cart("k1", "00001", NOW - timedelta(days=1), Decimal("19.00"), [line])
    products = [Product("p1", "Dark roast", "Coffee", "Roaster", Decimal("9.50"))]
    return account(people, [mailing()], purchases=purchases, products=products, carts=[cart], **more)
