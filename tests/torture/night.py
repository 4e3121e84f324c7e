"""A bad night, on purpose: faults of every kind, records that change while they are read, and a victim that is killed.

Everything is counted by what is asked, walk by walk, so that a seed means the same night again however fast the machine is.
"""

from __future__ import annotations

import random
import subprocess
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from connector.sandbox.base import Request, Response
from connector.sandbox.fault_pages import is_stored
from connector.sandbox.faults import ALL_KINDS, NEEDS_ANSWER, ONLY, OWN_KINDS, Fault, Faults, Kind, is_write
from tests.torture.world import World

SHARE = 0.05
STALL_S = 1.0
"""Longer than the client's time limit, so that it is met as no answer at all."""
TRICKLE_S = 0.3
GRACE_S = 0.4
LATENCY_S = 0.01
"""Of every answer, so that a client that reads ahead is killed with pages stored, not before the first of them."""
CHANGE_EVERY = 4
KILL = Fault("reset", "before", 0.0)
KILL_HALFWAY = Fault("trickle", "after", TRICKLE_S)
ENDING = frozenset({"redirect", "477", "repeated"})
NAMED = ("customers(first", "orders(first", "products(first", "abandonedCheckouts(first")


def part_of(platform: str, request: Request) -> str:
    """Which part of a pull a request belongs to; '' for those that introduce the account or count."""
    if is_stored(request):
        return "download"
    if platform == "shopify":
        return _shopify(request)
    if platform == "mailchimp":
        return _mailchimp(request)
    return _hubspot(request)


def _shopify(request: Request) -> str:
    text = request.body.decode("utf-8", "replace")
    for mark, name in (("bulkOperationRunQuery", "start"), ("bulkOperation(id", "poll"), ("bulkOperations(", "mine")):
        if mark in text:
            return name
    if '"after"' not in text:
        return ""
    return next((name.removesuffix("(first") for name in NAMED if name in text), "")


def _mailchimp(request: Request) -> str:
    parts = request.path.strip("/").split("/")
    if parts[1:2] == ["batches"]:
        return "start" if request.method == "POST" else "poll"
    if parts[-1] == "members" and request.param("count") == "1":
        return ""
    known = ("members", "email-activity", "unsubscribed", "reports", "campaigns", "orders", "products", "carts")
    return parts[-1] if parts[-1] in known else ""


def _hubspot(request: Request) -> str:
    parts = request.path.strip("/").split("/")
    if parts[:2] == ["crm", "associations"]:
        return "associations"
    if parts[:2] != ["crm", "objects"]:
        return ""
    if parts[-1] == "search":
        return f"{parts[3]} search" if b"BETWEEN" in request.body else ""
    if parts[-2:] == ["batch", "read"]:
        return f"{parts[3]} batch"
    return f"{parts[3]} archived" if request.param("archived") == "true" else f"{parts[3]} list"


@dataclass(frozen=True)
class Moment:
    """When to kill: at this share of the requests that an unbroken run makes for `part`, or at the nth of them.

    stream: the one that is then under way, with pages stored and others to come. at_once: in whatever the victim does at
    that moment, be it a commit; else it is given the time to store what it has. A download is cut in its middle.
    """

    stream: str
    part: str
    share: float = 0.0
    nth: int | None = None
    at_once: bool = False


@dataclass
class Page:
    """A page that was sent whole: what was asked for, and which records were in it."""

    part: str
    asked: str
    records: frozenset[str]


