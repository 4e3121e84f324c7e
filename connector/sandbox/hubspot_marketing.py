"""Marketing e-mails, the old e-mail events, and communication preferences over HTTP. Sheet 6."""

from __future__ import annotations

import base64
import binascii
import bisect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connector.sandbox.base import Response
from connector.sandbox.hubspot_catalog import SUBSCRIPTIONS
from connector.sandbox.hubspot_crm import Crm, Record
from connector.sandbox.hubspot_values import BadValue, moment
from connector.sandbox.hubspot_wire import Call, Json, Refusal, Router, answer, invalid, iso, needs, not_found, to_ms
from connector.sandbox.shop import Mailing

EVENT_TYPES = (
    *("SENT", "DROPPED", "PROCESSED", "DELIVERED", "DEFERRED", "BOUNCE", "OPEN", "CLICK", "PRINT", "FORWARD"),
    *("STATUSCHANGE", "SPAMREPORT", "SUPPRESSED", "UNBOUNCE"),
)
CONTENT = needs(("content", "marketing.email.read"))
PREFERENCES = needs(("communication_preferences.read", "communication_preferences.read_write", "subscriptions-status-read"))
PREFERENCES_WRITE = needs(("communication_preferences.write", "communication_preferences.read_write"))


@dataclass
class StoredEmail:
    id: str
    campaign: int
    mailing: Mailing
    counters: dict[str, int]
    archived: bool = False


@dataclass(slots=True)
class Event:
    """`filtered` ones come from machines."""

    created: int
    number: int
    type: str
    recipient: str
    campaign: int
    filtered: bool = False
    more: Json = field(default_factory=dict)


