"""What an owner may decide about a pushed segment: approve a part, retire it, damp it, pin who was taken off by hand."""

from __future__ import annotations

from pathlib import Path

from tests.stories.story import AS_OF, Story, expected_members, segments

FIRST = ("push", "--first", "--as-of", AS_OF)
PUSH = ("push", "--as-of", AS_OF)
PLAN = ("plan", "--as-of", AS_OF)
FREQUENT = '[[segment]]\nname = "Frequent"\nwhere = "orders_total >= 3"\npush = ["mailchimp"]\n'


def test_a_go_ahead_for_one_segment_fills_that_one_only(pulled: Story, few_orders: Path) -> None:
    expected = expected_members(few_orders)
    pulled.ok(*FIRST, "--segment", "Frequent")
    assert pulled.tags() == {"Frequent": expected["Frequent"]}
    plan = {t["segment"]: t for t in pulled.run(*PLAN, "--json").json["segments"]}
    assert plan["Frequent"]["entered"] == 0 and not plan["Frequent"]["waits_for_go_ahead"]
    assert plan["Lapsed 180"]["waits_for_go_ahead"]


def test_a_saved_plan_is_approved_in_parts(pulled: Story, few_orders: Path) -> None:
    expected = expected_members(few_orders)
    pulled.ok(*PLAN, "--out", "all.json")
    pulled.ok("apply", "all.json", "--first", "--segment", "Lapsed 180", "--as-of", AS_OF)
    assert pulled.tags() == {"Lapsed 180": expected["Lapsed 180"]}
    unknown = pulled.run("apply", "all.json", "--segment", "Lapsd 180", "--as-of", AS_OF)
    assert unknown.code == 2 and "Lapsed 180" in unknown.err
    elsewhere = pulled.run("apply", "all.json", "--platform", "hubspot", "--as-of", AS_OF)
    assert elsewhere.code == 2 and "holds nothing" in elsewhere.err


def test_a_go_ahead_for_a_saved_plan_is_none_for_what_was_imported_since(pulled: Story) -> None:
    pulled.ok(*PLAN, "--out", "all.json")
    (pulled.folder / "old.csv").write_text("email,date,amount\nsomebody@shop.example,1990-05-01,10.00\n")
    pulled.ok("import", "orders", "old.csv")
    late = pulled.run("apply", "all.json", "--first", "--as-of", AS_OF)
    assert late.code == 4 and "brought more since" in late.err and not pulled.writes()
    pulled.ok(*PLAN, "--out", "all.json")
    pulled.ok("import", "orders", "old.csv")
    pulled.ok("apply", "all.json", "--first", "--as-of", AS_OF)


def test_a_plan_can_be_pasted_as_markdown(pulled: Story) -> None:
    pulled.configure(segments().replace('"Frequent"', '"Fre|quent *now*"'))
    out = pulled.ok(*PLAN, "--markdown").out
    assert "| Written as | Segment |" in out and "|---|---|---:|" in out
    row = next(line for line in out.splitlines() if line.startswith("| Mailchimp tag Rollcall: Fre"))
    assert "Fre\\|quent \\*now\\*" in row and "@shop.example" not in out


def test_a_retired_segment_leaves_nobody_tagged_and_only_what_we_added_goes(pulled: Story, few_orders: Path) -> None:
    pulled.ok(*FIRST)
    expected = expected_members(few_orders)
    stranger = min(expected["Lapsed 180"] - expected["Frequent"])
    pulled.mailchimp("POST", f"segments/{pulled.tag_id('Frequent')}", {"members_to_add": [stranger]})

    pulled.configure(segments().replace('name = "Frequent"\n', 'name = "Frequent"\nretire = true\n'))
    waiting = pulled.run(*PUSH)
    assert waiting.code == 3 and "go-ahead" in waiting.text and pulled.tags()["Frequent"] == expected["Frequent"] | {stranger}

    pulled.ok(*FIRST)
    assert pulled.tags()["Frequent"] == {stranger}
    assert pulled.tags()["Lapsed 180"] == expected["Lapsed 180"]
    pulled.ok(*PUSH)
    plan = pulled.ok(*PLAN, "--json").json
    assert "Frequent" not in {t["segment"] for t in plan["segments"]} and not plan["notes"]
    assert pulled.tags()["Frequent"] == {stranger}


def test_a_retired_segment_can_be_brought_back_by_undo(pulled: Story, few_orders: Path) -> None:
    pulled.ok(*FIRST)
    pulled.configure(segments().replace('name = "Frequent"\n', 'name = "Frequent"\nretire = ["mailchimp"]\n'))
    run = pulled.ok(*FIRST, "--json").json["run"]
    assert pulled.tags()["Frequent"] == set()
    pulled.ok("undo", run, "--as-of", AS_OF)
    assert pulled.tags()["Frequent"] == expected_members(few_orders)["Frequent"]


def test_a_segment_that_vanished_from_the_configuration_is_named_and_left_as_it_is(pulled: Story, few_orders: Path) -> None:
    pulled.ok(*FIRST)
    pulled.configure("".join(b for b in segments().partition('[[segment]]\nname = "Lapsed 180"')[1:]))
    plan = pulled.ok(*PLAN, "--json").json
    assert len(plan["notes"]) == 1 and "'Rollcall: Frequent'" in plan["notes"][0] and "retire = true" in plan["notes"][0]
    pulled.ok(*PUSH)
    assert pulled.tags()["Frequent"] == expected_members(few_orders)["Frequent"]


