"""From the generated shop to an account's contacts and campaigns, and changes as people make them by hand."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from connector.sandbox.mailchimp_reports import totals_of
from connector.sandbox.mailchimp_shop import build_store
from connector.sandbox.mailchimp_state import STATUSES, Account, Campaign, Event, Member, digest, subscriber_hash
from connector.sandbox.mailchimp_wire import Json, stamp
from connector.sandbox.mailchimp_writes import blank_wire, refresh_name
from connector.sandbox.shop import MAILCHIMP, Customer, Mailing, Shop

FIELDS = (
    ("FNAME", "First Name", "text"),
    ("LNAME", "Last Name", "text"),
    ("ADDRESS", "Address", "address"),
    ("PHONE", "Phone Number", "phone"),
    ("BIRTHDAY", "Birthday", "birthday"),
)
ADDRESS_PARTS = {
    "address1": "addr1",
    "address2": "addr2",
    "city": "city",
    "region": "state",
    "postcode": "zip",
    "country": "country",
}
PLAIN = {"first_name": "FNAME", "last_name": "LNAME", "phone": "PHONE"}
COMPLAINT = "ABUSE"
"""The reason of those in a mailing's unsubscribes who reported it as spam: they stand in another list then."""
GONE = ("erased", "forgotten", "deleted")


def load_shop(account: Account, shop: Shop) -> None:
    account.name, account.timezone, account.currency = shop.name, shop.timezone, shop.currency
    if shop.customers:
        account.created_at = stamp(min(customer.created_at for customer in shop.customers))
    for tag, name, kind in FIELDS:
        account.add_merge_field(tag, name, kind, public=tag in ("FNAME", "LNAME"))
    customers = [customer for customer in shop.customers if MAILCHIMP in customer.on]
    _prepare_choices(account, customers)
    for customer in customers:
        _load_customer(account, customer)
    for position, mailing in enumerate(shop.mailings):
        campaign = _campaign(account, mailing, position)
        account.campaigns[campaign.campaign_id] = campaign
    account.store = build_store(shop, account.list_id, account.number)
    _load_stats(account)


def _prepare_choices(account: Account, customers: list[Customer]) -> None:
    """Groups ("Category: Name") and permission boxes that some customer has; a small group of topics when none has any."""
    names: dict[str, None] = {}
    for customer in customers:
        extra = customer.extra.get(MAILCHIMP, {})
        names |= dict.fromkeys(extra.get("interests", ()))
        for text in extra.get("marketing_permissions", {}):
            account.permissions.setdefault(text, digest("permission", text, length=10))
    for name in names or ("Topics: Offers", "Topics: News", "Topics: Events"):
        _interest(account, name)


def _interest(account: Account, name: str) -> str:
    """The id of "Category: Name", made when it is new."""
    title, _, text = (part.strip() for part in name.partition(":"))
    category = next((each for each in account.categories if each["title"] == title), None)
    if category is None:
        category = {
            "list_id": account.list_id,
            "id": digest("category", title, length=10),
            "title": title,
            "display_order": len(account.categories),
            "type": "checkboxes",
        }
        account.categories.append(category)
        account.interests[category["id"]] = []
    group = account.interests[category["id"]]
    found = next((each for each in group if each["name"] == text), None)
    if found is None:
        found = {
            "category_id": category["id"],
            "list_id": account.list_id,
            "id": digest("interest", name, length=10),
            "name": text,
            "subscriber_count": "0",
            "display_order": len(group) + 1,
        }
        group.append(found)
        for member in account.members.values():
            member.wire["interests"].setdefault(found["id"], False)
    interest_id: str = found["id"]
    return interest_id


