"""What the simulated Shopify shop keeps: customers, orders and what hangs on them, made from the generated world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from zlib import crc32

from connector.sandbox.shop import SHOPIFY, Cart, Customer, Line, Product, Purchase, Shop

CUSTOMERS_FROM = 7_000_000_000_001
ORDERS_FROM = 5_000_000_000_001
PRODUCTS_FROM = 8_000_000_000_001
CHECKOUTS_FROM = 3_000_000_000_001
COLLECTIONS_FROM = 2_000_000_000_001
FIRST_ORDER_NAME = 1001
CENT = Decimal("0.01")
EPOCH = datetime.fromisoformat("2024-01-01")

Money = tuple[str, str]
"""Amount as Shopify writes it, and the currency."""


def money_text(amount: Decimal) -> str:
    """Trailing zeros cut, at least one decimal: 11884.9, 0.0."""
    text = format(amount, "f")
    if "." not in text:
        return text + ".0"
    text = text.rstrip("0")
    return text + "0" if text.endswith(".") else text


def money(amount: Decimal, currency: str) -> Money:
    return money_text(amount), currency


def time_text(moment: datetime | None) -> str | None:
    """UTC in whole seconds, as every DateTime of the API."""
    return None if moment is None else moment.isoformat(timespec="seconds") + "Z"


@dataclass(slots=True, eq=False)
class CustomerNode:
    """tags: sorted, as answered. lagged, indexed_at: tags and date the search index still believes, until `lagged_until`."""

    kind = "Customer"
    number: int
    id: str
    source: Customer
    consent: str
    consent_at: datetime | None
    created_at: datetime
    updated_at: datetime
    note: str
    tags: list[str] = field(default_factory=list)
    orders: list[OrderNode] = field(default_factory=list)
    metafields: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    lagged: frozenset[str] = frozenset()
    lagged_until: datetime | None = None
    indexed_at: datetime | None = None
    sms: str = "NEVER_SUBSCRIBED"
    _spent: Decimal | None = None

    @property
    def spent(self) -> Decimal:
        """Net of refunds, over the whole lifetime whatever the token may read."""
        if self._spent is None:
            self._spent = sum((o.current for o in self.orders if not o.purchase.test), Decimal(0))
        return self._spent

    def forget_spent(self) -> None:
        """To be called when orders move."""
        self._spent = None


@dataclass(slots=True, eq=False)
class LineNode:
    """gross: before discounts that belong to the whole order; current_quantity: what was not returned."""

    kind = "LineItem"
    id: str
    order: OrderNode
    line: Line
    product: ProductNode | None
    gross: Decimal
    current_quantity: int


@dataclass(slots=True, eq=False)
class RefundNode:
    kind = "Refund"
    number: int
    id: str
    order: OrderNode
    at: datetime
    amount: Decimal

    def lines(self) -> list[LineNode]:
        """All lines when everything went back, the one line with this amount, else none (an amount without goods)."""
        lines = self.order.lines
        if self.amount == self.order.purchase.total:
            return lines
        return [line for line in lines if line.line.amount == self.amount and self.amount][:1]


@dataclass(slots=True, eq=False)
class OrderNode:
    """index: the customer's how-manieth order, 1 is the first. removed: lines an edit took out, by their place.

    purchase.source may hold `currency` (the shop's at the time), `presentment` (the buyer's, as in USD 1.1) and `imported_at`
    (ISO: an order of another shop system, made here later than it was placed)."""

    kind = "Order"
    number: int
    id: str
    name: int
    purchase: Purchase
    customer: CustomerNode | None
    currency: str
    products: dict[str, ProductNode]
    index: int = 1
    tags: list[str] = field(default_factory=list)
    removed: set[int] = field(default_factory=set)
    _updated_at: datetime | None = None

    @property
    def created_at(self) -> datetime:
        imported_at = self.purchase.source.get("imported_at")
        return datetime.fromisoformat(imported_at) if imported_at else self.purchase.at

    @property
    def updated_at(self) -> datetime:
        if self._updated_at is None:
            moments = [self.created_at, *(at for at, _ in self.refund_rows())]
            self._updated_at = max(moments) + (timedelta(hours=1) if self.purchase.cancelled else timedelta())
        return self._updated_at

    @updated_at.setter
    def updated_at(self, moment: datetime) -> None:
        self._updated_at = moment

    @property
    def current(self) -> Decimal:
        """What remains after refunds and cancellation."""
        if self.purchase.cancelled:
            return Decimal(0)
        taken_out = sum((self.purchase.lines[place].amount for place in self.removed), Decimal(0))
        return self.purchase.total - self.purchase.refunded - taken_out

    def refund_rows(self) -> list[tuple[datetime, Decimal]]:
        purchase = self.purchase
        if purchase.refunds or not purchase.refunded:
            return purchase.refunds
        return [(purchase.at + timedelta(days=5), purchase.refunded)]

    @property
    def refunds(self) -> list[RefundNode]:
        made = []
        for place, (at, amount) in enumerate(self.refund_rows()):
            number = self.number * 10 + place
            made.append(RefundNode(number, f"gid://shopify/Refund/{number}", self, at, amount))
        return made

    @property
    def lines(self) -> list[LineNode]:
        shares = self._discount_shares()
        gone = self._returned()
        return [
            LineNode(
                f"gid://shopify/LineItem/{self.number * 1000 + place}",
                self,
                line,
                self.products.get(line.product_id),
                line.amount + shares[place],
                0 if gone == "all" or gone == place or place in self.removed else line.quantity,
            )
            for place, line in enumerate(self.purchase.lines)
        ]

    def _discount_shares(self) -> list[Decimal]:
        """The order's discount spread over its lines by amount, to the cent, the rest on the last."""
        lines, discount = self.purchase.lines, self.purchase.discount
        whole = sum((line.amount for line in lines), Decimal(0))
        if not discount or not whole:
            return [Decimal(0)] * len(lines)
        shares = [(discount * line.amount / whole).quantize(CENT, ROUND_HALF_EVEN) for line in lines]
        shares[-1] += discount - sum(shares, Decimal(0))
        return shares

    def _returned(self) -> str | int | None:
        purchase = self.purchase
        if purchase.cancelled or (purchase.refunded and purchase.refunded >= purchase.total):
            return "all"
        for _, amount in self.refund_rows():
            for place, line in enumerate(purchase.lines):
                if line.amount == amount:
                    return place
        return None


