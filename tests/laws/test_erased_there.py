"""Whom HubSpot deletes for good is erased here too, as `forget` does it, and stays closed wherever else they are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector import erase, forgotten, privacy, sync
from connector.session import Session
from connector.store import Store
from tests.laws.consent_shop import PLATFORMS, Laws
from tests.laws.consent_table import MAIL_AND_CARE, MARKETING, SERVICE, bought, person
from tests.stages.test_privacy import every_byte

DORA, ANA = "dora@shop.example", "ana@shop.example"
BEFORE = "dora-before@shop.example"


@pytest.fixture
def laws(tmp_path: Path) -> Iterator[Laws]:
    """Ana is known everywhere, Dora and who was merged with her to HubSpot alone."""
    only = {"shopify": "absent", "mailchimp": "absent"}
    people = [person("ana"), person("dora", **only), person("dora-before", **only), person("bo")]
    made = Laws(tmp_path, people, MAIL_AND_CARE, bought(people), more="[pull]\nfull_read_days = 1\n")
    made.store = Store(made.config.store_path, threads=1)
    made.pull(full=True)
    made.change("hubspot", "dora", merge="dora-before")
    made.pull()
    made.read_in_full()
    made.push(first=True)
    yield made
    made.close()


def night(laws: Laws) -> Session:
    laws.later(days=2)
    laws.pull()
    with laws.session("sync") as s:
        sync.read_in_full(s)
    laws.push()
    return s


def tables_with(store: Store, text: str) -> set[str]:
    """Tables that hold a text anywhere."""
    found = set()
    for table, columns in erase.tables(store).items():
        texts = [f'"{c}"' for c, kind in columns.items() if kind == "VARCHAR"]
        held = f"SELECT 1 FROM \"{table}\" WHERE contains(concat_ws(' ', {', '.join(texts)}), ?) LIMIT 1"
        found |= {table} if texts and store.sql(held, [text]) else set()
    return found


def test_nothing_of_them_is_left_and_they_stay_closed_everywhere_else(laws: Laws) -> None:
    ids = dict(laws.store.sql("SELECT email, contact_id FROM contacts WHERE source = 'hubspot' AND state <> 'merged'"))
    assert laws.carrying("hubspot", MARKETING) == {"ana", "dora", "bo"}
    for who in ("ana", "dora"):
        laws.change("hubspot", who, erased=True)
    said = [n for _ in range(2) for n in night(laws).notices]  # who is out of sight in two full reads is gone
    assert len(said) == 1 and said[0].startswith("2 contacts that HubSpot deleted for good") and "1 of them" in said[0]
    assert tables_with(laws.store, DORA) == tables_with(laws.store, BEFORE) == set()
    known = forgotten.Forgotten(laws.store)
    assert known.knows("email", DORA) and known.knows("hubspot", ids[DORA]) and known.knows("hubspot", ids[ANA])
    assert not known.knows("email", ANA), "Shopify and Mailchimp still hold that address"
    held = laws.store.sql("SELECT source, email FROM contacts WHERE email = ? ORDER BY 1", [ANA])
    assert held == [("mailchimp", ANA), ("shopify", ANA)]
    assert laws.store.value("SELECT count(*) FROM contacts WHERE state = 'gone'") == 0
    for _ in range(2):
        assert {who for p in PLATFORMS for name in (MARKETING, SERVICE) for who in laws.carrying(p, name)} == {"bo"}
        assert night(laws).notices == []
    laws.store.close()
    assert DORA.encode() not in every_byte(laws.folder)


def test_what_was_said_of_an_address_that_others_hold_too_stays_in_force(laws: Laws) -> None:
    """Ana opted out, Bo shares the address in the shop and is kept apart: the address had said no, whoever holds it."""
    laws.change("hubspot", "ana", status="opted_out")
    laws.pull()
    laws.store.sql("UPDATE contacts SET email = ? WHERE source = 'shopify' AND email = 'bo@shop.example'", [ANA])
    laws.change("hubspot", "ana", erased=True)
    with laws.session("sync") as s:
        laws.store.sql("UPDATE contacts SET state = 'gone' WHERE source = 'hubspot' AND email = ?", [ANA])
        sync.identify(s)
        sync.read_in_full(s)
    assert laws.store.sql("SELECT email FROM events WHERE kind = 'unsubscribe' AND source = 'import'") == [(ANA,)]


def test_what_hubspot_shows_again_and_more_than_can_be_believed_is_not_erased(
    laws: Laws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with laws.session("sync") as s:
        laws.store.sql("UPDATE contacts SET state = 'gone' WHERE source = 'hubspot'")
        sync.read_in_full(s)
    assert laws.store.value("SELECT count(*) FROM erasures") == 0 and not s.notices
    monkeypatch.setattr("connector.erased_there.FEW", 1)
    for who in ("ana", "dora"):
        laws.change("hubspot", who, erased=True)
    with laws.session("sync") as s:
        laws.store.sql("UPDATE contacts SET state = 'gone' WHERE source = 'hubspot'")
        sync.read_in_full(s)
    assert laws.store.value("SELECT count(*) FROM erasures") == 0 and "too many to be believed" in s.notices[0]


def test_a_crash_before_the_files_are_rewritten_is_made_up_for(laws: Laws, monkeypatch: pytest.MonkeyPatch) -> None:
    laws.change("hubspot", "dora", erased=True)
    night(laws)
    monkeypatch.setattr("connector.privacy.resume", lambda *_, **__: {})
    night(laws)
    monkeypatch.undo()
    assert laws.store.value("SELECT count(*) FROM erasures WHERE state = 'begun'") == 1
    privacy.resume(laws.store, laws.config, now=laws.clock)
    laws.store.close()
    assert DORA.encode() not in every_byte(laws.folder)
