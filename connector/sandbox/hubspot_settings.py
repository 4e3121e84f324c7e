"""What a test or a sandbox owner can switch in the simulated HubSpot account."""

from __future__ import annotations

from dataclasses import dataclass, field

OBJECT_SCOPES = {
    "contacts": ("crm.objects.contacts.read",),
    "companies": ("crm.objects.companies.read",),
    "deals": ("crm.objects.deals.read",),
    "orders": ("crm.objects.orders.read",),
    "line_items": ("crm.objects.line_items.read", "e-commerce"),
    "products": ("crm.objects.products.read", "e-commerce"),
    "carts": ("crm.objects.carts.read",),
    "tickets": ("tickets", "crm.objects.tickets.read"),
}
ALL_SCOPES = frozenset(
    {
        "oauth",
        "automation",
        "content",
        "tickets",
        "e-commerce",
        "crm.lists.read",
        "crm.lists.write",
        "crm.objects.contacts.read",
        "crm.objects.contacts.write",
        "crm.objects.companies.read",
        "crm.objects.companies.write",
        "crm.objects.deals.read",
        "crm.objects.deals.write",
        "crm.objects.orders.read",
        "crm.objects.orders.write",
        "crm.objects.line_items.read",
        "crm.objects.products.read",
        "crm.objects.carts.read",
        "crm.objects.owners.read",
        "crm.schemas.contacts.read",
        "crm.schemas.contacts.write",
        "crm.schemas.deals.read",
        "crm.pipelines.orders.read",
        "communication_preferences.read",
        "communication_preferences.read_write",
    }
)
TIERS = {
    "free": (100, 250_000),
    "starter": (100, 250_000),
    "professional": (190, 625_000),
    "enterprise": (190, 1_000_000),
    "increased": (250, 2_000_000),
}
"""Requests in ten seconds for one app, and in one day for the whole account."""


@dataclass
class WriteRule:
    """A rule an admin set: where `property` is `value`, every one of `requires` must be filled. Ignored by 2026-03."""

    property: str
    value: str
    requires: tuple[str, ...]


@dataclass
class Settings:
    """The account and its switches. What stands here as unsure in the sheet can be turned either way."""

    tokens: set[str] = field(default_factory=lambda: {"pat-eu1-sandbox"})
    expired_tokens: set[str] = field(default_factory=set)
    scopes: set[str] = field(default_factory=lambda: set(ALL_SCOPES))
    tier: str = "starter"
    portal_id: int = 146_000_001
    moving_for_s: int | None = None
    """The account moves between data centres: every call answers 477 with this many seconds in Retry-After."""

    index_lag_s: float = 0.0
    """How long a change stays invisible to search."""
    search_body_limit: int = 3000
    """Characters of a whole search body; disputed, some say only `query` counts."""
    omit_unset: bool = False
    """Properties never set are missing instead of null."""
    rows_fail_alone: bool = False
    """A bad value in batch/update answers 207 for its row instead of 400 for the whole batch."""
    no_association_is_an_error: bool = False
    """Records without associations are reported in `errors` of a 207 instead of being absent."""
    association_page: int = 500
    association_failures: int = 0
    """So many answers about associations are 207 and leave out every other record, with an error that names none."""
    absent_unnamed: bool = False
    """A batch read's 207 says in other words, and without their ids, that records are not there."""
    url_limit: int = 16 * 1024
    """Characters of an address beyond which the answer is 414; somewhere between 8 and 32 KB in the real account."""
    email_events_ended: bool = False
    """Version 1 of the e-mail events is switched off, as announced for September 2027."""
    lock_after: int | None = None
    """So many writes to one record within two seconds, and the next answers 423."""
    keep_primary_id: bool = False
    """The beta in which a merge keeps the primary record's id."""
    slow_above: int | None = None
    """Reading more records than this at once takes too long: 504."""
    write_rules: list[WriteRule] = field(default_factory=list)
    required_on_create: tuple[str, ...] = ()
    """Properties an admin wants filled on new contacts. Ignored by 2026-03."""
    validated: dict[str, str] = field(default_factory=dict)
    """Property of contacts -> the kind of rule an admin set on its values, as listed under property-validations."""

    static_list_limit: int = 1000
    list_size_lag_s: float = 60.0
    """How long `size` of a list lags behind its members."""
    deleted_names_held: bool = False
    membership_call_limit: int = 100_000
    custom_property_limit: int = 1000
    properties_in_use: set[str] = field(default_factory=set)
    """Names of properties a workflow or a list uses: they cannot be deleted."""

    emails_hidden_with_stats: set[str] = field(default_factory=set)
    """Ids of marketing e-mails that the listing with includeStats=true silently leaves out."""
