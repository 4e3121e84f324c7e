"""What a kill costs, by the server's own log of what was asked: of what was stored before it, at most one page is read again.

Pages that were fetched ahead of the store and not stored yet are asked for again, too: as many as may be on the way at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from connector import clock
from tests.torture.account import taken_in_since
from tests.torture.drama import Stage, stage
from tests.torture.night import Moment, Page
from tests.torture.test_torture import CASES

WALKS = {
    "customers": ("customers",),
    "orders": ("orders", "orders list", "orders search"),
    "members": ("members",),
    "activity": ("email-activity",),
    "contacts": ("contacts list", "contacts search"),
}
"""Stream -> the requests that stand for a page of it; what completes its records comes on top."""
AHEAD = {"shopify": 0, "mailchimp": 5, "hubspot": 6}
"""Pages that may be on the way, or wait to be stored, when two workers read."""


@dataclass
class Cost:
    pages: int = 0
    stored_again: int = 0
    asked_again: int = 0


def walked(s: Stage, stream: str) -> list[Page]:
    """The pages of a stream so far; Mailchimp's second look at each, for machines, is no other page."""
    return [p for p in s.night.pages if p.part in WALKS[stream] and "'filter_bots': ['true']" not in p.asked]


def killed_at(s: Stage, moment: Moment) -> Cost:
    """Without faults and without changes: what the walk that was killed asks for again when it goes on."""
    wanted = s.rehearsed(streams=[moment.stream])
    s.night.begin()
    begun = clock.now_utc().isoformat()
    s.killed(moment, max(1, round(wanted[moment.part] * moment.share)), streams=[moment.stream])
    stored, before = taken_in_since(s.store, begun), walked(s, moment.stream)
    s.night.pages.clear()
    s.to_the_end(streams=[moment.stream])
    after = walked(s, moment.stream)
    return Cost(
        len(before) + len(after),
        sum(bool(p.records) and p.records <= stored for p in after),
        len({p.asked for p in before} & {p.asked for p in after}),
    )


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("platform", CASES)
def test_a_kill_costs_at_most_one_page_of_what_was_stored(platform: str, tmp_path: Path) -> None:
    case = CASES[platform]
    with stage(case, 5, tmp_path) as s:
        for name, moments in (("backfill", case.backfill), ("changes", case.pull)):
            for _ in range(2 * case.changes if name == "changes" else 0):
                s.world.change()
            for moment in {m.stream: m for m in moments}.values():
                cost = killed_at(s, moment)
                print(f"\n{platform}, {name}, {moment.stream}: {cost}")
                assert cost.stored_again <= 1
                assert cost.asked_again <= 1 + AHEAD[platform]
        s.check(after_full_read=False)
