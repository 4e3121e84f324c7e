"""`check`: is everything right before anything is pulled or written? Looks, and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime

from adapters import load
from adapters.base import Account, Adapter, Finding, ending_soon
from connector import clock, field_values, identity_apart, segment, sensitive, triggers
from connector.columns import BY_NAME
from connector.config import Config
from connector.live_shapes import SAMPLE, Look, look
from connector.rules import RuleError
from connector.session import make_adapter
from connector.store import Store
from models.errors import AuthError, ConfigError, ConnectorError, ScopeError, StoreError
from models.segments import Segment

CLOCK_TOLERANCE_S = 120


def run(config: Config) -> list[Finding]:
    """All findings, the configuration first. A platform that refuses us does not stop the others."""
    findings = [Finding("configuration", "ok", f"{config.path} is valid; the shop's day is that of {config.shop.timezone}.")]
    findings += _segments(config)
    findings += _store(config)
    for platform in config.platforms:
        findings += _platform(config, platform)
    if not config.platforms:
        findings.append(Finding("platforms", "warning", "No platform is configured; only `rollcall import` can bring data."))
    return findings


def live_shapes(config: Config) -> tuple[list[Look], list[ConnectorError]]:
    """How real accounts answer beside how the simulators do, and the platforms that refused us altogether."""
    looks, refused = [], []
    for platform in config.platforms:
        try:
            looks.append(look(make_adapter(_sampling(config, platform), platform)))
        except ConnectorError as e:
            refused.append(e)
    return looks, refused


def _sampling(config: Config, platform: str) -> Config:
    """The configuration, changed so that looking at a little costs little: small pages, no exports."""
    section = config.platform(platform)
    wanted = {"bulk": "never", "page_size": SAMPLE}
    less = section.model_copy(update={k: v for k, v in wanted.items() if k in type(section).model_fields})
    if platform in config.other_platforms:
        return config.model_copy(update={"other_platforms": {**config.other_platforms, platform: less}})
    return config.model_copy(update={platform: less})


def _segments(config: Config) -> list[Finding]:
    try:
        found = segment.resolve(config)
        _check_rules(config, found)
        triggers.check(config)
        field_values.check(config)
    except ConfigError as e:
        return [Finding("segments", "error", str(e), code="config")]
    pushed = sum(bool(g.push) for g in found)
    return [Finding("segments", "ok", f"{len(found)} segments, {pushed} of them pushed.")]


def _check_rules(config: Config, found: list[Segment]) -> None:
    """Raises ConfigError for a rule that speaks of what neither Rollcall nor the shop's own data has: files and platforms bring
    fields of their own."""
    try:
        segment.check_all(None, config, found)
    except RuleError:
        if not config.store_path.exists():
            raise
        try:
            store = Store(config.store_path)
        except StoreError:  # said of the store itself
            return
        try:
            segment.check_all(store, config, found)
        finally:
            store.close()


def _store(config: Config) -> list[Finding]:
    folder = config.store_path.parent
    if not os.access(folder, os.W_OK):
        return [Finding("store", "error", f"The folder {folder} cannot be written. Choose another store.path.")]
    if not config.store_path.exists():
        return [Finding("store", "ok", f"{config.store_path} will be made by the first pull.")]
    try:
        store = Store(config.store_path)
        try:
            people = store.value("SELECT count(*) FROM contacts")
            private = sensitive.advice(store, config)
            is_known = bool(store.sql("SELECT 1 FROM person_links LIMIT 1"))
            apart = identity_apart.unheeded(store, config) if is_known else []
        finally:
            store.close()
    except StoreError as e:
        return [Finding("store", "error", str(e))]
    found = [Finding("store", "ok", f"{config.store_path} holds {people:,} contact records.")]
    found += [Finding("identity", "warning", told) for told in apart]
    return [*found, Finding("privacy", "ok", private)] if private else found


def _platform(config: Config, platform: str) -> list[Finding]:
    title = load(platform).title
    try:
        adapter = make_adapter(config, platform)
        account = adapter.account()
        findings = [
            Finding(f"{title} account", "ok", f"{account.name} ({account.id})."),
            *_same_account(config, adapter, account),
        ]
        findings += adapter.check()
    except AuthError as e:
        return [Finding(f"{title} credentials", "error", str(e), code="auth")]
    except ScopeError as e:
        return [Finding(f"{title} scopes", "error", str(e), code="scope")]
    except ConnectorError as e:
        return [Finding(title, "error", str(e), code={6: "auth", 2: "config"}.get(e.exit_code, ""))]
    findings += _ends(title, adapter, findings)
    findings += _clock(title, getattr(adapter, "server_now", None))
    if account.currency and account.currency != config.shop.currency:
        findings.append(
            Finding(
                f"{title} currency",
                "warning",
                f"The account's currency is {account.currency}, the configuration says {config.shop.currency}. "
                "Amounts in other currencies are kept apart, never added.",
            )
        )
    findings += _fields(config, adapter)
    if config.platform(platform).push:
        findings.append(Finding(f"{title} writing", "ok", "push = true: `sync` may write there once you gave the go-ahead."))
    return findings


def _fields(config: Config, adapter: Adapter) -> list[Finding]:
    """Whether the columns that are to be written there can be."""
    found = []
    for section in (f for f in config.field if adapter.name in f.push and f.column in BY_NAME):
        name = adapter.field_name(field_values.label_of(section))
        try:
            problem = adapter.field_problem(name, field_values.kind_of(section.column))
        except ScopeError as e:
            found.append(Finding(f"{adapter.title} fields", "error", str(e), code="scope"))
            continue
        text = problem or f"The column {section.column} can be written there."
        found.append(Finding(f"{adapter.field_noun} {name}", "warning" if problem else "ok", text))
    return found


def _same_account(config: Config, adapter: Adapter, account: Account) -> list[Finding]:
    """Whether the key belongs to the account this store was filled from; every other command refuses another one."""
    if not config.store_path.exists():
        return []
    store = Store(config.store_path)
    try:
        before = store.value("SELECT value FROM meta WHERE name = ?", [f"account:{adapter.name}"])
    finally:
        store.close()
    if before in (None, account.id):
        return []
    return [
        Finding(
            f"{adapter.title} account",
            "error",
            f"The store was filled from another {adapter.title} account ({before}). "
            "Use the right key, or another store file for the other account.",
            code="auth",
        )
    ]


def _ends(title: str, adapter: Adapter, said: Sequence[Finding]) -> list[Finding]:
    """Until when each API version in use works, where the adapter's own look did not say so."""
    left = [(what, until) for what, until in adapter.ends() if not any(f"{until:%Y-%m}" in f.text for f in said)]
    today = clock.now_utc().date()
    soon = {end: ending_soon([end], today) for end in left}
    return [
        Finding(
            f"{title} API", "warning" if soon[end] else "ok", soon[end][0] if soon[end] else f"{end[0]} works until {end[1]}."
        )
        for end in left
    ]


def _clock(title: str, server_now: datetime | None) -> list[Finding]:
    if server_now is None:
        return []
    off = abs((clock.now_utc() - server_now).total_seconds())
    if off <= CLOCK_TOLERANCE_S:
        return []
    return [
        Finding(f"{title} clock", "warning", f"This machine's clock is {off:.0f} seconds away from {title}'s. Set it right.")
    ]
