"""A no that nobody says at this moment any more: its contact got another address, confirms anew, was archived or erased."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector import backup, choices, exports, imports, privacy, restore, sync
from connector.sandbox.shop import Shop
from connector.store import MEMORY, Store
from tests.laws.consent_shop import EVERYWHERE, PLATFORMS, Laws
from tests.laws.consent_table import MAIL_AND_CARE as SEGMENTS
from tests.laws.consent_table import MARKETING, SERVICE, bought, person

NO = {"shopify": "unsubscribed", "mailchimp": "unsubscribed", "hubspot": "opted_out"}
YES = {"shopify": "subscribed", "mailchimp": "subscribed", "hubspot": "opted_in"}
MORE = "[pull]\nfull_read_days = 1\n"


@pytest.fixture
def laws(tmp_path: Path) -> Iterator[Laws]:
    people = [person(n) for n in ("ana", "bo", "cy", "di", "eve", "fay", "gus")]
    made = Laws(tmp_path, people, SEGMENTS, bought([person("cy")]), more=MORE)
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


@pytest.mark.parametrize("platform", ["shopify", "hubspot"])
@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_an_address_that_said_no_stays_closed_when_its_contact_gets_another_address(
    laws: Laws, platform: str, when: str
) -> None:
    moves = {"before": (2, 1), "between": (1, 1), "after": (1, 2)}[when]
    for step in (1, 2):
        if moves[0] == step:
            laws.change(platform, "ana", status=NO[platform])
        if moves[1] == step:
            laws.change(platform, "ana", email="ana-new@shop.example")
        night(laws)
    assert carrying(laws, MARKETING, "ana") == [] and carrying(laws, SERVICE, "ana") == list(PLATFORMS)
    assert not laws.plan().changes
    laws.change(platform, "ana", status=YES[platform])
    night(laws)
    assert carrying(laws, MARKETING, "ana") == list(PLATFORMS), "the same contact says yes again"


def test_an_address_that_another_contact_of_the_platform_has_now_is_spoken_for_by_that_one(laws: Laws) -> None:
    laws.change("shopify", "ana", status="unsubscribed")
    laws.change("shopify", "ana", email="ana-new@shop.example")
    night(laws)
    assert carrying(laws, MARKETING, "ana") == []
    laws.change("shopify", "bo", email="ana@shop.example")
    night(laws)
    assert laws.carrying("mailchimp", MARKETING) >= {"ana"}


@pytest.mark.parametrize("later", ["pending", "invalid"])
@pytest.mark.parametrize("is_moved_first", [True, False])
def test_an_address_that_was_left_stays_closed_while_its_contact_has_yet_to_confirm_a_new_yes(
    laws: Laws, later: str, is_moved_first: bool
) -> None:
    steps = [{"status": later}, {"email": "ana-new@shop.example"}]
    for change in ({"status": "unsubscribed"}, *(reversed(steps) if is_moved_first else steps)):
        laws.change("shopify", "ana", **change)
        night(laws)
        assert carrying(laws, MARKETING, "ana") == []


def test_an_address_is_not_spoken_for_by_a_contact_that_had_it_last_and_is_no_longer_there(laws: Laws) -> None:
    for who, email in (("ana", "ana-old@shop.example"), ("bo", "ana@shop.example")):
        laws.change("shopify", who, email=email)
        night(laws)
    laws.change("shopify", "bo", deleted=True)
    night(laws, whole=True)
    for change in ({"email": "ana@shop.example"}, {"status": "unsubscribed"}, {"email": "ana-new@shop.example"}):
        laws.change("shopify", "ana", **change)
        night(laws)
    assert carrying(laws, MARKETING, "ana") == []


@pytest.mark.parametrize("platform", ["shopify", "hubspot"])
def test_an_address_stays_closed_when_whoever_had_it_and_said_no_is_forgotten(laws: Laws, platform: str) -> None:
    for change in ({"status": NO[platform]}, {"email": "ana-new@shop.example"}):
        laws.change(platform, "ana", **change)
        night(laws)
    with laws.session("forget") as s:
        privacy.forget(laws.store, laws.config, "ana-new@shop.example", run_id=s.run_id, now=laws.clock)
    for _ in range(2):
        night(laws, whole=True)
    assert carrying(laws, MARKETING, "ana") == []
    assert laws.store.value("SELECT count(*) FROM former_addresses") == 0


@pytest.mark.parametrize(
    "how", ["archived", "to be confirmed", "another address", "elsewhere another", "a new opt-out", "no address", "deleted"]
)
def test_a_no_that_no_platform_tells_any_more_comes_back_with_a_backup(laws: Laws, how: str) -> None:
    refuser, platform, change = {
        "archived": ("mailchimp", "mailchimp", {"status": "archived"}),
        "to be confirmed": ("shopify", "shopify", {"status": "pending"}),
        "another address": ("shopify", "shopify", {"email": "ana-new@shop.example"}),
        "elsewhere another": ("shopify", "hubspot", {"email": "ana-new@shop.example"}),
        "a new opt-out": ("hubspot", "hubspot", {"email": "ana-new@shop.example", "status": "not_specified"}),
        "no address": ("shopify", "shopify", {"email": "", "first_name": "Ana"}),
        "deleted": ("shopify", "shopify", {"deleted": True}),
    }[how]
    laws.change(refuser, "ana", status=NO[refuser])
    night(laws)
    laws.change(platform, "ana", **change)
    for _ in range(3 if how == "deleted" else 1):
        night(laws, whole=True)
    kept = backup.make(laws.store, laws.config, laws.folder / "usb", laws.now)
    laws.store.close()
    laws.store = Store(MEMORY, threads=1)
    with laws.session("restore") as s:
        restore.carry_out(laws.store, laws.config, kept.path, laws.now, s.run_id)
    laws.pull(full=True)
    assert not any(c.email.startswith("ana") for c in laws.plan().changes if c.kind == "add")
    assert carrying(laws, MARKETING, "ana") == []


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_box_that_was_unticked_is_a_no_whatever_waits_also_under_a_new_address(laws: Laws, *, is_moved: bool) -> None:
    laws.change("mailchimp", "ana", marketing_permissions={"Email": False, "Direct mail": True})
    if is_moved:
        laws.change("mailchimp", "ana", email="ana-new@shop.example")
    choices.pause(laws.store, ["Mail"], "a test", laws.now, laws.pushed)
    night(laws)
    assert "mailchimp" not in carrying(laws, MARKETING, "ana")


def test_who_got_another_address_on_mailchimp_was_not_erased_there(laws: Laws) -> None:
    laws.change("mailchimp", "ana", email="ana-new@shop.example")
    for _ in range(4):
        night(laws, whole=True)
    assert carrying(laws, MARKETING, "ana") == carrying(laws, SERVICE, "ana") == list(PLATFORMS)


def test_a_number_that_said_no_to_texts_stays_closed_when_its_contact_gets_another_number(tmp_path: Path) -> None:
    texted, other = person("tia", shopify="absent", hubspot="absent"), person("tom", mailchimp="absent", hubspot="absent")
    texted.phone = other.phone = "+4915112345002"
    texted.extra["mailchimp"] |= {"sms_phone_number": texted.phone, "sms_subscription_status": "subscribed"}
    other.extra["shopify"] = {"sms": "SUBSCRIBED"}
    text = SEGMENTS.replace('name = "Mail"', 'name = "Mail"\nchannel = "sms"')
    laws = Laws(tmp_path, [texted, other], text, more=MORE)
    laws.pull(full=True)
    laws.push(first=True)
    assert laws.carrying("mailchimp", MARKETING) == {"tia"}
    laws.change("shopify", "tom", sms="UNSUBSCRIBED")
    night(laws)
    laws.change("shopify", "tom", phone="+4915112349999")
    night(laws)
    assert laws.carrying("mailchimp", MARKETING) == laws.carrying("shopify", MARKETING) == set()
    laws.close()


@pytest.mark.parametrize(
    ("platform", "later"), [("mailchimp", "pending"), ("mailchimp", "transactional"), ("shopify", "pending")]
)
def test_a_no_holds_until_a_new_yes_is_confirmed(laws: Laws, platform: str, later: str) -> None:
    for status in ("unsubscribed", later):
        laws.change(platform, "ana", status=status)
        night(laws)
        assert carrying(laws, MARKETING, "ana") == []
    laws.change(platform, "ana", status="subscribed")
    night(laws)
    assert carrying(laws, MARKETING, "ana") == list(PLATFORMS)


def test_an_export_calls_nobody_mailable_who_said_no_before_or_was_erased(laws: Laws) -> None:
    laws.change("mailchimp", "ana", status="unsubscribed")
    laws.change("shopify", "bo", status="unsubscribed")
    laws.change("shopify", "gus", status="unsubscribed")
    night(laws)
    laws.change("mailchimp", "ana", status="archived")
    laws.change("shopify", "bo", status="pending")
    laws.change("shopify", "gus", email="gus-new@shop.example")
    laws.change("shopify", "cy", status="redacted")
    laws.change("hubspot", "di", erased=True)
    laws.change("mailchimp", "eve", status="cleaned")
    for _ in range(3):
        night(laws, whole=True)
    with laws.session("plan") as s:
        sync.derive(s, sync.resolved(laws.config))
    exports.segment_file(laws.store, laws.config, "Mail", laws.folder / "mail.csv")
    with (laws.folder / "mail.csv").open(encoding="utf-8-sig") as f:
        mailable = {row["email"].partition("@")[0] for row in csv.DictReader(f) if row["may_be_mailed"] == "yes"}
    assert mailable == {"fay"}

    assert laws.carrying("mailchimp", MARKETING) == {"fay"}


@pytest.mark.parametrize("how", ["gone", "not pushed", "pushed elsewhere"])
def test_a_tag_that_no_segment_fills_any_more_still_comes_off_whoever_says_no_and_nobody_else(laws: Laws, how: str) -> None:
    _, mail, care = SEGMENTS.split("[[segment]]")
    mail = {
        "gone": "",
        "not pushed": mail.replace(EVERYWHERE, "[]"),
        "pushed elsewhere": mail.replace(EVERYWHERE, '["shopify"]'),
    }[how]
    laws.configure((mail and f"[[segment]]{mail}") + f"[[segment]]{care}", more=MORE)
    night(laws)
    assert all(laws.carrying(p, MARKETING) >= {"ana", "bo"} for p in PLATFORMS)
    laws.change("shopify", "ana", status="unsubscribed")
    laws.later(days=1)
    laws.pull()
    removed = {c.contact_id for t in laws.plan().targets if t.target.segment == "Mail" for c in t.changes}
    assert len(removed) == 3 and all(t.before + t.entered - t.left == t.after for t in laws.plan().targets)
    laws.push(first=True)
    assert carrying(laws, MARKETING, "ana") == [] and carrying(laws, SERVICE, "ana") == list(PLATFORMS)
    assert carrying(laws, MARKETING, "bo") == list(PLATFORMS), "a go-ahead for the rest retires nothing"
    assert not laws.plan().changes
    laws.configure(SEGMENTS, more=MORE)
    night(laws)
    assert carrying(laws, MARKETING, "bo") == list(PLATFORMS) and carrying(laws, MARKETING, "ana") == []


def test_a_tag_for_mailing_whose_name_says_service_comes_off_whoever_says_no_once_its_segment_is_gone(laws: Laws) -> None:
    mail = SEGMENTS.split("[[segment]]")[1]
    desk = f'{SEGMENTS}\n[[segment]]\nname = "Self service"\nwhere = "records >= 1"\npush = {EVERYWHERE}\n'
    laws.configure(desk, more=MORE)
    laws.push(first=True)
    laws.store.sql("DELETE FROM meta WHERE starts_with(name, 'service:')")  # a store of before such notes were made
    night(laws)
    laws.configure(f"[[segment]]{mail}", more=MORE)
    laws.change("shopify", "ana", status="unsubscribed")
    night(laws)
    assert carrying(laws, "Rollcall: Self service", "ana") == []
    assert carrying(laws, "Rollcall: Self service", "bo") == list(PLATFORMS)
    assert carrying(laws, SERVICE, "ana") == list(PLATFORMS), "the owner agreed to a tag that is not for mailing"


@pytest.mark.parametrize(("refuser", "mover"), [("shopify", "hubspot"), ("mailchimp", "shopify"), ("shopify", "mailchimp")])
def test_who_said_no_stays_closed_where_another_platform_gives_their_contact_another_address(
    laws: Laws, refuser: str, mover: str
) -> None:
    laws.change(refuser, "ana", status=NO[refuser])
    night(laws)
    laws.change(mover, "ana", email="ana-new@shop.example")
    night(laws)
    assert carrying(laws, MARKETING, "ana") == [] and carrying(laws, SERVICE, "ana") == list(PLATFORMS)
    laws.change(refuser, "ana", status=YES[refuser])
    night(laws)
    assert carrying(laws, MARKETING, "ana") == list(PLATFORMS), "it is the same no, and it was taken back"


def test_a_no_said_after_the_pull_is_heard_for_a_contact_that_had_the_address_before(tmp_path: Path) -> None:
    laws = Laws(tmp_path, [person("ana"), person("bo")], SEGMENTS, more=MORE)
    laws.change("shopify", "ana", status="unsubscribed")
    laws.pull(full=True)
    laws.change("hubspot", "ana", email="ana-new@shop.example")
    laws.pull()
    laws.plan(first=True)
    laws.change("shopify", "ana", status="subscribed")
    laws.pull()
    laws.change("shopify", "ana", status="unsubscribed")
    laws.push(first=True)
    assert carrying(laws, MARKETING, "ana") == [] and carrying(laws, MARKETING, "bo") == list(PLATFORMS)
    laws.close()


def test_an_opt_out_of_hubspot_is_not_taken_back_by_a_new_address_of_which_the_record_says_nothing(laws: Laws) -> None:
    """https://knowledge.hubspot.com/email/resubscribe-contacts-to-your-marketing-emails: an opt-out is the address's."""
    laws.change("hubspot", "ana", status="opted_out")
    night(laws)
    laws.change("hubspot", "ana", email="ana-new@shop.example", status="not_specified")
    night(laws)
    assert carrying(laws, MARKETING, "ana") == [] and carrying(laws, SERVICE, "ana") == list(PLATFORMS)
    laws.change("hubspot", "ana", status="opted_in")
    night(laws)
    assert carrying(laws, MARKETING, "ana") == list(PLATFORMS)


