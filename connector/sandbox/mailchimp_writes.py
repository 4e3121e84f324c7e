"""Writes to contacts: what a connector may do (merge fields) and what it must not need, each in the log with its body."""

from __future__ import annotations

import re
from typing import Any

from connector.sandbox.base import Response
from connector.sandbox.mailchimp_members import HIDDEN_IN_BULK, MEMBER, part_of
from connector.sandbox.mailchimp_merge import check_merge_fields
from connector.sandbox.mailchimp_state import STATUSES, Account, Member, need_list, subscriber_hash
from connector.sandbox.mailchimp_wire import Call, Json, Problem, answer, invalid, no_content, shape

BULK = shape("new_members.* updated_members.* errors.* total_created total_updated error_count")
FAKE = re.compile(r"@(.+\.)?example\.(com|org|net)$")
COMPLIANCE = (
    "{} is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed. "
    "Only the contact themselves can resubscribe, through a form."
)
FORGOTTEN = "{} was permanently deleted and cannot be re-imported. The contact must re-subscribe to get back on the list."


def patch_member(account: Account, call: Call) -> Response:
    need_list(account, call)
    member = account.find(call.args["reference"])
    body = call.body()
    _update(account, member, body, skip=call.flag("skip_merge_validation"))
    account.log("member.patch", account.list_id, member.wire["id"], "updated", body)
    return answer(call, MEMBER, member.wire)


def put_member(account: Account, call: Call) -> Response:
    need_list(account, call)
    body = call.body()
    for name in ("email_address", "status_if_new"):
        if not body.get(name):
            raise invalid(name, "This value should not be blank.")
    try:
        member = account.find(call.args["reference"])
    except Problem:
        member = _create(account, {**body, "status": body.get("status") or body["status_if_new"]}, call)
        account.log("member.create", account.list_id, member.wire["id"], "created", body)
    else:
        _update(account, member, body, skip=call.flag("skip_merge_validation"))
        account.log("member.put", account.list_id, member.wire["id"], "updated", body)
    return answer(call, MEMBER, member.wire)


def post_member(account: Account, call: Call) -> Response:
    need_list(account, call)
    body = call.body()
    member = _create(account, body, call)
    account.log("member.create", account.list_id, member.wire["id"], "created", body)
    return answer(call, MEMBER, member.wire)


def _create(account: Account, body: Json, call: Call) -> Member:
    address = str(body.get("email_address", "")).strip()
    status = body.get("status")
    if status not in STATUSES or status == "archived":
        raise invalid("status", "Data did not match any of the acceptable values.")
    if "@" not in address or FAKE.search(address.lower()):
        detail = f"{address} looks fake or invalid, please enter a real email address."
        raise Problem(400, "Invalid Resource", detail)
    if subscriber_hash(address) in account.forgotten:
        raise Problem(400, "Forgotten Email Not Subscribed", FORGOTTEN.format(address))
    if subscriber_hash(address) in account.by_hash:
        raise Problem(400, "Member Exists", f"{address} is already a list member. Use PUT to insert or update list members.")
    merge = check_merge_fields(account, body.get("merge_fields") or {}, skip=call.flag("skip_merge_validation"), complete=True)
    member = account.add(blank_wire(account, address, status, call.now))
    member.wire["merge_fields"] |= merge
    _take_over(account, member, body)
    for name in body.get("tags") or []:
        account.set_tag(member, account.tag_named(name) or account.add_tag(name), True, quiet=False)
    refresh_name(member)
    return member


def blank_wire(account: Account, address: str, status: str, now: str) -> Json:
    """A contact of which nothing but the address is known. Empty is "" here, never null."""
    return {
        "email_address": address,
        "full_name": "",
        "email_type": "html",
        "status": status,
        "consents_to_one_to_one_messaging": True,
        "sms_phone_number": "",
        "sms_subscription_status": "nonsubscribed",
        "sms_subscription_last_updated": "",
        "merge_fields": {merge["tag"]: "" for merge in account.merge_fields},
        "interests": {interest["id"]: False for group in account.interests.values() for interest in group},
        "stats": {"avg_open_rate": 0, "avg_click_rate": 0},
        "ip_signup": "",
        "timestamp_signup": "",
        "ip_opt": "",
        "timestamp_opt": now,
        "member_rating": 2,
        "last_changed": now,
        "language": "",
        "vip": False,
        "email_client": "",
        "location": {
            "latitude": 0,
            "longitude": 0,
            "gmtoff": 0,
            "dstoff": 0,
            "country_code": "",
            "timezone": "",
            "region": "",
        },
        "source": "API - Generic",
    }


def _update(account: Account, member: Member, body: Json, *, skip: bool) -> None:
    """All of the body or nothing. `tags` are ignored for a contact that exists."""
    status = body.get("status")
    address = str(body.get("email_address") or member.wire["email_address"]).strip()
    merge = check_merge_fields(account, body.get("merge_fields") or {}, skip=skip, complete=False)
    if subscriber_hash(address) != member.wire["id"]:
        _check_new_address(account, address)
    if status is not None:
        _check_status(member, status)
    if subscriber_hash(address) != member.wire["id"]:
        account.rename(member, address)
    if status is not None and status != member.wire["status"]:
        account.log("member.status", account.list_id, member.wire["id"], f"{member.wire['status']} -> {status}")
        # Left through the API, not by itself: the API may bring such a contact back.
        account.set_status(member, status, reason="N/A (Unsubscribed by admin)")
    member.wire["merge_fields"] |= merge
    _take_over(account, member, body)
    refresh_name(member)
    account.touch(member)


