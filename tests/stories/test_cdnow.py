"""Real purchase histories travel the whole way through HTTP, and plain pandas agrees with what arrives."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
import requests

from tests.stories.story import (
    AS_OF,
    CDNOW,
    MAILCHIMP,
    NAMES,
    Answer,
    Story,
    expected_members,
    plan_of,
    process,
    rollcall,
    write_orders,
)

FIRST = ("push", "--first", "--as-of", AS_OF)
PLAN = ("plan", "--as-of", AS_OF, "--json")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CDNOW's own sample of 2,357 customers; where the file is absent, a made one of the same size."""
    path = tmp_path_factory.mktemp("cdnow") / "sample.csv"
    if not CDNOW.exists():
        return write_orders(path, customers=2357, seed=3)
    rows = pd.read_csv(CDNOW, dtype=str)
    rows[rows.in_sample == "True"].to_csv(path, index=False)
    return path


@pytest.fixture
def shop(tell: Callable[..., Story], sample: Path) -> Story:
    return tell(sample)


def totals(path: Path) -> tuple[int, Decimal]:
    rows = pd.read_csv(path, dtype=str)
    return len(rows), sum((Decimal(a) for a in rows.amount), Decimal(0))


def stream(answer: Answer, source: str, name: str) -> dict[str, int]:
    (found,) = [s for s in answer.json["streams"] if (s["source"], s["stream"]) == (source, name)]
    return found  # type: ignore[no-any-return]  # it comes out of JSON


def test_tags_on_the_platform_equal_plain_pandas(shop: Story, sample: Path) -> None:
    count, money = totals(sample)
    expected = expected_members(sample)

    backfill = shop.ok("backfill", "--json")

    orders = stream(backfill, "shopify", "orders")
    assert (orders["fetched"], orders["stored"], orders["set_aside"]) == (count, count, 0)
    for s in backfill.json["streams"]:
        assert s["fetched"] == s["stored"] + s["unchanged"] + s["set_aside"]
        assert s["platform_total"] in (None, s["stored"])
    assert shop.sql("SELECT count(*), sum(net) FROM orders") == [(count, money)]
    before = plan_of(shop.ok(*PLAN))
    assert {n: before["mailchimp", n]["entered"] for n in NAMES} == {n: len(expected[n]) for n in NAMES}
    assert not shop.writes(), "planning writes nothing"

    shop.ok(*FIRST)

    assert shop.tags() == expected
    again = shop.ok(*PLAN).json
    assert not again["has_changes"]
    assert all(t["before"] + t["entered"] - t["left"] == t["after"] == t["before"] for t in again["segments"])


def test_what_was_changed_by_hand_since_the_push_appears_in_the_plan_and_a_tag_set_by_hand_stays(
    pushed: Story, few_orders: Path
) -> None:
    expected = expected_members(few_orders)["Frequent"]
    everybody = {f"{i}@shop.example" for i in pd.read_csv(few_orders, dtype=str).customer_id}
    taken_out, outsider = min(expected), min(everybody - expected)
    tag = pushed.tag_id("Frequent")
    pushed.mailchimp("POST", f"segments/{tag}", {"members_to_add": [outsider], "members_to_remove": [taken_out]})

    plan = plan_of(pushed.ok(*PLAN, "--addresses"))["mailchimp", "Frequent"]

    assert [(c["who"], c["kind"]) for c in plan["sample"]] == [(taken_out, "add")]
    assert plan["drift"] == {"tagged_by_hand": 1, "untagged_by_hand": 1}
    assert (plan["before"], plan["entered"], plan["left"], plan["after"]) == (len(expected), 1, 0, len(expected) + 1)
    pushed.ok("push", "--as-of", AS_OF)
    assert pushed.tags()["Frequent"] == expected | {outsider}
    after = plan_of(pushed.ok(*PLAN))["mailchimp", "Frequent"]
    assert (after["entered"], after["left"], after["drift"]) == (0, 0, {"tagged_by_hand": 1})


@pytest.fixture
def served(tmp_path: Path, few_orders: Path) -> Iterator[tuple[Path, str]]:
    """The folder and the address of `rollcall sandbox serve` as a process of its own; it must end well."""
    folder = tmp_path / "served"
    server = process(tmp_path, "sandbox", "serve", "--orders", str(few_orders), "--port", "0", "--dir", str(folder))
    try:
        assert server.stdout is not None
        word, _, url = server.stdout.readline().strip().partition(" ")
        assert word == "ready"
        yield folder, url
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=20)
        assert (server.returncode, out, err) == (0, "", "")
    finally:
        server.kill()
        server.communicate()


def test_the_same_with_processes_of_their_own(served: tuple[Path, str], few_orders: Path) -> None:
    folder, url = served
    assert url.startswith("http://127.0.0.1:")
    assert {p.stat().st_mode & 0o777 for p in (folder / "secrets").iterdir()} == {0o600}
    assert "guards" not in (folder / "rollcall.toml").read_text()
    outcomes = []
    for args in (("backfill",), FIRST, PLAN):
        run = process(folder, *args)
        out, err = run.communicate(timeout=120)
        outcomes.append((run.returncode, err))
    assert outcomes == [(0, ""), (0, ""), (0, "")]
    assert not Answer(0, out, "").json["has_changes"]
    tags = requests.get(f"{url}/control/state", timeout=30).json()["mailchimp"]["tags"]
    assert {n.removeprefix("Rollcall: "): set(t["members"]) for n, t in tags.items()} == expected_members(few_orders)
    if os.name == "posix":
        assert {p.stat().st_mode & 0o777 for p in folder.glob("rollcall.duckdb*")} == {0o600}


def test_a_token_of_somebody_else_is_refused_by_the_simulators(story: Story) -> None:
    wrong = {k: v[:-6] + "000000" for k, v in MAILCHIMP.items()}
    assert requests.get(f"{story.url}/mailchimp/3.0/ping", headers=wrong, timeout=10).status_code == 401


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not CDNOW.exists(), reason="the whole CDNOW file is not beside the repository")
def test_the_whole_file(tmp_path: Path) -> None:
    with Story(tmp_path / "whole", CDNOW) as shop:
        shop.ok("backfill")
        assert shop.sql("SELECT count(*), sum(net) FROM orders") == [(69_659, Decimal("2500315.63"))]
        plan = plan_of(shop.ok(*PLAN))
        assert [plan["mailchimp", n]["entered"] for n in NAMES] == [7_583, 18_210, 2_357]
        shop.ok(*FIRST)
        assert shop.tags() == expected_members(CDNOW)
        assert not rollcall(shop.folder, *PLAN).json["has_changes"]
