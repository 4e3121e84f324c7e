"""The account itself over HTTP: details, usage, owners, pipelines. Sheet 2.1, 5 and 10."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from zoneinfo import ZoneInfo

from connector.sandbox.base import Response
from connector.sandbox.hubspot_crm import Crm
from connector.sandbox.hubspot_limits import Buckets
from connector.sandbox.hubspot_load import ORDER_PIPELINE
from connector.sandbox.hubspot_settings import TIERS
from connector.sandbox.hubspot_wire import EPOCH, Call, Json, Router, answer, iso, needs, not_found

PIPELINE_SCOPES = {
    "orders": ("crm.objects.orders.read", "crm.pipelines.orders.read"),
    "deals": ("crm.objects.deals.read", "crm.schemas.deals.read"),
    "tickets": ("tickets", "crm.objects.tickets.read"),
}
_STAGES: dict[str, list[tuple[str, str, dict[str, str]]]] = {
    "orders": [
        ("open", "Open", {"state": "OPEN"}),
        ("processed", "Processed", {"state": "OPEN"}),
        ("shipped", "Shipped", {"state": "OPEN"}),
        ("delivered", "Delivered", {"state": "CLOSED"}),
        ("cancelled", "Cancelled", {"state": "CLOSED"}),
    ],
    "deals": [
        ("appointmentscheduled", "Appointment scheduled", {"isClosed": "false", "probability": "0.2"}),
        ("contractsent", "Contract sent", {"isClosed": "false", "probability": "0.9"}),
        ("closedwon", "Closed won", {"isClosed": "true", "probability": "1.0"}),
        ("closedlost", "Closed lost", {"isClosed": "true", "probability": "0.0"}),
    ],
    "tickets": [
        ("1", "New", {"ticketState": "OPEN"}),
        ("2", "Waiting on contact", {"ticketState": "OPEN"}),
        ("4", "Closed", {"ticketState": "CLOSED"}),
    ],
}
_IDS = {"orders": ORDER_PIPELINE, "deals": "default", "tickets": "0"}


class Account:
    """timezone and currency are the shop's, once it is loaded."""

    def __init__(self, crm: Crm, buckets: Buckets) -> None:
        self.crm = crm
        self.buckets = buckets
        self.timezone, self.currency = "UTC", "EUR"

    def routes(self, router: Router) -> None:
        router.add("GET", "/account-info/{v}/details", self.details, needs())
        router.add("GET", "/account-info/{v}/api-usage/daily/private-apps", self.usage, needs())
        router.add("GET", "/crm/owners/{v}", self.owners, needs(("crm.objects.owners.read",)))
        router.add("GET", "/crm/pipelines/{v}/{type}", self.pipelines, self.pipeline_scopes)
        router.add("GET", "/crm/pipelines/{v}/{type}/{pipeline}/stages", self.stages, self.pipeline_scopes)

    def pipeline_scopes(self, call: Call) -> Iterable[tuple[str, ...]]:
        name = self.crm.table(call.parts["type"]).name
        if name not in PIPELINE_SCOPES:
            raise not_found(f"{name} have no pipelines")
        return [PIPELINE_SCOPES[name]]

    def details(self, call: Call) -> Response:
        here = call.at.replace(tzinfo=UTC).astimezone(ZoneInfo(self.timezone))
        offset = here.utcoffset()
        milliseconds = int(offset.total_seconds() * 1000) if offset is not None else 0
        return answer(
            {
                "portalId": self.crm.settings.portal_id,
                "accountType": "STANDARD",
                "timeZone": self.timezone,
                "companyCurrency": self.currency,
                "additionalCurrencies": [],
                "utcOffset": f"{here.strftime('%z')[:3]}:{here.strftime('%z')[3:]}",
                "utcOffsetMilliseconds": milliseconds,
                "uiDomain": "app-eu1.hubspot.com",
                "dataHostingLocation": "eu1",
            }
        )

    def usage(self, call: Call) -> Response:
        row = {
            "name": "private-apps-api-calls-daily",
            "usageLimit": TIERS[self.crm.settings.tier][1],
            "currentUsage": self.buckets.today,
            "collectedAt": iso(call.at),
            "fetchStatus": "SUCCESS",
        }
        return answer({"results": [row]})

    def owners(self, call: Call) -> Response:
        row = {
            "id": "51",
            "email": "owner@shop.example",
            "firstName": "Ada",
            "lastName": "Owner",
            "userId": 52,
            "archived": False,
        }
        return answer({"results": [] if call.flag("archived") else [row]})

    def pipelines(self, call: Call) -> Response:
        name = self.crm.table(call.parts["type"]).name
        body = {"id": _IDS[name], "label": "Pipeline", "displayOrder": 0, "archived": False, "stages": _stages(name)}
        return answer({"results": [body]})

    def stages(self, call: Call) -> Response:
        name = self.crm.table(call.parts["type"]).name
        if call.parts["pipeline"] != _IDS[name]:
            raise not_found(f"Pipeline {call.parts['pipeline']} does not exist")
        return answer({"results": _stages(name)})


def _stages(name: str) -> list[Json]:
    return [
        {
            "id": key,
            "label": label,
            "displayOrder": order,
            "metadata": metadata,
            "archived": False,
            "createdAt": iso(EPOCH),
            "updatedAt": iso(EPOCH),
        }
        for order, (key, label, metadata) in enumerate(_STAGES[name])
    ]
