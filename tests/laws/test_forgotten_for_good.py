"""Who was forgotten stays forgotten: where the store is a link, after a loss, by an older copy, and where a file is in the way."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from connector import backup, choices, forgotten, privacy, restore
from connector.config import Config, load
from connector.session import session
from connector.store import Store
from models.errors import ConnectorError
from tests.stages.test_privacy import ANA, BO, NOW, every_byte, filled


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "home").mkdir()
    path = tmp_path / "home" / "rollcall.toml"
    path.write_text('[shop]\nname = "Test"\ncountry = "DE"\n')
    return load(path)


def forget(store: Store, config: Config, email: str = ANA) -> privacy.Forgot:
    return privacy.forget(store, config, email, "r9", now=lambda: NOW)


def test_where_the_store_is_a_link_nothing_of_them_is_left_in_the_file_behind_it(config: Config, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    config.store_path.symlink_to(disk / "people.duckdb")
    with Store(config.store_path) as store:
        filled(store, config)
        store.sql("CHECKPOINT")
        assert ANA.encode() in every_byte(disk)
        forget(store, config)
    assert ANA.encode() not in every_byte(tmp_path)
    assert config.store_path.is_symlink() and BO.encode() in every_byte(disk), "the store is where it was"


def test_after_a_loss_the_newest_backup_still_knows_whom_to_leave_out(config: Config, tmp_path: Path) -> None:
    with Store(config.store_path) as store:
        filled(store, config)
        forget(store, config)
    (copy,) = backup.files_in(backup.folder_of(config))
    new = tmp_path / "new"
    new.mkdir()
    assert restore.put_configuration(copy, new / "rollcall.toml")
    fresh = load(new / "rollcall.toml")
    with Store(fresh.store_path) as store:
        restore.carry_out(store, fresh, copy, NOW, "r1")
        known = forgotten.Forgotten(store)
        assert known.knows("email", ANA) and known.knows("mailchimp", "ana-at-mailchimp") and not known.knows("email", BO)


def test_what_was_said_of_them_does_not_come_back_with_an_older_copy(config: Config, tmp_path: Path) -> None:
    with Store(config.store_path) as store:
        person = filled(store, config)
        other = str(store.value("SELECT person_id FROM people WHERE email = ?", [BO]))
        for who in (person, other):
            choices.pin(store, who, "Not pushed", "never", f"as {who} said on the phone", NOW, "r")
        store.insert("no_profiling", [{"email": ANA, "since": str(NOW)}, {"email": BO, "since": str(NOW)}])
        backup.make(store, config, tmp_path / "usb", NOW)
        (there,) = backup.files_in(tmp_path / "usb")
        copy = there.rename(tmp_path / "copy.zip")
        forget(store, config)
        restore.carry_out(store, config, copy, NOW, "r10")
        assert store.sql("SELECT email FROM no_profiling") == [(BO,)]
        assert store.sql("SELECT person_id FROM pins") == [(other,)]
    with zipfile.ZipFile(copy) as z:
        assert ANA.encode() in z.read("no_profiling.jsonl"), "a copy that nobody told us of"


def test_a_file_in_the_way_of_forgetting_stops_no_night_and_is_told_in_each(config: Config) -> None:
    with Store(config.store_path) as store:
        filled(store, config)
        (there,) = backup.files_in(backup.folder_of(config))
        there.with_suffix(".tmp").mkdir()
        with pytest.raises(ConnectorError, match="backup"):
            forget(store, config)
    for _ in range(2):
        with session(config, "sync") as s:
            assert s.exit_code == 1 and "forgotten" in s.problems[0].text and ANA not in s.problems[0].text
    there.with_suffix(".tmp").rmdir()
    with session(config, "sync") as s:
        assert s.exit_code == 0
    assert ANA.encode() not in every_byte(config.folder)


def test_backups_that_cannot_be_reached_are_named(config: Config, tmp_path: Path) -> None:
    with Store(config.store_path) as store:
        filled(store, config)
        backup.make(store, config, tmp_path / "usb", NOW)
        (tmp_path / "usb").rename(tmp_path / "unplugged")
        found = forget(store, config)
    assert any(str(tmp_path / "usb") in step for step in found.steps)
