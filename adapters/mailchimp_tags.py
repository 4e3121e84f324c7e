"""Mailchimp's tags: looked up, read whole, made empty, and changed by difference.

A tag is a static segment: same object, same id. Docs: https://mailchimp.com/developer/marketing/docs/segments/ and
https://mailchimp.com/developer/marketing/api/list-segments/batch-add-or-remove-members/
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import quote

from adapters.answers import scrub
from adapters.base import Record
from adapters.mailchimp_api import Api, moment
from adapters.midway import told_or_unclear
from adapters.patience import STALE
from models.changes import Batch, Kind, Member, Observed, Outcome, Target
from models.errors import AmbiguousWriteError, NotSentError, PermanentApiError, ScopeError

log = logging.getLogger(__name__)

EVERYBODY = {"include_cleaned": "true", "include_transactional": "true", "include_unsubscribed": "true"}
"""Without these only subscribed members are shown, and the difference is wrong for ever."""
NOT_HERE = "not in this audience"
NO_ADDRESS = "the contact has no e-mail address, by which alone Mailchimp lets a tag be changed"
READS = 3
TAG_FIELDS = ("id", "name", "type")
LOOKS = 6
LOOKED_AFTER = 50
"""What starts no automation goes out by the tag's name: after so many changes it is asked for again, lest somebody renamed it."""

Key = tuple[Kind, str]
"""A change: its kind and the contact."""


