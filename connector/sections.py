"""What each section of the configuration may hold, its limits and defaults. `connector/config.py` reads the file."""

from __future__ import annotations

import difflib
import re
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

import adapters
from adapters import PLATFORMS
from models.segments import Channel

ORDER_SOURCES = ("shopify", "hubspot_orders", "mailchimp", "hubspot_deals", "import")
SECRET_KEYS = ("token", "client_id", "client_secret")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shop(Section):
    name: str = "My shop"
    timezone: str = "UTC"
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    country: str = Field(default="", pattern=r"^([A-Z]{2})?$")
    orders_from: tuple[str, ...] = ORDER_SOURCES  # a platform of another package goes behind ours, by its name

    @field_validator("orders_from")
    @classmethod
    def _known_sources(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known(value, ORDER_SOURCES, "source of orders")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            near = difflib.get_close_matches(value, sorted(available_timezones()), n=1)
            raise ValueError(f"'{value}' is no time zone." + (f" Did you mean '{near[0]}'?" if near else ""))
        ZoneInfo(value)
        return value


class Platform(Section):
    secret_names: ClassVar[tuple[str, ...]] = SECRET_KEYS

    base_url: str = ""
    push: bool = False
    api_version: str = ""
    timeout_s: float = Field(default=0, ge=0, le=86_400)
    connect_timeout_s: float = Field(default=10, gt=0, le=3_600)
    tries: int = Field(default=8, ge=1, le=20)
    max_wait_s: float = Field(default=900, ge=0, le=604_800)
    workers: int = Field(default=4, ge=1, le=10)
    budget_pct: float = Field(default=95, gt=0, le=100)
    # changes in one write; 0 or more than the platform takes: as many as it takes
    batch_size: int = Field(default=0, ge=0, le=1_000_000)
    attributes: dict[str, str] = {}

    @field_validator("base_url")
    @classmethod
    def _encrypted(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and parts.scheme not in ("https", "http"):
            raise ValueError("base_url must begin with https://")
        if parts.scheme == "http" and not is_loopback(value):
            raise ValueError("base_url with http:// would send the token unencrypted; use https://")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("base_url must hold a host and a path only")
        return value.rstrip("/")


class Shopify(Platform):
    store: str
    token: str = ""
    client_id: str = ""
    client_secret: str = ""
    bulk: Literal["auto", "always", "never"] = "auto"
    page_size: int = Field(default=0, ge=0, le=250)
    bulk_slots: int = Field(default=4, ge=1, le=5)
    segment_queries: bool = False

    @field_validator("store")
    @classmethod
    def _own_host(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]*\.myshopify\.com", value):
            raise ValueError("store must look like my-shop.myshopify.com (the admin's address, not the shop's own domain)")
        return value

    @model_validator(mode="after")
    def _some_way_in(self) -> Shopify:
        if not self.token and not (self.client_id and self.client_secret):
            raise ValueError("give either token, or client_id and client_secret")
        return self


class Mailchimp(Platform):
    token: str
    audience: str
    workers: int = Field(default=4, ge=1, le=10)
    page_size: int = Field(default=0, ge=0, le=1000)  # 0: the largest page Mailchimp gives
    engagement_days: int = Field(default=45, ge=1, le=36_500)
    ecommerce: Literal["auto", "always", "never"] = "auto"
    max_wait_s: float = Field(default=1300, ge=0)  # a block by the network in front is waited out 1, 5 and 15 minutes


class Hubspot(Platform):
    token: str
    hubspot_property: bool = False
    legal_basis: bool = False
    subscription_type: str = ""
    email_events: bool = False
    list_folder: str = ""  # new lists are made in the folder of this name
    # how many static lists the subscription allows, which HubSpot does not say; 0: not known
    static_lists: int = Field(default=0, ge=0, le=1_000_000)
    # so much before the last pull is looked at again: HubSpot's search lags
    overlap_s: float = Field(default=3600, ge=0, le=604_800)


class Pull(Section):
    # `sync` reads each stream whole so often, to find what is gone; 0: never
    full_read_days: int = Field(default=7, ge=0, le=36_500)


class Push(Section):
    prefix: str = "Rollcall: "
    max_starts_per_day: int = Field(default=100, ge=0, le=1_000_000_000)
    max_journeys_per_person: int = Field(default=2, ge=0, le=1_000_000)
    journeys_days: int = Field(default=30, ge=1, le=36_500)
    untagged_by_hand: Literal["restore", "ignore", "pin"] = "restore"


class Exclude(Section):
    """People who are never in any marketing segment's tag: staff, wholesale, a recent complaint."""

    where: str


class OrderedSet(Section):
    """Segments of which a person carries only the first that fits."""

    name: str
    segments: tuple[str, ...] = Field(min_length=2)


class FieldSection(Section):
    """A profile column that is written to contacts as a field of ours."""

    column: str
    push: tuple[str, ...] = Field(min_length=1)
    name: str = Field(default="", pattern=r"^([a-z][a-z0-9_]{0,40})?$")

    @field_validator("push")
    @classmethod
    def _known_platforms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known(value, PLATFORMS, "platform")


class Trigger(Section):
    """Something told to another program when somebody enters or leaves a segment."""

    name: str = Field(min_length=1, max_length=80)
    segment: str
    on: Literal["enter", "leave"] = "enter"
    url: str = ""
    secret: str = ""
    fields: tuple[str, ...] = ()  # the profile columns, email, first_name and last_name that are sent along, and nothing else
    mailchimp_event: str = Field(default="", pattern=r"^([A-Za-z0-9_. -]{2,30})?$")
    cooldown_days: int = Field(default=0, ge=0)
    max_per_day: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _one_way(self) -> Trigger:
        if bool(self.url) == bool(self.mailchimp_event):
            raise ValueError('give either url = "https://..." or mailchimp_event = "..."')
        if self.url and urlsplit(self.url).scheme != "https" and not is_loopback(self.url):
            raise ValueError("url must begin with https://")
        if self.url and not self.secret:
            raise ValueError(
                'a webhook needs secret = "env:NAME" (keyring:NAME, file:PATH), so that the receiver knows it is you'
            )
        if self.mailchimp_event and self.fields:
            raise ValueError("fields are sent to a url only")
        return self


class Guards(Section):
    max_leave_pct: float = Field(default=20, ge=0, le=100)
    max_enter_pct: float = Field(default=50, ge=0, le=1_000_000)
    max_change_count: int = Field(default=1000, ge=0, le=1_000_000_000)
    max_shrink_pct: float = Field(default=10, ge=0, le=100)
    min_members: int = Field(default=50, ge=0, le=1_000_000_000)
    max_age_hours: float = Field(default=48, gt=0, le=876_000)


class Branch(Section):
    name: str = Field(min_length=1)
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class Identity(Section):
    keep_apart: tuple[tuple[str, str], ...] = ()  # pairs of "platform:contact id" or addresses that are never one person
    plus_addresses: bool = False  # ann+news@gmail.com is ann@gmail.com, where the provider is known to do so
    dots: bool = False  # a.nn@gmail.com is ann@gmail.com, Gmail only


class Privacy(Section):
    no_profiling: tuple[str, ...] = ()
    sensitive_products: tuple[str, ...] = ()  # parts of names, categories, vendors that reach no tags, taste or recommendations
    keep_raw_days: int = Field(default=30, ge=0, le=36_500)
    keep_events_months: int = Field(default=36, ge=1, le=1_200)
    keep_scores_daily_days: int = Field(default=35, ge=1, le=36_500)
    keep_runs_days: int = Field(default=365, ge=1, le=36_500)
    later_yes_wins: bool = False

    @field_validator("no_profiling")
    @classmethod
    def _tags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for rule in value:
            source = rule.partition(":")[0]
            if not re.fullmatch(r"[a-z0-9_]+:(tag|group):\S.*", rule):
                raise ValueError(f"'{rule}' must look like shopify:tag:NAME (or mailchimp:group:NAME)")
            _known((source,), (*PLATFORMS, "import"), "platform")
        return value


class Scores(Section):
    horizon_days: int = Field(default=90, ge=7, le=730)


class StoreSection(Section):
    path: str = "rollcall.duckdb"
    memory_limit: str = Field(default="1500MB", pattern=r"^\d+(MB|GB)$")
    threads: int = Field(default=0, ge=0, le=512)
    # what a pull reads at least before it is stored; a crash loses less than this
    commit_records: int = Field(default=2000, ge=1, le=1_000_000)


class SegmentSection(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = ""
    where: str = ""
    use: str = ""
    tag: str = ""
    push: tuple[str, ...] = ()
    starts: Literal["nothing", "journey"] = "nothing"
    purpose: Literal["marketing", "service"] = "marketing"
    channel: Channel = "email"
    adopt: bool = False
    was: str = ""
    stay_days: int = Field(default=0, ge=0, le=36_500)
    stays_while: str = ""  # who carries the tag keeps it while this holds, also where the rule no longer does
    retire: bool | tuple[str, ...] = False  # take the tag off everybody we gave it to

    @field_validator("push")
    @classmethod
    def _known_platforms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known(value, PLATFORMS, "platform")

    @field_validator("retire")
    @classmethod
    def _known_retired(cls, value: bool | tuple[str, ...]) -> bool | tuple[str, ...]:
        return value if isinstance(value, bool) else _known(value, PLATFORMS, "platform")

    @property
    def parameters(self) -> dict[str, Any]:
        """The library segment's own parameters (`days = 120`)."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _rule_or_library(self) -> SegmentSection:
        if self.retire and self.name and not self.where and not self.use:
            return self
        if bool(self.where) == bool(self.use):
            raise ValueError('give either where = "..." or use = "..." (a library segment)')
        if self.where and not self.name:
            raise ValueError('a segment with where = "..." needs a name')
        if self.where and self.parameters:
            raise ValueError(f"unknown key '{next(iter(self.parameters))}'")
        return self


def is_loopback(url: str) -> bool:
    host = (urlsplit(url).hostname or "").lower()
    return host in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def _known(names: tuple[str, ...], ours: tuple[str, ...], what: str) -> tuple[str, ...]:
    """`names`, where each is one of `ours` or an installed platform; ValueError with the nearest one otherwise."""
    for name in names:
        if name not in ours and name not in (known := (*ours, *(p for p in adapters.installed() if p not in PLATFORMS))):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"Did you mean '{near[0]}'?" if near else f"Known here: {', '.join(known)}."
            raise ValueError(f"there is no {what} '{name}'. {hint}")
    return names
