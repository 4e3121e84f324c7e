"""A simulated Mailchimp account (Marketing API 3.0) with state: one function from request to response."""

from __future__ import annotations

import base64
import binascii
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from connector.sandbox import (
    mailchimp_members,
    mailchimp_merge,
    mailchimp_reports,
    mailchimp_shop,
    mailchimp_tags,
    mailchimp_writes,
)
from connector.sandbox.base import Clock, Limits, Request, Response
from connector.sandbox.mailchimp_batches import RESULTS, Batches
from connector.sandbox.mailchimp_load import change_contact, load_shop
from connector.sandbox.mailchimp_state import Account, Journey, Switches, Tag, subscriber_hash
from connector.sandbox.mailchimp_wire import Call, Json, Problem, answer, not_found, shape
from connector.sandbox.shop import Shop

API_KEY = "0123456789abcdef0123456789abcdef-us1"
LIST_ID = "a1b2c3d4e5"
PREFIX = "/3.0"
CONTROL = "/control/"
AT_ONCE = 10  # per user, over all keys: https://mailchimp.com/developer/marketing/docs/fundamentals/#api-limits

Handler = Callable[[Account, Call], Response]

ROOT = shape(
    "account_id login_id account_name email first_name last_name username avatar_url role member_since pricing_plan_type"
    " first_payment account_timezone account_industry contact.* pro_enabled last_login total_subscribers industry_stats.*"
)
BLOCKED = b"<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD><BODY><H1>Access Denied</H1>Reference #18.0</BODY></HTML>"
BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
INVALID_KEY = "Your API key may be invalid, or you've attempted to access the wrong datacenter."
TRIGGERS = {
    "APIKeyMissing": (401, "API Key Missing"),
    "APIKeyInvalid": (401, "API Key Invalid"),
    "Forbidden": (403, "Forbidden"),
    "UserDisabled": (403, "User Disabled"),
    "ResourceNotFound": (404, "Resource Not Found"),
    "MethodNotAllowed": (405, "Method Not Allowed"),
    "TooManyRequests": (429, "TooManyRequests"),
    "InternalServerError": (500, "Internal Server Error"),
}


def root(account: Account, call: Call) -> Response:
    body: Json = {
        "account_id": "8d3a3db4d97663a9074efcc16",
        "login_id": "1",
        "account_name": account.name,
        "email": "",
        "first_name": "",
        "last_name": "",
        "username": "",
        "avatar_url": "",
        "role": "owner" if account.switches.can_write else "viewer",
        "member_since": account.created_at,
        "pricing_plan_type": "monthly",
        "first_payment": account.created_at,
        "account_timezone": account.timezone,
        "account_industry": "",
        "contact": {"company": account.name, "addr1": "", "addr2": "", "city": "", "state": "", "zip": "", "country": ""},
        "pro_enabled": False,
        "last_login": account.created_at,
        "total_subscribers": sum(each.count("subscribed") for each in account.audiences.values()),
        "industry_stats": {"open_rate": 0.2, "bounce_rate": 0.01, "click_rate": 0.02},
    }
    return answer(call, ROOT, body)


def ping(account: Account, call: Call) -> Response:
    return Response.json({"health_status": "Everything's Chimpy!"})


class Router:
    """Which handler a method and path belong to."""

    def __init__(self, routes: list[tuple[str, str, Handler]]) -> None:
        self._by_length: dict[int, list[tuple[str, list[str], Handler]]] = {}
        for method, pattern, handler in routes:
            parts = pattern.strip("/").split("/")
            self._by_length.setdefault(len(parts), []).append((method, parts, handler))

    def find(self, method: str, path: str) -> tuple[Handler, dict[str, str]]:
        """Problem 404 for an unknown path, 405 when only the method is wrong."""
        parts = path.strip("/").split("/")
        is_known = False
        for wanted, pattern, handler in self._by_length.get(len(parts), []):
            args = _match(pattern, parts)
            if args is None:
                continue
            if wanted == method:
                return handler, args
            is_known = True
        if is_known:
            detail = "The requested method and resource are not compatible. See the Allow header for available methods."
            raise Problem(405, "Method Not Allowed", detail)
        raise not_found()


