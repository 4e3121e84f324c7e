"""What is kept under a person's id goes along when records turn out to be one person, or are told apart."""

from __future__ import annotations

from datetime import datetime

import pytest

from connector import choices
from connector.config import Identity
from connector.identity import identify
from connector.ledger import rename_segments
from connector.store import Store
from tests.stages.hand_shop import contact, new_store, person_of, shop_config

NOW = datetime(2026, 11, 22)


@pytest.fixture
def store() -> Store:
    """Ann is known to Mailchimp; an older record of hers has no address yet."""
    found = new_store()
    found.insert(
        "contacts",
        [
            contact("mailchimp", "m1", email="ann@x.example", created_at="2026-01-01 00:00:00"),
            contact("import", "old", created_at="1990-01-01 00:00:00"),
        ],
    )
    identify(found, shop_config())
    return found


def join(store: Store) -> tuple[str, str]:
    """The old record gets her address; gives her id before and after."""
    before = person_of(store, "mailchimp", "m1")
    store.sql("UPDATE contacts SET email = 'ann@x.example' WHERE contact_id = 'old'")
    identify(store, shop_config())
    after = person_of(store, "mailchimp", "m1")
    assert after == person_of(store, "import", "old")
    return before, after


def test_a_pin_goes_along_and_never_wins(store: Store) -> None:
    hers, old = person_of(store, "mailchimp", "m1"), person_of(store, "import", "old")
    choices.pin(store, hers, "VIP", "never", "asked", NOW, "run")
    choices.pin(store, old, "vip", "always", "asked", NOW, "run")
    before, after = join(store)
    assert store.sql("SELECT person_id, kind FROM pins") == [(after, "never")]
    assert before != after


def test_a_stay_a_trigger_and_what_is_ours_go_along(store: Store) -> None:
    hers, old = person_of(store, "mailchimp", "m1"), person_of(store, "import", "old")
    stays = [{"segment": "VIP", "person_id": p, "entered_on": on} for p, on in ((hers, "2026-02-01"), (old, "2026-03-01"))]
    store.insert("memberships", stays)
    store.insert("triggered", [{"trigger": "hook", "person_id": hers, "happened_on": "2026-02-01", "state": "done"}])
    store.insert("ledger", [{"platform": "mailchimp", "object_id": "7", "contact_id": "m1", "person_id": hers}])
    _, after = join(store)
    assert store.sql("SELECT person_id, CAST(entered_on AS VARCHAR) FROM memberships") == [(after, "2026-02-01")]
    assert store.sql("SELECT person_id FROM triggered UNION ALL SELECT person_id FROM ledger") == [(after,), (after,)]


def test_who_is_told_apart_stays_out_of_what_they_were_pinned_out_of(store: Store) -> None:
    _, one = join(store)
    choices.pin(store, one, "VIP", "never", "asked", NOW, "run")
    choices.pin(store, one, "Regulars", "always", "asked", NOW, "run")
    apart = Identity(keep_apart=(("mailchimp:m1", "import:old"),))
    identify(store, shop_config().model_copy(update={"identity": apart}))
    parts = {person_of(store, "mailchimp", "m1"), person_of(store, "import", "old")}
    assert len(parts) == 2
    assert {p for (p,) in store.sql("SELECT person_id FROM pins WHERE kind = 'never'")} == parts
    assert store.sql("SELECT person_id FROM pins WHERE kind = 'always'") == [(one,)]


def test_a_renamed_segment_keeps_its_pins_and_its_pause(store: Store) -> None:
    choices.pin(store, "p", "Known", "never", "asked", NOW, "run")
    choices.pause(store, ["Known"], "undo", NOW, "run")
    for _ in range(2):
        rename_segments(store, [("Known", "Regulars")], ["mailchimp", "hubspot"])
    assert store.sql("SELECT segment FROM pins") == [("Regulars",)]
    assert choices.paused(store, "Regulars") and not choices.paused(store, "Known")


def test_who_is_pinned_out_is_kept_out_on_every_platform_that_knows_them(store: Store) -> None:
    _, one = join(store)
    choices.pin(store, one, "VIP", "never", "asked", NOW, "run")
    assert choices.kept_out(store, "mailchimp", "vip") == {"m1"} and not choices.kept_out(store, "mailchimp", "Regulars")
