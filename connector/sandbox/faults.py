"""Switchable faults: what the network and the platforms do on a bad day, before or after the effect of a request."""

from __future__ import annotations

import random
import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from connector.sandbox.base import Request, Response
from connector.sandbox.fault_answers import answer
from connector.sandbox.fault_pages import halved, is_stored, leads_to, place, walk_of

Kind = Literal[
    "429", "500", "502", "reset", "truncated", "stall", "trickle", "html", "length", "gzip", "empty",
    "403", "477", "throttled", "redirect", "shrunk", "repeated",
]  # fmt: skip
KINDS: tuple[Kind, ...] = (
    "429", "500", "502", "reset", "truncated", "stall", "trickle", "html", "length", "gzip", "empty",
)  # fmt: skip
"""What any request to any platform may meet, and what repeating it helps against: dealt where no kinds are named.

stall: nothing for `stall_s`, then the answer. trickle: the answer in pieces over `stall_s`. html: 200 with a page of a
proxy. length: less announced than comes. gzip: called packed, and is not. empty: 200 without a body.
"""
OWN_KINDS: tuple[Kind, ...] = ("403", "477", "throttled", "redirect", "shrunk", "repeated")
"""The rest, dealt where they are named. 403: Mailchimp's network refuses without a reason. 477: a HubSpot account moves.
throttled: Shopify's refusal with status 200 and no data. redirect: to another host. shrunk: a page with half the rows
asked for. repeated: the page before once more, with the cursor that leads here.
"""
ALL_KINDS = KINDS + OWN_KINDS
ONLY = {"403": "mailchimp", "477": "hubspot", "throttled": "shopify"}
NEEDS_ANSWER = frozenset({"truncated", "stall", "trickle", "length", "shrunk", "repeated"})
"""Kinds that are something done to a true answer: the request took effect, whatever `when` says."""
REFUSALS = frozenset({"429", "403", "477", "throttled"})
"""They say that nothing was done: after the effect of a write only a scripted fault says so. Storage does not know them."""
WHENS = ("before", "after")
DEFAULT_STALL_S = 2.0
KEPT = 8
"""Answers of one walk that can be given again."""
READING_POSTS = ("/search", "/batch/read", "/search-lists")

__all__ = ["ALL_KINDS", "KINDS", "OWN_KINDS", "WHENS", "Fault", "Faults", "Kind", "answer", "is_true", "is_write"]


