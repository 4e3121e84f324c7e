"""A simulated Postbox: readers, letters, labels, scopes, limits, two versions. Shares no code with the adapter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from connector.sandbox.base import Limits, Request, Response
from connector.sandbox.shop import Shop

KEY = "pbx_sandbox_key"
ANSWERS = {"subscribed": "yes", "unsubscribed": "no", "pending": "asked", "cleaned": "dead"}
PER_MINUTE = 10
FIELDS = {"first_name": "given_name", "last_name": "family_name", "email": "email", "city": "city"}


class PostboxSimulator:
    name = "postbox"

    def __init__(self, clock: Callable[[], datetime], *, base_url: str = "", limits: Limits | None = None) -> None:
        self.clock, self.base_url, self.limits = clock, base_url, limits or Limits()
        self.effects: list[dict[str, Any]] = []
        self.readers: dict[str, dict[str, Any]] = {}
        self.letters: list[dict[str, Any]] = []
        self.labels: dict[str, dict[str, Any]] = {}
        self.ids: dict[str, str] = {}
        self.scopes = {"readers", "letters", "labels"}
        self.timezone, self.currency = "UTC", "EUR"
        self.asked: list[datetime] = []

    def load(self, shop: Shop) -> None:
        self.timezone, self.currency = shop.timezone, shop.currency
        for n, c in enumerate(shop.customers, 1):
            reader = f"r{n:05d}"
            self.ids[c.customer_id] = reader
            word = ANSWERS.get(c.consent.get("mailchimp", ""), "none")
            self.readers[reader] = {
                "id": reader, "email": c.email, "given_name": c.first_name, "family_name": c.last_name, "city": c.city or None,
                "answer": word, "answered_at": _text(c.created_at) if word in ("yes", "no") else None, "labels": [],
                "joined_at": _text(c.created_at), "changed_at": _text(c.updated_at), "state": "live",
            }  # fmt: skip
        for n in range(1, 8):
            sent = {"sent_at": _text(self.clock() - timedelta(days=n)), "sent_to": len(self.readers)}
            self.letters.append({"id": f"l{n}", "subject": f"Letter {n}", "changed_at": sent["sent_at"], **sent})

    def dump(self) -> dict[str, Any]:
        return {"labels": {x["name"]: sorted(x["readers"]) for x in self.labels.values()}, "readers": self.readers}

    def change(self, customer: str, set: dict[str, Any]) -> bool:
        reader = self.readers.get(self.ids.get(customer, customer))
        if reader is None:
            return False
        if set.get("deleted"):
            del self.readers[reader["id"]]
            return True
        reader.update({FIELDS[k]: v for k, v in set.items() if k in FIELDS})
        reader.update({"answer": ANSWERS[set["consent"]], "answered_at": _text(self.clock())} if "consent" in set else {})
        reader["state"] = "archived" if set.get("archived") else reader["state"]
        reader["changed_at"] = _text(self.clock())
        return True

    def handle(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return _refused(401, "key")
        if not self.limits.on:
            return self._answer(request)
        now = self.clock()
        self.asked = [at for at in self.asked if now - at < timedelta(minutes=1)]
        if len(self.asked) >= PER_MINUTE:
            return Response.json({"error": "slow"}, 429, {"Retry-After": "60"})
        self.asked.append(now)
        left = {"Postbox-Left": str(PER_MINUTE - len(self.asked)), "Postbox-Reset": "60"}
        response = self._answer(request)
        return Response(response.status, {**response.headers, **left}, response.body)

    def _answer(self, request: Request) -> Response:
        found = re.fullmatch(r"/v([12])/(account|readers|letters|labels)(?:/([^/]+))?(/readers)?", request.path)
        if not found:
            return _refused(404, "path")
        version, what, one, inside = found.groups()
        if what in ("readers", "letters", "labels") and what not in self.scopes:
            return Response.json({"error": "scope", "needs": what}, 403)
        if what == "account":
            return Response.json({"id": "pb-1", "name": "Post", "timezone": self.timezone, "currency": self.currency})
        if what == "labels":
            return self._labels(request, one, bool(inside))
        if one:
            reader = self.readers.get(one)
            return Response.json(self._shown(reader, version)) if reader else _refused(404, "reader")
        return self._list(request, version, list(self.readers.values()) if what == "readers" else self.letters)

    def _list(self, request: Request, version: str, records: list[dict[str, Any]]) -> Response:
        limit, after = int(request.param("limit", "100")), request.param("after")
        total = sum(r.get("state", "live") == "live" for r in records)
        left = sorted((f"{r['changed_at']}|{r['id']}", r) for r in records)
        left = [(key, r) for key, r in left if key > after]
        page = left[:limit]
        following = page[-1][0] if len(left) > limit else ""
        body = {"records": [self._shown(r, version) for _, r in page], "next": following, "total": total}
        return Response.json({**body, "last": page[-1][0] if page else ""})

    def _shown(self, record: dict[str, Any], version: str) -> dict[str, Any]:
        if version == "2" or "answer" not in record:
            return record
        return {"consent" if k == "answer" else k: v for k, v in record.items()}

    def _labels(self, request: Request, one: str | None, inside: bool) -> Response:
        if one is None and request.method == "GET":
            name = request.param("name")
            return Response.json(
                {"labels": [{"id": i, "name": x["name"]} for i, x in self.labels.items() if x["name"] == name]}
            )
        if one is None:
            name = json.loads(request.body)["name"]
            known = next((i for i, x in self.labels.items() if x["name"] == name), None)
            label = known or f"b{len(self.labels) + 1}"
            self.labels.setdefault(label, {"name": name, "readers": set()})
            return Response.json({"id": label}, 200 if known else 201)
        if one not in self.labels or not inside:
            return _refused(404, "label")
        if request.method == "GET":
            members = sorted(i for i in self.labels[one]["readers"] if i > request.param("after"))
            return Response.json({"ids": members[:20], "next": members[19] if len(members) > 20 else ""})
        body = json.loads(request.body)
        return Response.json({kind: [self._moved(one, i, kind) for i in body[kind]] for kind in ("add", "remove")})

    def _moved(self, label: str, reader: str, kind: str) -> dict[str, str]:
        held = self.labels[label]["readers"]
        if kind == "add" and (reader not in self.readers or self.readers[reader]["state"] != "live"):
            return {"id": reader, "result": "unknown"}
        if (reader in held) == (kind == "add"):
            return {"id": reader, "result": "already"}
        (held.add if kind == "add" else held.discard)(reader)
        if reader in self.readers:
            self.readers[reader]["labels"] = sorted(x["name"] for x in self.labels.values() if reader in x["readers"])
        result = "added" if kind == "add" else "removed"
        self.effects.append({"at": _text(self.clock()), "kind": kind, "object": label, "contact": reader, "result": result})
        return {"id": reader, "result": result}


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _refused(status: int, word: str) -> Response:
    return Response.json({"error": word, "says": "Ask ann@shop.example"}, status)
