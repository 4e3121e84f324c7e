"""Verdicts from rows of the store: what the walk through the whole table (tests/laws) cannot set on a simulated platform."""

from __future__ import annotations

from typing import Any

import pytest

from connector import consent, schema
from connector.config import Config
from connector.store import Store

YES = ""


@pytest.fixture
def store() -> Store:
    store = Store(":memory:")
    for step in schema.MIGRATIONS:
        for statement in step:
            store.sql(statement)
    store.sql("CREATE TABLE wanted_people (person_id VARCHAR, blocked VARCHAR)")
    return store


def config(**hubspot: Any) -> Config:
    later = hubspot.pop("later_yes_wins", False)
    return Config.model_validate({"shop": {}, "hubspot": {"token": "env:X", **hubspot}, "privacy": {"later_yes_wins": later}})


def contact(store: Store, source: str, contact_id: str, person: str = "p", **columns: Any) -> None:
    store.insert(
        "contacts", [{"source": source, "contact_id": contact_id, "email": f"{person}@x.example", "state": "live", **columns}]
    )
    store.insert("person_links", [{"source": source, "contact_id": contact_id, "person_id": person, "evidence": "test"}])


def says(store: Store, source: str, contact_id: str, status: str, topic: str = "", **columns: Any) -> None:
    store.insert(
        "consents",
        [{"source": source, "contact_id": contact_id, "channel": "email", "topic": topic, "status": status, **columns}],
    )


def verdict(store: Store, platform: str, contact_id: str, cfg: Config | None = None) -> tuple[str, str]:
    """(why no marketing tag, why no service tag); '' means it may be written."""
    consent.judge(store, cfg or config(), platform, "email")
    found = store.sql("SELECT marketing, service FROM verdicts WHERE contact_id = ?", [contact_id])
    return found[0][0], found[0][1]


OWN = [
    ("mailchimp", "subscribed", YES, YES),
    ("mailchimp", "pending", "not confirmed yet", YES),
    ("mailchimp", "transactional", "never asked", YES),
    ("mailchimp", "unsubscribed", "said no on Mailchimp", YES),
    ("mailchimp", "dead", "dead address", YES),
    ("mailchimp", "archived", "archived", "archived"),
    ("mailchimp", "erased", "erased", "erased"),
    ("shopify", "subscribed", YES, YES),
    ("shopify", "pending", "not confirmed yet", YES),
    ("shopify", "never_asked", "never asked", YES),
    ("shopify", "unsubscribed", "said no on Shopify", YES),
    ("shopify", "dead", "dead address", YES),
    ("shopify", "erased", "erased", "erased"),
    ("hubspot", "not_specified", YES, YES),
    ("hubspot", "unsubscribed", "said no on HubSpot", YES),
    ("hubspot", "dead", "dead address", YES),
]


@pytest.mark.parametrize(("platform", "status", "marketing", "service"), OWN)
def test_what_a_contact_said_on_the_platform_itself(
    store: Store, platform: str, status: str, marketing: str, service: str
) -> None:
    contact(store, platform, "1")
    says(store, platform, "1", status)
    assert verdict(store, platform, "1") == (marketing, service)


@pytest.mark.parametrize("state", ["archived", "erased", "gone", "merged"])
def test_who_is_no_longer_there_is_never_written_not_even_for_service(store: Store, state: str) -> None:
    contact(store, "hubspot", "1", state=state)
    says(store, "hubspot", "1", "not_specified")
    assert all(verdict(store, "hubspot", "1"))


def test_an_erased_contact_closes_the_person_everywhere(store: Store) -> None:
    contact(store, "mailchimp", "1")
    says(store, "mailchimp", "1", "subscribed")
    contact(store, "hubspot", "2", state="erased")
    assert verdict(store, "mailchimp", "1") == ("erased", "erased")


def test_a_dead_address_closes_that_address_and_not_the_person(store: Store) -> None:
    contact(store, "mailchimp", "1")
    says(store, "mailchimp", "1", "subscribed")
    contact(store, "shopify", "2")
    says(store, "shopify", "2", "dead")
    contact(store, "mailchimp", "3", email="second@x.example")
    says(store, "mailchimp", "3", "subscribed")
    assert verdict(store, "mailchimp", "1")[0] == "dead address"
    assert verdict(store, "mailchimp", "3")[0] == YES


def test_the_mailchimp_box_for_email_must_be_ticked(store: Store) -> None:
    for n, box in (("1", "not_specified"), ("2", "subscribed")):
        contact(store, "mailchimp", n, person=f"p{n}")
        says(store, "mailchimp", n, "subscribed")
        says(store, "mailchimp", n, box, topic="Email")
        says(store, "mailchimp", n, "not_specified", topic="Direct mail")
    assert verdict(store, "mailchimp", "1") == ("the e-mail box is not ticked", YES)
    assert verdict(store, "mailchimp", "2") == (YES, YES)


