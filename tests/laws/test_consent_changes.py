"""Who said no leaves what we made, whatever the owner changed, tried or took back meanwhile, and however a night went."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connector import imports, merges, sync, triggers, undo, writer
from tests.laws.consent_shop import CONTACTS, EVERYWHERE, PLATFORMS, Laws
from tests.laws.consent_table import MAIL_AND_CARE as SEGMENTS
from tests.laws.consent_table import MARKETING, bought, person

MORE = "[pull]\nfull_read_days = 1\n"
MAIL = f'name = "Mail"\nwhere = "records >= 1"\npush = {EVERYWHERE}\n'
DESK = f'{SEGMENTS}\n[[segment]]\nname = "Self service"\nwhere = "records >= 1"\npush = {EVERYWHERE}\n'
TEXTS = {"sms_phone_number": "+4915112345001", "sms_subscription_status": "subscribed"}


@pytest.fixture
def laws(tmp_path: Path) -> Iterator[Laws]:
    people = [person("ana"), person("bo"), person("cy")]
    people[0].phone = TEXTS["sms_phone_number"]
    people[0].extra["mailchimp"] |= TEXTS
    made = Laws(tmp_path, people, DESK, bought(people), more=MORE)
    made.pull(full=True)
    made.push(first=True)
    yield made
    made.close()


def night(laws: Laws, *, whole: bool = False) -> None:
    laws.later(days=1)
    laws.pull()
    if whole:
        laws.read_in_full()
    laws.push()


def carrying(laws: Laws, name: str, who: str) -> list[str]:
    return [p for p in PLATFORMS if any(c.partition("-")[0] == who for c in laws.carrying(p, name))]


def mail(*, channel: str = "sms", where: str = "records >= 1", push: str = EVERYWHERE, was: str = "") -> str:
    name = f'name = "{"Post" if was else "Mail"}"\n' + (f'was = "{was}"\n' if was else "")
    return DESK.replace(MAIL, f'{name}channel = "{channel}"\nwhere = "{where}"\npush = {push}\n')


@pytest.mark.parametrize(
    "changed",
    [mail(where="records >= 2"), mail(push='["shopify"]'), mail(where="records >= 2", was="Mail")],
    ids=["its rule too", "where it is pushed too", "its name and rule too"],
)
def test_until_another_channel_is_agreed_to_the_tag_comes_off_whoever_said_no_on_the_one_it_was_for(
    laws: Laws, changed: str
) -> None:
    laws.configure(changed, more=MORE)
    laws.change("mailchimp", "ana", status="unsubscribed", **TEXTS)
    night(laws)
    assert carrying(laws, MARKETING, "ana") == [] and carrying(laws, MARKETING, "bo") == list(PLATFORMS)


def test_an_undo_puts_nobody_back_who_said_no_on_the_channel_that_was_agreed_to(laws: Laws) -> None:
    laws.change("mailchimp", "ana", status="unsubscribed", **TEXTS)
    night(laws)
    laws.configure(mail(), more=MORE)
    back = [c for t in laws.undo(laws.pushed).targets if t.target.segment == "Mail" for c in t.changes if c.kind == "add"]
    assert back == []


def test_a_tag_for_mailing_whose_name_says_service_comes_off_whoever_says_no_until_service_is_agreed_to(laws: Laws) -> None:
    laws.configure(f'{DESK}purpose = "service"\n', more=MORE)
    laws.change("shopify", "ana", status="unsubscribed")
    night(laws)
    assert carrying(laws, "Rollcall: Self service", "ana") == []
    laws.push(first=True)
    assert carrying(laws, "Rollcall: Self service", "ana") == list(PLATFORMS)
    night(laws)
    assert carrying(laws, "Rollcall: Self service", "ana") == list(PLATFORMS), "the owner agreed"


@pytest.mark.parametrize(("emails", "limit"), [((), 0), (("eve@shop.example",), None)])
def test_who_said_no_is_taken_off_by_a_canary_too(laws: Laws, emails: tuple[str, ...], limit: int | None) -> None:
    laws.change("mailchimp", "ana", status="unsubscribed")
    laws.change("shopify", "cy", status="not_subscribed")
    night(laws)
    laws.change("shopify", "cy", status="subscribed", email="eve@shop.example")
    laws.change("shopify", "bo", status="unsubscribed")
    laws.later(days=1)
    laws.pull()
    with laws.session("push") as s:
        plan = undo.restricted(laws._planned(s, True), emails, limit)
        writer.carry_out(s, plan, first=True, canary=True)
    assert carrying(laws, MARKETING, "bo") == []
    assert ("cy" in laws.carrying("shopify", MARKETING)) is bool(emails)


@pytest.mark.parametrize("named", [(), ("Self service",)], ids=["the whole plan", "a part of it"])
def test_who_said_no_since_a_plan_was_saved_is_taken_off_when_it_is_applied(laws: Laws, named: tuple[str, ...]) -> None:
    """Ana leaves what is approved, and also what the plan does not speak of any more; a rule's change since is left alone."""
    laws.later(days=1)
    laws.pull()
    with laws.session("plan") as s:
        kept = sync.make_plan(s)
    assert not kept.changes
    laws.change("mailchimp", "ana", status="unsubscribed")
    laws.change("shopify", "cy", status="not_subscribed")
    laws.pull()
    with laws.session("apply") as s:
        plan = sync.still_valid(s, kept, named=named)
        writer.carry_out(s, plan)
    assert {(c.kind, c.must) for c in plan.changes} == {("remove", True)}
    assert all(t.before + t.entered - t.left == t.after for t in plan.targets)
    assert s.summary["refused_since_saved"] == (3 if named else 6) and s.exit_code == 0
    assert carrying(laws, "Rollcall: Self service", "ana") == []
    assert carrying(laws, MARKETING, "ana") == (list(PLATFORMS) if named else [])
    assert carrying(laws, MARKETING, "cy") == list(PLATFORMS), "never asked is no refusal, and not in the plan"