@dataclass(slots=True, eq=False)
class ProductNode:
    kind = "Product"
    number: int
    id: str
    source: Product
    created_at: datetime
    updated_at: datetime
    collection: CollectionNode | None = None


@dataclass(slots=True, eq=False)
class VariantNode:
    """Every product has one."""

    kind = "ProductVariant"
    product: ProductNode

    @property
    def id(self) -> str:
        return f"gid://shopify/ProductVariant/{self.product.number + 1_000_000_000}"


@dataclass(slots=True, eq=False)
class CollectionNode:
    kind = "Collection"
    number: int
    id: str
    title: str
    updated_at: datetime
    products: list[ProductNode] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class CheckoutNode:
    kind = "AbandonedCheckout"
    number: int
    id: str
    cart: Cart
    customer: CustomerNode | None
    currency: str
    products: dict[str, ProductNode]

    @property
    def updated_at(self) -> datetime:
        return self.cart.completed_at or self.cart.created_at


@dataclass
class World:
    """The shop's objects by id, and the lists they are read from. name_of: source customer_id or e-mail -> customer."""

    created_at: datetime
    customers: list[CustomerNode] = field(default_factory=list)
    orders: list[OrderNode] = field(default_factory=list)
    products: list[ProductNode] = field(default_factory=list)
    collections: list[CollectionNode] = field(default_factory=list)
    checkouts: list[CheckoutNode] = field(default_factory=list)
    by_id: dict[str, Any] = field(default_factory=dict)
    by_email: dict[str, CustomerNode] = field(default_factory=dict)
    by_source: dict[str, CustomerNode] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)


