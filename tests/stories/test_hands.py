"""Whose hand put a tag on, or took it off, where the same contact went to and fro; and two segments that would share one tag."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
import responses

from adapters import mailchimp_tags
from connector import choices, planner, privacy, rebuild, sync, undo, writer
from connector.sandbox.base import Request, Response
from connector.sandbox.faults import answer
from connector.sandbox.shop import Purchase, Shop
from connector.sandbox.shopify_bulk import Job
from models.changes import Batch, Member, Target
from models.errors import AuthError
from tests.simulated import between
from tests.stories import small_world
from tests.stories.shopkeeper import NAME, VIP, Shopkeeper
from tests.stories.small_world import NOW, Fuse, Killed, address


@pytest.fixture(params=["mailchimp", "shopify"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shopkeeper]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        keeper = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", request.param), only=request.param)
        keeper.owner.believe({"VIP": range(4)})
        keeper.owner.push()
        yield keeper


def platform(shop: Shopkeeper) -> str:
    return next(iter(shop.owner.config.platforms))


def by_hand(shop: Shopkeeper, n: int, *, on: bool) -> None:
    place = platform(shop)
    (object_id,) = {o for _, o, _ in shop.owner.held()}
    who = (Member(shop.world.contact_id(place, n)),)
    target = Target(place, "VIP", NAME, object_id)
    shop.world.adapter(place).apply(Batch(target, object_id, NAME, who if on else (), () if on else who))


def carries(shop: Shopkeeper, n: int) -> bool:
    return shop.world.contact_id(platform(shop), n) in shop.world.members(platform(shop), NAME)


@pytest.mark.parametrize("policy", ["restore", "ignore", "pin"])
def test_who_was_taken_off_by_hand_left_and_is_put_on_by_hand_later_keeps_the_tag(shop: Shopkeeper, policy: str) -> None:
    shop.owner.change_rule("[guards]", f'[push]\nuntagged_by_hand = "{policy}"\n[guards]')
    by_hand(shop, 3, on=False)
    shop.owner.believe({"VIP": range(3)})
    shop.owner.push(first=False)
    by_hand(shop, 3, on=True)
    _, plan = shop.owner.push(first=False)
    assert plan.changes == () and plan.targets[0].drift == {"tagged_by_hand": 1}
    assert carries(shop, 3)


def test_on_ignore_who_was_taken_off_by_hand_stays_off_until_somebody_else_puts_them_on_and_is_theirs_then(
    shop: Shopkeeper,
) -> None:
    shop.owner.change_rule("[guards]", '[push]\nuntagged_by_hand = "ignore"\n[guards]')
    by_hand(shop, 3, on=False)
    for people in (range(4), range(3), range(4)):
        shop.owner.believe({"VIP": people})
        _, plan = shop.owner.push(first=False)
        assert plan.changes == () and not carries(shop, 3)
    by_hand(shop, 3, on=True)
    for people in (range(4), range(3)):
        shop.owner.believe({"VIP": people})
        _, plan = shop.owner.push(first=False)
        assert plan.changes == () and carries(shop, 3)


@pytest.mark.parametrize("adopt", ["", "adopt = true\n"])
def test_two_segments_never_fill_one_tag(shop: Shopkeeper, adopt: str) -> None:
    shop.owner.believe({"VIP": []})
    shop.owner.push(first=False)
    shop.owner.change_rule('name = "VIP"', 'name = "VIP"\ntag = "Gold"')
    other = VIP.replace("hubspot", platform(shop)).replace('name = "VIP"', f'name = "Other"\ntag = "VIP"\n{adopt}')
    shop.owner.change_rule("[[segment]]", f"{other}\n[[segment]]")
    shop.owner.believe({"VIP": range(4), "Other": range(4, 8)})
    _, plan = shop.owner.push()
    assert "is kept for segment 'VIP'" in plan.targets[0].parked and plan.targets[0].held == 4
    _, plan = shop.owner.push(first=False)
    assert plan.changes == () and [carries(shop, n) for n in range(8)] == [True] * 4 + [False] * 4


@pytest.mark.parametrize("policy", ["restore", "pin"])
def test_who_was_archived_after_the_pull_was_taken_off_by_nobodys_hand(tmp_path: Path, policy: str) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        shop = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "mailchimp"), only="mailchimp")
        shop.owner.change_rule("[guards]", f'[push]\nuntagged_by_hand = "{policy}"\n[guards]')
        shop.owner.believe({"VIP": range(4)})
        shop.owner.push()
        shop.world.mailchimp.change("p00003", {"status": "archived"})
        shop.owner.believe({"VIP": range(4) if policy == "pin" else range(3)})
        shop.owner.push(first=False)
        assert shop.owner.store.sql("SELECT * FROM pins") == [] and len(shop.owner.held()) == 4
        shop.world.mailchimp.change("p00003", {"status": "subscribed"})
        assert carries(shop, 3)
        shop.world.mailchimp.change("p00003", {"status": "unsubscribed"})
        shop.owner.pull()
        shop.owner.push(first=False)
        assert not carries(shop, 3), "whoever said no keeps no tag of ours"


def test_whom_a_quiet_fill_reached_though_the_answer_was_lost_is_ours_and_loses_the_tag_on_saying_no(tmp_path: Path) -> None:
    lost: list[str] = []

    def lose_one(request: Request, handle: Callable[[Request], Response]) -> Response:
        found = handle(request)
        if request.method == "POST" and request.path.endswith("/tags"):
            lost.append(request.path)
        return (
            answer("mailchimp", "500", keeper.world.mailchimp.clock) if request.path in lost[1:2] and len(lost) == 2 else found
        )

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        keeper = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "mailchimp"), only="mailchimp")
        keeper.owner.believe({"VIP": range(2)})
        keeper.owner.push()
        keeper.owner.change_rule(">= 1", ">= 2")
        keeper.owner.believe({"VIP": range(6)})
        with between(keeper.world.mailchimp, lose_one):
            keeper.owner.push()
        assert len(keeper.owner.held()) == 6
        for n in range(6):
            keeper.world.mailchimp.change(f"p{n:05d}", {"status": "unsubscribed"})
        keeper.owner.pull()
        keeper.owner.push(first=False)
        assert [n for n in range(6) if carries(keeper, n)] == []


@pytest.mark.parametrize("at", [1, 3, 6, 7], ids=["before the first", "in the middle", "before the last", "after a look"])
def test_a_tag_that_is_renamed_while_it_is_filled_quietly_gets_everybody_under_its_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """What starts no automation goes out by the tag's name, and a name that no tag has makes a second tag."""
    monkeypatch.setattr(mailchimp_tags, "LOOKED_AFTER", 6)
    written: list[str] = []

    def rename(request: Request, handle: Callable[[Request], Response]) -> Response:
        if request.method == "POST" and request.path.endswith("/tags"):
            written.append(request.path)
            if len(written) == at:
                keeper.world.mailchimp.account.tags[tag_id].name = "Best friends"
        return handle(request)

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        keeper = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "mailchimp"), only="mailchimp")
        keeper.owner.believe({"VIP": range(2)})
        keeper.owner.push()
        keeper.world.mailchimp.add_journey(NAME)
        (tag_id,) = {int(o) for _, o, _ in keeper.owner.held()}
        keeper.owner.change_rule(">= 1", ">= 2")
        keeper.owner.believe({"VIP": range(10)})
        with between(keeper.world.mailchimp, rename):
            s, _ = keeper.owner.push()
        everybody = {keeper.world.contact_id("mailchimp", n) for n in range(10)}
        assert keeper.world.members("mailchimp", "Best friends") == everybody
        assert not keeper.world.members("mailchimp", NAME), "nobody is left in the second tag"
        assert {c for *_, c in keeper.owner.held()} == everybody and s.exit_code == 0
        assert keeper.world.mails("mailchimp") == 0
        _, plan = keeper.owner.push(first=False)
        assert plan.changes == () and f"a second tag '{NAME}' is there now" in " ".join(plan.targets[0].notes)
        for n in range(10):
            keeper.world.mailchimp.change(f"p{n:05d}", {"status": "unsubscribed"})
        keeper.owner.pull()
        keeper.owner.push(first=False)
        assert not keeper.world.members("mailchimp", "Best friends")


