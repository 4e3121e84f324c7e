"""What is wrong in a configuration, in the owner's words: the file, the line, the key, and the nearest valid name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def explain(problems: Sequence[Any], text: str, path: Path, known_keys: Callable[[list[Any]], list[str]]) -> str:
    """One line per problem, as pydantic lists them, in the text of a file. known_keys: what may stand at a place."""
    lines = []
    for problem in problems[:5]:
        loc = [p for p in problem["loc"] if p != "path"]
        where = _place(loc)
        if problem["type"] == "extra_forbidden":
            known = known_keys(loc[:-1])
            near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
            hint = f" Did you mean '{near[0]}'?" if near else f" Known here: {', '.join(known)}."
            reason = f"unknown key '{loc[-1]}'.{hint}"
        elif problem["type"] == "missing":
            reason = f"'{loc[-1]}' is missing."
        else:
            reason = problem["msg"].removeprefix("Value error, ")
        line = _line_of(text, loc)
        at = f"line {line}, " if line else ""
        lines.append(f"{path}: {at}{where}: {reason}")
    return "\n".join(lines)


def _place(loc: list[Any]) -> str:
    text = ""
    for part in loc:
        text += f"[{part + 1}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def _line_of(text: str, loc: list[Any]) -> int:
    """The line of a key, found by walking the section headers; 0 when it cannot be told."""
    if not loc:
        return 0
    section = str(loc[0])
    index = next((p for p in loc if isinstance(p, int)), None)
    key = str(loc[-1]) if isinstance(loc[-1], str) else ""
    seen = -1
    inside = False
    header_line = 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        header = re.match(r"\[\[?\s*([A-Za-z0-9_.]+)", stripped)
        if header and stripped.startswith("["):
            same = header.group(1).split(".")[0] == section
            if same:
                seen += 1
            inside = same and (index is None or seen == index)
            header_line = number if inside else header_line
            if len(loc) == 1 and inside:
                return number
            continue
        if len(loc) == 1 and re.match(rf"{re.escape(key)}\s*=", stripped) and seen < 0:
            return number
        if inside and key and re.match(rf"\"?{re.escape(key)}\"?\s*=", stripped):
            return number
    return header_line
