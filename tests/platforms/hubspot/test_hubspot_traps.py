"""Traps others fell into that no other file here covers, and a check that the documentation names tests that exist."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.hubspot_objects import KINDS
from tests.platforms.hubspot.hubspot_world import World

ROOT = Path(__file__).parents[3]


def test_more_than_a_hundred_ids_are_read_in_batches_and_none_is_dropped(world: World) -> None:
    ids = [world.id_of(n) for n in range(1, 251)]
    pages = list(world.adapter.reread(ids))
    assert [len(p.records) for p in pages] == [100, 100, 50]
    assert {r["id"] for p in pages for r in p.records} == set(ids)


def test_marketing_emails_that_a_listing_with_numbers_hides_are_read_all_the_same(world: World) -> None:
    world.simulator.marketing.emails[3].archived = True
    records, _ = world.pull("emails")
    hidden = world.simulator.switches.emails_hidden_with_stats
    assert hidden and hidden <= {r["id"] for r in records}
    assert (len(records), sum("stats" in r for r in records)) == (14, 14 - len(hidden))
    assert next(r for r in records if r["archived"])["stats"]["counters"]["sent"] == 1


def test_a_draft_is_no_email_that_was_sent(server: Any) -> None:
    draft = '{"results":[{"id":"1","isPublished":false,"publishDate":"2027-01-01T00:00:00Z"},{"id":"2","publishDate":"2026-01-01"}]}'
    server.once("marketing/emails", (200, {"Content-Type": "application/json"}, draft), times=9)
    records = next(server.adapter().pages("emails", None)).records
    assert ["_sent_at" in r for r in records] == [False, True]


def test_orders_no_shop_gave_a_status_carry_the_words_of_their_stage(world: World) -> None:
    crm = world.simulator.crm
    first, second = list(crm.tables["orders"].live.values())[:2]
    pipeline = first.props["hs_pipeline"]
    crm.update("orders", first, {"hs_external_order_status": None, "hs_pipeline_stage": "cancelled"})
    crm.update("orders", second, {"hs_external_order_status": None, "hs_pipeline": "other", "hs_pipeline_stage": "x7"})
    stages = {r["id"]: r.get("_stage") for r in world.pull("orders")[0]}
    assert pipeline and (stages[str(first.id)], stages[str(second.id)]) == ("Cancelled", "x7")
    assert set(stages.values()) == {"Cancelled", "x7", None}


def test_products_are_read(world: World) -> None:
    assert [r["properties"]["name"] for r in world.pull("products")[0]] == ["Coffee"]


def test_the_overlap_of_windows_is_the_owners_to_choose(world: World) -> None:
    world.pull("contacts")
    world.simulator.switches.index_lag_s = 7200
    world.now += timedelta(hours=2)
    world.simulator.change("00005", {"city": "Bari"})
    world.now += timedelta(minutes=80)
    assert world.pull("contacts")[0] == []
    world.now += timedelta(minutes=70)
    assert world.pull("contacts")[0] == [], "the index shows it only now, and the window begins behind it"
    world.new_adapter(overlap_s=4 * 3600)
    assert [r["id"] for r in world.pull("contacts")[0]] == [world.id_of(5)]


def test_contacts_move_lastmodifieddate_and_everything_else_hs_lastmodifieddate(world: World) -> None:
    assert {name: kind.modified for name, kind in KINDS.items()} == {
        **dict.fromkeys(KINDS, "hs_lastmodifieddate"), "contacts": "lastmodifieddate",
    }  # fmt: skip
    for name in KINDS:
        world.pull(name)
    world.now += timedelta(days=1)
    order = next(iter(world.simulator.crm.tables["orders"].live.values()))
    world.simulator.crm.update("orders", order, {"hs_total_price": "8"})
    world.now += timedelta(seconds=2)
    assert [r["properties"]["hs_total_price"] for r in world.pull("orders")[0]] == ["8"]


@pytest.mark.parametrize("is_an_error", [False, True])
def test_records_without_associations_are_whole_and_long_associations_are_paged(world: World, is_an_error: bool) -> None:
    world.simulator.switches.no_association_is_an_error = is_an_error
    world.simulator.switches.association_page = 2
    crm = world.simulator.crm
    first, second = list(crm.tables["orders"].live)[:2]
    crm.links["orders", "contacts"].pop(second)
    for n in range(200, 207):
        crm.associate("orders", first, "contacts", int(world.id_of(n)))
    found = {r["id"]: r["contact_ids"] for r in world.pull("orders")[0]}
    assert found[str(first)] == [world.id_of(n) for n in (1, *range(200, 207))]
    assert found[str(second)] == []


def test_a_search_from_the_very_beginning_does_not_touch_the_epoch(world: World) -> None:
    records, _ = world.pull("orders", since=datetime(1970, 1, 1))
    assert (len(records), 500 in world.statuses) == (120, False)


def test_the_link_of_a_page_is_never_followed(world: World) -> None:
    world.pull("contacts")
    assert not world.asked("/crm/v3/")


def test_values_that_were_never_set_may_be_missing_null_or_empty(world: World) -> None:
    from connector.normalize import Normalizer, load_mapping

    normalizer = Normalizer(load_mapping("hubspot"), {}, world.now.date())
    plain = [normalizer.normalize("contacts", r) for r in world.pull("contacts")[0]]
    world.simulator.switches.omit_unset = True
    missing = [normalizer.normalize("contacts", r) for r in world.pull("contacts", full=True)[0]]
    empty = []
    for record in world.pull("contacts", full=True)[0]:
        record["properties"] = dict.fromkeys(record["properties"] | plain[0]["contacts"][0], "") | record["properties"]
        empty.append(normalizer.normalize("contacts", record))
    assert plain == missing == empty


def test_warnings_of_normalised_dates_are_logged_without_values(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    warning = '{"category":"PROPERTY_VALUE_NORMALIZED","message":"x","context":{"rawValue":["secret"]}}'
    body = f'{{"portalId":1,"timeZone":"UTC","warnings":[{warning}]}}'
    server.once("account-info", (200, {"Content-Type": "application/json"}, body))
    server.adapter().account()
    assert "PROPERTY_VALUE_NORMALIZED" in caplog.text
    assert "secret" not in caplog.text


def test_every_test_the_documentation_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/platforms/hubspot.md").read_text(encoding="utf-8")))
    rooms = (
        "tests/platforms/hubspot/test_*.py",
        "tests/sandbox/test_hubspot*.py",
        "tests/stories/test_*.py",
        "tests/laws/test_*.py",
    )
    files = [file for room in rooms for file in ROOT.glob(room)]
    defined = {name for file in files for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))}
    assert len(named) > 60
    assert named <= defined
