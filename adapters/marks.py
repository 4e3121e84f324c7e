"""Whose an object is, where a platform has room for a description: the installation that made it leaves its id there.

Never in a name. An object without a mark may be anybody's; who may write which is for `connector` to decide.
"""

from __future__ import annotations

import re
from typing import Literal

MARK = re.compile(r"\[rollcall:([0-9a-f]{6,32})\]")

Maker = Literal["", "us", "another"]


def marked(text: str, installation: str) -> str:
    """`text` with the mark behind it; as it is where the installation has no id."""
    return f"{text} [rollcall:{installation}]" if installation else text


def maker(text: object, installation: str) -> Maker:
    """Who made the object described so; '' where there is no mark, or where we have no id to compare it with."""
    found = MARK.search(str(text or ""))
    if found is None or not installation:
        return ""
    return "us" if found[1] == installation else "another"
