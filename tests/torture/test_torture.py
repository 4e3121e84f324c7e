"""A bad night, on purpose: one request in twenty fails in every way there is, records change while they are read, and the
process is killed again and again. What is in the store at the end must be what the platform has, each record once.

The seeds are printed. `make torture` runs all of it; `make test` one short night for each platform.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from connector.sandbox.faults import KINDS
from tests.torture.drama import Case, Stage, torture
from tests.torture.night import Moment

CASES = {
    "shopify": Case(
        "shopify", 150, 0,
        backfill=(Moment("customers", "customers", 0.7), Moment("orders", "orders", 0.4, at_once=True),
                  Moment("orders", "orders", 0.8)),
        pull=(Moment("customers", "customers", 0.8), Moment("orders", "orders", 0.5, at_once=True),
              Moment("orders", "orders", 0.8)),
        full=(Moment("customers", "customers", 0.7), Moment("orders", "orders", 0.3, at_once=True),
              Moment("orders", "orders", 0.7)),
    ),
    "mailchimp": Case(
        "mailchimp", 150, 12,
        backfill=(Moment("members", "members", 0.7), Moment("activity", "email-activity", 0.4, at_once=True),
                  Moment("activity", "email-activity", 0.8)),
        pull=(Moment("members", "members", 0.6), Moment("members", "members", 0.8, at_once=True),
              Moment("activity", "email-activity", 0.6)),
        full=(Moment("members", "members", 0.5), Moment("shop_orders", "orders", 0.5, at_once=True),
              Moment("shop_orders", "orders", 0.8)),
    ),
    "hubspot": Case(
        "hubspot", 2900, 3,
        backfill=(Moment("contacts", "contacts list", 0.4), Moment("contacts", "contacts list", 0.8, at_once=True),
                  Moment("orders", "orders list", 0.5)),
        pull=(Moment("contacts", "contacts search", 0.7), Moment("contacts", "contacts batch", 0.8, at_once=True),
              Moment("orders", "orders batch", 0.7)),
        full=(Moment("contacts", "contacts list", 0.5), Moment("orders", "orders list", 0.4, at_once=True),
              Moment("orders", "orders list", 0.8)),
    ),
}  # fmt: skip
"""HubSpot has more than two thousand contacts, so that ranges of them are read side by side."""

JOBS = {
    "shopify bulk": Case(
        "shopify", 150, 0, settings={"bulk": "always"}, switches={"bulk_polls": 3}, spared="start",
        endings=("INTERNAL_SERVER_ERROR", "", "", "EXPIRED", "", "CANCELED", "", "TIMEOUT", "", "EXPIRED", "EXPIRED", "EXPIRED"),
        backfill=(Moment("customers", "poll customers", nth=2), Moment("customers", "download customers", nth=1),
                  Moment("orders", "poll orders", nth=2)),
        pull=(Moment("orders", "orders", 0.5, at_once=True),),
    ),
    "mailchimp batches": Case(
        "mailchimp", 150, 12, settings={"batch_campaigns": 2, "batch_pages": 2, "ecommerce": "never"},
        switches={"batch_polls": 2, "batch_split": 5, "batch_errors": ["mr00000070", "mr00000075"]}, spared="start",
        backfill=(Moment("activity", "poll", nth=3), Moment("activity", "download", nth=1),
                  Moment("activity", "email-activity", 0.7)),
        pull=(Moment("activity", "email-activity", 0.6),),
    ),
}  # fmt: skip
"""Exports on the platform's side, killed while they are waited for and while their files are fetched."""

SHORT = {
    "shopify": Case(
        "shopify", 30, 0, settings={"page_size": 10},
        backfill=(Moment("orders", "orders", nth=6, at_once=True),), pull=(Moment("orders", "orders", nth=4),),
    ),
    "mailchimp": Case(
        "mailchimp", 60, 2, settings={"page_size": 8, "ecommerce": "never"},
        backfill=(Moment("members", "members", nth=6, at_once=True),), pull=(Moment("members", "members", nth=14),),
    ),
    "hubspot": Case(
        "hubspot", 450, 1, backfill=(Moment("contacts", "contacts list", nth=4, at_once=True),),
        pull=(Moment("contacts", "contacts batch", nth=4),),
    ),
}  # fmt: skip


def check_night(s: Stage, kills: int) -> None:
    assert s.kills == kills == len(s.case.backfill + s.case.pull + s.case.full)
    assert not s.night.deck, f"never dealt: {s.night.deck}"


@pytest.mark.parametrize("case", SHORT)
def test_a_short_bad_night(case: str, tmp_path: Path) -> None:
    s = torture(SHORT[case], 1, tmp_path, kinds=KINDS)
    assert s.kills == 2 and len(s.night.log) >= 5


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("case", CASES)
def test_a_bad_night(case: str, seed: int, tmp_path: Path) -> None:
    check_night(torture(CASES[case], seed, tmp_path), 9)


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("case", JOBS)
def test_a_bad_night_of_exports(case: str, seed: int, tmp_path: Path) -> None:
    s = torture(JOBS[case], seed, tmp_path)
    assert not s.night.endings
    check_night(s, 4)
