"""The three platforms behind one port: /shopify, /mailchimp, /hubspot, and /control for tests and demonstrations."""

from __future__ import annotations

import contextlib
import gc
import importlib
import itertools
import logging
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from connector.sandbox.base import Clock, Limits, Request, Response, Simulator, dressed
from connector.sandbox.fault_pages import halved
from connector.sandbox.faults import Fault, Faults, answer
from connector.sandbox.folder import write_folder
from connector.sandbox.foreign import Copying, copy
from connector.sandbox.shop import Shop

log = logging.getLogger(__name__)

PLATFORMS = {"shopify": "ShopifySimulator", "mailchimp": "MailchimpSimulator", "hubspot": "HubspotSimulator"}
HOST = "127.0.0.1"
LARGE = 2_000
"""Customers from which searching the shop for garbage costs more than setting it aside once."""
PIECES = 8
"""How many pieces an answer that trickles comes in."""


def utc_now() -> datetime:
    """The real clock, naive UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def simulators(clock: Clock, base_url: str = "", limits: Limits | None = None) -> dict[str, Simulator]:
    """All platforms, empty. base_url is what the platform's prefix is put behind."""
    made: dict[str, Simulator] = {}
    for name, kind in PLATFORMS.items():
        module = importlib.import_module(f"connector.sandbox.{name}")
        made[name] = getattr(module, kind)(clock, base_url=f"{base_url}/{name}" if base_url else "", limits=limits)
    return made


