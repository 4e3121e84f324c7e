"""Forgetting reaches every table, file and byte, and is finished after a crash; objections to profiling are kept."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard

from adapters.base import Page
from connector import audit, backup, erase_files, forgotten, imports, journal, ledger, no_profiling, privacy, runs, traces
from connector.config import Config, load
from connector.identity import identify
from connector.intake import Intake
from connector.normalize import Normalizer, load_mapping
from connector.profile import build
from connector.raw import RawPages
from connector.store import Store
from models.changes import Batch, Member, Outcome, Target
from models.errors import ConfigError, StoreError, UsageError
from models.segments import AsOf

NOW = datetime(2026, 11, 21, 12)
DAY = AsOf(date(2026, 11, 21), NOW)
ANA = "ana.secret@find-me.example"
BO = "bo.other@find-me.example"
TARGET = Target("mailchimp", "VIP", "VIP")


def member(contact_id: str, email: str, **more: Any) -> dict[str, Any]:
    ids = {"id": contact_id, "_contact_id": contact_id}
    return {**ids, "email_address": email, "status": "subscribed", "tags": [], "merge_fields": {}, **more}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "rollcall.toml"
    path.write_text('[shop]\nname = "Test"\ncountry = "DE"\n[privacy]\nno_profiling = ["mailchimp:tag:Leave me alone"]\n')
    return load(path)


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    with Store(config.store_path) as opened:
        yield opened


def take(store: Store, *records: dict[str, Any], run: str = "r1") -> Intake:
    mapping = Normalizer(load_mapping("mailchimp"), {}, DAY.day)
    intake = Intake(store, "mailchimp", "members", run, mapping, lambda: NOW, RawPages(store))
    intake.take(Page(list(records), {}))
    intake.commit()
    return intake


def filled(store: Store, config: Config) -> str:
    """Two people with everything there can be of them; gives Ana's person id."""
    take(
        store,
        member("ana-at-mailchimp", ANA, merge_fields={"PHONE": "0151 1234567"}),
        member("bo-at-mailchimp", BO, tags=[{"name": "leave me ALONE"}]),
    )
    fixed = {"source": "mailchimp", "stream": "activity", "kind": "click", "occurred_at": "2026-11-01 10:00:00"}
    store.insert("events", [
        {**fixed, "record_id": "e1", "contact_id": "ana-at-mailchimp", "url": "https://s.example/"},
        {**fixed, "record_id": "e2", "contact_id": "bo-at-mailchimp", "url": f"https://s.example/?friend={ANA}&x=1"},
    ])  # fmt: skip
    order = {
        "source": "import",
        "stream": "import:orders",
        "ordered_at": "2026-10-01 10:00:00",
        "currency": "EUR",
        "total": "5",
    }
    store.insert("orders", [{**order, "record_id": "o1", "order_id": "o1", "email": ANA, "kind": "order", "status": "paid"}])
    identify(store, config)
    build(store, config, DAY)
    person = str(store.value("SELECT person_id FROM people WHERE email = ?", [ANA]))
    other = str(store.value("SELECT person_id FROM people WHERE email = ?", [BO]))
    for who in (person, other):
        store.insert("scores", [{"score": "churn", "person_id": who, "value": 0.5, "reasons": "[]", "cutoff": "2026-11-21"}])
        store.insert("memberships", [{"segment": "VIP", "person_id": who, "entered_on": "2026-11-01"}])
    members = (Member("ana-at-mailchimp", ANA, person), Member("bo-at-mailchimp", BO, other))
    batch = Batch(TARGET, "7", "VIP", members, batch_id="b1")
    journal.intend(store, batch, NOW, "r1")
    journal.conclude(store, batch, [Outcome(m.contact_id, "add", "done") for m in members], NOW, "r1")
    backup.after_push(store, config, NOW)
    return person


def forget(store: Store, config: Config, email: str = ANA) -> privacy.Forgot:
    return privacy.forget(store, config, email, "r9", now=lambda: NOW)


def every_byte(folder: Path) -> bytes:
    """All files of a folder, unpacked where they are packed."""
    found = []
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        body = file.read_bytes()
        found.append(body)
        if file.suffix == ".zst":
            found.append(zstandard.ZstdDecompressor().decompress(body))
        if file.suffix == ".zip":
            with zipfile.ZipFile(file) as z:
                found += [z.read(n) for n in z.namelist()]
    return b"\n".join(found).lower()