class Night(Faults):
    """Faults every so many requests until each kind was dealt, and others by chance; changes; and kills.

    The deck holds every kind that the platform may meet, before and after the effect where that is a difference.
    """

    def __init__(self, platform: str, seed: int, world: World, kinds: Sequence[Kind] = ALL_KINDS) -> None:
        super().__init__(seed=seed, kinds=tuple(kinds), stall_s=STALL_S, hint_s=0.0)
        self.of, self.world = platform, world
        self.counting = threading.Lock()
        self.latency = threading.Event()
        self.asked: Counter[str] = Counter()
        self.given: Counter[str] = Counter()
        self.pages: list[Page] = []
        self.is_bad = self.is_changing = False
        self.share, self.due_every = SHARE, 5
        self.endings: list[str] = []
        self.spared = "none"
        self.victim: subprocess.Popen[str] | None = None
        self.moment: tuple[str, int] | None = None
        self.grace_s = 0.0
        self.deck = [(kind, when) for kind in kinds if ONLY.get(kind, platform) == platform for when in _whens(kind)]
        random.Random(f"deck {platform} {seed}").shuffle(self.deck)

    def calm(self) -> None:
        """No faults, no changes, no kill."""
        self.is_bad = self.is_changing = False
        self.victim, self.moment = None, None

    def begin(self) -> None:
        """A phase begins: its requests are counted anew."""
        with self.counting:
            self.asked.clear()
            self.given.clear()
            self.pages.clear()

    def arm(self, victim: subprocess.Popen[str], part: str, nth: int, grace_s: float) -> None:
        """Kill the victim when it asks for the part's next page after all but one of `nth` have been given since `begin`."""
        with self.counting:
            self.victim, self.moment, self.grace_s = victim, (part, nth), grace_s

    def decide(self, platform: str, request: Request) -> Fault | None:
        if platform != self.of:
            return None
        part = self._part(platform, request)
        with self.counting:
            self.asked[part] += 1
            self.asked["*"] += 1
            nth = self.asked[part]
            if self.is_changing and part and self.asked["*"] % CHANGE_EVERY == 0:
                self.world.change()
            if part.startswith("start") and self.is_bad and self.endings:
                self._end_badly(self.endings.pop(0))
            if self._is_time(part):
                return self._kill(request)
            fault = self._fault(platform, request, part, nth) if self.is_bad and not part.startswith(self.spared) else None
            self.given[part] += fault is None or fault.kind in ("trickle", "shrunk")
        self.latency.wait(LATENCY_S)
        return fault

    def _is_time(self, part: str) -> bool:
        if self.victim is None or self.moment is None:
            return False
        return part == self.moment[0] and self.given[part] >= self.moment[1] - 1

    def _part(self, platform: str, request: Request) -> str:
        """With the stream, where a request is about an export of Shopify's."""
        part = part_of(platform, request)
        if platform == "shopify" and part in ("start", "poll", "download"):
            jobs: Any = self.world.sandbox.simulators[platform].jobs  # type: ignore[attr-defined]  # the simulator's own
            asked = request.path if part == "download" else request.body.decode()
            texts = [j.query for j in list(jobs.values()) if j.file in asked or j.id in asked] or [asked]
            part += " " + next((n.removesuffix("(first") for n in NAMED if n.removesuffix("first") in texts[0]), "")
        return part

    def _end_badly(self, ending: str) -> None:
        """The export that is started now; '' lets it come to a good end."""
        switches: Any = self.world.sandbox.simulators[self.of].switches  # type: ignore[attr-defined]  # every simulator's own
        if ending:
            switches.fail_bulk, switches.fail_bulk_with = 1, ending

    def _kill(self, request: Request) -> Fault:
        victim, self.victim = self.victim, None
        assert victim is not None
        if is_stored(request):  # in the middle of the file
            timer = threading.Timer(TRICKLE_S / 2, victim.kill)
            timer.daemon = True
            timer.start()
            return KILL_HALFWAY
        self.latency.wait(self.grace_s)
        victim.kill()
        victim.wait()
        return KILL

    def note(self, at: datetime, platform: str, request: Request, fault: Fault) -> None:
        if fault is not KILL and fault is not KILL_HALFWAY:
            super().note(at, platform, request, fault)

    def _fault(self, platform: str, request: Request, part: str, nth: int) -> Fault | None:
        """By plan, else by chance; the chance is the seed's, for this request of this part, whatever came in between.

        What ends a run comes three times less often than what a client only has to repeat: a night should be long enough.
        """
        card = None
        if self.asked["*"] % self.due_every == 0:
            card = next((c for c in self.deck if self._fits(c[0], platform, request) and self._is_welcome(c[0])), None)
            if card:
                self.deck.remove(card)
        chance = random.Random(f"{self.seed} {part} {nth} {self.asked['*'] if not part else ''}")
        if card is None and chance.random() < self.share:
            kinds = [k for k in self.kinds if self._fits(k, platform, request) and self._is_welcome(k)]
            weights = [1 if k in OWN_KINDS else 3 for k in kinds]
            card = (chance.choices(kinds, weights)[0], chance.choice(("before", "after")))
        if card is None:
            return None
        return Fault(card[0], card[1], TRICKLE_S if card[0] == "trickle" else self.stall_s)

    def _is_welcome(self, kind: str) -> bool:
        """What ends a stream waits until the kills of the act have fallen: the others would run away from their moments."""
        return self.victim is None or kind not in ENDING

    def remember(self, platform: str, request: Request, response: Response) -> None:
        if response.status == 200:
            with self._lock:
                self._keep(platform, request, response)
        part = part_of(platform, request)
        if response.status == 200 and part and not is_write(platform, request) and not is_stored(request):
            found = Page(part, _asked(platform, request), _ids(request, response))
            with self.counting:
                self.pages.append(found)

    def dealt(self) -> set[tuple[str, str]]:
        """What the log says occurred."""
        return {(f["kind"], f["when"]) for f in self.log}


def _whens(kind: str) -> tuple[str, ...]:
    return ("after",) if kind in NEEDS_ANSWER - {"stall"} else ("before", "after")


def _asked(platform: str, request: Request) -> str:
    """What was asked for, without how many at once."""
    if platform == "shopify":
        body = orjson.loads(request.body)
        return f"{body['query']} { {k: v for k, v in body['variables'].items() if k != 'first'} }"
    query = {k: v for k, v in request.query.items() if k not in ("count", "limit")}
    return f"{request.method} {request.path} {query} {request.body!r}"


def _ids(request: Request, response: Response) -> frozenset[str]:
    """Ids of the records in an answer, wherever its list stands, as we name them; of activity without the day."""
    found: set[str] = set()
    _collect(orjson.loads(response.body or b"null"), found, 0)
    campaign = request.path.split("/")[-2] + ":" if request.path.endswith("/email-activity") else ""
    return frozenset(campaign + i.rpartition("/")[2] for i in found)


def _collect(value: Any, found: set[str], depth: int) -> None:
    if isinstance(value, list):
        found |= {str(v.get("id") or v.get("email_id") or v.get("campaign_id")) for v in value if isinstance(v, dict)}
    elif isinstance(value, dict) and depth < 4:
        for name in ("data", "customers", "orders", "products", "abandonedCheckouts", "nodes", "results", "members", "emails",
                     "reports", "carts", "unsubscribes"):  # fmt: skip
            if name in value:
                _collect(value[name], found, depth + 1)
