"""`check`: is everything right before anything is pulled or written? Looks, and changes nothing."""

from __future__ import annotations

import os
from datetime import datetime

from adapters import load
from adapters.base import Finding
from connector import clock, segment
from connector.config import Config
from connector.session import make_adapter
from connector.store import Store
from models.errors import AuthError, ConfigError, ConnectorError, ScopeError, StoreError

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


def _segments(config: Config) -> list[Finding]:
    try:
        found = segment.resolve(config)
        segment.check_all(None, config, found)
    except ConfigError as e:
        return [Finding("segments", "error", str(e), code="config")]
    pushed = sum(bool(g.push) for g in found)
    return [Finding("segments", "ok", f"{len(found)} segments, {pushed} of them pushed.")]


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
        finally:
            store.close()
    except StoreError as e:
        return [Finding("store", "error", str(e))]
    return [Finding("store", "ok", f"{config.store_path} holds {people:,} contact records.")]


def _platform(config: Config, platform: str) -> list[Finding]:
    title = load(platform).title
    try:
        adapter = make_adapter(config, platform)
        account = adapter.account()
        findings = [Finding(f"{title} account", "ok", f"{account.name} ({account.id}).")]
        findings += adapter.check()
    except AuthError as e:
        return [Finding(f"{title} credentials", "error", str(e), code="auth")]
    except ScopeError as e:
        return [Finding(f"{title} scopes", "error", str(e), code="scope")]
    except ConnectorError as e:
        return [Finding(title, "error", str(e), code={6: "auth", 2: "config"}.get(e.exit_code, ""))]
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
    if config.platform(platform).push:
        findings.append(Finding(f"{title} writing", "ok", "push = true: `sync` may write there once you gave the go-ahead."))
    return findings


def _clock(title: str, server_now: datetime | None) -> list[Finding]:
    if server_now is None:
        return []
    off = abs((clock.now_utc() - server_now).total_seconds())
    if off <= CLOCK_TOLERANCE_S:
        return []
    return [
        Finding(f"{title} clock", "warning", f"This machine's clock is {off:.0f} seconds away from {title}'s. Set it right.")
    ]