# ---- forget


def test_nothing_of_the_person_is_left_in_any_byte_and_everything_of_others_is(store: Store, config: Config) -> None:
    person = filled(store, config)
    plan = config.folder / "tonight.json"
    plan.write_text(f'{{"changes": ["{ANA}"]}}')
    run = runs.begin(store, "plan", now_utc=lambda: NOW)
    runs.finish(store, run, 0, {"saved_files": [str(plan)]}, now_utc=lambda: NOW)
    (config.folder / "rollcall-report.html").write_text("a report")
    store.sql("CHECKPOINT")
    named = (ANA, "ana-at-mailchimp", person)
    assert all(w.encode() in every_byte(config.folder) for w in named)

    found = forget(store, config)

    store.close()
    whole = every_byte(config.folder)
    assert [w for w in named if w.encode() in whole] == []
    assert BO.encode() in whole and b"bo-at-mailchimp" in whole
    assert not plan.exists() and not (config.folder / "rollcall-report.html").exists()
    assert found.people == 1 and found.tags == 1 and found.places == [("mailchimp", "ana-at-mailchimp")]
    assert found.files == {"raw pages": 1, "saved files": 1, "reports": 1, "backups": 1}
    assert any("Permanently delete" in step for step in found.steps)


def test_others_keep_their_rows_and_a_link_that_named_the_person_is_rewritten(store: Store, config: Config) -> None:
    filled(store, config)
    forget(store, config)
    assert store.sql("SELECT email FROM contacts") == [(BO,)]
    assert store.sql("SELECT url FROM events") == [("https://s.example/?friend=forgotten&x=1",)]
    assert store.sql("SELECT count(*) FROM scores") == [(1,)] and store.sql("SELECT count(*) FROM memberships") == [(1,)]
    assert store.sql("SELECT count(*) FROM orders") == [(0,)]
    assert store.sql("SELECT count(*) FROM people") == [(1,)]


def test_the_trail_still_verifies_and_cannot_be_traced_to_them(store: Store, config: Config) -> None:
    filled(store, config)
    assert len(audit.of_contacts(store, [("mailchimp", "ana-at-mailchimp")])) == 1
    forget(store, config)
    assert audit.of_contacts(store, [("mailchimp", "ana-at-mailchimp")]) == []
    assert len(audit.of_contacts(store, [("mailchimp", "bo-at-mailchimp")])) == 1
    assert audit.verify(store) == audit.Verdict(3)


def test_the_ledger_still_knows_whose_tag_to_take_off_when_the_platform_shows_them(store: Store, config: Config) -> None:
    filled(store, config)
    forget(store, config)
    shown = {"ana-at-mailchimp", "bo-at-mailchimp", "tagged-by-hand"}
    assert ledger.ours(store, "mailchimp", "7") == {"bo-at-mailchimp"}
    assert forgotten.still_ours(store, "mailchimp", "7", shown) == {"ana-at-mailchimp"}
    assert forgotten.still_ours(store, "mailchimp", "8", shown) == frozenset()

    batch = Batch(TARGET, "7", "VIP", removes=(Member("ana-at-mailchimp"),), batch_id="b2")
    journal.intend(store, batch, NOW, "r3")
    journal.conclude(store, batch, [Outcome("ana-at-mailchimp", "remove", "done")], NOW, "r3")

    assert forgotten.still_ours(store, "mailchimp", "7", shown) == frozenset()
    assert "ana-at-mailchimp" not in str(store.sql("SELECT * FROM journal, ledger, parked, subject_keys"))
    assert "ana-at-mailchimp" not in str(store.sql("SELECT * FROM journal") + store.sql("SELECT * FROM subject_keys"))
    assert audit.verify(store).is_sound


def test_a_batch_that_was_under_way_is_settled_without_them_and_counts_as_ours(store: Store, config: Config) -> None:
    filled(store, config)
    for batch_id, members in (("both", ("ana-at-mailchimp", "bo-at-mailchimp")), ("alone", ("ana-at-mailchimp",))):
        journal.intend(store, Batch(TARGET, "9", "VIP", tuple(Member(m) for m in members), batch_id=batch_id), NOW, "r2")
    forget(store, config)
    (left,) = journal.open_intents(store, "mailchimp")
    assert [m.contact_id for m in left.batch.adds] == ["bo-at-mailchimp"]
    assert forgotten.still_ours(store, "mailchimp", "9", ["ana-at-mailchimp"]) == {"ana-at-mailchimp"}


