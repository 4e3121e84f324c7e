"""What befalls an owner of a HubSpot account, one thing at a time, through the real command: the words, the code, the way out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from adapters.hubspot_property import PROPERTY
from connector.sandbox.base import Limits
from connector.sandbox.hubspot import HubspotSimulator
from connector.sandbox.hubspot_lists import StoredList
from connector.sandbox.hubspot_settings import WriteRule
from tests.stories.story import AS_OF, Answer, Story, plan_of

FREQUENT = '[[segment]]\nname = "Frequent"\nwhere = "orders_total >= 3"\npush = ["hubspot"]\n'
PULL = ("pull", "--source", "hubspot")
PUSH = ("push", "--as-of", AS_OF)
PLAN = ("plan", "--as-of", AS_OF)
NAME = "Rollcall: Frequent"


def hubspot(story: Story) -> HubspotSimulator:
    found = story.sandbox.simulators["hubspot"]
    assert isinstance(found, HubspotSimulator)
    return found


def the_list(story: Story) -> StoredList:
    """The first list ever made there, deleted or not."""
    return next(iter(hubspot(story).lists.lists.values()))


def written(story: Story) -> list[dict[str, Any]]:
    return [w for w in story.writes() if w["platform"] == "hubspot"]


def streams(answer: Answer) -> dict[str, bool]:
    """HubSpot's streams -> read to their end."""
    return {s["stream"]: s["is_complete"] for s in answer.json["streams"] if s["source"] == "hubspot"}


def problems(answer: Answer) -> str:
    return "\n".join(p["text"] for p in answer.json["problems"])


def target(story: Story) -> Any:
    return plan_of(story.run(*PLAN, "--json"))["hubspot", "Frequent"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, pulled_store: Path, few_orders: Path) -> Story:
    """The small shop, its list made and filled; closed, its store and its HubSpot are copied."""
    with Story(tmp_path_factory.mktemp("filled") / "shop", few_orders) as story:
        story.take_store(pulled_store)
        story.configure(FREQUENT)
        story.ok(*PUSH, "--first")
        story.world = {"members": sorted(map(str, the_list(story).members))}
    return story


@pytest.fixture
def shop(story: Story, filled: Story) -> Story:
    """The same, once more from the start for each test."""
    story.take_store(filled.folder)
    story.configure(FREQUENT)
    made = hubspot(story).add_list(NAME, "MANUAL")
    assert made.id == the_list(filled).id
    hubspot(story).lists.put(made, [int(i) for i in filled.world["members"]])
    return story


def members(story: Story) -> set[str]:
    return set(map(str, the_list(story).members))


def test_a_revoked_token_stops_hubspot_alone_and_says_how_to_make_a_new_one(shop: Story) -> None:
    hubspot(shop).switches.tokens = set()
    answer = shop.run("pull", "--json")
    assert answer.code == 6
    read = {s["source"] for s in answer.json["streams"] if s["is_complete"]}
    assert read == {"shopify", "mailchimp"}
    words = shop.run(*PUSH)
    assert words.code == 6
    assert "The HubSpot token was not accepted: mistyped, deleted or rotated (401)." in words.err
    assert "Development > Keys > Service keys" in words.err and "run `rollcall check`" in words.err
    assert words.err.count("The HubSpot token") == 1, "said once"
    assert "pat-eu1" not in words.text
    assert shop.run("check").code == 6
    assert not written(shop)


def test_a_token_of_another_account_is_refused_by_every_command_and_nothing_is_mixed(shop: Story) -> None:
    hubspot(shop).switches.portal_id = 777
    for command in (PULL, PUSH, ("check",)):
        answer = shop.run(*command)
        assert answer.code == 6, command
        assert "from another HubSpot account" in answer.text or "belong to another account (HubSpot 777)" in answer.text
        assert "Use the right key, or another store file for the other account." in answer.text
    assert not written(shop)


def test_a_missing_scope_closes_one_stream_the_rest_goes_on_and_the_scope_is_named(shop: Story) -> None:
    hubspot(shop).switches.scopes -= {"crm.objects.orders.read"}
    answer = shop.run(*PULL, "--json")
    assert answer.code == 6
    assert {name for name, whole in streams(answer).items() if not whole} == {"orders"}
    assert "HubSpot orders: The HubSpot token lacks the scope crm.objects.orders.read" in problems(answer)
    assert "Add it to the service key, then `rollcall check`." in problems(answer)
    check = shop.run("check")
    assert "hubspot orders: Not permitted: add the scope crm.objects.orders.read" in check.text
    hubspot(shop).switches.scopes |= {"crm.objects.orders.read"}
    assert shop.run(*PULL).code == 0


