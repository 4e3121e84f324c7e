"""Who may be written: the table of the design (section 3), walked cell by cell on three simulated platforms.

Every combination of what a person may be on Shopify, on Mailchimp and on HubSpot is a person of one simulated shop; their
states are set in the simulators, read by the adapters through the mappings, and planned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from connector import consent
from connector.sandbox.shop import Customer, Mailing, Shop
from models.changes import Plan
from tests.laws.consent_shop import PLATFORMS, Laws, target
from tests.laws.consent_table import (
    EVERY,
    MARKETING,
    SEGMENTS,
    SERVICE,
    TEXT,
    TITLES,
    TYPE,
    bought,
    members,
    named,
    person,
    reasons,
)

# ---- every cell, and every combination of cells


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Laws, Plan]]:
    people = [person(named(s), **dict(zip(PLATFORMS, s, strict=True))) for s in EVERY]
    laws = Laws(tmp_path_factory.mktemp("table"), people, SEGMENTS, bought(people), hubspot=f'subscription_type = "{TYPE}"')
    laws.pull(full=True)
    laws.plan()
    for states in EVERY:  # who is erased or deleted was somebody before
        if states[PLATFORMS.index("shopify")] == "redacted":
            laws.change("shopify", named(states), status="redacted")
        if states[PLATFORMS.index("hubspot")] == "deleted":
            laws.change("hubspot", named(states), archived=True)
    laws.pull()
    yield laws, laws.push(first=True)
    laws.close()


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(("purpose", "name"), [("marketing", MARKETING), ("service", SERVICE)])
def test_every_combination_of_states_is_written_just_where_the_table_says(
    everybody: tuple[Laws, Plan], platform: str, purpose: str, name: str
) -> None:
    laws, _ = everybody
    may = {named(s) for s in EVERY if not reasons(s, platform, purpose)}
    assert len(EVERY) == 616 and 0 < len(may) < len(EVERY)
    assert laws.carrying(platform, name) == may


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("purpose", ["marketing", "service"])
def test_everybody_left_out_is_counted_under_the_weightiest_reason(
    everybody: tuple[Laws, Plan], platform: str, purpose: str
) -> None:
    _, plan = everybody
    segment = "Mail" if purpose == "marketing" else "Care"
    known = [s for s in EVERY if set(s) != {"absent"}]
    expected = Counter(found[0] for s in known if (found := reasons(s, platform, purpose)))
    assert target(plan, platform, segment).excluded == dict(expected)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_contact_is_told_the_reason_of_its_own_state(everybody: tuple[Laws, Plan], platform: str) -> None:
    laws, _ = everybody
    consent.judge(laws.store, laws.config, platform, "email")
    verdicts = {email: (m, v) for email, m, v in laws.store.sql("SELECT email, marketing, service FROM verdicts")}
    for states in EVERY:
        marketing, service = reasons(states, platform, "marketing"), reasons(states, platform, "service")
        if "not on this platform" not in marketing and states[PLATFORMS.index(platform)] != "redacted":
            found = verdicts[f"{named(states)}@shop.example"]
            assert found == ((marketing or [""])[0], (service or [""])[0]), states


def test_who_has_no_phone_gets_no_text_message_tag(everybody: tuple[Laws, Plan]) -> None:
    laws, _ = everybody
    assert not any(laws.carrying(platform, TEXT) for platform in PLATFORMS)


def test_the_next_plan_is_empty_and_every_plan_says_what_an_owner_must_know(everybody: tuple[Laws, Plan]) -> None:
    laws, _ = everybody
    plan = laws.plan()
    assert not plan.changes
    for platform in PLATFORMS:
        care = target(plan, platform, "Care")
        assert "service" in care.object_name and any("nobody may be mailed" in n for n in care.notes)
        assert not any("nobody may be mailed" in n for n in target(plan, platform, "Mail").notes)
    notes = target(plan, "hubspot", "Mail").notes
    written = [s for s in EVERY if not reasons(s, "hubspot", "marketing")]
    silent = sum(s[PLATFORMS.index("hubspot")] not in ("opted in",) for s in written)
    unpaid = sum(s[PLATFORMS.index("hubspot")] == "non-marketing" for s in written)
    assert any(n.startswith(f"{silent} never answered HubSpot") for n in notes), notes
    assert any(n.startswith(f"{unpaid} ") and "cannot be mailed until paid for" in n for n in notes)


def test_with_the_legal_basis_setting_on_hubspot_takes_nobody_who_did_not_answer(everybody: tuple[Laws, Plan]) -> None:
    laws, _ = everybody
    laws.configure(SEGMENTS, hubspot=f'subscription_type = "{TYPE}"\nlegal_basis = true')
    plan = laws.plan()
    laws.configure(SEGMENTS, hubspot=f'subscription_type = "{TYPE}"')
    mail = target(plan, "hubspot", "Mail")
    expected = Counter(
        (found or ["never asked"])[0] for s in EVERY if set(s) != {"absent"} for found in [reasons(s, "hubspot", "marketing")]
    )
    assert mail.excluded == dict(expected) and mail.wanted == 0
    assert target(plan, "hubspot", "Care").wanted == sum(not reasons(s, "hubspot", "service") for s in EVERY)
    assert target(plan, "mailchimp", "Mail").wanted == sum(not reasons(s, "mailchimp", "marketing") for s in EVERY)


# ---- a no in one place, a yes in another, with dates

MAY, JUNE = datetime(2026, 5, 1), datetime(2026, 6, 1)
YES_AND_NO: dict[str, tuple[str, str, datetime | None, str, datetime | None, bool]] = {
    # name -> yes on, at; no on, at; is it a conflict there
    "later-yes-on-mailchimp": ("mailchimp", "", JUNE, "shopify", MAY, True),
    "earlier-yes-on-mailchimp": ("mailchimp", "", MAY, "shopify", JUNE, False),
    "same-moment": ("mailchimp", "", MAY, "shopify", MAY, False),
    "undated-no-on-shopify": ("mailchimp", "", JUNE, "shopify", None, False),
    "undated-no-on-hubspot": ("mailchimp", "", JUNE, "hubspot", None, False),
    "a-dated-no-and-an-undated-one": ("mailchimp", "", JUNE, "shopify+hubspot", MAY, False),
    "undated-no-on-mailchimp": ("shopify", "", JUNE, "mailchimp", MAY, False),
    "complaint-then-yes-on-shopify": ("shopify", "complaint", JUNE, "mailchimp", MAY, True),
    "yes-then-complaint": ("shopify", "complaint", MAY, "mailchimp", JUNE, False),
}


def dated(name: str) -> Customer:
    yes_on, how, yes_at, no_on, no_at, _ = YES_AND_NO[name]
    words = {"shopify": "unsubscribed", "mailchimp": "unsubscribed", "hubspot": "opted out"}
    made = person(name, **({} if how else {place: words[place] for place in no_on.split("+")}))
    made.consent_at = {yes_on: yes_at, no_on.partition("+")[0]: no_at}
    made.extra["mailchimp"] = {}
    return made


@pytest.fixture(scope="module")
def disputed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laws]:
    people = [dated(name) for name in YES_AND_NO]
    complaints = [(n, at, "ABUSE") for n, (_, how, _, _, at, _) in YES_AND_NO.items() if how and at]
    mailing = Mailing(
        "c1", "News", "News", datetime(2026, 4, 30), recipients=[c[0] for c in complaints], unsubscribes=complaints
    )
    laws = Laws(tmp_path_factory.mktemp("disputed"), people, SEGMENTS)
    laws.mailchimp.load(Shop("Laws", "EUR", "UTC", people, [], [], [mailing]))
    laws.pull(full=True, streams=None)
    yield laws
    laws.close()


@pytest.mark.parametrize("wins", [False, True])
def test_a_later_dated_yes_on_the_destination_is_listed_and_wins_only_where_the_owner_says_so(
    disputed: Laws, wins: bool
) -> None:
    disputed.configure(SEGMENTS, more=f"[privacy]\nlater_yes_wins = {str(wins).lower()}\n")
    plan = disputed.plan(first=True)
    for platform in PLATFORMS:
        there = {n for n, row in YES_AND_NO.items() if row[5] and row[0] == platform}
        assert members(plan, platform, "Mail") == (there if wins else set())
        consent.judge(disputed.store, disputed.config, platform, "email")
        listed = consent.conflicts(disputed.store, platform)
        assert {c.email.partition("@")[0] for c in listed} == there
        for c in listed:
            row = YES_AND_NO[c.email.partition("@")[0]]
            assert (c.yes_at, c.no_at, c.said_no_on) == (row[2], row[4], TITLES[row[3]])
        winner = "the yes wins" if wins else "the no wins"
        assert any(winner in n and n.startswith(f"{len(there)} ") for n in target(plan, platform, "Mail").notes) == bool(there)
    if wins:
        return
    assert target(plan, "hubspot", "Mail").excluded == {
        "said no on HubSpot": 2, "said no on Mailchimp": 3, "said no on Shopify": 4,
    }  # fmt: skip


def test_a_yes_that_won_is_no_removal_and_a_new_no_is(disputed: Laws) -> None:
    disputed.configure(SEGMENTS, more="[privacy]\nlater_yes_wins = true\n")
    disputed.push(first=True)
    assert disputed.carrying("mailchimp", MARKETING) == {"later-yes-on-mailchimp"}
    disputed.change("shopify", "later-yes-on-mailchimp", status="unsubscribed")
    disputed.now += timedelta(hours=1)
    disputed.pull()
    disputed.push()
    assert disputed.carrying("mailchimp", MARKETING) == set()
