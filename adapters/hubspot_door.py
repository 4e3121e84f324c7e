"""All we ever write to HubSpot: a new empty list, who is on a list, and one property of ours where the owner wants it.

No path of consent, of a deletion, of a new contact; no value of any property that is not ours.
"""

from __future__ import annotations

import re
from typing import Any

OURS = "rollcall"  # how the names of groups and properties of ours begin
READS_BY_POST = re.compile(
    r"/crm/objects/[\d-]+/\w+/(search|batch/read)|/crm/associations/[\d-]+/\w+/\w+/batch/read|/crm/lists/[\d-]+/(all|search)"
)
LISTS = (
    ("POST", re.compile(r"/crm/lists/[\d-]+")),
    ("PUT", re.compile(r"/crm/lists/[\d-]+/\d+/memberships/add-and-remove")),
)
GROUPS = re.compile(r"/crm/properties/[\d-]+/contacts/groups")
PROPERTIES = re.compile(r"/crm/properties/[\d-]+/contacts")
PROPERTY = re.compile(rf"/crm/properties/[\d-]+/contacts/{OURS}_\w+")
VALUES = re.compile(r"/crm/objects/[\d-]+/contacts/batch/update")


def is_read(path: str) -> bool:
    return bool(READS_BY_POST.fullmatch(path))


def is_allowed(method: str, path: str, body: dict[str, Any], *, with_property: bool) -> bool:
    """with_property: the owner has switched the property on."""
    if any(method == verb and allowed.fullmatch(path) for verb, allowed in LISTS):
        return True
    if not with_property:
        return False
    if method == "PATCH":
        return bool(PROPERTY.fullmatch(path)) and body.keys() == {"options"}
    if method != "POST":
        return False
    if GROUPS.fullmatch(path) or PROPERTIES.fullmatch(path):
        return _is_ours(body.get("name"))
    return bool(VALUES.fullmatch(path)) and _writes_ours_only(body)


def _writes_ours_only(body: dict[str, Any]) -> bool:
    """Rows found by record id, each with exactly one property, ours."""
    rows = body.get("inputs")
    if body.keys() != {"inputs"} or not isinstance(rows, list):
        return False
    return all(
        row.keys() <= {"id", "objectWriteTraceId", "properties"}
        and len(row["properties"]) == 1
        and all(_is_ours(name) for name in row["properties"])
        for row in rows
    )


def _is_ours(name: Any) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(rf"{OURS}(_[a-z0-9_]+)?", name))
