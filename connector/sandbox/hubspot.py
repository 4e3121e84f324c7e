"""The simulated HubSpot: versions 2026-09 and 2026-03 of the API a customer sync needs, in memory.

Sections of `hubspot_*`: wire (routes and errors), settings (switches), limits, catalog, crm (records), objects and
search and writes, properties, lists and members, marketing, account, flows (workflows), load (from the shop).
"""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import quote, urlencode

from connector.sandbox.base import Clock, Limits, Request, Response
from connector.sandbox.hubspot_account import Account
from connector.sandbox.hubspot_active import ActiveLists
from connector.sandbox.hubspot_crm import Crm, Record
from connector.sandbox.hubspot_flows import Flows, Workflow
from connector.sandbox.hubspot_limits import Buckets
from connector.sandbox.hubspot_lists import Lists, StoredList
from connector.sandbox.hubspot_load import OPTED_IN, OPTED_OUT, consent_props, load, text_of
from connector.sandbox.hubspot_marketing import Marketing
from connector.sandbox.hubspot_members import Members
from connector.sandbox.hubspot_objects import ObjectReads
from connector.sandbox.hubspot_properties import Properties
from connector.sandbox.hubspot_search import Search
from connector.sandbox.hubspot_settings import Settings
from connector.sandbox.hubspot_wire import Call, Refusal, Route, Router
from connector.sandbox.hubspot_writes import ObjectWrites
from connector.sandbox.shop import Shop

SYNONYMS = {
    "first_name": "firstname",
    "last_name": "lastname",
    "region": "state",
    "postcode": "zip",
    "language": "hs_language",
    "job_title": "jobtitle",
}
HIDDEN_EMAIL_EVERY = 7
"""Every so many marketing e-mails, one is missing from the listing with statistics, as in the real account."""