def test_a_ledger_is_not_rebuilt_from_another_audience(tmp_path: Path) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        shop = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "mailchimp"), only="mailchimp")
        shop.owner.believe({"VIP": range(4)})
        shop.owner.push()
        shop.world.mailchimp.add_audience("b1b2b3b4b5", Shop("Other", "EUR", "UTC", [], [], [], []))
        shop.owner.change_rule('audience = "a1b2c3d4e5"', 'audience = "b1b2b3b4b5"')
        s = shop.owner.session("ledger rebuild")
        with pytest.raises(AuthError, match="another account"):
            rebuild.propose(s, sync.resolved(shop.owner.config))


def test_whom_shopify_did_not_show_in_its_answer_is_looked_at_again_and_loses_the_tag_on_saying_no(tmp_path: Path) -> None:
    def show_nothing(request: Request, handle: Callable[[Request], Response]) -> Response:
        found = handle(request)
        if b"tagsAdd" not in request.body:
            return found
        body = orjson.loads(found.body)
        body["data"] = {alias: {"node": None, "userErrors": []} for alias in body["data"]}
        return Response(found.status, found.headers, orjson.dumps(body))

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        shop = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "shopify"), only="shopify")
        shop.owner.believe({"VIP": range(2)})
        shop.owner.push()
        shop.owner.believe({"VIP": range(6)})
        with between(shop.world.shopify, show_nothing):
            s, _ = shop.owner.push(first=False)
        assert s.results[0].counts == {"unknown": 4} and len(shop.owner.held()) == 2
        for n in range(6):
            shop.world.shopify.change(f"p{n:05d}", {"consent": "unsubscribed"})
        shop.owner.pull()
        shop.owner.push(first=False)
        assert [n for n in range(6) if carries(shop, n)] == []


