"""Merge fields and interest groups: what an audience may know about its contacts, and the checks on values."""

from __future__ import annotations

import re
from typing import Any

from connector.sandbox.base import Response
from connector.sandbox.mailchimp_state import Account, need_list
from connector.sandbox.mailchimp_wire import (
    Call,
    Json,
    Problem,
    answer,
    collection,
    invalid,
    listing,
    no_content,
    not_found,
    shape,
)

MERGE_FIELD = shape(
    "merge_id tag name type required default_value public display_order options.* help_text list_id"
    " total_items merge_field_limit"
)
MERGE_FIELDS = collection("merge_fields", MERGE_FIELD, "list_id merge_field_limit")
CATEGORY = shape("list_id id title display_order type")
CATEGORIES = collection("categories", CATEGORY, "list_id")
INTEREST = shape("category_id list_id id name subscriber_count display_order")
INTERESTS = collection("interests", INTEREST, "list_id category_id")

TYPES = ("text", "number", "address", "phone", "date", "url", "imageurl", "radio", "dropdown", "birthday", "zip")
TEXT_BYTES = 255
TAG_LENGTH = 10
CHECKS = {
    "date": (re.compile(r"\d{4}-\d\d-\d\d.*"), "Please enter a date"),
    "birthday": (re.compile(r"(0[1-9]|1[0-2])/(0[1-9]|[12]\d|3[01])"), "Please enter a month (01-12) and a day (01-31)"),
    "url": (re.compile(r"https?://\S+"), "Please enter a complete URL"),
    "imageurl": (re.compile(r"https?://\S+"), "Please enter a complete URL"),
    "zip": (re.compile(r"\d{5}"), "Please enter a 5-digit zip code"),
}


def check_merge_fields(account: Account, values: Json, *, skip: bool, complete: bool) -> Json:
    """The values as they will be kept: texts cut at 255 bytes without a word, unknown names ignored.

    skip leaves out the checks of required fields and of half-filled addresses. complete: a new contact, so that required
    fields must be there. Problem 400 names each bad field.
    """
    errors, kept = [], {}
    for name, value in values.items():
        merge = account.merge_field(name)
        if merge is None:
            continue
        message = _complaint(merge, value, skip)
        if message:
            errors.append((merge["tag"], message))
        else:
            kept[merge["tag"]] = _kept(merge, value)
    for merge in account.merge_fields:
        is_empty = kept.get(merge["tag"], "" if complete else None) == ""
        if merge["required"] and is_empty and not skip:
            errors.append((merge["tag"], "Please enter a value"))
    if errors:
        raise Problem(400, "Invalid Resource", "Your merge fields were invalid.", errors)
    return kept


def _complaint(merge: Json, value: Any, skip: bool) -> str:
    kind = merge["type"]
    if value in ("", None):
        return ""
    if kind == "number":
        return "" if _is_number(value) else "Please enter a number"
    if kind == "address":
        return _address_complaint(value, skip)
    if isinstance(value, dict | list | bool):
        return f"Schema describes string, {type(value).__name__} found instead"
    if kind in ("dropdown", "radio"):
        return "" if value in merge["options"].get("choices", []) else "This value is not one of the choices"
    if kind in CHECKS and not CHECKS[kind][0].fullmatch(str(value)):
        return CHECKS[kind][1]
    return ""


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) or bool(re.fullmatch(r"-?\d+(\.\d+)?", str(value)))


def _address_complaint(value: Any, skip: bool) -> str:
    if not isinstance(value, dict):
        return "Schema describes object, string found instead"
    if not skip and any(not value.get(part) for part in ("addr1", "city", "state", "zip")):
        return "Please enter a complete address"
    return ""


def _kept(merge: Json, value: Any) -> Any:
    if value in ("", None):
        return ""
    if merge["type"] == "number":
        return value if not isinstance(value, str) else float(value)
    if merge["type"] == "address":
        return value
    return str(value).encode()[:TEXT_BYTES].decode(errors="ignore")


def merge_fields(account: Account, call: Call) -> Response:
    need_list(account, call)
    kind = call.choice("type", TYPES)
    found = [merge for merge in account.merge_fields if not kind or merge["type"] == kind]
    if call.text("required"):
        found = [merge for merge in found if merge["required"] == call.flag("required")]
    more = {"list_id": account.list_id, "merge_field_limit": account.merge_field_limit}
    return listing(call, MERGE_FIELDS, "merge_fields", found, more=more)


