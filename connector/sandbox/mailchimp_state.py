"""What one simulated Mailchimp account holds: contacts, tags, fields, campaigns, journeys, and the switches of its moods."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from connector.sandbox.base import Clock
from connector.sandbox.mailchimp_wire import Call, Json, Problem, invalid, not_found, stamp

STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")
TAGS_SHOWN = 50


def digest(*parts: str, length: int = 32) -> str:
    """Hex digits made from text: an id as Mailchimp's look, the same in every run."""
    return hashlib.md5("|".join(parts).encode(), usedforsecurity=False).hexdigest()[:length]


def subscriber_hash(address: str) -> str:
    return digest(address.strip().lower())


@dataclass
class Switches:
    """Moods of the account: what the sheet leaves open takes the harsher answer unless said otherwise here.

    count_lag_s: seconds for which a tag's member_count shows the past; list_lag_s: the same for the list of its members.
    since_inclusive: whether since_last_changed includes its own second. since_shortens: whether email-activity leaves out
    recipients without activity since then. repeat_is_error: whether adding who is in the tag already, or removing who is
    not, comes back under errors. bulk_starts_journeys: whether the bulk tag call starts "tag added" journeys.
    proxy_fields: whether reports carry proxy_excluded_*; without them filter_bots takes nothing away [U]. can_write: False is
    a viewer's key. is_revoked: the key is refused. unstable_ties: contacts of one second come in another order each time [U].
    held_slots: abandoned requests that still hold one of the ten connections. batch_polls: polls for which a batch stays in each state.
    batch_split: results per file of a batch's archive. batch_no_url: finished batches show no address. batch_errors: operations
    whose id holds one of these texts answer 500 in a batch. latency_s: seconds every answer takes, its slot held meanwhile.
    break_next: answers for the next requests, in turn: "429" (no body), "403" (HTML of the network in front) or "502" (the
    same, sent after the request took effect).
    """

    count_lag_s: float = 0
    list_lag_s: float = 0
    since_inclusive: bool = False
    since_shortens: bool = False
    repeat_is_error: bool = False
    bulk_starts_journeys: bool = True
    proxy_fields: bool = True
    can_write: bool = True
    is_revoked: bool = False
    unstable_ties: bool = False
    held_slots: int = 0
    batch_polls: int = 1
    batch_split: int = 50
    batch_no_url: bool = False
    batch_errors: list[str] = field(default_factory=list)
    latency_s: float = 0
    break_next: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Member:
    """wire: the contact as the API shows it, kept current. compliance: it left by itself and cannot be subscribed again."""

    uid: int
    customer_id: str
    wire: Json
    tags: dict[int, str] = field(default_factory=dict)
    unsubscribed_at: str = ""
    compliance: bool = False


