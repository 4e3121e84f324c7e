"""Profile columns as fields of contacts, through the real command: only our fields, only on change, taken back, never lost."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import responses

from connector import audit
from tests.stories.small_world import PLATFORMS, Fuse, Killed, Owner, World, address
from tests.stories.story import Story
from tests.stories.test_forgetting import every_byte

EVERYWHERE = '["shopify", "mailchimp", "hubspot"]'
TOWN = f'[[field]]\ncolumn = "city"\nname = "town"\npush = {EVERYWHERE}\n'
HUBSPOT_ONLY = '[[field]]\ncolumn = "city"\nname = "town"\npush = ["hubspot"]\n'
KEYS = {"shopify": "$app.town", "mailchimp": "RC_TOWN", "hubspot": "rollcall_town"}
SETTING = {("shopify", "metafield_set"), ("mailchimp", "member.patch"), ("hubspot", "property.set")}
MAKING = {
    ("shopify", "metafield_definition_created"), ("mailchimp", "merge_field.create"), ("hubspot", "property_group.create"),
    ("hubspot", "property.create"),
}  # fmt: skip


def towns(story: Story) -> dict[str, dict[str, str]]:
    """Platform -> customer number -> what stands in our field, from the platforms' own memory."""
    state = story.state()
    found = {
        "shopify": {c["email"]: c["metafields"] for c in state["shopify"]["customers"]},
        "mailchimp": {m["email_address"]: m["merge_fields"] for m in state["mailchimp"]["members"].values()},
        "hubspot": {c["email"]: c for c in state["hubspot"]["objects"]["contacts"]["live"].values()},
    }
    return {p: {e[:5]: f[KEYS[p]] for e, f in sorted(of.items()) if f.get(KEYS[p])} for p, of in found.items()}


def everywhere(**values: str) -> dict[str, dict[str, str]]:
    return {p: {n.removeprefix("n"): v for n, v in values.items()} for p in PLATFORMS}


def live_in(story: Story, **values: str) -> None:
    """The customers with these numbers move, and the next pull knows."""
    for number, town in values.items():
        story.change([number.removeprefix("n")], city=town)
    story.ok("pull")


def kinds(writes: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(w["platform"], w["kind"]) for w in writes}


@pytest.fixture
def filled(pulled: Story) -> Story:
    """Two towns are known and stand on every platform."""
    live_in(pulled, n00001="Bonn", n00002="Köln")
    pulled.configure(TOWN)
    pulled.ok("push", "--first")
    return pulled


def test_a_saved_plan_with_the_go_ahead_writes_our_fields_and_nothing_else_and_then_all_is_in_step(pulled: Story) -> None:
    live_in(pulled, n00001="Bonn", n00002="Köln")
    pulled.configure(TOWN)
    before, status = len(pulled.writes()), pulled.state()["mailchimp"]["members"]
    plan = pulled.ok("plan", "--json", "--out", "tonight.json").json
    assert [(f["set"], f["waits_for_go_ahead"]) for f in plan["fields"]] == [(2, True)] * 3 and plan["has_changes"]
    markdown = pulled.ok("plan", "--markdown").out
    assert "| HubSpot property rollcall\\_town | city | 2 | 0 | 0 |" in markdown and "Flow automations of yours" in markdown
    assert pulled.run("push").code == 3 and len(pulled.writes()) == before, "nothing without the go-ahead"

    out = pulled.ok("apply", "tonight.json", "--first").out
    assert "Mailchimp merge field RC_TOWN" in out
    assert towns(pulled) == everywhere(n00001="Bonn", n00002="Köln")
    written = pulled.writes()[before:]
    assert kinds(written) == SETTING | MAKING
    assert len([w for w in written if (w["platform"], w["kind"]) in SETTING]) == 6
    now = pulled.state()["mailchimp"]["members"]
    assert {k: m["status"] for k, m in now.items()} == {k: m["status"] for k, m in status.items()}

    assert pulled.run("plan", "--detailed-exitcode").code == 0
    pulled.ok("pull")
    pulled.ok("push")
    assert len(pulled.writes()) == before + len(written), "the second push writes nothing"


def test_only_what_changed_is_written_and_only_where_it_is_asked_for(filled: Story) -> None:
    live_in(filled, n00002="Ulm", n00003="Trier")
    before = len(filled.writes())
    filled.ok("push", "--platform", "hubspot")
    assert [(w["platform"], w["object"]) for w in filled.writes()[before:]] == [("hubspot", KEYS["hubspot"])] * 2
    assert towns(filled)["mailchimp"] == {"00001": "Bonn", "00002": "Köln"}
    body = filled.ok("sync", "--json").json
    assert {f["platform"]: f["done"] for f in body["fields"]} == {"shopify": 2, "mailchimp": 2}
    assert towns(filled) == everywhere(n00001="Bonn", n00002="Ulm", n00003="Trier")


