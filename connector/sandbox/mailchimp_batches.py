"""Batches: many requests at once, answered later as an archive of files."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from connector.sandbox.base import Request, Response
from connector.sandbox.mailchimp_state import Account, digest
from connector.sandbox.mailchimp_wire import (
    PAGE_MAX,
    Call,
    Json,
    Problem,
    answer,
    collection,
    invalid,
    listing,
    no_content,
    not_found,
    shape,
    stamp,
)

BATCH = shape("id status total_operations finished_operations errored_operations submitted_at completed_at response_body_url")
BATCHES = collection("batches", BATCH)
STATES = ("pending", "preprocessing", "started", "finalizing", "finished")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
PENDING_MAX = 500
URL_VALID = timedelta(minutes=10)
KEPT = timedelta(days=7)
RESULTS = "/batch-results/"

Run = Callable[[Request], Response]


@dataclass
class Batch:
    batch_id: str
    operations: list[Json]
    submitted_at: datetime
    state: int = 0
    polls: int = 0
    completed_at: datetime | None = None
    results: list[Json] = field(default_factory=list)
    errored: int = 0
    archive: bytes = b""

    @property
    def is_finished(self) -> bool:
        return STATES[self.state] == "finished"


class Batches:
    """One batch runs at a time; each poll of any batch moves the running one on. run: the account's own front door."""

    def __init__(self, account: Account, run: Run) -> None:
        self.account, self.run = account, run
        self.batches: dict[str, Batch] = {}
        self._urls: dict[str, tuple[str, datetime]] = {}
        self._next = 1

    def create(self, account: Account, call: Call) -> Response:
        operations = call.body().get("operations")
        if not isinstance(operations, list) or not operations:
            raise invalid("operations", "This value should not be blank.")
        for position, operation in enumerate(operations):
            _check(position, operation)
        if sum(not batch.is_finished for batch in self._kept(call.at)) >= PENDING_MAX:
            raise Problem(429, "TooManyRequests", "You have more than 500 pending batches.")
        batch = Batch(digest("batch", str(self._next), length=10), operations, call.at)
        self._next += 1
        self.batches[batch.batch_id] = batch
        account.log("batch.create", batch.batch_id, "", f"{len(operations)} operations")
        return answer(call, BATCH, self._shown(batch, call.at))

    def all(self, account: Account, call: Call) -> Response:
        self._advance(call.at)
        return listing(call, BATCHES, "batches", self._kept(call.at), build=lambda batch: self._shown(batch, call.at))

    def one(self, account: Account, call: Call) -> Response:
        self._advance(call.at)
        return answer(call, BATCH, self._shown(self._find(call), call.at))

    def delete(self, account: Account, call: Call) -> Response:
        """Stops it; results that are there become unavailable."""
        del self.batches[self._find(call).batch_id]
        return no_content()

    def _kept(self, now: datetime) -> list[Batch]:
        return [batch for batch in self.batches.values() if batch.submitted_at > now - KEPT]

    def _find(self, call: Call) -> Batch:
        batch = self.batches.get(call.args["batch_id"])
        if batch is None or batch.submitted_at <= call.at - KEPT:
            raise not_found()
        return batch

    def _advance(self, now: datetime) -> None:
        batch = next((batch for batch in self.batches.values() if not batch.is_finished), None)
        if batch is None:
            return
        batch.polls += 1
        if batch.polls < self.account.switches.batch_polls:
            return
        batch.polls = 0
        batch.state += 1
        if STATES[batch.state] == "started":
            self._carry_out(batch)
        if batch.is_finished:
            batch.completed_at = now

    def _carry_out(self, batch: Batch) -> None:
        """Order is not promised: by a mixed-up key here, so that nobody gets used to one."""
        order = sorted(range(len(batch.operations)), key=lambda place: digest(batch.batch_id, str(place)))
        for place in order:
            results = self._operate(batch.operations[place])
            batch.errored += any(result["status_code"] >= 400 for result in results)
            batch.results += results

    def _operate(self, operation: Json) -> list[Json]:
        """The results of one operation: a GET without count walks everything and answers page by page."""
        if any(text in operation.get("operation_id", "") for text in self.account.switches.batch_errors):
            return [{"status_code": 500, "operation_id": operation.get("operation_id", ""), "response": "{}"}]
        parts = urlsplit(operation["path"])
        query = parse_qs(parts.query, keep_blank_values=True)
        for name, value in (operation.get("params") or {}).items():
            query[name] = [str(value)]
        method = operation["method"]
        walks = method == "GET" and "count" not in query
        results, offset = [], int(query.get("offset", ["0"])[-1])
        total = self._total(parts.path, query) if walks else 0
        while True:
            if walks:
                query |= {"count": [str(PAGE_MAX)], "offset": [str(offset)]}
            response = self.run(Request(method, unquote(parts.path), query, {}, (operation.get("body") or "").encode()))
            text = response.body.decode()
            name = operation.get("operation_id", "")
            results.append({"status_code": response.status, "operation_id": name, "response": text})
            offset += PAGE_MAX
            if offset >= total or response.status != 200:
                return results

    def _total(self, path: str, query: dict[str, list[str]]) -> int:
        """How many items a collection has, whatever fields were asked for; 0 for what is no collection."""
        plain = {name: value for name, value in query.items() if name not in ("fields", "exclude_fields")}
        response = self.run(Request("GET", unquote(path), {**plain, "count": ["0"]}))
        return int(orjson.loads(response.body).get("total_items", 0)) if response.status == 200 else 0

    def _shown(self, batch: Batch, now: datetime) -> Json:
        """Every showing of a finished batch makes a new address, good for ten minutes."""
        url = ""
        if batch.is_finished and not self.account.switches.batch_no_url:
            token = digest("url", batch.batch_id, str(len(self._urls)))
            self._urls[token] = (batch.batch_id, now + URL_VALID)
            url = f"{self.account.base_url}{RESULTS}{batch.batch_id}-{token}.tar.gz"
        done = len(batch.operations) if STATES[batch.state] in STATES[3:] else 0
        return {
            "id": batch.batch_id,
            "status": STATES[batch.state],
            "total_operations": len(batch.operations),
            "finished_operations": done,
            "errored_operations": batch.errored if done else 0,
            "submitted_at": stamp(batch.submitted_at),
            "completed_at": stamp(batch.completed_at) if batch.completed_at else "",
            "response_body_url": url,
        }

    def download(self, request: Request, now: datetime) -> Response:
        """The storage host: no key wanted (one that is sent is refused, as signed addresses do), ten minutes only."""
        match = re.fullmatch(re.escape(RESULTS) + r"(\w+)-(\w+)\.tar\.gz", request.path)
        batch_id, until = self._urls.get(match[2], ("", now)) if match else ("", now)
        batch = self.batches.get(batch_id)
        if "authorization" in request.headers:
            return _storage_error(400, "InvalidArgument", "Only one auth mechanism allowed")
        if batch is None or now >= until:
            return _storage_error(403, "AccessDenied", "Request has expired")
        if not batch.archive:
            batch.archive = _archive(batch, self.account.switches.batch_split)
        return Response(200, {"Content-Type": "application/gzip"}, batch.archive)


def _storage_error(status: int, code: str, message: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Response(status, {"Content-Type": "application/xml"}, body.encode())


def _check(position: int, operation: Any) -> None:
    where = f"operations.item:{position}"
    if not isinstance(operation, dict):
        raise invalid(where, "Schema describes object, other type found instead")
    if operation.get("method") not in METHODS:
        raise invalid(f"{where}.method", "Data did not match any of the acceptable values.")
    if not isinstance(operation.get("path"), str):
        raise invalid(f"{where}.path", "Schema describes string, other type found instead")
    if not isinstance(operation.get("body", ""), str):
        raise invalid(f"{where}.body", "Schema describes string, object found instead")


def _archive(batch: Batch, split: int) -> bytes:
    """A directory, files of results, and an empty file: readers must bear all three (singer-io/tap-mailchimp#66)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
        folder = tarfile.TarInfo(f"{batch.batch_id}/")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        chunks = [batch.results[start : start + split] for start in range(0, len(batch.results), split)]
        for number, chunk in enumerate([*chunks, None]):
            data = b"" if chunk is None else orjson.dumps(chunk)
            entry = tarfile.TarInfo(f"{batch.batch_id}/{batch.batch_id}-{number}.json")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()
