"""A shop on the simulated Shopify, a clock that moves when somebody waits, and an adapter connected to it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from adapters import load
from connector.sandbox.shop import Cart, Customer, Line, Product, Purchase, Shop
from models.changes import Target

START = datetime(2026, 11, 21, 12, 0, 0)
TARGET = Target("shopify", "VIP", "Rollcall: VIP")


class Clock:
    """Moves only when somebody waits."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, wait_s: float) -> None:
        self.now += timedelta(seconds=wait_s)


def small_shop() -> Shop:
    people = [
        Customer(
            f"{n:05d}", f"{n:05d}@shop.example", START - timedelta(days=300 - n), START - timedelta(days=100, minutes=n // 4),
            consent={"shopify": "SUBSCRIBED" if n % 3 else "UNSUBSCRIBED"},
        )
        for n in range(120)
    ]  # fmt: skip
    beans = Product("beans", "Dark roast", "Coffee", "Roaster", Decimal("9.90"))

    def lines(count: int) -> list[Line]:
        return [Line("beans", "Dark roast", "Coffee", 1, Decimal("9.90")) for _ in range(count)]

    orders = [
        Purchase(
            f"o{n}", f"{n % 120:05d}", START - timedelta(days=90, hours=n), Decimal("9.90") * (130 if n == 3 else 2),
            lines(130 if n == 3 else 2), discount=Decimal("1") if n % 5 == 0 else Decimal(0),
            code="HELLO" if n % 5 == 0 else "",
            refunds=[(START - timedelta(days=80), Decimal("0.10"))] * (60 if n == 4 else 0),
            refunded=Decimal("6.00") if n == 4 else Decimal(0), cancelled=n == 5, test=n == 6,
        )
        for n in range(150)
    ]  # fmt: skip
    carts = [Cart(f"c{n}", f"{n:05d}", START - timedelta(days=n * 5), Decimal("9.90"), lines(1)) for n in range(10)]
    return Shop("Morning Roast", "EUR", "Europe/Berlin", people, [beans], orders, [], carts=carts)


def connect(base_url: str, clock: Clock, **settings: Any) -> Any:
    client = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
    base = {"store": "sandbox-shop.myshopify.com", "base_url": base_url, "bulk": "never", **client}
    return load("shopify")({**base, **settings}, now_utc=clock, sleep=clock.sleep)


def records(adapter: Any, stream: str, cursor: Any = None, **options: Any) -> dict[str, Any]:
    return {r["id"]: r for p in adapter.pages(stream, cursor, **options) for r in p.records}
