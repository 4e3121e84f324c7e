"""What each field of the simulated shop's objects answers: type -> field -> function of (object, context[, arguments])."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from connector.sandbox.shop import Line
from connector.sandbox.shopify_catalog import COLLECTION, PRODUCT, VARIANT
from connector.sandbox.shopify_lists import Page, financial_status, plain_page
from connector.sandbox.shopify_objects import (
    CheckoutNode,
    CustomerNode,
    LineNode,
    Money,
    OrderNode,
    RefundNode,
    VariantNode,
    hash_text,
    money,
    money_text,
    time_text,
)
from connector.sandbox.shopify_request import Context, Table

COUNTRIES = {
    "AT": "Austria", "BE": "Belgium", "CH": "Switzerland", "DE": "Germany", "DK": "Denmark", "ES": "Spain", "FR": "France",
    "GB": "United Kingdom", "IT": "Italy", "LU": "Luxembourg", "NL": "Netherlands", "PL": "Poland", "US": "United States",
}  # fmt: skip


def type_of(obj: Any) -> str:
    """The type of a value behind an interface or union."""
    if type(obj) is dict:
        return str(obj["__typename"])
    return "MoneyV2" if type(obj) is tuple else str(obj.kind)


def _nil(order: OrderNode, ctx: Context) -> Money:
    return "0.0", order.currency


def _blank(ctx: Context) -> bool:
    return bool(ctx.shop.switches.blank_personal_data)


def _is_hidden(c: CustomerNode, ctx: Context) -> bool:
    """Of a person who was erased nothing personal is left; a plan may hide everybody's."""
    return c.consent == "REDACTED" or _blank(ctx)


def _email(c: CustomerNode, ctx: Context) -> dict[str, Any] | None:
    if not c.source.email or _is_hidden(c, ctx):
        return None
    url = f"https://shop.example/account/{c.number}"
    return {
        "emailAddress": c.source.email,
        "marketingState": c.consent,
        "marketingOptInLevel": "SINGLE_OPT_IN" if c.consent == "SUBSCRIBED" else None,
        "marketingUpdatedAt": time_text(c.consent_at),
        "marketingUnsubscribeUrl": url,
        "openTrackingLevel": "UNKNOWN",
        "openTrackingUrl": url,
        "validFormat": True,
    }


def _phone(c: CustomerNode, ctx: Context) -> dict[str, Any] | None:
    if not c.source.phone or _is_hidden(c, ctx):
        return None
    consent = {"state": c.sms, "optInLevel": None, "updatedAt": None, "collectedFrom": None}
    flat = "NOT_SUBSCRIBED" if c.sms == "NEVER_SUBSCRIBED" else c.sms
    return {
        "phoneNumber": c.source.phone,
        "smsMarketingConsent": consent,
        "marketingState": flat,
        "marketingOptInLevel": None,
        "marketingUpdatedAt": None,
        "marketingCollectedFrom": None,
    }


def _address(c: CustomerNode, ctx: Context) -> dict[str, Any] | None:
    source = c.source
    if _is_hidden(c, ctx) or not (source.city or source.country or source.postcode):
        return None
    country = COUNTRIES.get(source.country, source.country)
    return {
        "__typename": "MailingAddress", "id": f"gid://shopify/MailingAddress/{c.number}?model_name=CustomerAddress",
        "firstName": source.first_name, "lastName": source.last_name, "name": _name(c), "phone": source.phone or None,
        "city": source.city or None, "province": source.region or None, "provinceCode": None, "country": country or None,
        "countryCode": source.country or None, "countryCodeV2": source.country or None, "zip": source.postcode or None,
        "company": None, "formattedArea": f"{source.city} {country}".strip(), "formatted": [source.city, country],
    }  # fmt: skip


def _name(c: CustomerNode) -> str:
    return f"{c.source.first_name} {c.source.last_name}".strip()


def _visible(c: CustomerNode, ctx: Context) -> list[OrderNode]:
    wall = ctx.shop.wall(ctx)
    return c.orders if wall is None else [o for o in c.orders if o.created_at >= wall]


