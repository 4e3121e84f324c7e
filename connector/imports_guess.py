"""Which column holds the date, where no heading says it or the heading says it of something else: by what the cells look like.

Only dates: a column of names or numbers that looks like a customer's is a guess that could mix people up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from connector.imports_kinds import Kind, MapFile, recognise, squash
from connector.imports_shapes import FIRST_SHEET_DAY, SECONDS
from models.errors import UsageError

WRITTEN = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([ T].*)?|\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})([ ,T].*)?"
    r"|\d{1,2}[. -]+[A-Za-z]{3,9}[ -]\d{2,4}( .*)?|([A-Z][a-z]{2}, )?[A-Za-z0-9]{2,9} [A-Za-z0-9]{1,3},? \d{4}( .*)?"
)
COUNTED = re.compile(r"\d{1,5}(\.\d+)?")
AS_NUMBER = re.compile(rf"(19|20)\d{{6}}|{SECONDS}")
ENOUGH = 0.5
"""Share of cells that must look like dates under a heading that says date."""
NEARLY_ALL = 0.9
"""The same under a heading that says something else."""


def with_date(kind: Kind, header: Sequence[str], rows: Sequence[Sequence[str]], given: MapFile) -> tuple[MapFile, list[str]]:
    """The owner's words, and the column of dates where it has to be found. Raises UsageError where that cannot be decided."""
    if "date" not in kind.fields or "date" in given.columns or not rows:
        return _checked(header, rows, given), []
    places = {squash(name): n for n, name in reversed(list(enumerate(header)))}
    headings = [places[w] for w in ("date", *kind.fields["date"].synonyms) if w in places]
    for n in headings:
        if _share(rows, n, WRITTEN, AS_NUMBER) >= ENOUGH or _share(rows, n, COUNTED) >= ENOUGH:
            return _checked(header, rows, replace(given, columns={**given.columns, "date": header[n]})), []
    try:
        taken = set(recognise(kind, header, given).values()) - set(headings)
    except UsageError:
        taken = set()
    others = [n for n in range(len(header)) if n not in taken and _share(rows, n, WRITTEN) >= NEARLY_ALL]
    if len(others) == 1:
        name = header[others[0]]
        note = f"No heading says date; '{name}' is the only column of dates, so it is the date. If not, name another: --map."
        return replace(given, columns={**given.columns, "date": name}), [note]
    if others:
        names = ", ".join(f"'{header[n]}'" for n in others)
        raise UsageError(
            f"{kind.name} need a date, and no heading says which it is: {names} hold dates. Name the one on which it happened in a "
            f'--map file: date = "{header[others[0]]}".'
        )
    return given, []


def _checked(header: Sequence[str], rows: Sequence[Sequence[str]], given: MapFile) -> MapFile:
    """Refuse a column that counts days from a day only the owner knows."""
    name = given.columns.get("date")
    if given.day_one or name is None or name not in header or not rows:
        return given
    n = list(header).index(name)
    days = [float(v) for v in _values(rows, n) if COUNTED.fullmatch(v)]
    counted = [d for d in days if d < FIRST_SHEET_DAY]
    if len(counted) > ENOUGH * len(_values(rows, n)):
        raise UsageError(
            f"The column '{name}' holds numbers ({min(counted):g} to {max(counted):g}) and no dates. If it counts days, say in a "
            f'--map file on which date its day 1 was: day_one = "2024-01-01". If another column holds the date: date = "that column".'
        )
    return given


def _values(rows: Sequence[Sequence[str]], n: int) -> list[str]:
    return [v for row in rows if (v := row[n].strip())]


def _share(rows: Sequence[Sequence[str]], n: int, *shapes: re.Pattern[str]) -> float:
    values = _values(rows, n)
    return sum(any(s.fullmatch(v) for s in shapes) for v in values) / len(values) if values else 0.0


def drop_unfit(
    kind: Kind, header: Sequence[str], rows: Sequence[Sequence[str]], found: dict[str, int], given: MapFile
) -> list[str]:
    """Take columns out of `found` that go by the name of an amount and hold none (refunded: yes); gives what to say."""
    notes = []
    for name, n in list(found.items()):
        values = _values(rows, n)
        is_ours = name in given.columns or squash(header[n]) == squash(name)
        if kind.fields[name].type == "amount" and not is_ours and values and not any(re.search(r"\d", v) for v in values):
            del found[name]
            notes.append(f"Column '{header[n]}' holds no numbers, so it is not read as {name}.")
    return notes


def unnamed_money(kind: Kind, header: Sequence[str], rows: Sequence[Sequence[str]], found: dict[str, int]) -> list[str]:
    """What to say of orders in which no column is the amount: their money is not known, and nobody should learn it later."""
    if kind.name != "orders" or "amount" in found:
        return []
    money = re.compile(r"[^\w]*[A-Za-z]{0,3}[^\w]*\d[\d.,' ]*[.,]\d{1,2}[^\d]*")
    likely = [f"'{name}'" for n, name in enumerate(header) if n not in found.values() and _share(rows, n, money) >= ENOUGH]
    hint = f" Is it {' or '.join(likely[:5])}?" if likely else ""
    return [
        "No column says what an order cost: the orders are counted, and their money is not known."
        f'{hint} Name it in a --map file: amount = "that column".'
    ]
