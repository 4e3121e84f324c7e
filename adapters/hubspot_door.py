"""All we ever write to HubSpot: a new empty list, who is on a list, and where the owner wants them one folder for our
lists, one property of ours for the segments, and one for each profile column he wants there.

No path of consent, of a deletion, of a new contact; no value of any property that is not ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

OURS = "rollcall"  # how the names of groups and properties of ours begin
ROOT_FOLDER = "0"
READS_BY_POST = re.compile(
    r"/crm/objects/[\d-]+/\w+/(search|batch/read)|/crm/associations/[\d-]+/\w+/\w+/batch/read|/crm/lists/[\d-]+/(all|search)"
    r"|/automation/v4/flows/batch/read"
)
LISTS = (
    ("POST", re.compile(r"/crm/lists/[\d-]+")),
    ("PUT", re.compile(r"/crm/lists/[\d-]+/\d+/memberships/add-and-remove")),
)
FOLDERS = re.compile(r"/crm/lists/[\d-]+/folders")
GROUPS = re.compile(r"/crm/properties/[\d-]+/contacts/groups")
PROPERTIES = re.compile(r"/crm/properties/[\d-]+/contacts")
PROPERTY = re.compile(rf"/crm/properties/[\d-]+/contacts/{OURS}_\w+")
VALUES = re.compile(r"/crm/objects/[\d-]+/contacts/batch/update")


def is_read(path: str) -> bool:
    return bool(READS_BY_POST.fullmatch(path))


def is_allowed(
    method: str, path: str, body: dict[str, Any], *, with_property: bool, folder: str = "", fields: Collection[str] = ()
) -> bool:
    """with_property: the owner has switched the property on. folder: the one folder he wants our lists in. fields: the
    properties he wants profile columns in."""
    if any(method == verb and allowed.fullmatch(path) for verb, allowed in LISTS):
        return True
    if method == "POST" and FOLDERS.fullmatch(path):
        return bool(folder) and body == {"name": folder, "parentFolderId": ROOT_FOLDER}
    if fields and method == "POST" and _is_about(fields, path, body):
        return True
    if not with_property:
        return False
    if method == "PATCH":
        return bool(PROPERTY.fullmatch(path)) and body.keys() == {"options"}
    if method != "POST":
        return False
    if GROUPS.fullmatch(path) or PROPERTIES.fullmatch(path):
        return _is_ours(body.get("name"))
    return bool(VALUES.fullmatch(path)) and _writes_only(body, lambda names: len(names) == 1 and all(map(_is_ours, names)))


def _is_about(fields: Collection[str], path: str, body: dict[str, Any]) -> bool:
    """Our group, a property for one of the fields, or values of nothing but these."""
    if GROUPS.fullmatch(path):
        return body.get("name") == OURS
    if PROPERTIES.fullmatch(path):
        return body.get("name") in fields and _is_ours(body.get("name"))
    return bool(VALUES.fullmatch(path)) and _writes_only(body, lambda names: all(n in fields and _is_ours(n) for n in names))


def _writes_only(body: dict[str, Any], are_ours: Callable[[Collection[str]], bool]) -> bool:
    """Rows found by record id, each with properties of ours and nothing else."""
    rows = body.get("inputs")
    if body.keys() != {"inputs"} or not isinstance(rows, list):
        return False
    return all(
        row.keys() <= {"id", "objectWriteTraceId", "properties"} and row["properties"] and are_ours(row["properties"].keys())
        for row in rows
    )


def _is_ours(name: Any) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(rf"{OURS}(_[a-z0-9_]+)?", name))
