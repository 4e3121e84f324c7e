"""After a loss a backup is put back: what it says is ours counts, and nobody is taken off by it whom it cannot prove to be ours."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import responses

from connector import audit, backup, choices, ledger, privacy, rebuild, restore, sync
from connector.store import Store
from models.changes import Plan, TargetPlan
from models.errors import StoreError, UsageError
from tests.stories import small_world
from tests.stories.shopkeeper import Shopkeeper
from tests.stories.small_world import NOW, Mortal, address
from tests.stories.story import rollcall

NAME = "Rollcall: VIP"
VIP = '[[segment]]\nname = "VIP"\nwhere = "orders_total >= 1"\npush = ["mailchimp"]\n'


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Shopkeeper]:
    """Eight are in; then the store was saved, two were taken off and one came; then the store was lost."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        made = Shopkeeper(mock, tmp_path, VIP, only="mailchimp")
        push(made, range(8), first=True)
        person = made.owner.store.value("SELECT person_id FROM people WHERE email = ?", [address(11)])
        choices.pin(made.owner.store, person, "VIP", "never", "asked", NOW, "r")
        saved(made)
        yield made


def push(keeper: Shopkeeper, people: Any, *, first: bool = False) -> TargetPlan:
    keeper.owner.believe({"VIP": people})
    return keeper.owner.push(first=first)[1].targets[0]


def saved(keeper: Shopkeeper) -> Path:
    shutil.rmtree(folder(keeper), ignore_errors=True)
    return backup.make(keeper.owner.store, keeper.owner.config, folder(keeper), NOW).path


def folder(keeper: Shopkeeper) -> Path:
    return keeper.owner.config.folder / "usb"


def lost(keeper: Shopkeeper) -> None:
    """The store and its key are gone; a new one begins."""
    owner = keeper.owner
    path = Path(owner.store.path)
    owner.store.close()
    for one in path.parent.glob("rollcall.*"):
        if one.suffix in (".duckdb", ".keys", ".wal"):
            one.unlink()
    owner.store = Mortal(path, threads=1)


def put_back(keeper: Shopkeeper) -> None:
    owner = keeper.owner
    restore.carry_out(owner.store, owner.config, restore.newest(folder(keeper)), NOW, owner.session("restore").run_id)
    owner.pull()


def planned(keeper: Shopkeeper, people: Any) -> Plan:
    keeper.owner.believe({"VIP": people})
    return keeper.owner.plan(keeper.owner.session("plan"), first=False)


def inside(keeper: Shopkeeper) -> set[int]:
    held = keeper.world.members("mailchimp", NAME)
    return {n for n in range(12) if keeper.world.contact_id("mailchimp", n) in held}


def rebuilt(keeper: Shopkeeper) -> None:
    s = keeper.owner.session("ledger rebuild")
    rebuild.carry_out(s, rebuild.propose(s, sync.resolved(keeper.owner.config)))


def test_after_a_restore_nobody_is_taken_off_until_the_ledger_was_compared(keeper: Shopkeeper) -> None:
    push(keeper, range(2, 9))  # 0 and 1 leave, 8 comes: none of it is in the backup
    keeper.world.mailchimp.change(address(0), {"tags": [NAME]})  # and then the owner tagged one of them by hand
    assert inside(keeper) == {0, *range(2, 9)}
    lost(keeper)
    put_back(keeper)
    plan = planned(keeper, range(4, 9))
    assert plan.notes[0].startswith("The ledger came from a backup of 2026-11-21 12:00 UTC")
    (target,) = plan.targets
    assert (target.changes, target.drift) == ((), {"tagged_by_hand": 1}), "8, whom the ledger does not know"
    assert any("3 who no longer match stay" in n for n in target.notes)
    rebuilt(keeper)
    plan = planned(keeper, range(4, 9))
    assert plan.notes == () and plan.targets[0].left == 3
    assert push(keeper, range(4, 9)).left == 3 and inside(keeper) == set(range(4, 9))


