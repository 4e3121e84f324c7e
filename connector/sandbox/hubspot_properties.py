"""Property definitions and groups over HTTP. Sheet 7.1."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from connector.sandbox.base import Response
from connector.sandbox.hubspot_catalog import FIELD_TYPES, TYPE_IDS, Definition
from connector.sandbox.hubspot_crm import Crm
from connector.sandbox.hubspot_settings import OBJECT_SCOPES
from connector.sandbox.hubspot_wire import Call, Json, Refusal, Router, answer, empty, invalid, not_found

NAME = re.compile(r"[a-z][a-z0-9_]*")
OPTION_KEYS = {"label", "value", "displayOrder", "hidden", "description"}
CHANGEABLE = {"label", "type", "fieldType", "groupName", "description", "options", "displayOrder", "hidden", "formField"}
CREATABLE = CHANGEABLE | {"name", "hasUniqueValue", "calculationFormula", "externalOptions", "dataSensitivity"}


class Properties:
    def __init__(self, crm: Crm) -> None:
        self.crm = crm

    def routes(self, router: Router) -> None:
        base = "/crm/properties/{v}/{type}"
        router.add("GET", base, self.all, self.read_scopes)
        router.add("POST", base, self.create, self.write_scopes)
        router.add("GET", base + "/groups", self.groups, self.read_scopes)
        router.add("POST", base + "/groups", self.create_group, self.write_scopes)
        router.add("GET", base + "/groups/{group}", self.group, self.read_scopes)
        router.add("GET", base + "/{name}", self.one, self.read_scopes)
        router.add("PATCH", base + "/{name}", self.patch, self.write_scopes)
        router.add("DELETE", base + "/{name}", self.delete, self.write_scopes)
        router.add("POST", base + "/batch/read", self.batch_read, self.read_scopes)
        router.add("GET", "/crm/property-validations/{v}/{type}", self.validations, self.read_scopes)
        router.add("GET", "/crm/limits/{v}/custom-properties", self.limits, self.any_object)
        router.add("GET", "/crm/limits/{v}/records", self.record_limits, self.any_object)

    def read_scopes(self, call: Call) -> Iterable[tuple[str, ...]]:
        name = self.crm.table(call.parts["type"]).name
        return [(f"crm.schemas.{name}.read", *OBJECT_SCOPES[name])]

    def write_scopes(self, call: Call) -> Iterable[tuple[str, ...]]:
        return [(f"crm.schemas.{self.crm.table(call.parts['type']).name}.write",)]

    def any_object(self, call: Call) -> Iterable[tuple[str, ...]]:
        return [tuple(scope for names in OBJECT_SCOPES.values() for scope in names if scope.startswith("crm.objects."))]

    def _type(self, call: Call) -> str:
        return self.crm.table(call.parts["type"]).name

    def _need(self, call: Call) -> Definition:
        found = self.crm.catalog.find(self._type(call), call.parts["name"])
        if found is None:
            raise not_found(f"Property {call.parts['name']} does not exist")
        return found

    def all(self, call: Call) -> Response:
        archived = call.flag("archived")
        found = self.crm.catalog.properties[self._type(call)].values()
        return answer({"results": [d.render() for d in found if (d.archived_at is not None) == archived]})

    def one(self, call: Call) -> Response:
        return answer(self._need(call).render())

    def batch_read(self, call: Call) -> Response:
        names = [row.get("name") for row in call.object().get("inputs") or [] if isinstance(row, dict)]
        found = [self.crm.catalog.find(self._type(call), str(name)) for name in names]
        return answer({"status": "COMPLETE", "results": [d.render() for d in found if d]})

    def create(self, call: Call) -> Response:
        """409 for a name that exists. A name in the archive answers 201 with its old definition restored."""
        object_type, body = self._type(call), call.object()
        name = str(body.get("name") or "")
        _known_keys(body, CREATABLE)
        if not NAME.fullmatch(name):
            raise invalid(f"Property name {name} is not valid: lower-case letters, digits and _ only, a letter first")
        known = self.crm.catalog.properties[object_type].get(name)
        if known is not None and known.archived_at is None:
            raise Refusal(
                409,
                "OBJECT_ALREADY_EXISTS",
                f"A property named '{name}' already exists.",
                subCategory="Properties.PROPERTY_WITH_NAME_EXISTS",
            )
        self._check_shape(object_type, body)
        self._check_room(object_type)
        if known is None:
            known = Definition(
                name=name,
                type=body["type"],
                field_type=body["fieldType"],
                group=body["groupName"],
                label=str(body.get("label") or name),
                options=_options(body.get("options") or []),
                hubspot_defined=False,
                has_unique_value=bool(body.get("hasUniqueValue")),
                hidden=bool(body.get("hidden")),
                form_field=bool(body.get("formField")),
                description=str(body.get("description") or ""),
                created_at=call.at,
                updated_at=call.at,
            )
            self.crm.catalog.properties[object_type][name] = known
        known.archived_at = None
        self.crm.effect("property.create", name)
        return answer(known.render(), 201)

    def _check_shape(self, object_type: str, body: Json) -> None:
        kind, field_type = body.get("type"), body.get("fieldType")
        if kind not in FIELD_TYPES or field_type not in FIELD_TYPES[kind]:
            raise invalid(f"Property type {kind} does not go with fieldType {field_type}")
        if body.get("groupName") not in self.crm.catalog.groups[object_type]:
            raise invalid(f"The property group {body.get('groupName')} does not exist")
        if not body.get("label"):
            raise invalid("Property label must not be blank")

    def _check_room(self, object_type: str) -> None:
        if self._custom(object_type) >= self.crm.settings.custom_property_limit:
            raise invalid("You have reached the limit of custom properties", subCategory="Properties.LIMIT_REACHED")

    def _custom(self, object_type: str) -> int:
        found = self.crm.catalog.properties[object_type].values()
        return sum(not d.hubspot_defined and d.archived_at is None for d in found)

    def patch(self, call: Call) -> Response:
        """`options` replaces the whole list; values that lose their option stay on the records."""
        definition, body = self._need(call), call.object()
        _known_keys(body, CHANGEABLE)
        if definition.hubspot_defined:
            raise invalid(f"The definition of {definition.name} is read only")
        if "options" in body:
            definition.options = _options(body["options"])
        definition.label = str(body.get("label", definition.label))
        definition.description = str(body.get("description", definition.description))
        definition.hidden = bool(body.get("hidden", definition.hidden))
        definition.updated_at = call.at
        self.crm.effect("property.patch", definition.name)
        return answer(definition.render())

    def delete(self, call: Call) -> Response:
        definition = self._need(call)
        if definition.hubspot_defined or definition.name in self.crm.settings.properties_in_use:
            raise invalid(
                f"The property {definition.name} is in use and cannot be deleted",
                subCategory="PropertyValidationError.CANNOT_DELETE_PROPERTY_IN_USE",
            )
        definition.archived_at = call.at
        self.crm.effect("property.delete", definition.name)
        return empty()

    def groups(self, call: Call) -> Response:
        return answer({"results": list(self.crm.catalog.groups[self._type(call)].values())})

    def group(self, call: Call) -> Response:
        found = self.crm.catalog.groups[self._type(call)].get(call.parts["group"])
        if found is None:
            raise not_found(f"Property group {call.parts['group']} does not exist")
        return answer(found)

    def create_group(self, call: Call) -> Response:
        body, groups = call.object(), self.crm.catalog.groups[self._type(call)]
        name = str(body.get("name") or "")
        if not NAME.fullmatch(name) or not body.get("label"):
            raise invalid("A property group needs a name (lower-case letters, digits and _) and a label")
        if name in groups:
            raise Refusal(409, "OBJECT_ALREADY_EXISTS", f"A property group named '{name}' already exists.")
        groups[name] = {"name": name, "label": str(body["label"]), "displayOrder": -1, "archived": False}
        self.crm.effect("property_group.create", name)
        return answer(groups[name], 201)

    def validations(self, call: Call) -> Response:
        """Format rules only; conditional required properties are not listed here."""
        name = self._type(call)
        rules = self.crm.settings.validated if name == "contacts" else {}
        rows = [{"propertyName": n, "ruleType": kind, "ruleArguments": []} for n, kind in sorted(rules.items())]
        return answer({"results": rows})

    def limits(self, call: Call) -> Response:
        most = self.crm.settings.custom_property_limit
        used = {name: self._custom(name) for name in TYPE_IDS}
        by_type = [
            {"objectTypeId": TYPE_IDS[name], "limit": most, "usage": count, "percentage": 100 * count // max(most, 1)}
            for name, count in used.items()
        ]
        total = sum(used.values())
        return answer(
            {"byObjectType": by_type, "overallLimit": 10_000, "overallUsage": total, "overallPercentage": total // 100}
        )

    def record_limits(self, call: Call) -> Response:
        rows = [{"objectTypeId": TYPE_IDS[n], "limit": 15_000_000, "usage": len(t.live)} for n, t in self.crm.tables.items()]
        return answer({"hubspotDefinedObjectTypes": rows})


def _known_keys(body: Json, allowed: set[str]) -> None:
    unknown = sorted(set(body) - allowed)
    if unknown:
        raise invalid(f"Invalid input JSON: unknown fields {unknown}")


def _options(given: Any) -> list[Json]:
    if not isinstance(given, list) or not all(isinstance(one, dict) and set(one) <= OPTION_KEYS for one in given):
        raise invalid("Invalid input JSON: options must be a list of objects")
    values = [one.get("value") for one in given]
    if not all(isinstance(one.get("value"), str) and one["value"] and one.get("label") for one in given):
        raise invalid("Every option needs a label and a value")
    if len(set(values)) != len(values):
        raise invalid("Option values must be unique", subCategory="PropertyValidationError.DUPLICATE_OPTION_VALUE")
    return [{"label": o["label"], "value": o["value"], "displayOrder": -1, "hidden": False, **o} for o in given]
