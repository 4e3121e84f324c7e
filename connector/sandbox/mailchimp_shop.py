"""Mailchimp's own copy of a shop. No filter by time and no sort anywhere: every reading is a full walk."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from connector.sandbox.base import Response
from connector.sandbox.mailchimp_state import Account, Store
from connector.sandbox.mailchimp_wire import Call, Json, answer, collection, listing, not_found, shape, stamp
from connector.sandbox.shop import MAILCHIMP, SHOPIFY, Cart, Customer, Line, Product, Purchase, Shop
from connector.sandbox.shopify_objects import ORDERS_FROM

STORE_ID = "sandbox-store"

STORE = shape(
    "id list_id name platform domain is_syncing email_address currency_code money_format primary_locale timezone phone"
    " address.* list_is_active created_at updated_at"
)
STORES = collection("stores", STORE)
_CUSTOMER = (
    "id email_address opt_in_status company first_name last_name orders_count total_spent address.* created_at updated_at"
    " sms_phone_number"
)
CUSTOMER = shape(_CUSTOMER)
CUSTOMERS = collection("customers", CUSTOMER, "store_id")
ORDER = shape(
    "id store_id campaign_id landing_site financial_status fulfillment_status currency_code order_total order_url"
    " discount_total tax_total shipping_total tracking_code processed_at_foreign cancelled_at_foreign updated_at_foreign"
    " shipping_address.* billing_address.* promos.code promos.amount_discounted promos.type lines.id lines.product_id"
    " lines.product_title lines.product_variant_id lines.product_variant_title lines.image_url lines.quantity lines.price"
    " lines.discount outreach.* tracking_number tracking_carrier tracking_url cart_id "
    + " ".join(f"customer.{name}" for name in _CUSTOMER.split())
)
ORDERS = collection("orders", ORDER, "store_id")
PRODUCT = shape("id currency_code title handle url description type vendor image_url variants.* images.* published_at_foreign")
PRODUCTS = collection("products", PRODUCT, "store_id")
CART = shape(
    "id campaign_id checkout_url currency_code order_total tax_total lines.* created_at updated_at "
    + " ".join(f"customer.{name}" for name in _CUSTOMER.split())
)
CARTS = collection("carts", CART, "store_id")


def build_store(shop: Shop, list_id: str, number: int = 0) -> Store | None:
    """The copy that a plugin has sent, or None when the shop has sent nothing here.

    number: which store of the account it is, 0 the first. An order that Shopify has too bears Shopify's own number, as
    its plugin sends it; any other that of the shop.
    """
    purchases = [purchase for purchase in shop.purchases if MAILCHIMP in purchase.on]
    if not purchases:
        return None
    people = {customer.customer_id: customer for customer in shop.customers}
    bought: dict[str, list[Purchase]] = defaultdict(list)
    for purchase in purchases:
        bought[purchase.customer_id].append(purchase)
    carts = [cart for cart in shop.carts if cart.customer_id in people and MAILCHIMP in people[cart.customer_id].on]
    customers = {
        key: _customer(people[key], bought.get(key, []))
        for key in dict.fromkeys([*bought, *(cart.customer_id for cart in carts)])
        if key in people
    }
    first = min(purchase.at for purchase in purchases)
    store_id = f"{STORE_ID}-{number + 1}" if number else STORE_ID
    numbers = _numbers(shop)
    return Store(
        _info(shop, list_id, first, store_id),
        list(customers.values()),
        [_product(shop, product) for product in shop.products],
        [
            _order(shop, purchase, customers[purchase.customer_id], store_id, numbers)
            for purchase in purchases
            if purchase.customer_id in customers
        ],
        [_cart(shop, cart, customers[cart.customer_id]) for cart in carts if cart.completed_at is None],
    )


def _numbers(shop: Shop) -> dict[str, str]:
    """Shopify's number of each purchase that is there."""
    there = (purchase for purchase in shop.purchases if SHOPIFY in purchase.on)
    return {purchase.order_id: str(ORDERS_FROM + place) for place, purchase in enumerate(there)}


def _info(shop: Shop, list_id: str, first: datetime, store_id: str) -> Json:
    return {
        "id": store_id,
        "list_id": list_id,
        "name": shop.name,
        "platform": "Custom",
        "domain": "",
        "is_syncing": False,
        "email_address": "",
        "currency_code": shop.currency,
        "money_format": "",
        "primary_locale": "en",
        "timezone": shop.timezone,
        "phone": "",
        "address": {},
        "list_is_active": True,
        "created_at": stamp(first),
        "updated_at": stamp(first),
    }


def _address(person: Customer) -> Json:
    return {
        "address1": "",
        "address2": "",
        "city": person.city,
        "province": person.region,
        "province_code": "",
        "postal_code": person.postcode,
        "country": "",
        "country_code": person.country,
    }


def _money(amount: Decimal) -> float:
    return float(round(amount, 4))


def _customer(person: Customer, purchases: list[Purchase]) -> Json:
    return {
        "id": person.customer_id,
        "email_address": person.email,
        "opt_in_status": person.consent.get(MAILCHIMP) == "subscribed",
        "company": "",
        "first_name": person.first_name,
        "last_name": person.last_name,
        "orders_count": len(purchases),
        "total_spent": _money(sum((purchase.total for purchase in purchases), Decimal(0))),
        "address": _address(person),
        "created_at": stamp(person.created_at),
        "updated_at": stamp(person.updated_at),
    }


