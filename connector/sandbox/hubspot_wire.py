"""HubSpot's manners on the wire: routes, parameters, times, and the one shape of its error answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from connector.sandbox.base import Request, Response

VERSIONS = ("2026-09", "2026-03")
EPOCH = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)
Json = dict[str, Any]


def to_ms(at: datetime) -> int:
    """Epoch milliseconds of a naive UTC time."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def iso(at: datetime) -> str:
    """2026-01-02T03:04:05.678Z"""
    return at.isoformat(timespec="milliseconds") + "Z"


class Refusal(Exception):
    """An answer that is an error. `more` goes into the body (errors, context, subCategory, links)."""

    def __init__(self, status: int, category: str, message: str, *, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.category = category
        self.message = message
        self.headers = headers or {}
        self.more = more

    def response(self, correlation_id: str) -> Response:
        body: Json = {"status": "error", "message": self.message, "correlationId": correlation_id}
        if self.category:
            body["category"] = self.category
        return answer({**body, **self.more}, self.status, self.headers)


def invalid(message: str, **more: Any) -> Refusal:
    return Refusal(400, "VALIDATION_ERROR", message, **more)


def not_found(message: str = "resource not found", **more: Any) -> Refusal:
    return Refusal(404, "OBJECT_NOT_FOUND", message, **more)


def answer(obj: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(status, {"Content-Type": "application/json;charset=utf-8", **(headers or {})}, orjson.dumps(obj))


def empty(status: int = 204) -> Response:
    return Response(status)


@dataclass
class Call:
    """One request after routing. `parts` are the placeholders of the path."""

    request: Request
    at: datetime
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        return self.parts.get("v", "")

    def text(self, name: str, default: str = "") -> str:
        values = self.request.query.get(name)
        return values[-1] if values else default

    def flag(self, name: str) -> bool:
        return self.text(name).lower() == "true"

    def names(self, name: str) -> list[str]:
        """`?a=x,y&a=z` and `?a=x&a=y` mean the same."""
        return [part for value in self.request.query.get(name, ()) for part in value.split(",") if part]

    def number(self, name: str, default: int, most: int) -> int:
        return bounded(self.text(name, str(default)), name, most)

    def json(self) -> Any:
        try:
            return orjson.loads(self.request.body)
        except orjson.JSONDecodeError:
            raise invalid("Invalid input JSON: the body could not be parsed") from None

    def object(self) -> Json:
        body = self.json() if self.request.body else {}
        if not isinstance(body, dict):
            raise invalid("Invalid input JSON: an object is expected")
        return body


def bounded(value: Any, name: str, most: int, least: int = 1) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise invalid(f"Invalid input: {name} must be a whole number") from None
    if not least <= number <= most:
        raise invalid(f"Invalid input: {name} must be between {least} and {most}")
    return number


def strings(value: Any, name: str) -> list[str]:
    """A JSON list of strings; numbers are refused."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid(f"Invalid input JSON: {name} must be a list of strings")
    return value


Handler = Callable[[Call], Response]
Scopes = Callable[[Call], Iterable[tuple[str, ...]]]
"""The groups of scopes a call needs: one of every group must be granted."""


@dataclass(frozen=True)
class Route:
    method: str
    pattern: tuple[str, ...]
    handler: Handler
    scopes: Scopes


def needs(*groups: tuple[str, ...]) -> Scopes:
    return lambda call: groups


class Router:
    """Finds the route of a path; fixed words win over placeholders, and an unknown version is an unknown path.

    A last placeholder `{name+}` takes the rest of the path: names may hold a slash.
    """

    def __init__(self) -> None:
        self.routes: dict[tuple[str, int], list[Route]] = {}
        self.open_ended: list[Route] = []

    def add(self, method: str, path: str, handler: Handler, scopes: Scopes) -> None:
        pattern = tuple(path.strip("/").split("/"))
        if pattern[-1].endswith("+}"):
            self.open_ended.append(Route(method, pattern, handler, scopes))
            return
        same_shape = self.routes.setdefault((method, len(pattern)), [])
        same_shape.append(Route(method, pattern, handler, scopes))
        same_shape.sort(key=lambda route: sum(part.startswith("{") for part in route.pattern))

    def find(self, request: Request, at: datetime) -> tuple[Route, Call]:
        parts = request.path.strip("/").split("/")
        for route in (*self.routes.get((request.method, len(parts)), ()), *self.open_ended):
            found = _match(route.pattern, parts) if route.method == request.method else None
            if found is not None:
                return route, Call(request, at, found)
        for (method, length), routes in self.routes.items():
            if length == len(parts) and any(_match(route.pattern, parts) is not None for route in routes):
                raise Refusal(405, "", f"Method not allowed; use {method}")
        raise not_found("The requested path does not exist")


def _match(pattern: tuple[str, ...], parts: list[str]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    if pattern[-1].endswith("+}") and len(parts) >= len(pattern):
        split = len(pattern) - 1
        parts = [*parts[:split], "/".join(parts[split:])]
    if len(parts) != len(pattern):
        return None
    for wanted, given in zip(pattern, parts, strict=True):
        if not wanted.startswith("{"):
            if wanted != given:
                return None
        elif wanted == "{v}" and given not in VERSIONS:
            return None
        else:
            found[wanted[1:-1].rstrip("+")] = given
    return found