def test_a_key_that_may_read_lists_and_not_fill_them_is_told_and_goes_on_once_it_may(shop: Story) -> None:
    gone = hubspot(shop).contact(hubspot_customer(shop))
    assert gone is not None
    shop.change([hubspot_customer(shop)], hubspot={"consent": "unsubscribed"})
    shop.ok(*PULL)
    hubspot(shop).switches.scopes -= {"crm.lists.write"}
    answer = shop.run(*PUSH)
    assert answer.code == 6
    assert "The HubSpot token lacks the scope crm.lists.write (403). Add it to the service key" in answer.err
    assert str(gone.id) in members(shop)
    hubspot(shop).switches.scopes |= {"crm.lists.write"}
    shop.ok(*PUSH)
    assert str(gone.id) not in members(shop)


def hubspot_customer(story: Story) -> str:
    """The customer_id of somebody on the list."""
    ids = {str(i): customer for customer, i in hubspot(story).customers.items()}
    return ids[min(members(story), key=int)]


def test_a_list_deleted_by_hand_is_not_made_again_without_a_word(shop: Story) -> None:
    before = members(shop)
    the_list(shop).deleted_at = hubspot(shop).clock()
    first, second = shop.run(*PUSH), shop.run(*PUSH)
    assert (first.code, second.code) == (3, 0), "told once, then known"
    assert f"'{NAME}' was deleted on the platform. To make it again: `rollcall push --first`" in first.err
    assert "can be restored for 90 days" in first.out
    assert not written(shop) and len(hubspot(shop).lists.lists) == 1
    shop.ok(*PUSH, "--first")
    assert {str(m) for m in hubspot(shop).lists.live()[0].members} == before
    assert next(w["kind"] for w in written(shop)) == "list.create"


def test_a_deleted_list_that_is_restored_is_ours_again(shop: Story) -> None:
    the_list(shop).deleted_at = hubspot(shop).clock()
    shop.run(*PLAN)
    the_list(shop).deleted_at = None
    assert "Nothing would change" in shop.ok(*PUSH).out
    assert not written(shop)


def test_a_stranger_who_takes_the_name_of_a_deleted_list_keeps_his_list(shop: Story) -> None:
    the_list(shop).deleted_at = hubspot(shop).clock()
    theirs = hubspot(shop).add_list(NAME, "MANUAL", ("00001",))
    answer = shop.run(*PUSH, "--first")
    assert answer.code == 3
    assert f"'{NAME}' is there already and we did not make it. Write adopt = true" in answer.text
    assert not written(shop) and len(theirs.members) == 1


def test_a_list_renamed_by_hand_is_told_and_kept_in_step(shop: Story) -> None:
    the_list(shop).name = "Our best"
    gone = hubspot(shop).customers[hubspot_customer(shop)]
    shop.change([hubspot_customer(shop)], hubspot={"consent": "unsubscribed"})
    shop.ok(*PULL)
    answer = shop.ok(*PUSH)
    assert "HubSpot list Our best" in answer.out
    assert f"somebody renamed it in HubSpot; it was '{NAME}'. It is still the same list and is kept in step" in answer.out
    assert str(gone) not in members(shop)
    assert (the_list(shop).name, len(hubspot(shop).lists.lists)) == ("Our best", 1)


def test_a_list_that_now_fills_itself_is_left_alone_in_words(shop: Story) -> None:
    the_list(shop).processing = "DYNAMIC"
    shop.change([hubspot_customer(shop)], hubspot={"consent": "unsubscribed"})
    shop.ok(*PULL)
    answer = shop.run(*PUSH)
    assert answer.code == 3
    assert "cannot hold people we choose (it is not a static one)" in answer.text
    assert not written(shop)


