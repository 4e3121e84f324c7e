"""Profile columns as HubSpot properties of contacts: `rollcall_<label>` in our own group, written a hundred contacts at a time.

A property is made once and found again afterwards; one of that name that is not ours, or holds something else, is left alone.
Docs: https://developers.hubspot.com/docs/api-reference/latest/crm/properties/guide
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from adapters import field_texts, marks
from adapters.hubspot_answers import Problem, Refused, failed_ids, in_words
from adapters.hubspot_client import BATCH, HubspotClient
from adapters.hubspot_door import OURS
from adapters.hubspot_objects import CONTACTS
from adapters.hubspot_property import GROUP, HOPELESS, PROPERTY, TRIES
from adapters.hubspot_read import Reader
from models.changes import FieldKind, Outcome
from models.errors import AmbiguousWriteError, PermanentApiError, ScopeError, UsageError

TYPES: dict[FieldKind, tuple[str, str]] = {
    "text": ("string", "text"),
    "number": ("number", "number"),
    "date": ("date", "date"),
    "yes or no": ("bool", "booleancheckbox"),
}
YES_OR_NO = [
    {"label": "Yes", "value": "true", "displayOrder": 0, "hidden": False},
    {"label": "No", "value": "false", "displayOrder": 1, "hidden": False},
]
MARK = "Written by Rollcall"
NO_ROOM = "HubSpot has no room for one more property of contacts: delete one you no longer need."
GONE = "HubSpot no longer has this contact (deleted or merged)"
UNSAID = "HubSpot did not write it and gave no reason"
UNCLEAR = "HubSpot gave no clear answer; the next run looks"

Row = tuple[str, Mapping[str, str]]


class Fields:
    """room: how many more properties of contacts the account may have, None where nobody can say. installation: the id that
    the descriptions of properties we make carry."""

    def __init__(self, client: HubspotClient, reader: Reader, room: Callable[[], int | None], installation: str = "") -> None:
        self.client = client
        self.reader = reader
        self.installation = installation
        self._room = room
        self._kinds: dict[str, FieldKind] = {}

    def name(self, label: str) -> str:
        name = f"{OURS}_{label}"
        if name == PROPERTY:
            raise UsageError(f"The property {PROPERTY} says who is in which segment. Give the [[field]] another name.")
        return name

    def problem(self, name: str, kind: FieldKind) -> str:
        found = self._definition(name)
        if found is None:
            return NO_ROOM if self._room() == 0 else ""
        return self._unusable(name, kind, found)

    def without_room(self, names: Sequence[str]) -> list[str]:
        """Those that are not there, beyond the number that can still be made."""
        missing = [name for name in names if self._definition(name) is None]
        room = self._room() if len(missing) > 1 else None
        return missing[room:] if room is not None else []

    def ensure(self, name: str, label: str, kind: FieldKind) -> None:
        """A lost answer is no harm: all is looked up before a repeat. A name in HubSpot's archive comes back with its old
        definition, which the look-up tells."""
        self.client.fields.add(name)
        for tries_left in reversed(range(TRIES)):
            found = self._definition(name)
            if found is not None:
                if problem := self._unusable(name, kind, found):
                    raise PermanentApiError(problem, platform="hubspot")
                self._kinds[name] = kind
                return
            try:
                self._make(name, label, kind)
            except AmbiguousWriteError:
                if not tries_left:
                    raise
        raise PermanentApiError(f"HubSpot did not keep the property {name}. Somebody may be deleting it.", platform="hubspot")

    def read(self, names: Sequence[str], ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Past the search index. A contact that was merged into another one is not there any more."""
        wanted, kinds = set(ids), {name: self._kind(name) for name in names}
        records = self.reader.batch_read(CONTACTS, list(dict.fromkeys(ids)), names=list(names))
        return {
            str(r["id"]): {n: field_texts.plain((r.get("properties") or {}).get(n), kind) for n, kind in kinds.items()}
            for r in records
            if str(r["id"]) in wanted
        }

    def write(self, rows: Sequence[Row]) -> list[Outcome]:
        """Values are absolute: after a lost answer the same is sent again. Only fields that `ensure` has looked at."""
        found: dict[str, Outcome] = {}
        for start in range(0, len(rows), BATCH):
            part = {contact: dict(values) for contact, values in rows[start : start + BATCH]}
            found |= self._written(part)
        return [found[contact] for contact, _ in rows]

    def _written(self, rows: dict[str, dict[str, str]]) -> dict[str, Outcome]:
        for _ in range(TRIES):
            try:
                return self._batch(rows)
            except AmbiguousWriteError:
                continue
        return {i: Outcome(i, "add", "unknown", UNCLEAR) for i in rows}

    def _batch(self, rows: dict[str, dict[str, str]]) -> dict[str, Outcome]:
        """One call; refused as a whole (400) its halves, until the row HubSpot minds stands alone."""
        inputs = [{"id": i, "objectWriteTraceId": f"r-{i}", "properties": values} for i, values in rows.items()]
        try:
            answer = self.client.write("POST", self.client.path("crm/objects", "contacts/batch/update"), {"inputs": inputs})
        except ScopeError:
            raise
        except PermanentApiError as e:
            problems = e.problems if isinstance(e, Refused) else ()
            if len(rows) > 1 and not any(p.code in HOPELESS for p in problems):
                return self._halves(rows)
            said = problems or (Problem(e.code or str(e.status)),)
            return {i: _refused(i, said) for i in rows}
        found = {i: _refused(i, problems) for i, problems in failed_ids(answer).items() if i in rows}
        for record in answer.get("results") or ():
            contact = str(record.get("id"))
            if contact in rows and contact not in found:
                found[contact] = Outcome(contact, "add", "done")
        unsaid = {i: values for i, values in rows.items() if i not in found}
        if unsaid and len(rows) == 1:
            return {i: Outcome(i, "add", "refused", UNSAID) for i in rows}
        return {**found, **(self._halves(unsaid) if unsaid else {})}

    def _halves(self, rows: dict[str, dict[str, str]]) -> dict[str, Outcome]:
        items = list(rows.items())
        middle = (len(items) + 1) // 2
        return {i: o for part in (items[:middle], items[middle:]) if part for i, o in self._batch(dict(part)).items()}

    def _unusable(self, name: str, kind: FieldKind, found: Mapping[str, Any]) -> str:
        if marks.maker(found.get("description"), self.installation) == "another":
            return (
                f"HubSpot's property {name} is filled by another installation of Rollcall. Give the [[field]] another name; after "
                "a lost store, take the mark out of the property's description instead."
            )
        return _unusable(name, kind, found)

    def _kind(self, name: str) -> FieldKind:
        if name not in self._kinds:
            shape = _shape(self._definition(name) or {})
            self._kinds[name] = next((kind for kind, known in TYPES.items() if known == shape), "text")
        return self._kinds[name]

    def _definition(self, name: str) -> dict[str, Any] | None:
        try:
            return self.client.get(self.client.path("crm/properties", f"{CONTACTS.path}/{name}"))
        except ScopeError:
            raise
        except PermanentApiError as e:
            if e.status != 404:
                raise
            return None

    def _make(self, name: str, label: str, kind: FieldKind) -> None:
        if self._room() == 0:
            raise PermanentApiError(NO_ROOM, platform="hubspot")
        self._post("/groups", {"name": GROUP, "label": field_texts.OURS})
        type_, field_type = TYPES[kind]
        body = {
            "groupName": GROUP, "name": name, "label": field_texts.title(name.removeprefix(f"{OURS}_")), "type": type_,
            "fieldType": field_type, "formField": False,
            "description": marks.marked(f"{MARK}: {label}", self.installation),
        }  # fmt: skip
        self._post("", {**body, "options": YES_OR_NO} if kind == "yes or no" else body)

    def _post(self, rest: str, body: dict[str, Any]) -> None:
        """What exists already (409) is as good as made."""
        try:
            self.client.write("POST", self.client.path("crm/properties", CONTACTS.path) + rest, body)
        except ScopeError:
            raise
        except PermanentApiError as e:
            if e.status != 409:
                raise


