"""`sync`, night after night: only what changed is fetched and moved, and the report holds nobody's address."""

from __future__ import annotations

import html
import re
from typing import Any

from tests.stories.story import AS_OF, NAMES, Story, plan_of, segments

SYNC = ("sync", "--as-of", AS_OF)
STRICT = "[guards]\nmax_leave_pct = 0\nmax_enter_pct = 0\nmax_change_count = 0\nmin_members = 0\n"
PLACED = '\n[[segment]]\nname = "Placed"\nwhere = "city IS NOT NULL"\n'


def memberships(story: Story) -> set[tuple[Any, ...]]:
    return set(story.sql("SELECT segment, person_id FROM memberships WHERE left_on IS NULL"))


def people(story: Story) -> dict[str, str]:
    """Shopify's address -> person."""
    rows = story.sql("SELECT c.email, l.person_id FROM contacts c JOIN person_links l USING (source, contact_id)")
    return dict(rows)


def stored(answer: Any) -> dict[tuple[str, str], int]:
    return {(s["source"], s["stream"]): s["stored"] for s in answer.json["streams"] if s["stored"]}


def test_a_second_sync_stores_nothing_writes_nothing_and_says_so(pushed: Story) -> None:
    pushed.ok(*SYNC)
    written, held = len(pushed.writes()), memberships(pushed)

    second = pushed.ok(*SYNC)

    assert "Nothing had changed, nothing was written." in second.out
    assert re.search(r"= stored 0 \+ unchanged \d+ \+ set aside 0", second.out)
    assert len(pushed.writes()) == written
    assert memberships(pushed) == held


def test_a_plan_says_every_rule_in_words_also_where_nobody_moves(pushed: Story) -> None:
    plan = ("plan", "--as-of", AS_OF)
    says = {t["segment"]: t["says"] for t in pushed.ok(*plan, "--json").json["segments"]}
    shown = " ".join(pushed.ok(*plan).out.split())
    assert says.keys() == set(NAMES) and all(s.startswith("Everybody ") and s in shown for s in says.values())
    assert "Nothing would change" in shown


def test_the_report_is_there_and_holds_no_address(pushed: Story) -> None:
    page = pushed.ok(*SYNC, "--json").json["report"]

    text = (pushed.folder / "rollcall-report.html").read_text()
    assert page == str(pushed.folder / "rollcall-report.html")
    assert not re.search(r"[\w.+-]+@[\w-]+\.\w+", text)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    shop = pushed.ok("fields", "--json").json["shop"]
    assert [c["fifth"] for c in shop["rfm"]["rfm_m"]] == [1, 2, 3, 4, 5] and len(shop["says"]) == 4
    for name in ("Frequent", "Lapsed 180", "Top 10 percent", *(html.escape(line) for line in shop["says"])):
        assert name.replace("&#x27;", "&#39;") in text


def test_three_changed_customers_are_all_that_moves(pushed: Story) -> None:
    members = sorted(pushed.tags()["Frequent"])
    moved, refused, renamed = (m.removesuffix("@shop.example") for m in members[:3])
    pushed.configure(segments() + PLACED, more=STRICT)
    pushed.ok(*SYNC)
    before, who, tags, written = memberships(pushed), people(pushed), pushed.tags(), len(pushed.writes())
    pushed.change([moved], city="Bonn")
    pushed.change([refused], mailchimp={"consent": "unsubscribed"})
    pushed.change([renamed], shopify={"email": "new@shop.example"}, hubspot={"email": "new@shop.example"})

    answer = pushed.run(*SYNC, "--json")

    assert answer.code == 0, answer.text
    assert stored(answer) == {("shopify", "customers"): 2, ("hubspot", "contacts"): 2, ("mailchimp", "members"): 2}
    assert memberships(pushed) - before == {("Placed", who[f"{moved}@shop.example"])}
    assert before - memberships(pushed) == set()
    address = f"{refused}@shop.example"
    assert pushed.tags() == {name: held - {address} for name, held in tags.items()}
    assert {e["kind"] for e in pushed.writes()[written:]} == {"tag.remove"}
    assert "Nothing would change" in pushed.ok(*SYNC).out


def test_who_unsubscribes_leaves_the_tag_although_the_guards_park_everybody_else(pushed: Story) -> None:
    stricter = segments().replace("orders_total >= 3", "orders_total >= 4")
    pushed.configure(stricter, more=STRICT)
    pushed.ok("push", "--first", "--as-of", AS_OF)  # the changed rule has its go-ahead; from now on nothing may move
    kept = pushed.tags()["Frequent"]
    refused = min(kept)
    pushed.mailchimp("POST", f"segments/{pushed.tag_id('Frequent')}", {"members_to_remove": [max(kept)]})
    pushed.change([refused.removesuffix("@shop.example")], mailchimp={"consent": "unsubscribed"})

    answer = pushed.run(*SYNC, "--json")

    assert answer.code == 3, answer.text
    assert pushed.tags()["Frequent"] == kept - {refused, max(kept)}
    assert "guard max_enter_pct" in plan_of(pushed.run("plan", "--as-of", AS_OF, "--json"))["mailchimp", "Frequent"]["parked"]
    assert pushed.run(*SYNC).code == 0, "what is parked is known by now"


def test_a_dry_run_writes_nothing(pulled: Story) -> None:
    answer = pulled.run("sync", "--dry-run", "--as-of", AS_OF)
    assert answer.code == 3, "the go-ahead is missing, said for the first time"
    assert "--first" in answer.text and not pulled.writes()
    assert pulled.run("sync", "--dry-run", "--as-of", AS_OF).code == 0


def test_who_changes_the_address_in_mailchimp_and_then_unsubscribes_loses_the_tag(pushed: Story) -> None:
    renamed = min(pushed.tags()["Frequent"]).removesuffix("@shop.example")
    pushed.change([renamed], email="new@shop.example")
    pushed.ok(*SYNC)
    assert "new@shop.example" in pushed.tags()["Frequent"]
    assert pushed.sql(f"SELECT count(*) FROM contacts WHERE email = '{renamed}@shop.example' AND state = 'live'") == [(0,)]
    pushed.change([renamed], mailchimp={"consent": "unsubscribed"})
    pushed.ok(*SYNC)
    assert "new@shop.example" not in pushed.tags()["Frequent"]
