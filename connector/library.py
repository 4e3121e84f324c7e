"""The ready-made segments (`connector/library.toml`): what each means, needs, and takes."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

from connector.rules.nearest import hint
from models.errors import ConfigError


@dataclass(frozen=True)
class Entry:
    """One ready-made segment. A parameter whose default is '' must be given by the owner."""

    name: str
    meaning: str
    where: str
    tag: str
    action: str
    parameters: dict[str, Any]

    def filled(self, given: dict[str, Any], label: str = "") -> tuple[str, str]:
        """The rule and its meaning with the parameters put in. Raises ConfigError for a wrong or missing one."""
        label = label or self.name
        for key in given:
            if key not in self.parameters:
                takes = f" It takes {', '.join(self.parameters)}." if self.parameters else " It takes none."
                raise ConfigError(
                    f"Segment '{label}': '{self.name}' has no parameter '{key}'.{hint(key, self.parameters) or takes}"
                )
        values = {**self.parameters, **given}
        for key, value in values.items():
            self._check(label, key, value)
        rule = self.where.format_map({k: _sql(v) for k, v in values.items()})
        return rule, self.meaning.format_map({k: f"'{v}'" if isinstance(v, str) else v for k, v in values.items()})

    def _check(self, label: str, key: str, value: Any) -> None:
        default = self.parameters[key]
        if value == "":
            raise ConfigError(f"Segment '{label}': '{self.name}' needs {key} = \"...\". Add it below use = \"{self.name}\".")
        if isinstance(default, str):
            if not isinstance(value, str):
                raise ConfigError(f"Segment '{label}': {key} must be a text in quotes.")
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"Segment '{label}': {key} must be a number, such as {default}.")


@cache
def entries() -> dict[str, Entry]:
    """Every ready-made segment by its name, in the order of the file."""
    data = tomllib.loads(resources.files("connector").joinpath("library.toml").read_text(encoding="utf-8"))
    return {
        name: Entry(name, e["meaning"], e["where"], e["tag"], e["action"], dict(e.get("parameters", {})))
        for name, e in data.items()
    }


def entry(name: str, label: str = "") -> Entry:
    """The ready-made segment of that name; ConfigError with the nearest one otherwise."""
    found = entries().get(name)
    if found is None:
        near = hint(name, entries()) or " `rollcall segment library` shows them all."
        raise ConfigError(f"Segment '{label or name}': there is no ready-made segment '{name}'.{near}")
    return found


def examples() -> Iterator[tuple[Entry, str, str]]:
    """Each entry with its rule and meaning, parameters without a default filled with a sample text."""
    for one in entries().values():
        sample = {k: "sample" for k, v in one.parameters.items() if v == ""}
        rule, meaning = one.filled(sample)
        yield one, rule, meaning


def _sql(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return format(Decimal(str(value)), "f")