def _line(position: int, line: Line) -> Json:
    return {
        "id": str(position),
        "product_id": line.product_id,
        "product_title": line.title,
        "product_variant_id": line.product_id,
        "product_variant_title": "",
        "quantity": line.quantity,
        "price": _money(line.amount / (line.quantity or 1)),
        "discount": 0,
    }


def _order(shop: Shop, purchase: Purchase, customer: Json, store_id: str, numbers: dict[str, str]) -> Json:
    """Refunded amounts are not shown; a refund of everything changes the status and nothing else."""
    is_refunded = purchase.refunded > 0 and purchase.refunded >= purchase.total
    status = "cancelled" if purchase.cancelled else "refunded" if is_refunded else "paid"
    updated = max((at for at, _ in purchase.refunds), default=purchase.at)
    discount = _money(purchase.discount)
    return {
        "id": numbers.get(purchase.order_id, purchase.order_id),
        "customer": customer,
        "store_id": store_id,
        "campaign_id": "",
        "landing_site": purchase.source.get("landing_site", purchase.source.get("landing_page", "")),
        "financial_status": status,
        "fulfillment_status": "",
        "currency_code": shop.currency,
        "order_total": _money(purchase.total),
        "order_url": "",
        "discount_total": discount,
        "tax_total": 0,
        "shipping_total": 0,
        "processed_at_foreign": stamp(purchase.at),
        "cancelled_at_foreign": stamp(purchase.at) if purchase.cancelled else "",
        "updated_at_foreign": stamp(updated),
        "promos": [{"code": purchase.code, "amount_discounted": discount, "type": "fixed"}] if purchase.code else [],
        "lines": [_line(position, line) for position, line in enumerate(purchase.lines, 1)],
    }


def _product(shop: Shop, product: Product) -> Json:
    variant = {"id": product.product_id, "title": product.title, "url": "", "sku": "", "price": _money(product.price)}
    return {
        "id": product.product_id,
        "currency_code": shop.currency,
        "title": product.title,
        "handle": "",
        "url": "",
        "description": "",
        "type": product.category,
        "vendor": product.vendor,
        "image_url": "",
        "variants": [variant],
        "images": [],
        "published_at_foreign": "",
    }


def _cart(shop: Shop, cart: Cart, customer: Json) -> Json:
    return {
        "id": cart.cart_id,
        "customer": customer,
        "campaign_id": "",
        "checkout_url": "",
        "currency_code": shop.currency,
        "order_total": _money(cart.total),
        "tax_total": 0,
        "lines": [
            {name: value for name, value in _line(position, line).items() if name != "discount"}
            for position, line in enumerate(cart.lines, 1)
        ],
        "created_at": stamp(cart.created_at),
        "updated_at": stamp(cart.created_at),
    }


def _store(account: Account, call: Call) -> Store:
    if account.store is None or call.args["store_id"] != account.store.info["id"]:
        raise not_found()
    return account.store


def stores(account: Account, call: Call) -> Response:
    return listing(call, STORES, "stores", [each.store.info for each in account.audiences.values() if each.store])


def store(account: Account, call: Call) -> Response:
    return answer(call, STORE, _store(account, call).info)


def customers(account: Account, call: Call) -> Response:
    found = _store(account, call).customers
    if address := call.text("email_address"):
        found = [customer for customer in found if customer["email_address"].lower() == address.lower()]
    return listing(call, CUSTOMERS, "customers", found, more=_of_store(call))


def _of_store(call: Call) -> Json:
    return {"store_id": call.args["store_id"]}


def _chosen(call: Call, found: list[Json]) -> list[Json]:
    if customer_id := call.text("customer_id"):
        found = [order for order in found if order["customer"]["id"] == customer_id]
    if campaign_id := call.text("campaign_id"):
        found = [order for order in found if order["campaign_id"] == campaign_id]
    if call.text("outreach_id") or call.flag("has_outreach"):
        return []
    return found


def orders(account: Account, call: Call) -> Response:
    return listing(call, ORDERS, "orders", _chosen(call, _store(account, call).orders), more=_of_store(call))


def all_orders(account: Account, call: Call) -> Response:
    every = [order for each in account.audiences.values() if each.store for order in each.store.orders]
    return listing(call, ORDERS, "orders", _chosen(call, every))


def one_order(account: Account, call: Call) -> Response:
    found = next((order for order in _store(account, call).orders if order["id"] == call.args["order_id"]), None)
    if found is None:
        raise not_found()
    return answer(call, ORDER, found)


def products(account: Account, call: Call) -> Response:
    return listing(call, PRODUCTS, "products", _store(account, call).products, more=_of_store(call))


def carts(account: Account, call: Call) -> Response:
    return listing(call, CARTS, "carts", _store(account, call).carts, more=_of_store(call))


ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/ecommerce/stores", stores),
    ("GET", "/ecommerce/orders", all_orders),
    ("GET", "/ecommerce/stores/{store_id}", store),
    ("GET", "/ecommerce/stores/{store_id}/customers", customers),
    ("GET", "/ecommerce/stores/{store_id}/orders", orders),
    ("GET", "/ecommerce/stores/{store_id}/orders/{order_id}", one_order),
    ("GET", "/ecommerce/stores/{store_id}/products", products),
    ("GET", "/ecommerce/stores/{store_id}/carts", carts),
]
