"""Profile columns as Mailchimp merge fields: made once, private, and set by a PATCH that carries merge fields of ours only.

The address of a merge field in mails is its tag, of at most ten characters: `RC_` and the label where it is short enough, else
its beginning and a mark of its own. Docs: https://mailchimp.com/developer/marketing/docs/merge-fields/
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from adapters import field_texts, marks
from adapters.base import Record
from adapters.mailchimp_api import Api
from models.changes import FieldKind, Outcome
from models.errors import AmbiguousWriteError, PermanentApiError, ScopeError

log = logging.getLogger(__name__)

TYPES: dict[FieldKind, str] = {"text": "text", "number": "number", "date": "date", "yes or no": "text"}
SHORT = 7
BEGINNING = 4
MARK_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MARK = "Written by Rollcall"
FIELDS = "merge_fields.tag,merge_fields.name,merge_fields.type,merge_fields.help_text,total_items,merge_field_limit"
MOST_FIELDS = 1000
LOOKS = 6
NOT_HERE = "not in this audience"
FEW = 20
LEFT_ALONE = ("unsubscribed", "cleaned")
"""Who left gets no value any more (an empty one is taken away); an address that bounced is not touched at all."""

Row = tuple[str, Mapping[str, str]]


class Fields:
    """Merge fields of the written audience. installation: the id that the help texts of those we make carry."""

    def __init__(self, api: Api, installation: str = "") -> None:
        self.api = api
        self.installation = installation
        self.path = f"{api.list_path}/merge-fields"
        self._types: dict[str, str] | None = None
        self._statuses: dict[str, str] = {}
        """Contact -> its status when it was last read."""
        self._total = 0

    def problem(self, name: str, kind: FieldKind) -> str:
        answer = self._answer()
        return self._problem(name, kind, answer)

    def without_room(self, names: Sequence[str]) -> list[str]:
        """Those that are not there, beyond the number that the plan still allows."""
        answer = self._answer()
        missing = [name for name in names if _named(name, answer) is None]
        limit, held = answer.get("merge_field_limit"), int(answer.get("total_items") or 0)
        return missing[max(0, limit - held) :] if isinstance(limit, int) else []

    def ensure(self, name: str, label: str, kind: FieldKind) -> None:
        """After an unclear answer the field is looked for, and only then asked for once more."""
        self._types = None
        for _ in range(LOOKS):
            answer = self._answer()
            found = _named(name, answer)
            if problem := self._problem(name, kind, answer):
                raise PermanentApiError(problem, platform="mailchimp")
            if found:
                return
            try:
                self.api.create_field(
                    name, field_texts.title(label), TYPES[kind], marks.marked(f"{MARK}: {label}", self.installation)
                )
            except AmbiguousWriteError as e:
                log.info("mailchimp: making a merge field got no clear answer (%s); looking for it", e.status or "none")
                if not e.status:
                    self.api.wait_for_the_unclear()
        raise AmbiguousWriteError(
            "Mailchimp never answered clearly whether the merge field was made. Run it again later.", platform="mailchimp"
        )

    def _problem(self, name: str, kind: FieldKind, answer: Record) -> str:
        found = _named(name, answer)
        if found is None:
            return _no_room(answer)
        if marks.maker(found.get("help_text"), self.installation) == "another":
            return (
                f"Mailchimp's merge field {name} is filled by another installation of Rollcall. Give the [[field]] another name; "
                "after a lost store, take the mark out of the field's help text instead."
            )
        return _unusable(name, kind, found)

    def read(self, names: Sequence[str], ids: Sequence[str]) -> dict[str, dict[str, str]]:
        kinds = self._kinds(names)
        there = {i: row for i, row in self._rows(ids).items() if row.get("status") != "archived"}
        self._statuses |= {i: str(row.get("status") or "") for i, row in there.items()}
        return {
            i: {n: field_texts.plain((row.get("merge_fields") or {}).get(n), kind) for n, kind in kinds.items()}
            for i, row in there.items()
        }

    def _rows(self, ids: Sequence[str]) -> dict[str, Record]:
        """Those that are there: page by page where that takes fewer requests than contact by contact."""
        found: dict[str, Record] = {}
        if len(ids) > FEW and self._pages() < len(ids):
            wanted = set(ids)
            every = self.api.every(f"{self.api.list_path}/members", "members", ("id", "status", "merge_fields"))
            found = {str(r["id"]): r for r in every.rows if str(r.get("id")) in wanted}
        left = [i for i in ids if i not in found]  # archived, gone, or passed over because the list moved while it was read
        rows = self.api.ahead(partial(self._member, i) for i in left)
        return {**found, **{i: row for i, row in zip(left, rows, strict=True) if row is not None}}

    def _pages(self) -> int:
        """How many requests it takes to read the whole audience."""
        if not self._total:
            path = f"{self.api.list_path}/members"
            self._total = self.api.page(path, "members", ("id",), offset=0, count=1).total
        return -(-self._total // self.api.count)

    def write(self, rows: Sequence[Row]) -> list[Outcome]:
        """Contact by contact, side by side. What got no clear answer is read back, and sent once more where it is not there."""
        found = self._sent(rows)
        unclear = [row for row in rows if row[0] not in found]
        if unclear:
            self.api.wait_for_the_unclear()
            names = sorted({name for _, values in unclear for name in values})
            now = self.read(names, [contact for contact, _ in unclear])
            found |= {c: Outcome(c, "add", "done") for c, values in unclear if c in now and values.items() <= now[c].items()}
            found |= self._sent([row for row in unclear if row[0] not in found])
        lost = "Mailchimp gave no clear answer; the next run looks"
        return [found.get(contact) or Outcome(contact, "add", "unknown", lost) for contact, _ in rows]

    def _sent(self, rows: Sequence[Row]) -> dict[str, Outcome]:
        """The outcomes that are clear."""
        kinds = self._kinds(sorted({name for _, values in rows for name in values}))
        outcomes = self.api.ahead(partial(self._set, contact, values, kinds) for contact, values in rows)
        return {o.contact_id: o for o in list(outcomes) if o is not None}

    def _set(self, contact: str, values: Mapping[str, str], kinds: Mapping[str, FieldKind]) -> Outcome | None:
        status = self._statuses.get(contact, "")
        if status in LEFT_ALONE and (status == "cleaned" or any(values.values())):
            return Outcome(contact, "add", "refused", f"{status} in Mailchimp meanwhile, and left as it is")
        try:
            member = self.api.set_fields(contact, {n: _wire(v, kinds[n]) for n, v in values.items()})
        except AmbiguousWriteError:
            return None
        except ScopeError:
            raise
        except PermanentApiError as e:
            missing = e.status == 404
            reason = NOT_HERE if missing else f"Mailchimp refused the value ({e.status}, {e.code})"
            return Outcome(contact, "add", "missing" if missing else "refused", reason)
        shown = member.get("merge_fields")
        gone = sorted(values.keys() - shown.keys()) if isinstance(shown, dict) else []
        if gone:  # a name that no field has is overlooked without a word
            return Outcome(contact, "add", "refused", f"the merge field {', '.join(gone)} is not there any more")
        return Outcome(contact, "add", "done")

    def _kinds(self, names: Sequence[str]) -> dict[str, FieldKind]:
        if self._types is None:
            self._types = {str(f.get("tag")): str(f.get("type")) for f in self._answer().get("merge_fields") or ()}
        types = self._types
        known: dict[str, FieldKind] = {"number": "number", "date": "date"}
        return {name: known.get(types.get(name, ""), "text") for name in names}

    def _answer(self) -> Record:
        return self.api.get(self.path, FIELDS, count=MOST_FIELDS)

    def _member(self, contact: str) -> Record | None:
        return self.api.find(f"{self.api.list_path}/members/{quote(contact, safe='')}", "id,status,merge_fields")


def tag_of(label: str) -> str:
    """`RC_CITY`, or for what is longer than seven characters `RC_CHUR4K2`: the beginning and a mark made of all of it."""
    if len(label) <= SHORT:
        return f"RC_{label.upper()}"
    number = int(hashlib.sha256(label.encode()).hexdigest(), 16)
    mark = "".join(MARK_LETTERS[number // len(MARK_LETTERS) ** n % len(MARK_LETTERS)] for n in range(SHORT - BEGINNING))
    return f"RC_{re.sub('[^A-Z0-9]', '', label.upper())[:BEGINNING]}{mark}"


def _named(name: str, answer: Mapping[str, Any]) -> Record | None:
    return next((f for f in answer.get("merge_fields") or () if str(f.get("tag")).upper() == name), None)


def _unusable(name: str, kind: FieldKind, found: Mapping[str, Any]) -> str:
    """Ours is what has our name or our help text: the owner may change either, not both."""
    if not str(found.get("name") or "").startswith(field_texts.OURS) and MARK not in str(found.get("help_text") or ""):
        return (
            f"Mailchimp has a merge field {name} ('{found.get('name')}') that Rollcall did not make. Give the [[field]] another "
            "name."
        )
    if found.get("type") != TYPES[kind]:
        return (
            f"Mailchimp's merge field {name} holds {found.get('type')}, not {TYPES[kind]}, and Mailchimp never changes that. Give "
            "the [[field]] another name, or delete the merge field in Mailchimp."
        )
    return ""


def _no_room(answer: Mapping[str, Any]) -> str:
    limit, held = answer.get("merge_field_limit"), int(answer.get("total_items") or 0)
    if not isinstance(limit, int) or held < limit:
        return ""
    return (
        f"Mailchimp has no room for another merge field: the audience has {held} of the {limit} that its plan allows. Delete one "
        "you no longer need, or write tags only."
    )


def _wire(value: str, kind: FieldKind) -> str | int | float:
    """A number travels as one; everything else, and nothing at all, as text."""
    if kind != "number" or not value:
        return value
    return float(value) if "." in value else int(value)
