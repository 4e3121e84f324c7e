"""A server that answers as cheaply as it can, in a process of its own, so that a benchmark measures our client only.

    python benchmarks/lean_server.py --records 100000

Prints `ready http://127.0.0.1:PORT`. Knows just enough of each platform for a backfill of people: HubSpot contacts with 80
properties, Mailchimp members, Shopify customers in pages and as a bulk export. Records are made of prepared pieces with
the record's own number in between; `expected` says what must be in the store afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

KINDS = 64
"""So many different records; the rest differ in their number only."""
MARK = "7777777777"
"""Stands for the record's number in a prepared record."""
FIRST_ID = 1_000_000_001
BEGIN = datetime(2024, 1, 1)
CITIES = ("Bonn", "Köln", "Łódź", "Aarhus", "Porto", "Graz", "Gent", "Turku")
STAGES = ("subscriber", "lead", "marketingqualifiedlead", "opportunity", "customer")

HUBSPOT_TIMES = re.compile(r"date|timestamp|last_contacted|last_updated|last_opened")
HUBSPOT_NUMBERS = re.compile(r"^num_|_(open|click|replied|bounce|delivered)$|visits|views|score|engagement$|notes")
HUBSPOT_MONEY = re.compile(r"revenue|amount")


def number(n: int) -> str:
    return str(FIRST_ID + n)


def expected(platform: str, n: int) -> tuple[str, str, str, str]:
    """(id, e-mail, first name, city) of record n."""
    k = n % KINDS
    first = "Anna" if platform == "hubspot" else "Ben"
    return number(n), f"p{number(n)}@bench.example", f"{first} {k}", CITIES[k % len(CITIES)]


def hubspot_value(name: str, k: int) -> str | None:
    """One property of a contact of kind k. About one in five is empty, as in a portal that is in use."""
    fixed: dict[str, str | None] = {
        "email": f"p{MARK}@bench.example", "firstname": f"Anna {k}", "lastname": f"Example-{k % 7}", "city": CITIES[k % 8],
        "hs_object_id": MARK, "hs_additional_emails": None, "hs_merged_object_ids": None, "associatedcompanyid": str(9000 + k),
        "phone": f"+49 30 {MARK}", "mobilephone": None, "lifecyclestage": STAGES[k % 5], "country": "Germany", "zip": f"{53000 + k}",
        "hs_email_optout": ("true", "false", None)[k % 3], "hs_email_quarantined": None, "hs_email_bad_address": None,
        "hs_email_hard_bounce_reason_enum": None, "date_of_birth": f"198{k % 10}-03-0{k % 9 + 1}", "hs_marketable_status": "true",
    }  # fmt: skip
    if name in fixed:
        return fixed[name]
    if (k + len(name)) % 5 == 0:
        return None
    if HUBSPOT_TIMES.search(name):
        return f"2025-{k % 12 + 1:02d}-{k % 28 + 1:02d}T10:{k % 60:02d}:11.{k:03d}Z"
    if HUBSPOT_MONEY.search(name):
        return f"{k * 13}.{k:02d}"
    if HUBSPOT_NUMBERS.search(name):
        return str(k)
    return f"{name} {k}"


def pieces(record: Any) -> list[bytes]:
    return orjson.dumps(record).split(MARK.encode())


