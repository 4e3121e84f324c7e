"""The simulated shop as a whole: its lists, its dump, and changes as a person makes them in the admin pages."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from connector.sandbox import shopify_lists as fields
from connector.sandbox.shopify_lists import Listing
from connector.sandbox.shopify_objects import CustomerNode, VariantNode, money_text, time_text

if TYPE_CHECKING:
    from connector.sandbox.shopify import ShopifySimulator

PLAIN = ("first_name", "last_name", "phone", "city", "region", "country", "postcode", "language")
CONSENT = {
    "subscribed": "SUBSCRIBED",
    "unsubscribed": "UNSUBSCRIBED",
    "pending": "PENDING",
    "never_asked": "NOT_SUBSCRIBED",
    "not_subscribed": "NOT_SUBSCRIBED",
    "invalid": "INVALID",
    "redacted": "REDACTED",
}


def lists(shop: ShopifySimulator) -> dict[str, Listing]:
    """Every root list with its sort keys and search fields."""
    world = shop.world
    variants = [VariantNode(p) for p in world.products]
    customers = Listing(
        "customers", lambda: world.customers,
        {
            "ID": lambda c: 0,
            "CREATED_AT": lambda c: c.created_at,
            "UPDATED_AT": lambda c: c.updated_at,
            "NAME": lambda c: f"{c.source.last_name}, {c.source.first_name}",
            "LOCATION": lambda c: f"{c.source.country} {c.source.city}",
        },
        "ID", fields.customer_fields(shop.clock), fields.customer_words, lambda c: c.number,
    )  # fmt: skip
    orders = Listing(
        "orders", lambda: world.orders,
        {
            "ID": lambda o: 0,
            "ORDER_NUMBER": lambda o: o.name,
            "CREATED_AT": lambda o: o.purchase.at,
            "PROCESSED_AT": lambda o: o.purchase.at,
            "UPDATED_AT": lambda o: o.updated_at,
            "TOTAL_PRICE": lambda o: float(o.purchase.total),
            "CURRENT_TOTAL_PRICE": lambda o: float(o.current),
        },
        "PROCESSED_AT", fields.order_fields(), fields.order_words, lambda o: o.number,
    )  # fmt: skip
    products = Listing(
        "products", lambda: world.products,
        {
            "ID": lambda p: 0,
            "TITLE": lambda p: p.source.title,
            "CREATED_AT": lambda p: p.created_at,
            "UPDATED_AT": lambda p: p.updated_at,
        },
        "ID", fields.product_fields(), fields.product_words, lambda p: p.number,
    )  # fmt: skip
    checkouts = Listing(
        "abandonedCheckouts", lambda: world.checkouts,
        {"ID": lambda c: 0, "CREATED_AT": lambda c: c.cart.created_at, "TOTAL_PRICE": lambda c: float(c.cart.total)},
        "ID", fields.checkout_fields(), fields.checkout_words, lambda c: c.number,
    )  # fmt: skip
    collections = Listing(
        "collections", lambda: world.collections,
        {"ID": lambda c: 0, "TITLE": lambda c: c.title, "UPDATED_AT": lambda c: c.updated_at},
        "ID", fields.collection_fields(), fields.collection_words, lambda c: c.number,
    )  # fmt: skip
    product_variants = Listing(
        "productVariants", lambda: variants, {"ID": lambda v: 0}, "ID",
        fields.variant_fields(), fields.variant_words, lambda v: v.product.number,
    )  # fmt: skip
    jobs = Listing(
        "bulkOperations", lambda: list(shop.jobs.values()),
        {"CREATED_AT": lambda j: j.created_at, "COMPLETED_AT": lambda j: j.completed_at or j.created_at},
        "CREATED_AT", fields.bulk_fields(), lambda j: j.id, lambda j: j.number,
    )  # fmt: skip
    return {made.name: made for made in (customers, orders, products, checkouts, collections, product_variants, jobs)}


def dump(shop: ShopifySimulator) -> dict[str, Any]:
    """Customers with their tags and consent, segments, sums. Times only under keys that end in _at."""
    world = shop.world
    return {
        "customers": [_customer(c) for c in world.customers],
        "orders": len(world.orders),
        "net_total": money_text(sum((o.current for o in world.orders), Decimal(0))),
        "segments": [{"name": s["name"], "query": s["query"]} for s in shop.segments.values()],
        "bulk_operations": len(shop.jobs),
        "mails_started": shop.mails_started,
    }


def _customer(c: CustomerNode) -> dict[str, Any]:
    return {
        "id": c.number,
        "customer_id": c.source.customer_id,
        "email": c.source.email,
        "first_name": c.source.first_name,
        "last_name": c.source.last_name,
        "phone": c.source.phone,
        "city": c.source.city,
        "country": c.source.country,
        "consent": c.consent,
        "consent_at": time_text(c.consent_at),
        "tags": c.tags,
        "orders": len(c.orders),
        "metafields": {f"{namespace}.{key}": m["value"] for (namespace, key), m in sorted(c.metafields.items())},
        "updated_at": time_text(c.updated_at),
    }


def change_customer(shop: ShopifySimulator, name: str, wanted: dict[str, Any]) -> bool:
    """As a person in the admin pages would. ValueError for a key that a customer does not have."""
    customer = shop.customer(name)
    if customer is None:
        return False
    unknown = set(wanted) - {*PLAIN, "email", "consent", "status", "tags", "note", "state", "sms", "deleted"}
    if unknown:
        raise ValueError(f"a Shopify customer has no '{sorted(unknown)[0]}'")
    if wanted.get("deleted"):
        _forget(shop, customer)
        return True
    _set_email(shop, customer, wanted)
    for key in PLAIN:
        if key in wanted:
            setattr(customer.source, key, str(wanted[key] or ""))
    state = wanted.get("consent") or wanted.get("status") or wanted.get("state")
    if state:
        customer.consent, customer.consent_at = _consent(str(state)), shop.clock()
    if "tags" in wanted:
        customer.tags = sorted(wanted["tags"], key=str.casefold)
    customer.note = wanted.get("note", customer.note)
    customer.sms = wanted.get("sms", customer.sms)
    customer.updated_at = shop.clock()
    shop.lists["customers"].changed()
    return True


def _consent(word: str) -> str:
    known = CONSENT.get(word.lower())
    if known is None:
        raise ValueError(f"'{word}' is no consent state: {', '.join(CONSENT)}")
    return known


def _set_email(shop: ShopifySimulator, customer: CustomerNode, wanted: dict[str, Any]) -> None:
    if "email" not in wanted:
        return
    email = str(wanted["email"] or "").strip().lower()
    owner = shop.world.by_email.get(email)
    if owner is not None and owner is not customer:
        raise ValueError("another customer has this e-mail address")
    shop.world.by_email.pop(customer.source.email.lower(), None)
    customer.source.email = email
    if email:
        shop.world.by_email[email] = customer


def _forget(shop: ShopifySimulator, customer: CustomerNode) -> None:
    world = shop.world
    world.customers.remove(customer)
    world.by_id.pop(customer.id, None)
    world.by_source.pop(customer.source.customer_id, None)
    world.by_email.pop(customer.source.email.lower(), None)
    for order in customer.orders:
        order.customer = None
    shop.lists["customers"].changed()


def merge(shop: ShopifySimulator, keep: str, lose: str) -> None:
    winner, loser = shop.customer(keep), shop.customer(lose)
    if winner is None or loser is None or winner is loser:
        raise ValueError("two customers of this shop are needed")
    winner.orders = sorted([*winner.orders, *loser.orders], key=lambda o: o.purchase.at)
    moved, loser.orders = loser.orders, []
    _forget(shop, loser)
    for index, order in enumerate(winner.orders):
        order.customer, order.index = winner, index + 1
    for order in moved:
        order.updated_at = shop.clock()
    known = {tag.casefold() for tag in winner.tags}
    winner.tags = sorted([*winner.tags, *(t for t in loser.tags if t.casefold() not in known)], key=str.casefold)
    winner.forget_spent()
    winner.updated_at = shop.clock()
    shop.lists["customers"].changed()
    shop.lists["orders"].changed()
