"""What every simulator is: one function from request to response, with state behind it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Protocol

import orjson

from connector.sandbox.shop import Shop

Clock = Callable[[], datetime]
"""Server time, naive UTC."""


@dataclass(frozen=True)
class Request:
    """path: without the platform's prefix, begins with "/". headers: keys in lower case."""

    method: str
    path: str
    query: dict[str, list[str]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def param(self, name: str, default: str = "") -> str:
        """The last value of a query parameter."""
        values = self.query.get(name)
        return values[-1] if values else default


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def json(cls, obj: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        return cls(status, {"Content-Type": "application/json; charset=utf-8", **(headers or {})}, orjson.dumps(obj))


@dataclass(frozen=True)
class Limits:
    """Rate limits as the sheets state them. scale: how many times faster than real time they refill; 1 is real time."""

    on: bool = False
    scale: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Limits:
        """off, on or xN. ValueError for anything else."""
        if text in ("off", "on"):
            return cls(on=text == "on")
        if re.fullmatch(r"x\d+(\.\d+)?", text) and float(text[1:]) > 0:
            return cls(on=True, scale=float(text[1:]))
        raise ValueError(f"'{text}' is no limit: write off, on or x10 (ten times faster than real time)")


def dressed(response: Response, at: datetime, request_id: str) -> Response:
    """The answer as it leaves the platform: with the server's time and the number of the request."""
    headers = {"Date": format_datetime(at.replace(microsecond=0, tzinfo=UTC), usegmt=True), "X-Request-Id": request_id}
    return Response(response.status, {**headers, **response.headers}, response.body)


class Simulator(Protocol):
    """A platform with state. Constructor: (clock, *, base_url="", limits=None).

    base_url is the public address of this simulator, with its prefix and without a trailing slash; answers that hold
    addresses (result files, uploads, paging links) are built from it.
    effects logs every write that took effect: {"at", "kind", "object", "contact", "result"}.
    """

    name: str
    base_url: str
    effects: list[dict[str, Any]]

    def handle(self, request: Request) -> Response: ...

    def load(self, shop: Shop) -> None: ...

    def dump(self) -> dict[str, Any]:
        """The state, ready for JSON, sorted so that equal states give equal bytes."""

    def change(self, customer: str, set: dict[str, Any]) -> bool:
        """Change one contact as a person in the platform's own pages would; False when the platform does not know it.

        customer: the source's customer_id or the e-mail address. set: first_name, last_name, email, phone, city, region,
        country, postcode, language, consent ("subscribed" or "unsubscribed"), tags (list), or a name of the platform's own.
        """