def test_hubspot_with_the_legal_basis_setting_needs_more_than_silence(store: Store) -> None:
    contact(store, "hubspot", "1")
    says(store, "hubspot", "1", "not_specified")
    assert verdict(store, "hubspot", "1", config(legal_basis=True)) == ("never asked", YES)


def test_an_opt_out_of_the_named_hubspot_subscription_type_counts_there_only(store: Store) -> None:
    contact(store, "hubspot", "1")
    says(store, "hubspot", "1", "not_specified")
    says(store, "hubspot", "1", "unsubscribed", topic="555")
    contact(store, "mailchimp", "2")
    says(store, "mailchimp", "2", "subscribed")
    cfg = config(subscription_type="555")
    assert verdict(store, "hubspot", "1", cfg) == ("opted out of the subscription type", YES)
    assert verdict(store, "mailchimp", "2", cfg) == (YES, YES)
    assert verdict(store, "hubspot", "1", config(subscription_type="777"))[0] == YES


@pytest.mark.parametrize("source", ["mailchimp", "hubspot"])
def test_who_is_out_of_sight_where_archived_contacts_are_shown_was_erased(store: Store, source: str) -> None:
    contact(store, source, "1", state="gone")
    contact(store, "shopify", "2")
    says(store, "shopify", "2", "subscribed")
    assert verdict(store, "shopify", "2") == ("erased", "erased")


def test_a_customer_that_shopify_no_longer_has_was_not_erased(store: Store) -> None:
    contact(store, "shopify", "1", state="gone")
    contact(store, "mailchimp", "2")
    says(store, "mailchimp", "2", "subscribed")
    assert verdict(store, "mailchimp", "2") == (YES, YES)


def test_an_erasure_of_one_channel_is_one_of_all(store: Store) -> None:
    contact(store, "shopify", "1")
    says(store, "shopify", "1", "subscribed")
    store.insert("consents", [{"source": "shopify", "contact_id": "1", "channel": "sms", "topic": "", "status": "erased"}])
    assert verdict(store, "shopify", "1") == ("erased", "erased")


def test_a_permission_in_words_of_the_owner_counts_where_none_says_email(store: Store) -> None:
    for n, box in (("1", "not_specified"), ("2", "subscribed")):
        contact(store, "mailchimp", n, person=f"p{n}")
        says(store, "mailchimp", n, "subscribed")
        says(store, "mailchimp", n, box, topic="Our newsletter")
    assert verdict(store, "mailchimp", "1") == ("the e-mail box is not ticked", YES)
    assert verdict(store, "mailchimp", "2") == (YES, YES)


def test_only_who_unticked_the_box_is_a_no_and_not_who_never_ticked_it(store: Store) -> None:
    """An owner who adds the boxes to an audience finds them unticked for everybody: guards hold that back."""
    for n in ("1", "2"):
        contact(store, "mailchimp", n, person=f"p{n}")
        says(store, "mailchimp", n, "subscribed")
        says(store, "mailchimp", n, "not_specified", topic="Email")
    store.insert(
        "consent_history",
        [{"source": "mailchimp", "contact_id": "1", "channel": "email", "topic": "Email", "status": "subscribed"}],
    )
    verdict(store, "mailchimp", "1")
    assert dict(store.sql("SELECT contact_id, is_no FROM verdicts")) == {"1": True, "2": False}


@pytest.mark.parametrize("wins", [False, True])
def test_a_later_dated_yes_wins_only_where_the_owner_says_so(store: Store, wins: bool) -> None:
    contact(store, "mailchimp", "1")
    says(store, "mailchimp", "1", "subscribed", changed_at="2026-05-01 00:00:00")
    contact(store, "shopify", "2")
    says(store, "shopify", "2", "unsubscribed", changed_at="2026-01-01 00:00:00")
    assert (verdict(store, "mailchimp", "1", config(later_yes_wins=wins))[0] == YES) is wins
    assert store.value("SELECT is_conflict FROM verdicts") is True


@pytest.mark.parametrize(("yes_at", "no_at"), [(None, "2026-01-01 00:00:00"), ("2026-05-01 00:00:00", None)])
def test_a_status_without_a_date_is_no_evidence_of_a_date(store: Store, yes_at: str | None, no_at: str | None) -> None:
    contact(store, "mailchimp", "1")
    says(store, "mailchimp", "1", "subscribed", changed_at=yes_at)
    contact(store, "shopify", "2")
    says(store, "shopify", "2", "unsubscribed", changed_at=no_at)
    assert verdict(store, "mailchimp", "1", config(later_yes_wins=True))[0] == "said no on Shopify"


