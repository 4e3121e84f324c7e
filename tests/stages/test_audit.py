"""The audit trail: whole, unchangeable, and silent about people once their key is gone."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from connector import audit, journal, keys, ledger
from connector.audit import Entry
from connector.store import Store
from models.changes import Batch, Member, Outcome, Target

NOW = datetime(2026, 11, 21, 12)
ANA = ("mailchimp", "ana")


def trail(store: Store, count: int = 3) -> None:
    for n in range(count):
        audit.record(store, [Entry("add", "mailchimp", "7", ("mailchimp", f"c{n}"), "VIP")], NOW, f"r{n}")


def test_a_trail_that_nobody_touched_verifies_and_so_does_an_empty_one() -> None:
    with Store(":memory:") as store:
        assert audit.verify(store) == audit.Verdict(0)
        trail(store)
        assert audit.verify(store) == audit.Verdict(3)


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit SET detail = 'other' WHERE seq = 2",
        "UPDATE audit SET happened_at = happened_at + INTERVAL 1 SECOND WHERE seq = 1",
        "UPDATE audit SET person_hash = '' WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 1",
        "DELETE FROM audit WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 3",
        "DELETE FROM audit",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit WHERE seq = 2)",
    ],
)
def test_whatever_is_changed_added_or_cut_off_is_noticed(tampering: str) -> None:
    with Store(":memory:") as store:
        trail(store)
        store.sql(tampering)
        assert not audit.verify(store).is_sound


def test_a_trail_written_anew_from_the_start_lacks_the_seal() -> None:
    with Store(":memory:") as store, Store(":memory:") as forged:
        trail(store)
        trail(forged, 2)
        for table in ("audit", "audit_head"):
            store.sql(f"DELETE FROM {table}")
            store.insert(table, [{k: str(v) for k, v in r.items()} for r in forged.rows(f"SELECT * FROM {table} ORDER BY 1")])
        assert not audit.verify(store).is_sound


def test_confirmed_writes_are_entered_and_nothing_else() -> None:
    batch = Batch(Target("mailchimp", "VIP", "VIP"), "7", "VIP", (Member("ana"), Member("bo"), Member("cy")), batch_id="b")
    outcomes = [Outcome("ana", "add", "done"), Outcome("bo", "add", "already"), Outcome("cy", "add", "refused", "no")]
    with Store(":memory:") as store:
        journal.intend(store, batch, NOW, "r1")
        journal.conclude(store, batch, outcomes, NOW, "r1")
        ledger.give_go_ahead(store, "mailchimp", "VIP", "d1", 3, NOW, "r1")
        found = store.sql("SELECT action, object_id, detail FROM audit ORDER BY seq")
        assert found == [("add", "7", "VIP"), ("go-ahead", "VIP", "3 people; rule d1")]
        assert audit.verify(store).is_sound
        assert [e["action"] for e in audit.of_contacts(store, [ANA])] == ["add"]
        assert audit.of_contacts(store, [("mailchimp", "bo")]) == []


def test_an_outcome_that_is_rolled_back_leaves_no_entry() -> None:
    with Store(":memory:") as store:
        trail(store, 1)
        with pytest.raises(RuntimeError), store.transaction():
            trail(store, 2)
            raise RuntimeError
        assert audit.verify(store) == audit.Verdict(1)


def test_without_the_key_of_a_contact_its_entries_cannot_be_found_and_the_trail_still_verifies() -> None:
    with Store(":memory:") as store:
        audit.record(
            store, [Entry("add", "mailchimp", "7", ANA), Entry("add", "mailchimp", "7", ("mailchimp", "bo"))], NOW, "r"
        )
        hashes = [h for (h,) in store.sql("SELECT person_hash FROM audit ORDER BY seq")]
        assert len(set(hashes)) == 2 and all(len(h) == 64 for h in hashes)
        store.sql("DELETE FROM subject_keys WHERE contact_id = 'ana'")
        assert audit.of_contacts(store, [ANA]) == []
        assert audit.verify(store).is_sound


def test_an_address_never_enters_the_trail() -> None:
    with Store(":memory:") as store:
        audit.note(store, "override", NOW, "r", detail="asked by <ana@x.example>, fine")
        assert store.value("SELECT detail FROM audit") == "asked by <[address]>, fine"


def test_the_key_lies_apart_private_and_its_loss_is_said(tmp_path: Path) -> None:
    with Store(tmp_path / "a.duckdb") as store:
        trail(store)
        key = tmp_path / "a.keys"
        assert keys.key_path(store) == key and key.stat().st_mode & 0o777 == 0o600
        assert key.read_text().strip() not in str(store.sql("SELECT * FROM audit, subject_keys, audit_head"))
        key.unlink()
        assert not audit.verify(store).is_sound
        trail(store, 1)
        found = audit.verify(store)
        assert found.is_sound and found.entries == 5 and "lost before entry 4" in found.note
