"""Who asks to be forgotten takes no no back: whoever was closed by what they had said stays closed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector import privacy
from tests.laws.consent_shop import Laws
from tests.laws.consent_table import MAIL_AND_CARE, MARKETING, bought, person

OLD = "ana@shop.example"


@pytest.fixture
def laws(tmp_path: Path) -> Iterator[Laws]:
    people = [person(n) for n in ("ana", "bo")]
    made = Laws(tmp_path, people, MAIL_AND_CARE, bought([person("bo")]))
    made.pull(full=True)
    made.push(first=True)
    yield made
    made.close()


def night(laws: Laws) -> None:
    laws.later(days=1)
    laws.pull()
    laws.push()


def forget(laws: Laws, address: str) -> privacy.Forgot:
    return privacy.forget(laws.store, laws.config, address, "r-forget", now=laws.clock)


def test_whoever_left_an_address_that_said_no_stays_closed_when_it_is_forgotten(laws: Laws) -> None:
    """The contact has another address by now; that it had the forgotten one is all that closes it."""
    laws.change("shopify", "ana", status="unsubscribed")
    night(laws)
    laws.change("hubspot", "ana", email="ana-new@shop.example")
    night(laws)
    assert laws.carrying("hubspot", MARKETING) == {"bo"}
    found = forget(laws, OLD)
    for _ in range(2):
        night(laws)
        assert laws.carrying("hubspot", MARKETING) == {"bo"}
    assert OLD not in str(laws.store.sql("SELECT * FROM events")) + str(laws.store.sql("SELECT * FROM former_addresses"))
    assert any("HubSpot contact" in step and "had this address" in step for step in found.steps), (
        "the owner knows whether it is the same"
    )
