"""How many mails a plan says would start, and how many the simulated platforms have started.

An automation of the owner's is (platform, name of the tag or list) -> mails it sends to each who enters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.changes import Plan
from tests.stories.small_world import World

COUNTED = {"shopify": "mails_started", "mailchimp": "mails_sent", "hubspot": "mails_sent"}

Automations = Mapping[tuple[str, str], int]


def sent(world: World | Mapping[str, Any]) -> dict[str, int]:
    """By platform; of the platforms themselves, or of what `/control/state` shows of them."""
    if isinstance(world, World):
        return {platform: world.mails(platform) for platform in COUNTED}
    return {platform: int(world[platform][name]) for platform, name in COUNTED.items()}


def foretold(plan: Plan, automations: Automations) -> dict[str, int]:
    """What an owner reads out of a plan: each who enters a tag that an automation waits for starts it, but a first fill on
    Mailchimp is quiet. Holds as long as nobody enters for the second time."""
    found = dict.fromkeys(COUNTED, 0)
    for t in plan.targets:
        entering = sum(c.kind == "add" for c in t.writable)
        is_quiet = t.target.platform == "mailchimp" and (t.first_fill or t.creates_object)
        found[t.target.platform] += 0 if is_quiet else entering * automations.get((t.target.platform, t.object_name), 0)
    return found


def must_be_as_foretold(before: dict[str, int], after: dict[str, int], plan: Plan, automations: Automations) -> dict[str, int]:
    """Mails started = mails foretold by the plan, platform by platform; gives them."""
    started = {platform: after[platform] - before[platform] for platform in COUNTED}
    assert started == foretold(plan, automations)
    return started
