"""The configuration of an owner who has a file and nothing else: the least that is valid, written by the first import."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from connector.imports_clean import CURRENCIES, CURRENCY_SIGNS
from connector.imports_exports import columns_of, known_export
from connector.imports_guess import with_date
from connector.imports_kinds import KINDS, kind_named, read_map, recognise
from connector.imports_read import first_rows

ROWS = 1000
"""Rows looked at for the currency."""

TEXT = """\
# Written by `rollcall import`, because there was none. Change what is not so, then import your files again.
[shop]
timezone = "UTC"   # the shop's own, such as "Europe/Berlin"
currency = "{}"
"""


def write_where_none(path: Path, kind: str, file: Path, map_file: Path | None) -> tuple[str, ...]:
    """Write a configuration where there is none, once the file is known to be usable; gives what is to be said about it.

    Nothing that is there is ever overwritten. Raises UsageError when the file or its columns cannot be used.
    """
    if os.path.lexists(path) or kind not in KINDS:
        return ()
    theirs = _currency(kind, file, map_file)
    currency = theirs or "EUR"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(TEXT.format(currency))
    why = "as in the file" if theirs else "a guess, for the file names none"
    return (
        f"There was no {path.name} here, so a small one was written: time zone UTC, currency {currency} ({why}); where your "
        "shop has others, change these two lines and import the file again.",
    )


def _currency(kind: str, file: Path, map_file: Path | None) -> str:
    """The currency named most often in the first rows, by a column of its own or beside the amounts; '' where none is."""
    what = kind_named(kind)
    given = read_map(map_file, what)
    header, rows = first_rows(file, ROWS)
    export = known_export(kind, header)
    columns = {**(columns_of(export, header) if export else {}), **given.columns}
    words = replace(given, columns=columns)
    if not export:
        words, _ = with_date(what, header, rows, words)
    found = recognise(what, header, words)
    places = (
        [found["currency"]] if "currency" in found else [n for name, n in found.items() if what.fields[name].type == "amount"]
    )
    named = Counter(code for row in rows for n in places if (code := _code(row[n])))
    return named.most_common(1)[0][0] if named else ""


def _code(text: str) -> str:
    for sign, code in {**dict(sorted(CURRENCY_SIGNS.items(), key=lambda s: -len(s[0]))), "$": "USD"}.items():
        if sign.lower() in text.lower():
            return code
    code = re.sub(r"[^A-Z]", "", text.upper())
    return code if code in CURRENCIES else ""
