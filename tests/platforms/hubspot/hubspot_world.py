"""A simulated HubSpot account and the adapter that talks to it, in one process and with a clock that moves when told."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from adapters.hubspot import HubspotAdapter
from connector.sandbox.base import Limits, Request, dressed
from connector.sandbox.hubspot import HubspotSimulator
from connector.sandbox.shop import EVERYWHERE, Customer, Line, Mailing, Product, Purchase, Shop

BASE = "http://sandbox.test/hubspot"


class World:
    loads, dumps = staticmethod(orjson.loads), staticmethod(orjson.dumps)

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, 0, 0, 700_000)
        self.statuses: list[int] = []
        self.calls: list[tuple[str, str, dict[str, list[str]], Any]] = []
        self.waits: list[float] = []
        self.in_flight = self.most_in_flight = 0
        self._lock = threading.Lock()
        self.simulator = HubspotSimulator(lambda: self.now, base_url=BASE, limits=Limits(on=True))
        self.simulator.load(a_shop())
        self.adapter = self.new_adapter()
        self.cursors: dict[str, Any] = {}

    def new_adapter(self, **settings: Any) -> HubspotAdapter:
        values = {"base_url": BASE, "token": "pat-eu1-sandbox", **settings}
        self.adapter = HubspotAdapter(values, now_utc=lambda: self.now, sleep=self.pass_s)
        return self.adapter

    def pass_s(self, wait_s: float) -> None:
        with self._lock:
            self.waits.append(wait_s)
            self.now += timedelta(seconds=wait_s)

    def answer(self, request: Any) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            self.now += timedelta(seconds=0.01)
        parts = urlsplit(request.url)
        path, query = unquote(parts.path.removeprefix("/hubspot")), parse_qs(parts.query, keep_blank_values=True)
        headers = {k.lower(): v for k, v in request.headers.items()}
        asked = Request(request.method, path, query, headers, request.body or b"")
        given = dressed(self.simulator.handle(asked), self.now, "r-1")
        self.statuses.append(given.status)
        self.calls.append((request.method, path, query, request.body))
        return given.status, given.headers, given.body

    def asked(self, part: str) -> list[tuple[str, str, dict[str, list[str]], Any]]:
        return [call for call in self.calls if part in f"{call[0]} {call[1]}"]

    def pull(self, stream: str, **how: Any) -> tuple[list[dict[str, Any]], dict[str, str]]:
        records, gone = [], {}
        for page in self.adapter.pages(stream, self.cursors.get(stream), **how):
            records += page.records
            gone |= page.gone
            self.cursors[stream] = page.cursor
        return records, gone

    def id_of(self, customer: int) -> str:
        return str(self.simulator.customers[f"{customer:05d}"])


def a_shop() -> Shop:
    start = datetime(2026, 1, 1)
    words = ("opted_in", "opted_out", "not_specified")
    customers = [
        Customer(f"{n:05d}", f"{n:05d}@shop.example", start, start, consent={"hubspot": words[n % 3]}) for n in range(1, 261)
    ]
    customers[0].extra = {
        "hubspot": {
            "deals": [
                {"dealname": "won", "amount": "100"},
                {"dealname": "no", "amount": "5", "dealstage": "appointmentscheduled"},
            ],
            "tickets": [{"subject": "late"}],
        }
    }
    coffee = Product("p1", "Coffee", "Beans", "Roast", Decimal("4.50"))
    line = Line("p1", "Coffee", "Beans", 2, Decimal("9.00"))
    purchases = [
        Purchase(f"o{n}", f"{n:05d}", start + timedelta(days=n), Decimal("9.00"), [line], on=EVERYWHERE) for n in range(1, 121)
    ]
    mailings = [Mailing(f"m{n}", "News", "Hello", start + timedelta(days=n), ["00001"]) for n in range(1, 15)]
    return Shop("Morning Roast", "EUR", "Europe/Berlin", customers, [coffee], purchases, mailings)
