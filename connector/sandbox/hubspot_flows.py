"""The owner's workflows: they enrol contacts and count the mails they would send, and may be read. Nothing is ever sent.

Reading them wants the scope `automation`; the answers have the shape of the automation API v4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from connector.sandbox.base import Response
from connector.sandbox.hubspot_crm import Crm
from connector.sandbox.hubspot_lists import Lists, StoredList
from connector.sandbox.hubspot_wire import EPOCH, Call, Json, Router, answer, invalid, iso, needs, not_found

READ = needs(("automation",))
BASE = "/automation/v4/flows"
AT_ONCE = 100
PROPERTY_CHANGED = "4-655002"


@dataclass
class Workflow:
    """Starts when a contact enters `on_list` (name or id), or when `on_property` becomes `value` ("" is any new value).

    May the same contact start twice? Only where `reenrols`. mails: how many it sends to one who may be mailed. by_event: it is
    told of the moment, and does not look for who fits. only_if: (property, value) that must hold besides. on_leaving: it
    starts when a contact is taken off `on_list`. makes_marketing: it makes the contact one that is paid for. raw: what the
    API shows instead, in whatever shape.
    """

    name: str
    on_list: str = ""
    on_property: str = ""
    value: str = ""
    reenrols: bool = False
    mails: int = 1
    enabled: bool = True
    by_event: bool = False
    only_if: tuple[str, str] = ("", "")
    on_leaving: bool = False
    makes_marketing: bool | None = None
    raw: Json | None = None
    enrolled: dict[int, int] = field(default_factory=dict)


class Flows:
    """`sent` counts mails; `enrolments` names each start: {"at", "workflow", "contact"}."""

    def __init__(self, crm: Crm, lists: Lists) -> None:
        self.crm = crm
        self.lists = lists
        self.workflows: list[Workflow] = []
        self.enrolments: list[dict[str, Any]] = []
        self.sent = 0
        lists.joined.append(self._joined)
        lists.left.append(self._left)
        self.watch()

    def watch(self) -> None:
        """Listen to property changes (again, after the account was loaded anew)."""
        self.crm.watchers.append(self._changed)

    def clear(self) -> None:
        self.enrolments.clear()
        self.sent = 0
        for workflow in self.workflows:
            workflow.enrolled.clear()
        self.watch()

    def _joined(self, target: StoredList, contact: int) -> None:
        for workflow in self.workflows:
            if workflow.on_list and workflow.on_list in (target.name, str(target.id)) and not workflow.on_leaving:
                self._enrol(workflow, contact)

    def _left(self, target: StoredList, contact: int) -> None:
        for workflow in self.workflows:
            if workflow.on_leaving and workflow.on_list in (target.name, str(target.id)):
                self._enrol(workflow, contact)

    def _changed(self, contact: int, name: str, value: str) -> None:
        """A multi-select property starts a workflow when the value is one of those chosen."""
        for workflow in self.workflows:
            hit = value and (not workflow.value or workflow.value in (value, *value.split(";")))
            if workflow.on_property == name and hit:
                self._enrol(workflow, contact)

    def _enrol(self, workflow: Workflow, contact: int) -> None:
        record = self.crm.tables["contacts"].live.get(contact)
        held = record.props if record is not None else {}
        asked, wanted = workflow.only_if
        if not workflow.enabled or (asked and held.get(asked) != wanted):
            return
        if contact in workflow.enrolled and not workflow.reenrols:
            return
        workflow.enrolled[contact] = workflow.enrolled.get(contact, 0) + 1
        self.enrolments.append({"at": iso(self.crm.clock()), "workflow": workflow.name, "contact": str(contact)})
        silent = ("hs_email_optout", "hs_email_quarantined", "hs_email_bad_address")
        if record is not None and not any(held.get(name) == "true" for name in silent):
            self.sent += workflow.mails
        if record is not None and workflow.makes_marketing is not None:
            self.crm.update("contacts", record, {"hs_marketable_status": str(workflow.makes_marketing).lower()})

    # ---- over HTTP

    def routes(self, router: Router) -> None:
        router.add("GET", BASE, self.all, READ)
        router.add("GET", BASE + "/{flow}", self.one, READ)
        router.add("POST", BASE + "/batch/read", self.several, READ)

    def all(self, call: Call) -> Response:
        """Little of each: what it waits for is told by the single one only."""
        limit, start = call.number("limit", 100, 100), int(call.text("after", "0"))
        shown = [_short(flow) for flow in self._rendered()][start : start + limit]
        page: Json = {"results": shown}
        if start + limit < len(self.workflows):
            page["paging"] = {"next": {"after": str(start + limit)}}
        return answer(page)

    def one(self, call: Call) -> Response:
        found = next((flow for flow in self._rendered() if flow["id"] == call.parts["flow"]), None)
        if found is None:
            raise not_found(f"Flow {call.parts['flow']} does not exist")
        return answer(found)

    def several(self, call: Call) -> Response:
        inputs = call.object().get("inputs")
        if not isinstance(inputs, list) or len(inputs) > AT_ONCE:
            raise invalid(f"Invalid input JSON: inputs must be a list of at most {AT_ONCE}")
        ids = {str(i.get("flowId")) for i in inputs}
        return answer({"status": "COMPLETE", "results": [flow for flow in self._rendered() if flow["id"] in ids]})

    def _rendered(self) -> list[Json]:
        return [self._render(workflow, number) for number, workflow in enumerate(self.workflows)]

    def _render(self, workflow: Workflow, number: int) -> Json:
        at = iso(EPOCH)
        return {
            "type": "CONTACT_FLOW",
            "id": str(585_051_900 + number),
            "isEnabled": workflow.enabled,
            "flowType": "WORKFLOW",
            "revisionId": "1",
            "name": workflow.name,
            "createdAt": at,
            "updatedAt": at,
            "objectTypeId": "0-1",
            "startActionId": "1",
            "nextAvailableActionId": str(len(_actions(workflow)) + 1),
            "actions": _actions(workflow),
            "enrollmentCriteria": self._criteria(workflow),
            "suppressionListIds": [],
            "timeWindows": [],
            "blockedDates": [],
            "customProperties": {},
            **(workflow.raw or {}),
        }

    def _criteria(self, workflow: Workflow) -> Json:
        again = {"shouldReEnroll": workflow.reenrols}
        if not workflow.on_list and not workflow.on_property:
            return {**again, "type": "MANUAL"}
        besides = [_holds(*workflow.only_if)] if workflow.only_if[0] else []
        if not workflow.by_event:
            main = self._in_list(workflow) if workflow.on_list else _holds(workflow.on_property, workflow.value)
            branch = _branch("OR", inner=[_branch("AND", filters=[main, *besides])])
            return {
                **again, "type": "LIST_BASED", "listFilterBranch": branch, "reEnrollmentTriggersFilterBranches": [],
                "unEnrollObjectsNotMeetingCriteria": False,
            }  # fmt: skip
        more = {"refinementCriteria": _branch("OR", inner=[_branch("AND", filters=besides)])} if besides else {}
        of_list = [_branch("AND", filters=[self._in_list(workflow)])] if workflow.on_list else []
        of_value = [] if workflow.on_list else [_change_of(workflow.on_property, workflow.value)]
        return {
            **again, **more, "type": "EVENT_BASED", "eventFilterBranches": of_value, "listMembershipFilterBranches": of_list,
        }  # fmt: skip

    def _in_list(self, workflow: Workflow) -> Json:
        """No workflow can wait for a list that is not there: of one that is named and not made yet, the id is 0."""
        found = next((one for one in self.lists.live() if workflow.on_list in (one.name, str(one.id))), None)
        operator = "NOT_IN_LIST" if workflow.on_leaving else "IN_LIST"
        return {"filterType": "IN_LIST", "listId": str(found.id if found else 0), "operator": operator}


def _actions(workflow: Workflow) -> list[Json]:
    wanted: list[tuple[str, Json]] = [("0-4", {"content_id": str(700 + n)}) for n in range(workflow.mails)]
    if workflow.makes_marketing is not None:
        kind = "MARKETABLE" if workflow.makes_marketing else "NON_MARKETABLE"
        wanted.append(("0-31", {"targetContact": "{{ enrolled_object }}", "marketableType": kind}))
    made = []
    for number, (type_id, fields) in enumerate(wanted, 1):
        action: Json = {
            "type": "SINGLE_CONNECTION", "actionId": str(number), "actionTypeVersion": 0, "actionTypeId": type_id, "fields": fields,
        }  # fmt: skip
        if number < len(wanted):
            action["connection"] = {"edgeType": "STANDARD", "nextActionId": str(number + 1)}
        made.append(action)
    return made


def _branch(kind: str, *, filters: list[Json] | None = None, inner: list[Json] | None = None) -> Json:
    return {"filterBranchType": kind, "filterBranchOperator": kind, "filters": filters or [], "filterBranches": inner or []}


def _holds(name: str, value: str) -> Json:
    return {"filterType": "PROPERTY", "property": name, "operation": _operation(value)}


def _operation(value: str) -> Json:
    if not value:
        return {"operator": "IS_KNOWN", "includeObjectsWithNoValueSet": False, "operationType": "ALL_PROPERTY"}
    return {
        "operator": "IS_ANY_OF", "includeObjectsWithNoValueSet": False, "values": [value], "operationType": "ENUMERATION",
    }  # fmt: skip


def _change_of(name: str, value: str) -> Json:
    named = {"operator": "IS_EQUAL_TO", "includeObjectsWithNoValueSet": False, "value": name, "operationType": "STRING"}
    filters = [
        {"filterType": "PROPERTY", "property": "hs_name", "operation": named},
        {"filterType": "PROPERTY", "property": "hs_value", "operation": _operation(value)},
    ]
    return {
        "filterBranchType": "UNIFIED_EVENTS", "filterBranchOperator": "AND", "eventTypeId": PROPERTY_CHANGED,
        "operator": "HAS_COMPLETED", "filters": filters, "filterBranches": [],
    }  # fmt: skip


def _short(flow: Json) -> Json:
    names = ("id", "isEnabled", "flowType", "revisionId", "name", "createdAt", "updatedAt", "objectTypeId")
    return {name: flow[name] for name in names if name in flow}
