"""Audiences and contacts: reading with every filter."""

from __future__ import annotations

from collections.abc import Container

from connector.sandbox.base import Response
from connector.sandbox.mailchimp_state import STATUSES, Account, Member, digest, need_list
from connector.sandbox.mailchimp_wire import Call, Json, answer, collection, invalid, listing, shape

MEMBER = shape(
    "id email_address unique_email_id contact_id full_name web_id email_type status unsubscribe_reason"
    " consents_to_one_to_one_messaging sms_phone_number sms_subscription_status sms_subscription_last_updated"
    " merge_fields.* interests.* stats.avg_open_rate stats.avg_click_rate stats.ecommerce_data.total_revenue"
    " stats.ecommerce_data.number_of_orders stats.ecommerce_data.currency_code ip_signup timestamp_signup ip_opt"
    " timestamp_opt member_rating last_changed language vip email_client location.latitude location.longitude"
    " location.gmtoff location.dstoff location.country_code location.timezone location.region"
    " marketing_permissions.marketing_permission_id marketing_permissions.text marketing_permissions.enabled last_note.*"
    " source tags_count tags.id tags.name list_id"
)
MEMBERS = collection("members", MEMBER, "list_id")
AUDIENCE = shape(
    "id web_id name contact.* permission_reminder use_archive_bar campaign_defaults.* notify_on_subscribe notify_on_unsubscribe"
    " date_created list_rating email_type_option subscribe_url_short subscribe_url_long beamer_address visibility double_optin"
    " has_welcome marketing_permissions modules stats.*"
)
AUDIENCES = collection("lists", AUDIENCE, "constraints.*")
FOUND = {
    "exact_matches": collection("members", MEMBER),
    "full_search": collection("members", MEMBER),
}
MATCHES_SHOWN = 250
# Where contacts come as part of another answer they show less than their own does.
HIDDEN_IN_SEGMENT = frozenset(
    shape(
        "contact_id web_id unsubscribe_reason consents_to_one_to_one_messaging sms_phone_number sms_subscription_status"
        " sms_subscription_last_updated marketing_permissions source tags_count tags"
    )
)
HIDDEN_IN_BULK = (HIDDEN_IN_SEGMENT - {"contact_id", "tags_count", "tags"}) | {"full_name"}


def audience_of(account: Account, call: Call) -> Json:
    sent = max((campaign.send_time for campaign in account.campaigns.values()), default="")
    stats: Json = {
        "member_count": account.count("subscribed"),
        "unsubscribe_count": account.count("unsubscribed"),
        "cleaned_count": account.count("cleaned"),
        "member_count_since_send": 0,
        "unsubscribe_count_since_send": 0,
        "cleaned_count_since_send": 0,
        "campaign_count": len(account.campaigns),
        "campaign_last_sent": sent,
        "merge_field_count": len(account.merge_fields),
        "avg_sub_rate": 0,
        "avg_unsub_rate": 0,
        "target_sub_rate": 0,
        "open_rate": 0,
        "click_rate": 0,
        "last_sub_date": "",
        "last_unsub_date": "",
    }
    if call.flag("include_total_contacts"):
        stats["total_contacts"] = sum(1 for member in account.members.values() if member.wire["status"] != "archived")
    return {
        "id": account.list_id,
        "web_id": 1,
        "name": account.name,
        "contact": {"company": account.name, "address1": "", "city": "", "state": "", "zip": "", "country": "US", "phone": ""},
        "permission_reminder": "You are a customer.",
        "use_archive_bar": False,
        "campaign_defaults": {"from_name": account.name, "from_email": "", "subject": "", "language": "en"},
        "notify_on_subscribe": "",
        "notify_on_unsubscribe": "",
        "date_created": account.created_at,
        "list_rating": 3,
        "email_type_option": False,
        "subscribe_url_short": "",
        "subscribe_url_long": "",
        "beamer_address": "",
        "visibility": "prv",
        "double_optin": False,
        "has_welcome": False,
        "marketing_permissions": bool(account.permissions),
        "modules": [],
        "stats": stats,
    }


def lists(account: Account, call: Call) -> Response:
    number = len(account.audiences)
    more = {"constraints": {"may_create": False, "max_instances": number, "current_total_instances": number}}
    return listing(call, AUDIENCES, "lists", [audience_of(each, call) for each in account.audiences.values()], more=more)


def one_list(account: Account, call: Call) -> Response:
    need_list(account, call)
    return answer(call, AUDIENCE, audience_of(account, call))