class Lean:
    """Answers requests. delay_s is not here: a benchmark of limits uses the sandbox."""

    def __init__(self, records: int, address: Callable[[], str], properties: int = 80) -> None:
        self.records, self.address = records, address
        self.routes: dict[str, Callable[[str, str, dict[str, list[str]], bytes], bytes]] = {
            "hubspot": self.hubspot, "mailchimp": self.mailchimp, "shopify": self.shopify, "bulk": self.shopify,
        }  # fmt: skip
        self._names = hubspot_names(properties)
        self._made: dict[str, list[list[bytes]]] = {}

    def answer(self, method: str, target: str, body: bytes) -> bytes:
        parts = urlsplit(target)
        _, platform, path = parts.path.split("/", 2)
        return self.routes[platform](method, path, parse_qs(parts.query), body)

    def rows(self, kind: str, start: int, stop: int, extra: Callable[[int], bytes] | None = None) -> Iterator[bytes]:
        if kind not in self._made:
            make = self._maker(kind)
            self._made[kind] = [pieces(make(k)) for k in range(KINDS)]
        made = self._made[kind]
        for n in range(start, min(stop, self.records)):
            row = number(n).encode().join(made[n % KINDS])
            yield row.replace(b"@@", extra(n)) if extra else row

    def _maker(self, kind: str) -> Callable[[int], Any]:
        return {"contact": self._contact, "member": _member, "customer": _customer, "line": _line}[kind]

    def _contact(self, k: int) -> Any:
        properties = {name: hubspot_value(name, k) for name in self._names}
        at = "2025-06-01T08:00:00.000Z"
        return {
            "id": MARK,
            "properties": properties,
            "createdAt": at,
            "updatedAt": at,
            "archived": False,
            "url": f"https://x/{MARK}",
        }

    def hubspot(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> bytes:
        if path.startswith("account-info"):
            return b'{"portalId":4711,"timeZone":"Europe/Berlin","companyCurrency":"EUR","accountType":"STANDARD"}'
        if path.startswith("crm/properties"):
            return orjson.dumps({"results": [{"name": n, "type": "string"} for n in self._names]})
        if path.endswith("/search"):
            return b'{"total":%d,"results":[]}' % self.records
        if "archived" in query and query["archived"] == ["true"]:
            return b'{"results":[]}'
        asked = int(query["limit"][0]) if "limit" in query else 10
        start = max(0, int(query["after"][0]) - FIRST_ID) if "after" in query else 0
        stop = min(start + asked, self.records)
        paging = b',"paging":{"next":{"after":"%s"}}' % number(stop).encode() if stop < self.records else b""
        return b'{"results":[' + b",".join(self.rows("contact", start, stop)) + b"]" + paging + b"}"

    def mailchimp(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> bytes:
        path = path.removeprefix("3.0").strip("/")
        if not path:
            return b'{"account_id":"8d3a3db4d97663a9074efcc16","account_name":"Bench","role":"owner"}'
        if path == "lists":
            return b'{"lists":[{"id":"a1b2c3d4e5","name":"Bench"}],"total_items":1}'
        if not path.endswith("/members"):
            return b'{"id":"a1b2c3d4e5","name":"Bench","stats":{"member_count":%d},"total_items":0}' % self.records
        if query.get("status", ["subscribed"]) != ["subscribed"]:
            return b'{"members":[],"total_items":0}'
        since = query.get("since_last_changed", [""])[0]
        first = self._place(since) if since else 0
        asked, offset = int(query.get("count", ["10"])[0]), int(query.get("offset", ["0"])[0])
        rows = self.rows("member", first + offset, first + offset + asked, lambda n: _changed(n).encode())
        return b'{"members":[' + b",".join(rows) + b'],"total_items":%d}' % max(0, self.records - first)

    def _place(self, since: str) -> int:
        """The first member that changed at `since` or later: member n changed n seconds after the beginning."""
        return max(0, int((datetime.fromisoformat(since).replace(tzinfo=None) - BEGIN).total_seconds()))

    def shopify(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> bytes:
        if path.startswith("export"):
            start, stop = self._span(query["from"][0], query["to"][0])
            return b"".join(row + b"\n" for row in self.rows("line", start, stop, lambda n: _changed(n).encode()))
        asked = orjson.loads(body)
        text, values = asked["query"], asked.get("variables") or {}
        return b'{"data":' + self._data(text, values) + b',"extensions":{"cost":' + _cost() + b"}}"

    def _span(self, begin: str, end: str) -> tuple[int, int]:
        """The records that changed from `begin` on and before `end`."""
        return min(self._place(begin), self.records), min(self._place(end), self.records)

    def _from(self, query: str) -> int:
        found = re.search(r"updated_at:>='([^']+)'", query)
        return self._place(found[1]) if found else 0

    def _data(self, text: str, values: dict[str, Any]) -> bytes:
        if "customersCount" in text:
            return b'{"customersCount":{"count":%d,"precision":"EXACT"}}' % self.records
        if "bulkOperationRunQuery(" in text:
            found = re.search(r"updated_at:>='([^']+)'.*?updated_at:<'([^']+)'", values["query"])
            assert found is not None
            job = {"id": f"gid://shopify/BulkOperation/{found[1]}/{found[2]}", "status": "CREATED"}
            return orjson.dumps({"bulkOperationRunQuery": {"bulkOperation": job, "userErrors": []}})
        if "bulkOperations(" in text:
            return b'{"bulkOperations":{"nodes":[]}}'
        if "bulkOperation(" in text:
            begin, end = values["id"].split("/")[-2:]
            start, stop = self._span(begin, end)
            url = f"{self.address()}/bulk/export.jsonl?from={begin}&to={end}" if stop > start else None
            done: dict[str, Any] = {"id": values["id"], "status": "COMPLETED", "errorCode": None, "url": url}
            return orjson.dumps(
                {"bulkOperation": {**done, **dict.fromkeys(("objectCount", "rootObjectCount"), str(stop - start))}}
            )
        if "customers(first:$first" in text:
            start = int(values["after"] or self._from(values.get("query") or ""))
            stop = min(start + int(values["first"]), self.records)
            info = b'"pageInfo":{"hasNextPage":%s,"endCursor":"%d"}' % (b"true" if stop < self.records else b"false", stop)
            rows = b",".join(self.rows("customer", start, stop, lambda n: _changed(n).encode()))
            return b'{"customers":{' + info + b',"nodes":[' + rows + b"]}}"
        shop = {"id": "gid://shopify/Shop/1", "name": "Bench", "myshopifyDomain": "bench.myshopify.com", "plan": {}}
        scopes = ("read_customers", "read_orders", "read_all_orders", "read_products", "write_customers")
        return orjson.dumps({"shop": shop, "currentAppInstallation": {"accessScopes": [{"handle": s} for s in scopes]}})


def hubspot_names(count: int) -> list[str]:
    """The properties of the account: those the adapter asks for, filled up with the owner's own to `count`."""
    from adapters.hubspot_objects import CONTACTS

    names = list(dict.fromkeys([*CONTACTS.properties, "hs_object_id"]))[:count]
    return names + [f"custom_{i}" for i in range(count - len(names))]


def _changed(n: int) -> str:
    return (BEGIN + timedelta(seconds=n)).strftime("%Y-%m-%dT%H:%M:%S")


def _member(k: int) -> Any:
    return {
        "id": f"{MARK:0>32}", "email_address": f"p{MARK}@bench.example", "unique_email_id": MARK, "contact_id": MARK,
        "web_id": 123, "status": "subscribed", "vip": False, "language": "de", "source": "Import", "sms_phone_number": "",
        "sms_subscription_status": "", "sms_subscription_last_updated": "",
        "merge_fields": {"FNAME": f"Ben {k}", "LNAME": f"Example-{k % 7}", "PHONE": f"+4930{MARK}", "BIRTHDAY": "03/04",
                         "ADDRESS": {"addr1": "Street 1", "city": CITIES[k % 8], "state": "NW", "zip": "53111", "country": "DE"}},
        "interests": {f"{i:010x}": False for i in range(6)},
        "stats": {"avg_open_rate": k / 64, "avg_click_rate": k / 128,
                  "ecommerce_data": {"total_revenue": k * 3, "number_of_orders": k % 9, "currency_code": "EUR"}},
        "member_rating": k % 5 + 1, "timestamp_signup": "", "timestamp_opt": "2024-05-06T07:08:09+00:00",
        "last_changed": "@@+00:00",
        "location": {"latitude": 50.7, "longitude": 7.1, "country_code": "DE", "timezone": "Europe/Berlin", "region": "NW"},
        "marketing_permissions": [], "tags_count": k % 3, "tags": [{"id": i, "name": f"tag {i}"} for i in range(k % 3)],
        "list_id": "a1b2c3d4e5",
    }  # fmt: skip


def _customer(k: int) -> Any:
    return {
        "id": f"gid://shopify/Customer/{MARK}", "legacyResourceId": MARK, "createdAt": "2023-02-03T04:05:06Z", "updatedAt": "@@Z",
        "firstName": f"Ben {k}", "lastName": f"Example-{k % 7}", "displayName": f"Ben {k}", "locale": "de", "state": "ENABLED",
        "tags": [f"tag {i}" for i in range(k % 4)], "note": None, "verifiedEmail": True, "taxExempt": False,
        "numberOfOrders": str(k % 9), "amountSpent": {"amount": f"{k * 3}.50", "currencyCode": "EUR"},
        "productSubscriberStatus": "NEVER_SUBSCRIBED", "dataSaleOptOut": False,
        "defaultEmailAddress": {"emailAddress": f"p{MARK}@bench.example", "marketingState": ("SUBSCRIBED", "NOT_SUBSCRIBED")[k % 2],
                                "marketingOptInLevel": "SINGLE_OPT_IN", "marketingUpdatedAt": "2024-05-06T07:08:09Z",
                                "validFormat": True, "openTrackingLevel": "UNKNOWN"},
        "defaultPhoneNumber": None,
        "defaultAddress": {"city": CITIES[k % 8], "province": None, "provinceCode": None, "country": "Germany",
                           "countryCodeV2": "DE", "zip": "53111", "company": None},
        "statistics": {"predictedSpendTier": ("LOW", "HIGH")[k % 2], "rfmGroup": "CHAMPIONS"},
    }  # fmt: skip


def _line(k: int) -> Any:
    return {"__typename": "Customer", **_customer(k)}


def _cost() -> bytes:
    return (
        b'{"requestedQueryCost":10,"actualQueryCost":10,"throttleStatus":'
        b'{"maximumAvailable":100000.0,"currentlyAvailable":99990,"restoreRate":50000.0}}'
    )


class _Connection(asyncio.Protocol):
    def __init__(self, lean: Lean) -> None:
        self.lean, self.waiting = lean, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while b"\r\n\r\n" in self.waiting:
            head, _, rest = self.waiting.partition(b"\r\n\r\n")
            found = re.search(rb"(?i)content-length: *(\d+)", head)
            length = int(found[1]) if found else 0
            if len(rest) < length:
                return
            self.waiting = rest[length:]
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
            body = self.lean.answer(method, target, rest[:length])
            top = (
                f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: {formatdate(usegmt=True)}\r\n"
                f"X-HubSpot-RateLimit-Max: 1000000\r\nX-HubSpot-RateLimit-Remaining: 999999\r\n"
                f"X-HubSpot-RateLimit-Interval-Milliseconds: 10000\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            self.transport.write(top.encode() + body)  # type: ignore[attr-defined]  # a TCP transport can write


async def main(records: int) -> None:
    url = ""
    lean = Lean(records, lambda: url)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(lean), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(f"ready {url}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=100_000)
    asyncio.run(main(parser.parse_args().records))