class Marketing:
    def __init__(self, crm: Crm) -> None:
        self.crm = crm
        self.clear()

    def clear(self) -> None:
        self.emails: list[StoredEmail] = []
        self._addresses: dict[str, str] = {}
        self._events: list[Event] | None = None

    def routes(self, router: Router) -> None:
        router.add("GET", "/marketing/emails/{v}", self.all, CONTENT)
        router.add("GET", "/marketing/emails/{v}/{id}", self.one, CONTENT)
        router.add("GET", "/marketing/emails/{v}/statistics/list", self.statistics, CONTENT)
        router.add("GET", "/email/public/v1/events", self.events, needs(("content",)))
        base = "/communication-preferences/{v}"
        router.add("GET", base + "/definitions", self.definitions, PREFERENCES)
        router.add("GET", base + "/statuses/{email}", self.statuses, PREFERENCES)
        router.add("POST", base + "/statuses/{email}", self.set_status, PREFERENCES_WRITE)
        router.add("GET", base + "/statuses/{email}/unsubscribe-all", self.all_out, PREFERENCES)
        router.add("POST", base + "/statuses/{email}/unsubscribe-all", self.leave_all, PREFERENCES_WRITE)
        for name in ("read", "write", "unsubscribe-all", "unsubscribe-all/read"):
            router.add("POST", f"{base}/statuses/batch/{name}", self.enterprise_only, needs())

    def load(self, mailings: list[Mailing], addresses: dict[str, str]) -> None:
        """addresses: customer_id -> e-mail address of everybody who is a contact here; others were never mailed from here."""
        self.clear()
        self._addresses = addresses
        for number, mailing in enumerate(sorted(mailings, key=lambda one: one.sent_at)):
            self.emails.append(StoredEmail(str(7_000_001 + number), 9_000_001 + number, mailing, _counters(mailing, addresses)))

    def _render(self, email: StoredEmail, with_stats: bool) -> Json:
        mailing = email.mailing
        body: Json = {
            "id": email.id,
            "name": mailing.title,
            "subject": mailing.subject,
            "type": "BATCH_EMAIL",
            "state": "PUBLISHED",
            "isPublished": True,
            "archived": email.archived,
            "publishDate": iso(mailing.sent_at),
            "publishedAt": iso(mailing.sent_at),
            "createdAt": iso(mailing.sent_at),
            "updatedAt": iso(mailing.sent_at),
            "primaryEmailCampaignId": str(email.campaign),
            "allEmailCampaignIds": [str(email.campaign)],
            "to": {"contactIlsLists": {"include": [], "exclude": []}, "contactIds": {"include": [], "exclude": []}},
            "subscriptionDetails": {"subscriptionId": next(iter(SUBSCRIPTIONS))},
        }
        if with_stats:
            body["stats"] = _stats(email.counters)
        return body

    def all(self, call: Call) -> Response:
        """With includeStats some e-mails are left out without a word; archived ones need a query of their own."""
        limit = call.number("limit", 10, 100)
        with_stats = call.flag("includeStats")
        found = [one for one in self.emails if one.archived == call.flag("archived")]
        if call.text("updatedAfter"):
            after = _time(call.text("updatedAfter"), "updatedAfter")
            found = [one for one in found if one.mailing.sent_at > after]
        if call.text("isPublished") == "false":
            found = []
        if with_stats:
            found = [one for one in found if one.id not in self.crm.settings.emails_hidden_with_stats]
        start = _place(call.text("after"))
        page: Json = {
            "total": len(found),
            "results": [self._render(one, with_stats) for one in found[start : start + limit]],
        }
        if start + limit < len(found):
            page["paging"] = {"next": {"after": _mark(start + limit)}}
        return answer(page)

    def one(self, call: Call) -> Response:
        for email in self.emails:
            if email.id == call.parts["id"]:
                return answer(self._render(email, call.flag("includeStats")))
        raise not_found()

    def statistics(self, call: Call) -> Response:
        start, end = _time(call.text("startTimestamp"), "startTimestamp"), _time(call.text("endTimestamp"), "endTimestamp")
        wanted = set(call.names("emailIds"))
        found = [one for one in self.emails if start <= one.mailing.sent_at <= end and (not wanted or one.id in wanted)]
        total: Counter[str] = Counter()
        for one in found:
            total.update(one.counters)
        by_campaign = {str(one.campaign): _stats(one.counters) for one in found}
        return answer(
            {"aggregate": _stats(dict(total)), "campaignAggregations": by_campaign, "emails": [int(one.id) for one in found]}
        )

    def _all_events(self) -> list[Event]:
        """Made on the first call: there may be millions."""
        if self._events is None:
            made = [event for email in self.emails for event in _events(email, self._addresses)]
            self._events = sorted(made, key=lambda event: (event.created, event.number))
        return self._events

    def events(self, call: Call) -> Response:
        """Newest first. `offset` is opaque and only given while there is more."""
        if self.crm.settings.email_events_ended:
            raise not_found()
        if bool(call.text("appId")) != bool(call.text("campaignId")):
            raise invalid("appId and campaignId must be given together")
        kind = call.text("eventType")
        if kind and kind not in EVENT_TYPES:
            raise invalid(f"Unknown event type {kind}")
        limit = call.number("limit", 100, 1000)
        found = self._all_events()
        low = bisect.bisect_left(found, _stamp(call, "startTimestamp", 0), key=lambda event: event.created)
        high = bisect.bisect_right(found, _stamp(call, "endTimestamp", 1 << 62), key=lambda event: event.created)
        wanted = _event_filter(call, kind)
        shown: list[Event] = []
        place = high - 1 - _place(call.text("offset"))
        while place >= low and len(shown) <= limit:
            if wanted(found[place]):
                shown.append(found[place])
            place -= 1
        has_more = len(shown) > limit
        page: Json = {"hasMore": has_more, "events": [self._render_event(event) for event in shown[:limit]]}
        if has_more:
            page["offset"] = _mark(high - 1 - (place + 1))
        return answer(page)

    def _render_event(self, event: Event) -> Json:
        return {
            "appName": "Batch",
            "appId": 113,
            "portalId": self.crm.settings.portal_id,
            "id": f"00000000-0000-4000-8000-{event.number:012d}",
            "created": event.created,
            "type": event.type,
            "recipient": event.recipient,
            "emailCampaignId": event.campaign,
            "filteredEvent": event.filtered,
            **event.more,
        }

    def definitions(self, call: Call) -> Response:
        rows = [
            {
                "id": key,
                "name": name,
                "description": "",
                "isActive": True,
                "isDefault": True,
                "isInternal": False,
                "purpose": "Marketing",
                "communicationMethod": "Email",
            }
            for key, name in SUBSCRIPTIONS.items()
        ]
        return answer({"status": "COMPLETE", "results": rows, "startedAt": iso(call.at), "completedAt": iso(call.at)})

    def _record(self, call: Call) -> Record | None:
        return self.crm.by_property("contacts", "email", call.parts["email"])

    def statuses(self, call: Call) -> Response:
        if call.text("channel") != "EMAIL":
            raise invalid("channel must be EMAIL")
        record = self._record(call)
        rows = [
            {
                "channel": "EMAIL",
                "subscriptionId": int(key),
                "subscriptionName": name,
                "status": _status(record, f"hs_email_optout_{key}"),
                "businessUnitId": 0,
            }
            for key, name in SUBSCRIPTIONS.items()
        ]
        return answer({"status": "COMPLETE", "results": rows, "startedAt": iso(call.at), "completedAt": iso(call.at)})

    def all_out(self, call: Call) -> Response:
        out = _status(self._record(call), "hs_email_optout") == "UNSUBSCRIBED"
        row = {"channel": "EMAIL", "wideStatusType": "PORTAL_WIDE", "status": "UNSUBSCRIBED" if out else "NOT_SPECIFIED"}
        return answer({"status": "COMPLETE", "results": [row]})

    def set_status(self, call: Call) -> Response:
        """Exists so that a test can see that nobody changes a person's answer."""
        body, record = call.object(), self._record(call)
        word, key = str(body.get("statusState")), str(body.get("subscriptionId"))
        if key not in SUBSCRIPTIONS or word not in ("SUBSCRIBED", "UNSUBSCRIBED"):
            raise invalid("subscriptionId and statusState SUBSCRIBED or UNSUBSCRIBED are needed")
        if record is not None:
            self.crm.update("contacts", record, {f"hs_email_optout_{key}": "true" if word == "UNSUBSCRIBED" else "false"})
            self.crm.effect("consent.set", key, str(record.id), word)
        return answer({"status": "COMPLETE", "results": [{"subscriptionId": int(key), "status": word}]})

    def leave_all(self, call: Call) -> Response:
        record = self._record(call)
        if record is not None:
            self.crm.update("contacts", record, {"hs_email_optout": "true"})
            self.crm.effect("consent.set", "all", str(record.id), "UNSUBSCRIBED")
        return answer({"status": "COMPLETE", "results": []})

    def enterprise_only(self, call: Call) -> Response:
        raise Refusal(403, "MISSING_SUBSCRIPTION", "This call needs a Marketing Hub Enterprise subscription.")


