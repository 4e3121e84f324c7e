"""Other programs are told who enters and leaves: signed webhooks at least once, Mailchimp events at most once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.stories.story import Story

SECRET = "a-secret-of-the-owner"
BASE = '[[segment]]\nname = "Known"\nwhere = "orders_total >= 1"\npurpose = "{purpose}"\npush = ["mailchimp"]\n'
HOOK = '\n[[trigger]]\nname = "hook"\nsegment = "Known"\non = "{on}"\nurl = "{url}/in?token=hidden"\nsecret = "file:secrets/hook"\n{more}\n'
EVENT = '\n[[trigger]]\nname = "event"\nsegment = "Known"\nmailchimp_event = "became known"\n{more}\n'


class Receiver:
    """Another program: keeps what it was sent, and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def begin(story: Story, trigger: str, purpose: str = "service", **sections: str) -> None:
    """The trigger has begun, and nobody was told of those who were in already. Two customers are not in yet: their orders
    are hidden from the rule."""
    (story.folder / "secrets/hook").write_text(SECRET)
    (story.folder / "secrets/hook").chmod(0o600)
    story.configure(BASE.format(purpose=purpose) + trigger, **sections)
    with_two_out(story)
    story.ok("push", "--first")


def with_two_out(story: Story) -> None:
    story.config.write_text(story.config.read_text().replace("orders_total >= 1", "orders_total >= 1 and city <> 'Newtown'"))


def enter(story: Story, *customers: str) -> None:
    """These people begin to match: they had lived in the town that is left out."""
    story.change(list(customers), city="Elsewhere")
    story.ok("pull")


def newcomers(story: Story, *customers: str) -> None:
    story.change(list(customers), city="Newtown")
    story.ok("pull")


def test_a_webhook_is_signed_carries_the_named_fields_only_and_is_sent_once(pulled: Story, receiver: Receiver) -> None:
    newcomers(pulled, "00001", "00002")
    hook = HOOK.format(on="enter", url=receiver.url, more='fields = ["email", "orders_total"]')
    begin(pulled, hook)
    assert receiver.got == [], "those who were in already set off nothing"

    enter(pulled, "00001", "00002")
    plan = pulled.ok("plan", "--json").json
    assert plan["triggers"][0]["people"] == 2 and plan["has_changes"] and receiver.got == []
    out = pulled.ok("push").out
    assert "Trigger hook: 2 of 2 told" in out and "hidden" not in out

    assert {b["data"]["person"]["email"] for b in receiver.bodies()} == {"00001@shop.example", "00002@shop.example"}
    for headers, body in receiver.got:
        content = json.loads(body)
        assert content.keys() == {"type", "trigger", "data"} and content["data"].keys() == {"segment", "on", "person"}
        assert content["type"] == "segment.entered" and content["data"]["person"].keys() == {"email", "orders_total"}
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
    pulled.ok("push")
    assert len(receiver.got) == 2 and not pulled.ok("plan", "--json").json["has_changes"]


def test_a_mailchimp_event_is_recorded_once_for_who_may_be_mailed_and_never_repeated_without_a_clear_answer(
    pulled: Story,
) -> None:
    newcomers(pulled, "00001", "00002", "00003")
    begin(pulled, EVENT.format(more=""), purpose="marketing")
    pulled.change(["00002"], mailchimp={"consent": "unsubscribed"})
    enter(pulled, "00001", "00002")
    pulled.ok("push")
    events = [w for w in pulled.writes() if w["kind"] == "member.event"]
    assert [e["contact"] for e in events] == [hashlib.md5(b"00001@shop.example").hexdigest()]

    enter(pulled, "00003")
    pulled.control(
        "faults", {"next": [{"platform": "mailchimp", "match": "/events", "kind": "reset", "when": "after", "times": 9}]}
    )
    answer = pulled.run("push")
    assert answer.code == 3 and "could not be told" in answer.err
    pulled.control("faults", {"reset": True})
    pulled.run("push")
    assert len([w for w in pulled.writes() if w["kind"] == "member.event"]) == 2
    assert "without a clear answer" in pulled.ok("plan", "--json").json["triggers"][0]["notes"][0]


