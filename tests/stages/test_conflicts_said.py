"""A no in one place and a later yes in another is listed in the plan with both dates, and without the address."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from connector import planner
from connector.clock import as_of
from connector.config import load
from connector.consent import Conflict
from connector.progress import Silent
from connector.session import Session
from tests.stages.hand_shop import new_store

TOML = '[shop]\n[mailchimp]\ntoken = "env:ROLLCALL_NO_KEY"\naudience = "a"\n[privacy]\nlater_yes_wins = {wins}\n'


@pytest.mark.parametrize(("wins", "words"), [("false", "the no wins"), ("true", "the later yes wins")])
def test_both_dates_are_said_and_the_address_is_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wins: str, words: str
) -> None:
    monkeypatch.setenv("ROLLCALL_NO_KEY", "0123456789abcdef0123456789abcdef-us1")
    (tmp_path / "rollcall.toml").write_text(TOML.format(wins=wins))
    config = load(tmp_path / "rollcall.toml")
    s = Session(config, new_store(), "r1", as_of(None, "UTC"), Silent())
    for n in range(planner.MOST_CONFLICTS + 2):
        s.conflicts["mailchimp", f"c{n:02d}"] = Conflict(
            f"p{n}", f"c{n:02d}", "ana@shop.example", "Shopify", datetime(2026, 1, 2), datetime(2026, 3, 4)
        )
    lines = planner.conflicts(s)
    assert "said no on Shopify on 2026-01-02 and yes on Mailchimp on 2026-03-04" in lines[0] and words in lines[0]
    assert "ana@" not in "".join(lines) and lines[-1].startswith("2 more")