def _status(record: Record | None, name: str) -> str:
    if record is None:
        return "NOT_SPECIFIED"
    if record.props.get("hs_email_optout") == "true":
        return "UNSUBSCRIBED"
    return {"true": "UNSUBSCRIBED", "false": "SUBSCRIBED"}.get(record.props.get(name, ""), "NOT_SPECIFIED")


def _counters(mailing: Mailing, known: dict[str, str]) -> dict[str, int]:
    """Opens and clicks count people, as HubSpot's counters do."""
    sent = [c for c in mailing.recipients if c in known]
    bounced = [c for c, _, _ in mailing.bounces if c in known]
    return {
        "sent": len(sent),
        "delivered": len(sent) - len(bounced),
        "open": len({c for c, _, _ in mailing.opens if c in known}),
        "click": len({c for c, _, _ in mailing.clicks if c in known}),
        "bounce": len(bounced),
        "hardbounced": sum(kind == "hard" for c, _, kind in mailing.bounces if c in known),
        "unsubscribed": sum(c in known for c, _, _ in mailing.unsubscribes),
        "reply": 0,
        "spamreport": 0,
    }


def _stats(counters: dict[str, int]) -> Json:
    delivered = counters.get("delivered", 0)
    ratios = {f"{name}ratio": 100 * counters.get(name, 0) / delivered if delivered else 0.0 for name in ("open", "click")}
    return {"counters": counters, "ratios": ratios, "deviceBreakdown": {}, "qualifierStats": {}}


def _events(email: StoredEmail, known: dict[str, str]) -> list[Event]:
    """Every event of one mailing. Their numbers hold the campaign, so they are unique and stay the same."""
    mailing, made = email.mailing, list[Event]()
    bounced = {customer for customer, _, _ in mailing.bounces}

    def add(customer: str, at: datetime, kind: str, filtered: bool = False, **more: Any) -> None:
        if customer in known:
            number = (email.campaign - 9_000_000) * 10_000_000 + len(made)
            made.append(Event(to_ms(at), number, kind, known[customer], email.campaign, filtered, more))

    for customer in mailing.recipients:
        add(customer, mailing.sent_at, "SENT")
        if customer not in bounced:
            add(customer, mailing.sent_at, "DELIVERED")
    for customer, at, is_machine in mailing.opens:
        add(customer, at, "OPEN", is_machine, duration=1200)
    for customer, at, url in mailing.clicks:
        add(customer, at, "CLICK", url=url)
    for customer, at, kind in mailing.bounces:
        add(customer, at, "BOUNCE", category="UNKNOWN_USER" if kind == "hard" else "MAILBOX_FULL", status="5.1.1")
    for customer, at, _ in mailing.unsubscribes:
        add(customer, at, "STATUSCHANGE", source="SOURCE_RECIPIENT", portalSubscriptionStatus="UNSUBSCRIBED")
    return made


def _event_filter(call: Call, kind: str) -> Callable[[Event], bool]:
    recipient, campaign = call.text("recipient").lower(), call.text("campaignId")
    no_machines = call.flag("excludeFilteredEvents")

    def wanted(event: Event) -> bool:
        if kind not in ("", event.type) or recipient not in ("", event.recipient.lower()):
            return False
        return campaign in ("", str(event.campaign)) and not (no_machines and event.filtered)

    return wanted


def _stamp(call: Call, name: str, default: int) -> int:
    text = call.text(name)
    if text and not text.isdigit():
        raise invalid(f"{name} must be epoch milliseconds")
    return int(text) if text else default


def _time(text: str, name: str) -> datetime:
    try:
        return moment(text)
    except BadValue:
        raise invalid(f"{name} must be a time") from None


def _mark(place: int) -> str:
    return base64.urlsafe_b64encode(f"at:{place}".encode()).decode()


def _place(mark: str) -> int:
    if not mark:
        return 0
    try:
        return int(base64.urlsafe_b64decode(mark.encode()).decode().removeprefix("at:"))
    except (ValueError, binascii.Error):
        raise invalid("The cursor is not valid") from None
