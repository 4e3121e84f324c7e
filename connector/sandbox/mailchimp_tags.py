"""Tags and segments. A tag is a static segment: one object, two doors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from connector.sandbox.base import Response
from connector.sandbox.mailchimp_members import HIDDEN_IN_BULK, HIDDEN_IN_SEGMENT, MEMBER, part_of
from connector.sandbox.mailchimp_state import Account, Member, Tag, need_list, subscriber_hash
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

SEGMENT = shape("id name member_count type created_at updated_at options.match options.conditions.* list_id")
SEGMENTS = collection("segments", SEGMENT, "list_id")
SEGMENT_MEMBERS = collection("members", MEMBER)
BULK = shape("members_added.* members_removed.* errors.* total_added total_removed error_count")
MEMBER_TAGS = collection("tags", shape("id name date_added"))
TAG_SEARCH = collection("tags", shape("id name"))

ITEMS_MAX = 500
# hitobito/hitobito#1819
TOO_MANY = (
    "Maximum allowed member items exceeded, please provide at most 500 items in members_to_add field or members_to_remove field"
)
NAME_LENGTH = 50
"""Not documented today; older versions took no longer names for a static segment (smartchicago/kimball#36) [U]."""
NOT_HERE = "Email addresses do not exist in this audience."


def statuses(call: Call) -> frozenset[str]:
    """Subscribed only, unless flags ask for more. There is no flag for archived contacts: they keep their tags, unseen [U]."""
    wanted = {"subscribed"}
    for status in ("cleaned", "transactional", "unsubscribed"):
        if call.flag(f"include_{status}"):
            wanted.add(status)
    return frozenset(wanted)


def _shown(account: Account, call: Call, tag: Tag) -> Json:
    body: Json = {
        "id": tag.tag_id,
        "name": tag.name,
        "member_count": account.count_of(tag, statuses(call)),
        "type": tag.kind,
        "created_at": tag.created_at,
        "updated_at": tag.updated_at,
        "list_id": account.list_id,
    }
    if tag.options is not None:
        body["options"] = tag.options
    return body


def _tag(account: Account, call: Call) -> Tag:
    need_list(account, call)
    text = call.args["segment_id"]
    tag = account.tags.get(int(text)) if text.isdecimal() else None
    if tag is None:
        raise not_found()
    return tag


def segments(account: Account, call: Call) -> Response:
    need_list(account, call)
    kinds = ("saved", "static", "fuzzy")
    kind, other = call.choice("type", kinds), call.choice("exclude_type", kinds)
    found = [tag for tag in account.tags.values() if (not kind or tag.kind == kind) and tag.kind != other]
    for name in ("created_at", "updated_at"):
        if since := call.time(f"since_{name}"):
            found = [tag for tag in found if getattr(tag, name) > since]
        if before := call.time(f"before_{name}"):
            found = [tag for tag in found if getattr(tag, name) < before]
    more = {"list_id": account.list_id}
    return listing(call, SEGMENTS, "segments", found, more=more, build=lambda tag: _shown(account, call, tag))


def segment(account: Account, call: Call) -> Response:
    return answer(call, SEGMENT, _shown(account, call, _tag(account, call)))


def create_segment(account: Account, call: Call) -> Response:
    need_list(account, call)
    body = call.body()
    options = body.get("options")
    if ("static_segment" in body) == (options is not None):
        raise Problem(400, "Invalid Resource", "Either static_segment or options must be given, and not both.")
    if options is not None:
        _check_options(account, options)
    addresses = _addresses(body, "static_segment")
    if len(str(body.get("name") or "")) > NAME_LENGTH:
        raise invalid("name", f"This value is too long. It should have {NAME_LENGTH} characters or less.")
    tag = account.add_tag(str(body.get("name") or ""), options)
    account.log("segment.create", tag.name, "", "created")
    # A tag that is new in this call has no journey that could wait for it.
    for member in _known(account, addresses):
        _put(account, member, tag, True, quiet=True)
    return answer(call, SEGMENT, _shown(account, call, tag))


def _check_options(account: Account, options: Any) -> None:
    """Saved segments here know conditions over tags only; others are refused rather than answered wrongly."""
    conditions = options.get("conditions") if isinstance(options, dict) else None
    if not conditions or len(conditions) > 10:
        raise invalid("options", "A segment needs between 1 and 10 conditions.")
    for condition in conditions:
        if condition.get("field") != "static_segment" or condition.get("op") not in ("static_is", "static_not"):
            raise invalid("options.conditions", "This sandbox evaluates static_segment conditions only.")
        if condition.get("value") not in account.tags:
            raise invalid("options.conditions", "The segment in this condition does not exist.")


def patch_segment(account: Account, call: Call) -> Response:
    """static_segment replaces everybody: an empty list empties the tag. Without it only the name changes."""
    tag = _tag(account, call)
    body = call.body()
    name = str(body.get("name") or "").strip()
    if not name:
        raise invalid("name", "This value should not be blank.")
    if account.tag_named(name) not in (None, tag):
        raise Problem(400, "Invalid Resource", "Sorry, that tag already exists.")
    if "static_segment" in body:
        _replace(account, tag, _addresses(body, "static_segment"))
    if name != tag.name:
        account.log("segment.rename", tag.name, "", f"-> {name}")
        tag.name, tag.updated_at = name, call.now
        for uid in tag.members:
            account.show_tags(account.members[uid])
    return answer(call, SEGMENT, _shown(account, call, tag))


def _replace(account: Account, tag: Tag, addresses: list[str]) -> None:
    if tag.options is not None:
        raise _no_static(tag)
    wanted = {member.uid: member for member in _known(account, addresses)}
    account.log("segment.replace", tag.name, "", f"{len(wanted)} contacts")
    for uid in sorted(tag.members - set(wanted)):
        _put(account, account.members[uid], tag, False, quiet=False)
    for member in wanted.values():
        _put(account, member, tag, True, quiet=False)


def delete_segment(account: Account, call: Call) -> Response:
    tag = _tag(account, call)
    account.log("segment.delete", tag.name, "", f"{len(tag.members)} contacts")
    account.drop_tag(tag)
    return no_content()


def segment_members(account: Account, call: Call) -> Response:
    tag = _tag(account, call)
    found = account.members_of(tag, statuses(call), account.switches.list_lag_s)

    def build(uid: int) -> Json:
        return part_of(account.members[uid].wire, HIDDEN_IN_SEGMENT)

    return listing(call, SEGMENT_MEMBERS, "members", found, build=build)


def _no_static(tag: Tag) -> Problem:
    # The misleading words for a segment that exists but is saved: brandonseydel/MailChimp.Net#377
    return Problem(404, "Resource Not Found", f"A Static Segment with an id of {tag.tag_id} does not exist.")


def _addresses(body: Json, name: str) -> list[str]:
    value = body.get(name) or []
    if not isinstance(value, list):
        raise invalid(name, f"Schema describes array, {type(value).__name__} found instead")
    if any(not isinstance(item, str) for item in value):
        raise invalid(name, "Schema describes string, other type found instead")
    return value


def _known(account: Account, addresses: Iterable[str]) -> Iterable[Member]:
    """Those in the audience, each once; archived contacts are out of it."""
    for key in dict.fromkeys(subscriber_hash(address) for address in addresses):
        uid = account.by_hash.get(key)
        if uid is not None and account.members[uid].wire["status"] != "archived":
            yield account.members[uid]


def _put(account: Account, member: Member, tag: Tag, on: bool, *, quiet: bool) -> bool:
    changed = account.set_tag(member, tag, on, quiet=quiet)
    result = ("added" if on else "removed") if changed else "unchanged"
    account.log("tag.add" if on else "tag.remove", tag.name, member.wire["id"], result)
    return changed


def bulk(account: Account, call: Call) -> Response:
    """members_to_add and members_to_remove, at most 500 each. 200 also when every address failed: see errors."""
    tag = _tag(account, call)
    body = call.body()
    to_add, to_remove = _addresses(body, "members_to_add"), _addresses(body, "members_to_remove")
    if len(to_add) > ITEMS_MAX or len(to_remove) > ITEMS_MAX:
        raise Problem(400, "Invalid Resource", TOO_MANY)
    if tag.options is not None:
        raise _no_static(tag)
    errors: dict[str, list[str]] = {}
    added = _bulk_side(account, tag, to_add, True, errors)
    removed = _bulk_side(account, tag, to_remove, False, errors)
    answered: Json = {
        "members_added": added,
        "members_removed": removed,
        "errors": [{"email_addresses": addresses, "error": text} for text, addresses in errors.items()],
        "total_added": len(added),
        "total_removed": len(removed),
        # Counted per address, so that the three totals add up to what was sent; the description does not say [U].
        "error_count": sum(len(addresses) for addresses in errors.values()),
    }
    return answer(call, BULK, answered)


def _bulk_side(account: Account, tag: Tag, addresses: list[str], on: bool, errors: dict[str, list[str]]) -> list[Json]:
    done = []
    switches = account.switches
    for address in {subscriber_hash(address): address for address in addresses}.values():
        member = next(iter(_known(account, [address])), None)
        if member is None:
            errors.setdefault(NOT_HERE, []).append(address)
            account.log("tag.add" if on else "tag.remove", tag.name, subscriber_hash(address), "not in the audience")
            continue
        changed = _put(account, member, tag, on, quiet=not switches.bulk_starts_journeys)
        if not changed and switches.repeat_is_error:
            errors.setdefault("Contact is already in the tag." if on else "Contact is not in the tag.", []).append(address)
            continue
        done.append(part_of(member.wire, HIDDEN_IN_BULK))
    return done


def add_to_segment(account: Account, call: Call) -> Response:
    """POST .../segments/{id}/members: one contact."""
    tag = _tag(account, call)
    if tag.options is not None:
        raise _no_static(tag)
    member = account.find(subscriber_hash(str(call.body().get("email_address") or "")))
    _put(account, member, tag, True, quiet=not account.switches.bulk_starts_journeys)
    return answer(call, MEMBER, part_of(member.wire, HIDDEN_IN_SEGMENT))


def remove_from_segment(account: Account, call: Call) -> Response:
    tag = _tag(account, call)
    _put(account, account.find(call.args["reference"]), tag, False, quiet=True)
    return no_content()


def member_tags(account: Account, call: Call) -> Response:
    need_list(account, call)
    member = account.find(call.args["reference"])

    def build(tag_id: int) -> Json:
        return {"id": tag_id, "name": account.tags[tag_id].name, "date_added": member.tags[tag_id]}

    return listing(call, MEMBER_TAGS, "tags", list(member.tags), build=build)


def set_member_tags(account: Account, call: Call) -> Response:
    """One contact, many tags by name; a name that is new becomes a tag. is_syncing keeps journeys from starting."""
    need_list(account, call)
    member = account.find(call.args["reference"])
    body = call.body()
    wanted = body.get("tags")
    if not isinstance(wanted, list) or not wanted:
        raise invalid("tags", "This value should not be blank.")
    for entry in wanted:
        if not isinstance(entry, dict) or not entry.get("name"):
            raise invalid("tags.item:0.name", "This value should not be blank.")
        if entry.get("status") not in ("active", "inactive"):
            raise invalid("tags.item:0.status", "Data did not match any of the acceptable values.")
    for entry in wanted:
        on = entry["status"] == "active"
        tag = account.tag_named(entry["name"])
        if tag is None and on:
            tag = account.add_tag(entry["name"])
            account.log("segment.create", tag.name, "", "created")
        if tag is not None and tag.options is None:
            _put(account, member, tag, on, quiet=bool(body.get("is_syncing")))
    return no_content()


def tag_search(account: Account, call: Call) -> Response:
    """Tags whose name begins with the text; no paging."""
    need_list(account, call)
    text = call.text("name").lower()
    found = [tag for tag in account.tags.values() if tag.options is None and tag.name.lower().startswith(text)]
    body = {"tags": [{"id": tag.tag_id, "name": tag.name} for tag in found], "total_items": len(found)}
    return answer(call, TAG_SEARCH, body)


ROUTES = [
    ("GET", "/lists/{list_id}/segments", segments),
    ("POST", "/lists/{list_id}/segments", create_segment),
    ("GET", "/lists/{list_id}/segments/{segment_id}", segment),
    ("PATCH", "/lists/{list_id}/segments/{segment_id}", patch_segment),
    ("POST", "/lists/{list_id}/segments/{segment_id}", bulk),
    ("DELETE", "/lists/{list_id}/segments/{segment_id}", delete_segment),
    ("GET", "/lists/{list_id}/segments/{segment_id}/members", segment_members),
    ("POST", "/lists/{list_id}/segments/{segment_id}/members", add_to_segment),
    ("DELETE", "/lists/{list_id}/segments/{segment_id}/members/{reference}", remove_from_segment),
    ("GET", "/lists/{list_id}/members/{reference}/tags", member_tags),
    ("POST", "/lists/{list_id}/members/{reference}/tags", set_member_tags),
    ("GET", "/lists/{list_id}/tag-search", tag_search),
]