def test_a_refusal_of_one_address_closes_the_other_address_of_the_same_person(store: Store) -> None:
    contact(store, "mailchimp", "1")
    says(store, "mailchimp", "1", "unsubscribed")
    contact(store, "mailchimp", "2", email="second@x.example")
    says(store, "mailchimp", "2", "subscribed")
    assert verdict(store, "mailchimp", "2")[0] == "said no on Mailchimp"


def test_a_contact_without_any_answer_was_never_asked(store: Store) -> None:
    contact(store, "mailchimp", "1")
    assert verdict(store, "mailchimp", "1") == ("never asked", YES)


def test_everybody_of_a_segment_is_written_once_or_counted_with_a_reason(store: Store) -> None:
    contact(store, "mailchimp", "1", person="yes")
    says(store, "mailchimp", "1", "subscribed")
    contact(store, "mailchimp", "1b", person="yes", email="other@x.example")
    says(store, "mailchimp", "1b", "subscribed")
    contact(store, "mailchimp", "2", person="no")
    says(store, "mailchimp", "2", "unsubscribed")
    contact(store, "shopify", "3", person="elsewhere")
    for person in ("yes", "no", "elsewhere"):
        store.insert("wanted_people", [{"person_id": person, "blocked": ""}])
    consent.judge(store, config(), "mailchimp", "email")
    found = consent.desired(store, "marketing")
    assert len(found.members) == 1
    assert found.excluded == {"said no on Mailchimp": 1, "not on this platform": 1}
    assert set(found.closed) == {"2"}
    service = consent.desired(store, "service")
    assert {m.person_id for m in service.members.values()} == {"yes", "no"}


def test_an_address_that_said_no_is_closed_also_where_its_holders_are_not_one_person(store: Store) -> None:
    contact(store, "mailchimp", "1", person="a", email="shared@x.example")
    says(store, "mailchimp", "1", "subscribed")
    contact(store, "hubspot", "2", person="b", email="shared@x.example")
    says(store, "hubspot", "2", "unsubscribed")
    assert verdict(store, "mailchimp", "1")[0] == "said no on HubSpot"


@pytest.mark.parametrize(
    ("source", "kind", "why"),
    [
        ("mailchimp", "complaint", "said no on Mailchimp"),
        ("import", "complaint", "said no on an import"),
        ("import", "unsubscribe", "said no on an import"),
        ("mailchimp", "unsubscribe", YES),
    ],
)
def test_a_complaint_is_a_no_and_so_is_an_imported_leaving(store: Store, source: str, kind: str, why: str) -> None:
    """On Mailchimp itself the status says whether somebody who once left is back."""
    contact(store, "mailchimp", "1")
    says(store, "mailchimp", "1", "subscribed")
    if source == "import":
        contact(store, "import", "9")
    event = {"source": source, "contact_id": "9" if source == "import" else "1", "kind": kind}
    store.insert("events", [{**event, "occurred_at": "2026-05-01 00:00:00"}])
    assert verdict(store, "mailchimp", "1")[0] == why


@pytest.mark.parametrize("kind", ["Unsubscribe", "UNSUBSCRIBED", "opt_out", "Opted out", "spam", "Spam complaint", "abuse"])
def test_a_refusal_in_a_file_counts_however_the_file_spells_it(store: Store, kind: str) -> None:
    contact(store, "mailchimp", "1")
    says(store, "mailchimp", "1", "subscribed")
    contact(store, "import", "9")
    store.insert("events", [{"source": "import", "contact_id": "9", "kind": kind, "occurred_at": "2026-05-01 00:00:00"}])
    assert verdict(store, "mailchimp", "1")[0] == "said no on an import"


@pytest.mark.parametrize(
    "told_of", [{"email": "shared@x.example"}, {"contact_id": "9"}, {"contact_id": "8", "email": "shared@x.example"}]
)
def test_an_address_that_complained_is_closed_whoever_holds_it(store: Store, told_of: dict[str, str]) -> None:
    """Kept apart, shared by many, or of a record with another address."""
    contact(store, "mailchimp", "1", person="a", email="shared@x.example")
    says(store, "mailchimp", "1", "subscribed")
    contact(store, "import", "9", person="b", email="shared@x.example")
    contact(store, "import", "8", person="c", email="other@x.example")
    store.insert("events", [{"source": "import", **told_of, "kind": "complaint", "occurred_at": "2026-05-01 00:00:00"}])
    assert verdict(store, "mailchimp", "1")[0] == "said no on an import"
    assert {p for (p,) in store.sql(consent.REFUSED, {"channel": "email"})} >= {"a", "b"}
