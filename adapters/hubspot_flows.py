"""Which of the owner's workflows start when somebody is put on a list, taken off one, or gets a value: read, never changed.

Beta, for Professional plans and above, scope `automation`. What cannot be read or understood is said, and is never an error;
of a shape we do not know, whatever names our list or property counts as a workflow that may start.
Docs: https://developers.hubspot.com/docs/api-reference/legacy/automation/workflows/guide and .../action-enrollment-reference
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from adapters.base import Automation
from adapters.hubspot_answers import next_after
from adapters.hubspot_client import HubspotClient
from adapters.paging import Chain
from models.errors import ApiError, PermanentApiError, ScopeError

log = logging.getLogger(__name__)

SCOPE = "automation"
PATH = "/automation/v4/flows"
"""The dated path (`/automation/2026-09-beta/flows`) is a beta that ends; this one works until about March 2027."""
PAGE = 100
AT_ONCE = 50
TRIES = 3
CONTACTS = "0-1"
SENDS_EMAIL = "0-4"
SETS_MARKETING = "0-31"
ANOTHER_OBJECT = ("ASSOCIATION", "PROPERTY_ASSOCIATION")
NONE_OF = ("NOT_ALL", "NOT_ANY")
ONE_OF = ("IS_ANY_OF", "IS_EQUAL_TO", "IS_EXACTLY", "CONTAINS", "CONTAINS_EXACTLY", "IS_EQUAL_TO_ANY_OF", "IS_ANY_OF_EXACTLY")
ANY_VALUE = ("IS_KNOWN", "HAS_EVER_BEEN_ANY_OF")
LONGEST_WAY = 500

Json = dict[str, Any]
On = Literal["enter", "leave", "value"]
EITHER: tuple[On, ...] = ("enter", "leave")


class Waits(NamedTuple):
    """One thing a workflow waits for: `name` is a list's id (enter, leave) or a property (value); no values: any of them.
    is_direct: the workflow itself looks at the property, and not at an active list that does."""

    on: On
    name: str
    values: tuple[str, ...] = ()
    is_sure: bool = True
    is_direct: bool = True


@dataclass(frozen=True)
class Flow:
    """A workflow of contacts that is switched on. is_event: a change starts it, and not that something is so."""

    name: str
    waits: tuple[Waits, ...]
    mails: int
    has_ways: bool
    billing: str
    is_event: bool = False

    def as_automation(self, found: Waits) -> Automation:
        return Automation(self.name, found.on, found.values, self.mails, self.billing, found.is_sure, self.has_ways)


class Flows:
    """The workflows of the account, read once."""

    def __init__(self, client: HubspotClient) -> None:
        self.client = client
        self._known: tuple[tuple[Flow, ...], str] | None = None

    def known(self) -> tuple[tuple[Flow, ...], str]:
        """(those that could be read, why not all of them were; '' where they were)."""
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> tuple[tuple[Flow, ...], str]:
        try:
            rows = list(self._details(self._ids()))
        except ScopeError:
            return (), f"the key lacks the scope {SCOPE}, or the subscription has no workflows"
        except ApiError as e:
            log.info("HubSpot's workflows cannot be read (%s)", e.code or e.status)
            return (), f"HubSpot does not give them here ({e.status or 'no answer'})"
        flows = [understood(row) for row in rows]
        unclear = sum(flow is None for flow in flows)
        said = f"{unclear} of {len(rows)} came in a shape that Rollcall does not know" if unclear else ""
        return tuple(flow for flow in flows if flow is not None), said

    def _ids(self) -> list[str]:
        found, after, chain = [], "", Chain("workflows", "hubspot")
        while True:
            page = self.client.get(PATH, {"limit": PAGE, **({"after": after} if after else {})}, tries=TRIES)
            rows = [r for r in _list(page.get("results")) if isinstance(r, dict)]
            found += [str(r["id"]) for r in rows if r.get("id") and _may_start(r)]
            after = chain.next(next_after(page)) or ""
            if not after:
                return found

    def _details(self, ids: list[str]) -> Iterator[Json]:
        for start in range(0, len(ids), AT_ONCE):
            part = ids[start : start + AT_ONCE]
            try:
                body = {"inputs": [{"flowId": i, "type": "FLOW_ID"} for i in part]}
                rows = _list(self.client.ask(f"{PATH}/batch/read", body, tries=TRIES).get("results"))
            except ScopeError:
                raise
            except PermanentApiError:  # not there, or not for so many: one by one
                rows = []
            read = {str(r.get("id")): r for r in rows if isinstance(r, dict)}
            for i in part:
                yield read[i] if i in read else self._one(i)

    def _one(self, flow_id: str) -> Json:
        """{} for one that was deleted since, which then counts as not understood."""
        try:
            return self.client.get(f"{PATH}/{flow_id}", tries=TRIES)
        except ScopeError:
            raise
        except PermanentApiError:
            return {}


def started_by(
    flows: Iterable[Flow],
    list_id: str,
    value: tuple[str, str],
    listed: frozenset[str] = frozenset(),
    carriers: frozenset[str] = frozenset(),
) -> tuple[Automation, ...]:
    """What starts when somebody enters or leaves the list; value: (property, option) that is set with it, ('', '') for none.

    listed, carriers: of those who enter, who is on the list already and who has the option.
    """
    found: list[Automation] = []
    for flow in flows:
        for w in flow.waits:
            if w.on != "value" and w.name == list_id and list_id:
                found.append(replace(flow.as_automation(w), spares=listed if w.on == "enter" else frozenset()))
            elif w.on == "value" and w.name == value[0] and value[0] and (not w.values or value[1] in w.values):
                # one option more makes no property known that was known before
                moved = _moved(w, "enter", is_sure=w.is_sure and bool(w.values or flow.is_event))
                found.append(replace(flow.as_automation(moved), spares=carriers))
                if flow.is_event and not w.values:
                    found.append(flow.as_automation(_moved(w, "leave", is_sure=False)))
            if w.is_direct and w.on == "value" and w.name == value[0] and value[0] and {*w.values} - {value[1]}:
                # whoever has an option that it waits for gets a new value of the property with every other one set or cleared
                found += [flow.as_automation(_moved(w, on, is_sure=False)) for on in EITHER]
    return _once(found)


def started_by_field(flows: Iterable[Flow], name: str) -> tuple[Automation, ...]:
    """What starts when the property gets a new value."""
    return _once(f.as_automation(w) for f in flows for w in f.waits if w.on == "value" and w.name == name)


def _moved(waits: Waits, on: On, *, is_sure: bool) -> Waits:
    return waits._replace(on=on, values=(), is_sure=is_sure)


def _once(found: Iterable[Automation]) -> tuple[Automation, ...]:
    """One line per workflow and moment, the surest."""
    best: dict[tuple[str, str], Automation] = {}
    for one in found:
        known = best.get((one.name, one.on))
        if known is None:
            best[one.name, one.on] = one
            continue
        values = () if not (known.values and one.values) else tuple(sorted({*known.values, *one.values}))
        is_sure, spares = known.is_sure or one.is_sure, known.spares & one.spares
        best[one.name, one.on] = replace(known, values=values, is_sure=is_sure, spares=spares)
    return tuple(best[key] for key in sorted(best))


def understood(row: Json) -> Flow | None:
    """None for a shape that nothing can be said of."""
    criteria = row.get("enrollmentCriteria")
    actions = row.get("actions")
    if not row.get("id") or not isinstance(actions, list):
        return None
    if not isinstance(criteria, dict):
        return Flow(_name(row), (), 0, False, "") if criteria is None else None
    try:
        waits = tuple(_criteria(criteria))
        mails, has_ways = _mails(row, [a for a in actions if isinstance(a, dict)])
        billing = _billing(a for a in actions if isinstance(a, dict))
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError):
        return None
    return Flow(_name(row), waits, mails, has_ways, billing, criteria.get("type") == "EVENT_BASED")


def _may_start(row: Json) -> bool:
    """What does not say so is looked at."""
    return row.get("isEnabled") is not False and str(row.get("objectTypeId") or CONTACTS) == CONTACTS


def _name(row: Json) -> str:
    return " ".join(str(row.get("name") or row.get("id")).split())


# ---- what it waits for


def _criteria(criteria: Json) -> Iterator[Waits]:
    kind = criteria.get("type")
    if kind == "MANUAL":
        return
    if kind == "LIST_BASED":
        yield from _branch(criteria.get("listFilterBranch") or {}, is_sure=True)
    elif kind == "EVENT_BASED":
        is_sure = not _conditions(criteria.get("refinementCriteria") or {})
        for branch in _list(criteria.get("listMembershipFilterBranches")):
            yield from _branch(branch, is_sure=is_sure)
        for branch in _list(criteria.get("eventFilterBranches")):
            yield from _event(branch, is_sure=is_sure)
    else:
        yield from _mentioned(criteria)


def branch_waits(branch: Json) -> Iterator[Waits]:
    """What makes somebody meet these filters, of a list's or of a workflow's. Raises what a strange shape makes Python raise."""
    return _branch(branch, is_sure=True)


def _branch(branch: Json, *, is_sure: bool) -> Iterator[Waits]:
    """Of an OR each condition is enough, of an AND all must hold; conditions on other objects are not ours."""
    kind = str(branch.get("filterBranchType") or branch.get("filterBranchOperator") or "AND")
    if kind in ANOTHER_OBJECT:
        return
    filters, inner = _list(branch.get("filters")), _list(branch.get("filterBranches"))
    is_sure = is_sure and (kind == "OR" or (kind == "AND" and len(filters) + len(inner) == 1))
    found = [w for f in filters if (w := _filter(f, is_sure=is_sure)) is not None]
    found += [w for one in inner for w in _branch(one, is_sure=is_sure)]
    for waits in found:
        if kind in NONE_OF and waits.on != "value":
            yield waits._replace(on="leave" if waits.on == "enter" else "enter", is_sure=False)
        elif kind in NONE_OF:
            yield waits._replace(values=(), is_sure=False)
        else:
            yield waits


def _filter(given: Json, *, is_sure: bool) -> Waits | None:
    if given.get("listId") is not None:
        is_leaving = str(given.get("operator") or "").startswith("NOT")
        return Waits("leave" if is_leaving else "enter", str(given["listId"]), is_sure=is_sure)
    if given.get("property"):
        values, is_known = _values(given.get("operation") or {})
        return Waits("value", str(given["property"]), values, is_sure and is_known)
    return None


def _event(branch: Json, *, is_sure: bool) -> Iterator[Waits]:
    """A change of a property is an event with the property's name and its new value, or names the property itself."""
    filters = [f for f in _list(branch.get("filters")) if isinstance(f, dict)]
    operations = {str(f.get("property")): f.get("operation") or {} for f in filters}
    if "hs_name" in operations:
        values, is_known = _values(operations.get("hs_value") or {"operator": "IS_KNOWN"})
        for name in _values(operations["hs_name"])[0]:
            yield Waits("value", name, values, is_sure and is_known and operations.keys() <= {"hs_name", "hs_value"})
        return
    for given in filters:
        waits = _filter(given, is_sure=is_sure and len(filters) == 1)
        if waits is not None:
            yield waits


