"""The owner's workflows: they enrol contacts and count the mails they would send. Nothing is ever sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from connector.sandbox.hubspot_crm import Crm
from connector.sandbox.hubspot_lists import Lists, StoredList
from connector.sandbox.hubspot_wire import iso


@dataclass
class Workflow:
    """Starts when a contact enters `on_list` (name or id), or when `on_property` becomes `value` ("" is any new value).

    May the same contact start twice? Only where `reenrols`. mails: how many it sends to one who may be mailed.
    """

    name: str
    on_list: str = ""
    on_property: str = ""
    value: str = ""
    reenrols: bool = False
    mails: int = 1
    enrolled: dict[int, int] = field(default_factory=dict)


class Flows:
    """`sent` counts mails; `enrolments` names each start: {"at", "workflow", "contact"}."""

    def __init__(self, crm: Crm, lists: Lists) -> None:
        self.crm = crm
        self.workflows: list[Workflow] = []
        self.enrolments: list[dict[str, Any]] = []
        self.sent = 0
        lists.joined.append(self._joined)
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
            if workflow.on_list and workflow.on_list in (target.name, str(target.id)):
                self._enrol(workflow, contact)

    def _changed(self, contact: int, name: str, value: str) -> None:
        """A multi-select property starts a workflow when the value is one of those chosen."""
        for workflow in self.workflows:
            hit = value and (not workflow.value or workflow.value in (value, *value.split(";")))
            if workflow.on_property == name and hit:
                self._enrol(workflow, contact)

    def _enrol(self, workflow: Workflow, contact: int) -> None:
        if contact in workflow.enrolled and not workflow.reenrols:
            return
        workflow.enrolled[contact] = workflow.enrolled.get(contact, 0) + 1
        self.enrolments.append({"at": iso(self.crm.clock()), "workflow": workflow.name, "contact": str(contact)})
        record = self.crm.tables["contacts"].live.get(contact)
        silent = ("hs_email_optout", "hs_email_quarantined", "hs_email_bad_address")
        if record is not None and not any(record.props.get(name) == "true" for name in silent):
            self.sent += workflow.mails
