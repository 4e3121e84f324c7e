"""One platform is down for three days: the others go on being read, nothing is pushed from half the facts, and it heals."""

from __future__ import annotations

from pathlib import Path

from tests.stories.story import AS_OF, Story, expected_members

SYNC = ("sync", "--as-of", AS_OF)
PATIENCE = {"shopify": "tries = 1", "mailchimp": "tries = 1", "hubspot": "tries = 1"}


def test_a_platform_that_is_down_for_three_days_costs_nobody_anything(pulled: Story, few_orders: Path) -> None:
    pulled.configure(**PATIENCE)
    pulled.ok("push", "--first", "--as-of", AS_OF)
    expected = expected_members(few_orders)
    pulled.ok(*SYNC)
    refused, moved = sorted(expected["Frequent"])[:2]

    pulled.control("faults", {"down": ["hubspot"]})
    pulled.change([refused.removesuffix("@shop.example")], shopify={"consent": "unsubscribed"})
    first = pulled.run(*SYNC)
    assert first.code in (1, 4) and "HubSpot" in first.text and "Traceback" not in first.text
    tags = pulled.tags()
    assert all(refused not in people for people in tags.values()), "a no is taken off at once, whoever is down"
    assert tags["Frequent"] == expected["Frequent"] - {refused}

    for day in range(2):
        pulled.edit_store("UPDATE cursors SET pulled_at = pulled_at - INTERVAL 36 HOUR WHERE source = 'hubspot'")
        pulled.change([moved.removesuffix("@shop.example")], mailchimp={"city": f"Town {day}"})
        later = pulled.run(*SYNC)
        assert later.code in (1, 4) and "HubSpot" in later.text
    pulled.mailchimp("POST", f"segments/{pulled.tag_id('Frequent')}", {"members_to_remove": [moved]})
    held = pulled.run("push", "--as-of", AS_OF, "--json")
    plan = next(t for t in held.json["plan"]["segments"] if t["segment"] == "Frequent")
    assert plan["held"] == 1 and "72 hours ago" in plan["parked"], "nobody enters while the facts are old"
    assert moved not in pulled.tags()["Frequent"]

    pulled.control("faults", {"reset": True})
    pulled.change(["00007"], hubspot={"consent": "opted_out"})
    pulled.ok(*SYNC)
    gone = {refused, "00007@shop.example"}
    assert pulled.tags() == {name: people - gone for name, people in expected.items()}
    assert not pulled.ok("plan", "--as-of", AS_OF, "--json").json["has_changes"]