@dataclass(frozen=True)
class Fault:
    """One fault to commit. when: before the platform sees the request, or after it took effect and the answer is lost."""

    kind: Kind
    when: str
    stall_s: float = DEFAULT_STALL_S

    @property
    def takes_effect(self) -> bool:
        return self.when == "after" or self.kind in NEEDS_ANSWER


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
    """Decides which request fails, and how: a share `p` of them by chance, or every `every`-th of a platform.

    Kinds are dealt like cards, so that each occurs early. platform: only this one; "" is all. hint_s: what Retry-After of
    every fault says. down: platforms that answer 503 to everything. log: what occurred.
    """

    p: float = 0.0
    seed: int = 0
    kinds: tuple[Kind, ...] = KINDS
    whens: tuple[str, ...] = WHENS
    platform: str = ""
    stall_s: float = DEFAULT_STALL_S
    every: int = 0
    hint_s: float | None = None
    down: frozenset[str] = frozenset()
    log: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._scripts: list[_Script] = []
        self._before: dict[tuple[str, str], deque[tuple[str, Response]]] = {}
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
        """Change what happens from now on. Keys: those of SETTINGS, next (a list of scripted faults), reset.

        ValueError names a key or value that is not known; nothing is changed then.
        """
        checked = _checked(settings)
        with self._lock:
            if settings.get("reset"):
                self.p, self.every, self.platform, self.down = 0.0, 0, "", frozenset()
                self.kinds, self.whens, self.stall_s, self.hint_s = KINDS, WHENS, DEFAULT_STALL_S, None
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
        self._seen: dict[str, int] = {}

    def decide(self, platform: str, request: Request) -> Fault | None:
        """The fault this request meets, or None."""
        with self._lock:
            for script in self._scripts:
                if script.times > 0 and _matches(script, platform, request) and self._fits(script.kind, platform, request):
                    script.times -= 1
                    return Fault(script.kind, script.when, self.stall_s)
            if self.platform and platform != self.platform:
                return None
            self._seen[platform] = self._seen.get(platform, 0) + 1
            is_due = bool(self.every) and self._seen[platform] % self.every == 0
            is_unlucky = bool(self.p) and self._random.random() < self.p
            return self._deal(platform, request) if is_due or is_unlucky else None

    def _deal(self, platform: str, request: Request) -> Fault | None:
        """The first card of the deck that this request can meet; None where it can meet none of those left."""
        writes = is_write(platform, request)
        deck = self._decks.setdefault((platform, writes), [])
        if not deck:
            deck += [(k, w) for k in self.kinds if _may_meet(k, platform, writes) for w in self.whens if is_true(k, w, writes)]
            self._random.shuffle(deck)
        for n, (kind, when) in enumerate(deck):
            if self._fits(kind, platform, request):
                del deck[n]
                return Fault(kind, when, self.stall_s)
        return None

    def _fits(self, kind: Kind, platform: str, request: Request) -> bool:
        if not _may_meet(kind, platform, is_write(platform, request)) or (kind in REFUSALS and is_stored(request)):
            return False
        if kind == "shrunk":
            return halved(platform, request) is not None
        if kind == "repeated":
            return self._page_before(platform, request) is not None
        return True

    def remember(self, platform: str, request: Request, response: Response) -> None:
        """The answer just given, where a later fault may have to give it again."""
        is_wanted = "repeated" in self.kinds and (self.p or self.every)
        if response.status != 200 or not (is_wanted or any(s.kind == "repeated" and s.times for s in self._scripts)):
            return
        with self._lock:
            self._keep(platform, request, response)

    def _keep(self, platform: str, request: Request, response: Response) -> None:
        walk = walk_of(platform, request)
        if walk:
            self._before.setdefault((platform, walk), deque(maxlen=KEPT)).append((place(platform, request), response))

    def again(self, platform: str, request: Request) -> Response | None:
        """The page before the one that is asked for."""
        with self._lock:
            return self._page_before(platform, request)

    def _page_before(self, platform: str, request: Request) -> Response | None:
        walk = walk_of(platform, request)
        if not walk or not place(platform, request):
            return None
        for begun, response in reversed(list(self._before.get((platform, walk), ()))):
            if leads_to(platform, begun, response.body, request):
                return response
        return None

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
                "stall_s": self.stall_s, "every": self.every, "hint_s": self.hint_s, "down": sorted(self.down),
                "waiting": sum(s.times for s in self._scripts), "log": list(self.log),
            }  # fmt: skip


def is_true(kind: str, when: str, writes: bool) -> bool:
    """False for a refusal of what was done."""
    return not (writes and when == "after" and kind in REFUSALS)


def _may_meet(kind: Kind, platform: str, writes: bool) -> bool:
    return ONLY.get(kind, platform) == platform and not (writes and kind in ("shrunk", "repeated"))


def _matches(script: _Script, platform: str, request: Request) -> bool:
    if script.platform and script.platform != platform:
        return False
    if script.method and script.method.upper() != request.method:
        return False
    return script.match in request.path or script.match in request.body.decode("utf-8", "replace")


SETTINGS = ("p", "seed", "kinds", "when", "platform", "stall_s", "every", "hint_s", "down")


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for key, value in settings.items():
        if key == "p":
            checked["p"] = float(value)
            if not 0 <= checked["p"] <= 1:
                raise ValueError("p must be between 0 and 1")
        elif key in ("seed", "every"):
            checked[key] = int(value)
        elif key in ("stall_s", "hint_s"):
            checked[key] = float(value)
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
            raise ValueError(f"'{key}' is no setting of faults: {', '.join(SETTINGS)}, next, reset")
    return checked


def _kind(value: Any) -> Kind:
    for kind in ALL_KINDS:
        if str(value) == kind:
            return kind
    raise ValueError(f"'{value}' is no kind of fault: {', '.join(ALL_KINDS)}")


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
