"""Mailchimp Marketing API 3.0. Docs: https://mailchimp.com/developer/marketing/api/

Members, campaigns and activity of every audience in; tags and merge fields of one audience out. Nothing here writes a
subscription status or creates a contact: all writes are in `mailchimp_api.Api`, which can make an empty tag, change who is in
one, make and set merge fields of ours, record an event, and begin a batch of reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from adapters import mailchimp_check, mailchimp_reports, mailchimp_shop
from adapters.base import Account, Adapter, Cursor, Finding, Page, Stream, Version
from adapters.mailchimp_api import Api
from adapters.mailchimp_batches import FROM_CAMPAIGNS, FROM_PAGES
from adapters.mailchimp_fields import Fields, tag_of
from adapters.mailchimp_members import Members
from adapters.mailchimp_tags import Tags
from models.changes import Batch, FieldKind, Member, Observed, Outcome, Target
from models.errors import AmbiguousWriteError, PermanentApiError, ScopeError

NOT_FOUND = 404
ACCOUNT_FIELDS = "account_id,account_name,account_timezone,role,pricing_plan_type"
AUDIENCE_FIELDS = "id,name,double_optin,marketing_permissions,stats.member_count,stats.total_contacts"

TAGS_A_SLOT = 2
"""Tags written at once for each request that may be under way: while some of them are written down, others have the slots."""

STREAMS = (
    Stream("members", "Members", needed=True),
    Stream("campaigns", "Campaigns"),
    Stream("activity", "Sends, opens, clicks and bounces"),
    Stream("unsubscribes", "Unsubscribes"),
    Stream("complaints", "Spam complaints"),
)
SHOP_STREAMS = (
    Stream("shop_products", "Products of the connected shop"),
    Stream("shop_orders", "Orders of the connected shop"),
    Stream("shop_carts", "Carts of the connected shop"),
)


class MailchimpAdapter(Adapter):
    """One account. settings: token, audience (the written one), base_url, workers (1 to 10), engagement_days, ecommerce
    (auto, always, never)."""

    name = "mailchimp"
    title = "Mailchimp"
    noun = "Mailchimp tag"
    batch_size = 500
    contacts_stream = "members"
    tells_who_was_in = False
    dates_members = True
    field_noun = "Mailchimp merge field"
    field_batch = 1000  # read by the page where that is cheaper, written one by one

    def __init__(self, settings: dict[str, Any], *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        super().__init__(settings, now_utc=now_utc, sleep=sleep)
        self.api = Api(settings, now_utc=now_utc, sleep=sleep)
        self.members = Members(self.api)
        self.tags = Tags(self.api)
        self.fields = Fields(self.api, str(settings.get("installation") or ""))
        self.concurrent_targets = self.api.workers * TAGS_A_SLOT
        days = int(settings.get("engagement_days") or 45)
        self._walks = {
            "activity": mailchimp_reports.activity(self.api, days, *_batch_limits(settings)),
            "unsubscribes": mailchimp_reports.unsubscribes(self.api, days),
        }

    @property
    def server_now(self) -> datetime:
        """Mailchimp's clock at its last answer, naive UTC."""
        return self.api.server_now()

    def account(self) -> Account:
        """The account and the audience; two cheap calls. An unknown audience is a mistake in the configuration."""
        me = self.api.get("/", ACCOUNT_FIELDS)
        audience = self._audience()
        stats = audience.get("stats") or {}
        return Account(
            id=f"{me.get('account_id')}/{self.api.audience}",
            name=str(me.get("account_name") or ""),
            timezone=str(me.get("account_timezone") or ""),
            details={
                "role": str(me.get("role") or ""),
                "plan": str(me.get("pricing_plan_type") or ""),
                "audience": self.api.audience,
                "audience_name": str(audience.get("name") or ""),
                "contacts": str(stats.get("total_contacts", "")),
                "double_optin": _word(audience.get("double_optin")),
                "marketing_permissions": _word(audience.get("marketing_permissions")),
            },
        )

    def _audience(self) -> dict[str, Any]:
        found = self.api.find(self.api.list_path, AUDIENCE_FIELDS, include_total_contacts="true")
        if found is None:
            self.api.audiences()  # says which there are
            raise PermanentApiError(
                f"Mailchimp lists the audience '{self.api.audience}' but does not show it. Run it again later.",
                platform=self.name,
            )
        return found

    @classmethod
    def versions(cls) -> tuple[Version, ...]:
        """One, without an end that Mailchimp has named; the contract moves under it."""
        return (Version("3.0"),)

    def check(self) -> list[Finding]:
        """Key, role, plan, audiences, merge fields, tags, reports, shop data, version."""
        return list(mailchimp_check.findings(self.api, self.settings, self.account))

    def streams(self) -> tuple[Stream, ...]:
        """On `auto` the shop streams are there too; without a connected shop they are read as empty."""
        return STREAMS if self.settings.get("ecommerce") == "never" else STREAMS + SHOP_STREAMS

    def pages(self, stream: str, cursor: Cursor | None, *, full: bool = False, since: datetime | None = None) -> Iterator[Page]:
        """`since` limits campaigns and what was done with them; members are always read whole, for consent needs all. Safe
        to call from several threads, each walk for itself."""
        if stream == "members":
            return self.members.pages(cursor, full=full)
        if stream == "campaigns":
            return mailchimp_reports.campaign_pages(self.api, since)
        if stream == "complaints":
            return mailchimp_reports.complaint_pages(self.api)
        if stream in self._walks:
            return self._walks[stream].pages(cursor, full=full, since=since)
        return mailchimp_shop.pages(self.api, stream, cursor)

    def reread(self, contact_ids: Sequence[str]) -> Iterator[Page]:
        return self.members.reread(contact_ids)

    def observe(self, targets: Sequence[Target], maybe: dict[str, frozenset[str]]) -> list[Observed]:
        """`maybe` is not needed: a tag tells all its members."""
        return self.tags.observe(targets)

    def ensure(self, target: Target) -> str:
        return self.tags.ensure(target)

    def apply(self, batch: Batch) -> list[Outcome]:
        return self.tags.apply(batch)

    def joined(self, object_id: str, contact_ids: Sequence[str], since: datetime) -> Mapping[str, datetime]:
        """One request per contact: only a contact's own tags are dated."""
        return self.tags.joined(object_id, contact_ids)

    def apply_quietly(self, batch: Batch) -> list[Outcome]:
        """Like `apply`, one request per contact, starting no automation: for the first fill of a tag that was there before,
        which a journey may wait for."""
        return self.tags.apply_quietly(batch)

    def field_name(self, label: str) -> str:
        return tag_of(label)

    def field_problem(self, name: str, kind: FieldKind) -> str:
        return self.fields.problem(name, kind)

    def fields_without_room(self, names: Sequence[str]) -> list[str]:
        return self.fields.without_room(names)

    def ensure_field(self, name: str, label: str, kind: FieldKind) -> None:
        self.fields.ensure(name, label, kind)

    def read_fields(self, names: Sequence[str], contact_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        return self.fields.read(names, contact_ids)

    def write_fields(self, rows: Sequence[tuple[str, Mapping[str, str]]]) -> list[Outcome]:
        return self.fields.write(rows)

    def tell(self, member: Member, event: str) -> Outcome:
        """A custom event, from which a journey may start (Essentials plans and higher): at most once."""
        try:
            self.api.record_event(member.contact_id, event)
        except AmbiguousWriteError:
            return Outcome(member.contact_id, "add", "unknown", "Mailchimp gave no clear answer; it is not repeated")
        except ScopeError:
            raise
        except PermanentApiError as e:
            missing = e.status == NOT_FOUND
            reason = "not in this audience" if missing else f"Mailchimp refused the event ({e.status}, {e.code})"
            return Outcome(member.contact_id, "add", "missing" if missing else "refused", reason)
        return Outcome(member.contact_id, "add", "done")

    def written(self, batch: Batch) -> Iterable[tuple[str, bool]]:
        """A request that was given up may still run over there for a while; only then is the tag's list read. Whoever was taken
        out, and is in it again by somebody else's hand, was taken out."""
        self.tags.let_it_settle(batch.object_id)
        shown = dict(super().written(batch))
        again = self.tags.put_in_again(batch.object_id, [m.contact_id for m in batch.removes if shown.get(m.contact_id)])
        return {**shown, **dict.fromkeys(again, False)}.items()


def _batch_limits(settings: dict[str, Any]) -> tuple[int, int]:
    """From how many campaigns, and pages of reports, on a backfill goes through batches."""
    return int(settings.get("batch_campaigns") or FROM_CAMPAIGNS), int(settings.get("batch_pages") or FROM_PAGES)


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, "") if isinstance(value, bool) else ""


adapter = MailchimpAdapter