@pytest.mark.parametrize("is_no", [True, False])
def test_whose_address_changed_between_plan_and_push_loses_the_tag_under_the_new_one(tmp_path: Path, is_no: bool) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        shop = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "mailchimp"), only="mailchimp")
        shop.owner.believe({"VIP": range(5)})
        shop.owner.push()
        if is_no:
            shop.world.mailchimp.change("p00003", {"status": "unsubscribed"})
            shop.owner.pull()
        shop.owner.believe({"VIP": [0, 1, 2, 4]})
        s = shop.owner.session()
        plan = shop.owner.plan(s, first=False)
        shop.world.mailchimp.change("p00003", {"email": "moved@shop.example"})
        writer.carry_out(s, plan)
        assert s.results[0].counts == {"missing": 1} and carries(shop, 3)
        shop.owner.pull()
        shop.owner.push(first=False)
        assert not carries(shop, 3) and len(shop.owner.held()) == 4


def test_a_contact_that_was_deleted_for_good_keeps_no_retired_segment_from_being_let_go(tmp_path: Path) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        shop = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "mailchimp"), only="mailchimp")
        shop.owner.believe({"VIP": range(5)})
        shop.owner.push()
        shop.owner.change_rule('push = ["mailchimp"]', "push = []\nretire = true")
        shop.owner.store.sql("UPDATE go_aheads SET given_at = given_at - INTERVAL 1 DAY")
        s = shop.owner.session()
        plan = shop.owner.plan(s)
        shop.world.mailchimp.change("p00003", {"deleted": True})
        writer.carry_out(s, plan, first=True)
        assert s.results[0].counts == {"done": 4, "missing": 1}
        shop.owner.pull()
        shop.owner.push(first=False)
        assert shop.owner.store.sql("SELECT * FROM ledger_objects") == []


