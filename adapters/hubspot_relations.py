"""What belongs to a record: contacts, companies and line items, read in batches and attached, so that one raw record is whole.

Docs: https://developers.hubspot.com/docs/api-reference/latest/crm/associations/associate-records/guide
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from adapters.base import Record
from adapters.hubspot_answers import has_real_errors
from adapters.hubspot_client import ASSOCIATION_BATCH, HubspotClient
from adapters.hubspot_objects import CARTS, COMPANIES, CONTACTS, DEALS, LINE_ITEMS, ORDERS, Kind
from models.errors import PermanentApiError, RetryableApiError, ScopeError

if TYPE_CHECKING:
    from adapters.hubspot_read import Reader

ROUNDS = 1000
BATCH_TRIES = 3
PRIMARY = {("contacts", "companies"): 1, ("companies", "contacts"): 2}
BOUGHT = ("completed", "complete", "converted", "closed", "paid", "ordered")  # a shop's words for a cart that became an order


class Relations:
    """What is not permitted is switched off for this run and named in the page's note; the records still come."""

    def __init__(self, client: HubspotClient, reader: Reader) -> None:
        self.client = client
        self.reader = reader
        self._lock = threading.RLock()
        self._off: dict[str, str] = {}
        self._has_companies: bool | None = None
        self._won: dict[tuple[str, str], bool] | None = None
        self._stages: dict[tuple[str, str], str] | None = None

    def attach(self, kind: Kind, records: list[Record]) -> str:
        """Adds contact_ids, company_ids, line_items, and as far as they apply `_contact_id` and `_company_id` (the main
        ones), `_currency` (the account's, for records that name none) and `_is_won`; returns a note."""
        if not records:
            return ""
        ids = [str(r["id"]) for r in records]
        notes = []
        if kind.contacts:
            notes.append(self._attach_ids(kind, "contacts", "contact_ids", "_contact_id", records, ids))
        if kind.companies and self._wants_companies(kind):
            notes.append(self._attach_ids(kind, "companies", "company_ids", "_company_id", records, ids))
        if kind.line_items:
            notes.append(self._attach_lines(kind, records, ids))
            for record in records if self.client.currency else ():
                record["_currency"] = self.client.currency
        if kind is DEALS:
            for record in records:
                record["_is_won"] = self._is_won(record.get("properties") or {})
        if kind is ORDERS:
            self._name_stages(records)
        if kind is CARTS:
            _open_carts(records)
        return "; ".join(dict.fromkeys(n for n in notes if n))

    def _attach_ids(self, kind: Kind, to: str, key: str, main: str, records: list[Record], ids: list[str]) -> str:
        found, note = self._allowed(kind, to, ids)
        if found is None:
            return note
        for record in records:
            others = found.get(str(record["id"]), [])
            record[key] = others
            if others:
                record[main] = others[0]
        return ""

    def _attach_lines(self, kind: Kind, records: list[Record], ids: list[str]) -> str:
        found, note = self._allowed(kind, LINE_ITEMS.path, ids)
        if found is None:
            return note
        wanted = list(dict.fromkeys(line for lines in found.values() for line in lines))
        try:
            lines = {str(r["id"]): r for r in self.reader.batch_read(LINE_ITEMS, wanted)} if wanted else {}
        except PermanentApiError as e:
            return self._switch_off(kind, LINE_ITEMS.path, e)
        for record in records:
            record["line_items"] = [
                {"id": i, "properties": lines[i].get("properties") or {}}
                for i in found.get(str(record["id"]), []) if i in lines
            ]  # fmt: skip
        return ""

    def _allowed(self, kind: Kind, to: str, ids: list[str]) -> tuple[dict[str, list[str]] | None, str]:
        off = self._off.get(f"{kind.path}/{to}")
        if off is not None:
            return None, off
        try:
            return self.associated(kind.path, to, ids), ""
        except PermanentApiError as e:
            return None, self._switch_off(kind, to, e)

    def _switch_off(self, kind: Kind, to: str, error: PermanentApiError) -> str:
        """Only what is forbidden or absent is switched off; anything else stops the stream."""
        if not isinstance(error, ScopeError) and error.status != 404:
            raise error
        scope = f" ({error.scope})" if isinstance(error, ScopeError) and error.scope else ""
        note = f"{kind.title} were read without their {to.replace('_', ' ')}: the token may not read these{scope}"
        self._off[f"{kind.path}/{to}"] = note
        return note

    def associated(self, source: str, to: str, ids: Sequence[str]) -> dict[str, list[str]]:
        """id -> ids associated with it: the primary one first, the others ascending. Absent means none."""
        found: dict[str, dict[str, bool]] = {i: {} for i in ids}
        inputs: list[dict[str, str]] = [{"id": i} for i in ids]
        failures = 0
        for _ in range(ROUNDS):
            if not inputs:
                return {i: sorted(o, key=lambda x: (not o[x], _order(x))) for i, o in found.items() if o}
            answer, size = self._some(source, to, inputs)
            asked, inputs = inputs[:size], inputs[size:]
            answered = set()
            for result in answer.get("results") or ():
                source_id = str(result["from"]["id"])
                answered.add(source_id)
                others = found.setdefault(source_id, {})
                for other in result.get("to") or ():
                    other_id = str(other["toObjectId"])
                    others[other_id] = others.get(other_id, False) or _is_primary(source, to, other)
                after = ((result.get("paging") or {}).get("next") or {}).get("after")
                if after:
                    inputs.append({"id": source_id, "after": str(after)})
            if has_real_errors(answer):
                failures += 1
                if failures == BATCH_TRIES:
                    raise RetryableApiError(f"HubSpot could not read all links to {to}. Try again later.", platform="hubspot")
                self.client.sleep(float(failures))
                inputs += [one for one in asked if one["id"] not in answered]
        raise PermanentApiError(f"HubSpot's associations to {to} do not come to an end.", platform="hubspot")

    def _some(self, source: str, to: str, inputs: list[dict[str, str]]) -> tuple[dict[str, Any], int]:
        """The answer to as many of the inputs as HubSpot manages at once, and how many these were."""
        path = self.client.path("crm/associations", f"{source}/{to}/batch/read")

        def some(size: int, tries: int | None) -> tuple[dict[str, Any], int]:
            return self.client.ask(path, {"inputs": inputs[:size]}, tries=tries), size

        return self.client.gently(f"{source} to {to}", ASSOCIATION_BATCH, some)

    def _wants_companies(self, kind: Kind) -> bool:
        """Contacts name their company in a property where the account has it; else only accounts with companies are asked."""
        if kind is CONTACTS and "associatedcompanyid" in (self.reader.catalogue(CONTACTS) or ()):
            return False
        with self._lock:
            if self._has_companies is None:
                try:
                    path = self.client.path("crm/objects", COMPANIES.path)
                    self._has_companies = bool(self.client.get(path, {"limit": 1, "properties": "name"}).get("results"))
                except PermanentApiError:
                    self._has_companies = False
            return self._has_companies

    def _is_won(self, properties: dict[str, Any]) -> bool:
        said = properties.get("hs_is_closed_won")
        if said:
            return str(said).lower() == "true"
        stage = (str(properties.get("pipeline") or ""), str(properties.get("dealstage") or ""))
        with self._lock:
            if self._won is None:
                self._won = self._won_stages()
        if stage in self._won:
            return self._won[stage]
        return str(properties.get("hs_deal_stage_probability") or "") in ("1", "1.0")

    def _name_stages(self, records: list[Record]) -> None:
        """Adds `_stage`, in HubSpot's words, to orders no shop has given a status: stage ids are the owner's own."""
        for record in records:
            properties = record.get("properties") or {}
            stage = str(properties.get("hs_pipeline_stage") or "")
            if stage and not properties.get("hs_external_order_status"):
                record["_stage"] = self._order_stages().get((str(properties.get("hs_pipeline") or ""), stage), stage)

    def _order_stages(self) -> dict[tuple[str, str], str]:
        """(pipeline, stage) -> its label."""
        with self._lock:
            if self._stages is None:
                self._stages = {(p, str(s["id"])): str(s.get("label") or "") for p, s in self._pipelines(ORDERS)}
            return self._stages

    def _won_stages(self) -> dict[tuple[str, str], bool]:
        """(pipeline, stage) -> a deal there is won: stage ids are the owner's own, the probability says it."""
        return {
            (p, str(s["id"])): str((s.get("metadata") or {}).get("probability")) in ("1", "1.0")
            for p, s in self._pipelines(DEALS)
        }

    def _pipelines(self, kind: Kind) -> list[tuple[str, dict[str, Any]]]:
        """(pipeline's id, one of its stages) for every stage; none where they may not be read."""
        try:
            pipelines = self.client.get(self.client.path("crm/pipelines", kind.path)).get("results") or ()
        except PermanentApiError:
            return []
        return [(str(p["id"]), stage) for p in pipelines for stage in p.get("stages") or ()]


