"""The multi-checkbox property that says on the contact itself which segments it is in (`hubspot_property = true`).

One group, one property, one option for each segment, all ours: made when first needed, found again afterwards, and no
option that is there is ever changed or dropped. The property follows the list: a batch's contacts get or lose the
segment's option before the list is written, so what was cut short is met again by the next plan. Who is on the list and
has lost the option (or was on it before the property was switched on) is found and gets it again.
Docs: https://developers.hubspot.com/docs/api-reference/latest/crm/properties/guide
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

from adapters import marks
from adapters.hubspot_answers import Problem, Refused, failed_ids, in_words
from adapters.hubspot_client import BATCH, HubspotClient
from adapters.hubspot_door import OURS
from adapters.hubspot_objects import CONTACTS
from adapters.hubspot_read import Reader
from models.changes import Target
from models.errors import AmbiguousWriteError, PermanentApiError, ScopeError

log = logging.getLogger(__name__)

GROUP = OURS
PROPERTY = f"{OURS}_segments"
OPTION_KEYS = ("label", "value", "displayOrder", "hidden", "description")
CONTACT_TYPE = "0-1"
MOST_OPTIONS = 5000  # not documented; what owners report
LONGEST = 80  # letters of an option; how many HubSpot takes is not documented
TRIES = 4
ALONE = "Only the list is written"
HOPELESS = ("PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE")

Options = dict[str, dict[str, Any]]
Reasons = dict[str, str]
"""Contact id -> why HubSpot did not take the value."""


class _OptionLost(Exception):
    """Somebody took the segment's option out of the property since we looked."""


Text = Callable[[set[str]], str | None]
"""The values a contact holds -> what to write; None for nothing."""


