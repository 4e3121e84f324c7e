"""The laws under random histories: pulls, changing rules, hands and other programs on the platforms, refusals and second
thoughts, archives, pushes, crashes, undos and people who are forgotten.

The truth is kept by this file alone: who belongs in a segment, who said no, who tagged whom by hand. It imports nothing of
ours to compute it. Simulated Mailchimp and HubSpot run in this process; a crash is an exception that the platform's side
raises in the middle of a write, which no code of ours can catch.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import responses
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from connector import config as configuration
from connector import planner, privacy, runs, sync, writer
from connector.clock import as_of
from connector.progress import Silent
from connector.sandbox.base import Request, Response
from connector.sandbox.hubspot import HubspotSimulator
from connector.sandbox.mailchimp import MailchimpSimulator
from connector.sandbox.shop import Customer, Shop
from connector.session import Session
from connector.store import Store
from models.segments import SegmentCount
from tests.simulated import simulated

HOST = "http://127.0.0.1:9"
NAMES = ("ana", "ben", "cleo", "dora", "emil", "fay")
BORN = datetime(2026, 1, 1)
TOML = f"""
[shop]
name = "Laws"
timezone = "UTC"
[mailchimp]
base_url = "{HOST}/mailchimp"
token = "env:ROLLCALL_LAWS_MAILCHIMP"
audience = "a1b2c3d4e5"
push = true
[hubspot]
base_url = "{HOST}/hubspot"
token = "env:ROLLCALL_LAWS_HUBSPOT"
push = true
[[segment]]
name = "Mail"
where = "orders_total >= 1"
push = ["mailchimp", "hubspot"]
[[segment]]
name = "Care"
where = "orders_total >= 2"
purpose = "service"
push = ["hubspot"]
"""
MAILCHIMP = {"authorization": "Bearer 0123456789abcdef0123456789abcdef-us1"}
HUBSPOT = {"authorization": "Bearer pat-eu1-sandbox"}
TARGETS = (("mailchimp", "Mail"), ("hubspot", "Mail"), ("hubspot", "Care"))
OBJECTS = {"Mail": "Rollcall: Mail", "Care": "Rollcall: service Care"}


def utc() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Killed(BaseException):
    """The process is gone."""


class Crashing:
    """A simulator in front of which the connection (and our process) may die, before or after the effect of a write."""

    def __init__(self, inner: Any, fuse: dict[str, Any]) -> None:
        self.inner, self.fuse, self.clock = inner, fuse, inner.clock
        self.name = inner.name

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name == "base_url":
            self.inner.base_url = value

    def handle(self, request: Request) -> Response:
        writes = request.method in ("PUT", "PATCH", "DELETE") or (
            request.method == "POST" and ("/segments" in request.path or request.path.endswith("/crm/lists/2026-09"))
        )
        if writes and self.fuse["left"] is not None:
            if self.fuse["left"] == 0:
                self.fuse["left"] = None
                if self.fuse["after"]:
                    self.inner.handle(request)
                raise Killed
            self.fuse["left"] -= 1
        answer: Response = self.inner.handle(request)
        return answer


class Laws(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.fuse: dict[str, Any] = {"left": None, "after": False}
        self.mock = responses.RequestsMock(assert_all_requests_are_fired=False)
        self.mock.start()
        self.folder = tempfile.TemporaryDirectory()
        import os

        os.environ["ROLLCALL_LAWS_MAILCHIMP"] = "0123456789abcdef0123456789abcdef-us1"
        os.environ["ROLLCALL_LAWS_HUBSPOT"] = "pat-eu1-sandbox"

    @initialize(statuses=st.lists(st.sampled_from(["subscribed", "subscribed", "transactional"]), min_size=6, max_size=6))
    def a_shop(self, statuses: list[str]) -> None:
        people = [
            Customer(n, f"{n}@shop.example", BORN, BORN, consent={"mailchimp": s, "hubspot": "opted_in"})
            for n, s in zip(NAMES, statuses, strict=True)
        ]
        shop = Shop("Laws", "EUR", "UTC", people, [], [], [])
        self.mailchimp = MailchimpSimulator(utc)
        self.hubspot = HubspotSimulator(utc)
        for simulator in (self.mailchimp, self.hubspot):
            simulator.load(shop)
            simulated(simulator.name, Crashing(simulator, self.fuse), self.mock, host=HOST)  # type: ignore[arg-type]  # a simulator in disguise
        path = Path(self.folder.name) / "rollcall.toml"
        path.write_text(TOML)
        self.config = configuration.load(path)
        self.store = Store(":memory:", threads=1)
        self.store.sql("CREATE TABLE IF NOT EXISTS members (segment VARCHAR, person_id VARCHAR)")
        self.wants: dict[str, set[str]] = {"Mail": set(), "Care": set()}
        self.asked = {n: s == "subscribed" for n, s in zip(NAMES, statuses, strict=True)}
        self.no: dict[str, set[str]] = {"mailchimp": set(), "hubspot": set()}
        self.archived: set[str] = set()
        self.forgotten: set[str] = set()
        self.by_hand: set[tuple[str, str, str]] = set()
        self.taken_off: set[tuple[str, str, str]] = set()
        self.gone_ahead = False
        self.pushed: list[str] = []
        self.paused: set[str] = set()

    # ---- what the world does

    @rule(segment=st.sampled_from(["Mail", "Care"]), people=st.sets(st.sampled_from(NAMES)))
    def the_rule_means_other_people_now(self, segment: str, people: set[str]) -> None:
        self.wants[segment] = set(people)

    @rule(person=st.sampled_from(NAMES), where=st.sampled_from(["mailchimp", "hubspot"]))
    def somebody_says_no(self, person: str, where: str) -> None:
        if where == "mailchimp":
            self.archived.discard(person)
            self.asked[person] = False
        self.platform(where).change(person, {"status": "unsubscribed"})
        self.no[where].add(person)

    @rule(person=st.sampled_from(NAMES), where=st.sampled_from(["mailchimp", "hubspot"]))
    def somebody_or_some_program_says_yes_again(self, person: str, where: str) -> None:
        """A later yes here undoes the no said here, and no other."""
        if where == "mailchimp":
            self.archived.discard(person)
            self.asked[person] = True
        self.platform(where).change(person, {"status": "subscribed"})
        self.no[where].discard(person)

    @rule(person=st.sampled_from(NAMES))
    def the_owner_archives_somebody_in_mailchimp(self, person: str) -> None:
        """Nobody writes an archived contact, and nobody sees whether it still carries a tag; what it had said counts no more."""
        self.mailchimp.change(person, {"status": "archived"})
        self.archived.add(person)
        self.asked[person] = False
        self.no["mailchimp"].discard(person)

    @rule(source=st.sampled_from(["mailchimp", "hubspot"]))
    def another_program_copies_a_tag_between_the_accounts(self, source: str) -> None:
        """Our own tag comes back through somebody else's connector: what it adds is its own and not ours."""
        goal = "hubspot" if source == "mailchimp" else "mailchimp"
        for person in sorted(self.members(source, "Mail") - self.members(goal, "Mail")):
            self.somebody_is_tagged(person, goal, "Mail")

    @rule(person=st.sampled_from(NAMES), tag=st.sampled_from(TARGETS))
    def somebody_is_tagged_by_hand(self, person: str, tag: tuple[str, str]) -> None:
        self.somebody_is_tagged(person, *tag)

    def somebody_is_tagged(self, person: str, platform: str, segment: str) -> None:
        object_id = self.object_id(platform, segment)
        if (
            object_id is None
            or person in self.archived
            or person in self.members(platform, segment)
            or self.in_ledger(platform, segment, person)
        ):
            return
        self.by_hand_call(platform, object_id, person, "add")
        if person in self.members(platform, segment):
            self.by_hand.add((platform, segment, person))

    @rule(person=st.sampled_from(NAMES), tag=st.sampled_from(TARGETS))
    def somebody_is_untagged_by_hand(self, person: str, tag: tuple[str, str]) -> None:
        platform, segment = tag
        object_id = self.object_id(platform, segment)
        if object_id is not None and person in self.members(platform, segment):
            self.by_hand_call(platform, object_id, person, "remove")
            self.by_hand.discard((platform, segment, person))

    # ---- what we do

    @rule(first=st.booleans())
    def push(self, first: bool) -> None:
        self.run(first)
        self.gone_ahead = self.gone_ahead or first
        self.what_must_hold_after_a_push()

    @rule(writes=st.integers(0, 4), after=st.booleans())
    def push_that_dies(self, writes: int, after: bool) -> None:
        self.fuse.update(left=writes, after=after)
        try:
            self.run(first=True)
        except Killed:
            while self.store._depth:
                self.store._depth = 0
        self.fuse.update(left=None)
        self.run(first=True)
        self.gone_ahead = True
        self.what_must_hold_after_a_push()

    @precondition(lambda self: self.pushed)
    @rule()
    def undo_the_last_push(self) -> None:
        with_changes = self.pushed[-1]
        with self.session("undo") as s:
            self.prepare(s)
            plan, _ = planner.undo_plan_derived(s, with_changes)
            writer.carry_out(s, plan)
        removed_by_us = {
            (o["platform"], o["segment"])
            for o in self.store.rows("SELECT DISTINCT platform, segment FROM journal WHERE run_id = ?", [s.run_id])
        }
        assert removed_by_us <= set(TARGETS)
        for name in ("Mail", "Care"):
            self.store.sql("DELETE FROM paused WHERE segment = ?", [name])
        self.pushed.clear()
        self.nothing_of_others_was_touched()

    @rule(person=st.sampled_from(NAMES))
    def somebody_is_forgotten(self, person: str) -> None:
        """Out of the store for good; tags of ours come off with the next push, what others put on stays."""
        with self.session("forget") as s:
            privacy.forget(self.store, self.config, f"{person}@shop.example", s.run_id)
        self.forgotten.add(person)
        self.pushed.clear()
        assert not self.store.value("SELECT count(*) FROM contacts WHERE email = ?", [f"{person}@shop.example"])

    # ---- laws

    @invariant()
    def no_status_was_ever_written_and_nobody_was_created(self) -> None:
        if not hasattr(self, "mailchimp"):
            return
        for effect in (*self.mailchimp.effects, *self.hubspot.effects):
            assert not effect["kind"].startswith(("member.", "object.", "property", "consent", "merge_field")), effect
        for write in self.mailchimp.writes:
            body = write.get("body") or {}
            assert "status" not in body and "members" not in body, "a subscription status, or a call that could create"
            assert write["method"] == "POST" and ("/segments" in write["path"] or write["path"].endswith("/tags"))

    def what_must_hold_after_a_push(self) -> None:
        for platform, segment in TARGETS:
            members = self.members(platform, segment)
            hands = {p for q, s, p in self.by_hand if (q, s) == (platform, segment)}
            assert hands <= members, "somebody's own tag was taken away"
            ours = members - hands
            for person in ours:
                assert person not in self.forgotten, "somebody who was forgotten carries a tag of ours"
                if segment == "Mail":
                    assert person not in self.said_no(), "somebody who said no carries a marketing tag of ours"
            if self.gone_ahead and self.object_id(platform, segment) is not None:
                assert ours | hands == self.expected(platform, segment) | hands
        with self.session("plan") as s:
            self.prepare(s)
            plan = planner.plan_derived(s, sync.resolved(self.config))
            for t in plan.targets:
                assert t.before + t.entered - t.left == t.after
                assert t.writable == (), "the plan after a clean push is not empty"
                assert t.before == len(self.members(t.target.platform, t.target.segment))

    def nothing_of_others_was_touched(self) -> None:
        for platform, segment, person in self.by_hand:
            assert person in self.members(platform, segment)

    def expected(self, platform: str, segment: str) -> set[str]:
        out = self.forgotten | (self.archived if platform == "mailchimp" else set())
        if segment == "Care":
            return self.wants["Care"] - out
        may = self.wants["Mail"] - out - self.said_no()
        return {p for p in may if self.asked[p]} if platform == "mailchimp" else may

    # ---- helpers

    def said_no(self) -> set[str]:
        return self.no["mailchimp"] | self.no["hubspot"]

    def platform(self, name: str) -> Any:
        return self.mailchimp if name == "mailchimp" else self.hubspot

    def session(self, command: str) -> Any:
        return Borrowed(self.store, self.config, command)

    def prepare(self, s: Session) -> None:
        """Pull, find who is who, and put the truth's members where the evaluator would."""
        sync.pull_all(s, streams=("members", "contacts"))
        assert not [p for p in s.problems if p.exit_code != 3], s.problems
        sync.identify(s)
        self.store.sql("DELETE FROM members")
        for segment, people in self.wants.items():
            for person in sorted(people):
                found = self.store.value("SELECT person_id FROM people WHERE email = ?", [f"{person}@shop.example"])
                assert (found is None) == (person in self.forgotten), "a forgotten person came back, or a known one is lost"
                if found is not None:
                    self.store.insert("members", [{"segment": segment, "person_id": found}])
        s.counts = [SegmentCount(n, 0, 0, 0, len(p)) for n, p in self.wants.items()]

    def run(self, first: bool) -> None:
        with self.session("push") as s:
            self.prepare(s)
            plan = planner.plan_derived(s, sync.resolved(self.config), with_go_ahead=first)
            writer.carry_out(s, plan, first=first)
            for t in plan.targets:
                assert t.before + t.entered - t.left == t.after
            for r in s.results:
                assert r.planned == sum(r.counts.values()) + r.not_sent
            if any(r.counts.get("done") for r in s.results):
                self.pushed.append(s.run_id)

    def object_id(self, platform: str, segment: str) -> str | None:
        name = OBJECTS[segment]
        if platform == "mailchimp":
            found = self.call("mailchimp", "GET", "/3.0/lists/a1b2c3d4e5/segments", {"count": ["1000"], "type": ["static"]})
            return next((str(x["id"]) for x in found["segments"] if x["name"] == name), None)
        found = self.call("hubspot", "POST", "/crm/lists/2026-09/all", body={"count": 500})
        return next((x["listId"] for x in found["results"] if x["name"] == name), None)

    def members(self, platform: str, segment: str) -> set[str]:
        object_id = self.object_id(platform, segment)
        if object_id is None:
            return set()
        if platform == "mailchimp":
            flags = {f"include_{k}": ["true"] for k in ("cleaned", "transactional", "unsubscribed")}
            path = f"/3.0/lists/a1b2c3d4e5/segments/{object_id}/members"
            found = self.call("mailchimp", "GET", path, {"count": ["1000"], **flags})
            return {m["email_address"].partition("@")[0] for m in found["members"]}
        found = self.call("hubspot", "GET", f"/crm/lists/2026-09/{object_id}/memberships", {"limit": ["250"]})
        return {self.hubspot_name(m["recordId"]) for m in found["results"]}

    def hubspot_name(self, record_id: str) -> str:
        found = self.call("hubspot", "GET", f"/crm/objects/2026-09/contacts/{record_id}", {"properties": ["email"]})
        return str(found["properties"]["email"].partition("@")[0])

    def in_ledger(self, platform: str, segment: str, person: str) -> bool:
        return bool(
            self.store.value(
                """SELECT count(*) FROM ledger l JOIN contacts c ON c.source = l.platform AND c.contact_id = l.contact_id
                   WHERE l.platform = ? AND l.segment = ? AND c.email = ?""",
                [platform, segment, f"{person}@shop.example"],
            )
        )

    def by_hand_call(self, platform: str, object_id: str, person: str, kind: str) -> None:
        address = f"{person}@shop.example"
        if platform == "mailchimp":
            key = "members_to_add" if kind == "add" else "members_to_remove"
            self.call("mailchimp", "POST", f"/3.0/lists/a1b2c3d4e5/segments/{object_id}", body={key: [address]})
            return
        found = self.call(
            "hubspot", "POST", "/crm/objects/2026-09/contacts/batch/read",
            body={"idProperty": "email", "properties": ["email"], "inputs": [{"id": address}]},
        )  # fmt: skip
        ids = [r["id"] for r in found["results"]]
        self.call("hubspot", "PUT", f"/crm/lists/2026-09/{object_id}/memberships/{kind}", body=ids)

    def call(self, platform: str, method: str, path: str, query: Any = None, body: Any = None) -> Any:
        """Somebody else's program, straight at the platform."""
        simulator = self.mailchimp if platform == "mailchimp" else self.hubspot
        headers = {**(MAILCHIMP if platform == "mailchimp" else HUBSPOT), "content-type": "application/json"}
        answer = simulator.handle(Request(method, path, query or {}, headers, orjson.dumps(body) if body is not None else b""))
        assert answer.status < 300, answer.body
        return orjson.loads(answer.body) if answer.body else None

    def teardown(self) -> None:
        self.mock.stop(allow_assert=False)
        self.folder.cleanup()


