"""A simulated account behind in-process HTTP. Whatever a test does, each request must fit Mailchimp's published description,
and none may carry a status, or leave out `count` or `fields`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import responses

from adapters.mailchimp import MailchimpAdapter
from connector.sandbox.base import Request, Response
from connector.sandbox.mailchimp import MailchimpSimulator
from connector.sandbox.shop import Cart, Customer, Mailing, Product, Purchase, Shop
from tests.platforms.mailchimp.described import OPERATIONS, problems

BASE = "http://sandbox.test/mailchimp"
KEY = "0123456789abcdef0123456789abcdef-us1"
AUDIENCE = "a1b2c3d4e5"
NOW = datetime(2026, 11, 21, 12, 0, 0)
SPEC = Path(__file__).parents[3].parent / "shared" / "specs" / "mailchimp" / "marketing.json"
POSTS = re.compile(
    r"/3\.0/(lists/\w+/segments(/\d+)?|lists/\w+/members/[0-9a-f]{32}/(tags|events)|lists/\w+/merge-fields|batches)"
)
OTHER = "f9e8d7c6b5"


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


class World:
    """A clock that sleeping moves on, the simulator, every call in order, and a hand to put in between.

    ignored: a parameter the server overlooks. largest: rows of a page, whatever is asked for (0: what is asked for).
    """

    def __init__(self) -> None:
        self.now = NOW
        self.waits: list[float] = []
        self.calls: list[Call] = []
        self.simulator = MailchimpSimulator(lambda: self.now)
        self.ignored = ""
        self.largest = 0
        self.before: Callable[[Call], Response | Exception | None] = lambda call: None

    def sleep(self, wait_s: float) -> None:
        self.waits.append(wait_s)
        self.now += timedelta(seconds=wait_s)

    def adapter(self, **settings: Any) -> MailchimpAdapter:
        given = {"base_url": BASE, "token": KEY, "audience": AUDIENCE, "page_size": 5, **settings}
        return MailchimpAdapter(given, now_utc=lambda: self.now, sleep=self.sleep)

    def answer(self, request: Any) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(request.url)
        path = unquote(parts.path).removeprefix("/mailchimp")
        body = request.body or b""
        headers = {k.lower(): v for k, v in request.headers.items()}
        query = parse_qs(parts.query, keep_blank_values=True)
        call = Call(request.method, path, {k: v[-1] for k, v in query.items()}, json.loads(body) if body else None, headers)
        self.calls.append(call)
        found = self.before(call)
        if isinstance(found, Exception):
            raise found
        query.pop(self.ignored, None)
        if self.largest and "count" in query:
            query["count"] = [str(min(self.largest, int(query["count"][-1])))]
        found = found or self.simulator.handle(Request(request.method, path, query, headers, body))
        date = format_datetime(self.now.replace(microsecond=0)).replace("-0000", "GMT")
        return found.status, {"Date": date, **found.headers}, found.body

    def load(
        self,
        customers: int | list[Customer],
        *,
        mailings: list[Mailing] | None = None,
        purchases: list[Purchase] | None = None,
        carts: list[Cart] | None = None,
    ) -> None:
        people = [self.customer(n) for n in range(customers)] if isinstance(customers, int) else customers
        product = Product("p1", "House blend", "Coffee", "Morning Roast", Decimal("12.50"))
        self.simulator.load(
            Shop("Morning Roast", "EUR", "UTC", people, [product], purchases or [], mailings or [], carts=carts or [])
        )

    def add_other(self, people: list[Customer], **more: Any) -> None:
        """A second audience in the same account."""
        shop = Shop("Wholesale", "USD", "UTC", people, more.get("products", []), more.get("purchases", []),
                    more.get("mailings", []))  # fmt: skip
        self.simulator.add_audience(OTHER, shop)

    def customer(self, n: int, *, status: str = "subscribed", at: datetime | None = None, **more: Any) -> Customer:
        when = at or datetime(2026, 1, 1) + timedelta(hours=n)
        name = f"{n:05d}"
        return Customer(name, self.address(n), when, when, first_name=f"N{n}", consent={"mailchimp": status}, **more)

    def address(self, n: int) -> str:
        return f"{n:05d}@shop.example"

    def member_id(self, n: int) -> str:
        return hashlib.md5(self.address(n).encode()).hexdigest()

    def paths(self, method: str = "GET") -> list[str]:
        return [c.path for c in self.calls if c.method == method]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            mock.add_callback(method, re.compile(re.escape(BASE) + "/.*"), callback=world.answer)
        yield world
    for call in world.calls:
        _check(call)


def _check(call: Call) -> None:
    assert call.method in ("GET", "POST", "PATCH"), "nothing is replaced or deleted"
    if call.path.startswith("/batch-results/"):
        assert "authorization" not in call.headers, "the storage never sees the key"
        return
    assert problems(call.method, call.path, call.query, call.body) == []
    if call.method == "PATCH":
        assert re.fullmatch(r"/3\.0/lists/\w+/members/[0-9a-f]{32}", call.path) and call.body.keys() == {"merge_fields"}
        assert all(tag.startswith("RC_") for tag in call.body["merge_fields"]), "merge fields of ours and nothing else"
    if call.method == "POST":
        assert POSTS.fullmatch(call.path)
        assert "status" not in json.dumps({} if call.path.endswith("/tags") else call.body), "no request carries a status"
        _check_quiet(call.body if call.path.endswith("/tags") else {"tags": []})


def _check_quiet(body: dict[str, Any]) -> None:
    assert {t["status"] for t in body["tags"]} <= {"active", "inactive"}, "on or off is said of a tag, not of a contact"
    assert body.get("is_syncing", True) is True


@pytest.fixture(scope="session")
def spec() -> dict[str, Any]:
    """Mailchimp's published description; where it is not at hand, what was cut from it (cut_operations.py)."""
    found: dict[str, Any] = json.loads((SPEC if SPEC.exists() else OPERATIONS).read_bytes())
    return found
