"""Run after run against an account that moves: an index that lags, rollups, merges, erasures, lists changed by hand."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any

import pytest

from models.changes import Batch, Member, Target
from models.errors import AuthError, PermanentApiError
from tests.platforms.hubspot.hubspot_world import World

VIP = Target("hubspot", "VIP", "Rollcall: VIP")
VERSIONS = ["2026-09", "2026-03"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_index_that_lags_loses_nothing_over_many_rounds(world: World, seed: int) -> None:
    """What we hold after each round's end, an hour later, is what the account has."""
    chance = random.Random(seed)
    world.simulator.switches.index_lag_s = chance.choice([5, 60, 900])
    held: dict[str, str] = {}

    def pull() -> None:
        for page in world.adapter.pages("contacts", world.cursors.get("contacts")):
            held.update((r["id"], r["properties"].get("city") or "") for r in page.records)
            world.cursors["contacts"] = page.cursor
            if chance.random() < 0.5:
                world.simulator.change(f"{chance.randrange(1, 261):05d}", {"city": f"during {world.now}"})

    pull()
    for round_no in range(12):
        for _ in range(chance.randrange(20)):
            world.simulator.change(f"{chance.randrange(1, 261):05d}", {"city": f"round {round_no}"})
            world.now += timedelta(seconds=chance.choice([0, 1, 40]))
        world.now += timedelta(minutes=chance.choice([0, 5, 30, 600]))
        pull()
    world.now += timedelta(minutes=20)
    pull()
    contacts = world.simulator.crm.tables["contacts"].live
    during = {i for i, city in held.items() if city != contacts[int(i)].props.get("city", "")}
    assert all(contacts[int(i)].props["city"].startswith("during") for i in during), "only what changed in the last pull"
    world.now += timedelta(minutes=20)
    chance.random = lambda: 1.0  # type: ignore[method-assign]  # nothing changes any more
    pull()
    assert held == {str(i): r.props.get("city", "") for i, r in contacts.items()}


def test_calculated_properties_move_no_date_and_are_met_by_a_full_read(world: World) -> None:
    world.pull("contacts")
    world.now += timedelta(days=1)
    record = world.simulator.contact("00005")
    assert record is not None
    world.simulator.crm.update("contacts", record, {"total_revenue": "99"}, moves_date=False)
    assert world.pull("contacts")[0] == []
    full, _ = world.pull("contacts", full=True)
    assert [r["id"] for r in full if r["properties"]["total_revenue"] == "99"] == [world.id_of(5)]


def test_a_full_read_names_all_that_live_and_all_that_were_deleted_so_that_erased_ones_are_what_is_left(world: World) -> None:
    before = {r["id"] for r in world.pull("contacts")[0]}
    deleted, erased = world.id_of(5), world.id_of(6)
    world.simulator.change("00005", {"deleted": True})
    world.simulator.change("00006", {"erased": True})
    world.now += timedelta(days=30)
    records, gone = world.pull("contacts", full=True)
    assert before - {r["id"] for r in records} - gone.keys() == {erased}
    assert gone == {deleted: "archived"}


def test_a_full_read_that_goes_on_with_an_unfinished_backfill_names_all_deleted_ones(world: World) -> None:
    world.simulator.change("00005", {"deleted": True})
    world.now += timedelta(days=30)
    first = next(world.adapter.pages("contacts", None))
    world.cursors["contacts"] = first.cursor
    records, gone = world.pull("contacts", full=True)
    assert (len(first.records) + len(records), gone) == (259, {world.id_of(5): "archived"})


def test_a_deleted_contact_that_was_restored_is_read_again(world: World) -> None:
    world.pull("contacts")
    world.simulator.change("00005", {"deleted": True})
    world.now += timedelta(minutes=5)
    assert world.pull("contacts")[1] == {world.id_of(5): "archived"}
    world.now += timedelta(days=2)
    world.simulator.change("00005", {"restored": True})
    world.now += timedelta(minutes=5)
    records, gone = world.pull("contacts")
    assert ([r["id"] for r in records], gone) == ([world.id_of(5)], {})


