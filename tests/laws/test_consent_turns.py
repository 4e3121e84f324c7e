"""What the table of the design leaves to sentences: a state turns, text messages, two addresses, service segments.

One simulated shop through its days: everybody gets their tags, then something happens to each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from connector.sandbox.shop import Customer, Purchase
from models.changes import Plan
from tests.laws.consent_shop import EVERYWHERE, PLATFORMS, Laws, target
from tests.laws.consent_table import (
    BOX,
    DEAD,
    ERASURE,
    MARKETING,
    NOWHERE,
    REFUSAL,
    SEGMENTS,
    SERVICE,
    TYPE,
    bought,
    members,
    person,
)

# ---- a state turns, and what the table leaves to sentences

TURNS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    # what happens -> where, what is changed there, what it means there, what it means elsewhere
    "unsubscribes on mailchimp": ("mailchimp", {"status": "unsubscribed"}, REFUSAL, REFUSAL),
    "unticks the box": ("mailchimp", {"marketing_permissions": {"Email": False}}, REFUSAL, NOWHERE),
    "is cleaned": ("mailchimp", {"status": "cleaned"}, DEAD, DEAD),
    "is archived on mailchimp": ("mailchimp", {"status": "archived"}, "out of sight", NOWHERE),
    "is forgotten on mailchimp": ("mailchimp", {"deleted": True}, "out of sight", ERASURE),
    "unsubscribes on shopify": ("shopify", {"status": "unsubscribed"}, REFUSAL, REFUSAL),
    "has an invalid address": ("shopify", {"status": "invalid"}, DEAD, DEAD),
    "is redacted": ("shopify", {"status": "redacted"}, ERASURE, ERASURE),
    "opts out on hubspot": ("hubspot", {"status": "opted_out"}, REFUSAL, REFUSAL),
    "opts out of the type": ("hubspot", {f"hs_email_optout_{TYPE}": True}, REFUSAL, NOWHERE),
    "is quarantined": ("hubspot", {"hs_email_quarantined": True}, DEAD, DEAD),
    "is deleted on hubspot": ("hubspot", {"archived": True}, "out of sight", NOWHERE),
    "is erased on hubspot": ("hubspot", {"erased": True}, "out of sight", ERASURE),
    "is not marketed to any more": ("hubspot", {"hs_marketable_status": "false"}, NOWHERE, NOWHERE),
    "does nothing": ("shopify", {"note": "hello"}, NOWHERE, NOWHERE),
}
STRICT = "[guards]\nmin_members = 0\nmax_leave_pct = 0\n"
MORE = "[pull]\nfull_read_days = 1\n"
CONFIG = f'subscription_type = "{TYPE}"'
SMS = {"mailchimp": ("subscribed", "unsubscribed", "pending", "nonsubscribed", ""),
       "shopify": ("SUBSCRIBED", "UNSUBSCRIBED", "PENDING", "NEVER_SUBSCRIBED", "REDACTED", "")}  # fmt: skip


def turned(what: str, platform: str) -> str:
    where, _, here, elsewhere = TURNS[what]
    return here if platform == where else elsewhere


def texted() -> list[Customer]:
    """Every answer about text messages on Mailchimp with every one on Shopify; all of them may be mailed."""
    people = []
    for n, (m, s) in enumerate(product(SMS["mailchimp"], SMS["shopify"])):
        made = person(f"sms-{m or 'none'}-{s or 'none'}".lower())
        made.phone = f"+4915112345{n:03d}"
        made.on -= {p for p, word in (("mailchimp", m), ("shopify", s)) if not word}
        made.extra["mailchimp"] |= {"sms_phone_number": made.phone, "sms_subscription_status": m}
        made.extra["shopify"] = {"sms": s}
        people.append(made)
    return people


def twin(name: str, number: int, platforms: tuple[str, ...]) -> Customer:
    """One of the addresses of a person who is known by one phone number."""
    made = person(name)
    made.first_name, made.phone, made.on = "Ana", f"+491511234567{number}", frozenset(platforms)
    return made


def sentences() -> list[Customer]:
    people = [person(n, mailchimp=n) for n in ("pending", "transactional")]
    people += [person("archived-after-no", mailchimp="unsubscribed"), person("archived-after-yes")]
    people += [person("kept"), person("lost", hubspot="opted out"), person("guest", mailchimp="absent", shopify="absent")]
    for n, platform in enumerate(PLATFORMS):
        dead = twin(f"dead-{platform}", n, PLATFORMS)
        dead.consent |= {"shopify": "INVALID", "mailchimp": "cleaned"}
        people += [dead, twin(f"alive-{platform}", n, (platform,))]
    left = twin("left", 8, ("hubspot",))
    left.consent["hubspot"] = "opted_out"
    people += [left, twin("stayed", 8, ("mailchimp",))]
    for name, platform, answer in (
        ("ann", "mailchimp", {**BOX, "sms_phone_number": "+491719999999", "sms_subscription_status": "subscribed"}),
        ("bob", "shopify", {"sms": "UNSUBSCRIBED"}),
    ):
        family = person(name)
        family.first_name, family.phone, family.on = name, "+49 171 9999999", frozenset((platform,))
        family.extra[platform] = answer
        people.append(family)
    return people


@dataclass
class Told:
    """One shop through its days: the first plan and what carried what after it, then what happened, and the plans after that
    (strict: a guard lets nobody leave)."""

    laws: Laws
    first: Plan
    before: dict[tuple[str, str], set[str]]
    names: dict[tuple[str, str], str]
    strict: Plan
    free: Plan

    def leaving(self, plan: Plan, platform: str, segment: str) -> dict[str, tuple[str, bool]]:
        """Who leaves, by what happened to them: the reason, and whether no guard may hold it back."""
        changes = [c for c in target(plan, platform, segment).changes if c.kind == "remove"]
        named = {self.names[platform, c.contact_id].replace("-", " "): (c.reason, c.must) for c in changes}
        return {what: found for what, found in named.items() if what in TURNS}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    turning = [person(what.replace(" ", "-")) for what in TURNS]
    people = [*turning, *sentences(), *texted()]
    guest = Purchase("guest", "guest", datetime(2026, 5, 1), Decimal(10), on=frozenset(("hubspot",)))
    laws = Laws(tmp_path_factory.mktemp("told"), people, SEGMENTS, [*bought(turning), guest], hubspot=CONFIG, more=MORE)
    laws.pull(full=True)
    laws.read_in_full()
    first = laws.push(first=True)
    before = {(p, n): laws.carrying(p, n) for p in PLATFORMS for n in (MARKETING, SERVICE)}
    names = known(laws)
    for what, (platform, wanted, _, _) in TURNS.items():
        laws.change(platform, what.replace(" ", "-"), **wanted)
    for name in ("pending", "transactional"):
        laws.change("mailchimp", name, status="subscribed")
    for name in ("archived-after-no", "archived-after-yes"):
        laws.change("mailchimp", name, status="archived")
    laws.change("hubspot", "kept", merge="lost")
    for _ in range(2):  # who is out of sight in two full reads is gone
        laws.later(days=2)
        laws.pull()
        laws.read_in_full()
    laws.configure(SEGMENTS, hubspot=CONFIG, more=MORE + STRICT)
    strict = laws.plan()
    laws.configure(SEGMENTS, hubspot=CONFIG, more=MORE)
    yield Told(laws, first, before, known(laws) | names, strict, laws.push())
    laws.close()


def known(laws: Laws) -> dict[tuple[str, str], str]:
    """Platform and contact id -> the part of the address before the @."""
    rows = laws.store.sql("SELECT source, contact_id, email FROM contacts WHERE email IS NOT NULL")
    return {(source, contact): email.partition("@")[0] for source, contact, email in rows}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(("segment", "closing", "going"), [("Mail", (REFUSAL, ERASURE), DEAD), ("Care", (ERASURE,), "nothing")])
def test_a_tag_of_ours_goes_when_somebody_says_no_and_no_guard_holds_that_back(
    told: Told, platform: str, segment: str, closing: tuple[str, ...], going: str
) -> None:
    must = {what for what in TURNS if turned(what, platform) in closing}
    may = {what for what in TURNS if turned(what, platform) == going != NOWHERE}
    assert must and bool(may) == (segment == "Mail")
    name = {"Mail": MARKETING, "Care": SERVICE}[segment]
    assert {w.replace(" ", "-") for w in TURNS} <= told.before[platform, name]
    found = told.leaving(told.strict, platform, segment)
    assert set(found) == must and all(is_must for _, is_must in found.values())
    assert target(told.strict, platform, segment).held >= len(may)
    found = told.leaving(told.free, platform, segment)
    assert {what: is_must for what, (_, is_must) in found.items()} == {w: w in must for w in must | may}


def test_each_removal_says_why(told: Told) -> None:
    said = {what: reason for what, (reason, _) in told.leaving(told.free, "mailchimp", "Mail").items()}
    assert said == {
        "unsubscribes on mailchimp": "said no on Mailchimp",
        "unticks the box": "the e-mail box is not ticked",
        "is cleaned": "dead address",
        "unsubscribes on shopify": "said no on Shopify",
        "has an invalid address": "dead address",
        "is redacted": "erased",
        "opts out on hubspot": "said no on HubSpot",
        "is quarantined": "dead address",
        "is erased on hubspot": "erased",
    }
    assert told.leaving(told.free, "hubspot", "Mail")["opts out of the type"][0] == "opted out of the subscription type"
    assert told.leaving(told.free, "hubspot", "Care")["is forgotten on mailchimp"] == ("erased", True)


def test_after_the_push_those_are_off_and_the_next_plan_is_empty(told: Told) -> None:
    for platform, name in told.before:
        off = (REFUSAL, ERASURE, DEAD) if name == MARKETING else (ERASURE,)
        carrying = told.laws.carrying(platform, name)
        for what in TURNS:
            if turned(what, platform) != "out of sight":
                assert (what.replace(" ", "-") in carrying) == (turned(what, platform) not in off), (platform, name, what)
    plan = told.laws.plan()
    assert not plan.changes
    assert not any(t.drift.get("untagged_by_hand") for t in plan.targets), "whom the platform hides nobody has untagged"


def test_text_messages_have_answers_of_their_own(told: Told) -> None:
    every = {p.customer_id for p in texted()}
    no = {p for p in every if "unsubscribed" in p.split("-")}
    for platform, place in (("mailchimp", 1), ("shopify", 2)):
        yes = {p for p in every if p.split("-")[place] == "subscribed"}
        erased = {p for p in every if p.endswith("-redacted")}
        there = {p for p in every if p.split("-")[place] != "none"}
        assert members(told.first, platform, "Text") & every == yes - no - erased
        for segment in ("Mail", "Care"):
            assert members(told.first, platform, segment) & every == there - erased
    assert members(told.first, "hubspot", "Text") == set()


def test_a_number_that_said_no_is_closed_where_its_holders_are_two_people(told: Told) -> None:
    (both,) = told.laws.store.sql(
        "SELECT count(DISTINCT person_id) FROM person_links JOIN contacts USING (source, contact_id) WHERE phone LIKE '%9999999'"
    )
    assert both == (2,)
    assert "ann" not in members(told.first, "mailchimp", "Text")
    assert "ann" in members(told.first, "mailchimp", "Mail")


@pytest.mark.parametrize("name", ["pending", "transactional"])
def test_who_confirms_later_enters_by_themselves(told: Told, name: str) -> None:
    assert name not in told.before["mailchimp", MARKETING]
    assert name in told.before["mailchimp", SERVICE] and name in told.before["shopify", MARKETING]
    assert name in members(told.free, "mailchimp", "Mail")
    assert name in told.laws.carrying("mailchimp", MARKETING)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_dead_address_closes_the_address_and_not_the_person(told: Told, platform: str) -> None:
    """One person with two addresses: the living one is written instead."""
    twins = {f"{word}-{p}" for word in ("dead", "alive") for p in PLATFORMS}
    assert told.before[platform, MARKETING] & twins == {f"alive-{platform}"}


def test_a_refusal_of_one_address_closes_every_address_of_the_person(told: Told) -> None:
    assert not told.before["mailchimp", MARKETING] & {"left", "stayed"}
    assert "stayed" in told.before["mailchimp", SERVICE]


def test_an_archived_contact_keeps_the_no_that_was_said_before(told: Told) -> None:
    """Mailchimp shows one status: an owner who archives those who left must not open them on the other platforms."""
    for platform in ("shopify", "hubspot"):
        carrying = told.laws.carrying(platform, MARKETING)
        assert "archived-after-yes" in carrying and "archived-after-no" not in carrying


def test_a_no_of_the_contact_that_was_merged_away_stays(told: Told) -> None:
    for platform in PLATFORMS:
        assert "kept" in told.before[platform, MARKETING]
        assert "kept" not in told.laws.carrying(platform, MARKETING)


def test_who_is_not_on_a_platform_gets_no_service_tag_there_either(told: Told) -> None:
    assert "guest" in told.before["hubspot", SERVICE]
    assert target(told.first, "mailchimp", "Care").excluded["not on this platform"] >= 1


def test_a_shared_address_that_said_no_is_closed_for_everybody_who_holds_it(told: Told) -> None:
    """The owner keeps the two apart; the mail would still go to the one mailbox that said no."""
    ids = {source: contact for (source, contact), name in told.names.items() if name == "opts-out-on-hubspot"}
    pairs = ", ".join(f'["{p}:{ids[p]}", "hubspot:{ids["hubspot"]}"]' for p in ("mailchimp", "shopify"))
    told.laws.configure(SEGMENTS, hubspot=CONFIG, more=f"{MORE}[identity]\nkeep_apart = [{pairs}]\n")
    plan = told.laws.plan()
    told.laws.configure(SEGMENTS, hubspot=CONFIG, more=MORE)
    people = told.laws.store.value(
        "SELECT count(DISTINCT person_id) FROM person_links WHERE contact_id IN (SELECT unnest(?))", [list(ids.values())]
    )
    assert people > 1
    assert not plan.changes


# ---- service segments


def test_a_service_segment_needs_a_go_ahead_of_its_own(told: Told) -> None:
    told.laws.configure(SEGMENTS + OTHER, hubspot=CONFIG, more=MORE)
    other = target(told.laws.plan(), "mailchimp", "Other")
    told.laws.configure(SEGMENTS, hubspot=CONFIG, more=MORE)
    assert other.waits_for_go_ahead and "push --first" in other.parked and not other.writable
    assert other.object_name == "Rollcall: service Other"


OTHER = f"""
[[segment]]
name = "Other"
where = "records >= 1"
push = {EVERYWHERE}
purpose = "service"
"""


def test_a_marketing_segment_that_becomes_a_service_one_never_fills_the_tag_that_was_for_mailing(told: Told) -> None:
    """The tag of before does not carry the word; somebody may still mail by it."""
    told.laws.configure(SEGMENTS.replace('name = "Mail"', 'name = "Mail"\npurpose = "service"'), hubspot=CONFIG, more=MORE)
    plan = told.laws.plan(first=True)
    told.laws.configure(SEGMENTS, hubspot=CONFIG, more=MORE)
    for platform in PLATFORMS:
        mail = target(plan, platform, "Mail")
        assert not mail.changes and any("does not carry the word service" in n for n in mail.notes)


def test_undoing_a_push_puts_nobody_back_who_said_no_not_even_where_the_segment_is_for_service_now(told: Told) -> None:
    told.laws.configure(SEGMENTS.replace('name = "Mail"', 'name = "Mail"\npurpose = "service"'), hubspot=CONFIG, more=MORE)
    plan = told.laws.undo(told.laws.pushed)
    told.laws.configure(SEGMENTS, hubspot=CONFIG, more=MORE)
    assert [t.target.segment for t in plan.targets].count("Mail") == len(PLATFORMS)
    for platform in PLATFORMS:
        assert not members(plan, platform, "Mail")
    assert "pending" in {told.names["mailchimp", c.contact_id] for c in target(plan, "mailchimp", "Mail").changes}