@pytest.mark.parametrize(("platform", "who"), [("shopify", "ana"), ("shopify", "cy"), ("hubspot", "ana")])
def test_an_address_that_said_no_stays_closed_when_its_contact_is_left_without_one(laws: Laws, platform: str, who: str) -> None:
    laws.change(platform, who, status=NO[platform], first_name="Ana")
    night(laws)
    laws.change(platform, who, email="")
    night(laws)
    assert carrying(laws, MARKETING, who) == []


def test_a_no_of_an_imported_file_stays_though_another_file_numbers_its_rows_alike(laws: Laws) -> None:
    laws.change("shopify", "bo", email="bo-new@shop.example")
    for text in (
        "id,email,date,event\n1,ana@shop.example,2026-11-01,unsubscribed\n2,bo@shop.example,2026-11-01,unsubscribed\n",
        "id,email,date,event\n1,cy@shop.example,2026-11-05,unsubscribed\n2,di@shop.example,2026-11-05,review\n",
    ):
        (laws.folder / "events.csv").write_text(text)
        with laws.session("import") as s:
            imports.import_file(laws.store, laws.config, "events", laws.folder / "events.csv", s.run_id)
        night(laws)
    assert [carrying(laws, MARKETING, who) for who in ("ana", "bo", "cy")] == [[], [], []]
    assert carrying(laws, MARKETING, "di") == list(PLATFORMS)


