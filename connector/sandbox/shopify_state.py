"""The simulated shop as a whole: its lists, its dump, and changes as a person makes them in the admin pages."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from connector.sandbox import shopify_lists as fields
from connector.sandbox.shopify_lists import Listing
from connector.sandbox.shopify_objects import CustomerNode, OrderNode, VariantNode, money_text, time_text

if TYPE_CHECKING:
    from connector.sandbox.shopify import ShopifySimulator

CHECKOUTS_KEPT = timedelta(days=90)
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
            "UPDATED_AT": fields.indexed_at(shop.clock),
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
            "CREATED_AT": lambda o: o.created_at,
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
    events = Listing(
        "events", lambda: world.events, {"ID": lambda e: 0, "CREATED_AT": lambda e: e["at"]}, "ID",
        fields.event_fields(), lambda e: str(e["message"]).lower(), lambda e: e["number"],
    )  # fmt: skip
    every = (customers, orders, products, checkouts, collections, product_variants, jobs, events)
    return {made.name: made for made in every}


def lag(shop: ShopifySimulator, customer: CustomerNode) -> None:
    """Before a change: for a while the search index will still find the customer as it is now."""
    lag_s, now = shop.switches.index_lag_s, shop.clock()
    if not lag_s:
        return
    if customer.lagged_until is None or customer.lagged_until <= now:
        customer.lagged = frozenset(tag.lower() for tag in customer.tags)
        customer.indexed_at = customer.updated_at
    customer.lagged_until = now + timedelta(seconds=lag_s)
    shop.lagged_until = max(shop.lagged_until or now, customer.lagged_until)


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
    lag(shop, customer)
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


def purge(shop: ShopifySimulator) -> None:
    """Abandoned checkouts go once a week, when they are three months old."""
    now = shop.clock()
    monday = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=now.weekday())
    world = shop.world
    old = [c for c in world.checkouts if c.cart.created_at < monday - CHECKOUTS_KEPT]
    if not old:
        return
    for checkout in old:
        world.by_id.pop(checkout.id, None)
    world.checkouts[:] = [c for c in world.checkouts if c.id in world.by_id]
    shop.lists["abandonedCheckouts"].changed()


def delete_product(shop: ShopifySimulator, product_id: str) -> None:
    """As in the admin pages: order lines keep their text and lose the product; an event stays."""
    world = shop.world
    product = next(p for p in world.products if p.source.product_id == product_id)
    world.products.remove(product)
    for order in world.orders:
        order.products.pop(product_id, None)
    for gid in (product.id, VariantNode(product).id):
        world.by_id.pop(gid, None)
    if product.collection:
        product.collection.products.remove(product)
    number = 4_000_000_000_001 + len(world.events)
    world.events.append(
        {
            "__typename": "BasicEvent", "number": number, "id": f"gid://shopify/BasicEvent/{number}", "action": "destroy",
            "at": shop.clock(), "createdAt": time_text(shop.clock()), "subjectId": product.id, "subjectType": "PRODUCT",
            "message": "A product was deleted.",
        }
    )  # fmt: skip
    for name in ("products", "orders", "productVariants", "events"):
        shop.lists[name].changed()


def refund(shop: ShopifySimulator, order_id: str, amount: Decimal) -> None:
    """Give money back for an order, named by the source's order_id, now."""
    order = _order(shop, order_id)
    order.purchase.refunds = [*order.refund_rows(), (shop.clock(), amount)]
    order.purchase.refunded += amount
    _reordered(shop, order)


def edit_order(shop: ShopifySimulator, order_id: str, place: int) -> None:
    """Take a line out of an order."""
    order = _order(shop, order_id)
    order.removed.add(place)
    _reordered(shop, order)


def delete_order(shop: ShopifySimulator, order_id: str) -> None:
    order = _order(shop, order_id)
    shop.world.orders.remove(order)
    shop.world.by_id.pop(order.id, None)
    if order.customer:
        order.customer.orders.remove(order)
    _reordered(shop, order)


def _order(shop: ShopifySimulator, order_id: str) -> OrderNode:
    return next(o for o in shop.world.orders if o.purchase.order_id == order_id)


def _reordered(shop: ShopifySimulator, order: OrderNode) -> None:
    order.updated_at = shop.clock()
    if order.customer:
        order.customer.forget_spent()
    shop.lists["orders"].changed()


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