def _load_customer(account: Account, customer: Customer) -> None:
    status = customer.consent.get(MAILCHIMP, "subscribed").lower()
    key = subscriber_hash(customer.email)
    if status in GONE:
        account.forgotten.add(key)
        return
    if key in account.by_hash:
        # Two customers of the shop with one address are one contact here.
        account.by_customer[customer.customer_id] = account.by_hash[key]
        return
    if status not in STATUSES:
        raise ValueError(f"'{status}' is no status of a Mailchimp contact")
    wire = blank_wire(account, customer.email, status, stamp(customer.updated_at))
    consent_at = customer.consent_at.get(MAILCHIMP)
    wire["timestamp_signup"] = stamp(customer.created_at)
    wire["timestamp_opt"] = "" if status == "transactional" else stamp(consent_at or customer.created_at)
    wire["language"], wire["source"] = customer.language, "Import"
    wire["location"] |= {"country_code": customer.country, "region": customer.region}
    if account.permissions:
        wire["marketing_permissions"] = [
            {"marketing_permission_id": number, "text": text, "enabled": False} for text, number in account.permissions.items()
        ]
    member = account.add(wire, customer.customer_id)
    if status in ("unsubscribed", "cleaned"):
        member.compliance = True
    if status == "unsubscribed":
        wire["unsubscribe_reason"] = "NORMAL"
        member.unsubscribed_at = stamp(consent_at or customer.updated_at)
    parts = {name: getattr(customer, name) for name in (*PLAIN, "city", "region", "postcode", "country")}
    for name, value in {**parts, **customer.extra.get(MAILCHIMP, {})}.items():
        _set(account, member, name, value)
    _load_tags(account, member, customer)
    refresh_name(member)


def _load_tags(account: Account, member: Member, customer: Customer) -> None:
    for name in customer.tags.get(MAILCHIMP, ()):
        tag = account.tag_named(name) or account.add_tag(name)
        tag.members.add(member.uid)
        member.tags[tag.tag_id] = stamp(customer.updated_at)
    if member.tags:
        account.show_tags(member)


def _campaign(account: Account, mailing: Mailing, position: int) -> Campaign:
    members = account.by_customer
    campaign = Campaign(mailing.campaign_id, 900001 + position, mailing.title, mailing.subject, stamp(mailing.sent_at))
    campaign.recipients = list(dict.fromkeys(members[name] for name in mailing.recipients if name in members))
    for name, at, is_machine in mailing.opens:
        add_event(account, campaign, name, (stamp(at), "open", "", "", is_machine))
    for name, at, url in mailing.clicks:
        add_event(account, campaign, name, (stamp(at), "click", "", url, False))
    for name, at, kind in mailing.bounces:
        add_event(account, campaign, name, (stamp(at), "bounce", kind, "", False))
    for events in campaign.events.values():
        events.sort()
    left = [(members[name], stamp(at), reason) for name, at, reason in mailing.unsubscribes if name in members]
    campaign.complaints = [(uid, at) for uid, at, reason in left if reason == COMPLAINT]
    campaign.unsubscribes = left = [each for each in left if each[2] != COMPLAINT]
    for uid, when, reason in left:
        member = account.members[uid]
        if member.wire["status"] == "unsubscribed":
            member.wire["unsubscribe_reason"], member.unsubscribed_at = reason or "NORMAL", when
    return campaign


def add_event(account: Account, campaign: Campaign, customer_id: str, event: Event) -> None:
    uid = account.by_customer.get(customer_id)
    if uid is not None:
        campaign.events.setdefault(uid, []).append(event)
        campaign.counted = None


def _load_stats(account: Account) -> None:
    """Lifetime rates hold machine opens too [U]; the rating follows the opens."""
    sent, opened, clicked = Counter[int](), Counter[int](), Counter[int]()
    for campaign in account.campaigns.values():
        totals = totals_of(campaign)
        sent.update(campaign.recipients)
        opened.update(totals.openers)
        clicked.update(totals.clickers)
    spent = {customer["email_address"].lower(): customer for customer in account.store.customers} if account.store else {}
    for uid, member in account.members.items():
        stats = member.wire["stats"]
        if sent[uid]:
            stats["avg_open_rate"] = round(opened[uid] / sent[uid], 4)
            stats["avg_click_rate"] = round(clicked[uid] / sent[uid], 4)
            member.wire["member_rating"] = 2 + min(3, int(4 * opened[uid] / sent[uid]))
        if account.store:
            shopper = spent.get(member.wire["email_address"].lower(), {"total_spent": 0, "orders_count": 0})
            stats["ecommerce_data"] = {
                "total_revenue": shopper["total_spent"],
                "number_of_orders": shopper["orders_count"],
                "currency_code": account.currency,
            }