@pytest.mark.parametrize("keeps_id", [False, True])
def test_merges_of_merges_name_every_old_id(world: World, keeps_id: bool) -> None:
    world.simulator.switches.keep_primary_id = keeps_id
    world.pull("contacts")
    old = [world.id_of(n) for n in (5, 6, 7)]
    world.now += timedelta(days=1)
    world.simulator.change("00005", {"merge": "00006"})
    world.now += timedelta(minutes=1)
    world.simulator.change("00005", {"merge": "00007"})
    survivor = world.simulator.contact("00005")
    assert survivor is not None
    world.now += timedelta(minutes=1)
    records, gone = world.pull("contacts")
    lost = set(old) - {str(survivor.id)}
    assert {i for i in gone if i in old} == lost
    assert set(gone.values()) == {"merged"}
    record = next(r for r in records if r["id"] == str(survivor.id))
    assert set(record["_merged"]) >= lost
    assert set(record["_emails"]) == {"00006@shop.example", "00007@shop.example"}


def test_a_list_deleted_by_hand_is_told_and_made_anew(world: World) -> None:
    made = world.adapter.ensure(VIP)
    world.adapter.apply(Batch(VIP, made, VIP.name, (Member(world.id_of(1)),)))
    world.simulator.lists.lists[int(made)].deleted_at = world.now
    kept = Target("hubspot", "VIP", VIP.name, object_id=made)
    seen = world.adapter.observe([kept], {})[0]
    assert (seen.exists, "the list we made was deleted in HubSpot" in seen.note) == (False, True)
    again = world.adapter.ensure(kept)
    assert again != made
    assert world.adapter.observe([Target("hubspot", "VIP", VIP.name, object_id=again)], {})[0].members == frozenset()


def test_a_deleted_list_that_still_holds_the_name_is_told_in_words(world: World) -> None:
    world.simulator.switches.deleted_names_held = True
    made = world.adapter.ensure(VIP)
    world.simulator.lists.lists[int(made)].deleted_at = world.now
    with pytest.raises(PermanentApiError, match="A deleted list may still hold the name"):
        world.adapter.ensure(VIP)
    world.simulator.lists.lists[int(made)].deleted_at = None
    assert world.adapter.ensure(VIP) == made, "restored by hand, it is the same list again"


def test_a_list_renamed_by_hand_is_still_ours(world: World) -> None:
    made = world.adapter.ensure(VIP)
    world.simulator.lists.lists[int(made)].name = "Our best customers"
    kept = Target("hubspot", "VIP", VIP.name, object_id=made)
    seen = world.adapter.observe([kept], {})[0]
    assert (seen.object_id, seen.name) == (made, "Our best customers")
    assert "somebody renamed it in HubSpot; it was 'Rollcall: VIP'" in seen.note
    assert world.adapter.ensure(kept) == made


def test_somebody_elses_list_that_fills_itself_is_never_written(world: World) -> None:
    world.simulator.add_list(VIP.name, "DYNAMIC", ("00001",))
    seen = world.adapter.observe([VIP], {})[0]
    assert (seen.exists, seen.is_ours_kind, "fills itself" in seen.note) == (True, False, True)
    with pytest.raises(PermanentApiError, match="Rename one of them"):
        world.adapter.ensure(VIP)
    assert world.simulator.effects == []


def test_memberships_are_read_by_pages_not_by_the_size_that_lags(world: World) -> None:
    made = world.adapter.ensure(VIP)
    everybody = tuple(Member(world.id_of(n)) for n in range(1, 261))
    world.adapter.apply(Batch(VIP, made, VIP.name, everybody))
    assert world.simulator.lists.lists[int(made)].size(world.now) == 0
    assert len(world.adapter.observe([VIP], {})[0].members) == 260


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_reads_writes_and_checks_alike(world: World, version: str) -> None:
    adapter = world.new_adapter(api_version=version, hubspot_property=True)
    found = {s.name: world.pull(s.name)[0] for s in adapter.streams()}
    assert {n: len(r) for n, r in found.items() if n in ("contacts", "orders", "emails")} == {
        "contacts": 260, "orders": 120, "emails": 14,
    }  # fmt: skip
    target = Target("hubspot", "beans", "Rollcall: beans / dark")
    made = adapter.ensure(target)
    assert adapter.ensure(target) == made
    outcomes = adapter.apply(Batch(target, made, target.name, (Member(world.id_of(1)), Member("4711"))))
    assert [o.result for o in outcomes] == ["done", "missing"]
    world.now += timedelta(days=1)
    world.simulator.change("00009", {"city": "Bari"})
    world.simulator.change("00010", {"deleted": True})
    world.now += timedelta(minutes=1)
    records, gone = world.pull("contacts")
    assert ([r["id"] for r in records], gone) == ([world.id_of(1), world.id_of(9)], {world.id_of(10): "archived"})
    assert not [f for f in adapter.check() if f.level == "error"]
    others = {p for _, p, *_ in world.calls if version not in p}
    assert others == {"/automation/v4/flows"}, "workflows have no dated version yet that is not a beta"


