"""Texts that others wrote, made safe to show: a customer's name must not move a cursor, turn a line around or end a document.

What is taken out is shown in place as an escape (`\\x1b`, `\\u202e`), so that nothing disappears unseen. Letters of every script,
emoji and their joiners stay as they are.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, among them the escape sequences of a terminal
    "\u200b\u2060\ufeff"  # no width at all: two names that look alike
    "\u2028\u2029"  # other ends of a line
    "\u202a-\u202e\u2066-\u2069"  # turn the direction of what follows
    "\ufff9-\ufffb\ud800-\udfff]"  # annotations; halves of characters, which no file can hold
)
NOT_IN_JSON = re.compile("[\x7f-\x9f\u200b\u2060\ufeff\u2028\u2029\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]")


def visible(text: str, keep: str = "") -> str:
    """`text` with everything unseen in it as an escape, but for the characters in `keep` (a line break, where there may be one)."""
    return UNSEEN.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """JSON that reads back as `value` and whose characters may all be shown on a terminal. What is no number is null."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:  # NaN and infinity are no JSON
        text = json.dumps(_numbered(value), default=str, ensure_ascii=False, indent=indent)
    return NOT_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _numbered(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _numbered(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_numbered(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def has_unseen(text: str) -> bool:
    return bool(UNSEEN.search(text))


def _escape(character: str) -> str:
    number = ord(character)
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character) or (
        f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
    )
