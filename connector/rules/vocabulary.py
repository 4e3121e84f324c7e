"""What a rule may speak of in this shop: columns with their kinds and values, categories, products, other segments."""

from __future__ import annotations

from dataclasses import dataclass, field

from connector.columns import BY_NAME, COLUMNS
from connector.rules.tree import Kind

KINDS: dict[str, Kind] = {
    "BIGINT": "number", "INTEGER": "number", "SMALLINT": "number", "DOUBLE": "number", "FLOAT": "number", "HUGEINT": "number",
    "VARCHAR": "text", "DATE": "day", "BOOLEAN": "yes or no", "VARCHAR[]": "list",
}  # fmt: skip

VALUE_LIMIT = 2000
"""Of columns with more different values than this only what a rule names, and what looks like it, is looked for."""


@dataclass(frozen=True)
class Known:
    """One column: its kind, and the values seen in the data (None: not looked at, or too many)."""

    kind: Kind
    meaning: str = ""
    unit: str = ""
    values: frozenset[str] | None = None


@dataclass(frozen=True)
class Vocabulary:
    columns: dict[str, Known]
    segments: tuple[str, ...] = ()
    topics: dict[str, frozenset[str] | None] = field(default_factory=dict)
    """Values of a measure's text arguments seen in the data, by argument name."""

    currency: str = ""
    own: str = ""
    """The segment whose rule is read: no part of its own `everyone_else()`."""


def kind_of(sql_type: str) -> Kind | None:
    return "number" if sql_type.startswith("DECIMAL") else KINDS.get(sql_type)


def declared(segments: tuple[str, ...] = (), currency: str = "") -> Vocabulary:
    """The vocabulary before any data is there: the declared columns, no values."""
    columns = {c.name: Known(kind, c.meaning, c.unit) for c in COLUMNS if (kind := kind_of(c.sql_type))}
    return Vocabulary(columns, segments, {}, currency)


def unit_of(name: str) -> str:
    column = BY_NAME.get(name)
    return column.unit if column else ""


def meaning_of(name: str) -> str:
    column = BY_NAME.get(name)
    return column.meaning if column else f"'{name}'"