def test_an_audience_that_was_deleted_erases_nobody_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    names = [f"p{n:02d}" for n in range(25)]
    laws = Laws(tmp_path, [person(n) for n in names], SEGMENTS, more=MORE)
    told = {"p00": "subscribed", "p01": "unsubscribed"}
    old = [person(n, shopify="absent", hubspot="absent", mailchimp=state) for n, state in told.items()]
    laws.mailchimp.add_audience("ffffffff00", Shop("Old", "EUR", "UTC", old, [], [], []))
    laws.pull(full=True)
    laws.push(first=True)
    laws.mailchimp.delete_audience("ffffffff00")
    laws.change("hubspot", "p00", archived=True)
    night(laws)
    laws.change("hubspot", "p00", restored=True)
    for _ in range(3):
        night(laws, whole=True)
    assert carrying(laws, MARKETING, "p00") == list(PLATFORMS) and carrying(laws, MARKETING, "p01") == []
    assert carrying(laws, SERVICE, "p01") == list(PLATFORMS)
    laws.close()


def test_what_is_said_of_an_address_after_its_contact_left_it_is_not_said_of_that_contact(laws: Laws) -> None:
    laws.change("shopify", "ana", email="ana-new@shop.example")
    night(laws)
    laws.change("mailchimp", "ana", status="unsubscribed")
    night(laws)
    assert carrying(laws, MARKETING, "ana") == ["shopify"]
    laws.change("shopify", "bo", email="bo-new@shop.example")
    laws.change("mailchimp", "bo", status="unsubscribed")
    night(laws)
    assert carrying(laws, MARKETING, "bo") == [], "in one night nobody can tell which came first"