@dataclass
class Tag:
    """A static segment is a tag; a saved one has conditions. history: (when, who was in it until then)."""

    tag_id: int
    name: str
    created_at: str
    updated_at: str
    members: set[int] = field(default_factory=set)
    options: Json | None = None
    history: list[tuple[datetime, frozenset[int]]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return "static" if self.options is None else "saved"


@dataclass
class Journey:
    """An automation that starts when a tag is added. mails: how many mails one entry sends to a subscribed contact."""

    journey_id: int
    tag_id: int
    name: str
    reentry: bool
    mails: int
    is_active: bool = True
    entries: int = 0
    mails_sent: int = 0
    entered: set[int] = field(default_factory=set)

    def shown(self) -> Json:
        names = ("journey_id", "tag_id", "name", "reentry", "mails", "is_active", "entries", "mails_sent")
        return {name: getattr(self, name) for name in names}


Event = tuple[str, str, str, str, bool]
"""time, action (open, click, bounce), type of bounce, url, whether a machine did it."""


@dataclass
class Campaign:
    """counted: the numbers of the report, kept until events are added."""

    campaign_id: str
    web_id: int
    title: str
    subject: str
    send_time: str
    recipients: list[int] = field(default_factory=list)
    events: dict[int, list[Event]] = field(default_factory=dict)
    unsubscribes: list[tuple[int, str, str]] = field(default_factory=list)
    complaints: list[tuple[int, str]] = field(default_factory=list)
    counted: Any = None


@dataclass
class Store:
    """Mailchimp's own copy of a shop: what a plugin has sent there."""

    info: Json
    customers: list[Json] = field(default_factory=list)
    products: list[Json] = field(default_factory=list)
    orders: list[Json] = field(default_factory=list)
    carts: list[Json] = field(default_factory=list)


class Account:
    """One audience and what belongs to it. Every change goes through its methods, so that indexes and the log stay right.

    audiences: all of the account by id, this one among them. number: how many there were before it.
    """

    def __init__(self, clock: Clock, list_id: str, base_url: str, first: Account | None = None) -> None:
        self.clock, self.list_id, self.base_url = clock, list_id, base_url
        self.audiences: dict[str, Account] = first.audiences if first else {}
        self.number = len(self.audiences)
        self.audiences[list_id] = self
        self.switches: Switches = first.switches if first else Switches()
        self.name, self.timezone, self.currency = "Sandbox", "UTC", "USD"
        self.created_at = stamp(clock())
        self.members: dict[int, Member] = {}
        self.by_hash: dict[str, int] = {}
        self.by_contact: dict[str, int] = {}
        self.by_customer: dict[str, int] = {}
        self.forgotten: set[str] = set()
        self.tags: dict[int, Tag] = {}
        self.merge_fields: list[Json] = []
        self.merge_field_limit = 30
        self.categories: list[Json] = []
        self.interests: dict[str, list[Json]] = {}
        self.permissions: dict[str, str] = {}
        self.campaigns: dict[str, Campaign] = {}
        self.store: Store | None = None
        self.journeys: list[Journey] = []
        self.effects: list[Json] = first.effects if first else []
        self.asked = 0
        self._next_uid, self._next_tag, self._next_merge = 500001 + 10_000_000 * self.number, 7001 + 10_000 * self.number, 1
        self._orders: dict[str, tuple[list[str], list[Member]]] = {}
        self._counts: dict[tuple[int, frozenset[str]], int] = {}

    def log(self, kind: str, name: str, contact: str, result: str, body: Any = None) -> None:
        """contact: the md5 of the address, never the address."""
        entry = {"at": stamp(self.clock()), "kind": kind, "object": name, "contact": contact, "result": result}
        self.effects.append(entry if body is None else {**entry, "body": body})

    # Contacts

    def find(self, reference: str) -> Member:
        """By md5 of the address, by the address itself, or by contact_id. Problem 404 when there is none."""
        uid = self.by_hash.get(reference.lower()) or self.by_contact.get(reference)
        if uid is None and "@" in reference:
            uid = self.by_hash.get(subscriber_hash(reference))
        if uid is None:
            raise not_found()
        return self.members[uid]

    def add(self, wire: Json, customer_id: str = "") -> Member:
        """A new contact; its address must be new. Fills every id and every merge field."""
        uid = self._next_uid
        self._next_uid += 1
        address = wire["email_address"]
        seed = f"{self.list_id if self.number else ''}{customer_id or uid}"
        wire |= {
            "id": subscriber_hash(address),
            "unique_email_id": digest("eid", seed, length=10),
            "contact_id": digest("contact", seed),
            "web_id": uid,
            "list_id": self.list_id,
            "tags": [],
            "tags_count": 0,
        }
        member = Member(uid, customer_id, wire)
        self.members[uid] = member
        self.by_hash[wire["id"]] = uid
        self.by_contact[wire["contact_id"]] = uid
        if customer_id:
            self.by_customer[customer_id] = uid
        self.stale()
        return member

    def rename(self, member: Member, address: str) -> None:
        """Another address: the id follows it, contact_id stays."""
        del self.by_hash[member.wire["id"]]
        member.wire["email_address"], member.wire["id"] = address, subscriber_hash(address)
        self.by_hash[member.wire["id"]] = member.uid

    def set_status(self, member: Member, status: str, *, reason: str = "", compliance: bool = False) -> None:
        before = member.wire["status"]
        member.wire["status"] = status
        member.compliance = compliance
        member.wire.pop("unsubscribe_reason", None)
        member.unsubscribed_at = ""
        if status == "unsubscribed":
            member.wire["unsubscribe_reason"] = reason or "N/A (Unsubscribed by admin)"
            member.unsubscribed_at = stamp(self.clock())
        elif status == "subscribed" and before != status:
            member.wire["timestamp_opt"] = stamp(self.clock())
        self.stale()

    def erase(self, member: Member) -> None:
        """Deleted for good: answers 404 like one that never was, and the address cannot be imported again."""
        del self.members[member.uid], self.by_hash[member.wire["id"]], self.by_contact[member.wire["contact_id"]]
        self.by_customer = {name: uid for name, uid in self.by_customer.items() if uid != member.uid}
        self.forgotten.add(member.wire["id"])
        for tag_id in member.tags:
            self.tags[tag_id].members.discard(member.uid)
        self.stale()

    def touch(self, member: Member) -> None:
        member.wire["last_changed"] = stamp(self.clock())
        self._orders.clear()

    def stale(self) -> None:
        self._orders.clear()
        self._counts.clear()

    def ordered(self, name: str, since: str | None = None, before: str | None = None) -> list[Member]:
        """Contacts by a time field, ties by age of the contact; since is exclusive unless the switch says otherwise."""
        if name not in self._orders:
            members = sorted(self.members.values(), key=lambda member: (member.wire[name], member.uid))
            self._orders[name] = ([member.wire[name] for member in members], members)
        keys, members = self._orders[name]
        low, high = 0, len(members)
        if since is not None:
            low = bisect_left(keys, since) if self.switches.since_inclusive else bisect_right(keys, since)
        if before is not None:
            high = bisect_left(keys, before)
        return members[low:high]

    def count(self, status: str) -> int:
        return sum(1 for member in self.members.values() if member.wire["status"] == status)

    # Merge fields

    def add_merge_field(self, tag: str, name: str, kind: str, **more: Any) -> Json:
        if len(self.merge_fields) >= self.merge_field_limit:
            raise Problem(
                400, "Merge Max Limit Exceeded", "You've reached the maximum number of merge fields for this audience."
            )
        merge: Json = {
            "merge_id": self._next_merge,
            "tag": tag,
            "name": name,
            "type": kind,
            "required": False,
            "default_value": "",
            "public": False,
            "display_order": len(self.merge_fields) + 2,
            "options": {"size": 25} if kind == "text" else {},
            "help_text": "",
            "list_id": self.list_id,
            **more,
        }
        self._next_merge += 1
        self.merge_fields.append(merge)
        for member in self.members.values():
            member.wire["merge_fields"].setdefault(tag, "")
        return merge

    def merge_field(self, tag: str) -> Json | None:
        return next((merge for merge in self.merge_fields if merge["tag"] == tag.upper()), None)

    # Tags

    def add_tag(self, name: str, options: Json | None = None) -> Tag:
        """Names are unique without regard to case [U]."""
        if not name.strip():
            raise invalid("name", "This value should not be blank.")
        if self.tag_named(name):
            raise Problem(400, "Invalid Resource", "Sorry, that tag already exists.")
        now = stamp(self.clock())
        tag = Tag(self._next_tag, name.strip(), now, now, options=options)
        self._next_tag += 1
        self.tags[tag.tag_id] = tag
        return tag

    def tag_named(self, name: str) -> Tag | None:
        return next((tag for tag in self.tags.values() if tag.name.lower() == name.strip().lower()), None)

    def set_tag(self, member: Member, tag: Tag, on: bool, *, quiet: bool) -> bool:
        """Whether anything changed. A change moves last_changed; an addition starts journeys unless quiet."""
        if (member.uid in tag.members) == on:
            return False
        self._remember(tag)
        now = stamp(self.clock())
        if on:
            tag.members.add(member.uid)
            member.tags[tag.tag_id] = now
        else:
            tag.members.discard(member.uid)
            del member.tags[tag.tag_id]
        tag.updated_at = now
        self.show_tags(member)
        self.touch(member)
        self._counts.clear()
        if on and not quiet:
            self._start_journeys(member, tag)
        return True

    def drop_tag(self, tag: Tag) -> None:
        """The tag goes, its contacts stay; journeys that waited for it never start again."""
        for uid in tag.members:
            member = self.members[uid]
            del member.tags[tag.tag_id]
            self.show_tags(member)
            self.touch(member)
        del self.tags[tag.tag_id]
        for journey in self.journeys:
            journey.is_active = journey.is_active and journey.tag_id != tag.tag_id
        self.stale()

    def show_tags(self, member: Member) -> None:
        """At most 50 are shown on the contact; the rest is at .../tags."""
        shown = list(member.tags)[:TAGS_SHOWN]
        member.wire["tags"] = [{"id": tag_id, "name": self.tags[tag_id].name} for tag_id in shown]
        member.wire["tags_count"] = len(member.tags)

    def members_of(self, tag: Tag, statuses: Iterable[str], lag_s: float = 0) -> list[int]:
        """Ids in the tag with one of these statuses, oldest contact first; lag_s shows them as they were so long ago."""
        wanted = frozenset(statuses)
        members = self.members
        return sorted(uid for uid in self._visible(tag, lag_s) if uid in members and members[uid].wire["status"] in wanted)

    def count_of(self, tag: Tag, statuses: frozenset[str]) -> int:
        if self.switches.count_lag_s or tag.options:
            return len(self.members_of(tag, statuses, self.switches.count_lag_s))
        key = (tag.tag_id, statuses)
        if key not in self._counts:
            self._counts[key] = sum(1 for uid in tag.members if self.members[uid].wire["status"] in statuses)
        return self._counts[key]

    def _visible(self, tag: Tag, lag_s: float) -> Iterable[int]:
        if tag.options:
            return self._matching(tag.options)
        if lag_s:
            seen_at = self.clock() - timedelta(seconds=lag_s)
            return next((before for when, before in tag.history if when > seen_at), tag.members)
        return tag.members

    def _matching(self, options: Json) -> set[int]:
        """A saved segment over tags, looked at when asked."""
        sets = []
        for condition in options.get("conditions", []):
            inside = self.tags[condition["value"]].members if condition["value"] in self.tags else set()
            sets.append(inside if condition["op"] == "static_is" else set(self.members) - inside)
        if not sets:
            return set()
        return set.union(*sets) if options.get("match") == "any" else set.intersection(*sets)

    def _remember(self, tag: Tag) -> None:
        if not (self.switches.count_lag_s or self.switches.list_lag_s):
            return
        now = self.clock()
        if not tag.history or tag.history[-1][0] != now:
            tag.history.append((now, frozenset(tag.members)))

    # Journeys

    def add_journey(self, tag_id: int, *, name: str = "", reentry: bool = False, mails: int = 1) -> Journey:
        """A journey can only wait for a tag that exists: KeyError otherwise."""
        tag = self.tags[tag_id]
        journey = Journey(len(self.journeys) + 1, tag_id, name or f"When tagged {tag.name}", reentry, mails)
        self.journeys.append(journey)
        return journey

    def _start_journeys(self, member: Member, tag: Tag) -> None:
        for journey in self.journeys:
            if journey.tag_id != tag.tag_id or not journey.is_active:
                continue
            if member.uid in journey.entered and not journey.reentry:
                continue
            journey.entered.add(member.uid)
            journey.entries += 1
            # Journeys mail subscribed contacts only; others pass through without a mail.
            journey.mails_sent += journey.mails if member.wire["status"] == "subscribed" else 0


def need_list(account: Account, call: Call) -> None:
    """Problem 404 when the path names an audience that is not this account's, or no longer."""
    if call.args["list_id"] != account.list_id or account.list_id not in account.audiences:
        raise not_found()