def test_they_are_not_taken_in_again_under_any_of_their_identifiers(store: Store, config: Config) -> None:
    filled(store, config)
    forget(store, config)
    again = [
        member("ana-at-mailchimp", "new@elsewhere.example"),  # the id
        member("other", ANA.upper()),  # the address
        member("third", "", merge_fields={"PHONE": "+49 151 1234567"}),  # the number, and no address
        {**member("fourth", ANA), "status": 17.5},  # a record that cannot be translated
    ]
    intake = take(store, *again, member("bo-at-mailchimp", BO), run="r5")
    count = intake.count(is_complete=True)
    assert (count.fetched, count.stored + count.unchanged, count.set_aside) == (5, 1, 4)
    assert {r for (r,) in store.sql("SELECT reason FROM set_aside")} == {"forgotten"}
    assert all(i.startswith(forgotten.MARK) for (i,) in store.sql("SELECT record_id FROM set_aside"))
    store.close()
    whole = every_byte(config.folder)
    assert ANA.encode() not in whole and b"ana-at-mailchimp" not in whole
    with Store(config.store_path) as reopened:
        assert take(reopened, *again, run="r6").counts.new_set_aside == 0


def test_a_relative_with_the_same_number_and_an_address_of_their_own_is_taken_in(store: Store, config: Config) -> None:
    filled(store, config)
    forget(store, config)
    intake = take(store, member("cousin", "cousin@x.example", merge_fields={"PHONE": "0151 1234567"}), run="r5")
    assert intake.counts.stored == 1


def test_an_imported_file_leaves_them_out_and_says_so(store: Store, config: Config, tmp_path: Path) -> None:
    filled(store, config)
    forget(store, config)
    file = tmp_path / "orders.csv"
    file.write_text(f"order_id,email,date,amount\n1,{ANA.title()},2026-01-01,5\n2,{BO},2026-01-02,6\n")
    found = imports.import_file(store, config, "orders", file, "r7")
    assert (found.count.fetched, found.count.stored, found.count.set_aside) == (2, 1, 1)
    assert found.set_aside == [(2, "forgotten")] and any("forget" in n for n in found.notes)
    assert imports.import_file(store, config, "orders", file, "r8").count.new_set_aside == 0
    people = tmp_path / "contacts.csv"
    people.write_text(f"email\n{ANA}\n")
    imports.import_file(store, config, "contacts", people, "r9")
    assert ANA not in str(store.sql("SELECT * FROM set_aside")) and ANA not in str(store.sql("SELECT * FROM contacts"))


def test_a_crash_after_the_rows_are_gone_is_made_up_for_at_the_next_start(store: Store, config: Config) -> None:
    filled(store, config)
    (page,) = (config.folder / "rollcall.raw").iterdir()
    in_the_way = page.with_name(page.name + ".tmp")
    in_the_way.mkdir()  # the page cannot be rewritten: forgetting stops half-way
    (in_the_way / "x").touch()
    with pytest.raises((StoreError, OSError)):
        forget(store, config)
    (in_the_way / "x").unlink()
    in_the_way.rmdir()
    store.close()
    with Store(config.store_path) as reopened:
        assert reopened.sql("SELECT state FROM erasures") == [("begun",)]
        assert ANA not in str(reopened.sql("SELECT * FROM contacts"))
        assert take(reopened, member("ana-at-mailchimp", ANA), run="r2").counts.set_aside == 1  # kept out from the first moment
        privacy.resume(reopened, config, now=lambda: NOW)
        assert reopened.sql("SELECT state, traces FROM erasures") == [("done", None)]
        assert privacy.resume(reopened, config) == {}
    assert ANA.encode() not in every_byte(config.folder)


def test_an_address_that_several_people_carry_is_refused_unless_all_are_meant(store: Store, config: Config) -> None:
    shared = [member(f"m{n}", f"own{n}@x.example") for n in range(7)]
    take(store, *shared)
    rows = [
        {"source": "mailchimp", "stream": "members", "record_id": f"m{n}", "contact_id": f"m{n}", "kind": "email",
         "value": "info@shop.example", "is_main": False} for n in range(7)
    ]  # fmt: skip
    store.insert("identifiers", rows)
    with pytest.raises(UsageError, match="7 different people"):
        forget(store, config, "info@shop.example")
    assert store.sql("SELECT count(*) FROM contacts") == [(7,)]
    assert privacy.forget(store, config, "info@shop.example", "r", everybody=True, now=lambda: NOW).people == 7


