"""A store filled by hand, for the stages behind it."""

from __future__ import annotations

from datetime import date
from typing import Any

from connector.clock import as_of
from connector.config import Config, SegmentSection, Shop
from connector.identity import identify
from connector.profile import build
from connector.store import Store
from models.segments import AsOf

DAY = date(2026, 7, 1)


def shop_config(*segments: dict[str, Any], **shop: Any) -> Config:
    known = {"timezone": "Europe/Berlin", "currency": "EUR", "country": "DE"} | shop
    return Config(shop=Shop(**known), segment=tuple(SegmentSection(**s) for s in segments))


def new_store() -> Store:
    return Store(":memory:")


def contact(source: str, contact_id: str, **values: Any) -> dict[str, Any]:
    stream = {"shopify": "customers", "mailchimp": "members"}.get(source, "contacts")
    return {"source": source, "stream": stream, "record_id": contact_id, "contact_id": contact_id, "state": "live"} | values


def order(source: str, order_id: str, contact_id: str | None, at: str, total: str | None, **values: Any) -> dict[str, Any]:
    base = {
        "source": source, "stream": "orders", "record_id": order_id, "order_id": order_id, "contact_id": contact_id,
        "kind": "order", "ordered_at": at if len(at) > 10 else f"{at} 12:00:00", "total": total,
        "currency": "EUR", "status": "paid",
    }  # fmt: skip
    return base | values


def line(source: str, order_id: str, title: str, category: str, amount: str, **values: Any) -> dict[str, Any]:
    base = {
        "source": source, "stream": "orders", "record_id": order_id, "order_id": order_id, "title": title,
        "product_id": title.lower(), "category": category, "quantity": "1", "amount": amount, "currency": "EUR",
    }  # fmt: skip
    return base | values


def event(source: str, contact_id: str | None, kind: str, at: str, **values: Any) -> dict[str, Any]:
    base = {"source": source, "stream": "activity", "record_id": f"{contact_id}{kind}{at}", "contact_id": contact_id}
    return base | {"kind": kind, "occurred_at": at if len(at) > 10 else f"{at} 12:00:00"} | values


def derive(store: Store, config: Config, day: date = DAY) -> AsOf:
    """Identity and profile as of a day."""
    moment = as_of(day, config.shop.timezone)
    identify(store, config)
    build(store, config, moment)
    return moment


def person_of(store: Store, source: str, contact_id: str) -> str:
    return str(store.value("SELECT person_id FROM person_links WHERE source = ? AND contact_id = ?", [source, contact_id]))


def row(store: Store, source: str, contact_id: str) -> dict[str, Any]:
    """The profile of the person behind a contact."""
    return store.rows("SELECT * FROM profile WHERE person_id = ?", [person_of(store, source, contact_id)])[0]
