"""What cannot be pulled again is in the backup, and what must not be there is not."""

from __future__ import annotations

import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from connector import audit, backup, erase_files, journal, ledger
from connector.config import Config, load
from connector.store import Store
from connector.traces import Traces
from models.changes import Batch, Member, Outcome, Target
from models.errors import UsageError

NOW = datetime(2026, 11, 21, 12)
BATCH = Batch(Target("mailchimp", "VIP", "VIP"), "7", "VIP", (Member("c1", "ana@x.example", "p1"),), batch_id="b1")


def shop(folder: Path) -> Config:
    path = folder / "rollcall.toml"
    path.write_text('[shop]\nname = "Test"\n')
    return load(path)


def pushed(config: Config) -> Store:
    store = Store(config.store_path)
    journal.intend(store, BATCH, NOW, "r1")
    journal.conclude(store, BATCH, [Outcome("c1", "add", "done")], NOW, "r1")
    ledger.remember_object(store, BATCH.target, "7", "created", NOW, "r1")
    ledger.give_go_ahead(store, "mailchimp", "VIP", "d", 1, NOW, "r1")
    return store


def test_a_backup_holds_ledger_journal_trail_key_and_configuration_but_no_address(tmp_path: Path) -> None:
    config = shop(tmp_path)
    with pushed(config) as store:
        saved = backup.make(store, config, tmp_path / "bk", NOW)
    assert saved.path.stat().st_mode & 0o777 == 0o600
    found = backup.read(saved.path)
    assert found["ledger"][0]["contact_id"] == "c1" and found["go_aheads"] and found["ledger_objects"]
    assert [e["action"] for e in found["audit"]] == ["add", "created", "go-ahead"]
    with zipfile.ZipFile(saved.path) as z:
        whole = b"".join(z.read(n) for n in z.namelist())
        assert z.read("rollcall.toml") == config.path.read_bytes()
        assert z.read("store.keys") == (tmp_path / "rollcall.keys").read_bytes()
    assert b"ana@x.example" not in whole and "subject_keys" not in found


def test_ten_are_kept_the_newest(tmp_path: Path) -> None:
    config = shop(tmp_path)
    with pushed(config) as store:
        for n in range(13):
            backup.after_push(store, config, NOW + timedelta(minutes=n))
    kept = backup.files_in(backup.folder_of(config))
    assert len(kept) == 10 and kept[-1].name.startswith("rollcall-20261121T1212")


def test_a_push_whose_backup_fails_is_still_a_push(tmp_path: Path) -> None:
    config = shop(tmp_path)
    (tmp_path / "rollcall.backups").write_text("in the way")
    with pushed(config) as store:
        backup.after_push(store, config, NOW)
        with pytest.raises(UsageError, match="No backup"):
            backup.make(store, config, tmp_path / "rollcall.backups", NOW)


def test_an_old_journal_is_left_out_and_an_open_intent_is_not(tmp_path: Path) -> None:
    config = shop(tmp_path)
    with pushed(config) as store:
        journal.intend(store, Batch(BATCH.target, "7", "VIP", BATCH.adds, batch_id="open"), NOW, "r2")
        saved = backup.make(store, config, tmp_path / "bk", NOW + timedelta(days=40))
    assert [r["batch_id"] for r in backup.read(saved.path)["journal"]] == ["open"]


def test_what_stands_in_our_fields_and_whom_a_trigger_told_of_is_kept_and_old_writes_are_not(tmp_path: Path) -> None:
    config = shop(tmp_path)
    with pushed(config) as store:
        row = {"platform": "hubspot", "field": "rollcall_town", "contact_id": "c1", "person_id": "p1"}
        store.insert("field_values", [{**row, "value": "Bonn"}])
        writes = [(NOW, "done"), (NOW - timedelta(days=40), "done"), (NOW - timedelta(days=40), "intended")]
        store.insert("field_writes", [{**row, "value_after": "Bonn", "state": s, "written_at": str(at)} for at, s in writes])
        store.insert("triggered", [{"trigger": "till", "person_id": "p1", "state": "done", "message_id": "m1"}])
        store.insert("trigger_starts", [{"trigger": "till", "digest": "d"}])
        found = backup.read(backup.make(store, config, tmp_path / "bk", NOW).path)
    assert [r["value"] for r in found["field_values"]] == ["Bonn"]
    assert [r["state"] for r in found["field_writes"]] == ["done", "intended"]
    assert [r["message_id"] for r in found["triggered"]] == ["m1"] and len(found["trigger_starts"]) == 1


def test_forgetting_somebody_takes_their_values_and_messages_out_of_the_backups_too(tmp_path: Path) -> None:
    config = shop(tmp_path)
    theirs = Traces(people=frozenset({"p1"}), contacts=frozenset({("hubspot", "c1")}))
    with pushed(config) as store:
        row = {"platform": "hubspot", "field": "rollcall_town"}
        both = ({**row, "contact_id": "c1", "person_id": ""}, {**row, "contact_id": "c2", "person_id": "p2"})
        store.insert("field_values", [{**r, "value": "Bonn"} for r in both])
        store.insert("field_writes", [{**r, "value_after": "Bonn", "state": "done", "written_at": str(NOW)} for r in both])
        store.insert("triggered", [{"trigger": "till", "person_id": p, "state": "done"} for p in ("p1", "p2")])
        backup.after_push(store, config, NOW)
        assert backup.rewrite_all(store, config, erase_files.cleaner(store, theirs)) == 1
    (path,) = backup.files_in(backup.folder_of(config))
    found = backup.read(path)
    assert [[r["person_id"] for r in found[t]] for t in ("field_values", "field_writes", "triggered")] == [["p2"]] * 3


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"{}"])
def test_what_is_no_backup_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="no backup"):
        backup.read(path)


def test_every_backup_can_be_rewritten_also_in_a_folder_of_the_owners(tmp_path: Path) -> None:
    config = shop(tmp_path)
    with pushed(config) as store:
        backup.after_push(store, config, NOW)
        backup.make(store, config, tmp_path / "usb", NOW)
        (tmp_path / "usb" / "rollcall-0.zip").write_bytes(b"damaged")

        changed = backup.rewrite_all(store, config, lambda table, row: None if table == "ledger" else row)

        assert changed == 3  # the damaged one is removed: nobody can tell whom it names
        for folder in (backup.folder_of(config), tmp_path / "usb"):
            (path,) = backup.files_in(folder)
            assert backup.read(path)["ledger"] == [] and backup.read(path)["go_aheads"]
        assert backup.rewrite_all(store, config, lambda table, row: row) == 0
        assert audit.verify(store).is_sound