TYPE = 'subscription_type = "101001"'
NO_TO_TYPE = {"hs_email_optout_101001": True}
SILENT_ON_TYPE = {"hs_email_optout_101001": None}


def test_an_opt_out_of_hubspot_that_is_not_shown_any_more_some_nights_after_the_address_changed_still_holds(laws: Laws) -> None:
    for change in ({"status": "opted_out"}, {"email": "ana-new@shop.example"}, {"status": "not_specified"}):
        laws.change("hubspot", "ana", **change)
        night(laws)
        assert carrying(laws, MARKETING, "ana") == []
    laws.change("hubspot", "ana", status="opted_in")
    night(laws)
    assert carrying(laws, MARKETING, "ana") == list(PLATFORMS)


@pytest.mark.parametrize("is_silent_at_once", [True, False])
def test_an_opt_out_of_the_subscription_type_stays_with_a_contact_that_gets_another_address(
    laws: Laws, *, is_silent_at_once: bool
) -> None:
    laws.configure(SEGMENTS, more=MORE, hubspot=TYPE)
    move = {"email": "ana-new@shop.example"}
    for change in (NO_TO_TYPE, *([move | SILENT_ON_TYPE] if is_silent_at_once else [move, SILENT_ON_TYPE])):
        laws.change("hubspot", "ana", **change)
        night(laws)
        assert carrying(laws, MARKETING, "ana") == ["shopify", "mailchimp"]
    kept = backup.make(laws.store, laws.config, laws.folder / "usb", laws.now)
    assert any(row["topic"] == "101001" for row in backup.read(kept.path)["consent_history"])
    for change in (NO_TO_TYPE, SILENT_ON_TYPE):
        laws.change("hubspot", "ana", **change)
        night(laws)
    assert carrying(laws, MARKETING, "ana") == list(PLATFORMS), "it was said of the new address, and taken back there"


def test_an_opt_out_of_the_subscription_type_that_was_taken_back_before_the_address_changed_closes_nobody(laws: Laws) -> None:
    laws.configure(SEGMENTS, more=MORE, hubspot=TYPE)
    for change in (NO_TO_TYPE, SILENT_ON_TYPE, {"email": "ana-new@shop.example"}):
        laws.change("hubspot", "ana", **change)
        night(laws)
    assert carrying(laws, MARKETING, "ana") == list(PLATFORMS)


def test_an_opt_out_of_the_subscription_type_closes_every_contact_of_the_person_on_hubspot(tmp_path: Path) -> None:
    people = [person("ana"), person("anb", shopify="absent", mailchimp="absent"), person("bo")]
    people[0].phone = people[1].phone = "+4915112345002"
    laws = Laws(tmp_path, people, SEGMENTS, bought([people[2]]), hubspot=TYPE, more=MORE)
    laws.change("hubspot", "ana", **NO_TO_TYPE)
    laws.pull(full=True)
    laws.push(first=True)
    assert laws.store.value("SELECT count(*) FROM people") == 2
    assert laws.carrying("hubspot", MARKETING) == {"bo"} and laws.carrying("shopify", MARKETING) == {"ana", "bo"}
    laws.close()
