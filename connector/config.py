"""The configuration: one TOML file, validated, with errors that name the place and the nearest valid name."""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from connector import secrets
from models.errors import ConfigError

PLATFORMS = ("shopify", "mailchimp", "hubspot")
ORDER_SOURCES = ("shopify", "hubspot_orders", "mailchimp", "hubspot_deals", "import")
NAME_LIMIT = 50
SECRET_KEYS = ("token", "client_id", "client_secret")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shop(Section):
    name: str = "My shop"
    timezone: str = "UTC"
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    country: str = Field(default="", pattern=r"^([A-Z]{2})?$")
    orders_from: tuple[Literal["shopify", "hubspot_orders", "mailchimp", "hubspot_deals", "import"], ...] = ORDER_SOURCES  # type: ignore[assignment]  # pydantic checks the default

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            near = difflib.get_close_matches(value, sorted(available_timezones()), n=1)
            raise ValueError(f"'{value}' is no time zone." + (f" Did you mean '{near[0]}'?" if near else ""))
        ZoneInfo(value)
        return value


class Platform(Section):
    base_url: str = ""
    push: bool = False
    api_version: str = ""
    timeout_s: float = Field(default=0, ge=0)
    connect_timeout_s: float = Field(default=10, gt=0)
    tries: int = Field(default=8, ge=1, le=20)
    max_wait_s: float = Field(default=900, ge=0)
    workers: int = Field(default=4, ge=1, le=10)
    budget_pct: float = Field(default=95, gt=0, le=100)
    batch_size: int = Field(default=0, ge=0)  # changes in one write; 0 or more than the platform takes: as many as it takes
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
    engagement_days: int = Field(default=45, ge=1)
    ecommerce: Literal["auto", "always", "never"] = "auto"


class Hubspot(Platform):
    token: str
    hubspot_property: bool = False
    legal_basis: bool = False
    subscription_type: str = ""
    email_events: bool = False


class Pull(Section):
    full_read_days: int = Field(default=7, ge=0)  # `sync` reads each stream whole so often, to find what is gone; 0: never


class Push(Section):
    prefix: str = "Rollcall: "
    max_starts_per_day: int = Field(default=100, ge=0)
    max_journeys_per_person: int = Field(default=2, ge=0)
    journeys_days: int = Field(default=30, ge=1)
    untagged_by_hand: Literal["restore", "ignore", "pin"] = "restore"


class Exclude(Section):
    """People who are never in any marketing segment's tag: staff, wholesale, a recent complaint."""

    where: str


class OrderedSet(Section):
    """Segments of which a person carries only the first that fits."""

    name: str
    segments: tuple[str, ...] = Field(min_length=2)


class Guards(Section):
    max_leave_pct: float = Field(default=20, ge=0, le=100)
    max_enter_pct: float = Field(default=50, ge=0)
    max_change_count: int = Field(default=1000, ge=0)
    max_shrink_pct: float = Field(default=10, ge=0, le=100)
    min_members: int = Field(default=50, ge=0)
    max_age_hours: float = Field(default=48, gt=0)


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
    sensitive_products: tuple[str, ...] = ()  # parts of names or categories that never reach tags, taste or recommendations
    keep_raw_days: int = Field(default=30, ge=0)
    keep_events_months: int = Field(default=36, ge=1)
    keep_scores_daily_days: int = Field(default=35, ge=1)
    keep_runs_days: int = Field(default=365, ge=1)
    later_yes_wins: bool = False

    @field_validator("no_profiling")
    @classmethod
    def _tags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for rule in value:
            if not re.fullmatch(rf"({'|'.join(PLATFORMS)}|import):(tag|group):\S.*", rule):
                raise ValueError(f"'{rule}' must look like shopify:tag:NAME (or mailchimp:group:NAME)")
        return value


class Scores(Section):
    horizon_days: int = Field(default=90, ge=7, le=730)


