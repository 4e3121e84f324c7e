"""The first writes to a live account are at most ten changes, begun by the owner; then everybody follows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from connector import trial, writer
from connector.config import Config
from connector.restore import newest
from tests.stories.story import AUDIENCE, Story, expected_members, segments
from tests.stories.test_triggers import BASE, EVENT, HOOK, Receiver, begin, enter, newcomers, receiver

__all__ = ["receiver"]
FREQUENT = '[[segment]]\nname = "Frequent"\nwhere = "orders_total >= 3"\npush = ["mailchimp"]\n'
NOBODY = FREQUENT.replace('push = ["mailchimp"]', "push = []")
FIELD = '[[field]]\ncolumn = "orders_total"\npush = ["mailchimp"]\n'


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The platforms that count as live accounts: the simulators stand for them. Webhooks of this machine count as elsewhere."""
    names = {"mailchimp"}
    monkeypatch.setattr(Config, "is_loopback", lambda _, name: name not in names)
    monkeypatch.setattr(trial, "LIVE", True)
    for module in (trial, writer):
        monkeypatch.setattr(module, "is_loopback", lambda _: False)
    return names


def tagged(story: Story) -> int:
    return sum(len(people) for people in story.tags().values())


def trials(story: Story) -> list[str]:
    return [name for (name,) in story.sql("SELECT name FROM meta WHERE starts_with(name, 'trial:') ORDER BY 1")]


def test_more_than_ten_changes_are_refused_until_ten_were_written(pulled: Story, live: set[str]) -> None:
    answer = pulled.run("push", "--first")
    assert answer.code == 2 and pulled.writes() == []
    assert "the Mailchimp account" in answer.err and "`rollcall push --first --platform mailchimp --limit 10`" in answer.err
    assert "`rollcall push --first --platform mailchimp --limit 10`" in pulled.ok("plan").out

    pulled.run("push", "--first", "--platform", "mailchimp", "--limit", "10")
    assert tagged(pulled) == trial.MOST, "ten in all, not ten for each of three tags"
    assert len(trials(pulled)) == 1
    assert "never written" not in pulled.run("plan").text
    pulled.ok("push", "--first")
    assert tagged(pulled) > 100
    assert "tag.remove" not in {w["kind"] for w in pulled.writes()}


def test_one_address_is_a_trial_and_it_gives_no_go_ahead_for_the_rest(pulled: Story, live: set[str], few_orders: Path) -> None:
    pulled.configure(FREQUENT)
    someone = min(expected_members(few_orders)["Frequent"])
    pulled.run("push", "--first", "--only", someone)
    assert pulled.tags() == {"Frequent": {someone}} and len(trials(pulled)) == 1
    pulled.run("sync")
    assert tagged(pulled) == 1, "a run on a schedule waits for the go-ahead as ever"


def test_ten_at_once_need_no_other_trial(pulled: Story, live: set[str]) -> None:
    pulled.configure(FREQUENT.replace("orders_total >= 3", "spend_rank_pct <= 5"))
    pulled.ok("push", "--first")
    assert 0 < tagged(pulled) <= trial.MOST and len(trials(pulled)) == 1


def test_an_account_on_this_machine_needs_none(pulled: Story) -> None:
    pulled.ok("push", "--first")
    assert tagged(pulled) > 100 and trials(pulled) == []


def test_every_account_has_its_own_trial(pulled: Story, live: set[str]) -> None:
    pulled.configure(segments('["mailchimp", "hubspot"]'))
    pulled.run("push", "--first", "--platform", "mailchimp", "--limit", "10")
    live.add("hubspot")
    pulled.configure(segments('["mailchimp", "hubspot"]'))
    answer = pulled.run("push", "--first")
    assert answer.code == 2 and "HubSpot" in answer.err and "Mailchimp" not in answer.err and pulled.lists() == {}


def test_what_a_dead_write_leaves_is_no_trial(pulled: Story, live: set[str]) -> None:
    """Nothing was confirmed: the platform refused."""
    pulled.configure(FREQUENT)
    refuse = {"platform": "mailchimp", "match": f"/lists/{AUDIENCE}/segments", "kind": "500", "times": 99}
    pulled.control("faults", {"next": [refuse]})
    assert pulled.run("push", "--first", "--limit", "3").code != 0 and tagged(pulled) == 0
    pulled.control("faults", {"reset": True})
    assert trials(pulled) == [] and pulled.run("push", "--first").code == 2


def test_a_scheduled_run_makes_no_trial_and_says_what_waits_for_it(pulled: Story, live: set[str]) -> None:
    live.clear()
    newcomers(pulled, "00001", "00002", "00003")
    everybody = FREQUENT.replace("orders_total >= 3", "orders_total >= 1 and city <> 'Newtown'")
    pulled.configure(everybody)
    pulled.ok("push", "--first")
    live.add("mailchimp")
    before = pulled.tags()
    enter(pulled, "00001", "00002", "00003")

    answer = pulled.run("sync")
    assert answer.code == 3 and "waits for the trial" in answer.err and pulled.tags() == before
    assert "`rollcall push --platform mailchimp --limit 10`" in answer.err and trials(pulled) == []
    assert "left out of this trial" not in answer.text
    gone = min(before["Frequent"])
    pulled.change([gone.removesuffix("@shop.example")], consent="unsubscribed")
    pulled.run("sync")
    assert pulled.tags() == {"Frequent": before["Frequent"] - {gone}}, "who said no waits for nothing"
    assert trials(pulled) == []

    pulled.ok("push", "--limit", "1")
    assert len(trials(pulled)) == 1
    pulled.ok("sync")
    assert tagged(pulled) == len(before["Frequent"]) - 1 + 3


