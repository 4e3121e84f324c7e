"""Bad input gives a clear error and the right exit code, never a stack trace, and loses nothing."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stories.story import AS_OF, Answer, Story, process, rollcall, segments, store_dump, write_orders

WRONG = {"shopify": "shpat_wrong", "mailchimp": "f" * 32 + "-us1", "hubspot": "pat-eu1-wrong"}
TITLES = {"shopify": "Shopify", "mailchimp": "Mailchimp", "hubspot": "HubSpot"}


def is_clear(answer: Answer, code: int, *words: str) -> None:
    """The code, the words, and nothing an owner cannot read."""
    assert answer.code == code, answer.text
    for word in words:
        assert word in answer.err, answer.err
    assert "Traceback" not in answer.text and 'File "' not in answer.text
    assert "our mistake" not in answer.text
    assert not any(secret in answer.text for secret in WRONG.values())


def secret(story: Story, platform: str, text: str) -> None:
    path = story.folder / "secrets" / platform
    path.write_text(text)
    path.chmod(0o600)


# ---- the configuration


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("push = true", "pushh = true", ("line ", "unknown key 'pushh'", "Did you mean 'push'?")),
        ("[mailchimp]", "[mailchip]", ("unknown key 'mailchip'", "Did you mean 'mailchimp'?")),
        ('timezone = "UTC"', 'timezone = "Europe/Berlyn"', ("Europe/Berlyn", "Did you mean 'Europe/Berlin'?")),
        ("[shop]", "[shop", ("not valid TOML", "line 3")),
        ('push = ["mailchimp"]', 'push = ["mailchip"]', ("line ", "segment[1].push", "'mailchimp'")),
        ('token = "file:secrets/mailchimp"', 'token = "0123456789"', ("must not hold the secret itself",)),
        ('token = "file:secrets/mailchimp"', 'token = "file:secrets/none"', ("mailchimp.token", "No such file")),
        (
            "[[segment]]",
            '[[ordered]]\nname = "Loyalty"\nsegments = ["Frequnt", "Lapsed 180"]\n\n[[segment]]',
            ("[[ordered]] 'Loyalty' speaks of an unknown segment 'Frequnt'", "Did you mean 'Frequent'?"),
        ),
    ],
)
def test_a_faulty_configuration_is_refused_with_its_place(
    story: Story, before: str, after: str, words: tuple[str, ...]
) -> None:
    text = story.config.read_text()
    assert before in text
    story.config.write_text(text.replace(before, after, 1))
    answer = story.run("backfill")
    is_clear(answer, 2, *words)
    assert "0123456789" not in answer.text


def test_without_a_configuration_the_way_to_one_is_said(tmp_path: Path) -> None:
    is_clear(rollcall(tmp_path, "sync"), 2, "There is no configuration", "--config")


def test_a_typo_in_a_rule_is_answered_with_the_nearest_name_before_anything_is_written(pulled: Story) -> None:
    pulled.configure(segments().replace("orders_total", "orders_totl"))
    for command in (("plan",), ("push", "--first", "--as-of", AS_OF)):
        is_clear(pulled.run(*command), 2, "orders_totl", "orders_total", "Frequent")
    assert not pulled.writes()
    is_clear(pulled.run("segment", "test", "orders_totl > 1"), 2, "orders_total")
    is_clear(pulled.run("segment", "show", "Frequnt"), 2, "Frequent")
    is_clear(pulled.run("plan", "--platform", "mailchip"), 2, "mailchip", "mailchimp")


def test_json_errors_are_json(story: Story) -> None:
    story.config.write_text(story.config.read_text().replace("push = true", "pushh = true", 1))
    answer = story.run("backfill", "--json")
    assert answer.json["error"]["code"] == 2 and "pushh" in answer.json["error"]["text"]


# ---- credentials


@pytest.mark.parametrize("platform", WRONG)
def test_a_wrong_token_stops_its_platform_only(story: Story, platform: str) -> None:
    secret(story, platform, WRONG[platform])

    answer = story.run("backfill")

    is_clear(answer, 6, TITLES[platform], "401")
    held = {source for (source,) in story.sql("SELECT DISTINCT source FROM source_records")}
    assert held == set(WRONG) - {platform}
    checked = story.run("check")
    assert checked.code == 6 and "Traceback" not in checked.text and WRONG[platform] not in checked.text


def test_a_token_that_was_revoked_after_the_push_loses_nothing(pushed: Story) -> None:
    tags = pushed.tags()
    good = (pushed.folder / "secrets" / "mailchimp").read_text()
    secret(pushed, "mailchimp", WRONG["mailchimp"])
    is_clear(pushed.run("sync", "--as-of", AS_OF), 6, "Mailchimp")
    assert pushed.tags() == tags
    secret(pushed, "mailchimp", good)
    assert pushed.run("sync", "--as-of", AS_OF).code == 0
    assert pushed.tags() == tags


def test_a_secret_others_can_read_is_refused(story: Story) -> None:
    (story.folder / "secrets" / "hubspot").chmod(0o644)
    is_clear(story.run("backfill"), 2, "can be read by others", "chmod 600")


@pytest.mark.parametrize(
    ("platform", "scope", "stream"),
    [("shopify", "read_orders", "orders"), ("hubspot", "tickets", "tickets")],
)
def test_a_missing_scope_closes_its_stream_and_is_named(story: Story, platform: str, scope: str, stream: str) -> None:
    switches: Any = story.sandbox.simulators[platform].switches  # type: ignore[attr-defined]  # every simulator has switches
    switches.scopes = [s for s in switches.scopes if scope not in s]

    answer = story.run("backfill", "--json")

    assert answer.code == 6, answer.text
    states = {(s["source"], s["stream"]): s["is_complete"] for s in answer.json["streams"]}
    assert not states[platform, stream]
    assert states["mailchimp", "members"] and states["shopify", "customers"] and states["hubspot", "contacts"]
    assert any(scope in p["text"] for p in answer.json["problems"]), answer.json["problems"]
    assert "Traceback" not in answer.text
    assert scope in story.run("check").out


def test_an_unknown_audience_is_answered_with_those_there_are(story: Story) -> None:
    story.config.write_text(story.config.read_text().replace("a1b2c3d4e5", "ffffffffff"))
    is_clear(story.run("backfill"), 2, "knows no audience 'ffffffffff'", "a1b2c3d4e5")


# ---- files


ORDERS = """customer_id,order_id,date,amount
c1,o1,2026-01-05,10.00
c1,o2,not a date,11.00
c2,o3,2026-02-30,12.00
c2,o4,2026-02-03,12.50
c3,o5,2026-02-04,twelve
c4,o6
"""


def test_a_malformed_row_is_set_aside_with_its_line_the_first_time_and_known_from_then_on(tmp_path: Path) -> None:
    (tmp_path / "rollcall.toml").write_text("[shop]\n")
    (tmp_path / "orders.csv").write_text(ORDERS)

    first = rollcall(tmp_path, "import", "orders", "orders.csv", "--json")

    assert first.code == 3 and "Traceback" not in first.text
    assert {row["line"] for row in first.json["set_aside"]} == {3, 4, 6, 7}
    assert all(row["reason"] and "twelve" not in row["reason"] for row in first.json["set_aside"])
    (count,) = first.json["streams"]
    assert (count["fetched"], count["stored"], count["unchanged"], count["set_aside"]) == (6, 2, 0, 4)
    again = rollcall(tmp_path, "import", "orders", "orders.csv", "--json")
    assert again.code == 0
    (count,) = again.json["streams"]
    assert (count["stored"], count["unchanged"], count["set_aside"]) == (0, 2, 4)
    (tmp_path / "orders.csv").write_text(ORDERS.replace("not a date", "2026-01-06"))
    mended = rollcall(tmp_path, "import", "orders", "orders.csv")
    assert mended.code == 0 and "line 3" not in mended.out and "line 4" in mended.out


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.csv", None, ("none.csv",)),
        ("empty.csv", "", ("empty.csv",)),
        ("other.csv", "a,b\n1,2\n", ("no person in it",)),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, name: str, content: str | None, words: tuple[str, ...]) -> None:
    (tmp_path / "rollcall.toml").write_text("[shop]\n")
    if content is not None:
        (tmp_path / name).write_text(content)
    is_clear(rollcall(tmp_path, "import", "orders", name), 2, *words)


@pytest.mark.parametrize("text", ["customer_id,date\n1,2026-01-01\n", "customer_id,date,amount\n1,2026-01-01,ten\n"])
def test_the_sandbox_refuses_an_orders_file_it_cannot_use(tmp_path: Path, text: str) -> None:
    (tmp_path / "orders.csv").write_text(text)
    answer = rollcall(tmp_path, "sandbox", "serve", "--orders", "orders.csv", "--port", "0", "--dir", "d")
    is_clear(answer, 2, "orders.csv")


# ---- the disk


def test_a_store_in_a_folder_that_cannot_be_is_refused_in_words(story: Story) -> None:
    (story.folder / "taken").write_text("a file, no folder")
    story.config.write_text(story.config.read_text() + '\n[store]\npath = "taken/rollcall.duckdb"\n')
    is_clear(story.run("backfill"), 1, "taken")


def test_a_folder_in_place_of_the_store_is_refused_in_words(story: Story) -> None:
    (story.folder / "rollcall.duckdb").mkdir()
    is_clear(story.run("backfill"), 1, "rollcall.duckdb")


def test_a_damaged_store_is_refused_in_words_and_left_as_it_is(story: Story) -> None:
    (story.folder / "rollcall.duckdb").write_bytes(b"no database at all" * 1000)
    is_clear(story.run("plan"), 1, "rollcall.duckdb", "damaged")
    assert (story.folder / "rollcall.duckdb").read_bytes().startswith(b"no database")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused_in_words(story: Story) -> None:
    story.folder.chmod(0o500)
    try:
        is_clear(story.run("backfill"), 1, "permissions")
    finally:
        story.folder.chmod(0o700)


def test_a_plan_that_cannot_be_saved_is_refused_in_words(pulled: Story) -> None:
    is_clear(pulled.run("plan", "--as-of", AS_OF, "--out", "no/such/folder/plan.json"), 2, "cannot be written")


@pytest.mark.parametrize("limit", [100_000, 600_000])
def test_a_full_disk_ends_in_words_and_the_next_run_has_everything(
    tell: Callable[..., Story], few_orders: Path, pulled_store: Path, limit: int
) -> None:
    """No file may grow beyond `limit` bytes: what a full disk does, wherever the tests run."""
    story = tell(few_orders)

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    run = process(story.folder, "backfill", preexec_fn=small)
    out, err = run.communicate(timeout=120)
    is_clear(Answer(run.returncode, out, err), 1)
    assert re.search(r"disk|written|room|File too large|space", err), err
    assert not (story.folder / "rollcall-crash.txt").exists()

    story.ok("backfill")
    reference = tell(few_orders, "reference")
    reference.take_store(pulled_store)
    assert store_dump(story) == store_dump(reference)


def test_the_key_of_another_account_is_refused(pulled: Story) -> None:
    """One store, one account: nothing is mixed."""
    pulled.edit_store("UPDATE meta SET value = 'somebody else' WHERE name = 'account:mailchimp'")
    is_clear(pulled.run("pull"), 6, "another account")
    is_clear(pulled.run("push", "--first", "--as-of", AS_OF), 6, "another account")
    assert not pulled.writes()


def test_nobody_is_pulled_from_a_configuration_with_a_shop_only(tmp_path: Path) -> None:
    (tmp_path / "rollcall.toml").write_text("[shop]\n")
    is_clear(rollcall(tmp_path, "backfill"), 2, "No platform is configured")
    write_orders(tmp_path / "orders.csv", customers=5)
    assert rollcall(tmp_path, "import", "orders", "orders.csv").code == 0
    assert rollcall(tmp_path, "plan").code == 0
