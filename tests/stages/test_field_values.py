"""What of a profile column would be written where: on change only, within consent, guards and what a platform refused."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters import field_texts, load
from adapters.base import Adapter
from connector import consent, field_values
from connector.config import Config, FieldSection
from connector.config import load as load_config
from connector.field_values import Terms, cut, kind_of, text_of
from models.changes import FieldPlan
from models.errors import ConfigError
from models.segments import AsOf
from tests.stages.hand_shop import new_store

NOW = datetime(2026, 11, 21, 12, 0)
AS_OF = AsOf(date(2026, 11, 21), NOW)
PEOPLE = ("ana", "ben", "cleo")
SECTION = FieldSection(column="city", push=("mailchimp",))


class World:
    """Three contacts on one platform, and a column that is said by the test."""

    def __init__(self, folder: Path, platform: str = "mailchimp") -> None:
        path = folder / "rollcall.toml"
        path.write_text('[shop]\n[mailchimp]\ntoken = "env:X"\naudience = "a"\n[hubspot]\ntoken = "env:X"\n')
        self.config: Config = load_config(path)
        self.store = new_store()
        self.platform = platform
        settings = {"token": "x-us1", "audience": "a"}
        self.adapter: Adapter = load(platform)(settings, now_utc=lambda: NOW, sleep=lambda _: None)
        self.name = self.adapter.field_name("city")
        for person in PEOPLE:
            place = {"source": platform, "contact_id": person, "stream": "s"}
            self.store.insert("people", [{"person_id": person, "email": f"{person}@shop.example"}])
            self.store.insert("person_links", [{"source": platform, "contact_id": person, "person_id": person}])
            self.store.insert("contacts", [{**place, "email": f"{person}@shop.example", "state": "live", "record_id": person}])
            self.say(person, "subscribed")
        self.store.sql("CREATE TABLE profile (person_id VARCHAR, city VARCHAR)")

    def say(self, person: str, status: str) -> None:
        self.store.sql("DELETE FROM consents WHERE contact_id = ?", [person])
        row = {"source": self.platform, "contact_id": person, "channel": "email", "topic": "", "status": status}
        self.store.insert("consents", [row])

    def live(self, **cities: str | None) -> None:
        self.store.sql("DELETE FROM profile")
        self.store.insert("profile", [{"person_id": p, "city": c} for p, c in cities.items()])

    def wrote(self, **cities: str) -> None:
        """We gave these contacts these values before."""
        rows = [{"platform": self.platform, "field": self.name, "contact_id": p, "value": c} for p, c in cities.items()]
        self.store.insert("field_values", rows)

    def tried(self, person: str, value: str, state: str, run_id: str = "r1") -> None:
        row = {"run_id": run_id, "platform": self.platform, "field": self.name, "contact_id": person, "person_id": person}
        self.store.insert("field_writes", [{**row, "value_before": "", "value_after": value, "state": state}])

    def plan(self, **terms: Any) -> FieldPlan:
        consent.judge(self.store, self.config, self.platform, "email")
        return field_values.plan(self.store, self.adapter, SECTION, Terms(**terms))

    def values(self, **terms: Any) -> dict[str, str]:
        return {c.contact_id: c.value for c in self.plan(**terms).changes}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# ---- values as text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (True, "true"), (False, "false"), (0, "0"), (12, "12"), (Decimal("12.5000"), "12.5"), (Decimal("100"), "100"),
        (1234.56789, "1234.5679"), (-0.00001, "0"), (float("nan"), ""), (float("inf"), ""), (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 23), "2026-01-02"), ("  Sankt\n Gallen\u202e ", "Sankt Gallen"), (["A", "B"], "A; B"), ([], ""),
    ],
)  # fmt: skip
def test_a_value_is_written_one_way(value: Any, text: str) -> None:
    assert text_of(value) == text


def test_what_is_too_long_is_cut_between_characters_and_lists_between_their_parts() -> None:
    assert len(cut("ä" * 300).encode()) <= 255 and cut("ä" * 300).endswith("ä…") and cut("x" * 255) == "x" * 255
    assert text_of(["a" * 120, "b" * 120, "c" * 120]) == f"{'a' * 120}; {'b' * 120}"
    assert len(text_of(["ü" * 300]).encode()) <= 255


@pytest.mark.parametrize(
    ("shown", "kind", "text"),
    [
        ("12.50", "number", "12.5"), (12.0, "number", "12"), ("1E+3", "number", "1000"), ("-0.0", "number", "0"), ("x", "number", "x"),
        (None, "number", ""), ("", "text", ""), ("007", "text", "007"), ("2026-01-02T00:00:00Z", "date", "2026-01-02"),
        (True, "yes or no", "true"), ("True", "yes or no", "true"),
    ],
)  # fmt: skip
def test_what_a_platform_makes_of_it_is_read_back_the_same(shown: Any, kind: Any, text: str) -> None:
    assert field_texts.plain(shown, kind) == text


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("orders_total", "number"), ("revenue_total", "number"), ("last_order_on", "date"), ("churn_tier", "text"),
        ("is_subscribed", "yes or no"),
    ],
)  # fmt: skip
def test_every_column_has_the_kind_of_field_its_values_need(column: str, kind: str) -> None:
    assert kind_of(column) == kind


# ---- the difference


def test_only_what_differs_from_what_we_wrote_last_is_planned(world: World) -> None:
    world.live(ana="Bonn", ben="Köln", cleo=None)
    world.wrote(ana="Bonn", ben="Trier", cleo="Ulm")
    made = world.plan()
    assert {c.contact_id: c.value for c in made.changes} == {"ben": "Köln", "cleo": ""}
    assert (made.unchanged, made.cleared, made.filled, made.name) == (1, 1, 3, "RC_CITY")


def test_a_value_somebody_changed_by_hand_stays_until_ours_changes(world: World) -> None:
    world.live(ana="Bonn")
    world.wrote(ana="Bonn")
    assert world.values() == {}  # what stands there now is not asked for: we know what we wrote
    world.live(ana="Trier")
    assert world.values() == {"ana": "Trier"}


@pytest.mark.parametrize("status", ["archived", "erased"])
def test_archived_and_erased_contacts_are_never_written(world: World, status: str) -> None:
    world.live(ana="Bonn", ben="Köln")
    world.wrote(ana="Ulm")
    world.say("ana", status)
    assert world.values(objecting={"ana"}) == {"ben": "Köln"}


@pytest.mark.parametrize(("status", "left"), [("unsubscribed", {"ana": ""}), ("dead", {})])
def test_mailchimp_contacts_who_said_no_are_only_cleared_and_dead_addresses_not_even_that(
    world: World, status: str, left: dict[str, str]
) -> None:
    world.live(ana="Bonn", ben="Köln")
    world.say("ana", status)
    made = world.plan()
    assert {c.contact_id for c in made.changes} == {"ben"} and "1 who said no" in made.notes[0]
    world.live(ana=None)
    world.wrote(ana="Ulm")
    assert world.values() == left


def test_elsewhere_a_no_to_mail_is_no_reason_against_a_field(tmp_path: Path) -> None:
    world = World(tmp_path, "hubspot")
    world.live(ana="Bonn")
    world.say("ana", "unsubscribed")
    assert world.values() == {"ana": "Bonn"}


def test_a_value_a_platform_refused_is_stuck_until_value_or_contact_changes(world: World) -> None:
    world.live(ana="Bonn", ben="Köln")
    world.tried("ana", "Bonn", "refused")
    made = world.plan()
    assert {c.contact_id for c in made.changes} == {"ben"} and made.stuck == 1 and "1 stuck" in made.notes[0]
    place = {"source": "mailchimp", "stream": "s", "record_id": "ana"}
    world.store.insert("source_records", [{**place, "changed_run": "r2"}])
    assert set(world.values()) == {"ana", "ben"}, "somebody changed the contact"
    world.tried("ana", "Bonn", "refused", run_id="r3")
    assert set(world.values()) == {"ben"}
    world.live(ana="Trier")
    assert world.values() == {"ana": "Trier"}


# ---- what waits


def test_a_first_fill_waits_for_the_go_ahead_and_shows_what_a_yes_would_do(world: World) -> None:
    world.live(ana="Bonn", ben="Köln")
    made = world.plan(parked="waits", waits=True)
    assert (len(made.changes), made.writable, made.waits_for_go_ahead, made.parked) == (2, (), True, "waits")
    world.live(ana=None)
    assert world.plan(parked="waits", waits=True).parked == "", "nothing to wait with"


def test_more_changes_than_a_usual_night_are_parked_and_told_how_to_go_on(world: World) -> None:
    world.live(ana="Bonn", ben="Köln", cleo="Ulm")
    world.wrote(ana="a", ben="b", cleo="Ulm")
    held = world.plan(most=1)
    assert (held.changes, held.held) == ((), 2) and "guard max_change_count: 2 values" in held.parked
    assert len(world.plan(most=2).changes) == 2


def test_who_objects_to_profiling_is_cleared_though_everything_else_waits(world: World) -> None:
    world.live(ana=None, ben="Köln", cleo="Ulm")
    world.wrote(ana="high", ben="low")
    for terms in ({"parked": "guard x"}, {"parked": "waits", "waits": True}, {"most": 0}):
        made = world.plan(objecting={"ana"}, **terms)
        assert [(c.contact_id, c.value) for c in made.writable] == [("ana", "")], terms
        assert made.parked and made.held + len(made.changes) == 3
    assert world.plan(parked="guard x").writable == (), "who only has no value any more waits like the rest"


# ---- the configuration


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ('[[field]]\ncolumn = "orders_totl"\npush = ["hubspot"]', "Did you mean 'orders_total'"),
        ('[[field]]\ncolumn = "city"\npush = ["shopify"]', "no section [shopify]"),
        (
            '[[field]]\ncolumn = "city"\npush = ["hubspot"]\n[[field]]\ncolumn = "country"\npush = ["hubspot"]\nname = "city"',
            "two",
        ),
    ],
)
def test_a_faulty_field_is_answered_with_its_name(world: World, fields: str, words: str) -> None:
    world.config.path.write_text(f"{world.config.path.read_text()}\n{fields}\n")
    with pytest.raises(ConfigError, match=words.replace("[", r"\[")):
        field_values.check(load_config(world.config.path))


def test_another_column_or_name_needs_another_go_ahead() -> None:
    asked = (("city", ""), ("country", "city"), ("city", "x"))
    digests = {field_values.digest(FieldSection(column=c, push=("hubspot",), name=n)) for c, n in asked}
    assert len(digests) == 3