def _values(operation: Json) -> tuple[tuple[str, ...], bool]:
    """(the values that are enough, none for any; whether that is all there is to it)."""
    given = operation.get("values")
    values = given if isinstance(given, list) else [operation["value"]] if operation.get("value") is not None else []
    operator = str(operation.get("operator") or "")
    if operator in ONE_OF and values:
        return tuple(sorted(str(v) for v in values)), True
    return (), operator in ANY_VALUE


def _mentioned(value: Any) -> Iterator[Waits]:
    """Whatever names a list or a property, in a shape we do not know."""
    if isinstance(value, list):
        for inner in value:
            yield from _mentioned(inner)
    elif isinstance(value, dict):
        found = _filter(value, is_sure=False)
        if found is not None:
            yield found._replace(values=())
        for inner in value.values():
            yield from _mentioned(inner)


def _conditions(branch: Json) -> int:
    return len(_list(branch.get("filters"))) + sum(_conditions(b) for b in _list(branch.get("filterBranches")))


# ---- what it does


def _mails(row: Json, actions: Collection[Json]) -> tuple[int, bool]:
    """(e-mails on its longest way, whether there are several ways)."""
    known = {str(a.get("actionId")): a for a in actions}
    total = sum(a.get("actionTypeId") == SENDS_EMAIL for a in actions)
    has_ways = any(str(a.get("type") or "SINGLE_CONNECTION") != "SINGLE_CONNECTION" for a in actions)
    if not has_ways or str(row.get("startActionId")) not in known or len(known) > LONGEST_WAY:
        return total, has_ways

    def longest(at: str, passed: frozenset[str]) -> int:
        if at not in known or at in passed:
            return 0
        if at not in most:
            here = known[at].get("actionTypeId") == SENDS_EMAIL
            most[at] = here + max((longest(n, passed | {at}) for n in _next(known[at])), default=0)
        return most[at]

    most: dict[str, int] = {}
    return longest(str(row["startActionId"]), frozenset()), True


def _next(value: Any) -> Iterator[str]:
    """The ids of the actions that may follow, wherever the action names them."""
    if isinstance(value, list):
        for inner in value:
            yield from _next(inner)
    elif isinstance(value, dict):
        if value.get("nextActionId") is not None:
            yield str(value["nextActionId"])
        for key, inner in value.items():
            if key not in ("fields", "filterBranch"):
                yield from _next(inner)


def _billing(actions: Iterable[Json]) -> str:
    """HubSpot bills by marketing contacts. What the action's fields are called is not documented."""
    words = [str(a.get("fields")).upper() for a in actions if a.get("actionTypeId") == SETS_MARKETING]
    if not words:
        return ""
    if all("NON_MARKETABLE" in w or "'FALSE'" in w for w in words):
        return "makes them non-marketing contacts"
    return "makes them marketing contacts, by whose number HubSpot bills"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
