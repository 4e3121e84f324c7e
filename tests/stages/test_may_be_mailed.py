"""One answer to "may this person be mailed", wherever it is given: consent table, profile, report, export."""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path
from typing import Any

from connector import consent, report
from connector.clock import as_of
from connector.config import Config
from connector.exports import segment_file
from connector.segment import evaluate, resolve
from connector.store import Store
from tests.stages.hand_shop import DAY, contact, derive, event, new_store, row

SHOPIFY = ("", "subscribed", "never_asked", "unsubscribed", "dead", "archived")
BOXES: dict[str, tuple[tuple[str, str], ...]] = {
    "no boxes": (),
    "ticked": (("Direct e-mail", "subscribed"), ("Online ads", "not_specified")),
    "only ads ticked": (("Email", "not_specified"), ("Online ads", "subscribed")),
    "one of two others": (("Post", "subscribed"), ("Online ads", "not_specified")),
    "none of two others": (("Post", "unsubscribed"), ("Online ads", "not_specified")),
}
MAILCHIMP = (("", "no boxes"), ("pending", "ticked"), *(("subscribed", boxes) for boxes in BOXES))
HUBSPOT = (
    ("", "", None), ("subscribed", "", None), ("subscribed", "101", None), ("subscribed", "102", None),
    ("not_specified", "", True), ("not_specified", "", False), ("unsubscribed", "", None),
)  # fmt: skip
"""(what they said, the subscription type they left, whether they are marketing contacts)"""


def config(**hubspot: Any) -> Config:
    return Config.model_validate(
        {
            "shop": {"timezone": "Europe/Berlin", "currency": "EUR", "country": "DE"},
            "segment": [{"name": "All", "where": "records >= 1"}],
            "hubspot": {"token": "env:X", "subscription_type": "101", **hubspot},
        }
    )


def said(source: str, contact_id: str, status: str, topic: str = "") -> dict[str, Any]:
    return {"source": source, "contact_id": contact_id, "channel": "email", "topic": topic, "status": status}


def everybody() -> Store:
    """Everything one person may say on three platforms at once, each by somebody."""
    store = new_store()
    contacts: list[dict[str, Any]] = []
    consents: list[dict[str, Any]] = []
    for n, (shop, (mail, boxes), (crm, left, marketable)) in enumerate(product(SHOPIFY, MAILCHIMP, HUBSPOT)):
        who, email = f"p{n}", f"p{n}@x.example"
        for source, status in (("shopify", shop), ("mailchimp", mail), ("hubspot", crm)):
            if status:
                values = {"is_marketable": marketable} if source == "hubspot" else {}
                contacts.append(contact(source, who, email=email, **values))
                consents.append(said(source, who, status))
        consents += [said("mailchimp", who, answer, box) for box, answer in BOXES[boxes] if mail]
        consents += [said("hubspot", who, "unsubscribed", left)] if left else []
    store.insert("contacts", contacts)
    store.insert("consents", consents)
    return store


def mailable(store: Store, cfg: Config) -> set[str]:
    found: set[str] = set()
    for platform in ("shopify", "mailchimp", "hubspot"):
        consent.judge(store, cfg, platform, "email")
        found |= {p for (p,) in store.sql("SELECT person_id FROM verdicts WHERE marketing = ''")}
    return found