def change_contact(account: Account, member: Member, wanted: Json) -> None:
    """What the contact or the owner does in Mailchimp's own pages: moves last_changed, starts journeys, asks no API rule.

    Names: those of a customer, consent or status, archived, deleted, tags (the whole list), vip, language, interests
    ("Category: Name"), marketing_permissions {text: bool}; any other is a merge field. ValueError for an unknown status.
    """
    if wanted.get("deleted"):
        account.erase(member)
        return
    if (address := wanted.get("email")) and subscriber_hash(address) != member.wire["id"]:
        if subscriber_hash(address) in account.by_hash:
            raise ValueError("another contact has this address")
        account.rename(member, address)
    status = wanted.get("consent") or wanted.get("status") or ("archived" if wanted.get("archived") else "")
    if status:
        _set_status(account, member, str(status).lower(), str(wanted.get("unsubscribe_reason", "")))
    if "tags" in wanted:
        _set_tags(account, member, list(wanted["tags"]))
    done = ("email", "consent", "status", "archived", "deleted", "tags", "unsubscribe_reason")
    for name, value in wanted.items():
        if name not in done:
            _set(account, member, name, value)
    refresh_name(member)
    account.touch(member)


def _set_status(account: Account, member: Member, status: str, reason: str) -> None:
    if status not in STATUSES:
        raise ValueError(f"'{status}' is no status of a Mailchimp contact: {', '.join(STATUSES)}")
    if status != member.wire["status"]:
        account.set_status(member, status, reason=reason or "NORMAL", compliance=status in ("unsubscribed", "cleaned"))


def _set_tags(account: Account, member: Member, names: list[str]) -> None:
    wanted = {(account.tag_named(name) or account.add_tag(name)).tag_id for name in names}
    for tag_id in sorted(wanted | set(member.tags)):
        account.set_tag(member, account.tags[tag_id], tag_id in wanted, quiet=False)


def _set(account: Account, member: Member, name: str, value: Any) -> None:
    """One named thing of a contact; a name that means nothing else is a merge field, made when it is new."""
    wire = member.wire
    if name in PLAIN:
        wire["merge_fields"][PLAIN[name]] = value
    elif name in ADDRESS_PARTS:
        address = wire["merge_fields"]["ADDRESS"] or dict.fromkeys(ADDRESS_PARTS.values(), "")
        address = {**address, ADDRESS_PARTS[name]: value}
        wire["merge_fields"]["ADDRESS"] = address if any(address.values()) else ""
    elif name in (
        "language",
        "vip",
        "email_client",
        "unsubscribe_reason",
        "source",
        "sms_phone_number",
        "sms_subscription_status",
    ):
        wire[name] = value
    elif name == "last_changed":
        wire[name] = stamp(value) if isinstance(value, datetime) else value
    elif name == "interests":
        chosen = {_interest(account, text) for text in value}
        wire["interests"] = {interest: interest in chosen for interest in wire["interests"]}
    elif name == "marketing_permissions":
        for box in wire.get("marketing_permissions", []):
            box["enabled"] = bool(value.get(box["text"], box["enabled"]))
    elif name == "merge_fields":
        for tag, each in value.items():
            _set_merge(account, member, tag, each)
    else:
        _set_merge(account, member, name, value)


def _set_merge(account: Account, member: Member, name: str, value: Any) -> None:
    tag = name.upper()[:10]
    if account.merge_field(tag) is None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        account.add_merge_field(tag, name.replace("_", " ").capitalize(), "number" if is_number else "text")
    member.wire["merge_fields"][tag] = value