class Tags:
    """Tags of one audience. Remembers the addresses it saw: leaving a tag needs one, and a plan only knows the id."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.path = f"{api.list_path}/segments"
        self._addresses: dict[str, str] = {}
        self._pending: list[Record] | None = None
        self._given_up: set[str] = set()
        self._asked_at: dict[str, datetime] = {}

    def observe(self, targets: Sequence[Target]) -> list[Observed]:
        """Every tag with all its members. The remembered id counts first, then the name."""
        names: dict[str, list[Record]] = {}
        self._pending = None
        return [self._observe(t, names) for t in targets]

    def _observe(self, target: Target, names: dict[str, list[Record]]) -> Observed:
        found, note = self._look_up(target, names)
        if found is None:
            return Observed(target, exists=False, note=note)
        tag_id, name = str(found["id"]), str(found.get("name") or "")
        if found.get("type") != "static":
            return Observed(
                target, True, tag_id, name, is_ours_kind=False, note="it is a segment that Mailchimp computes itself"
            )
        members, moved = self._members(tag_id)
        members |= self._unconfirmed(tag_id)
        return Observed(target, True, tag_id, name, members, note="; ".join(n for n in (note, moved) if n))

    def _look_up(self, target: Target, names: dict[str, list[Record]]) -> tuple[Record | None, str]:
        note = ""
        if target.object_id:
            found = (
                self.api.find(f"{self.path}/{target.object_id}", ",".join(TAG_FIELDS)) if target.object_id.isdigit() else None
            )
            if found is not None:
                return found, self._said_of_its_name(found, target, names)
            note = "the tag we made was deleted in Mailchimp"
        kinds = (self._named(target.name, kind, names) for kind in ("static", "saved", "fuzzy"))
        same = next((found for found in kinds if found is not None), None)
        if same is None:
            return None, note
        if same.get("name") != target.name:
            note = "; ".join(n for n in (note, "its name differs in upper and lower case only") if n)
        return same, note

    def _said_of_its_name(self, found: Record, target: Target, names: dict[str, list[Record]]) -> str:
        note = _renamed(str(found.get("name") or ""), target.name)
        other = self._named(target.name, "static", names) if note else None
        if other is None or str(other["id"]) == str(found["id"]):
            return note
        return (
            f"{note}; a second tag '{other['name']}' is there now, which no segment fills: delete it if you need it for nothing"
        )

    def _named(self, name: str, kind: str, names: dict[str, list[Record]]) -> Record | None:
        """The exact name first, else the same without case: Mailchimp takes both for one."""
        if kind not in names:
            names[kind] = self.api.every(self.path, "segments", TAG_FIELDS, type=kind).rows
        exact = next((r for r in names[kind] if r.get("name") == name), None)
        return exact or next((r for r in names[kind] if str(r.get("name")).casefold() == name.casefold()), None)

    def _members(self, tag_id: str) -> tuple[frozenset[str], str]:
        """All member ids; read again when the list moved meanwhile (fewer different ids than it says)."""
        ids: set[str] = set()
        for _ in range(READS):
            found = self.api.every(f"{self.path}/{tag_id}/members", "members", ("id", "email_address"), **EVERYBODY)
            self._addresses.update((str(r["id"]), str(r["email_address"])) for r in found.rows if r.get("email_address"))
            now = {str(r["id"]) for r in found.rows}
            if len(now) == found.total:
                return frozenset(now), ""
            ids |= now
        return frozenset(ids), "its members changed while they were read"

    def _unconfirmed(self, tag_id: str) -> frozenset[str]:
        """Contacts that have not confirmed yet can carry a tag, and no flag shows them in its list."""
        if self._pending is None:
            fields = ("id", "email_address", "tags_count", "tags")
            self._pending = self.api.every(f"{self.api.list_path}/members", "members", fields, status="pending").rows
            self._addresses.update((str(r["id"]), str(r["email_address"])) for r in self._pending if r.get("email_address"))
        return frozenset(str(r["id"]) for r in self._pending if self._has_tag(r, str(r["id"]), tag_id))

    def ensure(self, target: Target) -> str:
        """The id of the tag; made empty where there is none. After an unclear answer it is looked up, not repeated."""
        for _ in range(LOOKS):
            found, _note = self._look_up(target, {})
            if found is not None:
                return self._usable(found, target)
            try:
                return str(self.api.create_tag(target.name)["id"])
            except AmbiguousWriteError as e:
                log.info("mailchimp: making a tag got no clear answer (%s); looking it up", e.status or "none")
                if not e.status:
                    self.api.wait_for_the_unclear()
        raise AmbiguousWriteError(
            "Mailchimp never answered clearly whether the tag was made. Run it again later.", platform="mailchimp"
        )

    def _usable(self, found: Record, target: Target) -> str:
        if found.get("type") == "static":
            return str(found["id"])
        raise PermanentApiError(
            f"Mailchimp has a segment called '{target.name}' that it computes itself, so it cannot be a tag. "
            'Give the segment another tag = "..." in the configuration.',
            platform="mailchimp",
        )

    def apply(self, batch: Batch) -> list[Outcome]:
        """One call for the whole batch. An answer of 200 hides failures, so everybody it does not name is looked up."""
        adds, lost = self._addressed("add", batch.adds)
        removes, lost_removes = self._addressed("remove", batch.removes)
        lost |= lost_removes
        done: set[Key] = set()
        said: dict[Key, str] = {}
        if adds or removes:
            answer = self._changed(batch.object_id, list(adds.values()), list(removes.values()))
            done = _confirmed("add", adds, answer) | _confirmed("remove", removes, answer)
            said = _said("add", adds, answer) | _said("remove", removes, answer)
        changes = _changes(batch)
        unclear = [(k, m) for k, m in changes if (k, m.contact_id) not in done and (k, m.contact_id) not in lost]
        with told_or_unclear(lambda: bool(adds or removes)):
            settled = {**lost, **self._settled(unclear, batch, said)}
        return [settled.get((k, m.contact_id)) or Outcome(m.contact_id, k, "done") for k, m in changes]

    def _changed(self, tag_id: str, add: list[str], remove: list[str]) -> Record:
        self._asked_at[tag_id] = self.api.server_now()
        try:
            return self.api.change_tag(tag_id, add, remove)
        except AmbiguousWriteError as e:
            if not e.status:
                self._given_up.add(tag_id)
            raise

    def let_it_settle(self, tag_id: str) -> None:
        """Wait a while after a change of the tag that got no answer at all: it may still be under way."""
        if tag_id in self._given_up:
            self._given_up.discard(tag_id)
            self.api.wait_for_the_unclear()

    def put_in_again(self, tag_id: str, contact_ids: Sequence[str]) -> frozenset[str]:
        """Of contacts whom our last change of the tag was to take out, those who came in after it, by Mailchimp's dates: it took
        them out, and somebody else put them in again."""
        asked_at = self._asked_at.get(tag_id)
        if asked_at is None:
            return frozenset()
        return frozenset(i for i, at in self.joined(tag_id, contact_ids).items() if at > asked_at)

    def apply_quietly(self, batch: Batch) -> list[Outcome]:
        """The same one contact at a time, starting no automation (`is_syncing`). The tag is named as it is called now, for
        a name that no tag has would become a second tag; whom a rename meanwhile puts into such a one is taken off it again."""
        done: list[str] = []
        with told_or_unclear(lambda: bool(done)):
            return self._applied_quietly(batch, done)

    def _present_name(self, batch: Batch) -> str:
        tag = self.api.find(f"{self.path}/{batch.object_id}", ",".join(TAG_FIELDS)) if batch.object_id.isdigit() else None
        if tag is None or tag.get("type") != "static":
            raise PermanentApiError(
                f"The Mailchimp tag '{batch.object_name}' is no longer there. Nothing was written.", platform="mailchimp"
            )
        return str(tag["name"])

    def _applied_quietly(self, batch: Batch, done: list[str]) -> list[Outcome]:
        """done: is given whose tag was changed, one after the other."""
        changes, began = _changes(batch), self.api.now_utc()
        names = [self._present_name(batch)]
        began_there = self.api.server_now()
        unsent: dict[Key, NotSentError] = {}
        settled: dict[Key, Outcome] = {}
        for start in range(0, len(changes), LOOKED_AFTER):
            names += [self._present_name(batch)] if start else []
            settled |= self._tagged(changes[start : start + LOOKED_AFTER], names[-1], done, unsent)
            if unsent:
                put_off, rest = next(iter(unsent.values())), changes[start + LOOKED_AFTER :]
                unsent |= {(kind, m.contact_id): put_off for kind, m in rest}
                break
        unclear = [(kind, m) for kind, m in changes if (kind, m.contact_id) not in settled.keys() | unsent.keys()]
        if unclear:
            self.api.wait_for_the_unclear()
            found = self._settled(unclear, batch, {})
            settled |= {key: outcome for key, outcome in found.items() if outcome.result != "refused"}
            if timedelta(0) <= self.api.now_utc() - began < STALE:  # else the machine slept: consent is to be asked again
                names.append(self._present_name(batch))
                settled |= self._tagged([c for c in unclear if (c[0], c[1].contact_id) not in settled], names[-1], done, {})
        if former := set(names) - {self._present_name(batch)}:
            for key, error in self._put_right(batch, settled, former, began_there).items():
                unsent[key] = error
                del settled[key]
        if len(settled) + len(unsent) < len(changes):
            self._given_up.add(batch.object_id)
            lost = AmbiguousWriteError("Mailchimp did not say what became of changes of a tag.", platform="mailchimp")
            lost.told, lost.unreached = tuple(settled.values()), frozenset(i for _, i in unsent)
            raise lost
        for error in unsent.values():
            error.told = tuple(settled.values())
            raise error
        return [settled[kind, m.contact_id] for kind, m in changes]

    def _put_right(
        self, batch: Batch, settled: dict[Key, Outcome], former: set[str], since: datetime
    ) -> dict[Key, NotSentError]:
        """The tag was renamed while it was written: whose change did not reach it, to be made under its new name. Whom a second
        tag of the old name got since then, it got from us, and they come off it; whom somebody put there before stay."""
        sent = [(k, m) for k, m in _changes(batch) if (o := settled.get((k, m.contact_id))) and o.result == "done"]
        found = self._settled(sent, batch, {})
        astray = [(k, m) for k, m in sent if found[k, m.contact_id].result == "refused"]
        names: dict[str, list[Record]] = {}
        for name in former:
            other = self._named(name, "static", names)
            if other is not None and str(other["id"]) != batch.object_id:
                came = self.joined(str(other["id"]), [m.contact_id for k, m in astray if k == "add"])
                ours = [m for k, m in astray if k == "add" and m.contact_id in came and came[m.contact_id] >= since]
                self._tagged([("remove", m) for m in ours], str(other["name"]), [], {})
        log.warning("mailchimp: a tag was renamed while it was written; %s changes are made again", len(astray))
        renamed = NotSentError(
            "Somebody renamed the Mailchimp tag while it was being filled. The next run goes on under its new name.",
            platform="mailchimp",
        )
        return {(k, m.contact_id): renamed for k, m in astray}

    def _tagged(
        self, changes: Sequence[tuple[Kind, Member]], name: str, done: list[str], unsent: dict[Key, NotSentError]
    ) -> dict[Key, Outcome]:
        """The outcomes that are clear; unsent: is given what was never sent. Raises ScopeError once all have come back."""
        put_off: list[NotSentError] = []
        jobs = (partial(self._tag_one, kind, member.contact_id, name, put_off) for kind, member in changes)
        found = list(self.api.ahead(jobs))
        done += [o.contact_id for o in found if isinstance(o, Outcome) and o.result == "done"]
        for outcome in found:
            if isinstance(outcome, ScopeError):
                raise outcome
        told = {(kind, m.contact_id): outcome for (kind, m), outcome in zip(changes, found, strict=True)}
        unsent |= {key: error for key, error in told.items() if isinstance(error, NotSentError)}
        return {key: outcome for key, outcome in told.items() if isinstance(outcome, Outcome)}

    def _tag_one(
        self, kind: Kind, contact_id: str, name: str, put_off: list[NotSentError]
    ) -> Outcome | ScopeError | NotSentError | None:
        """None when nobody knows what became of it. Once one had to wait for too long (put_off), no other is begun."""
        if put_off:
            return put_off[0]
        try:
            self.api.tag_quietly(contact_id, name, on=kind == "add")
        except AmbiguousWriteError:
            return None
        except NotSentError as e:
            put_off.append(e)
            return e
        except ScopeError as e:
            return e
        except PermanentApiError as e:
            if e.status == 404:
                return Outcome(contact_id, kind, "missing", "not in this audience")
            return Outcome(contact_id, kind, "refused", f"Mailchimp refused it ({e.status}, {e.code})")
        return Outcome(contact_id, kind, "done")

    def _addressed(self, kind: Kind, members: Iterable[Member]) -> tuple[dict[str, str], dict[Key, Outcome]]:
        """Contact id -> address, and what becomes of those who have none: Mailchimp changes tags by address only."""
        known = {m.contact_id: m.email or self._addresses.get(m.contact_id, "") for m in members}
        unknown = [i for i, address in known.items() if not address]
        rows = self.api.ahead(partial(self._member, i, "email_address") for i in unknown)
        lost: dict[Key, Outcome] = {}
        for contact_id, row in zip(unknown, rows, strict=True):
            known[contact_id] = str((row or {}).get("email_address") or "")
            if row is None:
                lost[kind, contact_id] = Outcome(contact_id, kind, "missing", NOT_HERE)
            elif not known[contact_id]:
                lost[kind, contact_id] = Outcome(contact_id, kind, "refused", NO_ADDRESS)
        return {i: a for i, a in known.items() if a}, lost

    def _member(self, member_id: str, fields: str) -> Record | None:
        return self.api.find(f"{self.api.list_path}/members/{quote(member_id, safe='')}", fields)

    def _settled(self, changes: Sequence[tuple[Kind, Member]], batch: Batch, said: dict[Key, str]) -> dict[Key, Outcome]:
        """What became of changes that the answer did not confirm, read back from each contact. said: Mailchimp's reasons."""
        rows = self.api.ahead(partial(self._member, m.contact_id, "id,status,tags_count,tags") for _, m in changes)
        return {
            (k, m.contact_id): self._outcome(k, m.contact_id, row, batch.object_id, said.get((k, m.contact_id), ""))
            for (k, m), row in zip(changes, rows, strict=True)
        }

    def _outcome(self, kind: Kind, contact_id: str, row: Record | None, tag_id: str, said: str) -> Outcome:
        if row is None:
            return Outcome(contact_id, kind, "missing", NOT_HERE)
        if self._has_tag(row, contact_id, tag_id) == (kind == "add"):  # where Mailchimp minds nothing, it was our change
            return Outcome(contact_id, kind, "already" if said else "done")
        word = "put this contact into" if kind == "add" else "take this contact out of"
        reason = f"Mailchimp would not {word} the tag (the contact is {row.get('status')})"
        return Outcome(contact_id, kind, "refused", f"{reason}: {said}" if said else reason)

    def _has_tag(self, row: Record, contact_id: str, tag_id: str) -> bool:
        tags = row.get("tags") or []
        if int(row.get("tags_count") or 0) > len(tags):
            tags = self.api.every(f"{self.api.list_path}/members/{quote(contact_id, safe='')}/tags", "tags", ("id",)).rows
        return any(str(t.get("id")) == tag_id for t in tags)

    def joined(self, tag_id: str, contact_ids: Sequence[str]) -> dict[str, datetime]:
        """Since when these contacts carry the tag, where Mailchimp tells."""
        jobs = (partial(self._since, i, tag_id) for i in contact_ids)
        found = dict(zip(contact_ids, self.api.ahead(jobs), strict=True))
        return {i: at for i, at in found.items() if at is not None}

    def _since(self, contact_id: str, tag_id: str) -> datetime | None:
        try:
            path = f"{self.api.list_path}/members/{quote(contact_id, safe='')}/tags"
            rows = self.api.every(path, "tags", ("id", "date_added")).rows
        except PermanentApiError as e:
            if e.status != 404:
                raise
            return None
        return next((moment(r.get("date_added")) for r in rows if str(r.get("id")) == tag_id), None)