def _customer_orders(c: CustomerNode, ctx: Context, args: dict[str, Any]) -> Page:
    return plain_page(ctx, _visible(c, ctx), args, c.id)


def _metafield(c: CustomerNode, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    return c.metafields.get((args.get("namespace") or "$app", args["key"]))


def _metafields(c: CustomerNode, ctx: Context, args: dict[str, Any]) -> Page:
    wanted = args.get("namespace")
    found = [m for (namespace, _), m in sorted(c.metafields.items()) if wanted in (None, namespace)]
    return plain_page(ctx, found, args, f"{c.id}m")


def _rfm(c: CustomerNode) -> str:
    return "PROSPECTS" if not c.orders else ("NEW" if len(c.orders) == 1 else "ACTIVE")


CUSTOMER: dict[str, Any] = {
    "id": lambda c, ctx: c.id,
    "legacyResourceId": lambda c, ctx: str(c.number),
    "createdAt": lambda c, ctx: time_text(c.created_at),
    "updatedAt": lambda c, ctx: time_text(c.updated_at),
    "firstName": lambda c, ctx: None if _is_hidden(c, ctx) else c.source.first_name or None,
    "lastName": lambda c, ctx: None if _is_hidden(c, ctx) else c.source.last_name or None,
    "displayName": lambda c, ctx: "" if _is_hidden(c, ctx) else _name(c) or c.source.email,
    "email": lambda c, ctx: None if _is_hidden(c, ctx) else c.source.email or None,
    "phone": lambda c, ctx: None if _is_hidden(c, ctx) else c.source.phone or None,
    "locale": lambda c, ctx: c.source.language or "en",
    "state": lambda c, ctx: "DISABLED",
    "tags": lambda c, ctx: c.tags,
    "note": lambda c, ctx: c.note or None,
    "verifiedEmail": lambda c, ctx: bool(c.source.email),
    "validEmailAddress": lambda c, ctx: bool(c.source.email),
    "unsubscribeUrl": lambda c, ctx: f"https://shop.example/account/{c.number}",
    "taxExempt": lambda c, ctx: False,
    "dataSaleOptOut": lambda c, ctx: False,
    "numberOfOrders": lambda c, ctx: str(len(c.orders)),
    "amountSpent": lambda c, ctx: money(c.spent, ctx.shop.currency),
    "productSubscriberStatus": lambda c, ctx: c.source.extra.get("shopify", {}).get("subscriber", "NEVER_SUBSCRIBED"),
    "defaultEmailAddress": _email,
    "defaultPhoneNumber": _phone,
    "defaultAddress": _address,
    "addresses": lambda c, ctx, args: [a] if (a := _address(c, ctx)) else [],
    "emailMarketingConsent": lambda c, ctx: {
        "marketingState": c.consent, "marketingOptInLevel": "SINGLE_OPT_IN" if c.consent == "SUBSCRIBED" else None,
        "consentUpdatedAt": time_text(c.consent_at),
    },
    "statistics": lambda c, ctx: {"predictedSpendTier": None, "rfmGroup": _rfm(c)},
    "lastOrder": lambda c, ctx: seen[-1] if (seen := _visible(c, ctx)) else None,
    "orders": _customer_orders,
    "metafield": _metafield,
    "metafields": _metafields,
}  # fmt: skip


def _journey(o: OrderNode, ctx: Context) -> dict[str, Any] | None:
    source = o.purchase.source
    if not source:
        return None
    names = {
        "source": "utm_source",
        "medium": "utm_medium",
        "campaign": "utm_campaign",
        "term": "utm_term",
        "content": "utm_content",
    }
    utm = {key: source.get(name) for key, name in names.items()} if source.get("utm_source") else None
    visit = {
        "__typename": "CustomerVisit",
        "id": f"gid://shopify/CustomerVisit/{o.number}",
        "occurredAt": time_text(o.purchase.at),
        "source": source.get("source", "direct"),
        "sourceType": source.get("source_type"),
        "referrerUrl": source.get("referrer"),
        "landingPage": source.get("landing_page"),
        "utmParameters": utm,
    }
    days = int(source.get("days", "0"))
    return {"ready": True, "customerOrderIndex": o.index - 1, "daysToConversion": days, "firstVisit": visit, "lastVisit": visit}


def _discounts(o: OrderNode, ctx: Context, args: dict[str, Any]) -> Page:
    purchase = o.purchase
    rows = []
    if purchase.discount:
        common = {
            "index": 0, "allocationMethod": "ACROSS", "targetSelection": "ALL", "targetType": "LINE_ITEM",
            "value": money(purchase.discount, o.currency),
        }  # fmt: skip
        if purchase.code:
            rows = [{"__typename": "DiscountCodeApplication", "code": purchase.code, **common}]
        else:
            rows = [{"__typename": "AutomaticDiscountApplication", "title": "Automatic discount", **common}]
    return plain_page(ctx, rows, args, f"{o.id}d")


def _order_address(o: OrderNode, ctx: Context) -> dict[str, Any] | None:
    return _address(o.customer, ctx) if o.customer else None


def _net(o: OrderNode) -> Decimal:
    return Decimal(0) if o.purchase.cancelled else o.purchase.total - o.purchase.refunded


def _quantity(lines: list[Line]) -> int:
    return sum(line.quantity for line in lines)


def _presentment(o: OrderNode) -> tuple[str, Decimal]:
    """The buyer's currency and what one of the shop's is worth in it."""
    code, _, rate = o.purchase.source.get("presentment", f"{o.currency} 1").partition(" ")
    return code, Decimal(rate)


def _total(o: OrderNode, ctx: Context) -> tuple[str, str, str, str]:
    code, rate = _presentment(o)
    return *money(o.purchase.total, o.currency), *money((o.purchase.total * rate).quantize(Decimal("0.01")), code)


ORDER: dict[str, Any] = {
    "id": lambda o, ctx: o.id,
    "legacyResourceId": lambda o, ctx: str(o.number),
    "name": lambda o, ctx: f"#{o.name}",
    "number": lambda o, ctx: o.name,
    "createdAt": lambda o, ctx: time_text(o.created_at),
    "processedAt": lambda o, ctx: time_text(o.purchase.at),
    "updatedAt": lambda o, ctx: time_text(o.updated_at),
    "cancelledAt": lambda o, ctx: time_text(o.updated_at) if o.purchase.cancelled else None,
    "cancelReason": lambda o, ctx: "CUSTOMER" if o.purchase.cancelled else None,
    "closed": lambda o, ctx: o.purchase.cancelled,
    "closedAt": lambda o, ctx: time_text(o.updated_at) if o.purchase.cancelled else None,
    "test": lambda o, ctx: o.purchase.test,
    "confirmed": lambda o, ctx: True,
    "edited": lambda o, ctx: bool(o.removed),
    "email": lambda o, ctx: o.customer.source.email or None if o.customer and not _is_hidden(o.customer, ctx) else None,
    "tags": lambda o, ctx: o.tags,
    "sourceName": lambda o, ctx: "web",
    "sourceIdentifier": lambda o, ctx: o.purchase.order_id,
    "currencyCode": lambda o, ctx: o.currency,
    "presentmentCurrencyCode": lambda o, ctx: _presentment(o)[0],
    "taxesIncluded": lambda o, ctx: True,
    "displayFinancialStatus": lambda o, ctx: financial_status(o),
    "displayFulfillmentStatus": lambda o, ctx: "UNFULFILLED" if o.purchase.cancelled else "FULFILLED",
    "returnStatus": lambda o, ctx: "RETURNED" if o.purchase.refunded else "NO_RETURN",
    "discountCode": lambda o, ctx: o.purchase.code or None,
    "discountCodes": lambda o, ctx: [o.purchase.code] if o.purchase.code else [],
    "paymentGatewayNames": lambda o, ctx: ["shopify_payments"],
    "fullyPaid": lambda o, ctx: True,
    "customerLocale": lambda o, ctx: o.customer.source.language or "en" if o.customer else None,
    "checkoutToken": lambda o, ctx: f"{hash_text(o.id):016x}",
    "attribution": lambda o, ctx: {"handle": "web", "displayName": "Online Store"},
    "app": lambda o, ctx: {"id": "gid://shopify/App/580111", "name": "Online Store"},
    "customer": lambda o, ctx: o.customer,
    "originalTotalPriceSet": lambda o, ctx: money(o.purchase.total, o.currency),
    "totalPriceSet": _total,
    "subtotalPriceSet": lambda o, ctx: money(o.purchase.total, o.currency),
    "currentTotalPriceSet": lambda o, ctx: money(o.current, o.currency),
    "currentSubtotalPriceSet": lambda o, ctx: money(o.current, o.currency),
    "totalDiscountsSet": lambda o, ctx: money(o.purchase.discount, o.currency),
    "currentTotalDiscountsSet": lambda o, ctx: money(o.purchase.discount, o.currency),
    "totalRefundedSet": lambda o, ctx: money(o.purchase.refunded, o.currency),
    "netPaymentSet": lambda o, ctx: money(_net(o), o.currency),
    "totalReceivedSet": lambda o, ctx: money(o.purchase.total, o.currency),
    "totalShippingPriceSet": _nil,
    "totalTaxSet": _nil,
    "currentTotalTaxSet": _nil,
    "currentShippingPriceSet": _nil,
    "totalOutstandingSet": _nil,
    "totalPrice": lambda o, ctx: money_text(o.purchase.total),
    "totalRefunded": lambda o, ctx: money_text(o.purchase.refunded),
    "netPayment": lambda o, ctx: money_text(_net(o)),
    "subtotalLineItemsQuantity": lambda o, ctx: _quantity(o.purchase.lines),
    "currentSubtotalLineItemsQuantity": lambda o, ctx: sum(line.current_quantity for line in o.lines),
    "shippingAddress": _order_address,
    "billingAddress": _order_address,
    "displayAddress": _order_address,
    "customerJourneySummary": _journey,
    "discountApplications": _discounts,
    "refunds": lambda o, ctx, args: o.refunds[: args.get("first")],
    "lineItems": lambda o, ctx, args: plain_page(ctx, o.lines, args, o.id),
}

LINE: dict[str, Any] = {
    "id": lambda n, ctx: n.id,
    "name": lambda n, ctx: n.line.title,
    "title": lambda n, ctx: n.line.title,
    "sku": lambda n, ctx: n.line.product_id or None,
    "vendor": lambda n, ctx: n.product.source.vendor or None if n.product else None,
    "quantity": lambda n, ctx: n.line.quantity,
    "currentQuantity": lambda n, ctx: n.current_quantity,
    "refundableQuantity": lambda n, ctx: n.current_quantity,
    "isGiftCard": lambda n, ctx: "gift" in n.line.category.lower(),
    "requiresShipping": lambda n, ctx: True,
    "product": lambda n, ctx: n.product,
    "variant": lambda n, ctx: VariantNode(n.product) if n.product else None,
    "originalUnitPriceSet": lambda n, ctx: money(_unit(n), n.order.currency),
    "discountedUnitPriceSet": lambda n, ctx: money(_unit(n), n.order.currency),
    "originalTotalSet": lambda n, ctx: money(n.gross, n.order.currency),
    "originalTotal": lambda n, ctx: money_text(n.gross),
    "discountedTotal": lambda n, ctx: money_text(n.gross),
    "discountedTotalSet": lambda n, ctx, args: money(
        n.line.amount if args.get("withCodeDiscounts") else n.gross, n.order.currency
    ),
    "priceAfterAllDiscountsBeforeTaxesSet": lambda n, ctx: money(n.line.amount, n.order.currency),
    "totalDiscountSet": lambda n, ctx: money(Decimal(0), n.order.currency),
}


def _unit(n: LineNode) -> Decimal:
    return (n.gross / max(n.line.quantity, 1)).quantize(Decimal("0.01"))


def _refund_lines(r: RefundNode, ctx: Context, args: dict[str, Any]) -> Page:
    rows = [
        {
            "__typename": "RefundLineItem",
            "id": None,
            "lineItem": line,
            "quantity": line.line.quantity,
            "restockType": "RETURN",
            "restocked": True,
            "subtotalSet": money(line.line.amount, r.order.currency),
            "priceSet": money(line.line.amount, r.order.currency),
            "totalTaxSet": ("0.0", r.order.currency),
        }
        for line in r.lines()
    ]
    return plain_page(ctx, rows, args, r.id)


REFUND: dict[str, Any] = {
    "id": lambda r, ctx: r.id,
    "legacyResourceId": lambda r, ctx: str(r.number),
    "createdAt": lambda r, ctx: time_text(r.at),
    "processedAt": lambda r, ctx: time_text(r.at),
    "updatedAt": lambda r, ctx: time_text(r.at),
    "order": lambda r, ctx: r.order,
    "totalRefundedSet": lambda r, ctx: money(r.amount, r.order.currency),
    "totalRefunded": lambda r, ctx: money(r.amount, r.order.currency),
    "refundLineItems": _refund_lines,
}


def _checkout_lines(c: CheckoutNode, ctx: Context, args: dict[str, Any]) -> Page:
    rows = []
    for place, line in enumerate(c.cart.lines):
        product = c.products.get(line.product_id)
        price = money(line.amount, c.currency)
        rows.append(
            {
                "__typename": "AbandonedCheckoutLineItem",
                "id": f"gid://shopify/AbandonedCheckoutLineItem/{c.number * 100 + place}",
                "title": line.title,
                "quantity": line.quantity,
                "sku": line.product_id or None,
                "product": product,
                "variant": VariantNode(product) if product else None,
                "discountedTotalPriceSet": price,
                "originalTotalPriceSet": price,
            }
        )
    return plain_page(ctx, rows, args, c.id)


CHECKOUT: dict[str, Any] = {
    "id": lambda c, ctx: c.id,
    "name": lambda c, ctx: f"#{c.number}",
    "createdAt": lambda c, ctx: time_text(c.cart.created_at),
    "updatedAt": lambda c, ctx: time_text(c.updated_at),
    "completedAt": lambda c, ctx: time_text(c.cart.completed_at),
    "abandonedCheckoutUrl": lambda c, ctx: f"https://shop.example/checkouts/{hash_text(c.id):016x}/recover",
    "customer": lambda c, ctx: c.customer,
    "lineItemsQuantity": lambda c, ctx: _quantity(c.cart.lines),
    "totalPriceSet": lambda c, ctx: money(c.cart.total, c.currency),
    "subtotalPriceSet": lambda c, ctx: money(c.cart.total, c.currency),
    "totalLineItemsPriceSet": lambda c, ctx: money(c.cart.total, c.currency),
    "totalDiscountSet": lambda c, ctx: ("0.0", c.currency),
    "shippingAddress": lambda c, ctx: _address(c.customer, ctx) if c.customer else None,
    "lineItems": _checkout_lines,
}


def _edges(page: Page, ctx: Context) -> list[dict[str, Any]]:
    return [{"node": item, "cursor": page.cursor(i)} for i, item in enumerate(page.items)]


def _page_info(page: Page, ctx: Context) -> dict[str, Any]:
    count = len(page.items)
    return {
        "hasNextPage": page.has_next,
        "hasPreviousPage": page.has_previous,
        "startCursor": page.cursor(0) if count else None,
        "endCursor": page.cursor(count - 1) if count else None,
    }


TABLES: Table = {
    "Customer": CUSTOMER,
    "Order": ORDER,
    "LineItem": LINE,
    "Refund": REFUND,
    "Product": PRODUCT,
    "ProductVariant": VARIANT,
    "Collection": COLLECTION,
    "AbandonedCheckout": CHECKOUT,
    "MoneyBag": {"shopMoney": lambda m, ctx: m[:2], "presentmentMoney": lambda m, ctx: m[-2:]},
    "MoneyV2": {"amount": lambda m, ctx: m[0], "currencyCode": lambda m, ctx: m[1]},
    "Connection": {
        "nodes": lambda page, ctx: page.items,
        "edges": _edges,
        "pageInfo": _page_info,
        "totalCount": lambda page, ctx: page.total,
    },
    "Edge": {"node": lambda edge, ctx: edge["node"], "cursor": lambda edge, ctx: edge["cursor"]},
}
