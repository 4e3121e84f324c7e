"""What an owner does to a Mailchimp account between two nights, and what the next night says about it: words and exit code.

One shop serves all of it: every story puts back what it changed, and every request that Mailchimp got is looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connector.sandbox.mailchimp import MailchimpSimulator
from connector.sandbox.shop import Shop
from tests.platforms.mailchimp.described import problems
from tests.stories.story import AS_OF, AUDIENCE, NAMES, Answer, Story

SYNC = ("sync", "--as-of", AS_OF)
FIRST = ("push", "--first", "--as-of", AS_OF)
OTHER = "f9e8d7c6b5"
KEY = "0123456789abcdef0123456789abcdef"


class Life:
    """A shop whose tags are filled, its Mailchimp, and what was wrong with the requests that came there."""

    def __init__(self, story: Story) -> None:
        self.story = story
        found = story.sandbox.simulators["mailchimp"]
        assert isinstance(found, MailchimpSimulator)
        self.mailchimp = found
        self.seen = 0
        self.wrong: list[str] = []
        handle = found.handle

        def looked_at(request: Any) -> Any:
            if "rollcall" in request.headers.get("user-agent", ""):
                self.seen += 1
                query = {name: values[-1] for name, values in request.query.items()}
                body = json.loads(request.body) if request.body else None
                self.wrong += problems(request.method, request.path, query, body)
            return handle(request)

        found.handle = looked_at  # type: ignore[method-assign]  # to see what is sent


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, few_orders: Path) -> Iterator[Life]:
    with Story(tmp_path_factory.mktemp("owner") / "shop", few_orders) as story:
        found = Life(story)
        story.ok("backfill")
        story.ok(*FIRST)
        yield found


def said(answer: Answer, words: str) -> None:
    """The words are there, and nothing that an owner cannot use or that others should not see."""
    assert re.search(words, " ".join(answer.text.split())), answer.text
    assert KEY not in answer.text and "@shop.example" not in answer.text
    assert "Traceback" not in answer.text and "our mistake" not in answer.text


def test_a_revoked_key_stops_mailchimp_alone_and_says_what_to_do(life: Life) -> None:
    story, written = life.story, len(life.story.writes())
    life.mailchimp.switches.is_revoked = True
    story.change(["00001"], last_name="Changed")
    answer, check = story.run(*SYNC), story.run("check")
    life.mailchimp.switches.is_revoked = False
    assert (answer.code, check.code) == (6, 6)
    said(answer, r"Mailchimp refused the key \(401, API Key Invalid\)\. It was revoked.*Make a new key.*`rollcall check`")
    said(check, r"ERROR +Mailchimp credentials: Mailchimp refused the key")
    assert re.search(r"ok +HubSpot account", check.out), "the others are looked at all the same"
    assert story.sql("SELECT count(*) FROM contacts WHERE source = 'shopify' AND last_name = 'Changed'") == [(1,)]
    assert len(story.writes()) == written


def test_a_key_of_another_data_centre_is_named_with_the_one_it_names(life: Life) -> None:
    file = life.story.folder / "secrets/mailchimp"
    right = file.read_text()
    file.write_text(f"{KEY}-us9")
    answer = life.story.run("pull", "--source", "mailchimp")
    file.write_text(right)
    assert answer.code == 6
    said(answer, r"in another data centre than 'us9', which the key's end names")


def test_a_deleted_audience_ends_the_run_before_anything_is_written_and_names_what_there_is(life: Life) -> None:
    story, simulator, written = life.story, life.mailchimp, len(life.story.writes())
    simulator.add_audience(OTHER, Shop("Wholesale", "USD", "UTC", [], [], [], []))
    simulator.delete_audience()
    answer, check = story.run(*SYNC), story.run("check")
    simulator.account.audiences[AUDIENCE] = simulator.account
    simulator.delete_audience(OTHER)
    assert (answer.code, check.code) == (2, 2)
    for found in (answer, check):
        said(found, rf"no audience '{AUDIENCE}' in this account.*It has: {OTHER} \(Wholesale\)\. Correct mailchimp\.audience")
    assert len(story.writes()) == written


def test_a_key_that_may_only_read_pulls_everything_writes_nothing_and_says_whose_key_is_wanted(life: Life) -> None:
    story, written = life.story, len(life.story.writes())
    refused = min(story.tags()["Frequent"])
    story.change([refused.removesuffix("@shop.example")], mailchimp={"consent": "unsubscribed"})
    life.mailchimp.switches.can_write = False
    answer, check = story.run(*SYNC), story.run("check")
    life.mailchimp.switches.can_write = True
    assert (answer.code, check.code) == (6, 0)
    said(answer, r"does not let this key change tags.*manager, an admin or the owner")
    said(check, r"WARNING Mailchimp role: the key belongs to a viewer, who may read but not change tags")
    assert len(story.writes()) == written
    story.ok(*SYNC)
    assert refused not in story.tags()["Frequent"], "the no is carried out as soon as it can be"


def test_a_tag_renamed_by_hand_is_kept_in_step_under_its_new_name_and_the_plan_says_so(life: Life) -> None:
    story, members = life.story, life.story.tags()["Frequent"]
    tag_id, refused = story.tag_id("Frequent"), max(life.story.tags()["Frequent"])
    story.mailchimp("PATCH", f"segments/{tag_id}", {"name": "Best friends"})
    story.change([refused.removesuffix("@shop.example")], mailchimp={"consent": "unsubscribed"})
    answer = story.ok(*SYNC)
    said(answer, r"somebody renamed it to 'Best friends' in Mailchimp; it is kept in step under that name")
    tags = story.state()["mailchimp"]["tags"]
    assert set(tags["Best friends"]["members"]) == members - {refused}
    assert len(tags) == len(NAMES), "no second tag came to be"
    story.mailchimp("PATCH", f"segments/{tag_id}", {"name": "Rollcall: Frequent"})


def test_a_tag_deleted_by_hand_waits_for_the_owner_and_is_said_once(life: Life) -> None:
    story, members = life.story, life.story.tags()["Lapsed 180"]
    story.mailchimp("DELETE", f"segments/{story.tag_id('Lapsed 180')}")
    answer = story.run(*SYNC)
    assert answer.code == 3
    said(answer, r"the tag we made was deleted in Mailchimp")
    said(answer, r"To make it again: `rollcall push --first`")
    assert story.run("push", "--as-of", AS_OF).code == 0, "it is said once"
    assert "Lapsed 180" not in story.tags()
    story.ok(*FIRST)
    assert story.tags()["Lapsed 180"] == members


def test_every_request_of_a_whole_life_fits_the_published_description(life: Life) -> None:
    life.story.ok("check")
    assert life.wrong == [] and life.seen > 20