def build(shop: Shop) -> World:
    """Shopify's copy of the generated shop. Numbers run in the order of the shop's lists, so they are the same each time."""
    first = min((p.at for p in shop.purchases), default=min((c.created_at for c in shop.customers), default=EPOCH))
    world = World(first - timedelta(days=30))
    for customer in shop.customers:
        if SHOPIFY in customer.on:
            _add_customer(world, customer)
    products = _add_products(world, shop)
    for place, purchase in enumerate(p for p in shop.purchases if SHOPIFY in p.on):
        _add_order(world, place, purchase, shop.currency, products)
    for place, cart in enumerate(shop.carts):
        number = CHECKOUTS_FROM + place
        owner = world.by_source.get(cart.customer_id)
        checkout = CheckoutNode(number, f"gid://shopify/AbandonedCheckout/{number}", cart, owner, shop.currency, products)
        world.checkouts.append(checkout)
        world.by_id[checkout.id] = checkout
    return world


def _add_customer(world: World, customer: Customer) -> None:
    number = CUSTOMERS_FROM + len(world.customers)
    node = CustomerNode(
        number,
        f"gid://shopify/Customer/{number}",
        customer,
        customer.consent.get(SHOPIFY, "NOT_SUBSCRIBED"),
        customer.consent_at.get(SHOPIFY),
        customer.created_at,
        customer.updated_at,
        customer.customer_id,
        sorted(customer.tags.get(SHOPIFY, []), key=str.casefold),
        sms=customer.extra.get(SHOPIFY, {}).get("sms", "NEVER_SUBSCRIBED"),
    )
    for (namespace, key), value in customer.extra.get(SHOPIFY, {}).get("metafields", {}).items():
        node.metafields[namespace, key] = metafield(node, namespace, key, str(value), customer.created_at)
    world.customers.append(node)
    world.by_id[node.id] = node
    world.by_source[customer.customer_id] = node
    if customer.email:
        world.by_email[customer.email.lower()] = node


def metafield(owner: CustomerNode, namespace: str, key: str, value: str, at: datetime) -> dict[str, Any]:
    number = owner.number * 100 + len(owner.metafields)
    return {
        "__typename": "Metafield", "id": f"gid://shopify/Metafield/{number}", "legacyResourceId": str(number),
        "namespace": namespace, "key": key, "value": value, "jsonValue": value, "type": "single_line_text_field",
        "ownerType": "CUSTOMER", "createdAt": time_text(at), "updatedAt": time_text(at), "sizeInBytes": len(value.encode()),
        "compareDigest": f"{hash_text(value):016x}", "description": None, "owner": owner,
    }  # fmt: skip


def hash_text(text: str) -> int:
    """A number of 64 bits that is the same in every run."""
    data = text.encode()
    return crc32(data) << 32 | crc32(data, 1)


def _add_products(world: World, shop: Shop) -> dict[str, ProductNode]:
    groups: dict[str, CollectionNode] = {}
    products: dict[str, ProductNode] = {}
    for place, product in enumerate(shop.products):
        number = PRODUCTS_FROM + place
        then = product.created_at or world.created_at
        node = ProductNode(number, f"gid://shopify/Product/{number}", product, then, then)
        products[product.product_id] = node
        world.products.append(node)
        world.by_id[node.id] = node
        variant = VariantNode(node)
        world.by_id[variant.id] = variant
        if product.category:
            if product.category not in groups:
                number = COLLECTIONS_FROM + len(groups)
                made = CollectionNode(number, f"gid://shopify/Collection/{number}", product.category, world.created_at)
                groups[product.category] = made
                world.collections.append(made)
                world.by_id[made.id] = made
            node.collection = groups[product.category]
            node.collection.products.append(node)
    return products


def _add_order(world: World, place: int, purchase: Purchase, currency: str, products: dict[str, ProductNode]) -> None:
    number = ORDERS_FROM + place
    owner = world.by_source.get(purchase.customer_id)
    then = purchase.source.get("currency", currency)
    node = OrderNode(number, f"gid://shopify/Order/{number}", FIRST_ORDER_NAME + place, purchase, owner, then, products)
    if owner is not None:
        owner.orders.append(node)
        node.index = len(owner.orders)
    world.orders.append(node)
    world.by_id[node.id] = node


def found_refunds(world: World, gid: str) -> Iterator[RefundNode]:
    """The refund with this id, found through the order its number begins with."""
    number = gid.rsplit("/", 1)[-1]
    order = world.by_id.get(f"gid://shopify/Order/{number[:-1]}")
    if order is not None:
        yield from (r for r in order.refunds if r.id == gid)