def test_profile_report_and_export_say_what_the_consent_table_says_of_every_mixture_of_answers(tmp_path: Path) -> None:
    store = everybody()
    for cfg in (config(), config(legal_basis=True)):
        moment = derive(store, cfg)
        evaluate(store, cfg, resolve(cfg), moment, "r1")
        may = mailable(store, cfg)
        assert {p for (p,) in store.sql("SELECT person_id FROM profile WHERE is_subscribed")} == may
        assert 20 < len(may) < store.value("SELECT count(*) FROM profile") - 20
        shown = report.content(store, cfg, as_of(DAY, "Europe/Berlin"), plan=None, says={})["figures"]
        assert {f["label"]: f["value"] for f in shown}["May be mailed"] == str(len(may))
        segment_file(store, cfg, "All", tmp_path / "all.csv")
        with (tmp_path / "all.csv").open(encoding="utf-8-sig") as f:
            exported = {r["person_id"] for r in csv.DictReader(f) if r["may_be_mailed"] == "yes"}
        left_a_type = {p for (p,) in store.sql("SELECT person_id FROM consents JOIN person_links USING (source, contact_id) "
                                               "WHERE source = 'hubspot' AND topic = '101'")}  # fmt: skip
        assert exported == may - left_a_type, "whose no closes one platform only is not mailable wherever the file goes"


