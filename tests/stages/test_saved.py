"""A saved plan is carried out only as far as a plan of this moment would make the very same changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pytest

from connector import saved
from models.changes import Change, FieldChange, FieldPlan, Plan, Start, Target, TargetPlan, TriggerPlan
from models.errors import StalePlan, UsageError

NOW = datetime(2026, 11, 21, 12)
TARGET = Target("mailchimp", "VIP", "Rollcall: VIP", "7")


def plan(*contacts: str, email: str = "{}@x.example") -> Plan:
    changes = tuple(sorted(Change("mailchimp", "VIP", "add", c, email.format(c)) for c in contacts))
    target = TargetPlan(TARGET, "Rollcall: VIP", "7", False, 0, len(changes), 0, len(changes), changes=changes)
    return Plan(NOW, "2026-11-21", "digest", {"mailchimp": "account"}, (target,))


def written(folder: Path, made: Plan) -> Path:
    path = folder / "plan.json"
    path.write_bytes(orjson.dumps(made.to_json(), default=str))
    return path


def test_a_plan_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    made = plan("a", "b")
    assert saved.read(written(tmp_path, made)) == made


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, plan("a"))
    path.write_bytes(path.read_bytes().replace(b"a@x.example", b"z@x.example"))
    with pytest.raises(StalePlan, match="changed after it was made"):
        saved.read(path)


def test_an_address_somebody_wrote_into_the_plan_is_never_used() -> None:
    forged = plan("a", email="stranger@x.example")
    held, dropped = saved.what_still_holds(forged, plan("a"))
    assert [c.email for c in held.changes] == ["a@x.example"]
    assert dropped == 0


def test_what_would_no_longer_be_made_is_dropped_and_counted() -> None:
    many = [f"c{n:02d}" for n in range(40)]
    held, dropped = saved.what_still_holds(plan(*many), plan(*many[1:]))
    assert dropped == 1
    assert len(held.changes) == 39
    with pytest.raises(StalePlan, match="more than 5 %"):
        saved.what_still_holds(plan(*many), plan(*many[5:]))


def test_another_configuration_account_or_day_needs_a_new_plan() -> None:
    made = plan("a")
    with pytest.raises(StalePlan, match="configuration changed"):
        saved.what_still_holds(made, replace(made, config_digest="other"))
    with pytest.raises(StalePlan, match="Mailchimp could not be looked at just now"):
        saved.what_still_holds(made, replace(made, accounts={}))
    with pytest.raises(StalePlan, match="other accounts"):
        saved.what_still_holds(made, replace(made, accounts={"mailchimp": "another"}))
    with pytest.raises(StalePlan, match="older than"):
        saved.require_fresh(made, NOW + timedelta(hours=25))


@pytest.mark.parametrize("content", ["", "[]", '{"version": 99}', '{"version": 1}'])
def test_a_file_that_is_no_plan_is_refused_in_words(tmp_path: Path, content: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(UsageError):
        saved.read(path)


def test_an_automation_that_the_saved_plan_does_not_show_needs_a_new_plan() -> None:
    made = plan("a")
    welcome = Start("Welcome", "enter", 1, mails=1)
    now = replace(made, targets=tuple(replace(t, starts=(welcome,)) for t in made.targets))
    with pytest.raises(StalePlan, match="'Welcome'"):
        saved.what_still_holds(made, now)
    more = replace(made, targets=tuple(replace(t, starts=(replace(welcome, mails=2),)) for t in made.targets))
    with pytest.raises(StalePlan, match="'Welcome'"):
        saved.what_still_holds(now, more)
    assert saved.what_still_holds(now, now)[1] == 0
    assert saved.what_still_holds(now, made)[1] == 0, "one that was switched off since is no reason to refuse"


def test_a_trigger_that_has_begun_since_does_not_begin_again() -> None:
    """Beginning again, it would take whoever entered meanwhile, and was not told of yet, for somebody who was in before."""
    waiting = TriggerPlan("tell the till", "VIP", "enter", "webhook", waits_for_go_ahead=True)
    made = replace(plan("a"), triggers=(waiting,))
    begun = replace(made, triggers=(replace(waiting, waits_for_go_ahead=False),))
    assert saved.what_still_holds(made, made)[0].triggers == (waiting,)
    assert saved.what_still_holds(made, begun)[0].triggers == (replace(waiting, waits_for_go_ahead=False),)


def test_an_automation_for_who_leaves_is_no_reason_to_refuse_when_only_a_no_makes_somebody_leave() -> None:
    """The plan that is shown and carried out foretells it; and whoever said no is taken off whatever waits."""
    made = plan("a")
    off = Change("mailchimp", "VIP", "remove", "n", must=True)
    goodbye = Start("Goodbye", "leave", 1, mails=1)
    now = replace(
        made, targets=tuple(replace(t, before=1, left=1, changes=(*t.changes, off), starts=(goodbye,)) for t in made.targets)
    )
    held, more = saved.with_refusals(saved.what_still_holds(made, now)[0], now)
    assert (more, held.targets[0].starts) == (1, (goodbye,))
    assert [(c.kind, c.contact_id) for c in held.changes] == [("add", "a"), ("remove", "n")]
    assert (held.targets[0].entered, held.targets[0].left, held.targets[0].after) == (1, 1, 1)


def test_who_objected_to_being_profiled_since_loses_the_values_whether_or_not_the_plan_speaks_of_the_field() -> None:
    made = replace(plan("a"), fields=(FieldPlan("mailchimp", "clv", "RC_CLV", "number"),))
    cleared, other = FieldChange("n", "", must=True), FieldChange("o", "7")
    fields = tuple(FieldPlan("mailchimp", "x", name, "number", changes=(cleared, other)) for name in ("RC_CLV", "RC_TIER"))
    held, more = saved.with_refusals(made, replace(made, fields=fields))
    assert more == 2 and [(f.name, f.changes) for f in held.fields] == [("RC_CLV", (cleared,)), ("RC_TIER", (cleared,))]
