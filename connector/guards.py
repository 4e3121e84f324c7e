"""What must be true of the sources before anything is written: whole, not empty, not shrunken, not old.

Where it is not, everything waits, except removals of people who said no or were erased.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from adapters import load
from connector.config import Config
from connector.store import Store

WATCHED = {
    "shopify": ("customers", "orders"),
    "mailchimp": ("members",),
    "hubspot": ("contacts",),
}
"""The streams whose emptiness or shrinking stops a run: people, their consent, and what they bought."""


def watched(platform: str) -> tuple[str, ...]:
    """The streams of a platform that a run depends on; an adapter of another package names its own."""
    if platform in WATCHED:
        return WATCHED[platform]
    adapter = load(platform)
    return (adapter.contacts_stream, *adapter.guarded_streams)


@dataclass(frozen=True)
class Stop:
    """A guard that stops the run before writing, and why."""

    guard: str
    text: str


def stops(store: Store, config: Config) -> list[Stop]:
    """Sources that were never pulled to their end, are empty, or lost many of their records."""
    found = []
    for platform in config.platforms:
        title = load(platform).title
        for stream in watched(platform):
            state = store.sql("SELECT is_complete FROM cursors WHERE source = ? AND stream = ?", [platform, stream])
            if not state or not state[0][0]:
                found.append(
                    Stop(
                        "incomplete_pull",
                        f"{title} {stream} were not pulled to their end. Without all of them nobody can say who said no. "
                        "Run `rollcall backfill`, then try again.",
                    )
                )
                continue
            shrunken = _shrunken(store, config, platform, stream, title)
            if shrunken:
                found.append(shrunken)
    return found


def _shrunken(store: Store, config: Config, platform: str, stream: str, title: str) -> Stop | None:
    """Less than it had, since the owner last said that a loss was right: what was there then is what is compared from then on."""
    totals = store.sql(
        """WITH told AS (
             SELECT run_id, platform_total FROM stream_counts
             WHERE source = ? AND stream = ? AND platform_total IS NOT NULL AND is_complete),
           agreed AS (
             SELECT max(run_id) AS run_id FROM told
             WHERE run_id <= (SELECT max(run_id) FROM overrides WHERE guard = 'shrunken_source'))
           SELECT platform_total FROM told WHERE run_id >= coalesce((SELECT run_id FROM agreed), '')
           ORDER BY run_id DESC LIMIT 20""",
        [platform, stream],
    )
    if not totals:
        return None
    now, before = totals[0][0], max(t[0] for t in totals)
    if before and now == 0:
        return Stop(
            "empty_source",
            f"{title} answers that it has no {stream}; it had {before:,}. "
            "Check the account; if they are really gone, start with a new store file.",
        )
    if before and (before - now) * 100 > config.guards.max_shrink_pct * before:
        return Stop(
            "shrunken_source",
            f"{title} has {now:,} {stream}; it had {before:,}. That is a loss of more than {config.guards.max_shrink_pct:g} % "
            '(guards.max_shrink_pct). Find out why; if it is right, add --allow shrunken_source --because "...".',
        )
    return None


def stale(store: Store, config: Config, now: datetime) -> Stop | None:
    """Facts too old to push from; the refusals in them stay in force."""
    for platform in config.platforms:
        for stream in watched(platform):
            pulled_at = store.value(
                "SELECT max(pulled_at) FROM cursors WHERE source = ? AND stream = ? AND is_complete", [platform, stream]
            )
            if pulled_at is None:
                continue
            age_hours = (now - pulled_at).total_seconds() / 3600
            if age_hours < -config.guards.max_age_hours:
                return Stop(
                    "stale_source",
                    f"{load(platform).title} {stream} were last pulled on {pulled_at:%Y-%m-%d %H:%M} UTC, which is yet to come: "
                    "the clock was wrong then, or is now, and nobody can tell how old they are; set it right and run `rollcall pull`",
                )
            if age_hours > config.guards.max_age_hours:
                return Stop(
                    "stale_source",
                    f"{load(platform).title} {stream} were last pulled {age_hours:.0f} hours ago "
                    f"(guards.max_age_hours = {config.guards.max_age_hours:g}); run `rollcall pull`",
                )
    return None


FACTS = ("contacts", "orders", "order_lines", "refunds", "events", "carts", "subscriptions")
"""Tables of what platforms told us. Scores are made from all of them."""


def left_sources(store: Store, config: Config) -> dict[str, Stop]:
    """Table -> why what stands in it may not be pushed from: a platform that is no longer configured told some of it, and
    nobody tells when that changes. The refusals it told stay in force."""
    sources = [s for (s,) in store.sql("SELECT DISTINCT source FROM cursors WHERE source <> 'import' ORDER BY 1")]
    found: dict[str, Stop] = {}
    for source in sources:
        if source in config.platforms:
            continue
        stop = Stop(
            "stale_source",
            f"[{source}] was taken out of the configuration, and what it told stays as it was. Put it back, or begin with a new "
            'store file; `rollcall push --allow stale_source --because "..."` overrides it once',
        )
        held = [t for t in FACTS if store.sql(f"SELECT 1 FROM {t} WHERE source = ? LIMIT 1", [source])]
        found |= dict.fromkeys([*held, *(["scores"] if held else [])], stop)
    return found