@pytest.mark.parametrize(("is_quiet", "minutes"), [(False, 10), (True, 10), (False, -50)], ids=["", "quiet", "clock set back"])
def test_who_is_tagged_by_hand_while_the_owner_is_asked_keeps_the_tag(shop: Shopkeeper, is_quiet: bool, minutes: int) -> None:
    if is_quiet:
        shop.owner.change_rule(">= 1", ">= 2")
    shop.owner.believe({"VIP": range(6)})
    s = shop.owner.session()
    plan = shop.owner.plan(s, first=is_quiet)
    by_hand(shop, 5, on=True)
    s.now = lambda: NOW + timedelta(minutes=minutes)
    writer.carry_out(s, plan, first=is_quiet)
    shop.owner.store.sql("UPDATE go_aheads SET given_at = given_at + INTERVAL 1 DAY WHERE run_id = ?", [s.run_id])
    shop.owner.believe({"VIP": range(4)})
    _, plan = shop.owner.push(first=False)
    assert (plan.targets[0].left, plan.targets[0].drift) == (1, {"tagged_by_hand": 1})
    assert carries(shop, 5) and not carries(shop, 4)


def test_a_tag_that_is_adopted_in_the_place_of_ours_waits_for_a_go_ahead_and_is_filled_quietly(tmp_path: Path) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        own = VIP.replace("hubspot", "mailchimp").replace('name = "VIP"', 'name = "VIP"\nadopt = true')
        keeper = Shopkeeper(mock, tmp_path, own, only="mailchimp")
        keeper.owner.believe({"VIP": range(4)})
        keeper.owner.push()
        account = keeper.world.mailchimp.account
        found = account.tag_named(NAME)
        assert found is not None
        account.drop_tag(found)
        account.add_tag(NAME)
        keeper.world.mailchimp.add_journey(NAME)
        for _ in range(2):
            _, plan = keeper.owner.push(first=False)
            assert plan.targets[0].waits_for_go_ahead and not keeper.owner.held()
        _, plan = keeper.owner.push(first=True)
        assert plan.targets[0].first_fill and len(keeper.owner.held()) == 4
        assert keeper.world.mails("mailchimp") == 0


def test_an_undo_right_after_a_rename_takes_the_run_back_and_pauses_the_segment_under_its_new_name(shop: Shopkeeper) -> None:
    shop.owner.believe({"VIP": range(6)})
    shop.owner.push(first=False)
    shop.owner.change_rule('name = "VIP"', 'name = "Best"\nwas = "VIP"')
    shop.owner.believe({"Best": range(6)})
    s = shop.owner.session("undo")
    s.counts = shop.owner.counts()
    plan, left = planner.undo_plan_derived(s, shop.owner.run_ids[-2])
    assert [c.kind for c in plan.changes] == ["remove", "remove"] and "no longer in the configuration" not in " ".join(left)
    assert [name for name, _ in choices.all_paused(shop.owner.store)] == ["Best"]


def test_a_canary_is_no_usual_night(shop: Shopkeeper) -> None:
    shop.owner.believe({"VIP": range(6)})
    for canary, nights in ((True, 0), (False, 1)):
        s = shop.owner.session()
        plan = shop.owner.plan(s, first=False)
        writer.carry_out(s, undo.restricted(plan, (), 1) if canary else plan, canary=canary)
        assert shop.owner.store.value("SELECT count(*) FROM nights") == nights


def tagging(keeper: Shopkeeper) -> list[Job]:
    """The jobs that change tags."""
    return [job for job in keeper.world.shopify.jobs.values() if job.type == "MUTATION"]