def _changes(batch: Batch) -> list[tuple[Kind, Member]]:
    adds: list[tuple[Kind, Member]] = [("add", m) for m in batch.adds]
    return adds + [("remove", m) for m in batch.removes]


def _renamed(name: str, ours: str) -> str:
    return f"somebody renamed it to '{name}' in Mailchimp; it is kept in step under that name" if name != ours else ""


def _said(kind: Kind, addresses: dict[str, str], answer: Record) -> dict[Key, str]:
    """Mailchimp's own reason for each address it refused, without the address."""
    reasons: dict[str, str] = {}
    for error in answer.get("errors") or []:
        text = scrub(str(error.get("error") or ""))[:120]
        reasons.update((str(a).lower(), text) for a in error.get("email_addresses") or [])
    return {(kind, i): reasons[a.lower()] for i, a in addresses.items() if reasons.get(a.lower())}


def _confirmed(kind: Kind, addresses: dict[str, str], answer: Record) -> set[Key]:
    """The changes the answer vouches for: those it lists, or all when its numbers say so and nothing failed."""
    listed, total = ("members_added", "total_added") if kind == "add" else ("members_removed", "total_removed")
    rows = [r for r in answer.get(listed) or [] if isinstance(r, dict)]
    count = answer.get(total)
    if count == len(addresses) and not answer.get("error_count") and not answer.get("errors"):
        return {(kind, i) for i in addresses}
    if count is not None and count != len(rows):
        return set()
    named = {str(r.get("id")) for r in rows} | {str(r.get("email_address")).lower() for r in rows}
    refused = {str(a).lower() for e in answer.get("errors") or [] for a in e.get("email_addresses") or []}
    return {(kind, i) for i, a in addresses.items() if (i in named or a.lower() in named) and a.lower() not in refused}
