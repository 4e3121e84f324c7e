"""Who may be written, as the design says it (section 3): the states of three platforms, and people who are in them.

Written from the design, by hand; it imports nothing of ours that knows about consent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import product
from typing import Any

from connector.sandbox.shop import Customer, Purchase
from models.changes import Plan
from tests.laws.consent_shop import BORN, EVERYWHERE, PLATFORMS, target

NOWHERE, REFUSAL, DEAD, ERASURE = "nothing", "no everywhere", "dead address", "erasure everywhere"
TITLES = {"shopify": "Shopify", "mailchimp": "Mailchimp", "hubspot": "HubSpot"}
TYPE = "101001"


@dataclass(frozen=True)
class Cell:
    """One row of the table: why no marketing tag there ('' = may), why no service tag there, what it means elsewhere."""

    marketing: str
    service: str = ""
    carried: str = NOWHERE
    consent: str = ""
    extra: Any = None


BOX = {"marketing_permissions": {"Email": True, "Direct mail": False}}
ABSENT = Cell("not on this platform", "not on this platform")
TABLE: dict[str, dict[str, Cell]] = {
    "mailchimp": {
        "subscribed": Cell("", consent="subscribed"),
        "box unticked": Cell(
            "the e-mail box is not ticked",
            consent="subscribed",
            extra={"marketing_permissions": {"Email": False, "Direct mail": True}},
        ),
        "pending": Cell("not confirmed yet", consent="pending"),
        "transactional": Cell("never asked", consent="transactional"),
        "unsubscribed": Cell("said no on Mailchimp", carried=REFUSAL, consent="unsubscribed"),
        "cleaned": Cell("dead address", carried=DEAD, consent="cleaned"),
        "archived": Cell("archived", "archived", consent="archived"),
        "absent": ABSENT,
    },
    "shopify": {
        "subscribed": Cell("", consent="SUBSCRIBED"),
        "pending": Cell("not confirmed yet", consent="PENDING"),
        "not subscribed": Cell("never asked", consent="NOT_SUBSCRIBED"),
        "unsubscribed": Cell("said no on Shopify", carried=REFUSAL, consent="UNSUBSCRIBED"),
        "invalid": Cell("dead address", carried=DEAD, consent="INVALID"),
        "redacted": Cell("erased", "erased", carried=ERASURE, consent="SUBSCRIBED"),
        "absent": ABSENT,
    },
    "hubspot": {
        "not specified": Cell(""),
        "opted in": Cell("", consent="opted_in"),
        "opted out": Cell("said no on HubSpot", carried=REFUSAL, consent="opted_out"),
        "opted out of the type": Cell("opted out of the subscription type", extra={f"hs_email_optout_{TYPE}": True}),
        "opted out of another type": Cell("", extra={"hs_email_optout_101002": True}),
        "non-marketing": Cell("", extra={"hs_marketable_status": "false"}),
        "quarantined": Cell("dead address", carried=DEAD, extra={"hs_email_quarantined": True}),
        "hard bounced": Cell("dead address", carried=DEAD, extra={"hs_email_hard_bounce_reason_enum": "UNKNOWN_USER"}),
        "bad address": Cell("dead address", carried=DEAD, extra={"hs_email_bad_address": True}),
        "deleted": Cell("archived", "archived"),
        "absent": ABSENT,
    },
}
EVERY = list(product(*(TABLE[p] for p in PLATFORMS)))
MAIL_AND_CARE = f"""
[[segment]]
name = "Mail"
where = "records >= 1"
push = {EVERYWHERE}
[[segment]]
name = "Care"
where = "records >= 1"
push = {EVERYWHERE}
purpose = "service"
"""
SEGMENTS = f"""{MAIL_AND_CARE}[[segment]]
name = "Text"
where = "records >= 1"
push = {EVERYWHERE}
channel = "sms"
"""
MARKETING, SERVICE, TEXT = "Rollcall: Mail", "Rollcall: service Care", "Rollcall: Text"


def person(name: str, **states: str) -> Customer:
    """Somebody with the named state on each platform; without one, somebody every platform may mail."""
    cells = {p: TABLE[p][states.get(p, next(iter(TABLE[p])))] for p in PLATFORMS}
    return Customer(
        name,
        f"{name}@shop.example",
        BORN,
        BORN,
        on=frozenset(p for p, c in cells.items() if c is not ABSENT),
        consent={p: c.consent or "not_specified" for p, c in cells.items()},
        extra={p: dict(c.extra or (BOX if p == "mailchimp" else {})) for p, c in cells.items()},
    )


def bought(people: list[Customer]) -> list[Purchase]:
    """One order each: Shopify keeps the orders of somebody it erased."""
    return [
        Purchase(str(n), p.customer_id, datetime(2026, 5, 1), Decimal(10)) for n, p in enumerate(people, 1) if "shopify" in p.on
    ]


def named(states: tuple[str, ...]) -> str:
    return "-".join(s.replace(" ", "") for s in states)


def reasons(states: tuple[str, ...], platform: str, purpose: str) -> list[str]:
    """Every reason of the table against a tag on a platform, the weightiest first; none: it may be written."""
    cells = dict(zip(PLATFORMS, (TABLE[p][s] for p, s in zip(PLATFORMS, states, strict=True)), strict=True))
    own = cells[platform]
    if own is ABSENT:
        return [own.marketing]
    carried = [(p, c.carried) for p, c in cells.items()]
    found = ["erased" for _, what in carried if what == ERASURE]
    found += [own.service] if own.service else []
    if purpose == "service":
        return found
    found += [f"said no on {TITLES[p]}" for p, what in sorted(carried) if what == REFUSAL]
    found += [own.marketing] if own.marketing.startswith("opted out") else []
    found += ["dead address" for _, what in carried if what == DEAD]
    return found + ([own.marketing] if own.marketing else [])


def members(plan: Plan, platform: str, segment: str) -> set[str]:
    """Who would enter, by the part of the address before the @."""
    return {c.email.partition("@")[0] for c in target(plan, platform, segment).changes if c.kind == "add"}
