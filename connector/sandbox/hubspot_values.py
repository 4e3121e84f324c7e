"""What HubSpot accepts as a property value, sheet 7.2 and 7.3, and what it makes of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from connector.sandbox.hubspot_catalog import Definition
from connector.sandbox.hubspot_crm import Crm, Record, forward_only
from connector.sandbox.hubspot_settings import WriteRule
from connector.sandbox.hubspot_wire import EPOCH, Json, invalid, iso

STRICT_DATES = "2026-03"
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_SECONDS = range(9, 11)
"""So many digits are seconds, more are milliseconds."""


class BadValue(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Change:
    """The values of one row, checked. A value of None clears the property."""

    values: dict[str, str | None] = field(default_factory=dict)
    problems: list[Json] = field(default_factory=list)
    warnings: list[Json] = field(default_factory=list)


def checked(crm: Crm, object_type: str, record: Record | None, given: Any, version: str) -> Change:
    """Look at every property of one row; `record` is None for a row that would be created."""
    if not isinstance(given, dict):
        raise invalid("Invalid input JSON: properties must be an object")
    change = Change()
    for name, raw in given.items():
        try:
            _one(crm, object_type, record, name, raw, version, change)
        except BadValue as bad:
            change.problems.append({"isValid": False, "message": str(bad), "error": bad.code, "name": name})
    return change


def _one(crm: Crm, object_type: str, record: Record | None, name: str, raw: Any, version: str, change: Change) -> None:
    definition = crm.catalog.find(object_type, name)
    if definition is None:
        raise BadValue("PROPERTY_DOESNT_EXIST", f'Property "{name}" does not exist')
    if definition.read_only or definition.calculated:
        raise BadValue("READ_ONLY_VALUE", f'"{name}" is a read only property; its value cannot be set.')
    text = _text(raw)
    if text == "":
        change.values[name] = None
        return
    before = record.props.get(name) if record else None
    value = _converted(definition, text, before, version)
    if name == "lifecyclestage" and not forward_only(before, value):
        return
    if definition.type in ("date", "datetime") and _was_normalised(definition, text):
        change.warnings.append(
            {
                "category": "PROPERTY_VALUE_NORMALIZED",
                "message": f"The value of {name} was normalized",
                "context": {"propertyName": [name], "rawValue": [text], "normalizedValue": [value]},
            }
        )
    change.values[name] = value


def _text(raw: Any) -> str:
    if raw is None:
        return ""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, str | int | float):
        return str(raw)
    raise BadValue("INVALID_VALUE", "A property value must be a string")


def _converted(definition: Definition, text: str, before: str | None, version: str) -> str:
    if definition.type == "number":
        if not _NUMBER.fullmatch(text):
            raise BadValue("INVALID_LONG", f"{text} was not a valid number.")
        return text
    if definition.type == "bool":
        if text not in ("true", "false"):
            raise BadValue("INVALID_OPTION", f"{text} was not one of the allowed options: [true, false]")
        return text
    if definition.type == "enumeration":
        return _options(definition, text, before)
    if definition.type in ("date", "datetime"):
        if version == STRICT_DATES and _was_normalised(definition, text):
            raise BadValue("INVALID_DATE", f"{text} was not a valid date.")
        at = moment(text)
        return at.date().isoformat() if definition.type == "date" else iso(at)
    return text


def _options(definition: Definition, text: str, before: str | None) -> str:
    """`a;b` sets, `;a` adds. Values, not labels."""
    many = definition.field_type == "checkbox"
    parts = [part for part in text.split(";") if part] if many else [text]
    allowed = definition.values()
    for part in parts:
        if part not in allowed:
            raise BadValue("INVALID_OPTION", f"{part} was not one of the allowed options: {sorted(allowed)}")
    kept = before.split(";") if many and text.startswith(";") and before else []
    return ";".join(dict.fromkeys([*kept, *parts]))


def _was_normalised(definition: Definition, text: str) -> bool:
    digits = text.lstrip("-").isdigit()
    if digits and len(text.lstrip("-")) in _SECONDS:
        return True
    if definition.type == "datetime":
        return False
    return int(text) % 86_400_000 != 0 if digits else not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text)


def moment(text: str) -> datetime:
    """ISO 8601, epoch milliseconds or seconds as naive UTC. BadValue for anything else."""
    digits = text.lstrip("-")
    try:
        if digits.isdigit():
            return EPOCH + timedelta(milliseconds=int(text) * (1000 if len(digits) in _SECONDS else 1))
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise BadValue("INVALID_DATE", f"{text} was not a valid date.") from None
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at


def problem_text(problems: list[Json]) -> str:
    """The message of a refused row: JSON inside a string, as HubSpot has it."""
    return f"Property values were not valid: {orjson.dumps(problems).decode()}"


def broken_rule(rules: list[WriteRule], record: Record, change: Change) -> Json | None:
    """The first admin's rule the record would break after the change."""
    after = {**record.props, **change.values}
    for rule in rules:
        missing = [name for name in rule.requires if not after.get(name)]
        if missing and after.get(rule.property) == rule.value:
            return {
                "message": f"{', '.join(missing)} must be set when {rule.property} is {rule.value}",
                "code": "MISSING_CONDITIONAL_REQUIRED_PROPERTY",
                "context": {"propertyName": missing},
            }
    return None