def test_an_export_calls_nobody_mailable_at_an_address_that_nobody_may_mail(tmp_path: Path) -> None:
    store, cfg = new_store(), config()
    store.insert(
        "contacts",
        [contact("shopify", "1", email="main@x.example", updated_at="2026-06-01 00:00:00"),
         contact("mailchimp", "1", email="other@x.example"), contact("mailchimp", "2", email="two@x.example")],
    )  # fmt: skip
    store.insert("identifiers", [{"source": "shopify", "contact_id": "1", "kind": "email", "value": "other@x.example"}])
    store.insert(
        "consents",
        [said("shopify", "1", "never_asked"), said("mailchimp", "1", "subscribed"), said("mailchimp", "2", "subscribed")],
    )
    evaluate(store, cfg, resolve(cfg), derive(store, cfg), "r1")
    segment_file(store, cfg, "All", tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(encoding="utf-8-sig") as f:
        rows = {r["email"]: r["may_be_mailed"] for r in csv.DictReader(f)}
    assert rows == {"main@x.example": "no", "two@x.example": "yes"}


def test_a_no_that_only_an_earlier_answer_or_an_event_tells_of_counts_in_the_profile_too() -> None:
    store, cfg = new_store(), config()
    who = {
        "archived": False,
        "asked anew": False,
        "came back": True,
        "complained": False,
        "left by file": False,
        "left and back": True,
    }
    store.insert(
        "contacts", [contact(s, w, email=f"{w.replace(' ', '')}@x.example") for s in ("shopify", "mailchimp") for w in who]
    )
    now = {"archived": "archived", "asked anew": "pending", "came back": "archived"}
    store.insert("consents", [said("shopify", w, "subscribed") for w in who])
    store.insert("consents", [said("mailchimp", w, now.get(w, "subscribed")) for w in who])
    before = [(w, "unsubscribed", "2026-03-01") for w in now] + [("came back", "subscribed", "2026-04-01")]
    store.insert("consent_history", [said("mailchimp", w, status) | {"seen_at": at} for w, status, at in before])
    store.insert(
        "events",
        [event("mailchimp", "complained", "complaint", "2026-05-01"), event("mailchimp", "left and back", "unsubscribe", "2026-05-01"),
         event("import", None, "unsubscribe", "2026-05-01", email="leftbyfile@x.example")],
    )  # fmt: skip
    derive(store, cfg)
    assert {w: row(store, "shopify", w)["is_subscribed"] for w in who} == who
    assert {w for w in who if row(store, "shopify", w)["consent_email"] == "unsubscribed"} == {w for w in who if not who[w]}
    assert mailable(store, cfg) == {row(store, "shopify", w)["person_id"] for w in who if who[w]}


def test_an_opt_out_of_the_subscription_type_said_of_an_earlier_address_counts_in_profile_and_export(tmp_path: Path) -> None:
    store, cfg = new_store(), config()
    who = {"kept": "101", "of another type": "102", "taken back": "101"}
    store.insert("contacts", [contact("hubspot", w, email=f"{w.replace(' ', '')}@x.example") for w in who])
    store.insert("consents", [said("hubspot", w, "not_specified") for w in who])
    mark = {"platform_status": consent.OF_BEFORE, "seen_at": "2026-03-01"}
    store.insert("consent_history", [said("hubspot", w, "unsubscribed", topic) | mark for w, topic in who.items()])
    store.insert("consent_history", [said("hubspot", "taken back", "not_specified", "101") | {"seen_at": "2026-04-01"}])
    evaluate(store, cfg, resolve(cfg), derive(store, cfg), "r1")
    assert {w: row(store, "hubspot", w)["is_subscribed"] for w in who} == {w: w != "kept" for w in who}
    assert mailable(store, cfg) == {row(store, "hubspot", w)["person_id"] for w in who if w != "kept"}
    segment_file(store, cfg, "All", tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(encoding="utf-8-sig") as f:
        rows = {r["email"].partition("@")[0]: r["may_be_mailed"] for r in csv.DictReader(f)}
    assert rows == {"kept": "no", "ofanothertype": "yes", "takenback": "yes"}


def test_an_opt_out_of_the_subscription_type_closes_every_contact_of_the_person_in_the_profile_too() -> None:
    store, cfg = new_store(), config()
    phones = {"left": "+4915112345002", "sibling": "+4915112345002", "other": "+4915112345003"}
    store.insert("contacts", [contact("hubspot", w, email=f"{w}@x.example", phone=phone) for w, phone in phones.items()])
    store.insert("consents", [said("hubspot", w, "not_specified") for w in phones])
    store.insert("consents", [said("hubspot", "left", "unsubscribed", "101")])
    derive(store, cfg)
    assert row(store, "hubspot", "left")["person_id"] == row(store, "hubspot", "sibling")["person_id"]
    assert {w: row(store, "hubspot", w)["is_subscribed"] for w in phones} == {"left": False, "sibling": False, "other": True}
    assert mailable(store, cfg) == {row(store, "hubspot", "other")["person_id"]}


def test_a_box_that_was_given_up_before_the_audience_lost_its_boxes_counts_in_the_profile_too() -> None:
    """Contact -> (may be mailed, what was heard of it, the latest last)."""
    email, ads, yes, no = "Email", "Online ads", "subscribed", "not_specified"
    boxes: dict[str, tuple[bool, tuple[tuple[str, str], ...]]] = {
        "gave up": (False, ((email, yes), (email, no))),
        "ticked": (True, ((email, no), (email, yes))),
        "never ticked": (True, ((email, no),)),
        "gave up ads": (True, ((email, yes), (ads, yes), (ads, no))),
        "gave up two others": (False, (("Post", yes), (ads, yes), ("Post", no), (ads, no))),
        "gave up one of two": (True, (("Post", yes), (ads, yes), (ads, no))),
        "came back": (True, ((email, yes), (email, no), ("", "unsubscribed"), ("", yes))),
        "boxes of texts alone": (False, ((email, yes), (email, no))),
    }
    store, cfg = new_store(), config()
    store.insert("contacts", [contact("mailchimp", w, email=f"{w.replace(' ', '')}@x.example") for w in boxes])
    store.insert("consents", [said("mailchimp", w, yes) for w in boxes])
    store.insert("consents", [said("mailchimp", "boxes of texts alone", yes, "Texts") | {"channel": "sms"}])
    heard = [
        (w, topic, status, f"2026-03-{n:02d}") for w, (_, told) in boxes.items() for n, (topic, status) in enumerate(told, 1)
    ]
    store.insert("consent_history", [said("mailchimp", w, status, topic) | {"seen_at": at} for w, topic, status, at in heard])
    derive(store, cfg)
    assert {w: row(store, "mailchimp", w)["is_subscribed"] for w in boxes} == {w: may for w, (may, _) in boxes.items()}
    assert mailable(store, cfg) == {row(store, "mailchimp", w)["person_id"] for w, (may, _) in boxes.items() if may}