@pytest.mark.parametrize(("version", "until"), [("2026-09", date(2028, 3, 31)), ("2026-03", date(2027, 9, 30))])
def test_the_end_of_every_api_version_in_use_is_told(world: World, version: str, until: date) -> None:
    adapter = world.new_adapter(api_version=version)
    assert adapter.ends() == ((f"HubSpot API {version}", until),)
    events = world.new_adapter(api_version=version, email_events=True).ends()
    assert events[1:] == (("HubSpot e-mail events (API v1)", date(2027, 9, 30)),)
    assert world.new_adapter(api_version="2031-03").ends() == ()


def test_the_end_of_a_version_becomes_a_warning_120_days_before(world: World) -> None:
    def level() -> str:
        return next(f.level for f in world.adapter.check() if f.name == "hubspot version")

    assert level() == "ok"
    world.now += date(2028, 3, 31) - date(2026, 11, 21) - timedelta(days=120)
    assert level() == "warning"


@pytest.mark.parametrize("way", ["revoked", "wrong account's", "expired"])
def test_a_token_that_stopped_working_is_told_with_what_to_do(world: World, way: str) -> None:
    world.pull("contacts")
    if way == "expired":
        world.simulator.switches.expired_tokens = {"pat-eu1-sandbox"}
    else:
        world.simulator.switches.tokens = set() if way == "revoked" else {"pat-eu1-other"}
    with pytest.raises(AuthError, match="Make a service key"):
        world.pull("contacts")
    assert world.adapter.check()[0].code == "auth"


def test_a_missing_scope_closes_one_stream_and_names_itself(world: World) -> None:
    world.simulator.switches.scopes -= {"crm.objects.orders.read", "content"}
    found = {f.name: f for f in world.adapter.check()}
    assert (found["hubspot orders"].code, "crm.objects.orders.read" in found["hubspot orders"].text) == ("scope", True)
    assert found["hubspot marketing e-mails"].code == "scope"
    assert len(world.pull("contacts")[0]) == 260


def test_a_cursor_of_the_first_version_goes_on_where_it_stood(world: World) -> None:
    middle = world.id_of(200)
    until = 1795262400000
    old: dict[str, Any] = {"v": 1, "until": until, "walk": "list", "phase": "list", "after": middle, "archived_since": 0}
    world.cursors["contacts"] = old
    assert len(world.pull("contacts")[0]) == 61
    world.cursors["contacts"] = {"v": 1, "phase": "done", "watermark": until}
    assert world.pull("contacts")[0] == []


def test_carts_come_with_what_is_in_them_and_say_when_they_became_orders(server: Any) -> None:
    server.add("7", "carts", hs_total_price="12.50", hs_external_status="Abandoned", hs_createdate="2026-11-01T00:00:00Z")
    server.add("8", "carts", hs_external_status="Completed")
    server.add("5", "line_items", name="Beans", quantity="2", hs_sku="B1")
    server.links = {("carts", "contacts"): {"7": ["101"]}, ("carts", "line_items"): {"7": ["5"]}}
    cart, bought = next(server.adapter().pages("carts", None)).records
    assert (cart["_contact_id"], cart["_items"]) == ("101", [{"product_id": "B1", "title": "Beans", "quantity": "2"}])
    assert ("_completed_at" in cart, "_completed_at" in bought) == (False, True)


def test_an_account_without_carts_has_an_empty_stream(server: Any) -> None:
    assert [(p.records, p.done) for p in server.adapter().pages("carts", None)] == [([], True)]
