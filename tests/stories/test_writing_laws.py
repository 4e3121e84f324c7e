"""The laws of writing, tried from outside: consent, ownership, plan first, guards, one writer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from connector import trial
from connector.config import Config
from connector.lock import writer_lock
from connector.sandbox.orders_file import load_orders
from models.changes import Plan
from tests.stories.story import AS_OF, NAMES, Story, configuration, expected_members, plan_of, segments

PUSH = ("push", "--as-of", AS_OF)
FIRST = ("push", "--first", "--as-of", AS_OF)
PLAN = ("plan", "--as-of", AS_OF, "--json")
EVERYWHERE = '["mailchimp", "hubspot", "shopify"]'


@pytest.mark.parametrize("command", [("push",), ("push", "--first"), ("sync",)])
def test_nothing_is_written_to_an_account_that_is_not_on_this_machine(story: Story, command: tuple[str, ...]) -> None:
    story.config.write_text(configuration("https://sandbox.invalid", segments()))
    answer = story.run(*command)
    assert answer.code == 2
    assert "not switched on in this version" in answer.err and "mailchimp" in answer.err
    assert not (story.folder / "rollcall.duckdb").exists()


@pytest.mark.parametrize(("command", "code"), [(("push",), 3), (("push", "--first"), 2), (("sync",), 3)])
def test_before_the_trial_not_everybody_is_written_to_an_account_that_is_not_on_this_machine(
    pulled: Story, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], code: int
) -> None:
    monkeypatch.setattr(Config, "is_loopback", lambda *_: False)
    monkeypatch.setattr(trial, "LIVE", True)
    answer = pulled.run(*command)
    assert answer.code == code and pulled.writes() == []
    assert "--limit 10" in answer.text and "Mailchimp" in answer.text


def test_another_day_is_never_written_to_a_live_account(story: Story) -> None:
    story.config.write_text(configuration("https://sandbox.invalid", segments()))
    answer = story.run(*PUSH)
    assert answer.code == 2 and "--as-of" in answer.err


def test_one_live_account_among_loopback_ones_is_enough_to_refuse(pulled: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another day at once, and more than its trial."""
    pulled.configure(segments(EVERYWHERE))
    monkeypatch.setattr(Config, "is_loopback", lambda _, name: name != "hubspot")
    answer = pulled.run(*FIRST)
    assert answer.code == 2 and "--as-of" in answer.err and "(hubspot)" in answer.err and not pulled.writes()
    answer = pulled.run("push", "--first")
    assert answer.code == 2 and "(hubspot)" in answer.err and "not switched on" in answer.err and not pulled.writes()
    assert "never written" not in pulled.run("plan").text
    monkeypatch.setattr(trial, "LIVE", True)
    answer = pulled.run("push", "--first")
    assert answer.code == 2 and "HubSpot" in answer.err and "Mailchimp" not in answer.err and not pulled.writes()


def test_writes_change_membership_and_nothing_else(pulled: Story) -> None:
    pulled.configure(segments(EVERYWHERE))
    before = pulled.state()
    pulled.ok(*FIRST)
    pulled.change(["00001", "00002"], consent="unsubscribed")
    pulled.ok("sync", "--as-of", AS_OF)
    after = pulled.state()

    kinds = {(w["platform"], w["kind"]) for w in pulled.writes()}
    assert kinds == {
        ("mailchimp", "segment.create"), ("mailchimp", "tag.add"), ("mailchimp", "tag.remove"), ("hubspot", "list.create"),
        ("hubspot", "list.add"), ("hubspot", "list.remove"), ("shopify", "tag_added"), ("shopify", "tag_removed"),
    }  # fmt: skip
    changed = {"00001", "00002"}
    assert after["mailchimp"]["members"].keys() == before["mailchimp"]["members"].keys()
    for key, member in after["mailchimp"]["members"].items():
        if member["customer_id"] not in changed:
            assert {**member, "tags": []} == before["mailchimp"]["members"][key]
    assert len(after["shopify"]["customers"]) == len(before["shopify"]["customers"])
    for old, new in zip(before["shopify"]["customers"], after["shopify"]["customers"], strict=True):
        assert new["customer_id"] in changed or new["consent"] == old["consent"] == "SUBSCRIBED"
    assert after["hubspot"]["objects"]["contacts"]["live"].keys() == before["hubspot"]["objects"]["contacts"]["live"].keys()
    assert [after[p].get("mails_sent", 0) for p in ("mailchimp", "hubspot")] == [0, 0]


