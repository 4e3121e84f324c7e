"""Any text at all through what shows, saves, sends and reads it: the terminal, the page, spreadsheets, requests."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest
import responses
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.answers import loads
from adapters.http import Http
from connector import charts, config, report, runs, show
from connector.cli.screen import Options, say
from connector.exports import safe
from connector.plain import json_text, visible
from connector.store import Store
from models.changes import Change, Plan, Target, TargetPlan
from models.errors import PermanentApiError
from models.people import StreamCount
from models.segments import AsOf
from tests.laws import hostile
from tests.laws.hostile_eyes import COLOURS, CONTROLS, PROFILE, Page, read_page, texts, tried
from tests.stages.hand_shop import derive, shop_config
from tests.stories.story import rollcall

# ---- the terminal


@tried(60)
@given(text=texts)
def test_a_shown_text_is_one_line_that_moves_nothing_and_hides_nothing(text: str) -> None:
    shown = visible(text)
    assert not CONTROLS.search(shown) and "\n" not in shown
    shown.encode()
    assert len(shown) >= len(text)


@tried(60)
@given(text=texts)
def test_json_for_a_terminal_reads_back_to_the_very_text(text: str) -> None:
    shown = json_text({text: [text]})
    assert not CONTROLS.search(shown)
    assert json.loads(shown) == {text: [text]}


@tried(40)
@given(cells=st.lists(texts, min_size=1, max_size=4))
def test_a_table_on_a_terminal_shows_cells_as_text(cells: list[str]) -> None:
    made = show.table(*(f"column {n}" for n in range(len(cells))))
    made.add_row(*cells)
    shown = COLOURS.sub("", on_terminal(made))
    assert not CONTROLS.search(shown)
    squeezed = re.sub(r"\s", "", shown)
    for cell in cells:
        assert len(cell) > 40 or all(part in squeezed for part in re.sub(r"\s", "", visible(cell)).split()[:1])


def on_terminal(*parts: Any) -> str:
    """What `say` writes where there are colours."""
    from contextlib import redirect_stdout

    out, before = io.StringIO(), dict(os.environ)
    os.environ |= {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "400"}
    try:
        with redirect_stdout(out):
            say(Options(), *parts)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return out.getvalue()


@tried(40)
@given(text=texts)
def test_a_said_text_keeps_its_lines_and_obeys_nothing(text: str) -> None:
    shown = COLOURS.sub("", on_terminal(text))
    assert not CONTROLS.search(shown)
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", visible(text, keep="\n"))


# ---- the page


@pytest.fixture(scope="module")
def empty_store() -> Iterator[Store]:
    store = Store(":memory:", threads=1)
    derive(store, shop_config())
    store.sql("CREATE TABLE members (segment VARCHAR, person_id VARCHAR)")
    yield store
    store.close()


def written_page(store: Store, folder: Path, text: str) -> Page:
    """A report in which every place that can hold somebody else's words holds `text`."""
    held = text.encode(errors="replace").decode()
    for table in ("segment_counts", "set_aside", "score_cards", "stream_counts"):
        store.sql(f"DELETE FROM {table}")
    today = date(2026, 11, 21)
    store.insert(
        "segment_counts",
        [
            {"run_id": "r", "segment": held or "x", "as_of": today, "members_before": 1, "entered": 0, "members_left": 0,
             "members_after": 1, "is_ready": False, "not_ready": held, "rule": held}
        ],
    )  # fmt: skip
    store.insert("set_aside", [{"source": held, "stream": held, "reason": held}])
    store.insert(
        "score_cards",
        [{"score": "s", "made_run": "r", "cutoff": today, "card": orjson.dumps({"title": held, "lines": [held]}).decode()}],
    )
    runs.record_count(store, "r", StreamCount(held or "x", held, 1, 1, 0, 0, is_complete=False, note=held))
    settings_ = config.Config.model_validate(
        {"shop": {"name": text}, "segment": [{"name": held or "x", "where": "a"}], "path": folder / "rollcall.toml"}
    )
    target = Target("mailchimp", text, text, text)
    plan = Plan(
        datetime(2026, 11, 21), "2026-11-21", "d", {},
        (TargetPlan(target, text, "1", False, 0, 1, 0, 1, changes=(Change("mailchimp", text, "add", "1", reason=text),),
                    excluded={text: 3}, parked=text, notes=(text,)),),
    )  # fmt: skip
    path = report.write(store, settings_, AsOf(today, datetime(2026, 11, 21)), plan=plan, says={held or "x": text})
    return read_page(path.read_text(encoding="utf-8"))


