"""Three simulated platforms and a store in this process, for runs that die and networks that fail.

Who belongs in which segment is said by the test. A death is an exception that no code of ours can catch, raised where the
store commits or where a platform takes a write; afterwards nothing of that run reaches the store or a platform any more.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
import responses
from urllib3.exceptions import ProtocolError

from adapters import load
from adapters.base import Adapter
from connector import config as configuration
from connector import planner, runs, sync, writer
from connector.clock import as_of
from connector.progress import Silent
from connector.sandbox.base import Request, Response
from connector.sandbox.faults import answer, is_write
from connector.sandbox.hubspot import HubspotSimulator
from connector.sandbox.mailchimp import MailchimpSimulator
from connector.sandbox.shop import Customer, Shop
from connector.sandbox.shopify import ShopifySimulator
from connector.session import Session
from connector.store import Store
from models.changes import Plan
from models.errors import StoreError
from models.segments import SegmentCount
from tests.simulated import simulated

HOST = "http://127.0.0.1:9"
NOW = datetime(2026, 11, 21, 12)
BORN = datetime(2026, 1, 1)
PLATFORMS = ("shopify", "mailchimp", "hubspot")
CONTACTS = {"shopify": "customers", "mailchimp": "members", "hubspot": "contacts"}
OWN: dict[str, dict[str, str]] = {
    "shopify": {"store": "sandbox-shop.myshopify.com", "token": "shpat_sandbox"},
    "mailchimp": {"token": "0123456789abcdef0123456789abcdef-us1", "audience": "a1b2c3d4e5", "ecommerce": "never"},
    "hubspot": {"token": "pat-eu1-sandbox"},
}
WRITES = ("INSERT", "UPDATE", "DELETE")
FAULTS = (("500", "before"), ("reset", "before"), ("429", "before"), *[("500", "after"), ("reset", "after")] * 2)


class Killed(BaseException):
    """The process is gone."""


class Fuse:
    """Where a run dies: at the first boundary that `due` names. `passed` holds those that it lived through."""

    def __init__(self, due: Callable[[str], bool] = lambda _: False) -> None:
        self.due, self.is_dead = due, False
        self.passed: list[str] = []
        self._lock = threading.Lock()

    def at(self, boundary: str) -> None:
        with self._lock:
            if not self.is_dead and not self.due(boundary):
                self.passed.append(boundary)
                return
            self.is_dead = True
        raise Killed(boundary)

    def must_live(self) -> None:
        if self.is_dead:
            raise Killed


class Mortal(Store):
    """A store whose process may die before and after every commit."""

    fuse = Fuse()

    def sql(self, text: str, params: Any = None) -> list[tuple[Any, ...]]:
        self.fuse.must_live()
        word = text.split(None, 1)[0].upper()
        if word != "COMMIT" and (word not in WRITES or self._depth):
            return super().sql(text, params)
        what = "commit" if word == "COMMIT" else " ".join(text.split()[:3]).replace('"', "")
        self.fuse.at(f"before {what}")
        found = super().sql(text, params)
        self.fuse.at(f"after {what}")
        return found

    def revive(self) -> None:
        """Another process opens the same store: what was not committed never was."""
        self.fuse = Fuse()
        with suppress(StoreError):  # there was none under way
            super().sql("ROLLBACK")


class Wire:
    """What lies between us and one platform. bad_luck: share of requests that fail, before or after their effect.

    Whether one fails depends on the seed and on the request itself, not on which thread came first.
    """

    def __init__(self, inner: Any) -> None:
        self.inner, self.clock, self.name = inner, inner.clock, inner.name
        self.fuse = Fuse()
        self.bad_luck, self.seed = 0.0, 0
        self._asked: Counter[tuple[str, str, bytes]] = Counter()
        self.failed: list[tuple[str, str, bool]] = []
        """(kind, when, was it a write) of every fault."""
        self._lock = threading.Lock()

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name == "base_url":
            self.inner.base_url = value

    def handle(self, request: Request) -> Response:
        self.fuse.must_live()
        writes = is_write(self.name, request)
        fault = self._fault(request, writes)
        if writes:
            self.fuse.at(f"before {self.name}")
        if fault and fault[1] == "before":
            return self._failure(fault[0])
        found: Response = self.inner.handle(request)
        if writes:
            self.fuse.at(f"after {self.name}")
        return self._failure(fault[0]) if fault else found

    def _failure(self, kind: str) -> Response:
        if kind == "reset":
            raise requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError(104, "reset")))
        return answer(self.name, kind, self.clock)

    def _fault(self, request: Request, writes: bool) -> tuple[str, str] | None:
        if not self.bad_luck:
            return None
        with self._lock:
            asked = (request.method, request.path, request.body)
            self._asked[asked] += 1
            chance = random.Random(f"{self.seed} {self.name} {asked} {self._asked[asked]}")
            if chance.random() >= self.bad_luck:
                return None
            kind, when = chance.choice(FAULTS)
            self.failed.append((kind, when, writes))
            return kind, when


def address(n: int) -> str:
    return f"p{n:05d}@shop.example"


class World:
    """The platforms as they are, whoever lives or dies."""

    def __init__(self, mock: responses.RequestsMock, people: int) -> None:
        consent = {"shopify": "SUBSCRIBED", "mailchimp": "subscribed", "hubspot": "opted_in"}
        shop = Shop(
            "Small",
            "EUR",
            "UTC",
            [Customer(f"p{n:05d}", address(n), BORN, BORN, consent=consent) for n in range(people)],
            [],
            [],
            [],
        )
        self.shopify, self.mailchimp, self.hubspot = (
            ShopifySimulator(lambda: NOW),
            MailchimpSimulator(lambda: NOW),
            HubspotSimulator(lambda: NOW),
        )
        self.simulators: dict[str, Any] = {"shopify": self.shopify, "mailchimp": self.mailchimp, "hubspot": self.hubspot}
        self.wires = {name: Wire(simulator) for name, simulator in self.simulators.items()}
        for name, simulator in self.simulators.items():
            simulator.load(shop)
            simulated(name, self.wires[name], mock, host=HOST)  # type: ignore[arg-type]  # a simulator in disguise

    def settings(self, platform: str, **more: Any) -> dict[str, Any]:
        common = {"base_url": f"{HOST}/{platform}", "prefix": "Rollcall: ", "batch_size": 5, "tries": 8}
        return {**common, **OWN[platform], **more}

    def adapter(self, platform: str, **more: Any) -> Adapter:
        return load(platform)(self.settings(platform, **more), now_utc=lambda: NOW, sleep=lambda _: None)

    def under(self, fuse: Fuse) -> Fuse:
        """From now on whoever talks to the platforms is as mortal as this."""
        for wire in self.wires.values():
            wire.fuse = fuse
        return fuse

    def contact_id(self, platform: str, n: int) -> str:
        if platform == "mailchimp":
            account = self.mailchimp.account
            return str(account.members[account.by_customer[f"p{n:05d}"]].wire["id"])
        if platform == "hubspot":
            found = self.hubspot.contact(address(n))
            assert found is not None
            return str(found.id)
        return str(self.shopify.world.by_source[f"p{n:05d}"].number)

    def members(self, platform: str, tag: str) -> set[str]:
        """Contact ids, straight from the platform's memory."""
        if platform == "mailchimp":
            account = self.mailchimp.account
            found = account.tag_named(tag)
            return {account.members[uid].wire["id"] for uid in found.members} if found else set()
        if platform == "hubspot":
            lists = [one for one in self.hubspot.lists.lists.values() if one.name == tag and not one.deleted_at]
            return {str(m) for one in lists for m in one.members}
        return {str(c.number) for c in self.shopify.world.by_source.values() if tag in c.tags}

    def doubled(self) -> list[tuple[Any, ...]]:
        """Writes that took the same effect twice, without the opposite in between."""
        last: dict[tuple[Any, ...], bool] = {}
        found = []
        for platform, simulator in self.simulators.items():
            for e in simulator.effects:
                kind = str(e["kind"])
                if e["result"] == "unchanged" or not kind.endswith(("add", "added", "remove", "removed", "create")):
                    continue
                key, is_on = (platform, e["object"], e["contact"]), not kind.endswith(("remove", "removed"))
                if last.get(key) is is_on:
                    found.append((*key, kind))
                last[key] = is_on
        return found

    def mails(self, platform: str) -> int:
        """Mails that automations of the owner's have sent."""
        if platform == "mailchimp":
            return sum(journey.mails_sent for journey in self.mailchimp.journeys)
        return int(self.hubspot.flows.sent if platform == "hubspot" else self.shopify.mails_started)