def test_a_tag_made_by_hand_since_the_backup_stays_when_the_ledger_is_rebuilt(
    keeper: Shopkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 and 1 left after the backup; the next day the owner tagged 0 by hand. Mailchimp dates that tag."""
    push(keeper, range(2, 8))
    monkeypatch.setattr(small_world, "NOW", NOW + timedelta(days=1))
    keeper.world.mailchimp.change(address(0), {"tags": [NAME]})
    lost(keeper)
    put_back(keeper)
    planned(keeper, range(4, 8))
    rebuilt(keeper)
    assert push(keeper, range(4, 8)).left == 2, "2 and 3"
    assert inside(keeper) == {0, *range(4, 8)}


def test_who_said_no_is_taken_off_by_a_backups_ledger_too(keeper: Shopkeeper) -> None:
    account = keeper.world.mailchimp.account
    account.members[account.by_customer["p00003"]].wire["status"] = "unsubscribed"
    lost(keeper)
    put_back(keeper)
    assert [c.must for c in push(keeper, range(2)).changes] == [True]
    assert inside(keeper) == set(range(8)) - {3}


def test_go_aheads_pins_and_the_trail_come_back_and_nothing_is_asked_twice(keeper: Shopkeeper) -> None:
    lost(keeper)
    put_back(keeper)
    assert audit.verify(keeper.owner.store).is_sound
    target = push(keeper, range(12))
    assert (target.parked, target.entered, inside(keeper)) == ("", 3, set(range(11))), "11 is pinned never"


def test_who_is_not_there_any_more_is_not_pinned_as_taken_off_by_hand(keeper: Shopkeeper) -> None:
    keeper.owner.change_rule("[guards]", '[push]\nuntagged_by_hand = "pin"\n[guards]')
    push(keeper, range(2, 8), first=True)
    lost(keeper)
    put_back(keeper)
    push(keeper, range(8))
    assert inside(keeper) == set(range(8))
    assert keeper.owner.store.value("SELECT count(*) FROM pins") == 1


def test_what_the_owner_said_since_the_backup_stays_and_wins_over_what_the_backup_says(keeper: Shopkeeper) -> None:
    store = keeper.owner.store
    person = {n: store.value("SELECT person_id FROM people WHERE email = ?", [address(n)]) for n in (9, 10, 11)}
    choices.pause(store, ["Other"], "before", NOW, "r")
    choices.pin(store, person[10], "VIP", "never", "asked", NOW, "r")
    store.sql("INSERT INTO carried VALUES ('hubspot', 'VIP', '1')")
    path = saved(keeper)
    choices.pin(store, person[9], "VIP", "never", "asked since", NOW, "r")
    choices.pin(store, person[10], "vip", "always", "asked since", NOW, "r")
    choices.unpin(store, person[11], "VIP")
    choices.pause(store, ["VIP"], "since", NOW, "r")
    choices.resume(store, "Other")
    store.sql("UPDATE carried SET contact_id = '2'")
    for _ in range(2):
        restore.carry_out(store, keeper.owner.config, path, NOW, "r2")
        assert set(store.sql("SELECT person_id, kind FROM pins")) == {
            (person[9], "never"), (person[10], "always"), (person[11], "never"),
        }  # fmt: skip
        assert choices.all_paused(store) == [("Other", "before"), ("VIP", "since")]
        assert sorted(store.sql("SELECT contact_id FROM carried")) == [("1",), ("2",)]
        assert store.value("SELECT count(*) FROM pins") == 3, "none of them twice"


def test_an_undo_waits_until_the_ledger_was_compared(keeper: Shopkeeper) -> None:
    run_id = keeper.owner.store.value("SELECT run_id FROM journal LIMIT 1")
    lost(keeper)
    put_back(keeper)
    from connector import planner

    keeper.owner.believe({"VIP": range(8)})
    s = keeper.owner.session("undo")
    s.counts = keeper.owner.counts()
    with pytest.raises(UsageError, match="ledger rebuild"):
        planner.undo_plan_derived(s, run_id)
    rebuilt(keeper)
    assert planner.undo_plan_derived(s, run_id)[0].targets[0].left == 8


def test_whoever_was_forgotten_after_the_backup_stays_forgotten(keeper: Shopkeeper) -> None:
    path = saved(keeper).rename(keeper.owner.config.folder / "rollcall-0.zip")  # a copy nobody told us of
    store, config = keeper.owner.store, keeper.owner.config
    contact = keeper.world.contact_id("mailchimp", 1)
    privacy.forget(store, config, address(1), "r")
    restore.carry_out(store, config, path, NOW, "r2")
    assert contact not in str(store.sql("SELECT * FROM ledger")) + str(store.sql("SELECT intent, outcome FROM journal"))
    assert ledger.holds(store, "mailchimp", "VIP") == 8, "the tag can still be taken off"


@pytest.mark.parametrize("is_lost", [True, False])
def test_where_somebody_was_forgotten_before_the_backup_names_come_back_as_they_were(
    keeper: Shopkeeper, *, is_lost: bool
) -> None:
    push(keeper, range(8))
    run_id = keeper.owner.session("forget").run_id
    privacy.forget(keeper.owner.store, keeper.owner.config, address(10), run_id=run_id)
    saved(keeper)
    known = keeper.owner.store.sql("SELECT * FROM ledger_objects"), keeper.owner.store.sql("SELECT * FROM ledger ORDER BY ALL")
    if is_lost:
        lost(keeper)
    put_back(keeper)
    assert known == (
        keeper.owner.store.sql("SELECT * FROM ledger_objects"),
        keeper.owner.store.sql("SELECT * FROM ledger ORDER BY ALL"),
    )


def test_an_address_of_somebody_forgotten_since_does_not_come_back_with_a_backup(keeper: Shopkeeper) -> None:
    store = keeper.owner.store
    keeper.world.mailchimp.change("p00003", {"status": "unsubscribed"})
    keeper.owner.pull()
    contact = keeper.world.contact_id("mailchimp", 3)
    store.insert("former_addresses", [{"source": "mailchimp", "contact_id": contact, "email": address(5), "phone": None}])
    file = saved(keeper).read_bytes()
    privacy.forget(store, keeper.owner.config, address(5), run_id=keeper.owner.session("forget").run_id)
    restore.newest(folder(keeper)).write_bytes(file)  # a copy that lay elsewhere
    put_back(keeper)
    assert store.value("SELECT count(*) FROM former_addresses") == 0


def test_a_store_that_remembers_forgotten_people_by_another_key_is_not_restored_into(keeper: Shopkeeper) -> None:
    lost(keeper)
    owner = keeper.owner
    owner.pull()
    privacy.forget(owner.store, owner.config, address(1), "r")
    with pytest.raises(StoreError, match="Restore into a new store"):
        restore.carry_out(owner.store, owner.config, restore.newest(folder(keeper)), NOW, "r2")
    assert not restore.doubt(owner.store)


def test_a_backup_of_another_account_is_not_restored_into_this_ones_store(keeper: Shopkeeper) -> None:
    owner = keeper.owner
    before = owner.held()
    owner.store.sql("UPDATE meta SET value = 'another' WHERE name = 'account:mailchimp'")
    with pytest.raises(StoreError, match="another Mailchimp account"):
        restore.carry_out(owner.store, owner.config, restore.newest(folder(keeper)), NOW, "r2")
    assert owner.held() == before and not restore.doubt(owner.store)


# ---- the command


def test_the_command_puts_configuration_key_and_ledger_back_where_all_is_lost(keeper: Shopkeeper, tmp_path: Path) -> None:
    home = tmp_path / "new"
    home.mkdir()
    found = rollcall(home, "backup", str(folder(keeper)), "--restore")
    assert found.code == 0, found.text
    assert "The configuration was missing" in found.out and "ledger rebuild" in found.out
    for name in ("rollcall.toml", "rollcall.keys"):
        assert (home / name).read_bytes() == (keeper.owner.config.folder / name).read_bytes()
        assert (home / name).stat().st_mode & 0o777 == 0o600
    with Store(home / "rollcall.duckdb", read_only=True) as store:
        assert ledger.holds(store, "mailchimp", "VIP") == 8


def test_a_ledger_that_is_there_is_replaced_only_with_the_owners_yes_and_saved_first(keeper: Shopkeeper) -> None:
    push(keeper, range(10))
    keeper.owner.store.close()
    home, words = keeper.owner.config.folder, ("backup", str(folder(keeper)), "--restore")
    refused = rollcall(home, *words)
    assert refused.code == 2 and "1 tags and lists with 10 people we added" in refused.err
    assert "Nothing was changed" in refused.err
    assert rollcall(home, *words, "--yes").code == 0
    (before,) = backup.files_in(backup.folder_of(keeper.owner.config) / restore.BEFORE)
    assert len(backup.read(before)["ledger"]) == 10
    with Store(keeper.owner.store.path, read_only=True) as store:
        assert ledger.holds(store, "mailchimp", "VIP") == 8


@pytest.mark.parametrize("content", [None, b"no zip"])
def test_where_there_is_no_backup_it_is_said(tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "rollcall.toml").write_text('[shop]\nname = "Test"\n')
    if content:
        (tmp_path / "rollcall-1.zip").write_bytes(content)
    found = rollcall(tmp_path, "backup", str(tmp_path), "--restore")
    assert found.code == 2 and ("no backup of Rollcall" if content else "There is no backup in") in found.err


def test_triggers_begin_anew_and_rows_of_no_table_of_ours_are_left_out(keeper: Shopkeeper) -> None:
    path = saved(keeper)
    with zipfile.ZipFile(path) as z:
        entries = {n: z.read(n) for n in z.namelist()}
    about = orjson.loads(entries["about.json"])
    entries["about.json"] = orjson.dumps({**about, "tables": [*about["tables"], "people"]})
    entries["people.jsonl"] = orjson.dumps({"person_id": "x"})
    entries["trigger_starts.jsonl"] = orjson.dumps({"trigger": "till", "digest": "d"})
    with zipfile.ZipFile(path, "w") as z:
        for name, body in entries.items():
            z.writestr(name, body)
    lost(keeper)
    put_back(keeper)
    assert keeper.owner.store.value("SELECT count(*) FROM people WHERE person_id = 'x'") == 0
    assert keeper.owner.store.value("SELECT count(*) FROM trigger_starts") == 0