def _open_carts(records: list[Record]) -> None:
    """Adds `_items` (what is in the cart) and, once it has become an order, `_completed_at` (when that was last seen)."""
    for record in records:
        properties = record.get("properties") or {}
        if str(properties.get("hs_external_status") or "").strip().lower() in BOUGHT:
            record["_completed_at"] = properties.get("hs_lastmodifieddate") or record.get("updatedAt")
        items = [_item(line.get("properties") or {}) for line in record.get("line_items") or ()]
        if items:
            record["_items"] = items


def _item(line: dict[str, Any]) -> dict[str, Any]:
    named = {"product_id": line.get("hs_product_id") or line.get("hs_sku"), "title": line.get("name")}
    return {**named, "quantity": line.get("quantity")}


def _is_primary(source: str, to: str, other: dict[str, Any]) -> bool:
    """The main one of several: by its label, or by the one number that is documented (the type depends on the direction)."""
    return any(
        str(t.get("label") or "").lower() == "primary" or t.get("typeId") == PRIMARY.get((source, to))
        for t in other.get("associationTypes") or ()
        if t.get("category") == "HUBSPOT_DEFINED" and t.get("typeId") is not None
    )


def _order(record_id: str) -> tuple[int, str]:
    return (int(record_id), "") if record_id.isdigit() else (1 << 62, record_id)
