"""Active (dynamic) lists: HubSpot itself keeps in them whoever meets their filters, and tells who enters and leaves.

Conditions on lists and properties are understood; whoever meets any other condition nobody knows, and it does not hold.
"""

from __future__ import annotations

from typing import Any

from connector.sandbox.hubspot_crm import Crm
from connector.sandbox.hubspot_lists import Lists
from connector.sandbox.hubspot_wire import Json


class ActiveLists:
    def __init__(self, crm: Crm, lists: Lists) -> None:
        self.crm, self.lists = crm, lists
        lists.joined.append(lambda _, contact: self.look(contact))
        lists.left.append(lambda _, contact: self.look(contact))
        self.watch()

    def watch(self) -> None:
        """Listen to property changes (again, after the account was loaded anew)."""
        self.crm.watchers.append(lambda contact, name, value: self.look(contact))

    def look(self, contact: int) -> None:
        """Put the contact into every active list whose filters it meets, and out of the others."""
        for one in [x for x in self.lists.live() if x.processing == "DYNAMIC" and x.filters]:
            fits = _holds(one.filters or {}, self._props(contact), self._lists_of(contact))
            if fits and contact not in one.members:
                self.lists.put(one, [contact])
            elif not fits and one.members.pop(contact, None) is not None:
                self.lists.changed(one)
                for left in self.lists.left:
                    left(one, contact)

    def _props(self, contact: int) -> dict[str, str]:
        record = self.crm.tables["contacts"].live.get(contact)
        return record.props if record is not None else {}

    def _lists_of(self, contact: int) -> set[str]:
        return {str(one.id) for one in self.lists.live() if contact in one.members}


def _holds(branch: Json, props: dict[str, str], lists: set[str]) -> bool:
    found = [_meets(f, props, lists) for f in branch.get("filters") or []]
    found += [_holds(b, props, lists) for b in branch.get("filterBranches") or []]
    return any(found) if branch.get("filterBranchType") == "OR" else bool(found) and all(found)


def _meets(given: Json, props: dict[str, str], lists: set[str]) -> bool:
    if given.get("filterType") == "IN_LIST":
        return (str(given.get("listId")) in lists) == (given.get("operator") == "IN_LIST")
    if given.get("filterType") != "PROPERTY":
        return False
    operation: dict[str, Any] = given.get("operation") or {}
    value = props.get(str(given.get("property"))) or ""
    if operation.get("operator") == "IS_KNOWN":
        return bool(value)
    return operation.get("operator") == "IS_ANY_OF" and bool({value, *value.split(";")} & set(operation.get("values") or []))
