"""The people of library_people.toml and library_ranks.toml as rows of a store."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from connector.clock import as_of
from connector.identity import identify
from connector.profile import build
from tests.stages.hand_shop import DAY, contact, event, line, new_store, order

NOON = datetime(DAY.year, DAY.month, DAY.day, 10)
"""Noon in Berlin, where the shop is."""


def at(ago: int) -> str:
    return str(NOON - timedelta(days=ago))


class Cast:
    """Rows by table; `add` puts a person in as its file describes it."""

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.tiers: list[tuple[str, str, str, float]] = []

    def add(self, name: str, told: dict[str, Any]) -> None:
        given = told.get("contact", {})
        known = {"created_at": at(told.get("joined", 1200)), "email": f"{name}@x.example"} | given
        known = {k: v if v != "" else None for k, v in known.items()}
        if "company" in told:
            self._put(
                "companies", {"source": "shopify", "record_id": name, "company_id": name, "state": "live", **told["company"]}
            )
            known["company_id"] = name
        self._put("contacts", contact("shopify", name, **known))
        if "consent" in told:
            yes = {} if isinstance(told["consent"], str) else {"changed_at": at(told["consent"])}
            status = told["consent"] if isinstance(told["consent"], str) else "subscribed"
            row = {"source": "shopify", "contact_id": name, "channel": "email", "topic": "", "status": status}
            self._put("consents", row | yes)
        if "ships" in told:
            self._put("addresses", {"source": "shopify", "contact_id": name, "kind": "shipping", **told["ships"]})
        for i, one in enumerate(told.get("orders", [])):
            self._order(name, f"{name}#{i}", one if isinstance(one, dict) else {"ago": one})
        for i, one in enumerate(told.get("events", [])):
            self._event(name, i, one)
        for i, one in enumerate(told.get("carts", [])):
            self._cart(name, f"{name}#{i}", one if isinstance(one, dict) else {"ago": one})
        for i, one in enumerate(told.get("subscriptions", [])):
            self._subscription(name, f"{name}#{i}", one)
        for score, tier in told.get("scores", {}).items():
            self.tiers.append((name, score, *(tier if isinstance(tier, list) else (tier, 0.5))))

    def _put(self, table: str, row: dict[str, Any]) -> None:
        self.rows.setdefault(table, []).append(row)

    def _order(self, name: str, number: str, told: dict[str, Any]) -> None:
        lines = told.get("lines", [])
        total = told.get("total", sum(x[2] if len(x) > 2 else 30 for x in lines) or 30)
        refund = told.get("refund", {})
        extra: dict[str, Any] = {}
        if "discount" in told:
            extra["discount"] = str(told["discount"])
        if "refunded" in told or refund:
            extra["refunded"] = str(told.get("refunded", refund.get("amount")))
        extra |= {k: True for k, told_as in (("is_cancelled", "cancelled"), ("is_test", "test")) if told.get(told_as)}
        extra |= told.get("also", {})
        self._put("orders", order("shopify", number, name, at(told["ago"]), str(total), **extra))
        for title, category, *amount in lines:
            of = {"vendor": told.get("vendor")}
            self._put("order_lines", line("shopify", number, title, category, str(amount[0] if amount else 30), **of))
        if refund:
            self._put("refunds", {"source": "shopify", "order_id": number, "refund_id": number, "currency": "EUR",
                                  "refunded_at": at(refund["ago"]), "amount": str(refund["amount"])})  # fmt: skip

    def _event(self, name: str, number: int, told: dict[str, Any]) -> None:
        renamed = {"campaign": "campaign_id", "machine": "is_machine"}
        given = {renamed.get(k, k): v for k, v in told.items() if k not in ("ago", "kind")}
        given = {k: str(v) if k == "value" else v for k, v in given.items()}
        self._put("events", event("shopify", name, told["kind"], at(told["ago"]), **given) | {"record_id": f"{name}#{number}"})

    def _cart(self, name: str, number: str, told: dict[str, Any]) -> None:
        done = {"completed_at": at(told["completed"])} if "completed" in told else {}
        row = {"source": "shopify", "cart_id": number, "contact_id": name, "started_at": at(told["ago"]), "total": "40"}
        self._put("carts", row | {"currency": "EUR"} | done)

    def _subscription(self, name: str, number: str, told: dict[str, Any]) -> None:
        row = {"source": "shopify", "subscription_id": number, "contact_id": name, "status": told["status"]}
        for key, column, sign in (
            ("started", "started_at", 1),
            ("cancelled", "cancelled_at", 1),
            ("renews_in", "renews_at", -1),
        ):
            if key in told:
                row[column] = at(sign * told[key])
        self._put("subscriptions", row)

    def ready(self, config):
        """The store with the profile as of DAY; predictions are put where `score` leaves them."""
        store, moment = new_store(), as_of(DAY, config.shop.timezone)
        for table, rows in self.rows.items():
            columns = {k for row in rows for k in row}
            store.insert(table, [dict.fromkeys(columns) | row for row in rows])
        identify(store, config)
        people = dict(store.sql("SELECT contact_id, person_id FROM person_links WHERE source = 'shopify'"))
        if self.tiers:
            store.insert("scores", [
                {"score": score, "person_id": people[name], "value": value, "tier": tier, "cutoff": str(DAY), "is_published": True,
                 "horizon_days": 90}
                for name, score, tier, value in self.tiers
            ])  # fmt: skip
        build(store, config, moment)
        return store, moment, {person: name for name, person in people.items()}