def test_a_no_said_before_an_address_was_left_counts_also_where_its_platform_gave_no_answer_that_night(laws: Laws) -> None:
    laws.change("mailchimp", "ana", status="unsubscribed")
    laws.later(days=1)
    laws.change("shopify", "ana", email="ana-new@shop.example")
    with laws.session("pull") as s:
        sync.pull_all(s, ["shopify", "hubspot"], streams=CONTACTS)
    laws.push()
    night(laws)
    night(laws)
    assert carrying(laws, MARKETING, "ana") == []


def test_an_additional_address_that_said_no_is_spoken_for_when_its_contact_has_it_no_more(tmp_path: Path) -> None:
    people = [person("ana", hubspot="absent"), person("dora", shopify="absent", mailchimp="absent"), person("bo")]
    laws = Laws(tmp_path, people, SEGMENTS, more=MORE)
    laws.change("hubspot", "dora", hs_additional_emails="ana@shop.example")
    laws.pull(full=True)
    laws.push(first=True)
    assert laws.carrying("hubspot", MARKETING) == {"dora", "bo"}
    laws.change("mailchimp", "ana", status="unsubscribed")
    night(laws)
    assert laws.carrying("hubspot", MARKETING) == {"bo"}
    laws.change("hubspot", "dora", hs_additional_emails="")
    night(laws)
    assert laws.carrying("hubspot", MARKETING) == {"bo"}
    laws.change("mailchimp", "ana", status="subscribed")
    night(laws)
    assert laws.carrying("hubspot", MARKETING) == {"dora", "bo"}
    laws.close()


def test_a_no_is_the_last_answer_also_where_the_clock_was_ahead_when_the_yes_was_heard(tmp_path: Path) -> None:
    laws = Laws(tmp_path, [person("ana"), person("bo")], SEGMENTS, more=MORE)
    laws.pull(full=True)
    laws.store.sql("UPDATE consent_history SET seen_at = seen_at + INTERVAL 400 DAY")
    laws.push(first=True)
    for status in ("unsubscribed", "archived"):
        laws.change("mailchimp", "ana", status=status)
        night(laws)
        assert carrying(laws, MARKETING, "ana") == []
    laws.close()


