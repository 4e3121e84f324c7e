"""Three simulated accounts that know the same people, read by the real adapters into a store in memory; for the laws."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import responses

from connector import config as configuration
from connector import planner, runs, sync, writer
from connector.clock import as_of
from connector.progress import Silent
from connector.sandbox.hubspot import HubspotSimulator
from connector.sandbox.mailchimp import MailchimpSimulator
from connector.sandbox.shop import Customer, Purchase, Shop
from connector.sandbox.shopify import ShopifySimulator
from connector.session import Session
from connector.store import Store
from models.changes import Plan, TargetPlan
from models.segments import SegmentCount
from tests.simulated import simulated

HOST = "http://127.0.0.1:9"
BORN = datetime(2026, 1, 5, 8)
BEGIN = datetime(2026, 11, 20, 9)
SECRETS = {
    "ROLLCALL_LAWS_SHOPIFY": "shpat_sandbox",
    "ROLLCALL_LAWS_MAILCHIMP": "0123456789abcdef0123456789abcdef-us1",
    "ROLLCALL_LAWS_HUBSPOT": "pat-eu1-sandbox",
}
PLATFORMS = ("shopify", "mailchimp", "hubspot")
CONTACTS = ("customers", "orders", "members", "contacts")
EVERYWHERE = '["shopify", "mailchimp", "hubspot"]'


def toml(body: str, *, hubspot: str = "", more: str = "") -> str:
    sections = {
        "shopify": 'store = "sandbox-shop.myshopify.com"',
        "mailchimp": 'audience = "a1b2c3d4e5"',
        "hubspot": hubspot,
    }
    parts = ['[shop]\nname = "Laws"\ntimezone = "UTC"\n', more]
    for name, own in sections.items():
        parts.append(f'[{name}]\nbase_url = "{HOST}/{name}"\ntoken = "env:ROLLCALL_LAWS_{name.upper()}"\npush = true\n{own}\n')
    return "\n".join([*parts, body])


class Laws:
    """`people` on three platforms, a store, and a clock that this file turns."""

    def __init__(self, folder: Path, people: Sequence[Customer], body: str, purchases: Sequence[Purchase] = (), **more: str):
        os.environ.update(SECRETS)
        self.now = BEGIN
        self.pushed = ""
        self.folder = folder
        self.mock = responses.RequestsMock(assert_all_requests_are_fired=False)
        self.mock.start()
        shop = Shop("Laws", "EUR", "UTC", list(people), [], list(purchases), [])
        self.shopify = ShopifySimulator(self.clock)
        self.mailchimp = MailchimpSimulator(self.clock)
        self.hubspot = HubspotSimulator(self.clock)
        for simulator in (self.shopify, self.mailchimp, self.hubspot):
            simulator.load(shop)
            simulated(simulator.name, simulator, self.mock, host=HOST)
        self.store = Store(":memory:", threads=1)
        self.configure(body, **more)

    def close(self) -> None:
        self.mock.stop(allow_assert=False)
        self.store.close()

    def clock(self) -> datetime:
        return self.now

    def configure(self, body: str, **more: str) -> None:
        path = self.folder / "rollcall.toml"
        path.write_text(toml(body, **more), encoding="utf-8")
        self.config = configuration.load(path)

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)

    @contextmanager
    def session(self, command: str) -> Iterator[Session]:
        when = as_of((self.now + timedelta(days=1)).date(), "UTC")
        run_id = runs.begin(self.store, command, when.day)
        s = Session(self.config, self.store, run_id, when, Silent(), now=self.clock, sleep=lambda _: None)
        yield s
        runs.finish(self.store, run_id, s.exit_code, s.summary)

    def pull(self, *, full: bool = False, streams: Sequence[str] | None = CONTACTS) -> None:
        with self.session("pull") as s:
            sync.pull_all(s, streams=streams, full=full)
            assert not s.problems, s.problems
        self.later(minutes=5)

    def read_in_full(self) -> None:
        with self.session("pull") as s:
            sync.read_in_full(s)
        self.later(minutes=5)

    def plan(self, *, first: bool = False) -> Plan:
        with self.session("plan") as s:
            plan = self._planned(s, first)
            assert not plan.problems, plan.problems
        return plan

    def _planned(self, s: Session, first: bool) -> Plan:
        """Everybody is in every segment: whom the rules mean is not what these laws are about, and a profile takes a second."""
        sync.identify(s)
        segments = sync.resolved(self.config)
        self.store.sql("CREATE OR REPLACE TABLE members (segment VARCHAR, person_id VARCHAR)")
        for segment in segments:
            self.store.sql("INSERT INTO members SELECT ?, person_id FROM people", [segment.name])
        s.counts = [SegmentCount(g.name, 0, 0, 0, 1) for g in segments]
        return planner.plan_derived(s, segments, with_go_ahead=first)

    def push(self, *, first: bool = False) -> Plan:
        with self.session("push") as s:
            self.pushed = s.run_id
            plan = self._planned(s, first)
            writer.carry_out(s, plan, first=first)
            lost = [r for r in s.results if r.problem or r.counts.get("unknown") or r.counts.get("refused")]
            assert not lost, lost
        self.later(hours=3)
        return plan

    def night(self, *, first: bool = False) -> Plan:
        """A night as the owner has it, a day after the last one: whom the rules mean is really worked out."""
        self.later(days=1)
        self.pull()
        with self.session("sync") as s:
            segments = sync.resolved(self.config)
            sync.derive(s, segments)
            plan = planner.plan_derived(s, segments, with_go_ahead=first)
            writer.carry_out(s, plan, first=first)
        return plan

    def undo(self, run_id: str) -> Plan:
        """The plan that takes a push back; nothing is written, and nothing stays paused."""
        with self.session("undo") as s:
            self._planned(s, False)
            plan, _ = planner.undo_plan_derived(s, run_id)
        self.store.sql("DELETE FROM paused")
        return plan

    def change(self, platform: str, customer: str, **wanted: Any) -> None:
        simulator: Any = getattr(self, platform)
        assert simulator.change(customer, wanted), (platform, customer)

    def carrying(self, platform: str, name: str) -> set[str]:
        """Who carries a tag or is in a list of this name, by customer id, as the simulated platform says it."""
        state: Any = getattr(self, platform).dump()
        if platform == "shopify":
            return {c["customer_id"] for c in state["customers"] if name in c["tags"]}
        if platform == "mailchimp":
            return {e.partition("@")[0] for e in state["tags"].get(name, {"members": ()})["members"]}
        live = self.hubspot.crm.tables["contacts"].live
        found = [x for x in state["lists"].values() if x["name"] == name]
        return {str(live[int(m)].props["email"]).partition("@")[0] for x in found for m in x["members"]}


def target(plan: Plan, platform: str, segment: str) -> TargetPlan:
    return next(t for t in plan.targets if (t.target.platform, t.target.segment) == (platform, segment))
