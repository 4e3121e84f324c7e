"""Memberships of lists over HTTP: reading, adding, removing. Sheet 8."""

from __future__ import annotations

from connector.sandbox.base import Response
from connector.sandbox.hubspot_crm import Crm
from connector.sandbox.hubspot_lists import MANUAL_KINDS, MEMBERS_MOST, READ, WRITE, Lists, StoredList, page_of
from connector.sandbox.hubspot_wire import Call, Json, Router, answer, empty, invalid, iso, not_found, strings

COPY_MOST = 100_000


class Members:
    def __init__(self, crm: Crm, lists: Lists) -> None:
        self.crm = crm
        self.lists = lists

    def routes(self, router: Router) -> None:
        base = "/crm/lists/{v}/{id}/memberships"
        router.add("GET", base, self.read, READ)
        router.add("GET", base + "/join-order", self.newest, READ)
        router.add("PUT", base + "/add", self.add, WRITE)
        router.add("PUT", base + "/remove", self.remove, WRITE)
        router.add("PUT", base + "/add-and-remove", self.both, WRITE)
        router.add("PUT", base + "/add-from/{source}", self.add_from, WRITE)
        router.add("DELETE", base, self.clear, WRITE)
        router.add("GET", "/crm/lists/{v}/records/{type}/{record}/memberships", self.of_record, READ)
        router.add("POST", "/crm/lists/{v}/records/memberships/batch/read", self.of_records, READ)

    def read(self, call: Call) -> Response:
        target = self.lists.need(call)
        shown, after = page_of(target.in_order(), call.text("after"), call.number("limit", 100, MEMBERS_MOST))
        return answer(_page(target, shown, after))

    def newest(self, call: Call) -> Response:
        target = self.lists.need(call)
        order = sorted(target.members, key=lambda record: (target.members[record], record), reverse=True)
        limit, start = call.number("limit", 100, MEMBERS_MOST), int(call.text("after", "0"))
        return answer(_page(target, order[start : start + limit], str(start + limit) if start + limit < len(order) else ""))

    def _manual(self, call: Call) -> StoredList:
        target = self.lists.need(call)
        if target.processing not in MANUAL_KINDS:
            raise invalid("Memberships of a DYNAMIC list cannot be changed", subCategory="ILS.INVALID_PROCESSING_TYPE")
        return target

    def add(self, call: Call) -> Response:
        return self._change(self._manual(call), strings(call.json(), "the body"), [])

    def remove(self, call: Call) -> Response:
        return self._change(self._manual(call), [], strings(call.json(), "the body"))

    def both(self, call: Call) -> Response:
        """Both lists must be there, even when one is empty."""
        target, body = self._manual(call), call.object()
        if "recordIdsToAdd" not in body or "recordIdsToRemove" not in body:
            raise invalid("Invalid input JSON: recordIdsToAdd and recordIdsToRemove must both be present")
        to_add = strings(body["recordIdsToAdd"], "recordIdsToAdd")
        return self._change(target, to_add, strings(body["recordIdsToRemove"], "recordIdsToRemove"))

    def _change(self, target: StoredList, to_add: list[str], to_remove: list[str]) -> Response:
        """Members already in, or already out, are passed over; ids that do not exist (any more) are reported."""
        if len(to_add) + len(to_remove) > self.crm.settings.membership_call_limit:
            raise invalid("Too many record ids in one call")
        table = self.crm.table(target.object_type_id)
        missing = [i for i in dict.fromkeys([*to_add, *to_remove]) if not i.isdigit() or int(i) not in table.live]
        gone = set(missing)
        added = [int(i) for i in dict.fromkeys(to_add) if i not in gone and int(i) not in target.members]
        removed = [int(i) for i in dict.fromkeys(to_remove) if i not in gone and int(i) in target.members]
        for record in removed:
            del target.members[record]
            self.crm.effect("list.remove", target.name, str(record))
        if removed:
            self.lists.changed(target)
        for record in removed:
            for left in self.lists.left:
                left(target, record)
        if added:
            self.lists.put(target, added)
        for record in added:
            self.crm.effect("list.add", target.name, str(record))
        return answer(
            {"recordsIdsAdded": list(map(str, added)), "recordIdsRemoved": list(map(str, removed)), "recordIdsMissing": missing}
        )

    def add_from(self, call: Call) -> Response:
        target, text = self._manual(call), call.parts["source"]
        source = self.lists.lists.get(int(text)) if text.isdigit() else None
        if source is None or source.deleted_at:
            raise not_found(f"List {text} does not exist.")
        if len(source.members) > COPY_MOST:
            raise invalid(f"At most {COPY_MOST} records can be copied")
        self._change(target, [str(record) for record in source.in_order()], [])
        return empty()

    def clear(self, call: Call) -> Response:
        target = self._manual(call)
        self._change(target, [], [str(record) for record in target.in_order()])
        return empty()

    def of_record(self, call: Call) -> Response:
        rows = self._memberships(call.parts["type"], call.parts["record"])
        return answer({"results": rows, "total": len(rows)})

    def of_records(self, call: Call) -> Response:
        results = []
        for row in call.object().get("inputs") or []:
            given = {"objectTypeId": str(row.get("objectTypeId")), "recordId": str(row.get("recordId"))}
            results.append({**given, "listMemberships": self._memberships(given["objectTypeId"], given["recordId"])})
        return answer({"status": "COMPLETE", "results": results})

    def _memberships(self, type_id: str, record: str) -> list[Json]:
        number = int(record) if record.isdigit() else -1
        found = [one for one in self.lists.live() if one.object_type_id == type_id and number in one.members]
        return [
            {
                "listId": str(one.id),
                "listVersion": one.version,
                "firstAddedTimestamp": iso(one.members[number]),
                "lastAddedTimestamp": iso(one.members[number]),
            }
            for one in found
        ]


def _page(target: StoredList, shown: list[int], after: str) -> Json:
    rows = [{"recordId": str(i), "membershipTimestamp": iso(target.members[i])} for i in shown]
    page: Json = {"results": rows, "total": len(target.members)}
    if after:
        page["paging"] = {"next": {"after": after}}
    return page