def _match(pattern: list[str], parts: list[str]) -> dict[str, str] | None:
    args = {}
    for name, part in zip(pattern, parts, strict=True):
        if name.startswith("{"):
            if not part:
                return None
            args[name[1:-1]] = part
        elif name != part:
            return None
    return args


class MailchimpSimulator:
    """One account. `account` is its first audience, `add_audience` makes more; switches set its moods; writes holds every
    request that is no GET, with its answer; most_at_once is the largest number of requests there were at one time.

    Beside the API it answers to `/control/journeys` (GET; POST {"tag", "name", "reentry", "mails"}) and to `/control/foreign`:
    what another program in the same account reads (GET: tags, merge fields and status by address) and copies in (POST).

    effects logs what took effect, and repeats ("unchanged"): kinds are tag.add, tag.remove, segment.*, member.patch, .put,
    .create, .status, .archive, .erase, .event, merge_field.*, batch.create. contact is the md5 of the address.
    """

    name = "mailchimp"

    def __init__(self, clock: Clock, *, base_url: str = "", limits: Limits | None = None) -> None:
        self.clock = clock
        self.limits = limits or Limits()
        self.base_url = base_url or "http://sandbox.test/mailchimp"
        self.writes: list[Json] = []
        self._lock = threading.RLock()
        self._slots = threading.Lock()
        self._in_flight = self.most_at_once = 0
        self._instances = 0
        self._begin(Switches())

    def _begin(self, switches: Switches) -> None:
        self.account = Account(self.clock, LIST_ID, self.base_url)
        self.account.switches = switches
        self.batches = Batches(self.account, self._from_batch)
        own: list[tuple[str, str, Handler]] = [
            ("GET", "/", root),
            ("GET", "/ping", ping),
            ("GET", "/batches", self.batches.all),
            ("POST", "/batches", self.batches.create),
            ("GET", "/batches/{batch_id}", self.batches.one),
            ("DELETE", "/batches/{batch_id}", self.batches.delete),
        ]
        modules = (mailchimp_members, mailchimp_writes, mailchimp_merge, mailchimp_tags, mailchimp_reports, mailchimp_shop)
        self._router = Router(own + [route for module in modules for route in module.ROUTES])

    @property
    def switches(self) -> Switches:
        return self.account.switches

    @property
    def effects(self) -> list[Json]:
        return self.account.effects

    @effects.setter
    def effects(self, entries: list[Json]) -> None:
        for audience in self.account.audiences.values():
            audience.effects = entries

    @property
    def journeys(self) -> list[Journey]:
        return self.account.journeys

    def load(self, shop: Shop) -> None:
        """Replaces everything but the switches."""
        with self._lock:
            self._begin(self.switches)
            load_shop(self.account, shop)

    def add_audience(self, list_id: str, shop: Shop) -> Account:
        """Another audience in the same account, with contacts, campaigns and a store of its own."""
        with self._lock:
            audience = Account(self.clock, list_id, self.base_url, first=self.account)
            load_shop(audience, shop)
            return audience

    def delete_audience(self, list_id: str = LIST_ID) -> None:
        """As the owner does it in the app: every address of it answers 404, and no list shows it."""
        with self._lock:
            del self.account.audiences[list_id]

    def tag(self, name: str) -> Tag:
        """The tag of this name; KeyError when there is none."""
        found = self.account.tag_named(name)
        if found is None:
            raise KeyError(name)
        return found

    def add_journey(self, tag_name: str, *, name: str = "", reentry: bool = False, mails: int = 1) -> Journey:
        """As the owner builds it in the app: only on a tag that exists."""
        with self._lock:
            return self.account.add_journey(self.tag(tag_name).tag_id, name=name, reentry=reentry, mails=mails)

    def change(self, customer: str, set: dict[str, Any]) -> bool:
        """set may name the `audience`; without one it is the first."""
        with self._lock:
            wanted = dict(set)
            account = self.account.audiences[wanted.pop("audience", self.account.list_id)]
            uid = account.by_customer.get(customer) or account.by_hash.get(subscriber_hash(customer))
            if uid is None:
                return False
            change_contact(account, account.members[uid], wanted)
            return True

    def dump(self) -> dict[str, Any]:
        """Contacts by md5, tags by name with the addresses in them, and journeys; no times."""
        with self._lock:
            account = self.account
            members = {
                member.wire["id"]: {
                    "customer_id": member.customer_id,
                    "email_address": member.wire["email_address"],
                    "status": member.wire["status"],
                    "merge_fields": {name: value for name, value in sorted(member.wire["merge_fields"].items()) if value != ""},
                    "tags": sorted(account.tags[tag_id].name for tag_id in member.tags),
                }
                for member in account.members.values()
            }
            tags = {tag.name: self._dump_tag(tag) for tag in account.tags.values()}
            return {
                "members": dict(sorted(members.items())),
                "tags": dict(sorted(tags.items())),
                "merge_fields": sorted(merge["tag"] for merge in account.merge_fields),
                "forgotten": sorted(account.forgotten),
                "journeys": [journey.shown() for journey in account.journeys],
                "mails_sent": sum(journey.mails_sent for journey in account.journeys),
            }

    def _dump_tag(self, tag: Tag) -> Json:
        members = sorted(self.account.members[uid].wire["email_address"] for uid in tag.members)
        return {"id": tag.tag_id, "type": tag.kind, "members": members}

    def handle(self, request: Request) -> Response:
        with self._slots:
            self._in_flight += 1
            self.most_at_once = max(self.most_at_once, self._in_flight)
            busy = self._in_flight + self.switches.held_slots
        try:
            if self.switches.latency_s:
                time.sleep(self.switches.latency_s)
            if self.limits.on and busy > AT_ONCE:
                return Response(429)
            with self._lock:
                return self._answer(request)
        finally:
            with self._slots:
                self._in_flight -= 1

    def _answer(self, request: Request) -> Response:
        now = self.clock()
        if request.path.startswith(RESULTS):
            return self.batches.download(request, now)
        if request.path.startswith(CONTROL):
            return self._control(request)
        mood = self.switches.break_next.pop(0) if self.switches.break_next else ""
        if mood == "429":
            return Response(429)
        if mood == "403":
            return Response(403, {"Content-Type": "text/html"}, BLOCKED)
        response = self._guarded(request, now, is_outside=True)
        return Response(502, {"Content-Type": "text/html"}, BAD_GATEWAY) if mood == "502" else response

    def _control(self, request: Request) -> Response:
        """For tests and demonstrations; the real platform has nothing like it."""
        name, is_write = request.path.removeprefix(CONTROL), request.method == "POST"
        body = orjson.loads(request.body) if is_write else {}
        if name == "journeys":
            if is_write:
                found = self.account.tag_named(str(body.get("tag") or ""))
                if found is None:
                    return Response.json({"error": "there is no such tag; a journey can only wait for one that exists"}, 404)
                options = {key: body[key] for key in ("name", "reentry", "mails") if key in body}
                self.account.add_journey(found.tag_id, **options)
            return Response.json([journey.shown() for journey in self.account.journeys])
        if name == "foreign":
            copied = [address for address, wanted in body.items() if self._copy_in(address, wanted)]
            return Response.json({"copied": len(copied)} if is_write else self._shown_to_others())
        return Response.json({"error": f"there is no {request.path}"}, 404)

    def _copy_in(self, address: str, wanted: Json) -> bool:
        """Another program writes tags (added to those there are), merge_fields and status of one contact."""
        uid = self.account.by_hash.get(subscriber_hash(address))
        if uid is None:
            return False
        member = self.account.members[uid]
        mine = [self.account.tags[tag_id].name for tag_id in member.tags]
        changes: Json = {key: wanted[key] for key in ("merge_fields", "status") if key in wanted}
        if "tags" in wanted:
            changes["tags"] = [*mine, *(name for name in wanted["tags"] if name not in mine)]
        change_contact(self.account, member, changes)
        self.account.log("foreign.copy", ", ".join(sorted(wanted)), member.wire["id"], "copied")
        return True

    def _shown_to_others(self) -> Json:
        shown = {}
        for member in self.account.members.values():
            tags = sorted(self.account.tags[tag_id].name for tag_id in member.tags)
            wire = member.wire
            shown[wire["email_address"]] = {"status": wire["status"], "tags": tags, "merge_fields": wire["merge_fields"]}
        return shown

    def _from_batch(self, request: Request) -> Response:
        return self._guarded(replace(request, path=PREFIX + request.path), self.clock(), is_outside=False)

    def _guarded(self, request: Request, now: datetime, *, is_outside: bool) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        try:
            if is_outside:
                _check_key(request, is_revoked=self.switches.is_revoked)
                method = _overridden(request, method)
            response = self._dispatch(request, method, now)
        except Problem as problem:
            self._instances += 1
            response = problem.response(str(uuid.UUID(int=self._instances)))
        if method != "GET":
            self._note(request, method, response)
        return response

    def _dispatch(self, request: Request, method: str, now: datetime) -> Response:
        if request.path != PREFIX and not request.path.startswith(PREFIX + "/"):
            raise not_found()
        handler, args = self._router.find(method, request.path[len(PREFIX) :])
        if method != "GET" and not self.switches.can_write:
            raise Problem(403, "Forbidden", "You don't have permission to access this resource.")
        return handler(self._owner(args), Call(request, args, now))

    def _owner(self, args: dict[str, str]) -> Account:
        """The audience a path is about: by its own id, its campaign's or its store's; else the first."""
        audiences = self.account.audiences
        if args.get("list_id") in audiences:
            return audiences[args["list_id"]]
        for audience in audiences.values():
            has_store = audience.store is not None and audience.store.info["id"] == args.get("store_id")
            if has_store or args.get("campaign_id") in audience.campaigns:
                return audience
        return self.account

    def _note(self, request: Request, method: str, response: Response) -> None:
        try:
            body = orjson.loads(request.body) if request.body else None
        except orjson.JSONDecodeError:
            body = None
        self.writes.append({"method": method, "path": request.path, "body": body, "status": response.status})


def _missing() -> Problem:
    return Problem(401, "API Key Missing", "Your request did not include an API key.")


def _check_key(request: Request, *, is_revoked: bool) -> None:
    """Basic with any name, or Bearer. A key of another data centre is as wrong as one that does not exist."""
    trigger = request.headers.get("x-trigger-error", "")
    if trigger:
        status, title = TRIGGERS.get(trigger, (400, "Bad Request"))
        raise Problem(status, title, "This error was triggered on request.")
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if not value.strip():
        raise _missing()
    key = value.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    elif scheme.lower() != "bearer":
        raise _missing()
    host = re.match(r"(\w+)\.api\.mailchimp\.com", request.headers.get("host", ""))
    if is_revoked or key != API_KEY or (host and host[1] != API_KEY.rpartition("-")[2]):
        raise Problem(401, "API Key Invalid", INVALID_KEY)


def _overridden(request: Request, method: str) -> str:
    wanted = request.headers.get("x-http-method-override", "").upper()
    if not wanted:
        return method
    if method != "POST":
        raise Problem(422, "Unprocessable Entity", "X-HTTP-Method-Override works with POST only.")
    return wanted
