"""The tables of docs/segments.md, made from the code. Run this file to write them anew."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from connector.columns import NOT_AVAILABLE  # noqa: E402  # run as a script, the repository must be found first
from connector.library import examples  # noqa: E402  # as above
from connector.rules.measures import MEASURES  # noqa: E402  # as above
from connector.rules.syntax import FUNCTIONS, LIKE_FIRST  # noqa: E402  # as above

DOCS = ROOT / "docs" / "segments.md"


def measures() -> str:
    rows = [f"| `{m.name}` | {m.meaning} | {', '.join(f'`{a}`' for a in m.arguments)} |" for m in MEASURES.values()]
    return "\n".join(("| Measure | Counts | Arguments |", "|---|---|---|", *rows))


def functions() -> str:
    rows = [f"| `{name}` | {', '.join(kinds)} | {result} |" for name, (kinds, result) in FUNCTIONS.items()]
    rows += [f"| `{name}` | any number of values of one kind | that kind |" for name in LIKE_FIRST]
    return "\n".join(("| Function | Of | Gives |", "|---|---|---|", *rows))


def library() -> str:
    rows = []
    for one, rule, _ in examples():
        given = ", ".join(f"`{k}`" + ("" if v == "" else f" ({v})") for k, v in one.parameters.items())
        meaning = one.meaning.replace("{", "*").replace("}", "*")
        rule = rule.replace("|", "\\|")
        rows.append(f"| `{one.name}` | {meaning} | {given} | `{rule}` | {one.action} |")
    return "\n".join(("| use | Who | Parameters | Rule | What to do |", "|---|---|---|---|---|", *rows))


def missing() -> str:
    return "\n".join(f"- {what}: {why}." for what, why in NOT_AVAILABLE.items())


TABLES = {"measures": measures, "functions": functions, "library": library, "missing": missing}


def filled(text: str) -> str:
    """The page with every table between its two marks made anew."""
    for name, make in TABLES.items():
        head, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, tail = rest.partition(f"<!-- end {name} -->")
        if not mark or not end:
            raise ValueError(f"{DOCS} has no marks for {name}")
        text = f"{head}{mark}{make()}\n{end}{tail}"
    return text


if __name__ == "__main__":
    DOCS.write_text(filled(DOCS.read_text()))
