"""Looking at segments leaves no history behind, nor does a day yet to come; what earlier versions left there thaws."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from connector import ask, clock, report, sync
from connector.config import Config
from connector.session import Session, session
from connector.store import Store
from tests.stages.hand_shop import contact, order, shop_config

QUIET = "days_since_order > 90"
AHEAD = date(2999, 1, 1)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = shop_config({"name": "Buyers", "where": "orders_total > 0"}, {"name": "Quiet", "where": QUIET}, timezone="UTC")
    made = made.model_copy(update={"path": tmp_path / "rollcall.toml"})
    with session(made, "sync") as s:
        s.store.insert("contacts", [contact("shopify", p, email=f"{p}@x.de") for p in ("ann", "bob", "cid")])
        buy(s.store, "1", "ann")
        sync.derive(s, sync.resolved(made))
    return made


def buy(store: Store, number: str, who: str) -> None:
    at = clock.now_utc() - timedelta(days=10)
    store.insert("orders", [order("shopify", number, who, f"{at:%Y-%m-%d %H:%M:%S}", "40")])


def history(s: Session) -> list[tuple[object, ...]]:
    stays = s.store.sql("SELECT segment, person_id, entered_on, left_on, entered_run, left_run FROM memberships ORDER BY ALL")
    return stays + s.store.sql("SELECT * FROM segment_counts ORDER BY ALL")


def shown(s: Session) -> dict[str, tuple[str, ...]]:
    found = report.content(s.store, s.config, s.as_of, plan=None, says={}, counts=s.counts)["segments"]
    return {r["name"]: (r["before"], r["entered"], r["left"], r["after"]) for r in found}


def test_a_command_that_only_looks_leaves_history_and_the_reports_numbers_as_the_run_left_them(config: Config) -> None:
    with session(config, "segment list", records=False) as s:
        kept = history(s)
        buy(s.store, "2", "bob")
        assert {g["name"]: g["people"] for g in ask.sizes(s)} == {"Buyers": 2, "Quiet": 0}
        assert history(s) == kept
        assert shown(s) == {"Buyers": ("0", "1", "0", "1"), "Quiet": ("0", "0", "0", "0")}, "what the run of the day did"
    with session(config, "sync") as s:
        assert [c.entered for c in sync.derive(s, sync.resolved(config))] == [1, 0], "the look took nobody's entering away"


def test_the_report_of_a_day_that_no_run_has_counted_shows_how_segments_stand(config: Config) -> None:
    with session(config, "report", as_of=AHEAD, records=False) as s:
        sync.derive(s, sync.resolved(config))
        assert shown(s) == {"Buyers": ("1", "0", "0", "1"), "Quiet": ("0", "1", "0", "1")}


@pytest.mark.parametrize("records", [True, False])
def test_a_look_at_a_day_yet_to_come_keeps_nothing(config: Config, records: bool) -> None:
    with session(config, "plan", as_of=AHEAD, records=records) as s:
        kept = history(s)
        assert [c.after for c in sync.derive(s, sync.resolved(config))] == [1, 1]
        assert history(s) == kept


@pytest.mark.parametrize("run", ["preview", "plan"])
def test_a_store_that_a_look_ahead_froze_in_an_earlier_version_thaws(config: Config, run: str) -> None:
    today = clock.local_day(clock.now_utc(), "UTC")
    with session(config, "plan", as_of=AHEAD) as s:
        ahead = s.run_id if run == "plan" else run
        s.store.sql("UPDATE memberships SET left_on = ?, left_run = ?", [AHEAD, ahead])
        s.store.sql("INSERT INTO memberships SELECT 'Quiet', person_id, ?, NULL, ?, NULL FROM memberships", [AHEAD, ahead])
        s.store.sql("INSERT INTO segment_counts SELECT * REPLACE (? AS run_id, ? AS as_of) FROM segment_counts", [ahead, AHEAD])
    with session(config, "sync") as s:
        buy(s.store, "2", "bob")
        counts = {c.segment: (c.before, c.entered, c.left, c.after) for c in sync.derive(s, sync.resolved(config))}
        assert counts == {"Buyers": (1, 1, 0, 2), "Quiet": (0, 0, 0, 0)}
        stays = s.store.sql("SELECT segment, entered_on, left_on FROM memberships ORDER BY ALL")
        assert stays == [("Buyers", today, None)] * 2
        assert s.store.value("SELECT max(as_of) FROM segment_counts") == today


def test_a_night_with_the_clock_far_ahead_holds_back_none_of_the_nights_after_it(config: Config) -> None:
    with session(config, "sync", as_of=AHEAD) as s:
        s.store.sql("UPDATE runs SET started_at = ? WHERE run_id = ?", [AHEAD, s.run_id])
        s.now = lambda: clock.midnight_utc(AHEAD, "UTC")
        sync.derive(s, sync.resolved(config))
        assert s.store.value("SELECT max(entered_on) FROM memberships") == AHEAD
    with session(config, "sync") as s:
        buy(s.store, "2", "bob")
        counts = {c.segment: (c.before, c.entered, c.left, c.after) for c in sync.derive(s, sync.resolved(config))}
        assert counts == {"Buyers": (1, 1, 0, 2), "Quiet": (1, 0, 1, 0)}
        assert s.store.value("SELECT count(*) FROM memberships WHERE left_on < entered_on") == 0


def test_the_reports_net_revenue_is_that_of_the_profiles(config: Config) -> None:
    with session(config, "report", records=False) as s:
        at = f"{clock.now_utc() - timedelta(days=9):%Y-%m-%d %H:%M:%S}"
        s.store.insert("orders", [order("shopify", "3", "bob", at, "100"), order("shopify", "4", "bob", at, "-40")])
        sync.derive(s, sync.resolved(config))
        figures = {f["label"]: f["value"] for f in report.content(s.store, config, s.as_of, plan=None, says={})["figures"]}
        assert s.store.value("SELECT sum(revenue_total) FROM profile") == Decimal(100)
        assert (figures["Net revenue"], figures["Net revenue, 365 days"], figures["Orders"]) == ("100.00", "100.00", "2")


def test_the_history_says_when_and_why_somebody_came_and_went(config: Config) -> None:
    def told(s: Session) -> set[tuple[str, bool]]:
        stays = ask.segment_history(s, "buyers", None)["stays"]
        assert all(m["happened_at"] and m["run"] for m in stays)
        return {(m["reason"], m["left_on"] is None) for m in stays}

    with session(config, "sync") as s:
        buy(s.store, "2", "bob")
        sync.derive(s, sync.resolved(config))
        assert told(s) == {("the first count kept of this segment", True), ("by the rule", True)}
    harder = config.model_copy(update={"segment": (config.segment[0].model_copy(update={"where": "orders_total > 1"}),)})
    with session(harder, "sync") as s:
        sync.derive(s, sync.resolved(harder))
        assert told(s) == {("the rule was changed", False)}
    with session(config, "sync") as s:
        sync.derive(s, sync.resolved(config))
        assert told(s) == {("the rule was changed", False), ("the rule was changed", True)}
    with session(config.model_copy(update={"segment": ()}), "sync") as s:
        sync.derive(s, [])
        assert ("the segment was taken out", False) in told(s)