class StoreSection(Section):
    path: str = "rollcall.duckdb"
    memory_limit: str = Field(default="1500MB", pattern=r"^\d+(MB|GB)$")
    threads: int = Field(default=0, ge=0)
    commit_records: int = Field(
        default=5000, ge=1
    )  # what a pull reads at least before it is stored; a crash loses less than this


class SegmentSection(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = ""
    where: str = ""
    use: str = ""
    tag: str = ""
    push: tuple[Literal["shopify", "mailchimp", "hubspot"], ...] = ()
    starts: Literal["nothing", "journey"] = "nothing"
    purpose: Literal["marketing", "service"] = "marketing"
    channel: Literal["email", "sms", "ads"] = "email"
    adopt: bool = False
    was: str = ""
    stay_days: int = Field(default=0, ge=0)

    @property
    def parameters(self) -> dict[str, Any]:
        """The library segment's own parameters (`days = 120`)."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _rule_or_library(self) -> SegmentSection:
        if bool(self.where) == bool(self.use):
            raise ValueError('give either where = "..." or use = "..." (a library segment)')
        if self.where and not self.name:
            raise ValueError('a segment with where = "..." needs a name')
        if self.where and self.parameters:
            raise ValueError(f"unknown key '{next(iter(self.parameters))}'")
        return self


class Config(Section):
    shop: Shop
    shopify: Shopify | None = None
    mailchimp: Mailchimp | None = None
    hubspot: Hubspot | None = None
    pull: Pull = Pull()
    push: Push = Push()
    guards: Guards = Guards()
    privacy: Privacy = Privacy()
    scores: Scores = Scores()
    store: StoreSection = StoreSection()
    identity: Identity = Identity()
    branch: tuple[Branch, ...] = ()
    exclude: Exclude | None = None
    segment: tuple[SegmentSection, ...] = ()
    ordered: tuple[OrderedSet, ...] = ()

    path: Path = Field(default=Path("rollcall.toml"), exclude=True)

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def store_path(self) -> Path:
        return self.folder / self.store.path

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platforms this configuration uses, in the order they are pulled."""
        return tuple(p for p in PLATFORMS if getattr(self, p) is not None)

    def platform(self, name: str) -> Platform:
        section = getattr(self, name, None)
        if section is None:
            raise ConfigError(f"{self.path} has no section [{name}]. Add it, or leave that platform out.")
        return section  # type: ignore[no-any-return]  # a Platform by construction

    def is_loopback(self, name: str) -> bool:
        """True when everything sent to this platform stays on this machine."""
        url = self.platform(name).base_url
        return bool(url) and is_loopback(url)

    def settings(self, name: str) -> dict[str, Any]:
        """What an adapter is made from: the section with its secrets resolved."""
        section = self.platform(name)
        values = section.model_dump(exclude={"push"})
        for key in SECRET_KEYS:
            if values.get(key):
                values[key] = secrets.resolve(values[key], key=f"{name}.{key}", base=self.folder)
        return values

    def digest(self) -> str:
        """Changes when anything changes that a plan depends on (not secrets, which are only references here)."""
        return hashlib.sha256(self.model_dump_json(exclude={"path", "store"}).encode()).hexdigest()[:16]


def is_loopback(url: str) -> bool:
    host = (urlsplit(url).hostname or "").lower()
    return host in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def load(path: Path) -> Config:
    """Read and validate; raises ConfigError naming file, line or key, and the nearest valid name."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as e:
        raise ConfigError(
            f"There is no configuration at {path}. Write one (the README shows it), or name another with --config PATH."
        ) from e
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path} cannot be read: {getattr(e, 'strerror', None) or 'it is not UTF-8 text'}.") from e
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{path} is not valid TOML: {e}.") from e
    if "shop" not in data:
        raise ConfigError(f"{path} has no section [shop]. Add one; `[shop]` alone is enough to begin.")
    try:
        config = Config.model_validate({**data, "path": path.resolve()})
    except ValidationError as e:
        raise ConfigError(_explain(e, data, text, path)) from e
    _check_names(config, path)
    return config


def pushed_name(config: Config, name: str, tag: str, purpose: str) -> str:
    """What the tag or list is called on the platform: prefix + tag; a service tag carries the word *service*."""
    label = tag or name
    if purpose == "service" and "service" not in label.lower():
        label = f"service {label}"
    return f"{config.push.prefix}{label}".strip()


def _check_names(config: Config, path: Path) -> None:
    seen: dict[str, str] = {}
    pushed: dict[str, str] = {}
    for segment in config.segment:
        name = segment.name or segment.use
        if name.casefold() in seen:
            raise ConfigError(f"{path}: two segments are called '{name}'. Give each its own name.")
        seen[name.casefold()] = name
        for platform in segment.push:
            if getattr(config, platform) is None:
                raise ConfigError(
                    f"{path}: segment '{name}' is pushed to {platform}, but there is no section [{platform}]. "
                    "Add the section or take the platform out of push."
                )
        if not segment.push:
            continue
        label = pushed_name(config, name, segment.tag, segment.purpose)
        if len(label) > NAME_LIMIT or "," in label or any(ord(c) < 32 for c in label):
            raise ConfigError(
                f"{path}: '{label}' cannot be a tag (at most {NAME_LIMIT} characters with the prefix, no comma, one line). "
                f"Give segment '{name}' a shorter tag = \"...\"."
            )
        if label.casefold() in pushed:
            raise ConfigError(
                f"{path}: segments '{pushed[label.casefold()]}' and '{name}' would both be written as '{label}'. "
                "Platforms compare without case: give one of them another tag."
            )
        pushed[label.casefold()] = name


def _explain(error: ValidationError, data: dict[str, Any], text: str, path: Path) -> str:
    lines = []
    for problem in error.errors()[:5]:
        loc = [p for p in problem["loc"] if p != "path"]
        where = _place(loc)
        if problem["type"] == "extra_forbidden":
            known = _known_keys(loc[:-1])
            near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
            hint = f" Did you mean '{near[0]}'?" if near else f" Known here: {', '.join(known)}."
            reason = f"unknown key '{loc[-1]}'.{hint}"
        elif problem["type"] == "missing":
            reason = f"'{loc[-1]}' is missing."
        else:
            reason = problem["msg"].removeprefix("Value error, ")
        line = _line_of(text, loc, data)
        at = f"line {line}, " if line else ""
        lines.append(f"{path}: {at}{where}: {reason}")
    return "\n".join(lines)


def _place(loc: list[Any]) -> str:
    text = ""
    for part in loc:
        text += f"[{part + 1}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def _known_keys(loc: list[Any]) -> list[str]:
    model: Any = Config
    for part in loc:
        if isinstance(part, int):
            continue
        model = {
            "shop": Shop, "shopify": Shopify, "mailchimp": Mailchimp, "hubspot": Hubspot, "push": Push, "guards": Guards,
            "privacy": Privacy, "scores": Scores, "store": StoreSection, "segment": SegmentSection,
            "branch": Branch, "identity": Identity, "pull": Pull,
        }.get(str(part), model)  # fmt: skip
    return sorted(k for k in model.model_fields if k != "path")


def _line_of(text: str, loc: list[Any], data: dict[str, Any]) -> int:
    """The line of a key, found by walking the section headers; 0 when it cannot be told."""
    if not loc:
        return 0
    section = str(loc[0])
    index = next((p for p in loc if isinstance(p, int)), None)
    key = str(loc[-1]) if isinstance(loc[-1], str) else ""
    seen = -1
    inside = False
    header_line = 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        header = re.match(r"\[\[?\s*([A-Za-z0-9_.]+)", stripped)
        if header and stripped.startswith("["):
            same = header.group(1).split(".")[0] == section
            if same:
                seen += 1
            inside = same and (index is None or seen == index)
            header_line = number if inside else header_line
            if len(loc) == 1 and inside:
                return number
            continue
        if len(loc) == 1 and re.match(rf"{re.escape(key)}\s*=", stripped) and seen < 0:
            return number
        if inside and key and re.match(rf"\"?{re.escape(key)}\"?\s*=", stripped):
            return number
    return header_line
