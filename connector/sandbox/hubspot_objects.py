"""Reading CRM objects and their associations over HTTP. Sheet 3.1, 3.2, 3.5 and 5."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from connector.sandbox.base import Response
from connector.sandbox.hubspot_catalog import DEFAULTS, OTHER_DEFAULTS
from connector.sandbox.hubspot_crm import Crm, Record, Table, label_list
from connector.sandbox.hubspot_settings import OBJECT_SCOPES
from connector.sandbox.hubspot_wire import Call, Json, Refusal, Router, answer, invalid, iso, not_found, strings

READ_MOST = 100
IN_THE_BIN = timedelta(days=90)
ASSOCIATIONS_MOST = 1000


class ObjectReads:
    def __init__(self, crm: Crm) -> None:
        self.crm = crm

    def routes(self, router: Router) -> None:
        add = router.add
        add("GET", "/crm/objects/{v}/{type}", self.page, self.read_scopes)
        add("GET", "/crm/objects/{v}/{type}/{id}", self.one, self.read_scopes)
        add("POST", "/crm/objects/{v}/{type}/batch/read", self.batch, self.read_scopes)
        add("GET", "/crm/objects/{v}/{type}/{id}/associations/{to}", self.associations_of, self.both_scopes)
        add("POST", "/crm/associations/{v}/{type}/{to}/batch/read", self.associations, self.both_scopes)
        add("GET", "/crm/associations/{v}/{type}/{to}/labels", self.labels, self.both_scopes)

    def read_scopes(self, call: Call) -> Iterable[tuple[str, ...]]:
        wanted = [call.parts["type"], *call.names("associations")]
        return [OBJECT_SCOPES[self.crm.table(name).name] for name in wanted]

    def both_scopes(self, call: Call) -> Iterable[tuple[str, ...]]:
        return [OBJECT_SCOPES[self.crm.table(call.parts[part]).name] for part in ("type", "to")]

    def wanted(self, table: Table, given: list[str]) -> list[str]:
        """The names to show: unknown ones are dropped without a word, none means the defaults."""
        known = self.crm.catalog.properties[table.name]
        names = [name for name in dict.fromkeys(given) if name in known]
        return names if given else list(DEFAULTS.get(table.name, OTHER_DEFAULTS))

    def show(self, record: Record, names: list[str]) -> Json:
        return record.render(names, self.crm.settings.omit_unset)

    def page(self, call: Call) -> Response:
        table = self.crm.table(call.parts["type"])
        _no_history(call.names("propertiesWithHistory"))
        limit = call.number("limit", 10, READ_MOST)
        self._in_time(limit)
        after = call.text("after", "0")
        if not after.isdigit():
            raise invalid("Invalid input: after is not a valid cursor")
        records, ids = table.live, table.ids
        if call.flag("archived"):
            oldest = call.at - IN_THE_BIN
            records = {i: r for i, r in table.archived.items() if r.archived_at is not None and r.archived_at >= oldest}
            ids = sorted(records)
        start = bisect.bisect_left(ids, int(after))
        names = self.wanted(table, call.names("properties"))
        results = [self.show(records[i], names) for i in ids[start : start + limit]]
        for body in results:
            self._attach(body, table, call.names("associations"))
        page: Json = {"results": results}
        if start + limit < len(ids):
            following = str(ids[start + limit])
            page["paging"] = {"next": {"after": following, "link": f"/crm/v3/objects/{table.name}?after={following}"}}
        return answer(page)

    def _in_time(self, count: int) -> None:
        if self.crm.settings.slow_above is not None and count > self.crm.settings.slow_above:
            raise Refusal(504, "", "Gateway Timeout")

    def _attach(self, body: Json, table: Table, targets: list[str]) -> None:
        for name in targets:
            to = self.crm.table(name).name
            found = self.crm.associated(table.name, int(body["id"]), to)
            if found:
                kind = f"{_singular(table.name)}_to_{_singular(to)}"
                rows = [{"id": str(i), "type": kind} for i in found]
                body.setdefault("associations", {})[to.replace("_", " ")] = {"results": rows}

    def one(self, call: Call) -> Response:
        table = self.crm.table(call.parts["type"])
        _no_history(call.names("propertiesWithHistory"))
        record = self._find(table, call.parts["id"], call.text("idProperty"), call.flag("archived"))
        if record is None:
            raise not_found()
        body = self.show(record, self.wanted(table, call.names("properties")))
        self._attach(body, table, call.names("associations"))
        return answer(body)

    def _find(self, table: Table, value: str, id_property: str, archived: bool) -> Record | None:
        if archived:
            return table.archived.get(int(value)) if value.isascii() and value.isdigit() else None
        if id_property and id_property != "hs_object_id":
            return self.crm.by_property(table.name, id_property, value)
        return table.resolve(value)

    def batch(self, call: Call) -> Response:
        """No associations; missing ids do not fail the call; the order is not the order that was asked for."""
        table, body = self.crm.table(call.parts["type"]), call.object()
        _no_history(body.get("propertiesWithHistory"))
        ids = _inputs(body, READ_MOST)
        self._in_time(len(ids))
        names = self.wanted(table, strings(body.get("properties", []), "properties"))
        found: dict[int, Record] = {}
        missing = []
        for value in ids:
            record = self._find(table, value, str(body.get("idProperty") or ""), call.flag("archived"))
            if record is None:
                missing.append(value)
            else:
                found[record.id] = record
        shown = [self.show(found[i], names) for i in sorted(found, reverse=True)]
        error = _missing(table, [] if self.crm.settings.absent_unnamed else missing)
        return mixed(call, shown, [error] if missing else [], len(missing))

    def associations(self, call: Call) -> Response:
        """`paging` belongs to each `from`; records without associations are absent."""
        origin, to = self.crm.table(call.parts["type"]).name, self.crm.table(call.parts["to"]).name
        inputs = call.object().get("inputs")
        _inputs({"inputs": inputs}, ASSOCIATIONS_MOST)
        results, without = [], []
        errors: list[Json] = []
        if self.crm.settings.association_failures and inputs:
            self.crm.settings.association_failures -= 1
            errors.append({"status": "error", "category": "INTERNAL_ERROR", "message": "internal error"})
            inputs = inputs[::2]
        for row in inputs or ():
            page = self._associated_page(origin, row["id"], to, str(row.get("after") or ""), self.crm.settings.association_page)
            if page["to"]:
                results.append({"from": {"id": row["id"]}, **page})
            else:
                without.append(row["id"])
        if without and self.crm.settings.no_association_is_an_error:
            text = f"No {to} is associated with {origin} {', '.join(without)}."
            errors += [
                {
                    "status": "error",
                    "category": "OBJECT_NOT_FOUND",
                    "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                    "message": text,
                    "context": {"fromObjectId": without},
                }
            ]
        return mixed(call, results, errors, max(len(without), 1) if errors else 0)

    def _associated_page(self, origin: str, record_id: str, to: str, after: str, size: int) -> Json:
        record = self.crm.tables[origin].resolve(record_id)
        found = self.crm.associated(origin, record.id, to) if record else []
        start = bisect.bisect_left(found, int(after)) if after.isdigit() else 0
        main = self.crm.main_of(origin, record.id, to) if record else None
        kinds = {is_main: label_list(origin, to, is_main=is_main) for is_main in (True, False)}
        page: Json = {"to": [{"toObjectId": str(i), "associationTypes": kinds[i == main]} for i in found[start : start + size]]}
        if start + size < len(found):
            page["paging"] = {"next": {"after": str(found[start + size])}}
        return page

    def associations_of(self, call: Call) -> Response:
        origin, to = self.crm.table(call.parts["type"]).name, self.crm.table(call.parts["to"]).name
        self.crm.need(origin, call.parts["id"])
        page = self._associated_page(origin, call.parts["id"], to, call.text("after"), call.number("limit", 500, 500))
        page["results"] = page.pop("to")
        return answer(page)

    def labels(self, call: Call) -> Response:
        origin, to = self.crm.table(call.parts["type"]).name, self.crm.table(call.parts["to"]).name
        return answer({"results": label_list(origin, to)})


def mixed(call: Call, results: list[Json], errors: list[Json], failed: int, **more: Any) -> Response:
    """The answer of a batch: 200 when all went well, 207 when some rows did not."""
    body: Json = {"status": "COMPLETE", "results": results, "startedAt": iso(call.at), "completedAt": iso(call.at), **more}
    if errors:
        body |= {"numErrors": failed, "errors": errors}
    return answer(body, 207 if errors else 200)


def _inputs(body: Json, most: int) -> list[str]:
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise invalid("Invalid input JSON: inputs must be a list that is not empty")
    if len(inputs) > most:
        raise invalid(f"Invalid input JSON: the limit is {most} inputs, {len(inputs)} were given")
    ids = [row.get("id") if isinstance(row, dict) else None for row in inputs]
    return strings(ids, "inputs[].id")


def _missing(table: Table, ids: list[str]) -> Json:
    body = {
        "status": "error",
        "category": "OBJECT_NOT_FOUND" if ids else "VALIDATION_ERROR",
        "message": f"Could not get some {_singular(table.name).upper()} objects, they may be deleted or not exist.",
    }
    return {**body, "context": {"ids": ids}} if ids else body


def _singular(name: str) -> str:
    return f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")


def _no_history(names: Any) -> None:
    if names:
        raise invalid("This account keeps no property history: propertiesWithHistory cannot be answered")
