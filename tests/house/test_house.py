"""Promises about the repository itself: locks, imports, help, what ships."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from connector import cli

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda p: p.name)
def test_a_lock_file_carries_hashes_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    assert not re.search(r"https?:|file:|index.url|find-links|@ ", text)
    pins = re.findall(r"^[a-z0-9._-]+(?:\[[^\]]*\])?==\S+", text, re.M)
    assert pins
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) >= len(pins)


def test_help_loads_none_of_the_heavy_packages() -> None:
    code = (
        "import sys\n"
        "from connector import cli\n"
        "sys.argv = ['rollcall', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print('LOADED', *sorted({m.split('.')[0] for m in sys.modules}))"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    loaded = set(out.rpartition("LOADED")[2].split())
    assert "click" in loaded
    assert not loaded & {"pandas", "sklearn", "sqlglot", "duckdb", "numpy", "scipy", "matplotlib", "graphql", "phonenumbers"}


def commands(group: click.Group, prefix: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{prefix}{name} ")
        if not isinstance(command, click.Group) or command.invoke_without_command:
            found[f"{prefix}{name}"] = command
    return found


ALL = commands(cli.rollcall)


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_has_help_an_example_and_a_line_in_the_docs(name: str) -> None:
    help_text = ALL[name].help or ""
    assert "Example:" in help_text
    documented = re.findall(r"^\| `rollcall ([^`]+)` \|", (ROOT / "docs/commands.md").read_text(), re.M)
    assert name in documented


def test_the_docs_name_no_command_that_does_not_exist() -> None:
    documented = re.findall(r"^\| `rollcall ([^`]+)` \|", (ROOT / "docs/commands.md").read_text(), re.M)
    assert sorted(documented) == sorted(ALL)


@pytest.mark.parametrize("name", sorted(n for n in ALL if n != "help"))
def test_global_options_are_understood_after_the_command_too(name: str) -> None:
    taken = {o for p in ALL[name].params for o in p.opts}
    assert {"--config", "--as-of", "--json", "-v", "-q"} <= taken


def test_the_wheel_holds_the_rooms_and_neither_tests_nor_benchmarks() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["connector", "adapters", "models", "mappings"]


def test_product_code_never_uses_the_sandbox_control_door() -> None:
    for room in ("connector", "adapters", "models", "mappings"):
        for file in (ROOT / room).rglob("*"):
            if file.suffix in (".py", ".toml") and "sandbox" not in file.parts:
                assert "/control" not in file.read_text(), file


def test_only_the_command_line_and_the_conformance_suite_import_the_sandbox_which_imports_nothing_of_ours() -> None:
    ours = re.compile(r"^\s*(?:from|import) (adapters|models|mappings|connector)(\.[a-z_.]+)?", re.M)
    for file in (ROOT / "connector").rglob("*.py"):
        for room, rest in ours.findall(file.read_text()):
            name = room + rest
            if "sandbox" in file.parts:
                assert name.startswith("connector.sandbox"), file
            elif name.startswith("connector.sandbox"):
                assert {"cli", "conformance"} & set(file.parts), file


def test_only_the_command_line_prints() -> None:
    for room in ("connector", "adapters", "models"):
        for file in (ROOT / room).rglob("*.py"):
            if "cli" not in file.parts:
                assert not re.search(r"^\s*print\(", file.read_text(), re.M), file


def test_no_file_names_a_machine_or_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    forbidden = re.compile(
        "|".join(["/wor" + "k/", "/far" + "m/", "/ro" + "ot/", "far" + "m-", "pypi" + r"\.org", "index" + "-url ="])
    )
    for name in listed:
        file = ROOT / name
        if file.suffix in (".py", ".md", ".toml", ".txt", ".sh", ".yml", "") and file.is_file():
            assert not forbidden.search(file.read_text(errors="ignore")), name
