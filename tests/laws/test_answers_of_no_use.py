"""Asked again just before writing, a platform answers with something that tells nothing of consent: whoever it is about waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connector import writer
from connector.sandbox.base import Response
from connector.session import Session
from tests.laws.consent_shop import EVERYWHERE, PLATFORMS, Laws
from tests.laws.consent_table import MARKETING, bought, person
from tests.simulated import between

MAIL = f'[[segment]]\nname = "Mail"\nwhere = "records >= 1"\npush = {EVERYWHERE}\n'
PEOPLE = [person("steady"), person("ana"), person("dup", shopify="absent", mailchimp="absent")]


def shop(folder: Path) -> Laws:
    made = Laws(folder, PEOPLE, MAIL, bought(PEOPLE))
    made.pull(full=True)
    return made


def pushed(made: Laws) -> Session:
    with made.session("push") as s:
        writer.carry_out(s, made._planned(s, True), first=True)
    return s


def test_who_was_merged_since_the_pull_waits_everywhere_for_the_consent_of_the_record_they_live_on_in(tmp_path: Path) -> None:
    made = shop(tmp_path)
    made.hubspot.merge("dup", "ana")
    made.change("hubspot", "dup", status="opted_out")
    s = pushed(made)
    assert {p: made.carrying(p, MARKETING) for p in PLATFORMS} == {p: {"steady"} for p in PLATFORMS}
    assert s.summary["consent_not_heard"] == 2 and s.exit_code == 3
    made.later(hours=1)
    made.pull()
    assert not made.plan(first=True).changes
    made.close()


def test_a_no_in_a_record_that_cannot_be_understood_does_not_leave_the_old_yes_standing(tmp_path: Path) -> None:
    made = shop(tmp_path)
    made.change("mailchimp", "ana", status="unsubscribed")
    account = made.mailchimp.account
    account.members[account.by_customer["ana"]].wire["stats"]["ecommerce_data"] = {"number_of_orders": "9" * 25}
    s = pushed(made)
    assert not any("ana" in made.carrying(p, MARKETING) for p in PLATFORMS)
    assert s.summary["consent_not_heard"] == 3 and s.exit_code == 3
    assert all(p.text.count("Mailchimp gave no answer that can be used") == 1 for p in s.problems)
    made.close()


def test_a_secret_that_is_gone_stops_nobody_elses_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = shop(tmp_path)
    with made.session("push") as s:
        plan = made._planned(s, True)
    monkeypatch.delenv("ROLLCALL_LAWS_MAILCHIMP")
    with made.session("push") as s:
        others = [t for t in plan.targets if t.target.platform != "mailchimp"]
        for t in others:
            adapter = s.adapter(t.target.platform)
            (kept,) = writer.still_allowed(s, adapter, [t])
            entering = {c.contact_id for c in kept.writable}
            assert t.entered == len(entering) + kept.held - t.held
            assert t.entered > len(entering) and all(p.exit_code in (2, 3) for p in s.problems)
    made.close()


def test_where_mailchimp_does_not_say_who_was_tagged_by_hand_meanwhile_nobody_enters_and_who_said_no_still_leaves(
    tmp_path: Path,
) -> None:
    people = [person("steady"), person("bo"), person("ana", mailchimp="pending")]
    made = Laws(tmp_path, people, MAIL.replace(EVERYWHERE, '["mailchimp"]'), bought(people))
    made.pull(full=True)
    made.push(first=True)
    made.change("mailchimp", "ana", status="subscribed")
    made.change("mailchimp", "bo", status="unsubscribed")
    made.pull()
    with made.session("push") as s:
        plan = made._planned(s, False)
    made.later(minutes=10)
    made.change("mailchimp", "ana", tags=[MARKETING])

    def silent(request: Any, handle: Any) -> Any:
        is_look = request.method == "GET" and "/segments" in request.path
        return Response(500, {}, b"{}") if is_look else handle(request)

    with made.session("push") as s, between(made.mailchimp, silent):
        writer.carry_out(s, plan)
    assert s.exit_code and any("1 who would enter wait" in p.text for p in s.problems)
    assert made.store.sql("SELECT count(*) FROM ledger") == [(1,)], "a tag made by hand is not ours"
    assert made.carrying("mailchimp", MARKETING) == {"steady", "ana"}
    made.close()
