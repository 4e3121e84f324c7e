"""Mailchimp Marketing API 3.0. Docs: https://mailchimp.com/developer/marketing/api/

Members, campaigns and activity in; tags out. Nothing here writes a subscription status or creates a contact: the only
writes are in `mailchimp_api.Api`, which can make an empty tag and change who is in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from adapters import mailchimp_reports, mailchimp_shop
from adapters.base import Account, Adapter, Cursor, Finding, Page, Stream
from adapters.mailchimp_api import Api
from adapters.mailchimp_members import Members
from adapters.mailchimp_tags import Tags
from models.changes import Batch, Observed, Outcome, Target
from models.errors import ApiError, AuthError, ConfigError, ConnectorError, ScopeError

ACCOUNT_FIELDS = "account_id,account_name,account_timezone,role,pricing_plan_type"
AUDIENCE_FIELDS = "id,name,double_optin,marketing_permissions,stats.member_count,stats.total_contacts"
READ_ONLY_ROLES = frozenset({"viewer", "author"})

STREAMS = (
    Stream("members", "Members", needed=True),
    Stream("campaigns", "Campaigns"),
    Stream("activity", "Sends, opens, clicks and bounces"),
    Stream("unsubscribes", "Unsubscribes"),
)
SHOP_STREAMS = (
    Stream("shop_products", "Products of the connected shop"),
    Stream("shop_orders", "Orders of the connected shop"),
    Stream("shop_carts", "Carts of the connected shop"),
)


class MailchimpAdapter(Adapter):
    """One audience. settings: token, audience, base_url, workers, engagement_days, ecommerce (auto, always, never)."""

    name = "mailchimp"
    title = "Mailchimp"
    noun = "Mailchimp tag"
    batch_size = 500
    contacts_stream = "members"

    def __init__(self, settings: dict[str, Any], *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        super().__init__(settings, now_utc=now_utc, sleep=sleep)
        self.api = Api(settings, now_utc=now_utc, sleep=sleep)
        self.members = Members(self.api)
        self.tags = Tags(self.api)
        days = int(settings.get("engagement_days") or 45)
        self._walks = {
            "activity": mailchimp_reports.activity(self.api, days),
            "unsubscribes": mailchimp_reports.unsubscribes(self.api, days),
        }

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
        if found is not None:
            return found
        lists = self.api.every("lists", "lists", ("id", "name")).rows
        known = ", ".join(f"{r.get('id')} ({r.get('name')})" for r in lists[:10]) or "none"
        raise ConfigError(
            f"Mailchimp knows no audience '{self.api.audience}' in this account. It has: {known}. "
            "Correct mailchimp.audience in the configuration."
        )

    def check(self) -> list[Finding]:
        """Key, role, plan, audience, merge fields, shop data, version."""
        try:
            account = self.account()
        except ConnectorError as e:
            name = "credentials" if isinstance(e, AuthError) else "audience" if isinstance(e, ConfigError) else "connection"
            return [Finding(name, "error", str(e), _code(e))]
        details = account.details
        found = [
            Finding("credentials", "ok", f"account '{account.name}', role {details['role'] or 'unknown'}"),
            _role(details["role"]),
            Finding("plan", "ok", f"{details['plan'] or 'unknown'} (Mailchimp does not tell the plan's name)"),
            _audience_finding(details),
        ]
        for name, look in (("merge fields", self._merge_fields), ("shop data", self._shop_data)):
            try:
                found.append(Finding(name, "ok", look()))
            except ApiError as e:
                found.append(Finding(name, "warning", str(e), _code(e)))
        found.append(Finding("version", "ok", "Marketing API 3.0; Mailchimp has named no end date"))
        return found

    def _merge_fields(self) -> str:
        answer = self.api.get(f"{self.api.list_path}/merge-fields", "total_items,merge_field_limit", count=1)
        limit = answer.get("merge_field_limit")
        return f"{answer.get('total_items', 0)} used" + (f" of {limit}" if limit else "")

    def _shop_data(self) -> str:
        if self.settings.get("ecommerce") == "never":
            return "not read: orders come from the shop itself"
        number = len(mailchimp_shop.stores(self.api))
        return f"{number} connected store(s) in this audience" if number else "no shop is connected to this audience"

    def streams(self) -> tuple[Stream, ...]:
        """On `auto` the shop streams are there too; without a connected shop they are read as empty."""
        return STREAMS if self.settings.get("ecommerce") == "never" else STREAMS + SHOP_STREAMS

    def pages(self, stream: str, cursor: Cursor | None, *, full: bool = False, since: datetime | None = None) -> Iterator[Page]:
        """`since` limits campaigns and what was done with them; members are always read whole, for consent needs all."""
        if stream == "members":
            return self.members.pages(cursor, full=full)
        if stream == "campaigns":
            return mailchimp_reports.campaign_pages(self.api, since)
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


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, "") if isinstance(value, bool) else ""


def _code(error: ConnectorError) -> str:
    return "auth" if isinstance(error, AuthError) else "scope" if isinstance(error, ScopeError) else ""


def _role(role: str) -> Finding:
    if role.lower() in READ_ONLY_ROLES:
        text = f"the key belongs to a {role}, who may read but not change tags; pushing needs a manager's key"
        return Finding("role", "warning", text, "scope")
    return Finding("role", "ok", "may change tags")


def _audience_finding(details: dict[str, str]) -> Finding:
    text = f"'{details['audience_name']}' with {details['contacts'] or 'an unknown number of'} contacts"
    if details["double_optin"] == "yes":
        text += ", double opt-in"
    if details["marketing_permissions"] == "yes":
        text += ", with marketing permissions: who has not ticked e-mail gets no marketing tag"
    return Finding("audience", "ok", text)


adapter = MailchimpAdapter
