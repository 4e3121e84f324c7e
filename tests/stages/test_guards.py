"""A source that lost many of its records stops a run, until the owner has said that the loss is right."""

from __future__ import annotations

from datetime import datetime

import pytest

from connector import choices, guards
from connector.config import Config
from connector.store import MEMORY, Store

CONFIG = Config.model_validate({"shop": {}, "mailchimp": {"token": "env:KEY", "audience": "a1"}})
NOW = datetime(2026, 11, 21, 12)


def stopped(store: Store, *nights: tuple[str, int | str]) -> list[bool]:
    """Night by night: a pull that found so many contacts, or a guard that is overridden. Was the run stopped?"""
    found = []
    store.insert("cursors", [{"source": "mailchimp", "stream": "members", "is_complete": True}])
    for run_id, what in nights:
        if isinstance(what, str):
            choices.allow(store, (what,), "cleaned the list", NOW, run_id)
        else:
            row = {"run_id": run_id, "source": "mailchimp", "stream": "members", "platform_total": what, "is_complete": True}
            store.insert("stream_counts", [row])
        found.append(bool(guards.stops(store, CONFIG)))
    return found


@pytest.mark.parametrize(
    ("nights", "expected"),
    [
        ((("01", 100), ("02", 80), ("03", "shrunken_source"), ("04", 80), ("05", 79)), [False, True, False, False, False]),
        ((("01", 100), ("02", 80), ("03", "shrunken_source"), ("04", 60)), [False, True, False, True]),
        ((("01", 100), ("02", "shrunken_source"), ("03", 80), ("04", 80)), [False, False, True, True]),
        ((("01", 100), ("02", "max_enter_pct"), ("03", 80)), [False, False, True]),
    ],
)
def test_a_loss_the_owner_agreed_to_stops_no_later_night_and_the_next_loss_does(
    nights: tuple[tuple[str, int | str], ...], expected: list[bool]
) -> None:
    assert stopped(Store(MEMORY), *nights) == expected
