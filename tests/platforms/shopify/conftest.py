"""A small Shopify that remembers: enough of its manners to argue with the adapter. It knows nothing of our code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import responses

from connector.sandbox.shopify import ShopifySimulator
from tests.platforms.shopify.simulated_shop import Clock, small_shop
from tests.simulated import simulated

HOST = "https://morning-roast.myshopify.com"
API = f"{HOST}/admin/api/2026-10/graphql.json"
NOW = datetime(2026, 11, 21, 12, 0, 0)
SCOPES = ["read_customers", "write_customers", "read_orders", "read_all_orders", "read_products"]
ROOTS = {
    "customers": ("updated_at", "updatedAt"),
    "orders": ("updated_at", "updatedAt"),
    "products": ("updated_at", "updatedAt"),
    "abandonedCheckouts": ("created_at", "createdAt"),
}
Answer = tuple[int, dict[str, str], str]


class SmallShop:
    """State, and one function from request to answer. `before` may answer in its place (a fault) by returning one."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {root: [] for root in ROOTS}
        self.gone: set[str] = set()
        self.now = NOW
        self.tokens = {"shpat_good"}
        self.scopes = list(SCOPES)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.headers: dict[str, str] = {"X-Shopify-API-Version": "2026-10"}
        self.before: list[Callable[[str, dict[str, Any]], Answer | None]] = []
        self.after_page: Callable[[], None] = lambda: None
        self.cost_each = 1.0
        self.available = 2000.0
        self.jobs: list[dict[str, Any]] = []
        self.files: dict[str, str] = {}
        self.finish: Callable[[dict[str, Any]], None] = self.complete

    def answer(self, data: Any, status: int = 200, cost: float = 1, **more: Any) -> Answer:
        cost_part = {
            "requestedQueryCost": cost,
            "actualQueryCost": cost,
            "throttleStatus": {"maximumAvailable": 2000.0, "currentlyAvailable": self.available, "restoreRate": 100.0},
        }
        body = {"data": data, "extensions": {"cost": cost_part}, **more}
        return status, self._headers(), json.dumps(body)

    def _headers(self) -> dict[str, str]:
        return {"Date": self.now.strftime("%a, %d %b %Y %H:%M:%S GMT"), "X-Request-Id": "req-1", **self.headers}

    def __call__(self, request: Any) -> Answer:
        if request.headers.get("X-Shopify-Access-Token") not in self.tokens:
            text = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            return 401, self._headers(), json.dumps({"errors": text})
        body = json.loads(request.body)
        document, variables = body["query"], body["variables"]
        self.asked.append((document, variables))
        for fault in self.before:
            if (found := fault(document, variables)) is not None:
                return found
        return self._route(document, variables)

    def _route(self, document: str, variables: dict[str, Any]) -> Answer:
        if "bulkOperation" in document:
            return self.answer(self._bulk(document, variables))
        if "tagsAdd" in document or "tagsRemove" in document:
            return self.answer(self._tag(document, variables))
        if "nodes(ids:" in document:
            found = {c["id"]: c for c in self.rows["customers"]}
            nodes = [None if i in self.gone else found.get(i) for i in variables["ids"]]
            return self.answer({"nodes": nodes}, cost=len(nodes))
        if "node(id:" in document:
            return self.answer({"node": self._drained(document, variables)})
        if found_count := re.search(r"(\w+)Count\(limit:null\)", document):
            return self.answer({f"{found_count[1]}Count": {"count": len(self.rows[found_count[1]]), "precision": "EXACT"}})
        for root in ROOTS:
            if re.search(rf"\b{root}\(first:\$first", document):
                return self._page(root, document, variables)
        return self.answer(self._about())

    def _about(self) -> dict[str, Any]:
        shop = {
            "id": "gid://shopify/Shop/7", "name": "Morning Roast", "myshopifyDomain": "morning-roast.myshopify.com",
            "currencyCode": "EUR", "ianaTimezone": "Europe/Berlin", "createdAt": "2020-01-01T00:00:00Z",
            "plan": {"publicDisplayName": "Basic"},
        }  # fmt: skip
        scopes = {"accessScopes": [{"handle": s} for s in self.scopes]}
        versions = [{"handle": "2026-10", "supported": True}]
        customers = {"nodes": self.rows["customers"][:25]}
        orders = {"nodes": sorted(self.rows["orders"], key=lambda o: str(o["createdAt"]))[:1]}
        return {
            "shop": shop, "currentAppInstallation": scopes, "publicApiVersions": versions,
            "customers": customers, "orders": orders,
        }  # fmt: skip

    def _page(self, root: str, document: str, variables: dict[str, Any]) -> Answer:
        name, key = ROOTS[root]
        query, first, after = variables.get("query") or "", variables["first"], variables.get("after")
        if "sortKey:ID" in re.sub(r"\s", "", document):
            key = "id"
        rows = sorted(self.rows[root], key=lambda r: (str(r[key]), str(r["id"])))
        if low := re.search(rf"{name}:>='([^']+)'", query):
            rows = [r for r in rows if r[ROOTS[root][1]] >= low[1]]
        if high := re.search(rf"{name}:<'([^']+)'", query):
            rows = [r for r in rows if r[ROOTS[root][1]] < high[1]]
        if tag := re.search(r"tag:'([^']+)'", query):
            rows = [r for r in rows if tag[1].lower() in [t.lower() for t in r.get("indexed", r["tags"])]]
        if above := re.search(r"id:>(\d+)", query):
            rows = [r for r in rows if int(r["id"].rsplit("/", 1)[1]) > int(above[1])]
        if after:
            rows = [r for r in rows if [str(r[key]), str(r["id"])] > json.loads(after)]
        part = rows[:first]
        end = json.dumps([str(part[-1][key]), str(part[-1]["id"])]) if part else None
        info = {"hasNextPage": len(rows) > first, "endCursor": end}
        nodes = json.loads(json.dumps([self._cut(root, r) for r in part]))
        self.after_page()
        return self.answer({root: {"pageInfo": info, "nodes": nodes}}, cost=first * self.cost_each)

    def _cut(self, root: str, row: dict[str, Any]) -> dict[str, Any]:
        """The first page of each nested connection only."""
        firsts = {"lineItems": 50, "variants": 20, "discountApplications": 10}
        cut = dict(row)
        for name, first in firsts.items():
            if isinstance(row.get(name), list):
                cut[name] = self._nested(row[name], 0, first)
        if "refunds" in row:
            cut["refunds"] = row["refunds"][:50]
        return cut

    def _nested(self, entries: list[Any], start: int, first: int) -> dict[str, Any]:
        end = start + first
        return {"pageInfo": {"hasNextPage": end < len(entries), "endCursor": str(end)}, "nodes": entries[start:end]}

    def _drained(self, document: str, variables: dict[str, Any]) -> Any:
        row = next(r for rows in self.rows.values() for r in rows if r["id"] == variables["id"])
        if "refunds(first:250)" in document:
            return {"refunds": row["refunds"][:250]}
        name = next(n for n in ("lineItems", "variants", "discountApplications") if f"{n}(first:$first" in document)
        return {name: self._nested(row[name], int(variables["after"]), variables["first"])}

    def _tag(self, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        found = {c["id"]: c for c in self.rows["customers"]}
        for alias, action in re.findall(r"(\w+): (tagsAdd|tagsRemove)\(", document):
            gid = variables[alias]
            if gid in self.gone or gid not in found:
                missing = [{"field": ["id"], "message": "Customer does not exist"}]
                result[alias] = {"node": None, "userErrors": missing}
                continue
            tags = found[gid]["tags"]
            for tag in variables["tags"]:
                have = [t for t in tags if t.lower() == tag.lower()]
                if action == "tagsAdd" and not have:
                    tags.append(tag)
                elif action == "tagsRemove":
                    tags[:] = [t for t in tags if t not in have]
            result[alias] = {"node": {"id": gid, "tags": sorted(tags)}, "userErrors": []}
        return result

    def _bulk(self, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "bulkOperationRunQuery" in document:
            job = {"id": f"gid://shopify/BulkOperation/{len(self.jobs) + 1}", "status": "RUNNING", "query": variables["query"]}
            self.jobs.append(job)
            return {"bulkOperationRunQuery": {"bulkOperation": job, "userErrors": []}}
        if "bulkOperations(" in document:
            return {"bulkOperations": {"nodes": self.jobs}}
        job = next(j for j in self.jobs if j["id"] == variables["id"])
        if job["status"] == "RUNNING" and job.setdefault("polled", 0) == 0:
            job["polled"] = 1
        elif job["status"] == "RUNNING":
            self.finish(job)
        return {"bulkOperation": job}

    def complete(self, job: dict[str, Any]) -> None:
        """Write the file: parents first, children afterwards and mixed up, as it is since 2026-01."""
        inner = json.loads(re.search(r'query:("(?:[^"\\]|\\.)*")', job["query"])[1])  # type: ignore[index]  # our own test documents
        root = next(r for r in ROOTS if f"{{ {r}(" in job["query"])
        low, high = re.search(r">='([^']+)'", inner), re.search(r"<'([^']+)'", inner)
        field = ROOTS[root][1]
        rows = [r for r in self.rows[root] if (not low or r[field] >= low[1]) and (not high or r[field] < high[1])]
        lines, children = [], []
        for row in reversed(rows):
            plain = {k: v for k, v in row.items() if k not in ("lineItems", "discountApplications", "variants")}
            lines.append({"__typename": "Order" if root == "orders" else "Customer", **plain})
            for item in row.get("lineItems", []):
                children.append({"__typename": "LineItem", **item, "__parentId": row["id"]})
            for item in row.get("discountApplications", []):
                children.append({"__typename": "DiscountCodeApplication", **item, "__parentId": row["id"]})
        children.sort(key=lambda c: json.dumps(c.get("index", c.get("id"))))
        count, roots = str(len(lines) + len(children)), str(len(lines))
        url = f"https://storage.shopify.test/{job['id'].rsplit('/', 1)[1]}" if lines else None
        if url:
            self.files[url] = "".join(json.dumps(line) + "\n" for line in lines + children)
        job.update({"status": "COMPLETED", "url": url, "objectCount": count, "rootObjectCount": roots})

    def file(self, request: Any) -> Answer:
        assert "X-Shopify-Access-Token" not in request.headers
        return 200, {}, self.files[request.url]


def customer(number: int, updated_at: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"gid://shopify/Customer/{number}", "createdAt": "2025-01-01T00:00:00Z", "updatedAt": updated_at, "tags": [],
        "defaultEmailAddress": {"emailAddress": f"c{number}@shop.example", "marketingState": "SUBSCRIBED"}, **more,
    }  # fmt: skip


@pytest.fixture
def shop() -> Iterator[SmallShop]:
    small = SmallShop()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback(responses.POST, API, callback=small)
        mock.add_callback(responses.GET, re.compile(r"https://storage\.shopify\.test/.*"), callback=small.file)
        small.mock = mock  # type: ignore[attr-defined]  # for tests that add an address of their own
        yield small


@pytest.fixture
def make_customer() -> Callable[..., dict[str, Any]]:
    return customer


class Waits(list[float]):
    def __call__(self, wait_s: float) -> None:
        self.append(wait_s)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def connect(waits: Waits) -> Callable[..., Any]:
    """An adapter on the small shop, with a clock that stands still and a sleep that does not."""
    from adapters import load

    def make(**settings: Any) -> Any:
        base = {"store": "morning-roast.myshopify.com", "token": "shpat_good", "tries": 4, "max_wait_s": 900, "bulk": "never"}
        return load("shopify")({**base, **settings}, now_utc=lambda: NOW, sleep=waits)

    return make


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def simulator(clock: Clock) -> ShopifySimulator:
    made = ShopifySimulator(clock)
    made.load(small_shop())
    return made


@pytest.fixture
def base_url(simulator: ShopifySimulator) -> Iterator[str]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield simulated("shopify", simulator, mock)
