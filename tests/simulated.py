"""Let an adapter talk to a simulator inside the test process: no socket, the same requests and answers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import responses

from connector.sandbox.base import Request, Response, Simulator, dressed

HOST = "http://sandbox.test"


def base_url(platform: str, host: str = HOST) -> str:
    """What an adapter's `base_url` setting must be."""
    return f"{host}/{platform}"


def simulated(platform: str, simulator: Simulator, mock: responses.RequestsMock | None = None, host: str = HOST) -> str:
    """Register the simulator with `responses` and return its base_url. Call it while `responses` is active.

    Addresses that the simulator hands out (result files, uploads) are reached in the same way.
    """
    simulator.base_url = base_url(platform, host)
    numbers = itertools.count(1)

    def answer(sent: Any) -> tuple[int, dict[str, str], bytes]:
        response = simulator.handle(_request(platform, sent))
        response = dressed(response, simulator.clock(), f"test-{next(numbers):06d}")  # type: ignore[attr-defined]  # every simulator keeps its clock
        return response.status, response.headers, response.body

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        (mock or responses).add_callback(method, re.compile(re.escape(base_url(platform, host)) + "(/.*)?"), callback=answer)
    return base_url(platform, host)


@contextmanager
def between(simulator: Any, answer: Callable[[Any, Callable[[Any], Any]], Any]) -> Iterator[None]:
    """While this lasts, requests to the simulator go to `answer`, which may hand them on to its second argument."""
    handle = simulator.handle
    simulator.handle = lambda request: answer(request, handle)
    try:
        yield
    finally:
        simulator.handle = handle


def _request(platform: str, sent: Any) -> Request:
    parts = urlsplit(sent.url)
    body = sent.body
    if body is None:
        body = b""
    elif isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = body.read() if hasattr(body, "read") else b"".join(body)
    return Request(
        sent.method,
        unquote(parts.path.removeprefix(f"/{platform}")) or "/",
        parse_qs(parts.query, keep_blank_values=True),
        {key.lower(): value if isinstance(value, str) else value.decode() for key, value in sent.headers.items()},
        body,
    )


__all__ = ["HOST", "Response", "base_url", "between", "simulated"]
