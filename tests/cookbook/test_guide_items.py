"""Everything the two guides ask for stands somewhere: a table is walked, and each name in it must exist."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from connector import cli
from connector.columns import BY_NAME, NOT_AVAILABLE
from connector.config import Config
from connector.imports_kinds import KINDS
from connector.library import entries
from connector.rules.measures import MEASURES
from tests.cookbook.test_cookbook import EXPECTED

ROOT = Path(__file__).resolve().parents[2]
ITEMS = tomllib.loads((Path(__file__).parent / "guide_items.toml").read_text())


def commands(group, before=""):
    for name, command in group.commands.items():
        yield f"{before}{name}"
        yield from commands(command, f"{name} ") if hasattr(command, "commands") else ()


KNOWN = {
    "columns": set(BY_NAME), "measures": set(MEASURES), "library": set(entries()), "recipes": set(EXPECTED),
    "imports": {f"{kind}.{field}" for kind, known in KINDS.items() for field in known.fields},
    "commands": set(commands(cli.rollcall)), "config": set(Config.model_fields),
    "docs": {p.name for p in (ROOT / "docs").glob("*.md")},
}  # fmt: skip


def test_every_item_of_the_guides_is_in_the_table():
    assert list(ITEMS) == [f"S{n}" for n in range(1, 105)]


@pytest.mark.parametrize("item", ITEMS)
def test_what_the_table_names_exists(item: str):
    told = ITEMS[item]
    named = {key: set(told[key]) for key in KNOWN if key in told}

    assert not set(told) - {"is", "cannot", "outside", *KNOWN}
    assert named or told.keys() & {"cannot", "outside"}
    assert {key: names - KNOWN[key] for key, names in named.items()} == {key: set() for key in named}
    assert told.get("cannot", "") in {"", *NOT_AVAILABLE}


def test_what_cannot_be_had_says_which_item_it_is_and_the_table_knows_it():
    assert {told["cannot"] for told in ITEMS.values() if "cannot" in told} == set(NOT_AVAILABLE)
    for item in (f"S{n}" for n in range(1, 41) if n not in (38, 39)):
        told = ITEMS[item]
        assert told.keys() & {"columns", "measures", "cannot"}, item
        assert "outside" not in told, item


def test_every_ready_made_segment_and_every_measure_answers_some_item():
    used = {key: {name for told in ITEMS.values() for name in told.get(key, ())} for key in ("measures", "recipes")}

    assert used["recipes"] == set(EXPECTED)
    assert set(MEASURES) - used["measures"] <= {"spent", "received", "first"}
