"""Switchable faults: what the network and the platforms do on a bad day, before or after the effect of a request."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from connector.sandbox.base import Clock, Request, Response

Kind = Literal["429", "500", "502", "reset", "truncated", "stall"]
KINDS: tuple[Kind, ...] = ("429", "500", "502", "reset", "truncated", "stall")
WHENS = ("before", "after")
DEFAULT_STALL_S = 2.0
READING_POSTS = ("/search", "/batch/read", "/search-lists")


@dataclass(frozen=True)
class Fault:
    """One fault to commit. when: before the platform sees the request, or after it took effect and the answer is lost.

    A truncated answer and a stall keep the effect whatever `when` says of a truncated one: there is no half answer without one.
    """

    kind: Kind
    when: str
    stall_s: float = DEFAULT_STALL_S


@dataclass
class _Script:
    platform: str
    match: str
    kind: Kind
    when: str
    times: int
    method: str = ""


@dataclass
class Faults:
    """Decides which request fails, and how. p: share of requests; kinds are dealt like cards, so that each occurs early.

    platform: only this one; "" is all. down: platforms that answer 503 to everything. log: what occurred.
    """

    p: float = 0.0
    seed: int = 0
    kinds: tuple[Kind, ...] = KINDS
    whens: tuple[str, ...] = WHENS
    platform: str = ""
    stall_s: float = DEFAULT_STALL_S
    down: frozenset[str] = frozenset()
    log: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._scripts: list[_Script] = []
        self._restart()

    @classmethod
    def parse(cls, text: str) -> Faults:
        """From the command line: "p=0.02,seed=1,stall_s=0.5,kinds=500+reset,platform=shopify,when=after"."""
        faults = cls()
        settings: dict[str, Any] = {}
        for part in filter(None, (p.strip() for p in text.split(","))):
            key, mark, value = part.partition("=")
            if not mark:
                raise ValueError(f"'{part}' is no setting: write p=0.02,seed=1")
            settings[key.strip()] = value.strip().split("+") if key.strip() == "kinds" else value.strip()
        faults.set(settings)
        return faults

    def set(self, settings: dict[str, Any]) -> None:
        """Change what happens from now on. Keys: p, seed, kinds, when, platform, stall_s, down, next, reset.

        ValueError names a key or value that is not known; nothing is changed then.
        """
        checked = _checked(settings)
        with self._lock:
            if settings.get("reset"):
                self.p, self.platform, self.down = 0.0, "", frozenset()
                self.kinds, self.whens, self.stall_s = KINDS, WHENS, DEFAULT_STALL_S
                self._scripts.clear()
            for key, value in checked.items():
                if key == "next":
                    self._scripts += value
                else:
                    setattr(self, key, value)
            self._restart()

    def _restart(self) -> None:
        self._random = random.Random(self.seed)
        self._decks: dict[tuple[str, bool], list[tuple[Kind, str]]] = {}

    def decide(self, platform: str, request: Request) -> Fault | None:
        """The fault this request meets, or None."""
        with self._lock:
            for script in self._scripts:
                if script.times > 0 and _matches(script, platform, request):
                    script.times -= 1
                    return Fault(script.kind, script.when, self.stall_s)
            if not self.p or (self.platform and platform != self.platform) or self._random.random() >= self.p:
                return None
            kind, when = self._deal(platform, is_write(platform, request))
            return Fault(kind, when, self.stall_s)

    def _deal(self, platform: str, writes: bool) -> tuple[Kind, str]:
        deck = self._decks.setdefault((platform, writes), [])
        if not deck:
            deck += [(kind, when) for kind in self.kinds for when in self.whens]
            self._random.shuffle(deck)
        return deck.pop()

    def note(self, at: datetime, platform: str, request: Request, fault: Fault) -> None:
        with self._lock:
            self.log.append(
                {
                    "at": at.isoformat(),
                    "platform": platform,
                    "kind": fault.kind,
                    "when": fault.when,
                    "is_write": is_write(platform, request),
                    "method": request.method,
                    "path": request.path,
                }
            )

    def dump(self) -> dict[str, Any]:
        with self._lock:
            return {
                "p": self.p, "seed": self.seed, "kinds": list(self.kinds), "when": list(self.whens), "platform": self.platform,
                "stall_s": self.stall_s, "down": sorted(self.down), "waiting": sum(s.times for s in self._scripts),
                "log": list(self.log),
            }  # fmt: skip


def _matches(script: _Script, platform: str, request: Request) -> bool:
    if script.platform and script.platform != platform:
        return False
    if script.method and script.method.upper() != request.method:
        return False
    return script.match in request.path or script.match in request.body.decode("utf-8", "replace")


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for key, value in settings.items():
        if key == "p":
            checked["p"] = float(value)
            if not 0 <= checked["p"] <= 1:
                raise ValueError("p must be between 0 and 1")
        elif key == "seed":
            checked["seed"] = int(value)
        elif key == "stall_s":
            checked["stall_s"] = float(value)
        elif key == "platform":
            checked["platform"] = str(value)
        elif key == "kinds":
            checked["kinds"] = tuple(_kind(k) for k in value) or KINDS
        elif key == "when":
            whens = (value,) if isinstance(value, str) else tuple(value)
            checked["whens"] = tuple(_when(w) for w in whens)
        elif key == "down":
            checked["down"] = frozenset(value)
        elif key == "next":
            checked["next"] = [_script(v) for v in value]
        elif key != "reset":
            raise ValueError(f"'{key}' is no setting of faults: p, seed, kinds, when, platform, stall_s, down, next, reset")
    return checked


def _kind(value: Any) -> Kind:
    for kind in KINDS:
        if str(value) == kind:
            return kind
    raise ValueError(f"'{value}' is no kind of fault: {', '.join(KINDS)}")


def _when(value: Any) -> str:
    if value not in WHENS:
        raise ValueError(f"'{value}' must be before or after")
    return str(value)


def _script(value: dict[str, Any]) -> _Script:
    unknown = set(value) - {"platform", "match", "kind", "when", "times", "method"}
    if unknown:
        raise ValueError(f"'{sorted(unknown)[0]}' is no part of a scripted fault")
    return _Script(
        str(value.get("platform", "")), str(value.get("match", "")), _kind(value.get("kind", "500")),
        _when(value.get("when", "before")), int(value.get("times", 1)), str(value.get("method", "")),
    )  # fmt: skip


def is_write(platform: str, request: Request) -> bool:
    """Whether a request can change anything. Shopify sends everything as POST: a mutation says so in its document."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return False
    if platform == "shopify":
        return b"mutation" in request.body or "/upload" in request.path
    return not request.path.endswith(READING_POSTS)


