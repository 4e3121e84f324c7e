"""Hostile names and texts: refused, or shown and written as the plain text they are, everywhere.

One simulated shop is full of them, on every platform and in every field; a person at the command line does everything with
it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import requests

from connector import config
from connector.plain import visible
from models.errors import ConfigError
from tests.laws import hostile
from tests.laws.hostile_eyes import CONTROLS, read_page
from tests.stories.story import Answer, Story, rollcall

SEGMENTS = (
    "Mail <script>alert(1)</script>",
    'O\'Brien "x"; DROP TABLE contacts; --',
    "=cmd|' /C calc'!A0",
    "[/red] [bold]x {{ 7 * 7 }} {% x %}",
    "../../lists/x?y#z%2e שלום ☕️ $x_{ \\",
)
FOLDER = "it's [a] *shop* ☕ %20 #"


# ---- a whole shop


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with Story(tmp_path_factory.mktemp("hostile") / FOLDER, hostile.shop()) as story:
        everywhere = 'where = "orders_total >= 1"\npush = ["mailchimp", "hubspot", "shopify"]\n'
        blocks = [f"[[segment]]\nname = {json.dumps(n, ensure_ascii=False)}\n{everywhere}" for n in SEGMENTS]
        story.configure("\n".join(blocks), more="[guards]\nmin_members = 1000\n")
        yield story


@pytest.fixture(scope="module")
def pushed(story: Story) -> Story:
    plain(story.run("backfill"))
    answer = story.run("push", "--first")
    plain(answer)
    assert answer.code == 0, answer.text
    return story


def plain(answer: Answer) -> Answer:
    """Nothing that a terminal would obey, and no stack trace."""
    found = CONTROLS.search(answer.text)
    assert not found, repr(answer.text[max(0, found.start() - 60) : found.end() + 20])
    assert "Traceback" not in answer.text and "our mistake" not in answer.text, answer.text
    return answer


def test_every_record_is_taken_and_every_text_is_kept_as_it_came(pushed: Story) -> None:
    assert pushed.sql("SELECT count(*) FROM set_aside") == [(0,)]
    for source in ("shopify", "mailchimp", "hubspot"):
        held = {name for (name,) in pushed.sql(f"SELECT first_name FROM contacts WHERE source = '{source}'")}
        missing = {t for t in hostile.TEXTS if t.strip()} - held - {None}
        assert {t.strip() for t in missing} <= {str(h).strip() for h in held}, (source, missing)
    titles = {t for (t,) in pushed.sql("SELECT title FROM products WHERE source = 'shopify'")}
    assert {t[:250].strip() for t in hostile.TEXTS} <= {str(t).strip() for t in titles}


def test_what_was_written_carries_the_very_name_and_the_next_plan_is_empty(pushed: Story) -> None:
    state = pushed.state()
    for name in SEGMENTS:
        label = f"Rollcall: {name}"
        assert len(state["mailchimp"]["tags"][label]["members"]) == len(hostile.TEXTS)
        assert sum(label in c["tags"] for c in state["shopify"]["customers"]) == len(hostile.TEXTS)
        assert [len(v["members"]) for v in state["hubspot"]["lists"].values() if v["name"] == label] == [len(hostile.TEXTS)]
    assert len(state["hubspot"]["lists"]) == len(SEGMENTS)
    assert not plain(pushed.run("plan", "--json")).json["has_changes"]


@pytest.mark.parametrize(
    "command",
    [
        ("plan", "--addresses"),
        ("plan", "--markdown"),
        ("segment", "list"),
        ("segment", "overlap"),
        ("segment", "history", SEGMENTS[1]),
        ("segment", "show", SEGMENTS[0], "--addresses"),
        ("segment", "show", "no \x1b[31m such"),
        ("segment", "test", "city = '\x1b[31m'"),
        ("segment", "test", "\x1b]0;x\x07 > 1"),
        ("fields",),
        ("runs",),
        ("check",),
        ("why", "{{x}}19@shop.example"),
        ("why", "\udcff@\x1b[2J"),
    ],
)
def test_no_command_lets_a_text_reach_the_terminal_as_anything_but_text(pushed: Story, command: tuple[str, ...]) -> None:
    answer = plain(pushed.run(*command))
    assert answer.code in (0, 2), answer.text
    if command == ("plan", "--markdown"):
        assert "<script" not in answer.out.replace("\\<script", "")


def test_json_holds_the_very_text_and_shows_no_control_character(pushed: Story) -> None:
    answer = plain(pushed.run("segment", "list", "--json"))
    assert [g["name"] for g in answer.json["segments"]] == list(SEGMENTS)
    found = pushed.sql("SELECT email FROM contacts WHERE source = 'shopify' AND first_name LIKE '%owned%'")
    body = plain(pushed.run("export", str(found[0][0]), "--json")).json
    names = {c.get("first_name") for c in body["data"]["contacts"]}
    assert hostile.ESCAPE in {str(n) for n in names}


def test_logs_hold_no_control_character(pushed: Story) -> None:
    answer = plain(pushed.run("-vv", "plan"))
    assert "DEBUG" in answer.err


def test_a_letter_has_the_lines_we_wrote_and_no_others(pushed: Story) -> None:
    for text in (hostile.ESCAPE, "two\nlines", "\u202egnp.exe"):
        email = f"{hostile.LOCALS[hostile.TEXTS.index(text) % len(hostile.LOCALS)]}{hostile.TEXTS.index(text)}@shop.example"
        answer = plain(pushed.run("export", email, "--letter", "--json"))
        letter = Path(answer.json["letter"]).read_text(encoding="utf-8")
        assert not CONTROLS.search(letter)
        assert visible(text) in letter and not any(line.startswith("lines") for line in letter.splitlines())


def test_the_report_is_a_page_of_text(pushed: Story) -> None:
    answer = plain(pushed.run("report", "--json"))
    page = read_page(Path(answer.json["report"]).read_text(encoding="utf-8"))
    assert all(name in page.text for name in SEGMENTS)


def test_an_export_runs_nothing_in_a_spreadsheet_and_comes_back_through_our_own_import(pushed: Story, tmp_path: Path) -> None:
    file = pushed.folder / "ex [1] 'port' *.csv"
    plain(pushed.run("segment", "export", SEGMENTS[2], str(file), "--column", "city", "--column", "top_category"))
    assert file.stat().st_mode & 0o777 == 0o600
    with file.open(encoding="utf-8-sig", newline="") as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == len(hostile.TEXTS)
    risky = [v for row in rows for v in row.values() if re.match(r"[=+\-@\t\r\n|%＝]", v)]
    assert not risky
    held = dict(pushed.sql("SELECT p.email, p.first_name FROM people p"))
    (tmp_path / "rollcall.toml").write_text("[shop]\n")
    assert plain(rollcall(tmp_path, "import", "contacts", str(file))).code == 0
    with duckdb.connect(str(tmp_path / "rollcall.duckdb")) as db:
        back = dict(db.execute("SELECT email, first_name FROM contacts WHERE source = 'import'").fetchall())
    assert back.keys() == held.keys()
    for email, name in held.items():
        assert back[email] == (name.replace("\x00", "\\x00").strip(" ") if name and name.strip(" ") else None)


def test_a_parquet_export_holds_the_very_text_whatever_the_file_is_called(pushed: Story, tmp_path: Path) -> None:
    file = pushed.folder / "ex [1] 'port' *.parquet"
    plain(pushed.run("segment", "export", SEGMENTS[2], str(file)))
    (tmp_path / "plain.parquet").write_bytes(file.read_bytes())
    found = duckdb.sql(f"SELECT first_name FROM read_parquet('{tmp_path}/plain.parquet')").fetchall()
    assert {n for (n,) in found} == {n for (n,) in pushed.sql("SELECT first_name FROM people")}


def test_plans_and_backups_go_where_they_are_sent_and_nowhere_else(pushed: Story) -> None:
    before = {p.name for p in pushed.folder.parent.iterdir()}
    for args in (("plan", "--out", "pl'an [1] *.json"), ("backup", "ba'ck [x] *")):
        assert plain(pushed.run(*args)).code == 0
    assert (pushed.folder / "pl'an [1] *.json").is_file() and list((pushed.folder / "ba'ck [x] *").iterdir())
    assert plain(pushed.run("plan", "--out", "x" * 300)).code == 2
    assert {p.name for p in pushed.folder.parent.iterdir()} == before


def test_a_folder_the_database_cannot_name_is_refused_in_words(tmp_path: Path) -> None:
    folder = tmp_path / "what?"
    folder.mkdir()
    (folder / "rollcall.toml").write_text("[shop]\n")
    answer = plain(rollcall(folder, "runs"))
    assert answer.code == 1 and "'?'" in answer.err and "[store] path" in answer.err


def test_a_sandbox_answers_requests_with_hostile_names_too(pushed: Story) -> None:
    """The control page is for tests; a name in it must not end the server."""
    answer = requests.post(f"{pushed.url}/control/change", json={"customers": ["<x>\u202e"], "set": {}}, timeout=30)
    assert answer.status_code in (200, 400, 404)


# ---- files that are brought


IMPORTED = """customer_id;order_id;date;amount;currency
../../lists/x;o'1;2026-01-05;10.00;EUR
=cmd|x;o"2;2026-01-05;11.00;EUR
'=cmd|y;o3;2026-01-05;12.00;EUR
'00123;o4;2026-01-05;12.00;EUR
\x1b[2J;o5;2026-01-05;12.00;EUR
a\x00b;o6;2026-01-05;12.00;EUR
"{{x}}
y";o7;2026-01-05;12.00;EUR
"""


@pytest.mark.parametrize("name", ["orders.csv", "or'ders [1] *.csv", "; DROP TABLE orders; --.csv", "$(id) `id`.csv"])
def test_a_file_of_any_name_with_any_content_is_read_as_it_is(tmp_path: Path, name: str) -> None:
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "rollcall.toml").write_text("[shop]\n")
    (folder / name).write_text(IMPORTED, newline="")
    answer = plain(rollcall(folder, "import", "orders", name, "--json"))
    assert answer.code == 0, answer.text
    assert answer.json["streams"][0]["stored"] == 7
    with duckdb.connect(str(folder / "rollcall.duckdb")) as db:
        ids = {i for (i,) in db.execute("SELECT contact_id FROM orders").fetchall()}
    assert ids == {"../../lists/x", "=cmd|x", "=cmd|y", "00123", "\x1b[2J", "a\x00b", "{{x}}\ny"}


def test_parquet_with_hostile_column_names_is_read_or_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "rollcall.toml").write_text("[shop]\n")
    evil = 'x") FROM given; DROP TABLE broken; --'
    file = tmp_path / "o [1] *'.parquet"
    with duckdb.connect() as db:
        quoted = evil.replace('"', '""')
        db.execute(
            f"COPY (SELECT 'c1' AS customer_id, DATE '2026-01-05' AS date, 5 AS amount, 1 AS \"{quoted}\") TO '{tmp_path}/o.parquet'"
        )
    (tmp_path / "o.parquet").rename(file)
    answer = plain(rollcall(tmp_path, "import", "orders", file.name, "--json"))
    assert answer.code == 0 and answer.json["streams"][0]["stored"] == 1
    assert any(evil in note for note in answer.json["notes"])


# ---- the configuration


@pytest.mark.parametrize(
    ("segment", "words"),
    [
        ('name = "a, b"', "no comma"),
        (f'name = "{"x" * 300}"', "at most 50"),
        (r'name = "a\u001b[31mb"', "nobody sees"),
        (r'name = "a\nb"', "nobody sees"),
        (r'name = "a\u202eb"', "nobody sees"),
        (r'name = "a\u200bb"', "nobody sees"),
        ('name = "  "', "nothing to read"),
        (r'name = "x"' + "\n" + r'tag = "a\u2066b"', "nothing unseen"),
        ('name = "x"\ntag = "y\\u0000"', "nothing unseen"),
        ('name = "x"\nstay_days = 99999999999999999999', "stay_days"),
        ('name = "x"\nwhere = "city = \'a\'; DROP TABLE contacts"', "DROP"),
        ('name = "x"\nwhere = "read_csv(\'/etc/passwd\') IS NOT NULL"', "read_csv"),
        ('name = "x"\n"\\u001b[31m" = 1', "\\x1b[31m"),
    ],
)
def test_a_hostile_segment_is_refused_in_words(tmp_path: Path, segment: str, words: str) -> None:
    where = "" if "where" in segment else 'where = "orders_total > 1"\n'
    (tmp_path / "rollcall.toml").write_text(
        f'[shop]\n[mailchimp]\ntoken = "env:X"\naudience = "a"\n[[segment]]\n{where}push = ["mailchimp"]\n{segment}\n'
    )
    answer = plain(rollcall(tmp_path, "segment", "list"))
    assert answer.code == 2 and words in answer.err, answer.text


@pytest.mark.parametrize("tag", [".", "..", " .. "])
def test_without_a_prefix_no_tag_is_a_way_out_of_a_path(tmp_path: Path, tag: str) -> None:
    path = tmp_path / "rollcall.toml"
    path.write_text(
        f'[shop]\n[push]\nprefix = ""\n[mailchimp]\ntoken = "env:X"\naudience = "a"\n'
        f'[[segment]]\nname = "x"\nwhere = "orders_total > 1"\ntag = "{tag}"\npush = ["mailchimp"]\n'
    )
    with pytest.raises(ConfigError, match="cannot be a tag"):
        config.load(path)


def test_two_names_that_only_look_different_to_a_machine_are_one(tmp_path: Path) -> None:
    path = tmp_path / "rollcall.toml"
    blocks = "".join(f'[[segment]]\nname = "{n}"\nwhere = "orders_total > 1"\n' for n in ("Caf\\u00e9", "CAFE\\u0301"))
    path.write_text(f"[shop]\n{blocks}")
    with pytest.raises(ConfigError, match="two segments"):
        config.load(path)


@pytest.mark.parametrize(
    "line",
    [
        "[guards]\nmax_leave_pct = nan", "[guards]\nmax_enter_pct = inf", "[guards]\nmin_members = 99999999999999999999",
        "[store]\nthreads = 1000000000", "[privacy]\nkeep_raw_days = 1000000000000", "[pull]\nfull_read_days = 1e300",
        "[guards]\nmax_leave_pct = 1979-05-27T07:32:00Z", '[guards]\n"max_leave_pct" = "20"\nmax_leave_pct = 5',
        "[guards]\nmax_leave_pct = { a = 1 }", 'guards = "all"', "[guards.max_leave_pct]\nx = 1",
    ],
)  # fmt: skip
def test_numbers_that_would_switch_a_guard_off_or_break_a_clock_are_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rollcall.toml"
    path.write_text(f"{line}\n[shop]\n")
    with pytest.raises(ConfigError):
        config.load(path)
