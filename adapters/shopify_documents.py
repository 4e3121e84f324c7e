"""What we ask Shopify: the selections of each stream and the GraphQL documents made of them.

One selection serves the paged walk and the bulk export, so that a record looks the same whichever way it came.
Docs: https://shopify.dev/docs/api/admin-graphql/2026-10
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

API_VERSION = "2026-10"
VERSIONS = ("2026-10", "2026-07", "2026-04", "2026-01")
"""What we can speak, the newest first. 2027-01 is a release candidate; it is read like the newest one."""
BEGINNING = date(1970, 1, 1)
PROBED = 25
"""Customers looked at to see whether the plan shows addresses."""

_MONEY = "{shopMoney{amount}}"
_MONEY_AND_CURRENCY = "{shopMoney{amount currencyCode}}"
_PAGE_INFO = "pageInfo{hasNextPage endCursor}"


@dataclass(frozen=True)
class Connection:
    """A connection inside a record. `types` are the children's type names, by which a bulk export's lines are told apart."""

    name: str
    first: int
    fields: str
    types: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """One stream: where it is read, in which order, and what of each record."""

    stream: str
    root: str
    count: str
    type_name: str
    time_filter: str
    time_field: str
    sort: str
    fields: str
    connections: tuple[Connection, ...] = ()
    plain_lists: Mapping[str, str] | None = None


LIST_FIRST = 50
LIST_MOST = 250

_SMS_CONSENT = "smsMarketingConsent{state optInLevel updatedAt collectedFrom}"
_FLAT_SMS_CONSENT = "marketingState marketingOptInLevel marketingUpdatedAt marketingCollectedFrom"
"""The same before 2026-10."""
_SINCE_2026_07 = " checkoutToken\n attribution{handle displayName}"

_CUSTOMER = f"""id legacyResourceId createdAt updatedAt firstName lastName displayName locale state tags note verifiedEmail
 taxExempt numberOfOrders amountSpent{{amount currencyCode}} productSubscriberStatus dataSaleOptOut
 defaultEmailAddress{{emailAddress marketingState marketingOptInLevel marketingUpdatedAt validFormat openTrackingLevel}}
 defaultPhoneNumber{{phoneNumber {_SMS_CONSENT}}}
 defaultAddress{{city province provinceCode country countryCodeV2 zip company}}
 statistics{{predictedSpendTier rfmGroup}}"""

_VISIT = "{source sourceType referrerUrl landingPage utmParameters{source medium campaign term content}}"
_ORDER = f"""id legacyResourceId name number createdAt processedAt updatedAt cancelledAt cancelReason closedAt test confirmed
 edited email tags sourceName currencyCode presentmentCurrencyCode taxesIncluded displayFinancialStatus
 displayFulfillmentStatus returnStatus discountCodes paymentGatewayNames customerLocale{_SINCE_2026_07} app{{id name}}
 customer{{id}} totalPriceSet{{shopMoney{{amount currencyCode}} presentmentMoney{{amount currencyCode}}}}
 currentTotalPriceSet{_MONEY_AND_CURRENCY} currentSubtotalPriceSet{_MONEY} totalDiscountsSet{_MONEY}
 totalShippingPriceSet{_MONEY} totalTaxSet{_MONEY} totalRefundedSet{_MONEY} netPaymentSet{_MONEY}
 shippingAddress{{city provinceCode countryCodeV2 zip}}
 customerJourneySummary{{ready customerOrderIndex daysToConversion firstVisit{_VISIT} lastVisit{_VISIT}}}"""

_DISCOUNT = """index targetType value{... on MoneyV2{amount} ... on PricingPercentageValue{percentage}}
 ... on DiscountCodeApplication{code} ... on AutomaticDiscountApplication{title} ... on ManualDiscountApplication{title}"""
_DISCOUNT_TYPES = (
    "DiscountCodeApplication", "AutomaticDiscountApplication", "ManualDiscountApplication", "ScriptDiscountApplication",
)  # fmt: skip
_REFUND = f"id createdAt processedAt totalRefundedSet{_MONEY_AND_CURRENCY}"
_LINE = f"""id name sku vendor quantity currentQuantity isGiftCard product{{id}} variant{{id}}
 originalUnitPriceSet{_MONEY} originalTotalSet{_MONEY} discountedTotalSet{_MONEY_AND_CURRENCY}"""

_PRODUCT = """id legacyResourceId title handle status vendor productType tags isGiftCard createdAt updatedAt publishedAt
 totalInventory tracksInventory category{id name fullName level isArchived}
 priceRangeV2{minVariantPrice{amount currencyCode} maxVariantPrice{amount}}"""
_VARIANT = "id sku title price compareAtPrice availableForSale inventoryPolicy updatedAt"
_COLLECTION = "id title handle"

_CHECKOUT = f"""id name createdAt updatedAt completedAt discountCodes customer{{id defaultEmailAddress{{emailAddress}}}}
 totalPriceSet{_MONEY_AND_CURRENCY} shippingAddress{{countryCodeV2}}"""
_CHECKOUT_LINE = f"id title quantity sku product{{id}} variant{{id}} discountedTotalPriceSet{_MONEY}"

_NEEDS_PRODUCTS = " product{id} variant{id}"
_NEEDS_CUSTOMERS = (" customer{id defaultEmailAddress{emailAddress}}", "\n customer{id}")


def kinds(
    *,
    products: bool = True,
    customers: bool = True,
    metafields: Mapping[str, str] | None = None,
    version: str = API_VERSION,
) -> dict[str, Kind]:
    """The streams by name.

    products, customers: False leaves out what needs read_products or read_customers, so that one missing scope does not
    cost the orders.
    metafields: alias -> 'namespace.key' of the customer metafields the owner mapped.
    version: older ones lack some fields, and asking for one of those costs the whole answer.
    """
    line, checkout_line = _LINE, _CHECKOUT_LINE
    customer = _CUSTOMER if version >= "2026-10" else _CUSTOMER.replace(_SMS_CONSENT, _FLAT_SMS_CONSENT)
    order = _ORDER if version >= "2026-07" else _ORDER.replace(_SINCE_2026_07, "")
    checkout = _CHECKOUT
    if not customers:
        for part in _NEEDS_CUSTOMERS:
            order, checkout = order.replace(part, ""), checkout.replace(part, "")
    if not products:
        line, checkout_line = line.replace(_NEEDS_PRODUCTS, ""), checkout_line.replace(_NEEDS_PRODUCTS, "")
    return {
        "customers": Kind(
            "customers", "customers", "customersCount", "Customer", "updated_at", "updatedAt", "UPDATED_AT",
            customer + _metafields(metafields or {}),
        ),
        "orders": Kind(
            "orders", "orders", "ordersCount", "Order", "updated_at", "updatedAt", "UPDATED_AT", order,
            (
                Connection("discountApplications", 10, _DISCOUNT, _DISCOUNT_TYPES),
                Connection("lineItems", 50, line, ("LineItem",)),
            ),
            {"refunds": _REFUND},
        ),
        "products": Kind(
            "products", "products", "productsCount", "Product", "updated_at", "updatedAt", "UPDATED_AT", _PRODUCT,
            (
                Connection("variants", 20, _VARIANT, ("ProductVariant",)),
                Connection("collections", 10, _COLLECTION, ("Collection",)),
            ),
        ),
        "checkouts": Kind(
            "checkouts", "abandonedCheckouts", "abandonedCheckoutsCount", "AbandonedCheckout", "created_at",
            "createdAt", "CREATED_AT", checkout,
            (Connection("lineItems", 50, checkout_line, ("AbandonedCheckoutLineItem",)),),
        ),
    }  # fmt: skip


def version_end(version: str) -> date | None:
    """The day a version is switched off: twelve months after it came. https://shopify.dev/docs/api/usage/versioning

    For 2026-01 the exact day in January 2027 is not published; this is the first it can be.
    """
    found = re.fullmatch(r"(\d{4})-(0[1-9]|1[0-2])", version)
    return date(int(found[1]) + 1, int(found[2]), 1) if found else None


def _metafields(wanted: Mapping[str, str]) -> str:
    parts = []
    for alias, path in wanted.items():
        namespace, _, key = path.rpartition(".")
        parts.append(f" {alias}: metafield(namespace:{json.dumps(namespace)}, key:{json.dumps(key)}){{value}}")
    return "".join(parts)


def node(kind: Kind) -> str:
    """The selection of one record, with the first page of each connection."""
    parts = [kind.fields]
    parts += [f"{name}(first:{LIST_FIRST}){{{fields}}}" for name, fields in (kind.plain_lists or {}).items()]
    parts += [f"{c.name}(first:{c.first}){{{_PAGE_INFO} nodes{{{c.fields}}}}}" for c in kind.connections]
    return " ".join(parts)


def page(kind: Kind) -> str:
    title = kind.root[0].upper() + kind.root[1:]
    return (
        f"query {title}($first:Int!,$after:String,$query:String){{ {kind.root}(first:$first, after:$after, query:$query, "
        f"sortKey:{kind.sort}){{ {_PAGE_INFO} nodes{{ {node(kind)} }} }} }}"
    )


def drain(kind: Kind, connection: Connection) -> str:
    """The following pages of one connection of one record."""
    return (
        f"query Rest($id:ID!,$first:Int!,$after:String){{ node(id:$id){{ ... on {kind.type_name}{{ "
        f"{connection.name}(first:$first, after:$after){{ {_PAGE_INFO} nodes{{ {connection.fields} }} }} }} }} }}"
    )


def whole_list(kind: Kind, name: str) -> str:
    """A plain list of one record with as many entries as one request can carry."""
    fields = (kind.plain_lists or {})[name]
    return f"query Whole($id:ID!){{ node(id:$id){{ ... on {kind.type_name}{{ {name}(first:{LIST_MOST}){{ {fields} }} }} }} }}"


def count(kind: Kind) -> str:
    """How many there are. The limit defaults to 10,000, so it is taken off."""
    return f"query Count{{ {kind.count}(limit:null){{ count precision }} }}"


def changed(kind: Kind) -> str:
    """The ids alone of what has changed in a window of time."""
    return (
        f"query Changed($first:Int!,$after:String,$query:String){{ {kind.root}(first:$first, after:$after, query:$query, "
        f"sortKey:{kind.sort}){{ {_PAGE_INFO} nodes{{ id }} }} }}"
    )


def by_ids(kind: Kind) -> str:
    return f"query ByIds($ids:[ID!]!){{ nodes(ids:$ids){{ ... on {kind.type_name}{{ {node(kind)} }} }} }}"


def bulk(kind: Kind, query: str, marker: str) -> str:
    """The inner document of a bulk export: edges only, no `first`, no sort key (a sort drops rows), our own mark in front."""
    lists = " ".join(f"{name}{{{fields}}}" for name, fields in (kind.plain_lists or {}).items())
    nested = " ".join(f"{c.name}{{edges{{node{{__typename {c.fields}}}}}}}" for c in kind.connections)
    body = f"__typename {kind.fields} {lists} {nested}"
    return f"# {marker}\n{{ {kind.root}(query:{json.dumps(query)}){{ edges{{ node{{ {body} }} }} }} }}"


def window(field: str, since: str | None, until: str | None, also: str = "") -> str | None:
    """The one builder of a time filter. Dates are quoted, `>=` and `<` only; an empty filter is None, never a stub."""
    parts = [also] if also else []
    if since:
        parts.append(f"{field}:>='{since}'")
    if until:
        parts.append(f"{field}:<'{until}'")
    return " AND ".join(parts) or None


def tagged(name: str, above_id: str = "") -> str:
    """Customers with a tag. The name is quoted in whichever quotes it does not hold itself, else escaped."""
    quote = '"' if "'" in name and '"' not in name else "'"
    inner = re.sub(rf"([{quote}\\\\])", r"\\\1", name)
    return f"tag:{quote}{inner}{quote}" + (f" AND id:>{above_id}" if above_id else "")


SHOP = """query Shop{ shop{ id name myshopifyDomain currencyCode ianaTimezone createdAt
 plan{publicDisplayName shopifyPlus partnerDevelopment} }
 currentAppInstallation{ accessScopes{handle} } publicApiVersions{ handle supported displayName } }"""
ZONE = "query Zone{ shop{ ianaTimezone } }"
SERVER_TIME = "query Now{ shop{ id } }"
PERSONAL = ("defaultEmailAddress{emailAddress}", "defaultPhoneNumber{phoneNumber}", "firstName", "lastName")
PERSONAL_DATA = f"query Probe{{ customers(first:25){{ nodes{{ id {' '.join(PERSONAL)} }} }} }}"
OLDEST_ORDER = "query Oldest{ orders(first:1, sortKey:CREATED_AT){ nodes{ id createdAt } } }"
CHECKOUT_COUNTS = """query Counts{ all: abandonedCheckoutsCount(limit:null){count} open: abandonedCheckoutsCount(limit:null,
 query:"status:open"){count} closed: abandonedCheckoutsCount(limit:null, query:"status:closed"){count} }"""
DELETED = f"""query Deleted($first:Int!,$after:String,$query:String){{ events(first:$first, after:$after, query:$query,
 sortKey:ID){{ {_PAGE_INFO} nodes{{ id createdAt action ... on BasicEvent{{ subjectId subjectType }} }} }} }}"""
_RETURNED = "quantity restockType subtotalSet{shopMoney{amount}} lineItem{id}"
REFUND_LINES = f"""query RefundLines($ids:[ID!]!){{ nodes(ids:$ids){{ ... on Refund{{ id
 refundLineItems(first:20){{ {_PAGE_INFO} nodes{{ {_RETURNED} }} }} }} }} }}"""
MORE_REFUND_LINES = f"""query MoreRefundLines($id:ID!,$first:Int!,$after:String){{ node(id:$id){{ ... on Refund{{
 refundLineItems(first:$first, after:$after){{ {_PAGE_INFO} nodes{{ {_RETURNED} }} }} }} }} }}"""
TAGGED = f"""query Tagged($first:Int!,$after:String,$query:String){{ customers(first:$first, after:$after, query:$query,
 sortKey:ID){{ {_PAGE_INFO} nodes{{ id tags }} }} }}"""
TAGS_OF = "query TagsOf($ids:[ID!]!){ nodes(ids:$ids){ ... on Customer{ id tags } } }"

BULK_RUN = """mutation Run($query:String!){ bulkOperationRunQuery(query:$query, groupObjects:false){
 bulkOperation{ id status createdAt } userErrors{ field message code } } }"""
BULK_POLL = """query Poll($id:ID!){ bulkOperation(id:$id){ id status errorCode createdAt completedAt objectCount
 rootObjectCount fileSize url partialDataUrl } }"""
BULK_CANCEL = """mutation Cancel($id:ID!){ bulkOperationCancel(id:$id){ bulkOperation{ id status }
 userErrors{ field message } } }"""
BULK_MINE = """query Mine{ bulkOperations(first:20, query:"operation_type:query", sortKey:CREATED_AT,
 reverse:true){ nodes{ id status createdAt query } } }"""
BULK_MUTATE = """mutation Mutate($mutation:String!,$path:String!){ bulkOperationRunMutation(mutation:$mutation,
 stagedUploadPath:$path){ bulkOperation{ id status } userErrors{ field message code } } }"""
BULK_MUTATIONS = """query Mutations{ bulkOperations(first:20, query:"operation_type:mutation", sortKey:CREATED_AT,
 reverse:true){ nodes{ id status createdAt query } } }"""
STAGE = """mutation Stage($input:[StagedUploadInput!]!){ stagedUploadsCreate(input:$input){
 stagedTargets{ url parameters{ name value } } userErrors{ field message } } }"""

MEMBERS = f"""query Members($query:String,$queryId:ID,$after:String){{ customerSegmentMembers(query:$query, queryId:$queryId,
 first:1000, after:$after){{ {_PAGE_INFO} edges{{ node{{ id }} }} }} }}"""
MEMBERS_LATER = """mutation Later($query:String!){ customerSegmentMembersQueryCreate(input:{query:$query}){
 customerSegmentMembersQuery{ id done } userErrors{ field message code } } }"""
MEMBERS_READY = "query Ready($id:ID!){ customerSegmentMembersQuery(id:$id){ id done } }"


def deleted_since(subject: str, since: str) -> str:
    """The search for what was deleted; Shopify keeps such events for a year."""
    return f"action:destroy AND subject_type:{subject} AND created_at:>='{since}'"


_TAG_ANSWER = "{ node{ id ... on Customer{ tags } } userErrors{ field message } }"


def write_tag(kind: str, marker: str) -> str:
    """The one mutation of a bulk mutation, our own mark in front."""
    action = "tagsAdd" if kind == "add" else "tagsRemove"
    return f"# {marker}\nmutation Tag($id:ID!,$tags:[String!]!){{ {action}(id:$id,tags:$tags){_TAG_ANSWER} }}"


def write_tags(adds: int, removes: int) -> str:
    """One request that tags `adds` customers and untags `removes` of them: $a0.., $r0.. are their ids."""
    names = [f"a{i}" for i in range(adds)] + [f"r{i}" for i in range(removes)]
    variables = ",".join(f"${name}:ID!" for name in names)
    calls = " ".join(f"{n}: {'tagsAdd' if n[0] == 'a' else 'tagsRemove'}(id:${n}, tags:$tags){_TAG_ANSWER}" for n in names)
    return f"mutation Tags($tags:[String!]!,{variables}){{ {calls} }}"


def customer_gid(contact_id: str) -> str:
    return f"gid://shopify/Customer/{contact_id}"


def gid_number(gid: Any) -> str:
    """'123' of 'gid://shopify/Customer/123' and of 'gid://shopify/InventoryLevel/123?inventory_item_id=4'."""
    return str(gid).split("?", 1)[0].rsplit("/", 1)[-1]