def test_the_trial_can_be_undone_and_is_then_to_be_made_again(pulled: Story, live: set[str]) -> None:
    pulled.configure(FREQUENT)
    run = pulled.run("push", "--first", "--limit", "10", "--json").json["run"]
    assert tagged(pulled) == trial.MOST
    pulled.run("undo", run)
    assert tagged(pulled) == 0 and trials(pulled) == []
    pulled.ok("segment", "resume", "Frequent")
    assert pulled.run("push", "--first").code == 2


def test_a_backup_of_another_account_brings_no_trial_with_it(pulled: Story, live: set[str], tmp_path: Path) -> None:
    pulled.configure(FREQUENT)
    pulled.run("push", "--first", "--limit", "10")
    pulled.ok("push", "--first")
    pulled.ok("backup", str(tmp_path / "kept"))
    (made,) = trials(pulled)
    pulled.edit_store(
        "DELETE FROM meta WHERE starts_with(name, 'trial:')",
        "UPDATE meta SET value = value || '-another' WHERE name = 'account:mailchimp'",
    )
    shutil.copy(newest(tmp_path / "kept"), tmp_path / "rollcall-2.zip")
    account = pulled.sql("SELECT value FROM meta WHERE name = 'account:mailchimp'")[0][0]
    refused = pulled.run("backup", "--restore", str(tmp_path / "rollcall-2.zip"), "--yes")
    assert refused.code == 1 and "another Mailchimp account" in refused.err and trials(pulled) == []
    pulled.edit_store(f"UPDATE meta SET value = '{account.removesuffix('-another')}' WHERE name = 'account:mailchimp'")
    pulled.ok("backup", "--restore", str(tmp_path / "rollcall-2.zip"), "--yes")
    assert trials(pulled) == [made] and made != f"trial:mailchimp:{account}"


def test_the_trial_of_another_account_does_not_count(pulled: Story, live: set[str]) -> None:
    pulled.edit_store("INSERT INTO meta (name, value) VALUES ('trial:mailchimp:another', 'r1')")
    assert pulled.run("push", "--first").code == 2 and pulled.writes() == []


def test_fields_alone_are_tried_with_ten_values(pulled: Story, live: set[str]) -> None:
    pulled.configure(NOBODY + FIELD)
    answer = pulled.run("push", "--first")
    assert answer.code == 2 and pulled.writes() == []
    made = pulled.run("push", "--first", "--limit", "10", "--json").json
    assert [f["done"] for f in made["fields"]] == [trial.MOST] and len(trials(pulled)) == 1
    assert "waits for your go-ahead" in pulled.run("plan").out, "a trial gives none"
    assert pulled.ok("push", "--first", "--json").json["fields"][0]["done"] > 100


def test_messages_to_a_webhook_elsewhere_are_tried_with_ten(pulled: Story, live: set[str], receiver: Receiver) -> None:
    live.clear()
    many = [f"{n:05d}" for n in range(1, 15)]
    newcomers(pulled, *many)
    begin(pulled, HOOK.format(on="enter", url=receiver.url, more=""))
    enter(pulled, *many)

    answer = pulled.run("sync")
    assert answer.code == 3 and "waits for the trial" in answer.err and receiver.got == []
    answer = pulled.run("push")
    assert answer.code == 2 and "trigger 'hook'" in answer.err and "hidden" not in answer.err and receiver.got == []
    assert '`rollcall push --segment "Known" --limit 10`' in answer.err
    pulled.run("push", "--segment", "Known", "--limit", "10")
    assert len(receiver.got) == trial.MOST and len(trials(pulled)) == 1
    pulled.run("sync")
    assert len(receiver.got) == len(many)


def test_mailchimp_events_alone_are_tried_with_ten(pulled: Story, live: set[str]) -> None:
    many = [f"{n:05d}" for n in range(1, 15)]
    newcomers(pulled, *many)
    pulled.configure(BASE.format(purpose="marketing").replace('["mailchimp"]', "[]") + EVENT.format(more=""))
    pulled.config.write_text(pulled.config.read_text().replace("orders_total >= 1", "orders_total >= 1 and city <> 'Newtown'"))
    pulled.ok("push", "--first")
    enter(pulled, *many)

    def events() -> int:
        return sum(w["kind"] == "member.event" for w in pulled.writes())

    assert pulled.run("sync").code == 3 and pulled.run("push").code == 2 and events() == 0
    pulled.run("push", "--limit", "10")
    assert events() == trial.MOST
    pulled.run("push")
    assert events() == len(many)


def test_a_saved_plan_needs_the_trial_too(pulled: Story, live: set[str]) -> None:
    pulled.ok("plan", "--out", "tonight.json")
    answer = pulled.run("apply", "tonight.json", "--first", "--segment", "Frequent")
    assert answer.code == 2 and '--segment "Frequent" --limit 10`' in answer.err and pulled.writes() == []