class HubspotSimulator:
    """One function from request to response. `switches` turns what the sheet leaves open, and what can go wrong."""

    name = "hubspot"

    def __init__(self, clock: Clock, *, base_url: str = "", limits: Limits | None = None) -> None:
        self.clock = clock
        self.base_url = base_url
        self.switches = Settings()
        self.crm = Crm(clock, self.switches)
        self.effects: list[dict[str, Any]] = self.crm.effects
        self.lists = Lists(self.crm)
        self.flows = Flows(self.crm, self.lists)
        self.active = ActiveLists(self.crm, self.lists)
        self.marketing = Marketing(self.crm)
        self.buckets = Buckets(limits or Limits(), self.switches, lambda: self.account.timezone)
        self.account = Account(self.crm, self.buckets)
        self.customers: dict[str, int] = {}
        self._lock = threading.RLock()
        self._answers = 0
        self.router = self._routes()

    def _routes(self) -> Router:
        router, reads = Router(), ObjectReads(self.crm)
        areas = (reads, Search(self.crm, reads), ObjectWrites(self.crm), Properties(self.crm), self.lists)
        for area in (*areas, Members(self.crm, self.lists), self.marketing, self.account, self.flows):
            area.routes(router)
        return router

    def handle(self, request: Request) -> Response:
        with self._lock:
            self._answers += 1
            headers: dict[str, str] = {}
            try:
                self._enter(request)
                headers = self.buckets.count(_bucket(request), self.clock())
                route, call = self.router.find(request, self.clock())
                self._permit(route, call)
                response = route.handler(call)
            except Refusal as refusal:
                response = refusal.response(f"00000000-0000-4000-8000-{self._answers:012d}")
            return Response(response.status, {**headers, **response.headers}, response.body)

    def _enter(self, request: Request) -> None:
        if _url_length(request, self.switches.url_limit) > self.switches.url_limit:
            raise Refusal(414, "", "URI Too Long")
        wait_s = self.switches.moving_for_s
        if wait_s is not None:
            raise Refusal(477, "", "The account is being migrated", headers={"Retry-After": str(wait_s)})
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if "hapikey" in request.query:
            raise Refusal(401, "INVALID_AUTHENTICATION", "API keys are no longer supported. Use a bearer token.")
        if token in self.switches.expired_tokens:
            raise Refusal(401, "EXPIRED_AUTHENTICATION", "The token used to make the request is expired.")
        if scheme.lower() != "bearer" or token not in self.switches.tokens:
            raise Refusal(401, "INVALID_AUTHENTICATION", "Authentication credentials not found or not valid.")

    def _permit(self, route: Route, call: Call) -> None:
        for group in route.scopes(call):
            if not any(scope in self.switches.scopes for scope in group):
                raise Refusal(
                    403,
                    "MISSING_SCOPES",
                    "This app hasn't been granted all required scopes to make this call.",
                    errors=[
                        {
                            "message": "One or more of the following scopes are required.",
                            "context": {"requiredGranularScopes": list(group)},
                        }
                    ],
                )

    def load(self, shop: Shop) -> None:
        with self._lock:
            self.account.timezone, self.account.currency = shop.timezone, shop.currency
            self.crm.clear()
            self.lists.clear()
            self.flows.clear()
            self.active.watch()
            contacts = load(self.crm, shop)
            self.customers = {customer: record.id for customer, record in contacts.items()}
            self.marketing.load(
                shop.mailings, {customer: record.props.get("email", "") for customer, record in contacts.items()}
            )
            self.switches.emails_hidden_with_stats = {one.id for one in self.marketing.emails[::-HIDDEN_EMAIL_EVERY]}

    def dump(self) -> dict[str, Any]:
        """Without times: two runs that did the same have the same dump."""
        with self._lock:
            definitions = self.crm.catalog.properties["contacts"].values()
            custom = {d.name: sorted(d.values()) for d in definitions if not d.hubspot_defined and d.archived_at is None}
            return {
                "objects": self.crm.dump(),
                "lists": self.lists.dump(),
                "properties": dict(sorted(custom.items())),
                "mails_sent": self.flows.sent,
            }

    def contact(self, customer: str) -> Record | None:
        """The live contact of a customer_id or an e-mail address; for tests."""
        table = self.crm.tables["contacts"]
        if customer in self.customers:
            return table.resolve(str(self.customers[customer]))
        return table.live.get(self.crm.emails.get(customer.lower(), -1))

    def change(self, customer: str, set: dict[str, Any]) -> bool:
        """Besides values: consent (or status), archived, deleted, erased, restored (true), merge (another customer)."""
        with self._lock:
            if set.get("restored") or set.get("archived") is False:
                return self._restore(customer)
            record = self.contact(customer)
            if record is None:
                return False
            values = self._values(set)
            if values:
                self.crm.update("contacts", record, values)
            if set.get("merge"):
                return self.merge(customer, str(set["merge"])) is not None
            if set.get("erased"):
                self.crm.gdpr_delete(record)
            elif set.get("archived") or set.get("deleted"):
                self.crm.archive("contacts", record)
            return True

    def _restore(self, customer: str) -> bool:
        record = self.crm.tables["contacts"].archived.get(self.customers.get(customer, -1))
        if record is not None:
            self.crm.restore("contacts", record)
        return record is not None

    def _values(self, given: dict[str, Any]) -> dict[str, str | None]:
        """Names HubSpot does not know are passed over: the same change goes to all platforms."""
        values: dict[str, str | None] = {}
        for key, value in given.items():
            name = SYNONYMS.get(key, key)
            if key in ("consent", "status"):
                values |= self._answer(value)
            elif self.crm.catalog.find("contacts", name):
                values[name] = None if value in (None, "") else text_of(value)
        return values

    def _answer(self, given: Any) -> dict[str, str | None]:
        word = str(given.get("hubspot", "") if isinstance(given, dict) else given).lower()
        if word in ("cleaned", "bounced", "dead"):
            return {"hs_email_quarantined": "true", "hs_email_hard_bounce_reason_enum": "UNKNOWN_USER"}
        return consent_props(word) if word in (*OPTED_IN, *OPTED_OUT, "not_specified") else {}

    def merge(self, primary: str, secondary: str) -> Record | None:
        """Merge two customers' contacts as a person would; None when one is not there."""
        with self._lock:
            first, second = self.contact(primary), self.contact(secondary)
            if first is None or second is None or first is second:
                return None
            return self.crm.merge("contacts", first, second)

    def add_workflow(self, workflow: Workflow) -> Workflow:
        self.flows.workflows.append(workflow)
        return workflow

    def add_list(
        self,
        name: str,
        processing: str = "DYNAMIC",
        customers: tuple[str, ...] = (),
        *,
        filters: dict[str, Any] | None = None,
    ) -> StoredList:
        """A list somebody made in HubSpot's own pages. filters: of an active one, which fills itself with whom they mean."""
        found = [self.contact(customer) for customer in customers]
        made = self.lists.add_list(name, processing, [record.id for record in found if record])
        made.filters = filters
        for contact in sorted(self.crm.tables["contacts"].live) if filters else ():
            self.active.look(contact)
        return made


def _bucket(request: Request) -> str:
    if request.path.startswith("/crm/objects/") and request.path.endswith("/search"):
        return "search"
    return "associations" if request.path.startswith("/crm/associations/") else "other"


def _url_length(request: Request, most: int) -> int:
    """As sent: with the query percent-encoded."""
    raw = len(request.path) + sum(len(name) + len(value) + 2 for name, values in request.query.items() for value in values)
    if raw * 3 <= most:
        return raw
    return len(quote(request.path)) + 1 + len(urlencode(request.query, doseq=True))