class Owner:
    """A configuration, a store in a file, and whole runs: what belongs where is said by `wants` (people by number)."""

    def __init__(self, world: World, folder: Path, segments: str, *, more: str = "", batch_size: int = 5) -> None:
        self.world = world
        secrets = folder / "secrets"
        secrets.mkdir(mode=0o700)
        sections = ['[shop]\nname = "Small"\ntimezone = "UTC"\n']
        for name in PLATFORMS:
            (secrets / name).write_text(OWN[name]["token"])
            (secrets / name).chmod(0o600)
            own = {**OWN[name], "token": f"file:{secrets / name}", "base_url": f"{HOST}/{name}"}
            lines = "".join(f'{k} = "{v}"\n' for k, v in own.items())
            sections.append(f"[{name}]\n{lines}push = true\nbatch_size = {batch_size}\n")
        path = folder / "rollcall.toml"
        path.write_text("\n".join([*sections, more, segments]))
        self.config = configuration.load(path)
        self.wants: dict[str, set[int]] = {}
        self.store = Mortal(folder / "rollcall.duckdb", threads=1)
        self.run_ids: list[str] = []

    def reopen(self) -> None:
        """Another process, on the same store file; the one before it did not come to close anything properly."""
        self.world.under(Fuse())
        path = self.store.path
        self.store._db.close()
        self.store = Mortal(path, threads=1)

    def change_rule(self, before: str, after: str) -> None:
        self.config.path.write_text(self.config.path.read_text().replace(before, after))
        self.config = configuration.load(self.config.path)

    def session(self, command: str = "push") -> Session:
        when = as_of(NOW.date(), "UTC")
        run_id = runs.begin(self.store, command, when.day, now_utc=self._later)
        self.run_ids.append(run_id)
        return Session(self.config, self.store, run_id, when, Silent(), now=lambda: NOW, sleep=lambda _: None)

    def _later(self) -> datetime:
        return NOW.replace(microsecond=len(self.run_ids) + 1)

    def pull(self) -> None:
        """Everybody, and who is who."""
        s = self.session("pull")
        sync.pull_all(s)
        assert not s.problems, s.problems
        sync.identify(s)
        self.store.sql("CREATE TABLE IF NOT EXISTS members (segment VARCHAR, person_id VARCHAR)")

    def believe(self, wants: Mapping[str, Iterable[int]]) -> None:
        """From now on these people match the rules."""
        self.wants = {name: set(people) for name, people in wants.items()}
        self.store.sql("DELETE FROM members")
        for name, people in self.wants.items():
            addresses = [address(n) for n in people]
            self.store.sql(
                "INSERT INTO members SELECT ?, person_id FROM people WHERE list_contains(?, email)", [name, addresses]
            )

    def counts(self) -> list[SegmentCount]:
        return [SegmentCount(name, 0, 0, 0, len(people)) for name, people in self.wants.items()]

    def plan(self, s: Session, *, first: bool = True) -> Plan:
        s.counts = self.counts()
        return planner.plan_derived(s, sync.resolved(self.config), with_go_ahead=first)

    def push(self, fuse: Fuse | None = None, *, first: bool = True) -> tuple[Session, Plan]:
        """One whole run: planned, carried out, its book closed."""
        self.store.fuse = self.world.under(fuse or Fuse())
        s = self.session()
        plan = self.plan(s, first=first)
        writer.carry_out(s, plan, first=first)
        runs.finish(self.store, s.run_id, s.exit_code, {})
        return s, plan

    def held(self) -> set[tuple[str, str, str]]:
        """(platform, object, contact) of everybody our ledger calls ours."""
        return {(p, o, c) for p, o, c in self.store.sql("SELECT platform, object_id, contact_id FROM ledger")}

    def live(self) -> set[tuple[str, str, str]]:
        """The same as the platforms themselves hold it, for the objects our ledger knows."""
        objects = self.store.sql("SELECT platform, object_id, name FROM ledger_objects")
        return {(p, o, c) for p, o, name in objects for c in self.world.members(p, name)}
