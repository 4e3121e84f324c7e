"""A time as platforms write it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any


def moment(text: Any) -> datetime | None:
    """Naive UTC of an ISO time; None for what is none. A time without a zone is UTC."""
    if not isinstance(text, str):
        return None
    with suppress(ValueError):
        at = datetime.fromisoformat(text.strip().replace(" ", "T", 1))
        return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    return None