def test_undo_puts_back_what_stood_there_where_our_value_still_stands_and_pauses_the_field(filled: Story) -> None:
    live_in(filled, n00001="Ulm", n00002="Trier", n00003="Mainz")
    run = filled.ok("push", "--json").json["run"]
    member = hashlib.md5(b"00002@shop.example").hexdigest()
    filled.mailchimp("PATCH", f"members/{member}", {"merge_fields": {KEYS["mailchimp"]: "by hand"}})

    out = filled.ok("undo", run[:24]).out
    assert "1 of 3 were changed since" in out and 'segment resume "field:NAME"' in out
    back = everywhere(n00001="Bonn", n00002="Köln")
    back["mailchimp"]["00002"] = "by hand"
    assert towns(filled) == back
    plan = filled.ok("plan", "--json").json
    assert not plan["has_changes"] and all('segment resume "field:town"' in f["parked"] for f in plan["fields"])

    filled.ok("segment", "resume", "field:town")
    filled.ok("push")
    assert towns(filled)["hubspot"] == {"00001": "Ulm", "00002": "Trier", "00003": "Mainz"}


def test_who_left_or_objects_is_not_written_and_who_is_forgotten_leaves_no_trace(filled: Story) -> None:
    filled.change(["00002"], mailchimp={"consent": "unsubscribed"})
    filled.change(["00003"], mailchimp={"consent": "archived"})
    live_in(filled, n00002="Ulm", n00003="Trier")
    filled.ok("push")
    found = towns(filled)
    assert found["mailchimp"] == {"00001": "Bonn", "00002": "Köln"}, "neither who said no nor who was archived"
    assert found["hubspot"] == {"00001": "Bonn", "00002": "Ulm", "00003": "Trier"}

    (filled.folder / "plan.json").unlink(missing_ok=True)
    live_in(filled, n00001="Mainz")
    filled.ok("plan", "--out", "plan.json")
    ids = [c for (c,) in filled.sql("SELECT contact_id FROM field_values WHERE value = 'Bonn'")]
    body = filled.ok("export", "00001@shop.example", "--json").json
    assert {f["value"] for f in body["written"]["fields"]} == {"Bonn"} and len(ids) == 3
    filled.ok("forget", "00001@shop.example")
    assert filled.sql("SELECT count(*) FROM field_values WHERE value IN ('Bonn', 'Mainz')") == [(0,)]
    assert filled.sql("SELECT count(*) FROM field_writes WHERE value_after IN ('Bonn', 'Mainz')") == [(0,)]
    left = every_byte(filled.folder)
    assert [i for i in ids if len(i) > 8 and i.encode() in left] == []
    before = len(filled.writes())
    filled.run("push")
    assert [w for w in filled.writes()[before:] if w["contact"] in ids] == []


def test_scores_of_who_objects_to_profiling_are_cleared_in_the_same_run(pulled: Story) -> None:
    pulled.configure('[[field]]\ncolumn = "churn_tier"\npush = ["mailchimp", "hubspot"]\n')
    pulled.ok("score", "--as-of", "1998-07-01")
    pulled.edit_store("UPDATE scores SET is_published = true WHERE score = 'churn'")  # there are too few people for a good one
    first = pulled.ok("push", "--first", "--as-of", "1998-07-01", "--json").json
    assert all(f["done"] > 100 for f in first["fields"])
    scored = [p for (p,) in pulled.sql("SELECT DISTINCT person_id FROM field_values WHERE value = 'high'")]
    (email,) = pulled.sql(f"SELECT email FROM people WHERE person_id = '{scored[0]}'")[0]
    (pulled.folder / "list.csv").write_text(f"email\n{email}\n")
    pulled.ok("import", "no_profiling", "list.csv")
    body = pulled.ok("push", "--as-of", "1998-07-01", "--json").json
    assert {(f["platform"], f["cleared"]) for f in body["plan"]["fields"]} == {("mailchimp", 1), ("hubspot", 1)}
    state = pulled.state()
    member = next(m for m in state["mailchimp"]["members"].values() if m["email_address"] == email)
    assert not [v for k, v in member["merge_fields"].items() if k.startswith("RC_") and v]