def test_a_no_said_between_pull_and_push_counts(pulled: Story, few_orders: Path) -> None:
    expected = expected_members(few_orders)
    refused = min(expected["Frequent"])
    pulled.change([refused.removesuffix("@shop.example")], mailchimp={"consent": "unsubscribed"})

    answer = pulled.ok(*FIRST, "--json")

    dropped = sum(refused in people for people in expected.values())
    assert answer.json["dropped"] == dropped >= 1
    assert pulled.tags() == {name: people - {refused} for name, people in expected.items()}
    assert not json.loads(pulled.ok(*PLAN).out)["has_changes"]


def test_a_no_said_elsewhere_counts_everywhere(pushed: Story) -> None:
    refused = min(pushed.tags()["Frequent"])
    pushed.change([refused.removesuffix("@shop.example")], hubspot={"consent": "unsubscribed"})
    pushed.ok("sync", "--as-of", AS_OF)
    assert not any(refused in people for people in pushed.tags().values())
    plan = plan_of(pushed.ok(*PLAN))["mailchimp", "Frequent"]
    assert plan["excluded"] == {"said no on HubSpot": 1}


def test_without_the_go_ahead_nothing_is_written_and_it_is_said_once(pulled: Story) -> None:
    answer = pulled.run(*PUSH)
    assert answer.code == 3 and "rollcall push --first" in answer.err
    assert pulled.run(*PUSH).code == 0
    assert not pulled.writes()


def test_a_platform_without_push_is_planned_and_not_written(pulled: Story) -> None:
    pulled.config.write_text(pulled.config.read_text().replace("push = true\n", "push = false\n"))
    answer = pulled.run(*FIRST)
    assert answer.code == 3 and "no push = true" in answer.err
    assert not pulled.writes()


@pytest.mark.parametrize(("keep", "guard"), [(0, "no customers"), (30, "guards.max_shrink_pct")])
def test_an_empty_or_shrunken_source_stops_everything(
    tell: Callable[..., Story], pushed: Story, few_orders: Path, keep: int, guard: str
) -> None:
    """The same account suddenly shows only the first customers."""
    written, shop = len(pushed.writes()), load_orders(few_orders)
    shop.customers = [c for c in shop.customers if int(c.customer_id) <= keep]
    shop.purchases = [p for p in shop.purchases if int(p.customer_id) <= keep]
    other = tell(shop, "other")
    pushed.config.write_text(configuration(other.url, segments()))
    pushed.run("backfill")
    for command in (PUSH, FIRST):
        answer = pushed.run(*command)
        assert (answer.code, guard in answer.err) == (4, True), (command, answer.text)
    assert len(pushed.writes()) == written and not other.writes()


def test_a_source_that_was_never_pulled_to_its_end_stops_everything(story: Story) -> None:
    story.ok("backfill", "--source", "shopify", "--source", "mailchimp")
    answer = story.run(*FIRST)
    assert answer.code == 4 and "HubSpot contacts were not pulled" in answer.err
    assert not story.writes()


