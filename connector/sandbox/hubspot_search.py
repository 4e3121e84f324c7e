"""CRM search with all its limits: an index that lags, pages of 200, a wall at 10,000. Sheet 3.3."""

from __future__ import annotations

import bisect
import fnmatch
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from connector.sandbox.base import Response
from connector.sandbox.hubspot_catalog import Definition
from connector.sandbox.hubspot_crm import Crm, Props, Table
from connector.sandbox.hubspot_objects import ObjectReads
from connector.sandbox.hubspot_values import BadValue, moment
from connector.sandbox.hubspot_wire import Call, Json, Refusal, Router, answer, bounded, invalid, strings, to_ms

PAGE_MOST = 200
DEPTH = 10_000
GROUPS_MOST, FILTERS_IN_GROUP_MOST, FILTERS_MOST = 5, 6, 18
QUERY_PROPERTIES = ("firstname", "lastname", "email", "phone", "company", "name", "domain", "dealname")

Test = Callable[[Props], bool]
Compared = str | float


@lru_cache(maxsize=1 << 18)
def _ms(text: str) -> float | None:
    try:
        return float(to_ms(moment(text)))
    except BadValue:
        return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


class Search:
    def __init__(self, crm: Crm, reads: ObjectReads) -> None:
        self.crm = crm
        self.reads = reads

    def routes(self, router: Router) -> None:
        router.add("POST", "/crm/objects/{v}/{type}/search", self.search, self.reads.read_scopes)

    def search(self, call: Call) -> Response:
        if len(call.request.body) > self.crm.settings.search_body_limit:
            raise invalid(f"The search request is too large: at most {self.crm.settings.search_body_limit} characters")
        table, body = self.crm.table(call.parts["type"]), call.object()
        limit = bounded(body.get("limit", 10), "limit", PAGE_MOST)
        after = bounded(body.get("after") or 0, "after", 10**9, 0)
        if after + limit > DEPTH:
            raise invalid(f"The requested page exceeds the limit of {DEPTH} results per query")
        test = self._test(table, body)
        found = self._matching(call, table, test, _first_id(body))
        self._sort(table, found, body.get("sorts") or [])
        names = self.reads.wanted(table, strings(body.get("properties", []), "properties"))
        answered: Json = {
            "total": len(found),
            "results": [self._show(table, *hit, names) for hit in found[after : after + limit]],
        }
        if after + limit < len(found):
            answered["paging"] = {"next": {"after": str(after + limit)}}
        return answer(answered)

    def _matching(self, call: Call, table: Table, test: Test, above: int) -> list[tuple[int, Props]]:
        found = []
        live, now = table.live, call.at
        for record_id in table.ids[bisect.bisect_right(table.ids, above) :]:
            record = live[record_id]
            props = record.searchable(now) if record.pending else record.props
            if props is not None and test(props):
                found.append((record_id, props))
        return found

    def _show(self, table: Table, record_id: int, props: Props, names: list[str]) -> Json:
        """As the index has it: an index that lags shows old values."""
        body = self.reads.show(table.live[record_id], names)
        body["properties"] = {name: props.get(name) for name in body["properties"]}
        body["updatedAt"] = props[table.modified_name]
        return body

    def _test(self, table: Table, body: Json) -> Test:
        groups = body.get("filterGroups") or []
        if not groups and body.get("filters"):
            groups = [{"filters": body["filters"]}]
        filters = [group.get("filters") or [] for group in groups]
        if len(groups) > GROUPS_MOST or any(len(group) > FILTERS_IN_GROUP_MOST for group in filters):
            raise invalid(f"At most {GROUPS_MOST} filterGroups with {FILTERS_IN_GROUP_MOST} filters each are allowed")
        if sum(map(len, filters)) > FILTERS_MOST:
            raise invalid(f"At most {FILTERS_MOST} filters are allowed")
        either = [[self._filter(table, row) for row in group] for group in filters]
        query = str(body.get("query") or "").lower()
        if query:
            either = [[*group, _full_text(query)] for group in either or [[]]]
        return _one_of(either)

    def _filter(self, table: Table, row: Json) -> Test:
        name, operator = str(row.get("propertyName")), str(row.get("operator"))
        if name.startswith("associations."):
            return self._association(table, name.removeprefix("associations."), operator, row)
        definition = self.crm.catalog.find(table.name, name)
        if definition is None:
            raise invalid(f"There was a problem with the request: the property {name} does not exist")
        make = _OPERATORS.get(operator)
        if make is None:
            raise invalid(f"There was a problem with the request: the operator {operator} does not exist")
        return make(definition, row)

    def _association(self, table: Table, to: str, operator: str, row: Json) -> Test:
        target = self.crm.table(to).name
        wanted = {str(value) for value in row.get("values") or [row.get("value")]}

        def test(props: Props) -> bool:
            linked = {str(i) for i in self.crm.associated(table.name, int(props["hs_object_id"]), target)}
            if operator == "HAS_PROPERTY":
                return bool(linked)
            return not linked if operator == "NOT_HAS_PROPERTY" else bool(linked & wanted)

        return test

    def _sort(self, table: Table, found: list[tuple[int, Props]], sorts: list[Any]) -> None:
        if len(sorts) > 1:
            raise invalid("Only one sort is allowed")
        for sort in sorts:
            if isinstance(sort, str):
                sort = {"propertyName": sort.lstrip("-"), "direction": "DESCENDING" if sort.startswith("-") else "ASCENDING"}
            definition = self.crm.catalog.find(table.name, str(sort.get("propertyName")))
            if definition is None:
                raise invalid("There was a problem with the request: the property to sort by does not exist")
            read = _reader(definition)
            descending = sort.get("direction") == "DESCENDING"
            if definition.name != "hs_object_id" or descending:
                found.sort(key=lambda hit: _sort_key(read(hit[1])), reverse=descending)


