"""Values of fields as text, written one way whatever a platform makes of them, so that what we wrote is known again."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Any

from models.changes import FieldKind

OURS = "Rollcall"
"""How the names that people read begin, of every field we make."""


def plain(value: Any, kind: FieldKind) -> str:
    """`value` as it stands on a platform -> as it is written: '12' for '12.00' and 12.0, '' for nothing."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if kind == "number":
        return number(text)
    if kind == "date":
        return text[:10]
    return text.lower() if kind == "yes or no" else text


def number(text: str) -> str:
    """The shortest way to write a decimal number; a text that is none stays as it is."""
    with suppress(InvalidOperation):
        found = Decimal(text)
        if found.is_finite():
            short = f"{found:f}"
            short = short.rstrip("0").rstrip(".") if "." in short else short
            return "0" if short in ("-0", "") else short
    return text


def title(label: str) -> str:
    """What people read for `churn_tier`: 'Rollcall churn tier'."""
    return f"{OURS} {label.replace('_', ' ')}"
