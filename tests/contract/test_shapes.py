"""`check --live-shapes`: what differs is named, what is personal never is."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters import PLATFORMS, load
from adapters.base import Page, Stream
from connector import live_shapes, shapes
from connector.conformance import connected
from connector.mapping import load_mapping
from connector.sandbox.base import Request, Response
from connector.sandbox.shop import Shop
from tests.contract.make_shapes import file_of, sample, shapes_text
from tests.contract.test_postbox import postbox_world
from tests.stories.story import Answer, Story

MARK = "\N{SNOWMAN}"
NUMBER = 7_770_007_770


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_shipped_shapes_are_those_of_the_simulators(platform: str) -> None:
    made = shapes_text(platform, sample())
    assert file_of(platform).read_text() == made, "run: .venv/bin/python tests/contract/make_shapes.py"
    assert "@" not in made and json.loads(made)["streams"][load(platform).contacts_stream]


# ---- through the command


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with Story(tmp_path_factory.mktemp("shapes") / "shop", sample()) as story:
        story.configure(shopify="tries = 2", mailchimp="tries = 2", hubspot="tries = 2")
        yield story


def changed(story: Story, platform: str, change: Callable[[Request, Any], None]) -> Callable[[], None]:
    """Let a platform answer differently from now on; gives what undoes it."""
    simulator = story.sandbox.simulators[platform]
    handle = simulator.handle

    def other(request: Request) -> Response:
        response = handle(request)
        if not response.body.startswith(b"{"):
            return response
        body = json.loads(response.body)
        change(request, body)
        headers = {k: v for k, v in response.headers.items() if k.lower() != "content-length"}
        return Response(response.status, headers, json.dumps(body).encode())

    simulator.handle = other  # type: ignore[method-assign]  # the platform has changed
    return lambda: setattr(simulator, "handle", handle)


def test_against_the_sandbox_nothing_differs_and_nothing_personal_is_saved(story: Story) -> None:
    answer = story.run("check", "--live-shapes", "--out", "shapes.txt")
    assert answer.code == 0, answer.text
    assert "Nothing differs that matters." in answer.out and "!" not in answer.out
    file = story.folder / "shapes.txt"
    text = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "members: records 50, fields" in text and "email_address: text 50" in text
    assert "x-hubspot-ratelimit-max" in text and "x-shopify-api-version" in text
    customers = sample().customers
    held = {w for c in customers for w in (c.email, c.first_name, c.last_name, c.phone, c.city) if len(w) > 3}
    assert not [w for w in held if w in text] and "@" not in text
    assert not story.writes()


def members(request: Request, body: Any) -> list[dict[str, Any]]:
    found = body.get("members", []) if request.path.endswith("/members") else []
    return [row for row in found if "email_address" in row]


def test_what_differs_is_named_with_what_it_breaks(story: Story) -> None:
    def change(request: Request, body: Any) -> None:
        for n, row in enumerate(members(request, body)):
            row["opted"] = row.pop("timestamp_opt", "")
            row["last_changed_on"] = row.pop("last_changed", "")
            row["member_rating"] = "five"
            row["status"] = "snoozed" if n == 3 else row.get("status")
            row["merge_fields"]["SHOE_SIZE"] = "42"
            row["language"] = None

    undo = changed(story, "mailchimp", change)
    answer = story.run("check", "--live-shapes", "--out", "changed.txt")
    undo()
    assert answer.code == 3, answer.text
    text = (story.folder / "changed.txt").read_text()
    assert "! missing last_changed: in none of 50 places; it fills contacts.updated_at; this breaks telling which" in text
    assert "! unknown <name>: 100 times a field we do not know in the record itself: text 100" in text
    assert "! kind    member_rating: text 50, where the simulator has number" in text
    assert "! word    status: 1 values are none of the words we know; each such record is set aside" in text
    assert "  empty   language: 50 times nothing, where the simulator always has something" in text
    assert not [w for w in ("opted", "last_changed_on", "SHOE_SIZE", "snoozed", "five", "42,") if w in text]
    assert "merge_fields.<name>: text 50" in text


@pytest.mark.parametrize(
    ("platform", "field", "said"),
    [
        ("shopify", "marketingState", "defaultEmailAddress.marketingState: in none of"),
        (
            "hubspot",
            "hs_email_optout",
            "properties.hs_email_optout: in none of 50 places; it fills consents; this breaks knowing who",
        ),
    ],
)
def test_a_field_that_is_missing_is_said_of_every_platform(story: Story, platform: str, field: str, said: str) -> None:
    undo = changed(story, platform, lambda request, body: without(body, field))
    answer = story.run("check", "--live-shapes")
    undo()
    assert answer.code == 3 and f"! missing {said}" in answer.out, answer.text


def without(value: Any, name: str) -> None:
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        without(inner, name)
    if isinstance(value, dict):
        value.pop(name, None)


def test_a_platform_that_refuses_us_is_said_and_the_others_are_compared(story: Story) -> None:
    secret = story.folder / "secrets" / "mailchimp"
    right = secret.read_text()
    secret.write_text("f" * 32 + "-us1")
    answer: Answer = story.run("check", "--live-shapes")
    secret.write_text(right)
    assert answer.code == 6 and "refused the key" in answer.out
    assert "HubSpot\n  contacts: records 50" in answer.out


def test_a_stream_that_cannot_be_read_is_said_and_is_no_clean_bill(story: Story) -> None:
    undo = changed(story, "mailchimp", lambda request, body: 1 // (not request.path.endswith("/members")))
    answer = story.run("check", "--live-shapes")
    undo()
    assert answer.code == 1 and "members: could not be read: Mailchimp" in answer.out
    assert "1 stream could not be looked at." in answer.out and "Nothing differs" not in answer.out


def test_a_file_without_the_comparison_is_a_mistake(story: Story) -> None:
    assert "goes with --live-shapes" in story.run("check", "--out", "x.txt").err


# ---- what may never be in it

ODD = st.text(max_size=12).map(lambda text: f"{text}{MARK}") | st.sampled_from(
    [f"ann{MARK}@shop.example", f"\n{MARK}", f'"{MARK}"', f"<name>{MARK}", f"{MARK}]", f"status.{MARK}"]
)
KNOWN = st.sampled_from(
    ["status", "email_address", "merge_fields", "tags", "id", "stats", "location", "interests", "name", "FNAME"]
)
LEAVES = ODD | st.integers(NUMBER, NUMBER + 9) | st.booleans() | st.none()
RECORDS = st.lists(
    st.dictionaries(
        KNOWN | ODD,
        st.recursive(
            LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KNOWN | ODD, inner, max_size=4), max_leaves=8
        ),
        max_size=6,
    ),
    min_size=1,
    max_size=4,
)


class Answers:
    """An account that answers with whatever it is given."""

    def __init__(self, platform: str, records: list[Any]) -> None:
        self.name, self.title, self.settings = platform, load(platform).title, {}
        self.versions, self.records = load(platform).versions, records

    def streams(self) -> tuple[Stream, ...]:
        return tuple(Stream(name, name) for name in load_mapping(self.name).streams)

    def pages(self, stream: str, cursor: Any) -> Iterator[Page]:
        yield Page(self.records, {}, True)


@pytest.mark.parametrize("platform", PLATFORMS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(records=RECORDS)
def test_no_value_and_no_name_somebody_chose_is_ever_in_it(platform: str, records: list[Any]) -> None:
    look = live_shapes.look(Answers(platform, records))  # type: ignore[arg-type]  # the part of an adapter that is looked at
    text = "\n".join(live_shapes.report_lines([look], made="now"))
    assert MARK not in text and "@" not in text and str(NUMBER)[:-1] not in text
    assert text.count("\n") == len(text.splitlines()) - 1


def test_lists_are_counted_as_none_one_or_many_and_kinds_by_the_record() -> None:
    known = shapes.Known(frozenset({"tags", "tags[]", "tags[].name", "on"}))
    found = shapes.shape([{"tags": []}, {"tags": [{"name": "a"}]}, {"tags": [{"name": None}] * 3, "on": True, "x": 1}], known)
    assert dict(found["tags"].lengths) == {"none": 1, "one": 1, "many": 1}
    assert dict(found["tags[].name"].kinds) == {"text": 1, "nothing": 3}
    assert (found["on"].seen, shapes.could_have(found, "on")) == (1, 3)
    assert dict(found["<name>"].kinds) == {"number": 1}


# ---- another package's platform


@pytest.mark.usefixtures("postbox_installed")
def test_another_package_ships_its_own_shapes(postbox_installed: Path, shops: dict[int, Shop]) -> None:
    with connected(postbox_world(shops[45])) as world:
        world.simulator.load(shops[45])
        assert "No shapes are shipped for Postbox" in live_shapes.look(world.adapter()).note
        text = live_shapes.file_text(live_shapes.taken(world.adapter()))
        (postbox_installed / "rollcall_postbox" / "postbox.shapes.json").write_text(text)
        found = live_shapes.look(world.adapter())
        assert not found.note and not found.differences and [s.records for s in found.streams] == [10, 7]
        world.simulator.readers["r00001"]["email"] = 5  # type: ignore[attr-defined]  # Postbox's own
        assert [d.path for d in live_shapes.look(world.adapter()).differences] == ["email"]
        older = world.adapter(api_version="1")
        assert "shapes are those of version 2" in live_shapes.look(older).note