def _one_of(groups: list[list[Test]]) -> Test:
    """Plain loops: this runs for every record of a table on every page."""

    def test(props: Props) -> bool:
        for group in groups:
            for one in group:
                if not one(props):
                    break
            else:
                return True
        return not groups

    return test


def _full_text(query: str) -> Test:
    return lambda props: any(query in props.get(name, "").lower() for name in QUERY_PROPERTIES)


def _first_id(body: Json) -> int:
    """Ids up to this one cannot match: the keyset of `hs_object_id GT` in a query of one group."""
    groups = body.get("filterGroups") or []
    rows = groups[0].get("filters") or [] if len(groups) == 1 else []
    keys = [str(row.get("value")) for row in rows if row.get("propertyName") == "hs_object_id" and row.get("operator") == "GT"]
    return max((int(key) for key in keys if key.isdigit()), default=0)


def _sort_key(value: Compared | None) -> tuple[bool, Any]:
    return (value is None, 0 if value is None else value)


def _reader(definition: Definition) -> Callable[[Props], Compared | None]:
    """How a stored value is compared: numbers and times as numbers, all else as lower-case text."""
    name = definition.name
    if definition.type == "number":
        return lambda props: _number(props[name]) if name in props else None
    if definition.type in ("date", "datetime"):
        return lambda props: _ms(props[name]) if name in props else None
    return lambda props: props[name].lower() if name in props else None


def _given(definition: Definition, row: Json, key: str = "value") -> Compared:
    text = row.get(key)
    if not isinstance(text, str | int | float) or isinstance(text, bool):
        raise invalid(f"There was a problem with the request: {row.get('operator')} needs a {key}")
    value: Compared | None = str(text).lower()
    if definition.type in ("date", "datetime"):
        value = _ms(str(text))
        if value is not None and value == 0:
            raise Refusal(500, "", "internal error")
    elif definition.type == "number":
        value = _number(str(text))
    if value is None:
        raise invalid(f"There was a problem with the request: {key} does not fit the type of {definition.name}")
    return value


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Definition, Json], Test]:
    def make(definition: Definition, row: Json) -> Test:
        read, wanted = _reader(definition), _given(definition, row)

        def compared(props: Props) -> bool:
            value = read(props)
            return value is not None and test(value, wanted)

        return compared

    return make


def _between(definition: Definition, row: Json) -> Test:
    read, low, high = _reader(definition), _given(definition, row), _given(definition, row, "highValue")

    def test(props: Props) -> bool:
        value: Any = read(props)
        return value is not None and low <= value <= high

    return test


def _among(definition: Definition, row: Json) -> Test:
    """Text must be given in lower case, or it matches nothing."""
    read = _reader(definition)
    values = row.get("values")
    if not isinstance(values, list) or not values:
        raise invalid("There was a problem with the request: IN needs values")
    is_text = definition.type not in ("number", "date", "datetime")
    wanted = {str(value) if is_text else _given(definition, {"value": value}) for value in values}
    if definition.field_type == "checkbox":  # any of the chosen options
        return lambda props: not wanted.isdisjoint(str(read(props) or "").split(";"))
    return lambda props: read(props) in wanted


def _token(definition: Definition, row: Json) -> Test:
    pattern, name = str(_given(definition, row)), definition.name

    def test(props: Props) -> bool:
        text = props.get(name, "").lower()
        return any(fnmatch.fnmatchcase(token, pattern) for token in (text, *re.split(r"[\s@;,]+", text)) if token)

    return test


def _negated(make: Callable[[Definition, Json], Test]) -> Callable[[Definition, Json], Test]:
    def made(definition: Definition, row: Json) -> Test:
        test = make(definition, row)
        return lambda props: not test(props)

    return made


def _has(definition: Definition, row: Json) -> Test:
    return lambda props: bool(props.get(definition.name))


_EQUAL = _compare(lambda value, wanted: bool(value == wanted))
_OPERATORS: dict[str, Callable[[Definition, Json], Test]] = {
    "EQ": _EQUAL,
    "NEQ": _negated(_EQUAL),
    "LT": _compare(lambda value, wanted: bool(value < wanted)),
    "LTE": _compare(lambda value, wanted: bool(value <= wanted)),
    "GT": _compare(lambda value, wanted: bool(value > wanted)),
    "GTE": _compare(lambda value, wanted: bool(value >= wanted)),
    "BETWEEN": _between,
    "IN": _among,
    "NOT_IN": _negated(_among),
    "HAS_PROPERTY": _has,
    "NOT_HAS_PROPERTY": _negated(_has),
    "CONTAINS_TOKEN": _token,
    "NOT_CONTAINS_TOKEN": _negated(_token),
}
