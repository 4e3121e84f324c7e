"""What of Rollcall stops being right when a field of a platform is not there any more, in the owner's words."""

from __future__ import annotations

from collections.abc import Iterable

BY_COLUMN = {
    "contacts.email": "recognising people across platforms",
    "contacts.phone": "recognising people across platforms",
    "contacts.tags": "rules on tags",
    "contacts.groups": "rules on preference groups",
    "contacts.lifecycle_stage": "lifecycle segments",
    "contacts.updated_at": "telling which of two records is the newer one",
    "contacts.state": "leaving out who was archived or erased",
    "contacts.is_marketable": "saying who cannot be mailed until paid for",
    "contacts.company_id": "industry and company size",
    "orders.contact_id": "knowing whose order it is",
    "orders.ordered_at": "everything that counts days since an order",
    "orders.net": "revenue, value and spend ranks",
    "orders.total": "revenue, value and spend ranks",
    "orders.status": "leaving out what was cancelled or refunded",
    "products.price": "rules on prices",
    "events.occurred_at": "everything that counts days since an open or a click",
    "events.contact_id": "knowing who opened and clicked",
    "events.text": "reasons for leaving",
    "campaigns.sent_at": "engagement over time",
}
BY_TABLE = {
    "contacts": "columns about the person",
    "identifiers": "recognising people across platforms",
    "consents": "knowing who may be written",
    "addresses": "rules on places",
    "orders": "columns about orders",
    "order_lines": "rules on what was bought",
    "refunds": "revenue after refunds",
    "discounts": "promotion sensitivity",
    "products": "rules on products and categories",
    "companies": "industry and company size",
    "campaigns": "figures of campaigns",
    "events": "engagement: opens, clicks, visits",
    "carts": "abandoned carts",
    "subscriptions": "subscription segments",
}


def broken(columns: Iterable[str]) -> list[str]:
    """What depends on these columns ('contacts.email'), each said once."""
    found = [BY_COLUMN.get(c) or BY_TABLE.get(c.partition(".")[0], "") for c in columns]
    return [text for text in dict.fromkeys(found) if text]
