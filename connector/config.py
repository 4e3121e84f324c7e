"""The configuration: one TOML file, validated, with errors that name the place and the nearest valid name."""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
import unicodedata
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, SerializeAsAny, ValidationError

import adapters
from adapters import PLATFORMS
from connector import own_settings, secrets
from connector.config_errors import explain
from connector.plain import has_unseen, visible
from connector.sections import (
    ORDER_SOURCES,
    Branch,
    Exclude,
    FieldSection,
    Guards,
    Hubspot,
    Identity,
    Mailchimp,
    OrderedSet,
    Platform,
    Privacy,
    Pull,
    Push,
    Scores,
    Section,
    SegmentSection,
    Shop,
    Shopify,
    StoreSection,
    Trigger,
    is_loopback,
)
from models.errors import ConfigError

__all__ = [
    "ORDER_SOURCES", "Branch", "Config", "FieldSection", "Identity", "Privacy", "SegmentSection", "Shop", "Trigger",
    "is_loopback", "load", "pushed_name", "says_service",
]  # fmt: skip

NAME_LIMIT = 50


class Config(Section):
    shop: Shop
    shopify: Shopify | None = None
    mailchimp: Mailchimp | None = None
    hubspot: Hubspot | None = None
    # those of other packages, in the order of the file
    other_platforms: dict[str, SerializeAsAny[Platform]] = Field(default_factory=dict)
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
    trigger: tuple[Trigger, ...] = ()
    field: tuple[FieldSection, ...] = ()

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
        return (*(p for p in PLATFORMS if getattr(self, p) is not None), *self.other_platforms)

    def platform(self, name: str) -> Platform:
        section: Platform | None = getattr(self, name) if name in PLATFORMS else self.other_platforms.get(name)
        if section is None:
            raise ConfigError(f"{self.path} has no section [{name}]. Add it, or leave that platform out.")
        return section

    def is_loopback(self, name: str) -> bool:
        """True when everything sent to this platform stays on this machine."""
        url = self.platform(name).base_url
        return bool(url) and is_loopback(url)

    def settings(self, name: str) -> dict[str, Any]:
        """What an adapter is made from: the section with its secrets resolved."""
        section = self.platform(name)
        values = section.model_dump(exclude={"push"})
        for key in section.secret_names:
            if values.get(key):
                values[key] = secrets.resolve(values[key], key=f"{name}.{key}", base=self.folder)
        return values

    def digest(self) -> str:
        """Changes when anything changes that a plan depends on (not secrets, which are only references here)."""
        left_out = {"path", "store"} if self.other_platforms else {"path", "store", "other_platforms"}
        return hashlib.sha256(self.model_dump_json(exclude=left_out).encode()).hexdigest()[:16]