def test_a_job_that_outlives_its_run_is_waited_for_and_whom_it_tagged_loses_the_tag_on_saying_no(tmp_path: Path) -> None:
    begun: list[dict[str, list[str]]] = []

    def later(request: Request, handle: Callable[[Request], Response]) -> Response:
        """The first job changes nobody yet when it is begun, but when it is looked at for the third time."""
        shop, is_job = keeper.world.shopify, b"bulkOperationRunMutation" in request.body
        before = {name: list(c.tags) for name, c in shop.world.by_source.items()}
        found = handle(request)
        if is_job and not begun:
            begun.append({name: list(c.tags) for name, c in shop.world.by_source.items()})
            for name, tags in before.items():
                shop.world.by_source[name].tags = tags
            tagging(keeper)[0].polls = 2
        elif begun and begun[0] and tagging(keeper)[0].status == "COMPLETED":
            for name, tags in begun[0].items():
                shop.change(name, {"tags": tags})
            begun[0] = {}
        return found

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        keeper = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "shopify"), only="shopify", more='bulk = "always"')
        keeper.owner.believe({"VIP": range(4)})
        with between(keeper.world.shopify, later):
            with pytest.raises(Killed):
                keeper.owner.push(Fuse(lambda boundary: bool(begun) and boundary == "after shopify"))
            keeper.owner.reopen()
            assert keeper.world.members("shopify", NAME) == set()
            keeper.world.shopify.change("p00003", {"status": "unsubscribed"})
            keeper.owner.pull()
            keeper.owner.push(first=False)
        assert begun == [{}] and [carries(keeper, n) for n in range(4)] == [True, True, True, False]
        assert keeper.owner.held() == keeper.owner.live()


def test_a_job_that_does_not_end_keeps_its_batch_open(tmp_path: Path) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        keeper = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "shopify"), only="shopify", more='bulk = "always"')
        keeper.world.shopify.switches.bulk_polls = 10_000
        keeper.owner.believe({"VIP": range(4)})
        keeper.owner.push()
        keeper.world.shopify.switches.bulk_polls = 1
        s, plan = keeper.owner.push(first=False)
        assert plan.targets == () and s.exit_code != 0 and "did not end in time" in s.problems[0].text
        (job,) = tagging(keeper)
        job.polls = 0
        keeper.owner.push(first=False)
        assert len(keeper.owner.held()) == 4 and keeper.owner.held() == keeper.owner.live()


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_whom_an_unfinished_run_tagged_and_mailchimp_shows_only_later_loses_the_tag_on_saying_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_forgotten: bool
) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        keeper = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "mailchimp"), only="mailchimp")
        keeper.owner.believe({"VIP": range(2)})
        keeper.owner.push()
        keeper.world.mailchimp.switches.list_lag_s = 600
        keeper.owner.believe({"VIP": range(5)})
        with pytest.raises(Killed):
            keeper.owner.push(Fuse(lambda boundary: boundary == "after mailchimp"), first=False)
        keeper.owner.reopen()
        keeper.world.mailchimp.change("p00003", {"status": "unsubscribed"})
        keeper.owner.pull()
        _, plan = keeper.owner.push(first=False)
        assert plan.targets[0].before == 2 and len(keeper.owner.held()) == 4
        if is_forgotten:
            privacy.forget(keeper.owner.store, keeper.owner.config, address(3), "r", now=lambda: NOW)
        monkeypatch.setattr(small_world, "NOW", NOW + timedelta(days=1))
        by_hand(keeper, 6, on=True)
        keeper.owner.push(first=False)
        assert [carries(keeper, n) for n in range(7)] == [True, True, True, False, True, False, True]