class SegmentProperty:
    """installation: the id that the descriptions of options we make carry. closed: segments whose option is not ours, or which
    there is no room for; only their list is written. seen: segment -> (members without the option, others who have it)."""

    def __init__(self, client: HubspotClient, reader: Reader, installation: str = "") -> None:
        self.client = client
        self.reader = reader
        self.installation = installation
        self.closed: set[str] = set()
        self.seen: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        self._known: set[str] = set()
        self._options: Options | None = None

    def add(self, segment: str, ids: Sequence[str]) -> Reasons:
        """Append the segment's option; contacts that have it are left alone."""
        if not ids:
            return {}
        value = option_value(segment)

        def text(held: set[str]) -> str | None:
            return None if value in held else f";{value}"

        self.ensure(segment)
        try:
            return self._change(ids, text, is_last=False)
        except _OptionLost:
            self._options = None
            self.ensure(segment)
            return self._change(ids, text)

    def remove(self, segment: str, ids: Sequence[str]) -> tuple[Reasons, list[str]]:
        """(why some could not be written, contacts that are not there any more). There is no "remove one": the other options
        are written back, sorted, without such as no longer exist."""
        if not ids or not self._read():
            return {}, []
        absent = set(ids)
        value = option_value(segment)
        gone = set[str]()

        def known() -> set[str]:
            return set(self._options or ())

        def text(held: set[str]) -> str | None:
            if value not in held:
                return None
            if held - gone - known():  # made since we looked, or gone
                if not self._read():
                    return None
                gone.update(held - known())
            return ";".join(sorted(held & known() - {value}))

        reasons = self._change(ids, text, absent=absent)
        return reasons, sorted(absent)

    def state(self, segment: str) -> Literal["", "none", "there", "unmarked"]:
        """As in `Observed.part`; only of a segment that is not closed."""
        options = self.options()
        if options is None:
            return ""
        held = options.get(option_value(segment))
        if held is None:
            return "none"
        return "there" if marks.maker(held.get("description"), self.installation) == "us" else "unmarked"

    def look(self, segment: str, ids: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
        """`Observed.carriers` and `Observed.answered`, past the index that lags."""
        if not ids or self.state(segment) in ("", "none"):
            return frozenset(), ids
        rows = {str(r["id"]): _values(r) for r in self.reader.batch_read(CONTACTS, sorted(ids), names=[PROPERTY])}
        held = frozenset(i for i, values in rows.items() if option_value(segment) in values)
        return held & ids, ids & rows.keys()

    def compare(self, target: Target, members: frozenset[str]) -> tuple[frozenset[str], int]:
        """(members of the list without the option, how many carry it and are not on the list).

        The search index counts; only where its count differs are the members themselves read, past the index that lags.
        Of a property that may not be read, or that is something else, nothing is said.
        """
        segment = target.part_of
        state = self.state(segment)
        if state in ("", "none"):
            return members if state else frozenset(), 0
        total = self._count(segment)
        if total is None or total == len(members.union(target.kept)):
            return frozenset(), 0
        lacking = members - self.look(segment, members)[0]
        return lacking, max(0, total - len(members) + len(lacking))

    def why_closed(self, target: Target) -> str:
        """Why the property cannot say who is in the segment, in the owner's words; '' where it can. Remembers it."""
        segment, options = target.part_of, self.options()
        if options is None:
            return ""
        if target.part == "taken":
            self.closed.add(target.segment)
            return f"the option '{segment}' of the property {PROPERTY} is that of a segment which had this name before. {ALONE}"
        if target.part in ("ours", "closed", "adopt"):
            self._known.add(segment)
        held = options.get(option_value(segment))
        why = self._strangers(segment)
        if why:
            why += "; give the segment another name, or take the option over with adopt = true at the segment"
        elif held is None and len(options) >= MOST_OPTIONS:
            why = f"the property {PROPERTY} has {len(options):,} options already, and HubSpot may take no more"
        elif held is None and not options and self.is_full():
            why = f"HubSpot has no room for the property {PROPERTY}: delete a property of contacts you no longer need"
        if why:
            self.closed.add(target.segment)
            return f"{why}. {ALONE}"
        self.closed.discard(target.segment)
        return ""

    def _strangers(self, segment: str) -> str:
        """Whose the segment's option is, if not ours: by its mark, by what the ledger or the owner said of it."""
        held = (self._options or {}).get(option_value(segment))
        who = marks.maker((held or {}).get("description"), self.installation)
        if held is None or not self.installation or who == "us" or segment in self._known:
            return ""
        whose = "is another installation's of Rollcall" if who else "is there already and does not say that we made it"
        return f"the option '{segment}' of the property {PROPERTY} {whose}"

    def options(self) -> Options | None:
        """The options as last looked up, none of a property that is not there; None where it cannot be used."""
        if self._options is None:
            try:
                self._read()
            except PermanentApiError:
                return None
        return self._options or {}

    def holders(self, segment: str) -> frozenset[str]:
        """Everybody who has the option, by the search index, in the order of their ids."""
        is_one = {"propertyName": PROPERTY, "operator": "IN", "values": [option_value(segment)]}
        found: set[str] = set()
        last = "0"
        while self.state(segment) in ("there", "unmarked"):
            after = {"propertyName": "hs_object_id", "operator": "GT", "value": last}
            body = {
                "filterGroups": [{"filters": [is_one, after]}], "properties": ["hs_object_id"], "limit": BATCH,
                "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            }  # fmt: skip
            rows = self.client.ask(self.client.path("crm/objects", f"{CONTACTS.path}/search"), body).get("results") or []
            ids = {str(r["id"]) for r in rows} - found
            if not ids:
                break
            found |= ids
            last = max(ids, key=int)
        return frozenset(found)

    def _count(self, segment: str) -> int | None:
        """How many contacts carry the option, by the search index; None where nobody can say."""
        is_one = {"propertyName": PROPERTY, "operator": "IN", "values": [option_value(segment)]}
        body = {"filterGroups": [{"filters": [is_one]}], "properties": ["hs_object_id"], "limit": 1}
        try:
            total = self.client.ask(self.client.path("crm/objects", f"{CONTACTS.path}/search"), body).get("total")
        except PermanentApiError:
            return None
        return total if isinstance(total, int) else None

    def describe(self) -> tuple[bool, str]:
        """(all is well, in words) for `check`. Whether it may be made is only known once it was made."""
        needs = "the key needs crm.objects.contacts.write"
        try:
            if self._read():
                return True, f"The property {PROPERTY} is there; {needs}."
        except PermanentApiError as e:
            return False, str(e)
        full = self.is_full()
        room = " HubSpot has no room for one more property of contacts: delete one you no longer need." if full else ""
        return not full, f"The property {PROPERTY} is made at the first push; {needs} and crm.schemas.contacts.write.{room}"

    def is_full(self) -> bool:
        """The account has no room for another property of contacts, as far as HubSpot says."""
        return self.room() == 0

    def room(self) -> int | None:
        """How many more properties of contacts the account may have; None where HubSpot does not say."""
        try:
            found = self.client.get(self.client.path("crm/limits", "custom-properties")).get("byObjectType") or ()
        except PermanentApiError:
            return None
        ours = [r for r in found if isinstance(r, dict) and r.get("objectTypeId") == CONTACT_TYPE]
        left = [max(0, r["limit"] - int(r.get("usage") or 0)) for r in ours if isinstance(r.get("limit"), int)]
        return min(left, default=None)

    def ensure(self, segment: str) -> None:
        """Group, property and option are there afterwards. A lost answer is no harm: all is looked up before a repeat."""
        value = option_value(segment)
        if self._options is not None and value in self._options:
            return
        for tries_left in reversed(range(TRIES)):
            try:
                if not self._read():
                    self._make(segment)
                elif whose := self._strangers(segment):
                    raise PermanentApiError(whose, platform="hubspot")
                elif value not in (self._options or {}):
                    self._add_option(segment)
            except AmbiguousWriteError:
                if not tries_left:
                    raise
            if self._read() and value in (self._options or {}):
                return
        raise PermanentApiError(
            f"HubSpot did not keep the option '{segment}' of the property {PROPERTY}. Somebody may be editing it.",
            platform="hubspot",
        )

    def _read(self) -> bool:
        """Look the property up; False when there is none. Raises when one of this name cannot hold segments."""
        try:
            found = self.client.get(self.client.path("crm/properties", f"{CONTACTS.path}/{PROPERTY}"))
        except ScopeError:
            raise
        except PermanentApiError as e:
            if e.status != 404:
                raise
            self._options = None
            return False
        modification = found.get("modificationMetadata") or {}
        is_closed = modification.get("readOnlyValue") or found.get("calculated") or found.get("hubspotDefined")
        if (found.get("type"), found.get("fieldType")) != ("enumeration", "checkbox") or is_closed:
            raise PermanentApiError(
                f"HubSpot's property {PROPERTY} is not a multi-checkbox that may be written. Rename it or delete it for good.",
                platform="hubspot",
            )
        self._options = {str(o["value"]): o for o in found.get("options") or ()}
        return True

    def _make(self, segment: str) -> None:
        """A name in HubSpot's archive comes back with its old definition; the look-up afterwards tells."""
        self._post("/groups", {"name": GROUP, "label": "Rollcall"})
        first = _option(segment, 0, self.installation)
        self._post("", {
            "groupName": GROUP, "name": PROPERTY, "label": "Rollcall segments", "type": "enumeration", "fieldType": "checkbox",
            "formField": False, "options": [first],
        })  # fmt: skip

    def _post(self, rest: str, body: dict[str, Any]) -> None:
        """What exists already (409) is as good as made."""
        try:
            self.client.write("POST", self.client.path("crm/properties", CONTACTS.path) + rest, body)
        except ScopeError:
            raise
        except PermanentApiError as e:
            if e.status != 409:
                raise

    def _add_option(self, segment: str) -> None:
        """A PATCH replaces the whole list, so all that is there goes back as it was."""
        held = [{k: o[k] for k in OPTION_KEYS if o.get(k) is not None} for o in (self._options or {}).values()]
        last = max((int(o.get("displayOrder") or 0) for o in held), default=-1)
        path = self.client.path("crm/properties", f"{CONTACTS.path}/{PROPERTY}")
        self.client.write("PATCH", path, {"options": [*held, _option(segment, last + 1, self.installation)]})

    def _change(self, ids: Sequence[str], text: Text, *, is_last: bool = True, absent: set[str] | None = None) -> Reasons:
        """Write `text(values held)` for every contact it gives one for. After a lost answer all is read again first. Who is
        found is taken out of `absent`.

        Raises _OptionLost, unless `is_last`, where HubSpot no longer knows the option.
        """
        reasons: Reasons = {}
        for start in range(0, len(ids), BATCH):
            for tries_left in reversed(range(TRIES)):
                rows = self._rows([i for i in ids[start : start + BATCH] if i not in reasons], text, absent)
                try:
                    reasons.update(self._write(rows, is_last) if rows else {})
                    break
                except AmbiguousWriteError:
                    if not tries_left:
                        raise
        return reasons

    def _rows(self, ids: list[str], text: Text, absent: set[str] | None) -> dict[str, str]:
        """Contacts to write and what; those that are not there (any more) are left out, the list will tell."""
        wanted = set(ids)
        rows = {}
        for record in self.reader.batch_read(CONTACTS, ids, names=[PROPERTY]):
            value = text(_values(record))
            if absent is not None:
                absent.discard(str(record["id"]))
            if value is not None and str(record["id"]) in wanted:
                rows[str(record["id"])] = value
        return rows

    def _write(self, rows: dict[str, str], is_last: bool) -> Reasons:
        """One batch; refused as a whole (400) its halves, until the row HubSpot minds stands alone."""
        path = self.client.path("crm/objects", f"{CONTACTS.path}/batch/update")
        inputs = [{"id": i, "objectWriteTraceId": f"r-{i}", "properties": {PROPERTY: v}} for i, v in rows.items()]
        try:
            answer = self.client.write("POST", path, {"inputs": inputs})
        except ScopeError:
            raise
        except PermanentApiError as e:
            return self._apart(rows, e, is_last)
        failed = {i: p for i, p in failed_ids(answer).items() if i in rows}
        if not is_last and any(_is_lost(p) for p in failed.values()):
            raise _OptionLost
        seen = {str(r.get("id")) for r in answer.get("results") or ()}
        unsaid = {i: v for i, v in rows.items() if i not in failed and i not in seen}
        reasons = {i: in_words(p) for i, p in failed.items() if not any("NOT_FOUND" in one.code for one in p)}
        if unsaid and len(rows) == 1:
            return dict.fromkeys(rows, "HubSpot did not write it and gave no reason")
        return {**reasons, **(self._halves(unsaid, is_last) if unsaid else {})}

    def _apart(self, rows: dict[str, str], error: PermanentApiError, is_last: bool) -> Reasons:
        problems = error.problems if isinstance(error, Refused) else ()
        if not is_last and _is_lost(problems):
            raise _OptionLost
        if len(rows) == 1 or any(p.code in HOPELESS for p in problems):
            return dict.fromkeys(rows, in_words(problems) if problems else f"HubSpot refused it ({error.code or error.status})")
        return self._halves(rows, is_last)

    def _halves(self, rows: dict[str, str], is_last: bool) -> Reasons:
        items = list(rows.items())
        middle = (len(items) + 1) // 2
        parts = (items[:middle], items[middle:])
        return {i: reason for part in parts if part for i, reason in self._write(dict(part), is_last).items()}


def _values(record: dict[str, Any]) -> set[str]:
    """A multi-checkbox comes as one text, in no order."""
    return {v for v in str((record.get("properties") or {}).get(PROPERTY) or "").split(";") if v}


def _is_lost(problems: Sequence[Problem]) -> bool:
    return any(p.code == "INVALID_OPTION" for p in problems)


def option_value(segment: str) -> str:
    """The option's internal name: `at_risk` of 'At risk'. What a name loses besides case and spaces is told by a hash."""
    plain = re.sub(r"[^a-z0-9]+", "_", segment.lower()).strip("_")
    if len(plain) <= LONGEST and re.fullmatch(r"[A-Za-z0-9]+( [A-Za-z0-9]+)*", segment):
        return plain
    mark = hashlib.sha256(segment.encode()).hexdigest()[:8]
    return f"{plain[:LONGEST]}_{mark}" if plain else f"segment_{mark}"


def _option(segment: str, order: int, installation: str) -> dict[str, Any]:
    label = segment if len(segment) <= LONGEST else f"{segment[: LONGEST - 1]}…"
    made: dict[str, Any] = {"label": label, "value": option_value(segment), "displayOrder": order, "hidden": False}
    return {**made, "description": marks.marked("Made by Rollcall", installation)} if installation else made