def answer(platform: str, kind: str, clock: Clock) -> Response:
    """The platform's own words for a fault that has an answer: 429, 500, 502 or 503 (down)."""
    if kind == "502":
        page = b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
        return Response(502, {"Content-Type": "text/html"}, page)
    if kind == "503":
        return Response(503, {"Content-Type": "text/html"}, b"<html><body><h1>Service Unavailable</h1></body></html>")
    return _ANSWERS[platform](kind, f"{clock().timestamp():.6f}")


def _shopify(kind: str, reference: str) -> Response:
    if kind == "429":
        body = {"errors": "Exceeded 2 calls per second for api client. Reduce request rates to resume uninterrupted service."}
        return Response.json(body, 429, {"Retry-After": "1.0"})
    return Response.json({"errors": "Internal Server Error"}, 500)


def _mailchimp(kind: str, reference: str) -> Response:
    titles = {"429": ("TooManyRequests", "You have exceeded the limit of 10 simultaneous connections."),
              "500": ("Internal Server Error", "An unexpected internal error has occurred.")}  # fmt: skip
    title, detail = titles[kind]
    body = {
        "type": "https://mailchimp.com/developer/marketing/docs/errors/",
        "title": title,
        "status": int(kind),
        "detail": detail,
        "instance": reference,
    }
    return Response.json(body, int(kind), {"Content-Type": "application/problem+json; charset=utf-8"})


def _hubspot(kind: str, reference: str) -> Response:
    body: dict[str, Any] = {"status": "error", "correlationId": reference}
    if kind == "429":
        body |= {
            "message": "You have reached your ten_secondly_rolling limit.",
            "errorType": "RATE_LIMIT",
            "policyName": "TEN_SECONDLY_ROLLING",
            "groupName": "publicapi:crm",
            "requestId": reference,
        }
    else:
        body |= {"message": "internal error", "category": "INTERNAL_ERROR"}
    return Response.json(body, int(kind))


_ANSWERS = {"shopify": _shopify, "mailchimp": _mailchimp, "hubspot": _hubspot}