def test_whom_an_unfinished_run_tagged_and_who_changed_the_address_before_the_next_loses_the_tag_on_saying_no(
    tmp_path: Path,
) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        keeper = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "mailchimp"), only="mailchimp")
        keeper.owner.believe({"VIP": range(2)})
        keeper.owner.push()
        keeper.owner.believe({"VIP": range(5)})
        with pytest.raises(Killed):
            keeper.owner.push(Fuse(lambda boundary: boundary == "after mailchimp"), first=False)
        keeper.owner.reopen()
        keeper.world.mailchimp.change("p00003", {"email": "new@shop.example"})
        keeper.owner.push(first=False)
        keeper.world.mailchimp.change("p00003", {"status": "unsubscribed"})
        keeper.owner.pull()
        keeper.owner.push(first=False)
        assert [carries(keeper, n) for n in range(5)] == [True, True, True, False, True]


def nightly_read(keeper: Shopkeeper) -> None:
    """A pull, and a look at everybody who is still there."""
    keeper.owner.pull()
    s = keeper.owner.session("sync")
    sync.read_in_full(s)
    sync.identify(s)


@pytest.mark.parametrize("has_orders", [True, False])
def test_who_was_merged_on_shopify_loses_our_tag_on_saying_no_where_the_orders_tell_into_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_orders: bool
) -> None:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        keeper = Shopkeeper(mock, tmp_path, VIP.replace("hubspot", "shopify"), only="shopify")
        shop = keeper.world.shopify
        people = [c.source for c in shop.world.customers]
        bought = [Purchase(order, "p00003", NOW, Decimal(9)) for order in ("1", "2")]
        shop.load(Shop("Small", "EUR", "UTC", people, [], bought if has_orders else [], []))
        nightly_read(keeper)
        keeper.owner.believe({"VIP": range(4)})
        keeper.owner.push()
        monkeypatch.setattr(small_world, "NOW", NOW + timedelta(days=8))
        shop.merge("p00007", "p00003")
        nightly_read(keeper)
        shop.change("p00007", {"status": "unsubscribed"})
        nightly_read(keeper)
        for days in (16, 24):  # who is missed once may be back
            monkeypatch.setattr(small_world, "NOW", NOW + timedelta(days=days))
            nightly_read(keeper)
            keeper.owner.believe({"VIP": range(3)})
            keeper.owner.push(first=False)
        assert [carries(keeper, n) for n in (0, 1, 2, 7)] == [True, True, True, not has_orders]


def test_a_tag_made_under_another_prefix_is_kept_in_step_and_whoever_says_no_loses_it(shop: Shopkeeper) -> None:
    first = shop.owner.run_ids[-1]
    shop.owner.change_rule("[guards]", '[push]\nprefix = "Ours: "\n[guards]')
    shop.world.simulators[platform(shop)].change("p00003", {"status": "unsubscribed"})
    shop.owner.pull()
    shop.owner.believe({"VIP": range(5)})
    s, _ = shop.owner.push(first=False)
    assert [carries(shop, n) for n in range(5)] == [True, True, True, False, True] and s.exit_code == 0
    assert shop.owner.push(first=False)[1].changes == ()
    s = shop.owner.session("undo")
    s.counts = shop.owner.counts()
    plan, _ = planner.undo_plan_derived(s, first)
    writer.carry_out(s, plan)
    assert [carries(shop, n) for n in range(5)] == [False] * 4 + [True]


def test_a_tag_that_was_agreed_to_for_e_mail_is_taken_off_who_says_no_by_e_mail_until_another_channel_is_agreed_to(
    shop: Shopkeeper,
) -> None:
    shop.owner.change_rule('name = "VIP"', 'name = "VIP"\nchannel = "sms"')
    shop.world.simulators[platform(shop)].change("p00003", {"status": "unsubscribed"})
    shop.owner.pull()
    _, plan = shop.owner.push(first=False)
    assert plan.targets[0].waits_for_go_ahead and [c.must for c in plan.targets[0].writable] == [True]
    assert [carries(shop, n) for n in range(4)] == [True, True, True, False]
    assert not shop.owner.push(first=False)[1].targets[0].writable