def test_an_address_nobody_has_is_kept_out_all_the_same(store: Store, config: Config) -> None:
    found = forget(store, config, " Stranger@X.example ")
    assert (found.people, found.was_known) == (0, False)
    assert take(store, member("s", "stranger@x.example")).counts.set_aside == 1
    assert forget(store, config, "stranger@x.example").was_known
    with pytest.raises(UsageError, match="no e-mail address"):
        forget(store, config, "stranger")


def test_a_lost_key_stops_everything_that_would_let_them_in_again(store: Store, config: Config) -> None:
    filled(store, config)
    forget(store, config)
    (config.folder / "rollcall.keys").unlink()
    with pytest.raises(StoreError, match="missing"):
        take(store, member("ana-at-mailchimp", ANA), run="r5")


def test_a_page_that_cannot_be_read_is_removed_rather_than_kept(store: Store, config: Config) -> None:
    filled(store, config)
    next((config.folder / "rollcall.raw").iterdir()).write_bytes(b"damaged")
    assert forget(store, config).files["raw pages"] == 1
    assert store.sql("SELECT count(*) FROM raw_pages") == [(0,)]


def test_an_address_inside_another_is_not_mistaken_for_it() -> None:
    ana = traces.Traces(emails=frozenset({"ana@x.example"}))
    assert ana.named_in("from ANA@x.example.") and ana.named_in("?e=ana%40x.example&y") and not ana.named_in("diana@x.example")
    assert not ana.named_in("ana@x.example.org") and not ana.named_in("ana@x.example-shop")
    assert ana.without("to ana@x.example, cc diana@x.example") == "to forgotten, cc diana@x.example"
    assert traces.Traces.from_json(ana.to_json()) == ana


def test_a_plan_that_does_not_name_them_stays(store: Store, config: Config) -> None:
    person = filled(store, config)
    plan = config.folder / "other.json"
    plan.write_text(orjson.dumps({"changes": [BO]}).decode())
    run = runs.begin(store, "plan", now_utc=lambda: NOW)
    runs.finish(store, run, 0, {"saved_files": [str(plan)]}, now_utc=lambda: NOW)
    assert erase_files.saved_files(store) == [plan]
    forget(store, config)
    assert plan.exists() and person not in plan.read_text()


# ---- no profiling


def test_a_tag_or_a_list_takes_every_score_away_and_only_theirs(store: Store, config: Config, tmp_path: Path) -> None:
    person = filled(store, config)
    other = str(store.value("SELECT person_id FROM people WHERE email = ?", [BO]))
    assert no_profiling.not_profiled(store, config) == {other}
    assert no_profiling.enforce(store, config) == 1
    assert store.sql("SELECT person_id FROM scores") == [(person,)]
    file = tmp_path / "objections.csv"
    file.write_text(f"email\n{ANA.upper()}\n\n{ANA}\n")
    found = no_profiling.import_file(store, file, "r2", NOW)
    assert found.new == 1 and no_profiling.import_file(store, file, "r3", NOW).new == 0
    assert no_profiling.enforce(store, config) == 2
    assert store.sql("SELECT count(*) FROM scores") == [(0,)]


def test_an_objection_by_address_holds_for_a_contact_that_got_another_address_since(
    store: Store, config: Config, tmp_path: Path
) -> None:
    take(store, member("c1", ANA), member("c2", BO))
    take(store, member("c1", "new@find-me.example"), member("c2", BO), run="r2")
    identify(store, config)
    file = tmp_path / "objections.csv"
    file.write_text(f"email\n{ANA}\n")
    no_profiling.import_file(store, file, "r3", NOW)
    found = store.sql("SELECT person_id FROM person_links WHERE contact_id = 'c1'")
    assert no_profiling.not_profiled(store, config) == {p for (p,) in found}


def test_a_rule_nobody_could_match_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rollcall.toml"
    path.write_text('[shop]\n[privacy]\nno_profiling = ["shopify:no-profiling"]\n')
    with pytest.raises(ConfigError, match="shopify:tag:NAME"):
        load(path)
