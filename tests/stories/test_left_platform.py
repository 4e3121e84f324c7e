"""A platform is taken out of the configuration: who said no there stays out, and nothing is pushed from what it told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import responses

from connector import consent, staleness, sync
from models.changes import Plan
from tests.stories.shopkeeper import NAME, VIP, Shopkeeper
from tests.stories.small_world import NOW, Fuse, Killed, Owner, World

SEGMENTS = "".join(
    f'[[segment]]\nname = "{name}"\nwhere = "{where}"\npush = ["mailchimp"]\n'
    for name, where in (
        ("In Bonn", "city = 'Bonn'"), ("Readers", "is_subscribed"), ("Either", "segment('In Bonn') or is_subscribed"),
    )
)  # fmt: skip
SHOPIFY = "[shopify]\n"


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        world = World(mock, 6)
        world.shopify.change("p00001", {"consent": "unsubscribed"})
        found = Owner(world, tmp_path, SEGMENTS, more="[guards]\nmin_members = 1000\n")
        found.pull()
        found.believe({name: range(4) for name in ("In Bonn", "Readers", "Either")})
        yield found


def leave_shopify(owner: Owner) -> None:
    text = owner.config.path.read_text()
    begins = text.index(SHOPIFY)
    owner.change_rule(text[begins : text.index("\n[", begins) + 1], "")


def parked(plan: Plan) -> dict[str, str]:
    return {t.target.segment: t.parked for t in plan.targets}


def test_segments_that_speak_of_what_it_told_wait_and_the_others_go_on(owner: Owner) -> None:
    assert set(parked(owner.plan(owner.session("plan"))).values()) == {""}
    leave_shopify(owner)
    s, plan = owner.push()
    why = parked(plan)
    assert why["Readers"] == "" and len(owner.world.members("mailchimp", "Rollcall: Readers")) == 3
    assert why["In Bonn"] == why["Either"] and "[shopify] was taken out of the configuration" in why["Either"]
    assert owner.world.members("mailchimp", "Rollcall: In Bonn") == set()
    segments = sync.resolved(owner.config)
    assert set(staleness.of_segments(s, segments, frozenset({"stale_source"})).values()) == {""}, "the owner's word for one run"


def test_who_said_no_there_stays_out_everywhere(owner: Owner) -> None:
    leave_shopify(owner)
    owner.push()
    consent.judge(owner.store, owner.config, "mailchimp", "email")
    assert owner.world.contact_id("mailchimp", 1) not in consent.allowed(owner.store, "marketing")
    assert owner.world.contact_id("mailchimp", 1) not in owner.world.members("mailchimp", "Rollcall: Readers")
    (_, plan) = owner.push(first=False)
    assert {"said no on Shopify": 1} in [t.excluded for t in plan.targets]


def test_a_source_that_was_pulled_too_long_ago_holds_back_every_segment(owner: Owner) -> None:
    s = owner.session("plan")
    s.now = lambda: NOW + timedelta(hours=49)
    why = staleness.of_segments(s, sync.resolved(owner.config))
    assert len(why) == 3 and all("were last pulled 49 hours ago (guards.max_age_hours = 48)" in text for text in why.values())


@pytest.mark.parametrize("platform", ["mailchimp", "hubspot", "shopify"])
def test_what_a_run_that_died_wrote_loses_the_tag_on_saying_no_also_where_its_segment_was_taken_out_meanwhile(
    mock: responses.RequestsMock, tmp_path: Path, platform: str
) -> None:
    keeper = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", platform), only=platform)
    owner, world = keeper.owner, keeper.world
    owner.believe({"VIP": range(4)})
    with pytest.raises(Killed):
        owner.push(Fuse(lambda boundary: boundary == f"after {platform}" and len(world.members(platform, NAME)) == 4))
    owner.reopen()
    owner.change_rule(VIP.replace("hubspot", platform), "")
    world.simulators[platform].change("p00002", {"consent": "opted_out" if platform == "hubspot" else "unsubscribed"})
    owner.pull()
    owner.believe({})
    owner.push(first=False)
    assert world.members(platform, NAME) == {world.contact_id(platform, n) for n in (0, 1, 3)}