def members(account: Account, call: Call) -> Response:
    need_list(account, call)
    found = _narrowed(account, call, _base_order(account, call))
    if account.switches.unstable_ties:
        account.asked += 1
        found.sort(key=lambda member: (member.wire["last_changed"], digest(str(account.asked), str(member.uid))))
    if call.choice("sort_dir", ("ASC", "DESC"), "ASC") == "DESC":
        found.reverse()
    return listing(call, MEMBERS, "members", found, more={"list_id": account.list_id}, build=lambda member: member.wire)


def _base_order(account: Account, call: Call) -> list[Member]:
    """Without sort_field the order is not documented; by last change is the one in which careless paging loses rows."""
    name = call.choice("sort_field", ("timestamp_opt", "timestamp_signup", "last_changed"), "last_changed")
    if name == "last_changed":
        return account.ordered(name, call.time("since_last_changed"), call.time("before_last_changed"))
    kept = {
        member.uid
        for member in account.ordered("last_changed", call.time("since_last_changed"), call.time("before_last_changed"))
    }
    return [member for member in account.ordered(name) if member.uid in kept]


def _narrowed(account: Account, call: Call, found: list[Member]) -> list[Member]:
    status = call.choice("status", STATUSES)
    # Not documented whether a call without status shows archived contacts [U]; here it does not.
    found = [m for m in found if (m.wire["status"] == status if status else m.wire["status"] != "archived")]
    if call.text("unsubscribed_since"):
        if status != "unsubscribed":
            raise invalid("unsubscribed_since", "This filter can only be used with the status unsubscribed.")
        if since := call.time("unsubscribed_since"):
            found = [m for m in found if m.unsubscribed_at > since]
    if call.flag("since_last_campaign"):
        if not status:
            raise invalid("since_last_campaign", "Member status is required to use this filter.")
        sent = max((campaign.send_time for campaign in account.campaigns.values()), default="")
        found = [m for m in found if m.wire["last_changed"] > sent]
    if since := call.time("since_timestamp_opt"):
        found = [m for m in found if m.wire["timestamp_opt"] > since]
    if before := call.time("before_timestamp_opt"):
        found = [m for m in found if m.wire["timestamp_opt"] < before]
    for name in ("unique_email_id", "email_type"):
        if value := call.text(name):
            found = [m for m in found if m.wire[name] == value]
    if call.flag("vip_only"):
        found = [m for m in found if m.wire["vip"]]
    return _by_interest(call, found)


def _by_interest(call: Call, found: list[Member]) -> list[Member]:
    names = ("interest_category_id", "interest_ids", "interest_match")
    given = [name for name in names if call.text(name)]
    if not given:
        return found
    if len(given) < len(names):
        raise invalid(given[0], "interest_category_id, interest_ids and interest_match must be used together.")
    match = call.choice("interest_match", ("any", "all", "none"))
    wanted = [text.strip() for text in call.text("interest_ids").split(",")]
    out = []
    for member in found:
        hits = sum(1 for interest in wanted if member.wire["interests"].get(interest))
        if (match == "any" and hits) or (match == "all" and hits == len(wanted)) or (match == "none" and not hits):
            out.append(member)
    return out


def one_member(account: Account, call: Call) -> Response:
    need_list(account, call)
    return answer(call, MEMBER, account.find(call.args["reference"]).wire)


def search(account: Account, call: Call) -> Response:
    text = call.text("query").strip().lower()
    if not text:
        raise invalid("query", "This value should not be blank.")
    exact, full = [], []
    for member in account.members.values():
        address = member.wire["email_address"].lower()
        if address == text:
            exact.append(member.wire)
        if text in address or text in member.wire["full_name"].lower():
            full.append(member.wire)
    body = {
        "exact_matches": {"members": exact, "total_items": len(exact)},
        "full_search": {"members": full[:MATCHES_SHOWN], "total_items": len(full)},
    }
    return answer(call, FOUND, body)


def part_of(wire: Json, hidden: Container[str]) -> Json:
    """A contact inside another answer: without the hidden names, the store's numbers and the region."""
    out = {name: value for name, value in wire.items() if name not in hidden}
    out["stats"] = {name: value for name, value in wire["stats"].items() if name != "ecommerce_data"}
    out["location"] = {name: value for name, value in wire["location"].items() if name != "region"}
    return out


ROUTES = [
    ("GET", "/lists", lists),
    ("GET", "/lists/{list_id}", one_list),
    ("GET", "/lists/{list_id}/members", members),
    ("GET", "/lists/{list_id}/members/{reference}", one_member),
    ("GET", "/search-members", search),
]