def test_who_carries_a_tag_keeps_it_while_the_second_rule_holds(pulled: Story, few_orders: Path) -> None:
    before = expected_members(few_orders)["Frequent"]
    pulled.configure(FREQUENT)
    pulled.ok(*FIRST)
    stricter = FREQUENT.replace(">= 3", ">= 5")
    pulled.configure(stricter + 'stays_while = "orders_total >= 4"\n')
    counts = {f"{i}@shop.example": n for i, n in _orders(few_orders).items()}
    pulled.ok(*FIRST)
    assert pulled.tags()["Frequent"] == {a for a in before if counts[a] >= 4}
    plan = pulled.ok(*PLAN, "--json").json["segments"][0]
    staying = sum(counts[a] == 4 for a in before)
    assert plan["left"] == 0 and f"{staying} no longer match the rule and stay" in plan["notes"][0]


def test_a_faulty_second_rule_is_answered_with_the_nearest_name(pulled: Story) -> None:
    pulled.configure(FREQUENT + 'stays_while = "order_total >= 2"\n')
    answer = pulled.run(*PLAN)
    assert answer.code == 2 and "orders_total" in answer.err


def test_who_was_taken_off_by_hand_is_pinned_where_the_owner_says_so(pulled: Story, few_orders: Path) -> None:
    pulled.configure(FREQUENT, more='[push]\nuntagged_by_hand = "pin"')
    pulled.ok(*FIRST)
    members = expected_members(few_orders)["Frequent"]
    out = min(members)
    pulled.mailchimp("POST", f"segments/{pulled.tag_id('Frequent')}", {"members_to_remove": [out]})
    answer = pulled.ok(*PUSH)
    assert "pinned: never again" in answer.out
    assert pulled.tags()["Frequent"] == members - {out}
    pulled.ok("segment", "pin", "Frequent", out, "--remove")
    pulled.ok(*PUSH)
    assert pulled.tags()["Frequent"] == members


def _orders(path: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for line in path.read_text().splitlines()[1:]:
        customer = line.split(",")[0]
        counts[customer] = counts.get(customer, 0) + 1
    return counts


def test_a_lost_ledger_is_rebuilt_from_the_platforms_when_the_owner_agrees(pushed: Story, few_orders: Path) -> None:
    members = expected_members(few_orders)["Frequent"]
    stranger = min(expected_members(few_orders)["Lapsed 180"] - members)
    pushed.mailchimp("POST", f"segments/{pushed.tag_id('Frequent')}", {"members_to_add": [stranger]})
    pushed.edit_store("DELETE FROM ledger", "DELETE FROM ledger_objects")
    notes = {t["segment"]: t["notes"] for t in pushed.ok(*PLAN, "--json").json["segments"]}
    assert "we did not make it" in notes["Frequent"][0]

    asked = pushed.run("ledger", "rebuild", "--as-of", AS_OF)
    assert asked.code == 2 and "--yes" in asked.err and not pushed.ok("ledger", "show", "--json").json["objects"]

    found = pushed.ok("ledger", "rebuild", "--yes", "--as-of", AS_OF, "--json").json["proposals"]
    frequent = next(p for p in found if p["segment"] == "Frequent")
    assert frequent["is_new"] and frequent["members"] == frequent["count_as_ours"] + frequent["others"]
    assert (frequent["count_as_ours"], frequent["others"]) == (len(members), 1)
    pushed.configure(segments().replace("orders_total >= 3", "orders_total >= 5"))
    pushed.ok(*FIRST)
    assert stranger in pushed.tags()["Frequent"] and len(pushed.tags()["Frequent"]) < len(members)
    assert "nothing to rebuild" in pushed.ok("ledger", "rebuild", "--as-of", AS_OF).out


def test_a_ledger_from_an_old_backup_learns_what_was_written_since(pushed: Story, few_orders: Path) -> None:
    members = expected_members(few_orders)["Frequent"]
    pushed.edit_store("DELETE FROM ledger WHERE contact_id IN (SELECT contact_id FROM ledger ORDER BY 1 LIMIT 5)")
    found = pushed.ok("ledger", "rebuild", "--yes", "--as-of", AS_OF, "--json").json["proposals"]
    frequent = next(p for p in found if p["segment"] == "Frequent")
    assert not frequent["is_new"] and frequent["count_as_ours"] == len(members) > frequent["known_before"]
    assert pushed.ok("runs", "verify").code == 0


def test_an_undo_that_a_guard_holds_back_is_only_partly_done(pushed: Story) -> None:
    pushed.configure(more="[guards]\nmin_members = 0\nmax_leave_pct = 0\n")
    ((run,),) = pushed.sql("SELECT max(run_id) FROM journal")
    answer = pushed.run("undo", run, "--as-of", AS_OF)
    assert answer.code == 3 and "guard max_leave_pct" in answer.err and "Nothing was written" in answer.out