def test_what_a_platform_will_not_have_is_told_before_anything_is_written(pulled: Story) -> None:
    live_in(pulled, n00001="Bonn")
    pulled.mailchimp("POST", "merge-fields", {"name": "Where they live", "type": "text", "tag": KEYS["mailchimp"]})
    pulled.configure(TOWN)
    answer = pulled.run("push", "--first")
    assert answer.code == 3 and "that Rollcall did not make" in answer.text
    assert towns(pulled) == {**everywhere(n00001="Bonn"), "mailchimp": {}}
    assert "that Rollcall did not make" in pulled.run("check").text
    assert pulled.run("push").code == 0, "said once"


def test_a_field_that_is_no_longer_configured_is_named_and_left_as_it_is(filled: Story) -> None:
    filled.configure(HUBSPOT_ONLY)
    notes = filled.ok("plan", "--json").json["notes"]
    assert [n.split(" still")[0] for n in notes] == ["Mailchimp merge field RC_TOWN", "Shopify metafield town"]
    filled.ok("push")
    assert towns(filled) == everywhere(n00001="Bonn", n00002="Köln")


# ---- deaths


class Later:
    """Dies at the n-th boundary."""

    def __init__(self, n: int) -> None:
        self.left = n

    def due(self, _: str) -> bool:
        self.left -= 1
        return self.left <= 0


class Diary:
    """A few people, whose town is said by the test, and an owner who writes it to one platform."""

    people = 4

    def __init__(self, mock: responses.RequestsMock, folder: Path, platform: str, more: str = "") -> None:
        self.world, self.platform = World(mock, self.people), platform
        field = f'[[field]]\ncolumn = "city"\nname = "town"\npush = ["{platform}"]\n'
        self.owner = Owner(self.world, folder, field, more=more, batch_size=2)
        self.owner.pull()
        self.contacts = [self.world.contact_id(platform, n) for n in range(self.people)]
        self.owner.store.sql("CREATE TABLE profile (person_id VARCHAR, city VARCHAR)")

    def move(self, town: str) -> None:
        sql = self.owner.store.sql
        sql("DELETE FROM profile")
        for n in range(self.people):
            sql("INSERT INTO profile SELECT person_id, ? FROM people WHERE email = ?", [town and f"{town} {n}", address(n)])

    def there(self) -> list[str]:
        adapter = self.world.adapter(self.platform)
        name = adapter.field_name("town")
        found = adapter.read_fields([name], self.contacts)
        return [found[c][name] for c in self.contacts]

    def planned(self) -> int:
        return sum(len(f.changes) for f in self.owner.plan(self.owner.session("plan")).fields)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_run_that_dies_anywhere_ends_with_the_next_one_where_an_unbroken_one_would(
    mock: responses.RequestsMock, tmp_path: Path, platform: str
) -> None:
    diary = Diary(mock, tmp_path, platform)
    deaths = 0
    for n in range(1 + PLATFORMS.index(platform), 60, 3):
        town = f"Town{n}" if deaths % 4 < 3 else ""
        diary.move(town)
        with suppress(Killed):
            diary.owner.push(Fuse(Later(n).due))
            break
        deaths += 1
        diary.owner.reopen()
        diary.owner.push()
        assert diary.there() == [town and f"{town} {i}" for i in range(diary.people)], n
    diary.owner.reopen()
    assert deaths >= 5 and diary.planned() == 0
    sql = diary.owner.store.sql
    assert sql("SELECT count(*) FROM field_writes WHERE state NOT IN ('done', 'unsent', 'already')") == [(0,)]
    kept = dict(sql("SELECT contact_id, value FROM field_values"))
    assert [kept[c] for c in diary.contacts] == diary.there()
    assert audit.verify(diary.owner.store).is_sound


def test_a_first_fill_that_died_goes_on_by_the_same_go_ahead_and_only_later_nights_are_guarded(
    mock: responses.RequestsMock, tmp_path: Path
) -> None:
    diary = Diary(mock, tmp_path, "hubspot", more="[guards]\nmax_change_count = 0\n")
    writes = iter(range(1, 100))
    diary.move("Bonn")
    with suppress(Killed):  # group, property and the first two people are made; the last two are not
        diary.owner.push(Fuse(lambda boundary: boundary == "before hubspot" and next(writes) > 3))
    diary.owner.reopen()
    assert [bool(t) for t in diary.there()].count(True) == 2
    diary.owner.push(first=False)
    assert diary.there() == [f"Bonn {i}" for i in range(4)]
    diary.move("Ulm")
    _, plan = diary.owner.push(first=False)
    assert "guard max_change_count: 4 values" in plan.fields[0].parked and diary.there()[0] == "Bonn 0"
