"""Writing CRM objects over HTTP. Sheet 1.2, 7.2 to 7.4. Creates and upserts exist so that tests can see nobody uses them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from connector.sandbox.base import Response
from connector.sandbox.hubspot_catalog import DEFAULTS
from connector.sandbox.hubspot_crm import Crm, Record, Table
from connector.sandbox.hubspot_objects import mixed
from connector.sandbox.hubspot_values import Change, broken_rule, checked, problem_text
from connector.sandbox.hubspot_wire import Call, Json, Refusal, Router, answer, empty, invalid, not_found

WRITE_MOST = 100
RULES_SINCE = "2026-09"


class ObjectWrites:
    def __init__(self, crm: Crm) -> None:
        self.crm = crm

    def routes(self, router: Router) -> None:
        base = "/crm/objects/{v}/{type}"
        router.add("POST", base, self.create, self.scopes)
        router.add("PATCH", base + "/{id}", self.patch, self.scopes)
        router.add("DELETE", base + "/{id}", self.delete, self.scopes)
        router.add("POST", base + "/batch/update", self.batch_update, self.scopes)
        router.add("POST", base + "/batch/create", self.batch_create, self.scopes)
        router.add("POST", base + "/batch/upsert", self.batch_upsert, self.scopes)
        router.add("POST", base + "/batch/archive", self.batch_archive, self.scopes)
        router.add("POST", base + "/merge", self.merge, self.scopes)
        router.add("POST", base + "/gdpr-delete", self.gdpr_delete, self.scopes)

    def scopes(self, call: Call) -> Iterable[tuple[str, ...]]:
        name = self.crm.table(call.parts["type"]).name
        return [("tickets",) if name == "tickets" else (f"crm.objects.{name}.write",)]

    def batch_update(self, call: Call) -> Response:
        """Record ids only. A bad value refuses the whole batch, unless the account answers by row; unknown ids give 207."""
        table = self.crm.table(call.parts["type"])
        rows = _rows(call)
        ids = [str(row["id"]) for row in rows]
        if len(set(ids)) != len(ids):
            raise invalid("Duplicate IDs found in batch input")
        good: list[tuple[Json, Record, Change]] = []
        errors: list[Json] = []
        missing: list[Json] = []
        for row in rows:
            record = table.resolve(str(row["id"]))
            if record is None:
                missing.append(row)
                continue
            change, error = self._checked(call, table, record, row)
            if error:
                errors.append(error)
            else:
                good.append((row, record, change))
        if errors and not self.crm.settings.rows_fail_alone:
            raise _whole_batch(errors)
        errors += [_row_error(row, "OBJECT_NOT_FOUND", "The record does not exist") for row in missing]
        self.crm.lock([record for _, record, _ in good])
        shown = [self._write(table, record, change, row) for row, record, change in good]
        warnings = [warning for _, _, change in good for warning in change.warnings]
        return mixed(call, shown, errors, len(errors), **({"warnings": warnings} if warnings else {}))

    def _checked(self, call: Call, table: Table, record: Record, row: Json) -> tuple[Change, Json | None]:
        change = checked(self.crm, table.name, record, row.get("properties"), call.version)
        if change.problems:
            return change, _row_error(row, "VALIDATION_ERROR", problem_text(change.problems))
        broken = broken_rule(self.crm.settings.write_rules, record, change)
        if broken and table.name == "contacts" and call.version >= RULES_SINCE:
            return change, _row_error(row, "VALIDATION_ERROR", broken["message"], broken)
        return change, None

    def _write(self, table: Table, record: Record, change: Change, row: Json) -> Json:
        self.crm.update(table.name, record, change.values)
        for name in change.values:
            self.crm.effect("property.set", name, str(record.id))
        names = dict.fromkeys([*change.values, "hs_object_id", table.modified_name])
        body = record.render(names, omit_unset=False)
        if "objectWriteTraceId" in row:
            body["objectWriteTraceId"] = row["objectWriteTraceId"]
        return body

    def patch(self, call: Call) -> Response:
        table, body = self.crm.table(call.parts["type"]), call.object()
        record = self.crm.need(table.name, call.parts["id"])
        row = {"id": str(record.id), "properties": body.get("properties")}
        change, error = self._checked(call, table, record, row)
        if error:
            raise _whole_batch([error])
        self.crm.lock([record])
        shown = self._write(table, record, change, row)
        return answer({**shown, "warnings": change.warnings} if change.warnings else shown)

    def _create(self, call: Call, table: Table, properties: Any) -> Json:
        change = checked(self.crm, table.name, None, properties, call.version)
        if change.problems:
            raise invalid(problem_text(change.problems))
        props = {name: value for name, value in change.values.items() if value is not None}
        self._check_required(call, table, props)
        email = props.get("email", "")
        known = self.crm.by_property("contacts", "email", email) if table.name == "contacts" and email else None
        if known:
            raise Refusal(409, "CONFLICT", f"Contact already exists. Existing ID: {known.id}")
        record = self.crm.create(table.name, props, call.at, call.at, lag=True)
        self.crm.effect("object.create", table.name, str(record.id))
        return record.render([*props, *DEFAULTS.get(table.name, ())], omit_unset=True)

    def _check_required(self, call: Call, table: Table, props: dict[str, str]) -> None:
        lacking = [name for name in self.crm.settings.required_on_create if name not in props]
        if lacking and table.name == "contacts" and call.version >= RULES_SINCE:
            message = f"{', '.join(lacking)} must be set on new records"
            context = {"propertyName": lacking}
            raise invalid(message, errors=[{"message": message, "code": "MISSING_REQUIRED_PROPERTY", "context": context}])

    def create(self, call: Call) -> Response:
        table = self.crm.table(call.parts["type"])
        return answer(self._create(call, table, call.object().get("properties")), 201)

    def batch_create(self, call: Call) -> Response:
        table = self.crm.table(call.parts["type"])
        shown = [self._create(call, table, row.get("properties")) for row in _rows(call, with_id=False)]
        return answer({"status": "COMPLETE", "results": shown}, 201)

    def batch_upsert(self, call: Call) -> Response:
        table, shown = self.crm.table(call.parts["type"]), []
        for row in _rows(call):
            record = self.crm.by_property(table.name, str(row.get("idProperty") or "email"), str(row["id"]))
            if record is None:
                given = {str(row.get("idProperty") or "email"): row["id"], **(row.get("properties") or {})}
                shown.append({**self._create(call, table, given), "new": True})
                continue
            change, error = self._checked(call, table, record, row)
            if error:
                raise _whole_batch([error])
            self.crm.effect("object.upsert", table.name, str(record.id))
            shown.append({**self._write(table, record, change, row), "new": False})
        return mixed(call, shown, [], 0)

    def delete(self, call: Call) -> Response:
        """Deleting what is not there is no error."""
        self._archive(self.crm.table(call.parts["type"]), call.parts["id"])
        return empty()

    def batch_archive(self, call: Call) -> Response:
        table = self.crm.table(call.parts["type"])
        for row in _rows(call):
            self._archive(table, str(row["id"]))
        return empty()

    def _archive(self, table: Table, record_id: str) -> None:
        record = table.resolve(record_id)
        if record:
            self.crm.archive(table.name, record)
            self.crm.effect("object.archive", table.name, str(record.id))

    def merge(self, call: Call) -> Response:
        table, body = self.crm.table(call.parts["type"]), call.object()
        primary = self.crm.need(table.name, str(body.get("primaryObjectId")))
        secondary = self.crm.need(table.name, str(body.get("objectIdToMerge")))
        survivor = self.crm.merge(table.name, primary, secondary)
        self.crm.effect("object.merge", table.name, str(survivor.id))
        return answer(survivor.render([*DEFAULTS.get(table.name, ()), "hs_merged_object_ids"], omit_unset=False))

    def gdpr_delete(self, call: Call) -> Response:
        table, body = self.crm.table(call.parts["type"]), call.object()
        value = str(body.get("objectId"))
        record = self.crm.by_property("contacts", "email", value) if body.get("idProperty") else table.resolve(value)
        if table.name != "contacts" or record is None:
            raise not_found()
        self.crm.gdpr_delete(record)
        self.crm.effect("object.gdpr_delete", table.name, str(record.id))
        return empty()


def _rows(call: Call, *, with_id: bool = True) -> list[Json]:
    rows = call.object().get("inputs")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise invalid("Invalid input JSON: inputs must be a list of objects that is not empty")
    if len(rows) > WRITE_MOST:
        raise invalid(f"Invalid input JSON: the limit is {WRITE_MOST} inputs, {len(rows)} were given")
    if with_id and not all(isinstance(row.get("id"), str) for row in rows):
        raise invalid("Invalid input JSON: every input needs an id, as a string")
    return rows


def _row_error(row: Json, category: str, message: str, error: Json | None = None) -> Json:
    context: Json = {"ids": [row["id"]]}
    if "objectWriteTraceId" in row:
        context["objectWriteTraceId"] = [row["objectWriteTraceId"]]
    body: Json = {"status": "error", "category": category, "message": message, "context": context}
    return {**body, "errors": [error]} if error else body


def _whole_batch(errors: list[Json]) -> Refusal:
    """400 for everything because of the first bad row; the rows are not named."""
    more = {"errors": errors[0]["errors"]} if "errors" in errors[0] else {}
    return invalid(errors[0]["message"], **more)