def load(path: Path) -> Config:
    """Read and validate; raises ConfigError naming file, line or key, and the nearest valid name."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as e:
        raise ConfigError(
            f"There is no configuration at {path}. Write one (the README shows it), name another with --config PATH, or begin "
            "with a file: `rollcall import orders FILE` writes a small one."
        ) from e
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path} cannot be read: {getattr(e, 'strerror', None) or 'it is not UTF-8 text'}.") from e
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise ConfigError(f"{path} is not valid TOML: {e}.") from e
    if "shop" not in data:
        raise ConfigError(f"{path} has no section [shop]. Add one; `[shop]` alone is enough to begin.")
    config = _validated(data, text, path)
    _check_names(config, path)
    _check_triggers(config, path)
    _check_ordered(config, path)
    return config


def _validated(data: dict[str, Any], text: str, path: Path) -> Config:
    ours = {k: v for k, v in data.items() if k not in ("other_platforms", "path")}
    others: dict[str, Platform] = {}
    models: dict[str, type[BaseModel]] = {}
    problems: list[Any] = [{"type": "extra_forbidden", "loc": (k,)} for k in data if k not in ours]
    for name in [k for k in ours if k not in Config.model_fields and k in adapters.installed()]:
        adapter, values = adapters.load(name), ours.pop(name)
        models[name] = model = own_settings.section_model(adapter, Platform)
        model.secret_names = own_settings.secret_names(adapter)
        try:
            others[name] = model.model_validate(values)
        except ValidationError as e:
            problems += [{**problem, "loc": (name, *problem["loc"])} for problem in e.errors()]
    if others and isinstance(ours["shop"], dict) and "orders_from" not in ours["shop"]:
        ours["shop"] = {**ours["shop"], "orders_from": (*ORDER_SOURCES, *others)}
    try:
        config = Config.model_validate({**ours, "other_platforms": others, "path": path.resolve()})
    except ValidationError as e:
        raise ConfigError(explain([*e.errors(), *problems], text, path, partial(_known_keys, models))) from e
    if problems:
        raise ConfigError(explain(problems, text, path, partial(_known_keys, models)))
    return config


def pushed_name(config: Config, name: str, tag: str, purpose: str) -> str:
    """What the tag or list is called on the platform: prefix + tag; a service tag carries the word *service*."""
    label = tag or name
    if purpose == "service" and not says_service(label):
        label = f"service {label}"
    return f"{config.push.prefix}{label}".strip()


def says_service(name: str) -> bool:
    """The name carries the word, so that nobody takes it for a list to mail."""
    return bool(re.search(r"\bservice\b", name, re.IGNORECASE))


def _check_triggers(config: Config, path: Path) -> None:
    names = [s.name or s.use for s in config.segment]
    seen = set[str]()
    for trigger in config.trigger:
        if trigger.name.casefold() in seen:
            raise ConfigError(f"{path}: two triggers are called '{trigger.name}'. Give each its own name.")
        seen.add(trigger.name.casefold())
        if trigger.segment not in names:
            near = difflib.get_close_matches(trigger.segment, names, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ConfigError(f"{path}: trigger '{trigger.name}' speaks of an unknown segment '{trigger.segment}'.{hint}")
        if trigger.mailchimp_event and config.mailchimp is None:
            raise ConfigError(f"{path}: trigger '{trigger.name}' needs a section [mailchimp].")


def _check_ordered(config: Config, path: Path) -> None:
    names = [s.name or s.use for s in config.segment]
    for group in config.ordered:
        for name in group.segments:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f" Did you mean '{near[0]}'?" if near else ""
                raise ConfigError(f"{path}: [[ordered]] '{group.name}' speaks of an unknown segment '{name}'.{hint}")


def _check_names(config: Config, path: Path) -> None:
    seen: dict[str, str] = {}
    pushed: dict[str, str] = {}
    formerly: set[str] = set()
    for segment in config.segment:
        name = segment.name or segment.use
        if not name.strip() or has_unseen(name):
            raise ConfigError(
                f"{path}: '{visible(name)}' cannot be a segment's name: it has nothing to read, or characters that nobody sees "
                "(line breaks, control characters, marks that turn the direction)."
            )
        if _folded(name) in seen:
            raise ConfigError(f"{path}: two segments are called '{name}'. Give each its own name.")
        seen[_folded(name)] = name
        if segment.was and _folded(segment.was) in formerly:
            raise ConfigError(f"{path}: two segments were called '{segment.was}' before (was = ...). Only one can be.")
        formerly.add(_folded(segment.was))
        for platform in segment.push:
            if platform not in config.platforms:
                raise ConfigError(
                    f"{path}: segment '{name}' is pushed to {platform}, but there is no section [{platform}]. "
                    "Add the section or take the platform out of push."
                )
        if not segment.push:
            continue
        label = pushed_name(config, name, segment.tag, segment.purpose)
        if len(label) > NAME_LIMIT or "," in label or has_unseen(label) or label in ("", ".", ".."):
            raise ConfigError(
                f"{path}: '{visible(label)}' cannot be a tag (at most {NAME_LIMIT} characters with the prefix, no comma, one "
                f"line, nothing unseen). Give segment '{name}' another tag = \"...\"."
            )
        if _folded(label) in pushed:
            raise ConfigError(
                f"{path}: segments '{pushed[_folded(label)]}' and '{name}' would both be written as '{label}'. "
                "Platforms compare without case: give one of them another tag."
            )
        pushed[_folded(label)] = name


def _folded(name: str) -> str:
    """Names that are one to a platform, or to the eye, are one."""
    return unicodedata.normalize("NFKC", name).casefold()


def _known_keys(models: dict[str, type[BaseModel]], loc: list[Any]) -> list[str]:
    """The keys that may stand at a place; models: the sections of platforms that other packages bring."""
    model: Any = Config
    brought = [] if loc else adapters.installed()
    for part in loc:
        if isinstance(part, int):
            continue
        model = {
            **models,
            "shop": Shop, "shopify": Shopify, "mailchimp": Mailchimp, "hubspot": Hubspot, "push": Push, "guards": Guards,
            "privacy": Privacy, "scores": Scores, "store": StoreSection, "segment": SegmentSection,
            "branch": Branch, "identity": Identity, "pull": Pull, "field": FieldSection, "trigger": Trigger,
        }.get(str(part), model)  # fmt: skip
    return sorted({*brought, *(k for k in model.model_fields if k not in ("path", "other_platforms"))})
