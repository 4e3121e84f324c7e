"""API versions end: from 120 days before, every run says so; `check` always says when."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters import PLATFORMS, load
from adapters.base import Adapter, Version, ending_soon
from tests.stories.story import Story

TODAY = date(2026, 11, 21)


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (121, ""),
        (120, "Postbox API 1 ends on 2027-03-21, in 120 days. Update Rollcall before then"),
        (1, "Postbox API 1 ends on 2026-11-22, tomorrow."),
        (0, "Postbox API 1 ends on 2026-11-21, today."),
        (-1, "Postbox API 1 ended on 2026-11-20. Update Rollcall"),
    ],
)
def test_an_end_is_said_from_120_days_before(days: int, said: str) -> None:
    found = ending_soon([("Postbox API 1", TODAY + timedelta(days=days))], TODAY)
    assert len(found) == bool(said) and "".join(found).startswith(said)


def test_the_soonest_end_is_said_first_and_the_days_can_be_chosen() -> None:
    ends = [("B", TODAY + timedelta(days=60)), ("A", TODAY + timedelta(days=30)), ("C", TODAY + timedelta(days=90))]
    assert [s[0] for s in ending_soon(ends, TODAY)] == ["A", "B", "C"]
    assert [s[0] for s in ending_soon(ends, TODAY, days=45)] == ["A"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_of_our_adapters_lists_its_versions_the_newest_first(platform: str) -> None:
    versions = load(platform).versions()
    names = [v.name for v in versions]
    assert names and names == sorted(names, reverse=True) and len(set(names)) == len(names)
    ends = [v.until for v in versions if v.until]
    assert ends == sorted(ends, reverse=True) and all(until > TODAY for until in ends)


def test_an_adapter_that_lists_versions_says_the_end_of_the_one_it_speaks() -> None:
    class Listed(load("hubspot")):  # type: ignore[misc]  # any adapter, with the base's own `ends`
        title, ends = "Listed", Adapter.ends
        settings: dict[str, Any]

        def __init__(self, **settings: Any) -> None:
            self.settings = settings

        @classmethod
        def versions(cls) -> tuple[Version, ...]:
            return Version("2"), Version("1", date(2027, 3, 31))

    assert Listed().ends() == ()
    assert Listed(api_version="1").ends() == (("Listed API 1", date(2027, 3, 31)),)
    assert Listed(api_version="7").ends() == ()


def test_the_check_says_once_for_every_platform_until_when_its_version_works(tmp_path: Path) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text("customer_id,date,amount\n00001,2026-01-02,3.50\n")
    with Story(tmp_path / "shop", orders) as story:
        found = story.run("check").out
        assert len(re.findall("2027-10(-01)?", found)) == 1, found
        assert len(re.findall("2028-03", found)) == 1, found
        assert "Mailchimp has named no end date" in found
        story.configure(shopify='api_version = "2026-01"', hubspot='api_version = "2026-03"')
        found = story.run("check").out
        assert "2027-01-01" in found and "2027-09" in found