class Borrowed:
    """A session on a store in memory, which no other process could ever lock."""

    def __init__(self, store: Store, config: configuration.Config, command: str) -> None:
        when = as_of(None, config.shop.timezone)
        self.session = Session(config, store, runs.begin(store, command, when.day), when, Silent(), sleep=lambda _: None)

    def __enter__(self) -> Session:
        return self.session

    def __exit__(self, *_: object) -> None:
        runs.finish(self.session.store, self.session.run_id, self.session.exit_code, {})


def profile(examples: int) -> settings:
    """A history is printed as it was found: shrinking one takes longer than reading it."""
    return settings(
        max_examples=examples,
        stateful_step_count=6,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=examples <= QUICK,
        phases=(Phase.explicit, Phase.generate),
        print_blob=True,
    )


QUICK, NIGHTLY, CHAPTERS = 100, 5000, 10


@pytest.mark.timeout(1200)
class TestQuick(Laws.TestCase):
    settings = profile(QUICK)


class _Chapter(Laws.TestCase):
    """One of ten parts of the night's histories, so that all cores share them and a failure is seen early."""

    settings = profile(NIGHTLY // CHAPTERS)


for _n in range(CHAPTERS):
    _name = f"TestNightly{_n}"
    globals()[_name] = pytest.mark.timeout(3 * 3600)(pytest.mark.nightly(type(_name, (_Chapter,), {})))
del _Chapter  # what is left of it would be collected as an eleventh
