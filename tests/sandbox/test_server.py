"""The sandbox on a socket: three platforms behind one port, faults, changes, and the folder that goes with it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from connector.config import load
from connector.sandbox.base import Limits
from connector.sandbox.faults import KINDS, Faults
from connector.sandbox.folder import repointed
from connector.sandbox.orders_file import load_orders
from connector.sandbox.server import Sandbox, serve
from connector.sandbox.shop import EVERYWHERE, Customer, Purchase, Shop

AT = datetime(2026, 11, 1, 12)
SHOPIFY = {"X-Shopify-Access-Token": "shpat_sandbox"}
MAILCHIMP = {"Authorization": "Bearer 0123456789abcdef0123456789abcdef-us1"}
HUBSPOT = {"Authorization": "Bearer pat-eu1-sandbox"}


def small_shop() -> Shop:
    consent = {"shopify": "SUBSCRIBED", "mailchimp": "subscribed", "hubspot": "opted_in"}
    people = [Customer(f"{n:05d}", f"p{n}@shop.example", AT, AT, on=EVERYWHERE, consent=dict(consent)) for n in range(1, 6)]
    rows = [Purchase(f"o{n}", f"{n:05d}", AT + timedelta(days=n), Decimal("9.90")) for n in range(1, 6)]
    return Shop("Small", "EUR", "UTC", people, [], rows, [])


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(small_shop()) as running:
        yield running


def graphql(sandbox: Sandbox, text: str, **more: Any) -> requests.Response:
    url = f"{sandbox.url}/shopify/admin/api/2026-10/graphql.json"
    return requests.post(url, json={"query": text}, headers=SHOPIFY, timeout=10, **more)


def add_tag(sandbox: Sandbox, tag: str) -> requests.Response:
    gid = "gid://shopify/Customer/7000000000001"
    return graphql(sandbox, f'mutation{{tagsAdd(id:"{gid}",tags:["{tag}"]){{userErrors{{message}}}}}}', allow_redirects=False)


def control(sandbox: Sandbox, path: str, body: dict[str, Any]) -> Any:
    answer = requests.post(f"{sandbox.url}/control{path}", json=body, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.json()


def state(sandbox: Sandbox) -> Any:
    return requests.get(f"{sandbox.url}/control/state", timeout=10).json()


def test_three_platforms_answer_on_one_port_over_kept_connections(sandbox: Sandbox) -> None:
    with requests.Session() as session:
        shop = session.post(
            f"{sandbox.url}/shopify/admin/api/2026-10/graphql.json", json={"query": "{shop{name}}"}, headers=SHOPIFY
        )
        ping = session.get(f"{sandbox.url}/mailchimp/3.0/ping", headers=MAILCHIMP)
        contacts = session.get(f"{sandbox.url}/hubspot/crm/objects/2026-09/contacts?limit=2", headers=HUBSPOT)
    assert shop.json()["data"] == {"shop": {"name": "Small"}}
    assert (ping.status_code, contacts.status_code, len(contacts.json()["results"])) == (200, 200, 2)
    for answer in (shop, ping, contacts):
        assert answer.headers["Date"].endswith("GMT") and answer.headers["X-Request-Id"]
    assert requests.get(f"{sandbox.url}/elsewhere", timeout=10).status_code == 404


def test_a_change_reaches_the_platforms_that_know_the_customer(sandbox: Sandbox) -> None:
    special = {"mailchimp": {"consent": "unsubscribed"}}
    counts = control(
        sandbox, "/change", {"customers": ["00001", "p2@shop.example", "nobody"], "set": {"city": "Bonn", **special}}
    )
    assert counts == {"changed": {"shopify": 2, "mailchimp": 2, "hubspot": 2}}
    people = state(sandbox)["shopify"]["customers"]
    assert [(c["city"], c["consent"]) for c in people[:3]] == [
        ("Bonn", "SUBSCRIBED"),
        ("Bonn", "SUBSCRIBED"),
        ("", "SUBSCRIBED"),
    ]
    wrong = requests.post(f"{sandbox.url}/control/change", json={"customers": ["00001"], "set": {"shoe": 1}}, timeout=10)
    assert wrong.status_code == 400 and "shoe" in wrong.text


STATUS = {"redirect": 302, "html": 200, "gzip": 200, "empty": 200, "stall": 200, "trickle": 200, "throttled": 200}
CUT = ("reset", "truncated", "gzip")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "length"] + ["redirect", "throttled"])
def test_each_fault_comes_before_or_after_the_effect(sandbox: Sandbox, kind: str, when: str) -> None:
    script = {"platform": "shopify", "match": "tagsAdd", "kind": kind, "when": when}
    control(sandbox, "/faults", {"next": [script], "stall_s": 0.01})
    try:
        answer = add_tag(sandbox, "x")
    except requests.RequestException:
        assert kind in CUT
    else:
        assert answer.status_code == STATUS.get(kind, 0) or answer.status_code == int(kind)
        assert kind not in ("502", "html") or answer.text.startswith("<html>")
        assert kind != "empty" or answer.content == b""
        assert kind != "throttled" or (answer.json()["errors"][0]["extensions"]["code"], "data" in answer.json()) == (
            "THROTTLED",
            False,
        )
    is_done = len(state(sandbox)["effects"]["shopify"]) == 1
    assert is_done == (when == "after" or kind in ("truncated", "stall", "trickle"))
    (fault,) = state(sandbox)["faults"]["log"]
    assert (fault["kind"], fault["when"], fault["platform"], fault["is_write"]) == (kind, when, "shopify", True)
    assert add_tag(sandbox, "y").status_code == 200


def test_a_wrong_length_cuts_the_answer_at_half(sandbox: Sandbox) -> None:
    ping = f"{sandbox.url}/mailchimp/3.0/ping"
    control(sandbox, "/faults", {"next": [{"match": "ping", "kind": "length"}]})
    first, second = (requests.get(ping, headers=MAILCHIMP, timeout=10).content for _ in "12")
    assert first == second[: len(second) // 2]


def contacts(sandbox: Sandbox, **params: Any) -> Any:
    url = f"{sandbox.url}/hubspot/crm/objects/2026-09/contacts"
    return requests.get(url, params=params, headers=HUBSPOT, timeout=10).json()


def test_a_page_can_shrink_and_a_page_can_come_again(sandbox: Sandbox) -> None:
    control(sandbox, "/faults", {"next": [{"kind": "shrunk"}, {"kind": "repeated"}]})
    small = contacts(sandbox, limit=4)
    assert [r["id"] for r in small["results"]] == ["101", "102"] and small["paging"]["next"]["after"] == "103"
    first = contacts(sandbox, limit=2)
    assert contacts(sandbox, limit=2, after="103") == first, "the first page has none before it and is given as it is"
    assert contacts(sandbox, limit=2, after="103")["results"][0]["id"] == "103"
    assert [f["kind"] for f in state(sandbox)["faults"]["log"]] == ["shrunk", "repeated"]


def test_refusals_of_one_platform_are_met_there_only(sandbox: Sandbox) -> None:
    control(sandbox, "/faults", {"next": [{"kind": "477"}, {"kind": "403"}]})
    ping = f"{sandbox.url}/mailchimp/3.0/ping"
    assert [requests.get(ping, headers=MAILCHIMP, timeout=10).status_code for _ in "12"] == [403, 200]
    moving = requests.get(f"{sandbox.url}/hubspot/crm/objects/2026-09/contacts", headers=HUBSPOT, timeout=10)
    assert (moving.status_code, moving.headers["Retry-After"]) == (477, "3600")


def test_random_faults_are_dealt_so_that_each_kind_occurs(sandbox: Sandbox) -> None:
    control(sandbox, "/faults", {"p": 1.0, "seed": 4, "stall_s": 0, "platform": "shopify"})
    for _ in range(2 * len(KINDS)):
        try:
            graphql(sandbox, "{shop{name}}")
        except requests.RequestException:
            continue
    log = state(sandbox)["faults"]["log"]
    assert {(f["kind"], f["when"]) for f in log} == {(k, w) for k in KINDS for w in ("before", "after")}
    assert requests.get(f"{sandbox.url}/mailchimp/3.0/ping", headers=MAILCHIMP, timeout=10).status_code == 200
    control(sandbox, "/faults", {"reset": True})
    assert graphql(sandbox, "{shop{name}}").status_code == 200


def test_faults_can_be_due_on_every_nth_request_with_a_hint_when_to_come_back(sandbox: Sandbox) -> None:
    control(sandbox, "/faults", {"every": 3, "kinds": ["500"], "hint_s": 0})
    answers = [graphql(sandbox, "{shop{name}}") for _ in range(6)]
    assert [a.status_code for a in answers] == [200, 200, 500] * 2 and answers[2].headers["Retry-After"] == "0"


def test_a_platform_that_is_down_answers_503_until_it_is_up(sandbox: Sandbox) -> None:
    control(sandbox, "/faults", {"down": ["hubspot"]})
    url = f"{sandbox.url}/hubspot/crm/objects/2026-09/contacts?limit=1"
    assert requests.get(url, headers=HUBSPOT, timeout=10).status_code == 503
    control(sandbox, "/faults", {"down": []})
    assert requests.get(url, headers=HUBSPOT, timeout=10).status_code == 200


def test_switches_are_turned_by_name(sandbox: Sandbox) -> None:
    control(sandbox, "/switch", {"shopify": {"is_frozen": True}})
    assert graphql(sandbox, "{shop{name}}").status_code == 402
    wrong = requests.post(f"{sandbox.url}/control/switch", json={"shopify": {"colour": 1}}, timeout=10)
    assert wrong.status_code == 400 and "colour" in wrong.text


@pytest.mark.parametrize("text", ["q=1", "p", "p=2", "kinds=503", "when=never"])
def test_a_wrong_setting_of_faults_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Faults.parse(text)


def test_faults_and_limits_are_read_from_the_command_line() -> None:
    faults = Faults.parse("p=0.02,seed=1,kinds=500+reset,stall_s=0.5,platform=shopify")
    assert (faults.p, faults.seed, faults.kinds, faults.stall_s, faults.platform) == (0.02, 1, ("500", "reset"), 0.5, "shopify")
    assert (Limits.parse("off"), Limits.parse("on"), Limits.parse("x10")) == (Limits(), Limits(True), Limits(True, 10.0))
    with pytest.raises(ValueError, match="x10"):
        Limits.parse("fast")


def test_the_folder_holds_a_valid_configuration_and_private_secrets(tmp_path: Path) -> None:
    ready: list[str] = []
    folder, stop = tmp_path / "shop", threading.Event()

    def note(url: str) -> None:
        ready.append(url)
        stop.set()

    worker = threading.Thread(target=serve, args=(small_shop(), 0, folder), kwargs={"ready": note, "stop": stop})
    worker.start()
    worker.join(20)
    assert not worker.is_alive() and ready[0].startswith("http://127.0.0.1:")
    config = load(folder / "rollcall.toml")
    assert [s.name for s in config.segment] == ["Frequent", "Lapsed 180", "Top 10 percent"]
    assert all(config.platform(p).push and config.is_loopback(p) for p in ("shopify", "mailchimp", "hubspot"))
    assert config.guards == type(config.guards)()
    assert config.settings("shopify")["token"] == "shpat_sandbox"
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (folder / "secrets").iterdir()}
    assert modes == {0o600}


def test_an_owners_configuration_keeps_everything_but_the_addresses(tmp_path: Path) -> None:
    mine = '[shop]\nname = "Mine"\n[shopify] # here\n'
    mine += 'base_url = "http://127.0.0.1:1/shopify"\ntoken = "env:T"\n[push]\nprefix = "x"\n'
    assert repointed(mine, "http://127.0.0.1:2") == mine.replace(":1/", ":2/")


def test_sigterm_ends_the_server_with_0_and_the_first_line_says_ready(tmp_path: Path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text("customer_id,date,amount\n00001,2026-01-01,1.00\n")
    assert len(load_orders(orders).purchases) == 1
    code = f"""
import sys
from pathlib import Path
from connector.sandbox.orders_file import load_orders
from connector.sandbox.server import serve
sys.exit(serve(load_orders({str(orders)!r}), 0, Path({str(tmp_path / "d")!r}), ready=lambda u: print("ready", u, flush=True)))
"""
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ready http://127.0.0.1:")
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 0