class Sandbox:
    """Runs the platforms on a loopback port. start() returns the address; stop() ends it and all its connections."""

    def __init__(
        self,
        shop: Shop,
        *,
        port: int = 0,
        faults: Faults | None = None,
        limits: Limits | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.faults = faults or Faults()
        self.clock = clock
        self._numbers, self._served = itertools.count(1), itertools.count(1)
        self._copying: list[Copying] = []
        self._server = _Server((HOST, port), _Handler)
        self._server.sandbox = self
        self.url = f"http://{HOST}:{self._server.server_port}"
        self.simulators = simulators(clock, self.url, limits)
        for simulator in self.simulators.values():
            simulator.load(shop)
        if len(shop.customers) >= LARGE:
            gc.collect()
            gc.freeze()  # the shop stays; searching it for garbage again and again would cost most of the time
        self._thread: threading.Thread | None = None

    def add(self, kind: type[Simulator], shop: Shop) -> Simulator:
        """Serve one more platform under its own name, such as one that another package brings. Call it before start()."""
        made = kind(self.clock, base_url=f"{self.url}/{kind.name}")  # type: ignore[call-arg]  # the constructor every simulator has
        made.load(shop)
        self.simulators[made.name] = made
        return made

    def start(self) -> str:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="sandbox")
        self._thread.start()
        return self.url

    def stop(self) -> None:
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join(5)
        self._server.server_close()
        gc.unfreeze()

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def request_id(self) -> str:
        return f"sandbox-{next(self._numbers):08d}"

    def control(self, request: Request) -> Response:
        """Change, break and show the platforms. No product code calls this."""
        try:
            if (request.method, request.path) == ("GET", "/state"):
                return Response.json(self.state())
            if request.method != "POST":
                return Response.json({"error": f"there is no {request.method} {request.path}"}, 404)
            body = orjson.loads(request.body or b"{}")
            if request.path == "/change":
                return Response.json({"changed": self.change(body.get("customers", []), body.get("set", {}))})
            if request.path == "/faults":
                self.faults.set(body)
                return Response.json(self.faults.dump())
            if request.path == "/foreign":
                return Response.json(self.foreign(body))
            if request.path == "/switch":
                return Response.json(self.switch(body))
        except (ValueError, TypeError, KeyError, AttributeError) as e:
            return Response.json({"error": str(e)}, 400)
        return Response.json({"error": f"there is no POST {request.path}"}, 404)

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: simulator.dump() for name, simulator in self.simulators.items()}
        state["effects"] = {name: list(simulator.effects) for name, simulator in self.simulators.items()}
        state["faults"] = self.faults.dump()
        return state

    def change(self, customers: list[str], set_: dict[str, Any]) -> dict[str, int]:
        """Change customers on each platform that knows them; a key named like a platform holds what only that one gets.

        Returns how many were changed per platform.
        """
        if isinstance(customers, str) or not all(isinstance(c, str) for c in customers):
            raise ValueError("customers must be a list of customer_id texts or addresses")
        common = {key: value for key, value in set_.items() if key not in PLATFORMS}
        special = {key: value for key, value in set_.items() if key in PLATFORMS}
        counts = {}
        for name, simulator in self.simulators.items():
            wanted = {**common, **special.get(name, {})}
            counts[name] = sum(simulator.change(c, dict(wanted)) for c in customers) if wanted else 0
        return counts

    def foreign(self, body: dict[str, Any]) -> dict[str, Any]:
        """Somebody else's connector copies once, or goes on by itself until {"off": true}."""
        if body.get("off"):
            self._copying.clear()
            return {"on": 0}
        copying = Copying.parse(body, self.simulators)
        if copying.every:
            self._copying.append(copying)
            return {"on": len(self._copying)}
        return {"changed": copy(self.simulators, copying)}

    def served(self) -> None:
        """After each request to a platform: whatever goes on beside us."""
        number = next(self._served)
        for copying in self._copying:
            if number % copying.every == 0:
                copy(self.simulators, copying)

    def switch(self, body: dict[str, Any]) -> dict[str, Any]:
        """Set a simulator's switches: {"shopify": {"is_frozen": true}}. ValueError for a switch it does not have."""
        done: dict[str, Any] = {}
        for name, wanted in body.items():
            switches = getattr(self.simulators.get(name), "switches", None)
            if switches is None:
                raise ValueError(f"'{name}' has no switches")
            for key, value in wanted.items():
                if not hasattr(switches, key):
                    raise ValueError(f"'{name}' has no switch '{key}'")
                setattr(switches, key, value)
            done[name] = {key: getattr(switches, key) for key in wanted}
        return done


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    sandbox: Sandbox

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a connection ended early", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: _Server

    def _serve(self) -> None:
        sandbox = self.server.sandbox
        parts = urlsplit(self.path)
        _, prefix, *rest = (*parts.path.split("/", 2), "", "")[:3]
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            self.command,
            "/" + unquote(rest[0]),
            parse_qs(parts.query, keep_blank_values=True),
            {key.lower(): value for key, value in self.headers.items()},
            self.rfile.read(length) if length else b"",
        )
        if prefix == "control":
            return self._send(sandbox.control(request))
        if prefix not in sandbox.simulators:
            return self._send(Response.json({"error": "there is no such platform here"}, 404))
        if prefix in sandbox.faults.down:
            return self._send(answer(prefix, "503", sandbox.clock))
        fault = sandbox.faults.decide(prefix, request)
        simulator = sandbox.simulators[prefix]
        if fault is None:
            response = simulator.handle(request)
            sandbox.faults.remember(prefix, request, response)
            sandbox.served()
            return self._send(response)
        sandbox.faults.note(sandbox.clock(), prefix, request, fault)
        return self._fail(simulator, request, fault)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

    def _fail(self, simulator: Simulator, request: Request, fault: Fault) -> None:
        """Commit a fault."""
        faults = self.server.sandbox.faults
        if fault.kind == "stall" and fault.when == "before":
            time.sleep(fault.stall_s)
        whole = None
        if fault.takes_effect:
            asked = halved(simulator.name, request) if fault.kind == "shrunk" else request
            again = faults.again(simulator.name, request) if fault.kind == "repeated" else None
            whole = again or simulator.handle(asked or request)
        if whole is not None and fault.kind in ("stall", "shrunk", "repeated"):
            if fault.kind == "stall" and fault.when == "after":
                time.sleep(fault.stall_s)
            return self._send(whole)
        if whole is not None and fault.kind in ("truncated", "length", "trickle") and len(whole.body) > 1:
            return self._mangle(whole, fault)
        if fault.kind in ("reset", "truncated", "length"):
            return self._reset()
        if fault.kind == "trickle" and whole is not None:
            return self._send(whole)
        return self._send(answer(simulator.name, fault.kind, self.server.sandbox.clock, faults.hint_s))

    def _mangle(self, whole: Response, fault: Fault) -> None:
        """Truncated: all is announced, half of it comes. Length: half is announced, all of it comes."""
        hint_s = self.server.sandbox.faults.hint_s
        if hint_s is not None and fault.kind != "trickle":
            whole = Response(whole.status, {**whole.headers, "Retry-After": f"{hint_s:g}"}, whole.body)
        half = len(whole.body) // 2
        if fault.kind == "truncated":
            return self._send(whole, body=whole.body[:half])
        if fault.kind == "length":
            return self._send(whole, announced=half)
        self._send(whole, pause_s=fault.stall_s / PIECES)

    def _send(
        self, response: Response, *, body: bytes | None = None, announced: int | None = None, pause_s: float = 0.0
    ) -> None:
        """body: what is sent instead of all that is announced; the connection ends with it. pause_s: between its pieces."""
        sandbox = self.server.sandbox
        response = dressed(response, sandbox.clock(), sandbox.request_id())
        self.send_response_only(response.status)
        for key, value in response.headers.items():
            self.send_header(key, value)
        if response.status not in (204, 304):
            self.send_header("Content-Length", str(len(response.body) if announced is None else announced))
        self.end_headers()
        data = response.body if body is None else body
        if self.command != "HEAD" and data:
            self._write(data, pause_s)
        self.wfile.flush()
        self.close_connection = self.close_connection or body is not None

    def _write(self, data: bytes, pause_s: float) -> None:
        if not pause_s:
            self.wfile.write(data)
            return
        size = -(-len(data) // PIECES)
        for start in range(0, len(data), size):
            self.wfile.write(data[start : start + size])
            self.wfile.flush()
            time.sleep(pause_s)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests hold addresses and keys: nothing is logged."""


def serve(
    shop: Shop,
    port: int,
    directory: Path,
    faults: Faults | None = None,
    limits: Limits | None = None,
    *,
    ready: Callable[[str], None],
    stop: threading.Event | None = None,
) -> int:
    """Serve until SIGTERM, SIGINT or `stop`; returns the exit code 0. `ready` gets the address once requests are answered.

    directory gets rollcall.toml and the secrets it names. OSError when the port is taken or the folder cannot be written.
    """
    ended = stop or threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        sandbox = Sandbox(shop, port=port, faults=faults, limits=limits)
        try:
            sandbox.start()
            write_folder(directory, shop, sandbox.url)
            if not ended.is_set():
                ready(sandbox.url)
            while not ended.wait(0.5 if os.name == "nt" else 3600):
                pass
        finally:
            sandbox.stop()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0
