"""What the owner said yes to for a segment's tag, and who may carry it until they agree to something else.

The tag on the platform goes on being used for what it was agreed to, whatever the configuration says by now: whoever said no
to that may not carry it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import cast, get_args

from connector import consent, ledger
from connector.config import Config, says_service
from connector.store import Store
from models.segments import Channel, Segment

UNTOLD: Channel = "email"
"""For what a tag counts as agreed where nobody can tell."""


def rule_digest(g: Segment, platform: str) -> str:
    """Changes when the owner must be asked again: rule, purpose, channel, whether entering starts something, retirement."""
    parts = (g.where, g.purpose, g.channel, g.starts, g.stays_while, "retired" if platform in g.retire else "", *g.behind)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


def purpose_there(store: Store, platform: str, g: Segment) -> str:
    """What the segment's tag may be used for: one that was made for mailing stays one, whatever the segment has become."""
    _, known_name = ledger.object_of(store, platform, g.name)
    return "marketing" if known_name and not says_service(known_name) else g.purpose


def note(store: Store, platform: str, g: Segment) -> None:
    """The owner agreed to the segment as it stands: kept for the day on which the configuration says something else."""
    ledger.agree_purpose(store, platform, g.name, is_service=purpose_there(store, platform, g) == "service")
    ledger.agree_channel(store, platform, g.name, g.channel)


def channel(store: Store, platform: str, g: Segment) -> Channel:
    """Agreed to, as far as it was noted; else the segment's own."""
    return cast(Channel, ledger.agreed_channel(store, platform, g.name) or g.channel)


def closed(store: Store, config: Config, platform: str, g: Segment) -> dict[str, str]:
    """Contact -> why it may not carry the tag by what the owner agreed to; nobody where that is what the segment says now.

    The verdicts are those of the segment's own channel afterwards, as before.
    """
    before = _before(store, platform, g)
    if before is None:
        return {}
    consent.judge(store, config, platform, before.channel)
    found = consent.closed(store, before.purpose)
    consent.judge(store, config, platform, g.channel)
    return found


def permitted(store: Store, config: Config, platform: str, g: Segment) -> frozenset[str]:
    """Contacts that may enter the tag, by what the segment says now and by what the owner agreed to."""
    consent.judge(store, config, platform, g.channel)
    may = consent.allowed(store, purpose_there(store, platform, g))
    return may - closed(store, config, platform, g).keys()


def _before(store: Store, platform: str, g: Segment) -> Segment | None:
    """The segment with the channel and purpose that the owner agreed to, where those are others than it has now."""
    known = ledger.go_ahead(store, platform, g.name)
    noted = ledger.agreed_channel(store, platform, g.name)
    if known == rule_digest(g, platform) or not (known or noted):
        return None
    others = (c for c in get_args(Channel) if known == rule_digest(replace(g, channel=c), platform))
    is_service = purpose_there(store, platform, g) == "service" and ledger.is_for_service(store, platform, g.name)
    was = replace(g, channel=cast(Channel, noted or next(others, UNTOLD)), purpose="service" if is_service else "marketing")
    now = g.channel, purpose_there(store, platform, g)
    return was if (was.channel, was.purpose) != now else None