def _one(account: Account, call: Call) -> Json:
    need_list(account, call)
    found = next((merge for merge in account.merge_fields if str(merge["merge_id"]) == call.args["merge_id"]), None)
    if found is None:
        raise not_found()
    return found


def merge_field(account: Account, call: Call) -> Response:
    return answer(call, MERGE_FIELD, _one(account, call))


def create_merge_field(account: Account, call: Call) -> Response:
    need_list(account, call)
    body = call.body()
    name, kind = str(body.get("name") or ""), body.get("type")
    if not name:
        raise invalid("name", "This value should not be blank.")
    if kind not in TYPES:
        raise invalid("type", "Data did not match any of the acceptable values.")
    tag = str(body.get("tag") or _free_tag(account, name)).upper()
    if len(tag) > TAG_LENGTH:
        raise invalid("tag", f"This value is too long. It should have {TAG_LENGTH} characters or less.")
    if not re.fullmatch(r"[A-Z0-9_]+", tag):
        raise invalid("tag", "Merge tags may hold letters, numbers and underscores only.")
    if account.merge_field(tag):
        raise Problem(400, "Invalid Resource", f'A Merge Field with the tag "{tag}" already exists for this list.')
    known = ("required", "default_value", "public", "display_order", "options", "help_text")
    merge = account.add_merge_field(tag, name, kind, **{part: body[part] for part in known if part in body})
    account.log("merge_field.create", tag, "", "created", body)
    return answer(call, MERGE_FIELD, merge)


def _free_tag(account: Account, name: str) -> str:
    tag = re.sub(r"[^A-Z0-9_]", "", name.upper())[:TAG_LENGTH]
    return tag if tag and not account.merge_field(tag) else f"MMERGE{len(account.merge_fields) + 1}"


def patch_merge_field(account: Account, call: Call) -> Response:
    """The type cannot be changed: it is not read."""
    merge = _one(account, call)
    body = call.body()
    for part in ("name", "required", "default_value", "public", "display_order", "options", "help_text"):
        if part in body:
            merge[part] = body[part]
    account.log("merge_field.patch", merge["tag"], "", "updated", body)
    return answer(call, MERGE_FIELD, merge)


def delete_merge_field(account: Account, call: Call) -> Response:
    merge = _one(account, call)
    account.merge_fields.remove(merge)
    for member in account.members.values():
        member.wire["merge_fields"].pop(merge["tag"], None)
    account.log("merge_field.delete", merge["tag"], "", "deleted")
    return no_content()


def categories(account: Account, call: Call) -> Response:
    need_list(account, call)
    kind = call.choice("type", ("checkboxes", "dropdown", "radio", "hidden"))
    found = [category for category in account.categories if not kind or category["type"] == kind]
    return listing(call, CATEGORIES, "categories", found, more={"list_id": account.list_id})


def _category(account: Account, call: Call) -> Json:
    need_list(account, call)
    found = next((category for category in account.categories if category["id"] == call.args["category_id"]), None)
    if found is None:
        raise not_found()
    return found


def category(account: Account, call: Call) -> Response:
    return answer(call, CATEGORY, _category(account, call))


def interests(account: Account, call: Call) -> Response:
    found = _category(account, call)
    more = {"list_id": account.list_id, "category_id": found["id"]}

    def build(interest: Json) -> Json:
        chosen = sum(
            1
            for member in account.members.values()
            if member.wire["status"] == "subscribed" and member.wire["interests"].get(interest["id"])
        )
        return {**interest, "subscriber_count": str(chosen)}

    return listing(call, INTERESTS, "interests", account.interests[found["id"]], more=more, build=build)


ROUTES = [
    ("GET", "/lists/{list_id}/merge-fields", merge_fields),
    ("POST", "/lists/{list_id}/merge-fields", create_merge_field),
    ("GET", "/lists/{list_id}/merge-fields/{merge_id}", merge_field),
    ("PATCH", "/lists/{list_id}/merge-fields/{merge_id}", patch_merge_field),
    ("DELETE", "/lists/{list_id}/merge-fields/{merge_id}", delete_merge_field),
    ("GET", "/lists/{list_id}/interest-categories", categories),
    ("GET", "/lists/{list_id}/interest-categories/{category_id}", category),
    ("GET", "/lists/{list_id}/interest-categories/{category_id}/interests", interests),
]
