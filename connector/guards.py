"""What must be true of the sources before anything is planned for writing: whole, not shrunken, not old."""

from __future__ import annotations

from datetime import datetime

from adapters import load
from connector.config import Config
from connector.store import Store
from models.errors import UnsafePlan

WATCHED = {
    "shopify": ("customers", "orders"),
    "mailchimp": ("members",),
    "hubspot": ("contacts",),
}
"""The streams whose emptiness or shrinking stops a run: people, their consent, and what they bought."""


def require_complete_sources(store: Store, config: Config) -> None:
    """Raises UnsafePlan when a source was never pulled to its end, is empty, or lost many of its records."""
    for platform in config.platforms:
        title = load(platform).title
        for stream in WATCHED[platform]:
            state = store.sql(
                "SELECT is_complete FROM cursors WHERE source = ? AND stream = ? ORDER BY pulled_at DESC LIMIT 1",
                [platform, stream],
            )
            if not state or not state[0][0]:
                raise UnsafePlan(
                    f"{title} {stream} were not pulled to their end. Without all of them nobody can say who said no. "
                    "Run `rollcall backfill`, then try again.",
                    guard="incomplete_pull",
                )
            _require_not_shrunken(store, config, platform, stream, title)


def _require_not_shrunken(store: Store, config: Config, platform: str, stream: str, title: str) -> None:
    totals = store.sql(
        """SELECT platform_total FROM stream_counts
           WHERE source = ? AND stream = ? AND platform_total IS NOT NULL AND is_complete ORDER BY run_id DESC LIMIT 20""",
        [platform, stream],
    )
    if not totals:
        return
    now, before = totals[0][0], max(t[0] for t in totals)
    if before and now == 0:
        raise UnsafePlan(
            f"{title} answers that it has no {stream}; it had {before}. Nothing was written. "
            "Check the account; if they are really gone, start with a new store file.",
            guard="empty_source",
        )
    if before and (before - now) * 100 > config.guards.max_shrink_pct * before:
        raise UnsafePlan(
            f"{title} has {now} {stream}; it had {before}. That is a loss of more than {config.guards.max_shrink_pct:g} % "
            "(guards.max_shrink_pct). Nothing was written. Find out why, or raise the limit for this once.",
            guard="shrunken_source",
        )


def stale_sources(store: Store, config: Config, now: datetime) -> str:
    """Why the facts are too old to push from, '' when they are fresh enough."""
    for platform in config.platforms:
        for stream in WATCHED[platform]:
            pulled_at = store.value(
                "SELECT max(pulled_at) FROM cursors WHERE source = ? AND stream = ? AND is_complete", [platform, stream]
            )
            if pulled_at is None:
                continue
            age_hours = (now - pulled_at).total_seconds() / 3600
            if age_hours > config.guards.max_age_hours:
                return (
                    f"{load(platform).title} {stream} were last pulled {age_hours:.0f} hours ago "
                    f"(guards.max_age_hours = {config.guards.max_age_hours:g}); run `rollcall pull`"
                )
    return ""
