"""The simulated Shopify Admin API: one function from request to response, with a shop behind it.

Documents are parsed, validated against schema/shopify.graphql and resolved generically; no query text is recognised.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import orjson

from connector.sandbox import shopify_state as state
from connector.sandbox.base import Clock, Limits, Request, Response
from connector.sandbox.shop import Shop
from connector.sandbox.shopify_bulk import Job
from connector.sandbox.shopify_fields import TABLES, type_of
from connector.sandbox.shopify_graphql import Engine
from connector.sandbox.shopify_lists import WALL
from connector.sandbox.shopify_objects import CustomerNode, World, build
from connector.sandbox.shopify_request import Context, Operation, Refused
from connector.sandbox.shopify_roots import QUERIES, STORE, VERSIONS, supported
from connector.sandbox.shopify_state import change_customer, dump, lists, merge
from connector.sandbox.shopify_upload import receive
from connector.sandbox.shopify_writes import MUTATIONS

NEWEST = "2026-10"
TOKEN = "shpat_sandbox"  # noqa: S105  # the sandbox's own, opens nothing else
CLIENT = ("sandbox-client", "sandbox-secret")
SCOPES = frozenset(("read_customers", "write_customers", "read_orders", "read_all_orders", "read_products"))
NEEDS = {
    "Customer": "read_customers",
    "CustomerSegmentMember": "read_customers",
    "Segment": "read_customers",
    "Order": "read_orders",
    "Refund": "read_orders",
    "AbandonedCheckout": "read_orders",
    "Product": "read_products",
    "ProductVariant": "read_products",
    "Collection": "read_products",
    ".customersCount": "read_customers",
    ".ordersCount": "read_orders",
    ".abandonedCheckoutsCount": "read_orders",
    ".productsCount": "read_products",
    ".collectionsCount": "read_products",
}
BUCKET = 2000.0
RESTORE = 100.0
MOST_EXPENSIVE = 1000
BAD_TOKEN = "[API] Invalid API key or access token (unrecognized login or wrong password)"  # noqa: S105  # a message
RATE_LIMITS = "https://shopify.dev/api/usage/rate-limits"


@dataclass
class Switches:
    """What a test can turn. index_lag_s: how long searches still see old tags. bulk_polls: looks until a job ends.
    fail_bulk: how many jobs end badly, with the error code fail_bulk_with, or in the state CANCELED or EXPIRED.

    automations: tag -> mails that a Flow automation starts for each customer who gets it, each time anew; for tags in
    automations_once only the first time. grant: why client credentials are refused ("" gives a token). renamed_to: another
    host that all requests are sent to. lifetime_s of a granted token. is_revoked: no token is taken any more. denied: root
    lists that this token may not see, denied_fields: fields (Order.email) it may not. shop_number: another one is another
    shop's token. count_ceiling: counts say 'at least' above it (0: never). members_at_once: larger segments must be prepared
    before they are read. fail_bulk: so many exports end as fail_bulk_with says (an error code, CANCELED). frozen_with: the
    status of a frozen shop. definition_room: so many definitions of customer metafields may be made. hides_closed: a list of
    checkouts without a status shows the open ones only.
    """

    is_frozen: bool = False
    frozen_with: int = 402
    renamed_to: str = ""
    blank_personal_data: bool = False
    scopes: frozenset[str] | list[str] = SCOPES
    index_lag_s: float = 0.0
    bulk_polls: int = 1
    fail_bulk: int = 0
    fail_bulk_with: str = "INTERNAL_SERVER_ERROR"
    grant: str = ""
    lifetime_s: int = 86_399
    automations: dict[str, int] = field(default_factory=dict)
    automations_once: list[str] = field(default_factory=list)
    is_revoked: bool = False
    denied: list[str] = field(default_factory=list)
    denied_fields: list[str] = field(default_factory=list)
    hides_closed: bool = False
    shop_number: int = 60_000_000_001
    count_ceiling: int = 0
    members_at_once: int = 10_000
    definition_room: int = 250


UNLIMITED = 10_000


class ShopifySimulator:
    """Shopify with one shop. clock: server time, naive UTC. base_url: where result files and uploads are reached."""

    name = "shopify"

    def __init__(self, clock: Clock, *, base_url: str = "", limits: Limits | None = None) -> None:
        self.clock = clock
        self.base_url = base_url
        self.limits = limits or Limits()
        self.switches = Switches()
        self.effects: list[dict[str, Any]] = []
        self.mails_started = 0
        self.world = World(clock())
        self.world_name, self.currency, self.timezone = "Empty shop", "EUR", "UTC"
        self.segments: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, Job] = {}
        self.definitions: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, bytes] = {}
        self.expected_uploads: set[str] = set()
        self.tokens: dict[str, datetime | None] = {TOKEN: None}
        self.version = NEWEST
        self.engines: dict[str, Engine] = {}
        self.member_queries: dict[str, dict[str, Any]] = {}
        self.lagged_until: datetime | None = None
        self.entered: set[tuple[str, str]] = set()
        self.lists = lists(self)
        self._lock = threading.RLock()
        self._numbers = 0
        self._level, self._level_at = BUCKET, clock()

    @property
    def engine(self) -> Engine:
        """What runs documents of the version that is being served."""
        if self.version not in self.engines:
            tables = {**TABLES, "QueryRoot": QUERIES, "Mutation": MUTATIONS}
            self.engines[self.version] = Engine(tables, NEEDS, type_of, self.version)
        return self.engines[self.version]

    @property
    def result_url(self) -> str:
        """Where files are fetched from and sent to: no token is wanted there."""
        return self.base_url or "https://storage.sandbox.example"

    def load(self, shop: Shop) -> None:
        with self._lock:
            self.world = build(shop)
            self.world_name, self.currency, self.timezone = shop.name, shop.currency, shop.timezone
            if not shop.history_scope:
                self.switches.scopes = SCOPES - {"read_all_orders"}
            self.lists = lists(self)

    def dump(self) -> dict[str, Any]:
        with self._lock:
            return dump(self)

    def change(self, customer: str, set: dict[str, Any]) -> bool:
        with self._lock:
            return change_customer(self, customer, set)

    def merge(self, keep: str, lose: str) -> None:
        """Merge two customers, named by customer_id: orders and tags move, the losing id is gone."""
        with self._lock:
            merge(self, keep, lose)

    def delete_product(self, product_id: str) -> None:
        with self._lock:
            state.delete_product(self, product_id)

    def delete_order(self, order_id: str) -> None:
        with self._lock:
            state.delete_order(self, order_id)

    def refund(self, order_id: str, amount: Decimal) -> None:
        with self._lock:
            state.refund(self, order_id, amount)

    def edit_order(self, order_id: str, place: int) -> None:
        """Take the line at this place out of an order."""
        with self._lock:
            state.edit_order(self, order_id, place)

    def handle(self, request: Request) -> Response:
        with self._lock:
            return self._answer(request)

    def _answer(self, request: Request) -> Response:
        if request.path.startswith("/bulk/"):
            return self._file(request)
        if request.path == "/upload":
            return receive(self, request)
        if self.switches.renamed_to:
            return Response(301, {"Location": f"https://{self.switches.renamed_to}{request.path}"})
        if self.switches.is_frozen:
            return Response.json({"errors": "Unavailable Shop"}, self.switches.frozen_with)
        if request.path == "/admin/oauth/access_token":
            return self._grant(request)
        found = re.fullmatch(r"/admin/api/([^/]+)/graphql\.json", request.path)
        if found is None or not re.fullmatch(r"\d{4}-\d{2}|unstable", found.group(1)):
            return Response.json({"errors": "Not Found"}, 404)
        if request.method != "POST":
            return Response.json({"errors": "Method Not Allowed"}, 405)
        if not self._is_known(request.headers.get("x-shopify-access-token", "")):
            return Response.json({"errors": BAD_TOKEN}, 401)
        return self._graphql(request, _served(found.group(1)))

    def _is_known(self, token: str) -> bool:
        if token not in self.tokens or self.switches.is_revoked:
            return False
        until = self.tokens[token]
        return until is None or self.clock() < until

    def _grant(self, request: Request) -> Response:
        """Client credentials only: a token for 24 hours and no way to prolong it."""
        if request.headers.get("content-type", "").startswith("application/json"):
            given = {key: str(value) for key, value in orjson.loads(request.body or b"{}").items()}
        else:
            given = {key: values[-1] for key, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        if given.get("grant_type") != "client_credentials":
            return _oauth_error("unsupported_grant_type", "The grant type is not supported.")
        if (given.get("client_id"), given.get("client_secret")) != CLIENT:
            return _oauth_error("invalid_client", "The client id or secret is wrong.")
        if self.switches.grant:
            return _oauth_error(self.switches.grant, "Client credentials cannot be performed on this shop.")
        token = f"shpat_{self.next_number():08d}sandbox"
        self.tokens[token] = self.clock() + timedelta(seconds=self.switches.lifetime_s)
        scope = ",".join(sorted(self.switches.scopes))
        return Response.json({"access_token": token, "scope": scope, "expires_in": self.switches.lifetime_s})

    def _file(self, request: Request) -> Response:
        """A result file: whoever knows the address may read it."""
        for job in self.jobs.values():
            for suffix, body in ((".jsonl", job.body), ("-partial.jsonl", job.partial)):
                if request.path == f"/bulk/{job.file}{suffix}" and body and job.status != "EXPIRED":
                    return _ranged(request, body)
        return Response(404, {"Content-Type": "application/xml"}, b"<Error><Code>NoSuchKey</Code></Error>")

    def _graphql(self, request: Request, version: str) -> Response:
        headers = {"X-Shopify-API-Version": version}
        self.version = version
        try:
            body = orjson.loads(request.body)
            text, name, variables = body["query"], body.get("operationName") or "", body.get("variables") or {}
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return Response.json({"errors": {"query": "Required parameter missing or invalid"}}, 400, headers)
        try:
            answer = self.run(text, name, variables, frozenset(self.switches.scopes), is_charged=True)
        except Refused as e:
            answer = {"errors": e.errors}
        return Response.json(answer, 200, headers)

    def run(
        self, text: str, name: str, variables: dict[str, Any], scopes: frozenset[str], *, is_charged: bool = False
    ) -> dict[str, Any]:
        """Run one document. is_charged: against the bucket of points; lines of a bulk mutation are not."""
        operation, coerced, _ = self.engine.prepare(text, name, variables)
        ctx = Context(self, coerced, scopes, self.clock())
        requested = operation.price(ctx)
        if is_charged:
            refused = self._charge(requested)
            if refused is not None:
                return refused
        data = operation.run(None, ctx)
        answer: dict[str, Any] = {"data": data}
        if ctx.errors:
            answer["errors"] = ctx.errors
        if is_charged:
            answer["extensions"] = {"cost": self._refund(operation, ctx, requested)}
            if ctx.search:
                answer["extensions"]["search"] = ctx.search
        return answer

    def _charge(self, requested: int) -> dict[str, Any] | None:
        """Take the price out of the bucket; an answer when it cannot be paid."""
        if requested > MOST_EXPENSIVE:
            message = f"Query cost is {requested}, which exceeds the single query max cost limit ({MOST_EXPENSIVE})."
            extensions = {
                "code": "MAX_COST_EXCEEDED",
                "cost": requested,
                "maxCost": MOST_EXPENSIVE,
                "documentation": RATE_LIMITS,
            }
            return {"errors": [{"message": message, "extensions": extensions}]}
        now = self.clock()
        if not self.limits.on:
            self._level = BUCKET
        gained = (now - self._level_at).total_seconds() * RESTORE * self.limits.scale
        self._level, self._level_at = min(BUCKET, self._level + max(0.0, gained)), now
        if self._level < requested:
            cost = {"requestedQueryCost": requested, "actualQueryCost": None, "throttleStatus": self._status()}
            problem = {"message": "Throttled", "extensions": {"code": "THROTTLED", "documentation": RATE_LIMITS}}
            return {"errors": [problem], "extensions": {"cost": cost}}
        self._level -= requested
        return None

    def _refund(self, operation: Operation, ctx: Context, requested: int) -> dict[str, Any]:
        """Give back what the query did not use."""
        actual = min(requested, operation.price(ctx, ctx.root_rows) if ctx.root_rows else requested)
        self._level = min(BUCKET, self._level + requested - actual)
        return {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": self._status()}

    def _status(self) -> dict[str, Any]:
        """With the limits off the bucket is so large that nobody who paces himself by it ever waits."""
        if not self.limits.on:
            size = BUCKET * UNLIMITED
            return {"maximumAvailable": size, "currentlyAvailable": size, "restoreRate": RESTORE * UNLIMITED}
        return {
            "maximumAvailable": BUCKET,
            "currentlyAvailable": int(self._level),
            "restoreRate": RESTORE * self.limits.scale,
        }

    def wall(self, ctx: Context) -> datetime | None:
        """Orders made before this are not there without the scope for all of them."""
        return None if "read_all_orders" in ctx.scopes else ctx.now - WALL

    def new_job(self, kind: str, text: str) -> Job:
        number = 700_000_000_001 + self.next_number()
        job = Job(number, f"gid://shopify/BulkOperation/{number}", kind, text, self.clock(), self.switches.bulk_polls)
        self.jobs[job.id] = job
        return job

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def effect(self, kind: str, what: str, contact: str) -> None:
        row = {"at": self.clock().isoformat(), "kind": kind, "object": what, "contact": contact, "result": "done"}
        self.effects.append(row)

    def started(self, tag: str, customer: str) -> None:
        """Count the mails of an automation that starts on this tag, by its rule of re-entry."""
        entry = (tag.casefold(), customer)
        is_again = entry in self.entered and entry[0] in (t.casefold() for t in self.switches.automations_once)
        self.entered.add(entry)
        if not is_again:
            self.mails_started += next((n for t, n in self.switches.automations.items() if t.casefold() == entry[0]), 0)

    def customer(self, name: str) -> CustomerNode | None:
        """By the source's customer_id or by e-mail address."""
        return self.world.by_source.get(name) or self.world.by_email.get(name.strip().lower())


def _served(asked: str) -> str:
    """The version that answers: the one asked for, else the oldest supported one."""
    return asked if asked in {handle for handle, _ in VERSIONS} else supported()[0]


def _oauth_error(code: str, description: str) -> Response:
    return Response.json({"error": code, "error_description": description}, 400)


def _ranged(request: Request, body: bytes) -> Response:
    headers = {"Content-Type": "application/jsonl", "Accept-Ranges": "bytes"}
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if wanted is None:
        return Response(200, headers, body)
    start = int(wanted.group(1))
    stop = min(int(wanted.group(2)) + 1, len(body)) if wanted.group(2) else len(body)
    if start >= len(body):
        return Response(416, {"Content-Range": f"bytes */{len(body)}"})
    return Response(206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(body)}"}, body[start:stop])


__all__ = ["CLIENT", "SCOPES", "STORE", "TOKEN", "ShopifySimulator", "Switches"]