@tried(25)
@given(text=texts)
def test_the_report_shows_any_text_as_text(empty_store: Store, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    page = written_page(empty_store, tmp_path_factory.getbasetemp(), text)
    assert visible(text, keep="\n") in page.text


@tried(15)
@given(labels=st.lists(texts, min_size=1, max_size=5))
def test_a_picture_shows_any_label_as_text(labels: list[str]) -> None:
    import xml.etree.ElementTree as ElementTree

    svg = charts.levels(labels, [1.0] * len(labels), "people")
    found = {"".join(t.itertext()) for t in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert "script" not in {e.tag.rpartition("}")[2] for e in ElementTree.fromstring(svg).iter()}
    for label in labels:
        shown = visible(label)
        assert not shown.strip() or any(shown[: charts.LABEL - 1].split() == f.rstrip("…").split() for f in found), label


# ---- spreadsheets


@tried(100)
@given(text=texts)
def test_a_cell_never_begins_like_a_formula(text: str) -> None:
    cell = safe(text)
    assert not re.match(r"[=+\-@\t\r\n|%＝＋－＠]", cell)
    assert "\x00" not in cell
    assert cell in (text.replace("\x00", "\\x00"), "'" + text.replace("\x00", "\\x00"))


@tried(4)
@given(names=st.lists(texts, min_size=5, max_size=30))
def test_a_cell_reads_back_to_the_same_text_through_our_own_import(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("cells")
    names = [n.encode(errors="ignore").decode() for n in names]
    (folder / "rollcall.toml").write_text("[shop]\n")
    with (folder / "c.csv").open("w", newline="", encoding="utf-8-sig") as f:
        csv.writer(f).writerows([["customer_id", "first_name"], *([f"c{i}", safe(n)] for i, n in enumerate(names))])
    assert rollcall(folder, "import", "contacts", "c.csv").code == 0
    with duckdb.connect(str(folder / "rollcall.duckdb")) as db:
        back = dict(db.execute("SELECT contact_id, first_name FROM contacts").fetchall())
    for i, name in enumerate(names):
        kept = name.replace("\x00", "\\x00").strip(" ")
        assert back[f"c{i}"] == (kept or None), repr(name)


# ---- requests


def http(url: str = "http://127.0.0.1:9/api") -> Http:
    return Http(
        url, platform="mailchimp", headers=lambda: {"Authorization": "Bearer secret"}, timeout_s=1, connect_timeout_s=1, tries=1,
        max_wait_s=0, sleep=lambda _: None, now_utc=lambda: datetime(2026, 11, 21), explain=lambda _: None,
    )  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "lists/1/members/../../x", "lists/..", "lists/./x", "lists/%2e%2e/x", "lists/.%2E/x", "lists/a?status=x", "lists/a#b",
        "lists/a b", "lists/a\r\nHost: evil", "lists/a\x00", "lists/a\\..\\b", "lists/é", "../x",
    ],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_never_asked_for(path: str) -> None:
    with responses.RequestsMock() as mock, pytest.raises(PermanentApiError, match="Nothing was asked"):
        http().get(path)
    assert not mock.calls


def test_a_name_with_marks_of_a_path_stays_one_piece_of_it() -> None:
    from urllib.parse import quote

    with responses.RequestsMock() as mock:
        for text in hostile.TEXTS:
            if text not in ("..",) and len(text) < 400:
                mock.add(responses.GET, re.compile("http://127.0.0.1:9/.*"), json={"ok": 1})
                http().get(f"lists/name/{quote(text, safe='')}")
        for call in mock.calls:
            assert re.fullmatch(r"http://127\.0\.0\.1:9/api/lists/name/[^/?#]+", str(call.request.url)), call.request.url


HALVES = (rb'{"a": "cut \ud83d"}', rb'{"a": "\udc00 first"}', rb'{"a": "\ud83d\ud83d\ude00"}', b'{"a": "bytes \xf0\x9f"}')


@pytest.mark.parametrize("body", HALVES)
def test_half_an_emoji_in_an_answer_spoils_one_character_and_not_the_page(body: bytes) -> None:
    with responses.RequestsMock() as mock:
        mock.add(responses.GET, "http://127.0.0.1:9/api/x", body=body, content_type="application/json")
        door = http()
        found = door.json(door.get("x"))
    assert "\ufffd" in found["a"]
    found["a"].encode()


@tried(60)
@given(text=texts)
def test_json_of_others_is_read_as_it_was_meant(text: str) -> None:
    meant = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert loads(json.dumps({"a": text, "b": ["\\ud83d", "\\\\"]}).encode()) == {"a": meant, "b": ["\\ud83d", "\\\\"]}


@pytest.mark.parametrize("body", [b"{", b'{"a": "\\ud83d"', b"<html>\\ud83d</html>", b'"\\x"'])
def test_what_is_no_json_stays_no_json(body: bytes) -> None:
    with pytest.raises(ValueError):
        loads(body)


def test_what_is_no_number_is_null_in_json() -> None:
    found = json_text({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": (-float("inf"), "nan")}})
    assert json.loads(found, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5], "c": {"d": [None, "nan"]}}


# ---- more of the same by night


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@settings(max_examples=3000, **PROFILE)
@given(text=texts)
def test_any_text_anywhere_by_night(empty_store: Store, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    shown = visible(text)
    assert not CONTROLS.search(shown)
    assert json.loads(json_text(text)) == text
    assert not CONTROLS.search(COLOURS.sub("", on_terminal(text)))
    cell = safe(text)
    assert not re.match(r"[=+\-@\t\r\n|%＝＋－＠]", cell)
    if len(text) < 60:
        assert visible(text, keep="\n") in written_page(empty_store, tmp_path_factory.getbasetemp(), text).text