def test_who_says_no_after_the_pull_is_told_of_to_nobody_and_where_nobody_can_be_asked_it_waits(
    pulled: Story, receiver: Receiver
) -> None:
    newcomers(pulled, "00001", "00002")
    begin(pulled, HOOK.format(on="enter", url=receiver.url, more='fields = ["email"]'), purpose="marketing")
    enter(pulled, "00001", "00002")
    pulled.change(["00002"], hubspot={"consent": "unsubscribed"})
    scopes = pulled.sandbox.simulators["hubspot"].switches.scopes  # type: ignore[attr-defined]  # of HubSpot's simulator
    scopes.remove("crm.objects.contacts.read")
    assert pulled.run("push").code == 6 and receiver.got == []
    scopes.add("crm.objects.contacts.read")
    assert "Trigger hook: 1 of 2 told." in pulled.ok("push").out
    assert [b["data"]["person"]["email"] for b in receiver.bodies()] == ["00001@shop.example"]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (HOOK.format(on="enter", url="http://elsewhere.example", more=""), "https://"),
        (HOOK.format(on="enter", url="https://x.example", more='fields = ["orders_totl"]'), "orders_total"),
        (HOOK.format(on="enter", url="https://x.example", more="").replace("Known", "Knwn"), "Did you mean 'Known'"),
        (EVENT.format(more='fields = ["city"]'), "sent to a url only"),
        (HOOK.format(on="enter", url="https://x.example", more="").replace('secret = "file:secrets/hook"', ""), "secret"),
    ],
)
def test_a_faulty_trigger_is_answered_before_anything_is_written(pulled: Story, block: str, words: str) -> None:
    pulled.configure(BASE.format(purpose="service") + block)
    answer = pulled.run("plan")
    assert answer.code == 2 and words in answer.err


def test_a_webhook_off_this_machine_counts_as_writing(pulled: Story) -> None:
    pulled.configure(BASE.format(purpose="service") + HOOK.format(on="enter", url="https://x.example", more=""))
    answer = pulled.run("push", "--first")
    assert answer.code == 2 and "trigger 'hook'" in answer.err and "not switched on" in answer.err
    for command in (("push", "--first"), ("push", "--limit", "10"), ("sync",)):
        answer = pulled.run(*command, "--as-of", "1998-07-01")
        assert answer.code == 2 and "trigger 'hook'" in answer.err, "another day is told to nobody; messages: test_trial"


def without_push(story: Story) -> None:
    story.config.write_text(story.config.read_text().replace("push = true", "push = false"))


def test_an_event_is_not_sent_to_a_mailchimp_that_is_not_to_be_written(pulled: Story) -> None:
    newcomers(pulled, "00001")
    begin(pulled, EVENT.format(more=""))
    without_push(pulled)
    enter(pulled, "00001")
    answer = pulled.run("push")
    assert "[mailchimp] has no push = true" in answer.out and " told." not in answer.out
    assert [e for e in pulled.writes() if e["kind"] == "member.event"] == []


def test_the_nightly_run_tells_a_webhook_where_no_platform_is_written_and_says_so(pulled: Story, receiver: Receiver) -> None:
    newcomers(pulled, "00001")
    pulled.configure(
        BASE.format(purpose="service").replace('["mailchimp"]', "[]") + HOOK.format(on="enter", url=receiver.url, more="")
    )
    (pulled.folder / "secrets/hook").write_text(SECRET)
    (pulled.folder / "secrets/hook").chmod(0o600)
    with_two_out(pulled)
    without_push(pulled)
    waiting = pulled.run("push")
    assert waiting.code == 3 and "people of now will set off nothing" in waiting.out, "waits for a go-ahead for the first time"
    pulled.ok("push")
    pulled.ok("push", "--first")
    enter(pulled, "00001")
    assert receiver.got == []
    assert "Trigger hook: 1 of 1 told" in pulled.ok("sync").out and len(receiver.got) == 1