def _check_new_address(account: Account, address: str) -> None:
    if subscriber_hash(address) in account.forgotten:
        raise Problem(400, "Forgotten Email Not Subscribed", FORGOTTEN.format(address))
    if subscriber_hash(address) in account.by_hash:
        raise Problem(400, "Member Exists", f"{address} is already a list member.")


def _check_status(member: Member, status: Any) -> None:
    if status not in STATUSES or status == "archived":
        raise invalid("status", "Data did not match any of the acceptable values.")
    if status == "subscribed" and member.compliance:
        raise Problem(400, "Member In Compliance State", COMPLIANCE.format(member.wire["email_address"]))


def _take_over(account: Account, member: Member, body: Json) -> None:
    wire = member.wire
    for name in ("language", "email_type", "vip", "ip_signup", "ip_opt", "timestamp_signup", "timestamp_opt"):
        if name in body:
            wire[name] = body[name]
    for interest, chosen in (body.get("interests") or {}).items():
        if interest not in wire["interests"]:
            raise invalid("interests", f"Invalid interest ID: '{interest}'.")
        wire["interests"][interest] = bool(chosen)
    for box in body.get("marketing_permissions") or []:
        for shown in wire.get("marketing_permissions", []):
            if shown["marketing_permission_id"] == box.get("marketing_permission_id"):
                shown["enabled"] = bool(box.get("enabled"))


def refresh_name(member: Member) -> None:
    merge = member.wire["merge_fields"]
    member.wire["full_name"] = f"{merge.get('FNAME', '')} {merge.get('LNAME', '')}".strip()


def archive_member(account: Account, call: Call) -> Response:
    """DELETE archives. What is archived already cannot be removed."""
    need_list(account, call)
    member = account.find(call.args["reference"])
    if member.wire["status"] == "archived":
        raise Problem(405, "Method Not Allowed", "This list member cannot be removed. Please contact support.")
    account.log("member.archive", account.list_id, member.wire["id"], f"{member.wire['status']} -> archived")
    account.set_status(member, "archived", compliance=member.compliance)
    account.touch(member)
    return no_content()


def erase_member(account: Account, call: Call) -> Response:
    need_list(account, call)
    member = account.find(call.args["reference"])
    account.log("member.erase", account.list_id, member.wire["id"], "erased")
    account.erase(member)
    return no_content()


def event(account: Account, call: Call) -> Response:
    """POST .../events. Recorded only; no journey of this account waits for events."""
    need_list(account, call)
    member = account.find(call.args["reference"])
    body = call.body()
    if not 2 <= len(str(body.get("name", ""))) <= 30:
        raise invalid("name", "The event name must be between 2 and 30 characters.")
    if any(not isinstance(value, str) for value in (body.get("properties") or {}).values()):
        raise invalid("properties", "Schema describes string, other type found instead.")
    account.log("member.event", str(body["name"]), member.wire["id"], "recorded", body)
    return no_content()


def bulk_subscribe(account: Account, call: Call) -> Response:
    """POST /lists/{id}: made to subscribe people, and 200 even if every one of them failed."""
    need_list(account, call)
    body = call.body()
    sent = body.get("members") or []
    if len(sent) > 500:
        raise Problem(400, "Invalid Resource", "Maximum allowed member items exceeded, please provide at most 500 items.")
    new: list[Json] = []
    updated: list[Json] = []
    errors: list[Json] = []
    for entry in sent:
        try:
            member, is_new = _subscribe(account, entry, body, call)
        except Problem as problem:
            code = "ERROR_CONTACT_EXISTS" if problem.title == "Member Exists" else "ERROR_GENERIC"
            address = entry.get("email_address", "")
            errors.append(
                {"email_address": address, "error": problem.detail, "error_code": code, "field": "", "field_message": ""}
            )
        else:
            (new if is_new else updated).append(part_of(member.wire, HIDDEN_IN_BULK))
    totals = {"total_created": len(new), "total_updated": len(updated), "error_count": len(errors)}
    return answer(call, BULK, {"new_members": new, "updated_members": updated, "errors": errors, **totals})


def _subscribe(account: Account, entry: Json, body: Json, call: Call) -> tuple[Member, bool]:
    uid = account.by_hash.get(subscriber_hash(str(entry.get("email_address", ""))))
    if uid is None or not body.get("update_existing"):
        member = _create(account, entry, call)
        account.log("member.create", account.list_id, member.wire["id"], "created", entry)
        return member, True
    member = account.members[uid]
    _update(account, member, entry, skip=call.flag("skip_merge_validation"))
    wanted = [account.tag_named(name) or account.add_tag(name) for name in entry.get("tags") or []]
    for tag in wanted:
        account.set_tag(member, tag, True, quiet=False)
    if body.get("sync_tags"):
        for tag_id in set(member.tags) - {tag.tag_id for tag in wanted}:
            account.set_tag(member, account.tags[tag_id], False, quiet=False)
    account.log("member.put", account.list_id, member.wire["id"], "updated", entry)
    return member, False


ROUTES = [
    ("POST", "/lists/{list_id}", bulk_subscribe),
    ("POST", "/lists/{list_id}/members", post_member),
    ("PATCH", "/lists/{list_id}/members/{reference}", patch_member),
    ("PUT", "/lists/{list_id}/members/{reference}", put_member),
    ("DELETE", "/lists/{list_id}/members/{reference}", archive_member),
    ("POST", "/lists/{list_id}/members/{reference}/actions/delete-permanent", erase_member),
    ("POST", "/lists/{list_id}/members/{reference}/events", event),
]
