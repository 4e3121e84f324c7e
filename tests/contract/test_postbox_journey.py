"""The fourth platform through the real command: configured, pulled, planned, pushed, asked about, forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from connector import config
from connector.sandbox.server import Sandbox
from connector.sandbox.shop import Shop
from models.errors import ConfigError
from tests.stories.story import Answer, rollcall

pytestmark = pytest.mark.usefixtures("postbox_installed")

SECRETS = {"postbox": "pbx_sandbox_key", "mailchimp": "0123456789abcdef0123456789abcdef-us1"}
TOML = """
[shop]
name = "Post"
timezone = "UTC"
currency = "USD"

[postbox]
base_url = "{url}/postbox"
token = "file:secrets/postbox"
page_size = 10
region = "us"
push = true

[mailchimp]
base_url = "{url}/mailchimp"
token = "file:secrets/mailchimp"
audience = "a1b2c3d4e5"
push = true

[guards]
min_members = 100

[[segment]]
name = "Readers"
where = "'postbox' in platforms"
push = ["postbox", "mailchimp"]
"""


class Post:
    """A served Postbox and Mailchimp, and a folder that is configured for both."""

    def __init__(self, folder: Path, sandbox: Sandbox, shop: Shop) -> None:
        self.folder, self.sandbox = folder, sandbox
        self.postbox: Any = sandbox.add(import_module("rollcall_postbox.simulator").PostboxSimulator, shop)
        self.mailchimp = sandbox.simulators["mailchimp"]
        (folder / "secrets").mkdir()
        for name, secret in SECRETS.items():
            (folder / "secrets" / name).write_text(secret)
            (folder / "secrets" / name).chmod(0o600)
        self.write(TOML)

    def write(self, text: str) -> None:
        (self.folder / "rollcall.toml").write_text(text.format(url=self.sandbox.url))

    def run(self, *args: str, code: int = 0) -> Answer:
        answer = rollcall(self.folder, *args)
        assert answer.code == code, (args, answer.code, answer.text)
        return answer

    def plan(self) -> dict[str, dict[str, Any]]:
        return {t["platform"]: t for t in self.run("plan", "--json").json["segments"]}

    def labelled(self) -> set[str]:
        return set(self.postbox.dump()["labels"].get("Rollcall: Readers", ()))


@pytest.fixture
def post(tmp_path: Path, shops: dict[int, Shop]) -> Iterator[Post]:
    sandbox = Sandbox(shops[45])
    made = Post(tmp_path, sandbox, shops[45])
    with sandbox:
        yield made


def test_a_fourth_platform_is_pulled_planned_and_pushed_and_the_next_plan_is_empty(post: Post) -> None:
    for n, answer in enumerate(("unsubscribed", "pending", "cleaned"), 1):
        post.postbox.change(f"0000{n}", {"consent": answer})
    post.mailchimp.change("00004", {"consent": "unsubscribed"})

    pulled = post.run("backfill")
    assert re.search(r"Postbox +readers +45 ", pulled.out)

    planned = post.plan()
    told = {"said no on Postbox": 1, "not confirmed yet": 1, "dead address": 1, "said no on Mailchimp": 1}
    assert planned["postbox"]["excluded"] == told
    assert planned["mailchimp"]["excluded"]["said no on Postbox"] == 1
    assert (planned["postbox"]["entered"], planned["postbox"]["waits_for_go_ahead"]) == (41, True)

    assert "Postbox label Rollcall: Readers" in post.run("push", "--first").out
    assert post.labelled() == {f"r{n:05d}" for n in range(5, 46)}
    assert len(post.postbox.effects) == 41
    assert post.run("plan", "--detailed-exitcode").code == 0

    post.postbox.change("00005", {"consent": "unsubscribed"})
    post.run("pull")
    post.run("push")
    assert post.labelled() == {f"r{n:05d}" for n in range(6, 46)}
    assert all(e["kind"] in ("add", "remove") for e in post.postbox.effects)


def test_what_an_owner_asks_about_it_is_answered_in_its_own_name(post: Post) -> None:
    post.postbox.change("00001", {"consent": "unsubscribed"})
    post.run("backfill")
    why = post.run("why", "00001@shop.example").out
    assert "postbox: marketing tag: said no on Postbox" in why
    assert "Postbox" in post.run("report").text or (post.folder / "rollcall-report.html").read_text().count("Postbox")
    assert "Postbox" in post.run("export", "00001@shop.example").out
    assert "Postbox: erase the person there too" in post.run("forget", "00001@shop.example").out
    assert post.run("plan", "--json").json["segments"]


def test_a_no_counts_also_when_the_section_was_taken_out(post: Post) -> None:
    post.postbox.change("00001", {"consent": "unsubscribed"})
    post.run("backfill")
    post.write(TOML.replace(TOML[TOML.index("[postbox]") : TOML.index("[mailchimp]")], "").replace('"postbox", ', ""))
    assert post.plan()["mailchimp"]["excluded"]["said no on postbox"] == 1


def test_the_check_looks_at_it_and_says_when_its_version_ends(post: Post) -> None:
    found = post.run("check").out
    assert "Postbox account: Post (pb-1)." in found
    post.write(TOML.replace('region = "us"', 'region = "us"\napi_version = "1"'))
    found = post.run("check").out
    assert "Postbox API 1" in found and "2027-03-31" in found
    post.postbox.scopes = {"readers", "labels"}
    assert "lacks the scope letters" in post.run("check", code=6).out


def test_one_that_cannot_be_reached_stops_nothing_else(post: Post) -> None:
    post.sandbox.faults.set({"down": ["postbox"]})
    post.write(TOML.replace("page_size", "tries = 1\npage_size"))
    answer = post.run("backfill", code=1)
    assert re.search(r"Mailchimp +members +45 ", answer.out) and "Postbox answered 503" in answer.err
    assert "Postbox readers were not pulled to their end" in post.run("plan", code=4).err


def test_a_field_it_cannot_be_given_is_refused_in_its_name(post: Post) -> None:
    post.write(TOML + '\n[[field]]\ncolumn = "city"\npush = ["postbox"]\n')
    assert "Postbox has no fields that Rollcall can write." in post.run("check", code=2).err


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("page_size = 10", "pagesize = 10", "line 10, postbox.pagesize: unknown key 'pagesize'. Did you mean 'page_size'?"),
        ("page_size = 10", "page_size = 900", "line 10, postbox.page_size: Input should be less than or equal to 500"),
        ("page_size = 10", "page_size = 1.5", "postbox.page_size: Input should be a valid integer"),
        ('region = "us"', 'region = "asia"', "line 11, postbox.region: Input should be 'eu' or 'us'"),
        ('token = "file:secrets/postbox"\n', "", "postbox.token: 'token' is missing."),
        ("[postbox]", "[postbx]", "unknown key 'postbx'. Did you mean 'postbox'?"),
        ('push = ["postbox"', 'push = ["postbx"', "segment[1].push: there is no platform 'postbx'. Did you mean 'postbox'?"),
        ('base_url = "http://127', 'base_url = "http://post.example/127', "postbox.base_url: base_url with http://"),
        ("[guards]", "[other_platforms]\n[guards]", "unknown key 'other_platforms'"),
    ],
)
def test_its_section_is_validated_like_ours(tmp_path: Path, before: str, after: str, words: str) -> None:
    text = TOML.format(url="http://127.0.0.1:1")
    assert before in text
    (tmp_path / "rollcall.toml").write_text(text.replace(before, after, 1))
    with pytest.raises(ConfigError) as refused:
        config.load(tmp_path / "rollcall.toml")
    assert words in str(refused.value)


def test_its_secret_is_resolved_its_own_settings_arrive_and_its_orders_count_behind_ours(tmp_path: Path) -> None:
    (tmp_path / "rollcall.toml").write_text(TOML.format(url="http://127.0.0.1:1"))
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "postbox").write_text("pbx_secret")
    (tmp_path / "secrets" / "postbox").chmod(0o600)
    found = config.load(tmp_path / "rollcall.toml")
    settings = found.settings("postbox")
    assert (settings["token"], settings["page_size"], settings["region"], settings["tries"]) == ("pbx_secret", 10, "us", 8)
    assert found.platforms == ("mailchimp", "postbox")
    assert found.shop.orders_from == (*config.ORDER_SOURCES, "postbox")
    assert found.is_loopback("postbox")
    other = TOML.replace("page_size = 10", "page_size = 20").format(url="http://127.0.0.1:1")
    (tmp_path / "rollcall.toml").write_text(other)
    assert config.load(tmp_path / "rollcall.toml").digest() != found.digest()