def test_a_guard_parks_one_segment_and_the_rest_goes_on(pushed: Story) -> None:
    tags = pushed.tags()
    frequent = sorted(tags["Frequent"])
    half = frequent[: len(frequent) // 2 + 1]
    lapsed = min(tags["Lapsed 180"])
    pushed.configure(more="[guards]\nmin_members = 5\nmax_enter_pct = 50\n")
    pushed.mailchimp("POST", f"segments/{pushed.tag_id('Frequent')}", {"members_to_remove": half})
    pushed.mailchimp("POST", f"segments/{pushed.tag_id('Lapsed 180')}", {"members_to_remove": [lapsed]})
    answer = pushed.run(*PUSH)
    assert answer.code == 3 and "guard max_enter_pct" in answer.text
    assert pushed.tags() == {**tags, "Frequent": tags["Frequent"] - set(half)}


# ---- saved plans


@pytest.fixture
def saved(pulled: Story) -> Path:
    """A plan that waits in a file, after the owner's go-ahead was given and the tags were emptied by hand."""
    pulled.ok(*FIRST)
    for name in NAMES:
        members = sorted(pulled.tags()[name])
        pulled.mailchimp("POST", f"segments/{pulled.tag_id(name)}", {"members_to_remove": members})
    pulled.configure(more="[guards]\nmax_enter_pct = 1000\nmin_members = 1000\n")
    pulled.ok("plan", "--as-of", AS_OF, "--out", "plan.json")
    return pulled.folder / "plan.json"


APPLY = ("apply", "plan.json", "--as-of", AS_OF)


def altered(path: Path, **changes: object) -> None:
    """A plan file with another content and the digest that goes with it."""
    data = {**json.loads(path.read_bytes()), **changes}
    data["digest"] = Plan.from_json(data).digest
    path.write_text(json.dumps(data, default=str))


def test_a_saved_plan_is_carried_out_as_a_push_would(saved: Path, pulled: Story, few_orders: Path) -> None:
    assert saved.stat().st_mode & 0o777 == 0o600
    pulled.ok(*APPLY)
    assert pulled.tags() == expected_members(few_orders)
    assert not json.loads(pulled.ok(*PLAN).out)["has_changes"]


def test_a_saved_plan_that_was_altered_is_refused(saved: Path, pulled: Story) -> None:
    written = len(pulled.writes())
    saved.write_text(saved.read_text().replace("@shop.example", "@evil.example", 1))
    answer = pulled.run(*APPLY)
    assert answer.code == 4 and "was changed after it was made" in answer.err
    assert len(pulled.writes()) == written


def test_somebody_smuggled_into_a_saved_plan_is_not_written(saved: Path, pulled: Story) -> None:
    data = json.loads(saved.read_bytes())
    target = data["targets"][0]
    outsider = "f" * 32
    target["changes"].append({**target["changes"][0], "contact_id": outsider, "email": "not-a-member@shop.example"})
    altered(saved, targets=data["targets"])
    pulled.run(*APPLY)
    assert not any("not-a-member@shop.example" in people for people in pulled.tags().values())
    assert outsider not in json.dumps(pulled.writes())


def test_a_saved_plan_of_the_day_before_yesterday_is_refused(saved: Path, pulled: Story) -> None:
    made = datetime.fromisoformat(json.loads(saved.read_bytes())["made_at"])
    altered(saved, made_at=(made - timedelta(hours=25)).isoformat())
    answer = pulled.run(*APPLY)
    assert answer.code == 4 and "older than 24 hours" in answer.err


def test_a_saved_plan_of_another_configuration_is_refused(saved: Path, pulled: Story) -> None:
    pulled.configure(segments().replace(">= 3", ">= 2"))
    answer = pulled.run(*APPLY)
    assert answer.code == 4 and "configuration changed" in answer.err


@pytest.mark.parametrize("share", [0.04, 0.5])
def test_a_saved_plan_the_world_has_left_behind_is_refused_and_a_nearly_true_one_is_carried_out(
    saved: Path, pulled: Story, few_orders: Path, share: float
) -> None:
    expected = expected_members(few_orders)
    planned = sum(len(people) for people in expected.values())
    name = "Lapsed 180"
    done = sorted(expected[name])[: int(planned * share)]
    pulled.mailchimp("POST", f"segments/{pulled.tag_id(name)}", {"members_to_add": done})

    answer = pulled.run(*APPLY, "--json")

    if share > 0.05:
        assert answer.code == 4 and f"{len(done)} of the plan's {planned}" in answer.json["error"]["text"]
        assert pulled.tags()["Frequent"] == set()
    else:
        assert answer.code == 0 and pulled.tags() == expected
        assert answer.json["dropped_since_saved"] == len(done)


# ---- ownership


def test_a_tag_of_somebody_else_is_left_alone_until_it_is_adopted(pulled: Story, few_orders: Path) -> None:
    expected = expected_members(few_orders)
    everybody = {f"{n:05d}@shop.example" for n in range(1, 121)}
    theirs = set(sorted(everybody - expected["Frequent"])[:2])
    pulled.mailchimp("POST", "segments", {"name": "Rollcall: Frequent", "static_segment": sorted(theirs)})

    answer = pulled.run(*FIRST)

    assert answer.code == 3 and "adopt = true" in answer.text
    assert pulled.tags() == {**expected, "Frequent": theirs}
    pulled.configure(segments().replace("push = ", "adopt = true\npush = ", 1))
    pulled.ok(*FIRST)
    assert pulled.tags()["Frequent"] == expected["Frequent"] | theirs, "who was there before stays"
    pulled.change([p.removesuffix("@shop.example") for p in theirs], mailchimp={"consent": "unsubscribed"})
    pulled.ok("sync", "--as-of", AS_OF)
    assert theirs <= pulled.tags()["Frequent"], "we take away only what we added"


def test_a_tag_that_was_deleted_waits_for_the_owner(pushed: Story, few_orders: Path) -> None:
    lost = "Lapsed 180"
    assert len(pushed.tags()[lost]) > 50, "as many as the guards look at"
    pushed.mailchimp("DELETE", f"segments/{pushed.tag_id(lost)}")
    answer = pushed.run(*PUSH)
    assert answer.code == 3 and "was deleted on the platform" in answer.text
    assert lost not in pushed.tags()
    pushed.ok(*FIRST)
    assert pushed.tags() == expected_members(few_orders)
    assert not json.loads(pushed.ok(*PLAN).out)["has_changes"]


@pytest.mark.parametrize(
    "tables", [("ledger",), ("ledger", "ledger_objects"), ("ledger", "ledger_objects", "go_aheads", "journal")]
)
def test_a_lost_ledger_removes_nobody(pushed: Story, tables: tuple[str, ...]) -> None:
    tags = pushed.tags()
    pushed.edit_store(*(f"DELETE FROM {table}" for table in tables))
    pushed.configure(segments().replace(">= 3", ">= 5"))
    for command in (PUSH, FIRST):
        pushed.run(*command)
    assert all(tags[name] <= people for name, people in pushed.tags().items())
    assert "tag.remove" not in {w["kind"] for w in pushed.writes()}


def test_a_lost_store_removes_nobody(pushed: Story) -> None:
    tags = pushed.tags()
    (pushed.folder / "rollcall.duckdb").unlink()
    pushed.configure(segments().replace(">= 3", ">= 2"))
    pushed.ok("backfill")
    answer = pushed.run(*FIRST)
    assert answer.code == 3 and "adopt = true" in answer.text
    assert pushed.tags() == tags


def test_a_changed_rule_asks_again(pushed: Story) -> None:
    tags = pushed.tags()
    pushed.configure(segments().replace(">= 3", ">= 2"))
    answer = pushed.run(*PUSH)
    assert answer.code == 3 and "changed since your go-ahead" in answer.text
    assert pushed.tags() == tags
    pushed.ok(*FIRST)
    assert pushed.tags()["Frequent"] > tags["Frequent"]


# ---- one writer


def test_a_second_writer_is_told_who_writes(pulled: Story) -> None:
    with writer_lock(pulled.folder / "rollcall.duckdb", "backfill"):
        answer = pulled.run("sync")
    assert answer.code == 5
    assert "`rollcall backfill`" in answer.err and f"process {os.getpid()}" in answer.err
    assert pulled.run(*PLAN).code == 0