def test_the_limit_of_the_day_stops_the_pull_says_when_and_the_next_day_goes_on_from_there(story: Story) -> None:
    """Twelve thousand five hundred requests are left to the owner's other apps: a twentieth of the smallest plan's day."""
    buckets = hubspot(story).buckets
    buckets.limits, buckets.day = Limits(on=True), story.sandbox.clock().date()
    buckets.today = 237_497
    first = story.run("backfill", "--source", "hubspot", "--json")
    assert first.code in (1, 4)
    fetched = {s["stream"]: s["fetched"] for s in first.json["streams"]}
    assert 0 < fetched["contacts"] < 120
    assert buckets.today < 237_510, "nothing more was asked"
    said = next(line for line in problems(first).splitlines() if line.startswith("HubSpot contacts:"))
    assert re.search(r"of 250000 HubSpot requests are left for today, and they belong to all of the account's apps", said)
    assert re.search(r"goes on after \d{4}-\d\d-\d\d \d\d:\d\d UTC \(midnight in the account's time zone\)", said)
    assert "What was read is kept; the same command goes on from there" in said
    assert problems(first).count("midnight") == 1, "said once, not for every stream"
    still = story.run(*PULL)
    assert still.code in (1, 4) and buckets.today < 237_515, "the same day: no more than a look"

    buckets.today = 0
    later = story.run(*PULL, "--json")
    assert later.code == 0, later.text
    assert {s["stream"]: s["fetched"] for s in later.json["streams"]}["contacts"] == 120 - fetched["contacts"]
    assert story.sql("SELECT count(*), count(DISTINCT contact_id) FROM contacts WHERE source = 'hubspot'") == [(120, 120)]


def test_an_account_that_moves_between_data_centres_is_left_alone_for_as_long_as_hubspot_says(shop: Story) -> None:
    hubspot(shop).switches.moving_for_s = 7200
    answer = shop.run(*PULL)
    assert answer.code in (1, 4)
    assert "moving this account to another data centre (477)" in answer.err
    assert re.search(r"goes on after \d{4}-\d\d-\d\d \d\d:\d\d UTC", answer.err)
    hubspot(shop).switches.moving_for_s = None
    assert shop.run(*PULL).code == 0


def test_a_subscription_type_nobody_has_stops_the_run_before_anybody_is_pushed_by_mistake(shop: Story) -> None:
    shop.configure(FREQUENT, hubspot='subscription_type = "Newsleter"')
    answer = shop.run(*PULL)
    assert answer.code == 2
    assert "Did you mean 'Newsletter'? There are: 101001 (Newsletter), 101002 (Offers)." in answer.err


def test_who_opted_out_of_the_named_type_leaves_the_list_and_who_opted_out_of_another_stays(shop: Story) -> None:
    shop.configure(FREQUENT, hubspot='subscription_type = "Newsletter"')
    ids = {str(i): customer for customer, i in hubspot(shop).customers.items()}
    out, other = sorted(members(shop), key=int)[:2]
    shop.change([ids[out]], hubspot={"hs_email_optout_101001": "true"})
    shop.change([ids[other]], hubspot={"hs_email_optout_101002": "true"})
    before = members(shop)
    shop.ok(*PULL)
    shop.ok(*PUSH)
    assert members(shop) == before - {out}


def test_a_value_that_was_lost_is_written_again_and_then_all_is_in_step(shop: Story) -> None:
    shop.configure(FREQUENT, hubspot="hubspot_property = true")
    assert target(shop)["entered"] == len(members(shop)), "the property is new"
    shop.ok(*PUSH)
    assert not target(shop)["entered"]
    lost = hubspot_customer(shop)
    shop.change([lost], hubspot={PROPERTY: ""})
    before = len(written(shop))
    answer = shop.ok(*PUSH)
    assert "1 on the list do not carry it in the property rollcall_segments" in answer.out
    assert [(w["kind"], w["contact"]) for w in written(shop)[before:]] == [("property.set", str(hubspot(shop).customers[lost]))]
    assert "Nothing would change" in shop.ok(*PLAN).out


def test_a_value_an_admins_rule_forbids_is_told_once_and_takes_nobody_off_the_list(shop: Story) -> None:
    shop.configure(FREQUENT, hubspot="hubspot_property = true")
    shop.ok(*PUSH)
    lost, before = hubspot_customer(shop), members(shop)
    hubspot(shop).switches.write_rules = [WriteRule("lifecyclestage", "opportunity", ("company",))]
    shop.change([lost], hubspot={PROPERTY: "", "lifecyclestage": "opportunity"})
    shop.ok(*PULL)
    assert shop.run(*PUSH).code == 3
    reasons = [r for (r,) in shop.sql("SELECT reason FROM parked")]
    assert len(reasons) == 1 and "a rule in HubSpot wants company filled first" in reasons[0]
    again = shop.ok(*PUSH)
    assert "Nothing would change" in again.out and "stuck: HubSpot refuses to change them" in again.out
    assert members(shop) == before