def _unusable(name: str, kind: FieldKind, found: Mapping[str, Any]) -> str:
    """Ours is what stands in our group or says so: the owner may move or describe it as he likes, not both."""
    if found.get("groupName") != GROUP and MARK not in str(found.get("description") or ""):
        return f"HubSpot has a property {name} that Rollcall did not make. Give the [[field]] another name."
    modification = found.get("modificationMetadata") or {}
    if modification.get("readOnlyValue") or found.get("calculated") or found.get("hubspotDefined"):
        return f"HubSpot's property {name} may only be read. Give the [[field]] another name."
    if _shape(found) != TYPES[kind]:
        return (
            f"HubSpot's property {name} holds {found.get('type')}, not {kind}. Give the [[field]] another name, or delete the "
            "property in HubSpot for good."
        )
    return ""


def _shape(found: Mapping[str, Any]) -> tuple[str, str]:
    """A yes or no may come back as a list of options of which one is chosen."""
    shape = str(found.get("type")), str(found.get("fieldType"))
    return TYPES["yes or no"] if shape == ("enumeration", "booleancheckbox") else shape


def _refused(contact: str, problems: tuple[Problem, ...]) -> Outcome:
    if any("NOT_FOUND" in p.code for p in problems):
        return Outcome(contact, "add", "missing", GONE)
    return Outcome(contact, "add", "refused", in_words(problems))