def test_a_tag_that_went_along_with_a_merge_comes_off_a_survivor_who_says_no_in_the_same_night(tmp_path: Path) -> None:
    """https://shopify.dev/docs/api/admin-graphql/latest/mutations/customerMerge: tags are those of both."""
    people = [person("ana"), person("cy", shopify="not subscribed"), person("bo")]
    laws = Laws(tmp_path, people, SEGMENTS, bought(people), more="[pull]\nfull_read_days = 7\n")
    laws.pull(full=True)
    laws.push(first=True)
    assert laws.carrying("shopify", MARKETING) == {"ana", "bo"}
    laws.shopify.merge("cy", "ana")
    laws.change("shopify", "cy", status="unsubscribed")
    night(laws, whole=True)
    assert laws.carrying("shopify", MARKETING) == {"bo"}
    laws.close()


@pytest.mark.parametrize("is_pulled", [False, True], ids=["in the same night", "and was heard before"])
def test_a_no_that_vanished_with_a_merged_customer_is_told_of_where_it_cannot_be_known(tmp_path: Path, is_pulled: bool) -> None:
    people = [person("ana"), person("cy"), person("bo")]
    laws = Laws(tmp_path, people, SEGMENTS, bought(people), more="[pull]\nfull_read_days = 7\n")
    laws.pull(full=True)
    laws.push(first=True)
    laws.change("shopify", "ana", status="unsubscribed")
    if is_pulled:
        night(laws)
    laws.shopify.merge("cy", "ana")
    laws.later(days=1)
    laws.pull()
    with laws.session("plan") as s:
        laws._planned(s, False)
    assert [n for n in s.notices if "merged on Shopify" in n] == ([] if is_pulled else [merges.UNHEARD.format(1)])
    night(laws)
    assert laws.carrying("shopify", MARKETING) == ({"bo"} if is_pulled else {"bo", "cy"})
    with laws.session("plan") as s:
        laws._planned(s, False)
    assert s.notices == [], "once is enough"
    laws.close()


def test_who_left_by_an_imported_files_word_stays_closed_when_that_files_customer_gets_another_address(tmp_path: Path) -> None:
    laws = Laws(tmp_path, [person("ana"), person("bo")], SEGMENTS, more=MORE)
    laws.pull(full=True)
    files = (
        ("contacts", "customer_id,email\n1,ana@shop.example\n"),
        ("events", "customer_id,date,event\n1,2026-11-01,unsubscribed\n"),
        ("contacts", "customer_id,email\n1,ana-new@shop.example\n"),
    )
    for kind, text in files:
        (tmp_path / f"{kind}.csv").write_text(text)
        with laws.session("import") as s:
            imports.import_file(laws.store, laws.config, kind, tmp_path / f"{kind}.csv", s.run_id)
    laws.push(first=True)
    for _ in range(2):
        assert carrying(laws, MARKETING, "ana") == [] and carrying(laws, MARKETING, "bo") == list(PLATFORMS)
        night(laws)
    laws.close()


def test_a_box_that_was_given_up_stays_given_up_when_the_audience_has_no_boxes_any_more(laws: Laws) -> None:
    laws.change("mailchimp", "ana", marketing_permissions={"Email": False, "Direct mail": True})
    night(laws)
    assert carrying(laws, MARKETING, "ana") == ["shopify", "hubspot"]
    for member in laws.mailchimp.account.members.values():
        member.wire["marketing_permissions"] = []
    laws.later(days=1)
    laws.pull(full=True)
    laws.push()
    assert carrying(laws, MARKETING, "ana") == ["shopify", "hubspot"] and carrying(laws, MARKETING, "bo") == list(PLATFORMS)
    for status in ("unsubscribed", "subscribed"):
        laws.change("mailchimp", "ana", status=status)
        night(laws)
    assert carrying(laws, MARKETING, "ana") == list(PLATFORMS), "a new yes"


def test_an_event_that_may_start_a_mail_tells_of_nobody_who_said_no_to_mail_whatever_the_segment_is_for(laws: Laws) -> None:
    told = '[[trigger]]\nname = "Welcome"\nsegment = "Mail"\nmailchimp_event = "came in"\n'
    laws.configure(mail() + told, more=MORE)
    laws.change("shopify", "ana", status="unsubscribed")
    night(laws)
    segments = {g.name: g for g in sync.resolved(laws.config)}
    closed = triggers.closed(laws.store, laws.config, laws.config.trigger[0], segments["Mail"])
    people = dict(laws.store.sql("SELECT email, person_id FROM people"))
    assert people["ana@shop.example"] in closed
